//! Frees texts of others of what must not leave the host. Pure; errs on the side of hiding.
//!
//! Two sieves. *Known*: every secret that this process holds, whatever stands around it, also percent-encoded or escaped as in JSON, and
//! pieces of it, as where an output was cut. *By pattern*: values behind names such as `password`, `AccessKeySecret`, `Authorization` or
//! `signature`, tokens behind `Bearer`, the user information of URLs, private keys in PEM. Ids of access keys (`LTAI...`) may stay.

use crate::config::is_secret_name;
use crate::secret::Secret;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::collections::HashSet;
use std::ops::Range;
use zeroize::Zeroizing;

/// Stands for what is not shown.
pub const HIDDEN: &str = "[hidden]";
/// Shorter ones would hide every other word; a password of this length is none.
const SHORTEST: usize = 4;
/// Pieces of a known secret of this length are hidden too, in bytes.
const PIECE: usize = 20;
/// Of longer texts (what is signed, a URL) only the whole: pieces of them are everybody's, such as the stack's id.
const LONGEST_IN_PIECES: usize = 256;
/// RFC 3986, "Unreserved Characters".
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// Each pass may only make new words by joining what it left; this many are enough for any that is not made for it.
const PASSES: usize = 8;

/// What is known to be secret.
pub struct Redactor {
    // Not as `Secret`: redactors that live at the same time would learn each other's forms.
    whole: Vec<Zeroizing<String>>,
    pieces: HashSet<[u8; PIECE]>,
}

impl Redactor {
    /// One that knows these.
    pub fn new(secrets: impl IntoIterator<Item = Secret>) -> Self {
        let mut known = Self { whole: Vec::new(), pieces: HashSet::new() };
        for secret in secrets {
            let text = secret.expose();
            known.add(text);
            // One of several lines may be shown line by line.
            text.lines().filter(|line| line.len() < text.len() && line.len() >= PIECE).for_each(|line| known.add(line));
        }
        known
    }

    fn add(&mut self, text: &str) {
        if text.len() < SHORTEST || HIDDEN.contains(text) {
            return;
        }
        let encoded = utf8_percent_encode(text, RESERVED).to_string();
        let escaped: String = text.escape_default().collect();
        for form in [text, &encoded, &escaped] {
            if !self.whole.iter().any(|known| known.as_str() == form) {
                self.whole.push(Zeroizing::new(form.to_owned()));
            }
        }
        if text.len() <= LONGEST_IN_PIECES && !text.contains("://") {
            self.pieces.extend(text.as_bytes().windows(PIECE).filter_map(|piece| <[u8; PIECE]>::try_from(piece).ok()));
        }
    }

    /// `text` without them.
    pub fn clean(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for _ in 0..PASSES {
            let mut marks = Marks::of(&text);
            self.mark_known(&text, &mut marks);
            mark_patterns(&text, &mut marks);
            let hidden = marks.bytes();
            if !hidden.contains(&true) {
                break;
            }
            text = without(&text, &hidden);
        }
        text
    }

    fn mark_known(&self, text: &str, marks: &mut Marks) {
        for secret in &self.whole {
            let secret = secret.as_str();
            let mut from = 0;
            while let Some(found) = text.get(from..).and_then(|rest| rest.find(secret)) {
                marks.add(from + found..from + found + secret.len());
                // Occurrences may overlap.
                from += found + text.get(from + found..).and_then(|rest| rest.chars().next()).map_or(1, char::len_utf8);
            }
        }
        if self.pieces.is_empty() {
            return;
        }
        for (at, piece) in text.as_bytes().windows(PIECE).enumerate() {
            if self.pieces.contains(piece) {
                marks.add(at..at + PIECE);
            }
        }
    }
}

/// Stretches that are to be hidden, which may overlap: how many begin at each byte, less how many end there.
struct Marks(Vec<i64>);

impl Marks {
    fn of(text: &str) -> Self {
        Self(vec![0; text.len() + 1])
    }

    fn add(&mut self, range: Range<usize>) {
        let end = range.end.min(self.0.len() - 1);
        if range.start >= end {
            return;
        }
        for (at, change) in [(range.start, 1), (end, -1)] {
            if let Some(count) = self.0.get_mut(at) {
                *count += change;
            }
        }
    }

    /// Whether each byte is hidden.
    fn bytes(self) -> Vec<bool> {
        let mut open = 0;
        let length = self.0.len() - 1;
        let hidden = self.0.into_iter().take(length).map(|change| {
            open += change;
            open > 0
        });
        hidden.collect()
    }
}

/// The next place of something, found once for all that ask on the way there. Whoever writes into a log must not make this slow: each
/// name of a secret, or each `://`, in a long line would look through the rest of it.
struct Ahead<'a> {
    text: &'a str,
    find: fn(&str) -> Option<usize>,
    /// From where to where nothing is.
    known: Range<usize>,
}

impl<'a> Ahead<'a> {
    fn new(text: &'a str, find: fn(&str) -> Option<usize>) -> Self {
        // Nothing is known yet: no place is in here.
        Self { text, find, known: text.len() + 1..text.len() + 1 }
    }

    /// The first place at `from` or behind it; the end of the text where there is none. Asked in ascending order, each byte is looked at once.
    fn at(&mut self, from: usize) -> usize {
        if from < self.known.start || from > self.known.end {
            let found = self.text.get(from..).and_then(self.find);
            self.known = from..found.map_or(self.text.len(), |found| from + found);
            #[cfg(test)]
            tests::LOOKED_THROUGH.set(tests::LOOKED_THROUGH.get() + self.known.len());
        }
        self.known.end
    }
}

/// `text` with each hidden stretch replaced.
fn without(text: &str, hidden: &[bool]) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut hiding = false;
    for (at, character) in text.char_indices() {
        let hide = hidden.get(at..at + character.len_utf8()).is_some_and(|bytes| bytes.contains(&true));
        match (hide, hiding) {
            (false, _) => shown.push(character),
            (true, false) => shown.push_str(HIDDEN),
            (true, true) => {}
        }
        hiding = hide;
    }
    shown
}

fn mark_patterns(text: &str, marks: &mut Marks) {
    let mut values = Values::of(text);
    for (at, byte) in text.bytes().enumerate() {
        let value = match byte {
            b'=' | b':' => text.get(..at).and_then(named_before).and_then(|name| values.at(at + 1, &name)),
            b' ' => behind_blank(text, at),
            _ => None,
        };
        if let Some(value) = value.filter(|value| !is_hidden_already(text, value)) {
            marks.add(value);
        }
    }
    let mut urls = Urls::of(text);
    for (at, _) in text.match_indices("://") {
        if let Some(user) = urls.user_information(at + 3).filter(|user| !is_hidden_already(text, user)) {
            marks.add(user);
        }
    }
    let mut ends = Ahead::new(text, |text| text.find("-----END "));
    for (at, begin) in text.match_indices("-----BEGIN ") {
        let rest = text.get(at + begin.len()..).unwrap_or_default();
        let label = rest.split("-----").next().unwrap_or_default();
        if label.ends_with("PRIVATE KEY") && label.len() < 64 {
            marks.add(at..ends.at(at + begin.len()));
        }
    }
}

/// So that a second pass ends, and hides no more than the first.
fn is_hidden_already(text: &str, range: &Range<usize>) -> bool {
    let ends = |c: char| matches!(c, ',' | ';' | ')' | '}' | ']' | '"' | '\'');
    text.get(range.clone()).is_none_or(|value| value.is_empty() || value.strip_prefix("[hidden").is_some_and(|rest| rest.chars().all(ends)))
}

/// The name, if it is that of a secret, that ends `before`, perhaps in quotes: `password`, `"api-key"`.
fn named_before(before: &str) -> Option<String> {
    // Our own verdict, behind which the reason stands.
    if before.ends_with(" will never pass") {
        return None;
    }
    let before = before.trim_end_matches([' ', '\t']).trim_end_matches(['"', '\'', '\\']);
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let start = before.char_indices().rev().take(65).take_while(|(_, c)| is_word(*c)).last().map_or(before.len(), |(at, _)| at);
    let name = before.get(start..).unwrap_or_default().to_ascii_lowercase();
    let last = name.rsplit('.').next().unwrap_or_default();
    let short = ["pw", "pwd", "pass"].iter().any(|word| last.split(['_', '-']).any(|part| part == *word));
    let secret = last != "body" && (is_secret_name(last) || last.ends_with("signature") || short);
    secret.then_some(name)
}

/// Values behind the names of secrets.
struct Values<'a> {
    text: &'a str,
    lines: Ahead<'a>,
    words: Ahead<'a>,
}

impl<'a> Values<'a> {
    fn of(text: &'a str) -> Self {
        let lines = Ahead::new(text, |text| text.find('\n'));
        let words = Ahead::new(text, |text| text.find(|c: char| c.is_whitespace() || c == '"' || c == '\''));
        Self { text, lines, words }
    }

    /// Where the value begins and ends whose name ended before `from`.
    fn at(&mut self, from: usize, name: &str) -> Option<Range<usize>> {
        let end = self.lines.at(from);
        let line = self.text.get(from..end)?;
        let line = line.strip_suffix('\r').filter(|_| end < self.text.len()).unwrap_or(line);
        let value = line.trim_start_matches([' ', '\t', '>', '\\']);
        let start = from + (line.len() - value.len());
        if let Some(quote @ ('"' | '\'')) = value.chars().next() {
            // Inside of a string that is escaped itself the end is an escaped quote too.
            let nested = line.get(..line.len() - value.len()).is_some_and(|before| before.ends_with('\\'));
            let mut escaped = false;
            let inner = value.char_indices().skip(1).find(|(_, c)| {
                let ends = *c == quote && (nested || !escaped);
                escaped = *c == '\\' && !escaped;
                ends
            });
            return Some(start + 1..start + inner.map_or(value.len(), |(at, _)| at));
        }
        let whole_line = name.contains("authorization") || name.contains("cookie");
        // A passphrase may have blanks in it; behind `password=` it has none.
        let spaced = line.starts_with([' ', '\t']) && name.contains("pass");
        let end = start + value.len();
        Some(start..if whole_line || spaced { end } else { self.words.at(start).min(end) })
    }
}

/// What stands behind `Bearer `, `Basic ` or `--password `, whose blank is at `at`.
fn behind_blank(text: &str, at: usize) -> Option<Range<usize>> {
    let before = text.get(..at)?;
    let start = before.char_indices().rev().take(65).take_while(|(_, c)| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')).last()?.0;
    let word = before.get(start..)?.to_ascii_lowercase();
    let rest = text.get(at + 1..)?;
    let length = rest.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ',')).unwrap_or(rest.len());
    let value = rest.get(..length)?;
    let hide = match word.as_str() {
        "bearer" => length >= 8,
        "basic" => length >= 8 && value.contains(|c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '='),
        flag => flag.strip_prefix("--").is_some_and(|name| named_before(name).is_some()),
    };
    hide.then_some(at + 1..at + 1 + length)
}

/// User information in URLs.
struct Urls<'a> {
    text: &'a str,
    ends: Ahead<'a>,
    authorities: Ahead<'a>,
    ats: Ahead<'a>,
}

impl<'a> Urls<'a> {
    fn of(text: &'a str) -> Self {
        let ends = Ahead::new(text, |text| text.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '<' | '>')));
        let authorities = Ahead::new(text, |text| text.find(['/', '?', '#']));
        Self { text, ends, authorities, ats: Ahead::new(text, |text| text.find('@')) }
    }

    /// `user:password` of the URL whose authority begins at `from`.
    fn user_information(&mut self, from: usize) -> Option<Range<usize>> {
        let end = self.ends.at(from);
        let authority = self.text.get(from..self.authorities.at(from).min(end))?;
        if let Some(at) = authority.rfind('@') {
            return Some(from..from + at);
        }
        // A password with a `/` in it that nobody encoded.
        let (_, port) = authority.split_once(':')?;
        let at = Some(self.ats.at(from)).filter(|at| *at < end && (port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit())))?;
        Some(from..at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::cell::Cell;

    thread_local! {
        /// Bytes in which something was looked for, by [`Ahead`].
        pub(super) static LOOKED_THROUGH: Cell<usize> = const { Cell::new(0) };
    }

    fn clean(text: &str) -> String {
        Redactor::new([]).clean(text)
    }

    #[test]
    fn scenario_18_what_looks_like_a_secret_is_hidden_and_what_stands_around_it_is_shown() {
        for (text, shown) in [
            ("AccessKeySecret=abc123 next", "AccessKeySecret=[hidden] next"),
            ("check app will never pass: no disk, password=x1y2", "check app will never pass: no disk, password=[hidden]"),
            ("connect to db: password=hunter2 failed", "connect to db: password=[hidden] failed"),
            ("password: correct horse battery", "password: [hidden]"),
            (r#"{"password":"a\"b","user":"me"}"#, r#"{"password":"[hidden]","user":"me"}"#),
            (r#"{\"api_key\": \"abc\", \"a\": 1}"#, r#"{\"api_key\": \"[hidden]", \"a\": 1}"#),
            ("GET / Authorization: Digest a=b, c=d", "GET / Authorization: [hidden]"),
            ("Cookie: session=1; theme=2\nHost: x", "Cookie: [hidden]\nHost: x"),
            ("curl -H 'X: Bearer abcdefgh.ijk' http://h/", "curl -H 'X: Bearer [hidden]' http://h/"),
            ("auth Basic dXNlcjpwYXNz failed", "auth Basic [hidden] failed"),
            ("basic authentication failed", "basic authentication failed"),
            ("mysql --password hunter2 --host db", "mysql --password [hidden] --host db"),
            ("postgres://app:s3cret@db/x is down", "postgres://[hidden]@db/x is down"),
            ("http://app:pa/ss@db/x is down", "http://[hidden]@db/x is down"),
            ("http://127.0.0.1:8080/a@b", "http://127.0.0.1:8080/a@b"),
            (
                "POST http://100.100.100.110/waitcondition?stackname=a&expire=1&signature=0123abcd",
                "POST http://100.100.100.110/waitcondition?stackname=a&expire=1&signature=[hidden]",
            ),
            ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----", "[hidden]-----END RSA PRIVATE KEY-----"),
            ("a -----BEGIN PRIVATE KEY-----\nMIIE", "a [hidden]"),
            ("key LTAI5tExample may stay", "key LTAI5tExample may stay"),
            ("APP_TOKEN=xyz", "APP_TOKEN=[hidden]"),
            ("DB_PASS=x1", "DB_PASS=[hidden]"),
            ("connection refused by 127.0.0.1:80: no answer", "connection refused by 127.0.0.1:80: no answer"),
            ("password_file = \"/etc/pw\"", "password_file = \"/etc/pw\""),
        ] {
            assert_eq!(clean(text), shown, "{text}");
        }
    }

    #[test]
    fn what_is_hidden_once_stays_as_it_is() {
        for text in ["password=a b", "token: \"x\"", "http://a:b@c/", "Authorization: Bearer abcdefghi"] {
            let once = clean(text);
            assert_eq!(clean(&once), once);
        }
    }

    #[test]
    fn a_piece_of_a_known_secret_at_the_edge_of_a_cut_is_hidden_too() {
        let secret = "k3yk3yK3YabcdefghijABCDEFGHIJ0123456789";
        let known = Redactor::new([Secret::new(secret)]);
        assert_eq!(known.clean(&format!("[12 bytes cut]\n{} end", &secret[9..])), "[12 bytes cut]\n[hidden] end");
        assert_eq!(known.clean("k3yk3y is not it"), "k3yk3y is not it");
    }

    /// Whoever could write such a line into a journal held up the whole agent for half a minute, just before a FAILURE.
    #[test]
    fn a_line_full_of_what_may_be_secret_is_looked_through_once() {
        for (unit, shown, sieves) in [
            ("://", None, 3),
            ("://x:", None, 3),
            ("password=", Some("password=[hidden]"), 2),
            ("authorization: ", Some("authorization: [hidden]"), 1),
            ("-----BEGIN PRIVATE KEY-----", Some(HIDDEN), 1),
        ] {
            let line = unit.repeat(64 * 1024 / unit.len());
            LOOKED_THROUGH.set(0);
            assert_eq!(clean(&line), shown.unwrap_or(&line), "{unit}");
            // The second pass has little more to do than to see that nothing is left.
            let looked_through = LOOKED_THROUGH.get();
            assert!((line.len() / 2..=line.len() * sieves + 64).contains(&looked_through), "{unit}: {looked_through} bytes");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn scenario_18_no_known_secret_survives_whatever_stands_around_it(
            secrets in prop::collection::vec("[ -~]{4,40}|\\PC{4,12}|[a-z]{2}[0-9]{2,300}", 1..5),
            around in prop::collection::vec("\\PC{0,20}|(password|token|http://|Bearer |\"|=|:|\n|\\[hidden\\]){0,6}", 1..10),
            order in prop::collection::vec(any::<prop::sample::Index>(), 1..10),
        ) {
            let text: String = around.iter().zip(order.iter().cycle()).map(|(around, which)| format!("{around}{}", which.get(&secrets))).collect();
            let shown = Redactor::new(secrets.iter().map(Secret::new)).clean(&text);
            for secret in secrets.iter().filter(|secret| !HIDDEN.contains(secret.as_str())) {
                prop_assert!(!shown.contains(secret.as_str()), "{secret:?} is in {shown:?}");
            }
        }

        #[test]
        fn any_text_can_be_cleaned(text in "\\PC{0,200}|[=:\"' a-z\n@/-]{0,200}") {
            clean(&text);
        }
    }
}
