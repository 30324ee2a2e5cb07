//! The agent in Prometheus text (OpenMetrics), made from the status snapshot at the moment it is asked for.

mod stack;

use crate::agent::status::{CheckView, SignalStatusView, Status};
use crate::check::Health;
use crate::plan::ClockTrust;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use std::sync::atomic::AtomicU64;

/// Of the text.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct CheckLabels {
    check: String,
    kind: String,
    level: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct StateLabels {
    check: String,
    state: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct SignalLabels {
    signal: String,
    resource: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct SignalStateLabels {
    signal: String,
    state: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ReadingLabels {
    check: String,
    label: String,
    unit: String,
}

type Real = Gauge<f64, AtomicU64>;

/// From the moment a run was due to its start, by kind of check: what the loop and the slots cost. Clones share it.
#[derive(Clone, Debug)]
pub struct Lateness(Family<KindLabels, Histogram, fn() -> Histogram>);

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct KindLabels {
    kind: &'static str,
}

impl Default for Lateness {
    fn default() -> Self {
        Self(Family::new_with_constructor(|| Histogram::new([0.001, 0.003, 0.01, 0.03, 0.05, 0.1, 0.3, 1.0, 3.0, 10.0])))
    }
}

impl Lateness {
    /// A run of a check of `kind` starts `ms` after it was due.
    pub fn observe(&self, kind: &'static str, ms: i64) {
        self.0.get_or_create(&KindLabels { kind }).observe(seconds(ms.max(0)));
    }
}

/// The snapshot as text.
pub fn render(status: &Status, lateness: &Lateness) -> String {
    let mut registry = Registry::with_prefix("ros_signal_agent");
    register_agent(&mut registry, status);
    register_checks(&mut registry, &status.checks);
    let help = "From the moment a run of a check was due to its start";
    registry.register_with_unit("check_lateness", help, Unit::Seconds, lateness.0.clone());
    register_signals(&mut registry, &status.signals);
    stack::register(&mut registry, status);
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = encode(&mut text, &registry);
    text
}

fn register_agent(registry: &mut Registry, status: &Status) {
    let flag = |registry: &mut Registry, name: &str, help: &str, value: bool| {
        let gauge: Gauge = Gauge::default();
        gauge.set(i64::from(value));
        registry.register(name, help, gauge);
    };
    flag(registry, "held", "Verdicts are paused by the operator", status.held);
    flag(registry, "state_durable", "The ledger can be written", status.not_durable.is_none());
    flag(registry, "identity_known", "The instance id is known", status.instance_id.is_some());
    let Some(clock) = status.clock else { return };
    let by_metadata = clock.verified_by == ClockTrust::Metadata;
    flag(registry, "clock_from_metadata", "Certificates are judged by the time of the metadata service", by_metadata);
    let skews = [
        ("clock_skew", "Clock of ROS minus the system clock", clock.ros_ahead_ms),
        ("metadata_clock_skew", "Clock of the metadata service minus the system clock", clock.metadata_ahead_ms),
    ];
    for (name, help, skew_ms) in skews {
        let Some(skew_ms) = skew_ms else { continue };
        let gauge = Real::default();
        gauge.set(seconds(skew_ms));
        registry.register_with_unit(name, help, Unit::Seconds, gauge);
    }
}

fn register_checks(registry: &mut Registry, checks: &[CheckView]) {
    let state = Family::<StateLabels, Gauge>::default();
    let runs = Family::<CheckLabels, Counter>::default();
    let took = Family::<CheckLabels, Real>::default();
    let age = Family::<CheckLabels, Real>::default();
    let readings = Family::<ReadingLabels, Real>::default();
    for check in checks {
        for (word, health) in STATES {
            let labels = StateLabels { check: check.name.clone(), state: word.to_owned() };
            state.get_or_create(&labels).set(i64::from(check.state == health));
        }
        let labels = CheckLabels { check: check.name.clone(), kind: check.kind.clone(), level: check.level.clone() };
        runs.get_or_create(&labels).inc_by(check.runs);
        age.get_or_create(&labels).set(seconds(check.for_ms));
        if let Some(last) = &check.last {
            took.get_or_create(&labels).set(seconds(last.took_ms));
            for reading in &last.readings {
                let labels = ReadingLabels { check: check.name.clone(), label: reading.label.clone(), unit: reading.unit.clone() };
                readings.get_or_create(&labels).set(reading.value);
            }
        }
    }
    registry.register("check_state", "Committed state of a check: 1 for the state it is in", state);
    registry.register("check_runs", "Runs of a check since the agent started", runs);
    registry.register_with_unit("check_last_run", "How long the last run took", Unit::Seconds, took);
    registry.register("check_reading", "What the last run of a check has read: perfdata, or what a numeric check measures", readings);
    registry.register_with_unit("check_state_age", "How long a check is in its state", Unit::Seconds, age);
}

const STATES: [(&str, Option<Health>); 5] = [
    ("initial", None),
    ("passing", Some(Health::Passing)),
    ("warning", Some(Health::Warning)),
    ("critical", Some(Health::Critical)),
    ("unknown", Some(Health::Unknown)),
];

fn register_signals(registry: &mut Registry, signals: &[SignalStatusView]) {
    let state = Family::<SignalStateLabels, Gauge>::default();
    let attempts = Family::<SignalLabels, Counter>::default();
    let healthy = Family::<SignalLabels, Gauge>::default();
    let decides = Family::<SignalLabels, Real>::default();
    let confirmed = Family::<SignalStateLabels, Gauge>::default();
    let warnings = Family::<SignalLabels, Gauge>::default();
    for signal in signals {
        let labels = SignalLabels { signal: signal.name.clone(), resource: signal.resource.clone() };
        state.get_or_create(&SignalStateLabels { signal: signal.name.clone(), state: signal.state.clone() }).set(1);
        attempts.get_or_create(&labels).inc_by(u64::from(signal.attempts));
        healthy.get_or_create(&labels).set(i64::from(signal.healthy));
        if let Some(word) = &signal.confirmed {
            confirmed.get_or_create(&SignalStateLabels { signal: signal.name.clone(), state: word.clone() }).set(1);
        }
        warnings.get_or_create(&labels).set(i64::try_from(signal.warnings.len()).unwrap_or(i64::MAX));
        if let Some(within) = signal.decides_within_ms {
            decides.get_or_create(&labels).set(seconds(within));
        }
    }
    registry.register("signal_state", "State of a signal: 1 for the state it is in", state);
    registry.register("signal_attempts", "Attempts to send since the agent started", attempts);
    registry.register("signal_healthy", "All required checks have been passing for min_healthy_time", healthy);
    registry.register("signal_confirmed", "What was seen after the acknowledgement: 1 for what it is", confirmed);
    registry.register("signal_warnings", "What does not fit between the configuration and the template of the stack", warnings);
    registry.register_with_unit("signal_decides_within", "Time until the decision at the latest", Unit::Seconds, decides);
}

fn seconds(ms: i64) -> f64 {
    std::time::Duration::from_millis(ms.unsigned_abs()).as_secs_f64().copysign(if ms < 0 { -1.0 } else { 1.0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::status::LastView;
    use crate::check::Reading;

    fn status(readings: Vec<Reading>) -> Status {
        let last = LastView {
            health: Health::Passing,
            message: "fine".to_owned(),
            output: String::new(),
            terminal: false,
            readings,
            ago_ms: 0,
            took_ms: 12,
        };
        let check = CheckView {
            name: "disk".to_owned(),
            kind: "exec".to_owned(),
            level: "required".to_owned(),
            state: Some(Health::Passing),
            for_ms: 1000,
            last: Some(last),
            runs: 3,
            running: false,
            waiting_for: None,
            in_start_period: false,
        };
        Status {
            version: "0.1.0".to_owned(),
            at: "2026-01-02T03:04:05Z".to_owned(),
            summary: String::new(),
            held: false,
            instance_id: None,
            identity_error: None,
            misconfigured: None,
            not_durable: None,
            clock: None,
            signals: Vec::new(),
            checks: vec![check],
            stacks: Vec::new(),
            sources: Vec::new(),
            hooks: Vec::new(),
        }
    }

    #[test]
    fn readings_are_series_whatever_a_plug_in_calls_them() {
        let reading = |label: &str, value: f64, unit: &str| Reading { label: label.to_owned(), value, unit: unit.to_owned() };
        let said = vec![
            reading("/", 1e9, "B"),
            reading("C:\\ \"used\"\nnow", 0.5, "%"),
            reading("twice", 1.0, "s"),
            reading("twice", 2.0, "s"),
            reading("twice", 3.0, "c"),
        ];
        let text = render(&status(said), &Lateness::default());
        let mut series: Vec<_> = text.lines().filter(|line| line.starts_with("ros_signal_agent_check_reading{")).collect();
        series.sort_unstable();
        assert_eq!(
            series,
            [
                r#"ros_signal_agent_check_reading{check="disk",label="/",unit="B"} 1000000000.0"#,
                r#"ros_signal_agent_check_reading{check="disk",label="C:\\ \"used\"\nnow",unit="%"} 0.5"#,
                r#"ros_signal_agent_check_reading{check="disk",label="twice",unit="c"} 3.0"#,
                r#"ros_signal_agent_check_reading{check="disk",label="twice",unit="s"} 2.0"#,
            ]
        );
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn stacks_sources_and_hooks_are_series_and_where_there_are_none_there_is_no_series() {
        use crate::agent::status::{HookView, StackView};
        use crate::events::SourceView;
        let without = render(&status(Vec::new()), &Lateness::default());
        assert!(!["stack_", "source_", "events_", "hook_"].iter().any(|name| without.contains(&format!("ros_signal_agent_{name}"))));
        let stack = StackView {
            stack_id: "4a6c".to_owned(),
            status: Some("UPDATE_COMPLETE".to_owned()),
            state: "watched".to_owned(),
            warnings: vec!["no eventbridge".to_owned()],
            looks: 7,
            failed_looks: 2,
            ..StackView::default()
        };
        let source = SourceView {
            name: "relay".to_owned(),
            kind: "http".to_owned(),
            healthy: true,
            received: 3,
            refused: [("bad signature".to_owned(), 4)].into(),
            ..SourceView::default()
        };
        let hook = HookView { name: "apply".to_owned(), queued: 1, succeeded_runs: 5, failed_runs: 6, ..HookView::default() };
        let all = Status { stacks: vec![stack], sources: vec![source], hooks: vec![hook], ..status(Vec::new()) };
        let text = render(&all, &Lateness::default());
        for series in [
            r#"stack_status{stack_id="4a6c",status="UPDATE_COMPLETE"} 1"#,
            r#"stack_watched{stack_id="4a6c"} 1"#,
            r#"stack_looks_total{stack_id="4a6c",outcome="answered"} 5"#,
            r#"stack_looks_total{stack_id="4a6c",outcome="failed"} 2"#,
            r#"stack_warnings{stack_id="4a6c"} 1"#,
            r#"source_healthy{source="relay",kind="http"} 1"#,
            r#"events_received_total{source="relay",kind="http"} 3"#,
            r#"events_refused_total{source="relay",reason="bad signature"} 4"#,
            r#"hook_runs_total{hook="apply",outcome="succeeded"} 5"#,
            r#"hook_runs_total{hook="apply",outcome="failed"} 6"#,
            r#"hook_queued{hook="apply"} 1"#,
        ] {
            assert!(text.lines().any(|line| line == format!("ros_signal_agent_{series}")), "{series}\n{text}");
        }
    }
}
