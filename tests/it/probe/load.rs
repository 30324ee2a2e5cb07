//! `type = "load"`, of the machine that the tests run on.

use super::*;
use ros_signal_agent::check::{Health, Thresholds};
use ros_signal_agent::plan::{Load, LoadMeasure};

#[tokio::test]
async fn the_load_of_this_machine_is_read_and_judged() {
    let limits = |crit: &str| Thresholds { warn: None, crit: Some(crit.parse().unwrap()) };
    let calm = run(Probe::Load(Load { measure: LoadMeasure::Load15, per_cpu: true, thresholds: limits("1000000") })).await;
    assert_eq!(calm.health, Health::Passing, "{}", calm.message);
    assert!(calm.message.starts_with("load15 is ") && calm.message.contains(" per CPU ("), "{}", calm.message);
    let cpus = calm.readings.iter().find(|reading| reading.label == "CPUs").unwrap().value;
    assert!(cpus >= 1.0 && calm.readings.iter().any(|reading| reading.label == "load1"));
    // Whatever the load is, it is inside of this range.
    let high = run(Probe::Load(Load { measure: LoadMeasure::Load1, per_cpu: false, thresholds: limits("@0:1000000") })).await;
    assert_eq!(high.health, Health::Critical);
    assert!(high.message.ends_with(", critical from 0 to 1000000"), "{}", high.message);
}
