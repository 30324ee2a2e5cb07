//! `type = "clock"`: whether the clock of this host is right, by the `Date` of an answer of ROS or by the host's own time service.
//!
//! The kernel knows too whether its clock is kept in sync, adjtimex(2), but a unit may not ask it: the call is of the kind that sets
//! clocks, which `SystemCallFilter=@system-service` and `ProtectClock=` forbid, perhaps by killing who calls.

mod chronyd;
#[cfg(fuzzing)]
pub(super) mod fuzzing;

use super::http::Clients;
use super::measured::{judged, plain};
use super::progress::{Doing, Progress};
use super::text::place;
use super::threads::Pool;
use crate::check::{Health, Observation, Thresholds};
use crate::clock::Moment;
use crate::plan::{Clock, ClockSource, Name};
use chronyd::Tracking;
use reqwest::Url;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// systemd-timesyncd touches it whenever it has reached a server; it goes when the service stops.
const TIMESYNCD: &str = "/run/systemd/timesync/synchronized";
/// It asks a server every 34 minutes at most (`PollIntervalMaxSec=`); this is ten times as long.
const OLD_SECONDS: f64 = 20_480.0;
/// A `Date` has whole seconds, cut off: the middle of the possible ones is half a second later.
const DATE_HALF_MS: f64 = 500.0;

/// Makes one observation. The caller keeps the time.
pub(super) async fn look(name: &Name, clock: &Clock, clients: &Clients, progress: &Progress, files: &Pool) -> Observation {
    match &clock.source {
        ClockSource::Ros(url) => match clients.date(name, url, progress, files).await {
            Ok(dated) => compare(&clock.thresholds, &dated, url),
            Err(trouble) => trouble,
        },
        ClockSource::Ntp(address) => in_sync(&clock.thresholds, *address, progress, Path::new(TIMESYNCD)).await,
    }
}

/// A `Date` and when it was asked for and arrived, on the clocks of this host.
pub(super) struct Dated {
    /// In milliseconds since 1970; none: the answer had none.
    pub(super) date_ms: Option<i64>,
    pub(super) sent: Moment,
    pub(super) received: Moment,
}

/// Asking and answering are taken to have been equally long: that may be wrong by half of both.
fn compare(limits: &Thresholds, dated: &Dated, url: &Url) -> Observation {
    let place = place(url);
    let Some(date_ms) = dated.date_ms else {
        return Observation::new(Health::Unknown, format!("the answer of {place} has no Date; give another url"));
    };
    let half_ms = dated.received.boot_ms.saturating_sub(dated.sent.boot_ms).max(0) as f64 / 2.0;
    let here_ms = dated.received.wall_ms as f64 - half_ms;
    let ahead = (here_ms - (date_ms as f64 + DATE_HALF_MS)) / 1000.0;
    let unsure = (half_ms + DATE_HALF_MS) / 1000.0;
    let said = match ahead.abs() <= unsure {
        true => format!("the clock of this host agrees with {place} (within {})", span(unsure)),
        false => format!("the clock of this host is {} {place} (give or take {})", direction(ahead, " of"), span(unsure)),
    };
    judged(limits, ahead.abs(), said, span).reading("offset", ahead, "s").reading("uncertainty", unsure, "s")
}

/// `3s ahead of` or `2s behind`.
fn direction(ahead: f64, of: &str) -> String {
    if ahead < 0.0 { format!("{} behind", span(-ahead)) } else { format!("{} ahead{of}", span(ahead)) }
}

/// `12.5s`, `0.25ms`.
fn span(seconds: f64) -> String {
    if seconds == 0.0 || seconds.abs() >= 1.0 { format!("{}s", plain(seconds)) } else { format!("{}ms", plain(seconds * 1000.0)) }
}

/// Whether chronyd at `address`, or systemd-timesyncd, says that the clock of this host is in sync; no limits, nothing configured. The
/// caller keeps the time.
pub(crate) async fn kept_in_sync(address: SocketAddr) -> Observation {
    let none = Thresholds { warn: None, crit: None };
    in_sync(&none, address, &Progress::default(), Path::new(TIMESYNCD)).await
}

/// Chronyd says more than systemd-timesyncd, so it comes first; a host has one of them.
async fn in_sync(limits: &Thresholds, address: SocketAddr, progress: &Progress, marker: &Path) -> Observation {
    progress.now(Doing::WaitingForAnswer(format!("chronyd at {address}")));
    let silence = match chronyd::tracking(address).await {
        Ok(tracking) => return by_chronyd(limits, &tracking),
        Err(silence) => silence,
    };
    match std::fs::metadata(marker) {
        Ok(meta) => by_timesyncd((Moment::now().wall_ms as f64 / 1000.0 - meta.mtime() as f64).max(0.0)),
        Err(_) => Observation::new(
            Health::Critical,
            format!(
                "no time service says that the clock is in sync: chronyd at {address} {silence}, and systemd-timesyncd has not made {TIMESYNCD}"
            ),
        ),
    }
}

fn by_chronyd(limits: &Thresholds, tracking: &Tracking) -> Observation {
    if !tracking.in_sync {
        let message = "chronyd has not reached a time server: the clock is not in sync; see `chronyc sources`";
        return Observation::new(Health::Critical, message);
    }
    if tracking.local {
        let message = "chronyd follows its own clock (`local` in its configuration): it has not reached a time server";
        return Observation::new(Health::Warning, message);
    }
    let said = format!("chronyd is in sync: the clock is {} (give or take {})", direction(tracking.ahead, ""), span(tracking.unsure));
    judged(limits, tracking.ahead.abs(), said, span).reading("offset", tracking.ahead, "s").reading("uncertainty", tracking.unsure, "s")
}

fn by_timesyncd(age: f64) -> Observation {
    let minutes = (age / 60.0).floor();
    let (health, said) = match age > OLD_SECONDS {
        true => (Health::Warning, "has lost its time servers: it reached one last"),
        false => (Health::Passing, "is in sync: it has reached a time server"),
    };
    Observation::new(health, format!("systemd-timesyncd {said} {} minutes ago", plain(minutes))).reading("since last sync", age, "s")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Thresholds {
        Thresholds { warn: Some("30".parse().unwrap()), crit: Some("300".parse().unwrap()) }
    }

    /// The answer came 400 ms after the question, when this host's clock said `wall_ms`.
    fn dated(wall_ms: i64, date_ms: Option<i64>) -> Dated {
        let at = |boot_ms, wall_ms| Moment { boot_ms, wall_ms };
        Dated { date_ms, sent: at(1000, wall_ms - 400), received: at(1400, wall_ms) }
    }

    #[test]
    fn the_middle_of_the_exchange_is_compared_with_the_middle_of_the_second() {
        let url = Url::parse("https://ros.example/").unwrap();
        let look = |wall_ms, date_ms| compare(&limits(), &dated(wall_ms, date_ms), &url);
        let good = look(1_000_700, Some(1_000_000));
        assert_eq!(
            (good.health, good.message.as_str()),
            (Health::Passing, "the clock of this host agrees with ros.example:443 (within 700ms)")
        );
        assert_eq!(good.readings[0].value, 0.0);
        let ahead = look(1_400_700, Some(1_000_000));
        assert_eq!(ahead.health, Health::Critical);
        assert_eq!(ahead.message, "the clock of this host is 400s ahead of ros.example:443 (give or take 700ms), critical above 300s");
        let behind = look(940_700, Some(1_000_000));
        assert_eq!((behind.health, behind.readings[0].value), (Health::Warning, -60.0));
        assert!(behind.message.starts_with("the clock of this host is 60s behind ros.example:443"), "{}", behind.message);
        assert_eq!(look(0, None).health, Health::Unknown);
        assert_eq!(look(i64::MAX, Some(i64::MIN)).health, Health::Critical, "no clock is too far off to be compared");
    }

    #[test]
    fn chronyd_without_a_server_is_not_in_sync() {
        let tracking = Tracking { in_sync: true, local: false, ahead: 0.000_25, unsure: 0.004 };
        let good = by_chronyd(&limits(), &tracking);
        assert_eq!(
            (good.health, good.message.as_str()),
            (Health::Passing, "chronyd is in sync: the clock is 0.25ms ahead (give or take 4ms)")
        );
        assert_eq!(by_chronyd(&limits(), &Tracking { ahead: -31.0, ..tracking }).health, Health::Warning);
        assert_eq!(by_chronyd(&limits(), &Tracking { local: true, ..tracking }).health, Health::Warning);
        assert_eq!(by_chronyd(&limits(), &Tracking { in_sync: false, ..tracking }).health, Health::Critical);
    }

    #[tokio::test]
    async fn without_chronyd_the_mark_of_timesyncd_counts() {
        // Nothing answers there: the socket is ours and is not read.
        let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let closed = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let home = tempfile::tempdir().unwrap();
        let marker = home.path().join("synchronized");
        let none = in_sync(&limits(), closed, &Progress::default(), &marker).await;
        assert_eq!(none.health, Health::Critical);
        assert!(
            none.message.contains(&format!("chronyd at {closed} is not there, and systemd-timesyncd has not made /run/")),
            "{}",
            none.message
        );
        std::fs::write(&marker, "").unwrap();
        let good = in_sync(&limits(), silent.local_addr().unwrap(), &Progress::default(), &marker).await;
        assert_eq!(good.message, "systemd-timesyncd is in sync: it has reached a time server 0 minutes ago");
        let old = by_timesyncd(86_400.0);
        assert_eq!(
            (old.health, old.message.as_str()),
            (Health::Warning, "systemd-timesyncd has lost its time servers: it reached one last 1440 minutes ago")
        );
    }
}
