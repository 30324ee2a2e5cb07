//! Files of cloud-init.

use super::report::Report;

/// Reads `status.json` or `result.json`.
pub fn cloud_init(bytes: &[u8]) {
    match Report::parse(bytes) {
        Ok(report) => {
            let _ = (report.stage("init"), report.last_finished());
            assert!(report.errors.count <= bytes.len() && report.recoverable.count <= bytes.len());
            assert!(report.errors.first.is_some() || report.errors.count == 0);
        }
        Err(why) => assert!(!why.is_empty()),
    }
}
