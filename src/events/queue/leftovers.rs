//! Queues that agents made for themselves and nobody took away: their instances were released without a word.
//!
//! A living owner changes an attribute of its queue once a day, so `LastModifyTime` says how long ago it last did. What is older than the
//! given age (a week by default, [`OLDEST_SIGN`] at least) has no owner; a message in somebody's hands is another sign of one. Time is the
//! service's. Should an owner have been asleep that long (a stopped instance), it makes its queue anew when it wakes: nothing is lost but
//! hints, and a start looks at the stack anyway.

use super::client::{Client, is};
use super::own::{PREFIX, twice};
use super::place::Place;
use crate::clock::rfc3339;
use crate::events::Surroundings;
use crate::plan::{QueueOwner, QueueSource};
use crate::signal::Refusal;
use serde::Serialize;
use std::time::Duration;

/// No queue that showed life within this time is removed, whatever is asked for: twice the time between two signs.
pub const OLDEST_SIGN: Duration = Duration::from_secs(2 * 86_400);

/// Pages of 1000 queues that are read: ten times the quota of a region.
const PAGES: usize = 10;

/// A queue of an agent, and what is to be thought of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Leftover {
    /// Its name.
    pub queue: String,
    /// The instance in it.
    pub instance_id: String,
    /// The last sign of its owner, RFC 3339.
    pub last_sign: Option<String>,
    /// How long ago that is, in seconds.
    pub idle_seconds: Option<i64>,
    /// Messages that wait in it.
    pub messages: i64,
    /// `alive`, `left over`, `removed`, `failed`.
    pub state: &'static str,
    /// Why it failed.
    pub error: Option<String>,
}

/// Lists the queues of agents where `settings` points, and removes those, with their subscriptions, whose owners gave no sign for
/// `older_than`. With `dry_run` it only says which.
///
/// # Errors
/// If queues cannot be listed. Trouble with one queue is told beside it.
pub async fn leftovers(
    settings: &QueueSource,
    surroundings: &Surroundings,
    older_than: Duration,
    dry_run: bool,
) -> Result<Vec<Leftover>, String> {
    let QueueOwner::Own { topic } = &settings.whose else { return Ok(Vec::new()) };
    let place = Place::find(settings, &surroundings.metadata).await.map_err(Refusal::explained)?;
    let client = Client::new(settings, place, surroundings).map_err(Refusal::explained)?;
    // Its own queue is this instance's, whatever its age.
    let own = surroundings.metadata.instance_id().await.ok();
    let older_than = i64::try_from(older_than.max(OLDEST_SIGN).as_millis()).unwrap_or(i64::MAX);
    let mut found = Vec::new();
    for queue in twice(|| names(&client)).await.map_err(Refusal::explained)? {
        let Some(instance_id) = queue.strip_prefix(PREFIX).filter(|id| !id.is_empty()).map(str::to_owned) else { continue };
        let is_own = own.as_ref() == Some(&instance_id);
        if let Some(leftover) = judge(&client, queue, instance_id, older_than, is_own).await {
            found.push(leftover);
        }
    }
    for leftover in found.iter_mut().filter(|leftover| leftover.state == "left over" && !dry_run) {
        match twice(|| remove(&client, &leftover.queue, topic)).await {
            Ok(_) => leftover.state = "removed",
            Err(refusal) => (leftover.state, leftover.error) = ("failed", Some(refusal.explained())),
        }
    }
    Ok(found)
}

/// The subscription first, and the queue only without it: a subscription alone would not be found again.
async fn remove(client: &Client, queue: &str, topic: &str) -> Result<bool, Refusal> {
    client.unsubscribe(topic, queue).await?;
    client.delete_queue(queue).await
}

async fn names(client: &Client) -> Result<Vec<String>, Refusal> {
    let (mut names, mut marker) = (Vec::new(), None);
    for _ in 0..PAGES {
        let (page, next) = client.list_queues(PREFIX, marker.as_deref()).await?;
        names.extend(page);
        marker = next;
        if marker.is_none() {
            break;
        }
    }
    Ok(names)
}

/// None: it has gone meanwhile.
async fn judge(client: &Client, queue: String, instance_id: String, older_than_ms: i64, is_own: bool) -> Option<Leftover> {
    let mut leftover = Leftover { queue, instance_id, last_sign: None, idle_seconds: None, messages: 0, state: "alive", error: None };
    let attributes = match client.attributes(&leftover.queue).await {
        Ok(attributes) => attributes,
        Err(refusal) if is(&refusal, "QueueNotExist") => return None,
        Err(refusal) => {
            (leftover.state, leftover.error) = ("failed", Some(refusal.explained()));
            return Some(leftover);
        }
    };
    let sign_ms = attributes.modified_ms.max(attributes.created_ms);
    let idle_ms = sign_ms.map(|sign| client.server_ms().saturating_sub(sign));
    leftover.messages = attributes.waiting.saturating_add(attributes.in_hands);
    leftover.last_sign = sign_ms.map(rfc3339);
    leftover.idle_seconds = idle_ms.map(|ms| ms / 1000);
    // Where there is no time nothing is known, and nothing is removed.
    let is_old = idle_ms.is_some_and(|idle| idle >= older_than_ms);
    if is_old && attributes.in_hands == 0 && !is_own {
        leftover.state = "left over";
    }
    Some(leftover)
}
