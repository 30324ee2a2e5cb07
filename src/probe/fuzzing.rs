//! What checks read of the world: answers of servers, output of programs, files of other programs.

pub use super::certificate::fuzzing::certificate;
pub use super::clock::fuzzing::time_server;
pub use super::cloud_init::fuzzing::cloud_init;
pub use super::container::fuzzing::container;
pub use super::dns::fuzzing::dns;
pub use super::exec::fuzzing::plugin;
pub use super::grpc::fuzzing::grpc;
pub use super::http::fuzzing::http;

use super::mounts::Mount;
use crate::check::{LABEL_LIMIT, MESSAGE_LIMIT, OUTPUT_LIMIT, Observation, READINGS_LIMIT};

/// Lines of `mountinfo`, in which users name mount points, and of `/proc/PID/stat`, in which programs name themselves.
pub fn host_files(bytes: &[u8]) {
    for line in bytes.split(|byte| *byte == b'\n') {
        if let Some(mount) = Mount::parse(line) {
            let _ = (mount.has("rw"), mount.all_options());
        }
    }
    super::process::fuzzing::stat(&String::from_utf8_lossy(bytes));
}

/// Every observation is bounded, and no text of others speaks to a terminal or begins a line of a log.
pub(super) fn judge(seen: &Observation) {
    assert!(seen.message.len() <= MESSAGE_LIMIT && seen.output.len() <= OUTPUT_LIMIT, "{seen:?}");
    assert!(!seen.message.contains(char::is_control), "{:?}", seen.message);
    assert!(!seen.output.contains(|c: char| c.is_control() && c != '\n' && c != '\t'), "{:?}", seen.output);
    assert!(seen.readings.len() <= READINGS_LIMIT && seen.readings.iter().all(|reading| reading.value.is_finite()), "{seen:?}");
    let limited = |text: &str| text.len() <= LABEL_LIMIT && !text.contains(char::is_control);
    assert!(seen.readings.iter().all(|reading| limited(&reading.label) && limited(&reading.unit)), "{seen:?}");
}
