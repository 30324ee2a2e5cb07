//! behaviour
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod ledger;
mod ledger_model;
mod systemd;
