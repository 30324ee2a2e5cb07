//! Stories about following a stack: when it is looked at, and what is made of hints.

use super::super::*;
use super::world::{Act, AfterCompletion, Happening, Life, Looks, Moves, Switches, World};
use crate::events::{Arrival, Event, Taken, Trust};
use crate::plan::{Hook, Transition, Trigger, testing};

const PLAIN: Switches = Switches { tokens_replay_errors: true, after_completion: AfterCompletion::Ignored };
const MINUTE: BootMs = 60_000;
const HOUR: BootMs = 60 * MINUTE;
const STACK: &str = "4a6c9851-3b0f-4f5f-b4ca-a14bf6911234";

fn world() -> World {
    let signal = testing::signal("web", "WebReady", &["a"]);
    World::new(testing::plan(vec![signal], vec![testing::check("a")]), PLAIN, 7).alive(Life::new(true, Moves::Both))
}

/// Its creation is over, and nothing is owed.
fn at_rest() -> World {
    let mut world = world();
    world.pass(40_000);
    world.happen(&Happening::Truth(0, true));
    world.pass(2 * MINUTE);
    assert_eq!(world.life().status, "CREATE_COMPLETE");
    world
}

fn arrive(world: &mut World, event: Event) -> Taken {
    let what = Box::new(Arrival { through: Name::from("queue"), trust: Trust::Guarded, event });
    world.step(Input::Arrived { arrival: 1, what });
    *world.taken.last().unwrap()
}

fn event(id: &str) -> Event {
    let kind = "ros:StackStateChange:UpdateComplete".to_owned();
    Event { id: id.to_owned(), source: "acs.ros".to_owned(), kind, stack_id: Some(STACK.to_owned()), ..Event::default() }
}

fn gaps(world: &World, from: usize) -> Vec<BootMs> {
    world.watched[from..].windows(2).map(|pair| pair[1].1 - pair[0].1).collect()
}

#[test]
fn while_a_signal_is_owed_the_stack_is_looked_at_every_15_to_30_s() {
    let mut world = world();
    world.pass(10 * MINUTE);
    assert!(world.watched[0].1 <= 20_000 + 31_000, "the first one too");
    let gaps = gaps(&world, 0);
    assert!(gaps.len() >= 15 && gaps.iter().all(|gap| (15_000..=33_000).contains(gap)), "{gaps:?}");
}

#[test]
fn a_stack_at_rest_is_looked_at_every_five_minutes_and_every_fifteen_after_an_hour() {
    let mut world = at_rest();
    let from = world.watched.len();
    world.pass(HOUR);
    let first = gaps(&world, from);
    assert!(first.iter().all(|gap| (240_000..=363_000).contains(gap)), "{first:?}");
    let from = world.watched.len();
    world.pass(20 * HOUR);
    let later = gaps(&world, from);
    assert!(later.iter().all(|gap| (720_000..=1_083_000).contains(gap)) && later.len() >= 60, "{later:?}");
}

#[test]
fn scenario_34_many_hints_make_one_look_soon() {
    let mut world = at_rest();
    world.pass(20_000);
    let before = world.watched.len();
    for number in 0..300 {
        assert_eq!(arrive(&mut world, event(&number.to_string())), Taken::Look);
    }
    world.pass(12_500);
    assert_eq!(world.watched.len(), before + 1);
    world.pass(MINUTE);
    assert_eq!(world.watched.len(), before + 1, "and no second one");
    assert!(world.lines.iter().any(|line| line.what == "look" && line.text.contains("nothing has changed")), "{:?}", world.lines.last());
}

#[test]
fn a_repeated_event_and_one_of_another_stack_make_no_look() {
    let mut world = at_rest();
    world.pass(20_000);
    assert_eq!(arrive(&mut world, event("1")), Taken::Look);
    world.pass(15_000);
    let before = world.watched.len();
    assert_eq!(arrive(&mut world, event("1")), Taken::Repeated);
    assert_eq!(arrive(&mut world, Event { stack_id: Some("other".to_owned()), ..event("2") }), Taken::OtherStack);
    world.pass(MINUTE);
    assert_eq!(world.watched.len(), before);
    assert_eq!(arrive(&mut world, Event { stack_id: None, ..event("3") }), Taken::Look, "it may mean this one");
    let named = Event { stack_id: None, stack_name: Some("another".to_owned()), ..event("4") };
    assert_eq!(arrive(&mut world, named), Taken::OtherStack);
}

#[test]
fn repeated_events_are_known_within_bounds() {
    let mut world = at_rest();
    for number in 0..4_097 {
        world.pass(10);
        arrive(&mut world, event(&number.to_string()));
    }
    assert_eq!(arrive(&mut world, event("4096")), Taken::Repeated);
    assert_eq!(arrive(&mut world, event("0")), Taken::Look, "the oldest is forgotten");
}

#[test]
fn without_permission_or_polling_an_event_cannot_make_a_look() {
    let mut world = world();
    world.happen(&Happening::Looks(Looks::Denied));
    world.pass(MINUTE);
    assert_eq!(arrive(&mut world, event("1")), Taken::CannotLook);
    let mut plan = testing::plan(vec![testing::signal("web", "WebReady", &["a"])], vec![testing::check("a")]);
    plan.ros.poll = false;
    let mut blind = World::new(plan, PLAIN, 7);
    blind.pass(HOUR);
    assert_eq!((arrive(&mut blind, event("1")), blind.watched.len()), (Taken::CannotLook, 0));
    let view = blind.core.status().stacks[0].clone();
    assert_eq!(view.state, "off");
}

#[test]
fn scenario_05_looks_that_fail_are_no_more_frequent_than_others_and_said_once() {
    let mut world = at_rest();
    world.pass(20_000);
    world.happen(&Happening::Looks(Looks::Failing));
    let from = world.watched.len();
    world.pass(6 * HOUR);
    let gaps = gaps(&world, from);
    assert!(gaps.iter().all(|gap| *gap >= 10_000) && gaps.iter().skip(4).all(|gap| *gap >= 240_000), "{gaps:?}");
    assert_eq!(world.notes.iter().filter(|note| note.starts_with("stack web could not be looked at: timed out")).count(), gaps.len() + 1);
    assert_eq!(world.core.status().stacks[0].error.as_deref(), Some("timed out"));
    world.happen(&Happening::Looks(Looks::Answered));
    world.pass(HOUR);
    assert_eq!(world.core.status().stacks[0].error, None);
}

#[test]
fn a_stack_that_is_missed_counts_as_deleted_after_a_minute_and_only_where_it_was_seen() {
    let mut world = at_rest();
    world.happen(&Happening::Stack(Act::Delete));
    world.hint();
    world.pass(45_000);
    assert_eq!(world.core.status().stacks[0].status.as_deref(), Some("DELETE_IN_PROGRESS"));
    world.pass(30_000);
    assert_eq!(world.core.status().stacks[0].state, if world.core.stacks[0].deleted { "deleted" } else { "watched" });
    world.pass(5 * MINUTE);
    let view = world.core.status().stacks[0].clone();
    assert_eq!((view.state.as_str(), view.next_look_ms), ("deleted", None));
    let told = world.lines.iter().filter(|line| line.what == "stack").map(|line| line.text.clone()).collect::<Vec<_>>();
    assert_eq!(
        told,
        ["stack.created: CREATE_IN_PROGRESS -> CREATE_COMPLETE", "stack.deleting: CREATE_COMPLETE -> DELETE_IN_PROGRESS", "stack.deleted"]
    );
}

#[test]
fn a_deletion_is_concluded_also_by_an_agent_that_never_lives_for_a_minute() {
    let mut world = at_rest();
    world.happen(&Happening::Stack(Act::Delete));
    world.hint();
    for _ in 0..12 {
        world.pass(40_000);
        world.happen(&Happening::Crash);
    }
    assert_eq!(world.lines.iter().filter(|line| line.text == "stack.deleted").count(), 1);
    assert!(world.core.stacks[0].deleted);
}

#[test]
fn an_event_that_comes_before_the_host_knows_its_stack_makes_the_first_look_soon() {
    let mut first = Vec::new();
    for seed in 0..20 {
        let plan = Plan {
            hooks: vec![Arc::new(testing::hook("apply", vec![crate::plan::Trigger::Metadata]))],
            ..testing::plan(Vec::new(), Vec::new())
        };
        let plan = Plan { stack: crate::plan::Stack { stack_id: Some(STACK.to_owned()), region: Some("cn-hangzhou".to_owned()) }, ..plan };
        let mut world = World::new(plan, PLAIN, seed).alive(Life::new(true, Moves::Both));
        let begun = world.now.boot_ms;
        assert_eq!(arrive(&mut world, event("1")), Taken::CannotLook);
        world.pass(MINUTE);
        first.push(world.watched[0].1 - begun);
    }
    assert!(first.iter().all(|ms| *ms <= 15_000), "{first:?}");
}

#[test]
fn a_creation_that_is_over_before_the_first_look_is_told_all_the_same() {
    for seed in 0..40 {
        let signal = testing::signal("web", "WebReady", &["a"]);
        let plan = testing::plan(vec![signal], vec![testing::check("a")]);
        let mut world = World::new(plan, PLAIN, seed).alive(Life::new(true, Moves::Both));
        world.happen(&Happening::Truth(0, true));
        world.pass(2 * MINUTE);
        assert_eq!(world.life().status, "CREATE_COMPLETE");
        let told = world.lines.iter().filter(|line| line.text.starts_with("stack.created")).count();
        assert_eq!(told, 1, "seed {seed}: first look after {} ms", world.watched[0].1);
    }
}

#[test]
fn a_transition_is_handled_once_across_crashes() {
    let mut world = at_rest();
    for _ in 0..10 {
        world.happen(&Happening::Crash);
        world.pass(5 * MINUTE);
    }
    let created = |world: &World| world.lines.iter().filter(|line| line.text.starts_with("stack.created")).count();
    assert_eq!(created(&world), 1);
    world.pass(MINUTE);
    world.happen(&Happening::Stack(Act::Update));
    world.happen(&Happening::Crash);
    world.pass(MINUTE);
    assert_eq!(world.lines.iter().filter(|line| line.text.starts_with("stack.updating")).count(), 1, "a start looks soon");
}

#[test]
fn the_status_warns_where_events_cannot_come() {
    let mut plan = testing::plan(vec![testing::signal("web", "WebReady", &["a"])], vec![testing::check("a")]);
    let kind = crate::plan::SourceKind::Spool(crate::plan::SpoolSource { directory: "/var/spool/x".into() });
    plan.sources = vec![Arc::new(crate::plan::Source { name: Name::from("spool"), kind })];
    let mut world = World::new(plan, PLAIN, 7).alive(Life::new(true, Moves::Both));
    world.pass(MINUTE);
    assert_eq!(world.core.status().stacks[0].warnings, Vec::<String>::new());
    world.life().notifies = Some(false);
    world.pass(MINUTE);
    let view = world.core.status().stacks[0].clone();
    assert!(view.warnings[0].contains("`eventbridge` is not among its NotificationURLs"), "{:?}", view.warnings);
    assert_eq!(view.notifies_eventbridge, Some(false));
}

/// A host that signals nothing, and runs this hook.
fn hooks_only(hook: Hook) -> World {
    let mut plan = testing::plan(vec![], vec![]);
    plan.hooks = vec![Arc::new(hook)];
    World::new(plan, PLAIN, 7)
}

fn tell_of_updates() -> Hook {
    testing::hook("tell", vec![Trigger::Stack(Transition::Updating)])
}

#[test]
fn hooks_alone_follow_the_stack_of_the_host_also_where_its_tag_is_shown_late() {
    let mut world = hooks_only(tell_of_updates()).alive(Life::new(true, Moves::Both));
    world.life().status = "CREATE_COMPLETE";
    world.pass(30 * MINUTE);
    assert_eq!(world.watched.len(), 0);
    world.stack_id = Some(STACK.to_owned());
    world.pass(10 * MINUTE);
    assert!(!world.watched.is_empty(), "it is asked for until it is known");
    world.life().status = "UPDATE_IN_PROGRESS";
    world.pass(10 * MINUTE);
    assert_eq!(world.hook_runs.len(), 1);
}

#[test]
fn scenario_12_a_copy_of_a_host_that_only_runs_hooks_finds_out_that_it_is_another() {
    let mut world = hooks_only(tell_of_updates());
    world.stack_id = Some(STACK.to_owned());
    world.pass(30 * MINUTE);
    world.happen(&Happening::Copied(600));
    world.step(Input::Tick);
    world.pass(MINUTE);
    assert!(world.notes.iter().any(|note| note.contains("is set aside")), "{:?}", world.notes);
}

#[test]
fn metadata_that_a_failed_look_has_not_read_is_read_by_the_next_one() {
    let mut world = at_rest();
    world.life().metadata = Some("{}".to_owned());
    world.pass(10 * MINUTE);
    let mut plan = (**world.core.plan()).clone();
    plan.hooks = vec![Arc::new(testing::hook("apply", vec![Trigger::Metadata]))];
    world.step(Input::Replan(Arc::new(plan)));
    world.happen(&Happening::Looks(Looks::Failing));
    world.hint();
    world.pass(15_000);
    world.happen(&Happening::Looks(Looks::Answered));
    world.pass(20 * MINUTE);
    assert_eq!(world.core.stacks[0].metadata.len(), 1, "the state from which changes are told apart is known");
}

#[test]
fn a_hook_for_the_event_of_a_deletion_runs_also_where_the_stack_is_just_not_found_any_more() {
    let mut world = at_rest();
    let mut plan = (**world.core.plan()).clone();
    plan.hooks = vec![Arc::new(testing::hook("tell", vec![Trigger::Event("ros:StackStateChange:*".to_owned())]))];
    world.step(Input::Replan(Arc::new(plan)));
    world.life().gone = true;
    assert_eq!(arrive(&mut world, Event { status: Some("DELETE_COMPLETE".to_owned()), ..event("1") }), Taken::Look);
    world.pass(5 * MINUTE);
    assert_eq!((world.core.status().stacks[0].state.as_str(), world.hook_runs.len()), ("deleted", 1));
}
