//! Texts of others before they leave the host: lines of the journal, output of checks. No known secret is left.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ros_signal_agent::fuzzing::redaction;
use ros_signal_agent_fuzz::{Bounds, KIB, MIB, run};

fuzz_target!(|data: &[u8]| run(data, Bounds { memory: 32 * MIB, stretch: 64 * KIB }, |data| redaction(&String::from_utf8_lossy(data))));
