//! The URL of a handle: the documents that hold it, the agent and the command that use it, and that nobody gets to see it.

mod agent;
mod command;
mod document;
mod secrets;

use crate::host::{Host, INSTANCE, STACK};
use ros_signal_agent::plan::UniqueIdStrategy;
use ros_signal_agent::signal::{FIRST_ROUND, Target, unique_id};

/// An attribute of the handle `WebReady`.
fn attribute(host: &Host, name: &str) -> String {
    host.sandbox.handle_attribute(STACK, "WebReady", name).unwrap().reveal().to_owned()
}

/// The part of the URL that must never be seen.
fn signature(host: &Host) -> String {
    let url = attribute(host, "URL");
    url.split_once("signature=").unwrap().1.to_owned()
}

fn posts(host: &Host) -> usize {
    host.sandbox.requests().iter().filter(|request| request.path == "/waitcondition").count()
}

fn ids(host: &Host) -> Vec<String> {
    let stack = host.sandbox.stack(STACK).unwrap();
    stack.resources["WebReady"].signals.iter().map(|signal| signal.unique_id.clone()).collect()
}

/// The id that is derived for a signal of this host.
fn derived(instance: &str, signal: &str) -> String {
    let target = Target { region: "cn-hangzhou".to_owned(), stack_id: STACK.to_owned(), resource: "WebReady".to_owned() };
    unique_id(&UniqueIdStrategy::Derived, instance, signal, FIRST_ROUND, &target, uuid::Uuid::nil()).unwrap().to_string()
}

fn of_this_host(signal: &str) -> String {
    derived(INSTANCE, signal)
}
