//! One signal: the time and the memory that it costs to tell ROS once, beside what people use today.
//!
//! Each program is started anew for each signal, as a boot script does it, and measured from its start to its end. All signal the same sandbox, which runs on
//! a thread of this process, so that its cost is in the time of all and in the processor time of none. They take turns, so that a noisy moment hits all of
//! them. After each run the sandbox must have counted exactly one signal more: a program that does nothing is not measured.

mod heat;
mod peers;

use crate::stage::child::{self, Cost};
use crate::stage::picture::{Axis, Bars, Row, Scale};
use crate::stage::report::Report;
use crate::stage::world::{KEY, SECRET, STACK, World, write_private};
use crate::stage::{Spread, agent, number};
use std::process::Command;

/// Signals of one program that are asked for; programs that take long are asked for fewer.
const RUNS: u64 = 30;
const SLOW_RUNS: u64 = 10;

/// Goals: at most the wall time of curl, and so much memory.
const PEAK_GOAL: f64 = 6.0;

/// The command for the signal with an id, or why there is none.
type Start<'a> = Box<dyn Fn(&str) -> Result<Command, String> + 'a>;

/// A way to signal.
struct Way<'a> {
    name: &'static str,
    ours: bool,
    runs: u64,
    command: Start<'a>,
    /// How many signals have arrived.
    arrived: Box<dyn Fn() -> usize + 'a>,
}

/// What came of a way: costs, or why there are none.
struct Measured {
    name: &'static str,
    ours: bool,
    costs: Result<Vec<Cost>, String>,
}

pub(crate) fn run(report: &mut Report) {
    let world = World::waiting_for(1_000_000);
    let runs = number("RUNS", RUNS).max(1);
    let url = world.sandbox.ros_url();
    let heat = heat::Listener::start();
    let daemon = peers::daemon(&world);

    report.line(
        "One signal from the start of a process to its end, against a sandbox on loopback that counts it. The programs take turns. Memory is the peak of the \
         largest process; processor time is that of all.",
    );
    report.line("");
    let plain = [
        peers::nothing(&world, runs),
        peers::direct(&world, runs),
        peers::handle(&world, runs),
        peers::through_daemon(&world, daemon.as_ref(), runs),
        peers::curl(&world, runs),
        heat.way(runs.min(SLOW_RUNS)),
        peers::python_v1(&world, &url, false, runs.min(SLOW_RUNS)),
        peers::python_v2(&world, &url, false, runs.min(SLOW_RUNS)),
        peers::node(&world, &url, false, runs.min(SLOW_RUNS)),
    ];
    report.line("Plain HTTP:");
    report.line("");
    let plain = measure(&plain);
    table(report, &plain);

    let url = world.sandbox.ros_tls_url();
    let encrypted = [
        peers::direct_tls(&world, runs),
        peers::curl_tls(&world, runs),
        peers::python_v1(&world, &url, true, runs.min(SLOW_RUNS)),
        peers::python_v2(&world, &url, true, runs.min(SLOW_RUNS)),
        peers::node(&world, &url, true, runs.min(SLOW_RUNS)),
    ];
    report.line("TLS:");
    report.line("");
    let encrypted = measure(&encrypted);
    table(report, &encrypted);
    notes(report);
    goals(report, &plain, &encrypted);
    report.picture("signal", &picture(&plain));
}

/// Has the ways take turns: first once without being measured, then so often as each may.
fn measure(ways: &[Way]) -> Vec<Measured> {
    let mut all: Vec<Measured> = ways.iter().map(|way| Measured { name: way.name, ours: way.ours, costs: Ok(Vec::new()) }).collect();
    let rounds = ways.iter().map(|way| way.runs).max().unwrap_or(0);
    for round in 0..=rounds {
        for (at, (way, measured)) in ways.iter().zip(&mut all).enumerate() {
            let due = round == 0 || round % (rounds / way.runs).max(1) == 0;
            let Some(costs) = measured.costs.as_mut().ok().filter(|costs| due && (costs.len() as u64) < way.runs) else { continue };
            match once(way, &format!("run-{}-{at}-{round}", ways.len())) {
                // The first run finds files that nobody has read yet.
                Ok(_) if round == 0 => {}
                Ok(cost) => costs.push(cost),
                Err(why) => measured.costs = Err(why),
            }
        }
    }
    all
}

/// One signal; an error if the program failed, or if not exactly one signal arrived.
fn once(way: &Way, id: &str) -> Result<Cost, String> {
    let command = (way.command)(id)?;
    let before = (way.arrived)();
    let cost = child::measure(&command)?;
    let more = (way.arrived)() - before;
    let expected = usize::from(way.name != peers::NOTHING);
    if more == expected { Ok(cost) } else { Err(format!("{more} signals arrived")) }
}

/// Middle and share of the figures of a way, in milliseconds and MiB.
struct Figures {
    wall: Spread,
    cpu: Spread,
    peak: Spread,
}

impl Measured {
    fn figures(&self) -> Option<Figures> {
        let costs = self.costs.as_ref().ok()?;
        let spread = |of: fn(&Cost) -> f64| Spread::of(costs.iter().map(of).collect());
        Some(Figures {
            wall: spread(|cost| cost.wall.as_secs_f64() * 1000.0),
            cpu: spread(|cost| cost.cpu.as_secs_f64() * 1000.0),
            peak: spread(|cost| cost.peak as f64 / 1024.0 / 1024.0),
        })
    }
}

fn find<'a>(all: &'a [Measured], name: &str) -> Option<&'a Measured> {
    all.iter().find(|measured| measured.name == name)
}

fn table(report: &mut Report, all: &[Measured]) {
    let base = find(all, peers::CURL).and_then(Measured::figures).map(|figures| figures.wall.median());
    let rows = all.iter().map(|measured| {
        let cells = match (&measured.costs, measured.figures()) {
            (Ok(costs), Some(Figures { wall, cpu, peak })) => vec![
                costs.len().to_string(),
                milliseconds(wall.median()),
                milliseconds(wall.at(0.95)),
                milliseconds(cpu.median()),
                mebibytes(peak.median()),
                base.map_or_else(|| "-".to_owned(), |base| format!("{:.2}", wall.median() / base)),
            ],
            _ => vec!["-".to_owned(); 6],
        };
        std::iter::once(measured.name.to_owned()).chain(cells).collect()
    });
    report.table(&["", "signals", "wall, median", "wall, p95", "processor", "peak memory", "wall ÷ curl"], &rows.collect::<Vec<_>>());
    for measured in all {
        if let Err(why) = &measured.costs {
            report.line(&format!("{} was not measured: {why}.\n", measured.name));
        }
    }
}

fn notes(report: &mut Report) {
    for note in [
        "The row `true` is a program that does nothing: what starting a process costs here, and the least memory that can be measured.",
        "curl is run as ROS's CurlCli has it, with the URL of the handle; over TLS it posts a SignalResource that was signed for it beforehand, because a \
         handle's URL is plain HTTP. All that speak TLS trust the system's authorities and the sandbox's, each in its own way.",
        "Through the running agent the signal is written to disk before it is sent, the stack is looked at before, and what is measured is the process that \
         asks for it and waits.",
        "Heat's cfn-signal starts curl with PUT, which ROS does not document. A listener that takes it stands in for the sandbox.",
    ] {
        report.line(&format!("- {note}"));
    }
    report.line("");
}

fn goals(report: &mut Report, plain: &[Measured], encrypted: &[Measured]) {
    let of = |all: &[Measured], name: &str| find(all, name).and_then(Measured::figures);
    let word = |reached: bool| if reached { "reached" } else { "missed" };
    for (all, name, over) in [(plain, peers::DIRECT, "plain"), (encrypted, peers::DIRECT, "TLS")] {
        let line = match (of(all, name), of(all, peers::CURL)) {
            (Some(ours), Some(curl)) => {
                let (ours, curl) = (ours.wall.median(), curl.wall.median());
                format!("{}: {} against {}", word(ours <= curl), milliseconds(ours), milliseconds(curl))
            }
            _ => "not measured".to_owned(),
        };
        report.line(&format!("- Goal: at most curl's wall time with static credentials, {over}: {line}."));
    }
    let line = of(plain, peers::DIRECT).map_or_else(
        || "not measured".to_owned(),
        |ours| format!("{}: {}", word(ours.peak.median() <= PEAK_GOAL), mebibytes(ours.peak.median())),
    );
    report.line(&format!("- Goal: at most {PEAK_GOAL:.0} MiB, plain: {line}."));
}

fn milliseconds(value: f64) -> String {
    if value >= 1000.0 {
        format!("{:.2} s", value / 1000.0)
    } else if value >= 100.0 {
        format!("{value:.0} ms")
    } else {
        format!("{value:.1} ms")
    }
}

fn mebibytes(value: f64) -> String {
    format!("{value:.1} MiB")
}

fn picture(plain: &[Measured]) -> String {
    let shown = plain.iter().filter(|measured| measured.name != peers::NOTHING);
    let rows: Vec<Row> = shown
        .map(|measured| {
            let figures = measured.figures();
            let values = vec![figures.as_ref().map(|figures| figures.wall.median()), figures.as_ref().map(|figures| figures.peak.median())];
            Row { label: measured.name.replace('`', ""), ours: measured.ours, values }
        })
        .collect();
    let told: Vec<String> = rows
        .iter()
        .map(|row| match row.values[..] {
            [Some(wall), Some(peak)] => format!("{} {} and {}", row.label, milliseconds(wall), mebibytes(peak)),
            _ => format!("{} not measured", row.label),
        })
        .collect();
    let column = |name: &str, text| Axis { name: name.to_owned(), scale: Scale::Linear, text, mark: None };
    let bars = Bars {
        title: "One signal to ROS, from the start of the process to its end".to_owned(),
        description: format!("Median wall time and peak memory of one signal over plain HTTP: {}.", told.join("; ")),
        columns: vec![column("wall time, median", milliseconds), column("peak memory", mebibytes)],
        rows,
    };
    bars.svg()
}

/// The access key, as all programs but curl and Heat's take it.
fn keys(command: &mut Command) {
    command.envs([("ALIBABA_CLOUD_ACCESS_KEY_ID", KEY), ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", SECRET)]);
}

/// The agent's own program with a configuration that says all there is to know.
fn our_program(world: &World, name: &str, ros: &str) -> Command {
    let text =
        format!("[stack]\nstack_id = \"{STACK}\"\nregion = \"cn-hangzhou\"\n[ros]\n{ros}\n[credentials]\nprovider = \"environment\"\n");
    let config = write_private(&world.dir.path().join(name), &text);
    let mut command = Command::new(agent());
    command.arg("--config").arg(config).arg("signal");
    keys(&mut command);
    command
}
