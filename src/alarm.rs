//! One timer on the boot clock (timerfd_create(2), CLOCK_BOOTTIME): unlike tokio's own it also counts time in suspend, so that a host
//! that wakes up does at once what came due meanwhile.

use crate::clock::{BootMs, Moment};
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime};
use std::io;
use std::os::fd::OwnedFd;
use tokio::io::unix::AsyncFd;

/// The timer.
#[derive(Debug)]
pub struct Alarm {
    timer: AsyncFd<OwnedFd>,
    set_to: Option<BootMs>,
}

impl Alarm {
    /// An alarm that is not set. Must be made inside the runtime.
    ///
    /// # Errors
    /// If there are no descriptors left.
    pub fn new() -> io::Result<Self> {
        let timer = timerfd_create(TimerfdClockId::Boottime, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
        #[expect(deprecated, reason = "sound with an OwnedFd, which keeps its descriptor; the successor is an unsafe function")]
        let timer = AsyncFd::new(timer)?;
        Ok(Self { timer, set_to: None })
    }

    /// Sets the alarm to `at` on the boot clock, or to never. A time that has passed rings at once.
    ///
    /// # Errors
    /// If the kernel refuses the time.
    pub fn set(&mut self, at: Option<BootMs>) -> io::Result<()> {
        if self.set_to == at {
            return Ok(());
        }
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let value = match at {
            // All zero would disarm it.
            Some(at) if at <= 0 => Timespec { tv_sec: 0, tv_nsec: 1 },
            Some(at) => Timespec { tv_sec: at / 1000, tv_nsec: (at % 1000) * 1_000_000 },
            None => zero,
        };
        timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &Itimerspec { it_interval: zero, it_value: value })?;
        self.set_to = at;
        Ok(())
    }

    /// Waits for the alarm; it is unset afterwards. Safe to cancel.
    pub async fn rings(&mut self) {
        loop {
            let Ok(mut ready) = self.timer.readable().await else { return std::future::pending().await };
            let mut count = [0_u8; 8];
            let read = ready.try_io(|timer| Ok(rustix::io::read(timer, &mut count)?));
            if matches!(read, Ok(Ok(_))) && self.set_to.is_none_or(|at| Moment::now().boot_ms >= at) {
                self.set_to = None;
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(flavor = "current_thread")]
    async fn it_rings_when_its_time_has_come_and_only_once() {
        let mut alarm = Alarm::new().unwrap();
        let at = Moment::now().boot_ms + 20;
        alarm.set(Some(at)).unwrap();
        alarm.rings().await;
        assert!(Moment::now().boot_ms >= at);
        let again = tokio::time::timeout(Duration::from_millis(30), alarm.rings()).await;
        assert!(again.is_err(), "it was not set again");
        alarm.set(Some(1)).unwrap();
        alarm.rings().await;
    }
}
