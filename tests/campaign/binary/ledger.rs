//! The state directory as the disk sees it: when the ledger changes, which versions there were, and what a power loss may leave of them.
//!
//! What is replaced by a synced temporary file and a rename is, after a power loss, the old document or the new one, never a mixture; once the
//! directory is synced too, it is the new one. So a loss may bring back the version before, unless something has been sent on the strength
//! of the present one.

use ros_signal_agent::retry::Random;
use rustix::fs::inotify;
use serde_json::Value;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, Mutex};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What can be seen of a durable write from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The temporary file is made.
    Created,
    /// Bytes are in it.
    Written,
    /// It has taken the ledger's place.
    Renamed,
}

/// Versions of the ledger kept in mind.
const VERSIONS: usize = 64;

/// Watches a state directory until it is dropped.
pub(super) struct Watcher {
    steps: watch::Receiver<[u32; 3]>,
    versions: Arc<Mutex<Vec<Value>>>,
    _watching: JoinSet<()>,
}

impl Watcher {
    pub(super) fn of(state: &Path) -> Self {
        let fd = inotify::init(inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC).unwrap();
        #[expect(deprecated, reason = "fine for a descriptor that nobody exchanges; what replaces it is unsafe")]
        let readable = AsyncFd::with_interest(fd, Interest::READABLE).unwrap();
        let flags = inotify::WatchFlags::CREATE | inotify::WatchFlags::MODIFY | inotify::WatchFlags::MOVED_TO;
        inotify::add_watch(readable.get_ref(), state, flags).unwrap();
        let (sender, steps) = watch::channel([0; 3]);
        let versions = Arc::new(Mutex::new(Vec::new()));
        let mut watching = JoinSet::new();
        watching.spawn(follow(readable, state.join("ledger.json"), sender, Arc::clone(&versions)));
        Self { steps, versions, _watching: watching }
    }

    /// Waits until `step` has been taken `times` more often than now.
    pub(super) async fn next(&self, step: Step, times: u32) {
        let mut steps = self.steps.clone();
        let goal = steps.borrow()[step as usize] + times;
        let _ = steps.wait_for(|counts| counts[step as usize] >= goal).await;
    }

    /// The version before `generation`, if it was seen.
    fn before(&self, generation: u64) -> Option<Value> {
        let versions = self.versions.lock().unwrap();
        versions.iter().rev().find(|document| document["generation"].as_u64() == generation.checked_sub(1)).cloned()
    }

    /// What the host finds in `state` after its power came back.
    pub(super) fn lose_power(&self, state: &Path, something_was_sent: bool, random: &mut Random) {
        let path = state.join("ledger.json");
        if let Some(present) = read(&path) {
            let before = self.before(present["generation"].as_u64().unwrap_or(0));
            let may_be_lost = |before: &Value| !something_was_sent || sent_by(before) == sent_by(&present);
            if let Some(before) = before.filter(|before| may_be_lost(before) && random.draw().is_multiple_of(2)) {
                std::fs::write(&path, serde_json::to_vec_pretty(&before).unwrap()).unwrap();
            }
        }
        // Nobody has promised anything about the next one: it is gone, or empty, or half of it is there.
        let temporary = state.join("ledger.tmp");
        if let Ok(bytes) = std::fs::read(&temporary) {
            let kept = usize::try_from(random.draw() % 3).unwrap() * bytes.len() / 3;
            std::fs::write(&temporary, &bytes[..kept]).unwrap();
        } else if random.draw().is_multiple_of(3) {
            std::fs::write(&temporary, b"{\"format\": 1, \"gen").unwrap();
        }
    }
}

async fn follow(fd: AsyncFd<OwnedFd>, ledger: std::path::PathBuf, steps: watch::Sender<[u32; 3]>, versions: Arc<Mutex<Vec<Value>>>) {
    let mut buffer = [MaybeUninit::uninit(); 4096];
    while let Ok(mut ready) = fd.readable().await {
        let mut reader = inotify::Reader::new(fd.get_ref(), &mut buffer);
        while let Ok(event) = reader.next() {
            let flags = event.events();
            let name = event.file_name().map(|name| name.to_bytes().to_vec()).unwrap_or_default();
            let step = match name.as_slice() {
                b"ledger.tmp" if flags.contains(inotify::ReadFlags::CREATE) => Step::Created,
                b"ledger.tmp" if flags.contains(inotify::ReadFlags::MODIFY) => Step::Written,
                b"ledger.json" if flags.contains(inotify::ReadFlags::MOVED_TO) => Step::Renamed,
                _ => continue,
            };
            if step == Step::Renamed
                && let Some(document) = read(&ledger)
            {
                let mut versions = versions.lock().unwrap();
                versions.push(document);
                if versions.len() > VERSIONS {
                    versions.remove(0);
                }
            }
            steps.send_modify(|counts| counts[step as usize] += 1);
        }
        ready.clear_ready();
    }
}

pub(super) fn read(path: &Path) -> Option<Value> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

/// The one round of the case.
pub(super) fn round(document: &Value) -> &Value {
    &document["rounds"][0]
}

/// All of a document on whose strength something is sent.
fn sent_by(document: &Value) -> (&Value, &Value) {
    (&round(document)["intent"], &round(document)["series"])
}

/// Has the ledger written `by_ms` later (or earlier) than it was, as the system clock says: the clock was that wrong when it was written.
pub(super) fn shift_clock(path: &Path, by_ms: i64) {
    let Some(mut document) = read(path) else { return };
    shift(&mut document, by_ms);
    std::fs::write(path, serde_json::to_vec_pretty(&document).unwrap()).unwrap();
}

fn shift(value: &mut Value, by_ms: i64) {
    match value {
        Value::Object(members) => {
            for (name, member) in members.iter_mut() {
                match member.as_i64() {
                    Some(at) if name == "wall_ms" || name == "at_ms" => *member = Value::from((at + by_ms).max(0)),
                    _ => shift(member, by_ms),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| shift(item, by_ms)),
        _ => {}
    }
}
