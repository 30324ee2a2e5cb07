//! Commands that ask the running agent, against the real control server and a loop that answers from a script.

use super::{Ended, is_root, program, program_with};
use ros_signal_agent::agent::status::{CheckView, Goal, HookView, LastView, SignalStatusView, StackView, Status};
use ros_signal_agent::agent::{Command, Denied, Done};
use ros_signal_agent::check::Health;
use ros_signal_agent::control::{self, Reloaded, Request};
use ros_signal_agent::events::SourceView;
use ros_signal_agent::signal::{HistoryEntry, SignalStatus};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// An agent behind a socket that answers as `answer` says, and the directory of its socket.
fn agent(mut answer: impl FnMut(Request) + Send + 'static) -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("control.sock");
    let listener = control::bind(&socket).unwrap();
    let (sender, mut requests) = mpsc::channel(16);
    tokio::spawn(control::serve(listener, sender));
    tokio::spawn(async move {
        while let Some(request) = requests.recv().await {
            answer(request);
        }
    });
    let socket = socket.to_str().unwrap().to_owned();
    (dir, socket)
}

fn signal(name: &str, state: &str, detail: &str) -> SignalStatusView {
    SignalStatusView {
        name: name.to_owned(),
        resource: format!("{name}Ready"),
        stack_id: Some("4a6c9851-3b0f-4f5f-b4ca-a14bf6910000".to_owned()),
        region: Some("cn-hangzhou".to_owned()),
        round: "first".to_owned(),
        state: state.to_owned(),
        detail: detail.to_owned(),
        healthy: false,
        decides_within_ms: Some(130_000),
        verdict: None,
        unique_id: None,
        reason: None,
        attempts: 0,
        last_error: None,
        hint: None,
        next_attempt_ms: None,
        request_id: None,
        settled_at: None,
        confirmed: None,
        confirmation: None,
        deadline_from: None,
        warnings: Vec::new(),
    }
}

fn check(name: &str, state: Option<Health>, message: &str) -> CheckView {
    let last = LastView {
        readings: Vec::new(),
        health: state.unwrap_or(Health::Unknown),
        message: message.to_owned(),
        output: String::new(),
        terminal: false,
        ago_ms: 2_000,
        took_ms: 3,
    };
    CheckView {
        name: name.to_owned(),
        kind: "tcp".to_owned(),
        level: "required".to_owned(),
        state,
        for_ms: 61_000,
        last: (!message.is_empty()).then_some(last),
        runs: 5,
        running: false,
        waiting_for: None,
        in_start_period: false,
    }
}

fn status(signals: Vec<SignalStatusView>) -> Status {
    Status {
        version: "0.1.0".to_owned(),
        at: "2026-01-02T03:04:05Z".to_owned(),
        summary: "web: 1/2 checks passing".to_owned(),
        held: false,
        instance_id: Some("i-bp1a2b3c4d5e6f7g8h9i".to_owned()),
        identity_error: None,
        misconfigured: None,
        not_durable: None,
        clock: None,
        signals,
        checks: vec![
            check("database", Some(Health::Passing), "connected"),
            check("nginx", Some(Health::Critical), "connection refused by 127.0.0.1:80\n\x1b[2J"),
            CheckView { waiting_for: Some("nginx".to_owned()), ..check("page", None, "") },
        ],
        stacks: Vec::new(),
        sources: Vec::new(),
        hooks: Vec::new(),
    }
}

fn pending() -> SignalStatusView {
    signal("web", "pending", "1/2 checks passing, waiting for nginx (critical: connection refused), 2m10s left")
}

fn acknowledged() -> SignalStatusView {
    SignalStatusView {
        verdict: Some(SignalStatus::Success),
        unique_id: Some("d26f154e-5b50-5391-a125-3307edb4f237".to_owned()),
        reason: Some("2 of 2 required checks passing for 5s".to_owned()),
        request_id: Some("B288A0BE-D927-4888-B0F7-B35EF84B6E6F".to_owned()),
        settled_at: Some("2026-01-02T03:04:04Z".to_owned()),
        decides_within_ms: None,
        attempts: 1,
        ..signal("web", "acknowledged", "SUCCESS acknowledged")
    }
}

fn troubled() -> SignalStatusView {
    SignalStatusView {
        verdict: Some(SignalStatus::Failure),
        reason: Some("deadline reached: nginx critical".to_owned()),
        decides_within_ms: None,
        attempts: 3,
        last_error: Some("Forbidden.RAM (HTTP 403): not authorized".to_owned()),
        hint: Some("grant ros:SignalResource".to_owned()),
        next_attempt_ms: Some(42_000),
        ..signal("db", "sending", "FAILURE decided, sending, attempt 3")
    }
}

fn answers_status(status: Status) -> impl FnMut(Request) + Send {
    move |request| {
        if let Request::Status(reply) = request {
            let _ = reply.send(Box::new(status.clone()));
        }
    }
}

#[tokio::test]
async fn the_status_tells_what_is_waited_for_and_what_went_wrong_last() {
    let (dir, socket) = agent(answers_status(Status {
        held: true,
        not_durable: Some("no space left on device".to_owned()),
        ..status(vec![troubled(), pending(), acknowledged()])
    }));
    let ended = program(&["--socket", &socket, "status"]).await;
    assert!(!ended.out.contains('\x1b'), "a check cannot speak to the terminal");
    insta::assert_snapshot!(ended.golden(dir.path()));
}

#[tokio::test]
async fn the_status_tells_stacks_sources_and_hooks_where_there_are_any() {
    let stack = |state: &str| StackView {
        stack_id: "4a6c9851-3b0f-4f5f-b4ca-a14bf6910000".to_owned(),
        region: "cn-hangzhou".to_owned(),
        state: state.to_owned(),
        ..StackView::default()
    };
    let stacks = vec![
        StackView {
            name: Some("web".to_owned()),
            status: Some("ROLLBACK_IN_PROGRESS".to_owned()),
            reason: Some("update failed\n\x1b[2J".to_owned()),
            updated: Some("2026-01-02T03:00:00".to_owned()),
            looked_at: Some("2026-01-02T03:04:00Z".to_owned()),
            next_look_ms: Some(21_000),
            error: Some("Throttling.User; hint: nothing, the agent asks more slowly".to_owned()),
            warnings: vec!["events cannot come: eventbridge is not among the NotificationURLs; hint: see docs/events.md".to_owned()],
            ..stack("watched")
        },
        stack("not permitted"),
        stack("deleted"),
        stack("watched"),
    ];
    let source = |name: &str, kind: &str| SourceView { name: name.to_owned(), kind: kind.to_owned(), ..SourceView::default() };
    let sources = vec![
        SourceView {
            healthy: true,
            detail: "listens at 127.0.0.1:8480".to_owned(),
            received: 3,
            last_at: Some("2026-01-02T03:03:00Z".to_owned()),
            refused: [("bad signature".to_owned(), 2), ("too old".to_owned(), 1)].into(),
            ..source("relay", "http")
        },
        SourceView {
            error: Some("QueueNotExist".to_owned()),
            hint: Some("make the queue web".to_owned()),
            detail: "queue web".to_owned(),
            ..source("inbox", "queue")
        },
        source("drop", "spool"),
    ];
    let hook = |name: &str, state: &str| HookView { name: name.to_owned(), state: state.to_owned(), ..HookView::default() };
    let hooks = vec![
        hook("apply", "running"),
        HookView {
            queued: 2,
            last: Some("stack.updated".to_owned()),
            ended: Some("exit status 3".to_owned()),
            succeeded: Some(false),
            ended_at: Some("2026-01-02T03:04:01Z".to_owned()),
            ..hook("tell", "waiting")
        },
    ];
    let (dir, socket) = agent(answers_status(Status { stacks, sources, hooks, checks: Vec::new(), ..status(vec![pending()]) }));
    let ended = program(&["--socket", &socket, "status"]).await;
    assert!(!ended.out.contains('\x1b'), "a stack cannot speak to the terminal");
    insta::assert_snapshot!(ended.golden(dir.path()));
}

#[tokio::test]
async fn trouble_before_the_first_attempt_is_not_called_an_attempt() {
    let trouble = SignalStatusView { attempts: 0, last_error: Some("not sent yet: no key".to_owned()), ..troubled() };
    let (_dir, socket) = agent(answers_status(status(vec![trouble])));
    let ended = program(&["--socket", &socket, "status"]).await;
    assert!(ended.out.contains("\ndb: not sent yet: no key\n"), "{}", ended.out);
}

#[tokio::test]
async fn the_status_as_json_is_what_the_agent_said() {
    let (_dir, socket) = agent(answers_status(status(vec![pending()])));
    let ended = program(&["--socket", &socket, "status", "--json"]).await;
    assert_eq!(serde_json::from_str::<Status>(&ended.out).unwrap(), status(vec![pending()]));
}

#[tokio::test]
async fn watching_ends_when_every_signal_is_settled() {
    let mut looks = 0;
    let (_dir, socket) = agent(move |request| {
        if let Request::Status(reply) = request {
            looks += 1;
            let _ = reply.send(Box::new(status(vec![if looks < 2 { pending() } else { acknowledged() }])));
        }
    });
    let ended = program(&["--socket", &socket, "status", "--watch", "--json"]).await;
    let states: Vec<String> = ended.out.lines().map(|line| serde_json::from_str::<Status>(line).unwrap().signals.remove(0).state).collect();
    assert_eq!((ended.code, states), (0, vec!["pending".to_owned(), "acknowledged".to_owned()]));
}

#[tokio::test]
async fn the_history_has_a_line_for_each_entry_with_its_time() {
    let (dir, socket) = agent(|request| {
        if let Request::History(reply) = request {
            let entry =
                |at_ms, signal: Option<&str>, what: &str| HistoryEntry { at_ms, signal: signal.map(Arc::from), what: what.to_owned() };
            let _ = reply.send(vec![
                entry(1_767_323_045_123, Some("web"), "SUCCESS acknowledged"),
                entry(1_767_323_046_000, None, "held: no verdicts until resume"),
            ]);
        }
    });
    insta::assert_snapshot!(program(&["--socket", &socket, "history"]).await.golden(dir.path()));
    let json = program(&["--socket", &socket, "history", "--json"]).await;
    assert_eq!(serde_json::from_str::<Vec<HistoryEntry>>(&json.out).unwrap().len(), 2);
}

#[tokio::test]
async fn without_an_agent_it_is_said_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("control.sock");
    let left = dir.path().join("left.sock");
    drop(std::os::unix::net::UnixListener::bind(&left).unwrap());
    let cases = [(missing.to_str().unwrap(), "there is no such socket"), (left.to_str().unwrap(), "connection refused")];
    for (socket, why) in cases {
        let wait = &["wait", "--for", "healthy", "--timeout", "300ms"][..];
        for command in [&["status"][..], &["history"], wait, &["push", "a", "passing"], &["reload"], &["hold"]] {
            let ended = program(&[&["--socket", socket][..], command].concat()).await;
            let told = format!(
                "error: no agent answers at {socket}: {why}\nhint: systemctl status ros-signal-agent, or name its socket with --socket\n"
            );
            assert_eq!((ended.code, ended.err), (1, told), "{command:?}");
        }
    }
}

#[tokio::test]
async fn wait_gives_an_agent_that_is_being_started_the_time_it_takes() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("control.sock");
    let mut waiting = tokio::process::Command::new(env!("CARGO_BIN_EXE_ros-signal-agent"))
        .args(["--socket", socket.to_str().unwrap(), "wait", "--for", "healthy", "--timeout", "30s"])
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    // It is not there yet: nobody has ended after it was asked for.
    let asked = tokio::time::timeout(Duration::from_millis(500), waiting.wait()).await;
    assert!(asked.is_err(), "{asked:?}");
    let (there, _) = agent(reaches(Goal::Healthy, vec![pending()]));
    std::os::unix::fs::symlink(there.path().join("control.sock"), &socket).unwrap();
    assert_eq!(waiting.wait().await.unwrap().code(), Some(0));
}

#[tokio::test]
async fn the_socket_comes_from_the_configuration_even_for_other_files_that_are_broken() {
    let (dir, socket) = agent(answers_status(status(vec![acknowledged()])));
    let config = dir.path().join("config.toml");
    std::fs::write(&config, format!("[agent]\nsocket = \"{socket}\"\n")).unwrap();
    assert_eq!(program(&["--config", config.to_str().unwrap(), "status"]).await.code, 0);
    std::fs::write(&config, "[agent").unwrap();
    assert_eq!(program(&["--config", config.to_str().unwrap(), "--socket", &socket, "status"]).await.code, 0);
}

#[tokio::test]
async fn a_broken_configuration_leads_to_the_default_socket_and_is_named_when_nobody_is_there() {
    let (dir, socket) = agent(answers_status(status(vec![acknowledged()])));
    let config = dir.path().join("config.toml");
    std::fs::write(&config, "[agent").unwrap();
    let arguments = ["--config", config.to_str().unwrap(), "status"];
    // What systemd says about the directory of sockets.
    let ended = program_with(&arguments, &[("RUNTIME_DIRECTORY", dir.path().to_str().unwrap())]).await;
    assert_eq!(ended.code, 0, "{}", ended.err);
    std::fs::remove_file(socket).unwrap();
    let ended = program_with(&arguments, &[("RUNTIME_DIRECTORY", dir.path().to_str().unwrap())]).await;
    let told = format!("hint: the configuration cannot be used: {}:1:7: error: ", config.display());
    assert!(ended.err.contains(&told), "{}", ended.err);
    assert!(ended.err.contains("--socket"), "{}", ended.err);
}

#[tokio::test]
async fn a_socket_that_is_written_in_a_broken_configuration_is_believed() {
    let (dir, socket) = agent(says(acknowledged(), true));
    let config = dir.path().join("config.toml");
    let config_path = config.to_str().unwrap();
    for broken in ["[signal.web]\nresorce = \"WebReady\"\n", "[check.a\ntype = \"tcp\"\n", "[check.a]\ntype = tcp\n"] {
        std::fs::write(&config, format!("[agent]\nsocket = \"{socket}\"\n{broken}")).unwrap();
        let ended = program(&["--config", config_path, "status"]).await;
        assert_eq!(ended.code, 0, "{}", ended.err);
        let ended = program(&[&["--config", config_path][..], &SIGNAL].concat()).await;
        roots(&ended, 0, "SUCCESS for webReady acknowledged");
    }
    std::fs::remove_file(socket).unwrap();
    assert_eq!(program(&[&["--config", config_path][..], &SIGNAL].concat()).await.code, 78, "alone it needs the configuration");
}

/// A socket whose connections are taken by the kernel and answered by nobody, as of an agent that is stopped.
fn silent() -> (tempfile::TempDir, String, std::os::unix::net::UnixListener) {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("control.sock");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let socket = socket.to_str().unwrap().to_owned();
    (dir, socket, listener)
}

#[tokio::test]
async fn an_agent_that_hangs_holds_nobody_beyond_the_timeout() {
    let (_dir, socket, _listener) = silent();
    // Without the bound of the command, an answer is waited for longer than this.
    let soon = std::time::Duration::from_secs(8);
    let wait = ["--socket", &socket, "wait", "--for", "healthy", "--timeout", "200ms", "--json"];
    let ended = tokio::time::timeout(soon, program(&wait)).await.unwrap();
    assert_eq!(ended.code, 124, "{}", ended.err);
    assert!(ended.err.starts_with("error: not healthy after 200ms: the agent at "), "{}", ended.err);
    let said: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(said, serde_json::json!({ "reached": false }));
    let signal = [&["--socket", &socket][..], &SIGNAL, &["--timeout", "200ms"]].concat();
    let ended = tokio::time::timeout(soon, program(&signal)).await.unwrap();
    assert_eq!(ended.code, 75, "{}", ended.err);
    assert!(ended.err.starts_with("error: SUCCESS for webReady was not acknowledged within 200ms: the agent at "), "{}", ended.err);
}

#[tokio::test]
async fn an_agent_that_begins_to_hang_while_it_is_waited_for_is_left_in_time() {
    let mut kept = Vec::new();
    let mut asked = 0;
    let (_dir, socket) = agent(move |request| match request {
        Request::Status(reply) if asked == 0 => {
            asked += 1;
            let _ = reply.send(Box::new(status(vec![pending()])));
        }
        // The wait ends in the control server; what is asked after it is never answered.
        request => kept.push(request),
    });
    let ended = program(&["--socket", &socket, "wait", "--for", "signaled", "--timeout", "200ms"]).await;
    assert_eq!(ended.code, 124, "{}", ended.err);
}

#[tokio::test]
async fn every_command_of_the_agent_answers_as_json() {
    let (sender, _seen) = mpsc::channel(16);
    let (_dir, socket) = agent(pushes(sender));
    for arguments in [&["hold"][..], &["resume"], &["signal", "cancel", "web"], &["push", "batch", "ok"]] {
        let ended = program(&[&["--socket", &socket][..], arguments, &["--json"]].concat()).await;
        if is_root() || arguments[0] == "push" {
            let said: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
            assert_eq!((ended.code, &said["done"]), (0, &serde_json::json!("done so")), "{arguments:?}");
        }
    }
    let (_dir, socket) = agent(|request| {
        if let Request::Reload(reply) = request {
            let _ = reply.send(Ok(Reloaded { signals: 1, checks: 2, warnings: vec!["look".to_owned()] }));
        }
    });
    let ended = program(&["--socket", &socket, "reload", "--json"]).await;
    if is_root() {
        let said: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
        assert_eq!(said, serde_json::json!({ "signals": 1, "checks": 2, "warnings": ["look"] }));
    }
    let (_dir, socket) = agent(reaches(Goal::Healthy, vec![pending()]));
    let ended = program(&["--socket", &socket, "wait", "--for", "healthy", "--json"]).await;
    let said: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!((ended.code, said), (0, serde_json::json!({ "reached": true })));
}

fn pushes(pushed: mpsc::Sender<Command>) -> impl FnMut(Request) + Send {
    move |request| {
        if let Request::Command(command, reply) = request {
            let answer = match &command {
                Command::Push { check, .. } if check == "homepage" => {
                    Err(Denied { message: "check homepage is of type http".to_owned(), hint: "only ttl is fed".to_owned() })
                }
                _ => Ok(Done { text: "done so".to_owned(), signal: None }),
            };
            let _ = reply.send(answer);
            let _ = pushed.try_send(command);
        }
    }
}

#[tokio::test]
async fn push_knows_the_short_words_too() {
    let (sender, mut pushed) = mpsc::channel(16);
    let (_dir, socket) = agent(pushes(sender));
    let words = [
        ("passing", Health::Passing),
        ("ok", Health::Passing),
        ("warn", Health::Warning),
        ("critical", Health::Critical),
        ("crit", Health::Critical),
    ];
    for (word, health) in words {
        let ended = program(&["--socket", &socket, "push", "batch", word, "so much"]).await;
        assert_eq!((ended.code, ended.out.as_str()), (0, "done so\n"), "{}", ended.err);
        let wanted = Command::Push { check: "batch".to_owned(), health, text: "so much".to_owned() };
        assert_eq!(pushed.recv().await.unwrap(), wanted);
    }
}

#[tokio::test]
async fn what_the_agent_refuses_is_shown_with_its_hint() {
    let (sender, _pushed) = mpsc::channel(16);
    let (_dir, socket) = agent(pushes(sender));
    let ended = program(&["--socket", &socket, "push", "homepage", "ok"]).await;
    assert_eq!((ended.code, ended.err.as_str()), (1, "error: check homepage is of type http\nhint: only ttl is fed\n"));
}

/// Root's commands, or what anybody else is told.
fn roots(ended: &Ended, code: i32, said: &str) {
    if is_root() {
        assert_eq!(ended.code, code, "{ended:?}");
        assert!(ended.out.contains(said) || ended.err.contains(said), "{ended:?}");
    } else {
        assert_eq!(ended.code, 1);
        assert!(ended.err.starts_with("error: only root may do this\nhint: "), "{ended:?}");
    }
}

#[tokio::test]
async fn hold_resume_and_cancel_say_what_was_done() {
    let (sender, mut seen) = mpsc::channel(16);
    let (_dir, socket) = agent(pushes(sender));
    for (arguments, command) in [
        (&["hold"][..], Command::Hold),
        (&["resume"], Command::Resume),
        (&["signal", "cancel", "web"], Command::Cancel { signal: "web".to_owned() }),
    ] {
        roots(&program(&[&["--socket", &socket][..], arguments].concat()).await, 0, "done so\n");
        if is_root() {
            assert_eq!(seen.recv().await.unwrap(), command);
        }
    }
}

#[tokio::test]
async fn a_reload_that_took_says_what_runs_now() {
    let (_dir, socket) = agent(|request| {
        if let Request::Reload(reply) = request {
            let _ = reply.send(Ok(Reloaded { signals: 1, checks: 2, warnings: vec!["config.toml: warning: look".to_owned()] }));
        }
    });
    let ended = program(&["--socket", &socket, "reload"]).await;
    roots(&ended, 0, "reloaded: 1 signal, 2 checks\n");
    assert_eq!(ended.err.contains("warning: look"), is_root());
}

#[tokio::test]
async fn a_reload_that_did_not_take_tells_all_errors_and_exits_with_1() {
    let (_dir, socket) = agent(|request| {
        if let Request::Reload(reply) = request {
            let _ = reply.send(Err("a.toml:1:1: error: this\na.toml:2:1: error: that".to_owned()));
        }
    });
    let ended = program(&["--socket", &socket, "reload"]).await;
    roots(&ended, 1, "a.toml:1:1: error: this\na.toml:2:1: error: that\nhint: the old configuration goes on running\n");
}

/// An agent that reaches `goal` at once and never the other.
fn reaches(goal: Goal, signals: Vec<SignalStatusView>) -> impl FnMut(Request) + Send {
    let mut kept = Vec::new();
    move |request| match request {
        Request::Status(reply) => {
            let _ = reply.send(Box::new(status(signals.clone())));
        }
        Request::Wait { goal: wanted, reply, .. } if wanted == goal => {
            let _ = reply.send(());
        }
        Request::Wait { reply, .. } => kept.push(reply),
        _ => {}
    }
}

#[tokio::test]
async fn wait_ends_when_it_is_so_or_with_124_when_the_time_is_up() {
    let (_dir, socket) = agent(reaches(Goal::Healthy, vec![pending()]));
    let ended = program(&["--socket", &socket, "wait", "--for", "healthy"]).await;
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert!(ended.out.starts_with("web: 1/2 checks passing"), "{}", ended.out);
    let ended = program(&["--socket", &socket, "wait", "--for", "signaled", "--timeout", "50ms"]).await;
    assert_eq!(ended.code, 124);
    let told = "error: not signaled after 50ms: web: 1/2 checks passing, waiting for nginx";
    assert!(ended.err.starts_with(told), "{}", ended.err);
}

#[tokio::test]
async fn waiting_for_a_signal_that_is_not_there_is_an_error_not_a_long_wait() {
    let (_dir, socket) = agent(reaches(Goal::Signaled, vec![pending()]));
    let ended = program(&["--socket", &socket, "wait", "--for", "signaled", "--signal", "wbe"]).await;
    assert_eq!((ended.code, ended.err.as_str()), (1, "error: no signal is called \"wbe\"\nhint: there is web\n"));
}

#[tokio::test]
async fn wait_outlives_a_restart_of_the_agent() {
    let mut asked = 0;
    let (_dir, socket) = agent(move |request| match request {
        Request::Status(reply) => {
            let _ = reply.send(Box::new(status(vec![pending()])));
        }
        Request::Wait { reply, .. } => {
            asked += 1;
            // The first one is dropped, as by an agent that stops.
            if asked > 1 {
                let _ = reply.send(());
            }
        }
        _ => {}
    });
    let ended = program(&["--socket", &socket, "wait", "--for", "signaled", "--signal", "web"]).await;
    assert_eq!(ended.code, 0, "{}", ended.err);
}

fn says(state: SignalStatusView, reached: bool) -> impl FnMut(Request) + Send {
    let mut kept = Vec::new();
    move |request| match request {
        Request::Command(Command::Signal { .. }, reply) => {
            let _ = reply.send(Ok(Done { text: "is being sent".to_owned(), signal: Some(Arc::from(state.name.as_str())) }));
        }
        Request::Status(reply) => {
            let _ = reply.send(Box::new(status(vec![state.clone()])));
        }
        Request::Wait { reply, .. } if reached => {
            let _ = reply.send(());
        }
        Request::Wait { reply, .. } => kept.push(reply),
        _ => {}
    }
}

const SIGNAL: [&str; 5] = ["signal", "--resource", "webReady", "--exit-code", "0"];

#[tokio::test]
async fn a_signal_through_the_agent_shows_its_receipt() {
    let (_dir, socket) = agent(says(acknowledged(), true));
    let ended = program(&[&["--socket", &socket][..], &SIGNAL].concat()).await;
    roots(&ended, 0, "SUCCESS for webReady acknowledged\nRequestId: B288A0BE-D927-4888-B0F7-B35EF84B6E6F\n");
}

#[tokio::test]
async fn a_signal_that_the_agent_has_not_delivered_in_time_exits_with_75() {
    let (_dir, socket) = agent(says(troubled(), false));
    let ended = program(&[&["--socket", &socket][..], &SIGNAL, &["--timeout", "50ms"]].concat()).await;
    roots(
        &ended,
        75,
        "error: SUCCESS for webReady was not acknowledged within 50ms: Forbidden.RAM (HTTP 403): not authorized\nhint: grant ros:SignalResource\n",
    );
}

#[tokio::test]
async fn an_agent_that_does_not_know_its_instance_yet_is_asked_again() {
    let mut refused = 0;
    let mut later = says(acknowledged(), true);
    let (_dir, socket) = agent(move |request| match request {
        Request::Command(Command::Signal { .. }, reply) if refused < 2 => {
            refused += 1;
            let _ = reply.send(Err(Denied { message: "the instance id is not known yet".to_owned(), hint: "try again".to_owned() }));
        }
        Request::Status(reply) if refused == 1 => {
            let _ = reply.send(Box::new(Status { instance_id: None, ..status(vec![pending()]) }));
        }
        request => later(request),
    });
    let ended = program(&[&["--socket", &socket][..], &SIGNAL].concat()).await;
    roots(&ended, 0, "SUCCESS for webReady acknowledged\n");
}

#[tokio::test]
async fn a_round_that_has_its_verdict_refuses_another_at_once() {
    let (_dir, socket) = agent(|request| match request {
        Request::Command(Command::Signal { .. }, reply) => {
            let _ = reply.send(Err(Denied { message: "signal web has said FAILURE".to_owned(), hint: "one verdict".to_owned() }));
        }
        Request::Status(reply) => {
            let _ = reply.send(Box::new(status(vec![troubled()])));
        }
        _ => {}
    });
    let ended = program(&[&["--socket", &socket][..], &SIGNAL].concat()).await;
    roots(&ended, 1, "error: signal web has said FAILURE\nhint: one verdict\n");
}

#[tokio::test]
async fn a_signal_that_was_cancelled_is_a_failure() {
    let (_dir, socket) = agent(says(signal("web", "cancelled", "SUCCESS cancelled"), true));
    let ended = program(&[&["--socket", &socket][..], &SIGNAL].concat()).await;
    roots(&ended, 1, "error: the signal was not sent: SUCCESS cancelled\n");
}

#[tokio::test]
async fn an_answer_that_is_not_an_agents_is_told_as_such() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("control.sock");
    let listener = tokio::net::UnixListener::bind(&socket).unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 4096]).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello").await;
    });
    let ended = program(&["--socket", socket.to_str().unwrap(), "status"]).await;
    assert_eq!(ended.code, 1);
    assert!(
        ended.err.starts_with(&format!("error: the agent at {} did not answer as expected: ", Path::new(&socket).display())),
        "{}",
        ended.err
    );
}
