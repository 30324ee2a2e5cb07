//! Programs that are not ours and that tests use as the real thing: a web server, a name server, a bus.

#![allow(clippy::print_stderr, reason = "a skipped test says so")]

use std::path::PathBuf;

/// Where `name` is installed. Without it the test that asks says that it skipped, or fails where `ROS_SIGNAL_AGENT_PEERS=required`.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin", "/usr/lib/nagios/plugins"].map(PathBuf::from));
    let found = directories.map(|directory| directory.join(name)).find(|path| path.is_file());
    if found.is_none() {
        let required = std::env::var("ROS_SIGNAL_AGENT_PEERS").is_ok_and(|word| word == "required");
        assert!(!required, "{name} is not installed");
        eprintln!("skipped: {name} is not installed");
    }
    found
}
