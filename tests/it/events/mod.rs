//! Events: sources against servers that misbehave.

mod queue;
mod queue_gc;
mod queue_own;
mod queue_server;
