//! Answers of the health service of gRPC, and of chronyd.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ros_signal_agent::fuzzing::{grpc, time_server};
use ros_signal_agent_fuzz::{Bounds, KIB, MIB, run};

fuzz_target!(|data: &[u8]| run(data, Bounds { memory: 16 * MIB, stretch: 64 * KIB }, |data| {
    grpc(data);
    time_server(data);
}));
