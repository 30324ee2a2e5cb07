//! The directory of a spool, by its descriptor: what lies in it, and what becomes of it. Blocks where a file system hangs.
//!
//! Nothing is followed and nothing but regular files is opened (a FIFO or a device would be touched by that), without blocking. Who may
//! write in the directory can put another file in the place of one between a look and an open; what is done to a file is done only while
//! it is the one that was seen, and at most a hint is lost, which the polls of the stack make good.

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, RenameFlags, Stat};
use rustix::io::Errno;
use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

/// Files of one look that nobody told of.
pub(super) const LISTED: usize = 4096;
/// Names of one look, those that are passed over included.
const NAMES: usize = 64 * 1024;
/// Where files go that are no events.
pub(super) const REFUSED: &str = "refused";
/// So many of them are kept, the oldest go.
const KEPT: usize = 64;

/// A file as it was seen: the same as long as nobody has written, replaced or touched it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Print {
    modified: i128,
    changed: i128,
    device: u64,
    inode: u64,
    size: i64,
}

impl Print {
    /// Of a regular file; none: it is something else.
    fn of(stat: &Stat) -> Option<Self> {
        let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        let time = |seconds: i128, nanos: i128| seconds * 1_000_000_000 + nanos;
        is_file.then(|| Self {
            modified: time(stat.st_mtime.into(), stat.st_mtime_nsec.into()),
            changed: time(stat.st_ctime.into(), stat.st_ctime_nsec.into()),
            device: stat.st_dev,
            inode: stat.st_ino,
            size: stat.st_size,
        })
    }

    pub(super) fn is_larger_than(&self, bytes: usize) -> bool {
        usize::try_from(self.size).map_or(true, |size| size > bytes)
    }

    /// Nanoseconds since 1970.
    pub(super) fn modified(&self) -> i128 {
        self.modified
    }
}

/// Whether a file of this name may be an event: `mktemp` and others write under names that begin with a dot or end like this.
pub(super) fn is_looked_at(name: &OsStr) -> bool {
    let name = name.as_bytes();
    !name.is_empty() && !name.starts_with(b".") && !name.ends_with(b".tmp") && !name.ends_with(b".part")
}

/// An open directory.
#[derive(Debug)]
pub(super) struct Directory(OwnedFd);

impl Directory {
    /// Opens the directory that `path` leads to.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        Ok(Self(rustix::fs::open(path, flags, Mode::empty())?))
    }

    /// Whether everybody may put files into it. The sticky bit does not matter: that is about taking away.
    pub(super) fn is_open_to_all(&self) -> io::Result<bool> {
        Ok(Mode::from_raw_mode(rustix::fs::fstat(&self.0)?.st_mode).contains(Mode::WOTH))
    }

    /// The files that may be events, those changed longest ago first: before all others those that the kernel has `told` of, which in a
    /// directory of very many may lie beyond what is listed; of the others at most [`LISTED`].
    pub(super) fn files(&self, told: &HashSet<OsString>) -> io::Result<Vec<(OsString, Print)>> {
        let mut files = Vec::new();
        for name in told {
            files.extend(self.print(name)?.map(|print| (name.clone(), print)));
        }
        files.sort_by_key(|(_, print)| print.modified);
        files.extend(self.listed(NAMES, |name| is_looked_at(name) && !told.contains(name), |print| print.modified)?);
        Ok(files)
    }

    fn listed(&self, names: usize, wanted: impl Fn(&OsStr) -> bool, age: impl Fn(&Print) -> i128) -> io::Result<Vec<(OsString, Print)>> {
        let mut files = Vec::new();
        for entry in Dir::read_from(&self.0)?.take(names) {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if !wanted(name) {
                continue;
            }
            if let Some(print) = self.print(name)? {
                files.push((name.to_owned(), print));
                if files.len() >= LISTED {
                    break;
                }
            }
        }
        files.sort_by_key(|(_, print)| age(print));
        Ok(files)
    }

    /// The regular file called `name`, if there is one.
    fn print(&self, name: &OsStr) -> io::Result<Option<Print>> {
        match rustix::fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Print::of(&stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The contents of the file, `limit` bytes and one at most; none: it is not the one that was seen any more.
    pub(super) fn read(&self, name: &OsStr, seen: &Print, limit: usize) -> io::Result<Option<Vec<u8>>> {
        if self.print(name)? != Some(*seen) {
            return Ok(None);
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&self.0, name, flags, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT | Errno::LOOP) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if Print::of(&rustix::fs::fstat(&file)?) != Some(*seen) {
            return Ok(None);
        }
        let mut body = Vec::new();
        File::from(file).take(limit as u64 + 1).read_to_end(&mut body)?;
        Ok(Some(body))
    }

    /// Removes the file, if it is still the one that was seen.
    pub(super) fn remove(&self, name: &OsStr, seen: &Print) -> io::Result<()> {
        if self.print(name)? != Some(*seen) {
            return Ok(());
        }
        gone(rustix::fs::unlinkat(&self.0, name, AtFlags::empty()))
    }

    /// Puts the file into [`REFUSED`], if it is still the one that was seen; where there is another of its name, called by its inode.
    pub(super) fn set_aside(&self, name: &OsStr, seen: &Print) -> io::Result<()> {
        if self.print(name)? != Some(*seen) {
            return Ok(());
        }
        match rustix::fs::mkdirat(&self.0, REFUSED, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let refused = Self(rustix::fs::openat(&self.0, REFUSED, flags, Mode::empty())?);
        refused.make_room()?;
        match rustix::fs::renameat_with(&self.0, name, &refused.0, name, RenameFlags::NOREPLACE) {
            // INVAL: file systems that cannot tell (NFS).
            Err(Errno::EXIST | Errno::INVAL) => {
                let other = OsString::from_vec(format!("inode-{}", seen.inode).into_bytes());
                gone(rustix::fs::renameat(&self.0, name, &refused.0, other))
            }
            renamed => gone(renamed),
        }
    }

    /// Removes the oldest files until there is room for one more.
    fn make_room(&self) -> io::Result<()> {
        let files = self.listed(NAMES, |name| name != "." && name != "..", |print| print.changed)?;
        let too_many = (files.len() + 1).saturating_sub(KEPT);
        for (name, _) in files.iter().take(too_many) {
            gone(rustix::fs::unlinkat(&self.0, name, AtFlags::empty()))?;
        }
        Ok(())
    }
}

/// Somebody else took it away: as good.
fn gone(result: rustix::io::Result<()>) -> io::Result<()> {
    match result {
        Err(Errno::NOENT) => Ok(()),
        other => Ok(other?),
    }
}
