//! How EventBridge signs what it posts to an HTTP target: v1 (HMAC-SHA1 under a secret that is wrapped with RSA) and v2 (RSA over SHA-256).
//!
//! The key is a test key that everybody can read, in `seal/`, with a certificate of X.509 version 1, signed with SHA-1 by itself, as the real
//! one is. For v1 the real service wraps a fresh secret (PKCS#1 v1.5, type 1). ring does no raw RSA, so a few wrapped secrets were made once, with
//! `openssl pkeyutl -sign`, and one of them is taken each time.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use serde::{Deserialize, Serialize};

/// The certificate that belongs to the key, in PEM.
pub(crate) const CERTIFICATE: &str = include_str!("seal/test-only-certificate.pem");

/// Where the sandbox serves it, at the ports of ROS.
pub(crate) const CERTIFICATE_PATH: &str = "/x509_public_certificate_test.pem";

const KEY: &str = include_str!("seal/test-only-key.pem");

/// Secrets for v1, with what they are wrapped as.
const WRAPPED: [(&str, &str); 4] = [
    (
        "f8cc80077f1be99ffe77d141b0f1306e",
        "Poqch+7cj1PWIciGTGQfjGLOgPfzGhom54PkjqcfGEOL1h9Bx6PAhw+sH4lwWycM29CY2VKDKZec7BtU/iADDTYtyEECi9z+6EJ5M0DDpvLJK2BwYaTITK/QyN2UirW/op7MVkLGFh3EiAINdvZyXpqDkcAZ04PZTea8gNH2C79MJJzyacrrOf26M9J0VckM8XFNwWiCSW/sz4gNcGEXq1mVAex1Np9YOYC17HTI6+FHTdVdEzpyI1zHydHH6XpMGmSdIcPzqyquot4pt4RSS7mt5rDf0pOHlPUJiKIkTqXMe2XzE1IK6xRI9yoeTaH1OC9nzaD9APj6drnGQLi9pA==",
    ),
    (
        "4a8b435c19a034bdbe4b8f84951e506d",
        "fyjx+cdwWNl0tK/ZMqHHhOslLiGgZc7xljnVLNUp6/TXBkuL9LExImZ9Ps+ROHN4p/Bcq+cqc8U/hBEHHxeDCN8jmLWwQvRqc/WRIfnBiHdVhE1PB51bEDJATU0lDDSV9M4l/taInVofkh5ooD9jTBkCBHH0KhOhvhgGf3MfqOQwbe9woAAqhxmbEKvpw+FUtS037rCy0KUO1NUSsUsqLe5vargq+h1+Rg4ua3ANfy7HlpLmncxXJEfAvdU9vswSrSI2qKh9CQ0m0BhyRMpHqrAWJsAqtfdaCBKmhnTUgn+VpzVyXfk97H+HXUNGmE0PIgaI8IDPJPSbsMAouu22Kg==",
    ),
    (
        "f16d4605e0baffe9cec306e2042fa981",
        "B6PxGDrKVIFXrt3F1894LOeqz2h9IdWZo808Slxdv4dUcVoATzEWVGktAMt0yRxOIgSTrL+lQHkbxFqIgbVY65YbbhQSNRpTgTxn+xAL/0J9t1rSW0MyAZALgnJEPDEqTpWOr3OWSmFg/d+h9tz3ReD/TR+/qPG+GTmgy01mgG2D/EGelsjTQ9taHT1K4RGNoVxxoGRYwspa6hjk6i0G4HLit6cnVRwVnb/av5q6fjgqWKHbt/8hmpMg4XwtjTsaMcfA896UPKYOv7lebfXatAJ9bDhdHWiehsmRDwJncInd/TE6EYD9YOYIWZb7OVl+/fpnTAzcQ4SEAgFVF8Q1WA==",
    ),
    (
        "f9ec60cd877979853d89672b49b2ba46",
        "fGCCZesIQAS2pJsPQ33foRgwXmfhdZJfStvNsBtiafAW7l+Vx2ojuKLnaV6oXnGW31mcrJQYAF6gEFcwmztntHJ7GnTCbvZhkKdIIwzLCmmTsFt58EOS9KDeTr1v9VYZx2Ji7vKZSsAuJ7uEiIlABOyx0oXeZ6yw9+aO/UhIhQ6BPHBj1FED47gPdLbE0ap2sGZQkipyw+lFZC1WFjX1Ir9s7R+pd8L53C2baBI4CB9lX2MmEKcC/xlWBrOlGv4NnYl4yMTqul+w96vknvWZwKtxsY+E+/EndF3uT0VGcXYcTKD/c6zio9P7PpRyIMmtItzsC7vujfFpggZcc4NC7g==",
    ),
];

/// Which signatures a delivery carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Signature {
    /// None at all: what a stranger posts.
    None,
    /// HMAC-SHA1 under a wrapped secret.
    V1,
    /// RSA over SHA-256.
    #[default]
    V2,
    /// Both.
    Both,
}

/// What is signed.
pub(crate) struct Sealed<'a> {
    /// The URL of the target, as it was configured.
    pub(crate) url: &'a str,
    /// Milliseconds since 1970.
    pub(crate) timestamp_ms: i128,
    pub(crate) certificate_url: &'a str,
    pub(crate) token: Option<&'a str>,
    pub(crate) body: &'a str,
    /// v2 is ambiguous in its documents: whether the token's line takes part, and whether a line feed ends the text.
    pub(crate) token_line: bool,
    pub(crate) last_line_feed: bool,
    /// Chooses the wrapped secret.
    pub(crate) turn: u64,
}

impl Sealed<'_> {
    /// The headers of a delivery.
    pub(crate) fn headers(&self, signature: Signature) -> Vec<(&'static str, String)> {
        let mut headers = Vec::new();
        if signature == Signature::None {
            return headers;
        }
        headers.push(("x-eventbridge-signature-timestamp", self.timestamp_ms.to_string()));
        headers.push(("x-eventbridge-signature-version", "1.0".to_owned()));
        headers.push(("x-eventbridge-signature-url", self.certificate_url.to_owned()));
        if let Some(token) = self.token {
            headers.push(("x-eventbridge-signature-token", token.to_owned()));
        }
        if matches!(signature, Signature::V1 | Signature::Both) {
            let turn = usize::try_from(self.turn).unwrap_or_default() % WRAPPED.len();
            let (secret, wrapped) = WRAPPED.get(turn).copied().unwrap_or_default();
            let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.as_bytes());
            let text = self.text("x-eventbridge-signature-method: HMAC-SHA1", true, true);
            headers.push(("x-eventbridge-signature-method", "HMAC-SHA1".to_owned()));
            headers.push(("x-eventbridge-signature-secret", wrapped.to_owned()));
            headers.push(("x-eventbridge-signature", STANDARD.encode(hmac::sign(&key, text.as_bytes()))));
        }
        if matches!(signature, Signature::V2 | Signature::Both) {
            let text = self.text("x-eventbridge-hash-method: SHA256", self.token_line, self.last_line_feed);
            headers.push(("x-eventbridge-hash-method", "SHA256".to_owned()));
            headers.push(("x-eventbridge-signature-v2", sign(&text).unwrap_or_default()));
        }
        headers
    }

    fn text(&self, method: &str, token_line: bool, last_line_feed: bool) -> String {
        let token = match self.token {
            Some(token) if token_line => format!("x-eventbridge-signature-token: {token}\n"),
            _ => String::new(),
        };
        let end = if last_line_feed { "\n" } else { "" };
        format!(
            "{}\nx-eventbridge-signature-timestamp: {}\n{method}\nx-eventbridge-signature-version: 1.0\nx-eventbridge-signature-url: {}\n{token}{}{end}",
            self.url, self.timestamp_ms, self.certificate_url, self.body
        )
    }
}

/// Base64 of the signature. None cannot be: the key is a constant, and a test signs with it.
fn sign(text: &str) -> Option<String> {
    let lines = KEY.lines().skip_while(|line| !line.starts_with("-----BEGIN")).skip(1).take_while(|line| !line.starts_with("-----END"));
    let der = STANDARD.decode(lines.collect::<String>()).ok()?;
    let key = RsaKeyPair::from_pkcs8(&der).ok()?;
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature).ok()?;
    Some(STANDARD.encode(signature))
}
