//! `report`: the last failure report, or how it would be now.

use super::agent::{ANSWER, Trouble, harmless_text, quoted};
use super::arguments::{Global, ReportArguments};
use super::failure::Failure;
use super::output::Output;
use super::{Exit, block_on};
use crate::config::{self, Environment};
use crate::report::{Shelf, View};
use crate::signal::LedgerDocument;
use std::io::Read as _;
use std::path::Path;

pub(super) fn run(global: &Global, arguments: &ReportArguments, out: &mut Output) -> anyhow::Result<Exit> {
    let agent = global.agent()?;
    let query = arguments.signal.as_ref().map_or(String::new(), |signal| format!("?signal={}", quoted(signal)));
    let asked = block_on(async { Ok(agent.get(&format!("/report{query}"), ANSWER).await) })?;
    let (view, source): (View, _) = match asked {
        Ok(view) => (view, "agent"),
        // A socket that was named on the command line is the one that was meant.
        Err(absent @ Trouble::Absent { .. }) if global.socket.is_none() => (kept(global, arguments.signal.as_deref(), &absent)?, "file"),
        Err(trouble) => return Err(trouble.into()),
    };
    if arguments.json {
        let mut value = serde_json::to_value(&view)?;
        if let Some(members) = value.as_object_mut() {
            members.insert("source".to_owned(), source.into());
        }
        out.json(&value)?;
    } else {
        // Also those of a file.
        out.line(harmless_text(&view.text))?;
    }
    Ok(Exit::Ok)
}

/// From the state directory, where no agent runs.
fn kept(global: &Global, signal: Option<&str>, absent: &Trouble) -> anyhow::Result<View> {
    let mut dir = config::state_dir(&global.layout(), &Environment::of_process());
    if let Some(root) = &global.root {
        dir = root.join(dir.strip_prefix("/").unwrap_or(&dir));
    }
    if let Err(error) = std::fs::read_dir(&dir)
        && error.kind() == std::io::ErrorKind::PermissionDenied
    {
        let message = format!("{absent}; and {} cannot be read: {error}", dir.display());
        return Err(Failure::new(Exit::Failure, message).hint("ask as root, or as the agent's user").into());
    }
    let shelf = Shelf::new(&dir);
    let found = shelf.last(owner(&dir).as_deref(), signal);
    found.map(crate::report::Filed::view).ok_or_else(|| {
        let of = signal.map_or(String::new(), |signal| format!(" of signal {signal}"));
        let message = format!("no agent runs, and {} keeps no failure report{of} of this instance", dir.display());
        Failure::new(Exit::Failure, message).hint("there was no FAILURE; with the agent running, report says how things stand now").into()
    })
}

/// Whose the ledger is.
fn owner(dir: &Path) -> Option<String> {
    let mut text = Vec::new();
    std::fs::File::open(dir.join("ledger.json")).ok()?.take(crate::ledger::SIZE_LIMIT as u64).read_to_end(&mut text).ok()?;
    serde_json::from_slice::<LedgerDocument>(&text).ok()?.instance_id
}
