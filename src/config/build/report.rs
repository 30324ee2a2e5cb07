//! `[report]`.

use super::systemd::unit_name;
use crate::config::forms;
use crate::config::reader::Reader;
use crate::plan::Report;

pub(super) fn report(reader: &mut Reader<'_>) -> Option<Report> {
    let units = reader.value("units", |value| forms::each(value, unit_name));
    let journal_lines = reader.number("journal_lines");
    let journal_to_handle = reader.flag("journal_to_handle");
    let units = units?;
    if units.len() > Report::UNITS {
        let place = reader.place("units");
        reader.notes.misfit(
            place,
            format!("`units` has {} units, more than {}", units.len(), Report::UNITS),
            Some("name those that matter".to_owned()),
        );
    }
    let units = units.into_iter().map(|unit| unit.what).collect();
    Some(Report { units, journal_lines: journal_lines?, journal_to_handle: journal_to_handle? })
}
