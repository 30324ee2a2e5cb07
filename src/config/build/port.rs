//! The keys of `type = "port"`.

use crate::config::fragment::Value;
use crate::config::reader::{Parsed, Problem, Reader, text};
use crate::plan::{Family, Port, Protocol};
use std::net::IpAddr;

pub(super) fn port(reader: &mut Reader<'_>) -> Option<Port> {
    let port = reader.number("port");
    let protocol = reader.word("protocol", |word| match word {
        "tcp" => Some(Protocol::Tcp),
        "udp" => Some(Protocol::Udp),
        _ => None,
    });
    let family = reader.word("family", |word| match word {
        "any" => Some(None),
        "ipv4" => Some(Some(Family::Ipv4)),
        "ipv6" => Some(Some(Family::Ipv6)),
        _ => None,
    });
    let ip = reader.optional("ip", ip);
    if let (Some(Some(family)), Some(Some(ip))) = (family, ip)
        && ip.is_ipv4() != (family == Family::Ipv4)
    {
        let place = reader.place("ip");
        let hint = "`ip` alone says the family".to_owned();
        reader.notes.misfit(
            place,
            format!("`ip` is no address of the `family` {}", if ip.is_ipv4() { "ipv6" } else { "ipv4" }),
            Some(hint),
        );
    }
    Some(Port { port: u16::try_from(port?).ok()?, protocol: protocol?, family: family?, ip: ip? })
}

fn ip(value: &Value) -> Parsed<IpAddr> {
    let parsed = text(value)?.parse::<IpAddr>().map(|ip| ip.to_canonical());
    let hint = "write an address without a port, such as \"127.0.0.1\", \"0.0.0.0\" or \"::1\"";
    parsed.map_err(|_| Problem::new("is not an IP address").hint(hint).into())
}
