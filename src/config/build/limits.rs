//! `warn` and `crit` of kinds that measure: which of them must be written, and what holds when neither is.

use crate::config::reader::Reader;

/// Complains when neither `warn` nor `crit` is written: such a check would pass whatever it measures.
pub(super) fn demand(reader: &mut Reader<'_>, example: &str) {
    if !reader.has("warn") && !reader.has("crit") {
        let message = format!("`{}` needs the key `warn` or `crit`", reader.title());
        let place = reader.header();
        reader.notes.misfit(place, message, Some(example.to_owned()));
    }
}
