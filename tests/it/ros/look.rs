//! Looking at the stack before a send.

use super::*;
use ros_sandbox::{Effect, Fault, Switches, When};
use ros_signal_agent::signal::Class;
use ros_signal_agent::stack::Look;

#[tokio::test]
async fn a_stack_in_progress_waits_for_signals_and_its_details_are_read() {
    let sandbox = sandbox().await;
    let client = client(&sandbox.ros_url());
    assert_eq!(client.look(&target(), None).await, Look::Waiting);
    assert_eq!(client.look(&target(), Some("Wait")).await, Look::Waiting);
    assert_eq!(client.get_stack(&target()).await.unwrap().status, "CREATE_IN_PROGRESS");
    let handle = client.get_stack_resource(&target(), "WebReady").await.unwrap();
    assert_eq!(handle.resource_type.as_deref(), Some("ALIYUN::ROS::WaitConditionHandle"));
    let asked = &sandbox.requests()[0].parameters;
    assert_eq!((asked["OutputOption"].as_str(), asked["LogOption"].as_str()), ("Disabled", "None"));
}

#[tokio::test]
async fn scenario_08_nobody_waits_at_a_stack_that_has_ended() {
    let sandbox = sandbox().await;
    let client = client(&sandbox.ros_url());
    receipt(client.signal(&success()).await);
    assert_eq!(client.look(&target(), Some("Wait")).await, Look::NobodyWaits("the stack is CREATE_COMPLETE".into()));
}

#[tokio::test]
async fn a_condition_that_is_not_there_does_not_hold_up_a_signal() {
    let sandbox = sandbox().await;
    assert_eq!(client(&sandbox.ros_url()).look(&target(), Some("NoSuchCondition")).await, Look::Waiting);
}

#[tokio::test]
async fn scenario_09_without_permission_to_look_the_agent_is_told_what_to_grant() {
    let sandbox = sandbox().await;
    sandbox.set_switches(Switches { permit_get_stack: false, ..Switches::default() });
    let Look::Denied(why) = client(&sandbox.ros_url()).look(&target(), None).await else { panic!("not denied") };
    assert!(why.contains("grant ros:GetStack on acs:ros:cn-hangzhou:*:stack/"), "{why}");
}

#[tokio::test]
async fn a_look_that_fails_is_no_reason_not_to_send() {
    let sandbox = sandbox().await;
    sandbox.add_fault(Fault::new(Effect::error(500, "InternalError")).times(1)).unwrap();
    let client = Client::new(&Ros { timeout: Duration::from_millis(300), ..settings(&sandbox.ros_url()) }, credentials(None)).unwrap();
    assert!(matches!(client.look(&target(), None).await, Look::Failed { .. }));
    sandbox.add_fault(Fault::new(Effect::stall(When::Before, None)).times(1)).unwrap();
    assert!(matches!(client.look(&target(), None).await, Look::Failed { why, .. } if why.starts_with("timed out")));
    sandbox.clear_faults();
    let elsewhere = Target { stack_id: "4a6c9851-3b0f-4f5f-b4ca-a14bf6919999".into(), ..target() };
    assert!(matches!(client.look(&elsewhere, None).await, Look::Failed { why, .. } if why.contains("StackNotFound")));
}

#[tokio::test]
async fn a_look_that_is_throttled_says_how_long_ros_asks_to_wait() {
    let sandbox = sandbox().await;
    let client = client(&sandbox.ros_url());
    sandbox.add_fault(Fault::new(Effect::throttle(Some(2500))).times(1)).unwrap();
    let Look::Failed { why, retry_after, .. } = client.look(&target(), None).await else { panic!("not failed") };
    assert!(why.contains("Throttling"), "{why}");
    assert_eq!(retry_after, Some(Duration::from_millis(2500)));
    sandbox.add_fault(Fault::new(Effect::error(500, "InternalError")).times(1)).unwrap();
    assert!(matches!(client.look(&target(), None).await, Look::Failed { retry_after: None, .. }));
}

#[tokio::test]
async fn scenario_14_a_wrong_clock_does_not_cost_the_first_look() {
    let sandbox = sandbox().await;
    receipt(client(&sandbox.ros_url()).signal(&success()).await);
    sandbox.set_skew_seconds(7200);
    let before = sandbox.requests().len();
    assert_eq!(client(&sandbox.ros_url()).look(&target(), None).await, Look::NobodyWaits("the stack is CREATE_COMPLETE".into()));
    assert_eq!(sandbox.requests().len() - before, 2);
}

#[tokio::test]
async fn scenario_15_an_expired_key_does_not_cost_a_look() {
    let sandbox = sandbox().await;
    let client = client_of_role(&sandbox);
    receipt(client.signal(&success()).await);
    sandbox.expire_credentials();
    sandbox.rotate_credentials();
    assert!(matches!(client.look(&target(), Some("Wait")).await, Look::NobodyWaits(_)));
}

#[tokio::test]
async fn a_look_repeats_a_call_only_once_and_only_if_its_cause_was_mended() {
    let asked = async |code: &str| {
        let sandbox = sandbox().await;
        sandbox.add_fault(Fault::new(Effect::error(400, code))).unwrap();
        assert!(matches!(client(&sandbox.ros_url()).look(&target(), None).await, Look::Failed { .. }));
        sandbox.requests().len()
    };
    assert_eq!(asked("SignatureNonceUsed").await, 2, "a fresh nonce is at hand");
    assert_eq!(asked("InternalError").await, 1);
}

#[tokio::test]
async fn an_answer_without_a_status_is_not_taken_for_one() {
    let body = r#"{"RequestId":"R-1","Status":"CREATE <b>","StackName":"x"}"#;
    let server = super::scripted::Server::start(move |_, _| super::scripted::http(200, &[], body)).await;
    assert_eq!(client(&server.url).get_stack(&target()).await.unwrap_err().class, Class::Transient);
}

#[tokio::test]
async fn only_a_stack_that_was_seen_here_and_is_missed_for_a_minute_counts_as_deleted() {
    let sandbox = sandbox().await;
    let stranger = client(&sandbox.ros_url());
    let client = client(&sandbox.ros_url());
    assert_eq!(client.look(&target(), None).await, Look::Waiting);
    sandbox.add_fault(Fault::new(Effect::StackNotFound)).unwrap();
    for _ in 0..4 {
        assert!(matches!(stranger.look(&target(), None).await, Look::Failed { .. }), "too early, for all it knows");
    }
    for _ in 0..3 {
        assert!(matches!(client.look(&target(), None).await, Look::Failed { .. }), "a moment of confusion is no deletion");
    }
    a_minute_passes().await;
    assert_eq!(client.look(&target(), None).await, Look::NobodyWaits("the stack was deleted".into()));
    assert!(matches!(stranger.look(&target(), None).await, Look::Failed { .. }));
}

/// On the clock of the client; nothing waits for it.
async fn a_minute_passes() {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(61)).await;
    tokio::time::resume();
}
