//! What a check is: observations, thresholds, start period and the state they commit to. Pure.

mod state;

pub use state::{CheckState, Seen, Transition};

use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// What one observation, or a committed state, says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// As it should be.
    Passing,
    /// Works, but somebody should look.
    Warning,
    /// Does not work.
    Critical,
    /// The runner itself could not ask: the agent's own trouble, which counts like critical.
    Unknown,
}

impl Health {
    /// Whether a required check in this state is satisfied.
    pub fn is_good(self) -> bool {
        matches!(self, Self::Passing | Self::Warning)
    }

    /// The word of the product.
    pub fn word(self) -> &'static str {
        match self {
            Self::Passing => "passing",
            Self::Warning => "warning",
            Self::Critical => "critical",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Longest `message` of an observation, in bytes.
pub const MESSAGE_LIMIT: usize = 512;
/// Longest `output` of an observation, in bytes: the tail is kept.
pub const OUTPUT_LIMIT: usize = 4096;

/// The result of one run of a probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Observation {
    /// What it says.
    pub health: Health,
    /// It will never pass.
    pub terminal: bool,
    /// One line that a person can act on, such as `connection refused by 127.0.0.1:8080`; at most [`MESSAGE_LIMIT`].
    pub message: String,
    /// Tail of what a child or server said, control characters escaped; at most [`OUTPUT_LIMIT`].
    pub output: String,
    /// How long the run took, queueing not included.
    pub took: Duration,
}

impl Observation {
    /// An observation that is not terminal, with `message` cut to its limit.
    pub fn new(health: Health, message: impl Into<String>) -> Self {
        Self { health, terminal: false, message: clip(message.into(), MESSAGE_LIMIT), output: String::new(), took: Duration::ZERO }
    }
}

/// `text` cut to at most `limit` bytes at a character boundary.
pub fn clip(mut text: String, limit: usize) -> String {
    if text.len() > limit {
        let mut end = limit;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
    }
    text
}
