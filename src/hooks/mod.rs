//! Operators' commands: what they are told, and under which id. Pure; how they are run is next door.

use crate::check::Health;
use crate::plan::{Name, Transition};
use crate::signal::SignalStatus;
use serde::{Deserialize, Serialize};

/// What happened, for the hooks whose `on` has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum Occasion {
    /// The stack has got another status.
    Stack {
        /// What that means.
        transition: Transition,
        /// The stack, as it was looked at.
        stack: StackFacts,
        /// Its status before.
        previous: Option<String>,
    },
    /// The `Metadata` of a resource is another.
    Metadata {
        /// The stack, as it was looked at.
        stack: StackFacts,
        /// Logical ID of the resource.
        resource: String,
        /// As it was, JSON; none: it was not known, or is too long to be kept.
        old: Option<String>,
        /// As it is, JSON; none: it has none any more.
        new: Option<String>,
    },
    /// A verdict was made.
    Verdict {
        /// For this signal.
        signal: Name,
        /// In this round.
        round: String,
        /// The verdict.
        verdict: SignalStatus,
        /// Why.
        reason: String,
    },
    /// A check has got another state.
    Check {
        /// The check.
        check: Name,
        /// Its state.
        state: Health,
        /// The state before; none: `initial`.
        previous: Option<Health>,
        /// What it says.
        message: String,
    },
    /// An event has come, and the stack was looked at since.
    Event {
        /// The event.
        event: crate::events::Event,
        /// The stack, as it was looked at.
        stack: StackFacts,
    },
}

/// A stack as it was looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StackFacts {
    /// `RegionId`.
    pub region: String,
    /// `StackId`.
    pub stack_id: String,
    /// `StackName`.
    pub name: Option<String>,
    /// `Status`; `DELETE_COMPLETE` also where it is found no more.
    pub status: String,
    /// `StatusReason`.
    pub reason: Option<String>,
    /// `UpdateTime`, else `CreateTime`, as ROS writes it.
    pub updated: Option<String>,
}

/// How a run of a hook ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookEnd {
    /// It has done its work: exit status 0.
    pub succeeded: bool,
    /// In words, such as `exit status 3`.
    pub text: String,
    /// The end of what it printed, cut and cleaned.
    pub output: String,
}

/// A hook that is to be run, or was: in the ledger until it has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookRecord {
    /// The id of this occasion for this hook.
    pub id: String,
    /// The hook.
    pub hook: Name,
    /// What it is told.
    pub occasion: Occasion,
    /// Attempts that were begun.
    #[serde(default)]
    pub attempts: u32,
}
