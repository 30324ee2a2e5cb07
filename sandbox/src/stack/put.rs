//! Creation, update and forced statuses: what `PUT /stacks/ID` does to a stack.

use std::collections::{BTreeMap, VecDeque};

use serde_json::Map;
use uuid::Uuid;

use super::life::{Before, Course};
use super::spec::{Mode, ResourceSpec, StackSpec};
use super::status::{Operation, Phase, Status};
use super::{Available, Condition, Handle, Resource, ResourceKind, Stack};
use crate::clock::Moment;
use crate::switches::{Switches, UpdateTimeMoves};

impl Stack {
    /// A new stack. The description has been checked.
    pub(crate) fn create(id: &str, spec: &StackSpec, now: Moment) -> Self {
        Self::create_on(id, spec, Course::default(), UpdateTimeMoves::Both, now)
    }

    pub(super) fn create_on(id: &str, spec: &StackSpec, course: Course, update_time: UpdateTimeMoves, now: Moment) -> Self {
        let mut stack = Self {
            id: id.to_owned(),
            name: spec.name.clone().unwrap_or_else(|| id.to_owned()),
            region: spec.region.clone().unwrap_or_else(|| "cn-hangzhou".to_owned()),
            status: spec.status,
            reason: String::new(),
            rollback: spec.rollback,
            rollback_seconds: spec.rollback_seconds,
            rollback_ends: None,
            created: now,
            updated: None,
            operation: 1,
            resources: BTreeMap::new(),
            events: VecDeque::new(),
            template: spec.template.clone(),
            parameters: spec.parameters.clone().unwrap_or_default(),
            outputs: spec.outputs.clone().unwrap_or_default(),
            notification_urls: spec.notification_urls.clone().unwrap_or_default(),
            create_option: spec.create_option,
            course,
            before: None,
            programme: VecDeque::new(),
            next_at: None,
            update_time,
            outbox: Vec::new(),
            notices: Vec::new(),
        };
        stack.set_stack_status(spec.status, &begun(spec.status), now);
        let specs = spec.resources.clone().unwrap_or_default();
        for (name, resource) in &specs {
            stack.add(name, resource, now);
        }
        stack.set_metadata(spec, now);
        stack.open_handles(now);
        stack.arm(now);
        stack
    }

    /// Applies a new description to this stack: an update, or a status as told.
    pub(crate) fn put(&mut self, spec: &StackSpec, now: Moment, switches: &Switches) {
        if spec.status == Status::CREATE_IN_PROGRESS {
            let mut spec = spec.clone();
            spec.name.get_or_insert_with(|| self.name.clone());
            spec.region.get_or_insert_with(|| self.region.clone());
            self.begin_anew(&spec, Course::default(), now, switches);
            return;
        }
        self.programme.clear();
        self.next_at = None;
        self.take_over(spec);
        if spec.status == Status::UPDATE_IN_PROGRESS {
            self.update(spec, Course::default(), now, switches);
        } else {
            self.course = Course::default();
            self.force(spec, now);
        }
    }

    /// The stack begins its life again. What was told and not taken yet stays.
    pub(super) fn begin_anew(&mut self, spec: &StackSpec, course: Course, now: Moment, switches: &Switches) {
        let mut outbox = std::mem::take(&mut self.outbox);
        let mut notices = std::mem::take(&mut self.notices);
        *self = Self::create_on(&self.id, spec, course, switches.update_time_moves, now);
        outbox.append(&mut self.outbox);
        notices.append(&mut self.notices);
        self.outbox = outbox;
        self.notices = notices;
    }

    /// Takes over what a description says of the stack itself.
    pub(super) fn take_over(&mut self, spec: &StackSpec) {
        self.before = Some(Before::of(self));
        self.rollback = spec.rollback;
        self.rollback_seconds = spec.rollback_seconds;
        self.rollback_ends = None;
        if let Some(region) = &spec.region {
            self.region.clone_from(region);
        }
        if spec.template.is_some() {
            self.template.clone_from(&spec.template);
        }
        if let Some(parameters) = &spec.parameters {
            self.parameters.clone_from(parameters);
        }
        if let Some(name) = &spec.name {
            self.name.clone_from(name);
        }
        if let Some(outputs) = &spec.outputs {
            self.outputs.clone_from(outputs);
        }
        if let Some(urls) = &spec.notification_urls {
            self.notification_urls.clone_from(urls);
        }
    }

    fn force(&mut self, spec: &StackSpec, now: Moment) {
        self.set_stack_status(spec.status, &begun(spec.status), now);
        self.replace_resources(spec, now);
        self.set_metadata(spec, now);
        for resource in self.resources.values_mut() {
            if let ResourceKind::Condition(condition) = &mut resource.kind {
                condition.begins = None;
            }
        }
        let names: Vec<String> = self.resources.keys().cloned().collect();
        for name in names {
            let Some(before) = self.resources.get(&name).map(|resource| resource.status) else {
                continue;
            };
            self.set_resource_status(&name, resource_status(spec.status, Some(before)), "", now);
        }
    }

    /// The rules of an update (page on WaitConditionHandle): which old signals stay, and how many are still needed.
    pub(super) fn update(&mut self, spec: &StackSpec, course: Course, now: Moment, switches: &Switches) {
        self.operation = self.operation.saturating_add(1);
        self.course = course;
        self.set_stack_status(spec.status, &begun(spec.status), now);
        self.replace_resources(spec, now);
        self.set_metadata(spec, now);
        let names: Vec<String> = self.resources.keys().cloned().collect();
        for name in &names {
            if let Err(reason) = self.update_handle(name) {
                self.set_resource_status(name, Status::UPDATE_FAILED, &reason, now);
                let reason = format!("Resource UPDATE failed: {name}: {reason}");
                self.fail(&reason, now);
                return;
            }
        }
        for name in &names {
            let Some(resource) = self.resources.get(name) else {
                continue;
            };
            if resource.created == now && resource.status.operation == Operation::Create {
                continue;
            }
            if matches!(resource.kind, ResourceKind::Condition(_)) && self.course.conditions_begin.is_some() {
                continue;
            }
            let phase = match &resource.kind {
                ResourceKind::Handle(handle) if handle.available == Available::Now => Phase::Complete,
                ResourceKind::Handle(_) | ResourceKind::Condition(_) => Phase::InProgress,
                ResourceKind::Other { .. } => Phase::Complete,
            };
            self.set_resource_status(name, Status::new(Operation::Update, phase), "", now);
            // A condition waits anew, also where it waited already.
            if let Some(resource) = self.resources.get_mut(name).filter(|resource| resource.status.waits()) {
                resource.updated = now;
            }
        }
        self.open_handles(now);
        self.arm(now);
        for name in names {
            self.look(&name, now, switches);
        }
    }

    /// Deletes the signals that an update deletes. The error is why the update fails.
    fn update_handle(&mut self, name: &str) -> Result<(), String> {
        let Some(Resource { kind: ResourceKind::Handle(handle), .. }) = self.resources.get_mut(name) else {
            return Ok(());
        };
        match (handle.mode, u64::try_from(handle.count)) {
            (Mode::Increment, _) => handle.signals.clear(),
            (Mode::Full, Err(_)) => {}
            (Mode::Full, Ok(count)) => {
                if let Some(id) = handle.signals.keys().find(|id| id.parse::<i64>().is_err()) {
                    return Err(format!("signal ID '{id}' is not an integer, but Mode is Full and Count is {count}"));
                }
                handle.signals.retain(|id, _| id.parse::<i64>().is_ok_and(|id| id <= handle.count));
            }
        }
        Ok(())
    }

    /// Starts the conditions of this operation: counts what is left at their handles and sets their deadlines.
    fn arm(&mut self, now: Moment) {
        let names: Vec<String> = self.conditions().map(|(name, _, _)| name.clone()).collect();
        for name in names {
            let Some(handle) = self.conditions().find(|(other, _, _)| **other == name).map(|(_, _, c)| c.handle.clone()) else {
                continue;
            };
            let found = self.handle(&handle);
            let left = found.map_or(0, |handle| u32::try_from(handle.signals.len()).unwrap_or(u32::MAX));
            let open = found.is_some_and(|handle| handle.available == Available::Now);
            let begins = self.course.conditions_begin;
            if let Some(condition) = self.condition_mut(&name) {
                condition.left = left;
                condition.look_at = None;
                condition.begins = begins;
                let open = open && begins.is_none();
                condition.deadline = open.then(|| now + time::Duration::seconds_f64(condition.timeout));
            }
        }
    }

    /// Takes over new properties of resources that stay (their signals stay too), adds new ones, removes the others.
    fn replace_resources(&mut self, spec: &StackSpec, now: Moment) {
        let Some(specs) = &spec.resources else { return };
        self.resources.retain(|name, _| specs.contains_key(name));
        for (name, spec) in specs {
            match (self.resources.get_mut(name).map(|resource| &mut resource.kind), spec) {
                (Some(ResourceKind::Handle(handle)), ResourceSpec::Handle { mode, count, .. }) => {
                    handle.mode = *mode;
                    handle.count = *count;
                }
                (Some(ResourceKind::Condition(condition)), ResourceSpec::Condition { handle, count, timeout }) => {
                    condition.handle.clone_from(handle);
                    condition.count = *count;
                    condition.timeout = *timeout;
                }
                _ => self.add(name, spec, now),
            }
        }
    }

    fn add(&mut self, name: &str, spec: &ResourceSpec, now: Moment) {
        let kind = match spec {
            ResourceSpec::Handle { mode, count, too_early_for, too_early } => ResourceKind::Handle(Handle {
                mode: *mode,
                count: *count,
                available: if *too_early {
                    Available::UntilTold
                } else if self.status.in_progress() {
                    Available::At(now + time::Duration::seconds_f64(*too_early_for))
                } else {
                    Available::Now
                },
                signals: BTreeMap::new(),
            }),
            ResourceSpec::Condition { handle, count, timeout } => ResourceKind::Condition(Condition {
                handle: handle.clone(),
                count: *count,
                timeout: *timeout,
                left: 0,
                deadline: None,
                look_at: None,
                begins: None,
            }),
            ResourceSpec::Other { resource_type } => ResourceKind::Other { resource_type: resource_type.clone() },
        };
        let status = match (self.status.operation, &kind) {
            (Operation::Create, ResourceKind::Other { .. }) => Status::CREATE_COMPLETE,
            (_, ResourceKind::Other { .. }) if self.status.waits() => Status::CREATE_COMPLETE,
            (_, ResourceKind::Condition(_)) if self.status.waits() && self.course.conditions_begin.is_some() => {
                Status::new(Operation::Init, Phase::Complete)
            }
            // What an update adds is created by it.
            (_, _) if self.status.waits() => Status::CREATE_IN_PROGRESS,
            _ => resource_status(self.status, None),
        };
        let physical_id = Uuid::new_v4().to_string();
        let metadata = Map::new();
        let resource = Resource { kind, status, reason: String::new(), physical_id, created: now, updated: now, metadata };
        self.resources.insert(name.to_owned(), resource);
        self.tell(Some(name), status, "", None, now);
    }

    /// The creation or update failed: other waiting conditions are given up, and a rollback begins where asked for.
    pub(super) fn fail(&mut self, reason: &str, now: Moment) {
        self.give_up("Resource operation aborted", now);
        self.course.ends = None;
        self.course.fails = None;
        self.set_stack_status(self.status.with(Phase::Failed), reason, now);
        if self.rollback {
            self.roll_back(reason, now);
        }
    }
}

/// The status a resource shows when its stack is put into `stack` by force.
fn resource_status(stack: Status, before: Option<Status>) -> Status {
    match stack.operation {
        Operation::Create | Operation::Update | Operation::Delete | Operation::Check => stack,
        _ => match before {
            Some(before) if before.in_progress() => before.with(Phase::Failed),
            Some(before) => before,
            None => Status::new(Operation::Init, Phase::Complete),
        },
    }
}

pub(super) fn begun(status: Status) -> String {
    match status.phase {
        Phase::InProgress => format!("Stack {} started", status.action()),
        Phase::Complete => format!("Stack {} completed successfully", status.action()),
        Phase::Failed => format!("Stack {} failed", status.action()),
    }
}
