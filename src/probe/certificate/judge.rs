//! What the dates of a chain and the verdict of a verifier mean. Pure.

use crate::check::{Health, Observation, Thresholds};
use crate::clock::rfc3339;
use crate::probe::failure;
use crate::probe::text::quoted;
use crate::tls::Chain;
use x509_parser::certificate::X509Certificate;

const DAY: f64 = 86_400.0;

/// What is judged.
pub(super) struct Judged<'a> {
    /// The leaf first.
    pub(super) chain: &'a Chain,
    /// The server or the file.
    pub(super) place: &'a str,
    /// Seconds since 1970.
    pub(super) now: i64,
    /// Why the chain is not trusted.
    pub(super) distrust: Option<rustls::Error>,
    pub(super) thresholds: Thresholds,
}

/// One certificate.
struct Dates {
    /// As a message calls it.
    what: String,
    /// In seconds since 1970, the ends included (RFC 5280, section 4.1.2.5).
    from: i64,
    until: i64,
}

/// What is said first is what is to be done first: dates, then trust, then how long it lasts.
pub(super) fn observation(judged: &Judged<'_>) -> Observation {
    let mut chain = Vec::new();
    for (position, der) in judged.chain.0.iter().enumerate() {
        match dates(der, position, judged.place) {
            Some(dates) => chain.push(dates),
            None => {
                let message = format!("certificate {} of {} is not X.509 that could be read", position + 1, judged.place);
                return Observation::new(Health::Critical, message);
            }
        }
    }
    let Some(first) = chain.iter().min_by_key(|dates| dates.until) else {
        return Observation::new(Health::Critical, format!("{} showed no certificate", judged.place));
    };
    let left = days(first.until, judged.now);
    said(judged, &chain, first, left).reading("days_left", left, "d")
}

fn said(judged: &Judged<'_>, chain: &[Dates], first: &Dates, left: f64) -> Observation {
    let (now, what) = (judged.now, &first.what);
    let at = |seconds: i64| rfc3339(seconds.saturating_mul(1000));
    if first.until < now {
        return Observation::new(Health::Critical, format!("{what} expired {} ago, on {}", span(-left), at(first.until)));
    }
    if let Some(early) = chain.iter().find(|dates| dates.from > now) {
        let message = format!("{} is not valid before {}; is the clock of this host right?", early.what, at(early.from));
        return Observation::new(Health::Critical, message);
    }
    if let Some(error) = &judged.distrust {
        return Observation::new(Health::Critical, failure::of_tls(error, judged.place));
    }
    let rule = judged.thresholds.broken(left).map_or_else(String::new, |rule| format!(": {rule}"));
    Observation::new(judged.thresholds.judge(left), format!("{what} expires in {}, on {}{rule}", span(left), at(first.until)))
}

/// None: it cannot be read.
fn dates(der: &[u8], position: usize, place: &str) -> Option<Dates> {
    let (rest, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
    if !rest.is_empty() {
        return None;
    }
    let what = match position {
        0 => format!("certificate of {place}"),
        _ => format!("intermediate certificate {} of {place}", quoted(subject(&certificate))),
    };
    let validity = certificate.validity();
    Some(Dates { what, from: validity.not_before.timestamp(), until: validity.not_after.timestamp() })
}

/// By what people know an authority.
fn subject<'a>(certificate: &'a X509Certificate<'_>) -> &'a str {
    let subject = certificate.subject();
    let names = subject.iter_common_name().chain(subject.iter_organization());
    names.filter_map(|name| name.as_str().ok()).next().unwrap_or("without a name")
}

#[expect(clippy::cast_precision_loss, reason = "seconds of any date of a certificate fit into 53 bits")]
fn days(until: i64, now: i64) -> f64 {
    until.saturating_sub(now) as f64 / DAY
}

/// Days, or hours where there are few.
fn span(days: f64) -> String {
    let hours = days * 24.0;
    match (days, hours) {
        (days, _) if days >= 2.0 => format!("{:.0} days", days.floor()),
        (_, hours) if hours >= 2.0 => format!("{:.0} hours", hours.floor()),
        _ => format!("{:.0} minutes", (hours * 60.0).floor()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    /// 2026-01-01T00:00:00Z.
    const NOW: i64 = 1_767_225_600;

    fn certificate(name: &str, from: (i32, u8, u8), until: (i32, u8, u8)) -> rustls::pki_types::CertificateDer<'static> {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.not_before = date_time_ymd(from.0, from.1, from.2);
        params.not_after = date_time_ymd(until.0, until.1, until.2);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    fn judged(chain: Vec<rustls::pki_types::CertificateDer<'static>>, distrust: Option<rustls::Error>) -> (Health, String, Vec<f64>) {
        let thresholds = Thresholds { warn: Some("14:".parse().unwrap()), crit: Some("3:".parse().unwrap()) };
        let seen = observation(&Judged { chain: &Chain(chain), place: "a:443", now: NOW, distrust, thresholds });
        (seen.health, seen.message, seen.readings.iter().map(|reading| reading.value).collect())
    }

    #[test]
    fn the_days_that_are_left_are_judged_and_read() {
        let of = |until| judged(vec![certificate("a", (2025, 1, 1), until)], None);
        assert_eq!(
            of((2026, 4, 1)),
            (Health::Passing, "certificate of a:443 expires in 90 days, on 2026-04-01T00:00:00Z".into(), vec![90.0])
        );
        let message = "certificate of a:443 expires in 13 days, on 2026-01-14T00:00:00Z: warning below 14";
        assert_eq!(of((2026, 1, 14)), (Health::Warning, message.into(), vec![13.0]));
        let message = "certificate of a:443 expires in 24 hours, on 2026-01-02T00:00:00Z: critical below 3";
        assert_eq!(of((2026, 1, 2)), (Health::Critical, message.into(), vec![1.0]));
        let message = "certificate of a:443 expired 31 days ago, on 2025-12-01T00:00:00Z";
        assert_eq!(of((2025, 12, 1)), (Health::Critical, message.into(), vec![-31.0]));
    }

    #[test]
    fn the_certificate_of_the_chain_that_expires_first_counts_and_is_named() {
        let leaf = certificate("leaf", (2025, 1, 1), (2027, 1, 1));
        let (health, message, _) = judged(vec![leaf.clone(), certificate("Sub CA", (2025, 1, 1), (2026, 1, 10))], None);
        assert_eq!(health, Health::Warning);
        assert_eq!(message, "intermediate certificate \"Sub CA\" of a:443 expires in 9 days, on 2026-01-10T00:00:00Z: warning below 14");
        let (health, message, _) = judged(vec![leaf, certificate("Sub CA", (2026, 6, 1), (2028, 1, 1))], None);
        let expected =
            "intermediate certificate \"Sub CA\" of a:443 is not valid before 2026-06-01T00:00:00Z; is the clock of this host right?";
        assert_eq!((health, message.as_str()), (Health::Critical, expected));
    }

    #[test]
    fn distrust_comes_after_dates_and_before_thresholds() {
        let distrust = || Some(rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer));
        let (_, message, _) = judged(vec![certificate("a", (2025, 1, 1), (2026, 1, 2))], distrust());
        assert_eq!(message, "certificate of a:443 is not trusted (unknown issuer)");
        let (_, message, _) = judged(vec![certificate("a", (2025, 1, 1), (2025, 2, 1))], distrust());
        assert!(message.contains(" expired "), "{message}");
    }

    #[test]
    fn what_is_no_certificate_is_said_to_be_none() {
        for bytes in [Vec::new(), vec![0x30, 0x84, 0xff, 0xff, 0xff, 0xff], vec![0; 4096]] {
            let (health, message, _) = judged(vec![bytes.into()], None);
            assert_eq!((health, message.as_str()), (Health::Critical, "certificate 1 of a:443 is not X.509 that could be read"));
        }
        assert_eq!(judged(Vec::new(), None).1, "a:443 showed no certificate");
    }
}
