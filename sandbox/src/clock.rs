//! The sandbox's own clock: the only room that reads the machine's.
//!
//! Two things can be scripted. *Advance* moves the whole sandbox forward (timeouts of wait conditions, lifetimes of
//! faults, tokens and credentials). *Skew* moves only what the outside is told and measured against: the `Date`
//! header and the 15-minute window of signatures.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;

/// A point on the sandbox's clock.
pub(crate) type Moment = OffsetDateTime;

/// The furthest the clock can be skewed or advanced in all, in seconds: ten years.
pub(crate) const FURTHEST_SECONDS: i64 = 10 * 366 * 86_400;

#[derive(Debug)]
pub(crate) struct Clock {
    started_wall: Moment,
    started: Instant,
    advanced_millis: AtomicI64,
    skew_seconds: AtomicI64,
}

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "this is the room that reads the clock")]
    pub(crate) fn start() -> Self {
        Self {
            started_wall: OffsetDateTime::now_utc(),
            started: Instant::now(),
            advanced_millis: AtomicI64::new(0),
            skew_seconds: AtomicI64::new(0),
        }
    }

    /// Now, by the sandbox: never goes back, not even when the machine's wall clock does.
    pub(crate) fn now(&self) -> Moment {
        let advanced = time::Duration::milliseconds(self.advanced_millis.load(Ordering::Relaxed));
        self.started_wall + self.started.elapsed() + advanced
    }

    /// Now, as the outside is told: with the scripted skew.
    pub(crate) fn told(&self) -> Moment {
        self.now() + time::Duration::seconds(self.skew_seconds.load(Ordering::Relaxed))
    }

    /// The machine's time with the scripted skew, however far the sandbox was advanced: what a peer compares with its own clock.
    pub(crate) fn machine_told(&self) -> Moment {
        self.told() - time::Duration::milliseconds(self.advanced_millis.load(Ordering::Relaxed))
    }

    pub(crate) fn set_skew(&self, seconds: i64) {
        self.skew_seconds.store(seconds.clamp(-FURTHEST_SECONDS, FURTHEST_SECONDS), Ordering::Relaxed);
    }

    pub(crate) fn skew_seconds(&self) -> i64 {
        self.skew_seconds.load(Ordering::Relaxed)
    }

    /// Moves the sandbox forward. The sum of all advances is capped at ten years.
    pub(crate) fn advance(&self, by: Duration) {
        let millis = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        let before = self.advanced_millis.load(Ordering::Relaxed);
        let after = before.saturating_add(millis).min(FURTHEST_SECONDS * 1000);
        self.advanced_millis.store(after, Ordering::Relaxed);
    }
}

/// RFC 3339 in UTC with `Z`, as in the sandbox's own control answers.
pub(crate) fn rfc3339(moment: Moment) -> String {
    moment.format(&Rfc3339).unwrap_or_default()
}

/// `YYYY-MM-DDThh:mm:ss`, UTC without `Z`, as ROS prints times.
pub(crate) fn ros_time(moment: Moment) -> String {
    moment.format(format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]")).unwrap_or_default()
}

/// `YYYY-MM-DDThh:mm:ssZ`, as signatures and the metadata service print times.
pub(crate) fn zulu(moment: Moment) -> String {
    moment.format(format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z")).unwrap_or_default()
}

/// Reads `YYYY-MM-DDThh:mm:ssZ`, the only form the signature pages allow.
pub(crate) fn parse_zulu(text: &str) -> Option<Moment> {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
    time::PrimitiveDateTime::parse(text, format).ok().map(time::PrimitiveDateTime::assume_utc)
}

/// The HTTP `Date` form (RFC 9110, 5.6.7).
pub(crate) fn http_date(moment: Moment) -> String {
    let format = format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");
    moment.format(format).unwrap_or_default()
}

/// Reads the same form.
pub(crate) fn parse_http_date(text: &str) -> Option<Moment> {
    let format = format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");
    time::PrimitiveDateTime::parse(text, format).ok().map(time::PrimitiveDateTime::assume_utc)
}

/// Seconds given by a person or a script, as a span of time; `None` if negative, not finite or beyond ten years.
pub(crate) fn span(seconds: f64) -> Option<Duration> {
    let span = Duration::try_from_secs_f64(seconds).ok()?;
    (span <= Duration::from_secs(FURTHEST_SECONDS.unsigned_abs())).then_some(span)
}
