//! Signatures of EventBridge's HTTP target, pure: what a request claims, and whether it holds.
//!
//! Two schemes are alive. Version 1: HMAC-SHA1 under a secret that comes with the request, wrapped with the private key of EventBridge
//! (help page "signature algorithm", and a real delivery of 2021). Version 2: RSA PKCS#1 v1.5 with SHA-256 (the same page, later
//! editions, and the official sample). Page and sample disagree on two points, whether the token's line is part of the signed text
//! and whether a line feed ends it, so all four texts are tried and the one that matched is told. The token is compared by itself, in constant time,
//! so this weakens nothing.

mod key;
mod make;
mod seal;
mod text;

pub use key::{Key, NotAKey};
pub use make::{NotASigningKey, SigningKey, test_headers, v2_headers};
pub use seal::Sealed;
pub use text::Form;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use ring::hmac;

/// How far the time of a request may be off, both ways: the help page says 60 s.
pub const WINDOW_MS: i64 = 60_000;

/// Bytes of one header that is looked at: a signature by a key of 8192 bits takes 1368.
const VALUE_LIMIT: usize = 2048;

/// Headers, in lower case as HTTP libraries have them and as the signed text writes them.
mod name {
    pub(super) const TIMESTAMP: &str = "x-eventbridge-signature-timestamp";
    pub(super) const METHOD: &str = "x-eventbridge-signature-method";
    pub(super) const HASH: &str = "x-eventbridge-hash-method";
    pub(super) const VERSION: &str = "x-eventbridge-signature-version";
    pub(super) const URL: &str = "x-eventbridge-signature-url";
    pub(super) const TOKEN: &str = "x-eventbridge-signature-token";
    pub(super) const SECRET: &str = "x-eventbridge-signature-secret";
    pub(super) const V1: &str = "x-eventbridge-signature";
    pub(super) const V2: &str = "x-eventbridge-signature-v2";
    pub(super) const TEST_TIME: &str = "x-ros-signal-agent-test-time";
    pub(super) const TEST_SIGNATURE: &str = "x-ros-signal-agent-test-signature";
}

/// Why a request is not believed. Shown to whoever sent it: nothing secret is in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A header that is needed is not there.
    #[error("the header {0} is missing: this is not signed as EventBridge signs")]
    NotSigned(&'static str),
    /// A header is there twice, too long, or cannot be read.
    #[error("the header {0} cannot be read")]
    Malformed(&'static str),
    /// Only version 1, and that is not allowed.
    #[error("signed with version 1 only, which allow_v1 does not allow")]
    OnlyV1,
    /// Not of now.
    #[error("its time is {}.{:03}s {} this host's clock, and 60s are allowed", .0.abs() / 1000, .0.abs() % 1000, if *.0 < 0 { "behind" } else { "ahead of" })]
    Time(i64),
    /// The token is missing, or another one.
    #[error("the token is not the one that is expected")]
    Token,
    /// Nothing that a certificate is fetched from.
    #[error("the address of the certificate is not one of EventBridge in an allowed region")]
    CertificateAddress,
    /// It was not EventBridge that signed this.
    #[error("the signature does not match, for the url that is configured here")]
    Signature,
}

impl Refusal {
    /// In few words, to be counted by.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotSigned(_) => "not signed",
            Self::Malformed(_) => "malformed signature",
            Self::OnlyV1 => "signature version 1",
            Self::Time(_) => "time",
            Self::Token => "token",
            Self::CertificateAddress => "certificate address",
            Self::Signature => "signature",
        }
    }
}

/// What a request claims about who sent it.
#[derive(Clone, PartialEq, Eq)]
pub struct Claims {
    scheme: Scheme,
    timestamp: String,
    timestamp_ms: i64,
    signature: Vec<u8>,
}

#[derive(Clone, PartialEq, Eq)]
enum Scheme {
    V1 {
        shared: Shared,
        secret: Vec<u8>,
    },
    V2 {
        shared: Shared,
    },
    /// By this host's root, to try things out.
    Test,
}

/// What both schemes send.
#[derive(Clone, PartialEq, Eq)]
struct Shared {
    method: String,
    version: String,
    certificate_url: String,
    token: Option<String>,
}

/// Without what is signed and with what: signatures and tokens are secrets.
impl std::fmt::Debug for Claims {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Claims").field("timestamp", &self.timestamp).finish_non_exhaustive()
    }
}

impl Claims {
    /// Reads them. Signed with both versions, version 2 counts.
    ///
    /// # Errors
    /// If a header is missing or cannot be read, or if there is only version 1 and that is not allowed.
    pub fn read(headers: &HeaderMap, allow_v1: bool) -> Result<Self, Refusal> {
        if let Some(signature) = value(headers, name::TEST_SIGNATURE)? {
            let timestamp = needed(headers, name::TEST_TIME)?;
            let signature = decode(signature, name::TEST_SIGNATURE)?;
            return Self::at(Scheme::Test, timestamp, name::TEST_TIME, signature);
        }
        let v2 = value(headers, name::V2)?;
        let shared = |method: &'static str| {
            Ok(Shared {
                method: needed(headers, method)?.to_owned(),
                version: needed(headers, name::VERSION)?.to_owned(),
                certificate_url: needed(headers, name::URL)?.to_owned(),
                token: value(headers, name::TOKEN)?.map(str::to_owned),
            })
        };
        let (scheme, signature) = match v2 {
            Some(signature) => {
                let shared = shared(name::HASH)?;
                if !shared.method.eq_ignore_ascii_case("SHA256") {
                    return Err(Refusal::Malformed(name::HASH));
                }
                (Scheme::V2 { shared }, decode(signature, name::V2)?)
            }
            None => {
                let Some(signature) = value(headers, name::V1)? else { return Err(Refusal::NotSigned(name::V2)) };
                if !allow_v1 {
                    return Err(Refusal::OnlyV1);
                }
                let shared = shared(name::METHOD)?;
                if !shared.method.eq_ignore_ascii_case("HMAC-SHA1") {
                    return Err(Refusal::Malformed(name::METHOD));
                }
                let secret = decode(needed(headers, name::SECRET)?, name::SECRET)?;
                (Scheme::V1 { shared, secret }, decode(signature, name::V1)?)
            }
        };
        Self::at(scheme, needed(headers, name::TIMESTAMP)?, name::TIMESTAMP, signature)
    }

    fn at(scheme: Scheme, timestamp: &str, header: &'static str, signature: Vec<u8>) -> Result<Self, Refusal> {
        // Parsing takes a sign and does not bound the length of zeros.
        let plain = timestamp.len() <= 16 && timestamp.bytes().all(|byte| byte.is_ascii_digit());
        let timestamp_ms = timestamp.parse().ok().filter(|_| plain).ok_or(Refusal::Malformed(header))?;
        Ok(Self { scheme, timestamp: timestamp.to_owned(), timestamp_ms, signature })
    }

    /// When it was signed, in milliseconds since 1970.
    pub fn timestamp_ms(&self) -> i64 {
        self.timestamp_ms
    }

    /// The signature, to know it again.
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }

    /// Whether root of this host claims to have sent it.
    pub fn is_test(&self) -> bool {
        self.scheme == Scheme::Test
    }

    /// Where the certificate lies that it says it is signed with; none for a test.
    pub fn certificate_url(&self) -> Option<&str> {
        match &self.scheme {
            Scheme::V1 { shared, .. } | Scheme::V2 { shared } => Some(&shared.certificate_url),
            Scheme::Test => None,
        }
    }

    /// The time window, by this host's clock.
    ///
    /// # Errors
    /// If it lies outside.
    pub fn check_time(&self, now_ms: i64) -> Result<(), Refusal> {
        let ahead = self.timestamp_ms.saturating_sub(now_ms);
        if ahead.abs() > WINDOW_MS { Err(Refusal::Time(ahead)) } else { Ok(()) }
    }

    /// The token, if one is expected. A test has none.
    ///
    /// # Errors
    /// If it is missing or another one.
    pub fn check_token(&self, expected: Option<&Sealed>) -> Result<(), Refusal> {
        let (Some(expected), Scheme::V1 { shared, .. } | Scheme::V2 { shared }) = (expected, &self.scheme) else { return Ok(()) };
        match &shared.token {
            Some(token) if expected.is(token) => Ok(()),
            _ => Err(Refusal::Token),
        }
    }

    /// Whether EventBridge, whose `key` this is, signed `body` for the target `url`; and how.
    ///
    /// # Errors
    /// If not, or if it is a test.
    pub fn verify(&self, url: &str, body: &[u8], key: &Key) -> Result<Form, Refusal> {
        let (shared, method, secret) = match &self.scheme {
            Scheme::V1 { shared, secret } => (shared, name::METHOD, Some(key.unwrap(secret).ok_or(Refusal::Signature)?)),
            Scheme::V2 { shared } => (shared, name::HASH, None),
            Scheme::Test => return Err(Refusal::Signature),
        };
        let hmac = secret.map(|secret| hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &secret));
        let lines = text::Lines { url, timestamp: &self.timestamp, method: (method, &shared.method), shared };
        let matched = text::texts(&lines, body, |text| match &hmac {
            Some(key) => hmac::verify(key, text, &self.signature).is_ok(),
            None => key.verify(text, &self.signature),
        });
        let (token_line, last_lf) = matched.ok_or(Refusal::Signature)?;
        Ok(Form { version: if hmac.is_some() { 1 } else { 2 }, token_line, last_lf })
    }

    /// Whether root of this host, who knows `secret`, signed `body` for the target `url`.
    ///
    /// # Errors
    /// If not.
    pub fn verify_test(&self, url: &str, body: &[u8], secret: &str) -> Result<(), Refusal> {
        if !self.is_test() {
            return Err(Refusal::Signature);
        }
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        hmac::verify(&key, &make::test_text(&self.timestamp, url, body), &self.signature).map_err(|_| Refusal::Signature)
    }
}

/// The one value of a header, none if it is not there.
fn value<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<Option<&'a str>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let Some(first) = values.next() else { return Ok(None) };
    // Signed twice over is signed in no way that is known.
    let text = if values.next().is_some() || first.len() > VALUE_LIMIT { None } else { first.to_str().ok() };
    text.map(Some).ok_or(Refusal::Malformed(name))
}

fn needed<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<&'a str, Refusal> {
    value(headers, name)?.ok_or(Refusal::NotSigned(name))
}

fn decode(text: &str, name: &'static str) -> Result<Vec<u8>, Refusal> {
    STANDARD.decode(text).map_err(|_| Refusal::Malformed(name))
}

#[cfg(test)]
mod tests;
