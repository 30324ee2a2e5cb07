//! The RAM policy that this configuration needs, ready to paste. Pure.
//!
//! ```json
//! {"Version": "1", "Statement": [{"Effect": "Allow", "Action": ["ros:SignalResource", "ros:GetStack"],
//!                                 "Resource": ["acs:ros:cn-hangzhou:123456789012:stack/4a6c9851-..."]}]}
//! ```
//!
//! Actions and ARN are those of the RAM page of ROS. What is not known is `*`.

use crate::plan::{HandleSource, LifecycleHook, Ros, Signal, Transport};
use serde::Serialize;

/// The action of every signal that is sent by SignalResource.
pub(super) const SIGNAL: &str = "ros:SignalResource";
/// Of the look before a send.
pub(super) const GET_STACK: &str = "ros:GetStack";
/// Of the look at handle and condition.
pub(super) const GET_STACK_RESOURCE: &str = "ros:GetStackResource";

/// Of learning what the template says.
pub(super) const GET_TEMPLATE: &str = "ros:GetTemplate";
/// Of answering a lifecycle hook, and of asking it to wait on.
const ESS_ANSWER: [&str; 2] = ["ess:CompleteLifecycleAction", "ess:RecordLifecycleActionHeartbeat"];
/// Of looking for the action that waits.
const ESS_LOOK: [&str; 3] = ["ess:DescribeScalingInstances", "ess:DescribeScalingActivities", "ess:DescribeLifecycleActions"];

/// A policy document of RAM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Policy {
    version: &'static str,
    statement: Vec<Statement>,
}

/// One permission.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Statement {
    effect: &'static str,
    action: Vec<&'static str>,
    resource: Vec<String>,
}

/// A stack, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) region: Option<String>,
    pub(super) stack_id: Option<String>,
}

impl Policy {
    /// What each signal needs at its stack. None if nothing is needed.
    pub(super) fn of<'a>(signals: impl Iterator<Item = (&'a Signal, Place)>, ros: &Ros, account: Option<&str>) -> Option<Self> {
        let mut policy = Self { version: "1", statement: Vec::new() };
        for (signal, place) in signals {
            if let Transport::LifecycleHook(hook) = &signal.transport {
                policy.add_hook(hook, place.region.as_deref(), account);
                continue;
            }
            for action in actions(signal, ros) {
                policy.add(action, arn(&place, account));
            }
        }
        (!policy.statement.is_empty()).then_some(policy)
    }

    /// What answering a lifecycle hook needs.
    pub(super) fn of_hook(hook: &LifecycleHook, region: Option<&str>, account: Option<&str>) -> Self {
        let mut policy = Self { version: "1", statement: Vec::new() };
        policy.add_hook(hook, region, account);
        policy
    }

    fn add_hook(&mut self, hook: &LifecycleHook, region: Option<&str>, account: Option<&str>) {
        let group = |group: &str| format!("acs:ess:{}:{}:scalinggroup/{group}", region.unwrap_or("*"), account.unwrap_or("*"));
        for action in ESS_ANSWER {
            self.add(action, group(hook.scaling_group.as_deref().unwrap_or("*")));
        }
        // With both nothing is looked for.
        if hook.hook.is_none() || hook.action_token.is_none() {
            for action in ESS_LOOK {
                self.add(action, group("*"));
            }
        }
    }

    fn add(&mut self, action: &'static str, resource: String) {
        match self.statement.iter_mut().find(|known| known.resource == [resource.as_str()]) {
            Some(known) if known.action.contains(&action) => {}
            Some(known) => known.action.push(action),
            None => self.statement.push(Statement { effect: "Allow", action: vec![action], resource: vec![resource] }),
        }
    }

    /// These actions at one stack.
    pub(super) fn for_stack(actions: &[&'static str], place: &Place, account: Option<&str>) -> Self {
        let statement = Statement { effect: "Allow", action: actions.to_vec(), resource: vec![arn(place, account)] };
        Self { version: "1", statement: vec![statement] }
    }

    /// On one line, for a remedy.
    pub(super) fn line(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// With line breaks, to be read.
    pub(super) fn text(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}

/// What a signal asks ROS for: it must signal; where it may look, it looks.
fn actions(signal: &Signal, ros: &Ros) -> Vec<&'static str> {
    let mut actions = match &signal.transport {
        Transport::Api => vec![SIGNAL],
        Transport::Handle(HandleSource::Stack) => vec![GET_STACK_RESOURCE],
        Transport::Handle(_) | Transport::LifecycleHook(_) => Vec::new(),
    };
    if ros.poll && !matches!(signal.transport, Transport::LifecycleHook(_)) {
        actions.extend([GET_STACK, GET_STACK_RESOURCE, GET_TEMPLATE]);
    }
    actions
}

/// `acs:ros:REGION:ACCOUNT:stack/ID`.
fn arn(place: &Place, account: Option<&str>) -> String {
    let known = |part: &Option<String>| part.clone().unwrap_or_else(|| "*".to_owned());
    format!("acs:ros:{}:{}:stack/{}", known(&place.region), account.unwrap_or("*"), known(&place.stack_id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Environment, Layout, Owners};
    use crate::plan::Plan;

    fn plan(text: &str) -> Plan {
        let file = tempfile::NamedTempFile::new().unwrap();
        let more = "[agent]\nallow_no_checks = true\n";
        std::fs::write(file.path(), format!("{more}{text}")).unwrap();
        config::load(&Layout::file(file.path()), &Owners::system(), &Environment::default()).unwrap().plan
    }

    fn place(region: &str, stack_id: &str) -> Place {
        let known = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Place { region: known(region), stack_id: known(stack_id) }
    }

    fn policy(text: &str, places: &[Place], account: Option<&str>) -> Option<String> {
        let plan = plan(text);
        let signals = plan.signals.iter().map(AsRef::as_ref).zip(places.iter().cloned());
        Policy::of(signals, &plan.ros, account).map(|policy| policy.line())
    }

    #[test]
    fn scenario_9_signals_of_one_stack_share_one_statement_with_its_arn() {
        let text = "[signal.a]\nresource = \"A\"\n[signal.b]\nresource = \"B\"\n";
        let here = place("cn-hangzhou", "S");
        let found = policy(text, &[here.clone(), here], Some("1234")).unwrap();
        let wanted = r#"{"Version":"1","Statement":[{"Effect":"Allow","Action":["ros:SignalResource","ros:GetStack","ros:GetStackResource","ros:GetTemplate"],"Resource":["acs:ros:cn-hangzhou:1234:stack/S"]}]}"#;
        assert_eq!(found, wanted);
    }

    #[test]
    fn another_stack_has_its_own_statement_and_what_is_not_known_is_any() {
        let text = "[ros]\npoll = false\n[signal.a]\nresource = \"A\"\n[signal.b]\nresource = \"B\"\n";
        let found = policy(text, &[place("cn-hangzhou", "S"), place("", "")], None).unwrap();
        let wanted = r#"{"Version":"1","Statement":[{"Effect":"Allow","Action":["ros:SignalResource"],"Resource":["acs:ros:cn-hangzhou:*:stack/S"]},{"Effect":"Allow","Action":["ros:SignalResource"],"Resource":["acs:ros:*:*:stack/*"]}]}"#;
        assert_eq!(found, wanted);
    }

    #[test]
    fn a_lifecycle_hook_needs_its_group_and_looking_needs_all_groups() {
        let text = "[signal.a]\ntransport = \"lifecycle-hook\"\nscaling_group = \"asg-1\"\n";
        let found = policy(text, &[place("cn-hangzhou", "")], Some("1234")).unwrap();
        let wanted = r#"{"Version":"1","Statement":[{"Effect":"Allow","Action":["ess:CompleteLifecycleAction","ess:RecordLifecycleActionHeartbeat"],"Resource":["acs:ess:cn-hangzhou:1234:scalinggroup/asg-1"]},{"Effect":"Allow","Action":["ess:DescribeScalingInstances","ess:DescribeScalingActivities","ess:DescribeLifecycleActions"],"Resource":["acs:ess:cn-hangzhou:1234:scalinggroup/*"]}]}"#;
        assert_eq!(found, wanted);
        let found = policy(&format!("{text}hook = \"ash-1\"\naction_token = \"t\"\n"), &[place("cn-hangzhou", "")], None).unwrap();
        assert!(!found.contains("Describe") && found.contains("acs:ess:cn-hangzhou:*:scalinggroup/asg-1"), "{found}");
    }

    #[test]
    fn without_signals_nothing_is_needed() {
        assert_eq!(policy("", &[], Some("1234")), None);
    }
}
