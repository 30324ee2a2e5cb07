//! `type = "process"`: which processes run, from `/proc`, proc(5).
//!
//! Zombies have ended and do not count; nor do threads, or the agent itself. There can be many processes and a pid file can be on a dead
//! file server, so all of it is done on a thread.

#[cfg(fuzzing)]
pub(super) mod fuzzing;
mod table;

use super::measured::{judged, plain};
use super::proc;
use super::text::{one_line, quoted};
use crate::check::{Health, Observation};
use crate::plan::{Process, User};
use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use table::{Arguments, Seen, Table};

/// What is read of a pid file.
const PID_FILE_LIMIT: u64 = 4096;
/// What is read of `/etc/passwd`.
const PASSWD_LIMIT: u64 = 16 * 1024 * 1024;
/// The kernel keeps so many bytes of a name, TASK_COMM_LEN less its end.
const COMM_LENGTH: usize = 15;

/// What is looked at first, for messages.
pub(super) fn place(process: &Process) -> String {
    process.pid_file.as_ref().map_or_else(|| "/proc".to_owned(), |path| path.display().to_string())
}

/// Makes one observation. Blocks.
pub(super) fn look(process: &Process) -> Observation {
    look_at(process, &Table::of_this_host(), Path::new("/etc/passwd"))
}

fn look_at(process: &Process, table: &Table, passwd: &Path) -> Observation {
    let user = match process.user.as_ref().map(|user| user_id(user, passwd)).transpose() {
        Ok(user) => user,
        Err(unknown) => return unknown,
    };
    let wanted = Wanted { process, user };
    match &process.pid_file {
        Some(path) => by_pid_file(&wanted, path, table),
        None => by_count(&wanted, table),
    }
}

/// What a process must be to count.
struct Wanted<'a> {
    process: &'a Process,
    user: Option<u32>,
}

impl Wanted<'_> {
    /// An error: it is gone, or hidden.
    fn is(&self, seen: &Seen, table: &Table) -> io::Result<bool> {
        if let Some(user) = self.user
            && table.user(seen.pid)? != user
        {
            return Ok(false);
        }
        if self.process.name.is_none() && self.process.cmdline.is_none() {
            return Ok(true);
        }
        let arguments = table.arguments(seen)?;
        let named = self.process.name.as_ref().is_none_or(|name| is_named(name, &seen.comm, &arguments));
        Ok(named && self.process.cmdline.as_ref().is_none_or(|pattern| pattern.0.is_match(&arguments.joined())))
    }

    /// Such as ` named nginx of user www-data`.
    fn words(&self) -> String {
        let mut words = String::new();
        if let Some(name) = &self.process.name {
            words.push_str(&format!(" named {name}"));
        }
        if let Some(pattern) = &self.process.cmdline {
            words.push_str(&format!(" with a command line like /{}/", pattern.0.as_str()));
        }
        match &self.process.user {
            Some(User::Name(name)) => words.push_str(&format!(" of user {name}")),
            Some(User::Id(id)) => words.push_str(&format!(" of user {id}")),
            None => {}
        }
        words
    }
}

/// Whether a process is called `name`: by its own word, which the kernel cuts, or by that of its program. Where the word is cut, another
/// program with the same beginning is told apart by its arguments (for a script the name is not the first of them).
fn is_named(name: &str, comm: &str, arguments: &Arguments) -> bool {
    let program = |argument: &str| argument.rsplit('/').next().unwrap_or_default().to_owned();
    let first = arguments.first().map(|first| program(first.trim_start_matches('-')));
    if comm == name || first.as_deref() == Some(name) {
        return true;
    }
    let cut = name.as_bytes().get(..COMM_LENGTH).is_some_and(|cut| name.len() > COMM_LENGTH && String::from_utf8_lossy(cut) == comm);
    cut && !arguments.each().take(3).map(program).any(|other| other != name && other.starts_with(comm))
}

fn by_count(wanted: &Wanted<'_>, table: &Table) -> Observation {
    if let Some(hidden) = hidden(table) {
        return hidden;
    }
    let (mut count, mut zombies) = (0_u32, 0_u32);
    let read = table.each(|seen| {
        // What ends while it is looked at does not run.
        let matches = if seen.ended {
            wanted.process.name.as_ref().is_some_and(|name| is_named(name, &seen.comm, &Arguments::none()))
        } else {
            wanted.is(&seen, table).unwrap_or(false)
        };
        match (matches, seen.ended) {
            (true, false) => count = count.saturating_add(1),
            (true, true) => zombies = zombies.saturating_add(1),
            (false, _) => {}
        }
    });
    if let Err(error) = read {
        return proc::unreadable(table.root(), &error);
    }
    let zombies = match zombies {
        0 => String::new(),
        1 => "; 1 zombie is not counted".to_owned(),
        more => format!("; {more} zombies are not counted"),
    };
    let words = wanted.words();
    let said = match count {
        0 => format!("no process{words} runs{zombies}"),
        1 => format!("1 process{words} runs{zombies}"),
        more => format!("{more} processes{words} run{zombies}"),
    };
    judged(&wanted.process.thresholds, f64::from(count), said, plain).reading("processes", f64::from(count), "")
}

fn by_pid_file(wanted: &Wanted<'_>, path: &Path, table: &Table) -> Observation {
    let shown = path.display();
    let critical = |message: String| Observation::new(Health::Critical, message).reading("processes", 0.0, "");
    let text = match read_pid_file(path) {
        Ok(text) => text,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return critical(format!("pid file {shown} does not exist; is the service up?"));
        }
        Err(error) => return Observation::new(Health::Unknown, format!("cannot read pid file {shown}: {error}")),
    };
    let Some(pid) = text.lines().next().and_then(|line| line.trim().parse::<u32>().ok()).filter(|pid| *pid > 0) else {
        return critical(format!("pid file {shown} has {} and no number of a process", quoted(&text)));
    };
    let seen = match table.process(pid) {
        Ok(Some(seen)) => seen,
        Ok(None) | Err(_) => {
            return hidden(table).unwrap_or_else(|| {
                critical(format!("no process has the number {pid} of {shown}: the service has ended without removing it"))
            });
        }
    };
    let name = one_line(&seen.comm);
    if seen.ended {
        return critical(format!("process {pid} of {shown}, {name}, has ended and is a zombie"));
    }
    match wanted.is(&seen, table) {
        Ok(true) => Observation::new(Health::Passing, format!("process {pid} of {shown} runs: {name}")).reading("processes", 1.0, ""),
        Ok(false) => critical(format!("process {pid} of {shown} is {name}, not one{}: the file is stale", wanted.words())),
        Err(error) => hidden(table).unwrap_or_else(|| critical(format!("process {pid} of {shown}, {name}, ended just now ({error})"))),
    }
}

/// Says so where `/proc` shows this process only its own user's.
fn hidden(table: &Table) -> Option<Observation> {
    let error = table.hides_others()?;
    let message = format!(
        "/proc hides processes of other users ({error}): it is mounted with hidepid=, or the agent's unit has ProtectProc=; mount it with gid= of a \
         group that the agent is in, or take the setting out"
    );
    Some(Observation::new(Health::Unknown, message))
}

/// A pipe is not waited for.
fn read_pid_file(path: &Path) -> io::Result<String> {
    let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
    let file: File = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let mut bytes = Vec::new();
    file.take(PID_FILE_LIMIT).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The number of `user`. Only `/etc/passwd` is asked: a directory service could hang.
fn user_id(user: &User, passwd: &Path) -> Result<u32, Observation> {
    let name = match user {
        User::Id(id) => return Ok(*id),
        User::Name(name) => name,
    };
    let mut found = None;
    let read = proc::lines(passwd, PASSWD_LIMIT, |line| {
        let mut words = line.split(|byte| *byte == b':');
        if words.next() != Some(name.as_bytes()) {
            return std::ops::ControlFlow::Continue(());
        }
        found = words.nth(1).and_then(|id| std::str::from_utf8(id).ok()?.parse().ok());
        std::ops::ControlFlow::Break(())
    });
    read.map_err(|error| proc::unreadable(passwd, &error))?;
    let missing = || Observation::new(Health::Unknown, format!("no user {name} in {}; give the number of the user", passwd.display()));
    found.ok_or_else(missing)
}

/// The number in the name of a directory of `/proc`.
fn number(name: &OsStr) -> Option<u32> {
    let name = name.to_str()?;
    // A sign or a leading zero would be something else.
    name.starts_with(|c: char| c.is_ascii_digit() && c != '0').then(|| name.parse().ok())?
}

#[cfg(test)]
mod tests;
