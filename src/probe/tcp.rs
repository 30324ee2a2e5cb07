//! `type = "tcp"`: a connection, and perhaps a word and its answer. Over TCP or a Unix socket.
//!
//! A name is tried in all its addresses, the families taking turns, the next one begun when the one before has failed or has been
//! silent for a moment (RFC 8305, section 5). The connection is ended with a FIN, not with a reset, which some servers log as an error.

use super::failure;
use super::lookup::Lookups;
use super::progress::{Doing, Progress};
use super::text::{printable, quoted};
use crate::check::{Health, Observation};
use crate::plan::{Pattern, SocketTarget, Tcp};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinSet;

/// Before the next address is tried beside a silent one (RFC 8305: 250 ms).
const STAGGER: Duration = Duration::from_millis(250);
/// What is read of an answer.
const ANSWER_LIMIT: usize = 4096;
/// Addresses named in a message.
const NAMED: usize = 4;
/// Read and thrown away before closing, so that unread data does not turn the FIN into a reset.
const DRAIN_LIMIT: usize = 64 * 1024;

/// Makes one observation. The caller keeps the time.
pub(super) async fn look(tcp: &Tcp, lookups: &Lookups, progress: &Progress) -> Observation {
    match &tcp.address {
        SocketTarget::HostPort(host, port) => match reach(host, *port, lookups, progress).await {
            Ok((stream, address)) => talk(tcp, stream, &address.to_string(), progress).await,
            Err(unreached) => unreached,
        },
        SocketTarget::Unix(path) => look_unix(tcp, path, progress).await,
    }
}

/// A connection to `host`, which may be a name, and the address that took it; else why there is none.
pub(super) async fn reach(host: &str, port: u16, lookups: &Lookups, progress: &Progress) -> Result<(TcpStream, SocketAddr), Observation> {
    let addresses = lookups.addresses(host, progress).await.map_err(|trouble| failure::of_lookup(&trouble))?;
    progress.now(Doing::Connecting(place(host, port)));
    connect(in_turns(&addresses), port).await.map_err(|(error, tried)| failure::of_connect(&error, &tried))
}

/// Host and port, an IPv6 address in brackets.
pub(super) fn place(host: &str, port: u16) -> String {
    if host.contains(':') && !host.starts_with('[') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

async fn look_unix(tcp: &Tcp, path: &Path, progress: &Progress) -> Observation {
    let place = path.display().to_string();
    progress.now(Doing::Connecting(place.clone()));
    match UnixStream::connect(path).await {
        Ok(stream) => talk(tcp, stream, &place, progress).await,
        Err(error) => failure::of_connect(&error, &place),
    }
}

/// The families taking turns, the system's first choice first.
fn in_turns(addresses: &[IpAddr]) -> Vec<IpAddr> {
    let first_is_v6 = addresses.first().is_some_and(IpAddr::is_ipv6);
    let (mut preferred, mut other): (Vec<IpAddr>, Vec<IpAddr>) = addresses.iter().partition(|ip| ip.is_ipv6() == first_is_v6);
    preferred.reverse();
    other.reverse();
    let mut order = Vec::with_capacity(addresses.len());
    while !(preferred.is_empty() && other.is_empty()) {
        order.extend(preferred.pop());
        order.extend(other.pop());
    }
    order
}

/// The first connection that is made; else the first error and the addresses it came from. Dropping it ends all attempts.
async fn connect(order: Vec<IpAddr>, port: u16) -> Result<(TcpStream, SocketAddr), (io::Error, String)> {
    let mut attempts = JoinSet::new();
    let mut waiting = order.into_iter().map(|ip| SocketAddr::new(ip, port));
    let mut failed: Vec<(SocketAddr, io::Error)> = Vec::new();
    loop {
        match waiting.next() {
            Some(address) => {
                attempts.spawn(async move { (address, TcpStream::connect(address).await) });
            }
            None if attempts.is_empty() => return Err(summary(failed)),
            None => {}
        }
        let silent = async { if waiting.len() == 0 { std::future::pending().await } else { tokio::time::sleep(STAGGER).await } };
        tokio::select! {
            Some(ended) = attempts.join_next() => match ended {
                Ok((address, Ok(stream))) => return Ok((stream, address)),
                Ok((address, Err(error))) => failed.push((address, error)),
                Err(_) => {}
            },
            () = silent => {}
        }
    }
}

fn summary(mut failed: Vec<(SocketAddr, io::Error)>) -> (io::Error, String) {
    let kind = failed.first().map(|(_, error)| error.kind());
    let mut tried: Vec<String> =
        failed.iter().filter(|(_, error)| Some(error.kind()) == kind).map(|(address, _)| address.to_string()).take(NAMED).collect();
    let place = match tried.pop() {
        Some(last) if tried.is_empty() => last,
        Some(last) => format!("{} and {last}", tried.join(", ")),
        None => "any address".to_owned(),
    };
    match failed.is_empty() {
        true => (io::Error::other("no address could be tried"), place),
        false => (failed.swap_remove(0).1, place),
    }
}

async fn talk(tcp: &Tcp, mut stream: impl AsyncRead + AsyncWrite + Unpin, place: &str, progress: &Progress) -> Observation {
    let observation = match exchange(tcp, &mut stream, place, progress).await {
        Ok(observation) => observation,
        Err(error) => failure::of_traffic(&error, place),
    };
    close(&mut stream).await;
    observation
}

async fn exchange<S>(tcp: &Tcp, stream: &mut S, place: &str, progress: &Progress) -> io::Result<Observation>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    if let Some(word) = &tcp.send {
        progress.now(Doing::Sending(place.to_owned()));
        stream.write_all(word.as_bytes()).await?;
    }
    match &tcp.expect {
        None => Ok(Observation::new(Health::Passing, format!("connected to {place}"))),
        Some(pattern) => {
            progress.now(Doing::WaitingForAnswer(place.to_owned()));
            expect(pattern, stream, place).await
        }
    }
}

async fn expect(pattern: &Pattern, stream: &mut (impl AsyncRead + Unpin), place: &str) -> io::Result<Observation> {
    let mut answer = Vec::with_capacity(256);
    let mut limited = stream.take(ANSWER_LIMIT as u64);
    loop {
        let read = limited.read_buf(&mut answer).await?;
        let text = String::from_utf8_lossy(&answer);
        if pattern.0.is_match(&text) {
            let mut good = Observation::new(Health::Passing, format!("{place} answered {}", quoted(&text)));
            good.output = shown(&text);
            return Ok(good);
        }
        if read == 0 {
            let said = match text.is_empty() {
                true => format!("{place} closed the connection without an answer"),
                false => format!("{place} answered {}", quoted(&text)),
            };
            let mut bad = Observation::new(Health::Critical, format!("{said}, expected /{}/", pattern.0.as_str()));
            bad.output = shown(&text);
            return Ok(bad);
        }
    }
}

fn shown(text: &str) -> String {
    crate::check::clip(printable(text), crate::check::OUTPUT_LIMIT)
}

/// FIN first, then what has already arrived is read away; nothing is waited for.
async fn close(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    // The other side may be gone already: there is nothing more to be done for it.
    let _ = stream.shutdown().await;
    let mut scrap = [0_u8; 4096];
    let mut drained = 0;
    while drained < DRAIN_LIMIT {
        let now = tokio::time::timeout(Duration::ZERO, stream.read(&mut scrap)).await;
        match now {
            Ok(Ok(read)) if read > 0 => drained += read,
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_families_take_turns_and_the_first_choice_stays_first() {
        let [a, b, c, d] = ["::1", "::2", "::3", "10.0.0.1"].map(|text| text.parse::<IpAddr>().unwrap());
        assert_eq!(in_turns(&[a, b, c, d]), [a, d, b, c]);
        assert_eq!(in_turns(&[d, a, b]), [d, a, b]);
        assert!(in_turns(&[]).is_empty());
    }
}
