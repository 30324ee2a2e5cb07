//! The source `queue`, in a running agent, against an SMQ that misbehaves.

use super::queue_server::{ACCOUNT, REGION, Server};
use crate::host::{Host, KEY, SECRET};
use base64::Engine as _;
use serde_json::Value;
use std::time::Duration;

const EVENT: &str = r#"{"id":"1","source":"acs.ros","specversion":"1.0","type":"ros:StackStateChange:UpdateComplete","data":{"Status":"UPDATE_COMPLETE","StackId":"4a6c9851-3b0f-4f5f-b4ca-a14bf6910000"}}"#;

/// A host whose agent reads the queue `q` of `server`, with these keys besides.
async fn host(server: &Server, keys: &str) -> Host {
    let source = format!(
        "[source.smq]\ntype = \"queue\"\nqueue = \"q\"\naccount = \"{ACCOUNT}\"\nregion = \"{REGION}\"\nendpoint = \"{}\"\n{keys}",
        server.url
    );
    Host::new(&format!("[signal.web]\nresource = \"WebReady\"\n[check.app]\ntype = \"ttl\"\nttl = \"1h\"\n{source}")).await
}

async fn server() -> Server {
    Server::start(KEY, SECRET, &["q"]).await
}

/// Waits until the source is so.
async fn source(host: &Host, is_so: impl Fn(&Value) -> bool) -> Value {
    let wait = async {
        loop {
            if let Some((200, body)) = host.ask_if_there("GET", "/status").await {
                let status: Value = serde_json::from_str(&body).unwrap();
                if is_so(&status["sources"][0]) {
                    return status["sources"][0].clone();
                }
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), wait).await.expect("the source gets there")
}

#[tokio::test(flavor = "current_thread")]
async fn messages_raw_in_base64_and_wrapped_by_a_topic_are_handed_in_and_then_deleted() {
    let server = server().await;
    let json = include_str!("../../fixtures/events/mns-xml/topic_notification_body_json.json");
    let xml = include_str!("../../fixtures/events/mns-xml/topic_notification_body_xml.xml");
    for body in [EVENT, &base64::engine::general_purpose::STANDARD.encode(EVENT), json, xml] {
        server.put("q", body);
    }
    let host = host(&server, "").await;
    let agent = host.start();
    let view = source(&host, |view| view["received"] == 4).await;
    server.until_empty("q").await;
    assert_eq!((view["healthy"].as_bool(), view["kind"].as_str()), (Some(true), Some("queue")));
    assert!(view["detail"].as_str().unwrap().starts_with("reads queue q at 127.0.0.1:"), "{view}");
    assert_eq!(server.with(|inner| inner.not_let_in.clone()), Vec::<String>::new());
    agent.stop().await.unwrap();
}

#[tokio::test(flavor = "current_thread")]
async fn one_message_at_a_time_works_under_either_signature_and_with_a_token() {
    for (keys, scheme) in
        [("batch = 1\n", "MNS"), ("batch = 1\nsignature = \"v4\"\n", "MNS4-HMAC-SHA256"), ("signature = \"v4\"\n", "MNS4-HMAC-SHA256")]
    {
        let server = server().await;
        server.with(|inner| inner.token = Some("CAIS+queue/TOKEN==".to_owned()));
        server.put("q", EVENT);
        server.put("q", EVENT);
        let host = host(&server, keys).await;
        let mut environment = Host::environment();
        environment.insert("ALIBABA_CLOUD_SECURITY_TOKEN".to_owned(), "CAIS+queue/TOKEN==".to_owned());
        let agent = host.start_in(environment);
        server.until_empty("q").await;
        assert_eq!(server.with(|inner| inner.not_let_in.clone()), Vec::<String>::new());
        assert!(server.with(|inner| inner.schemes.iter().all(|used| used == scheme)));
        agent.stop().await.unwrap();
    }
}

#[tokio::test(flavor = "current_thread")]
async fn what_is_no_event_is_counted_and_deleted() {
    let server = server().await;
    server.put("q", "<html/>");
    server.put("q", "{}");
    let host = host(&server, "").await;
    let agent = host.start();
    server.until_empty("q").await;
    let view = source(&host, |view| view["refused"].as_object().is_some_and(|refused| !refused.is_empty())).await;
    let refused: u64 = view["refused"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
    assert_eq!((refused, view["received"].as_u64()), (2, Some(0)), "{view}");
    agent.stop().await.unwrap();
}

#[tokio::test(flavor = "current_thread")]
async fn scenario_14_a_clock_that_is_wrong_is_corrected_by_the_date_of_the_first_refusal() {
    let server = server().await;
    server.with(|inner| inner.ahead_ms = -7_200_000);
    server.put("q", EVENT);
    let host = host(&server, "").await;
    let agent = host.start();
    server.until_empty("q").await;
    assert_eq!(server.with(|inner| inner.not_let_in.clone()), ["TimeExpired"]);
    agent.stop().await.unwrap();
}

#[tokio::test(flavor = "current_thread")]
async fn a_service_that_answers_at_once_is_not_asked_in_a_circle() {
    let server = server().await;
    server.with(|inner| inner.hasty = true);
    let host = host(&server, "").await;
    let agent = host.start();
    server.until("it is asked three times", |inner| inner.asked.len() >= 3).await;
    let took = server.with(|inner| inner.asked[2].1 - inner.asked[0].1);
    // Two waits of half a second at least.
    assert!(took >= Duration::from_secs(1), "{took:?}");
    agent.stop().await.unwrap();
}

#[tokio::test(flavor = "current_thread")]
async fn scenario_4_throttling_and_outages_are_waited_out() {
    let server = server().await;
    server.fault("Receive", 400, "QpsLimitExceeded", 1);
    server.fault("Receive", 503, "InternalError", 1);
    server.put("q", EVENT);
    let host = host(&server, "").await;
    let agent = host.start();
    server.until_empty("q").await;
    let asked = server.with(|inner| inner.asked.iter().map(|(_, at)| *at).collect::<Vec<_>>());
    assert!(asked[1] - asked[0] >= Duration::from_secs(1), "throttling waits a second at least");
    let view = source(&host, |view| view["healthy"] == true).await;
    assert_eq!(view["error"], Value::Null);
    agent.stop().await.unwrap();
}

#[tokio::test(flavor = "current_thread")]
async fn scenario_9_a_queue_that_is_not_there_and_a_right_that_is_missing_are_said_with_what_to_do() {
    let server = Server::start(KEY, SECRET, &[]).await;
    let host = host(&server, "").await;
    let agent = host.start();
    let view = source(&host, |view| view["error"].is_string()).await;
    assert!(view["error"].as_str().unwrap().starts_with("QueueNotExist (HTTP 404 from 127.0.0.1"), "{view}");
    assert_eq!(view["hint"], format!("is the queue in account {ACCOUNT} and region {REGION}?"));
    agent.stop().await.unwrap();

    let server = self::server().await;
    server.fault("Receive", 403, "AccessDenied", 99);
    let host = self::host(&server, "").await;
    let agent = host.start();
    let view = source(&host, |view| view["error"].is_string()).await;
    let grant = format!("grant mns:BatchReceiveMessage on acs:mns:{REGION}:{ACCOUNT}:/queues/q/messages to the instance's RAM role");
    assert_eq!(view["hint"], grant);
    agent.stop().await.unwrap();
}

#[tokio::test(flavor = "current_thread")]
async fn a_message_with_little_time_left_is_given_more_before_it_is_handed_in() {
    let server = server().await;
    server.with(|inner| inner.visibility_ms = 3_000);
    server.put("q", EVENT);
    let host = host(&server, "").await;
    let agent = host.start();
    server.until_empty("q").await;
    assert_eq!(server.count("ChangeVisibility"), 1);
    agent.stop().await.unwrap();
}

#[tokio::test(flavor = "current_thread")]
async fn a_message_that_cannot_be_deleted_or_kept_comes_back_and_nothing_breaks() {
    let server = server().await;
    server.fault("Delete", 404, "ReceiptHandleError", 1);
    server.fault("Delete", 500, "InternalError", 1);
    server.put("q", EVENT);
    let host = host(&server, "").await;
    let agent = host.start();
    for times in 1..=2 {
        server.until("it is deleted in vain", |inner| inner.asked.iter().filter(|(action, _)| action == "Delete").count() >= times).await;
        server.release("q");
    }
    server.until_empty("q").await;
    assert_eq!(server.count("Delete"), 3);
    assert_eq!(source(&host, |view| view["healthy"] == true).await["received"], 3);
    agent.stop().await.unwrap();
}

#[tokio::test(flavor = "current_thread")]
async fn a_wrong_signature_is_told_without_what_was_signed() {
    let server = Server::start(KEY, "anotherSecret", &["q"]).await;
    let host = host(&server, "").await;
    let agent = host.start();
    let view = source(&host, |view| view["error"].is_string()).await;
    let error = view["error"].as_str().unwrap();
    assert!(error.starts_with("SignatureDoesNotMatch (HTTP 403 from 127.0.0.1") && error.ends_with(')'), "{error}");
    agent.stop().await.unwrap();
}

#[tokio::test(flavor = "current_thread")]
async fn a_reload_with_the_same_source_goes_on_reading_with_new_clients() {
    let server = server().await;
    let host = host(&server, "").await;
    let agent = host.start();
    source(&host, |view| view["healthy"] == true || server.count("Receive") > 0).await;
    assert_eq!(host.ask("POST", "/reload", "").await.0, 200);
    server.until("it asks again", |inner| inner.asked.len() >= 2).await;
    server.put("q", EVENT);
    server.until_empty("q").await;
    agent.stop().await.unwrap();
}

#[test]
fn an_unencrypted_network_is_warned_of_with_what_crosses_in_the_clear() {
    use ros_signal_agent::config::{Environment, Layout, Owners, load};
    let dir = crate::private::directory();
    let path = dir.path().join("config.toml");
    let told = |network: &str| {
        crate::private::write(&path, &format!("[source.q]\ntype = \"queue\"\nqueue = \"q\"\nnetwork = \"{network}\"\n"));
        let loaded = load(&Layout::file(&path), &Owners::system(), &Environment::default()).unwrap();
        loaded.warnings.iter().map(ToString::to_string).collect::<String>()
    };
    let warned = told("internal-plain");
    assert!(warned.contains("the events and the security token of the RAM role cross the VPC unencrypted"), "{warned}");
    assert_eq!(told("internal"), "");
}
