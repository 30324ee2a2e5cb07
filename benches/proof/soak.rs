//! A day in the life of a host in one hour: does anything grow?
//!
//! ```sh
//! cargo bench --bench proof -- soak                # an hour; HOURS=2 two of them, each a day
//! MINUTES=3 cargo bench --bench proof -- soak      # to try it out
//! ```
//!
//! `KEEP_LOG` and `KEEP_SAMPLES` name files for the agent's log and for the samples, to look for the cause where something grows.
//!
//! The agent runs as under systemd: told by its manager's socket, with a watchdog that has to be fed, and with the environment of its unit. Its stack is
//! updated every 100 seconds, with a fault on the way each time; services fall sick; credentials of the role expire and change; the configuration is
//! reloaded; clients come and vanish. What it takes is sampled, and a straight line is laid through the samples after the first three hours of its day.

mod clients;
mod host;
mod life;
mod manager;
mod samples;

use crate::stage::process::{self, Running};
use crate::stage::report::Report;
use crate::stage::world::{KEY, SECRET, STACK, write_private};
use crate::stage::{agent, number};
use clients::{Clients, say};
use host::{CALLBACK, Host};
use life::{Counts, End, Life, Rounds};
use manager::{Manager, WATCHDOG};
use ros_sandbox::{Change, Config, EventTarget, Mode, ResourceSpec, Sandbox, Secret, Signature, StackSpec, StatusChangeEvents, Switches};
use ros_signal_agent::clock::monotonic;
use samples::{Course, Judgement, MEASURES, Sample};
use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

/// How much faster than life.
const FASTER: u32 = 24;

/// Between two samples.
const SAMPLES: Duration = Duration::from_secs(10);

/// Nothing is said of growth where the time was shorter: pools and allocators take their time to fill.
const JUDGED: u64 = 60;

/// Life of the credentials of a RAM role: six hours in fact. They are renewed a quarter of an hour before their end, which is not shortened.
const CREDENTIALS: Duration = Duration::from_secs(6 * 3600 / FASTER as u64);

/// How long what is under way when the time is over may take to end.
const ENDING: Duration = Duration::from_secs(120);

pub(crate) fn run(report: &mut Report) {
    let minutes = number("MINUTES", 60 * number("HOURS", 1));
    let time = Duration::from_secs(60 * minutes);
    let dir = tempfile::Builder::new().prefix("soak-").permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755)).tempdir().unwrap();
    let (sandbox, grpc) = world();
    let host = Host::begin(dir.path(), grpc);
    let (text, checks) = host.configuration(&sandbox, STACK, false);
    let config = write_private(&dir.path().join("config.toml"), &text);
    let manager = Manager::begin(&dir.path().join("notify.sock"));
    let rounds = Rounds::follow(&sandbox);
    sandbox.change(STACK, Change::create(stack())).unwrap();
    let began = monotonic();
    let mut agent = start(&config, dir.path());
    targets(&sandbox, &host);
    let clients = Clients::begin(&host.file("control.sock"));
    let mut life = Life::new(&host, &sandbox, STACK, config);
    let (mut samples, mut runs, mut looked) = (Vec::new(), Runs::default(), None);
    let (mut peak, mut looks) = (0, None::<Sample>);
    loop {
        let now = monotonic() - began;
        if agent.0.try_wait().unwrap().is_some() {
            break;
        }
        life.goes_on(now, now >= time);
        if now < time {
            let look = Sample::take(agent.id(), now, &dir.path().join("state"));
            looks = Some(looks.map_or(look, |earlier| earlier.and(look)));
        }
        if now >= SAMPLES * u32::try_from(samples.len() + 1).unwrap() && now < time {
            peak = process::status(agent.id(), "VmHWM:");
            samples.extend(looks.take());
            runs.count(&say(&host.file("control.sock"), "GET", "/metrics", "").unwrap_or_default());
        }
        if now >= time + ENDING || now >= time && life.at_rest() && !host.is_sick() {
            looked = say(&host.file("control.sock"), "GET", "/status", "").ok().or(looked);
            break;
        }
        life::pause();
    }
    let (counts, owed) = (life.counts, life.owed);
    let heard = manager.heard(monotonic());
    let visits = clients.count();
    let ended = end(agent);
    let log = std::fs::read_to_string(dir.path().join("agent.log")).unwrap_or_default();
    if let Some(keep) = std::env::var_os("KEEP_LOG") {
        std::fs::write(keep, &log).unwrap();
    }
    if let Some(keep) = std::env::var_os("KEEP_SAMPLES") {
        std::fs::write(keep, samples.iter().map(Sample::line).collect::<String>()).unwrap();
    }
    let day = Duration::from_secs(86_400) / FASTER;
    if ended.contains("by itself") {
        println!("{log}");
    }
    say_what_was(report, minutes, checks);
    let judged = minutes >= JUDGED;
    let grown = say_courses(report, &samples, day, judged);
    let outcome =
        Outcome { counts, owed, heard, visits, ended, checks: runs.total, peak, hooks: lines(&host.file("hooks.log")), log: &log };
    let wrong = say_counts(report, &outcome, &rounds, looked.as_deref().unwrap_or_default(), &sandbox);
    let verdict = if grown.is_empty() && wrong.is_empty() {
        let told = "nothing was lost or doubled, and each round ended as the host was";
        if judged {
            format!("**Goal reached**: memory, descriptors and threads are flat, {told}.")
        } else {
            format!("**No verdict** on growth: {minutes} minutes are too short, {JUDGED} are needed. As for the rest, {told}.")
        }
    } else {
        format!("**Goal missed**: {}.", grown.into_iter().chain(wrong).collect::<Vec<_>>().join("; "))
    };
    report.line(&verdict);
}

/// The sandbox with a RAM role, a queue and a gRPC server beside it, on a thread of its own.
fn world() -> (Sandbox, std::net::SocketAddr) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let switches = Switches { status_change_events: StatusChangeEvents::Notified, ..Switches::default() };
    let config = Config { switches, ..Config::new(KEY, Secret::new(SECRET)) };
    let (sandbox, grpc) = runtime.block_on(async {
        let sandbox = Sandbox::start(config).await.unwrap();
        let (_, health) = tonic_health::server::health_reporter();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let grpc = listener.local_addr().unwrap();
        let server = tonic::transport::Server::builder().add_service(health);
        tokio::spawn(server.serve_with_incoming(tonic::transport::server::TcpIncoming::from(listener)));
        (sandbox, grpc)
    });
    sandbox.set_metadata("meta-data/instance-id", "i-bp1a2b3c4d5e6f7g8h9i").unwrap();
    sandbox.set_metadata("meta-data/region-id", "cn-hangzhou").unwrap();
    sandbox.set_credential_lifetime(CREDENTIALS);
    sandbox.make_queue("q").unwrap();
    std::thread::spawn(move || runtime.block_on(std::future::pending::<()>()));
    (sandbox, grpc)
}

/// A stack that each update makes wait for its host again.
fn stack() -> StackSpec {
    let handle = ResourceSpec::Handle { mode: Mode::Increment, count: -1, too_early_for: 0.0, too_early: false };
    let spec = StackSpec { notification_urls: Some(vec!["eventbridge".to_owned()]), ..StackSpec::default() };
    spec.resource("Again", handle).resource("Wait", ResourceSpec::condition("Again", 1, 900.0))
}

/// Every event goes all four ways, some twice.
fn targets(sandbox: &Sandbox, host: &Host) {
    let callback = format!("http://{}/{CALLBACK}", host.callback);
    let all = [
        ("eb", EventTarget { duplicates: 1, ca_file: Some(host.file("tls.pem")), ..EventTarget::http(&host.events_url()) }),
        ("back", EventTarget { signature: Signature::None, ..EventTarget::http(&callback) }),
        ("drop", EventTarget { shuffle: 5.0, ..EventTarget::spool(host.file("spool")) }),
        ("q", EventTarget { drop: 0.1, ..EventTarget::queue("q") }),
    ];
    for (name, target) in all {
        sandbox.target(name, target).unwrap();
    }
}

fn start(config: &Path, dir: &Path) -> Running {
    let log = File::create(dir.join("agent.log")).unwrap();
    let mut command = Command::new(agent());
    command.arg("--config").arg(config).arg("run").stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    command.env("NOTIFY_SOCKET", dir.join("notify.sock")).env("WATCHDOG_USEC", WATCHDOG.as_micros().to_string());
    // As the unit of the package has it.
    command.env("MALLOC_ARENA_MAX", "2");
    Running(command.spawn().unwrap())
}

/// How it ended after SIGTERM, as systemd stops it.
fn end(mut agent: Running) -> String {
    if let Some(ended) = agent.0.try_wait().unwrap() {
        return format!("had ended by itself: {ended}");
    }
    let began = monotonic();
    let sent = Command::new("kill").arg(agent.id().to_string()).status().unwrap();
    let ended = agent.0.wait().unwrap();
    assert!(sent.success());
    format!("{ended} {:.1} s after SIGTERM", (monotonic() - began).as_secs_f64())
}

fn lines(path: &Path) -> usize {
    std::fs::read_to_string(path).unwrap_or_default().lines().count()
}

/// Runs of checks, by the counter of each: it begins anew where a reload changes a check.
#[derive(Default)]
struct Runs {
    before: BTreeMap<String, u64>,
    total: u64,
}

impl Runs {
    fn count(&mut self, metrics: &str) {
        let lines = metrics.lines().filter_map(|line| line.strip_prefix("ros_signal_agent_check_runs_total{")?.rsplit_once(' '));
        for (name, count) in lines.filter_map(|(name, count)| Some((name.to_owned(), count.parse::<u64>().ok()?))) {
            let before = self.before.insert(name, count).unwrap_or(0);
            self.total += if count >= before { count - before } else { count };
        }
    }
}

fn say_what_was(report: &mut Report, minutes: u64, checks: usize) {
    report.line(&format!(
        "{minutes} minutes, {FASTER} times faster than life, so {:.1} hours of it. {checks} checks of 17 kinds each second: as many runs in an hour as {:.0} checks \
         have in a day at the default interval of 10 s, which cannot be made shorter than 1 s. Also {FASTER} times shorter: `deadline`, `margin`, \
         `min_healthy_time`, `give_up`, the watchdog, and the life of the role's credentials. As in life: the looks at the stack (which events bring \
         forward), the pauses between attempts, the renewal of credentials a quarter of an hour before their end.",
        minutes as f64 * f64::from(FASTER) / 60.0,
        checks as f64 * 10.0 / f64::from(FASTER)
    ));
    report.line("");
}

/// The table of what was sampled; names what is not flat.
fn say_courses(report: &mut Report, samples: &[Sample], day: Duration, judged: bool) -> Vec<String> {
    // The first three hours of its day: pools fill, tables reach their bounds.
    let warm = &samples[samples.len() / 8..];
    if warm.len() < 8 {
        return vec!["too few samples".to_owned()];
    }
    let courses: Vec<_> = (0..MEASURES.len()).map(|measure| Course::of(warm, measure, day)).collect();
    let rows: Vec<_> = courses.iter().zip(MEASURES).map(|(course, (name, _))| course.row(name, judged)).collect();
    report.table(&["", "first hour", "middle hour", "last hour", "least to most", "growth in a day", "permitted", "flat"], &rows);
    report.line(&format!(
        "{} samples, one in {} s, after the first eighth of the time; each is the least of about 20 looks, and \"most\" is the highest of all looks. Growth: the \
         slope of the straight line of least squares, with 95 % of its doubt. Flat: growth and doubt together are no more than what is permitted, \
         which would take more than a year of uptime to reach the limits of the unit (256 MiB, 512 threads and children; 1,024 descriptors). Unclear: the doubt \
         is too large to tell.",
        warm.len(),
        SAMPLES.as_secs()
    ));
    report.line("");
    if let [first, .., last] = warm {
        let share = (last.cpu - first.cpu).as_secs_f64() / (last.at - first.at).as_secs_f64();
        report.line(&format!("Processor, with that of its exec checks: {:.1} % of a core.", 100.0 * share));
        report.line("");
    }
    let grown =
        courses.iter().zip(MEASURES).filter(|(course, _)| judged && matches!(course.judgement(), Judgement::Grows | Judgement::Unclear));
    grown.map(|(course, (name, _))| format!("{name}: {:+.1} ± {:.1} in a day", course.slope, course.doubt)).collect()
}

struct Outcome<'a> {
    counts: Counts,
    owed: Vec<End>,
    heard: manager::Heard,
    visits: u64,
    ended: String,
    checks: u64,
    peak: u64,
    hooks: usize,
    log: &'a str,
}

/// The table of what happened; names what is wrong with it.
fn say_counts(report: &mut Report, outcome: &Outcome<'_>, rounds: &Mutex<Rounds>, status: &str, sandbox: &Sandbox) -> Vec<String> {
    let (counts, rounds) = (outcome.counts, rounds.lock().unwrap());
    let odd = rounds.odd(&outcome.owed);
    let (lost, doubled) = (rounds.lost(), rounds.effects().filter(|effects| *effects > 1).count());
    let (requests, _) = sandbox.requests_seen_and_dropped();
    let row = |name: &str, count: String| vec![name.to_owned(), count];
    let received: u64 = status.split("\"received\":").skip(1).filter_map(|rest| rest.split([',', '}']).next()?.parse::<u64>().ok()).sum();
    let levels = |level: &str| outcome.log.lines().filter(|line| line.contains(level)).count();
    let ended = |end: End| format!("{}, {}", rounds.ended(end), outcome.owed.iter().filter(|owed| **owed == end).count());
    report.table(
        &["", "count"],
        &[
            row("runs of checks", outcome.checks.to_string()),
            row("rounds (a creation, and updates of the stack)", rounds.count().to_string()),
            row("... that ended well, and had to: the host was well", ended(End::Complete)),
            row("... that failed, and had to: the host was sick", ended(End::Failed)),
            row("... that ROS rolled back by itself, and had to", ended(End::RolledBack)),
            row("... that ended otherwise than they had to", odd.len().to_string()),
            row("signals that ROS received", rounds.received.to_string()),
            row("... that had an effect", rounds.effects().sum::<u32>().to_string()),
            row("rounds that nobody signalled: lost", lost.to_string()),
            row("rounds with more than one effect: doubled", doubled.to_string()),
            row("events that the agent received, four ways", received.to_string()),
            row("... of which asked for by the bench beside those of the stack", counts.emitted.to_string()),
            row("faults", counts.faults.to_string()),
            row("sicknesses of the host", counts.sicknesses.to_string()),
            row("reloads", counts.reloads.to_string()),
            row("reloads of what is wrong, refused", counts.refused_reloads.to_string()),
            row("runs of hooks", outcome.hooks.to_string()),
            row("clients of the control socket", outcome.visits.to_string()),
            row("requests that ROS and the metadata service saw", requests.to_string()),
            row("feeds of the watchdog", outcome.heard.feeds.to_string()),
            row(
                &format!("... longest time without, until the end, of {} ms", WATCHDOG.as_millis()),
                format!("{} ms", outcome.heard.longest.as_millis()),
            ),
            row("highest resident memory ever", format!("{} KiB", outcome.peak)),
            row("lines in the log, and of these errors", format!("{}, {}", outcome.log.lines().count(), levels("ERROR"))),
            row("its end", outcome.ended.clone()),
        ],
    );
    let judged = [
        (lost > 0, format!("{lost} rounds were not signalled")),
        (doubled > 0, format!("{doubled} rounds were signalled twice")),
        (!odd.is_empty(), odd.join(", ")),
        (rounds.lost_sight(&outcome.owed), "the bench lost sight of the stack".to_owned()),
        (outcome.heard.feeds == 0, "the watchdog was never fed".to_owned()),
        (outcome.heard.overdue > 0, format!("the watchdog was unfed {} times", outcome.heard.overdue)),
        (counts.odd_reloads > 0, format!("{} reloads were answered otherwise than they deserved", counts.odd_reloads)),
        (!outcome.ended.contains("exit status: 0"), format!("the agent {}", outcome.ended)),
        (outcome.log.contains("panicked"), "the agent panicked".to_owned()),
    ];
    judged.into_iter().filter(|(wrong, _)| *wrong).map(|(_, text)| text).collect()
}
