//! `type = "clock"`, against the sandbox, whose clock can be wrong, and against a real chronyd.

use super::*;
use crate::{peer, private};
use ros_sandbox::{Config, Sandbox, Secret};
use ros_signal_agent::check::{Health, Thresholds};
use ros_signal_agent::plan::{Clock, ClockSource};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

fn limits() -> Thresholds {
    Thresholds { warn: Some("30".parse().unwrap()), crit: Some("300".parse().unwrap()) }
}

fn ros(url: &str) -> Probe {
    Probe::Clock(Clock { source: ClockSource::Ros(url.parse().unwrap()), thresholds: limits() })
}

fn ntp(chronyd: SocketAddr) -> Probe {
    Probe::Clock(Clock { source: ClockSource::Ntp(chronyd), thresholds: limits() })
}

#[tokio::test]
async fn the_clock_is_compared_with_that_of_ros_in_both_directions() {
    let sandbox = Sandbox::start(Config::new("testAccessKeyId", Secret::from("testAccessKeySecret"))).await.unwrap();
    let url = sandbox.ros_url();
    let place = url.trim_start_matches("http://").to_owned();
    let right = run(ros(&url)).await;
    assert_eq!(right.health, Health::Passing, "{}", right.message);
    assert!(right.message.starts_with(&format!("the clock of this host agrees with {place} (within ")), "{}", right.message);
    // Far enough from the rules that a second of rounding does not matter.
    for (skew, health, word, offset) in [(-600, Health::Critical, "ahead of", 600.0), (60, Health::Warning, "behind", -60.0)] {
        sandbox.set_skew_seconds(skew);
        let seen = run(ros(&url)).await;
        assert_eq!(seen.health, health, "{}", seen.message);
        assert!(seen.message.contains(&format!("{word} {place} (give or take ")), "{}", seen.message);
        let read = seen.readings.iter().find(|reading| reading.label == "offset").unwrap().value;
        assert!((read - offset).abs() < 2.0, "{read}");
    }
    sandbox.stop().await;
}

#[tokio::test]
async fn an_answer_without_a_date_tells_nothing_and_no_answer_is_critical() {
    let (port, requests) = answering(ok("hello")).await;
    let seen = run(ros(&format!("http://127.0.0.1:{port}/now"))).await;
    let told = format!("the answer of 127.0.0.1:{port} has no Date; give another url");
    assert_eq!((seen.health, seen.message), (Health::Unknown, told));
    assert!(requests.last().starts_with("GET /now HTTP/1.1"), "{}", requests.last());
    let closed = closed_port().await;
    let seen = run(ros(&format!("http://127.0.0.1:{closed}/"))).await;
    assert_eq!((seen.health, seen.message), (Health::Critical, format!("connection refused by 127.0.0.1:{closed}; nothing listens there")));
}

/// A chronyd that leaves the clock alone, ended when it is dropped.
struct Chronyd {
    child: Child,
    _home: tempfile::TempDir,
}

impl Chronyd {
    fn start(program: &PathBuf, text: &str) -> Self {
        let home = private::directory();
        let file = home.path().join("chrony.conf");
        let always = format!("bindcmdaddress 127.0.0.1\nbindcmdaddress /\npidfile {}\n", home.path().join("pid").display());
        std::fs::write(&file, format!("{always}{text}")).unwrap();
        let mut command = Command::new(program);
        command.args(["-x", "-d", "-u", "root", "-f"]).arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self { child: command.spawn().unwrap(), _home: home }
    }
}

impl Drop for Chronyd {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_udp_port() -> u16 {
    std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Runs `probe` until what it says contains `word`.
async fn until_it_says(probe: &Probe, word: &str) -> Observation {
    let mut last = String::new();
    let waited = tokio::time::timeout(PATIENCE, async {
        loop {
            let seen = run(probe.clone()).await;
            if seen.message.contains(word) {
                return seen;
            }
            last = seen.message;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let waited = waited.await;
    waited.unwrap_or_else(|_| panic!("it never said {word:?}, last: {last}"))
}

#[tokio::test]
async fn a_real_chronyd_says_whether_the_clock_is_in_sync() {
    let Some(program) = peer::program("chronyd") else { return };
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let (server, command) = (free_udp_port(), free_udp_port());
    let probe = ntp(SocketAddr::from(([127, 0, 0, 1], command)));
    let _server = Chronyd::start(&program, &format!("port {server}\nallow 127.0.0.1\ncmdport 0\nlocal stratum 3\n"));
    let alone = Chronyd::start(&program, &format!("port 0\ncmdport {command}\n"));
    let seen = until_it_says(&probe, "chronyd has not reached a time server").await;
    assert_eq!(seen.health, Health::Critical);
    drop(alone);
    let itself = Chronyd::start(&program, &format!("port 0\ncmdport {command}\nlocal stratum 8\n"));
    assert_eq!(until_it_says(&probe, "chronyd follows its own clock").await.health, Health::Warning);
    drop(itself);
    let client =
        Chronyd::start(&program, &format!("port 0\ncmdport {command}\nserver 127.0.0.1 port {server} iburst minpoll 0 maxpoll 1\n"));
    let synced = until_it_says(&probe, "chronyd is in sync").await;
    assert_eq!(synced.health, Health::Passing, "{}", synced.message);
    let offset = synced.readings.iter().find(|reading| reading.label == "offset").unwrap().value;
    assert!(offset.abs() < 1.0, "{offset}");
    drop(client);
    until_it_says(&probe, &format!("127.0.0.1:{command} is not there")).await;
}
