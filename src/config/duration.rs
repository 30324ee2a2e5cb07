//! Durations: `"90s"`, `"5m"`, `"1h30m"`, `"250ms"`.

use super::fragment::{Data, Value};
use super::keys::LONGEST;
use super::reader::{Parsed, Problem, shorten, text};
use std::time::Duration;

/// The duration that `value` means, which must be `least` to [`LONGEST`].
pub(super) fn parse(value: &Value, least: Duration) -> Parsed<Duration> {
    if let Data::Integer(number) = value.data {
        return Err(Problem::new("must have a unit").hint(format!("write \"{number}s\" for seconds")).into());
    }
    let text = text(value)?;
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Problem::new("must have a unit").hint(format!("write \"{}s\" for seconds", shorten(text))).into());
    }
    let duration = humantime::parse_duration(text)
        .map_err(|_| Problem::new("is not a duration").hint("durations look like \"90s\", \"5m\", \"1h30m\" or \"250ms\""))?;
    if duration < least {
        return Err(Problem::new(format!("must be at least {}", humantime::format_duration(least))).into());
    }
    if duration > LONGEST {
        return Err(Problem::new("must be at most 30days").hint("minutes are written \"m\"; \"M\" is a month").into());
    }
    Ok(duration)
}
