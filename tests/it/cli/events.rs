//! `events`: what follows the control socket, and test events to a listener and into a spool. Keys are made here and thrown away.

use super::{configured, is_root, program};
use crate::host::{Host, KEY, SECRET};
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ros_signal_agent::control::{self, Request};
use ros_signal_agent::events::{Event, FOLLOWERS, Feed, Line, Taken};
use serde_json::Value;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::process::Command;
use tokio::sync::mpsc;

const STACK: &str = "4a6c9851-3b0f-4f5f-b4ca-a14bf6910000";

fn line(what: &str, text: &str) -> Line {
    Line {
        at: "2026-01-02T03:04:05Z".to_owned(),
        what: what.to_owned(),
        text: text.to_owned(),
        through: None,
        event: None,
        taken: None,
        stack_id: None,
        status: None,
        hook: None,
    }
}

fn arrived(id: &str, taken: Taken) -> Line {
    let event = Event {
        id: id.to_owned(),
        source: "acs.ros".to_owned(),
        kind: "ros:StackStateChange:UpdateComplete".to_owned(),
        stack_id: Some(STACK.to_owned()),
        stack_name: Some("web".to_owned()),
        status: Some("UPDATE_COMPLETE".to_owned()),
        ..Event::default()
    };
    Line { through: Some("relay".to_owned()), event: Some(event), taken: Some(taken), ..line("event", "") }
}

fn some_lines() -> [Line; 4] {
    [
        arrived("1", Taken::Look),
        Line { through: Some("relay".to_owned()), ..line("refused", "bad signature") },
        Line { stack_id: Some(STACK.to_owned()), status: Some("UPDATE_COMPLETE".to_owned()), ..line("stack", "was UPDATE_IN_PROGRESS") },
        Line { hook: Some("apply".to_owned()), ..line("hook", "ended well after 2s\n\x1b[2J") },
    ]
}

type Shared = Arc<Mutex<Option<Feed>>>;

/// The real control server before a feed, and the path of its socket.
fn serving(feed: Feed) -> (tempfile::TempDir, String, Shared) {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("control.sock");
    let listener = control::bind(&socket).unwrap();
    let (sender, mut requests) = mpsc::channel(16);
    tokio::spawn(control::serve(listener, sender));
    let shared = Arc::new(Mutex::new(Some(feed)));
    let feed = Arc::clone(&shared);
    tokio::spawn(async move {
        while let Some(request) = requests.recv().await {
            let feed = feed.lock().unwrap();
            let Some(feed) = feed.as_ref() else { continue };
            match request {
                Request::Events(reply) => drop(reply.send(feed.kept())),
                Request::Follow { is_root, reply } => drop(reply.send(feed.follow(is_root))),
                other => panic!("{other:?}"),
            }
        }
    });
    let socket = socket.to_str().unwrap().to_owned();
    (dir, socket, shared)
}

fn tell(feed: &Shared, line: Line) {
    feed.lock().unwrap().as_mut().unwrap().tell(line);
}

/// A client that has asked for `path` and read the head of the answer.
async fn client(socket: &str, path: &str) -> (String, BufReader<UnixStream>) {
    let mut stream = UnixStream::connect(socket).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes()).await.unwrap();
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(reader.read_line(&mut head).await.unwrap() > 0, "{head}");
    }
    (head, reader)
}

/// The next line that is JSON, whatever chunks it came in.
async fn next(reader: &mut BufReader<UnixStream>) -> Value {
    loop {
        let mut line = String::new();
        assert!(reader.read_line(&mut line).await.unwrap() > 0, "the answer ended");
        if line.starts_with('{') {
            return serde_json::from_str(&line).unwrap();
        }
    }
}

#[tokio::test]
async fn the_kept_lines_are_printed_for_people() {
    let mut feed = Feed::default();
    some_lines().into_iter().for_each(|line| feed.tell(line));
    let (dir, socket, _feed) = serving(feed);
    let ended = program(&["--socket", &socket, "events", "--no-follow"]).await;
    insta::assert_snapshot!(ended.golden(dir.path()));
}

#[tokio::test]
async fn the_kept_lines_as_json_are_one_object_a_line_and_nothing_is_said_where_there_are_none() {
    let mut feed = Feed::default();
    some_lines().into_iter().for_each(|line| feed.tell(line));
    let (_dir, socket, _feed) = serving(feed);
    let ended = program(&["--socket", &socket, "events", "follow", "--last", "--json"]).await;
    let lines: Vec<Line> = ended.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((ended.code, lines.as_slice()), (0, &some_lines()[..]), "{}", ended.err);

    let (_dir, socket, _feed) = serving(Feed::default());
    let ended = program(&["--socket", &socket, "events", "--last"]).await;
    assert_eq!((ended.code, ended.out.as_str(), ended.err.as_str()), (0, "", "no events, looks or hooks yet since the agent started\n"));
}

#[tokio::test]
async fn who_follows_gets_the_kept_lines_first_then_those_that_come_as_ndjson() {
    let mut feed = Feed::default();
    feed.tell(line("look", "kept"));
    let (_dir, socket, feed) = serving(feed);
    let (head, mut reader) = client(&socket, "/events").await;
    assert!(head.contains("200 OK") && head.contains("content-type: application/x-ndjson"), "{head}");
    assert_eq!(next(&mut reader).await["text"], "kept");
    tell(&feed, line("look", "came"));
    assert_eq!(next(&mut reader).await["text"], "came");
}

#[tokio::test]
async fn a_slow_follower_is_told_how_many_lines_it_missed() {
    let (_dir, socket, feed) = serving(Feed::default());
    let (_, mut reader) = client(&socket, "/events").await;
    // On this one thread nobody reads meanwhile.
    (0..100).for_each(|n| tell(&feed, line("look", &n.to_string())));
    let lagged = next(&mut reader).await;
    assert_eq!((&lagged["what"], &lagged["missed"]), (&Value::from("lagged"), &Value::from(36)), "{lagged}");
    assert_eq!(next(&mut reader).await["text"], "36", "and goes on with the oldest that is there");
}

#[tokio::test]
async fn one_follower_too_many_is_refused_and_one_that_goes_frees_its_place() {
    let (_dir, socket, _feed) = serving(Feed::default());
    let places = if is_root() { FOLLOWERS } else { FOLLOWERS - 2 };
    let mut followers = Vec::new();
    for _ in 0..places {
        followers.push(client(&socket, "/events").await);
    }
    assert!(followers.iter().all(|(head, _)| head.contains("200 OK")));
    let refused = program(&["--socket", &socket, "events"]).await;
    assert_eq!(refused.code, 1);
    assert_eq!(
        refused.err,
        "error: too many follow the events already (8 may)\nhint: end one of them: they are connected to the control socket\n"
    );
    followers.pop();
    let again = async { while !client(&socket, "/events").await.0.contains("200 OK") {} };
    tokio::time::timeout(Duration::from_secs(10), again).await.expect("the place is free at once");
}

#[tokio::test]
async fn a_query_that_is_not_understood_is_refused() {
    let (_dir, socket, _feed) = serving(Feed::default());
    assert!(client(&socket, "/events?follow=perhaps").await.0.contains("400"));
}

#[tokio::test]
async fn following_ends_cleanly_when_the_agent_stops() {
    let host = Host::new("").await;
    let config = host.config();
    let mut agent = command(&["--config", config.to_str().unwrap(), "run"])
        .env("ALIBABA_CLOUD_ACCESS_KEY_ID", KEY)
        .env("ALIBABA_CLOUD_ACCESS_KEY_SECRET", SECRET)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let listens = async {
        while UnixStream::connect(host.socket()).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), listens).await.expect("the agent listens");
    let (head, mut reader) = client(host.socket().to_str().unwrap(), "/events").await;
    assert!(head.contains("200 OK"), "{head}");
    let pid = rustix::process::Pid::from_raw(agent.id().unwrap().try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let mut rest = String::new();
    tokio::time::timeout(Duration::from_secs(30), reader.read_to_string(&mut rest)).await.expect("it ends").unwrap();
    assert!(rest.ends_with("0\r\n\r\n"), "the last chunk, by which a client knows that it has all: {rest:?}");
    assert!(agent.wait().await.unwrap().success());
}

#[tokio::test]
async fn the_command_says_that_the_agent_has_stopped_and_ends() {
    let mut feed = Feed::default();
    feed.tell(line("look", "kept"));
    let (_dir, socket, feed) = serving(feed);
    let mut follower = command(&["--socket", &socket, "events"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(follower.stdout.take().unwrap());
    let mut said = String::new();
    out.read_line(&mut said).await.unwrap();
    assert_eq!(said, "2026-01-02T03:04:05Z  look    kept\n");
    let ending = feed.lock().unwrap().take().unwrap();
    ending.end().await;
    let ended = follower.wait_with_output().await.unwrap();
    assert_eq!((ended.status.code(), String::from_utf8(ended.stderr).unwrap().as_str()), (Some(0), "the agent has stopped\n"));
}

#[tokio::test]
async fn an_interrupt_ends_following_at_once() {
    let mut feed = Feed::default();
    feed.tell(line("look", "kept"));
    let (_dir, socket, _feed) = serving(feed);
    let mut follower = command(&["--socket", &socket, "events"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(follower.stdout.take().unwrap());
    out.read_line(&mut String::new()).await.unwrap();
    let pid = rustix::process::Pid::from_raw(follower.id().unwrap().try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    tokio::time::timeout(Duration::from_secs(10), follower.wait()).await.expect("it ends").unwrap();
}

#[tokio::test]
async fn without_an_agent_it_is_said_where_nobody_answers() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("none.sock");
    let ended = program(&["--socket", socket.to_str().unwrap(), "events"]).await;
    assert_eq!(ended.code, 1);
    let first = format!("error: no agent answers at {}: there is no such socket\n", socket.display());
    assert!(ended.err.starts_with(&first) && ended.err.contains("hint: systemctl status ros-signal-agent"), "{}", ended.err);
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ros-signal-agent"));
    command.args(arguments).env_clear().stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// The secret of a run, and a listener that keeps what was posted to it.
const TEST_SECRET: &str = "made-up-test-secret-of-one-run";

#[derive(Default)]
struct Posted(Mutex<Vec<(HeaderMap, String)>>);

async fn listener(status: StatusCode, events: mpsc::UnboundedSender<String>) -> (u16, Arc<Posted>) {
    let posted = Arc::new(Posted::default());
    let kept = Arc::clone(&posted);
    let take = async move |headers: HeaderMap, body: String| {
        let event: Value = serde_json::from_str(&body).unwrap();
        let _ = events.send(event["id"].as_str().unwrap().to_owned());
        kept.0.lock().unwrap().push((headers, body));
        (status, if status.is_success() { "" } else { "bad signature" })
    };
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = socket.local_addr().unwrap().port();
    tokio::spawn(async move { axum::serve(socket, axum::Router::new().route("/ros/events", post(take))).await });
    (port, posted)
}

/// What `events send` asks of an agent: its status, its lines, and the secret for tests. It tells a line for each id that comes.
fn agent_with(sources: &Value, mut ids: mpsc::UnboundedReceiver<String>) -> (tempfile::TempDir, String) {
    let status = serde_json::json!({
        "version": "0.1.0", "at": "2026-01-02T03:04:05Z", "summary": "", "held": false, "instance_id": null, "identity_error": null,
        "not_durable": null, "signals": [], "checks": [], "stacks": [], "sources": sources,
    });
    let (lines, body) = mpsc::channel::<Result<Bytes, std::io::Error>>(8);
    tokio::spawn(async move {
        while let Some(id) = ids.recv().await {
            for line in [arrived("another", Taken::Repeated), arrived(&id, Taken::Look)] {
                let _ = lines.send(Ok(format!("{}\n", serde_json::to_string(&line).unwrap()).into())).await;
            }
        }
    });
    let body = Arc::new(Mutex::new(Some(body)));
    // For the first who follows.
    let events = async move || match body.lock().unwrap().take() {
        Some(body) => Body::from_stream(tokio_stream::wrappers::ReceiverStream::new(body)),
        None => Body::empty(),
    };
    let secret = async || axum::Json(serde_json::json!({ "secret": TEST_SECRET }));
    let router = axum::Router::new()
        .route("/status", get(async move || axum::Json(status)))
        .route("/events", get(events))
        .route("/events/test-secret", get(secret));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("control.sock");
    let socket = tokio::net::UnixListener::bind(&path).unwrap();
    tokio::spawn(async move { axum::serve(socket, router).await });
    let path = path.to_str().unwrap().to_owned();
    (dir, path)
}

fn source(name: &str, kind: &str) -> Value {
    serde_json::json!({ "name": name, "kind": kind, "healthy": true, "detail": "", "received": 0, "last_at": null, "refused": {}, "error": null, "hint": null })
}

fn http_source(port: u16) -> String {
    format!(
        "[stack]\nstack_id = \"{STACK}\"\nregion = \"cn-hangzhou\"\n[source.relay]\ntype = \"http\"\nlisten = \"127.0.0.1:{port}\"\n\
         url = \"https://agent.example.com/ros/events?stack=web\"\n"
    )
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).unwrap_or_else(|| panic!("no {name} in {headers:?}")).to_str().unwrap()
}

#[tokio::test]
async fn a_test_event_is_signed_with_the_secret_of_the_run_and_its_fate_is_told() {
    let (ids, came) = mpsc::unbounded_channel();
    let (port, posted) = listener(StatusCode::NO_CONTENT, ids).await;
    let (_agent, socket) = agent_with(&serde_json::json!([source("relay", "http")]), came);
    let (_dir, config) = configured(&http_source(port));
    let ended = program(&["--config", &config, "--socket", &socket, "events", "send", "UpdateComplete"]).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    let lines: Vec<&str> = ended.out.lines().collect();
    assert!(
        lines[0].starts_with("ros:StackStateChange:UpdateComplete ") && lines[0].contains("to relay at http://127.0.0.1:"),
        "{lines:?}"
    );
    assert_eq!(lines[1], "the listener answered HTTP 204");
    assert!(lines[2].ends_with("stack web, UPDATE_COMPLETE, the stack is looked at soon"), "{lines:?}");

    let posted = posted.0.lock().unwrap();
    let [(headers, body)] = &posted[..] else { panic!("{} were posted", posted.len()) };
    let time = header(headers, "x-ros-signal-agent-test-time");
    let signature = STANDARD.decode(header(headers, "x-ros-signal-agent-test-signature")).unwrap();
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, TEST_SECRET.as_bytes());
    let text = format!("{time}\nhttps://agent.example.com/ros/events?stack=web\n{body}\n");
    ring::hmac::verify(&key, text.as_bytes(), &signature).expect("signed as the listener checks it");
    assert_eq!(header(headers, "host"), "agent.example.com");
    let event: Value = serde_json::from_str(body).unwrap();
    assert_eq!((&event["specversion"], &event["data"]["StackId"]), (&Value::from("1.0"), &Value::from(STACK)));
    assert_eq!(
        (&event["type"], &event["data"]["Status"]),
        (&Value::from("ros:StackStateChange:UpdateComplete"), &Value::from("UPDATE_COMPLETE"))
    );
    assert_eq!(event["subject"], format!("acs:ros:cn-hangzhou:0:stack/{STACK}"));
}

#[tokio::test]
async fn as_json_a_test_event_tells_where_it_went_and_what_came_of_it() {
    let (ids, came) = mpsc::unbounded_channel();
    let (port, _posted) = listener(StatusCode::NO_CONTENT, ids).await;
    let (_agent, socket) = agent_with(&serde_json::json!([source("relay", "http")]), came);
    let (_dir, config) = configured(&http_source(port));
    let asked = ["--config", &config, "--socket", &socket, "events", "send", "ros:Stack:StatusChange", "--status", "UPDATE_IN_PROGRESS"];
    let ended = program(&[&asked[..], &["--stack", "other", "--json"]].concat()).await;
    let sent: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!((ended.code, &sent["http_status"]), (0, &Value::from(204)), "{}", ended.err);
    assert_eq!((&sent["type"], &sent["status"]), (&Value::from("ros:Stack:StatusChange"), &Value::from("UPDATE_IN_PROGRESS")));
    assert_eq!((&sent["stack_id"], &sent["line"]["taken"]), (&Value::from("other"), &Value::from("look")));
    assert_eq!(sent["line"]["event"]["id"], sent["id"]);
}

#[tokio::test]
async fn what_the_listener_refuses_is_said_with_its_answer() {
    let (ids, came) = mpsc::unbounded_channel();
    let (port, _posted) = listener(StatusCode::FORBIDDEN, ids).await;
    let (_agent, socket) = agent_with(&serde_json::json!([source("relay", "http")]), came);
    let (_dir, config) = configured(&http_source(port));
    let ended = program(&["--config", &config, "--socket", &socket, "events", "send", "updatecomplete"]).await;
    assert_eq!(ended.code, 1);
    assert!(ended.out.contains("the listener answered HTTP 403: bad signature"), "{}", ended.out);
    assert!(ended.err.starts_with("error: the listener did not take the event\nhint: "), "{}", ended.err);
}

#[tokio::test]
async fn into_a_spool_goes_a_whole_file_that_is_not_hidden() {
    let spool = tempfile::tempdir().unwrap();
    let (ids, came) = mpsc::unbounded_channel::<String>();
    let (_agent, socket) = agent_with(&serde_json::json!([source("drop", "spool")]), came);
    let (_dir, config) = configured(&format!(
        "[stack]\nstack_id = \"{STACK}\"\n[source.drop]\ntype = \"spool\"\ndirectory = \"{}\"\n",
        spool.path().display()
    ));
    // Nobody tells a line, and the answer ends with the last sender.
    drop(ids);
    let ended = program(&["--config", &config, "--socket", &socket, "events", "send", "UpdateComplete", "--to", "spool"]).await;
    assert_eq!(ended.code, 124, "{ended:?}");
    assert!(ended.err.starts_with("error: the agent has said nothing about the event"), "{}", ended.err);
    let files: Vec<_> = std::fs::read_dir(spool.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    let [file] = &files[..] else { panic!("{files:?}") };
    assert!(ended.out.contains(file.to_str().unwrap()) && !file.file_name().unwrap().to_str().unwrap().starts_with('.'));
    let event: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    assert_eq!(event["type"], "ros:StackStateChange:UpdateComplete");
}

#[tokio::test]
async fn with_a_key_it_is_signed_as_eventbridge_signs() {
    let Some(openssl) = crate::peer::program("openssl") else { return };
    let (ids, came) = mpsc::unbounded_channel();
    let (port, posted) = listener(StatusCode::NO_CONTENT, ids).await;
    let (_agent, socket) = agent_with(&serde_json::json!([source("relay", "http")]), came);
    let (dir, config) = configured(&http_source(port));
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let run = async |arguments: &[&str]| {
        let ended = Command::new(&openssl).args(arguments).kill_on_drop(true).output().await.unwrap();
        assert!(ended.status.success(), "{ended:?}");
    };
    run(&["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", &path("key.pem")]).await;
    run(&["pkey", "-in", &path("key.pem"), "-pubout", "-out", &path("public.pem")]).await;
    let certificate = "https://cn-hangzhou-eventbridge.oss-accelerate.aliyuncs.com/x509_public_certificate_1.pem";
    let (key, send) = (path("key.pem"), ["--config", &config, "--socket", &socket, "events", "send", "UpdateComplete"]);
    let ended = program(&[&send[..], &["--key", &key, "--certificate-url", certificate]].concat()).await;
    assert_eq!(ended.code, 0, "{ended:?}");

    let (headers, body) = posted.0.lock().unwrap().pop().unwrap();
    let names = ["timestamp", "hash-method", "version", "url"].map(|name| match name {
        "hash-method" => "x-eventbridge-hash-method".to_owned(),
        name => format!("x-eventbridge-signature-{name}"),
    });
    let signed: String = names.iter().map(|name| format!("{name}: {}\n", header(&headers, name))).collect();
    std::fs::write(path("text"), format!("https://agent.example.com/ros/events?stack=web\n{signed}{body}\n")).unwrap();
    std::fs::write(path("signature"), STANDARD.decode(header(&headers, "x-eventbridge-signature-v2")).unwrap()).unwrap();
    run(&["dgst", "-sha256", "-verify", &path("public.pem"), "-signature", &path("signature"), &path("text")]).await;

    let ended = program(&[&send[..], &["--key", &path("public.pem"), "--certificate-url", certificate]].concat()).await;
    assert!(ended.err.contains("it holds no RSA private key") && ended.err.contains("hint: "), "{}", ended.err);
}

#[tokio::test]
async fn where_nothing_can_be_sent_it_is_said_why_and_what_to_do() {
    let queue = "[source.inbox]\ntype = \"queue\"\nqueue = \"web\"\n";
    let two = format!("{}[source.other]\ntype = \"http\"\nlisten = \"127.0.0.1:2\"\nurl = \"http://x.example.com/\"\n", http_source(1));
    let systemd = http_source(1).replace("127.0.0.1:1", "systemd:events");
    let (_agent, socket) = agent_with(&serde_json::json!([source("relay", "http")]), mpsc::unbounded_channel().1);
    let mut told = String::new();
    for (configuration, more) in [
        ("", vec![]),
        (queue, vec![]),
        (&two, vec![]),
        (&two, vec!["--source", "third"]),
        (&http_source(1), vec!["--to", "spool"]),
        (&systemd, vec![]),
        (&two, vec!["--source", "other"]),
    ] {
        let (_dir, config) = configured(configuration);
        let ended = program(&[&["--config", &config, "--socket", &socket, "events", "send", "UpdateComplete"][..], &more].concat()).await;
        assert_eq!(ended.out, "");
        told.push_str(&format!("{}\n{}", ended.code, ended.err));
    }
    insta::assert_snapshot!(told);
}

#[tokio::test]
async fn a_type_that_ros_does_not_have_is_refused_with_the_one_that_was_meant() {
    let ended = program(&["events", "send", "UpdateCompleted"]).await;
    assert_eq!(ended.code, 64);
    assert!(ended.err.contains("UpdateComplete"), "{}", ended.err);
}
