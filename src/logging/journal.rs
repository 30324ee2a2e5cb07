//! The native protocol of the journal, <https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>: each event is one datagram of fields, so that what
//! it is about can be asked for: `journalctl ROS_SIGNAL=web`.
//!
//! ```text
//! PRIORITY=4
//! MESSAGE=agent: signal web: verdict failure: ...
//! SYSLOG_IDENTIFIER=ros-signal-agent
//! TARGET=agent
//! ROS_SIGNAL=web
//! ROS_STACK_ID=4a6c9851-3b0f-4f5f-b4ca-a14bf6910000
//! ```
//!
//! Values are escaped into one line each, as in the other formats, so the binary form of a field is never needed and nobody can write
//! fields of his own. What a journal does not take within [`PATIENCE`] goes to standard error as a line, which is the journal too but has
//! no fields, and until it takes one again nobody waits for it; what standard error does not take at once is lost, and how much it was is
//! said when one of the two takes lines again. So the loop does not wait for a journal that is stuck.

use super::{Escaping, bounded, cut};
use rustix::net::{SendFlags, send};
use std::fmt::{self, Write};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tracing::Event;
use tracing::field::{Field, Visit};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;

/// Where journald listens.
const SOCKET: &str = "/run/systemd/journal/socket";

/// How long a full socket is waited for. The kernel lets few datagrams wait (net.unix.max_dgram_qlen), and journald takes each in microseconds.
const PATIENCE: Duration = Duration::from_millis(20);

/// Bytes of a field's value; the message, in which it mostly stands too, may be longer.
const FIELD_LIMIT: usize = 1024;

const IDENTIFIER: &str = "ros-signal-agent";

/// Writes an event as the text of a datagram, `PRIORITY` and `MESSAGE` first.
pub(super) fn write_entry(writer: &mut Writer<'_>, priority: u8, room: &str, message: &str, event: &Event<'_>) -> fmt::Result {
    let message = bounded(message);
    write!(writer, "PRIORITY={priority}\nMESSAGE={message}\nSYSLOG_IDENTIFIER={IDENTIFIER}\nTARGET={room}\n")?;
    let mut fields = Fields { writer, result: Ok(()) };
    event.record(&mut fields);
    fields.result
}

/// Fields of an event as fields of the journal.
struct Fields<'a, 'w> {
    writer: &'a mut Writer<'w>,
    result: fmt::Result,
}

impl Fields<'_, '_> {
    fn put(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        if field.name() == "message" || self.result.is_err() {
            return;
        }
        let mut text = String::new();
        self.result =
            Escaping(&mut text).write_fmt(value).and_then(|()| writeln!(self.writer, "{}={}", name(field), cut(&text, FIELD_LIMIT)));
    }
}

impl Visit for Fields<'_, '_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format_args!("{value:?}"));
    }
}

/// `ROS_STACK_ID` of `ros.stack_id` and of `stack_id`. Names in the journal are of capitals, digits and `_`, at most 64.
fn name(field: &Field) -> String {
    let own = field.name().strip_prefix(super::SILENT).unwrap_or(field.name());
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    "ROS_".chars().chain(own.chars().map(plain)).take(64).collect()
}

/// The way to the journal.
#[derive(Debug)]
pub(super) struct Journal {
    socket: UnixDatagram,
    path: PathBuf,
    /// Standard error: a stream socket to the journal.
    stream: OwnedFd,
    lost: AtomicU64,
    /// It took nothing within [`PATIENCE`]: until it does again nobody waits for it.
    stuck: AtomicBool,
}

impl Journal {
    /// The journal of this host; standard error must lead to it too.
    ///
    /// # Errors
    /// If there are no descriptors left.
    pub(super) fn of_this_host() -> io::Result<Self> {
        Self::at(PathBuf::from(SOCKET), io::stderr().as_fd().try_clone_to_owned()?)
    }

    fn at(path: PathBuf, stream: OwnedFd) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { socket, path, stream, lost: AtomicU64::new(0), stuck: AtomicBool::new(false) })
    }

    fn take(&self, entry: &[u8]) -> io::Result<()> {
        // By path each time: journald may have been started again at a new socket.
        match self.socket.send_to(entry, &self.path) {
            Ok(_) => {
                self.is_stuck(false);
                Ok(())
            }
            Err(error) => {
                if error.kind() == io::ErrorKind::WouldBlock {
                    self.is_stuck(true);
                }
                self.take_line(entry)
            }
        }
    }

    fn is_stuck(&self, stuck: bool) {
        if self.stuck.swap(stuck, Ordering::Relaxed) != stuck {
            // It does not fail for a socket; if it did, lines would be waited for, or not, as before.
            let _ = self.socket.set_nonblocking(stuck);
        }
    }

    fn take_line(&self, entry: &[u8]) -> io::Result<()> {
        let mut lines = entry.split(|byte| *byte == b'\n');
        let priority = lines.next().and_then(|line| line.strip_prefix(b"PRIORITY=")).unwrap_or(b"6");
        let message = lines.next().and_then(|line| line.strip_prefix(b"MESSAGE=")).unwrap_or_default();
        let line = [b"<", priority, b">", message, b"\n"].concat();
        // Short enough that the kernel takes it whole or not at all.
        send(&self.stream, &line, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?;
        Ok(())
    }
}

impl io::Write for &Journal {
    fn write(&mut self, entry: &[u8]) -> io::Result<usize> {
        if self.take(entry).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return Ok(entry.len());
        }
        let lost = self.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let said = format!(
                "PRIORITY=4\nMESSAGE=logging: {lost} lines were lost, because the journal did not take them\nSYSLOG_IDENTIFIER={IDENTIFIER}\n"
            );
            if self.take(said.as_bytes()).is_err() {
                self.lost.fetch_add(lost, Ordering::Relaxed);
            }
        }
        Ok(entry.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for Journal {
    type Writer = &'w Self;

    fn make_writer(&'w self) -> Self::Writer {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Moment;
    use crate::logging::{Format, subscriber};
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    /// A journal that nobody has read from yet, and the other end of standard error.
    struct Desk {
        _folder: tempfile::TempDir,
        path: PathBuf,
        datagrams: Option<UnixDatagram>,
        lines: UnixStream,
    }

    impl Desk {
        fn new() -> (Self, Journal) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("socket");
            let datagrams = UnixDatagram::bind(&path).unwrap();
            datagrams.set_nonblocking(true).unwrap();
            let (lines, stream) = UnixStream::pair().unwrap();
            lines.set_nonblocking(true).unwrap();
            let journal = Journal::at(path.clone(), stream.into()).unwrap();
            (Self { _folder: folder, path, datagrams: Some(datagrams), lines }, journal)
        }

        fn entries(&self) -> Vec<String> {
            let mut buffer = vec![0; 1 << 18];
            let datagrams = self.datagrams.as_ref().unwrap();
            std::iter::from_fn(|| datagrams.recv(&mut buffer).ok().map(|size| String::from_utf8(buffer[..size].to_vec()).unwrap()))
                .collect()
        }

        fn line(&mut self) -> String {
            let mut text = Vec::new();
            let _ = self.lines.read_to_end(&mut text);
            String::from_utf8(text).unwrap()
        }
    }

    fn entry(text: &str) -> String {
        format!("PRIORITY=6\nMESSAGE={text}\nSYSLOG_IDENTIFIER=x\n")
    }

    fn put(mut journal: &Journal, text: &str) {
        use io::Write;
        journal.write_all(entry(text).as_bytes()).unwrap();
    }

    fn logged(events: impl FnOnce()) -> Vec<String> {
        let (desk, journal) = Desk::new();
        let (subscriber, _) = subscriber(Format::Journal, true, false, "debug", journal, crate::clock::Moment::now).unwrap();
        tracing::subscriber::with_default(subscriber, events);
        desk.entries()
    }

    #[test]
    fn an_event_is_an_entry_with_its_fields() {
        let entries = logged(|| {
            let (signal, nothing) = ("web", None::<&str>);
            tracing::warn!(target: "ros_signal_agent::agent", { ros.signal = signal, ros.check = nothing, attempt = 3, path = %"/x" }, "signal web: refused");
        });
        insta::assert_snapshot!(entries.concat(), @"
        PRIORITY=4
        MESSAGE=agent: signal web: refused attempt=3 path=/x
        SYSLOG_IDENTIFIER=ros-signal-agent
        TARGET=agent
        ROS_SIGNAL=web
        ROS_ATTEMPT=3
        ROS_PATH=/x
        ");
    }

    #[test]
    fn nobody_writes_fields_of_his_own() {
        let forged = "refused\nMESSAGE=all is well\nROS_SIGNAL=other\u{85}\u{2028}\0";
        let entries = logged(|| tracing::info!(target: "x", { ros.check = forged, text = %forged }, "said: {forged}"));
        let names: Vec<_> = entries.concat().lines().map(|line| line.split_once('=').unwrap().0.to_owned()).collect();
        assert_eq!(names, ["PRIORITY", "MESSAGE", "SYSLOG_IDENTIFIER", "TARGET", "ROS_CHECK", "ROS_TEXT"]);
    }

    #[test]
    fn an_entry_is_short_enough_for_a_datagram() {
        let long = "ä".repeat(100_000);
        let entries = logged(|| tracing::info!(target: "x", { ros.signal = &*long }, "{long}"));
        let sizes: Vec<_> = entries.concat().lines().map(str::len).collect();
        assert!(sizes[1] < super::super::LINE_LIMIT + 100 && sizes[4] < FIELD_LIMIT + 100, "{sizes:?}");
    }

    #[test]
    fn without_a_journal_lines_go_to_standard_error() {
        let (mut desk, journal) = Desk::new();
        std::fs::remove_file(&desk.path).unwrap();
        put(&journal, "one");
        assert_eq!(desk.line(), "<6>one\n");
        desk.datagrams = Some(UnixDatagram::bind(&desk.path).unwrap());
        desk.datagrams.as_ref().unwrap().set_nonblocking(true).unwrap();
        put(&journal, "two");
        assert_eq!(desk.entries(), [entry("two")], "a journal that comes back is used again");
    }

    #[test]
    fn a_full_journal_holds_nobody_up_and_what_was_lost_is_said() {
        let (mut desk, journal) = Desk::new();
        let mut before = 0;
        // Until neither takes more.
        let sent = (0..100_000).take_while(|_| {
            put(&journal, &"x".repeat(4000));
            before = journal.lost.load(Ordering::Relaxed);
            before < 2
        });
        let sent = sent.count();
        assert_eq!(before, 2, "after {sent}");
        let begun = Moment::now();
        (0..200).for_each(|_| put(&journal, &"x".repeat(4000)));
        let took = Moment::now().boot_ms - begun.boot_ms;
        assert!(took < 100 * crate::clock::millis(PATIENCE), "only the first line waits: {took} ms");
        assert!(!desk.entries().is_empty());
        assert!(desk.line().starts_with("<6>xxx"), "what the socket does not take is a line");
        put(&journal, "again");
        let entries = desk.entries();
        assert_eq!(entries[0], entry("again"));
        assert!(entries[1].contains("MESSAGE=logging: 202 lines were lost"), "{entries:?}");
    }
}
