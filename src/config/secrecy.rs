//! Which parts of a configuration may be secret, so that no message, list or journal line shows them.
//!
//! A configuration needs no secret (passwords and keys live in files of their own), but a request header, a request body, a child's
//! environment and what a tcp check sends can hold one under any name. These are never shown ([`is_sealed`]); other values are hidden by
//! the word before them. A line with a syntax error can hold anything, so hiding works on text too, and errs on the side of hiding.

use super::keys;

/// Stands for what is not shown.
pub(super) const HIDDEN: &str = "[hidden]";

/// Parts of names whose values may be secret.
const WORDS: [&str; 15] = [
    "authorization",
    "cookie",
    "api_key",
    "apikey",
    "token",
    "secret",
    "password",
    "passwd",
    "access_key",
    "private_key",
    "signature",
    "session_id",
    "credentials_json",
    "passphrase",
    "auth_key",
];

/// Keys whose values are never shown, whatever they are. The path of a credentials URI is often all that guards it.
const SEALED: [&str; 5] = ["headers", "body", "environment", "send", "uri"];

/// Whether all that stands under the key `name` is kept from being shown; a typing error in such a name counts as the name.
pub(super) fn is_sealed(name: &str) -> bool {
    SEALED.contains(&name) || (keys::nearest(name, SEALED).is_some() && !keys::all().any(|section| section.key(name).is_some()))
}

/// Whether the value at this dotted path is kept from being shown. A check or signal may have such a word for its name.
pub(super) fn is_sealed_path<S: AsRef<str>>(path: &[S]) -> bool {
    let named = path.first().is_some_and(|table| matches!(table.as_ref(), "check" | "signal"));
    path.iter().skip(if named { 2 } else { 0 }).any(|part| is_sealed(part.as_ref()))
}

/// Whether the value of a key, header or variable of this name may be secret. Names of files (`password_file`) are not.
pub(crate) fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('-', "_");
    // `[ros] signature` is the name of a scheme.
    if name.ends_with("_file") || name == "signature" {
        return false;
    }
    name == "body" || WORDS.iter().any(|word| name.contains(word))
}

/// Whether a text that is sent somewhere may hold a secret.
pub(super) fn mentions_secret(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    ["auth ", "pass ", "login "].iter().any(|word| text.contains(word)) || is_secret_name(&text)
}

/// `text` with everything from the first thing that may be secret replaced.
pub(super) fn hide(text: &str) -> String {
    match secret_at(text) {
        Some(at) => format!("{}{HIDDEN}", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// Byte offset in `line` from which on it may be secret: after `name =`, `"name":` or `"--name",` with a secret name, or the user
/// information of a URL.
pub(super) fn secret_at(line: &str) -> Option<usize> {
    let by_name = line.char_indices().filter(|(_, c)| matches!(c, '=' | ':' | ',')).find_map(|(at, _)| {
        let before = line.get(..at)?.trim_end();
        let before = before.trim_end_matches(['"', '\'']);
        let word = before.rsplit(|c: char| !is_word(c)).next()?;
        // In a URL it is a signature indeed.
        let signature = word.eq_ignore_ascii_case("signature") && word.len() < before.trim_start().len();
        (signature || is_secret_name(word)).then_some(at + 1)
    });
    let by_url = line.match_indices("://").find_map(|(at, mark)| {
        let start = at + mark.len();
        let authority = line.get(start..)?.split(['/', '"', '\'', '?', '#', ' ', '\t']).next()?;
        authority.contains('@').then_some(start)
    });
    match (by_name, by_url) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// Byte offset in `line` of a file from which on it may be secret: as in [`secret_at`], or after a sealed key.
pub(super) fn secret_in_line_at(line: &str) -> Option<usize> {
    [secret_at(line), sealed_at(line)].into_iter().flatten().min()
}

/// Byte offset in `line` after `headers =`, `send:`, or after the first `=` that follows `headers.` in a dotted key.
fn sealed_at(line: &str) -> Option<usize> {
    let first = line.find('=').unwrap_or(line.len());
    line.char_indices().filter(|(_, c)| matches!(c, '=' | ':')).find_map(|(at, _)| {
        let before = line.get(..at)?.trim_end();
        let word = before.trim_end_matches(['"', '\'']).rsplit(|c: char| !is_word(c)).next()?;
        let dotted = at <= first && !before.starts_with('[') && is_sealed_path(&parts(before));
        (dotted || is_sealed(word)).then(|| at + 1 + first_key(line.get(at + 1..).unwrap_or_default()))
    })
}

/// Length of the beginning of `value` that names the first key of an inline table, up to its `=`: `{ Accept =`.
fn first_key(value: &str) -> usize {
    let Some((open, _)) = value.split_once('=') else { return 0 };
    let Some(key) = open.trim_start().strip_prefix('{').map(str::trim) else { return 0 };
    let bare = key.strip_prefix('"').and_then(|key| key.strip_suffix('"')).unwrap_or(key);
    let named = !bare.is_empty() && bare.chars().all(|c| is_word(c) || (c == ' ' && bare != key));
    if named { open.len() + 1 } else { 0 }
}

/// The parts of a dotted key, without quotes and blanks.
fn parts(key: &str) -> Vec<&str> {
    key.split('.').map(|part| part.trim().trim_matches(['"', '\''])).collect()
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-')
}

/// Longest line that is searched for secrets, in bytes. Longer ones are never shown.
pub(super) const LINE_LIMIT: usize = 4096;
/// Most lines of one string or array that are searched for its beginning, and most bytes of them: each of many errors looks there.
const LINES_LIMIT: usize = 200;
const LINES_BYTES: usize = 4 * LINE_LIMIT;

/// Whether a line that follows `earlier` lines, the nearest first, may be the rest of a secret that began there: a string, array or
/// table over several lines. If it cannot be known it may be one.
pub(super) fn continues_secret<'a>(line: &str, earlier: impl Iterator<Item = &'a str> + Clone) -> bool {
    if line.trim_start().starts_with('[') {
        return false;
    }
    if in_sealed_table(earlier.clone()) {
        return true;
    }
    if begins_statement(line) {
        return false;
    }
    let mut bytes = 0;
    for (count, line) in earlier.enumerate() {
        bytes += line.len();
        if count >= LINES_LIMIT || line.len() > LINE_LIMIT || bytes > LINES_BYTES || secret_in_line_at(line).is_some() {
            return true;
        }
        if begins_statement(line) {
            return false;
        }
    }
    false
}

/// Whether a sealed table is still open after the lines of `earlier`, the nearest first: `[check.web.headers]`, or
/// `environment = {` without its end.
fn in_sealed_table<'a>(earlier: impl Iterator<Item = &'a str>) -> bool {
    let mut closed = false;
    for line in earlier {
        let line = line.trim();
        if let Some(header) = line.strip_prefix('[') {
            let path = header.trim_start_matches('[').split(']').next().unwrap_or_default();
            return is_sealed_path(&parts(path));
        }
        closed |= line.starts_with('}');
        let opens = line.ends_with('{') && SEALED.iter().any(|name| line.contains(name));
        if opens && !closed {
            return true;
        }
    }
    false
}

/// Whether `line` looks like `[table]`, or `key = value` with the value in the usual places.
fn begins_statement(line: &str) -> bool {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return false;
    }
    if line.starts_with('[') {
        return true;
    }
    line.split_once(" = ").is_some_and(|(key, _)| !key.is_empty() && key.chars().all(|c| is_word(c) || matches!(c, '.' | '"' | '\'')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_secret_names_are_hidden_and_others_shown() {
        assert_eq!(hide(r#"headers = { Authorization = "Bearer abc" }"#), r#"headers = { Authorization =[hidden]"#);
        assert_eq!(hide(r#""X-Api-Key" = "abc""#), r#""X-Api-Key" =[hidden]"#);
        assert_eq!(hide(r#"command = ["curl", "-H", "Cookie: a=b"]"#), r#"command = ["curl", "-H", "Cookie:[hidden]"#);
        assert_eq!(hide(r#"command = ["x", "--password", "p"]"#), r#"command = ["x", "--password",[hidden]"#);
        assert_eq!(hide(r#"url = "http://me:pw@example.com/""#), r#"url = "http://[hidden]"#);
        assert_eq!(hide(r#"url = "http://example.com/?token=abc""#), r#"url = "http://example.com/?token=[hidden]"#);
        assert_eq!(hide(r#"url = "http://h/?signature=abc""#), r#"url = "http://h/?signature=[hidden]"#);
        assert_eq!(hide(r#"signature = "hmac-sha1""#), r#"signature = "hmac-sha1""#);
        assert_eq!(hide(r#"password_file = "/etc/pw""#), r#"password_file = "/etc/pw""#);
        assert_eq!(hide(r#"expect_body = "ok""#), r#"expect_body = "ok""#);
    }

    #[test]
    fn sealed_values_of_a_line_are_hidden_whatever_their_names_are() {
        let shown = |line: &str| secret_in_line_at(line).map_or(line.to_owned(), |at| line[..at].to_owned());
        assert_eq!(shown(r#"headers = { X-Foo = "abc" }"#), "headers = { X-Foo =");
        assert_eq!(shown(r#"headers = { X-Foo "abc=" }"#), "headers =");
        assert_eq!(shown(r#"headers = { "abc", X = "abc" }"#), "headers =");
        assert_eq!(shown(r#"headers."X.Foo" = "abc""#), r#"headers."X.Foo" ="#);
        assert_eq!(shown(r#"check.web.environment.PW = "abc""#), "check.web.environment.PW =");
        assert_eq!(shown(r#"check.web = { "send" = "abc" }"#), r#"check.web = { "send" ="#);
        assert_eq!(shown(r#"send: "abc""#), "send:");
        assert_eq!(shown(r#"sned = "abc""#), "sned =");
        assert_eq!(shown(r#"check.send.interval = "5s""#), r#"check.send.interval = "5s""#);
        assert_eq!(shown(r#"depends_on = ["send", "body"]"#), r#"depends_on = ["send", "body"]"#);
        assert_eq!(shown(r#"url = "http://body.example.com/""#), r#"url = "http://body.example.com/""#);
        assert_eq!(shown(r#"expect_headers = { A = "abc" }"#), r#"expect_headers = { A = "abc" }"#);
    }

    #[test]
    fn a_line_inside_a_sealed_table_is_secret() {
        assert!(continues_secret("X-Foo = \"abc\"", ["", "[check.web.headers]"].into_iter()));
        assert!(continues_secret("PW = \"abc\",", ["A = \"b\",", "environment = {", "[check.web]"].into_iter()));
        assert!(!continues_secret("timeout = 5", ["}", "A = \"b\",", "environment = {", "[check.web]"].into_iter()));
        assert!(!continues_secret("timeout = 5", ["[check.send]", "[check.web.headers]"].into_iter()));
    }

    #[test]
    fn a_line_inside_a_secret_string_is_secret() {
        let before = ["Authorization = \"\"\"", "[check.web]"];
        assert!(continues_secret("Bearer abc", before.into_iter()));
        assert!(!continues_secret("timeout = 5", before.into_iter()));
        assert!(!continues_secret("more", ["description = \"\"\"", "password = \"x\""].into_iter()));
    }
}
