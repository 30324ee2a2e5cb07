//! What does not fit between a signal of the configuration and what the template says of its handle. Pure.
//!
//! These are warnings and not refusals: ROS takes the signal now, and silence would be the worse failure. What they warn of breaks
//! later, at the next update of the stack, or makes this round end otherwise than somebody expects.

use super::template::{Facts, Named};
use crate::plan::{HandleMode, Resignal, Signal, UniqueIdStrategy};

/// A line for each thing that does not fit, with what to do about it.
pub fn warnings(signal: &Signal, resignal: Resignal, facts: &Facts) -> Vec<String> {
    let mut lines = Vec::new();
    lines.extend(of_resource(signal, facts));
    lines.extend(of_condition(signal, facts));
    lines.extend(of_ids(signal, facts));
    lines.extend(of_updates(resignal, facts));
    lines.extend(of_settings(signal, facts));
    lines
}

fn of_resource(signal: &Signal, facts: &Facts) -> Option<String> {
    let resource = &signal.resource;
    match &facts.resource {
        Named::Handle => None,
        Named::Condition { handle } => {
            let meant =
                handle.as_ref().map_or("write the logical ID of its handle".to_owned(), |handle| format!("write resource = \"{handle}\""));
            Some(format!("`resource` names {resource}, which is an ALIYUN::ROS::WaitCondition; signals are for its handle; hint: {meant}"))
        }
        Named::Other { kind } => Some(format!(
            "`resource` names {resource}, which is an {kind} and takes no signals; hint: write the logical ID of an ALIYUN::ROS::WaitConditionHandle"
        )),
        Named::Missing => {
            Some(format!("the template of the stack has no resource {resource}; hint: `resource` is a logical ID of that template"))
        }
    }
}

fn of_condition(signal: &Signal, facts: &Facts) -> Option<String> {
    match &signal.condition {
        Some(condition) if facts.condition.is_none() => Some(format!(
            "the template has no ALIYUN::ROS::WaitCondition {condition}; hint: leave `condition` out, or write its logical ID"
        )),
        None if facts.conditions > 1 => Some(format!(
            "{} conditions of the template wait for {}, so none is believed; hint: name the one that is meant in `condition`",
            facts.conditions, signal.resource
        )),
        None if facts.conditions == 0 && facts.resource == Named::Handle => {
            Some(format!("no condition of the template can be seen to wait for {}; hint: name it in `condition`", signal.resource))
        }
        _ => None,
    }
}

/// The rule that makes the *next* update fail, when it is too late for this host to say anything else.
fn of_ids(signal: &Signal, facts: &Facts) -> Option<String> {
    let (Some(HandleMode::Full), Some(count @ 0..)) = (facts.mode, facts.count) else { return None };
    match &signal.unique_id {
        UniqueIdStrategy::Integer(number) => u64::try_from(count).is_ok_and(|count| *number > count).then(|| {
            format!("id {number} is greater than the Count {count} of the handle: ROS deletes such a signal before an update; hint: number the hosts from 1 to {count}")
        }),
        UniqueIdStrategy::IntegerOf(_) => None,
        _ => Some(format!(
            "the handle has Mode Full and Count {count}: the id of this signal is no integer, so the NEXT UPDATE of the stack FAILS; \
             hint: write unique_id = \"integer:instance-name\" (or \"integer:N\"), or take Count from the handle"
        )),
    }
}

fn of_updates(resignal: Resignal, facts: &Facts) -> Option<String> {
    match (resignal, facts.mode?, facts.count) {
        (Resignal::Never, HandleMode::Increment, _) => Some(
            "the handle has Mode Increment: an update of the stack deletes all signals and waits for new ones, but with resignal = \"never\" this \
             host stays silent then; hint: let Count of the condition be the number of hosts that the update adds, or write Mode: Full"
                .to_owned(),
        ),
        (Resignal::OnUpdate, HandleMode::Full, Some(-1)) => Some(
            "the handle has Mode Full: an update counts the signals that are there already, so one that is sent again stands for a new host; \
             hint: write Mode: Increment, or resignal = \"never\""
                .to_owned(),
        ),
        _ => None,
    }
}

fn of_settings(signal: &Signal, facts: &Facts) -> Option<String> {
    let mode = signal.mode.zip(facts.mode).filter(|(ours, theirs)| ours != theirs).map(|(_, theirs)| format!("`mode` is {theirs:?}"));
    let count = signal.count.zip(facts.count).filter(|(ours, theirs)| ours != theirs).map(|(_, theirs)| format!("`count` is {theirs}"));
    let differing: Vec<String> = mode.into_iter().chain(count).collect();
    (!differing.is_empty())
        .then(|| format!("in the template {}, not as configured; hint: leave the key out, the template is read", differing.join(" and ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{NameSource, testing};

    fn facts(mode: HandleMode, count: i64) -> Facts {
        Facts {
            resource: Named::Handle,
            mode: Some(mode),
            count: Some(count),
            condition: Some("Wait".to_owned()),
            conditions: 1,
            needed: Some(1),
            timeout_s: Some(600),
        }
    }

    fn told(change: impl Fn(&mut Signal), resignal: Resignal, facts: &Facts) -> String {
        let mut signal = testing::signal("web", "WebReady", &[]);
        change(&mut signal);
        warnings(&signal, resignal, facts).join("\n")
    }

    use HandleMode::{Full, Increment};
    use Resignal::{Never, OnUpdate};

    #[test]
    fn scenario_10_an_id_that_breaks_the_next_update_is_told_and_an_integer_is_not() {
        let full = facts(Full, 3);
        assert!(
            told(|_| {}, Never, &full).contains("the NEXT UPDATE of the stack FAILS; hint: write unique_id = \"integer:instance-name\"")
        );
        assert_eq!(told(|signal| signal.unique_id = UniqueIdStrategy::Integer(3), Never, &full), "");
        assert_eq!(told(|signal| signal.unique_id = UniqueIdStrategy::IntegerOf(NameSource::InstanceName), Never, &full), "");
        assert!(told(|signal| signal.unique_id = UniqueIdStrategy::Integer(4), Never, &full).contains("id 4 is greater than the Count 3"));
        assert_eq!(told(|_| {}, Never, &facts(Full, -1)), "", "without a Count any id will do");
    }

    #[test]
    fn scenario_10_modes_that_do_not_fit_resignal_are_told() {
        assert!(told(|_| {}, Never, &facts(Increment, -1)).contains("this host stays silent then"));
        assert_eq!(told(|_| {}, OnUpdate, &facts(Increment, -1)), "");
        assert!(told(|_| {}, OnUpdate, &facts(Full, -1)).contains("stands for a new host"));
    }

    #[test]
    fn scenario_1_a_resource_that_is_no_handle_is_told_with_the_one_that_is_meant() {
        let named = |resource| Facts { resource, ..facts(Full, -1) };
        let condition = named(Named::Condition { handle: Some("WebReady".to_owned()) });
        assert!(told(|signal| signal.resource = "Wait".into(), Never, &condition).contains("hint: write resource = \"WebReady\""));
        assert!(told(|_| {}, Never, &named(Named::Missing)).contains("no resource WebReady"));
        let other = named(Named::Other { kind: "ALIYUN::ECS::Instance".to_owned() });
        assert!(told(|_| {}, Never, &other).contains("takes no signals"));
    }

    #[test]
    fn what_is_unknown_or_contradicts_the_configuration_is_told() {
        let rivals = Facts { condition: None, conditions: 2, ..facts(Full, -1) };
        assert!(told(|_| {}, Never, &rivals).contains("2 conditions of the template wait for WebReady"));
        let none = Facts { condition: None, conditions: 0, ..facts(Full, -1) };
        assert!(told(|_| {}, Never, &none).contains("no condition of the template can be seen to wait"));
        assert!(told(|signal| signal.condition = Some("Wayt".into()), Never, &rivals).contains("no ALIYUN::ROS::WaitCondition Wayt"));
        let configured = |signal: &mut Signal| (signal.mode, signal.count) = (Some(Increment), Some(3));
        assert!(told(configured, Never, &facts(Full, -1)).contains("in the template `mode` is Full and `count` is -1, not as configured"));
    }
}
