//! The service behind a handle's URL: takes signals of whoever has the URL, without credentials.
//!
//! ```text
//! POST /waitcondition?stackname=NAME&stackid=ID&resource=HANDLE&expire=UNIX_SECONDS&signature=40_HEX_DIGITS
//! {"status": "SUCCESS", "id": "...", "reason": "...", "data": "..."}
//! ```
//!
//! The shape is that of the GetStackResource sample of 2019; what the signature covers, what the service answers, and whether it minds
//! the case of keys is documented nowhere, so the answers are switches. Here the signature is HMAC-SHA1, under a key of its own, of all
//! that stands before it.

use ring::hmac;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::answer::{self, Answer};
use crate::clock::Moment;
use crate::refusal::Refusal;
use crate::request::Request;
use crate::secret::Secret;
use crate::stack::{Message, SignalStatus, Stack};
use crate::switches::{HandleAnswer, HandleHeaders, Switches};
use crate::world::Inner;

/// The longest `id`, as for SignalResource.
const ID_CHARACTERS: usize = 64;

/// The most bytes of `reason` and `data` that are kept.
const TEXT_KEPT: usize = 64 * 1024;

/// Makes URLs, and knows its own again.
#[derive(Debug)]
pub(crate) struct Signer {
    key: Secret,
    /// `http://127.0.0.1:PORT`, once it listens.
    pub(crate) base: String,
}

impl Default for Signer {
    fn default() -> Self {
        Self { key: Secret::new(Uuid::new_v4().simple().to_string()), base: String::new() }
    }
}

impl Signer {
    fn sign(&self, text: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, self.key.reveal().as_bytes());
        hmac::sign(&key, text.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The attributes of the handle `name` that lead here; the URL works until `handle_url_seconds` after `now`.
    pub(crate) fn attributes(&self, stack: &Stack, name: &str, now: Moment, switches: &Switches) -> Vec<(&'static str, Value)> {
        let expire = now.unix_timestamp().saturating_add(i64::from(switches.handle_url_seconds));
        let signed = format!("stackname={}&stackid={}&resource={name}&expire={expire}", stack.name, stack.id);
        let url = format!("{}/waitcondition?{signed}&signature={}", self.base, self.sign(&signed));
        let headers = [("Content-Type", "application/json"), ("Accept", "application/json"), ("x-acs-region-id", stack.region.as_str())];
        let options = |quote: char| headers.iter().map(|(name, value)| format!(" -H {quote}{name}: {value}{quote}")).collect::<String>();
        let object: Map<String, Value> = headers.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))).collect();
        let headers = match switches.handle_headers {
            HandleHeaders::Object => Value::Object(object),
            HandleHeaders::Text => Value::from(Value::Object(object).to_string()),
        };
        vec![
            ("URL", Value::from(url.clone())),
            ("Headers", headers),
            ("CurlCli", Value::from(format!("curl -i -X POST{} {}", options('\''), url.replace('&', "\\&")))),
            ("WindowsCurlCli", Value::from(format!("curl.exe -i -X POST{} \"{url}\"", options('"')))),
        ]
    }

    /// Name, id and handle of a URL of ours, and when it expires.
    fn read<'a>(&self, request: &'a Request) -> Option<(&'a str, &'a str, i64)> {
        let of = |name: &str| request.query.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str());
        let (name, id, resource, expire) = (of("stackname")?, of("stackid")?, of("resource")?, of("expire")?);
        let signed = format!("stackname={name}&stackid={id}&resource={resource}&expire={expire}");
        (of("signature")? == self.sign(&signed)).then_some(())?;
        Some((id, resource, expire.parse().ok()?))
    }
}

/// Answers a request to the URL of a handle.
pub(crate) fn answer(inner: &mut Inner, request: &Request, now: Moment) -> Answer {
    match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/health-check" | "/health-condition") => Answer::text(200, "ok"),
        ("POST", "/waitcondition") => match take(inner, request, now) {
            Ok(()) => accepted(&inner.switches),
            Err(refusal) => refused(&refusal),
        },
        (_, "/waitcondition") => refused(&Refusal::new(405, "UnsupportedHTTPMethod", "Only POST is supported.")),
        _ => Answer::text(404, "not found"),
    }
}

fn accepted(switches: &Switches) -> Answer {
    let status = switches.handle_accepted_status;
    match switches.handle_answer {
        HandleAnswer::Json => Answer::json(status, &json!({"RequestId": answer::request_id()})),
        HandleAnswer::Object => Answer::json(status, &json!({})),
        HandleAnswer::Text => Answer::text(status, "ok"),
        HandleAnswer::Empty => Answer::new(status, "application/json", Vec::new()),
    }
}

fn refused(refusal: &Refusal) -> Answer {
    let body = json!({"RequestId": answer::request_id(), "Code": refusal.code, "Message": refusal.message});
    Answer { code: Some(refusal.code.clone()), ..Answer::json(refusal.status, &body) }
}

fn take(inner: &mut Inner, request: &Request, now: Moment) -> Result<(), Refusal> {
    let switches = inner.switches;
    let forbidden = |message: &str| Refusal::new(switches.handle_expired_status, "SignatureNotValid", message);
    let (id, resource, expire) = inner.handles.read(request).ok_or_else(|| forbidden("The signature of the URL is not valid."))?;
    if expire < now.unix_timestamp() {
        return Err(forbidden("The URL has expired."));
    }
    let message = read_body(request, &switches)?;
    let stack = inner.stacks.get_mut(id).ok_or_else(|| Refusal::stack_not_found(id))?;
    let region = request.header("x-acs-region-id");
    if region.is_some_and(|region| region != stack.region) {
        return Err(Refusal::stack_not_found(id));
    }
    stack.advance(now, &switches);
    stack.take(resource, message, now, &switches)
}

/// The body, by the rules of the page on handles.
fn read_body(request: &Request, switches: &Switches) -> Result<Message, Refusal> {
    let wrong = |why: &str| Refusal::bad_request("InvalidBody", why);
    let body: Map<String, Value> = serde_json::from_slice(&request.body).map_err(|_| wrong("The body must be a JSON object."))?;
    let is = |key: &str, name: &str| key == name || (switches.handle_keys_ignore_case && key.eq_ignore_ascii_case(name));
    let member = |name: &str| body.iter().find(|(key, _)| is(key, name)).map(|(_, value)| value);
    let text = |name: &str| match member(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(wrong(&format!("{name} must be a string."))),
    };
    let kind = match text("status")?.as_deref().map(str::trim) {
        None | Some("SUCCESS") => SignalStatus::Success,
        Some("FAILURE") => SignalStatus::Failure,
        Some("WARNING") if switches.handle_takes_warning => SignalStatus::Warning,
        Some(_) => return Err(wrong("status must be SUCCESS or FAILURE.")),
    };
    let id = text("id")?;
    if id.as_ref().is_some_and(|id| id.is_empty() || id.chars().count() > ID_CHARACTERS) {
        return Err(wrong("id must have 1 to 64 characters."));
    }
    let data = member("data").map(|data| data.as_str().map_or_else(|| data.to_string(), str::to_owned)).unwrap_or_default();
    let reason = text("reason")?.unwrap_or_default();
    if reason.len() > TEXT_KEPT || data.len() > TEXT_KEPT {
        return Err(wrong("reason and data must not have more than 64 KiB."));
    }
    Ok(Message { id, kind, reason, data })
}
