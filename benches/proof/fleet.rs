//! Many agents behind one account of ROS: how soon all of them are acknowledged, and what that costs ROS in calls.
//!
//! First in virtual time (`hosts`), with the very core of the agent, against a model of ROS (`account`); then 2,000 real clients against the sandbox
//! (`clients`). `FLEET_SEED` takes another seed, `FLEET_AGENTS` leaves larger fleets out, `FLEET_CLIENTS` is the number of real clients.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::disallowed_methods,
    reason = "figures for people; and what is measured in real time needs a clock"
)]

mod account;
mod clients;
mod hosts;

use crate::stage::report::Report;
use crate::stage::{number, process};
use account::Trouble;
use hosts::{Outcome, Setting};
use ros_signal_agent::config::{Environment, Layout, Owners, load};
use ros_signal_agent::plan::Plan;
use std::sync::Arc;
use std::time::Duration;

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
/// The goal: times the least time.
const GOAL: f64 = 1.3;
/// From here on only some settings, because they take long.
const LARGE: usize = 100_000;

/// What all settings have come to.
#[derive(Default)]
struct Totals {
    /// Over a look and a signal for each agent, and over signals alone; with the row.
    worst: (f64, String),
    worst_of_signals: (f64, String),
    late: usize,
    failures: usize,
}

pub(crate) fn run(report: &mut Report) {
    let seed = number("FLEET_SEED", 1);
    let largest = number("FLEET_AGENTS", 100_000) as usize;
    report.line(&format!("Virtual time, seed {seed}. Where nothing else is said hosts start within a second, looks are on, and 50 calls of any kind are permitted a second."));
    report.line("");
    let plan = plan("", "");
    let mut totals = Totals::default();
    let mut rows = Vec::new();
    let before = process::memory(std::process::id()).private;
    let mut memory = 0.0;
    let (fleets, left_out): (Vec<usize>, Vec<usize>) = [10, 100, 1_000, 10_000, 100_000].into_iter().partition(|agents| *agents <= largest);
    for agents in fleets {
        for (name, setting) in settings(agents, seed) {
            let outcome = hosts::run(&setting, &plan);
            rows.push(row(name, &setting, &outcome, &mut totals));
            memory = outcome.memory.saturating_sub(before) as f64 / agents as f64;
        }
    }
    for (name, poll, more) in
        [("no looks (`poll = false`)", "[ros]\npoll = false\n", ""), ("`condition` named", "", "condition = \"WebCondition\"\n")]
    {
        let (_, setting) = settings(1_000, seed).swap_remove(0);
        let outcome = hosts::run(&setting, &self::plan(poll, more));
        rows.push(row(name, &setting, &outcome, &mut totals));
    }
    let head = [
        "agents",
        "setting",
        "least",
        "all after",
        "÷ least",
        "÷ signals alone",
        "refused",
        "answered",
        "longest wait",
        "most refused",
        "late",
    ];
    report.table(&head, &rows);
    if !left_out.is_empty() {
        report.line(&format!("Fleets over {largest} agents were left out.\n"));
    }
    report.line(
        "least: until the last acknowledgement if a scheduler that knows all hosts made each call exactly when there is room, one look and one signal for each agent; \
         with `poll = false` no look, so one call; with `condition` a look is two calls, so three. all after: until the last acknowledgement. ÷ least: all after over \
         that. ÷ signals alone: all after over what such a scheduler needs for one call for each agent, its signal, whatever the setting: nobody can be below 1 \
         there. The agent can be below 1 in ÷ least, because it gives up its look after four throttled ones. refused, answered: calls for each agent. longest wait, most \
         refused: of the worst single agent. late: agents after the `Timeout`, which is 1.3 times two calls for each agent, a minute at least.",
    );
    report.line("");
    let reached = |good: bool| if good { "reached" } else { "missed" };
    for (of, (worst, row)) in [("one look and one signal (least)", &totals.worst), ("signals alone", &totals.worst_of_signals)] {
        report.line(&format!("Goal, ratio at most {GOAL}, over {of}: {}, the worst is {worst:.2} ({row}).", reached(*worst <= GOAL)));
    }
    report.line(&format!(
        "Goal, no agent past its deadline while capacity sufficed: {}, {} were, and {} said FAILURE.",
        reached(totals.late + totals.failures == 0),
        totals.late,
        totals.failures
    ));
    report.line(&format!("Memory of an agent's core and what the model keeps of it, in the last of the fleets: {memory:.1} KiB."));
    report.line("");
    clients::run(report, number("FLEET_CLIENTS", 2_000) as usize, |ros| self::plan(ros, ""));
}

fn settings(agents: usize, seed: u64) -> Vec<(&'static str, Setting)> {
    let base = Setting { agents, rate: 50, start: SECOND, trouble: Trouble::None, hint: None, timeout: 0, seed };
    let mut settings = vec![("50 calls a second", base), ("100 calls a second", Setting { rate: 100, ..base })];
    if agents < LARGE {
        settings.push(("10 calls a second", Setting { rate: 10, ..base }));
        settings.push(("told to wait 1 s", Setting { hint: Some(Duration::from_secs(1)), ..base }));
        settings.push(("errors for 1 minute", Setting { trouble: Trouble::Errors(MINUTE), ..base }));
        settings.push(("no answer for 1 minute", Setting { trouble: Trouble::Silence(MINUTE), ..base }));
        settings.push(("errors for 10 minutes", Setting { trouble: Trouble::Errors(10 * MINUTE), ..base }));
    }
    settings.push(("start within 10 minutes", Setting { start: 10 * MINUTE, ..base }));
    settings.push(("no answer for 10 minutes", Setting { trouble: Trouble::Silence(10 * MINUTE), ..base }));
    for (_, setting) in &mut settings {
        // What is known beforehand: the last host is healthy 6 s after its start, and with a look each needs two calls.
        let calls = 2 * SECOND * agents as i64 / i64::from(setting.rate);
        let least = (setting.start + 6 * SECOND + calls).max(6 * SECOND + calls).max(setting.trouble.ends() + calls);
        setting.timeout = MINUTE.max((least as f64 * GOAL) as i64);
    }
    settings
}

fn row(name: &str, setting: &Setting, outcome: &Outcome, totals: &mut Totals) -> Vec<String> {
    let seconds = |ms: i64| format!("{:.1} s", ms as f64 / 1000.0);
    let each = |calls: u64| format!("{:.1}", calls as f64 / setting.agents as f64);
    let all = outcome.all();
    let over = |least: i64| all.map_or(f64::INFINITY, |all| all as f64 / least as f64);
    let (ratio, of_signals) = (over(outcome.least), over(outcome.signals_alone));
    let late = outcome.later_than(setting.timeout);
    for (worst, ratio) in [(&mut totals.worst, ratio), (&mut totals.worst_of_signals, of_signals)] {
        if ratio > worst.0 {
            *worst = (ratio, format!("{} agents, {name}", setting.agents));
        }
    }
    totals.late += late;
    totals.failures += outcome.failures;
    vec![
        setting.agents.to_string(),
        name.to_owned(),
        seconds(outcome.least),
        all.map_or_else(|| "never".to_owned(), seconds),
        format!("{ratio:.2}"),
        format!("{of_signals:.2}"),
        each(outcome.throttled),
        each(outcome.served),
        seconds(outcome.worst_wait),
        outcome.worst_throttled.to_string(),
        late.to_string(),
    ]
}

/// A plan as the configuration gives it, with `sections` before `[signal.web]` and `more` in it.
fn plan(sections: &str, more: &str) -> Arc<Plan> {
    let directory = tempfile::TempDir::new().unwrap();
    let path = directory.path().join("etc/ros-signal-agent/config.toml");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let text = format!(
        "[stack]\nstack_id = \"{}\"\nregion = \"cn-hangzhou\"\n{sections}[signal.web]\nresource = \"WebReady\"\n{more}\
         [check.homepage]\ntype = \"tcp\"\naddress = \"127.0.0.1:80\"\ninterval = \"1h\"\n",
        crate::stage::world::STACK
    );
    std::fs::write(&path, text).unwrap();
    let owners = Owners::Given { agent: 990, paths: [].into() };
    Arc::new(load(&Layout::under(directory.path()), &owners, &Environment::default()).unwrap().plan)
}
