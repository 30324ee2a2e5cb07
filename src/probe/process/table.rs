//! The processes as `/proc` shows them, proc(5).

use super::number;
use crate::probe::proc;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

/// What is read of `stat` and of `status`: some hundred bytes are written there.
const FACTS_LIMIT: u64 = 64 * 1024;
/// What is read of the arguments of a process.
const ARGUMENTS_LIMIT: u64 = 64 * 1024;

/// A directory like `/proc`.
pub(super) struct Table {
    root: PathBuf,
    /// The reader itself, which is never among the processes.
    own: u32,
}

/// A process.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) pid: u32,
    /// Its name, as the kernel cuts it.
    pub(super) comm: String,
    /// A zombie, or dead.
    pub(super) ended: bool,
    /// A thread of the kernel, which has no arguments.
    kernel: bool,
}

/// The arguments of a process, as far as they are read.
pub(super) struct Arguments(String);

impl Arguments {
    /// Those of a thread of the kernel, or of a zombie.
    pub(super) fn none() -> Self {
        Self(String::new())
    }

    pub(super) fn each(&self) -> impl Iterator<Item = &str> {
        self.0.split('\0')
    }

    pub(super) fn first(&self) -> Option<&str> {
        self.each().next().filter(|first| !first.is_empty())
    }

    /// Joined by blanks.
    pub(super) fn joined(&self) -> String {
        self.0.replace('\0', " ")
    }
}

impl Table {
    pub(super) fn of_this_host() -> Self {
        Self::at(PathBuf::from("/proc"), std::process::id())
    }

    pub(super) fn at(root: PathBuf, own: u32) -> Self {
        Self { root, own }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Gives every process but the reader to `each`.
    pub(super) fn each(&self, mut each: impl FnMut(Seen)) -> io::Result<()> {
        for entry in std::fs::read_dir(&self.root)? {
            let Some(pid) = number(&entry?.file_name()).filter(|pid| *pid != self.own) else { continue };
            // What cannot be read is gone, or hidden, which is asked for elsewhere.
            if let Ok(Some(seen)) = self.process(pid) {
                each(seen);
            }
        }
        Ok(())
    }

    /// The process `pid`; none: there is no such one, or its file is not understood.
    pub(super) fn process(&self, pid: u32) -> io::Result<Option<Seen>> {
        match proc::text(&self.file(pid, "stat"), FACTS_LIMIT) {
            Ok(text) => Ok(seen(pid, &text)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn arguments(&self, seen: &Seen) -> io::Result<Arguments> {
        if seen.kernel {
            return Ok(Arguments::none());
        }
        let mut bytes = Vec::new();
        File::open(self.file(seen.pid, "cmdline"))?.take(ARGUMENTS_LIMIT).read_to_end(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes);
        Ok(Arguments(text.trim_end_matches('\0').to_owned()))
    }

    /// The effective user of `pid`.
    pub(super) fn user(&self, pid: u32) -> io::Result<u32> {
        let text = proc::text(&self.file(pid, "status"), FACTS_LIMIT)?;
        // Uid: real, effective, saved, of the file system.
        let effective = text.lines().find_map(|line| line.strip_prefix("Uid:")?.split_ascii_whitespace().nth(1)?.parse().ok());
        effective.ok_or_else(|| io::Error::other("its status has no user"))
    }

    /// Why the first process cannot be seen, which everybody sees where nothing is hidden.
    pub(super) fn hides_others(&self) -> Option<io::Error> {
        File::open(self.file(1, "stat")).err()
    }

    fn file(&self, pid: u32, name: &str) -> PathBuf {
        self.root.join(pid.to_string()).join(name)
    }
}

/// PF_KTHREAD of the kernel's sched.h.
const KERNEL_THREAD: u32 = 0x0020_0000;

/// `123 (a name) S 1 1 1 0 -1 4194560 ...`: name, state and, as the seventh after the name, flags. The name may have blanks, brackets and
/// ends of lines.
pub(super) fn seen(pid: u32, stat: &str) -> Option<Seen> {
    let (_, rest) = stat.split_once('(')?;
    let (comm, rest) = rest.rsplit_once(')')?;
    let mut words = rest.split_ascii_whitespace();
    let ended = words.next()?.starts_with(['Z', 'X', 'x']);
    let flags: u32 = words.nth(5).and_then(|flags| flags.parse().ok()).unwrap_or(0);
    Some(Seen { pid, comm: comm.to_owned(), ended, kernel: flags & KERNEL_THREAD != 0 })
}
