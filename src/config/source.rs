//! A configuration file that was read: its text, and the way from a place in it to a line that may be shown.

use super::diagnostic::{Diagnostic, Position, Severity};
use super::owners::Facts;
use super::secrecy;
use std::ops::Range;
use std::path::PathBuf;

/// Longest part of a line that is shown, in characters.
const SHOWN: usize = 160;

/// Where something stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Nowhere: it is a default.
    Default,
    /// In the file with this index, from byte `start` to before byte `end`.
    File {
        /// Index into [`Sources`].
        file: usize,
        /// First byte.
        start: usize,
        /// Byte after the last.
        end: usize,
    },
}

impl Place {
    /// The place of `span` in `file`.
    pub(super) fn new(file: usize, span: &Range<usize>) -> Self {
        Self::File { file, start: span.start, end: span.end }
    }

    /// The file, unless it is a default.
    pub(super) fn file(self) -> Option<usize> {
        match self {
            Self::Default => None,
            Self::File { file, .. } => Some(file),
        }
    }
}

/// One file.
#[derive(Clone, Debug)]
pub(super) struct Source {
    /// As it is named in messages.
    pub(super) path: PathBuf,
    /// Its text.
    pub(super) text: String,
    /// Byte offsets at which its lines begin, but for the first.
    lines: Vec<usize>,
    /// Who owns it and its directories.
    pub(super) facts: Vec<Facts>,
    /// Byte ranges of values that may be secret.
    pub(super) secrets: Vec<Range<usize>>,
}

impl Source {
    /// A file that was read.
    pub(super) fn new(path: PathBuf, text: String, facts: Vec<Facts>) -> Self {
        let lines = text.match_indices('\n').map(|(at, _)| at + 1).collect();
        Self { path, text, lines, facts, secrets: Vec::new() }
    }

    /// The line, from 1, on which byte `at` stands.
    pub(super) fn line_of(&self, at: usize) -> usize {
        self.lines.partition_point(|start| *start <= at) + 1
    }

    /// The lines that are in doubt because of a syntax error on `line`: that one, and if it is a header, all that it was to hold.
    pub(super) fn in_doubt(&self, line: usize) -> Range<usize> {
        let is_header = |text: &str| text.trim_start().starts_with('[');
        let mut rest = self.text.split('\n').skip(line.saturating_sub(1));
        let was_header = |text: &str| is_header(text) || (text.trim_end().ends_with(']') && !text.contains('='));
        let held = if rest.next().is_some_and(was_header) { rest.take_while(|text| !is_header(text)).count() } else { 0 };
        line..line + 1 + held
    }

    /// Text before byte `at`, moved down to the boundary of a character.
    fn before(&self, at: usize) -> &str {
        let mut end = at.min(self.text.len());
        while !self.text.is_char_boundary(end) {
            end -= 1;
        }
        self.text.get(..end).unwrap_or_default()
    }

    /// Where `start..end` is, and its line as it may be shown.
    fn position(&self, start: usize, end: usize) -> Position {
        let before = self.before(start);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let rest = self.text.get(line_start..).unwrap_or_default();
        let line = rest.split('\n').next().unwrap_or_default().trim_end_matches('\r');
        let offset = (before.len() - line_start).min(line.len());
        let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
        let marked = line.get(offset..).map_or(1, |tail| {
            let length = end.saturating_sub(start).min(tail.len());
            tail.char_indices().take_while(|(at, _)| *at < length).count()
        });
        let shown = self.shown(line, line_start);
        let (source, indent, width) = window(&shown, column - 1, marked.max(1));
        Position { line: self.line_of(start), column, source, indent, width }
    }

    /// `line`, which begins at byte `line_start`, without what may be secret.
    fn shown(&self, line: &str, line_start: usize) -> String {
        let earlier = self.text.get(..line_start).unwrap_or_default().trim_end_matches('\n').rsplit('\n');
        if line.len() > secrecy::LINE_LIMIT {
            return format!("[a line of {} bytes]", line.len());
        }
        if secrecy::continues_secret(line, earlier) {
            return secrecy::HIDDEN.to_owned();
        }
        let by_span = self
            .secrets
            .iter()
            .filter(|secret| secret.start < line_start + line.len() && secret.end > line_start)
            .map(|secret| secret.start.saturating_sub(line_start))
            .min();
        let cut = match (by_span, secrecy::secret_in_line_at(line)) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        match cut.and_then(|at| line.get(..at)) {
            Some(open) => format!("{open}{}", secrecy::HIDDEN),
            None => line.to_owned(),
        }
    }
}

/// The part of `line` around the `width` characters after `indent`, with control characters made visible: the part, and the marked
/// characters in it.
fn window(line: &str, indent: usize, width: usize) -> (String, usize, usize) {
    let length = line.chars().count();
    let indent = indent.min(length);
    let first = if indent + width.min(SHOWN / 2) > SHOWN { indent - SHOWN / 2 } else { 0 };
    let part: String = line.chars().skip(first).take(SHOWN).map(visible).collect();
    let indent = indent - first;
    let width = width.min(part.chars().count().saturating_sub(indent)).max(1);
    (part, indent, width)
}

fn visible(c: char) -> char {
    match c {
        '\t' => ' ',
        c if c.is_control() => '\u{fffd}',
        c => c,
    }
}

/// All files, lowest precedence first.
#[derive(Clone, Debug, Default)]
pub(super) struct Sources(pub(super) Vec<Source>);

impl Sources {
    /// The file with this index.
    pub(super) fn get(&self, file: usize) -> Option<&Source> {
        self.0.get(file)
    }

    /// A diagnostic about `place`. Defaults are right, so one without a file names the first file.
    pub(super) fn diagnostic(&self, severity: Severity, place: Place, message: String, hint: Option<String>) -> Diagnostic {
        let (path, position) = match place {
            Place::File { file, start, end } => {
                self.get(file).map_or_else(Default::default, |source| (source.path.clone(), Some(source.position(start, end))))
            }
            Place::Default => (self.0.first().map(|source| source.path.clone()).unwrap_or_default(), None),
        };
        Diagnostic { severity, path, position, message, hint }
    }
}
