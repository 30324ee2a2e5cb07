//! The sources of events: a task for each, which hands in what comes; the driver tells it what was made of it.

use crate::agent::Input;
use crate::agent::status::StackView;
use crate::events::queue::{self, Stacks};
use crate::events::{self, Around, Delivered, Health, Inlet, Line, QUEUE, REFUSALS, SourceView, Surroundings, Taken, http};
use crate::plan::{Plan, QueueOwner, Source, SourceKind};
use crate::secret::Secret;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

/// All sources of the running plan.
pub(super) struct Sources {
    running: Vec<Running>,
    sender: mpsc::Sender<Delivered>,
    receiver: mpsc::Receiver<Delivered>,
    /// What was refused, for those who follow events.
    refusals: (mpsc::Sender<Line>, mpsc::Receiver<Line>),
    /// Events that the core has not taken yet.
    waiting: HashMap<u64, oneshot::Sender<Taken>>,
    next_arrival: u64,
    /// What they reach the world with. New clients come through here, so that sources that stayed the same need not begin anew.
    around: watch::Sender<Surroundings>,
    /// What is known of the stacks, for those that own something because of them.
    stacks: watch::Sender<Stacks>,
    /// With which root of this host signs tests; of this run.
    test_secret: Secret,
}

/// For what is left behind when a source with a queue of its own leaves the plan.
const TAKING_AWAY: Duration = Duration::from_secs(30);

/// What comes from a source.
pub(super) enum Heard {
    /// An event.
    Event(Delivered),
    /// Something was not taken as one; the core need not know.
    Refusal(Line),
}

/// A source and its task.
struct Running {
    source: Arc<Source>,
    health: Health,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Sources {
    pub(super) fn new(surroundings: Surroundings) -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE);
        Self {
            running: Vec::new(),
            sender,
            receiver,
            refusals: mpsc::channel(REFUSALS),
            waiting: HashMap::new(),
            next_arrival: 0,
            around: watch::Sender::new(surroundings),
            stacks: watch::Sender::new(Stacks::Unknown),
            test_secret: test_secret(),
        }
    }

    /// New clients, for the same sources.
    pub(super) fn renew(&self, surroundings: Surroundings) {
        self.around.send_replace(surroundings);
    }

    /// Whether anybody wants to know how the stacks are.
    pub(super) fn own_something(&self) -> bool {
        self.running.iter().any(|running| owns(&running.source))
    }

    /// How the stacks are that are followed. None says nothing: who this host is, and so which stacks those are, may not be known yet.
    pub(super) fn learn(&self, views: &[StackView]) {
        if views.is_empty() {
            return;
        }
        let gone = views.iter().all(|view| view.state == "deleted");
        let stacks = if gone { Stacks::Gone } else { Stacks::Here };
        self.stacks.send_if_modified(|known| std::mem::replace(known, stacks) != stacks);
    }

    /// Ends the sources that left the plan and begins those that are new in it. A changed one begins anew.
    pub(super) fn fit(&mut self, plan: &Plan) {
        let left: Vec<_> = self.running.iter().filter(|running| !plan.sources.contains(&running.source)).collect();
        for running in left {
            take_away(&running.source, plan, &self.around.borrow());
        }
        self.running.retain(|running| plan.sources.contains(&running.source));
        for source in &plan.sources {
            if self.running.iter().any(|running| running.source == *source) {
                continue;
            }
            let health = Health::new(&source.name, source.kind.word()).telling(self.refusals.0.clone());
            let inlet = Inlet::new(Arc::clone(&source.name), self.sender.clone(), health.clone());
            let (around, stacks) = (self.around.subscribe(), self.stacks.subscribe());
            let task = tokio::spawn(run(Arc::clone(source), inlet, around, stacks, self.test_secret.clone()));
            self.running.push(Running { source: Arc::clone(source), health, task });
        }
    }

    /// What comes next from any of them.
    pub(super) async fn next(&mut self) -> Option<Heard> {
        tokio::select! {
            Some(delivered) = self.receiver.recv() => Some(Heard::Event(delivered)),
            Some(line) = self.refusals.1.recv() => Some(Heard::Refusal(line)),
            else => None,
        }
    }

    /// The input that it is for the core.
    pub(super) fn accept(&mut self, delivered: Delivered) -> Input {
        self.next_arrival += 1;
        self.waiting.insert(self.next_arrival, delivered.taken);
        Input::Arrived { arrival: self.next_arrival, what: Box::new(delivered.arrival) }
    }

    /// Tells the source what was made of its event.
    pub(super) fn taken(&mut self, arrival: u64, taken: Taken) {
        if let Some(waiting) = self.waiting.remove(&arrival) {
            // A source that has gone does not matter.
            let _ = waiting.send(taken);
        }
    }

    /// With which tests are signed.
    pub(super) fn test_secret(&self) -> Secret {
        self.test_secret.clone()
    }

    /// How the sources are, in order of name.
    pub(super) fn views(&self) -> Vec<SourceView> {
        let mut views: Vec<_> = self.running.iter().map(|running| running.health.view()).collect();
        views.sort_by(|a, b| a.name.cmp(&b.name));
        views
    }
}

/// Runs one source until it is aborted.
async fn run(source: Arc<Source>, inlet: Inlet, around: Around, stacks: watch::Receiver<Stacks>, test_secret: Secret) {
    match &source.kind {
        SourceKind::Http(http) => http::http((**http).clone(), inlet, http::Needs { around, test_secret }).await,
        SourceKind::Callback(callback) => http::callback(callback.clone(), inlet, &around).await,
        SourceKind::Queue(settings) => queue::run(settings, &inlet, around, stacks).await,
        SourceKind::Spool(spool) => events::spool::run(spool.clone(), inlet).await,
    }
}

/// Whether the source owns a queue.
fn owns(source: &Source) -> bool {
    matches!(&source.kind, SourceKind::Queue(settings) if matches!(settings.whose, QueueOwner::Own { .. }))
}

/// The queue of a source that has left the plan goes with it, unless another source of the new plan owns one, which has the same name.
/// One attempt: if it is lost, `events gc` finds the queue.
fn take_away(source: &Arc<Source>, plan: &Plan, surroundings: &Surroundings) {
    if !owns(source) || plan.sources.iter().any(|source| owns(source)) {
        return;
    }
    let (source, surroundings) = (Arc::clone(source), surroundings.clone());
    tokio::spawn(async move {
        let SourceKind::Queue(settings) = &source.kind else { return };
        match queue::remove(settings, &surroundings, TAKING_AWAY).await {
            Ok(Some(removed)) => {
                tracing::info!(target: "events", "source {} has left the configuration: queue {} is taken away", source.name, removed.queue);
            }
            Ok(None) => {}
            Err(why) => {
                let name = &source.name;
                tracing::warn!(target: "events", "source {name} has left the configuration, and its queue stays: {why}; hint: events gc");
            }
        }
    });
}

/// More than 32 random bytes, as text.
fn test_secret() -> Secret {
    let random = || uuid::Uuid::new_v4().simple();
    Secret::new(format!("{}{}{}", random(), random(), random()))
}
