//! Text that must never be shown: access key secrets, security tokens, metadata tokens.
//!
//! `Debug` prints a placeholder, there is no `Display`, no `Serialize` and no `PartialEq`, and the memory is wiped on drop.

use std::fmt;
use zeroize::Zeroizing;

/// A secret text. Only [`Secret::expose`] gives it away, so that `grep expose` finds every place where it leaves.
#[derive(Clone, Default)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes `text` into custody.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The secret itself, for signing and for request headers only.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn debug_never_shows_the_secret() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret:?}"), "[secret]");
        assert_eq!(secret.expose(), "hunter2");
    }
}
