//! A target of EventBridge as a test describes it: where events go, in which form, and what goes wrong on the way.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::events::Event;
use crate::post::Url;
use crate::seal::Signature;
use crate::secret::Secret;

/// Characters of a template (page on event transformation).
const VALUE_ALLOWED: usize = 10_240;

/// How an event becomes a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Transform {
    /// The whole event.
    #[default]
    Original,
    /// What `value` leads to, such as `$.data`.
    JsonPath,
    /// `value` itself.
    Constant,
    /// `value`, with `${name}` filled from the path of that name in `variables`.
    Template,
}

/// How a CloudEvent travels over HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ContentMode {
    /// The event is the body.
    #[default]
    Structured,
    /// The data is the body, the attributes are `ce-` headers.
    Binary,
    /// A list of one event is the body.
    Batch,
}

/// What happens when a target does not answer 2xx.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RetryStrategy {
    /// 3 more tries, 10 to 20 seconds apart.
    #[default]
    BackoffRetry,
    /// 176 more tries: after 1, 2, 4 ... 256 seconds, then every 512.
    ExponentialDecayRetry,
    /// None: how ROS posts to NotificationURLs is not documented.
    NoRetry,
}

impl RetryStrategy {
    /// Seconds before try number `attempt` + 1; none: it was the last.
    pub(crate) fn pause(self, attempt: u32, random: f64) -> Option<f64> {
        match self {
            Self::BackoffRetry => (attempt <= 3).then(|| random.mul_add(10.0, 10.0)),
            Self::ExponentialDecayRetry => {
                let exponent = i32::try_from(attempt.saturating_sub(1).min(9)).unwrap_or(9);
                (attempt <= 176).then(|| 2f64.powi(exponent))
            }
            Self::NoRetry => None,
        }
    }
}

/// Where events go: exactly one of `url`, `spool`, `queue` and `topic`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EventTarget {
    /// An HTTP or HTTPS target on loopback.
    pub url: Option<String>,
    /// A directory: each event becomes a file there, written under a dot name and then renamed.
    pub spool: Option<PathBuf>,
    /// A queue of the sandbox.
    pub queue: Option<String>,
    /// A topic of the sandbox, which hands on to the queues that have subscribed.
    pub topic: Option<String>,
    /// Whether bodies in the queue or the topic are base64 (`IsBase64Encode`). Default false.
    pub base64: bool,
    /// Signatures of an HTTP target. Default v2.
    pub signature: Signature,
    /// Sent in `x-eventbridge-signature-token`. Default none.
    pub token: Option<Secret>,
    /// v2: the token's line does not take part in the text. Default false.
    pub no_token_line: bool,
    /// v2: no line feed ends the text. Default false.
    pub no_last_line_feed: bool,
    /// What `x-eventbridge-signature-url` says. Default: where the sandbox serves the certificate, over HTTPS.
    pub certificate_url: Option<String>,
    /// Seconds added to the time that is signed, which is the machine's: `advance` does not move it, `skew` does.
    pub timestamp_off: i32,
    /// How an event becomes a body. Default `ORIGINAL`.
    pub transform: Transform,
    /// The path, the text or the template of the transform.
    pub value: String,
    /// Paths of the names in a template.
    pub variables: BTreeMap<String, String>,
    /// How the event travels. Default structured.
    pub mode: ContentMode,
    /// `Content-Type`, in place of that of the mode.
    pub content_type: Option<String>,
    /// Only types that begin so, or all.
    pub types: Vec<String>,
    /// Only events of these stacks, or of all.
    pub stacks: Vec<String>,
    /// How many more times each event is delivered.
    pub duplicates: u32,
    /// Probability that a delivery is lost.
    pub drop: f64,
    /// Each delivery is put off by a random time up to this many seconds.
    pub shuffle: f64,
    /// Of all that is random here.
    pub seed: u64,
    /// What happens when the target fails.
    pub retry: RetryStrategy,
    /// A queue of the sandbox for events that could not be delivered.
    pub dead_letter_queue: Option<String>,
    /// Milliseconds that an HTTP target may take; 0, the default: 5000.
    pub timeout_ms: u32,
    /// The authority of an HTTPS target, in PEM. Default: that of the sandbox.
    pub ca_file: Option<PathBuf>,
}

impl EventTarget {
    /// An HTTP target, signed v2, the whole event structured.
    pub fn http(url: &str) -> Self {
        Self { url: Some(url.to_owned()), ..Self::default() }
    }

    /// A directory.
    pub fn spool(directory: impl Into<PathBuf>) -> Self {
        Self { spool: Some(directory.into()), ..Self::default() }
    }

    /// A topic of the sandbox.
    pub fn topic(name: &str) -> Self {
        Self { topic: Some(name.to_owned()), ..Self::default() }
    }

    /// A queue of the sandbox.
    pub fn queue(name: &str) -> Self {
        Self { queue: Some(name.to_owned()), ..Self::default() }
    }

    pub(crate) fn takes(&self, event: &Event) -> bool {
        let kind = self.types.is_empty() || self.types.iter().any(|kind| event.kind.starts_with(kind));
        kind && (self.stacks.is_empty() || self.stacks.contains(&event.stack_id))
    }

    pub(crate) fn check(&self, name: &str) -> Result<(), TargetError> {
        let wrong = |message: &str| Err(TargetError(format!("event target '{name}': {message}")));
        if name.is_empty() || name.len() > 127 || name.contains('/') {
            return wrong("a name has 1 to 127 characters, none of them '/'");
        }
        if [self.url.is_some(), self.spool.is_some(), self.queue.is_some(), self.topic.is_some()].iter().filter(|given| **given).count()
            != 1
        {
            return wrong("exactly one of url, spool, queue and topic is needed");
        }
        if let Some(Err(error)) = self.url.as_deref().map(Url::parse) {
            return wrong(&format!("url: {error}"));
        }
        if !(0.0..=1.0).contains(&self.drop) {
            return wrong("drop must be 0 to 1");
        }
        if !(0.0..=86_400.0).contains(&self.shuffle) {
            return wrong("shuffle must be 0 to 86400 seconds");
        }
        if self.duplicates > 100 {
            return wrong("duplicates must be at most 100");
        }
        if self.value.len() > VALUE_ALLOWED {
            return wrong("value must be at most 10240 bytes long");
        }
        let token = self.token.as_ref().map_or("", Secret::reveal);
        let texts = [token, self.content_type.as_deref().unwrap_or_default(), self.certificate_url.as_deref().unwrap_or_default()];
        if texts.iter().any(|text| text.len() > 1024 || text.chars().any(char::is_control)) {
            return wrong("token, content_type and certificate_url must be at most 1024 bytes long, without control characters");
        }
        Ok(())
    }
}

/// A target cannot be set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TargetError(pub(crate) String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_come_as_the_page_says() {
        let pauses = |strategy: RetryStrategy| (1..1000).map_while(move |attempt| strategy.pause(attempt, 0.5)).collect::<Vec<f64>>();
        assert_eq!(pauses(RetryStrategy::BackoffRetry), [15.0, 15.0, 15.0]);
        let decay = pauses(RetryStrategy::ExponentialDecayRetry);
        assert_eq!(decay.get(..10).unwrap(), [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0]);
        assert_eq!((decay.len(), decay.iter().filter(|pause| **pause >= 512.0).count()), (176, 167));
        assert!(pauses(RetryStrategy::NoRetry).is_empty());
    }
}
