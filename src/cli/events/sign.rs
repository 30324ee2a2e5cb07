//! Signatures of test events, made by the room that verifies them (`events::signature`).

use crate::credentials::read_secret;
use crate::events::signature::{SigningKey, v2_headers};
use crate::secret::Secret;
use std::path::Path;

/// Headers, in order.
pub(super) type Headers = Vec<(&'static str, String)>;

/// As EventBridge does, version 2.
///
/// # Errors
/// If the key cannot be read or used.
pub(super) fn as_eventbridge(
    key: &Path,
    certificate_url: &str,
    token: Option<&Secret>,
    at_ms: i64,
    url: &str,
    body: &str,
) -> anyhow::Result<Headers> {
    let unusable = |why: String| {
        anyhow::anyhow!(
            "--key {}: {why}\nhint: a private RSA key of 2048 bits or more, PKCS#8, PEM: openssl genpkey -algorithm RSA",
            key.display()
        )
    };
    let pem = read_secret(key, false).map_err(unusable)?;
    let signing = SigningKey::of_pem(pem.as_bytes()).map_err(|error| unusable(error.to_string()))?;
    v2_headers(&signing, url, body.as_bytes(), at_ms, certificate_url, token.map(Secret::expose))
        .map_err(|error| unusable(error.to_string()))
}
