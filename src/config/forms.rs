//! Forms that several tables share: names, paths, arrays of strings, tables of strings.

use super::fragment::{Data, Entry, Table, Value};
use super::reader::{Parsed, Problem, shorten, text};
use super::source::Place;
use crate::plan::Name;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

/// Something with the place where it was written.
#[derive(Clone, Debug)]
pub(super) struct Written<T> {
    pub(super) what: T,
    pub(super) place: Place,
}

/// What a name looks like.
const NAME_HINT: &str = "a name has 1 to 64 characters of A-Z a-z 0-9 . _ - and begins with a letter or digit";

fn is_name(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (1..=64).contains(&text.len()) && text.chars().all(allowed) && text.starts_with(|c: char| c.is_ascii_alphanumeric())
}

/// The name of a check or signal.
pub(super) fn name(text: &str) -> Result<Name, Problem> {
    if is_name(text) { Ok(Arc::from(text)) } else { Err(Problem::new(format!("`{}` is not a name", shorten(text))).hint(NAME_HINT)) }
}

/// A string without control characters, of 1 to `most` characters.
pub(super) fn line(value: &Value, most: usize) -> Parsed<String> {
    let text = text(value)?;
    if text.is_empty() {
        return Err(Problem::new("must not be empty").into());
    }
    if text.chars().count() > most {
        return Err(Problem::new(format!("must have at most {most} characters")).into());
    }
    if text.chars().any(char::is_control) {
        return Err(Problem::new("must not have control characters").into());
    }
    Ok(text.to_owned())
}

/// An identifier of the cloud: letters, digits and `marks`, 1 to `most` characters.
pub(super) fn identifier(value: &Value, most: usize, marks: &str) -> Parsed<String> {
    let text = line(value, most)?;
    if text.chars().all(|c| c.is_alphanumeric() || marks.contains(c)) {
        return Ok(text);
    }
    let marks = marks.chars().map(String::from).collect::<Vec<_>>().join(" ");
    Err(Problem::new(format!("may have letters, digits and {marks} only")).into())
}

/// A region ID. It becomes part of host names, so it is held to its form.
pub(super) fn region(value: &Value) -> Parsed<String> {
    let text = line(value, 64)?;
    let good =
        text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') && !text.starts_with('-') && !text.ends_with('-');
    if good { Ok(text) } else { Err(Problem::new("is not a region ID").hint("a region ID looks like \"cn-hangzhou\"").into()) }
}

/// An absolute path.
pub(super) fn path(value: &Value) -> Parsed<PathBuf> {
    let text = line(value, 4096)?;
    if text.starts_with('/') {
        return Ok(PathBuf::from(text));
    }
    Err(Problem::new("must be an absolute path").hint("begin with /").into())
}

/// An array of what `parse` makes of each string.
pub(super) fn each<T>(value: &Value, mut parse: impl FnMut(&str) -> Result<T, Problem>) -> Parsed<Vec<Written<T>>> {
    let Data::Array(values) = &value.data else {
        let problem = Problem::new(format!("must be an array of strings, not {}", value.kind()));
        return Err(problem.hint("write [\"...\"]").into());
    };
    let mut items = Vec::new();
    let mut problems = Vec::new();
    for value in values {
        match text(value).and_then(&mut parse) {
            Ok(what) => items.push(Written { what, place: value.place }),
            Err(problem) => problems.push(problem.at(value.place)),
        }
    }
    if problems.is_empty() { Ok(items) } else { Err(problems) }
}

/// An array of names of which none comes twice. `prefix` may stand before a name.
pub(super) fn names(value: &Value, prefix: Option<&str>) -> Parsed<Vec<Written<String>>> {
    let mut seen = BTreeSet::new();
    each(value, |text| {
        let bare = prefix.and_then(|prefix| text.strip_prefix(prefix)).unwrap_or(text);
        if !is_name(bare) {
            // It is not repeated: in a file with a broken line it may be anything, a secret too.
            return Err(Problem::new("has something that is not a name").hint(NAME_HINT));
        }
        if !seen.insert(text.to_owned()) {
            return Err(Problem::new(format!("has `{text}` twice")));
        }
        Ok(text.to_owned())
    })
}

/// A table of what `parse` makes of each key and value.
pub(super) fn pairs<T>(value: &Value, mut parse: impl FnMut(&str, &Entry) -> Result<T, Problem>) -> Parsed<Vec<T>> {
    let Data::Table(Table(entries)) = &value.data else {
        return Err(Problem::new(format!("must be a table, not {}", value.kind())).hint("write { key = \"value\" }").into());
    };
    let mut items = Vec::new();
    let mut problems = Vec::new();
    for (key, entry) in entries {
        match parse(key, entry) {
            Ok(item) => items.push(item),
            Err(problem) if problem.place == Place::Default => problems.push(problem.at(entry.value.place)),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(items) } else { Err(problems) }
}
