//! The listener: addresses, TLS, connections.

use super::callback::Callback;
use super::intake::Intake;
use super::kept::Kept;
use super::{Troubles, inherited};
use crate::plan::{Listen, ServerTls};
use crate::tls;
use axum::response::Response;
use http::{HeaderValue, header};
use hyper::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// Connections served at once. One more waits in the kernel's queue (of [`BACKLOG`]) until one of them ends: they end by themselves when they
/// say nothing, after an answer that is a refusal, and after [`LIFE`] in any case, so that nobody can hold all of them.
pub(super) const CONNECTIONS: usize = 64;
const BACKLOG: u32 = 256;
/// Of a request's head; hyper reads bodies in pieces of this too.
const HEAD_LIMIT: usize = 16 * 1024;
const HEADERS: usize = 64;
/// For a head, the wait between two requests included; and for the TLS handshake.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// Of a connection. Then what is under way is ended, for which there is so much time:
const LIFE: Duration = Duration::from_secs(60);
const REST: Duration = Duration::from_secs(15);
/// Until an address is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// After a reload, one that the listener before us has to leave first: so many tries, and so long between them, are nothing to tell of.
const HANDOVER_TRIES: u32 = 10;
const HANDOVER: Duration = Duration::from_millis(50);
/// After the system could not give a connection.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// Who answers.
#[derive(Debug)]
pub(super) enum Door {
    Signed(Arc<Intake>),
    Callback(Arc<Callback>),
}

impl Door {
    async fn answer(&self, request: Request<Incoming>) -> Response {
        let is_coded = request.headers().contains_key(header::TRANSFER_ENCODING);
        let mut response = match self {
            Self::Signed(intake) => intake.answer(request).await,
            Self::Callback(callback) => callback.answer(request).await,
        };
        if is_coded {
            // There may have been a length beside the coding, which hyper hides from us: what comes behind such a request must not be
            // read (RFC 9112, section 6.1).
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// TLS as it is wanted, and as it is had.
#[derive(Clone, Debug)]
enum Tls {
    Off,
    On(Arc<Kept<TlsAcceptorBox>>),
}

/// `TlsAcceptor` has no `Debug`.
struct TlsAcceptorBox(TlsAcceptor);

impl std::fmt::Debug for TlsAcceptorBox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsAcceptor")
    }
}

/// How long the door stays shut for what callers are judged by. Then it opens all the same, and tells them to come again.
const READY: Duration = Duration::from_secs(1);

/// Until it is `ready`, or late. Callers wait in the queue of the kernel rather than being sent away at each start and reload.
pub(super) async fn opened_late(ready: impl Future<Output = ()>) {
    let _ = tokio::time::timeout(READY, ready).await;
}

/// Listens until it is dropped.
pub(super) async fn serve(listen: Listen, tls: Option<ServerTls>, door: Door, troubles: Arc<Troubles>) {
    let mut tasks = JoinSet::new();
    let encrypted = tls.is_some();
    let tls = match tls {
        None => Tls::Off,
        Some(ServerTls { certificate, key }) => {
            let kept = Kept::new();
            let read = move || {
                let config = tls::server_config(&certificate, &key).map_err(|error| error.to_string().replace("\nhint:", "; hint:"))?;
                Ok(TlsAcceptorBox(TlsAcceptor::from(Arc::new(config))))
            };
            let hint = "look at tls_certificate and tls_key: PEM files that the agent may read and that belong together";
            tasks.spawn(Arc::clone(&kept).follow("TLS of the listener", Some(hint), Arc::clone(&troubles), read));
            Tls::On(kept)
        }
    };
    let listeners = opened(&listen, &troubles).await;
    let addresses: Vec<_> = listeners.iter().filter_map(|listener| listener.local_addr().ok()).map(|address| address.to_string()).collect();
    let how = if encrypted { "with TLS" } else { "without TLS" };
    let by = if matches!(listen, Listen::Systemd(_)) { " (by systemd)" } else { "" };
    troubles.open(format!("listens on {}{by}, {how}", addresses.join(", ")));
    let (door, slots) = (Arc::new(door), Arc::new(Semaphore::new(CONNECTIONS)));
    for listener in listeners {
        tasks.spawn(accept(listener, tls.clone(), Arc::clone(&door), Arc::clone(&slots)));
    }
    while tasks.join_next().await.is_some() {}
}

async fn opened(listen: &Listen, troubles: &Troubles) -> Vec<TcpListener> {
    let mut tries = 0;
    loop {
        let (why, hint) = match open(listen) {
            Ok(listeners) => return listeners,
            Err(why) => why,
        };
        tries += 1;
        if tries < HANDOVER_TRIES {
            tokio::time::sleep(HANDOVER).await;
            continue;
        }
        tries = HANDOVER_TRIES;
        troubles.tell("listen", why, Some(hint));
        tokio::time::sleep(RETRY).await;
    }
}

/// What to do when an address cannot be had.
fn hint(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::AddrInUse => "another program has it: `ss -ltnp` shows which",
        ErrorKind::AddrNotAvailable => "`ip address` shows the addresses of this host; 0.0.0.0 and [::] stand for all of them",
        ErrorKind::PermissionDenied => "ports below 1024 need a socket of systemd: listen = \"systemd:NAME\"",
        _ => "listen has an IP address of this host and a port that nobody else has",
    }
}

fn open(listen: &Listen) -> Result<Vec<TcpListener>, (String, &'static str)> {
    match listen {
        Listen::Address(address) => {
            let bind = || {
                let socket = if address.is_ipv4() { tokio::net::TcpSocket::new_v4() } else { tokio::net::TcpSocket::new_v6() }?;
                socket.set_reuseaddr(true)?;
                socket.bind(*address)?;
                socket.listen(BACKLOG)
            };
            bind().map(|listener| vec![listener]).map_err(|error| (format!("cannot listen on {address}: {error}"), hint(error.kind())))
        }
        Listen::Systemd(name) => {
            let hint = "a socket unit with FileDescriptorName= of that name and Service= of the agent's unit hands one over, when the agent is started";
            let sockets = inherited::named(name).map_err(|why| (why, hint))?;
            let made: std::io::Result<Vec<_>> = sockets.into_iter().map(TcpListener::from_std).collect();
            made.map_err(|error| (format!("the socket {name} of systemd cannot be used: {error}"), hint))
        }
    }
}

async fn accept(listener: TcpListener, tls: Tls, door: Arc<Door>, slots: Arc<Semaphore>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        // It is never closed.
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => drop(connections.spawn(connection(stream, tls.clone(), Arc::clone(&door), slot))),
            Err(error) => {
                tracing::warn!(target: "events", %error, "a listener could not accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, tls: Tls, door: Arc<Door>, slot: OwnedSemaphorePermit) {
    // Answers are small and go at once.
    let _ = stream.set_nodelay(true);
    match tls {
        Tls::Off => talk(stream, door).await,
        Tls::On(kept) => {
            // Without a certificate nothing can be said.
            let Some(acceptor) = kept.get() else { return };
            match tokio::time::timeout(HEAD_TIMEOUT, acceptor.0.accept(stream)).await {
                Ok(Ok(stream)) => talk(stream, door).await,
                Ok(Err(error)) => tracing::debug!(target: "events", %error, "a handshake failed"),
                Err(_) => {}
            }
        }
    }
    drop(slot);
}

pub(super) async fn talk(stream: impl AsyncRead + AsyncWrite + Unpin, door: Arc<Door>) {
    let service = hyper::service::service_fn(move |request| {
        let door = Arc::clone(&door);
        async move { Ok::<_, Infallible>(door.answer(request).await) }
    });
    let mut serving = std::pin::pin!(
        hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(HEAD_LIMIT)
            .max_headers(HEADERS)
            .serve_connection(TokioIo::new(stream), service)
    );
    let served = match tokio::time::timeout(LIFE, serving.as_mut()).await {
        Ok(served) => served,
        Err(_) => {
            serving.as_mut().graceful_shutdown();
            // One that does not read its answers is cut off.
            tokio::time::timeout(REST, serving).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = served {
        tracing::debug!(target: "events", %error, "a sender went away");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt as _;

    #[tokio::test(start_paused = true)]
    async fn a_sender_that_never_reads_its_answers_is_cut_off() {
        let (mut sender, receiver) = tokio::io::duplex(64);
        let door = Arc::new(Door::Callback(Arc::new(Callback::without_a_path())));
        let talking = tokio::spawn(talk(receiver, door));
        sender.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        // The answer is longer than what fits in between.
        let began = tokio::time::Instant::now();
        tokio::time::timeout(Duration::from_secs(3600), talking).await.expect("it ends").unwrap();
        assert!(began.elapsed() <= LIFE + REST, "{:?}", began.elapsed());
    }
}
