//! How long it takes from the moment an application answers until ROS has acknowledged the signal.
//!
//! An agent runs as it does on a host, with a few signals of one check each, whose applications do not answer yet. Once it has settled,
//! they begin to answer one after the other, each at a random moment, so that the phase of the polls is random too; the next one when the
//! signal before is acknowledged. Then comes a new agent. The end is what the sandbox wrote down: when its answer was on the way.

mod http;
mod units;

use crate::stage::picture::{Axis, Lines, Scale, Series};
use crate::stage::process::Running;
use crate::stage::report::Report;
use crate::stage::world::{STACK, World, ask, write_private};
use crate::stage::{Spread, number, program, wait};
use http::HttpApplications;
use ros_sandbox::{RequestRecord, Service};
use rustix::net::{AddressFamily, SocketType};
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use units::Units;

/// What is taken off.
const MIN_HEALTHY_TIME: Duration = Duration::from_millis(200);
const START_INTERVAL: Duration = Duration::from_millis(100);
/// Goals for the median, in milliseconds.
const POLLED: f64 = 150.0;
const BY_EVENTS: f64 = 50.0;
/// Signals of one agent.
const SIGNALS: u64 = 5;
/// First runs are spread over a second.
const SETTLED: Duration = Duration::from_millis(1_500);
/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(10);
/// tmpfs, as statfs(2) names it.
const TMPFS: i64 = 0x0102_1994;

pub(crate) fn run(report: &mut Report) {
    let samples = number("SAMPLES", 60);
    report.line(&format!(
        "Milliseconds from the moment an application answers to ROS's acknowledgement (the sandbox on loopback, plain HTTP), less the \
         `min_healthy_time` of {} ms. Polled kinds with `start_interval = \"{} ms\"`; those that are told by events with the default of 1 s, \
         so that no poll helps. The application answers: `tcp`, when listen(2) has returned; `http`, when it says 200 from then on instead of 503; \
         `exec`, when the file is there that `test -e` asks for; `systemd`, before a stand-in for it on a private dbus-daemon tells of the change; \
         `file`, before the file is made; `ttl`, before it connects to the control socket to push. The curl loop is \
         `until curl -sf URL; do sleep 1; done; CurlCli`, beside the same `http` application; it has no `min_healthy_time`, and \
         one answer is enough for it.",
        MIN_HEALTHY_TIME.as_millis(),
        START_INTERVAL.as_millis(),
    ));
    report.line("");
    let stage = Stage::new();
    let polled = [Kind::Http, Kind::Tcp, Kind::Exec];
    let told = [Kind::Systemd, Kind::File, Kind::Ttl];
    let in_memory = polled.into_iter().chain(told).map(|kind| (kind, Place::Memory));
    let on_disk = [Kind::Http, Kind::File].map(|kind| (kind, Place::Disk));
    let (mut rows, mut cells, mut missing): (Vec<Row>, Vec<_>, Vec<_>) = <_>::default();
    for (kind, place) in in_memory.chain(on_disk) {
        match stage.row(kind, place, samples) {
            Ok(row) => {
                cells.push(row.cells());
                rows.push(row);
            }
            Err(why) => {
                cells.push(no_figures(kind.name(), place.name()));
                missing.push(format!("- `{}` with the ledger on {} was not measured: {why}.", kind.name(), place.name()));
            }
        }
    }
    let peer = stage.curl_loop(samples);
    match &peer {
        Ok(peer) => cells.push(figures("curl loop".to_owned(), "none", peer)),
        Err(why) => {
            cells.push(no_figures("curl loop", "none"));
            missing.push(format!("- The curl loop was not measured: {why} (`benches/peers`)."));
        }
    }
    report.table(&["", "ledger", "signals", "median", "p90", "p99", "max"], &cells);
    if !missing.is_empty() {
        report.line(&(missing.join("\n") + "\n"));
    }
    phases(report, &rows);
    for row in &rows {
        if let Some(line) = row.verdict() {
            report.line(&line);
        }
    }
    report.picture("acknowledged", &picture(&rows, peer.as_ref().ok()));
}

/// How many of the signals were acknowledged after how long: a kind that is polled, one that is told by events, and the loop.
fn picture(rows: &[Row], peer: Option<&Spread>) -> String {
    let shares = |spread: &Spread| -> Vec<(f64, f64)> {
        let all = spread.all();
        let steps = all.iter().enumerate().map(|(index, latency)| (latency.max(1.0), 100.0 * (index + 1) as f64 / all.len() as f64));
        std::iter::once((1.0, 0.0)).chain(steps).collect()
    };
    let shown = rows.iter().filter(|row| row.place == Place::Memory && [Kind::Http, Kind::File].contains(&row.kind));
    let mut series: Vec<Series> = shown
        .map(|row| Series {
            name: format!("agent, {} ({})", row.kind.name(), if row.kind == Kind::Http { "polled" } else { "told by events" }),
            ours: row.kind == Kind::Http,
            points: shares(&row.latency),
        })
        .collect();
    series.extend(peer.map(|peer| Series { name: "curl loop at one second".to_owned(), ours: false, points: shares(peer) }));
    let beside = peer.map_or_else(String::new, |peer| format!("; curl loop {:.0} ms", peer.median()));
    let medians: Vec<String> = rows.iter().map(|row| format!("{} {:.0} ms", row.kind.name(), row.latency.median())).collect();
    let axis = |name: &str, scale, text| Axis { name: name.to_owned(), scale, text, mark: None };
    let lines = Lines {
        title: "From healthy to acknowledged by ROS".to_owned(),
        description: format!("Medians without min_healthy_time: {}{beside}.", medians.join(", ")),
        across: axis("milliseconds from the application's first answer", Scale::Logarithmic, |value| format!("{value:.0} ms")),
        up: axis("signals acknowledged", Scale::Linear, |value| format!("{value:.0} %")),
        series,
    };
    lines.svg()
}

/// Where the time goes, in milliseconds.
fn phases(report: &mut Report, rows: &[Row]) {
    report.line("Where the time goes (medians; a sum of medians is not the median of the sums):");
    report.line("");
    let cells: Vec<_> = rows.iter().filter(|row| !row.phases.is_empty()).map(Row::phase_cells).collect();
    let head = ["", "ledger", "until seen", "confirmed late", "until ROS is asked", "look at the stack", "until the signal", "its answer"];
    report.table(&head, &cells);
    report.line(
        "*Until seen*: the phase of the poll; known for `http`, whose application sees who asks. *Confirmed late*: how much later \
         than `min_healthy_time` after that the confirming run came. *Until ROS is asked*: verdict, its write to the ledger with two syncs, and \
         the look whether this is still the same instance. For other kinds these three are one figure, under *until ROS is asked*. *Look at the \
         stack*: whether anybody waits. *Until the signal*: the attempt is written down before it is made.",
    );
    report.line("");
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Http,
    Tcp,
    Exec,
    Systemd,
    File,
    Ttl,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Tcp => "tcp",
            Self::Exec => "exec",
            Self::Systemd => "systemd",
            Self::File => "file",
            Self::Ttl => "ttl",
        }
    }

    fn goal(self) -> f64 {
        match self {
            Self::Http | Self::Tcp | Self::Exec => POLLED,
            Self::Systemd | Self::File | Self::Ttl => BY_EVENTS,
        }
    }
}

/// Where the ledger lies.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Memory,
    Disk,
}

impl Place {
    fn name(self) -> &'static str {
        match self {
            Self::Memory => "tmpfs",
            Self::Disk => "disk",
        }
    }

    fn directory(self) -> PathBuf {
        match self {
            Self::Memory => PathBuf::from("/dev/shm"),
            Self::Disk => PathBuf::from(env!("CARGO_TARGET_TMPDIR")),
        }
    }

    fn is_what_it_says(self) -> bool {
        rustix::fs::statfs(self.directory()).is_ok_and(|found| (found.f_type == TMPFS) == (self == Self::Memory))
    }
}

struct Row {
    kind: Kind,
    place: Place,
    /// From the answer of the application to that of ROS, less `min_healthy_time`.
    latency: Spread,
    /// In the order of the table.
    phases: Vec<[f64; 6]>,
}

impl Row {
    fn cells(&self) -> Vec<String> {
        figures(self.kind.name().to_owned(), self.place.name(), &self.latency)
    }

    fn phase_cells(&self) -> Vec<String> {
        let medians = (0..6).map(|phase| match Spread::of(self.phases.iter().map(|all| all[phase]).collect()).median() {
            unknown if unknown.is_nan() => "-".to_owned(),
            median => format!("{median:.1}"),
        });
        [self.kind.name().to_owned(), self.place.name().to_owned()].into_iter().chain(medians).collect()
    }

    fn verdict(&self) -> Option<String> {
        if self.place == Place::Disk {
            return None;
        }
        let (median, goal) = (self.latency.median(), self.kind.goal());
        let said = if median < goal { "reached" } else { "missed" };
        Some(format!("- Goal for `{}`, a median under {goal} ms: {said}, {median:.0} ms.", self.kind.name()))
    }
}

fn figures(name: String, place: &str, spread: &Spread) -> Vec<String> {
    let at = |share: f64| format!("{:.0}", spread.at(share));
    vec![name, place.to_owned(), spread.all().len().to_string(), at(0.5), at(0.9), at(0.99), at(1.0)]
}

/// The row of what was not measured.
fn no_figures(name: &str, place: &str) -> Vec<String> {
    [name, place, "-", "-", "-", "-", "-"].map(str::to_owned).into()
}

/// The sandbox, and what applications need.
struct Stage {
    world: World,
    http: Arc<HttpApplications>,
    address: SocketAddr,
    units: Option<Units>,
}

/// An application that can begin to answer.
enum Application {
    Http(String),
    /// Bound, and refused as long as nobody listens.
    Tcp(OwnedFd),
    File(PathBuf),
    Systemd(String),
    Ttl(String, PathBuf),
}

impl Stage {
    fn new() -> Self {
        let world = World::waiting_for(100_000);
        let http = Arc::new(HttpApplications::default());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let serving = Arc::clone(&http);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                serving.answer(&mut stream.unwrap());
            }
        });
        let units = Units::new(world.dir.path());
        Self { world, http, address, units }
    }

    /// An error where it cannot be measured here.
    fn row(&self, kind: Kind, place: Place, samples: u64) -> Result<Row, &'static str> {
        match (kind, &self.units) {
            (Kind::Systemd, None) => return Err("there is no dbus-daemon"),
            _ if !place.is_what_it_says() => return Err("there is no such file system here"),
            _ => {}
        }
        let mut measured: Vec<(f64, [f64; 6])> = Vec::new();
        for agent in 0..samples.div_ceil(SIGNALS) {
            measured.extend(self.agent(kind, place, agent));
        }
        let latency = Spread::of(measured.iter().map(|(latency, _)| *latency).collect());
        Ok(Row { kind, place, latency, phases: measured.into_iter().map(|(_, phases)| phases).collect() })
    }

    /// The signals of one agent.
    fn agent(&self, kind: Kind, place: Place, number: u64) -> Vec<(f64, [f64; 6])> {
        let home = tempfile::Builder::new().permissions(PermissionsExt::from_mode(0o755)).tempdir_in(place.directory()).unwrap();
        let socket = home.path().join("control.sock");
        let mut text = self.world.head(home.path());
        let mut applications = Vec::new();
        for index in 0..SIGNALS {
            let name = format!("{}-{}-{number}-{index}", kind.name(), place.name());
            let (application, keys) = self.application(kind, &name, home.path());
            let pace =
                if kind.goal() == POLLED { format!("start_interval = \"{}ms\"\n", START_INTERVAL.as_millis()) } else { String::new() };
            let healthy = MIN_HEALTHY_TIME.as_millis();
            let _ = write!(
                text,
                "[signal.\"{name}\"]\nresource = \"WebReady\"\nchecks = [\"{name}\"]\nunique_id = \"{{signal}}\"\ndeadline = \"1h\"\n\
                 min_healthy_time = \"{healthy}ms\"\n[check.\"{name}\"]\ntype = \"{}\"\n{keys}{pace}",
                kind.name()
            );
            applications.push((name, application));
        }
        let mut command = self.world.command(home.path(), &text);
        if let Some(units) = &self.units {
            command.env("DBUS_SYSTEM_BUS_ADDRESS", &units.address);
        }
        let running = Running(command.arg("run").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        let up = (0..500).any(|_| {
            wait(Duration::from_millis(10));
            ask(&socket, "/status").is_ok()
        });
        assert!(up, "the agent does not come up with {text}");
        wait(SETTLED);
        let measured = applications.iter().map(|(name, application)| self.measure(name, application)).collect();
        drop(running);
        measured
    }

    fn application(&self, kind: Kind, name: &str, home: &Path) -> (Application, String) {
        let file = home.join(name);
        match kind {
            Kind::Http => (Application::Http(format!("/{name}")), format!("url = \"http://{}/{name}\"\n", self.address)),
            Kind::Tcp => {
                let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
                rustix::net::bind(&socket, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
                let address = SocketAddr::try_from(rustix::net::getsockname(&socket).unwrap()).unwrap();
                (Application::Tcp(socket), format!("address = \"{address}\"\n"))
            }
            Kind::Exec => {
                let keys = format!("command = [\"/usr/bin/test\", \"-e\", \"{}\"]\n", file.display());
                (Application::File(file), keys)
            }
            Kind::File => {
                let keys = format!("path = \"{}\"\n", file.display());
                (Application::File(file), keys)
            }
            Kind::Systemd => {
                let unit = format!("{name}.service");
                let keys = format!("unit = \"{unit}\"\n");
                (Application::Systemd(unit), keys)
            }
            Kind::Ttl => (Application::Ttl(name.to_owned(), home.join("control.sock")), "ttl = \"1h\"\n".to_owned()),
        }
    }

    /// Lets one application answer, at a random moment, and waits for the acknowledgement of its signal.
    fn measure(&self, name: &str, application: &Application) -> (f64, [f64; 6]) {
        wait(Duration::from_micros(u64::from(random()) % 300_000));
        let began = self.begin(application);
        let acknowledged = |record: &RequestRecord| {
            record.action.as_deref() == Some("SignalResource")
                && record.parameters.get("UniqueId").is_some_and(|id| id == name)
                && record.status == Some(200)
        };
        let records = self.records_with(1, acknowledged);
        let signal = records.iter().find(|record| acknowledged(record)).unwrap();
        let latency = since(began, instant(signal.answered_at.as_ref().unwrap())) - MIN_HEALTHY_TIME.as_secs_f64() * 1e3;
        (latency, self.phases(application, began, signal, &records))
    }

    /// The application answers from now on; returns when that was.
    fn begin(&self, application: &Application) -> SystemTime {
        match application {
            Application::Http(path) => {
                let mut ready = self.http.ready.lock().unwrap();
                ready.insert(path.clone());
                now()
            }
            Application::Tcp(socket) => {
                rustix::net::listen(socket, 128).unwrap();
                now()
            }
            Application::File(path) => {
                let before = now();
                write_private(path, "");
                before
            }
            Application::Systemd(unit) => self.units.as_ref().unwrap().activate(unit),
            Application::Ttl(check, socket) => {
                let before = now();
                push(socket, check);
                before
            }
        }
    }

    /// The requests seen, as soon as so many of them are as wanted and answered.
    fn records_with(&self, count: usize, wanted: impl Fn(&RequestRecord) -> bool) -> Vec<RequestRecord> {
        let mut seen = 0;
        let until = now() + PATIENCE;
        while now() < until {
            wait(Duration::from_millis(20));
            let (so_far, _) = self.world.sandbox.requests_seen_and_dropped();
            if so_far == seen {
                continue;
            }
            let records = self.world.sandbox.requests();
            let found = records.iter().filter(|record| wanted(record) && record.answered_at.is_some()).count();
            if found >= count {
                return records;
            }
            // What is not answered yet is looked at again.
            seen = if records.iter().all(|record| record.answered_at.is_some()) { so_far } else { 0 };
        }
        panic!("no acknowledgement within {PATIENCE:?}");
    }

    fn phases(&self, application: &Application, began: SystemTime, signal: &RequestRecord, records: &[RequestRecord]) -> [f64; 6] {
        let sent = instant(&signal.at);
        let mut from = began;
        let (mut seen, mut late) = (f64::NAN, f64::NAN);
        if let Application::Http(path) = application {
            let answers = self.http.answers.lock().unwrap();
            let mut good = answers.iter().filter(|(asked, when)| asked == path && *when < sent).map(|(_, when)| *when);
            if let (Some(first), Some(last)) = (good.next(), good.next_back()) {
                seen = since(began, first);
                late = since(first, last) - MIN_HEALTHY_TIME.as_secs_f64() * 1e3;
                from = last;
            }
        }
        let taken_off = if seen.is_nan() { MIN_HEALTHY_TIME.as_secs_f64() * 1e3 } else { 0.0 };
        let looks = || {
            records.iter().filter(|record| record.service == Service::Ros && record.number < signal.number && instant(&record.at) > from)
        };
        let (asked, looked) = match (looks().next(), looks().next_back()) {
            (Some(first), Some(last)) => (instant(&first.at), last.answered_at.as_ref().map_or(sent, |at| instant(at))),
            // Nobody looked: then the signal is what was asked first.
            _ => (sent, sent),
        };
        let answered = instant(signal.answered_at.as_ref().unwrap());
        [seen, late, since(from, asked) - taken_off, since(asked, looked), since(looked, sent), since(sent, answered)]
    }

    /// What people write in user data, with the same application; an error without curl.
    fn curl_loop(&self, samples: u64) -> Result<Spread, String> {
        program("curl")?;
        let command = self.world.sandbox.handle_attribute(STACK, "WebReady", "CurlCli").unwrap().reveal().to_owned();
        let is_signal = |record: &RequestRecord| record.service == Service::Handle && record.status == Some(200);
        let mut latencies = Vec::new();
        for number in 0..samples {
            let path = format!("/curl-{number}");
            let script = format!(
                "until curl -sf http://{}{path}; do sleep 1; done; {command} -d '{{\"status\": \"SUCCESS\", \"id\": \"curl-{number}\"}}'",
                self.address
            );
            let before = self.world.sandbox.requests().iter().filter(|record| is_signal(record)).count();
            let shell = Command::new("sh").args(["-c", &script]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            let _running = Running(shell);
            wait(Duration::from_micros(200_000 + u64::from(random()) % 1_000_000));
            let began = self.begin(&Application::Http(path));
            let records = self.records_with(before + 1, is_signal);
            let last = records.iter().rfind(|record| is_signal(record)).unwrap();
            latencies.push(since(began, instant(last.answered_at.as_ref().unwrap())));
        }
        Ok(Spread::of(latencies))
    }
}

/// The application tells the agent by itself.
fn push(socket: &Path, check: &str) {
    let body = format!("{{\"check\": \"{check}\", \"health\": \"passing\", \"text\": \"ready\"}}");
    let head = format!("POST /push HTTP/1.1\r\nHost: agent\r\nContent-Type: application/json\r\nContent-Length: {}\r\n", body.len());
    let mut stream = UnixStream::connect(socket).unwrap();
    write!(stream, "{head}Connection: close\r\n\r\n{body}").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[expect(clippy::disallowed_methods, reason = "a measurement is of the real clock, which the sandbox writes down too")]
fn now() -> SystemTime {
    SystemTime::now()
}

fn instant(text: &str) -> SystemTime {
    OffsetDateTime::parse(text, &Rfc3339).unwrap().into()
}

/// Milliseconds; negative if `to` came first.
fn since(from: SystemTime, to: SystemTime) -> f64 {
    match to.duration_since(from) {
        Ok(span) => span.as_secs_f64() * 1e3,
        Err(earlier) => -earlier.duration().as_secs_f64() * 1e3,
    }
}

fn random() -> u32 {
    uuid::Uuid::new_v4().as_fields().0
}
