//! Programs that are not ours and that tests use as the real thing: a web server, a name server, a bus.

use std::path::PathBuf;

/// Where `name` is installed. Without it the test that asks says that it skipped, or fails where `ROS_SIGNAL_AGENT_PEERS=required`.
#[expect(clippy::print_stderr, reason = "whoever runs the tests must see what was not tested")]
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

/// A Python with the package alibabacloud-credentials 1.0.12, which whoever runs the tests names in `ROS_SIGNAL_AGENT_TEST_PYTHON`. Without it the
/// test that asks says that it skipped.
#[expect(clippy::print_stderr, reason = "whoever runs the tests must see what was not tested")]
pub(crate) fn python_with_credentials() -> Option<PathBuf> {
    let found = std::env::var_os("ROS_SIGNAL_AGENT_TEST_PYTHON").map(PathBuf::from);
    if found.is_none() {
        eprintln!("skipped: ROS_SIGNAL_AGENT_TEST_PYTHON does not name a python3 with alibabacloud-credentials 1.0.12");
    }
    found
}
