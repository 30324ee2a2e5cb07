//! Answers of web servers.

use super::expect::{self, Answer};
use crate::plan::Http;

/// Judges an answer as the check does, and one that was cut off.
pub fn http(http: &Http, data: &[u8]) {
    let (status, headers, body) = crate::fuzzing::answer(data);
    for cut in [false, true] {
        let answer = Answer { status, headers: headers.clone(), body: body.to_vec(), cut };
        let head = expect::head(http, &answer, "http://127.0.0.1:8080/");
        crate::probe::fuzzing::judge(&head);
        if let Some(wrong) = expect::body(http, &answer, "http://127.0.0.1:8080/") {
            crate::probe::fuzzing::judge(&super::with_output(wrong, &answer));
        }
        crate::probe::fuzzing::judge(&super::with_output(head, &answer));
    }
}
