//! `type = "mount"`.

use std::path::PathBuf;

/// What must be mounted, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// `path`: where. Links are not followed.
    pub path: PathBuf,
    /// `fstype`: the type of the file system.
    pub fstype: Option<String>,
    /// `source`: what is mounted.
    pub source: Option<String>,
    /// `options`: all of them must hold.
    pub options: Vec<String>,
}
