//! `push`: feeds a check of type "ttl".

use super::agent::ANSWER;
use super::arguments::{Global, PushArguments};
use super::output::Output;
use super::{Exit, block_on};
use crate::control::{DoneBody, PushBody};

pub(super) fn run(global: &Global, arguments: PushArguments, out: &mut Output) -> anyhow::Result<Exit> {
    let PushArguments { check, health, text, json } = arguments;
    let body = PushBody { check, health: health.into(), text };
    let agent = global.agent()?;
    let done: DoneBody = block_on(async { Ok(agent.post("/push", &body, ANSWER).await?) })?;
    out.done(&done, json)?;
    Ok(Exit::Ok)
}
