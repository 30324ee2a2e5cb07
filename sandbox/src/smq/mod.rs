//! Simple Message Queue (SMQ, formerly MNS; API 2015-06-06): queues, messages, topics, and subscriptions of queues to topics.
//!
//! Rooms: `serve` (the way of a request, and polls that are held) -> `api` (which operation, whether it may run, what it answers) -> `queue` and
//! `topic` (the pure model); `signature` and `xml` beside them. Accounts and regions are not told apart: one sandbox is one account in one region.

pub(crate) mod api;
mod queue;
pub(crate) mod serve;
pub(crate) mod signature;
mod topic;
mod xml;

use std::collections::BTreeMap;

use serde::Serialize;

pub(crate) use self::api::action;
use self::queue::{Attributes, Queue};
use self::topic::Topic;
use crate::clock::{Moment, rfc3339};
use crate::refusal::Refusal;

/// Queues of an account in a region (limits page), and topics, for which no limit is known.
const QUEUES_KEPT: usize = 1_000;
const TOPICS_KEPT: usize = 1_000;

/// Why a message could not be put, or a queue or topic not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SmqError(String);

impl From<Refusal> for SmqError {
    fn from(refusal: Refusal) -> Self {
        Self(format!("{}: {}", refusal.code, refusal.message))
    }
}

/// A queue as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct QueueView {
    /// Its name.
    pub name: String,
    /// Messages that can be received now, that are being worked on, and that were sent with a delay.
    pub active: usize,
    /// Received, and not visible again yet.
    pub inactive: usize,
    /// Sent with a delay that is not over.
    pub delayed: usize,
    /// Messages that were deleted by who received them.
    pub deleted: u64,
    /// All messages, oldest first. Receipt handles are not shown.
    pub messages: Vec<MessageView>,
}

/// A message in a queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MessageView {
    /// `MessageId`.
    pub id: String,
    /// `MessageBody`, as it was sent.
    pub body: String,
    /// `DequeueCount`.
    pub dequeue_count: u32,
    /// `NextVisibleTime` (RFC 3339).
    pub visible_at: String,
}

/// A topic and who has subscribed to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TopicView {
    /// Its name.
    pub name: String,
    /// Messages that were published.
    pub published: u64,
    /// By their names: endpoint and `NotifyContentFormat`.
    pub subscriptions: BTreeMap<String, (String, String)>,
}

/// All queues and topics.
#[derive(Debug, Default)]
pub(crate) struct Smq {
    queues: BTreeMap<String, Queue>,
    topics: BTreeMap<String, Topic>,
    /// Of the last message, in whatever queue.
    last_number: u64,
}

impl Smq {
    /// Makes a queue with default attributes, if it is not there yet.
    pub(crate) fn make_queue(&mut self, name: &str, now: Moment) -> Result<(), SmqError> {
        if !self.queues.contains_key(name) {
            self.create_queue(name, Attributes::default(), now)?;
        }
        Ok(())
    }

    /// Makes a topic, if it is not there yet.
    pub(crate) fn make_topic(&mut self, name: &str, now: Moment) -> Result<(), SmqError> {
        if !self.topics.contains_key(name) {
            self.create_topic(name, topic::Attributes::default(), now)?;
        }
        Ok(())
    }

    /// Puts a message into a queue, as EventBridge does; gives its id.
    pub(crate) fn put(&mut self, queue: &str, body: &str, now: Moment) -> Result<String, SmqError> {
        Ok(self.send(queue, &queue::Sent::plain(body), now)?.0)
    }

    /// Publishes a message to a topic, which hands it on to the queues that have subscribed; gives its id.
    pub(crate) fn publish(&mut self, topic: &str, body: &str, account: &str, now: Moment) -> Result<String, SmqError> {
        Ok(self.publish_tagged(topic, body, None, account, now)?.0)
    }

    /// Removes a queue with all that is in it. False: there was none.
    pub(crate) fn remove_queue(&mut self, name: &str) -> bool {
        self.queues.remove(name).is_some()
    }

    /// Changes `NotifyContentFormat`, which no request can. False: there is no such subscription.
    pub(crate) fn set_format(&mut self, topic: &str, subscription: &str, format: &str) -> bool {
        let found = self.topics.get_mut(topic).and_then(|topic| topic.subscriptions.get_mut(subscription));
        found.map(|subscription| format.clone_into(&mut subscription.format)).is_some()
    }

    pub(crate) fn queue_view(&self, name: &str, now: Moment) -> Option<QueueView> {
        let queue = self.queues.get(name)?;
        let (active, inactive, delayed) = queue.counts(now);
        let messages = queue.messages.iter().filter(|message| !queue.is_over(message, now)).map(|message| MessageView {
            id: message.id.clone(),
            body: message.body.clone(),
            dequeue_count: message.dequeued,
            visible_at: rfc3339(message.visible_at),
        });
        Some(QueueView { name: name.to_owned(), active, inactive, delayed, deleted: queue.deleted, messages: messages.collect() })
    }

    pub(crate) fn queue_views(&self, now: Moment) -> Vec<QueueView> {
        self.queues.keys().filter_map(|name| self.queue_view(name, now)).collect()
    }

    pub(crate) fn topic_views(&self) -> Vec<TopicView> {
        let view = |(name, topic): (&String, &Topic)| TopicView {
            name: name.clone(),
            published: topic.published,
            subscriptions: topic.subscriptions.iter().map(|(name, it)| (name.clone(), (it.endpoint.clone(), it.format.clone()))).collect(),
        };
        self.topics.iter().map(view).collect()
    }

    fn queue(&mut self, name: &str, now: Moment) -> Result<&mut Queue, Refusal> {
        let queue = self.queues.get_mut(name);
        let queue = queue.ok_or_else(|| Refusal::not_found("QueueNotExist", "The queue name you provided is not exist."))?;
        queue.forget_old(now);
        Ok(queue)
    }

    fn topic(&mut self, name: &str) -> Result<&mut Topic, Refusal> {
        self.topics.get_mut(name).ok_or_else(|| Refusal::not_found("TopicNotExist", "The topic name you provided is not exist."))
    }

    /// True: it is new; false: it was there with the same attributes.
    fn create_queue(&mut self, name: &str, attributes: Attributes, now: Moment) -> Result<bool, Refusal> {
        check_name(name, 120, "InvalidQueueName", "QueueNameLengthError")?;
        match self.queues.get(name) {
            Some(queue) if queue.attributes == attributes => return Ok(false),
            Some(_) => return Err(Refusal::new(409, "QueueAlreadyExist", "The queue already exists, and its attributes are different.")),
            None => {}
        }
        if self.queues.len() >= QUEUES_KEPT {
            let message = format!("The number of queues has reached the limit of {QUEUES_KEPT}.");
            return Err(Refusal::bad_request("QueueNumExceededLimit", message));
        }
        self.queues.insert(name.to_owned(), Queue::new(attributes, now));
        Ok(true)
    }

    fn create_topic(&mut self, name: &str, attributes: topic::Attributes, now: Moment) -> Result<bool, Refusal> {
        check_name(name, 255, "TopicNameInvalid", "TopicNameLengthError")?;
        match self.topics.get(name) {
            Some(topic) if topic.attributes == attributes => return Ok(false),
            Some(_) => return Err(Refusal::new(409, "TopicAlreadyExist", "The topic already exists, and its attributes are different.")),
            None => {}
        }
        if self.topics.len() >= TOPICS_KEPT {
            return Err(Refusal::bad_request("InvalidArgument", "The sandbox keeps no more topics."));
        }
        self.topics.insert(name.to_owned(), Topic::new(attributes, now));
        Ok(true)
    }

    /// Id and MD5 of the message.
    fn send(&mut self, queue: &str, sent: &queue::Sent, now: Moment) -> Result<(String, String), Refusal> {
        let number = self.last_number + 1;
        let put = self.queue(queue, now)?.put(number, sent, now)?;
        self.last_number = number;
        Ok(put)
    }

    fn publish_tagged(
        &mut self,
        name: &str,
        body: &str,
        tag: Option<&str>,
        account: &str,
        now: Moment,
    ) -> Result<(String, String), Refusal> {
        let number = self.last_number + 1;
        let topic = self.topic(name)?;
        let notice = topic.publish(name, body, tag, account, number, now)?;
        let deliveries = topic.deliveries(&notice);
        self.last_number = number;
        for (queue, body) in deliveries {
            // A queue that is gone, or full, loses it; the others get theirs.
            let _ = self.send(&queue, &queue::Sent::plain(&body), now);
        }
        Ok((notice.message_id, notice.md5))
    }
}

/// Letters, digits and hyphens, the first no hyphen.
fn check_name(name: &str, longest: usize, invalid: &str, length: &str) -> Result<(), Refusal> {
    if name.is_empty() || name.len() > longest {
        return Err(Refusal::bad_request(length, format!("The length of the name must be 1 to {longest}.")));
    }
    if name.starts_with('-') || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
        return Err(Refusal::bad_request(invalid, "The name may have letters, digits and hyphens, and does not begin with a hyphen."));
    }
    Ok(())
}

/// `MessageBodyMD5`: upper-case hexadecimal.
fn md5_of(body: &str) -> String {
    format!("{:X}", md5::compute(body))
}

/// A message id in the form of the service.
fn message_id(number: u64) -> String {
    let random = uuid::Uuid::new_v4().simple().to_string().to_uppercase();
    format!("{}-{number}", random.get(..16).unwrap_or_default())
}

fn millis(moment: Moment) -> i128 {
    moment.unix_timestamp_nanos() / 1_000_000
}

/// A number of an attribute or parameter.
fn number(name: &str, text: &str, range: std::ops::RangeInclusive<i64>) -> Result<i64, Refusal> {
    let found = text.trim().parse().ok().filter(|number| range.contains(number));
    found.ok_or_else(|| {
        Refusal::bad_request("InvalidArgument", format!("The value of {name} should be between {} and {}.", range.start(), range.end()))
    })
}
