//! The sources that listen: `http` for the HTTP target of EventBridge, `callback` for the unsigned callback of ROS's `NotificationURLs`.
//!
//! What comes from outside is judged cheapest first: method, headers, time, token and the certificate's address before a byte of the body is
//! read or anything is fetched. Bounds: `listen::CONNECTIONS` connections (one more waits in the kernel's queue until another ends), heads of 16 KiB in
//! 5 s, bodies of 512 KiB in 5 s of which four may be larger than 64 KiB at once, an answer within a second of the last byte, and
//! `budget` for the work on signatures, so that a flood delays no check. What is too much is told to come again: 503.

mod answer;
mod budget;
mod callback;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod inherited;
mod intake;
mod kept;
mod listen;
mod read;
mod replay;

pub(crate) use callback::callback;
pub(crate) use inherited::take_over;
pub(crate) use intake::http;

use crate::credentials::systemd_credential;
use crate::events::{Around, Health};
use crate::plan::SecretPlace;
use crate::secret::Secret;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// What a listener for EventBridge needs of the world outside.
#[derive(Clone, Debug)]
pub(crate) struct Needs {
    /// Clients and environment; a reload puts others there.
    pub(crate) around: Around,
    /// With which root of this host signs tests.
    pub(crate) test_secret: Secret,
}

/// `$CREDENTIALS_DIRECTORY`.
fn credentials(around: &Around) -> Option<PathBuf> {
    around.borrow().environment.get("CREDENTIALS_DIRECTORY").map(PathBuf::from)
}

/// Where it listens, and what is wrong, by subject, with a hint.
type Shown = (String, BTreeMap<&'static str, (String, Option<&'static str>)>);

/// What is wrong, by subject; the first of them is shown.
#[derive(Debug)]
struct Troubles {
    health: Health,
    state: Mutex<Shown>,
}

impl Troubles {
    fn new(health: &Health) -> Arc<Self> {
        Arc::new(Self { health: health.clone(), state: Mutex::default() })
    }

    /// It works as far as its door goes: `detail` says where.
    fn open(&self, detail: String) {
        self.change(|(shown, troubles)| {
            troubles.remove("listen");
            *shown = detail;
        });
    }

    /// Something does not work, which is tried again.
    fn tell(&self, subject: &'static str, error: String, hint: Option<&'static str>) {
        self.change(|(_, troubles)| drop(troubles.insert(subject, (error, hint))));
    }

    /// It works again, or is not needed.
    fn over(&self, subject: &'static str) {
        self.change(|(_, troubles)| drop(troubles.remove(subject)));
    }

    fn change(&self, change: impl FnOnce(&mut Shown)) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut state);
        let (detail, troubles) = &*state;
        match troubles.values().next() {
            Some((error, hint)) => {
                if self.health.fails(error, *hint) {
                    let hint = hint.map(|hint| format!("; hint: {hint}")).unwrap_or_default();
                    tracing::warn!(target: "events", "source {}: {error}{hint}", self.health.view().name);
                }
            }
            None if detail.is_empty() => {}
            None => self.health.works(detail),
        }
    }
}

/// The secret at `place`, without what surrounds it. Blocks.
///
/// # Errors
/// What is wrong with its file.
fn secret(place: &SecretPlace, credentials: Option<&PathBuf>) -> Result<Secret, String> {
    let path = match place {
        SecretPlace::File(path) => path.clone(),
        SecretPlace::SystemdCredential(name) => systemd_credential(name, credentials.map(PathBuf::as_path))?,
    };
    // It is read again and again: a warning that others may read it would come each time.
    let text = crate::credentials::read_secret(&path, false).map_err(|why| format!("{}: {why}", path.display()))?;
    let text = text.trim();
    if text.is_empty() { Err(format!("{} is empty", path.display())) } else { Ok(Secret::new(text)) }
}
