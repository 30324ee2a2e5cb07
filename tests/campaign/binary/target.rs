//! The application whose health the agent is to tell. The case says when it is well; each answer is written down, so that what the agent
//! can have seen is known exactly.

use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Longest head of a request that is read.
const HEAD: usize = 8 * 1024;

/// How it is at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    Well,
    /// It answers 503.
    Sorry,
    /// It takes the connection and hangs up.
    Rude,
    /// It never answers.
    Hung,
}

/// What the agent can have seen, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sight {
    Well,
    Unwell,
    /// The agent died, and forgot what it had seen.
    Death,
}

pub(super) type Sights = Vec<(Instant, Sight)>;

struct Shared {
    health: Mutex<Health>,
    sights: Mutex<Sights>,
}

/// A web service on loopback. Ends with this value.
pub(super) struct Target {
    pub(super) port: u16,
    shared: Arc<Shared>,
    _serving: JoinSet<()>,
}

impl Target {
    pub(super) async fn start(health: Health) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared { health: Mutex::new(health), sights: Mutex::default() });
        let mut serving = JoinSet::new();
        let theirs = Arc::clone(&shared);
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(answer(stream, Arc::clone(&theirs)));
                while connections.try_join_next().is_some() {}
            }
        });
        Self { port, shared, _serving: serving }
    }

    /// For whoever changes its health while the case goes on.
    pub(super) fn hand(&self) -> Hand {
        Hand(Arc::clone(&self.shared))
    }

    pub(super) fn died(&self) {
        self.shared.see(Sight::Death);
    }

    pub(super) fn sights(&self) -> Sights {
        self.shared.sights.lock().unwrap().clone()
    }
}

pub(super) struct Hand(Arc<Shared>);

impl Hand {
    /// Goes through `course`: so long as it is, and how it is then.
    pub(super) async fn go_through(self, course: Vec<(Duration, Health)>) {
        for (after, health) in course {
            tokio::time::sleep(after).await;
            *self.0.health.lock().unwrap() = health;
        }
    }
}

impl Shared {
    fn see(&self, sight: Sight) {
        self.sights.lock().unwrap().push((Instant::now(), sight));
    }
}

async fn answer(mut stream: TcpStream, shared: Arc<Shared>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_buf(&mut head).await {
            Ok(1..) if head.len() <= HEAD => {}
            // Such as the check that only connects.
            _ => return,
        }
    }
    let health = *shared.health.lock().unwrap();
    let text: &[u8] = match health {
        Health::Well => b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok",
        Health::Sorry => b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 5\r\nconnection: close\r\n\r\nsorry",
        Health::Rude => return shared.see(Sight::Unwell),
        Health::Hung => {
            // It is known to be unwell when the agent has lost its patience.
            let _ = stream.read(&mut [0]).await;
            return shared.see(Sight::Unwell);
        }
    };
    shared.see(if health == Health::Well { Sight::Well } else { Sight::Unwell });
    let _ = stream.write_all(text).await;
}
