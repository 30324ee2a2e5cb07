//! A bounded pool of threads for blocking work that can hang: a dead file server, a silent name server.
//!
//! A thread lives for one piece of work: in steady state there is none. When all seats are taken the caller waits, within the timeout
//! of its check. Work that hangs keeps its seat until the kernel lets it go; it never holds up the loop, the ledger or ROS.
//! Each check has one piece of work at most: the next run waits for what still hangs of the last one, and takes no second seat.

use super::progress::{Doing, Progress};
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

/// Enough for getaddrinfo with any plug-in of nsswitch; only what is touched becomes memory.
const STACK: usize = 512 * 1024;

/// A number of seats; clones share them.
#[derive(Clone, Debug)]
pub(super) struct Pool {
    name: &'static str,
    threads: usize,
    seats: Arc<Semaphore>,
    owners: Owners,
}

/// Who has work on a thread, or waits for one; the channel closes when that is over.
type Owners = Arc<Mutex<HashMap<Arc<str>, watch::Receiver<()>>>>;

/// The right to have work, until it is dropped.
struct Owned {
    owners: Owners,
    owner: Arc<str>,
    _over: watch::Sender<()>,
}

impl Drop for Owned {
    fn drop(&mut self) {
        self.owners.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.owner);
    }
}

/// The right to one thread.
pub(super) struct Seat {
    name: &'static str,
    permit: OwnedSemaphorePermit,
}

impl Pool {
    /// A pool called `name` of at most `threads` threads.
    pub(super) fn new(name: &'static str, threads: usize) -> Self {
        Self { name, threads, seats: Arc::new(Semaphore::new(threads)), owners: Owners::default() }
    }

    /// Waits for a free thread, and says so in `progress`.
    pub(super) async fn seat(&self, progress: &Progress) -> io::Result<Seat> {
        progress.now(Doing::WaitingForThread { pool: self.name, threads: self.threads });
        let permit = Arc::clone(&self.seats).acquire_owned().await.map_err(io::Error::other)?;
        Ok(Seat { name: self.name, permit })
    }

    /// Waits until `owner` has no work here.
    async fn own(&self, owner: &Arc<str>) -> Owned {
        loop {
            let mut earlier = {
                let mut owners = self.owners.lock().unwrap_or_else(PoisonError::into_inner);
                match owners.get(owner) {
                    Some(earlier) => earlier.clone(),
                    None => {
                        let (over, waiting) = watch::channel(());
                        owners.insert(Arc::clone(owner), waiting);
                        return Owned { owners: Arc::clone(&self.owners), owner: Arc::clone(owner), _over: over };
                    }
                }
            };
            // Only the closing of the channel ends this: nothing is ever sent.
            let _ = earlier.changed().await;
        }
    }

    /// Does `work` of the check `owner`, which is `doing`, on a thread. If the caller goes away, the result is dropped there.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        owner: &Arc<str>,
        progress: &Progress,
        doing: Doing,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<T> {
        progress.now(doing.clone());
        let owned = self.own(owner).await;
        let seat = self.seat(progress).await?;
        progress.now(doing);
        let (done, result) = oneshot::channel();
        seat.start(move || {
            // An error means that nobody waits any more: the value is dropped, which is all there is to do.
            let _ = done.send(work());
            drop(owned);
        })?;
        result.await.map_err(io::Error::other)
    }
}

impl Seat {
    /// Does `work` on a thread that gives the seat back when it is done.
    pub(super) fn start(self, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let permit = self.permit;
        std::thread::Builder::new().name(format!("probe-{}", self.name)).stack_size(STACK).spawn(move || {
            work();
            drop(permit);
        })?;
        Ok(())
    }
}

#[cfg(test)]
impl Pool {
    /// Threads that could be had at once.
    pub(super) fn free(&self) -> usize {
        self.seats.available_permits()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Health;
    use crate::probe::within;
    use std::sync::mpsc;
    use std::time::Duration;

    #[tokio::test]
    async fn scenario_20_a_check_whose_files_hang_takes_one_thread_however_often_it_runs() {
        let pool = Pool::new("file", 2);
        let (hung, well): (Arc<str>, Arc<str>) = (Arc::from("hung"), Arc::from("well"));
        let (let_go, held) = mpsc::channel::<()>();
        let held = Arc::new(Mutex::new(held));
        let doing = || Doing::ReadingFile("/nfs/ca.pem".to_owned());
        for _ in 0..10 {
            let (progress, held) = (Progress::default(), Arc::clone(&held));
            let look = async {
                let read = pool.run(&hung, &progress, doing(), move || held.lock().unwrap().recv().is_ok()).await;
                panic!("nobody let it go, yet {read:?}")
            };
            let seen = within(Duration::from_millis(3), &progress, look).await;
            assert_eq!((seen.health, seen.message.as_str()), (Health::Critical, "timed out after 3ms reading the file /nfs/ca.pem"));
        }
        assert_eq!(pool.free(), 1);
        assert_eq!(pool.run(&well, &Progress::default(), doing(), || 5).await.unwrap(), 5);
        let_go.send(()).unwrap();
        assert_eq!(pool.run(&hung, &Progress::default(), doing(), || 6).await.unwrap(), 6);
    }
}
