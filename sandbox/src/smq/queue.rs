//! A queue: messages that are received become invisible for a while, and come back unless they are deleted. Pure.

use time::Duration;
use uuid::Uuid;

use super::xml::{self, Element};
use super::{md5_of, message_id, millis, number};
use crate::clock::Moment;
use crate::refusal::Refusal;

/// Messages and bytes of one queue; more are refused.
const MESSAGES_KEPT: usize = 10_000;
const BYTES_KEPT: usize = 32 * 1024 * 1024;

/// `VisibilityTimeout`, in seconds.
pub(super) const VISIBILITY: std::ops::RangeInclusive<i64> = 0..=43_200;

/// What can be set of a queue; in seconds and bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Attributes {
    visibility: i64,
    largest: i64,
    retention: i64,
    delay: i64,
    pub(super) polling_wait: i64,
    logging: bool,
}

impl Default for Attributes {
    fn default() -> Self {
        Self { visibility: 30, largest: 65_536, retention: 345_600, delay: 0, polling_wait: 0, logging: false }
    }
}

impl Attributes {
    /// These, with what the document `Queue` sets.
    pub(super) fn with(mut self, document: &Element) -> Result<Self, Refusal> {
        let set = |place: &mut i64, name: &str, range| {
            if let Some(text) = document.get(name) {
                *place = number(name, text, range)?;
            }
            Ok(())
        };
        set(&mut self.visibility, "VisibilityTimeout", 1..=43_200)?;
        set(&mut self.largest, "MaximumMessageSize", 1_024..=65_536)?;
        set(&mut self.retention, "MessageRetentionPeriod", 60..=1_296_000)?;
        set(&mut self.delay, "DelaySeconds", 0..=604_800)?;
        set(&mut self.polling_wait, "PollingWaitSeconds", 0..=30)?;
        if let Some(text) = document.get("LoggingEnabled") {
            self.logging = text.eq_ignore_ascii_case("true");
        }
        Ok(self)
    }
}

/// What is sent.
#[derive(Debug)]
pub(super) struct Sent {
    body: String,
    delay: Option<i64>,
    priority: i64,
}

impl Sent {
    /// A body alone.
    pub(super) fn plain(body: &str) -> Self {
        Self { body: body.to_owned(), delay: None, priority: 8 }
    }

    /// From a `Message`.
    pub(super) fn read(document: &Element) -> Result<Self, Refusal> {
        let body = document.get("MessageBody");
        let mut sent = Self::plain(body.ok_or_else(|| Refusal::bad_request("MalformedXML", "The MessageBody is missing."))?);
        if let Some(text) = document.get("DelaySeconds") {
            sent.delay = Some(number("DelaySeconds", text, 0..=604_800)?);
        }
        if let Some(text) = document.get("Priority") {
            sent.priority = number("Priority", text, 1..=16)?;
        }
        Ok(sent)
    }
}

#[derive(Debug)]
pub(super) struct Message {
    number: u64,
    pub(super) id: String,
    pub(super) body: String,
    md5: String,
    priority: i64,
    enqueued: Moment,
    pub(super) visible_at: Moment,
    first_dequeued: Option<Moment>,
    pub(super) dequeued: u32,
    /// The receipt handle that works, until `visible_at`.
    handle: Option<String>,
}

impl Message {
    /// The document's `Message`; with what only the receiver gets, or as a peek shows it.
    fn write(&self, received: bool) -> String {
        let first = self.first_dequeued.map_or(0, millis);
        let mut text = xml::leaf("MessageId", &self.id);
        if received {
            text += &xml::leaf("ReceiptHandle", self.handle.as_deref().unwrap_or_default());
        }
        text += &(xml::leaf("MessageBodyMD5", &self.md5) + &xml::leaf("MessageBody", &self.body));
        text += &xml::leaf("EnqueueTime", millis(self.enqueued));
        if received {
            text += &xml::leaf("NextVisibleTime", millis(self.visible_at));
        }
        text += &(xml::leaf("FirstDequeueTime", first) + &xml::leaf("DequeueCount", self.dequeued));
        text + &xml::leaf("Priority", self.priority)
    }
}

#[derive(Debug)]
pub(super) struct Queue {
    pub(super) attributes: Attributes,
    created: Moment,
    modified: Moment,
    /// In the order in which they came.
    pub(super) messages: Vec<Message>,
    last_number: u64,
    /// Messages that were deleted.
    pub(super) deleted: u64,
}

impl Queue {
    pub(super) fn new(attributes: Attributes, now: Moment) -> Self {
        Self { attributes, created: now, modified: now, messages: Vec::new(), last_number: 0, deleted: 0 }
    }

    pub(super) fn set(&mut self, attributes: Attributes, now: Moment) {
        self.attributes = attributes;
        self.modified = now;
    }

    /// Whether a message is older than the queue keeps them.
    pub(super) fn is_over(&self, message: &Message, now: Moment) -> bool {
        message.enqueued + Duration::seconds(self.attributes.retention) <= now
    }

    pub(super) fn forget_old(&mut self, now: Moment) {
        let retention = Duration::seconds(self.attributes.retention);
        self.messages.retain(|message| message.enqueued + retention > now);
    }

    /// Active, inactive and delayed messages.
    pub(super) fn counts(&self, now: Moment) -> (usize, usize, usize) {
        let kept = || self.messages.iter().filter(|message| !self.is_over(message, now));
        let hidden = kept().filter(|message| message.visible_at > now);
        let delayed = hidden.clone().filter(|message| message.dequeued == 0).count();
        let hidden = hidden.count();
        (kept().count() - hidden, hidden - delayed, delayed)
    }

    /// Id and MD5.
    pub(super) fn put(&mut self, number: u64, sent: &Sent, now: Moment) -> Result<(String, String), Refusal> {
        let largest = usize::try_from(self.attributes.largest).unwrap_or(usize::MAX);
        if sent.body.is_empty() || sent.body.len() > largest {
            let message = format!("The length of message should not be 0 and not be larger than {largest} bytes.");
            return Err(Refusal::bad_request("InvalidArgument", message));
        }
        let bytes: usize = self.messages.iter().map(|message| message.body.len()).sum();
        if self.messages.len() >= MESSAGES_KEPT || bytes + sent.body.len() > BYTES_KEPT {
            return Err(Refusal::new(500, "InternalError", "The sandbox keeps no more messages in this queue."));
        }
        let (id, md5) = (message_id(number), md5_of(&sent.body));
        self.last_number = number;
        self.messages.push(Message {
            number,
            id: id.clone(),
            body: sent.body.clone(),
            md5: md5.clone(),
            priority: sent.priority,
            enqueued: now,
            visible_at: now + Duration::seconds(sent.delay.unwrap_or(self.attributes.delay)),
            first_dequeued: None,
            dequeued: 0,
            handle: None,
        });
        Ok((id, md5))
    }

    /// The visible ones, the most urgent first, then the oldest.
    fn visible(&mut self, count: usize, now: Moment) -> Vec<&mut Message> {
        let mut visible: Vec<&mut Message> = self.messages.iter_mut().filter(|message| message.visible_at <= now).collect();
        visible.sort_by_key(|message| (message.priority, message.number));
        visible.truncate(count);
        visible
    }

    /// Receives up to `count` messages, as elements of the answer.
    pub(super) fn receive(&mut self, count: usize, now: Moment) -> Vec<String> {
        let until = now + Duration::seconds(self.attributes.visibility);
        let take = |message: &mut Message| {
            message.visible_at = until;
            message.first_dequeued.get_or_insert(now);
            message.dequeued = message.dequeued.saturating_add(1);
            message.handle = Some(handle(message.number));
            message.write(true)
        };
        self.visible(count, now).into_iter().map(take).collect()
    }

    /// Looks at up to `count` messages.
    pub(super) fn peek(&mut self, count: usize, now: Moment) -> Vec<String> {
        self.visible(count, now).into_iter().map(|message| message.write(false)).collect()
    }

    /// When the next message becomes visible that is not so now.
    pub(super) fn next_visible(&self, now: Moment) -> Option<Moment> {
        self.messages.iter().map(|message| message.visible_at).filter(|at| *at > now).min()
    }

    /// The message that a handle holds. A handle dies when its message becomes visible again, or changes hands.
    fn held(&mut self, handle: &str, now: Moment) -> Result<usize, Refusal> {
        let wrong = || Refusal::bad_request("ReceiptHandleError", "The receipt handle you provided is not valid.");
        let (number, _) = handle.split_once('-').ok_or_else(wrong)?;
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let Some(index) = self.messages.iter().position(|message| message.number == number) else {
            return Err(if number <= self.last_number { no_message() } else { wrong() });
        };
        let alive = self.messages.get(index).is_some_and(|it| it.handle.as_deref() == Some(handle) && it.visible_at > now);
        if alive { Ok(index) } else { Err(wrong()) }
    }

    pub(super) fn delete(&mut self, handle: &str, now: Moment) -> Result<(), Refusal> {
        let index = self.held(handle, now)?;
        self.messages.remove(index);
        self.deleted += 1;
        Ok(())
    }

    /// Gives the document of the answer.
    pub(super) fn change_visibility(&mut self, old: &str, seconds: i64, now: Moment) -> Result<String, Refusal> {
        let index = self.held(old, now)?;
        let message = self.messages.get_mut(index).ok_or_else(no_message)?;
        let new = handle(message.number);
        message.visible_at = now + Duration::seconds(seconds);
        message.handle = Some(new.clone());
        let inner = xml::leaf("ReceiptHandle", new) + &xml::leaf("NextVisibleTime", millis(message.visible_at));
        Ok(xml::document("ChangeVisibility", &inner))
    }

    /// The attributes as elements.
    pub(super) fn write(&self, name: &str, now: Moment) -> String {
        let (active, inactive, delayed) = self.counts(now);
        let it = &self.attributes;
        [
            xml::leaf("QueueName", name),
            xml::leaf("CreateTime", self.created.unix_timestamp()),
            xml::leaf("LastModifyTime", self.modified.unix_timestamp()),
            xml::leaf("VisibilityTimeout", it.visibility),
            xml::leaf("MaximumMessageSize", it.largest),
            xml::leaf("MessageRetentionPeriod", it.retention),
            xml::leaf("DelaySeconds", it.delay),
            xml::leaf("PollingWaitSeconds", it.polling_wait),
            xml::leaf("ActiveMessages", active),
            xml::leaf("InactiveMessages", inactive),
            xml::leaf("DelayMessages", delayed),
            xml::leaf("LoggingEnabled", if it.logging { "True" } else { "False" }),
        ]
        .concat()
    }
}

/// The normal answer of an empty queue.
pub(super) fn no_message() -> Refusal {
    Refusal::not_found("MessageNotExist", "Message not exist.")
}

/// A receipt handle: letters, digits and hyphens, as handles seen are.
fn handle(number: u64) -> String {
    format!("{number}-{}", Uuid::new_v4().simple())
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::OffsetDateTime;

    fn at(seconds: i64) -> Moment {
        OffsetDateTime::UNIX_EPOCH + Duration::seconds(seconds)
    }

    fn queue(bodies: &[&str]) -> Queue {
        let mut queue = Queue::new(Attributes::default(), at(0));
        for (body, number) in bodies.iter().zip(1..) {
            queue.put(number, &Sent::plain(body), at(0)).unwrap();
        }
        queue
    }

    fn one(queue: &mut Queue, now: i64) -> Option<Element> {
        let received = queue.receive(1, at(now)).pop()?;
        xml::read(xml::document("Message", &received).as_bytes())
    }

    #[test]
    fn a_message_that_is_not_deleted_comes_back_under_another_handle() {
        let mut queue = queue(&["a"]);
        let first = one(&mut queue, 1).unwrap();
        assert_eq!(
            (first.get("DequeueCount"), first.get("NextVisibleTime"), first.get("FirstDequeueTime")),
            (Some("1"), Some("31000"), Some("1000"))
        );
        assert_eq!(one(&mut queue, 30), None);
        assert_eq!(queue.next_visible(at(30)), Some(at(31)));
        let second = one(&mut queue, 31).unwrap();
        assert_eq!((second.get("DequeueCount"), second.get("FirstDequeueTime")), (Some("2"), Some("1000")));
        let old = first.get("ReceiptHandle").unwrap();
        assert_eq!(queue.delete(old, at(32)).unwrap_err().code, "ReceiptHandleError");
        queue.delete(second.get("ReceiptHandle").unwrap(), at(32)).unwrap();
        assert_eq!(queue.delete(second.get("ReceiptHandle").unwrap(), at(32)).unwrap_err().code, "MessageNotExist");
        assert_eq!((queue.counts(at(32)), queue.deleted), ((0, 0, 0), 1));
    }

    #[test]
    fn a_handle_dies_when_its_message_becomes_visible_again() {
        let mut queue = queue(&["a"]);
        let received = one(&mut queue, 0).unwrap();
        assert_eq!(queue.delete(received.get("ReceiptHandle").unwrap(), at(30)).unwrap_err().code, "ReceiptHandleError");
        assert_eq!(queue.delete("nonsense", at(0)).unwrap_err().code, "ReceiptHandleError");
        assert_eq!(queue.delete("99-x", at(0)).unwrap_err().code, "ReceiptHandleError");
    }

    #[test]
    fn the_most_urgent_comes_first_then_the_oldest_and_the_delayed_wait() {
        let mut queue = queue(&["a", "b"]);
        queue.put(3, &Sent { priority: 1, ..Sent::plain("urgent") }, at(0)).unwrap();
        queue.put(4, &Sent { delay: Some(10), ..Sent::plain("late") }, at(0)).unwrap();
        let order: Vec<String> = std::iter::from_fn(|| one(&mut queue, 1)).map(|it| it.get("MessageBody").unwrap().to_owned()).collect();
        assert_eq!((order, queue.counts(at(1))), (vec!["urgent".to_owned(), "a".to_owned(), "b".to_owned()], (0, 3, 1)));
        assert_eq!(one(&mut queue, 10).unwrap().get("MessageBody"), Some("late"));
    }

    #[test]
    fn messages_are_forgotten_after_the_retention_period() {
        let mut queue = queue(&["a"]);
        assert_eq!(queue.counts(at(345_599)).0, 1);
        queue.forget_old(at(345_600));
        assert!(queue.messages.is_empty());
    }
}
