//! Arrival of a signal, and a condition's look at the signals of its handle.

use serde::{Deserialize, Serialize};

use super::status::Phase;
use super::view::SignalSeen;
use super::{Available, Condition, Resource, ResourceKind, SIGNALS_KEPT, Stack};
use crate::clock::Moment;
use crate::refusal::Refusal;
use crate::stack::status::Operation;
use crate::switches::{AfterCompletion, Switches};

/// `Status` of a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum SignalStatus {
    /// The host works.
    Success,
    /// It works, but not as it should.
    Warning,
    /// It does not work.
    Failure,
}

impl SignalStatus {
    /// As it stands in the request.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "SUCCESS",
            Self::Warning => "WARNING",
            Self::Failure => "FAILURE",
        }
    }
}

/// One signal of a handle: all that arrived under one UniqueId.
#[derive(Debug, Clone)]
pub(crate) struct Signal {
    pub(crate) kind: SignalStatus,
    pub(crate) first_at: Moment,
    pub(crate) last_at: Moment,
    /// The operation (creation is 1) in which it first arrived: there it counts.
    pub(crate) operation: u32,
    /// The operation in which somebody last waited when it arrived; 0: never.
    pub(super) waited_for: u32,
    /// How many calls were taken for it.
    pub(crate) received: u32,
    /// How many of them changed something while somebody waited: 1, and one more for each change of its status.
    pub(crate) effective: u32,
    /// What the last one carried beside its status, where it came through the URL of the handle.
    pub(crate) reason: String,
    pub(crate) data: String,
}

/// What a call says. SignalResource has no place for reason and data, and always names an id.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) id: Option<String>,
    pub(crate) kind: SignalStatus,
    pub(crate) reason: String,
    pub(crate) data: String,
}

impl Signal {
    /// It came only when nobody waited.
    pub(crate) fn late(&self) -> bool {
        self.waited_for == 0
    }
}

/// What a condition sees in one look.
enum Look {
    Waiting,
    Complete,
    Failed(String),
}

impl Stack {
    /// Takes one SignalResource call, after [`Stack::advance`].
    pub(crate) fn signal(
        &mut self,
        named: &str,
        unique_id: &str,
        kind: SignalStatus,
        now: Moment,
        switches: &Switches,
    ) -> Result<(), Refusal> {
        let message = Message { id: Some(unique_id.to_owned()), kind, reason: String::new(), data: String::new() };
        self.take(named, message, now, switches)
    }

    /// Takes one message, after [`Stack::advance`]. One without an id gets the number of the handle's signals and one (48503).
    pub(crate) fn take(&mut self, named: &str, message: Message, now: Moment, switches: &Switches) -> Result<(), Refusal> {
        let name = self.signalled_handle(named, switches)?;
        let waiting: Vec<String> = self
            .conditions()
            // One that begins later in this operation will count what comes now.
            .filter(|(_, resource, condition)| condition.handle == name && (resource.status.waits() || condition.begins.is_some()))
            .map(|(condition, _, _)| condition.clone())
            .collect();
        // A handle without a condition is waited for as long as its stack is being made or updated.
        let has_condition = self.conditions().any(|(_, _, condition)| condition.handle == name);
        let waits = self.status.waits() && (!has_condition || !waiting.is_empty());
        if !waits && switches.after_completion == AfterCompletion::Refuse {
            let status = self.status;
            let message = format!("The Resource ({named}) cannot be signaled: Stack {} is in {status} state.", self.id);
            return Err(Refusal::bad_request("NotSupported", message));
        }
        let next = self.handle(&name).map_or(0, |handle| handle.signals.len()).saturating_add(1);
        let unique_id = message.id.clone().unwrap_or_else(|| next.to_string());
        let said = if message.reason.is_empty() { format!("Signal {unique_id} received") } else { message.reason.clone() };
        let reason = format!("Signal: status:{} reason:{said}", message.kind.as_str());
        let seen = self.store(&name, &unique_id, message, waits, now)?;
        let status = self.resources.get(&name).map_or(self.status, |resource| resource.status);
        self.tell(Some(&name), status, &reason, Some(seen), now);
        for condition in waiting {
            self.notice(&condition, now, switches);
        }
        Ok(())
    }

    /// The handle that a LogicalResourceId means, if it can be signalled now.
    fn signalled_handle(&self, named: &str, switches: &Switches) -> Result<String, Refusal> {
        let resource = self.resources.get(named).ok_or_else(|| Refusal::resource_not_found(&self.id, named))?;
        let name = match &resource.kind {
            ResourceKind::Handle(_) => named.to_owned(),
            ResourceKind::Condition(condition) if switches.condition_accepts_signals => condition.handle.clone(),
            other => {
                let message = format!("Signal is not supported for resource type {}.", other.resource_type());
                return Err(Refusal::bad_request("ResourceActionNotSupported", message));
            }
        };
        if self.status.operation == Operation::Delete {
            let message = format!("Signal resource during {} is not supported.", self.status);
            return Err(Refusal::bad_request("NotSupported", message));
        }
        match self.handle(&name) {
            Some(handle) if handle.available == Available::Now => Ok(name),
            _ => Err(Refusal::resource_not_available(named)),
        }
    }

    fn store(&mut self, handle: &str, unique_id: &str, message: Message, waits: bool, now: Moment) -> Result<SignalSeen, Refusal> {
        let operation = self.operation;
        let kind = message.kind;
        let Some(Resource { kind: ResourceKind::Handle(handle), .. }) = self.resources.get_mut(handle) else {
            return Err(Refusal::resource_not_found(&self.id, handle));
        };
        if handle.signals.len() >= SIGNALS_KEPT && !handle.signals.contains_key(unique_id) {
            let message = format!("The handle holds {SIGNALS_KEPT} signals, more than that are not kept.");
            return Err(Refusal::bad_request("RequestLimitExceeded", message));
        }
        let signal = handle.signals.entry(unique_id.to_owned()).or_insert(Signal {
            kind,
            first_at: now,
            last_at: now,
            operation,
            waited_for: 0,
            received: 0,
            effective: 0,
            reason: String::new(),
            data: String::new(),
        });
        if waits && (signal.effective == 0 || signal.kind != kind) {
            signal.effective = signal.effective.saturating_add(1);
        }
        signal.kind = kind;
        signal.reason = message.reason;
        signal.data = message.data;
        signal.last_at = now;
        signal.received = signal.received.saturating_add(1);
        if waits {
            signal.waited_for = operation;
        }
        Ok(SignalSeen {
            unique_id: unique_id.to_owned(),
            status: kind,
            received: signal.received,
            effective: signal.effective,
            waited_for: waits,
        })
    }

    /// A condition looks at once, or at its next regular look.
    fn notice(&mut self, condition: &str, now: Moment, switches: &Switches) {
        if switches.evaluation_interval_ms == 0 {
            self.look(condition, now, switches);
            return;
        }
        let interval = time::Duration::milliseconds(i64::from(switches.evaluation_interval_ms));
        if let Some(condition) = self.condition_mut(condition) {
            condition.look_at.get_or_insert(now + interval);
        }
    }

    /// A condition looks at its signals and decides, if it can.
    pub(super) fn look(&mut self, name: &str, now: Moment, switches: &Switches) {
        if let Some(condition) = self.condition_mut(name) {
            condition.look_at = None;
        }
        let Some(Resource { kind: ResourceKind::Condition(condition), status, .. }) = self.resources.get(name) else {
            return;
        };
        if !status.waits() || condition.begins.is_some() {
            return;
        }
        let status = *status;
        match self.judge(condition, now, switches) {
            Look::Waiting => {}
            Look::Complete => {
                self.set_resource_status(name, status.with(Phase::Complete), "", now);
                self.complete_if_all_are(now);
            }
            Look::Failed(reason) => {
                self.set_resource_status(name, status.with(Phase::Failed), &reason, now);
                let reason = format!("Resource {} failed: {name}: {reason}", status.action());
                self.fail(&reason, now);
            }
        }
    }

    fn judge(&self, condition: &Condition, now: Moment, switches: &Switches) -> Look {
        let Some(handle) = self.handle(&condition.handle) else {
            return Look::Waiting;
        };
        let current = || handle.signals.iter().filter(|(_, signal)| signal.waited_for == self.operation);
        if let Some((id, _)) = current().find(|(_, signal)| signal.kind == SignalStatus::Failure) {
            return Look::Failed(format!("WaitConditionFailure: signal {id} reported FAILURE"));
        }
        let needed = condition.needed();
        let mut successes: u32 = 0;
        let mut warnings: u32 = 0;
        for (_, signal) in current().filter(|(_, signal)| signal.operation == self.operation) {
            match signal.kind {
                SignalStatus::Success => successes = successes.saturating_add(1),
                SignalStatus::Warning => warnings = warnings.saturating_add(1),
                SignalStatus::Failure => {}
            }
        }
        if warnings > 0 && successes == 0 && warnings >= needed {
            return Look::Failed(format!("WaitConditionFailure: all {warnings} signals are warnings"));
        }
        let counted = if switches.warning_counts { successes.saturating_add(warnings) } else { successes };
        if counted >= needed {
            return Look::Complete;
        }
        if condition.deadline.is_some_and(|deadline| deadline <= now) {
            return Look::Failed(format!("WaitConditionTimeout: {counted} of {needed} received"));
        }
        Look::Waiting
    }

    pub(super) fn complete_if_all_are(&mut self, now: Moment) {
        let all = self.conditions().all(|(_, resource, condition)| resource.status.complete() && condition.begins.is_none());
        if all && self.status.waits() && self.course.ends.is_none() {
            let reason = format!("Stack {} completed successfully", self.status.action());
            self.set_stack_status(self.status.with(Phase::Complete), &reason, now);
        }
    }
}

impl Condition {
    /// How many new signals this operation waits for.
    pub(super) fn needed(&self) -> u32 {
        self.count.saturating_sub(self.left)
    }
}
