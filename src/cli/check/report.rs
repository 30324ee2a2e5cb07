//! What `check` found, as a table or as JSON, and the exit code it makes.

use super::Outcome;
use crate::check::{Health, Reading};
use crate::cli::Exit;
use crate::cli::output::{Output, span};
use crate::cli::paint::Style;
use crate::cli::table::{Cell, cell, clean, render, styled};
use crate::clock::millis;
use crate::plan::{Level, Name, Probe};
use serde::Serialize;
use std::collections::BTreeSet;

/// The JSON of `check`. Fields are only ever added.
#[derive(Serialize)]
struct Report<'a> {
    /// The worst of all; a wanted check makes it `warning` at most.
    result: Health,
    checks: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    name: &'a str,
    r#type: &'static str,
    level: Level,
    health: Health,
    message: &'a str,
    output: &'a str,
    terminal: bool,
    readings: &'a [Reading],
    took_ms: i64,
}

/// Shows all and says how the command ends.
pub(super) fn show(outcomes: &[Outcome], json: bool, out: &mut Output) -> anyhow::Result<Exit> {
    let result = worst(outcomes);
    if json {
        out.json(&Report { result, checks: outcomes.iter().map(entry).collect() })?;
    } else {
        let rows = outcomes.iter().map(row).collect();
        let mut text = render(["CHECK", "TYPE", "LEVEL", "STATE", "TOOK", "MESSAGE"], rows, out.paint);
        outcomes.iter().for_each(|outcome| text.push_str(&output(outcome)));
        text.push_str(&format!("\nresult: {}", out.paint.style(result.word(), Style::of(result))));
        out.line(text)?;
    }
    Ok(match result {
        Health::Passing => Exit::Ok,
        Health::Warning => Exit::CheckWarning,
        Health::Critical => Exit::CheckCritical,
        Health::Unknown => Exit::CheckUnknown,
    })
}

/// Critical is worse than unknown: it is certain. Members of composites are judged through them.
fn worst(outcomes: &[Outcome]) -> Health {
    let rank = |health: &Health| match health {
        Health::Passing => 0,
        Health::Warning => 1,
        Health::Unknown => 2,
        Health::Critical => 3,
    };
    let judged_through = |outcome: &Outcome| match &outcome.check.probe {
        Probe::Composite(composite) => composite.of.clone(),
        _ => Vec::new(),
    };
    let members: BTreeSet<Name> = outcomes.iter().flat_map(judged_through).collect();
    let alone = outcomes.iter().filter(|outcome| !members.contains(&outcome.check.name));
    let counted = alone.map(|outcome| match (outcome.check.level, outcome.observation.health) {
        (Level::Wanted, Health::Critical | Health::Unknown) => Health::Warning,
        (_, health) => health,
    });
    counted.max_by_key(rank).unwrap_or(Health::Unknown)
}

fn entry(outcome: &Outcome) -> Entry<'_> {
    let Outcome { check, observation } = outcome;
    Entry {
        name: &check.name,
        r#type: check.probe.kind(),
        level: check.level,
        health: observation.health,
        message: &observation.message,
        output: &observation.output,
        terminal: observation.terminal,
        readings: &observation.readings,
        took_ms: millis(observation.took),
    }
}

fn row(outcome: &Outcome) -> [Cell; 6] {
    let Outcome { check, observation } = outcome;
    let level = match check.level {
        Level::Required => "required",
        Level::Wanted => "wanted",
    };
    let never = if observation.terminal { " (it will never pass)" } else { "" };
    [
        cell(&check.name),
        cell(check.probe.kind()),
        cell(level),
        styled(observation.health.word(), Style::of(observation.health)),
        cell(span(observation.took)),
        cell(format!("{}{never}", observation.message)),
    ]
}

/// What a check that does not pass said, below the table.
fn output(outcome: &Outcome) -> String {
    let Outcome { check, observation } = outcome;
    if observation.health == Health::Passing || observation.output.trim().is_empty() {
        return String::new();
    }
    let lines: String = observation.output.lines().map(|line| format!("  | {}\n", clean(line))).collect();
    format!("\n{} said:\n{lines}", check.name)
}
