//! `plan`: what the agent would run, where each value was written, and how long a verdict takes.

use super::Exit;
use super::arguments::{Global, PlanArguments};
use super::output::{Output, span};
use super::paint::{Paint, Style};
use super::table::{cell, render, styled};
use crate::clock::millis;
use crate::config::{Diagnostic, Loaded, Origin, Origins, Running, running, times, times_of};
use crate::plan::{Counted, Level, Name, OnDegraded, Plan, Probe, Signal, Transport};
use crate::probe::measured;
use serde::Serialize;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

/// The JSON of `plan`. Fields are only ever added.
#[derive(Serialize)]
struct Report<'a> {
    files: &'a [PathBuf],
    settings: &'a Origins,
    signals: Vec<SignalTimes>,
    warnings: &'a [Diagnostic],
}

/// How long a SUCCESS of one signal takes.
#[derive(Serialize)]
struct SignalTimes {
    name: Name,
    resource: String,
    best_ms: i64,
    worst_ms: i64,
    /// The decision falls by then at the latest: `deadline - margin`.
    decides_by_ms: i64,
    /// `deadline` is not written: where the template may be read, the decision falls by its Timeout instead.
    follows_template: bool,
    min_healthy_time_ms: i64,
    /// What a degraded host is given beyond; none where it waits for the deadline.
    degraded_grace_ms: Option<i64>,
    /// Its required checks, by when each passes.
    checks: Vec<CheckTimes>,
}

#[derive(Serialize)]
struct CheckTimes {
    name: Name,
    best_ms: i64,
    worst_ms: i64,
    depends_on: Vec<Name>,
}

pub(super) fn run(global: &Global, arguments: &PlanArguments, out: &mut Output) -> anyhow::Result<Exit> {
    let loaded = global.load()?;
    let signals = loaded.plan.signals.iter().map(|signal| signal_times(&loaded.plan, signal)).collect();
    let report = Report { files: &loaded.files, settings: &loaded.origins, signals, warnings: &loaded.warnings };
    if arguments.json {
        out.json(&report)?
    } else {
        out.line(text(&report, &loaded, out.paint))?
    };
    Ok(Exit::Ok)
}

fn signal_times(plan: &Plan, signal: &Signal) -> SignalTimes {
    let total = times(plan, signal);
    let required = signal.checks.iter().filter_map(|name| plan.check(name)).filter(|check| check.level == Level::Required);
    SignalTimes {
        name: Arc::clone(&signal.name),
        resource: signal.resource.clone(),
        best_ms: millis(total.best),
        worst_ms: millis(total.worst),
        decides_by_ms: millis(signal.deadline.saturating_sub(signal.margin)),
        follows_template: !signal.deadline_given && plan.ros.poll && !matches!(signal.transport, Transport::LifecycleHook(_)),
        min_healthy_time_ms: millis(signal.min_healthy_time),
        degraded_grace_ms: (signal.on_degraded != OnDegraded::Wait).then(|| millis(signal.degraded_grace)),
        checks: required
            .map(|check| {
                let times = times_of(plan, &check.name);
                let depends_on = check.depends_on.clone();
                CheckTimes { name: Arc::clone(&check.name), best_ms: millis(times.best), worst_ms: millis(times.worst), depends_on }
            })
            .collect(),
    }
}

fn text(report: &Report<'_>, loaded: &Loaded, paint: Paint) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{}", paint.style("files, lowest precedence first", Style::Bold));
    for file in report.files {
        let _ = writeln!(text, "  {}", file.display());
    }
    if report.files.is_empty() {
        text.push_str("  none: the agent idles until there is one\n");
    }
    let rows = report.settings.iter().map(|setting| {
        let style = if setting.origin == Origin::Default { Style::Dim } else { Style::Plain };
        [cell(&setting.key), styled(&setting.value, style), styled(setting.origin.to_string(), style)]
    });
    let _ = write!(text, "\n{}", render(["KEY", "VALUE", "WRITTEN IN"], rows.collect(), paint));
    let _ = write!(text, "{}", limits(&loaded.plan, paint));
    for signal in &report.signals {
        let _ = write!(text, "\n{}", explain(signal, &loaded.plan, paint));
    }
    for warning in report.warnings {
        let _ = write!(text, "\n{warning}\n");
    }
    text
}

/// What ranges mean in words, because their syntax is easily misread.
fn limits(plan: &Plan, paint: Paint) -> String {
    let rules = plan.checks.iter().filter_map(|check| {
        let measured = check.probe.measured()?;
        let words = measured.thresholds.words(|end| with_unit(end, measured.unit))?;
        Some(format!("  {}: {}: {words}\n", check.name, measured.what))
    });
    let lines: String = rules.collect();
    if lines.is_empty() { lines } else { format!("\n{}\n{lines}", paint.style("when checks alert", Style::Bold)) }
}

/// The end of a range as people write it.
fn with_unit(end: f64, unit: Counted) -> String {
    match unit {
        Counted::Plain => end.to_string(),
        // Below zero there is no size that people write.
        Counted::Bytes if end >= 0.0 => measured::bytes(end),
        Counted::Bytes => format!("{end} B"),
        Counted::Percent => format!("{end}%"),
        Counted::Seconds => format!("{end}s"),
        Counted::Milliseconds => format!("{end}ms"),
        Counted::Days => format!("{end} days"),
    }
}

fn explain(signal: &SignalTimes, plan: &Plan, paint: Paint) -> String {
    let ms = super::output::span_ms;
    let mut text = format!(
        "{} tells {} SUCCESS {} after its round began at best, {} at worst; decides by {}{}\n",
        paint.style(&format!("signal {}", signal.name), Style::Bold),
        signal.resource,
        ms(signal.best_ms),
        ms(signal.worst_ms),
        ms(signal.decides_by_ms),
        if signal.follows_template { ", or as the Timeout in the template says" } else { "" },
    );
    for check in &signal.checks {
        let _ =
            writeln!(text, "  {} passes within {} to {}: {}", check.name, ms(check.best_ms), ms(check.worst_ms), why(plan, &check.name));
    }
    let _ = write!(text, "  then all pass for min_healthy_time {}", ms(signal.min_healthy_time_ms));
    let _ = match signal.degraded_grace_ms {
        Some(grace) => writeln!(text, ", or a degraded host waits for degraded_grace {}", ms(grace)),
        None => writeln!(text, "; a degraded host waits for the deadline"),
    };
    text
}

/// What the worst time of a check is made of.
fn why(plan: &Plan, name: &str) -> String {
    let Some(check) = plan.check(name) else { return String::new() };
    let mut parts = Vec::new();
    if !check.depends_on.is_empty() {
        parts.push(format!("after {}", check.depends_on.join(", ")));
    }
    for (key, value) in [("initial_delay", check.initial_delay), ("start_period", check.start_period)] {
        if !value.is_zero() {
            parts.push(format!("after its {key} {}", span(value)));
        }
    }
    let Running { runs, each, pace } = running(check);
    parts.push(match &check.probe {
        Probe::Ttl(ttl) => {
            format!("up to {runs} pushes, {} apart; silence, of up to its ttl {}, is not counted", span(pace), span(ttl.ttl))
        }
        Probe::Composite(composite) => format!("as soon as {composite} pass"),
        _ => format!("up to {runs} runs of {}, {} apart", span(each), span(pace)),
    });
    parts.join(", ")
}
