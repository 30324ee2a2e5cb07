//! A host for tests: a sandbox, a configuration in a directory of its own, and the agent run in process.

use crate::private;
use ros_sandbox::{Config, Sandbox, StackSpec};
use ros_signal_agent::agent::Note;
use ros_signal_agent::config::Layout;
use ros_signal_agent::daemon::{self, Failure, Options, Source};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

pub(crate) const STACK: &str = "4a6c9851-3b0f-4f5f-b4ca-a14bf6910000";
pub(crate) const INSTANCE: &str = "i-bp1a2b3c4d5e6f7g8h9i";
pub(crate) const KEY: &str = "testAccessKeyId";
pub(crate) const SECRET: &str = "testAccessKeySecret";

pub(crate) struct Host {
    pub(crate) sandbox: Sandbox,
    pub(crate) dir: tempfile::TempDir,
}

/// An agent that runs in process.
pub(crate) struct Running {
    pub(crate) notes: mpsc::Receiver<Note>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), Failure>>,
}

impl Host {
    /// A host whose stack waits for one signal at `WebReady`, configured with `text` after the usual tables.
    pub(crate) async fn new(text: &str) -> Self {
        Self::with(Config::new(KEY, ros_sandbox::Secret::new(SECRET)), text).await
    }

    /// The same beside another sandbox.
    pub(crate) async fn with(config: Config, text: &str) -> Self {
        let sandbox = Sandbox::start(config).await.unwrap();
        sandbox.put_stack(STACK, StackSpec::waiting_for("WebReady", 1, 900.0)).unwrap();
        sandbox.set_metadata("meta-data/instance-id", INSTANCE).unwrap();
        sandbox.set_metadata("meta-data/region-id", "cn-hangzhou").unwrap();
        let host = Self { sandbox, dir: private::directory() };
        host.configure(text);
        host
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.path("control.sock")
    }

    /// The tables that every configuration of this host needs.
    pub(crate) fn usual(&self) -> String {
        format!(
            "[stack]\nstack_id = \"{STACK}\"\n[ros]\nendpoint = \"{}\"\n[instance]\nmetadata_url = \"{}\"\n\
             [credentials]\nprovider = \"environment\"\n[agent]\nstate_dir = \"{}\"\nsocket = \"{}\"\n",
            self.sandbox.ros_url(),
            self.sandbox.metadata_url(),
            self.path("state").display(),
            self.socket().display(),
        )
    }

    pub(crate) fn configure(&self, text: &str) {
        private::write(&self.config(), &format!("{}{text}", self.usual()));
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path("config.toml")
    }

    pub(crate) fn environment() -> HashMap<String, String> {
        [("ALIBABA_CLOUD_ACCESS_KEY_ID", KEY), ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", SECRET)]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into()
    }

    pub(crate) fn start(&self) -> Running {
        self.start_in(Self::environment())
    }

    /// The agent in another environment.
    pub(crate) fn start_in(&self, environment: HashMap<String, String>) -> Running {
        let (sender, notes) = mpsc::channel(1024);
        let (stop, stopped) = oneshot::channel();
        let options = Options {
            source: Source::Files(Layout::file(self.config())),
            environment,
            own_process: false,
            notes: Some(sender),
            stop: Some(stopped),
            log: None,
        };
        Running { notes, stop, task: tokio::spawn(daemon::run(options)) }
    }

    /// Waits until the stack's status begins with `status`.
    pub(crate) async fn stack_becomes(&self, status: &str) {
        let mut timeline = self.sandbox.subscribe();
        let wait = async {
            loop {
                let now = self.sandbox.stack(STACK).unwrap().status.to_string();
                if now == status {
                    return;
                }
                let _ = timeline.recv().await;
            }
        };
        if tokio::time::timeout(std::time::Duration::from_secs(30), wait).await.is_err() {
            panic!("the stack does not become {status}: {:#?}", self.sandbox.stack(STACK));
        }
    }

    /// The same, where nobody may listen yet.
    pub(crate) async fn ask_if_there(&self, method: &str, path: &str) -> Option<(u16, String)> {
        tokio::net::UnixStream::connect(self.socket()).await.ok()?;
        Some(self.ask(method, path, "").await)
    }

    /// One request to the control socket: status and body.
    pub(crate) async fn ask(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        request(&self.socket(), method, path, body).await
    }
}

/// HTTP over a unix socket, by hand, so that the client of the product is not tested with itself.
pub(crate) async fn request(socket: &Path, method: &str, path: &str, body: &str) -> (u16, String) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::UnixStream::connect(socket).await.unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: agent\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

impl Running {
    /// Waits for a note that contains `text`.
    pub(crate) async fn notes(&mut self, text: &str) -> String {
        let wait = async {
            loop {
                let note = self.notes.recv().await.expect("the agent has ended");
                if note.text.contains(text) {
                    return note.text;
                }
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(60), wait).await.unwrap_or_else(|_| panic!("nobody notes {text:?}"))
    }

    pub(crate) async fn stop(self) -> Result<(), Failure> {
        let _ = self.stop.send(());
        self.task.await.unwrap()
    }
}
