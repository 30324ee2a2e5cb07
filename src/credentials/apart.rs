//! Looks at files with secrets, apart from the loop: a home directory, a token, a file with keys or the URL of a handle may lie on a file server that is dead, and then
//! who looks hangs in the kernel until somebody ends that.
//!
//! A thread lives for one look. Each source has one at most: while it hangs, further looks of that source fail at once, and the others
//! go on.

use crate::apart;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A look that takes longer is not waited for.
const LIMIT: Duration = Duration::from_secs(2);

/// The right of one source to have a thread.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seat(Arc<AtomicBool>);

/// A seat that is taken, until this is dropped.
struct Taken(Arc<AtomicBool>);

impl Drop for Taken {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl Seat {
    /// Does `work` on a thread.
    ///
    /// # Errors
    /// If it takes too long, or an earlier one still does.
    pub(crate) async fn look<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
        if self.0.swap(true, Ordering::AcqRel) {
            return Err("an earlier look at its files still hangs".to_owned());
        }
        let taken = Taken(Arc::clone(&self.0));
        let run = move || {
            let done = work();
            drop(taken);
            done
        };
        let told = apart::begin("credentials", run).map_err(|error| format!("no thread can be started to look at its files: {error}"))?;
        match tokio::time::timeout(LIMIT, told).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(_)) => Err("looking at its files was cut short".to_owned()),
            Err(_) => Err(format!("its files did not answer within {}s", LIMIT.as_secs())),
        }
    }
}
