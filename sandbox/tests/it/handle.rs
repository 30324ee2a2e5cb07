//! The URL of a handle: a signal without credentials.

use std::time::Duration;

use ros_sandbox::{HandleAnswer, HandleHeaders, Sandbox, StackSpec, Switches};
use serde_json::{Value, json};

use crate::client::{Caller, Reply, STACK, exchange, sandbox, sandbox_with};

fn url(sandbox: &Sandbox) -> String {
    sandbox.handle_attribute(STACK, "WebReady", "URL").unwrap().reveal().to_owned()
}

async fn post(url: &str, body: &Value) -> Reply {
    let (base, target) = url.split_at(url.find("/waitcondition").unwrap());
    exchange(base, None, "POST", target, &[("content-type", "application/json")], &body.to_string()).await.unwrap()
}

#[tokio::test]
async fn a_signal_carries_its_reason_into_the_events_and_its_data_into_the_condition() {
    let sandbox = sandbox().await;
    assert_eq!(exchange(&sandbox.handle_url(), None, "GET", "/health-check", &[], "").await.unwrap().body, "ok");
    let reply = post(&url(&sandbox), &json!({"status": "SUCCESS", "id": "i-1", "reason": "it works", "data": "42"})).await;
    assert_eq!((reply.status, reply.json()["Code"].as_str()), (200, None));
    let caller = Caller::default();
    let condition = [("LogicalResourceId", "Wait"), ("ResourceAttributes.1", "Data")];
    let resource = caller.stack_call(&sandbox, "GetStackResource", &condition).await.unwrap().json();
    assert_eq!(resource["ResourceAttributes"][0]["ResourceAttributeValue"], "{\"i-1\":\"42\"}");
    let events = caller.stack_call(&sandbox, "ListStackEvents", &[("LogicalResourceId.1", "WebReady")]).await.unwrap().body;
    assert!(events.contains("Signal: status:SUCCESS reason:it works"), "{events}");
    let records = serde_json::to_string(&sandbox.requests()).unwrap();
    assert!(records.contains("/waitcondition") && !records.contains("signature="), "{records}");
}

#[tokio::test]
async fn signals_without_an_id_are_numbered_and_what_says_nothing_is_success() {
    let sandbox = sandbox().await;
    sandbox.put_stack(STACK, StackSpec::waiting_for("WebReady", 5, 300.0)).unwrap();
    for body in [json!({}), json!({"data": ["a"]}), json!({"Status": "FAILURE"})] {
        assert_eq!(post(&url(&sandbox), &body).await.status, 200);
    }
    let signals = sandbox.stack(STACK).unwrap().resources["WebReady"].signals.clone();
    let seen: Vec<_> = signals.iter().map(|signal| (signal.unique_id.as_str(), signal.status.as_str())).collect();
    assert_eq!(seen, [("1", "SUCCESS"), ("2", "SUCCESS"), ("3", "SUCCESS")], "a key in another case is not seen");
    sandbox.set_switches(Switches { handle_keys_ignore_case: true, ..Switches::default() });
    assert_eq!(post(&url(&sandbox), &json!({"Status": "FAILURE"})).await.status, 200);
    assert_eq!(sandbox.stack(STACK).unwrap().status.to_string(), "CREATE_FAILED");
}

#[tokio::test]
async fn an_altered_or_expired_url_and_a_bad_body_are_refused() {
    let sandbox = sandbox_with(Switches { handle_takes_warning: false, ..Switches::default() }, None).await;
    let good = url(&sandbox);
    post(&good.replace("WebReady", "Other"), &json!({})).await.is(403, "SignatureNotValid");
    for body in [json!([]), json!({"status": "success"}), json!({"status": 1}), json!({"status": "WARNING"}), json!({"id": ""})] {
        post(&good, &body).await.is(400, "InvalidBody");
    }
    sandbox.advance_clock(Duration::from_secs(43_201));
    post(&good, &json!({})).await.is(403, "SignatureNotValid");
    assert!(sandbox.stack(STACK).unwrap().resources["WebReady"].signals.is_empty());
}

#[tokio::test]
async fn the_attributes_of_a_handle_lead_to_it_in_every_form() {
    let sandbox = sandbox_with(Switches { handle_headers: HandleHeaders::Text, ..Switches::default() }, None).await;
    let asked = [("LogicalResourceId", "WebReady"), ("ShowResourceAttributes", "true")];
    let resource = Caller::default().stack_call(&sandbox, "GetStackResource", &asked).await.unwrap().json();
    let of = |key: &str| {
        let found = resource["ResourceAttributes"].as_array().unwrap().iter().find(|item| item["ResourceAttributeKey"] == key);
        found.unwrap()["ResourceAttributeValue"].as_str().unwrap().to_owned()
    };
    assert!(of("CurlCli").contains("\\&signature=") && of("WindowsCurlCli").contains("&signature="));
    assert_eq!(serde_json::from_str::<Value>(&of("Headers")).unwrap()["x-acs-region-id"], "cn-hangzhou");
    for (answer, body) in [(HandleAnswer::Text, "ok"), (HandleAnswer::Empty, ""), (HandleAnswer::Object, "{}")] {
        sandbox.set_switches(Switches { handle_answer: answer, handle_accepted_status: 202, ..Switches::default() });
        let reply = post(&of("URL"), &json!({"id": "i-1"})).await;
        assert_eq!((reply.status, reply.body.as_str()), (202, body));
    }
}
