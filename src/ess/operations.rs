//! The operations of ESS with their parameters (API reference 2022-02-22), checked before anything is sent.

use super::action::Action;
use crate::plan::OnFailure;
use crate::rpc::{Invalid, Operation, Service, charset};
use crate::signal::{ClientToken, SignalStatus};
use std::time::Duration;

/// Entries of a page: small, because an entry can name hundreds of instances.
pub(super) const PAGE: usize = 10;

/// `HeartbeatTimeout` in seconds (RecordLifecycleActionHeartbeat page).
const HEARTBEAT_SECONDS: std::ops::RangeInclusive<u64> = 30..=21_600;

/// Where this instance stands in its scaling group.
pub(super) fn describe_scaling_instances(region: &str, group: Option<&str>, instance_id: &str) -> Result<Operation, Invalid> {
    let mut parameters = vec![region_id(region)?, id("InstanceIds.1", instance_id)?];
    if let Some(group) = group {
        parameters.push(id("ScalingGroupId", group)?);
    }
    Ok(operation("DescribeScalingInstances", group, parameters))
}

/// The activities of a group that are in progress.
pub(super) fn describe_scaling_activities(region: &str, group: &str, page: u32) -> Result<Operation, Invalid> {
    let parameters = vec![
        region_id(region)?,
        id("ScalingGroupId", group)?,
        ("StatusCode", "InProgress".to_owned()),
        ("PageNumber", page.to_string()),
        ("PageSize", PAGE.to_string()),
    ];
    Ok(operation("DescribeScalingActivities", Some(group), parameters))
}

/// The lifecycle actions of an activity, whatever their status: one that is over tells that nobody waits.
pub(super) fn describe_lifecycle_actions(
    region: &str,
    group: Option<&str>,
    activity: &str,
    next: Option<&str>,
) -> Result<Operation, Invalid> {
    let mut parameters = vec![region_id(region)?, id("ScalingActivityId", activity)?, ("MaxResults", PAGE.to_string())];
    if let Some(next) = next {
        parameters.push(charset("NextToken", next, 1024, "printable ASCII", |c| c.is_ascii_graphic())?);
    }
    Ok(operation("DescribeLifecycleActions", group, parameters))
}

/// Ends the wait.
pub(super) fn complete_lifecycle_action(
    region: &str,
    action: &Action,
    result: &'static str,
    token: &ClientToken,
) -> Result<Operation, Invalid> {
    let mut parameters = of_action(region, action)?;
    parameters.push(("LifecycleActionResult", result.to_owned()));
    parameters.push(("ClientToken", token.as_str().to_owned()));
    Ok(operation("CompleteLifecycleAction", action.group.as_deref(), parameters))
}

/// Prolongs the wait.
pub(super) fn record_lifecycle_action_heartbeat(region: &str, action: &Action, covers: Duration) -> Result<Operation, Invalid> {
    let mut parameters = of_action(region, action)?;
    let seconds = covers.as_secs().clamp(*HEARTBEAT_SECONDS.start(), *HEARTBEAT_SECONDS.end());
    parameters.push(("HeartbeatTimeout", seconds.to_string()));
    Ok(operation("RecordLifecycleActionHeartbeat", action.group.as_deref(), parameters))
}

/// `LifecycleActionResult` of a verdict. A WARNING lets the instance in: ESS knows nothing between the two.
pub(super) fn result(status: SignalStatus, on_failure: OnFailure) -> &'static str {
    match (status, on_failure) {
        (SignalStatus::Success | SignalStatus::Warning, _) => "CONTINUE",
        (SignalStatus::Failure, OnFailure::Abandon) => "ABANDON",
        (SignalStatus::Failure, OnFailure::Rollback) => "ROLLBACK",
    }
}

fn of_action(region: &str, action: &Action) -> Result<Vec<(&'static str, String)>, Invalid> {
    let token = charset("LifecycleActionToken", &action.token, 256, "printable ASCII", |c| c.is_ascii_graphic())?;
    Ok(vec![region_id(region)?, id("LifecycleHookId", &action.hook)?, token])
}

fn operation(action: &'static str, group: Option<&str>, parameters: Vec<(&'static str, String)>) -> Operation {
    Operation { service: Service::Ess, action, parameters, resource: format!("scalinggroup/{}", group.unwrap_or("*")) }
}

fn region_id(region: &str) -> Result<(&'static str, String), Invalid> {
    charset("RegionId", region, 64, "a-z 0-9 -", |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

fn id(name: &'static str, value: &str) -> Result<(&'static str, String), Invalid> {
    charset(name, value, 128, "A-Z a-z 0-9 - _ .", |c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signal::{Target, UniqueId, client_token};

    const REGION: &str = "cn-hangzhou";

    fn action() -> Action {
        Action { hook: "ash-1".to_owned(), token: "B54F6A39-0000".to_owned(), group: Some("asg-1".to_owned()), others: 0 }
    }

    fn named(operation: &Operation) -> Vec<String> {
        operation.parameters.iter().map(|(name, value)| format!("{name}={value}")).collect()
    }

    #[test]
    fn the_parameters_are_those_of_the_pages() {
        let instances = describe_scaling_instances(REGION, None, "i-1").unwrap();
        assert_eq!(named(&instances), ["RegionId=cn-hangzhou", "InstanceIds.1=i-1"]);
        assert_eq!((instances.service.version(), instances.resource.as_str()), ("2022-02-22", "scalinggroup/*"));
        let activities = describe_scaling_activities(REGION, "asg-1", 2).unwrap();
        assert_eq!(
            named(&activities),
            ["RegionId=cn-hangzhou", "ScalingGroupId=asg-1", "StatusCode=InProgress", "PageNumber=2", "PageSize=10"]
        );
        let actions = describe_lifecycle_actions(REGION, Some("asg-1"), "asa-1", Some("AAA==")).unwrap();
        assert_eq!(named(&actions), ["RegionId=cn-hangzhou", "ScalingActivityId=asa-1", "MaxResults=10", "NextToken=AAA=="]);
        let target = Target { region: REGION.into(), stack_id: "asg-1".into(), resource: "lifecycle-hook".into() };
        let token = client_token(&target, &UniqueId::new("u").unwrap(), SignalStatus::Success, 0);
        let complete = complete_lifecycle_action(REGION, &action(), "CONTINUE", &token).unwrap();
        let names: Vec<_> = complete.parameters.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["RegionId", "LifecycleHookId", "LifecycleActionToken", "LifecycleActionResult", "ClientToken"]);
        assert_eq!(complete.resource, "scalinggroup/asg-1");
    }

    #[test]
    fn a_heartbeat_stays_within_the_limits_of_its_page() {
        for (asked, sent) in [(0, "30"), (31, "31"), (21_600, "21600"), (90_000, "21600")] {
            let operation = record_lifecycle_action_heartbeat(REGION, &action(), Duration::from_secs(asked)).unwrap();
            assert_eq!(operation.parameter("HeartbeatTimeout"), Some(sent));
        }
    }

    #[test]
    fn a_warning_lets_the_instance_in_and_a_failure_does_as_configured() {
        assert_eq!(result(SignalStatus::Success, OnFailure::Rollback), "CONTINUE");
        assert_eq!(result(SignalStatus::Warning, OnFailure::Abandon), "CONTINUE");
        assert_eq!(result(SignalStatus::Failure, OnFailure::Abandon), "ABANDON");
        assert_eq!(result(SignalStatus::Failure, OnFailure::Rollback), "ROLLBACK");
    }

    #[test]
    fn wrong_parameters_are_refused_by_name_before_anything_is_sent() {
        let bad = Action { token: "a b".to_owned(), ..action() };
        let refused = record_lifecycle_action_heartbeat(REGION, &bad, Duration::from_secs(60)).unwrap_err();
        assert!(refused.to_string().starts_with("LifecycleActionToken"), "{refused}");
        assert!(describe_scaling_instances("a/b", None, "i-1").unwrap_err().to_string().starts_with("RegionId"));
    }
}
