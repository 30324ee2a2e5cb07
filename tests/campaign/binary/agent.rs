//! The built program: started, perhaps behind strace or in a room of its own, stopped, killed, asked how it is.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};

pub(super) const KEY: &str = "testAccessKeyId";
pub(super) const SECRET: &str = "testAccessKeySecret";

/// What an agent is started with.
pub(super) struct Launch {
    /// What stands before its command line.
    pub(super) before: Vec<String>,
    pub(super) directory: PathBuf,
}

pub(super) struct Agent {
    child: Child,
    pid: rustix::process::Pid,
    directory: PathBuf,
}

/// How an agent answered.
pub(super) enum Answered {
    Status(serde_json::Value),
    /// It does not listen (yet, or any more).
    NotThere,
    TooLate,
}

impl Agent {
    pub(super) fn start(launch: &Launch) -> Self {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(launch.directory.join("agent.log")).unwrap();
        let config = launch.directory.join("config.toml");
        let program = [env!("CARGO_BIN_EXE_ros-signal-agent"), "--config", config.to_str().unwrap(), "run"].map(str::to_owned);
        let mut words = launch.before.iter().cloned().chain(program);
        let child = Command::new(words.next().unwrap())
            .args(words)
            .env("ALIBABA_CLOUD_ACCESS_KEY_ID", KEY)
            .env("ALIBABA_CLOUD_ACCESS_KEY_SECRET", SECRET)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw).unwrap();
        Self { child, pid, directory: launch.directory.clone() }
    }

    /// The exit code, if it has ended; none inside: by a signal.
    pub(super) fn ended(&mut self) -> Option<Option<i32>> {
        self.child.try_wait().unwrap().map(|status| status.code())
    }

    pub(super) async fn wait(&mut self) -> Option<i32> {
        self.child.wait().await.unwrap().code()
    }

    pub(super) async fn kill(&mut self) {
        // It may have been stopped, or dead already.
        let _ = self.child.kill().await;
        let _ = self.child.wait().await;
    }

    pub(super) fn signal(&mut self, signal: rustix::process::Signal) {
        // A child that was waited for must not be signalled: its number may be another's.
        if self.ended().is_none() {
            let _ = rustix::process::kill_process(self.pid, signal);
        }
    }

    /// SIGTERM, and its exit code if it ends in time.
    pub(super) async fn terminate(&mut self, patience: Duration) -> Option<Option<i32>> {
        self.signal(rustix::process::Signal::TERM);
        tokio::time::timeout(patience, self.wait()).await.ok()
    }

    pub(super) async fn status(&self, patience: Duration) -> Answered {
        match tokio::time::timeout(patience, ask(&self.directory.join("control.sock"))).await {
            Err(_) => Answered::TooLate,
            Ok(Ok(value)) => Answered::Status(value),
            Ok(Err(_)) => Answered::NotThere,
        }
    }
}

/// HTTP by hand, so that the client of the product is not tested with itself.
async fn ask(socket: &Path) -> std::io::Result<serde_json::Value> {
    let mut stream = tokio::net::UnixStream::connect(socket).await?;
    stream.write_all(b"GET /status HTTP/1.1\r\nhost: agent\r\nconnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    Ok(serde_json::from_str(body)?)
}

/// Processes, zombies included, whose command line or parent tells that they were started by an exec check of this case.
pub(super) fn left_behind(marker: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(line) = std::fs::read(entry.path().join("cmdline")) else { continue };
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(marker) {
            found.push(format!("{}: {line}", entry.file_name().to_string_lossy()));
        }
    }
    found
}
