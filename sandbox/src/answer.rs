//! An answer on its way out: status, headers, and a body that may be slow, endless or cut short.

use hyper::body::Bytes;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::refusal::Refusal;
use crate::switches::Format;

/// The request id stands in this header too (2015 API pages).
pub(crate) const REQUEST_ID_HEADER: &str = "x-acs-request-id";

/// And so at SMQ.
pub(crate) const SMQ_REQUEST_ID_HEADER: &str = "x-mns-request-id";

/// What becomes of a request.
#[derive(Debug)]
pub(crate) enum Outcome {
    Answer(Answer),
    /// The connection is reset (RST), without an answer.
    Reset,
}

#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Body,
    /// The error code in it, for the record.
    pub(crate) code: Option<String>,
}

#[derive(Debug, Clone)]
pub(crate) enum Body {
    Whole(Bytes),
    /// Sent in pieces of `piece` bytes with a pause before each.
    Paced {
        content: Bytes,
        piece: usize,
        pause_ms: u64,
        ending: Ending,
    },
}

/// How a paced body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// As announced.
    Whole,
    /// The connection closes although the announced length has not been sent.
    Cut,
    /// Never: the content comes again and again, until the client has gone or the bound is reached.
    Endless,
}

impl Answer {
    pub(crate) fn text(status: u16, text: impl Into<String>) -> Self {
        Self::new(status, "text/plain; charset=utf-8", text.into().into_bytes())
    }

    pub(crate) fn json(status: u16, value: &Value) -> Self {
        Self::new(status, "application/json", value.to_string().into_bytes())
    }

    pub(crate) fn new(status: u16, content_type: &str, body: Vec<u8>) -> Self {
        Self { status, headers: vec![("content-type".to_owned(), content_type.to_owned())], body: Body::Whole(body.into()), code: None }
    }
}

/// A fresh request id, in the form ROS prints.
pub(crate) fn request_id() -> String {
    Uuid::new_v4().to_string().to_uppercase()
}

/// A result of an operation as ROS writes it. `members` has the documented members without `RequestId`.
pub(crate) fn success(action: &str, request_id: &str, mut members: Map<String, Value>, format: Format) -> Answer {
    members.insert("RequestId".to_owned(), Value::from(request_id));
    write(200, &format!("{action}Response"), request_id, &Value::Object(members), format)
}

/// An error as ROS and its gateway write it: `RequestId`, `HostId`, `Code`, `Message`.
pub(crate) fn refused(refusal: &Refusal, request_id: &str, host: &str, format: Format) -> Answer {
    let mut error = json!({
        "RequestId": request_id,
        "HostId": host,
        "Code": refusal.code,
        "Message": refusal.message,
    });
    if let (Some(action), Some(members)) = (&refusal.denied_action, error.as_object_mut()) {
        let detail = json!({
            "AuthAction": action,
            "AuthPrincipalType": "AssumedRoleUser",
            "NoPermissionType": "ImplicitDeny",
            "PolicyType": "AccountLevelIdentityBasedPolicy",
        });
        members.insert("AccessDeniedDetail".to_owned(), detail);
    }
    let mut answer = write(refusal.status, "Error", request_id, &error, format);
    if let Some(millis) = refusal.retry_after_ms {
        answer.headers.push(("x-acs-retry-after".to_owned(), millis.to_string()));
    }
    answer.code = Some(refusal.code.clone());
    answer
}

fn write(status: u16, root: &str, request_id: &str, value: &Value, format: Format) -> Answer {
    let mut answer = match format {
        Format::Json => Answer::new(status, "application/json;charset=utf-8", value.to_string().into_bytes()),
        Format::Xml => {
            let mut xml = String::from("<?xml version='1.0' encoding='UTF-8'?>");
            write_xml(&mut xml, root, value);
            Answer::new(status, "text/xml;charset=utf-8", xml.into_bytes())
        }
    };
    answer.headers.push((REQUEST_ID_HEADER.to_owned(), request_id.to_owned()));
    answer
}

/// Members become elements, a list becomes its element again and again, null is left out.
fn write_xml(xml: &mut String, name: &str, value: &Value) {
    let text = match value {
        Value::Null => return,
        Value::Array(items) => return items.iter().for_each(|item| write_xml(xml, name, item)),
        Value::Object(members) => {
            let mut inner = String::new();
            members.iter().for_each(|(name, value)| write_xml(&mut inner, name, value));
            inner
        }
        Value::String(text) => quick_xml::escape::escape(text.as_str()).into_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
    };
    xml.push_str(&format!("<{name}>{text}</{name}>"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(answer: &Answer) -> String {
        match &answer.body {
            Body::Whole(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
            Body::Paced { .. } => unreachable!(),
        }
    }

    #[test]
    fn signal_resource_answers_in_xml_as_its_page_shows() {
        let answer = success("SignalResource", "B288A0BE", Map::new(), Format::Xml);
        let expected = "<SignalResourceResponse><RequestId>B288A0BE</RequestId></SignalResourceResponse>";
        assert!(text(&answer).ends_with(expected), "{}", text(&answer));
    }

    #[test]
    fn errors_have_the_same_members_in_both_formats() {
        let refusal = Refusal::not_found("StackNotFound", "The Stack (a<b) could not be found.");
        let json = refused(&refusal, "R1", "127.0.0.1:1", Format::Json);
        let members: Value = serde_json::from_str(&text(&json)).unwrap();
        assert_eq!(members["Code"], "StackNotFound");
        assert_eq!(members["HostId"], "127.0.0.1:1");
        let xml = text(&refused(&refusal, "R1", "127.0.0.1:1", Format::Xml));
        assert!(xml.contains("<Error>") && xml.contains("<Code>StackNotFound</Code>"), "{xml}");
        assert!(xml.contains("(a&lt;b)"), "{xml}");
    }
}
