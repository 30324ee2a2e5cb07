//! How many calls an account has in a second: a token bucket that holds one second's worth.

use crate::clock::Moment;

/// What is left, and since when. Empty at first use means full.
#[derive(Debug, Default)]
pub(crate) struct Bucket {
    left: f64,
    since: Option<Moment>,
}

impl Bucket {
    /// Takes one call, if there is one left. `rate` 0 is no limit.
    pub(crate) fn take(&mut self, rate: u32, now: Moment) -> bool {
        if rate == 0 {
            self.since = None;
            return true;
        }
        let full = f64::from(rate);
        self.left = self.since.map_or(full, |since| (now - since).as_seconds_f64().mul_add(full, self.left).min(full));
        self.since = Some(now);
        if self.left < 1.0 {
            return false;
        }
        self.left -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_second_brings_back_what_a_second_allows_and_no_more() {
        let mut bucket = Bucket::default();
        let mut now = datetime!(2026-01-02 03:04:05 UTC);
        let mut taken = |now| (0..10).filter(|_| bucket.take(3, now)).count();
        assert_eq!(taken(now), 3);
        now += time::Duration::milliseconds(400);
        assert_eq!(taken(now), 1);
        now += time::Duration::hours(1);
        assert_eq!(taken(now), 3);
        assert!((0..10).all(|_| bucket.take(0, now)));
    }
}
