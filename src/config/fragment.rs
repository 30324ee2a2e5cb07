//! A file as written: a tree of values, each knowing where it stands; and the merging of such trees.
//!
//! serde loses positions in internally tagged enums and flattened structs, so the tree comes from `toml`'s spanned table, and
//! [`super::reader`] reads it key by key.

use super::diagnostic::{Diagnostic, Severity};
use super::secrecy::{is_sealed_path, is_secret_name};
use super::source::{Place, Source, Sources};
use std::collections::{BTreeMap, BTreeSet};
use toml::de::{DeTable, DeValue};
use toml::{Spanned, Value as Toml};

/// In a text of so many bytes, and so closely behind the first error of a longer one, all errors are gathered.
const CLOSE: usize = 64 * 1024;
/// Syntax is looked at before keys that stand there twice.
const ROUNDS: usize = 4;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Value {
    /// Where.
    pub(super) place: Place,
    /// What.
    pub(super) data: Data,
}

/// What can be written in TOML.
#[derive(Clone, Debug)]
pub(super) enum Data {
    /// A string.
    Text(String),
    /// An integer; one beyond 128 bits is the greatest there is, and every rule refuses that.
    Integer(i128),
    /// A float.
    Float(f64),
    /// A boolean.
    Flag(bool),
    /// A date, a time or both, as written.
    Date(String),
    /// An array.
    Array(Vec<Value>),
    /// A table.
    Table(Table),
}

/// A table.
#[derive(Clone, Debug, Default)]
pub(super) struct Table(pub(super) BTreeMap<String, Entry>);

/// A key with its value.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Where the key was first written, or the header of the table.
    pub(super) key: Place,
    /// Its value.
    pub(super) value: Value,
}

impl Value {
    /// What kind of value it is, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self.data {
            Data::Text(_) => "a string",
            Data::Integer(_) => "an integer",
            Data::Float(_) => "a float",
            Data::Flag(_) => "a boolean",
            Data::Date(_) => "a date",
            Data::Array(_) => "an array",
            Data::Table(_) => "a table",
        }
    }

    /// Parses TOML text that is part of the program.
    pub(super) fn of_default(text: &str) -> Self {
        let (value, _) = DeValue::parse_recoverable(text);
        let mut value = convert(value.into_inner(), Place::Default, &mut |_| Place::Default);
        value.place = Place::Default;
        value
    }

    /// As `toml` knows it, for printing.
    pub(super) fn to_toml(&self) -> Toml {
        match &self.data {
            Data::Text(text) | Data::Date(text) => Toml::String(text.clone()),
            Data::Integer(number) => Toml::Integer(i64::try_from(*number).unwrap_or(i64::MAX)),
            Data::Float(number) => Toml::Float(*number),
            Data::Flag(flag) => Toml::Boolean(*flag),
            Data::Array(values) => Toml::Array(values.iter().map(Self::to_toml).collect()),
            Data::Table(table) => Toml::Table(table.0.iter().map(|(key, entry)| (key.clone(), entry.value.to_toml())).collect()),
        }
    }

    /// The indices of the files that wrote any part of it.
    pub(super) fn files(&self, into: &mut Vec<usize>) {
        match &self.data {
            Data::Table(table) => table.0.values().for_each(|entry| entry.value.files(into)),
            _ => into.extend(self.place.file()),
        }
    }
}

/// Parses the file with index `file`; syntax errors go to `errors`, what could be understood nevertheless is given back, and values
/// that may be secret are noted in the source.
pub(super) fn parse(sources: &mut Sources, file: usize, errors: &mut Vec<Diagnostic>) -> Table {
    let Some(source) = sources.get(file) else {
        return Table::default();
    };
    let (document, syntax) = document(&source.text);
    let mut secrets = Vec::new();
    let root = document.into_inner();
    note_secrets(&root, &mut Vec::new(), &mut secrets);
    let data = convert(DeValue::Table(root), Place::Default, &mut |span| Place::new(file, span)).data;
    if let Some(source) = sources.0.get_mut(file) {
        source.secrets = secrets;
    }
    // After the first error of a line the parser guesses.
    let mut told = BTreeSet::new();
    for error in syntax.iter().take(super::LIMIT) {
        let span = error.span().unwrap_or(0..0);
        let Some(source) = sources.get(file).filter(|source| told.insert(source.line_of(span.start))) else {
            continue;
        };
        let message = error.message().lines().next().unwrap_or("not TOML").to_owned();
        let hint = hint(source, span.start);
        errors.push(sources.diagnostic(Severity::Error, Place::new(file, &span), message, hint));
    }
    match data {
        Data::Table(table) => table,
        _ => Table::default(),
    }
}

/// The document, and its errors. Each error takes some hundred bytes and a wrong file may have one in every second byte, so of a long text
/// that is wrong no more is read than the first error and what follows it closely.
fn document(text: &str) -> (Spanned<DeTable<'_>>, Vec<toml::de::Error>) {
    if text.len() <= CLOSE {
        return DeTable::parse_recoverable(text);
    }
    let (mut sound, mut first) = (text, None);
    for _ in 0..ROUNDS {
        let Err(error) = DeTable::parse(sound) else { break };
        if is_of_the_cut(&error, sound, text) {
            break;
        }
        let at = begin_of(&error);
        first = Some((at, error));
        // What is told first need not stand first.
        sound = sound.get(..at).and_then(|before| Some(before.split_at(before.rfind('\n')? + 1).0)).unwrap_or_default();
    }
    let Some((at, error)) = first else { return DeTable::parse_recoverable(text) };
    let close = close_to(text, at);
    let (document, mut errors) = DeTable::parse_recoverable(close);
    errors.retain(|error| !is_of_the_cut(error, close, text));
    if errors.is_empty() {
        errors.push(error);
    }
    (document, errors)
}

/// Where it begins.
fn begin_of(error: &toml::de::Error) -> usize {
    error.span().map_or(0, |span| span.start)
}

/// Whether an error of `part`, the beginning of `text`, comes from where that was cut: a string, an array or a table goes on there. Of what goes
/// on behind the cut nobody knows whether it is secret, so nothing may be said of a line there.
fn is_of_the_cut(error: &toml::de::Error, part: &str, text: &str) -> bool {
    if part.len() == text.len() {
        return false;
    }
    let Some(rest) = part.get(begin_of(error)..).filter(|rest| !rest.is_empty()) else { return true };
    let says_something = |line: &str| !matches!(line.trim_start().chars().next(), None | Some('#'));
    error.message().starts_with("unclosed") && !rest.lines().any(says_something)
}

/// Adds to `table` what the header `[name]` holds in a text that is wrong and long, so that [`parse`] need not have come to it. What is there
/// already stays. It has no place in the file.
pub(super) fn complete(table: &mut Table, name: &str, text: &str) {
    if text.len() <= CLOSE {
        return;
    }
    let header = |line: &str| line.trim_start().strip_prefix('[').map(|rest| rest.split(']').next().unwrap_or_default().trim() == name);
    let lines = text.split_inclusive('\n').skip_while(|line| header(line) != Some(true));
    let mut alone = String::new();
    for line in lines {
        let ends = !alone.is_empty() && header(line).is_some();
        if ends || alone.len() + line.len() > CLOSE {
            break;
        }
        alone.push_str(line);
    }
    let (document, _) = DeTable::parse_recoverable(&alone);
    let data = convert(DeValue::Table(document.into_inner()), Place::Default, &mut |_| Place::Default).data;
    if let Data::Table(alone) = data {
        let understood = std::mem::replace(table, alone);
        merge(table, understood);
    }
}

/// `text` to not much more than [`CLOSE`] bytes behind `at`, in whole lines where there are any.
fn close_to(text: &str, at: usize) -> &str {
    let most = at.saturating_add(CLOSE).min(text.len());
    let line = text.as_bytes().get(at..most).and_then(|near| near.iter().rposition(|byte| *byte == b'\n'));
    let end = line.map_or(most, |end| at + end + 1);
    (0..=end).rev().find_map(|end| text.get(..end)).unwrap_or_default()
}

/// What a syntax error often comes from.
fn hint(source: &Source, at: usize) -> Option<String> {
    let line = source.text.split('\n').nth(source.line_of(at) - 1)?;
    let value = line.split_once('=')?.1.trim();
    let first = value.chars().next()?;
    if first.is_ascii_digit() && value.ends_with(|c: char| c.is_ascii_alphabetic()) {
        return Some("a duration is a string: write it in quotes, such as \"90s\"".to_owned());
    }
    first.is_ascii_alphabetic().then(|| "a string is written in quotes".to_owned())
}

/// Where the values of `table`, which stands at `path`, are that must not be shown.
fn note_secrets(table: &DeTable<'_>, path: &mut Vec<String>, secrets: &mut Vec<std::ops::Range<usize>>) {
    for (key, value) in table {
        path.push(key.get_ref().to_string());
        match value.get_ref() {
            DeValue::Table(table) => note_secrets(table, path, secrets),
            _ if is_secret_name(key.get_ref()) || is_sealed_path(path) => secrets.push(value.span()),
            _ => {}
        }
        path.pop();
    }
}

type PlaceOf<'a> = &'a mut dyn FnMut(&std::ops::Range<usize>) -> Place;

/// The tree of a spanned value. Depth is bounded by the parser (80).
fn convert(value: DeValue<'_>, place: Place, place_of: PlaceOf<'_>) -> Value {
    let data = match value {
        DeValue::String(text) => Data::Text(text.into_owned()),
        DeValue::Integer(number) => Data::Integer(i128::from_str_radix(number.as_str(), number.radix()).unwrap_or(i128::MAX)),
        DeValue::Float(number) => Data::Float(number.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(flag) => Data::Flag(flag),
        DeValue::Datetime(date) => Data::Date(date.to_string()),
        DeValue::Array(values) => Data::Array(values.into_iter().map(|value| spanned(value, place_of)).collect()),
        DeValue::Table(table) => Data::Table(Table(
            table
                .into_iter()
                .map(|(key, value)| {
                    let entry_place = place_of(&key.span());
                    (key.into_inner().into_owned(), Entry { key: entry_place, value: spanned(value, place_of) })
                })
                .collect(),
        )),
    };
    Value { place, data }
}

fn spanned(value: Spanned<DeValue<'_>>, place_of: PlaceOf<'_>) -> Value {
    let place = place_of(&value.span());
    convert(value.into_inner(), place, place_of)
}

/// Lays `over` on `under`: tables merge by key, everything else is replaced.
pub(super) fn merge(under: &mut Table, over: Table) {
    for (name, entry) in over.0 {
        let Some(present) = under.0.get_mut(&name) else {
            under.0.insert(name, entry);
            continue;
        };
        match (&mut present.value.data, entry.value.data) {
            (Data::Table(under), Data::Table(over)) => merge(under, over),
            (_, data) => *present = Entry { key: entry.key, value: Value { place: entry.value.place, data } },
        }
    }
}
