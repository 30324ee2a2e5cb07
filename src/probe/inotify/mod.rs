//! Following paths with inotify(7): whoever follows is told when something happens to what a path leads to.
//!
//! One descriptor serves all checks, for a user may have few (`max_user_instances`). Watched are not the files, which may be replaced or
//! not be there, but the directories in which their names stand ([`places`]): of the last file, of every symbolic link on the way, and,
//! where something is missing, of the first missing part. Events of other names in these directories are read and forgotten.
//!
//! What this cannot see the polls do: file systems of other hosts and of the kernel (NFS, /proc), a mount laid over a directory, and a
//! directory further up that is renamed.
//!
//! Adding a watch looks up a path and may hang, so it is done on a thread apart, of which each check has one at most beside that of its
//! run. Bounded are the parts of a path that are looked at ([`places`]), and the pace: events are taken in draughts, with a pause after
//! each, and the kernel's queue is bounded; when it runs over everybody is told.

mod places;
mod table;

use super::progress::Progress;
use super::threads::Apart;
use super::watch::{Changes, Following};
use crate::plan::Name;
use places::Place;
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use table::{Follower, Table};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// What is asked of a directory.
const WATCHED: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVE)
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::MODIFY)
    .union(WatchFlags::CLOSE_WRITE)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR)
    .union(WatchFlags::EXCL_UNLINK);
/// Events after which a name may lead elsewhere, so that other directories may have to be watched.
const STRUCTURAL: ReadFlags = ReadFlags::CREATE.union(ReadFlags::DELETE).union(ReadFlags::MOVED_FROM).union(ReadFlags::MOVED_TO);
/// Events of the directory itself: it is no longer where it was.
const OF_DIRECTORY: ReadFlags = ReadFlags::DELETE_SELF.union(ReadFlags::MOVE_SELF).union(ReadFlags::UNMOUNT).union(ReadFlags::IGNORED);
/// Bytes read at once: some hundred events.
const BUFFER: usize = 8 * 1024;
/// Most events of one draught.
const DRAUGHT: usize = 4096;
/// Between draughts: equal events that follow each other become one in the kernel, so that a busy directory costs little.
const PAUSE: Duration = Duration::from_millis(5);
/// The same when events were lost and everybody looks again.
const PAUSE_AFTER_OVERFLOW: Duration = Duration::from_millis(250);
/// Between two looks at where the paths of one check lead.
const SETTLE: Duration = Duration::from_millis(20);
/// After this, and up to [`SPREAD_MS`] more, a check that is newly followed is told of once, whatever happened.
const FIRST: Duration = Duration::from_secs(1);
const SPREAD_MS: u64 = 1000;
/// Looks at where paths lead before they are taken as they are: somebody keeps moving things about.
const ROUNDS: usize = 8;
/// Before following is tried again where it is impossible.
const RETRY: Duration = Duration::from_secs(60);

/// The watches of all checks; clones share them. Nothing is opened before the first check is followed.
#[derive(Clone, Debug, Default)]
pub(super) struct Inotify(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    apart: Apart,
    table: Arc<Mutex<Table>>,
    queue: Mutex<Option<Queue>>,
    /// It was said that the system's limits do not allow to follow.
    said: AtomicBool,
}

/// The descriptor, and the task that reads it.
#[derive(Debug)]
struct Queue {
    descriptor: Arc<OwnedFd>,
    task: JoinHandle<()>,
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Inotify {
    /// Follows what `paths` lead to for `check`. The future must run inside a tokio runtime; dropping it ends the watches.
    pub(super) fn following(&self, check: &Name, paths: Vec<PathBuf>, changes: &Changes) -> Following {
        let (inotify, check, changes) = (self.clone(), Arc::clone(check), changes.clone());
        Box::pin(async move { inotify.follow(check, Arc::new(paths), changes).await })
    }

    async fn follow(&self, check: Name, paths: Arc<Vec<PathBuf>>, changes: Changes) {
        let bell = Arc::new(Notify::new());
        let member = Membership::new(&self.0.table, check, changes, Arc::clone(&bell));
        let mut known: Option<Vec<Place>> = None;
        loop {
            let Watched { places, trouble } = self.settle(&member, &paths).await;
            if let Some(error) = &trouble {
                self.say(&member.name, error);
            }
            let is_new = known.is_none();
            // What happened before there was this watch nobody has told of.
            if known.is_some_and(|known| known != places) {
                member.tell();
            }
            known = Some(places);
            tokio::time::sleep(SETTLE).await;
            let pause = match trouble {
                Some(_) => RETRY,
                None if is_new => FIRST + Duration::from_millis(member.id % SPREAD_MS),
                None => Duration::MAX,
            };
            if tokio::time::timeout(pause, bell.notified()).await.is_err() && is_new {
                // As above: it may have happened between its first run and its first watch.
                member.tell();
            }
        }
    }

    /// Watches where `paths` lead now, on a thread.
    async fn settle(&self, member: &Membership, paths: &Arc<Vec<PathBuf>>) -> Watched {
        let descriptor = match self.descriptor() {
            Ok(descriptor) => descriptor,
            Err(error) => return Watched::not(error),
        };
        let (table, id, paths) = (Arc::clone(&self.0.table), member.id, Arc::clone(paths));
        let shown = paths.first().map(|path| path.display().to_string()).unwrap_or_default();
        let work = move || watch(&descriptor, &table, id, &paths);
        let look = self.0.apart.look(&member.name, &shown, &Progress::default(), work).await;
        look.unwrap_or_else(|observation| Watched::not(io::Error::other(observation.message)))
    }

    /// The descriptor, opened when it is first asked for.
    fn descriptor(&self) -> io::Result<Arc<OwnedFd>> {
        let mut queue = self.0.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(queue) = queue.as_ref() {
            return Ok(Arc::clone(&queue.descriptor));
        }
        let descriptor = Arc::new(inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?);
        #[expect(
            deprecated,
            reason = "fine for a descriptor that nobody exchanges; what replaces it is unsafe, only because others may not be"
        )]
        let readable = AsyncFd::with_interest(Arc::clone(&descriptor), Interest::READABLE)?;
        let task = tokio::spawn(read(readable, Arc::clone(&self.0.table)));
        *queue = Some(Queue { descriptor: Arc::clone(&descriptor), task });
        Ok(descriptor)
    }

    fn say(&self, check: &Name, error: &io::Error) {
        let code = error.raw_os_error().map(Errno::from_raw_os_error);
        let limit = match code {
            Some(Errno::NOSPC) => "fs.inotify.max_user_watches",
            Some(Errno::MFILE) => "fs.inotify.max_user_instances, or the agent's own limit of open files",
            _ => {
                tracing::debug!(target: "probe", check = &**check, "changes are not followed, polls go on: {error}");
                return;
            }
        };
        if !self.0.said.swap(true, Ordering::Relaxed) {
            tracing::warn!(target: "probe", "changes of files are noticed by polls only, for the system's limit is reached ({error}); raise {limit}");
        }
    }
}

/// The watching of one check, until it is dropped.
struct Membership {
    id: u64,
    name: Name,
    changes: Changes,
    table: Arc<Mutex<Table>>,
}

impl Membership {
    fn new(table: &Arc<Mutex<Table>>, name: Name, changes: Changes, bell: Arc<Notify>) -> Self {
        let id = locked(table).join(Follower { name: Arc::clone(&name), changes: changes.clone(), bell });
        Self { id, name, changes, table: Arc::clone(table) }
    }

    fn tell(&self) {
        self.changes.tell(&self.name);
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        locked(&self.table).leave(self.id);
    }
}

fn locked(table: &Mutex<Table>) -> MutexGuard<'_, Table> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is watched now.
struct Watched {
    places: Vec<Place>,
    /// Why that is not all.
    trouble: Option<io::Error>,
}

impl Watched {
    fn not(trouble: io::Error) -> Self {
        Self { places: Vec::new(), trouble: Some(trouble) }
    }
}

/// Watches where `paths` lead, until two looks in a row agree: what came into being meanwhile is not missed. Blocks.
fn watch(descriptor: &Arc<OwnedFd>, table: &Mutex<Table>, id: u64, paths: &[PathBuf]) -> Watched {
    let look = || paths.iter().flat_map(|path| places::of(path)).collect::<Vec<Place>>();
    let mut wanted = look();
    let mut rounds = 0;
    loop {
        rounds += 1;
        let before = locked(table).removals();
        let (mut watched, mut trouble) = (Vec::with_capacity(wanted.len()), None);
        for place in &wanted {
            match inotify::add_watch(&**descriptor, &place.directory, WATCHED) {
                Ok(number) => watched.push((number, place.clone())),
                // It went away since: the next look finds out.
                Err(Errno::NOENT | Errno::NOTDIR) => {}
                Err(error) => trouble = Some(error.into()),
            }
        }
        let (numbers, places): (Vec<i32>, Vec<Place>) = watched.into_iter().unzip();
        let entries = numbers.into_iter().zip(places.iter().map(|place| place.name.clone())).collect();
        let settled = locked(table).watch(id, entries, descriptor, before);
        let again = look();
        if (settled && again == wanted) || rounds == ROUNDS {
            return Watched { places, trouble };
        }
        wanted = again;
    }
}

/// Reads events for ever and tells who is concerned.
async fn read(descriptor: AsyncFd<Arc<OwnedFd>>, table: Arc<Mutex<Table>>) {
    loop {
        let Ok(mut ready) = descriptor.readable().await else {
            return;
        };
        let pause = match drain(descriptor.get_ref(), &table) {
            Ok(Drained::Empty) => {
                ready.clear_ready();
                PAUSE
            }
            Ok(Drained::More) => PAUSE,
            Ok(Drained::Overflowed) => PAUSE_AFTER_OVERFLOW,
            Err(error) => {
                tracing::warn!(target: "probe", "changes of files are noticed by polls only from now on: {error}");
                return;
            }
        };
        drop(ready);
        tokio::time::sleep(pause).await;
    }
}

/// What is left after a draught.
enum Drained {
    /// Nothing.
    Empty,
    /// Perhaps something.
    More,
    /// Events were lost.
    Overflowed,
}

/// One draught of events.
fn drain(descriptor: &OwnedFd, table: &Mutex<Table>) -> Result<Drained, Errno> {
    let mut buffer = [MaybeUninit::uninit(); BUFFER];
    let mut reader = inotify::Reader::new(descriptor, &mut buffer);
    let mut table = locked(table);
    for _ in 0..DRAUGHT {
        match reader.next() {
            Ok(event) if event.events().contains(ReadFlags::QUEUE_OVERFLOW) => {
                table.overflow();
                return Ok(Drained::Overflowed);
            }
            Ok(event) if event.events().intersects(OF_DIRECTORY) => table.moved(event.wd(), event.events().contains(ReadFlags::IGNORED)),
            Ok(event) => {
                if let Some(name) = event.file_name() {
                    table.happened(event.wd(), name.to_bytes(), event.events().intersects(STRUCTURAL));
                }
            }
            Err(Errno::AGAIN) => return Ok(Drained::Empty),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Drained::More)
}

#[cfg(test)]
mod tests;
