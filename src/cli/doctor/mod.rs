//! `doctor`: before it matters, whether this host could signal. Each thing that a signal depends on is a [`Step`] with a verdict, what was
//! seen, why it is not well, and what to do. The names of the steps and what they mean are in `docs/doctor.md`.
//!
//! It may be run at any time. It sends no signal, writes no file and takes no lock: it reads files, resolves names, connects, asks the
//! metadata service, and asks ROS with GetStack and GetStackResource. What does not depend on each other is done at once; what depends on
//! something that failed is skipped and says on what. Each step ends within a few seconds, whatever hangs:
//!
//! ```text
//! configuration -> state, metadata (6 s) -> agent, clock, endpoint (11 s), credentials (10 s) -> stack (10 s)
//! ```

mod apart;
mod clock;
mod configuration;
mod credentials;
mod endpoint;
mod grant;
mod metadata;
mod proxy;
mod reader;
mod report;
mod running;
mod stack;
mod state;
mod step;

use super::arguments::{Global, JsonArguments};
use super::failure::Failure;
use super::output::Output;
use super::{Exit, block_on, settings};
use crate::clock::Moment;
use crate::config::Loaded;
use crate::credentials::Cache;
use crate::instance::Metadata;
use crate::interrupt::Interrupts;
use crate::plan::Plan;
use crate::process;
use crate::retry::Random;
use crate::ros::{self, Client, Remembered};
use crate::rpc::Reach;
use anyhow::Context as _;
use apart::apart;
use grant::{Place, Policy};
use reader::Reader;
use report::Report;
use reqwest::Url;
use std::sync::Arc;
use std::time::Duration;
use step::{Step, Verdict};

/// Reading one line of the state directory.
const REMEMBERED_TIMEOUT: Duration = Duration::from_secs(2);

pub(super) fn run(global: &Global, arguments: &JsonArguments, out: &mut Output) -> anyhow::Result<Exit> {
    // What the rooms would log is told as steps.
    global.log_to_stderr("off")?;
    process::harden().context("the process cannot be hardened")?;
    let report = block_on(async {
        let mut interrupts = Interrupts::new()?;
        tokio::select! {
            report = examine(global) => Ok(report),
            _ = interrupts.next() => Err(Failure::new(Exit::Failure, "interrupted").into()),
        }
    })?;
    report.show(arguments.json, out)
}

async fn examine(global: &Global) -> Report {
    let loaded = global.load();
    let mut steps = vec![configuration::load(&loaded)];
    let policy = match &loaded {
        Ok(loaded) => {
            let (more, policy) = of_plan(global, loaded).await;
            steps.extend(more);
            policy
        }
        Err(error) => {
            // What runs already can be asked nevertheless; all else would be a guess.
            let (agent, ntp) = tokio::join!(running::look(global, Err(error), None), clock::kept());
            steps.extend(agent);
            steps.push(ntp);
            let rest = [
                configuration::FILES,
                state::DIRECTORY,
                metadata::SERVICE,
                metadata::INSTANCE,
                credentials::CHOICE,
                endpoint::CHOICE,
                stack::STACK,
            ];
            steps.extend(rest.map(|name| Step::depends(name, configuration::LOAD)));
            None
        }
    };
    Report::new(steps, policy)
}

async fn of_plan(global: &Global, loaded: &Loaded) -> (Vec<Step>, Option<Policy>) {
    let plan = &loaded.plan;
    let environment = settings::environment();
    let metadata = match Metadata::new(&plan.instance, &environment) {
        Ok(metadata) => Arc::new(metadata),
        Err(error) => return (vec![Step::failed(metadata::SERVICE, error.to_string()).perhaps(error.hint())], None),
    };
    let (state, host) = tokio::join!(state::look(&plan.agent.state_dir), metadata::look(&metadata, plan));
    let reader = state.holder.and_then(Reader::of_process).or_else(|| state.owner.clone()).unwrap_or_else(Reader::myself);

    let cache = Arc::new(Cache::new(&plan.credentials.provider, &environment, &metadata, Random::from_kernel()));
    let reach = Reach::new(plan, &metadata);
    let directory = plan.agent.state_dir.clone();
    let remembered = apart(REMEMBERED_TIMEOUT, move || Remembered::to_look_at(&directory)).await.ok();
    let client = Client::reaching(&plan.ros, &reach, remembered.clone(), Arc::clone(&cache));
    let aimed = aimed(plan, &host);
    let means = endpoint::Means::of(loaded, &reach, host.heard);
    let (settings, hosts) = hosts(client.as_ref(), &aimed, &means, remembered.and_then(|remembered| remembered.host()).as_ref());
    let (files, agent, ntp, endpoints, keys) = tokio::join!(
        configuration::files(loaded, reader),
        running::look(global, Ok(loaded), state.holder),
        clock::kept(),
        endpoint::look(&hosts, &means),
        credentials::look(&cache),
    );

    let now = Moment::now();
    let clocks = vec![
        clock::beside(clock::METADATA, "the metadata service", host.heard, now, plan.clock_trust),
        clock::beside(clock::ROS, "ROS", endpoints.heard, now, plan.clock_trust),
        ntp,
    ];
    let account = host.account.as_deref();
    let has_keys = keys.iter().any(|step| step.name() == credentials::CHOICE && step.verdict() != Verdict::Failed);
    let stacks = match &client {
        Err(_) => stack::unasked(&aimed, endpoint::SETTINGS, account),
        Ok(_) if aimed.is_empty() => vec![Step::skipped(stack::STACK, "no [signal.NAME] names one")],
        Ok(_) if !endpoints.answered => stack::unasked(&aimed, endpoint::CHOICE, account),
        Ok(_) if !has_keys => stack::unasked(&aimed, credentials::CHOICE, account),
        Ok(client) => {
            if let Some(account) = account {
                client.know_account(account);
            }
            stack::look(client, &aimed, account).await
        }
    };
    let policy = Policy::of(aimed.iter().map(|(signal, place)| (signal.as_ref(), place.clone())), &plan.ros, account);
    let moved = moved(&state, &host);
    // Without hosts nothing was looked at.
    let endpoints = if hosts.is_empty() { Vec::new() } else { endpoints.steps };
    let groups = [vec![files], state.steps, moved, agent, host.steps, clocks, keys, settings, endpoints, stacks];
    (groups.concat(), policy)
}

/// Which hosts of ROS are asked, region by region, and all of them.
fn hosts(
    client: Result<&Client, &ros::Error>,
    aimed: &[stack::Aimed],
    means: &endpoint::Means,
    remembered: Option<&Url>,
) -> (Vec<Step>, Vec<Url>) {
    let client = match client {
        Ok(client) => client,
        Err(error) => return (vec![Step::failed(endpoint::SETTINGS, error.to_string())], Vec::new()),
    };
    let mut regions: Vec<&str> = Vec::new();
    for region in aimed.iter().filter_map(|(_, place)| place.region.as_deref()) {
        if !regions.contains(&region) {
            regions.push(region);
        }
    }
    if regions.is_empty() {
        // As for a region that is newer than the table.
        regions.push("");
    }
    let steps = regions.iter().map(|region| endpoint::settings(&client.hosts(region), region, means, remembered)).collect();
    (steps, client.hosts(regions.first().unwrap_or(&"")))
}

/// Each signal with its stack, as far as configuration and metadata tell it.
fn aimed(plan: &Plan, host: &metadata::Found) -> Vec<stack::Aimed> {
    let place = |region: &Option<String>, stack_id: &Option<String>| Place {
        region: region.clone().or_else(|| host.region.clone()),
        stack_id: stack_id.clone().or_else(|| host.stack_id.clone()),
    };
    plan.signals.iter().map(|signal| (Arc::clone(signal), place(&signal.region, &signal.stack_id))).collect()
}

/// A ledger that another machine wrote: this disk, or the image it was made of, was that machine's.
fn moved(state: &state::Found, host: &metadata::Found) -> Vec<Step> {
    match (&state.instance_id, &host.instance_id) {
        (Some(ledger), Some(here)) if ledger != here && state.holder.is_none() => {
            vec![
                Step::warning(state::OWNER, format!("the ledger is of {}, and this is {here}", crate::transport::clean(ledger)))
                    .because("the image was made of a host on which the agent had run, or the disk was moved")
                    .remedy("nothing: the agent sets it aside at its start and begins anew"),
            ]
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All names but those of the providers, of which the document has a row.
    const NAMES: [&str; 33] = [
        configuration::LOAD,
        configuration::FILES,
        state::DIRECTORY,
        state::SPACE,
        state::LEDGER,
        state::OWNER,
        running::SOCKET,
        running::CONFIGURATION,
        running::STATUS,
        running::ENVIRONMENT,
        running::VIEW,
        running::LIMITS,
        metadata::SERVICE,
        metadata::INSTANCE,
        metadata::REGION,
        metadata::ACCOUNT,
        metadata::STACK,
        clock::METADATA,
        clock::ROS,
        clock::NTP,
        credentials::CHOICE,
        endpoint::SETTINGS,
        proxy::PROXY,
        proxy::TUNNEL,
        endpoint::DNS,
        endpoint::TCP,
        endpoint::TLS,
        endpoint::HTTP,
        endpoint::CHOICE,
        stack::STACK,
        stack::RESOURCE,
        stack::CONDITION,
        stack::PERMISSION,
    ];

    #[test]
    fn every_step_has_its_row_in_the_document() {
        let document = include_str!("../../../docs/doctor.md");
        for name in NAMES {
            let in_row =
                |line: &str| line.starts_with("| `") && line.split('|').nth(1).is_some_and(|cell| cell.contains(&format!("`{name}`")));
            assert!(document.lines().any(in_row), "docs/doctor.md has no row for {name}");
        }
    }
}
