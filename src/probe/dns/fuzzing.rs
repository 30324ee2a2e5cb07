//! Answers of name servers.

use super::judge::{self, Seen};
use super::message::{Answer, Question, name};
use crate::plan::{Dns, Record};
use std::time::Duration;

/// Reads an answer to each type of question, with the id that was sent and with the one that came.
pub fn dns(dns: &Dns, bytes: &[u8]) {
    let server = "192.0.2.53:53".parse().expect("an address");
    let name = name("db.example.com").expect("a name");
    for (_, record) in Record::WORDS {
        let question = Question::new(&name, record).expect("a question");
        let mut answer = bytes.to_vec();
        for (byte, sent) in answer.iter_mut().zip(question.bytes()).take(2) {
            *byte = *sent;
        }
        let _ = question.answer(bytes);
        let Some(Ok(answer)) = question.answer(&answer) else { continue };
        let observation = match answer {
            Answer::NoSuchName => judge::no_such_name(dns, server),
            Answer::Records(records) => judge::records(dns, &Seen { records, by: Some(server), took: Duration::from_millis(3) }),
        };
        crate::probe::fuzzing::judge(&observation);
    }
}
