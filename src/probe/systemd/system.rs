//! What the state of the whole system means. Pure; systemctl(1), `is-system-running`.

use crate::check::{Health, Observation};
use crate::plan::{System, SystemState};
use crate::probe::text::one_line;

/// Failed units that a message names.
const NAMED: usize = 6;

/// What systemd says of the system.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    /// `SystemState` of the manager.
    pub(super) state: String,
    /// Units that have failed; asked only when the state is `degraded`.
    pub(super) failed: Vec<String>,
    /// Jobs that are queued.
    pub(super) jobs: u32,
}

/// What `facts` mean.
pub(super) fn judge(system: &System, facts: &Facts) -> Observation {
    let state = one_line(&facts.state);
    let accepted = SystemState::of_word(&facts.state).is_some_and(|state| system.accept.contains(&state));
    let degraded = facts.state == SystemState::Degraded.word();
    let ignored = degraded && !facts.failed.is_empty() && facts.failed.iter().all(|unit| system.ignore_units.contains(unit));
    let health = if accepted || ignored { Health::Passing } else { Health::Critical };
    let blamed = facts.failed.iter().filter(|unit| ignored || !system.ignore_units.contains(unit));
    let message = match health {
        _ if ignored => format!("the system is {state}, but only by units that are ignored: {}", listed(blamed)),
        _ if degraded => format!("the system is {state}: {} failed; see systemctl --failed", listed(blamed)),
        Health::Critical if facts.jobs > 0 => format!("the system is {state}: {} jobs are queued; see systemctl list-jobs", facts.jobs),
        _ => format!("the system is {state}"),
    };
    let count = u32::try_from(facts.failed.len()).unwrap_or(u32::MAX);
    Observation::new(health, message).reading("failed_units", f64::from(count), "").reading("jobs", f64::from(facts.jobs), "")
}

fn listed<'a>(units: impl Iterator<Item = &'a String>) -> String {
    let mut names: Vec<String> = units.map(|unit| one_line(unit)).collect();
    let more = names.len().saturating_sub(NAMED);
    names.truncate(NAMED);
    match (names.is_empty(), more) {
        (true, _) => "units".to_owned(),
        (false, 0) => names.join(", "),
        (false, more) => format!("{} and {more} more", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(accept: &[SystemState], ignore: &[&str], state: &str, failed: &[&str]) -> (Health, String) {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let system = System { accept: accept.to_vec(), ignore_units: owned(ignore) };
        let observation = judge(&system, &Facts { state: state.to_owned(), failed: owned(failed), jobs: 2 });
        (observation.health, observation.message)
    }

    #[test]
    fn accepted_states_pass_and_others_say_what_is_wrong() {
        let running = [SystemState::Running];
        assert_eq!(said(&running, &[], "running", &[]), (Health::Passing, "the system is running".into()));
        let starting = "the system is starting: 2 jobs are queued; see systemctl list-jobs";
        assert_eq!(said(&running, &[], "starting", &[]), (Health::Critical, starting.into()));
        assert_eq!(said(&[SystemState::Starting], &[], "starting", &[]), (Health::Passing, "the system is starting".into()));
        assert_eq!(said(&running, &[], "what comes\nlater", &[]).0, Health::Critical);
    }

    #[test]
    fn a_degraded_system_passes_only_where_it_is_accepted_or_all_that_failed_is_ignored() {
        let running = [SystemState::Running];
        let degraded = "the system is degraded: b.service failed; see systemctl --failed";
        assert_eq!(said(&running, &["a.timer"], "degraded", &["a.timer", "b.service"]), (Health::Critical, degraded.into()));
        let ignored = "the system is degraded, but only by units that are ignored: a.timer";
        assert_eq!(said(&running, &["a.timer"], "degraded", &["a.timer"]), (Health::Passing, ignored.into()));
        assert_eq!(said(&running, &["a.timer"], "degraded", &[]).0, Health::Critical, "nobody knows what failed");
        assert_eq!(said(&[SystemState::Degraded], &[], "degraded", &["b.service"]).0, Health::Passing);
        let many: Vec<String> = (0..100).map(|number| format!("u{number}.service")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(said(&running, &[], "degraded", &many).1.contains("u5.service and 94 more failed"));
    }
}
