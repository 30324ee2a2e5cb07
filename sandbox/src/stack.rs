//! A stack as ROS would keep it: a pure model of `ALIYUN::ROS::WaitConditionHandle` and `ALIYUN::ROS::WaitCondition`.
//!
//! Everything here is a function of the stack, the moment, the switches and the signal; nothing reads a clock or does
//! I/O. The rules come from the ROS pages on both resources (48502, 48503); where those are silent the model follows
//! OpenStack Heat, from which ROS evidently derives, or a [`Switches`](crate::Switches) decides.
//!
//! - `spec`: the stack as a test describes it
//! - `status`: the names of statuses
//! - `put`: creation, update and forced statuses
//! - `change`: the operations of a stack's life, as a test asks for them; `life`: how they go on by the clock
//! - `signal`: arrival of a signal and the look of a condition at its signals
//! - `view`: what can be read back
//! - `template`: the template that GetTemplate shows

pub(crate) mod change;
pub(crate) mod life;
mod put;
mod signal;
pub(crate) mod spec;
pub(crate) mod status;
mod template;
#[cfg(test)]
mod tests;
pub(crate) mod view;

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Map, Value};
use uuid::Uuid;

use crate::clock::Moment;
use crate::stack::change::Change;
use crate::stack::life::{Before, Course, Notice};
use crate::stack::spec::{CreateOption, Mode};
use crate::stack::status::{Operation, Phase, Status};
use crate::stack::view::{SignalSeen, TimelineEvent};
use crate::switches::{Switches, UpdateTimeMoves};

pub use signal::SignalStatus;
pub(crate) use signal::{Message, Signal};

/// Events kept per stack; the oldest are forgotten first.
const EVENTS_KEPT: usize = 1000;

/// Signals kept per handle; one more is refused with `RequestLimitExceeded`.
pub(crate) const SIGNALS_KEPT: usize = 10_000;

/// Things that may fall due one after the other in one [`Stack::advance`]; the rest waits for the next one.
const STEPS: usize = 10_000;

#[derive(Debug, Clone)]
pub(crate) struct Stack {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) region: String,
    pub(crate) status: Status,
    pub(crate) reason: String,
    pub(crate) rollback: bool,
    rollback_seconds: f64,
    rollback_ends: Option<Moment>,
    pub(crate) created: Moment,
    pub(crate) updated: Option<Moment>,
    /// Number of the creation or update under way or last done: 1 is the creation.
    operation: u32,
    pub(crate) resources: BTreeMap<String, Resource>,
    pub(crate) events: VecDeque<StackEvent>,
    /// As given; none: made from the resources.
    template: Option<String>,
    pub(crate) parameters: BTreeMap<String, String>,
    pub(crate) outputs: BTreeMap<String, Value>,
    /// Whom the service tells of the end of an operation; `eventbridge` among them means EventBridge.
    pub(crate) notification_urls: Vec<String>,
    create_option: CreateOption,
    /// How the operation under way goes on.
    course: Course,
    /// What a rollback of the update under way brings back.
    before: Option<Before>,
    /// Operations that follow, and when the first of them begins, if nothing is under way.
    programme: VecDeque<Change>,
    next_at: Option<Moment>,
    update_time: UpdateTimeMoves,
    /// What happened since it was last taken; the timeline.
    outbox: Vec<TimelineEvent>,
    /// Changes of the stack's own status since they were last taken.
    notices: Vec<Notice>,
}

#[derive(Debug, Clone)]
pub(crate) struct Resource {
    pub(crate) kind: ResourceKind,
    pub(crate) status: Status,
    pub(crate) reason: String,
    pub(crate) physical_id: String,
    pub(crate) created: Moment,
    pub(crate) updated: Moment,
    /// `Metadata` of the resource in the template.
    pub(crate) metadata: Map<String, Value>,
}

#[derive(Debug, Clone)]
pub(crate) enum ResourceKind {
    Handle(Handle),
    Condition(Condition),
    Other { resource_type: String },
}

impl ResourceKind {
    pub(crate) fn resource_type(&self) -> &str {
        match self {
            Self::Handle(_) => "ALIYUN::ROS::WaitConditionHandle",
            Self::Condition(_) => "ALIYUN::ROS::WaitCondition",
            Self::Other { resource_type } => resource_type,
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Handle {
    mode: Mode,
    /// Effective only with `Mode: Full` and when not negative.
    count: i64,
    available: Available,
    pub(crate) signals: BTreeMap<String, Signal>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Available {
    Now,
    At(Moment),
    UntilTold,
}

#[derive(Debug, Clone)]
pub(crate) struct Condition {
    pub(crate) handle: String,
    pub(crate) count: u32,
    pub(crate) timeout: f64,
    /// Signals that were already with the handle when this operation began, and are subtracted from `count`.
    left: u32,
    deadline: Option<Moment>,
    look_at: Option<Moment>,
    /// It takes part in the operation under way, but only from then on; until then it shows its old status.
    begins: Option<Moment>,
}

#[derive(Debug, Clone)]
pub(crate) struct StackEvent {
    pub(crate) event_id: String,
    pub(crate) at: Moment,
    pub(crate) logical_id: String,
    pub(crate) physical_id: String,
    pub(crate) resource_type: String,
    pub(crate) status: Status,
    pub(crate) reason: String,
}

impl Stack {
    /// Brings the stack to `now`, one due moment after the other.
    pub(crate) fn advance(&mut self, now: Moment, switches: &Switches) {
        self.update_time = switches.update_time_moves;
        for _ in 0..STEPS {
            let Some(due) = self.next_due().filter(|due| *due <= now) else {
                return;
            };
            self.step(due, switches);
        }
    }

    /// What is due at `now`: handles become available, conditions begin, look at their signals or time out, an operation ends.
    fn step(&mut self, now: Moment, switches: &Switches) {
        self.open_handles(now);
        self.begin_conditions(now, switches);
        let due: Vec<String> = self
            .conditions()
            .filter(|(_, resource, condition)| {
                resource.status.waits() && (condition.look_at.is_some_and(|at| at <= now) || condition.deadline.is_some_and(|at| at <= now))
            })
            .map(|(name, _, _)| name.clone())
            .collect();
        for name in due {
            self.look(&name, now, switches);
        }
        self.go_on(now, switches);
    }

    /// The next moment at which [`Stack::advance`] has something to do.
    pub(crate) fn next_due(&self) -> Option<Moment> {
        let handles = self.resources.values().filter_map(|resource| match &resource.kind {
            ResourceKind::Handle(Handle { available: Available::At(at), .. }) => Some(*at),
            _ => None,
        });
        let conditions = self
            .conditions()
            .filter(|(_, resource, _)| resource.status.waits())
            .flat_map(|(_, _, condition)| [condition.look_at, condition.deadline])
            .flatten();
        let beginning = self.conditions().filter_map(|(_, _, condition)| condition.begins);
        handles.chain(conditions).chain(beginning).chain(self.rollback_ends).chain(self.course.ends).chain(self.next_at).min()
    }

    /// What happened since the last call, oldest first.
    pub(crate) fn take_timeline(&mut self) -> Vec<TimelineEvent> {
        std::mem::take(&mut self.outbox)
    }

    /// Makes a handle available that was created with `too_early = true`. False if there is no such handle.
    pub(crate) fn make_available(&mut self, name: &str, now: Moment) -> bool {
        let Some(Resource { kind: ResourceKind::Handle(handle), .. }) = self.resources.get_mut(name) else {
            return false;
        };
        if handle.available != Available::Now {
            handle.available = Available::At(now);
        }
        self.open_handles(now);
        true
    }

    fn conditions(&self) -> impl Iterator<Item = (&String, &Resource, &Condition)> {
        self.resources.iter().filter_map(|(name, resource)| match &resource.kind {
            ResourceKind::Condition(condition) => Some((name, resource, condition)),
            _ => None,
        })
    }

    /// Whether there is a resource of this name.
    pub(crate) fn has_resource(&self, name: &str) -> bool {
        self.resources.contains_key(name)
    }

    /// Whether there is a handle of this name.
    pub(crate) fn has_handle(&self, name: &str) -> bool {
        self.handle(name).is_some()
    }

    fn handle(&self, name: &str) -> Option<&Handle> {
        match self.resources.get(name).map(|resource| &resource.kind) {
            Some(ResourceKind::Handle(handle)) => Some(handle),
            _ => None,
        }
    }

    fn condition_mut(&mut self, name: &str) -> Option<&mut Condition> {
        match self.resources.get_mut(name).map(|resource| &mut resource.kind) {
            Some(ResourceKind::Condition(condition)) => Some(condition),
            _ => None,
        }
    }

    fn open_handles(&mut self, now: Moment) {
        let mut opened = Vec::new();
        for (name, resource) in &mut self.resources {
            if let ResourceKind::Handle(handle) = &mut resource.kind
                && matches!(handle.available, Available::At(at) if at <= now)
            {
                handle.available = Available::Now;
                if resource.status.waits() {
                    opened.push((name.clone(), resource.status.with(Phase::Complete)));
                }
            }
        }
        for (name, status) in opened {
            self.set_resource_status(&name, status, "", now);
            self.start_conditions_of(&name, now);
        }
    }

    /// A condition depends on its handle, so its Timeout runs from the moment the handle exists.
    fn start_conditions_of(&mut self, handle: &str, now: Moment) {
        for resource in self.resources.values_mut() {
            if let ResourceKind::Condition(condition) = &mut resource.kind
                && condition.handle == handle
                && condition.begins.is_none()
                && resource.status.waits()
            {
                condition.deadline = Some(now + time::Duration::seconds_f64(condition.timeout));
            }
        }
    }

    fn set_resource_status(&mut self, name: &str, status: Status, reason: &str, now: Moment) {
        let Some(resource) = self.resources.get_mut(name) else {
            return;
        };
        if resource.status == status && resource.reason == reason {
            return;
        }
        resource.status = status;
        resource.reason = reason.to_owned();
        resource.updated = now;
        if self.update_time == UpdateTimeMoves::Throughout && self.status.operation != Operation::Create {
            self.updated = Some(now);
        }
        self.tell(Some(name), status, reason, None, now);
    }

    fn set_stack_status(&mut self, status: Status, reason: &str, now: Moment) {
        self.status = status;
        self.reason = reason.to_owned();
        let moves = match self.update_time {
            UpdateTimeMoves::Start => status.in_progress(),
            UpdateTimeMoves::End => !status.in_progress(),
            UpdateTimeMoves::Both | UpdateTimeMoves::Throughout => true,
        };
        if moves && status.operation != Operation::Create {
            self.updated = Some(now);
        }
        self.tell(None, status, reason, None, now);
        self.status_changed(now);
    }

    /// Writes an event of the stack (`resource` none) or of a resource, and puts it on the timeline.
    fn tell(&mut self, resource: Option<&str>, status: Status, reason: &str, signal: Option<SignalSeen>, now: Moment) {
        let (logical_id, physical_id, resource_type) = match resource.and_then(|name| self.resources.get_key_value(name)) {
            Some((name, resource)) => (name.clone(), resource.physical_id.clone(), resource.kind.resource_type().to_owned()),
            None => (self.name.clone(), self.id.clone(), "ALIYUN::ROS::Stack".to_owned()),
        };
        if self.events.len() >= EVENTS_KEPT {
            self.events.pop_front();
        }
        self.outbox.push(TimelineEvent {
            at: crate::clock::rfc3339(now),
            stack_id: self.id.clone(),
            resource: resource.map(str::to_owned),
            status,
            reason: reason.to_owned(),
            signal,
        });
        self.events.push_back(StackEvent {
            event_id: Uuid::new_v4().to_string(),
            at: now,
            logical_id,
            physical_id,
            resource_type,
            status,
            reason: reason.to_owned(),
        });
    }
}
