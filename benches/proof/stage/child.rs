//! A child whose time and peak memory are measured.
//!
//! The kernel counts the peak (getrusage(2), `ru_maxrss`) from before execve(2): a child of a large program begins with that program's size. So this program
//! starts itself again, once for each run, as a small parent with no other children, and that has a shell start the command, as scripts do: what the command
//! begins with is a copy of the shell. The shell has ended, and the command waits at a gate, when the clock starts; so the figures are those of execve(2) to
//! exit(2) of the command, and of the processes that it waited for. Of those the largest one counts for memory, and all together for processor time.

use nix::sys::prctl::set_child_subreaper;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;
use std::io::{Read, Write};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

/// The first argument of the program when it is that parent.
pub(crate) const WORD: &str = "measure-child";

/// Waits for a line, then is the command. Its output is not looked at, what it complains of is.
const GATE: &str = r#"exec 3<&0; { read -r go; exec "$@" </dev/null 3<&-; } <&3 >/dev/null & echo $!"#;

/// A run that takes longer has failed.
const LONGEST: Duration = Duration::from_secs(60);

/// What a run cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    pub(crate) wall: Duration,
    /// User and system time.
    pub(crate) cpu: Duration,
    /// In bytes.
    pub(crate) peak: u64,
}

/// Runs a command with its arguments and the environment it was given (and `PATH` and `HOME`, no more).
///
/// # Errors
/// If it cannot be run, or does not end with 0: then with what it said.
pub(crate) fn measure(command: &Command) -> Result<Cost, String> {
    let mut parent = Command::new(std::env::current_exe().map_err(|error| error.to_string())?);
    parent.arg(WORD).arg(command.get_program()).args(command.get_args()).stdin(Stdio::null()).env_clear();
    parent.envs(["PATH", "HOME"].into_iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    parent.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = parent.output().map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        let last: Vec<&str> = complaint.lines().filter(|line| !line.trim().is_empty()).collect();
        return Err(format!("{}: {}", said.trim(), last[last.len().saturating_sub(2)..].join(" ")));
    }
    let mut figures = said.split_whitespace().map(|figure| figure.parse::<u64>().map_err(|error| format!("{said}: {error}")));
    let mut next = || figures.next().unwrap_or_else(|| Err("the parent of the command said too little".to_owned()));
    Ok(Cost { wall: Duration::from_nanos(next()?), cpu: Duration::from_micros(next()?), peak: next()? * 1024 })
}

/// The small parent.
pub(crate) fn main(words: &[String]) -> ExitCode {
    match run(words) {
        Ok(figures) => {
            println!("{figures}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            println!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[String]) -> Result<String, String> {
    let said = |what: &'static str| move |error: nix::Error| format!("{what}: {error}");
    // The command becomes a child of this process when the shell ends.
    set_child_subreaper(true).map_err(said("prctl"))?;
    let mut shell = Command::new("sh");
    shell.args(["-c", GATE, "sh"]).args(words).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut shell = shell.spawn().map_err(|error| format!("sh: {error}"))?;
    let (Some(mut gate), Some(mut told)) = (shell.stdin.take(), shell.stdout.take()) else { return Err("no pipes".to_owned()) };
    let mut pid = String::new();
    told.read_to_string(&mut pid).map_err(|error| error.to_string())?;
    let pid = Pid::from_raw(pid.trim().parse().map_err(|_| format!("the shell said {pid:?}"))?);
    // It stays a zombie: only who is waited for counts below.
    let ended = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
    waitid(Id::Pid(Pid::from_raw(shell.id() as i32)), ended).map_err(said("waitid"))?;
    std::thread::spawn(move || {
        super::wait(LONGEST);
        let _ = Command::new("kill").args(["-9", &pid.to_string()]).status();
    });
    let begin = now();
    gate.write_all(b"\n").map_err(|error| error.to_string())?;
    let status = waitpid(pid, None).map_err(said("waitpid"))?;
    let wall = begin.elapsed();
    if status != WaitStatus::Exited(pid, 0) {
        return Err(match status {
            WaitStatus::Exited(_, code) => format!("exit code {code}"),
            other => format!("{other:?}"),
        });
    }
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).map_err(said("getrusage"))?;
    let micros = |time: TimeVal| time.tv_sec() * 1_000_000 + time.tv_usec();
    Ok(format!("{} {} {}", wall.as_nanos(), micros(usage.user_time()) + micros(usage.system_time()), usage.max_rss()))
}

#[expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}
