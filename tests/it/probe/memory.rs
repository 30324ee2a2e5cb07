//! `type = "memory"`, of the machine that the tests run on.

use super::*;
use ros_signal_agent::check::{Health, Thresholds};
use ros_signal_agent::plan::{Memory, MemoryMeasure};

#[tokio::test]
async fn the_memory_of_this_machine_is_read_and_judged() {
    let crit = |text: &str| Thresholds { warn: None, crit: Some(text.parse().unwrap()) };
    let plenty = run(Probe::Memory(Memory { measure: MemoryMeasure::AvailablePercent, thresholds: crit("0:100") })).await;
    assert_eq!(plenty.health, Health::Passing, "{}", plenty.message);
    let reading = |label: &str| plenty.readings.iter().find(|reading| reading.label == label).unwrap().value;
    assert!(reading("available") > 1024.0 * 1024.0);
    assert!((reading("available percent") + reading("used percent") - 100.0).abs() < 0.01);
    // No machine has a pebibyte left.
    let little = run(Probe::Memory(Memory { measure: MemoryMeasure::Available, thresholds: crit("1125899906842624:") })).await;
    assert_eq!(little.health, Health::Critical);
    assert!(little.message.ends_with(", critical below 1 PiB"), "{}", little.message);
}
