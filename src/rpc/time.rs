//! The server's clock: what its Date header says, and what it asks us to wait.
//!
//! The offset is kept against boot time, which nobody can set, so that a step of the system clock (its first synchronisation, say)
//! does not make a right measurement wrong. It is used for signing and for the expiry of credentials; the system clock is never set.

use crate::clock::Moment;
use crate::retry::LONGEST_HINT;
use reqwest::header::HeaderMap;
use std::time::Duration;

/// Dates before 2020 and after 2100 are not what a server's clock says.
const PLAUSIBLE: std::ops::Range<i64> = 1_577_836_800_000..4_102_444_800_000;

/// A skew beyond this is worth a word to people, and explains a time error. ROS allows minutes; a clock that is kept is off by less
/// than a second.
pub(crate) const SKEW_THAT_MATTERS_MS: i64 = 30_000;

/// What is known of the server's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ServerClock {
    /// Server time minus boot time, in milliseconds.
    offset: Option<i64>,
    /// The skew that was last told, in milliseconds.
    told_ms: i64,
}

impl ServerClock {
    /// Takes note of a Date header. Half a second is added, because the header cuts its fraction off; sending and receiving are taken
    /// to have been equally long. What is not plausible is passed over.
    pub(crate) fn measure(&mut self, date_ms: Option<i64>, sent: Moment, received: Moment) {
        let Some(date_ms) = date_ms.filter(|date| PLAUSIBLE.contains(date)) else {
            return;
        };
        let middle = sent.boot_ms + (received.boot_ms - sent.boot_ms) / 2;
        self.offset = Some(date_ms + 500 - middle);
    }

    /// The server's time, if it was ever measured.
    pub(crate) fn server_ms(self, now: Moment) -> Option<i64> {
        self.offset.map(|offset| now.boot_ms + offset)
    }

    /// The time to sign with: the server's where known, else the system's.
    pub(crate) fn signing_ms(self, now: Moment) -> i64 {
        self.server_ms(now).unwrap_or(now.wall_ms)
    }

    /// Server time minus system time, if it was ever measured.
    pub(crate) fn skew_ms(self, now: Moment) -> Option<i64> {
        self.server_ms(now).map(|server| server - now.wall_ms)
    }

    /// The skew, if it is far from what was last told (at first: none). It then counts as told.
    fn news(&mut self, now: Moment) -> Option<i64> {
        let skew = self.skew_ms(now).filter(|skew| skew.abs_diff(self.told_ms) > SKEW_THAT_MATTERS_MS.unsigned_abs())?;
        self.told_ms = skew;
        Some(skew)
    }

    /// Tells people of a skew that matters, once. `whose` is the name of the service.
    pub(crate) fn tell(&mut self, whose: &str, now: Moment) {
        let Some(skew) = self.news(now) else { return };
        if skew.abs() <= SKEW_THAT_MATTERS_MS {
            tracing::info!(target: "ros", "the clock of {whose} agrees with this host's again");
            return;
        }
        let (off, direction) = (span(skew), if skew > 0 { "ahead of" } else { "behind" });
        tracing::warn!(
            target: "ros",
            "the clock of {whose} is {off} {direction} this host's; requests are signed with the corrected time; hint: check NTP (timedatectl)"
        );
    }
}

/// `2h 0m`, `3m 20s` or `45s`, without the sign. Rounded, because an HTTP date knows no fractions.
fn span(ms: i64) -> String {
    let seconds = ms.unsigned_abs().saturating_add(500) / 1000;
    if seconds < 60 {
        return format!("{seconds}s");
    }
    if seconds < 3600 {
        return format!("{}m {}s", seconds / 60, seconds % 60);
    }
    let minutes = (seconds + 30) / 60;
    format!("{}h {}m", minutes / 60, minutes % 60)
}

/// The time of an HTTP date (IMF-fixdate, RFC 9110 section 5.6.7), in milliseconds since 1970.
fn http_date_ms(text: &str) -> Option<i64> {
    let format = time::macros::format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");
    let date = time::PrimitiveDateTime::parse(text.trim(), format).ok()?;
    Some(date.assume_utc().unix_timestamp().saturating_mul(1000))
}

/// The Date header of an answer.
pub(crate) fn date_ms(headers: &HeaderMap) -> Option<i64> {
    http_date_ms(headers.get(reqwest::header::DATE)?.to_str().ok()?)
}

/// What the server asks us to wait, at most [`LONGEST_HINT`]: `x-acs-retry-after` in milliseconds (as the vendor's SDK reads it), else
/// `Retry-After` in seconds or as a date (RFC 9110 section 10.2.3) of its own clock.
pub(crate) fn retry_after(headers: &HeaderMap, now_ms: i64) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let number = |text: &str| text.parse::<u64>().ok();
    let own = text("x-acs-retry-after").and_then(number).filter(|ms| *ms > 0).map(Duration::from_millis);
    let standard = || {
        let text = text("retry-after")?;
        if let Some(seconds) = number(text) {
            return Some(Duration::from_secs(seconds));
        }
        let ms = http_date_ms(text)?.saturating_sub(date_ms(headers).unwrap_or(now_ms));
        Some(Duration::from_millis(u64::try_from(ms).unwrap_or(0)))
    };
    own.or_else(standard).map(|wait| wait.min(LONGEST_HINT))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Moment = Moment { boot_ms: 10_000, wall_ms: 1_767_323_045_000 };

    fn headers(list: &[(&'static str, &str)]) -> HeaderMap {
        list.iter().map(|(name, value)| (reqwest::header::HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn dates_of_http_are_read() {
        assert_eq!(http_date_ms("Fri, 02 Jan 2026 03:04:05 GMT"), Some(1_767_323_045_000));
        assert_eq!(http_date_ms("2026-01-02T03:04:05Z"), None);
        assert_eq!(http_date_ms("Fri, 99 Jan 2026 03:04:05 GMT"), None);
    }

    #[test]
    fn the_offset_is_measured_against_the_middle_and_survives_a_step_of_the_system_clock() {
        let mut clock = ServerClock::default();
        assert_eq!((clock.skew_ms(NOW), clock.signing_ms(NOW)), (None, NOW.wall_ms));
        clock.measure(Some(NOW.wall_ms + 3_600_000), NOW, Moment { boot_ms: 11_000, wall_ms: NOW.wall_ms + 1_000 });
        assert_eq!(clock.skew_ms(NOW), Some(3_600_000));
        let stepped = Moment { boot_ms: 20_000, wall_ms: 0 };
        assert_eq!(clock.signing_ms(stepped), NOW.wall_ms + 3_610_000);
    }

    #[test]
    fn a_skew_is_told_once_and_again_only_when_it_has_changed() {
        let mut clock = ServerClock::default();
        assert_eq!(clock.news(NOW), None);
        let mut after = |skew: i64| {
            clock.measure(Some(NOW.wall_ms + skew), NOW, NOW);
            clock.news(NOW)
        };
        let told: Vec<_> = [20_000, 40_000, 41_000, 69_000, 72_000, 0, -29_000, -31_000, -30_500].map(&mut after).into();
        assert_eq!(told, [None, Some(40_500), None, None, Some(72_500), Some(500), None, Some(-30_500), None]);
    }

    #[test]
    fn a_skew_is_told_in_two_units_at_most() {
        assert_eq!([45_499, -200_000, 3_599_499, 7_199_600, -90_000_000].map(span), ["45s", "3m 20s", "59m 59s", "2h 0m", "25h 0m"]);
    }

    #[test]
    fn implausible_dates_are_passed_over() {
        let mut clock = ServerClock::default();
        for date in [None, Some(0), Some(i64::MAX), http_date_ms("Thu, 01 Jan 1970 00:00:00 GMT")] {
            clock.measure(date, NOW, NOW);
        }
        assert_eq!(clock, ServerClock::default());
    }

    #[test]
    fn waits_that_are_asked_for_are_read_and_clamped() {
        let seconds = |n| Some(Duration::from_secs(n));
        let read = |list: &[(&'static str, &str)]| retry_after(&headers(list), NOW.wall_ms);
        assert_eq!(read(&[("x-acs-retry-after", "2500"), ("retry-after", "9")]), Some(Duration::from_millis(2500)));
        assert_eq!(read(&[("retry-after", "9")]), seconds(9));
        assert_eq!(read(&[("x-acs-retry-after", "0"), ("retry-after", "9")]), seconds(9));
        assert_eq!(read(&[("retry-after", "999999999999")]), seconds(600));
        assert_eq!(read(&[("retry-after", "99999999999999999999999")]), None);
        assert_eq!(read(&[("retry-after", "Fri, 02 Jan 2026 03:04:35 GMT")]), seconds(30));
        let dated = [("date", "Fri, 02 Jan 2026 03:04:25 GMT"), ("retry-after", "Fri, 02 Jan 2026 03:04:35 GMT")];
        assert_eq!(read(&dated), seconds(10));
        assert_eq!(read(&[("retry-after", "Thu, 01 Jan 1970 00:00:00 GMT")]), seconds(0));
        assert_eq!(read(&[("retry-after", "-1")]), None);
        assert_eq!(read(&[]), None);
    }
}
