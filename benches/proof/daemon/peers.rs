//! Those that are measured: the agent, in a world of its own that has acknowledged its signal before it is looked at, and monit.

use super::kinds::Kind;
use super::targets::Targets;
use crate::stage::process::Running;
use crate::stage::world::{World, write_private};
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Between two runs of a check, and between two cycles of monit.
pub(super) const PACE: &str = "5s";

/// An agent whose signal was acknowledged.
pub(super) struct Agent {
    running: Running,
    _world: World,
    state: PathBuf,
}

/// How the agent reaches ROS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    Plain,
    /// Over TLS, with the certificates of the host and that of the sandbox.
    Tls,
}

impl Agent {
    /// Starts it with these checks, and waits until ROS has acknowledged over TLS that the host is healthy.
    pub(super) fn start(checks: &str, targets: &Targets) -> Self {
        let mut agent = Self::launch(checks, Reach::Tls, targets);
        agent.acknowledged();
        agent
    }

    /// Starts several of them side by side.
    pub(super) fn start_all(checks: &[(String, Reach)], targets: &Targets) -> Vec<Self> {
        let mut agents: Vec<_> = checks.iter().map(|(checks, reach)| Self::launch(checks, *reach, targets)).collect();
        agents.iter_mut().for_each(Self::acknowledged);
        agents
    }

    fn launch(checks: &str, reach: Reach, targets: &Targets) -> Self {
        let world = World::waiting_for(1);
        let state = world.dir.path().to_owned();
        let mut head = world.head(&state);
        if reach == Reach::Tls {
            head = head.replace(&world.sandbox.ros_url(), &world.sandbox.ros_tls_url());
        }
        let text = format!("{head}[signal.web]\nresource = \"WebReady\"\nmin_healthy_time = \"1s\"\n{checks}");
        // Agents side by side share no page of the program's text when each has a file of its own: so their memory is that of a lone one.
        let program = state.join("ros-signal-agent");
        std::fs::copy(crate::stage::agent(), &program).unwrap();
        let mut command = world.command_of(&program, &state, &text);
        command.arg("run").stdout(Stdio::null()).stderr(Stdio::null());
        if reach == Reach::Tls {
            command.env("SSL_CERT_FILE", bundle(&world));
        }
        if let Some(bus) = &targets.bus {
            command.env("DBUS_SYSTEM_BUS_ADDRESS", bus);
        }
        Self { running: Running(command.spawn().unwrap()), state, _world: world }
    }

    fn acknowledged(&mut self) {
        let mut wait = Command::new(crate::stage::agent());
        wait.arg("--config").arg(self.state.join("config.toml")).args(["wait", "--for", "signaled", "--timeout", "90s"]);
        let said = wait.output().unwrap();
        let ended = self.running.0.try_wait().unwrap();
        assert!(said.status.success() && ended.is_none(), "the agent has not signalled: {}", String::from_utf8_lossy(&said.stderr));
    }

    pub(super) fn id(&self) -> u32 {
        self.running.id()
    }

    /// Runs of all its checks so far.
    pub(super) fn runs(&self) -> u64 {
        let metrics = self.metrics();
        let counts = metrics.lines().filter(|line| line.starts_with("ros_signal_agent_check_runs_total{"));
        counts.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum()
    }

    pub(super) fn metrics(&self) -> String {
        crate::stage::world::ask(&self.state.join("control.sock"), "/metrics").unwrap()
    }
}

/// The certificates that the host trusts, and that of the sandbox, in one file.
fn bundle(world: &World) -> PathBuf {
    let mut text = std::fs::read_to_string(world.sandbox.ca_file()).unwrap();
    text.push_str(&host_roots());
    let path = world.dir.path().join("roots.pem");
    std::fs::write(&path, text).unwrap();
    path
}

/// Where distributions keep the certificates that they trust.
const STORES: [&str; 3] = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem"];

/// The certificates that the host trusts.
pub(super) fn host_roots() -> String {
    STORES.iter().find_map(|path| std::fs::read_to_string(path).ok()).unwrap_or_default()
}

/// monit, with a directory for what it writes.
pub(super) struct Monit {
    running: Running,
    _dir: tempfile::TempDir,
}

impl Monit {
    /// None: it is not installed, or cannot look at such a thing.
    pub(super) fn start(checks: &[(Kind, usize)], pace: &str, targets: &Targets) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        let seconds = pace.trim_end_matches('s');
        let mut text =
            format!("set daemon {seconds}\nset pidfile {}\nset statefile {}\nset idfile {}\n", path("pid"), path("state"), path("id"));
        for (kind, count) in checks {
            text.push_str(&kind.for_monit(*count, targets)?);
        }
        let control = write_private(&dir.path().join("monitrc"), &text);
        let mut command = Command::new("monit");
        command.arg("-I").arg("-c").arg(control).stdout(Stdio::null()).stderr(Stdio::null());
        Some(Self { running: Running(command.spawn().ok()?), _dir: dir })
    }

    pub(super) fn id(&self) -> u32 {
        self.running.id()
    }
}
