//! From an intent to its receipt: record, look, send, and again until ROS has acknowledged, nobody waits, or `give_up`.

use super::report::Awaited;
use super::rounds::Active;
use super::{Core, Effect, NoteLevel};
use crate::clock::{BootMs, millis};
use crate::plan::{OnUnwritable, Resignal, Transport};
use crate::retry::{self, Schedules};
use crate::signal::{Answer, Class, Refusal, Settlement, SignalRequest, Target, client_token};
use crate::stack::Look;
use crate::stack::sight::Mark;
use crate::verdict::Timers;
use std::sync::Arc;
use std::time::Duration;

/// Retries at once after a mended cause; then it goes slowly.
const IMMEDIATE_LIMIT: u32 = 3;
/// Looks that may fail in a row before the signal is sent without one.
const LOOKS_BEFORE_BLIND: u32 = 3;
/// Time that an attempt needs before the deadline.
const ROOM_TO_SEND_MS: BootMs = 15_000;
/// How long a denied look is not repeated.
pub(super) const LOOKS_DENIED_FOR_MS: BootMs = 600_000;
/// While ROS throttles, an attempt is repeated without another look for this long after the last one: a second call for each attempt would halve what
/// a fleet gets through.
const LOOK_HOLDS_MS: BootMs = 600_000;

/// Where one intent is on its way.
pub(super) struct Delivery {
    phase: Phase,
    /// Generation that holds the intent.
    intent_in: u64,
    /// Generation that must be durable before the next attempt.
    needs: u64,
    /// A lost ledger would give the same UniqueId again.
    derivable: bool,
    decided: BootMs,
    pub(super) attempts: u32,
    at_once: u32,
    /// Looks in a row that failed.
    blind: u32,
    /// When the look or the attempt in flight began.
    began: BootMs,
    /// When a look has last let an attempt go out, if the one after it has not said otherwise.
    looked: Option<BootMs>,
    /// The last look that was answered said that it is not the turn of the condition.
    not_now: bool,
    /// The last answer was that there are too many calls.
    throttled: bool,
    /// Nothing is sent before this time, not even at the end: ROS has asked for it, or the stack is busy.
    not_before: BootMs,
    /// The last attempt was definitely rejected, so a reload that drops the target may supersede the intent. Not durable: a crash
    /// may fall into an attempt that gets through.
    rejected: bool,
    schedules: Schedules,
    pub(super) trouble: Option<Trouble>,
    /// The report without which nothing is sent yet.
    pub(super) awaited: Option<Awaited>,
    /// The report, for transports that can carry it.
    pub(super) report: Option<Arc<str>>,
}

/// Why it has not worked yet.
pub(super) struct Trouble {
    pub(super) class: Option<Class>,
    pub(super) text: String,
    pub(super) hint: Option<String>,
    pub(super) at: BootMs,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Try at this time.
    Due(BootMs),
    /// A look at the stack is in flight.
    Looking(u64),
    /// An attempt is in flight.
    Sending(u64),
    /// Nothing is left to do.
    Ended,
}

impl Delivery {
    pub(super) fn new(now: BootMs) -> Self {
        Self {
            phase: Phase::Due(now),
            intent_in: 0,
            needs: 0,
            derivable: true,
            decided: now,
            attempts: 0,
            at_once: 0,
            blind: 0,
            began: now,
            looked: None,
            not_now: false,
            throttled: false,
            not_before: now,
            rejected: false,
            schedules: Schedules::default(),
            trouble: None,
            awaited: None,
            report: None,
        }
    }

    /// Of a round that the ledger remembers: whatever it holds is durable.
    pub(super) fn resumed(decided: Option<BootMs>, now: BootMs) -> Self {
        Self { decided: decided.unwrap_or(now), ..Self::new(now) }
    }

    pub(super) fn decided(&mut self, now: BootMs, generation: u64, derivable: bool) {
        *self = Self { intent_in: generation, needs: generation, derivable, ..Self::new(now) };
    }

    /// Nothing is sent before `generation` is durable.
    pub(super) fn needs(&mut self, generation: u64) {
        self.needs = generation;
    }

    pub(super) fn end(&mut self) {
        self.phase = Phase::Ended;
    }

    /// A look or an attempt is in flight.
    pub(super) fn is_in_flight(&self) -> bool {
        matches!(self.phase, Phase::Looking(_) | Phase::Sending(_))
    }

    pub(super) fn next_attempt(&self) -> Option<BootMs> {
        match self.phase {
            Phase::Due(at) => Some(at),
            _ => None,
        }
    }

    /// Whether a report is waited for at `now`.
    fn awaits_report(&self, now: BootMs) -> bool {
        self.awaited.is_some_and(|awaited| now < awaited.until)
    }

    pub(super) fn was_rejected(&self) -> bool {
        self.rejected
    }
}

/// What becomes of a wait that ROS did not ask for.
fn fit(delay: Duration, class: Class, began: BootMs, timers: Option<Timers>, now: BootMs) -> Duration {
    let span = |from: BootMs, to: BootMs| Duration::from_millis(u64::try_from(to.saturating_sub(from)).unwrap_or(0));
    retry::fit(delay, class, span(began, now), timers.map_or(Duration::ZERO, |timers| span(now, timers.last)))
}

impl Core {
    /// Before stopping: what is owed gets its one last attempt now, after a look as always; but not where ROS has asked to wait, or
    /// the stack is busy with something else. That goes on when the agent is started again.
    pub(super) fn hasten(&mut self) {
        let now = self.now();
        for active in self.rounds.iter_mut().filter(|active| active.is_owed()) {
            if let Phase::Due(at) = active.delivery.phase {
                active.delivery.phase = Phase::Due(at.min(active.delivery.not_before.max(now)));
            }
        }
    }

    /// Whether something is in flight that is worth waiting for before the end: an attempt, or the record that the last one needs.
    pub fn is_busy(&self) -> bool {
        let now = self.now();
        let waits = |active: &Active| {
            let due = matches!(active.delivery.phase, Phase::Due(at) if at <= now);
            due && self.identity.known.is_some() && !self.durability.is_unwritable() && !self.is_durable_enough(&active.delivery)
                || due && active.delivery.awaits_report(now)
        };
        self.rounds.iter().any(|active| active.is_owed() && (active.delivery.is_in_flight() || waits(active)))
    }

    fn is_durable_enough(&self, delivery: &Delivery) -> bool {
        if self.durability.holds(delivery.needs) {
            return true;
        }
        let from_memory = self.durability.is_unwritable() && self.plan.on_unwritable == OnUnwritable::Send;
        from_memory && (delivery.derivable || self.durability.holds(delivery.intent_in))
    }

    /// Looks or sends for every intent that is due.
    pub(super) fn deliver(&mut self) {
        for index in 0..self.rounds.len() {
            let Some(active) = self.rounds.get(index).filter(|active| active.is_owed()) else { continue };
            let now = self.now();
            let Phase::Due(at) = active.delivery.phase else { continue };
            if self.has_given_up(active) {
                let at_ms = self.turn.now.wall_ms;
                let name = Arc::clone(&active.round.signal);
                self.note_signal(&name, NoteLevel::Error, "give_up has passed");
                self.settle(index, Settlement::GaveUp { at_ms });
                continue;
            }
            let awaits = active.delivery.awaits_report(now);
            if at > now || awaits || self.identity.known.is_none() || !self.is_durable_enough(&active.delivery) {
                continue;
            }
            let hook = matches!(self.transport(active), Transport::LifecycleHook(_));
            let can_look = active.round.target.as_ref().is_some_and(Target::is_known);
            // That looks are denied may have been said elsewhere, of another question.
            let denied = !active.delivery.not_now && self.looks_denied_until.is_some_and(|until| until > now);
            let wants_look = can_look && self.plan.ros.poll && !denied;
            if hook || wants_look && !self.look_holds(active) {
                self.look(index);
            } else {
                self.send_blind(index);
            }
        }
    }

    /// Only after an attempt in this run of the agent, however long it was stopped.
    fn has_given_up(&self, active: &Active) -> bool {
        if active.delivery.attempts == 0 {
            return false;
        }
        let give_up = self.plan.signal(&active.round.signal).map_or(Duration::from_secs(12 * 3600), |signal| signal.give_up);
        self.now().saturating_sub(active.delivery.decided) >= millis(give_up)
    }

    /// Whether an attempt that was throttled is repeated without a look. Where operations of the stack are told apart, and where a lifecycle hook is to be
    /// found, each look counts.
    fn look_holds(&self, active: &Active) -> bool {
        if matches!(self.transport(active), Transport::LifecycleHook(_)) {
            return false;
        }
        let looked = active.delivery.looked.filter(|_| active.delivery.throttled && !self.resignals(&active.round.signal));
        looked.is_some_and(|looked| self.now().saturating_sub(looked) < LOOK_HOLDS_MS)
    }

    fn look(&mut self, index: usize) {
        let look = self.id();
        let now = self.now();
        let Some(active) = self.rounds.get_mut(index) else { return };
        let Some(target) = active.round.target.clone() else { return };
        active.delivery.phase = Phase::Looking(look);
        active.delivery.began = now;
        if self.look_at_hook(index, look) {
            return;
        }
        let Some(active) = self.rounds.get(index) else { return };
        let signal = self.plan.signal(&active.round.signal);
        let condition = signal.and_then(|signal| signal.condition.clone());
        let since = signal.is_some_and(|signal| signal.resignal == Resignal::OnUpdate);
        self.effects.push(Effect::Look { look, target, condition, since });
    }

    fn send(&mut self, index: usize) {
        let send = self.id();
        let now = self.now();
        let Some(transport) = self.rounds.get(index).map(|active| self.transport(active)) else { return };
        let Some(active) = self.rounds.get_mut(index) else { return };
        let (Some(target), Some(intent)) = (&active.round.target, &active.round.intent) else { return };
        let client_token = client_token(target, &intent.unique_id, intent.status, active.round.series);
        let request = SignalRequest {
            target: target.clone(),
            transport,
            status: intent.status,
            unique_id: intent.unique_id.clone(),
            client_token,
            reason: intent.reason.clone(),
            report: active.delivery.report.clone(),
        };
        active.delivery.phase = Phase::Sending(send);
        active.delivery.began = now;
        active.delivery.attempts = active.delivery.attempts.saturating_add(1);
        self.effects.push(Effect::Send { send, request });
    }

    pub(super) fn looked(&mut self, look: u64, result: Look, shown: Option<Mark>) {
        let Some(index) = self.rounds.iter().position(|active| active.delivery.phase == Phase::Looking(look)) else { return };
        if let (Some(shown), Some(target)) = (shown, self.rounds.get(index).and_then(|active| active.round.target.clone())) {
            self.shown_before_a_send(&target, shown);
        }
        let now = self.now();
        if !matches!(result, Look::Failed { .. } | Look::NoCredentials(_))
            && let Some(active) = self.rounds.get_mut(index)
        {
            active.delivery.blind = 0;
            active.delivery.throttled = false;
            active.delivery.not_now = matches!(result, Look::NotNow(_));
            active.delivery.looked = matches!(result, Look::Waiting | Look::WaitingSince { .. }).then_some(now);
        }
        match result {
            Look::Waiting => self.send_if_durable(index),
            Look::WaitingSince { since, creating } => {
                if self.is_own_operation(index, since, creating) {
                    self.send_if_durable(index);
                }
            }
            Look::Failed { why, class, retry_after } => self.look_failed(index, &why, class, retry_after),
            Look::NoCredentials(why) => self.looked_without_credentials(index, &why),
            Look::NotYet(why) => self.not_yet(index, why),
            // The attempt is refused likewise, with the statement to grant.
            Look::Denied(_)
                if self.rounds.get(index).is_some_and(|active| matches!(self.transport(active), Transport::LifecycleHook(_))) =>
            {
                self.send_if_durable(index);
            }
            Look::Denied(why) => {
                self.tell_looks_are_denied(&why);
                self.send_blind(index);
            }
            Look::NobodyWaits(why) => {
                let at_ms = self.turn.now.wall_ms;
                self.settle(index, Settlement::NotNeeded { why, at_ms });
                // Something has become of the stack: hooks and later rounds want to know.
                if let Some(target) = self.rounds.get(index).and_then(|active| active.round.target.clone()) {
                    self.look_again(&target);
                }
            }
            Look::NotNow(why) => {
                let delay = 10_000 + self.random_ms(5_000);
                let not_before = self.now().saturating_add(delay);
                if let Some(active) = self.rounds.get_mut(index) {
                    active.delivery.not_before = not_before;
                }
                self.hold_back(index, delay, format!("not sent yet: {why}"));
            }
        }
    }

    /// A transport that needs no credentials does not wait for them: on many hosts none will ever come.
    fn looked_without_credentials(&mut self, index: usize, why: &str) {
        let name = self.rounds.get(index).map(|active| Arc::clone(&active.round.signal));
        match name.filter(|name| self.needs_no_credentials(name)) {
            Some(name) => {
                let text = format!("sent without a look at the stack, for there are no credentials: {why}");
                self.note_signal(&name, NoteLevel::Debug, text);
                self.send_blind(index);
            }
            None => self.look_failed(index, why, Class::Transient, None),
        }
    }

    /// A look that fails now may succeed in a moment, and tell that nobody waits: a stray signal can be counted in a later update. After
    /// a few, when stopping, or when waiting would carry it past the deadline, the signal goes out without: silence is worse. Where the last one that was
    /// answered said that it is too soon, only the deadline makes it go out, or where there is none, a few.
    fn look_failed(&mut self, index: usize, why: &str, class: Class, retry_after: Option<Duration>) {
        let random = self.random();
        let now = self.now();
        let throttled = class == Class::Throttled;
        let asked_ros = !self.rounds.get(index).is_some_and(|active| matches!(self.transport(active), Transport::LifecycleHook(_)));
        if throttled && asked_ros {
            self.yield_to_others();
        }
        let timers = self.rounds.get(index).and_then(|active| self.timers(active));
        let Some(active) = self.rounds.get_mut(index) else { return };
        active.delivery.blind = active.delivery.blind.saturating_add(1);
        active.delivery.throttled = throttled;
        let class = if throttled { class } else { Class::Transient };
        // What goes out without a look draws its wait then.
        let mut schedules = active.delivery.schedules.clone();
        let mut delay = schedules.next(class, random, retry_after);
        if retry_after.is_none() {
            delay = fit(delay, class, active.delivery.began, timers, now);
        }
        let delay = millis(delay);
        let too_late = timers.is_some_and(|timers| now.saturating_add(delay) > timers.last.saturating_sub(ROOM_TO_SEND_MS));
        let at_the_end = self.stopping && retry_after.is_none() && !active.delivery.not_now;
        let enough = active.delivery.blind > LOOKS_BEFORE_BLIND && (!active.delivery.not_now || timers.is_none());
        if enough || too_late {
            active.delivery.looked = Some(now);
        }
        // Throttled, the next attempt is made without a look, and if there is time for it not this one: it would be refused as well.
        let next_time = self.rounds.get(index).is_some_and(|active| self.look_holds(active));
        let Some(active) = self.rounds.get_mut(index) else { return };
        if enough && !next_time || too_late || at_the_end {
            if self.was_seen_over(index).is_none() {
                self.note(NoteLevel::Warn, format!("the stack could not be looked at before sending, so a signal may come late: {why}"));
            }
            return self.send_blind(index);
        }
        active.delivery.schedules = schedules;
        if retry_after.is_some() {
            active.delivery.not_before = now.saturating_add(delay);
        }
        self.hold_back(index, delay, format!("the stack could not be looked at: {why}"));
    }

    /// Looks again after `delay`.
    pub(super) fn hold_back(&mut self, index: usize, delay: BootMs, text: String) {
        let now = self.now();
        let Some(active) = self.rounds.get_mut(index) else { return };
        let name = Arc::clone(&active.round.signal);
        let is_news = active.delivery.trouble.as_ref().is_none_or(|trouble| trouble.text != text);
        if is_news {
            self.note_signal(&name, NoteLevel::Info, &text);
        }
        self.postpone(index, delay, Trouble { class: None, text, hint: None, at: now });
    }

    /// Sends without a look, unless the last one that worked has shown that nobody waits.
    fn send_blind(&mut self, index: usize) {
        match self.was_seen_over(index) {
            Some(why) => {
                let at_ms = self.turn.now.wall_ms;
                self.settle(index, Settlement::NotNeeded { why, at_ms });
            }
            None => self.send_if_durable(index),
        }
    }

    /// After a look, in which time the ledger may have come back without this intent in it yet.
    fn send_if_durable(&mut self, index: usize) {
        let durable = self.rounds.get(index).is_some_and(|active| self.is_durable_enough(&active.delivery));
        if durable {
            return self.send(index);
        }
        let now = self.now();
        if let Some(active) = self.rounds.get_mut(index) {
            active.delivery.phase = Phase::Due(now);
        }
    }

    fn postpone(&mut self, index: usize, delay_ms: BootMs, trouble: Trouble) {
        let now = self.now();
        let Some(active) = self.rounds.get_mut(index) else { return };
        active.delivery.phase = Phase::Due(now.saturating_add(delay_ms));
        active.delivery.trouble = Some(trouble);
    }

    pub(super) fn answered(&mut self, send: u64, answer: Answer) {
        let Some(index) = self.rounds.iter().position(|active| active.delivery.phase == Phase::Sending(send)) else { return };
        match answer {
            Answer::Accepted { request_id } => {
                let at_ms = self.turn.now.wall_ms;
                self.settle(index, Settlement::Acknowledged { request_id, at_ms });
                self.begin_confirmation(index);
            }
            Answer::Refused(refusal) => self.refused(index, refusal),
        }
    }

    fn refused(&mut self, index: usize, refusal: Refusal) {
        let random = self.random();
        let needs = if refusal.definite { self.durability.next() } else { 0 };
        let now = self.now();
        let throttled = refusal.class == Class::Throttled;
        // The service of a handle's URL and that of scaling groups have limits of their own.
        let asked_ros = self.rounds.get(index).is_some_and(|active| matches!(self.transport(active), Transport::Api));
        if throttled && asked_ros {
            self.yield_to_others();
        }
        let timers = self.rounds.get(index).and_then(|active| self.timers(active));
        let Some(active) = self.rounds.get_mut(index) else { return };
        active.delivery.rejected = refusal.definite;
        active.delivery.throttled = throttled;
        active.delivery.not_before = refusal.retry_after.map_or(now, |wait| now.saturating_add(millis(wait)));
        if refusal.definite {
            active.round.series = active.round.series.saturating_add(1);
            active.delivery.needs = needs;
        }
        let at_once = refusal.class == Class::Immediate && active.delivery.at_once < IMMEDIATE_LIMIT;
        active.delivery.at_once = if refusal.class == Class::Immediate { active.delivery.at_once.saturating_add(1) } else { 0 };
        let delay = match (at_once, refusal.class) {
            (true, _) => refusal.retry_after.unwrap_or(Duration::ZERO),
            (false, Class::Immediate) => active.delivery.schedules.next(Class::Permanent, random, refusal.retry_after),
            (false, class) => active.delivery.schedules.next(class, random, refusal.retry_after),
        };
        let delay = match refusal.retry_after {
            None => fit(delay, refusal.class, active.delivery.began, timers, now),
            Some(_) => delay,
        };
        let name = Arc::clone(&active.round.signal);
        let attempt = active.delivery.attempts;
        let is_news = active.delivery.trouble.as_ref().is_none_or(|trouble| trouble.text != refusal.message);
        let level = match refusal.class {
            Class::Permanent | Class::Permission | Class::Credentials => NoteLevel::Error,
            _ if is_news => NoteLevel::Warn,
            _ => NoteLevel::Debug,
        };
        let again = humantime::format_duration(Duration::from_millis(u64::try_from(millis(delay)).unwrap_or(0)));
        let mut text = format!("attempt {attempt} not acknowledged, again in {again}: {}", refusal.message);
        if let Some(hint) = &refusal.hint {
            text.push_str("; hint: ");
            text.push_str(hint);
        }
        self.note_signal(&name, level, text);
        let trouble = Trouble { class: Some(refusal.class), text: refusal.message, hint: refusal.hint, at: now };
        self.postpone(index, millis(delay), trouble);
        self.drop_if_superseded(index);
    }

    /// A rejection may set an intent free that left the plan while its attempt was in flight.
    fn drop_if_superseded(&mut self, index: usize) {
        let Some(active) = self.rounds.get(index).filter(|active| active.delivery.rejected) else { return };
        if !active.is_manual() && !self.is_planned(index) {
            let at_ms = self.turn.now.wall_ms;
            self.settle(index, Settlement::Superseded { at_ms });
        }
    }

    pub(super) fn delivery_wake(&self, active: &Active) -> Option<BootMs> {
        if !active.is_owed() || self.identity.known.is_none() {
            return None;
        }
        let Phase::Due(at) = active.delivery.phase else { return None };
        let at = active.delivery.awaited.map_or(at, |awaited| at.max(awaited.until));
        // Before the ledger is written only the ledger's answer, or its silence, moves things.
        self.is_durable_enough(&active.delivery).then_some(at)
    }
}
