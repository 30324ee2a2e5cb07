//! The keys of `type = "clock"`.

use super::limits;
use crate::config::fragment::Value;
use crate::config::network;
use crate::config::reader::{Parsed, Problem, Reader, text};
use crate::plan::{Clock, ClockSource};
use std::net::SocketAddr;

pub(super) fn clock(reader: &mut Reader<'_>) -> Option<Clock> {
    let ros = reader.word("source", |word| match word {
        "ros" => Some(true),
        "ntp" => Some(false),
        _ => None,
    });
    let thresholds = limits::or_else(reader, "30", "300");
    // The key of the other source has no meaning, and no default that would be shown.
    let source = match ros {
        Some(true) => {
            refuse(reader, "chronyd", "ntp");
            reader.value("url", network::url).map(ClockSource::Ros)
        }
        Some(false) => {
            refuse(reader, "url", "ros");
            reader.value("chronyd", chronyd).map(ClockSource::Ntp)
        }
        None => None,
    };
    Some(Clock { source: source?, thresholds: thresholds? })
}

fn refuse(reader: &mut Reader<'_>, key: &str, source: &str) {
    if reader.has(key) {
        let place = reader.place(key);
        reader.notes.misfit(place, format!("`{key}` is for `source = \"{source}\"`"), Some("leave one of them out".to_owned()));
    }
}

fn chronyd(value: &Value) -> Parsed<SocketAddr> {
    let hint = "write \"127.0.0.1:323\"; its answers are not signed, so other hosts are not asked";
    let address = text(value)?.parse::<SocketAddr>().ok().filter(|address| address.ip().is_loopback() && address.port() > 0);
    address.ok_or_else(|| Problem::new("is not a loopback address with a port").hint(hint).into())
}
