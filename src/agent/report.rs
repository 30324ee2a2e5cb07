//! The failure report: the part that the core knows, and the wait for the rest.
//!
//! When a FAILURE is decided the driver is asked to complete the report ([`Effect::Report`]). The FAILURE goes out when it is there
//! ([`super::Input::Reported`]), or its time is up: [`PATIENCE_MS`], and half of what is left until the deadline. It delays nothing else, and
//! nothing of it is durable: an agent that was killed meanwhile sends the FAILURE without.

use super::checks::CheckRun;
use super::rounds::Active;
use super::{Core, Effect};
use crate::check::{Health, Observation, clip};
use crate::clock::{BootMs, rfc3339};
use crate::plan::{Level, Name, Probe, Systemd};
use crate::signal::SignalStatus;
use std::collections::{BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

/// How long a FAILURE waits for its report at most.
const PATIENCE_MS: BootMs = 5_000;
/// Different things that a check said lately, kept for the report.
const PAST_KEPT: usize = 4;
/// What is kept of each, in bytes.
const PAST_MESSAGE: usize = 256;
const PAST_OUTPUT: usize = 512;
/// Checks told in full; more are only counted.
const CHECKS: usize = 64;
/// Entries of history that are told.
const HISTORY: usize = 16;
/// What the core knows, in bytes.
const LIMIT: usize = 48 * 1024;

/// A report as far as the core knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// The signal.
    pub signal: Name,
    /// This host, once known.
    pub instance_id: Option<String>,
    /// When, RFC 3339.
    pub at: String,
    /// Reason, timers, checks, what was done.
    pub text: String,
    /// Units of systemd to be told of too.
    pub units: Vec<String>,
}

/// What a check said before, oldest first: each different thing once.
#[derive(Clone, Debug, Default)]
pub(super) struct Past(VecDeque<Said>);

#[derive(Clone, Debug)]
struct Said {
    first: BootMs,
    last: BootMs,
    times: u64,
    health: Health,
    message: String,
    output: String,
}

impl Past {
    /// Takes one observation.
    pub(super) fn note(&mut self, at: BootMs, observation: &Observation) {
        let message = observation.message.as_str();
        let message = message.get(..floor(message, PAST_MESSAGE)).unwrap_or_default();
        if let Some(said) = self.0.back_mut().filter(|said| said.health == observation.health && said.message == message) {
            said.last = at;
            said.times = said.times.saturating_add(1);
            return;
        }
        let output = if observation.health.is_good() { String::new() } else { tail(&observation.output, PAST_OUTPUT).to_owned() };
        if self.0.len() >= PAST_KEPT {
            self.0.pop_front();
        }
        self.0.push_back(Said { first: at, last: at, times: 1, health: observation.health, message: message.to_owned(), output });
    }
}

/// A FAILURE that waits for its report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Awaited {
    report: u64,
    pub(super) until: BootMs,
}

impl Core {
    /// Asks for the report of a FAILURE that has just been decided, and lets it wait for that.
    pub(super) fn begin_report(&mut self, index: usize) {
        let report = self.id();
        let now = self.now();
        let Some(active) = self.rounds.get(index) else { return };
        let left = self.timers(active).map_or(PATIENCE_MS * 2, |timers| timers.last.saturating_sub(now));
        let draft = self.draft(active);
        let until = now.saturating_add(PATIENCE_MS.min(left / 2).max(0));
        if let Some(active) = self.rounds.get_mut(index) {
            active.delivery.awaited = Some(Awaited { report, until });
        }
        self.effects.push(Effect::Report { report, draft: Box::new(draft) });
    }

    /// The report is there, or has failed.
    pub(super) fn reported(&mut self, report: u64, text: Option<Arc<str>>) {
        let is_it = |active: &&mut Active| active.delivery.awaited.is_some_and(|awaited| awaited.report == report);
        let Some(active) = self.rounds.iter_mut().find(is_it) else { return };
        active.delivery.awaited = None;
        active.delivery.report = text;
    }

    /// Whether `signal`, or any, has one to be told of, and what: the report as it would be now.
    pub fn report_now(&self, signal: Option<&str>) -> Option<Draft> {
        let planned = self.plan.signals.iter().filter_map(|signal| self.current(signal));
        let mut rounds = planned.filter_map(|index| self.rounds.get(index)).chain(self.rounds.iter().rev());
        rounds.find(|active| signal.is_none_or(|name| *active.round.signal == *name)).map(|active| self.draft(active))
    }

    /// The instance whose reports these are.
    pub fn instance_id(&self) -> Option<&str> {
        self.identity.known.as_ref().map(|identity| identity.instance_id.as_str())
    }

    fn draft(&self, active: &Active) -> Draft {
        let mut text = String::new();
        self.tell_head(active, &mut text);
        self.tell_timers(active, &mut text);
        self.tell_checks(active, &mut text);
        self.tell_history(active, &mut text);
        Draft {
            signal: Arc::clone(&active.round.signal),
            instance_id: self.instance_id().map(str::to_owned),
            at: rfc3339(self.turn.now.wall_ms),
            text: clip(text, LIMIT),
            units: self.units_of(active),
        }
    }

    fn tell_head(&self, active: &Active, text: &mut String) {
        let round = &active.round;
        let (signal, resource) = (&round.signal, &round.resource);
        // Writing to a string cannot fail, here and below.
        let _ = match &round.intent {
            Some(intent) if intent.status == SignalStatus::Failure => {
                writeln!(text, "FAILURE report of signal {signal} ({resource}): {}", intent.reason)
            }
            Some(intent) => writeln!(text, "report of signal {signal} ({resource}), which has said {}: {}", intent.status, intent.reason),
            None => writeln!(text, "report of signal {signal} ({resource}), which has no verdict yet"),
        };
        let host = self.instance_id().unwrap_or("a host without a known identity");
        let _ = write!(text, "  ros-signal-agent {} on {host}", env!("CARGO_PKG_VERSION"));
        if let Some(target) = &round.target {
            let _ = write!(text, ", stack {} in {}", target.stack_id, target.region);
        }
        let _ = writeln!(text, "\n  at {}, {} after boot", rfc3339(self.turn.now.wall_ms), span(self.now()));
        if let Some(trouble) = self.durability.trouble() {
            let _ = writeln!(text, "  state not durable: {trouble}");
        }
    }

    /// Which one ran out, its value, and since when.
    fn tell_timers(&self, active: &Active, text: &mut String) {
        let (Some(signal), Some(timers)) = (self.plan.signal(&active.round.signal), self.timers(active)) else { return };
        let now = self.now();
        let since = rfc3339(self.turn.now.wall_ms.saturating_sub(now.saturating_sub(timers.started)));
        let (deadline, margin) = (humantime::format_duration(signal.deadline), humantime::format_duration(signal.margin));
        text.push_str("\ntimer\n");
        let standing = match (now >= timers.decide_by, now >= timers.last) {
            (_, true) => "ran out, to its end".to_owned(),
            (true, false) => format!("ran out, {} before its end", span(timers.last.saturating_sub(now))),
            (false, false) => format!("has not run out: {} were left to decide", span(timers.decide_by.saturating_sub(now))),
        };
        let _ = if timers.from_template {
            let decides = span(timers.decide_by.saturating_sub(timers.started));
            writeln!(text, "  {decides} from the start of the round, by the Timeout in the template: {standing}")
        } else {
            writeln!(text, "  deadline = {deadline}, less margin = {margin}: {standing}")
        };
        let _ = writeln!(
            text,
            "  running since {since}, {} ago, {} after boot",
            span(now.saturating_sub(timers.started)),
            span(timers.started)
        );
        if let Some(extended) = active.extended {
            let _ = writeln!(
                text,
                "  extended {} ago, because the time to decide had passed while nobody could",
                span(now.saturating_sub(extended))
            );
        }
    }

    fn tell_checks(&self, active: &Active, text: &mut String) {
        let Some(signal) = self.plan.signal(&active.round.signal) else { return };
        let names: BTreeSet<&Name> = signal.runs().collect();
        let mut runs: Vec<_> = names.into_iter().filter_map(|name| self.checks.get(name)).collect();
        runs.sort_by_key(|run| rank(run));
        text.push_str("\nchecks\n");
        let now = self.now();
        for run in runs.iter().take(CHECKS) {
            let word = run.state.committed().map_or("initial", Health::word);
            let level = if run.check.level == Level::Required { "required" } else { "wanted" };
            let since = span(now.saturating_sub(run.state.since()));
            let kind = run.check.probe.kind();
            let _ = write!(text, "  {} ({kind}, {level}): {word} for {since}, {} runs", run.check.name, run.runs);
            if let Some(dependency) = &run.waiting_for {
                let _ = write!(text, ", waits for {dependency}");
            }
            if run.state.last().is_none() && run.past.0.is_empty() {
                text.push_str(": not run yet");
            }
            text.push('\n');
            self.tell_past(run, text);
        }
        let untold = runs.len().saturating_sub(CHECKS);
        if untold > 0 {
            let _ = writeln!(text, "  and {untold} more");
        }
    }

    /// What the check said, newest first; of the newest all of its output.
    fn tell_past(&self, run: &CheckRun, text: &mut String) {
        let now = self.now();
        let newest = run.state.last().map(|seen| seen.observation.output.as_str());
        for (place, said) in run.past.0.iter().rev().enumerate() {
            let _ = write!(text, "    {} ago, {}: {}", span(now.saturating_sub(said.last)), said.health, said.message);
            if said.times > 1 {
                let _ = write!(text, " ({} times within {})", said.times, span(said.last.saturating_sub(said.first)));
            }
            text.push('\n');
            let output = if place == 0 { newest.unwrap_or(&said.output) } else { &said.output };
            for line in output.lines() {
                let _ = writeln!(text, "      | {line}");
            }
        }
    }

    /// What was done for this signal, and by the agent as a whole.
    fn tell_history(&self, active: &Active, text: &mut String) {
        text.push_str("\nhistory\n");
        let of_it = |entry: &&crate::signal::HistoryEntry| entry.signal.as_ref().is_none_or(|name| *name == active.round.signal);
        let all: Vec<_> = self.history.iter().filter(of_it).collect();
        for entry in all.iter().skip(all.len().saturating_sub(HISTORY)) {
            let _ = writeln!(text, "  {}  {}", rfc3339(entry.at_ms), entry.what);
        }
        let delivery = &active.delivery;
        let _ = match &delivery.trouble {
            Some(trouble) => writeln!(text, "  {} attempts to send, the last trouble: {}", delivery.attempts, trouble.text),
            None => writeln!(text, "  {} attempts to send", delivery.attempts),
        };
    }

    /// Units of its systemd checks, then those of the configuration.
    fn units_of(&self, active: &Active) -> Vec<String> {
        let names = self.plan.signal(&active.round.signal).into_iter().flat_map(|signal| signal.runs());
        let mut runs: Vec<_> = names.filter_map(|name| self.checks.get(name)).collect();
        // Not all may be asked: what is wrong comes first here too.
        runs.sort_by_key(|run| rank(run));
        let of_checks = runs.into_iter().filter_map(|run| match &run.check.probe {
            Probe::Systemd(Systemd::Unit(unit)) => Some(&unit.name),
            _ => None,
        });
        let mut units: Vec<String> = Vec::new();
        for unit in of_checks.chain(&self.plan.report.units) {
            if !units.contains(unit) {
                units.push(unit.clone());
            }
        }
        units
    }
}

/// What is wrong comes first.
fn rank(run: &CheckRun) -> u8 {
    let last = run.state.last().map(|seen| seen.observation.health);
    match (run.state.committed(), last) {
        (Some(Health::Critical | Health::Unknown), _) => 0,
        (_, Some(Health::Critical | Health::Unknown)) => 1,
        (None, _) => 2,
        (Some(Health::Warning), _) | (_, Some(Health::Warning)) => 3,
        (Some(Health::Passing), _) => 4,
    }
}

/// Whole seconds as `2m10s`.
fn span(ms: BootMs) -> String {
    let whole = Duration::from_secs(u64::try_from(ms / 1000).unwrap_or(0));
    humantime::format_duration(whole).to_string().replace(' ', "")
}

/// The largest boundary of a character that is not beyond `limit`.
fn floor(text: &str, limit: usize) -> usize {
    (0..=limit.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// The last `limit` bytes of `text`.
fn tail(text: &str, limit: usize) -> &str {
    let from = text.len().saturating_sub(limit);
    (from..=text.len()).find_map(|at| text.get(at..)).unwrap_or_default()
}
