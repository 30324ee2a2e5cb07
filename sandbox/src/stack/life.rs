//! How an operation goes on by the clock: conditions that begin late, its end or failure, its rollback, and what follows.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::change::rollback_of;
use super::put::begun;
use super::spec::{CreateOption, StackSpec};
use super::status::{Operation, Phase, Status};
use super::{Available, Resource, ResourceKind, SignalStatus, Stack};
use crate::clock::Moment;
use crate::switches::Switches;

/// How the operation under way goes on.
#[derive(Debug, Clone, Default)]
pub(crate) struct Course {
    /// It does not end before; none: it ends with its conditions, or when told.
    pub(super) ends: Option<Moment>,
    /// Why it fails then.
    pub(super) fails: Option<String>,
    pub(super) rollback_fails: bool,
    /// When its conditions begin, if not at once.
    pub(super) conditions_begin: Option<Moment>,
}

/// What a rollback brings back.
#[derive(Debug, Clone)]
pub(crate) struct Before {
    metadata: BTreeMap<String, Map<String, Value>>,
    template: Option<String>,
    parameters: BTreeMap<String, String>,
}

impl Before {
    pub(super) fn of(stack: &Stack) -> Self {
        let metadata = stack.resources.iter().map(|(name, resource)| (name.clone(), resource.metadata.clone())).collect();
        Self { metadata, template: stack.template.clone(), parameters: stack.parameters.clone() }
    }
}

/// A change of the stack's own status, with all that the outside may be told of it.
#[derive(Debug, Clone)]
pub(crate) struct Notice {
    pub(crate) at: Moment,
    pub(crate) stack_id: String,
    pub(crate) stack_name: String,
    pub(crate) region: String,
    pub(crate) status: Status,
    pub(crate) reason: String,
    /// A failure is rolled back, and not told.
    pub(crate) rollback: bool,
    pub(crate) outputs: Vec<Value>,
    pub(crate) urls: Vec<String>,
}

impl Stack {
    /// Changes of the status since the last call, oldest first.
    pub(crate) fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// The record of the stack is gone, though its resources stay (`CreateOption`).
    pub(crate) fn is_abandoned(&self) -> bool {
        match self.create_option {
            CreateOption::KeepStackOnCreationComplete => false,
            CreateOption::AbandonStackOnCreationComplete => self.status == Status::CREATE_COMPLETE,
            CreateOption::AbandonStackOnCreationRollbackComplete => self.status == Status::new(Operation::CreateRollback, Phase::Complete),
        }
    }

    /// `Outputs` as GetStack and events show them.
    pub(crate) fn outputs(&self) -> Vec<Value> {
        let output = |(key, value)| json!({"Description": "No description given", "OutputKey": key, "OutputValue": value});
        self.outputs.iter().map(output).collect()
    }

    /// Keeps what the outside may be told, and sets when the next operation of the programme begins.
    pub(super) fn status_changed(&mut self, now: Moment) {
        self.notices.push(Notice {
            at: now,
            stack_id: self.id.clone(),
            stack_name: self.name.clone(),
            region: self.region.clone(),
            status: self.status,
            reason: self.reason.clone(),
            rollback: self.rollback,
            outputs: self.outputs(),
            urls: self.notification_urls.clone(),
        });
        self.schedule_next(now);
    }

    pub(super) fn schedule_next(&mut self, now: Moment) {
        let rests = !self.status.in_progress() || self.status.operation == Operation::Review;
        let after = self.programme.front().filter(|_| rests).map(|change| change.after);
        self.next_at = after.map(|seconds| now + time::Duration::seconds_f64(seconds));
    }

    pub(super) fn set_metadata(&mut self, spec: &StackSpec, now: Moment) {
        for (name, metadata) in spec.metadata.iter().flatten() {
            self.give_metadata(name, metadata.as_object().cloned().unwrap_or_default(), now);
        }
    }

    fn give_metadata(&mut self, name: &str, metadata: Map<String, Value>, now: Moment) {
        let Some(resource) = self.resources.get_mut(name).filter(|resource| resource.metadata != metadata) else {
            return;
        };
        resource.metadata = metadata;
        resource.updated = now;
    }

    /// A failed creation goes on: what failed is made again. FAILUREs are forgotten; the same signal may come again as a SUCCESS.
    pub(super) fn continue_creation(&mut self, course: Course, now: Moment, switches: &Switches) {
        self.course = course;
        self.set_stack_status(Status::CREATE_IN_PROGRESS, &begun(Status::CREATE_IN_PROGRESS), now);
        let begins = self.course.conditions_begin;
        let mut again = Vec::new();
        for (name, resource) in &mut self.resources {
            match &mut resource.kind {
                ResourceKind::Handle(handle) => {
                    let failures = handle.signals.values_mut().filter(|signal| signal.kind == SignalStatus::Failure);
                    failures.for_each(|signal| signal.waited_for = 0);
                }
                ResourceKind::Condition(condition) if !resource.status.complete() || resource.status.operation == Operation::Init => {
                    condition.begins = begins;
                    condition.look_at = None;
                    condition.deadline = None;
                    again.push(name.clone());
                }
                _ => {}
            }
        }
        for name in &again {
            if begins.is_none() {
                self.begin_condition(name, Status::CREATE_IN_PROGRESS, now, switches);
            }
        }
        for (name, resource) in self.resources.clone() {
            if resource.status.failed() && !again.contains(&name) {
                self.set_resource_status(&name, Status::CREATE_COMPLETE, "", now);
            }
        }
    }

    /// A deletion or a check: no condition takes part in it.
    pub(super) fn begin_alone(&mut self, status: Status, course: Course, now: Moment) {
        self.drop_beginnings();
        self.course = course;
        self.set_stack_status(status, &begun(status), now);
        self.set_all(status, now);
    }

    fn set_all(&mut self, status: Status, now: Moment) {
        let names: Vec<String> = self.resources.keys().cloned().collect();
        for name in names {
            self.set_resource_status(&name, status, "", now);
        }
    }

    /// Conditions that were to begin later in this operation do not begin any more.
    pub(super) fn drop_beginnings(&mut self) {
        for resource in self.resources.values_mut() {
            if let ResourceKind::Condition(condition) = &mut resource.kind {
                condition.begins = None;
            }
        }
    }

    /// The conditions begin whose time has come.
    pub(super) fn begin_conditions(&mut self, now: Moment, switches: &Switches) {
        let due: Vec<(String, bool)> = self
            .conditions()
            .filter(|(_, _, condition)| condition.begins.is_some_and(|at| at <= now))
            .map(|(name, resource, _)| (name.clone(), resource.status.operation == Operation::Init))
            .collect();
        for (name, new) in due {
            let creates = new || matches!(self.status.operation, Operation::Create | Operation::ImportCreate);
            let status = if creates { Status::CREATE_IN_PROGRESS } else { Status::UPDATE_IN_PROGRESS };
            self.begin_condition(&name, status, now, switches);
        }
    }

    fn begin_condition(&mut self, name: &str, status: Status, now: Moment, switches: &Switches) {
        let handle = self.conditions().find(|(other, _, _)| other.as_str() == name).map(|(_, _, condition)| condition.handle.clone());
        let open = handle.and_then(|handle| self.handle(&handle).map(|handle| handle.available == Available::Now)).unwrap_or(false);
        if let Some(condition) = self.condition_mut(name) {
            condition.begins = None;
            condition.deadline = open.then(|| now + time::Duration::seconds_f64(condition.timeout));
        }
        self.set_resource_status(name, status, "", now);
        self.look(name, now, switches);
    }

    /// What the clock does to the operation under way.
    pub(super) fn go_on(&mut self, now: Moment, switches: &Switches) {
        if self.course.ends.is_some_and(|at| at <= now) {
            self.end(now);
        }
        if self.rollback_ends.is_some_and(|at| at <= now) {
            self.rollback_ends = None;
            let fails = std::mem::take(&mut self.course.rollback_fails);
            let (phase, reason) =
                if fails { (Phase::Failed, "Stack rollback failed") } else { (Phase::Complete, "Stack rollback completed") };
            self.set_stack_status(self.status.with(phase), reason, now);
        }
        if self.next_at.is_some_and(|at| at <= now) {
            self.follow(now, switches);
        }
    }

    /// The time of the operation is over.
    fn end(&mut self, now: Moment) {
        self.course.ends = None;
        let fails = self.course.fails.take();
        match (self.status.operation, fails) {
            (Operation::Delete | Operation::Check, fails) => {
                let phase = if fails.is_some() { Phase::Failed } else { Phase::Complete };
                let status = self.status.with(phase);
                self.set_all(status, now);
                self.set_stack_status(status, &fails.unwrap_or_else(|| begun(status)), now);
            }
            (_, Some(reason)) => self.fail(&reason, now),
            (_, None) => self.complete_if_all_are(now),
        }
    }

    /// The next operation of the programme begins. If it cannot, the programme ends, and the stack's events say so.
    fn follow(&mut self, now: Moment, switches: &Switches) {
        self.next_at = None;
        let Some(change) = self.programme.pop_front() else {
            return;
        };
        if let Err(error) = self.begin(&change, now, switches) {
            self.programme.clear();
            self.tell(None, self.status, &format!("The programme of the sandbox ends here: {error}"), None, now);
            return;
        }
        for change in change.then.into_iter().rev() {
            self.programme.push_front(change);
        }
        self.schedule_next(now);
    }

    /// Conditions that wait are given up.
    pub(super) fn give_up(&mut self, reason: &str, now: Moment) {
        self.drop_beginnings();
        let waiting = |(name, resource, _): (&String, &Resource, _)| {
            resource.status.waits().then(|| (name.clone(), resource.status.with(Phase::Failed)))
        };
        let waiting: Vec<(String, Status)> = self.conditions().filter_map(waiting).collect();
        for (name, status) in waiting {
            self.set_resource_status(&name, status, reason, now);
        }
    }

    /// A rollback begins, where the operation can be rolled back. The earlier configuration is there again.
    pub(super) fn roll_back(&mut self, reason: &str, now: Moment) {
        let Some(rollback) = rollback_of(self.status.operation) else {
            return;
        };
        if let Some(before) = self.before.take().filter(|_| matches!(rollback, Operation::Rollback | Operation::ImportUpdateRollback)) {
            self.template = before.template;
            self.parameters = before.parameters;
            for (name, metadata) in before.metadata {
                self.give_metadata(&name, metadata, now);
            }
        }
        self.set_stack_status(Status::new(rollback, Phase::InProgress), reason, now);
        self.rollback_ends = Some(now + time::Duration::seconds_f64(self.rollback_seconds));
    }
}
