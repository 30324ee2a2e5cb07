//! What a look at the stack shows that follows it: the stack itself, and, where it has moved, some of its resources.

use crate::hooks::StackFacts;
use crate::signal::Class;
use std::time::Duration;

/// What a stack showed when it was looked at before: while it shows the same, its resources are not read again.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Mark {
    /// `Status`.
    pub status: String,
    /// `UpdateTime`, else `CreateTime`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated: Option<String>,
}

/// What a look has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sight {
    /// The stack.
    Seen(Box<Seen>),
    /// There is no such stack at this host.
    Missing {
        /// The host that says so, as in its URL.
        host: String,
    },
    /// RAM does not permit looking.
    Denied(String),
    /// The look itself failed.
    Failed {
        /// Why, for a person.
        why: String,
        /// What kind of failure, for the pace of what comes next.
        class: Class,
        /// How long ROS asks us to wait before anything is asked again, if it asks.
        retry_after: Option<Duration>,
    },
}

/// A stack that was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The stack.
    pub facts: StackFacts,
    /// The host that served, as in its URL: only there can the stack be missed.
    pub host: String,
    /// Whether `eventbridge` is among its `NotificationURLs`; none: the answer does not say.
    pub notifies_eventbridge: Option<bool>,
    /// The resources that were asked for and read; empty where nothing has moved.
    pub resources: Vec<SeenResource>,
    /// Why resources were not read, where RAM does not permit it: with what to grant.
    pub resources_denied: Option<String>,
}

/// A resource that was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeenResource {
    /// Logical ID.
    pub logical_id: String,
    /// `Status`; none: the stack has no such resource (yet, or any more).
    pub status: Option<String>,
    /// `UpdateTime`, else `CreateTime`.
    pub updated: Option<String>,
    /// `Metadata` as JSON text, where it has any; none too where it is longer than is read.
    pub metadata: Option<String>,
    /// SHA-256 of it in hexadecimal digits.
    pub metadata_digest: Option<String>,
}
