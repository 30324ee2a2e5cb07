//! What people have of a handle (URL, JSON, `CurlCli`), and what the service behind it answers. Neither is repeated.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ros_signal_agent::fuzzing;
use ros_signal_agent_fuzz::{Bounds, KIB, MIB, parts, run};

fuzz_target!(|data: &[u8]| run(data, Bounds { memory: 16 * MIB, stretch: 64 * KIB }, |data| {
    let parts = parts(data);
    fuzzing::handle_document(parts[0]);
    if let Some(answer) = parts.get(1) {
        fuzzing::handle_answer(parts[0], answer);
    }
}));
