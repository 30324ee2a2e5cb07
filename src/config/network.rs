//! URLs, addresses and names of hosts.

use super::forms;
use super::fragment::Value;
use super::reader::{Parsed, Problem, text};
use crate::plan::SocketTarget;
use reqwest::Url;
use std::net::{IpAddr, Ipv6Addr};

/// An http or https URL without user and password.
pub(super) fn url(value: &Value) -> Parsed<Url> {
    let text = text(value)?;
    let example = "a URL looks like \"http://127.0.0.1:8080/healthz\"";
    let rest = ["http://", "https://"].iter().find_map(|scheme| text.strip_prefix(scheme));
    let rest = rest.ok_or_else(|| Problem::new("must begin with http:// or https://").hint(example))?;
    if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(Problem::new("must not have blanks or control characters").hint("write a blank as %20").into());
    }
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    if authority.contains('@') {
        let hint = "passwords do not belong in the configuration; an http check has `username` and `password_file`";
        return Err(Problem::new("must not hold a user or password").hint(hint).into());
    }
    // The parser would guess at these, and its tables of names in other scripts are not built in.
    if authority.is_empty() || !authority.is_ascii() || authority.contains('%') {
        return Err(Problem::new("has a bad host").hint("write names in other scripts in their xn-- form").into());
    }
    let url = Url::parse(text).map_err(|error| Problem::new(format!("is not a URL: {error}")).hint(example))?;
    let guessed = !matches!(url.scheme(), "http" | "https") || !url.username().is_empty() || url.password().is_some();
    if guessed { Err(Problem::new("is not a URL").hint(example).into()) } else { Ok(url) }
}

/// A URL that may be plain http only on loopback or at `plain`, an address.
pub(super) fn url_with_tls(value: &Value, plain: Option<IpAddr>) -> Parsed<Url> {
    let url = url(value)?;
    let excepted = address_of(&url).is_some_and(|address| Some(address) == plain);
    if url.scheme() == "http" && !is_loopback(&url) && !excepted {
        let message = match plain {
            Some(plain) => format!("may use plain http only for {plain} and loopback"),
            None => "may use plain http only on loopback".to_owned(),
        };
        return Err(Problem::new(message).hint("write https://").into());
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return Err(Problem::new("must be a host without a path").hint("write only scheme, host and port").into());
    }
    Ok(url)
}

fn address_of(url: &Url) -> Option<IpAddr> {
    url.host_str()?.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// Whether the URL's host is this host, whatever name servers say.
fn is_loopback(url: &Url) -> bool {
    match address_of(url) {
        Some(address) => address.is_loopback(),
        None => url.host_str() == Some("localhost"),
    }
}

/// `host:port`, an IPv6 address in brackets.
pub(super) fn address(value: &Value) -> Parsed<SocketTarget> {
    let text = text(value)?;
    let example = "an address looks like \"127.0.0.1:5432\", \"[::1]:5432\" or \"localhost:5432\"";
    let bad = |message: &str| Problem::new(message).hint(example);
    if text.contains("://") || text.contains('/') {
        return Err(bad("must be host and port, not a URL").into());
    }
    let (host, port) = text.rsplit_once(':').ok_or_else(|| bad("has no port"))?;
    if host.parse::<Ipv6Addr>().is_ok() || text.parse::<Ipv6Addr>().is_ok() {
        return Err(bad("must have its IPv6 address in brackets").into());
    }
    let port = port.parse::<u16>().ok().filter(|port| *port > 0 && !text.ends_with(|c: char| !c.is_ascii_digit()));
    let port = port.ok_or_else(|| bad("has a port that is not 1 to 65535"))?;
    let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(inside) => inside.parse::<Ipv6Addr>().map(|_| inside).map_err(|_| bad("has brackets around what is not an IPv6 address"))?,
        None => host,
    };
    if !host.contains(':') && !is_host(host) {
        return Err(bad("has a bad host").into());
    }
    Ok(SocketTarget::HostPort(host.to_owned(), port))
}

/// Whether `name` is an IPv4 address or a name that can be looked up (RFC 1123, and underscores as they occur).
pub(super) fn is_host(name: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    !name.is_empty() && name.len() <= 253 && name.trim_end_matches('.').split('.').all(label)
}

/// A name for TLS to ask for and to verify, which no address is.
pub(super) fn server_name(value: &Value) -> Parsed<String> {
    let name = forms::line(value, 253)?;
    let address = name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    if is_host(&name) && !address { Ok(name) } else { Err(Problem::new("is not the name of a host").into()) }
}

/// Where credentials are handed out: https, or plain http where it cannot leave the private network.
pub(super) fn url_of_credentials(value: &Value) -> Parsed<Url> {
    let url = url(value)?;
    if crate::credentials::is_kept_private(&url) {
        return Ok(url);
    }
    let message = "may use plain http only for localhost and for addresses that are loopback, link-local or private";
    Err(Problem::new(message).hint("write https://, or the address in place of the name").into())
}

/// A proxy: host and port only.
pub(super) fn url_of_proxy(value: &Value) -> Parsed<Url> {
    let url = url(value)?;
    if url.path() != "/" || url.query().is_some() {
        return Err(Problem::new("must be a host without a path").hint("write only scheme, host and port").into());
    }
    Ok(url)
}
