//! Answers of chronyd.

use super::chronyd;

/// Reads a datagram.
pub fn time_server(bytes: &[u8]) {
    if let Some(tracking) = chronyd::parse(bytes) {
        let _ = format!("{tracking:?}");
    }
}
