//! `events`: what comes in from the sources of events, and what they leave behind.

mod gc;

use super::Exit;
use super::arguments::{EventsCommand, Global};
use super::output::Output;

pub(super) fn run(global: &Global, command: &EventsCommand, out: &mut Output) -> anyhow::Result<Exit> {
    match command {
        EventsCommand::Gc(arguments) => gc::run(global, arguments, out),
    }
}
