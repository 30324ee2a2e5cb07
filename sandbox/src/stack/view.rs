//! What can be read back of a stack: for `GET /stacks/ID`, for tests, and as a timeline while it happens.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::status::Status;
use super::{ResourceKind, Signal, SignalStatus, Stack};
use crate::clock::rfc3339;

/// A stack as it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StackView {
    /// Stack id.
    pub id: String,
    /// Stack name.
    pub name: String,
    /// Region of the stack.
    pub region: String,
    /// Status of the stack.
    pub status: Status,
    /// Why it has that status.
    pub status_reason: String,
    /// Number of the creation (1) or update (2, ...) under way or last done.
    pub operation: u32,
    /// Effective signals of all handles, see [`SignalView::effective`].
    pub effective_signals: u32,
    /// Resources by logical id.
    pub resources: BTreeMap<String, ResourceView>,
}

/// A resource as it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ResourceView {
    /// `handle`, `condition`, or the resource type of anything else.
    #[serde(rename = "type")]
    pub kind: String,
    /// Status of the resource.
    pub status: Status,
    /// Why it has that status.
    pub status_reason: String,
    /// Of a condition: new signals needed in this operation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub needed: Option<u32>,
    /// Of a handle: every signal it holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signals: Vec<SignalView>,
}

/// One signal: all that arrived under one UniqueId.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignalView {
    /// The UniqueId.
    pub unique_id: String,
    /// The last status it was sent with.
    pub status: SignalStatus,
    /// Calls taken for it, repeats under new ClientTokens included, replays under the same ClientToken not.
    pub received: u32,
    /// Calls that changed something while somebody waited: 1, and one more for each change of its status.
    pub effective: u32,
    /// It came only when nobody waited, and lies with the handle where an update may count it.
    pub late: bool,
    /// Creation (1) or update in which it first arrived.
    pub operation: u32,
    /// When it first arrived (RFC 3339).
    pub first_at: String,
    /// When it last arrived (RFC 3339).
    pub last_at: String,
    /// `reason` of the last call, where it came through the URL of the handle.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// `data` of the last call, where it came through the URL of the handle.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub data: String,
}

/// One thing that happened to a stack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimelineEvent {
    /// When (RFC 3339, on the sandbox's clock).
    pub at: String,
    /// Which stack.
    pub stack_id: String,
    /// Which resource; none: the stack itself.
    pub resource: Option<String>,
    /// Its status from here on.
    pub status: Status,
    /// Why.
    pub reason: String,
    /// The signal, when one arrived.
    pub signal: Option<SignalSeen>,
}

/// A signal as it was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignalSeen {
    /// The UniqueId.
    pub unique_id: String,
    /// Its status.
    pub status: SignalStatus,
    /// Calls taken under this UniqueId so far.
    pub received: u32,
    /// Calls of them that had an effect.
    pub effective: u32,
    /// Whether somebody waited for it.
    pub waited_for: bool,
}

impl Stack {
    /// The stack as it stands.
    pub(crate) fn view(&self) -> StackView {
        let resources: BTreeMap<String, ResourceView> = self
            .resources
            .iter()
            .map(|(name, resource)| {
                let (kind, needed, signals) = match &resource.kind {
                    ResourceKind::Handle(handle) => ("handle", None, handle.signals.iter().map(signal_view).collect()),
                    ResourceKind::Condition(condition) => ("condition", Some(condition.needed()), Vec::new()),
                    ResourceKind::Other { resource_type } => (resource_type.as_str(), None, Vec::new()),
                };
                let view = ResourceView {
                    kind: kind.to_owned(),
                    status: resource.status,
                    status_reason: resource.reason.clone(),
                    needed,
                    signals,
                };
                (name.clone(), view)
            })
            .collect();
        let effective = resources.values().flat_map(|resource| &resource.signals).map(|signal| signal.effective);
        StackView {
            id: self.id.clone(),
            name: self.name.clone(),
            region: self.region.clone(),
            status: self.status,
            status_reason: self.reason.clone(),
            operation: self.operation,
            effective_signals: effective.fold(0, u32::saturating_add),
            resources,
        }
    }

    /// Signals of the latest creation or update at the handle of a condition, with their ids.
    pub(crate) fn signals_of(&self, condition: &super::Condition) -> Vec<(&String, &Signal)> {
        let Some(handle) = self.handle(&condition.handle) else {
            return Vec::new();
        };
        handle.signals.iter().filter(|(_, signal)| signal.operation == self.operation).collect()
    }

    /// How many signals a condition has, and how many it needs.
    pub(crate) fn progress_of(&self, condition: &super::Condition) -> (usize, u32) {
        (self.signals_of(condition).len(), condition.needed())
    }
}

fn signal_view((unique_id, signal): (&String, &Signal)) -> SignalView {
    SignalView {
        unique_id: unique_id.clone(),
        status: signal.kind,
        received: signal.received,
        effective: signal.effective,
        late: signal.late(),
        operation: signal.operation,
        first_at: rfc3339(signal.first_at),
        last_at: rfc3339(signal.last_at),
        reason: signal.reason.clone(),
        data: signal.data.clone(),
    }
}
