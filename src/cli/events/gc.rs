//! `events gc`: removes the queues that agents made for themselves on instances that were released without a word.
//!
//! It looks where the source with `topic` of the configuration points, so it is run on an instance of the fleet, or wherever that
//! configuration and credentials are.

use crate::cli::arguments::{GcArguments, Global};
use crate::cli::failure::Failure;
use crate::cli::output::{Output, count};
use crate::cli::table::{cell, render};
use crate::cli::{Exit, block_on, settings};
use crate::events::Surroundings;
use crate::events::queue::{self, Leftover};
use crate::plan::{Plan, QueueOwner, QueueSource, SourceKind};
use serde::Serialize;

/// For `--json`.
#[derive(Serialize)]
struct Found {
    dry_run: bool,
    older_than_seconds: u64,
    queues: Vec<Leftover>,
}

pub(in crate::cli) fn run(global: &Global, arguments: &GcArguments, out: &mut Output) -> anyhow::Result<Exit> {
    let loaded = global.load()?;
    global.log_to_stderr("warn")?;
    settings::warn(&loaded.warnings);
    let source = own(&loaded.plan).ok_or_else(|| {
        Failure::new(Exit::Failure, "no source of the configuration has a queue of its own, so it is not known where to look")
            .hint("write a [source.NAME] with type = \"queue\" and topic = \"NAME\"")
    })?;
    let queues = block_on(async {
        let surroundings = Surroundings::new(&loaded.plan, &settings::environment()).map_err(anyhow::Error::msg)?;
        let found = queue::leftovers(source, &surroundings, arguments.older_than, arguments.dry_run).await;
        found.map_err(|why| Failure::new(Exit::Failure, why).into())
    })?;
    let failed = queues.iter().any(|queue| queue.error.is_some());
    if arguments.json {
        out.json(&Found { dry_run: arguments.dry_run, older_than_seconds: arguments.older_than.as_secs(), queues })?;
    } else {
        show(&queues, arguments.dry_run, out)?;
    }
    Ok(if failed { Exit::Failure } else { Exit::Ok })
}

fn own(plan: &Plan) -> Option<&QueueSource> {
    plan.sources.iter().find_map(|source| match &source.kind {
        SourceKind::Queue(settings) if matches!(settings.whose, QueueOwner::Own { .. }) => Some(&**settings),
        _ => None,
    })
}

fn show(queues: &[Leftover], dry_run: bool, out: &mut Output) -> anyhow::Result<()> {
    let row = |queue: &Leftover| {
        let state = queue.error.as_ref().map_or_else(|| queue.state.to_owned(), |error| format!("{}: {error}", queue.state));
        let messages = queue.messages.to_string();
        [cell(&queue.instance_id), cell(queue.last_sign.as_deref().unwrap_or("-")), cell(messages), cell(state)]
    };
    if !queues.is_empty() {
        out.line(render(["INSTANCE", "LAST SIGN", "MESSAGES", "STATE"], queues.iter().map(row).collect(), out.paint))?;
    }
    let of = |state: &str| queues.iter().filter(|queue| queue.state == state).count();
    let text = if dry_run {
        format!("{} would be removed", count(of("left over"), "queue"))
    } else {
        format!("{} removed", count(of("removed"), "queue"))
    };
    out.line(text)?;
    Ok(())
}
