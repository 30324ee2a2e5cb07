//! What a run is doing right now, so that a timeout can say it.

use super::text::span;
use crate::check::{Health, Observation};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// One thing a run can be busy with.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Doing {
    /// Nothing that could take time.
    #[default]
    Preparing,
    /// All threads of a pool are taken, by work that hangs.
    WaitingForThread {
        /// Of the pool.
        pool: &'static str,
        /// Its size.
        threads: usize,
    },
    /// A name.
    LookingUp(String),
    /// Name servers, directly.
    Asking(String),
    /// A file.
    ReadingFile(String),
    /// A file or file system, on a thread apart.
    LookingAt(String),
    /// TCP and, where wanted, TLS.
    Connecting(String),
    /// TLS, where it is more than a part of connecting.
    ShakingHands(String),
    /// What `send` says.
    Sending(String),
    /// The request is out.
    WaitingForAnswer(String),
    /// The answer has begun.
    ReadingAnswer(String),
    /// The observation is made; what is still being read is only to be shown with it.
    Decided(Observation),
}

/// Shared with the parts that know: the resolver and the connector of an HTTP client.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress(Arc<Mutex<Doing>>);

tokio::task_local! {
    /// The run on whose behalf a client that several checks share is asked, and whom it connects to.
    static RUN: (Progress, String);
}

impl Progress {
    /// Does `work`, which goes to `place` through a client that several checks share, as that of this run.
    pub(super) fn follow<F: Future>(&self, place: String, work: F) -> impl Future<Output = F::Output> {
        RUN.scope((self.clone(), place), work)
    }

    /// That of the run that asks, and whom it connects to; one that nobody looks at, where no run asks any more.
    pub(super) fn of_run() -> (Self, String) {
        RUN.try_with(Clone::clone).unwrap_or_default()
    }

    /// Notes what is being done from now on.
    pub(super) fn now(&self, doing: Doing) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = doing;
    }

    /// The observation of a run whose time is over. Only want of a thread is our own trouble.
    pub(super) fn timed_out(&self, timeout: Duration) -> Observation {
        let doing = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let what = match doing {
            Doing::Preparing => String::new(),
            Doing::WaitingForThread { pool, threads } => {
                let message = format!("no free {pool} thread for {}: all {threads} hang in the work of other checks", span(timeout));
                return Observation::new(Health::Unknown, message);
            }
            Doing::LookingUp(name) => format!(" looking up the name {name}"),
            Doing::Asking(servers) => format!(" asking name server {servers}"),
            Doing::ReadingFile(path) => format!(" reading the file {path}"),
            Doing::LookingAt(path) => format!(" looking at {path}; usually a dead file server"),
            Doing::Connecting(place) => format!(" connecting to {place}"),
            Doing::ShakingHands(place) => format!(" in the TLS handshake with {place}"),
            Doing::Sending(place) => format!(" sending to {place}"),
            Doing::WaitingForAnswer(place) => format!(" waiting for the answer of {place}"),
            Doing::Decided(observation) => return observation,
            Doing::ReadingAnswer(place) => format!(" reading the answer of {place}"),
        };
        Observation::new(Health::Critical, format!("timed out after {}{what}", span(timeout)))
    }
}
