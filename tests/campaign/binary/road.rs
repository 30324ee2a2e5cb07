//! The way from the agent to ROS: a proxy for bytes in front of the sandbox. It stops after a given byte of the request that signals, or of
//! its answer, and it has weathers: refusal, half-open connections, a captive portal, bodies that are slow or never end.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Largest piece that is carried at once.
const PIECE: usize = 16 * 1024;
/// Bytes of a body that never ends, so that the road ends it at some time.
const ENDLESS: usize = 64 * 1024 * 1024;

const PORTAL: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nconnection: close\r\n\r\n\
    <html><head><title>Welcome</title></head><body><form action=\"/login\">RequestId: accept our terms</form></body></html>";
const PORTAL_THAT_SPEAKS_JSON: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n{\"login\": \"http://portal.invalid/\"}";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weather {
    Clear,
    /// Connections are reset at once.
    Refused,
    /// Connections stand, and nothing comes through any more.
    HalfOpen,
    /// Somebody else answers 200.
    Portal,
    PortalThatSpeaksJson,
    /// Each byte of an answer takes this many milliseconds.
    Slow(u64),
    /// Somebody answers 200, and never ends.
    Endless,
}

/// Where the road stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// After so many bytes of the request that signals; perhaps all of them.
    Request(usize),
    /// After so many bytes of the answer to it.
    Answer(usize),
}

#[derive(Default)]
struct Seen {
    /// When the first request that signals came by, and when the first that says SUCCESS did.
    signal: Option<Instant>,
    success: Option<Instant>,
    /// Connections that are not closed by the agent.
    open: usize,
}

struct Shared {
    to: SocketAddr,
    weather: Mutex<Weather>,
    cut: Mutex<Option<Cut>>,
    cut_reached: Notify,
    signalled: Notify,
    quiet: Notify,
    seen: Mutex<Seen>,
}

/// A road that ends with this value.
pub(super) struct Road {
    pub(super) port: u16,
    shared: Arc<Shared>,
    _carrying: JoinSet<()>,
}

impl Road {
    /// To the service behind `url`, which is `http://ADDRESS`.
    pub(super) async fn to(url: &str) -> Self {
        let to = url.trim_start_matches("http://").trim_end_matches('/').parse().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            to,
            weather: Mutex::new(Weather::Clear),
            cut: Mutex::default(),
            cut_reached: Notify::new(),
            signalled: Notify::new(),
            quiet: Notify::new(),
            seen: Mutex::default(),
        });
        let theirs = Arc::clone(&shared);
        let mut carrying = JoinSet::new();
        carrying.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                theirs.seen.lock().unwrap().open += 1;
                let shared = Arc::clone(&theirs);
                connections.spawn(async move {
                    // Resets and the like are what this is about.
                    let _ = carry(stream, &shared).await;
                    let mut seen = shared.seen.lock().unwrap();
                    seen.open -= 1;
                    if seen.open == 0 {
                        shared.quiet.notify_waiters();
                    }
                });
                while connections.try_join_next().is_some() {}
            }
        });
        Self { port, shared, _carrying: carrying }
    }

    pub(super) fn hand(&self) -> Hand {
        Hand(Arc::clone(&self.shared))
    }

    /// Arms one cut.
    pub(super) fn cut(&self, cut: Cut) {
        *self.shared.cut.lock().unwrap() = Some(cut);
    }

    /// Waits until the road has stopped where it was cut.
    pub(super) async fn is_cut(&self) {
        self.shared.cut_reached.notified().await;
    }

    /// Waits for the next request that signals.
    pub(super) async fn is_signalled(&self) {
        self.shared.signalled.notified().await;
    }

    /// Waits until all that a dead agent has sent has come by.
    pub(super) async fn is_quiet(&self) {
        let quiet = self.shared.quiet.notified();
        tokio::pin!(quiet);
        quiet.as_mut().enable();
        if self.shared.seen.lock().unwrap().open > 0 {
            quiet.await;
        }
    }

    pub(super) fn first_signal(&self) -> Option<Instant> {
        self.shared.seen.lock().unwrap().signal
    }

    pub(super) fn first_success(&self) -> Option<Instant> {
        self.shared.seen.lock().unwrap().success
    }
}

pub(super) struct Hand(Arc<Shared>);

impl Hand {
    pub(super) fn set(&self, weather: Weather) {
        *self.0.weather.lock().unwrap() = weather;
    }
}

impl Shared {
    fn weather(&self) -> Weather {
        *self.weather.lock().unwrap()
    }

    /// Looks at a piece of a request; whether it signals.
    fn note(&self, piece: &[u8]) -> bool {
        let holds = |text: &[u8]| piece.windows(text.len()).any(|window| window == text);
        if !holds(b"SignalResource") {
            return false;
        }
        let now = Instant::now();
        let mut seen = self.seen.lock().unwrap();
        seen.signal.get_or_insert(now);
        if holds(b"SUCCESS") {
            seen.success.get_or_insert(now);
        }
        self.signalled.notify_waiters();
        true
    }

    /// How much of a piece may pass, if the road is cut here.
    fn cut_here(&self, of_request: bool) -> Option<usize> {
        let mut cut = self.cut.lock().unwrap();
        let bytes = match (*cut, of_request) {
            (Some(Cut::Request(bytes)), true) | (Some(Cut::Answer(bytes)), false) => bytes,
            _ => return None,
        };
        *cut = None;
        Some(bytes)
    }
}

/// One connection from its beginning to its end.
async fn carry(mut agent: TcpStream, shared: &Shared) -> std::io::Result<()> {
    match shared.weather() {
        Weather::Refused => return agent.set_zero_linger(),
        Weather::HalfOpen => return swallow(&mut agent).await,
        Weather::Portal => return answer(&mut agent, shared, PORTAL).await,
        Weather::PortalThatSpeaksJson => return answer(&mut agent, shared, PORTAL_THAT_SPEAKS_JSON).await,
        Weather::Endless => return answer_for_ever(&mut agent, shared).await,
        Weather::Clear | Weather::Slow(_) => {}
    }
    let mut ros = TcpStream::connect(shared.to).await?;
    let (mut up, mut down) = (vec![0; PIECE], vec![0; PIECE]);
    let mut signals = false;
    loop {
        let (count, of_request) = tokio::select! {
            count = agent.read(&mut up) => (count?, true),
            count = ros.read(&mut down) => (count?, false),
        };
        if count == 0 {
            return Ok(());
        }
        let weather = shared.weather();
        if weather == Weather::HalfOpen {
            // What stands still stands: neither side hears that the other is gone.
            return swallow(&mut agent).await;
        }
        let piece = if of_request { &up[..count] } else { &down[..count] };
        if of_request {
            signals = shared.note(piece);
        }
        let cut = if signals { shared.cut_here(of_request) } else { None };
        let passes = &piece[..cut.unwrap_or(count).min(count)];
        match (of_request, weather) {
            (true, _) => ros.write_all(passes).await?,
            (false, Weather::Slow(ms)) => drip(&mut agent, passes, ms).await?,
            (false, _) => agent.write_all(passes).await?,
        }
        if cut.is_some() {
            shared.cut_reached.notify_one();
            return swallow(&mut agent).await;
        }
    }
}

/// Until the agent hangs up, or dies.
async fn swallow(agent: &mut TcpStream) -> std::io::Result<()> {
    let mut bytes = [0; 1024];
    while agent.read(&mut bytes).await? > 0 {}
    Ok(())
}

async fn drip(agent: &mut TcpStream, bytes: &[u8], ms: u64) -> std::io::Result<()> {
    for byte in bytes.chunks(1) {
        tokio::time::sleep(Duration::from_millis(ms)).await;
        agent.write_all(byte).await?;
    }
    Ok(())
}

async fn asked(agent: &mut TcpStream, shared: &Shared) -> std::io::Result<()> {
    let mut bytes = vec![0; PIECE];
    let count = agent.read(&mut bytes).await?;
    shared.note(&bytes[..count]);
    Ok(())
}

async fn answer(agent: &mut TcpStream, shared: &Shared, text: &str) -> std::io::Result<()> {
    asked(agent, shared).await?;
    agent.write_all(text.as_bytes()).await?;
    agent.shutdown().await
}

async fn answer_for_ever(agent: &mut TcpStream, shared: &Shared) -> std::io::Result<()> {
    asked(agent, shared).await?;
    agent.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{\"RequestId\": \"").await?;
    let piece = vec![b'A'; PIECE];
    for _ in 0..ENDLESS / PIECE {
        agent.write_all(&piece).await?;
        tokio::task::yield_now().await;
    }
    Ok(())
}
