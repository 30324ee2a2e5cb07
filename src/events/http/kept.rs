//! Things made of files, which are read again and again: certificates and tokens are renewed under the running agent. A file server that is dead holds up nothing but
//! the next reading, and what was read before goes on being used.

use super::Troubles;
use crate::credentials::Seat;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// Between two readings.
const PACE: Duration = Duration::from_secs(10);
/// The same, while something is wrong.
const RETRY: Duration = Duration::from_secs(2);

/// The last thing that was read.
#[derive(Debug)]
pub(super) struct Kept<T> {
    thing: Mutex<Option<Arc<T>>>,
    /// The first reading is over, whatever came of it.
    tried: watch::Sender<bool>,
}

impl<T: Send + Sync + 'static> Kept<T> {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { thing: Mutex::new(None), tried: watch::Sender::new(false) })
    }

    #[cfg(fuzzing)]
    pub(super) fn of(thing: T) -> Arc<Self> {
        Arc::new(Self { thing: Mutex::new(Some(Arc::new(thing))), tried: watch::Sender::new(true) })
    }

    /// None: it could not be read yet.
    pub(super) fn get(&self) -> Option<Arc<T>> {
        self.thing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Until the first reading is over.
    pub(super) async fn tried(&self) {
        // The sender is ours, so that it is there.
        let _ = self.tried.subscribe().wait_for(|tried| *tried).await;
    }

    /// Reads it, for ever. `read` may block.
    pub(super) async fn follow(
        self: Arc<Self>,
        subject: &'static str,
        hint: Option<&'static str>,
        troubles: Arc<Troubles>,
        read: impl Fn() -> Result<T, String> + Clone + Send + 'static,
    ) {
        let seat = Seat::default();
        loop {
            let pause = match seat.look(read.clone()).await.flatten() {
                Ok(thing) => {
                    *self.thing.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(thing));
                    troubles.over(subject);
                    PACE
                }
                Err(why) => {
                    troubles.tell(subject, format!("{subject}: {why}"), hint);
                    RETRY
                }
            };
            self.tried.send_replace(true);
            tokio::time::sleep(pause).await;
        }
    }
}
