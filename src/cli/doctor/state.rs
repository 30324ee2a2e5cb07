//! The state directory and the ledger in it, only read: nothing is made, and no lock is taken, which a starting agent might miss.

use super::apart::apart;
use super::reader::Reader;
use super::step::Step;
use crate::cli::output::count;
use crate::ledger::{ASIDE_LIMIT, SIZE_LIMIT, storage};
use crate::probe::measured::bytes;
use crate::signal::LedgerDocument;
use rustix::fs::{OFlags, StatVfsMountFlags};
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(3);
/// The ledger and the next one, with room to spare.
const SCARCE: u64 = 16 * 1024 * 1024;
const TOO_SCARCE: u64 = 2 * SIZE_LIMIT as u64;

pub(super) const DIRECTORY: &str = "state.directory";
pub(super) const SPACE: &str = "state.space";
pub(super) const LEDGER: &str = "state.ledger";
/// Only where the ledger is another machine's.
pub(super) const OWNER: &str = "state.owner";

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) steps: Vec<Step>,
    /// The process that holds the lock.
    pub(super) holder: Option<u32>,
    /// Whose ledger it is.
    pub(super) instance_id: Option<String>,
    /// The owner of the directory.
    pub(super) owner: Option<Reader>,
}

/// Looks at the directory.
pub(super) async fn look(directory: &Path) -> Found {
    let (shown, owned) = (directory.display().to_string(), directory.to_owned());
    apart(TIMEOUT, move || look_now(&owned)).await.unwrap_or_else(|why| {
        let step = Step::failed(DIRECTORY, format!("{shown}: {why}"))
            .because("the disk or the file server under it hangs")
            .remedy("dmesg; give state_dir under [agent] a directory on a disk that works");
        Found { steps: vec![step, Step::depends(SPACE, DIRECTORY), Step::depends(LEDGER, DIRECTORY)], ..Found::default() }
    })
}

fn look_now(directory: &Path) -> Found {
    let shown = directory.display();
    let about = match std::fs::metadata(directory) {
        Ok(about) => about,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let step = Step::ok(DIRECTORY, format!("{shown} is not there yet; the agent, or its unit, makes it at its first start"));
            return Found { steps: vec![step, Step::depends(SPACE, DIRECTORY), Step::depends(LEDGER, DIRECTORY)], ..Found::default() };
        }
        Err(error) => {
            let step = Step::failed(DIRECTORY, format!("{shown}: {error}"));
            return Found { steps: vec![step, Step::depends(SPACE, DIRECTORY), Step::depends(LEDGER, DIRECTORY)], ..Found::default() };
        }
    };
    let owner = Reader::owner_of(directory);
    let holder = holder(directory);
    // A running agent says who needs to write; else whoever owns it.
    let user = holder.and_then(Reader::of_process).or_else(|| owner.clone());
    let (ledger, instance_id) = ledger(directory);
    let steps = vec![of_directory(directory, &about, user.as_ref()), of_space(directory), ledger];
    Found { steps, holder, instance_id, owner }
}

fn of_directory(directory: &Path, about: &std::fs::Metadata, user: Option<&Reader>) -> Step {
    let shown = directory.display();
    let seen = format!("{shown} belongs to user {}, mode {:04o}", about.uid(), about.mode() & 0o7777);
    if !about.is_dir() {
        return Step::failed(DIRECTORY, format!("{shown} is not a directory"))
            .remedy("move it away, or give another state_dir under [agent]");
    }
    let read_only = rustix::fs::statvfs(directory).is_ok_and(|seen| seen.f_flag.contains(StatVfsMountFlags::RDONLY));
    if read_only {
        return Step::failed(DIRECTORY, seen)
            .because("its file system is mounted read-only")
            .remedy("after disk errors the kernel does that by itself: dmesg; in a unit it must be its StateDirectory=");
    }
    if let Some(user) = user
        && let Some(why) = user.cannot_write(directory)
    {
        return Step::failed(DIRECTORY, seen)
            .because(format!("user {} ({}) may not write there: {why}", user.uid, user.known_by))
            .remedy(format!("chown -R {} {shown}", user.uid));
    }
    if about.mode() & 0o022 != 0 {
        let cause = "others may write there, and so keep the agent silent, or make it speak";
        return Step::warning(DIRECTORY, seen).because(cause).remedy(format!("chmod go-w {shown}"));
    }
    Step::ok(DIRECTORY, seen)
}

fn of_space(directory: &Path) -> Step {
    let seen = match rustix::fs::statvfs(directory) {
        Ok(seen) => seen,
        Err(error) => return Step::failed(SPACE, format!("the file system of {} cannot be asked: {error}", directory.display())),
    };
    let unit = if seen.f_frsize == 0 { seen.f_bsize } else { seen.f_frsize };
    judge_space(seen.f_bavail.saturating_mul(unit), (seen.f_files > 0).then_some(seen.f_ffree))
}

fn judge_space(free: u64, inodes: Option<u64>) -> Step {
    let told = format!("{} free", bytes(free as f64));
    let remedy = "free some space on this file system; without it nothing the agent decides is durable";
    match inodes {
        Some(inodes) if inodes < 2 => {
            Step::failed(SPACE, format!("{told}, but {inodes} inodes")).because("there are no inodes left").remedy(remedy)
        }
        _ if free < TOO_SCARCE => Step::failed(SPACE, told).because("the ledger cannot be replaced").remedy(remedy),
        _ if free < SCARCE => Step::warning(SPACE, told).because("it will not be enough for long").remedy(remedy),
        _ => Step::ok(SPACE, told),
    }
}

fn ledger(directory: &Path) -> (Step, Option<String>) {
    let path = directory.join("ledger.json");
    let shown = path.display();
    let aside = set_aside(directory);
    let kept = if aside == 0 { String::new() } else { format!(", {} set aside", count(aside, "other")) };
    let text = match read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return (Step::ok(LEDGER, format!("none yet{kept}")), None),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            return (Step::skipped(LEDGER, format!("{shown} is not for this user; root and the agent's own user may look")), None);
        }
        Err(error) => return (Step::failed(LEDGER, format!("{shown}: {error}")), None),
    };
    let document: LedgerDocument = match serde_json::from_slice(&text) {
        Ok(document) => document,
        Err(error) => {
            let step = Step::warning(LEDGER, format!("{shown} is not a ledger that could be read: {error}"))
                .because("it was damaged, or written by a newer agent")
                .remedy("nothing: the agent sets it aside and begins anew; look at it before if you want to know why");
            return (step, None);
        }
    };
    let owner = document.instance_id.as_deref().map_or("of nobody yet".to_owned(), |id| format!("of {}", crate::transport::clean(id)));
    let seen = format!("generation {}, {owner}, {}{kept}", document.generation, count(document.rounds.len(), "round"));
    let step = match aside >= ASIDE_LIMIT {
        true => Step::failed(LEDGER, seen)
            .because(format!("{ASIDE_LIMIT} ledgers are set aside, so the next one stays and nothing is written"))
            .remedy(format!("look at the files ledger.*-N in {}, and move them away", directory.display())),
        false => Step::ok(LEDGER, seen),
    };
    (step, document.instance_id)
}

/// At most [`SIZE_LIMIT`] bytes of a regular file; never blocks on a FIFO, never follows a link.
fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let flags = (OFlags::NONBLOCK | OFlags::NOFOLLOW).bits().cast_signed();
    let file = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(std::io::Error::other("it is not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(SIZE_LIMIT as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn set_aside(directory: &Path) -> usize {
    let names = std::fs::read_dir(directory).into_iter().flatten().flatten().take(1024).map(|entry| entry.file_name());
    let is_aside = |name: &str| ["corrupt-", "format-", "instance-", "unread-"].iter().any(|why| name.starts_with(why));
    names.filter(|name| name.to_str().and_then(|name| name.strip_prefix("ledger.")).is_some_and(is_aside)).count()
}

/// Who holds the lock, by `/proc/locks` (proc_locks(5)): asking by flock(2) would take it for a moment.
fn holder(directory: &Path) -> Option<u32> {
    let path = directory.join(storage::LOCK);
    let about = std::fs::metadata(&path).ok()?;
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    let written = read(&path).ok().and_then(|text| String::from_utf8(text).ok()?.trim().parse().ok());
    holder_by(&locks, about.ino(), written)
}

/// `1: FLOCK  ADVISORY  WRITE 1234 fd:01:5678 0 EOF`. Inodes of different devices may be equal, so the process must be the one that
/// wrote its number into the file; where that cannot be read, the lock alone has to do.
fn holder_by(locks: &str, inode: u64, written: Option<u32>) -> Option<u32> {
    locks.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let at = words.iter().position(|word| *word == "FLOCK")?;
        let pid: u32 = words.get(at + 3)?.parse().ok()?;
        let found: u64 = words.get(at + 4)?.rsplit(':').next()?.parse().ok()?;
        (found == inode && written.is_none_or(|written| written == pid)).then_some(pid)
    })
}

#[cfg(test)]
mod tests {
    use super::super::step::Verdict;
    use super::*;

    #[test]
    fn the_holder_of_the_lock_is_found_without_taking_it() {
        let locks = "1: POSIX  ADVISORY  WRITE 11 fd:01:77 0 EOF\n2: FLOCK  ADVISORY  WRITE 12 fd:01:78 0 EOF\n2: -> FLOCK  ADVISORY  WRITE 13 fd:01:78 0 EOF\n";
        assert_eq!(holder_by(locks, 78, Some(12)), Some(12));
        assert_eq!(holder_by(locks, 78, None), Some(12));
        assert_eq!(holder_by(locks, 78, Some(99)), None, "another file with this number on another device");
        assert_eq!(holder_by(locks, 77, Some(11)), None, "not a lock of flock(2)");
    }

    #[test]
    fn a_lock_that_is_held_is_seen_and_one_that_is_not_is_not() {
        use crate::ledger::storage::{Disk, Storage as _};
        let home = tempfile::tempdir().unwrap();
        assert_eq!(holder(home.path()), None);
        let mut disk = Disk::new(home.path());
        disk.prepare().unwrap();
        disk.lock().unwrap();
        assert_eq!(holder(home.path()), Some(std::process::id()));
        drop(disk);
        assert_eq!(holder(home.path()), None);
    }

    #[test]
    fn little_room_is_told_before_there_is_none() {
        assert_eq!(judge_space(1 << 30, Some(1000)).verdict(), Verdict::Ok);
        assert_eq!(judge_space(1 << 30, None).verdict(), Verdict::Ok);
        assert_eq!(judge_space(8 << 20, None).verdict(), Verdict::Warning);
        assert_eq!(judge_space(1 << 20, None).verdict(), Verdict::Failed);
        assert_eq!(judge_space(1 << 30, Some(1)).verdict(), Verdict::Failed);
    }

    #[test]
    fn a_ledger_is_told_and_a_damaged_one_is_no_obstacle() {
        let home = tempfile::tempdir().unwrap();
        assert_eq!(ledger(home.path()).0.seen(), "none yet");
        std::fs::write(home.path().join("ledger.json"), "{\"format\":1,\"generation\":3,\"instance_id\":\"i-1\"}").unwrap();
        std::fs::write(home.path().join("ledger.corrupt-1"), "").unwrap();
        let (step, instance) = ledger(home.path());
        assert_eq!((step.seen(), instance.as_deref()), ("generation 3, of i-1, 0 rounds, 1 other set aside", Some("i-1")));
        std::fs::write(home.path().join("ledger.json"), "{").unwrap();
        assert_eq!(ledger(home.path()).0.verdict(), Verdict::Warning);
    }

    #[test]
    fn sixteen_ledgers_set_aside_are_too_many() {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("ledger.json"), "{\"format\":1,\"generation\":3}").unwrap();
        (0..16).for_each(|number| std::fs::write(home.path().join(format!("ledger.unread-{number}")), "").unwrap());
        assert_eq!(ledger(home.path()).0.verdict(), Verdict::Failed);
    }
}
