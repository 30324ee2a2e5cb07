//! The ECS metadata service: values by path, tokens of the hardened mode, and the credentials of a RAM role.
//!
//! Paths are kept without `/latest/`, such as `meta-data/region-id`. The role is the value at
//! `meta-data/ram/security-credentials`; its credentials are issued by the [gate](crate::gate) and accepted by ROS.

use std::collections::{BTreeMap, VecDeque};

use serde_json::json;
use uuid::Uuid;

use crate::answer::Answer;
use crate::clock::{Moment, zulu};
use crate::gate::Holder;
use crate::request::Request;
use crate::world::Inner;

/// A credentials URI, beside the metadata service: no token, and credentials of its own.
pub(crate) const CREDENTIALS_URI: &str = "/credentials-uri";

/// Where the name of the role stands, and below it the credentials.
const ROLE: &str = "meta-data/ram/security-credentials";

/// Values kept, and bytes in one of them.
const VALUES_KEPT: usize = 1000;
const VALUE_BYTES: usize = 64 * 1024;

/// Tokens kept; beyond that the oldest are forgotten and become invalid.
const TOKENS_KEPT: usize = 1024;

#[derive(Debug)]
pub(crate) struct Metadata {
    values: BTreeMap<String, String>,
    tokens: VecDeque<(String, Moment)>,
}

/// A value cannot be set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct MetadataError(String);

impl Default for Metadata {
    fn default() -> Self {
        let values = [
            ("meta-data/region-id", "cn-hangzhou"),
            ("meta-data/zone-id", "cn-hangzhou-h"),
            ("meta-data/instance-id", "i-sandbox0000000000001"),
            ("meta-data/owner-account-id", "1234567890123456"),
            ("meta-data/hostname", "sandbox"),
            ("meta-data/private-ipv4", "127.0.0.1"),
            (ROLE, "SandboxRole"),
        ];
        Self { values: values.into_iter().map(|(path, value)| (path.to_owned(), value.to_owned())).collect(), tokens: VecDeque::new() }
    }
}

impl Metadata {
    /// The number of the account that owns everything.
    pub(crate) fn account(&self) -> String {
        self.values.get("meta-data/owner-account-id").cloned().unwrap_or_default()
    }

    pub(crate) fn set(&mut self, path: &str, value: String) -> Result<(), MetadataError> {
        let path = trim(path);
        if path.is_empty() || path.len() > 1024 {
            return Err(MetadataError("a metadata path must have 1 to 1024 characters".to_owned()));
        }
        if value.len() > VALUE_BYTES {
            return Err(MetadataError(format!("a metadata value must have at most {VALUE_BYTES} bytes")));
        }
        if self.values.len() >= VALUES_KEPT && !self.values.contains_key(path) {
            return Err(MetadataError(format!("no more than {VALUES_KEPT} metadata values")));
        }
        self.values.insert(path.to_owned(), value);
        Ok(())
    }

    /// Removes a value and all below it. False if there was none.
    pub(crate) fn remove(&mut self, path: &str) -> bool {
        let path = trim(path).to_owned();
        let before = self.values.len();
        let below = format!("{path}/");
        self.values.retain(|other, _| *other != path && !other.starts_with(&below));
        self.values.len() < before
    }

    pub(crate) fn values(&self) -> &BTreeMap<String, String> {
        &self.values
    }

    /// Every token handed out so far is invalid from here on.
    pub(crate) fn forget_tokens(&mut self) {
        self.tokens.clear();
    }

    fn issue_token(&mut self, request: &Request, now: Moment) -> Answer {
        if request.header("x-forwarded-for").is_some() {
            return Answer::text(403, "X-Forwarded-For is not allowed");
        }
        let seconds = request.header("x-aliyun-ecs-metadata-token-ttl-seconds").and_then(|text| text.parse::<u32>().ok());
        let Some(seconds) = seconds.filter(|seconds| (1..=21_600).contains(seconds)) else {
            return Answer::text(400, "X-aliyun-ecs-metadata-token-ttl-seconds must be 1 to 21600");
        };
        let token = format!("{}==", Uuid::new_v4().simple());
        if self.tokens.len() >= TOKENS_KEPT {
            self.tokens.pop_front();
        }
        self.tokens.push_back((token.clone(), now + time::Duration::seconds(i64::from(seconds))));
        Answer::text(200, token)
    }

    /// Names directly below a path, as the real service lists them.
    fn listing(&self, path: &str) -> Option<String> {
        let below = if path.is_empty() { String::new() } else { format!("{path}/") };
        let mut names: Vec<String> = self
            .values
            .keys()
            .filter_map(|key| key.strip_prefix(&below))
            .map(|rest| rest.split_once('/').map_or(rest.to_owned(), |(name, _)| format!("{name}/")))
            .collect();
        names.dedup();
        (!names.is_empty()).then(|| names.join("\n"))
    }
}

/// Answers a request to the metadata service. `told` is now, as the outside is told.
pub(crate) fn answer(inner: &mut Inner, request: &Request, now: Moment, told: Moment) -> Answer {
    if request.method == "GET" && request.path == CREDENTIALS_URI {
        return credentials(inner, Holder::CredentialsUri, now, told);
    }
    let path = request.path.strip_prefix("/latest").or_else(|| request.path.strip_prefix("/2016-01-01"));
    let Some(path) = path else { return not_found() };
    let path = trim(path);
    match (request.method.as_str(), path) {
        ("PUT", "api/token") => inner.metadata.issue_token(request, now),
        ("GET", _) => match check_token(inner, request, now) {
            Some(refused) => refused,
            None => read(inner, path, now, told),
        },
        _ => Answer::text(405, "method not allowed"),
    }
}

/// The refusal, if the token is wrong, or missing in hardened mode.
fn check_token(inner: &Inner, request: &Request, now: Moment) -> Option<Answer> {
    let valid = |given: &str| inner.metadata.tokens.iter().any(|(token, until)| token == given && *until > now);
    match request.header("x-aliyun-ecs-metadata-token") {
        Some(given) if valid(&given) => None,
        Some(_) => Some(Answer::text(401, "the token is not valid")),
        None if inner.switches.require_metadata_token => Some(Answer::text(401, "a token is required")),
        None => None,
    }
}

fn read(inner: &mut Inner, path: &str, now: Moment, told: Moment) -> Answer {
    if let Some(value) = inner.metadata.values.get(path) {
        return Answer::text(200, value.clone());
    }
    let role = path.strip_prefix(ROLE).and_then(|rest| rest.strip_prefix('/'));
    if role.is_some() && role == inner.metadata.values.get(ROLE).map(|role| role.trim()) {
        return credentials(inner, Holder::Instance, now, told);
    }
    inner.metadata.listing(path).map_or_else(not_found, |names| Answer::text(200, names))
}

fn credentials(inner: &mut Inner, holder: Holder, now: Moment, told: Moment) -> Answer {
    let key = inner.gate.issue(holder, now);
    // As all times that the outside is told.
    let as_told = |moment: Moment| zulu(moment + (told - now));
    let document = json!({
        "AccessKeyId": key.id,
        "AccessKeySecret": key.secret.reveal(),
        "Expiration": key.expires.map(as_told),
        "SecurityToken": key.token.as_ref().map(|token| token.reveal()),
        "LastUpdated": as_told(key.issued),
        "Code": "Success",
    });
    Answer::new(200, "text/plain; charset=utf-8", document.to_string().into_bytes())
}

fn not_found() -> Answer {
    let page = "<?xml version=\"1.0\" encoding=\"iso-8859-1\"?><html><head><title>404 - Not Found</title></head><body><h1>404 - Not Found</h1></body></html>";
    Answer::new(404, "text/html", page.as_bytes().to_vec())
}

fn trim(path: &str) -> &str {
    path.trim_matches('/')
}
