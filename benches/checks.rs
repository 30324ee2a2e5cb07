//! A thousand checks of mixed kinds at a pace of one second, and monit with the same targets.
//!
//! ```sh
//! cargo bench --bench checks            # SECONDS=60 by default, after WARM_UP=10
//! ```
//!
//! Prints a table: processor time, resident memory, threads and descriptors of the agent and of monit (where it is installed), and
//! how late the agent's runs began. The targets are served by this program. Nothing is asserted: figures are for people to judge.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::indexing_slicing, missing_docs, reason = "a program for developers")]

use ros_sandbox::{Config, Sandbox, Secret, StackSpec};
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const STACK: &str = "4a6c9851-3b0f-4f5f-b4ca-a14bf6910000";

/// How many checks of each kind.
#[derive(Clone, Copy)]
struct Mix {
    tcp: usize,
    http: usize,
    file: usize,
    process: usize,
    disk: usize,
    exec: usize,
    port: usize,
    mount: usize,
    memory: usize,
    load: usize,
    certificate: usize,
    composite: usize,
}

/// What monit can look at too.
const SHARED: Mix = Mix {
    tcp: 350,
    http: 300,
    file: 250,
    process: 40,
    disk: 40,
    exec: 20,
    port: 0,
    mount: 0,
    memory: 0,
    load: 0,
    certificate: 0,
    composite: 0,
};

const MIXED: Mix = Mix {
    tcp: 250,
    http: 200,
    file: 200,
    process: 40,
    disk: 50,
    exec: 20,
    port: 80,
    mount: 40,
    memory: 30,
    load: 30,
    certificate: 30,
    composite: 30,
};

fn main() {
    let span = Duration::from_secs(number("SECONDS", 60));
    let warm_up = Duration::from_secs(number("WARM_UP", 10));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let bench = runtime.block_on(Bench::new());
    // Targets are served on a thread of their own while this one measures.
    std::thread::spawn(move || runtime.block_on(std::future::pending::<()>()));

    println!("{} checks of mixed kinds, each every second, for {} s", total(MIXED), span.as_secs());
    let agent = bench.agent(MIXED, warm_up, span);
    println!("\n{}", agent.lateness);
    let mut rows = vec![("agent, mixed", agent.cost)];
    rows.push(("agent, monit's targets", bench.agent(SHARED, warm_up, span).cost));
    match bench.monit(SHARED, warm_up, span) {
        Some(cost) => rows.push(("monit, the same", cost)),
        None => println!("monit is not installed: no peer"),
    }
    println!("{:<24}{:>14}{:>12}{:>10}{:>14}{:>10}", "", "CPU s/min", "RSS KiB", "threads", "descriptors", "zombies");
    for (name, cost) in rows {
        println!(
            "{name:<24}{:>14.2}{:>12}{:>10}{:>14}{:>10}",
            cost.cpu_per_minute, cost.rss_kib, cost.threads, cost.descriptors, cost.zombies
        );
    }
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn total(mix: Mix) -> usize {
    let Mix { tcp, http, file, process, disk, exec, port, mount, memory, load, certificate, composite } = mix;
    tcp + http + file + process + disk + exec + port + mount + memory + load + certificate + composite
}

struct Bench {
    dir: tempfile::TempDir,
    sandbox: Sandbox,
    target: SocketAddr,
}

struct Cost {
    cpu_per_minute: f64,
    rss_kib: u64,
    threads: u64,
    descriptors: usize,
    zombies: usize,
}

struct AgentRun {
    cost: Cost,
    lateness: String,
}

impl Bench {
    async fn new() -> Self {
        let sandbox = Sandbox::start(Config::new("testAccessKeyId", Secret::new("testAccessKeySecret"))).await.unwrap();
        sandbox.put_stack(STACK, StackSpec::waiting_for("WebReady", 1, 900.0)).unwrap();
        sandbox.set_metadata("meta-data/instance-id", "i-bp1a2b3c4d5e6f7g8h9i").unwrap();
        sandbox.set_metadata("meta-data/region-id", "cn-hangzhou").unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = listener.local_addr().unwrap();
        std::thread::spawn(move || serve(&listener));
        let dir = tempfile::Builder::new().permissions(PermissionsExt::from_mode(0o755)).tempdir().unwrap();
        let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(dir.path().join("cert.pem"), key.cert.pem()).unwrap();
        Self { dir, sandbox, target }
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    fn agent(&self, mix: Mix, warm_up: Duration, span: Duration) -> AgentRun {
        let state = tempfile::tempdir_in(self.dir.path()).unwrap();
        let socket = state.path().join("control.sock");
        let config = state.path().join("config.toml");
        std::fs::write(&config, self.configuration(mix, state.path(), &socket)).unwrap();
        std::fs::set_permissions(&config, PermissionsExt::from_mode(0o600)).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_ros-signal-agent"));
        command.arg("--config").arg(&config).arg("run").env("ALIBABA_CLOUD_ACCESS_KEY_ID", "testAccessKeyId");
        command.env("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "testAccessKeySecret").stdout(Stdio::null()).stderr(Stdio::null());
        let agent = Running(command.spawn().unwrap());
        let cost = agent.measure(warm_up, span);
        let lateness = lateness(&ask(&socket, "/metrics"));
        AgentRun { cost, lateness }
    }

    fn configuration(&self, mix: Mix, state: &Path, socket: &Path) -> String {
        let mut text = format!(
            "[stack]\nstack_id = \"{STACK}\"\n[ros]\nendpoint = \"{}\"\n[instance]\nmetadata_url = \"{}\"\n\
             [credentials]\nprovider = \"environment\"\n[agent]\nstate_dir = \"{}\"\nsocket = \"{}\"\nlog = \"error\"\n\
             [signal.web]\nresource = \"WebReady\"\n",
            self.sandbox.ros_url(),
            self.sandbox.metadata_url(),
            state.display(),
            socket.display()
        );
        let target = self.target;
        let mut add = |kind: &str, count: usize, keys: &str| {
            for index in 0..count {
                let _ = write!(text, "[check.{kind}{index}]\ntype = \"{kind}\"\n{keys}\n");
                if kind != "composite" {
                    text.push_str("interval = \"1s\"\n");
                }
            }
        };
        add("tcp", mix.tcp, &format!("address = \"{target}\""));
        add("http", mix.http, &format!("url = \"http://{target}/\""));
        add("file", mix.file, &format!("path = \"{}\"", self.path("cert.pem")));
        add("process", mix.process, "name = \"checks\"\ncrit = \"0:\"");
        add("disk", mix.disk, "path = \"/\"\ncrit = \"0:\"");
        add("exec", mix.exec, "command = [\"/bin/true\"]");
        add("port", mix.port, &format!("port = {}", target.port()));
        add("mount", mix.mount, "path = \"/\"");
        add("memory", mix.memory, "crit = \"0:\"");
        add("load", mix.load, "crit = \"0:\"");
        add("certificate", mix.certificate, &format!("file = \"{}\"\nverify = false", self.path("cert.pem")));
        add("composite", mix.composite, "all_of = [\"tcp0\", \"http0\"]");
        text
    }

    fn monit(&self, mix: Mix, warm_up: Duration, span: Duration) -> Option<Cost> {
        let control = self.dir.path().join("monitrc");
        std::fs::write(&control, self.monit_control(mix)).unwrap();
        std::fs::set_permissions(&control, PermissionsExt::from_mode(0o600)).unwrap();
        let mut command = Command::new("monit");
        command.arg("-I").arg("-c").arg(&control).stdout(Stdio::null()).stderr(Stdio::null());
        let monit = Running(command.spawn().ok()?);
        Some(monit.measure(warm_up, span))
    }

    fn monit_control(&self, mix: Mix) -> String {
        let mut text = format!(
            "set daemon 1\nset pidfile {0}\nset statefile {1}\nset idfile {2}\n",
            self.path("pid"),
            self.path("state"),
            self.path("id")
        );
        let target = self.target;
        let port = target.port();
        let mut add = |count: usize, head: &dyn Fn(usize) -> String, test: &str| {
            for index in 0..count {
                let _ = writeln!(text, "check {}\n  {test}", head(index));
            }
        };
        let host = |name: &'static str| move |index: usize| format!("host {name}{index} with address 127.0.0.1");
        add(mix.tcp, &host("tcp"), &format!("if failed port {port} type tcp then alert"));
        add(mix.http, &host("http"), &format!("if failed port {port} protocol http request \"/\" then alert"));
        let file = self.path("cert.pem");
        add(mix.file, &|index| format!("file file{index} with path {file}"), "if does not exist then alert");
        add(mix.process, &|index| format!("process process{index} matching \"checks\""), "if does not exist then alert");
        add(mix.disk, &|index| format!("filesystem disk{index} with path /"), "if space usage > 100 % then alert");
        add(mix.exec, &|index| format!("program exec{index} with path /bin/true"), "if status != 0 then alert");
        text
    }
}

/// Answers everything with 200, each connection on its own: what is measured is who asks.
fn serve(listener: &TcpListener) {
    for stream in listener.incoming() {
        let Ok(mut stream) = stream else { continue };
        let _ = stream.set_read_timeout(Some(Duration::from_millis(200)));
        let mut request = [0; 2048];
        if stream.read(&mut request).is_ok_and(|read| read > 0) {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
        }
    }
}

/// A peer that is ended when it is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}

impl Running {
    fn measure(&self, warm_up: Duration, span: Duration) -> Cost {
        let pid = self.0.id();
        wait(warm_up);
        let before = ticks(pid);
        wait(span);
        let used = (ticks(pid) - before) as f64 / 100.0;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let field =
            |name: &str| status.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok()).unwrap_or(0);
        Cost {
            cpu_per_minute: used * 60.0 / span.as_secs_f64(),
            rss_kib: field("VmRSS:"),
            threads: field("Threads:"),
            descriptors: std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count),
            zombies: zombies(pid),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a measurement takes its time")]
fn wait(span: Duration) {
    std::thread::sleep(span);
}

/// Processor time of a process and of its children that have ended, in ticks of 10 ms.
fn ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<_> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    fields[11..15].iter().map(|field| field.parse::<u64>().unwrap()).sum()
}

fn zombies(parent: u32) -> usize {
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(|entry| std::fs::read_to_string(entry.ok()?.path().join("stat")).ok());
    let states = processes.filter_map(|stat| {
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
        Some((fields.next()?.to_owned(), fields.next()?.parse::<u32>().ok()?))
    });
    states.filter(|(state, of)| state == "Z" && *of == parent).count()
}

fn ask(socket: &Path, path: &str) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// The histogram of the agent as lines: of each kind the runs, and how many of them were not later than the bounds.
fn lateness(metrics: &str) -> String {
    let prefix = "ros_signal_agent_check_lateness_seconds_bucket{";
    let mut kinds: std::collections::BTreeMap<String, Vec<(String, u64)>> = std::collections::BTreeMap::new();
    for line in metrics.lines().filter_map(|line| line.strip_prefix(prefix)) {
        let Some((labels, count)) = line.split_once("} ") else { continue };
        let label = |name: &str| labels.split(',').find_map(|label| label.strip_prefix(name)?.strip_prefix("=\"")?.strip_suffix('"'));
        let (Some(kind), Some(bound), Ok(count)) = (label("kind"), label("le"), count.parse()) else { continue };
        for of in [kind, "all"] {
            let bounds = kinds.entry(of.to_owned()).or_default();
            match bounds.iter_mut().find(|(known, _)| known == bound) {
                Some((_, sum)) => *sum += count,
                None => bounds.push((bound.to_owned(), count)),
            }
        }
    }
    let mut text = format!("{:<14}{:>10}  share of runs that began at most so many seconds late\n", "kind", "runs");
    for (kind, bounds) in kinds {
        let runs = bounds.last().map_or(0, |(_, count)| *count);
        let shares: Vec<_> = bounds
            .iter()
            .filter(|(bound, _)| bound != "+Inf")
            .map(|(bound, count)| format!("{bound}: {:.2}%", *count as f64 * 100.0 / runs.max(1) as f64))
            .collect();
        let _ = writeln!(text, "{kind:<14}{runs:>10}  {}", shares.join("  "));
    }
    text
}
