//! Reads a merged table key by key, as [`super::keys`] describes it: unknown keys are refused, defaults filled in, every problem noted
//! with its place, and every effective value with its origin.

use super::diagnostic::{Diagnostic, Severity};
use super::fragment::{Data, Table, Value};
use super::keys::{self, Fallback, Key, Section, Shape};
use super::origins::{Origin, Origins, dotted};
use super::source::{Place, Sources};
use crate::check::{Range, RangeError, Thresholds};
use std::time::Duration;

/// A value that breaks a rule.
#[derive(Debug)]
pub(super) struct Problem {
    /// Where; [`Place::Default`] stands for the value that was read.
    pub(super) place: Place,
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

impl Problem {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { place: Place::Default, message: message.into(), hint: None }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(super) fn at(mut self, place: Place) -> Self {
        self.place = place;
        self
    }
}

impl From<Problem> for Vec<Problem> {
    fn from(problem: Problem) -> Self {
        vec![problem]
    }
}

/// What came of one value.
pub(super) type Parsed<T> = Result<T, Vec<Problem>>;

/// Everything noted on the way.
#[derive(Debug)]
pub(super) struct Notes {
    pub(super) sources: Sources,
    /// At most [`super::LIMIT`] of each severity; the rest is dropped.
    pub(super) diagnostics: Vec<Diagnostic>,
    /// There was an error, kept or dropped.
    pub(super) refused: bool,
    pub(super) origins: Origins,
    /// Some file was not read, or not understood: what is missing may stand there, so that it is no error of its own.
    pub(super) incomplete: bool,
    /// Files, and their lines that are in doubt because of syntax errors.
    pub(super) broken: Vec<(usize, std::ops::Range<usize>)>,
}

impl Notes {
    /// An error of a value or key itself.
    pub(super) fn error(&mut self, place: Place, message: impl Into<String>, hint: Option<String>) {
        if !self.is_broken_line(place) {
            self.push(Severity::Error, place, message.into(), hint);
        }
    }

    /// An error of something that is missing, or does not fit something else. Not said while files are half understood.
    pub(super) fn misfit(&mut self, place: Place, message: impl Into<String>, hint: Option<String>) {
        if !self.incomplete {
            self.push(Severity::Error, place, message.into(), hint);
        }
    }

    pub(super) fn warn(&mut self, place: Place, message: impl Into<String>, hint: Option<String>) {
        if !self.incomplete {
            self.push(Severity::Warning, place, message.into(), hint);
        }
    }

    fn push(&mut self, severity: Severity, place: Place, message: String, hint: Option<String>) {
        let same = self.diagnostics.iter().filter(|diagnostic| diagnostic.severity == severity).count();
        self.refused |= severity == Severity::Error;
        if same < super::LIMIT {
            self.diagnostics.push(self.sources.diagnostic(severity, place, message, hint));
        }
    }

    fn is_broken_line(&self, place: Place) -> bool {
        let Place::File { file, start, .. } = place else {
            return false;
        };
        self.broken.iter().any(|(broken, _)| *broken == file) && {
            let line = self.sources.get(file).map_or(0, |source| source.line_of(start));
            self.broken.iter().any(|(broken, lines)| *broken == file && lines.contains(&line))
        }
    }
}

/// A table that is being read.
pub(super) struct Reader<'a> {
    sections: Vec<&'static Section>,
    table: &'a Table,
    path: Vec<String>,
    header: Place,
    pub(super) notes: &'a mut Notes,
}

impl<'a> Reader<'a> {
    /// A reader of `table`, which stands at `path` (such as `signal`, `web`) and begins at `header`.
    pub(super) fn new(sections: &[&'static Section], table: &'a Table, path: &[&str], header: Place, notes: &'a mut Notes) -> Self {
        let path = path.iter().map(|part| (*part).to_owned()).collect();
        Self { sections: sections.to_vec(), table, path, header, notes }
    }

    /// Refuses keys that none of the sections has; `known` names further ones.
    pub(super) fn refuse_unknown(&mut self, known: &[&'static Section]) {
        let sections: Vec<_> = self.sections.iter().chain(known).copied().collect();
        for (name, entry) in &self.table.0 {
            if sections.iter().any(|section| section.key(name).is_some()) {
                continue;
            }
            let hint = unknown_hint(name, &sections);
            let message = format!("unknown key `{}` in `{}`", shorten(name), self.title());
            self.notes.error(entry.key, message, hint);
        }
    }

    /// The header as a person would write it.
    pub(super) fn title(&self) -> String {
        format!("[{}]", dotted(&self.path))
    }

    /// Where the value of `name` stands, or the header of the table.
    pub(super) fn place(&self, name: &str) -> Place {
        self.table.0.get(name).map_or(self.header, |entry| entry.value.place)
    }

    /// Where the table begins.
    pub(super) fn header(&self) -> Place {
        self.header
    }

    /// Whether `name` is written.
    pub(super) fn has(&self, name: &str) -> bool {
        self.table.0.contains_key(name)
    }

    /// What is written for `name`, if anything is.
    pub(super) fn written(&self, name: &str) -> Option<&Value> {
        self.table.0.get(name).map(|entry| &entry.value)
    }

    fn key(&self, name: &str) -> Option<&'static Key> {
        self.sections.iter().find_map(|section| section.key(name))
    }

    /// The value of a key that is required or has a default. None: an error was noted.
    pub(super) fn value<T>(&mut self, name: &str, parse: impl FnOnce(&Value) -> Parsed<T>) -> Option<T> {
        let key = self.key(name)?;
        if let Some(entry) = self.table.0.get(name) {
            return self.parse(name, &entry.value, parse);
        }
        match key.default {
            Fallback::Toml(text) => self.parse(name, &Value::of_default(text), parse),
            Fallback::Required | Fallback::Absent(_) | Fallback::Computed(_) => {
                self.demand(name);
                None
            }
        }
    }

    /// Notes that a key is missing.
    pub(super) fn demand(&mut self, name: &str) {
        let Some(key) = self.key(name) else { return };
        let message = format!("`{}` needs the key `{name}`", self.title());
        let hint = match key.shape {
            Shape::Word(words) => format!("one of {}", listed(words)),
            _ => lower_first(key.meaning),
        };
        self.notes.misfit(self.header, message, Some(hint));
    }

    /// The value of a key that may be absent. The outer None: an error was noted.
    pub(super) fn optional<T>(&mut self, name: &str, parse: impl FnOnce(&Value) -> Parsed<T>) -> Option<Option<T>> {
        match self.table.0.get(name) {
            Some(entry) => self.parse(name, &entry.value, parse).map(Some),
            None => Some(None),
        }
    }

    fn parse<T>(&mut self, name: &str, value: &Value, parse: impl FnOnce(&Value) -> Parsed<T>) -> Option<T> {
        match parse(value) {
            Ok(parsed) => {
                self.record(name, value);
                Some(parsed)
            }
            Err(problems) => {
                for problem in problems {
                    let place = if problem.place == Place::Default { value.place } else { problem.place };
                    self.notes.error(place, format!("`{name}` {}", problem.message), problem.hint);
                }
                None
            }
        }
    }

    /// Notes an effective value that no file gives.
    pub(super) fn record_default(&mut self, name: &str, value: impl Into<String>) {
        let value = Value { place: Place::Default, data: Data::Text(value.into()) };
        self.record(name, &value);
    }

    /// Notes an effective value that the environment variable `variable` gives.
    pub(super) fn record_environment(&mut self, name: &str, value: &str, variable: &'static str) {
        let mut path = self.path.clone();
        path.push(name.to_owned());
        self.notes.origins.push(&path, &toml::Value::String(value.to_owned()), Origin::Environment { variable });
    }

    fn record(&mut self, name: &str, value: &Value) {
        let mut path = self.path.clone();
        path.push(name.to_owned());
        record(&mut self.notes.origins, &self.notes.sources, &path, value);
    }

    pub(super) fn flag(&mut self, name: &str) -> Option<bool> {
        self.value(name, |value| match value.data {
            Data::Flag(flag) => Ok(flag),
            _ => Err(Problem::new(format!("must be true or false, not {}", value.kind())).into()),
        })
    }

    /// An integer within the bounds of the key.
    pub(super) fn integer(&mut self, name: &str) -> Option<i64> {
        let Some(Key { shape: Shape::Integer(low, high), .. }) = self.key(name) else {
            return None;
        };
        self.value(name, |value| integer(value, *low, *high))
    }

    /// The same of a key that may be absent.
    pub(super) fn optional_integer(&mut self, name: &str) -> Option<Option<i64>> {
        let Some(Key { shape: Shape::Integer(low, high), .. }) = self.key(name) else {
            return None;
        };
        self.optional(name, |value| integer(value, *low, *high))
    }

    /// An integer within the bounds of the key, which are not negative.
    pub(super) fn number(&mut self, name: &str) -> Option<u32> {
        self.integer(name).and_then(|number| u32::try_from(number).ok())
    }

    pub(super) fn duration(&mut self, name: &str) -> Option<Duration> {
        let Some(Key { shape: Shape::Duration(least), .. }) = self.key(name) else {
            return None;
        };
        self.value(name, |value| super::duration::parse(value, *least))
    }

    /// `warn` and `crit` of a numeric check.
    pub(super) fn thresholds(&mut self) -> Option<Thresholds> {
        self.limits(range)
    }

    /// The same of a number of bytes, where ends may be sizes.
    pub(super) fn thresholds_in_bytes(&mut self) -> Option<Thresholds> {
        self.limits(range_of_sizes)
    }

    fn limits(&mut self, range: impl Fn(&Value) -> Parsed<Range>) -> Option<Thresholds> {
        let warn = self.limit("warn", &range);
        let crit = self.limit("crit", &range);
        Some(Thresholds { warn: warn?, crit: crit? })
    }

    fn limit(&mut self, name: &str, range: impl Fn(&Value) -> Parsed<Range>) -> Option<Option<Range>> {
        match self.key(name)?.default {
            Fallback::Toml(_) => self.value(name, range).map(Some),
            Fallback::Required | Fallback::Absent(_) | Fallback::Computed(_) => self.optional(name, range),
        }
    }

    /// One of the words of the key, as `meaning` understands it.
    pub(super) fn word<T>(&mut self, name: &str, meaning: impl Fn(&str) -> Option<T>) -> Option<T> {
        let Some(Key { shape: Shape::Word(words), .. }) = self.key(name) else {
            return None;
        };
        self.value(name, |value| word(words, value, meaning))
    }

    /// The same of a key that may be absent.
    pub(super) fn optional_word<T>(&mut self, name: &str, meaning: impl Fn(&str) -> Option<T>) -> Option<Option<T>> {
        let Some(Key { shape: Shape::Word(words), .. }) = self.key(name) else {
            return None;
        };
        self.optional(name, |value| word(words, value, meaning))
    }
}

fn integer(value: &Value, low: i64, high: i64) -> Parsed<i64> {
    match value.data {
        Data::Integer(number) => i64::try_from(number)
            .ok()
            .filter(|number| (low..=high).contains(number))
            .ok_or_else(|| Problem::new(format!("must be {low} to {high}")).into()),
        _ => Err(Problem::new(format!("must be an integer, not {}", value.kind())).into()),
    }
}

fn word<T>(words: &[&str], value: &Value, meaning: impl Fn(&str) -> Option<T>) -> Parsed<T> {
    let word = text(value)?;
    if let Some(meaning) = words.contains(&word).then(|| meaning(word)).flatten() {
        return Ok(meaning);
    }
    Err(Problem::new(format!("must be {}", listed(words))).hint_nearest(word, words.iter().copied()).into())
}

impl Problem {
    /// Hints at the nearest of `words`, if one is near.
    pub(super) fn hint_nearest<'a>(mut self, wrong: &str, words: impl IntoIterator<Item = &'a str>) -> Self {
        self.hint = keys::nearest(wrong, words).map(|word| format!("did you mean \"{word}\"?"));
        self
    }
}

/// A range in the syntax of Nagios plug-ins.
fn range(value: &Value) -> Parsed<Range> {
    if let Data::Integer(number) = value.data {
        return Err(Problem::new("must be a range in quotes").hint(format!("\"{number}\" alerts above it, \"{number}:\" below it")).into());
    }
    let parsed = text(value)?.parse();
    let hint = "\"10\" alerts outside of 0 to 10, \"10:\" below 10, \"~:10\" above 10, \"10:20\" outside, \"@10:20\" inside";
    parsed.map_err(|error: RangeError| Problem::new(format!("is not a range: it {error}")).hint(hint).into())
}

/// The same with ends such as `64KiB`, which become numbers of bytes.
fn range_of_sizes(value: &Value) -> Parsed<Range> {
    let text = text(value)?;
    let (mark, ends) = text.strip_prefix('@').map_or(("", text), |rest| ("@", rest));
    let plain: Vec<String> =
        ends.split(':').map(|end| super::size::bytes(end).map_or_else(|| end.to_owned(), |bytes| bytes.to_string())).collect();
    let hint = "\"1GiB:\" alerts below 1 GiB, \"~:10GB\" above 10 GB, \"@0:512MiB\" up to 512 MiB";
    let parsed = format!("{mark}{}", plain.join(":")).parse();
    parsed.map_err(|error: RangeError| Problem::new(format!("is not a range: it {error}")).hint(hint).into())
}

/// The text of a value.
pub(super) fn text(value: &Value) -> Result<&str, Problem> {
    match &value.data {
        Data::Text(text) => Ok(text),
        _ => Err(Problem::new(format!("must be a string, not {}", value.kind()))),
    }
}

/// `"a", "b" or "c"`.
fn listed(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [word] => format!("\"{word}\""),
        [first @ .., last] => {
            let first: Vec<_> = first.iter().map(|word| format!("\"{word}\"")).collect();
            format!("{} or \"{last}\"", first.join(", "))
        }
    }
}

/// What an unknown key may have been meant to be.
pub(super) fn unknown_hint(name: &str, sections: &[&'static Section]) -> Option<String> {
    let names = sections.iter().flat_map(|section| section.keys).map(|key| key.name);
    if let Some(near) = keys::nearest(name, names) {
        return Some(format!("did you mean `{near}`?"));
    }
    if super::secrecy::is_secret_name(name) {
        return Some("secrets do not belong in the configuration; see `[credentials]` and `password_file`".to_owned());
    }
    let elsewhere: Vec<_> = keys::all().filter(|section| section.key(name).is_some()).map(|section| section.header).collect();
    Some(match elsewhere.as_slice() {
        [header] if header.starts_with('[') => format!("it is a key of `{header}`"),
        [header] => format!("it is a key of {} with {header}", owners(name)),
        // What several have, and what nobody has, says little about what was meant.
        _ => {
            let own = sections.iter().find(|section| !section.header.starts_with('['))?;
            let names: Vec<_> = own.keys.iter().map(|key| format!("`{}`", key.name)).collect();
            let owners = if keys::SOURCES.iter().any(|(_, source)| std::ptr::eq(*source, *own)) { "sources" } else { "checks" };
            format!("{owners} with {} have {}", own.header, names.join(", "))
        }
    })
}

/// What has the key `name`, which belongs to one type.
fn owners(name: &str) -> &'static str {
    if keys::SOURCES.iter().any(|(_, source)| source.key(name).is_some()) { "sources" } else { "checks" }
}

/// `name` short enough for a message, control characters made visible. Of several lines it shows one: the others may be another setting, and
/// a secret one, that a mark of a string which was never closed has swallowed.
pub(super) fn shorten(name: &str) -> String {
    if let Some((line, _)) = name.split_once(['\n', '\r']) {
        return shorten(line) + "…";
    }
    let mut short: String = name.chars().take(65).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if name.chars().count() > 65 {
        short.push('…');
    }
    short
}

fn lower_first(meaning: &str) -> String {
    let sentence = meaning.split(". ").next().unwrap_or_default().trim_end_matches('.');
    let mut rest = sentence.chars();
    rest.next().map_or_else(String::new, |first| first.to_lowercase().chain(rest).collect())
}

/// Notes `value`, tables key by key.
fn record(origins: &mut Origins, sources: &Sources, path: &[String], value: &Value) {
    if let Data::Table(table) = &value.data {
        for (name, entry) in &table.0 {
            let mut path = path.to_vec();
            path.push(name.clone());
            record(origins, sources, &path, &entry.value);
        }
        return;
    }
    let origin = match value.place {
        Place::File { file, start, .. } => match sources.get(file) {
            Some(source) => Origin::File { path: source.path.clone(), line: source.line_of(start) },
            None => Origin::Default,
        },
        Place::Default => Origin::Default,
    };
    origins.push(path, &value.to_toml(), origin);
}
