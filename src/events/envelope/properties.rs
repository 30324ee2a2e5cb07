//! Random and mutated bodies: none panics, none makes the reader say what is not in it, and what is kept stays small. The number of
//! cases is set by `EVENT_CASES` (default 300; the long run takes 100,000).
//!
//! A *false acceptance* is an event whose stack, name, source or type does not stand in the body, as judged by a reader of its own
//! ([`texts`]), or one that is accepted in spite of another source.

use super::*;
use base64::engine::general_purpose::STANDARD as ENCODER;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;

fn cases() -> u32 {
    std::env::var("EVENT_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(300)
}

/// Every example, variant and body of another sender.
fn seeds() -> Vec<String> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/events");
    let read = |path: &Path| std::fs::read_to_string(path).unwrap();
    let mut seeds: Vec<String> = ["samples", "topic"]
        .iter()
        .flat_map(|directory| std::fs::read_dir(fixtures.join(directory)).unwrap())
        .map(|file| read(&file.unwrap().path()))
        .collect();
    let variants: Value = serde_json::from_str(&read(&fixtures.join("tolerance-variants.json"))).unwrap();
    seeds.extend(variants["variants"].as_array().unwrap().iter().map(|variant| variant["event"].to_string()));
    for file in std::fs::read_dir(fixtures.join("samples-other")).unwrap() {
        let other: Value = serde_json::from_str(&read(&file.unwrap().path())).unwrap();
        seeds.push(other["body"].to_string());
    }
    seeds.sort();
    seeds
}

/// What is done to a body.
#[derive(Clone, Debug)]
enum Mutation {
    Overwrite(Index, Vec<u8>),
    Insert(Index, Vec<u8>),
    Remove(Index, u8),
    Cut(Index),
    Repeat(Index, u8, u16),
    Swap(Index, Index),
    AsText,
    AsBase64,
    InArray(u8),
    Nested(u8),
}

fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let tokens = select(vec![
        "{",
        "}",
        "[",
        "]",
        "\"",
        "\\",
        ",",
        ":",
        "null",
        "1e999",
        "\\u0000",
        "\\ud800",
        "\"StackId\":",
        "\"stackId\":\"s-2\",",
        "\"data\":",
        "\"source\":\"acs.oss\",",
        "\"type\":5,",
        "\"id\":\"\",",
        "\"Content\":{",
        "\u{feff}",
        "<",
        "\"data_base64\":\"",
        "\"TopicName\":1,",
    ]);
    prop_oneof![proptest::collection::vec(any::<u8>(), 1..8), tokens.prop_map(|token| token.as_bytes().to_vec())]
}

fn mutations() -> impl Strategy<Value = Vec<Mutation>> {
    let mutation = prop_oneof![
        3 => (any::<Index>(), pieces()).prop_map(|(at, piece)| Mutation::Overwrite(at, piece)),
        4 => (any::<Index>(), pieces()).prop_map(|(at, piece)| Mutation::Insert(at, piece)),
        2 => (any::<Index>(), any::<u8>()).prop_map(|(at, length)| Mutation::Remove(at, length)),
        1 => any::<Index>().prop_map(Mutation::Cut),
        1 => (any::<Index>(), any::<u8>(), any::<u16>()).prop_map(|(at, length, times)| Mutation::Repeat(at, length, times % 512)),
        2 => (any::<Index>(), any::<Index>()).prop_map(|(a, b)| Mutation::Swap(a, b)),
        1 => Just(Mutation::AsText),
        1 => Just(Mutation::AsBase64),
        1 => any::<u8>().prop_map(Mutation::InArray),
        1 => any::<u8>().prop_map(|depth| Mutation::Nested(depth % 64)),
    ];
    proptest::collection::vec(mutation, 0..5)
}

impl Mutation {
    fn apply(&self, mut body: Vec<u8>) -> Vec<u8> {
        let length = body.len() + 1;
        match self {
            Self::Overwrite(at, piece) => {
                for (place, byte) in body.iter_mut().skip(at.index(length)).zip(piece) {
                    *place = *byte;
                }
            }
            Self::Insert(at, piece) => {
                let at = at.index(length);
                body.splice(at..at, piece.iter().copied());
            }
            Self::Remove(at, count) => {
                let at = at.index(length);
                body.drain(at..(at + usize::from(*count)).min(length - 1));
            }
            Self::Cut(at) => body.truncate(at.index(length)),
            Self::Repeat(at, count, times) => {
                let at = at.index(length);
                let piece = body[at..(at + usize::from(*count)).min(length - 1)].repeat(usize::from(*times));
                body.splice(at..at, piece);
            }
            Self::Swap(a, b) => {
                let (a, b) = (a.index(length), b.index(length));
                if a < body.len() && b < body.len() {
                    body.swap(a, b);
                }
            }
            Self::AsText => body = Value::String(String::from_utf8_lossy(&body).into_owned()).to_string().into_bytes(),
            Self::AsBase64 => body = ENCODER.encode(&body).into_bytes(),
            Self::InArray(times) => {
                let mut array = vec![b'['];
                array.extend(vec![&body[..]; usize::from(*times)].join(&b','));
                array.push(b']');
                body = array;
            }
            Self::Nested(depth) => {
                let depth = usize::from(*depth);
                body = [b"{\"data\":".repeat(depth), body, b"}".repeat(depth)].concat();
            }
        }
        // A mutation may multiply what the one before has multiplied.
        body.truncate(2 * LIMIT);
        body
    }
}

/// Random JSON with the names that the reader looks for.
fn documents() -> impl Strategy<Value = Value> {
    let names = select(vec![
        "specversion",
        "type",
        "id",
        "source",
        "subject",
        "time",
        "data",
        "data_base64",
        "StackId",
        "stackId",
        "Status",
        "Content",
        "content",
        "referencedResources",
        "ACS::ROS::Stack",
        "resourceType",
        "resourceId",
        "StackName",
        "x",
    ]);
    let texts = select(vec![
        "acs.ros",
        "acs.oss",
        "1.0",
        "ros:StackStateChange:UpdateComplete",
        "s-1",
        "s-2",
        "acs:ros:cn-hangzhou:1:stack/s-1",
        "ACS::ROS::Stack",
        "{\"StackId\":\"s-3\"}",
        "eyJTdGFja0lkIjoicy00In0=",
        "",
    ]);
    let leaf = prop_oneof![
        4 => texts.prop_map(|text| Value::String(text.to_owned())),
        1 => any::<i64>().prop_map(Value::from),
        1 => Just(Value::Null),
        1 => ".*".prop_map(Value::String),
    ];
    leaf.prop_recursive(5, 64, 8, move |inner| {
        prop_oneof![
            1 => proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            4 => proptest::collection::btree_map(names.clone().prop_map(str::to_owned), inner, 0..8)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn bodies() -> impl Strategy<Value = Vec<u8>> {
    let seed = select(seeds()).prop_map(String::into_bytes);
    let document = documents().prop_map(|document| document.to_string().into_bytes());
    let noise = proptest::collection::vec(any::<u8>(), 0..512);
    let start = prop_oneof![8 => seed, 4 => document, 1 => noise];
    (start, mutations()).prop_map(|(start, mutations)| mutations.iter().fold(start, |body, mutation| mutation.apply(body)))
}

/// Every text in a body, those in texts and in base64 included, found by quotes alone. (The tree of serde_json would not do: it knows no
/// lone surrogates and no 1e999, which lose no event where they stand in members that nobody reads.)
fn texts(body: &[u8], depth: usize, found: &mut BTreeSet<String>) {
    let Ok(text) = std::str::from_utf8(body) else {
        return;
    };
    let text = text.trim_start_matches('\u{feff}').trim();
    if !found.insert(text.to_owned()) || depth == 0 {
        return;
    }
    let mut rest = text;
    while let Some((_, quoted)) = rest.split_once('"') {
        let mut is_escaped = false;
        let end = quoted.bytes().position(|byte| {
            let ends = byte == b'"' && !is_escaped;
            is_escaped = byte == b'\\' && !is_escaped;
            ends
        });
        let Some(end) = end else {
            break;
        };
        if let Ok(inner) = serde_json::from_str::<String>(&format!("\"{}\"", &quoted[..end])) {
            texts(inner.as_bytes(), depth - 1, found);
            found.insert(inner);
        }
        rest = &quoted[end + 1..];
    }
    let packed: String = text.split_ascii_whitespace().collect();
    if let Ok(bytes) = BASE64.decode(packed) {
        texts(&bytes, depth - 1, found);
    }
}

fn size(event: &Event) -> usize {
    let optional = [&event.stack_id, &event.stack_name, &event.status, &event.time];
    event.id.len() + event.source.len() + event.kind.len() + optional.into_iter().flatten().map(String::len).sum::<usize>()
}

fn judge(body: &[u8], carrier: Carrier<'_>) -> Result<(), TestCaseError> {
    let read = read(body, carrier, "delivery");
    prop_assert_eq!(&read, &super::read(body, carrier, "delivery"), "the same body is always read the same way");
    let Ok(events) = read else {
        return Ok(());
    };
    prop_assert!(body.len() <= LIMIT && !events.is_empty() && events.len() <= BATCH);
    let mut there = BTreeSet::new();
    texts(body, 4, &mut there);
    for event in &events {
        prop_assert!(size(event) <= 1024, "{event:?}");
        prop_assert!(!event.id.is_empty());
        prop_assert!(matches!(event.source.as_str(), "" | "acs.ros" | "acs:ros"), "{event:?}");
        prop_assert!(event.source.is_empty() || there.contains(&event.source), "{event:?}");
        if let Some(stack) = &event.stack_id {
            let stands = there.contains(stack) || there.iter().any(|text| text.ends_with(&format!(":stack/{stack}")));
            prop_assert!(stands, "{event:?}");
        }
        let shown = |text: &str| there.iter().any(|other| other.starts_with(text) || other.contains(char::is_control));
        prop_assert!(shown(&event.kind) || event.kind.is_empty(), "{event:?}");
        prop_assert!(event.stack_name.as_deref().is_none_or(shown), "{event:?}");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, max_shrink_iters: 4_000, ..ProptestConfig::default() })]

    #[test]
    fn no_body_panics_is_falsely_accepted_or_grows(body in bodies()) {
        for carrier in [Carrier::Message, Carrier::File, Carrier::Http(&HeaderMap::new())] {
            judge(&body, carrier)?;
        }
        judge(&unwrap_topic(&body), Carrier::Message)?;
    }

    #[test]
    fn no_headers_panic_or_grow(values in proptest::collection::vec(proptest::collection::vec(0x20_u8..=0xff, 0..300), 5), body in bodies()) {
        let mut headers = HeaderMap::new();
        for (name, value) in ["ce-type", "ce-id", "ce-source", "ce-subject", "ce-time"].into_iter().zip(values) {
            if let Ok(value) = http::HeaderValue::from_bytes(&value) {
                headers.insert(name, value);
            }
        }
        if let Ok(events) = read(&body, Carrier::Http(&headers), "") {
            prop_assert!(events.len() <= BATCH && events.iter().all(|event| size(event) <= 1024));
        }
        headers.insert("ce-source", http::HeaderValue::from_static("acs.ros"));
        if let Ok(events) = read(&body, Carrier::Http(&headers), "") {
            prop_assert!(events.len() <= BATCH && events.iter().all(|event| size(event) <= 1024));
        }
    }

    #[test]
    fn a_source_that_is_not_ros_is_never_accepted(source in "[a-z.:]{1,16}", seed in select(seeds())) {
        prop_assume!(source != "acs.ros" && source != "acs:ros");
        if let Ok(Value::Object(mut event)) = serde_json::from_str::<Value>(&seed)
            && event.contains_key("source")
        {
            event.insert("source".to_owned(), Value::String(source));
            prop_assert_eq!(read(Value::Object(event).to_string().as_bytes(), Carrier::Message, ""), Err(Refused::OtherSource));
        }
    }
}
