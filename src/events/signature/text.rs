//! The signed text, in its four forms.

use super::{Shared, name};
use serde::{Deserialize, Serialize};

/// How a signature that holds was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Form {
    /// 1 or 2.
    pub version: u8,
    /// The token's line is part of the text.
    pub token_line: bool,
    /// A line feed ends the text, after the body.
    pub last_lf: bool,
}

impl Form {
    /// In few words, to be counted by.
    pub fn word(self) -> &'static str {
        match (self.version, self.token_line, self.last_lf) {
            (1, true, true) => "v1, token line, last line feed",
            (1, true, false) => "v1, token line",
            (1, false, true) => "v1, last line feed",
            (1, false, false) => "v1",
            (_, true, true) => "v2, token line, last line feed",
            (_, true, false) => "v2, token line",
            (_, false, true) => "v2, last line feed",
            (_, false, false) => "v2",
        }
    }
}

/// What the text is made of, besides the body.
pub(super) struct Lines<'a> {
    pub(super) url: &'a str,
    pub(super) timestamp: &'a str,
    /// Name and value.
    pub(super) method: (&'static str, &'a str),
    pub(super) shared: &'a Shared,
}

/// Asks `matches` about each of the texts, until one does: with the token's line or without, with the last line feed or without.
pub(super) fn texts(lines: &Lines<'_>, body: &[u8], mut matches: impl FnMut(&[u8]) -> bool) -> Option<(bool, bool)> {
    let token_lines: &[bool] = if lines.shared.token.is_some() { &[true, false] } else { &[false] };
    token_lines.iter().find_map(|&token_line| {
        let text = text(lines, token_line, body);
        let without = text.strip_suffix(b"\n").unwrap_or_default();
        let last_lf = if matches(&text) { Some(true) } else { matches(without).then_some(false) };
        last_lf.map(|last_lf| (token_line, last_lf))
    })
}

/// With the last line feed.
pub(super) fn text(lines: &Lines<'_>, token_line: bool, body: &[u8]) -> Vec<u8> {
    let Lines { url, timestamp, method: (method_name, method), shared } = lines;
    let (version, certificate) = (&shared.version, &shared.certificate_url);
    let mut text = format!(
        "{url}\n{}: {timestamp}\n{method_name}: {method}\n{}: {version}\n{}: {certificate}\n",
        name::TIMESTAMP,
        name::VERSION,
        name::URL
    );
    if let Some(token) = shared.token.as_ref().filter(|_| token_line) {
        text.push_str(&format!("{}: {token}\n", name::TOKEN));
    }
    let mut text = text.into_bytes();
    text.reserve(body.len() + 1);
    text.extend_from_slice(body);
    text.push(b'\n');
    text
}
