//! How long a verdict takes at best and at worst, from the configuration alone. Pure.
//!
//! *Best*: every run takes no time and passes at once. A check begins after its `initial_delay` or its dependencies, whichever ends
//! later, and needs `success_threshold` runs with `start_interval` between them.
//!
//! *Worst*, for a host that becomes healthy: the check begins after its dependencies, its `initial_delay` with the splay of the first
//! run, or its `start_period`, whichever ends last (both periods count from the start of the round). Then it takes one run that just
//! missed the change and `success_threshold` more, or `failure_threshold` runs if that is more; each uses up its `timeout`, with
//! `start_interval` between them. When a ttl check is pushed to is not ours to know: its silence of up to `ttl` is not counted, and pushes
//! count as runs that take no time.
//!
//! A composite passes with as many of its members as it needs, those that come first.
//!
//! The signal adds `min_healthy_time`, and at worst `degraded_grace`. (With `on_degraded = "wait"` a degraded host waits for the
//! deadline by intent; that is not counted.)

use crate::plan::{Check, Composite, Level, Name, OnDegraded, Plan, Probe, Signal};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The greatest splay of a first run while there is no verdict.
const SPLAY: Duration = Duration::from_secs(1);

/// From the start of the round to the verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Times {
    /// Nothing takes time.
    pub best: Duration,
    /// Everything takes as long as it may.
    pub worst: Duration,
}

/// Times to a SUCCESS of `signal`, a signal of `plan`.
pub fn times(plan: &Plan, signal: &Signal) -> Times {
    let mut known = BTreeMap::new();
    let required = signal.checks.iter().filter(|name| plan.check(name).is_some_and(|check| check.level == Level::Required));
    let total = required.fold(NONE, |total, name| later(total, passing(plan, name, &mut known)));
    let grace = if signal.on_degraded == OnDegraded::Wait { Duration::ZERO } else { signal.degraded_grace };
    Times {
        best: total.best.saturating_add(signal.min_healthy_time),
        worst: total.worst.saturating_add(signal.min_healthy_time.max(grace)),
    }
}

/// Times until the check `name` of `plan` passes.
pub fn times_of(plan: &Plan, name: &Name) -> Times {
    passing(plan, name, &mut BTreeMap::new())
}

const NONE: Times = Times { best: Duration::ZERO, worst: Duration::ZERO };

/// `known` are those that were asked for before. A plan has no cycles.
fn passing(plan: &Plan, name: &Name, known: &mut BTreeMap<Name, Times>) -> Times {
    if let Some(times) = known.get(name) {
        return *times;
    }
    let Some(check) = plan.check(name) else { return NONE };
    let ready = check.depends_on.iter().fold(NONE, |ready, needed| later(ready, passing(plan, needed, known)));
    let times = match &check.probe {
        Probe::Composite(composite) => later(ready, enough(composite, |member| passing(plan, member, known))),
        _ => of_check(check, ready),
    };
    known.insert(Arc::clone(name), times);
    times
}

/// When as many members pass as are needed.
fn enough(composite: &Composite, times: impl FnMut(&Name) -> Times) -> Times {
    let (mut best, mut worst): (Vec<_>, Vec<_>) = composite.of.iter().map(times).map(|times| (times.best, times.worst)).unzip();
    best.sort_unstable();
    worst.sort_unstable();
    let last = composite.needed().saturating_sub(1);
    let at = |times: &[Duration]| times.get(last).copied().unwrap_or_default();
    Times { best: at(&best), worst: at(&worst) }
}

fn later(a: Times, b: Times) -> Times {
    Times { best: a.best.max(b.best), worst: a.worst.max(b.worst) }
}

/// What the running of a check takes at worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Running {
    /// Runs until it passes.
    pub(crate) runs: u32,
    /// What each takes.
    pub(crate) each: Duration,
    /// From one to the next.
    pub(crate) pace: Duration,
}

/// See the head of this file.
pub(crate) fn running(check: &Check) -> Running {
    let each = if check.probe.is_passive() { Duration::ZERO } else { check.timeout };
    let runs = check.success_threshold.saturating_add(1).max(check.failure_threshold);
    Running { runs, each, pace: check.start_interval.min(check.interval) }
}

fn of_check(check: &Check, ready: Times) -> Times {
    let Running { runs, each: one, pace } = running(check);
    let first = check.initial_delay.saturating_add(pace.min(SPLAY));
    let begins = ready.worst.max(first).max(check.start_period);
    let running = one.saturating_mul(runs).saturating_add(pace.saturating_mul(runs.saturating_sub(1)));
    Times {
        best: ready.best.max(check.initial_delay).saturating_add(pace.saturating_mul(check.success_threshold.saturating_sub(1))),
        worst: begins.saturating_add(running),
    }
}
