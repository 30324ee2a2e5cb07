//! What EventBridge's HTTP target sends beside the body: headers, one `name: value` on a line, then the body. Nobody but the holder of a
//! key is believed. Certificates come after `%%`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ros_signal_agent::events::envelope::{Carrier, read};
use ros_signal_agent::events::signature::{Claims, Key, Sealed, WINDOW_MS, test_headers};
use ros_signal_agent::fuzzing;
use ros_signal_agent_fuzz::{Bounds, KIB, MIB, parts, run};
use std::sync::OnceLock;

const URL: &str = "https://203.0.113.7:8443/eventbridge";
const NOW_MS: i64 = 1_790_000_000_000;

fuzz_target!(|data: &[u8]| run(data, Bounds { memory: 16 * MIB, stretch: 64 * KIB }, |data| {
    let parts = parts(data);
    if let Some(key) = parts.get(1).and_then(|pem| Key::of_certificate(pem).ok()) {
        judge(parts[0], &key);
    }
    judge(parts[0], key());
    if let Ok(text) = std::str::from_utf8(parts[0]) {
        let allowed = fuzzing::certificate_is_allowed(text, &["cn-hangzhou".to_owned()]);
        assert!(!allowed || text.starts_with("https://cn-hangzhou-eventbridge.oss-accelerate.aliyuncs.com/x509_public_certificate_"));
    }
}));

/// A certificate of EventBridge as it was seen.
fn key() -> &'static Key {
    static KEY: OnceLock<Key> = OnceLock::new();
    KEY.get_or_init(|| {
        let pem = include_bytes!("../../tests/fixtures/events/signing-certificate.pem");
        Key::of_certificate(pem).expect("the fixture")
    })
}

fn judge(data: &[u8], key: &Key) {
    let (headers, body) = fuzzing::headers(data);
    for allow_v1 in [true, false] {
        let Ok(claims) = Claims::read(&headers, allow_v1) else { continue };
        if claims.check_time(NOW_MS).is_ok() {
            assert!(claims.timestamp_ms().abs_diff(NOW_MS) <= WINDOW_MS.unsigned_abs());
        }
        let sealed = Sealed::new("the token").expect("random bytes");
        let _ = claims.check_token(Some(&sealed));
        let _ = claims.verify(URL, body, key);
        assert!(claims.verify_test(URL, body, "another secret").is_err(), "nobody knows that secret");
        assert!(!format!("{claims:?}").contains("signature:"), "signatures are not shown");
    }
    let _ = read(body, Carrier::Http(&headers), "1790000000000");
    // What root signs is believed, for this body and no other.
    let mut signed = fuzzing::header_map(&test_headers("secret", URL, body, NOW_MS));
    let claims = Claims::read(&signed, false).expect("what we write");
    claims.verify_test(URL, body, "secret").expect("what we sign");
    signed.insert("x-ros-signal-agent-test-time", fuzzing::header_value("1790000000001"));
    let claims = Claims::read(&signed, false).expect("what we write");
    assert!(claims.verify_test(URL, body, "secret").is_err(), "at another time it is not signed");
}
