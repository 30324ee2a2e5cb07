//! Error chains of connections, read for their cause and said in words that a person can act on.

use super::lookup::Trouble;
use super::text::{one_line, span};
use crate::check::{Health, Observation};
use rustls::{AlertDescription, CertificateError};
use std::error::Error;
use std::io::{self, ErrorKind};
use std::time::Duration;

/// The observation for a request that failed on its way to `place`.
pub(super) fn of_request(error: &reqwest::Error, place: &str) -> Observation {
    if let Some(trouble) = find::<Trouble>(error) {
        return of_lookup(trouble);
    }
    if let Some(tls) = find::<rustls::Error>(error) {
        return Observation::new(Health::Critical, of_tls(tls, place));
    }
    if error.is_redirect() {
        return Observation::new(Health::Critical, format!("{place} redirects too often"));
    }
    if error.is_builder() {
        return Observation::new(Health::Unknown, format!("the request cannot be made: {}", root(error)));
    }
    if let Some(hyper) = find::<hyper::Error>(error) {
        if hyper.is_incomplete_message() {
            return Observation::new(Health::Critical, format!("{place} closed the connection before its answer was complete"));
        }
        if hyper.is_parse() {
            return Observation::new(Health::Critical, format!("the answer of {place} is not HTTP ({})", root(error)));
        }
    }
    match find::<io::Error>(error) {
        Some(cause) if error.is_connect() => of_connect(cause, place),
        Some(cause) => of_traffic(cause, place),
        None => Observation::new(Health::Critical, format!("no answer from {place}: {}", root(error))),
    }
}

/// The observation for a name without addresses.
pub(super) fn of_lookup(trouble: &Trouble) -> Observation {
    let health = match trouble {
        Trouble::NoAddress { .. } => Health::Critical,
        Trouble::NoThread { .. } => Health::Unknown,
    };
    Observation::new(health, trouble.to_string())
}

/// The observation for a connection to `place` that could not be made.
pub(super) fn of_connect(error: &io::Error, place: &str) -> Observation {
    if is_our_own(error) {
        return Observation::new(Health::Unknown, format!("the agent cannot open a connection: {error}"));
    }
    let message = match error.kind() {
        ErrorKind::ConnectionRefused => format!("connection refused by {place}; nothing listens there"),
        ErrorKind::NotFound => format!("socket {place} does not exist"),
        ErrorKind::PermissionDenied => format!("no permission to connect to {place}"),
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => format!("no route to {place}"),
        ErrorKind::TimedOut => format!("no answer from {place}: the network gave up"),
        ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof => format!("connection reset by {place}"),
        _ => format!("cannot connect to {place}: {error}"),
    };
    Observation::new(Health::Critical, message)
}

/// The observation for an established connection to `place` that broke.
pub(super) fn of_traffic(error: &io::Error, place: &str) -> Observation {
    let message = match error.kind() {
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => format!("connection reset by {place}"),
        ErrorKind::UnexpectedEof => format!("{place} closed the connection before its answer was complete"),
        _ => format!("the connection to {place} broke: {error}"),
    };
    Observation::new(Health::Critical, message)
}

/// The observation of a run that finds the look of an earlier one at `path` hanging since `age`.
pub(super) fn of_hung_look(path: &str, age: Duration) -> Observation {
    let age = span(Duration::from_secs(age.as_secs()));
    Observation::new(Health::Critical, format!("a look of an earlier run at {path} still hangs after {age}; usually a dead file server"))
}

/// Too many files, no memory: nothing that the checked service could have done.
fn is_our_own(error: &io::Error) -> bool {
    use rustix::io::Errno;
    error
        .raw_os_error()
        .is_some_and(|code| [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::NOBUFS].contains(&Errno::from_raw_os_error(code)))
}

/// The observation for a TLS handshake with `place` that failed.
pub(super) fn of_handshake(error: &io::Error, place: &str) -> Observation {
    if let Some(tls) = tls_error(error) {
        return Observation::new(Health::Critical, of_tls(tls, place));
    }
    match error.kind() {
        ErrorKind::UnexpectedEof => Observation::new(Health::Critical, format!("{place} closed the connection in the TLS handshake")),
        _ => of_traffic(error, place),
    }
}

/// What TLS says in an error of a stream.
pub(super) fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    find(error)
}

/// What is wrong with TLS, in words.
pub(super) fn of_tls(error: &rustls::Error, place: &str) -> String {
    match error {
        rustls::Error::InvalidCertificate(certificate) => of_certificate(certificate, place),
        rustls::Error::AlertReceived(AlertDescription::CertificateRequired) => {
            format!("{place} wants a client certificate: give cert_file and key_file")
        }
        rustls::Error::AlertReceived(AlertDescription::UnrecognisedName) => {
            format!("{place} has no certificate for the name it was asked for: give server_name")
        }
        rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol) => {
            format!("{place} speaks TLS, but not the protocol that was asked for (ALPN)")
        }
        rustls::Error::AlertReceived(alert) => format!("{place} ended TLS: {alert:?}"),
        rustls::Error::InvalidMessage(_) => format!("{place} does not speak TLS"),
        other => format!("TLS with {place} failed: {other}"),
    }
}

fn of_certificate(error: &CertificateError, place: &str) -> String {
    match error {
        CertificateError::UnknownIssuer => format!("certificate of {place} is not trusted (unknown issuer)"),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => format!("certificate of {place} has expired"),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            format!("certificate of {place} is not valid yet; is the clock of this host right?")
        }
        CertificateError::NotValidForNameContext { expected, .. } => {
            format!("certificate of {place} is not for the name {}", expected.to_str())
        }
        CertificateError::NotValidForName => format!("certificate of {place} is for another name"),
        CertificateError::BadSignature => {
            format!("certificate of {place} is not trusted (its issuer has the name of a trusted one, but another key)")
        }
        other => format!("certificate of {place} is not acceptable: {other}"),
    }
}

/// The first `T` in the chain. An `io::Error` that wraps another error hides it from `source()`, so it is opened.
pub(super) fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    // Chains are short; the bound is against one that points to itself.
    for _ in 0..32 {
        let here = next?;
        if let Some(found) = here.downcast_ref::<T>() {
            return Some(found);
        }
        let wrapped = here.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match wrapped {
            Some(inner) => Some(inner),
            None => here.source(),
        };
    }
    None
}

/// The words of the innermost error: the outer ones repeat the URL, with what it may hide.
fn root(error: &(dyn Error + 'static)) -> String {
    let mut innermost = error;
    for _ in 0..32 {
        match innermost.source() {
            Some(source) => innermost = source,
            None => break,
        }
    }
    match innermost.downcast_ref::<reqwest::Error>() {
        Some(_) => "no more is known".to_owned(),
        None => one_line(&innermost.to_string()),
    }
}
