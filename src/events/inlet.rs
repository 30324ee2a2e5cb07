//! Through what a source hands in its events, and where it says how it is.

use super::{Arrival, Event, Line, Taken, Trust};
use crate::clock::{BootMs, Moment, rfc3339};
use crate::plan::Name;
use crate::transport::clean;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{mpsc, oneshot};

/// Events that wait for the loop, of all sources together. One more is refused: the source says "later", and leaves it where it is.
pub const QUEUE: usize = 256;

/// An event on its way to the loop, and the answer to the source.
#[derive(Debug)]
pub struct Delivered {
    /// The event.
    pub arrival: Arrival,
    /// Told once the core has taken it. A source that has gone does not matter.
    pub taken: oneshot::Sender<Taken>,
}

/// The loop cannot take events now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many events at once")]
pub struct Full;

/// The door of one source.
#[derive(Clone, Debug)]
pub struct Inlet {
    name: Name,
    sender: mpsc::Sender<Delivered>,
    health: Health,
}

impl Inlet {
    /// The door of the source `name`.
    pub fn new(name: Name, sender: mpsc::Sender<Delivered>, health: Health) -> Self {
        Self { name, sender, health }
    }

    /// Name of the source.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Where the source says how it is.
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// Hands an event in and waits until the core has taken it.
    ///
    /// # Errors
    /// [`Full`], at once, if too many wait, or if the agent is stopping.
    pub async fn give(&self, trust: Trust, event: Event) -> Result<Taken, Full> {
        self.health.received();
        let (taken, told) = oneshot::channel();
        let event = Event { test: trust == Trust::Test, ..event };
        let arrival = Arrival { through: Arc::clone(&self.name), trust, event };
        self.sender.try_send(Delivered { arrival, taken }).map_err(|_| Full)?;
        told.await.map_err(|_| Full)
    }
}

/// How a source is: shared between its task and the status.
#[derive(Clone, Debug)]
pub struct Health(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    view: SourceView,
    /// To those who follow events. What finds it full is only counted.
    lines: Option<mpsc::Sender<Line>>,
    /// When a refusal may be told again.
    quiet_until_ms: BootMs,
    /// Refusals that were counted and not told.
    untold: u64,
}

/// Refusals that wait to be told, of all sources together.
pub const REFUSALS: usize = 16;
/// A source tells one refusal in this time: whoever sends a thousand must not push everything else out of what is followed.
const QUIET_MS: BootMs = 1000;

/// Reasons of refusals that are counted apart.
const REASONS: usize = 32;

/// One source, as the status shows it. Fields are only ever added.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceView {
    /// Name.
    pub name: String,
    /// `type`.
    pub kind: String,
    /// It works, as far as it can be told.
    pub healthy: bool,
    /// In words: where it listens, what it reads.
    pub detail: String,
    /// Events that came, repeated ones included.
    pub received: u64,
    /// When the last one came, RFC 3339.
    pub last_at: Option<String>,
    /// What was refused, by reason.
    pub refused: BTreeMap<String, u64>,
    /// What was taken, by the form of its signature, where there are several.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub signed: BTreeMap<String, u64>,
    /// The last trouble, while it lasts.
    pub error: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Health {
    /// Of a source that has not begun yet.
    pub fn new(name: &str, kind: &str) -> Self {
        let view = SourceView { name: name.to_owned(), kind: kind.to_owned(), ..SourceView::default() };
        Self(Arc::new(Mutex::new(State { view, ..State::default() })))
    }

    /// Refusals are told to `lines` too.
    #[must_use]
    pub fn telling(self, lines: mpsc::Sender<Line>) -> Self {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).lines = Some(lines);
        self
    }

    /// As it is now.
    pub fn view(&self) -> SourceView {
        self.change(|view| view.clone())
    }

    /// It works: `detail` says where it listens, or what it reads.
    pub fn works(&self, detail: &str) {
        self.change(|view| {
            view.healthy = true;
            view.detail = clean(detail);
            (view.error, view.hint) = (None, None);
        });
    }

    /// It does not work now; it goes on trying. True if that is news.
    pub fn fails(&self, error: &str, hint: Option<&str>) -> bool {
        self.change(|view| {
            let error = clean(error);
            let is_news = view.error.as_ref() != Some(&error);
            view.healthy = false;
            (view.error, view.hint) = (Some(error), hint.map(clean));
            is_news
        })
    }

    /// Something was not taken as an event, for `reason`, one of a few.
    pub fn refused(&self, reason: &'static str) {
        self.change(|view| {
            if view.refused.contains_key(reason) || view.refused.len() < REASONS {
                *view.refused.entry(reason.to_owned()).or_default() += 1;
            }
        });
        self.tell_refusal(reason);
    }

    fn tell_refusal(&self, reason: &str) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(lines) = state.lines.clone() else { return };
        let now = Moment::now();
        if now.boot_ms < state.quiet_until_ms {
            state.untold += 1;
            return;
        }
        state.quiet_until_ms = now.boot_ms.saturating_add(QUIET_MS);
        let text = match std::mem::take(&mut state.untold) {
            0 => reason.to_owned(),
            untold => format!("{reason}; {untold} more were refused since the last line"),
        };
        let line = Line {
            at: rfc3339(now.wall_ms),
            what: "refused".to_owned(),
            text,
            through: Some(state.view.name.clone()),
            event: None,
            taken: None,
            stack_id: None,
            status: None,
            hook: None,
        };
        // Full: it is counted in the status.
        let _ = lines.try_send(line);
    }

    /// Something was believed, for a signature of this `form`, one of a few.
    pub fn signed(&self, form: &'static str) {
        self.change(|view| {
            if view.signed.contains_key(form) || view.signed.len() < REASONS {
                *view.signed.entry(form.to_owned()).or_default() += 1;
            }
        });
    }

    fn received(&self) {
        let now = rfc3339(Moment::now().wall_ms);
        self.change(|view| {
            view.received += 1;
            view.last_at = Some(now);
        });
    }

    fn change<T>(&self, change: impl FnOnce(&mut SourceView) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner).view)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_refusal_is_told_to_those_who_follow_and_a_flood_of_them_is_only_counted() {
        let (sender, mut lines) = mpsc::channel(REFUSALS);
        let health = Health::new("relay", "http").telling(sender);
        for _ in 0..1000 {
            health.refused("signature");
        }
        let line = lines.recv().await.unwrap();
        assert_eq!((line.what.as_str(), line.text.as_str(), line.through.as_deref()), ("refused", "signature", Some("relay")));
        let mut told = 1;
        while lines.try_recv().is_ok() {
            told += 1;
        }
        assert!(told <= 2, "{told} lines within a moment");
        assert_eq!(health.view().refused["signature"], 1000);
    }
}
