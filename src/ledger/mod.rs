//! The durable file: `ledger.json` in the state directory, replaced whole, by one writer that holds a lock.
//!
//! What is in the document belongs to [`crate::signal`] ([`LedgerDocument`]); how it reaches the disk belongs here.
//!
//! ```text
//! ledger.json              the document
//! ledger.tmp               the next one, while it is being written
//! ledger.lock              flock(2), with the holder's process id in it
//! ledger.corrupt-N         could not be read or understood; kept for a person
//! ledger.format-V-N        written by a newer agent
//! ledger.instance-ID-N     belongs to another instance (a cloned image)
//! ledger.unread-N          appeared while the directory could not be used
//! ```
//!
//! Invariants, tested with a fault at every call and a crash at every byte (`tests/it/ledger.rs`):
//!
//! - A write is: temporary file, all bytes, fsync, rename over `ledger.json`, fsync of the directory. Only then it is reported as done.
//! - After any crash or power loss `ledger.json` is the newest document reported as done, or a newer one that was being written.
//! - What was read at the start is durable, too: the directory is synced before it is believed, because a killed predecessor may have
//!   renamed without syncing, and a verdict that was acted on must not vanish in a later power loss.
//! - A file that is not understood is renamed, never overwritten; at most [`ASIDE_LIMIT`] such files are kept, then nothing is
//!   written any more until a person has looked. Nothing is sent under a random id then.
//! - Whatever cannot be written is *memory mode*: the reason is in [`Opened::unwritable`] or in [`Written::result`], the document lives
//!   on in the core, and each later record tries again from the start, so that a mended disk is used again without a restart.
//!
//! Opening blocks and is done before the loop runs; writing is done by a thread of its own ([`LedgerHandle`]), because a sync can hang.

mod file;
mod reset;
pub mod storage;
mod writer;

pub use file::{ASIDE_LIMIT, Ledger, Opened, SIZE_LIMIT, SetAside};
pub use reset::{Mind, ResetError, reset};
pub use writer::{LedgerHandle, Written};

use rustix::io::Errno;
use std::io;
use std::path::{Path, PathBuf};

#[cfg(doc)]
use crate::signal::LedgerDocument;

/// Why the agent must not run on this state directory.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another agent runs on the same state.
    #[error(
        "{path} is locked by another agent{}\nhint: stop it first, or give this one its own state_dir",
        .pid.map_or_else(String::new, |pid| format!(" (pid {pid})"))
    )]
    Locked {
        /// The holder, as the lock file says.
        pid: Option<u32>,
        /// The lock file.
        path: PathBuf,
    },
    /// The system gives no thread.
    #[error("cannot start the ledger thread: {0}")]
    Thread(#[source] io::Error),
}

/// Why a document is not durable. The errno is kept as text, so that it can be compared and handed to the core.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot {doing} {path}: {cause}{}", hint_line(*.hint))]
pub struct WriteError {
    /// The step that failed, such as `sync`.
    pub doing: &'static str,
    /// The file or directory.
    pub path: PathBuf,
    /// What the system said.
    pub cause: String,
    /// What a person can do.
    pub hint: Option<&'static str>,
}

impl WriteError {
    fn new(doing: &'static str, path: &Path, error: &io::Error) -> Self {
        Self { doing, path: path.to_owned(), cause: error.to_string(), hint: hint(error) }
    }
}

fn hint_line(hint: Option<&str>) -> String {
    hint.map_or_else(String::new, |hint| format!("\nhint: {hint}"))
}

fn hint(error: &io::Error) -> Option<&'static str> {
    Some(match Errno::from_io_error(error)? {
        Errno::NOSPC | Errno::DQUOT => "free some space or inodes on this file system; the agent tries again by itself",
        Errno::ROFS => "the file system is mounted read-only; after disk errors the kernel does that by itself, see dmesg",
        Errno::IO => "the disk reports errors, see dmesg",
        Errno::ACCESS | Errno::PERM => "the directory and the files in it must belong to the agent's user",
        Errno::NOTDIR => "a file is in the way of the state directory",
        _ => return None,
    })
}
