//! The keys of `type = "disk"`.

use super::limits;
use crate::config::forms;
use crate::config::reader::Reader;
use crate::plan::{Disk, DiskMeasure};

pub(super) fn disk(reader: &mut Reader<'_>) -> Option<Disk> {
    let path = reader.value("path", forms::path);
    let measure = reader.word("measure", |word| match word {
        "free_percent" => Some(DiskMeasure::FreePercent),
        "free" => Some(DiskMeasure::Free),
        "used_percent" => Some(DiskMeasure::UsedPercent),
        "inodes_free_percent" => Some(DiskMeasure::InodesFreePercent),
        _ => None,
    });
    let thresholds = match measure {
        Some(DiskMeasure::FreePercent) => limits::or_else(reader, "20:", "10:"),
        Some(DiskMeasure::Free) => limits::demanded_in_bytes(reader, "crit = \"1GiB:\" alerts below 1 GiB"),
        Some(DiskMeasure::UsedPercent) => limits::demanded(reader, "crit = \"90\" alerts above 90 percent"),
        Some(DiskMeasure::InodesFreePercent) => limits::demanded(reader, "crit = \"10:\" alerts below 10 percent"),
        None => reader.thresholds(),
    };
    Some(Disk { path: path?, measure: measure?, thresholds: thresholds? })
}
