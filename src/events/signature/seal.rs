//! A secret that others present, kept in a form in which it can be compared and nothing else.

use ring::hmac;
use ring::rand::SystemRandom;

/// A tag of the secret under a key of this process. Comparing takes the same time whatever is presented, and how long the secret is stays
/// unknown too.
#[derive(Clone)]
pub struct Sealed {
    key: hmac::Key,
    tag: hmac::Tag,
}

impl std::fmt::Debug for Sealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[secret]")
    }
}

impl Sealed {
    /// Seals `secret`; none if the kernel gives no random bytes.
    pub fn new(secret: &str) -> Option<Self> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()).ok()?;
        let tag = hmac::sign(&key, secret.as_bytes());
        Some(Self { key, tag })
    }

    /// Whether `presented` is the secret.
    pub fn is(&self, presented: &str) -> bool {
        hmac::verify(&self.key, presented.as_bytes(), self.tag.as_ref()).is_ok()
    }
}
