//! What is known of a handle's URL, in each of the forms in which people have it.
//!
//! ```text
//! http://100.100.100.110/waitcondition?stackname=..&stackid=..&resource=..&expire=..&signature=..
//! {"URL": "http://...", "Headers": {"x-acs-region-id": "cn-hangzhou", ...}}          Headers: an object, or a text with one in it
//! curl -i -X POST -H 'Content-Type: application/json' ... http://...?stackname=..\&stackid=..                 `CurlCli`
//! curl.exe -i -X POST -H "Content-Type: application/json" ... "http://...?stackname=..&stackid=.."            `WindowsCurlCli`
//! ```
//!
//! The names are those of the handle's attributes (help.aliyun.com 48503); the shape of the URL is that of the GetStackResource sample of
//! 2019 and may have changed: nothing of it is needed but that it is a URL. What it tells (stack, region, resource, when it expires) is
//! read where it is there. No error quotes anything of the document.

use crate::secret::Secret;
use crate::signal::Place;
use percent_encoding::percent_decode_str;
use reqwest::Url;
use reqwest::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING};
use serde_json::Value;
use std::fmt;

/// The most bytes of a document.
const LIMIT: usize = 16 * 1024;

/// The longest URL, in bytes.
const URL_LIMIT: usize = 4096;

/// The most headers.
const HEADERS_LIMIT: usize = 16;

/// The longest value of a header, in bytes.
const VALUE_LIMIT: usize = 1024;

/// Parts of a URL from this length on may be secret.
const SECRET_LENGTH: usize = 12;

/// Headers that belong to the connection, not to the message: those of a document are passed over.
const OWN: [HeaderName; 5] = [HOST, CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION, EXPECT];

/// Options of curl without a value that change nothing of what is sent.
const SILENT_OPTIONS: [&str; 9] =
    ["--include", "--silent", "--show-error", "--verbose", "--fail", "--location", "--insecure", "--globoff", "--compressed"];

/// What to write instead.
const HINT: &str = "write the handle's attribute CurlCli or URL into it, or {\"URL\": ..., \"Headers\": ...}, and nothing else";

/// Why a document cannot be used. Holds nothing of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// Line, from 1, where it is known.
    pub line: Option<usize>,
    /// What is wrong.
    pub why: String,
}

impl Invalid {
    fn new(why: impl Into<String>) -> Self {
        Self { line: None, why: why.into() }
    }

    /// What a person can do.
    pub fn hint(&self) -> &'static str {
        HINT
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: {}", self.why),
            None => f.write_str(&self.why),
        }
    }
}

/// A URL to post signals to, and the headers to do it with.
#[derive(Clone, Debug)]
pub struct Document {
    url: Secret,
    headers: HeaderMap,
    place: Place,
}

impl Document {
    /// Reads a document in any of its forms.
    ///
    /// # Errors
    /// If it is in none of them, or has what no handle has.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        if text.len() > LIMIT {
            return Err(Invalid::new(format!("it is larger than {} KiB", LIMIT / 1024)));
        }
        let text = text.trim_start_matches('\u{feff}');
        let control = |line: &str| line.chars().any(|c| c.is_control() && c != '\t' && c != '\r');
        if let Some(line) = text.split('\n').position(control) {
            return Err(Invalid { line: Some(line + 1), why: "it has control characters".to_owned() });
        }
        match text.trim().chars().next() {
            None => Err(Invalid::new("it is empty")),
            Some('{') => of_json(text),
            Some(_) => of_words(text),
        }
    }

    /// Of the attributes of a handle, as GetStackResource shows them: `URL` and `Headers`, else `CurlCli`.
    ///
    /// # Errors
    /// If they do not have what is needed.
    pub(crate) fn of_attributes(attributes: &[(String, Secret)]) -> Result<Self, Invalid> {
        let find = |name: &str| attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.expose()).filter(|v| !v.is_empty());
        match (find("URL"), find("CurlCli")) {
            (Some(url), _) => Self::new(url, find("Headers").map_or(Ok(HeaderMap::new()), headers_of_text)?),
            (None, Some(text)) => Self::parse(text),
            (None, None) => Err(Invalid::new("the handle has neither an attribute URL nor CurlCli")),
        }
    }

    fn new(url: &str, headers: HeaderMap) -> Result<Self, Invalid> {
        let parsed = check(url)?;
        let region = headers.get("x-acs-region-id").and_then(|value| value.to_str().ok()).filter(|region| is_region(region));
        let mut place = Place { region: region.map(str::to_owned), ..Place::default() };
        for (name, value) in query(&parsed) {
            match name.as_str() {
                "stackid" => place.stack_id = Some(value).filter(|id| is_word(id, "-_")),
                "resource" => place.resource = Some(value).filter(|resource| is_word(resource, "-_.")),
                "expire" => place.expires = value.parse().ok(),
                _ => {}
            }
        }
        Ok(Self { url: Secret::new(url), headers, place })
    }

    /// The URL, for the request alone.
    pub(super) fn url(&self) -> &Secret {
        &self.url
    }

    /// Where its service listens: scheme, host and port, and nothing else of the URL.
    pub(crate) fn service(&self) -> Option<Url> {
        let mut url = Url::parse(self.url.expose()).ok()?;
        url.set_path("/");
        url.set_query(None);
        Some(url)
    }

    /// The headers that came with it.
    pub(super) fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// What it tells of the handle.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Whether both lead to the same place with the same signature.
    pub(super) fn is_same_url(&self, other: &Secret) -> bool {
        self.url.expose() == other.expose()
    }

    /// Text of the other side, or a note that it is not shown because it repeats a part of the URL or of a header.
    pub(super) fn masked(&self, text: &str) -> String {
        let lower = text.to_ascii_lowercase();
        let secrets = self.secrets();
        if secrets.iter().any(|secret| lower.contains(&secret.expose().to_ascii_lowercase())) {
            return "[not shown, because it repeats the URL]".to_owned();
        }
        crate::transport::clean(text)
    }

    /// The parts that may be secret: whatever is long and does not name stack or resource.
    fn secrets(&self) -> Vec<Secret> {
        let Ok(url) = Url::parse(self.url.expose()) else { return Vec::new() };
        let named = |name: &str| matches!(name, "stackid" | "stackname" | "resource" | "expire");
        let of_query = query(&url).into_iter().filter(|(name, _)| !named(name)).map(|(_, value)| value);
        // As it was written, and what has no name.
        let raw = url.query().unwrap_or_default().split('&').map(|pair| pair.split_once('=').unwrap_or(("", pair)));
        let raw = raw.filter(|(name, _)| !named(name)).map(|(_, value)| value.to_owned());
        let of_path = url.path().split('/').filter(|part| *part != "waitcondition").map(str::to_owned);
        let plain = |name: &HeaderName| matches!(name.as_str(), "content-type" | "accept" | "x-acs-region-id" | "user-agent");
        let of_headers = self.headers.iter().filter(|(name, _)| !plain(name)).filter_map(|(_, value)| value.to_str().ok());
        let all = of_query.chain(raw).chain(of_path).chain(of_headers.map(str::to_owned));
        all.filter(|part| part.len() >= SECRET_LENGTH).map(Secret::new).collect()
    }
}

/// The URL, if it can be used as it stands: what a parser would write otherwise would spoil its signature.
fn check(url: &str) -> Result<Url, Invalid> {
    if url.len() > URL_LIMIT {
        return Err(Invalid::new(format!("the URL is longer than {URL_LIMIT} bytes")));
    }
    let parsed = Url::parse(url).map_err(|_| Invalid::new("what should be the URL is none"))?;
    if !matches!(parsed.scheme(), "http" | "https") {
        return Err(Invalid::new("the URL is neither http nor https"));
    }
    if !parsed.has_host() || !parsed.username().is_empty() || parsed.password().is_some() || parsed.fragment().is_some() {
        return Err(Invalid::new("the URL must have a host, and neither a user nor a fragment"));
    }
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    let written = rest.find(['/', '?']).and_then(|at| rest.get(at..)).unwrap_or_default();
    let sent = path_and_query(&parsed);
    if sent != written && sent.strip_prefix('/') != Some(written) {
        return Err(Invalid::new("the URL has characters that must be percent-encoded in a URL"));
    }
    Ok(parsed)
}

fn path_and_query(url: &Url) -> String {
    url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()))
}

/// Names and decoded values of the query.
fn query(url: &Url) -> Vec<(String, String)> {
    let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let pairs = url.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (decode(name), decode(value))).collect()
}

fn is_word(text: &str, others: &str) -> bool {
    (1..=255).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || others.contains(c))
}

fn is_region(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// Where JSON went wrong; serde's own words may quote it.
fn of_serde(error: &serde_json::Error) -> Invalid {
    let why = if error.is_eof() { "the JSON document ends early" } else { "it is not valid JSON" };
    Invalid { line: Some(error.line()).filter(|line| *line > 0), why: why.to_owned() }
}

/// `{"URL": ..., "Headers": ...}`, or `{"CurlCli": ...}`; keys in any case, others passed over.
fn of_json(text: &str) -> Result<Document, Invalid> {
    let Value::Object(object) = serde_json::from_str(text).map_err(|error| of_serde(&error))? else {
        return Err(Invalid::new("it is not a JSON object"));
    };
    let member = |name: &str| -> Result<Option<&Value>, Invalid> {
        let mut found = object.iter().filter(|(key, value)| key.eq_ignore_ascii_case(name) && !value.is_null());
        match (found.next(), found.next()) {
            (first, None) => Ok(first.map(|(_, value)| value)),
            _ => Err(Invalid::new(format!("it has {name} twice"))),
        }
    };
    let text_of = |name: &str| match member(name)? {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.trim())),
        Some(_) => Err(Invalid::new(format!("{name} is not a text"))),
    };
    if let Some(url) = text_of("URL")? {
        let headers = match member("Headers")? {
            None => HeaderMap::new(),
            Some(Value::String(text)) => headers_of_text(text)?,
            Some(Value::Object(headers)) => headers_of(headers)?,
            Some(_) => return Err(Invalid::new("Headers is neither an object nor a text with one in it")),
        };
        return Document::new(url, headers);
    }
    match text_of("CurlCli")? {
        Some(text) => of_words(text),
        None => Err(Invalid::new("the JSON object has no URL")),
    }
}

fn headers_of_text(text: &str) -> Result<HeaderMap, Invalid> {
    match serde_json::from_str(text) {
        Ok(Value::Object(headers)) => headers_of(&headers),
        _ => Err(Invalid::new("Headers is not a JSON object")),
    }
}

fn headers_of(object: &serde_json::Map<String, Value>) -> Result<HeaderMap, Invalid> {
    let mut headers = HeaderMap::new();
    for (name, value) in object {
        let value = value.as_str().ok_or_else(|| Invalid::new("a header's value is not a text"))?;
        add(&mut headers, name, value)?;
    }
    Ok(headers)
}

fn add(headers: &mut HeaderMap, name: &str, value: &str) -> Result<(), Invalid> {
    let name = HeaderName::try_from(name.trim()).map_err(|_| Invalid::new("a header's name is none"))?;
    if OWN.contains(&name) {
        return Ok(());
    }
    if headers.len() >= HEADERS_LIMIT {
        return Err(Invalid::new(format!("it has more than {HEADERS_LIMIT} headers")));
    }
    let mut value = HeaderValue::try_from(value.trim())
        .ok()
        .filter(|value| value.len() <= VALUE_LIMIT)
        .ok_or_else(|| Invalid::new("a header's value has control characters, or more than 1024 bytes"))?;
    value.set_sensitive(true);
    headers.insert(name, value);
    Ok(())
}

/// A bare URL, or a command of curl whose quoting is undone as a shell would.
fn of_words(text: &str) -> Result<Document, Invalid> {
    let bare = text.trim();
    let quoted = bare.contains(|c: char| c.is_whitespace() || matches!(c, '\\' | '"' | '\''));
    if !quoted {
        return Document::new(bare, HeaderMap::new());
    }
    // A shell takes these away before it looks for words.
    let joined = text.replace("\\\r\n", "").replace("\\\n", "");
    let mut lexer = shlex::Shlex::new(&joined);
    let words: Vec<String> = lexer.by_ref().take(HEADERS_LIMIT * 4).collect();
    if lexer.had_error {
        return Err(Invalid { line: Some(lexer.line_no), why: "a quote is not closed, or it ends with a backslash".to_owned() });
    }
    match words.split_first() {
        Some((url, [])) => Document::new(url, HeaderMap::new()),
        Some((program, rest)) if is_curl(program) => of_curl(rest),
        Some((first, _)) if first.eq_ignore_ascii_case("invoke-webrequest") => {
            Err(Invalid::new("it is the handle's PowerShellCurlCli, which is not understood"))
        }
        _ => Err(Invalid::new("it is neither a URL nor JSON nor a command of curl")),
    }
}

fn is_curl(program: &str) -> bool {
    let name = program.rsplit(['/', '\\']).next().unwrap_or_default();
    matches!(name, "curl" | "curl.exe")
}

/// The options and the URL of a command of curl.
fn of_curl(words: &[String]) -> Result<Document, Invalid> {
    let (mut url, mut headers) = (None, HeaderMap::new());
    let mut words = words.iter().map(String::as_str).enumerate();
    while let Some((number, word)) = words.next() {
        // The command itself is the first word.
        let number = number + 2;
        let option = option(word).ok_or_else(|| Invalid::new(format!("word {number} of the command of curl is not understood")))?;
        let mut value = |glued: Option<_>| {
            let missing = || Invalid::new(format!("the command of curl ends after word {number}, which needs a value"));
            glued.or_else(|| words.next().map(|(_, word)| word)).ok_or_else(missing)
        };
        match option {
            Word::Silent => {}
            Word::Header(glued) => {
                let header = value(glued)?.split_once(':');
                let (name, value) = header.ok_or_else(|| Invalid::new("a header of the command of curl has no colon"))?;
                add(&mut headers, name, value)?;
            }
            Word::Method(glued) => {
                if value(glued)? != "POST" {
                    return Err(Invalid::new("the command of curl has another method than POST"));
                }
            }
            Word::Url(glued) => {
                if url.replace(value(glued)?).is_some() {
                    return Err(Invalid::new("the command of curl has two URLs"));
                }
            }
        }
    }
    Document::new(url.ok_or_else(|| Invalid::new("the command of curl has no URL"))?, headers)
}

/// What a word of a command means; with the value, where it stands in the same word.
enum Word<'a> {
    Silent,
    Header(Option<&'a str>),
    Method(Option<&'a str>),
    Url(Option<&'a str>),
}

fn option(word: &str) -> Option<Word<'_>> {
    let glued = |rest| Some(rest).filter(|rest: &&str| !rest.is_empty());
    match word {
        "--header" => return Some(Word::Header(None)),
        "--request" => return Some(Word::Method(None)),
        "--url" => return Some(Word::Url(None)),
        _ if SILENT_OPTIONS.contains(&word) => return Some(Word::Silent),
        _ => {}
    }
    if let Some(rest) = word.strip_prefix("-H") {
        return Some(Word::Header(glued(rest)));
    }
    if let Some(rest) = word.strip_prefix("-X") {
        return Some(Word::Method(glued(rest)));
    }
    match word.strip_prefix('-') {
        None => Some(Word::Url(Some(word))),
        Some(letters) => (!letters.is_empty() && letters.chars().all(|c| "isSvfLkg".contains(c))).then_some(Word::Silent),
    }
}
