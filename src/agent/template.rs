//! What the template says, asked once for each round and boot: facts of the handle and the condition, warnings, and a deadline that follows
//! the stack's own.
//!
//! Never in the way: checks, verdicts and sends do not wait for it. One question is in flight at a time, for all signals together.
//! A failure is repeated slowly, a refusal by RAM is said once and not asked again for an hour, and a template that cannot be read not at
//! all in this run of the agent.
//!
//! **The deadline.** The condition's `Timeout` counts from when ROS began with the condition, which is when the stack says so; often long before
//! this round began. What is learned is how much of it is left. The deadline is then a `margin` before the stack's own, or a quarter of what is left
//! where that is shorter, and the decision falls as much again before the deadline. Where the beginning is not known it is taken to be that
//! of the round, and then the deadline is only ever brought forward.

use super::rounds::Active;
use super::{Core, Effect, NoteLevel};
use crate::clock::{BootMs, millis};
use crate::plan::{Signal, Transport};
use crate::retry::{Pace, Schedule};
use crate::signal::{Class, Learned, Target};
use crate::stack::{Lesson, advice};
use crate::verdict::Timers;
use std::sync::Arc;
use std::time::Duration;

/// How long a refusal by RAM is not questioned.
const DENIED_FOR_MS: BootMs = 3_600_000;

/// A signal needs this long at least before the stack stops waiting.
const ROOM_TO_SEND_MS: BootMs = 5_000;

/// Where the question for the template stands, for all signals.
#[derive(Default)]
pub(super) struct Asking {
    in_flight: Option<u64>,
    denied_until: Option<BootMs>,
    /// The refusal was said.
    told: bool,
}

/// Where it stands for one round.
pub(super) struct Learning {
    /// When to ask; none: not any more in this run of the agent.
    due: Option<BootMs>,
    asked: Option<u64>,
    schedule: Schedule,
}

impl Learning {
    pub(super) fn new(now: BootMs) -> Self {
        Self { due: Some(now), asked: None, schedule: Schedule::new(Pace::of(Class::Permanent)) }
    }
}

impl Core {
    /// Asks for the template for the first round that wants it.
    pub(super) fn learn(&mut self) {
        let now = self.now();
        if self.learning_blocked() || self.is_yielding() || self.asking.denied_until.is_some_and(|until| until > now) {
            return;
        }
        let due = |active: &Active| active.learning.due.filter(|due| *due <= now);
        let mut overdue: Vec<_> = self.rounds.iter().enumerate().filter_map(|(index, active)| Some((due(active)?, index))).collect();
        overdue.sort_unstable();
        for (_, index) in overdue {
            let Some(active) = self.rounds.get(index) else { continue };
            if !self.may_learn(active) {
                continue;
            }
            let signal = self.plan.signal(&active.round.signal).filter(|_| self.is_planned(index)).cloned();
            let (target, wanted) = (active.round.target.clone(), signal.filter(|signal| is_of_stack(signal)));
            let learn = self.id();
            let Some(active) = self.rounds.get_mut(index) else { continue };
            let (Some(target), Some(signal)) = (target, wanted) else {
                active.learning.due = None;
                continue;
            };
            active.learning.asked = Some(learn);
            self.asking.in_flight = Some(learn);
            self.asks_aside();
            self.effects.push(Effect::Learn { learn, target, condition: signal.condition.clone() });
            return;
        }
    }

    fn learning_blocked(&self) -> bool {
        self.stopping || !self.plan.ros.poll || self.asking.in_flight.is_some() || self.identity.known.is_none()
    }

    /// Nothing is known of this boot's round yet, and it still matters.
    fn may_learn(&self, active: &Active) -> bool {
        let known = active.round.learned.as_ref().is_some_and(|learned| learned.at.boot_id == self.boot_id || !active.is_open());
        active.round.target.as_ref().is_some_and(Target::is_known)
            && !known
            && (active.round.settled.is_none() || active.confirming.is_some())
    }

    /// When time alone makes a round ask.
    pub(super) fn learn_wake(&self, active: &Active) -> Option<BootMs> {
        let due = active.learning.due.filter(|_| !self.learning_blocked() && self.may_learn(active))?;
        Some(self.after_yielding(due.max(self.asking.denied_until.unwrap_or(due))))
    }

    /// After another plan all that was given up is asked again.
    pub(super) fn learn_again(&mut self) {
        let now = self.now();
        for active in &mut self.rounds {
            active.learning.due.get_or_insert(now);
        }
    }

    pub(super) fn lesson(&mut self, learn: u64, lesson: Lesson) {
        if self.asking.in_flight != Some(learn) {
            return;
        }
        self.asking.in_flight = None;
        let Some(index) = self.rounds.iter().position(|active| active.learning.asked == Some(learn)) else { return };
        let (now, random) = (self.now(), self.random());
        let stamp = self.turn.now.stamp(&self.boot_id);
        let Some(active) = self.rounds.get_mut(index) else { return };
        active.learning.asked = None;
        let name = Arc::clone(&active.round.signal);
        self.judge_pressure(match &lesson {
            Lesson::Failed { class, .. } => Some(*class),
            _ => None,
        });
        let Some(active) = self.rounds.get_mut(index) else { return };
        match lesson {
            Lesson::Learned { facts, left_ms } => {
                active.learning.due = None;
                active.learned_at = now;
                let news = active.round.learned.as_ref().is_none_or(|before| before.facts != facts);
                active.round.learned = Some(Learned { at: stamp, facts, left_ms });
                self.durability.dirty = true;
                self.tell_what_was_learned(index, news);
            }
            Lesson::Unreadable(why) => {
                active.learning.due = None;
                let text = format!(
                    "the template of the stack cannot be read: {why}; hint: write `mode` and `count` of the handle, \
                     `condition` and `deadline` under [signal.{name}]"
                );
                self.note_signal(&name, NoteLevel::Warn, text);
            }
            Lesson::Denied(why) => {
                active.learning.due = Some(now);
                self.asking.denied_until = Some(now.saturating_add(DENIED_FOR_MS));
                if !std::mem::replace(&mut self.asking.told, true) {
                    let text = format!("the template of the stack may not be read, so Mode, Count and Timeout are as configured: {why}");
                    self.note(NoteLevel::Info, text);
                }
            }
            Lesson::Failed { why, retry_after, .. } => {
                let delay = millis(active.learning.schedule.next(random, retry_after));
                active.learning.due = Some(now.saturating_add(delay));
                self.note_signal(&name, NoteLevel::Debug, format!("the template of the stack was not read: {why}"));
            }
        }
    }

    fn tell_what_was_learned(&mut self, index: usize, news: bool) {
        let Some(active) = self.rounds.get(index) else { return };
        let name = Arc::clone(&active.round.signal);
        let Some(learned) = &active.round.learned else { return };
        let facts = &learned.facts;
        let mut text = match (&facts.condition, facts.timeout_s) {
            (Some(condition), Some(timeout)) => format!("the template says that {condition} waits for {timeout}s"),
            (Some(condition), None) => format!("the template says that {condition} waits"),
            (None, _) => "the template does not say who waits".to_owned(),
        };
        if let Some(timers) = self.timers(active).filter(|timers| timers.from_template && active.is_open()) {
            let left = Duration::from_secs(u64::try_from(timers.decide_by.saturating_sub(self.now()) / 1000).unwrap_or(0));
            text.push_str(&format!(": {} left to decide", humantime::format_duration(left)));
        }
        self.note_signal(&name, NoteLevel::Info, &text);
        if !news {
            return;
        }
        self.remember(Some(&name), text);
        let warnings = self.rounds.get(index).map(|active| self.warnings(active)).unwrap_or_default();
        for warning in warnings {
            self.note_signal(&name, NoteLevel::Warn, &warning);
            self.remember(Some(&name), format!("warning: {warning}"));
        }
    }

    /// What does not fit between the configuration and the template.
    pub(super) fn warnings(&self, active: &Active) -> Vec<String> {
        let (Some(signal), Some(learned)) = (self.plan.signal(&active.round.signal), &active.round.learned) else { return Vec::new() };
        let mut warnings = advice::warnings(signal, signal.resignal, &learned.facts);
        let decides = millis(signal.deadline.saturating_sub(signal.margin));
        let waits = self.waits_until(active).map(|(until, _)| until.saturating_sub(active.started));
        if let Some(waits) = waits.filter(|waits| signal.deadline_given && active.is_open() && decides > waits - ROOM_TO_SEND_MS) {
            let shown = |ms: BootMs| humantime::format_duration(Duration::from_secs(u64::try_from(ms / 1000).unwrap_or(0)));
            warnings.push(format!(
                "`deadline` - `margin` is {} after the start of the round, but the stack waits until {} after it; hint: leave `deadline` out, then it \
                 follows the Timeout of the template, or make that longer",
                shown(decides),
                shown(waits)
            ));
        }
        warnings
    }

    /// Until when the condition waits, on this boot's clock, and whether that is known and not only taken from the start of the round.
    fn waits_until(&self, active: &Active) -> Option<(BootMs, bool)> {
        let learned = active.round.learned.as_ref()?;
        if let Some(left) = learned.left_ms {
            return Some((active.learned_at.saturating_add(left), true));
        }
        Some((active.started.saturating_add(learned.facts.timeout_s?.saturating_mul(1000)), false))
    }

    /// The timers of a round without its extension: those of the configuration, or such that follow the Timeout of the condition.
    pub(super) fn plain_timers(&self, active: &Active, signal: &Signal) -> Timers {
        let last = active.started.saturating_add(millis(signal.deadline));
        let own = Timers { started: active.started, decide_by: last.saturating_sub(millis(signal.margin)), last, from_template: false };
        match self.waits_until(active) {
            Some((until, known)) if !signal.deadline_given => follow(own, active.learned_at, until, known, millis(signal.margin)),
            _ => own,
        }
    }
}

/// Timers that end before `until`, when the stack stops waiting, as it was `learned_at`. Never before half of the time between the two, so that
/// what is learned late does not decide at once; a time that had passed already moves nothing.
fn follow(own: Timers, learned_at: BootMs, until: BootMs, known: bool, margin: BootMs) -> Timers {
    let left = until.saturating_sub(learned_at);
    if left <= 0 {
        return own;
    }
    let room = margin.min(left / 4);
    let (last, decide_by) = (until.saturating_sub(room), until.saturating_sub(room).saturating_sub(room));
    if !known && decide_by >= own.decide_by {
        return own;
    }
    Timers { started: own.started, decide_by, last: if known { last } else { last.min(own.last) }, from_template: true }
}

/// A lifecycle hook belongs to no stack.
fn is_of_stack(signal: &Signal) -> bool {
    matches!(signal.transport, Transport::Api | Transport::Handle(_))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OWN: Timers = Timers { started: 10_000, decide_by: 880_000, last: 910_000, from_template: false };

    #[test]
    fn the_deadline_follows_the_timeout_of_the_stack() {
        let hour = follow(OWN, 20_000, 3_620_000, true, 30_000);
        assert_eq!((hour.decide_by, hour.last, hour.from_template), (3_560_000, 3_590_000, true));
        let minute = follow(OWN, 20_000, 80_000, true, 30_000);
        assert_eq!((minute.decide_by, minute.last), (50_000, 65_000), "a short one keeps a quarter, twice");
        assert_eq!(follow(OWN, 20_000, 19_000, true, 30_000), OWN, "it has passed");
    }

    #[test]
    fn without_its_beginning_the_timeout_only_brings_the_deadline_forward() {
        assert_eq!(follow(OWN, 20_000, 3_610_000, false, 30_000), OWN);
        assert_eq!(follow(OWN, 20_000, 610_000, false, 30_000).decide_by, 550_000);
    }

    proptest! {
        #[test]
        fn scenario_11_a_learned_deadline_is_never_later_than_the_stack_waits_nor_at_once(
            learned_at in 10_000_i64..1_000_000, left in -1_000_000_i64..50_000_000, known in any::<bool>(), margin in 0_i64..1_000_000,
        ) {
            let timers = follow(OWN, learned_at, learned_at + left, known, margin);
            if left > 0 && timers.from_template {
                prop_assert!(timers.decide_by <= timers.last && timers.last <= learned_at + left);
                prop_assert!(timers.decide_by >= learned_at + left / 2);
                prop_assert!(known || timers.decide_by < OWN.decide_by);
            } else {
                prop_assert!(timers == OWN);
            }
        }
    }
}
