//! `signal`: says one thing to ROS now, as cfn-signal does; `signal cancel`: does not.
//!
//! A running agent is asked to do it, because it remembers what it said and goes on after a crash. Where none runs, or with `--direct`,
//! or where stack, region or id are given, it is sent from here ([`direct`]), with the ids the agent would use and no file written.

mod direct;
mod handle_file;

use super::agent::{self, ANSWER, Agent, Trouble};
use super::arguments::{Global, SignalAction, SignalArguments};
use super::failure::Failure;
use super::output::Output;
use super::{Exit, block_on, wait};
use crate::agent::status::{SignalStatusView, Status};
use crate::control::{CancelBody, DoneBody, SignalBody};
use crate::signal::SignalStatus;
use direct::Overrides;
use reqwest::StatusCode;
use serde::Serialize;
use std::time::Duration;
use tokio::time::Instant;

/// Between two questions to an agent that does not know its instance id yet.
const PAUSE: Duration = Duration::from_millis(200);

/// What is to be said, and how much is to be done for it.
pub(super) struct Wanted {
    resource: String,
    status: SignalStatus,
    reason: String,
    /// Only the URL of a handle has a place for it.
    data: Option<serde_json::Value>,
    timeout: Duration,
    patience: Patience,
}

/// Whether to stay until it is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Patience {
    UntilAcknowledged,
    Once,
}

/// What came of it; also the JSON of `signal`. Fields are only ever added.
#[derive(Debug, Serialize)]
struct Report {
    /// `agent`, `direct`, or `handle` where it was sent from here through the URL of a handle.
    via: &'static str,
    resource: String,
    status: SignalStatus,
    /// `acknowledged`, or how else it ended; `sending` if nobody waited for the end.
    state: String,
    unique_id: Option<String>,
    request_id: Option<String>,
    attempts: u32,
    /// In words.
    detail: String,
}

pub(super) fn run(global: &Global, arguments: SignalArguments, out: &mut Output) -> anyhow::Result<Exit> {
    if let Some(SignalAction::Cancel { name, json }) = arguments.action {
        return cancel(global, name, json, out);
    }
    let json = arguments.json;
    if arguments.handle_file.is_some() {
        let report = handle_file::run(global, arguments)?;
        return finish(&report, json, out);
    }
    let alone = arguments.direct || arguments.stack_id.is_some() || arguments.region.is_some() || arguments.unique_id.is_some();
    let (wanted, overrides) = understood(arguments)?;
    let loaded = global.load();
    let report = block_on(async {
        let end = Instant::now() + wanted.timeout;
        if !alone {
            match through_agent(&global.agent_of(loaded.as_ref())?, &wanted, end).await {
                Err(error) => match error.downcast_ref() {
                    Some(Trouble::Absent { .. }) => {}
                    Some(silent @ Trouble::Silent { .. }) => return Err(unacknowledged(&wanted, &silent.to_string()).into()),
                    _ => return Err(error),
                },
                report => return report,
            }
        }
        let loaded = loaded?;
        global.log_to_stderr("warn")?;
        direct::send(&loaded, &wanted, overrides, end).await
    })?;
    finish(&report, json, out)
}

fn finish(report: &Report, json: bool, out: &mut Output) -> anyhow::Result<Exit> {
    if json {
        out.json(report)?
    } else {
        out.line(words(report))?
    };
    Ok(Exit::Ok)
}

fn words(report: &Report) -> String {
    let Report { resource, status, state, detail, .. } = report;
    match (&report.request_id, &report.unique_id) {
        (Some(request), Some(id)) => format!("{status} for {resource} acknowledged\nRequestId: {request}\nUniqueId: {id}"),
        _ => format!("{status} for {resource}: {state}, {}", super::table::clean(detail)),
    }
}

/// From plain data to what it means.
fn understood(arguments: SignalArguments) -> anyhow::Result<(Wanted, Overrides)> {
    let status = match (arguments.status, arguments.exit_code) {
        (Some(word), _) => Some(word.into()),
        (None, Some(0)) => Some(SignalStatus::Success),
        (None, code) => code.map(|_| SignalStatus::Failure),
    };
    let (Some(resource), Some(status)) = (arguments.resource, status) else {
        return Err(Failure::new(Exit::Usage, "--resource, and --status or --exit-code, are needed").into());
    };
    let reason = arguments.reason.or_else(|| arguments.exit_code.map(|code| format!("exit code {code}"))).unwrap_or_default();
    let patience = if arguments.no_wait { Patience::Once } else { Patience::UntilAcknowledged };
    let timeout = arguments.timeout.min(Duration::from_secs(365 * 24 * 3600));
    let overrides = Overrides::new(arguments.stack_id, arguments.region, arguments.unique_id)?;
    Ok((Wanted { resource, status, reason, data: None, timeout, patience }, overrides))
}

fn cancel(global: &Global, name: String, json: bool, out: &mut Output) -> anyhow::Result<Exit> {
    let agent = global.agent()?;
    let done: DoneBody = block_on(async { Ok(agent.post("/cancel", &CancelBody { signal: name }, ANSWER).await?) })?;
    out.done(&done, json)?;
    Ok(Exit::Ok)
}

async fn through_agent(agent: &Agent, wanted: &Wanted, end: Instant) -> anyhow::Result<Report> {
    let body = SignalBody { resource: wanted.resource.clone(), status: wanted.status, reason: wanted.reason.clone() };
    let done = hand_over(agent, &body, wanted.patience, end).await?;
    let reached = match (wanted.patience, &done.signal) {
        (Patience::UntilAcknowledged, Some(name)) => wait::until(agent, "signaled", Some(name), end).await?,
        _ => true,
    };
    let status: Status = agent.get("/status", agent::until(end)).await?;
    let view = status.signals.into_iter().find(|view| Some(&view.name) == done.signal.as_ref());
    let report = Report {
        via: "agent",
        resource: wanted.resource.clone(),
        status: wanted.status,
        state: view.as_ref().map_or("sending".to_owned(), |view| view.state.clone()),
        unique_id: view.as_ref().and_then(|view| view.unique_id.clone()),
        request_id: view.as_ref().and_then(|view| view.request_id.clone()),
        attempts: view.as_ref().map_or(0, |view| view.attempts),
        detail: view.as_ref().map_or(done.done, |view| view.detail.clone()),
    };
    match (reached, report.state.as_str()) {
        (true, "acknowledged" | "not needed" | "sending" | "pending") => Ok(report),
        (true, _) => Err(Failure::new(Exit::Failure, format!("the signal was not sent: {}", report.detail)).into()),
        (false, _) => Err(late(wanted, view.as_ref()).into()),
    }
}

/// Has the agent say it. One that has only just begun does not know its instance id yet, and refuses until it does; a boot script waits
/// for that.
async fn hand_over(agent: &Agent, body: &SignalBody, patience: Patience, end: Instant) -> Result<DoneBody, Trouble> {
    let mut known = false;
    loop {
        let refused = match agent.post("/signal", body, agent::until(end)).await {
            Err(refused @ Trouble::Refused { status: StatusCode::CONFLICT, .. }) if patience == Patience::UntilAcknowledged => refused,
            answered => return answered,
        };
        let status: Status = agent.get("/status", agent::until(end)).await?;
        match status.instance_id {
            // Perhaps since a moment ago: then it is worth one more question.
            Some(_) if known => return Err(refused),
            Some(_) => known = true,
            None if Instant::now() + PAUSE >= end => return Err(refused),
            None => tokio::time::sleep(PAUSE).await,
        }
    }
}

fn late(wanted: &Wanted, view: Option<&SignalStatusView>) -> Failure {
    let why = view.and_then(|view| view.last_error.clone()).unwrap_or_else(|| "ROS has not answered yet".to_owned());
    let hint = view.and_then(|view| view.hint.clone());
    unacknowledged(wanted, &why).hint(hint.unwrap_or_else(|| "the agent goes on trying; ros-signal-agent status".to_owned()))
}

fn unacknowledged(wanted: &Wanted, why: &str) -> Failure {
    let Wanted { status, resource, timeout, .. } = wanted;
    let time = match wanted.patience {
        Patience::UntilAcknowledged => format!(" within {}", humantime::format_duration(*timeout)),
        Patience::Once => String::new(),
    };
    Failure::new(Exit::Unacknowledged, format!("{status} for {resource} was not acknowledged{time}: {why}"))
}
