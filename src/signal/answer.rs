//! What came of one attempt to reach ROS, as the core needs to know it. The client in `ros/` makes these.

use std::time::Duration;

/// The outcome of one SignalResource attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// ROS acknowledged it: HTTP 200 with a RequestId.
    Accepted {
        /// The receipt.
        request_id: String,
    },
    /// Anything else.
    Refused(Refusal),
}

/// The outcome of one heartbeat for a lifecycle hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Beat {
    /// The hook waits as long as it was asked to, from now on.
    Recorded,
    /// No lifecycle action holds this instance yet.
    NotYet(String),
    /// The lifecycle action is over: nothing is left to prolong.
    Over(String),
    /// ESS takes no more heartbeats for this action.
    Exhausted(String),
    /// Anything else.
    Failed(Refusal),
}

/// Why an attempt was not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What to do about it.
    pub class: Class,
    /// ROS answered and certainly did not take the signal: a new ClientToken is due. False while the signal may have arrived.
    pub definite: bool,
    /// ROS's `Code`, if there was one.
    pub code: Option<String>,
    /// What happened, for people; no secret in it.
    pub message: String,
    /// RequestId of the refusal, for Alibaba Cloud's support.
    pub request_id: Option<String>,
    /// What the server asked us to wait (`x-acs-retry-after`, `Retry-After`), already clamped.
    pub retry_after: Option<Duration>,
    /// What a person can do, such as the RAM action and ARN to grant.
    pub hint: Option<String>,
}

impl Refusal {
    /// What happened and what to do about it, in one line.
    pub(crate) fn explained(self) -> String {
        self.hint.map_or(self.message.clone(), |hint| format!("{}; {hint}", self.message))
    }
}

/// How the next attempt is scheduled. The names follow the actions of the error table in `src/rpc/error-codes.json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Network trouble, 5xx: back off exponentially.
    Transient,
    /// Throttled: back off longer.
    Throttled,
    /// The resource or the stack is not there yet: try again every few seconds.
    TooEarly,
    /// The client has mended the cause (fresh nonce, corrected clock, refreshed credentials, other host): try at once, a few times.
    Immediate,
    /// No credentials yet, or none that work: back off, loudly.
    Credentials,
    /// RAM denies: slowly and loudly, because roles propagate.
    Permission,
    /// The table calls it permanent: in a daemon a slow and loud retry.
    Permanent,
}
