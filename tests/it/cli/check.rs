//! `check`: one look, here, without the agent.

use super::{configured, program};
use serde_json::Value;

/// A port of loopback on which something listens, and one on which nothing does.
async fn ports() -> (tokio::net::TcpListener, u16, u16) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (open, closed) = (listener.local_addr().unwrap().port(), gone.local_addr().unwrap().port());
    (listener, open, closed)
}

fn tcp(name: &str, port: u16, more: &str) -> String {
    format!("[check.{name}]\ntype = \"tcp\"\naddress = \"127.0.0.1:{port}\"\n{more}\n")
}

fn exec(name: &str, script: &str, more: &str) -> String {
    format!("[check.{name}]\ntype = \"exec\"\ncommand = [\"/bin/sh\", \"-c\", '''{script}''']\nexit_codes = \"nagios\"\n{more}\n")
}

async fn check(text: &str, names: &[&str]) -> (i32, Value, String) {
    let (_dir, config) = configured(text);
    let ended = program(&[&["--config", &config, "check", "--json"][..], names].concat()).await;
    (ended.code, serde_json::from_str(&ended.out).unwrap_or_default(), ended.err)
}

#[tokio::test]
async fn the_exit_code_is_that_of_the_worst_check() {
    let cases = [("exit 0", 0, "passing"), ("exit 1", 1, "warning"), ("exit 2", 2, "critical"), ("exit 3", 3, "unknown")];
    for (script, code, result) in cases {
        let (ended, report, err) = check(&format!("{}{}", exec("a", script, ""), exec("b", "exit 0", "")), &[]).await;
        assert_eq!((ended, report["result"].as_str()), (code, Some(result)), "{script}: {err}");
    }
}

#[tokio::test]
async fn certain_trouble_is_worse_than_uncertain() {
    let (code, ..) = check(&format!("{}{}", exec("a", "exit 2", ""), exec("b", "exit 3", "")), &[]).await;
    assert_eq!(code, 2);
}

#[tokio::test]
async fn a_wanted_check_makes_a_warning_at_most() {
    let (code, report, _) = check(&exec("a", "exit 2", "level = \"wanted\""), &[]).await;
    assert_eq!((code, report["checks"][0]["health"].as_str()), (1, Some("critical")));
}

#[tokio::test]
async fn what_depends_on_a_failing_check_is_not_run_and_says_so() {
    let (_listener, open, closed) = ports().await;
    let text = [
        tcp("database", closed, ""),
        tcp("app", open, "depends_on = [\"database\"]"),
        tcp("page", open, "depends_on = [\"app\"]"),
        tcp("other", open, ""),
    ]
    .concat();
    // The port was free a moment ago, and nobody else is told of it.
    let (code, report, _) = check(&text, &[]).await;
    let health = |name: &str| {
        let found = report["checks"].as_array().unwrap().iter().find(|check| check["name"] == name).unwrap();
        (found["health"].as_str().unwrap(), found["message"].as_str().unwrap())
    };
    assert_eq!(code, 2);
    assert_eq!(health("database").0, "critical");
    assert_eq!(health("app"), ("unknown", "not run: it depends on database, which is critical"));
    assert_eq!(health("page"), ("unknown", "not run: it depends on app, which is unknown"));
    assert_eq!(health("other").0, "passing");
}

#[tokio::test]
async fn named_checks_are_run_with_what_they_depend_on() {
    let (_listener, open, closed) = ports().await;
    let text = [tcp("database", open, ""), tcp("app", open, "depends_on = [\"database\"]"), tcp("other", closed, "")].concat();
    let (code, report, _) = check(&text, &["app"]).await;
    let names: Vec<_> = report["checks"].as_array().unwrap().iter().map(|check| check["name"].as_str().unwrap()).collect();
    assert_eq!((code, names), (0, vec!["app", "database"]));
}

#[tokio::test]
async fn an_unknown_name_is_an_error_with_a_suggestion() {
    let (code, _, err) = check(&exec("homepage", "exit 0", ""), &["hompage"]).await;
    assert_eq!((code, err.as_str()), (3, "error: no check is called \"hompage\"\nhint: did you mean \"homepage\"?\n"));
}

#[tokio::test]
async fn no_check_at_all_is_unknown() {
    let (code, _, err) = check("", &[]).await;
    assert_eq!((code, err.as_str()), (3, "error: there are no checks\nhint: write a [check.NAME] into the configuration\n"));
}

#[tokio::test]
async fn many_children_are_run_no_more_at_once_than_max_exec_allows() {
    let dir = tempfile::tempdir().unwrap();
    // Each child is the only one if it can make the directory, and takes it away at its end.
    let lock = dir.path().join("lock");
    let script = format!("mkdir {0} || exit 2; sleep 0.05; rmdir {0}", lock.display());
    let checks: String = (0..6).map(|number| exec(&format!("c{number}"), &script, "environment = { PATH = \"/usr/bin:/bin\" }")).collect();
    let (code, report, err) = check(&format!("[agent]\nmax_exec = 1\n{checks}"), &[]).await;
    assert_eq!(code, 0, "{report:#} {err}");
}

#[tokio::test]
async fn a_check_that_is_fed_by_push_is_unknown_without_an_agent() {
    let text = "[agent]\nsocket = \"/nowhere/control.sock\"\n[check.batch]\ntype = \"ttl\"\nttl = \"1m\"\n";
    let (code, report, _) = check(text, &[]).await;
    let message = report["checks"][0]["message"].as_str().unwrap();
    assert_eq!(code, 3);
    assert!(message.starts_with("fed by push, which only a running agent keeps: no agent answers at /nowhere/control.sock"), "{message}");
}

#[tokio::test]
async fn the_table_tells_what_a_failing_check_said() {
    let text = format!("{}{}", exec("disk", "echo 'DISK CRITICAL - 3% free'; echo more; exit 2", ""), exec("fine", "exit 0", ""));
    let (dir, config) = configured(&text);
    let ended = program(&["--config", &config, "check"]).await;
    // How long it took, and the width of that column, are not the same twice.
    let took = regex_lite::Regex::new(r"(TOOK|\d+m?s) +").unwrap();
    insta::assert_snapshot!(took.replace_all(&ended.golden(dir.path()), "TOOK "));
}
