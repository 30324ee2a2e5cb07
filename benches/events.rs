//! A listener under signed events from wrk, beside ten checks at a pace of one second: 2,000 a second, then forged ones as fast as wrk can, then good
//! ones as fast as it can.
//!
//! ```sh
//! cargo bench --bench events            # SECONDS=20 by default for each; wrk must be installed
//! ```
//!
//! wrk keeps 32 connections and sends requests that were signed before, each with an id of its own; the agent runs as under systemd, with a watchdog
//! that must be fed. It fails when the agent takes more than 32 MiB, begins a check more than 50 ms late, leaves the watchdog unfed, takes a forged event,
//! or takes less than 2,000 good ones a second. On a busy host more of the lateness is the host's: what ran beside it is shown as its load.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "a program for developers"
)]

use ros_sandbox::{Config, Sandbox, Secret, StackSpec};
use ros_signal_agent::clock::{Moment, monotonic};
use ros_signal_agent::events::signature::{SigningKey, v2_headers};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::ops::Range;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const STACK: &str = "4a6c9851-3b0f-4f5f-b4ca-a14bf6910000";
const URL: &str = "https://agent.example.com/events";
const CERTIFICATE_URL: &str = "https://cn-hangzhou-eventbridge.oss-accelerate.aliyuncs.com/x509_public_certificate_2021012501.pem";
const RATE: u32 = 2_000;
/// Requests that are signed to learn how long that takes.
const TRIED: u32 = 50;
/// Of the watchdog, as the unit has it: half of it is the pace at which it is fed.
const WATCHDOG: Duration = Duration::from_secs(10);
const RSS_LIMIT_KIB: u64 = 32 * 1024;
const LATE_LIMIT: &str = "0.05";

fn main() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/events");
    if Command::new("wrk").arg("-v").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
        let required = std::env::var("ROS_SIGNAL_AGENT_PEERS").is_ok_and(|word| word == "required");
        assert!(!required, "wrk is not installed");
        println!("skipped: wrk is not installed");
        return;
    }
    let seconds: u32 = std::env::var("SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(20);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let sandbox = runtime.block_on(sandbox());
    std::thread::spawn(move || runtime.block_on(std::future::pending::<()>()));

    let dir = tempfile::Builder::new().permissions(PermissionsExt::from_mode(0o755)).tempdir().unwrap();
    let socket = dir.path().join("control.sock");
    std::fs::write(dir.path().join("config.toml"), configuration(&sandbox, dir.path(), &socket, &fixtures)).unwrap();
    std::fs::set_permissions(dir.path().join("config.toml"), PermissionsExt::from_mode(0o600)).unwrap();
    let manager = Manager::begin(&dir.path().join("notify.sock"));
    let agent = Running(
        Command::new(env!("CARGO_BIN_EXE_ros-signal-agent"))
            .arg("--config")
            .arg(dir.path().join("config.toml"))
            .arg("run")
            .envs([("ALIBABA_CLOUD_ACCESS_KEY_ID", "testAccessKeyId"), ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "testAccessKeySecret")])
            .env("NOTIFY_SOCKET", dir.path().join("notify.sock"))
            .env("WATCHDOG_USEC", WATCHDOG.as_micros().to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    let port = port(&socket);
    let requests = dir.path().join("requests");
    let count = RATE * seconds * 21 / 20;
    let mut seen = Seen::default();
    for load in [Load::Paced, Load::Forged, Load::Unbounded] {
        match load {
            Load::Paced => requests_into(&requests, &fixtures, 0..count),
            // Their signatures are those of others.
            Load::Forged => {}
            Load::Unbounded => requests_into(&requests, &fixtures, count..2 * count),
        }
        let (cpu, began) = (agent.cpu(), monotonic());
        let line = wrk(port, &requests, seconds, load);
        let (cpu, took) = (agent.cpu() - cpu, monotonic() - began);
        let metrics = ask(&socket, "/metrics");
        let late = seen.lateness(&metrics);
        let (anonymous, peak) = agent.memory_kib();
        let fed = manager.longest_gap();
        println!("{load:?}: {line}");
        println!(
            "  agent: {:.0} % of a core, RSS {peak} KiB at most so far ({anonymous} KiB its own now), watchdog unfed for {:.2} s of {} s at most; load {}",
            100.0 * cpu.as_secs_f64() / took.as_secs_f64(),
            fed.as_secs_f64(),
            WATCHDOG.as_secs(),
            std::fs::read_to_string("/proc/loadavg").unwrap().trim()
        );
        println!("  checks: {} began, of which later than {}", late.all, late.text);
        println!("  source: {}", ask(&socket, "/status").split("\"sources\":").nth(1).unwrap_or_default());
        let taken = number(&line, "taken=");
        match load {
            Load::Paced => assert!(taken >= u64::from(RATE * seconds * 9 / 10), "too few were taken: {line}"),
            Load::Forged => assert!(taken == 0, "forged events were taken: {line}"),
            Load::Unbounded => assert!(taken >= u64::from(RATE * seconds), "too few were taken: {line}"),
        }
        assert!(peak < RSS_LIMIT_KIB, "the agent takes {peak} KiB");
        assert!(fed < WATCHDOG, "the watchdog was not fed for {fed:?}");
        assert!(late.all >= u64::from(seconds * 5), "only {} checks began", late.all);
        assert!(late.above_limit == 0, "{} of {} checks began more than 50 ms late", late.above_limit, late.all);
    }
}

/// What wrk sends.
#[derive(Clone, Copy, Debug)]
enum Load {
    /// [`RATE`].
    Paced,
    /// As fast as it can, none of them signed by EventBridge.
    Forged,
    /// As fast as it can. Where the requests run out they are repeated, which costs as much until the signature was looked at.
    Unbounded,
}

fn wrk(port: u16, requests: &Path, seconds: u32, load: Load) -> String {
    let pace = match load {
        Load::Paced => (RATE / 2).to_string(),
        Load::Forged => "forged".to_owned(),
        Load::Unbounded => "0".to_owned(),
    };
    let output = Command::new("wrk")
        .args(["-t2", "-c32", &format!("-d{seconds}s"), "-s"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/load/sender.lua"))
        .arg(format!("http://127.0.0.1:{port}"))
        .arg("--")
        .arg(requests)
        .args([CERTIFICATE_URL, &pace])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    said.lines().find(|line| line.starts_with("rate=")).unwrap_or_else(|| panic!("wrk: {said}")).to_owned()
}

fn number(line: &str, name: &str) -> u64 {
    line.split(name).nth(1).unwrap().split(' ').next().unwrap().parse().unwrap()
}

/// Counters as they were when they were last read.
#[derive(Default)]
struct Seen(BTreeMap<String, u64>);

/// Beginnings of checks since then.
struct Late {
    all: u64,
    above_limit: u64,
    /// How many began later than so many seconds.
    text: String,
}

impl Seen {
    fn lateness(&mut self, metrics: &str) -> Late {
        let lines = metrics.lines().filter_map(|line| line.strip_prefix("ros_signal_agent_check_lateness_seconds")?.rsplit_once(' '));
        let now: BTreeMap<String, u64> = lines.filter_map(|(name, count)| Some((name.to_owned(), count.parse().ok()?))).collect();
        let before = std::mem::replace(&mut self.0, now);
        let since = |part: &str| {
            let (name, count) = self.0.iter().find(|(name, _)| name.contains(part)).unwrap_or_else(|| panic!("{metrics}"));
            count - before.get(name).unwrap_or(&0)
        };
        let all = since("_count");
        let limits = ["0.001", "0.003", "0.01", "0.03", LATE_LIMIT, "0.1"];
        let text: Vec<_> = limits.iter().map(|limit| format!("{limit} s: {}", all - since(&format!("le=\"{limit}\"")))).collect();
        Late { all, above_limit: all - since(&format!("le=\"{LATE_LIMIT}\"")), text: text.join(", ") }
    }
}

async fn sandbox() -> Sandbox {
    let sandbox = Sandbox::start(Config::new("testAccessKeyId", Secret::new("testAccessKeySecret"))).await.unwrap();
    sandbox.put_stack(STACK, StackSpec::waiting_for("WebReady", 1, 900.0)).unwrap();
    sandbox.set_metadata("meta-data/instance-id", "i-bp1a2b3c4d5e6f7g8h9i").unwrap();
    sandbox.set_metadata("meta-data/region-id", "cn-hangzhou").unwrap();
    sandbox
}

fn configuration(sandbox: &Sandbox, dir: &Path, socket: &Path, fixtures: &Path) -> String {
    let target = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = target.local_addr().unwrap();
    std::thread::spawn(move || target.incoming().for_each(drop));
    let mut text = format!(
        "[stack]\nstack_id = \"{STACK}\"\n[ros]\nendpoint = \"{ros}\"\n[instance]\nmetadata_url = \"{metadata}\"\n\
         [credentials]\nprovider = \"environment\"\n[agent]\nstate_dir = \"{dir}/state\"\nsocket = \"{socket}\"\nlog = \"error\"\n\
         [signal.web]\nresource = \"WebReady\"\n\
         [source.eb]\ntype = \"http\"\nlisten = \"127.0.0.1:0\"\nurl = \"{URL}\"\ncertificate_file = \"{fixtures}/signing-certificate.pem\"\n",
        ros = sandbox.ros_url(),
        metadata = sandbox.metadata_url(),
        dir = dir.display(),
        socket = socket.display(),
        fixtures = fixtures.display()
    );
    for index in 0..10 {
        let _ = write!(text, "[check.tcp{index}]\ntype = \"tcp\"\naddress = \"{address}\"\ninterval = \"1s\"\n");
    }
    text
}

/// Those of these numbers, each with an id of its own: signed before, because signing takes longer than verifying.
fn requests_into(path: &Path, fixtures: &Path, numbers: Range<u32>) {
    let key = SigningKey::of_pem(&std::fs::read(fixtures.join("signing-key.pem")).unwrap()).unwrap();
    let began = monotonic();
    (0..TRIED).for_each(|number| drop(request(&key, number, 0)));
    // The window is a minute to both sides: from shortly before the last one is signed nearly two minutes are left.
    let signing = (monotonic() - began) * numbers.len().try_into().unwrap() / TRIED / 2;
    let at = Moment::now().plus(signing).wall_ms + 50_000;
    let middle = u32::midpoint(numbers.start, numbers.end);
    let made = |numbers: Range<u32>| numbers.map(|number| request(&key, number, at)).collect::<String>();
    let text = std::thread::scope(|scope| {
        let first = scope.spawn(|| made(numbers.start..middle));
        let second = made(middle..numbers.end);
        first.join().unwrap() + &second
    });
    std::fs::write(path, text).unwrap();
}

fn request(key: &SigningKey, number: u32, at_ms: i64) -> String {
    let body = format!(
        "{{\"id\":\"load-{number}\",\"source\":\"acs.ros\",\"specversion\":\"1.0\",\"type\":\"ros:StackStateChange:UpdateComplete\",\
         \"data\":{{\"StackId\":\"{STACK}\",\"StackName\":\"web\",\"Status\":\"UPDATE_COMPLETE\",\"Outputs\":[]}}}}"
    );
    let headers = v2_headers(key, URL, body.as_bytes(), at_ms, CERTIFICATE_URL, None).unwrap();
    let value = |name: &str| &headers.iter().find(|(other, _)| *other == name).unwrap().1;
    format!("{}\t{}\t{body}\n", value("x-eventbridge-signature-timestamp"), value("x-eventbridge-signature-v2"))
}

/// The service manager: hears the words of the agent and when they came.
struct Manager(Arc<Mutex<Vec<Duration>>>);

impl Manager {
    fn begin(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        let fed = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&fed);
        std::thread::spawn(move || {
            let mut word = [0; 4096];
            while let Ok(length) = socket.recv(&mut word) {
                let word = String::from_utf8_lossy(&word[..length]).into_owned();
                if word.contains("WATCHDOG=1") || word.contains("READY=1") {
                    heard.lock().unwrap().push(monotonic());
                }
            }
        });
        Self(fed)
    }

    fn longest_gap(&self) -> Duration {
        let mut times = self.0.lock().unwrap().clone();
        times.push(monotonic());
        times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(Duration::MAX)
    }
}

fn port(socket: &Path) -> u16 {
    for _ in 0..3_000 {
        if let Ok(status) = try_ask(socket, "/status")
            && let Some(rest) = status.split("listens on 127.0.0.1:").nth(1)
        {
            return rest.split(',').next().unwrap().parse().unwrap();
        }
        wait(Duration::from_millis(10));
    }
    panic!("the agent does not listen");
}

#[expect(clippy::disallowed_methods, reason = "a measurement takes its time")]
fn wait(span: Duration) {
    std::thread::sleep(span);
}

/// A process that is ended when it is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}

impl Running {
    /// Its own pages now, and all at most.
    fn memory_kib(&self) -> (u64, u64) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok()).unwrap();
        (field("RssAnon:"), field("VmHWM:"))
    }

    /// What it has used of the processor.
    fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap();
        let ticks = stat.rsplit(')').next().unwrap().split(' ').skip(12).take(2).map(|field| field.parse::<u64>().unwrap());
        Duration::from_millis(ticks.sum::<u64>() * 10)
    }
}

fn ask(socket: &Path, path: &str) -> String {
    try_ask(socket, path).unwrap()
}

fn try_ask(socket: &Path, path: &str) -> std::io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
