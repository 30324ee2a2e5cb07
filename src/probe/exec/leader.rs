//! The process that was asked for, leader of its own process group, from its start until it is reaped.
//!
//! Its end is seen without reaping it (waitid(2) with WNOWAIT): as long as the zombie stands, its pid names no other process and no
//! other group, so signals to the group cannot reach strangers.

use crate::plan::Exec;
use rustix::fs::MemfdFlags;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::unix::pipe;

/// How often a child is looked at where the kernel has no pidfd_open(2) (before Linux 5.3) or a sandbox forbids it.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Starts the command. Blocks until the program runs, which a dead file server can delay for ever.
pub(super) fn start(exec: &Exec, environment: &BTreeMap<String, String>, input: Option<&[u8]>) -> Result<Leader, StartError> {
    let Some((program, arguments)) = exec.command.split_first() else {
        return Err(StartError::Other("the command is empty".to_owned()));
    };
    let stdin = match input.map(file_of) {
        None => Stdio::null(),
        Some(Ok(file)) => Stdio::from(file),
        Some(Err(error)) => return Err(StartError::Other(format!("what {program} is told cannot be handed over: {error}"))),
    };
    let spawned = Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(environment)
        .current_dir(&exec.working_directory)
        .stdin(stdin)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn();
    match spawned {
        Ok(child) => Ok(Leader { child, reaped: false }),
        Err(error) if error.raw_os_error() == Some(Errno::TXTBSY.raw_os_error()) => Err(StartError::Busy(format!("{program}: {error}"))),
        Err(error) => Err(StartError::Other(why_not_started(program, exec, &error))),
    }
}

/// A file in memory (memfd_create(2)) that reads as `bytes`: who does not read it holds up nobody, as a full pipe would.
fn file_of(bytes: &[u8]) -> io::Result<File> {
    let mut file = File::from(rustix::fs::memfd_create("input", MemfdFlags::CLOEXEC)?);
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file)
}

/// Why there is no child.
#[derive(Debug)]
pub(super) enum StartError {
    /// ETXTBSY: somebody is just writing the program. It passes.
    Busy(String),
    /// A sentence for a person.
    Other(String),
}

/// execve(2) says ENOENT for the program, for its interpreter and for the directory alike.
fn why_not_started(program: &str, exec: &Exec, error: &io::Error) -> String {
    let directory = &exec.working_directory;
    if !directory.is_dir() {
        return format!("cannot start {program}: the working directory {} does not exist", directory.display());
    }
    let exists = Path::new(program).exists();
    match error.kind() {
        io::ErrorKind::NotFound if exists => format!("cannot start {program}: the interpreter of its #! line does not exist"),
        io::ErrorKind::NotFound => format!("cannot start {program}: there is no such program"),
        io::ErrorKind::PermissionDenied => {
            format!("cannot start {program}: the agent's user may not execute it, or {} may not be entered", directory.display())
        }
        _ if error.raw_os_error() == Some(Errno::NOEXEC.raw_os_error()) => {
            format!("cannot start {program}: it is no program and has no #! line")
        }
        _ => format!("cannot start {program}: {error}"),
    }
}

/// A child that was started. Dropping it before it is reaped kills its group.
#[derive(Debug)]
pub(super) struct Leader {
    child: Child,
    reaped: bool,
}

impl Leader {
    /// Its pid, which is also the id of its group.
    pub(super) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Standard output and standard error, for the loop. Must be called inside the runtime.
    pub(super) fn pipes(&mut self) -> io::Result<(pipe::Receiver, pipe::Receiver)> {
        let missing = || io::Error::other("the child has no pipes");
        let out = self.child.stdout.take().ok_or_else(missing)?;
        let err = self.child.stderr.take().ok_or_else(missing)?;
        Ok((pipe::Receiver::from_owned_fd(OwnedFd::from(out))?, pipe::Receiver::from_owned_fd(OwnedFd::from(err))?))
    }

    /// Something to wait for its end with. Must be called inside the runtime.
    #[expect(
        deprecated,
        reason = "unsound only for a T that closes its descriptor early, which an OwnedFd cannot; its successor is unsafe"
    )]
    pub(super) fn watch(&self) -> Watch {
        let pid = self.pid();
        let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty()).ok();
        let pidfd = pidfd.and_then(|pidfd| AsyncFd::with_interest(pidfd, Interest::READABLE).ok());
        Watch { pid, pidfd }
    }

    /// Sends `signal` to the group, and to the leader in case it has moved to another group.
    pub(super) fn signal(&self, signal: Signal) {
        if self.reaped {
            return;
        }
        // No such process means that the aim is reached; no permission that it runs as somebody else, which nothing here can change.
        let _ = rustix::process::kill_process_group(self.pid(), signal);
        let _ = rustix::process::kill_process(self.pid(), signal);
    }

    /// Whether it has not been reaped; reaps it if that can be done at once.
    pub(super) fn is_there(&mut self) -> bool {
        // An error means that the sweep for orphans has reaped it.
        self.reaped = self.reaped || !matches!(self.child.try_wait(), Ok(None));
        !self.reaped
    }

    /// Takes the status of a leader whose end was seen.
    pub(super) fn reap(&mut self) -> io::Result<ExitStatus> {
        let status = self.child.wait()?;
        self.reaped = true;
        Ok(status)
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        if !self.is_there() {
            return;
        }
        self.signal(Signal::KILL);
        // On a thread of the pool the death can be waited for. On the loop it cannot; there a leader that was not reaped is dropped
        // only when the runtime itself goes away, and the process with it.
        let _ = match tokio::runtime::Handle::try_current() {
            Err(_) => self.child.wait().map(Some),
            Ok(_) => self.child.try_wait(),
        };
    }
}

/// Waits for the end of a child without reaping it.
#[derive(Debug)]
pub(super) struct Watch {
    pid: Pid,
    pidfd: Option<AsyncFd<OwnedFd>>,
}

impl Watch {
    /// Returns when the child has ended. Cancel-safe.
    pub(super) async fn ended(&self) {
        if let Some(pidfd) = &self.pidfd {
            // An error means that the loop cannot watch it: then it is looked at.
            let _ = pidfd.readable().await;
        }
        while !self.has_ended() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn has_ended(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        match rustix::process::waitid(WaitId::Pid(self.pid), options) {
            Ok(seen) => seen.is_some(),
            // Interrupted: look again. Anything else means that there is nothing left to wait for.
            Err(error) => error != Errno::INTR,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::ExitCodes;

    fn shell(script: &str) -> Leader {
        let exec = Exec {
            command: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
            exit_codes: ExitCodes::Zero,
            fatal: Vec::new(),
            kill_grace: Duration::ZERO,
            environment: BTreeMap::new(),
            working_directory: "/".into(),
        };
        start(&exec, &BTreeMap::new(), None).unwrap()
    }

    #[tokio::test]
    async fn the_end_of_a_child_is_seen_with_and_without_a_pidfd_and_its_status_is_kept() {
        for pidfd in [true, false] {
            let mut leader = shell("exit 7");
            let mut watch = leader.watch();
            if !pidfd {
                watch.pidfd = None;
            }
            watch.ended().await;
            assert_eq!(leader.reap().unwrap().code(), Some(7), "pidfd: {pidfd}");
            assert!(!leader.is_there());
        }
    }

    #[test]
    fn a_leader_that_nobody_wants_any_more_is_killed_and_reaped_on_its_thread() {
        let leader = shell("trap '' TERM; while :; do sleep 1; done");
        let pid = leader.pid();
        drop(leader);
        assert_eq!(rustix::process::test_kill_process(pid), Err(Errno::SRCH));
    }
}
