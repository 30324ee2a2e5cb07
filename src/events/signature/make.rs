//! Making signatures, to try a listener out: as EventBridge does with a key of one's own, and as root of this host.

use super::text::{Lines, text};
use super::{Shared, name};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;

/// The file has no key that can sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it holds no RSA private key of 2048 to 4096 bits, as PKCS #8 or PKCS #1 in PEM")]
pub struct NotASigningKey;

/// An RSA private key.
#[derive(Debug)]
pub struct SigningKey(RsaKeyPair);

impl SigningKey {
    /// The first one in `pem`.
    ///
    /// # Errors
    /// If there is none.
    pub fn of_pem(pem: &[u8]) -> Result<Self, NotASigningKey> {
        let pair = match PrivateKeyDer::from_pem_slice(pem).map_err(|_| NotASigningKey)? {
            PrivateKeyDer::Pkcs8(key) => RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()),
            PrivateKeyDer::Pkcs1(key) => RsaKeyPair::from_der(key.secret_pkcs1_der()),
            _ => return Err(NotASigningKey),
        };
        pair.map(Self).map_err(|_| NotASigningKey)
    }
}

/// The headers of version 2 for a POST of `body` to the target `url` at `now_ms`, in the form of the official sample that the help page
/// describes: with the token's line, if there is a token, and the last line feed. `certificate_url` is where the certificate lies.
///
/// # Errors
/// If the kernel gives no random bytes.
pub fn v2_headers(
    key: &SigningKey,
    url: &str,
    body: &[u8],
    now_ms: i64,
    certificate_url: &str,
    token: Option<&str>,
) -> Result<Vec<(&'static str, String)>, NotASigningKey> {
    let timestamp = now_ms.to_string();
    let (version, certificate_url, token) = ("1.0".to_owned(), certificate_url.to_owned(), token.map(str::to_owned));
    let shared = Shared { method: "SHA256".to_owned(), version, certificate_url, token };
    let text = text(&Lines { url, timestamp: &timestamp, method: (name::HASH, &shared.method), shared: &shared }, true, body);
    let mut signature = vec![0; key.0.public().modulus_len()];
    key.0.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), &text, &mut signature).map_err(|_| NotASigningKey)?;
    let mut headers = vec![
        (name::TIMESTAMP, timestamp),
        (name::HASH, shared.method),
        (name::VERSION, shared.version),
        (name::URL, shared.certificate_url),
        (name::V2, STANDARD.encode(signature)),
    ];
    headers.extend(shared.token.map(|token| (name::TOKEN, token)));
    Ok(headers)
}

/// The headers of a test for a POST of `body` to the listener whose target is `url`. The `secret` is handed out by the control socket.
pub fn test_headers(secret: &str, url: &str, body: &[u8], now_ms: i64) -> Vec<(&'static str, String)> {
    let timestamp = now_ms.to_string();
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let signature = STANDARD.encode(hmac::sign(&key, &test_text(&timestamp, url, body)));
    vec![(name::TEST_TIME, timestamp), (name::TEST_SIGNATURE, signature)]
}

/// Time, url and body, each with a line feed.
pub(super) fn test_text(timestamp: &str, url: &str, body: &[u8]) -> Vec<u8> {
    [timestamp.as_bytes(), b"\n", url.as_bytes(), b"\n", body, b"\n"].concat()
}
