//! Answers of the health service of gRPC.

use super::message::{Answer, observation, request, status};
use crate::fuzzing::headers;

/// Judges an answer: a byte for the HTTP status, headers, trailers, each ended by an empty line, and the body.
pub fn grpc(data: &[u8]) {
    let _ = status(data);
    let (first, rest) = data.split_first().unwrap_or((&0, &[]));
    let (sent, rest) = headers(rest);
    let (trailers, body) = headers(rest);
    let http_status = if *first < 128 { 200 } else { 404 };
    let trailers = (!trailers.is_empty()).then_some(trailers);
    let answer = Answer { http_status, headers: sent, body: body.to_vec(), trailers };
    for service in ["", "db.Orders"] {
        crate::probe::fuzzing::judge(&observation(&answer, service, "127.0.0.1:50051"));
    }
    let asked = String::from_utf8_lossy(body);
    let framed = request(&asked);
    assert_eq!(framed.len() - 5, u32::from_be_bytes([framed[1], framed[2], framed[3], framed[4]]) as usize, "the prefix tells the length");
}
