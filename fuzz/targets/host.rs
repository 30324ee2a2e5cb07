//! What others on this host write: cloud-init, container engines, mount tables, names of processes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ros_signal_agent::fuzzing::{cloud_init, container, host_files};
use ros_signal_agent::plan::Probe;
use ros_signal_agent_fuzz::{Bounds, MIB, plan, run};

fuzz_target!(|data: &[u8]| run(data, Bounds { memory: 64 * MIB, stretch: MIB }, |data| {
    let Probe::Container(check) = plan::probe("container") else { panic!("it is of another kind") };
    cloud_init(data);
    container(check, data);
    host_files(data);
}));
