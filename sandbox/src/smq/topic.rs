//! A topic hands each message on to the queues that have subscribed to it, in the format of their choice. Pure.

use std::collections::BTreeMap;

use serde_json::json;

use super::xml::{self, Element};
use super::{check_name, md5_of, message_id, millis, number};
use crate::clock::Moment;
use crate::refusal::Refusal;

/// Subscriptions of one topic (limits page).
const SUBSCRIPTIONS_KEPT: usize = 100;

/// What can be set of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Attributes {
    largest: i64,
    logging: bool,
}

impl Default for Attributes {
    fn default() -> Self {
        Self { largest: 65_536, logging: false }
    }
}

impl Attributes {
    /// These, with what the document `Topic` sets.
    pub(super) fn with(mut self, document: &Element) -> Result<Self, Refusal> {
        if let Some(text) = document.get("MaximumMessageSize") {
            self.largest = number("MaximumMessageSize", text, 1_024..=65_536)?;
        }
        if let Some(text) = document.get("LoggingEnabled") {
            self.logging = text.eq_ignore_ascii_case("true");
        }
        Ok(self)
    }
}

/// Who gets what is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Subscription {
    pub(super) endpoint: String,
    /// `NotifyContentFormat`: `XML`, `JSON` or `SIMPLIFIED`.
    pub(super) format: String,
    strategy: String,
    filter: Option<String>,
}

impl Subscription {
    /// From a `Subscription` document.
    pub(super) fn read(document: &Element) -> Result<Self, Refusal> {
        let endpoint = document.get("Endpoint").unwrap_or_default().to_owned();
        if target(&endpoint).is_none() {
            let message = "The endpoint is not valid; the sandbox takes acs:mns:REGION:ACCOUNT:queues/NAME.";
            return Err(Refusal::bad_request("EndpointInvalid", message));
        }
        let word = |name: &str, default: &str, known: &[&str]| {
            let given = document.get(name).filter(|text| !text.is_empty()).unwrap_or(default);
            let found = known.iter().find(|word| **word == given);
            found
                .map(|word| (*word).to_owned())
                .ok_or_else(|| Refusal::bad_request("InvalidArgument", format!("The value of {name} is not valid.")))
        };
        Ok(Self {
            endpoint,
            format: word("NotifyContentFormat", "XML", &["XML", "JSON", "SIMPLIFIED"])?,
            strategy: word("NotifyStrategy", "BACKOFF_RETRY", &["BACKOFF_RETRY", "EXPONENTIAL_DECAY_RETRY"])?,
            filter: document.get("FilterTag").filter(|tag| !tag.is_empty()).map(str::to_owned),
        })
    }

    /// The same with another `NotifyStrategy`, the only thing that can be changed.
    pub(super) fn with_strategy(&self, document: &Element) -> Self {
        Self { strategy: document.get("NotifyStrategy").unwrap_or(&self.strategy).to_owned(), ..self.clone() }
    }
}

/// Account and queue of `acs:mns:REGION:ACCOUNT:queues/NAME`.
fn target(endpoint: &str) -> Option<(&str, &str)> {
    let [region, account, queue] = endpoint.strip_prefix("acs:mns:")?.split(':').collect::<Vec<_>>()[..] else { return None };
    let name = queue.strip_prefix("queues/")?;
    (!region.is_empty() && !account.is_empty() && check_name(name, 120, "", "").is_ok()).then_some((account, name))
}

#[derive(Debug)]
pub(super) struct Topic {
    pub(super) attributes: Attributes,
    created: Moment,
    modified: Moment,
    pub(super) published: u64,
    pub(super) subscriptions: BTreeMap<String, Subscription>,
    /// When each was made and changed, in seconds.
    times: BTreeMap<String, (i64, i64)>,
}

/// A message on its way to the subscribers.
#[derive(Debug)]
pub(super) struct Notice {
    topic: String,
    owner: String,
    pub(super) message_id: String,
    pub(super) md5: String,
    body: String,
    tag: Option<String>,
    at: Moment,
}

impl Topic {
    pub(super) fn new(attributes: Attributes, now: Moment) -> Self {
        Self { attributes, created: now, modified: now, published: 0, subscriptions: BTreeMap::new(), times: BTreeMap::new() }
    }

    pub(super) fn set(&mut self, attributes: Attributes, now: Moment) {
        self.attributes = attributes;
        self.modified = now;
    }

    /// True: it is new; false: it was there as it is wanted.
    pub(super) fn subscribe(&mut self, name: &str, subscription: Subscription, now: Moment) -> Result<bool, Refusal> {
        check_name(name, 255, "SubscriptionNameInvalid", "SubscriptionNameLengthError")?;
        match self.subscriptions.get(name) {
            Some(known) if *known == subscription => return Ok(false),
            Some(_) => {
                return Err(Refusal::new(
                    409,
                    "SubscriptionAlreadyExist",
                    "The subscription already exists, and its attributes are different.",
                ));
            }
            None => {}
        }
        if self.subscriptions.len() >= SUBSCRIPTIONS_KEPT {
            let message = format!("The number of subscriptions of the topic has reached the limit of {SUBSCRIPTIONS_KEPT}.");
            return Err(Refusal::bad_request("SubscriptionNumExceededLimit", message));
        }
        self.put(name, subscription, now);
        Ok(true)
    }

    /// Sets a subscription, whatever was there.
    pub(super) fn put(&mut self, name: &str, subscription: Subscription, now: Moment) {
        let seconds = now.unix_timestamp();
        self.subscriptions.insert(name.to_owned(), subscription);
        self.times.entry(name.to_owned()).or_insert((seconds, seconds)).1 = seconds;
    }

    /// False: there was none.
    pub(super) fn unsubscribe(&mut self, name: &str) -> bool {
        self.times.remove(name);
        self.subscriptions.remove(name).is_some()
    }

    pub(super) fn publish(
        &mut self,
        topic: &str,
        body: &str,
        tag: Option<&str>,
        account: &str,
        number: u64,
        now: Moment,
    ) -> Result<Notice, Refusal> {
        let largest = usize::try_from(self.attributes.largest).unwrap_or(usize::MAX);
        if body.is_empty() || body.len() > largest {
            let message = format!("The length of message should not be 0 and not be larger than {largest} bytes.");
            return Err(Refusal::bad_request("InvalidArgument", message));
        }
        self.published += 1;
        Ok(Notice {
            topic: topic.to_owned(),
            owner: account.to_owned(),
            message_id: message_id(number),
            md5: md5_of(body),
            body: body.to_owned(),
            tag: tag.map(str::to_owned),
            at: now,
        })
    }

    /// Which queue gets what.
    pub(super) fn deliveries(&self, notice: &Notice) -> Vec<(String, String)> {
        let wanted = self.subscriptions.iter().filter(|(_, it)| it.filter.is_none() || it.filter == notice.tag);
        let delivery = |(name, it): (&String, &Subscription)| {
            let (account, queue) = target(&it.endpoint)?;
            Some((queue.to_owned(), notice.write(name, &it.format, account)))
        };
        wanted.filter_map(delivery).collect()
    }

    /// The attributes as elements.
    pub(super) fn write(&self, name: &str) -> String {
        [
            xml::leaf("TopicName", name),
            xml::leaf("CreateTime", self.created.unix_timestamp()),
            xml::leaf("LastModifyTime", self.modified.unix_timestamp()),
            xml::leaf("MaximumMessageSize", self.attributes.largest),
            xml::leaf("MessageRetentionPeriod", 86_400),
            // Messages are handed on at once.
            xml::leaf("MessageCount", 0),
            xml::leaf("LoggingEnabled", if self.attributes.logging { "True" } else { "False" }),
        ]
        .concat()
    }

    /// A subscription as elements.
    pub(super) fn write_subscription(&self, topic: &str, name: &str, owner: &str) -> Option<String> {
        let it = self.subscriptions.get(name)?;
        let (created, modified) = self.times.get(name).copied().unwrap_or_default();
        let filter = it.filter.as_ref().map(|tag| xml::leaf("FilterTag", tag)).unwrap_or_default();
        let known = [
            xml::leaf("TopicOwner", owner),
            xml::leaf("TopicName", topic),
            xml::leaf("Subscriber", owner),
            xml::leaf("SubscriptionName", name),
            xml::leaf("Endpoint", &it.endpoint),
            xml::leaf("NotifyStrategy", &it.strategy),
            xml::leaf("NotifyContentFormat", &it.format),
            xml::leaf("CreateTime", created),
            xml::leaf("LastModifyTime", modified),
        ];
        Some(known.concat() + &filter)
    }
}

impl Notice {
    /// The body of the message in the queue of a subscriber.
    fn write(&self, subscription: &str, format: &str, subscriber: &str) -> String {
        match format {
            "SIMPLIFIED" => self.body.clone(),
            "JSON" => {
                let mut notice = json!({
                    "TopicOwner": self.owner,
                    "TopicName": self.topic,
                    "Subscriber": subscriber,
                    "SubscriptionName": subscription,
                    "MessageId": self.message_id,
                    "MessageMD5": self.md5,
                    "Message": self.body,
                    "PublishTime": i64::try_from(millis(self.at)).unwrap_or_default(),
                });
                if let (Some(tag), Some(members)) = (&self.tag, notice.as_object_mut()) {
                    members.insert("MessageTag".to_owned(), tag.as_str().into());
                }
                notice.to_string()
            }
            _ => {
                let tag = self.tag.as_ref().map(|tag| xml::leaf("MessageTag", tag)).unwrap_or_default();
                let inner = [
                    xml::leaf("TopicOwner", &self.owner),
                    xml::leaf("TopicName", &self.topic),
                    xml::leaf("Subscriber", subscriber),
                    xml::leaf("SubscriptionName", subscription),
                    xml::leaf("MessageId", &self.message_id),
                    xml::leaf("MessageMD5", &self.md5),
                    xml::leaf("Message", &self.body),
                    tag,
                    xml::leaf("PublishTime", millis(self.at)),
                ];
                xml::document("Notification", &inner.concat())
            }
        }
    }
}
