//! Forgetting an instance, before an image is made of its disk: what the agent keeps in its state directory goes, and nothing else.
//!
//! Under the lock, so that no agent writes meanwhile; the lock file itself stays, emptied, because a removed lock can be held twice. Names
//! are those of this version and of earlier ones; whatever else lies in the directory is somebody else's.

use super::storage::LOCK;
use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// What the ledger leaves, besides the lock: these, and files set aside.
const LEDGER: [&str; 2] = ["ledger.json", "ledger.tmp"];
const ASIDE: [&str; 4] = ["ledger.corrupt-", "ledger.format-", "ledger.instance-", "ledger.unread-"];

/// Why nothing was forgotten, or not all.
#[derive(Debug, thiserror::Error)]
pub enum ResetError {
    /// An agent runs.
    #[error(
        "an agent{} holds {}, so nothing is removed\nhint: systemctl stop ros-signal-agent",
        .pid.map_or_else(String::new, |pid| format!(" (pid {pid})")), path.display()
    )]
    Held {
        /// Its process id, if the lock file says so.
        pid: Option<u32>,
        /// The lock.
        path: PathBuf,
    },
    /// Not root, and not the owner.
    #[error("{} belongs to user {owner}, and this is user {user}\nhint: do it as root, or as the agent's user", path.display())]
    NotOwner {
        /// The state directory.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who asks.
        user: u32,
    },
    /// The system says no.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// What failed, such as `remove`.
        doing: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Whether to do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mind {
    /// Remove.
    Remove,
    /// Only say what would be removed.
    Look,
}

/// Removes what is ours in `dir` and gives its names. `others` says which files are ours that the ledger does not know. Below `root`, if
/// one is given, no link leads out of it. Blocks.
///
/// # Errors
/// See [`ResetError`]. A directory that is not there holds nothing: that is no error.
pub fn reset(dir: &Path, root: Option<&Path>, mind: Mind, others: impl Fn(&str) -> bool) -> Result<Vec<String>, ResetError> {
    let io = |doing, path: PathBuf| move |error: Errno| ResetError::Io { doing, path, source: error.into() };
    let Some(opened) = open(dir, root).map_err(io("open", dir.to_owned()))? else { return Ok(Vec::new()) };
    let owner = rustix::fs::fstat(&opened).map_err(io("look at", dir.to_owned()))?.st_uid;
    let user = rustix::process::geteuid();
    if !user.is_root() && user.as_raw() != owner {
        return Err(ResetError::NotOwner { path: dir.to_owned(), owner, user: user.as_raw() });
    }
    let lock = lock(&opened, dir)?;
    let mut names = names(&opened, |name| is_of_ledger(name) || others(name)).map_err(io("list", dir.to_owned()))?;
    names.sort();
    if mind == Mind::Look {
        return Ok(names);
    }
    for name in &names {
        rustix::fs::unlinkat(&opened, name.as_str(), AtFlags::empty()).map_err(io("remove", dir.join(name)))?;
    }
    if let Some(lock) = lock.as_ref().filter(|lock| is_own(lock, owner)) {
        // The process id in it means nothing any more.
        lock.set_len(0).map_err(|source| ResetError::Io { doing: "empty", path: dir.join(LOCK), source })?;
    }
    match rustix::fs::fsync(&opened) {
        // Some file systems do not sync directories; nothing more can be done there.
        Ok(()) | Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok(names),
        Err(error) => Err(io("sync", dir.to_owned())(error)),
    }
}

/// Root empties no file that the owner of the directory may have linked there, but could not write himself.
fn is_own(lock: &File, owner: u32) -> bool {
    rustix::fs::fstat(lock).is_ok_and(|stat| stat.st_uid == owner && stat.st_nlink == 1)
}

fn is_of_ledger(name: &str) -> bool {
    LEDGER.contains(&name) || ASIDE.iter().any(|prefix| name.starts_with(prefix))
}

/// The directory; none: there is none.
fn open(dir: &Path, root: Option<&Path>) -> Result<Option<OwnedFd>, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = match root {
        // The directory itself may be a link: systemd's DynamicUser= makes it one.
        None => rustix::fs::open(dir, flags, Mode::empty()),
        Some(root) => {
            let inside = dir.strip_prefix(root).unwrap_or(dir);
            let root = rustix::fs::open(root, flags, Mode::empty())?;
            rustix::fs::openat2(&root, inside, flags, Mode::empty(), ResolveFlags::IN_ROOT)
        }
    };
    match opened {
        Ok(opened) => Ok(Some(opened)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The lock, which is kept until it is dropped; none: no agent has ever run here.
fn lock(opened: &OwnedFd, dir: &Path) -> Result<Option<File>, ResetError> {
    let path = || dir.join(LOCK);
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let lock = match rustix::fs::openat(opened, LOCK, flags, Mode::empty()) {
        Ok(lock) => File::from(lock),
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(ResetError::Io { doing: "open", path: path(), source: error.into() }),
    };
    match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(lock)),
        Err(Errno::WOULDBLOCK) => {
            let mut text = String::new();
            let read = (&lock).take(32).read_to_string(&mut text);
            Err(ResetError::Held { pid: read.ok().and_then(|_| text.trim().parse().ok()), path: path() })
        }
        Err(error) => Err(ResetError::Io { doing: "lock", path: path(), source: error.into() }),
    }
}

/// However many files of others lie there. Folders are theirs whatever they are called, and all our names are text.
fn names(opened: &OwnedFd, is_ours: impl Fn(&str) -> bool) -> Result<Vec<String>, Errno> {
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(opened)? {
        let entry = entry?;
        let Some(name) = entry.file_name().to_str().ok().filter(|name| is_ours(name)) else { continue };
        let found = rustix::fs::statat(opened, name, AtFlags::SYMLINK_NOFOLLOW)?;
        if rustix::fs::FileType::from_raw_mode(found.st_mode) != rustix::fs::FileType::Directory {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_is_a_link_to_another_file_empties_nothing() {
        let home = tempfile::tempdir().unwrap();
        let (other, state) = (home.path().join("other"), home.path().join("state"));
        std::fs::create_dir(&state).unwrap();
        std::fs::write(&other, "of somebody else").unwrap();
        std::fs::hard_link(&other, state.join(LOCK)).unwrap();
        std::fs::write(state.join("ledger.json"), "{}").unwrap();
        assert_eq!(reset(&state, None, Mind::Remove, |_| false).unwrap(), ["ledger.json"]);
        assert_eq!(std::fs::read_to_string(other).unwrap(), "of somebody else");
    }
}
