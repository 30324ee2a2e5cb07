//! What an agent leaves behind that is killed with SIGKILL: the processes of its runs go on, as children of init or of a subreaper.
//! systemd ends them with the unit; in containers and where people start agents by hand they would pile up, one more with each death.
//! So an agent that begins kills them.
//!
//! Every process of a run carries a mark in its environment that names the agent which started it. Only what carries such a mark is
//! killed, and only if that agent is no more: other agents and test suites on the same machine keep their processes. The pid alone does
//! not name an agent, for pids come again; with the time of its start it does, within a boot and a PID namespace. A boot leaves no
//! process, and the namespace is part of the name, because a host sees the processes of its containers, but not by the pids that agents
//! in there know.

use super::orphans::{mark_of, number, pid, stat};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal};
use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;

/// Entries of /proc that are looked at in one pass; what lies beyond stays for the next agent.
const ENTRIES_LIMIT: usize = 65_536;
/// What is killed may just have started something: so many passes, until one finds nothing more.
const PASSES: usize = 4;

/// An agent, as marks name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Agent {
    /// Number of its PID namespace (namespaces(7)), in which `pid` is meant.
    namespace: u64,
    pid: Pid,
    /// In the ticks of /proc/PID/stat.
    started: i64,
}

/// As marks begin: `NAMESPACE-PID-START`.
impl fmt::Display for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.namespace, self.pid.as_raw_pid(), self.started)
    }
}

impl Agent {
    /// This process; `None` where /proc cannot be read.
    pub(super) fn current() -> Option<Self> {
        let pid = rustix::process::getpid();
        Some(Self { namespace: fs::metadata("/proc/self/ns/pid").ok()?.ino(), pid, started: started(pid)? })
    }

    /// The agent in a mark: `NAMESPACE-PID-START-PROBER-RUN`. `None` for what is no such mark.
    fn of_mark(mark: &str) -> Option<Self> {
        let mut numbers = mark.splitn(5, '-').map(|field| field.parse::<u64>().ok());
        let mut next = || numbers.next().flatten();
        let (namespace, pid, started, _prober, _run) = (next()?, next()?, next()?, next()?, next()?);
        Some(Self { namespace, pid: Pid::from_raw(i32::try_from(pid).ok()?)?, started: i64::try_from(started).ok()? })
    }

    /// Whether it is certain that there is no such process any more. A zombie is none.
    fn is_gone(&self) -> bool {
        match stat(self.pid) {
            Some(fields) => {
                let dead = fields.first().is_some_and(|state| matches!(state.as_str(), "Z" | "X"));
                dead || number(&fields, 22).is_some_and(|started| started != self.started)
            }
            // Perhaps it only hides (proc(5), hidepid).
            None => rustix::process::test_kill_process(self.pid) == Err(Errno::SRCH),
        }
    }
}

/// Kills what agents that are no more have left behind, in the namespace and of the user of `own`, this process. Returns how many
/// processes that were. They are children of others, who reap them.
pub(super) fn sweep(own: Agent) -> usize {
    // Should this agent itself have been started by a check, its own family carries a mark, too.
    let family = mark_of(own.pid);
    let mut killed = BTreeSet::new();
    for _ in 0..PASSES {
        let before = killed.len();
        killed.extend(marked(own, family.as_deref()).filter(Marked::kill).map(|marked| (marked.pid.as_raw_pid(), marked.started)));
        if killed.len() == before {
            break;
        }
    }
    killed.len()
}

/// A process with the mark of an agent that is no more.
struct Marked {
    pid: Pid,
    started: i64,
    mark: String,
}

fn marked(own: Agent, family: Option<&str>) -> impl Iterator<Item = Marked> {
    let entries = fs::read_dir("/proc").into_iter().flatten().take(ENTRIES_LIMIT);
    let pids = entries.filter_map(|entry| pid(entry.ok()?.file_name().to_str()?));
    pids.filter(move |pid| *pid != own.pid && is_of_own_user(*pid)).filter_map(move |pid| {
        let (started, mark) = (started(pid)?, mark_of(pid)?);
        let agent = Agent::of_mark(&mark)?;
        let abandoned = agent.namespace == own.namespace && agent != own && Some(mark.as_str()) != family && agent.is_gone();
        abandoned.then_some(Marked { pid, started, mark })
    })
}

impl Marked {
    /// Whether the signal was sent. The pidfd is had before the process is looked at again, so it reaches this process or none.
    fn kill(&self) -> bool {
        let same = || started(self.pid) == Some(self.started) && mark_of(self.pid).as_ref() == Some(&self.mark);
        match rustix::process::pidfd_open(self.pid, PidfdFlags::empty()) {
            Ok(process) => same() && rustix::process::pidfd_send_signal(process, Signal::KILL).is_ok(),
            Err(Errno::SRCH) => false,
            // Before Linux 5.3, or forbidden by a sandbox.
            Err(_) => same() && rustix::process::kill_process(self.pid, Signal::KILL).is_ok(),
        }
    }
}

fn started(pid: Pid) -> Option<i64> {
    number(&stat(pid)?, 22)
}

fn is_of_own_user(pid: Pid) -> bool {
    fs::metadata(format!("/proc/{}", pid.as_raw_pid())).is_ok_and(|entry| entry.uid() == rustix::process::geteuid().as_raw())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_names_its_agent_and_nothing_else_is_taken_for_one() {
        let own = Agent::current().unwrap();
        assert_eq!(Agent::of_mark(&format!("{own}-0-17")), Some(own));
        for other in ["", "1", "1-2-3", "1-2-3-4", "1-2-3-4-5-6", "1-2-3-4-", "1-0-3-4-5", "1-99999999999-3-4-5", "a-2-3-4-5", "1-2--3-4-5"]
        {
            assert_eq!(Agent::of_mark(other), None, "{other}");
        }
    }

    #[test]
    fn an_agent_is_gone_when_its_pid_is_free_is_anothers_or_is_a_zombies() {
        let own = Agent::current().unwrap();
        assert!(!own.is_gone());
        assert!(Agent { started: own.started - 1, ..own }.is_gone(), "the pid came again");
        let mut child = std::process::Command::new("/bin/sleep").arg("1000").spawn().unwrap();
        let pid = Pid::from_child(&child);
        let agent = Agent { pid, started: started(pid).unwrap(), ..own };
        assert!(!agent.is_gone());
        child.kill().unwrap();
        let options = rustix::process::WaitIdOptions::EXITED | rustix::process::WaitIdOptions::NOWAIT;
        rustix::process::waitid(rustix::process::WaitId::Pid(pid), options).unwrap();
        assert!(agent.is_gone(), "a zombie");
        child.wait().unwrap();
        assert!(agent.is_gone(), "reaped");
    }
}
