//! Credentials of Alibaba Cloud: where they come from, and a cache that renews them in time.
//!
//! Rules: early renewal at [`RENEW_BEFORE`] before expiry, with jitter; while renewing fails, the old ones are used until they really
//! expire; what the service hands out already expired is not used. A refusal by ROS may force a renewal, at most [`FORCED_LIMIT`] times
//! a minute. That there are none yet (no role attached, a file half written) is a state to wait in, not an end. The first source that
//! answers is remembered; the others are asked again only when it has failed and its last credentials have ended.

mod apart;
mod around;
mod cli_profile;
mod document;
mod external;
mod file;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod ini_profile;
mod oidc;
mod ram_role;
mod recipe;
mod source;
mod sts;
mod survey;
mod uri;

pub use survey::{Asked, Given, Said};

use crate::clock::{BootMs, Moment};
use crate::instance::Metadata;
use crate::plan::Provider;
use crate::retry::Random;
use crate::rpc::Reach;
use crate::secret::Secret;
use around::Around;
use recipe::Recipe;
use source::{Refused, Source};
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedMutexGuard;

pub(crate) use apart::Seat;
pub(crate) use file::{read_secret, systemd_credential};
pub(crate) use uri::is_kept_private;

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
    /// What a person can do; with several sources each hint has the name of its own, because one of them is enough.
    pub fn hint(&self) -> Option<String> {
        let named = self.attempts.len() > 1;
        let hint = |attempt: &Attempt| {
            let hint = attempt.hint.as_deref()?;
            Some(if named { format!("{}: {hint}", attempt.source) } else { hint.to_owned() })
        };
        let hints: Vec<String> = self.attempts.iter().filter_map(hint).collect();
        if hints.is_empty() { None } else { Some(hints.join("; ")) }
    }
}

/// On one line for logs; `{:#}` gives each source a line of its own.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, next) = if f.alternate() { ("\n  ", "\n  ") } else { (" ", "; ") };
        f.write_str("no credentials:")?;
        for (position, attempt) in self.attempts.iter().enumerate() {
            let separator = if position == 0 { first } else { next };
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
    /// When to ask again for what does not say when it ends.
    ask_again: Option<Duration>,
}

#[derive(Debug)]
struct Cached {
    keys: Arc<Keys>,
    /// On the boot clock, so that setting the system clock changes nothing.
    expires: Option<BootMs>,
    renew_at: Option<BootMs>,
    /// Of the files of its source.
    version: source::Version,
}

#[derive(Debug)]
struct State {
    cached: Option<Cached>,
    /// Position of the source that answered last.
    remembered: Option<usize>,
    forced: VecDeque<BootMs>,
    random: Random,
}

/// The credentials in use.
#[derive(Debug)]
pub struct Cache {
    sources: Arc<Sources>,
    /// Held while a source is asked: one asks, the others wait.
    state: Arc<tokio::sync::Mutex<State>>,
}

#[derive(Debug)]
struct Sources {
    chain: Vec<(Source, Seat)>,
    around: Around,
}

impl Cache {
    /// A cache over `provider`. Asks nothing yet. `environment` is the process's; `random` spreads renewals.
    pub fn new(provider: &Provider, environment: &HashMap<String, String>, metadata: &Arc<Metadata>, random: Random) -> Self {
        Self::reaching(provider, environment, metadata, random, &Reach::bare())
    }

    /// The same, with STS reached as ROS is, and a credentials URI so but past any proxy.
    pub fn reaching(
        provider: &Provider,
        environment: &HashMap<String, String>,
        metadata: &Arc<Metadata>,
        random: Random,
        reach: &Reach,
    ) -> Self {
        let around = Around { reach: reach.clone(), ..Around::new(environment, metadata) };
        let chain = source::sources(provider, environment, &around).into_iter().map(|source| (source, Seat::default())).collect();
        let state = State { cached: None, remembered: None, forced: VecDeque::new(), random };
        Self { sources: Arc::new(Sources { chain, around }), state: Arc::new(tokio::sync::Mutex::new(state)) }
    }

    /// The credentials to sign with now.
    ///
    /// `server_ms` is the time of the service, where it was measured: a wrong system clock must not make good credentials look expired.
    /// A source that has been asked goes on when this future is dropped; what it finds is there for the next call.
    ///
    /// # Errors
    /// If no source gives any that have not expired.
    pub async fn keys(&self, now: Moment, server_ms: Option<i64>) -> Result<Arc<Keys>, Error> {
        let state = Arc::clone(&self.state).lock_owned().await;
        if let Some(cached) = &state.cached
            && self.sources.is_current(cached, &state, now).await
        {
            return Ok(Arc::clone(&cached.keys));
        }
        let (fetched, mut state) = self.fetch(state, now, server_ms).await?;
        match (fetched, state.cached.as_mut()) {
            (Ok(keys), _) => Ok(keys),
            (Err(error), Some(cached)) if cached.is_alive(now) => {
                tracing::warn!(target: "credentials", %error, "credentials could not be renewed; the old ones are still good");
                cached.renew_at = Some(now.boot_ms + RENEW_AGAIN_MS);
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
        let mut state = Arc::clone(&self.state).lock_owned().await;
        if state.cached.as_ref().is_some_and(|cached| !cached.keys.same(rejected)) {
            return Ok(Renewal::Fresh);
        }
        state.forced.retain(|at| now.boot_ms - at < FORCED_WINDOW_MS);
        if state.forced.len() >= FORCED_LIMIT {
            return Ok(Renewal::TooSoon);
        }
        state.forced.push_back(now.boot_ms);
        let (fetched, _state) = self.fetch(state, now, server_ms).await?;
        Ok(if fetched?.same(rejected) { Renewal::Same } else { Renewal::Fresh })
    }

    /// Asks in a task of its own, because a program may take a minute and whoever needs credentials has less time. The lock goes with
    /// it, so there is one such task at most.
    async fn fetch(
        &self,
        mut state: OwnedMutexGuard<State>,
        now: Moment,
        server_ms: Option<i64>,
    ) -> Result<(Result<Arc<Keys>, Error>, OwnedMutexGuard<State>), Error> {
        let sources = Arc::clone(&self.sources);
        let asking = tokio::spawn(async move {
            let fetched = sources.fetch(&mut state, now, server_ms).await;
            (fetched, state)
        });
        asking.await.map_err(|_| Error { attempts: Vec::new() })
    }
}

impl Sources {
    async fn is_current(self: &Arc<Self>, cached: &Cached, state: &State, now: Moment) -> bool {
        let renewal_due = cached.renew_at.is_some_and(|at| now.boot_ms >= at);
        let Some(position) = state.remembered.filter(|_| cached.is_alive(now) && !renewal_due) else { return false };
        // Where files do not even answer, nobody knows better than what they said last.
        self.look(position, Source::version).await.map_or(true, |version| version == cached.version)
    }

    /// Has a look at the source at `position`, on a thread if it has files.
    async fn look<T: Send + 'static>(self: &Arc<Self>, position: usize, work: fn(&Source, &Around) -> T) -> Result<T, Refused> {
        let gone = || Refused::new("there is no such source");
        let (source, seat) = self.chain.get(position).ok_or_else(gone)?;
        if !source.has_files() {
            return Ok(work(source, &self.around));
        }
        let sources = Arc::clone(self);
        let looked = seat.look(move || sources.chain.get(position).map(|(source, _)| work(source, &sources.around))).await;
        let hint = "look at the file system that they lie on, and at $HOME";
        looked.map_err(|why| Refused::new(why).hinting(hint))?.ok_or_else(gone)
    }

    /// The one that answered last is asked first, and alone as long as what it gave is good.
    async fn fetch(self: &Arc<Self>, state: &mut State, now: Moment, server_ms: Option<i64>) -> Result<Arc<Keys>, Error> {
        let remembered = state.remembered;
        let alone = remembered.is_some() && state.cached.as_ref().is_some_and(|cached| cached.is_alive(now));
        let all = self.chain.iter().enumerate();
        let first = all.clone().filter(|(position, _)| Some(*position) == remembered);
        let others = all.filter(|(position, _)| Some(*position) != remembered && !alone);
        let mut attempts = Vec::new();
        for (position, (source, _)) in first.chain(others) {
            match self.ask(position, state, now, server_ms).await {
                Ok(keys) => {
                    state.remembered = Some(position);
                    tracing::debug!(target: "credentials", source = keys.source(), passed_over = %Error { attempts }, "credentials found");
                    return Ok(keys);
                }
                Err(refused) => attempts.push(Attempt { source: source.to_string(), why: refused.why, hint: refused.hint }),
            }
        }
        Err(Error { attempts })
    }

    /// What the source at `position` gives, and nothing kept of it.
    async fn find(self: &Arc<Self>, position: usize) -> Result<Found, Refused> {
        let (recipe, source) = self.look(position, Source::recipe).await??;
        Box::pin(recipe.follow(&source, &self.around)).await
    }

    async fn ask(self: &Arc<Self>, position: usize, state: &mut State, now: Moment, server_ms: Option<i64>) -> Result<Arc<Keys>, Refused> {
        let (version, read) = self.look(position, read).await?;
        if let Some(cached) = state.cached.as_mut().filter(|_| state.remembered == Some(position)) {
            // What is in there now is known, whatever comes of it.
            cached.version.clone_from(&version);
        }
        let (recipe, source) = read?;
        let found = Box::pin(recipe.follow(&source, &self.around)).await?;
        accept(found, state, version, now, server_ms)
    }
}

/// The version comes before reading, so that a change while reading is seen next time.
fn read(source: &Source, around: &Around) -> (source::Version, Result<(Recipe, String), Refused>) {
    (source.version(around), source.recipe(around))
}

fn accept(found: Found, state: &mut State, version: source::Version, now: Moment, server_ms: Option<i64>) -> Result<Arc<Keys>, Refused> {
    let judged_by = found.source_ms.or(server_ms);
    let left = found.expires_ms.map(|at| at.saturating_sub(judged_by.unwrap_or(now.wall_ms)));
    let left = match left {
        Some(left) if left <= 0 && judged_by.is_some() => return Err(Refused::expired()),
        // By our clock alone they have expired, but that clock may never have been set. ROS will judge, and tell its time.
        Some(left) if left <= 0 => Some(UNJUDGED_MS),
        left => left,
    };
    let jitter = state.random.up_to(RENEW_JITTER);
    let early = crate::clock::millis(RENEW_BEFORE + jitter);
    // Those that are short-lived from the beginning are renewed half-way.
    let renew_in = left.map(|left| if left > 2 * early { left - early } else { left / 2 });
    let renew_in = renew_in.or_else(|| found.ask_again.map(crate::clock::millis));
    let keys = Arc::new(found.keys);
    state.cached = Some(Cached {
        keys: Arc::clone(&keys),
        expires: left.map(|left| now.boot_ms.saturating_add(left)),
        renew_at: renew_in.map(|renew_in| now.boot_ms.saturating_add(renew_in)),
        version,
    });
    Ok(keys)
}

impl Cached {
    fn is_alive(&self, now: Moment) -> bool {
        self.expires.is_none_or(|at| now.boot_ms < at)
    }
}
