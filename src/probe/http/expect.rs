//! Whether an answer is what the check expects. Pure.

use crate::check::{Health, Observation};
use crate::plan::{Http, StatusRanges};
use crate::probe::text::quoted;
use reqwest::header::HeaderMap;
use serde_json::Value;

/// An answer, as far as it was read.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    /// There was more body than is read.
    pub(super) cut: bool,
}

/// What status and headers say.
pub(super) fn head(http: &Http, answer: &Answer, url: &str) -> Observation {
    let status = answer.status;
    let health = if http.warn_status.contains(status) {
        Health::Warning
    } else if http.expect_status.contains(status) {
        Health::Passing
    } else {
        return Observation::new(Health::Critical, format!("HTTP {status} from {url}, expected {}", ranges(&http.expect_status)));
    };
    for (name, pattern) in &http.expect_headers {
        let values: Vec<_> = answer.headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
        if values.iter().any(|value| pattern.0.is_match(value)) {
            continue;
        }
        let got = values.first().map_or_else(|| "is missing".to_owned(), |value| format!("is {}", quoted(value)));
        let message = format!("header {name} of {url} {got}, expected /{}/", pattern.0.as_str());
        return Observation::new(Health::Critical, message);
    }
    Observation::new(health, format!("HTTP {status} from {url}"))
}

/// What is wrong with the body, if anything.
pub(super) fn body(http: &Http, answer: &Answer, url: &str) -> Option<Observation> {
    let critical = |message| Some(Observation::new(Health::Critical, message));
    if let Some(pattern) = &http.expect_body {
        let text = String::from_utf8_lossy(&answer.body);
        if !pattern.0.is_match(&text) {
            let part = if answer.cut { "the first 64 KiB of the body" } else { "the body" };
            return critical(format!("{part} of {url} is {}, expected /{}/", quoted(&text), pattern.0.as_str()));
        }
    }
    if http.expect_json.is_empty() {
        return None;
    }
    let document: Value = match serde_json::from_slice(&answer.body) {
        Ok(document) => document,
        Err(_) if answer.cut => return critical(format!("the JSON of {url} is larger than the 64 KiB that are read")),
        Err(error) => return critical(format!("the body of {url} is not JSON ({error})")),
    };
    http.expect_json.iter().find_map(|(pointer, expected)| {
        let expected_text = quoted_json(expected);
        match document.pointer(pointer) {
            Some(got) if same(got, expected) => None,
            Some(got) => critical(format!("JSON of {url} has {} at {pointer}, expected {expected_text}", quoted_json(got))),
            None => critical(format!("JSON of {url} has nothing at {pointer}, expected {expected_text}")),
        }
    })
}

/// 1 and 1.0 are the same number to whoever wrote the configuration.
fn same(got: &Value, expected: &Value) -> bool {
    match (got.as_f64(), expected.as_f64()) {
        (Some(got), Some(expected)) if got.fract() != 0.0 || expected.fract() != 0.0 => got.total_cmp(&expected).is_eq(),
        (Some(a), Some(b)) if a.abs() < 9e15 && b.abs() < 9e15 => a.total_cmp(&b).is_eq() || (a.abs() + b.abs()).total_cmp(&0.0).is_eq(),
        _ => got == expected,
    }
}

/// JSON is quoted as it is written; only its length and control characters are minded.
fn quoted_json(value: &Value) -> String {
    let shown = quoted(&value.to_string());
    match shown.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(bare) => bare.to_owned(),
        None => shown,
    }
}

fn ranges(ranges: &StatusRanges) -> String {
    let words: Vec<String> =
        ranges.0.iter().map(|(low, high)| if low == high { low.to_string() } else { format!("{low}-{high}") }).collect();
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_are_compared_by_value_and_everything_else_exactly() {
        assert!(same(&json!(1), &json!(1.0)));
        assert!(same(&json!(0), &json!(-0.0)));
        assert!(same(&json!(u64::MAX), &json!(u64::MAX)));
        assert!(!same(&json!(u64::MAX), &json!(u64::MAX - 1)));
        assert!(!same(&json!(1), &json!("1")));
        assert!(!same(&json!(1.5), &json!(1)));
        assert!(same(&json!({"a": [true, null]}), &json!({"a": [true, null]})));
    }

    #[test]
    fn ranges_read_as_they_are_written() {
        assert_eq!(ranges(&StatusRanges(vec![(200, 204), (301, 301)])), "200-204, 301");
    }
}
