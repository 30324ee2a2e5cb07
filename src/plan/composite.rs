//! `type = "composite"`: a check over other checks.

use super::Name;
use std::fmt;

/// Fed by the committed states of other checks. Those are judged through it: a signal that has the composite does not judge them by
/// themselves, unless it names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Composite {
    /// How many must be satisfied.
    pub rule: Rule,
    /// The members, one at least, each once.
    pub of: Vec<Name>,
}

/// How many members of a composite must be satisfied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// `all_of`.
    All,
    /// `any_of`.
    Any,
    /// `at_least = { count, of }`: from 1 to the number of members.
    AtLeast(usize),
}

impl Composite {
    /// How many members must be satisfied.
    pub fn needed(&self) -> usize {
        match self.rule {
            Rule::All => self.of.len(),
            Rule::Any => 1,
            Rule::AtLeast(count) => count,
        }
    }
}

impl fmt::Display for Composite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.needed(), self.of.join(", "))
    }
}
