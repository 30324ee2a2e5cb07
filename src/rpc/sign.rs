//! Request signatures of Alibaba Cloud, as pure functions over ring.
//!
//! Two schemes ("V3 request body and signature" 2593177, "RPC signature" 157269 of the API documentation):
//!
//! ```text
//! ACS3-HMAC-SHA256   CanonicalRequest = METHOD LF path LF canonical query LF canonical headers LF signed names LF hex(sha256(body))
//!                    StringToSign     = "ACS3-HMAC-SHA256" LF hex(sha256(CanonicalRequest))
//!                    Signature        = hex(HMAC-SHA256(secret, StringToSign))
//! HMAC-SHA1          StringToSign     = METHOD "&%2F&" encode(canonical query)
//!                    Signature        = base64(HMAC-SHA1(secret "&", StringToSign))
//! ```
//!
//! Only `host`, `content-type` and `x-acs-*` are signed, as the page demands. The vendor's SDK signs every header it sets; a proxy
//! that rewrites User-Agent would then break the signature.

use base64::Engine as _;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC};
use ring::{digest, hmac};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// What is not encoded: `A-Z a-z 0-9 - _ . ~`.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Percent-encodes as both schemes want it: UTF-8, upper-case hexadecimal, a blank as `%20`.
pub(crate) fn encode(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, RESERVED).to_string()
}

/// `encode(key)=encode(value)` in the byte order of the keys, joined by `&`. This is also what goes over the wire.
pub(super) fn canonical_query<K: AsRef<str>, V: AsRef<str>>(parameters: &[(K, V)]) -> String {
    let mut sorted: Vec<(&str, &str)> = parameters.iter().map(|(key, value)| (key.as_ref(), value.as_ref())).collect();
    sorted.sort_unstable();
    let pairs: Vec<String> = sorted.into_iter().map(|(key, value)| format!("{}={}", encode(key), encode(value))).collect();
    pairs.join("&")
}

/// SHA-256 in lower-case hexadecimal.
pub(super) fn sha256_hex(data: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, data).as_ref())
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A request as ACS3-HMAC-SHA256 sees it.
#[derive(Clone, Copy)]
pub(super) struct Acs3<'a> {
    /// HTTP method in capitals.
    pub(super) method: &'a str,
    /// Path of the URL, encoded.
    pub(super) path: &'a str,
    /// See [`canonical_query`].
    pub(super) canonical_query: &'a str,
    /// All headers of the request; those that are not signed are passed over.
    pub(super) headers: &'a [(String, String)],
    /// Body of the request.
    pub(super) body: &'a [u8],
}

/// The outcome of [`Acs3::sign`].
pub(super) struct Acs3Signature {
    /// To compare with what the server says it signed.
    pub(super) canonical_request: String,
    /// Likewise.
    pub(super) string_to_sign: String,
    /// Value of the `Authorization` header.
    pub(super) authorization: String,
}

impl Acs3<'_> {
    /// The headers that are signed, by lower-case name; the values of one that occurs several times are sorted and joined.
    fn signed_headers(&self) -> BTreeMap<String, String> {
        let mut values: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for (name, value) in self.headers {
            let name = name.to_ascii_lowercase();
            if name == "host" || name == "content-type" || name.starts_with("x-acs-") {
                values.entry(name).or_default().push(value.trim());
            }
        }
        let join = |mut values: Vec<&str>| {
            values.sort_unstable();
            values.join(",")
        };
        values.into_iter().map(|(name, values)| (name, join(values))).collect()
    }

    /// Signs the request.
    pub(super) fn sign(&self, access_key_id: &str, access_key_secret: &str) -> Acs3Signature {
        let headers = self.signed_headers();
        let lines: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let names = headers.into_keys().collect::<Vec<_>>().join(";");
        let Self { method, path, canonical_query, body, .. } = self;
        let canonical_request = format!("{method}\n{path}\n{canonical_query}\n{lines}\n{names}\n{}", sha256_hex(body));
        let string_to_sign = format!("ACS3-HMAC-SHA256\n{}", sha256_hex(canonical_request.as_bytes()));
        let key = hmac::Key::new(hmac::HMAC_SHA256, access_key_secret.as_bytes());
        let signature = hex(hmac::sign(&key, string_to_sign.as_bytes()).as_ref());
        let authorization = format!("ACS3-HMAC-SHA256 Credential={access_key_id},SignedHeaders={names},Signature={signature}");
        Acs3Signature { canonical_request, string_to_sign, authorization }
    }
}

/// What HMAC-SHA1 signs.
pub(super) fn hmac_sha1_string_to_sign(method: &str, canonical_query: &str) -> String {
    format!("{method}&%2F&{}", encode(canonical_query))
}

/// The value of the `Signature` parameter, not yet percent-encoded.
pub(super) fn hmac_sha1_signature(access_key_secret: &str, string_to_sign: &str) -> String {
    let key = zeroize::Zeroizing::new(format!("{access_key_secret}&"));
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key.as_bytes());
    base64::engine::general_purpose::STANDARD.encode(hmac::sign(&key, string_to_sign.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn vectors(scheme: &str) -> Vec<Value> {
        let all: Value = serde_json::from_str(include_str!("../../tests/fixtures/ros/signature-vectors.json")).unwrap();
        all[scheme].as_array().unwrap().clone()
    }

    fn pairs(object: &Value) -> Vec<(String, String)> {
        object.as_object().unwrap().iter().map(|(key, value)| (key.clone(), value.as_str().unwrap().to_owned())).collect()
    }

    fn text<'a>(vector: &'a Value, key: &str) -> &'a str {
        vector[key].as_str().unwrap()
    }

    #[test]
    fn every_hmac_sha1_vector_passes() {
        let vectors = vectors("v1_hmac_sha1");
        assert_eq!(vectors.len(), 13);
        for vector in vectors {
            let name = text(&vector, "name");
            let mut parameters = pairs(&vector["params"]);
            let query = canonical_query(&parameters);
            assert_eq!(query, text(&vector, "canonical_query"), "{name}");
            let string_to_sign = hmac_sha1_string_to_sign(text(&vector, "method"), &query);
            assert_eq!(string_to_sign, text(&vector, "string_to_sign"), "{name}");
            let signature = hmac_sha1_signature(text(&vector, "access_key_secret"), &string_to_sign);
            assert_eq!(signature, text(&vector, "signature"), "{name}");
            assert_eq!(encode(&signature), text(&vector, "signature_percent_encoded"), "{name}");
            parameters.push(("Signature".to_owned(), signature));
            let mut ours: Vec<_> = canonical_query(&parameters).split('&').map(str::to_owned).collect();
            let mut theirs: Vec<_> = text(&vector, "signed_query_string").split('&').map(str::to_owned).collect();
            ours.sort();
            theirs.sort();
            assert_eq!(ours, theirs, "{name}");
        }
    }

    #[test]
    fn every_acs3_vector_passes() {
        let vectors = vectors("v3_acs3_hmac_sha256");
        assert_eq!(vectors.len(), 11);
        for vector in vectors {
            let name = text(&vector, "name");
            let query = canonical_query(&pairs(&vector["query"]));
            assert_eq!(query, text(&vector, "canonical_query"), "{name}");
            let headers = pairs(&vector["headers"]);
            let body = text(&vector, "payload").as_bytes();
            assert_eq!(sha256_hex(body), text(&vector, "hashed_request_payload"), "{name}");
            let request = Acs3 {
                method: text(&vector, "method"),
                path: text(&vector, "canonical_uri"),
                canonical_query: &query,
                headers: &headers,
                body,
            };
            let signed = request.sign(text(&vector, "access_key_id"), text(&vector, "access_key_secret"));
            assert_eq!(signed.canonical_request, text(&vector, "canonical_request"), "{name}");
            assert_eq!(signed.string_to_sign, text(&vector, "string_to_sign"), "{name}");
            assert_eq!(signed.authorization, text(&vector, "authorization"), "{name}");
        }
    }

    #[test]
    fn headers_that_proxies_rewrite_are_not_signed_and_repeated_ones_are_joined() {
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let headers =
            [header("User-Agent", "x"), header("Accept", "y"), header("X-Acs-B", " 2 "), header("x-acs-b", "1"), header("Host", "h")];
        let signed = Acs3 { method: "POST", path: "/", canonical_query: "", headers: &headers, body: b"" }.sign("id", "secret");
        assert!(signed.canonical_request.contains("\nhost:h\nx-acs-b:1,2\n\nhost;x-acs-b\n"), "{}", signed.canonical_request);
    }
}
