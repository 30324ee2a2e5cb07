//! Threads for blocking work that can hang: a dead file server, a silent name server.
//!
//! Work that hangs keeps its thread until the kernel lets it go; it never holds up the loop, the ledger or ROS. Threads come when there is
//! work and end soon after it: in steady state there is none, or one where checks look at files all the time. Each check has one piece of
//! work at most in each of these:
//!
//! - A [`Pool`] has a number of seats. When all are taken the caller waits, within the timeout of its check; the next run of a check waits
//!   for what still hangs of the last one, and takes no second seat.
//! - [`Apart`] is for kinds of checks that look at files. It has no common limit that checks of a dead file server could use up: its bound
//!   is one thread for each check (and path, should a reload change that). Quick looks are taken one after the other by one thread, since
//!   to make one costs more than to look; what waits some milliseconds gets another. Looks take turns only as long as they are quick, and
//!   the next run of a check that hangs answers at once.

use super::failure;
use super::progress::{Doing, Progress};
use crate::check::{Health, Observation};
use std::collections::{HashMap, VecDeque};
use std::fmt::{self, Debug, Display};
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
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

/// After so long without a result another thread is made, if there is work that waits for one.
const BUSY: Duration = Duration::from_millis(5);

/// How long the last thread stays when there is no work.
const LINGER: Duration = Duration::from_secs(1);

/// Threads for checks that look at files; clones share them. At most one for each check and path, hung ones included, and one that waits.
#[derive(Clone, Debug)]
pub(super) struct Apart {
    looks: Looks,
    turns: Arc<Semaphore>,
    hands: Arc<Hands>,
}

impl Default for Apart {
    fn default() -> Self {
        Self { looks: Looks::default(), turns: Arc::new(Semaphore::new(TURNS)), hands: Arc::default() }
    }
}

type Work = Box<dyn FnOnce() + Send>;

/// Work that waits, and the threads that take it.
#[derive(Default)]
struct Hands {
    bench: Mutex<Bench>,
    called: Condvar,
}

#[derive(Default)]
struct Bench {
    waiting: VecDeque<Work>,
    /// Threads that live, and those of them that have nothing to do.
    threads: usize,
    idle: usize,
    /// When one has last taken work.
    taken: Option<Instant>,
}

impl Debug for Hands {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Hands").finish_non_exhaustive()
    }
}

impl Hands {
    fn bench(&self) -> MutexGuard<'_, Bench> {
        self.bench.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands over `work`; makes a thread if there is none that may take it soon.
    fn give(self: &Arc<Self>, work: Work) -> io::Result<()> {
        let mut bench = self.bench();
        let all_hang = bench.idle == 0 && bench.waiting.is_empty() && bench.taken.is_none_or(|taken| taken.elapsed() > BUSY);
        if bench.threads == 0 || all_hang {
            drop(bench);
            return self.start(Some(work));
        }
        bench.waiting.push_back(work);
        self.called.notify_one();
        Ok(())
    }

    /// Makes another thread, if work waits for one.
    fn help(self: &Arc<Self>) -> io::Result<()> {
        if self.bench().waiting.is_empty() { Ok(()) } else { self.start(None) }
    }

    fn start(self: &Arc<Self>, first: Option<Work>) -> io::Result<()> {
        let mut bench = self.bench();
        bench.threads += 1;
        if first.is_some() {
            bench.taken = Some(Instant::now());
        }
        drop(bench);
        let hands = Arc::clone(self);
        let started = start("apart", move || {
            let mut next = first;
            while let Some(work) = next.take().or_else(|| hands.next()) {
                work();
            }
        });
        if started.is_err() {
            self.bench().threads -= 1;
        }
        started
    }

    /// What to do next; none: the thread has to go.
    fn next(&self) -> Option<Work> {
        let mut bench = self.bench();
        if bench.waiting.is_empty() && bench.idle == 0 {
            bench.idle += 1;
            let waited = self.called.wait_timeout_while(bench, LINGER, |bench| bench.waiting.is_empty());
            bench = waited.unwrap_or_else(PoisonError::into_inner).0;
            bench.idle -= 1;
        }
        let work = bench.waiting.pop_front();
        if work.is_some() {
            bench.taken = Some(Instant::now());
        }
        bench.threads -= usize::from(work.is_none());
        work
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
    /// Does `work` of the check `owner`, which looks at `path`, on a thread where it holds up nobody, and says in `progress` that it does. If
    /// the caller goes away, the result is dropped there.
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
        let given = self.hands.give(Box::new(move || {
            // Who went away before this began did not call for help: it must not stand before the work of others, who did.
            if done.is_closed() {
                return;
            }
            let value = work();
            drop(entered);
            // An error means that nobody waits any more: the value is dropped, which is all there is to do.
            let _ = done.send(value);
        }));
        given.map_err(|error| trouble(&error))?;
        let mut looked = tokio::time::timeout(BUSY, &mut result).await;
        if looked.is_err() {
            self.hands.help().map_err(|error| trouble(&error))?;
            looked = tokio::time::timeout(QUICK, &mut result).await;
        }
        let looked = match looked {
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
            // It may never have begun: who looked may have been given up before he called for help, or none was to be had.
            let trouble = |error| Observation::new(Health::Unknown, format!("no thread to look at {path}: {error}"));
            self.hands.help().map_err(trouble)?;
            let until = (earlier.since + YOUNG).max(Instant::now() + BUSY);
            // Only the closing of the channel ends the waiting: nothing is ever sent.
            if tokio::time::timeout_at(until, earlier.over.changed()).await.is_err() {
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
    use std::pin::Pin;
    use std::sync::mpsc;
    use std::task::{Context, Poll, Waker};
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
                let (begun, has_begun) = oneshot::channel();
                let look = async {
                    let hang = move || {
                        begun.send(()).unwrap();
                        held.lock().unwrap().recv().is_ok()
                    };
                    let look = apart.look(&owner, "/nfs/flag", &progress, hang).await;
                    look.map(|_| panic!("nobody let it go")).unwrap_or_else(|observation| observation)
                };
                let mut look = std::pin::pin!(look);
                tokio::select! {
                    biased;
                    seen = &mut look => return seen,
                    begun = has_begun => begun.unwrap(),
                }
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
        assert!(asked.elapsed() <= BUSY * 2, "at once, but for the moment that a thread takes");
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
        let (begun, has_begun) = oneshot::channel();
        tokio::select! {
            _ = apart.look(&owner, "/flag", &progress, move || (begun.send(()), held.recv())) => panic!("it hangs"),
            begun = has_begun => begun.unwrap(),
        }
        let again = apart.look(&owner, "/flag", &progress, || 8);
        let letting = async { let_go.send(()).unwrap() };
        assert_eq!(tokio::join!(again, letting).0.unwrap(), 8);
    }

    fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
        Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[tokio::test]
    async fn a_look_that_was_given_up_before_it_began_holds_up_no_other_and_not_itself() {
        // However slow this machine: the second is behind the first.
        tokio::time::pause();
        let apart = Apart::default();
        let (let_go, held) = mpsc::channel::<()>();
        let held = Arc::new(Mutex::new(held));
        let hang = |owner: &'static str| {
            let (apart, held) = (apart.clone(), Arc::clone(&held));
            async move { apart.look(&Arc::from(owner), "/nfs/flag", &Progress::default(), move || held.lock().unwrap().recv().is_ok()).await }
        };
        let (second_owner, progress): (Arc<str>, _) = (Arc::from("second"), Progress::default());
        // The first has the thread; the second waits for one when it is given up, before it has called for another.
        let mut first = Box::pin(hang("first"));
        let mut second = Box::pin(hang("second"));
        assert!(poll_once(&mut first).is_pending());
        assert!(poll_once(&mut second).is_pending());
        drop(second);
        let again = || apart.look(&second_owner, "/nfs/flag", &progress, || 6);
        tokio::time::resume();
        assert_eq!(again().await.unwrap(), 6, "it had not even begun");
        tokio::time::pause();
        let mut third = Box::pin(hang("third"));
        assert!(poll_once(&mut third).is_pending());
        drop(third);
        tokio::time::resume();
        let well = Arc::from("well");
        let seen = tokio::time::timeout(Duration::from_secs(30), apart.look(&well, "/etc/flag", &progress, || 5)).await;
        assert_eq!(seen.expect("nothing is in its way").unwrap(), 5);
        drop(let_go);
    }
}
