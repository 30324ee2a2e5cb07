//! What the client learns from the template, and what it sees after the acknowledgement.

use super::*;
use ros_sandbox::{Effect, Fault, ResourceSpec, Status, Switches};
use ros_signal_agent::plan::HandleMode;
use ros_signal_agent::stack::Lesson;
use ros_signal_agent::stack::confirm::Sighting;
use ros_signal_agent::stack::template::Named;

async fn lesson(sandbox: &Sandbox) -> Lesson {
    client(&sandbox.ros_url()).learn(&target(), None).await
}

/// A stack that waits for two, one of which has signalled.
async fn half_done() -> (Sandbox, Client) {
    let sandbox = sandbox().await;
    sandbox.put_stack(STACK, StackSpec::waiting_for("WebReady", 2, 300.0)).unwrap();
    let client = client(&sandbox.ros_url());
    receipt(client.signal(&success()).await);
    (sandbox, client)
}

async fn seen(client: &Client, condition: Option<&str>) -> Sighting {
    client.confirm(&target(), condition, &success().unique_id, SignalStatus::Success).await
}

#[tokio::test]
async fn a_template_is_learned_with_what_its_condition_has_left() {
    let sandbox = sandbox().await;
    sandbox.advance_clock(Duration::from_secs(100));
    let Lesson::Learned { facts, left_ms } = lesson(&sandbox).await else { panic!("nothing learned") };
    assert_eq!((facts.resource, facts.mode, facts.count), (Named::Handle, Some(HandleMode::Full), Some(-1)));
    assert_eq!((facts.condition.as_deref(), facts.timeout_s, facts.needed), (Some("Wait"), Some(300), Some(1)));
    let left = left_ms.unwrap();
    assert!((150_000..=201_000).contains(&left), "300s less 100s: {left}");
}

#[tokio::test]
async fn parameters_are_asked_for_only_where_the_template_refers_to_them() {
    let sandbox = sandbox().await;
    lesson(&sandbox).await;
    assert!(!sandbox.requests().iter().any(|request| request.action.as_deref() == Some("GetStack")));
    let text =
        "Parameters: {N: {Default: 7}}\nResources:\n  WebReady: {Type: ALIYUN::ROS::WaitConditionHandle, Properties: {Count: !Ref N}}\n";
    let stack = StackSpec::waiting_for("WebReady", 1, 300.0).template(text).parameter("N", "9");
    sandbox.put_stack(STACK, stack).unwrap();
    let Lesson::Learned { facts, left_ms } = lesson(&sandbox).await else { panic!("nothing learned") };
    assert_eq!((facts.count, facts.condition, left_ms), (Some(9), None, None));
}

#[tokio::test]
async fn a_template_of_half_a_megabyte_is_read_and_a_larger_one_or_none_is_not() {
    let sandbox = sandbox().await;
    let usual = "Resources:\n  WebReady:\n    Type: ALIYUN::ROS::WaitConditionHandle\n";
    let filled = |bytes: usize| format!("{usual}{}", "# \"quoted\"\n".repeat(bytes / 11 - 8));
    let set = |text: String| sandbox.put_stack(STACK, StackSpec::waiting_for("WebReady", 1, 300.0).template(text)).unwrap();
    set(filled(512 * 1024));
    assert!(matches!(lesson(&sandbox).await, Lesson::Learned { .. }));
    set(filled(600 * 1024));
    assert!(matches!(lesson(&sandbox).await, Lesson::Unreadable(why) if why.contains("more than the 524288 that ROS takes")));
    set("- not a template".to_owned());
    assert_eq!(lesson(&sandbox).await, Lesson::Unreadable("it has no Resources".to_owned()));
}

#[tokio::test]
async fn scenario_09_who_may_not_read_the_template_is_told_what_to_grant() {
    let sandbox = sandbox().await;
    sandbox.set_switches(Switches { permit_get_template: false, ..Switches::default() });
    assert!(matches!(lesson(&sandbox).await, Lesson::Denied(why) if why.contains("grant ros:GetTemplate on acs:ros:cn-hangzhou:*:stack/")));
    sandbox.set_switches(Switches { permit_get_stack: false, ..Switches::default() });
    let Lesson::Learned { facts, left_ms } = lesson(&sandbox).await else { panic!("nothing learned") };
    assert_eq!((facts.timeout_s, left_ms), (Some(300), None), "since when it waits is not known");
}

#[tokio::test]
async fn a_question_that_is_throttled_says_how_long_ros_asks_to_wait() {
    let sandbox = sandbox().await;
    sandbox.add_fault(Fault::new(Effect::throttle(Some(2_500)))).unwrap();
    let asked = Some(Duration::from_millis(2_500));
    assert!(matches!(lesson(&sandbox).await, Lesson::Failed { retry_after, .. } if retry_after == asked));
    let client = client(&sandbox.ros_url());
    assert!(matches!(seen(&client, Some("Wait")).await, Sighting::Missed { retry_after, .. } if retry_after == asked));
}

#[tokio::test]
async fn a_signal_among_the_data_of_the_condition_is_counted() {
    let (sandbox, client) = half_done().await;
    assert_eq!(seen(&client, Some("Wait")).await, Sighting::Counted("Wait has this signal".to_owned()));
    sandbox.set_switches(Switches { data_readable_in_progress: false, ..Switches::default() });
    assert!(matches!(seen(&client, Some("Wait")).await, Sighting::Waiting(_)), "then only its end tells");
    receipt(client.signal(&SignalRequest { unique_id: UniqueId::new("i-2").unwrap(), ..request(SignalStatus::Success, 1) }).await);
    assert!(matches!(seen(&client, Some("Wait")).await, Sighting::Counted(_)));
    assert!(matches!(seen(&client, None).await, Sighting::Counted(why) if why.starts_with("the stack is CREATE_COMPLETE")));
}

#[tokio::test]
async fn a_signal_that_the_waiting_condition_does_not_have_is_not_counted() {
    let sandbox = sandbox().await;
    let stack = StackSpec::waiting_for("WebReady", 1, 300.0).resource("Other", ResourceSpec::handle());
    sandbox.put_stack(STACK, stack.resource("OtherWait", ResourceSpec::condition("Other", 1, 300.0))).unwrap();
    let client = client(&sandbox.ros_url());
    let elsewhere = Target { resource: "Other".to_owned(), ..target() };
    receipt(client.signal(&SignalRequest { target: elsewhere, ..success() }).await);
    assert!(matches!(seen(&client, Some("Wait")).await, Sighting::NotCounted(_)));
}

#[tokio::test]
async fn failures_rollbacks_and_refusals_are_told_apart() {
    let (sandbox, client) = half_done().await;
    sandbox.advance_clock(Duration::from_secs(400));
    assert!(matches!(seen(&client, Some("Wait")).await, Sighting::Failed(why) if why.contains("CREATE_FAILED")));
    sandbox.put_stack(STACK, StackSpec::default().status("ROLLBACK_IN_PROGRESS".parse::<Status>().unwrap())).unwrap();
    assert!(matches!(seen(&client, Some("Wait")).await, Sighting::RolledBack(_)));
    sandbox.set_switches(Switches { permit_get_stack: false, ..Switches::default() });
    assert!(matches!(seen(&client, Some("Wait")).await, Sighting::Denied(why) if why.contains("grant ros:GetStack")));
}
