//! How observations commit a check to a state: consecutive results, the start period, terminal streaks.
//!
//! Good observations (passing, warning) and bad ones (critical, unknown) each count in a row; one of the other sort starts the count
//! again. Observations that come sooner than nine tenths of the check's quickest pace after the last one that counted count no more than that one
//! did: a change makes a run due at once, and three glances within a moment are not three failures. `success_threshold` good ones commit to what the last one said, `failure_threshold` bad ones likewise. Before the first
//! commit the state is `initial`, which is neither. Failures inside the start period are shown but do not count; the first good
//! observation ends that period.

use super::{Health, Observation};
use crate::clock::{BootMs, millis};
use crate::plan::Check;

/// A change of the committed state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// Before; none is `initial`.
    pub from: Option<Health>,
    /// After.
    pub to: Health,
}

/// One observation and when its run ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// Boot time of its end.
    pub at: BootMs,
    /// What it said.
    pub observation: Observation,
}

/// What consecutive observations have committed a check to.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckState {
    began: BootMs,
    committed: Option<Health>,
    committed_at: BootMs,
    good_commit_at: BootMs,
    good: u32,
    bad: u32,
    terminal: u32,
    ever_good: bool,
    good_since: Option<BootMs>,
    good_until: BootMs,
    last: Option<Seen>,
    /// When the last observation counted.
    counted_at: Option<BootMs>,
}

impl CheckState {
    /// A check in state `initial` whose start period begins at `began`.
    pub fn new(began: BootMs) -> Self {
        Self {
            began,
            committed: None,
            committed_at: began,
            good_commit_at: began,
            good: 0,
            bad: 0,
            terminal: 0,
            ever_good: false,
            good_since: None,
            good_until: began,
            last: None,
            counted_at: None,
        }
    }

    /// Takes the result of one run that ended at `at`.
    pub fn observe(&mut self, check: &Check, at: BootMs, observation: Observation) -> Option<Transition> {
        let health = observation.health;
        let counts = health.is_good() || !self.in_start_period(check, at);
        let terminal = observation.terminal;
        self.last = Some(Seen { at, observation });
        let spaced = self.is_spaced(check, at);
        let threshold_reached = if health.is_good() {
            self.ever_good = true;
            self.bad = 0;
            self.terminal = 0;
            self.good = self.count(self.good, spaced, at);
            self.good_since.get_or_insert(at);
            self.good_until = at;
            self.good >= check.success_threshold
        } else {
            self.good = 0;
            self.good_since = None;
            if !counts {
                return None;
            }
            self.terminal = match (terminal, self.terminal) {
                (false, _) => 0,
                (true, 0) => 1,
                (true, streak) => streak.saturating_add(u32::from(spaced)),
            };
            self.bad = self.count(self.bad, spaced, at);
            self.bad >= check.failure_threshold
        };
        if !threshold_reached || self.committed == Some(health) {
            return None;
        }
        self.commit(health, at)
    }

    /// Until `now` nobody looked for longer than was meant: the healthy time begins anew, with the next good observation. What is passive
    /// says still what it said.
    pub fn unwatched(&mut self, check: &Check, now: BootMs) {
        self.good_since = self.good_since.filter(|_| check.probe.is_passive()).map(|_| now);
    }

    /// Whether an observation at `at` may count beside the last one that did. What is pushed counts whenever it comes.
    fn is_spaced(&self, check: &Check, at: BootMs) -> bool {
        let pace = millis(check.start_interval.min(check.interval));
        check.probe.is_passive() || self.counted_at.is_none_or(|counted| at >= counted.saturating_add(pace - pace / 10))
    }

    /// A streak with one more observation: the first of its sort counts always.
    fn count(&mut self, streak: u32, spaced: bool, at: BootMs) -> u32 {
        if streak > 0 && !spaced {
            return streak;
        }
        self.counted_at = Some(at);
        streak.saturating_add(1)
    }

    fn commit(&mut self, to: Health, at: BootMs) -> Option<Transition> {
        let from = self.committed;
        if to.is_good() && !from.is_some_and(Health::is_good) {
            self.good_commit_at = at;
        }
        self.committed = Some(to);
        self.committed_at = at;
        Some(Transition { from, to })
    }

    /// Whether failures at `at` do not count yet.
    pub fn in_start_period(&self, check: &Check, at: BootMs) -> bool {
        !self.ever_good && at < self.began.saturating_add(millis(check.start_period))
    }

    /// The committed state; none is `initial`.
    pub fn committed(&self) -> Option<Health> {
        self.committed
    }

    /// When the committed state was entered.
    pub fn since(&self) -> BootMs {
        self.committed_at
    }

    /// Whether a required check in this state is satisfied.
    pub fn is_satisfied(&self) -> bool {
        self.committed.is_some_and(Health::is_good)
    }

    /// Since when the check is satisfied without a break: every single observation since then was good.
    pub fn healthy_since(&self) -> Option<BootMs> {
        if !self.is_satisfied() {
            return None;
        }
        self.good_since.map(|since| since.max(self.good_commit_at))
    }

    /// Until when that is shown by an observation. What is passive shows it until it is told something else, which is an observation.
    pub fn healthy_until(&self, check: &Check, now: BootMs) -> BootMs {
        if check.probe.is_passive() { now } else { self.good_until }
    }

    /// Whether terminal observations, `failure_threshold` in a row and outside the start period, say it will never pass.
    pub fn will_never_pass(&self, check: &Check) -> bool {
        self.terminal >= check.failure_threshold
    }

    /// The newest observation.
    pub fn last(&self) -> Option<&Seen> {
        self.last.as_ref()
    }

    /// Length of the present run of good, or of counted bad, observations.
    pub fn streak(&self) -> u32 {
        self.good.max(self.bad)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::testing;

    fn check(success: u32, failure: u32, start_period_s: u64) -> Check {
        let mut check = testing::check("web");
        check.success_threshold = success;
        check.failure_threshold = failure;
        // So that moments stand for runs.
        check.start_interval = std::time::Duration::from_millis(1);
        check.start_period = std::time::Duration::from_secs(start_period_s);
        check
    }

    fn see(state: &mut CheckState, check: &Check, at: BootMs, health: Health) -> Option<Transition> {
        state.observe(check, at, Observation::new(health, "seen"))
    }

    #[test]
    fn scenario_21_one_blip_does_not_flip_the_state() {
        let check = check(1, 3, 0);
        let mut state = CheckState::new(0);
        assert_eq!(see(&mut state, &check, 1, Health::Passing), Some(Transition { from: None, to: Health::Passing }));
        assert_eq!(see(&mut state, &check, 2, Health::Critical), None);
        assert_eq!(see(&mut state, &check, 3, Health::Passing), None);
        assert_eq!(see(&mut state, &check, 4, Health::Critical), None);
        assert_eq!(see(&mut state, &check, 5, Health::Unknown), None);
        assert!(state.is_satisfied());
        assert_eq!(state.healthy_since(), None, "a blip breaks the healthy time although the state stands");
        assert_eq!(see(&mut state, &check, 6, Health::Critical), Some(Transition { from: Some(Health::Passing), to: Health::Critical }));
    }

    #[test]
    fn scenario_21_thresholds_count_from_zero_with_any_other_result_in_between() {
        let check = check(3, 1, 0);
        let mut state = CheckState::new(0);
        for at in 1..=2 {
            assert_eq!(see(&mut state, &check, at, Health::Passing), None);
        }
        assert!(see(&mut state, &check, 3, Health::Critical).is_some());
        for at in 4..=5 {
            assert_eq!(see(&mut state, &check, at, Health::Passing), None);
        }
        assert!(see(&mut state, &check, 6, Health::Passing).is_some());
        assert_eq!(state.healthy_since(), Some(6), "passing counts from its commit");
    }

    #[test]
    fn scenario_22_failures_in_the_start_period_do_not_count_and_the_first_success_ends_it() {
        let check = check(1, 1, 60);
        let mut state = CheckState::new(1_000);
        assert_eq!(see(&mut state, &check, 2_000, Health::Critical), None);
        assert_eq!(state.committed(), None);
        assert!(see(&mut state, &check, 3_000, Health::Passing).is_some());
        assert!(see(&mut state, &check, 4_000, Health::Critical).is_some(), "the period has ended early");
        let mut late = CheckState::new(1_000);
        assert!(see(&mut late, &check, 61_000, Health::Critical).is_some());
    }

    #[test]
    fn unknown_counts_like_critical_but_keeps_its_name() {
        let check = check(1, 2, 0);
        let mut state = CheckState::new(0);
        see(&mut state, &check, 1, Health::Critical);
        assert_eq!(see(&mut state, &check, 2, Health::Unknown), Some(Transition { from: None, to: Health::Unknown }));
    }

    #[test]
    fn terminal_observations_must_come_in_a_row_and_outside_the_start_period() {
        let check = check(1, 2, 10);
        let mut state = CheckState::new(0);
        let terminal = || Observation { terminal: true, ..Observation::new(Health::Critical, "failed") };
        state.observe(&check, 1_000, terminal());
        state.observe(&check, 2_000, terminal());
        assert!(!state.will_never_pass(&check), "inside the start period");
        state.observe(&check, 11_000, terminal());
        see(&mut state, &check, 12_000, Health::Critical);
        state.observe(&check, 13_000, terminal());
        assert!(!state.will_never_pass(&check), "not in a row");
        state.observe(&check, 14_000, terminal());
        assert!(state.will_never_pass(&check));
    }

    #[test]
    fn glances_in_quick_succession_count_once() {
        let mut check = check(2, 3, 0);
        check.start_interval = std::time::Duration::from_secs(1);
        let mut state = CheckState::new(0);
        for at in [1_000, 1_020, 1_040, 1_999] {
            assert_eq!(see(&mut state, &check, at, Health::Critical), None, "a change made it look at {at}");
        }
        assert_eq!(see(&mut state, &check, 2_000, Health::Critical), None, "the second that counts");
        assert!(see(&mut state, &check, 3_000, Health::Critical).is_some());
        assert_eq!(see(&mut state, &check, 3_010, Health::Passing), None);
        assert_eq!(see(&mut state, &check, 3_020, Health::Passing), None, "success_threshold is no burst either");
        assert!(see(&mut state, &check, 4_010, Health::Passing).is_some());
    }

    #[test]
    fn what_is_seen_to_be_terminal_between_polls_is_terminal() {
        let mut check = check(1, 1, 0);
        check.start_interval = std::time::Duration::from_secs(1);
        let mut state = CheckState::new(0);
        see(&mut state, &check, 1_000, Health::Critical);
        state.observe(&check, 1_020, Observation::new(Health::Critical, "failed").terminal());
        assert!(state.will_never_pass(&check));
    }
}
