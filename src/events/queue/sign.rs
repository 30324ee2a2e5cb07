//! Signatures of SMQ requests (API 2015-06-06), as pure functions over ring.
//!
//! ```text
//! V2   text  = METHOD LF Content-MD5 LF Content-Type LF Date LF
//!              each x-mns-* header, lower case, sorted, "name:value" LF
//!              /path?query, exactly as sent
//!      Authorization: MNS ID:base64(HMAC-SHA1(secret, text))
//! V4   text  = "MNS4-HMAC-SHA256" LF yyyyMMddTHHmmssZ LF scope LF
//!              METHOD LF path LF query LF (name:value LF)* LF
//!      scope = yyyyMMdd/REGION/mns/aliyun_v4_request
//!      key   = HMAC chain over SHA-256: "aliyun_v4" secret, date, REGION, "mns", "aliyun_v4_request"
//!      Authorization: MNS4-HMAC-SHA256 Credential=ID/scope,Signature=hex(HMAC(key, text))
//! ```
//!
//! V2 is what the vendor's SDKs send by default, V4 is read from the Java SDK 2.0.0. The token of temporary credentials travels in
//! `security-token` and is signed by neither. `Content-MD5` is optional, and left out: page and SDKs disagree about what it holds.

use crate::rpc::{encode, hex};
use base64::Engine as _;
use ring::hmac;
use std::collections::BTreeMap;

/// A header's name and value.
pub(super) type Header<'a> = (&'a str, &'a str);

/// The `Authorization` of V2 for a request whose `target` (path and query) and `date` are as they are sent.
pub(super) fn v2(method: &str, target: &str, date: &str, headers: &[Header<'_>], (id, secret): (&str, &str)) -> String {
    let text = v2_text(method, target, date, headers);
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.as_bytes());
    let signature = base64::engine::general_purpose::STANDARD.encode(hmac::sign(&key, text.as_bytes()));
    format!("MNS {id}:{signature}")
}

fn v2_text(method: &str, target: &str, date: &str, headers: &[Header<'_>]) -> String {
    let lower = lower(headers);
    let one = |name: &str| lower.get(name).copied().unwrap_or_default();
    let own: String =
        lower.iter().filter(|(name, _)| name.starts_with("x-mns-")).map(|(name, value)| format!("{name}:{value}\n")).collect();
    format!("{method}\n{}\n{}\n{date}\n{own}{target}", one("content-md5"), one("content-type"))
}

/// What V4 signs: `path` and `query` as they are before they are percent-encoded.
#[derive(Clone, Copy, Debug)]
pub(super) struct V4<'a> {
    /// HTTP method in capitals.
    pub(super) method: &'a str,
    /// Such as `/queues/NAME/messages`.
    pub(super) path: &'a str,
    /// Names and values.
    pub(super) query: &'a [(String, String)],
    /// Of these `content-type`, `content-md5` and `x-mns-*` count.
    pub(super) headers: &'a [Header<'a>],
    /// `20261122T040506Z`.
    pub(super) stamp: &'a str,
    /// Such as `cn-hangzhou`.
    pub(super) region: &'a str,
}

impl V4<'_> {
    /// The `Authorization`.
    pub(super) fn authorization(&self, (id, secret): (&str, &str)) -> String {
        let signature = hex(hmac::sign(&self.key(secret), self.text().as_bytes()).as_ref());
        format!("MNS4-HMAC-SHA256 Credential={id}/{},Signature={signature}", self.scope())
    }

    fn day(&self) -> &str {
        self.stamp.split_once('T').map_or(self.stamp, |(day, _)| day)
    }

    fn scope(&self) -> String {
        format!("{}/{}/mns/aliyun_v4_request", self.day(), self.region)
    }

    fn text(&self) -> String {
        format!("MNS4-HMAC-SHA256\n{}\n{}\n{}", self.stamp, self.scope(), self.canonical())
    }

    fn canonical(&self) -> String {
        let path: Vec<String> = self.path.trim_start_matches('/').split('/').map(encode).collect();
        let mut query: Vec<(String, String)> = self.query.iter().map(|(key, value)| (encode(&key.to_lowercase()), encode(value))).collect();
        query.sort_unstable();
        let query: Vec<String> = query.into_iter().map(|(key, value)| format!("{key}={value}")).collect();
        let signs = |name: &str| matches!(name, "content-type" | "content-md5") || name.starts_with("x-mns-");
        let headers: String =
            lower(self.headers).iter().filter(|(name, _)| signs(name)).map(|(name, value)| format!("{name}:{}\n", value.trim())).collect();
        format!("{}\n/{}\n{}\n{headers}\n", self.method, path.join("/"), query.join("&"))
    }

    fn key(&self, secret: &str) -> hmac::Key {
        let first = hmac::Key::new(hmac::HMAC_SHA256, format!("aliyun_v4{secret}").as_bytes());
        [self.day(), self.region, "mns", "aliyun_v4_request"]
            .iter()
            .fold(first, |key, part| hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&key, part.as_bytes()).as_ref()))
    }
}

fn lower<'a>(headers: &[Header<'a>]) -> BTreeMap<String, &'a str> {
    headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), *value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn vectors() -> Value {
        serde_json::from_str(include_str!("../../../tests/fixtures/events/mns-signature-vectors.json")).unwrap()
    }

    fn text<'a>(vector: &'a Value, name: &str) -> &'a str {
        vector[name].as_str().unwrap_or_default()
    }

    fn keys(vector: &Value) -> (&str, &str) {
        (text(vector, "access_key_id"), text(vector, "access_key_secret"))
    }

    /// Headers as an object or as a list of pairs.
    fn headers(vector: &Value) -> Vec<(&str, &str)> {
        match &vector["headers"] {
            Value::Object(object) => object.iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap())).collect(),
            Value::Array(list) => list.iter().map(|pair| (pair[0].as_str().unwrap(), pair[1].as_str().unwrap())).collect(),
            _ => Vec::new(),
        }
    }

    #[test]
    fn every_request_is_signed_with_v2_as_the_python_sdk_signs_it() {
        let vectors = vectors();
        let list = vectors["vectors"].as_array().unwrap();
        assert!(list.len() >= 10);
        for vector in list {
            let (method, target, date) = (text(vector, "method"), text(vector, "request_target"), text(vector, "date"));
            assert_eq!(v2_text(method, target, date, &headers(vector)), text(vector, "string_to_sign"), "{}", vector["name"]);
            assert_eq!(v2(method, target, date, &headers(vector), keys(vector)), text(vector, "authorization"), "{}", vector["name"]);
        }
    }

    #[test]
    fn v2_agrees_with_the_published_vector_and_with_the_tests_of_the_java_sdk() {
        let vectors = vectors();
        let published = &vectors["published_doc_vector"];
        let version = [("x-mns-version", "2015-06-06")];
        let ours = v2("GET", text(published, "canonicalized_resource"), text(published, "date"), &version, keys(published));
        assert!(ours.starts_with(&format!("MNS TestAccessID:{}", text(published, "published_signature_prefix"))), "{ours}");
        for vector in vectors["official_java_sdk_v2_tests"]["vectors"].as_array().unwrap() {
            let target = text(vector, "canonicalized_resource");
            let ours = v2(text(vector, "method"), target, text(vector, "date"), &headers(vector), keys(vector));
            let expected = format!("MNS {}:{}", text(vector, "access_key_id"), text(vector, "expected_from_official_test"));
            assert_eq!(ours, expected, "{}", vector["name"]);
        }
    }

    #[test]
    fn v4_agrees_with_the_tests_of_the_java_sdk_and_with_the_calls_of_this_agent() {
        let vectors = vectors();
        let of = |name: &str| vectors[name]["vectors"].as_array().unwrap().clone();
        let list = [of("official_java_sdk_v4_tests"), of("v4_agent_calls")].concat();
        assert!(list.len() >= 9);
        for vector in &list {
            let (path, inline) = text(vector, "resource_path").split_once('?').unwrap_or((text(vector, "resource_path"), ""));
            let mut query: Vec<(String, String)> =
                inline.split('&').filter_map(|pair| pair.split_once('=')).map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
            let more = vector["parameters"].as_object().into_iter().flatten();
            query.extend(more.map(|(key, value)| (key.clone(), value.as_str().unwrap().to_owned())));
            let headers = headers(vector);
            let (stamp, region) = (text(vector, "request_datetime"), text(vector, "region"));
            let signed = V4 { method: text(vector, "method"), path, query: &query, headers: &headers, stamp, region };
            assert_eq!(signed.text(), text(vector, "string_to_sign"), "{}", vector["name"]);
            assert_eq!(signed.authorization(keys(vector)), text(vector, "authorization"), "{}", vector["name"]);
        }
    }
}
