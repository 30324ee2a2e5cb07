//! `run`: the daemon.

use super::arguments::Global;
use super::failure::Invalid;
use super::{Exit, block_on, settings};
use crate::daemon::{self, Failure, Options, Source};
use crate::{probe, process};
use anyhow::Context as _;

pub(super) fn run(global: &Global) -> anyhow::Result<Exit> {
    process::harden().context("the process cannot be hardened")?;
    probe::adopt_orphans().context("orphans cannot be adopted")?;
    // Read for the log filter alone: the daemon reads it again, and says what is wrong with it.
    let filter = match global.filter() {
        Some(filter) => filter.to_owned(),
        None => global.load()?.plan.agent.log,
    };
    let log = global.log_to_stderr(&filter)?;
    let options = Options {
        source: Source::Files(global.layout()),
        environment: settings::environment(),
        own_process: true,
        notes: None,
        stop: None,
        // A filter of the command line stays.
        log: global.filter().is_none().then_some(log),
    };
    block_on(async {
        // A task of its own: to wake the future that the runtime blocks on takes a write to a descriptor each time.
        match tokio::spawn(daemon::run(options)).await.context("the agent has ended without a result")? {
            Ok(()) => Ok(Exit::Ok),
            Err(Failure::Configuration(errors)) => Err(Invalid(errors).into()),
            Err(failure) => Err(failure.into()),
        }
    })
}
