//! Opening, setting aside and replacing the ledger, step by step. The invariants are in the parent room.

use super::storage::{Disk, LOCK, LockError, Storage};
use super::{Error, WriteError};
use crate::signal::LedgerDocument;
use serde::Deserialize;
use std::io;
use std::path::{Path, PathBuf};

/// Largest ledger that is read or written, in bytes.
pub const SIZE_LIMIT: usize = 1024 * 1024;

/// Files set aside that are kept. When there are as many, the next one stays where it is and nothing is written.
pub const ASIDE_LIMIT: usize = 16;

/// Bytes of a foreign instance id that enter a file name.
const ID_IN_NAME: usize = 64;

/// Interrupted writes (EINTR) in a row that are tried again.
const INTERRUPTIONS: u32 = 100;

const LEDGER: &str = "ledger.json";
const TEMPORARY: &str = "ledger.tmp";

/// What opening found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Opened {
    /// The state that survived.
    pub document: Option<LedgerDocument>,
    /// A ledger that could not be used, and where it is now.
    pub set_aside: Option<SetAside>,
    /// Why nothing can be written at present: memory mode.
    pub unwritable: Option<String>,
}

/// A ledger that could not be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAside {
    /// Where it is now.
    pub path: PathBuf,
    /// Why it could not be used.
    pub why: String,
}

/// The ledger of one state directory, locked as long as this value lives.
#[derive(Debug)]
pub struct Ledger<S: Storage = Disk> {
    storage: S,
    standing: Standing,
    due: Due,
}

/// Whether the directory is ours.
#[derive(Debug)]
enum Standing {
    /// The lock is held.
    Locked,
    /// Not yet. What was read without the lock may be replaced, anything else may not.
    Unlocked { seen: Option<LedgerDocument> },
}

/// What must happen before the next document may take the place of the present one.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Due {
    Nothing,
    /// The file must be renamed.
    SetAside(Aside),
    /// It was renamed, but that may not be durable.
    Sync,
}

/// Why a ledger is set aside: the middle of its new name.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Aside {
    Corrupt,
    Newer(u64),
    Instance(String),
    Unread,
}

impl Aside {
    fn prefix(&self) -> String {
        match self {
            Self::Corrupt => "ledger.corrupt-".to_owned(),
            Self::Newer(format) => format!("ledger.format-{format}-"),
            Self::Instance(id) => format!("ledger.instance-{}-", name_part(id)),
            Self::Unread => "ledger.unread-".to_owned(),
        }
    }
}

/// `id` as part of a file name; it comes from outside.
fn name_part(id: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '_' };
    id.chars().take(ID_IN_NAME).map(safe).collect()
}

/// What is under the ledger's name.
enum Found {
    Nothing,
    Document(LedgerDocument),
    Unusable { aside: Aside, why: String },
}

/// The one field that every format has.
#[derive(Deserialize)]
struct Head {
    format: u64,
}

fn understand(bytes: &[u8]) -> Found {
    let corrupt = |why: String| Found::Unusable { aside: Aside::Corrupt, why };
    if bytes.len() > SIZE_LIMIT {
        return corrupt(format!("larger than {SIZE_LIMIT} bytes"));
    }
    let head: Head = match serde_json::from_slice(bytes) {
        Ok(head) => head,
        Err(error) => return corrupt(format!("not a ledger: {error}")),
    };
    if head.format > u64::from(LedgerDocument::FORMAT) {
        let why = format!("format {} is newer than {}, which this agent knows", head.format, LedgerDocument::FORMAT);
        return Found::Unusable { aside: Aside::Newer(head.format), why };
    }
    if head.format == 0 {
        return corrupt("format 0 never existed".to_owned());
    }
    match serde_json::from_slice(bytes) {
        Ok(document) => Found::Document(document),
        Err(error) => corrupt(format!("not a ledger: {error}")),
    }
}

impl Ledger {
    /// Opens the ledger in `dir`, which is made (0700) if it is missing. Blocks.
    ///
    /// # Errors
    /// Only if another agent holds the lock. Everything else is memory mode, told in [`Opened::unwritable`].
    pub fn open(dir: &Path) -> Result<(Self, Opened), Error> {
        Self::open_on(Disk::new(dir))
    }
}

impl<S: Storage> Ledger<S> {
    /// As [`Ledger::open`], on any storage.
    ///
    /// # Errors
    /// If another agent holds the lock.
    pub fn open_on(storage: S) -> Result<(Self, Opened), Error> {
        let mut ledger = Self { storage, standing: Standing::Unlocked { seen: None }, due: Due::Nothing };
        let mut opened = Opened::default();
        if let Err(error) = ledger.storage.prepare() {
            opened.unwritable = Some(ledger.dir_error("use", &error).to_string());
            return Ok((ledger, opened));
        }
        match ledger.storage.lock() {
            Ok(()) => ledger.standing = Standing::Locked,
            Err(LockError::Held(pid)) => return Err(Error::Locked { pid, path: ledger.storage.path().join(LOCK) }),
            Err(LockError::Io(error)) => opened.unwritable = Some(ledger.error("lock", LOCK, &error).to_string()),
        }
        let usable = ledger.load(&mut opened).and_then(|()| ledger.probe());
        if let Err(error) = usable {
            opened.unwritable.get_or_insert_with(|| error.to_string());
        }
        Ok((ledger, opened))
    }

    /// Reads what is there and, where the lock allows, puts the unusable aside.
    fn load(&mut self, opened: &mut Opened) -> Result<(), WriteError> {
        match self.look() {
            // That there is nothing must be durable as well: a predecessor may have set a file aside without syncing.
            Found::Nothing => self.sync_dir(),
            Found::Document(document) => {
                if let Standing::Unlocked { seen } = &mut self.standing {
                    *seen = Some(document.clone());
                }
                opened.document = Some(document);
                self.sync_dir()
            }
            Found::Unusable { aside, why } => {
                tracing::error!(path = %self.storage.path().join(LEDGER).display(), why, "the ledger cannot be used");
                self.due = Due::SetAside(aside);
                if matches!(self.standing, Standing::Unlocked { .. }) {
                    return Ok(());
                }
                let path = self.settle_due()?;
                opened.set_aside = path.map(|path| SetAside { path, why });
                Ok(())
            }
        }
    }

    fn look(&mut self) -> Found {
        match self.storage.read(LEDGER, SIZE_LIMIT.saturating_add(1)) {
            Ok(bytes) => understand(&bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Found::Nothing,
            Err(error) => Found::Unusable { aside: Aside::Corrupt, why: format!("cannot be read: {error}") },
        }
    }

    /// Removes what a crash left and finds out now, not at the first verdict, whether files can be made here.
    fn probe(&mut self) -> Result<(), WriteError> {
        if matches!(self.standing, Standing::Unlocked { .. }) {
            return Ok(());
        }
        self.remove_temporary()?;
        self.storage.create(TEMPORARY).map_err(|error| self.error("create", TEMPORARY, &error))?;
        self.remove_temporary()
    }

    fn remove_temporary(&mut self) -> Result<(), WriteError> {
        match self.storage.remove(TEMPORARY) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(self.error("remove", TEMPORARY, &error)),
        }
    }

    /// Sets the present ledger aside as `ledger.instance-ID-N`, because it belongs to the instance `id` and this is another one.
    /// Gives its new path, if there was one.
    ///
    /// # Errors
    /// If that cannot be done now; then it is done before the next [`Ledger::write`], which fails as long as it cannot be done.
    pub fn archive(&mut self, id: &str) -> Result<Option<PathBuf>, WriteError> {
        // A ledger that is to be set aside for another reason keeps that reason.
        if !matches!(self.due, Due::SetAside(_)) {
            self.due = Due::SetAside(Aside::Instance(id.to_owned()));
        }
        self.take_lock()?;
        self.settle_due()
    }

    /// Makes `document` durable. Blocks for as long as the disk takes.
    ///
    /// # Errors
    /// If any step failed. The old document may then still be there, or already the new one; a crash never leaves anything else.
    pub fn write(&mut self, document: &LedgerDocument) -> Result<(), WriteError> {
        let bytes = self.encode(document)?;
        self.take_lock()?;
        self.settle_due()?;
        self.replace(&bytes)
    }

    fn encode(&self, document: &LedgerDocument) -> Result<Vec<u8>, WriteError> {
        let mut bytes = serde_json::to_vec_pretty(document).map_err(|error| self.error("encode", LEDGER, &io::Error::other(error)))?;
        bytes.push(b'\n');
        if bytes.len() > SIZE_LIMIT {
            return Err(self.error("write", LEDGER, &io::Error::other(format!("larger than {SIZE_LIMIT} bytes"))));
        }
        Ok(bytes)
    }

    /// In memory mode: tries again to make the directory ours. A ledger that turned up meanwhile is not overwritten.
    fn take_lock(&mut self) -> Result<(), WriteError> {
        let Standing::Unlocked { seen } = &self.standing else {
            return Ok(());
        };
        let seen = seen.clone();
        self.storage.prepare().map_err(|error| self.dir_error("use", &error))?;
        self.storage.lock().map_err(|error| match error {
            LockError::Io(error) => self.error("lock", LOCK, &error),
            LockError::Held(pid) => {
                let holder = pid.map_or_else(|| "another agent".to_owned(), |pid| format!("another agent (pid {pid})"));
                self.error("lock", LOCK, &io::Error::other(format!("held by {holder}")))
            }
        })?;
        self.standing = Standing::Locked;
        let unseen = match self.look() {
            Found::Nothing => false,
            Found::Document(document) => Some(document) != seen,
            Found::Unusable { .. } => true,
        };
        if self.due == Due::Nothing {
            self.due = if unseen { Due::SetAside(Aside::Unread) } else { Due::Sync };
        }
        Ok(())
    }

    fn settle_due(&mut self) -> Result<Option<PathBuf>, WriteError> {
        let mut path = None;
        if let Due::SetAside(aside) = &self.due {
            path = self.set_aside(&aside.prefix())?;
            self.due = Due::Sync;
        }
        if self.due == Due::Sync {
            self.sync_dir()?;
            self.due = Due::Nothing;
        }
        Ok(path)
    }

    fn set_aside(&mut self, prefix: &str) -> Result<Option<PathBuf>, WriteError> {
        let names = self.storage.list().map_err(|error| self.dir_error("list", &error))?;
        let is_aside = |name: &&String| ![LEDGER, TEMPORARY, LOCK].contains(&name.as_str());
        if names.iter().filter(is_aside).count() >= ASIDE_LIMIT {
            return Err(WriteError {
                doing: "set aside",
                path: self.storage.path().join(LEDGER),
                cause: format!("{ASIDE_LIMIT} ledgers were set aside before"),
                hint: Some("look at the ledger.*-N files beside it, find out what breaks them, and move them away"),
            });
        }
        let free = (1..=ASIDE_LIMIT.saturating_add(1)).map(|n| format!("{prefix}{n}")).find(|name| !names.contains(name));
        let Some(name) = free else {
            return Err(self.error("set aside", LEDGER, &io::Error::from(io::ErrorKind::AlreadyExists)));
        };
        match self.storage.rename_new(LEDGER, &name) {
            Ok(()) => {
                let path = self.storage.path().join(name);
                tracing::warn!(path = %path.display(), "the ledger was set aside");
                Ok(Some(path))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.error("set aside", LEDGER, &error)),
        }
    }

    fn replace(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        self.remove_temporary()?;
        if let Err(error) = self.write_temporary(bytes) {
            // What is in the way of the next write goes; if it cannot go now, the next write tries again.
            let _ = self.storage.remove(TEMPORARY);
            return Err(error);
        }
        self.storage.rename(TEMPORARY, LEDGER).map_err(|error| self.error("replace", LEDGER, &error))?;
        self.sync_dir()
    }

    fn write_temporary(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        let mut file = self.storage.create(TEMPORARY).map_err(|error| self.error("create", TEMPORARY, &error))?;
        self.write_all(&mut file, bytes).map_err(|error| self.error("write", TEMPORARY, &error))?;
        self.storage.sync(&mut file).map_err(|error| self.error("sync", TEMPORARY, &error))
    }

    fn write_all(&mut self, file: &mut S::File, mut bytes: &[u8]) -> io::Result<()> {
        let mut interruptions = 0;
        while !bytes.is_empty() {
            match self.storage.write(file, bytes) {
                Ok(0) => return Err(io::Error::from(io::ErrorKind::WriteZero)),
                Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted && interruptions < INTERRUPTIONS => interruptions += 1,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn sync_dir(&mut self) -> Result<(), WriteError> {
        self.storage.sync_dir().map_err(|error| self.dir_error("sync", &error))
    }

    fn error(&self, doing: &'static str, name: &str, error: &io::Error) -> WriteError {
        WriteError::new(doing, &self.storage.path().join(name), error)
    }

    fn dir_error(&self, doing: &'static str, error: &io::Error) -> WriteError {
        WriteError::new(doing, self.storage.path(), error)
    }
}
