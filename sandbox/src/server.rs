//! Listeners and connections: raw sockets that can be reset, ports that can be closed and opened again, HTTP/1 by hyper.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use hyper::body::{Body as HttpBody, Bytes, Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper::{Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::answer::{Answer, Body, Ending, Outcome};
use crate::request::{Request, Service, WireScheme};
use crate::world::World;
use crate::{control, pipeline};

/// Connections at one listener; more wait in the kernel's queue.
const CONNECTIONS: usize = 1024;

/// Bytes of a request body; more is answered with 413.
const BODY_BYTES: usize = 1024 * 1024;

/// How long a client may take for the TLS handshake, or for the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a client may take to send a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// Bounds of an endless body.
const ENDLESS_BYTES: u64 = 4 * 1024 * 1024 * 1024;
const ENDLESS_TIME: Duration = Duration::from_secs(3600);

/// Pause between attempts to open a port again.
const REBIND_PAUSE: Duration = Duration::from_millis(20);

/// What one listener is for.
#[derive(Clone)]
pub(crate) struct Door {
    pub(crate) world: Arc<World>,
    pub(crate) service: Service,
    pub(crate) tls: Option<TlsAcceptor>,
    pub(crate) stop: watch::Receiver<bool>,
}

impl Door {
    fn wire(&self) -> WireScheme {
        if self.tls.is_some() { WireScheme::Https } else { WireScheme::Http }
    }
}

/// Serves a listener until told to stop; closes and opens its port as the faults say.
pub(crate) async fn serve(door: Door, listener: TcpListener, address: SocketAddr) {
    let mut stop = door.stop.clone();
    let mut open = Some(listener);
    while !*stop.borrow() {
        let Some(listener) = open.take() else {
            tokio::select! {
                opened = reopen(&door, address) => open = Some(opened),
                _ = stop.wait_for(|stopped| *stopped) => return,
            }
            continue;
        };
        // Dropping the sender tells the connections of this opening to finish their request and close.
        let (_open, closing) = watch::channel(());
        tokio::select! {
            () = accept(&door, listener, closing) => {}
            _ = stop.wait_for(|stopped| *stopped) => return,
        }
    }
}

/// Accepts connections until the port is to be closed.
async fn accept(door: &Door, listener: TcpListener, closing: watch::Receiver<()>) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    let mut changed = door.world.faults_changed.subscribe();
    let mut connections = JoinSet::new();
    loop {
        let now = door.world.clock.now();
        if door.world.lock().faults.refusing(door.service, door.wire(), now).is_some() {
            connections.detach_all();
            return;
        }
        let accepted = async {
            let slot = slots.clone().acquire_owned().await;
            (listener.accept().await, slot)
        };
        tokio::select! {
            (accepted, slot) = accepted => {
                // An error here is one connection's (or a full descriptor table): the next may be better.
                let (Ok((stream, _)), Ok(slot)) = (accepted, slot) else {
                    tokio::time::sleep(REBIND_PAUSE).await;
                    continue;
                };
                let door = door.clone();
                let closing = closing.clone();
                connections.spawn(async move {
                    connection(door, stream, closing).await;
                    drop(slot);
                });
            }
            _ = changed.changed() => {}
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Waits until the port may be open again, and opens it.
async fn reopen(door: &Door, address: SocketAddr) -> TcpListener {
    let mut changed = door.world.faults_changed.subscribe();
    loop {
        let now = door.world.clock.now();
        let refusing = door.world.lock().faults.refusing(door.service, door.wire(), now);
        let pause = match refusing {
            None => match TcpListener::bind(address).await {
                Ok(listener) => return listener,
                Err(_) => REBIND_PAUSE,
            },
            Some(Some(until)) => Duration::try_from(until - now).unwrap_or(Duration::ZERO),
            Some(None) => Duration::from_secs(3600),
        };
        let _ = tokio::time::timeout(pause, changed.changed()).await;
    }
}

async fn connection(door: Door, stream: TcpStream, closing: watch::Receiver<()>) {
    // Answers are small: waiting to fill a packet would only add delay.
    let _ = stream.set_nodelay(true);
    let now = door.world.clock.now();
    let reset = door.world.lock().faults.strike_connection(door.service, door.wire(), now);
    let reset = Arc::new(AtomicBool::new(reset));
    let socket = Socket { stream, reset: reset.clone() };
    if reset.load(Ordering::Relaxed) {
        return;
    }
    match door.tls.clone() {
        None => converse(door, socket, reset, closing).await,
        Some(acceptor) => {
            if let Ok(Ok(stream)) = tokio::time::timeout(HEAD_TIMEOUT, acceptor.accept(socket)).await {
                converse(door, stream, reset, closing).await;
            }
        }
    }
}

async fn converse<S>(door: Door, socket: S, reset: Arc<AtomicBool>, mut closing: watch::Receiver<()>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut stop = door.stop.clone();
    let service = service_fn(move |request| answer(door.clone(), request, reset.clone()));
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(64 * 1024)
        .serve_connection(TokioIo::new(socket), service);
    let mut connection = std::pin::pin!(connection);
    let mut port_open = true;
    loop {
        tokio::select! {
            // Errors are the client's business: it went away, or was reset on purpose.
            _ = connection.as_mut() => return,
            _ = closing.changed(), if port_open => {
                port_open = false;
                connection.as_mut().graceful_shutdown();
            }
            _ = stop.wait_for(|stopped| *stopped) => return,
        }
    }
}

/// Reads one request and has it handled. The error closes the connection without an answer.
async fn answer(door: Door, incoming: hyper::Request<Incoming>, reset: Arc<AtomicBool>) -> Result<Response<Outgoing>, io::Error> {
    let request = match read(&door, incoming).await {
        Ok(request) => request,
        Err(refusal) => return Ok(write(refusal)),
    };
    let outcome = if door.service == Service::Control {
        Outcome::Answer(control::answer(&door.world, &request))
    } else {
        // Dropped with this future, that is, when the client has gone away.
        let (_present, gone) = watch::channel(());
        let task = tokio::spawn(pipeline::handle(door.world.clone(), request, door.stop.clone(), gone));
        task.await.unwrap_or(Outcome::Reset)
    };
    match outcome {
        Outcome::Answer(answer) => Ok(write(answer)),
        Outcome::Reset => {
            reset.store(true, Ordering::Relaxed);
            Err(io::Error::from(io::ErrorKind::ConnectionReset))
        }
    }
}

async fn read(door: &Door, incoming: hyper::Request<Incoming>) -> Result<Request, Answer> {
    let (head, body) = incoming.into_parts();
    let body = tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, BODY_BYTES).collect());
    let body = match body.await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(_)) => {
            return Err(Answer::text(413, "the body is larger than 1 MiB, or broke off"));
        }
        Err(_) => return Err(Answer::text(408, "the body took too long")),
    };
    let headers =
        head.headers.iter().map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
    let method = head.method.as_str().to_owned();
    Ok(Request::new(door.service, door.wire(), method, target, headers.collect(), body))
}

fn write(answer: Answer) -> Response<Outgoing> {
    let mut response = Response::new(match answer.body {
        Body::Whole(bytes) => Outgoing::Whole(Some(bytes)),
        Body::Paced { content, piece, pause_ms, ending } => paced(content, piece, pause_ms, ending),
    });
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in &answer.headers {
        if let (Ok(name), Ok(value)) = (hyper::header::HeaderName::try_from(name), hyper::header::HeaderValue::try_from(value)) {
            response.headers_mut().append(name, value);
        }
    }
    response
}

/// A body that a task feeds piece by piece; the task ends when the client has gone.
fn paced(content: Bytes, piece: usize, pause_ms: u64, ending: Ending) -> Outgoing {
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        let pause = Duration::from_millis(pause_ms);
        let feed = async {
            let mut sent: u64 = 0;
            while sent < ENDLESS_BYTES {
                for piece in content.chunks(piece.max(1)) {
                    if pause_ms > 0 {
                        tokio::time::sleep(pause).await;
                    }
                    sent = sent.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
                    if sender.send(Ok(content.slice_ref(piece))).await.is_err() {
                        return;
                    }
                }
                if ending != Ending::Endless {
                    break;
                }
            }
            if ending == Ending::Cut {
                let _ = sender.send(Err(io::Error::from(io::ErrorKind::BrokenPipe))).await;
            }
        };
        let _ = tokio::time::timeout(ENDLESS_TIME, feed).await;
    });
    Outgoing::Fed(receiver)
}

/// A response body.
enum Outgoing {
    Whole(Option<Bytes>),
    Fed(mpsc::Receiver<Result<Bytes, io::Error>>),
}

impl HttpBody for Outgoing {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Fed(receiver) => receiver.poll_recv(context).map(|piece| piece.map(|piece| piece.map(Frame::data))),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(Some(bytes)) => SizeHint::with_exact(u64::try_from(bytes.len()).unwrap_or(u64::MAX)),
            Self::Whole(None) => SizeHint::with_exact(0),
            Self::Fed(_) => SizeHint::default(),
        }
    }
}

/// A connection that is reset instead of closed, if told so before it is dropped.
struct Socket {
    stream: TcpStream,
    reset: Arc<AtomicBool>,
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.reset.load(Ordering::Relaxed) {
            // Zero linger makes the kernel send RST; if it cannot be set, a plain close is all there is.
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
