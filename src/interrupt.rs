//! What the operating system's signals ask of the daemon.
//!
//! The handler of `signal-hook` writes one byte into a socket pair, one pair for each signal (the byte does not say which signal it was),
//! and the loop reads the other end. SIGPIPE stays ignored, as Rust sets it, so that a lost reader is an error of a write; SIGCHLD is left
//! to tokio, which waits for children.

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::io;
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;

/// Bytes read at once where signals may be taken together. The kernel's buffer bounds what waits.
const TOGETHER: usize = 64;

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupt {
    /// SIGTERM or SIGINT: come to an end; the second time, at once.
    Terminate,
    /// SIGHUP: reload the configuration. Several in a row are one.
    Reload,
}

/// The signals of this process, from now on.
#[derive(Debug)]
pub struct Interrupts {
    term: UnixStream,
    int: UnixStream,
    hup: UnixStream,
}

impl Interrupts {
    /// Takes over SIGTERM, SIGINT and SIGHUP. Must be called inside the runtime; what they did before is not restored.
    ///
    /// # Errors
    /// If there are no descriptors left.
    pub fn new() -> io::Result<Self> {
        Ok(Self { term: listen(SIGTERM)?, int: listen(SIGINT)?, hup: listen(SIGHUP)? })
    }

    /// The next signal, terminations first. Safe to cancel: what was not returned stays for the next call.
    pub async fn next(&mut self) -> Interrupt {
        tokio::select! {
            biased;
            () = signalled::<1>(&mut self.term) => Interrupt::Terminate,
            () = signalled::<1>(&mut self.int) => Interrupt::Terminate,
            () = signalled::<TOGETHER>(&mut self.hup) => Interrupt::Reload,
        }
    }
}

fn listen(signal: i32) -> io::Result<UnixStream> {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    signal_hook::low_level::pipe::register(signal, theirs)?;
    UnixStream::from_std(ours)
}

/// Waits for at least one signal and takes up to `AT_MOST`.
async fn signalled<const AT_MOST: usize>(stream: &mut UnixStream) {
    let mut bytes = [0; AT_MOST];
    match stream.read(&mut bytes).await {
        Ok(1..) => {}
        // The handler keeps the other end for the life of the process.
        Ok(0) | Err(_) => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{Signal, getpid, kill_process};
    use std::time::Duration;
    use tokio::io::AsyncWriteExt;

    async fn soon(interrupts: &mut Interrupts) -> Option<Interrupt> {
        tokio::time::timeout(Duration::from_secs(60), interrupts.next()).await.ok()
    }

    fn send(signal: Signal) {
        kill_process(getpid(), signal).unwrap();
    }

    /// A signal to the process may be delivered on any of its threads, a little later: between two equal ones we wait for the first.
    /// One test for all, because signals belong to the whole process.
    #[tokio::test]
    async fn signals_of_the_system_become_interrupts() {
        let mut interrupts = Interrupts::new().unwrap();
        send(Signal::TERM);
        assert_eq!(soon(&mut interrupts).await, Some(Interrupt::Terminate));
        send(Signal::TERM);
        assert_eq!(soon(&mut interrupts).await, Some(Interrupt::Terminate), "a second one is seen");
        send(Signal::INT);
        assert_eq!(soon(&mut interrupts).await, Some(Interrupt::Terminate));
        send(Signal::HUP);
        assert_eq!(soon(&mut interrupts).await, Some(Interrupt::Reload));
    }

    /// No signals: the handler's bytes, so that what came together can be told exactly.
    #[tokio::test]
    async fn reloads_are_taken_together_and_terminations_one_by_one() {
        let (term, mut term_handler) = UnixStream::pair().unwrap();
        let (int, _int_handler) = UnixStream::pair().unwrap();
        let (hup, mut hup_handler) = UnixStream::pair().unwrap();
        let mut interrupts = Interrupts { term, int, hup };
        hup_handler.write_all(b"XXX").await.unwrap();
        term_handler.write_all(b"XX").await.unwrap();
        let mut seen = Vec::new();
        for _ in 0..3 {
            seen.push(soon(&mut interrupts).await.unwrap());
        }
        assert_eq!(seen, [Interrupt::Terminate, Interrupt::Terminate, Interrupt::Reload]);
        assert!(tokio::time::timeout(Duration::ZERO, interrupts.next()).await.is_err(), "nothing is left");
    }
}
