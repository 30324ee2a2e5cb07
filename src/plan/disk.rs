//! `type = "disk"`.

use crate::check::Thresholds;
use std::path::PathBuf;

/// A file system and how much room it must have.
#[derive(Clone, Debug, PartialEq)]
pub struct Disk {
    /// `path`: any path on the file system.
    pub path: PathBuf,
    /// `measure`, free_percent.
    pub measure: DiskMeasure,
    /// `warn` and `crit`.
    pub thresholds: Thresholds,
}

/// Which number is judged, from statvfs(3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskMeasure {
    /// What unprivileged users may still write, in percent of what they may have, as df(1) counts.
    FreePercent,
    /// The same in bytes.
    Free,
    /// The rest of [`Self::FreePercent`], which df(1) calls `Use%`.
    UsedPercent,
    /// Inodes that are free, in percent; 100 where they are not counted.
    InodesFreePercent,
}
