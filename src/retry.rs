//! When to try again: exponential growth with jitter. The only file that names `backoff`.
//!
//! `backoff` is unmaintained (RUSTSEC-2025-0012) and has traps that are shut here: its default gives up after 15 minutes
//! (`max_elapsed_time` is none here), its jitter may exceed the maximum and cannot be seeded (`randomization_factor` is 0 and the
//! jitter is our own). What is left of it is the growth of the interval. A [`Schedule`] never sleeps and never ends: it says how
//! long to wait, and the core decides.
//!
//! Jitter is what lets thousands of agents that failed together come back spread out. How fast the interval grows is what a fleet pays for it: when calls work
//! again, or when there is room for all that are left, the last agent comes within one interval, and nobody else uses the time. An interval that grows by a
//! factor g is about g - 1 of the time that has passed, so a factor of two costs a fleet as long again as the trouble lasted, and 1.2 a fifth of
//! it. Where thousands wait for the same thing (no answer, throttling), intervals grow slowly therefore, and half of each is waited at least: the same number of
//! calls is spent on shorter intervals. `benches/proof/fleet` measures that, docs/fleet.md tells what came of it.

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
    /// The share of the upper end that every wait has at least, from 0 to 1; the rest is random.
    pub steady: f64,
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
            steady: 0.0,
        };
        let steadily = |pace| Self { steady: 0.5, ..pace };
        match class {
            Class::Immediate => pace(100, 1.0, 100, 0),
            Class::Transient => steadily(pace(1_000, 1.2, 60_000, 100)),
            Class::Throttled => steadily(pace(2_000, 1.35, 300_000, 500)),
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
    steady: f64,
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
        let steady = if (0.0..=1.0).contains(&pace.steady) { pace.steady } else { 0.0 };
        Self { inner, floor: pace.floor, steady }
    }

    /// How long to wait before the next attempt; the interval grows.
    ///
    /// `random` is one number of [`Random`]. Without a `hint` the wait is spread evenly over `[floor, interval]`, or, where that is more than `floor`, from the
    /// interval's steady share on. A `hint` of the
    /// server (Retry-After) is the least to wait, at most [`LONGEST_HINT`], and the jitter comes on top of it, so that those who got
    /// the same hint do not come back together.
    pub fn next(&mut self, random: u64, hint: Option<Duration>) -> Duration {
        let interval = self.inner.current_interval;
        // Never none: there is no maximum elapsed time.
        let _ = backoff::backoff::Backoff::next_backoff(&mut self.inner);
        let least = self.floor.max(interval.mul_f64(self.steady));
        let jittered = least.saturating_add(part(interval.saturating_sub(least), random));
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

/// Near the deadline a throttled attempt is not repeated for this long.
const MOST_HASTE: Duration = Duration::from_secs(5);

/// After a call that took its time and was not answered.
const LEAST_WAIT: Duration = Duration::from_millis(100);

/// What becomes of a wait that nobody asked for. A call that was not answered was a wait itself, for as long as it `took`; and where there is throttling, some
/// more attempts are made in what is `left` until the deadline.
pub fn fit(delay: Duration, class: Class, took: Duration, left: Duration) -> Duration {
    match class {
        Class::Transient => delay.saturating_sub(took).max(LEAST_WAIT),
        Class::Throttled if !left.is_zero() => delay.min((left / 4).max(MOST_HASTE)),
        _ => delay,
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
        Pace { initial: SECOND, multiplier: 2.0, max: 8 * SECOND, floor: Duration::from_millis(100), steady: 0.0 }
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
    fn a_steady_share_of_the_interval_is_always_waited() {
        let mut schedule = Schedule::new(Pace { steady: 0.5, ..pace() });
        assert_eq!(schedule.next(0, None), SECOND / 2);
        assert_eq!(schedule.next(1 << 63, None), Duration::from_millis(1_500));
    }

    #[test]
    fn where_many_wait_for_the_same_a_wait_is_little_more_than_half_of_the_time_that_has_passed_at_most() {
        for class in [Class::Transient, Class::Throttled] {
            let mut schedule = Schedule::new(Pace::of(class));
            let mut random = Random::new(7);
            let mut passed = Duration::ZERO;
            for attempt in 0..100 {
                let wait = schedule.next(random.draw(), None);
                assert!(attempt < 12 || wait < passed.mul_f64(0.6), "{class:?}, attempt {attempt}: {wait:?} after {passed:?}");
                passed += wait;
            }
        }
    }

    #[test]
    fn a_hint_is_the_least_to_wait_and_is_bounded() {
        let wait = Schedule::new(pace()).next(1 << 63, Some(30 * SECOND));
        assert_eq!(wait, Duration::from_millis(30_550));
        let wait = Schedule::new(pace()).next(u64::MAX, Some(Duration::MAX));
        assert!(wait <= LONGEST_HINT + SECOND);
    }

    #[test]
    fn what_an_unanswered_call_took_is_part_of_the_wait() {
        assert_eq!(fit(15 * SECOND, Class::Transient, 10 * SECOND, Duration::ZERO), 5 * SECOND);
        assert_eq!(fit(SECOND, Class::Transient, 10 * SECOND, Duration::ZERO), LEAST_WAIT);
        assert_eq!(fit(SECOND, Class::Throttled, 10 * SECOND, Duration::ZERO), SECOND);
    }

    #[test]
    fn throttled_attempts_come_closer_together_before_the_deadline_and_not_too_close() {
        assert_eq!(fit(200 * SECOND, Class::Throttled, SECOND, 400 * SECOND), 100 * SECOND);
        assert_eq!(fit(200 * SECOND, Class::Throttled, SECOND, SECOND), MOST_HASTE);
        assert_eq!(fit(SECOND, Class::Throttled, SECOND, 400 * SECOND), SECOND);
        assert_eq!(fit(200 * SECOND, Class::Permission, SECOND, 400 * SECOND), 200 * SECOND);
    }

    #[test]
    fn splitmix_gives_its_published_numbers() {
        let mut random = Random::new(1_234_567);
        assert_eq!([random.draw(), random.draw()], [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]);
    }

    proptest! {
        #[test]
        fn every_wait_is_within_its_bounds(
            initial in 0u64..100_000, multiplier in 0.0f64..10.0, max in 0u64..600_000, floor in 0u64..100_000, steady in -1.0f64..2.0,
            randoms in proptest::collection::vec(any::<u64>(), 1..50),
        ) {
            let ms = Duration::from_millis;
            let mut schedule = Schedule::new(Pace { initial: ms(initial), multiplier, max: ms(max), floor: ms(floor), steady });
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
