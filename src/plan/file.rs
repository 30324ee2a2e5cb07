//! The keys of `type = "file"`.

use super::Pattern;
use crate::check::Thresholds;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// A path and what is to be there.
#[derive(Clone, Debug, PartialEq)]
pub struct File {
    /// `path`.
    pub path: PathBuf,
    /// What must be at it; none: nothing may be there (`exists = false`).
    pub present: Option<Box<Present>>,
}

/// What a file must be like. What is `None` is not looked at.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Present {
    /// `file_type`. Symbolic links are followed unless it says symlink.
    pub file_type: Option<FileType>,
    /// `mode`: permissions with the set-id and sticky bits, exactly.
    pub mode: Option<u32>,
    /// `owner`.
    pub owner: Option<Account>,
    /// `group`.
    pub group: Option<Account>,
    /// `min_size`, bytes.
    pub min_size: Option<u64>,
    /// `max_size`, bytes.
    pub max_size: Option<u64>,
    /// `min_age` of the last modification.
    pub min_age: Option<Duration>,
    /// `max_age` of the last modification.
    pub max_age: Option<Duration>,
    /// `contents`: matched on the first 1 MiB.
    pub contents: Option<Pattern>,
    /// `sha256` of the whole file.
    pub sha256: Option<[u8; 32]>,
    /// `measure` with `warn` and `crit`.
    pub measure: Option<(FileMeasure, Thresholds)>,
}

/// What a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileType {
    /// `file`: a regular file.
    File,
    /// `directory`.
    Directory,
    /// `symlink`: the link itself.
    Symlink,
    /// `socket`.
    Socket,
    /// `fifo`.
    Fifo,
    /// `block`: a block device.
    Block,
    /// `char`: a character device.
    Char,
}

impl FileType {
    /// Its name with an article, as a message says it.
    pub fn words(self) -> &'static str {
        match self {
            Self::File => "a regular file",
            Self::Directory => "a directory",
            Self::Symlink => "a symbolic link",
            Self::Socket => "a socket",
            Self::Fifo => "a fifo",
            Self::Block => "a block device",
            Self::Char => "a character device",
        }
    }
}

/// A user or group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Account {
    /// Its number.
    Id(u32),
    /// Its name in /etc/passwd or /etc/group.
    Name(String),
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(f, "{id}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// The number of a file that `warn` and `crit` judge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileMeasure {
    /// Bytes.
    Size,
    /// Seconds since the last modification.
    Age,
}
