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
async fn a_composite_is_judged_by_what_its_members_just_said() {
    let (_listener, open, closed) = ports().await;
    let group = |name: &str, rule: &str| format!("[check.{name}]\ntype = \"composite\"\n{rule}\n");
    let text = [
        group("both", "all_of = [\"any\", \"down\"]"),
        group("any", "any_of = [\"down\", \"up\"]"),
        tcp("down", closed, "level = \"wanted\""),
        tcp("up", open, ""),
    ]
    .concat();
    let (code, report, _) = check(&text, &["any"]).await;
    let said = |report: &Value, name: &str| {
        let found = report["checks"].as_array().unwrap().iter().find(|check| check["name"] == name).unwrap();
        (found["health"].as_str().unwrap().to_owned(), found["message"].as_str().unwrap().to_owned())
    };
    assert_eq!(said(&report, "any"), ("passing".into(), "1 passing, 1 of 2 needed".into()));
    assert_eq!(code, 0, "what it is made of does not count by itself");
    let (code, report, _) = check(&text, &["both"]).await;
    assert_eq!(said(&report, "both"), ("critical".into(), "1 satisfied, 2 of 2 needed; not satisfied: down".into()));
    assert_eq!(code, 2);
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

#[tokio::test]
async fn an_interrupt_leaves_no_child_behind() {
    let dir = tempfile::tempdir().unwrap();
    let pid_file = dir.path().join("pid");
    let script = format!("echo $$ > {0}.new; mv {0}.new {0}; exec sleep 600", pid_file.display());
    let (_dir, config) = configured(&exec("slow", &script, "timeout = \"10m\"\nenvironment = { PATH = \"/usr/bin:/bin\" }"));
    let command = tokio::process::Command::new(env!("CARGO_BIN_EXE_ros-signal-agent"))
        .args(["--config", &config, "check"])
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let begun = async {
        while !pid_file.exists() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), begun).await.expect("the child begins");
    let child: i32 = std::fs::read_to_string(&pid_file).unwrap().trim().parse().unwrap();
    let program = rustix::process::Pid::from_raw(command.id().unwrap().try_into().unwrap()).unwrap();
    rustix::process::kill_process(program, rustix::process::Signal::INT).unwrap();
    let ended = tokio::time::timeout(std::time::Duration::from_secs(30), command.wait_with_output()).await.expect("it ends").unwrap();
    assert_eq!((ended.status.code(), String::from_utf8(ended.stderr).unwrap().as_str()), (Some(3), "error: interrupted\n"));
    let child = rustix::process::Pid::from_raw(child).unwrap();
    assert_eq!(rustix::process::test_kill_process(child), Err(rustix::io::Errno::SRCH), "it was killed and reaped");
}
