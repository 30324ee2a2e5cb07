//! The service manager of the soak: hears the words of the agent, and how long it left the watchdog unfed.

use ros_signal_agent::clock::monotonic;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// `WatchdogSec=1min` of the unit, 24 times shorter.
pub(crate) const WATCHDOG: Duration = Duration::from_millis(2_500);

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Heard {
    /// When it was fed last.
    last: Option<Duration>,
    pub(crate) feeds: u64,
    pub(crate) longest: Duration,
    /// How often it was unfed for longer than systemd would wait.
    pub(crate) overdue: u64,
}

pub(crate) struct Manager(Arc<Mutex<Heard>>);

impl Manager {
    pub(crate) fn begin(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        let heard = Arc::new(Mutex::new(Heard::default()));
        let hears = Arc::clone(&heard);
        std::thread::spawn(move || {
            let mut word = [0; 4096];
            while let Ok(length) = socket.recv(&mut word) {
                let word = String::from_utf8_lossy(&word[..length]).into_owned();
                if word.contains("WATCHDOG=1") || word.contains("READY=1") {
                    hears.lock().unwrap().feed(monotonic());
                }
            }
        });
        Self(heard)
    }

    /// All that was heard until now; the time since the last feed counts.
    pub(crate) fn heard(&self, now: Duration) -> Heard {
        let mut heard = *self.0.lock().unwrap();
        heard.gap(now);
        heard
    }
}

impl Heard {
    fn feed(&mut self, now: Duration) {
        self.gap(now);
        self.last = Some(now);
        self.feeds += 1;
    }

    fn gap(&mut self, now: Duration) {
        let gap = self.last.map_or(Duration::ZERO, |last| now.saturating_sub(last));
        self.longest = self.longest.max(gap);
        self.overdue += u64::from(gap > WATCHDOG);
    }
}
