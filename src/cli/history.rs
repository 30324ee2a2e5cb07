//! `history`: what the agent did, oldest first.

use super::agent::ANSWER;
use super::arguments::{Global, HistoryArguments};
use super::output::Output;
use super::table::{cell, render};
use super::{Exit, block_on};
use crate::clock::rfc3339;
use crate::signal::HistoryEntry;

pub(super) fn run(global: &Global, arguments: &HistoryArguments, out: &mut Output) -> anyhow::Result<Exit> {
    let agent = global.agent()?;
    let history: Vec<HistoryEntry> = block_on(async { Ok(agent.get("/history", ANSWER).await?) })?;
    if arguments.json {
        out.json(&history)?;
    } else if history.is_empty() {
        out.line("nothing yet")?;
    } else {
        let row = |entry: &HistoryEntry| [cell(rfc3339(entry.at_ms)), cell(entry.signal.as_deref().unwrap_or("-")), cell(&entry.what)];
        out.line(render(["TIME", "SIGNAL", "WHAT"], history.iter().map(row).collect(), out.paint))?;
    }
    Ok(Exit::Ok)
}
