//! What a check is: observations, thresholds, start period and the state they commit to. Pure.

pub mod composite;
mod range;
mod state;

pub use range::{Range, RangeError, Thresholds};
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

/// Most readings of an observation.
pub const READINGS_LIMIT: usize = 64;
/// Longest label or unit of a reading, in bytes.
pub const LABEL_LIMIT: usize = 128;

/// A number that a run has read: perfdata of a plug-in, or what a numeric check measures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// What it is, such as `/ free` or `load1`; at most [`LABEL_LIMIT`].
    pub label: String,
    /// The number; never NaN or infinite.
    pub value: f64,
    /// Its unit: empty, `%`, `s`, `B`, `c` (a counter), or what a plug-in says; at most [`LABEL_LIMIT`].
    pub unit: String,
}

/// The result of one run of a probe.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Observation {
    /// What it says.
    pub health: Health,
    /// It will never pass.
    pub terminal: bool,
    /// One line that a person can act on, such as `connection refused by 127.0.0.1:8080`; at most [`MESSAGE_LIMIT`].
    pub message: String,
    /// Tail of what a child or server said, control characters escaped; at most [`OUTPUT_LIMIT`].
    pub output: String,
    /// What it has read in numbers, for `/metrics`; at most [`READINGS_LIMIT`].
    pub readings: Vec<Reading>,
    /// How long the run took, queueing not included.
    pub took: Duration,
}

impl Observation {
    /// An observation that is not terminal, with `message` cut to its limit.
    pub fn new(health: Health, message: impl Into<String>) -> Self {
        let message = clip(message.into(), MESSAGE_LIMIT);
        Self { health, terminal: false, message, output: String::new(), readings: Vec::new(), took: Duration::ZERO }
    }

    /// The same, but saying that the check will never pass.
    pub fn terminal(self) -> Self {
        Self { terminal: true, ..self }
    }

    /// The same with one more reading, unless there are too many or it is no number.
    pub fn reading(mut self, label: impl Into<String>, value: f64, unit: impl Into<String>) -> Self {
        if value.is_finite() && self.readings.len() < READINGS_LIMIT {
            let (label, unit) = (clip(label.into(), LABEL_LIMIT), clip(unit.into(), LABEL_LIMIT));
            self.readings.push(Reading { label, value, unit });
        }
        self
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
