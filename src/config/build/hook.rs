//! `[hook.NAME]`.

use super::check::{Draft, judge_owners};
use crate::check::Health;
use crate::config::forms::{self, Written};
use crate::config::fragment::{Entry, Value};
use crate::config::keys;
use crate::config::owners::Owners;
use crate::config::reader::{Notes, Parsed, Problem, Reader, shorten};
use crate::events::envelope::kinds::KINDS;
use crate::plan::{Hook, Name, RunAs, Signal, Transition, Trigger};
use crate::signal::SignalStatus;
use std::sync::Arc;

/// Most hooks.
const HOOKS_LIMIT: usize = 64;

/// Words of `on` that are no types of events, with what they mean.
fn word(text: &str) -> Option<Trigger> {
    if let Some(transition) = Transition::ALL.into_iter().find(|transition| transition.word() == text) {
        return Some(Trigger::Stack(transition));
    }
    Some(match text {
        "metadata.changed" => Trigger::Metadata,
        "verdict.success" => Trigger::Verdict(SignalStatus::Success),
        "verdict.warning" => Trigger::Verdict(SignalStatus::Warning),
        "verdict.failure" => Trigger::Verdict(SignalStatus::Failure),
        "check.passing" => Trigger::Check(Health::Passing),
        "check.warning" => Trigger::Check(Health::Warning),
        "check.critical" => Trigger::Check(Health::Critical),
        "check.unknown" => Trigger::Check(Health::Unknown),
        _ => return None,
    })
}

/// The words of `on`, for hints.
const WORDS: [&str; 8] = [
    "metadata.changed",
    "verdict.success",
    "verdict.warning",
    "verdict.failure",
    "check.passing",
    "check.warning",
    "check.critical",
    "check.unknown",
];

/// All enabled hooks, in order of name.
pub(super) fn hooks(
    hooks: Option<&Entry>,
    drafts: &[Draft],
    signals: &[Arc<Signal>],
    owners: &Owners,
    notes: &mut Notes,
) -> Vec<Arc<Hook>> {
    let Some((entry, table)) =
        hooks.and_then(|entry| super::table("hook.NAME", &entry.value, entry.key, notes).map(|table| (entry, table)))
    else {
        return Vec::new();
    };
    if table.0.len() > HOOKS_LIMIT {
        notes.misfit(entry.key, format!("{} hooks, at most {HOOKS_LIMIT} are possible", table.0.len()), None);
        return Vec::new();
    }
    let mut built = Vec::new();
    for (name, entry) in &table.0 {
        judge_owners(&format!("hook `{}`", shorten(name)), &entry.value, entry.key, owners, notes);
        built.extend(hook(name, entry, drafts, signals, notes).map(Arc::new));
    }
    built
}

fn hook(name: &str, entry: &Entry, drafts: &[Draft], signals: &[Arc<Signal>], notes: &mut Notes) -> Option<Hook> {
    let valid = forms::name(name).map_err(|problem| notes.error(entry.key, problem.message, problem.hint)).ok();
    let table = super::table(&format!("hook.{}", shorten(name)), &entry.value, entry.key, notes)?;
    let mut reader = Reader::new(&[&keys::HOOK], table, &["hook", name], entry.key, notes);
    reader.refuse_unknown(&[]);
    let reader = &mut reader;
    if reader.flag("enabled") == Some(false) {
        return None;
    }
    let on = reader.value("on", triggers);
    let command = reader.value("command", command);
    let timeout = reader.duration("timeout");
    let retries = reader.number("retries");
    let at_most_once = reader.flag("at_most_once");
    let run_as = reader.word("run_as", |word| match word {
        "agent" => Some(RunAs::Agent),
        "root" => Some(RunAs::Root),
        _ => None,
    });
    let wait = reader.flag("wait");
    let checks = reader.value("checks", |value| forms::names(value, None));
    let of_signals = reader.value("signals", |value| forms::names(value, None));
    let resource = reader.optional("resource", |value| forms::identifier(value, 255, "-_."));
    let checks = known(reader, "check", &checks?, &drafts.iter().map(|draft| &*draft.name).collect::<Vec<_>>());
    let signals = known(reader, "signal", &of_signals?, &signals.iter().map(|signal| &*signal.name).collect::<Vec<_>>());
    judge_use(reader, on.as_deref().unwrap_or_default());
    Some(Hook {
        name: valid?,
        on: on?,
        command: command?,
        timeout: timeout?,
        retries: retries?,
        at_most_once: at_most_once?,
        run_as: run_as?,
        wait: wait?,
        checks,
        signals,
        resource: resource?,
    })
}

fn triggers(value: &Value) -> Parsed<Vec<Trigger>> {
    let on = forms::each(value, |text| {
        if let Some(trigger) = word(text) {
            return Ok(trigger);
        }
        if text.contains(':') && text.len() <= 64 && !text.chars().any(char::is_control) {
            return Ok(Trigger::Event(text.to_owned()));
        }
        // The text is not repeated: in a file with a broken line it may be anything.
        let words = Transition::ALL.into_iter().map(Transition::word).chain(WORDS);
        let problem = Problem::new("names nothing that happens").hint_nearest(text, words);
        Err(if problem.hint.is_some() { problem } else { problem.hint("such as \"stack.updated\" or \"ros:StackStateChange:*\"") })
    })?;
    if on.is_empty() {
        return Err(Problem::new("must name at least one thing that happens").into());
    }
    Ok(on.into_iter().map(|written| written.what).collect())
}

fn command(value: &Value) -> Parsed<Vec<String>> {
    let words = forms::each(value, |text| match text {
        _ if text.contains('\0') => Err(Problem::new("has a NUL character")),
        _ if text.len() > 4096 => Err(Problem::new("has an argument of more than 4096 bytes")),
        _ => Ok(text.to_owned()),
    })?;
    match words.first() {
        Some(program) if program.what.starts_with('/') => Ok(words.into_iter().map(|word| word.what).collect()),
        Some(_) => Err(Problem::new("must begin with the absolute path of a program").into()),
        None => Err(Problem::new("must not be empty").hint("command = [\"/usr/local/bin/apply-update\"]").into()),
    }
}

/// Names that must be those of checks or signals.
fn known(reader: &mut Reader<'_>, what: &str, names: &[Written<String>], all: &[&str]) -> Vec<Name> {
    for written in names.iter().filter(|written| !all.contains(&written.what.as_str())) {
        let hint = keys::nearest(&written.what, all.iter().copied()).map(|near| format!("did you mean `{near}`?"));
        reader.notes.misfit(written.place, format!("there is no {what} of this name"), hint);
    }
    names.iter().map(|written| Name::from(written.what.as_str())).collect()
}

/// Warns of keys that `on` leaves without a use: whoever wrote them expects something of them.
fn judge_use(reader: &mut Reader<'_>, on: &[Trigger]) {
    if on.is_empty() {
        return;
    }
    let is_check = |trigger: &Trigger| matches!(trigger, Trigger::Check(_));
    let is_verdict = |trigger: &Trigger| matches!(trigger, Trigger::Verdict(_));
    let idle = [
        ("checks", "`check.*`", !on.iter().any(is_check)),
        ("signals", "`verdict.*`", !on.iter().any(is_verdict)),
        ("resource", "`metadata.changed`", !on.contains(&Trigger::Metadata)),
    ];
    for (key, word, is_idle) in idle {
        if !is_idle || !reader.has(key) {
            continue;
        }
        let place = reader.place(key);
        reader.notes.warn(place, format!("`{key}` changes nothing: it is for {word}, which `on` does not have"), None);
    }
    let place = reader.place("on");
    for wrong in on.iter().filter_map(never_sent) {
        let hint = keys::nearest(wrong, KINDS.iter().map(|(kind, _)| *kind)).map(|near| format!("did you mean \"{near}\"?"));
        let hint = hint.unwrap_or_else(|| "such as \"ros:StackStateChange:UpdateComplete\" or \"ros:StackStateChange:*\"".to_owned());
        reader.notes.warn(place, "`on` has a type of events that ROS is not known to send", Some(hint));
    }
}

/// The type of an event, if it is none that is known. It may be a new one, so it is not refused.
fn never_sent(trigger: &Trigger) -> Option<&str> {
    let Trigger::Event(wanted) = trigger else { return None };
    let is_meant = |kind: &str| wanted.strip_suffix('*').map_or(kind == wanted, |beginning| kind.starts_with(beginning));
    (!KINDS.iter().any(|(kind, _)| is_meant(kind))).then_some(wanted.as_str())
}
