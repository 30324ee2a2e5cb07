//! `type = "memory"`: what `/proc/meminfo` says, proc_meminfo(5).

use super::measured::{bytes, judged, percent, share};
use super::proc;
use crate::check::{Health, Observation};
use crate::plan::{Memory, MemoryMeasure};
use std::path::Path;

/// Some two thousand bytes are written there.
const MEMINFO_LIMIT: u64 = 64 * 1024;

/// Makes one observation. Nothing in here waits: the kernel answers from memory.
pub(super) fn look(memory: &Memory) -> Observation {
    look_at(memory, Path::new("/proc/meminfo"))
}

fn look_at(memory: &Memory, meminfo: &Path) -> Observation {
    let text = match proc::text(meminfo, MEMINFO_LIMIT) {
        Ok(text) => text,
        Err(error) => return proc::unreadable(meminfo, &error),
    };
    match Amounts::read(&text) {
        Some(amounts) => judge(memory, &amounts),
        None if text.contains("MemTotal:") && !text.contains("MemAvailable:") => {
            Observation::new(Health::Unknown, "this kernel does not say how much memory is available: it is older than 3.14")
        }
        None => proc::strange(meminfo),
    }
}

/// In bytes.
struct Amounts {
    total: f64,
    available: f64,
    swap_total: f64,
    swap_used: f64,
}

impl Amounts {
    fn read(text: &str) -> Option<Self> {
        let [mut total, mut available, mut swap_total, mut swap_free] = [None; 4];
        for line in text.lines() {
            let Some((name, rest)) = line.split_once(':') else { continue };
            let place = match name {
                "MemTotal" => &mut total,
                "MemAvailable" => &mut available,
                "SwapTotal" => &mut swap_total,
                "SwapFree" => &mut swap_free,
                _ => continue,
            };
            *place = Some(kilobytes(rest)?);
        }
        let (swap_total, swap_free) = (swap_total.unwrap_or(0.0), swap_free.unwrap_or(0.0));
        let total = total.filter(|total| *total > 0.0)?;
        // In some containers both come from different places, so that more can be available than there is.
        Some(Self { total, available: available?.min(total), swap_total, swap_used: (swap_total - swap_free).max(0.0) })
    }
}

/// `  16303428 kB`.
fn kilobytes(text: &str) -> Option<f64> {
    let number: u64 = text.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    Some(number as f64 * 1024.0)
}

fn judge(memory: &Memory, amounts: &Amounts) -> Observation {
    let Amounts { total, available, swap_total, swap_used } = *amounts;
    let available_percent = share(available, total);
    let used_percent = share(total - available, total);
    let swap_percent = share(swap_used, swap_total);
    let limits = &memory.thresholds;
    let free = || format!("{} of {} memory are available ({})", bytes(available), bytes(total), percent(available_percent));
    let observation = match memory.measure {
        MemoryMeasure::AvailablePercent => judged(limits, available_percent, free(), percent),
        MemoryMeasure::Available => judged(limits, available, free(), bytes),
        MemoryMeasure::UsedPercent => {
            let said = format!("{} of {} memory are in use ({})", bytes(total - available), bytes(total), percent(used_percent));
            judged(limits, used_percent, said, percent)
        }
        MemoryMeasure::SwapUsedPercent if swap_total <= 0.0 => judged(limits, 0.0, "there is no swap".to_owned(), percent),
        MemoryMeasure::SwapUsedPercent => {
            let said = format!("{} of {} swap are in use ({})", bytes(swap_used), bytes(swap_total), percent(swap_percent));
            judged(limits, swap_percent, said, percent)
        }
    };
    observation
        .reading("available", available, "B")
        .reading("available percent", available_percent, "%")
        .reading("used percent", used_percent, "%")
        .reading("swap used percent", swap_percent, "%")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Thresholds;

    const MEMINFO: &str = "MemTotal:       8388608 kB\nMemFree:          200000 kB\nMemAvailable:    1048576 kB\nBuffers:          1 kB\n\
                           HugePages_Total:       0\nSwapTotal:       2097152 kB\nSwapFree:        1572864 kB\n";

    fn seen(measure: MemoryMeasure, crit: &str, text: &str) -> Observation {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("meminfo");
        std::fs::write(&path, text).unwrap();
        look_at(&Memory { measure, thresholds: Thresholds { warn: None, crit: Some(crit.parse().unwrap()) } }, &path)
    }

    #[test]
    fn each_measure_judges_its_number() {
        let cases = [
            (MemoryMeasure::AvailablePercent, "10:", Health::Passing, "1 GiB of 8 GiB memory are available (12.5%)"),
            (MemoryMeasure::AvailablePercent, "15:", Health::Critical, "1 GiB of 8 GiB memory are available (12.5%), critical below 15%"),
            (
                MemoryMeasure::Available,
                "2147483648:",
                Health::Critical,
                "1 GiB of 8 GiB memory are available (12.5%), critical below 2 GiB",
            ),
            (MemoryMeasure::UsedPercent, "80", Health::Critical, "7 GiB of 8 GiB memory are in use (87.5%), critical above 80%"),
            (MemoryMeasure::SwapUsedPercent, "30", Health::Passing, "512 MiB of 2 GiB swap are in use (25%)"),
        ];
        for (measure, crit, health, message) in cases {
            let told = seen(measure, crit, MEMINFO);
            assert_eq!((told.health, told.message.as_str()), (health, message));
            assert_eq!(told.readings.len(), 4);
        }
    }

    #[test]
    fn a_host_without_swap_uses_none() {
        let told = seen(MemoryMeasure::SwapUsedPercent, "50", "MemTotal: 10 kB\nMemAvailable: 5 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n");
        assert_eq!((told.health, told.message.as_str()), (Health::Passing, "there is no swap"));
    }

    #[test]
    fn what_is_not_understood_is_unknown_and_never_a_panic() {
        let broken = [
            "",
            "MemTotal: 8 kB",
            "MemTotal: x kB\nMemAvailable: 1 kB",
            "MemTotal: 0 kB\nMemAvailable: 0 kB",
            "MemTotal: 1 kB\nMemAvailable: -1 kB",
            "MemTotal: 1\nMemAvailable: 1",
            "MemTotal: 99999999999999999999999 kB\nMemAvailable: 1 kB",
        ];
        for text in broken {
            assert_eq!(seen(MemoryMeasure::Available, "0:", text).health, Health::Unknown, "{text}");
        }
        let old = seen(MemoryMeasure::Available, "0:", "MemTotal: 8 kB\nMemFree: 4 kB\n");
        assert_eq!(old.message, "this kernel does not say how much memory is available: it is older than 3.14");
        let more_than_there_is = seen(MemoryMeasure::UsedPercent, "0:100", "MemTotal: 4 kB\nMemAvailable: 8 kB\nSwapFree: 5 kB\n");
        assert_eq!(more_than_there_is.health, Health::Passing);
    }
}
