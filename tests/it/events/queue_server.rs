//! A small SMQ that does what it is told: queues, topics and faults. It shares no code with the agent: signatures are computed here again.

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use base64::Engine as _;
use ring::hmac;
use ros_signal_agent::clock::Moment;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

pub(super) const ACCOUNT: &str = "1234567890123456";
pub(super) const REGION: &str = "cn-hangzhou";

/// What the server answers in place of the next answer to `action`, `times` times.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    pub(super) action: &'static str,
    pub(super) status: u16,
    pub(super) code: &'static str,
    pub(super) times: usize,
}

#[derive(Clone, Debug)]
pub(super) struct Message {
    body: String,
    visible_ms: i64,
    handle: u64,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Queue {
    pub(super) created_ms: i64,
    pub(super) modified_ms: i64,
    pub(super) attributes: BTreeMap<String, String>,
    pub(super) messages: Vec<Message>,
}

#[derive(Debug, Default)]
pub(super) struct Inner {
    pub(super) queues: BTreeMap<String, Queue>,
    /// (topic, subscription) to endpoint.
    pub(super) subscriptions: BTreeMap<(String, String), String>,
    pub(super) topics: Vec<String>,
    pub(super) faults: Vec<Fault>,
    /// Actions that were asked for, the refused ones too, and when.
    pub(super) asked: VecDeque<(String, Instant)>,
    /// Why requests were not let in.
    pub(super) not_let_in: Vec<String>,
    /// How far this clock is ahead of that of the host.
    pub(super) ahead_ms: i64,
    pub(super) visibility_ms: i64,
    /// It does not wait as it is asked to.
    pub(super) hasty: bool,
    pub(super) token: Option<String>,
    pub(super) schemes: Vec<String>,
    handles: u64,
    keys: (String, String),
}

#[derive(Clone, Debug)]
pub(super) struct Server {
    pub(super) url: String,
    inner: Arc<Mutex<Inner>>,
    changed: Arc<Notify>,
}

impl Server {
    /// One that knows this key, with these queues.
    pub(super) async fn start(id: &str, secret: &str, queues: &[&str]) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let inner = Inner {
            visibility_ms: 60_000,
            keys: (id.to_owned(), secret.to_owned()),
            topics: vec!["ros-events".to_owned()],
            ..Inner::default()
        };
        let server = Self { url, inner: Arc::new(Mutex::new(inner)), changed: Arc::default() };
        for queue in queues {
            server.with(|inner| inner.queues.insert((*queue).to_owned(), Queue::default()));
        }
        let router = axum::Router::new().fallback(answer).with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        server
    }

    pub(super) fn with<T>(&self, act: impl FnOnce(&mut Inner) -> T) -> T {
        let result = act(&mut self.inner.lock().unwrap());
        self.changed.notify_waiters();
        result
    }

    pub(super) fn put(&self, queue: &str, body: &str) {
        self.with(|inner| {
            inner.queues.get_mut(queue).unwrap().messages.push(Message { body: body.to_owned(), visible_ms: 0, handle: 0 });
        });
    }

    /// What somebody holds may be received again, as when its visibility ends.
    pub(super) fn release(&self, queue: &str) {
        self.with(|inner| inner.queues.get_mut(queue).unwrap().messages.iter_mut().for_each(|message| message.visible_ms = 0));
    }

    pub(super) fn fault(&self, action: &'static str, status: u16, code: &'static str, times: usize) {
        self.with(|inner| inner.faults.push(Fault { action, status, code, times }));
    }

    /// How often `action` was asked for.
    pub(super) fn count(&self, action: &str) -> usize {
        self.with(|inner| inner.asked.iter().filter(|(asked, _)| asked == action).count())
    }

    /// Waits until `is_so`.
    pub(super) async fn until(&self, what: &str, is_so: impl Fn(&Inner) -> bool) {
        let wait = async {
            loop {
                let changed = self.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if is_so(&self.inner.lock().unwrap()) {
                    return;
                }
                changed.await;
            }
        };
        if tokio::time::timeout(Duration::from_secs(30), wait).await.is_err() {
            panic!("never: {what}: {:#?}", self.inner.lock().unwrap());
        }
    }

    pub(super) async fn until_empty(&self, queue: &str) {
        let is_empty = |inner: &Inner| inner.queues.get(queue).is_some_and(|queue| queue.messages.is_empty());
        self.until("the queue is empty", is_empty).await;
    }
}

fn now_ms(inner: &Inner) -> i64 {
    Moment::now().wall_ms + inner.ahead_ms
}

type Pairs = Vec<(String, String)>;

/// What is asked for, in the words of RAM.
fn action(method: &str, path: &[&str], query: &Pairs) -> String {
    let has = |name: &str| query.iter().any(|(key, _)| key == name);
    let word = match (method, path) {
        ("GET", ["queues"]) => "ListQueue",
        ("GET", ["queues", _]) => "GetQueueAttributes",
        ("PUT", ["queues", _]) if has("metaoverride") => "SetQueueAttributes",
        ("PUT", ["queues", _]) => "CreateQueue",
        ("DELETE", ["queues", _]) => "DeleteQueue",
        ("GET", ["queues", _, "messages"]) => "Receive",
        ("DELETE", ["queues", _, "messages"]) => "Delete",
        ("PUT", ["queues", _, "messages"]) => "ChangeVisibility",
        ("PUT", ["topics", _, "subscriptions", _]) => "Subscribe",
        ("DELETE", ["topics", _, "subscriptions", _]) => "Unsubscribe",
        _ => "Unknown",
    };
    word.to_owned()
}

async fn answer(State(server): State<Server>, request: Request<Body>) -> Response {
    let (head, body) = request.into_parts();
    let body = String::from_utf8(to_bytes(body, 1 << 20).await.unwrap().to_vec()).unwrap();
    let target = head.uri.path_and_query().unwrap().as_str().to_owned();
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let query: Pairs =
        query.split('&').filter_map(|pair| pair.split_once('=')).map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    let path: Vec<&str> = path.trim_matches('/').split('/').collect();
    let method = head.method.as_str();
    let action = action(method, &path, &query);
    let refused = server.with(|inner| {
        inner.asked.push_back((action.clone(), Instant::now()));
        let refused = refusal(inner, method, &target, &head.headers, &action);
        if let Some((_, code)) = &refused {
            inner.not_let_in.push(code.clone());
        }
        refused
    });
    let (status, text) = match refused {
        Some((status, code)) => error(status, &code),
        None => server.serve(&action, &path, &query, &head.headers, &body).await,
    };
    let date = server.with(|inner| http_date(now_ms(inner)));
    let response = Response::builder().status(StatusCode::from_u16(status).unwrap()).header("date", date);
    response.header("content-type", "text/xml;charset=utf-8").body(Body::from(text)).unwrap()
}

fn error(status: u16, code: &str) -> (u16, String) {
    // As the service does, what it says to a signature repeats what it saw.
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><Error xmlns=\"http://mns.aliyuncs.com/doc/v1/\"><Code>{code}</Code>\
         <Message>said by the server</Message><RequestId>54B03DA6C12D14A4D0E5F0A1</RequestId><HostId>http://x</HostId></Error>"
    );
    (status, text)
}

/// Why a request is not let in: its signature, its time, or a fault.
fn refusal(inner: &mut Inner, method: &str, target: &str, headers: &HeaderMap, action: &str) -> Option<(u16, String)> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let refuse = |status, code: &str| Some((status, code.to_owned()));
    if text("x-mns-version") != "2015-06-06" {
        return refuse(400, "MissingVersionHeader");
    }
    let Some(date_ms) = parse_date(text("date")) else { return refuse(400, "InvalidDateHeader") };
    let given = text("authorization");
    inner.schemes.push(given.split(' ').next().unwrap_or_default().to_owned());
    let (id, secret) = inner.keys.clone();
    let expected = if given.starts_with("MNS4-") {
        v4(method, target, headers, date_ms, (&id, &secret))
    } else {
        v2(method, target, headers, (&id, &secret))
    };
    if given != expected {
        return refuse(403, "SignatureDoesNotMatch");
    }
    if inner.token.as_deref().is_some_and(|token| token != text("security-token")) {
        return refuse(403, "InvalidSecurityToken");
    }
    if (date_ms - now_ms(inner)).abs() > 15 * 60_000 {
        return refuse(408, "TimeExpired");
    }
    let fault = inner.faults.iter_mut().find(|fault| fault.action == action && fault.times > 0)?;
    fault.times -= 1;
    refuse(fault.status, fault.code)
}

fn own_headers(headers: &HeaderMap, more: &[&str]) -> String {
    let mut lines: Vec<String> = headers
        .iter()
        .map(|(name, value)| (name.as_str().to_ascii_lowercase(), value.to_str().unwrap_or_default()))
        .filter(|(name, _)| name.starts_with("x-mns-") || more.contains(&name.as_str()))
        .map(|(name, value)| format!("{name}:{value}\n"))
        .collect();
    lines.sort();
    lines.concat()
}

fn v2(method: &str, target: &str, headers: &HeaderMap, (id, secret): (&str, &str)) -> String {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let signed =
        [method, "\n", text("content-md5"), "\n", text("content-type"), "\n", text("date"), "\n", &own_headers(headers, &[]), target]
            .concat();
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.as_bytes());
    format!("MNS {id}:{}", base64::engine::general_purpose::STANDARD.encode(hmac::sign(&key, signed.as_bytes())))
}

fn v4(method: &str, target: &str, headers: &HeaderMap, date_ms: i64, (id, secret): (&str, &str)) -> String {
    let at = time::OffsetDateTime::from_unix_timestamp(date_ms / 1000).unwrap();
    let day = format!("{:04}{:02}{:02}", at.year(), u8::from(at.month()), at.day());
    let stamp = format!("{day}T{:02}{:02}{:02}Z", at.hour(), at.minute(), at.second());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut query: Vec<String> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').map_or_else(|| pair.to_lowercase(), |(key, value)| format!("{}={value}", key.to_lowercase())))
        .collect();
    query.sort();
    let scope = format!("{day}/{REGION}/mns/aliyun_v4_request");
    let canonical = format!("{method}\n{path}\n{}\n{}\n", query.join("&"), own_headers(headers, &["content-type", "content-md5"]));
    let text = format!("MNS4-HMAC-SHA256\n{stamp}\n{scope}\n{canonical}");
    let mut key = format!("aliyun_v4{secret}").into_bytes();
    for part in [day.as_str(), REGION, "mns", "aliyun_v4_request"] {
        key = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), part.as_bytes()).as_ref().to_vec();
    }
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), text.as_bytes());
    let digits: String = signature.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("MNS4-HMAC-SHA256 Credential={id}/{scope},Signature={digits}")
}

const DATE: &[time::format_description::BorrowedFormatItem<'_>] =
    time::macros::format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");

fn http_date(ms: i64) -> String {
    time::OffsetDateTime::from_unix_timestamp(ms / 1000).unwrap().format(DATE).unwrap()
}

fn parse_date(text: &str) -> Option<i64> {
    Some(time::PrimitiveDateTime::parse(text, DATE).ok()?.assume_utc().unix_timestamp() * 1000)
}

fn value<'a>(query: &'a Pairs, name: &str) -> Option<&'a str> {
    query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

/// The texts of the elements `name`.
fn elements(xml: &str, name: &str) -> Vec<String> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    xml.split(&open).skip(1).filter_map(|rest| rest.split(&close).next()).map(str::to_owned).collect()
}

impl Server {
    async fn serve(&self, action: &str, path: &[&str], query: &Pairs, headers: &HeaderMap, body: &str) -> (u16, String) {
        match (action, path) {
            ("Receive", [_, queue, _]) => self.receive(queue, query).await,
            ("ListQueue", _) => {
                let prefix = headers.get("x-mns-prefix").and_then(|value| value.to_str().ok()).unwrap_or_default();
                let list: String = self.with(|inner| {
                    let named = inner.queues.keys().filter(|name| name.starts_with(prefix));
                    named.map(|name| format!("<Queue><QueueURL>http://x/queues/{name}</QueueURL></Queue>")).collect()
                });
                (200, format!("<Queues xmlns=\"http://mns.aliyuncs.com/doc/v1/\">{list}</Queues>"))
            }
            (_, ["queues", queue]) => self.with(|inner| of_queue(inner, action, queue, body)),
            ("Delete", [_, queue, _]) => self.with(|inner| {
                let handles =
                    value(query, "ReceiptHandle").map_or_else(|| elements(body, "ReceiptHandle"), |handle| vec![handle.to_owned()]);
                delete(inner, queue, &handles)
            }),
            ("ChangeVisibility", [_, queue, _]) => self.with(|inner| change_visibility(inner, queue, query)),
            (_, ["topics", topic, _, subscription]) => self.with(|inner| of_topic(inner, action, topic, subscription, body)),
            _ => error(400, "InvalidRequestURL"),
        }
    }

    async fn receive(&self, queue: &str, query: &Pairs) -> (u16, String) {
        let wait = value(query, "waitseconds").map_or(0, |seconds| seconds.parse().unwrap());
        let until = tokio::time::Instant::now() + Duration::from_secs(wait);
        let batch = value(query, "numOfMessages").map(|number| number.parse::<usize>().unwrap());
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let (found, hasty) = {
                let mut inner = self.inner.lock().unwrap();
                (receive(&mut inner, queue, batch), inner.hasty)
            };
            match found {
                None => return error(404, "QueueNotExist"),
                Some(text) if !text.is_empty() => {
                    let xmlns = "xmlns=\"http://mns.aliyuncs.com/doc/v1/\"";
                    let text = if batch.is_some() { format!("<Messages {xmlns}>{text}</Messages>") } else { text };
                    return (200, text);
                }
                Some(_) if hasty || tokio::time::timeout_at(until, changed).await.is_err() => return error(404, "MessageNotExist"),
                Some(_) => {}
            }
        }
    }
}

fn receive(inner: &mut Inner, queue: &str, batch: Option<usize>) -> Option<String> {
    let (now, visibility) = (now_ms(inner), inner.visibility_ms);
    let mut handle = inner.handles;
    let queue = inner.queues.get_mut(queue)?;
    let mut text = String::new();
    for message in queue.messages.iter_mut().filter(|message| message.visible_ms <= now).take(batch.unwrap_or(1)) {
        handle += 1;
        (message.handle, message.visible_ms) = (handle, now + visibility);
        let body = message.body.replace('&', "&amp;").replace('<', "&lt;");
        text.push_str(&format!(
            "<Message><MessageId>M</MessageId><ReceiptHandle>handle-{handle}</ReceiptHandle><MessageBody>{body}</MessageBody>\
             <NextVisibleTime>{}</NextVisibleTime><DequeueCount>1</DequeueCount></Message>",
            message.visible_ms
        ));
    }
    inner.handles = handle;
    Some(text)
}

fn held<'a>(messages: &'a mut [Message], handle: &str, now: i64) -> Option<&'a mut Message> {
    messages.iter_mut().find(|message| message.visible_ms > now && format!("handle-{}", message.handle) == handle)
}

fn delete(inner: &mut Inner, queue: &str, handles: &[String]) -> (u16, String) {
    let now = now_ms(inner);
    let Some(queue) = inner.queues.get_mut(queue) else { return error(404, "QueueNotExist") };
    let mut dead = String::new();
    for handle in handles {
        match held(&mut queue.messages, handle, now).map(|message| message.handle) {
            Some(number) => queue.messages.retain(|message| message.handle != number),
            None => {
                dead.push_str(&format!("<Error><ErrorCode>ReceiptHandleError</ErrorCode><ReceiptHandle>{handle}</ReceiptHandle></Error>"));
            }
        }
    }
    if dead.is_empty() { (204, String::new()) } else { (404, format!("<Errors xmlns=\"http://mns.aliyuncs.com/doc/v1/\">{dead}</Errors>")) }
}

fn change_visibility(inner: &mut Inner, queue: &str, query: &Pairs) -> (u16, String) {
    let now = now_ms(inner);
    inner.handles += 1;
    let number = inner.handles;
    let seconds: i64 = value(query, "VisibilityTimeout").unwrap().parse().unwrap();
    let messages = &mut inner.queues.get_mut(queue).unwrap().messages;
    let Some(message) = held(messages, value(query, "ReceiptHandle").unwrap(), now) else { return error(404, "ReceiptHandleError") };
    (message.handle, message.visible_ms) = (number, now + seconds * 1000);
    let text = format!(
        "<ChangeVisibility xmlns=\"http://mns.aliyuncs.com/doc/v1/\"><ReceiptHandle>handle-{number}</ReceiptHandle>\
         <NextVisibleTime>{}</NextVisibleTime></ChangeVisibility>",
        message.visible_ms
    );
    (200, text)
}

fn of_queue(inner: &mut Inner, action: &str, name: &str, body: &str) -> (u16, String) {
    let now = now_ms(inner);
    let names = ["VisibilityTimeout", "MaximumMessageSize", "MessageRetentionPeriod", "DelaySeconds", "PollingWaitSeconds"];
    let wanted = names.iter().filter_map(|name| Some(((*name).to_owned(), elements(body, name).pop()?))).collect::<BTreeMap<_, _>>();
    let found = inner.queues.get_mut(name);
    match (action, found) {
        ("CreateQueue", None) => {
            let queue = Queue { created_ms: now, modified_ms: now, attributes: wanted, messages: Vec::new() };
            inner.queues.insert(name.to_owned(), queue);
            (201, String::new())
        }
        ("CreateQueue", Some(queue)) if queue.attributes == wanted => (204, String::new()),
        ("CreateQueue", Some(_)) => error(409, "QueueAlreadyExist"),
        ("DeleteQueue", Some(_)) => {
            inner.queues.remove(name);
            (204, String::new())
        }
        // What is set to what it is already does not count as a change.
        ("SetQueueAttributes", Some(queue)) => {
            if queue.attributes != wanted {
                (queue.attributes, queue.modified_ms) = (wanted, now);
            }
            (204, String::new())
        }
        ("GetQueueAttributes", Some(queue)) => {
            let attributes: String = queue.attributes.iter().map(|(name, value)| format!("<{name}>{value}</{name}>")).collect();
            let in_hands = queue.messages.iter().filter(|message| message.visible_ms > now).count();
            let text = format!(
                "<Queue xmlns=\"http://mns.aliyuncs.com/doc/v1/\"><QueueName>{name}</QueueName><CreateTime>{}</CreateTime>\
                 <LastModifyTime>{}</LastModifyTime>{attributes}<ActiveMessages>{}</ActiveMessages><InactiveMessages>{in_hands}</InactiveMessages></Queue>",
                queue.created_ms / 1000,
                queue.modified_ms / 1000,
                queue.messages.len() - in_hands,
            );
            (200, text)
        }
        _ => error(404, "QueueNotExist"),
    }
}

fn of_topic(inner: &mut Inner, action: &str, topic: &str, subscription: &str, body: &str) -> (u16, String) {
    if !inner.topics.iter().any(|known| known == topic) {
        return error(404, "TopicNotExist");
    }
    let key = (topic.to_owned(), subscription.to_owned());
    match (action, inner.subscriptions.contains_key(&key)) {
        ("Subscribe", false) => {
            assert_eq!(elements(body, "NotifyContentFormat"), ["SIMPLIFIED"]);
            inner.subscriptions.insert(key, elements(body, "Endpoint").pop().unwrap());
            (201, String::new())
        }
        ("Subscribe", true) => error(409, "SubscriptionAlreadyExist"),
        (_, true) => {
            inner.subscriptions.remove(&key);
            (204, String::new())
        }
        (_, false) => error(404, "SubscriptionNotExist"),
    }
}
