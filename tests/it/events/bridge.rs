//! The whole way: a stack of the sandbox changes, the sandbox's EventBridge signs and delivers, and the agent looks.

use super::http::{Listening, becomes, now_ms, post, signed_at};
use crate::host::{Host, STACK};
use crate::secrets::secrets;
use ros_sandbox::{Change, ContentMode, DeliveryOutcome, EventRequest, EventTarget, ResourceSpec, Signature, StackSpec, Transform};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpSocket, TcpStream};

const UPDATED: &str = "ros:StackStateChange:UpdateComplete";

/// An address that nobody else gets meanwhile: the URL of a target is part of what is signed, so it is known before the agent listens.
fn reserved() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// A host whose stack has been created a while ago, so that it is looked at every few minutes only; hooks note what they are run for.
async fn host(notify: &str) -> Host {
    let host = Host::new("").await;
    let spec = StackSpec::default().resource("WebReady", ResourceSpec::handle()).notify(notify).status("CREATE_COMPLETE".parse().unwrap());
    host.sandbox.put_stack(STACK, spec).unwrap();
    host
}

const HOOKS: &str =
    "[hook.any]\non = [\"ros:*\"]\ncommand = [\"/bin/sh\", \"-c\", \"echo $ROS_SIGNAL_AGENT_EVENT_ID $ROS_SIGNAL_AGENT_TEST >> hooked\"]\n";

/// Hooks that write into `hooked` of the host's directory.
fn hooks(host: &Host) -> String {
    HOOKS.replace("hooked", &host.path("hooked").display().to_string())
}

fn hooked(host: &Host) -> Vec<String> {
    std::fs::read_to_string(host.path("hooked")).unwrap_or_default().lines().map(|line| line.trim().to_owned()).collect()
}

/// A source `eb` at this address, with EventBridge's certificate as the sandbox has it.
fn configure(host: &Host, address: SocketAddr, keys: &str) -> String {
    std::fs::write(host.path("eventbridge.pem"), host.sandbox.event_certificate()).unwrap();
    let (file, url) = (host.path("eventbridge.pem").display().to_string(), format!("http://{address}/ros/events?x=1%202"));
    let hooks = hooks(host);
    host.configure(&format!(
        "{hooks}[source.eb]\ntype = \"http\"\nlisten = \"{address}\"\nurl = \"{url}\"\ncertificate_file = \"{file}\"\n{keys}"
    ));
    url
}

/// An agent that listens and knows which stack it follows: before that an event is about nothing.
async fn following(host: Host) -> Listening {
    let agent = Listening::begin(host).await;
    until(&agent.host, "the stack", |status| status["stacks"][0]["state"] == "watched").await;
    agent
}

async fn status(host: &Host) -> Value {
    serde_json::from_str(&host.ask("GET", "/status", "").await.1).unwrap()
}

/// Waits until the status is so; less than the time after which a stack at rest would be looked at anyway.
async fn until(host: &Host, what: &str, is: impl Fn(&Value) -> bool) -> Value {
    let wait = async {
        loop {
            let status = status(host).await;
            if is(&status) {
                return status;
            }
            tokio::task::yield_now().await;
        }
    };
    match tokio::time::timeout(Duration::from_secs(40), wait).await {
        Ok(status) => status,
        Err(_) => panic!("{what} does not come: {:#}\n{:#?}", status(host).await, host.sandbox.events()),
    }
}

fn shows(stack_status: &'static str) -> impl Fn(&Value) -> bool {
    move |status| status["stacks"][0]["status"] == stack_status
}

#[tokio::test(flavor = "current_thread")]
async fn a_change_of_the_stack_is_told_by_a_signed_event_and_shown_within_seconds_and_the_hook_of_the_event_runs_once() {
    let (_held, address) = reserved();
    let host = host("eventbridge").await;
    let url = configure(&host, address, "");
    host.sandbox.target("agent", EventTarget { duplicates: 2, ..EventTarget::http(&url) }).unwrap();
    let agent = following(host).await;
    let host = &agent.host;
    // What brings the first look forward.
    host.sandbox.emit(EventRequest::new("ros:StackStateChange:CreateComplete", STACK));
    until(host, "the first look", shows("CREATE_COMPLETE")).await;
    host.sandbox.change(STACK, Change::update()).unwrap();
    host.sandbox.advance_clock(Duration::from_secs(1200));
    host.stack_becomes("UPDATE_COMPLETE").await;
    host.sandbox.deliveries_settled().await;
    let told: Vec<_> = host.sandbox.events().into_iter().filter(|event| event.kind == UPDATED).collect();
    assert_eq!((told.len(), told[0].deliveries.len()), (1, 3), "{told:#?}");
    assert!(told[0].deliveries.iter().all(|delivery| delivery.status == Some(204)), "{told:#?}");
    let status = until(host, "the look", shows("UPDATE_COMPLETE")).await;
    // Delivered three times, each signed anew, or in the same millisecond.
    let view = &status["sources"][0];
    let replayed = view["refused"]["replayed"].as_u64().unwrap_or(0);
    assert_eq!(view["received"].as_u64().unwrap() + replayed, 6, "{view:#}");
    until(host, "the hook", |_| hooked(host).len() == 2).await;
    assert_eq!(hooked(host)[1], told[0].event["id"].as_str().unwrap());
    agent.running.stop().await.unwrap();
}

#[tokio::test(flavor = "current_thread")]
async fn the_callback_of_ros_brings_the_look_forward_and_runs_no_hook_of_events() {
    let (_held, address) = reserved();
    let path = secrets()["callback_path"];
    let host = host(&format!("http://{address}/{path}")).await;
    crate::private::write(&host.path("path"), path);
    let file = host.path("path").display().to_string();
    let text = format!("{}[source.ros]\ntype = \"callback\"\nlisten = \"{address}\"\npath_file = \"{file}\"\n", hooks(&host));
    host.configure(&text);
    let agent = following(host).await;
    let host = &agent.host;
    host.sandbox.change(STACK, Change::update()).unwrap();
    host.sandbox.advance_clock(Duration::from_secs(1200));
    host.sandbox.deliveries_settled().await;
    let told = host.sandbox.events().pop().unwrap();
    assert_eq!((told.kind.as_str(), told.deliveries[0].status), ("NotificationURLs", Some(204)), "{told:#?}");
    let status = until(host, "the look", shows("UPDATE_COMPLETE")).await;
    assert!(status["sources"][0]["received"].as_u64() >= Some(1), "{status:#}");
    let lines = host.ask("GET", "/events?follow=false", "").await.1;
    assert!(lines.contains("UPDATE_COMPLETE") && !lines.contains(path) && !status.to_string().contains(path), "{lines}");
    assert_eq!(hooked(host), Vec::<String>::new());
    agent.running.stop().await.unwrap();
}

#[tokio::test(flavor = "current_thread")]
async fn each_signature_transform_and_mode_of_the_sandbox_is_taken_and_what_is_not_signed_right_is_refused() {
    let (_held, address) = reserved();
    let token = secrets()["event_target_token"];
    let host = host("eventbridge").await;
    crate::private::write(&host.path("token"), token);
    let url = configure(&host, address, &format!("allow_v1 = true\ntoken_file = \"{}\"\n", host.path("token").display()));
    let agent = following(host).await;
    let host = &agent.host;
    let target = || EventTarget { token: Some(ros_sandbox::Secret::from(token)), ..EventTarget::http(&url) };
    let transform = |transform, value: &str| EventTarget { transform, value: value.to_owned(), ..target() };
    let variables = [("id", "$.data.StackId"), ("status", "$.data.Status")].map(|(name, path)| (name.to_owned(), path.to_owned()));
    let template = "{\"StackId\":\"${id}\",\"Status\":\"${status}\"}";
    let v2 = "v2, token line, last line feed";
    let good = [
        (v2, target()),
        ("v2, last line feed", EventTarget { no_token_line: true, ..target() }),
        ("v2, token line", EventTarget { no_last_line_feed: true, ..target() }),
        ("v2", EventTarget { no_token_line: true, no_last_line_feed: true, ..target() }),
        ("v1, token line, last line feed", EventTarget { signature: Signature::V1, ..target() }),
        (v2, EventTarget { signature: Signature::Both, ..target() }),
        (v2, EventTarget { mode: ContentMode::Binary, ..target() }),
        (v2, EventTarget { mode: ContentMode::Batch, ..target() }),
        (v2, EventTarget { content_type: Some("text/plain".to_owned()), ..target() }),
        (v2, transform(Transform::JsonPath, "$.data")),
        (v2, transform(Transform::JsonPath, "$.data.Status")),
        (v2, transform(Transform::Constant, "look now")),
        (v2, EventTarget { variables: variables.into(), ..transform(Transform::Template, template) }),
        (v2, EventTarget { timestamp_off: -50, ..target() }),
    ];
    for (number, (form, target)) in (1..).zip(good) {
        let before = agent.view().await["signed"][form].as_u64().unwrap_or(0);
        host.sandbox.target("agent", target).unwrap();
        host.sandbox.emit(EventRequest::new(UPDATED, STACK));
        host.sandbox.deliveries_settled().await;
        let view = agent.view().await;
        assert_eq!(view["signed"][form].as_u64(), Some(before + 1), "{number}: {view:#}\n{:#?}", host.sandbox.events().pop());
        assert_eq!(view["received"], number, "{view:#}");
    }
    let bad = [
        ("not signed", EventTarget { signature: Signature::None, ..target() }),
        ("token", EventTarget { token: Some(ros_sandbox::Secret::from("another")), ..target() }),
        ("token", EventTarget { token: None, ..target() }),
        ("time", EventTarget { timestamp_off: 70, ..target() }),
        ("time", EventTarget { timestamp_off: -70, ..target() }),
        ("signature", EventTarget { url: Some(url.replace("x=1", "x=2")), ..target() }),
    ];
    for (reason, target) in bad {
        let before = agent.refused(reason).await;
        host.sandbox.target("agent", target).unwrap();
        host.sandbox.emit(EventRequest::new(UPDATED, STACK));
        host.sandbox.deliveries_settled().await;
        assert_eq!(agent.refused(reason).await, before + 1, "{reason}");
        assert_eq!(host.sandbox.events().pop().unwrap().deliveries[0].status, Some(401), "{reason}");
    }
    assert_eq!(agent.view().await["received"], 14);
    agent.running.stop().await.unwrap();
}

#[tokio::test(flavor = "current_thread")]
async fn an_event_that_comes_before_the_agent_can_judge_it_is_delivered_by_the_next_try() {
    let (_held, address) = reserved();
    let token = secrets()["event_target_token"];
    let host = host("eventbridge").await;
    let file = host.path("token");
    let url = configure(&host, address, &format!("token_file = \"{}\"\n", file.display()));
    let running = host.start();
    becomes(&host, |view| view["error"].as_str().is_some_and(|error| error.contains("the token"))).await;
    until(&host, "the door", |_| std::net::TcpStream::connect(address).is_ok()).await;
    let target = EventTarget { token: Some(ros_sandbox::Secret::from(token)), ..EventTarget::http(&url) };
    host.sandbox.target("agent", target).unwrap();
    host.sandbox.emit(EventRequest::new(UPDATED, STACK));
    host.sandbox.deliveries_settled().await;
    let first = host.sandbox.events().pop().unwrap().deliveries.remove(0);
    assert_eq!((first.status, first.outcome), (Some(503), DeliveryOutcome::Retried));
    crate::private::write(&file, token);
    becomes(&host, |view| view["healthy"] == true).await;
    host.sandbox.advance_clock(Duration::from_secs(21));
    host.sandbox.deliveries_settled().await;
    assert_eq!(host.sandbox.events().pop().unwrap().deliveries[1].status, Some(204));
    until(&host, "the event", |status| status["sources"][0]["received"] == 1).await;
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "current_thread")]
async fn version_1_without_a_token_is_a_reason_to_look_and_runs_no_hook_for_anybody_can_make_it() {
    let (_held, address) = reserved();
    let host = host("eventbridge").await;
    let url = configure(&host, address, "allow_v1 = true\n");
    host.sandbox.target("agent", EventTarget { signature: Signature::V1, ..EventTarget::http(&url) }).unwrap();
    let agent = following(host).await;
    let host = &agent.host;
    host.sandbox.emit(EventRequest::new("ros:StackStateChange:CreateComplete", STACK));
    until(host, "the look", shows("CREATE_COMPLETE")).await;
    // The same, believed: its hook is run, and only its own.
    host.sandbox.target("agent", EventTarget::http(&url)).unwrap();
    host.sandbox.emit(EventRequest::new("ros:StackStateChange:CreateComplete", STACK));
    until(host, "the hook", |_| !hooked(host).is_empty()).await;
    let believed = host.sandbox.events().pop().unwrap().event["id"].as_str().unwrap().to_owned();
    assert_eq!(hooked(host), [believed]);
    assert_eq!(agent.view().await["signed"], json!({"v1, last line feed": 1, "v2, last line feed": 1}));
    agent.running.stop().await.unwrap();
}

#[tokio::test(flavor = "current_thread")]
async fn a_test_of_root_runs_hooks_as_an_event_would_and_is_marked_as_a_test_everywhere() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let (_held, address) = reserved();
    let host = host("eventbridge").await;
    let url = configure(&host, address, "");
    let agent = following(host).await;
    let host = &agent.host;
    let answer: Value = serde_json::from_str(&host.ask("GET", "/events/test-secret", "").await.1).unwrap();
    let kind = "ros:StackStateChange:CreateComplete";
    let body = json!({"id": "try-1", "source": "acs.ros", "specversion": "1.0", "type": kind, "test": false, "data": {"StackId": STACK}})
        .to_string();
    let secret = answer["secret"].as_str().unwrap();
    let headers = ros_signal_agent::events::signature::test_headers(secret, &url, body.as_bytes(), now_ms());
    let headers = headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    assert_eq!(agent.send(&headers, body.as_bytes()).await.0, 204);
    until(host, "the hook", |_| hooked(host) == ["try-1 1"]).await;
    let lines = host.ask("GET", "/events?follow=false", "").await.1;
    let line = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).find(|line| line["what"] == "event").unwrap();
    assert_eq!((&line["event"]["id"], &line["event"]["test"]), (&json!("try-1"), &json!(true)), "{line:#}");
    agent.running.stop().await.unwrap();
}

#[tokio::test(flavor = "current_thread")]
async fn scenario_18_no_token_signature_or_secret_path_is_in_anything_that_the_agent_shows_or_keeps() {
    let (_held, address) = reserved();
    let (_other, called) = reserved();
    let (token, path) = (secrets()["event_target_token"], secrets()["callback_path"]);
    let host = host("eventbridge").await;
    crate::private::write(&host.path("token"), token);
    crate::private::write(&host.path("path"), path);
    let dir = host.dir.path().display().to_string();
    let url = configure(
        &host,
        address,
        &format!(
            "allow_v1 = true\ntoken_file = \"{dir}/token\"\n[source.ros]\ntype = \"callback\"\nlisten = \"{called}\"\npath_file = \"{dir}/path\"\n"
        ),
    );
    let [out, err] = ["stdout", "stderr"].map(|name| std::fs::File::create(host.path(name)).unwrap());
    let mut agent = tokio::process::Command::new(env!("CARGO_BIN_EXE_ros-signal-agent"))
        .args(["--log", "trace", "--config", host.config().to_str().unwrap(), "run"])
        .env_clear()
        .envs(Host::environment())
        .stdin(std::process::Stdio::null())
        .stdout(out)
        .stderr(err)
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    becomes(&host, |view| view["healthy"] == true).await;
    let target = |signature, token: &str| EventTarget { signature, token: Some(token.into()), ..EventTarget::http(&url) };
    for target in [target(Signature::V1, token), target(Signature::V2, token), target(Signature::Both, "another")] {
        host.sandbox.target("agent", target).unwrap();
        host.sandbox.emit(EventRequest::new(UPDATED, STACK));
        host.sandbox.deliveries_settled().await;
    }
    let body = b"{\"StackId\":\"other\",\"Status\":\"UPDATE_COMPLETE\"}";
    // Of another key, and of the right one: each is refused with its token in sight.
    let forged = signed_at(now_ms(), body, Some(token));
    let connect = async |to: SocketAddr| TcpStream::connect(to).await.unwrap();
    assert_eq!(post(connect(address).await, "POST", "/", &forged, body).await.0, 401);
    assert_eq!(post(connect(called).await, "POST", &format!("/{path}"), &Vec::new(), body).await.0, 204);
    assert_eq!(post(connect(called).await, "GET", &format!("/{path}"), &Vec::new(), b"").await.0, 405);
    until(&host, "all of them", |status| status["sources"][0]["received"] == 2 && status["sources"][1]["received"] == 1).await;
    let mut shown = String::new();
    for route in ["/status", "/events?follow=false", "/metrics", "/history"] {
        shown.push_str(&host.ask("GET", route, "").await.1);
    }
    let test = host.ask("GET", "/events/test-secret", "").await.1;
    let test: Value = serde_json::from_str(&test).unwrap_or_default();
    agent.kill().await.unwrap();
    for name in ["stdout", "stderr"] {
        shown.push_str(&std::fs::read_to_string(host.path(name)).unwrap());
    }
    for file in std::fs::read_dir(host.path("state")).unwrap().flatten() {
        shown.push_str(&String::from_utf8_lossy(&std::fs::read(file.path()).unwrap_or_default()));
    }
    assert!(shown.contains("TRACE") && shown.contains(UPDATED), "what is searched is there");
    let signature = forged.iter().find(|(name, _)| name.ends_with("signature-v2")).unwrap().1.clone();
    for (name, secret) in
        [("token", token), ("path", path), ("signature", &signature), ("secret of tests", test["secret"].as_str().unwrap_or(token))]
    {
        assert!(!shown.contains(secret), "{name}");
    }
}
