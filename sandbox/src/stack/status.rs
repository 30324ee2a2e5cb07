//! Statuses of stacks and resources as ROS prints them: an operation and how far it is.
//!
//! Together they form the 31 stack statuses of the GetStack page and the resource statuses of ListStackResources.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What is being done to a stack or resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Init,
    Create,
    Update,
    Delete,
    CreateRollback,
    Rollback,
    Check,
    Review,
    ImportCreate,
    ImportCreateRollback,
    ImportUpdate,
    ImportUpdateRollback,
}

/// How far the operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    InProgress,
    Complete,
    Failed,
}

/// A status such as `CREATE_IN_PROGRESS`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Status {
    pub(crate) operation: Operation,
    pub(crate) phase: Phase,
}

const OPERATIONS: [(Operation, &str); 12] = [
    (Operation::Init, "INIT"),
    (Operation::Create, "CREATE"),
    (Operation::Update, "UPDATE"),
    (Operation::Delete, "DELETE"),
    (Operation::CreateRollback, "CREATE_ROLLBACK"),
    (Operation::Rollback, "ROLLBACK"),
    (Operation::Check, "CHECK"),
    (Operation::Review, "REVIEW"),
    (Operation::ImportCreate, "IMPORT_CREATE"),
    (Operation::ImportCreateRollback, "IMPORT_CREATE_ROLLBACK"),
    (Operation::ImportUpdate, "IMPORT_UPDATE"),
    (Operation::ImportUpdateRollback, "IMPORT_UPDATE_ROLLBACK"),
];

const PHASES: [(Phase, &str); 3] = [(Phase::InProgress, "_IN_PROGRESS"), (Phase::Complete, "_COMPLETE"), (Phase::Failed, "_FAILED")];

impl Status {
    /// `CREATE_IN_PROGRESS`: the stack is being made and its wait conditions wait.
    pub const CREATE_IN_PROGRESS: Status = Status::new(Operation::Create, Phase::InProgress);
    /// `CREATE_COMPLETE`.
    pub const CREATE_COMPLETE: Status = Status::new(Operation::Create, Phase::Complete);
    /// `CREATE_FAILED`.
    pub const CREATE_FAILED: Status = Status::new(Operation::Create, Phase::Failed);
    /// `UPDATE_IN_PROGRESS`: the stack is being updated and its wait conditions wait again.
    pub const UPDATE_IN_PROGRESS: Status = Status::new(Operation::Update, Phase::InProgress);
    /// `UPDATE_COMPLETE`.
    pub const UPDATE_COMPLETE: Status = Status::new(Operation::Update, Phase::Complete);
    /// `UPDATE_FAILED`.
    pub const UPDATE_FAILED: Status = Status::new(Operation::Update, Phase::Failed);
    /// `DELETE_IN_PROGRESS`.
    pub const DELETE_IN_PROGRESS: Status = Status::new(Operation::Delete, Phase::InProgress);
    /// `DELETE_COMPLETE`: the stack answers `StackNotFound` from here on.
    pub const DELETE_COMPLETE: Status = Status::new(Operation::Delete, Phase::Complete);

    pub(crate) const fn new(operation: Operation, phase: Phase) -> Self {
        Self { operation, phase }
    }

    /// True while the operation goes on.
    pub fn in_progress(self) -> bool {
        self.phase == Phase::InProgress
    }

    /// True when the operation ended well.
    pub fn complete(self) -> bool {
        self.phase == Phase::Complete
    }

    /// True when the operation failed.
    pub fn failed(self) -> bool {
        self.phase == Phase::Failed
    }

    /// The 31 stack statuses.
    pub(crate) fn all() -> Vec<Self> {
        let every = OPERATIONS.iter().flat_map(|(operation, _)| PHASES.map(|(phase, _)| Self::new(*operation, phase)));
        every.filter(|status| status.to_string().parse::<Self>().is_ok()).collect()
    }

    pub(crate) fn with(self, phase: Phase) -> Self {
        Self { phase, ..self }
    }

    /// True while wait conditions wait: in a creation or an update, also one by import, under way.
    pub(crate) fn waits(self) -> bool {
        let makes = matches!(self.operation, Operation::Create | Operation::Update | Operation::ImportCreate | Operation::ImportUpdate);
        self.in_progress() && makes
    }

    /// The name of the operation alone, such as `CREATE`.
    pub(crate) fn action(self) -> &'static str {
        OPERATIONS.iter().find(|(operation, _)| *operation == self.operation).map_or("", |(_, name)| name)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let phase = PHASES.iter().find(|(phase, _)| *phase == self.phase).map_or("", |(_, name)| name);
        write!(f, "{}{phase}", self.action())
    }
}

/// The text is not one of the 31 stack statuses.
#[derive(Debug, thiserror::Error)]
#[error("'{0}' is not a stack status of ROS, such as CREATE_IN_PROGRESS or UPDATE_COMPLETE")]
pub struct UnknownStatus(String);

impl FromStr for Status {
    type Err = UnknownStatus;

    fn from_str(text: &str) -> Result<Self, UnknownStatus> {
        let unknown = || UnknownStatus(text.chars().take(64).collect());
        let (phase, action) = PHASES.iter().find_map(|(phase, name)| Some((*phase, text.strip_suffix(name)?))).ok_or_else(unknown)?;
        let (operation, _) = OPERATIONS.iter().find(|(_, name)| *name == action).ok_or_else(unknown)?;
        let exists = match operation {
            Operation::Init => false,
            Operation::Review => phase == Phase::InProgress,
            _ => true,
        };
        if exists { Ok(Self::new(*operation, phase)) } else { Err(unknown()) }
    }
}

impl TryFrom<String> for Status {
    type Error = UnknownStatus;

    fn try_from(text: String) -> Result<Self, UnknownStatus> {
        text.parse()
    }
}

impl From<Status> for String {
    fn from(status: Status) -> String {
        status.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_the_31_documented_stack_statuses_are_known() {
        let mut known = 0;
        for (_, operation) in OPERATIONS {
            for (_, phase) in PHASES {
                let text = format!("{operation}{phase}");
                if let Ok(status) = text.parse::<Status>() {
                    assert_eq!(status.to_string(), text);
                    known += 1;
                }
            }
        }
        assert_eq!(known, 31);
    }

    #[test]
    fn other_texts_are_refused_by_name() {
        for text in ["", "CREATE", "create_complete", "REVIEW_COMPLETE", "INIT_COMPLETE", "CREATE_COMPLETE "] {
            let error = text.parse::<Status>().unwrap_err().to_string();
            assert!(error.contains(&format!("'{text}'")), "{error}");
        }
    }
}
