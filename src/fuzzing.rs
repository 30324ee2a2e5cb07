//! The door for `fuzz/`: what reads data from outside behind private walls, called with bytes, and what must hold of it. Only cargo-fuzz
//! compiles it (`--cfg fuzzing`). Rooms that keep their readers to themselves have a door of the same name of their own.

pub use crate::control::fuzzing::{Served, control};
pub use crate::credentials::fuzzing::credentials;
pub use crate::ess::fuzzing::lifecycle;
pub use crate::events::http::fuzzing::{Listener, PATH, TEST_SECRET, URL, Wire, listener};
pub use crate::events::queue::fuzzing::queue;
pub use crate::handle::fuzzing::{handle_answer, handle_document};
pub use crate::instance::fuzzing::identity;
pub use crate::probe::fuzzing::{certificate, cloud_init, container, dns, grpc, host_files, http, plugin, time_server};
pub use crate::report::fuzzing::redaction;
pub use crate::ros::fuzzing::stack;
pub use crate::rpc::fuzzing::refusal;

use http::{HeaderMap, HeaderName, HeaderValue};

/// Whether EventBridge's certificate may be fetched from `address`.
pub fn certificate_is_allowed(address: &str, regions: &[String]) -> bool {
    crate::events::certificate::is_allowed(address, regions)
}

/// Headers, `name: value` on a line each, to the first empty line; and the rest. What can be no header is passed over.
pub fn headers(data: &[u8]) -> (HeaderMap, &[u8]) {
    let mut headers = HeaderMap::new();
    let mut rest = data;
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let (line, after) = rest.split_at(end);
        rest = &after[1..];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() || headers.len() >= 64 {
            break;
        }
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let value = line[colon + 1..].trim_ascii();
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(line[..colon].trim_ascii()), HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
    (headers, rest)
}

/// Names and values as headers.
pub fn header_map(pairs: &[(&'static str, String)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (HeaderName::from_static(name), header_value(value))).collect()
}

/// A value that is known to be one.
pub fn header_value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("a header's value")
}

/// An answer over HTTP: its status, its headers as [`headers`] reads them, and its body. The status is 200 and some by the first byte.
pub(crate) fn answer(data: &[u8]) -> (u16, HeaderMap, &[u8]) {
    const STATUSES: [u16; 12] = [200, 201, 204, 301, 400, 401, 403, 404, 409, 429, 500, 503];
    let (first, rest) = data.split_first().unwrap_or((&0, &[]));
    let (headers, body) = headers(rest);
    (STATUSES[usize::from(*first) % STATUSES.len()], headers, body)
}

/// Nothing in what is shown tells `secret`.
pub(crate) fn hides(shown: &str, secret: &str) {
    assert!(!shown.contains(secret), "a secret is shown: {shown}");
}
