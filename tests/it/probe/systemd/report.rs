//! What the failure report says of units, and what of it transports may carry.

use super::bed::{Bus, Systemd, value};
use ros_signal_agent::agent::Draft;
use ros_signal_agent::config::{Environment, Layout, Owners, load};
use ros_signal_agent::plan::Plan;
use ros_signal_agent::probe::Prober;
use ros_signal_agent::report::{KEPT, Printing, Reporter, Shelf};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

fn plan(dir: &Path, more: &str) -> Arc<Plan> {
    let path = dir.join("config.toml");
    crate::private::write(&path, &format!("[report]\nunits = [\"web.service\"]\n{more}"));
    Arc::new(load(&Layout::file(path), &Owners::system(), &Environment::default()).unwrap().plan)
}

fn draft(units: &[&str], text: &str) -> Draft {
    Draft {
        signal: Arc::from("web"),
        instance_id: Some("i-1".to_owned()),
        at: "2026-01-02T03:04:05Z".to_owned(),
        text: text.to_owned(),
        units: units.iter().map(|unit| (*unit).to_owned()).collect(),
    }
}

/// A reporter with a journalctl of `script`.
fn reporter(dir: &Path, prober: Prober, script: &str) -> Reporter {
    let journalctl = dir.join("journalctl");
    std::fs::write(&journalctl, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&journalctl, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let token = crate::secrets::secrets()["security_token"];
    let environment = [("PATH", dir.to_str().unwrap()), ("ALIBABA_CLOUD_SECURITY_TOKEN", token)];
    let environment: HashMap<String, String> = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    Reporter::new(Arc::new(prober), &environment, &dir.join("state"), Printing::No)
}

#[tokio::test]
async fn scenario_30_the_report_tells_the_states_of_units_as_systemd_has_them() {
    let Some(mut bus) = Bus::new() else { return };
    bus.start().await;
    let systemd = Systemd::on(&bus).await;
    let ended =
        [("Result", value("exit-code")), ("ExecMainCode", value(1_i32)), ("ExecMainStatus", value(3_i32)), ("NRestarts", value(2_u32))];
    systemd.set("web.service", "failed", "failed", ended);
    systemd.set("db.service", "active", "running", []);
    let dir = crate::private::directory();
    let reporter = reporter(dir.path(), Prober::new().on_bus(bus.address()), "echo said");
    let view = reporter.now(draft(&["web.service", "db.service"], "head\n"), plan(dir.path(), "")).await;
    let units = "units\n  web.service has failed (exit-code: exit code 3); see journalctl -u web.service, 2 restarts\n  db.service is active (running)\n";
    assert!(view.text.contains(units), "{}", view.text);
    systemd.hang(true);
    let view = reporter.now(draft(&["web.service"], "head\n"), plan(dir.path(), "")).await;
    assert!(view.text.contains("web.service: timed out after") && view.text.contains("| said"), "{}", view.text);
    assert!(!view.failure);
}

#[tokio::test]
async fn scenario_18_journal_lines_are_carried_only_if_asked_for_and_secrets_never() {
    let dir = crate::private::directory();
    let token = crate::secrets::secrets()["security_token"];
    let script = format!("echo 'from the journal {token} and {}'", token.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D"));
    // No systemd anywhere.
    let prober = Prober::new().on_bus(format!("unix:path={}", dir.path().join("nothing").display()));
    let reporter = reporter(dir.path(), prober, &script);
    let text = format!("head {token}\n");
    let carried = reporter.make(draft(&["web.service"], &text), plan(dir.path(), "")).await;
    assert!(carried.starts_with("head [hidden]\n\nunits\n  web.service: cannot reach the system bus"), "{carried}");
    assert!(!carried.contains("journal\n"), "{carried}");
    let carried = reporter.make(draft(&["web.service"], &text), plan(dir.path(), "journal_to_handle = true\n")).await;
    assert!(carried.ends_with("journal\n  web.service\n    | from the journal [hidden] and [hidden]\n"), "{carried}");
    let kept = Shelf::new(&dir.path().join("state")).last(Some("i-1"), Some("web")).unwrap();
    assert_eq!(*kept.text, *carried);
    assert!(!reporter.hide(&text, &plan(dir.path(), "")).contains(token));
}

#[tokio::test]
async fn scenario_30_a_report_is_bounded_and_no_part_drives_out_another() {
    let dir = crate::private::directory();
    let prober = Prober::new().on_bus(format!("unix:path={}", dir.path().join("nothing").display()));
    let script = "i=0; while [ $i -lt 2000 ]; do echo a line of the journal that is told; i=$((i+1)); done";
    let reporter = reporter(dir.path(), prober, script);
    let units: Vec<String> = (0..40).map(|number| format!("unit{number}.service")).collect();
    let units: Vec<&str> = units.iter().map(String::as_str).collect();
    let view = reporter.now(draft(&units, &"a check that fails\n".repeat(20_000)), plan(dir.path(), "")).await;
    assert!(view.text.len() <= KEPT, "{}", view.text.len());
    for part in [
        "a check that fails\n",
        " bytes cut]\n",
        "\nunits\n  unit0.service",
        "\njournal\n  unit0.service\n",
        "| a line of the journal that is told",
    ] {
        assert!(view.text.contains(part), "no {part:?}");
    }
    assert!(view.text.contains("unit15.service") && !view.text.contains("unit16.service"));
}
