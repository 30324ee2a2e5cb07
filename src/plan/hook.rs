//! `[hook.NAME]`: operators' commands that are run when something happens.

use super::*;
use crate::check::Health;
use crate::signal::SignalStatus;

/// An operator's command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// NAME.
    pub name: Name,
    /// `on`: what it is run for, at least one.
    pub on: Vec<Trigger>,
    /// `command`: program and arguments.
    pub command: Vec<String>,
    /// `timeout` of one run.
    pub timeout: Duration,
    /// `retries` after a run that failed.
    pub retries: u32,
    /// `at_most_once`: a run that was begun is never begun again, whatever became of it.
    pub at_most_once: bool,
    /// `run_as`.
    pub run_as: RunAs,
    /// `wait`: no checks of a new round before it is done.
    pub wait: bool,
    /// `checks`: of check changes only those of these; empty: of all.
    pub checks: Vec<Name>,
    /// `signals`: of verdicts only those of these; empty: of all.
    pub signals: Vec<Name>,
    /// `resource`: whose Metadata is followed; else those that the signals name.
    pub resource: Option<String>,
}

/// `run_as`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RunAs {
    /// As the agent's user, by the agent.
    Agent,
    /// As root, by a unit of systemd that the agent asks through a file.
    Root,
}

/// What a hook is run for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// `stack.created` and the like.
    Stack(Transition),
    /// `metadata.changed`.
    Metadata,
    /// `verdict.success` and the like.
    Verdict(SignalStatus),
    /// `check.critical` and the like: a check has got another state.
    Check(Health),
    /// The type of an event, such as `ros:StackStateChange:UpdateComplete`; with a `*` at the end all that begin so.
    Event(String),
}

/// What has become of a stack, as far as hooks are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, serde::Deserialize)]
pub enum Transition {
    /// Its creation has succeeded, or an import that created it.
    #[serde(rename = "stack.created")]
    Created,
    /// An update, or an import, is in progress.
    #[serde(rename = "stack.updating")]
    Updating,
    /// An update, or an import, has succeeded.
    #[serde(rename = "stack.updated")]
    Updated,
    /// An update is rolled back.
    #[serde(rename = "stack.rolling_back")]
    RollingBack,
    /// An update was rolled back; the stack lives on.
    #[serde(rename = "stack.update_rolled_back")]
    UpdateRolledBack,
    /// A creation is or was rolled back.
    #[serde(rename = "stack.create_rolled_back")]
    CreateRolledBack,
    /// It is being deleted.
    #[serde(rename = "stack.deleting")]
    Deleting,
    /// It is no more.
    #[serde(rename = "stack.deleted")]
    Deleted,
    /// Its deletion has failed.
    #[serde(rename = "stack.delete_failed")]
    DeleteFailed,
    /// Something else has failed.
    #[serde(rename = "stack.failed")]
    Failed,
}

impl Transition {
    /// Each of them.
    pub const ALL: [Self; 10] = [
        Self::Created,
        Self::Updating,
        Self::Updated,
        Self::RollingBack,
        Self::UpdateRolledBack,
        Self::CreateRolledBack,
        Self::Deleting,
        Self::Deleted,
        Self::DeleteFailed,
        Self::Failed,
    ];

    /// As `on` writes it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Created => "stack.created",
            Self::Updating => "stack.updating",
            Self::Updated => "stack.updated",
            Self::RollingBack => "stack.rolling_back",
            Self::UpdateRolledBack => "stack.update_rolled_back",
            Self::CreateRolledBack => "stack.create_rolled_back",
            Self::Deleting => "stack.deleting",
            Self::Deleted => "stack.deleted",
            Self::DeleteFailed => "stack.delete_failed",
            Self::Failed => "stack.failed",
        }
    }
}
