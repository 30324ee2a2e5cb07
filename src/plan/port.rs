//! `type = "port"`.

use std::net::IpAddr;

/// A port on which something must listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port {
    /// `port`.
    pub port: u16,
    /// `protocol`, tcp.
    pub protocol: Protocol,
    /// `family`; none: any.
    pub family: Option<Family>,
    /// `ip`: exactly this address.
    pub ip: Option<IpAddr>,
}

/// What is spoken on a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Connections.
    Tcp,
    /// Datagrams.
    Udp,
}

/// A family of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4, also through an IPv6 socket for any address.
    Ipv4,
    /// IPv6.
    Ipv6,
}
