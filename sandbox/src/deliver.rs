//! Deliveries: takes what is due at the targets to HTTP services on loopback, to directories and to queues of the sandbox.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::bridge::Job;
use crate::post::{self, Url};
use crate::seal::{Sealed, Signature};
use crate::target::{ContentMode, EventTarget, Transform};
use crate::world::World;

/// Longest time between two looks at what is due.
const IDLE: Duration = Duration::from_secs(3600);

/// How long a target may take, unless it says otherwise.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is encoded in the value of a `ce-` header (CloudEvents, HTTP binding, 3.1.3.2).
const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%');

/// Delivers until told to stop.
pub(crate) async fn run(world: Arc<World>, mut stop: watch::Receiver<bool>) {
    let mut under_way = JoinSet::new();
    while !*stop.borrow() {
        let now = world.clock.now();
        let (jobs, next) = {
            let mut inner = world.lock();
            (inner.bridge.take_due(now), inner.bridge.next_due())
        };
        for job in jobs {
            under_way.spawn(deliver(world.clone(), job));
        }
        let pause = next.map_or(IDLE, |at| Duration::try_from(at - now).unwrap_or(Duration::ZERO).min(IDLE));
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = world.deliveries_changed.notified() => {}
            Some(_) = under_way.join_next() => {}
            _ = stop.wait_for(|stopped| *stopped) => return,
        }
    }
}

async fn deliver(world: Arc<World>, job: Job) {
    let result = attempt(&world, &job).await;
    let now = world.clock.now();
    let dead = world.lock().bridge.finished(&job, result, now);
    if let Some(queue) = job.target.dead_letter_queue.as_ref().filter(|_| dead) {
        // A dead letter that cannot be put there is lost, as it is at EventBridge.
        let _ = world.put_message(queue, &job.event.envelope.to_string());
    }
    world.deliveries_changed.notify_one();
    world.delivered.send_replace(());
}

/// One attempt: the HTTP status (0: no HTTP), or what went wrong.
async fn attempt(world: &World, job: &Job) -> Result<u16, (Option<u16>, String)> {
    let target = &job.target;
    let (body, headers) = message(target, &job.event.envelope);
    if let Some(directory) = &target.spool {
        return spool(directory, &body).map(|()| 0).map_err(|error| (None, format!("cannot write to the spool: {error}")));
    }
    let encoded = |body: String| if target.base64 { STANDARD.encode(body) } else { body };
    if let Some(queue) = &target.queue {
        return world.put_message(queue, &encoded(body)).map(|_| 0).map_err(|error| (None, error.to_string()));
    }
    if let Some(topic) = &target.topic {
        return world.publish_message(topic, &encoded(body)).map(|_| 0).map_err(|error| (None, error.to_string()));
    }
    let text = target.url.as_deref().unwrap_or_default();
    let url = Url::parse(text).map_err(|error| (None, error.to_owned()))?;
    let (certificate_url, authority) = world.event_certificate();
    let told = world.clock.machine_told() + time::Duration::seconds(i64::from(target.timestamp_off));
    let sealed = Sealed {
        url: text,
        timestamp_ms: told.unix_timestamp_nanos() / 1_000_000,
        certificate_url: target.certificate_url.as_deref().unwrap_or(&certificate_url),
        token: target.token.as_ref().map(crate::secret::Secret::reveal),
        body: &body,
        token_line: !target.no_token_line,
        last_line_feed: !target.no_last_line_feed,
        turn: job.turn,
    };
    let mut headers = headers;
    headers.extend(sealed.headers(target.signature).into_iter().map(|(name, value)| (name.to_owned(), value)));
    if target.signature == Signature::None
        && let Some(token) = sealed.token
    {
        headers.push(("x-eventbridge-signature-token".to_owned(), token.to_owned()));
    }
    let patience = if target.timeout_ms == 0 { PATIENCE } else { Duration::from_millis(u64::from(target.timeout_ms)) };
    let ca = target.ca_file.clone().or(authority);
    match post::post(&url, &headers, body.as_bytes(), ca.as_deref(), patience).await {
        Ok(status) if (200..300).contains(&status) => Ok(status),
        Ok(status) => Err((Some(status), format!("HTTP {status}"))),
        Err(error) => Err((None, error)),
    }
}

/// Body and headers of an event.
fn message(target: &EventTarget, event: &Value) -> (String, Vec<(String, String)>) {
    let mut headers = Vec::new();
    let mut kind = "application/json; charset=utf-8".to_owned();
    let body = match (target.transform, target.mode) {
        (Transform::Original, ContentMode::Structured) => {
            kind = "application/cloudevents+json; charset=utf-8".to_owned();
            event.to_string()
        }
        (Transform::Original, ContentMode::Batch) => {
            kind = "application/cloudevents-batch+json; charset=utf-8".to_owned();
            Value::Array(vec![event.clone()]).to_string()
        }
        (Transform::Original, ContentMode::Binary) => {
            for (name, value) in event.as_object().into_iter().flatten() {
                match (name.as_str(), value.as_str()) {
                    ("data", _) => {}
                    ("datacontenttype", Some(value)) => value.clone_into(&mut kind),
                    (_, Some(value)) => headers.push((format!("ce-{name}"), utf8_percent_encode(value, ENCODED).to_string())),
                    (_, None) => headers.push((format!("ce-{name}"), value.to_string())),
                }
            }
            event.get("data").map(Value::to_string).unwrap_or_default()
        }
        (Transform::JsonPath, _) => found(event, &target.value),
        (Transform::Constant, _) => target.value.clone(),
        (Transform::Template, _) => filled(event, target),
    };
    headers.push(("content-type".to_owned(), target.content_type.clone().unwrap_or(kind)));
    (body, headers)
}

/// A template with its names filled. What is filled in is not filled again.
fn filled(event: &Value, target: &EventTarget) -> String {
    let mut text = String::new();
    let mut rest = target.value.as_str();
    while let Some((before, after)) = rest.split_once("${") {
        text.push_str(before);
        let Some((name, after)) = after.split_once('}') else {
            text.push_str("${");
            rest = after;
            break;
        };
        match target.variables.get(name) {
            Some(path) => text.push_str(&found(event, path)),
            None => text.push_str(&format!("${{{name}}}")),
        }
        rest = after;
    }
    text + rest
}

/// What a path such as `$.data.Status` leads to: a text as it is, anything else as JSON.
fn found(event: &Value, path: &str) -> String {
    let mut steps = path.trim_start_matches('$').split('.').filter(|step| !step.is_empty());
    let value = steps.try_fold(event, |value, step| value.get(step).or_else(|| value.get(step.parse::<usize>().ok()?)));
    match value {
        None => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
    }
}

/// As a careful relay does it: under a name that nobody reads, then renamed.
fn spool(directory: &Path, body: &str) -> std::io::Result<()> {
    let name = format!("{}.json", Uuid::new_v4());
    let hidden = directory.join(format!(".{name}"));
    let mut file = std::fs::File::create_new(&hidden)?;
    file.write_all(body.as_bytes())?;
    drop(file);
    std::fs::rename(hidden, directory.join(name))
}
