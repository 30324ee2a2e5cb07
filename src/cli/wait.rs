//! `wait`: for scripts and units that go on when the host is healthy, or when the agent's work is done.
//!
//! An agent that is restarted while we wait is asked again. One that was not there in the first place may be starting: it is given as long as
//! a restart takes, then it is an error.

use super::agent::{self, Agent, Trouble, quoted};
use super::arguments::{Global, WaitArguments};
use super::failure::Failure;
use super::output::Output;
use super::{Exit, block_on};
use crate::agent::status::{SignalStatusView, Status};
use crate::control::WaitAnswer;
use std::time::Duration;
use tokio::time::Instant;

/// Between two questions to an agent that is being restarted.
const PAUSE: Duration = Duration::from_secs(1);
/// For an agent that is not there when we begin: systemd starts one that has died after 5 s (RestartSec=).
const STARTING: Duration = Duration::from_secs(10);
/// The longest that can be asked for; an instant further away may not exist.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

pub(super) fn run(global: &Global, arguments: &WaitArguments, out: &mut Output) -> anyhow::Result<Exit> {
    let agent = global.agent()?;
    let (reached, status) = match block_on(watch(&agent, arguments)) {
        Err(error) if matches!(error.downcast_ref(), Some(Trouble::Silent { .. })) => {
            tell(false, arguments, out)?;
            return Err(late(arguments, &error.to_string()).into());
        }
        watched => watched?,
    };
    let concerned = |signal: &&SignalStatusView| arguments.signal.as_ref().is_none_or(|name| *name == signal.name);
    let lines: Vec<String> =
        status.signals.iter().filter(concerned).map(|signal| super::table::clean(&format!("{}: {}", signal.name, signal.detail))).collect();
    tell(reached, arguments, out)?;
    if !reached {
        let lines = if lines.is_empty() { vec![super::table::clean(&status.summary)] } else { lines };
        return Err(late(arguments, &lines.join("; ")).into());
    }
    if !arguments.json {
        out.line(lines.join("\n"))?;
    }
    Ok(Exit::Ok)
}

/// Whether it was so in time, and what the agent said last.
async fn watch(agent: &Agent, arguments: &WaitArguments) -> anyhow::Result<(bool, Status)> {
    let end = Instant::now() + arguments.timeout.min(LONGEST);
    let before = first_look(agent, end).await?;
    know(&before, arguments.signal.as_deref())?;
    let reached = until(agent, arguments.r#for.word(), arguments.signal.as_deref(), end).await?;
    Ok((reached, agent.get::<Status>("/status", agent::until(end)).await.unwrap_or(before)))
}

async fn first_look(agent: &Agent, end: Instant) -> Result<Status, Trouble> {
    let patience = end.min(Instant::now() + STARTING);
    loop {
        match agent.get("/status", agent::until(end)).await {
            Err(Trouble::Absent { .. }) if Instant::now() + PAUSE / 5 < patience => tokio::time::sleep(PAUSE / 5).await,
            answer => return answer,
        }
    }
}

fn tell(reached: bool, arguments: &WaitArguments, out: &mut Output) -> anyhow::Result<()> {
    if arguments.json {
        out.json(&WaitAnswer { reached })?;
    }
    Ok(())
}

fn late(arguments: &WaitArguments, why: &str) -> Failure {
    let what = format!("not {} after {}", arguments.r#for.word(), humantime::format_duration(arguments.timeout));
    Failure::new(Exit::TimedOut, format!("{what}: {why}")).hint("ros-signal-agent status")
}

/// Waiting for a signal that does not exist would never end.
fn know(status: &Status, signal: Option<&str>) -> anyhow::Result<()> {
    let Some(name) = signal.filter(|name| !status.signals.iter().any(|signal| signal.name == *name)) else { return Ok(()) };
    let names: Vec<&str> = status.signals.iter().map(|signal| signal.name.as_str()).collect();
    let failure = Failure::new(Exit::Failure, format!("no signal is called {name:?}"));
    Err(if names.is_empty() { failure } else { failure.hint(format!("there is {}", names.join(", "))) }.into())
}

/// Waits until `goal` is reached (true), or until `end`.
///
/// # Errors
/// If the agent refuses, or is gone or silent when the time is up.
pub(super) async fn until(agent: &Agent, goal: &str, signal: Option<&str>, end: Instant) -> Result<bool, Trouble> {
    let of_signal = signal.map(|name| format!("&signal={}", quoted(name))).unwrap_or_default();
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let path = format!("/wait?for={goal}&timeout={}ms{of_signal}", left.as_millis());
        match agent.get::<WaitAnswer>(&path, agent::until(end)).await {
            Ok(answer) if answer.reached => return Ok(true),
            Ok(_) if Instant::now() >= end => return Ok(false),
            // The agent bounds a wait to a day.
            Ok(_) => {}
            Err(trouble) if trouble.is_passing() && left > PAUSE => tokio::time::sleep(PAUSE).await,
            Err(trouble) => return Err(trouble),
        }
    }
}
