//! `type = "process"`.

use super::Pattern;
use crate::check::Thresholds;
use std::path::PathBuf;

/// Which processes are counted, and how many there must be. At least one of the four is given; all that are given must match.
#[derive(Clone, Debug, PartialEq)]
pub struct Process {
    /// `name`: the name of the process or of its program.
    pub name: Option<String>,
    /// `cmdline`: matched on its arguments, joined by blanks.
    pub cmdline: Option<Pattern>,
    /// `pid_file`: only the process whose number stands there.
    pub pid_file: Option<PathBuf>,
    /// `user`: whose it is (the effective user).
    pub user: Option<User>,
    /// `warn` and `crit`, on the number of processes.
    pub thresholds: Thresholds,
}

/// A user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum User {
    /// By number.
    Id(u32),
    /// By the name in `/etc/passwd`.
    Name(String),
}
