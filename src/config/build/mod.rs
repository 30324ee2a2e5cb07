//! From the merged tree to the plan. Every table is read to its end, so that all errors come at once.

mod agent;
mod certificate;
mod check;
mod clock;
mod cloud_init;
mod composite;
mod container;
mod credentials;
mod disk;
mod dns;
mod file;
mod graph;
mod grpc;
mod hook;
mod http;
mod limits;
mod load;
mod memory;
mod mount;
mod port;
mod probe;
mod process;
mod reach;
mod report;
mod signal;
mod source;
mod systemd;
mod transport;

use super::Environment;
use super::fragment::{Data, Table, Value};
use super::keys::{self, Section};
use super::owners::Owners;
use super::reader::{Notes, Reader, shorten};
use super::source::Place;
use crate::plan::{Plan, Resignal, Trigger};
use std::sync::Arc;

/// Reads the merged tree. None: errors were noted.
pub(super) fn plan(root: &Table, owners: &Owners, environment: &Environment, notes: &mut Notes) -> Option<Plan> {
    refuse_unknown_tables(root, notes);
    let empty = Table::default();
    let agent = agent::agent(&mut single(root, "agent", &keys::AGENT, &empty, notes), environment);
    let ros = reach::ros(&mut single(root, "ros", &keys::ROS, &empty, notes), environment);
    let ess = agent::ess(&mut single(root, "ess", &keys::ESS, &empty, notes));
    let credentials = credentials::credentials(&mut single(root, "credentials", &keys::CREDENTIALS, &empty, notes));
    let instance = agent::instance(&mut single(root, "instance", &keys::INSTANCE, &empty, notes));
    let clock_trust = reach::clock(&mut single(root, "clock", &keys::CLOCK, &empty, notes));
    let on_unwritable = agent::state(&mut single(root, "state", &keys::STATE, &empty, notes));
    let report = report::report(&mut single(root, "report", &keys::REPORT, &empty, notes));
    let stack = agent::stack(&mut single(root, "stack", &keys::STACK, &empty, notes));

    let drafts = check::drafts(root.0.get("check"), owners, notes);
    let no_checks_needed = drafts.is_none() || agent.as_ref().is_none_or(|(_, allow)| *allow);
    let drafts = drafts.unwrap_or_default();
    graph::resolve(&drafts, notes);
    let signals = signal::signals(root.0.get("signal"), &stack, &drafts, no_checks_needed, notes);
    let named: Vec<_> = signals.iter().map(|(signal, _)| Arc::clone(signal)).collect();
    let hooks = hook::hooks(root.0.get("hook"), &drafts, &named, owners, notes);
    let sources = source::sources(root.0.get("source"), notes);
    if notes.refused {
        return None;
    }
    let mut checks: Vec<_> = drafts.into_iter().filter_map(|draft| draft.check).map(Arc::new).collect();
    checks.sort_by(|a, b| a.name.cmp(&b.name));
    let plan = Plan {
        signals: named,
        checks,
        agent: agent?.0,
        ros: ros?,
        ess: ess?,
        credentials: credentials?,
        instance: instance?,
        clock_trust: clock_trust?,
        on_unwritable: on_unwritable?,
        report: report?,
        stack: crate::plan::Stack { stack_id: stack.stack_id, region: stack.region },
        sources,
        hooks,
    };
    for (signal, places) in &signals {
        signal::judge_times(&plan, signal, places, notes);
    }
    if let Some(Data::Table(ros)) = root.0.get("ros").map(|entry| &entry.value.data) {
        judge_poll(&plan, ros, notes);
    }
    (!notes.refused).then_some(plan)
}

/// Warns of what never happens because nobody looks at the stack.
fn judge_poll(plan: &Plan, ros: &Table, notes: &mut Notes) {
    let Some(poll) = ros.0.get("poll").filter(|_| !plan.ros.poll) else { return };
    let needs_looks = |trigger: &Trigger| matches!(trigger, Trigger::Stack(_) | Trigger::Metadata | Trigger::Event(_));
    let idle = [
        ("rounds of `resignal = \"on_update\"`", plan.signals.iter().any(|signal| signal.resignal == Resignal::OnUpdate)),
        ("hooks for the stack, its metadata and events", plan.hooks.iter().any(|hook| hook.on.iter().any(needs_looks))),
        ("sources of events", !plan.sources.is_empty()),
    ];
    for (what, _) in idle.into_iter().filter(|(_, is_there)| *is_there) {
        let hint = "`poll = true` is the default, and needs the permission for ros:GetStack";
        notes.warn(poll.value.place, format!("with `poll = false` {what} do nothing: the stack is never looked at"), Some(hint.to_owned()));
    }
}

/// A reader of a table that stands alone, written or not.
fn single<'a>(root: &'a Table, name: &str, section: &'static Section, empty: &'a Table, notes: &'a mut Notes) -> Reader<'a> {
    let (table, header) = match root.0.get(name) {
        Some(entry) => (table(name, &entry.value, entry.key, notes).unwrap_or(empty), entry.key),
        None => (empty, Place::Default),
    };
    let mut reader = Reader::new(&[section], table, &[name], header, notes);
    reader.refuse_unknown(&[]);
    reader
}

fn refuse_unknown_tables(root: &Table, notes: &mut Notes) {
    let known = || keys::SINGLE.iter().map(|(name, _)| *name).chain(["signal", "check", "hook", "source"]);
    for (name, entry) in &root.0 {
        if known().any(|known| known == name) {
            continue;
        }
        let hint = match keys::nearest(name, known()) {
            Some(near) if matches!(near, "signal" | "check" | "hook" | "source") => Some(format!("did you mean `[{near}.NAME]`?")),
            Some(near) => Some(format!("did you mean `[{near}]`?")),
            None => keys::all()
                .find(|section| section.key(name).is_some())
                .map(|section| format!("it is a key of `{}`", section.header.trim_matches('`'))),
        };
        let what = if matches!(entry.value.data, Data::Table(_)) { "table" } else { "key" };
        notes.error(entry.key, format!("unknown {what} `{}`", shorten(name)), hint);
    }
}

/// The table that `value` must be.
fn table<'a>(name: &str, value: &'a Value, key: Place, notes: &mut Notes) -> Option<&'a Table> {
    if let Data::Table(table) = &value.data {
        return Some(table);
    }
    let name = shorten(name);
    notes.error(key, format!("`{name}` must be a table, not {}", value.kind()), Some(format!("write [{name}] on a line of its own")));
    None
}
