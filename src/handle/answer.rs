//! What an answer of the service behind a handle's URL means.
//!
//! Its bodies are documented nowhere, so this is a decision. *Acknowledged* is a 200, 201, 202 or 204 whose body says nothing against
//! it: empty, JSON without an error in it, XML of ROS with a RequestId, or a line of text that speaks of no error. A page of HTML is not
//! from the service, whatever its status. Everything else is a refusal: by its `Code`, if it has one, as the API's; else by its status.
//! 401, 403 and 410, and any other 4xx after the time in `expire`, mean that the URL has expired.

use super::document::Document;
use crate::rpc::{Body, action, retry_after};
use crate::signal::{Class, Refusal};
use crate::transport::clean;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use serde_json::Value;

/// The longest text that can be an acknowledgement, in bytes.
const TEXT_LIMIT: usize = 256;

/// An answer, whoever wrote it.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

/// Not acknowledged.
#[derive(Debug)]
pub(super) struct Refused {
    /// Another URL is needed.
    pub(super) expired: bool,
    pub(super) refusal: Refusal,
}

/// What a body says.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    /// Nothing against it.
    Fine,
    /// Written by something else.
    Foreign,
    /// An error in the form of the service, perhaps with its code.
    Error { code: Option<String>, message: String },
}

/// The receipt, or the refusal. `late`: the time in `expire` has passed.
pub(super) fn judge(reply: &Reply, document: &Document, host: &str, late: bool, now_ms: i64) -> Result<String, Box<Refused>> {
    let ros = Body::parse(&reply.body);
    let request_id = ros.as_ref().map(|body| body.request_id.clone()).or_else(|| header(&reply.headers, "x-acs-request-id"));
    let request_id = request_id.map(|id| document.masked(&id));
    let said = read(reply, ros.as_ref());
    let status = reply.status;
    if matches!(status, 200 | 201 | 202 | 204) && said == Said::Fine {
        return Ok(request_id.unwrap_or_else(|| format!("none, HTTP {status}")));
    }
    let client_error = (400..500).contains(&status);
    let (code, detail) = match &said {
        Said::Error { code, message } => (code.clone(), document.masked(message)),
        Said::Foreign => (None, "a body that is not the service's".to_owned()),
        Said::Fine => (None, String::new()),
    };
    let class = class(code.as_deref(), status, &said);
    // What is wrong with credentials here is wrong with the URL: there are no others.
    let url_refused = matches!(status, 401 | 403 | 410) || (class == Class::Credentials && client_error);
    let expired = url_refused || (late && client_error && !matches!(status, 408 | 425 | 429));
    let named = code.as_deref().map(|code| format!(", {}", document.masked(code))).unwrap_or_default();
    let detail = if detail.is_empty() { detail } else { format!(": {detail}") };
    let message = format!("HTTP {status} from {host}{named}{detail}");
    let hint = match status {
        200..=299 => Some("something between this host and the service answers in its place, such as a captive portal or a proxy"),
        300..=399 => Some("redirects are not followed"),
        _ => None,
    };
    let refusal = Refusal {
        class: if expired { Class::Permission } else { class },
        definite: client_error && !matches!(status, 408 | 409 | 425 | 429) && said != Said::Foreign,
        code: code.map(|code| document.masked(&code)),
        message,
        request_id,
        retry_after: retry_after(&reply.headers, now_ms),
        hint: hint.map(str::to_owned),
    };
    Err(Box::new(Refused { expired, refusal }))
}

fn class(code: Option<&str>, status: u16, said: &Said) -> Class {
    match (code, status) {
        (Some(code), _) => action(Some(code), status).class(),
        // Whoever wrote it cannot tell what will not heal.
        (None, 400..=499) if *said == Said::Foreign && status != 429 => Class::Transient,
        (None, 429) => Class::Throttled,
        (None, 400..=499) if !matches!(status, 408 | 409 | 425) => Class::Permanent,
        _ => Class::Transient,
    }
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    let text = headers.get(name)?.to_str().ok()?;
    (1..=128).contains(&text.len()).then(|| clean(text))
}

fn read(reply: &Reply, ros: Option<&Body>) -> Said {
    if let Some(body) = ros {
        return match body.code() {
            None if (200..300).contains(&reply.status) => Said::Fine,
            code => Said::Error { code: code.map(str::to_owned), message: body.member("Message").unwrap_or_default().to_owned() },
        };
    }
    let Ok(text) = std::str::from_utf8(&reply.body) else { return Said::Foreign };
    let text = text.trim_start_matches('\u{feff}').trim();
    let html = reply.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(|kind| kind.contains("html"));
    if text.is_empty() {
        return Said::Fine;
    }
    if html || text.starts_with('<') {
        return Said::Foreign;
    }
    match serde_json::from_str::<Value>(text) {
        Ok(value) => of_json(&value),
        // Cut off in the middle, or another form of the same trouble.
        Err(_) if text.starts_with(['{', '[']) => Said::Foreign,
        Err(_) => of_text(text),
    }
}

fn of_json(value: &Value) -> Said {
    let member = |name: &str| value.as_object()?.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value);
    let text = |name: &str| member(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let code = match member("code") {
        Some(Value::String(code)) => Some(code.clone()).filter(|code| !matches!(code.as_str(), "" | "200" | "0" | "OK" | "Success")),
        Some(Value::Number(code)) if !matches!(code.as_u64(), Some(0 | 200..=299)) => Some(code.to_string()),
        _ => None,
    };
    let denied = matches!(member("success"), Some(Value::Bool(false)));
    let error = member("error").or_else(|| member("errors")).filter(|error| !matches!(error, Value::Null | Value::Bool(false)));
    match (code, error) {
        (None, None) if denied => Said::Error { code: None, message: text("message") },
        (None, None) => match value {
            Value::String(text) => of_text(text),
            _ => Said::Fine,
        },
        (code, error) => {
            let said =
                [text("message"), error.map(|error| error.as_str().map_or_else(|| error.to_string(), str::to_owned)).unwrap_or_default()];
            Said::Error { code, message: said.into_iter().find(|text| !text.is_empty()).unwrap_or_default() }
        }
    }
}

fn of_text(text: &str) -> Said {
    let lower = text.to_ascii_lowercase();
    let complains =
        ["error", "fail", "invalid", "denied", "expired", "not found", "unauthorized", "forbidden"].iter().any(|w| lower.contains(w));
    match text.len() <= TEXT_LIMIT && !complains {
        true => Said::Fine,
        false => Said::Error { code: None, message: text.to_owned() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const URL: &str =
        "http://100.100.100.110/waitcondition?stackid=4a6c&resource=WebReady&expire=1790000000&signature=0123456789abcdef0123";

    fn reply(status: u16, kind: &str, body: &str) -> Reply {
        Reply { status, headers: [(CONTENT_TYPE, kind.parse().unwrap())].into_iter().collect(), body: body.into() }
    }

    fn judged(status: u16, body: &str, late: bool) -> Result<String, Box<Refused>> {
        judge(&reply(status, "application/json", body), &Document::parse(URL).unwrap(), "h", late, 0)
    }

    #[test]
    fn scenario_3_only_a_clear_2xx_is_an_acknowledgement() {
        for (status, body) in [
            (200, ""),
            (200, "ok"),
            (200, "{}"),
            (200, "null"),
            (200, "true"),
            (200, r#"{"code": 200, "message": "fine"}"#),
            (200, r#"{"RequestId": "B288A0BE"}"#),
            (200, "<R><RequestId>B288</RequestId></R>"),
            (201, ""),
            (202, r#"{"success": true, "error": null}"#),
            (204, ""),
        ] {
            assert!(judged(status, body, false).is_ok(), "HTTP {status} {body}");
        }
        for (status, body) in [
            (200, "<html>please log in</html>"),
            (200, "error: no such stack"),
            (200, r#""Invalid signature""#),
            (200, r#"{"RequestId": "B288", "Code": "StackNotFound"}"#),
            (200, r#"{"Code": "StackNotFound"}"#),
            (200, r#"{"code": 500}"#),
            (200, r#"{"success": false}"#),
            (200, r#"{"error": {"why": "x"}}"#),
            (200, r#"{"RequestId": "#),
            (203, ""),
            (206, "ok"),
            (302, ""),
            (400, ""),
            (400, "ok"),
            (403, "{}"),
            (500, ""),
            (503, "ok"),
        ] {
            assert!(judged(status, body, false).is_err(), "HTTP {status} {body}");
        }
        let page = reply(200, "text/html; charset=utf-8", "Welcome");
        assert!(judge(&page, &Document::parse(URL).unwrap(), "h", false, 0).is_err());
        assert!(judge(&reply(200, "text/plain", &"x".repeat(300)), &Document::parse(URL).unwrap(), "h", false, 0).is_err());
    }

    #[test]
    fn refusals_are_classed_by_code_and_else_by_status() {
        let class = |status, body: &str| judged(status, body, false).unwrap_err().refusal.class;
        assert_eq!(class(400, r#"{"Code": "Throttling.User"}"#), Class::Throttled);
        assert_eq!(class(404, r#"{"Code": "StackNotFound"}"#), Class::TooEarly);
        assert_eq!(class(400, ""), Class::Permanent);
        assert_eq!(class(404, ""), Class::Permanent);
        assert_eq!(class(408, ""), Class::Transient);
        assert_eq!(class(429, ""), Class::Throttled);
        assert_eq!(class(500, ""), Class::Transient);
        assert_eq!(class(302, ""), Class::Transient);
    }

    #[test]
    fn only_what_the_service_itself_refuses_is_definite() {
        let definite = |status, body: &str| judged(status, body, false).unwrap_err().refusal.definite;
        assert!(definite(400, "") && definite(404, r#"{"Code": "StackNotFound"}"#) && definite(403, ""));
        assert!(!definite(403, "<html>") && !definite(408, "") && !definite(409, "") && !definite(429, "") && !definite(500, ""));
    }

    #[test]
    fn a_url_that_is_not_taken_has_expired() {
        let expired = |status, body: &str, late| judged(status, body, late).unwrap_err().expired;
        for status in [401, 403, 410] {
            assert!(expired(status, "", false), "{status}");
        }
        assert!(expired(400, r#"{"Code": "SignatureDoesNotMatch"}"#, false));
        assert!(!expired(400, "", false) && expired(400, "", true) && expired(404, "", true));
        assert!(!expired(429, "", true) && !expired(500, "", true) && !expired(200, "<html>", true));
    }

    #[test]
    fn scenario_18_an_answer_that_repeats_the_url_is_not_shown() {
        for body in [
            r#"{"Code": "InvalidUrl", "Message": "bad signature 0123456789ABCDEF0123 in URL"}"#,
            r#"{"Code": "0123456789abcdef0123"}"#,
            "no: http://h/?signature=0123456789abcdef0123 error",
        ] {
            for status in [200, 400, 403, 500] {
                let shown = format!("{:?}", judged(status, body, false).unwrap_err());
                assert!(!shown.to_ascii_lowercase().contains("0123456789abcdef"), "{shown}");
            }
        }
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_panic_or_repeats_the_url(
            status in 200_u16..600,
            kind in "(text/html|application/json|text/plain|\\PC{0,10})",
            before in "(\\{\"Code\": \"|\\{\"error\": \\[\"|<R><RequestId>|\"|\\PC{0,12}){0,3}",
            after in "(\"\\}|\"\\]\\}|</RequestId></R>|\"|\\PC{0,12}){0,3}",
        ) {
            let body = format!("{before}0123456789abcdef0123{after}");
            let Ok(content_type) = reqwest::header::HeaderValue::try_from(&kind) else { return Ok(()) };
            let reply = Reply { status, headers: [(CONTENT_TYPE, content_type)].into_iter().collect(), body: body.into_bytes() };
            let shown = format!("{:?}", judge(&reply, &Document::parse(URL).unwrap(), "h", false, 0));
            prop_assert!(!shown.contains("0123456789abcdef0123"), "{}", shown);
        }
    }
}
