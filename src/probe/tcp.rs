//! `type = "tcp"`: a connection, and perhaps a word and its answer. Over TCP or a Unix socket.
//!
//! A name is tried in all its addresses, the families taking turns, the next one begun when the one before has failed or has been
//! silent for a moment (RFC 8305, section 5). The connection is ended with a FIN, not with a reset, which some servers log as an error.
//!
//! On this host a connection stands, or is refused, when connect(2) returns: then nothing is registered with the loop, nor waited for. That
//! is half of the system calls of a run.

use super::failure;
use super::lookup::Lookups;
use super::progress::{Doing, Progress};
use super::text::{printable, quoted};
use crate::check::{Health, Observation};
use crate::plan::{Pattern, SocketTarget, Tcp};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, Shutdown, SocketFlags, SocketType};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
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
        SocketTarget::HostPort(host, port) => match connected(host, *port, lookups, progress).await {
            Ok((stream, address)) if is_silent(tcp) => {
                close(&stream);
                stands(&address.to_string())
            }
            Ok((stream, address)) => match TcpStream::from_std(stream) {
                Ok(stream) => talk(tcp, stream, &address.to_string(), progress).await,
                Err(error) => failure::of_traffic(&error, &address.to_string()),
            },
            Err(unreached) => unreached,
        },
        SocketTarget::Unix(path) => look_unix(tcp, path, progress).await,
    }
}

/// A connection to `host`, which may be a name, and the address that took it; else why there is none.
pub(super) async fn reach(host: &str, port: u16, lookups: &Lookups, progress: &Progress) -> Result<(TcpStream, SocketAddr), Observation> {
    let (stream, address) = connected(host, port, lookups, progress).await?;
    match TcpStream::from_std(stream) {
        Ok(stream) => Ok((stream, address)),
        Err(error) => Err(failure::of_connect(&error, &address.to_string())),
    }
}

/// The same, not yet registered with the loop.
async fn connected(
    host: &str,
    port: u16,
    lookups: &Lookups,
    progress: &Progress,
) -> Result<(std::net::TcpStream, SocketAddr), Observation> {
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
async fn connect(order: Vec<IpAddr>, port: u16) -> Result<(std::net::TcpStream, SocketAddr), (io::Error, String)> {
    let mut attempts = JoinSet::new();
    let mut waiting = order.into_iter().map(|ip| SocketAddr::new(ip, port));
    let mut failed: Vec<(SocketAddr, io::Error)> = Vec::new();
    loop {
        match waiting.next() {
            Some(address) => match begin(address) {
                Ok(Begun::Stands(stream)) => return Ok((stream, address)),
                Ok(Begun::UnderWay(stream)) => {
                    attempts.spawn(async move { (address, made(stream, address).await) });
                }
                Err(error) => {
                    failed.push((address, error));
                    continue;
                }
            },
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

/// A connection that connect(2) was called for.
enum Begun {
    Stands(std::net::TcpStream),
    UnderWay(std::net::TcpStream),
}

/// Calls connect(2) without waiting, and once more: what was under way at the first call has ended since, where both ends are on this host.
/// The second call tells how.
fn begin(address: SocketAddr) -> io::Result<Begun> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = rustix::net::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    let first = rustix::net::connect(&socket, &address);
    let seen = if first == Err(Errno::INPROGRESS) { rustix::net::connect(&socket, &address) } else { first };
    match seen {
        Ok(()) | Err(Errno::ISCONN) => Ok(Begun::Stands(with_another(socket.into(), address)?)),
        Err(Errno::ALREADY | Errno::INPROGRESS) => Ok(Begun::UnderWay(socket.into())),
        Err(error) => Err(error.into()),
    }
}

/// Waits until the connection stands.
async fn made(stream: std::net::TcpStream, address: SocketAddr) -> io::Result<std::net::TcpStream> {
    let stream = TcpStream::from_std(stream)?;
    stream.writable().await?;
    match stream.take_error()? {
        Some(error) => Err(error),
        None => with_another(stream.into_std()?, address),
    }
}

/// Where nobody listens at a port of this host that the kernel gives to those who connect, a connection can be given that very port, and meets itself
/// (RFC 9293, 3.5: simultaneous open). Nobody has answered.
fn with_another(stream: std::net::TcpStream, address: SocketAddr) -> io::Result<std::net::TcpStream> {
    if stream.local_addr().is_ok_and(|own| (own.ip(), own.port()) == (address.ip(), address.port())) {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    Ok(stream)
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

async fn talk(tcp: &Tcp, mut stream: impl AsyncRead + AsyncWrite + AsFd + Unpin, place: &str, progress: &Progress) -> Observation {
    let observation = match exchange(tcp, &mut stream, place, progress).await {
        Ok(observation) => observation,
        Err(error) => failure::of_traffic(&error, place),
    };
    close(&stream);
    observation
}

/// Whether the connection is all that is asked for.
fn is_silent(tcp: &Tcp) -> bool {
    tcp.send.is_none() && tcp.expect.is_none()
}

fn stands(place: &str) -> Observation {
    Observation::new(Health::Passing, format!("connected to {place}"))
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
        None => Ok(stands(place)),
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
fn close(stream: &impl AsFd) {
    // The other side may be gone already: there is nothing more to be done for it.
    let _ = rustix::net::shutdown(stream, Shutdown::Write);
    let mut scrap = [0_u8; 4096];
    let mut drained = 0;
    while drained < DRAIN_LIMIT {
        match rustix::net::recv(stream, &mut scrap, RecvFlags::DONTWAIT) {
            Ok((read, _)) if read > 0 => drained += read,
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_met_itself_is_no_answer() {
        let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
        rustix::net::bind(&socket, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let itself = SocketAddr::try_from(rustix::net::getsockname(&socket).unwrap()).unwrap();
        rustix::net::connect(&socket, &itself).unwrap();
        assert_eq!(with_another(socket.into(), itself).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn the_families_take_turns_and_the_first_choice_stays_first() {
        let [a, b, c, d] = ["::1", "::2", "::3", "10.0.0.1"].map(|text| text.parse::<IpAddr>().unwrap());
        assert_eq!(in_turns(&[a, b, c, d]), [a, d, b, c]);
        assert_eq!(in_turns(&[d, a, b]), [d, a, b]);
        assert!(in_turns(&[]).is_empty());
    }
}
