//! The two pipes of a child, read as it writes so that it never waits for us, into what is kept of them.

use super::output::{Output, Stream};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;

/// What is read from a pipe at once.
pub(super) const CHUNK: usize = 16 * 1024;

/// The reading ends of a child's output. `None` once the last writer has closed.
pub(super) struct Pipes {
    out: Option<pipe::Receiver>,
    err: Option<pipe::Receiver>,
    pub(super) output: Output,
}

impl Pipes {
    pub(super) fn new(out: pipe::Receiver, err: pipe::Receiver) -> Self {
        Self { out: Some(out), err: Some(err), output: Output::default() }
    }

    /// Reads both until `done`. Cancel-safe.
    pub(super) async fn read_while(&mut self, done: impl Future<Output = ()>) {
        tokio::select! {
            () = done => {}
            () = async { self.read_to_end().await; std::future::pending().await } => {}
        }
    }

    /// Reads both until all writers have closed. Cancel-safe: a cancelled read of a pipe has taken nothing.
    pub(super) async fn read_to_end(&mut self) {
        let mut from_out = vec![0; CHUNK];
        let mut from_err = vec![0; CHUNK];
        while self.out.is_some() || self.err.is_some() {
            let (stream, read) = tokio::select! {
                read = read(&mut self.out, &mut from_out) => (Stream::Out, read),
                read = read(&mut self.err, &mut from_err) => (Stream::Err, read),
            };
            let buffer = if stream == Stream::Out { &from_out } else { &from_err };
            match buffer.get(..read).filter(|bytes| !bytes.is_empty()) {
                Some(bytes) => self.output.push(stream, bytes),
                None if stream == Stream::Out => self.out = None,
                None => self.err = None,
            }
        }
    }
}

/// How many bytes came; 0 at the end, or when the pipe cannot be read any more. Waits for ever if there is no pipe.
pub(super) async fn read(pipe: &mut Option<pipe::Receiver>, buffer: &mut [u8]) -> usize {
    match pipe {
        Some(pipe) => pipe.read(buffer).await.unwrap_or(0),
        None => std::future::pending().await,
    }
}
