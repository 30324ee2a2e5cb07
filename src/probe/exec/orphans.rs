//! Processes that left the group of their run (setsid, double fork): found, killed and reaped when the run is over.
//!
//! The agent is a child subreaper (prctl(2), PR_SET_CHILD_SUBREAPER), so such processes become its children when their parents die.
//! To which run one belongs is told by, in this order: its process group; the run's mark in its environment; and for one that has
//! cleared or overwritten its environment, or is a zombie, the time of its start: what is older than every run that is still going on
//! belongs to none of them. A daemon that a passing check means to leave behind is killed too: checks look, they start nothing.
//!
//! Only single pids are reaped, never "any child". A reader of /proc/PID/environ can be made to wait by a process that hangs,
//! so this room is called on a thread of its own.

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What is read of an environment; the kernel allows more, [`crate::config`] does not.
const ENVIRONMENT_LIMIT: u64 = 256 * 1024;
/// The unit of start times in /proc/PID/stat is fixed for user space (proc(5), sysconf(3) _SC_CLK_TCK).
const MS_PER_TICK: i64 = 10;

static ADOPTING: AtomicBool = AtomicBool::new(false);
/// Whether every orphan must come from a run.
static ALL_OURS: AtomicBool = AtomicBool::new(false);

/// Groups that something else than a prober has started, by leader.
static SPARED: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

/// As long as it lives, no sweep touches a group that no prober has started.
#[derive(Debug)]
pub(super) struct Spared(i32);

impl Spared {
    pub(super) fn new(leader: Pid) -> Self {
        spared().insert(leader.as_raw_pid());
        Self(leader.as_raw_pid())
    }
}

impl Drop for Spared {
    fn drop(&mut self) {
        spared().remove(&self.0);
    }
}

fn spared() -> MutexGuard<'static, BTreeSet<i32>> {
    SPARED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes this process the parent of all orphans among its descendants, for `main` to call once, before anything else is started.
///
/// From then on every child of this process must have been started by a [`crate::probe::Prober`], or by `errand` beside it: any other
/// would be taken for an orphan when no run is going on. Where that cannot be so, because there are children already (`sh -c 'service & exec ...'`) or because
/// this is the init of a container, processes without the mark of a run are left alone, and only reaped when they are dead.
///
/// # Errors
/// If the kernel refuses, which it has not done since Linux 3.4. Orphans then go to init, and are not killed.
pub fn adopt_orphans() -> io::Result<()> {
    let init = rustix::process::getpid().is_init();
    ALL_OURS.store(!init && pids().is_empty(), Ordering::Relaxed);
    // prctl(2): any pid but zero sets the attribute of the caller.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    ADOPTING.store(true, Ordering::Relaxed);
    Ok(())
}

/// Whether [`adopt_orphans`] was called.
pub(super) fn adopting() -> bool {
    ADOPTING.load(Ordering::Relaxed)
}

/// A child of this process, as /proc/PID/stat has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kin {
    pub(super) pid: Pid,
    group: i32,
    zombie: bool,
    started_boot_ms: i64,
}

/// What is known about runs when one of them is over.
#[derive(Clone, Debug)]
pub(super) struct Over {
    /// The group of the run that is over, if it came to that.
    pub(super) group: Option<Pid>,
    /// Leaders of the runs that are still going on.
    pub(super) leaders: BTreeSet<i32>,
    /// What the marks of this prober begin with, before the number of the run.
    pub(super) mark_prefix: String,
    /// Numbers of the runs that are still going on.
    pub(super) numbers: BTreeSet<u64>,
    /// The last run that had begun: younger ones are none of this sweep's business.
    pub(super) last: u64,
    /// Start of the oldest run that is still going on, else now; on the boot clock.
    pub(super) oldest_boot_ms: i64,
}

/// What a child is to a sweep.
enum Standing {
    /// Belongs to a run that goes on, or to nobody we know.
    Spared,
    /// To be killed and reaped.
    Stray,
    /// Too young to tell, though no run is going on: the next pass can.
    Undecided,
}

/// Whether anything of `group` but its leader is alive. Sees only children, so all of it only where orphans are adopted.
pub(super) fn group_lives(group: Pid) -> bool {
    let leader = group.as_raw_pid();
    kin().iter().any(|kin| kin.group == leader && kin.pid != group && !kin.zombie)
}

/// One pass: kills what belongs to no run that is still going on, and reaps what has died of it. Returns who was found, reaped or
/// not: only a pass that finds nobody is the last one, because the dead leave us their children.
pub(super) fn sweep(over: &Over) -> BTreeSet<i32> {
    let found = |kin: &Kin| match standing(kin, over) {
        Standing::Spared => false,
        Standing::Stray => {
            dispose(kin);
            true
        }
        Standing::Undecided => true,
    };
    kin().into_iter().filter(found).map(|kin| kin.pid.as_raw_pid()).collect()
}

/// Whether this process has any child, dead or alive. The kernel knows without going through its lists, and nothing is reaped by it.
pub(super) fn any() -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
    !matches!(rustix::process::waitid(WaitId::All, options), Err(Errno::CHILD))
}

/// Whether there is any child that is no leader: if not, there is nothing to sweep.
pub(super) fn any_besides(leaders: &BTreeSet<i32>) -> bool {
    let others = spared().clone();
    pids().iter().map(|pid| pid.as_raw_pid()).any(|pid| !leaders.contains(&pid) && !others.contains(&pid))
}

fn standing(kin: &Kin, over: &Over) -> Standing {
    if over.leaders.contains(&kin.pid.as_raw_pid()) || over.leaders.contains(&kin.group) {
        return Standing::Spared;
    }
    let others = spared();
    if others.contains(&kin.pid.as_raw_pid()) || others.contains(&kin.group) {
        return Standing::Spared;
    }
    drop(others);
    if over.group.is_some_and(|group| group.as_raw_pid() == kin.group) {
        return Standing::Stray;
    }
    let mark = if kin.zombie { None } else { mark_of(kin.pid) };
    if let Some(mark) = mark {
        let number = mark.strip_prefix(&over.mark_prefix).and_then(|number| number.parse::<u64>().ok());
        return match number {
            Some(number) if number <= over.last && !over.numbers.contains(&number) => Standing::Stray,
            _ => Standing::Spared,
        };
    }
    if !kin.zombie && !ALL_OURS.load(Ordering::Relaxed) {
        return Standing::Spared;
    }
    // One tick, because start times are rounded down.
    match kin.started_boot_ms + MS_PER_TICK < over.oldest_boot_ms {
        true => Standing::Stray,
        false if over.numbers.is_empty() => Standing::Undecided,
        false => Standing::Spared,
    }
}

/// Kills, and reaps what is dead.
fn dispose(kin: &Kin) {
    if !kin.zombie {
        // Gone already, or running as somebody else: the next line tells.
        let _ = rustix::process::kill_process(kin.pid, Signal::KILL);
    }
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    // Not dead yet: the next pass finds it again.
    let _ = rustix::process::waitid(WaitId::Pid(kin.pid), options);
}

fn kin() -> Vec<Kin> {
    pids().into_iter().filter_map(kin_of).collect()
}

/// All children of this process. Each thread has its own list; kernels without lists (CONFIG_PROC_CHILDREN) are asked process by process.
fn pids() -> Vec<Pid> {
    match listed() {
        Some(pids) => pids,
        None => by_parent(),
    }
}

fn listed() -> Option<Vec<Pid>> {
    let mut pids = Vec::new();
    for thread in fs::read_dir("/proc/self/task").ok()? {
        match fs::read_to_string(thread.ok()?.path().join("children")) {
            Ok(list) => pids.extend(list.split_ascii_whitespace().filter_map(pid)),
            // A thread that ended since has no children any more, they have moved to another: the next pass sees them there.
            Err(error) if error.kind() == io::ErrorKind::NotFound && fs::exists("/proc/thread-self/children").unwrap_or(false) => {}
            Err(_) => return None,
        }
    }
    Some(pids)
}

fn by_parent() -> Vec<Pid> {
    let own = rustix::process::getpid().as_raw_pid();
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let processes = entries.filter_map(|entry| pid(entry.ok()?.file_name().to_str()?));
    processes.filter(|pid| stat(*pid).is_some_and(|fields| number(&fields, 4) == Some(i64::from(own)))).collect()
}

/// The pid that is written there.
pub(super) fn pid(text: &str) -> Option<Pid> {
    Pid::from_raw(text.parse().ok()?)
}

fn kin_of(pid: Pid) -> Option<Kin> {
    let fields = stat(pid)?;
    Some(Kin {
        pid,
        group: i32::try_from(number(&fields, 5)?).ok()?,
        zombie: matches!(fields.first()?.as_str(), "Z" | "X"),
        started_boot_ms: number(&fields, 22)?.saturating_mul(MS_PER_TICK),
    })
}

/// Fields of proc(5) /proc/PID/stat from the third on: before it comes the name, which may contain anything.
pub(super) fn stat(pid: Pid) -> Option<Vec<String>> {
    let text = fs::read(format!("/proc/{}/stat", pid.as_raw_pid())).ok()?;
    let text = String::from_utf8_lossy(&text);
    let (_, rest) = text.rsplit_once(')')?;
    Some(rest.split_ascii_whitespace().map(str::to_owned).collect())
}

/// The field that proc(5) gives this number.
pub(super) fn number(fields: &[String], field: usize) -> Option<i64> {
    fields.get(field.checked_sub(3)?)?.parse().ok()
}

/// The mark of the run a living process was started in.
pub(super) fn mark_of(pid: Pid) -> Option<String> {
    let file = File::open(format!("/proc/{}/environ", pid.as_raw_pid())).ok()?;
    let mut bytes = Vec::new();
    file.take(ENVIRONMENT_LIMIT).read_to_end(&mut bytes).ok()?;
    let prefix = format!("{}=", super::environment::RUN);
    let value = bytes.split(|byte| *byte == 0).find_map(|variable| variable.strip_prefix(prefix.as_bytes()))?;
    let value = std::str::from_utf8(value).ok()?;
    // Our own environment shows in a child that has not yet become its program.
    (!value.is_empty()).then(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_are_found_with_and_without_the_lists_of_the_kernel() {
        let mut child = std::process::Command::new("/bin/sleep").arg("1000").env("ROS_SIGNAL_RUN", "1-2-3").spawn().unwrap();
        let pid = Pid::from_child(&child);
        assert!(by_parent().contains(&pid));
        assert!(listed().is_none_or(|pids| pids.contains(&pid)));
        // Until execve is done the environment is still ours; spawn returns after it.
        assert_eq!(mark_of(pid).as_deref(), Some("1-2-3"));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(kin_of(pid), None);
    }

    #[test]
    fn a_name_with_spaces_and_brackets_does_not_shift_the_fields() {
        let kin = kin_of(rustix::process::getpid()).unwrap();
        assert_eq!(kin.group, rustix::process::getpgrp().as_raw_pid());
        assert!(!kin.zombie && kin.started_boot_ms > 0);
    }
}
