//! The keys of `type = "load"`.

use super::limits;
use crate::config::reader::Reader;
use crate::plan::{Load, LoadMeasure};

pub(super) fn load(reader: &mut Reader<'_>) -> Option<Load> {
    let measure = reader.word("measure", |word| match word {
        "load1" => Some(LoadMeasure::Load1),
        "load5" => Some(LoadMeasure::Load5),
        "load15" => Some(LoadMeasure::Load15),
        _ => None,
    });
    let per_cpu = reader.flag("per_cpu");
    let thresholds = limits::demanded(reader, "crit = \"16\" alerts above 16");
    Some(Load { measure: measure?, per_cpu: per_cpu?, thresholds: thresholds? })
}
