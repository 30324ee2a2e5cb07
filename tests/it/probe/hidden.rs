//! Kinds that read `/proc`, by the agent as an ordinary user where `/proc` hides things from it.

use crate::{peer, private};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

const CONFIGURATION: &str = "[signal.web]\nresource = \"WebReady\"\n\
     [check.port]\ntype = \"port\"\nport = 9\n[check.load]\ntype = \"load\"\ncrit = \"@0:1000000\"\n\
     [check.memory]\ntype = \"memory\"\nwarn = \"0:100\"\n[check.process]\ntype = \"process\"\nname = \"no-such-process\"\n\
     [check.mount]\ntype = \"mount\"\npath = \"/\"\n[check.disk]\ntype = \"disk\"\npath = \"/\"\nwarn = \"0:\"\n";

/// What each check says, run by nobody where `/proc` is mounted with `options`. None: that cannot be done here.
fn told(options: &str) -> Option<serde_json::Value> {
    let (unshare, setpriv) = (peer::program("unshare")?, peer::program("setpriv")?);
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let home = private::directory();
    let (agent, file) = (home.path().join("agent"), home.path().join("config.toml"));
    // Nobody may not look into the directory where it was built.
    std::fs::copy(env!("CARGO_BIN_EXE_ros-signal-agent"), &agent).unwrap();
    std::fs::write(&file, CONFIGURATION).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let script = format!(
        "mount -t proc -o {options} proc /proc || exit 99; exec {} --reuid 65534 --regid 65534 --clear-groups {} check --json --config {}",
        setpriv.display(),
        agent.display(),
        file.display()
    );
    let done = Command::new(unshare).args(["--mount", "--propagation", "private", "sh", "-c", &script]).output().unwrap();
    if done.status.code() == Some(99) || done.stdout.is_empty() {
        return None;
    }
    Some(serde_json::from_slice(&done.stdout).unwrap())
}

fn of<'a>(told: &'a serde_json::Value, name: &str) -> (&'a str, &'a str) {
    let check = told["checks"].as_array().unwrap().iter().find(|check| check["name"] == name).unwrap();
    (check["health"].as_str().unwrap(), check["message"].as_str().unwrap())
}

#[test]
fn an_ordinary_user_can_ask_everything() {
    let Some(told) = told("rw") else { return };
    assert_eq!(of(&told, "load").0, "critical", "the range alerts at every load");
    assert_eq!(of(&told, "process"), ("critical", "no process named no-such-process runs, critical below 1"));
    assert!(["memory", "mount", "disk"].iter().all(|name| of(&told, name).0 == "passing"), "{told}");
    assert_eq!(of(&told, "port"), ("critical", "nothing listens on tcp port 9"));
}

#[test]
fn hidden_processes_are_the_agents_own_trouble_and_not_a_service_that_is_down() {
    let Some(told) = told("hidepid=2") else { return };
    let (state, message) = of(&told, "process");
    assert_eq!(state, "unknown");
    assert!(message.starts_with("/proc hides processes of other users (") && message.contains("hidepid="), "{message}");
    assert!(["memory", "mount", "disk"].iter().all(|name| of(&told, name).0 == "passing"), "{told}");
}

#[test]
fn hidden_tables_are_named_with_what_hides_them() {
    let Some(told) = told("subset=pid") else { return };
    for (name, path) in [("port", "/proc/net/tcp"), ("load", "/proc/loadavg"), ("memory", "/proc/meminfo")] {
        let (state, message) = of(&told, name);
        assert_eq!(state, "unknown");
        assert!(message.starts_with(&format!("cannot read {path}: ")) && message.contains("ProcSubset=pid"), "{message}");
    }
    assert!(["mount", "disk"].iter().all(|name| of(&told, name).0 == "passing"), "{told}");
}
