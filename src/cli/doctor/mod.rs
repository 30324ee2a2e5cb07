//! `doctor`: before it matters, whether this host could signal. Each thing that a signal depends on is a [`Step`] with a verdict, what was
//! seen, why it is not well, and what to do. The names of the steps and what they mean are in `docs/doctor.md`.
//!
//! It may be run at any time. It sends no signal, writes no file and takes no lock: it reads files, resolves names, connects, asks the
//! metadata service, and asks ROS with GetStack and GetStackResource. What does not depend on each other is done at once; what depends on
//! something that failed is skipped and says on what. Each step ends within a few seconds, whatever hangs:
//!
//! ```text
//! configuration -> state, metadata (6 s) -> agent, clock, credentials, hosts of ROS and ESS (15 s) -> stack and template (18 s), handle, hook
//! ```

mod apart;
mod clock;
mod configuration;
mod credentials;
mod endpoint;
mod grant;
mod handle;
mod hook;
mod metadata;
mod proxy;
mod reader;
mod report;
mod running;
mod sources;
mod stack;
mod state;
mod step;
mod template;
mod unit;

use super::arguments::{Global, JsonArguments};
use super::failure::Failure;
use super::output::Output;
use super::{Exit, block_on, settings};
use crate::clock::Moment;
use crate::config::Loaded;
use crate::credentials::Cache;
use crate::ess;
use crate::instance::Metadata;
use crate::interrupt::Interrupts;
use crate::plan::{HandleSource, Plan, Ros, Signal, Transport};
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
    let (policy, holder) = match &loaded {
        Ok(loaded) => {
            let (more, policy, holder) = Box::pin(of_plan(global, loaded)).await;
            steps.extend(more);
            (policy, holder)
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
            (None, None)
        }
    };
    Report::new(steps, policy, holder)
}

async fn of_plan(global: &Global, loaded: &Loaded) -> (Vec<Step>, Option<Policy>, Option<String>) {
    let plan = &loaded.plan;
    let environment = settings::environment();
    let metadata = match Metadata::new(&plan.instance, &environment) {
        Ok(metadata) => Arc::new(metadata),
        Err(error) => return (vec![Step::failed(metadata::SERVICE, error.to_string()).perhaps(error.hint())], None, None),
    };
    let documents = handle::read(plan, &environment).await;
    let (state, host) = tokio::join!(state::look(&plan.agent.state_dir), metadata::look(&metadata, plan));
    let reader = state.holder.and_then(Reader::of_process).or_else(|| state.owner.clone()).unwrap_or_else(Reader::myself);

    let reach = Reach::new(plan, &metadata);
    let cache = Cache::reaching(&plan.credentials.provider, &environment, &metadata, Random::from_kernel(), &reach);
    let cache = Arc::new(cache);
    let directory = plan.agent.state_dir.clone();
    let remembered = apart(REMEMBERED_TIMEOUT, move || Remembered::to_look_at(&directory)).await.ok();
    let client = Client::reaching(&plan.ros, &reach, remembered.clone(), Arc::clone(&cache));
    let ess = hook::is_needed(plan).then(|| ess::Client::new(plan, &reach, &environment, Arc::clone(&cache)));
    let aimed = aimed(plan, &host, &documents);
    let means = endpoint::Means::of(loaded, &reach, host.heard);
    let (settings, hosts) = hosts(client.as_ref(), &aimed, &means, remembered.and_then(|remembered| remembered.host()).as_ref());
    let of_hooks = async {
        match &ess {
            Some(client) => hook::hosts(client.as_ref(), plan, &aimed, &means, &environment).await,
            None => (Vec::new(), false),
        }
    };
    let ((files, of_sources), agent, ntp, endpoints, (keys, holder), (ess_hosts, ess_answered)) = tokio::join!(
        async {
            let of_sources = sources::look(plan, &reader, state.holder, host.region.as_deref(), &reach);
            tokio::join!(configuration::files(loaded, reader.clone()), of_sources)
        },
        running::look(global, Ok(loaded), state.holder),
        clock::kept(),
        endpoint::look(&hosts, &means),
        credentials::look(&cache, &plan.credentials.provider),
        of_hooks,
    );

    let now = Moment::now();
    let clocks = vec![
        clock::beside(clock::METADATA, "the metadata service", host.heard, now, plan.clock_trust),
        clock::beside(clock::ROS, "ROS", endpoints.heard, now, plan.clock_trust),
        ntp,
    ];
    let account = host.account.as_deref();
    let has_keys = keys.iter().any(|step| step.name() == credentials::CHOICE && step.verdict() != Verdict::Failed);
    let of_stacks: Vec<stack::Aimed> =
        aimed.iter().filter(|(signal, _)| !matches!(signal.transport, Transport::LifecycleHook(_))).cloned().collect();
    let obstacle = match &client {
        Err(_) => Some(endpoint::SETTINGS),
        Ok(_) if !endpoints.answered => Some(endpoint::CHOICE),
        Ok(_) if !has_keys => Some(credentials::CHOICE),
        Ok(_) => None,
    };
    if let (Some(account), Ok(client)) = (account, &client) {
        client.know_account(account);
    }
    if let (Some(account), Some(Ok(ess))) = (account, &ess) {
        ess.know_account(account);
    }
    let without_ess = match has_keys {
        _ if !ess_answered => Some(hook::CHOICE),
        false => Some(credentials::CHOICE),
        true => None,
    };
    let ess_client = ess.as_ref().and_then(|client| client.as_ref().ok());
    let (stacks, handles, actions, notifications) = tokio::join!(
        look_at_stacks(client.as_ref().ok(), &of_stacks, obstacle, account, plan.ros.poll),
        look_at_handles(client.as_ref().ok(), documents, &of_stacks, (&host, has_keys, obstacle), &plan.ros),
        hook::look(ess_client, &aimed, host.instance_id.as_deref(), account, without_ess),
        sources::notifications(client.as_ref().ok(), plan, &of_stacks, obstacle),
    );
    let policy = Policy::of(aimed.iter().map(|(signal, place)| (signal.as_ref(), place.clone())), &plan.ros, account);
    let moved = moved(&state, &host);
    // Without hosts nothing was looked at.
    let endpoints = if hosts.is_empty() { settings } else { [settings, endpoints.steps].concat() };
    let needs = Needs::of(plan);
    let groups = [
        vec![files],
        state.steps,
        moved,
        agent,
        host.steps,
        clocks,
        needs.soften(needs.keys, keys),
        needs.soften(needs.ros, endpoints),
        needs.soften(needs.ros, stacks),
        handles,
        ess_hosts,
        actions,
        of_sources,
        notifications,
    ];
    (groups.concat(), policy, holder)
}

/// What signals cannot do without.
struct Needs {
    keys: bool,
    ros: bool,
}

impl Needs {
    fn of(plan: &Plan) -> Self {
        let any = |test: fn(&Signal) -> bool| plan.signals.is_empty() || plan.signals.iter().any(|signal| test(signal));
        Self {
            keys: any(|signal| !handle::is_local(signal)),
            ros: any(|signal| matches!(signal.transport, Transport::Api | Transport::Handle(HandleSource::Stack))),
        }
    }

    /// What no signal needs is no failure: only looks are missed.
    fn soften(&self, needed: bool, steps: Vec<Step>) -> Vec<Step> {
        if needed {
            return steps;
        }
        steps.into_iter().map(|step| step.milder("signals go out without it: only looks at the stack need it")).collect()
    }
}

/// The stacks with what the signals name in them, and their templates.
async fn look_at_stacks(
    client: Option<&Client>,
    aimed: &[stack::Aimed],
    obstacle: Option<&str>,
    account: Option<&str>,
    poll: bool,
) -> Vec<Step> {
    let client = match (client, obstacle) {
        _ if aimed.is_empty() => return vec![Step::skipped(stack::STACK, "no [signal.NAME] names one")],
        (Some(client), None) => client,
        (_, obstacle) => {
            let on = obstacle.unwrap_or(endpoint::SETTINGS);
            return [stack::unasked(aimed, on, account), template::unasked(aimed, on)].concat();
        }
    };
    let mut steps = stack::look(client, aimed, account).await;
    let unknown = steps.iter().any(|step| step.name() == stack::STACK && step.verdict() == Verdict::Failed);
    steps.extend(match (poll, unknown) {
        (false, _) => vec![Step::skipped(template::TEMPLATE, "not asked: with poll = false under [ros] the agent does not look either")],
        (true, true) => template::unasked(aimed, stack::STACK),
        (true, false) => template::look(client, aimed, account).await,
    });
    steps
}

/// The URLs of handles, and their service.
async fn look_at_handles(
    client: Option<&Client>,
    mut documents: Vec<handle::Read>,
    aimed: &[stack::Aimed],
    (host, has_keys, obstacle): (&metadata::Found, bool, Option<&str>),
    settings: &Ros,
) -> Vec<Step> {
    let of_stack = |signal: &Signal| signal.transport == Transport::Handle(HandleSource::Stack);
    let mut unasked = Vec::new();
    match (client, obstacle) {
        (Some(client), None) => documents.extend(handle::fetch(client, aimed).await),
        (_, obstacle) => {
            let signals = aimed.iter().filter(|(signal, _)| of_stack(signal));
            let on = obstacle.unwrap_or(endpoint::SETTINGS);
            unasked.extend(signals.map(|(signal, _)| Step::depends(handle::DOCUMENT, on).about(&*signal.name)));
        }
    }
    let judged = handle::judge(&documents, host.stack_id.as_deref(), host.heard, has_keys);
    [judged, unasked, handle::reach(&documents, settings).await].concat()
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
    let is_hook = |(signal, _): &stack::Aimed| matches!(signal.transport, Transport::LifecycleHook(_));
    if !aimed.is_empty() && aimed.iter().all(is_hook) {
        return (vec![Step::skipped(endpoint::SETTINGS, "not asked: no signal is for ROS")], Vec::new());
    }
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

/// Each signal with its stack, as far as configuration, the URL of its handle, and metadata tell it.
fn aimed(plan: &Plan, host: &metadata::Found, documents: &[handle::Read]) -> Vec<stack::Aimed> {
    let place = |signal: &Signal| {
        let named = documents.iter().find(|read| read.signal.name == signal.name).and_then(|read| read.found.as_ref().ok());
        let named = named.map(|document| document.place().clone()).unwrap_or_default();
        // The agent does not ask the tag for the stack of a URL: it may appear later, and another stack would be another signal.
        let tag = host.stack_id.clone().filter(|_| !handle::is_local(signal));
        Place {
            region: signal.region.clone().or(named.region).or_else(|| host.region.clone()),
            stack_id: signal.stack_id.clone().or(named.stack_id).or(tag),
        }
    };
    plan.signals.iter().map(|signal| (Arc::clone(signal), place(signal))).collect()
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
    const NAMES: [&str; 47] = [
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
        template::TEMPLATE,
        handle::DOCUMENT,
        handle::SERVICE,
        hook::SETTINGS,
        hook::CHOICE,
        hook::ACTION,
        hook::PERMISSION,
        sources::LISTENER,
        sources::CERTIFICATE,
        sources::QUEUE,
        sources::SPOOL,
        sources::NOTIFICATIONS,
        sources::PROGRAM,
        sources::UNIT,
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
