//! Bodies of ROS, JSON or XML, read without trust.
//!
//! ```text
//! {"RequestId": "B288A0BE-D927-4888-B0F7-B35EF84B6E6F"}
//! {"RequestId": "...", "HostId": "ros.aliyuncs.com", "Code": "StackNotFound", "Message": "..."}
//! <SignalResourceResponse><RequestId>...</RequestId></SignalResourceResponse>
//! <Error><RequestId>...</RequestId><HostId>...</HostId><Code>...</Code><Message>...</Message></Error>
//! ```
//!
//! Members are found whatever the case of their letters, as the vendor's SDK finds `code` beside `Code`. Only the members of the
//! outermost object count: GetStack nests an `OperationInfo` with a `Code` of its own. What has no RequestId is not from ROS, however
//! well formed: captive portals and load balancers answer too.

use quick_xml::Reader;
use quick_xml::events::{BytesRef, Event};

/// The most of a body that is read.
pub(super) const LIMIT: usize = 64 * 1024;

/// XML nested deeper than this is not from ROS.
const DEPTH_LIMIT: usize = 32;

/// The most members of the outermost object that are kept.
const MEMBER_LIMIT: usize = 256;

/// A body that ROS wrote.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Body {
    /// `RequestId`: 1 to 128 printable characters.
    pub(crate) request_id: String,
    members: Vec<(String, String)>,
}

/// Without the values: those of STS are credentials.
impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.members.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Body").field("request_id", &self.request_id).field("members", &names).finish()
    }
}

impl Body {
    /// Reads a body; none if it is not one of ROS.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let text = text.trim_start_matches('\u{feff}').trim_start();
        let members = match text.as_bytes().first()? {
            b'{' => json(text)?,
            b'<' => xml(text)?,
            _ => return None,
        };
        let request_id = find(&members, "RequestId").filter(|id| is_request_id(id))?.to_owned();
        Some(Self { request_id, members })
    }

    /// The member `name` of the outermost object: a text, or a number or an object as JSON text.
    pub(crate) fn member(&self, name: &str) -> Option<&str> {
        find(&self.members, name)
    }

    /// ROS's `Code`. Some products say `200` or `OK` when all is well: that is no code.
    pub(crate) fn code(&self) -> Option<&str> {
        self.member("Code").filter(|code| !matches!(*code, "" | "200" | "OK" | "Success" | "null"))
    }
}

fn find<'a>(members: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let exact = members.iter().find(|(key, _)| key == name);
    let any_case = || members.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
    exact.or_else(any_case).map(|(_, value)| value.as_str())
}

fn is_request_id(id: &str) -> bool {
    (1..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte))
}

fn json(text: &str) -> Option<Vec<(String, String)>> {
    let serde_json::Value::Object(object) = serde_json::from_str(text).ok()? else {
        return None;
    };
    let text_of = |value: serde_json::Value| match value {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    };
    Some(object.into_iter().take(MEMBER_LIMIT).map(|(key, value)| (key, text_of(value))).collect())
}

/// The text of the children of the root; nested elements are passed over.
fn xml(text: &str) -> Option<Vec<(String, String)>> {
    let mut reader = Reader::from_str(text);
    let mut members: Vec<(String, String)> = Vec::new();
    let mut depth = 0_usize;
    // Bounded by the length of the text: every turn consumes some of it.
    loop {
        match reader.read_event().ok()? {
            Event::Start(tag) => {
                depth += 1;
                if depth > DEPTH_LIMIT || members.len() >= MEMBER_LIMIT {
                    return None;
                }
                if depth == 2 {
                    members.push((tag.local_name().as_ref().to_owned(), String::new()));
                }
            }
            Event::End(_) => depth = depth.checked_sub(1)?,
            Event::Text(content) if depth == 2 => append(&mut members, &content.xml10_content()),
            Event::CData(content) if depth == 2 => append(&mut members, &content.xml10_content()),
            Event::GeneralRef(reference) if depth == 2 => append(&mut members, &resolve(&reference)?),
            // Entities of its own: not from ROS, and nothing we expand.
            Event::DocType(_) => return None,
            Event::Eof => break,
            _ => {}
        }
    }
    let trim = |(key, value): (String, String)| (key, value.trim().to_owned());
    // A document that was cut off is not an answer.
    (depth == 0).then(|| members.into_iter().map(trim).collect())
}

fn append(members: &mut [(String, String)], text: &str) {
    if let Some((_, value)) = members.last_mut() {
        value.push_str(text);
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
    use proptest::prelude::*;

    fn parse(text: &str) -> Option<Body> {
        Body::parse(text.as_bytes())
    }

    #[test]
    fn json_and_xml_say_the_same() {
        let json = parse(r#"{"RequestId":"B288A0BE-D927","HostId":"h","Code":"StackNotFound","Message":"a < b"}"#).unwrap();
        let xml = parse(
            "<?xml version='1.0' encoding='UTF-8'?>\n<Error>\n <RequestId>B288A0BE-D927</RequestId><HostId>h</HostId>\
             <Code>StackNotFound</Code><Message>a &lt; &#98;</Message></Error>\n",
        )
        .unwrap();
        for body in [json, xml] {
            assert_eq!(body.request_id, "B288A0BE-D927");
            assert_eq!((body.code(), body.member("Message")), (Some("StackNotFound"), Some("a < b")));
        }
    }

    #[test]
    fn members_are_found_in_lower_case_too() {
        let body = parse(r#"{"requestId":"B288","code":"Throttling","message":"m"}"#).unwrap();
        assert_eq!((body.request_id.as_str(), body.code(), body.member("Message")), ("B288", Some("Throttling"), Some("m")));
    }

    #[test]
    fn only_the_outermost_object_counts() {
        let nested = r#"{"RequestId":"B288","Status":"CREATE_FAILED","OperationInfo":{"Code":"Throttling","RequestId":"inner"}}"#;
        assert_eq!(parse(nested).unwrap().code(), None);
        let nested = "<GetStackResponse><OperationInfo><Code>Throttling</Code><RequestId>inner</RequestId></OperationInfo>\
                      <RequestId>B288</RequestId><Status>CREATE_FAILED</Status></GetStackResponse>";
        let body = parse(nested).unwrap();
        assert_eq!((body.request_id.as_str(), body.code(), body.member("Status")), ("B288", None, Some("CREATE_FAILED")));
    }

    #[test]
    fn what_is_not_from_ros_is_not_read() {
        for text in [
            "",
            "ok",
            "[]",
            "{}",
            "null",
            r#"{"RequestId":""}"#,
            r#"{"RequestId":null,"Code":7}"#.trim_end_matches('}'),
            r#"{"RequestId":"B288"#,
            r#"{"RequestId":"<script>"}"#,
            "<html><head><title>Log in</title></head><body>Welcome</body></html>",
            "<!DOCTYPE html><html><RequestId>B288</RequestId></html>",
            "<R><RequestId>B288</RequestId>",
            "<R><RequestId>B2&unknown;88</RequestId></R>",
            "<R><RequestId>B288</Request></R>",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(parse(&format!("{}x{}", "<a>".repeat(10_000), "</a>".repeat(10_000))), None);
        assert_eq!(parse(&format!("{}{}", "[".repeat(10_000), "]".repeat(10_000))), None);
        assert_eq!(Body::parse(&[0xff, 0xfe, 0x00]), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
            let _ = Body::parse(&bytes);
        }

        #[test]
        fn no_near_xml_makes_it_panic(text in "(<[/!?]?[a-zA-Z&;# ]{0,8}>?|&#?[a-z0-9]{0,5};?|RequestId|\\]\\]>){0,40}") {
            let _ = parse(&format!("<{text}"));
        }
    }
}
