//! What reaches the service manager, datagram by datagram, from a real child process (the environment belongs to the whole process,
//! so each test runs itself again as the child).

use ros_signal_agent::clock::Moment;
use ros_signal_agent::process::harden;
use ros_signal_agent::systemd::{Notifier, SCRUBBED, journal_stream, under_systemd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

const ROLE: &str = "IT_SYSTEMD_CHILD";

/// The test `name` of this file, as a child in its child role.
fn child(name: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", &format!("systemd::{name}"), "--nocapture", "--test-threads=1"]).env(ROLE, name);
    for variable in SCRUBBED {
        command.env_remove(variable);
    }
    command
}

fn is_child(name: &str) -> bool {
    std::env::var(ROLE).is_ok_and(|role| role == name)
}

fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{stdout}{}", String::from_utf8_lossy(&output.stderr));
    stdout
}

/// The datagrams that came until now.
fn received(socket: &UnixDatagram) -> Vec<String> {
    socket.set_nonblocking(true).unwrap();
    let mut datagrams = Vec::new();
    let mut buffer = [0; 8192];
    while let Ok(length) = socket.recv(&mut buffer) {
        datagrams.push(String::from_utf8(buffer[..length].to_vec()).unwrap());
    }
    datagrams
}

fn at(boot_ms: i64) -> Moment {
    Moment { boot_ms, wall_ms: 0 }
}

fn talk() {
    let mut notifier = Notifier::from_env();
    assert_eq!(notifier.status("web: 0/2 checks passing\nREADY=1", at(1000)), None);
    notifier.ready();
    assert_eq!(notifier.status("web: 1/2", at(1100)), Some(1250));
    assert_eq!(notifier.status("web: 2/2", at(1200)), Some(1250));
    assert_eq!(notifier.flush(at(1200)), Some(1250));
    assert_eq!(notifier.flush(at(1250)), None);
    assert_eq!(notifier.flush(at(9000)), None);
    assert_eq!(notifier.watchdog_interval(), Some(Duration::from_millis(1500)));
    notifier.watchdog();
    notifier.reloading();
    notifier.ready();
    notifier.extend_timeout(Duration::from_secs(20));
    notifier.extend_timeout(Duration::MAX);
    notifier.stopping();
}

fn assert_talk(datagrams: &[String]) {
    let fixed: Vec<String> = datagrams
        .iter()
        .map(|datagram| match datagram.split_once("MONOTONIC_USEC=") {
            Some((before, time)) => format!("{before}MONOTONIC_USEC={}", if time.trim_end().parse::<u64>().is_ok() { "N\n" } else { time }),
            None => datagram.clone(),
        })
        .collect();
    assert_eq!(
        fixed,
        [
            "STATUS=web: 0/2 checks passing READY=1\n",
            "READY=1\n",
            "STATUS=web: 2/2\n",
            "WATCHDOG=1\n",
            "RELOADING=1\nMONOTONIC_USEC=N\n",
            "READY=1\n",
            "EXTEND_TIMEOUT_USEC=20000000\n",
            "EXTEND_TIMEOUT_USEC=4294967295\n",
            "STOPPING=1\n",
        ]
    );
}

#[test]
fn the_service_manager_hears_each_word_once() {
    if is_child("the_service_manager_hears_each_word_once") {
        return talk();
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    run(child("the_service_manager_hears_each_word_once").env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "3000000"));
    assert_talk(&received(&socket));
}

#[test]
fn an_abstract_socket_is_as_good() {
    if is_child("an_abstract_socket_is_as_good") {
        return talk();
    }
    let name = format!("ros-signal-agent-it-{}", std::process::id());
    let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    run(child("an_abstract_socket_is_as_good").env("NOTIFY_SOCKET", format!("@{name}")).env("WATCHDOG_USEC", "3000000"));
    assert_talk(&received(&socket));
}

#[test]
fn a_manager_that_does_not_listen_hurts_nobody() {
    if is_child("a_manager_that_does_not_listen_hurts_nobody") {
        return talk();
    }
    let dir = tempfile::tempdir().unwrap();
    let gone = dir.path().join("gone");
    run(child("a_manager_that_does_not_listen_hurts_nobody").env("NOTIFY_SOCKET", gone).env("WATCHDOG_USEC", "3000000"));
}

#[test]
fn the_watchdog_of_another_process_is_not_ours() {
    let name = "the_watchdog_of_another_process_is_not_ours";
    if is_child(name) {
        println!("interval: {:?}", Notifier::from_env().watchdog_interval());
        return;
    }
    let say = |usec: &str, pid: Option<&str>| {
        let mut command = child(name);
        command.env("NOTIFY_SOCKET", "/nowhere").env("WATCHDOG_USEC", usec);
        if let Some(pid) = pid {
            command.env("WATCHDOG_PID", pid);
        }
        run(&mut command)
    };
    assert!(say("3000000", Some("1")).contains("interval: None\n"));
    assert!(say("3000000", None).contains("interval: Some(1.5s)\n"));
    assert!(say("0", None).contains("interval: None\n"));
    assert!(say("soon", None).contains("interval: None\n"));
    assert!(run(&mut child(name)).contains("interval: None\n"));
}

#[test]
fn the_journal_is_recognised_only_on_standard_error_itself() {
    let name = "the_journal_is_recognised_only_on_standard_error_itself";
    if is_child(name) {
        println!("journal: {} systemd: {}", journal_stream(), under_systemd());
        return;
    }
    let file = tempfile::tempfile().unwrap();
    let stat = rustix::fs::fstat(&file).unwrap();
    let stream = format!("{}:{}", stat.st_dev, stat.st_ino);
    let ours = run(child(name).env("JOURNAL_STREAM", &stream).env("NOTIFY_SOCKET", "/nowhere").stderr(file));
    assert!(ours.contains("journal: true systemd: true\n"), "{ours}");
    let inherited = run(child(name).env("JOURNAL_STREAM", &stream).env("SYSTEMD_EXEC_PID", "1"));
    assert!(inherited.contains("journal: false systemd: false\n"), "{inherited}");
}

#[test]
fn a_hardened_process_leaves_no_core_and_cannot_be_read() {
    let name = "a_hardened_process_leaves_no_core_and_cannot_be_read";
    if is_child(name) {
        harden().unwrap();
        let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap().to_owned();
        println!("{:?} {core}", rustix::process::dumpable_behavior().unwrap());
        // The agent still sees what it needs of itself.
        assert!(Path::new("/proc/self/fd/0").exists());
        assert!(!std::fs::read("/proc/self/mountinfo").unwrap().is_empty());
        return;
    }
    let said = run(&mut child(name));
    let words: Vec<&str> = said.lines().find(|line| line.contains("Max core")).unwrap().split_whitespace().collect();
    assert!(words.ends_with(&["NotDumpable", "Max", "core", "file", "size", "0", "0", "bytes"]), "{words:?}");
}
