//! The keys of `type = "cloud-init"`.

use crate::check::Health;
use std::path::PathBuf;

/// What cloud-init came to, and what its reservations mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudInit {
    /// `run_dir`: where its `status.json` and `result.json` are; `/run/cloud-init`.
    pub run_dir: PathBuf,
    /// `degraded`: done with recoverable errors; warning.
    pub degraded: Health,
    /// `disabled`: it was told not to run; passing.
    pub disabled: Health,
    /// `not_installed`; critical.
    pub not_installed: Health,
    /// Under which /etc, /proc, /usr and /var are looked at. No key: always `/`, except in tests.
    pub root: PathBuf,
}
