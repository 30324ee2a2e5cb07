//! How much of the loop's time the work on signatures may take. Checks begin in the same loop, so that a flood of forged requests must not fill it.

use std::time::Duration;

/// One part in so many of the time. A signature by a key of 2048 bits that holds takes about a tenth of a millisecond with all that belongs to it: this is room
/// for some thousands in a second.
const SHARE: u32 = 2;
/// What may be spent at once.
const BURST: Duration = Duration::from_millis(20);

/// A bucket of the loop's own time: what was spent runs out of it, half as fast as time passes. Work that finds it full is not begun.
#[derive(Debug, Default)]
pub(super) struct Budget {
    spent: Duration,
    at: Duration,
}

impl Budget {
    /// Whether more may be spent. `now` is any clock that goes forward.
    pub(super) fn allows(&mut self, now: Duration) -> bool {
        let passed = now.saturating_sub(std::mem::replace(&mut self.at, now));
        self.spent = self.spent.saturating_sub(passed / SHARE);
        self.spent < BURST
    }

    /// So much was.
    pub(super) fn spend(&mut self, took: Duration) {
        self.spent = self.spent.saturating_add(took);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_gets_half_of_the_time_and_a_short_burst() {
        let ms = Duration::from_millis;
        let (mut budget, mut now, mut worked) = (Budget::default(), ms(0), ms(0));
        while now < ms(10_000) {
            if budget.allows(now) {
                budget.spend(ms(5));
                worked += ms(5);
                now += ms(5);
            } else {
                now += ms(1);
            }
        }
        assert!((ms(4_700)..ms(5_300)).contains(&worked), "{worked:?}");
        assert!(budget.allows(ms(60_000)), "and it is over when the flood is");
    }
}
