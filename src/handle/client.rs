//! One attempt to signal through the URL of a handle; the core decides when to try again.
//!
//! Each attempt reads the file or credential anew, because whoever wrote it may replace it. A URL that has expired is fetched anew from
//! the stack where RAM permits it: before it is used, if the time in `expire` has passed (an old one that cannot be replaced is used
//! nevertheless, for this host's clock may be wrong), or after the service has refused it. One of another stack is never used.

use super::answer::{self, Refused, Reply};
use super::document::Document;
use crate::check::clip;
use crate::clock::Moment;
use crate::credentials::{Seat, read_secret, systemd_credential};
use crate::plan::{HandleSource, Ros};
use crate::ros;
use crate::rpc::{Http, Reach, host_name, http_client, of_trouble, unsent};
use crate::secret::Secret;
use crate::signal::{Answer, Class, Place, Refusal, SignalRequest, SignalStatus, Target, UniqueId};
use crate::transport::{self, Trouble};
use reqwest::Url;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// The longest `reason`, in bytes. What the service takes is not documented.
const REASON_LIMIT: usize = 1024;

/// The longest `data`, in bytes. What the service takes is not documented.
const DATA_LIMIT: usize = 16 * 1024;

/// The most of an answer that is read.
const ANSWER_LIMIT: usize = 16 * 1024;

/// Asking the stack for a URL takes at most this.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);

/// URLs that are remembered, fetched ones and refused ones each; then the oldest is forgotten, which costs a question more.
const REMEMBERED: usize = 16;

/// What is said.
#[derive(Clone, Debug)]
pub struct Message {
    /// `status`.
    pub status: SignalStatus,
    /// `id`.
    pub unique_id: UniqueId,
    /// `reason`; empty: left out.
    pub reason: String,
    /// `data`: a text, or whatever JSON the caller has.
    pub data: Option<Value>,
}

impl Message {
    /// That of a request.
    pub fn of(request: &SignalRequest) -> Self {
        Self {
            status: request.status,
            unique_id: request.unique_id.clone(),
            reason: request.reason.clone(),
            data: request.report.as_deref().map(Value::from),
        }
    }

    /// The body: keys in lower case, for those in another case may be ignored, and then the signal counts as SUCCESS.
    fn body(&self) -> Vec<u8> {
        let mut body = Map::new();
        body.insert("status".to_owned(), Value::from(self.status.word()));
        body.insert("id".to_owned(), Value::from(self.unique_id.as_str()));
        if !self.reason.is_empty() {
            body.insert("reason".to_owned(), Value::from(clip(self.reason.clone(), REASON_LIMIT)));
        }
        let data = match &self.data {
            Some(Value::String(text)) => Some(Value::from(clip(text.clone(), DATA_LIMIT))),
            // Cut in the middle it would not be JSON any more: then it goes as a text.
            Some(other) if other.to_string().len() > DATA_LIMIT => Some(Value::from(clip(other.to_string(), DATA_LIMIT))),
            other => other.clone(),
        };
        body.extend(data.map(|data| ("data".to_owned(), data)));
        Value::Object(body).to_string().into_bytes()
    }
}

/// Reads the file of `source`; none for a handle that is asked of the stack. `directory` is `$CREDENTIALS_DIRECTORY`. A file that others
/// may read is warned about, if `warn`.
///
/// # Errors
/// If it cannot be read or is not in a known form, with the file's name and nothing of what is in it.
fn read(source: &HandleSource, directory: Option<&Path>, warn: bool) -> Result<Option<Document>, String> {
    let (path, warn_if_open) = match source {
        HandleSource::Stack => return Ok(None),
        HandleSource::File(path) => (path.clone(), warn),
        HandleSource::SystemdCredential(name) => (systemd_credential(name, directory)?, false),
    };
    let text = read_secret(&path, warn_if_open).map_err(|why| format!("handle file {}: {why}", path.display()))?;
    let parsed = Document::parse(&text);
    parsed.map(Some).map_err(|invalid| format!("handle file {}: {invalid}; hint: {}", path.display(), invalid.hint()))
}

/// A client of the service behind the URLs of handles.
#[derive(Debug)]
pub struct Client {
    plain: Http,
    /// Made when it is needed: nearly all URLs are plain HTTP.
    encrypted: OnceLock<Result<Http, String>>,
    reach: Reach,
    timeout: Duration,
    directory: Option<PathBuf>,
    learned: Mutex<Learned>,
}

/// What earlier attempts have taught.
#[derive(Debug, Default)]
struct Learned {
    /// Fetched from the stack, newest last.
    fetched: Vec<(Target, Document)>,
    /// Refused by the service, newest last.
    spent: Vec<Secret>,
    /// Whose mode was looked at; no more than the plan has.
    looked_at: Vec<(HandleSource, Seat)>,
}

impl Learned {
    fn is_spent(&self, document: &Document) -> bool {
        self.spent.iter().any(|url| document.is_same_url(url))
    }

    fn fetched(&self, target: &Target) -> Option<Document> {
        self.fetched.iter().find(|(known, _)| known == target).map(|(_, document)| document.clone())
    }

    fn remember(&mut self, target: &Target, document: &Document) {
        self.fetched.retain(|(known, _)| known != target);
        if self.fetched.len() >= REMEMBERED {
            self.fetched.remove(0);
        }
        self.fetched.push((target.clone(), document.clone()));
    }

    fn spend(&mut self, document: &Document) {
        if self.spent.len() >= REMEMBERED {
            self.spent.remove(0);
        }
        if !self.is_spent(document) {
            self.spent.push(document.url().clone());
        }
    }
}

impl Client {
    /// A client with the time limit and certificates of `settings`; `environment` is the process's. Asks nothing yet.
    ///
    /// # Errors
    /// If the HTTP client cannot be made.
    pub fn new(settings: &Ros, environment: &HashMap<String, String>) -> Result<Self, String> {
        Self::reaching(settings, &Reach::of(settings), environment)
    }

    /// Like [`Client::new`], over `reach`, which is shared with others, but past its proxy: the service is on the host's own link.
    ///
    /// # Errors
    /// As for [`Client::new`].
    pub fn reaching(settings: &Ros, reach: &Reach, environment: &HashMap<String, String>) -> Result<Self, String> {
        let reach = reach.without_proxy();
        let plain = http_client(true, &reach).map_err(|error| error.to_string())?;
        let directory = environment.get("CREDENTIALS_DIRECTORY").filter(|value| !value.is_empty()).map(PathBuf::from);
        Ok(Self { plain, encrypted: OnceLock::new(), reach, timeout: settings.timeout, directory, learned: Mutex::default() })
    }

    /// What the document of `source` tells of the handle; none where the stack is to be asked for it.
    ///
    /// # Errors
    /// As for [`Client::read`].
    pub async fn place(&self, source: &HandleSource) -> Result<Option<Place>, String> {
        Ok(self.read_apart(source).await?.map(|document| document.place().clone()))
    }

    /// What the document of `source` is now; none where the stack is to be asked. A file that others may read is warned about once.
    ///
    /// # Errors
    /// If it cannot be read or is not in a known form, with the file's name and nothing of what is in it.
    pub fn read(&self, source: &HandleSource) -> Result<Option<Document>, String> {
        let (first, _) = self.seat(source);
        read(source, self.directory.as_deref(), first)
    }

    /// The same for those who must not hang, which a file on a dead file server can make them.
    async fn read_apart(&self, source: &HandleSource) -> Result<Option<Document>, String> {
        let (first, seat) = self.seat(source);
        let (source, directory) = (source.clone(), self.directory.clone());
        let what = match &source {
            HandleSource::Stack => return Ok(None),
            HandleSource::File(path) => format!("handle file {}", path.display()),
            HandleSource::SystemdCredential(name) => format!("systemd credential {name}"),
        };
        let looked = seat.look(move || read(&source, directory.as_deref(), first)).await;
        looked.unwrap_or_else(|why| Err(format!("{what}: {why}; hint: look at the file system that it lies on")))
    }

    /// Whether `source` is looked at for the first time, and its right to a thread.
    fn seat(&self, source: &HandleSource) -> (bool, Seat) {
        let looked_at = &mut self.learned().looked_at;
        if let Some((_, seat)) = looked_at.iter().find(|(known, _)| known == source) {
            return (false, seat.clone());
        }
        let seat = Seat::default();
        looked_at.push((source.clone(), seat.clone()));
        (true, seat)
    }

    /// One attempt at `request`, with the URL of `source`.
    pub async fn signal(&self, request: &SignalRequest, source: &HandleSource, stack: &ros::Client) -> Answer {
        let own = match self.read_apart(source).await {
            Ok(own) => own,
            Err(why) => return Answer::Refused(unsent(Class::Credentials, why, None)),
        };
        self.send(&request.target, &Message::of(request), own, stack).await
    }

    /// One attempt to say `message`, with the URL of `own`, or where there is none with that of the stack.
    pub async fn send(&self, target: &Target, message: &Message, own: Option<Document>, stack: &ros::Client) -> Answer {
        let document = match self.choose(target, own, stack).await {
            Ok(document) => document,
            Err(refusal) => return Answer::Refused(refusal),
        };
        match self.post(target, message, &document, stack).await {
            Ok(request_id) => Answer::Accepted { request_id },
            Err(refused) if refused.expired => Answer::Refused(self.replace(target, &document, refused.refusal, stack).await),
            Err(refused) => Answer::Refused(refused.refusal),
        }
    }

    /// The URL to use: one's own, a fetched one, or one that is fetched now; one that has expired only if there is no other.
    async fn choose(&self, target: &Target, own: Option<Document>, stack: &ros::Client) -> Result<Document, Refusal> {
        let (own, stray) = match own {
            Some(document) if leads_elsewhere(&document, target) => (None, document.place().stack_id.clone()),
            own => (own, None),
        };
        let fetched = self.learned().fetched(target);
        let good = |document: &Document| !is_late(document, stack) && !self.learned().is_spent(document);
        if let Some(document) = [&own, &fetched].into_iter().flatten().find(|document| good(document)) {
            return Ok(document.clone());
        }
        match (self.fetch(target, stack).await, own.or(fetched)) {
            (Ok(document), _) | (Err(_), Some(document)) => Ok(document),
            (Err(refusal), None) => Err(stray.map_or(refusal.clone(), |stray| astray(&stray, target, &refusal))),
        }
    }

    async fn fetch(&self, target: &Target, stack: &ros::Client) -> Result<Document, Refusal> {
        if !target.is_known() {
            return Err(unsent(Class::Permission, "the stack of the handle is not known, so it cannot be asked".to_owned(), None));
        }
        let attributes = match tokio::time::timeout(FETCH_TIMEOUT, stack.handle_attributes(target)).await {
            Ok(answer) => answer?,
            Err(_) => return Err(unsent(Class::Transient, "timed out asking the stack for the URL of the handle".to_owned(), None)),
        };
        let document = Document::of_attributes(&attributes).map_err(|invalid| {
            let message = format!("the attributes of the handle {} cannot be used: {invalid}", target.resource);
            let hint = format!("is {} the logical ID of the ALIYUN::ROS::WaitConditionHandle in the template?", target.resource);
            unsent(Class::TooEarly, message, Some(hint))
        })?;
        self.learned().remember(target, &document);
        Ok(document)
    }

    /// After the service has refused a URL: another one for the next attempt, or what to do.
    async fn replace(&self, target: &Target, document: &Document, refusal: Refusal, stack: &ros::Client) -> Refusal {
        self.learned().spend(document);
        let said = format!("the URL of the handle has expired ({})", refusal.message);
        match self.fetch(target, stack).await {
            Ok(fresh) if !self.learned().is_spent(&fresh) => {
                Refusal { class: Class::Immediate, message: format!("{said}; the stack gave a fresh one"), ..refusal }
            }
            Ok(_) => Refusal { message: format!("{said}, and the stack gives no other"), ..refusal },
            Err(why) => {
                let hint = "write a fresh CurlCli or URL of the handle into its file, or permit ros:GetStackResource";
                let hint = why.hint.map_or_else(|| hint.to_owned(), |more| format!("{hint}; {more}"));
                Refusal { message: format!("{said}, and a fresh one cannot be had: {}", why.message), hint: Some(hint), ..refusal }
            }
        }
    }

    async fn post(&self, target: &Target, message: &Message, document: &Document, stack: &ros::Client) -> Result<String, Box<Refused>> {
        let deadline = Instant::now() + self.timeout;
        let unusable = |why: String| Box::new(Refused { expired: false, refusal: unsent(Class::Permanent, why, None) });
        let url = Url::parse(document.url().expose()).map_err(|_| unusable("the URL of the handle is none".to_owned()))?;
        let host = host_name(&url);
        let http = self.http(&url).map_err(unusable)?;
        let late = is_late(document, stack);
        let silent = |trouble: Trouble| Box::new(Refused { expired: false, refusal: of_trouble(trouble) });
        let timed_out = |doing: &str| {
            let text = format!("timed out after {} {doing} {host}", humantime::format_duration(self.timeout));
            silent(Trouble::after_connecting(text))
        };
        // What takes too long here is noticed below.
        let _ = tokio::time::timeout_at(deadline, http.prepare()).await;
        let request = http.client().map_err(silent)?.post(url).headers(headers(document, target)).body(message.body());
        let response = match tokio::time::timeout_at(deadline, request.send()).await {
            Err(_) => return Err(timed_out("waiting for the answer of")),
            Ok(Err(error)) => return Err(silent(http.explain(&error, &host, None, deadline).await)),
            Ok(Ok(response)) => response,
        };
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = match tokio::time::timeout_at(deadline, transport::read_body(response, ANSWER_LIMIT, &host)).await {
            Err(_) => return Err(timed_out("in the middle of the answer of")),
            Ok(Err(trouble)) => return Err(silent(trouble)),
            Ok(Ok(body)) => body,
        };
        answer::judge(&Reply { status, headers, body }, document, &host, late, Moment::now().wall_ms)
    }

    fn http(&self, url: &Url) -> Result<Http, String> {
        if url.scheme() == "http" {
            return Ok(self.plain.clone());
        }
        let make = || http_client(false, &self.reach).map_err(|error| error.to_string());
        self.encrypted.get_or_init(make).clone()
    }

    fn learned(&self) -> std::sync::MutexGuard<'_, Learned> {
        // Nothing in there can be left half done.
        self.learned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the URL is that of another stack. Said there, the signal would be acknowledged and the stack that waits would not hear it. A stack
/// that is configured by its name cannot be compared.
fn leads_elsewhere(document: &Document, target: &Target) -> bool {
    let id = |text: &str| uuid::Uuid::try_parse(text).ok();
    let named = document.place().stack_id.as_deref().and_then(id);
    named.zip(id(&target.stack_id)).is_some_and(|(named, meant)| named != meant)
}

fn astray(stray: &str, target: &Target, refusal: &Refusal) -> Refusal {
    let message = format!(
        "the URL of the handle is that of stack {stray}, not of {}: nothing is sent through it, and another cannot be had: {}",
        target.stack_id, refusal.message
    );
    let hint = "the file is that of another stack, such as in an image; write the CurlCli or URL of this stack's handle into it";
    unsent(Class::Credentials, message, Some(hint.to_owned()))
}

/// Whether the time in `expire` has passed, by the clock of ROS where it is known.
fn is_late(document: &Document, stack: &ros::Client) -> bool {
    let now_ms = Moment::now().wall_ms.saturating_add(stack.skew_ms().unwrap_or(0));
    document.place().expires.is_some_and(|expires| expires.saturating_mul(1000) <= now_ms)
}

/// Those of the document; the three that every handle has where it names none.
fn headers(document: &Document, target: &Target) -> HeaderMap {
    let mut headers = document.headers().clone();
    let json = HeaderValue::from_static("application/json");
    headers.entry(CONTENT_TYPE).or_insert(json.clone());
    headers.entry(ACCEPT).or_insert(json);
    if let Ok(region) = HeaderValue::try_from(target.region.as_str())
        && target.region != Target::UNNAMED
    {
        headers.entry("x-acs-region-id").or_insert(region);
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(reason: &str, data: Option<Value>) -> Value {
        let unique_id = UniqueId::new("i-1").unwrap();
        let message = Message { status: SignalStatus::Failure, unique_id, reason: reason.to_owned(), data };
        serde_json::from_slice(&message.body()).unwrap()
    }

    #[test]
    fn the_keys_of_the_body_are_in_lower_case_and_what_is_not_said_is_left_out() {
        assert_eq!(body("", None), serde_json::json!({"status": "FAILURE", "id": "i-1"}));
        let full = serde_json::json!({"status": "FAILURE", "id": "i-1", "reason": "r", "data": ["a", 1]});
        assert_eq!(body("r", Some(serde_json::json!(["a", 1]))), full);
    }

    #[test]
    fn reason_and_data_are_bounded() {
        let long = "ä".repeat(20_000);
        let body = body(&long, Some(Value::from(long.as_str())));
        assert_eq!((body["reason"].as_str().unwrap().len(), body["data"].as_str().unwrap().len()), (REASON_LIMIT, DATA_LIMIT));
        let list = super::tests::body("", Some(Value::from(vec!["x"; 20_000])));
        assert_eq!(list["data"].as_str().unwrap().len(), DATA_LIMIT);
    }
}
