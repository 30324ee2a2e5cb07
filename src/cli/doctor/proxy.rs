//! The proxy that requests to ROS travel through: can it be reached, and does it open the way (CONNECT; RFC 9110, section 9.3.6) to each
//! host. Nothing else is sent through it here.

use super::endpoint::{self, Means};
use super::step::{Step, Verdict};
use crate::rpc;
use reqwest::Url;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;

const TIMEOUT: Duration = Duration::from_secs(3);
/// The longest answer to CONNECT.
const HEAD_LIMIT: usize = 8 * 1024;

pub(super) const PROXY: &str = "endpoint.proxy";
pub(super) const TUNNEL: &str = "endpoint.tunnel";

/// How hosts are reached over TLS.
#[derive(Clone)]
pub(super) enum Way {
    Direct,
    /// Through the proxy, by its name, at these addresses.
    Proxy {
        name: String,
        addresses: Vec<IpAddr>,
        port: u16,
    },
    /// There is a proxy, and it cannot be reached.
    Blocked,
}

/// Looks at the proxy itself, if there is one.
pub(super) async fn look(hosts: &[Url], means: &Means) -> (Option<Step>, Way) {
    let Some((proxy, written)) = &means.proxy else { return (None, Way::Direct) };
    let name = rpc::host_name(proxy);
    if hosts.iter().all(|url| url.scheme() == "http") {
        let step = Step::skipped(PROXY, "not asked: what is not encrypted goes to this host itself, past any proxy");
        return (Some(step.about(name)), Way::Direct);
    }
    let (step, addresses) = endpoint::names(proxy).await;
    if step.verdict() == Verdict::Failed {
        let remedy = format!("is it right? {written}; else look at /etc/resolv.conf and the DNS of the VPC");
        return (Some(step.named(PROXY).remedy(remedy).about(name)), Way::Blocked);
    }
    let (step, stream) = endpoint::connections(&addresses, proxy).await;
    let step = step.named(PROXY).about(&name);
    match stream {
        Some(_) => (Some(step), Way::Proxy { name, addresses, port: port(proxy) }),
        None => {
            let remedy = format!("does the proxy run, and may this host reach it ({written})? there is no way around a configured proxy");
            (Some(step.remedy(remedy)), Way::Blocked)
        }
    }
}

fn port(proxy: &Url) -> u16 {
    proxy.port_or_known_default().unwrap_or(80)
}

/// Why a tunnel is not open.
enum Closed {
    Connect(String),
    Late,
    Ended,
    NotHttp,
    Status(u16),
}

/// The way through the proxy to the host of `url`.
pub(super) async fn tunnel(proxy: &str, addresses: &[IpAddr], port: u16, url: &Url) -> (Step, Option<TcpStream>) {
    let began = Instant::now();
    let host = url.host_str().unwrap_or_default();
    let target = format!("{host}:{}", url.port_or_known_default().unwrap_or(443));
    let closed = match tokio::time::timeout(TIMEOUT, open(addresses, port, &target)).await {
        Ok(Ok(stream)) => {
            return (Step::ok(TUNNEL, format!("the proxy {proxy} opens the way to {target}")).took(began.elapsed()), Some(stream));
        }
        Ok(Err(closed)) => closed,
        Err(_) => Closed::Late,
    };
    (refused(proxy, &target, &closed), None)
}

fn refused(proxy: &str, target: &str, closed: &Closed) -> Step {
    let permit = format!("it must permit CONNECT to {target}");
    let (seen, cause, remedy) = match closed {
        Closed::Connect(why) => (format!("no connection to the proxy {proxy}: {why}"), "it was reached a moment ago", permit),
        Closed::Late => (
            format!("the proxy {proxy} has not opened the way to {target} within {}s", TIMEOUT.as_secs()),
            "it was connected to, so most likely it does not reach that host itself",
            format!("look from the proxy: does it resolve and reach {target}?"),
        ),
        Closed::Ended => (format!("the proxy {proxy} closed the connection"), "it does not know CONNECT, or refuses it", permit),
        Closed::NotHttp => (
            format!("what answers at the proxy {proxy} is no HTTP proxy"),
            "another service listens there, or the proxy itself wants TLS",
            "look at proxy under [ros]: an HTTP proxy that opens tunnels is needed".to_owned(),
        ),
        Closed::Status(407) => (
            format!("the proxy {proxy} wants a user (HTTP 407)"),
            "a user and password cannot be given",
            "permit this host by its address".to_owned(),
        ),
        Closed::Status(status) => {
            (format!("the proxy {proxy} refused the way to {target} (HTTP {status})"), "its rules, or it does not reach that host", permit)
        }
    };
    Step::failed(TUNNEL, seen).because(cause).remedy(remedy)
}

async fn open(addresses: &[IpAddr], port: u16, target: &str) -> Result<TcpStream, Closed> {
    let addresses: Vec<SocketAddr> = addresses.iter().map(|ip| SocketAddr::new(*ip, port)).collect();
    let mut stream = TcpStream::connect(addresses.as_slice()).await.map_err(|error| Closed::Connect(endpoint::reason(&error)))?;
    let request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.map_err(|_| Closed::Ended)?;
    // Byte by byte, so that nothing of what comes after the head is taken.
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= HEAD_LIMIT {
            return Err(Closed::NotHttp);
        }
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) if head.is_empty() => return Err(Closed::Ended),
            Err(_) => return Err(Closed::NotHttp),
        }
    }
    match status(&head) {
        Some(200..=299) => Ok(stream),
        Some(status) => Err(Closed::Status(status)),
        None => Err(Closed::NotHttp),
    }
}

/// `HTTP/1.1 200 Connection established`.
fn status(head: &[u8]) -> Option<u16> {
    let line = std::str::from_utf8(head).ok()?.lines().next()?;
    let mut words = line.split_ascii_whitespace();
    words.next().filter(|version| version.starts_with("HTTP/1."))?;
    words.next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_of_http_is_one_of_a_proxy() {
        assert_eq!(status(b"HTTP/1.1 200 Connection established\r\n\r\n"), Some(200));
        assert_eq!(status(b"HTTP/1.0 407\r\n\r\n"), Some(407));
        assert_eq!(status(b"SSH-2.0-OpenSSH_9\r\n\r\n"), None);
        assert_eq!(status(b"\xff\r\n\r\n"), None);
    }

    #[test]
    fn each_trouble_of_the_tunnel_names_the_proxy() {
        for closed in
            [Closed::Connect("x".to_owned()), Closed::Late, Closed::Ended, Closed::NotHttp, Closed::Status(407), Closed::Status(403)]
        {
            let step = refused("proxy.test:3128", "ros.test:443", &closed);
            assert!(step.seen().contains("proxy.test:3128") && step.cause().is_some() && step.what_to_do().is_some(), "{step:?}");
        }
    }
}
