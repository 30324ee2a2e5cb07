//! Names that became complete in one directory, as inotify(7) tells. A descriptor of its own, apart from that of the checks
//! (`probe/inotify`): those follow what a path leads to, this one what happens to names that nobody knows before.

use super::directory::{LISTED, is_looked_at};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A file was renamed in or closed after writing; the directory itself went elsewhere.
const WATCHED: WatchFlags = WatchFlags::CLOSE_WRITE
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR);
/// Bytes read at once: some hundred events.
const BUFFER: usize = 8 * 1024;
/// Most events of one draught.
const DRAUGHT: usize = 4096;
/// Between draughts in which nothing was of interest.
const PAUSE: std::time::Duration = std::time::Duration::from_millis(10);

/// The descriptor. Nothing is watched yet.
pub(super) struct Watch(AsyncFd<Arc<OwnedFd>>);

impl Watch {
    pub(super) fn new() -> io::Result<Self> {
        let descriptor = Arc::new(inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?);
        #[expect(
            deprecated,
            reason = "fine for a descriptor that nobody exchanges; what replaces it is unsafe, only because others may not be"
        )]
        let readable = AsyncFd::with_interest(descriptor, Interest::READABLE)?;
        Ok(Self(readable))
    }

    pub(super) fn descriptor(&self) -> Arc<OwnedFd> {
        Arc::clone(self.0.get_ref())
    }

    /// Waits until something happened that asks for a look; the names go into `complete`. Cancel-safe.
    pub(super) async fn tells(&self, complete: &mut HashSet<OsString>) {
        loop {
            let Ok(mut ready) = self.0.readable().await else {
                // No runtime any more; the looks by time go on.
                return std::future::pending().await;
            };
            if self.drain(complete) {
                return;
            }
            ready.clear_ready();
            drop(ready);
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Reads what the kernel has. Names that find no room in `complete` are found by looks. True if something asks for a look.
    pub(super) fn drain(&self, complete: &mut HashSet<OsString>) -> bool {
        let mut buffer = [MaybeUninit::uninit(); BUFFER];
        let mut reader = Reader::new(self.0.get_ref(), &mut buffer);
        let mut asks = false;
        for _ in 0..DRAUGHT {
            // Usually: nothing more.
            let Ok(event) = reader.next() else {
                return asks;
            };
            let name = event.file_name().map(|name| OsStr::from_bytes(name.to_bytes()));
            match name {
                Some(name) if is_looked_at(name) => {
                    asks = true;
                    if complete.len() < LISTED {
                        complete.insert(name.to_owned());
                    }
                }
                Some(_) => {}
                // That a watch was taken away we know.
                None => asks |= event.events() != ReadFlags::IGNORED,
            }
        }
        asks
    }
}

/// Watches `path`, and no more what was watched before if that is something else. None: it cannot be watched. Blocks.
pub(super) fn add(descriptor: &OwnedFd, path: &Path, before: Option<i32>) -> Option<i32> {
    let now = inotify::add_watch(descriptor, path, WATCHED).ok();
    if let Some(before) = before.filter(|before| now != Some(*before)) {
        // It may have ended by itself.
        let _ = inotify::remove_watch(descriptor, before);
    }
    now
}
