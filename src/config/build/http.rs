//! The keys of `type = "http"`.

use super::check::{demand_pair, problem, refuse_pair};
use crate::config::forms;
use crate::config::fragment::{Entry, Value};
use crate::config::matching;
use crate::config::network;
use crate::config::reader::{Parsed, Problem, Reader, shorten, text};
use crate::plan::{Http, TlsOptions};
use reqwest::Method;
use reqwest::header::{HeaderName, HeaderValue};
use std::collections::BTreeSet;

/// Greatest request body, in bytes.
const BODY_LIMIT: usize = 64 * 1024;

/// Headers that describe the connection and the length of the body: the client writes them.
const OWN_HEADERS: [&str; 5] = ["connection", "content-length", "transfer-encoding", "te", "upgrade"];

pub(super) fn http(reader: &mut Reader<'_>) -> Option<Http> {
    let url = reader.value("url", network::url);
    let method = reader.word("method", |word| Method::from_bytes(word.as_bytes()).ok());
    let headers = reader.value("headers", headers);
    let body = reader.optional("body", body);
    let expect_status = reader.value("expect_status", some_statuses);
    let warn_status = reader.value("warn_status", matching::statuses);
    let expect_headers = reader.value("expect_headers", |value| {
        forms::pairs(value, |name, entry| {
            header_name(name, entry)?;
            let pattern = matching::pattern(&entry.value).map_err(|problems| first(problems, name))?;
            Ok((name.to_owned(), pattern))
        })
    });
    let expect_body = reader.optional("expect_body", matching::pattern);
    let expect_json = reader.value("expect_json", |value| {
        forms::pairs(value, |pointer, entry| {
            matching::json_pointer(pointer).map_err(|problem| problem.at(entry.key))?;
            Ok((pointer.to_owned(), matching::json(&entry.value)?))
        })
    });
    let follow_redirects = reader.flag("follow_redirects");
    let unix_socket = reader.optional("unix_socket", forms::path);
    let proxy = reader.optional("proxy", network::url_of_proxy);
    let username = reader.optional("username", username);
    let password_file = reader.optional("password_file", forms::path);
    refuse_pair(reader, "server_name", "proxy", "through a proxy the name of the URL is asked for");
    refuse_pair(reader, "unix_socket", "proxy", "a socket in the file system is reached directly");
    demand_pair(reader, "username", "password_file");
    refuse_second_authorization(reader, headers.as_deref().unwrap_or_default());
    let tls = tls(reader, url.as_ref().is_some_and(|url| url.scheme() == "http"));
    let basic = username?.zip(password_file?);
    Some(Http {
        url: url?,
        method: method?,
        headers: headers?,
        body: body?,
        expect_status: expect_status?,
        warn_status: warn_status?,
        expect_headers: expect_headers?,
        expect_body: expect_body?,
        expect_json: expect_json?,
        follow_redirects: follow_redirects?,
        unix_socket: unix_socket?,
        proxy: proxy?,
        basic,
        tls: tls?,
    })
}

/// The keys of TLS.
pub(super) const TLS_KEYS: [&str; 5] = ["tls_verify", "ca_file", "cert_file", "key_file", "server_name"];

fn tls(reader: &mut Reader<'_>, plain: bool) -> Option<TlsOptions> {
    let options = tls_keys(reader);
    for name in TLS_KEYS {
        if plain && reader.has(name) && !reader.has("follow_redirects") {
            let place = reader.place(name);
            reader.notes.warn(place, format!("`{name}` does nothing, because `url` is not https"), None);
        }
    }
    options
}

/// Reads the keys of TLS, for the types that have them.
pub(super) fn tls_keys(reader: &mut Reader<'_>) -> Option<TlsOptions> {
    let verify = reader.flag("tls_verify");
    let ca_file = reader.optional("ca_file", forms::path);
    let cert_file = reader.optional("cert_file", forms::path);
    let key_file = reader.optional("key_file", forms::path);
    let server_name = reader.optional("server_name", network::server_name);
    demand_pair(reader, "cert_file", "key_file");
    let client = cert_file?.zip(key_file?);
    Some(TlsOptions { verify: verify?, ca_file: ca_file?, client, server_name: server_name? })
}

fn some_statuses(value: &Value) -> Parsed<crate::plan::StatusRanges> {
    let ranges = matching::statuses(value)?;
    if ranges.0.is_empty() { Err(problem("must not be empty: nothing would pass")) } else { Ok(ranges) }
}

fn body(value: &Value) -> Parsed<String> {
    let text = text(value)?;
    if text.len() > BODY_LIMIT { Err(problem("must have at most 64 KiB")) } else { Ok(text.to_owned()) }
}

/// RFC 7617, section 2: a user name has no colon.
fn username(value: &Value) -> Parsed<String> {
    let name = forms::line(value, 255)?;
    if name.contains(':') { Err(problem("must not have a colon (RFC 7617)")) } else { Ok(name) }
}

fn headers(value: &Value) -> Parsed<Vec<(String, String)>> {
    let mut seen = BTreeSet::new();
    forms::pairs(value, |name, entry| {
        header_name(name, entry)?;
        if OWN_HEADERS.contains(&name.to_ascii_lowercase().as_str()) {
            return Err(Problem::new(format!("may not have `{name}`, which the agent writes itself")).at(entry.key));
        }
        if !seen.insert(name.to_ascii_lowercase()) {
            return Err(Problem::new(format!("has `{name}` twice"))
                .hint("names of headers do not tell small from capital letters")
                .at(entry.key));
        }
        let text = text(&entry.value).map_err(|problem| first(vec![problem], name))?;
        HeaderValue::from_str(text)
            .map_err(|_| Problem::new(format!("has a value of `{name}` with characters that no header may have")))?;
        Ok((name.to_owned(), text.to_owned()))
    })
}

fn header_name(name: &str, entry: &Entry) -> Result<(), Problem> {
    let bad = |_| Problem::new(format!("has `{}`, which is not the name of a header", shorten(name))).at(entry.key);
    HeaderName::from_bytes(name.as_bytes()).map(|_| ()).map_err(bad)
}

/// The first problem, which says that it is about the entry `name`.
fn first(problems: Vec<Problem>, name: &str) -> Problem {
    let first = problems.into_iter().next().unwrap_or_else(|| Problem::new("is wrong"));
    Problem { message: format!("has a `{}` that {}", shorten(name), first.message), ..first }
}

fn refuse_second_authorization(reader: &mut Reader<'_>, headers: &[(String, String)]) {
    if reader.has("username") && headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("authorization")) {
        let place = reader.place("username");
        reader.notes.misfit(
            place,
            "`username` cannot stand beside the header `Authorization`",
            Some("both would write that header".to_owned()),
        );
    }
}
