//! Stories about what stands beside the main way: the template, the looks after the acknowledgement, and ids made of names.

use super::super::*;
use super::world::{AfterCompletion, Happening, Looks, Switches, Teaching, Weather, World};
use crate::plan::{Confirm, NameSource, Signal, UniqueIdStrategy, testing};
use crate::signal::SignalStatus;

const HOUR: i64 = 3_600_000;

/// One signal with one check, as `change` has it.
fn world(change: impl Fn(&mut Signal)) -> World {
    let mut signal = testing::signal("web", "WebReady", &["a"]);
    signal.deadline_given = false;
    change(&mut signal);
    World::new(
        testing::plan(vec![signal], vec![testing::check("a")]),
        Switches { tokens_replay_errors: true, after_completion: AfterCompletion::Ignored },
        7,
    )
}

fn view(world: &World) -> status::SignalStatusView {
    world.core.status().signals[0].clone()
}

fn taught(timeout_s: i64, left_ms: Option<i64>) -> Happening {
    Happening::Template(Teaching::Taught { timeout_s, left_ms })
}

fn noted(world: &World, text: &str) -> usize {
    world.notes.iter().filter(|note| note.contains(text)).count()
}

#[test]
fn scenario_11_the_deadline_follows_the_timeout_of_the_template() {
    let mut world = world(|_| {});
    world.happen(&taught(3_600, Some(3_000_000)));
    world.pass(1_000_000);
    let waiting = view(&world);
    assert_eq!((waiting.state.as_str(), waiting.deadline_from.as_deref()), ("pending", Some("template")), "15 minutes are over");
    world.pass(1_938_000);
    assert_eq!(view(&world).state, "pending", "{:?}", view(&world));
    world.pass(5_000);
    let said = view(&world);
    assert_eq!(said.verdict, Some(SignalStatus::Failure));
    assert!(said.reason.unwrap().starts_with("the time that the template's Timeout leaves was up 49m"));
}

#[test]
fn more_time_for_the_checks_never_brings_a_learned_decision_forward() {
    let mut world = world(|_| {});
    world.happen(&taught(600, Some(40_000)));
    world.pass(5_000);
    let core = &mut world.core;
    let plain = core.timers(&core.rounds[0]).unwrap();
    assert!(plain.from_template);
    core.rounds[0].extended = Some(core.now());
    let extended = core.timers(&core.rounds[0]).unwrap();
    assert_eq!((extended.decide_by, extended.last), (plain.decide_by, plain.last));
}

#[test]
fn scenario_6_a_stack_that_waits_for_less_than_the_usual_deadline_still_hears_a_failure() {
    let mut world = world(|_| {});
    world.happen(&taught(600, Some(240_000)));
    world.pass(184_000);
    assert_eq!(view(&world).verdict, Some(SignalStatus::Failure), "60s before the stack gives up");
    let report = world.reports.first().unwrap();
    assert!(
        report.contains("  3m2s from the start of the round, by the Timeout in the template: ran out, ") && !report.contains("deadline = "),
        "{report}"
    );
}

#[test]
fn a_deadline_that_is_written_is_not_moved_but_one_that_comes_too_late_is_told() {
    let mut world = world(|signal| signal.deadline_given = true);
    world.happen(&taught(600, Some(240_000)));
    world.pass(300_000);
    let waiting = view(&world);
    assert_eq!((waiting.state.as_str(), waiting.deadline_from.as_deref()), ("pending", Some("configured")));
    let told = "`deadline` - `margin` is 14m 30s after the start of the round, but the stack waits until 4m";
    assert!(waiting.warnings[0].starts_with(told), "{:?}", waiting.warnings);
    assert_eq!(noted(&world, told), 1);
}

#[test]
fn what_was_learned_survives_a_crash_and_is_asked_again_only_after_a_reboot() {
    let mut world = world(|_| {});
    world.happen(&taught(3_600, Some(3_000_000)));
    world.pass(60_000);
    world.step(Input::Tick);
    let before = view(&world).decides_within_ms.unwrap();
    world.happen(&Happening::Crash);
    world.pass(60_000);
    world.step(Input::Tick);
    assert_eq!((view(&world).decides_within_ms, world.asked.0.len()), (Some(before - 60_000), 1));
    world.happen(&taught(3_600, Some(2_000_000)));
    world.happen(&Happening::Reboot(0));
    world.pass(10_000);
    assert_eq!(world.asked.0.len(), 2);
    assert!(view(&world).decides_within_ms.unwrap() < 1_940_000);
}

#[test]
fn scenario_9_a_template_that_may_not_be_read_is_said_once_and_asked_for_once_an_hour() {
    let mut world = world(|signal| signal.deadline = std::time::Duration::from_secs(9 * 3_600));
    world.pass(HOUR - 60_000);
    assert_eq!(world.asked.0.len(), 1);
    world.pass(3 * HOUR);
    assert_eq!((world.asked.0.len(), noted(&world, "the template of the stack may not be read")), (4, 1));
}

#[test]
fn a_template_that_cannot_be_read_names_the_keys_to_set_and_a_failure_is_repeated_slowly() {
    let mut world = world(|_| {});
    world.happen(&Happening::Template(Teaching::Failing));
    world.pass(50_000);
    world.happen(&Happening::Template(Teaching::Unreadable));
    world.pass(400_000);
    assert!(world.asked.0.windows(2).all(|pair| pair[1] - pair[0] >= 30_000), "{:?}", world.asked.0);
    assert_eq!(noted(&world, "hint: write `mode` and `count` of the handle, `condition` and `deadline` under [signal.web]"), 1);
    let asked = world.asked.0.len();
    world.pass(HOUR);
    assert_eq!(world.asked.0.len(), asked, "never again");
}

#[test]
fn without_poll_nothing_is_asked_beside_the_main_way() {
    let signal = testing::signal("web", "WebReady", &["a"]);
    let mut plan = testing::plan(vec![signal], vec![testing::check("a")]);
    plan.ros.poll = false;
    let mut world = World::new(plan, Switches { tokens_replay_errors: true, after_completion: AfterCompletion::Ignored }, 7);
    world.happen(&Happening::Truth(0, true));
    world.pass(HOUR);
    assert_eq!((view(&world).state.as_str(), world.asked), ("acknowledged", (Vec::new(), Vec::new())));
}

#[test]
fn an_acknowledged_signal_is_confirmed_as_counted() {
    let mut world = world(|_| {});
    world.happen(&Happening::Truth(0, true));
    world.pass(9_000);
    let accepted = view(&world);
    assert_eq!((accepted.state.as_str(), accepted.confirmed.as_deref()), ("acknowledged", Some("pending")));
    world.pass(15_000);
    let counted = view(&world);
    assert_eq!((counted.confirmed.as_deref(), counted.detail.as_str()), (Some("counted"), "SUCCESS acknowledged, confirmed: counted"));
    assert!(world.core.history().iter().any(|entry| entry.what == "confirmed: counted: Wait has this signal"));
    world.pass(24 * HOUR);
    assert_eq!(world.asked.1.len(), 1, "then nobody looks any more");
}

#[test]
fn a_confirmation_survives_a_crash() {
    let mut world = world(|_| {});
    world.happen(&Happening::Truth(0, true));
    world.pass(9_000);
    world.happen(&Happening::Crash);
    world.pass(61_000);
    assert_eq!(view(&world).confirmed.as_deref(), Some("counted"));
}

#[test]
fn a_signal_that_is_not_counted_is_told_and_not_sent_again() {
    let mut world = world(|_| {});
    world.happen(&Happening::Looks(Looks::Denied));
    world.another_host_signals();
    world.happen(&Happening::Truth(0, true));
    world.pass(9_000);
    world.happen(&Happening::Looks(Looks::Answered));
    world.pass(HOUR);
    let missing = view(&world);
    assert_eq!((missing.state.as_str(), missing.confirmed.as_deref(), missing.attempts), ("acknowledged", Some("not counted yet"), 1));
    assert_eq!(noted(&world, "acknowledged, but not counted: Wait does not show this signal; it is not sent again"), 1);
}

#[test]
fn the_looks_are_spread_and_end() {
    let mut world = world(|_| {});
    world.happen(&Happening::Truth(0, true));
    world.pass(9_000);
    world.happen(&Happening::Looks(Looks::Busy));
    world.pass(48 * HOUR);
    assert_eq!(view(&world).confirmed.as_deref(), Some("unknown"));
    let looks = &world.asked.1;
    assert_eq!(looks.len(), 64);
    assert!(looks[63] - looks[0] > 10 * HOUR, "as long as a condition can wait");
    let waits: Vec<_> = looks.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(
        waits.iter().all(|wait| (10_000..=16 * 60_000).contains(wait)) && waits.iter().skip(6).all(|wait| *wait >= 600_000),
        "{waits:?}"
    );
}

#[test]
fn scenario_9_confirmation_that_is_not_permitted_is_loud_only_where_it_was_asked_for() {
    for (confirm, confirmed, told) in [(Confirm::Auto, Some("unknown"), 0), (Confirm::On, Some("pending"), 1), (Confirm::Off, None, 0)] {
        let mut world = world(|signal| signal.confirm = confirm);
        world.happen(&Happening::Looks(Looks::Denied));
        world.happen(&Happening::Truth(0, true));
        world.pass(HOUR);
        let said = view(&world);
        assert_eq!((said.state.as_str(), said.confirmed.as_deref()), ("acknowledged", confirmed), "{confirm:?}");
        assert_eq!(noted(&world, "it is not known whether the signal was counted (confirm = \"on\")"), told);
    }
}

#[test]
fn nothing_beside_the_main_way_holds_up_a_stop() {
    let mut world = world(|_| {});
    world.happen(&Happening::Truth(0, true));
    world.pass(9_000);
    world.step(Input::Stop);
    assert!(!world.core.is_busy());
    world.pass(60_000);
    assert!(world.asked.1.is_empty(), "it does not look while it stops");
}

#[test]
fn scenario_40_a_group_member_takes_its_number_from_its_name() {
    let mut named = world(|signal| signal.unique_id = UniqueIdStrategy::IntegerOf(NameSource::InstanceName));
    named.happen(&Happening::Truth(0, true));
    named.pass(9_000);
    assert_eq!(view(&named).unique_id.as_deref(), Some("7"), "of web-007");
    let mut nameless = world(|signal| signal.unique_id = UniqueIdStrategy::IntegerOf(NameSource::Hostname));
    nameless.happen(&Happening::Truth(0, true));
    nameless.pass(9_000);
    assert_eq!(view(&nameless).unique_id.map(|id| id.len()), Some(36), "a derived one");
    assert_eq!(noted(&nameless, "needs that name, which the metadata service does not tell; a derived id is used instead"), 1);
}

#[test]
fn a_refused_signal_is_not_looked_for() {
    let mut world = world(|_| {});
    world.happen(&Happening::Ros(Weather::Permission));
    world.happen(&Happening::Truth(0, true));
    world.pass(HOUR);
    assert_eq!((view(&world).state.as_str(), world.asked.1.len()), ("sending", 0));
}

#[test]
fn a_ledger_of_an_agent_that_knew_neither_template_nor_confirmation_is_read() {
    let old = r#"{"format":1,"generation":3,"rounds":[{"signal":"web","name":"first","resource":"WebReady",
        "started":{"boot_id":"b","boot_ms":1,"wall_ms":1790000000000},"series":0,"settled":{"how":"silent","at_ms":1}}]}"#;
    let document: LedgerDocument = serde_json::from_str(old).unwrap();
    assert_eq!((&document.rounds[0].learned, &document.rounds[0].confirmation), (&None, &None));
    assert!(!serde_json::to_string(&document).unwrap().contains("learned"));
}
