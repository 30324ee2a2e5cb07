//! After ROS has acknowledged: was the signal counted? HTTP 200 means only that it was accepted.
//!
//! Looks are made at the stack and the condition, first after 10 to 15 s, then at waits that double up to a quarter of an hour, with jitter, and
//! never sooner than ROS asks; 64 at most, which is more than the 12 hours that a condition can wait. What is seen is shown
//! and remembered. It changes nothing that was said and sends nothing, not even what was not counted: the same id in the same place
//! would be taken for the same signal, and another one could be counted beside it.
//!
//! That a look is still to be made is durable; how many were, too.

use super::rounds::Active;
use super::{Core, Effect, NoteLevel};
use crate::clock::{BootMs, millis};
use crate::plan::{Confirm, Signal, Transport};
use crate::retry::LONGEST_HINT;
use crate::signal::{Confirmation, Outcome, Target};
use crate::stack::confirm::Sighting;
use std::sync::Arc;

/// The least before a look, before its jitter of half as much.
const FIRST_MS: BootMs = 10_000;

/// The least between two looks in the end.
const LONGEST_MS: BootMs = 600_000;

/// Looks in all.
const LOOKS_LIMIT: u32 = 64;

/// Looks in a row that do not find the signal before somebody is told.
const MISSING_BEFORE_TOLD: u32 = 3;

/// A look that is to be made or under way.
pub(super) struct Confirming {
    phase: Phase,
    /// Looks in a row that did not find the signal among those that the condition has.
    missing: u32,
    /// What the last one showed.
    pub(super) shown: Option<String>,
    denied: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Due(BootMs),
    Looking(u64),
    /// The signal left the plan: nobody asks.
    Resting,
}

impl Confirming {
    fn due(at: BootMs) -> Self {
        Self { phase: Phase::Due(at), missing: 0, shown: None, denied: false }
    }

    /// Whether the condition was seen without this signal for some time.
    pub(super) fn is_missing(&self) -> bool {
        self.missing >= MISSING_BEFORE_TOLD
    }
}

impl Core {
    /// A signal was acknowledged just now.
    pub(super) fn begin_confirmation(&mut self, index: usize) {
        let due = self.now().saturating_add(self.wait_before(0));
        let Some(active) = self.rounds.get(index) else { return };
        let wanted = self.plan.signal(&active.round.signal).is_some_and(|signal| self.is_to_confirm(signal));
        if !wanted || !active.round.target.as_ref().is_some_and(Target::is_known) {
            return;
        }
        if let Some(active) = self.rounds.get_mut(index) {
            active.round.confirmation = Some(Confirmation::default());
            active.confirming = Some(Confirming::due(due));
        }
    }

    /// `auto` looks where `poll` does.
    fn is_to_confirm(&self, signal: &Signal) -> bool {
        let wanted = match signal.confirm {
            Confirm::On => true,
            Confirm::Auto => self.plan.ros.poll,
            Confirm::Off => false,
        };
        wanted && matches!(signal.transport, Transport::Api | Transport::Handle(_))
    }

    /// Of a round that the ledger remembers.
    pub(super) fn resumed_confirmation(&mut self, confirmation: Option<&Confirmation>) -> Option<Confirming> {
        let open = confirmation.filter(|confirmation| confirmation.outcome.is_none())?;
        let due = self.now().saturating_add(self.wait_before(open.looks.min(2)));
        Some(Confirming::due(due))
    }

    /// Under another plan.
    pub(super) fn confirm_again(&mut self) {
        let due = self.now().saturating_add(self.wait_before(0));
        for confirming in self.rounds.iter_mut().filter_map(|active| active.confirming.as_mut()) {
            if confirming.phase == Phase::Resting {
                confirming.phase = Phase::Due(due);
            }
        }
    }

    /// 10 to 15 s, 20 to 30 s and so on, up to 10 to 15 minutes.
    fn wait_before(&mut self, looks: u32) -> BootMs {
        let least = FIRST_MS.saturating_mul(1 << looks.min(6)).min(LONGEST_MS);
        least.saturating_add(self.random_ms(least / 2))
    }

    /// Makes the looks that are due.
    pub(super) fn look_for_confirmation(&mut self) {
        if self.stopping {
            return;
        }
        let now = self.now();
        let due = |active: &Active| match active.confirming.as_ref()?.phase {
            Phase::Due(at) if at <= now => Some(at),
            _ => None,
        };
        let mut overdue: Vec<_> = self.rounds.iter().enumerate().filter_map(|(index, active)| Some((due(active)?, index))).collect();
        overdue.sort_unstable();
        for (_, index) in overdue {
            if self.is_yielding() {
                return;
            }
            let Some(active) = self.rounds.get(index) else { continue };
            let signal =
                self.plan.signal(&active.round.signal).filter(|signal| self.is_to_confirm(signal) && self.is_planned(index)).cloned();
            let learned = active.round.learned.as_ref().and_then(|learned| learned.facts.condition.clone());
            let request =
                (active.round.target.clone(), active.round.intent.as_ref().map(|intent| (intent.unique_id.clone(), intent.status)));
            let confirm = self.id();
            let Some(confirming) = self.rounds.get_mut(index).and_then(|active| active.confirming.as_mut()) else { continue };
            let (Some(signal), (Some(target), Some((unique_id, said)))) = (signal, request) else {
                confirming.phase = Phase::Resting;
                continue;
            };
            confirming.phase = Phase::Looking(confirm);
            let condition = signal.condition.clone().or(learned);
            self.asks_aside();
            self.effects.push(Effect::Confirm { confirm, target, condition, unique_id, said });
        }
    }

    pub(super) fn confirm_wake(&self, active: &Active) -> Option<BootMs> {
        match active.confirming.as_ref()?.phase {
            Phase::Due(at) if !self.stopping => Some(self.after_yielding(at)),
            _ => None,
        }
    }

    pub(super) fn sighted(&mut self, confirm: u64, sighting: Sighting) {
        let is_it = |active: &Active| active.confirming.as_ref().is_some_and(|confirming| confirming.phase == Phase::Looking(confirm));
        let Some(index) = self.rounds.iter().position(is_it) else { return };
        let wants_it = self.rounds.get(index).and_then(|active| self.plan.signal(&active.round.signal)).map(|signal| signal.confirm);
        self.judge_pressure(match &sighting {
            Sighting::Missed { class, .. } => Some(*class),
            _ => None,
        });
        let loudly = wants_it == Some(Confirm::On);
        match sighting {
            Sighting::Counted(why) => self.confirmed(index, Outcome::Counted { why }),
            Sighting::NotNeeded(why) => self.confirmed(index, Outcome::NotNeeded { why }),
            Sighting::Failed(why) => self.confirmed(index, Outcome::Failed { why }),
            Sighting::RolledBack(why) => self.confirmed(index, Outcome::RolledBack { why }),
            Sighting::Denied(why) if !loudly => self.confirmed(index, Outcome::Unknown { why: format!("it may not be looked at: {why}") }),
            Sighting::Denied(why) => self.look_on(index, &why, Wait { missing: false, denied: true, asked_ms: LONGEST_MS }),
            Sighting::NotCounted(why) => self.look_on(index, &why, Wait { missing: true, denied: false, asked_ms: 0 }),
            Sighting::Waiting(why) => self.look_on(index, &why, Wait { missing: false, denied: false, asked_ms: 0 }),
            Sighting::Missed { why, retry_after, .. } => {
                let asked_ms = retry_after.map_or(0, |wait| millis(wait.min(LONGEST_HINT)));
                self.look_on(index, &why, Wait { missing: false, denied: false, asked_ms });
            }
        }
    }

    /// Nothing final was seen: again later, or no more.
    fn look_on(&mut self, index: usize, why: &str, wait: Wait) {
        let Some(confirmation) = self.rounds.get_mut(index).and_then(|active| active.round.confirmation.as_mut()) else { return };
        confirmation.looks = confirmation.looks.saturating_add(1);
        let looks = confirmation.looks;
        self.durability.dirty = true;
        if looks >= LOOKS_LIMIT {
            return self.confirmed(index, Outcome::Unknown { why: format!("{LOOKS_LIMIT} looks have not shown it: {why}") });
        }
        let due = self.now().saturating_add(wait.asked_ms).saturating_add(self.wait_before(looks));
        let Some(active) = self.rounds.get_mut(index) else { return };
        let name = Arc::clone(&active.round.signal);
        let Some(confirming) = active.confirming.as_mut() else { return };
        confirming.phase = Phase::Due(due);
        confirming.missing = if wait.missing { confirming.missing.saturating_add(1) } else { 0 };
        let tell_missing = confirming.missing == MISSING_BEFORE_TOLD;
        let tell_denied = wait.denied && !std::mem::replace(&mut confirming.denied, true);
        confirming.shown = Some(why.to_owned());
        if tell_missing {
            let text = format!(
                "acknowledged, but not counted: {why}; it is not sent again; hint: does `resource` name the handle for which this condition waits?"
            );
            self.note_signal(&name, NoteLevel::Warn, &text);
            self.remember(Some(&name), text);
        }
        if tell_denied {
            self.note_signal(&name, NoteLevel::Error, format!("it is not known whether the signal was counted (confirm = \"on\"): {why}"));
        }
    }

    fn confirmed(&mut self, index: usize, outcome: Outcome) {
        let Some(active) = self.rounds.get_mut(index) else { return };
        let name = Arc::clone(&active.round.signal);
        let text = format!("confirmed: {}: {}", outcome.word(), outcome.why());
        let level = match outcome {
            Outcome::Failed { .. } | Outcome::RolledBack { .. } => NoteLevel::Warn,
            _ => NoteLevel::Info,
        };
        active.confirming = None;
        if let Some(confirmation) = &mut active.round.confirmation {
            confirmation.outcome = Some(outcome);
        }
        self.note_signal(&name, level, &text);
        self.remember(Some(&name), text);
    }
}

/// Before the next look.
#[derive(Clone, Copy)]
struct Wait {
    /// The condition was seen without the signal.
    missing: bool,
    /// RAM said no.
    denied: bool,
    /// Beyond the usual.
    asked_ms: BootMs,
}
