//! `rehearse`: the real agent against the sandbox, told as it happens.
//!
//! The daemon of `run` gets the validated plan with nothing changed but what reaches outside ([`redirect`]): ROS, the metadata service
//! and credentials are the sandbox's, ledger and control socket lie in a private directory that is removed at the end. Checks are real.
//! Agent and sandbox share this process and its one thread.
//!
//! Rooms: [`example`] is what is rehearsed without a configuration, [`redirect`] turns a plan into one for the sandbox, [`stage`] runs it,
//! [`story`] says what happens, to people or to programs. `docs/rehearse.md` is for users.

mod example;
mod fault;
mod redirect;
mod stage;
mod story;

use super::arguments::{Global, RehearseArguments};
use super::failure::{Failure, Invalid};
use super::output::Output;
use super::{Exit, block_on, settings};
use crate::clock::Moment;
use crate::config::{self, Environment, Layout, Loaded, Owners};
use crate::interrupt::Interrupts;
use crate::plan::Probe;
use crate::{probe, process};
use anyhow::Context as _;
use example::Example;
use redirect::Redirected;
use ros_sandbox::{Config, Sandbox, Secret};
use stage::{Ending, Stage};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use story::Story;
use tempfile::TempDir;

pub(super) fn run(global: &Global, arguments: &RehearseArguments, out: &mut Output) -> anyhow::Result<Exit> {
    if arguments.print_example {
        out.line(example::configuration(example::USUAL_ADDRESS))?;
        return Ok(Exit::Ok);
    }
    if global.filter().is_some() {
        global.log_to_stderr("warn")?;
    }
    process::harden().context("the process cannot be hardened")?;
    probe::adopt_orphans().context("orphans cannot be adopted")?;
    match block_on(Box::pin(rehearse(global, arguments, out)))? {
        Ending::Completed => Ok(Exit::Ok),
        Ending::Failed => Err(Failure::new(Exit::Failure, "the stack failed").into()),
        Ending::TimedOut => {
            let message = format!("the stack is not complete after {}", humantime::format_duration(arguments.timeout));
            Err(Failure::new(Exit::TimedOut, message).hint("--timeout waits longer, --deadline makes the agent decide sooner").into())
        }
        Ending::Interrupted => Err(Failure::new(Exit::Failure, "interrupted").into()),
    }
}

async fn rehearse(global: &Global, arguments: &RehearseArguments, out: &mut Output) -> anyhow::Result<Ending> {
    // From here on nothing ends this process before its directories are removed.
    let mut interrupts = Interrupts::new()?;
    let place = private_directory().context("cannot make a temporary directory")?;
    let (loaded, example) = rehearsed(global, place.path()).await?;
    settings::warn(&loaded.warnings);
    let mut plan = loaded.plan;
    if plan.signals.is_empty() {
        let failure = Failure::new(Exit::Configuration, "there is nothing to rehearse: the configuration has no [signal.NAME]");
        return Err(failure.hint("without --config and --root a built-in example is rehearsed").into());
    }
    if let Some(deadline) = arguments.deadline {
        redirect::shorten(&mut plan, deadline);
    }
    let (stacks, groups) = (redirect::stacks(&plan)?, redirect::groups(&plan));
    let sandbox = Sandbox::start(throw_away_keys()).await.context("the sandbox cannot be started")?;
    let redirected = Redirected::new(&sandbox, place.path());
    redirected.apply(&mut plan)?;
    let left_out = redirect::leave_out(&mut plan);
    if let Some(fault) = arguments.fault {
        sandbox.add_fault(fault.fault())?;
    }
    let mut story = Story::new(out, arguments.json, stacks.len(), Moment::now());
    story.begin(&loaded.files, example.as_ref(), &redirected, &stacks, &left_out)?;
    if plan.checks.iter().any(|check| matches!(check.probe, Probe::Ttl(_))) {
        story.feed(&redirected)?;
    }
    let ending =
        Stage { sandbox: sandbox.clone(), plan, stacks, groups, timeout: arguments.timeout }.play(&mut interrupts, &mut story).await;
    sandbox.stop().await;
    ending
}

/// What is to be rehearsed: the given configuration, or the built-in example, which has its file in `place`.
async fn rehearsed(global: &Global, place: &Path) -> anyhow::Result<(Loaded, Option<Example>)> {
    if global.config.is_some() || global.root.is_some() {
        return Ok((global.load_to_run()?, None));
    }
    let example = Example::start().await.context("the example's service cannot be started")?;
    let file = place.join("config.toml");
    std::fs::write(&file, &example.configuration).with_context(|| format!("cannot write {}", file.display()))?;
    let loaded = config::load(&Layout::file(file), &Owners::system(), &Environment::of_process()).map_err(Invalid)?;
    Ok((loaded, Some(example)))
}

/// Removed when it is dropped.
fn private_directory() -> std::io::Result<TempDir> {
    let private = std::fs::Permissions::from_mode(0o700);
    tempfile::Builder::new().prefix("ros-signal-agent-rehearsal-").permissions(private).tempdir()
}

/// The sandbox's long-term key is used by nobody: the agent signs with those of the RAM role.
fn throw_away_keys() -> Config {
    let random = || uuid::Uuid::new_v4().simple().to_string();
    Config::new(&random(), Secret::new(random()))
}
