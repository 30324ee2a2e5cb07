//! All that the sandbox holds, behind one lock, and the bells that wake those who wait for a change.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, broadcast, watch};

use crate::answer::{self, Answer, Outcome};
use crate::api::{self, ClientTokens, Scripted, Seen};
use crate::bridge::Bridge;
use crate::clock::{Clock, Moment, rfc3339};
use crate::ess::{Ess, ScalingError, Transition};
use crate::events::{self, EventRequest};
use crate::faults::Faults;
use crate::gate::Gate;
use crate::handle;
use crate::metadata::{self, Metadata};
use crate::records::Records;
use crate::request::{Request, Service};
use crate::smq::{Smq, SmqError};
use crate::stack::Stack;
use crate::stack::change::{self, Change, ChangeError};
use crate::stack::life::Notice;
use crate::stack::spec::{self, SpecError, StackSpec};
use crate::stack::status::Status;
use crate::stack::view::TimelineEvent;
use crate::sts::Sts;
use crate::switches::Switches;
use crate::throttle::Bucket;

/// Stacks held at once; one more is refused.
const STACKS_KEPT: usize = 10_000;

/// Timeline events that a slow subscriber may lag behind; then it loses the oldest, and is told how many.
const TIMELINE_KEPT: usize = 1024;

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) clock: Clock,
    inner: Mutex<Inner>,
    /// Something changed that may move the next due moment.
    pub(crate) due_changed: Notify,
    /// Rings at every change of the faults or the clock, and once more at the end (the sender is dropped with the world).
    pub(crate) faults_changed: watch::Sender<()>,
    pub(crate) timeline: broadcast::Sender<TimelineEvent>,
    /// Something changed that may move the next delivery of an event.
    pub(crate) deliveries_changed: Notify,
    /// Rings when a delivery has ended.
    pub(crate) delivered: watch::Sender<()>,
    /// Where the certificate of EventBridge is served, and the authority to trust there; known once the ports are open.
    pub(crate) certificate: OnceLock<(String, PathBuf)>,
}

/// What the lock holds.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) switches: Switches,
    pub(crate) stacks: BTreeMap<String, Stack>,
    pub(crate) ess: Ess,
    pub(crate) gate: Gate,
    pub(crate) client_tokens: ClientTokens,
    pub(crate) faults: Faults,
    pub(crate) metadata: Metadata,
    pub(crate) handles: handle::Signer,
    pub(crate) sts: Sts,
    pub(crate) smq: Smq,
    pub(crate) records: Records,
    pub(crate) bridge: Bridge,
    /// Bodies by the name of a queue, oldest first.
    /// Calls of GetStack that the account has left.
    pub(crate) get_stack: Bucket,
}

impl World {
    pub(crate) fn new(clock: Clock, gate: Gate, switches: Switches) -> Self {
        Self {
            clock,
            inner: Mutex::new(Inner {
                switches,
                stacks: BTreeMap::new(),
                ess: Ess::default(),
                gate,
                client_tokens: ClientTokens::default(),
                faults: Faults::default(),
                metadata: Metadata::default(),
                handles: handle::Signer::default(),
                sts: Sts::default(),
                smq: Smq::default(),
                records: Records::default(),
                bridge: Bridge::default(),
                get_stack: Bucket::default(),
            }),
            due_changed: Notify::new(),
            faults_changed: watch::Sender::new(()),
            timeline: broadcast::Sender::new(TIMELINE_KEPT),
            deliveries_changed: Notify::new(),
            delivered: watch::Sender::new(()),
            certificate: OnceLock::new(),
        }
    }

    /// The lock. No holder can panic halfway through a change that matters, so a poisoned lock is used on.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings all stacks to the present.
    pub(crate) fn advance(&self) {
        let now = self.clock.now();
        let mut inner = self.lock();
        inner.ess.advance(now);
        let switches = inner.switches;
        for stack in inner.stacks.values_mut().filter(|stack| stack.next_due().is_some_and(|due| due <= now)) {
            stack.advance(now, &switches);
        }
        self.publish(&mut inner);
    }

    /// How long until a stack has something to do.
    pub(crate) fn until_due(&self) -> Option<Duration> {
        let inner = self.lock();
        let due = inner.stacks.values().filter_map(Stack::next_due).chain(inner.ess.next_due()).min()?;
        drop(inner);
        Some(Duration::try_from(due - self.clock.now()).unwrap_or(Duration::ZERO))
    }

    /// Creates, updates or forces a stack.
    pub(crate) fn put_stack(&self, id: &str, spec: &StackSpec) -> Result<(), SpecError> {
        spec::check(id, spec)?;
        let mut named = spec.metadata.iter().flatten().map(|(name, _)| name);
        let known = |name: &&String| spec.resources.is_some() || self.lock().stacks.get(id).is_some_and(|stack| stack.has_resource(name));
        if let Some(name) = named.find(|name| !known(name)) {
            return Err(SpecError::NoSuchResource(name.clone()));
        }
        let now = self.clock.now();
        let mut inner = self.lock();
        let switches = inner.switches;
        let full = inner.stacks.len() >= STACKS_KEPT;
        match inner.stacks.get_mut(id) {
            Some(stack) => {
                stack.advance(now, &switches);
                stack.put(spec, now, &switches);
            }
            None if full => {
                return Err(SpecError::TooMany { what: "stacks", limit: STACKS_KEPT });
            }
            None => {
                inner.stacks.insert(id.to_owned(), Stack::create(id, spec, now));
            }
        }
        self.publish(&mut inner);
        drop(inner);
        self.due_changed.notify_one();
        Ok(())
    }

    /// Begins an operation of a stack's life.
    pub(crate) fn change_stack(&self, id: &str, change: &Change) -> Result<(), ChangeError> {
        let now = self.clock.now();
        let mut inner = self.lock();
        let switches = inner.switches;
        let full = inner.stacks.len() >= STACKS_KEPT;
        if let Some(made) = change::begin(id, inner.stacks.get_mut(id), change, now, &switches)? {
            if full {
                return Err(SpecError::TooMany { what: "stacks", limit: STACKS_KEPT }.into());
            }
            inner.stacks.insert(id.to_owned(), made);
        }
        self.publish(&mut inner);
        drop(inner);
        self.due_changed.notify_one();
        Ok(())
    }

    /// Begins a scaling activity.
    pub(crate) fn scale(&self, group: &str, transition: Transition, instances: &[String]) -> Result<String, ScalingError> {
        let now = self.clock.now();
        let mut inner = self.lock();
        let switches = inner.switches;
        let activity = inner.ess.scale(group, transition, instances, now, &switches)?;
        drop(inner);
        self.due_changed.notify_one();
        Ok(activity)
    }

    /// Makes a handle available that was too early until told. False if there is no such stack or handle.
    pub(crate) fn make_available(&self, stack: &str, handle: &str) -> bool {
        let now = self.clock.now();
        let mut inner = self.lock();
        let done = inner.stacks.get_mut(stack).is_some_and(|stack| stack.make_available(handle, now));
        self.publish(&mut inner);
        drop(inner);
        self.due_changed.notify_one();
        done
    }

    /// Puts a message into a queue of SMQ; polls that wait for it are answered. Gives its id.
    pub(crate) fn put_message(&self, queue: &str, body: &str) -> Result<String, SmqError> {
        let put = self.lock().smq.put(queue, body, self.clock.now());
        self.ring();
        put
    }

    /// Publishes a message to a topic of SMQ. Gives its id.
    pub(crate) fn publish_message(&self, topic: &str, body: &str) -> Result<String, SmqError> {
        let mut inner = self.lock();
        let account = inner.metadata.account();
        let published = inner.smq.publish(topic, body, &account, self.clock.now());
        drop(inner);
        self.ring();
        published
    }

    /// Rings the bell for those who wait for the faults or the clock.
    pub(crate) fn ring(&self) {
        self.faults_changed.send_replace(());
        self.due_changed.notify_one();
        self.deliveries_changed.notify_one();
    }

    /// Does what a request asks for.
    pub(crate) fn process(&self, request: &Request, scripted: Option<&Scripted>) -> (Answer, Seen) {
        self.advance();
        let now = self.clock.now();
        let mut inner = self.lock();
        let result = match request.service {
            Service::Metadata => (metadata::answer(&mut inner, request, now, self.clock.told()), Seen::default()),
            Service::Handle => (handle::answer(&mut inner, request, now), Seen::default()),
            // SMQ is answered in `smq::serve`.
            Service::Ros | Service::Smq | Service::Control => api::answer(&mut inner, request, scripted, now, self.clock.told()),
        };
        self.publish(&mut inner);
        drop(inner);
        self.due_changed.notify_one();
        result
    }

    /// Completes the record of a request.
    pub(crate) fn record(&self, number: u64, fault: Option<String>, seen: &Seen, outcome: &Outcome, now: Moment) {
        self.lock().records.complete(number, |record| {
            record.answered_at = Some(rfc3339(now));
            record.verified = seen.verified;
            record.replayed = seen.replayed;
            record.fault = fault;
            if let Outcome::Answer(answer) = outcome {
                record.status = Some(answer.status);
                record.code.clone_from(&answer.code);
                let id = answer.headers.iter().find(|(name, _)| name == answer::REQUEST_ID_HEADER || name == answer::SMQ_REQUEST_ID_HEADER);
                record.request_id = id.map(|(_, id)| id.clone());
            }
        });
    }

    /// Where the certificate of EventBridge is served over HTTPS, and the authority to trust there.
    pub(crate) fn event_certificate(&self) -> (String, Option<PathBuf>) {
        self.certificate.get().map_or_else(Default::default, |(url, authority)| (url.clone(), Some(authority.clone())))
    }

    /// Emits an event that is asked for; gives its number.
    pub(crate) fn emit(&self, request: &EventRequest) -> u64 {
        let now = self.clock.now();
        let mut inner = self.lock();
        let switches = inner.switches;
        let account = inner.account();
        let stack = inner.stacks.get(&request.stack);
        let notice = Notice {
            at: now,
            stack_id: request.stack.clone(),
            stack_name: stack.map_or_else(|| request.stack.clone(), |stack| stack.name.clone()),
            region: stack.map_or_else(|| "cn-hangzhou".to_owned(), |stack| stack.region.clone()),
            status: stack.map_or(Status::DELETE_COMPLETE, |stack| stack.status),
            reason: stack.map(|stack| stack.reason.clone()).unwrap_or_default(),
            rollback: false,
            outputs: stack.map(Stack::outputs).unwrap_or_default(),
            urls: Vec::new(),
        };
        let number = inner.bridge.emit(events::requested(request, notice, &account, &switches), now);
        drop(inner);
        self.deliveries_changed.notify_one();
        number
    }

    /// Tells the outside what happened to the stacks, and drops the records that are to go.
    fn publish(&self, inner: &mut Inner) {
        let account = inner.account();
        let Inner { stacks, bridge, switches, .. } = inner;
        let emitted = bridge.emitted();
        for stack in stacks.values_mut() {
            for event in stack.take_timeline() {
                // Nobody listens: that is fine, the events stay readable as stack events.
                let _ = self.timeline.send(event);
            }
            for notice in stack.take_notices() {
                for event in events::of(&notice, &account, switches) {
                    bridge.emit(event, notice.at);
                }
                if let Some((urls, body)) = events::callbacks(&notice) {
                    urls.iter().for_each(|url| bridge.call_back(url, &notice.stack_id, body.clone(), notice.at));
                }
            }
        }
        stacks.retain(|_, stack| !stack.is_abandoned());
        if bridge.emitted() > emitted {
            self.deliveries_changed.notify_one();
        }
    }
}

impl Inner {
    fn account(&self) -> String {
        self.metadata.values().get("meta-data/owner-account-id").cloned().unwrap_or_default()
    }
}
