//! The built binary with the keys of a program, beside exec checks whose sweeps kill every child that they do not know.

use crate::host::{Host, KEY, SECRET};
use crate::private;
use serde_json::json;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

const CHECKS: &str = "[signal.web]\nresource = \"WebReady\"\nmin_healthy_time = \"300ms\"\n\
                      [check.a]\ntype = \"exec\"\ncommand = [\"/bin/true\"]\nstart_interval = \"100ms\"\ninterval = \"1s\"\n";

#[tokio::test]
async fn scenario_19_a_program_that_prints_keys_is_spared_by_sweeps_and_leaves_nothing_behind() {
    let host = Host::new("").await;
    let home = host.path("home");
    std::fs::create_dir_all(home.join(".aliyun")).unwrap();
    let (child, seen, log) = (host.path("child"), host.path("seen"), host.path("log"));
    let printed = json!({"mode": "AK", "access_key_id": KEY, "access_key_secret": SECRET}).to_string();
    // Long enough for many sweeps, and one that leaves the group.
    let script = format!(
        "#!/bin/sh\nsetsid sleep 1000 >/dev/null 2>&1 & echo $! > {}\nenv > {}\nsleep 1.5\necho '{printed}'\n",
        child.display(),
        seen.display()
    );
    let program = host.path("print-keys");
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let profile = json!({"name": "p", "mode": "External", "process_command": program.to_str().unwrap()});
    private::write(&home.join(".aliyun/config.json"), &json!({"current": "p", "profiles": [profile]}).to_string());
    let text = host.usual().replace("provider = \"environment\"", "provider = \"auto\"");
    private::write(&host.config(), &format!("{text}{CHECKS}"));
    let mut agent = Command::new(env!("CARGO_BIN_EXE_ros-signal-agent"))
        .args(["--config", host.config().to_str().unwrap(), "run", "--log", "debug"])
        .env_clear()
        .env("HOME", &home)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(&log).unwrap())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    host.stack_becomes("CREATE_COMPLETE").await;
    let (_, status) = host.ask("GET", "/status", "").await;
    let pid = std::fs::read_to_string(&child).unwrap().trim().to_owned();
    let gone = async {
        // A zombie has no command line.
        while std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.starts_with(b"sleep")) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone).await.expect("what has left the group is killed too");
    agent.kill().await.unwrap();
    let files = [&log, &seen, &host.path("state/ledger.json")].map(|path| std::fs::read_to_string(path).unwrap());
    assert!(files[0].contains("CLI profile p (External)"), "{}", files[0]);
    for text in files.iter().chain([&status]) {
        assert!(!text.contains(SECRET), "{text}");
    }
}
