//! When to try again: exponential growth with full jitter. The only file that names `backoff`.
//!
//! `backoff` is unmaintained (RUSTSEC-2025-0012) and has traps that are shut here: its default gives up after 15 minutes
//! (`max_elapsed_time` is none here), its jitter may exceed the maximum and cannot be seeded (`randomization_factor` is 0 and the
//! jitter is our own). What is left of it is the growth of the interval. A [`Schedule`] never sleeps and never ends: it says how
//! long to wait, and the core decides.
//!
//! Full jitter (the whole interval is random, not only its edge) is what lets thousands of agents that failed together come back
//! spread out.

use crate::signal::Class;
use std::time::Duration;

/// The longest wait that a server may ask for.
pub const LONGEST_HINT: Duration = Duration::from_secs(600);

/// How the waits of one [`Schedule`] grow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// Upper end of the first wait.
    pub initial: Duration,
    /// Growth of the upper end from one wait to the next, at least 1.
    pub multiplier: f64,
    /// Highest upper end.
    pub max: Duration,
    /// Lower end of every wait.
    pub floor: Duration,
}

impl Pace {
    /// The pace that fits a class of refusal; the reaction column of the error table in `src/rpc/error-codes.json`.
    ///
    /// [`Class::Immediate`] waits next to nothing; counting its attempts is the core's.
    pub fn of(class: Class) -> Self {
        let pace = |initial, multiplier, max, floor| Self {
            initial: Duration::from_millis(initial),
            multiplier,
            max: Duration::from_millis(max),
            floor: Duration::from_millis(floor),
        };
        match class {
            Class::Immediate => pace(100, 1.0, 100, 0),
            Class::Transient => pace(1_000, 2.0, 60_000, 100),
            Class::Throttled => pace(4_000, 2.0, 120_000, 1_000),
            Class::TooEarly => pace(15_000, 1.0, 15_000, 5_000),
            Class::Credentials => pace(2_000, 2.0, 60_000, 1_000),
            Class::Permission => pace(60_000, 1.0, 60_000, 30_000),
            Class::Permanent => pace(60_000, 2.0, 600_000, 30_000),
        }
    }
}

/// The waits between attempts. A value: cloned, compared by what it says, without a clock in it.
#[derive(Clone, Debug)]
pub struct Schedule {
    #[expect(clippy::disallowed_types, reason = "the one place that may name it; see the head of this file")]
    inner: backoff::ExponentialBackoff,
    floor: Duration,
}

impl Schedule {
    /// A schedule at its beginning. A `floor` above `max` lifts `max`.
    #[expect(clippy::disallowed_types, reason = "the one place that may name it; see the head of this file")]
    pub fn new(pace: Pace) -> Self {
        let max = pace.max.max(pace.floor);
        let initial = pace.initial.clamp(pace.floor, max);
        let multiplier = if pace.multiplier >= 1.0 { pace.multiplier } else { 1.0 };
        let inner = backoff::ExponentialBackoff {
            current_interval: initial,
            initial_interval: initial,
            randomization_factor: 0.0,
            multiplier,
            max_interval: max,
            max_elapsed_time: None,
            ..backoff::ExponentialBackoff::default()
        };
        Self { inner, floor: pace.floor }
    }

    /// How long to wait before the next attempt; the interval grows.
    ///
    /// `random` is one number of [`Random`]. Without a `hint` the wait is spread evenly over `[floor, interval]`. A `hint` of the
    /// server (Retry-After) is the least to wait, at most [`LONGEST_HINT`], and the jitter comes on top of it, so that those who got
    /// the same hint do not come back together.
    pub fn next(&mut self, random: u64, hint: Option<Duration>) -> Duration {
        let interval = self.inner.current_interval;
        // Never none: there is no maximum elapsed time.
        let _ = backoff::backoff::Backoff::next_backoff(&mut self.inner);
        let jittered = self.floor.saturating_add(part(interval.saturating_sub(self.floor), random));
        match hint {
            None => jittered,
            Some(hint) => hint.min(LONGEST_HINT).saturating_add(jittered),
        }
    }

    /// Back to the first interval, after a success or when the kind of trouble changed.
    pub fn reset(&mut self) {
        self.inner.current_interval = self.inner.initial_interval;
    }
}

/// A schedule for each class of refusal: causes that take turns do not start over.
#[derive(Clone, Debug, Default)]
pub struct Schedules(Vec<(Class, Schedule)>);

impl Schedules {
    /// As [`Schedule::next`], at the pace of `class`.
    pub fn next(&mut self, class: Class, random: u64, hint: Option<Duration>) -> Duration {
        if let Some((_, schedule)) = self.0.iter_mut().find(|(known, _)| *known == class) {
            return schedule.next(random, hint);
        }
        let mut schedule = Schedule::new(Pace::of(class));
        let delay = schedule.next(random, hint);
        self.0.push((class, schedule));
        delay
    }
}

/// The share `random / 2^64` of `span`.
fn part(span: Duration, random: u64) -> Duration {
    let micros = u128::from(u64::try_from(span.as_micros()).unwrap_or(u64::MAX));
    // A product of two u64 fits u128; its upper half fits u64.
    Duration::from_micros(u64::try_from((micros * u128::from(random)) >> 64).unwrap_or(0))
}

/// A small seeded generator (SplitMix64, Steele, Lea and Flood 2014) for jitter. Not for secrets or ids.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The same seed gives the same numbers.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A generator that no other host shares, seeded from the kernel's randomness.
    pub fn from_kernel() -> Self {
        let (high, low) = uuid::Uuid::new_v4().as_u64_pair();
        Self(high ^ low.rotate_left(32))
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A time from zero up to `span`.
    pub fn up_to(&mut self, span: Duration) -> Duration {
        part(span, self.draw())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn pace() -> Pace {
        Pace { initial: SECOND, multiplier: 2.0, max: 8 * SECOND, floor: Duration::from_millis(100) }
    }

    #[test]
    fn the_interval_doubles_up_to_its_maximum_and_never_ends() {
        let mut schedule = Schedule::new(pace());
        let waits: Vec<_> = (0..6).map(|_| schedule.next(u64::MAX, None).as_secs_f64().round()).collect();
        assert_eq!(waits, [1.0, 2.0, 4.0, 8.0, 8.0, 8.0]);
        for _ in 0..10_000 {
            schedule.next(u64::MAX, None);
        }
        assert!(schedule.next(u64::MAX, None) > 7 * SECOND);
    }

    #[test]
    fn reset_begins_anew() {
        let mut schedule = Schedule::new(pace());
        for _ in 0..5 {
            schedule.next(0, None);
        }
        schedule.reset();
        assert!(schedule.next(u64::MAX, None) <= SECOND);
    }

    #[test]
    fn the_whole_interval_is_random_above_its_floor() {
        assert_eq!(Schedule::new(pace()).next(0, None), Duration::from_millis(100));
        assert_eq!(Schedule::new(pace()).next(1 << 63, None), Duration::from_millis(550));
    }

    #[test]
    fn a_hint_is_the_least_to_wait_and_is_bounded() {
        let wait = Schedule::new(pace()).next(1 << 63, Some(30 * SECOND));
        assert_eq!(wait, Duration::from_millis(30_550));
        let wait = Schedule::new(pace()).next(u64::MAX, Some(Duration::MAX));
        assert!(wait <= LONGEST_HINT + SECOND);
    }

    #[test]
    fn splitmix_gives_its_published_numbers() {
        let mut random = Random::new(1_234_567);
        assert_eq!([random.draw(), random.draw()], [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]);
    }

    proptest! {
        #[test]
        fn every_wait_is_within_its_bounds(
            initial in 0u64..100_000, multiplier in 0.0f64..10.0, max in 0u64..600_000, floor in 0u64..100_000,
            randoms in proptest::collection::vec(any::<u64>(), 1..50),
        ) {
            let ms = Duration::from_millis;
            let mut schedule = Schedule::new(Pace { initial: ms(initial), multiplier, max: ms(max), floor: ms(floor) });
            for random in randoms {
                let wait = schedule.next(random, None);
                prop_assert!(wait >= ms(floor) && wait <= ms(max.max(floor)) + Duration::from_micros(1), "{wait:?}");
            }
        }

        #[test]
        fn a_share_of_a_span_is_never_more_than_the_span(micros in any::<u64>(), random in any::<u64>()) {
            let span = Duration::from_micros(micros);
            prop_assert!(part(span, random) <= span);
        }
    }
}
