//! What programs print: text, performance data, anything. The first two bytes are the exit code and the size of pieces; standard error
//! comes after `%%`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ros_signal_agent::fuzzing::plugin;
use ros_signal_agent::plan::Probe;
use ros_signal_agent_fuzz::{Bounds, KIB, MIB, parts, plan, run};

fuzz_target!(|data: &[u8]| run(data, Bounds { memory: 16 * MIB, stretch: 64 * KIB }, |data| {
    let [code, size, said @ ..] = data else { return };
    let parts = parts(said);
    for name in ["exec", "plain"] {
        let Probe::Exec(check) = plan::probe(name) else { panic!("{name} is of another kind") };
        plugin(check, (parts[0], parts.get(1).copied().unwrap_or_default()), usize::from(*size) * 16, *code);
    }
}));
