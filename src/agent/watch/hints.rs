//! Events: each a reason to look soon, and no more than that.

use super::{Core, Phase, Watched};
use crate::agent::Effect;
use crate::clock::rfc3339;
use crate::events::{Arrival, Line, Taken, Trust};
use crate::plan::Trigger;
use ring::digest::{SHA256, digest};
use std::collections::{BTreeSet, VecDeque};

/// Events that are remembered, to know repeated ones.
const REMEMBERED: usize = 4096;

/// Events that wait for a look to be handed to hooks, for each stack. One more makes its look as ever, but no hook runs for it, which is said.
const WAITING: usize = 64;

/// Events that came before, by a digest of source and id. An event that anybody could have sent does not stand for one of a better trust.
#[derive(Default)]
pub(super) struct Repeats {
    known: BTreeSet<[u8; 16]>,
    order: VecDeque<[u8; 16]>,
}

impl Repeats {
    /// True if it is new.
    fn note(&mut self, arrival: &Arrival) -> bool {
        let event = &arrival.event;
        let rank = if arrival.trust < Trust::Guarded { "unsigned" } else { "guarded" };
        let text = format!("{rank}\n{}\n{}\n{}", event.source.len(), event.source, event.id);
        let mut key = [0; 16];
        for (to, from) in key.iter_mut().zip(digest(&SHA256, text.as_bytes()).as_ref()) {
            *to = *from;
        }
        if !self.known.insert(key) {
            return false;
        }
        self.order.push_back(key);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
}

impl Core {
    /// An event has come.
    pub(in crate::agent) fn arrived(&mut self, arrival: u64, what: &Arrival) {
        let taken = self.take(what);
        let event = &what.event;
        let kind = if event.kind.is_empty() { "an event without a type" } else { &event.kind };
        let text = match taken {
            Taken::Look => format!("{kind}: the stack is looked at soon"),
            Taken::Repeated => format!("{kind}: came before"),
            Taken::OtherStack => format!("{kind}: about a stack that nobody here asks about"),
            Taken::CannotLook => format!("{kind}: no stack can be looked at"),
        };
        self.effects.push(Effect::Line(Box::new(Line {
            at: rfc3339(self.turn.now.wall_ms),
            what: "event".to_owned(),
            text,
            through: Some(what.through.to_string()),
            event: Some(event.clone()),
            taken: Some(taken),
            stack_id: event.stack_id.clone(),
            status: None,
            hook: None,
        })));
        self.effects.push(Effect::Taken { arrival, taken });
    }

    fn take(&mut self, what: &Arrival) -> Taken {
        if self.stopping || self.watching.stacks.is_empty() {
            self.watching.early |= self.watching.stacks.is_empty() && self.plan.ros.poll;
            return Taken::CannotLook;
        }
        let event = &what.event;
        // An event that does not say which stack it means may mean any.
        let means = |watched: &Watched| match (&event.stack_id, &event.stack_name, watched.seen.as_ref()) {
            (Some(id), _, _) => *id == watched.target.stack_id,
            (None, Some(name), Some(seen)) => seen.facts.name.as_ref().is_none_or(|known| known == name),
            _ => true,
        };
        let meant: Vec<_> = self.watching.stacks.iter().enumerate().filter(|(_, watched)| means(watched)).map(|(index, _)| index).collect();
        if meant.is_empty() {
            return Taken::OtherStack;
        }
        let can_look = |watched: &Watched| watched.phase != Phase::Deleted && watched.denied.is_none();
        let able: Vec<_> = meant.into_iter().filter(|index| self.watching.stacks.get(*index).is_some_and(can_look)).collect();
        if able.is_empty() {
            return Taken::CannotLook;
        }
        if !self.watching.repeats.note(what) {
            return Taken::Repeated;
        }
        let for_hooks = what.trust >= Trust::Guarded && self.has_event_hooks();
        for index in able {
            self.hint(index);
            if for_hooks {
                self.keep_for_hooks(index, what);
            }
        }
        Taken::Look
    }

    fn has_event_hooks(&self) -> bool {
        self.plan.hooks.iter().any(|hook| hook.on.iter().any(|trigger| matches!(trigger, Trigger::Event(_))))
    }

    /// Hooks are run for an event once the stack was looked at since.
    fn keep_for_hooks(&mut self, index: usize, what: &Arrival) {
        let Some(watched) = self.watching.stacks.get_mut(index) else { return };
        if watched.waiting.len() < WAITING {
            return watched.waiting.push(what.clone());
        }
        let target = watched.target.clone();
        self.line("hook", &target, None, format!("{}: too many events at once, no hook is run for this one", what.event.kind));
    }
}
