//! `warn` and `crit` of kinds that measure: whether one must be written, and what holds when neither is.

use crate::check::Thresholds;
use crate::config::reader::Reader;

/// `warn` and `crit`, one of which must be written: without both the check would pass whatever it measures.
pub(super) fn demanded(reader: &mut Reader<'_>, example: &str) -> Option<Thresholds> {
    let thresholds = reader.thresholds();
    demand(reader, example)?;
    thresholds
}

/// The same of a number of bytes.
pub(super) fn demanded_in_bytes(reader: &mut Reader<'_>, example: &str) -> Option<Thresholds> {
    let thresholds = reader.thresholds_in_bytes();
    demand(reader, example)?;
    thresholds
}

fn demand(reader: &mut Reader<'_>, example: &str) -> Option<()> {
    if !is_written(reader) {
        let message = format!("`{}` needs the key `warn` or `crit`", reader.title());
        let place = reader.header();
        reader.notes.misfit(place, message, Some(example.to_owned()));
        return None;
    }
    Some(())
}

/// `warn` and `crit`; where neither is written, these. What is written is all that holds: one alone gets no other beside it.
pub(super) fn or_else<'a>(reader: &mut Reader<'_>, warn: impl Into<Option<&'a str>>, crit: &str) -> Option<Thresholds> {
    let thresholds = reader.thresholds();
    if is_written(reader) {
        return thresholds;
    }
    let warn = warn.into();
    if let Some(warn) = warn {
        reader.record_default("warn", warn);
    }
    reader.record_default("crit", crit);
    Some(Thresholds { warn: warn.and_then(|warn| warn.parse().ok()), crit: crit.parse().ok() })
}

fn is_written(reader: &Reader<'_>) -> bool {
    reader.has("warn") || reader.has("crit")
}
