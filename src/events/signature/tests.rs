//! Vectors: a real delivery, made-up ones that hold, and ones that must be refused; and random ones.

use super::*;
use http::{HeaderName, HeaderValue};
use proptest::prelude::*;
use serde_json::Value;

fn vectors() -> Vec<Value> {
    let text = include_str!("../../../tests/fixtures/events/eventbridge-signature-vectors.json");
    let document: Value = serde_json::from_str(text).unwrap();
    document["vectors"].as_array().unwrap().clone()
}

fn vector(name: &str) -> Value {
    vectors().into_iter().find(|vector| vector["name"] == name).unwrap()
}

fn headers(vector: &Value) -> HeaderMap {
    let pairs = vector["headers"].as_object().unwrap().iter();
    pairs.map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.as_str().unwrap().parse().unwrap())).collect()
}

/// Everything that a listener checks, in its order.
fn judge(vector: &Value, headers: &HeaderMap, body: &[u8]) -> Result<Form, Refusal> {
    let claims = Claims::read(headers, true)?;
    claims.check_time(vector["now_ms"].as_i64().unwrap_or(claims.timestamp_ms()))?;
    let token = vector["configured_token"].as_str().map(|token| Sealed::new(token).unwrap());
    claims.check_token(token.as_ref())?;
    // The real delivery of 2021 names a host that is not documented any more.
    let address = claims.certificate_url().unwrap();
    let regions = ["cn-hangzhou".to_owned()];
    if vector["kind"] != "real" && !crate::events::certificate::is_allowed(address, &regions) {
        return Err(Refusal::CertificateAddress);
    }
    let key = Key::of_certificate(vector["certificate_pem"].as_str().unwrap().as_bytes()).unwrap();
    claims.verify(vector["url"].as_str().unwrap(), body, &key)
}

#[test]
fn every_vector_is_accepted_in_its_form_or_refused_for_its_reason() {
    let mut seen = 0;
    for vector in vectors() {
        let name = vector["name"].as_str().unwrap();
        let judged = judge(&vector, &headers(&vector), vector["body"].as_str().unwrap().as_bytes());
        match vector["expect"].as_str().unwrap() {
            "valid" => {
                let form = judged.unwrap_or_else(|refusal| panic!("{name}: {refusal}"));
                assert_eq!(form.version, if name.starts_with("v1") { 1 } else { 2 }, "{name}");
                assert_eq!(form.token_line, vector["canonical_form"]["token_line"], "{name}");
                assert_eq!(form.last_lf, vector["canonical_form"]["trailing_newline"], "{name}");
            }
            _ => {
                let expected = match name {
                    "neg_stale_timestamp" => "time",
                    "neg_token" => "token",
                    _ if name.starts_with("neg_cert") => "certificate address",
                    _ => "signature",
                };
                assert_eq!(judged.unwrap_err().reason(), expected, "{name}: {}", vector["reason"]);
            }
        }
        seen += 1;
    }
    assert_eq!(seen, 12);
}

#[test]
fn version_1_is_taken_only_where_it_is_allowed_and_never_beside_a_bad_version_2() {
    let real = vector("v1_real_delivery_2021");
    let mut sent = headers(&real);
    assert_eq!(Claims::read(&sent, false).unwrap_err(), Refusal::OnlyV1);
    sent.insert(name::HASH, HeaderValue::from_static("SHA256"));
    sent.insert(name::V2, HeaderValue::from_static("AAAA"));
    let body = real["body"].as_str().unwrap().as_bytes();
    assert_eq!(judge(&real, &sent, body).unwrap_err(), Refusal::Signature, "the good signature of version 1 does not help");
}

#[test]
fn the_secret_of_the_real_delivery_is_unwrapped() {
    let real = vector("v1_real_delivery_2021");
    let key = Key::of_certificate(real["certificate_pem"].as_str().unwrap().as_bytes()).unwrap();
    let wrapped = STANDARD.decode(real["headers"][name::SECRET].as_str().unwrap()).unwrap();
    assert_eq!(key.unwrap(&wrapped).unwrap().as_slice(), real["decrypted_secret"].as_str().unwrap().as_bytes());
    assert_eq!(key.unwrap(&[0; 128]), None);
    assert_eq!(key.unwrap(&[0xff; 128]), None, "larger than the modulus");
    assert_eq!(key.unwrap(&[]), None);
}

#[test]
fn the_time_may_be_off_by_a_minute_both_ways_and_the_refusal_says_by_how_much() {
    let claims = Claims::read(&headers(&vector("v2_2048_tokenIn_lf")), false).unwrap();
    let at = claims.timestamp_ms();
    assert_eq!(claims.check_time(at + 60_000), Ok(()));
    assert_eq!(claims.check_time(at - 60_000), Ok(()));
    let refusal = claims.check_time(at + 60_001).unwrap_err();
    assert_eq!(refusal.to_string(), "its time is 60.001s behind this host's clock, and 60s are allowed");
    let refusal = claims.check_time(at - 3_600_000).unwrap_err();
    assert_eq!(refusal.to_string(), "its time is 3600.000s ahead of this host's clock, and 60s are allowed");
}

#[test]
fn a_header_that_is_there_twice_or_missing_is_said_by_name() {
    let vector = vector("v2_2048_tokenIn_lf");
    for name in [name::TIMESTAMP, name::HASH, name::VERSION, name::URL] {
        let mut sent = headers(&vector);
        sent.append(name, HeaderValue::from_static("again"));
        assert_eq!(Claims::read(&sent, true).unwrap_err(), Refusal::Malformed(name));
        sent.remove(name);
        assert_eq!(Claims::read(&sent, true).unwrap_err(), Refusal::NotSigned(name));
    }
    assert_eq!(Claims::read(&HeaderMap::new(), true).unwrap_err(), Refusal::NotSigned(name::V2));
}

#[test]
fn what_is_made_here_holds_and_a_test_counts_for_nothing_but_a_test() {
    let (secret, url, body) = ("0123", "https://agent.example.com/events", b"{}".as_slice());
    let made = test_headers(secret, url, body, 1_000);
    let sent: HeaderMap = made.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect();
    let claims = Claims::read(&sent, false).unwrap();
    assert_eq!((claims.timestamp_ms(), claims.is_test(), claims.certificate_url()), (1_000, true, None));
    assert_eq!(claims.verify_test(url, body, secret), Ok(()));
    for (url, body, secret) in [("https://other", body, secret), (url, b"{ }", secret), (url, body, "0124")] {
        assert_eq!(claims.verify_test(url, body, secret), Err(Refusal::Signature));
    }
    let key = Key::of_certificate(vector("v2_2048_tokenIn_lf")["certificate_pem"].as_str().unwrap().as_bytes()).unwrap();
    assert_eq!(claims.verify(url, body, &key), Err(Refusal::Signature));
}

#[test]
fn nothing_of_a_claim_is_shown_by_debug() {
    let shown = format!("{:?}", Claims::read(&headers(&vector("v2_2048_tokenIn_lf")), false).unwrap());
    assert!(!shown.contains("one-time-test-token"), "{shown}");
    assert_eq!(format!("{:?}", Sealed::new("hunter2").unwrap()), "[secret]");
}

/// How often: `EVENT_CASES`, a few by default.
fn cases() -> ProptestConfig {
    let cases = std::env::var("EVENT_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(256);
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// What may be done to a request that holds.
#[derive(Clone, Debug)]
enum Harm {
    Replace(usize, Vec<u8>),
    Flip(usize, usize),
    Cut(usize, usize),
    Remove(usize),
    Body(usize, u8),
    Append(Vec<u8>),
}

fn harm() -> impl Strategy<Value = Harm> {
    let any_value = proptest::collection::vec(prop_oneof![0x20..0x7fu8, any::<u8>()], 0..300);
    prop_oneof![
        (any::<usize>(), any_value.clone()).prop_map(|(which, value)| Harm::Replace(which, value)),
        (any::<usize>(), any::<usize>()).prop_map(|(which, at)| Harm::Flip(which, at)),
        (any::<usize>(), any::<usize>()).prop_map(|(which, at)| Harm::Cut(which, at)),
        any::<usize>().prop_map(Harm::Remove),
        (any::<usize>(), 1..=255u8).prop_map(|(at, with)| Harm::Body(at, with)),
        any_value.prop_map(Harm::Append),
    ]
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn a_signature_or_header_that_was_tampered_with_is_never_accepted(of in any::<usize>(), harms in proptest::collection::vec(harm(), 1..4)) {
        let valid: Vec<_> = VECTORS.iter().filter(|vector| vector["expect"] == "valid").collect();
        let vector = valid[of % valid.len()];
        let (mut sent, mut body) = (headers(vector), vector["body"].as_str().unwrap().as_bytes().to_vec());
        for harm in harms {
            let names: Vec<_> = sent.keys().cloned().collect();
            if names.is_empty() { break; }
            let name = |which: usize| names[which % names.len()].clone();
            match harm {
                Harm::Replace(which, value) => {
                    if let Ok(value) = HeaderValue::from_bytes(&value) { sent.insert(name(which), value); }
                }
                Harm::Flip(which, at) => {
                    let mut value = sent[&name(which)].as_bytes().to_vec();
                    if value.is_empty() { continue; }
                    let at = at % value.len();
                    value[at] ^= 1;
                    if let Ok(value) = HeaderValue::from_bytes(&value) { sent.insert(name(which), value); }
                }
                Harm::Cut(which, at) => {
                    let value = sent[&name(which)].as_bytes().to_vec();
                    let value = HeaderValue::from_bytes(&value[..at % (value.len() + 1)]).unwrap();
                    sent.insert(name(which), value);
                }
                Harm::Remove(which) => { sent.remove(name(which)); }
                Harm::Body(at, with) => {
                    let at = at % body.len().max(1);
                    if let Some(byte) = body.get_mut(at) { *byte ^= with; }
                }
                Harm::Append(more) => body.extend_from_slice(&more),
            }
        }
        let untouched = body == vector["body"].as_str().unwrap().as_bytes() && headers(vector) == sent;
        if !untouched {
            prop_assert!(judge(vector, &sent, &body).is_err(), "{sent:?}");
        }
    }

    #[test]
    fn no_certificate_and_no_wrapped_secret_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600), at in any::<usize>()) {
        let _ = Key::of_certificate(&bytes);
        let vector = &VECTORS[0];
        let mut pem = vector["certificate_pem"].as_str().unwrap().as_bytes().to_vec();
        let at = at % pem.len();
        pem[at] = bytes.first().copied().unwrap_or(b'A');
        if let Ok(key) = Key::of_certificate(&pem) {
            let _ = (key.unwrap(&bytes), key.unwrap(&bytes[..bytes.len().min(128)]), key.verify(b"text", &bytes));
        }
    }
}

static VECTORS: std::sync::LazyLock<Vec<Value>> = std::sync::LazyLock::new(vectors);
