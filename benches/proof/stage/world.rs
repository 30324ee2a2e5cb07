//! The world of a host: the sandbox as ROS and metadata service, and the configuration and the start of an agent in it.

use super::agent;
use super::process::Running;
use ros_sandbox::{Config, Sandbox, Secret, StackSpec};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub(crate) const STACK: &str = "4a6c9851-3b0f-4f5f-b4ca-a14bf6910000";
pub(crate) const KEY: &str = "testAccessKeyId";
pub(crate) const SECRET: &str = "testAccessKeySecret";

/// A sandbox on a thread of its own, with one stack that waits for `WebReady`.
pub(crate) struct World {
    pub(crate) sandbox: Sandbox,
    pub(crate) dir: tempfile::TempDir,
}

impl World {
    /// One whose stack waits for so many signals.
    pub(crate) fn waiting_for(count: u32) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let sandbox = runtime.block_on(Sandbox::start(Config::new(KEY, Secret::new(SECRET)))).unwrap();
        sandbox.put_stack(STACK, StackSpec::waiting_for("WebReady", count, 43_200.0)).unwrap();
        sandbox.set_metadata("meta-data/instance-id", "i-bp1a2b3c4d5e6f7g8h9i").unwrap();
        sandbox.set_metadata("meta-data/region-id", "cn-hangzhou").unwrap();
        std::thread::spawn(move || runtime.block_on(std::future::pending::<()>()));
        Self { sandbox, dir: tempfile::Builder::new().permissions(PermissionsExt::from_mode(0o755)).tempdir().unwrap() }
    }

    /// The head of a configuration: stack, ROS, metadata, credentials, and where the agent keeps its things (under `state`).
    pub(crate) fn head(&self, state: &Path) -> String {
        format!(
            "[stack]\nstack_id = \"{STACK}\"\n[ros]\nendpoint = \"{}\"\n[instance]\nmetadata_url = \"{}\"\n\
             [credentials]\nprovider = \"environment\"\n[agent]\nstate_dir = \"{}\"\nsocket = \"{}\"\nlog = \"error\"\n",
            self.sandbox.ros_url(),
            self.sandbox.metadata_url(),
            state.join("state").display(),
            state.join("control.sock").display()
        )
    }

    /// A daemon with this configuration; its socket is `control.sock` in `state`.
    pub(crate) fn daemon(&self, state: &Path, text: &str) -> Running {
        Running(self.command(state, text).arg("run").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    /// The agent with this configuration, without a command yet.
    pub(crate) fn command(&self, state: &Path, text: &str) -> Command {
        self.command_of(agent(), state, text)
    }

    /// Another program with this configuration, such as a copy of the agent.
    pub(crate) fn command_of(&self, program: impl AsRef<std::ffi::OsStr>, state: &Path, text: &str) -> Command {
        let config = write_private(&state.join("config.toml"), text);
        let mut command = Command::new(program);
        command.arg("--config").arg(config);
        command.envs([("ALIBABA_CLOUD_ACCESS_KEY_ID", KEY), ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", SECRET)]);
        command
    }
}

/// Writes a file that nobody else may read.
pub(crate) fn write_private(path: &Path, text: &str) -> PathBuf {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o600)).unwrap();
    path.to_owned()
}

/// What the control socket answers.
pub(crate) fn ask(socket: &Path, path: &str) -> std::io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
