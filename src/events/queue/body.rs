//! From the body of a message to events: text as it is or in base64, and what a topic has wrapped around it.
//!
//! EventBridge writes the event as it is by default, and in base64 if its target says so. A topic wraps it in XML (its default) or JSON
//! unless the subscription says `SIMPLIFIED`: `Notification` or an object, with `TopicOwner`, `TopicName` and `Message`.

use crate::events::Event;
use crate::events::envelope::{self, Carrier, unwrap_topic};
use base64::Engine as _;
use std::borrow::Cow;

/// Wrappers and encodings around each other: base64 in a wrapper in base64, and no more.
const LAYERS: usize = 3;

/// Events of the message with the id `message_id`.
///
/// # Errors
/// Why there are none, in one of a few words for counting.
pub(super) fn read(body: &str, message_id: &str) -> Result<Vec<Event>, &'static str> {
    if body.len() > envelope::LIMIT {
        return Err(envelope::Refused::TooLarge.reason());
    }
    let mut text = Cow::Borrowed(body.as_bytes());
    for _ in 0..LAYERS {
        let decoded = wrapper_in_base64(&text).map_or(text, Cow::Owned);
        text = Cow::Owned(unwrap_topic(&decoded).into_owned());
    }
    envelope::read(&text, Carrier::Message, message_id).map_err(envelope::Refused::reason)
}

/// What base64 stands for, where that is XML or JSON.
fn wrapper_in_base64(text: &[u8]) -> Option<Vec<u8>> {
    let dense: Vec<u8> = text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let decoded = base64::engine::general_purpose::STANDARD.decode(dense).ok()?;
    decoded.first().is_some_and(|byte| matches!(byte, b'<' | b'{')).then_some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PLAIN: &str = r#"{"id":"1","source":"acs.ros","specversion":"1.0","type":"ros:StackStateChange:UpdateComplete","data":{"Status":"UPDATE_COMPLETE","StackId":"s"}}"#;

    fn base64(text: &str) -> String {
        base64::engine::general_purpose::STANDARD.encode(text)
    }

    fn status(body: &str) -> Option<String> {
        read(body, "m").unwrap().remove(0).status
    }

    #[test]
    fn an_event_is_read_as_it_is_and_in_base64() {
        for body in [PLAIN.to_owned(), format!("\u{feff} {PLAIN}\n"), base64(PLAIN), format!("{}\n", base64(PLAIN))] {
            assert_eq!(status(&body).as_deref(), Some("UPDATE_COMPLETE"), "{body}");
        }
        assert_eq!(read(&format!("[{PLAIN},{PLAIN}]"), "m").unwrap().len(), 2);
    }

    #[test]
    fn what_a_topic_has_wrapped_is_read_in_all_three_formats() {
        let json = include_str!("../../../tests/fixtures/events/mns-xml/topic_notification_body_json.json");
        let xml = include_str!("../../../tests/fixtures/events/mns-xml/topic_notification_body_xml.xml");
        let in_base64 = serde_json::json!({"TopicOwner": "1", "TopicName": "t", "Message": base64(PLAIN)}).to_string();
        for body in [json, xml, PLAIN, &in_base64, &base64(json), &base64(xml)] {
            assert_eq!(status(body).as_deref(), Some("UPDATE_COMPLETE"), "{body}");
        }
    }

    #[test]
    fn what_is_no_event_is_refused_in_a_few_words() {
        for (body, why) in [
            ("", "empty"),
            ("  \n", "empty"),
            ("<html/>", "neither JSON nor base64 of JSON"),
            ("{", "neither JSON nor base64 of JSON"),
            ("{}", "not an event"),
            (&"a".repeat(envelope::LIMIT + 1), "larger than 512 KiB"),
        ] {
            assert_eq!(read(body, "m"), Err(why), "{body:.60}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,200}") {
            let _ = read(&text, "m");
        }
    }
}
