//! What a run of a hook is told: variables of its environment, and the same and more as one JSON document on its standard input. Pure.
//!
//! Values come from outside (a reason of ROS, a type of an event, a message of a check): they are only ever values, never part of a
//! command. In variables NUL, which none can hold, is left out, other control characters become spaces, so that a value stays one line
//! wherever a hook writes it, and what is longer than [`VARIABLE_LIMIT`] is cut; the document has all of it.

use super::{Occasion, StackFacts};
use crate::check::clip;
use crate::plan::Name;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Longest value of a variable, in bytes; execve(2) takes 128 KiB for one with its name, and 2 MiB for all.
const VARIABLE_LIMIT: usize = 8 * 1024;
/// What the names of all our variables begin with.
const PREFIX: &str = "ROS_SIGNAL_AGENT_";

/// One run.
#[derive(Clone, Debug)]
pub struct Call {
    /// Name of the hook.
    pub hook: Name,
    /// The id of the occasion for this hook.
    pub id: String,
    /// Number of this attempt, from 1.
    pub attempt: u32,
    /// Made up, by `hook test`.
    pub test: bool,
    /// What happened.
    pub occasion: Occasion,
}

impl Call {
    /// Whether nothing of it happened: `hook test`, or an event of `events send`.
    fn is_test(&self) -> bool {
        self.test || matches!(&self.occasion, Occasion::Event { event, .. } if event.test)
    }

    /// The variables, beside those that every child has.
    pub fn environment(&self) -> BTreeMap<String, String> {
        let mut all = Variables::default();
        all.set("HOOK", &self.hook);
        all.set("HOOK_ID", &self.id);
        all.set("TRIGGER", &self.occasion.word());
        all.set("ATTEMPT", &self.attempt.to_string());
        if self.is_test() {
            all.set("TEST", "1");
        }
        if let Some(stack) = self.occasion.stack() {
            all.stack(stack);
        }
        match &self.occasion {
            Occasion::Stack { previous, .. } => all.set_if("PREVIOUS_STATUS", previous.as_deref()),
            Occasion::Metadata { resource, .. } => all.set("RESOURCE", resource),
            Occasion::Verdict { signal, round, verdict, reason } => {
                all.set("SIGNAL", signal);
                all.set("ROUND", round);
                all.set("VERDICT", verdict.word());
                all.set("REASON", reason);
            }
            Occasion::Check { check, state, previous, message } => {
                all.set("CHECK", check);
                all.set("STATE", state.word());
                all.set("PREVIOUS_STATE", previous.map_or("initial", |state| state.word()));
                all.set("REASON", message);
            }
            Occasion::Event { event, .. } => {
                all.set("EVENT_TYPE", &event.kind);
                all.set("EVENT_ID", &event.id);
            }
        }
        all.0
    }

    /// The document.
    pub fn document(&self) -> String {
        let mut all = Map::new();
        let mut set = |name: &str, value: Value| {
            all.insert(name.to_owned(), value);
        };
        set("version", json!(1));
        set("hook", json!(&*self.hook));
        set("id", json!(self.id));
        set("trigger", json!(self.occasion.word()));
        set("attempt", json!(self.attempt));
        set("test", json!(self.is_test()));
        if let Some(stack) = self.occasion.stack() {
            set("stack", stack_document(stack));
        }
        match &self.occasion {
            Occasion::Stack { previous, .. } => set("previous_status", json!(previous)),
            Occasion::Metadata { resource, old, new, .. } => {
                set("resource", json!(resource));
                set("old", metadata(old.as_deref()));
                set("new", metadata(new.as_deref()));
            }
            Occasion::Verdict { signal, round, verdict, reason } => {
                set("signal", json!(&**signal));
                set("round", json!(round));
                set("verdict", json!(verdict.word()));
                set("reason", json!(reason));
            }
            Occasion::Check { check, state, previous, message } => {
                set("check", json!(&**check));
                set("state", json!(state.word()));
                set("previous_state", json!(previous.map(|state| state.word())));
                set("message", json!(message));
            }
            Occasion::Event { event, .. } => set("event", json!(event)),
        }
        Value::Object(all).to_string()
    }
}

fn stack_document(stack: &StackFacts) -> Value {
    json!({
        "id": stack.stack_id,
        "name": stack.name,
        "region": stack.region,
        "status": stack.status,
        "status_reason": stack.reason,
        "update_time": stack.updated,
    })
}

/// The `Metadata` itself, for it is JSON; what is none stays text.
fn metadata(text: Option<&str>) -> Value {
    text.map_or(Value::Null, |text| serde_json::from_str(text).unwrap_or_else(|_| json!(text)))
}

#[derive(Default)]
struct Variables(BTreeMap<String, String>);

impl Variables {
    fn set(&mut self, name: &str, value: &str) {
        let value = value.replace('\0', "").replace(char::is_control, " ");
        self.0.insert(format!("{PREFIX}{name}"), clip(value, VARIABLE_LIMIT));
    }

    fn set_if(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.set(name, value);
        }
    }

    fn stack(&mut self, stack: &StackFacts) {
        self.set("STACK_ID", &stack.stack_id);
        self.set_if("STACK_NAME", stack.name.as_deref());
        self.set("REGION", &stack.region);
        self.set("STATUS", &stack.status);
        self.set_if("REASON", stack.reason.as_deref());
        self.set_if("UPDATE_TIME", stack.updated.as_deref());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_outside_is_a_value_and_fits_into_a_variable() {
        let reason = format!("$(reboot)\0; `id`\n{}", "界".repeat(100_000));
        let stack = StackFacts { reason: Some(reason.clone()), status: "UPDATE_FAILED".into(), ..StackFacts::default() };
        let occasion = Occasion::Stack { transition: crate::plan::Transition::Failed, stack, previous: Some("UPDATE_IN_PROGRESS".into()) };
        let call = Call { hook: "apply".into(), id: "1".into(), attempt: 2, test: false, occasion };
        let environment = call.environment();
        let told = &environment["ROS_SIGNAL_AGENT_REASON"];
        assert!(!told.contains(char::is_control));
        assert!(told.starts_with("$(reboot); `id` 界") && told.len() <= VARIABLE_LIMIT && !told.contains('\0'));
        assert_eq!(environment["ROS_SIGNAL_AGENT_PREVIOUS_STATUS"], "UPDATE_IN_PROGRESS");
        assert_eq!(environment["ROS_SIGNAL_AGENT_ATTEMPT"], "2");
        assert!(!environment.contains_key("ROS_SIGNAL_AGENT_TEST"));
        let document: Value = serde_json::from_str(&call.document()).unwrap();
        assert_eq!(document["stack"]["status_reason"], json!(reason), "the document has all of it");
    }

    #[test]
    fn an_event_that_root_has_sent_to_try_things_out_is_told_as_a_test() {
        let told = |test| {
            let event = crate::events::Event { id: "1".to_owned(), kind: "ros:Stack:StatusChange".to_owned(), test, ..Default::default() };
            let occasion = Occasion::Event { event, stack: StackFacts::default() };
            let call = Call { hook: "apply".into(), id: "1".into(), attempt: 1, test: false, occasion };
            let document: Value = serde_json::from_str(&call.document()).unwrap();
            (document["test"].clone(), call.environment().get("ROS_SIGNAL_AGENT_TEST").cloned())
        };
        assert_eq!(told(true), (json!(true), Some("1".to_owned())));
        assert_eq!(told(false), (json!(false), None));
    }

    #[test]
    fn old_and_new_metadata_are_handed_over_as_json() {
        let (old, new) = (Some(r#"{"files": ["a"]}"#.to_owned()), Some("{broken".to_owned()));
        let occasion = Occasion::Metadata { stack: StackFacts::default(), resource: "Web".into(), old, new };
        let call = Call { hook: "apply".into(), id: "1".into(), attempt: 1, test: true, occasion };
        let document: Value = serde_json::from_str(&call.document()).unwrap();
        assert_eq!(document["old"]["files"][0], "a");
        assert_eq!(document["new"], "{broken");
        assert_eq!((&document["test"], &document["trigger"]), (&json!(true), &json!("metadata.changed")));
    }
}
