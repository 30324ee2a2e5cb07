//! `type = "dns"`: a name, and what it must resolve to.

use super::Pattern;
use crate::check::Thresholds;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// A name and what its records must be.
#[derive(Clone, Debug, PartialEq)]
pub struct Dns {
    /// `name`; with `record = "PTR"` it may be an address.
    pub name: String,
    /// `record`; none: A and AAAA, of which there must be at least one.
    pub record: Option<Record>,
    /// `server`; none: the system's resolver, or its servers where a `record` is asked for.
    pub server: Option<SocketAddr>,
    /// `addresses`: all of them must be among the answers.
    pub addresses: Vec<IpAddr>,
    /// `exact`: and no others may be; false.
    pub exact: bool,
    /// `expect`: the text of one record must match; for records that are no addresses.
    pub expect: Option<Pattern>,
    /// `warn` and `crit` on the time of the answer in milliseconds.
    pub thresholds: Thresholds,
}

/// Types of records that can be asked for (RFC 1035, section 3.2.2; AAAA: RFC 3596; SRV: RFC 2782).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// The name that this one stands for.
    Cname,
    /// Who takes mail.
    Mx,
    /// Text.
    Txt,
    /// Hosts and ports of a service.
    Srv,
    /// Name servers of a zone.
    Ns,
    /// The name of an address.
    Ptr,
}

impl Record {
    /// All of them, by the word of the configuration.
    pub const WORDS: [(&'static str, Self); 8] = [
        ("A", Self::A),
        ("AAAA", Self::Aaaa),
        ("CNAME", Self::Cname),
        ("MX", Self::Mx),
        ("TXT", Self::Txt),
        ("SRV", Self::Srv),
        ("NS", Self::Ns),
        ("PTR", Self::Ptr),
    ];

    /// Whether its records are addresses.
    pub fn is_address(self) -> bool {
        matches!(self, Self::A | Self::Aaaa)
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = Self::WORDS.iter().find(|(_, record)| record == self).map_or("", |(word, _)| word);
        f.write_str(word)
    }
}
