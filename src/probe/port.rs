//! `type = "port"`: whether something listens, from the kernel's tables of sockets, proc_pid_net(5). Nothing is connected to.
//!
//! Whether an IPv6 socket for any address takes IPv4 too (not `IPV6_V6ONLY`) is not in these tables; it is taken to, as is usual.

use super::proc;
use crate::check::{Health, Observation};
use crate::plan::{Family, Port, Protocol};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::ControlFlow;
use std::path::Path;

/// What is read of a table: some four hundred thousand sockets. Those that listen come first in that of TCP.
const TABLE_LIMIT: u64 = 64 * 1024 * 1024;
/// Addresses that are remembered and named in a message.
const NAMED: usize = 4;
/// TCP_LISTEN of the kernel's tcp_states.h.
const LISTENS: u8 = 0x0A;

/// Makes one observation. Blocks: a busy host has hundreds of thousands of sockets.
pub(super) fn look(port: &Port) -> Observation {
    look_at(port, Path::new("/proc/net"))
}

fn look_at(port: &Port, net: &Path) -> Observation {
    let protocol = word(port.protocol);
    let mut others = Vec::new();
    for table in [protocol.to_owned(), format!("{protocol}6")] {
        let path = net.join(&table);
        match search(port, &path, &mut others) {
            Ok(Some(ip)) => return Observation::new(Health::Passing, format!("{protocol} port {} listens on {ip}", port.port)),
            Ok(None) => {}
            // A host without IPv6 has no such table.
            Err(error) if error.kind() == ErrorKind::NotFound && table.ends_with('6') => {}
            Err(error) => return proc::unreadable(&path, &error),
        }
    }
    Observation::new(Health::Critical, missing(port, &others))
}

fn word(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    }
}

/// The first address on which `port` listens as it should; `others` gets those on which it does, but should not.
fn search(port: &Port, table: &Path, others: &mut Vec<IpAddr>) -> io::Result<Option<IpAddr>> {
    let mut found = None;
    proc::lines(table, TABLE_LIMIT, |line| {
        let Some(ip) = Socket::parse(line).filter(|socket| socket.port == port.port && socket.waits(port.protocol)).map(|socket| socket.ip)
        else {
            return ControlFlow::Continue(());
        };
        if serves(port, ip) {
            found = Some(ip);
            return ControlFlow::Break(());
        }
        if others.len() < NAMED && !others.contains(&ip) {
            others.push(ip);
        }
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

/// Whether a socket on `ip` is what `port` wants.
fn serves(port: &Port, ip: IpAddr) -> bool {
    let family = match port.family {
        None => true,
        Some(Family::Ipv4) => ip.is_ipv4() || ip == IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        Some(Family::Ipv6) => ip.is_ipv6(),
    };
    family && port.ip.is_none_or(|wanted| wanted == ip)
}

fn missing(port: &Port, others: &[IpAddr]) -> String {
    let place = format!("{} port {}", word(port.protocol), port.port);
    if others.is_empty() {
        return format!("nothing listens on {place}");
    }
    let listed: Vec<String> = others.iter().map(IpAddr::to_string).collect();
    let expected = match (port.ip, port.family) {
        (Some(ip), _) => ip.to_string(),
        (None, Some(Family::Ipv4)) => "an IPv4 address".to_owned(),
        (None, Some(Family::Ipv6)) => "an IPv6 address".to_owned(),
        (None, None) => "any address".to_owned(),
    };
    format!("{place} listens on {} only, expected {expected}", listed.join(", "))
}

/// A line of a table.
struct Socket {
    /// An IPv4 address that is written as an IPv6 one is itself here.
    ip: IpAddr,
    port: u16,
    /// It is connected, to somebody.
    connected: bool,
    state: u8,
}

impl Socket {
    /// ```text
    ///   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 ...
    ///      address        of the peer   state
    /// ```
    fn parse(line: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(line).ok()?;
        let mut words = text.split_ascii_whitespace().skip(1);
        let (ip, port) = address(words.next()?)?;
        let (peer, peer_port) = address(words.next()?)?;
        let state = u8::from_str_radix(words.next()?, 16).ok()?;
        Some(Self { ip, port, connected: peer_port != 0 || !peer.is_unspecified(), state })
    }

    /// UDP has no listening: a socket that is bound, but to no peer, takes what comes.
    fn waits(&self, protocol: Protocol) -> bool {
        match protocol {
            Protocol::Tcp => self.state == LISTENS,
            Protocol::Udp => !self.connected,
        }
    }
}

/// `0100007F:1F90`: the address in words of 32 bits as this machine stores them, the port as a number.
fn address(text: &str) -> Option<(IpAddr, u16)> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| ip.get(at * 8..at * 8 + 8).and_then(|word| u32::from_str_radix(word, 16).ok()).map(u32::to_ne_bytes);
    let ip = match ip.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let words = [word(0)?, word(1)?, word(2)?, word(3)?];
            let bytes: [u8; 16] = words.concat().try_into().ok()?;
            IpAddr::V6(Ipv6Addr::from(bytes)).to_canonical()
        }
        _ => return None,
    };
    Some((ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        let words = bytes.chunks_exact(4).map(|word| u32::from_ne_bytes(word.try_into().unwrap()));
        words.map(|word| format!("{word:08X}")).collect()
    }

    fn line(ip: &str, port: u16, peer: u16, state: &str) -> String {
        let ip = match ip.parse().unwrap() {
            IpAddr::V4(ip) => hex(&ip.octets()),
            IpAddr::V6(ip) => hex(&ip.octets()),
        };
        let none = "0".repeat(ip.len());
        format!("   0: {ip}:{port:04X} {none}:{peer:04X} {state} 00000000:00000000 00:00000000 00000000  1000        0 12345 1 0\n")
    }

    fn net(tables: &[(&str, String)]) -> tempfile::TempDir {
        let home = tempfile::tempdir().unwrap();
        for (name, lines) in tables {
            std::fs::write(home.path().join(name), format!("  sl  local_address rem_address   st tx_queue rx_queue\n{lines}")).unwrap();
        }
        home
    }

    fn any(port: u16) -> Port {
        Port { port, protocol: Protocol::Tcp, family: None, ip: None }
    }

    fn ip(text: &str, port: u16) -> Port {
        Port { ip: Some(text.parse().unwrap()), ..any(port) }
    }

    #[test]
    fn a_real_line_is_understood() {
        // Written by a little-endian machine.
        if cfg!(target_endian = "little") {
            let seen = Socket::parse(b"  12: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 1").unwrap();
            assert_eq!((seen.ip.to_string().as_str(), seen.port, seen.waits(Protocol::Tcp)), ("127.0.0.1", 8080, true));
            let line = b"   0: B80D01200000000067452301EFCDAB89:0050 00000000000000000000000000000000:0000 0A 0 0";
            assert_eq!(Socket::parse(line).unwrap().ip.to_string(), "2001:db8::123:4567:89ab:cdef");
        }
    }

    #[test]
    fn the_address_that_listens_must_be_the_one_that_is_wanted() {
        let home =
            net(&[("tcp", line("127.0.0.1", 8080, 0, "0A") + &line("10.0.0.5", 8080, 0, "0A")), ("tcp6", line("::1", 8080, 0, "0A"))]);
        let look = |port: &Port| look_at(port, home.path()).message;
        assert_eq!(look(&any(8080)), "tcp port 8080 listens on 127.0.0.1");
        assert_eq!(look(&ip("::1", 8080)), "tcp port 8080 listens on ::1");
        assert_eq!(look(&ip("0.0.0.0", 8080)), "tcp port 8080 listens on 127.0.0.1, 10.0.0.5, ::1 only, expected 0.0.0.0");
        assert_eq!(look(&any(8081)), "nothing listens on tcp port 8081");
        assert_eq!(look(&Port { family: Some(Family::Ipv6), ..any(8080) }), "tcp port 8080 listens on ::1");
    }

    #[test]
    fn a_dual_stack_socket_serves_ipv4_and_a_mapped_address_is_ipv4() {
        let home = net(&[
            ("tcp", String::new()),
            ("tcp6", line("::", 80, 0, "0A") + &line("::ffff:127.0.0.1", 81, 0, "0A") + &line("::1", 82, 0, "0A")),
        ]);
        let look = |port: &Port| look_at(port, home.path());
        let over = |family: Family, port: u16| Port { family: Some(family), ..any(port) };
        assert_eq!(look(&over(Family::Ipv4, 80)).message, "tcp port 80 listens on ::");
        assert_eq!(look(&ip("0.0.0.0", 80)).health, Health::Critical, "the address itself is another");
        assert_eq!(look(&ip("127.0.0.1", 81)).health, Health::Passing);
        assert_eq!(look(&over(Family::Ipv6, 81)).message, "tcp port 81 listens on 127.0.0.1 only, expected an IPv6 address");
        assert_eq!(look(&over(Family::Ipv4, 82)).message, "tcp port 82 listens on ::1 only, expected an IPv4 address");
    }

    #[test]
    fn connections_do_not_listen() {
        let udp = Port { protocol: Protocol::Udp, ..any(53) };
        let home = net(&[("tcp", line("10.0.0.5", 443, 5000, "01")), ("udp", line("10.0.0.5", 53, 4711, "01"))]);
        assert_eq!(look_at(&any(443), home.path()).message, "nothing listens on tcp port 443");
        assert_eq!(look_at(&udp, home.path()).message, "nothing listens on udp port 53");
        let home = net(&[("udp", line("10.0.0.5", 53, 4711, "01") + &line("0.0.0.0", 53, 0, "07"))]);
        assert_eq!(look_at(&udp, home.path()).message, "udp port 53 listens on 0.0.0.0");
    }

    #[test]
    fn tables_that_are_hidden_are_unknown_and_broken_lines_are_passed_over() {
        let hidden = look_at(&any(80), Path::new("/proc/no-such-directory"));
        assert_eq!(hidden.health, Health::Unknown);
        assert!(hidden.message.ends_with("ProcSubset=pid in the agent's unit would hide it"), "{}", hidden.message);
        let odd = "\n:\n 0: 01:50 00000000:0000 0A\n 0: 0100007F:99999 0:0 0A\n 0: 0100007F:0050 0000\n 0: \u{e4}\u{e4}\u{e4}\u{e4}:0050 00000000:0000 0A\n\
                   0: 0100007F:0050 00000000:0000 ZZ\n";
        let home = net(&[("tcp", odd.to_owned() + &line("127.0.0.1", 80, 0, "0A"))]);
        assert_eq!(look_at(&any(80), home.path()).message, "tcp port 80 listens on 127.0.0.1");
    }
}
