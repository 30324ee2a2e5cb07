//! What is done to the process: killed at a chosen moment, stopped, robbed of its power, rebooted.

use super::agent::Agent;
use super::case::{self, Stage};
use super::family::Family;
use super::ledger::{self, Step, Watcher};
use super::road::{Cut, Weather};
use super::room::{Purpose, Room};
use ros_signal_agent::retry::Random;
use rustix::process::Signal;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);

/// From the start of an agent to its receipt it takes about this long, where nothing is in its way.
const SPAN: Duration = Duration::from_millis(1600);
/// A moment that does not come is not waited for longer.
const WAIT: Duration = Duration::from_millis(3000);
/// Until all that a dead agent has sent has come by.
const QUIET: Duration = Duration::from_secs(5);
const HOUR_MS: i64 = 3_600_000;

/// When it strikes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Moment {
    /// So long after the step of the so-manieth durable write from now.
    Write(Step, u32, Duration),
    /// So long after a request that signals came by.
    Signal(Duration),
    /// When the road has stopped there.
    Byte(Cut),
    /// When a tracer has killed it.
    Traced,
    After(Duration),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Blow {
    Kill(Moment),
    Stop {
        when: Moment,
        lasts: Duration,
        half_open: bool,
    },
    PowerLoss(Moment),
    /// With a system clock that went wrong by so much, in milliseconds, since the ledger was written.
    Reboot(Moment, i64),
}

/// What is done to the agent in a case of these families, in this order.
pub(super) fn of(families: &[Family], random: &mut Random) -> Vec<(Family, Blow)> {
    let mut blows = Vec::new();
    for family in families {
        for _ in 0..=random.draw() % 2 {
            match family {
                Family::KillAtWrite => blows.push((*family, Blow::Kill(at_write(random)))),
                Family::KillAtByte => blows.push((*family, Blow::Kill(at_byte(random)))),
                Family::KillAnytime => blows.push((*family, Blow::Kill(Moment::After(random.up_to(SPAN))))),
                Family::Stopped => {
                    let (lasts, half_open) = (100 * MS + random.up_to(2500 * MS), random.draw().is_multiple_of(2));
                    blows.push((*family, Blow::Stop { when: any(random), lasts, half_open }));
                }
                Family::PowerLoss => blows.push((*family, Blow::PowerLoss(any(random)))),
                Family::Reboot => blows.push((*family, Blow::Reboot(any(random), wrong_by(random)))),
                _ => {}
            }
        }
    }
    if families.contains(&Family::KillInCall) {
        // The tracer is there from the first start on.
        blows.insert(0, (Family::KillInCall, Blow::Kill(Moment::Traced)));
    }
    blows
}

fn any(random: &mut Random) -> Moment {
    match random.draw() % 3 {
        0 => at_write(random),
        1 => Moment::Signal(random.up_to(20 * MS)),
        _ => Moment::After(random.up_to(SPAN)),
    }
}

fn at_write(random: &mut Random) -> Moment {
    let step = match random.draw() % 3 {
        0 => Step::Created,
        1 => Step::Written,
        _ => Step::Renamed,
    };
    let times = 1 + u32::try_from(random.draw() % 3).unwrap();
    let micros = if random.draw().is_multiple_of(2) { Duration::ZERO } else { random.up_to(2 * MS) };
    Moment::Write(step, times, micros)
}

fn at_byte(random: &mut Random) -> Moment {
    // A request is some 900 bytes long, an answer 300; more is all of it.
    let bytes = |random: &mut Random, of: u64| usize::try_from(random.draw() % of).unwrap();
    Moment::Byte(if random.draw().is_multiple_of(2) { Cut::Request(bytes(random, 1000)) } else { Cut::Answer(bytes(random, 350)) })
}

fn wrong_by(random: &mut Random) -> i64 {
    let hours = match random.draw() % 4 {
        0 => 0,
        1 => i64::try_from(random.draw() % 48).unwrap(),
        _ => i64::try_from(random.draw() % (20 * 8766)).unwrap(),
    };
    if random.draw().is_multiple_of(2) { hours * HOUR_MS } else { -hours * HOUR_MS }
}

/// What stands between the first agent and the system.
pub(super) fn trace_of(families: &[Family], stage: &mut Stage) -> (Vec<String>, bool) {
    let random = &mut stage.random;
    let Some(strace) = &stage.means.strace else { return (Vec::new(), true) };
    // Up to its receipt the ledger's thread renames three or four times, and syncs twice as often, file and directory in turn.
    let (calls, times) = if random.draw().is_multiple_of(3) { ("renameat,renameat2", 3) } else { ("fsync", 6) };
    let first = 1 + random.draw() % times;
    let mut heals = true;
    let what = if families.contains(&Family::KillInCall) {
        format!("signal=KILL:when={first}")
    } else if families.contains(&Family::IoError) {
        let error = ["EIO", "ENOSPC", "EROFS", "EDQUOT"][usize::try_from(random.draw() % 4).unwrap()];
        // A random id is not sent before it is durable, so the disk must heal.
        heals = stage.random_id || !random.draw().is_multiple_of(3);
        let last = if heals { format!("..{}", first + random.draw() % 3) } else { "+".to_owned() };
        format!("error={error}:when={first}{last}")
    } else {
        return (Vec::new(), true);
    };
    let trace = format!("trace={calls}");
    let inject = format!("inject={calls}:{what}");
    let words = [strace.to_str().unwrap(), "-D", "-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject];
    (words.map(str::to_owned).to_vec(), heals)
}

pub(super) async fn strike(family: Family, blow: Blow, stage: &mut Stage, agent: &mut Agent) {
    let (Blow::Kill(when) | Blow::Stop { when, .. } | Blow::PowerLoss(when) | Blow::Reboot(when, _)) = blow;
    // After the work is done nothing has an effect.
    if come(when, stage, agent).await && stage.ledger_says().is_none() {
        stage.struck.push(family);
    }
    match blow {
        Blow::Kill(_) => {
            stage.kill(agent).await;
        }
        Blow::Stop { lasts, half_open, .. } => {
            let road = stage.road.hand();
            if half_open {
                road.set(Weather::HalfOpen);
            }
            agent.signal(Signal::STOP);
            tokio::time::sleep(lasts).await;
            agent.signal(Signal::CONT);
            if half_open {
                road.set(Weather::Clear);
            }
            return;
        }
        Blow::PowerLoss(_) => lose_power(stage, agent).await,
        Blow::Reboot(_, wrong_by_ms) => {
            lose_power(stage, agent).await;
            ledger::shift_clock(&stage.path("state/ledger.json"), wrong_by_ms);
            case::boot(stage.dir.path(), &mut stage.random);
            let booted = 10 + stage.random.draw() % 60;
            let room = Room::enter(stage.dir.path(), Purpose::Boots, booted).unwrap();
            stage.room = Some(Arc::new(Mutex::new(room)));
        }
    }
    *agent = stage.start(&[]);
}

/// Waits for the moment, and says whether it came; an agent that has ended meanwhile is not waited for.
async fn come(moment: Moment, stage: &mut Stage, agent: &mut Agent) -> bool {
    let wait = async {
        match moment {
            Moment::Write(step, times, more) => {
                stage.watcher.next(step, times).await;
                spin(more);
            }
            Moment::Signal(more) => {
                stage.road.is_signalled().await;
                tokio::time::sleep(more).await;
            }
            Moment::Byte(cut) => {
                stage.road.cut(cut);
                stage.road.is_cut().await;
            }
            Moment::Traced => std::future::pending().await,
            Moment::After(span) => tokio::time::sleep(span).await,
        }
    };
    tokio::select! {
        () = wait => true,
        () = tokio::time::sleep(WAIT) => false,
        _ = agent.wait() => matches!(moment, Moment::Traced),
    }
}

/// Microseconds, for which no timer is fine enough.
fn spin(span: Duration) {
    let start = tokio::time::Instant::now();
    while start.elapsed() < span {
        std::hint::spin_loop();
    }
}

async fn lose_power(stage: &mut Stage, agent: &mut Agent) {
    stage.kill(agent).await;
    let quiet = tokio::time::timeout(QUIET, stage.road.is_quiet()).await.is_ok();
    let state = stage.path("state");
    let sent = !quiet || stage.road.first_signal().is_some();
    stage.watcher.lose_power(&state, sent, &mut stage.random);
    // What was written by the loss itself is no version of the agent's.
    stage.watcher = Watcher::of(&state);
}
