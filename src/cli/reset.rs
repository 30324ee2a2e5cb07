//! `reset`: forget this instance before an image is made of its disk.

use super::Exit;
use super::arguments::{Global, ResetArguments};
use super::block_on;
use super::output::{Output, count, notice};
use super::settings;
use crate::config::{self, Environment};
use crate::events::Surroundings;
use crate::events::queue::{self, Removed as RemovedQueue};
use crate::ledger::{Mind, reset};
use crate::plan::{QueueOwner, SourceKind};
use crate::report::Shelf;
use serde::Serialize;
use std::time::Duration;

/// Taking a queue away takes at most this: images and packages are made and removed where there is no network, too.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(15);

/// What was removed, for `--json`.
#[derive(Serialize)]
struct Removed {
    state_dir: String,
    dry_run: bool,
    removed: Vec<String>,
    /// Queues that the agent had made for itself, and that are gone now (or would be).
    queues: Vec<RemovedQueue>,
}

pub(super) fn run(global: &Global, arguments: &ResetArguments, out: &mut Output) -> anyhow::Result<Exit> {
    // A configuration that is broken elsewhere must not keep anybody from making an image.
    let mut dir = config::state_dir(&global.layout(), &Environment::of_process());
    if let Some(root) = &global.root {
        dir = root.join(dir.strip_prefix("/").unwrap_or(&dir));
    }
    let mind = if arguments.dry_run { Mind::Look } else { Mind::Remove };
    let removed = reset(&dir, global.root.as_deref(), mind, is_ours)?;
    let queues = if global.root.is_none() { queues(global, mind) } else { Vec::new() };
    let state_dir = dir.display().to_string();
    if arguments.json {
        out.json(&Removed { state_dir, dry_run: arguments.dry_run, removed, queues })?;
        return Ok(Exit::Ok);
    }
    for queue in &queues {
        let (verb, was) = match (mind, queue.was_there) {
            (Mind::Look, _) => ("would remove", ""),
            (Mind::Remove, true) => ("removed", ""),
            (Mind::Remove, false) => ("looked for", ", which was not there"),
        };
        out.line(format!("{verb} queue {} and its subscription to topic {}{was}", queue.queue, queue.topic))?;
    }
    let verb = if arguments.dry_run { "would remove" } else { "removed" };
    for name in &removed {
        out.line(format!("{verb} {state_dir}/{name}"))?;
    }
    let text = match removed.len() {
        0 => format!("{state_dir} holds nothing of this instance"),
        some if arguments.dry_run => format!("{} would be removed", count(some, "file")),
        some => format!("{} removed: the next start of the agent is the first one", count(some, "file")),
    };
    out.line(text)?;
    Ok(Exit::Ok)
}

/// Files that the agent keeps beside its ledger.
fn is_ours(name: &str) -> bool {
    // The host of ROS that served last, and the same while it is being written.
    matches!(name, "endpoint" | "endpoint.new") || Shelf::is_ours(name)
}

/// Takes away the queue that this instance's agent made for itself. It is called after the instance, and who that is says the metadata
/// service now, not the disk: a copy must not take away what belongs to its original. Best effort; where it fails somebody is told.
fn queues(global: &Global, mind: Mind) -> Vec<RemovedQueue> {
    let Ok(loaded) = global.load() else {
        notice("warning: the configuration cannot be read, so it is not known whether the agent has a queue of its own\nhint: events gc");
        return Vec::new();
    };
    let mut removed = Vec::new();
    for source in &loaded.plan.sources {
        let SourceKind::Queue(settings) = &source.kind else { continue };
        let QueueOwner::Own { topic } = &settings.whose else { continue };
        let done = block_on(async {
            let surroundings = Surroundings::new(&loaded.plan, &settings::environment()).map_err(anyhow::Error::msg)?;
            let done = match mind {
                Mind::Look => {
                    queue::own_name(&surroundings).await.map(|queue| Some(RemovedQueue { queue, topic: topic.clone(), was_there: true }))
                }
                Mind::Remove => queue::remove(settings, &surroundings, QUEUE_TIMEOUT).await,
            };
            done.map_err(anyhow::Error::msg)
        });
        match done {
            Ok(done) => removed.extend(done),
            Err(error) => notice(&format!(
                "warning: the queue of source {} may still be there, and costs money: {error}\n\
                 hint: remove queue {}INSTANCE and its subscription to topic {topic}, or run events gc in a week",
                source.name,
                queue::PREFIX
            )),
        }
    }
    removed
}
