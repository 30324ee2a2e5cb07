//! The client of SMQ. Each call makes one attempt and returns; when to try again is decided by whoever calls.
//!
//! Signatures, tokens and handles of messages appear in no error and no log: what the service says to a refused signature repeats what
//! was signed, so only its code is shown.

use super::place::Place;
use super::sign::{self, V4};
use super::xml::{self, Attributes, Document, Message};
use crate::clock::Moment;
use crate::credentials::{Cache, Keys, Renewal};
use crate::events::Surroundings;
use crate::plan::{QueueSignature, QueueSource};
use crate::rpc::{Http, SKEW_THAT_MATTERS_MS, ServerClock, date_ms, encode, host_name, http_client, of_trouble, retry_after, unsent};
use crate::secret::Secret;
use crate::signal::{Class, Refusal};
use crate::transport::{self, Trouble, clean};
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderValue};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use time::OffsetDateTime;
use tokio::time::Instant;

/// Of all calls but the long poll.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A long poll may take so much longer than it was asked to wait.
const LONGER: Duration = Duration::from_secs(10);

/// Renewing credentials after a refusal takes at most this.
const RENEW_TIMEOUT: Duration = Duration::from_secs(5);

/// Of a body that is sent.
const XML: &str = "text/xml;charset=UTF-8";

/// A client of one account in one region.
#[derive(Debug)]
pub(super) struct Client {
    http: Http,
    credentials: Arc<Cache>,
    signature: QueueSignature,
    place: Place,
    clock: Mutex<ServerClock>,
}

/// One request.
struct Call {
    method: Method,
    path: String,
    query: Vec<(String, String)>,
    headers: Vec<(&'static str, String)>,
    body: Option<String>,
    /// What RAM calls it, such as `mns:ReceiveMessage`.
    action: &'static str,
}

impl Call {
    fn new(method: Method, path: String, action: &'static str) -> Self {
        Self { method, path, query: Vec::new(), headers: Vec::new(), body: None, action }
    }

    fn query(mut self, name: &str, value: impl Into<String>) -> Self {
        self.query.push((name.to_owned(), value.into()));
        self
    }

    fn body(self, body: String) -> Self {
        Self { body: Some(body), ..self }
    }

    /// Path and query as they go over the wire. It may hold the handle of a message.
    fn target(&self) -> Secret {
        let path: Vec<String> = self.path.trim_start_matches('/').split('/').map(encode).collect();
        let query: Vec<String> = self.query.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
        let mark = if query.is_empty() { "" } else { "?" };
        Secret::new(format!("/{}{mark}{}", path.join("/"), query.join("&")))
    }
}

/// An answer that is no refusal.
struct Reply {
    status: u16,
    document: Option<Document>,
}

/// Of a queue that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Created {
    /// It is new.
    New,
    /// It was there, with these attributes or with others.
    Already,
}

impl Client {
    /// A client that has learned nothing yet. Reads certificates, does nothing else.
    ///
    /// # Errors
    /// If certificates cannot be read.
    pub(super) fn new(settings: &QueueSource, place: Place, surroundings: &Surroundings) -> Result<Self, Refusal> {
        let http = http_client(place.base.scheme() == "http", &surroundings.reach)
            .map_err(|error| unsent(Class::Permanent, error.to_string(), None))?;
        let credentials = Arc::clone(&surroundings.credentials);
        Ok(Self { http, credentials, signature: settings.signature, place, clock: Mutex::default() })
    }

    /// Host and port, for messages.
    pub(super) fn host(&self) -> String {
        host_name(&self.place.base)
    }

    /// The service's time in milliseconds since 1970, as far as it was measured, else this host's.
    pub(super) fn server_ms(&self) -> i64 {
        self.clock().signing_ms(Moment::now())
    }

    /// Up to `batch` messages; waits for the first one. None is a normal answer.
    pub(super) async fn receive(&self, queue: &str, batch: u32, wait: Duration) -> Result<Vec<Message>, Refusal> {
        // For one message RAM knows another right.
        let (action, many) = if batch > 1 { ("mns:BatchReceiveMessage", Some(batch)) } else { ("mns:ReceiveMessage", None) };
        let mut call = Call::new(Method::GET, messages_of(queue), action);
        if let Some(batch) = many {
            call = call.query("numOfMessages", batch.to_string());
        }
        let call = call.query("waitseconds", wait.as_secs().to_string());
        match self.attempt(&call, wait + LONGER).await {
            Ok(reply) => reply.document.as_ref().and_then(xml::messages).ok_or_else(|| self.unreadable(&call, reply.status)),
            Err(refusal) if is(&refusal, "MessageNotExist") => Ok(Vec::new()),
            Err(refusal) => Err(refusal),
        }
    }

    /// Deletes messages. Gives the codes of those that could not be: their handles have died, and they come back.
    pub(super) async fn delete(&self, queue: &str, handles: &[Secret]) -> Result<Vec<String>, Refusal> {
        let call = match handles {
            [] => return Ok(Vec::new()),
            [one] => Call::new(Method::DELETE, messages_of(queue), "mns:DeleteMessage").query("ReceiptHandle", one.expose()),
            many => Call::new(Method::DELETE, messages_of(queue), "mns:BatchDeleteMessage").body(xml::handles(many)),
        };
        match self.attempt(&call, TIMEOUT).await {
            Ok(reply) => Ok(reply.document.as_ref().and_then(xml::not_deleted).unwrap_or_default()),
            Err(refusal) if matches!(refusal.code.as_deref(), Some("ReceiptHandleError" | "MessageNotExist")) => {
                Ok(refusal.code.into_iter().collect())
            }
            Err(refusal) => Err(refusal),
        }
    }

    /// Keeps a message from others for this long. Its handle is another one from then on.
    pub(super) async fn change_visibility(
        &self,
        queue: &str,
        handle: &Secret,
        visible_in: Duration,
    ) -> Result<(Secret, Option<i64>), Refusal> {
        let call = Call::new(Method::PUT, messages_of(queue), "mns:ChangeMessageVisibility")
            .query("ReceiptHandle", handle.expose())
            .query("VisibilityTimeout", visible_in.as_secs().to_string());
        let reply = self.attempt(&call, TIMEOUT).await?;
        reply.document.as_ref().and_then(xml::visibility).ok_or_else(|| self.unreadable(&call, reply.status))
    }

    /// Makes a queue, unless there is one of this name.
    pub(super) async fn create_queue(&self, queue: &str, attributes: &[(&str, u64)]) -> Result<Created, Refusal> {
        let call = Call::new(Method::PUT, queue_of(queue), "mns:CreateQueue").body(xml::queue(attributes));
        match self.attempt(&call, TIMEOUT).await {
            Ok(reply) if reply.status == 201 => Ok(Created::New),
            Ok(_) => Ok(Created::Already),
            Err(refusal) if is(&refusal, "QueueAlreadyExist") => Ok(Created::Already),
            Err(refusal) => Err(refusal),
        }
    }

    /// Sets attributes of a queue that is there.
    pub(super) async fn set_attributes(&self, queue: &str, attributes: &[(&str, u64)]) -> Result<(), Refusal> {
        let call =
            Call::new(Method::PUT, queue_of(queue), "mns:SetQueueAttributes").query("metaoverride", "true").body(xml::queue(attributes));
        self.attempt(&call, TIMEOUT).await.map(drop)
    }

    /// What the service says of a queue.
    pub(super) async fn attributes(&self, queue: &str) -> Result<Attributes, Refusal> {
        let call = Call::new(Method::GET, queue_of(queue), "mns:GetQueueAttributes");
        let reply = self.attempt(&call, TIMEOUT).await?;
        reply.document.as_ref().and_then(xml::attributes).ok_or_else(|| self.unreadable(&call, reply.status))
    }

    /// Removes a queue with all its messages. False: there was none.
    pub(super) async fn delete_queue(&self, queue: &str) -> Result<bool, Refusal> {
        let call = Call::new(Method::DELETE, queue_of(queue), "mns:DeleteQueue");
        there(self.attempt(&call, TIMEOUT).await, "QueueNotExist")
    }

    /// One page of the queues whose names begin with `prefix`, and what to ask for the next one with.
    pub(super) async fn list_queues(&self, prefix: &str, marker: Option<&str>) -> Result<(Vec<String>, Option<String>), Refusal> {
        let mut call = Call::new(Method::GET, "/queues".to_owned(), "mns:ListQueue");
        call.headers.extend([("x-mns-prefix", prefix.to_owned()), ("x-mns-ret-number", "1000".to_owned())]);
        call.headers.extend(marker.map(|marker| ("x-mns-marker", marker.to_owned())));
        let reply = self.attempt(&call, TIMEOUT).await?;
        reply.document.as_ref().and_then(xml::queues).ok_or_else(|| self.unreadable(&call, reply.status))
    }

    /// Has a topic put its messages into a queue, as they are.
    pub(super) async fn subscribe(&self, topic: &str, subscription: &str, queue: &str) -> Result<(), Refusal> {
        let body = xml::subscription(&self.place.endpoint(queue));
        let call = Call::new(Method::PUT, subscription_of(topic, subscription), "mns:Subscribe").body(body);
        match self.attempt(&call, TIMEOUT).await {
            Err(refusal) if is(&refusal, "SubscriptionAlreadyExist") => Ok(()),
            answer => answer.map(drop),
        }
    }

    /// Takes a subscription away. False: there was none.
    pub(super) async fn unsubscribe(&self, topic: &str, subscription: &str) -> Result<bool, Refusal> {
        let call = Call::new(Method::DELETE, subscription_of(topic, subscription), "mns:Unsubscribe");
        match there(self.attempt(&call, TIMEOUT).await, "SubscriptionNotExist") {
            Err(refusal) if is(&refusal, "TopicNotExist") => Ok(false),
            answer => answer,
        }
    }

    async fn attempt(&self, call: &Call, within: Duration) -> Result<Reply, Refusal> {
        let deadline = Instant::now() + within;
        let keys = self.keys(deadline).await?;
        // What takes too long here is noticed below.
        let _ = tokio::time::timeout_at(deadline, self.http.prepare()).await;
        let began = Moment::now();
        let signed_ms = self.clock().signing_ms(began);
        let request = self.request(call, &keys, signed_ms)?;
        let sent = Moment::now();
        let host = self.host();
        let timed_out = |doing: &str| {
            let within = humantime::format_duration(within);
            of_trouble(Trouble::after_connecting(format!("timed out after {within} {doing} the answer of {host}")))
        };
        let response = match tokio::time::timeout_at(deadline, request.send()).await {
            Err(_) => return Err(timed_out("waiting for")),
            Ok(Err(error)) => {
                let server_ms = self.clock().server_ms(sent);
                return Err(of_trouble(self.http.explain(&error, &host, server_ms, deadline).await));
            }
            Ok(Ok(response)) => response,
        };
        let (received, status, headers) = (Moment::now(), response.status().as_u16(), response.headers().clone());
        let body = match tokio::time::timeout_at(deadline, transport::read_body(response, xml::LIMIT, &host)).await {
            Err(_) => return Err(timed_out("in the middle of")),
            Ok(Err(trouble)) => return Err(of_trouble(trouble)),
            Ok(Ok(body)) => body,
        };
        let document = Document::parse(&body);
        let said = document.as_ref().and_then(xml::refusal);
        let success = (200..300).contains(&status);
        if success || said.is_some() {
            let mut clock = self.clock();
            // A long poll waits before it answers, and nothing tells when the date was written: it was at the end.
            let written = if received.boot_ms - sent.boot_ms > 1_000 { received } else { sent };
            clock.measure(date_ms(&headers), written, received);
            clock.tell("SMQ", received);
        }
        match said {
            None if success => Ok(Reply { status, document }),
            None => Err(self.foreign(status, &headers, began)),
            Some((code, message)) => Err(self.refused(call, status, &headers, (&code, &message), (&keys, began, signed_ms)).await),
        }
    }

    fn request(&self, call: &Call, keys: &Keys, at_ms: i64) -> Result<reqwest::RequestBuilder, Refusal> {
        let unusable = |what: &str| unsent(Class::Credentials, format!("{what} cannot stand in a request"), None);
        let at = OffsetDateTime::from_unix_timestamp(at_ms.div_euclid(1000)).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let date = at.format(HTTP_DATE).map_err(|_| unusable("the date"))?;
        let mut headers: Vec<(&str, &str)> = vec![("x-mns-version", "2015-06-06")];
        if call.body.is_some() || self.signature == QueueSignature::V4 {
            headers.push(("content-type", XML));
        }
        headers.extend(call.headers.iter().map(|(name, value)| (*name, value.as_str())));
        let target = call.target();
        let pair = (keys.access_key_id(), keys.access_key_secret().expose());
        let authorization = match self.signature {
            QueueSignature::V2 => sign::v2(call.method.as_str(), target.expose(), &date, &headers, pair),
            QueueSignature::V4 => {
                let stamp = at.format(STAMP).map_err(|_| unusable("the date"))?;
                let (path, query, region) = (&call.path, &call.query, &self.place.region);
                V4 { method: call.method.as_str(), path, query, headers: &headers, stamp: &stamp, region }.authorization(pair)
            }
        };
        let hidden = |text: &str| {
            let mut value = HeaderValue::from_str(text).ok()?;
            value.set_sensitive(true);
            Some(value)
        };
        let url = Secret::new(format!("{}{}", self.place.base.as_str().trim_end_matches('/'), target.expose()));
        let mut request = self.http.client().map_err(of_trouble)?.request(call.method.clone(), url.expose()).header("date", date);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        request = request.header("authorization", hidden(&authorization).ok_or_else(|| unusable("the access key id"))?);
        if let Some(token) = keys.security_token() {
            request = request.header("security-token", hidden(token.expose()).ok_or_else(|| unusable("the security token"))?);
        }
        Ok(match &call.body {
            Some(body) => request.body(body.clone()),
            // PUT without a body says so (RFC 9110 section 8.6).
            None if call.method == Method::PUT => request.header("content-length", "0"),
            None => request,
        })
    }

    async fn keys(&self, deadline: Instant) -> Result<Arc<Keys>, Refusal> {
        let now = Moment::now();
        let server_ms = self.clock().server_ms(now);
        match tokio::time::timeout_at(deadline, self.credentials.keys(now, server_ms)).await {
            Ok(Ok(keys)) => Ok(keys),
            Ok(Err(error)) => Err(unsent(Class::Credentials, error.to_string(), error.hint())),
            Err(_) => Err(unsent(Class::Credentials, "timed out waiting for credentials".to_owned(), None)),
        }
    }

    /// A refusal of the service, with what this side can do about it done: the clock was measured by now, other credentials can be had.
    async fn refused(
        &self,
        call: &Call,
        status: u16,
        headers: &HeaderMap,
        (code, said): (&str, &str),
        (keys, began, signed_ms): (&Arc<Keys>, Moment, i64),
    ) -> Refusal {
        let class = class_of(code, status);
        let host = self.host();
        let code = clean(code);
        let mut message = format!("{code} (HTTP {status} from {host})");
        // What is said to a signature repeats what was signed; what is said to a handle repeats the handle.
        if !matches!(class, Class::Credentials) && !call.query.iter().any(|(name, _)| name == "ReceiptHandle") && !said.is_empty() {
            message = format!("{message}: {}", clean(said));
        }
        let mut refusal = Refusal {
            class,
            definite: (400..500).contains(&status),
            hint: self.hint(call, &code),
            code: Some(code),
            message,
            request_id: None,
            retry_after: retry_after(headers, began.wall_ms),
        };
        if is(&refusal, "TimeExpired") {
            let clock = *self.clock();
            let corrected = (clock.signing_ms(began) - signed_ms).abs() > SKEW_THAT_MATTERS_MS;
            refusal.class = if corrected { Class::Immediate } else { Class::Transient };
        }
        if matches!(refusal.class, Class::Credentials | Class::Permission) {
            let server_ms = self.clock().server_ms(began);
            let renewal = tokio::time::timeout(RENEW_TIMEOUT, self.credentials.renew(keys, began, server_ms)).await;
            if matches!(renewal, Ok(Ok(Renewal::Fresh))) {
                refusal.class = Class::Immediate;
            }
        }
        refusal
    }

    fn hint(&self, call: &Call, code: &str) -> Option<String> {
        let text = match code {
            "AccessDenied" | "Forbidden.RAM" | "NoPermission" => {
                format!("grant {} on {} to the instance's RAM role", call.action, self.place.resource(&call.path))
            }
            "QueueNotExist" => format!("is the queue in account {} and region {}?", self.place.account, self.place.region),
            "TopicNotExist" => {
                format!("make the topic, or write its name as `topic`: account {}, region {}", self.place.account, self.place.region)
            }
            "TimeExpired" => "requests are signed with the server's time from now on; check NTP (timedatectl)".to_owned(),
            "QueueDeletedRecently" => "a queue of this name was deleted a moment ago".to_owned(),
            _ => return None,
        };
        Some(text)
    }

    /// An answer that SMQ did not write.
    fn foreign(&self, status: u16, headers: &HeaderMap, now: Moment) -> Refusal {
        let class = if status == 429 { Class::Throttled } else { Class::Transient };
        let message = format!("HTTP {status} from {} with a body that is not SMQ's", self.host());
        let hint = (300..400).contains(&status).then(|| "redirects are not followed".to_owned());
        Refusal { retry_after: retry_after(headers, now.wall_ms), ..unsent(class, message, hint) }
    }

    fn unreadable(&self, call: &Call, status: u16) -> Refusal {
        let message = format!("HTTP {status} from {} to {} with a body that is not SMQ's", self.host(), call.action);
        let hint = "something between this host and SMQ answers in its place, such as a captive portal or a proxy".to_owned();
        unsent(Class::Transient, message, Some(hint))
    }

    fn clock(&self) -> std::sync::MutexGuard<'_, ServerClock> {
        // Nothing in there can be left half done.
        self.clock.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// IMF-fixdate, RFC 9110 section 5.6.7.
const HTTP_DATE: &[time::format_description::BorrowedFormatItem<'_>] =
    time::macros::format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");

const STAMP: &[time::format_description::BorrowedFormatItem<'_>] =
    time::macros::format_description!("[year][month][day]T[hour][minute][second]Z");

/// Whether a refusal has this code.
pub(super) fn is(refusal: &Refusal, code: &str) -> bool {
    refusal.code.as_deref() == Some(code)
}

fn there(answer: Result<Reply, Refusal>, missing: &str) -> Result<bool, Refusal> {
    match answer {
        Err(refusal) if is(&refusal, missing) => Ok(false),
        answer => answer.map(|_| true),
    }
}

fn queue_of(queue: &str) -> String {
    format!("/queues/{queue}")
}

fn messages_of(queue: &str) -> String {
    format!("/queues/{queue}/messages")
}

fn subscription_of(topic: &str, subscription: &str) -> String {
    format!("/topics/{topic}/subscriptions/{subscription}")
}

/// What to do about a code: by the names of the Go SDK's table. What is not known is judged by the status.
fn class_of(code: &str, status: u16) -> Class {
    match code {
        "TimeExpired" | "InternalError" | "InternalServerError" | "ServiceUnavailable" => Class::Transient,
        "QpsLimitExceeded" => Class::Throttled,
        "QueueDeletedRecently" => Class::TooEarly,
        "AccessDenied" | "Forbidden.RAM" | "NoPermission" => Class::Permission,
        "SignatureDoesNotMatch" | "InvalidAccessKeyId" | "InvalidAuthorizationHeader" => Class::Credentials,
        _ if code.contains("SecurityToken") => Class::Credentials,
        _ if code.starts_with("Throttling") || status == 429 => Class::Throttled,
        _ if status >= 500 => Class::Transient,
        _ => Class::Permanent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_judged_before_the_status() {
        for (code, status, class) in [
            ("QpsLimitExceeded", 400, Class::Throttled),
            ("InternalError", 400, Class::Transient),
            ("SecurityTokenExpired", 403, Class::Credentials),
            ("InvalidSecurityToken.Expired", 400, Class::Credentials),
            ("SignatureDoesNotMatch", 403, Class::Credentials),
            ("AccessDenied", 403, Class::Permission),
            ("QueueNotExist", 404, Class::Permanent),
            ("SomethingNew", 503, Class::Transient),
            ("SomethingNew", 400, Class::Permanent),
        ] {
            assert_eq!(class_of(code, status), class, "{code} {status}");
        }
    }
}
