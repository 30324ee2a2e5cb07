//! Small file systems that tests mount, for what only a full or an odd file system shows.

#![expect(clippy::print_stderr, reason = "a test that skips says so")]

use crate::private;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
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
        skip("a tmpfs", &String::from_utf8_lossy(&done.stderr));
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

fn skip(what: &str, why: &str) {
    let required = std::env::var("ROS_SIGNAL_AGENT_PEERS").is_ok_and(|word| word == "required");
    assert!(!required, "{what} cannot be mounted: {why}");
    eprintln!("skipped: {what} cannot be mounted: {why}");
}

/// A file system that hangs: of FUSE, with nobody behind it who answers. Like one whose server is dead, until [`Self::die`].
pub(crate) struct Hung {
    behind: Child,
    mounted: Mounted,
}

impl Hung {
    /// Mounts one, or says that the test skipped.
    pub(crate) fn mount() -> Option<Self> {
        let home = private::directory();
        let script = format!(
            "exec 3<>/dev/fuse && mount -i -t fuse -o fd=3,rootmode=40000,user_id=0,group_id=0 shop {} && echo ready && read word",
            home.path().display()
        );
        let mut behind = Command::new("sh").args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = [0; 6];
        if behind.stdout.as_mut().unwrap().read_exact(&mut said).is_err() {
            behind.wait().unwrap();
            skip("FUSE", "see standard error");
            return None;
        }
        Some(Self { behind, mounted: Mounted(home) })
    }

    pub(crate) fn path(&self) -> &Path {
        self.mounted.path()
    }

    /// Whoever should have answered is gone, and everybody who waits is told so.
    pub(crate) fn die(&mut self) {
        // It may be dead already.
        let _ = self.behind.kill();
        let _ = self.behind.wait();
    }
}

impl Drop for Hung {
    fn drop(&mut self) {
        self.die();
    }
}
