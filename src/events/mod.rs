//! Events: hints that the stack has changed. **An event is a hint to look, never the truth**: the stack that is then looked at decides,
//! so forged, lost, repeated and reordered events do no harm.
//!
//! ```text
//! http, callback, queue, spool --> envelope --> Arrival --> core: look soon --> Taken --> the source answers, deletes, removes
//! ```
//!
//! Each source is a task of the driver. It reads what comes, bounded before it is parsed, hands an [`Arrival`] through its [`Inlet`], and
//! only when the core has taken the hint does it answer, delete the message, or remove the file. A hint that is lost with a crash is made
//! good by the first look of the next start.

pub(crate) mod certificate;
pub mod envelope;
mod feed;
pub mod http;
mod inlet;
pub mod queue;
pub mod signature;
pub mod spool;
mod surroundings;

pub use feed::{FOLLOWERS, Feed, Following};
pub use inlet::{Delivered, Full, Health, Inlet, QUEUE, REFUSALS, SourceView};
pub use surroundings::{Around, Surroundings};

use crate::plan::Name;
use serde::{Deserialize, Serialize};

/// What one event says, as far as it is used. Nothing of it is believed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// `id`, unique together with `source`; where there is none, SHA-256 of the body.
    pub id: String,
    /// `source`, such as `acs.ros`; empty where there is none.
    pub source: String,
    /// `type`, such as `ros:StackStateChange:UpdateComplete`; empty where there is none.
    pub kind: String,
    /// `data.StackId`, else that of `subject`.
    pub stack_id: Option<String>,
    /// `data.StackName`.
    pub stack_name: Option<String>,
    /// `data.Status`, else what the type says, such as `UPDATE_COMPLETE`.
    pub status: Option<String>,
    /// `time`, as it was written.
    pub time: Option<String>,
    /// Root of this host has sent it, to try things out. Nothing in a body says so: it is [`Trust::Test`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub test: bool,
}

/// How far it is known who sent an event. Ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Trust {
    /// Anybody who knows the address: no more than a reason to look.
    Unsigned,
    /// It came through a queue or a directory that not everybody may write.
    Guarded,
    /// EventBridge has signed it.
    Signed,
    /// Root of this host has sent it, to try things out: treated as one that EventBridge has signed.
    Test,
}

/// An event that has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Through which source.
    pub through: Name,
    /// How far it is known who sent it.
    pub trust: Trust,
    /// What it says.
    pub event: Event,
}

/// What the core made of an event. In each case the source is done with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Taken {
    /// The stack is looked at soon.
    Look,
    /// It came before.
    Repeated,
    /// It is about a stack that nobody here asks about.
    OtherStack,
    /// The stack cannot be looked at: polling is off, denied, or the stack is not known yet, or is no more.
    CannotLook,
}

/// One line of what `events` follows. Fields are only ever added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// When, RFC 3339.
    pub at: String,
    /// What happened: `event`, `refused`, `look`, `stack`, `round`, `hook`.
    pub what: String,
    /// In words.
    pub text: String,
    /// Through which source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub through: Option<String>,
    /// The event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<Event>,
    /// What was made of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken: Option<Taken>,
    /// The stack concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stack_id: Option<String>,
    /// Its status, as it was looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// The hook concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hook: Option<String>,
}
