//! The client of ROS. Each call makes one attempt and returns; the core decides when to try again.
//!
//! What the client does by itself is to mend what it can before the next attempt: it measures the server's clock, has credentials
//! renewed, and changes the host. It says so with [`Class::Immediate`].

use super::Remembered;
use super::endpoint::Choice;
use super::operations;
use crate::credentials;
use crate::plan::{self, Endpoint};
use crate::rpc::{Action, Body, Caller, ClientError, Failed, Invalid, Operation, Reach, http_client, unsent};
use crate::secret::Secret;
use crate::signal::{Answer, Class, Refusal, SignalRequest, Target};
use crate::stack::sight::Mark;
use crate::stack::{self, Look, transition};
use crate::transport;
use reqwest::Url;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// A look before a send takes at most this: looking is a courtesy, sending is the job.
const LOOK_TIMEOUT: Duration = Duration::from_secs(4);

/// Stacks that are remembered as seen.
const SEEN_LIMIT: usize = 16;

/// What a home says of the key of an account that lives at the other one.
const KEY_UNKNOWN: &str = "InvalidAccessKeyId.NotFound";

/// How long looks in a row must miss a stack that was seen, before it counts as deleted.
const MISSED_MEANS_DELETED: Duration = Duration::from_secs(60);

/// Why there can be no client.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Unencrypted, and not to this host.
    #[error("{0} is not encrypted\nhint: http:// is allowed to loopback addresses only; use https://")]
    Unencrypted(Url),
    /// Not a URL of ROS.
    #[error(
        "{0} is not usable as an endpoint\nhint: give scheme and host, such as https://ros.aliyuncs.com, without user, query and fragment"
    )]
    Unusable(Url),
    /// Certificates, or the HTTP client.
    #[error(transparent)]
    Client(#[from] ClientError),
}

/// Answer of GetStack, as far as it is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StackAnswer {
    /// `Status`, such as `CREATE_IN_PROGRESS`.
    pub status: String,
    /// `StatusReason`.
    pub status_reason: Option<String>,
    /// `StackName`.
    pub name: Option<String>,
    /// `UpdateTime`, else `CreateTime`, as ROS writes it.
    pub updated: Option<String>,
}

/// Answer of GetStackResource, as far as it is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceAnswer {
    /// `Status`, such as `CREATE_COMPLETE`.
    pub status: String,
    /// `StatusReason`.
    pub status_reason: Option<String>,
    /// `ResourceType`, such as `ALIYUN::ROS::WaitConditionHandle`.
    pub resource_type: Option<String>,
    /// `UpdateTime`, else `CreateTime`, as ROS writes it.
    pub updated: Option<String>,
}

/// A client of ROS.
#[derive(Debug)]
pub struct Client {
    caller: Caller,
    timeout: Duration,
    learned: Mutex<Learned>,
    /// Where to keep which host served; none where only one may be asked.
    remembered: Option<Remembered>,
}

/// What the answers have taught.
#[derive(Debug)]
struct Learned {
    choice: Choice,
    /// Newest last; beyond [`SEEN_LIMIT`] the oldest is forgotten, which costs only a later conclusion.
    seen: Vec<Seen>,
}

/// A stack that a look has found.
#[derive(Debug)]
struct Seen {
    host: Option<Url>,
    stack_id: String,
    /// When the first of those looks did not find it that have not found it since.
    missed: Option<Instant>,
}

impl Client {
    /// A client as `[ros]` wants it. Reads certificates, does nothing else yet.
    ///
    /// # Errors
    /// If the endpoint is not encrypted (but on loopback), or certificates cannot be read.
    pub fn new(settings: &plan::Ros, credentials: Arc<credentials::Cache>) -> Result<Self, Error> {
        Self::reaching(settings, &Reach::of(settings), None, credentials)
    }

    /// Like [`Client::new`], over `reach`, which is shared with others, and beginning with the host that is remembered.
    ///
    /// # Errors
    /// As for [`Client::new`].
    pub fn reaching(
        settings: &plan::Ros,
        reach: &Reach,
        remembered: Option<Remembered>,
        credentials: Arc<credentials::Cache>,
    ) -> Result<Self, Error> {
        let choice = match &settings.endpoint {
            Endpoint::Auto => Choice::auto(settings.home, settings.network),
            Endpoint::Url(url) => Choice::fixed(check_endpoint(url)?),
        };
        let remembered = remembered.filter(|_| settings.endpoint == Endpoint::Auto);
        Self::with_choice(settings, reach, (choice, remembered), credentials)
    }

    /// Like [`Client::new`], with hosts of one's own in place of those of `endpoint = "auto"`: those of each home, in order.
    ///
    /// # Errors
    /// As for [`Client::new`].
    pub fn with_hosts(
        settings: &plan::Ros,
        homes: &[Vec<Url>],
        remembered: Option<Remembered>,
        credentials: Arc<credentials::Cache>,
    ) -> Result<Self, Error> {
        let homes: Result<_, _> = homes.iter().map(|hosts| hosts.iter().map(check_endpoint).collect()).collect();
        Self::with_choice(settings, &Reach::of(settings), (Choice::among(homes?), remembered), credentials)
    }

    fn with_choice(
        settings: &plan::Ros,
        reach: &Reach,
        (choice, remembered): (Choice, Option<Remembered>),
        credentials: Arc<credentials::Cache>,
    ) -> Result<Self, Error> {
        let choice = choice.beginning_with(remembered.as_ref().and_then(Remembered::host).as_ref());
        let http = http_client(choice.is_plain(), reach)?;
        let caller = Caller::new(http, settings.signature, credentials);
        let learned = Mutex::new(Learned { choice, seen: Vec::new() });
        Ok(Self { caller, timeout: settings.timeout, learned, remembered })
    }

    /// Tells the account number, for the ARNs in hints. The first one stays.
    pub fn know_account(&self, account_id: &str) {
        self.caller.know_account(account_id);
    }

    /// Server time minus system time in milliseconds, once it was measured.
    pub fn skew_ms(&self) -> Option<i64> {
        self.caller.skew_ms()
    }

    /// The time of ROS in milliseconds since 1970, as far as it was measured, else this host's.
    pub(super) fn server_ms(&self) -> i64 {
        self.caller.server_ms()
    }

    /// The host that the next attempt about a stack in `region` will ask.
    pub fn endpoint(&self, region: &str) -> Option<Url> {
        self.learned().choice.current(region).cloned()
    }

    /// Every host that attempts about a stack in `region` may ask, in the order in which they are tried.
    pub fn hosts(&self, region: &str) -> Vec<Url> {
        self.learned().choice.hosts(region)
    }

    /// One attempt at SignalResource.
    pub async fn signal(&self, request: &SignalRequest) -> Answer {
        match self.attempt(&request.target, operations::signal_resource(request)).await {
            Ok(body) => Answer::Accepted { request_id: body.request_id },
            Err(refusal) => Answer::Refused(refusal),
        }
    }

    /// What the stack is doing, and the condition where one is named. Takes a few seconds at most, in which a call whose refusal could
    /// be mended is repeated once.
    pub async fn look(&self, target: &Target, condition: Option<&str>) -> Look {
        self.look_asking(target, condition, false).await.0
    }

    /// Like [`Client::look`], with what the stack shows; and if `since` is asked for, since when the condition waits:
    /// [`Look::WaitingSince`] where it does.
    pub async fn look_asking(&self, target: &Target, condition: Option<&str>, since: bool) -> (Look, Option<Mark>) {
        let mut shown = None;
        let look = match tokio::time::timeout(LOOK_TIMEOUT, self.look_unbounded(target, condition, since, &mut shown)).await {
            Ok(look) => look,
            Err(_) => {
                let why = format!("no answer about the stack within {}s", LOOK_TIMEOUT.as_secs());
                Look::Failed { why, class: Class::Transient, retry_after: None }
            }
        };
        (look, shown)
    }

    async fn look_unbounded(&self, target: &Target, condition: Option<&str>, since: bool, shown: &mut Option<Mark>) -> Look {
        let stack = match mended(|| self.get_stack(target)).await {
            Ok(stack) => {
                self.remember(target);
                *shown = Some(Mark { status: stack.status.clone(), updated: stack.updated.clone() });
                stack
            }
            Err(refusal) if refusal.class == Class::Permission => return Look::Denied(refusal.explained()),
            Err(refusal) if refusal.class == Class::Credentials => return Look::NoCredentials(refusal.explained()),
            Err(refusal) if refusal.code.as_deref() == Some("StackNotFound") && self.is_gone(target) => {
                return Look::NobodyWaits("the stack was deleted".to_owned());
            }
            Err(refusal) => {
                return Look::Failed { class: refusal.class, retry_after: refusal.retry_after, why: refusal.explained() };
            }
        };
        let look = stack::read(&stack.status, None);
        let Some(condition) = condition.filter(|_| stack::depends_on_condition(&stack.status)) else {
            return look;
        };
        match mended(|| self.get_stack_resource(target, condition)).await {
            Ok(resource) if since && stack::waits(&resource.status) && !matches!(look, Look::NobodyWaits(_)) => {
                let creating = transition::doing(&stack.status) == transition::Doing::Creates;
                Look::WaitingSince { since: resource.updated.unwrap_or_default(), creating }
            }
            Ok(resource) => stack::read(&stack.status, Some(&resource.status)),
            // Whether it still is the same operation is worth another look; that is not known by the stack alone.
            Err(refusal) if since && !is_final(&refusal) => {
                Look::Failed { class: refusal.class, retry_after: refusal.retry_after, why: refusal.explained() }
            }
            // The stack alone says: send. That it says so without its condition is no reason not to.
            Err(refusal) => {
                tracing::debug!(target: "ros", condition, error = %refusal.message, "the condition cannot be looked at");
                look
            }
        }
    }

    /// The stack answered: only then can it be missed later.
    pub(super) fn remember(&self, target: &Target) {
        let mut learned = self.learned();
        let host = learned.choice.current(&target.region).cloned();
        learned.seen.retain(|seen| seen.stack_id != target.stack_id);
        if learned.seen.len() >= SEEN_LIMIT {
            learned.seen.remove(0);
        }
        learned.seen.push(Seen { host, stack_id: target.stack_id.clone(), missed: None });
    }

    /// Whether a stack that is not found was deleted: it was seen before at this very host, and has been missed for a minute.
    pub(super) fn is_gone(&self, target: &Target) -> bool {
        let mut learned = self.learned();
        let host = learned.choice.current(&target.region).cloned();
        let Some(seen) = learned.seen.iter_mut().find(|seen| seen.stack_id == target.stack_id && seen.host == host) else {
            return false;
        };
        seen.missed.get_or_insert_with(Instant::now).elapsed() >= MISSED_MEANS_DELETED
    }

    /// One attempt at GetStack.
    ///
    /// # Errors
    /// The refusal.
    pub async fn get_stack(&self, target: &Target) -> Result<StackAnswer, Refusal> {
        let body = self.attempt(target, operations::get_stack(target)).await?;
        let text = |name| body.member(name).map(transport::clean);
        let (status_reason, name) = (text("StatusReason"), text("StackName"));
        Ok(StackAnswer { status: status(&body)?, status_reason, name, updated: updated(&body) })
    }

    /// One attempt at GetStackResource of `logical_id` in the stack of `target`.
    ///
    /// # Errors
    /// The refusal.
    pub async fn get_stack_resource(&self, target: &Target, logical_id: &str) -> Result<ResourceAnswer, Refusal> {
        let body = self.attempt(target, operations::get_stack_resource(target, logical_id)).await?;
        let text = |name| body.member(name).map(transport::clean);
        Ok(ResourceAnswer {
            status: status(&body)?,
            status_reason: text("StatusReason"),
            resource_type: text("ResourceType"),
            updated: updated(&body),
        })
    }

    /// One attempt at GetStackResource of a handle, for the attributes with which it is signalled without credentials. What is no text
    /// comes as JSON text. All of it is secret.
    ///
    /// # Errors
    /// The refusal.
    pub(crate) async fn handle_attributes(&self, target: &Target) -> Result<Vec<(String, Secret)>, Refusal> {
        let body = mended(|| self.attempt(target, operations::get_handle(target))).await?;
        Ok(attributes(&body))
    }

    /// One attempt at the host of the moment, and what can be mended afterwards.
    pub(super) async fn attempt(&self, target: &Target, operation: Result<Operation, Invalid>) -> Result<Body, Refusal> {
        let operation = operation.map_err(|invalid| unsent(Class::Permanent, invalid.to_string(), None))?;
        let Some(endpoint) = self.endpoint(&target.region) else {
            return Err(unsent(Class::Permanent, "there is no endpoint to ask".to_owned(), None));
        };
        match self.caller.attempt(&operation, &endpoint, self.timeout).await {
            Ok(body) => {
                self.served(&endpoint);
                Ok(body)
            }
            Err(failed) => Err(self.mend(failed, &endpoint).await),
        }
    }

    fn served(&self, endpoint: &Url) {
        self.learned().choice.served(endpoint);
        if let Some(remembered) = &self.remembered {
            remembered.served(endpoint);
        }
    }

    /// Does about a failure what this side can: ask another host, correct the clock, renew credentials.
    async fn mend(&self, failed: Failed, endpoint: &Url) -> Refusal {
        match failed {
            Failed::Unsent(refusal) => refusal,
            Failed::Silent(trouble) => {
                let another = self.left_unanswered(endpoint, trouble.connected);
                let refusal = Failed::Silent(trouble).into_refusal();
                if another { Refusal { class: Class::Immediate, ..refusal } } else { refusal }
            }
            Failed::Refused(refused) if !refused.from_service => {
                self.learned().choice.silent(endpoint);
                refused.refusal
            }
            Failed::Refused(refused) => match self.other_host(endpoint, refused.action, refused.refusal.code.as_deref()) {
                Some(class) => Refusal { class, ..refused.refusal },
                None => self.caller.mend(*refused).await,
            },
        }
    }

    /// No answer: true if another host may give one at once.
    fn left_unanswered(&self, endpoint: &Url, connected: bool) -> bool {
        let choice = &mut self.learned().choice;
        if connected {
            choice.silent(endpoint);
        }
        !connected && choice.failed(endpoint)
    }

    /// The class, if the next attempt asks another host because of this answer.
    fn other_host(&self, endpoint: &Url, action: Action, code: Option<&str>) -> Option<Class> {
        let mut learned = self.learned();
        let choice = &mut learned.choice;
        let visiting = choice.visiting();
        match (action, code) {
            (Action::PermanentAfterEndpointCheck, _) | (_, Some(KEY_UNKNOWN)) => {
                let another = if code == Some(KEY_UNKNOWN) { choice.key_unknown() } else { choice.stack_unknown() };
                (another || visiting).then_some(if another { Class::Immediate } else { Class::TooEarly })
            }
            (_, Some("InvalidProduct.NotFound" | "InvalidApi.NotFound" | "InvalidProtocol.NeedSsl")) => {
                choice.failed(endpoint).then_some(Class::Immediate)
            }
            (Action::RetryUntilDeadline | Action::PermanentAfterGrace, _) => {
                choice.served(endpoint);
                None
            }
            (Action::Retry | Action::RetryFew | Action::Throttle | Action::ResyncClock | Action::NewNonceNow, _) => {
                choice.answered();
                None
            }
            // RAM judges only whom it knows.
            (Action::Permission, _) if choice.knows_stranger() => {
                choice.served(endpoint);
                None
            }
            _ if visiting => {
                choice.leave_other_home();
                Some(Class::TooEarly)
            }
            _ => {
                choice.answered();
                None
            }
        }
    }

    fn learned(&self) -> std::sync::MutexGuard<'_, Learned> {
        // Nothing in there can be left half done.
        self.learned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks again at once, but only once, if the cause of the refusal was mended: nothing tells the core to look again soon, so a look
/// that fails for a wrong clock or an old key would let a signal go out blind.
pub(super) async fn mended<T, F: Future<Output = Result<T, Refusal>>>(ask: impl Fn() -> F) -> Result<T, Refusal> {
    match ask().await {
        Err(refusal) if refusal.class == Class::Immediate => ask().await,
        answer => answer,
    }
}

/// Another look would not say more: RAM does not permit it, or there is no such resource.
fn is_final(refusal: &Refusal) -> bool {
    refusal.class == Class::Permission || matches!(refusal.code.as_deref(), Some("ResourceNotFound" | "ResourceNotAvailable"))
}

/// When a stack or a resource was updated last, else created, as ROS writes it. Tables and samples of the pages differ in the names (ROS
/// reference, section 6).
pub(super) fn updated(body: &Body) -> Option<String> {
    let given = |name| body.member(name).map(transport::clean).filter(|text| !matches!(text.as_str(), "" | "null"));
    ["UpdateTime", "UpdatedTime", "CreateTime", "CreationTime"].into_iter().find_map(given)
}

/// The attributes of a resource, as GetStackResource shows them.
pub(super) fn attributes(body: &Body) -> Vec<(String, Secret)> {
    let listed = serde_json::from_str::<Vec<serde_json::Map<String, serde_json::Value>>>(body.member("ResourceAttributes").unwrap_or("[]"));
    let pair = |item: serde_json::Map<String, serde_json::Value>| {
        let key = item.get("ResourceAttributeKey")?.as_str()?.to_owned();
        let value = item.get("ResourceAttributeValue")?;
        Some((key, Secret::new(value.as_str().map_or_else(|| value.to_string(), str::to_owned))))
    };
    listed.unwrap_or_default().into_iter().filter_map(pair).collect()
}

pub(super) fn status(body: &Body) -> Result<String, Refusal> {
    let usable = |status: &&str| (1..=64).contains(&status.len()) && status.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
    body.member("Status")
        .filter(usable)
        .map(str::to_owned)
        .ok_or_else(|| unsent(Class::Transient, format!("the answer {} has no usable Status", body.request_id), None))
}

/// That a URL is usable as an endpoint: encrypted but on loopback, and without user, query and fragment.
pub(crate) fn check_endpoint(url: &Url) -> Result<Url, Error> {
    let usable =
        url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none() && url.has_host();
    match url.scheme() {
        _ if !usable => Err(Error::Unusable(without_user(url))),
        "https" => Ok(url.clone()),
        "http" if transport::is_loopback(url) => Ok(url.clone()),
        "http" => Err(Error::Unencrypted(url.clone())),
        _ => Err(Error::Unusable(url.clone())),
    }
}

fn without_user(url: &Url) -> Url {
    let mut url = url.clone();
    // Both fail only for URLs that have no host, hence no user either.
    let _ = url.set_password(None);
    let _ = url.set_username("");
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_for_loopback_only() {
        for good in ["https://ros.aliyuncs.com", "http://127.0.0.1:80", "http://[::1]:9", "http://localhost:1", "http://127.8.8.8"] {
            assert!(check_endpoint(&Url::parse(good).unwrap()).is_ok(), "{good}");
        }
        for bad in [
            "http://ros.aliyuncs.com",
            "http://10.0.0.1",
            "http://localhost.example",
            "ftp://127.0.0.1",
            "https://a:b@ros.test",
            "https://r.test/?x=1",
        ] {
            let error = check_endpoint(&Url::parse(bad).unwrap()).unwrap_err().to_string();
            assert!(error.contains("hint:") && !error.contains("a:b"), "{error}");
        }
    }
}
