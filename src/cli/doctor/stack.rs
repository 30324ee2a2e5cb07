//! The stack and the resources that the signals name: may this host look, are they there, are they what they must be, does somebody
//! wait. Looking is all that is done: a permission to signal cannot be tried without signalling, and that is said.

use super::grant::{self, Place, Policy};
use super::step::Step;
use crate::plan::{Signal, Transport};
use crate::ros::{Client, ResourceAnswer};
use crate::rpc;
use crate::signal::{Class, Refusal, Target};
use crate::stack::{Look, read};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

const STACK_TIMEOUT: Duration = Duration::from_secs(5);
/// All stacks and resources together.
const TIMEOUT: Duration = Duration::from_secs(10);
/// A refusal whose cause the client could mend (another host, its clock) is followed by another attempt.
const ATTEMPTS: usize = 4;

const HANDLE_TYPE: &str = "ALIYUN::ROS::WaitConditionHandle";
const CONDITION_TYPE: &str = "ALIYUN::ROS::WaitCondition";

pub(super) const STACK: &str = "stack.status";
pub(super) const RESOURCE: &str = "stack.resource";
pub(super) const CONDITION: &str = "stack.condition";
pub(super) const PERMISSION: &str = "permission.signal";

/// A signal and where its stack is.
pub(super) type Aimed = (Arc<Signal>, Place);

/// What could not be looked at, because of `on`.
pub(super) fn unasked(signals: &[Aimed], on: &str, account: Option<&str>) -> Vec<Step> {
    let mut steps = vec![Step::depends(STACK, on)];
    for (signal, place) in signals {
        steps.extend(names(signal).into_iter().map(|name| Step::depends(name, on).about(&*signal.name)));
        steps.push(permission(signal, place, account));
    }
    steps
}

/// The steps that look at resources for this signal.
fn names(signal: &Signal) -> Vec<&'static str> {
    match (&signal.transport, &signal.condition) {
        (Transport::LifecycleHook(_), _) => Vec::new(),
        (_, Some(_)) => vec![RESOURCE, CONDITION],
        (_, None) => vec![RESOURCE],
    }
}

/// Looks at each stack, and at what its signals name.
pub(super) async fn look(client: &Client, signals: &[Aimed], account: Option<&str>) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut places: Vec<&Place> = Vec::new();
    for (_, place) in signals {
        if !places.contains(&place) {
            places.push(place);
        }
    }
    let end = Instant::now() + TIMEOUT;
    for place in places {
        let here: Vec<Aimed> = signals.iter().filter(|(_, other)| other == place).cloned().collect();
        let (Some(region), Some(stack_id)) = (&place.region, &place.stack_id) else {
            steps.extend(unasked(&here, if place.region.is_none() { super::metadata::REGION } else { super::metadata::STACK }, account));
            continue;
        };
        let target = |resource: &str| Target { region: region.clone(), stack_id: stack_id.clone(), resource: resource.to_owned() };
        steps.extend(one(client, &here, place, &target, account, end).await);
    }
    steps
}

async fn one(
    client: &Client,
    signals: &[Aimed],
    place: &Place,
    target: &dyn Fn(&str) -> Target,
    account: Option<&str>,
    end: Instant,
) -> Vec<Step> {
    let wanted = target("");
    let began = Instant::now();
    let asked = tokio::time::timeout_at(end.min(began + STACK_TIMEOUT), again(|| client.get_stack(&wanted))).await;
    let took = began.elapsed();
    let host = client.endpoint(&wanted.region).map(|url| rpc::host_name(&url)).unwrap_or_default();
    let (step, goes_on) = match asked {
        Err(_) => (Step::failed(STACK, "no answer in time"), false),
        Ok(Ok(stack)) => {
            let name = stack.name.map(|name| format!("{name} is ")).unwrap_or_default();
            let reason = stack.status_reason.filter(|reason| !reason.is_empty()).map(|reason| format!(" ({reason})")).unwrap_or_default();
            (waits(&stack.status, &format!("{name}{}{reason} at {host}", stack.status)).took(took), true)
        }
        Ok(Err(refusal)) => {
            let denied = refusal.class == Class::Permission;
            (of_refusal(STACK, refusal, grant::GET_STACK, place, account), denied)
        }
    };
    let mut steps = vec![step.about(wanted.stack_id.clone())];
    if !goes_on {
        steps.extend(unasked(signals, STACK, account).into_iter().skip(1));
        return steps;
    }
    for (signal, _) in signals {
        steps.extend(resources(client, signal, place, target, account, end).await);
        steps.push(permission(signal, place, account));
    }
    steps
}

/// Asks again at once while the client mends what it can.
async fn again<T, F: Future<Output = Result<T, Refusal>>>(ask: impl Fn() -> F) -> Result<T, Refusal> {
    let mut answer = ask().await;
    for _ in 1..ATTEMPTS {
        match &answer {
            Err(refusal) if refusal.class == Class::Immediate => answer = ask().await,
            _ => break,
        }
    }
    answer
}

/// What its status means for somebody who wants to signal.
fn waits(status: &str, seen: &str) -> Step {
    match read(status, None) {
        Look::Waiting => Step::ok(STACK, format!("{seen}: signals are waited for")),
        Look::NotNow(_) => Step::ok(STACK, format!("{seen}: busy with something else; a signal would be sent afterwards")),
        _ if status.contains("ROLLBACK") || status.ends_with("_FAILED") || status.starts_with("DELETE_") => {
            Step::warning(STACK, format!("{seen}: nobody waits for a signal"))
                .because("the stack has failed, is rolled back or deleted: a signal would be settled as not needed")
                .remedy("its events in the console of ROS say why; create or update it again")
        }
        _ => Step::ok(STACK, format!("{seen}: nobody waits for a signal now; it would be settled as not needed")),
    }
}

/// A refused look. That looking is not permitted is no obstacle: the agent signals without.
fn of_refusal(name: &'static str, refusal: Refusal, action: &'static str, place: &Place, account: Option<&str>) -> Step {
    if refusal.class == Class::Permission {
        let policy = Policy::for_stack(&[action], place, account).line();
        return Step::warning(name, refusal.message)
            .because(format!("RAM does not permit {action}; the agent signals without looking, perhaps when nobody waits any more"))
            .remedy(format!("grant it to the RAM role or user of these credentials: {policy}"));
    }
    let step = Step::failed(name, refusal.message);
    let step = match refusal.class {
        Class::Credentials => step.because("ROS does not take these credentials"),
        Class::TooEarly => step.because("ROS does not know it: stack_id, region or the account's home are others, or it is too early"),
        _ => step,
    };
    step.perhaps(refusal.hint)
}

async fn resources(
    client: &Client,
    signal: &Signal,
    place: &Place,
    target: &dyn Fn(&str) -> Target,
    account: Option<&str>,
    end: Instant,
) -> Vec<Step> {
    let mut steps = Vec::new();
    for name in names(signal) {
        let logical = if name == RESOURCE { Some(&signal.resource) } else { signal.condition.as_ref() };
        let Some(logical) = logical else { continue };
        let began = Instant::now();
        let wanted = target(logical);
        let asked = tokio::time::timeout_at(end, again(|| client.get_stack_resource(&wanted, logical))).await;
        let step = match asked {
            Err(_) => Step::failed(name, format!("no answer about {logical} in time")),
            Ok(Ok(found)) => judge(name, logical, &found, signal).took(began.elapsed()),
            Ok(Err(refusal)) => missing(name, logical, refusal, signal, place, account),
        };
        steps.push(step.about(&*signal.name));
    }
    steps
}

/// Which key of the signal names what a step looks at.
fn key(name: &str) -> &'static str {
    if name == RESOURCE { "resource" } else { "condition" }
}

/// Whether it is of the right kind.
fn judge(name: &'static str, logical: &str, found: &ResourceAnswer, signal: &Signal) -> Step {
    let status = &found.status;
    let kind = found.resource_type.as_deref().unwrap_or_default();
    let seen = format!("{logical} is {} and {status}", if kind.is_empty() { "of a type that ROS does not tell" } else { kind });
    let table = format!("[signal.{}]", signal.name);
    match (name, kind) {
        (_, "") | (RESOURCE, HANDLE_TYPE) | (CONDITION, CONDITION_TYPE) => Step::ok(name, seen),
        (RESOURCE, CONDITION_TYPE) => Step::failed(name, seen)
            .because("signals go to the handle of a condition, not to the condition itself")
            .remedy(format!(
                "set resource in {table} to the logical ID that the property Handle of {logical} names in the template (Handle: {{Ref: ...}}), and condition to {logical:?}"
            )),
        (CONDITION, HANDLE_TYPE) => Step::failed(name, seen).because("condition must name what waits, not its handle").remedy(format!(
            "set condition in {table} to the logical ID of the {CONDITION_TYPE} whose property Handle is {{Ref: {logical}}}"
        )),
        (RESOURCE, _) => Step::failed(name, seen).because("a resource of this type takes no signals").remedy(format!(
            "set resource in {table} to the logical ID of an {HANDLE_TYPE}; if the template has none, add one, and an {CONDITION_TYPE} whose property Handle refers to it"
        )),
        _ => Step::failed(name, seen)
            .because("a resource of this type waits for no signals")
            .remedy(format!("set condition in {table} to the logical ID of the {CONDITION_TYPE}")),
    }
}

fn missing(name: &'static str, logical: &str, refusal: Refusal, signal: &Signal, place: &Place, account: Option<&str>) -> Step {
    let kind = if name == RESOURCE { HANDLE_TYPE } else { CONDITION_TYPE };
    match refusal.code.as_deref() {
        Some("ResourceNotFound") => {
            Step::failed(name, refusal.message).because(format!("the template of the stack has no resource {logical}")).remedy(format!(
                "set {} in [signal.{}] to the logical ID of the {kind} in the template; letters have their case",
                key(name),
                signal.name
            ))
        }
        Some("ResourceNotAvailable") => Step::warning(name, refusal.message)
            .because(format!("{logical} is in the template, but not made yet: the host is faster than its stack"))
            .remedy("nothing: the agent waits for it. If this host must start later, let it depend on the handle (DependsOn)"),
        _ => of_refusal(name, refusal, grant::GET_STACK_RESOURCE, place, account),
    }
}

/// What is needed to signal, which nobody can try.
fn permission(signal: &Signal, place: &Place, account: Option<&str>) -> Step {
    let step = match &signal.transport {
        Transport::Api => {
            let policy = Policy::for_stack(&[grant::SIGNAL], place, account).line();
            Step::skipped(PERMISSION, format!("whether {} is permitted cannot be tried without signalling", grant::SIGNAL))
                .remedy(format!("make sure that the RAM role or user of these credentials has: {policy}"))
        }
        Transport::Handle(_) => {
            Step::skipped(PERMISSION, "the URL of a handle needs no permission; whether it is valid cannot be tried without signalling")
        }
        Transport::LifecycleHook(_) => {
            Step::skipped(PERMISSION, "whether the scaling group may be told cannot be tried without telling it")
        }
    };
    step.about(&*signal.name)
}

#[cfg(test)]
mod tests {
    use super::super::step::Verdict;
    use super::*;

    fn place() -> Place {
        Place { region: Some("cn-hangzhou".to_owned()), stack_id: Some("S".to_owned()) }
    }

    #[test]
    fn a_stack_that_has_failed_is_worth_a_look_and_one_that_is_complete_is_not() {
        for (status, verdict, said) in [
            ("CREATE_IN_PROGRESS", Verdict::Ok, "signals are waited for"),
            ("CREATE_COMPLETE", Verdict::Ok, "nobody waits for a signal now"),
            ("CHECK_IN_PROGRESS", Verdict::Ok, "busy with something else"),
            ("CREATE_ROLLBACK_COMPLETE", Verdict::Warning, "nobody waits for a signal"),
            ("DELETE_IN_PROGRESS", Verdict::Warning, "nobody waits for a signal"),
        ] {
            let step = waits(status, "web");
            assert!(step.verdict() == verdict && step.seen().contains(said), "{status}: {step:?}");
        }
    }

    #[test]
    fn scenario_9_a_denied_look_names_action_and_arn_as_a_policy_to_paste() {
        let refusal = Refusal {
            class: Class::Permission,
            definite: true,
            code: Some("Forbidden.RAM".to_owned()),
            message: "Forbidden.RAM (HTTP 403 from ros.test)".to_owned(),
            request_id: None,
            retry_after: None,
            hint: Some("grant".to_owned()),
        };
        let step = of_refusal(STACK, refusal, grant::GET_STACK, &place(), Some("1234"));
        let policy =
            r#"{"Version":"1","Statement":[{"Effect":"Allow","Action":["ros:GetStack"],"Resource":["acs:ros:cn-hangzhou:1234:stack/S"]}]}"#;
        assert_eq!(step.what_to_do(), Some(format!("grant it to the RAM role or user of these credentials: {policy}").as_str()));
    }
}
