//! What those who speak HTTP to a service of Alibaba Cloud share: a client for what is not encrypted, bounded bodies, and troubles in
//! words that name host and cause.
//!
//! An error of reqwest is never shown as it is: its text holds the URL, and a URL may hold a signature.

use crate::clock::Moment;
use crate::plan::TlsOptions;
use crate::tls;
use reqwest::Url;
use std::error::Error as StdError;
use std::io;
use std::net::IpAddr;

/// The most characters of foreign text in a message.
const TEXT_LIMIT: usize = 400;

/// Starts a client for plain HTTP (loopback, the metadata service): no proxy, no redirects, and no certificates loaded, for it needs
/// none. It trusts no TLS server at all.
///
/// # Errors
/// If the TLS provider refuses its own defaults.
pub(crate) fn unencrypted_builder() -> Result<reqwest::ClientBuilder, tls::Error> {
    let options = TlsOptions { verify: true, ca_file: None, client: None, server_name: None };
    Ok(tls::plain_builder(tls::client_config(&options, None)?))
}

/// The address in a URL, if its host is none that name servers know.
pub(crate) fn address(url: &Url) -> Option<IpAddr> {
    let address: IpAddr = url.host_str()?.trim_matches(['[', ']']).parse().ok()?;
    Some(address.to_canonical())
}

/// Whether a URL's host is this host, whatever name servers say.
pub(crate) fn is_loopback(url: &Url) -> bool {
    address(url).map_or_else(|| url.host_str() == Some("localhost"), |address| address.is_loopback())
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// There was a connection, so the request may have arrived.
    pub connected: bool,
    /// What happened.
    pub message: String,
    /// What a person can do.
    pub hint: Option<String>,
}

impl Trouble {
    /// Trouble on a connection that was there.
    pub(crate) fn after_connecting(message: String) -> Self {
        Self { connected: true, message, hint: None }
    }
}

/// The body, or trouble if it is longer than `limit` (it is not read to its end then).
///
/// # Errors
/// If it is longer, or the connection breaks. Bound it in time.
pub(crate) async fn read_body(mut response: reqwest::Response, limit: usize, host: &str) -> Result<Vec<u8>, Trouble> {
    let mut bytes = Vec::new();
    loop {
        match response.chunk().await {
            Err(error) => return Err(describe(&error, host)),
            Ok(None) => return Ok(bytes),
            Ok(Some(chunk)) if bytes.len() + chunk.len() > limit => {
                let status = response.status().as_u16();
                return Err(Trouble::after_connecting(format!("HTTP {status} from {host} with a body of more than {} KiB", limit / 1024)));
            }
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
        }
    }
}

/// An error of reqwest in words, without its URL (which may hold a signature).
pub(crate) fn describe(error: &reqwest::Error, host: &str) -> Trouble {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    if error.is_dns() {
        let hint = "look at /etc/resolv.conf and the DNS of the VPC".to_owned();
        return Trouble { connected: false, message: format!("{name} does not resolve ({})", root_cause(error)), hint: Some(hint) };
    }
    if error.is_connect() && error.is_timeout() {
        let is_address = name.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok();
        // Resolving is part of connecting, and the two cannot be told apart.
        let doing = if is_address { "connecting to" } else { "resolving or connecting to" };
        return Trouble { connected: false, message: format!("timed out {doing} {host}"), hint: None };
    }
    if let Some(tls) = find::<rustls::Error>(error) {
        return Trouble { connected: false, message: format!("TLS with {host} failed: {tls}"), hint: tls_hint(tls) };
    }
    let message = match find::<io::Error>(error).map(io::Error::kind) {
        Some(io::ErrorKind::ConnectionRefused) => format!("connection refused by {host}"),
        Some(io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable) => format!("no route to {host}"),
        _ if error.is_connect() => format!("cannot connect to {host}: {}", root_cause(error)),
        Some(io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => {
            format!("the connection to {host} was reset before a complete answer")
        }
        _ if error.is_timeout() => format!("timed out waiting for {host}"),
        _ => format!("no complete answer from {host}: {}", root_cause(error)),
    };
    Trouble { connected: !error.is_connect(), message, hint: None }
}

/// Like [`describe`], for what was asked through the proxy `proxy`: troubles of the way to it name it.
pub(crate) fn describe_through(error: &reqwest::Error, host: &str, proxy: &str) -> Trouble {
    if find::<rustls::Error>(error).is_some() {
        let trouble = describe(error, host);
        return Trouble { message: format!("{} (through the proxy {proxy})", trouble.message), ..trouble };
    }
    if !error.is_connect() && !error.is_dns() {
        return describe(error, host);
    }
    let hint = Some("look at the proxy, and at `proxy` in [ros]".to_owned());
    let tunnel = causes(error).map(ToString::to_string).find_map(|text| text.strip_prefix(TUNNEL).map(str::to_owned));
    let message = match tunnel.as_deref() {
        Some("proxy authorization required") => format!("the proxy {proxy} wants a user (HTTP 407), and none can be given"),
        Some("unsuccessful") => format!("the proxy {proxy} refused the way to {host}"),
        Some("unexpected end of file" | "io error establishing tunnel") => {
            format!("the proxy {proxy} closed the connection instead of opening the way to {host}")
        }
        _ if error.is_timeout() => format!("timed out waiting for the proxy {proxy} to open the way to {host}"),
        _ => format!("proxy {proxy}: {}", describe(error, proxy).message),
    };
    Trouble { connected: false, message, hint }
}

/// How the HTTP client's errors of a tunnel begin; they have no type that can be named.
const TUNNEL: &str = "tunnel error: ";

/// A certificate that looks expired or not yet valid: the bounds that rustls tells, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CertificateTime {
    /// `notBefore`, if that was broken and is known.
    pub(crate) not_before_ms: Option<i64>,
    /// `notAfter`, likewise.
    pub(crate) not_after_ms: Option<i64>,
}

impl CertificateTime {
    /// Whether the bound that was broken holds at this time.
    pub(crate) fn is_valid_at(self, ms: i64) -> bool {
        self.not_before_ms.is_none_or(|bound| bound <= ms) && self.not_after_ms.is_none_or(|bound| ms <= bound)
    }
}

/// Whether a certificate was refused for its time, and which bound it broke.
pub(crate) fn certificate_time(error: &reqwest::Error) -> Option<CertificateTime> {
    use rustls::CertificateError::{Expired, ExpiredContext, NotValidYet, NotValidYetContext};
    let rustls::Error::InvalidCertificate(reason) = find::<rustls::Error>(error)? else { return None };
    let ms = |time: &rustls::pki_types::UnixTime| i64::try_from(time.as_secs().saturating_mul(1000)).ok();
    match reason {
        Expired | NotValidYet => Some(CertificateTime { not_before_ms: None, not_after_ms: None }),
        ExpiredContext { not_after, .. } => Some(CertificateTime { not_before_ms: None, not_after_ms: ms(not_after) }),
        NotValidYetContext { not_before, .. } => Some(CertificateTime { not_before_ms: ms(not_before), not_after_ms: None }),
        _ => None,
    }
}

fn tls_hint(error: &rustls::Error) -> Option<String> {
    use rustls::CertificateError::{Expired, ExpiredContext, NotValidYet, NotValidYetContext, UnknownIssuer};
    let rustls::Error::InvalidCertificate(reason) = error else {
        return None;
    };
    match reason {
        Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. } => {
            let now = crate::clock::rfc3339(Moment::now().wall_ms);
            Some(format!("this host's clock says {now}; with a wrong clock good certificates look expired or not yet valid"))
        }
        UnknownIssuer => Some("the CA is not among the system's certificates; give its file as ca_file in [ros]".to_owned()),
        _ => None,
    }
}

/// The chain of causes, error itself first. An `io::Error` hides what it wraps from `source`, so it is asked twice.
fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error| cause(*error)).take(32)
}

fn cause<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(wrapped) => Some(wrapped),
        None => error.source(),
    }
}

fn find<'a, E: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a E> {
    causes(error).find_map(|cause| cause.downcast_ref::<E>())
}

fn root_cause(error: &reqwest::Error) -> String {
    // The outermost one names the URL; the innermost one names the cause.
    causes(error).skip(1).last().map_or_else(|| "no cause given".to_owned(), |cause| clean(&cause.to_string()))
}

/// Foreign text on one line, cut.
pub(crate) fn clean(text: &str) -> String {
    let mut cleaned: String = text.trim().chars().take(TEXT_LIMIT).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.trim().chars().count() > TEXT_LIMIT {
        cleaned.push('…');
    }
    cleaned
}
