//! `docs/operations.md` beside the source: every line that the program logs as a warning or an error, and every text of the status, stands in
//! the document, and no line stands there that the program does not say any more.
//!
//! The source is read as tokens. `...` stands for what is put in when the line is said; a text of the document that ends with it covers
//! all that begins so. Texts that come whole from elsewhere are in [`PASSED_ON`], with the place where they are told.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Files with lines whose whole text is made elsewhere, and where it is told of.
const PASSED_ON: [(&str, &str); 10] = [
    ("src/agent/handles.rs", "docs/handle.md"),
    ("src/agent/identity.rs", "the status: why a target is not known"),
    ("src/agent/lifecycle.rs", "the callers of `end_beats`, which are read"),
    ("src/agent/template.rs", "docs/template.md#warnings"),
    ("src/daemon/mod.rs", "warnings of the configuration have place and hint"),
    ("src/daemon/reload.rs", "warnings of the configuration have place and hint"),
    ("src/daemon/report.rs", "the failure report, where the agent is part of another process"),
    ("src/events/http/mod.rs", "docs/eventbridge.md"),
    ("src/events/queue/source.rs", "docs/queue.md"),
    ("src/events/spool.rs", "docs/spool.md, and the callers of `talk.warn`, which are read"),
];

/// What the functions of the core put before the text of a note.
const NOTES: [(&str, &str); 5] =
    [("note", ""), ("note_stack", ""), ("note_signal", "signal ...: "), ("note_check", "check ...: "), ("note_hook", "hook ...: ")];

/// Functions whose texts are the status, as systemd and `status` show it.
const STATUS: [(&str, &[&str]); 6] = [
    ("src/agent/status.rs", &["summary", "detail", "sending_detail", "pending_detail", "confirmed"]),
    ("src/agent/status/stack.rs", &["clause"]),
    ("src/agent/handles.rs", &["why_unresolved"]),
    ("src/cli/status.rs", &["text", "alarms", "wrong_clock", "trouble", "last"]),
    ("src/cli/status/stack.rs", &["stack_row", "stack_trouble", "source_row", "hook_row"]),
    ("src/signal/round.rs", &["word"]),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn document() -> String {
    std::fs::read_to_string(root().join("docs/operations.md")).unwrap()
}

fn sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut directories = vec![root().join("src")];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.retain(|path| !path.components().any(|part| part.as_os_str() == "tests"));
    found.sort();
    found
}

type Tokens = Vec<TokenTree>;

fn tokens(path: &Path) -> Tokens {
    let text = std::fs::read_to_string(path).unwrap();
    let all: TokenStream = text.parse().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    without_tests(all)
}

/// Everything but what is compiled for tests alone.
fn without_tests(stream: TokenStream) -> Tokens {
    let all: Tokens = stream.into_iter().collect();
    let mut kept = Vec::new();
    let mut rest = all.into_iter().peekable();
    while let Some(token) = rest.next() {
        let is_test = matches!(rest.peek(), Some(TokenTree::Group(group)) if is(&token, '#') && group.stream().to_string().replace(' ', "") == "cfg(test)");
        if !is_test {
            kept.push(token);
            continue;
        }
        for skipped in rest.by_ref() {
            if is(&skipped, ';') || matches!(&skipped, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace) {
                break;
            }
        }
    }
    kept
}

fn is(token: &TokenTree, sign: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == sign)
}

fn word(token: Option<&TokenTree>) -> String {
    match token {
        Some(TokenTree::Ident(ident)) => ident.to_string(),
        _ => String::new(),
    }
}

fn inside(token: &TokenTree) -> Option<Tokens> {
    match token {
        TokenTree::Group(group) => Some(without_tests(group.stream())),
        _ => None,
    }
}

/// The text of a string literal.
fn literal(token: Option<&TokenTree>) -> Option<String> {
    let Some(TokenTree::Literal(literal)) = token else { return None };
    let written = literal.to_string();
    let quoted = written.strip_prefix('"')?.strip_suffix('"')?;
    let mut text = String::new();
    let mut rest = quoted.chars().peekable();
    while let Some(c) = rest.next() {
        match (c, rest.peek()) {
            ('\\', Some('\n')) => while rest.next_if(|next| next.is_whitespace()).is_some() {},
            ('\\', Some(_)) => match rest.next().unwrap() {
                'n' => text.push('\n'),
                'u' => while rest.next_if(|next| *next != '}').is_some() {},
                other => text.push(other),
            },
            _ => text.push(c),
        }
    }
    Some(text)
}

/// `...` for each value, and for several that touch.
fn shown(format: &str) -> String {
    let mut text = String::new();
    let mut rest = format.replace("{{", "\u{1}").replace("}}", "\u{2}");
    while let Some((before, after)) = rest.clone().split_once('{') {
        text.push_str(before);
        text.push_str("...");
        rest = after.split_once('}').map(|(_, after)| after.to_owned()).unwrap_or_default();
    }
    text.push_str(&rest);
    while text.contains("......") {
        text = text.replace("......", "...");
    }
    text.replace('\u{1}', "{").replace('\u{2}', "}").replace('\n', " ").trim().to_owned()
}

/// Whether there are words of its own in it, beside what is put in.
fn says_something(text: &str) -> bool {
    let known = ["signal ...:", "source ...:", "hook ...:", "check ...:", "hint:", "..."];
    let rest = known.iter().fold(text.to_owned(), |rest, known| rest.replace(known, ""));
    let rest = rest.trim();
    // A name alone is that of the value that holds the text.
    rest.contains(' ') && rest.chars().any(char::is_alphabetic)
}

/// The texts that `let NAME = ...;` of an enclosing block may give, last one first.
fn bound(name: &str, scopes: &[&Tokens]) -> Vec<String> {
    for scope in scopes.iter().rev() {
        let place = scope.iter().enumerate().rev().find(|(at, token)| {
            let before = word(at.checked_sub(1).and_then(|before| scope.get(before)));
            let follows = scope.get(at + 1).is_some_and(|next| is(next, '=') || is(next, ':'));
            word(Some(token)) == name && matches!(before.as_str(), "let" | "mut") && follows
        });
        if let Some((at, _)) = place {
            let value: Tokens = scope.iter().skip(at + 1).take_while(|token| !is(token, ';')).cloned().collect();
            return literals(&value);
        }
    }
    Vec::new()
}

/// All literals of an expression; of a macro's arguments the first.
fn literals(tokens: &[TokenTree]) -> Vec<String> {
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        if let Some(text) = literal(Some(token)) {
            found.push(text);
        }
        if let Some(inner) = inside(token) {
            let is_macro = at > 0 && is(&tokens[at - 1], '!');
            let all = literals(&inner);
            found.extend(all.into_iter().take(if is_macro { 1 } else { usize::MAX }));
        }
    }
    found
}

/// What a format string says, with the texts that are put into it where their names tell that they are texts.
fn variants(format: &str, scopes: &[&Tokens]) -> Vec<String> {
    for name in ["text", "said", "what"] {
        let place = format!("{{{name}}}");
        if format.contains(&place) {
            let texts = bound(name, scopes);
            if !texts.is_empty() {
                return texts.iter().map(|text| shown(&format.replace(&place, text))).collect();
            }
        }
    }
    vec![shown(format)]
}

fn segments(tokens: &[TokenTree]) -> Vec<&[TokenTree]> {
    tokens.split(|token| is(token, ',')).filter(|segment| !segment.is_empty()).collect()
}

/// The texts of an argument: a literal, `format!(...)`, a closure that gives one, or a name.
fn texts(argument: &[TokenTree], scopes: &[&Tokens]) -> Vec<String> {
    let start = argument.iter().position(|token| !is(token, '|') && !is(token, '&')).unwrap_or_default();
    let argument = &argument[start..];
    if let Some(text) = literal(argument.first()) {
        return variants(&text, scopes);
    }
    if word(argument.first()) == "format" {
        let inner = argument.get(2).and_then(inside).unwrap_or_default();
        return literal(inner.first()).map(|text| variants(&text, scopes)).unwrap_or_default();
    }
    let inner = argument.first().and_then(inside);
    if let (Some(inner), 1) = (inner, argument.len()) {
        return literals(&inner).iter().map(|text| shown(text)).collect();
    }
    let bound = bound(&word(argument.first()), scopes);
    if bound.is_empty() { vec![word(argument.first())] } else { bound.iter().map(|text| shown(text)).collect() }
}

/// What is put before the text of a note that is made by this call; none: it is no note.
fn note_of(called: &str, has_level: bool, delimiter: Delimiter) -> Option<&'static str> {
    let known = NOTES.iter().find(|(name, _)| *name == called).map(|(_, start)| *start);
    let other = has_level && called != "note_about" && (called == "Note" || delimiter == Delimiter::Parenthesis);
    known.or(other.then_some(""))
}

/// The texts of all warnings and errors in these tokens.
fn lines(tokens: &Tokens, outer: &[&Tokens], found: &mut Vec<String>) {
    let scopes: Vec<&Tokens> = outer.iter().copied().chain([tokens]).collect();
    for (at, token) in tokens.iter().enumerate() {
        let (Some(inner), TokenTree::Group(group)) = (inside(token), token) else { continue };
        let before = at.checked_sub(1).and_then(|before| tokens.get(before));
        let named = word(before);
        let called = word(at.checked_sub(2).and_then(|name| tokens.get(name)));
        let arguments = segments(&inner);
        let level = inner.iter().any(|token| word(Some(token)) == "NoteLevel");
        let is_loud = |segment: &[TokenTree]| {
            let mut all = Vec::new();
            words(segment, &mut all);
            all.iter().any(|word| word == "Warn" || word == "Error") || all == ["level"]
        };
        if before.is_some_and(|before| is(before, '!')) && matches!(called.as_str(), "warn" | "error") {
            let message = arguments.iter().find(|segment| literal(segment.first()).is_some());
            // Notes of the core are read where they are made.
            let is_note = arguments.iter().any(|segment| word(segment.first()) == "note");
            if let Some(text) = message.and_then(|message| literal(message.first())).filter(|_| !is_note) {
                found.extend(variants(&text, &scopes));
            }
        } else if let Some(start) = note_of(&named, level, group.delimiter()) {
            let loud = arguments.iter().position(|segment| is_loud(segment));
            let message = arguments.last().filter(|_| arguments.len() > 1);
            if let (Some(loud), Some(message)) = (loud, message)
                && loud + 1 < arguments.len()
                && word(tokens.get(at.wrapping_sub(2))) != "fn"
            {
                found.extend(texts(message, &scopes).into_iter().map(|text| format!("{start}{text}")));
            }
        } else if named == "warn" && word(at.checked_sub(3).and_then(|owner| tokens.get(owner))) == "talk" {
            found.extend(texts(arguments.last().unwrap(), &scopes));
        }
        lines(&inner, &scopes, found);
    }
}

fn words(tokens: &[TokenTree], found: &mut Vec<String>) {
    for token in tokens {
        match token {
            TokenTree::Ident(ident) => found.push(ident.to_string()),
            TokenTree::Group(group) => words(&group.stream().into_iter().collect::<Tokens>(), found),
            _ => {}
        }
    }
}

/// File and text of every warning and error.
fn said() -> BTreeSet<(String, String)> {
    let mut said = BTreeSet::new();
    for path in sources() {
        let mut found = Vec::new();
        lines(&tokens(&path), &[], &mut found);
        let file = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
        said.extend(found.into_iter().map(|text| (file.clone(), text)));
    }
    said
}

/// What stands between backquotes.
fn spans(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('`') {
        let long = after.starts_with('`');
        let (fence, after) = if long { ("``", &after[1..]) } else { ("`", after) };
        let Some((span, after)) = after.split_once(fence) else { break };
        found.push(span.trim().to_owned());
        rest = after;
    }
    found
}

/// The texts in the first column of the tables of a chapter.
fn listed(document: &str, chapter: &str) -> Vec<String> {
    let body =
        document.split("\n## ").find_map(|text| text.strip_prefix(chapter)).unwrap_or_else(|| panic!("there is no chapter {chapter}"));
    let rows = body.lines().filter_map(|line| line.strip_prefix("| "));
    rows.flat_map(|row| spans(row.split(" | ").next().unwrap_or_default())).collect()
}

fn covers(listed: &str, said: &str) -> bool {
    listed == said || listed.strip_suffix("...").is_some_and(|start| said.starts_with(start))
}

const LINES: &str = "Log lines";
const NOTHING: &str = "Log lines that ask for nothing";

#[test]
fn every_warning_and_error_of_the_log_is_in_the_document_for_operators() {
    let document = document();
    let listed = [listed(&document, LINES), listed(&document, NOTHING)].concat();
    let said = said();
    assert!(said.len() > 50, "lines are found at all: {said:?}");
    let is_passed_on = |file: &str, text: &str| !says_something(text) && PASSED_ON.iter().any(|(known, _)| *known == file);
    let missing: Vec<_> =
        said.iter().filter(|(file, text)| !is_passed_on(file, text) && !listed.iter().any(|listed| covers(listed, text))).collect();
    assert!(missing.is_empty(), "write what to do about these into docs/operations.md: {missing:#?}");
    let gone: Vec<_> =
        PASSED_ON.iter().filter(|(known, _)| !said.iter().any(|(file, text)| file == known && !says_something(text))).collect();
    assert!(gone.is_empty(), "nothing is passed on there any more: {gone:#?}");
}

#[test]
fn the_document_for_operators_lists_no_line_that_is_not_said() {
    let document = document();
    let said = said();
    let elsewhere = |text: &String| said.iter().any(|(_, said)| covers(text, said));
    let rotten: Vec<_> =
        [listed(&document, LINES), listed(&document, NOTHING)].concat().into_iter().filter(|text| !elsewhere(text)).collect();
    assert!(rotten.is_empty(), "the program says nothing of the kind: {rotten:#?}");
}

/// The bodies of the named functions.
fn bodies(tokens: &Tokens, names: &[&str], found: &mut Vec<(String, Tokens)>) {
    for (at, token) in tokens.iter().enumerate() {
        let name = word(tokens.get(at + 1));
        if word(Some(token)) == "fn" && names.contains(&name.as_str()) {
            let body =
                tokens.iter().skip(at).find(|token| matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace));
            found.extend(body.and_then(inside).map(|body| (name, body)));
        }
        if let Some(inner) = inside(token) {
            bodies(&inner, names, found);
        }
    }
}

#[test]
fn every_text_of_the_status_is_in_the_document_for_operators() {
    let spans: Vec<String> = document().lines().flat_map(spans).collect();
    let mut missing = Vec::new();
    for (file, names) in STATUS {
        let mut found = Vec::new();
        bodies(&tokens(&root().join(file)), names, &mut found);
        for name in names {
            assert!(found.iter().any(|(known, _)| known == name), "{file} has no function {name} any more");
        }
        for text in found.iter().flat_map(|(_, body)| literals(body)) {
            for part in shown(&text).split("...") {
                let part = part.trim_matches(|c: char| !c.is_alphanumeric());
                let is_told = !part.chars().any(|c| c.is_lowercase()) || spans.iter().any(|span| span.contains(part));
                if !is_told {
                    missing.push(format!("{file}: {part}"));
                }
            }
        }
    }
    assert!(missing.is_empty(), "write what these mean into docs/operations.md: {missing:#?}");
}
