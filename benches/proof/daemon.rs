//! What the agent costs as a daemon: idle, with a hundred and with a thousand checks of each kind, and beside monit on the same targets.
//!
//! `SECONDS` is the span of a measurement (30), `WARM_UP` the time before it (45), after ROS has acknowledged the signal. Processor time and wake-ups of what
//! costs next to nothing are measured side by side, because such do not disturb each other. What starts
//! programs is measured alone, and so are the mixed thousands. Targets are served by this program, and cost neither.

mod bare;
mod figures;
mod kinds;
mod mixed;
mod peers;
mod targets;

use crate::stage::report::Report;
use crate::stage::{number, wait};
use figures::{Figures, Subject, measure, measure_counted, mib};
use kinds::Kind;
use peers::{Agent, Monit, PACE, Reach, host_roots};
use std::time::Duration;
use targets::Targets;

/// At most so much resident memory with a hundred checks of any kind, in KiB.
const SMALL: u64 = 8 * 1024;
/// Until everything that follows an acknowledgement is over, in seconds: the look whether the signal was counted, and the first one at the stack that is
/// followed.
const SETTLED: u64 = 45;
/// The one kind that is not tried.
const CONTAINER: &str = "container, which needs an engine";
/// Agents with a thousand checks that run side by side.
const AT_ONCE: usize = 4;

const KINDS: [Kind; 18] = [
    Kind::Tcp,
    Kind::Http,
    Kind::File,
    Kind::Exec,
    Kind::Process,
    Kind::Disk,
    Kind::Mount,
    Kind::Memory,
    Kind::Load,
    Kind::Port,
    Kind::Certificate,
    Kind::Dns,
    Kind::Systemd,
    Kind::Ttl,
    Kind::Composite,
    Kind::Clock,
    Kind::Grpc,
    Kind::CloudInit,
];

/// A part of this part.
type Section = fn(&mut Part<'_>);

/// A row: what it is, and its figures.
type Row = (String, Figures);

struct Part<'a> {
    report: &'a mut Report,
    targets: Targets,
    warm_up: Duration,
    span: Duration,
    goals: Vec<Goal>,
}

/// A goal of this part, as it came out.
struct Goal {
    what: String,
    found: String,
    reached: bool,
}

pub(crate) fn run(report: &mut Report) {
    let (warm_up, span) = (Duration::from_secs(number("WARM_UP", SETTLED)), Duration::from_secs(number("SECONDS", 30)));
    let mut part = Part { report, targets: Targets::new(), warm_up, span, goals: Vec::new() };
    part.report.line(&format!(
        "Where nothing else is said a figure is of {} s, begun {} s after ROS has acknowledged the signal, over TLS as on a real instance: the agent has read the \
         certificates of the host. What checks look at speaks no TLS. Memory is what the kernel says at the end (`smaps_rollup`); processor time \
         is told for the daemon itself and for the children that it waited for; wake-ups are voluntary switches of threads that were there at the begin and at the end. \
         Zombies are children that had ended at one look and still stood there a second later.\n",
        span.as_secs(),
        warm_up.as_secs()
    ));
    // Sections in the order in which a reader asks; `ONLY=idle,beside` takes some of them.
    let only = std::env::var("ONLY").unwrap_or_default();
    let sections: [(&str, Section); 4] = [("idle", idle), ("beside", beside), ("kinds", every_kind), ("mixed", mixed_thousand)];
    for (name, section) in sections {
        if only.is_empty() || only.split(',').any(|word| word == name) {
            section(&mut part);
        }
    }
    if part.goals.is_empty() {
        return;
    }
    let rows: Vec<_> =
        part.goals.iter().map(|goal| vec![goal.what.clone(), goal.found.clone(), verdict(goal.reached).to_owned()]).collect();
    part.report.table(&["goal", "found", ""], &rows);
}

fn verdict(reached: bool) -> &'static str {
    if reached { "reached" } else { "missed" }
}

impl Part<'_> {
    fn goal(&mut self, what: impl Into<String>, found: impl Into<String>, reached: bool) {
        self.goals.push(Goal { what: what.into(), found: found.into(), reached });
    }

    /// One agent with these checks, measured alone.
    fn alone(&self, checks: &str, runs: impl Fn(&Agent) -> u64) -> Figures {
        let agent = Agent::start(checks, &self.targets);
        wait(self.warm_up);
        measure_counted(&[Subject { pid: agent.id(), runs: Box::new(|| runs(&agent)) }], self.span)[0]
    }

    fn table(&mut self, of: &str, rows: &[Row]) {
        let counted = rows.iter().any(|(_, figures)| figures.runs.is_some());
        let mut head = vec![
            of,
            "resident MiB",
            "proportional",
            "private",
            "own CPU s/min",
            "with children",
            "wake-ups/s",
            "threads",
            "descriptors",
            "zombies",
        ];
        let mut rows: Vec<Vec<String>> = rows.iter().map(|(name, figures)| cells(name, figures)).collect();
        if counted {
            head.extend(["runs/min", "CPU ms a run"]);
        } else {
            rows.iter_mut().for_each(|cells| cells.truncate(head.len()));
        }
        self.report.table(&head, &rows);
    }
}

fn cells(name: &str, figures: &Figures) -> Vec<String> {
    let memory = figures.memory;
    [
        name.to_owned(),
        mib(memory.resident),
        mib(memory.proportional),
        mib(memory.private),
        format!("{:.2}", figures.own),
        format!("{:.2}", figures.cpu()),
        format!("{:.1}", figures.wakeups),
        figures.threads.to_string(),
        figures.descriptors.to_string(),
        figures.zombies.to_string(),
        figures.runs.map_or_else(|| "-".to_owned(), |runs| format!("{runs:.0}")),
        figures.ms_a_run().map_or_else(|| "-".to_owned(), |cost| format!("{cost:.3}")),
    ]
    .into()
}

/// What it costs to have it.
fn idle(part: &mut Part<'_>) {
    let roots = host_roots().matches("-----BEGIN CERTIFICATE-----").count() + 1;
    let nothing_due = Kind::Tcp.checks(10, "1h", &part.targets);
    let usual = Kind::Tcp.checks(10, "10s", &part.targets);
    let names =
        ["10 tcp checks, none due, signalled without TLS", "the same, signalled over TLS", "10 tcp checks, every 10 s, signalled over TLS"];
    let agents = [(nothing_due.clone(), Reach::Plain), (nothing_due, Reach::Tls), (usual, Reach::Tls)];
    let figures = measured_together(&agents, part.warm_up, part.span, &part.targets);
    part.report.line(&format!(
        "**Idle**: it was seen that the signal was counted, and the stack is complete. Over TLS the {roots} certificates of the host and of the sandbox were read.\n"
    ));
    part.table("agent", &names.iter().zip(&figures).map(|(name, figures)| ((*name).to_owned(), *figures)).collect::<Vec<_>>());
    let (plain, tls) = (figures[0].wakeups, figures[1].wakeups);
    part.goal("idle: under 1 wake-up a second", format!("{plain:.2}; after TLS {tls:.2}"), plain.max(tls) < 1.0);
}

/// Agent and monit with the same checks.
fn beside(part: &mut Part<'_>) {
    part.report.line(&format!(
        "**Beside monit**: the same checks at the same targets, every {PACE}, in one run. tcp, http and file are measured at the same time, exec one after the other. Runs are \
         counted: each side has a port of its own to look at, which counts connections. Where a check makes none, file and exec of /bin/true, one of them is a tcp \
         check instead, which tells the cycles of monit, in each of which it looks at everything; the agent's runs are then those of its metrics. \
         Processor time is compared for as many runs.\n"
    ));
    let (mut rows, mut limits) = (Vec::new(), Vec::new());
    for (kind, count) in [
        (Kind::Tcp, 100),
        (Kind::Http, 100),
        (Kind::File, 100),
        (Kind::Exec, 100),
        (Kind::Plugin, 100),
        (Kind::Tcp, 1000),
        (Kind::Http, 1000),
        (Kind::File, 1000),
    ] {
        if !kind.can_be_tried() {
            part.report.line(&format!("{} is not installed here: not measured.\n", kind.name()));
            continue;
        }
        let (agent, monit) = pair(part, kind, count);
        let what = format!("{count} {}", kind.name());
        rows.push((format!("{what}: agent"), agent));
        if let Some(monit) = monit {
            rows.push((format!("{what}: monit"), monit));
            compare(part, kind, &what, &agent, &monit);
        }
        if kind == Kind::Exec {
            limits.push(limit(part, count, &agent, monit.as_ref()));
        }
    }
    part.table("", &rows);
    limits.iter().for_each(|limit| part.report.line(limit));
    if rows.iter().all(|(name, _)| name.ends_with("agent")) {
        part.report.line("monit is not installed here: no peer.\n");
    }
}

fn pair(part: &Part<'_>, kind: Kind, count: usize) -> (Figures, Option<Figures>) {
    let targets = &part.targets;
    // Where none makes a connection, one does.
    let pulse = if kind.connects() { vec![(kind, count)] } else { vec![(kind, count - 1), (Kind::Tcp, 1)] };
    let checks: String = pulse.iter().map(|(kind, count)| kind.checks(*count, PACE, targets)).collect();
    let of_agent = |agent: &'_ Agent| if kind.connects() { targets.agents.accepted() } else { agent.runs() };
    let each = if kind.connects() { 1 } else { count as u64 };
    let of_monit = || targets.monit.accepted() * each;
    if matches!(kind, Kind::Exec | Kind::Plugin) {
        let agent = part.alone(&checks, of_agent);
        let monit = Monit::start(&pulse, PACE, targets).map(|monit| {
            wait(part.warm_up);
            measure_counted(&[Subject { pid: monit.id(), runs: Box::new(of_monit) }], part.span)[0]
        });
        return (agent, monit);
    }
    let monit = Monit::start(&pulse, PACE, targets);
    let agent = Agent::start(&checks, targets);
    wait(part.warm_up);
    let mut subjects = vec![Subject { pid: agent.id(), runs: Box::new(|| of_agent(&agent)) }];
    subjects.extend(monit.as_ref().map(|monit| Subject { pid: monit.id(), runs: Box::new(of_monit) }));
    let figures = measure_counted(&subjects, part.span);
    (figures[0], figures.get(1).copied())
}

/// What it costs to start programs at all, whoever does it: nobody can be below that.
fn limit(part: &Part<'_>, count: usize, agent: &Figures, monit: Option<&Figures>) -> String {
    let bare = bare::spawn(count, part.span);
    let times = |figures: &Figures, of: &Figures| figures.ms_a_run().zip(of.ms_a_run()).map_or(f64::NAN, |(theirs, other)| theirs / other);
    let beside = monit.map_or_else(String::new, |monit| {
        let (theirs, share) = (times(monit, &bare), times(&bare, monit));
        let reach = if share > 0.1 { ", so a tenth of monit's is out of reach for whoever starts programs" } else { "" };
        format!(" and monit {theirs:.2} times; the loop itself takes {share:.2} of what monit takes{reach}")
    });
    format!(
        "The limit of exec: a loop that does nothing but posix_spawn(3) of the same program, {:.0} times a minute, and wait(2), takes {:.2} s a minute: {:.2} of its own, \
         the rest is that of the children. For as many runs the agent takes {:.2} times as much{beside}.\n",
        bare.runs.unwrap_or(f64::NAN),
        bare.cpu(),
        bare.own,
        times(agent, &bare)
    )
}

fn compare(part: &mut Part<'_>, kind: Kind, what: &str, agent: &Figures, monit: &Figures) {
    // Both for the same work.
    let share = |of: fn(&Figures) -> f64| {
        let a_run = |figures: &Figures| of(figures) / figures.runs.unwrap_or(f64::NAN);
        a_run(agent) / a_run(monit)
    };
    let found = |of: fn(&Figures) -> f64| {
        let told = |figures: &Figures| format!("{:.2} s a minute for {:.0} runs", of(figures), figures.runs.unwrap_or(f64::NAN));
        format!("{}, monit {}: {:.2} of it a run", told(agent), told(monit), share(of))
    };
    if !matches!(kind, Kind::Exec | Kind::Plugin) {
        part.goal(format!("{what}: at most monit's CPU"), found(Figures::cpu), share(Figures::cpu) <= 1.0);
        return;
    }
    part.goal(format!("{what}: at most 1/10 of monit's CPU, children counted"), found(Figures::cpu), share(Figures::cpu) <= 0.1);
    part.goal(
        format!("{what}: at most 1/10 of monit's CPU, the daemon alone"),
        found(|figures| figures.own),
        share(|figures| figures.own) <= 0.1,
    );
}

/// The agent with a hundred and a thousand checks of each kind.
fn every_kind(part: &mut Part<'_>) {
    let kinds: Vec<Kind> = KINDS.into_iter().filter(|kind| *kind != Kind::Systemd || part.targets.bus.is_some()).collect();
    let of = |count: usize| kinds.iter().map(|kind| (with_something_to_run(*kind, count, &part.targets), Reach::Tls)).collect::<Vec<_>>();
    let hundred = measured_together(&of(100), part.warm_up, part.span, &part.targets);
    let thousand: Vec<Figures> =
        of(1000).chunks(AT_ONCE).flat_map(|checks| measured_together(checks, part.warm_up, part.span / 3, &part.targets)).collect();
    part.report.line(&format!(
        "**Each kind**, every {PACE}: agents side by side, all with 100 checks, {AT_ONCE} at a time with 1,000 and these over {:.0} s. Each has a file of the program of its own, so that they \
         share no text; processor time is that of the agent with its children. Not among the kinds: {}.\n",
        (part.span / 3).as_secs_f64(),
        if part.targets.bus.is_some() { CONTAINER.to_owned() } else { format!("{CONTAINER}, and systemd, for there is no dbus-daemon here") }
    ));
    let head = [
        "kind",
        "100: resident MiB",
        "private",
        "CPU s/min",
        "threads",
        "descriptors",
        "1,000: resident MiB",
        "private",
        "CPU s/min",
        "threads",
        "descriptors",
        "zombies",
    ];
    let rows: Vec<Vec<String>> =
        kinds.iter().zip(&hundred).zip(&thousand).map(|((kind, few), many)| row_of_kind(*kind, few, many)).collect();
    part.report.table(&head, &rows);
    let largest = kinds.iter().zip(&hundred).max_by_key(|(_, figures)| figures.memory.resident);
    if let Some((kind, figures)) = largest {
        let found = format!("at most {} ({})", mib(figures.memory.resident), kind.name());
        part.goal("100 checks of any kind: at most 8 MiB resident", found, figures.memory.resident <= SMALL);
    }
    let zombies = hundred.iter().chain(&thousand).map(|figures| figures.zombies).max().unwrap_or(0);
    part.goal("0 zombies", zombies.to_string(), zombies == 0);
}

/// Checks of a passive kind alone decide nothing: a ttl check passes when it is told so, a composite has members.
fn with_something_to_run(kind: Kind, count: usize, targets: &Targets) -> String {
    let one = |kind: Kind| kind.checks(1, PACE, targets);
    match kind {
        Kind::Ttl => format!("checks = [\"tcp0\"]\n{}{}", kind.checks(count - 1, PACE, targets), one(Kind::Tcp)),
        Kind::Composite => format!("{}{}{}", kind.checks(count - 2, PACE, targets), one(Kind::Tcp), one(Kind::Http)),
        _ => kind.checks(count, PACE, targets),
    }
}

fn measured_together(checks: &[(String, Reach)], warm_up: Duration, span: Duration, targets: &Targets) -> Vec<Figures> {
    let agents = Agent::start_all(checks, targets);
    wait(warm_up);
    measure(&agents.iter().map(Agent::id).collect::<Vec<_>>(), span)
}

fn row_of_kind(kind: Kind, few: &Figures, many: &Figures) -> Vec<String> {
    let figures = |figures: &Figures| {
        let memory = figures.memory;
        let cpu = format!("{:.2}", figures.cpu());
        [mib(memory.resident), mib(memory.private), cpu, figures.threads.to_string(), figures.descriptors.to_string()]
    };
    let zombies = few.zombies.max(many.zombies).to_string();
    [kind.name().to_owned()].into_iter().chain(figures(few)).chain(figures(many)).chain([zombies]).collect()
}

fn mixed_thousand(part: &mut Part<'_>) {
    part.report.line(
        "**A thousand checks of mixed kinds**, each every second, each measured alone. Runs of the agent are those of its metrics; those of monit are its cycles, in each of \
         which it looks at everything, by the connections of its tcp and http checks. Asked for are 60,000 a minute.\n",
    );
    let rows = mixed::run(part.report, &part.targets, part.warm_up, part.span);
    part.table("1,000 checks, every second", &rows);
}
