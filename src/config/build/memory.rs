//! The keys of `type = "memory"`.

use super::limits;
use crate::config::reader::Reader;
use crate::plan::{Memory, MemoryMeasure};

pub(super) fn memory(reader: &mut Reader<'_>) -> Option<Memory> {
    let measure = reader.word("measure", |word| match word {
        "available_percent" => Some(MemoryMeasure::AvailablePercent),
        "available" => Some(MemoryMeasure::Available),
        "used_percent" => Some(MemoryMeasure::UsedPercent),
        "swap_used_percent" => Some(MemoryMeasure::SwapUsedPercent),
        _ => None,
    });
    let thresholds = match measure {
        Some(MemoryMeasure::AvailablePercent) => limits::or_else(reader, "10:", "5:"),
        Some(MemoryMeasure::Available) => limits::demanded_in_bytes(reader, "crit = \"256MiB:\" alerts below 256 MiB"),
        Some(MemoryMeasure::UsedPercent | MemoryMeasure::SwapUsedPercent) => {
            limits::demanded(reader, "crit = \"90\" alerts above 90 percent")
        }
        None => reader.thresholds(),
    };
    Some(Memory { measure: measure?, thresholds: thresholds? })
}
