//! What the sandbox saw: a bounded list of requests, without secrets.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;

use crate::clock::{Moment, rfc3339};
use crate::request::{Request, Service, WireScheme};
use crate::signature::{MASK, Scheme};

/// Requests kept; beyond that the oldest are dropped and counted.
const RECORDS_KEPT: usize = 4096;

/// Parameters kept of one request.
const PARAMETERS_KEPT: usize = 64;

/// Bytes kept of a parameter's value or a path; the rest is cut off.
const TEXT_KEPT: usize = 1024;

/// One request as it was seen.
#[derive(Debug, Clone, Serialize)]
pub struct RequestRecord {
    /// Number of the request, from 1.
    pub number: u64,
    /// When it had been read (RFC 3339, on the sandbox's clock).
    pub at: String,
    /// When it was answered or the connection was reset; none: not yet, or the client went away first.
    pub answered_at: Option<String>,
    /// ROS, metadata, the URL of a handle, or SMQ.
    pub service: Service,
    /// `http` or `https`.
    pub scheme: WireScheme,
    /// HTTP method.
    pub method: String,
    /// Path without the query.
    pub path: String,
    /// Operation, for ROS and SMQ.
    pub action: Option<String>,
    /// Signature scheme, where the request has one.
    pub signature: Option<Scheme>,
    /// True when key, token, time, signature and nonce were right.
    pub verified: bool,
    /// True when an earlier answer was given again because of the ClientToken.
    pub replayed: bool,
    /// Parameters of query and form body. `Signature`, also that of a handle's URL, is left out, `SecurityToken` and `OIDCToken` masked.
    pub parameters: BTreeMap<String, String>,
    /// Nonce of the signature.
    pub nonce: Option<String>,
    /// `User-Agent` of the client.
    pub user_agent: Option<String>,
    /// Whether the request carried a token of the metadata service's hardened mode.
    pub metadata_token: bool,
    /// Kind of the scripted fault that struck, such as `reset`.
    pub fault: Option<String>,
    /// HTTP status answered; none: reset, or not answered yet.
    pub status: Option<u16>,
    /// Error code answered; none with a status of 200: success.
    pub code: Option<String>,
    /// `RequestId` answered, for ROS.
    pub request_id: Option<String>,
}

/// The list.
#[derive(Debug, Default)]
pub(crate) struct Records {
    kept: VecDeque<RequestRecord>,
    last_number: u64,
}

impl Records {
    /// Writes down a request as it arrives; gives its number.
    pub(crate) fn arrived(&mut self, request: &Request, now: Moment) -> u64 {
        self.last_number += 1;
        if self.kept.len() >= RECORDS_KEPT {
            self.kept.pop_front();
        }
        let has_action = matches!(request.service, Service::Ros | Service::Smq);
        let acs3 = request.header("authorization").is_some_and(|value| value.starts_with("ACS3-HMAC-SHA256"));
        let signature = match (acs3, request.parameter("SignatureMethod")) {
            (true, _) => Some(Scheme::Acs3HmacSha256),
            (false, Some("HMAC-SHA1")) => Some(Scheme::HmacSha1),
            _ => request.header("authorization").and_then(|value| crate::smq::signature::scheme(&value)),
        };
        let parameters = request.parameters().filter(|(name, _)| !name.eq_ignore_ascii_case("signature")).map(|(name, value)| {
            let value = if matches!(name.as_str(), "SecurityToken" | "OIDCToken") { MASK.to_owned() } else { cut(value) };
            (cut(name), value)
        });
        let nonce = request.header("x-acs-signature-nonce");
        let nonce = nonce.as_deref().or_else(|| request.parameter("SignatureNonce")).map(cut);
        self.kept.push_back(RequestRecord {
            number: self.last_number,
            at: rfc3339(now),
            answered_at: None,
            service: request.service,
            scheme: request.wire,
            method: request.method.clone(),
            path: cut(&request.path),
            action: request.action().filter(|_| has_action).map(|action| cut(&action)),
            signature,
            verified: false,
            replayed: false,
            parameters: parameters.take(PARAMETERS_KEPT).collect(),
            nonce,
            user_agent: request.header("user-agent").map(|agent| cut(&agent)),
            metadata_token: request.header("x-aliyun-ecs-metadata-token").is_some(),
            fault: None,
            status: None,
            code: None,
            request_id: None,
        });
        self.last_number
    }

    /// Completes the record of a request, if it is still kept.
    pub(crate) fn complete(&mut self, number: u64, change: impl FnOnce(&mut RequestRecord)) {
        if let Some(record) = self.kept.iter_mut().rev().find(|record| record.number == number) {
            change(record);
        }
    }

    pub(crate) fn all(&self) -> Vec<RequestRecord> {
        self.kept.iter().cloned().collect()
    }

    /// How many requests came in all.
    pub(crate) fn seen(&self) -> u64 {
        self.last_number
    }

    /// How many are no longer kept.
    pub(crate) fn dropped(&self) -> u64 {
        self.last_number.saturating_sub(u64::try_from(self.kept.len()).unwrap_or(u64::MAX))
    }
}

fn cut(text: &str) -> String {
    if text.len() <= TEXT_KEPT { text.to_owned() } else { text.chars().take(TEXT_KEPT / 4).collect() }
}
