//! Whether the records of a name are what the check expects. Pure.

use super::message::Found;
use crate::check::{Health, Observation};
use crate::plan::Dns;
use crate::probe::text::{one_line, quoted};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Records named in a message.
const NAMED: usize = 8;

/// What was found.
pub(super) struct Seen {
    pub(super) records: Vec<Found>,
    /// Which server said so; none: the system's resolver.
    pub(super) by: Option<SocketAddr>,
    /// From the question to the answer.
    pub(super) took: Duration,
}

pub(super) fn no_such_name(dns: &Dns, server: SocketAddr) -> Observation {
    Observation::new(Health::Critical, format!("no such name {}, says name server {server} (NXDOMAIN)", dns.name))
}

/// The observation for what was found.
pub(super) fn records(dns: &Dns, seen: &Seen) -> Observation {
    let ms = seen.took.as_secs_f64() * 1000.0;
    let found = listed(seen.records.iter().map(|found| one_line(&found.text)));
    let by = seen.by.map_or_else(String::new, |server| format!(", says name server {server}"));
    let name = &dns.name;
    let (health, message) = match wrong(dns, &seen.records, &found) {
        Some(wrong) => (Health::Critical, format!("{wrong}{by}")),
        None => {
            let kind = dns.record.map_or_else(String::new, |record| format!("{record} "));
            let rule = dns.thresholds.broken(ms).map_or_else(String::new, |rule| format!(", {rule}"));
            (dns.thresholds.judge(ms), format!("{name} is {kind}{found}{by} ({ms:.1} ms{rule})"))
        }
    };
    let count = u32::try_from(seen.records.len()).unwrap_or(u32::MAX);
    let mut observation = Observation::new(health, message).reading("time", ms, "ms").reading("records", f64::from(count), "");
    let lines: Vec<String> = seen.records.iter().map(|found| one_line(&found.text)).collect();
    observation.output = crate::check::clip(lines.join("\n"), crate::check::OUTPUT_LIMIT);
    observation
}

/// What is wrong with the records, if anything.
fn wrong(dns: &Dns, records: &[Found], found: &str) -> Option<String> {
    let name = &dns.name;
    if records.is_empty() {
        let kind = dns.record.map_or_else(|| "A or AAAA".to_owned(), |record| record.to_string());
        return Some(format!("{name} has no {kind} record"));
    }
    if let Some(pattern) = dns.expect.as_ref().filter(|pattern| !records.iter().any(|found| pattern.0.is_match(&found.text))) {
        let shown = listed(records.iter().map(|found| quoted(&found.text)));
        return Some(format!("{name} is {shown}, expected /{}/", one_line(pattern.0.as_str())));
    }
    let addresses: Vec<IpAddr> = records.iter().filter_map(|found| found.address).collect();
    let missing: Vec<_> = dns.addresses.iter().filter(|address| !addresses.contains(address)).collect();
    let others: Vec<_> = addresses.iter().filter(|address| dns.exact && !dns.addresses.contains(address)).collect();
    let named = |addresses: Vec<&IpAddr>| listed(addresses.into_iter().map(ToString::to_string));
    match (missing.is_empty(), others.is_empty()) {
        (true, true) => None,
        (false, true) => Some(format!("{name} is {found}, without {}", named(missing))),
        (true, false) => Some(format!("{name} is {found}, and {} may not be among them", named(others))),
        (false, false) => Some(format!("{name} is {found}, without {}, and {} may not be among them", named(missing), named(others))),
    }
}

fn listed(words: impl ExactSizeIterator<Item = String>) -> String {
    let more = words.len().saturating_sub(NAMED);
    let first: Vec<String> = words.take(NAMED).collect();
    if more == 0 { first.join(", ") } else { format!("{} and {more} more", first.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Thresholds;
    use crate::plan::{Pattern, Record};

    fn dns(record: Option<Record>, addresses: &[&str], exact: bool) -> Dns {
        let addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
        Dns { name: "app.internal".to_owned(), record, server: None, addresses, exact, expect: None, thresholds: Thresholds::default() }
    }

    fn seen(texts: &[&str]) -> Seen {
        let records = texts.iter().map(|text| Found { text: (*text).to_owned(), address: text.parse().ok() }).collect();
        Seen { records, by: Some("10.0.0.2:53".parse().unwrap()), took: Duration::from_micros(12_340) }
    }

    #[test]
    fn wrong_addresses_are_listed_with_what_is_missing_and_what_is_too_much() {
        let said = |dns: &Dns, texts: &[&str]| {
            let observation = records(dns, &seen(texts));
            (observation.health, observation.message)
        };
        let two = dns(None, &["10.0.0.1", "::1"], false);
        assert_eq!(said(&two, &["10.0.0.1", "::1", "10.0.0.9"]).0, Health::Passing);
        let message = "app.internal is 10.0.0.9, without 10.0.0.1, ::1, says name server 10.0.0.2:53";
        assert_eq!(said(&two, &["10.0.0.9"]), (Health::Critical, message.to_owned()));
        let exact = Dns { exact: true, ..two };
        let message = "app.internal is 10.0.0.1, ::1, 10.0.0.9, and 10.0.0.9 may not be among them, says name server 10.0.0.2:53";
        assert_eq!(said(&exact, &["10.0.0.1", "::1", "10.0.0.9"]), (Health::Critical, message.to_owned()));
        assert_eq!(said(&exact, &["::1", "10.0.0.1"]).0, Health::Passing);
        let none = said(&dns(Some(Record::Mx), &[], false), &[]);
        assert_eq!(none, (Health::Critical, "app.internal has no MX record, says name server 10.0.0.2:53".to_owned()));
    }

    #[test]
    fn the_time_of_the_answer_is_judged_and_read() {
        let mut slow = dns(None, &[], false);
        slow.thresholds.warn = Some("10".parse().unwrap());
        let observation = records(&slow, &seen(&["10.0.0.1"]));
        assert_eq!(observation.health, Health::Warning);
        assert_eq!(observation.message, "app.internal is 10.0.0.1, says name server 10.0.0.2:53 (12.3 ms, warning above 10)");
        assert_eq!((observation.readings[0].label.as_str(), observation.readings[0].value), ("time", 12.34));
    }

    #[test]
    fn hostile_and_many_records_are_shown_escaped_and_cut() {
        let mut txt = dns(Some(Record::Txt), &[], false);
        txt.expect = Some(Pattern(regex_lite::Regex::new("^v=1$").unwrap()));
        let observation = records(&txt, &seen(&["\x1b[2J", "v=2"]));
        assert!(observation.message.starts_with(r#"app.internal is "\x1b[2J", "v=2", expected /^v=1$/"#), "{}", observation.message);
        let many: Vec<String> = (0..200).map(|number| format!("10.0.0.{number}")).collect();
        let observation = records(&dns(None, &[], false), &seen(&many.iter().map(String::as_str).collect::<Vec<_>>()));
        assert!(observation.message.contains("10.0.0.7 and 192 more"), "{}", observation.message);
        assert!(observation.output.len() <= 4096);
    }
}
