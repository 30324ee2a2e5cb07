//! `time` as official pages and libraries show it: RFC 3339, and `2020-08-17T16:04:46.149Asia/Shanghai`.

use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, PrimitiveDateTime, UtcOffset};

/// Zones by name that were seen: that of Beijing, without summer time since 1991.
const BEIJING: [&str; 2] = ["Asia/Shanghai", "PRC"];

/// Milliseconds since 1970; none: the text says no time that is known.
pub(super) fn read(text: &str) -> Option<i64> {
    let text = text.trim();
    let time = match BEIJING.iter().find_map(|zone| text.strip_suffix(zone)) {
        Some(local) => {
            // The parser wants a zone, whichever.
            let local = OffsetDateTime::parse(&format!("{}Z", local.trim_end()), &Rfc3339).ok()?;
            PrimitiveDateTime::new(local.date(), local.time()).assume_offset(UtcOffset::from_hms(8, 0, 0).ok()?)
        }
        None => OffsetDateTime::parse(text, &Rfc3339).ok()?,
    };
    i64::try_from(time.unix_timestamp_nanos() / 1_000_000).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_in_every_form_that_was_seen() {
        for (text, ms) in [
            ("2021-01-05T09:56:54Z", 1_609_840_614_000),
            ("2020-11-19T21:04:41+08:00", 1_605_791_081_000),
            ("2020-12-31T17:46:10.813Asia/Shanghai", 1_609_407_970_813),
            ("2021-01-05T17:56:54.75Asia/Shanghai", 1_609_840_614_750),
            ("2020-08-17T16:04:46.179PRC", 1_597_651_486_179),
        ] {
            assert_eq!(read(text), Some(ms), "{text}");
        }
        for text in ["", "yesterday", "Asia/Shanghai", "2020-08-17T16:04:46.149Europe/Paris", "2020-13-17T16:04:46Z"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
