//! What the agent is doing and why it is not done yet: one snapshot, serialised for programs and told in words for people.
//!
//! The JSON of `/status` is this structure. Fields are only ever added.

mod stack;

use super::Core;
use super::rounds::Active;
use crate::check::{Health, Reading};
use crate::clock::{BootMs, millis, rfc3339};
use crate::events::SourceView;
use crate::plan::{ClockTrust, Level};
use crate::signal::{HistoryEntry, Settlement, SignalStatus};
use crate::verdict::{Standing, degraded, healthy_since, is_healthy, not_ready};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;

/// The whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Version of the agent.
    pub version: String,
    /// Wall time of this snapshot, RFC 3339.
    pub at: String,
    /// In one line, as systemd shows it.
    pub summary: String,
    /// Verdicts are paused.
    pub held: bool,
    /// Instance id, once known; none while it is asked for again because this may be a copy.
    pub instance_id: Option<String>,
    /// Why the instance id is not known.
    pub identity_error: Option<String>,
    /// Why the configuration on disk cannot be used, if a load of it was refused.
    #[serde(default)]
    pub misconfigured: Option<String>,
    /// Why the state is not durable, if it is not.
    pub not_durable: Option<String>,
    /// What is known of this host's clock; missing where nobody looks at it.
    #[serde(default)]
    pub clock: Option<ClockView>,
    /// Signals, in order of name, then those sent by hand.
    pub signals: Vec<SignalStatusView>,
    /// Checks, in order of name.
    pub checks: Vec<CheckView>,
    /// The stacks that are followed.
    #[serde(default)]
    pub stacks: Vec<StackView>,
    /// Sources of events, in order of name.
    #[serde(default)]
    pub sources: Vec<SourceView>,
    /// Hooks, in order of name.
    #[serde(default)]
    pub hooks: Vec<HookView>,
}

/// A stack that is followed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StackView {
    /// `StackId`.
    pub stack_id: String,
    /// `RegionId`.
    pub region: String,
    /// `StackName`, once known.
    pub name: Option<String>,
    /// `Status`, as it was looked at last.
    pub status: Option<String>,
    /// `StatusReason`.
    pub reason: Option<String>,
    /// `UpdateTime`, else `CreateTime`, as ROS writes it.
    pub updated: Option<String>,
    /// `watched`, `not permitted`, `deleted`, `off` (`[ros] poll = false`).
    pub state: String,
    /// When the last look came back, RFC 3339.
    pub looked_at: Option<String>,
    /// Until the next look, milliseconds.
    pub next_look_ms: Option<i64>,
    /// Why the last look failed, if it did.
    pub error: Option<String>,
    /// Whether ROS tells EventBridge about this stack; none: not known.
    pub notifies_eventbridge: Option<bool>,
    /// What somebody should know.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// Looks that came back, in this run of the agent.
    #[serde(default)]
    pub looks: u64,
    /// Of these, those that failed or were denied.
    #[serde(default)]
    pub failed_looks: u64,
}

/// A hook.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HookView {
    /// Name.
    pub name: String,
    /// `idle`, `waiting`, `running`.
    pub state: String,
    /// Occasions for which it is still to be run.
    pub queued: usize,
    /// What it was run for last, such as `stack.updated`.
    pub last: Option<String>,
    /// How that ended, in words.
    pub ended: Option<String>,
    /// Whether it ended well.
    pub succeeded: Option<bool>,
    /// When, RFC 3339.
    pub ended_at: Option<String>,
    /// Runs that ended well, in this run of the agent.
    #[serde(default)]
    pub succeeded_runs: u64,
    /// Runs that ended badly, in this run of the agent.
    #[serde(default)]
    pub failed_runs: u64,
}

/// What is known of this host's clock. An offset is positive where the other clock is ahead, and this host's slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockView {
    /// `[clock] trust`.
    pub trust: ClockTrust,
    /// Whose time certificates are judged by now.
    pub verified_by: ClockTrust,
    /// Clock of ROS minus this host's, milliseconds, once an answer told it.
    pub ros_ahead_ms: Option<i64>,
    /// Clock of the metadata service minus this host's, milliseconds, once an answer told it.
    pub metadata_ahead_ms: Option<i64>,
}

/// One signal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SignalStatusView {
    /// Name.
    pub name: String,
    /// Logical ID of the resource.
    pub resource: String,
    /// Stack, once known.
    pub stack_id: Option<String>,
    /// Region, once known.
    pub region: Option<String>,
    /// Name of the round.
    pub round: String,
    /// `pending`, `sending`, or how it ended: `acknowledged`, `not needed`, `cancelled`, `superseded`, `given up`, `silent`.
    pub state: String,
    /// In words: what is waited for, or how it ended.
    pub detail: String,
    /// Whether all required checks have been passing for `min_healthy_time`, now, whatever was said before.
    pub healthy: bool,
    /// Until the decision at the latest, milliseconds; none when decided.
    pub decides_within_ms: Option<i64>,
    /// The verdict.
    pub verdict: Option<SignalStatus>,
    /// Its UniqueId.
    pub unique_id: Option<String>,
    /// Its reason.
    pub reason: Option<String>,
    /// Attempts to send, in this run of the agent.
    pub attempts: u32,
    /// The last trouble with sending.
    pub last_error: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
    /// Until the next attempt, milliseconds.
    pub next_attempt_ms: Option<i64>,
    /// RequestId of the acknowledgement.
    pub request_id: Option<String>,
    /// When it ended, RFC 3339.
    pub settled_at: Option<String>,
    /// What was seen after the acknowledgement: `pending`, `not counted yet`, `counted`, `not needed`, `failed`, `rolled back`, `unknown`; none:
    /// nobody looks.
    #[serde(default)]
    pub confirmed: Option<String>,
    /// In words.
    #[serde(default)]
    pub confirmation: Option<String>,
    /// Where the deadline comes from: `configured`, `default`, or `template`.
    #[serde(default)]
    pub deadline_from: Option<String>,
    /// What does not fit between the configuration and the template.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckView {
    /// Name.
    pub name: String,
    /// `type`.
    pub kind: String,
    /// `level`.
    pub level: String,
    /// Committed state; none is `initial`.
    pub state: Option<Health>,
    /// For how long, milliseconds.
    pub for_ms: i64,
    /// What the last observation said.
    pub last: Option<LastView>,
    /// Runs so far.
    pub runs: u64,
    /// A run is in flight.
    pub running: bool,
    /// The dependency that it waits for.
    pub waiting_for: Option<String>,
    /// Failures do not count yet.
    pub in_start_period: bool,
}

/// The last observation of a check.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LastView {
    /// What it said.
    pub health: Health,
    /// In words.
    pub message: String,
    /// Tail of the output.
    pub output: String,
    /// It will never pass.
    pub terminal: bool,
    /// What it has read in numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub readings: Vec<Reading>,
    /// Milliseconds ago.
    pub ago_ms: i64,
    /// How long the run took, milliseconds.
    pub took_ms: i64,
}

/// For `wait` and its reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// Every signal's required checks have been passing for `min_healthy_time`.
    Healthy,
    /// Every signal is settled.
    Signaled,
}

impl Core {
    /// The snapshot at the time of the last step.
    pub fn status(&self) -> Status {
        let planned = self.plan.signals.iter().filter_map(|signal| self.rounds.get(self.current(signal)?));
        let is_other = |(index, active): &(usize, &Active)| active.is_manual() || (active.is_owed() && !self.is_planned(*index));
        let rest = self.rounds.iter().enumerate().filter(is_other).map(|(_, active)| active);
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            at: rfc3339(self.turn.now.wall_ms),
            summary: self.summary(),
            held: self.held,
            instance_id: self.instance_id().filter(|_| !self.identity.is_in_doubt()).map(str::to_owned),
            identity_error: self.identity.error.clone(),
            misconfigured: self.misconfigured.clone(),
            not_durable: self.durability.trouble(),
            clock: None,
            signals: planned.chain(rest).map(|active| self.signal_view(active)).collect(),
            checks: self.checks.values().map(|run| self.check_view(run)).collect(),
            stacks: self.stack_views(),
            sources: Vec::new(),
            hooks: self.hook_views(),
        }
    }

    /// What was done, oldest first.
    pub fn history(&self) -> &[HistoryEntry] {
        &self.history
    }

    /// Whether `goal` is reached, for one signal or for all of them.
    pub fn is_reached(&self, goal: Goal, signal: Option<&str>) -> bool {
        // Of a name the round of the present plan, else the last one: older ones for other targets are not what is asked for.
        let named = signal.map(|name| {
            let planned = self.plan.signal(name).and_then(|signal| self.current(signal));
            planned.or_else(|| self.rounds.iter().rposition(|active| *active.round.signal == *name))
        });
        let mut wanted = self.rounds.iter().enumerate().filter(|(index, _)| match named {
            Some(named) => named == Some(*index),
            None => self.is_planned(*index),
        });
        let mut any = false;
        let all = wanted.all(|(_, active)| {
            any = true;
            match goal {
                Goal::Healthy => self.is_healthy(active),
                Goal::Signaled => active.round.settled.is_some(),
            }
        });
        any && all
    }

    /// When time alone will make a signal count as healthy, for those who wait for it.
    pub fn healthy_wake(&self) -> Option<BootMs> {
        let times = self.rounds.iter().filter_map(|active| {
            let signal = self.plan.signal(&active.round.signal)?;
            let since = healthy_since(&self.standings(signal), active.started)?;
            Some(since.saturating_add(millis(signal.min_healthy_time)))
        });
        times.filter(|at| *at > self.now()).min()
    }

    fn is_healthy(&self, active: &Active) -> bool {
        let signal = self.plan.signal(&active.round.signal);
        signal.is_some_and(|signal| is_healthy(signal, &self.standings(signal), active.started, self.now()))
    }

    fn signal_view(&self, active: &Active) -> SignalStatusView {
        let round = &active.round;
        let intent = round.intent.as_ref();
        let trouble = active.delivery.trouble.as_ref();
        let (request_id, settled_at) = match &round.settled {
            Some(Settlement::Acknowledged { request_id, at_ms }) => (Some(request_id.clone()), Some(rfc3339(*at_ms))),
            Some(
                Settlement::NotNeeded { at_ms, .. }
                | Settlement::Cancelled { at_ms }
                | Settlement::Superseded { at_ms }
                | Settlement::GaveUp { at_ms }
                | Settlement::Silent { at_ms },
            ) => (None, Some(rfc3339(*at_ms))),
            None => (None, None),
        };
        let state = match (&round.settled, intent) {
            (Some(settled), _) => settled.word(),
            (None, Some(_)) => "sending",
            (None, None) => "pending",
        };
        let timers = self.timers(active).filter(|_| active.is_open());
        let decides = timers.map(|timers| timers.decide_by.saturating_sub(self.now()));
        let given = self.plan.signal(&round.signal).is_some_and(|signal| signal.deadline_given);
        let deadline_from = timers.map(|timers| match (timers.from_template, given) {
            (true, _) => "template",
            (false, true) => "configured",
            (false, false) => "default",
        });
        let (confirmed, confirmation) = confirmed(active).unzip();
        SignalStatusView {
            name: round.signal.to_string(),
            resource: round.resource.clone(),
            stack_id: round.target.as_ref().map(|target| target.stack_id.clone()),
            region: round.target.as_ref().map(|target| target.region.clone()),
            round: round.name.clone(),
            state: state.to_owned(),
            detail: self.detail(active),
            healthy: self.is_healthy(active),
            decides_within_ms: decides,
            verdict: intent.map(|intent| intent.status),
            unique_id: intent.map(|intent| intent.unique_id.to_string()),
            reason: intent.map(|intent| intent.reason.clone()),
            attempts: active.delivery.attempts,
            last_error: trouble.filter(|_| active.is_owed()).map(|trouble| trouble.text.clone()),
            hint: trouble.filter(|_| active.is_owed()).and_then(|trouble| trouble.hint.clone()),
            next_attempt_ms: active.delivery.next_attempt().filter(|_| active.is_owed()).map(|at| at.saturating_sub(self.now()).max(0)),
            request_id,
            settled_at,
            confirmed: confirmed.map(str::to_owned),
            confirmation: confirmation.flatten(),
            deadline_from: deadline_from.map(str::to_owned),
            warnings: self.warnings(active),
        }
    }

    fn check_view(&self, run: &super::checks::CheckRun) -> CheckView {
        let now = self.now();
        CheckView {
            name: run.check.name.to_string(),
            kind: run.check.probe.kind().to_owned(),
            level: if run.check.level == Level::Required { "required" } else { "wanted" }.to_owned(),
            state: run.state.committed(),
            for_ms: now.saturating_sub(run.state.since()),
            last: run.state.last().map(|seen| LastView {
                health: seen.observation.health,
                message: seen.observation.message.clone(),
                output: seen.observation.output.clone(),
                terminal: seen.observation.terminal,
                readings: seen.observation.readings.clone(),
                ago_ms: now.saturating_sub(seen.at),
                took_ms: millis(seen.observation.took),
            }),
            runs: run.runs,
            running: run.running.is_some(),
            waiting_for: run.waiting_for.as_ref().map(ToString::to_string),
            in_start_period: run.state.in_start_period(&run.check, now),
        }
    }

    /// One line: the state of each signal, newest trouble first.
    pub fn summary(&self) -> String {
        let mut parts = Vec::new();
        match &self.misconfigured {
            Some(error) if self.plan.signals.is_empty() => parts.push(format!("not configured: {error}")),
            Some(error) => parts.push(format!("reload refused, the old configuration runs: {error}")),
            None if self.plan.signals.is_empty() => parts.push("not configured: no [signal.NAME] in the configuration".to_owned()),
            None => {}
        }
        if self.held {
            parts.push("HELD, no verdicts until resume".to_owned());
        }
        if let Some(trouble) = self.durability.trouble() {
            parts.push(format!("state not durable ({trouble})"));
        }
        if self.identity.known.is_none()
            && let Some(error) = &self.identity.error
        {
            parts.push(format!("identity unknown ({error})"));
        }
        for signal in self.plan.signals.iter().take(4) {
            if let Some(active) = self.current(signal).and_then(|index| self.rounds.get(index)) {
                parts.push(format!("{}: {}", signal.name, self.detail(active)));
            }
        }
        if self.plan.signals.len() > 4 {
            parts.push(format!("and {} more signals", self.plan.signals.len() - 4));
        }
        let mut planned = self.plan.signals.iter().filter_map(|signal| self.rounds.get(self.current(signal)?));
        parts.extend(stack::clause(&self.stack_views(), planned.any(|active| active.round.settled.is_none())));
        parts.join("; ")
    }

    /// `3/5 checks passing, waiting for nginx (critical: connection refused), 2m10s left`
    fn detail(&self, active: &Active) -> String {
        match (&active.round.settled, &active.round.intent) {
            (Some(Settlement::NotNeeded { why, .. }), _) => format!("not needed, {why}"),
            (Some(settled), Some(intent)) => match confirmed(active) {
                Some((word, _)) if word != "pending" => format!("{} {}, confirmed: {word}", intent.status, settled.word()),
                _ => format!("{} {}", intent.status, settled.word()),
            },
            (Some(settled), None) => settled.word().to_owned(),
            (None, Some(intent)) => self.sending_detail(active, intent.status),
            (None, None) => self.pending_detail(active),
        }
    }

    fn sending_detail(&self, active: &Active, status: SignalStatus) -> String {
        let delivery = &active.delivery;
        let mut text = format!("{status} decided, sending");
        if delivery.attempts > 0 {
            let _ = write!(text, ", attempt {}", delivery.attempts);
        }
        if let Some(trouble) = &delivery.trouble {
            let since = seconds(self.now().saturating_sub(trouble.at));
            let class = trouble.class.map_or(String::new(), |class| format!(" [{class:?}]"));
            let _ = write!(text, " ({}{class} {since} ago)", trouble.text);
        }
        if let Some(next) = delivery.next_attempt().filter(|next| *next > self.now()) {
            let _ = write!(text, ", again in {}", seconds(next.saturating_sub(self.now())));
        }
        text
    }

    fn pending_detail(&self, active: &Active) -> String {
        let Some(signal) = self.plan.signal(&active.round.signal) else { return "left the plan".to_owned() };
        let standings = self.standings(signal);
        let good = standings.iter().filter(|(_, state)| state.is_satisfied()).count();
        let mut text = format!("{good}/{} checks passing", standings.len());
        match not_ready(&standings) {
            Some(culprits) => {
                let _ = write!(text, ", waiting for {culprits}");
            }
            None if self.identity.known.is_some() && active.round.target.is_none() => {
                let _ = write!(text, ", {}", self.why_unresolved(&signal.name));
            }
            None if !self.is_healthy(active) => {
                text.push_str(", waiting for min_healthy_time");
                if let Some((check, message)) = just_failed(&standings) {
                    let _ = write!(text, " again after {check}: {message}");
                }
            }
            None if self.held => text.push_str(", healthy, no verdict until resume"),
            None if self.identity.known.is_none() || self.identity.is_in_doubt() => {
                text.push_str(", healthy, but which instance this is is not known");
            }
            None => match active.round.target.as_ref().and_then(|target| self.is_held_up(&target.stack_id)) {
                Some(record) => {
                    let _ = write!(text, ", healthy, waiting for hook {}", record.hook);
                }
                None => {
                    let degraded = degraded(&standings);
                    let _ =
                        if degraded.is_empty() { write!(text, ", healthy") } else { write!(text, ", healthy, but degraded: {degraded}") };
                }
            },
        }
        if let Some(timers) = self.timers(active) {
            let _ = write!(text, ", {} left", seconds(timers.decide_by.saturating_sub(self.now()).max(0)));
        }
        text
    }
}

/// What was seen after the acknowledgement, in a word and in more of them.
fn confirmed(active: &Active) -> Option<(&'static str, Option<String>)> {
    if let Some(outcome) = &active.round.confirmation.as_ref()?.outcome {
        return Some((outcome.word(), Some(outcome.why().to_owned())));
    }
    let confirming = active.confirming.as_ref()?;
    Some((if confirming.is_missing() { "not counted yet" } else { "pending" }, confirming.shown.clone()))
}

/// A required check that is satisfied but was last seen bad: one observation closes the healthy window without changing the state.
fn just_failed<'a>(standings: &'a [Standing<'_>]) -> Option<(&'a str, &'a str)> {
    let bad = standings.iter().filter(|(check, _)| check.level == Level::Required);
    let mut bad = bad.filter_map(|(check, state)| Some((check, state.last().filter(|seen| !seen.observation.health.is_good())?)));
    bad.next().map(|(check, seen)| (&*check.name, seen.observation.message.as_str()))
}

/// Whole seconds as `2m10s`.
fn seconds(ms: BootMs) -> String {
    let whole = std::time::Duration::from_secs(u64::try_from(ms / 1000).unwrap_or(0));
    humantime::format_duration(whole).to_string().replace(' ', "")
}
