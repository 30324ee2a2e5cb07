//! The only room that reads clocks.
//!
//! A [`Moment`] is taken once per turn of the loop and handed to the pure rooms as an argument. Inside one boot all intervals and
//! deadlines are differences of boot time (CLOCK_BOOTTIME, clock_gettime(2): it goes on in suspend and no one can set it).
//! Across boots a [`Stamp`] falls back to wall time, clamped, because a first boot often starts with a wrong wall clock.

use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// Wall times before this one (2024-01-01T00:00:00Z, in milliseconds) come from a clock that was never set.
const PLAUSIBLE_SINCE_MS: i64 = 1_704_067_200_000;

/// Milliseconds on the clock of the current boot. May be negative for things that began in an earlier boot.
pub type BootMs = i64;

/// One reading of both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Milliseconds since boot, time in suspend included.
    pub boot_ms: BootMs,
    /// Milliseconds since 1970-01-01T00:00:00Z, as the system clock says.
    pub wall_ms: i64,
}

impl Moment {
    /// Reads CLOCK_BOOTTIME and CLOCK_REALTIME.
    pub fn now() -> Self {
        Self { boot_ms: read(rustix::time::ClockId::Boottime), wall_ms: read(rustix::time::ClockId::Realtime) }
    }

    /// The same moment as a durable stamp of the boot `boot_id`.
    pub fn stamp(self, boot_id: &Arc<str>) -> Stamp {
        Stamp { boot_id: Arc::clone(boot_id), boot_ms: self.boot_ms, wall_ms: self.wall_ms }
    }

    /// This moment moved forward by `by` on both clocks.
    pub fn plus(self, by: Duration) -> Self {
        let ms = millis(by);
        Self { boot_ms: self.boot_ms.saturating_add(ms), wall_ms: self.wall_ms.saturating_add(ms) }
    }
}

/// CLOCK_MONOTONIC, which stops in suspend: for comparing with times that somebody else took from it, such as systemd.
pub fn monotonic() -> Duration {
    precisely(rustix::time::ClockId::Monotonic)
}

/// What this thread has used of the processor: what others took from it meanwhile is not in it.
pub fn worked() -> Duration {
    precisely(rustix::time::ClockId::ThreadCPUTime)
}

fn precisely(clock: rustix::time::ClockId) -> Duration {
    let time = rustix::time::clock_gettime(clock);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// How long the host has been suspended since boot, in milliseconds: CLOCK_BOOTTIME less CLOCK_MONOTONIC.
pub fn asleep_ms() -> i64 {
    read(rustix::time::ClockId::Boottime).saturating_sub(read(rustix::time::ClockId::Monotonic))
}

fn read(clock: rustix::time::ClockId) -> i64 {
    let time = rustix::time::clock_gettime(clock);
    time.tv_sec.saturating_mul(1000).saturating_add(time.tv_nsec / 1_000_000)
}

/// `duration` in whole milliseconds, saturating.
pub fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// A moment that can be written down and understood by a later boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// Kernel's random id of the boot (`/proc/sys/kernel/random/boot_id`, random(4)).
    pub boot_id: Arc<str>,
    /// Milliseconds since that boot.
    pub boot_ms: BootMs,
    /// Wall time in milliseconds since 1970.
    pub wall_ms: i64,
}

impl Stamp {
    /// When this stamp was made, on the clock of the boot `boot_id` in which it is `now`.
    ///
    /// In the same boot that is exact. From an earlier boot at least the whole current boot has passed; more only if both wall
    /// times are plausible and say so. A later change of the wall clock does not move the answer, as long as the caller keeps it.
    pub fn on_boot_clock(&self, boot_id: &str, now: Moment) -> BootMs {
        if *self.boot_id == *boot_id {
            return self.boot_ms.min(now.boot_ms);
        }
        let by_wall = if self.wall_ms >= PLAUSIBLE_SINCE_MS && now.wall_ms >= PLAUSIBLE_SINCE_MS {
            now.wall_ms.saturating_sub(self.wall_ms)
        } else {
            0
        };
        now.boot_ms.saturating_sub(by_wall.max(now.boot_ms))
    }
}

/// The id of the running boot.
///
/// # Errors
/// If `/proc` is not mounted.
pub fn boot_id() -> std::io::Result<Arc<str>> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    Ok(Arc::from(text.trim()))
}

/// `wall_ms` as RFC 3339 in UTC with seconds, for logs, status and the ledger.
pub fn rfc3339(wall_ms: i64) -> String {
    let format = time::macros::format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
    time::OffsetDateTime::from_unix_timestamp(wall_ms.div_euclid(1000))
        .ok()
        .and_then(|at| at.format(format).ok())
        .unwrap_or_else(|| format!("{wall_ms}ms"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WALL: i64 = 1_790_000_000_000;

    fn stamp(boot: &str, boot_ms: i64, wall_ms: i64) -> Stamp {
        Stamp { boot_id: Arc::from(boot), boot_ms, wall_ms }
    }

    #[test]
    fn inside_one_boot_the_wall_clock_is_ignored() {
        let now = Moment { boot_ms: 9_000, wall_ms: 0 };
        assert_eq!(stamp("a", 4_000, WALL).on_boot_clock("a", now), 4_000);
    }

    #[test]
    fn across_boots_plausible_wall_time_counts() {
        let now = Moment { boot_ms: 10_000, wall_ms: WALL + 60_000 };
        assert_eq!(stamp("a", 4_000, WALL).on_boot_clock("b", now), -50_000);
    }

    #[test]
    fn across_boots_a_clock_that_was_never_set_counts_only_this_boot() {
        let now = Moment { boot_ms: 10_000, wall_ms: WALL };
        assert_eq!(stamp("a", 4_000, 5_000).on_boot_clock("b", now), 0);
    }

    #[test]
    fn across_boots_a_clock_set_back_counts_only_this_boot() {
        let now = Moment { boot_ms: 10_000, wall_ms: WALL - 3_600_000 };
        assert_eq!(stamp("a", 4_000, WALL).on_boot_clock("b", now), 0);
    }

    #[test]
    fn rfc3339_is_utc() {
        assert_eq!(rfc3339(1_767_323_045_123), "2026-01-02T03:04:05Z");
    }
}
