//! The task: asks, hands in, deletes; makes its queue if it owns one, and takes it away when the stack is gone.
//!
//! It never asks without a pause: an answer without messages is followed at once by the next question only if the service has waited as it
//! was asked to, and every refusal by a wait of its class.

use super::body;
use super::client::{Client, Created};
use super::own;
use super::place::Place;
use super::xml::Message;
use crate::clock::Moment;
use crate::events::{Around, Inlet, Surroundings, Trust};
use crate::plan::{QueueOwner, QueueSource};
use crate::retry::{Pace, Random, Schedule, Schedules};
use crate::secret::Secret;
use crate::signal::{Class, Refusal};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// What is known of the stacks that this agent follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stacks {
    /// The core has not said yet.
    Unknown,
    /// At least one may be there.
    Here,
    /// There were some, and all were deleted.
    Gone,
}

/// With less than this left of its visibility a message is not worth beginning with, and its handle not worth using.
const LITTLE_LEFT_MS: i64 = 5_000;

/// What a message is given then.
const MORE: Duration = Duration::from_secs(60);

/// Between two answers with messages.
const SHORTEST_TURN: Duration = Duration::from_millis(100);

/// Between two signs of life, on the boot clock.
const SIGN_EVERY_MS: i64 = 86_400_000;

/// After a sign that was refused.
const SIGN_AGAIN_MS: i64 = 3_600_000;

/// What was mended may be tried again at once so often in a row.
const AT_ONCE: u32 = 3;

/// Runs until it is dropped. Everything begins anew when the surroundings are others.
pub async fn run(settings: &QueueSource, inlet: &Inlet, mut around: Around, mut stacks: watch::Receiver<Stacks>) {
    loop {
        let surroundings = around.borrow_and_update().clone();
        let mut reader = Reader::new(settings, inlet);
        tokio::select! {
            () = reader.run(&surroundings, &mut stacks) => {}
            changed = around.changed() => if changed.is_err() { return },
        }
    }
}

struct Reader<'a> {
    settings: &'a QueueSource,
    inlet: &'a Inlet,
    random: Random,
    schedules: Schedules,
    /// For a service that answers without waiting.
    hasty: Schedule,
    mended: u32,
}

/// The queue that is read.
struct Reading<'a> {
    client: &'a Client,
    queue: &'a str,
    /// Where the agent owns it.
    topic: Option<&'a str>,
}

impl<'a> Reader<'a> {
    fn new(settings: &'a QueueSource, inlet: &'a Inlet) -> Self {
        let floor = Duration::from_millis(500);
        let pace = Pace { initial: Duration::from_secs(1), multiplier: 2.0, max: Duration::from_secs(30), floor, steady: 0.0 };
        Self { settings, inlet, random: Random::from_kernel(), schedules: Schedules::default(), hasty: Schedule::new(pace), mended: 0 }
    }

    async fn run(&mut self, surroundings: &Surroundings, stacks: &mut watch::Receiver<Stacks>) {
        let (client, queue) = loop {
            match self.open(surroundings).await {
                Ok(found) => break found,
                Err(refusal) => self.pause(refusal).await,
            }
        };
        match &self.settings.whose {
            QueueOwner::Given(_) => self.follow(&Reading { client: &client, queue: &queue, topic: None }).await,
            QueueOwner::Own { topic } => self.keep(&Reading { client: &client, queue: &queue, topic: Some(topic) }, stacks).await,
        }
    }

    async fn open(&self, surroundings: &Surroundings) -> Result<(Client, String), Refusal> {
        match &self.settings.whose {
            QueueOwner::Given(queue) => {
                let place = Place::find(self.settings, &surroundings.metadata).await?;
                Ok((Client::new(self.settings, place, surroundings)?, queue.clone()))
            }
            QueueOwner::Own { .. } => own::open(self.settings, surroundings).await,
        }
    }

    /// Reads the agent's own queue while there is a stack, and takes it away when there is none any more.
    async fn keep(&mut self, reading: &Reading<'_>, stacks: &mut watch::Receiver<Stacks>) {
        loop {
            let now = *stacks.borrow_and_update();
            let changed = async {
                while *stacks.borrow_and_update() == now {
                    // The driver ends this task before it goes.
                    if stacks.changed().await.is_err() {
                        std::future::pending::<()>().await;
                    }
                }
            };
            tokio::select! {
                () = self.stay(reading, now) => {}
                () = changed => {}
            }
        }
    }

    /// Does what there is to do while the stacks are so.
    async fn stay(&mut self, reading: &Reading<'_>, stacks: Stacks) {
        match stacks {
            Stacks::Unknown => self.inlet.health().works("waits until it is known which stack to follow, and makes its queue then"),
            Stacks::Here => self.follow(reading).await,
            Stacks::Gone => self.take_away(reading).await,
        }
        std::future::pending::<()>().await;
    }

    async fn take_away(&mut self, reading: &Reading<'_>) {
        let topic = reading.topic.unwrap_or_default();
        while let Err(refusal) = own::unmake(reading.client, reading.queue, topic).await {
            self.pause(refusal).await;
        }
        let text = format!("the stack was deleted: queue {} and its subscription to topic {topic} are taken away", reading.queue);
        tracing::info!(target: "events", "source {}: {text}", self.inlet.name());
        self.inlet.health().works(&text);
    }

    /// Asks for ever.
    async fn follow(&mut self, reading: &Reading<'_>) {
        let detail = match reading.topic {
            None => format!("reads queue {} at {}", reading.queue, reading.client.host()),
            Some(topic) => format!("reads its own queue {} of topic {topic} at {}", reading.queue, reading.client.host()),
        };
        // When the agent's own queue is looked after next: at once, then once a day, and when it is lost.
        let mut due = 0;
        loop {
            let now = Moment::now().boot_ms;
            if let Some(topic) = reading.topic
                && now >= due
            {
                match self.look_after(reading, topic).await {
                    Ok(next) => due = now + next,
                    Err(refusal) => {
                        self.pause(refusal).await;
                        continue;
                    }
                }
            }
            if let Err(mut refusal) = self.turn(reading, &detail).await {
                if reading.topic.is_some() && own::is_lost(&refusal) {
                    due = 0;
                    // Nobody else is to mend that.
                    refusal.class = Class::Transient;
                }
                self.pause(refusal).await;
            }
        }
    }

    /// Makes queue and subscription, whichever is not there, and shows that their owner lives. Gives when that is due again, from now.
    async fn look_after(&self, reading: &Reading<'_>, topic: &str) -> Result<i64, Refusal> {
        let next = match reading.client.create_queue(reading.queue, &own::new_attributes()).await? {
            Created::New => SIGN_EVERY_MS,
            // Reading goes on without it.
            Created::Already => self.show_life(reading).await,
        };
        reading.client.subscribe(topic, reading.queue, reading.queue).await?;
        Ok(next)
    }

    /// When the next sign is due, from now.
    async fn show_life(&self, reading: &Reading<'_>) -> i64 {
        let Err(refusal) = own::show_life(reading.client, reading.queue).await else { return SIGN_EVERY_MS };
        let (name, why) = (self.inlet.name(), refusal.explained());
        tracing::warn!(target: "events", "source {name}: queue {} could not be marked as in use: {why}", reading.queue);
        SIGN_AGAIN_MS
    }

    /// One question, and what follows from its answer.
    async fn turn(&mut self, reading: &Reading<'_>, detail: &str) -> Result<(), Refusal> {
        let asked = Instant::now();
        let (batch, wait) = (self.settings.batch, self.settings.wait);
        let messages = reading.client.receive(reading.queue, batch, wait).await?;
        self.inlet.health().works(detail);
        if messages.is_empty() {
            if asked.elapsed() < wait / 2 {
                let pause = self.hasty.next(self.random.draw(), None);
                tokio::time::sleep(pause).await;
            } else {
                self.hasty.reset();
            }
        } else {
            self.take(reading, messages).await?;
            tokio::time::sleep_until(asked + SHORTEST_TURN).await;
        }
        // Only now: a queue from which nothing can be deleted must not be asked at once again.
        (self.schedules, self.mended) = (Schedules::default(), 0);
        Ok(())
    }

    /// Hands in what came, and deletes what is done with.
    async fn take(&mut self, reading: &Reading<'_>, messages: Vec<Message>) -> Result<(), Refusal> {
        let mut done: Vec<(Secret, Option<i64>)> = Vec::with_capacity(messages.len());
        let mut full = false;
        for message in messages {
            let (mut handle, mut until) = (message.handle.clone(), message.next_visible_ms);
            if !lives(reading.client, until) {
                // Others may see it already: then it comes back to somebody.
                match reading.client.change_visibility(reading.queue, &handle, MORE).await {
                    Ok(longer) => (handle, until) = longer,
                    Err(_) => continue,
                }
            }
            if self.hand_in(&message).await {
                done.push((handle, until));
            } else {
                full = true;
                break;
            }
        }
        let handles: Vec<Secret> = done.into_iter().filter(|(_, until)| lives(reading.client, *until)).map(|(handle, _)| handle).collect();
        let refused = reading.client.delete(reading.queue, &handles).await?;
        if let Some(code) = refused.first() {
            tracing::debug!(target: "events", "source {}: {} messages could not be deleted ({code}) and come back", self.inlet.name(), refused.len());
        }
        if full {
            // What is left comes back when its visibility ends.
            tokio::time::sleep(self.hasty.next(self.random.draw(), None)).await;
        } else {
            self.hasty.reset();
        }
        Ok(())
    }

    /// Whether the message is done with.
    async fn hand_in(&self, message: &Message) -> bool {
        let events = match body::read(&message.body, &message.id) {
            Ok(events) => events,
            Err(why) => {
                self.inlet.health().refused(why);
                tracing::debug!(target: "events", "source {}: a message is no event ({why}); it is deleted", self.inlet.name());
                return true;
            }
        };
        for event in events {
            // A list that was handed in half comes back whole; what was handed in before is then repeated, which does no harm.
            if self.inlet.give(Trust::Guarded, event).await.is_err() {
                return false;
            }
        }
        true
    }

    /// Says what is wrong, once, and waits as its class demands.
    async fn pause(&mut self, refusal: Refusal) {
        let mut class = refusal.class;
        if class == Class::Immediate {
            self.mended += 1;
            if self.mended > AT_ONCE {
                class = Class::Permanent;
            }
        }
        let wait = self.schedules.next(class, self.random.draw(), refusal.retry_after);
        if self.inlet.health().fails(&refusal.message, refusal.hint.as_deref()) {
            let (name, why) = (self.inlet.name(), refusal.explained());
            match class {
                Class::Immediate => tracing::info!(target: "events", "source {name}: {why}"),
                Class::Permanent | Class::Permission => tracing::error!(target: "events", "source {name}: {why}"),
                _ => tracing::warn!(target: "events", "source {name}: {why}"),
            }
        }
        tokio::time::sleep(wait).await;
    }
}

/// Whether the handle that dies then may still be used.
fn lives(client: &Client, until_ms: Option<i64>) -> bool {
    until_ms.is_none_or(|until| until.saturating_sub(client.server_ms()) > LITTLE_LEFT_MS)
}
