//! The name servers of the system: `/etc/resolv.conf`, as resolv.conf(5) says.

use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

/// Where they are written.
pub(super) const PATH: &str = "/etc/resolv.conf";
/// Largest such file.
const LIMIT: u64 = 64 * 1024;
/// Servers that are asked (MAXNS of resolv.conf(5)).
const SERVERS: usize = 3;
const PORT: u16 = 53;

/// The servers of `path`. Blocks. Errors are sentences for a person.
pub(super) fn read(path: &Path) -> Result<Vec<SocketAddr>, String> {
    let failed = |error| format!("cannot read {}: {error}", path.display());
    let mut text = Vec::new();
    std::fs::File::open(path).map_err(failed)?.take(LIMIT).read_to_end(&mut text).map_err(failed)?;
    Ok(parse(&String::from_utf8_lossy(&text)))
}

/// Never empty: without an entry the server of this host is asked. What is no address is passed over, so are addresses with a zone.
fn parse(text: &str) -> Vec<SocketAddr> {
    let mut servers: Vec<SocketAddr> = text
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let address: IpAddr = words.next().filter(|word| *word == "nameserver").and(words.next())?.parse().ok()?;
            Some(SocketAddr::new(address, PORT))
        })
        .take(SERVERS)
        .collect();
    if servers.is_empty() {
        servers.push(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), PORT));
    }
    servers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_three_servers_are_asked_and_the_rest_of_the_file_is_passed_over() {
        let text = "# nameserver 9.9.9.9\n; nameserver 9.9.9.9\nsearch internal\n nameserver\t10.0.0.2 # first\nnameserver fd00::2\n\
                    nameserver dns.internal\nnameserver fe80::1%eth0\nnameserver\noptions edns0\nnameserver 10.0.0.3\nnameserver 10.0.0.4\n";
        let expected = ["10.0.0.2:53", "[fd00::2]:53", "10.0.0.3:53"].map(|text| text.parse::<SocketAddr>().unwrap());
        assert_eq!(parse(text), expected);
        assert_eq!(parse("search internal\n"), ["127.0.0.1:53".parse::<SocketAddr>().unwrap()]);
    }

    #[test]
    fn a_file_that_is_not_there_is_named_and_of_a_huge_one_the_beginning_is_read() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("resolv.conf");
        assert!(read(&path).unwrap_err().starts_with(&format!("cannot read {}: ", path.display())));
        std::fs::write(&path, format!("nameserver 10.0.0.2\n{}\nnameserver 10.0.0.3\n", "x".repeat(70_000))).unwrap();
        assert_eq!(read(&path).unwrap(), ["10.0.0.2:53".parse::<SocketAddr>().unwrap()]);
    }
}
