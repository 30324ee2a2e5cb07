//! What a server says first, and why TLS ended: by the first bytes another protocol is recognised, of which HTTP/2 says nothing that helps a
//! person, and it keeps no more than the words of an error.

use crate::probe::failure;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Enough to tell protocols apart.
const LENGTH: usize = 5;

/// What was noted, shared with the stream that notes it.
#[derive(Clone, Debug, Default)]
pub(super) struct Opening(Arc<Mutex<Heard>>);

#[derive(Debug, Default)]
struct Heard {
    first: Vec<u8>,
    tls: Option<rustls::Error>,
}

impl Opening {
    /// Nothing was said yet.
    pub(super) fn is_empty(&self) -> bool {
        self.heard().first.is_empty()
    }

    /// What it speaks instead of HTTP/2, and what to do; none: nothing that is known.
    pub(super) fn other_protocol(&self) -> Option<&'static str> {
        match self.heard().first.as_slice() {
            [b'H', b'T', b'T', b'P', b'/', ..] => Some("it answers in HTTP/1"),
            // A TLS alert (RFC 8446, section 5.1).
            [0x15, 0x03, ..] => Some("it speaks TLS, so write tls = true"),
            [b'S', b'S', b'H', b'-', ..] => Some("it speaks SSH"),
            _ => None,
        }
    }

    /// Why TLS ended after the handshake, for instance for want of a certificate (RFC 8446, section 4.4.2.4).
    pub(super) fn tls_error(&self) -> Option<rustls::Error> {
        self.heard().tls.clone()
    }

    fn note(&self, bytes: &[u8]) {
        let mut heard = self.heard();
        let room = LENGTH.saturating_sub(heard.first.len());
        heard.first.extend(bytes.iter().take(room));
    }

    fn note_error(&self, error: &io::Error) {
        if let Some(tls) = failure::tls_error(error) {
            self.heard().tls.get_or_insert_with(|| tls.clone());
        }
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stream of which that is noted.
pub(super) struct Noted<S> {
    pub(super) stream: S,
    pub(super) opening: Opening,
}

impl<S: AsyncRead + Unpin> AsyncRead for Noted<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.opening.note(buffer.filled().get(before..).unwrap_or_default());
        if let Poll::Ready(Err(error)) = &read {
            self.opening.note_error(error);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Noted<S> {
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
