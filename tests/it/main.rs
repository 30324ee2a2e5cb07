//! Behaviour, one module per theme.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "tests fail by panicking and tell why they skip"
)]

mod a_stacks_life;
mod cli;
mod config_broken;
mod config_files;
mod config_plan;
mod config_robust;
mod config_schema;
mod crash;
mod credentials;
mod daemon;
mod events;
mod examples;
mod handle;
mod host;
mod ledger;
#[allow(dead_code, reason = "shared with tests/campaign, which needs other parts of it")]
mod ledger_model;
mod mounted;
mod operations;
mod packages;
#[allow(clippy::print_stderr, reason = "a test that skips says so")]
mod peer;
mod private;
mod probe;
mod reach;
#[cfg(feature = "rehearse")]
mod rehearse;
mod report;
mod ros;
mod scaling;
mod secrets;
mod service;
mod support;
mod systemd;
mod template;
