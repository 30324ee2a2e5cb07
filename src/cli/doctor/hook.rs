//! Lifecycle hooks of scaling groups: the hosts of Auto Scaling (ESS), and whether an action waits for this instance. Only questions that
//! describe are asked; nothing is completed, and no heartbeat recorded.

use super::endpoint::{self, Means};
use super::grant::Policy;
use super::stack::Aimed;
use super::step::Step;
use crate::ess::{Client, ENDPOINT_VARIABLE, Error};
use crate::plan::{Endpoint, LifecycleHook, Plan, Transport};
use crate::stack::Look;
use std::collections::HashMap;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(12);

pub(super) const SETTINGS: &str = "ess.settings";
pub(super) const CHOICE: &str = "ess.choice";
pub(super) const ACTION: &str = "hook.action";
pub(super) const PERMISSION: &str = "permission.hook";

/// Whether any signal completes a lifecycle action.
pub(super) fn is_needed(plan: &Plan) -> bool {
    plan.signals.iter().any(|signal| matches!(signal.transport, Transport::LifecycleHook(_)))
}

/// The hosts of each region that a signal names, with the steps of the endpoint under names of their own; whether one answers.
pub(super) async fn hosts(
    client: Result<&Client, &Error>,
    plan: &Plan,
    aimed: &[Aimed],
    means: &Means,
    environment: &HashMap<String, String>,
) -> (Vec<Step>, bool) {
    let client = match client {
        Ok(client) => client,
        Err(error) => return (vec![Step::failed(SETTINGS, error.to_string())], false),
    };
    let chosen = match (&plan.ess.endpoint, environment.get(ENDPOINT_VARIABLE)) {
        (Endpoint::Url(_), _) => Some("endpoint under [ess]".to_owned()),
        (Endpoint::Auto, Some(text)) if !text.trim().is_empty() => Some(format!("${ENDPOINT_VARIABLE}")),
        _ => None,
    };
    let means = Means { service: "ESS", chosen, ..means.clone() };
    let mut regions: Vec<&str> = Vec::new();
    for (signal, place) in aimed {
        if let (Transport::LifecycleHook(_), Some(region)) = (&signal.transport, place.region.as_deref())
            && !regions.contains(&region)
        {
            regions.push(region);
        }
    }
    let (mut steps, mut answered) = (Vec::new(), !regions.is_empty());
    for region in regions {
        let hosts = client.hosts(region);
        let settings = endpoint::settings(&hosts, region, &means, None);
        let found = endpoint::look(&hosts, &means).await;
        answered &= found.answered;
        let all = std::iter::once(settings).chain(found.steps);
        steps.extend(all.map(|step| {
            let name = step.name().replacen("endpoint.", "ess.", 1);
            step.named(name)
        }));
    }
    (steps, answered)
}

/// Whether an action waits, for each signal that completes one. `on` is what kept everybody from asking.
pub(super) async fn look(
    client: Option<&Client>,
    aimed: &[Aimed],
    instance_id: Option<&str>,
    account: Option<&str>,
    on: Option<&str>,
) -> Vec<Step> {
    let mut steps = Vec::new();
    for (signal, place) in aimed {
        let Transport::LifecycleHook(hook) = &signal.transport else { continue };
        let missing = match (on, client, instance_id, &place.region) {
            (Some(on), ..) => Some(on),
            (None, None, ..) => Some(SETTINGS),
            (None, _, None, _) => Some(super::metadata::INSTANCE),
            (None, _, _, None) => Some(super::metadata::REGION),
            _ => None,
        };
        let region = place.region.as_deref();
        let step = match (missing, client, instance_id, region) {
            (None, Some(client), Some(instance_id), Some(region)) => {
                match tokio::time::timeout(TIMEOUT, client.look(region, hook, instance_id)).await {
                    Ok(look) => judge(look, hook, region, account),
                    Err(_) => Step::failed(ACTION, format!("no answer within {}s", TIMEOUT.as_secs())),
                }
            }
            (on, ..) => Step::depends(ACTION, on.unwrap_or(SETTINGS)),
        };
        steps.push(step.about(&*signal.name));
        let policy = Policy::of_hook(hook, region, account).line();
        steps.push(
            Step::skipped(PERMISSION, "whether ess:CompleteLifecycleAction is permitted cannot be tried without completing the action")
                .remedy(format!("make sure that the RAM role or user of these credentials has: {policy}"))
                .about(&*signal.name),
        );
    }
    steps
}

fn judge(look: Look, hook: &LifecycleHook, region: &str, account: Option<&str>) -> Step {
    let split = |why: String| match why.split_once("; ") {
        Some((what, hint)) => (what.to_owned(), Some(hint.to_owned())),
        None => (why, None),
    };
    match look {
        Look::Waiting if hook.hook.is_some() && hook.action_token.is_some() => {
            Step::ok(ACTION, "hook and action_token are configured, so no action is looked for; whether ESS takes them is not asked")
        }
        Look::Waiting | Look::WaitingSince { .. } => Step::ok(ACTION, "an action of the hook is pending, and waits for this instance"),
        Look::NobodyWaits(why) => {
            Step::ok(ACTION, format!("no action waits for this instance: {why}; a result would be settled as not needed"))
        }
        Look::NotYet(why) => Step::ok(ACTION, format!("no action is pending now: {why}; the agent asks again until the deadline")),
        Look::NotNow(why) => Step::warning(ACTION, why)
            .because("the agent cannot know which of them is meant, and answers none")
            .remedy("write hook = \"ash-...\" in the signal, and a signal of its own for each hook that is to be answered"),
        Look::Denied(why) => Step::failed(ACTION, split(why).0)
            .because("RAM does not permit to look for the action, and without its token nothing can be completed")
            .remedy(format!(
                "grant it to the RAM role or user of these credentials: {}",
                Policy::of_hook(hook, Some(region), account).line()
            )),
        Look::NoCredentials(why) | Look::Failed { why, .. } => {
            let (what, hint) = split(why);
            Step::failed(ACTION, what).perhaps(hint)
        }
    }
}
