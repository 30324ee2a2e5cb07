//! The failure report and `reset`, through the built program.

use crate::host::{Host, INSTANCE, KEY, SECRET, STACK};
use crate::secrets::secrets;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};

const PATIENCE: Duration = Duration::from_secs(30);

/// A stand-in for journalctl, first in the agent's PATH.
fn journalctl(host: &Host, script: &str) -> String {
    let bin = host.path("bin");
    std::fs::create_dir_all(&bin).unwrap();
    std::fs::write(bin.join("journalctl"), format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(bin.join("journalctl"), std::fs::Permissions::from_mode(0o755)).unwrap();
    format!("{}:/usr/bin:/bin", bin.display())
}

fn start(host: &Host, path: &str, out: Stdio) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ros-signal-agent"));
    command.args(["--config", host.config().to_str().unwrap(), "run"]).env_clear().env("PATH", path);
    command.env("ALIBABA_CLOUD_ACCESS_KEY_ID", KEY).env("ALIBABA_CLOUD_ACCESS_KEY_SECRET", SECRET);
    command.stdin(Stdio::null()).stdout(out).stderr(Stdio::null()).kill_on_drop(true).spawn().unwrap()
}

async fn end(agent: &mut Child) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(agent.id().unwrap()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    tokio::time::timeout(PATIENCE, agent.wait()).await.expect("it ends").unwrap();
}

/// Exit code, standard output, standard error.
async fn program(host: &Host, arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ros-signal-agent"));
    command.args(["--config", host.config().to_str().unwrap()]).args(arguments).env_clear().stdin(Stdio::null()).kill_on_drop(true);
    let ended = tokio::time::timeout(PATIENCE, command.output()).await.expect("it ends").unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (ended.status.code().unwrap(), text(ended.stdout), text(ended.stderr))
}

fn failing(more: &str) -> String {
    let password = secrets()["reported_password"];
    format!(
        "[signal.web]\nresource = \"WebReady\"\n{more}[check.app]\ntype = \"exec\"\nfailure_threshold = 1\n\
         command = [\"/bin/sh\", \"-c\", \"echo no database: password={password}; echo second line; exit 78\"]\n"
    )
}

#[tokio::test(flavor = "current_thread")]
async fn scenario_30_the_report_tells_checks_units_and_journal_survives_the_agent_and_shows_no_secret() {
    let host = Host::new(&failing("[report]\nunits = [\"app.service\", \"db.service\"]\njournal_lines = 7\n")).await;
    let path = journalctl(&host, &format!("echo \"$@ TOKEN={}\"; env > {}", secrets()["journal_token"], host.path("env").display()));
    let out = std::fs::File::create(host.path("stdout")).unwrap();
    let mut agent = start(&host, &path, out.into());
    host.stack_becomes("CREATE_FAILED").await;
    let (code, asked, _) = program(&host, &["report", "--signal", "web", "--json"]).await;
    end(&mut agent).await;
    let asked: serde_json::Value = serde_json::from_str(&asked).unwrap();
    assert_eq!((code, &asked["source"], &asked["failure"], &asked["instance_id"]), (0, &"agent".into(), &true.into(), &INSTANCE.into()));
    let text = asked["text"].as_str().unwrap();
    let parts = [
        "FAILURE report of signal web (WebReady): check app will never pass: no database: password=[hidden]\n",
        " from the start of the round, by the Timeout in the template: has not run out: ",
        "app (exec, required): critical for ",
        "no database: password=[hidden]",
        "| second line",
        "verdict FAILURE: ",
        "units\n  app.service",
        "journal\n  app.service\n    | -u app.service -n 7 -o short-iso --no-pager TOKEN=[hidden]\n  db.service\n    | -u db.service",
    ];
    for part in parts {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
    let printed = std::fs::read_to_string(host.path("stdout")).unwrap();
    assert_eq!(printed, text, "it is on standard output as well");
    let environment = std::fs::read_to_string(host.path("env")).unwrap();
    assert!(!environment.contains("ALIBABA_CLOUD"), "{environment}");
    let (code, from_file, _) = program(&host, &["report", "--json"]).await;
    let from_file: serde_json::Value = serde_json::from_str(&from_file).unwrap();
    assert_eq!((code, &from_file["source"], &from_file["text"]), (0, &"file".into(), &asked["text"]));
    let (code, told, _) = program(&host, &["report"]).await;
    assert_eq!((code, told.as_str()), (0, text));
    let (code, _, error) = program(&host, &["report", "--signal", "other"]).await;
    assert!(code == 1 && error.contains("keeps no failure report of signal other of this instance"), "{error}");
}

#[tokio::test(flavor = "current_thread")]
async fn scenario_30_the_url_of_a_handle_carries_reason_and_report_and_journal_lines_only_if_asked_for() {
    for journal in [false, true] {
        let host = Host::new("").await;
        let document = host.sandbox.handle_attribute(STACK, "WebReady", "CurlCli").unwrap().reveal().to_owned();
        crate::private::write(&host.path("handle"), &document);
        let more = format!("transport = \"handle\"\nhandle_file = \"{}\"\n", host.path("handle").display());
        let report = format!("[report]\nunits = [\"app.service\"]\njournal_to_handle = {journal}\n");
        host.configure(&failing(&format!("{more}{report}")));
        let (password, token) = (secrets()["reported_password"], secrets()["journal_token"]);
        let path = journalctl(&host, &format!("echo \"a line of the journal TOKEN={token}\""));
        let mut agent = start(&host, &path, Stdio::null());
        host.stack_becomes("CREATE_FAILED").await;
        end(&mut agent).await;
        let signals = host.sandbox.stack(STACK).unwrap().resources["WebReady"].signals.clone();
        let [signal] = signals.as_slice() else { panic!("{signals:?}") };
        let (reason, data) = (signal.reason.as_str(), signal.data.as_str());
        assert_eq!(signal.status.as_str(), "FAILURE");
        assert!(reason.starts_with("check app will never pass: no database: password=[hidden]"), "{reason}");
        assert!(data.starts_with(&format!("FAILURE report of signal web (WebReady): {reason}\n")), "{data}");
        assert!(data.contains("| second line"), "{data}");
        assert!(data.contains("units\n  app.service"), "{data}");
        assert_eq!(data.contains("a line of the journal"), journal, "{data}");
        let signature = document.split_once("signature=").unwrap().1;
        for secret in [password, token, signature.get(..40).unwrap()] {
            assert!(!reason.contains(secret) && !data.contains(secret), "{reason} {data}");
        }
    }
}

#[tokio::test(flavor = "current_thread")]
async fn scenario_30_a_report_that_hangs_at_every_turn_does_not_hold_up_the_failure() {
    let host = Host::new(&failing("[report]\nunits = [\"app.service\"]\n")).await;
    let path = journalctl(&host, "trap '' TERM; while :; do sleep 1; done");
    // A console that nobody reads, full to the brim.
    let (reader, writer) = std::io::pipe().unwrap();
    rustix::io::ioctl_fionbio(&writer, true).unwrap();
    while rustix::io::write(&writer, &[b'x'; 4096]).is_ok() {}
    rustix::io::ioctl_fionbio(&writer, false).unwrap();
    // And no room for files: where the next one would be is a directory.
    std::fs::create_dir_all(host.path("state/report.tmp")).unwrap();
    let now = || ros_signal_agent::clock::Moment::now().boot_ms;
    let began = now();
    let mut agent = start(&host, &path, writer.into());
    host.stack_becomes("CREATE_FAILED").await;
    let took = now() - began;
    assert!(took < 20_000, "{took} ms");
    assert_eq!(host.sandbox.stack(STACK).unwrap().effective_signals, 1);
    agent.kill().await.unwrap();
    drop(reader);
}

#[tokio::test(flavor = "current_thread")]
async fn scenario_30_signals_that_fail_together_all_have_their_report() {
    let signals: String = (0..8).map(|number| format!("[signal.s{number}]\nresource = \"R{number}\"\n")).collect();
    let check = "[check.app]\ntype = \"exec\"\nfailure_threshold = 1\ncommand = [\"/bin/sh\", \"-c\", \"exit 78\"]\n";
    let host = Host::new(&format!("[report]\nunits = [\"app.service\"]\n{signals}{check}")).await;
    let path = journalctl(&host, "echo of the journal");
    let out = std::fs::File::create(host.path("stdout")).unwrap();
    let mut agent = start(&host, &path, out.into());
    let all = async {
        while !host.path("state/report-8.txt").exists() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, all).await.expect("all reports are kept");
    end(&mut agent).await;
    let kept = (1..=8).map(|number| std::fs::read_to_string(host.path(&format!("state/report-{number}.txt"))).unwrap());
    let mut seen = Vec::new();
    for report in kept {
        let signal = report.lines().nth(1).unwrap().strip_prefix("signal: ").unwrap().to_owned();
        assert!(report.contains(&format!("\nFAILURE report of signal {signal} (R")), "{report}");
        assert!(report.ends_with("  app.service\n    | of the journal\n"), "{report}");
        seen.push(signal);
    }
    seen.sort();
    assert_eq!(seen, (0..8).map(|number| format!("s{number}")).collect::<Vec<_>>());
    let shown = std::fs::read_to_string(host.path("stdout")).unwrap();
    assert_eq!(shown.matches("FAILURE report of signal ").count(), 8, "{shown}");
}

#[tokio::test(flavor = "current_thread")]
async fn scenario_30_an_absent_journal_is_said_in_the_report() {
    let host = Host::new(&failing("[report]\nunits = [\"app.service\"]\n")).await;
    let path = journalctl(&host, "echo 'No journal files were opened due to insufficient permissions.' >&2; exit 1");
    let mut agent = start(&host, &path, Stdio::null());
    host.stack_becomes("CREATE_FAILED").await;
    let (_, text, _) = program(&host, &["report"]).await;
    end(&mut agent).await;
    assert!(text.contains("| No journal files were opened due to insufficient permissions."), "{text}");
}

#[tokio::test(flavor = "current_thread")]
async fn before_a_failure_report_says_how_things_stand_now() {
    let text = "[signal.web]\nresource = \"WebReady\"\n[check.port]\ntype = \"tcp\"\naddress = \"127.0.0.1:1\"\n";
    let host = Host::new(text).await;
    let mut agent = host.start();
    agent.notes("check port: initial -> critical").await;
    let (code, text, error) = program(&host, &["report", "--signal", "web"]).await;
    assert_eq!(code, 0, "{error}");
    assert!(text.starts_with("report of signal web (WebReady), which has no verdict yet\n"), "{text}");
    assert!(text.contains("port (tcp, required): critical for"), "{text}");
    let (code, _, error) = program(&host, &["report", "--signal", "wob"]).await;
    assert_eq!((code, error.as_str()), (1, "error: no signal is called \"wob\"\nhint: ros-signal-agent status lists the signals\n"));
    agent.stop().await.unwrap();
}

#[tokio::test(flavor = "current_thread")]
async fn scenario_12_a_clone_does_not_show_the_reports_of_its_original() {
    let host = Host::new(&failing("")).await;
    let agent = host.start();
    host.stack_becomes("CREATE_FAILED").await;
    agent.stop().await.unwrap();
    host.sandbox.set_metadata("meta-data/instance-id", "i-clone").unwrap();
    host.configure("[signal.web]\nresource = \"WebReady\"\n[check.port]\ntype = \"tcp\"\naddress = \"127.0.0.1:1\"\n");
    let mut clone = host.start();
    clone.notes("the ledger belongs to instance").await;
    clone.notes("check port: initial -> critical").await;
    let (_, text, _) = program(&host, &["report"]).await;
    assert!(text.starts_with("report of signal web (WebReady), which has no verdict yet"), "{text}");
    clone.stop().await.unwrap();
    let kept = std::fs::read_to_string(host.path("state/report-1.txt")).unwrap();
    assert!(kept.contains(INSTANCE), "a person can still look at it: {kept}");
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test(flavor = "current_thread")]
async fn scenario_12_reset_forgets_the_instance_and_leaves_the_files_of_others() {
    let host = Host::new(&failing("")).await;
    let mut agent = start(&host, "/usr/bin:/bin", Stdio::null());
    host.stack_becomes("CREATE_FAILED").await;
    let (code, out, error) = program(&host, &["reset"]).await;
    let held = format!("error: an agent (pid {}) holds ", agent.id().unwrap());
    assert!(code == 1 && out.is_empty() && error.starts_with(&held), "{error}");
    assert!(error.ends_with("so nothing is removed\nhint: systemctl stop ros-signal-agent\n"), "{error}");
    end(&mut agent).await;
    let state = host.path("state");
    for name in ["ledger.instance-i-old-1", "ledger.corrupt-1", "ledger.notes", "report-x.txt", "notes.txt", "endpoint"] {
        std::fs::write(state.join(name), "x").unwrap();
    }
    std::fs::create_dir(state.join("report-99.txt")).unwrap();
    let ours = ["endpoint", "ledger.corrupt-1", "ledger.instance-i-old-1", "ledger.json", "report-1.txt"];
    let all = names(&state);
    let (code, out, _) = program(&host, &["reset", "--dry-run"]).await;
    assert_eq!((code, out.lines().last(), names(&state)), (0, Some("5 files would be removed"), all));
    let (code, out, _) = program(&host, &["reset", "--json"]).await;
    let told: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &told["removed"]), (0, &serde_json::json!(ours)));
    assert_eq!(names(&state), ["ledger.lock", "ledger.notes", "notes.txt", "report-99.txt", "report-x.txt"]);
    assert_eq!(std::fs::read(state.join("ledger.lock")).unwrap(), b"", "the lock says nothing of the agent before");
    let (code, out, _) = program(&host, &["reset"]).await;
    assert_eq!((code, out), (0, format!("{} holds nothing of this instance\n", state.display())));
}

#[tokio::test(flavor = "current_thread")]
async fn scenario_12_reset_finds_the_ledger_among_any_number_of_files_of_others() {
    let host = Host::new("").await;
    let state = host.path("state");
    std::fs::create_dir(&state).unwrap();
    (0..5_000).for_each(|number| std::fs::write(state.join(format!("other-{number}")), "").unwrap());
    for number in 0..50 {
        std::fs::write(state.join(format!("ledger.corrupt-{number}")), "").unwrap();
    }
    let (code, out, _) = program(&host, &["reset"]).await;
    assert_eq!((code, out.lines().last()), (0, Some("50 files removed: the next start of the agent is the first one")));
    assert_eq!(names(&state).len(), 5_000);
}

#[tokio::test(flavor = "current_thread")]
async fn scenario_12_reset_works_in_an_image_that_is_mounted_and_no_link_leads_out_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let (image, outside) = (dir.path().join("image"), dir.path().join("outside"));
    std::fs::create_dir_all(image.join("var/lib/private")).unwrap();
    std::fs::create_dir_all(&outside).unwrap();
    std::fs::write(outside.join("ledger.json"), "of the host").unwrap();
    std::os::unix::fs::symlink(&outside, image.join("var/lib/ros-signal-agent")).unwrap();
    let reset = || async {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ros-signal-agent"));
        command.args(["--root", image.to_str().unwrap(), "reset"]).env_clear().kill_on_drop(true);
        tokio::time::timeout(PATIENCE, command.output()).await.expect("it ends").unwrap()
    };
    assert!(reset().await.status.success());
    assert_eq!(names(&outside), ["ledger.json"], "an absolute link means a place in the image, and that holds nothing");
    std::fs::remove_file(image.join("var/lib/ros-signal-agent")).unwrap();
    std::os::unix::fs::symlink("private/ros-signal-agent", image.join("var/lib/ros-signal-agent")).unwrap();
    std::fs::create_dir(image.join("var/lib/private/ros-signal-agent")).unwrap();
    std::fs::write(image.join("var/lib/private/ros-signal-agent/ledger.json"), "of the image").unwrap();
    assert!(reset().await.status.success());
    assert!(names(&image.join("var/lib/private/ros-signal-agent")).is_empty());
}

#[tokio::test(flavor = "current_thread")]
async fn reset_is_for_root_and_the_owner() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can be somebody else");
        return;
    }
    let dir = crate::private::directory();
    // Where the binary lies may be closed to other users.
    let binary = dir.path().join("agent");
    std::fs::copy(env!("CARGO_BIN_EXE_ros-signal-agent"), &binary).unwrap();
    let state = dir.path().join("var/lib/ros-signal-agent");
    std::fs::create_dir_all(&state).unwrap();
    std::fs::write(state.join("ledger.json"), "x").unwrap();
    let reset = |user: u32| {
        let mut command = Command::new(&binary);
        command.args(["--root", dir.path().to_str().unwrap(), "reset"]).env_clear().uid(user).gid(user).kill_on_drop(true);
        async move { tokio::time::timeout(PATIENCE, command.output()).await.expect("it ends").unwrap() }
    };
    let refused = reset(65534).await;
    let error = String::from_utf8(refused.stderr).unwrap();
    assert!(error.contains("belongs to user 0, and this is user 65534\nhint: do it as root"), "{error}");
    assert_eq!(names(&state), ["ledger.json"]);
    std::os::unix::fs::chown(&state, Some(65534), Some(65534)).unwrap();
    assert!(reset(65534).await.status.success());
    assert!(names(&state).is_empty());
}
