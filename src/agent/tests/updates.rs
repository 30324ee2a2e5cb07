//! Stories about rounds of updates, and random lives of a stack (a quarter of the cases that `properties` says, for each is hours long).

use super::super::*;
use super::properties::cases;
use super::world::{Act, AfterCompletion, Disk, Happening, Life, Looks, Moves, Switches, Weather, World};
use crate::plan::{Resignal, UniqueIdStrategy, testing};
use crate::signal::{FIRST_ROUND, SignalStatus};
use proptest::prelude::*;

const PLAIN: Switches = Switches { tokens_replay_errors: true, after_completion: AfterCompletion::Ignored };
const MINUTE: BootMs = 60_000;

fn plan(resignal: Resignal) -> Plan {
    let mut signal = testing::signal("web", "WebReady", &["a"]);
    signal.condition = Some("Wait".to_owned());
    signal.resignal = resignal;
    testing::plan(vec![signal], vec![testing::check("a")])
}

/// A stack in `Increment` mode that is being created.
fn world(moves: Moves) -> World {
    World::new(plan(Resignal::OnUpdate), PLAIN, 7).alive(Life::new(true, moves))
}

/// Its creation has heard this host.
fn created(moves: Moves) -> World {
    let mut world = world(moves);
    world.happen(&Happening::Truth(0, true));
    world.pass(2 * MINUTE);
    assert_eq!((world.life().status, said(&mut world, 0)), ("CREATE_COMPLETE", vec![SignalStatus::Success]));
    world.pass(10 * MINUTE);
    world
}

fn update(world: &mut World) {
    world.happen(&Happening::Stack(Act::Update));
    world.happen(&Happening::Events(20));
    world.pass(10 * MINUTE);
}

/// An update begins, and the agent hears of it soon.
fn update_begins(world: &mut World) {
    world.happen(&Happening::Stack(Act::Update));
    world.hint();
}

/// What this operation has counted.
fn said(world: &mut World, operation: usize) -> Vec<SignalStatus> {
    world.life().told[operation].counted.iter().map(|(_, status)| *status).collect()
}

fn round(world: &World) -> (String, String) {
    let view = world.core.status().signals[0].clone();
    (view.round, view.state)
}

fn history(world: &World, text: &str) -> usize {
    world.core.history().iter().filter(|entry| entry.what.contains(text)).count()
}

#[test]
fn scenario_10_each_update_is_signalled_once_whenever_the_update_time_of_the_stack_moves() {
    for moves in [Moves::AtStart, Moves::AtEnd, Moves::Both, Moves::Between] {
        let mut world = created(moves);
        for operation in 1..=3 {
            update(&mut world);
            assert_eq!((world.life().status, said(&mut world, operation)), ("UPDATE_COMPLETE", vec![SignalStatus::Success]), "{moves:?}");
            let (name, state) = round(&world);
            assert!(name.starts_with("update-2026-01-02T03:") && state == "acknowledged", "{name} {state}");
            world.pass(30 * MINUTE);
        }
        assert_eq!(world.life().ids.len(), 4, "each round has an id of its own");
        assert_eq!(world.core.rounds.len(), 1, "older rounds are told by the history");
        assert!(world.life().told.iter().all(|told| told.stray == 0));
        world.judge_life();
    }
}

#[test]
fn scenario_10_with_resignal_never_an_update_hears_nothing() {
    let mut world = World::new(plan(Resignal::Never), PLAIN, 7).alive(Life::new(false, Moves::Both));
    world.happen(&Happening::Truth(0, true));
    world.pass(12 * MINUTE);
    update(&mut world);
    assert_eq!((world.life().status, world.life().ids.len()), ("UPDATE_COMPLETE", 1));
    assert_eq!(round(&world), (FIRST_ROUND.to_owned(), "acknowledged".to_owned()));
}

#[test]
fn an_import_with_a_condition_that_waits_is_a_round_too() {
    let mut world = created(Moves::Both);
    world.happen(&Happening::Stack(Act::Import));
    world.pass(10 * MINUTE);
    assert_eq!((world.life().status, said(&mut world, 1)), ("IMPORT_UPDATE_COMPLETE", vec![SignalStatus::Success]));
}

#[test]
fn a_host_that_an_update_has_made_does_not_signal_twice() {
    // It is started before the condition's turn comes, and after.
    for late in [0, 60_000] {
        let mut old = created(Moves::Both);
        old.happen(&Happening::Truth(0, false));
        old.happen(&Happening::Stack(Act::Update));
        old.pass(late);
        // Another host: nothing of an earlier time is known to it.
        old.instance = "i-another".to_owned();
        old.happen(&Happening::LoseLedger);
        old.happen(&Happening::Truth(0, true));
        old.pass(10 * MINUTE);
        assert_eq!(round(&old), (FIRST_ROUND.to_owned(), "acknowledged".to_owned()));
        assert_eq!((old.life().status, said(&mut old, 1).len()), ("UPDATE_COMPLETE", 1));
        update(&mut old);
        assert!(round(&old).0.starts_with("update-"), "the next one is its second");
    }
}

#[test]
fn a_round_begins_only_when_the_condition_itself_waits_and_its_checks_begin_anew() {
    let mut world = created(Moves::AtStart);
    update_begins(&mut world);
    world.pass(39_000);
    assert_eq!(round(&world).0, FIRST_ROUND, "the stack alone opens none");
    world.happen(&Happening::Truth(0, false));
    world.pass(MINUTE);
    let (name, state) = round(&world);
    assert!(name.starts_with("update-") && state == "pending", "{name} {state}");
    let opened = world.lines.iter().find(|line| line.what == "round").unwrap();
    assert!(opened.text.contains("begun: the stack is updated, 15m to decide"), "{}", opened.text);
    world.happen(&Happening::Truth(0, true));
    world.pass(MINUTE);
    assert_eq!(said(&mut world, 1), [SignalStatus::Success]);
}

#[test]
fn a_host_that_is_not_well_in_its_update_says_failure() {
    let mut world = created(Moves::Between);
    world.happen(&Happening::Truth(0, false));
    update(&mut world);
    world.pass(10 * MINUTE);
    assert_eq!((said(&mut world, 1), world.life().status), (vec![SignalStatus::Failure], "ROLLBACK_COMPLETE"));
}

#[test]
fn a_rollback_opens_no_round_and_settles_what_is_open() {
    let mut world = created(Moves::Both);
    world.happen(&Happening::Truth(0, false));
    update_begins(&mut world);
    world.pass(2 * MINUTE);
    let (name, state) = round(&world);
    assert_eq!(state, "pending");
    world.happen(&Happening::Stack(Act::Fail));
    world.pass(40_000);
    assert_eq!((world.life().status, round(&world)), ("ROLLBACK_IN_PROGRESS", (name.clone(), "not needed".to_owned())));
    world.happen(&Happening::Truth(0, true));
    world.pass(20 * MINUTE);
    assert_eq!((world.life().status, round(&world).0, said(&mut world, 1).len()), ("ROLLBACK_COMPLETE", name, 0));
    update(&mut world);
    assert_eq!(said(&mut world, 2), [SignalStatus::Success], "the stack lives on");
}

#[test]
fn what_is_owed_is_not_sent_into_a_rollback_nor_into_the_next_update() {
    let mut world = created(Moves::Both);
    world.happen(&Happening::Ros(Weather::Refused));
    update_begins(&mut world);
    world.pass(3 * MINUTE);
    let (owed, state) = round(&world);
    assert_eq!(state, "sending");
    // Nobody can look while it ends and the next one begins.
    world.happen(&Happening::Looks(Looks::Failing));
    world.happen(&Happening::Stack(Act::Finish));
    world.pass(20_000);
    world.happen(&Happening::Stack(Act::Update));
    world.pass(50_000);
    world.happen(&Happening::Ros(Weather::Fine));
    world.happen(&Happening::Looks(Looks::Answered));
    world.pass(5 * MINUTE);
    assert_ne!(round(&world).0, owed);
    assert_eq!(said(&mut world, 2), [SignalStatus::Success]);
    world.judge_life();
}

#[test]
fn a_deletion_settles_what_is_open_and_nobody_looks_any_more() {
    let mut world = created(Moves::Both);
    world.happen(&Happening::Stack(Act::Delete));
    world.pass(10 * MINUTE);
    let looks = world.watched.len();
    assert_eq!(world.core.status().stacks[0].state, "deleted");
    assert_eq!(history(&world, "was deleted"), 1);
    world.happen(&Happening::Events(40));
    world.pass(600 * MINUTE);
    world.happen(&Happening::Crash);
    world.pass(600 * MINUTE);
    assert!(world.watched.len() <= looks);
    assert_eq!((world.core.status().stacks[0].state.as_str(), history(&world, "was deleted")), ("deleted", 1));
}

#[test]
fn a_creation_that_failed_and_goes_on_takes_back_what_it_did_not_hear() {
    let mut world = world(Moves::Both);
    world.pass(MINUTE);
    world.happen(&Happening::Ros(Weather::Refused));
    world.happen(&Happening::Truth(0, true));
    world.pass(20_000);
    world.happen(&Happening::Stack(Act::Fail));
    world.pass(5 * MINUTE);
    let id = world.core.status().signals[0].unique_id.clone();
    assert_eq!((world.life().status, round(&world).1.as_str()), ("CREATE_FAILED", "not needed"));
    world.happen(&Happening::Ros(Weather::Fine));
    world.happen(&Happening::Stack(Act::Continue));
    world.pass(10 * MINUTE);
    assert_eq!((world.life().status, round(&world).1.as_str()), ("CREATE_COMPLETE", "acknowledged"));
    assert_eq!(world.core.status().signals[0].unique_id, id, "an intent goes on unaltered");
    assert_eq!(world.life().ids.len(), 1);
    update(&mut world);
    assert_eq!(said(&mut world, 1), [SignalStatus::Success]);
}

#[test]
fn a_signal_that_was_acknowledged_is_not_sent_again_when_the_creation_goes_on() {
    let mut world = world(Moves::Both);
    world.pass(MINUTE);
    world.happen(&Happening::Truth(0, true));
    world.pass(8_000);
    assert_eq!(round(&world).1, "acknowledged");
    world.happen(&Happening::Stack(Act::Fail));
    world.pass(5 * MINUTE);
    world.happen(&Happening::Stack(Act::Continue));
    world.pass(5 * MINUTE);
    assert_eq!((world.sent.len(), round(&world).1.as_str()), (1, "acknowledged"));
}

#[test]
fn scenario_09_without_permission_to_look_there_is_one_round_and_it_is_said_once() {
    let mut world = world(Moves::Both);
    world.happen(&Happening::Looks(Looks::Denied));
    world.happen(&Happening::Truth(0, true));
    world.pass(60 * MINUTE);
    assert_eq!(world.notes.iter().filter(|note| note.contains("cannot look whether the stack still waits")).count(), 1);
    update(&mut world);
    assert_eq!(round(&world), (FIRST_ROUND.to_owned(), "acknowledged".to_owned()));
    assert!(world.watched.len() <= 8, "once in ten minutes: {}", world.watched.len());
    let view = world.core.status().stacks[0].clone();
    assert_eq!(view.state, "not permitted");
    assert!(view.warnings[0].contains("ros:GetStack"), "{:?}", view.warnings);
}

#[test]
fn scenario_09_where_only_resources_may_not_be_read_the_stack_is_followed_without_new_rounds() {
    let mut world = world(Moves::Both);
    world.life().resources = false;
    world.happen(&Happening::Truth(0, true));
    world.pass(12 * MINUTE);
    update(&mut world);
    assert_eq!(round(&world), (FIRST_ROUND.to_owned(), "acknowledged".to_owned()));
    let view = world.core.status().stacks[0].clone();
    assert_eq!(view.state, "watched");
    assert!(view.warnings[0].starts_with("resources of the stack may not be read"), "{:?}", view.warnings);
    assert_eq!(world.notes.iter().filter(|note| note.contains("updates are not signalled again")).count(), 1);
}

#[test]
fn an_update_that_was_slept_through_costs_nothing_and_the_next_one_is_heard() {
    let mut world = created(Moves::AtEnd);
    world.happen(&Happening::Looks(Looks::Failing));
    world.happen(&Happening::Stack(Act::Update));
    world.pass(3 * MINUTE);
    world.happen(&Happening::Stack(Act::Finish));
    world.pass(MINUTE);
    world.happen(&Happening::Looks(Looks::Answered));
    world.pass(40 * MINUTE);
    assert_eq!((said(&mut world, 1).len(), round(&world).0), (0, FIRST_ROUND.to_owned()));
    update(&mut world);
    assert_eq!(said(&mut world, 2), [SignalStatus::Success]);
}

#[test]
fn a_signal_that_is_to_be_sent_on_updates_from_now_on_begins_with_the_next_one() {
    let mut world = World::new(plan(Resignal::Never), PLAIN, 7).alive(Life::new(true, Moves::Both));
    world.happen(&Happening::Truth(0, true));
    world.pass(12 * MINUTE);
    world.step(Input::Replan(Arc::new(plan(Resignal::OnUpdate))));
    world.pass(12 * MINUTE);
    assert_eq!(round(&world), (FIRST_ROUND.to_owned(), "acknowledged".to_owned()));
    update(&mut world);
    assert_eq!(said(&mut world, 1), [SignalStatus::Success]);
    world.step(Input::Replan(Arc::new(plan(Resignal::Never))));
    update(&mut world);
    assert_eq!(said(&mut world, 2), []);
}

#[test]
fn an_update_that_begins_just_after_a_signal_was_made_to_be_sent_again_is_heard() {
    let mut world = World::new(plan(Resignal::Never), PLAIN, 7).alive(Life::new(true, Moves::Both));
    world.happen(&Happening::Truth(0, true));
    world.pass(12 * MINUTE);
    world.step(Input::Replan(Arc::new(plan(Resignal::OnUpdate))));
    update(&mut world);
    assert_eq!(said(&mut world, 1), [SignalStatus::Success]);
}

#[test]
fn a_host_whose_first_signal_nobody_waited_for_is_heard_by_an_update_that_begins_before_it_was_looked_at() {
    let mut world = created(Moves::Both);
    for host in 0..20 {
        world.instance = format!("i-late{host}");
        world.happen(&Happening::LoseLedger);
        for _ in 0..120 {
            if round(&world).1 != "not needed" {
                world.pass(100);
            }
        }
        if world.watched.is_empty() {
            break;
        }
    }
    assert_eq!((round(&world).1.as_str(), world.watched.len()), ("not needed", 0), "settled by the look before its send");
    world.happen(&Happening::Looks(Looks::Failing));
    world.happen(&Happening::Stack(Act::Update));
    world.pass(MINUTE);
    world.happen(&Happening::Looks(Looks::Answered));
    world.pass(10 * MINUTE);
    assert_eq!(said(&mut world, 1), [SignalStatus::Success]);
}

#[test]
fn requests_of_two_rounds_never_share_a_token_even_where_they_share_an_id() {
    let mut plan = plan(Resignal::OnUpdate);
    let mut signal = (*plan.signals[0]).clone();
    signal.unique_id = UniqueIdStrategy::Integer(3);
    plan.signals[0] = Arc::new(signal);
    let mut world = World::new(plan, PLAIN, 7).alive(Life::new(true, Moves::Both));
    world.happen(&Happening::Truth(0, true));
    world.pass(12 * MINUTE);
    update(&mut world);
    assert_eq!(said(&mut world, 1), [SignalStatus::Success]);
    assert_ne!(world.sent[0].client_token, world.sent[1].client_token);
}

fn lives() -> impl Strategy<Value = Vec<(u32, Happening)>> {
    let act = prop_oneof![
        6 => Just(Act::Update), 1 => Just(Act::Import), 1 => Just(Act::Fail), 2 => Just(Act::Finish), 2 => Just(Act::Continue),
    ];
    let happening = prop_oneof![
        8 => act.prop_map(Happening::Stack),
        3 => Just(Happening::Wait),
        4 => Just(Happening::Crash),
        1 => prop_oneof![Just(0i64), Just(3_600), -100i64..100].prop_map(Happening::Reboot),
        3 => (1u8..30).prop_map(Happening::Events),
        2 => prop_oneof![Just(Disk::Works), Just(Disk::Hangs)].prop_map(Happening::Disk),
        3 => prop_oneof![2 => Just(Weather::Fine), 1 => Just(Weather::Refused), 1 => Just(Weather::ResetAfter), 1 => Just(Weather::Throttled)]
            .prop_map(Happening::Ros),
        3 => prop_oneof![3 => Just(Looks::Answered), 1 => Just(Looks::Failing), 1 => Just(Looks::Denied)].prop_map(Happening::Looks),
        5 => prop::bool::weighted(0.8).prop_map(|healthy| Happening::Truth(0, healthy)),
        1 => any::<bool>().prop_map(Happening::Hold),
        1 => Just(Happening::Stop),
        1 => Just(Happening::Reload),
    ];
    prop::collection::vec((0u32..200_000, happening), 0..40)
}

fn moves() -> impl Strategy<Value = Moves> {
    prop_oneof![Just(Moves::AtStart), Just(Moves::AtEnd), Just(Moves::Both), Just(Moves::Between)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases().div_ceil(4), failure_persistence: None, max_shrink_iters: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn every_life_of_a_stack_hears_this_host_at_most_once_in_each_operation_and_the_last_one_exactly_once(
        history in lives(),
        increment in prop::bool::weighted(0.8),
        moves in moves(),
        crash in 0u32..200_000,
        seed in any::<u64>(),
        deleted in prop::bool::weighted(0.2),
    ) {
        let resignal = if increment { Resignal::OnUpdate } else { Resignal::Never };
        let mut world = World::new(plan(resignal), PLAIN, seed).alive(Life::new(increment, moves));
        for (after, happening) in &history {
            world.pass(i64::from(*after));
            world.happen(happening);
        }
        world.happen(&Happening::Looks(Looks::Answered));
        world.happen(&Happening::Truth(0, true));
        world.heal();
        world.judge_life();
        // Whatever was: everything works now, and the stack comes to rest.
        for _ in 0..4 {
            world.happen(&Happening::Stack(Act::Continue));
            world.pass(40 * MINUTE);
        }
        if deleted {
            world.happen(&Happening::Stack(Act::Delete));
            world.pass(40 * MINUTE);
            prop_assert_eq!(world.core.status().stacks[0].state.clone(), "deleted".to_owned());
            prop_assert!(world.core.rounds.iter().all(|active| active.round.settled.is_some()));
        } else if world.life().status != "CREATE_FAILED" {
            world.happen(&Happening::Stack(Act::Update));
            world.pass(i64::from(crash));
            world.happen(&Happening::Crash);
            world.pass(12 * MINUTE);
            let told = world.life().told.last().unwrap().clone();
            prop_assert_eq!(world.life().status, "UPDATE_COMPLETE");
            prop_assert_eq!(told.counted.len(), usize::from(increment), "{:?}: {:?}", told, world.core.status().signals[0]);
            prop_assert_eq!(told.stray, 0);
        }
        world.judge_life();
    }
}
