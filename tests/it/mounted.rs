//! Small file systems that tests mount, for what only a full or an odd file system shows.

#![expect(clippy::print_stderr, reason = "a test that skips says so")]

use crate::private;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// A tmpfs of its own, unmounted when it is dropped.
pub(crate) struct Mounted(TempDir);

impl Mounted {
    /// Mounts one with `options`. Where that is not allowed the test that asks says that it skipped, or fails where
    /// `ROS_SIGNAL_AGENT_PEERS=required`.
    pub(crate) fn tmpfs(options: &str) -> Option<Self> {
        let home = private::directory();
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", options, "shop"]).arg(home.path()).output().unwrap();
        if done.status.success() {
            return Some(Self(home));
        }
        let required = std::env::var("ROS_SIGNAL_AGENT_PEERS").is_ok_and(|word| word == "required");
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(!required, "a tmpfs cannot be mounted: {said}");
        eprintln!("skipped: a tmpfs cannot be mounted: {said}");
        None
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // The mount may be gone already; a directory that stays is no reason to fail.
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}
