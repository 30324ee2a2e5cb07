//! Answers of SMQ, and the bodies of its messages.

use super::{body, xml};
use crate::events::envelope;

/// Reads `bytes` as every answer that SMQ gives, and what messages are in it.
pub fn queue(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        message(text);
    }
    let Some(document) = xml::Document::parse(bytes) else { return };
    for received in xml::messages(&document).unwrap_or_default() {
        assert!(!received.handle.expose().is_empty() && received.id.chars().count() <= 128);
        message(&received.body);
        // What is sent back says what was got.
        let handles = [received.handle.clone(), received.handle];
        let again = xml::Document::parse(xml::handles(&handles).as_bytes());
        let sendable = handles[0].expose().chars().all(|c| !c.is_control() && c != '\u{fffe}' && c != '\u{ffff}');
        assert!(again.is_some() || !sendable, "{:?}", handles[0].expose());
    }
    let _ = (xml::visibility(&document), xml::refusal(&document), xml::not_deleted(&document), xml::queues(&document));
    if let Some(attributes) = xml::attributes(&document) {
        let _ = format!("{attributes:?}");
    }
}

fn message(text: &str) {
    if let Ok(events) = body::read(text, "message-1") {
        assert!((1..=envelope::BATCH).contains(&events.len()));
    }
}
