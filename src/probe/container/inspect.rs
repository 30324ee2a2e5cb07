//! What the description of a container means. Pure.
//!
//! Only this is read of the answer of `GET /containers/NAME/json` (Docker Engine API, "Inspect a container"):
//!
//! ```json
//! {"State": {"Status": "running", "OOMKilled": false, "ExitCode": 0, "Error": "",
//!            "Health": {"Status": "unhealthy", "FailingStreak": 3, "Log": [{"ExitCode": 1, "Output": "connection refused\n"}]}},
//!  "RestartCount": 0, "HostConfig": {"RestartPolicy": {"Name": "no"}}}
//! ```
//!
//! Without a health check `Health` is missing (Docker), has the status `none` (Docker with `--no-healthcheck`) or an empty one (Podman).

use crate::check::{Health, Observation};
use crate::plan::Container;
use crate::probe::text::{printable, quoted};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Description {
    state: State,
    #[serde(default)]
    restart_count: i64,
    #[serde(default)]
    host_config: HostConfig,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct State {
    status: String,
    #[serde(default)]
    exit_code: i64,
    #[serde(default, rename = "OOMKilled")]
    out_of_memory: bool,
    #[serde(default)]
    error: String,
    health: Option<Checked>,
}

/// The engine's own health check.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Checked {
    #[serde(default)]
    status: String,
    #[serde(default)]
    failing_streak: i64,
    log: Option<Vec<Attempt>>,
}

/// One run of it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Attempt {
    #[serde(default)]
    exit_code: i64,
    #[serde(default)]
    output: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct HostConfig {
    restart_policy: RestartPolicy,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct RestartPolicy {
    name: String,
}

/// The observation for a container that is described so.
pub(super) fn judge(container: &Container, answer: &[u8]) -> Observation {
    let description: Description = match serde_json::from_slice(answer) {
        Ok(description) => description,
        Err(error) => {
            let message = format!("what the engine says about container {} is not understood: {error}", container.name);
            return Observation::new(Health::Unknown, message);
        }
    };
    let Description { state, restart_count, host_config } = &description;
    let mut seen = match state.status.as_str() {
        "running" => running(container, state.health.as_ref()),
        "exited" | "dead" => ended(container, state, &host_config.restart_policy.name),
        "restarting" => critical(container, &format!("is restarting after {}, restarted {}", end(state), times(*restart_count))),
        "created" => critical(container, &format!("was created but does not run{}", reason(state))),
        "paused" => critical(container, "is paused"),
        other => critical(container, &format!("is in the state {}", quoted(other))),
    };
    if let Some(attempt) = last_attempt(state.health.as_ref()) {
        seen.output = crate::check::clip(printable(&attempt.output), crate::check::OUTPUT_LIMIT);
    }
    seen.reading("restarts", count(*restart_count), "c")
}

fn running(container: &Container, health: Option<&Checked>) -> Observation {
    let name = &container.name;
    match health.map_or("", |health| health.status.as_str()) {
        "healthy" => Observation::new(Health::Passing, format!("container {name} is healthy")),
        "starting" => critical(container, &format!("is starting: its health check has not passed yet{}", said(health))),
        "unhealthy" => {
            let streak = health.map_or(0, |health| health.failing_streak);
            let failed = if streak > 0 { format!(", failed {}", times(streak)) } else { String::new() };
            critical(container, &format!("is unhealthy{failed}{}", said(health)))
        }
        "" | "none" => Observation::new(container.without_healthcheck, format!("container {name} is running, without a health check")),
        other => critical(container, &format!("is running, its health check is in the state {}", quoted(other))),
    }
}

/// Never terminal: where the engine does not restart it, systemd or an orchestrator may, and an image of a host can have been made with
/// a stopped container that a script starts after boot.
fn ended(container: &Container, state: &State, policy: &str) -> Observation {
    let alone = match (state.status.as_str(), policy) {
        ("exited", "" | "no") => "; the engine does not restart it (restart policy no)",
        _ => "",
    };
    critical(container, &format!("has ended with {}{}{alone}", end(state), reason(state)))
}

fn end(state: &State) -> String {
    let killed = if state.out_of_memory { " (killed for want of memory)" } else { "" };
    format!("exit code {}{killed}", state.exit_code)
}

/// Why the engine could not start it.
fn reason(state: &State) -> String {
    if state.error.is_empty() { String::new() } else { format!(": {}", quoted(&state.error)) }
}

/// What the health check said last.
fn said(health: Option<&Checked>) -> String {
    match last_attempt(health) {
        Some(Attempt { exit_code, output }) if output.trim().is_empty() => format!(" (exit code {exit_code})"),
        Some(Attempt { exit_code, output }) => format!(": {} (exit code {exit_code})", quoted(output.trim())),
        None => String::new(),
    }
}

fn last_attempt(health: Option<&Checked>) -> Option<&Attempt> {
    health?.log.as_ref()?.last()
}

fn times(count: i64) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

fn critical(container: &Container, what: &str) -> Observation {
    Observation::new(Health::Critical, format!("container {} {what}", container.name))
}

/// Counts that a container really reaches are exact.
fn count(count: i64) -> f64 {
    f64::from(i32::try_from(count).unwrap_or(i32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(without_healthcheck: Health, answer: &str) -> Observation {
        judge(&Container { name: "web".to_owned(), socket: None, without_healthcheck }, answer.as_bytes())
    }

    fn of_state(state: &str, policy: &str) -> (Health, bool, String) {
        let answer = format!(r#"{{"State":{state},"RestartCount":3,"HostConfig":{{"RestartPolicy":{{"Name":"{policy}"}}}}}}"#);
        let seen = judged(Health::Passing, &answer);
        assert_eq!((seen.readings[0].label.as_str(), seen.readings[0].value), ("restarts", 3.0));
        (seen.health, seen.terminal, seen.message)
    }

    #[test]
    fn each_state_is_said_in_words() {
        let table = [
            (r#"{"Status":"restarting","ExitCode":1}"#, "container web is restarting after exit code 1, restarted 3 times"),
            (r#"{"Status":"paused"}"#, "container web is paused"),
            (
                r#"{"Status":"created","Error":"no such file: \"x\""}"#,
                "container web was created but does not run: \"no such file: \"x\"\"",
            ),
            (r#"{"Status":"removing"}"#, "container web is in the state \"removing\""),
            (r#"{"Status":"dead","ExitCode":2}"#, "container web has ended with exit code 2"),
            (
                r#"{"Status":"exited","ExitCode":137,"OOMKilled":true}"#,
                "container web has ended with exit code 137 (killed for want of memory)",
            ),
            (
                r#"{"Status":"running","Health":{"Status":"unhealthy","FailingStreak":1,"Log":[{"ExitCode":1,"Output":"a"},{"ExitCode":7,"Output":"no\nroute \n"}]}}"#,
                "container web is unhealthy, failed once: \"no\\nroute\" (exit code 7)",
            ),
            (
                r#"{"Status":"running","Health":{"Status":"starting","Log":null}}"#,
                "container web is starting: its health check has not passed yet",
            ),
        ];
        for (state, message) in table {
            assert_eq!(of_state(state, "always"), (Health::Critical, false, message.to_owned()), "{state}");
        }
        let healthy = r#"{"Status":"running","Health":{"Status":"healthy","FailingStreak":0,"Log":[]}}"#;
        assert_eq!(of_state(healthy, "no"), (Health::Passing, false, "container web is healthy".to_owned()));
    }

    #[test]
    fn a_container_that_ended_may_be_started_again_by_others_than_the_engine() {
        let ended = |status: &str, policy: &str| of_state(&format!(r#"{{"Status":"{status}","ExitCode":1}}"#), policy);
        for policy in ["no", ""] {
            let message = "container web has ended with exit code 1; the engine does not restart it (restart policy no)";
            assert_eq!(ended("exited", policy), (Health::Critical, false, message.to_owned()), "{policy}");
        }
        for policy in ["always", "unless-stopped", "on-failure"] {
            assert_eq!(ended("exited", policy).2, "container web has ended with exit code 1", "{policy}");
        }
    }

    #[test]
    fn without_a_health_check_running_is_what_the_configuration_says() {
        for health in [r#""#, r#","Health":null"#, r#","Health":{"Status":""}"#, r#","Health":{"Status":"none"}"#] {
            for without in [Health::Passing, Health::Warning, Health::Critical] {
                let seen = judged(without, &format!(r#"{{"State":{{"Status":"running"{health}}}}}"#));
                assert_eq!((seen.health, seen.message.as_str()), (without, "container web is running, without a health check"));
            }
        }
    }

    #[test]
    fn what_is_no_description_is_our_trouble_and_not_the_containers() {
        for answer in ["", "[]", "{}", r#"{"State":{}}"#, r#"{"State":"running"}"#, "<html>"] {
            let seen = judged(Health::Passing, answer);
            assert_eq!(seen.health, Health::Unknown, "{answer}");
            assert!(seen.message.starts_with("what the engine says about container web is not understood: "), "{}", seen.message);
        }
    }

    proptest::proptest! {
        #[test]
        fn whatever_an_engine_answers_is_judged_without_a_panic(status in "[a-z\\PC]{0,12}", output in "\\PC{0,600}", code in proptest::num::i64::ANY) {
            let answer = serde_json::json!({"State": {"Status": status, "ExitCode": code, "Error": output,
                "Health": {"Status": status, "FailingStreak": code, "Log": [{"ExitCode": code, "Output": output}]}}, "RestartCount": code});
            let seen = judged(Health::Passing, &answer.to_string());
            assert!(seen.output.len() <= crate::check::OUTPUT_LIMIT && !seen.message.contains(char::is_control));
        }
    }
}
