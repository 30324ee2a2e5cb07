//! From the body of a message to events: text as it is or in base64, and what a topic has wrapped around it.
//!
//! EventBridge writes the event as it is by default, and in base64 if its target says so. A topic wraps it in XML (its default) or JSON
//! unless the subscription says `SIMPLIFIED`: `Notification` or an object, with `TopicOwner`, `TopicName` and `Message`.

use super::xml;
use crate::events::Event;
use base64::Engine as _;
use serde_json::Value;

/// A message of SMQ holds 64 KB; base64 and quoting may be around it.
const LIMIT: usize = 512 * 1024;

/// Wrappers and encodings around each other: base64 in a wrapper in base64, and no more.
const LAYERS: usize = 4;

/// Events of a message.
///
/// # Errors
/// Why there are none, in one of a few words for counting.
pub(super) fn read(body: &str) -> Result<Vec<Event>, &'static str> {
    if body.len() > LIMIT {
        return Err("too large");
    }
    let mut text = body.trim().trim_start_matches('\u{feff}').trim().to_owned();
    for _ in 0..LAYERS {
        text = match text.as_bytes().first() {
            None => return Err("empty"),
            Some(b'{' | b'[') => match wrapped(&text) {
                Some(inner) => inner.trim().to_owned(),
                None => return events(text.as_bytes()),
            },
            Some(b'<') => xml::notification(&text).ok_or("not an event")?.trim().to_owned(),
            Some(_) => decoded(&text).ok_or("not an event")?,
        };
    }
    Err("not an event")
}

/// What a topic has wrapped in its JSON format.
fn wrapped(text: &str) -> Option<String> {
    // Deep nesting is refused by the parser.
    let Value::Object(mut object) = serde_json::from_str(text).ok()? else { return None };
    let is_wrapper = object.contains_key("TopicName") && !object.contains_key("specversion") && !object.contains_key("type");
    match object.remove("Message") {
        Some(Value::String(message)) if is_wrapper => Some(message),
        _ => None,
    }
}

fn decoded(text: &str) -> Option<String> {
    let dense: String = text.split_ascii_whitespace().collect();
    let bytes = base64::engine::general_purpose::STANDARD.decode(dense).ok()?;
    Some(String::from_utf8(bytes).ok()?.trim().trim_start_matches('\u{feff}').trim().to_owned())
}

/// The events of a CloudEvents document, or of a list of them.
fn events(body: &[u8]) -> Result<Vec<Event>, &'static str> {
    let document: Value = serde_json::from_slice(body).map_err(|_| "not json")?;
    let list = match document {
        Value::Array(list) => list,
        one => vec![one],
    };
    list.iter().map(event).collect()
}

fn event(value: &Value) -> Result<Event, &'static str> {
    let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).filter(|text| text.len() <= 512).map(str::to_owned);
    let data = value.get("data").unwrap_or(&Value::Null);
    let id = text(value, "id").ok_or("no id")?;
    let kind = text(value, "type").ok_or("no type")?;
    Ok(Event {
        id,
        source: text(value, "source").unwrap_or_default(),
        kind,
        stack_id: text(data, "StackId"),
        stack_name: text(data, "StackName"),
        status: text(data, "Status"),
        time: text(value, "time"),
    })
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
        read(body).unwrap().remove(0).status
    }

    #[test]
    fn an_event_is_read_as_it_is_and_in_base64() {
        for body in [PLAIN.to_owned(), format!("\u{feff} {PLAIN}\n"), base64(PLAIN), format!("{}\n", base64(PLAIN))] {
            assert_eq!(status(&body).as_deref(), Some("UPDATE_COMPLETE"), "{body}");
        }
        assert_eq!(read(&format!("[{PLAIN},{PLAIN}]")).unwrap().len(), 2);
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
        let deep = base64(&base64(&base64(&base64(&base64(PLAIN)))));
        for (body, why) in [
            ("", "empty"),
            ("  \n", "empty"),
            ("hello, world", "not an event"),
            ("<html/>", "not an event"),
            ("{", "not json"),
            ("{}", "no id"),
            (&deep, "not an event"),
            (&"a".repeat(LIMIT + 1), "too large"),
        ] {
            assert_eq!(read(body), Err(why), "{body:.60}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,200}") {
            let _ = read(&text);
        }
    }
}
