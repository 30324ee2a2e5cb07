//! The control socket: anything that can be said to it. Only root orders more than pushes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ros_signal_agent::agent::Command;
use ros_signal_agent::fuzzing::control;
use ros_signal_agent_fuzz::{Bounds, KIB, MIB, run};
use std::cell::OnceCell;
use tokio::runtime::{Builder, Runtime};

thread_local!(static RUNTIME: OnceCell<Runtime> = const { OnceCell::new() });

fuzz_target!(|data: &[u8]| run(data, Bounds { memory: 32 * MIB, stretch: 128 * KIB }, |data| RUNTIME.with(|runtime| {
    let runtime = runtime.get_or_init(|| Builder::new_current_thread().enable_all().build().expect("a runtime"));
    let root = data.first().is_some_and(|byte| byte % 2 == 0);
    let served = runtime.block_on(control(data.get(1..).unwrap_or_default(), root));
    assert!(served.answer.is_empty() || served.answer.starts_with(b"HTTP/1."), "{}", String::from_utf8_lossy(&served.answer));
    let pushes = served.commands.iter().all(|command| matches!(command, Command::Push { .. }));
    assert!(root || pushes, "not by root: {:?}", served.commands);
})));
