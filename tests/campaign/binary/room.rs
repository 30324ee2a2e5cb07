//! A room of its own for an agent: a mount and a time namespace (mount_namespaces(7), time_namespaces(7)), in which a disk can be full or
//! read-only, a name can stop resolving, and the host can have booted a moment ago. Made as root or, where the kernel allows it, as anybody.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// Bytes of the small disk.
const DISK: &str = "64k";

/// What a room is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The state directory is a disk of its own.
    Disk,
    /// Names are looked up in files of the case.
    Names,
    /// Boots are the case's: its boot id, and its boot clock.
    Boots,
}

impl Purpose {
    pub(super) const ALL: [Self; 3] = [Self::Disk, Self::Names, Self::Boots];
}

/// A shell in its own namespaces, which does what it is told and ends with this value.
pub(super) struct Room {
    holder: Child,
    inside: u32,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    state: PathBuf,
    as_root: bool,
}

impl Room {
    /// A room for the case in `dir`, or why there is none to be had here. `booted` is how many seconds ago the host booted.
    pub(super) fn enter(dir: &Path, purpose: Purpose, booted: u64) -> Result<Self, String> {
        let as_root = rustix::process::getuid().is_root();
        let uptime = std::fs::read_to_string("/proc/uptime").map_err(|error| error.to_string())?;
        let uptime: f64 = uptime.split(' ').next().and_then(|text| text.parse().ok()).ok_or("/proc/uptime")?;
        let mut command = Command::new("unshare");
        if !as_root {
            command.args(["--user", "--map-root-user"]);
        }
        command.args(["--mount", "--time", "--fork"]);
        if purpose == Purpose::Boots {
            command.args(["--boottime", &format!("-{}", (uptime as u64).saturating_sub(booted))]);
        }
        command.args(["sh", "-c", "echo $$; while read -r line; do eval \"$line\"; echo \"done $?\"; done"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut holder = command.spawn().map_err(|error| format!("unshare: {error}"))?;
        let (stdin, stdout) = (holder.stdin.take().ok_or("stdin")?, holder.stdout.take().ok_or("stdout")?);
        let mut stdout = BufReader::new(stdout);
        let mut line = String::new();
        stdout.read_line(&mut line).map_err(|error| error.to_string())?;
        let Ok(inside) = line.trim().parse() else {
            let _ = holder.wait();
            let what = if purpose == Purpose::Boots {
                "no mount and time namespace with a boot clock of its own"
            } else {
                "no mount and time namespace"
            };
            return Err(format!("unshare gives {what} here"));
        };
        let mut room = Self { holder, inside, stdin, stdout, state: dir.join("state"), as_root };
        let path = |name: &str| dir.join(name).display().to_string();
        match purpose {
            Purpose::Disk => room.does(&format!("mount -t tmpfs -o size={DISK},mode=700 tmpfs {}", path("state")))?,
            Purpose::Names => {
                room.does(&format!("mount --bind {} /etc/hosts", path("hosts")))?;
                room.does(&format!("mount --bind {} /etc/resolv.conf", path("resolv.conf")))?;
            }
            Purpose::Boots => room.does(&format!("mount --bind {} /proc/sys/kernel/random/boot_id", path("boot_id")))?,
        }
        Ok(room)
    }

    /// Has the shell do something.
    pub(super) fn does(&mut self, what: &str) -> Result<(), String> {
        writeln!(self.stdin, "{what}").map_err(|error| error.to_string())?;
        let mut line = String::new();
        self.stdout.read_line(&mut line).map_err(|error| error.to_string())?;
        if line.trim() == "done 0" { Ok(()) } else { Err(format!("{what}: {}", line.trim())) }
    }

    /// What stands before the agent's command line to run it in here; the process stays the same.
    pub(super) fn door(&self) -> Vec<String> {
        let mut door = vec!["nsenter".to_owned(), "--target".to_owned(), self.inside.to_string()];
        if !self.as_root {
            door.extend(["--user", "--preserve-credentials"].map(str::to_owned));
        }
        door.extend(["--mount", "--time"].map(str::to_owned));
        door
    }

    /// The state directory as it is seen from outside.
    pub(super) fn state(&self) -> PathBuf {
        let path = self.state.strip_prefix("/").unwrap_or(&self.state);
        Path::new("/proc").join(self.inside.to_string()).join("root").join(path)
    }

    /// Leaves no byte on the small disk; or takes away what filled it.
    pub(super) fn fill(&mut self, full: bool) -> Result<(), String> {
        let filler = self.state.join("filler");
        // dd stops where the disk does, and says so by its code.
        let what = if full { "dd if=/dev/zero bs=1024 count=200 of=FILE 2>/dev/null; true" } else { "rm -f FILE" };
        self.does(&what.replace("FILE", &filler.display().to_string()))
    }

    /// Makes the small disk read-only, which the kernel refuses while somebody has a file open for writing; or writable again.
    pub(super) fn write_protect(&mut self, on: bool) -> Result<(), String> {
        let option = if on { "ro" } else { "rw" };
        self.does(&format!("mount -o remount,bind,{option} {}", self.state.display()))
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        // unshare waits for its shell, and hands no signal on.
        let inside = i32::try_from(self.inside).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = inside {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
        let _ = self.holder.wait();
    }
}
