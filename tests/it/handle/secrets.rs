//! Nobody gets to see the URL: not in arguments and environments of children, logs, status, ledger, control socket or files; and kill -9
//! in between still leaves one effective signal.

use super::agent::host_with;
use super::{attribute, ids, of_this_host, posts, signature};
use crate::host::{Host, STACK};
use crate::private;
use ros_sandbox::{Effect, Fault, When};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};

/// The built agent, at trace level, with its log in a file.
fn run(host: &Host) -> Child {
    let log = std::fs::OpenOptions::new().create(true).append(true).open(host.path("log")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_ros-signal-agent"));
    command.env_clear().env("PATH", "/usr/bin:/bin").args(["-vv", "--config", host.config().to_str().unwrap(), "run"]);
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).kill_on_drop(true).spawn().unwrap()
}

/// Until it serves its control socket; that of one that was killed refuses.
async fn listens(host: &Host) {
    let bound = async {
        while tokio::net::UnixStream::connect(host.socket()).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), bound).await.expect("the agent serves its socket");
}

/// All files below `directory` but the handle's own.
fn files(directory: &Path, text: &mut String) {
    for entry in std::fs::read_dir(directory).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files(&path, text);
        } else if path.is_file() && path.file_name().is_some_and(|name| name != "handle") {
            text.push_str(&format!("\n{}:\n{}", path.display(), String::from_utf8_lossy(&std::fs::read(&path).unwrap())));
        }
    }
}

#[tokio::test(flavor = "current_thread")]
async fn scenario_18_the_url_is_seen_nowhere_while_everything_goes_wrong() {
    let (host, _listener) = host_with(|host| attribute(host, "CurlCli")).await;
    let child = host.path("child.sh");
    private::write(
        &child,
        &format!("#!/bin/sh\nenv > {0}/child.env\ntr '\\0' ' ' < /proc/$PPID/cmdline > {0}/parent.argv\n", host.dir.path().display()),
    );
    let text = std::fs::read_to_string(host.config()).unwrap();
    private::write(&host.config(), &format!("{text}[check.child]\ntype = \"exec\"\ncommand = [\"/bin/sh\", \"{}\"]\n", child.display()));
    let echo = format!("{{\"Code\": \"Odd\", \"Message\": \"cannot take {}\"}}", attribute(&host, "URL"));
    let said = |status| Effect::Http {
        when: When::Before,
        status,
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: echo.clone(),
        piece: None,
        pause_ms: 0,
        cut_after: None,
        endless: false,
    };
    for effect in [Effect::reset(When::Before), said(500), said(200), said(400)] {
        host.sandbox.add_fault(Fault::new(effect).handle().times(1)).unwrap();
    }
    let mut agent = run(&host);
    listens(&host).await;
    let mut shown = String::new();
    let told = async {
        while !shown.contains("not shown, because it repeats the URL") {
            shown = host.ask("GET", "/status", "").await.1;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), told).await.expect("the status says what the service said");
    for path in ["/history", "/metrics"] {
        shown.push_str(&host.ask("GET", path, "").await.1);
    }
    shown.push_str(&String::from_utf8_lossy(&std::fs::read(format!("/proc/{}/cmdline", agent.id().unwrap())).unwrap()));
    agent.kill().await.unwrap();
    files(host.dir.path(), &mut shown);
    for seen in ["child.env", "parent.argv", "ledger.json", "TRACE"] {
        assert!(shown.contains(seen), "{seen} was looked at");
    }
    let secret = signature(&host);
    let of_file = std::fs::read_to_string(host.path("handle")).unwrap();
    let own = of_file.split_once("signature=").unwrap().1.trim();
    for secret in [secret.as_str(), own, "/waitcondition", "signature="] {
        let at = shown.find(secret).map(|at| shown.get(at.saturating_sub(300)..at).unwrap_or_default().to_owned());
        assert!(at.is_none(), "{secret} after {at:?}");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn scenario_7_kill_9_between_attempt_and_receipt_leaves_one_effective_signal() {
    for when in [When::Before, When::After] {
        let (host, _listener) = host_with(|host| attribute(host, "CurlCli")).await;
        host.sandbox.add_fault(Fault::new(Effect::stall(when, None)).handle().times(1)).unwrap();
        let mut agent = run(&host);
        let arrived = async {
            while posts(&host) == 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), arrived).await.expect("an attempt");
        agent.kill().await.unwrap();
        host.sandbox.clear_faults();
        let mut again = run(&host);
        host.stack_becomes("CREATE_COMPLETE").await;
        listens(&host).await;
        let (_, body) = host.ask("GET", "/wait?for=signaled&timeout=30s", "").await;
        assert_eq!(body, "{\"reached\":true}");
        again.kill().await.unwrap();
        let stack = host.sandbox.stack(STACK).unwrap();
        assert_eq!((stack.effective_signals, ids(&host)), (1, vec![of_this_host("web")]), "{when:?}");
    }
}
