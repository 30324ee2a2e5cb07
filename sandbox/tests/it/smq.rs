//! SMQ over real sockets: polls that are held, who is let in, what faults and switches do. The rest is shown by the official SDK.

use std::io;
use std::time::Duration;

use base64::Engine;
use ring::hmac;
use ros_sandbox::{Effect, Fault, Sandbox, Secret, SmqSignature, Switches};
use time::OffsetDateTime;
use time::macros::format_description;

use crate::client::{Reply, control, exchange, metadata, sandbox};

/// Who calls, and how.
#[derive(Clone)]
struct Caller {
    key_id: String,
    secret: String,
    token: Option<String>,
    v4: bool,
    /// Seconds added to the time of signing.
    off: i64,
}

impl Default for Caller {
    fn default() -> Self {
        Self { key_id: "testAccessKeyId".to_owned(), secret: "testAccessKeySecret".to_owned(), token: None, v4: false, off: 0 }
    }
}

fn mac(algorithm: hmac::Algorithm, key: &[u8], text: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(algorithm, key), text.as_bytes()).as_ref().to_vec()
}

impl Caller {
    async fn call(&self, sandbox: &Sandbox, method: &str, target: &str, body: &str) -> io::Result<Reply> {
        let at = OffsetDateTime::now_utc() + time::Duration::seconds(self.off);
        let format = format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");
        let date = at.format(format).unwrap();
        let authorization = if self.v4 { self.v4(at, method, target) } else { self.v2(&date, method, target) };
        let mut headers = vec![("date", date.as_str()), ("x-mns-version", "2015-06-06"), ("authorization", authorization.as_str())];
        if let Some(token) = &self.token {
            headers.push(("security-token", token.as_str()));
        }
        exchange(&sandbox.smq_url(), None, method, target, &headers, body).await
    }

    fn v2(&self, date: &str, method: &str, target: &str) -> String {
        let text = format!("{method}\n\n\n{date}\nx-mns-version:2015-06-06\n{target}");
        let signature = mac(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, self.secret.as_bytes(), &text);
        format!("MNS {}:{}", self.key_id, base64::engine::general_purpose::STANDARD.encode(signature))
    }

    fn v4(&self, at: OffsetDateTime, method: &str, target: &str) -> String {
        let stamp = at.format(format_description!("[year][month][day]T[hour][minute][second]Z")).unwrap();
        let day = &stamp[..8];
        let scope = format!("{day}/cn-hangzhou/mns/aliyun_v4_request");
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let text = format!("MNS4-HMAC-SHA256\n{stamp}\n{scope}\n{method}\n{path}\n{query}\nx-mns-version:2015-06-06\n\n");
        let steps = [day, "cn-hangzhou", "mns", "aliyun_v4_request"];
        let first = format!("aliyun_v4{}", self.secret).into_bytes();
        let key = steps.iter().fold(first, |key, step| mac(hmac::HMAC_SHA256, &key, step));
        let signature: String = mac(hmac::HMAC_SHA256, &key, &text).iter().map(|byte| format!("{byte:02x}")).collect();
        format!("MNS4-HMAC-SHA256 Credential={}/{scope},Signature={signature}", self.key_id)
    }
}

fn element<'a>(reply: &'a Reply, name: &str) -> &'a str {
    let (_, rest) = reply.body.split_once(&format!("<{name}>")).unwrap_or_else(|| panic!("no {name} in {}", reply.body));
    rest.split_once('<').unwrap().0
}

#[track_caller]
fn is(reply: &Reply, status: u16, code: &str) {
    assert_eq!((reply.status, element(reply, "Code")), (status, code), "{}", reply.body);
    assert_eq!(reply.header("x-mns-request-id"), Some(element(reply, "RequestId")));
}

async fn with_queue() -> Sandbox {
    let sandbox = sandbox().await;
    sandbox.make_queue("events").unwrap();
    sandbox
}

/// Begins a poll, and waits until the sandbox holds it.
async fn poll(sandbox: &Sandbox, target: &'static str) -> tokio::task::JoinHandle<io::Result<Reply>> {
    let (seen, _) = sandbox.requests_seen_and_dropped();
    let sandbox_too = sandbox.clone();
    let poll = tokio::spawn(async move { Caller::default().call(&sandbox_too, "GET", target, "").await });
    while sandbox.requests_seen_and_dropped().0 == seen {
        tokio::task::yield_now().await;
    }
    poll
}

const POLL: &str = "/queues/events/messages?waitseconds=30";

#[tokio::test]
async fn a_poll_is_held_until_a_message_comes() {
    let sandbox = with_queue().await;
    let held = poll(&sandbox, POLL).await;
    sandbox.put_message("events", "{\"id\": \"1\"}").unwrap();
    let reply = held.await.unwrap().unwrap();
    assert_eq!((reply.status, element(&reply, "DequeueCount")), (200, "1"), "{}", reply.body);
    assert!(reply.body.contains("<MessageBody>{&quot;id&quot;: &quot;1&quot;}</MessageBody>"), "{}", reply.body);

    let held = poll(&sandbox, POLL).await;
    let sent = Caller::default().call(&sandbox, "POST", "/queues/events/messages", "<Message><MessageBody>2</MessageBody></Message>").await;
    assert_eq!(sent.unwrap().status, 201);
    assert_eq!(element(&held.await.unwrap().unwrap(), "MessageBody"), "2");
}

#[tokio::test]
async fn a_poll_ends_by_the_clock_of_the_sandbox_and_sees_what_becomes_visible_meanwhile() {
    let sandbox = with_queue().await;
    let held = poll(&sandbox, POLL).await;
    sandbox.advance_clock(Duration::from_secs(30));
    is(&held.await.unwrap().unwrap(), 404, "MessageNotExist");

    sandbox.put_message("events", "again").unwrap();
    let caller = Caller { off: 30, ..Caller::default() };
    caller.call(&sandbox, "GET", "/queues/events/messages", "").await.unwrap();
    sandbox.advance_clock(Duration::from_secs(20));
    let held = poll(&sandbox, POLL).await;
    sandbox.advance_clock(Duration::from_secs(10));
    let reply = held.await.unwrap().unwrap();
    assert_eq!((element(&reply, "MessageBody"), element(&reply, "DequeueCount")), ("again", "2"));
}

#[tokio::test]
async fn a_poll_whose_client_has_gone_takes_no_message() {
    let sandbox = with_queue().await;
    let held = poll(&sandbox, POLL).await;
    held.abort();
    let _ = held.await;
    while sandbox.requests().last().unwrap().answered_at.is_none() {
        tokio::task::yield_now().await;
    }
    sandbox.put_message("events", "mine").unwrap();
    let view = sandbox.queue("events").unwrap();
    assert_eq!((view.active, view.inactive, view.messages[0].dequeue_count), (1, 0, 0));
}

#[tokio::test]
async fn a_queue_that_is_deleted_ends_the_polls_that_wait_for_it() {
    let sandbox = with_queue().await;
    let held = poll(&sandbox, POLL).await;
    assert_eq!(Caller::default().call(&sandbox, "DELETE", "/queues/events", "").await.unwrap().status, 204);
    is(&held.await.unwrap().unwrap(), 404, "QueueNotExist");
}

#[tokio::test]
async fn a_switch_says_which_signature_is_taken() {
    let sandbox = with_queue().await;
    let v4 = Caller { v4: true, ..Caller::default() };
    let refused = "InvalidAuthorizationHeader";
    for (switch, takes_v2, takes_v4) in [(SmqSignature::Both, true, true), (SmqSignature::V2, true, false), (SmqSignature::V4, false, true)]
    {
        sandbox.set_switches(Switches { smq_signature: switch, ..Switches::default() });
        for (caller, taken) in [(Caller::default(), takes_v2), (v4.clone(), takes_v4)] {
            let reply = caller.call(&sandbox, "GET", "/queues/events/messages?peekonly=true&waitseconds=0", "").await.unwrap();
            let expected = if taken { (404, "MessageNotExist") } else { (400, refused) };
            is(&reply, expected.0, expected.1);
        }
    }
    let schemes: Vec<String> = sandbox.requests().iter().map(|it| serde_json::to_value(it.signature).unwrap().to_string()).collect();
    assert_eq!(schemes[..2], ["\"MNS\"", "\"MNS4-HMAC-SHA256\""]);
}

#[tokio::test]
async fn who_is_not_known_or_comes_too_late_is_refused() {
    let sandbox = with_queue().await;
    let cases = [
        (Caller { key_id: "nobody".to_owned(), ..Caller::default() }, 403, "InvalidAccessKeyId"),
        (Caller { secret: "wrong".to_owned(), ..Caller::default() }, 403, "SignatureDoesNotMatch"),
        (Caller { off: -16 * 60, ..Caller::default() }, 408, "TimeExpired"),
        (Caller { off: 16 * 60, v4: true, ..Caller::default() }, 408, "TimeExpired"),
        (Caller { token: Some("CAIS+none".to_owned()), ..Caller::default() }, 403, "InvalidSecurityToken"),
    ];
    for (caller, status, code) in cases {
        is(&caller.call(&sandbox, "GET", "/queues/events", "").await.unwrap(), status, code);
    }
    let unsigned = exchange(&sandbox.smq_url(), None, "GET", "/queues/events", &[], "").await.unwrap();
    is(&unsigned, 400, "MissingAuthorizationHeader");
    is(&Caller::default().call(&sandbox, "PATCH", "/queues/events", "").await.unwrap(), 400, "InvalidRequestURL");
}

#[tokio::test]
async fn the_credentials_of_the_instance_are_taken_with_their_token_until_they_expire() {
    let sandbox = with_queue().await;
    let issued = metadata(&sandbox, "GET", "/latest/meta-data/ram/security-credentials/SandboxRole", &[]).await.unwrap().json();
    let text = |name: &str| issued[name].as_str().unwrap().to_owned();
    let caller =
        Caller { key_id: text("AccessKeyId"), secret: text("AccessKeySecret"), token: Some(text("SecurityToken")), ..Caller::default() };
    assert_eq!(caller.call(&sandbox, "GET", "/queues/events", "").await.unwrap().status, 200);
    let without = Caller { token: None, ..caller.clone() };
    is(&without.call(&sandbox, "GET", "/queues/events", "").await.unwrap(), 403, "InvalidSecurityToken");
    sandbox.expire_credentials();
    is(&caller.call(&sandbox, "GET", "/queues/events", "").await.unwrap(), 403, "SecurityTokenExpired");
    let records = serde_json::to_string(&sandbox.requests()).unwrap();
    for secret in sandbox.issued_secrets() {
        assert!(!records.contains(secret.reveal()), "a record holds a secret");
    }
}

#[tokio::test]
async fn faults_answer_in_the_words_of_smq_and_know_its_operations() {
    let sandbox = with_queue().await;
    let call = async |method: &str, target: &str| Caller::default().call(&sandbox, method, target, "").await.unwrap();
    sandbox.add_fault(Fault::new(Effect::throttle(None)).smq().action("ReceiveMessage").times(1)).unwrap();
    assert_eq!(call("GET", "/queues/events").await.status, 200, "another operation");
    is(&call("GET", "/queues/events/messages").await, 503, "QpsLimitExceeded");
    is(&call("GET", "/queues/events/messages").await, 404, "MessageNotExist");
    sandbox.add_fault(Fault::new(Effect::Forbidden).smq().times(1)).unwrap();
    is(&call("GET", "/queues").await, 403, "AccessDenied");
    sandbox.add_fault(Fault::new(Effect::error(500, "InternalError")).smq().times(1)).unwrap();
    is(&call("GET", "/queues").await, 500, "InternalError");
}

#[tokio::test]
async fn ram_permits_receiving_sending_managing_and_listing_apart() {
    let sandbox = with_queue().await;
    let calls = [("GET", "/queues/events/messages"), ("POST", "/queues/events/messages"), ("PUT", "/queues/other"), ("GET", "/queues")];
    let nothing = Switches {
        permit_smq_receive: false,
        permit_smq_send: false,
        permit_smq_manage: false,
        permit_smq_list: false,
        ..Switches::default()
    };
    let permits = [
        Switches { permit_smq_receive: true, ..nothing },
        Switches { permit_smq_send: true, ..nothing },
        Switches { permit_smq_manage: true, ..nothing },
        Switches { permit_smq_list: true, ..nothing },
    ];
    for (permitted, switches) in permits.into_iter().enumerate() {
        sandbox.set_switches(switches);
        for (index, (method, target)) in calls.into_iter().enumerate() {
            let reply = Caller::default().call(&sandbox, method, target, "<Message><MessageBody>1</MessageBody></Message>").await.unwrap();
            assert_eq!(reply.body.contains("<Code>AccessDenied"), index != permitted, "{target}: {}", reply.body);
        }
    }
}

#[tokio::test]
async fn deleting_twice_is_fine_unless_a_switch_says_otherwise() {
    let sandbox = sandbox().await;
    sandbox.make_topic("t").unwrap();
    let targets = [("/queues/q", "QueueNotExist"), ("/topics/t/subscriptions/s", "SubscriptionNotExist"), ("/topics/u", "TopicNotExist")];
    for (target, code) in targets {
        assert_eq!(Caller::default().call(&sandbox, "DELETE", target, "").await.unwrap().status, 204);
        sandbox.set_switches(Switches { smq_deleting_twice_fails: true, ..Switches::default() });
        is(&Caller::default().call(&sandbox, "DELETE", target, "").await.unwrap(), 404, code);
        sandbox.set_switches(Switches::default());
    }
}

#[tokio::test]
async fn a_topic_takes_a_hundred_subscriptions_and_hands_each_queue_its_copy() {
    let sandbox = with_queue().await;
    sandbox.make_topic("t").unwrap();
    let subscribe = async |name: String| {
        let body = "<Subscription><Endpoint>acs:mns:cn-hangzhou:1:queues/events</Endpoint>\
                    <NotifyContentFormat>SIMPLIFIED</NotifyContentFormat></Subscription>";
        Caller::default().call(&sandbox, "PUT", &format!("/topics/t/subscriptions/{name}"), body).await.unwrap()
    };
    for number in 0..100 {
        assert_eq!(subscribe(format!("s{number}")).await.status, 201);
    }
    assert_eq!(subscribe("s0".to_owned()).await.status, 204);
    assert_eq!(subscribe("s100".to_owned()).await.status, 400);
    sandbox.publish_message("t", "{}").unwrap();
    assert_eq!(sandbox.queue("events").unwrap().active, 100);
    assert!(sandbox.publish_message("u", "{}").is_err() && sandbox.put_message("u", "{}").is_err());
}

#[tokio::test]
async fn control_shows_queues_and_puts_messages_without_receipt_handles() {
    let sandbox = with_queue().await;
    control(&sandbox, "POST", "/queues/events/messages", "{\"id\": \"1\"}").await;
    let received = Caller::default().call(&sandbox, "GET", "/queues/events/messages", "").await.unwrap();
    let shown = control(&sandbox, "GET", "/queues/events", "").await;
    assert_eq!((shown.json()["inactive"].as_u64(), shown.json()["messages"][0]["body"].as_str()), (Some(1), Some("{\"id\": \"1\"}")));
    assert!(!shown.body.contains(element(&received, "ReceiptHandle")));
    assert_eq!(control(&sandbox, "POST", "/queues/none/messages", "x").await.status, 404);
    assert_eq!(control(&sandbox, "POST", "/queues/events/messages", "").await.status, 400);
}

#[tokio::test]
async fn smq_listens_on_loopback_only() {
    let config =
        ros_sandbox::Config { smq_listen: Some(([192, 0, 2, 1], 0).into()), ..ros_sandbox::Config::new("id", Secret::from("secret")) };
    assert!(Sandbox::start(config).await.unwrap_err().to_string().contains("loopback only"));
}
