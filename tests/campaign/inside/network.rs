//! The network between the agent and ROS: a host of its own on loopback that hands requests on to the sandbox, or does with them what
//! networks do.

use ros_signal_agent::retry::Random;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};

/// Longest that anything here waits for the other side to go away.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Side {
    Request,
    Answer,
}

/// How a connection ends in the middle.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Cut {
    Close,
    Reset,
    /// Nothing more comes.
    Stall,
}

impl Cut {
    pub(crate) const ALL: [Self; 3] = [Self::Close, Self::Reset, Self::Stall];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Close => "the connection is closed",
            Self::Reset => "the connection is reset",
            Self::Stall => "the connection goes dead",
        }
    }
}

/// What the network does with an attempt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Weather {
    Refused,
    NoName,
    ResetAtOnce,
    HalfOpen,
    ResetBefore,
    ResetAfter,
    ClosedAfter,
    Slow,
    TooSlow,
    Endless,
    Captive,
    CaptiveAfter,
    Redirect,
    OtherType,
    Empty,
    EmptyAfter,
    Status(u16),
    StatusAfter(u16),
    Garbage,
    NoRequestId,
    HalfJson,
    // ROS itself says these.
    Throttled,
    ThrottledWithHint,
    InternalError,
    TooEarly,
    StackNotFound,
    Forbidden,
}

impl Weather {
    pub(crate) const ALL: [Self; 30] = [
        Self::Refused,
        Self::NoName,
        Self::ResetAtOnce,
        Self::HalfOpen,
        Self::ResetBefore,
        Self::ResetAfter,
        Self::ClosedAfter,
        Self::Slow,
        Self::TooSlow,
        Self::Endless,
        Self::Captive,
        Self::CaptiveAfter,
        Self::Redirect,
        Self::OtherType,
        Self::Empty,
        Self::EmptyAfter,
        Self::Status(500),
        Self::Status(502),
        Self::Status(503),
        Self::Status(429),
        Self::StatusAfter(504),
        Self::Garbage,
        Self::NoRequestId,
        Self::HalfJson,
        Self::Throttled,
        Self::ThrottledWithHint,
        Self::InternalError,
        Self::TooEarly,
        Self::StackNotFound,
        Self::Forbidden,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Refused => "connection refused",
            Self::NoName => "DNS dead",
            Self::ResetAtOnce => "reset when connected",
            Self::HalfOpen => "half-open: accepts, never answers",
            Self::ResetBefore => "reset, request not processed",
            Self::ResetAfter => "reset, request processed",
            Self::ClosedAfter => "closed without answer, request processed",
            Self::Slow => "slow answer",
            Self::TooSlow => "answer slower than the timeout",
            Self::Endless => "endless body",
            Self::Captive => "captive portal: 200 with HTML",
            Self::CaptiveAfter => "200 with HTML, request processed",
            Self::Redirect => "redirect to a captive portal",
            Self::OtherType => "other content type",
            Self::Empty => "empty 200",
            Self::EmptyAfter => "empty 200, request processed",
            Self::Status(429) => "429 of a gateway",
            Self::Status(_) => "5xx of a gateway",
            Self::StatusAfter(_) => "5xx of a gateway, request processed",
            Self::Garbage => "garbage",
            Self::NoRequestId => "200 with JSON that is not ROS's",
            Self::HalfJson => "200 with half of an answer, request processed",
            Self::Throttled => "throttled",
            Self::ThrottledWithHint => "throttled, with a time to wait",
            Self::InternalError => "InternalError of ROS",
            Self::TooEarly => "the handle is not there yet",
            Self::StackNotFound => "StackNotFound",
            Self::Forbidden => "RAM forbids it",
        }
    }

    /// As the sandbox does it, where ROS itself says it.
    pub(crate) fn of_ros(self) -> Option<ros_sandbox::Effect> {
        use ros_sandbox::Effect;
        Some(match self {
            Self::Throttled => Effect::throttle(None),
            Self::ThrottledWithHint => Effect::throttle(Some(30_000)),
            Self::InternalError => Effect::error(500, "InternalError"),
            Self::TooEarly => Effect::TooEarly,
            Self::StackNotFound => Effect::StackNotFound,
            Self::Forbidden => Effect::Forbidden,
            _ => return None,
        })
    }
}

/// What is to happen, and what was seen.
#[derive(Debug, Default)]
struct Script {
    weather: Option<Weather>,
    /// For the next signal.
    cut: Option<(Side, usize, Option<Cut>)>,
    /// Lengths of the last signal and of its answer.
    lengths: (usize, usize),
}

/// The moment has come. Dropped: the agent is dead; answered: it lives on, and its connection too, or not.
#[derive(Debug)]
pub(crate) struct Struck(pub(crate) oneshot::Sender<bool>);

/// The way to one sandbox.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) address: SocketAddr,
    /// Does not listen, and keeps the port from others while it is closed.
    _port: TcpSocket,
    upstream: SocketAddr,
    script: Arc<Mutex<Script>>,
    tell: mpsc::Sender<Struck>,
    pub(crate) struck: mpsc::Receiver<Struck>,
    accepting: Option<JoinHandle<()>>,
}

impl Drop for Network {
    fn drop(&mut self) {
        if let Some(accepting) = &self.accepting {
            accepting.abort();
        }
    }
}

/// Shares its address with others of this kind; connections go to the one that listens.
fn bound(address: SocketAddr) -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.set_reuseport(true).unwrap();
    socket.bind(address).unwrap();
    socket
}

impl Network {
    pub(crate) async fn to(upstream: SocketAddr) -> Self {
        let port = bound("127.0.0.1:0".parse().unwrap());
        let (tell, struck) = mpsc::channel(4);
        let address = port.local_addr().unwrap();
        let mut network = Self { address, _port: port, upstream, script: Arc::default(), tell, struck, accepting: None };
        network.open().await;
        network
    }

    fn accept(&mut self, listener: TcpListener) {
        let (script, tell, upstream) = (Arc::clone(&self.script), self.tell.clone(), self.upstream);
        self.accepting = Some(tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        let Ok((stream, _)) = accepted else { continue };
                        let _ = stream.set_nodelay(true);
                        let line = Line { script: Arc::clone(&script), tell: tell.clone(), upstream, onward: None };
                        connections.spawn(line.serve(stream));
                    }
                    Some(_) = connections.join_next() => {}
                }
            }
        }));
    }

    /// Closes the port, and what is connected.
    async fn close(&mut self) {
        if let Some(accepting) = self.accepting.take() {
            accepting.abort();
            let _ = accepting.await;
        }
    }

    async fn open(&mut self) {
        if self.accepting.is_none() {
            self.accept(bound(self.address).listen(1024).unwrap());
        }
    }

    /// Of the next attempts.
    pub(crate) async fn set(&mut self, weather: Option<Weather>) {
        self.script.lock().unwrap().weather = weather;
        match weather {
            Some(Weather::Refused) => self.close().await,
            _ => self.open().await,
        }
    }

    /// The next signal is cut there; none: the moment is told, and it goes on as it is answered.
    pub(crate) fn cut(&self, side: Side, byte: usize, how: Option<Cut>) {
        self.script.lock().unwrap().cut = Some((side, byte, how));
    }

    pub(crate) fn lengths(&self) -> (usize, usize) {
        self.script.lock().unwrap().lengths
    }

    /// Nothing is left of the case before.
    pub(crate) async fn clear(&mut self) {
        self.close().await;
        self.open().await;
        *self.script.lock().unwrap() = Script::default();
        while self.struck.try_recv().is_ok() {}
    }
}

/// One connection.
struct Line {
    script: Arc<Mutex<Script>>,
    tell: mpsc::Sender<Struck>,
    upstream: SocketAddr,
    onward: Option<TcpStream>,
}

fn page(status: &str, headers: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

fn html(status: &str) -> Vec<u8> {
    page(status, "Content-Type: text/html\r\n", "<html><head><title>Welcome</title></head><body>Please log in.</body></html>")
}

/// A whole message with a length, or none.
async fn message(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
            if bytes.len() >= end + 4 + length.unwrap_or(0) {
                return Some(bytes);
            }
        }
        match stream.read(&mut buffer).await {
            Ok(count) if count > 0 && bytes.len() < 1 << 20 => bytes.extend_from_slice(&buffer[..count]),
            _ => return None,
        }
    }
}

/// Waits until the other side has gone away.
async fn outlast(mut stream: TcpStream) {
    let mut buffer = [0; 1024];
    let gone = async { while matches!(stream.read(&mut buffer).await, Ok(count) if count > 0) {} };
    let _ = tokio::time::timeout(PATIENCE, gone).await;
}

impl Line {
    async fn serve(mut self, mut stream: TcpStream) {
        if self.weather() == Some(Weather::ResetAtOnce) {
            let _ = stream.set_zero_linger();
            return;
        }
        while let Some(request) = message(&mut stream).await {
            let is_signal = request.windows(14).any(|window| window == b"SignalResource");
            let cut = if is_signal { self.script.lock().unwrap().cut.take() } else { None };
            let next = match (cut, self.weather()) {
                (Some((side, byte, how)), _) => self.cut(stream, &request, side, byte, how).await,
                (None, Some(weather)) => self.storm(stream, &request, weather).await,
                (None, None) => self.pass(stream, &request, is_signal).await,
            };
            match next {
                Some(next) => stream = next,
                None => return,
            }
        }
    }

    fn weather(&self) -> Option<Weather> {
        self.script.lock().unwrap().weather
    }

    /// The sandbox's answer.
    async fn process(&mut self, request: &[u8]) -> Option<Vec<u8>> {
        for _ in 0..2 {
            let mut onward = match self.onward.take() {
                Some(onward) => onward,
                None => TcpStream::connect(self.upstream).await.ok()?,
            };
            let _ = onward.set_nodelay(true);
            if onward.write_all(request).await.is_ok()
                && let Some(answer) = message(&mut onward).await
            {
                self.onward = Some(onward);
                return Some(answer);
            }
        }
        None
    }

    async fn pass(&mut self, mut stream: TcpStream, request: &[u8], is_signal: bool) -> Option<TcpStream> {
        let answer = self.process(request).await?;
        if is_signal {
            self.script.lock().unwrap().lengths = (request.len(), answer.len());
        }
        stream.write_all(&answer).await.ok()?;
        Some(stream)
    }

    async fn cut(&mut self, mut stream: TcpStream, request: &[u8], side: Side, byte: usize, how: Option<Cut>) -> Option<TcpStream> {
        let (arrived, answer) = match side {
            Side::Request if byte < request.len() => {
                // So much of it arrives.
                let mut onward = TcpStream::connect(self.upstream).await.ok()?;
                onward.write_all(&request[..byte]).await.ok()?;
                (false, Vec::new())
            }
            _ => (true, self.process(request).await?),
        };
        if side == Side::Answer {
            stream.write_all(&answer[..byte.min(answer.len())]).await.ok()?;
        }
        match how {
            Some(Cut::Close) => return None,
            Some(Cut::Reset) => {
                let _ = stream.set_zero_linger();
                return None;
            }
            Some(Cut::Stall) => {
                outlast(stream).await;
                return None;
            }
            None => {}
        }
        let (answered, lives) = oneshot::channel();
        let _ = self.tell.send(Struck(answered)).await;
        // The agent is dead, or it has slept through its own time limit.
        if !lives.await.ok()? {
            outlast(stream).await;
            return None;
        }
        let answer = if arrived { answer } else { self.process(request).await? };
        let written = if side == Side::Answer { byte.min(answer.len()) } else { 0 };
        stream.write_all(&answer[written..]).await.ok()?;
        Some(stream)
    }

    async fn storm(&mut self, mut stream: TcpStream, request: &[u8], weather: Weather) -> Option<TcpStream> {
        let answer = match weather {
            Weather::ResetAtOnce | Weather::ResetBefore => {
                let _ = stream.set_zero_linger();
                return None;
            }
            Weather::HalfOpen => {
                outlast(stream).await;
                return None;
            }
            Weather::ResetAfter => {
                self.process(request).await?;
                let _ = stream.set_zero_linger();
                return None;
            }
            Weather::ClosedAfter => {
                self.process(request).await?;
                return None;
            }
            Weather::Slow | Weather::TooSlow => {
                let answer = self.process(request).await?;
                let (piece, pause) = if weather == Weather::Slow { (64, 1) } else { (1, 20) };
                for piece in answer.chunks(piece) {
                    stream.write_all(piece).await.ok()?;
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                }
                return Some(stream);
            }
            Weather::Endless => {
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{\"RequestId\":\"").await.ok()?;
                // The client hangs up long before this is over.
                for _ in 0..1_000 {
                    stream.write_all(&[b'7'; 4096]).await.ok()?;
                }
                return None;
            }
            Weather::Captive => html("200 OK"),
            Weather::CaptiveAfter => self.process(request).await.map(|_| html("200 OK"))?,
            Weather::Redirect if request.starts_with(b"GET /portal") => html("200 OK"),
            Weather::Redirect => page("302 Found", "Location: /portal\r\n", ""),
            Weather::OtherType => {
                let answer = String::from_utf8_lossy(&self.process(request).await?).into_owned();
                answer.replace("application/json", "text/html").into_bytes()
            }
            Weather::Empty => page("200 OK", "", ""),
            Weather::EmptyAfter => self.process(request).await.map(|_| page("200 OK", "", ""))?,
            Weather::Status(status) => html(&format!("{status} Gateway")),
            Weather::StatusAfter(status) => self.process(request).await.map(|_| html(&format!("{status} Gateway")))?,
            Weather::Garbage => {
                let mut random = Random::new(request.len() as u64);
                (0..200).flat_map(|_| random.draw().to_le_bytes()).collect()
            }
            Weather::NoRequestId => page("200 OK", "Content-Type: application/json\r\n", "{\"ok\":true}"),
            Weather::HalfJson => {
                let answer = self.process(request).await?;
                let half = String::from_utf8_lossy(&answer[answer.len().saturating_sub(20)..]).into_owned();
                page("200 OK", "Content-Type: application/json\r\n", &half)
            }
            _ => self.process(request).await?,
        };
        stream.write_all(&answer).await.ok()?;
        // What is not HTTP is the last thing on its connection.
        (weather != Weather::Garbage).then_some(stream)
    }
}
