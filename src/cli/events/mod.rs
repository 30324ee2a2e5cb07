//! `events`: what arrives of events and what came of it, followed over the control socket; test events to this host's own sources; and what instances have left behind.

mod follow;
mod gc;
mod kinds;
mod send;
mod sign;

pub(super) use kinds::parser as type_parser;

use super::Exit;
use super::arguments::{EventsAction, EventsArguments, Global};
use super::output::Output;

pub(super) fn run(global: &Global, arguments: EventsArguments, out: &mut Output) -> anyhow::Result<Exit> {
    match arguments.action {
        None => follow::run(global, &arguments.follow, out),
        Some(EventsAction::Follow(follow)) => follow::run(global, &follow, out),
        Some(EventsAction::Send(send)) => send::run(global, &send, out),
        Some(EventsAction::Gc(arguments)) => gc::run(global, &arguments, out),
    }
}
