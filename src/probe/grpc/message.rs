//! The two messages of `grpc.health.v1.Health/Check` and what surrounds them. Pure.
//!
//! ```text
//! length-prefixed message   compressed: 1 byte, length: 4 bytes big-endian, then the message
//! HealthCheckRequest        { string service = 1; }
//! HealthCheckResponse       { ServingStatus status = 1; }    UNKNOWN 0, SERVING 1, NOT_SERVING 2, SERVICE_UNKNOWN 3
//! ```
//!
//! Sources: "gRPC over HTTP2" (grpc/grpc, doc/PROTOCOL-HTTP2.md), doc/health-checking.md there, and the encoding of protocol buffers.
//! Of the latter two fields are needed, so that a library for it would be larger than this file.

use crate::check::{Health, Observation};
use crate::probe::text::quoted;
use http::HeaderMap;

/// Largest answer that is read: the message takes 2 bytes.
pub(super) const ANSWER_LIMIT: usize = 4096;
/// Longest `grpc-message` that is decoded, in bytes.
const SAID_LIMIT: usize = 1024;

/// The request for `service`, with its prefix.
pub(super) fn request(service: &str) -> Vec<u8> {
    let mut message = Vec::new();
    if !service.is_empty() {
        // Field 1, a length-delimited one.
        message.push(0x0a);
        push_varint(&mut message, service.len());
        message.extend_from_slice(service.as_bytes());
    }
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    let mut framed = vec![0];
    framed.extend_from_slice(&length.to_be_bytes());
    framed.append(&mut message);
    framed
}

fn push_varint(bytes: &mut Vec<u8>, mut value: usize) {
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            bytes.push(low & 0x7f);
            return;
        }
        bytes.push(low | 0x80);
    }
}

/// The status in the answer, with its prefix. None: it is no such answer.
pub(super) fn status(framed: &[u8]) -> Option<u64> {
    let (prefix, message) = framed.split_at_checked(5)?;
    let (compressed, length) = prefix.split_first()?;
    let length = u32::from_be_bytes(length.try_into().ok()?);
    if *compressed != 0 || usize::try_from(length).ok()? != message.len() {
        return None;
    }
    // What is not written has the value 0.
    let mut status = 0;
    let mut rest = message;
    while !rest.is_empty() {
        let key = varint(&mut rest)?;
        match (key >> 3, key & 7) {
            (1, 0) => status = varint(&mut rest)?,
            (_, 0) => drop(varint(&mut rest)?),
            (_, 1) => rest = rest.get(8..)?,
            (_, 2) => {
                let length = usize::try_from(varint(&mut rest)?).ok()?;
                rest = rest.get(length..)?;
            }
            (_, 5) => rest = rest.get(4..)?,
            _ => return None,
        }
    }
    Some(status)
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        value |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// An answer, as far as it was read.
#[derive(Default)]
pub(super) struct Answer {
    /// Of HTTP.
    pub(super) http_status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    pub(super) trailers: Option<HeaderMap>,
}

/// The observation for `answer` about `service` from `place`.
pub(super) fn observation(answer: &Answer, service: &str, place: &str) -> Observation {
    let critical = |message| Observation::new(Health::Critical, message);
    // Without a body the status stands among the headers ("Trailers-Only").
    let status = [answer.trailers.as_ref(), Some(&answer.headers)].into_iter().flatten().find(|map| map.contains_key("grpc-status"));
    let Some(ended) = status else {
        return critical(without_status(answer, place));
    };
    let code = ended.get("grpc-status").and_then(|code| code.to_str().ok()?.parse::<u32>().ok());
    let said = said(ended);
    match code {
        Some(0) => served(answer, service, place),
        Some(5) => critical(format!("service {} is not registered with the health service of {place} (NOT_FOUND{said})", quoted(service))),
        Some(12) => Observation::new(
            Health::Unknown,
            format!(
                "{place} has no health service (UNIMPLEMENTED{said}); let it serve grpc.health.v1.Health, or use a check of another type"
            ),
        ),
        Some(code) => critical(format!("{place} answered {} ({code}{said})", name(code))),
        None => critical(format!("{place} answered with a grpc-status that is no number")),
    }
}

fn served(answer: &Answer, service: &str, place: &str) -> Observation {
    let what = if service.is_empty() { place.to_owned() } else { format!("service {} of {place}", quoted(service)) };
    let (health, word) = match status(&answer.body) {
        Some(1) => (Health::Passing, "SERVING".to_owned()),
        Some(0) => (Health::Critical, "UNKNOWN".to_owned()),
        Some(2) => (Health::Critical, "NOT_SERVING".to_owned()),
        Some(3) => (Health::Critical, "SERVICE_UNKNOWN".to_owned()),
        Some(other) => (Health::Critical, format!("in a state that is not known, {other}")),
        None => return Observation::new(Health::Critical, format!("the answer of {place} is no HealthCheckResponse")),
    };
    Observation::new(health, format!("{what} is {word}"))
}

fn without_status(answer: &Answer, place: &str) -> String {
    let kind = answer.headers.get("content-type").map_or_else(String::new, |kind| String::from_utf8_lossy(kind.as_bytes()).into_owned());
    match (answer.http_status, kind.starts_with("application/grpc")) {
        (200, true) => format!("{place} ended its answer without a grpc-status"),
        (200, false) => format!("{place} speaks HTTP/2 but not gRPC (content-type {})", quoted(&kind)),
        (status, _) => format!("HTTP {status} from {place}, expected gRPC; does a proxy stand before it?"),
    }
}

/// `: "..."` with the words of the server, if there are any: percent-encoded UTF-8.
fn said(ended: &HeaderMap) -> String {
    let Some(message) = ended.get("grpc-message").map(|message| message.as_bytes()).filter(|message| !message.is_empty()) else {
        return String::new();
    };
    let message = message.get(..SAID_LIMIT).unwrap_or(message);
    let text = percent_encoding::percent_decode(message).decode_utf8_lossy();
    format!(": {}", quoted(&text))
}

/// Names of the codes (grpc/grpc, doc/statuscodes.md).
fn name(code: u32) -> &'static str {
    match code {
        1 => "CANCELLED",
        2 => "UNKNOWN",
        3 => "INVALID_ARGUMENT",
        4 => "DEADLINE_EXCEEDED",
        6 => "ALREADY_EXISTS",
        7 => "PERMISSION_DENIED",
        8 => "RESOURCE_EXHAUSTED",
        9 => "FAILED_PRECONDITION",
        10 => "ABORTED",
        11 => "OUT_OF_RANGE",
        13 => "INTERNAL",
        14 => "UNAVAILABLE",
        15 => "DATA_LOSS",
        16 => "UNAUTHENTICATED",
        _ => "a code that is not known",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn answer(headers: &[(&'static str, &str)], body: &[u8], trailers: Option<&[(&'static str, &str)]>) -> Answer {
        let map =
            |pairs: &[(&'static str, &str)]| pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        Answer { http_status: 200, headers: map(headers), body: body.to_vec(), trailers: trailers.map(map) }
    }

    #[test]
    fn a_request_names_its_service() {
        assert_eq!(request(""), [0, 0, 0, 0, 0]);
        assert_eq!(request("ab"), [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']);
        let long = request(&"x".repeat(300));
        assert_eq!(long[..8], [0, 0, 0, 1, 47, 0x0a, 0xac, 0x02]);
        assert_eq!(long.len(), 5 + 3 + 300);
    }

    #[test]
    fn the_status_is_found_among_fields_that_are_not_known() {
        assert_eq!(status(&[0, 0, 0, 0, 2, 8, 1]), Some(1));
        assert_eq!(status(&[0, 0, 0, 0, 0]), Some(0));
        let others = [0x10, 0x96, 1, 0x19, 1, 2, 3, 4, 5, 6, 7, 8, 0x22, 1, 9, 0x2d, 1, 2, 3, 4, 8, 2];
        let framed = [&[0, 0, 0, 0, u8::try_from(others.len()).unwrap()][..], &others].concat();
        assert_eq!(status(&framed), Some(2));
    }

    #[test]
    fn what_is_no_answer_is_none() {
        let broken: [&[u8]; 8] = [
            &[],
            &[0, 0, 0, 0],
            &[1, 0, 0, 0, 2, 8, 1],
            &[0, 0, 0, 0, 3, 8, 1],
            &[0, 0, 0, 0, 1, 8],
            &[0, 0, 0, 0, 2, 0x0b, 1],
            &[0, 0, 0, 0, 3, 0x12, 0xff, 1],
            &[0, 0, 0, 0, 12, 8, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255],
        ];
        for bytes in broken {
            assert_eq!(status(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn each_status_has_its_meaning() {
        let grpc = ("content-type", "application/grpc");
        let ended = |code: &str, message: &str| {
            let seen = observation(&answer(&[grpc, ("grpc-status", code), ("grpc-message", message)], &[], None), "shop", "a:1");
            (seen.health, seen.message)
        };
        let (health, message) = ended("5", "unknown%20service%0a%E2%82%AC");
        let expected = r#"service "shop" is not registered with the health service of a:1 (NOT_FOUND: "unknown service\n€")"#;
        assert_eq!((health, message.as_str()), (Health::Critical, expected));
        assert_eq!(ended("12", "").0, Health::Unknown);
        assert_eq!(ended("14", ""), (Health::Critical, "a:1 answered UNAVAILABLE (14)".to_owned()));
        assert_eq!(ended("99", ""), (Health::Critical, "a:1 answered a code that is not known (99)".to_owned()));
        assert_eq!(ended("-", "").1, "a:1 answered with a grpc-status that is no number");
        assert!(ended("2", &"%41".repeat(5000)).1.len() < 512);
        let serving = |body: &[u8]| observation(&answer(&[grpc], body, Some(&[("grpc-status", "0")])), "", "a:1").message;
        assert_eq!(serving(&[0, 0, 0, 0, 2, 8, 1]), "a:1 is SERVING");
        assert_eq!(serving(&[0, 0, 0, 0, 2, 8, 9]), "a:1 is in a state that is not known, 9");
        assert_eq!(serving(b"hello"), "the answer of a:1 is no HealthCheckResponse");
    }

    #[test]
    fn an_answer_that_is_not_grpc_is_said_to_be_none() {
        let seen = |answer: &Answer| observation(answer, "", "a:1").message;
        assert_eq!(
            seen(&answer(&[("content-type", "text/html")], b"<html>", None)),
            "a:1 speaks HTTP/2 but not gRPC (content-type \"text/html\")"
        );
        let mut bad = answer(&[], &[], None);
        bad.http_status = 502;
        assert_eq!(seen(&bad), "HTTP 502 from a:1, expected gRPC; does a proxy stand before it?");
        assert_eq!(seen(&answer(&[("content-type", "application/grpc")], &[], None)), "a:1 ended its answer without a grpc-status");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = status(&bytes);
            let framed = [&[0, 0, 0, 0, u8::try_from(bytes.len()).unwrap()][..], &bytes].concat();
            let _ = status(&framed);
        }
    }
}
