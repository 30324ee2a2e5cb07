//! One attempt at one operation: credentials, signature, exchange; and what this side can mend after a refusal.

use super::body::Body;
use super::codes::Action;
use super::exchange;
use super::reach::Http;
use super::refusal::{self, Context};
use super::request::{self, Attempt, Operation};
use super::time::{self, SKEW_THAT_MATTERS_MS, ServerClock};
use crate::clock::Moment;
use crate::credentials::{Cache, Keys, Renewal};
use crate::plan::SignatureScheme;
use crate::secret::Secret;
use crate::signal::{Class, Refusal};
use crate::tls;
use crate::transport::Trouble;
use reqwest::Url;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Renewing credentials after a refusal takes at most this.
const RENEW_TIMEOUT: Duration = Duration::from_secs(5);

/// Why there can be no HTTP client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Certificates.
    #[error(transparent)]
    Tls(#[from] tls::Error),
    /// The HTTP client.
    #[error("the HTTP client cannot be made: {0}")]
    Http(reqwest::Error),
}

/// Host and, where it is not the scheme's own, port: for messages.
pub(crate) fn host_name(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// Makes attempts under one set of credentials, and learns the clock of the other side.
#[derive(Debug)]
pub(crate) struct Caller {
    http: Http,
    scheme: SignatureScheme,
    /// None where keys come with each call.
    credentials: Option<Arc<Cache>>,
    account: OnceLock<String>,
    clock: Mutex<ServerClock>,
}

/// Why an attempt brought nothing.
#[derive(Debug)]
pub(crate) enum Failed {
    /// Nothing was sent, because of something on this host.
    Unsent(Refusal),
    /// No answer.
    Silent(Trouble),
    /// The service, or something in its place, refused.
    Refused(Box<Refused>),
}

/// A refusal, with what is needed to mend its cause.
#[derive(Debug)]
pub(crate) struct Refused {
    /// What the error table says.
    pub(crate) action: Action,
    /// Written by the service, not by something between.
    pub(crate) from_service: bool,
    /// For the core and for people.
    pub(crate) refusal: Refusal,
    keys: Arc<Keys>,
    began: Moment,
    date_ms: i64,
}

impl Failed {
    /// What it comes to if nothing is mended.
    pub(crate) fn into_refusal(self) -> Refusal {
        match self {
            Self::Unsent(refusal) => refusal,
            Self::Silent(trouble) => refusal::of_trouble(trouble),
            Self::Refused(refused) => refused.refusal,
        }
    }
}

impl Caller {
    /// A caller that has learned nothing yet.
    pub(crate) fn new(http: Http, scheme: SignatureScheme, credentials: Arc<Cache>) -> Self {
        Self { http, scheme, credentials: Some(credentials), account: OnceLock::new(), clock: Mutex::default() }
    }

    /// A caller for [`Caller::attempt_with`] alone.
    pub(crate) fn without_credentials(http: Http, scheme: SignatureScheme) -> Self {
        Self { http, scheme, credentials: None, account: OnceLock::new(), clock: Mutex::default() }
    }

    /// Tells the account number, for the ARNs in hints. The first one stays.
    pub(crate) fn know_account(&self, account_id: &str) {
        let _ = self.account.set(account_id.to_owned());
    }

    /// Server time minus system time in milliseconds, once it was measured.
    pub(crate) fn skew_ms(&self) -> Option<i64> {
        self.clock().skew_ms(Moment::now())
    }

    /// The server's time in milliseconds since 1970, as far as it was measured, else this host's.
    pub(crate) fn server_ms(&self) -> i64 {
        self.clock().signing_ms(Moment::now())
    }

    /// Makes one attempt at `endpoint`, within this time.
    ///
    /// # Errors
    /// Why it brought nothing.
    pub(crate) async fn attempt(&self, operation: &Operation, endpoint: &Url, within: Duration) -> Result<Body, Failed> {
        let deadline = Instant::now() + within;
        let keys = self.keys(deadline).await.map_err(Failed::Unsent)?;
        self.attempt_with(keys, None, operation, endpoint, (deadline, within)).await
    }

    /// Makes one attempt that is signed with `keys`, whatever the cache has; or, where a parameter says who asks, `unsigned` with it.
    /// The keys then only hold what must never come back in a message.
    ///
    /// # Errors
    /// Why it brought nothing.
    pub(crate) async fn attempt_with(
        &self,
        keys: Arc<Keys>,
        unsigned: Option<(&str, &Secret)>,
        operation: &Operation,
        endpoint: &Url,
        (deadline, within): (Instant, Duration),
    ) -> Result<Body, Failed> {
        // What takes too long here is noticed below.
        let _ = tokio::time::timeout_at(deadline, self.http.prepare()).await;
        let host = host_name(endpoint);
        let now = Moment::now();
        let attempt = Attempt { nonce: uuid::Uuid::new_v4().simple().to_string(), date_ms: self.clock().signing_ms(now) };
        let prepared = match unsigned {
            None => request::prepare(operation, self.scheme, endpoint, &keys, &attempt),
            Some(secret) => request::unsigned(operation, endpoint, secret, &attempt),
        };
        let prepared = prepared.map_err(|invalid| Failed::Unsent(refusal::unsent(Class::Credentials, invalid.to_string(), None)))?;
        let server_ms = self.clock().server_ms(now);
        let bounds = exchange::Bounds { deadline, within, limit: operation.answer_limit() };
        let reply = exchange::exchange(&self.http, &prepared, &host, bounds, server_ms).await.map_err(Failed::Silent)?;
        let context = Context {
            host: &host,
            operation,
            account: self.account.get().map(String::as_str),
            keys: &keys,
            signed: &prepared.signed,
            now_ms: now.wall_ms,
        };
        let read = refusal::read(&reply, &context);
        if read.as_ref().map_or_else(|judged| judged.from_service, |_| true) {
            let mut clock = self.clock();
            clock.measure(time::date_ms(&reply.headers), reply.sent, reply.received);
            clock.tell(operation.service.name(), reply.received);
        }
        read.map_err(|judged| {
            let refusal::Judged { action, from_service, refusal } = *judged;
            Failed::Refused(Box::new(Refused { action, from_service, refusal, keys, began: now, date_ms: attempt.date_ms }))
        })
    }

    async fn keys(&self, deadline: Instant) -> Result<Arc<Keys>, Refusal> {
        let now = Moment::now();
        let server_ms = self.clock().server_ms(now);
        let Some(credentials) = &self.credentials else {
            return Err(refusal::unsent(Class::Credentials, "no credentials were given".to_owned(), None));
        };
        match tokio::time::timeout_at(deadline, credentials.keys(now, server_ms)).await {
            Ok(Ok(keys)) => Ok(keys),
            Ok(Err(error)) => Err(refusal::unsent(Class::Credentials, error.to_string(), error.hint())),
            Err(_) => Err(refusal::unsent(Class::Credentials, "timed out waiting for credentials".to_owned(), None)),
        }
    }

    /// Does about a refusal what this side can: a wrong clock was measured by now, other credentials can be had.
    pub(crate) async fn mend(&self, refused: Refused) -> Refusal {
        let Refused { action, mut refusal, keys, began, date_ms, .. } = refused;
        match action {
            Action::ResyncClock => self.resync(&mut refusal, began, date_ms),
            Action::RetrySameToken if refusal.retry_after.is_none() => refusal.retry_after = Some(Duration::from_secs(1)),
            _ => {}
        }
        if refusal.class == Class::Credentials {
            self.renew(&mut refusal, &keys, began).await;
        }
        refusal
    }

    /// A time error is the clock's, never the key's.
    fn resync(&self, refusal: &mut Refusal, now: Moment, date_ms: i64) {
        let clock = *self.clock();
        let corrected = (clock.signing_ms(now) - date_ms).abs() > SKEW_THAT_MATTERS_MS;
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
        let Some(credentials) = &self.credentials else { return };
        let server_ms = self.clock().server_ms(now);
        let renewal = tokio::time::timeout(RENEW_TIMEOUT, credentials.renew(keys, now, server_ms)).await;
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

    fn clock(&self) -> std::sync::MutexGuard<'_, ServerClock> {
        // Nothing in there can be left half done.
        self.clock.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn direction(seconds: i64) -> &'static str {
    if seconds > 0 { "slow" } else { "fast" }
}
