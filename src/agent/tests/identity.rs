//! Copies of a running machine: they resume without a boot, and what shows is that time has jumped.

use super::super::*;
use super::properties::{cases, plans};
use super::world::{AfterCompletion, Happening, INSTANCE, Looks, Switches, World};
use crate::clock::Moment;
use crate::plan::{NameSource, testing};
use crate::signal::SignalStatus;
use proptest::prelude::*;

const PLAIN: Switches = Switches { tokens_replay_errors: true, after_completion: AfterCompletion::Ignored };

fn world() -> World {
    World::new(testing::plan(vec![testing::signal("web", "WebReady", &["a"])], vec![testing::check("a")]), PLAIN, 7)
}

#[test]
fn scenario_13_a_copy_whose_clock_has_jumped_asks_who_it_is_before_it_decides_anything() {
    let mut world = world();
    world.happen(&Happening::Truth(0, true));
    world.pass(3_000);
    world.happen(&Happening::Copied(3_600));
    world.pass(60_000);
    assert!(world.notes.iter().any(|note| note == "the system clock was set: the instance id is asked for again"), "{:?}", world.notes);
    assert_eq!(world.core.instance_id(), Some("i-copy1"));
    let ids = &world.intents["web"];
    assert_eq!(ids.len(), 1, "the copy alone has decided: {ids:?}");
}

#[test]
fn scenario_13_a_host_that_was_suspended_asks_who_it_is_at_once() {
    let mut world = world();
    world.pass(3_000);
    let turn = Turn { now: Moment { boot_ms: 23_000, wall_ms: 1_790_000_003_000 }, dice: 5 };
    let effects = world.core.step(turn, Input::Resumed);
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Identify)), "{effects:?}");
    assert_eq!(world.core.status().instance_id, None, "nobody is told an id that may be another's");
    let command = Command::Signal { resource: "WebReady".into(), status: SignalStatus::Success, reason: String::new() };
    let effects = world.core.step(turn, Input::Command { id: 9, command });
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Reply { reply: Err(_), .. })), "{effects:?}");
    let same = Identity {
        instance_id: INSTANCE.to_owned(),
        region: Some("cn-hangzhou".to_owned()),
        stack_id: None,
        names: vec![(NameSource::InstanceName, "web-007".to_owned())],
    };
    world.core.step(turn, Input::Identified(Ok(same)));
    assert_eq!(world.core.status().instance_id.as_deref(), Some(INSTANCE));
}

#[test]
fn scenario_14_a_clock_that_is_set_at_boot_does_no_harm_even_without_the_metadata_service() {
    let mut world = world();
    world.pass(1_000);
    world.happen(&Happening::Metadata(false));
    world.happen(&Happening::Truth(0, true));
    world.happen(&Happening::WallJump(86_400 * 365));
    world.pass(10_000);
    assert_eq!(world.core.status().signals[0].state, "acknowledged");
    world.judge();
}

#[test]
fn a_clock_that_is_slewed_is_not_a_jump() {
    let mut world = world();
    for _ in 0..20 {
        world.pass(1_000);
        let turn = Turn { now: Moment { boot_ms: world.core.now() + 10, wall_ms: world.core.turn.now.wall_ms + 1_500 }, dice: 1 };
        let effects = world.core.step(turn, Input::Tick);
        assert!(!effects.iter().any(|effect| matches!(effect, Effect::Identify)), "{effects:?}");
    }
}

/// What happens between two moments: the machine is copied with a jump, the clock alone is set, or a check turns.
fn histories() -> impl Strategy<Value = Vec<(u32, Happening)>> {
    let jump = prop_oneof![-90_000i64..-3, 3i64..90_000];
    let happening = prop_oneof![
        2 => jump.clone().prop_map(Happening::Copied),
        1 => jump.prop_map(Happening::WallJump),
        4 => (0usize..3, prop::bool::weighted(0.8)).prop_map(|(check, healthy)| Happening::Truth(check, healthy)),
        1 => (0usize..3).prop_map(|check| Happening::Terminal(check, true)),
        1 => prop_oneof![Just(SignalStatus::Success), Just(SignalStatus::Failure)].prop_map(Happening::ByHand),
        1 => Just(Happening::Crash),
    ];
    prop::collection::vec((0u32..30_000, happening), 1..20)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, max_shrink_iters: 4_000, ..ProptestConfig::default() })]

    #[test]
    fn scenario_13_nothing_is_decided_under_an_old_identity_after_a_noticed_jump(plan in plans(), history in histories(), seed in any::<u64>()) {
        let mut world = World::new(plan, PLAIN, seed);
        world.happen(&Happening::Looks(Looks::Denied));
        world.judging_identity = true;
        for (after, happening) in &history {
            world.pass(i64::from(*after));
            world.happen(happening);
        }
        world.pass(200_000);
        prop_assert_eq!(world.core.instance_id(), Some(world.instance.as_str()));
    }
}
