//! The five operations: parameters, idempotence, the three 404s, formats, permissions.

use ros_sandbox::{ResourceSpec, StackSpec, Status, Switches};
use serde_json::{Value, json};

use crate::client::{Caller, STACK, sandbox, sandbox_with};

#[tokio::test]
async fn a_signal_completes_the_stack_and_every_operation_shows_it() {
    let sandbox = sandbox().await;
    let mut timeline = sandbox.subscribe();
    let caller = Caller::default();
    caller.signal(&sandbox, "i-1", "SUCCESS").await.unwrap().accepted();

    let stack = caller.stack_call(&sandbox, "GetStack", &[]).await.unwrap().json();
    assert_eq!((&stack["Status"], &stack["StackId"]), (&json!("CREATE_COMPLETE"), &json!(STACK)));
    let condition = [("LogicalResourceId", "Wait"), ("ResourceAttributes.1", "Data")];
    let resource = caller.stack_call(&sandbox, "GetStackResource", &condition).await.unwrap().json();
    assert_eq!(resource["ResourceType"], "ALIYUN::ROS::WaitCondition");
    let attribute = &resource["ResourceAttributes"][0];
    assert_eq!(attribute, &json!({"ResourceAttributeKey": "Data", "ResourceAttributeValue": "{\"i-1\":\"\"}"}));
    let resources = caller.stack_call(&sandbox, "ListStackResources", &[]).await.unwrap().json();
    let names: Vec<&Value> = resources["Resources"].as_array().unwrap().iter().map(|r| &r["LogicalResourceId"]).collect();
    assert_eq!(names, ["Wait", "WebReady"]);
    let events = caller.stack_call(&sandbox, "ListStackEvents", &[("PageSize", "2")]).await.unwrap().json();
    assert_eq!(events["Events"].as_array().unwrap().len(), 2);
    assert_eq!(events["Events"][0]["StatusReason"], "Stack CREATE completed successfully");
    assert!(events["TotalCount"].as_u64().unwrap() > 4);

    let first = timeline.recv().await.unwrap();
    assert_eq!(first.signal.unwrap().unique_id, "i-1");
}

#[tokio::test]
async fn answers_come_in_xml_where_asked_for() {
    let sandbox = sandbox().await;
    let by_header = Caller { accept: Some("text/xml"), ..Caller::default() };
    let reply = by_header.signal(&sandbox, "i-1", "SUCCESS").await.unwrap();
    assert!(reply.body.contains("<SignalResourceResponse><RequestId>"), "{}", reply.body);
    assert_eq!(reply.header("content-type"), Some("text/xml;charset=utf-8"));
    let unknown = [("Format", "XML"), ("LogicalResourceId", "No")];
    let reply = Caller::sha1().stack_call(&sandbox, "GetStackResource", &unknown).await.unwrap();
    assert!(reply.body.contains("<Error>") && reply.body.contains("<Code>ResourceNotFound</Code>"), "{}", reply.body);
    let reply = Caller::sha1().stack_call(&sandbox, "GetStack", &[("Format", "YAML")]).await.unwrap();
    reply.is(400, "InvalidParameter.Format");
}

#[tokio::test]
async fn wrong_parameters_are_named() {
    let sandbox = sandbox().await;
    let long = "x".repeat(65);
    let good = [
        ("RegionId", "cn-hangzhou"),
        ("StackId", STACK),
        ("LogicalResourceId", "WebReady"),
        ("Status", "SUCCESS"),
        ("UniqueId", "i-1"),
        ("ClientToken", "t-1"),
    ];
    let cases = [
        ("RegionId", "", "MissingParameter"),
        ("StackId", "", "MissingParameter"),
        ("LogicalResourceId", "", "MissingParameter"),
        ("Status", "", "MissingParameter"),
        ("UniqueId", "", "MissingParameter"),
        ("Status", "success", "InvalidParameter"),
        ("UniqueId", &long, "InvalidParameter"),
        ("ClientToken", &long, "InvalidParameter"),
        ("ClientToken", "a b", "InvalidParameter"),
        ("ClientToken", "", "InvalidParameter"),
    ];
    for (name, value, code) in cases {
        let parameters: Vec<(&str, &str)> = good.iter().map(|(n, v)| if *n == name { (*n, value) } else { (*n, *v) }).collect();
        let reply = Caller::default().call(&sandbox.ros_url(), None, "SignalResource", &parameters).await.unwrap();
        let json = reply.is(400, code).json();
        assert!(json["Message"].as_str().unwrap().contains(name), "{json}");
    }
    assert_eq!(sandbox.stack(STACK).unwrap().effective_signals, 0);
}

#[tokio::test]
async fn sixty_four_characters_of_any_script_are_an_id() {
    let sandbox = sandbox().await;
    let id = "信".repeat(64);
    Caller::default().signal(&sandbox, &id, "SUCCESS").await.unwrap().accepted();
    assert_eq!(sandbox.stack(STACK).unwrap().resources["WebReady"].signals[0].unique_id, id);
}

#[tokio::test]
async fn the_same_client_token_is_the_same_request() {
    let sandbox = sandbox().await;
    let caller = Caller::default();
    let token = [("ClientToken", "t-1")];
    let first = caller.signal_with(&sandbox, "i-1", "SUCCESS", &token).await.unwrap().accepted();
    let again = caller.signal_with(&sandbox, "i-1", "SUCCESS", &token).await.unwrap().accepted();
    assert_eq!(sandbox.requests()[0].request_id.as_ref(), Some(&first));
    let by_sha1 = Caller::sha1().signal_with(&sandbox, "i-1", "SUCCESS", &token).await.unwrap().accepted();
    assert_eq!((&first, &first), (&again, &by_sha1));
    let signal = &sandbox.stack(STACK).unwrap().resources["WebReady"].signals[0];
    assert_eq!((signal.received, signal.effective), (1, 1));
    let replayed: Vec<bool> = sandbox.requests().iter().map(|request| request.replayed).collect();
    assert_eq!(replayed, [false, true, true]);

    let other = caller.signal_with(&sandbox, "i-1", "FAILURE", &token).await.unwrap();
    other.is(400, "InvalidIdempotenceParameter");
}

#[tokio::test]
async fn errors_are_remembered_under_a_client_token_as_the_switch_says() {
    for tokens_replay_errors in [false, true] {
        let sandbox = sandbox_with(Switches { tokens_replay_errors, ..Switches::default() }, None).await;
        let early = ResourceSpec::Handle { mode: Default::default(), count: -1, too_early_for: 0.0, too_early: true };
        let spec = StackSpec::waiting_for("WebReady", 1, 300.0).resource("WebReady", early);
        sandbox.put_stack(STACK, spec).unwrap();
        let caller = Caller::default();
        let token = [("ClientToken", "t-1")];
        let reply = caller.signal_with(&sandbox, "i-1", "SUCCESS", &token).await.unwrap();
        reply.is(404, "ResourceNotAvailable");
        assert!(sandbox.make_available(STACK, "WebReady"));
        let reply = caller.signal_with(&sandbox, "i-1", "SUCCESS", &token).await.unwrap();
        if tokens_replay_errors {
            reply.is(404, "ResourceNotAvailable");
            let fresh = [("ClientToken", "t-2")];
            caller.signal_with(&sandbox, "i-1", "SUCCESS", &fresh).await.unwrap().accepted();
        } else {
            reply.accepted();
        }
        assert_eq!(sandbox.stack(STACK).unwrap().status, Status::CREATE_COMPLETE);
    }
}

#[tokio::test]
async fn unknown_stacks_regions_and_resources_are_told_apart() {
    let sandbox = sandbox().await;
    let caller = Caller::default();
    let url = sandbox.ros_url();
    let get = |region: &'static str, stack: &'static str| {
        let caller = caller.clone();
        let url = url.clone();
        async move { caller.call(&url, None, "GetStack", &[("RegionId", region), ("StackId", stack)]).await.unwrap() }
    };
    get("cn-hangzhou", "unknown").await.is(404, "StackNotFound");
    get("cn-beijing", STACK).await.is(404, "StackNotFound");
    let reply = caller.stack_call(&sandbox, "GetStackResource", &[("LogicalResourceId", "No")]).await.unwrap();
    reply.is(404, "ResourceNotFound");
    sandbox.put_stack(STACK, StackSpec::default().status(Status::DELETE_COMPLETE)).unwrap();
    get("cn-hangzhou", STACK).await.is(404, "StackNotFound");
}

#[tokio::test]
async fn other_actions_and_versions_are_refused() {
    let sandbox = sandbox().await;
    let reply = Caller::default().stack_call(&sandbox, "DeleteStack", &[]).await.unwrap();
    reply.is(404, "InvalidApi.NotFound");
    let reply = Caller { method: "PUT", ..Caller::default() }.stack_call(&sandbox, "GetStack", &[]).await.unwrap();
    reply.is(400, "UnsupportedHTTPMethod");
}

#[tokio::test]
async fn ram_denies_what_is_not_permitted_and_says_what_would_have_to_be() {
    let switches = Switches { permit_get_stack: false, ..Switches::default() };
    let sandbox = sandbox_with(switches, None).await;
    let caller = Caller::default();
    for action in ["GetStack", "GetStackResource", "ListStackEvents", "ListStackResources"] {
        let reply = caller.stack_call(&sandbox, action, &[]).await.unwrap();
        let json = reply.is(403, "Forbidden.RAM").json();
        assert_eq!(json["AccessDeniedDetail"]["AuthAction"], format!("ros:{action}"));
    }
    caller.signal(&sandbox, "i-1", "SUCCESS").await.unwrap().accepted();
}

#[tokio::test]
async fn data_is_readable_in_progress_as_the_switch_says() {
    for data_readable_in_progress in [true, false] {
        let sandbox = sandbox_with(Switches { data_readable_in_progress, ..Switches::default() }, None).await;
        sandbox.put_stack(STACK, StackSpec::waiting_for("WebReady", 2, 300.0)).unwrap();
        let caller = Caller::default();
        caller.signal(&sandbox, "i-1", "SUCCESS").await.unwrap().accepted();
        let asked = [("LogicalResourceId", "Wait"), ("ResourceAttributes.1", "Data")];
        let resource = caller.stack_call(&sandbox, "GetStackResource", &asked).await.unwrap().json();
        let data = &resource["ResourceAttributes"][0]["ResourceAttributeValue"];
        let expected = if data_readable_in_progress { json!("{\"i-1\":\"\"}") } else { Value::Null };
        assert_eq!(data, &expected);
    }
}

#[tokio::test]
async fn a_timeout_happens_without_a_request() {
    let sandbox = sandbox().await;
    sandbox.put_stack(STACK, StackSpec::waiting_for("WebReady", 1, 0.05)).unwrap();
    let mut timeline = sandbox.subscribe();
    let wait = async {
        while let Ok(event) = timeline.recv().await {
            if event.resource.is_none() && event.status == Status::CREATE_FAILED {
                return event.reason;
            }
        }
        panic!("the timeline ended");
    };
    let reason = tokio::time::timeout(std::time::Duration::from_secs(10), wait).await.unwrap();
    assert!(reason.contains("0 of 1 received"), "{reason}");
}

#[tokio::test]
async fn an_advanced_clock_brings_the_timeout_at_once() {
    let sandbox = sandbox().await;
    sandbox.advance_clock(std::time::Duration::from_secs(301));
    assert_eq!(sandbox.stack(STACK).unwrap().status, Status::CREATE_FAILED);
}

#[tokio::test]
async fn a_template_is_shown_as_given_or_made_from_the_resources() {
    let sandbox = sandbox().await;
    let caller = Caller::default();
    let shown = caller.stack_call(&sandbox, "GetTemplate", &[]).await.unwrap().json();
    let template: Value = serde_json::from_str(shown["TemplateBody"].as_str().unwrap()).unwrap();
    let wait = &template["Resources"]["Wait"];
    assert_eq!((&wait["Type"], &wait["Properties"]["Timeout"]), (&json!("ALIYUN::ROS::WaitCondition"), &json!("300")));
    assert_eq!(wait["Properties"]["Handle"], json!({"Ref": "WebReady"}));
    let spec = StackSpec::waiting_for("WebReady", 1, 300.0).template("Resources:\n  A: {}\n").parameter("Amount", "3");
    sandbox.put_stack(STACK, spec).unwrap();
    let shown = caller.stack_call(&sandbox, "GetTemplate", &[("TemplateStage", "Original")]).await.unwrap().json();
    assert_eq!(shown["TemplateBody"], "Resources:\n  A: {}\n");
    let stack = caller.stack_call(&sandbox, "GetStack", &[]).await.unwrap().json();
    assert_eq!(stack["Parameters"], json!([{"ParameterKey": "Amount", "ParameterValue": "3"}]));
    caller.stack_call(&sandbox, "GetTemplate", &[("TemplateStage", "Both")]).await.unwrap().is(400, "InvalidParameter");
    sandbox.set_switches(Switches { permit_get_template: false, ..Switches::default() });
    caller.stack_call(&sandbox, "GetTemplate", &[]).await.unwrap().is(403, "Forbidden.RAM");
}
