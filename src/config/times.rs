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
//! The signal adds `min_healthy_time`, and at worst `degraded_grace`. (With `on_degraded = "wait"` a degraded host waits for the
//! deadline by intent; that is not counted.)

use crate::plan::{Check, Level, Name, OnDegraded, Plan, Probe, Signal};
use serde::Serialize;
use std::collections::BTreeMap;
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
    let mut known: BTreeMap<&Name, Times> = BTreeMap::new();
    let mut total = Times { best: Duration::ZERO, worst: Duration::ZERO };
    // Dependencies stand first in the list, so what a check depends on is known when it is met.
    for check in signal.checks.iter().filter_map(|name| plan.check(name)) {
        let needed = check.depends_on.iter().filter_map(|name| known.get(name).copied());
        let ready = needed.fold(Times { best: Duration::ZERO, worst: Duration::ZERO }, later);
        let times = of_check(check, ready);
        known.insert(&check.name, times);
        if check.level == Level::Required {
            total = later(total, times);
        }
    }
    let grace = if signal.on_degraded == OnDegraded::Wait { Duration::ZERO } else { signal.degraded_grace };
    Times {
        best: total.best.saturating_add(signal.min_healthy_time),
        worst: total.worst.saturating_add(signal.min_healthy_time.max(grace)),
    }
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
    let each = match &check.probe {
        Probe::Ttl(_) => Duration::ZERO,
        Probe::Http(_) | Probe::Tcp(_) | Probe::Exec(_) | Probe::Dns(_) | Probe::Certificate(_) | Probe::Grpc(_) => check.timeout,
    };
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
