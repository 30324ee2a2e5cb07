//! Text that must never be shown: access key secrets, security tokens, metadata tokens.
//!
//! `Debug` prints a placeholder, there is no `Display`, no `Serialize` and no `PartialEq`, and the memory is wiped on drop.
//! All that are alive can be asked for ([`alive`]), so that texts of others, such as lines of the journal, can be freed of them.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use zeroize::Zeroizing;

/// A secret text. Only [`Secret::expose`] gives it away, so that `grep expose` finds every place where it leaves.
#[derive(Clone, Default)]
pub struct Secret(Arc<Zeroizing<String>>);

/// Those that are alive, and some that are not any more: as many again at most, and [`ROOM`].
static ALIVE: Mutex<Vec<Weak<Zeroizing<String>>>> = Mutex::new(Vec::new());
const ROOM: usize = 64;

impl Secret {
    /// Takes `text` into custody.
    pub fn new(text: impl Into<String>) -> Self {
        let secret = Arc::new(Zeroizing::new(text.into()));
        let mut alive = ALIVE.lock().unwrap_or_else(PoisonError::into_inner);
        if alive.len() >= ROOM && alive.len() == alive.capacity() {
            alive.retain(|secret| secret.strong_count() > 0);
        }
        alive.push(Arc::downgrade(&secret));
        Self(secret)
    }

    /// The secret itself, for signing and for request headers only.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// Every secret of this process that somebody holds.
pub fn alive() -> Vec<Secret> {
    let alive = ALIVE.lock().unwrap_or_else(PoisonError::into_inner);
    alive.iter().filter_map(Weak::upgrade).map(Secret).collect()
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_never_shows_the_secret() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret:?}"), "[secret]");
        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn secrets_are_known_as_long_as_somebody_holds_them_and_the_list_does_not_grow() {
        let known = |text: &str| alive().iter().any(|secret| secret.expose() == text);
        let secret = Secret::new("held-by-the-test");
        for number in 0..10_000 {
            Secret::new(format!("dropped-{number}"));
        }
        let copy = secret.clone();
        drop(secret);
        assert!(known("held-by-the-test"));
        assert!(!known("dropped-9999"));
        drop(copy);
        assert!(!known("held-by-the-test"));
        assert!(ALIVE.lock().unwrap().len() < 1_000);
    }
}
