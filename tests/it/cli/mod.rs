//! The command line, through the built program.
//!
//! `UPDATE_GENERATED=1` writes man pages and completions anew; `INSTA_UPDATE=always` the goldens.

mod agent;
mod arguments;
mod check;
mod daemon;
mod doctor;
mod events;
// Documents describe the program with all its features.
#[cfg(feature = "rehearse")]
mod generated;
mod hook;
mod links;
#[cfg(feature = "rehearse")]
mod man;
#[cfg(feature = "rehearse")]
mod manual;
mod offline;
mod signal;

use crate::private;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

/// What a run of the program came to.
#[derive(Debug)]
struct Ended {
    code: i32,
    out: String,
    err: String,
}

impl Ended {
    /// All of it for a golden, with `path` called DIR.
    fn golden(&self, path: &Path) -> String {
        let Self { code, out, err } = self;
        format!("exit code {code}\n--- standard output\n{out}--- standard error\n{err}").replace(&path.display().to_string(), "DIR")
    }
}

/// Runs the program without an environment. Nothing it does may take a minute.
async fn program(arguments: &[&str]) -> Ended {
    program_with(arguments, &[]).await
}

async fn program_with(arguments: &[&str], environment: &[(&str, &str)]) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ros-signal-agent"));
    command.args(arguments).env_clear().envs(environment.iter().copied()).stdin(Stdio::null()).kill_on_drop(true);
    let ended = tokio::time::timeout(Duration::from_secs(60), command.output()).await.expect("it ends").unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ended { code: ended.status.code().expect("it exits"), out: text(ended.stdout), err: text(ended.stderr) }
}

/// A configuration file in a directory of its own that only its owner can change, so that it may define exec checks.
fn configured(text: &str) -> (tempfile::TempDir, String) {
    let dir = private::directory();
    let path = dir.path().join("config.toml");
    private::write(&path, text);
    let path = path.to_str().unwrap().to_owned();
    (dir, path)
}

/// The control API lets root alone signal, cancel, reload and hold.
fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
