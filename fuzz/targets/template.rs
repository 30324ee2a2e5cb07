//! A template of ROS, JSON or YAML, and what it says about a handle and its condition.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ros_signal_agent::stack::template::{Parameters, Template};
use ros_signal_agent_fuzz::{Bounds, MIB, run};

fuzz_target!(|data: &[u8]| run(data, Bounds { memory: 128 * MIB, stretch: MIB }, |data| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match Template::parse(text) {
        Ok(template) => {
            let parameters = Parameters::from([("P".to_owned(), "600".to_owned())]);
            for (resource, condition) in [("WebReady", Some("WebCondition")), ("WebReady", None), ("WebCondition", None), ("a", Some("b"))]
            {
                let (facts, asked) = template.facts(resource, condition, &parameters);
                assert!(asked.iter().all(|name| text.contains(name.as_str()) || text.contains('\\')), "{asked:?}");
                let written = serde_json::to_string(&facts).expect("facts can be written");
                assert_eq!(serde_json::from_str::<serde_json::Value>(&written).ok(), serde_json::to_value(&facts).ok());
            }
        }
        Err(why) => assert!(why.len() < 4096, "{why}"),
    }
}));
