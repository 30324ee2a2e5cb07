//! Round, UniqueId, intent, receipt, and what an answer of ROS means for the next attempt. Pure.

mod answer;
mod ids;
mod round;

pub use answer::{Answer, Beat, Class, Refusal};
pub use ids::{ClientToken, FIRST_ROUND, IdError, NAMESPACE, UniqueId, client_token, expand, unique_id, with_name};
pub use round::{
    Boot, Confirmation, HISTORY_LIMIT, HistoryEntry, Intent, Learned, LedgerDocument, MetadataRecord, Outcome, Place, Round, Settlement,
    StackOperation, StackRecord, Target, remember,
};

use crate::plan::Transport;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// `Status` of SignalResource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum SignalStatus {
    /// The host works.
    Success,
    /// The host does not work; final at ROS.
    Failure,
    /// The host works with reservations.
    Warning,
}

impl SignalStatus {
    /// As ROS wants it written.
    pub fn word(self) -> &'static str {
        match self {
            Self::Success => "SUCCESS",
            Self::Failure => "FAILURE",
            Self::Warning => "WARNING",
        }
    }
}

impl fmt::Display for SignalStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// One request, complete but for what belongs to a single attempt (nonce, date, signature).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignalRequest {
    /// Which resource of which stack.
    pub target: Target,
    /// How it travels.
    pub transport: Transport,
    /// What is said.
    pub status: SignalStatus,
    /// Lives as long as the intent.
    pub unique_id: UniqueId,
    /// Lives until a definite rejection.
    pub client_token: ClientToken,
    /// Why, for transports that have a place for it.
    pub reason: String,
    /// The failure report, for transports that have a place for it.
    pub report: Option<Arc<str>>,
}
