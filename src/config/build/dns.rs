//! The keys of `type = "dns"`.

use super::check::problem;
use crate::config::forms;
use crate::config::fragment::Value;
use crate::config::matching;
use crate::config::network;
use crate::config::reader::{Parsed, Problem, Reader, shorten, text};
use crate::plan::{Dns, Record};
use std::net::{IpAddr, SocketAddr};

/// Most `addresses`: no more are looked at of an answer of the system's resolver either.
const ADDRESSES_LIMIT: usize = 64;
/// Where name servers listen (RFC 1035, section 4.2).
const PORT: u16 = 53;

pub(super) fn dns(reader: &mut Reader<'_>) -> Option<Dns> {
    let name = reader.value("name", name);
    let record = match reader.has("record") {
        true => reader.word("record", |word| Record::WORDS.iter().find(|(known, _)| *known == word).map(|(_, record)| *record)).map(Some),
        false => Some(None),
    };
    let server = reader.optional("server", server);
    let addresses = reader.value("addresses", addresses);
    let exact = reader.flag("exact");
    let expect = reader.optional("expect", matching::pattern);
    let thresholds = reader.thresholds();
    let dns = Dns {
        name: name?,
        record: record?,
        server: server?,
        addresses: addresses?,
        exact: exact?,
        expect: expect?,
        thresholds: thresholds?,
    };
    refuse_contradictions(reader, &dns);
    Some(dns)
}

/// What asserts nothing, or can never be met.
fn refuse_contradictions(reader: &mut Reader<'_>, dns: &Dns) {
    let mut refuse = |key: &str, message: String, hint: &str| {
        let place = reader.place(key);
        reader.notes.misfit(place, message, Some(hint.to_owned()));
    };
    if dns.name.parse::<IpAddr>().is_ok() && dns.record != Some(Record::Ptr) {
        refuse("name", "`name` is an address, of which nothing has to be looked up".to_owned(), "for its name write record = \"PTR\"");
    }
    if dns.exact && dns.addresses.is_empty() {
        refuse("exact", "`exact` needs `addresses` beside it".to_owned(), "without them every answer would be wrong");
    }
    match dns.record {
        Some(record) if !record.is_address() && !dns.addresses.is_empty() => {
            refuse("addresses", format!("`addresses` cannot stand beside `record = \"{record}\"`"), "write expect = '...'");
        }
        Some(Record::A) if dns.addresses.iter().any(IpAddr::is_ipv6) => {
            refuse(
                "addresses",
                "`addresses` has an IPv6 address, which no A record can be".to_owned(),
                "leave `record` out to ask for both",
            );
        }
        Some(Record::Aaaa) if dns.addresses.iter().any(IpAddr::is_ipv4) => {
            let hint = "leave `record` out to ask for both";
            refuse("addresses", "`addresses` has an IPv4 address, which no AAAA record can be".to_owned(), hint);
        }
        _ => {}
    }
    if dns.expect.is_some() && dns.record.is_none_or(Record::is_address) {
        refuse("expect", "`expect` is for records that are no addresses".to_owned(), "write addresses = [\"...\"]");
    }
}

fn name(value: &Value) -> Parsed<String> {
    let name = forms::line(value, 254)?;
    if network::is_host(&name) || name.parse::<IpAddr>().is_ok() {
        return Ok(name);
    }
    let hint = "a name looks like \"db.internal\"; write names in other scripts in their xn-- form";
    Err(Problem::new("is not a name that can be looked up").hint(hint).into())
}

/// An address, and perhaps a port.
fn server(value: &Value) -> Parsed<SocketAddr> {
    let text = text(value)?;
    let alone = text.parse().ok().map(|ip: IpAddr| SocketAddr::new(ip, PORT));
    let server = alone.or_else(|| text.parse().ok()).filter(|server| server.port() > 0);
    let hint = "a name server is given by its address: \"10.0.0.2\", \"10.0.0.2:5353\" or \"[fd00::2]:53\"";
    server.ok_or_else(|| Problem::new("is not the address of a name server").hint(hint).into())
}

fn addresses(value: &Value) -> Parsed<Vec<IpAddr>> {
    let found =
        forms::each(value, |text| text.parse().map_err(|_| Problem::new(format!("has `{}`, which is not an address", shorten(text)))))?;
    if found.len() > ADDRESSES_LIMIT {
        return Err(problem("must have at most 64 addresses"));
    }
    let mut addresses: Vec<IpAddr> = found.into_iter().map(|address| address.what).collect();
    addresses.sort_unstable();
    addresses.dedup();
    Ok(addresses)
}
