//! Stories about the failure report and the wait for it.

use super::super::*;
use super::world::{AfterCompletion, Happening, Looks, Switches, World};
use crate::check::{Health, Observation};
use crate::clock::Moment;
use crate::plan::{Check, ConditionUnmet, Probe, Systemd, Unit, testing};
use crate::signal::SignalStatus;
use std::time::Duration;

fn plan(deadline_s: u64, margin_s: u64) -> Plan {
    let mut signal = testing::signal("web", "WebReady", &["a", "unit"]);
    signal.deadline = Duration::from_secs(deadline_s);
    signal.margin = Duration::from_secs(margin_s);
    let unit =
        Unit { name: "nginx.service".into(), stable_for: Duration::ZERO, max_restarts: 3, condition_unmet: ConditionUnmet::Critical };
    let unit = Check { probe: Probe::Systemd(Systemd::Unit(unit)), ..testing::check("unit") };
    let mut plan = testing::plan(vec![signal], vec![testing::check("a"), unit]);
    plan.report.units = vec!["app.service".into(), "nginx.service".into()];
    plan
}

fn world(plan: Plan) -> World {
    let mut world = World::new(plan, Switches { tokens_replay_errors: true, after_completion: AfterCompletion::Ignored }, 7);
    world.happen(&Happening::Looks(Looks::Denied));
    world
}

#[test]
fn scenario_30_the_report_names_checks_outputs_timer_history_and_units() {
    let mut world = world(plan(120, 20));
    world.happen(&Happening::Truth(1, true));
    world.pass(90_000);
    world.happen(&Happening::Terminal(0, false));
    world.pass(30_000);
    let text = world.reports.first().unwrap();
    for part in [
        "FAILURE report of signal web (WebReady): deadline 2m",
        "on i-bp1a2b3c4d5e6f7g8h9i, stack 4a6c9851-3b0f-4f5f-b4ca-a14bf6911234 in cn-hangzhou",
        "at 2026-09-21T14:15:00Z, 2m after boot",
        "deadline = 2m, less margin = 20s: ran out, 20s before its end",
        "running since 2026-09-21T14:13:20Z, 1m40s ago, 20s after boot",
        "a (tcp, required): critical for 1m",
        " times within 1m",
        "unit (systemd, required): passing for",
        "round first begun",
        "verdict FAILURE: ",
        "0 attempts to send",
    ] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
    assert!(text.find("a (tcp").unwrap() < text.find("unit (systemd").unwrap(), "what is wrong comes first: {text}");
    let draft = world.core.report_now(Some("web")).unwrap();
    assert_eq!(draft.units, ["nginx.service", "app.service"], "each once");
}

#[test]
fn scenario_30_the_last_different_words_of_a_check_are_kept_with_the_output_of_the_failed_ones() {
    let mut world = world(plan(900, 30));
    world.pass(1_000);
    let turn = Turn { now: Moment { boot_ms: 22_000, wall_ms: 1_790_000_002_000 }, dice: 5 };
    world.core.step(turn, Input::Command { id: 1, command: Command::Hold });
    for number in 0..9 {
        let mut observation = Observation::new(Health::Critical, format!("attempt {}", number / 2));
        observation.output = format!("output {number}\n{}", "x".repeat(600));
        world.core.see(&Arc::from("a"), observation);
    }
    let text = world.core.report_now(None).unwrap().text;
    assert!(text.starts_with("report of signal web (WebReady), which has no verdict yet\n"), "{text}");
    assert!(!text.contains("attempt 0") && text.contains("attempt 1 (2 times within 0s)"), "{text}");
    assert!(text.contains("| output 8\n"), "all of the newest: {text}");
    assert!(text.find("attempt 4") < text.find("attempt 3"), "newest first: {text}");
}

#[test]
fn scenario_30_a_failure_goes_out_when_its_report_is_there_and_carries_it() {
    let mut world = world(plan(120, 20));
    world.pass(100_030);
    assert_eq!(world.core.status().signals[0].verdict, Some(SignalStatus::Failure));
    assert!(world.sent.is_empty(), "the report takes 50 ms");
    world.pass(200);
    assert_eq!(world.sent[0].report.as_deref(), Some("report"));
    world.judge();
}

#[test]
fn scenario_30_a_failure_goes_out_without_a_report_that_does_not_come() {
    let mut world = world(plan(120, 20));
    world.happen(&Happening::Reports(false));
    world.pass(104_000);
    assert!(world.sent.is_empty());
    world.pass(1_500);
    assert_eq!((world.sent.len(), world.sent[0].report.clone()), (1, None));
    world.judge();
}

#[test]
fn scenario_30_the_wait_for_a_report_never_uses_up_the_margin() {
    let mut world = world(plan(120, 2));
    world.happen(&Happening::Reports(false));
    world.pass(119_200);
    assert_eq!(world.sent.len(), 1, "half of the margin of 2s is the most");
}

#[test]
fn scenario_30_an_agent_that_is_killed_before_the_report_is_there_sends_the_same_failure() {
    let mut world = world(plan(120, 20));
    world.happen(&Happening::Reports(false));
    world.pass(101_000);
    assert!(world.sent.is_empty());
    world.happen(&Happening::Crash);
    world.pass(500);
    assert_eq!((world.sent.len(), world.sent[0].status), (1, SignalStatus::Failure));
    assert_eq!(world.intents["web"].len(), 1);
    world.judge();
}

#[test]
fn an_agent_that_stops_waits_for_the_report_as_long_as_the_failure_would() {
    let mut world = world(plan(120, 20));
    world.pass(100_020);
    world.step(Input::Stop);
    assert!(world.core.is_busy(), "the FAILURE waits for its report");
    world.pass(200);
    assert_eq!(world.sent.len(), 1);
}

#[test]
fn a_report_of_a_thousand_checks_is_bounded_and_begins_with_those_that_fail() {
    let names: Vec<String> = (0..1_000).map(|number| format!("check{number:04}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let plan = testing::plan(vec![testing::signal("web", "WebReady", &names)], names.iter().map(|name| testing::check(name)).collect());
    let mut world = world(plan);
    let mut observation = Observation::new(Health::Critical, "m".repeat(512));
    observation.output = "o".repeat(4096);
    world.core.see(&Arc::from("check0999"), observation.clone());
    let text = world.core.report_now(None).unwrap().text;
    assert!(text.find("check0999").unwrap() < text.len() && text.contains("and 936 more"), "{text}");
    for name in &names {
        world.core.see(&Arc::from(*name), observation.clone());
    }
    assert!(world.core.report_now(None).unwrap().text.len() <= 48 * 1024);
}
