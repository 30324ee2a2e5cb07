//! The answers of ESS, as far as they are used, and what they say about this instance. Pure.
//!
//! ```text
//! DescribeScalingInstances   {"ScalingInstances": [{"InstanceId": "i-...", "ScalingGroupId": "asg-...", "LifecycleState": "Pending:Wait",
//!                             "ScalingActivityId": "asa-..."}]}
//! DescribeScalingActivities  {"ScalingActivities": [{"ScalingActivityId": "asa-...", "DestroyedInstances": []}], "TotalCount": 1}
//! DescribeLifecycleActions   {"LifecycleActions": [{"LifecycleHookId": "ash-...", "LifecycleActionToken": "...",
//!                             "LifecycleActionStatus": "Pending", "InstanceIds": ["i-..."]}], "NextToken": ""}
//! ```
//!
//! Bodies are bounded before they come here. What is absent counts as empty, what is more than the bounds is passed over.

use crate::plan::LifecycleHook;
use crate::rpc::Body;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Lifecycle actions of this instance that are kept: a group has 6 hooks at most (limits of ESS), and an activity an action of each.
const KEPT: usize = 64;

/// The lifecycle action that holds this instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Action {
    /// `LifecycleHookId`.
    pub(super) hook: String,
    /// `LifecycleActionToken`.
    pub(super) token: String,
    /// The scaling group, where it is known: for the ARN in hints.
    pub(super) group: Option<String>,
    /// Other instances that it holds as well.
    pub(super) others: usize,
}

/// What is known of the lifecycle action of this instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// It waits.
    Pending(Action),
    /// It waits no more, or never will.
    Over(String),
    /// There is none yet.
    NotYet(String),
    /// Several wait, and the configuration names none.
    Several(String),
}

/// An entry of DescribeScalingInstances.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Membership {
    instance_id: String,
    /// Its group.
    pub(super) scaling_group_id: String,
    lifecycle_state: String,
    /// The activity that added it.
    pub(super) scaling_activity_id: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Activity {
    scaling_activity_id: String,
    destroyed_instances: Option<Vec<String>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Entry {
    lifecycle_hook_id: String,
    lifecycle_action_token: String,
    lifecycle_action_status: String,
    lifecycle_action_result: Option<String>,
    instance_ids: Option<Vec<String>>,
}

fn list<T: DeserializeOwned>(body: &Body, name: &str) -> Vec<T> {
    body.member(name).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

/// Where the instance stands; none if it is in no group.
pub(super) fn membership(body: &Body, instance_id: &str) -> Option<Membership> {
    list::<Membership>(body, "ScalingInstances").into_iter().find(|entry| entry.instance_id == instance_id)
}

impl Membership {
    /// Why no lifecycle action of a scale-out can wait for this instance any more. States that are not known may still wait.
    pub(super) fn over(&self) -> Option<String> {
        let state = crate::transport::clean(&self.lifecycle_state);
        match state.as_str() {
            "InService" | "Protected" | "Standby" | "Stopped" => Some(format!("the instance is {state} in its scaling group already")),
            // A hook for scale-in may hold it: that one is not ours to answer.
            "Removing" | "Removing:Wait" => Some(format!("the instance is being removed from its scaling group ({state})")),
            _ => None,
        }
    }
}

/// The activities of a page that may have added this instance, and how many entries the page had.
pub(super) fn activities(body: &Body, instance_id: &str) -> (Vec<String>, usize) {
    let all = list::<Activity>(body, "ScalingActivities");
    let entries = all.len();
    let removes = |activity: &Activity| activity.destroyed_instances.iter().flatten().any(|id| id == instance_id);
    let adding = all.into_iter().filter(|activity| !removes(activity) && !activity.scaling_activity_id.is_empty());
    (adding.map(|activity| activity.scaling_activity_id).collect(), entries)
}

/// The lifecycle actions of this instance that have been seen.
#[derive(Debug, Default)]
pub(super) struct Actions {
    pending: Vec<Action>,
    over: Vec<String>,
}

impl Actions {
    /// Takes a page in; gives the token of the next one.
    pub(super) fn read(&mut self, body: &Body, instance_id: &str, wanted: &LifecycleHook) -> Option<String> {
        for entry in list::<Entry>(body, "LifecycleActions") {
            let instances = entry.instance_ids.unwrap_or_default();
            let ours = instances.iter().any(|id| id == instance_id);
            // A search is made without a token, or with one that ESS has refused.
            let named = wanted.hook.as_ref().is_none_or(|hook| *hook == entry.lifecycle_hook_id);
            if !ours || !named || self.pending.len() + self.over.len() >= KEPT {
                continue;
            }
            let (hook, token) = (entry.lifecycle_hook_id, entry.lifecycle_action_token);
            if entry.lifecycle_action_status == "Pending" {
                self.pending.push(Action { hook, token, group: None, others: instances.len() - 1 });
                continue;
            }
            let result = entry.lifecycle_action_result.filter(|result| !result.is_empty()).map(|result| format!(" ({result})"));
            let text = format!("the lifecycle action of hook {hook} is {}{}", entry.lifecycle_action_status, result.unwrap_or_default());
            self.over.push(crate::transport::clean(&text));
        }
        body.member("NextToken").filter(|token| !matches!(*token, "" | "null")).map(str::to_owned)
    }

    /// Whether there is any.
    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty() && self.over.is_empty()
    }

    /// What they come to.
    pub(super) fn judge(self) -> Option<Found> {
        let mut pending = self.pending.into_iter();
        match (pending.next(), pending.next()) {
            (Some(one), None) => Some(Found::Pending(one)),
            (Some(one), Some(two)) => {
                let hooks: Vec<_> = [one, two].into_iter().chain(pending).map(|action| action.hook).collect();
                let hooks = crate::transport::clean(&hooks.join(", "));
                Some(Found::Several(format!("several lifecycle hooks hold this instance ({hooks}); hint: name one with `hook`")))
            }
            (None, _) => self.over.into_iter().next().map(Found::Over),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::OnFailure;
    use serde_json::{Value, json};

    fn body(mut members: Value) -> Body {
        members["RequestId"] = Value::from("R-1");
        Body::parse(members.to_string().as_bytes()).unwrap()
    }

    fn hook(hook: Option<&str>) -> LifecycleHook {
        LifecycleHook { scaling_group: None, hook: hook.map(str::to_owned), action_token: None, on_failure: OnFailure::Abandon }
    }

    fn entry(hook: &str, status: &str, instances: &[&str]) -> Value {
        json!({"LifecycleHookId": hook, "LifecycleActionToken": format!("token-{hook}"), "LifecycleActionStatus": status,
               "LifecycleActionResult": "CONTINUE", "InstanceIds": instances})
    }

    fn judged(entries: &[Value], wanted: &LifecycleHook) -> Option<Found> {
        let mut actions = Actions::default();
        actions.read(&body(json!({"LifecycleActions": entries})), "i-1", wanted);
        actions.judge()
    }

    #[test]
    fn the_pending_action_that_names_this_instance_is_taken() {
        let entries = [entry("ash-1", "Pending", &["i-2"]), entry("ash-2", "Pending", &["i-1"]), entry("ash-3", "Timeout", &["i-1"])];
        let action = Action { hook: "ash-2".into(), token: "token-ash-2".into(), group: None, others: 0 };
        assert_eq!(judged(&entries, &hook(None)), Some(Found::Pending(action)));
        assert_eq!(judged(&entries[..1], &hook(None)), None, "that of another instance is none");
    }

    #[test]
    fn an_action_that_is_over_says_that_nobody_waits() {
        let found = judged(&[entry("ash-1", "Timeout", &["i-1"])], &hook(None));
        assert_eq!(found, Some(Found::Over("the lifecycle action of hook ash-1 is Timeout (CONTINUE)".into())));
    }

    #[test]
    fn with_several_hooks_the_configuration_must_name_one() {
        let entries = [entry("ash-1", "Pending", &["i-1", "i-2"]), entry("ash-2", "Pending", &["i-1"])];
        assert!(matches!(judged(&entries, &hook(None)), Some(Found::Several(text)) if text.contains("ash-1, ash-2")));
        let named = judged(&entries, &hook(Some("ash-1")));
        assert_eq!(named, Some(Found::Pending(Action { hook: "ash-1".into(), token: "token-ash-1".into(), group: None, others: 1 })));
    }

    #[test]
    fn an_instance_that_is_being_removed_has_nothing_that_we_may_complete() {
        for (state, over) in
            [("Removing:Wait", true), ("Removing", true), ("InService", true), ("Pending:Wait", false), ("Pending", false), ("New", false)]
        {
            let body = body(json!({"ScalingInstances": [{"InstanceId": "i-1", "LifecycleState": state, "ScalingGroupId": "asg-1"}]}));
            assert_eq!(membership(&body, "i-1").unwrap().over().is_some(), over, "{state}");
        }
        let (adding, entries) = activities(
            &body(json!({"ScalingActivities": [
                {"ScalingActivityId": "asa-in", "DestroyedInstances": ["i-1"]}, {"ScalingActivityId": "asa-out"}]})),
            "i-1",
        );
        assert_eq!((adding, entries), (vec!["asa-out".to_owned()], 2));
    }

    #[test]
    fn nonsense_in_answers_counts_as_nothing() {
        for members in [json!({}), json!({"LifecycleActions": "x", "NextToken": null}), json!({"LifecycleActions": [1, null]})] {
            let mut actions = Actions::default();
            assert_eq!(actions.read(&body(members), "i-1", &hook(None)), None);
            assert!(actions.is_empty());
        }
    }
}
