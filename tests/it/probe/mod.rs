//! Probes against real loopback servers and real children.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "clippy's leave for tests covers test functions only, not what they call"
)]

mod abandoned;
mod certificate;
mod clock;
mod cloud_init;
mod container;
mod disk;
mod dns;
mod endurance;
mod exec;
mod file;
mod follow;
mod grpc;
mod hidden;
mod http;
mod https;
mod hung;
mod leftovers;
mod load;
mod memory;
mod mount;
mod plugins;
mod port;
mod process;
mod systemd;
mod tcp;

use ros_signal_agent::check::Observation;
use ros_signal_agent::plan::{Check, Exec, ExitCodes, Http, Level, Pattern, Probe, StatusRanges, TlsOptions};
use ros_signal_agent::probe::{Job, Prober};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Long enough for anything that is expected to end by itself.
const PATIENCE: Duration = Duration::from_secs(20);

fn check(probe: Probe, timeout: Duration) -> Arc<Check> {
    Arc::new(Check {
        name: Arc::from("web"),
        level: Level::Required,
        interval: Duration::from_secs(10),
        start_interval: Duration::from_secs(1),
        timeout,
        initial_delay: Duration::ZERO,
        start_period: Duration::ZERO,
        success_threshold: 1,
        failure_threshold: 3,
        depends_on: Vec::new(),
        tags: Vec::new(),
        probe,
    })
}

fn job(probe: Probe, timeout: Duration) -> Job {
    Job { check: check(probe, timeout), attempt: 1, deadline_unix_ms: None }
}

async fn run(probe: Probe) -> Observation {
    Prober::new().run(job(probe, PATIENCE)).await
}

fn pattern(text: &str) -> Pattern {
    Pattern(regex_lite::Regex::new(text).unwrap())
}

fn http(url: &str) -> Http {
    Http {
        url: url.parse().unwrap(),
        method: reqwest::Method::GET,
        headers: Vec::new(),
        body: None,
        expect_status: StatusRanges(vec![(200, 399)]),
        warn_status: StatusRanges(Vec::new()),
        expect_headers: Vec::new(),
        expect_body: None,
        expect_json: Vec::new(),
        follow_redirects: false,
        unix_socket: None,
        proxy: None,
        basic: None,
        tls: TlsOptions { verify: true, ca_file: None, client: None, server_name: None },
    }
}

async fn run_http(http: Http) -> Observation {
    run(Probe::Http(Box::new(http))).await
}

fn exec(command: &[&str]) -> Exec {
    Exec {
        command: command.iter().map(|word| (*word).to_owned()).collect(),
        exit_codes: ExitCodes::Zero,
        fatal: vec![78],
        kill_grace: Duration::from_secs(5),
        environment: BTreeMap::new(),
        working_directory: "/".into(),
    }
}

fn sh(script: &str) -> Exec {
    exec(&["/bin/sh", "-c", script])
}

/// Reads one request head, and a body of the announced length.
async fn read_request(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut seen = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let read = stream.read(&mut chunk).await.unwrap_or(0);
        seen.extend(&chunk[..read]);
        let text = String::from_utf8_lossy(&seen).into_owned();
        if read == 0 {
            return text;
        }
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return text;
            }
        }
    }
}

/// A server that gives each connection to `serve`, one after the other.
async fn server<F, S>(serve: F) -> u16
where
    F: Fn(TcpStream) -> S + Send + 'static,
    S: Future<Output = ()> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            serve(stream).await;
        }
    });
    port
}

/// A server that answers every request with `answer`, whole and as it is, and gives away the requests.
async fn answering(answer: impl Into<Vec<u8>>) -> (u16, Requests) {
    let answer: Arc<Vec<u8>> = Arc::new(answer.into());
    let requests = Requests::default();
    let seen = requests.clone();
    let port = server(move |mut stream| {
        let (answer, seen) = (Arc::clone(&answer), seen.clone());
        async move {
            let request = read_request(&mut stream).await;
            seen.0.lock().unwrap().push(request);
            let _ = stream.write_all(&answer).await;
            let _ = stream.shutdown().await;
        }
    })
    .await;
    (port, requests)
}

#[derive(Clone, Default)]
struct Requests(Arc<std::sync::Mutex<Vec<String>>>);

impl Requests {
    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    fn last(&self) -> String {
        self.all().pop().unwrap_or_default()
    }
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// A port on which nothing listens.
async fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}

/// Runs the test `name` in a process of its own, and says whether this is that process. For what is a property of the process:
/// its children, its descriptors, its being a subreaper.
fn in_own_process(name: &str) -> bool {
    in_process_with(name, &[])
}

/// The same with more in its environment.
#[expect(clippy::print_stdout, reason = "what it has measured is for whoever runs the tests")]
fn in_process_with(name: &str, environment: &[(&str, &str)]) -> bool {
    const MARK: &str = "PROBE_TEST_IN_OWN_PROCESS";
    if std::env::var_os(MARK).is_some() {
        return true;
    }
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", name, "--nocapture"]).env_remove("NO_PROXY").env_remove("no_proxy");
    let done = child.env(MARK, "1").envs(environment.iter().copied()).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success() && said.contains("1 passed"), "{name} in its own process:\n{said}");
    println!("{said}");
    false
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Waits until `condition` holds, looking often.
async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    assert!(waited.await.is_ok(), "waited too long until {what}");
}

fn alive(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}
