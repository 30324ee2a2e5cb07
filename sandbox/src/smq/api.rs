//! The operations of SMQ: which one method and path mean, whether RAM permits it, and what it answers, in XML.
//!
//! HTTP statuses are those of the pages where they say one; the others, and what happens when something is deleted twice, are not documented.

use super::queue::{self, Sent, VISIBILITY};
use super::topic::Subscription;
use super::xml::{self, Element};
use super::{Smq, number};
use crate::answer::Answer;
use crate::clock::Moment;
use crate::refusal::Refusal;
use crate::request::Request;
use crate::switches::Switches;

/// Messages in one batch.
const BATCH: std::ops::RangeInclusive<i64> = 1..=16;

/// Entries of one page of a list.
const PAGE: std::ops::RangeInclusive<i64> = 1..=1_000;

/// What a key must be allowed, in groups.
#[derive(Clone, Copy)]
enum Right {
    Receive,
    Send,
    Manage,
    List,
}

/// Where a request goes.
#[derive(Clone, Copy)]
enum Place<'a> {
    Queues,
    Queue(&'a str),
    Messages(&'a str),
    Topics,
    Topic(&'a str),
    Publications(&'a str),
    Subscriptions(&'a str),
    Subscription(&'a str, &'a str),
}

/// An operation and what it is about.
pub(super) struct Call<'a> {
    name: &'static str,
    right: Right,
    place: Place<'a>,
}

/// What becomes of a call.
pub(super) enum Step {
    Answer(Answer),
    /// There is no message yet: again when the bell rings, or then.
    Hold {
        wake: Moment,
    },
}

/// The name of the operation, as RAM policies have it.
pub(crate) fn action(request: &Request) -> Option<&'static str> {
    Call::of(request).map(|call| call.name)
}

/// A parameter of the query, whatever the case of its name.
fn parameter<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    request.query.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

fn is_true(request: &Request, name: &str) -> bool {
    parameter(request, name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

impl<'a> Call<'a> {
    pub(super) fn of(request: &'a Request) -> Option<Self> {
        use Place::{Messages, Publications, Queue, Queues, Subscription, Subscriptions, Topic, Topics};
        use Right::{List, Manage, Receive, Send};
        let segments: Vec<&str> = request.path.trim_matches('/').split('/').collect();
        let place = match segments[..] {
            ["queues"] => Queues,
            ["queues", queue] => Queue(queue),
            ["queues", queue, "messages"] => Messages(queue),
            ["topics"] => Topics,
            ["topics", topic] => Topic(topic),
            ["topics", topic, "messages"] => Publications(topic),
            ["topics", topic, "subscriptions"] => Subscriptions(topic),
            ["topics", topic, "subscriptions", name] => Subscription(topic, name),
            _ => return None,
        };
        let set = is_true(request, "metaoverride");
        let many = parameter(request, "numOfMessages").is_some();
        let peek = is_true(request, "peekonly");
        let (name, right) = match (request.method.as_str(), place) {
            ("GET", Queues) => ("ListQueue", List),
            ("PUT", Queue(_)) if set => ("SetQueueAttributes", Manage),
            ("PUT", Queue(_)) => ("CreateQueue", Manage),
            ("GET", Queue(_)) => ("GetQueueAttributes", List),
            ("DELETE", Queue(_)) => ("DeleteQueue", Manage),
            ("POST", Messages(_)) => ("SendMessage", Send),
            ("GET", Messages(_)) if peek && many => ("BatchPeekMessage", Receive),
            ("GET", Messages(_)) if peek => ("PeekMessage", Receive),
            ("GET", Messages(_)) if many => ("BatchReceiveMessage", Receive),
            ("GET", Messages(_)) => ("ReceiveMessage", Receive),
            ("DELETE", Messages(_)) if parameter(request, "ReceiptHandle").is_some() => ("DeleteMessage", Receive),
            ("DELETE", Messages(_)) => ("BatchDeleteMessage", Receive),
            ("PUT", Messages(_)) => ("ChangeMessageVisibility", Receive),
            ("GET", Topics) => ("ListTopic", List),
            ("PUT", Topic(_)) if set => ("SetTopicAttributes", Manage),
            ("PUT", Topic(_)) => ("CreateTopic", Manage),
            ("GET", Topic(_)) => ("GetTopicAttributes", List),
            ("DELETE", Topic(_)) => ("DeleteTopic", Manage),
            ("POST", Publications(_)) => ("PublishMessage", Send),
            ("GET", Subscriptions(_)) => ("ListSubscriptionByTopic", List),
            ("PUT", Subscription(..)) if set => ("SetSubscriptionAttributes", Manage),
            ("PUT", Subscription(..)) => ("Subscribe", Manage),
            ("GET", Subscription(..)) => ("GetSubscriptionAttributes", List),
            ("DELETE", Subscription(..)) => ("Unsubscribe", Manage),
            _ => return None,
        };
        Some(Self { name, right, place })
    }

    /// Whether RAM lets it run.
    pub(super) fn permitted(&self, switches: &Switches) -> Result<(), Refusal> {
        let permitted = match self.right {
            Right::Receive => switches.permit_smq_receive,
            Right::Send => switches.permit_smq_send,
            Right::Manage => switches.permit_smq_manage,
            Right::List => switches.permit_smq_list,
        };
        if permitted { Ok(()) } else { Err(denied()) }
    }
}

/// RAM says no.
pub(crate) fn denied() -> Refusal {
    Refusal::new(403, "AccessDenied", "The OwnerId that your Access Key Id associated to is forbidden for this operation.")
}

/// Who and when, for an operation.
pub(super) struct Context<'a> {
    /// Number of the account, which is the owner of everything.
    pub(super) account: &'a str,
    pub(super) switches: &'a Switches,
    pub(super) now: Moment,
    /// Since when the request is there; it is held from then on.
    pub(super) since: Moment,
}

/// Runs an operation.
pub(super) fn run(smq: &mut Smq, request: &Request, call: &Call<'_>, context: &Context<'_>) -> Result<Step, Refusal> {
    let now = context.now;
    let answer = match call.place {
        Place::Messages(queue) if matches!(call.name, "ReceiveMessage" | "BatchReceiveMessage") => {
            return receive(smq, request, queue, context);
        }
        Place::Messages(queue) => messages(smq, request, call.name, queue, now),
        Place::Queues => Ok(written(200, list_queues(smq, request, now)?)),
        Place::Queue(name) => queue_itself(smq, request, call.name, name, context),
        Place::Topics => Ok(written(200, list_topics(smq, request)?)),
        Place::Topic(name) => topic_itself(smq, request, call.name, name, context),
        Place::Publications(topic) => {
            let document = document(request)?;
            let body = document.get("MessageBody").ok_or_else(|| Refusal::bad_request("MalformedXML", "The MessageBody is missing."))?;
            let tag = document.get("MessageTag").filter(|tag| !tag.is_empty());
            let (id, md5) = smq.publish_tagged(topic, body, tag, context.account, now)?;
            Ok(written(201, xml::document("Message", &sent(&id, &md5))))
        }
        Place::Subscriptions(topic) => Ok(written(200, list_subscriptions(smq, request, topic)?)),
        Place::Subscription(topic, name) => subscription_itself(smq, request, call.name, (topic, name), context),
    };
    answer.map(Step::Answer)
}

fn receive(smq: &mut Smq, request: &Request, name: &str, context: &Context<'_>) -> Result<Step, Refusal> {
    let now = context.now;
    let many = parameter(request, "numOfMessages").map(|text| number("numOfMessages", text, BATCH)).transpose()?;
    let wait = parameter(request, "waitseconds").map(|text| number("waitseconds", text, 0..=30)).transpose()?;
    let queue = smq.queue(name, now)?;
    let received = queue.receive(usize::try_from(many.unwrap_or(1)).unwrap_or(1), now);
    if received.is_empty() {
        let until = context.since + time::Duration::seconds(wait.unwrap_or(queue.attributes.polling_wait));
        if until <= now {
            return Err(queue::no_message());
        }
        return Ok(Step::Hold { wake: queue.next_visible(now).map_or(until, |next| next.min(until)) });
    }
    Ok(Step::Answer(written(200, in_messages(&received, many.is_some()))))
}

/// One message alone, or a list of them.
fn in_messages(messages: &[String], many: bool) -> String {
    if many {
        let inner: String = messages.iter().map(|message| xml::branch("Message", message)).collect();
        return xml::document("Messages", &inner);
    }
    xml::document("Message", &messages.concat())
}

fn messages(smq: &mut Smq, request: &Request, operation: &str, name: &str, now: Moment) -> Result<Answer, Refusal> {
    let handle = || {
        let handle = parameter(request, "ReceiptHandle");
        handle.ok_or_else(|| Refusal::bad_request("MissingReceiptHandle", "The ReceiptHandle is missing."))
    };
    match operation {
        "SendMessage" => send(smq, request, name, now),
        "DeleteMessage" => {
            smq.queue(name, now)?.delete(handle()?, now)?;
            Ok(empty(204))
        }
        "BatchDeleteMessage" => {
            let document = document(request)?;
            let handles: Vec<&str> = document.children.iter().filter(|it| it.name == "ReceiptHandle").map(|it| it.text.trim()).collect();
            in_batch(handles.len())?;
            let queue = smq.queue(name, now)?;
            let failed = handles.iter().filter_map(|handle| Some((handle, queue.delete(handle, now).err()?)));
            let error = |(handle, refusal): (&&str, Refusal)| {
                let inner =
                    [xml::leaf("ErrorCode", refusal.code), xml::leaf("ErrorMessage", refusal.message), xml::leaf("ReceiptHandle", handle)];
                xml::branch("Error", &inner.concat())
            };
            let errors: String = failed.map(error).collect();
            if errors.is_empty() {
                return Ok(empty(204));
            }
            let mut answer = written(404, xml::document("Errors", &errors));
            answer.code = Some("Errors".to_owned());
            Ok(answer)
        }
        "ChangeMessageVisibility" => {
            let seconds = parameter(request, "VisibilityTimeout");
            let seconds = seconds.ok_or_else(|| Refusal::bad_request("MissingVisibilityTimeout", "The VisibilityTimeout is missing."))?;
            let seconds = number("VisibilityTimeout", seconds, VISIBILITY)?;
            Ok(written(200, smq.queue(name, now)?.change_visibility(handle()?, seconds, now)?))
        }
        _ => {
            let many = parameter(request, "numOfMessages").map(|text| number("numOfMessages", text, BATCH)).transpose()?;
            let peeked = smq.queue(name, now)?.peek(usize::try_from(many.unwrap_or(1)).unwrap_or(1), now);
            if peeked.is_empty() {
                return Err(queue::no_message());
            }
            Ok(written(200, in_messages(&peeked, many.is_some())))
        }
    }
}

fn send(smq: &mut Smq, request: &Request, queue: &str, now: Moment) -> Result<Answer, Refusal> {
    let document = document(request)?;
    if document.name != "Messages" {
        let (id, md5) = smq.send(queue, &Sent::read(&document)?, now)?;
        return Ok(written(201, xml::document("Message", &sent(&id, &md5))));
    }
    in_batch(document.children.len())?;
    let all = document.children.iter().map(Sent::read).collect::<Result<Vec<_>, _>>()?;
    let mut inner = String::new();
    for one in &all {
        let (id, md5) = smq.send(queue, one, now)?;
        inner += &xml::branch("Message", &sent(&id, &md5));
    }
    Ok(written(201, xml::document("Messages", &inner)))
}

fn in_batch(count: usize) -> Result<(), Refusal> {
    let fits = i64::try_from(count).is_ok_and(|count| BATCH.contains(&count));
    if fits { Ok(()) } else { Err(Refusal::bad_request("InvalidArgument", "A batch should have 1 to 16 entries.")) }
}

fn sent(id: &str, md5: &str) -> String {
    xml::leaf("MessageId", id) + &xml::leaf("MessageBodyMD5", md5)
}

fn queue_itself(smq: &mut Smq, request: &Request, operation: &str, name: &str, context: &Context<'_>) -> Result<Answer, Refusal> {
    let now = context.now;
    match operation {
        "CreateQueue" => {
            let attributes = queue::Attributes::default().with(&document(request)?)?;
            let new = smq.create_queue(name, attributes, now)?;
            Ok(created(new, request, &format!("/queues/{name}")))
        }
        "SetQueueAttributes" => {
            let queue = smq.queue(name, now)?;
            let attributes = queue.attributes.clone().with(&document(request)?)?;
            queue.set(attributes, now);
            Ok(empty(204))
        }
        "GetQueueAttributes" => Ok(written(200, xml::document("Queue", &smq.queue(name, now)?.write(name, now)))),
        _ => {
            if context.switches.smq_deleting_twice_fails {
                smq.queue(name, now)?;
            }
            smq.remove_queue(name);
            Ok(empty(204))
        }
    }
}

fn topic_itself(smq: &mut Smq, request: &Request, operation: &str, name: &str, context: &Context<'_>) -> Result<Answer, Refusal> {
    match operation {
        "CreateTopic" => {
            let attributes = super::topic::Attributes::default().with(&document(request)?)?;
            let new = smq.create_topic(name, attributes, context.now)?;
            Ok(created(new, request, &format!("/topics/{name}")))
        }
        "SetTopicAttributes" => {
            let topic = smq.topic(name)?;
            let attributes = topic.attributes.clone().with(&document(request)?)?;
            topic.set(attributes, context.now);
            Ok(empty(204))
        }
        "GetTopicAttributes" => Ok(written(200, xml::document("Topic", &smq.topic(name)?.write(name)))),
        _ => {
            if smq.topics.remove(name).is_none() && context.switches.smq_deleting_twice_fails {
                smq.topic(name)?;
            }
            Ok(empty(204))
        }
    }
}

fn subscription_itself(
    smq: &mut Smq,
    request: &Request,
    operation: &str,
    (topic_name, name): (&str, &str),
    context: &Context<'_>,
) -> Result<Answer, Refusal> {
    let missing = || Refusal::not_found("SubscriptionNotExist", "The subscription name you provided is not exist.");
    let topic = smq.topic(topic_name)?;
    match operation {
        "Subscribe" => {
            let new = topic.subscribe(name, Subscription::read(&document(request)?)?, context.now)?;
            Ok(created(new, request, &format!("/topics/{topic_name}/subscriptions/{name}")))
        }
        "SetSubscriptionAttributes" => {
            let changed = topic.subscriptions.get(name).ok_or_else(missing)?.with_strategy(&document(request)?);
            topic.put(name, changed, context.now);
            Ok(empty(204))
        }
        "GetSubscriptionAttributes" => {
            let inner = topic.write_subscription(topic_name, name, context.account).ok_or_else(missing)?;
            Ok(written(200, xml::document("Subscription", &inner)))
        }
        _ => {
            if !topic.unsubscribe(name) && context.switches.smq_deleting_twice_fails {
                return Err(missing());
            }
            Ok(empty(204))
        }
    }
}

/// A page of names after the marker, and the marker of the next page.
fn page<'a>(request: &Request, names: impl Iterator<Item = &'a String>) -> Result<(Vec<&'a str>, Option<&'a str>), Refusal> {
    let prefix = request.header("x-mns-prefix").unwrap_or_default();
    let marker = request.header("x-mns-marker").unwrap_or_default();
    let most = request.header("x-mns-ret-number").map_or(Ok(*PAGE.end()), |text| number("x-mns-ret-number", &text, PAGE))?;
    let mut names = names.map(String::as_str).filter(|name| name.starts_with(&prefix) && *name > marker.as_str());
    let page: Vec<&str> = names.by_ref().take(usize::try_from(most).unwrap_or(1)).collect();
    let next = names.next().and(page.last().copied());
    Ok((page, next))
}

/// The document of a list; `entry` writes the rest of an entry.
fn list(request: &Request, root: &str, path: &str, found: &(Vec<&str>, Option<&str>), entry: impl Fn(&str) -> String) -> String {
    let singular = root.trim_end_matches('s');
    let host = request.header("host").unwrap_or_default();
    let one = |name: &&str| {
        let url = xml::leaf(&format!("{singular}URL"), format!("http://{host}{path}{name}"));
        xml::branch(singular, &(url + &entry(name)))
    };
    let inner: String = found.0.iter().map(one).collect();
    let next = found.1.map(|marker| xml::leaf("NextMarker", marker)).unwrap_or_default();
    xml::document(root, &(inner + &next))
}

fn with_meta(request: &Request) -> bool {
    request.header("x-mns-with-meta").is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

fn list_queues(smq: &Smq, request: &Request, now: Moment) -> Result<String, Refusal> {
    let meta = |name: &str| smq.queues.get(name).filter(|_| with_meta(request)).map(|queue| queue.write(name, now));
    Ok(list(request, "Queues", "/queues/", &page(request, smq.queues.keys())?, |name| meta(name).unwrap_or_default()))
}

fn list_topics(smq: &Smq, request: &Request) -> Result<String, Refusal> {
    let meta = |name: &str| smq.topics.get(name).filter(|_| with_meta(request)).map(|topic| topic.write(name));
    Ok(list(request, "Topics", "/topics/", &page(request, smq.topics.keys())?, |name| meta(name).unwrap_or_default()))
}

fn list_subscriptions(smq: &mut Smq, request: &Request, topic_name: &str) -> Result<String, Refusal> {
    let topic = smq.topic(topic_name)?;
    let path = format!("/topics/{topic_name}/subscriptions/");
    Ok(list(request, "Subscriptions", &path, &page(request, topic.subscriptions.keys())?, |_| String::new()))
}

/// The XML in the body; an empty body stands for an empty document.
fn document(request: &Request) -> Result<Element, Refusal> {
    if request.body.is_empty() {
        return Ok(Element::default());
    }
    xml::read(&request.body).ok_or_else(|| Refusal::bad_request("MalformedXML", "The XML you provided was not well-formed."))
}

fn written(status: u16, document: String) -> Answer {
    Answer::new(status, "text/xml;charset=utf-8", document.into_bytes())
}

fn empty(status: u16) -> Answer {
    Answer { headers: Vec::new(), ..Answer::new(status, "", Vec::new()) }
}

fn created(new: bool, request: &Request, path: &str) -> Answer {
    let mut answer = empty(if new { 201 } else { 204 });
    let host = request.header("host").unwrap_or_default();
    answer.headers.push(("location".to_owned(), format!("http://{host}{path}")));
    answer
}

/// An error as the service writes it.
pub(super) fn refused(refusal: &Refusal, request_id: &str, request: &Request) -> Answer {
    let host = format!("http://{}", request.header("host").unwrap_or_default());
    let inner = [
        xml::leaf("Code", &refusal.code),
        xml::leaf("Message", &refusal.message),
        xml::leaf("RequestId", request_id),
        xml::leaf("HostId", host),
    ];
    let mut answer = written(refusal.status, xml::document("Error", &inner.concat()));
    answer.code = Some(refusal.code.clone());
    answer
}
