//! Signatures that were taken, so that one is not taken twice.
//!
//! One is remembered until the time window refuses it: 60 s after the time that it was made at, at most two minutes in all. A hash of 64 bits under a key of this
//! process stands for it, so that a hundred thousand of them take a few MiB.

use crate::events::signature::WINDOW_MS;
use std::collections::{BTreeMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};

/// Those that are remembered at once: 2,000 a second for as long as they are.
const LIMIT: usize = 262_144;
/// They are forgotten in portions of this.
const PORTION_MS: i64 = 10_000;

/// What is made of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// It is new. It is remembered now, as this.
    New(u64),
    /// It came before.
    Before,
    /// It cannot be told: too many came.
    Full,
}

/// The signatures by portions of the time that they were made at.
#[derive(Debug, Default)]
pub(super) struct Replay {
    portions: BTreeMap<i64, HashSet<u64>>,
    state: RandomState,
}

impl Replay {
    /// Whether this signature, made at `at_ms` and inside the time window, is new; it is remembered then.
    pub(super) fn see(&mut self, signature: &[u8], at_ms: i64, now_ms: i64) -> Seen {
        let oldest = (now_ms - WINDOW_MS) / PORTION_MS;
        while self.portions.first_key_value().is_some_and(|(portion, _)| *portion < oldest) {
            self.portions.pop_first();
        }
        let hash = self.state.hash_one(signature);
        let portion = at_ms / PORTION_MS;
        if self.portions.get(&portion).is_some_and(|portion| portion.contains(&hash)) {
            return Seen::Before;
        }
        if self.portions.values().map(HashSet::len).sum::<usize>() >= LIMIT {
            return Seen::Full;
        }
        self.portions.entry(portion).or_default().insert(hash);
        Seen::New(hash)
    }

    /// What it stood for was not taken after all.
    pub(super) fn forget(&mut self, hash: u64, at_ms: i64) {
        if let Some(portion) = self.portions.get_mut(&(at_ms / PORTION_MS)) {
            portion.remove(&hash);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_769_486_400_000;

    #[test]
    fn a_signature_is_known_again_for_as_long_as_the_time_window_lets_it_in() {
        let mut replay = Replay::default();
        // Made by a clock that is a minute ahead: good for two.
        let made = NOW + WINDOW_MS;
        assert!(matches!(replay.see(b"one", made, NOW), Seen::New(_)));
        for later in [0, 60_000, 119_999, 120_000] {
            assert_eq!(replay.see(b"one", made, NOW + later), Seen::Before, "{later}");
        }
        assert!(matches!(replay.see(b"two", made, NOW), Seen::New(_)));
    }

    #[test]
    fn what_was_not_taken_may_come_again() {
        let mut replay = Replay::default();
        let Seen::New(hash) = replay.see(b"one", NOW, NOW) else { panic!("it is new") };
        replay.forget(hash, NOW);
        assert!(matches!(replay.see(b"one", NOW, NOW), Seen::New(_)));
    }

    #[test]
    fn a_flood_fills_it_without_making_room_for_replays_and_time_empties_it() {
        let mut replay = Replay::default();
        for number in 0..LIMIT {
            assert!(matches!(replay.see(&number.to_be_bytes(), NOW, NOW), Seen::New(_)));
        }
        assert_eq!(replay.see(b"one more", NOW, NOW), Seen::Full);
        assert_eq!(replay.see(&0usize.to_be_bytes(), NOW, NOW), Seen::Before);
        let later = NOW + WINDOW_MS + PORTION_MS;
        assert!(matches!(replay.see(b"one more", later, later), Seen::New(_)));
        assert_eq!(replay.portions.len(), 1);
    }
}
