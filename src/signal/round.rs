//! Rounds, intents and receipts: what the ledger remembers. The file itself is kept by `ledger.rs`.
//!
//! `ledger.json`, format 1, shown with one round that waits for its acknowledgement:
//!
//! ```json
//! {
//!   "format": 1,
//!   "generation": 3,
//!   "instance_id": "i-bp1a2b3c4d5e6f7g8h9i",
//!   "boot": {"id": "0b5e...", "number": 1},
//!   "held": false,
//!   "rounds": [
//!     {
//!       "signal": "web",
//!       "name": "first",
//!       "resource": "WebReady",
//!       "target": {"region": "cn-hangzhou", "stack_id": "4a6c9851-...", "resource": "WebReady"},
//!       "started": {"boot_id": "0b5e...", "boot_ms": 41250, "wall_ms": 1790000000000},
//!       "intent": {"status": "SUCCESS", "unique_id": "5b1c...", "reason": "2 of 2 required checks passing for 5s",
//!                  "decided": {"boot_id": "0b5e...", "boot_ms": 61250, "wall_ms": 1790000020000}},
//!       "series": 0
//!     }
//!   ],
//!   "history": []
//! }
//! ```
//!
//! Invariants: `generation` grows by one with every write. An `intent`, once written, is never altered. `series` only grows. A round
//! with `settled` is never sent for again. Settled rounds that left the plan are folded into `history`, of which the newest
//! [`HISTORY_LIMIT`] entries are kept, so the document stays small.

use super::{SignalStatus, UniqueId};
use crate::clock::Stamp;
use crate::hooks::HookRecord;
use crate::plan::Name;
use crate::stack::sight::Mark;
use crate::stack::template::Facts;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Entries of history that are kept.
pub const HISTORY_LIMIT: usize = 64;

/// Which resource of which stack is told.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Target {
    /// `RegionId`.
    pub region: String,
    /// `StackId`; for a lifecycle hook what [`Target::of_scaling_group`] says.
    pub stack_id: String,
    /// `LogicalResourceId`.
    pub resource: String,
}

/// Stands before the ID of a scaling group where a stack has its id. No id of a stack has a colon, and ROS is never asked with one.
const SCALING_GROUP: &str = "scaling-group:";

/// Stands for a scaling group that is looked for.
const ANY_GROUP: &str = "any";

impl Target {
    /// Stands for the region or the stack of a handle whose URL does not name them. No region and no stack can be called so.
    pub const UNNAMED: &str = "(handle)";

    /// Whether ROS can be asked about it.
    pub fn is_known(&self) -> bool {
        self.region != Self::UNNAMED && self.stack_id != Self::UNNAMED && self.scaling_group().is_none()
    }

    /// What a lifecycle hook has in place of a stack: its scaling group, as far as the configuration names it.
    pub fn of_scaling_group(region: String, group: Option<&str>, resource: &str) -> Self {
        Self { region, stack_id: format!("{SCALING_GROUP}{}", group.unwrap_or(ANY_GROUP)), resource: resource.to_owned() }
    }

    /// Whether this is a lifecycle hook: the inner option is the ID of its scaling group, where it is configured.
    pub fn scaling_group(&self) -> Option<Option<&str>> {
        self.stack_id.strip_prefix(SCALING_GROUP).map(|group| Some(group).filter(|group| *group != ANY_GROUP))
    }
}

/// What the URL of a handle and its headers tell, in the shape of 2019. Not secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// `stackid` of the query.
    pub stack_id: Option<String>,
    /// The header `x-acs-region-id`.
    pub region: Option<String>,
    /// `resource` of the query: the logical ID of the handle.
    pub resource: Option<String>,
    /// `expire` of the query: seconds since 1970.
    pub expires: Option<i64>,
}

/// Everything that must survive a crash.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerDocument {
    /// Version of this document, 1.
    pub format: u32,
    /// Counts writes.
    pub generation: u64,
    /// Whose state this is; none while the metadata service has not answered yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    /// The boot in which it was written; none: by an agent that did not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot: Option<Boot>,
    /// Verdicts are paused by the operator.
    #[serde(default)]
    pub held: bool,
    /// Open rounds, and settled ones of the present plan.
    #[serde(default)]
    pub rounds: Vec<Round>,
    /// What was done, oldest first.
    #[serde(default)]
    pub history: Vec<HistoryEntry>,
    /// The stacks that are followed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stacks: Vec<StackRecord>,
    /// Hooks that are to be run, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<HookRecord>,
    /// Ids of those that have ended last, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hooks_done: Vec<String>,
}

impl LedgerDocument {
    /// The format this program writes.
    pub const FORMAT: u32 = 1;

    /// A document of nobody, with nothing in it.
    pub fn empty() -> Self {
        Self { format: Self::FORMAT, ..Self::default() }
    }
}

/// A boot of the host, as the ledger counts them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Boot {
    /// The kernel's boot id.
    pub id: Arc<str>,
    /// 1 for the boot in which the ledger began, one more for each later one in which the agent ran.
    pub number: u32,
}

/// A stack that is followed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StackRecord {
    /// `RegionId`.
    pub region: String,
    /// `StackId`.
    pub stack_id: String,
    /// The host at which it was seen: only there can it be missed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The last transition that was handled: rounds and hooks follow from what comes after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handled: Option<Mark>,
    /// Since when it is missed there: a second look at least a minute later tells that it was deleted, whatever lies between them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<Stamp>,
    /// It is no more.
    #[serde(default)]
    pub deleted: bool,
    /// The `Metadata` of resources that hooks follow.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metadata: Vec<MetadataRecord>,
}

/// The `Metadata` of a resource, as hooks know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetadataRecord {
    /// Logical ID.
    pub resource: String,
    /// SHA-256 of the text; none: it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The text, where it is short enough to be kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

impl MetadataRecord {
    /// Bytes that a text takes as part of the ledger, where quotes are escaped.
    pub fn room_for(text: &str) -> usize {
        let room = |byte| match byte {
            b'"' | b'\\' => 2,
            0..=0x1f => 6,
            _ => 1,
        };
        text.bytes().map(room).sum()
    }
}

/// Adds an entry to a history, forgetting the oldest ones beyond [`HISTORY_LIMIT`].
pub fn remember(history: &mut Vec<HistoryEntry>, entry: HistoryEntry) {
    if history.len() >= HISTORY_LIMIT {
        history.drain(..=history.len() - HISTORY_LIMIT);
    }
    history.push(entry);
}

/// The time in which a signal is owed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Round {
    /// Name of the signal in the configuration, or `manual:RESOURCE` for one sent by hand.
    pub signal: Name,
    /// `first`, or the frozen name of a later round.
    pub name: String,
    /// Logical ID of the resource, known before the target is.
    pub resource: String,
    /// Whom to tell; none until region and stack are known. Never changes afterwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// When it began.
    pub started: Stamp,
    /// When the one extension for a deadline that passed while the host was off began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extended: Option<Stamp>,
    /// The verdict, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intent: Option<Intent>,
    /// Number of definite rejections so far: part of the ClientToken.
    #[serde(default)]
    pub series: u32,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled: Option<Settlement>,
    /// What the template of the stack says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learned: Option<Learned>,
    /// What became of the signal after it was acknowledged; none: nobody looks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmation: Option<Confirmation>,
    /// The operation of the stack to which it belongs, as far as looks have told; only with `resignal = "on_update"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<StackOperation>,
}

/// The operation of a stack to which a round belongs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StackOperation {
    /// The condition's own time, as ROS writes it, once the condition was seen in progress: it names the operation. None: its turn has
    /// not come, or there is no operation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began: Option<String>,
    /// A look since has shown that it is over, or that there was none.
    #[serde(default)]
    pub ended: bool,
}

/// What the template said, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Learned {
    /// When it was learned.
    pub at: Stamp,
    /// The facts.
    pub facts: Facts,
    /// Milliseconds from then until the condition stops waiting; none: it is not known since when it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_ms: Option<i64>,
}

/// The looks after the acknowledgement.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmation {
    /// How many there were that showed nothing final.
    #[serde(default)]
    pub looks: u32,
    /// What they have shown; none: not yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
}

/// What became of an acknowledged signal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum Outcome {
    /// Counted, or the condition has what it waited for.
    Counted {
        /// What was seen.
        why: String,
    },
    /// The condition has what it waited for, without it.
    NotNeeded {
        /// What was seen.
        why: String,
    },
    /// The condition or the stack failed.
    Failed {
        /// What was seen.
        why: String,
    },
    /// The stack is rolled back or deleted.
    RolledBack {
        /// What was seen.
        why: String,
    },
    /// It cannot be known.
    Unknown {
        /// Why not.
        why: String,
    },
}

impl Outcome {
    /// A few words for status, history and metrics.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Counted { .. } => "counted",
            Self::NotNeeded { .. } => "not needed",
            Self::Failed { .. } => "failed",
            Self::RolledBack { .. } => "rolled back",
            Self::Unknown { .. } => "unknown",
        }
    }

    /// What was seen, or why nothing was.
    pub fn why(&self) -> &str {
        match self {
            Self::Counted { why } | Self::NotNeeded { why } | Self::Failed { why } | Self::RolledBack { why } | Self::Unknown { why } => {
                why
            }
        }
    }
}

impl Round {
    /// The first round of `signal`, begun at `started`.
    pub fn first(signal: Name, resource: &str, target: Option<Target>, started: Stamp) -> Self {
        Self {
            signal,
            name: super::FIRST_ROUND.to_owned(),
            resource: resource.to_owned(),
            target,
            started,
            extended: None,
            intent: None,
            series: 0,
            settled: None,
            learned: None,
            confirmation: None,
            operation: None,
        }
    }
}

/// A verdict made durable. Never altered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// What is said.
    pub status: SignalStatus,
    /// Under which id.
    pub unique_id: UniqueId,
    /// Why, for people.
    pub reason: String,
    /// When it was decided.
    pub decided: Stamp,
}

/// How a round ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "how", rename_all = "kebab-case")]
pub enum Settlement {
    /// ROS acknowledged the intent.
    Acknowledged {
        /// The receipt.
        request_id: String,
        /// When, wall time in milliseconds since 1970.
        at_ms: i64,
    },
    /// Nobody waits for it.
    NotNeeded {
        /// What the stack said.
        why: String,
        /// When.
        at_ms: i64,
    },
    /// `signal cancel`.
    Cancelled {
        /// When.
        at_ms: i64,
    },
    /// Its target left the plan after a definite rejection.
    Superseded {
        /// When.
        at_ms: i64,
    },
    /// `give_up` passed.
    GaveUp {
        /// When.
        at_ms: i64,
    },
    /// The deadline passed with `on_deadline = "none"`.
    Silent {
        /// When.
        at_ms: i64,
    },
}

impl Settlement {
    /// A few words for status and history.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Acknowledged { .. } => "acknowledged",
            Self::NotNeeded { .. } => "not needed",
            Self::Cancelled { .. } => "cancelled",
            Self::Superseded { .. } => "superseded",
            Self::GaveUp { .. } => "given up",
            Self::Silent { .. } => "silent",
        }
    }
}

/// One line of history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// Wall time in milliseconds since 1970.
    pub at_ms: i64,
    /// The signal concerned, if one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<Name>,
    /// What happened.
    pub what: String,
}
