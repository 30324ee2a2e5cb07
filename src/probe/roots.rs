//! The system's certificates, parsed once for all checks.

use super::progress::{Doing, Progress};
use super::threads::Pool;
use crate::plan::Name;
use crate::tls::{self, Roots};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long they are kept, so that a renewed store is read.
pub(super) const MAX_AGE: Duration = Duration::from_secs(3600);

/// The store; clones share it.
#[derive(Clone)]
pub(super) struct SystemRoots {
    files: Pool,
    /// Held while they are loaded, so that they are loaded once.
    kept: Arc<tokio::sync::Mutex<Option<(Instant, Roots)>>>,
}

impl SystemRoots {
    /// Nothing is loaded yet.
    pub(super) fn new(files: Pool) -> Self {
        Self { files, kept: Arc::default() }
    }

    /// Loads them anew the next time.
    pub(super) fn forget(&self) {
        // Somebody is loading them just now: then they are fresh.
        if let Ok(mut kept) = self.kept.try_lock() {
            *kept = None;
        }
    }

    /// The certificates, for the check `name`. Their absence is no error where they `may_lack`: there is a `ca_file`. Errors are
    /// sentences for a person.
    pub(super) async fn get(&self, name: &Name, progress: &Progress, may_lack: bool) -> Result<Option<Roots>, String> {
        let mut kept = self.kept.lock().await;
        if let Some((_, roots)) = kept.as_ref().filter(|(loaded, _)| loaded.elapsed() < MAX_AGE) {
            return Ok(Some(roots.clone()));
        }
        let doing = Doing::ReadingFile("/etc/ssl".to_owned());
        let loaded = self.files.run(name, progress, doing, Roots::load).await;
        match loaded.map_err(|error| format!("no thread to read /etc/ssl: {error}"))? {
            Ok(roots) => {
                *kept = Some((Instant::now(), roots.clone()));
                Ok(Some(roots))
            }
            Err(_) if may_lack => Ok(None),
            Err(error) => Err(one_sentence(&error)),
        }
    }
}

/// Messages of observations are one line.
pub(super) fn one_sentence(error: &tls::Error) -> String {
    error.to_string().replace("\nhint: ", "; ")
}
