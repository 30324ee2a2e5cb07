//! Operators' hooks: each occasion once, in order, over crashes; and what waits for one.

use super::super::*;
use super::properties::cases;
use super::world::{AfterCompletion, Disk, Happening, HookRun, Switches, World};
use crate::check::Health;
use crate::hooks::{Occasion, StackFacts};
use crate::plan::{Check, Composite, Hook, Probe, Rule, Transition, Trigger, testing};
use crate::signal::SignalStatus;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Of the signals of [`testing`].
const STACK: &str = "4a6c9851-3b0f-4f5f-b4ca-a14bf6911234";

fn plan_with(hooks: Vec<Hook>) -> Plan {
    let mut plan = testing::plan(vec![testing::signal("web", "WebReady", &["a"])], vec![testing::check("a")]);
    plan.hooks = hooks.into_iter().map(Arc::new).collect();
    plan
}

fn world(hooks: Vec<Hook>) -> World {
    World::new(plan_with(hooks), Switches { tokens_replay_errors: true, after_completion: AfterCompletion::Ignored }, 7)
}

fn on_update(name: &str) -> Hook {
    testing::hook(name, vec![Trigger::Stack(Transition::Updating)])
}

fn updating(at: u32) -> Occasion {
    let stack = StackFacts {
        stack_id: STACK.to_owned(),
        status: "UPDATE_IN_PROGRESS".to_owned(),
        updated: Some(format!("2026-01-01T00:{:02}:{:02}", at / 60, at % 60)),
        ..StackFacts::default()
    };
    Occasion::Stack { transition: Transition::Updating, stack, previous: None }
}

fn tell(world: &mut World, occasion: Occasion) {
    world.core.happened(occasion);
    world.step(Input::Tick);
}

fn view(world: &World) -> status::HookView {
    world.core.status().hooks[0].clone()
}

#[test]
fn an_occasion_that_is_noticed_twice_is_run_once() {
    let mut world = world(vec![on_update("apply")]);
    world.pass(1_000);
    for _ in 0..3 {
        tell(&mut world, updating(1));
        world.pass(5_000);
    }
    world.happen(&Happening::Crash);
    world.pass(1_000);
    tell(&mut world, updating(1));
    world.pass(5_000);
    assert_eq!(world.hook_runs.len(), 1, "{:?}", world.hook_runs);
    tell(&mut world, updating(2));
    world.pass(5_000);
    assert_eq!(world.hook_runs.len(), 2);
}

#[test]
fn a_hook_is_begun_only_when_the_ledger_holds_it() {
    let mut world = world(vec![on_update("apply")]);
    world.pass(1_000);
    world.happen(&Happening::Disk(Disk::Hangs));
    tell(&mut world, updating(1));
    world.pass(5_000);
    assert_eq!((world.hook_runs.len(), view(&world).state.as_str()), (0, "waiting"));
    // A ledger that does not answer for ten seconds is no reason to stay silent.
    world.pass(10_000);
    assert_eq!(world.hook_runs.len(), 1);
    assert!(world.notes.iter().any(|note| note.contains("run although the state is not durable")), "{:?}", world.notes);
}

#[test]
fn after_a_sleep_members_are_looked_at_at_once_and_hooks_hear_of_what_has_changed_only() {
    let mut plan = plan_with(vec![testing::hook("tell", vec![Trigger::Check(Health::Passing), Trigger::Check(Health::Critical)])]);
    let mut both = testing::check("both");
    (both.success_threshold, both.failure_threshold) = (1, 1);
    both.probe = Probe::Composite(Composite { rule: Rule::All, of: vec![Arc::from("a"), Arc::from("b")] });
    let members = ["a", "b"].map(|name| Check { interval: Duration::from_secs(300), ..testing::check(name) });
    plan.checks = members.into_iter().chain([both]).map(Arc::new).collect();
    plan.signals = vec![Arc::new(testing::signal("web", "WebReady", &["both"]))];
    let mut world = World::new(plan, Switches { tokens_replay_errors: true, after_completion: AfterCompletion::Ignored }, 7);
    world.happen(&Happening::Truth(0, true));
    world.happen(&Happening::Truth(1, true));
    world.pass(60_000);
    assert_eq!((world.hook_runs.len(), world.core.status().signals[0].state.as_str()), (3, "acknowledged"));
    let sleep = |world: &mut World| {
        world.now = world.now.plus(Duration::from_secs(1_000));
        world.step(Input::Tick);
        assert_eq!(world.core.checks["both"].state.committed(), None, "nobody has looked");
        world.pass(2_000);
    };
    sleep(&mut world);
    assert_eq!(world.core.checks["both"].state.committed(), Some(Health::Passing), "the next run was not due for minutes");
    assert_eq!(world.hook_runs.len(), 3, "{:?}", world.hook_runs);
    world.happen(&Happening::Truth(1, false));
    sleep(&mut world);
    world.pass(900_000);
    let heard: Vec<_> = world.hook_runs.iter().skip(3).map(|run| run.word.as_str()).collect();
    assert_eq!(heard, ["check.critical", "check.critical"], "b, and both");
}

#[test]
fn a_hook_that_must_not_run_twice_waits_for_the_ledger_however_long() {
    let mut world = world(vec![Hook { at_most_once: true, ..on_update("apply") }]);
    world.pass(1_000);
    world.happen(&Happening::Disk(Disk::Refuses));
    tell(&mut world, updating(1));
    world.pass(600_000);
    assert_eq!(world.hook_runs.len(), 0);
    world.happen(&Happening::Disk(Disk::Works));
    world.pass(200_000);
    assert_eq!(world.hook_runs.len(), 1);
}

#[test]
fn a_run_that_fails_is_repeated_at_growing_waits_and_then_said_to_have_failed() {
    let mut world = world(vec![Hook { retries: 2, ..on_update("apply") }]);
    world.pass(1_000);
    world.hooks_fail = true;
    tell(&mut world, updating(1));
    world.pass(60_000);
    let attempts: Vec<_> = world.hook_runs.iter().map(|run| run.attempt).collect();
    assert_eq!(attempts, [1, 2, 3]);
    let view = view(&world);
    assert_eq!((view.state.as_str(), view.succeeded, view.last.as_deref()), ("idle", Some(false), Some("stack.updating")));
    assert!(world.core.history().iter().any(|entry| entry.what == "hook apply: failed for stack.updating: exit status 1"));
}

#[test]
fn a_run_that_a_crash_cut_off_is_run_again_under_its_id_and_with_at_most_once_it_is_not() {
    for at_most_once in [false, true] {
        let mut world = world(vec![Hook { at_most_once, ..on_update("apply") }]);
        world.pass(1_000);
        world.hooks_take = 60_000;
        tell(&mut world, updating(1));
        world.pass(10_000);
        world.happen(&Happening::Crash);
        world.pass(120_000);
        let ids: BTreeSet<_> = world.hook_runs.iter().map(|run| &run.id).collect();
        assert_eq!((world.hook_runs.len(), ids.len()), (if at_most_once { 1 } else { 2 }, 1));
        assert_eq!(view(&world).succeeded, Some(!at_most_once));
    }
}

#[test]
fn checks_of_a_round_wait_for_a_hook_that_applies_the_update_and_run_when_it_has() {
    let mut world = world(vec![Hook { wait: true, ..on_update("apply") }]);
    world.happen(&Happening::Truth(0, true));
    world.pass(100);
    world.hooks_take = 30_000;
    tell(&mut world, updating(1));
    world.pass(29_000);
    assert_eq!(world.core.status().signals[0].state, "pending");
    assert_eq!(view(&world).state, "running");
    world.pass(20_000);
    assert_eq!(world.core.status().signals[0].verdict, Some(SignalStatus::Success));
}

#[test]
fn scenario_6_a_waited_hook_that_fails_for_good_fails_the_round_with_its_reason() {
    let mut world = world(vec![Hook { wait: true, retries: 1, ..on_update("apply") }]);
    world.happen(&Happening::Truth(0, true));
    world.pass(100);
    world.hooks_fail = true;
    tell(&mut world, updating(1));
    world.pass(60_000);
    let signal = &world.core.status().signals[0];
    assert_eq!((signal.verdict, signal.state.as_str()), (Some(SignalStatus::Failure), "acknowledged"));
    assert!(world.notes.iter().any(|note| note.contains("verdict FAILURE: hook apply failed: exit status 1")), "{:?}", world.notes);
}

#[test]
fn scenario_11_a_waited_hook_does_not_move_the_deadline() {
    let mut plan = plan_with(vec![Hook { wait: true, ..on_update("apply") }]);
    let mut signal = (*plan.signals[0]).clone();
    signal.deadline = Duration::from_secs(120);
    plan.signals = vec![Arc::new(signal)];
    let mut world = World::new(plan, Switches { tokens_replay_errors: true, after_completion: AfterCompletion::Ignored }, 7);
    world.pass(100);
    world.hooks_take = 3_600_000;
    tell(&mut world, updating(1));
    world.pass(120_000);
    assert_eq!(world.core.status().signals[0].verdict, Some(SignalStatus::Failure));
}

#[test]
fn scenario_11_a_success_that_waits_for_a_hook_is_a_failure_when_the_time_is_up() {
    let mut plan = plan_with(vec![Hook { wait: true, ..on_update("apply") }]);
    let mut signal = testing::signal("web", "WebReady", &[]);
    signal.deadline = Duration::from_secs(120);
    plan.signals = vec![Arc::new(signal)];
    let mut world = World::new(plan, Switches { tokens_replay_errors: true, after_completion: AfterCompletion::Ignored }, 7);
    world.pass(100);
    world.hooks_take = 3_600_000;
    tell(&mut world, updating(1));
    world.pass(80_000);
    assert_eq!(world.core.status().signals[0].verdict, None);
    world.pass(40_000);
    assert_eq!(world.core.status().signals[0].verdict, Some(SignalStatus::Failure));
    assert!(world.notes.iter().any(|note| note.contains("before the hook apply had ended")), "{:?}", world.notes);
}

#[test]
fn however_much_metadata_waits_for_hooks_the_ledger_can_be_written() {
    let mut world = world(vec![testing::hook("apply", vec![Trigger::Metadata])]);
    world.pass(1_000);
    world.hooks_take = 3_600_000;
    for number in 0..70 {
        let text = format!("{{{}{number}}}", "\"\":".repeat(5_400));
        let stack = StackFacts { stack_id: STACK.to_owned(), ..StackFacts::default() };
        tell(&mut world, Occasion::Metadata { stack, resource: "WebReady".to_owned(), old: Some(text.clone()), new: Some(text) });
    }
    let size = serde_json::to_vec(&world.core.hooks).unwrap().len();
    assert_eq!(world.core.hooks.len(), 64);
    assert!((64 * 1024..256 * 1024).contains(&size), "{size}");
    assert!(world.notes.iter().any(|note| note.contains("it is run without")));
}

#[test]
fn scenario_12_a_cloned_machine_runs_nothing_of_its_original() {
    let mut world = world(vec![on_update("apply")]);
    world.pass(1_000);
    world.hooks_take = 600_000;
    tell(&mut world, updating(1));
    tell(&mut world, updating(2));
    world.pass(5_000);
    assert_eq!(world.hook_runs.len(), 1);
    world.happen(&Happening::Copied(3_600));
    world.happen(&Happening::Crash);
    world.pass(60_000);
    assert_eq!((world.hook_runs.len(), view(&world).queued), (1, 0));
}

#[test]
fn nothing_is_begun_while_the_agent_stops_and_all_of_it_goes_on_with_the_next_start() {
    let mut world = world(vec![on_update("apply")]);
    world.pass(1_000);
    world.core.happened(updating(1));
    world.happen(&Happening::Stop);
    assert_eq!(world.hook_runs.iter().filter(|run| run.stopping).count(), 0);
    world.pass(5_000);
    assert_eq!(world.hook_runs.len(), 1);
}

#[test]
fn more_than_the_queue_holds_is_refused_loudly_and_one_hook_holds_up_no_other() {
    let slow = testing::hook("slow", vec![Trigger::Stack(Transition::Updating)]);
    let quick = testing::hook("tell", vec![Trigger::Check(Health::Critical)]);
    let mut world = world(vec![slow, quick]);
    world.hooks_take = 600_000;
    for at in 0..80 {
        tell(&mut world, updating(at));
    }
    world.pass(2_000);
    let refused = world.notes.iter().filter(|note| note.contains("64 runs are waiting already")).count();
    assert!(refused >= 16, "{refused}");
    assert_eq!(world.hook_runs.iter().filter(|run| run.hook == "slow").count(), 1, "one at a time");
}

#[test]
fn verdicts_and_changes_of_checks_run_the_hooks_that_ask_for_them() {
    let on = vec![Trigger::Verdict(SignalStatus::Success), Trigger::Check(Health::Passing)];
    let mut world = world(vec![testing::hook("tell", on)]);
    world.happen(&Happening::Truth(0, true));
    world.pass(30_000);
    let words: Vec<_> = world.hook_runs.iter().map(|run| run.word.as_str()).collect();
    assert_eq!(words, ["check.passing", "verdict.success"]);
}

#[test]
fn what_is_queued_for_a_hook_that_leaves_the_plan_is_dropped_and_said() {
    let mut world = world(vec![on_update("apply")]);
    world.pass(1_000);
    world.hooks_take = 60_000;
    tell(&mut world, updating(1));
    tell(&mut world, updating(2));
    world.pass(1_000);
    world.step(Input::Replan(Arc::new(plan_with(Vec::new()))));
    world.pass(120_000);
    assert_eq!(world.hook_runs.len(), 1);
    assert!(world.notes.iter().any(|note| note.contains("not run for stack.updating: it left the plan")), "{:?}", world.notes);
}

fn happenings() -> impl Strategy<Value = Vec<(u32, Option<u32>, Happening)>> {
    let happening = prop_oneof![
        4 => Just(Happening::Wait),
        4 => Just(Happening::Crash),
        2 => Just(Happening::Stop),
        2 => Just(Happening::Reboot(0)),
        3 => prop_oneof![Just(Disk::Works), Just(Disk::Refuses), Just(Disk::Hangs)].prop_map(Happening::Disk),
        2 => any::<bool>().prop_map(Happening::Metadata),
        1 => Just(Happening::Reload),
        3 => any::<bool>().prop_map(|healthy| Happening::Truth(0, healthy)),
    ];
    prop::collection::vec((0u32..12_000, prop::option::of(0u32..8), happening), 0..40)
}

/// None of the runs of one hook began while another of it went on, and each id began after those that were queued before it.
fn judge_order(runs: &[HookRun]) {
    let mut ended: BTreeMap<&str, i64> = BTreeMap::new();
    for run in runs {
        let before = ended.insert(&run.hook, run.until).unwrap_or(i64::MIN);
        assert!(run.at >= before || run.life != runs[0].life, "two runs of {} at once", run.hook);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases() / 4, failure_persistence: None, max_shrink_iters: 4_000, ..ProptestConfig::default() })]

    #[test]
    fn every_occasion_that_became_durable_ran_and_none_twice_but_where_a_crash_fell(history in happenings(), seed in any::<u64>()) {
        let hooks = vec![on_update("apply"), Hook { at_most_once: true, ..on_update("once") }];
        let mut world = World::new(plan_with(hooks), Switches { tokens_replay_errors: true, after_completion: AfterCompletion::Ignored }, seed);
        for (after, occasion, happening) in &history {
            world.pass(i64::from(*after));
            if let Some(at) = occasion {
                tell(&mut world, updating(*at));
            }
            world.happen(happening);
        }
        world.heal();
        prop_assert!(world.core.status().hooks.iter().all(|hook| hook.queued == 0), "{:?}", world.core.status().hooks);
        let mut completed: BTreeMap<&str, u32> = BTreeMap::new();
        let mut begun: BTreeMap<&str, u32> = BTreeMap::new();
        for run in &world.hook_runs {
            *begun.entry(&run.id).or_default() += 1;
            *completed.entry(&run.id).or_default() += u32::from(run.ended);
            prop_assert!(run.hook != "once" || begun[&*run.id] == 1, "at_most_once, and twice: {:?}", world.hook_runs);
        }
        judge_order(&world.hook_runs.iter().filter(|run| run.life == world.lives).cloned().collect::<Vec<_>>());
        for id in &world.hooks_durable {
            let runs = world.hook_runs.iter().filter(|run| run.id == *id);
            let hook = runs.clone().next().map_or("once", |run| run.hook.as_str());
            prop_assert!(hook == "once" || completed.get(id.as_str()).is_some_and(|count| *count > 0), "{id} never ran to its end");
        }
        // Twice only where the agent died before the end of the first was durable.
        for (id, count) in &begun {
            let cut_off = world.hook_runs.iter().filter(|run| run.id == *id && !run.recorded).count();
            prop_assert!(usize::try_from(*count).unwrap() <= cut_off + 1, "{id} ran again without need: {:?}", world.hook_runs);
        }
    }
}
