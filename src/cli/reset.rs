//! `reset`: forget this instance before an image is made of its disk.

use super::Exit;
use super::arguments::{Global, ResetArguments};
use super::output::{Output, count};
use crate::config::{self, Environment};
use crate::ledger::{Mind, reset};
use crate::report::Shelf;
use serde::Serialize;

/// What was removed, for `--json`.
#[derive(Serialize)]
struct Removed {
    state_dir: String,
    dry_run: bool,
    removed: Vec<String>,
}

pub(super) fn run(global: &Global, arguments: &ResetArguments, out: &mut Output) -> anyhow::Result<Exit> {
    // A configuration that is broken elsewhere must not keep anybody from making an image.
    let mut dir = config::state_dir(&global.layout(), &Environment::of_process());
    if let Some(root) = &global.root {
        dir = root.join(dir.strip_prefix("/").unwrap_or(&dir));
    }
    let mind = if arguments.dry_run { Mind::Look } else { Mind::Remove };
    let removed = reset(&dir, global.root.as_deref(), mind, is_ours)?;
    let state_dir = dir.display().to_string();
    if arguments.json {
        out.json(&Removed { state_dir, dry_run: arguments.dry_run, removed })?;
        return Ok(Exit::Ok);
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
