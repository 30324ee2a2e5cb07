//! What a believed request says.

use crate::events::Event;
use crate::events::envelope::{self, Carrier};
use http::HeaderMap;

/// The events in `body`, which was signed at `time`.
///
/// # Errors
/// If it is none, in few words.
pub(super) fn events(body: &[u8], headers: &HeaderMap, time: &str) -> Result<Vec<Event>, &'static str> {
    envelope::read(body, Carrier::Http(headers), time).map_err(envelope::Refused::reason)
}
