//! Answers of SMQ, and what lies in its messages.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ros_signal_agent_fuzz::{Bounds, MIB, run};

fuzz_target!(|data: &[u8]| run(data, Bounds { memory: 96 * MIB, stretch: 7 * MIB }, ros_signal_agent::fuzzing::queue));
