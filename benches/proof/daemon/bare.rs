//! The system calls that exec checks cannot do without, at the same pace.

use super::figures::Figures;
use super::peers::PACE;
use crate::stage::wait;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use rustix::time::{ClockId, clock_gettime};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Starts `/bin/true` so many times every [`PACE`] for `span`, one after the other. Only processor time and runs are told.
#[expect(clippy::disallowed_methods, reason = "a measurement takes its time")]
pub(super) fn spawn(count: usize, span: Duration) -> Figures {
    let mut runs = 0;
    let pace = Duration::from_secs(PACE.trim_end_matches('s').parse().unwrap());
    let (begun, own, children) = (Instant::now(), own_seconds(), children_seconds());
    for round in 0_u32.. {
        let due = pace * round;
        if due >= span {
            break;
        }
        wait(due.saturating_sub(begun.elapsed()));
        (0..count).for_each(|_| one());
        runs += count;
    }
    wait(span.saturating_sub(begun.elapsed()));
    let a_minute = 60.0 / begun.elapsed().as_secs_f64();
    let (own, children) = ((own_seconds() - own) * a_minute, (children_seconds() - children) * a_minute);
    Figures { own, children, runs: Some(runs as f64 * a_minute), ..Figures::default() }
}

/// std does it by posix_spawn(3), and waits.
fn one() {
    let mut command = Command::new("/bin/true");
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    assert!(command.status().unwrap().success());
}

/// Of this thread: others of this process serve.
fn own_seconds() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn children_seconds() -> f64 {
    let used = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
    (used.user_time().num_microseconds() + used.system_time().num_microseconds()) as f64 / 1e6
}
