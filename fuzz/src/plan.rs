//! The plan that targets take their checks, hooks and rounds from.

use crate::{directory, file};
use ros_signal_agent::config::{self, Environment, Layout, Owners};
use ros_signal_agent::plan::{Plan, Probe};
use std::sync::{Arc, OnceLock};

const TEXT: &str = include_str!("plan.toml");

/// One of everything.
pub fn plan() -> &'static Arc<Plan> {
    static PLAN: OnceLock<Arc<Plan>> = OnceLock::new();
    PLAN.get_or_init(|| {
        let path = file("plan.toml", TEXT.as_bytes());
        let owners = Owners::Given { agent: 1000, paths: Default::default() };
        let loaded = config::load(
            &Layout::file(path),
            &owners,
            &Environment { state_directory: Some(directory().clone()), ..Environment::default() },
        );
        Arc::new(loaded.unwrap_or_else(|errors| panic!("{}", errors.iter().map(ToString::to_string).collect::<String>())).plan)
    })
}

/// How its check `name` looks.
pub fn probe(name: &str) -> &'static Probe {
    let check = plan().checks.iter().find(|check| &*check.name == name);
    &check.unwrap_or_else(|| panic!("there is a check {name}")).probe
}
