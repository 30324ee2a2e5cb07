//! Asking name servers over UDP, and over TCP what does not fit into a datagram.
//!
//! Against forged answers (RFC 5452): every question to every server has a random id and a socket of its own, on a port that the kernel
//! chooses at random and connected to the server, so that datagrams from elsewhere never arrive; what does not repeat id and question is
//! passed over. A lost datagram is sent again, from the same socket, so that a slow answer is still heard. The next server is asked beside
//! a silent one. All of it ends with the run: it is the caller who keeps the time.

use super::message::{Answer, Question, Refusal};
use crate::check::{Health, Observation};
use crate::plan::Record;
use crate::probe::failure;
use hickory_proto::rr::Name;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::task::JoinSet;

/// The longest pause before a datagram is sent again.
const LONGEST_PAUSE: Duration = Duration::from_secs(4);
/// More than the server was told it may send.
const DATAGRAM: usize = 4096;

/// Why a server gave no answer.
pub(super) enum Trouble {
    Io(io::Error),
    Said(String),
}

/// The first answer of `servers` for records of `name`; else what each of them said. The next server is asked when one has failed, or
/// has been silent for `patience`, which is also the first pause before a question is repeated. Dropping it ends all.
pub(super) async fn ask(
    servers: &[SocketAddr],
    name: &Name,
    record: Record,
    patience: Duration,
) -> Result<(SocketAddr, Answer), Vec<(SocketAddr, Trouble)>> {
    let mut asked = JoinSet::new();
    let mut waiting = servers.iter().copied();
    let mut failed = Vec::new();
    loop {
        match waiting.next() {
            Some(server) => {
                let name = name.clone();
                asked.spawn(async move { (server, ask_one(server, &name, record, patience).await) });
            }
            None if asked.is_empty() => return Err(failed),
            None => {}
        }
        let silent = async { if waiting.len() == 0 { std::future::pending().await } else { tokio::time::sleep(patience).await } };
        tokio::select! {
            Some(ended) = asked.join_next() => match ended {
                Ok((server, Ok(answer))) => return Ok((server, answer)),
                Ok((server, Err(trouble))) => failed.push((server, trouble)),
                Err(_) => {}
            },
            () = silent => {}
        }
    }
}

/// The observation for servers of which none has answered.
pub(super) fn of_trouble(failed: &[(SocketAddr, Trouble)], name: &str) -> Observation {
    let each: Vec<Observation> = failed
        .iter()
        .map(|(server, trouble)| match trouble {
            Trouble::Io(error) => failure::of_connect(error, &server.to_string()),
            Trouble::Said(said) => Observation::new(Health::Critical, format!("name server {server} {said}")),
        })
        .collect();
    let ours = !each.is_empty() && each.iter().all(|observation| observation.health == Health::Unknown);
    let words: Vec<&str> = each.iter().map(|observation| observation.message.as_str()).collect();
    Observation::new(if ours { Health::Unknown } else { Health::Critical }, format!("no answer for {name}: {}", words.join("; ")))
}

async fn ask_one(server: SocketAddr, name: &Name, record: Record, patience: Duration) -> Result<Answer, Trouble> {
    let question = Question::new(name, record).ok_or_else(|| Trouble::Said("cannot be asked for such a name".to_owned()))?;
    let mut said = over_udp(server, &question, patience).await.map_err(Trouble::Io)?;
    if said == Err(Refusal::Truncated) {
        said = over_tcp(server, &question).await?;
    }
    said.map_err(|refusal| match refusal {
        Refusal::Code(words) => Trouble::Said(words),
        Refusal::Truncated => Trouble::Said("sent only a part of its answer, over TCP too".to_owned()),
    })
}

async fn over_udp(server: SocketAddr, question: &Question, patience: Duration) -> io::Result<Result<Answer, Refusal>> {
    let any: SocketAddr = if server.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    let mut datagram = vec![0; DATAGRAM];
    let mut pause = patience;
    loop {
        socket.send(question.bytes()).await?;
        let heard = async {
            loop {
                let length = socket.recv(&mut datagram).await?;
                if let Some(said) = question.answer(datagram.get(..length).unwrap_or_default()) {
                    return io::Result::Ok(said);
                }
            }
        };
        match tokio::time::timeout(pause, heard).await {
            Ok(said) => return said,
            Err(_) => pause = pause.saturating_mul(2).min(LONGEST_PAUSE),
        }
    }
}

/// RFC 1035, section 4.2.2: two bytes of length before each message, so that none is larger than 64 KiB.
async fn over_tcp(server: SocketAddr, question: &Question) -> Result<Result<Answer, Refusal>, Trouble> {
    let broken = |error: io::Error| Trouble::Said(format!("does not answer over TCP, as its truncated answer demands ({error})"));
    let mut stream = TcpStream::connect(server).await.map_err(broken)?;
    let length = u16::try_from(question.bytes().len()).unwrap_or(u16::MAX);
    let framed = [&length.to_be_bytes(), question.bytes()].concat();
    stream.write_all(&framed).await.map_err(broken)?;
    let length = stream.read_u16().await.map_err(broken)?;
    let mut bytes = vec![0; usize::from(length)];
    stream.read_exact(&mut bytes).await.map_err(broken)?;
    question.answer(&bytes).ok_or_else(|| Trouble::Said("answered over TCP what was not asked".to_owned()))
}
