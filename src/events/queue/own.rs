//! The queue that the agent makes for itself, and its subscription to a topic: both are called `ros-signal-agent-INSTANCE`.
//!
//! ```text
//! start, once    CreateQueue, Subscribe (SIMPLIFIED); what is there already is fine, and gets SetQueueAttributes with another retention
//! a day          period than it has: LastModifyTime moves, the sign that its owner lives
//! stack gone,    Unsubscribe, DeleteQueue; what is not there any more is fine
//! reset, purge
//! ```
//!
//! Every step may be repeated, so nothing of it need be remembered: an agent that was killed in between goes through it again. What an
//! instance that died leaves behind has no owner any more; see [`super::leftovers`].

use super::client::{Client, is};
use super::place::Place;
use crate::events::Surroundings;
use crate::plan::{QueueOwner, QueueSource};
use crate::rpc::unsent;
use crate::signal::{Class, Refusal};
use serde::Serialize;
use std::time::Duration;

/// How the names of all queues begin that agents made for themselves.
pub const PREFIX: &str = "ros-signal-agent-";

/// The longest name of a queue (limits page).
const NAME_LIMIT: usize = 120;

/// Events older than a day help nobody: a restart looks at the stack anyway.
const RETENTION: u64 = 86_400;

/// How a living owner's queue differs from one day to the next.
const RETENTION_TOO: u64 = RETENTION + 60;

/// Name of the queue and of the subscription.
///
/// # Errors
/// If the instance id holds what cannot stand in the name of a queue. Nothing is replaced: two instances must never share a name.
pub(super) fn name(instance_id: &str) -> Result<String, Refusal> {
    let name = format!("{PREFIX}{instance_id}");
    let is_usable = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if !instance_id.is_empty() && name.len() <= NAME_LIMIT && name.chars().all(is_usable) {
        return Ok(name);
    }
    let hint =
        "give this host an id of lower-case letters, digits and hyphens as `id` in [instance], or make a queue and name it as `queue`";
    Err(unsent(Class::Permanent, format!("instance id {instance_id:?} cannot stand in the name of a queue"), Some(hint.to_owned())))
}

fn attributes(retention: u64) -> [(&'static str, u64); 5] {
    [
        ("VisibilityTimeout", 60),
        ("MaximumMessageSize", 65_536),
        ("MessageRetentionPeriod", retention),
        ("DelaySeconds", 0),
        ("PollingWaitSeconds", 30),
    ]
}

/// Of a queue that is made.
pub(super) fn new_attributes() -> [(&'static str, u64); 5] {
    attributes(RETENTION)
}

/// Has the service note that the queue's owner lives.
pub(super) async fn show_life(client: &Client, queue: &str) -> Result<(), Refusal> {
    let now = client.attributes(queue).await?.retention;
    // Setting what is set already need not count as a change.
    let other = if now == Some(RETENTION) { RETENTION_TOO } else { RETENTION };
    client.set_attributes(queue, &attributes(other)).await
}

/// Takes subscription and queue away. False: neither was there.
pub(super) async fn unmake(client: &Client, queue: &str, topic: &str) -> Result<bool, Refusal> {
    // First what fills it, and even if that fails the queue, which costs money.
    let unsubscribed = client.unsubscribe(topic, queue).await;
    let deleted = client.delete_queue(queue).await?;
    Ok(unsubscribed? || deleted)
}

/// Does it once more where the refusal has taught what was wrong: the service's time, or that other credentials are needed.
pub(super) async fn twice<T, F: Future<Output = Result<T, Refusal>>>(attempt: impl Fn() -> F) -> Result<T, Refusal> {
    match attempt().await {
        Err(refusal) if refusal.class == Class::Immediate => attempt().await,
        answer => answer,
    }
}

/// What [`remove`] did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Removed {
    /// Name of the queue and of its subscription.
    pub queue: String,
    /// The topic.
    pub topic: String,
    /// False: neither was there.
    pub was_there: bool,
}

/// Takes away what this instance owns, for `reset`. One attempt, or one more after a refusal that could be mended, within `within`.
///
/// # Errors
/// Why that is not certain, with what to do.
pub async fn remove(settings: &QueueSource, surroundings: &Surroundings, within: Duration) -> Result<Option<Removed>, String> {
    let QueueOwner::Own { topic } = &settings.whose else { return Ok(None) };
    let removing = async {
        let (client, queue) = open(settings, surroundings).await?;
        let was_there = twice(|| unmake(&client, &queue, topic)).await?;
        Ok(Some(Removed { queue, topic: topic.clone(), was_there }))
    };
    match tokio::time::timeout(within, removing).await {
        Ok(result) => result.map_err(Refusal::explained),
        Err(_) => Err(format!("timed out after {}", humantime::format_duration(within))),
    }
}

/// Name of the queue that this instance owns, if it owns one.
///
/// # Errors
/// If the instance id is not known, or cannot stand in a name.
pub async fn own_name(surroundings: &Surroundings) -> Result<String, String> {
    named(surroundings).await.map_err(Refusal::explained)
}

async fn named(surroundings: &Surroundings) -> Result<String, Refusal> {
    let instance_id = surroundings.metadata.instance_id().await.map_err(|error| {
        let hint = error.hint().map(str::to_owned);
        unsent(Class::Transient, format!("the instance id is not known: {error}"), hint)
    })?;
    name(&instance_id)
}

/// A client, and the name of the queue of this very instance: by the metadata service (or `[instance] id`), never by what lies on a disk,
/// which may be a copy of another one's.
pub(super) async fn open(settings: &QueueSource, surroundings: &Surroundings) -> Result<(Client, String), Refusal> {
    let queue = named(surroundings).await?;
    let place = Place::find(settings, &surroundings.metadata).await?;
    Ok((Client::new(settings, place, surroundings)?, queue))
}

/// Whether the queue is to be made again.
pub(super) fn is_lost(refusal: &Refusal) -> bool {
    is(refusal, "QueueNotExist")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_that_of_the_instance_and_never_one_that_two_could_share() {
        assert_eq!(name("i-bp1a2b3c").unwrap(), "ros-signal-agent-i-bp1a2b3c");
        for id in ["", "i-BP1", "i_1", "i/1", "i-\u{e9}", &"a".repeat(120)] {
            assert!(name(id).is_err(), "{id}");
        }
    }
}
