//! The look that follows a stack.

use super::*;
use ros_sandbox::{Change, Effect, Fault, ResourceSpec, Status, Switches};
use ros_signal_agent::signal::Class;
use ros_signal_agent::stack::Look;
use ros_signal_agent::stack::sight::{Mark, Seen, Sight};

async fn seen(client: &Client, unless: Option<&Mark>, resources: &[&str]) -> Seen {
    let resources: Vec<String> = resources.iter().map(|&name| name.to_owned()).collect();
    match client.watch(&target(), unless, &resources).await {
        Sight::Seen(seen) => *seen,
        other => panic!("not seen: {other:?}"),
    }
}

fn mark(seen: &Seen) -> Mark {
    Mark { status: seen.facts.status.clone(), updated: seen.facts.updated.clone() }
}

#[tokio::test]
async fn a_stack_is_seen_with_the_resources_that_are_asked_for() {
    let sandbox = sandbox().await;
    let client = client(&sandbox.ros_url());
    let seen = seen(&client, None, &["Wait", "WebReady", "NoSuchThing"]).await;
    assert_eq!((seen.facts.status.as_str(), seen.notifies_eventbridge), ("CREATE_IN_PROGRESS", Some(false)));
    assert!(seen.facts.updated.is_some() && seen.host.starts_with("127.0.0.1"), "{seen:?}");
    let statuses: Vec<_> = seen.resources.iter().map(|resource| resource.status.as_deref()).collect();
    assert_eq!(statuses, [Some("CREATE_IN_PROGRESS"), Some("CREATE_COMPLETE"), None], "one that is not there is no trouble");
    assert!(seen.resources[0].updated.is_some() && seen.resources[2].updated.is_none());
}

#[tokio::test]
async fn resources_are_read_only_where_the_stack_has_moved() {
    let sandbox = sandbox().await;
    let client = client(&sandbox.ros_url());
    let first = mark(&seen(&client, None, &["Wait"]).await);
    assert_eq!(seen(&client, Some(&first), &["Wait"]).await.resources, []);
    sandbox.put_stack(STACK, StackSpec::default().status("UPDATE_IN_PROGRESS".parse::<Status>().unwrap())).unwrap();
    let moved = seen(&client, Some(&first), &["Wait"]).await;
    assert_eq!((moved.facts.status.as_str(), moved.resources.len()), ("UPDATE_IN_PROGRESS", 1));
    let actions: Vec<_> = sandbox.requests().iter().filter_map(|request| request.action.clone()).collect();
    assert_eq!(actions, ["GetStack", "GetStackResource", "GetStack", "GetStack", "GetStackResource"]);
}

#[tokio::test]
async fn scenario_09_a_look_that_is_denied_says_what_to_grant() {
    let sandbox = sandbox().await;
    sandbox.set_switches(Switches { permit_get_stack: false, ..Switches::default() });
    let Sight::Denied(why) = client(&sandbox.ros_url()).watch(&target(), None, &[]).await else { panic!("not denied") };
    assert!(why.contains("grant ros:GetStack on acs:ros:cn-hangzhou:*:stack/"), "{why}");
}

#[tokio::test]
async fn scenario_09_a_stack_whose_resources_may_not_be_read_is_seen_without_them() {
    let denied =
        r#"{"RequestId":"R-1","HostId":"ros","Code":"Forbidden.RAM","Message":"User not authorized to operate on the specified resource"}"#;
    let body = r#"{"RequestId":"R-2","Status":"UPDATE_IN_PROGRESS","StackName":"web","UpdateTime":null,"CreateTime":"2026-01-02T03:04:05","NotificationURLs":["eventbridge"]}"#;
    let server = super::scripted::Server::start(move |_, number| match number {
        1 => super::scripted::http(200, &[], body),
        _ => super::scripted::http(403, &[], denied),
    })
    .await;
    let seen = seen(&client(&server.url), None, &["Wait", "WebReady"]).await;
    assert_eq!((seen.resources.len(), seen.notifies_eventbridge), (0, Some(true)));
    assert_eq!(seen.facts.updated.as_deref(), Some("2026-01-02T03:04:05"), "one that was never updated has the time of its creation");
    assert!(seen.resources_denied.unwrap().contains("ros:GetStackResource"));
}

#[tokio::test]
async fn a_resource_that_ros_will_never_show_hides_neither_the_stack_nor_other_resources() {
    let refused = r#"{"RequestId":"R-1","HostId":"ros","Code":"InvalidParameter","Message":"The LogicalResourceId is invalid"}"#;
    let stack = r#"{"RequestId":"R-2","Status":"UPDATE_IN_PROGRESS","StackName":"web","CreateTime":"2026-01-02T03:04:05"}"#;
    let server = super::scripted::Server::start(move |_, number| match number {
        1 | 3 => super::scripted::http(200, &[], stack),
        _ => super::scripted::http(400, &[], refused),
    })
    .await;
    let seen = seen(&client(&server.url), None, &["Odd", "Wait"]).await;
    assert_eq!((seen.facts.status.as_str(), seen.resources.len()), ("UPDATE_IN_PROGRESS", 1));
    assert!(seen.resources_denied.unwrap().contains("LogicalResourceId"));
}

#[tokio::test]
async fn scenario_05_a_look_that_is_throttled_says_so_and_how_long_to_wait() {
    let sandbox = sandbox().await;
    sandbox.add_fault(Fault::new(Effect::throttle(Some(2_500)))).unwrap();
    let asked = Some(Duration::from_millis(2_500));
    let sight = client(&sandbox.ros_url()).watch(&target(), None, &[]).await;
    assert!(matches!(sight, Sight::Failed { class: Class::Throttled, retry_after, .. } if retry_after == asked), "{sight:?}");
}

#[tokio::test]
async fn a_stack_that_is_not_there_is_missed_at_the_host_that_says_so() {
    let sandbox = sandbox().await;
    let client = client(&sandbox.ros_url());
    let host = seen(&client, None, &[]).await.host;
    sandbox.add_fault(Fault::new(Effect::StackNotFound)).unwrap();
    assert_eq!(client.watch(&target(), None, &[]).await, Sight::Missing { host });
}

#[tokio::test]
async fn metadata_is_kept_up_to_a_size_and_known_by_its_digest_beyond_it() {
    let resource = |metadata: &str| {
        format!(r#"{{"RequestId":"R-1","Status":"CREATE_COMPLETE","UpdateTime":"2026-01-02T03:04:05","Metadata":{metadata}}}"#)
    };
    let server = super::scripted::Server::start(move |_, number| {
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(20_000));
        let body = resource(match number {
            2 => r#"{"a":1}"#,
            3 => &long,
            _ => "null",
        });
        super::scripted::http(200, &[], &body)
    })
    .await;
    let seen = seen(&client(&server.url), None, &["Short", "Long", "None"]).await;
    let kept: Vec<_> = seen.resources.iter().map(|resource| (resource.metadata.as_deref(), resource.metadata_digest.is_some())).collect();
    assert_eq!(kept, [(Some(r#"{"a":1}"#), true), (None, true), (None, false)]);
}

#[tokio::test]
async fn before_a_send_the_condition_says_for_which_operation_it_waits() {
    let sandbox = sandbox().await;
    let client = client(&sandbox.ros_url());
    let (target, client) = (target(), &client);
    let look = async |condition| client.look_asking(&target, condition, true).await.0;
    let Look::WaitingSince { since, creating } = look(Some("Wait")).await else { panic!("it does not wait") };
    assert!(creating && since.len() >= 19, "{since}");
    assert_eq!(look(Some("NoSuchCondition")).await, Look::Waiting);
    receipt(client.signal(&success()).await);
    assert_eq!(look(Some("Wait")).await, Look::NobodyWaits("the stack is CREATE_COMPLETE".into()));
    let two = ResourceSpec::condition("WebReady", 2, 900.0);
    let update = Change::update().resource("WebReady", ResourceSpec::handle()).resource("Wait", two).conditions_begin_after(60.0);
    sandbox.change(STACK, update).unwrap();
    assert!(matches!(look(Some("Wait")).await, Look::NotNow(_)), "its turn has not come");
    sandbox.advance_clock(std::time::Duration::from_secs(61));
    let later = look(Some("Wait")).await;
    assert!(matches!(&later, Look::WaitingSince { creating: false, since: own } if *own != since), "the update's own time: {later:?}");
}
