//! `hold` and `resume`: no verdicts for a while.

use super::agent::ANSWER;
use super::arguments::{Global, JsonArguments};
use super::output::Output;
use super::{Exit, block_on};
use crate::control::DoneBody;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Hold,
    Resume,
}

pub(super) fn run(global: &Global, wanted: Wanted, arguments: &JsonArguments, out: &mut Output) -> anyhow::Result<Exit> {
    let route = match wanted {
        Wanted::Hold => "/hold",
        Wanted::Resume => "/resume",
    };
    let agent = global.agent()?;
    let done: DoneBody = block_on(async { Ok(agent.post(route, &(), ANSWER).await?) })?;
    out.done(&done, arguments.json)?;
    Ok(Exit::Ok)
}
