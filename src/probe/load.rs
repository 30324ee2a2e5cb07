//! `type = "load"`: the averages of `/proc/loadavg`, proc_loadavg(5).

use super::measured::{judged, plain};
use super::proc;
use crate::check::Observation;
use crate::plan::{Load, LoadMeasure};
use std::path::Path;

/// Some forty bytes are written there.
const LOADAVG_LIMIT: u64 = 4096;
/// A list of ranges of CPUs.
const ONLINE_LIMIT: u64 = 64 * 1024;
/// More CPUs than any kernel has; what says more is not understood.
const CPUS_LIMIT: u32 = 1 << 20;

/// Makes one observation. Nothing in here waits: the kernel answers from memory.
pub(super) fn look(load: &Load) -> Observation {
    look_at(load, Path::new("/proc/loadavg"), Path::new("/sys/devices/system/cpu/online"))
}

fn look_at(load: &Load, loadavg: &Path, online: &Path) -> Observation {
    let averages = match proc::text(loadavg, LOADAVG_LIMIT) {
        Ok(text) => averages(&text),
        Err(error) => return proc::unreadable(loadavg, &error),
    };
    let Some([load1, load5, load15]) = averages else { return proc::strange(loadavg) };
    let (name, value) = match load.measure {
        LoadMeasure::Load1 => ("load1", load1),
        LoadMeasure::Load5 => ("load5", load5),
        LoadMeasure::Load15 => ("load15", load15),
    };
    let observation = if load.per_cpu {
        let cpus = match proc::text(online, ONLINE_LIMIT) {
            Ok(text) => cpus(&text),
            Err(error) => return proc::unreadable(online, &error),
        };
        let Some(cpus) = cpus else { return proc::strange(online) };
        let each = value / f64::from(cpus);
        let said = format!("{name} is {} per CPU ({} on {cpus} CPUs)", plain(each), plain(value));
        judged(&load.thresholds, each, said, |end| end.to_string()).reading(format!("{name} per CPU"), each, "").reading(
            "CPUs",
            f64::from(cpus),
            "",
        )
    } else {
        judged(&load.thresholds, value, format!("{name} is {}", plain(value)), |end| end.to_string())
    };
    observation.reading("load1", load1, "").reading("load5", load5, "").reading("load15", load15, "")
}

/// `0.20 0.18 0.12 1/80 11206`.
fn averages(text: &str) -> Option<[f64; 3]> {
    let mut words = text.split_ascii_whitespace();
    let mut next = || words.next()?.parse().ok().filter(|value: &f64| value.is_finite() && *value >= 0.0);
    Some([next()?, next()?, next()?])
}

/// How many CPUs a list such as `0-3,8` has; never 0.
fn cpus(list: &str) -> Option<u32> {
    let mut sum = 0_u32;
    for part in list.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        sum = sum.checked_add(last.checked_sub(first)?.checked_add(1)?)?;
    }
    (1..=CPUS_LIMIT).contains(&sum).then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{Health, Thresholds};

    fn load(measure: LoadMeasure, per_cpu: bool) -> Load {
        let range = |text: &str| Some(text.parse().unwrap());
        Load { measure, per_cpu, thresholds: Thresholds { warn: range("2"), crit: range("4") } }
    }

    fn seen(load: &Load, loadavg: &str, online: &str) -> Observation {
        let home = tempfile::tempdir().unwrap();
        let (first, second) = (home.path().join("loadavg"), home.path().join("online"));
        std::fs::write(&first, loadavg).unwrap();
        std::fs::write(&second, online).unwrap();
        look_at(load, &first, &second)
    }

    #[test]
    fn the_average_that_was_asked_for_is_judged_and_all_are_read() {
        let text = "4.50 3.00 1.25 2/345 6789\n";
        let seen = |measure| seen(&load(measure, false), text, "");
        let told = [LoadMeasure::Load1, LoadMeasure::Load5, LoadMeasure::Load15].map(seen);
        assert_eq!(told.each_ref().map(|seen| seen.health), [Health::Critical, Health::Warning, Health::Passing]);
        assert_eq!(told[0].message, "load1 is 4.5, critical above 4");
        assert_eq!(told[2].message, "load15 is 1.25");
        let readings: Vec<_> = told[1].readings.iter().map(|reading| (reading.label.as_str(), reading.value)).collect();
        assert_eq!(readings, [("load1", 4.5), ("load5", 3.0), ("load15", 1.25)]);
    }

    #[test]
    fn per_cpu_divides_by_the_cpus_that_are_online() {
        let told = seen(&load(LoadMeasure::Load1, true), "10 1 1 1/1 1", "0-2,7\n");
        assert_eq!((told.health, told.message.as_str()), (Health::Warning, "load1 is 2.5 per CPU (10 on 4 CPUs), warning above 2"));
        assert_eq!(told.readings.len(), 5);
    }

    #[test]
    fn what_is_not_understood_is_unknown_and_never_a_panic() {
        for text in ["", "1", "1 2", "a b c", "1 2 NaN 1/1 1", "inf 1 1", "-1 1 1", "1e999 1 1"] {
            assert_eq!(seen(&load(LoadMeasure::Load5, false), text, "0").health, Health::Unknown, "{text}");
        }
        for list in ["", "a", "3-1", "0-4294967295", "0-4294967294,0-9", "1-", "-", "0,,1"] {
            assert_eq!(seen(&load(LoadMeasure::Load5, true), "1 1 1", list).health, Health::Unknown, "{list}");
        }
        let missing = look_at(&load(LoadMeasure::Load5, false), Path::new("/proc/no-such-file"), Path::new("/"));
        assert!(missing.message.ends_with("ProcSubset=pid in the agent's unit would hide it"), "{}", missing.message);
    }
}
