//! `warn` and `crit` of kinds that measure: whether one must be written, and what holds when neither is.

use crate::check::Thresholds;
use crate::config::reader::Reader;
use crate::plan::{Measured, Worse};

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

/// Warns of ranges that are valid and that nobody means: the wrong way round, and a `warn` that never shows.
pub(super) fn doubt(reader: &mut Reader<'_>, measured: &Measured<'_>) {
    for (name, range) in [("warn", measured.thresholds.warn), ("crit", measured.thresholds.crit)] {
        let Some(range) = range.filter(|_| reader.has(name)) else { continue };
        // All numbers that are judged in a direction begin at 0, but for days that are left.
        let (at_none, at_much) = (range.alerts(0.0), range.alerts(f64::MAX));
        let doubt = match measured.worse {
            Some(Worse::Less) if at_much && !at_none => ("more", "\"10:\" alerts below 10"),
            Some(Worse::More) if at_none && !at_much => ("less", "\"10\" alerts above 10"),
            _ => continue,
        };
        let (direction, hint) = doubt;
        let place = reader.place(name);
        let message = format!("`{name}` alerts when there is {direction} ({}: {range}), not the other way round", measured.what);
        reader.notes.warn(place, message, Some(hint.to_owned()));
    }
    if measured.thresholds.warn_never_shows() && reader.has("warn") {
        let place = reader.place("warn");
        let hint = "crit comes first; let warn begin to alert before it";
        reader.notes.warn(place, "`warn` never shows, because `crit` alerts wherever it does", Some(hint.to_owned()));
    }
}

fn is_written(reader: &Reader<'_>) -> bool {
    reader.has("warn") || reader.has("crit")
}
