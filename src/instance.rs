//! The metadata service of ECS: who this host is, and what its RAM role's credentials are.
//!
//! Hardened mode first ("instance metadata" pages of ECS): `PUT /latest/api/token` gives a token that every other request carries.
//! Plain access only where `allow_plain_metadata` says so and `ALIBABA_CLOUD_IMDSV1_DISABLED` does not forbid it. Nothing is asked
//! before it is needed; every look-up ends within [`LOOKUP_TIMEOUT`]; no proxy is ever used and no redirect followed. What answers may
//! be something else in its place (a captive portal, another cloud), so every answer is bounded and checked for its characters.

#[cfg(fuzzing)]
pub(crate) mod fuzzing;

use crate::clock::{BootMs, Moment};
use crate::plan;
use crate::rpc::ServerClock;
use crate::secret::Secret;
use crate::transport::{self, Trouble};
use reqwest::{StatusCode, Url};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// One look-up, its token included.
pub const LOOKUP_TIMEOUT: Duration = Duration::from_secs(2);

const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const READ_TIMEOUT: Duration = Duration::from_secs(1);

/// What a token is asked to live, the most that is allowed.
const TOKEN_TTL_SECONDS: i64 = 21_600;

/// A token is renewed this long before its end.
const TOKEN_MARGIN_MS: i64 = 60_000;

/// The most of an answer that is read.
const BODY_LIMIT: usize = 16 * 1024;

/// Why the metadata service could not say.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No answer.
    #[error("the metadata service at {url} does not answer: {cause}")]
    Unreachable {
        /// Which.
        url: String,
        /// Why.
        cause: String,
        /// There was a connection, but no answer on it.
        connected: bool,
    },
    /// No token, and plain access is not allowed.
    #[error("the metadata service at {url} gave no token: {cause}")]
    NoToken {
        /// Which.
        url: String,
        /// Why.
        cause: String,
    },
    /// An HTTP status that is not 200.
    #[error("the metadata service says HTTP {status} to {path}")]
    Status {
        /// What was asked.
        path: String,
        /// Status.
        status: u16,
    },
    /// An answer that cannot be right.
    #[error("the metadata service's answer to {path} is not usable: {why}")]
    Unusable {
        /// What was asked.
        path: String,
        /// Why.
        why: &'static str,
    },
    /// A configuration that cannot work.
    #[error("metadata_url {0} is not usable")]
    Configuration(String),
}

impl Error {
    /// Whether asking for something else would be in vain too.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::NoToken { .. })
    }

    /// What a person can do.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Unreachable { .. } => {
                Some("is this an ECS instance in a VPC? outside of one set [instance] id, and region and stack_id in [stack]")
            }
            Self::NoToken { .. } => Some("set allow_plain_metadata = true in [instance] if this instance has no hardened mode"),
            Self::Configuration(_) => Some("give an http:// URL with a host, such as http://100.100.100.200"),
            _ => None,
        }
    }

    fn status(&self) -> Option<u16> {
        match self {
            Self::Status { status, .. } => Some(*status),
            _ => None,
        }
    }
}

/// Who this host is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Configured, or `meta-data/instance-id`.
    pub instance_id: String,
    /// `meta-data/region-id`.
    pub region: Option<String>,
    /// The instance tag `acs:ros:stackId`, where tags are shown.
    pub stack_id: Option<String>,
    /// `meta-data/owner-account-id`.
    pub account_id: Option<String>,
}

/// A text of the metadata service, with the service's time.
#[derive(Debug)]
pub struct Document {
    /// Trimmed. Perhaps a secret: it is not shown.
    pub text: Secret,
    /// Date header, milliseconds since 1970.
    pub date_ms: Option<i64>,
}

#[derive(Clone, Debug)]
struct Token {
    value: Secret,
    expires: BootMs,
}

/// A client of the metadata service.
#[derive(Debug)]
pub struct Metadata {
    http: reqwest::Client,
    base: Url,
    configured_id: Option<String>,
    allow_plain: bool,
    /// One look-up at a time fetches a token; the others wait, each within its own time limit.
    token: tokio::sync::Mutex<Option<Token>>,
    time: Mutex<Time>,
}

/// The service's clock, as its answers tell it.
#[derive(Debug, Default)]
struct Time {
    clock: ServerClock,
    measured: Option<BootMs>,
}

impl Metadata {
    /// A client as `[instance]` wants it. Asks nothing yet. `environment` is the process's.
    ///
    /// # Errors
    /// If `metadata_url` is not an http URL.
    pub fn new(settings: &plan::Instance, environment: &HashMap<String, String>) -> Result<Self, Error> {
        let base = settings.metadata_url.clone();
        if base.scheme() != "http" || !base.has_host() || base.query().is_some() || !base.username().is_empty() {
            return Err(Error::Configuration(base.to_string()));
        }
        let http = transport::unencrypted_builder()
            .map_err(|error| Error::Configuration(error.to_string()))?
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            .pool_idle_timeout(LOOKUP_TIMEOUT)
            .pool_max_idle_per_host(1)
            .build()
            .map_err(|_| Error::Configuration(base.to_string()))?;
        let forbidden = environment.get("ALIBABA_CLOUD_IMDSV1_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"));
        let allow_plain = settings.allow_plain_metadata && !forbidden;
        Ok(Self {
            http,
            base,
            configured_id: settings.id.clone(),
            allow_plain,
            token: tokio::sync::Mutex::new(None),
            time: Mutex::default(),
        })
    }

    /// Who this host is. Only the instance id must be known; with a configured one nothing need answer.
    ///
    /// # Errors
    /// If no instance id is configured and the service does not tell it.
    pub async fn identity(&self) -> Result<Identity, Error> {
        let instance_id = self.instance_id().await?;
        let mut identity = Identity { instance_id, region: None, stack_id: None, account_id: None };
        identity.region = match self.region().await {
            Ok(region) => Some(region),
            Err(error) if error.is_unreachable() => return Ok(identity),
            Err(_) => None,
        };
        identity.account_id = self.account().await.ok();
        identity.stack_id = self.stack_id().await.ok();
        Ok(identity)
    }

    /// The instance id alone, for a check before a send that this is still the same machine. The configured one, if there is one.
    ///
    /// # Errors
    /// If none is configured and the service does not tell it.
    pub async fn instance_id(&self) -> Result<String, Error> {
        match &self.configured_id {
            Some(id) => Ok(id.clone()),
            None => self.checked("meta-data/instance-id", is_instance_id).await,
        }
    }

    /// `meta-data/region-id` alone.
    ///
    /// # Errors
    /// If the service does not tell it.
    pub async fn region(&self) -> Result<String, Error> {
        self.checked("meta-data/region-id", is_region).await
    }

    /// `meta-data/owner-account-id` alone.
    ///
    /// # Errors
    /// If the service does not tell it.
    pub async fn account(&self) -> Result<String, Error> {
        self.checked("meta-data/owner-account-id", is_account).await
    }

    /// The instance tag `acs:ros:stackId` alone.
    ///
    /// # Errors
    /// If the service does not tell it.
    pub async fn stack_id(&self) -> Result<String, Error> {
        self.checked("meta-data/tags/instance/acs:ros:stackId", is_stack_id).await
    }

    /// Whether the last look-up carried a token (hardened mode); else access was plain.
    pub async fn is_hardened(&self) -> bool {
        self.token.lock().await.is_some()
    }

    /// The name that may end with the number of this host in its group.
    ///
    /// # Errors
    /// If the service does not tell it.
    pub async fn name(&self, source: plan::NameSource) -> Result<String, Error> {
        let path = match source {
            plan::NameSource::InstanceName => "meta-data/instance/instance-name",
            plan::NameSource::Hostname => "meta-data/hostname",
        };
        self.checked(path, is_name).await
    }

    async fn checked(&self, path: &'static str, is_right: fn(&str) -> bool) -> Result<String, Error> {
        let document = self.get(path).await?;
        let text = document.text.expose();
        if is_right(text) {
            Ok(text.to_owned())
        } else {
            Err(Error::Unusable { path: path.to_owned(), why: "it has characters that do not belong there" })
        }
    }

    /// The document at `path` below `latest/`.
    ///
    /// # Errors
    /// If there is no answer in time, or none with HTTP 200.
    pub async fn get(&self, path: &str) -> Result<Document, Error> {
        match tokio::time::timeout(LOOKUP_TIMEOUT, self.get_unbounded(path)).await {
            Ok(answer) => answer,
            Err(_) => Err(self.unreachable(Trouble::after_connecting(format!("timed out after {}s", LOOKUP_TIMEOUT.as_secs())))),
        }
    }

    async fn get_unbounded(&self, path: &str) -> Result<Document, Error> {
        let token = self.token().await?;
        match self.get_with(path, token.as_ref()).await {
            // The token was dropped on their side: one more, once.
            Err(error) if token.is_some() && matches!(error.status(), Some(401 | 403)) => {
                *self.token.lock().await = None;
                let token = self.token().await?;
                self.get_with(path, token.as_ref()).await
            }
            answer => answer,
        }
    }

    async fn get_with(&self, path: &str, token: Option<&Secret>) -> Result<Document, Error> {
        let mut request = self.http.get(self.url(path));
        if let Some(token) = token {
            request = request.header("X-aliyun-ecs-metadata-token", token.expose());
        }
        let response = self.send(request).await?;
        if response.status() != StatusCode::OK {
            return Err(Error::Status { path: path.to_owned(), status: response.status().as_u16() });
        }
        let date_ms = crate::rpc::date_ms(response.headers());
        let text = self.text(response).await?.ok_or(Error::Unusable { path: path.to_owned(), why: "it is not text" })?;
        Ok(Document { text, date_ms })
    }

    /// The token, fetched if need be; none where access is plain.
    async fn token(&self) -> Result<Option<Secret>, Error> {
        let now = Moment::now().boot_ms;
        let mut kept = self.token.lock().await;
        if let Some(token) = kept.as_ref().filter(|token| token.expires > now) {
            return Ok(Some(token.value.clone()));
        }
        match self.fetch_token().await {
            Ok(value) => {
                let expires = now + TOKEN_TTL_SECONDS * 1000 - TOKEN_MARGIN_MS;
                *kept = Some(Token { value: value.clone(), expires });
                Ok(Some(value))
            }
            // Without an answer too: where packets may not hop far, the answer to PUT alone is lost.
            Err(Error::NoToken { cause, .. } | Error::Unreachable { cause, connected: true, .. }) if self.allow_plain => {
                tracing::debug!(target: "instance", %cause, "no metadata token, going on without");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    async fn fetch_token(&self) -> Result<Secret, Error> {
        let request = self
            .http
            .put(self.url("api/token"))
            .header("X-aliyun-ecs-metadata-token-ttl-seconds", TOKEN_TTL_SECONDS)
            .header("Content-Length", "0");
        let response = self.send(request).await?;
        let no_token = |cause: &str| Error::NoToken { url: self.base.to_string(), cause: cause.to_owned() };
        if response.status() != StatusCode::OK {
            return Err(no_token(&format!("HTTP {}", response.status().as_u16())));
        }
        let token = self.text(response).await?.filter(|token| is_token(token.expose()));
        token.ok_or_else(|| no_token("the answer is not a token"))
    }

    /// Sends `request`. Any answer tells the time.
    async fn send(&self, request: reqwest::RequestBuilder) -> Result<reqwest::Response, Error> {
        let sent = Moment::now();
        let response = request.send().await.map_err(|error| self.trouble(&error))?;
        if let Some(date_ms) = crate::rpc::date_ms(response.headers()) {
            let (received, mut time) = (Moment::now(), self.time());
            time.clock.measure(Some(date_ms), sent, received);
            time.measured = Some(received.boot_ms);
        }
        Ok(response)
    }

    fn time(&self) -> std::sync::MutexGuard<'_, Time> {
        // Nothing in there can be left half done.
        self.time.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The service's time in milliseconds since 1970, as its last answer with a plausible Date told it, kept against the boot clock.
    pub fn time_ms(&self, now: Moment) -> Option<i64> {
        self.time().clock.server_ms(now)
    }

    /// The service's time minus this host's in milliseconds, if it is known.
    pub fn skew_ms(&self, now: Moment) -> Option<i64> {
        self.time().clock.skew_ms(now)
    }

    /// Asks for the time, unless an answer told it within `fresh`. Takes [`LOOKUP_TIMEOUT`] at most; no answer is no error.
    pub async fn ask_time(&self, fresh: Duration) {
        let now = Moment::now().boot_ms;
        let is_fresh = self.time().measured.is_some_and(|at| now.saturating_sub(at) < crate::clock::millis(fresh));
        if !is_fresh {
            let _ = self.get("meta-data/region-id").await;
        }
    }

    async fn text(&self, response: reqwest::Response) -> Result<Option<Secret>, Error> {
        let body = transport::read_body(response, BODY_LIMIT, self.base.authority()).await.map_err(|trouble| self.unreachable(trouble))?;
        let body = zeroize::Zeroizing::new(body);
        Ok(std::str::from_utf8(&body).ok().map(|text| Secret::new(text.trim())))
    }

    fn url(&self, path: &str) -> String {
        format!("{}/latest/{path}", self.base.as_str().trim_end_matches('/'))
    }

    fn trouble(&self, error: &reqwest::Error) -> Error {
        self.unreachable(transport::describe(error, self.base.authority()))
    }

    fn unreachable(&self, trouble: Trouble) -> Error {
        Error::Unreachable { url: self.base.to_string(), cause: trouble.message, connected: trouble.connected }
    }
}

/// For those who judge certificates by the service's time: this host's while nothing is known.
impl rustls::time_provider::TimeProvider for Metadata {
    fn current_time(&self) -> Option<rustls::pki_types::UnixTime> {
        let now = Moment::now();
        let ms = u64::try_from(self.time_ms(now).unwrap_or(now.wall_ms)).ok()?;
        Some(rustls::pki_types::UnixTime::since_unix_epoch(Duration::from_millis(ms)))
    }
}

fn consists_of(text: &str, most: usize, extra: &[u8]) -> bool {
    (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || extra.contains(&byte))
}

fn is_instance_id(text: &str) -> bool {
    consists_of(text, 64, b"-_.")
}

fn is_region(text: &str) -> bool {
    consists_of(text, 64, b"-") && !text.bytes().any(|byte| byte.is_ascii_uppercase())
}

fn is_account(text: &str) -> bool {
    (1..=32).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Names of instances have up to 128 characters of any script.
fn is_name(text: &str) -> bool {
    (1..=512).contains(&text.len()) && !text.contains(|c: char| c.is_control() || c == '<')
}

fn is_stack_id(text: &str) -> bool {
    consists_of(text, 255, b"-_")
}

fn is_token(text: &str) -> bool {
    (1..=1024).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>{}\"".contains(&byte))
}

/// Whether `text` can be the name of a RAM role.
pub(crate) fn is_role_name(text: &str) -> bool {
    consists_of(text, 64, b"-_.@")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_checked_for_their_characters() {
        assert!(is_instance_id("i-bp1a2b3c4d5e6f7g8h9i") && is_region("cn-hangzhou") && is_account("1234567890123456"));
        assert!(is_stack_id("4a6c9851-3b0f-4f5f-b4ca-a14bf6911234") && is_token("AQAEAB==+/x_-.~") && is_role_name("EcsRole-1"));
        for wrong in ["", "<html>", "a b", "a\nb", "界", &"x".repeat(2000)] {
            for is_right in [is_instance_id, is_region, is_account, is_stack_id, is_token, is_role_name] {
                assert!(!is_right(wrong), "{wrong}");
            }
        }
    }

    #[test]
    fn the_metadata_url_must_be_plain_http() {
        for bad in ["https://100.100.100.200", "http://user@h", "http://h/?q"] {
            let settings = plan::Instance { id: None, metadata_url: Url::parse(bad).unwrap(), allow_plain_metadata: false };
            assert!(matches!(Metadata::new(&settings, &HashMap::new()), Err(Error::Configuration(_))), "{bad}");
        }
    }
}
