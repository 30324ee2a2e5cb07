//! The system calls under the ledger, behind the one trait of the house, so that tests can put faults between them.
//!
//! All names are relative to the state directory, which is opened once: a directory that is moved or replaced while the agent runs
//! cannot split its state. Files are 0600 and never reached through a link (open(2) O_NOFOLLOW), and no child inherits them (O_CLOEXEC).

use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// The lock file. It is never removed, for a removed lock can be held twice.
pub const LOCK: &str = "ledger.lock";

/// Names that [`Storage::list`] gives at most; a directory with more is not ours.
const LIST_LIMIT: usize = 1024;

/// Why there is no lock.
#[derive(Debug)]
pub enum LockError {
    /// Another agent has it; its process id, if the file says so.
    Held(Option<u32>),
    /// The lock cannot be asked for.
    Io(io::Error),
}

/// A directory that can replace a file atomically and durably.
pub trait Storage: Send + 'static {
    /// An open file that is being written.
    type File: Send;

    /// The directory, for messages.
    fn path(&self) -> &Path;
    /// Makes the directory (0700) if it is missing, and opens it. Does nothing the second time.
    fn prepare(&mut self) -> io::Result<()>;
    /// Takes the lock until this value is dropped.
    fn lock(&mut self) -> Result<(), LockError>;
    /// The names in the directory that begin with `ledger.`, in any order.
    fn list(&mut self) -> io::Result<Vec<String>>;
    /// The first `limit` bytes of a regular file.
    fn read(&mut self, name: &str, limit: usize) -> io::Result<Vec<u8>>;
    /// A new, empty file; an error if the name is taken.
    fn create(&mut self, name: &str) -> io::Result<Self::File>;
    /// Writes some of `bytes` and says how many.
    fn write(&mut self, file: &mut Self::File, bytes: &[u8]) -> io::Result<usize>;
    /// Makes the file's contents durable, fsync(2).
    fn sync(&mut self, file: &mut Self::File) -> io::Result<()>;
    /// Renames, replacing `to`.
    fn rename(&mut self, from: &str, to: &str) -> io::Result<()>;
    /// Renames; an error if `to` is there.
    fn rename_new(&mut self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    fn remove(&mut self, name: &str) -> io::Result<()>;
    /// Makes creations, renames and removals durable.
    fn sync_dir(&mut self) -> io::Result<()>;
}

/// A real directory.
#[derive(Debug)]
pub struct Disk {
    path: PathBuf,
    dir: Option<OwnedFd>,
    lock: Option<File>,
}

impl Disk {
    /// The directory `path`, not touched yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), dir: None, lock: None }
    }

    fn dir(&self) -> io::Result<BorrowedFd<'_>> {
        self.dir.as_ref().map(std::os::fd::AsFd::as_fd).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    fn open(&self, name: &str, flags: OFlags) -> io::Result<File> {
        let fd = rustix::fs::openat(self.dir()?, name, flags | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::RUSR | Mode::WUSR)?;
        Ok(File::from(fd))
    }

    /// The lock file, opened for reading only where nothing can be written: flock(2) does not mind.
    fn open_lock(&self) -> io::Result<File> {
        match self.open(LOCK, OFlags::RDWR | OFlags::CREATE | OFlags::NONBLOCK) {
            Err(error) if is_errno(&error, Errno::ROFS) || is_errno(&error, Errno::ACCESS) => {
                self.open(LOCK, OFlags::RDONLY | OFlags::NONBLOCK).map_err(|_| error)
            }
            other => other,
        }
    }
}

fn is_errno(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno.raw_os_error())
}

fn holder(lock: &mut File) -> Option<u32> {
    let mut text = String::new();
    lock.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

impl Drop for Disk {
    /// Closing is not enough: a child that another thread is just starting has a copy of the descriptor until it executes its program.
    fn drop(&mut self) {
        if let Some(lock) = &self.lock {
            let _ = rustix::fs::flock(lock, FlockOperation::NonBlockingUnlock);
        }
    }
}

impl Storage for Disk {
    type File = File;

    fn path(&self) -> &Path {
        &self.path
    }

    fn prepare(&mut self) -> io::Result<()> {
        if self.dir.is_some() {
            return Ok(());
        }
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.path)?;
        // The directory itself may be a link: systemd's DynamicUser= makes it one.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        self.dir = Some(rustix::fs::open(&self.path, flags, Mode::empty())?);
        Ok(())
    }

    fn lock(&mut self) -> Result<(), LockError> {
        if self.lock.is_some() {
            return Ok(());
        }
        let mut file = self.open_lock().map_err(LockError::Io)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(LockError::Held(holder(&mut file))),
            Err(error) => return Err(LockError::Io(error.into())),
        }
        // The number only helps people; a full or read-only disk must not cost the lock.
        let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        self.lock = Some(file);
        Ok(())
    }

    fn list(&mut self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(self.dir()?)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy();
            if name.starts_with("ledger.") {
                names.push(name.into_owned());
            }
            if names.len() >= LIST_LIMIT {
                break;
            }
        }
        Ok(names)
    }

    fn read(&mut self, name: &str, limit: usize) -> io::Result<Vec<u8>> {
        // O_NONBLOCK: a FIFO put in the way must not hold us up.
        let file = self.open(name, OFlags::RDONLY | OFlags::NONBLOCK)?;
        if FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode) != FileType::RegularFile {
            return Err(io::Error::other("not a regular file"));
        }
        let mut bytes = Vec::new();
        file.take(u64::try_from(limit).unwrap_or(u64::MAX)).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn create(&mut self, name: &str) -> io::Result<File> {
        self.open(name, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL)
    }

    fn write(&mut self, file: &mut File, bytes: &[u8]) -> io::Result<usize> {
        file.write(bytes)
    }

    fn sync(&mut self, file: &mut File) -> io::Result<()> {
        file.sync_all()
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let dir = self.dir()?;
        Ok(rustix::fs::renameat(dir, from, dir, to)?)
    }

    fn rename_new(&mut self, from: &str, to: &str) -> io::Result<()> {
        let dir = self.dir()?;
        match rustix::fs::renameat_with(dir, from, dir, to, RenameFlags::NOREPLACE) {
            // Some file systems do not know the flag. The lock keeps other agents out, so looking first is enough.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => match rustix::fs::statat(dir, to, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(_) => Err(io::Error::from(io::ErrorKind::AlreadyExists)),
                Err(Errno::NOENT) => Ok(rustix::fs::renameat(dir, from, dir, to)?),
                Err(error) => Err(error.into()),
            },
            other => Ok(other?),
        }
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(self.dir()?, name, AtFlags::empty())?)
    }

    fn sync_dir(&mut self) -> io::Result<()> {
        match rustix::fs::fsync(self.dir()?) {
            // fsync(2): "does not support synchronization". Some network and FUSE file systems say so of directories; nothing more
            // can be done there, and to call it a failure would be memory mode for ever.
            Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok(()),
            other => Ok(other?),
        }
    }
}
