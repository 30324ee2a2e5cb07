//! Auto Scaling (ESS, API 2022-02-22), as far as lifecycle hooks go: groups with hooks, activities, pending actions with tokens and
//! timeouts on the sandbox's clock, heartbeats with their limits, completion with its result. Pure; [`crate::api`] calls it.
//!
//! It stands on the same listener as ROS and is told apart by its version. What the pages leave open is a switch.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::api::required;
use crate::clock::{Moment, rfc3339, zulu};
use crate::refusal::Refusal;
use crate::request::Request;
use crate::switches::Switches;

/// Groups held at once; one more is refused.
const GROUPS_KEPT: usize = 1_000;

/// Activities of a group; one more is refused.
const ACTIVITIES_KEPT: usize = 1_000;

/// Instances of one activity.
const INSTANCES_OF_ACTIVITY: usize = 1_000;

/// Hooks of a group (limits of ESS).
const HOOKS_OF_GROUP: usize = 6;

/// `HeartbeatTimeout` (both pages).
const HEARTBEAT_SECONDS: std::ops::RangeInclusive<i64> = 30..=21_600;

/// Heartbeats of one action, and the longest that they prolong it in all (RecordLifecycleActionHeartbeat page).
const HEARTBEATS: u32 = 20;
const LONGEST: time::Duration = time::Duration::hours(6);

/// The kind of scaling activity that a hook holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Transition {
    /// Instances that are being added.
    #[serde(rename = "SCALE_OUT")]
    ScaleOut,
    /// Instances that are being removed.
    #[serde(rename = "SCALE_IN")]
    ScaleIn,
}

/// A lifecycle hook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HookSpec {
    /// `LifecycleHookId`, such as `ash-1`.
    pub id: String,
    /// What it holds.
    pub transition: Transition,
    /// Seconds that it waits by itself.
    #[serde(default = "ten_minutes")]
    pub heartbeat_timeout: u32,
    /// What happens when it has waited in vain: `CONTINUE` or `ABANDON`.
    #[serde(default = "abandon")]
    pub default_result: String,
}

fn ten_minutes() -> u32 {
    600
}

fn abandon() -> String {
    "ABANDON".to_owned()
}

impl HookSpec {
    /// A hook for instances that are being added; 600 seconds, then ABANDON.
    pub fn scale_out(id: &str) -> Self {
        Self { id: id.to_owned(), transition: Transition::ScaleOut, heartbeat_timeout: ten_minutes(), default_result: abandon() }
    }

    /// A hook for instances that are being removed.
    pub fn scale_in(id: &str) -> Self {
        Self { transition: Transition::ScaleIn, ..Self::scale_out(id) }
    }
}

/// A scaling group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScalingGroupSpec {
    /// `RegionId`.
    #[serde(default = "hangzhou")]
    pub region: String,
    /// Its lifecycle hooks.
    #[serde(default)]
    pub hooks: Vec<HookSpec>,
}

fn hangzhou() -> String {
    "cn-hangzhou".to_owned()
}

impl ScalingGroupSpec {
    /// A group in cn-hangzhou.
    pub fn with_hooks(hooks: impl IntoIterator<Item = HookSpec>) -> Self {
        Self { region: hangzhou(), hooks: hooks.into_iter().collect() }
    }
}

/// A group, an activity or a hook makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScalingError {
    /// No such group.
    #[error("no scaling group '{0}'; make it with PUT /scaling-groups/{0}")]
    Unknown(String),
    /// Too much of something.
    #[error("too many {what}, at most {limit} are kept")]
    TooMany {
        /// What.
        what: &'static str,
        /// How many are possible.
        limit: usize,
    },
    /// A hook that ESS would not take.
    #[error("hook '{0}' must wait 30 to 21600 seconds and then CONTINUE or ABANDON")]
    Hook(String),
}

/// A scaling group as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ScalingGroupView {
    /// `LifecycleState` by instance id.
    pub instances: BTreeMap<String, String>,
    /// Lifecycle actions, oldest first.
    pub actions: Vec<ActionView>,
}

/// A lifecycle action as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ActionView {
    /// The activity that made it.
    pub activity: String,
    /// Of which hook.
    pub hook: String,
    /// `LifecycleActionToken`.
    pub token: String,
    /// Whom it holds.
    pub instances: Vec<String>,
    /// `Pending`, `Timeout` or `Completed`.
    pub status: String,
    /// `CONTINUE`, `ABANDON` or `ROLLBACK`, once it is over.
    pub result: Option<String>,
    /// Until when it waits, or waited.
    pub until: String,
    /// `HeartbeatTimeout` of each heartbeat, in order.
    pub heartbeats: Vec<i64>,
}

#[derive(Debug)]
struct Group {
    spec: ScalingGroupSpec,
    activities: Vec<Activity>,
}

#[derive(Debug)]
struct Activity {
    id: String,
    transition: Transition,
    instances: Vec<String>,
    actions: Vec<Action>,
    started: Moment,
}

#[derive(Debug)]
struct Action {
    hook: String,
    default_result: String,
    token: String,
    instances: Vec<String>,
    status: Status,
    result: Option<String>,
    began: Moment,
    until: Moment,
    heartbeats: Vec<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Pending,
    Timeout,
    Completed,
}

impl Status {
    fn word(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Timeout => "Timeout",
            Self::Completed => "Completed",
        }
    }
}

impl Activity {
    fn is_over(&self) -> bool {
        self.actions.iter().all(|action| action.status != Status::Pending)
    }

    /// `LifecycleState` of an instance of this activity; none: it is in the group no more.
    fn state(&self, instance: &str) -> Option<&'static str> {
        let of_it = || self.actions.iter().filter(|action| action.instances.iter().any(|id| id == instance));
        let waits = of_it().any(|action| action.status == Status::Pending);
        let refused = of_it().any(|action| action.result.as_deref().is_some_and(|result| result != "CONTINUE"));
        let rolled_back = of_it().any(|action| action.result.as_deref() == Some("ROLLBACK"));
        match (self.transition, waits) {
            (Transition::ScaleOut, true) => Some("Pending:Wait"),
            (Transition::ScaleOut, false) => (!refused).then_some("InService"),
            (Transition::ScaleIn, true) => Some("Removing:Wait"),
            (Transition::ScaleIn, false) => rolled_back.then_some("InService"),
        }
    }
}

/// All scaling groups.
#[derive(Debug, Default)]
pub(crate) struct Ess {
    groups: BTreeMap<String, Group>,
}

type Members = Map<String, Value>;

impl Ess {
    pub(crate) fn put(&mut self, id: &str, spec: &ScalingGroupSpec) -> Result<(), ScalingError> {
        let too_many = |what, limit| Err(ScalingError::TooMany { what, limit });
        if spec.hooks.len() > HOOKS_OF_GROUP {
            return too_many("hooks of a group", HOOKS_OF_GROUP);
        }
        let possible = |hook: &HookSpec| {
            HEARTBEAT_SECONDS.contains(&i64::from(hook.heartbeat_timeout)) && matches!(hook.default_result.as_str(), "CONTINUE" | "ABANDON")
        };
        if let Some(hook) = spec.hooks.iter().find(|hook| !possible(hook)) {
            return Err(ScalingError::Hook(hook.id.clone()));
        }
        if !self.groups.contains_key(id) && self.groups.len() >= GROUPS_KEPT {
            return too_many("scaling groups", GROUPS_KEPT);
        }
        let group = self.groups.entry(id.to_owned()).or_insert_with(|| Group { spec: spec.clone(), activities: Vec::new() });
        group.spec = spec.clone();
        Ok(())
    }

    /// Begins an activity; gives its id.
    pub(crate) fn scale(
        &mut self,
        id: &str,
        transition: Transition,
        instances: &[String],
        now: Moment,
        switches: &Switches,
    ) -> Result<String, ScalingError> {
        let group = self.groups.get_mut(id).ok_or_else(|| ScalingError::Unknown(id.to_owned()))?;
        for (what, length, limit) in [
            ("activities of a group", group.activities.len() + 1, ACTIVITIES_KEPT),
            ("instances of an activity", instances.len(), INSTANCES_OF_ACTIVITY),
        ] {
            if length > limit {
                return Err(ScalingError::TooMany { what, limit });
            }
        }
        let held: Vec<Vec<String>> =
            if switches.one_action_for_all { vec![instances.to_vec()] } else { instances.iter().map(|id| vec![id.clone()]).collect() };
        let hooks = group.spec.hooks.iter().filter(|hook| hook.transition == transition);
        let action = |hook: &HookSpec, instances: &Vec<String>| Action {
            hook: hook.id.clone(),
            default_result: hook.default_result.clone(),
            token: Uuid::new_v4().to_string().to_uppercase(),
            instances: instances.clone(),
            status: Status::Pending,
            result: None,
            began: now,
            until: now + time::Duration::seconds(i64::from(hook.heartbeat_timeout)),
            heartbeats: Vec::new(),
        };
        let actions = hooks.flat_map(|hook| held.iter().map(move |instances| action(hook, instances))).collect();
        let activity = format!("asa-{}", Uuid::new_v4().simple());
        group.activities.push(Activity { id: activity.clone(), transition, instances: instances.to_vec(), actions, started: now });
        Ok(activity)
    }

    pub(crate) fn view(&self, id: &str) -> Option<ScalingGroupView> {
        let group = self.groups.get(id)?;
        let actions = group.activities.iter().flat_map(|activity| activity.actions.iter().map(move |action| (activity, action)));
        let view = |(activity, action): (&Activity, &Action)| ActionView {
            activity: activity.id.clone(),
            hook: action.hook.clone(),
            token: action.token.clone(),
            instances: action.instances.clone(),
            status: action.status.word().to_owned(),
            result: action.result.clone(),
            until: rfc3339(action.until),
            heartbeats: action.heartbeats.clone(),
        };
        let instances = group.members().into_iter().map(|(id, state, _)| (id.to_owned(), state.to_owned())).collect();
        Some(ScalingGroupView { instances, actions: actions.map(view).collect() })
    }

    /// Ends the actions that have waited in vain.
    pub(crate) fn advance(&mut self, now: Moment) {
        for action in self.actions_mut().filter(|action| action.status == Status::Pending && action.until <= now) {
            action.status = Status::Timeout;
            action.result = Some(action.default_result.clone());
        }
    }

    /// When the next action will have waited in vain.
    pub(crate) fn next_due(&self) -> Option<Moment> {
        let actions = self.groups.values().flat_map(|group| &group.activities).flat_map(|activity| &activity.actions);
        actions.filter(|action| action.status == Status::Pending).map(|action| action.until).min()
    }

    fn actions_mut(&mut self) -> impl Iterator<Item = &mut Action> {
        self.groups.values_mut().flat_map(|group| &mut group.activities).flat_map(|activity| &mut activity.actions)
    }

    /// Answers a reading operation.
    pub(crate) fn describe(&self, action: &str, request: &Request, switches: &Switches) -> Result<Members, Refusal> {
        let region = required(request, "RegionId")?;
        match action {
            "DescribeScalingInstances" => self.instances(request, region, switches),
            "DescribeScalingActivities" => self.activities(request, region),
            _ => self.lifecycle_actions(request, region),
        }
    }

    fn instances(&self, request: &Request, region: &str, switches: &Switches) -> Result<Members, Refusal> {
        let wanted = |name: &str| name.strip_prefix("InstanceIds.").is_some_and(|n| n.parse::<u16>().is_ok());
        let ids: Vec<&str> = request.parameters().filter(|(name, _)| wanted(name)).map(|(_, id)| id.as_str()).collect();
        let group = request.parameter("ScalingGroupId");
        if ids.is_empty() && group.is_none() {
            return Err(Refusal::missing_parameter("ScalingGroupId"));
        }
        let groups = self.groups.iter().filter(|(id, found)| found.spec.region == region && group.is_none_or(|wanted| wanted == **id));
        let members = groups.flat_map(|(group, found)| found.members().into_iter().map(move |member| (group, member)));
        let entry = |(group, (id, state, activity)): (&String, (&str, &'static str, &str))| {
            let activity = switches.instances_tell_activity.then_some(activity);
            json!({
                "InstanceId": id,
                "ScalingGroupId": group,
                "LifecycleState": state,
                "HealthStatus": "Healthy",
                "ScalingActivityId": activity,
            })
        };
        let listed = members.filter(|(_, (id, state, _))| {
            (ids.is_empty() || ids.contains(id)) && (switches.pending_instances_listed || !state.starts_with("Pending"))
        });
        page(request, "ScalingInstances", listed.map(entry).collect())
    }

    fn activities(&self, request: &Request, region: &str) -> Result<Members, Refusal> {
        let group = self.group(required(request, "ScalingGroupId")?, region)?;
        let status = |activity: &Activity| if activity.is_over() { "Successful" } else { "InProgress" };
        let wanted = request.parameter("StatusCode");
        let entry = |activity: &Activity| {
            let of = |transition| if activity.transition == transition { activity.instances.clone() } else { Vec::new() };
            json!({
                "ScalingActivityId": activity.id,
                "StatusCode": status(activity),
                "StartTime": zulu(activity.started),
                "CreatedInstances": of(Transition::ScaleOut),
                "DestroyedInstances": of(Transition::ScaleIn),
            })
        };
        let found = group.activities.iter().rev().filter(|activity| wanted.is_none_or(|wanted| wanted == status(activity)));
        page(request, "ScalingActivities", found.map(entry).collect())
    }

    fn lifecycle_actions(&self, request: &Request, region: &str) -> Result<Members, Refusal> {
        let id = required(request, "ScalingActivityId")?;
        let groups = self.groups.values().filter(|group| group.spec.region == region);
        let activity = groups.flat_map(|group| &group.activities).find(|activity| activity.id == id);
        let unknown = || Refusal::bad_request("InvalidScalingActivityId.NotFound", "The specified scaling activity does not exist.");
        let activity = activity.ok_or_else(unknown)?;
        let wanted = request.parameter("LifecycleActionStatus");
        let size = number(request, "MaxResults", 10, 50)?;
        let skip: usize = match request.parameter("NextToken") {
            None | Some("") => 0,
            Some(token) => token
                .strip_prefix("AAAA")
                .and_then(|token| token.trim_end_matches('=').parse().ok())
                .ok_or_else(|| Refusal::bad_request("InvalidNextToken", "The specified NextToken is invalid."))?,
        };
        let entry = |action: &Action| {
            json!({
                "LifecycleHookId": action.hook,
                "LifecycleActionToken": action.token,
                "LifecycleActionStatus": action.status.word(),
                "LifecycleActionResult": action.result.clone().unwrap_or_else(|| action.default_result.clone()),
                "InstanceIds": action.instances,
            })
        };
        let all: Vec<Value> =
            activity.actions.iter().filter(|action| wanted.is_none_or(|wanted| wanted == action.status.word())).map(entry).collect();
        let next = skip.saturating_add(size);
        let token = if next < all.len() { format!("AAAA{next}==") } else { String::new() };
        let total = all.len();
        let entries: Vec<Value> = all.into_iter().skip(skip).take(size).collect();
        let members = json!({"LifecycleActions": entries, "NextToken": token, "MaxResults": size, "TotalCount": total});
        Ok(members.as_object().cloned().unwrap_or_default())
    }

    fn group(&self, id: &str, region: &str) -> Result<&Group, Refusal> {
        let unknown = || Refusal::not_found("InvalidScalingGroupId.NotFound", "The specified scaling group does not exist.");
        self.groups.get(id).filter(|group| group.spec.region == region).ok_or_else(unknown)
    }

    /// CompleteLifecycleAction.
    pub(crate) fn complete(&mut self, request: &Request) -> Result<(), Refusal> {
        let result = match request.parameter("LifecycleActionResult") {
            None => None,
            Some(word @ ("CONTINUE" | "ABANDON" | "ROLLBACK")) => Some(word.to_owned()),
            Some(_) => {
                return Err(Refusal::bad_request(
                    "InvalidParamter",
                    "The specified value of parameter LifecycleActionResult is not valid.",
                ));
            }
        };
        let action = self.pending(request)?;
        action.status = Status::Completed;
        action.result = Some(result.unwrap_or_else(|| action.default_result.clone()));
        Ok(())
    }

    /// RecordLifecycleActionHeartbeat.
    pub(crate) fn heartbeat(&mut self, request: &Request, now: Moment, switches: &Switches) -> Result<(), Refusal> {
        let seconds = match request.parameter("HeartbeatTimeout") {
            None => Some(600),
            Some(text) => text.parse().ok().filter(|seconds| HEARTBEAT_SECONDS.contains(seconds)),
        };
        let Some(seconds) = seconds else {
            return Err(Refusal::bad_request("InvalidParamter", "The specified value of parameter HeartbeatTimeout is not valid."));
        };
        let action = self.pending(request)?;
        if action.heartbeats.len() >= HEARTBEATS as usize {
            let message = "The lifecycle action has been prolonged 20 times already.";
            return Err(Refusal::bad_request("LifecycleAction.RecordTimesExceeded", message));
        }
        let from = if switches.heartbeats_add { action.until } else { now };
        let until = from + time::Duration::seconds(seconds);
        if until - action.began > LONGEST + time::Duration::minutes(1) {
            return Err(Refusal::bad_request("LifecycleAction.TimeExceeded", "The lifecycle action would wait for more than 6 hours."));
        }
        action.until = until;
        action.heartbeats.push(seconds);
        Ok(())
    }

    fn pending(&mut self, request: &Request) -> Result<&mut Action, Refusal> {
        let region = required(request, "RegionId")?;
        let hook = required(request, "LifecycleHookId")?;
        let token = required(request, "LifecycleActionToken")?;
        let groups = self.groups.values_mut().filter(|group| group.spec.region == region);
        let mut actions = groups.flat_map(|group| &mut group.activities).flat_map(|activity| &mut activity.actions);
        let found = actions.find(|action| action.status == Status::Pending && action.hook == hook && action.token == token);
        found.ok_or_else(|| {
            let message = "The specified lifecycle hook ID and lifecycle action token are invalid.";
            Refusal::bad_request("LifecycleHookIdAndLifecycleActionToken.Invalid", message)
        })
    }
}

impl Group {
    /// Instances with their state and activity; of several activities the newest counts.
    fn members(&self) -> Vec<(&str, &'static str, &str)> {
        let mut members: BTreeMap<&str, (&'static str, &str)> = BTreeMap::new();
        for activity in &self.activities {
            for instance in &activity.instances {
                let added_by = members.get(instance.as_str()).map(|(_, by)| *by);
                match (activity.state(instance), activity.transition) {
                    (Some(state), Transition::ScaleOut) => members.insert(instance, (state, &activity.id)),
                    // The activity that is told is the one that added it.
                    (Some(state), Transition::ScaleIn) => members.insert(instance, (state, added_by.unwrap_or(&activity.id))),
                    (None, _) => members.remove(instance.as_str()),
                };
            }
        }
        members.into_iter().map(|(id, (state, activity))| (id, state, activity)).collect()
    }
}

fn page(request: &Request, name: &str, all: Vec<Value>) -> Result<Members, Refusal> {
    let page_number = number(request, "PageNumber", 1, usize::MAX)?;
    let page_size = number(request, "PageSize", 10, 50)?;
    let total = all.len();
    let skip = page_number.saturating_sub(1).saturating_mul(page_size);
    let entries: Vec<Value> = all.into_iter().skip(skip).take(page_size).collect();
    let mut members = Members::new();
    members.insert(name.to_owned(), Value::Array(entries));
    for (name, number) in [("PageNumber", page_number), ("PageSize", page_size), ("TotalCount", total)] {
        members.insert(name.to_owned(), Value::from(number));
    }
    Ok(members)
}

fn number(request: &Request, name: &str, default: usize, largest: usize) -> Result<usize, Refusal> {
    let Some(text) = request.parameter(name) else { return Ok(default) };
    let number = text.parse().ok().filter(|number| (1..=largest).contains(number));
    number.ok_or_else(|| Refusal::bad_request("InvalidParamter", format!("The specified value of parameter {name} is not valid.")))
}
