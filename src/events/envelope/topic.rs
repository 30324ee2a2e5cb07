//! What a topic of SMQ wraps around a message (`NotifyContentFormat`), as a queue or a push gets it:
//!
//! ```text
//! XML          <Notification xmlns="..."><TopicName>...</TopicName> ... <Message>...</Message></Notification>
//! JSON         {"TopicOwner": "...", "TopicName": "...", ..., "Message": "..."}
//! SIMPLIFIED   the message itself
//! ```

use super::members::{is_too_deep, members, text_of};
use super::{LIMIT, trimmed};
use quick_xml::Reader;
use quick_xml::events::{BytesRef, Event};
use std::borrow::Cow;

/// XML nested deeper than this is none of SMQ's.
const DEPTH: usize = 32;

/// The message inside of a topic's wrapper; a body without one as it is, and so is one of more than 512 KiB, which nobody reads.
pub fn unwrap_topic(body: &[u8]) -> Cow<'_, [u8]> {
    let message = match trimmed(body).filter(|text| text.len() <= LIMIT) {
        Some(text) if text.starts_with('{') => json(text),
        Some(text) if text.starts_with('<') => xml(text),
        _ => None,
    };
    message.map_or(Cow::Borrowed(body), |message| Cow::Owned(message.into_bytes()))
}

fn json(text: &str) -> Option<String> {
    if is_too_deep(text) {
        return None;
    }
    let [topic, message, specversion] = members(text, ["TopicName", "Message", "specversion"])?;
    (topic.is_some() && specversion.is_none()).then(|| text_of(message)).flatten()
}

fn xml(text: &str) -> Option<String> {
    let mut reader = Reader::from_str(text);
    let mut message = None;
    let (mut depth, mut is_message) = (0_usize, false);
    // Bounded by the length of the text: every turn consumes some of it.
    loop {
        let piece = match reader.read_event().ok()? {
            Event::Start(tag) => {
                depth += 1;
                if depth > DEPTH || (depth == 1 && tag.local_name().as_ref() != "Notification") {
                    return None;
                }
                is_message = depth == 2 && tag.local_name().as_ref() == "Message";
                continue;
            }
            Event::End(_) => {
                depth = depth.checked_sub(1)?;
                is_message = false;
                continue;
            }
            Event::Text(content) if is_message => content.xml10_content().into_owned(),
            Event::CData(content) if is_message => content.xml10_content().into_owned(),
            Event::GeneralRef(reference) if is_message => resolve(&reference)?,
            // Entities of its own: nothing we expand.
            Event::DocType(_) => return None,
            // A document that was cut off is none.
            Event::Eof => return message.filter(|_| depth == 0),
            _ => continue,
        };
        message.get_or_insert_with(String::new).push_str(&piece);
    }
}

fn resolve(reference: &BytesRef<'_>) -> Option<String> {
    match reference.resolve_char_ref().ok()? {
        Some(character) => Some(character.to_string()),
        None => quick_xml::escape::resolve_xml_entity(reference).map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unwrapped(body: &str) -> String {
        String::from_utf8(unwrap_topic(body.as_bytes()).into_owned()).unwrap()
    }

    #[test]
    fn a_message_is_taken_out_of_both_wrappers() {
        assert_eq!(unwrapped(r#"{"TopicName":"t","Message":"{\"a\":1}"}"#), r#"{"a":1}"#);
        let xml = "<?xml version=\"1.0\"?>\n<Notification xmlns=\"http://mns.aliyuncs.com/doc/v1/\"><TopicName>t</TopicName><New><Message>no\
                   </Message></New><Message>{&quot;a&quot;:&#49;<![CDATA[, \"b\":2]]>}</Message></Notification>";
        assert_eq!(unwrapped(xml), r#"{"a":1, "b":2}"#);
    }

    #[test]
    fn what_is_no_wrapper_stays_as_it_is() {
        for body in [
            "",
            "hello",
            "{\"Message\":\"no topic\"}",
            "{\"TopicName\":\"t\",\"Message\":5}",
            "{\"specversion\":\"1.0\",\"TopicName\":\"t\",\"Message\":\"m\"}",
            "<Notification><Message>cut off",
            "<Other><Message>m</Message></Other>",
            "<!DOCTYPE a [<!ENTITY b \"c\">]><Notification><Message>&b;</Message></Notification>",
        ] {
            assert_eq!(unwrapped(body), body);
        }
        let deep = format!("<Notification>{}", "<a>".repeat(100));
        assert_eq!(unwrapped(&deep), deep);
    }
}
