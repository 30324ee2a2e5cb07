//! The control interface: what it takes, and what it says of what it does not take.

use serde_json::json;

use crate::client::{Caller, STACK, control, metadata, sandbox};

#[tokio::test]
async fn a_stack_is_put_and_read_back_with_every_signal_as_counted() {
    let sandbox = sandbox().await;
    let spec = json!({"region": "cn-hangzhou", "name": "web", "status": "CREATE_IN_PROGRESS", "resources": {
        "WebReady": {"type": "handle", "mode": "Full", "count": -1},
        "Wait": {"type": "condition", "handle": "WebReady", "count": 2, "timeout": 300}}});
    let put = control(&sandbox, "PUT", &format!("/stacks/{STACK}"), &spec.to_string()).await;
    assert_eq!(put.status, 200, "{}", put.body);
    Caller::default().signal(&sandbox, "i-1", "WARNING").await.unwrap().accepted();
    let view = control(&sandbox, "GET", &format!("/stacks/{STACK}"), "").await.json();
    assert_eq!(view["status"], "CREATE_IN_PROGRESS");
    assert_eq!(view["resources"]["Wait"]["needed"], 2);
    let signal = &view["resources"]["WebReady"]["signals"][0];
    assert_eq!((&signal["unique_id"], &signal["status"]), (&json!("i-1"), &json!("WARNING")));
    assert_eq!((&signal["received"], &signal["effective"]), (&json!(1), &json!(1)));
    let all = control(&sandbox, "GET", "/stacks", "").await.json();
    assert_eq!(all["stacks"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn an_update_by_control_follows_the_rules_of_an_update() {
    let sandbox = sandbox().await;
    Caller::default().signal(&sandbox, "i-1", "SUCCESS").await.unwrap().accepted();
    let path = format!("/stacks/{STACK}");
    let updated = control(&sandbox, "PUT", &path, "{\"status\": \"UPDATE_IN_PROGRESS\"}").await.json();
    assert_eq!(updated["status"], "UPDATE_COMPLETE", "the signal that is there already suffices");
    assert_eq!(updated["operation"], 2);
}

#[tokio::test]
async fn bad_input_is_answered_with_what_is_wrong() {
    let sandbox = sandbox().await;
    let cases = [
        ("PUT", "/stacks/x", "{", "line 1"),
        ("PUT", "/stacks/x", "[]", "bad body"),
        ("PUT", "/stacks/x", r#"{"statuss": "A"}"#, "unknown field `statuss`"),
        ("PUT", "/stacks/x", r#"{"status": "CREATED"}"#, "'CREATED' is not a stack status"),
        ("PUT", "/stacks/x", r#"{"resources": {"A": {"type": "handel"}}}"#, "unknown variant `handel`"),
        ("PUT", "/stacks/x", r#"{"resources": {"A": {"type": "handle", "mode": "full"}}}"#, "unknown variant `full`"),
        ("PUT", "/stacks/x", r#"{"resources": {"A": {"type": "handle", "count": -2}}}"#, "count of 'A' must be -1 or more"),
        ("PUT", "/stacks/x", r#"{"resources": {"A B": {"type": "handle"}}}"#, "resource name 'A B'"),
        ("PUT", "/stacks/x", r#"{"resources": {"W": {"type": "condition", "handle": "A"}}}"#, "names the handle 'A'"),
        (
            "PUT",
            "/stacks/x",
            r#"{"resources": {"A": {"type": "handle"}, "W": {"type": "condition", "handle": "A", "timeout": 0}}}"#,
            "timeout of 'W'",
        ),
        ("PUT", "/stacks/x", r#"{"resources": {"A": {"type": "handle"}, "W": {"type": "condition", "handle": "A", "count": -1}}}"#, "-1"),
        ("PUT", "/stacks/", "{}", "stack id ''"),
        ("POST", "/faults", "{}", "missing field `effect`"),
        ("POST", "/faults", r#"{"effect": {"kind": "rest"}}"#, "unknown variant `rest`"),
        ("POST", "/faults", r#"{"effect": {"kind": "reset", "wehn": "after"}}"#, "unknown field `wehn`"),
        ("POST", "/faults", r#"{"effect": {"kind": "refuse"}, "times": 3}"#, "a closed port cannot count"),
        ("POST", "/faults", r#"{"effect": {"kind": "reset", "when": "accept"}, "match": {"action": "GetStack"}}"#, "has seen no request"),
        ("POST", "/faults", r#"{"effect": {"kind": "stall", "when": "accept"}}"#, "only a reset can be at accept"),
        ("POST", "/faults", r#"{"effect": {"kind": "stall", "seconds": -1}}"#, "0 to 3600"),
        ("POST", "/faults", r#"{"effect": {"kind": "http", "status": 99}}"#, "200 to 599"),
        ("POST", "/faults", r#"{"effect": {"kind": "http", "status": 200, "endless": true}}"#, "needs a body"),
        ("POST", "/faults", r#"{"effect": {"kind": "http", "status": 200, "headers": [["a b", "c"]]}}"#, "valid name"),
        ("POST", "/faults", r#"{"effect": {"kind": "too_early"}, "match": {"service": "metadata"}}"#, "an answer of ROS"),
        ("POST", "/faults", r#"{"effect": {"kind": "too_early"}, "times": 0}"#, "times must be 1 or more"),
        ("POST", "/faults", r#"{"effect": {"kind": "too_early"}, "seconds": -5}"#, "seconds must be"),
        ("PUT", "/switches", r#"{"warning_count": true}"#, "unknown field `warning_count`"),
        ("PUT", "/switches", r#"{"after_completion": "forget"}"#, "unknown variant `forget`"),
        ("PUT", "/switches", "7", "must be a JSON object"),
        ("POST", "/clock", r#"{"advance_seconds": -1}"#, "advance_seconds"),
        ("POST", "/clock", r#"{"skew_seconds": 99999999999}"#, "skew_seconds"),
        ("POST", "/stacks/x/available", "{}", "missing field `resource`"),
    ];
    for (method, path, body, expected) in cases {
        let reply = control(&sandbox, method, path, body).await;
        assert_eq!(reply.status, 400, "{method} {path} {body}: {}", reply.body);
        let error = reply.json()["error"].as_str().unwrap().to_owned();
        assert!(error.contains(expected), "{method} {path} {body}: {error}");
    }
    assert_eq!(control(&sandbox, "GET", "/stacks", "").await.json()["stacks"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn what_is_not_there_is_404_and_says_what_is() {
    let sandbox = sandbox().await;
    for (method, path) in [("GET", "/stacks/no"), ("DELETE", "/stacks/no"), ("GET", "/"), ("PATCH", "/faults"), ("DELETE", "/metadata/no")]
    {
        let reply = control(&sandbox, method, path, "").await;
        assert_eq!(reply.status, 404, "{method} {path}");
        assert!(!reply.json()["error"].as_str().unwrap().is_empty());
    }
}

#[tokio::test]
async fn switches_that_are_not_named_keep_their_setting() {
    let sandbox = sandbox().await;
    control(&sandbox, "PUT", "/switches", r#"{"warning_counts": false}"#).await;
    let all = control(&sandbox, "PUT", "/switches", r#"{"after_completion": "refuse"}"#).await.json();
    assert_eq!((&all["warning_counts"], &all["after_completion"]), (&json!(false), &json!("refuse")));
    assert_eq!(control(&sandbox, "GET", "/switches", "").await.json(), all);
}

#[tokio::test]
async fn faults_are_listed_with_their_use_and_cleared() {
    let sandbox = sandbox().await;
    let fault = r#"{"effect": {"kind": "error", "status": 503, "code": "ServiceUnavailable"}, "times": 2}"#;
    assert_eq!(control(&sandbox, "POST", "/faults", fault).await.json(), json!({"id": 1}));
    Caller::default().signal(&sandbox, "i-1", "SUCCESS").await.unwrap().is(503, "ServiceUnavailable");
    let listed = control(&sandbox, "GET", "/faults", "").await.json();
    assert_eq!(listed["faults"][0]["used"], 1);
    control(&sandbox, "DELETE", "/faults", "").await;
    Caller::default().signal(&sandbox, "i-1", "SUCCESS").await.unwrap().accepted();
}

#[tokio::test]
async fn metadata_is_set_as_text_or_as_a_json_string_and_removed() {
    let sandbox = sandbox().await;
    for (body, value) in [("i-abc", "i-abc"), ("\"i-def\"", "i-def"), ("12345", "12345"), ("{\"half\":", "{\"half\":")] {
        assert_eq!(control(&sandbox, "PUT", "/metadata/meta-data/instance-id", body).await.status, 200);
        let read = metadata(&sandbox, "GET", "/latest/meta-data/instance-id", &[]).await.unwrap();
        assert_eq!(read.body, value);
    }
    control(&sandbox, "DELETE", "/metadata/meta-data/instance-id", "").await;
    assert_eq!(metadata(&sandbox, "GET", "/latest/meta-data/instance-id", &[]).await.unwrap().status, 404);
}

#[tokio::test]
async fn the_clock_is_told_and_moved() {
    let sandbox = sandbox().await;
    let clock = control(&sandbox, "POST", "/clock", r#"{"skew_seconds": -3600, "advance_seconds": 301}"#).await.json();
    assert_eq!(clock["skew_seconds"], -3600);
    let view = control(&sandbox, "GET", &format!("/stacks/{STACK}"), "").await.json();
    assert_eq!(view["status"], "CREATE_FAILED");
}

#[tokio::test]
async fn requests_are_read_back_and_old_ones_are_counted_as_dropped() {
    let sandbox = sandbox().await;
    for _ in 0..4097 {
        metadata(&sandbox, "GET", "/latest/meta-data/region-id", &[]).await.unwrap();
    }
    let seen = control(&sandbox, "GET", "/requests", "").await.json();
    assert_eq!((&seen["seen"], &seen["dropped"]), (&json!(4097), &json!(1)));
    assert_eq!(seen["requests"].as_array().unwrap().len(), 4096);
    assert_eq!(seen["requests"][0]["number"], 2);
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    let sandbox = sandbox().await;
    let reply = control(&sandbox, "PUT", "/metadata/user-data", &"x".repeat(70_000)).await;
    assert_eq!(reply.status, 400, "{}", reply.body);
}
