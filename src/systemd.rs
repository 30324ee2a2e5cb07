//! What the service manager is told, and what it told us. sd_notify(3), sd_watchdog_enabled(3), systemd.exec(5).
//!
//! Without `NOTIFY_SOCKET` everything here does nothing. A notification that cannot be sent is logged once at debug level and forgotten:
//! the agent's job does not depend on it. The datagrams themselves are made and sent by `sd-notify`.

use crate::clock::{BootMs, Moment, millis};
use sd_notify::NotifyState;
use std::env::{var, var_os};
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// What children must not inherit: it is meant for this process alone, and a check that spoke for us could feed our watchdog or
/// declare us stopped.
pub const SCRUBBED: [&str; 16] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_PIDFDID",
    "LISTEN_FDNAMES",
    "FDSTORE",
    "CREDENTIALS_DIRECTORY",
    "MAINPID",
    "MANAGERPID",
    "SYSTEMD_EXEC_PID",
    "INVOCATION_ID",
    "JOURNAL_STREAM",
    "MEMORY_PRESSURE_WATCH",
    "MEMORY_PRESSURE_WRITE",
];

/// Between two status texts: four a second at most.
const STATUS_PACE: Duration = Duration::from_millis(250);

/// Bytes of a status text; systemd takes datagrams of at most 4096.
const STATUS_LIMIT: usize = 512;

/// The line to the service manager.
#[derive(Debug)]
pub struct Notifier {
    active: bool,
    status: Status,
    complained: bool,
}

/// Status texts are sent when they change, paced; of those that come too fast only the newest is sent, when it is due.
#[derive(Debug, Default)]
struct Status {
    sent: Option<String>,
    waiting: Option<String>,
    not_before: BootMs,
}

impl Status {
    fn take(&mut self, now: BootMs) -> Result<Option<String>, BootMs> {
        if self.waiting.is_none() {
            return Ok(None);
        }
        if now < self.not_before {
            return Err(self.not_before);
        }
        self.not_before = now.saturating_add(millis(STATUS_PACE));
        self.sent = self.waiting.take();
        Ok(self.sent.clone())
    }

    fn put(&mut self, text: String) {
        self.waiting = (self.sent.as_ref() != Some(&text)).then_some(text);
    }
}

impl Notifier {
    /// Reads `NOTIFY_SOCKET`.
    pub fn from_env() -> Self {
        Self { active: var_os("NOTIFY_SOCKET").is_some(), status: Status::default(), complained: false }
    }

    /// Tells nobody, whatever the environment says.
    pub fn silent() -> Self {
        Self { active: false, status: Status::default(), complained: false }
    }

    /// Whether somebody listens.
    pub fn is_active(&self) -> bool {
        self.active
    }

    /// Start-up, or a reload, is over.
    pub fn ready(&mut self) {
        self.send(&[NotifyState::Ready]);
    }

    /// A reload begins; [`Notifier::ready`] ends it.
    pub fn reloading(&mut self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.send(&[NotifyState::Reloading, now]),
            Err(error) => self.complain(&error),
        }
    }

    /// The end begins.
    pub fn stopping(&mut self) {
        self.send(&[NotifyState::Stopping]);
    }

    /// Starting, reloading or stopping needs at least `more` from now.
    pub fn extend_timeout(&mut self, more: Duration) {
        self.send(&[NotifyState::ExtendTimeoutUsec(u32::try_from(more.as_micros()).unwrap_or(u32::MAX))]);
    }

    /// Shows `text` in `systemctl status`: one line, without control characters, cut to 512 bytes. The same text is not sent twice.
    ///
    /// Gives the time at which [`Notifier::flush`] must be called, if the text came too soon after another one.
    pub fn status(&mut self, text: &str, now: Moment) -> Option<BootMs> {
        if !self.active {
            return None;
        }
        self.status.put(one_line(text));
        self.flush(now)
    }

    /// Sends the status text that was deferred, if it is due; else gives the time when it will be.
    pub fn flush(&mut self, now: Moment) -> Option<BootMs> {
        match self.status.take(now.boot_ms) {
            Ok(None) => None,
            Ok(Some(text)) => {
                self.send(&[NotifyState::Status(&text)]);
                None
            }
            Err(due) => Some(due),
        }
    }

    /// How often [`Notifier::watchdog`] must be called: half of `WATCHDOG_USEC`, if it is meant for this process.
    pub fn watchdog_interval(&self) -> Option<Duration> {
        sd_notify::watchdog_enabled().map(|whole| whole / 2).filter(|half| self.active && !half.is_zero())
    }

    /// The loop has made a turn.
    pub fn watchdog(&mut self) {
        self.send(&[NotifyState::Watchdog]);
    }

    fn send(&mut self, state: &[NotifyState<'_>]) {
        if !self.active {
            return;
        }
        if let Err(error) = deliver(state) {
            self.complain(&error);
        }
    }

    fn complain(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.complained, true) {
            tracing::debug!(%error, "the service manager cannot be notified");
        }
    }
}

/// `sd-notify` does the sending, but takes the name of an abstract socket (`@name`, sd_notify(3)) for a path.
fn deliver(state: &[NotifyState<'_>]) -> io::Result<()> {
    let socket = var_os("NOTIFY_SOCKET").unwrap_or_default();
    let Some(name) = socket.as_bytes().strip_prefix(b"@") else {
        return sd_notify::notify(state);
    };
    let datagram: String = state.iter().map(|state| format!("{state}\n")).collect();
    UnixDatagram::unbound()?.send_to_addr(datagram.as_bytes(), &SocketAddr::from_abstract_name(name)?)?;
    Ok(())
}

/// A line break would begin another assignment of the datagram: anyone who writes a check's output could say READY=1.
fn one_line(text: &str) -> String {
    let mut line = String::new();
    for c in text.chars() {
        let c = if matches!(c, '\n' | '\t') { ' ' } else { c };
        if c.is_control() {
            continue;
        }
        if line.len() + c.len_utf8() > STATUS_LIMIT - '…'.len_utf8() {
            line.push('…');
            break;
        }
        line.push(c);
    }
    line
}

/// Whether the service manager started this very process (`NOTIFY_SOCKET`, or `SYSTEMD_EXEC_PID`, which children inherit but do not match).
pub fn under_systemd() -> bool {
    let own = std::process::id().to_string();
    var_os("NOTIFY_SOCKET").is_some() || var("SYSTEMD_EXEC_PID").is_ok_and(|pid| pid == own)
}

/// Whether standard error goes to the journal: `JOURNAL_STREAM` holds its device and inode numbers, systemd.exec(5).
pub fn journal_stream() -> bool {
    let Ok(stream) = var("JOURNAL_STREAM") else {
        return false;
    };
    let Ok(stat) = rustix::fs::fstat(io::stderr()) else {
        return false;
    };
    is_stream(&stream, stat.st_dev, stat.st_ino)
}

fn is_stream(stream: &str, device: u64, inode: u64) -> bool {
    let Some((left, right)) = stream.split_once(':') else {
        return false;
    };
    left.parse() == Ok(device) && right.parse() == Ok(inode)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(boot_ms: BootMs) -> Moment {
        Moment { boot_ms, wall_ms: 0 }
    }

    #[test]
    fn the_same_status_is_sent_once() {
        let mut status = Status::default();
        status.put("a".to_owned());
        assert_eq!(status.take(0), Ok(Some("a".to_owned())));
        status.put("a".to_owned());
        assert_eq!(status.take(10_000), Ok(None));
    }

    #[test]
    fn of_statuses_that_come_too_fast_the_newest_is_sent_when_due() {
        let mut status = Status::default();
        status.put("a".to_owned());
        assert_eq!(status.take(1000), Ok(Some("a".to_owned())));
        status.put("b".to_owned());
        assert_eq!(status.take(1100), Err(1250));
        status.put("c".to_owned());
        assert_eq!(status.take(1249), Err(1250));
        assert_eq!(status.take(1250), Ok(Some("c".to_owned())));
    }

    #[test]
    fn a_status_that_went_back_to_what_is_shown_is_not_sent() {
        let mut status = Status::default();
        status.put("a".to_owned());
        assert_eq!(status.take(0), Ok(Some("a".to_owned())));
        status.put("b".to_owned());
        status.put("a".to_owned());
        assert_eq!(status.take(1000), Ok(None));
    }

    #[test]
    fn a_status_is_one_line_without_control_characters() {
        assert_eq!(one_line("web:\tdown\nREADY=1\r\u{1b}[31m\u{85}\0"), "web: down READY=1[31m");
    }

    #[test]
    fn a_long_status_is_cut_at_a_character() {
        let line = one_line(&"ä".repeat(1000));
        assert!(line.len() <= STATUS_LIMIT && line.ends_with("ä…"), "{} bytes", line.len());
    }

    #[test]
    fn without_a_socket_nothing_is_due() {
        let mut notifier = Notifier { active: false, status: Status::default(), complained: false };
        assert_eq!(notifier.status("a", at(0)), None);
        assert_eq!(notifier.status("b", at(1)), None);
        assert_eq!(notifier.watchdog_interval(), None);
    }

    #[test]
    fn the_journal_is_known_by_device_and_inode() {
        assert!(is_stream("8:4711", 8, 4711));
        for other in ["8:4712", "9:4711", "8", "", "8:4711:1", "-8:4711", "8:x"] {
            assert!(!is_stream(other, 8, 4711), "{other}");
        }
    }
}
