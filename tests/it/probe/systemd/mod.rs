//! `type = "systemd"` on a real bus, with a stand-in for systemd; the real one is met in `tests/system`.

mod bed;
mod report;

use super::{PATIENCE, job};
use bed::{Bus, Systemd, value};
use ros_signal_agent::check::{Health, Observation};
use ros_signal_agent::plan::{Check, ConditionUnmet, Probe, System, SystemState, Systemd as Rule, Unit};
use ros_signal_agent::probe::Prober;
use std::sync::Arc;
use std::time::Duration;

fn unit(name: &str) -> Unit {
    Unit { name: name.to_owned(), stable_for: Duration::ZERO, max_restarts: 3, condition_unmet: ConditionUnmet::Critical }
}

fn rule(unit: Unit) -> Probe {
    Probe::Systemd(Rule::Unit(unit))
}

async fn look(prober: &Prober, probe: Probe) -> Observation {
    prober.run(job(probe, PATIENCE)).await
}

async fn look_at(prober: &Prober, name: &str) -> (Health, bool, String) {
    let seen = look(prober, rule(unit(name))).await;
    (seen.health, seen.terminal, seen.message)
}

/// Follows `probe` as the check `name`.
fn followed(name: &str, probe: Probe) -> Arc<Check> {
    let mut check = (*super::check(probe, PATIENCE)).clone();
    check.name = Arc::from(name);
    Arc::new(check)
}

async fn changed(prober: &Prober) -> String {
    tokio::time::timeout(PATIENCE, prober.changed()).await.expect("nothing was told").to_string()
}

/// The next check that is told is `name`: nothing of others came before.
async fn tells_next(prober: &Prober, name: &str) {
    assert_eq!(changed(prober).await, name);
}

#[tokio::test]
async fn the_states_of_units_are_read_from_the_bus() {
    let Some(mut bus) = Bus::new() else { return };
    bus.start().await;
    let systemd = Systemd::on(&bus).await;
    let prober = Prober::new().on_bus(bus.address());
    systemd.set("web@1.service", "active", "running", [("NRestarts", value(2_u32))]);
    let seen = look(&prober, rule(unit("web@1.service"))).await;
    assert_eq!((seen.health, seen.message.as_str()), (Health::Passing, "web@1.service is active (running)"));
    assert_eq!((seen.readings[0].label.as_str(), seen.readings[0].value), ("restarts", 2.0));

    let ended = [("Result", value("exit-code")), ("ExecMainCode", value(1_i32)), ("ExecMainStatus", value(3_i32))];
    systemd.set("web.service", "failed", "failed", ended.clone());
    let failed = "web.service has failed (exit-code: exit code 3); see journalctl -u web.service";
    assert_eq!(look_at(&prober, "web.service").await, (Health::Critical, true, failed.to_owned()));

    systemd.set("web.service", "activating", "auto-restart", ended.into_iter().chain([("NRestarts", value(9_u32))]));
    let (health, terminal, message) = look_at(&prober, "web.service").await;
    assert_eq!((health, terminal), (Health::Critical, false));
    assert!(
        message.starts_with("web.service is in a crash loop: 9 restarts, max_restarts is 3, the last one after exit code 3"),
        "{message}"
    );

    let (health, terminal, message) = look_at(&prober, "gone.service").await;
    assert_eq!((health, terminal), (Health::Critical, true));
    assert!(message.starts_with("there is no unit gone.service"), "{message}");

    systemd.set("data.mount", "active", "mounted", []);
    assert_eq!(look_at(&prober, "data.mount").await, (Health::Passing, false, "data.mount is active (mounted)".to_owned()));
    let unmet = [("ConditionResult", value(false)), ("ConditionTimestampMonotonic", value(5_u64))];
    systemd.set("web.service", "inactive", "dead", unmet);
    assert_eq!(look_at(&prober, "web.service").await.0, Health::Critical);
    let passing = Unit { condition_unmet: ConditionUnmet::Passing, ..unit("web.service") };
    assert_eq!(look(&prober, rule(passing)).await.health, Health::Passing);
}

#[tokio::test]
async fn an_answer_that_makes_no_sense_is_unknown_and_no_panic() {
    let Some(mut bus) = Bus::new() else { return };
    bus.start().await;
    let systemd = Systemd::on(&bus).await;
    let prober = Prober::new().on_bus(bus.address());
    for wrong in [("ActiveState", value(7_u32)), ("Job", value("none")), ("NRestarts", value(u64::MAX)), ("LoadError", value("x"))] {
        systemd.set("web.service", "active", "running", [wrong.clone()]);
        let (health, terminal, message) = look_at(&prober, "web.service").await;
        assert_eq!((health, terminal), (Health::Unknown, false), "{wrong:?}");
        assert!(message.starts_with("systemd cannot be asked (GetAll): "), "{message}");
    }
    systemd.set("web.service", "active\n\x1b[2J", "x", []);
    assert_eq!(look_at(&prober, "web.service").await.2, "web.service is active\\n\\x1b[2J (x)");
    systemd.set("web.service", "active", "running", []);
    assert_eq!(look_at(&prober, "web.service").await.0, Health::Passing, "and the connection still stands");
}

#[tokio::test]
async fn a_bus_that_is_late_or_restarts_and_a_systemd_that_is_late_heal_by_themselves() {
    let Some(mut bus) = Bus::new() else { return };
    let prober = Prober::new().on_bus(bus.address());
    let check = followed("web", rule(unit("web.service")));
    prober.follow(&[Arc::clone(&check)]);
    let (health, _, message) = look_at(&prober, "web.service").await;
    assert_eq!(health, Health::Unknown);
    let socket = bus.socket().display().to_string();
    assert!(message.starts_with(&format!("cannot reach the system bus at {socket}: No such file")), "{message}");

    for _ in 0..2 {
        bus.start().await;
        let (health, _, message) = look_at(&prober, "web.service").await;
        assert_eq!(health, Health::Unknown);
        assert!(message.starts_with("systemd is not on the system bus: "), "{message}");
        let systemd = Systemd::on(&bus).await;
        systemd.set("web.service", "active", "running", []);
        assert_eq!(changed(&prober).await, "web", "told as soon as systemd is there");
        assert_eq!(look_at(&prober, "web.service").await.0, Health::Passing);
        systemd.tell("web.service").await;
        assert_eq!(changed(&prober).await, "web", "followed again");
        bus.stop();
        let (health, _, message) = look_at(&prober, "web.service").await;
        assert_eq!((health, message.contains("cannot reach the system bus")), (Health::Unknown, true), "{message}");
    }
}

#[tokio::test]
async fn a_systemd_that_executes_itself_anew_is_followed_further() {
    let Some(mut bus) = Bus::new() else { return };
    bus.start().await;
    let prober = Prober::new().on_bus(bus.address());
    let mut systemd = Systemd::on(&bus).await;
    prober.follow(&[followed("web", rule(unit("web.service")))]);
    for _ in 0..2 {
        assert_eq!(changed(&prober).await, "web");
        systemd.leave().await;
        systemd = Systemd::on(&bus).await;
    }
    assert_eq!(changed(&prober).await, "web");
    systemd.reloaded().await;
    assert_eq!(changed(&prober).await, "web", "a reload may have changed what the unit is");
}

#[tokio::test]
async fn scenario_20_a_systemd_that_hangs_is_a_timeout_and_heals() {
    let Some(mut bus) = Bus::new() else { return };
    bus.start().await;
    let systemd = Systemd::on(&bus).await;
    systemd.set("web.service", "active", "running", []);
    let prober = Prober::new().on_bus(bus.address());
    systemd.hang(true);
    let seen = prober.run(job(rule(unit("web.service")), Duration::from_millis(60))).await;
    assert_eq!((seen.health, seen.message.as_str()), (Health::Critical, "timed out after 60ms waiting for the answer of systemd"));
    systemd.hang(false);
    assert_eq!(look_at(&prober, "web.service").await.0, Health::Passing);
}

#[tokio::test]
async fn a_bus_that_takes_connections_and_is_silent_is_a_timeout() {
    let home = crate::private::directory();
    let path = home.path().join("bus");
    let _listener = tokio::net::UnixListener::bind(&path).unwrap();
    let prober = Prober::new().on_bus(format!("unix:path={}", path.display()));
    let seen = prober.run(job(rule(unit("web.service")), Duration::from_millis(60))).await;
    let message = format!("timed out after 60ms connecting to the system bus at {}", path.display());
    assert_eq!((seen.health, seen.message), (Health::Critical, message));
}

#[tokio::test]
async fn a_check_is_woken_by_its_own_unit_and_by_no_other() {
    let Some(mut bus) = Bus::new() else { return };
    bus.start().await;
    let systemd = Systemd::on(&bus).await;
    let prober = Prober::new().on_bus(bus.address());
    prober.follow(&[followed("a", rule(unit("a.service")))]);
    tells_next(&prober, "a").await;
    let b = followed("b", rule(unit("b.service")));
    prober.follow(&[followed("a", rule(unit("a.service"))), Arc::clone(&b)]);
    tells_next(&prober, "b").await;
    for _ in 0..300 {
        systemd.tell("another.service").await;
    }
    systemd.tell("b.service").await;
    tells_next(&prober, "b").await;
    prober.follow(&[b]);
    systemd.tell("a.service").await;
    systemd.tell("b.service").await;
    tells_next(&prober, "b").await;
    assert_eq!(systemd.loads(), 2, "signals make no load by themselves");
}

#[tokio::test]
async fn when_a_unit_will_be_stable_is_told_at_that_moment() {
    let Some(mut bus) = Bus::new() else { return };
    bus.start().await;
    let systemd = Systemd::on(&bus).await;
    let prober = Prober::new().on_bus(bus.address());
    let check = followed("web", rule(Unit { stable_for: Duration::from_millis(300), ..unit("web.service") }));
    prober.follow(&[Arc::clone(&check)]);
    tells_next(&prober, "web").await;
    let now = u64::try_from(ros_signal_agent::clock::monotonic().as_micros()).unwrap();
    systemd.set("web.service", "active", "running", [("ActiveEnterTimestampMonotonic", value(now))]);
    let run = || prober.run(ros_signal_agent::probe::Job { check: Arc::clone(&check), attempt: 1, deadline_unix_ms: None });
    let seen = run().await;
    assert_eq!(seen.health, Health::Critical);
    assert!(seen.message.contains("not stable yet"), "{}", seen.message);
    tells_next(&prober, "web").await;
    assert_eq!(run().await.health, Health::Passing, "the first look after the told moment");
}

#[tokio::test]
async fn checks_beyond_the_rules_that_the_bus_allows_are_polled() {
    let Some(mut bus) = Bus::with_rules(4) else { return };
    bus.start().await;
    let systemd = Systemd::on(&bus).await;
    let prober = Prober::new().on_bus(bus.address());
    let names = ["a", "b", "c", "d"];
    let checks: Vec<_> = names.iter().map(|name| followed(name, rule(unit(&format!("{name}.service"))))).collect();
    prober.follow(&checks);
    let mut told = [changed(&prober).await, changed(&prober).await];
    told.sort();
    for name in names {
        systemd.set(&format!("{name}.service"), "active", "running", []);
        assert_eq!(look_at(&prober, &format!("{name}.service")).await.0, Health::Passing);
    }
    systemd.tell(&format!("{}.service", told[0])).await;
    tells_next(&prober, &told[0]).await;
}

#[tokio::test]
async fn the_whole_system_is_asked_and_followed() {
    let Some(mut bus) = Bus::new() else { return };
    bus.start().await;
    let systemd = Systemd::on(&bus).await;
    let prober = Prober::new().on_bus(bus.address());
    let system = System { accept: vec![SystemState::Running], ignore_units: vec!["apt.timer".to_owned()] };
    let probe = Probe::Systemd(Rule::System(system));
    prober.follow(&[followed("system", probe.clone())]);
    tells_next(&prober, "system").await;
    assert_eq!(look(&prober, probe.clone()).await.message, "the system is running");
    systemd.set_system("degraded", &["apt.timer", "web.service"]);
    systemd.tell_system().await;
    tells_next(&prober, "system").await;
    let seen = look(&prober, probe.clone()).await;
    assert_eq!((seen.health, seen.terminal), (Health::Critical, false));
    assert_eq!(seen.message, "the system is degraded: web.service failed; see systemctl --failed");
    systemd.set_system("degraded", &["apt.timer"]);
    assert_eq!(look(&prober, probe).await.health, Health::Passing);
}

#[tokio::test]
async fn all_checks_share_one_connection_which_is_there_only_while_there_are_such_checks() {
    let Some(mut bus) = Bus::new() else { return };
    bus.start().await;
    let systemd = Systemd::on(&bus).await;
    let prober = Prober::new().on_bus(bus.address());
    let checks: Vec<_> = (0..20).map(|number| followed(&format!("c{number}"), rule(unit(&format!("{number}.service"))))).collect();
    assert_eq!(systemd.connections().await, 1, "nobody has asked yet");
    prober.follow(&checks);
    for _ in &checks {
        changed(&prober).await;
    }
    let looks: Vec<_> = (0..20).map(|_| look_at(&prober, "a.service")).collect();
    for look in looks {
        look.await;
    }
    assert_eq!(systemd.connections().await, 2);
    prober.follow(&[]);
    let gone = async {
        while systemd.connections().await > 1 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("the connection stays");
}

#[test]
fn a_bus_that_restarts_again_and_again_leaks_no_descriptor() {
    if !super::in_own_process("probe::systemd::a_bus_that_restarts_again_and_again_leaks_no_descriptor") {
        return;
    }
    super::runtime().block_on(async {
        let Some(mut bus) = Bus::new() else { return };
        let prober = Prober::new().on_bus(bus.address());
        prober.follow(&[followed("web", rule(unit("web.service")))]);
        let mut open = Vec::new();
        for _ in 0..8 {
            bus.start().await;
            let systemd = Systemd::on(&bus).await;
            systemd.set("web.service", "active", "running", []);
            tells_next(&prober, "web").await;
            assert_eq!(look_at(&prober, "web.service").await.0, Health::Passing);
            drop(systemd);
            bus.stop();
            assert_eq!(look_at(&prober, "web.service").await.0, Health::Unknown);
            open.push(std::fs::read_dir("/proc/self/fd").unwrap().count());
        }
        assert!(open.last() <= open.first(), "open descriptors after each restart: {open:?}");
    });
}
