//! How each kind of check looks at the world: the room that does the I/O of checks.
//!
//! [`Prober::run`] makes one [`Observation`] and never fails: trouble of our own is [`Health::Unknown`], with a message that says so.
//! The timeout of a check is kept in here and is always critical. Dropping the future of a run ends it: sockets are closed, the
//! process group of a child is killed, and what has to be waited for is waited for in the background.
//!
//! What is bounded: bodies (64 KiB read), answers of `tcp` (4 KiB), descriptions of containers (1 MiB), output of children (12 KiB
//! kept), threads for name look-ups and for files ([`LOOKUP_THREADS`], [`FILE_THREADS`]; a run that cannot have one within its timeout
//! is `unknown`), time for killing ([`exec`]). The number of runs in flight is bounded by the core.

mod container;
pub mod exec;
mod failure;
mod http;
mod lookup;
mod progress;
mod tcp;
mod text;
mod threads;
mod watch;

use crate::check::{Health, Observation};
use crate::plan::{Check, Name, Probe};
use std::sync::Arc;
use std::time::Duration;

pub use exec::adopt_orphans;

/// Name look-ups of checks in flight at once. Each name occupies one thread at most, however often it is asked for.
pub const LOOKUP_THREADS: usize = 16;
/// Blocking work on files (starting programs, reading certificates and passwords) in flight at once.
pub const FILE_THREADS: usize = 8;

/// One run that is due.
#[derive(Clone, Debug)]
pub struct Job {
    /// The check to run.
    pub check: Arc<Check>,
    /// Number of this run in its round, from 1; `ROS_SIGNAL_ATTEMPT` of exec checks.
    pub attempt: u64,
    /// The earliest deadline of the signals that need this check, in milliseconds since 1970; `ROS_SIGNAL_DEADLINE` of exec checks.
    pub deadline_unix_ms: Option<i64>,
}

/// Runs probes, and owns what they share: threads for blocking work, HTTP clients with their certificates, and the children.
pub struct Prober {
    files: threads::Pool,
    lookups: lookup::Lookups,
    clients: http::Clients,
    children: exec::Children,
    watches: watch::Watches,
    changes: watch::Changes,
}

impl Default for Prober {
    fn default() -> Self {
        Self::new()
    }
}

impl Prober {
    /// A prober that has looked at nothing yet: threads, clients and certificates come when they are needed.
    pub fn new() -> Self {
        let files = threads::Pool::new("file", FILE_THREADS);
        let lookups = lookup::Lookups::new(threads::Pool::new("lookup", LOOKUP_THREADS), lookup::system);
        Self {
            clients: http::Clients::new(files.clone(), lookups.clone()),
            children: exec::Children::new(files.clone()),
            files,
            lookups,
            watches: watch::Watches::default(),
            changes: watch::Changes::default(),
        }
    }

    /// Makes one observation. Cancel-safe: a dropped run leaves no socket and no process behind.
    ///
    /// Must be called inside a tokio runtime with I/O and time.
    pub async fn run(&self, job: Job) -> Observation {
        let started = tokio::time::Instant::now();
        let check = &job.check;
        let mut observation = match &check.probe {
            Probe::Http(http) => {
                let progress = self.clients.progress(&check.name);
                let look = self.clients.look(&check.name, http, &progress, &self.files);
                within(check.timeout, &progress, Box::pin(look)).await
            }
            Probe::Tcp(tcp) => {
                let progress = progress::Progress::default();
                within(check.timeout, &progress, Box::pin(tcp::look(tcp, &self.lookups, &progress))).await
            }
            Probe::Exec(exec) => self.children.look(&job, exec).await,
            Probe::Container(container) => {
                let progress = progress::Progress::default();
                within(check.timeout, &progress, Box::pin(container::look(container, &progress))).await
            }
            Probe::Ttl(_) => Observation::new(Health::Unknown, "a ttl check is fed by push, it has nothing to run"),
        };
        observation.took = started.elapsed();
        observation
    }

    /// Follows what these checks look at, and no longer what others do. Without it nothing is followed, and runs come by the clock
    /// alone. Must be called inside a tokio runtime.
    pub fn follow(&self, checks: &[Arc<Check>]) {
        self.watches.fit(checks, |check| self.following(check));
    }

    /// The next followed check whose answer may be another now. Cancel-safe.
    pub async fn changed(&self) -> Name {
        self.changes.next().await
    }

    /// How to follow what `check` looks at; none: it can only be polled.
    fn following(&self, check: &Arc<Check>) -> Option<watch::Following> {
        let (name, changes) = (Arc::clone(&check.name), self.changes.clone());
        match &check.probe {
            Probe::Container(container) => Some(container::follow(name, container.clone(), changes)),
            Probe::Http(_) | Probe::Tcp(_) | Probe::Exec(_) | Probe::Ttl(_) => None,
        }
    }

    /// Kills the processes that checks of an earlier agent of the same user left behind because it was killed itself (`kill -9`), and
    /// logs how many. To be called once, at the start, before the first run; takes two seconds at most. Agents that live, in this
    /// process or beside it, keep their processes.
    pub async fn sweep_orphans(&self) {
        self.children.sweep_abandoned().await;
    }

    /// Forgets clients and certificates, so that the next runs load them anew; for a reload.
    pub fn reload(&self) {
        self.clients.forget();
    }

    /// Kills the process groups of all runs and waits until they are reaped, some seconds at most. Later runs of `exec` are refused.
    pub async fn shutdown(&self) {
        self.children.shutdown().await;
    }
}

/// Lets `look` take `timeout`, then says what it was doing.
async fn within(timeout: Duration, progress: &progress::Progress, look: impl Future<Output = Observation>) -> Observation {
    match tokio::time::timeout(timeout, look).await {
        Ok(observation) => observation,
        Err(_) => progress.timed_out(timeout),
    }
}
