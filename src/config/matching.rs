//! What answers are compared with: statuses, regular expressions, JSON values.

use super::fragment::{Data, Value};
use super::reader::{Parsed, Problem, shorten, text};
use crate::plan::{Pattern, StatusRanges};
use serde_json::Value as Json;

/// A regular expression of regex-lite.
pub(super) fn pattern(value: &Value) -> Parsed<Pattern> {
    let text = text(value)?;
    let regex = regex_lite::Regex::new(text).map_err(|error| {
        let error = error.to_string();
        let reason = error.lines().last().unwrap_or_default();
        let hint = "in TOML, 'single quotes' keep backslashes as they are; \\p{..} classes are not known";
        Problem::new(format!("is not a regular expression: {reason}")).hint(hint)
    })?;
    Ok(Pattern(regex))
}

/// A status, a range, or an array of them.
pub(super) fn statuses(value: &Value) -> Parsed<StatusRanges> {
    let Data::Array(values) = &value.data else {
        return Ok(StatusRanges(vec![status_range(value)?]));
    };
    let mut ranges = Vec::new();
    let mut problems = Vec::new();
    for value in values {
        match status_range(value) {
            Ok(range) => ranges.push(range),
            Err(problem) => problems.push(problem.at(value.place)),
        }
    }
    if problems.is_empty() { Ok(StatusRanges(ranges)) } else { Err(problems) }
}

fn status_range(value: &Value) -> Result<(u16, u16), Problem> {
    let bad = |message: &str| Problem::new(message).hint("write 200, \"200-299\" or [200, \"300-399\"]");
    let status = |text: &str| text.trim().parse::<u16>().ok().filter(|status| (100..=599).contains(status));
    match &value.data {
        Data::Integer(number) => {
            let status = u16::try_from(*number).ok().filter(|status| (100..=599).contains(status));
            status.map(|status| (status, status)).ok_or_else(|| bad("has a status that is not 100 to 599"))
        }
        Data::Text(text) => {
            let (low, high) = text.split_once('-').unwrap_or((text, text));
            let (low, high) = status(low).zip(status(high)).ok_or_else(|| bad("is not a range of statuses between 100 and 599"))?;
            if low > high {
                return Err(bad("is a range whose end comes before its start"));
            }
            Ok((low, high))
        }
        _ => Err(bad(&format!("must be a status or a range, not {}", value.kind()))),
    }
}

/// Whether `pointer` is a JSON Pointer (RFC 6901, section 3).
pub(super) fn json_pointer(pointer: &str) -> Result<(), Problem> {
    let bad = |message: String| Problem::new(message).hint("a JSON Pointer looks like \"/status\" or \"/items/0/name\" (RFC 6901)");
    if !pointer.is_empty() && !pointer.starts_with('/') {
        return Err(bad(format!("has the JSON Pointer `{}`, which does not begin with /", shorten(pointer))));
    }
    let escapes = pointer.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
    if escapes { Ok(()) } else { Err(bad(format!("has the JSON Pointer `{}` with a ~ that is neither ~0 nor ~1", shorten(pointer)))) }
}

/// The value as JSON.
pub(super) fn json(value: &Value) -> Result<Json, Problem> {
    match &value.data {
        Data::Text(text) => Ok(Json::from(text.as_str())),
        Data::Integer(number) => {
            i64::try_from(*number).map(Json::from).map_err(|_| Problem::new("has an integer that is too large").at(value.place))
        }
        Data::Float(number) => serde_json::Number::from_f64(*number)
            .map(Json::Number)
            .ok_or_else(|| Problem::new("has a number that JSON does not know").at(value.place)),
        Data::Flag(flag) => Ok(Json::from(*flag)),
        Data::Date(_) => Err(Problem::new("has a date, which JSON does not know").hint("write it in quotes").at(value.place)),
        Data::Array(values) => values.iter().map(json).collect::<Result<Vec<_>, _>>().map(Json::Array),
        Data::Table(table) => {
            let pairs = table.0.iter().map(|(key, entry)| Ok((key.clone(), json(&entry.value)?)));
            pairs.collect::<Result<serde_json::Map<_, _>, Problem>>().map(Json::Object)
        }
    }
}
