//! Answers of ROS, Auto Scaling and STS, good ones and refusals, JSON and XML.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ros_signal_agent::fuzzing::{headers, lifecycle, refusal, stack};
use ros_signal_agent::plan::{LifecycleHook, OnFailure};
use ros_signal_agent_fuzz::{Bounds, KIB, MIB, run};

fuzz_target!(|data: &[u8]| run(data, Bounds { memory: 32 * MIB, stretch: 64 * KIB }, |data| {
    refusal(data);
    let (_, body) = headers(data.get(1..).unwrap_or_default());
    stack(body);
    lifecycle(body, &LifecycleHook { scaling_group: None, hook: None, action_token: None, on_failure: OnFailure::Abandon });
}));
