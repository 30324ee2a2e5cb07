//! Words of others, made fit to be shown: escaped, cut, and without secrets.

use crate::check::clip;
use std::fmt::Write;
use std::time::Duration;

/// Longest piece of an answer inside a message.
const QUOTE_LIMIT: usize = 120;

/// A duration as the configuration writes it: `5s`, `1m 30s`, `500ms`.
pub(super) fn span(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

/// `text` with control characters escaped (`\x1b`), but tabs and ends of lines kept.
pub(super) fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | '\t' => shown.push(character),
            other => push_escaped(&mut shown, other),
        }
    }
    shown
}

/// `text` as one line: every control character escaped.
pub(super) fn one_line(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    text.chars().for_each(|character| push_escaped(&mut shown, character));
    shown
}

fn push_escaped(shown: &mut String, character: char) {
    // Bidirectional controls reorder what a reader sees; they are no `char::is_control`.
    let reorders = matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    match character {
        '\n' => shown.push_str("\\n"),
        '\r' => shown.push_str("\\r"),
        '\t' => shown.push_str("\\t"),
        control if control.is_control() || reorders => {
            // Writing to a String cannot fail.
            let _ = if control.is_ascii() {
                write!(shown, "\\x{:02x}", u32::from(control))
            } else {
                write!(shown, "\\u{{{:x}}}", u32::from(control))
            };
        }
        other => shown.push(other),
    }
}

/// `text` in quotes, on one line, cut to a length that fits into a message.
pub(super) fn quoted(text: &str) -> String {
    let line = one_line(text);
    let whole = line.len();
    let shown = clip(line, QUOTE_LIMIT);
    if shown.len() < whole { format!("\"{shown}...\"") } else { format!("\"{shown}\"") }
}

/// `url` without what may be secret: user, password, fragment, and the values of the query.
pub(super) fn masked(url: &reqwest::Url) -> String {
    let mut shown = url.clone();
    // Both fail only for URLs without a host, which have no user either.
    let _ = shown.set_username("");
    let _ = shown.set_password(None);
    shown.set_fragment(None);
    if let Some(query) = url.query() {
        let keys: Vec<String> = query.split('&').map(mask_pair).collect();
        shown.set_query(Some(&keys.join("&")));
    }
    clip(shown.to_string(), 2 * QUOTE_LIMIT)
}

fn mask_pair(pair: &str) -> String {
    match pair.split_once('=') {
        Some((key, _)) => format!("{key}=***"),
        // A bare word may be a token.
        None => "***".to_owned(),
    }
}

/// Host and port of `url`, as in `[::1]:8080`.
pub(super) fn place(url: &reqwest::Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port_or_known_default() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_of_a_child_cannot_reach_a_terminal() {
        assert_eq!(printable("a\x1b[2Jb\tc\nd\r\u{9b}"), "a\\x1b[2Jb\tc\nd\\r\\u{9b}");
        assert_eq!(one_line("a\nb\u{202e}c"), "a\\nb\\u{202e}c");
    }

    #[test]
    fn urls_are_shown_without_user_and_values() {
        let url = reqwest::Url::parse("https://joe:hunter2@db.internal/x?token=abc&plain#frag").unwrap();
        assert_eq!(masked(&url), "https://db.internal/x?token=***&***");
        assert_eq!(place(&url), "db.internal:443");
    }

    #[test]
    fn quotes_end_at_characters() {
        assert_eq!(quoted(&"\u{e4}".repeat(100)), format!("\"{}...\"", "\u{e4}".repeat(60)));
    }
}
