//! `type = "process"`, against real children.

use super::*;
use ros_signal_agent::check::{Health, Thresholds};
use ros_signal_agent::plan::{Process, User};
use std::process::{Child, Command, Stdio};

fn any() -> Process {
    let thresholds = Thresholds { warn: None, crit: Some("1:".parse().unwrap()) };
    Process { name: None, cmdline: None, pid_file: None, user: None, thresholds }
}

fn named(name: &str) -> Process {
    Process { name: Some(name.to_owned()), ..any() }
}

/// A child that waits for its standard input and so ends with the test.
struct Waiting(Child);

impl Waiting {
    fn run(program: &str, arguments: &[&str]) -> Self {
        Self(Command::new(program).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap())
    }

    /// A shell that does `first` before it says that it is ready.
    fn sh(first: &str) -> Self {
        let mut waiting = Self::run("/bin/sh", &["-c", &format!("{first}; echo ready; read word")]);
        let mut said = [0; 6];
        std::io::Read::read_exact(waiting.0.stdout.as_mut().unwrap(), &mut said).unwrap();
        waiting
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn processes_are_counted_by_arguments_and_user() {
    let mark = format!("mark-{}", std::process::id());
    let like = |number: u32| Process { cmdline: Some(pattern(&format!("^cat - {mark}$"))), user: Some(User::Id(number)), ..any() };
    let me = rustix::process::geteuid().as_raw();
    assert_eq!(run(Probe::Process(like(me))).await.health, Health::Critical);
    let _one = Waiting::run("cat", &["-", &mark]);
    let _two = Waiting::run("cat", &["-", &mark]);
    until("both are there", || {
        std::fs::read_dir("/proc").unwrap().flatten().filter(|entry| read(&entry.path().join("cmdline")).contains(&mark)).count() == 2
    })
    .await;
    let seen = run(Probe::Process(like(me))).await;
    assert_eq!((seen.health, seen.readings[0].value), (Health::Passing, 2.0), "{}", seen.message);
    assert_eq!(run(Probe::Process(like(me + 1))).await.health, Health::Critical);
}

#[tokio::test]
async fn a_renamed_process_is_known_by_both_its_names() {
    let long = format!("wk{}-renamed-and-long", std::process::id());
    let renamed = Waiting::sh(&format!("printf {long} > /proc/$$/comm"));
    let comm = read(Path::new(&format!("/proc/{}/comm", renamed.pid())));
    assert_eq!(comm.trim_end(), &long[..15]);
    for name in [&long[..15], &long] {
        let seen = run(Probe::Process(named(name))).await;
        assert_eq!((seen.health, seen.message), (Health::Passing, format!("1 process named {name} runs")));
    }
}

#[tokio::test]
async fn a_zombie_is_not_counted_and_its_pid_file_is_critical() {
    let name = format!("zo{}", std::process::id());
    let mut child = Waiting::sh(&format!("printf {name} > /proc/$$/comm"));
    assert_eq!(run(Probe::Process(named(&name))).await.health, Health::Passing);
    drop(child.0.stdin.take());
    let pid = child.pid();
    until("it is a zombie", || !alive(&pid.to_string())).await;
    let seen = run(Probe::Process(named(&name))).await;
    assert_eq!(
        (seen.health, seen.message),
        (Health::Critical, format!("no process named {name} runs; 1 zombie is not counted, critical below 1"))
    );
    let home = crate::private::directory();
    let file = home.path().join("pid");
    std::fs::write(&file, format!("{pid}\n")).unwrap();
    let seen = run(Probe::Process(Process { pid_file: Some(file.clone()), ..any() })).await;
    assert_eq!(
        (seen.health, seen.message),
        (Health::Critical, format!("process {pid} of {}, {name}, has ended and is a zombie", file.display()))
    );
}

#[tokio::test]
async fn a_stale_pid_file_shows_although_another_process_has_its_number() {
    let child = Waiting::sh(":");
    let home = crate::private::directory();
    let file = home.path().join("shop.pid");
    std::fs::write(&file, child.pid().to_string()).unwrap();
    let process = |name: &str| Probe::Process(Process { pid_file: Some(file.clone()), ..named(name) });
    assert_eq!(run(process("sh")).await.health, Health::Passing);
    let seen = run(process("shop")).await;
    assert_eq!(seen.health, Health::Critical);
    assert!(seen.message.ends_with(" is sh, not one named shop: the file is stale"), "{}", seen.message);
    drop(child);
    let seen = run(process("sh")).await;
    assert!(seen.message.ends_with(": the service has ended without removing it"), "{}", seen.message);
}
