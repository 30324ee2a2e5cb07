//! `reload`: says what runs now, or all that is wrong with the new configuration, in which case the old one goes on running.

use super::agent::ANSWER;
use super::arguments::{Global, JsonArguments};
use super::output::{self, Output, count};
use super::{Exit, block_on};
use crate::control::Reloaded;

pub(super) fn run(global: &Global, arguments: &JsonArguments, out: &mut Output) -> anyhow::Result<Exit> {
    let agent = global.agent()?;
    let reloaded: Reloaded = block_on(async { Ok(agent.post("/reload", &(), ANSWER).await?) })?;
    for warning in &reloaded.warnings {
        output::notice(&format!("{warning}\n"));
    }
    if arguments.json {
        out.json(&reloaded)?
    } else {
        out.line(format!("reloaded: {}, {}", count(reloaded.signals, "signal"), count(reloaded.checks, "check")))?
    };
    Ok(Exit::Ok)
}
