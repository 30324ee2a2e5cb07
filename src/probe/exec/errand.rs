//! A program that is run for what it prints, and by no check: the one that hands out credentials (`External` in a CLI profile).
//!
//! It is treated as the child of a check: a process group of its own that is killed as a group, a scrubbed environment, no standard
//! input, and nothing of it is left when it is over. What it says on standard error is read and thrown away. One thread at a time starts
//! or sweeps for errands; while that hangs in the kernel, there is no other errand.

use super::abandoned::Agent;
use super::leader::{self, Leader, StartError, Watch};
use super::orphans::{self, Over, Spared};
use super::pipes::{CHUNK, read};
use super::{DEATH, DRAIN, environment, exit};
use crate::apart;
use crate::plan::{Exec, ExitCodes};
use rustix::process::Signal;
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::process::ExitStatusExt as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::unix::pipe;
use tokio::sync::oneshot;
use tokio::time::Instant;
use zeroize::Zeroizing;

/// No prober has this number: their sweeps leave alone what carries it.
const PROBER: u64 = u64::MAX;
/// Looks for what has left the group.
const SWEEPS: usize = 4;

static LAST: AtomicU64 = AtomicU64::new(0);
/// The one thread is at work.
static BUSY: AtomicBool = AtomicBool::new(false);

/// Runs `command` for at most `limit` and returns its standard output, which has at most `most` bytes. An absent path is looked for in
/// the usual directories. Dropping the future kills it.
///
/// # Errors
/// Why there is nothing, without a word of what the program said.
pub(crate) async fn run(command: Vec<String>, limit: Duration, most: usize) -> Result<Zeroizing<Vec<u8>>, String> {
    let deadline = Instant::now() + limit;
    let number = LAST.fetch_add(1, Ordering::Relaxed) + 1;
    let prefix = Agent::current().map(|agent| format!("{agent}-{PROBER}-"));
    let mark = format!("{}{number}", prefix.as_deref().unwrap_or_default());
    let timed_out = || format!("it was killed after {}", humantime::format_duration(limit));
    let environment = environment::least(&mark);
    let started = tokio::time::timeout_at(deadline, alone(move || start(command, &environment))?).await;
    let mut leader = started.map_err(|_| timed_out())?.map_err(|_| "its thread ended".to_owned())??;
    let spared = Spared::new(leader.pid());
    let (out, err) = leader.pipes().map_err(|error| format!("its output cannot be read: {error}"))?;
    let watch = leader.watch();
    let mut said = Said { out: Some(out), err: Some(err), bytes: Zeroizing::new(Vec::with_capacity(most + CHUNK)), most };
    let end = tokio::select! {
        biased;
        () = watch.ended() => Ok(()),
        () = said.read_too_much() => Err(format!("it printed more than {} KiB", most / 1024)),
        () = tokio::time::sleep_until(deadline) => Err(timed_out()),
    };
    let status = finish(leader, &watch, &mut said).await;
    drop(spared);
    if let Some(prefix) = prefix {
        sweep(&prefix, number).await;
    }
    end?;
    if said.bytes.len() > most {
        return Err(format!("it printed more than {} KiB", most / 1024));
    }
    match status {
        Some(status) if status.success() => Ok(said.bytes),
        Some(status) => Err(match (status.code(), status.signal()) {
            (Some(code), _) => format!("it ended with exit code {code}"),
            (None, Some(signal)) => format!("it was killed by {}", exit::signal_name(signal)),
            (None, None) => "it ended in a way that is not known".to_owned(),
        }),
        None => Err("it ended, but the kernel does not say how".to_owned()),
    }
}

/// Does `work` on the one thread for this.
fn alone<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<oneshot::Receiver<T>, String> {
    if BUSY.swap(true, Ordering::AcqRel) {
        return Err("an earlier run still hangs in the kernel".to_owned());
    }
    let begun = apart::begin("errand", move || {
        let done = work();
        BUSY.store(false, Ordering::Release);
        // A leader for which nobody waits any more is dropped after this, which kills it.
        done
    });
    begun.map_err(|error| {
        BUSY.store(false, Ordering::Release);
        format!("no thread can be started: {error}")
    })
}

fn start(command: Vec<String>, environment: &BTreeMap<String, String>) -> Result<Leader, String> {
    let exec = Exec {
        command,
        exit_codes: ExitCodes::Zero,
        fatal: Vec::new(),
        kill_grace: Duration::ZERO,
        environment: BTreeMap::new(),
        working_directory: "/".into(),
    };
    leader::start(&exec, environment, None).map_err(|error| match error {
        StartError::Busy(message) => format!("cannot start {message}"),
        StartError::Other(message) => message,
    })
}

/// Kills what is left of the group, reaps the leader, and reads what is left in the pipes.
async fn finish(mut leader: Leader, watch: &Watch, said: &mut Said) -> Option<std::process::ExitStatus> {
    leader.signal(Signal::KILL);
    let died = tokio::time::timeout(DEATH, watch.ended()).await;
    let status = died.ok().and_then(|()| leader.reap().ok());
    let _ = tokio::time::timeout(DRAIN, said.read_to_end()).await;
    status
}

/// Kills and reaps what has left the group.
async fn sweep(prefix: &str, number: u64) {
    if !orphans::adopting() {
        return;
    }
    for _ in 0..SWEEPS {
        let over = Over {
            group: None,
            leaders: BTreeSet::new(),
            mark_prefix: prefix.to_owned(),
            numbers: BTreeSet::new(),
            last: number,
            // What carries no mark may be the child of a check.
            oldest_boot_ms: i64::MIN,
        };
        if !orphans::any_besides(&BTreeSet::new()) {
            return;
        }
        let Ok(pass) = alone(move || orphans::sweep(&over)) else { return };
        match tokio::time::timeout(DEATH, pass).await {
            Ok(Ok(left)) if !left.is_empty() => tokio::time::sleep(Duration::from_millis(10)).await,
            _ => return,
        }
    }
}

/// What the program has printed so far.
struct Said {
    out: Option<pipe::Receiver>,
    err: Option<pipe::Receiver>,
    /// Of standard output; never grows beyond its capacity, so that no copy of a secret is left behind.
    bytes: Zeroizing<Vec<u8>>,
    most: usize,
}

impl Said {
    /// Returns only when there is more than is wanted.
    async fn read_too_much(&mut self) {
        self.read_to_end().await;
        if self.bytes.len() <= self.most {
            std::future::pending::<()>().await;
        }
    }

    /// Reads until all writers have closed, or there is too much. Cancel-safe.
    async fn read_to_end(&mut self) {
        let mut from_out = Zeroizing::new(vec![0; CHUNK]);
        let mut from_err = vec![0; CHUNK];
        while (self.out.is_some() || self.err.is_some()) && self.bytes.len() <= self.most {
            tokio::select! {
                read = read(&mut self.out, &mut from_out) => match from_out.get(..read).filter(|bytes| !bytes.is_empty()) {
                    Some(bytes) => self.bytes.extend_from_slice(bytes),
                    None => self.out = None,
                },
                read = read(&mut self.err, &mut from_err) => if read == 0 {
                    self.err = None;
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn shell(script: &str, limit: Duration) -> Result<String, String> {
        let command = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
        run(command, limit, 1024).await.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// One test, because there is one thread for all.
    #[tokio::test]
    async fn a_program_is_read_and_nothing_of_it_is_left() {
        let minute = Duration::from_secs(60);
        assert_eq!(shell("echo good; echo secret >&2", minute).await.unwrap(), "good\n");
        let environment = shell("env", minute).await.unwrap();
        let names: BTreeSet<_> = environment.lines().filter_map(|line| line.split('=').next()).collect();
        assert!(names.is_subset(&BTreeSet::from(["PATH", "LANG", "ROS_SIGNAL_RUN", "PWD", "OLDPWD", "SHLVL", "_"])), "{names:?}");
        assert_eq!(shell("echo secret; echo secret >&2; exit 3", minute).await.unwrap_err(), "it ended with exit code 3");
        assert_eq!(shell("kill -9 $$", minute).await.unwrap_err(), "it was killed by SIGKILL");
        assert_eq!(shell("head -c 4000 /dev/zero", minute).await.unwrap_err(), "it printed more than 1 KiB");
        assert_eq!(shell("while :; do echo 12345678901234567890; done", minute).await.unwrap_err(), "it printed more than 1 KiB");
        assert!(run(vec!["/no/such/program".to_owned()], minute, 10).await.unwrap_err().contains("there is no such program"));
        // The grandchild holds the pipe and ignores TERM; its pid is told through a file.
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("pid");
        let script = format!("(trap '' TERM; while :; do sleep 1; done) & echo $! > {}; wait", file.display());
        let error = shell(&script, Duration::from_millis(500)).await.unwrap_err();
        assert_eq!(error, "it was killed after 500ms");
        let pid = orphans::pid(std::fs::read_to_string(&file).unwrap().trim()).unwrap();
        let gone = async {
            while orphans::stat(pid).is_some_and(|fields| fields.first().is_some_and(|state| state != "Z")) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), gone).await.expect("the group is killed as a group");
    }
}
