//! Credentials of Alibaba Cloud: where they come from, and a cache that renews them in time.
//!
//! Rules: early renewal at [`RENEW_BEFORE`] before expiry, with jitter; while renewing fails, the old ones are used until they really
//! expire; what the service hands out already expired is not used. A refusal by ROS may force a renewal, at most [`FORCED_LIMIT`] times
//! a minute. That there are none yet (no role attached, a file half written) is a state to wait in, not an end.

mod document;
mod source;
mod survey;

pub use survey::{Asked, Given, Said};

use crate::clock::{BootMs, Moment};
use crate::instance::Metadata;
use crate::plan::Provider;
use crate::retry::Random;
use crate::secret::Secret;
use source::Source;
pub(crate) use source::read as read_file;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// How long before their expiry credentials are renewed; up to [`RENEW_JITTER`] is added. The metadata service has new ones 30 minutes
/// before.
pub const RENEW_BEFORE: Duration = Duration::from_secs(15 * 60);

/// See [`RENEW_BEFORE`].
pub const RENEW_JITTER: Duration = Duration::from_secs(60);

/// Renewals in a minute that refusals may force.
pub const FORCED_LIMIT: usize = 2;

const FORCED_WINDOW_MS: i64 = 60_000;

/// After a renewal that failed while the old ones are still good, the next is tried no sooner.
const RENEW_AGAIN_MS: i64 = 10_000;

/// Credentials whose expiry cannot be judged, because the clock may be wrong, are asked for again after this.
const UNJUDGED_MS: i64 = 60_000;

/// An access key, perhaps a temporary one.
#[derive(Debug)]
pub struct Keys {
    access_key_id: String,
    access_key_secret: Secret,
    security_token: Option<Secret>,
    source: String,
}

impl Keys {
    /// `AccessKeyId`. Not a secret.
    pub fn access_key_id(&self) -> &str {
        &self.access_key_id
    }

    /// `AccessKeySecret`.
    pub fn access_key_secret(&self) -> &Secret {
        &self.access_key_secret
    }

    /// `SecurityToken` of temporary credentials.
    pub fn security_token(&self) -> Option<&Secret> {
        self.security_token.as_ref()
    }

    /// Where they came from, for people.
    pub fn source(&self) -> &str {
        &self.source
    }

    fn same(&self, other: &Self) -> bool {
        self.access_key_id == other.access_key_id
            && self.access_key_secret.expose() == other.access_key_secret.expose()
            && self.security_token().map(Secret::expose) == other.security_token().map(Secret::expose)
    }

    #[cfg(test)]
    pub(crate) fn for_tests(id: &str, secret: &str, token: Option<&str>) -> Self {
        Self {
            access_key_id: id.to_owned(),
            access_key_secret: Secret::new(secret),
            security_token: token.map(Secret::new),
            source: "the test".to_owned(),
        }
    }
}

/// Why there are no credentials. Never an end: the next call tries again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// What each source said, in the order in which they were asked.
    pub attempts: Vec<Attempt>,
}

/// What one source said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Name of the source.
    pub source: String,
    /// Why it gave nothing.
    pub why: String,
    /// What a person can do.
    pub hint: Option<String>,
}

impl Error {
    /// What a person can do.
    pub fn hint(&self) -> Option<String> {
        let hints: Vec<&str> = self.attempts.iter().filter_map(|attempt| attempt.hint.as_deref()).collect();
        if hints.is_empty() { None } else { Some(hints.join("; ")) }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no credentials: ")?;
        for (position, attempt) in self.attempts.iter().enumerate() {
            let separator = if position == 0 { "" } else { "; " };
            write!(f, "{separator}{}: {}", attempt.source, attempt.why)?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

/// What came of [`Cache::renew`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// There are other credentials now.
    Fresh,
    /// The source still gives those that were rejected.
    Same,
    /// It was forced too often lately.
    TooSoon,
}

/// Credentials as a source gives them.
#[derive(Debug)]
struct Found {
    keys: Keys,
    /// When they end, milliseconds since 1970; none for permanent ones.
    expires_ms: Option<i64>,
    /// The source's own clock, if it has one.
    source_ms: Option<i64>,
}

#[derive(Debug)]
struct Cached {
    keys: Arc<Keys>,
    /// On the boot clock, so that setting the system clock changes nothing.
    expires: Option<BootMs>,
    renew_at: Option<BootMs>,
    version: Option<source::Version>,
}

#[derive(Debug)]
struct State {
    cached: Option<Cached>,
    forced: VecDeque<BootMs>,
    random: Random,
}

/// The credentials in use.
#[derive(Debug)]
pub struct Cache {
    sources: Vec<Source>,
    /// Held while a source is asked: one asks, the others wait. A source answers within a few seconds, or fails.
    state: tokio::sync::Mutex<State>,
}

impl Cache {
    /// A cache over `provider`. Asks nothing yet. `environment` is the process's; `random` spreads renewals.
    pub fn new(provider: &Provider, environment: &HashMap<String, String>, metadata: &Arc<Metadata>, random: Random) -> Self {
        let sources = source::sources(provider, environment, metadata);
        Self { sources, state: tokio::sync::Mutex::new(State { cached: None, forced: VecDeque::new(), random }) }
    }

    /// The credentials to sign with now.
    ///
    /// `server_ms` is the time of the service, where it was measured: a wrong system clock must not make good credentials look expired.
    ///
    /// # Errors
    /// If no source gives any that have not expired.
    pub async fn keys(&self, now: Moment, server_ms: Option<i64>) -> Result<Arc<Keys>, Error> {
        let mut state = self.state.lock().await;
        if let Some(cached) = state.cached.as_ref().filter(|cached| self.is_current(cached, now)) {
            return Ok(Arc::clone(&cached.keys));
        }
        let fetched = self.fetch(&mut state, now, server_ms).await;
        match (fetched, state.cached.as_mut()) {
            (Ok(keys), _) => Ok(keys),
            (Err(error), Some(cached)) if cached.is_alive(now) => {
                tracing::warn!(target: "credentials", %error, "credentials could not be renewed; the old ones are still good");
                cached.renew_at = Some(now.boot_ms + RENEW_AGAIN_MS);
                cached.version = source::version(&self.sources);
                Ok(Arc::clone(&cached.keys))
            }
            (Err(error), _) => Err(error),
        }
    }

    /// Asks for other credentials, because ROS rejected `rejected`.
    ///
    /// # Errors
    /// If no source gives any.
    pub async fn renew(&self, rejected: &Keys, now: Moment, server_ms: Option<i64>) -> Result<Renewal, Error> {
        let mut state = self.state.lock().await;
        if state.cached.as_ref().is_some_and(|cached| !cached.keys.same(rejected)) {
            return Ok(Renewal::Fresh);
        }
        state.forced.retain(|at| now.boot_ms - at < FORCED_WINDOW_MS);
        if state.forced.len() >= FORCED_LIMIT {
            return Ok(Renewal::TooSoon);
        }
        state.forced.push_back(now.boot_ms);
        let keys = self.fetch(&mut state, now, server_ms).await?;
        Ok(if keys.same(rejected) { Renewal::Same } else { Renewal::Fresh })
    }

    fn is_current(&self, cached: &Cached, now: Moment) -> bool {
        let renewal_due = cached.renew_at.is_some_and(|at| now.boot_ms >= at);
        cached.is_alive(now) && !renewal_due && cached.version == source::version(&self.sources)
    }

    async fn fetch(&self, state: &mut State, now: Moment, server_ms: Option<i64>) -> Result<Arc<Keys>, Error> {
        let mut attempts = Vec::new();
        for source in &self.sources {
            // Before reading, so that a change while reading is seen next time.
            let version = source::version(&self.sources);
            let found = source.find().await.and_then(|found| Self::accept(found, state, version, now, server_ms));
            match found {
                Ok(keys) => {
                    tracing::debug!(target: "credentials", source = keys.source(), passed_over = %Error { attempts }, "credentials found");
                    return Ok(keys);
                }
                Err(refused) => attempts.push(Attempt { source: source.to_string(), why: refused.why, hint: refused.hint }),
            }
        }
        Err(Error { attempts })
    }

    fn accept(
        found: Found,
        state: &mut State,
        version: Option<source::Version>,
        now: Moment,
        server_ms: Option<i64>,
    ) -> Result<Arc<Keys>, source::Refused> {
        let judged_by = found.source_ms.or(server_ms);
        let left = found.expires_ms.map(|at| at.saturating_sub(judged_by.unwrap_or(now.wall_ms)));
        let left = match left {
            Some(left) if left <= 0 && judged_by.is_some() => return Err(source::Refused::expired()),
            // By our clock alone they have expired, but that clock may never have been set. ROS will judge, and tell its time.
            Some(left) if left <= 0 => Some(UNJUDGED_MS),
            left => left,
        };
        let jitter = state.random.up_to(RENEW_JITTER);
        let early = crate::clock::millis(RENEW_BEFORE + jitter);
        let keys = Arc::new(found.keys);
        state.cached = Some(Cached {
            keys: Arc::clone(&keys),
            expires: left.map(|left| now.boot_ms.saturating_add(left)),
            // Those that are short-lived from the beginning are renewed half-way.
            renew_at: left.map(|left| now.boot_ms.saturating_add(if left > 2 * early { left - early } else { left / 2 })),
            version,
        });
        Ok(keys)
    }
}

impl Cached {
    fn is_alive(&self, now: Moment) -> bool {
        self.expires.is_none_or(|at| now.boot_ms < at)
    }
}
