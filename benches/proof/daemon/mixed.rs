//! A thousand checks of mixed kinds at a pace of one second: what they cost, how late their runs began, and monit with those that it knows.

use super::figures::{Figures, Subject, measure_counted};
use super::kinds::Kind::{self, *};
use super::peers::{Agent, Monit};
use super::targets::Targets;
use crate::stage::report::Report;
use crate::stage::wait;
use std::collections::BTreeMap;
use std::time::Duration;

/// What monit can look at too.
const SHARED: [(Kind, usize); 6] = [(Tcp, 350), (Http, 300), (File, 250), (Process, 40), (Disk, 40), (Exec, 20)];

const MIXED: [(Kind, usize); 12] = [
    (Tcp, 250),
    (Http, 200),
    (File, 200),
    (Process, 40),
    (Disk, 50),
    (Exec, 20),
    (Port, 80),
    (Mount, 40),
    (Memory, 30),
    (Load, 30),
    (Certificate, 30),
    (Composite, 30),
];

const PACE: &str = "1s";

/// Lateness that is told, in seconds: bounds of the agent's own histogram.
const BOUNDS: [&str; 4] = ["0.003", "0.01", "0.05", "0.1"];

pub(super) fn run(report: &mut Report, targets: &Targets, warm_up: Duration, span: Duration) -> Vec<(String, Figures)> {
    let of = |mix: &[(Kind, usize)]| mix.iter().map(|(kind, count)| kind.checks(*count, PACE, targets)).collect::<String>();
    let mut rows = Vec::new();
    let agent = Agent::start(&of(&MIXED), targets);
    wait(warm_up);
    rows.push(("agent, 12 kinds".to_owned(), of_agent(&agent, span)));
    let late = lateness(&agent.metrics());
    drop(agent);
    report.line("How late runs began, of a thousand checks of mixed kinds, each every second:\n");
    let head: Vec<_> = BOUNDS.iter().map(|bound| format!("≤ {} ms", bound.parse::<f64>().unwrap() * 1000.0)).collect();
    let head: Vec<_> = ["kind", "runs"].into_iter().chain(head.iter().map(String::as_str)).collect();
    report.table(&head, &late);
    let agent = Agent::start(&of(&SHARED), targets);
    wait(warm_up);
    rows.push(("agent, 6 kinds that monit has too".to_owned(), of_agent(&agent, span)));
    drop(agent);
    if let Some(monit) = Monit::start(&SHARED, PACE, targets) {
        wait(warm_up);
        let runs = Box::new(|| targets.monit.accepted() * looked_at(|_| true) / looked_at(Kind::connects));
        rows.push(("monit, the same".to_owned(), measure_counted(&[Subject { pid: monit.id(), runs }], span)[0]));
    }
    rows
}

fn of_agent(agent: &Agent, span: Duration) -> Figures {
    measure_counted(&[Subject { pid: agent.id(), runs: Box::new(|| agent.runs()) }], span)[0]
}

/// How many of the shared checks.
fn looked_at(of: fn(Kind) -> bool) -> u64 {
    SHARED.iter().filter(|(kind, _)| of(*kind)).map(|(_, count)| *count as u64).sum()
}

/// The agent's own histogram as rows: of each kind the runs, and the share of them that were not later than the bounds.
fn lateness(metrics: &str) -> Vec<Vec<String>> {
    let prefix = "ros_signal_agent_check_lateness_seconds_bucket{";
    let mut kinds: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
    for line in metrics.lines().filter_map(|line| line.strip_prefix(prefix)) {
        let Some((labels, count)) = line.split_once("} ") else { continue };
        let label = |name: &str| labels.split(',').find_map(|label| label.strip_prefix(name)?.strip_prefix("=\"")?.strip_suffix('"'));
        let (Some(kind), Some(bound), Ok(count)) = (label("kind"), label("le"), count.parse::<u64>()) else { continue };
        for of in [kind, "all"] {
            *kinds.entry(of.to_owned()).or_default().entry(bound.to_owned()).or_default() += count;
        }
    }
    let row = |(kind, bounds): (String, BTreeMap<String, u64>)| {
        let runs = bounds.get("+Inf").copied().unwrap_or(0);
        let share = |bound: &&str| {
            bounds.get(*bound).map_or_else(String::new, |count| format!("{:.2}%", *count as f64 * 100.0 / runs.max(1) as f64))
        };
        [kind, runs.to_string()].into_iter().chain(BOUNDS.iter().map(share)).collect()
    };
    kinds.into_iter().map(row).collect()
}
