//! What is left of queues that agents made for themselves: `reset`, and `events gc`.

use super::queue_own::{own, queue, server};
use super::queue_server::{Queue, Server};
use crate::host::{Host, KEY, SECRET};
use ros_signal_agent::clock::Moment;
use serde_json::Value;

const DAY_MS: i64 = 86_400_000;

/// The program on this host: exit code, standard output, standard error.
pub(super) async fn program(host: &Host, arguments: &[&str]) -> (i32, String, String) {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_ros-signal-agent"));
    command.arg("--config").arg(host.config()).args(arguments).env_clear();
    command.env("ALIBABA_CLOUD_ACCESS_KEY_ID", KEY).env("ALIBABA_CLOUD_ACCESS_KEY_SECRET", SECRET).kill_on_drop(true);
    let ended = tokio::time::timeout(std::time::Duration::from_secs(60), command.output()).await.expect("it ends").unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (ended.status.code().unwrap(), text(ended.stdout), text(ended.stderr))
}

fn days_ago(days: i64) -> i64 {
    Moment::now().wall_ms - days * DAY_MS
}

/// The queue of another instance that showed life so many days ago.
fn leave(server: &Server, instance: &str, days: i64) {
    let name = format!("ros-signal-agent-{instance}");
    let queue = Queue { created_ms: days_ago(100), modified_ms: days_ago(days), ..Queue::default() };
    server.with(|inner| {
        inner.subscriptions.insert(("ros-events".to_owned(), name.clone()), "endpoint".to_owned());
        inner.queues.insert(name, queue);
    });
}

fn queues(server: &Server) -> Vec<String> {
    server.with(|inner| inner.queues.keys().cloned().collect())
}

async fn with_leftovers() -> (Server, Host) {
    let server = server().await;
    for (instance, days) in [("i-dead", 30), ("i-asleep", 6), ("i-alive", 0)] {
        leave(&server, instance, days);
    }
    // This instance's own, however old, and what does not belong to agents.
    leave(&server, crate::host::INSTANCE, 30);
    server.with(|inner| inner.queues.insert("orders".to_owned(), Queue::default()));
    let host = Host::new(&own(&server)).await;
    (server, host)
}

#[tokio::test(flavor = "current_thread")]
async fn gc_removes_the_queue_and_the_subscription_of_an_instance_that_shows_no_life_and_nothing_else() {
    let (server, host) = with_leftovers().await;
    let (code, out, err) = program(&host, &["events", "gc", "--dry-run", "--json"]).await;
    assert_eq!(code, 0, "{err}");
    let found: Value = serde_json::from_str(&out).unwrap();
    let states: Vec<_> = found["queues"]
        .as_array()
        .unwrap()
        .iter()
        .map(|queue| [&queue["instance_id"], &queue["state"]].map(|text| text.as_str().unwrap().to_owned()))
        .collect();
    let expected = [["i-alive", "alive"], ["i-asleep", "alive"], [crate::host::INSTANCE, "alive"], ["i-dead", "left over"]];
    assert_eq!(states.len(), 4);
    assert!(expected.iter().all(|expected| states.iter().any(|state| state == expected)), "{states:?}");
    assert_eq!(queues(&server).len(), 5, "a dry run removes nothing");

    let (code, out, err) = program(&host, &["events", "gc"]).await;
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("i-dead") && out.ends_with("1 queue removed\n"), "{out}");
    assert!(!queues(&server).contains(&"ros-signal-agent-i-dead".to_owned()));
    assert_eq!(queues(&server).len(), 4);
    assert_eq!(server.with(|inner| inner.subscriptions.len()), 3);

    let (_, out, _) = program(&host, &["events", "gc", "--older-than", "5d"]).await;
    assert!(out.contains("i-asleep") && out.ends_with("1 queue removed\n"), "{out}");
}

#[tokio::test(flavor = "current_thread")]
async fn gc_never_goes_below_two_days_and_says_what_it_may_not_do() {
    let (server, host) = with_leftovers().await;
    let (code, _, err) = program(&host, &["events", "gc", "--older-than", "1h"]).await;
    assert_eq!((code, err.contains("at least 2 days")), (64, true), "{err}");
    server.fault("DeleteQueue", 403, "AccessDenied", 9);
    let (code, out, _) = program(&host, &["events", "gc"]).await;
    assert_eq!((code, out.contains("grant mns:DeleteQueue on")), (1, true), "{out}");
    server.fault("ListQueue", 403, "AccessDenied", 9);
    let (code, _, err) = program(&host, &["events", "gc"]).await;
    assert_eq!((code, err.contains("grant mns:ListQueue on")), (1, true), "{err}");
    assert_eq!(queues(&server).len(), 5);
    let host = Host::new("").await;
    let (code, _, err) = program(&host, &["events", "gc"]).await;
    assert_eq!((code, err.contains("no source of the configuration has a queue of its own")), (1, true), "{err}");
}

#[tokio::test(flavor = "current_thread")]
async fn reset_takes_this_instances_queue_away_and_only_warns_where_it_cannot() {
    let (server, host) = with_leftovers().await;
    let (code, out, err) = program(&host, &["reset", "--dry-run"]).await;
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.contains(&format!("would remove queue {}", queue())), "{out}");
    assert!(queues(&server).contains(&queue()));

    server.fault("DeleteQueue", 403, "AccessDenied", 1);
    let (code, _, err) = program(&host, &["reset"]).await;
    assert_eq!(code, 0, "an image can be made without network and rights");
    assert!(err.contains("may still be there") && err.contains("hint: remove queue ros-signal-agent-INSTANCE"), "{err}");

    let (code, out, err) = program(&host, &["reset", "--json"]).await;
    assert_eq!((code, err.as_str()), (0, ""));
    let removed: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&removed["queues"][0]["queue"], &removed["queues"][0]["was_there"]), (&Value::from(queue()), &Value::from(true)));
    assert!(!queues(&server).contains(&queue()));
    assert_eq!(queues(&server).len(), 4, "those of others stay");
    let (_, out, _) = program(&host, &["reset"]).await;
    assert!(out.contains("which was not there"), "{out}");
}
