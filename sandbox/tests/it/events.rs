//! Events: which are sent, what they look like, how they are signed, and what becomes of them on the way.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ros_sandbox::{
    Change, ChangeKind, ContentMode, DeliveryOutcome, EventRequest, EventTarget, EventTime, PublishTime, RetryStrategy, Sandbox, Secret,
    Signature, StackSpec, StatusChangeEvents, Switches, Transform, event_types,
};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::client::{Caller, STACK, control, exchange, sandbox};
use crate::openssl::openssl;

const STATUSES: &str = include_str!("../fixtures/stack-statuses.json");
const SAMPLES: &str = include_str!("../fixtures/event-samples.json");
const TOKEN: &str = "evt-3Rk8Wd5Zq1Lm7Xp2";

/// An HTTP service that answers what it is told, and keeps what it got.
struct Receiver {
    listener: TcpListener,
    url: String,
}

#[derive(Debug)]
struct Got {
    head: String,
    headers: BTreeMap<String, String>,
    body: String,
}

impl Receiver {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/ros/events?stack=b0bb2844&x=1%202", listener.local_addr().unwrap());
        Self { listener, url }
    }

    /// Takes one request and answers it.
    async fn answer(&self, status: u16) -> Got {
        let take = async {
            let (mut stream, _) = self.listener.accept().await.unwrap();
            let mut bytes = Vec::new();
            let (head, length) = loop {
                stream.read_buf(&mut bytes).await.unwrap();
                let text = String::from_utf8_lossy(&bytes);
                if let Some((head, _)) = text.split_once("\r\n\r\n") {
                    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
                    break (head.to_owned(), length.parse::<usize>().unwrap());
                }
            };
            while bytes.len() < head.len() + 4 + length {
                stream.read_buf(&mut bytes).await.unwrap();
            }
            stream.write_all(format!("HTTP/1.1 {status} x\r\ncontent-length: 0\r\n\r\n").as_bytes()).await.unwrap();
            let body = String::from_utf8(bytes.split_off(head.len() + 4)).unwrap();
            let headers = head.lines().filter_map(|line| line.split_once(": ")).map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
            Got { head, headers, body }
        };
        tokio::time::timeout(Duration::from_secs(20), take).await.unwrap()
    }
}

impl Got {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

async fn notified() -> Sandbox {
    let sandbox = sandbox().await;
    sandbox.put_stack(STACK, StackSpec::waiting_for("WebReady", 1, 300.0).notify("eventbridge").output("VpcId", "vpc-1")).unwrap();
    sandbox
}

fn kinds(sandbox: &Sandbox) -> Vec<String> {
    sandbox.events().into_iter().map(|event| event.kind).collect()
}

fn complete(sandbox: &Sandbox) -> u64 {
    sandbox.emit(EventRequest::new("ros:StackStateChange:UpdateComplete", STACK))
}

#[tokio::test]
async fn each_status_sends_its_event_as_the_reference_says_and_none_without_eventbridge() {
    let sandbox = sandbox().await;
    let reference: Value = serde_json::from_str(STATUSES).unwrap();
    for (number, row) in reference["statuses"].as_array().unwrap().iter().enumerate() {
        for (rollback, urls) in [(false, true), (true, true), (false, false)] {
            let before = sandbox.events().len();
            let id = format!("s{number}-{rollback}-{urls}");
            let mut spec = StackSpec { rollback, ..StackSpec::default() }.status(row["status"].as_str().unwrap().parse().unwrap());
            spec.notification_urls = urls.then(|| vec!["eventbridge".to_owned()]);
            sandbox.put_stack(&id, spec).unwrap();
            let sent: Vec<String> = kinds(&sandbox).split_off(before);
            let rule = row["notified_by_NotificationURLs"].as_str().unwrap();
            let expected = urls && rule != "never" && !(rollback && rule.starts_with("only when rollback is disabled"));
            let expected: Vec<&str> = row["stack_state_change_type"].as_str().filter(|_| expected).into_iter().collect();
            assert_eq!(sent, expected, "{row} {rollback} {urls}");
        }
    }
}

#[tokio::test]
async fn a_failure_that_is_rolled_back_sends_only_the_end_of_the_rollback() {
    let sandbox = notified().await;
    sandbox.advance_clock(Duration::from_secs(301));
    assert_eq!(kinds(&sandbox), ["ros:StackStateChange:CreateFailed"]);
    sandbox.change(STACK, Change::new(ChangeKind::ContinueCreate).fails("again").rollback(true)).unwrap();
    sandbox.advance_clock(Duration::from_secs(3));
    assert_eq!(kinds(&sandbox), ["ros:StackStateChange:CreateFailed", "ros:StackStateChange:CreateRollbackComplete"]);
}

#[tokio::test]
async fn all_29_types_are_sent_and_the_21_shown_ones_have_the_form_of_their_samples() {
    let sandbox = notified().await;
    let samples: BTreeMap<String, Value> = serde_json::from_str(SAMPLES).unwrap();
    assert_eq!((event_types().len(), samples.len()), (29, 21));
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<String>>();
    for kind in event_types() {
        sandbox.emit(EventRequest::new(&kind, STACK));
        let event = sandbox.events().pop().unwrap().event;
        assert_eq!((&event["type"], &event["source"], &event["specversion"]), (&json!(kind), &json!("acs.ros"), &json!("1.0")));
        assert!(event["data"].is_object(), "{event}");
        let Some(sample) = samples.get(&kind) else {
            continue;
        };
        assert_eq!(keys(&event), keys(sample), "{kind}");
        assert_eq!(keys(&event["data"]), keys(&sample["data"]), "{kind}");
        if kind != "ros:Stack:StatusChange" {
            assert_eq!(event["data"]["Status"], sample["data"]["Status"], "{kind}");
        }
        // Digits and letters replaced, the stamps have the same form.
        for stamp in ["time", "aliyunpublishtime"] {
            let form = |event: &Value| {
                let text = event[stamp].as_str().unwrap();
                let tail: String = text.chars().skip(19).filter(|c| !c.is_ascii_digit() && *c != '.').collect();
                (text.len().min(19), tail)
            };
            assert_eq!(form(&event), form(sample), "{kind} {stamp} {event}");
        }
        let head = |event: &Value| event["subject"].as_str().unwrap().get(..8).unwrap().to_owned();
        assert_eq!(head(&event), head(sample), "{kind}");
    }
}

#[tokio::test]
async fn the_forms_of_times_and_the_change_of_every_status_are_switches() {
    let sandbox = notified().await;
    sandbox.set_switches(Switches {
        event_time: EventTime::Shanghai,
        event_publish_time: PublishTime::Prc,
        status_change_events: StatusChangeEvents::Always,
        ..Switches::default()
    });
    sandbox.put_stack("plain", StackSpec::default()).unwrap();
    let event = sandbox.events().pop().unwrap().event;
    assert_eq!((&event["type"], &event["data"]["Status"]), (&json!("ros:Stack:StatusChange"), &json!("CREATE_IN_PROGRESS")));
    assert!(event["time"].as_str().unwrap().ends_with("Asia/Shanghai"), "{event}");
    assert!(event["aliyunpublishtime"].as_str().unwrap().ends_with("PRC"), "{event}");
    assert!(event["subject"].as_str().unwrap().starts_with("acs.ros:cn-hangzhou:1234567890123456:stack/plain"), "{event}");
}

#[tokio::test]
async fn openssl_verifies_v2_in_each_form_of_its_text() {
    let Some(openssl) = openssl() else { return };
    let sandbox = notified().await;
    let receiver = Receiver::new().await;
    for (no_token_line, no_last_line_feed) in [(false, false), (true, false), (false, true), (true, true)] {
        let token = Some(Secret::from(TOKEN));
        let target = EventTarget { token, no_token_line, no_last_line_feed, ..EventTarget::http(&receiver.url) };
        sandbox.target("agent", target).unwrap();
        complete(&sandbox);
        let got = receiver.answer(204).await;
        let token = if no_token_line { String::new() } else { format!("x-eventbridge-signature-token: {TOKEN}\n") };
        let text = text(&receiver.url, &got, "x-eventbridge-hash-method: SHA256", &token, if no_last_line_feed { "" } else { "\n" });
        let signature = STANDARD.decode(&got.headers["x-eventbridge-signature-v2"]).unwrap();
        assert!(openssl.verifies(sandbox.event_certificate(), text.as_bytes(), &signature));
        assert!(!openssl.verifies(sandbox.event_certificate(), format!("{text}x").as_bytes(), &signature));
        assert!(!got.headers.contains_key("x-eventbridge-signature"), "{:?}", got.headers);
    }
}

fn text(url: &str, got: &Got, method: &str, token: &str, end: &str) -> String {
    let line = |name: &str| format!("{name}: {}\n", got.headers[name]);
    let (stamp, version) = (line("x-eventbridge-signature-timestamp"), line("x-eventbridge-signature-version"));
    format!("{url}\n{stamp}{method}\n{version}{}{token}{}{end}", line("x-eventbridge-signature-url"), got.body)
}

#[tokio::test]
async fn openssl_recovers_the_secret_of_v1_and_the_hmac_is_right_under_it() {
    let Some(openssl) = openssl() else { return };
    let sandbox = notified().await;
    let receiver = Receiver::new().await;
    sandbox.target("agent", EventTarget { signature: Signature::Both, ..EventTarget::http(&receiver.url) }).unwrap();
    let mut secrets = BTreeSet::new();
    for _ in 0..4 {
        complete(&sandbox);
        let got = receiver.answer(200).await;
        let secret =
            openssl.recovers(sandbox.event_certificate(), &STANDARD.decode(&got.headers["x-eventbridge-signature-secret"]).unwrap());
        assert_eq!(secret.len(), 32);
        let text = text(&receiver.url, &got, "x-eventbridge-signature-method: HMAC-SHA1", "", "\n");
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &secret);
        assert_eq!(got.headers["x-eventbridge-signature"], STANDARD.encode(ring::hmac::sign(&key, text.as_bytes())));
        assert!(got.headers.contains_key("x-eventbridge-signature-v2"));
        secrets.insert(secret);
    }
    assert_eq!(secrets.len(), 4, "the secret changes");
}

#[tokio::test]
async fn the_certificate_is_served_over_https_and_is_of_x509_version_1() {
    let sandbox = sandbox().await;
    let url = sandbox.event_certificate_url();
    let (base, path) = url.split_at(url.rfind('/').unwrap());
    assert_eq!(path, "/x509_public_certificate_test.pem");
    let reply = exchange(base, Some(sandbox.ca_file()), "GET", path, &[], "").await.unwrap();
    assert_eq!((reply.status, reply.body.as_str()), (200, sandbox.event_certificate()));
    assert_eq!(sandbox.requests().len(), 1, "it is on record how often it was fetched");
    let Some(openssl) = openssl() else { return };
    let text = openssl.describes(sandbox.event_certificate());
    assert!(text.contains("Version: 1 (0x0)") && text.contains("sha1WithRSAEncryption"), "{text}");
}

#[tokio::test]
async fn the_time_that_is_signed_is_the_machines_and_can_be_wrong() {
    let sandbox = notified().await;
    let receiver = Receiver::new().await;
    for (off, expected) in [(0, 0), (-90, -90)] {
        sandbox.advance_clock(Duration::from_secs(3600));
        sandbox.target("agent", EventTarget { timestamp_off: off, ..EventTarget::http(&receiver.url) }).unwrap();
        complete(&sandbox);
        let got = receiver.answer(200).await;
        let stamp: i128 = got.headers["x-eventbridge-signature-timestamp"].parse().unwrap();
        let seconds = (stamp - time::OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000) / 1000;
        assert!((expected - 20..=expected).contains(&seconds), "{seconds}");
    }
}

#[tokio::test]
async fn an_event_travels_structured_binary_or_in_a_batch() {
    let sandbox = notified().await;
    let receiver = Receiver::new().await;
    let mut sent = Vec::new();
    for mode in [ContentMode::Structured, ContentMode::Binary, ContentMode::Batch] {
        sandbox.target("agent", EventTarget { mode, ..EventTarget::http(&receiver.url) }).unwrap();
        complete(&sandbox);
        let got = receiver.answer(200).await;
        assert!(got.head.starts_with("POST /ros/events?stack=b0bb2844&x=1%202 HTTP/1.1"), "{}", got.head);
        sent.push((got, sandbox.events().pop().unwrap().event));
    }
    let [(structured, first), (binary, second), (batch, third)] = sent.try_into().unwrap();
    assert_eq!((structured.headers["content-type"].as_str(), structured.json()), ("application/cloudevents+json; charset=utf-8", first));
    assert_eq!((binary.headers["content-type"].as_str(), &binary.json()), ("application/json; charset=utf-8", &second["data"]));
    assert_eq!((&binary.headers["ce-type"], &binary.headers["ce-id"]), (&text_of(&second["type"]), &text_of(&second["id"])));
    assert_eq!(
        (batch.headers["content-type"].as_str(), batch.json()),
        ("application/cloudevents-batch+json; charset=utf-8", json!([third]))
    );
}

fn text_of(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

#[tokio::test]
async fn transforms_make_the_body() {
    let sandbox = notified().await;
    sandbox.make_queue("q").unwrap();
    let cases = [
        (Transform::JsonPath, "$.data.Status", "UPDATE_COMPLETE"),
        (Transform::JsonPath, "$.data.Outputs.0.OutputKey", "VpcId"),
        (Transform::Constant, "look now", "look now"),
        (Transform::Template, "${what} of ${id}", "UPDATE_COMPLETE of acs.ros"),
    ];
    for (transform, value, expected) in cases {
        let variables = [("what", "$.data.Status"), ("id", "$.source")].map(|(name, path)| (name.to_owned(), path.to_owned()));
        let target = EventTarget { transform, value: value.to_owned(), variables: variables.into(), ..EventTarget::queue("q") };
        sandbox.target("queue", target).unwrap();
        complete(&sandbox);
        sandbox.deliveries_settled().await;
        assert_eq!(sandbox.queued("q").pop().unwrap(), expected);
    }
    sandbox.target("queue", EventTarget { base64: true, ..EventTarget::queue("q") }).unwrap();
    complete(&sandbox);
    sandbox.deliveries_settled().await;
    let event: Value = serde_json::from_slice(&STANDARD.decode(sandbox.queued("q").pop().unwrap()).unwrap()).unwrap();
    assert_eq!(event, sandbox.events().pop().unwrap().event);
}

#[tokio::test]
async fn a_target_that_fails_is_tried_again_by_the_sandboxes_clock_until_the_letter_is_dead() {
    let sandbox = notified().await;
    let receiver = Receiver::new().await;
    sandbox.make_queue("dead").unwrap();
    let target = EventTarget { dead_letter_queue: Some("dead".to_owned()), ..EventTarget::http(&receiver.url) };
    sandbox.target("agent", target).unwrap();
    let number = complete(&sandbox);
    for status in [503, 302, 401, 500] {
        receiver.answer(status).await;
        sandbox.deliveries_settled().await;
        sandbox.advance_clock(Duration::from_secs(21));
    }
    let event = sandbox.events().pop().unwrap();
    let course: Vec<(u32, Option<u16>, DeliveryOutcome)> =
        event.deliveries.iter().map(|delivery| (delivery.attempt, delivery.status, delivery.outcome)).collect();
    let retried = DeliveryOutcome::Retried;
    assert_eq!(course, [(1, Some(503), retried), (2, Some(302), retried), (3, Some(401), retried), (4, Some(500), DeliveryOutcome::Dead)]);
    assert_eq!(sandbox.target_view("agent").unwrap().dead_letters, [number]);
    assert_eq!(serde_json::from_str::<Value>(&sandbox.queued("dead")[0]).unwrap(), event.event);

    sandbox.target("agent", EventTarget { retry: RetryStrategy::ExponentialDecayRetry, ..EventTarget::http(&receiver.url) }).unwrap();
    complete(&sandbox);
    for pause in [1, 2, 4, 8, 16] {
        receiver.answer(500).await;
        sandbox.deliveries_settled().await;
        sandbox.advance_clock(Duration::from_secs(pause));
    }
    receiver.answer(200).await;
    sandbox.deliveries_settled().await;
    assert_eq!(sandbox.target_view("agent").unwrap().delivered, 1);
}

#[tokio::test]
async fn events_are_doubled_lost_and_shuffled_the_same_way_for_the_same_seed() {
    let sandbox = notified().await;
    let course = async |seed: u64| {
        let queue = format!("q{seed}-{}", sandbox.events().len());
        sandbox.make_queue(&queue).unwrap();
        sandbox.target("queue", EventTarget { duplicates: 1, drop: 0.3, shuffle: 60.0, seed, ..EventTarget::queue(&queue) }).unwrap();
        for number in 0..20 {
            let attributes = json!({"id": number.to_string()}).as_object().unwrap().clone();
            sandbox.emit(EventRequest { attributes, ..EventRequest::new("ros:StackStateChange:UpdateComplete", STACK) });
        }
        // Not all at once: the order is that of the times.
        for _ in 0..62 {
            sandbox.advance_clock(Duration::from_secs(1));
            sandbox.deliveries_settled().await;
        }
        assert_eq!(sandbox.target_view("queue").unwrap().waiting, 0);
        let ids: Vec<String> =
            sandbox.queued(&queue).iter().map(|body| text_of(&serde_json::from_str::<Value>(body).unwrap()["id"])).collect();
        ids
    };
    let first = course(7).await;
    assert!((15..40).contains(&first.len()), "{first:?}");
    assert!(first.iter().collect::<BTreeSet<_>>().len() < first.len(), "some came twice: {first:?}");
    assert!(!first.is_sorted_by_key(|id| id.parse::<u32>().unwrap()), "{first:?}");
    let mut other = course(8).await;
    let mut sorted = first.clone();
    sorted.sort();
    let mut again = course(7).await;
    again.sort();
    assert_eq!(sorted, again);
    other.sort();
    assert_ne!(sorted, other);
}

#[tokio::test]
async fn a_spool_gets_whole_files_only() {
    let sandbox = notified().await;
    let directory = tempfile::tempdir().unwrap();
    sandbox.target("spool", EventTarget::spool(directory.path())).unwrap();
    complete(&sandbox);
    sandbox.deliveries_settled().await;
    let files: Vec<_> = std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    assert!(files[0].extension().is_some_and(|extension| extension == "json"), "{files:?}");
    let event: Value = serde_json::from_slice(&std::fs::read(&files[0]).unwrap()).unwrap();
    assert_eq!(event["data"]["StackId"], STACK);
}

#[tokio::test]
async fn other_notification_urls_get_the_bare_data_unsigned_and_once() {
    let sandbox = sandbox().await;
    let receiver = Receiver::new().await;
    let spec = StackSpec::waiting_for("WebReady", 1, 300.0).notify(&receiver.url).notify("http://example.com/x").output("VpcId", "vpc-1");
    sandbox.put_stack(STACK, spec).unwrap();
    Caller::default().signal(&sandbox, "i-1", "SUCCESS").await.unwrap().accepted();
    let got = receiver.answer(500).await;
    sandbox.deliveries_settled().await;
    let body = got.json();
    assert_eq!(body.as_object().unwrap().keys().collect::<Vec<_>>(), ["Outputs", "StackId", "StackName", "Status"]);
    assert_eq!(body["Status"], "CREATE_COMPLETE");
    assert!(!got.headers.keys().any(|name| name.starts_with("x-eventbridge")), "{:?}", got.headers);
    let events = sandbox.events();
    assert_eq!(events[0].deliveries[0].outcome, DeliveryOutcome::Dead);
    assert!(events[1].deliveries[0].error.as_ref().unwrap().contains("loopback"), "{events:?}");
}

#[tokio::test]
async fn a_target_over_tls_is_trusted_by_its_authority_alone() {
    let sandbox = notified().await;
    let url = format!("{}/not-there", sandbox.ros_tls_url());
    sandbox.target("tls", EventTarget { retry: RetryStrategy::NoRetry, ..EventTarget::http(&url) }).unwrap();
    complete(&sandbox);
    sandbox.deliveries_settled().await;
    assert_eq!(sandbox.events().pop().unwrap().deliveries[0].status, Some(400), "ROS answered, over TLS");
    let other = crate::client::sandbox().await;
    let ca_file = Some(other.ca_file().to_owned());
    sandbox.target("tls", EventTarget { ca_file, retry: RetryStrategy::NoRetry, ..EventTarget::http(&url) }).unwrap();
    complete(&sandbox);
    sandbox.deliveries_settled().await;
    let error = sandbox.events().pop().unwrap().deliveries[0].error.clone().unwrap();
    assert!(error.starts_with("TLS: "), "{error}");
}

#[tokio::test]
async fn targets_and_events_are_set_and_read_by_control_which_never_shows_the_token() {
    let sandbox = notified().await;
    sandbox.make_queue("q").unwrap();
    let body = format!(r#"{{"queue": "q", "token": "{TOKEN}", "types": ["ros:StackStateChange:Delete"], "stacks": ["other"]}}"#);
    assert_eq!(control(&sandbox, "PUT", "/event-targets/queue", &body).await.status, 200);
    for (kind, stack) in
        [("ros:StackStateChange:DeleteComplete", STACK), ("ros:StackStateChange:DeleteComplete", "other"), ("ros:New", "other")]
    {
        let sent = control(&sandbox, "POST", "/events", &json!({"type": kind, "stack": stack}).to_string()).await;
        assert_eq!(sent.status, 200, "{}", sent.body);
    }
    sandbox.deliveries_settled().await;
    assert_eq!(control(&sandbox, "GET", "/queues/q", "").await.json()["messages"].as_array().unwrap().len(), 1);
    let events = control(&sandbox, "GET", "/events", "").await;
    assert_eq!(events.json()["events"][1]["deliveries"][0]["outcome"], "delivered");
    assert_eq!(events.json()["emitted"], 3);
    let targets = control(&sandbox, "GET", "/event-targets", "").await;
    assert_eq!(targets.json()["targets"][0]["delivered"], 1);
    assert!(!events.body.contains(TOKEN) && !targets.body.contains(TOKEN));
    for (body, expected) in [
        ("{}", "exactly one of url, spool, queue and topic"),
        (r#"{"url": "http://example.com/"}"#, "it must lead to loopback"),
        (r#"{"queue": "q", "drop": 2}"#, "drop must be 0 to 1"),
        (r#"{"queue": "q", "shuffle": -1}"#, "shuffle must be"),
        (r#"{"queue": "q", "duplicates": 1000}"#, "at most 100"),
        (r#"{"queue": "q", "token": "a\nb"}"#, "without control characters"),
        (r#"{"queue": "q", "urll": "x"}"#, "unknown field `urll`"),
    ] {
        let reply = control(&sandbox, "PUT", "/event-targets/bad", body).await;
        assert_eq!(reply.status, 400, "{body}");
        assert!(reply.json()["error"].as_str().unwrap().contains(expected), "{}", reply.body);
    }
    assert_eq!(control(&sandbox, "DELETE", "/event-targets/queue", "").await.status, 200);
    assert_eq!(control(&sandbox, "GET", "/event-targets/queue", "").await.status, 404);
}
