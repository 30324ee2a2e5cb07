//! One question and its answer, in the words of `hickory-proto`, which reads and writes the messages. Pure.

use crate::plan::Record;
use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use std::net::IpAddr;

/// What a server may send over UDP (the size that never has to be cut into fragments, as agreed on DNS Flag Day 2020).
const PAYLOAD: u16 = 1232;
/// Records of an answer that are looked at; a message over TCP has room for thousands.
const RECORDS: usize = 256;

/// A question with an id of its own.
pub(super) struct Question {
    message: Message,
    bytes: Vec<u8>,
}

/// What a server said that knows.
#[derive(Debug, PartialEq)]
pub(super) enum Answer {
    /// The name does not exist.
    NoSuchName,
    /// Its records of the type asked for; perhaps none.
    Records(Vec<Found>),
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// As in a zone file.
    pub(super) text: String,
    /// Of A and AAAA.
    pub(super) address: Option<IpAddr>,
}

/// What a server says that cannot answer, or will not.
#[derive(Debug, PartialEq)]
pub(super) enum Refusal {
    /// The answer does not fit into a datagram.
    Truncated,
    /// In words.
    Code(String),
}

/// The name that is asked for: absolute, and that of `in-addr.arpa` or `ip6.arpa` for an address.
pub(super) fn name(text: &str) -> Option<Name> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(Name::from(address));
    }
    let mut name = Name::from_ascii(text).ok()?;
    name.set_fqdn(true);
    Some(name)
}

fn record_type(record: Record) -> RecordType {
    match record {
        Record::A => RecordType::A,
        Record::Aaaa => RecordType::AAAA,
        Record::Cname => RecordType::CNAME,
        Record::Mx => RecordType::MX,
        Record::Txt => RecordType::TXT,
        Record::Srv => RecordType::SRV,
        Record::Ns => RecordType::NS,
        Record::Ptr => RecordType::PTR,
    }
}

impl Question {
    /// For records of `name`, with a random id, EDNS0 (RFC 6891) and the wish for recursion.
    pub(super) fn new(name: &Name, record: Record) -> Option<Self> {
        let mut message = Message::query();
        message.metadata.recursion_desired = true;
        message.add_query(Query::query(name.clone(), record_type(record)));
        let mut edns = Edns::new();
        edns.set_max_payload(PAYLOAD);
        message.set_edns(edns);
        let bytes = message.to_vec().ok()?;
        Some(Self { message, bytes })
    }

    /// As it is sent.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What `bytes` say if they are the answer to this question: its id, and the question repeated. None: they are something else.
    pub(super) fn answer(&self, bytes: &[u8]) -> Option<Result<Answer, Refusal>> {
        let message = Message::from_vec(bytes).ok()?;
        let (asked, head) = (self.message.queries.first()?, &message.metadata);
        let mine = head.id == self.message.metadata.id && head.message_type == MessageType::Response && head.op_code == OpCode::Query;
        // A server that cannot read the question may leave it out of its refusal.
        let left_out = message.queries.is_empty() && head.response_code == ResponseCode::FormErr;
        let same = |query: &Query| {
            query.query_type == asked.query_type && query.query_class == asked.query_class && query.name.eq_ignore_root(&asked.name)
        };
        if !mine || !(left_out || matches!(message.queries.as_slice(), [query] if same(query))) {
            return None;
        }
        if head.truncation {
            return Some(Err(Refusal::Truncated));
        }
        Some(match head.response_code {
            ResponseCode::NoError => Ok(Answer::Records(records(&message, asked.query_type))),
            ResponseCode::NXDomain => Ok(Answer::NoSuchName),
            code => Err(Refusal::Code(words(code))),
        })
    }
}

fn records(message: &Message, wanted: RecordType) -> Vec<Found> {
    let wanted = message.answers.iter().filter(|record| record.record_type() == wanted);
    wanted.take(RECORDS).map(|record| Found { text: text(&record.data), address: record.data.ip_addr() }).collect()
}

/// As in a zone file, but text without quotes, so that a pattern is easily written.
fn text(data: &RData) -> String {
    match data {
        RData::CNAME(name) => name.to_ascii(),
        RData::NS(name) => name.to_ascii(),
        RData::PTR(name) => name.to_ascii(),
        RData::MX(mx) => format!("{} {}", mx.preference, mx.exchange.to_ascii()),
        RData::SRV(srv) => format!("{} {} {} {}", srv.priority, srv.weight, srv.port, srv.target.to_ascii()),
        other => other.to_string(),
    }
}

fn words(code: ResponseCode) -> String {
    match code {
        ResponseCode::ServFail => "failed to find out (SERVFAIL)".to_owned(),
        ResponseCode::Refused => "refused to answer this host (REFUSED)".to_owned(),
        ResponseCode::FormErr => "did not understand the question (FORMERR)".to_owned(),
        ResponseCode::NotImp => "cannot answer such questions (NOTIMP)".to_owned(),
        other => format!("answered {} (code {})", other, u16::from(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn question() -> Question {
        Question::new(&name("app.internal").unwrap(), Record::A).unwrap()
    }

    /// An answer to `question` after `change`.
    fn answered(question: &Question, change: impl FnOnce(&mut Message)) -> Option<Result<Answer, Refusal>> {
        let mut message = question.message.clone().into_response();
        change(&mut message);
        question.answer(&message.to_vec().unwrap())
    }

    #[test]
    fn an_answer_counts_only_with_the_id_and_the_question_that_were_sent() {
        let question = question();
        assert_eq!(answered(&question, |_| {}), Some(Ok(Answer::Records(Vec::new()))));
        assert_eq!(answered(&question, |message| message.metadata.id ^= 1), None);
        assert_eq!(answered(&question, |message| message.metadata.message_type = MessageType::Query), None);
        assert_eq!(answered(&question, |message| message.queries.clear()), None);
        assert_eq!(answered(&question, |message| message.queries[0].name = name("app.external").unwrap()), None);
        assert_eq!(answered(&question, |message| message.queries[0].query_type = RecordType::AAAA), None);
        // Names do not tell small from capital letters.
        assert!(answered(&question, |message| message.queries[0].name = name("APP.Internal").unwrap()).is_some());
    }

    #[test]
    fn what_a_server_says_that_does_not_answer_is_named() {
        let said = |code| match answered(&question(), |message| message.metadata.response_code = code) {
            Some(Err(Refusal::Code(words))) => words,
            other => panic!("{other:?}"),
        };
        assert_eq!(said(ResponseCode::ServFail), "failed to find out (SERVFAIL)");
        assert_eq!(said(ResponseCode::Refused), "refused to answer this host (REFUSED)");
        assert!(said(ResponseCode::NotAuth).ends_with("(code 9)"));
        assert_eq!(answered(&question(), |message| message.metadata.truncation = true), Some(Err(Refusal::Truncated)));
        let unread = |message: &mut Message| {
            message.metadata.response_code = ResponseCode::FormErr;
            message.queries.clear();
        };
        assert_eq!(answered(&question(), unread), Some(Err(Refusal::Code("did not understand the question (FORMERR)".to_owned()))));
    }

    #[test]
    fn an_address_is_asked_for_by_its_reverse_name() {
        assert_eq!(name("10.1.2.3").unwrap().to_ascii(), "3.2.1.10.in-addr.arpa.");
        assert_eq!(name("app.internal").unwrap().to_ascii(), "app.internal.");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600), keep in 0_usize..64) {
            let question = question();
            let _ = question.answer(&bytes);
            // The same behind a head that is right, so that the records are reached.
            let mut message = question.message.clone().into_response().to_vec().unwrap();
            message.truncate(keep.max(12));
            message.extend(bytes);
            message[7] = 3;
            let _ = question.answer(&message);
        }
    }
}
