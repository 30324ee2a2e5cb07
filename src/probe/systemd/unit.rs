//! What the properties of a unit mean. Pure; org.freedesktop.systemd1(5) and systemd.service(5) say what they are.

use crate::check::{Health, Observation};
use crate::plan::{ConditionUnmet, Unit};
use crate::probe::exec::exit::signal_name;
use crate::probe::text::{one_line, span};
use std::time::Duration;
use zbus::{DeserializeDict, Type};

/// How long a unit that was restarted more than `max_restarts` times must have lasted before it is out of its crash loop; or
/// `stable_for`, if that is longer. Without it a service that dies every second would pass in between.
const LASTING: Duration = Duration::from_secs(10);

/// `waitid(2)`, `si_code`.
const CLD_EXITED: i32 = 1;
const CLD_KILLED: i32 = 2;
const CLD_DUMPED: i32 = 3;

/// Properties of `org.freedesktop.systemd1.Unit`.
#[derive(Clone, Debug, Default, DeserializeDict, Type)]
#[zbus(signature = "a{sv}", rename_all = "PascalCase")]
pub(super) struct General {
    pub(super) load_state: String,
    /// Name of an error and its words.
    pub(super) load_error: Option<(String, String)>,
    pub(super) active_state: String,
    pub(super) sub_state: String,
    /// Number and object; 0: there is none.
    pub(super) job: Option<(u32, zbus::OwnedObjectPath)>,
    pub(super) condition_result: Option<bool>,
    /// Microseconds on CLOCK_MONOTONIC, as all of these; 0: never.
    pub(super) condition_timestamp_monotonic: Option<u64>,
    pub(super) assert_result: Option<bool>,
    pub(super) assert_timestamp_monotonic: Option<u64>,
    pub(super) active_enter_timestamp_monotonic: Option<u64>,
    pub(super) inactive_exit_timestamp_monotonic: Option<u64>,
}

/// Properties of the interface of its kind: all of a service; sockets, mounts, timers and the like have a result.
#[derive(Clone, Debug, Default, DeserializeDict, Type)]
#[zbus(signature = "a{sv}", rename_all = "PascalCase")]
pub(super) struct Special {
    #[zbus(rename = "Type")]
    pub(super) kind: Option<String>,
    pub(super) result: Option<String>,
    pub(super) exec_main_code: Option<i32>,
    pub(super) exec_main_status: Option<i32>,
    pub(super) n_restarts: Option<u32>,
}

/// Properties of `org.freedesktop.systemd1.Job`.
#[derive(Clone, Debug, Default, DeserializeDict, Type)]
#[zbus(signature = "a{sv}", rename_all = "PascalCase")]
pub(super) struct Job {
    pub(super) job_type: String,
    pub(super) state: String,
}

/// Everything systemd says of a unit.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    pub(super) general: General,
    pub(super) special: Special,
    /// What is to be done with it, if it could be asked in time.
    pub(super) job: Option<Job>,
}

impl Facts {
    /// Whether something is to be done with it.
    pub(super) fn has_job(&self) -> bool {
        self.general.job.as_ref().is_some_and(|(id, _)| *id != 0)
    }

    fn restarts(&self) -> u32 {
        self.special.n_restarts.unwrap_or(0)
    }

    /// Such as `activating (start-pre)`.
    fn state(&self) -> String {
        format!("{} ({})", one_line(&self.general.active_state), one_line(&self.general.sub_state))
    }

    /// Such as `, job start running`.
    fn job(&self) -> String {
        match &self.job {
            Some(job) => format!(", job {} {}", one_line(&job.job_type), one_line(&job.state)),
            None if self.has_job() => ", a job is queued".to_owned(),
            None => String::new(),
        }
    }

    /// How its main process ended, such as `exit code 1`.
    fn ending(&self) -> Option<String> {
        let status = self.special.exec_main_status?;
        match self.special.exec_main_code? {
            CLD_EXITED => Some(exit_code(status)),
            CLD_KILLED => Some(format!("killed by {}", signal_name(status))),
            CLD_DUMPED => Some(format!("killed by {}, core dumped", signal_name(status))),
            _ => None,
        }
    }
}

/// systemd.exec(5), "Process Exit Codes": what systemd itself ends with when it cannot start a program.
fn exit_code(code: i32) -> String {
    let why = match code {
        200 => "CHDIR: its working directory cannot be entered",
        203 => "EXEC: its program cannot be started",
        209 => "STDOUT: its output cannot be set up",
        216 => "GROUP: its group does not exist",
        217 => "USER: its user does not exist",
        218 => "CAPABILITIES: its capabilities cannot be set",
        226 => "NAMESPACE: its mounts cannot be set up",
        243 => "CREDENTIALS: its credentials cannot be set up",
        _ => return format!("exit code {code}"),
    };
    format!("exit code {code} ({why})")
}

/// What is seen of a unit, and after what time it would be another thing though nothing changes.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) observation: Observation,
    pub(super) again: Option<Duration>,
}

/// What `facts` mean `now` (CLOCK_MONOTONIC).
pub(super) fn judge(unit: &Unit, facts: &Facts, now: Duration) -> Seen {
    let mut seen = match facts.general.active_state.as_str() {
        "active" | "reloading" | "refreshing" => active(unit, facts, now),
        _ => Seen { observation: not_active(unit, facts), again: None },
    };
    if let Some(restarts) = facts.special.n_restarts {
        seen.observation = seen.observation.reading("restarts", f64::from(restarts), "c");
    }
    seen
}

fn active(unit: &Unit, facts: &Facts, now: Duration) -> Seen {
    let (name, state) = (&unit.name, facts.state());
    let since = Duration::from_micros(facts.general.active_enter_timestamp_monotonic.unwrap_or(0));
    let lasted = now.saturating_sub(since);
    let looping = facts.restarts() > unit.max_restarts;
    let needed = if looping { unit.stable_for.max(LASTING) } else { unit.stable_for };
    if lasted >= needed {
        return Seen { observation: Observation::new(Health::Passing, format!("{name} is {state}")), again: None };
    }
    let short = format!("active for {} of {}", rounded(lasted), span(needed));
    let message = match looping {
        true => format!("{}; {short}", crash_loop(unit, facts)),
        false => format!("{name} is {state}, but not stable yet: {short}"),
    };
    // A millisecond more, so that a timer that is a little early does not wake us twice.
    let again = (needed - lasted).saturating_add(Duration::from_millis(1));
    Seen { observation: Observation::new(Health::Critical, message), again: Some(again) }
}

fn not_active(unit: &Unit, facts: &Facts) -> Observation {
    let (name, state, job) = (&unit.name, facts.state(), facts.job());
    let critical = |message: String| Observation::new(Health::Critical, message);
    let sub_state = facts.general.sub_state.as_str();
    if sub_state.contains("auto-restart") {
        return critical(restarting(unit, facts));
    }
    let unloaded = load_trouble(name, &facts.general);
    match facts.general.active_state.as_str() {
        "failed" | "inactive" if facts.has_job() => critical(format!("{name} is {state}{job}")),
        "failed" | "inactive" if unloaded.is_some() => critical(unloaded.unwrap_or_default()).terminal(),
        "failed" => critical(failed(name, facts)).terminal(),
        "inactive" => inactive(unit, facts),
        "activating" => critical(format!("{name} is {state}{job}: it is not up yet")),
        _ => critical(format!("{name} is {state}{job}")),
    }
}

fn restarting(unit: &Unit, facts: &Facts) -> String {
    let (name, restarts) = (&unit.name, facts.restarts());
    if restarts > unit.max_restarts {
        return crash_loop(unit, facts);
    }
    let ending = facts.ending().map_or_else(String::new, |ending| format!(" after {ending}"));
    format!("{name} waits to be restarted{ending}, {restarts} restarts so far; see journalctl -u {name}")
}

fn crash_loop(unit: &Unit, facts: &Facts) -> String {
    let (name, restarts) = (&unit.name, facts.restarts());
    let ending = facts.ending().map_or_else(String::new, |ending| format!(", the last one after {ending}"));
    let most = unit.max_restarts;
    format!("{name} is in a crash loop: {restarts} restarts, max_restarts is {most}{ending}; see journalctl -u {name}")
}

/// Why there is nothing that could run; none: there is.
fn load_trouble(name: &str, general: &General) -> Option<String> {
    let words = general.load_error.as_ref().map(|(_, words)| one_line(words)).filter(|words| !words.is_empty());
    match general.load_state.as_str() {
        "not-found" => Some(format!("there is no unit {name}: it is not installed, or systemctl daemon-reload is missing")),
        "masked" => Some(format!("{name} is masked: systemctl unmask {name}")),
        "error" | "bad-setting" => {
            let words = words.map_or_else(String::new, |words| format!(" ({words})"));
            Some(format!("{name} cannot be loaded{words}; see systemctl status {name}"))
        }
        _ => None,
    }
}

fn failed(name: &str, facts: &Facts) -> String {
    let result = facts.special.result.as_deref().map(one_line);
    let why: Vec<String> = [result, facts.ending()].into_iter().flatten().collect();
    let why = if why.is_empty() { String::new() } else { format!(" ({})", why.join(": ")) };
    format!("{name} has failed{why}; see journalctl -u {name}")
}

fn inactive(unit: &Unit, facts: &Facts) -> Observation {
    let (name, general) = (&unit.name, &facts.general);
    let asked = |when: Option<u64>| when.unwrap_or(0) > 0;
    if general.condition_result == Some(false) && asked(general.condition_timestamp_monotonic) {
        let health = match unit.condition_unmet {
            ConditionUnmet::Passing => Health::Passing,
            ConditionUnmet::Critical => Health::Critical,
        };
        return Observation::new(health, format!("{name} was not started because a condition is not met; see systemctl status {name}"));
    }
    if general.assert_result == Some(false) && asked(general.assert_timestamp_monotonic) {
        return Observation::new(
            Health::Critical,
            format!("{name} was not started because an assertion failed; see systemctl status {name}"),
        );
    }
    let ran = asked(general.inactive_exit_timestamp_monotonic);
    let one_shot = facts.special.kind.as_deref() == Some("oneshot");
    if one_shot && ran && facts.special.result.as_deref() == Some("success") {
        return Observation::new(Health::Passing, format!("{name} ran and succeeded"));
    }
    let message = match (ran, facts.ending()) {
        (true, Some(ending)) => format!("{name} has stopped ({ending}); see journalctl -u {name}"),
        (true, None) => format!("{name} has stopped; see journalctl -u {name}"),
        (false, _) if one_shot => {
            format!("{name} was not started, or systemd has forgotten that it ran (RemainAfterExit=yes makes it last)")
        }
        (false, _) => format!("{name} is not started"),
    };
    Observation::new(Health::Critical, message)
}

/// Whole seconds above a second.
fn rounded(duration: Duration) -> String {
    let whole = if duration.as_secs() > 0 {
        Duration::from_secs(duration.as_secs())
    } else {
        Duration::from_millis(duration.subsec_millis().into())
    };
    span(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1000);

    fn rule() -> Unit {
        let name = "web.service".to_owned();
        Unit { name, stable_for: Duration::ZERO, max_restarts: 3, condition_unmet: ConditionUnmet::Critical }
    }

    fn facts(active: &str, sub: &str) -> Facts {
        let general = General { load_state: "loaded".into(), active_state: active.into(), sub_state: sub.into(), ..General::default() };
        let special = Special { kind: Some("simple".into()), result: Some("success".into()), ..Special::default() };
        Facts { general, special, job: None }
    }

    fn seen(facts: &Facts) -> (Health, bool, String) {
        let observation = judge(&rule(), facts, NOW).observation;
        (observation.health, observation.terminal, observation.message)
    }

    #[test]
    fn up_is_passing_and_on_the_way_is_critical_but_never_terminal() {
        for state in ["active", "reloading", "refreshing"] {
            assert_eq!(seen(&facts(state, "running")), (Health::Passing, false, format!("web.service is {state} (running)")));
        }
        let mut starting = facts("activating", "start-pre");
        starting.job = Some(Job { job_type: "start".into(), state: "running".into() });
        let message = "web.service is activating (start-pre), job start running: it is not up yet";
        assert_eq!(seen(&starting), (Health::Critical, false, message.into()));
        for state in ["deactivating", "maintenance", "what comes in later versions"] {
            assert_eq!((Health::Critical, false), (seen(&facts(state, "x")).0, seen(&facts(state, "x")).1));
        }
    }

    #[test]
    fn a_unit_is_stable_after_its_time_and_says_when_to_look_again() {
        let rule = Unit { stable_for: Duration::from_secs(10), ..rule() };
        let mut young = facts("active", "running");
        young.general.active_enter_timestamp_monotonic = Some(997_500_000);
        let seen = judge(&rule, &young, NOW);
        assert_eq!(seen.observation.message, "web.service is active (running), but not stable yet: active for 2s of 10s");
        assert_eq!((seen.observation.health, seen.again), (Health::Critical, Some(Duration::from_millis(7501))));
        let seen = judge(&rule, &young, Duration::from_micros(1_007_500_000));
        assert_eq!((seen.observation.health, seen.again), (Health::Passing, None));
        let before = judge(&rule, &young, Duration::from_secs(1));
        assert_eq!(before.observation.health, Health::Critical, "a clock that runs behind is no reason to pass");
    }

    #[test]
    fn a_crash_loop_is_said_as_such_also_while_the_unit_is_up_for_a_moment() {
        let mut crashed = facts("activating", "auto-restart");
        crashed.special = Special { exec_main_code: Some(1), exec_main_status: Some(3), n_restarts: Some(2), ..crashed.special };
        let message = "web.service waits to be restarted after exit code 3, 2 restarts so far; see journalctl -u web.service";
        assert_eq!(seen(&crashed), (Health::Critical, false, message.into()));
        crashed.special = Special { exec_main_code: Some(2), exec_main_status: Some(9), n_restarts: Some(4), ..crashed.special };
        let message = "web.service is in a crash loop: 4 restarts, max_restarts is 3, the last one after killed by SIGKILL; see journalctl -u web.service";
        assert_eq!(seen(&crashed), (Health::Critical, false, message.into()));
        crashed.general = General { active_state: "active".into(), sub_state: "running".into(), ..crashed.general };
        crashed.general.active_enter_timestamp_monotonic = Some(999_000_000);
        let up = judge(&rule(), &crashed, NOW);
        assert!(up.observation.message.ends_with("; active for 1s of 10s"), "{}", up.observation.message);
        assert_eq!((up.observation.health, up.again), (Health::Critical, Some(Duration::from_millis(9001))));
        assert_eq!(judge(&rule(), &crashed, NOW + LASTING).observation.health, Health::Passing, "it has lasted");
        assert_eq!(up.observation.readings[0].value, 4.0);
        for sub_state in ["auto-restart-queued", "failed-before-auto-restart"] {
            assert!(!seen(&facts("failed", sub_state)).1, "systemd 254 and later");
        }
    }

    #[test]
    fn failed_is_terminal_unless_a_job_will_start_it_again() {
        let mut failed = facts("failed", "failed");
        failed.special =
            Special { result: Some("exit-code".into()), exec_main_code: Some(1), exec_main_status: Some(203), ..failed.special };
        let message =
            "web.service has failed (exit-code: exit code 203 (EXEC: its program cannot be started)); see journalctl -u web.service";
        assert_eq!(seen(&failed), (Health::Critical, true, message.into()));
        failed.general.job = Some((7, zbus::OwnedObjectPath::default()));
        assert_eq!(seen(&failed), (Health::Critical, false, "web.service is failed (failed), a job is queued".into()));
    }

    #[test]
    fn a_one_shot_that_succeeded_passes_and_one_that_never_ran_does_not() {
        let mut done = facts("inactive", "dead");
        done.special.kind = Some("oneshot".into());
        assert!(seen(&done).2.starts_with("web.service was not started, or systemd has forgotten that it ran"));
        done.general.inactive_exit_timestamp_monotonic = Some(1);
        assert_eq!(seen(&done), (Health::Passing, false, "web.service ran and succeeded".into()));
        done.special.kind = Some("simple".into());
        assert_eq!(seen(&done), (Health::Critical, false, "web.service has stopped; see journalctl -u web.service".into()));
        assert_eq!(seen(&facts("inactive", "dead")), (Health::Critical, false, "web.service is not started".into()));
    }

    #[test]
    fn an_unmet_condition_means_what_the_check_says_once_it_was_asked() {
        let mut unmet = facts("inactive", "dead");
        unmet.general.condition_result = Some(false);
        assert_eq!(seen(&unmet).2, "web.service is not started", "never asked");
        unmet.general.condition_timestamp_monotonic = Some(1);
        assert_eq!(seen(&unmet).0, Health::Critical);
        let passing = Unit { condition_unmet: ConditionUnmet::Passing, ..rule() };
        assert_eq!(judge(&passing, &unmet, NOW).observation.health, Health::Passing);
        unmet.general.active_state = "active".into();
        assert_eq!(seen(&unmet).0, Health::Passing, "it runs since an earlier start");
    }

    #[test]
    fn what_cannot_be_loaded_is_terminal_but_what_runs_counts_more_than_its_file() {
        let of = |load: &str, active: &str| {
            let mut facts = facts(active, "x");
            facts.general.load_state = load.into();
            facts.general.load_error = Some(("org.x".into(), "line 3:\x1b[2J bad".into()));
            seen(&facts)
        };
        let message = "there is no unit web.service: it is not installed, or systemctl daemon-reload is missing";
        assert_eq!(of("not-found", "inactive"), (Health::Critical, true, message.into()));
        assert_eq!(of("masked", "inactive"), (Health::Critical, true, "web.service is masked: systemctl unmask web.service".into()));
        assert_eq!(of("bad-setting", "inactive").2, "web.service cannot be loaded (line 3:\\x1b[2J bad); see systemctl status web.service");
        assert_eq!(of("not-found", "active").0, Health::Passing);
        assert!(!of("masked", "deactivating").1);
    }
}
