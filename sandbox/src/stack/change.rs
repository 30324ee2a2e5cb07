//! The operations of a stack's life as a test or `POST /stacks/ID/operations` asks for them, and when they may begin.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Stack;
use super::life::Course;
use super::spec::{self, CreateOption, ResourceSpec, SpecError, StackSpec, out_of_range};
use super::status::{Operation, Phase, Status};
use crate::clock::Moment;
use crate::switches::Switches;

/// Operations in one programme.
const PROGRAMME_ALLOWED: usize = 100;

/// Longest time of an operation, or before one, in seconds.
const LONGEST_SECONDS: f64 = 43_200.0;

/// What is done to a stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// CreateStack; also of a stack under review, or after its deletion.
    Create,
    /// ContinueCreateStack after `CREATE_FAILED`. What has been signalled still counts, but for FAILURE.
    ContinueCreate,
    /// UpdateStack.
    Update,
    /// A change set that imports resources into a new stack.
    ImportCreate,
    /// A change set that imports resources into a stack.
    ImportUpdate,
    /// DeleteStack.
    Delete,
    /// A check of the stack's resources.
    Check,
    /// A change set for a stack that is not there yet.
    Review,
    /// A creation or update is rolled back by hand: one that failed, or one under way (CancelUpdateStack).
    Rollback,
}

/// One operation on a stack. It goes on by the sandbox's clock, and waits for its conditions.
///
/// ```json
/// {"operation": "update", "seconds": 5, "metadata": {"Server": {"version": "2"}},
///  "then": [{"operation": "delete", "after": 60}]}
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// What is done.
    pub operation: ChangeKind,
    /// In a programme: seconds after the operation before has ended. Default 0.
    #[serde(default)]
    pub after: f64,
    /// How long it takes at least, in seconds, before it ends or fails; it also waits for its conditions. Default 1.
    #[serde(default = "one_second")]
    pub seconds: f64,
    /// Why it fails at that time. Default: it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fail: Option<String>,
    /// Whether a failure is rolled back. Default: as before, else false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<bool>,
    /// How long a rollback takes, in seconds. Default: as before, else 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback_seconds: Option<f64>,
    /// Whether a rollback fails. Default false.
    #[serde(default)]
    pub rollback_fails: bool,
    /// Seconds after the start when the conditions begin; until then they show their old status. Default 0: at once.
    #[serde(default)]
    pub conditions_begin_after: f64,
    /// As in [`StackSpec`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// As in [`StackSpec`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// As in [`StackSpec`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<BTreeMap<String, ResourceSpec>>,
    /// As in [`StackSpec`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// As in [`StackSpec`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<BTreeMap<String, String>>,
    /// As in [`StackSpec`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<BTreeMap<String, Value>>,
    /// As in [`StackSpec`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outputs: Option<BTreeMap<String, Value>>,
    /// As in [`StackSpec`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notification_urls: Option<Vec<String>>,
    /// As in [`StackSpec`].
    #[serde(default)]
    pub create_option: CreateOption,
    /// What follows when it has ended, also by a rollback, in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub then: Vec<Change>,
}

/// Why an operation does not begin. Nothing has been changed then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// The description makes no sense.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// There is no such stack.
    #[error("no stack '{0}'; create it first")]
    NoStack(String),
    /// The stack is not in a status in which this can be done.
    #[error("stack '{stack}' is in {status}, in which '{operation:?}' cannot begin")]
    NotNow {
        /// Id of the stack.
        stack: String,
        /// Its status.
        status: Status,
        /// What was asked for.
        operation: ChangeKind,
    },
}

impl Change {
    /// An operation that takes one second, keeps everything as it is, and succeeds.
    pub fn new(operation: ChangeKind) -> Self {
        Self {
            operation,
            after: 0.0,
            seconds: one_second(),
            fail: None,
            rollback: None,
            rollback_seconds: None,
            rollback_fails: false,
            conditions_begin_after: 0.0,
            region: None,
            name: None,
            resources: None,
            template: None,
            parameters: None,
            metadata: None,
            outputs: None,
            notification_urls: None,
            create_option: CreateOption::default(),
            then: Vec::new(),
        }
    }

    /// A creation from a description, whose status is not looked at.
    pub fn create(spec: StackSpec) -> Self {
        Self {
            rollback: Some(spec.rollback),
            rollback_seconds: Some(spec.rollback_seconds),
            region: spec.region,
            name: spec.name,
            resources: spec.resources,
            template: spec.template,
            parameters: spec.parameters,
            metadata: spec.metadata,
            outputs: spec.outputs,
            notification_urls: spec.notification_urls,
            create_option: spec.create_option,
            ..Self::new(ChangeKind::Create)
        }
    }

    /// An update.
    pub fn update() -> Self {
        Self::new(ChangeKind::Update)
    }

    /// A deletion.
    pub fn delete() -> Self {
        Self::new(ChangeKind::Delete)
    }

    /// Seconds that it takes at least.
    #[must_use]
    pub fn seconds(self, seconds: f64) -> Self {
        Self { seconds, ..self }
    }

    /// Seconds after the end of the operation before, in a programme.
    #[must_use]
    pub fn after(self, after: f64) -> Self {
        Self { after, ..self }
    }

    /// It fails when its time is over.
    #[must_use]
    pub fn fails(self, reason: &str) -> Self {
        Self { fail: Some(reason.to_owned()), ..self }
    }

    /// Whether a failure is rolled back.
    #[must_use]
    pub fn rollback(self, rollback: bool) -> Self {
        Self { rollback: Some(rollback), ..self }
    }

    /// The rollback fails.
    #[must_use]
    pub fn rollback_fails(self) -> Self {
        Self { rollback: Some(true), rollback_fails: true, ..self }
    }

    /// The conditions begin that many seconds after the operation.
    #[must_use]
    pub fn conditions_begin_after(self, seconds: f64) -> Self {
        Self { conditions_begin_after: seconds, ..self }
    }

    /// Adds or replaces a resource. The resources that are named at all are then all that the stack has.
    #[must_use]
    pub fn resource(mut self, name: &str, resource: ResourceSpec) -> Self {
        self.resources.get_or_insert_default().insert(name.to_owned(), resource);
        self
    }

    /// Gives a resource its `Metadata`, a JSON object.
    #[must_use]
    pub fn metadata(mut self, resource: &str, metadata: Value) -> Self {
        self.metadata.get_or_insert_default().insert(resource.to_owned(), metadata);
        self
    }

    /// What follows when everything before it has ended.
    #[must_use]
    pub fn then(mut self, change: Change) -> Self {
        self.then.push(change);
        self
    }

    fn makes(&self) -> bool {
        matches!(self.operation, ChangeKind::Create | ChangeKind::ImportCreate | ChangeKind::Review)
    }

    fn status(&self) -> Status {
        let operation = match self.operation {
            ChangeKind::Create | ChangeKind::ContinueCreate => Operation::Create,
            ChangeKind::Update => Operation::Update,
            ChangeKind::ImportCreate => Operation::ImportCreate,
            ChangeKind::ImportUpdate => Operation::ImportUpdate,
            ChangeKind::Delete => Operation::Delete,
            ChangeKind::Check => Operation::Check,
            ChangeKind::Review => Operation::Review,
            ChangeKind::Rollback => Operation::Rollback,
        };
        Status::new(operation, Phase::InProgress)
    }

    fn spec(&self, before: Option<&Stack>) -> StackSpec {
        StackSpec {
            region: self.region.clone().or_else(|| before.map(|stack| stack.region.clone())),
            name: self.name.clone().or_else(|| before.map(|stack| stack.name.clone())),
            status: self.status(),
            resources: self.resources.clone(),
            template: self.template.clone(),
            parameters: self.parameters.clone(),
            rollback: self.rollback.unwrap_or_else(|| before.is_some_and(|stack| stack.rollback)),
            rollback_seconds: self.rollback_seconds.unwrap_or_else(|| before.map_or(one_second(), |stack| stack.rollback_seconds)),
            metadata: self.metadata.clone(),
            outputs: self.outputs.clone(),
            notification_urls: self.notification_urls.clone(),
            create_option: self.create_option,
        }
    }

    fn course(&self, now: Moment) -> Course {
        let at = |seconds: f64| now + time::Duration::seconds_f64(seconds);
        Course {
            ends: (self.operation != ChangeKind::Review).then(|| at(self.seconds)),
            fails: self.fail.clone(),
            rollback_fails: self.rollback_fails,
            conditions_begin: (self.conditions_begin_after > 0.0).then(|| at(self.conditions_begin_after)),
        }
    }

    /// Checks what can be checked without the stack.
    fn check(&self, id: &str, depth: usize) -> Result<(), ChangeError> {
        for (what, seconds) in [("after", self.after), ("seconds", self.seconds), ("conditions_begin_after", self.conditions_begin_after)] {
            if !(0.0..=LONGEST_SECONDS).contains(&seconds) {
                return Err(out_of_range(id, what, "0 to 43200").into());
            }
        }
        if self.then.len() > PROGRAMME_ALLOWED || depth > 2 {
            return Err(SpecError::TooMany { what: "operations in a programme, or programmes in one", limit: PROGRAMME_ALLOWED }.into());
        }
        spec::check(id, &self.spec(None))?;
        self.then.iter().try_for_each(|change| change.check(id, depth.saturating_add(1)))
    }

    /// Whether it may begin in this status (none: there is no such stack).
    fn may_begin(&self, status: Option<Status>) -> bool {
        let Some(status) = status else {
            return self.makes();
        };
        let settled = !status.in_progress();
        match self.operation {
            ChangeKind::Create | ChangeKind::ImportCreate => {
                status == Status::DELETE_COMPLETE || (status.operation == Operation::Review && status.in_progress())
            }
            ChangeKind::Review => status == Status::DELETE_COMPLETE,
            ChangeKind::ContinueCreate => status == Status::CREATE_FAILED,
            ChangeKind::Check => settled && status.complete() && lives(status),
            ChangeKind::Update | ChangeKind::ImportUpdate => settled && lives(status),
            ChangeKind::Delete => {
                let deletable = settled || matches!(status.operation, Operation::Create | Operation::Review);
                deletable && status != Status::DELETE_COMPLETE
            }
            ChangeKind::Rollback => !status.complete() && rollback_of(status.operation).is_some(),
        }
    }
}

/// A stack that was made, and is not being taken away: ROS updates such a one, whether its last operation succeeded or not.
fn lives(status: Status) -> bool {
    match status.operation {
        Operation::Create | Operation::ImportCreate => status.complete(),
        Operation::Init | Operation::Review | Operation::Delete | Operation::CreateRollback | Operation::ImportCreateRollback => false,
        _ => true,
    }
}

/// What undoes an operation.
pub(crate) fn rollback_of(operation: Operation) -> Option<Operation> {
    match operation {
        Operation::Create => Some(Operation::CreateRollback),
        Operation::Update => Some(Operation::Rollback),
        Operation::ImportCreate => Some(Operation::ImportCreateRollback),
        Operation::ImportUpdate => Some(Operation::ImportUpdateRollback),
        _ => None,
    }
}

/// Begins an operation; gives the stack if it is a new one. Nothing is changed by an error.
pub(crate) fn begin(
    id: &str,
    stack: Option<&mut Stack>,
    change: &Change,
    now: Moment,
    switches: &Switches,
) -> Result<Option<Stack>, ChangeError> {
    change.check(id, 0)?;
    let Some(stack) = stack else {
        if !change.makes() {
            return Err(ChangeError::NoStack(id.to_owned()));
        }
        if let (Some(name), None) = (change.metadata.iter().flatten().map(|(name, _)| name).next(), &change.resources) {
            return Err(SpecError::NoSuchResource(name.clone()).into());
        }
        let mut made = Stack::create_on(id, &change.spec(None), change.course(now), switches.update_time_moves, now);
        made.programme.extend(change.then.iter().cloned());
        made.schedule_next(now);
        return Ok(Some(made));
    };
    stack.advance(now, switches);
    stack.begin(change, now, switches)?;
    stack.programme = change.then.iter().cloned().collect();
    stack.schedule_next(now);
    Ok(None)
}

impl Stack {
    /// Begins an operation of a description that has been checked.
    pub(super) fn begin(&mut self, change: &Change, now: Moment, switches: &Switches) -> Result<(), ChangeError> {
        if !change.may_begin(Some(self.status)) {
            return Err(ChangeError::NotNow { stack: self.id.clone(), status: self.status, operation: change.operation });
        }
        let known = |name: &str| change.resources.is_some() || self.resources.contains_key(name);
        if let Some(name) = change.metadata.iter().flatten().map(|(name, _)| name).find(|name| !known(name)) {
            return Err(SpecError::NoSuchResource(name.clone()).into());
        }
        let mut spec = change.spec(Some(self));
        let course = change.course(now);
        match change.operation {
            ChangeKind::Create | ChangeKind::ImportCreate | ChangeKind::Review => {
                // What was under review is made with what was described then, unless it is described anew.
                spec.notification_urls.get_or_insert_with(|| self.notification_urls.clone());
                let rest = std::mem::take(&mut self.programme);
                self.begin_anew(&spec, course, now, switches);
                self.programme = rest;
            }
            ChangeKind::Update | ChangeKind::ImportUpdate => {
                self.take_over(&spec);
                self.update(&spec, course, now, switches);
            }
            ChangeKind::ContinueCreate => {
                self.take_over(&spec);
                self.continue_creation(course, now, switches);
            }
            ChangeKind::Delete | ChangeKind::Check => {
                self.take_over(&spec);
                self.begin_alone(spec.status, course, now);
            }
            ChangeKind::Rollback => {
                self.rollback_seconds = spec.rollback_seconds;
                self.give_up("Rolled back by hand", now);
                self.course = Course { ends: None, ..course };
                self.roll_back("Rolled back by hand", now);
            }
        }
        Ok(())
    }
}

fn one_second() -> f64 {
    1.0
}
