//! The applications that `http` checks and the curl loop ask.

use super::now;
use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::time::SystemTime;

/// Applications behind one port: each answers 503 until it is ready, then 200.
#[derive(Default)]
pub(super) struct HttpApplications {
    pub(super) ready: Mutex<HashSet<String>>,
    /// Path and moment of each good answer.
    pub(super) answers: Mutex<Vec<(String, SystemTime)>>,
}

impl HttpApplications {
    pub(super) fn answer(&self, stream: &mut TcpStream) {
        let mut request = [0; 2048];
        let Ok(read) = stream.read(&mut request) else { return };
        let request = String::from_utf8_lossy(&request[..read]);
        let Some(path) = request.split(' ').nth(1) else { return };
        let status = if self.ready.lock().unwrap().contains(path) {
            self.answers.lock().unwrap().push((path.to_owned(), now()));
            "200 OK"
        } else {
            "503 Service Unavailable"
        };
        // Who asked may have gone.
        let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    }
}
