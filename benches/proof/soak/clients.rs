//! Clients of the control socket as a day brings them: they look, follow, wait, push, ask for nonsense, and many go away in the midst of it.

use crate::stage::wait;
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Between two of them.
const PACE: Duration = Duration::from_millis(400);

/// How many clients linger before the oldest goes away.
const LINGERING: usize = 5;

pub(crate) struct Clients {
    stop: Arc<AtomicBool>,
    count: Arc<AtomicU64>,
}

impl Clients {
    pub(crate) fn begin(socket: &Path) -> Self {
        let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (ends, counts, socket) = (Arc::clone(&stop), Arc::clone(&count), socket.to_owned());
        std::thread::spawn(move || {
            let mut lingering = VecDeque::new();
            for turn in 0_u64.. {
                if ends.load(Ordering::Relaxed) {
                    return;
                }
                // The agent may be busy: a client that gets no answer is one more that vanishes.
                if let Ok(stream) = visit(&socket, turn) {
                    counts.fetch_add(1, Ordering::Relaxed);
                    lingering.extend(stream);
                }
                if lingering.len() > LINGERING {
                    lingering.pop_front();
                }
                wait(PACE);
            }
        });
        Self { stop, count }
    }

    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// One client; it may leave a connection that goes on for a while.
fn visit(socket: &Path, turn: u64) -> std::io::Result<Option<UnixStream>> {
    let push = |health: &str| {
        let body = format!("{{\"check\": \"ttl-{}\", \"health\": \"{health}\", \"text\": \"told {turn}\"}}", turn % 2);
        say(socket, "POST", "/push", &body).map(|_| None)
    };
    match turn % 12 {
        0 | 6 => say(socket, "GET", "/status", "").map(|_| None),
        1 => say(socket, "GET", "/metrics", "").map(|_| None),
        2 | 5 => push("passing"),
        // In a while of its own it is critical: both of them, one after the other.
        3 | 8 => push(if (turn / 600) % 3 == 2 { "critical" } else { "passing" }),
        4 => say(socket, "GET", "/history", "").map(|_| None),
        7 => begun(socket, "GET /wait?for=healthy&timeout=60s HTTP/1.1\r\nHost: agent\r\n\r\n").map(Some),
        9 => begun(socket, "GET /events HTTP/1.1\r\nHost: agent\r\n\r\n").map(Some),
        // Half of a request, and gone; half of one that stays; and an answer that nobody reads.
        10 => begun(socket, "POST /push HTTP/1.1\r\nHost: agent\r\nContent-Length: 500\r\n\r\n{")
            .map(|stream| (turn % 24 == 10).then_some(stream)),
        _ => begun(socket, "GET /status HTTP/1.1\r\nHost: agent\r\n\r\n").map(|_| None),
    }
}

fn begun(socket: &Path, request: &str) -> std::io::Result<UnixStream> {
    let mut stream = UnixStream::connect(socket)?;
    stream.write_all(request.as_bytes())?;
    Ok(stream)
}

/// A request and its whole answer.
pub(crate) fn say(socket: &Path, method: &str, path: &str, body: &str) -> std::io::Result<String> {
    let mut stream = UnixStream::connect(PathBuf::from(socket))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: agent\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
