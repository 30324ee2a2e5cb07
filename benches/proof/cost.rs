//! What a run of a check costs, beside the bare system calls that it cannot do without.
//!
//! The agent's side is its prober in this process, called as the daemon calls it: on a runtime of one thread, each run a task of its own.
//! The bare side is a loop on this thread. Both take turns in blocks, and the order within a pair changes, so that a machine that grows
//! slower does so for both. Processor time is that of this process and of its children, of which what serves is taken off.

use crate::stage::report::Report;
use crate::stage::{Spread, number};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use ros_signal_agent::check::Health;
use ros_signal_agent::plan::{Check, Exec, ExitCodes, Http, Level, Probe, SocketTarget, StatusRanges, Tcp, TlsOptions};
use ros_signal_agent::probe::{Job, Prober};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, Shutdown, SocketFlags, SocketType, ipproto, sockopt};
use rustix::time::{ClockId, clock_gettime};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

/// A run may cost so many times what its system calls do.
const GOAL: f64 = 1.5;
/// A check that says nothing would be `timeout = "5s"`.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The program of `exec`.
const PROGRAM: &str = "/bin/true";
/// What its children find in their environment, as those of the agent do.
const ENVIRONMENT: [(&str, &str); 2] = [("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"), ("LANG", "C.UTF-8")];

pub(crate) fn run(report: &mut Report) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // As the daemon does first of all: it changes what has to be looked at after each run.
    ros_signal_agent::probe::adopt_orphans().unwrap();
    let agent = Agent { prober: Arc::new(runtime.block_on(async { Prober::new() })), runtime };
    report.line(
        "Wall and processor time (user and system, children included) of one run of a check, by the agent's prober in this process, beside \
         a loop that does nothing but the system calls: for `tcp` socket(2), connect(2) without waiting, poll(2), shutdown(2) and close(2); for \
         `exec` posix_spawn(3) of the same program with both outputs in pipes, reading them, and wait(2); for `http` the same as for `tcp` with a \
         request written and the answer read. Medians of blocks that take turns; the ratio is that of each pair of blocks, with the \
         10th and 90th percentile of the pairs.",
    );
    report.line("");
    let measured = [tcp(&agent), exec(&agent), http(&agent)];
    let rows = measured.iter().flat_map(Measured::rows).collect::<Vec<_>>();
    report.table(&["", "runs of each", "agent, us", "bare, us", "ratio", "p10 to p90"], &rows);
    for measured in &measured {
        report.line(&measured.verdict());
    }
}

/// The agent's side.
struct Agent {
    runtime: Runtime,
    prober: Arc<Prober>,
}

impl Agent {
    /// So many runs, one after the other.
    fn run(&self, check: &Arc<Check>, count: u64) {
        self.runtime.block_on(async {
            let mut probes = JoinSet::new();
            for attempt in 1..=count {
                let (prober, job) = (Arc::clone(&self.prober), Job { check: Arc::clone(check), attempt, deadline_unix_ms: None });
                probes.spawn(async move { prober.run(job).await });
                let observation = probes.join_next().await.unwrap().unwrap();
                assert_eq!(observation.health, Health::Passing, "{}", observation.message);
            }
        });
    }
}

/// Wall and processor time of one run, in microseconds.
#[derive(Clone, Copy)]
struct Figures {
    wall: f64,
    cpu: f64,
}

struct Measured {
    kind: &'static str,
    /// Whether there is a goal for it.
    goal: bool,
    runs: u64,
    /// The agent's block and the bare one beside it.
    pairs: Vec<(Figures, Figures)>,
}

impl Measured {
    fn rows(&self) -> Vec<Vec<String>> {
        let row = |what: &str, of: fn(&Figures) -> f64| {
            let (agent, bare) = (self.spread(|(agent, _)| of(agent)), self.spread(|(_, bare)| of(bare)));
            let ratio = self.spread(|(agent, bare)| of(agent) / of(bare));
            vec![
                format!("{}, {what}", self.kind),
                self.runs.to_string(),
                format!("{:.1}", agent.median()),
                format!("{:.1}", bare.median()),
                format!("{:.2}", ratio.median()),
                format!("{:.2} to {:.2}", ratio.at(0.1), ratio.at(0.9)),
            ]
        };
        vec![row("wall", |figures| figures.wall), row("CPU", |figures| figures.cpu)]
    }

    fn spread(&self, of: impl Fn(&(Figures, Figures)) -> f64) -> Spread {
        Spread::of(self.pairs.iter().map(of).collect())
    }

    fn verdict(&self) -> String {
        let wall = self.spread(|(agent, bare)| agent.wall / bare.wall).median();
        let cpu = self.spread(|(agent, bare)| agent.cpu / bare.cpu).median();
        if !self.goal {
            return format!("- `{}`: {wall:.2} of wall time, {cpu:.2} of processor time; no goal was set.", self.kind);
        }
        let said = if wall < GOAL && cpu < GOAL { "reached" } else { "missed" };
        format!("- Goal for `{}`, under {GOAL}: {said}; {wall:.2} of wall time, {cpu:.2} of processor time.", self.kind)
    }
}

/// So many runs.
type Block<'a> = &'a dyn Fn(u64);

/// Lets both sides take turns. `served` is the processor time of what serves, in nanoseconds; `rest` is what is done between blocks.
fn measure(
    (kind, goal): (&'static str, bool),
    (blocks, size): (u64, u64),
    served: &AtomicU64,
    (agent, bare, rest): (Block<'_>, Block<'_>, &dyn Fn()),
) -> Measured {
    let block = |work: Block<'_>| {
        let (wall, cpu) = (now(), used(served));
        work(size);
        let figures = Figures { wall: wall.elapsed().as_secs_f64() * 1e6 / size as f64, cpu: (used(served) - cpu) / size as f64 };
        rest();
        figures
    };
    // Not measured: what is made once.
    block(agent);
    block(bare);
    let pairs = (0..blocks).map(|number| match number % 2 {
        0 => {
            let agent = block(agent);
            (agent, block(bare))
        }
        _ => {
            let bare = block(bare);
            (block(agent), bare)
        }
    });
    Measured { kind, goal, pairs: pairs.collect(), runs: blocks * size }
}

/// Microseconds of processor time of this process and its children, less those of what serves.
fn used(served: &AtomicU64) -> f64 {
    let own = nanoseconds(ClockId::ProcessCPUTime);
    let children = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
    let children = children.user_time().num_microseconds() + children.system_time().num_microseconds();
    (own - served.load(Ordering::Acquire)) as f64 / 1e3 + children as f64
}

#[expect(clippy::disallowed_methods, reason = "a measurement is of the real clock")]
fn now() -> Instant {
    Instant::now()
}

fn nanoseconds(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    u64::try_from(time.tv_sec * 1_000_000_000 + time.tv_nsec).unwrap()
}

fn check(name: &str, probe: Probe) -> Arc<Check> {
    Arc::new(Check {
        name: Arc::from(name),
        level: Level::Required,
        interval: Duration::from_secs(10),
        start_interval: Duration::from_secs(1),
        timeout: TIMEOUT,
        initial_delay: Duration::ZERO,
        start_period: Duration::ZERO,
        success_threshold: 1,
        failure_threshold: 3,
        depends_on: Vec::new(),
        tags: Vec::new(),
        probe,
    })
}

/// The kernel takes the connections, and nobody of this process: they are put away between the blocks.
fn tcp(agent: &Agent) -> Measured {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    // The length of the queue can be changed afterwards; that of std is 128.
    rustix::net::listen(&listener, 4096).unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let target = SocketTarget::HostPort(address.ip().to_string(), address.port());
    let probe = check("tcp", Probe::Tcp(Tcp { address: target, send: None, expect: None }));
    let put_away = || while listener.accept().is_ok() {};
    let blocks = (number("BLOCKS", 20), number("TCP_RUNS", 400));
    measure(
        ("tcp", true),
        blocks,
        &AtomicU64::new(0),
        (&|count| agent.run(&probe, count), &|count| (0..count).for_each(|_| connect_and_close(address)), &put_away),
    )
}

fn connect_and_close(address: SocketAddr) {
    let stream = connect(address);
    rustix::net::shutdown(&stream, Shutdown::Write).unwrap();
}

fn connect(address: SocketAddr) -> std::os::fd::OwnedFd {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let stream = rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, Some(ipproto::TCP)).unwrap();
    match rustix::net::connect(&stream, &address) {
        Ok(()) => {}
        Err(Errno::INPROGRESS) => {
            wait_for(&stream, PollFlags::OUT);
            sockopt::socket_error(&stream).unwrap().unwrap();
        }
        Err(error) => panic!("{error}"),
    }
    stream
}

fn wait_for(stream: &std::os::fd::OwnedFd, what: PollFlags) {
    let limit = Timespec { tv_sec: 5, tv_nsec: 0 };
    assert_eq!(poll(&mut [PollFd::new(stream, what)], Some(&limit)).unwrap(), 1);
}

fn exec(agent: &Agent) -> Measured {
    let exec = Exec {
        command: vec![PROGRAM.to_owned()],
        exit_codes: ExitCodes::Zero,
        fatal: Vec::new(),
        kill_grace: Duration::from_secs(5),
        environment: BTreeMap::new(),
        working_directory: "/".into(),
    };
    let probe = check("exec", Probe::Exec(exec));
    let spawn = || {
        // std does it by posix_spawn(3), reads both pipes as they come, and waits.
        let mut command = Command::new(PROGRAM);
        command.env_clear().envs(ENVIRONMENT).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        assert!(command.output().unwrap().status.success());
    };
    let blocks = (number("BLOCKS", 20), number("EXEC_RUNS", 100));
    measure(
        ("exec", true),
        blocks,
        &AtomicU64::new(0),
        (&|count| agent.run(&probe, count), &|count| (0..count).for_each(|_| spawn()), &|| {}),
    )
}

/// With a server on a thread of this process, whose processor time is taken off.
fn http(agent: &Agent) -> Measured {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let served = Arc::new(AtomicU64::new(0));
    let mine = Arc::clone(&served);
    std::thread::spawn(move || serve(&listener, &mine));
    let http = Http {
        url: format!("http://{address}/").parse().unwrap(),
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
    };
    let probe = check("http", Probe::Http(Box::new(http)));
    let request = format!("GET / HTTP/1.1\r\nHost: {address}\r\nUser-Agent: bare\r\nConnection: close\r\n\r\n");
    let ask = || {
        let stream = connect(address);
        assert_eq!(rustix::io::write(&stream, request.as_bytes()).unwrap(), request.len());
        wait_for(&stream, PollFlags::IN);
        let mut answer = [0; 4096];
        let read = rustix::io::read(&stream, &mut answer).unwrap();
        assert!(answer[..read].starts_with(b"HTTP/1.1 200"));
    };
    let blocks = (number("BLOCKS", 20), number("HTTP_RUNS", 200));
    measure(("http", false), blocks, &served, (&|count| agent.run(&probe, count), &|count| (0..count).for_each(|_| ask()), &|| {}))
}

fn serve(listener: &TcpListener, served: &AtomicU64) {
    for stream in listener.incoming() {
        answer(&mut stream.unwrap());
        served.store(nanoseconds(ClockId::ThreadCPUTime), Ordering::Release);
    }
}

fn answer(stream: &mut TcpStream) {
    let mut request = [0; 2048];
    if stream.read(&mut request).is_ok_and(|read| read > 0) {
        // Who has what he wanted may have gone.
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
    }
}
