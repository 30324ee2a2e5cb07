//! Which parts of a configuration may be secret, so that no message, list or journal line shows them.
//!
//! A configuration needs no secret (passwords and keys live in files of their own), but a request header such as `Authorization`, a
//! request body or a child's environment can hold one, and a line with a syntax error can hold anything. So hiding works on text, by
//! the word before the value, and errs on the side of hiding.

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

/// Whether the value of a key, header or variable of this name may be secret. Names of files (`password_file`) are not.
pub(super) fn is_secret_name(name: &str) -> bool {
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

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-')
}

/// Longest line that is searched for secrets, in bytes. Longer ones are never shown.
pub(super) const LINE_LIMIT: usize = 4096;
/// Most lines of one string or array that are searched for its beginning.
const LINES_LIMIT: usize = 200;

/// Whether a line that follows `earlier` lines, the nearest first, may be the rest of a secret that began there: a string or array
/// over several lines. If it cannot be known it may be one.
pub(super) fn continues_secret<'a>(line: &str, earlier: impl Iterator<Item = &'a str>) -> bool {
    if begins_statement(line) {
        return false;
    }
    for (count, line) in earlier.enumerate() {
        if count >= LINES_LIMIT || line.len() > LINE_LIMIT || secret_at(line).is_some() {
            return true;
        }
        if begins_statement(line) {
            return false;
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
    fn a_line_inside_a_secret_string_is_secret() {
        let before = ["Authorization = \"\"\"", "[check.web.headers]"];
        assert!(continues_secret("Bearer abc", before.into_iter()));
        assert!(!continues_secret("timeout = 5", before.into_iter()));
        assert!(!continues_secret("more", ["description = \"\"\"", "password = \"x\""].into_iter()));
    }
}
