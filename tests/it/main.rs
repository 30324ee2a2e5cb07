//! Behaviour, one module per theme.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used, reason = "tests fail by panicking")]
//! behaviour
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod config_broken;
mod ledger;
mod ledger_model;
mod systemd;
mod probe;

mod config_broken;
mod config_files;
mod config_plan;
mod config_robust;
mod config_schema;
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod credentials;
mod ros;
