//! The keys of `type = "systemd"`.

use super::check::problem;
use crate::config::forms;
use crate::config::fragment::Value;
use crate::config::reader::{Parsed, Problem, Reader, shorten, text};
use crate::plan::{ConditionUnmet, System, SystemState, Systemd, Unit};

/// Suffixes of units, systemd.unit(5).
const SUFFIXES: [&str; 11] = ["service", "socket", "device", "mount", "automount", "swap", "target", "path", "timer", "slice", "scope"];
/// Greatest length of the name of a unit, systemd.unit(5).
const NAME_LIMIT: usize = 255;
/// Keys of a unit, and of the system.
const OF_UNIT: [&str; 3] = ["stable_for", "max_restarts", "condition_unmet"];
const OF_SYSTEM: [&str; 2] = ["accept", "ignore_units"];

pub(super) fn systemd(reader: &mut Reader<'_>) -> Option<Systemd> {
    let whole = reader.flag("system")?;
    if whole && reader.has("unit") {
        let place = reader.place("system");
        let hint = "a check asks for one thing; write two checks".to_owned();
        reader.notes.misfit(place, "`system` cannot stand beside `unit`", Some(hint));
        return None;
    }
    if whole {
        refuse(reader, &OF_UNIT, "`unit`");
        return system(reader).map(Systemd::System);
    }
    refuse(reader, &OF_SYSTEM, "`system = true`");
    if !reader.has("unit") {
        let message = format!("`{}` needs the key `unit`, or `system = true`", reader.title());
        let place = reader.header();
        reader.notes.misfit(place, message, Some("write unit = \"nginx.service\"".to_owned()));
    }
    unit(reader).map(Systemd::Unit)
}

/// Keys that do nothing without `companion`.
fn refuse(reader: &mut Reader<'_>, keys: &[&str], companion: &str) {
    for key in keys.iter().filter(|key| reader.has(key)).collect::<Vec<_>>() {
        let place = reader.place(key);
        reader.notes.misfit(place, format!("`{key}` needs {companion} beside it"), None);
    }
}

fn unit(reader: &mut Reader<'_>) -> Option<Unit> {
    let name = reader.optional("unit", |value| Ok(unit_name(text(value)?)?));
    let stable_for = reader.duration("stable_for");
    let max_restarts = reader.number("max_restarts");
    let condition_unmet = reader.word("condition_unmet", |word| match word {
        "passing" => Some(ConditionUnmet::Passing),
        "critical" => Some(ConditionUnmet::Critical),
        _ => None,
    });
    Some(Unit { name: name??, stable_for: stable_for?, max_restarts: max_restarts?, condition_unmet: condition_unmet? })
}

fn system(reader: &mut Reader<'_>) -> Option<System> {
    let accept = reader.value("accept", states);
    let ignore_units = reader.value("ignore_units", |value| forms::each(value, unit_name));
    let (accept, ignore_units) = (accept?, ignore_units?);
    if !ignore_units.is_empty() && accept.contains(&SystemState::Degraded) {
        let place = reader.place("ignore_units");
        let hint = "leave out \"degraded\": it passes when only these units have failed".to_owned();
        reader.notes.misfit(place, "`ignore_units` does nothing, because `accept` has \"degraded\"", Some(hint));
        return None;
    }
    Some(System { accept, ignore_units: ignore_units.into_iter().map(|unit| unit.what).collect() })
}

fn states(value: &Value) -> Parsed<Vec<SystemState>> {
    let words = SystemState::ALL.map(SystemState::word);
    let states = forms::each(value, |word| {
        let unknown = || {
            let problem = Problem::new(format!("has \"{}\", which is not a state of the system", shorten(word)));
            problem.hint(format!("one of {}", words.join(", ")))
        };
        SystemState::of_word(word).ok_or_else(unknown)
    })?;
    if states.is_empty() {
        return Err(problem("must not be empty: nothing would pass"));
    }
    Ok(states.into_iter().map(|state| state.what).collect())
}

/// The name of a unit as systemd takes it: systemd.unit(5), "String escaping for inclusion in unit names".
pub(super) fn unit_name(name: &str) -> Result<String, Problem> {
    let shown = shorten(name);
    if name.starts_with('/') {
        let problem = Problem::new(format!("is not the name of a unit: \"{shown}\" is a path"));
        return Err(problem.hint("systemd-escape --path --suffix=mount says how the unit of a path is called"));
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '-' | '_' | '.' | '\\' | '@');
    if name.is_empty() || name.len() > NAME_LIMIT || !name.chars().all(allowed) {
        let problem = Problem::new(format!("is not the name of a unit: \"{shown}\""));
        return Err(problem.hint("a unit has 1 to 255 characters of A-Z a-z 0-9 : - _ . \\ @"));
    }
    let known = name.rsplit_once('.').filter(|(stem, suffix)| !stem.is_empty() && SUFFIXES.contains(suffix));
    let Some((stem, suffix)) = known else {
        return Err(Problem::new(format!("is not the name of a unit: \"{shown}\" has no suffix")).hint(format!("{shown}.service")));
    };
    if stem.ends_with('@') {
        let problem = Problem::new(format!("is a template, which never runs by itself: \"{shown}\""));
        return Err(problem.hint(format!("name an instance, such as {}INSTANCE.{suffix}", shorten(stem))));
    }
    if stem.starts_with('@') {
        return Err(Problem::new(format!("is not the name of a unit: \"{shown}\" begins with @")));
    }
    Ok(name.to_owned())
}
