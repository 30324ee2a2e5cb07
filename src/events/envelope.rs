//! Reads one body into events: what a source was handed, whoever sent it. Pure.
//!
//! ```text
//! {"specversion": "1.0", "type": "ros:...", "source": "acs.ros", "id": ..., "data": {...}}   CloudEvent, structured (transform ORIGINAL)
//! [{...}, {...}]                                                                              several: batch
//! ce-type: ros:...  ce-id: ...                                                                binary: attributes in headers, body is `data`
//! {"StackId": "...", "Status": "..."}                                                         bare data (JSONPATH, TEMPLATE; the callback of ROS)
//! look now                                                                                    any text (CONSTANT, TEMPLATE): a reason to look
//! eyJpZCI6...                                                                                 base64 of any of the first four (queues)
//! ```
//!
//! What decides is the body, not `Content-Type`: which one EventBridge sends is not documented. The reader is tolerant where official
//! pages and libraries differ from each other, and a bad or missing optional attribute never loses an event. It refuses what is of
//! another source, what contradicts itself, and what is larger or deeper than any event. `data` is an object, once a text, or base64;
//! of what it holds only the stack, its name and its status are kept, never outputs or tags.
//!
//! Bounds: a body of 512 KiB (EventBridge allows 256 KB), 32 levels, 128 events; kept are some hundred bytes for each.

mod facts;
pub mod kinds;
mod members;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
mod time;
mod topic;

pub use topic::unwrap_topic;

use super::Event;
use crate::rpc::hex;
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use facts::Facts;
use http::HeaderMap;
use members::{elements, is_too_deep, members, text_of};
use percent_encoding::percent_decode;
use ring::digest::{Context, SHA256};
use std::borrow::Cow;

/// The most of a body that is read, in bytes.
pub const LIMIT: usize = 512 * 1024;
/// The most events of one body.
pub const BATCH: usize = 128;
/// The most characters that a transform of EventBridge makes of a template.
const TEXT_LIMIT: usize = 10_240;
/// `id`, `source` and `type` are documented with 128, 128 and 64 characters.
const ATTRIBUTE_LIMIT: usize = 128;
const NAME_LIMIT: usize = 255;
const STATUS_LIMIT: usize = 64;
const TIME_LIMIT: usize = 64;

const BASE64: GeneralPurpose =
    GeneralPurpose::new(&STANDARD, GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent));

/// How the body came.
#[derive(Clone, Copy, Debug)]
pub enum Carrier<'a> {
    /// As a request with these headers.
    Http(&'a HeaderMap),
    /// As a message of a queue.
    Message,
    /// As a file: text that is no event is somebody's file, and no reason to look.
    File,
}

/// Why a body was not taken as an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.reason())]
pub enum Refused {
    /// Nothing but white space.
    Empty,
    /// More than [`LIMIT`].
    TooLarge,
    /// It cannot be read.
    NotJson,
    /// More than 32 levels.
    TooDeep,
    /// More than [`BATCH`].
    TooMany,
    /// JSON of something else.
    NotAnEvent,
    /// `source` is not `acs.ros`.
    OtherSource,
    /// `subject` and `data` contradict each other.
    Disagree,
    /// A `StackId` that is no text of 1 to 128 printable characters.
    StackId,
}

impl Refused {
    /// In a few words; for [`Health::refused`](super::Health::refused).
    pub fn reason(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::TooLarge => "larger than 512 KiB",
            Self::NotJson => "neither JSON nor base64 of JSON",
            Self::TooDeep => "nested too deeply",
            Self::TooMany => "more than 128 events at once",
            Self::NotAnEvent => "not an event",
            Self::OtherSource => "not a ROS event",
            Self::Disagree => "subject and data.StackId name different stacks",
            Self::StackId => "a StackId that cannot be one",
        }
    }

    /// What a person can do about it.
    pub fn hint(self) -> &'static str {
        match self {
            Self::Empty => "write the file under a name that begins with a dot, then rename it",
            Self::TooLarge | Self::TooDeep | Self::TooMany => "EventBridge sends nothing like it; find out who does",
            Self::NotJson | Self::NotAnEvent => {
                "let the target of the rule send the complete event, or a text with \"StackId\" and \"Status\""
            }
            Self::OtherSource => "narrow the filter of the rule to the source acs.ros",
            Self::Disagree | Self::StackId => "let the target of the rule send the complete event, unaltered",
        }
    }
}

impl Event {
    /// `time` in milliseconds since 1970, if it says one in a form that is known.
    pub fn at_ms(&self) -> Option<i64> {
        time::read(self.time.as_deref()?)
    }
}

/// The events in `body`. Of several, those that are none do not lose the others.
///
/// `delivery` tells apart deliveries of bodies that have no `id` and may come again with the same words (bare data and texts): the id of
/// a message, the signed time, name and time of a file. It takes part in the id then. It may be empty.
///
/// # Errors
/// If there is no event in it: why, of several that of the first.
pub fn read(body: &[u8], carrier: Carrier<'_>, delivery: &str) -> Result<Vec<Event>, Refused> {
    if body.len() > LIMIT {
        return Err(Refused::TooLarge);
    }
    let headers = match carrier {
        Carrier::Http(headers) => binary(headers),
        Carrier::Message | Carrier::File => None,
    };
    let text = trimmed(body).ok_or(Refused::NotJson)?;
    let json = json_in(text);
    if json.as_deref().is_some_and(is_too_deep) {
        return Err(Refused::TooDeep);
    }
    let raw = Raw { body, delivery };
    match (json, headers) {
        (Some(json), headers) if json.starts_with('{') => object(&json, headers, &raw).map(|event| vec![event]),
        (json, Some(attributes)) => event(attributes, json.as_deref(), &raw).map(|event| vec![event]),
        (Some(json), None) => batch(&json, delivery),
        (None, None) if text.is_empty() => Err(Refused::Empty),
        (None, None) if is_plain(text) && !matches!(carrier, Carrier::File) => Ok(vec![Event { id: raw.delivered(), ..Event::default() }]),
        (None, None) => Err(Refused::NotJson),
    }
}

/// The text of a body, without white space and the mark of its byte order.
fn trimmed(body: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(body).ok()?;
    Some(text.trim_start_matches('\u{feff}').trim())
}

/// The object or array in `text`: itself, as a JSON text, or as base64.
fn json_in(text: &str) -> Option<Cow<'_, str>> {
    let is_json = |text: &str| text.starts_with(['{', '[']);
    if is_json(text) {
        return Some(Cow::Borrowed(text));
    }
    let inner = if text.starts_with('"') { text_of(Some(text))? } else { decoded(text)? };
    let inner = inner.trim();
    is_json(inner).then(|| Cow::Owned(inner.to_owned()))
}

/// What base64 stands for, if that is a text; with line feeds as base64(1) writes them.
fn decoded(text: &str) -> Option<String> {
    let text: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    String::from_utf8(BASE64.decode(text).ok()?).ok()
}

/// A text that a transform may have made.
fn is_plain(text: &str) -> bool {
    !text.starts_with('<') && text.len() <= 4 * TEXT_LIMIT && text.chars().all(|c| !c.is_control() || c.is_whitespace())
}

/// What an event is known by where it has no `id`.
struct Raw<'a> {
    body: &'a [u8],
    delivery: &'a str,
}

impl Raw<'_> {
    fn digest(&self) -> String {
        digest(&[self.body])
    }

    fn delivered(&self) -> String {
        if self.delivery.is_empty() { self.digest() } else { digest(&[self.body, &[0], self.delivery.as_bytes()]) }
    }
}

fn digest(parts: &[&[u8]]) -> String {
    let mut context = Context::new(&SHA256);
    parts.iter().for_each(|part| context.update(part));
    hex(context.finish().as_ref())
}

fn batch(json: &str, delivery: &str) -> Result<Vec<Event>, Refused> {
    let elements = elements(json, BATCH).ok_or(Refused::NotJson)?;
    if elements.len() > BATCH {
        return Err(Refused::TooMany);
    }
    let (mut events, mut refused) = (Vec::with_capacity(elements.len()), Refused::NotAnEvent);
    for element in elements.iter().rev() {
        match object(element, None, &Raw { body: element.as_bytes(), delivery }) {
            Ok(event) => events.push(event),
            Err(why) => refused = why,
        }
    }
    events.reverse();
    if events.is_empty() { Err(refused) } else { Ok(events) }
}

/// Attributes of a CloudEvent; empty ones are none.
#[derive(Default)]
struct Attributes {
    kind: Option<String>,
    id: Option<String>,
    source: Option<String>,
    subject: Option<String>,
    time: Option<String>,
}

/// One object: a CloudEvent; else the data of one whose attributes are in headers; else bare data.
fn object(json: &str, headers: Option<Attributes>, raw: &Raw<'_>) -> Result<Event, Refused> {
    let names = ["specversion", "type", "id", "source", "subject", "time", "data", "data_base64"];
    let Some([specversion, kind, id, source, subject, time, data, base64]) = members(json, names) else {
        // A broken body or an element of a batch that is no object.
        return Err(if json.starts_with('{') { Refused::NotJson } else { Refused::NotAnEvent });
    };
    if specversion.is_some() || (kind.is_some() && (data.is_some() || base64.is_some() || source.is_some())) {
        let attributes =
            Attributes { kind: text_of(kind), id: id_of(id), source: text_of(source), subject: text_of(subject), time: text_of(time) };
        let data = data.map(Cow::Borrowed).or_else(|| decoded(&text_of(base64)?).map(Cow::Owned));
        return event(attributes, data.as_deref(), raw);
    }
    if let Some(attributes) = headers {
        return event(attributes, Some(json), raw);
    }
    let facts = facts::read(json)?;
    if facts.stack_id.is_none() {
        return Err(Refused::NotAnEvent);
    }
    Ok(made(Attributes { id: id_of(id), ..Attributes::default() }, facts, None, || raw.delivered()))
}

/// A text, or a number as text.
fn id_of(member: Option<&str>) -> Option<String> {
    text_of(member).or_else(|| member.filter(|raw| raw.starts_with(|c: char| c.is_ascii_digit())).map(str::to_owned))
}

/// The attributes of binary mode; none: it is another.
fn binary(headers: &HeaderMap) -> Option<Attributes> {
    let of = |name: &str| headers.get(name).map(|value| header_text(value.as_bytes()));
    let (kind, id) = (of("ce-type")?, of("ce-id")?);
    Some(Attributes { kind: Some(kind), id: Some(id), source: of("ce-source"), subject: of("ce-subject"), time: of("ce-time") })
}

/// A header's value as CloudEvents writes it (HTTP protocol binding 1.0.2, 3.1.3.2): without outer quotes, percent-decoded once.
fn header_text(value: &[u8]) -> String {
    let value = String::from_utf8_lossy(value);
    let quoted = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let bare = quoted.map_or(value.clone(), |inner| Cow::Owned(inner.replace("\\\"", "\"").replace("\\\\", "\\")));
    percent_decode(bare.as_bytes()).decode_utf8_lossy().into_owned()
}

/// The event that `attributes` and `data` are.
fn event(attributes: Attributes, data: Option<&str>, raw: &Raw<'_>) -> Result<Event, Refused> {
    let is_ros = match (attributes.source.as_deref(), attributes.kind.as_deref()) {
        (Some(source), _) => source == "acs.ros" || source == "acs:ros",
        (None, Some(kind)) => kind.starts_with("ros:"),
        (None, None) => return Err(Refused::NotAnEvent),
    };
    if !is_ros {
        return Err(Refused::OtherSource);
    }
    let facts = match data {
        Some(data) if is_too_deep(data) => return Err(Refused::TooDeep),
        Some(data) => facts::read(data)?,
        None => Facts::default(),
    };
    let subject = attributes.subject.clone();
    let of_subject = subject.as_deref().and_then(facts::of_subject);
    if let (Some(subject), Some(stack)) = (of_subject, facts.stack_id.as_deref())
        && subject != stack
    {
        return Err(Refused::Disagree);
    }
    Ok(made(attributes, facts, of_subject, || raw.digest()))
}

/// Cuts everything to size.
fn made(attributes: Attributes, facts: Facts, of_subject: Option<&str>, otherwise: impl FnOnce() -> String) -> Event {
    let kind = cut(&attributes.kind.unwrap_or_default(), ATTRIBUTE_LIMIT);
    let said = facts.status.filter(|_| kinds::is_of_stack(&kind)).map(|status| cut(&status, STATUS_LIMIT));
    let is_id = |id: &String| id.len() <= ATTRIBUTE_LIMIT && !id.chars().any(char::is_control);
    let id = match attributes.id.filter(|id| !id.is_empty()) {
        Some(id) if is_id(&id) => id,
        // Cut, two of them could be the same.
        Some(id) => digest(&[id.as_bytes()]),
        None => otherwise(),
    };
    Event {
        id,
        source: cut(&attributes.source.unwrap_or_default(), ATTRIBUTE_LIMIT),
        stack_id: facts.stack_id.or_else(|| of_subject.map(str::to_owned)),
        stack_name: facts.stack_name.map(|name| cut(&name, NAME_LIMIT)),
        status: said.or_else(|| kinds::implied_status(&kind).map(str::to_owned)),
        time: attributes.time.map(|time| cut(&time, TIME_LIMIT)),
        test: false,
        kind,
    }
}

/// At most `limit` bytes of `text`, in one line.
fn cut(text: &str, limit: usize) -> String {
    let mut room = limit;
    let fits = |c: &char| {
        let left = room.checked_sub(c.len_utf8());
        room = left.unwrap_or(0);
        left.is_some()
    };
    text.chars().take_while(fits).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
