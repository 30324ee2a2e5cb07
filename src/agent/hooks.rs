//! Hooks: what is to be run for what happened, in order, each once.

use super::Core;
use super::status::HookView;
use crate::hooks::{HookEnd, HookRecord, Occasion};

impl Core {
    /// A hook has ended.
    pub(super) fn hook_ended(&mut self, _run: u64, _end: HookEnd) {}

    /// The hooks of the plan, for people.
    pub(super) fn hook_views(&self) -> Vec<HookView> {
        Vec::new()
    }

    /// Something happened that hooks may be run for.
    pub(super) fn happened(&mut self, _occasion: Occasion) {}

    /// The hook with `wait` that the checks of a new round for this stack wait for.
    pub(super) fn is_held_up(&self, _stack_id: &str) -> Option<&HookRecord> {
        None
    }
}
