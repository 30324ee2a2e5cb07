//! Signals for the lifecycle hook of a scaling group: whom they tell, how it is looked whether anybody waits, and heartbeats.
//!
//! A hook waits 10 minutes by default, whatever our deadline is, and then lets the instance in or releases it. So from when the action
//! that holds this instance is known until the verdict is acknowledged, ESS is asked to wait on (RecordLifecycleActionHeartbeat). ESS takes 20 of
//! these and 6 hours in all, so there are as few as possible: one covers all the time until the deadline and some more, and is repeated at
//! half its time only while it does not. After a restart one more is sent, because nothing tells what ESS still has in hand.
//!
//! An instance that is in no group, or whose hook does not wait yet, is looked after until the deadline and not longer.

use super::rounds::Active;
use super::{Core, Effect, NoteLevel};
use crate::clock::{BootMs, millis};
use crate::plan::{LifecycleHook, OnFailure, Transport};
use crate::retry::Schedules;
use crate::signal::{Beat, Class, Refusal, Settlement};
use std::sync::Arc;
use std::time::Duration;

/// Heartbeats that ESS takes for one action (RecordLifecycleActionHeartbeat page).
const LIMIT: u32 = 20;
/// The longest that one can ask for (same page).
const LONGEST_MS: BootMs = 21_600_000;
/// The least that is asked for beyond the deadline, in which the verdict is sent.
const BEYOND_MS: BootMs = 60_000;
/// What is asked for after the deadline, while the verdict is on its way.
const LATE_MS: BootMs = 600_000;

/// Where the heartbeats of one round stand.
pub(super) struct Heartbeat {
    state: State,
    recorded: u32,
    schedules: Schedules,
    told: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Due(BootMs),
    InFlight { beat: u64, sent: BootMs, until: BootMs },
    Ended,
}

impl Heartbeat {
    pub(super) fn new(now: BootMs) -> Self {
        Self { state: State::Due(now), recorded: 0, schedules: Schedules::default(), told: None }
    }

    /// Whether this has not been told yet. It then counts as told.
    fn is_news(&mut self, text: &str) -> bool {
        let news = self.told.as_deref() != Some(text);
        self.told = Some(text.to_owned());
        news
    }
}

impl Core {
    /// How the verdict of a round travels. A round goes on as it began, whatever the plan has made of its signal since.
    pub(super) fn transport(&self, active: &Active) -> Transport {
        let planned = self.plan.signal(&active.round.signal).map(|signal| signal.transport.clone());
        let group = active.round.target.as_ref().and_then(|target| target.scaling_group());
        match (group, planned) {
            (Some(_), Some(hook @ Transport::LifecycleHook(_))) => hook,
            (Some(group), _) => {
                let scaling_group = group.map(str::to_owned);
                Transport::LifecycleHook(LifecycleHook { scaling_group, hook: None, action_token: None, on_failure: OnFailure::Abandon })
            }
            (None, Some(Transport::LifecycleHook(_)) | None) => Transport::Api,
            (None, Some(other)) => other,
        }
    }

    fn hook(&self, active: &Active) -> Option<LifecycleHook> {
        match self.transport(active) {
            Transport::LifecycleHook(hook) => Some(hook),
            Transport::Api | Transport::Handle(_) => None,
        }
    }

    /// Nothing waits for this instance yet: again soon, but not beyond the deadline. Then nothing will.
    pub(super) fn not_yet(&mut self, index: usize, why: String) {
        let now = self.now();
        let deadline = self.rounds.get(index).and_then(|active| self.timers(active)).map(|timers| timers.last);
        if deadline.is_none_or(|deadline| now >= deadline) {
            let at_ms = self.turn.now.wall_ms;
            return self.settle(index, Settlement::NotNeeded { why, at_ms });
        }
        let delay = 5_000 + self.random_ms(5_000);
        self.hold_back(index, delay, format!("not sent yet: {why}"));
    }

    /// Asks ESS to wait on, for every round for which it is due.
    pub(super) fn beat(&mut self) {
        if self.stopping || self.identity.known.is_none() {
            return;
        }
        let now = self.now();
        for index in 0..self.rounds.len() {
            let Some(active) = self.rounds.get(index).filter(|active| active.round.settled.is_none()) else { continue };
            let (State::Due(at), Some(hook), Some(until)) = (active.heartbeat.state, self.hook(active), self.wanted_until(active)) else {
                continue;
            };
            if at > now {
                continue;
            }
            // Whole seconds, as ESS takes them.
            let until = now.saturating_add(until.saturating_sub(now).saturating_add(999) / 1000 * 1000).min(now.saturating_add(LONGEST_MS));
            let beat = self.id();
            let Some(active) = self.rounds.get_mut(index) else { continue };
            let Some(target) = active.round.target.clone() else { continue };
            active.heartbeat.state = State::InFlight { beat, sent: now, until };
            let covers = Duration::from_millis(u64::try_from(until.saturating_sub(now)).unwrap_or(0));
            self.effects.push(Effect::Beat { beat, target, hook, covers });
        }
    }

    /// Until when the hook should wait, as things stand.
    fn wanted_until(&self, active: &Active) -> Option<BootMs> {
        let (now, deadline) = (self.now(), self.timers(active)?.last);
        let margin = self.plan.signal(&active.round.signal).map_or(0, |signal| millis(signal.margin));
        Some(if now < deadline { deadline.saturating_add(margin.max(BEYOND_MS)) } else { now.saturating_add(LATE_MS) })
    }

    pub(super) fn beaten(&mut self, beat: u64, result: Beat) {
        let found = self.rounds.iter().position(|active| matches!(active.heartbeat.state, State::InFlight { beat: of, .. } if of == beat));
        let Some(index) = found else { return };
        match result {
            Beat::Recorded => self.beat_recorded(index),
            Beat::NotYet(why) => self.beat_later(index, Refused::NotYet(why)),
            Beat::Failed(refusal) => self.beat_later(index, Refused::By(refusal)),
            Beat::Over(why) => self.end_beats(index, NoteLevel::Info, &format!("no heartbeats (any more): {why}")),
            Beat::Exhausted(why) => self.end_beats(
                index,
                NoteLevel::Warn,
                &format!(
                    "ESS takes no more heartbeats, the hook may end its wait before the verdict: {why}; hint: 20 heartbeats and 6h are the \
                     most, shorten `deadline`"
                ),
            ),
        }
    }

    fn beat_recorded(&mut self, index: usize) {
        let Some(active) = self.rounds.get(index) else { return };
        let State::InFlight { sent, until, .. } = active.heartbeat.state else { return };
        let (deadline, wanted) = (self.timers(active).map(|timers| timers.last), self.wanted_until(active));
        let Some(active) = self.rounds.get_mut(index) else { return };
        let heartbeat = &mut active.heartbeat;
        heartbeat.recorded = heartbeat.recorded.saturating_add(1);
        heartbeat.schedules = Schedules::default();
        heartbeat.told = None;
        let half = sent.saturating_add(until.saturating_sub(sent) / 2);
        let enough = wanted.is_none_or(|wanted| until >= wanted);
        // What covers all until the deadline needs no other before it.
        heartbeat.state = State::Due(if enough { half.max(deadline.unwrap_or(half)) } else { half });
        let (name, recorded) = (Arc::clone(&active.round.signal), heartbeat.recorded);
        let covers = humantime::format_duration(Duration::from_secs(u64::try_from(until.saturating_sub(sent) / 1000).unwrap_or(0)));
        self.note_signal(&name, NoteLevel::Info, format!("the lifecycle hook waits for {covers} more (heartbeat {recorded} of {LIMIT})"));
        if recorded >= LIMIT {
            self.end_beats(index, NoteLevel::Warn, "that was the last heartbeat that ESS takes; hint: shorten `deadline`");
        }
    }

    fn beat_later(&mut self, index: usize, refused: Refused) {
        let (now, random) = (self.now(), self.random());
        let deadline = self.rounds.get(index).and_then(|active| self.timers(active)).map(|timers| timers.last);
        if matches!(refused, Refused::NotYet(_)) && deadline.is_none_or(|deadline| now >= deadline) {
            return self.end_beats(index, NoteLevel::Debug, "no heartbeats: nothing holds this instance");
        }
        let Some(active) = self.rounds.get_mut(index) else { return };
        let (class, wait, text) = match refused {
            Refused::NotYet(why) => (Class::TooEarly, None, why),
            Refused::By(refusal) => {
                // What was mended is tried again soon, but not at once: nothing hurries here.
                let class = if refusal.class == Class::Immediate { Class::Transient } else { refusal.class };
                let hint = refusal.hint.map(|hint| format!("; hint: {hint}")).unwrap_or_default();
                (class, refusal.retry_after, format!("{}{hint}", refusal.message))
            }
        };
        let delay = millis(active.heartbeat.schedules.next(class, random, wait));
        active.heartbeat.state = State::Due(now.saturating_add(delay));
        if active.heartbeat.is_news(&text) {
            let level = if class == Class::TooEarly { NoteLevel::Info } else { NoteLevel::Warn };
            let name = Arc::clone(&active.round.signal);
            self.note_signal(&name, level, format!("no heartbeat yet: {text}"));
        }
    }

    fn end_beats(&mut self, index: usize, level: NoteLevel, text: &str) {
        let Some(active) = self.rounds.get_mut(index) else { return };
        active.heartbeat.state = State::Ended;
        let name = Arc::clone(&active.round.signal);
        self.note_signal(&name, level, text);
    }

    /// When time alone makes the next heartbeat due.
    pub(super) fn beat_wake(&self) -> Option<BootMs> {
        if self.stopping || self.identity.known.is_none() {
            return None;
        }
        let due = |active: &Active| match active.heartbeat.state {
            State::Due(at) if active.round.settled.is_none() && self.wanted_until(active).is_some() => self.hook(active).map(|_| at),
            _ => None,
        };
        self.rounds.iter().filter(|active| active.round.target.is_some()).filter_map(due).min()
    }

    /// Whether the round is for a lifecycle hook.
    pub(super) fn look_at_hook(&mut self, index: usize, look: u64) -> bool {
        let Some((active, hook)) = self.rounds.get(index).and_then(|active| Some((active, self.hook(active)?))) else { return false };
        let Some(target) = active.round.target.clone() else { return false };
        self.effects.push(Effect::LookAtHook { look, target, hook });
        true
    }
}

/// Why there was no heartbeat.
enum Refused {
    NotYet(String),
    By(Refusal),
}
