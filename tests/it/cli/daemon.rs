//! The commands and the daemon together: the built program on both sides of the socket.

use super::{is_root, program};
use crate::host::{Host, KEY, SECRET, STACK};
use serde_json::Value;
use std::process::Stdio;
use tokio::process::{Child, Command};

pub(super) fn run(host: &Host) -> Child {
    Command::new(env!("CARGO_BIN_EXE_ros-signal-agent"))
        .args(["--config", host.config().to_str().unwrap(), "--log-format", "text", "run"])
        .env_clear()
        .env("ALIBABA_CLOUD_ACCESS_KEY_ID", KEY)
        .env("ALIBABA_CLOUD_ACCESS_KEY_SECRET", SECRET)
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// Waits until the agent listens.
pub(super) async fn listens(host: &Host) {
    let wait = async {
        while tokio::net::UnixStream::connect(host.socket()).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), wait).await.expect("the agent listens");
}

pub(super) async fn terminate(mut agent: Child) -> (Option<i32>, String) {
    use tokio::io::AsyncReadExt as _;
    let pid = rustix::process::Pid::from_raw(agent.id().unwrap().try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let mut log = String::new();
    agent.stderr.take().unwrap().read_to_string(&mut log).await.unwrap();
    (agent.wait().await.unwrap().code(), log)
}

#[tokio::test]
async fn an_agent_is_started_watched_fed_reloaded_and_stopped() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let text = format!(
        "[signal.web]\nresource = \"WebReady\"\nmin_healthy_time = \"100ms\"\n\
         [check.port]\ntype = \"tcp\"\naddress = \"127.0.0.1:{port}\"\nstart_interval = \"100ms\"\n\
         [check.batch]\ntype = \"ttl\"\nttl = \"10m\"\n"
    );
    let host = Host::new(&text).await;
    let config = host.config().to_str().unwrap().to_owned();
    let ask = async |arguments: &[&str]| program(&[&["--config", &config][..], arguments].concat()).await;
    let agent = run(&host);
    listens(&host).await;

    let early = ask(&["wait", "--for", "signaled", "--timeout", "10ms"]).await;
    assert_eq!(early.code, 124, "batch was not fed: {early:?}");
    assert_eq!(ask(&["push", "batch", "ok", "all done"]).await.out, "check batch: passing\n");
    let waited = ask(&["wait", "--for", "signaled", "--timeout", "30s"]).await;
    assert_eq!((waited.code, waited.out.as_str()), (0, "web: SUCCESS acknowledged\n"), "{}", waited.err);
    assert_eq!(host.sandbox.stack(STACK).unwrap().status.to_string(), "CREATE_COMPLETE");

    let status: Value = serde_json::from_str(&ask(&["status", "--json"]).await.out).unwrap();
    assert_eq!(status["signals"][0]["state"], "acknowledged");
    assert!(ask(&["status", "--watch"]).await.out.contains("acknowledged"), "it ends, because all is settled");
    assert!(ask(&["history"]).await.out.contains("web"));
    let checked: Value = serde_json::from_str(&ask(&["check", "--json"]).await.out).unwrap();
    assert_eq!(checked["result"], "passing", "the agent is asked for what was pushed: {checked:#}");

    if is_root() {
        let reloaded = ask(&["reload"]).await;
        assert_eq!((reloaded.code, reloaded.out.as_str()), (0, "reloaded: 1 signal, 2 checks\n"), "{}", reloaded.err);
        host.configure("[signal.web]\nresorce = \"WebReady\"\n");
        let kept = ask(&["--socket", host.socket().to_str().unwrap(), "reload"]).await;
        assert_eq!(kept.code, 1);
        assert!(kept.err.contains("did you mean `resource`?"), "{}", kept.err);
        host.configure(&text);
        let again = ask(&["signal", "--resource", "WebReady", "--status", "success"]).await;
        assert!(again.out.starts_with("SUCCESS for WebReady acknowledged\n"), "what was said is not said twice: {again:?}");
        let other = ask(&["signal", "--resource", "WebReady", "--status", "failure"]).await;
        assert!(other.err.contains("has said SUCCESS in this round"), "{other:?}");
        assert_eq!(host.sandbox.stack(STACK).unwrap().effective_signals, 1);
    }
    let (code, log) = terminate(agent).await;
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("acknowledged") && !log.contains(SECRET), "{log}");
}

#[tokio::test]
async fn a_second_agent_exits_with_1_and_names_the_first() {
    let host = Host::new("").await;
    let first = run(&host);
    listens(&host).await;
    let second = run(&host).wait_with_output().await.unwrap();
    let said = String::from_utf8(second.stderr).unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(said.contains("error: ") && said.contains(&first.id().unwrap().to_string()), "{said}");
    assert_eq!(terminate(first).await.0, Some(0));
}
