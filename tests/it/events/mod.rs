//! Events: sources against real clients, and against servers that misbehave.

mod bridge;
mod http;
mod listener;
mod queue;
mod queue_gc;
mod queue_own;
mod queue_server;
mod smq;
mod spool;
