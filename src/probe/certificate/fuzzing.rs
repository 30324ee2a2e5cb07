//! Certificates of servers and files.

use super::judge::{self, Judged};
use crate::check::Thresholds;
use crate::tls;
use std::path::Path;

/// Reads the file at `path`, PEM or DER, and judges its chain.
pub fn certificate(path: &Path) {
    let Ok(chain) = tls::read_chain(path) else { return };
    for (now, distrust) in [(0, None), (1_790_000_000, Some(rustls::Error::DecryptError)), (i64::MAX, None)] {
        let judged = Judged { chain: &chain, place: "db.internal:5432", now, distrust, thresholds: Thresholds::default() };
        crate::probe::fuzzing::judge(&judge::observation(&judged));
    }
}
