//! `hook`: the operators' commands, listed, tried, and run as root for the agent.

use super::arguments::{Global, HookCommand, HookTestArguments, JsonArguments};
use super::failure::Failure;
use super::output::{Output, notice};
use super::table::{cell, render};
use super::{Exit, block_on};
use crate::check::Health;
use crate::config::keys::nearest;
use crate::events::Event;
use crate::hooks::{self, Call, HookEnd, Occasion, StackFacts};
use crate::interrupt::Interrupts;
use crate::plan::{Hook, Name, Plan, RunAs, Transition, Trigger};
use crate::probe::{self, Prober};
use anyhow::Context as _;
use serde::Serialize;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// After a request that was refused.
const REFUSED_PAUSE: Duration = Duration::from_secs(2);

pub(super) fn run(global: &Global, command: HookCommand, out: &mut Output) -> anyhow::Result<Exit> {
    match command {
        HookCommand::List(arguments) => list(global, &arguments, out),
        HookCommand::Test(arguments) => test(global, &arguments, out),
        HookCommand::Run { name } => run_as_root(global, &name),
    }
}

/// A hook, for `--json`.
#[derive(Serialize)]
struct Listed<'a> {
    name: &'a str,
    on: Vec<String>,
    command: &'a [String],
    run_as: RunAs,
    wait: bool,
    retries: u32,
    at_most_once: bool,
    timeout_s: u64,
}

fn list(global: &Global, arguments: &JsonArguments, out: &mut Output) -> anyhow::Result<Exit> {
    let plan = global.load()?.plan;
    if arguments.json {
        out.json(&plan.hooks.iter().map(|hook| listed(hook)).collect::<Vec<_>>())?;
    } else if plan.hooks.is_empty() {
        out.line("no hooks are configured")?;
    } else {
        let row = |hook: &Arc<Hook>| {
            let run_as = if hook.run_as == RunAs::Root { "root" } else { "agent" };
            [cell(&hook.name), cell(words(hook).join(" ")), cell(run_as), cell(hook.command.join(" "))]
        };
        out.line(render(["HOOK", "ON", "AS", "COMMAND"], plan.hooks.iter().map(row).collect(), out.paint))?;
    }
    Ok(Exit::Ok)
}

fn listed(hook: &Hook) -> Listed<'_> {
    Listed {
        name: &hook.name,
        on: words(hook),
        command: &hook.command,
        run_as: hook.run_as,
        wait: hook.wait,
        retries: hook.retries,
        at_most_once: hook.at_most_once,
        timeout_s: hook.timeout.as_secs(),
    }
}

fn words(hook: &Hook) -> Vec<String> {
    hook.on.iter().map(word).collect()
}

/// As `on` writes it.
fn word(trigger: &Trigger) -> String {
    match trigger {
        Trigger::Event(kind) => kind.clone(),
        other => made_up(other).word(),
    }
}

fn named<'a>(plan: &'a Plan, name: &str) -> Result<&'a Arc<Hook>, Failure> {
    plan.hooks.iter().find(|hook| *hook.name == *name).ok_or_else(|| {
        let near = nearest(name, plan.hooks.iter().map(|hook| &*hook.name));
        let hint = near.map_or_else(|| "ros-signal-agent hook list".to_owned(), |near| format!("did you mean `{near}`?"));
        Failure::new(Exit::Usage, format!("there is no hook {name:?}")).hint(hint)
    })
}

/// What came of a test, for `--json`.
#[derive(Serialize)]
struct Tested<'a> {
    hook: &'a str,
    trigger: String,
    succeeded: bool,
    ended: &'a str,
    output: &'a str,
}

fn test(global: &Global, arguments: &HookTestArguments, out: &mut Output) -> anyhow::Result<Exit> {
    let plan = global.load_to_run()?.plan;
    let hook = named(&plan, &arguments.name)?;
    let trigger = match &arguments.trigger {
        None => hook.on.first(),
        Some(wanted) => hook.on.iter().find(|trigger| word(trigger) == *wanted),
    };
    let Some(trigger) = trigger else {
        let on = words(hook).join(", ");
        return Err(Failure::new(Exit::Usage, "the hook is not run for this").hint(format!("its `on` has: {on}")).into());
    };
    if hook.run_as == RunAs::Root && !rustix::process::geteuid().is_root() {
        return Err(Failure::new(Exit::Failure, "this hook is run as root").hint("run the test with sudo").into());
    }
    if !arguments.json {
        notice("made-up values, as the user that you are; ROS_SIGNAL_AGENT_TEST=1 tells the hook so");
    }
    let call =
        Call { hook: Name::clone(&hook.name), id: uuid::Uuid::new_v4().to_string(), attempt: 1, test: true, occasion: made_up(trigger) };
    let end = run_here(hook, &call)?;
    if arguments.json {
        let trigger = call.occasion.word();
        out.json(&Tested { hook: &hook.name, trigger, succeeded: end.succeeded, ended: &end.text, output: &end.output })?;
    } else {
        if !end.output.is_empty() {
            out.line(end.output.trim_end())?;
        }
        out.line(format!("hook {}: {}", hook.name, end.text))?;
    }
    Ok(if end.succeeded { Exit::Ok } else { Exit::Failure })
}

fn run_here(hook: &Hook, call: &Call) -> anyhow::Result<HookEnd> {
    probe::adopt_orphans()?;
    block_on(async {
        let prober = Prober::new();
        let mut interrupts = Interrupts::new()?;
        let running = hooks::run(&prober, hook, call);
        tokio::pin!(running);
        let end = tokio::select! {
            end = &mut running => end,
            _ = interrupts.next() => {
                // TERM to its group, and soon KILL: shutdown waits for it.
                prober.shutdown().await;
                running.await
            }
        };
        prober.shutdown().await;
        Ok(end)
    })
}

/// An occasion that never was.
fn made_up(trigger: &Trigger) -> Occasion {
    let stack = |status: &str| StackFacts {
        region: "cn-hangzhou".to_owned(),
        stack_id: "00000000-0000-4000-8000-000000000000".to_owned(),
        name: Some("test".to_owned()),
        status: status.to_owned(),
        reason: Some("a test".to_owned()),
        updated: Some("2026-01-02T03:04:05".to_owned()),
    };
    match trigger {
        Trigger::Stack(transition) => Occasion::Stack { transition: *transition, stack: stack(status_of(*transition)), previous: None },
        Trigger::Metadata => Occasion::Metadata {
            stack: stack("UPDATE_IN_PROGRESS"),
            resource: "Test".to_owned(),
            old: Some(r#"{"config":{"workers":1}}"#.to_owned()),
            new: Some(r#"{"config":{"workers":2}}"#.to_owned()),
        },
        Trigger::Verdict(verdict) => {
            Occasion::Verdict { signal: Name::from("test"), round: "first".to_owned(), verdict: *verdict, reason: "a test".to_owned() }
        }
        Trigger::Check(state) => {
            Occasion::Check { check: Name::from("test"), state: *state, previous: Some(Health::Unknown), message: "a test".to_owned() }
        }
        Trigger::Event(kind) => {
            let event = Event {
                id: "test".to_owned(),
                source: "acs.ros".to_owned(),
                kind: kind.replace('*', "UpdateComplete"),
                ..Event::default()
            };
            Occasion::Event { event, stack: stack("UPDATE_COMPLETE") }
        }
    }
}

fn status_of(transition: Transition) -> &'static str {
    match transition {
        Transition::Created => "CREATE_COMPLETE",
        Transition::Updating => "UPDATE_IN_PROGRESS",
        Transition::Updated => "UPDATE_COMPLETE",
        Transition::RollingBack => "ROLLBACK_IN_PROGRESS",
        Transition::UpdateRolledBack => "ROLLBACK_COMPLETE",
        Transition::CreateRolledBack => "CREATE_ROLLBACK_COMPLETE",
        Transition::Deleting => "DELETE_IN_PROGRESS",
        Transition::Deleted => "DELETE_COMPLETE",
        Transition::DeleteFailed => "DELETE_FAILED",
        Transition::Failed => "UPDATE_FAILED",
    }
}

/// What the unit of systemd runs: never what the request wants, but what files that only root can change have under this name.
fn run_as_root(global: &Global, name: &str) -> anyhow::Result<Exit> {
    if !rustix::process::geteuid().is_root() {
        return Err(Failure::new(Exit::Failure, "only root runs hooks for the agent")
            .hint("to try one: ros-signal-agent hook test")
            .into());
    }
    let (plan, asked) = match taken(global, name) {
        Ok(taken) => taken,
        Err(why) => {
            // A request that stays would start this again at once.
            block_on(async {
                tokio::time::sleep(REFUSED_PAUSE).await;
                Ok(())
            })?;
            return Err(why);
        }
    };
    let (hook, state_dir) = (named(&plan, name)?, &plan.agent.state_dir);
    let results = Path::new(hooks::root::RESULTS);
    let say = |end| hooks::root::answer(&asked, end, state_dir, results).with_context(|| format!("{}", results.display()));
    say(None)?;
    let end = run_here(hook, &asked.call)?;
    for line in end.output.lines() {
        notice(line);
    }
    say(Some(&end))?;
    Ok(if end.succeeded { Exit::Ok } else { Exit::Failure })
}

fn taken(global: &Global, name: &str) -> anyhow::Result<(Plan, hooks::root::Asked)> {
    let plan = global.load_to_run()?.plan;
    let hook = named(&plan, name)?;
    let asked = hooks::root::take_request(hook, &plan.agent.state_dir).map_err(|why| Failure::new(Exit::Failure, why))?;
    Ok((plan, asked))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_made_up_occasion_is_one_for_which_the_hook_would_be_run() {
        for transition in Transition::ALL {
            assert_eq!(crate::stack::transition::transition(status_of(transition)), Some(transition));
        }
        let words = ["metadata.changed", "verdict.failure", "check.unknown"];
        let triggers = [Trigger::Metadata, Trigger::Verdict(crate::signal::SignalStatus::Failure), Trigger::Check(Health::Unknown)];
        for (trigger, expected) in triggers.into_iter().zip(words) {
            assert_eq!(word(&trigger), expected);
            let hook = crate::plan::testing::hook("h", vec![trigger.clone()]);
            assert!(made_up(&trigger).is_for(&hook), "{expected}");
        }
        for kind in ["ros:StackStateChange:*", "ros:ResourceStateChange:*", "ros:ResourceStateChange:UpdateComplete"] {
            let trigger = Trigger::Event(kind.to_owned());
            let hook = crate::plan::testing::hook("h", vec![trigger.clone()]);
            assert!(made_up(&trigger).is_for(&hook), "{kind}");
        }
    }
}
