//! `hold` and `resume`: no verdicts for a while.

use super::arguments::Global;
use super::output::Output;
use super::{Exit, block_on};
use crate::control::DoneBody;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Hold,
    Resume,
}

pub(super) fn run(global: &Global, wanted: Wanted, out: &mut Output) -> anyhow::Result<Exit> {
    let route = match wanted {
        Wanted::Hold => "/hold",
        Wanted::Resume => "/resume",
    };
    let agent = global.agent()?;
    let done: DoneBody = block_on(async { Ok(agent.post(route, &()).await?) })?;
    out.line(done.done)?;
    Ok(Exit::Ok)
}
