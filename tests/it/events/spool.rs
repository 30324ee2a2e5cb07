//! A directory of events beside the daemon in process.

use crate::host::Host;
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

const EVENT: &str = include_str!("../../fixtures/events/samples/ros.StackStateChange.UpdateComplete.json");

/// A host with a spool and nothing to signal for now.
async fn host() -> (Host, PathBuf) {
    let host = Host::new("").await;
    let spool = host.path("spool");
    std::fs::create_dir(&spool).unwrap();
    std::fs::set_permissions(&spool, std::fs::Permissions::from_mode(0o755)).unwrap();
    host.configure(&format!(
        "[signal.web]\nresource = \"WebReady\"\n[check.app]\ntype = \"ttl\"\nttl = \"1m\"\n\
         [source.drop]\ntype = \"spool\"\ndirectory = \"{}\"\n",
        spool.display()
    ));
    (host, spool)
}

/// The first source, once it is as wanted.
async fn source(host: &Host, wanted: impl Fn(&Value) -> bool) -> Value {
    let wait = async {
        loop {
            if let Some((200, body)) = host.ask_if_there("GET", "/status").await {
                let status: Value = serde_json::from_str(&body).unwrap();
                if wanted(&status["sources"][0]) {
                    return status["sources"][0].clone();
                }
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), wait).await.expect("the source does not become as wanted")
}

#[tokio::test(flavor = "current_thread")]
async fn a_script_drops_an_event_and_the_running_agent_takes_it() {
    let (host, spool) = host().await;
    let agent = host.start();
    let view = source(&host, |source| source["healthy"] == true).await;
    assert_eq!(view["detail"], format!("reads {}", spool.display()));
    // As docs/spool.md tells scripts to.
    let script = r#"set -e
file=$(mktemp "$1/.event.XXXXXX")
cat >"$file"
chmod 0644 "$file"
mv "$file" "$1/event-1.json""#;
    let mut child =
        tokio::process::Command::new("sh").args(["-c", script, "sh"]).arg(&spool).stdin(std::process::Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut input, EVENT.as_bytes()).await.unwrap();
    drop(input);
    assert!(child.wait().await.unwrap().success());
    let view = source(&host, |source| source["received"] == 1).await;
    assert!(view["last_at"].is_string(), "{view}");
    source(&host, |_| std::fs::read_dir(&spool).unwrap().count() == 0).await;
    agent.stop().await.unwrap();
}

#[tokio::test(flavor = "current_thread")]
async fn what_waits_when_the_agent_starts_is_taken_and_what_is_no_event_is_set_aside() {
    let (host, spool) = host().await;
    std::fs::write(spool.join("event.json"), EVENT).unwrap();
    std::fs::write(spool.join("alien.json"), EVENT.replace("\"acs.ros\"", "\"acs.oss\"")).unwrap();
    let agent = host.start();
    source(&host, |source| source["received"] == 1 && source["refused"]["not a ROS event"] == 1).await;
    source(&host, |_| !spool.join("event.json").exists() && spool.join("refused/alien.json").exists()).await;
    agent.stop().await.unwrap();
}
