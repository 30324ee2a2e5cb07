//! What a look has shown, and what follows: transitions and changed metadata for hooks, and news for rounds. Each is handled once: what was
//! handled is written with what came of it.

use super::pace::MISSING_MS;
use super::{Core, Phase};
use crate::agent::NoteLevel;
use crate::hooks::{Occasion, StackFacts};
use crate::plan::Transition;
use crate::signal::{Class, MetadataRecord, Settlement, Target};
use crate::stack::sight::{Mark, Seen, SeenResource, Sight};
use crate::stack::transition::{self, Doing};
use std::time::Duration;

/// Texts of metadata that are kept in the ledger, in bytes of it together: it may not be larger than [`crate::ledger::SIZE_LIMIT`]. Of what is
/// more only the digest is kept.
const METADATA_LIMIT: usize = 192 * 1024;

impl Core {
    /// A look came back.
    pub(in crate::agent) fn watched(&mut self, watch: u64, sight: Sight) {
        let Some(index) = self.watching.stacks.iter().position(|watched| watched.phase == Phase::Looking(watch)) else { return };
        let at_ms = self.turn.now.wall_ms;
        if let Some(watched) = self.watching.stacks.get_mut(index) {
            watched.looked_at_ms = Some(at_ms);
            watched.looks.0 += 1;
            watched.looks.1 += u64::from(!matches!(sight, Sight::Seen(_)));
            if !matches!(sight, Sight::Seen(_)) {
                // What was asked for was not read: the mark of an earlier look does not stand for it.
                watched.read.clear();
            }
        }
        self.judge_pressure(match &sight {
            Sight::Failed { class, .. } => Some(*class),
            _ => None,
        });
        match sight {
            Sight::Seen(seen) => self.seen(index, *seen),
            Sight::Missing { host } => self.missed(index, &host),
            Sight::Denied(why) => self.denied(index, &why),
            Sight::Failed { why, class, retry_after } => self.look_at_stack_failed(index, &why, class, retry_after),
        }
    }

    fn seen(&mut self, index: usize, mut seen: Seen) {
        let resources = std::mem::take(&mut seen.resources);
        let Some(watched) = self.watching.stacks.get_mut(index) else { return };
        let target = watched.target.clone();
        let asked_for = std::mem::take(&mut watched.asked_for);
        let for_hint = std::mem::take(&mut watched.for_hint);
        let recovered = watched.denied.take().is_some() || watched.trouble.take().is_some();
        (watched.failures, watched.missing, watched.schedules) = (0, false, Default::default());
        let denied_resources = seen.resources_denied.clone().filter(|_| !std::mem::replace(&mut watched.told_resources, true));
        if seen.resources_denied.is_none() && !resources.is_empty() {
            watched.told_resources = false;
        }
        if seen.resources_denied.is_some() {
            // What was not read is asked for again.
            watched.read.clear();
        }
        watched.seen = Some(seen.clone());
        if recovered {
            self.looks_denied_until = None;
            self.look_denied_told = false;
            let text = format!("the stack {} can be looked at again", seen.facts.stack_id);
            self.note_stack(&target.stack_id, NoteLevel::Info, text);
        }
        if let Some(why) = denied_resources {
            let text = "resources of the stack may not be read, so updates are not signalled again and their Metadata is not followed";
            self.note_stack(&target.stack_id, NoteLevel::Warn, format!("{text}: {why}"));
        }
        let was = self.note_transition(index, &target, &seen);
        if seen.facts.status == "DELETE_COMPLETE" {
            self.deleted(index, seen.facts, was != Moved::Not);
        } else {
            self.follow_rounds(&target, &seen.facts.status, &resources, was != Moved::Not);
            self.follow_metadata(&target, &seen.facts, resources);
            self.plan_look(index);
        }
        if was != Moved::Not || for_hint || !asked_for.is_empty() {
            let text = match was {
                Moved::First => "the stack was looked at for the first time",
                Moved::On => "the stack has moved",
                Moved::Not => "the stack was looked at: nothing has changed",
            };
            let Some(facts) = self.facts_of(index) else { return };
            self.line("look", &target, Some(&facts.status), format!("{text}: {}", facts.status));
            self.hand_to_hooks(&target, asked_for, &facts);
        }
    }

    fn facts_of(&self, index: usize) -> Option<StackFacts> {
        Some(self.watching.stacks.get(index)?.seen.as_ref()?.facts.clone())
    }

    /// Handles what has become of the stack since it was last looked at, once. What the first look ever shows is the state from which
    /// others are told apart.
    fn note_transition(&mut self, index: usize, target: &Target, seen: &Seen) -> Moved {
        let now = self.now();
        let facts = &seen.facts;
        let mark = Mark { status: facts.status.clone(), updated: facts.updated.clone() };
        let record = self.record_mut(target);
        let new_host = record.host.as_ref() != Some(&seen.host) || record.missing.take().is_some();
        record.host = Some(seen.host.clone());
        let previous = record.handled.clone();
        if previous.as_ref() == Some(&mark) {
            self.durability.dirty |= new_host;
            return Moved::Not;
        }
        record.handled = Some(mark);
        self.durability.dirty = true;
        let name = facts.name.as_deref().unwrap_or(&facts.stack_id);
        let Some(previous) = previous else {
            self.remember(None, format!("stack {name} is {}", facts.status));
            return Moved::First;
        };
        if let Some(watched) = self.watching.stacks.get_mut(index) {
            watched.moved_at = now;
        }
        if previous.status != facts.status {
            let text = format!("stack {name}: {} -> {}", previous.status, facts.status);
            self.note_stack(&target.stack_id, NoteLevel::Info, &text);
            self.remember(None, text);
        }
        // Deletion is told where it is concluded.
        if let Some(transition) = transition::transition(&facts.status).filter(|transition| *transition != Transition::Deleted) {
            let stack = facts.clone();
            self.line("stack", target, Some(&facts.status), format!("{}: {} -> {}", transition.word(), previous.status, facts.status));
            self.happened(Occasion::Stack { transition, stack, previous: Some(previous.status) });
        }
        Moved::On
    }

    /// A look before a send has shown the stack, perhaps before the first one that follows it: then what comes later is told apart from this.
    /// A host that is quick has its stack complete before that first look, and `stack.created` would never be told.
    pub(in crate::agent) fn shown_before_a_send(&mut self, target: &Target, shown: Mark) {
        let followed = self.watching.stacks.iter().any(|watched| watched.is(target));
        if !followed || shown.status.starts_with("DELETE_") || self.record_of(target).is_some_and(|record| record.handled.is_some()) {
            return;
        }
        self.record_mut(target).handled = Some(shown);
        self.durability.dirty = true;
    }

    /// The stack is no more: said once, and it is not looked at again.
    fn deleted(&mut self, index: usize, facts: StackFacts, tell: bool) {
        let Some(watched) = self.watching.stacks.get_mut(index) else { return };
        watched.phase = Phase::Deleted;
        let (target, name) = (watched.target.clone(), watched.name().to_owned());
        let before = watched.seen.as_ref().map(|seen| seen.facts.status.clone()).filter(|status| *status != facts.status);
        let record = self.record_mut(&target);
        let known = std::mem::replace(&mut record.deleted, true);
        self.durability.dirty = true;
        self.settle_stack(&target, "the stack was deleted");
        if known && !tell {
            return;
        }
        self.note_stack(&target.stack_id, NoteLevel::Info, format!("stack {name} was deleted: it is not looked at any more"));
        self.remember(None, format!("stack {name} was deleted"));
        self.line("stack", &target, Some(&facts.status), Transition::Deleted.word().to_owned());
        self.happened(Occasion::Stack { transition: Transition::Deleted, stack: facts, previous: before });
    }

    /// Not found: too early, or at the wrong host, unless it was seen at this one. Then a minute is waited for, because a moment of confusion is
    /// no deletion.
    fn missed(&mut self, index: usize, host: &str) {
        let now = self.now();
        self.give_back_events(index);
        let Some(watched) = self.watching.stacks.get_mut(index) else { return };
        let target = watched.target.clone();
        watched.trouble = Some(format!("{host} knows no such stack"));
        watched.missing = true;
        let record = self.record_of(&target).cloned();
        let Some(record) = record.filter(|record| record.host.as_deref() == Some(host)) else {
            // No more often than a stack that is there.
            return self.plan_look(index);
        };
        let Some(since) = record.missing.as_ref().map(|since| since.on_boot_clock(&self.boot_id, self.turn.now)) else {
            self.record_mut(&target).missing = Some(self.turn.now.stamp(&self.boot_id));
            self.durability.dirty = true;
            let text = "the stack was not found where it was seen: one more look tells whether it was deleted";
            self.line("look", &target, None, text.to_owned());
            return self.plan_look_after_missing(index, now);
        };
        if now.saturating_sub(since) < MISSING_MS {
            return self.plan_look_after_missing(index, since);
        }
        let mut facts = self.facts_of(index).unwrap_or_else(|| StackFacts {
            region: target.region.clone(),
            stack_id: target.stack_id.clone(),
            updated: record.handled.as_ref().and_then(|mark| mark.updated.clone()),
            ..StackFacts::default()
        });
        "DELETE_COMPLETE".clone_into(&mut facts.status);
        facts.reason = None;
        self.deleted(index, facts.clone(), true);
        // No look will follow for which they could wait.
        let waiting = self.watching.stacks.get_mut(index).map(|watched| std::mem::take(&mut watched.waiting)).unwrap_or_default();
        self.hand_to_hooks(&target, waiting, &facts);
    }

    fn denied(&mut self, index: usize, why: &str) {
        self.give_back_events(index);
        self.tell_looks_are_denied(why);
        let Some(watched) = self.watching.stacks.get_mut(index) else { return };
        let target = watched.target.clone();
        let news = watched.denied.replace(why.to_owned()).is_none();
        if news {
            self.line("look", &target, None, format!("the stack may not be looked at: {why}"));
        }
        self.plan_look_after_denial(index);
    }

    fn look_at_stack_failed(&mut self, index: usize, why: &str, class: Class, retry_after: Option<Duration>) {
        self.give_back_events(index);
        let Some(watched) = self.watching.stacks.get_mut(index) else { return };
        let (target, name) = (watched.target.clone(), watched.name().to_owned());
        let news = watched.trouble.replace(why.to_owned()).is_none();
        let text = format!("stack {name} could not be looked at: {why}");
        let tell = self.plan_look_after_failure(index, class, retry_after);
        self.note_stack(&target.stack_id, if tell { NoteLevel::Warn } else { NoteLevel::Debug }, &text);
        if news || tell {
            self.line("look", &target, None, text);
        }
    }

    /// The look for which they waited has not worked: they wait for the next one.
    fn give_back_events(&mut self, index: usize) {
        if let Some(watched) = self.watching.stacks.get_mut(index) {
            let mut events = std::mem::take(&mut watched.asked_for);
            events.append(&mut watched.waiting);
            events.truncate(64);
            watched.waiting = events;
        }
    }

    /// Hooks are run for an event only where the stack does not contradict it.
    fn hand_to_hooks(&mut self, target: &Target, events: Vec<crate::events::Arrival>, stack: &StackFacts) {
        for arrival in events {
            let event = arrival.event;
            match event.status.as_ref().filter(|status| **status != stack.status) {
                Some(said) => {
                    let text = format!("{}: no hook is run, for it says {said} and the stack is {}", event.kind, stack.status);
                    self.line("hook", target, Some(&stack.status), text);
                }
                None => self.happened(Occasion::Event { event, stack: stack.clone() }),
            }
        }
    }

    /// Compares the `Metadata` of what was read with what hooks know of it.
    fn follow_metadata(&mut self, target: &Target, stack: &StackFacts, resources: Vec<SeenResource>) {
        let wanted = self.metadata_resources(target);
        if wanted.is_empty() {
            return;
        }
        for found in resources {
            // One that is not there (yet) has not lost its metadata.
            if found.status.is_none() || !wanted.contains(&found.logical_id) {
                continue;
            }
            let room = METADATA_LIMIT.saturating_sub(self.metadata_kept());
            let text = found.metadata.clone().filter(|text| MetadataRecord::room_for(text) <= room);
            let new = MetadataRecord { resource: found.logical_id.clone(), digest: found.metadata_digest, text };
            let record = self.record_mut(target);
            record.metadata.retain(|known| wanted.contains(&known.resource));
            let Some(known) = record.metadata.iter_mut().find(|known| known.resource == new.resource) else {
                record.metadata.push(new);
                self.durability.dirty = true;
                continue;
            };
            if known.digest == new.digest {
                continue;
            }
            let old = std::mem::replace(known, new).text;
            self.durability.dirty = true;
            let resource = found.logical_id;
            self.remember(None, format!("the Metadata of {resource} has changed"));
            self.line("stack", target, Some(&stack.status), format!("metadata.changed: {resource}"));
            self.happened(Occasion::Metadata { stack: stack.clone(), resource, old, new: found.metadata });
        }
    }

    /// Bytes of metadata in the ledger.
    fn metadata_kept(&self) -> usize {
        let records = self.stacks.iter().flat_map(|record| &record.metadata);
        records.filter_map(|record| record.text.as_deref()).map(MetadataRecord::room_for).sum()
    }

    /// Says once that looks are not permitted, whichever look has found it out, and makes none before a send for some time.
    pub(in crate::agent) fn tell_looks_are_denied(&mut self, why: &str) {
        self.looks_denied_until = Some(self.now().saturating_add(super::super::delivery::LOOKS_DENIED_FOR_MS));
        if !std::mem::replace(&mut self.look_denied_told, true) {
            self.note(NoteLevel::Warn, format!("cannot look whether the stack still waits, so a signal may come late: {why}"));
        }
    }

    /// Settles what is open or owed on a stack: nobody waits for it any more.
    pub(in crate::agent) fn settle_stack(&mut self, target: &Target, why: &str) {
        let at_ms = self.turn.now.wall_ms;
        for index in 0..self.rounds.len() {
            let here = self.rounds.get(index).is_some_and(|active| {
                active.round.settled.is_none() && active.round.target.as_ref().is_some_and(|known| super::is_same_stack(known, target))
            });
            if here {
                self.settle(index, Settlement::NotNeeded { why: why.to_owned(), at_ms });
            }
        }
    }

    /// What the stack is doing means for rounds.
    fn follow_rounds(&mut self, target: &Target, status: &str, resources: &[SeenResource], has_moved: bool) {
        match transition::doing(status) {
            Doing::Undone => self.settle_stack(target, &format!("the stack is {status}")),
            Doing::Creates if has_moved => self.take_back_creation(target),
            _ => {}
        }
        self.follow_operations(target, status, resources);
    }
}

/// Whether a look has shown something that was not handled before.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Moved {
    Not,
    /// Nothing was known before.
    First,
    On,
}
