//! behaviour
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used, reason = "tests fail by panicking")]

mod ledger;
mod ledger_model;
mod systemd;
//! Behaviour, one module per theme.

mod config_broken;
