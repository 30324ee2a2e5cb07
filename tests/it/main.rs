//! Behaviour, one module per theme.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used, reason = "tests fail by panicking")]

mod config_broken;
mod ledger;
mod ledger_model;
mod probe;
mod systemd;
