//! Answers of name servers.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ros_signal_agent::fuzzing::dns;
use ros_signal_agent::plan::Probe;
use ros_signal_agent_fuzz::{Bounds, KIB, MIB, plan, run};

fuzz_target!(|data: &[u8]| run(data, Bounds { memory: 32 * MIB, stretch: 64 * KIB }, |data| {
    let Probe::Dns(check) = plan::probe("dns") else { panic!("it is of another kind") };
    dns(check, data);
}));
