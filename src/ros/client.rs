//! The client of ROS. Each call makes one attempt and returns; the core decides when to try again.
//!
//! What the client does by itself is to mend what it can before the next attempt: it measures the server's clock, has credentials
//! renewed, and changes the host. It says so with [`Class::Immediate`].

use super::body::Body;
use super::codes::Action;
use super::endpoint::Choice;
use super::exchange;
use super::refusal::{self, Context, Refused};
use super::request::{self, Attempt, Operation};
use super::time::{self, SKEW_THAT_MATTERS_MS, ServerClock};
use crate::clock::Moment;
use crate::credentials::{self, Keys, Renewal};
use crate::plan::{self, Endpoint, SignatureScheme};
use crate::signal::{Answer, Class, Refusal, SignalRequest, Target};
use crate::stack::{self, Look};
use crate::tls;
use crate::transport::{self, Trouble};
use reqwest::Url;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Connecting takes at most this (and at most half of an attempt), so that the next host gets its turn; less than a look, which so
/// learns of a host that cannot be reached.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// A look before a send takes at most this: looking is a courtesy, sending is the job.
const LOOK_TIMEOUT: Duration = Duration::from_secs(4);

/// Renewing credentials after a refusal takes at most this.
const RENEW_TIMEOUT: Duration = Duration::from_secs(5);

/// Connections are kept for the send that follows a look, not longer.
const IDLE_TIMEOUT: Duration = Duration::from_secs(5);

/// Stacks that are remembered as seen.
const SEEN_LIMIT: usize = 16;

/// Looks in a row that must miss a stack that was seen, before it counts as deleted.
const MISSED_MEANS_DELETED: u32 = 2;

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
    /// Certificates.
    #[error(transparent)]
    Tls(#[from] tls::Error),
    /// The HTTP client.
    #[error("the HTTP client cannot be made: {0}")]
    Http(reqwest::Error),
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
}

/// A client of ROS.
#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    scheme: SignatureScheme,
    timeout: Duration,
    credentials: Arc<credentials::Cache>,
    account: OnceLock<String>,
    learned: Mutex<Learned>,
}

/// What the answers have taught.
#[derive(Debug)]
struct Learned {
    clock: ServerClock,
    choice: Choice,
    /// Newest last; beyond [`SEEN_LIMIT`] the oldest is forgotten, which costs only a later conclusion.
    seen: Vec<Seen>,
}

/// A stack that a look has found.
#[derive(Debug)]
struct Seen {
    host: Option<Url>,
    stack_id: String,
    /// Looks in a row that have not found it since.
    missed: u32,
}

impl Client {
    /// A client as `[ros]` wants it. Reads certificates, does nothing else yet.
    ///
    /// # Errors
    /// If the endpoint is not encrypted (but on loopback), or certificates cannot be read.
    pub fn new(settings: &plan::Ros, credentials: Arc<credentials::Cache>) -> Result<Self, Error> {
        let choice = match &settings.endpoint {
            Endpoint::Auto => Choice::auto(),
            Endpoint::Url(url) => Choice::fixed(check_endpoint(url)?),
        };
        Self::with_choice(settings, choice, credentials)
    }

    /// Like [`Client::new`], with hosts of one's own in place of those of `endpoint = "auto"`: those of each home, in order.
    ///
    /// # Errors
    /// As for [`Client::new`].
    pub fn with_hosts(settings: &plan::Ros, homes: &[Vec<Url>], credentials: Arc<credentials::Cache>) -> Result<Self, Error> {
        let homes: Result<_, _> = homes.iter().map(|hosts| hosts.iter().map(check_endpoint).collect()).collect();
        Self::with_choice(settings, Choice::among(homes?), credentials)
    }

    fn with_choice(settings: &plan::Ros, choice: Choice, credentials: Arc<credentials::Cache>) -> Result<Self, Error> {
        let plain = choice.current().is_some_and(|url| url.scheme() == "http");
        let builder = if plain { transport::unencrypted_builder()? } else { tls::client_builder(settings.ca_file.as_deref())? };
        let http = builder
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .connect_timeout(CONNECT_TIMEOUT.min(settings.timeout / 2))
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(1)
            .build()
            .map_err(Error::Http)?;
        let learned = Mutex::new(Learned { clock: ServerClock::default(), choice, seen: Vec::new() });
        Ok(Self { http, scheme: settings.signature, timeout: settings.timeout, credentials, account: OnceLock::new(), learned })
    }

    /// Tells the account number, for the ARNs in hints. The first one stays.
    pub fn know_account(&self, account_id: &str) {
        let _ = self.account.set(account_id.to_owned());
    }

    /// Server time minus system time in milliseconds, once it was measured.
    pub fn skew_ms(&self) -> Option<i64> {
        self.learned().clock.skew_ms(Moment::now())
    }

    /// The host that the next attempt will ask.
    pub fn endpoint(&self) -> Option<Url> {
        self.learned().choice.current().cloned()
    }

    /// One attempt at SignalResource.
    pub async fn signal(&self, request: &SignalRequest) -> Answer {
        let operation = match Operation::signal(request) {
            Ok(operation) => operation,
            Err(invalid) => return Answer::Refused(refusal::unsent(Class::Permanent, invalid.to_string(), None)),
        };
        match self.attempt(&operation, &request.target, self.timeout).await {
            Ok(body) => Answer::Accepted { request_id: body.request_id },
            Err(refusal) => Answer::Refused(refusal),
        }
    }

    /// What the stack is doing, and the condition where one is named. Takes a few seconds at most, in which a call whose refusal could
    /// be mended is repeated once.
    pub async fn look(&self, target: &Target, condition: Option<&str>) -> Look {
        match tokio::time::timeout(LOOK_TIMEOUT, self.look_unbounded(target, condition)).await {
            Ok(look) => look,
            Err(_) => {
                let why = format!("no answer about the stack within {}s", LOOK_TIMEOUT.as_secs());
                Look::Failed { why, retry_after: None }
            }
        }
    }

    async fn look_unbounded(&self, target: &Target, condition: Option<&str>) -> Look {
        let stack = match mended(|| self.get_stack(target)).await {
            Ok(stack) => {
                self.remember(target);
                stack
            }
            Err(refusal) if refusal.class == Class::Permission => return Look::Denied(explain(refusal)),
            Err(refusal) if refusal.code.as_deref() == Some("StackNotFound") && self.is_gone(target) => {
                return Look::NobodyWaits("the stack was deleted".to_owned());
            }
            Err(refusal) => {
                let retry_after = refusal.retry_after;
                return Look::Failed { why: explain(refusal), retry_after };
            }
        };
        let look = stack::read(&stack.status, None);
        let (Look::Waiting, Some(condition)) = (&look, condition) else {
            return look;
        };
        match mended(|| self.get_stack_resource(target, condition)).await {
            Ok(resource) => stack::read(&stack.status, Some(&resource.status)),
            // The stack alone says: send. That it says so without its condition is no reason not to.
            Err(refusal) => {
                tracing::debug!(target: "ros", condition, error = %refusal.message, "the condition cannot be looked at");
                look
            }
        }
    }

    /// The stack answered: only then can it be missed later.
    fn remember(&self, target: &Target) {
        let mut learned = self.learned();
        let host = learned.choice.current().cloned();
        learned.seen.retain(|seen| seen.stack_id != target.stack_id);
        if learned.seen.len() >= SEEN_LIMIT {
            learned.seen.remove(0);
        }
        learned.seen.push(Seen { host, stack_id: target.stack_id.clone(), missed: 0 });
    }

    /// Whether a stack that is not found was deleted: it was seen before at this very host, and is missed not for the first time.
    fn is_gone(&self, target: &Target) -> bool {
        let mut learned = self.learned();
        let host = learned.choice.current().cloned();
        let Some(seen) = learned.seen.iter_mut().find(|seen| seen.stack_id == target.stack_id && seen.host == host) else {
            return false;
        };
        seen.missed += 1;
        seen.missed >= MISSED_MEANS_DELETED
    }

    /// One attempt at GetStack.
    ///
    /// # Errors
    /// The refusal.
    pub async fn get_stack(&self, target: &Target) -> Result<StackAnswer, Refusal> {
        let operation = Operation::get_stack(target).map_err(|invalid| refusal::unsent(Class::Permanent, invalid.to_string(), None))?;
        let body = self.attempt(&operation, target, self.timeout).await?;
        let text = |name| body.member(name).map(transport::clean);
        Ok(StackAnswer { status: status(&body)?, status_reason: text("StatusReason"), name: text("StackName") })
    }

    /// One attempt at GetStackResource of `logical_id` in the stack of `target`.
    ///
    /// # Errors
    /// The refusal.
    pub async fn get_stack_resource(&self, target: &Target, logical_id: &str) -> Result<ResourceAnswer, Refusal> {
        let operation = Operation::get_stack_resource(target, logical_id)
            .map_err(|invalid| refusal::unsent(Class::Permanent, invalid.to_string(), None))?;
        let body = self.attempt(&operation, target, self.timeout).await?;
        let text = |name| body.member(name).map(transport::clean);
        Ok(ResourceAnswer { status: status(&body)?, status_reason: text("StatusReason"), resource_type: text("ResourceType") })
    }

    /// One attempt: credentials, signature, exchange, and what can be mended afterwards.
    async fn attempt(&self, operation: &Operation, target: &Target, within: Duration) -> Result<Body, Refusal> {
        let deadline = Instant::now() + within;
        let keys = self.keys(deadline).await?;
        let Some(endpoint) = self.endpoint() else {
            return Err(refusal::unsent(Class::Permanent, "there is no endpoint to ask".to_owned(), None));
        };
        let host = name(&endpoint);
        let now = Moment::now();
        let attempt = Attempt { nonce: uuid::Uuid::new_v4().simple().to_string(), date_ms: self.learned().clock.signing_ms(now) };
        let prepared = request::prepare(operation, self.scheme, &endpoint, &keys, &attempt)
            .map_err(|invalid| refusal::unsent(Class::Credentials, invalid.to_string(), None))?;
        let reply = match exchange::exchange(&self.http, &prepared, &host, deadline, within).await {
            Ok(reply) => reply,
            Err(trouble) => return Err(self.no_answer(trouble)),
        };
        let context = Context {
            host: &host,
            operation: operation.action,
            target,
            account: self.account.get().map(String::as_str),
            keys: &keys,
            signed: &prepared.signed,
            now_ms: now.wall_ms,
        };
        let read = refusal::read(&reply, &context);
        if read.as_ref().map_or_else(|refused| refused.from_ros, |_| true) {
            let clock = &mut self.learned().clock;
            clock.measure(time::date_ms(&reply.headers), reply.sent, reply.received);
            clock.tell(reply.received);
        }
        match read {
            Ok(body) => {
                self.learned().choice.served();
                Ok(body)
            }
            Err(refused) => Err(self.mend(*refused, &keys, now, &attempt).await),
        }
    }

    async fn keys(&self, deadline: Instant) -> Result<Arc<Keys>, Refusal> {
        let now = Moment::now();
        let server_ms = self.learned().clock.server_ms(now);
        match tokio::time::timeout_at(deadline, self.credentials.keys(now, server_ms)).await {
            Ok(Ok(keys)) => Ok(keys),
            Ok(Err(error)) => Err(refusal::unsent(Class::Credentials, error.to_string(), error.hint())),
            Err(_) => Err(refusal::unsent(Class::Credentials, "timed out waiting for credentials".to_owned(), None)),
        }
    }

    /// No answer: perhaps another host gives one.
    fn no_answer(&self, trouble: Trouble) -> Refusal {
        let mut learned = self.learned();
        let connected = trouble.connected;
        let mut refusal = refusal::of_trouble(trouble);
        if connected {
            learned.choice.silent();
        } else if learned.choice.failed() {
            refusal.class = Class::Immediate;
        }
        refusal
    }

    /// Does about a refusal what this side can.
    async fn mend(&self, refused: Refused, keys: &Arc<Keys>, now: Moment, attempt: &Attempt) -> Refusal {
        let Refused { action, from_ros, mut refusal } = refused;
        if !from_ros {
            self.learned().choice.silent();
            return refusal;
        }
        if let Some(class) = self.other_host(action, refusal.code.as_deref()) {
            refusal.class = class;
            return refusal;
        }
        match action {
            Action::ResyncClock => self.resync(&mut refusal, now, attempt),
            Action::RetrySameToken if refusal.retry_after.is_none() => refusal.retry_after = Some(Duration::from_secs(1)),
            _ => {}
        }
        if refusal.class == Class::Credentials {
            self.renew(&mut refusal, keys, now).await;
        }
        refusal
    }

    /// The class, if the next attempt asks another host because of this answer.
    fn other_host(&self, action: Action, code: Option<&str>) -> Option<Class> {
        let mut learned = self.learned();
        let choice = &mut learned.choice;
        let visiting = choice.visiting();
        match (action, code) {
            (Action::PermanentAfterEndpointCheck, _) | (_, Some("InvalidAccessKeyId.NotFound")) => {
                let another = choice.stack_unknown();
                (another || visiting).then_some(if another { Class::Immediate } else { Class::TooEarly })
            }
            (_, Some("InvalidProduct.NotFound" | "InvalidApi.NotFound" | "InvalidProtocol.NeedSsl")) => {
                choice.failed().then_some(Class::Immediate)
            }
            (Action::RetryUntilDeadline | Action::PermanentAfterGrace, _) => {
                choice.served();
                None
            }
            (Action::Retry | Action::RetryFew | Action::Throttle | Action::ResyncClock | Action::NewNonceNow, _) => {
                choice.answered();
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

    /// A time error is the clock's, never the key's.
    fn resync(&self, refusal: &mut Refusal, now: Moment, attempt: &Attempt) {
        let clock = self.learned().clock;
        let corrected = (clock.signing_ms(now) - attempt.date_ms).abs() > SKEW_THAT_MATTERS_MS;
        refusal.class = if corrected { Class::Immediate } else { Class::Transient };
        let seconds = clock.skew_ms(now).map(|skew| skew / 1000);
        refusal.hint = Some(match seconds {
            Some(seconds) => {
                format!("this host's clock is {} by {}s; requests are signed with the server's time", direction(seconds), seconds.abs())
            }
            None => "this host's clock is wrong and the answer had no usable Date; set the clock (chrony)".to_owned(),
        });
    }

    async fn renew(&self, refusal: &mut Refusal, keys: &Arc<Keys>, now: Moment) {
        let server_ms = self.learned().clock.server_ms(now);
        let renewal = tokio::time::timeout(RENEW_TIMEOUT, self.credentials.renew(keys, now, server_ms)).await;
        let more = match renewal {
            Ok(Ok(Renewal::Fresh)) => {
                refusal.class = Class::Immediate;
                return;
            }
            Ok(Ok(Renewal::Same)) => "asking again gave the same credentials".to_owned(),
            Ok(Ok(Renewal::TooSoon)) => return,
            Ok(Err(error)) => format!("asking again failed: {error}"),
            Err(_) => "asking again timed out".to_owned(),
        };
        refusal.hint = Some(refusal.hint.take().map_or_else(|| more.clone(), |hint| format!("{hint}; {more}")));
    }

    fn learned(&self) -> std::sync::MutexGuard<'_, Learned> {
        // Nothing in there can be left half done.
        self.learned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks again at once, but only once, if the cause of the refusal was mended: nothing tells the core to look again soon, so a look
/// that fails for a wrong clock or an old key would let a signal go out blind.
async fn mended<T, F: Future<Output = Result<T, Refusal>>>(ask: impl Fn() -> F) -> Result<T, Refusal> {
    match ask().await {
        Err(refusal) if refusal.class == Class::Immediate => ask().await,
        answer => answer,
    }
}

fn status(body: &Body) -> Result<String, Refusal> {
    let usable = |status: &&str| (1..=64).contains(&status.len()) && status.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
    body.member("Status")
        .filter(usable)
        .map(str::to_owned)
        .ok_or_else(|| refusal::unsent(Class::Transient, format!("the answer {} has no usable Status", body.request_id), None))
}

fn explain(refusal: Refusal) -> String {
    refusal.hint.map_or(refusal.message.clone(), |hint| format!("{}; {hint}", refusal.message))
}

fn direction(seconds: i64) -> &'static str {
    if seconds > 0 { "slow" } else { "fast" }
}

/// Host and, where it is not the scheme's own, port: for messages.
fn name(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

fn check_endpoint(url: &Url) -> Result<Url, Error> {
    let usable =
        url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none() && url.has_host();
    match url.scheme() {
        _ if !usable => Err(Error::Unusable(without_user(url))),
        "https" => Ok(url.clone()),
        "http" if is_loopback(url) => Ok(url.clone()),
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

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
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
