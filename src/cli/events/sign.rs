//! Signatures of test events. Headers go with the body to the listener.
//!
//! ```text
//! test          x-ros-signal-agent-test-time       ms since 1970
//!               x-ros-signal-agent-test-signature  base64(HMAC-SHA256(secret of this run, time LF url LF body LF))
//! EventBridge   text = url LF, each header "name: value" LF: timestamp, hash-method, version, url, token if there is one, then body LF
//!               x-eventbridge-signature-v2         base64(RSA PKCS#1 v1.5 over SHA-256 of the text)
//! ```

use crate::credentials::read_secret;
use crate::secret::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use ring::{hmac, signature};
use std::path::Path;
use zeroize::Zeroizing;

/// Headers, in order.
pub(super) type Headers = Vec<(&'static str, String)>;

/// As a test, with the secret of this run of the agent, in base64 as the agent tells it.
///
/// # Errors
/// If it is not base64.
pub(super) fn as_test(secret: &Secret, at_ms: i64, url: &str, body: &str) -> anyhow::Result<Headers> {
    let key = STANDARD.decode(secret.expose()).map(Zeroizing::new).map_err(|_| anyhow::anyhow!("the agent's test secret is not base64"))?;
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
    let signed = hmac::sign(&key, format!("{at_ms}\n{url}\n{body}\n").as_bytes());
    Ok(vec![("x-ros-signal-agent-test-time", at_ms.to_string()), ("x-ros-signal-agent-test-signature", STANDARD.encode(signed))])
}

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
    let key = private_key(key).map_err(|why| {
        anyhow::anyhow!(
            "--key {}: {why}\nhint: a private RSA key of 2048 bits or more, PKCS#8, PEM: openssl genpkey -algorithm RSA",
            key.display()
        )
    })?;
    let mut headers = vec![
        ("x-eventbridge-signature-timestamp", at_ms.to_string()),
        ("x-eventbridge-hash-method", "SHA256".to_owned()),
        ("x-eventbridge-signature-version", "1.0".to_owned()),
        ("x-eventbridge-signature-url", certificate_url.to_owned()),
    ];
    headers.extend(token.map(|token| ("x-eventbridge-signature-token", token.expose().to_owned())));
    let lines: String = headers.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
    let text = Zeroizing::new(format!("{url}\n{lines}{body}\n"));
    let mut signed = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signed).map_err(|_| anyhow::anyhow!("--key cannot sign"))?;
    headers.push(("x-eventbridge-signature-v2", STANDARD.encode(signed)));
    Ok(headers)
}

fn private_key(path: &Path) -> Result<signature::RsaKeyPair, String> {
    let pem = read_secret(path, false)?;
    let mut within = pem.lines().map(str::trim).skip_while(|line| *line != "-----BEGIN PRIVATE KEY-----").skip(1).peekable();
    if within.peek().is_none() {
        return Err("there is no \"BEGIN PRIVATE KEY\" in it".to_owned());
    }
    let text = Zeroizing::new(within.take_while(|line| !line.starts_with("-----")).collect::<String>());
    let der = STANDARD.decode(text.as_bytes()).map(Zeroizing::new).map_err(|_| "it is not PEM".to_owned())?;
    RsaKeyPair::from_pkcs8(&der).map_err(|error| error.to_string())
}
