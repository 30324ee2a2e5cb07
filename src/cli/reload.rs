//! `reload`: says what runs now, or all that is wrong with the new configuration, in which case the old one goes on running.

use super::arguments::Global;
use super::output::{self, Output, count};
use super::{Exit, block_on};
use crate::control::Reloaded;

pub(super) fn run(global: &Global, out: &mut Output) -> anyhow::Result<Exit> {
    let agent = global.agent()?;
    let reloaded: Reloaded = block_on(async { Ok(agent.post("/reload", &()).await?) })?;
    for warning in &reloaded.warnings {
        output::notice(&format!("{warning}\n"));
    }
    out.line(format!("reloaded: {}, {}", count(reloaded.signals, "signal"), count(reloaded.checks, "check")))?;
    Ok(Exit::Ok)
}
