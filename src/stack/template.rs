//! What a template says about one signal: the handle that `resource` names, and the condition that waits for it. Pure.
//!
//! The text is that of GetTemplate, JSON or YAML, written by whoever wrote the template: it is bounded before it is read, nothing in it
//! is trusted, and what cannot be resolved without guessing is unknown. Values may be numbers, numbers as text, or a `Ref` to a
//! parameter, whose value is that of the stack, else the `Default` in the template.
//!
//! Rules of the resources: WaitConditionHandle `Mode` (`Full` by default) and `Count` (-1, off, by default), WaitCondition `Handle`,
//! `Timeout` (1 to 43200 s) and `Count` (pages 48502 and 48503 of the ROS documentation).

use super::yaml;
use crate::plan::HandleMode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

/// The longest template that ROS takes, in bytes.
const TEXT_LIMIT: usize = 512 * 1024;

/// The longest `Timeout` of a WaitCondition, in seconds.
const LONGEST_TIMEOUT: i64 = 43_200;

const HANDLE: &str = "ALIYUN::ROS::WaitConditionHandle";
const CONDITION: &str = "ALIYUN::ROS::WaitCondition";

/// Values of parameters, as GetStack tells them.
pub type Parameters = BTreeMap<String, String>;

/// What is known of a signal's handle and condition. What is none is unknown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// What `resource` names.
    pub resource: Named,
    /// `Mode` of the handle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<HandleMode>,
    /// `Count` of the handle; -1 is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<i64>,
    /// Logical ID of the condition that waits for the handle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// How many conditions wait for it; more than one leaves `condition` unknown, unless the configuration names it.
    #[serde(default)]
    pub conditions: u32,
    /// `Count` of the condition: the signals that it needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub needed: Option<i64>,
    /// `Timeout` of the condition, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_s: Option<i64>,
}

/// What a logical ID of the configuration is in the template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum Named {
    /// A WaitConditionHandle, as it should be.
    Handle,
    /// A WaitCondition, which does not take signals itself.
    Condition {
        /// The handle that it waits for, which is probably meant.
        handle: Option<String>,
    },
    /// Something else.
    Other {
        /// Its `Type`, cut.
        kind: String,
    },
    /// The template has no such resource.
    Missing,
}

/// A template that could be read.
#[derive(Debug)]
pub struct Template(Value);

impl Template {
    /// Reads JSON or YAML.
    ///
    /// # Errors
    /// Why it cannot be read, for a person.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > TEXT_LIMIT {
            return Err(format!("it has {} bytes, more than the {TEXT_LIMIT} that ROS takes", text.len()));
        }
        let text = text.trim_start_matches('\u{feff}').trim_start();
        // JSON is nested at most 128 deep by serde_json. Most JSON is YAML too, but its own reader is the stricter one.
        let tree = match serde_json::from_str(text) {
            Ok(tree) => tree,
            Err(json) if text.starts_with('{') => yaml::parse(text).map_err(|_| format!("it is not JSON: {json}"))?,
            Err(_) => yaml::parse(text).map_err(|error| format!("it is neither JSON nor YAML: {error}"))?,
        };
        match tree {
            Value::Object(ref members) if members.get("Resources").is_some_and(Value::is_object) => Ok(Self(tree)),
            _ => Err("it has no Resources".to_owned()),
        }
    }

    /// The facts for a signal that names `resource` and perhaps `condition`, and the parameters of the template that they depend on.
    pub fn facts(&self, resource: &str, condition: Option<&str>, parameters: &Parameters) -> (Facts, BTreeSet<String>) {
        let reader = Reader { template: &self.0, parameters, asked: RefCell::default() };
        let facts = reader.facts(resource, condition);
        (facts, reader.asked.into_inner())
    }
}

struct Reader<'a> {
    template: &'a Value,
    parameters: &'a Parameters,
    asked: RefCell<BTreeSet<String>>,
}

impl<'a> Reader<'a> {
    fn facts(&self, resource: &str, configured: Option<&str>) -> Facts {
        let named = self.named(resource);
        let handle = match &named {
            Named::Handle => Some(resource),
            Named::Condition { handle } => handle.as_deref(),
            _ => None,
        };
        let waiting: Vec<&str> = handle.map_or_else(Vec::new, |handle| self.waiting_for(handle));
        let is_condition = |name: &str| self.kind(name) == Some(CONDITION);
        let condition = match (configured, &named, waiting.as_slice()) {
            (Some(name), _, _) => is_condition(name).then_some(name),
            (None, Named::Condition { .. }, _) => Some(resource),
            (None, _, [only]) => Some(*only),
            _ => None,
        };
        let of_handle = |key| handle.and_then(|handle| self.property(handle, key));
        let of_condition = |key| condition.and_then(|condition| self.property(condition, key));
        Facts {
            resource: named.clone(),
            mode: handle.and_then(|_| self.mode(of_handle("Mode"))),
            count: handle.and_then(|_| of_handle("Count").map_or(Some(-1), |value| self.integer(value))),
            condition: condition.map(str::to_owned),
            conditions: u32::try_from(waiting.len()).unwrap_or(u32::MAX),
            needed: of_condition("Count").and_then(|value| self.integer(value)),
            timeout_s: of_condition("Timeout")
                .and_then(|value| self.integer(value))
                .filter(|seconds| (1..=LONGEST_TIMEOUT).contains(seconds)),
        }
    }

    fn named(&self, resource: &str) -> Named {
        match self.kind(resource) {
            Some(HANDLE) => Named::Handle,
            Some(CONDITION) => Named::Condition { handle: self.handle_of(resource).map(str::to_owned) },
            Some(other) => Named::Other { kind: clean(other) },
            None => Named::Missing,
        }
    }

    fn resources(&self) -> Option<&'a serde_json::Map<String, Value>> {
        self.template.get("Resources")?.as_object()
    }

    fn kind(&self, resource: &str) -> Option<&'a str> {
        self.resources()?.get(resource)?.get("Type")?.as_str()
    }

    fn property(&self, resource: &str, key: &str) -> Option<&'a Value> {
        self.resources()?.get(resource)?.get("Properties")?.get(key)
    }

    /// The handle that a condition waits for. Only names that can be logical IDs: they go to status and ledger.
    fn handle_of(&self, condition: &str) -> Option<&'a str> {
        let handle = self.property(condition, "Handle")?.get("Ref")?.as_str()?;
        (self.kind(handle) == Some(HANDLE) && is_logical_id(handle)).then_some(handle)
    }

    fn waiting_for(&self, handle: &str) -> Vec<&'a str> {
        let names = self.resources().into_iter().flat_map(serde_json::Map::keys).map(String::as_str);
        names.filter(|name| is_logical_id(name) && self.kind(name) == Some(CONDITION) && self.handle_of(name) == Some(handle)).collect()
    }

    fn mode(&self, value: Option<&Value>) -> Option<HandleMode> {
        let Some(value) = value else { return Some(HandleMode::Full) };
        match self.text(value)?.as_str() {
            "Full" => Some(HandleMode::Full),
            "Increment" => Some(HandleMode::Increment),
            _ => None,
        }
    }

    fn integer(&self, value: &Value) -> Option<i64> {
        self.text(value)?.trim().parse().ok()
    }

    /// A literal, or the value of the parameter that is referred to.
    fn text(&self, value: &Value) -> Option<String> {
        if let Some(literal) = literal(value) {
            return Some(literal);
        }
        let function = value.as_object().filter(|members| members.len() == 1)?;
        let name = function.get("Ref")?.as_str()?;
        let declared = self.template.get("Parameters")?.get(name)?;
        self.asked.borrow_mut().insert(name.to_owned());
        self.parameters.get(name).cloned().or_else(|| literal(declared.get("Default")?))
    }
}

fn literal(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn is_logical_id(name: &str) -> bool {
    (1..=255).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// Foreign text for messages.
fn clean(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(64).collect()
}

#[cfg(test)]
mod tests;
