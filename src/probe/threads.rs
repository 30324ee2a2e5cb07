//! Threads for blocking work that can hang: a dead file server, a silent name server.
//!
//! A thread lives for one piece of work: in steady state there is none. Work that hangs keeps its thread until the kernel lets it go; it
//! never holds up the loop, the ledger or ROS. Each check has one piece of work at most in each of these:
//!
//! - A [`Pool`] has a number of seats. When all are taken the caller waits, within the timeout of its check; the next run of a check waits
//!   for what still hangs of the last one, and takes no second seat.
//! - [`Apart`] is for kinds of checks that look at files. It has no common limit that checks of a dead file server could use up: its bound
//!   is one thread for each check (and path, should a reload change that). Looks take turns only as long as they are quick, and the next
//!   run of a check that hangs answers at once.

use super::failure;
use super::progress::{Doing, Progress};
use crate::check::{Health, Observation};
use std::collections::HashMap;
use std::fmt::Display;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio::time::Instant;

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
        start(self.name, move || {
            work();
            drop(permit);
        })
    }
}

fn start(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    std::thread::Builder::new().name(format!("probe-{name}")).stack_size(STACK).spawn(work)?;
    Ok(())
}

/// What younger work than this is waited for, since it is not known to hang: a run that was given up may have left it.
const YOUNG: Duration = Duration::from_secs(1);

/// Looks at once, those left out that have taken longer than [`QUICK`]: so many threads are made when a thousand checks are due together.
const TURNS: usize = 32;

/// For so long a look has its turn: what takes longer hangs, or waits for a disk.
const QUICK: Duration = Duration::from_millis(100);

/// A thread for each check that looks at files; clones share them. At most one for each check and path, hung ones included.
#[derive(Clone, Debug)]
pub(super) struct Apart {
    looks: Looks,
    turns: Arc<Semaphore>,
}

impl Default for Apart {
    fn default() -> Self {
        Self { looks: Looks::default(), turns: Arc::new(Semaphore::new(TURNS)) }
    }
}

/// The looks on their threads, by check and path.
type Looks = Arc<Mutex<HashMap<(Arc<str>, String), Look>>>;

/// A look on its thread; the channel closes when it is over.
#[derive(Clone, Debug)]
struct Look {
    since: Instant,
    over: watch::Receiver<()>,
}

/// A look's entry, until it is dropped.
struct Entered {
    looks: Looks,
    key: (Arc<str>, String),
    _over: watch::Sender<()>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.looks.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

impl Apart {
    /// Does `work` of the check `owner`, which looks at `path`, on a thread of its own, and says in `progress` that it does. If the caller
    /// goes away, the result is dropped there.
    ///
    /// # Errors
    /// The observation to give: critical at once when the work of an earlier run still hangs, unknown when there is no thread.
    pub(super) async fn look<T: Send + 'static>(
        &self,
        owner: &Arc<str>,
        path: &str,
        progress: &Progress,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Observation> {
        progress.now(Doing::LookingAt(path.to_owned()));
        let entered = self.enter(owner, path).await?;
        let trouble = |error: &dyn Display| Observation::new(Health::Unknown, format!("no thread to look at {path}: {error}"));
        let turn = self.turns.acquire().await.map_err(|error| trouble(&error))?;
        let (done, mut result) = oneshot::channel();
        let started = start("apart", move || {
            let value = work();
            drop(entered);
            // An error means that nobody waits any more: the value is dropped, which is all there is to do.
            let _ = done.send(value);
        });
        started.map_err(|error| trouble(&error))?;
        let looked = match tokio::time::timeout(QUICK, &mut result).await {
            Ok(looked) => looked,
            Err(_) => {
                drop(turn);
                result.await
            }
        };
        looked.map_err(|_| Observation::new(Health::Unknown, format!("the look at {path} ended without an answer")))
    }

    /// Waits a moment for young work of the same check, and gives up on older.
    async fn enter(&self, owner: &Arc<str>, path: &str) -> Result<Entered, Observation> {
        let key = (Arc::clone(owner), path.to_owned());
        loop {
            let mut earlier = {
                let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
                match looks.get(&key) {
                    Some(earlier) => earlier.clone(),
                    None => {
                        let (sender, over) = watch::channel(());
                        looks.insert(key.clone(), Look { since: Instant::now(), over });
                        return Ok(Entered { looks: Arc::clone(&self.looks), key, _over: sender });
                    }
                }
            };
            // Only the closing of the channel ends the waiting: nothing is ever sent.
            if tokio::time::timeout_at(earlier.since + YOUNG, earlier.over.changed()).await.is_err() {
                return Err(failure::of_hung_look(path, earlier.since.elapsed()));
            }
        }
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

    #[tokio::test]
    async fn a_hundred_checks_of_a_dead_file_server_take_a_thread_each_and_stall_nobody() {
        let apart = Apart::default();
        let (let_go, held) = mpsc::channel::<()>();
        let held = Arc::new(Mutex::new(held));
        let owners: Vec<Arc<str>> = (0..100).map(|number| Arc::from(format!("check-{number}"))).collect();
        let hang = |owner: Arc<str>| {
            let (apart, held) = (apart.clone(), Arc::clone(&held));
            async move {
                let progress = Progress::default();
                let look = async {
                    let look = apart.look(&owner, "/nfs/flag", &progress, move || held.lock().unwrap().recv().is_ok()).await;
                    look.map(|_| panic!("nobody let it go")).unwrap_or_else(|observation| observation)
                };
                within(Duration::from_millis(5), &progress, look).await
            }
        };
        for owner in &owners {
            let seen = hang(Arc::clone(owner)).await;
            assert_eq!(seen.message, "timed out after 5ms looking at /nfs/flag; usually a dead file server");
        }
        let well: Arc<str> = Arc::from("well");
        assert_eq!(apart.look(&well, "/etc/flag", &Progress::default(), || 5).await.unwrap(), 5);
        assert_eq!(apart.looks.lock().unwrap().len(), 100, "one each, and none for who is done");
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(35)).await;
        let asked = Instant::now();
        let seen = hang(Arc::clone(&owners[0])).await;
        assert_eq!(asked.elapsed(), Duration::ZERO, "at once");
        assert_eq!(seen.health, Health::Critical);
        assert!(seen.message.starts_with("a look of an earlier run at /nfs/flag still hangs after 3"), "{}", seen.message);
        assert!(seen.message.ends_with("s; usually a dead file server"), "{}", seen.message);
        assert_eq!(apart.looks.lock().unwrap().len(), 100, "no second thread");
        assert_eq!(apart.look(&owners[0], "/etc/flag", &Progress::default(), || 6).await.unwrap(), 6, "a corrected path helps at once");
        tokio::time::resume();
        drop(let_go);
        while !apart.looks.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        assert_eq!(apart.look(&owners[0], "/nfs/flag", &Progress::default(), || 7).await.unwrap(), 7, "it came back");
    }

    #[tokio::test]
    async fn a_run_waits_for_the_quick_look_that_a_given_up_run_has_left() {
        let apart = Apart::default();
        let (owner, progress): (Arc<str>, _) = (Arc::from("web"), Progress::default());
        let (let_go, held) = mpsc::channel::<()>();
        {
            let mut given_up = Box::pin(apart.look(&owner, "/flag", &progress, move || held.recv().is_ok()));
            assert!(std::future::poll_fn(|cx| std::task::Poll::Ready(given_up.as_mut().poll(cx).is_pending())).await);
        }
        let again = apart.look(&owner, "/flag", &progress, || 8);
        let letting = async { let_go.send(()).unwrap() };
        assert_eq!(tokio::join!(again, letting).0.unwrap(), 8);
    }
}
