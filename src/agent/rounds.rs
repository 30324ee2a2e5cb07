//! Rounds: opened when a signal is first owed, decided once, never twice.

use super::confirmation::Confirming;
use super::delivery::Delivery;
use super::lifecycle::Heartbeat;
use super::template::Learning;
use super::{Core, Effect, NoteLevel};
use crate::check::clip;
use crate::clock::{BootMs, millis};
use crate::hooks::Occasion;
use crate::plan::{Name, Signal, Transport, UniqueIdStrategy};
use crate::signal::{FIRST_ROUND, Intent, Round, Settlement, SignalStatus, Target, unique_id, with_name};
use crate::verdict::{self, Decision, Standing, Timers, Verdict};
use std::sync::Arc;

/// Settled rounds of signals that left the plan, kept so that a signal that comes back is not sent twice.
const SETTLED_KEPT: usize = 32;

/// Longest reason of an intent, in bytes: the ledger stays small.
const REASON_LIMIT: usize = 1024;

/// A round of the ledger and what is known of it beyond that.
pub(super) struct Active {
    /// What the ledger holds.
    pub(super) round: Round,
    /// Its start on this boot's clock.
    pub(super) started: BootMs,
    /// Start of the extension on this boot's clock.
    pub(super) extended: Option<BootMs>,
    /// When the decision may change by time alone.
    pub(super) wake: Option<BootMs>,
    /// The way to the receipt.
    pub(super) delivery: Delivery,
    /// The question what the template says.
    pub(super) learning: Learning,
    /// When it was answered, on this boot's clock.
    pub(super) learned_at: BootMs,
    /// The looks after the receipt.
    pub(super) confirming: Option<Confirming>,
    /// What keeps a lifecycle hook waiting meanwhile.
    pub(super) heartbeat: Heartbeat,
}

impl Active {
    /// A round that begins now.
    pub(super) fn begun(round: Round, now: BootMs) -> Self {
        Self {
            round,
            started: now,
            extended: None,
            wake: None,
            delivery: Delivery::new(now),
            learning: Learning::new(now),
            learned_at: now,
            confirming: None,
            heartbeat: Heartbeat::new(now),
        }
    }

    /// Opened by an operator for a resource that no signal of the plan names.
    pub(super) fn is_manual(&self) -> bool {
        self.round.signal.starts_with(MANUAL)
    }

    /// No verdict yet.
    pub(super) fn is_open(&self) -> bool {
        self.round.intent.is_none() && self.round.settled.is_none()
    }

    /// A verdict, but no receipt yet.
    pub(super) fn is_owed(&self) -> bool {
        self.round.intent.is_some() && self.round.settled.is_none()
    }
}

impl Core {
    /// A round as the ledger remembers it, in this boot.
    pub(super) fn resume(&mut self, round: Round) -> Active {
        let now = self.turn.now;
        let started = round.started.on_boot_clock(&self.boot_id, now);
        let extended = round.extended.as_ref().map(|stamp| stamp.on_boot_clock(&self.boot_id, now));
        // A reboot starts give_up again: wall time across boots may be wrong by any amount, and silence is the worse failure.
        let decided = round.intent.as_ref().map(|intent| intent.decided.on_boot_clock(&self.boot_id, now).max(0));
        if let (Some(_), None) = (&round.intent, &round.settled) {
            self.note_signal(&round.signal, NoteLevel::Info, "going on with the undelivered intent of an earlier run");
        }
        let delivery = Delivery::resumed(decided, now.boot_ms);
        let learned_at = round.learned.as_ref().map_or(now.boot_ms, |learned| learned.at.on_boot_clock(&self.boot_id, now));
        let confirming = self.resumed_confirmation(round.confirmation.as_ref());
        let (learning, heartbeat) = (Learning::new(now.boot_ms), Heartbeat::new(now.boot_ms));
        Active { round, started, extended, wake: None, delivery, learning, learned_at, confirming, heartbeat }
    }

    /// Opens the rounds that the plan asks for and closes those it no longer does.
    pub(super) fn open_rounds(&mut self) {
        let plan = Arc::clone(&self.plan);
        let at_ms = self.turn.now.wall_ms;
        for signal in &plan.signals {
            match self.current(signal) {
                None => self.open(signal),
                // While the target is unknown any round may be the current one.
                Some(index) if self.target(signal).is_some() => self.take_back(index),
                Some(_) => {}
            }
        }
        let mut withdrawn = Vec::new();
        let mut superseded = Vec::new();
        for index in 0..self.rounds.len() {
            let Some(active) = self.rounds.get(index) else { continue };
            if active.is_manual() || self.is_planned(index) {
                continue;
            }
            if active.is_open() {
                withdrawn.push(index);
            } else if active.is_owed() && active.delivery.was_rejected() && !active.delivery.is_in_flight() {
                superseded.push(index);
            }
        }
        for index in superseded {
            self.settle(index, Settlement::Superseded { at_ms });
        }
        for index in withdrawn.into_iter().rev() {
            let active = self.rounds.remove(index);
            self.remember(Some(&active.round.signal), "withdrawn: it left the plan without a verdict");
        }
        self.forget_old_rounds();
    }

    /// A round that was superseded and whose target is in the plan again goes on with the same intent.
    fn take_back(&mut self, index: usize) {
        let is_superseded = |active: &&Active| matches!(active.round.settled, Some(Settlement::Superseded { .. }));
        let Some(name) = self.rounds.get(index).filter(is_superseded).map(|active| Arc::clone(&active.round.signal)) else { return };
        self.resume_sending(index);
        self.remember(Some(&name), "its target is in the plan again: sending goes on");
    }

    /// A settled round that was never acknowledged is owed again, with the same intent.
    pub(super) fn resume_sending(&mut self, index: usize) {
        let now = self.now();
        let generation = self.durability.next();
        let Some(active) = self.rounds.get_mut(index) else { return };
        active.round.settled = None;
        active.delivery = Delivery::resumed(Some(now), now);
        active.delivery.needs(generation);
    }

    /// The checks that begin anew with a round of `signal`: those that serve no other one that is open.
    pub(super) fn own_checks(&self, signal: &Signal) -> Vec<Name> {
        // A round that is about to be withdrawn is not one that goes on.
        let goes_on = |other: &&Arc<Signal>| {
            let round = self.current(other).and_then(|index| self.rounds.get(index));
            other.name != signal.name && round.is_some_and(Active::is_open)
        };
        let others: Vec<_> = self.plan.signals.iter().filter(goes_on).collect();
        let serves_another = |check: &&Name| others.iter().any(|other| other.runs().any(|name| name == *check));
        signal.runs().filter(|check| !serves_another(check)).cloned().collect()
    }

    fn open(&mut self, signal: &Signal) {
        let own = self.own_checks(signal);
        self.start_over.extend(own);
        let stamp = self.turn.now.stamp(&self.boot_id);
        let round = Round::first(Arc::clone(&signal.name), &signal.resource, self.target(signal), stamp);
        self.rounds.push(Active::begun(round, self.now()));
        self.remember(Some(&signal.name), format!("round {FIRST_ROUND} begun"));
        let left = humantime::format_duration(signal.deadline);
        self.note_signal(&signal.name, NoteLevel::Info, format!("round begun, {left} to decide"));
    }

    /// Index of the round of `signal` as the plan has it now.
    pub(super) fn current(&self, signal: &Signal) -> Option<usize> {
        let target = self.target(signal);
        self.rounds.iter().rposition(|active| {
            let round = &active.round;
            let same_target = round.target.is_none() || target.is_none() || round.target == target;
            round.signal == signal.name && round.resource == signal.resource && same_target
        })
    }

    /// Whether the round is that of a signal as the plan has it now.
    pub(super) fn is_planned(&self, index: usize) -> bool {
        self.plan.signals.iter().any(|signal| self.current(signal) == Some(index))
    }

    /// Whom `signal` tells, once that is known.
    pub(super) fn target(&self, signal: &Signal) -> Option<Target> {
        if super::handles::is_local(&signal.transport) {
            return self.handle_target(signal);
        }
        let identity = self.identity.known.as_ref();
        let region = signal.region.clone().or_else(|| identity?.region.clone())?;
        if let Transport::LifecycleHook(hook) = &signal.transport {
            return Some(Target::of_scaling_group(region, hook.scaling_group.as_deref(), &signal.resource));
        }
        let stack_id = signal.stack_id.clone().or_else(|| identity?.stack_id.clone())?;
        Some(Target { region, stack_id, resource: signal.resource.clone() })
    }

    /// Fills in the targets that have become known.
    pub(super) fn resolve_targets(&mut self) {
        let plan = Arc::clone(&self.plan);
        for signal in &plan.signals {
            let Some(index) = self.current(signal) else { continue };
            let target = self.target(signal);
            if let Some(active) = self.rounds.get_mut(index)
                && active.round.target.is_none()
                && target.is_some()
            {
                active.round.target = target;
                self.durability.dirty = true;
            }
        }
    }

    /// Makes the ledger that of this instance: adopts it, or sets it aside and begins anew (a cloned image, a moved disk).
    /// Before the first answer of the metadata service the rounds ran already; a machine that was copied while it ran begins now.
    pub(super) fn claim_ledger(&mut self, instance_id: &str, is_first_answer: bool) {
        let owner = self.ledger_owner.replace(instance_id.to_owned());
        let same = match &owner {
            Some(owner) => owner == instance_id,
            None => self.rounds.iter().all(|active| active.round.started.boot_id == self.boot_id),
        };
        if same {
            self.durability.dirty |= owner.is_none();
            return;
        }
        let owner = owner.unwrap_or_else(|| "unknown".to_owned());
        self.note(NoteLevel::Warn, format!("the ledger belongs to instance {owner}, this is {instance_id}: it is set aside"));
        self.effects.push(Effect::SetAside { owner });
        let before = std::mem::take(&mut self.rounds);
        self.history.clear();
        self.boots = 1;
        self.forget_stacks();
        self.hooks.clear();
        self.hooks_done.clear();
        self.hooking.clear();
        self.held = false;
        self.open_rounds();
        if is_first_answer {
            for active in &mut self.rounds {
                active.round.started = self.planned_since.clone();
                active.started = self.planned_since.boot_ms;
                // The chance that they were given meanwhile stays theirs; what the other instance was given does not.
                let same = before.iter().rev().find(|before| before.round.signal == active.round.signal);
                let given = same.filter(|before| before.extended.is_some_and(|at| at > self.planned_since.boot_ms));
                active.extended = given.and_then(|before| before.extended);
                active.round.extended = given.and_then(|before| before.round.extended.clone());
            }
        }
    }

    /// A deadline that passed while the host, or the agent, was off or stopped gives the checks one more margin, once. Where only the time of
    /// deciding has passed, or less than `room` of the margin is left until then, what is left until the deadline is halved: the checks
    /// are seen at all, and a FAILURE still comes before it. Who holds verdicts gives that chance when he lets go of them.
    pub(super) fn extend_overdue(&mut self, room: fn(BootMs) -> BootMs) {
        if self.held {
            return;
        }
        let now = self.now();
        let plan = Arc::clone(&self.plan);
        for signal in &plan.signals {
            let Some(index) = self.current(signal) else { continue };
            let stamp = self.turn.now.stamp(&self.boot_id);
            let Some(timers) = self.rounds.get(index).and_then(|active| self.timers(active)) else { continue };
            let Some(active) = self.rounds.get_mut(index).filter(|active| active.is_open() && active.extended.is_none()) else { continue };
            let begun_just_now = active.started == now;
            if begun_just_now || timers.decide_by.saturating_sub(now) > room(millis(signal.margin)) {
                continue;
            }
            active.extended = Some(now);
            active.round.extended = Some(stamp);
            self.remember(Some(&signal.name), "the time to decide passed while nobody could: the checks get one more chance");
        }
    }

    fn forget_old_rounds(&mut self) {
        let plan = Arc::clone(&self.plan);
        let current: Vec<_> = plan.signals.iter().filter_map(|signal| self.current(signal)).collect();
        let mut surplus = self.rounds.iter().enumerate().filter(|(index, active)| is_leftover(active) && !current.contains(index)).count();
        surplus = surplus.saturating_sub(SETTLED_KEPT);
        let mut index = 0;
        self.rounds.retain(|active| {
            let forget = surplus > 0 && is_leftover(active) && !current.contains(&index);
            surplus -= usize::from(forget);
            index += 1;
            !forget
        });
    }

    /// The timers of a round of the present plan.
    pub(super) fn timers(&self, active: &Active) -> Option<Timers> {
        let signal = self.plan.signal(&active.round.signal)?;
        let margin = millis(signal.margin);
        let plain = self.plain_timers(active, signal);
        let last = plain.last;
        let (decide_by, last) = match active.extended {
            None => (plain.decide_by, last),
            Some(since) if since >= last => (since.saturating_add(margin), since.saturating_add(margin).saturating_add(margin)),
            // The template may have moved the deadline since: an extension never brings the decision forward.
            Some(since) => (plain.decide_by.max(since.saturating_add(last.saturating_sub(since) / 2)), last),
        };
        Some(Timers { decide_by, last, ..plain })
    }

    /// The checks of a signal and how they stand.
    pub(super) fn standings<'a>(&'a self, signal: &'a Signal) -> Vec<Standing<'a>> {
        signal.checks.iter().filter_map(|name| self.checks.get(name)).map(|run| (&run.check, &run.state)).collect()
    }

    /// Decides every open round of the plan for which something is to be said.
    pub(super) fn decide(&mut self) {
        if self.held || self.stopping || self.identity.is_in_doubt() {
            return;
        }
        let overdue = self.rounds.iter().any(|active| active.wake.is_some_and(|wake| wake <= self.now()));
        if !std::mem::take(&mut self.undecided) && !overdue {
            return;
        }
        self.confirming = false;
        let plan = Arc::clone(&self.plan);
        for active in &mut self.rounds {
            active.wake = None;
        }
        for signal in &plan.signals {
            let Some(index) = self.current(signal) else { continue };
            let Some(timers) = self.rounds.get(index).filter(|active| active.is_open()).and_then(|active| self.timers(active)) else {
                continue;
            };
            let decision = verdict::decide(signal, &self.standings(signal), timers, self.now());
            let decision = self.after_its_hook(index, signal, timers, decision);
            if let Some(active) = self.rounds.get_mut(index) {
                active.wake = decision.wake;
            }
            self.confirming |= !decision.confirm.is_empty();
            self.confirm(&decision.confirm);
            match decision.verdict {
                Verdict::Pending => {}
                Verdict::Say(status, reason) => self.say(index, status, reason),
                Verdict::Silence(reason) => {
                    self.note_signal(&signal.name, NoteLevel::Warn, format!("nothing is said (on_deadline = \"none\"): {reason}"));
                    let at_ms = self.turn.now.wall_ms;
                    self.settle(index, Settlement::Silent { at_ms });
                }
            }
        }
    }

    /// What was seen before a hook with `wait` has applied the update says nothing about it. The time to decide does not move for it.
    fn after_its_hook(&self, index: usize, signal: &Signal, timers: Timers, decision: Decision) -> Decision {
        let good = matches!(decision.verdict, Verdict::Say(SignalStatus::Success | SignalStatus::Warning, _));
        let target = self.rounds.get(index).and_then(|active| active.round.target.as_ref());
        let Some(record) = target.filter(|_| good).and_then(|target| self.is_held_up(&target.stack_id)) else { return decision };
        if self.now() < timers.decide_by {
            return Decision { verdict: Verdict::Pending, wake: Some(timers.decide_by), confirm: Vec::new() };
        }
        let reason = format!("the time to decide was up before the hook {} had ended", record.hook);
        Decision { verdict: verdict::too_late(signal, reason), wake: None, confirm: Vec::new() }
    }

    /// Makes the intent of a round, once its target and this host are known.
    pub(super) fn say(&mut self, index: usize, status: SignalStatus, reason: String) {
        let Some(active) = self.rounds.get(index) else { return };
        let (Some(identity), Some(target)) = (&self.identity.known, &active.round.target) else { return };
        let name = Arc::clone(&active.round.signal);
        let strategy = self.plan.signal(&name).map_or(UniqueIdStrategy::Derived, |signal| signal.unique_id.clone());
        let name_of = |source| identity.names.iter().find(|(known, _)| *known == source).map(|(_, name)| name.clone());
        let make = |strategy: &UniqueIdStrategy| {
            let strategy = &with_name(strategy, name_of)?;
            let random = uuid::Builder::from_random_bytes(self.turn.dice.to_be_bytes()).into_uuid();
            unique_id(strategy, &identity.instance_id, &name, &active.round.name, target, random)
        };
        let (made, strategy, complaint) = match make(&strategy) {
            Ok(id) => (Ok(id), strategy, None),
            Err(error) => (make(&UniqueIdStrategy::Derived), UniqueIdStrategy::Derived, Some(error)),
        };
        if let Some(error) = complaint {
            self.note_signal(&name, NoteLevel::Error, format!("{error}; a derived id is used instead, because silence is worse"));
        }
        let Ok(unique_id) = made else { return };
        self.intend(index, status, unique_id, reason, strategy != UniqueIdStrategy::Random);
    }

    fn intend(&mut self, index: usize, status: SignalStatus, unique_id: crate::signal::UniqueId, reason: String, derivable: bool) {
        let reason = clip(reason, REASON_LIMIT);
        let decided = self.turn.now.stamp(&self.boot_id);
        let now = self.now();
        let generation = self.durability.next();
        let Some(active) = self.rounds.get_mut(index) else { return };
        let name = Arc::clone(&active.round.signal);
        let text = format!("verdict {status}: {reason}");
        let round = active.round.name.clone();
        let occasion = Occasion::Verdict { signal: Arc::clone(&name), round, verdict: status, reason: reason.clone() };
        active.round.intent = Some(Intent { status, unique_id, reason, decided });
        active.delivery.decided(now, generation, derivable);
        active.wake = None;
        self.note_signal(&name, if status == SignalStatus::Success { NoteLevel::Info } else { NoteLevel::Warn }, &text);
        self.remember(Some(&name), text);
        self.happened(occasion);
        if status == SignalStatus::Failure {
            self.begin_report(index);
        }
    }

    /// Ends a round.
    pub(super) fn settle(&mut self, index: usize, settlement: Settlement) {
        let Some(active) = self.rounds.get_mut(index) else { return };
        let name = Arc::clone(&active.round.signal);
        let text = match &settlement {
            Settlement::Acknowledged { request_id, .. } => {
                let id = active.round.intent.as_ref().map_or("", |intent| intent.unique_id.as_str());
                let who = match active.round.target.as_ref().and_then(Target::scaling_group) {
                    Some(_) => "ESS",
                    None => "ROS",
                };
                format!("acknowledged by {who} (request {request_id}) for unique id {id}")
            }
            Settlement::NotNeeded { why, .. } => format!("not needed: {why}"),
            other => other.word().to_owned(),
        };
        let not_needed = matches!(settlement, Settlement::NotNeeded { .. });
        active.round.settled = Some(settlement);
        active.wake = None;
        active.delivery.end();
        if not_needed {
            self.operation_is_over(index);
        }
        self.note_signal(&name, NoteLevel::Info, &text);
        self.remember(Some(&name), text);
    }

    /// When time alone makes this round do something.
    pub(super) fn round_wake(&self, active: &Active) -> Option<BootMs> {
        let aside = self.learn_wake(active).into_iter().chain(self.confirm_wake(active)).min();
        aside.into_iter().chain(self.verdict_wake(active)).min()
    }

    fn verdict_wake(&self, active: &Active) -> Option<BootMs> {
        if active.is_open() {
            let blocked =
                self.held || self.stopping || self.identity.is_in_doubt() || self.identity.known.is_none() || active.round.target.is_none();
            return active.wake.filter(|_| !blocked);
        }
        self.delivery_wake(active)
    }
}

/// Settled, and not sent by hand: those are bounded by their own number.
fn is_leftover(active: &Active) -> bool {
    active.round.settled.is_some() && !active.is_manual()
}

/// Prefix of the name of a round that an operator opened for a resource that no signal of the plan names.
pub(crate) const MANUAL: &str = "manual:";
