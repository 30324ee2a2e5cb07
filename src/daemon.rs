//! The driver: performs the effects of the core and feeds it inputs; owns tasks, reload and shutdown.

use crate::agent::Note;
use crate::config::{Diagnostic, Layout};
use crate::plan::Plan;
use std::collections::HashMap;
use tokio::sync::{mpsc, oneshot};

/// Where the plan comes from.
#[derive(Debug)]
pub enum Source {
    /// Configuration files, read again on reload.
    Files(Layout),
    /// A plan made by the caller; reload is refused.
    Plan(Box<Plan>),
}

/// What [`run`] needs.
#[derive(Debug)]
pub struct Options {
    /// Where the plan comes from.
    pub source: Source,
    /// The process's environment, for credentials.
    pub environment: HashMap<String, String>,
    /// Whether to take over SIGTERM, SIGINT and SIGHUP and to talk to systemd.
    pub own_process: bool,
    /// What the core notes, as it happens; notes that do not fit are dropped.
    pub notes: Option<mpsc::Sender<Note>>,
    /// Stops the agent as SIGTERM does.
    pub stop: Option<oneshot::Receiver<()>>,
    /// To change the log filter when a reload changes `agent.log`.
    pub log: Option<crate::logging::LogHandle>,
}

/// Why the agent could not run.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The configuration is invalid; exit code 78.
    #[error("the configuration is invalid")]
    Configuration(Vec<Diagnostic>),
    /// The ledger cannot be had, such as when another agent holds it.
    #[error(transparent)]
    Ledger(#[from] crate::ledger::Error),
    /// The control socket cannot be had.
    #[error(transparent)]
    Control(#[from] crate::control::BindError),
    /// A part cannot be set up.
    #[error("{0}")]
    Setup(String),
}

/// Runs the agent until it is told to stop. Returns when everything is put away.
///
/// # Errors
/// See [`Failure`]; once the agent runs, nothing makes it fail.
pub async fn run(options: Options) -> Result<(), Failure> {
    let _ = options;
    Ok(())
}
