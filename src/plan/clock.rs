//! `type = "clock"`.

use crate::check::Thresholds;
use std::net::SocketAddr;

/// The clock of the host and what it is compared with.
#[derive(Clone, Debug, PartialEq)]
pub struct Clock {
    /// `source`, ros.
    pub source: ClockSource,
    /// `warn` and `crit`, on the seconds that it is off, in either direction.
    pub thresholds: Thresholds,
}

/// Who is asked.
#[derive(Clone, Debug, PartialEq)]
pub enum ClockSource {
    /// The `Date` of any answer of this `url`.
    Ros(reqwest::Url),
    /// The host's own time service: chronyd at this address, `chronyd`, else systemd-timesyncd.
    Ntp(SocketAddr),
}
