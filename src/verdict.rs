//! Check states to verdict, for one signal. Pure.
//!
//! The healthy window: it opens when the last required check becomes satisfied, and any single bad observation of a required check
//! closes it. It is complete when every required check has been *seen* good at or after `min_healthy_time` from its opening, so that
//! a slow failing run cannot hide behind an old good one. To finish in time the decision asks for those runs ([`Decision::confirm`]).

use crate::check::CheckState;
use crate::clock::{BootMs, millis};
use crate::plan::{Check, Level, Name, OnDeadline, OnDegraded, Signal};
use crate::signal::SignalStatus;
use std::fmt::Write as _;
use std::sync::Arc;

/// The times that bound a round, on the boot clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timers {
    /// Start of the round.
    pub started: BootMs,
    /// `deadline - margin`: here it is decided.
    pub decide_by: BootMs,
    /// `deadline`: a window that is complete by then is still waited for.
    pub last: BootMs,
    /// They follow the Timeout in the template, and not `deadline`.
    pub from_template: bool,
}

/// A verdict, or not yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing to say yet.
    Pending,
    /// This is to be said, for this reason.
    Say(SignalStatus, String),
    /// The deadline passed with `on_deadline = "none"`.
    Silence(String),
}

/// What the check states mean now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The verdict.
    pub verdict: Verdict,
    /// When time alone may change it.
    pub wake: Option<BootMs>,
    /// Checks whose next run completes the healthy window: run them now.
    pub confirm: Vec<Name>,
}

/// A check of the signal and its state.
pub type Standing<'a> = (&'a Arc<Check>, &'a CheckState);

/// Decides for `signal`, whose checks stand as `standings` say.
pub fn decide(signal: &Signal, standings: &[Standing<'_>], timers: Timers, now: BootMs) -> Decision {
    if signal.fail_fast
        && let Some((check, state)) = required(standings).find(|(check, state)| state.will_never_pass(check))
    {
        return decided(SignalStatus::Failure, format!("check {} will never pass: {}", check.name, message(state)));
    }
    let window = healthy_since(standings, timers.started);
    let complete_at = window.map(|since| since.saturating_add(millis(signal.min_healthy_time)));
    if let Some(at) = complete_at.filter(|at| now >= *at && lagging(standings, *at, now).is_empty()) {
        return healthy(signal, standings, timers, at, now);
    }
    if now >= timers.decide_by {
        let satisfied = required(standings).all(|(_, state)| state.is_satisfied());
        let could_be = complete_at.unwrap_or_else(|| now.saturating_add(millis(signal.min_healthy_time)));
        if !(satisfied && could_be <= timers.last && now < timers.last) {
            return at_deadline(signal, standings, now, timers);
        }
        return pending(standings, complete_at, timers.last, now);
    }
    pending(standings, complete_at, timers.decide_by, now)
}

fn decided(status: SignalStatus, reason: String) -> Decision {
    Decision { verdict: Verdict::Say(status, reason), wake: None, confirm: Vec::new() }
}

fn pending(standings: &[Standing<'_>], complete_at: Option<BootMs>, bound: BootMs, now: BootMs) -> Decision {
    let confirm = complete_at.filter(|at| now >= *at).map(|at| lagging(standings, at, now)).unwrap_or_default();
    let wake = complete_at.filter(|at| *at > now).map_or(bound, |at| at.min(bound));
    Decision { verdict: Verdict::Pending, wake: Some(wake), confirm }
}

/// The window is complete since `at`.
fn healthy(signal: &Signal, standings: &[Standing<'_>], timers: Timers, at: BootMs, now: BootMs) -> Decision {
    let why_degraded = degraded(standings);
    let required_count = required(standings).count();
    let held = humantime::format_duration(signal.min_healthy_time);
    let all = match required_count {
        0 => format!("no required checks; {held} passed"),
        count => format!("{count} of {count} required checks passing for {held}"),
    };
    if why_degraded.is_empty() {
        return decided(SignalStatus::Success, all);
    }
    let reason = format!("{all}; degraded: {why_degraded}");
    let grace_ends = match signal.on_degraded {
        OnDegraded::Wait => timers.decide_by,
        OnDegraded::Success | OnDegraded::Warning => at.saturating_add(millis(signal.degraded_grace)).min(timers.decide_by),
    };
    if now < grace_ends {
        return Decision { verdict: Verdict::Pending, wake: Some(grace_ends), confirm: Vec::new() };
    }
    match signal.on_degraded {
        OnDegraded::Warning => decided(SignalStatus::Warning, reason),
        OnDegraded::Success | OnDegraded::Wait => decided(SignalStatus::Success, reason),
    }
}

fn at_deadline(signal: &Signal, standings: &[Standing<'_>], now: BootMs, timers: Timers) -> Decision {
    let after = humantime::format_duration(std::time::Duration::from_secs(u64::try_from((now - timers.started) / 1000).unwrap_or(0)));
    let mut reason = if timers.from_template {
        format!("the time that the template's Timeout leaves was up {after} after the start of the round: ")
    } else {
        format!(
            "deadline {} (less margin {}) reached {after} after the start of the round: ",
            humantime::format_duration(signal.deadline),
            humantime::format_duration(signal.margin)
        )
    };
    reason.push_str(&not_ready(standings).unwrap_or_else(|| "healthy, but not for min_healthy_time".to_owned()));
    Decision { verdict: too_late(signal, reason), wake: None, confirm: Vec::new() }
}

/// What is said when the time to decide is over.
pub fn too_late(signal: &Signal, reason: String) -> Verdict {
    match signal.on_deadline {
        OnDeadline::Failure => Verdict::Say(SignalStatus::Failure, reason),
        OnDeadline::Warning => Verdict::Say(SignalStatus::Warning, reason),
        OnDeadline::None => Verdict::Silence(reason),
    }
}

fn required<'a>(standings: &'a [Standing<'a>]) -> impl Iterator<Item = &'a Standing<'a>> {
    standings.iter().filter(|(check, _)| check.level == Level::Required)
}

/// Since when all required checks are satisfied without a break; with none, since the start of the round.
pub fn healthy_since(standings: &[Standing<'_>], started: BootMs) -> Option<BootMs> {
    required(standings).try_fold(started, |latest, (_, state)| state.healthy_since().map(|since| latest.max(since)))
}

/// Whether the healthy window is complete now, whatever has been said already.
pub fn is_healthy(signal: &Signal, standings: &[Standing<'_>], started: BootMs, now: BootMs) -> bool {
    let complete_at = healthy_since(standings, started).map(|since| since.saturating_add(millis(signal.min_healthy_time)));
    complete_at.is_some_and(|at| at <= now && lagging(standings, at, now).is_empty())
}

/// Required checks that were not seen good at or after `at`.
fn lagging(standings: &[Standing<'_>], at: BootMs, now: BootMs) -> Vec<Name> {
    required(standings).filter(|(check, state)| state.healthy_until(check, now) < at).map(|(check, _)| Arc::clone(&check.name)).collect()
}

/// What makes a healthy host degraded, with what each check last said; empty if nothing does.
pub fn degraded(standings: &[Standing<'_>]) -> String {
    let culprits = standings.iter().filter(|(check, state)| match check.level {
        Level::Required => state.committed() == Some(crate::check::Health::Warning),
        Level::Wanted => state.committed() != Some(crate::check::Health::Passing),
    });
    list(culprits)
}

/// The required checks that are not satisfied, with what each last said; none if all are.
pub fn not_ready(standings: &[Standing<'_>]) -> Option<String> {
    let text = list(required(standings).filter(|(_, state)| !state.is_satisfied()));
    (!text.is_empty()).then_some(text)
}

/// Up to four checks in words, and how many more.
fn list<'a>(standings: impl Iterator<Item = &'a Standing<'a>>) -> String {
    let mut text = String::new();
    let mut more = 0;
    for (index, (check, state)) in standings.enumerate() {
        if index >= 4 {
            more += 1;
            continue;
        }
        let separator = if index == 0 { "" } else { ", " };
        let word = state.committed().map_or("initial", crate::check::Health::word);
        let _ = write!(text, "{separator}{} ({word}: {})", check.name, message(state));
    }
    if more > 0 {
        let _ = write!(text, " and {more} more");
    }
    text
}

fn message(state: &CheckState) -> &str {
    state.last().map_or("not run yet", |seen| seen.observation.message.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{Health, Observation};
    use crate::plan::testing;
    use std::time::Duration;

    struct Host {
        signal: Signal,
        checks: Vec<(Arc<Check>, CheckState)>,
    }

    const TIMERS: Timers = Timers { started: 0, decide_by: 870_000, last: 900_000, from_template: false };

    impl Host {
        fn new(levels: &[Level]) -> Self {
            let checks = levels.iter().enumerate().map(|(index, level)| {
                let mut check = testing::check(&format!("c{index}"));
                check.level = *level;
                check.failure_threshold = 2;
                (Arc::new(check), CheckState::new(0))
            });
            Self { signal: testing::signal("web", "WebReady", &[]), checks: checks.collect() }
        }

        fn see(&mut self, index: usize, at: BootMs, health: Health) {
            let (check, state) = &mut self.checks[index];
            state.observe(check, at, Observation::new(health, "seen"));
        }

        fn decide(&self, now: BootMs) -> Decision {
            let standings: Vec<_> = self.checks.iter().map(|(check, state)| (check, state)).collect();
            decide(&self.signal, &standings, TIMERS, now)
        }

        fn said(&self, now: BootMs) -> Option<SignalStatus> {
            match self.decide(now).verdict {
                Verdict::Say(status, _) => Some(status),
                _ => None,
            }
        }
    }

    use Level::{Required, Wanted};

    #[test]
    fn scenario_5_success_only_after_min_healthy_time_shown_by_an_observation() {
        let mut host = Host::new(&[Required]);
        host.see(0, 1_000, Health::Passing);
        assert_eq!(host.said(5_999), None);
        let decision = host.decide(6_000);
        assert_eq!(decision.verdict, Verdict::Pending, "nobody has looked since");
        assert_eq!(decision.confirm, vec![Arc::from("c0")]);
        host.see(0, 6_050, Health::Passing);
        assert_eq!(host.said(6_050), Some(SignalStatus::Success));
    }

    #[test]
    fn a_single_bad_observation_starts_the_healthy_time_again() {
        let mut host = Host::new(&[Required]);
        host.see(0, 1_000, Health::Passing);
        host.see(0, 3_000, Health::Critical);
        host.see(0, 4_000, Health::Passing);
        host.see(0, 7_000, Health::Passing);
        assert_eq!(host.said(7_000), None);
        host.see(0, 9_000, Health::Passing);
        assert_eq!(host.said(9_000), Some(SignalStatus::Success));
    }

    #[test]
    fn scenario_23_a_wanted_check_delays_the_verdict_by_its_grace_at_most() {
        let mut host = Host::new(&[Required, Wanted]);
        host.see(0, 1_000, Health::Passing);
        host.see(0, 6_000, Health::Passing);
        assert_eq!(host.decide(6_000).wake, Some(36_000));
        assert_eq!(host.said(36_000), Some(SignalStatus::Success));
        host.signal.on_degraded = OnDegraded::Warning;
        assert_eq!(host.said(36_000), Some(SignalStatus::Warning));
        host.see(1, 7_000, Health::Passing);
        assert_eq!(host.said(7_000), Some(SignalStatus::Success), "good at once when it recovers");
    }

    #[test]
    fn degraded_wait_ends_at_the_deadline_as_success() {
        let mut host = Host::new(&[Required, Wanted]);
        host.signal.on_degraded = OnDegraded::Wait;
        host.see(0, 1_000, Health::Passing);
        host.see(0, 6_000, Health::Passing);
        assert_eq!(host.said(869_999), None);
        assert_eq!(host.said(870_000), Some(SignalStatus::Success));
    }

    #[test]
    fn scenario_6_the_deadline_says_failure_with_the_timer_and_the_culprit() {
        let mut host = Host::new(&[Required]);
        host.see(0, 1_000, Health::Critical);
        host.see(0, 2_000, Health::Critical);
        let Verdict::Say(SignalStatus::Failure, reason) = host.decide(870_000).verdict else { panic!("no failure") };
        assert_eq!(reason, "deadline 15m (less margin 30s) reached 14m 30s after the start of the round: c0 (critical: seen)");
        host.signal.on_deadline = OnDeadline::Warning;
        assert_eq!(host.said(870_000), Some(SignalStatus::Warning));
        host.signal.on_deadline = OnDeadline::None;
        assert!(matches!(host.decide(870_000).verdict, Verdict::Silence(_)));
    }

    #[test]
    fn at_the_deadline_the_rest_of_min_healthy_time_is_waited_for_if_it_fits() {
        let mut host = Host::new(&[Required]);
        host.see(0, 868_000, Health::Passing);
        assert_eq!(host.decide(870_000).verdict, Verdict::Pending);
        host.see(0, 873_000, Health::Passing);
        assert_eq!(host.said(873_000), Some(SignalStatus::Success));
        host.signal.min_healthy_time = Duration::from_secs(60);
        assert_eq!(host.said(873_000), Some(SignalStatus::Failure), "it does not fit");
    }

    #[test]
    fn the_last_moment_decides_even_if_nobody_confirms() {
        let mut host = Host::new(&[Required]);
        host.see(0, 868_000, Health::Passing);
        assert_eq!(host.decide(899_999).verdict, Verdict::Pending);
        assert_eq!(host.said(900_000), Some(SignalStatus::Failure));
    }

    #[test]
    fn terminal_observations_fail_at_once_only_with_fail_fast_and_only_for_required_checks() {
        let mut host = Host::new(&[Required, Wanted]);
        for (at, index) in [(1_000, 1), (2_000, 1)] {
            let (check, state) = &mut host.checks[index];
            state.observe(check, at, Observation { terminal: true, ..Observation::new(Health::Critical, "exit 78") });
        }
        assert_eq!(host.said(2_000), None);
        for at in [1_000, 2_000] {
            let (check, state) = &mut host.checks[0];
            state.observe(check, at, Observation { terminal: true, ..Observation::new(Health::Critical, "exit 78") });
        }
        assert_eq!(host.decide(2_000).verdict, Verdict::Say(SignalStatus::Failure, "check c0 will never pass: exit 78".into()));
        host.signal.fail_fast = false;
        assert_eq!(host.said(2_000), None);
    }
}
