//! What a daemon costs over a span of time.

use crate::stage::process::{self, Memory};
use crate::stage::wait;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// Between two looks at what comes and goes.
const LOOK: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Figures {
    pub(super) memory: Memory,
    /// Seconds of processor time in a minute: its own, and that of its children that were waited for.
    pub(super) own: f64,
    pub(super) children: f64,
    /// How often in a second a thread that lived all the time went to sleep.
    pub(super) wakeups: f64,
    /// The most that were seen.
    pub(super) threads: u64,
    pub(super) descriptors: usize,
    /// Children that had ended at one look and stood there at the next.
    pub(super) zombies: usize,
    /// Runs of checks in a minute, where they were counted.
    pub(super) runs: Option<f64>,
}

/// One that is measured, and how it is known how many runs of checks it has made so far.
pub(super) struct Subject<'a> {
    pub(super) pid: u32,
    pub(super) runs: Box<dyn Fn() -> u64 + 'a>,
}

impl Figures {
    pub(super) fn cpu(&self) -> f64 {
        self.own + self.children
    }

    /// Milliseconds of processor time.
    pub(super) fn ms_a_run(&self) -> Option<f64> {
        Some(self.cpu() * 1000.0 / self.runs.filter(|runs| *runs > 0.0)?)
    }
}

/// The same, with their runs counted. They are counted outside of the span that is measured, because an agent is asked for them.
#[expect(clippy::disallowed_methods, reason = "a measurement takes its time")]
pub(super) fn measure_counted(subjects: &[Subject<'_>], span: Duration) -> Vec<Figures> {
    let before: Vec<_> = subjects.iter().map(|subject| ((subject.runs)(), Instant::now())).collect();
    let figures = measure(&subjects.iter().map(|subject| subject.pid).collect::<Vec<_>>(), span);
    let each = subjects.iter().zip(before).zip(figures);
    each.map(|((subject, (runs, begun)), figures)| {
        let runs = (subject.runs)().saturating_sub(runs) as f64 * 60.0 / begun.elapsed().as_secs_f64();
        Figures { runs: Some(runs), ..figures }
    })
    .collect()
}

/// Looks at these processes for `span`, all in the same time.
#[expect(clippy::disallowed_methods, reason = "a measurement takes its time")]
pub(super) fn measure(pids: &[u32], span: Duration) -> Vec<Figures> {
    let begun = Instant::now();
    let before: Vec<_> = pids.iter().map(|&pid| (process::cpu_apart(pid), process::wakeups(pid))).collect();
    let mut seen = vec![(0, 0, 0, BTreeSet::new()); pids.len()];
    while begun.elapsed() < span {
        wait(LOOK.min(span.saturating_sub(begun.elapsed())));
        for (&pid, (threads, descriptors, zombies, ended)) in pids.iter().zip(&mut seen) {
            *threads = process::status(pid, "Threads:").max(*threads);
            *descriptors = process::descriptors(pid).max(*descriptors);
            let now = process::ended_children(pid);
            *zombies = now.intersection(ended).count().max(*zombies);
            *ended = now;
        }
    }
    let took = begun.elapsed().as_secs_f64();
    let each = pids.iter().zip(before).zip(seen);
    each.map(|((&pid, ((own, children), wakeups)), (threads, descriptors, zombies, _))| {
        let (own_now, children_now) = process::cpu_apart(pid);
        Figures {
            memory: process::memory(pid),
            own: (own_now - own).as_secs_f64() * 60.0 / took,
            children: (children_now - children).as_secs_f64() * 60.0 / took,
            wakeups: woken(&wakeups, &process::wakeups(pid)) as f64 / took,
            threads,
            descriptors,
            zombies,
            runs: None,
        }
    })
    .collect()
}

/// Of the threads that are there at both times: what one had counted that has ended is not known.
fn woken(before: &BTreeMap<u32, u64>, after: &BTreeMap<u32, u64>) -> u64 {
    before.iter().filter_map(|(thread, count)| Some(after.get(thread)?.saturating_sub(*count))).sum()
}

/// KiB as MiB.
pub(super) fn mib(kib: u64) -> String {
    format!("{:.1}", kib as f64 / 1024.0)
}
