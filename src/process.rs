//! This process itself: what others may see of its memory.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use std::io;

/// Keeps keys out of core files and away from other processes of the same user, exec checks among them: no core dumps (setrlimit(2)
/// RLIMIT_CORE 0) and not dumpable (prctl(2) PR_SET_DUMPABLE), which also forbids ptrace and `/proc/PID/mem`, even where a core dump goes
/// to a pipe. A child that executes another program is an ordinary process again, but inherits the limit.
///
/// # Errors
/// If the kernel refuses, which it has no documented reason to do.
pub fn harden() -> io::Result<()> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}
