//! Targets of EventBridge: where events go, in which form, and what goes wrong on the way. Everything here is a function of the target, the
//! event and the moment; what is random comes from a seed.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::clock::{Moment, rfc3339};
use crate::events::Event;
use crate::post::Url;
use crate::seal::Signature;
use crate::secret::Secret;

/// Targets at once.
const TARGETS_ALLOWED: usize = 64;

/// Deliveries that wait at one target; one more is dropped, and its record says so.
const WAITING_ALLOWED: usize = 10_000;

/// Events remembered with what became of them, and deliveries of each; the oldest are forgotten.
const EVENTS_KEPT: usize = 4096;
const DELIVERIES_KEPT: usize = 512;

/// Dead letters remembered at a target; the oldest are forgotten.
const DEAD_LETTERS_KEPT: usize = 1024;

/// Characters of a template (page on event transformation).
const VALUE_ALLOWED: usize = 10_240;

/// How an event becomes a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Transform {
    /// The whole event.
    #[default]
    Original,
    /// What `value` leads to, such as `$.data`.
    JsonPath,
    /// `value` itself.
    Constant,
    /// `value`, with `${name}` filled from the path of that name in `variables`.
    Template,
}

/// How a CloudEvent travels over HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ContentMode {
    /// The event is the body.
    #[default]
    Structured,
    /// The data is the body, the attributes are `ce-` headers.
    Binary,
    /// A list of one event is the body.
    Batch,
}

/// What happens when a target does not answer 2xx.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RetryStrategy {
    /// 3 more tries, 10 to 20 seconds apart.
    #[default]
    BackoffRetry,
    /// 176 more tries: after 1, 2, 4 ... 256 seconds, then every 512.
    ExponentialDecayRetry,
    /// None: how ROS posts to NotificationURLs is not documented.
    NoRetry,
}

impl RetryStrategy {
    /// Seconds before try number `attempt` + 1; none: it was the last.
    fn pause(self, attempt: u32, random: f64) -> Option<f64> {
        match self {
            Self::BackoffRetry => (attempt <= 3).then(|| random.mul_add(10.0, 10.0)),
            Self::ExponentialDecayRetry => {
                let exponent = i32::try_from(attempt.saturating_sub(1).min(9)).unwrap_or(9);
                (attempt <= 176).then(|| 2f64.powi(exponent))
            }
            Self::NoRetry => None,
        }
    }
}

/// Where events go: exactly one of `url`, `spool` and `queue`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EventTarget {
    /// An HTTP or HTTPS target on loopback.
    pub url: Option<String>,
    /// A directory: each event becomes a file there, written under a dot name and then renamed.
    pub spool: Option<PathBuf>,
    /// A queue of the sandbox.
    pub queue: Option<String>,
    /// Whether bodies in the queue are base64 (`IsBase64Encode`). Default false.
    pub base64: bool,
    /// Signatures of an HTTP target. Default v2.
    pub signature: Signature,
    /// Sent in `x-eventbridge-signature-token`. Default none.
    pub token: Option<Secret>,
    /// v2: the token's line does not take part in the text. Default false.
    pub no_token_line: bool,
    /// v2: no line feed ends the text. Default false.
    pub no_last_line_feed: bool,
    /// What `x-eventbridge-signature-url` says. Default: where the sandbox serves the certificate, over HTTPS.
    pub certificate_url: Option<String>,
    /// Seconds added to the time that is signed, which is the machine's: `advance` does not move it, `skew` does.
    pub timestamp_off: i32,
    /// How an event becomes a body. Default `ORIGINAL`.
    pub transform: Transform,
    /// The path, the text or the template of the transform.
    pub value: String,
    /// Paths of the names in a template.
    pub variables: BTreeMap<String, String>,
    /// How the event travels. Default structured.
    pub mode: ContentMode,
    /// `Content-Type`, in place of that of the mode.
    pub content_type: Option<String>,
    /// Only types that begin so, or all.
    pub types: Vec<String>,
    /// Only events of these stacks, or of all.
    pub stacks: Vec<String>,
    /// How many more times each event is delivered.
    pub duplicates: u32,
    /// Probability that a delivery is lost.
    pub drop: f64,
    /// Each delivery is put off by a random time up to this many seconds.
    pub shuffle: f64,
    /// Of all that is random here.
    pub seed: u64,
    /// What happens when the target fails.
    pub retry: RetryStrategy,
    /// A queue of the sandbox for events that could not be delivered.
    pub dead_letter_queue: Option<String>,
    /// Milliseconds that an HTTP target may take; 0, the default: 5000.
    pub timeout_ms: u32,
    /// The authority of an HTTPS target, in PEM. Default: that of the sandbox.
    pub ca_file: Option<PathBuf>,
}

impl EventTarget {
    /// An HTTP target, signed v2, the whole event structured.
    pub fn http(url: &str) -> Self {
        Self { url: Some(url.to_owned()), ..Self::default() }
    }

    /// A directory.
    pub fn spool(directory: impl Into<PathBuf>) -> Self {
        Self { spool: Some(directory.into()), ..Self::default() }
    }

    /// A queue of the sandbox.
    pub fn queue(name: &str) -> Self {
        Self { queue: Some(name.to_owned()), ..Self::default() }
    }

    fn takes(&self, event: &Event) -> bool {
        let kind = self.types.is_empty() || self.types.iter().any(|kind| event.kind.starts_with(kind));
        kind && (self.stacks.is_empty() || self.stacks.contains(&event.stack_id))
    }

    fn check(&self, name: &str) -> Result<(), TargetError> {
        let wrong = |message: &str| Err(TargetError(format!("event target '{name}': {message}")));
        if name.is_empty() || name.len() > 127 || name.contains('/') {
            return wrong("a name has 1 to 127 characters, none of them '/'");
        }
        if [self.url.is_some(), self.spool.is_some(), self.queue.is_some()].iter().filter(|given| **given).count() != 1 {
            return wrong("exactly one of url, spool and queue is needed");
        }
        if let Some(Err(error)) = self.url.as_deref().map(Url::parse) {
            return wrong(&format!("url: {error}"));
        }
        if !(0.0..=1.0).contains(&self.drop) {
            return wrong("drop must be 0 to 1");
        }
        if !(0.0..=86_400.0).contains(&self.shuffle) {
            return wrong("shuffle must be 0 to 86400 seconds");
        }
        if self.duplicates > 100 {
            return wrong("duplicates must be at most 100");
        }
        if self.value.len() > VALUE_ALLOWED {
            return wrong("value must be at most 10240 bytes long");
        }
        let token = self.token.as_ref().map_or("", Secret::reveal);
        let texts = [token, self.content_type.as_deref().unwrap_or_default(), self.certificate_url.as_deref().unwrap_or_default()];
        if texts.iter().any(|text| text.len() > 1024 || text.chars().any(char::is_control)) {
            return wrong("token, content_type and certificate_url must be at most 1024 bytes long, without control characters");
        }
        Ok(())
    }
}

/// A target cannot be set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TargetError(String);

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
        let random = Random(spec.seed);
        let spec = Arc::new(spec);
        let (waiting, dead_letters) = (Vec::new(), VecDeque::new());
        let target = Target { spec, random, waiting, busy: false, turn: 0, delivered: 0, dropped: 0, dead_letters };
        self.targets.insert(name.to_owned(), target);
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
            let unset = Url::parse(url).map_err(|error| TargetError(error.to_owned())).err();
            let named = spec.url.iter().all(|url| url.len() <= 1024);
            if unset.is_some() || !named || self.targets.len() >= TARGETS_ALLOWED {
                let error = unset.map_or_else(|| "too many event targets".to_owned(), |error| error.0);
                self.note(number, url, 1, DeliveryOutcome::Dead, Err(error), now);
                return;
            }
            let target = Target {
                spec: Arc::new(spec),
                random: Random(0),
                waiting: Vec::new(),
                busy: false,
                turn: 0,
                delivered: 0,
                dropped: 0,
                dead_letters: VecDeque::new(),
            };
            self.targets.insert(url.to_owned(), target);
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
            self.note(number, name, 1, DeliveryOutcome::Dropped, Err("lost on the way".to_owned()), now);
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

    fn note(&mut self, number: u64, name: &str, attempt: u32, outcome: DeliveryOutcome, result: Result<u16, String>, now: Moment) {
        let delivery =
            Delivery { target: name.to_owned(), attempt, at: rfc3339(now), outcome, status: result.clone().ok(), error: result.err() };
        self.add(number, delivery);
    }

    fn add(&mut self, number: u64, delivery: Delivery) {
        let event = self.events.iter_mut().rev().find(|event| event.number == number);
        if let Some(event) = event.filter(|event| event.deliveries.len() < DELIVERIES_KEPT) {
            event.deliveries.push(delivery);
        }
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
    fn retries_come_as_the_page_says() {
        let pauses = |strategy: RetryStrategy| (1..1000).map_while(move |attempt| strategy.pause(attempt, 0.5)).collect::<Vec<f64>>();
        assert_eq!(pauses(RetryStrategy::BackoffRetry), [15.0, 15.0, 15.0]);
        let decay = pauses(RetryStrategy::ExponentialDecayRetry);
        assert_eq!(decay.get(..10).unwrap(), [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0]);
        assert_eq!((decay.len(), decay.iter().filter(|pause| **pause >= 512.0).count()), (176, 167));
        assert!(pauses(RetryStrategy::NoRetry).is_empty());
    }

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
