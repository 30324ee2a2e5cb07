//! When checks run again.

use super::world::{AfterCompletion, Happening, Switches, World};
use crate::plan::testing;
use std::collections::BTreeSet;

#[test]
fn after_the_verdict_runs_share_moments_and_none_is_later_than_its_interval() {
    let names: Vec<String> = (0..40).map(|number| format!("check-{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let plan = testing::plan(vec![testing::signal("web", "WebReady", &names)], names.iter().map(|name| testing::check(name)).collect());
    let mut world = World::new(plan, Switches { tokens_replay_errors: true, after_completion: AfterCompletion::Ignored }, 7);
    for check in 0..names.len() {
        world.happen(&Happening::Truth(check, true));
    }
    world.pass(60_000);
    assert_eq!(world.core.status().signals[0].state, "acknowledged");
    let due: BTreeSet<_> = world.core.checks.values().filter_map(|run| run.due).collect();
    assert!(due.len() <= 21 && due.iter().all(|due| due % 500 == 0), "{due:?}");
    let runs = |world: &World| world.core.checks.values().map(|run| run.runs).min().unwrap();
    let before = runs(&world);
    world.pass(600_000);
    assert!((60..=63).contains(&(runs(&world) - before)), "{} runs in ten minutes", runs(&world) - before);
}
