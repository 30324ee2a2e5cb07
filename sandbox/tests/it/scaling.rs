//! Auto Scaling: groups, activities, lifecycle actions, heartbeats and their limits.

use std::time::Duration;

use ros_sandbox::{HookSpec, Sandbox, ScalingGroupSpec, Switches, Transition};
use serde_json::Value;

use crate::client::{Caller, Reply, sandbox};

const GROUP: &str = "asg-1";

async fn group(hooks: impl IntoIterator<Item = HookSpec>) -> Sandbox {
    let sandbox = sandbox().await;
    sandbox.put_scaling_group(GROUP, ScalingGroupSpec::with_hooks(hooks)).unwrap();
    sandbox
}

async fn call(sandbox: &Sandbox, action: &str, parameters: &[(&str, &str)]) -> Reply {
    let all = [&[("RegionId", "cn-hangzhou")][..], parameters].concat();
    Caller { version: "2022-02-22", ..Caller::default() }.call(&sandbox.ros_url(), None, action, &all).await.unwrap()
}

async fn heartbeat(sandbox: &Sandbox, token: &str, seconds: &str) -> Reply {
    let parameters = [("LifecycleHookId", "ash-1"), ("LifecycleActionToken", token), ("HeartbeatTimeout", seconds)];
    call(sandbox, "RecordLifecycleActionHeartbeat", &parameters).await
}

async fn complete(sandbox: &Sandbox, token: &str, result: &str) -> Reply {
    let parameters =
        [("LifecycleHookId", "ash-1"), ("LifecycleActionToken", token), ("LifecycleActionResult", result), ("ClientToken", result)];
    call(sandbox, "CompleteLifecycleAction", &parameters).await
}

fn token(sandbox: &Sandbox) -> String {
    sandbox.scaling_group(GROUP).unwrap().actions[0].token.clone()
}

#[tokio::test]
async fn an_instance_waits_for_its_hook_and_is_in_service_after_continue() {
    let sandbox = group([HookSpec::scale_out("ash-1")]).await;
    let activity = sandbox.scale(GROUP, Transition::ScaleOut, &["i-1"]).unwrap();
    let found = call(&sandbox, "DescribeScalingInstances", &[("InstanceIds.1", "i-1")]).await.json();
    let instance = &found["ScalingInstances"][0];
    assert_eq!(
        (&instance["LifecycleState"], &instance["ScalingActivityId"]),
        (&Value::from("Pending:Wait"), &Value::from(activity.as_str()))
    );
    let found = call(&sandbox, "DescribeScalingActivities", &[("ScalingGroupId", GROUP), ("StatusCode", "InProgress")]).await.json();
    assert_eq!(found["ScalingActivities"][0]["ScalingActivityId"], activity.as_str());
    let found = call(&sandbox, "DescribeLifecycleActions", &[("ScalingActivityId", &activity)]).await.json();
    let action = &found["LifecycleActions"][0];
    assert_eq!((&action["LifecycleActionStatus"], &action["InstanceIds"][0]), (&Value::from("Pending"), &Value::from("i-1")));
    let token = token(&sandbox);
    assert_eq!(complete(&sandbox, &token, "CONTINUE").await.status, 200);
    assert_eq!(complete(&sandbox, &token, "CONTINUE").await.status, 200, "the same ClientToken: the same answer");
    assert_eq!(complete(&sandbox, &token, "ABANDON").await.code(), "LifecycleHookIdAndLifecycleActionToken.Invalid");
    assert_eq!(sandbox.scaling_group(GROUP).unwrap().instances["i-1"], "InService");
}

#[tokio::test]
async fn a_hook_ends_its_wait_by_itself_and_a_heartbeat_puts_that_off() {
    let sandbox = group([HookSpec::scale_out("ash-1")]).await;
    sandbox.scale(GROUP, Transition::ScaleOut, &["i-1"]).unwrap();
    sandbox.advance_clock(Duration::from_secs(500));
    assert_eq!(heartbeat(&sandbox, &token(&sandbox), "600").await.status, 200);
    sandbox.advance_clock(Duration::from_secs(500));
    assert_eq!(sandbox.scaling_group(GROUP).unwrap().actions[0].status, "Pending");
    sandbox.advance_clock(Duration::from_secs(200));
    let view = sandbox.scaling_group(GROUP).unwrap();
    assert_eq!((view.actions[0].status.as_str(), view.actions[0].result.as_deref()), ("Timeout", Some("ABANDON")));
    assert!(view.instances.is_empty(), "the instance is released");
    // The 15 minutes of a signature are not what this is about.
    sandbox.set_skew_seconds(-1200);
    let late = heartbeat(&sandbox, &view.actions[0].token, "600").await;
    assert_eq!((late.status, late.code().as_str()), (400, "LifecycleHookIdAndLifecycleActionToken.Invalid"));
}

#[tokio::test]
async fn heartbeats_have_their_limits() {
    let sandbox = group([HookSpec::scale_out("ash-1")]).await;
    sandbox.scale(GROUP, Transition::ScaleOut, &["i-1"]).unwrap();
    let token = token(&sandbox);
    for bad in ["29", "21601", "x"] {
        assert_eq!(heartbeat(&sandbox, &token, bad).await.code(), "InvalidParamter", "{bad}");
    }
    for _ in 0..20 {
        assert_eq!(heartbeat(&sandbox, &token, "300").await.status, 200);
    }
    assert_eq!(heartbeat(&sandbox, &token, "300").await.code(), "LifecycleAction.RecordTimesExceeded");
    let sandbox = group([HookSpec::scale_out("ash-1")]).await;
    sandbox.set_switches(Switches { heartbeats_add: true, ..Switches::default() });
    sandbox.scale(GROUP, Transition::ScaleOut, &["i-1"]).unwrap();
    let first = self::token(&sandbox);
    assert_eq!(heartbeat(&sandbox, &first, "3600").await.status, 200);
    assert_eq!(heartbeat(&sandbox, &first, "21600").await.code(), "LifecycleAction.TimeExceeded");
}

#[tokio::test]
async fn an_instance_that_is_removed_waits_for_another_kind_of_hook() {
    let sandbox = group([HookSpec::scale_out("ash-1"), HookSpec::scale_in("ash-2")]).await;
    sandbox.scale(GROUP, Transition::ScaleOut, &["i-1"]).unwrap();
    complete(&sandbox, &token(&sandbox), "CONTINUE").await;
    sandbox.scale(GROUP, Transition::ScaleIn, &["i-1"]).unwrap();
    assert_eq!(sandbox.scaling_group(GROUP).unwrap().instances["i-1"], "Removing:Wait");
}

#[tokio::test]
async fn ram_may_deny_reading_and_answering_each_for_itself() {
    let sandbox = group([HookSpec::scale_out("ash-1")]).await;
    sandbox.scale(GROUP, Transition::ScaleOut, &["i-1"]).unwrap();
    sandbox.set_switches(Switches { permit_ess_describe: false, ..Switches::default() });
    let denied = call(&sandbox, "DescribeScalingInstances", &[("InstanceIds.1", "i-1")]).await;
    assert_eq!(denied.json()["AccessDeniedDetail"]["AuthAction"], "ess:DescribeScalingInstances");
    sandbox.set_switches(Switches { permit_ess_lifecycle: false, ..Switches::default() });
    let denied = complete(&sandbox, &token(&sandbox), "CONTINUE").await;
    assert_eq!(denied.json()["AccessDeniedDetail"]["AuthAction"], "ess:CompleteLifecycleAction");
}

#[tokio::test]
async fn a_group_that_makes_no_sense_is_refused() {
    let sandbox = sandbox().await;
    let hook = HookSpec { heartbeat_timeout: 29, ..HookSpec::scale_out("ash-1") };
    assert!(sandbox.put_scaling_group(GROUP, ScalingGroupSpec::with_hooks([hook])).unwrap_err().to_string().contains("ash-1"));
    assert!(sandbox.scale("asg-none", Transition::ScaleOut, &["i-1"]).is_err());
}
