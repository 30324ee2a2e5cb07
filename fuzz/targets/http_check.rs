//! Answers of web servers to a check.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ros_signal_agent::fuzzing::http;
use ros_signal_agent::plan::Probe;
use ros_signal_agent_fuzz::{Bounds, KIB, MIB, plan, run};

fuzz_target!(|data: &[u8]| run(data, Bounds { memory: 32 * MIB, stretch: 64 * KIB }, |data| {
    for name in ["http", "json"] {
        let Probe::Http(check) = plan::probe(name) else { panic!("{name} is of another kind") };
        http(check, data);
    }
}));
