//! What the agent, or whoever has become its user, asks root to run a hook for. Root takes it away, whatever it is.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ros_signal_agent::hooks::root::take_request;
use ros_signal_agent_fuzz::plan::plan;
use ros_signal_agent_fuzz::{Bounds, KIB, MIB, directory, file, run};

fuzz_target!(|data: &[u8]| run(data, Bounds { memory: 16 * MIB, stretch: 300 * KIB }, |data| {
    let hook = plan().hooks.iter().find(|hook| &*hook.name == "migrate").expect("there is such a hook");
    let request = file("hook-requests/migrate.json", data);
    match take_request(hook, directory()) {
        Ok(asked) => {
            let variables = asked.call.environment();
            assert!(variables.iter().all(|(name, value)| name.starts_with("ROS_SIGNAL_") && !value.contains('\0')), "{variables:?}");
            let document = asked.call.document();
            assert!(serde_json::from_str::<serde_json::Value>(&document).is_ok(), "{document}");
        }
        Err(why) => assert!(why.len() < 512 && !why.contains(char::is_control), "{why}"),
    }
    assert!(!request.exists(), "it would start the unit again and again");
}));
