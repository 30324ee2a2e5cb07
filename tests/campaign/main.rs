//! All faults at all moments: `inside` in one process, over a faulty transport and a disk that forgets what was not synced; `binary` with the built program.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "tests fail by panicking and print what they found"
)]

mod binary;
mod inside;
