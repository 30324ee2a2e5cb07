//! The half of the campaign with the built program: a real process, a real disk, real connections, and one to three faults in each case,
//! drawn by a seed. `BINARY_CASES` sets their number (the long run takes 500), `SEED=n` repeats one, `KEEP=1` keeps what it leaves; with
//! `--nocapture` a table is printed.
//!
//! What runs is the same as in the field, so moments are chosen, not simulated: by watching the ledger's file (inotify(7)), by a proxy that
//! stops after a byte, by strace at a system call. What a machine does not offer (strace, namespaces) is said as skipped.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::print_stdout,
    reason = "tests fail by panicking and tell what they did"
)]

mod agent;
mod blow;
mod case;
mod defect;
mod family;
mod judge;
mod ledger;
mod road;
mod room;
mod tally;
mod target;
mod weather;

use family::Means;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use tally::Tally;

/// Cases that run side by side. Each waits more than it computes.
const SIDE_BY_SIDE: usize = 12;
/// In an ordinary run of the tests.
const CASES: u64 = 12;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

#[test]
fn the_built_binary_loses_nothing_doubles_nothing_and_never_says_success_falsely_or_hangs() {
    let means = Means::found();
    let first = number("SEED").unwrap_or(0);
    let cases = number("BINARY_CASES").unwrap_or(if number("SEED").is_some() { 1 } else { CASES });
    let next = AtomicU64::new(first);
    let tally = Mutex::new(Tally::default());
    std::thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + cases {
                        return;
                    }
                    let outcome = alone(seed, &means);
                    tally.lock().unwrap().add(seed, outcome);
                }
            });
        }
    });
    let tally = tally.into_inner().unwrap();
    println!("{}", tally.table(&means));
    assert!(tally.failures.is_empty(), "{} of {cases} cases:\n{}", tally.failures.len(), tally.failures.join("\n\n"));
    assert_eq!(tally.cases, cases);
}

/// A case on a runtime of its own, which nothing else delays.
fn alone(seed: u64, means: &Means) -> std::thread::Result<case::Outcome> {
    let means = means.clone();
    std::panic::catch_unwind(move || played(case::Plan::of(seed, &means)))
}

fn played(plan: case::Plan) -> case::Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(case::run(plan))
}
