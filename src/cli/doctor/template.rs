//! What the template says of each signal's handle and condition, and what does not fit the configuration.

use super::grant::{self, Policy};
use super::stack::Aimed;
use super::step::Step;
use crate::plan::{Signal, Transport};
use crate::ros::Client;
use crate::signal::Target;
use crate::stack::template::Facts;
use crate::stack::{Lesson, advice};
use std::time::Duration;
use tokio::time::Instant;

/// All signals together.
const TIMEOUT: Duration = Duration::from_secs(8);

pub(super) const TEMPLATE: &str = "stack.template";

/// What could not be looked at, because of `on`.
pub(super) fn unasked(signals: &[Aimed], on: &str) -> Vec<Step> {
    signals.iter().map(|(signal, _)| Step::depends(TEMPLATE, on).about(&*signal.name)).collect()
}

/// Asks for the template of each signal.
pub(super) async fn look(client: &Client, signals: &[Aimed], account: Option<&str>) -> Vec<Step> {
    let end = Instant::now() + TIMEOUT;
    let mut steps = Vec::new();
    for (signal, place) in signals.iter().filter(|(signal, _)| !matches!(signal.transport, Transport::LifecycleHook(_))) {
        let (Some(region), Some(stack_id)) = (place.region.clone(), place.stack_id.clone()) else {
            steps.push(Step::depends(TEMPLATE, super::metadata::STACK).about(&*signal.name));
            continue;
        };
        let target = Target { region, stack_id, resource: signal.resource.clone() };
        let step = match tokio::time::timeout_at(end, client.learn(&target, signal.condition.as_deref())).await {
            Err(_) => Step::warning(TEMPLATE, "no answer in time"),
            Ok(Lesson::Learned { facts, .. }) => judge(signal, &facts),
            Ok(Lesson::Unreadable(why)) => Step::warning(TEMPLATE, format!("the template cannot be read: {why}"))
                .because("so Mode, Count and Timeout are not known to the agent; it goes by mode, count and deadline of the configuration")
                .remedy(format!("write mode, count and deadline in [signal.{}] as the template has them", signal.name)),
            Ok(Lesson::Denied(why)) => {
                let policy = Policy::for_stack(&[grant::GET_TEMPLATE], place, account).line();
                Step::warning(TEMPLATE, hinted(&why).0)
                    .because("RAM does not permit ros:GetTemplate; the agent goes by mode, count and deadline of the configuration")
                    .remedy(format!("grant it to the RAM role or user of these credentials: {policy}"))
            }
            Ok(Lesson::Failed { why, .. }) => {
                let (why, hint) = hinted(&why);
                Step::warning(TEMPLATE, why).perhaps(hint)
            }
        };
        steps.push(step.about(&*signal.name));
    }
    steps
}

/// A message and what follows its hint.
fn hinted(text: &str) -> (String, Option<String>) {
    match text.split_once("; hint: ") {
        Some((what, hint)) => (what.to_owned(), Some(hint.to_owned())),
        None => (text.to_owned(), None),
    }
}

fn judge(signal: &Signal, facts: &Facts) -> Step {
    let seen = described(signal, facts);
    let mut warnings: Vec<(String, Option<String>)> =
        advice::warnings(signal, signal.resignal, facts).iter().map(|warning| hinted(warning)).collect();
    warnings.extend(too_late(signal, facts));
    if warnings.is_empty() {
        return Step::ok(TEMPLATE, seen);
    }
    let (whats, hints): (Vec<String>, Vec<Option<String>>) = warnings.into_iter().unzip();
    let hints: Vec<String> = hints.into_iter().flatten().chain(properties(signal, facts)).collect();
    Step::warning(TEMPLATE, seen).because(whats.join("; ")).remedy(hints.join("; "))
}

fn described(signal: &Signal, facts: &Facts) -> String {
    let known = |value: Option<i64>| value.map_or_else(|| "not told".to_owned(), |value| value.to_string());
    let mode = facts.mode.map_or_else(|| "not told".to_owned(), |mode| format!("{mode:?}"));
    let count = if facts.count == Some(-1) { "none".to_owned() } else { known(facts.count) };
    let handle = format!("{}: Mode {mode}, Count {count}", signal.resource);
    match &facts.condition {
        Some(condition) => {
            let timeout = facts.timeout_s.map_or_else(|| "not told".to_owned(), |seconds| format!("{seconds}s"));
            format!("{handle}; {condition}: Count {}, Timeout {timeout}", known(facts.needed))
        }
        None => handle,
    }
}

/// The verdict falls after the stack has stopped waiting, however early this host starts.
fn too_late(signal: &Signal, facts: &Facts) -> Option<(String, Option<String>)> {
    let (timeout, condition) = (u64::try_from(facts.timeout_s?).ok()?, facts.condition.as_ref()?);
    let decides = signal.deadline.saturating_sub(signal.margin);
    if !signal.deadline_given || decides < Duration::from_secs(timeout) {
        return None;
    }
    let what = format!(
        "deadline - margin of the configuration is {}, but {condition} waits for {timeout}s only",
        humantime::format_duration(decides)
    );
    Some((what, Some(format!("leave deadline out, then it follows Timeout of {condition}; or make that longer"))))
}

/// The names of what can be changed in the template.
fn properties(signal: &Signal, facts: &Facts) -> Option<String> {
    let handle = format!("Mode and Count under Resources.{}.Properties", signal.resource);
    let condition = facts.condition.as_ref().map(|condition| format!(", Count and Timeout under Resources.{condition}.Properties"));
    Some(format!("in the template these are {handle}{}", condition.unwrap_or_default()))
}
