//! Following the stack: looks by time and by hint, and what follows from what they show.

use super::status::StackView;
use super::{Core, Effect};
use crate::events::{Arrival, Taken};
use crate::stack::sight::Sight;

impl Core {
    /// An event has come.
    pub(super) fn arrived(&mut self, arrival: u64, _what: &Arrival) {
        self.effects.push(Effect::Taken { arrival, taken: Taken::CannotLook });
    }

    /// A look came back.
    pub(super) fn watched(&mut self, _watch: u64, _sight: Sight) {}

    /// The stacks that are followed, for people.
    pub(crate) fn stack_views(&self) -> Vec<StackView> {
        Vec::new()
    }
}
