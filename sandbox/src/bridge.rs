//! EventBridge as far as the sandbox plays it: which deliveries are to be made and when, and what became of them.
//!
//! Everything here is a function of the targets, the events and the moment; what is random comes from a target's seed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Sandbox;
use crate::clock::{Moment, rfc3339};
use crate::events::{Event, EventRequest};
use crate::post::Url;
use crate::seal::Signature;
use crate::target::{EventTarget, RetryStrategy, TargetError};

/// Targets at once.
const TARGETS_ALLOWED: usize = 64;

/// Deliveries that wait at one target; one more is dropped, and its record says so.
const WAITING_ALLOWED: usize = 10_000;

/// Events remembered with what became of them, and deliveries of each; the oldest are forgotten.
const EVENTS_KEPT: usize = 4096;
const DELIVERIES_KEPT: usize = 512;

/// Dead letters remembered at a target; the oldest are forgotten.
const DEAD_LETTERS_KEPT: usize = 1024;

/// An event that was emitted, and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EmittedEvent {
    /// Counts from 1.
    pub number: u64,
    /// When (RFC 3339, on the sandbox's clock).
    pub at: String,
    /// The type, or `NotificationURLs` for a direct callback.
    #[serde(rename = "type")]
    pub kind: String,
    /// Which stack.
    pub stack: String,
    /// The event as a CloudEvent, or the body of a direct callback.
    pub event: Value,
    /// Every attempt to deliver it so far.
    pub deliveries: Vec<Delivery>,
}

/// One attempt to deliver an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Name of the target, or the URL of a direct callback.
    pub target: String,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// When it ended (RFC 3339, on the sandbox's clock).
    pub at: String,
    /// How it ended.
    pub outcome: DeliveryOutcome,
    /// HTTP status, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryOutcome {
    /// The target has it.
    Delivered,
    /// It failed, and is tried again.
    Retried,
    /// It failed for good: a dead letter.
    Dead,
    /// It was lost, as `drop` asks, or because too many waited.
    Dropped,
}

/// A target as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetView {
    /// Its name.
    pub name: String,
    /// Deliveries that are to come, repeated ones included.
    pub waiting: usize,
    /// Deliveries that it took.
    pub delivered: u64,
    /// Deliveries that were lost, as `drop` asks.
    pub dropped: u64,
    /// Numbers of the events that could not be delivered to it.
    pub dead_letters: Vec<u64>,
}

/// A delivery that is to be made.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) name: String,
    pub(crate) target: Arc<EventTarget>,
    pub(crate) number: u64,
    pub(crate) event: Arc<Event>,
    pub(crate) attempt: u32,
    /// Which attempt of all at this target, for what takes turns.
    pub(crate) turn: u64,
}

#[derive(Debug)]
struct Waiting {
    number: u64,
    event: Arc<Event>,
    attempt: u32,
    at: Moment,
}

#[derive(Debug)]
struct Target {
    spec: Arc<EventTarget>,
    random: Random,
    waiting: Vec<Waiting>,
    /// One delivery at a time is under way.
    busy: bool,
    turn: u64,
    delivered: u64,
    dropped: u64,
    dead_letters: VecDeque<u64>,
}

impl Target {
    fn new(spec: EventTarget) -> Self {
        Self {
            random: Random(spec.seed),
            spec: Arc::new(spec),
            waiting: Vec::new(),
            busy: false,
            turn: 0,
            delivered: 0,
            dropped: 0,
            dead_letters: VecDeque::new(),
        }
    }
}

/// All targets, and what was emitted.
#[derive(Debug, Default)]
pub(crate) struct Bridge {
    targets: BTreeMap<String, Target>,
    events: VecDeque<EmittedEvent>,
    emitted: u64,
}

impl Bridge {
    /// Sets a target. What waited at one of that name is forgotten.
    pub(crate) fn set(&mut self, name: &str, spec: EventTarget) -> Result<(), TargetError> {
        spec.check(name)?;
        if self.targets.len() >= TARGETS_ALLOWED && !self.targets.contains_key(name) {
            return Err(TargetError(format!("no more than {TARGETS_ALLOWED} event targets, direct callbacks included")));
        }
        self.targets.insert(name.to_owned(), Target::new(spec));
        Ok(())
    }

    pub(crate) fn remove(&mut self, name: &str) -> bool {
        self.targets.remove(name).is_some()
    }

    pub(crate) fn view(&self, name: &str) -> Option<TargetView> {
        let target = self.targets.get(name)?;
        Some(TargetView {
            name: name.to_owned(),
            waiting: target.waiting.len().saturating_add(usize::from(target.busy)),
            delivered: target.delivered,
            dropped: target.dropped,
            dead_letters: target.dead_letters.iter().copied().collect(),
        })
    }

    pub(crate) fn views(&self) -> Vec<TargetView> {
        self.targets.keys().filter_map(|name| self.view(name)).collect()
    }

    pub(crate) fn events(&self) -> Vec<EmittedEvent> {
        self.events.iter().cloned().collect()
    }

    pub(crate) fn emitted(&self) -> u64 {
        self.emitted
    }

    /// Hands an event to every target that takes it; gives its number.
    pub(crate) fn emit(&mut self, event: Event, now: Moment) -> u64 {
        let number = self.keep(&event, &event.kind, now);
        let event = Arc::new(event);
        let names: Vec<String> =
            self.targets.iter().filter(|(_, target)| target.spec.takes(&event)).map(|(name, _)| name.clone()).collect();
        for name in names {
            self.hand(&name, number, &event, now);
        }
        number
    }

    /// Hands the bare body of a direct callback to a URL.
    pub(crate) fn call_back(&mut self, url: &str, stack_id: &str, body: Value, now: Moment) {
        let event = Event { kind: "NotificationURLs".to_owned(), stack_id: stack_id.to_owned(), envelope: body };
        let number = self.keep(&event, "NotificationURLs", now);
        if !self.targets.contains_key(url) {
            // No rule leads there: it takes nothing but what is handed to it.
            let spec = EventTarget {
                signature: Signature::None,
                retry: RetryStrategy::NoRetry,
                types: vec![" ".to_owned()],
                ..EventTarget::http(url)
            };
            let refusal = match Url::parse(url) {
                Err(error) => Some(error),
                Ok(_) => (self.targets.len() >= TARGETS_ALLOWED).then_some("too many event targets"),
            };
            if let Some(error) = refusal {
                self.note(number, url, DeliveryOutcome::Dead, error, now);
                return;
            }
            self.targets.insert(url.to_owned(), Target::new(spec));
        }
        self.hand(url, number, &Arc::new(event), now);
    }

    fn keep(&mut self, event: &Event, kind: &str, now: Moment) -> u64 {
        self.emitted = self.emitted.saturating_add(1);
        if self.events.len() >= EVENTS_KEPT {
            self.events.pop_front();
        }
        self.events.push_back(EmittedEvent {
            number: self.emitted,
            at: rfc3339(now),
            kind: kind.to_owned(),
            stack: event.stack_id.clone(),
            event: event.envelope.clone(),
            deliveries: Vec::new(),
        });
        self.emitted
    }

    fn hand(&mut self, name: &str, number: u64, event: &Arc<Event>, now: Moment) {
        let Some(target) = self.targets.get_mut(name) else {
            return;
        };
        let mut lost = 0_u32;
        for _ in 0..=target.spec.duplicates {
            let drop = target.random.next() < target.spec.drop;
            let late = target.random.next() * target.spec.shuffle;
            if drop || target.waiting.len() >= WAITING_ALLOWED {
                lost = lost.saturating_add(1);
                continue;
            }
            let at = now + time::Duration::seconds_f64(late);
            target.waiting.push(Waiting { number, event: event.clone(), attempt: 1, at });
        }
        target.dropped = target.dropped.saturating_add(u64::from(lost));
        for _ in 0..lost {
            self.note(number, name, DeliveryOutcome::Dropped, "lost on the way", now);
        }
    }

    /// What is to be delivered now: one event for each target that is not busy. Each must come back by [`Bridge::finished`].
    pub(crate) fn take_due(&mut self, now: Moment) -> Vec<Job> {
        let mut jobs = Vec::new();
        for (name, target) in self.targets.iter_mut().filter(|(_, target)| !target.busy) {
            let due = target.waiting.iter().enumerate().filter(|(_, waiting)| waiting.at <= now).min_by_key(|(_, waiting)| waiting.at);
            let Some(index) = due.map(|(index, _)| index) else {
                continue;
            };
            let waiting = target.waiting.remove(index);
            target.busy = true;
            target.turn = target.turn.wrapping_add(1);
            let Waiting { number, event, attempt, .. } = waiting;
            jobs.push(Job { name: name.clone(), target: target.spec.clone(), number, event, attempt, turn: target.turn });
        }
        jobs
    }

    /// The next moment at which [`Bridge::take_due`] gives something, unless a delivery ends before.
    pub(crate) fn next_due(&self) -> Option<Moment> {
        self.targets.values().filter(|target| !target.busy).flat_map(|target| &target.waiting).map(|waiting| waiting.at).min()
    }

    /// Whether nothing is under way or due.
    pub(crate) fn is_settled(&self, now: Moment) -> bool {
        self.targets.values().all(|target| !target.busy && target.waiting.iter().all(|waiting| waiting.at > now))
    }

    /// A delivery ended; gives whether the event is a dead letter now.
    pub(crate) fn finished(&mut self, job: &Job, result: Result<u16, (Option<u16>, String)>, now: Moment) -> bool {
        // A target that was removed or set anew meanwhile has nothing to do with this delivery.
        let target = self.targets.get_mut(&job.name).filter(|target| Arc::ptr_eq(&target.spec, &job.target));
        let mut outcome = if result.is_ok() { DeliveryOutcome::Delivered } else { DeliveryOutcome::Dead };
        if let Some(target) = target {
            target.busy = false;
            if result.is_ok() {
                target.delivered = target.delivered.saturating_add(1);
            } else if let Some(pause) = target.spec.retry.pause(job.attempt, target.random.next()) {
                outcome = DeliveryOutcome::Retried;
                let at = now + time::Duration::seconds_f64(pause);
                let attempt = job.attempt.saturating_add(1);
                target.waiting.push(Waiting { number: job.number, event: job.event.clone(), attempt, at });
            } else {
                if target.dead_letters.len() >= DEAD_LETTERS_KEPT {
                    target.dead_letters.pop_front();
                }
                target.dead_letters.push_back(job.number);
            }
        }
        let (status, error) = match result {
            Ok(status) => (Some(status).filter(|status| *status > 0), None),
            Err((status, error)) => (status, Some(error)),
        };
        self.add(job.number, Delivery { target: job.name.clone(), attempt: job.attempt, at: rfc3339(now), outcome, status, error });
        outcome == DeliveryOutcome::Dead
    }

    /// Notes what became of a delivery that was not tried.
    fn note(&mut self, number: u64, name: &str, outcome: DeliveryOutcome, error: &str, now: Moment) {
        let error = Some(error.to_owned());
        self.add(number, Delivery { target: name.to_owned(), attempt: 1, at: rfc3339(now), outcome, status: None, error });
    }

    fn add(&mut self, number: u64, delivery: Delivery) {
        let event = self.events.iter_mut().rev().find(|event| event.number == number);
        if let Some(event) = event.filter(|event| event.deliveries.len() < DELIVERIES_KEPT) {
            event.deliveries.push(delivery);
        }
    }
}

/// Events, as tests ask for them.
impl Sandbox {
    /// Sets where events go, as `PUT /event-targets/NAME` does. What waited at a target of that name is forgotten.
    ///
    /// # Errors
    /// The description makes no sense, or there are too many.
    pub fn target(&self, name: &str, target: EventTarget) -> Result<(), TargetError> {
        self.running.world.lock().bridge.set(name, target)
    }

    /// A target of events as it stands.
    pub fn target_view(&self, name: &str) -> Option<TargetView> {
        self.running.world.lock().bridge.view(name)
    }

    /// All targets of events, direct callbacks included, as they stand.
    pub fn targets(&self) -> Vec<TargetView> {
        self.running.world.lock().bridge.views()
    }

    /// Removes a target of events. False if there was none.
    pub fn remove_target(&self, name: &str) -> bool {
        self.running.world.lock().bridge.remove(name)
    }

    /// The events that were emitted, direct callbacks included, with what became of them, oldest first; the last 4096.
    pub fn events(&self) -> Vec<EmittedEvent> {
        self.running.world.advance();
        self.running.world.lock().bridge.events()
    }

    /// Emits an event of any type, whatever the stack is doing, as `POST /events` does; gives its number.
    #[expect(clippy::needless_pass_by_value, reason = "callers build the description in place")]
    pub fn emit(&self, request: EventRequest) -> u64 {
        self.running.world.emit(&request)
    }

    /// Waits until every delivery that is due has been tried. Retries that are due later, by the sandbox's clock, are not waited for.
    pub async fn deliveries_settled(&self) {
        let world = &self.running.world;
        let mut delivered = world.delivered.subscribe();
        world.advance();
        while !world.lock().bridge.is_settled(world.clock.now()) {
            if delivered.changed().await.is_err() {
                return;
            }
        }
    }

    /// The bodies in a queue of the sandbox, oldest first.
    pub fn queued(&self, queue: &str) -> Vec<String> {
        self.queue(queue).map(|queue| queue.messages.into_iter().map(|message| message.body).collect()).unwrap_or_default()
    }

    /// Where the certificate is served that belongs to the signatures of events; over HTTPS, trust [`Sandbox::ca_file`].
    pub fn event_certificate_url(&self) -> String {
        self.running.world.event_certificate().0
    }

    /// That certificate in PEM, for pinning.
    pub fn event_certificate(&self) -> &'static str {
        crate::seal::CERTIFICATE
    }
}

/// splitmix64: the same seed gives the same course.
#[derive(Debug)]
struct Random(u64);

impl Random {
    /// From 0 to less than 1.
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let upper = u32::try_from((z ^ (z >> 31)) >> 32).unwrap_or_default();
        f64::from(upper) / (f64::from(u32::MAX) + 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_course_and_another_seed_another() {
        let course = |seed| {
            let mut random = Random(seed);
            (0..8).map(|_| random.next().to_bits()).collect::<Vec<u64>>()
        };
        assert_eq!(course(7), course(7));
        assert_ne!(course(7), course(8));
        let mut random = Random(1);
        let sum: f64 = (0..10_000).map(|_| random.next()).sum();
        assert!((4_800.0..5_200.0).contains(&sum), "{sum}");
    }
}
