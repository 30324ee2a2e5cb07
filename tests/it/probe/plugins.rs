//! Monitoring plug-ins as they come (Debian's `monitoring-plugins`), asking real servers, as `exec` checks with `exit_codes = "nagios"`.

use super::*;
use crate::peer;
use crate::private;
use ros_signal_agent::check::Health;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// Runs the plug-in `name` as it is. `None`: it is not installed.
async fn plugin(name: &str, arguments: &[&str]) -> Option<Observation> {
    let program = peer::program(name)?;
    let mut exec = exec(&[program.to_str().unwrap()]);
    exec.command.extend(arguments.iter().map(|argument| (*argument).to_owned()));
    exec.exit_codes = ExitCodes::Nagios;
    Some(run(Probe::Exec(exec)).await)
}

fn labels(seen: &Observation) -> Vec<(&str, &str)> {
    seen.readings.iter().map(|reading| (reading.label.as_str(), reading.unit.as_str())).collect()
}

fn value(seen: &Observation, label: &str) -> f64 {
    seen.readings.iter().find(|reading| reading.label == label).unwrap_or_else(|| panic!("no {label} in {seen:?}")).value
}

/// A server on a port of its own, ended with the test.
struct Server {
    child: Child,
    port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    /// Starts `command`, told a free port, and waits until it can be connected to.
    async fn start(command: impl FnOnce(u16) -> Command) -> Self {
        let port = closed_port().await;
        let child = command(port).stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        let mut server = Self { child, port };
        let waited = tokio::time::timeout(PATIENCE, async {
            while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                assert!(server.child.try_wait().unwrap().is_none(), "the server has ended");
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
        assert!(waited.await.is_ok(), "the server does not listen");
        server
    }
}

/// An nginx in one process with nothing outside of `home`.
async fn nginx(program: PathBuf, home: &Path) -> Server {
    Server::start(|port| {
        let file = |name: &str| home.join(name).display().to_string();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path {};", file(name)))
            .concat();
        let configuration = format!(
            "daemon off; master_process off; pid {pid}; error_log stderr; events {{ }}\n\
             http {{ access_log off; {temporary} server {{ listen 127.0.0.1:{port}; location = /ready {{ return 200 'all is well'; }} }} }}",
            pid = file("pid"),
        );
        std::fs::write(home.join("nginx.conf"), configuration).unwrap();
        let mut command = Command::new(program);
        command.arg("-p").arg(home).arg("-c").arg(home.join("nginx.conf")).args(["-e", "stderr"]);
        command
    })
    .await
}

#[tokio::test]
async fn check_http_asks_nginx() {
    let (Some(program), true) = (peer::program("nginx"), peer::program("check_http").is_some()) else { return };
    let home = private::directory();
    let server = nginx(program, home.path()).await;
    let port = server.port.to_string();
    let at = ["-H", "127.0.0.1", "-p", &port];
    let seen = plugin("check_http", &[&at[..], &["-u", "/ready", "-s", "well"]].concat()).await.unwrap();
    assert_eq!(seen.health, Health::Passing, "{seen:?}");
    assert!(seen.message.starts_with("HTTP OK: HTTP/1.1 200 OK - ") && !seen.message.contains('|'), "{}", seen.message);
    assert_eq!(labels(&seen), [("time", "s"), ("size", "B")]);
    assert!(value(&seen, "time") > 0.0 && value(&seen, "time") < 10.0 && value(&seen, "size") > 100.0, "{seen:?}");

    let seen = plugin("check_http", &[&at[..], &["-u", "/missing"]].concat()).await.unwrap();
    assert_eq!(seen.health, Health::Warning, "{seen:?}");
    assert!(seen.message.starts_with("HTTP WARNING: HTTP/1.1 404 Not Found - "), "{}", seen.message);
    assert!(seen.message.ends_with(" (exit code 1)"), "{}", seen.message);

    drop(server);
    let seen = plugin("check_http", &at).await.unwrap();
    assert_eq!(seen.health, Health::Critical, "{seen:?}");
    assert!(seen.message.contains("Connection refused") && seen.message.ends_with(" (exit code 2)"), "{}", seen.message);
}

#[tokio::test]
async fn check_disk_reads_the_space_of_the_root() {
    let Some(seen) = plugin("check_disk", &["-w", "0%", "-c", "0%", "-p", "/"]).await else { return };
    assert_eq!(seen.health, Health::Passing, "{seen:?}");
    assert!(seen.message.starts_with("DISK OK - free space: / ") && seen.message.ends_with(')'), "{}", seen.message);
    assert_eq!(labels(&seen), [("/", "B")]);
    assert!(value(&seen, "/") > 1e6, "{seen:?}");
    let seen = plugin("check_disk", &["-w", "100%", "-c", "100%", "-p", "/"]).await.unwrap();
    assert_eq!(seen.health, Health::Critical, "{seen:?}");
    assert!(seen.message.starts_with("DISK CRITICAL - free space: / ") && seen.message.ends_with(") (exit code 2)"), "{}", seen.message);
    let seen = plugin("check_disk", &["-w", "0%", "-c", "0%", "-p", "/no/such/place"]).await.unwrap();
    assert!(matches!(seen.health, Health::Critical | Health::Unknown) && seen.message.contains("/no/such/place"), "{seen:?}");
}

#[tokio::test]
async fn check_procs_counts_processes() {
    let Some(seen) = plugin("check_procs", &["-w", "1:", "-c", "1:"]).await else { return };
    assert_eq!((seen.health, labels(&seen)), (Health::Passing, vec![("procs", "")]), "{seen:?}");
    let procs = value(&seen, "procs");
    assert!(procs >= 1.0);
    assert_eq!(seen.message, format!("PROCS OK: {procs} {}", if procs > 1.5 { "processes" } else { "process" }));
    let seen = plugin("check_procs", &["-c", "1:", "-C", "no-such-program"]).await.unwrap();
    assert_eq!(seen.message, "PROCS CRITICAL: 0 processes with command name 'no-such-program' (exit code 2)");
    assert_eq!((seen.health, value(&seen, "procs")), (Health::Critical, 0.0));
}

#[tokio::test]
async fn check_load_reads_the_three_loads() {
    let Some(seen) = plugin("check_load", &["-w", "9000,9000,9000", "-c", "9999,9999,9999"]).await else { return };
    assert_eq!(seen.health, Health::Passing, "{seen:?}");
    assert!(seen.message.contains("OK - ") && seen.message.contains("load average: "), "{}", seen.message);
    assert_eq!(labels(&seen), [("load1", ""), ("load5", ""), ("load15", "")]);
    let now = std::fs::read_to_string("/proc/loadavg").unwrap();
    let now: f64 = now.split(' ').nth(2).unwrap().parse().unwrap();
    assert!((value(&seen, "load15") - now).abs() < 1.0, "{seen:?}, {now}");
}

#[tokio::test]
async fn check_tcp_connects_and_compares_the_answer() {
    let port = server(|mut stream| async move {
        let _ = stream.write_all(b"220 ready\r\n").await;
        let _ = stream.read(&mut [0; 64]).await;
    })
    .await;
    let port = port.to_string();
    let at = ["-H", "127.0.0.1", "-p", &port];
    let Some(seen) = plugin("check_tcp", &[&at[..], &["-e", "220"]].concat()).await else { return };
    assert_eq!((seen.health, labels(&seen)), (Health::Passing, vec![("time", "s")]), "{seen:?}");
    assert!(seen.message.starts_with("TCP OK - ") && seen.message.contains("220 ready"), "{}", seen.message);
    let seen = plugin("check_tcp", &[&at[..], &["-e", "550", "-M", "crit"]].concat()).await.unwrap();
    assert_eq!(seen.health, Health::Critical, "{seen:?}");
    let closed = closed_port().await.to_string();
    let seen = plugin("check_tcp", &["-H", "127.0.0.1", "-p", &closed]).await.unwrap();
    assert_eq!(seen.health, Health::Critical);
    let refused = format!("connect to address 127.0.0.1 and port {closed}: Connection refused (exit code 2)");
    assert_eq!((seen.message, seen.readings.len()), (refused, 0));
}

/// The directory without which an sshd of root does not start; taken away again if the test has made it.
struct Separation {
    made: bool,
}

impl Separation {
    const PATH: &str = "/run/sshd";

    fn ready() -> Self {
        Self { made: rustix::process::geteuid().is_root() && std::fs::create_dir(Self::PATH).is_ok() }
    }
}

impl Drop for Separation {
    fn drop(&mut self) {
        if self.made {
            // Only if it is still empty.
            let _ = std::fs::remove_dir(Self::PATH);
        }
    }
}

#[tokio::test]
async fn check_ssh_greets_a_real_sshd() {
    let (Some(sshd), Some(keygen), true) = (peer::program("sshd"), peer::program("ssh-keygen"), peer::program("check_ssh").is_some())
    else {
        return;
    };
    let home = private::directory();
    let key = home.path().join("key");
    let made = Command::new(keygen).args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).stdin(Stdio::null()).status().unwrap();
    assert!(made.success());
    let _separation = Separation::ready();
    let server = Server::start(|port| {
        let mut command = Command::new(sshd);
        command.args(["-D", "-e", "-f", "/dev/null", "-p", &port.to_string(), "-h"]).arg(&key);
        command.args(["-o", "ListenAddress=127.0.0.1", "-o", "PidFile=none", "-o", "UsePAM=no"]).stderr(Stdio::null());
        command
    })
    .await;
    let port = server.port.to_string();
    let seen = plugin("check_ssh", &["-H", "127.0.0.1", "-p", &port]).await.unwrap();
    assert_eq!((seen.health, labels(&seen)), (Health::Passing, vec![("time", "s")]), "{seen:?}");
    assert!(seen.message.starts_with("SSH OK - OpenSSH_") && seen.message.contains("(protocol 2.0)"), "{}", seen.message);
    drop(server);
    let seen = plugin("check_ssh", &["-H", "127.0.0.1", "-p", &port]).await.unwrap();
    assert_eq!(seen.health, Health::Critical, "{seen:?}");
    assert!(seen.message.contains("Connection refused"), "{}", seen.message);
}

#[tokio::test]
async fn check_ping_measures_loss_and_time() {
    let (Some(ping), true) = (peer::program("ping"), peer::program("check_ping").is_some()) else { return };
    let may = Command::new(ping).args(["-c", "1", "-W", "2", "127.0.0.1"]).stdin(Stdio::null()).output().unwrap();
    if !may.status.success() {
        eprintln!("skipped: ping is not permitted here");
        return;
    }
    let seen = plugin("check_ping", &["-H", "127.0.0.1", "-w", "3000,80%", "-c", "5000,100%", "-p", "1"]).await.unwrap();
    assert_eq!((seen.health, labels(&seen)), (Health::Passing, vec![("rta", "s"), ("pl", "%")]), "{seen:?}");
    assert!(seen.message.starts_with("PING OK - Packet loss = 0%, RTA = "), "{}", seen.message);
    assert!(value(&seen, "rta") < 3.0, "milliseconds have become seconds: {seen:?}");
}

#[tokio::test]
async fn check_dummy_gives_all_four_codes() {
    let cases = [
        ("0", Health::Passing, "OK: so it is"),
        ("1", Health::Warning, "WARNING: so it is (exit code 1)"),
        ("2", Health::Critical, "CRITICAL: so it is (exit code 2)"),
        ("3", Health::Unknown, "UNKNOWN: so it is (exit code 3)"),
    ];
    for (code, health, message) in cases {
        let Some(seen) = plugin("check_dummy", &[code, "so it is"]).await else { return };
        assert_eq!((seen.health, seen.message.as_str(), seen.terminal), (health, message, false));
    }
    let Some(seen) = plugin("check_dummy", &["0", "so it is | 'queue length'=5;10;20 busy=70% lag=1500ms"]).await else { return };
    assert_eq!((seen.message.as_str(), labels(&seen)), ("OK: so it is", vec![("queue length", ""), ("busy", "%"), ("lag", "s")]));
    assert_eq!(value(&seen, "lag"), 1.5);
}
