//! Stories about the core, told step by step.

use super::super::*;
use super::world::{AfterCompletion, Disk, Happening, INSTANCE, Looks, Switches, Weather, World};
use crate::check::{Health, Observation};
use crate::clock::Moment;
use crate::plan::{Check, Composite, OnUnwritable, Rule, UniqueIdStrategy, testing};
use crate::signal::SignalStatus;

fn plain_plan() -> Plan {
    testing::plan(vec![testing::signal("web", "WebReady", &["a"])], vec![testing::check("a")])
}

const PLAIN: Switches = Switches { tokens_replay_errors: true, after_completion: AfterCompletion::Ignored };

fn at(ms: i64) -> Turn {
    Turn { now: Moment { boot_ms: 20_000 + ms, wall_ms: 1_790_000_000_000 + ms }, dice: 1 }
}

fn world(plan: Plan) -> World {
    World::new(plan, PLAIN, 7)
}

fn state(world: &World) -> String {
    world.core.status().signals[0].state.clone()
}

#[test]
fn a_healthy_host_signals_success_soon_after_min_healthy_time() {
    let mut world = world(plain_plan());
    world.happen(&Happening::Truth(0, true));
    world.pass(8_000);
    assert_eq!(world.core.status().signals[0].verdict, Some(SignalStatus::Success));
    assert_eq!(state(&world), "acknowledged");
    world.judge();
}

#[test]
fn scenario_1_status_says_what_is_waited_for_and_for_how_long() {
    let mut world = world(plain_plan());
    world.pass(10_000);
    let status = world.core.status();
    assert!(status.summary.starts_with("web: 0/1 checks passing, waiting for a (critical: seen), 14m20s left"), "{}", status.summary);
    world.happen(&Happening::Truth(0, true));
    world.happen(&Happening::Ros(Weather::Permission));
    world.pass(10_000);
    let status = world.core.status();
    assert!(status.summary.contains("SUCCESS decided, sending, attempt 1 (Permission Forbidden.RAM [Permission]"), "{}", status.summary);
}

#[test]
fn scenario_2_sending_goes_on_until_ros_acknowledges_however_long_it_takes() {
    let mut world = world(plain_plan());
    world.happen(&Happening::Truth(0, true));
    world.happen(&Happening::Ros(Weather::Refused));
    world.pass(6 * 3600 * 1000);
    assert_eq!(state(&world), "sending");
    world.happen(&Happening::Ros(Weather::Fine));
    world.pass(61_000);
    assert_eq!(state(&world), "acknowledged");
}

#[test]
fn sending_ends_at_give_up() {
    let mut world = world(plain_plan());
    world.happen(&Happening::Truth(0, true));
    world.happen(&Happening::Ros(Weather::Refused));
    world.pass(13 * 3600 * 1000);
    assert_eq!(state(&world), "given up");
}

#[test]
fn scenario_7_an_intent_survives_a_crash_between_record_and_receipt() {
    let mut world = world(plain_plan());
    world.happen(&Happening::Truth(0, true));
    world.happen(&Happening::Looks(Looks::Denied));
    world.happen(&Happening::Ros(Weather::ResetAfter));
    world.pass(7_000);
    assert_eq!(state(&world), "sending");
    world.happen(&Happening::Truth(0, false));
    world.happen(&Happening::Crash);
    world.happen(&Happening::Ros(Weather::Fine));
    world.pass(1_000);
    assert_eq!(state(&world), "acknowledged");
    assert_eq!(world.intents["web"].len(), 1, "the intent was never changed");
    world.judge();
}

#[test]
fn scenario_8_a_stack_that_waits_no_more_settles_the_intent_as_not_needed() {
    let mut world = world(plain_plan());
    world.happen(&Happening::Truth(0, true));
    world.happen(&Happening::Ros(Weather::ResetAfter));
    world.pass(30_000);
    assert_eq!(state(&world), "not needed");
    assert_eq!(world.core.status().signals[0].detail, "not needed, the stack is CREATE_COMPLETE");
}

#[test]
fn scenario_12_a_cloned_image_sets_the_old_ledger_aside_and_begins_its_own_round() {
    let document = LedgerDocument { instance_id: Some("i-golden-image".into()), generation: 9, ..LedgerDocument::empty() };
    let now = Moment { boot_ms: 1_000, wall_ms: 1_790_000_000_000 };
    let mut core = Core::new(Arc::new(plain_plan()), Arc::from("b"), document, Turn { now, dice: 1 });
    core.step(Turn { now, dice: 2 }, Input::Tick);
    let identity = Identity { instance_id: "i-clone".into(), region: None, stack_id: None, names: Vec::new() };
    let effects = core.step(Turn { now: now.plus(std::time::Duration::from_millis(50)), dice: 3 }, Input::Identified(Ok(identity)));
    let set_aside = effects.iter().position(|effect| matches!(effect, Effect::SetAside { owner } if owner == "i-golden-image"));
    let record =
        effects.iter().position(|effect| matches!(effect, Effect::Record(document) if document.instance_id.as_deref() == Some("i-clone")));
    assert!(set_aside.is_some() && set_aside < record, "{effects:?}");
    assert_eq!(core.rounds[0].started, 1_000, "the clone's round began when the agent started on it");
}

#[test]
fn scenario_13_a_copy_of_a_running_machine_drops_what_the_original_decided() {
    let mut world = world(plain_plan());
    world.happen(&Happening::Truth(0, true));
    world.happen(&Happening::Ros(Weather::Refused));
    world.pass(10_000);
    let now = Moment { boot_ms: 60_000, wall_ms: 1_790_000_040_000 };
    let identity = Identity { instance_id: "i-copy".into(), region: None, stack_id: None, names: Vec::new() };
    let effects = world.core.step(Turn { now, dice: 9 }, Input::Identified(Ok(identity)));
    assert!(effects.iter().any(|effect| matches!(effect, Effect::SetAside { owner } if owner == INSTANCE)), "{effects:?}");
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Look { .. } | Effect::Send { .. })), "{effects:?}");
    assert_eq!((state(&world).as_str(), world.core.rounds[0].started), ("pending", 60_000));
}

#[test]
fn scenario_12_nothing_is_sent_under_an_unknown_identity() {
    let mut world = world(plain_plan());
    world.happen(&Happening::Metadata(false));
    world.happen(&Happening::Crash);
    world.happen(&Happening::Truth(0, true));
    world.pass(60_000);
    assert_eq!(state(&world), "pending");
    let summary = world.core.summary();
    assert!(summary.contains("identity unknown (the metadata service does not answer)"), "{summary}");
    assert!(summary.contains("1/1 checks passing, healthy, but which instance this is is not known, "), "{summary}");
    world.happen(&Happening::Metadata(true));
    world.pass(61_000);
    assert_eq!(state(&world), "acknowledged");
}

#[test]
fn a_ledger_that_cannot_be_written_is_said_loudly_and_does_not_silence_a_derived_id() {
    for disk in [Disk::Refuses, Disk::Hangs] {
        let mut world = world(plain_plan());
        world.happen(&Happening::Disk(disk));
        world.happen(&Happening::Truth(0, true));
        world.pass(20_000);
        assert_eq!(state(&world), "acknowledged", "{disk:?}");
        assert!(world.core.status().not_durable.is_some());
    }
}

#[test]
fn a_ledger_that_cannot_be_written_holds_random_ids_and_everything_when_so_configured() {
    let mut random = plain_plan();
    let mut signal = testing::signal("web", "WebReady", &["a"]);
    signal.unique_id = UniqueIdStrategy::Random;
    random.signals = vec![Arc::new(signal)];
    let mut hold = plain_plan();
    hold.on_unwritable = OnUnwritable::Hold;
    for plan in [random, hold] {
        let mut world = world(plan);
        world.happen(&Happening::Disk(Disk::Refuses));
        world.happen(&Happening::Truth(0, true));
        world.pass(60_000);
        assert_eq!(state(&world), "sending");
        world.happen(&Happening::Disk(Disk::Works));
        world.pass(61_000);
        assert_eq!(state(&world), "acknowledged");
    }
}

#[test]
fn a_deadline_that_passed_while_the_host_was_off_gives_the_checks_one_more_margin() {
    let mut world = world(plain_plan());
    world.pass(10_000);
    world.happen(&Happening::Reboot(3_600));
    world.pass(2_000);
    assert_eq!(state(&world), "pending");
    world.happen(&Happening::Truth(0, true));
    world.pass(10_000);
    assert_eq!(world.core.status().signals[0].verdict, Some(SignalStatus::Success));
    let mut late = self::world(plain_plan());
    late.pass(10_000);
    late.happen(&Happening::Reboot(3_600));
    late.pass(31_000);
    assert_eq!(late.core.status().signals[0].verdict, Some(SignalStatus::Failure), "one margin, not more");
}

#[test]
fn a_deadline_that_passed_while_the_agent_was_stopped_or_the_host_suspended_gives_the_checks_one_more_margin() {
    for (healthy, input, verdict) in [
        (true, Input::Tick, SignalStatus::Success),
        (true, Input::Resumed, SignalStatus::Success),
        (false, Input::Tick, SignalStatus::Failure),
    ] {
        let mut world = world(plain_plan());
        world.pass(10_000);
        world.now = world.now.plus(std::time::Duration::from_secs(3 * 3_600));
        world.step(input);
        assert_eq!(state(&world), "pending", "nothing was seen for three hours");
        world.happen(&Happening::Truth(0, healthy));
        world.pass(31_000);
        assert_eq!(world.core.status().signals[0].verdict, Some(verdict));
    }
}

#[test]
fn what_was_seen_before_the_agent_was_stopped_is_no_part_of_min_healthy_time() {
    let mut world = world(plain_plan());
    world.happen(&Happening::Truth(0, true));
    world.pass(3_000);
    world.now = world.now.plus(std::time::Duration::from_secs(60));
    world.step(Input::Tick);
    world.pass(4_000);
    assert_eq!(state(&world), "pending", "four seconds of five");
    world.pass(4_000);
    assert_eq!(state(&world), "acknowledged");
    world.judge();
}

#[test]
fn what_was_seen_before_a_stop_proves_nothing_even_if_its_result_comes_after_it_and_before_any_deadline() {
    let mut core = Core::new(Arc::new(plain_plan()), Arc::from("b"), LedgerDocument::empty(), at(0));
    let begun =
        |effects: Vec<Effect>| effects.iter().find_map(|effect| if let Effect::Probe { run, .. } = effect { Some(*run) } else { None });
    let seen = |run| Input::Observed { run, observation: Observation::new(Health::Passing, "seen") };
    let identity = Identity { instance_id: INSTANCE.into(), region: Some("cn-hangzhou".into()), stack_id: None, names: Vec::new() };
    core.step(at(0), Input::Tick);
    let (mut now, mut flying) = (10, begun(core.step(at(10), Input::Identified(Ok(identity)))));
    // Until a run is in flight when five seconds of health are over.
    while now < 7_000 || flying.is_none() {
        assert_eq!(core.status().signals[0].verdict, None);
        let healthy_for = core.checks["a"].state.healthy_since().map_or(0, |since| 20_000 + now - since);
        match flying.take() {
            Some(run) if healthy_for < 4_500 => {
                now += 50;
                core.step(at(now), seen(run));
            }
            Some(run) => {
                now += 1_000;
                core.step(at(now), Input::Tick);
                flying = Some(run);
            }
            None => {
                now = core.wake().unwrap() - 20_000;
                flying = begun(core.step(at(now), Input::Tick));
            }
        }
    }
    core.step(at(120_000), seen(flying.unwrap()));
    assert_eq!(core.status().signals[0].verdict, None, "two minutes nobody has looked");
}

#[test]
fn after_a_stop_a_composite_says_nothing_before_its_members_were_seen() {
    let mut both = testing::check("both");
    both.probe = crate::plan::Probe::Composite(Composite { rule: Rule::All, of: vec![Arc::from("a"), Arc::from("b")] });
    let checks = vec![testing::check("a"), testing::check("b"), both];
    let mut world = world(testing::plan(vec![testing::signal("web", "WebReady", &["both"])], checks));
    world.happen(&Happening::Truth(0, true));
    world.happen(&Happening::Truth(1, true));
    world.pass(3_000);
    assert_eq!(world.core.checks["both"].state.committed(), Some(Health::Passing));
    world.now = world.now.plus(std::time::Duration::from_secs(60));
    world.happen(&Happening::Truth(1, false));
    world.step(Input::Tick);
    assert_eq!(world.core.checks["both"].state.committed(), None, "nobody has looked");
    world.pass(20_000);
    assert_eq!(state(&world), "pending", "one of its members fails since, which takes three runs to be sure of");
    world.happen(&Happening::Truth(1, true));
    world.pass(10_000);
    assert_eq!(state(&world), "acknowledged");
    world.judge();
}

#[test]
fn a_program_that_takes_its_time_to_end_is_no_sleep() {
    let mut check = testing::check("a");
    check.probe = crate::plan::Probe::Exec(crate::plan::Exec {
        command: vec!["/bin/true".to_owned()],
        exit_codes: crate::plan::ExitCodes::Zero,
        fatal: Vec::new(),
        kill_grace: std::time::Duration::from_secs(60),
        environment: std::collections::BTreeMap::new(),
        working_directory: "/".into(),
    });
    let mut signal = testing::signal("web", "WebReady", &["a"]);
    signal.min_healthy_time = std::time::Duration::from_secs(120);
    let mut core = Core::new(Arc::new(testing::plan(vec![signal], vec![check])), Arc::from("b"), LedgerDocument::empty(), at(0));
    let begun =
        |effects: Vec<Effect>| effects.iter().find_map(|effect| if let Effect::Probe { run, .. } = effect { Some(*run) } else { None });
    let seen = |run| Input::Observed { run, observation: Observation::new(Health::Passing, "seen") };
    let identity = Identity { instance_id: INSTANCE.into(), region: Some("cn-hangzhou".into()), stack_id: None, names: Vec::new() };
    let next = |core: &mut Core| loop {
        let wake = core.wake().unwrap() - 20_000;
        if let Some(run) = begun(core.step(at(wake), Input::Tick)) {
            return (wake, run);
        }
    };
    core.step(at(0), Input::Tick);
    core.step(at(0), Input::Identified(Ok(identity)));
    let (now, run) = next(&mut core);
    core.step(at(now + 10), seen(run));
    let healthy_since = core.checks["a"].state.healthy_since();
    let (mut now, slow) = next(&mut core);
    let ends = now + 5_000 + 55_000;
    while let Some(wake) = core.wake().map(|wake| wake - 20_000).filter(|wake| *wake < ends) {
        now = wake.max(now + 1);
        core.step(at(now), Input::Tick);
    }
    core.step(at(ends), seen(slow));
    assert!(healthy_since.is_some());
    assert_eq!(core.checks["a"].state.healthy_since(), healthy_since);
}

#[test]
fn a_copy_has_not_used_the_chance_that_the_other_instance_was_given() {
    let stamp = at(0).now.stamp(&Arc::from("another boot"));
    let mut round = crate::signal::Round::first(Arc::from("web"), "WebReady", None, stamp.clone());
    round.extended = Some(stamp);
    let document = LedgerDocument { rounds: vec![round], instance_id: Some("i-other".to_owned()), ..LedgerDocument::empty() };
    let mut core = Core::new(Arc::new(plain_plan()), Arc::from("b"), document, at(0));
    core.step(at(0), Input::Tick);
    let identity = Identity { instance_id: INSTANCE.into(), region: Some("cn-hangzhou".into()), stack_id: None, names: Vec::new() };
    core.step(at(1_000), Input::Identified(Ok(identity)));
    assert!(core.rounds.iter().all(|active| active.extended.is_none() && active.round.extended.is_none()));
}

#[test]
fn a_deadline_that_was_slept_through_before_the_first_answer_waits_also_if_the_ledger_is_set_aside_then() {
    let stamp = at(0).now.stamp(&Arc::from("another boot"));
    let round = crate::signal::Round::first(Arc::from("web"), "WebReady", None, stamp);
    let document = LedgerDocument { rounds: vec![round], ..LedgerDocument::empty() };
    let mut core = Core::new(Arc::new(plain_plan()), Arc::from("b"), document, at(0));
    core.step(at(0), Input::Tick);
    let identity = Identity { instance_id: INSTANCE.into(), region: Some("cn-hangzhou".into()), stack_id: None, names: Vec::new() };
    let effects = core.step(at(3_600_000), Input::Identified(Ok(identity)));
    assert!(effects.iter().any(|effect| matches!(effect, Effect::SetAside { .. })), "{effects:?}");
    assert_eq!(core.status().signals[0].verdict, None, "the checks have not even run");
}

#[test]
fn what_was_pushed_holds_over_a_stop_and_its_healthy_time_begins_anew() {
    let mut check = testing::check("a");
    check.probe = crate::plan::Probe::Ttl(crate::plan::Ttl { ttl: std::time::Duration::from_secs(600) });
    let mut world = world(testing::plan(vec![testing::signal("web", "WebReady", &["a"])], vec![check]));
    world.pass(1_000);
    let command = Command::Push { check: "a".into(), health: Health::Passing, text: "pushed".into() };
    world.step(Input::Command { id: 1, command });
    world.pass(3_000);
    world.now = world.now.plus(std::time::Duration::from_secs(60));
    world.step(Input::Tick);
    world.pass(4_000);
    assert_eq!(state(&world), "pending");
    world.pass(2_000);
    assert_eq!(state(&world), "acknowledged");
}

#[test]
fn the_history_tells_that_the_host_was_booted_again_and_reboots_in_a_row_push_no_verdict_out_of_it() {
    let mut world = world(plain_plan());
    world.happen(&Happening::Truth(0, true));
    world.pass(8_000);
    let told = |world: &World| -> Vec<String> {
        let history = world.core.history().iter();
        history.filter(|entry| entry.what.contains("booted")).map(|entry| entry.what.clone()).collect()
    };
    let before = world.core.history().len();
    world.happen(&Happening::Crash);
    world.pass(1_000);
    assert_eq!(told(&world), Vec::<String>::new(), "a restart of the agent is no reboot");
    for _ in 0..100 {
        world.happen(&Happening::Reboot(0));
        world.pass(1_000);
    }
    assert_eq!(told(&world), ["the host was booted again, boot 101"]);
    assert_eq!((world.core.history().len(), state(&world).as_str()), (before + 1, "acknowledged"));
    world.judge();
}

#[test]
fn the_reboot_of_another_instance_is_not_told_on_this_one() {
    let boot = crate::signal::Boot { id: Arc::from("of-the-original"), number: 7 };
    let document = LedgerDocument { instance_id: Some("i-original".into()), boot: Some(boot), ..LedgerDocument::empty() };
    let turn = |ms| Turn { now: Moment { boot_ms: ms, wall_ms: 1_790_000_000_000 + ms }, dice: 1 };
    let mut core = Core::new(Arc::new(plain_plan()), Arc::from("b"), document, turn(1_000));
    let identity = Identity { instance_id: "i-clone".into(), region: None, stack_id: None, names: Vec::new() };
    let effects = core.step(turn(1_050), Input::Identified(Ok(identity)));
    let written = effects.iter().find_map(|effect| if let Effect::Record(document) = effect { document.boot.as_ref() } else { None });
    assert_eq!(written.map(|boot| (&*boot.id, boot.number)), Some(("b", 1)));
    assert!(!core.history().iter().any(|entry| entry.what.contains("booted")));
}

#[test]
fn scenario_14_a_first_boot_with_a_clock_of_1970_does_not_make_the_next_boot_overdue() {
    let mut world = world(plain_plan());
    world.happen(&Happening::WallJump(-1_790_000_000));
    world.happen(&Happening::LoseLedger);
    world.pass(20_000);
    world.happen(&Happening::Reboot(1_790_000_000));
    world.pass(60_000);
    assert_eq!(state(&world), "pending", "{}", world.core.summary());
}

#[test]
fn a_reload_keeps_the_state_of_unchanged_checks_and_starts_changed_ones_over() {
    let mut world =
        world(testing::plan(vec![testing::signal("web", "WebReady", &["a", "b"])], vec![testing::check("a"), testing::check("b")]));
    world.happen(&Happening::Truth(0, true));
    world.pass(4_000);
    let mut changed = testing::check("b");
    changed.failure_threshold = 5;
    let plan = testing::plan(vec![testing::signal("web", "WebReady", &["a", "b"])], vec![testing::check("a"), changed]);
    world.step(Input::Replan(Arc::new(plan)));
    let status = world.core.status();
    assert_eq!(status.checks[0].state, Some(Health::Passing));
    assert_eq!(status.checks[1].state, None);
}

#[test]
fn a_reload_supersedes_only_an_intent_that_was_definitely_rejected() {
    for (weather, expected) in [(Weather::TooEarly, "superseded"), (Weather::Refused, "sending")] {
        let mut world = world(plain_plan());
        world.happen(&Happening::Truth(0, true));
        world.happen(&Happening::Ros(weather));
        world.pass(7_000);
        let other = testing::plan(vec![testing::signal("web", "OtherReady", &["a"])], vec![testing::check("a")]);
        world.step(Input::Replan(Arc::new(other)));
        let old = world.core.rounds.iter().find(|active| active.round.resource == "WebReady").unwrap();
        let word = old.round.settled.as_ref().map_or("sending", crate::signal::Settlement::word);
        assert_eq!(word, expected);
        assert!(world.core.rounds.iter().any(|active| active.round.resource == "OtherReady" && active.is_open()));
    }
}

#[test]
fn hold_pauses_verdicts_and_survives_a_restart() {
    let mut world = world(plain_plan());
    world.happen(&Happening::Hold(true));
    world.happen(&Happening::Truth(0, true));
    world.pass(20_000);
    world.happen(&Happening::Crash);
    world.pass(20_000);
    assert_eq!(state(&world), "pending");
    let summary = world.core.summary();
    assert!(summary.starts_with("HELD") && summary.contains("1/1 checks passing, healthy, no verdict until resume, "), "{summary}");
    world.happen(&Happening::Hold(false));
    world.pass(1_000);
    assert_eq!(state(&world), "acknowledged");
}

#[test]
fn an_operator_signals_once_and_cannot_contradict_it() {
    let mut world = world(plain_plan());
    world.pass(1_000);
    let command = |status| Command::Signal { resource: "WebReady".into(), status, reason: "by hand".into() };
    world.core.command(command(SignalStatus::Failure)).unwrap();
    assert!(world.core.command(command(SignalStatus::Failure)).is_ok(), "saying it again is fine");
    let denied = world.core.command(command(SignalStatus::Success)).unwrap_err();
    assert_eq!(denied.message, "signal web has said FAILURE in this round");
    world.pass(1_000);
    assert_eq!(state(&world), "acknowledged");
    assert!(world.core.command(Command::Cancel { signal: "web".into() }).is_err());
}

#[test]
fn cancel_settles_a_signal_that_was_not_acknowledged() {
    let mut world = world(plain_plan());
    world.pass(1_000);
    world.core.command(Command::Cancel { signal: "web".into() }).unwrap();
    world.happen(&Happening::Truth(0, true));
    world.pass(20_000);
    assert_eq!(state(&world), "cancelled");
}

#[test]
fn a_pushed_check_is_critical_after_its_ttl_and_keeps_the_last_word() {
    let mut check = testing::check("app");
    check.probe = crate::plan::Probe::Ttl(crate::plan::Ttl { ttl: std::time::Duration::from_secs(10) });
    check.failure_threshold = 1;
    let mut world = world(testing::plan(vec![testing::signal("web", "WebReady", &["app"])], vec![check]));
    assert!(world.core.status().checks[0].state.is_none(), "initial before the first push");
    world.step(Input::Command { id: 3, command: Command::Push { check: "app".into(), health: Health::Passing, text: "warmed up".into() } });
    world.pass(3_000);
    assert_eq!(world.core.status().checks[0].state, Some(Health::Passing));
    world.pass(17_000);
    let last = world.core.status().checks[0].last.clone().unwrap();
    assert_eq!(last.message, "nothing pushed for 10s; last: warmed up");
    assert_eq!(state(&world), "acknowledged", "it had been passing for min_healthy_time before");
}

#[test]
fn scenario_24_checks_in_flight_are_bounded_and_first_runs_are_splayed() {
    let checks: Vec<_> = (0..100).map(|index| testing::check(&format!("c{index}"))).collect();
    let names: Vec<_> = checks.iter().map(|check| check.name.to_string()).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let mut plan = testing::plan(vec![testing::signal("web", "WebReady", &names)], checks);
    plan.agent.max_concurrency = 7;
    let now = Moment { boot_ms: 1_000, wall_ms: 0 };
    let mut core = Core::new(Arc::new(plan), Arc::from("b"), LedgerDocument::empty(), Turn { now, dice: 1 });
    let dues: std::collections::BTreeSet<_> = core.checks.values().filter_map(|run| run.due).collect();
    assert!(dues.len() > 50 && dues.iter().all(|due| (1_000..=2_000).contains(due)), "{dues:?}");
    core.step(
        Turn { now, dice: 1 },
        Input::Identified(Ok(Identity { instance_id: "i-1".into(), region: None, stack_id: None, names: Vec::new() })),
    );
    core.step(Turn { now, dice: 1 }, Input::Recorded { generation: 2 });
    let later = now.plus(std::time::Duration::from_secs(5));
    let effects = core.step(Turn { now: later, dice: 1 }, Input::Tick);
    assert_eq!(effects.iter().filter(|effect| matches!(effect, Effect::Probe { .. })).count(), 7);
    assert_eq!(core.check_wake(), None, "slots are freed by observations, not by time");
}

#[test]
fn a_look_that_fails_is_repeated_a_few_times_before_a_signal_goes_out_without_it() {
    let mut world = world(plain_plan());
    world.happen(&Happening::Truth(0, true));
    world.happen(&Happening::Looks(Looks::Failing));
    world.pass(6_500);
    assert_eq!(state(&world), "sending");
    assert!(world.notes.iter().any(|note| note == "signal web: the stack could not be looked at: timed out"), "{:?}", world.notes);
    world.pass(10_000);
    assert_eq!(state(&world), "acknowledged");
    assert!(world.notes.iter().any(|note| note.starts_with("the stack could not be looked at before sending")), "{:?}", world.notes);
}

#[test]
fn a_stack_that_is_busy_holds_the_signal_back_even_when_the_agent_stops() {
    let mut world = world(plain_plan());
    world.happen(&Happening::Truth(0, true));
    world.happen(&Happening::Looks(Looks::Busy));
    world.pass(8_000);
    assert!(world.core.summary().contains("not sent yet: the stack is CHECK_IN_PROGRESS"), "{}", world.core.summary());
    assert!(world.notes.iter().any(|note| note.contains("not sent yet")), "it is in the log too");
    world.step(Input::Stop);
    world.pass(200);
    assert_eq!(state(&world), "sending", "it goes on after the next start");
    world.happen(&Happening::Looks(Looks::Answered));
    world.happen(&Happening::Crash);
    world.pass(1_000);
    assert_eq!(state(&world), "acknowledged");
}

#[test]
fn a_bad_reload_is_in_the_status_until_a_good_one() {
    let mut world = world(plain_plan());
    world.step(Input::Misconfigured("/etc/x.toml:1:1: error: unknown key".into()));
    assert!(world.core.summary().starts_with("reload refused, the old configuration runs: /etc/x.toml:1:1: error: unknown key; web: "));
    world.happen(&Happening::Reload);
    assert!(world.core.summary().starts_with("web: "));
}

#[test]
fn a_hold_that_a_restart_would_forget_says_so() {
    let mut world = world(plain_plan());
    world.happen(&Happening::Disk(Disk::Refuses));
    world.pass(1_000);
    let done = world.core.command(Command::Hold).unwrap();
    assert!(done.text.contains("would be forgotten at a restart"), "{}", done.text);
}

#[test]
fn stopping_makes_no_verdict_but_one_last_attempt_for_what_is_owed() {
    let mut world = world(plain_plan());
    world.happen(&Happening::Truth(0, true));
    world.happen(&Happening::Ros(Weather::TooEarly));
    world.pass(7_000);
    assert_eq!(state(&world), "sending");
    world.happen(&Happening::Ros(Weather::Fine));
    world.step(Input::Stop);
    world.pass(200);
    assert_eq!(state(&world), "acknowledged");
}

#[test]
fn scenario_34_a_check_that_left_the_configuration_is_cancelled_and_forgotten() {
    let two = testing::plan(vec![testing::signal("web", "WebReady", &["a", "b"])], vec![testing::check("a"), testing::check("b")]);
    let mut world = world(two);
    world.pass(3_000);
    let later = Moment { boot_ms: 30_000, wall_ms: 1_790_000_010_000 };
    let running = world.core.step(Turn { now: later, dice: 4 }, Input::Tick);
    let run = running.iter().find_map(|effect| match effect {
        Effect::Probe { run, check, .. } if &*check.name == "b" => Some(*run),
        _ => None,
    });
    let effects = world.core.step(Turn { now: later, dice: 5 }, Input::Replan(Arc::new(plain_plan())));
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Cancel { run: cancelled } if Some(*cancelled) == run)), "{effects:?}");
    assert_eq!(world.core.status().checks.len(), 1);
    let late = world
        .core
        .step(Turn { now: later, dice: 6 }, Input::Observed { run: run.unwrap(), observation: Observation::new(Health::Passing, "late") });
    assert!(late.iter().all(|effect| !matches!(effect, Effect::Note(_))), "a late result of a removed check is nobody's");
}

#[test]
fn scenario_11_a_failure_names_the_timer_its_value_and_the_time_that_passed() {
    let mut world = world(plain_plan());
    world.pass(871_000);
    let reason = world.core.status().signals[0].reason.clone().unwrap();
    assert_eq!(reason, "deadline 15m (less margin 30s) reached 14m 30s after the start of the round: a (critical: seen)");
}

#[test]
fn a_change_makes_the_next_run_due_at_once_and_one_while_looking_one_more_run() {
    let mut check = testing::check("unit");
    check.initial_delay = std::time::Duration::from_secs(2);
    let plan = testing::plan(vec![testing::signal("web", "WebReady", &["unit"])], vec![check]);
    let at = |ms| Turn { now: Moment { boot_ms: ms, wall_ms: 0 }, dice: 1 };
    let mut core = Core::new(Arc::new(plan), Arc::from("b"), LedgerDocument::empty(), at(1_000));
    let mut step = |ms, input| {
        let effects = core.step(at(ms), input);
        effects.iter().find_map(|effect| if let Effect::Probe { run, .. } = effect { Some(*run) } else { None })
    };
    let changed = || Input::Changed { check: Arc::from("unit") };
    let seen = |run| Input::Observed { run, observation: Observation::new(Health::Critical, "activating") };
    assert_eq!(step(1_500, changed()), None, "not before its initial delay");
    let first = step(4_100, Input::Tick).expect("its first run");
    assert_eq!(step(4_110, seen(first)), None);
    let second = step(4_140, changed()).expect("at once, not at the pace");
    assert_eq!(step(4_150, changed()), None, "runs never overlap");
    assert_eq!(step(4_160, seen(second)), None);
    let third = step(4_180, Input::Tick).expect("what it saw may be outdated");
    step(4_190, seen(third));
    assert_eq!(step(4_195, changed()), None, "a storm is bounded");
    assert!(step(4_210, Input::Tick).is_some());
    assert_eq!(step(4_220, Input::Changed { check: Arc::from("nobody") }), None);
}

#[test]
fn one_dead_member_of_a_composite_that_needs_one_does_not_hold_up_the_signal_and_is_not_said_of_it() {
    let checks = ["db1", "db2"].map(testing::check);
    let of = checks.each_ref().map(|check| Arc::clone(&check.name)).to_vec();
    let over = Composite { rule: Rule::Any, of: of.clone() };
    let group = Check { probe: crate::plan::Probe::Composite(over), failure_threshold: 1, ..testing::check("databases") };
    let mut signal = testing::signal("web", "WebReady", &["databases"]);
    signal.members = of;
    let mut world = world(testing::plan(vec![signal], [vec![group], checks.to_vec()].concat()));
    world.pass(10_000);
    assert_eq!(state(&world), "pending");
    let said = world.core.status().checks[0].last.clone().unwrap();
    assert_eq!((said.health, &*said.message), (Health::Critical, "0 satisfied, 1 of 2 needed; not satisfied: db1, db2"));
    world.happen(&Happening::Truth(1, true));
    world.pass(1_500);
    assert_eq!(world.core.status().checks[0].state, Some(Health::Passing));
    world.pass(6_000);
    assert_eq!(state(&world), "acknowledged");
    let reason = world.core.status().signals[0].reason.clone().unwrap();
    assert!(reason.starts_with("1 of 1 required checks passing") && !reason.contains("degraded"), "{reason}");
}

#[test]
fn a_member_that_was_critical_before_it_will_never_pass_decides_the_composite_and_one_that_heals_takes_that_back() {
    let member = testing::check("db");
    let over = Composite { rule: Rule::All, of: vec![Arc::clone(&member.name)] };
    let group = Check { probe: crate::plan::Probe::Composite(over), failure_threshold: 1, ..testing::check("databases") };
    let mut signal = testing::signal("web", "WebReady", &["databases"]);
    signal.members = vec![Arc::clone(&member.name)];
    let mut world = world(testing::plan(vec![signal], vec![group, member]));
    let will_never_pass = |world: &World| {
        let run = &world.core.checks["databases"];
        run.state.will_never_pass(&run.check)
    };
    world.happen(&Happening::Hold(true));
    world.pass(10_000);
    assert_eq!((world.core.checks["databases"].state.committed(), will_never_pass(&world)), (Some(Health::Critical), false));
    world.happen(&Happening::Terminal(1, true));
    world.pass(10_000);
    assert!(will_never_pass(&world), "its member says so, though it is as critical as before");
    world.happen(&Happening::Terminal(1, false));
    world.pass(3_000);
    assert!(!will_never_pass(&world), "its member may pass after all");
    world.happen(&Happening::Terminal(1, true));
    world.happen(&Happening::Hold(false));
    world.pass(10_000);
    let reason = world.core.status().signals[0].reason.clone().unwrap();
    assert!(reason.contains("databases"), "long before the deadline: {reason}");
}
