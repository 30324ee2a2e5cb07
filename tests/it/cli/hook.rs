//! `hook`, and hooks that the built program runs.

use super::daemon::{listens, run, terminate};
use super::{configured, program};
use crate::host::{Host, KEY, SECRET, STACK};
use crate::{peer, private};
use ros_sandbox::{Change, ResourceSpec};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

/// A signal that is decided at once, and a check that passes.
const HEALTHY: &str = "[signal.web]\nresource = \"WebReady\"\nmin_healthy_time = \"100ms\"\n\
    [check.app]\ntype = \"exec\"\ncommand = [\"/bin/true\"]\nstart_interval = \"100ms\"\n";

/// A host with this configuration and scripts, in which `DIR` is its directory.
async fn host(text: &str, scripts: &[(&str, &str)]) -> Host {
    let host = Host::new("").await;
    let placed = |text: &str| text.replace("DIR", host.dir.path().to_str().unwrap());
    for (name, script) in scripts {
        script_at(&host.path(name), &placed(script));
    }
    host.configure(&placed(text));
    host
}

fn script_at(path: &Path, text: &str) {
    let text = if text.starts_with("#!") { text.to_owned() } else { format!("#!/bin/sh\n{text}") };
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// Waits for what `look` sees.
async fn seen<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let wait = async {
        loop {
            if let Some(found) = look() {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), wait).await.unwrap_or_else(|_| panic!("nobody sees {what}"))
}

async fn file(path: &Path) -> String {
    seen(&path.display().to_string(), || std::fs::read_to_string(path).ok().filter(|text| !text.is_empty())).await
}

/// How each hook ended, when all have.
async fn ended(host: &Host) -> BTreeMap<String, String> {
    let wait = async {
        loop {
            let (_, body) = host.ask("GET", "/status", "").await;
            let status: Value = serde_json::from_str(&body).unwrap();
            let hooks = status["hooks"].as_array().unwrap();
            if hooks.iter().all(|hook| hook["ended"].is_string()) {
                return hooks.iter().map(|hook| (hook["name"].as_str().unwrap().into(), hook["ended"].as_str().unwrap().into())).collect();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), wait).await.expect("all hooks end")
}

#[tokio::test]
async fn a_verdict_runs_its_hook_with_the_documented_values_and_with_nothing_of_the_agents_own() {
    let hook = "[hook.tell]\non = [\"verdict.success\"]\ncommand = [\"DIR/tell\"]\n";
    let tell = "env > DIR/environment; cat > DIR/input; ls -l /proc/$$/fd > DIR/open.new; mv DIR/open.new DIR/open\n";
    let host = host(&format!("{HEALTHY}{hook}"), &[("tell", tell)]).await;
    std::fs::write(host.path("handed-over"), "").unwrap();
    // As systemd starts it: with a descriptor that it must not pass on.
    let start = "exec 3<\"$1\"; shift; export LISTEN_PID=$$; exec \"$@\"";
    let arguments =
        ["-c", start, "start", host.path("handed-over").to_str().unwrap(), env!("CARGO_BIN_EXE_ros-signal-agent")].map(str::to_owned);
    let agent = Command::new("/bin/sh")
        .args(arguments)
        .args(["--config", host.config().to_str().unwrap(), "run"])
        .env_clear()
        .envs([("ALIBABA_CLOUD_ACCESS_KEY_ID", KEY), ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", SECRET)])
        .envs([("LISTEN_FDS", "1"), ("LISTEN_FDNAMES", "events"), ("NOTIFY_SOCKET", "@nobody"), ("WATCHDOG_USEC", "60000000")])
        .env("CREDENTIALS_DIRECTORY", host.dir.path())
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let open = file(&host.path("open")).await;
    assert!(!open.contains("handed-over") && !open.contains("socket"), "{open}");
    let environment = file(&host.path("environment")).await;
    let variables: BTreeMap<_, _> = environment.lines().filter_map(|line| line.split_once('=')).collect();
    let ours: BTreeSet<_> = variables.keys().filter_map(|name| name.strip_prefix("ROS_SIGNAL_AGENT_")).collect();
    assert_eq!(ours, BTreeSet::from(["HOOK", "HOOK_ID", "TRIGGER", "ATTEMPT", "SIGNAL", "ROUND", "VERDICT", "REASON"]));
    let others: BTreeSet<_> = variables.keys().copied().filter(|name| !name.starts_with("ROS_SIGNAL_AGENT_")).collect();
    assert!(others.is_subset(&BTreeSet::from(["PATH", "LANG", "ROS_SIGNAL_RUN", "PWD", "OLDPWD", "SHLVL", "_"])), "{others:?}");
    let told: Value = serde_json::from_str(&file(&host.path("input")).await).unwrap();
    assert_eq!((variables["ROS_SIGNAL_AGENT_TRIGGER"], variables["ROS_SIGNAL_AGENT_VERDICT"]), ("verdict.success", "SUCCESS"));
    let expected = json!({
        "version": 1, "hook": "tell", "id": variables["ROS_SIGNAL_AGENT_HOOK_ID"], "trigger": "verdict.success", "attempt": 1, "test": false,
        "signal": "web", "round": "first", "verdict": "SUCCESS", "reason": variables["ROS_SIGNAL_AGENT_REASON"],
    });
    assert_eq!(told, expected);
    assert_eq!(ended(&host).await["tell"], "exit status 0");
    let (code, log) = terminate(agent).await;
    assert_eq!(code, Some(0), "{log}");
}

#[tokio::test]
async fn scenario_20_hooks_that_are_deaf_flood_fork_away_or_hang_hold_up_nothing_and_leave_nothing() {
    let mut text = HEALTHY.to_owned();
    for name in ["deaf", "flood", "fork", "hang"] {
        text += &format!(
            "[hook.{name}]\non = [\"check.passing\"]\ntimeout = \"{}\"\ncommand = [\"DIR/{name}\"]\n",
            if name == "hang" { "1s" } else { "50s" }
        );
    }
    let fork = "setsid sh -c 'echo $$ > DIR/pid.new; mv DIR/pid.new DIR/pid; exec sleep 1000' > /dev/null 2>&1 &\nwhile ! test -e DIR/pid; do :; done\n";
    let scripts =
        [("deaf", "exec < /dev/null\n"), ("flood", "head -c 20000000 /dev/zero | tr '\\0' x\n"), ("fork", fork), ("hang", "sleep 1000\n")];
    let host = host(&text, &scripts).await;
    let agent = run(&host);
    listens(&host).await;
    let ended = ended(&host).await;
    for name in ["deaf", "flood", "fork"] {
        assert_eq!(ended[name], "exit status 0", "{ended:?}");
    }
    assert!(ended["hang"].starts_with("timed out after 1s while running "), "{ended:?}");
    let pid = file(&host.path("pid")).await;
    let there = Path::new("/proc").join(pid.trim());
    seen("the end of what forked away", || (!there.exists()).then_some(())).await;
    let waited = program(&["--config", host.config().to_str().unwrap(), "wait", "--for", "signaled", "--timeout", "30s"]).await;
    assert_eq!(waited.code, 0, "{waited:?}");
    assert_eq!(terminate(agent).await.0, Some(0));
}

#[tokio::test]
async fn scenario_31_an_agent_that_stops_ends_its_hook_with_term_and_runs_it_again_under_the_same_id() {
    let hook = "[hook.tell]\non = [\"verdict.success\"]\ncommand = [\"DIR/tell\"]\n";
    let tell = "trap 'echo term >> DIR/runs; exit 1' TERM\necho $ROS_SIGNAL_AGENT_HOOK_ID $ROS_SIGNAL_AGENT_ATTEMPT >> DIR/runs\n\
        test -e DIR/go && exit 0\nsleep 1000 &\nwait\n";
    let host = host(&format!("{HEALTHY}{hook}"), &[("tell", tell)]).await;
    let agent = run(&host);
    let first = file(&host.path("runs")).await;
    let (code, log) = terminate(agent).await;
    assert_eq!(code, Some(0), "{log}");
    assert_eq!(file(&host.path("runs")).await, format!("{first}term\n"));
    std::fs::write(host.path("go"), "").unwrap();
    let agent = run(&host);
    listens(&host).await;
    assert_eq!(ended(&host).await["tell"], "exit status 0");
    let id = first.split(' ').next().unwrap();
    assert_eq!(file(&host.path("runs")).await, format!("{id} 1\nterm\n{id} 2\n"));
    assert_eq!(terminate(agent).await.0, Some(0));
}

#[tokio::test]
async fn hooks_are_listed_and_tried_with_made_up_values() {
    let text = "[hook.tell]\non = [\"stack.updated\", \"ros:StackStateChange:*\"]\ncommand = [\"/bin/sh\", \"-c\", \"env; exit $(wc -l)\"]\n\
        [hook.sad]\non = [\"check.critical\"]\ncommand = [\"/bin/false\"]\n[check.a]\ntype = \"ttl\"\nttl = \"1m\"\n\
        [agent]\nallow_no_checks = true\n";
    let (_dir, config) = configured(text);
    let hook = async |arguments: &[&str]| program(&[&["--config", config.as_str(), "hook"], arguments].concat()).await;
    let listed = hook(&["list"]).await;
    assert!(listed.out.contains("stack.updated ros:StackStateChange:*") && listed.out.contains("/bin/false"), "{listed:?}");
    let listed: Value = serde_json::from_str(&hook(&["list", "--json"]).await.out).unwrap();
    assert_eq!((&listed[0]["name"], &listed[1]["on"][0], &listed[0]["timeout_s"]), (&json!("sad"), &json!("stack.updated"), &json!(300)));
    let tried = hook(&["test", "tell", "--json"]).await;
    let told: Value = serde_json::from_str(&tried.out).unwrap();
    assert_eq!((tried.code, &told["trigger"], &told["succeeded"]), (0, &json!("stack.updated"), &json!(true)), "{tried:?}");
    let output = told["output"].as_str().unwrap();
    assert!(output.contains("ROS_SIGNAL_AGENT_TEST=1\n") && output.contains("ROS_SIGNAL_AGENT_STATUS=UPDATE_COMPLETE\n"), "{output}");
    let sad = hook(&["test", "sad"]).await;
    assert_eq!((sad.code, sad.out.as_str()), (1, "hook sad: exit status 1\n"));
    let nobody = hook(&["test", "nobody"]).await;
    assert_eq!(nobody.code, 64, "{nobody:?}");
    assert!(nobody.err.contains("there is no hook \"nobody\"") && nobody.err.contains("hint: ros-signal-agent hook list"), "{nobody:?}");
    let refused = hook(&["run", "tell"]).await;
    assert_eq!(refused.code, 1);
    let why = if super::is_root() { "hook tell has not run_as = \"root\"" } else { "only root runs hooks for the agent" };
    assert!(refused.err.contains(why), "{refused:?}");
}

#[tokio::test]
async fn a_hook_that_is_tried_ends_with_who_tries_it() {
    let dir = private::directory();
    let pid = dir.path().join("pid");
    let config = dir.path().join("config.toml");
    let text = format!(
        "[hook.long]\non = [\"stack.updated\"]\ncommand = [\"/bin/sh\", \"-c\", \"echo $$ > {}; exec sleep 1000\"]\n",
        pid.display()
    );
    private::write(&config, &text);
    let mut trying = Command::new(env!("CARGO_BIN_EXE_ros-signal-agent"))
        .args(["--config", config.to_str().unwrap(), "hook", "test", "long"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let hook = file(&pid).await;
    let own = rustix::process::Pid::from_raw(trying.id().unwrap().try_into().unwrap()).unwrap();
    rustix::process::kill_process(own, rustix::process::Signal::INT).unwrap();
    assert_eq!(trying.wait().await.unwrap().code(), Some(1));
    let there = Path::new("/proc").join(hook.trim());
    assert!(!there.exists(), "the hook goes on");
}

/// The blocks of docs/hooks.md in this language.
fn shown(language: &str) -> Vec<String> {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/hooks.md")).unwrap();
    let blocks: Vec<_> = page
        .split("```")
        .skip(1)
        .step_by(2)
        .filter_map(|block| Some(block.strip_prefix(language)?.strip_prefix('\n')?.to_owned()))
        .collect();
    assert!(!blocks.is_empty(), "{language}");
    blocks
}

#[tokio::test]
async fn what_the_page_on_hooks_shows_works() {
    let dir = private::directory();
    let place = dir.path().to_str().unwrap();
    let script = shown("sh").remove(0).replace("/etc/web", place).replace("systemctl reload web", &format!("touch {place}/reloaded"));
    script_at(&dir.path().join("apply-update"), &script);
    script_at(&dir.path().join("say"), &shown("python").remove(0));
    let config = dir.path().join("config.toml");
    let hooks = shown("toml").remove(0).replace("/usr/local/bin", place);
    let say = format!("[hook.say]\non = [\"metadata.changed\"]\ncommand = [\"{place}/say\"]\n");
    private::write(&config, &format!("{hooks}{say}"));
    let tried = async |name: &str| {
        let trigger = ["--trigger", "metadata.changed"];
        program(&[&["--config", config.to_str().unwrap(), "hook", "test", name], &trigger[..]].concat()).await
    };
    if peer::program("jq").is_some() {
        let applied = tried("apply").await;
        assert_eq!(applied.code, 0, "{applied:?}");
        let written: Value = serde_json::from_str(&std::fs::read_to_string(dir.path().join("config.json")).unwrap()).unwrap();
        assert_eq!(written, json!({"workers": 2}));
        assert!(dir.path().join("reloaded").exists());
    }
    if peer::program("python3").is_some() {
        let said = tried("say").await;
        assert!(said.out.contains("from {'config': {'workers': 1}} to {'config': {'workers': 2}}"), "{said:?}");
    }
    let document: Value = serde_json::from_str(&shown("json").remove(0)).unwrap();
    let command = "[hook.cat]\non = [\"metadata.changed\"]\ncommand = [\"/bin/cat\"]\n";
    private::write(&config, command);
    let cat = program(&["--config", config.to_str().unwrap(), "hook", "test", "cat", "--json"]).await;
    let told: Value = serde_json::from_str(serde_json::from_str::<Value>(&cat.out).unwrap()["output"].as_str().unwrap()).unwrap();
    let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!((names(&document), names(&document["stack"])), (names(&told), names(&told["stack"])));
    assert_eq!((&document["old"], &document["new"]), (&told["old"], &told["new"]));
}

/// Drops an event that says that something becomes of the host's stack, as a relay does.
fn tell(host: &Host, id: &str) {
    let sample = include_str!("../../fixtures/events/samples/ros.StackStateChange.UpdateComplete.json");
    let event = sample.replace("b0bb2844-da77-4ceb-afe9-7dd6a97d****", STACK).replace("238dbcdc-5b6b-450c-b95c-1142020e****", id);
    private::write(&host.path("new-event"), &event);
    std::fs::rename(host.path("new-event"), host.path("spool").join(format!("{id}.json"))).unwrap();
}

/// As cfn-hup does it: the checks of the update's round see the host only when the update has been applied.
#[tokio::test(flavor = "current_thread")]
async fn scenario_6_the_checks_of_an_update_begin_when_the_hook_that_applies_it_has_ended() {
    let text = "[signal.web]\nresource = \"WebReady\"\ncondition = \"Wait\"\nresignal = \"on_update\"\nmin_healthy_time = \"100ms\"\n\
        [check.app]\ntype = \"exec\"\ncommand = [\"DIR/check\"]\nstart_interval = \"100ms\"\ninterval = \"1s\"\n\
        [source.drop]\ntype = \"spool\"\ndirectory = \"DIR/spool\"\n\
        [hook.apply]\non = [\"stack.updating\"]\nwait = true\ncommand = [\"DIR/apply\"]\n";
    let apply = "echo begun >> DIR/log\nsleep 2\necho applied >> DIR/log\n";
    let host = host("", &[("check", "echo check >> DIR/log\n"), ("apply", apply)]).await;
    std::fs::create_dir(host.path("spool")).unwrap();
    std::fs::set_permissions(host.path("spool"), std::fs::Permissions::from_mode(0o755)).unwrap();
    host.configure(&text.replace("DIR", host.dir.path().to_str().unwrap()));
    let mut agent = host.start();
    agent.notes("acknowledged by ROS").await;
    host.stack_becomes("CREATE_COMPLETE").await;
    // The baseline, against which the update is seen.
    tell(&host, "first");
    let looked = async {
        loop {
            let (_, body) = host.ask("GET", "/status", "").await;
            let status: Value = serde_json::from_str(&body).unwrap();
            if status["stacks"][0]["status"] == "CREATE_COMPLETE" {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), looked).await.expect("the stack is looked at");
    let two = ResourceSpec::condition("WebReady", 2, 900.0);
    host.sandbox.change(STACK, Change::update().resource("WebReady", ResourceSpec::handle()).resource("Wait", two)).unwrap();
    tell(&host, "second");
    let log = || std::fs::read_to_string(host.path("log")).unwrap_or_default();
    seen("the begin of the hook", || log().contains("begun").then_some(())).await;
    let (_, body) = host.ask("GET", "/status", "").await;
    assert!(body.contains("\"round\":\"update-"), "{body}");
    agent.notes("acknowledged by ROS").await;
    let log = log();
    let (_, during) = log.split_once("begun\n").unwrap();
    let (during, after) = during.split_once("applied\n").unwrap();
    // One may have been on its way. Unheld, ten a second are made.
    assert!(during.len() <= "check\n".len(), "{log}");
    assert!(after.contains("check"), "{log}");
    agent.stop().await.unwrap();
}
