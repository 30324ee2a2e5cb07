//! When a stack is looked at by time alone.

use super::{Core, Phase, Watched, is_same_stack};
use crate::clock::{BootMs, millis};
use crate::signal::{Class, Target};
use crate::stack::transition;
use std::time::Duration;

/// Between looks while nothing happens, with a fifth more or less.
pub(super) const USUAL_MS: BootMs = 300_000;

/// The same once nothing has moved for [`STABLE_AFTER_MS`].
const STABLE_MS: BootMs = 900_000;

const STABLE_AFTER_MS: BootMs = 3_600_000;

/// While the stack moves, or a signal for it is open or owed: this, and up to as much again.
const QUICK_MS: BootMs = 15_000;

/// The least between two looks at one stack.
pub(super) const LEAST_MS: BootMs = 2_000;

/// After a hint up to this much is added, so that the hosts of a stack do not all come at once.
const HINT_JITTER_MS: BootMs = 10_000;

/// The least after a look that failed.
const FAILED_LEAST_MS: BootMs = 10_000;

/// Looks in a row that may fail before they come no more often than others.
const FAILURES_IN_HASTE: u32 = 3;

/// After a refusal by RAM: roles propagate, and people grant.
const DENIED_FOR_MS: BootMs = 600_000;

/// From a look that missed a stack to the one that may find it deleted, before jitter.
pub(super) const MISSING_MS: BootMs = 60_000;

impl Core {
    /// Something about the stack is under way.
    fn is_quick(&self, watched: &Watched) -> bool {
        let moving = watched.seen.as_ref().is_some_and(|seen| transition::is_moving(&seen.facts.status));
        let here = |target: &Target| watched.is(target);
        moving || self.rounds.iter().any(|active| active.round.settled.is_none() && active.round.target.as_ref().is_some_and(here))
    }

    /// The least and the most until the next look.
    pub(super) fn interval(&self, watched: &Watched) -> (BootMs, BootMs) {
        if self.is_quick(watched) {
            return (QUICK_MS, 2 * QUICK_MS);
        }
        let stable = self.now().saturating_sub(watched.moved_at) >= STABLE_AFTER_MS;
        let usual = if stable { STABLE_MS } else { USUAL_MS };
        (usual - usual / 5, usual + usual / 5)
    }

    /// When the first look of this run is made at a stack.
    pub(super) fn first_phase(&mut self, target: &Target) -> Phase {
        let record = self.record_of(target);
        if record.is_some_and(|record| record.deleted) {
            return Phase::Deleted;
        }
        let owed = |active: &super::super::rounds::Active| {
            active.round.settled.is_none() && active.round.target.as_ref().is_some_and(|known| is_same_stack(known, target))
        };
        // What moved while nobody looked is found out soon.
        let soon = record.is_some() || self.rounds.iter().any(owed);
        let span = match (self.watching.early, soon) {
            (true, _) => LEAST_MS + HINT_JITTER_MS,
            (false, true) => 2 * QUICK_MS,
            (false, false) => USUAL_MS,
        };
        // One that left the plan and came back may just have been looked at.
        Phase::Due(self.now().saturating_add(LEAST_MS).saturating_add(self.random_ms(span - LEAST_MS)))
    }

    /// A round that was opened meanwhile does not wait for a look that was planned for a stack at rest.
    pub(super) fn hasten_looks(&mut self) {
        let latest = self.now().saturating_add(2 * QUICK_MS);
        for index in 0..self.watching.stacks.len() {
            let is_late = |watched: &&Watched| watched.failures == 0 && matches!(watched.phase, Phase::Due(at) if at > latest);
            let Some(watched) = self.watching.stacks.get(index).filter(is_late) else { continue };
            if !watched.missing && watched.denied.is_none() && self.is_quick(watched) {
                let at = self.now().saturating_add(self.random_ms(2 * QUICK_MS));
                self.look_at(index, at);
            }
        }
    }

    /// Plans the next look, no sooner than is allowed.
    fn look_at(&mut self, index: usize, at: BootMs) {
        let Some(watched) = self.watching.stacks.get_mut(index) else { return };
        let least = watched.asked_at.map_or(at, |asked| asked.saturating_add(LEAST_MS));
        watched.phase = Phase::Due(at.max(least).max(watched.not_before));
    }

    /// A look is worth making now, but not at once by all hosts. Many hints make one look.
    pub(super) fn hint(&mut self, index: usize) {
        let jitter = self.random_ms(HINT_JITTER_MS);
        let now = self.now();
        let Some(watched) = self.watching.stacks.get_mut(index) else { return };
        if std::mem::replace(&mut watched.hinted, true) {
            return;
        }
        // One in flight may have been answered before the hint: another follows it.
        let Phase::Due(planned) = watched.phase else { return };
        let least = watched.asked_at.map_or(now, |asked| asked.saturating_add(LEAST_MS));
        let at = now.max(least).saturating_add(jitter).min(planned.max(now));
        self.look_at(index, at);
    }

    /// A look at the stack of `target` is worth making: something showed that it has moved.
    pub(in crate::agent) fn look_again(&mut self, target: &Target) {
        if let Some(index) = self.watching.stacks.iter().position(|watched| watched.is(target)) {
            self.hint(index);
        }
    }

    /// Plans the look after one that worked.
    pub(super) fn plan_look(&mut self, index: usize) {
        let now = self.now();
        let Some(watched) = self.watching.stacks.get(index) else { return };
        let (least, most) = self.interval(watched);
        let at = now.saturating_add(least).saturating_add(self.random_ms(most - least));
        self.look_at(index, at);
        self.hint_that_came_meanwhile(index);
    }

    fn hint_that_came_meanwhile(&mut self, index: usize) {
        let hinted = self.watching.stacks.get_mut(index).is_some_and(|watched| std::mem::take(&mut watched.hinted));
        if hinted {
            self.hint(index);
        }
    }

    /// Plans the look after one that missed the stack, at the earliest when it may count as deleted.
    pub(super) fn plan_look_after_missing(&mut self, index: usize, since: BootMs) {
        let least = since.saturating_add(MISSING_MS).max(self.now());
        let at = least.saturating_add(self.random_ms(HINT_JITTER_MS));
        self.look_at(index, at);
    }

    /// Plans the look after a refusal by RAM.
    pub(super) fn plan_look_after_denial(&mut self, index: usize) {
        let now = self.now();
        let at = now.saturating_add(DENIED_FOR_MS).saturating_add(self.random_ms(HINT_JITTER_MS));
        let Some(watched) = self.watching.stacks.get_mut(index) else { return };
        watched.not_before = at;
        watched.hinted = false;
        self.look_at(index, at);
    }

    /// Plans the look after one that failed. True if somebody should be told by now.
    pub(super) fn plan_look_after_failure(&mut self, index: usize, class: Class, retry_after: Option<Duration>) -> bool {
        let (now, random) = (self.now(), self.random());
        let Some(watched) = self.watching.stacks.get_mut(index) else { return false };
        watched.failures = watched.failures.saturating_add(1);
        let mut delay = millis(watched.schedules.next(class, random, retry_after)).max(FAILED_LEAST_MS);
        let failures = watched.failures;
        let Some(watched) = self.watching.stacks.get(index) else { return false };
        let (least, most) = self.interval(watched);
        // Where many hosts are throttled together, none may come more often than if all were well.
        if class == Class::Throttled || failures > FAILURES_IN_HASTE {
            delay = delay.max(least.saturating_add(self.random_ms(most - least)));
        }
        let at = now.saturating_add(delay);
        if let Some(watched) = self.watching.stacks.get_mut(index) {
            watched.not_before = at;
            watched.hinted = false;
        }
        self.look_at(index, at);
        failures == FAILURES_IN_HASTE
    }
}
