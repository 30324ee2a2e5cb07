//! The sources of events: a task for each, which hands in what comes; the driver tells it what was made of it.

use crate::agent::Input;
use crate::events::{Delivered, Health, Inlet, QUEUE, SourceView, Taken};
use crate::plan::{Plan, Source, SourceKind};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// All sources of the running plan.
pub(super) struct Sources {
    running: Vec<Running>,
    sender: mpsc::Sender<Delivered>,
    receiver: mpsc::Receiver<Delivered>,
    /// Events that the core has not taken yet.
    waiting: HashMap<u64, oneshot::Sender<Taken>>,
    next_arrival: u64,
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
    pub(super) fn new() -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE);
        Self { running: Vec::new(), sender, receiver, waiting: HashMap::new(), next_arrival: 0 }
    }

    /// Ends the sources that left the plan and begins those that are new in it. A changed one begins anew.
    pub(super) fn fit(&mut self, plan: &Plan) {
        self.running.retain(|running| plan.sources.contains(&running.source));
        for source in &plan.sources {
            if self.running.iter().any(|running| running.source == *source) {
                continue;
            }
            let health = Health::new(&source.name, source.kind.word());
            let inlet = Inlet::new(Arc::clone(&source.name), self.sender.clone(), health.clone());
            let task = tokio::spawn(run(Arc::clone(source), inlet));
            self.running.push(Running { source: Arc::clone(source), health, task });
        }
    }

    /// The next event that came in.
    pub(super) async fn next(&mut self) -> Option<Delivered> {
        self.receiver.recv().await
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

    /// How the sources are, in order of name.
    pub(super) fn views(&self) -> Vec<SourceView> {
        let mut views: Vec<_> = self.running.iter().map(|running| running.health.view()).collect();
        views.sort_by(|a, b| a.name.cmp(&b.name));
        views
    }
}

/// Runs one source until it is aborted.
async fn run(source: Arc<Source>, inlet: Inlet) {
    match &source.kind {
        SourceKind::Http(_) | SourceKind::Callback(_) | SourceKind::Queue(_) | SourceKind::Spool(_) => {
            let _ = inlet;
            std::future::pending::<()>().await;
        }
    }
}
