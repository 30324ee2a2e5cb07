//! What stands in for the sandbox before Heat's cfn-signal, which puts where ROS documents that one posts.

use super::Way;
use super::peers;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The most that is read of a body.
const LIMIT: usize = 64 * 1024;

/// Takes signals and counts those that say SUCCESS.
pub(super) struct Listener {
    address: SocketAddr,
    arrived: Arc<AtomicUsize>,
}

impl Listener {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, arrived) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
        let counted = Arc::clone(&arrived);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if answer(&stream).is_some_and(|body| body.contains("\"Status\": \"SUCCESS\"")) {
                    counted.fetch_add(1, Ordering::SeqCst);
                }
                // Counted before it is acknowledged.
                let _ = (&stream).write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}");
            }
        });
        Self { address, arrived }
    }

    /// Heat's cfn-signal, with a URL as long as that of a handle.
    pub(super) fn way(&self, runs: u64) -> Way<'_> {
        let url = format!(
            "http://{}/waitcondition?stackname=web&stackid={}&resource=WebReady&expire=1767316000&signature={}",
            self.address,
            super::STACK,
            "0".repeat(40)
        );
        let command = move |id: &str| {
            let mut command = Command::new(peers::installed("python/bin/python")?);
            command.arg(peers::installed("python/bin/cfn-signal")?).args(["--exit-code", "0", "--id", id]).arg(&url);
            Ok(command)
        };
        let arrived = || self.arrived.load(Ordering::SeqCst);
        Way { name: "cfn-signal of Heat", ours: false, runs, command: Box::new(command), arrived: Box::new(arrived) }
    }
}

/// The body of a request.
fn answer(stream: &TcpStream) -> Option<String> {
    let mut reader = BufReader::new(stream.take(LIMIT as u64));
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let line = line.trim();
        if line.is_empty() {
            break;
        }
        if let Some((_, value)) = line.split_once(':').filter(|(name, _)| name.eq_ignore_ascii_case("content-length")) {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; std::cmp::min(length, LIMIT)];
    reader.read_exact(&mut body).ok()?;
    String::from_utf8(body).ok()
}
