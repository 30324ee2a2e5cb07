//! The clock of this host, against those of the metadata service and of ROS, and whether somebody keeps it.

use super::step::Step;
use crate::check::Health;
use crate::clock::Moment;
use crate::plan::ClockTrust;
use crate::probe;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// Where chronyd answers (chrony.conf(5), `cmdport`).
const CHRONYD: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 323);
const NTP_TIMEOUT: Duration = Duration::from_secs(2);
/// A `Date` has whole seconds, cut off.
const DATE_HALF_MS: i64 = 500;
/// An offset beyond this is worth a word.
const WARN_MS: i64 = 30_000;
/// ROS refuses requests whose date is off by more (page 48054); they are signed with its time then.
const WINDOW_MS: i64 = 15 * 60_000;

pub(super) const METADATA: &str = "clock.metadata";
pub(super) const ROS: &str = "clock.ros";
pub(super) const NTP: &str = "clock.ntp";

/// The time of somebody else, kept against boot time, which nobody can set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Heard {
    offset_ms: i64,
}

impl Heard {
    /// A `Date` header, and when it was asked for and came.
    pub(super) fn new(date_ms: i64, sent: Moment, received: Moment) -> Self {
        let middle = sent.boot_ms + (received.boot_ms - sent.boot_ms) / 2;
        Self { offset_ms: date_ms + DATE_HALF_MS - middle }
    }

    /// What that clock says at `now`, milliseconds since 1970.
    pub(super) fn wall_ms(self, now: Moment) -> i64 {
        now.boot_ms.saturating_add(self.offset_ms)
    }
}

/// This host's clock beside that of `who`.
pub(super) fn beside(name: &'static str, who: &str, heard: Option<Heard>, now: Moment, trust: ClockTrust) -> Step {
    let Some(heard) = heard else {
        return Step::skipped(name, format!("{who} told no time"));
    };
    let ahead = now.wall_ms.saturating_sub(heard.wall_ms(now));
    let seconds = ahead.unsigned_abs().saturating_add(500) / 1000;
    let direction = if ahead > 0 { "ahead of" } else { "behind" };
    if ahead.abs() <= WARN_MS {
        return Step::ok(name, format!("this host's clock agrees with that of {who}, within {}s", seconds.max(1)));
    }
    let cause = match trust {
        _ if ahead.abs() <= WINDOW_MS => "the clock is not kept in sync",
        ClockTrust::System => {
            "ROS refuses dates that are off by more than 15 minutes; the agent signs with ROS's time, but certificates are judged by this clock"
        }
        ClockTrust::Metadata => {
            "ROS refuses dates that are off by more than 15 minutes; the agent signs with ROS's time, and judges certificates by that of the metadata service ([clock] trust)"
        }
    };
    Step::warning(name, format!("this host's clock is {} {direction} that of {who}", told(seconds))).because(cause).remedy(
        "set the clock and keep it: chronyc makestep, or timedatectl set-ntp true; Alibaba Cloud has ntp.cloud.aliyuncs.com in a VPC",
    )
}

/// Whole units, so that years are not told in seconds.
fn told(seconds: u64) -> String {
    match seconds {
        0..=599 => format!("{seconds}s"),
        600..=7_199 => format!("{}m", seconds / 60),
        7_200..=172_799 => format!("{}h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// Whether a time service keeps the clock.
pub(super) async fn kept() -> Step {
    match tokio::time::timeout(NTP_TIMEOUT, probe::kept_in_sync(CHRONYD)).await {
        Ok(seen) if seen.health == Health::Passing => Step::ok(NTP, seen.message),
        Ok(seen) => Step::warning(NTP, seen.message).remedy("install and start chrony, or timedatectl set-ntp true"),
        Err(_) => Step::warning(NTP, format!("chronyd at {CHRONYD} does not answer within {}s", NTP_TIMEOUT.as_secs()))
            .remedy("systemctl status chronyd"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::step::Verdict;
    use super::*;

    const NOW: Moment = Moment { boot_ms: 10_000, wall_ms: 1_790_000_000_000 };

    #[test]
    fn scenario_14_a_wrong_clock_is_told_with_how_much_and_what_follows() {
        let off = |ms: i64| beside(ROS, "ROS", Some(Heard::new(NOW.wall_ms - DATE_HALF_MS - ms, NOW, NOW)), NOW, ClockTrust::System);
        assert_eq!((off(400).verdict(), off(400).seen()), (Verdict::Ok, "this host's clock agrees with that of ROS, within 1s"));
        assert_eq!(off(-120_000).seen(), "this host's clock is 120s behind that of ROS");
        assert!(off(3_600_000).cause().unwrap().starts_with("ROS refuses dates"));
        let lent = beside(ROS, "ROS", Some(Heard::new(NOW.wall_ms - DATE_HALF_MS - 3_600_000, NOW, NOW)), NOW, ClockTrust::Metadata);
        assert!(lent.cause().unwrap().ends_with("by that of the metadata service ([clock] trust)"));
        assert_eq!(off(400 * 86_400_000).seen(), "this host's clock is 400 days ahead of that of ROS");
        assert_eq!(beside(ROS, "ROS", None, NOW, ClockTrust::System).verdict(), Verdict::Skipped);
    }
}
