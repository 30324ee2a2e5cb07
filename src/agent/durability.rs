//! How far the ledger is behind what has been decided.

use super::{Core, NoteLevel};
use crate::clock::{BootMs, millis};
use crate::retry::{Pace, Schedule};
use crate::signal::Class;
use std::time::Duration;

/// A ledger that has not answered for this long counts as unwritable.
const LEDGER_PATIENCE: Duration = Duration::from_secs(10);

/// How far the ledger is.
pub(super) struct Durability {
    pub(super) generation: u64,
    pub(super) dirty: bool,
    written: u64,
    waiting_since: Option<BootMs>,
    pub(super) error: Option<String>,
    stalled: bool,
    retry_at: Option<BootMs>,
    schedule: Schedule,
}

impl Durability {
    pub(super) fn loaded(generation: u64) -> Self {
        Self {
            generation,
            dirty: false,
            written: generation,
            waiting_since: None,
            error: None,
            stalled: false,
            retry_at: None,
            schedule: Schedule::new(Pace::of(Class::Transient)),
        }
    }

    /// The generation that the next record will have, which is hereby wanted.
    pub(super) fn next(&mut self) -> u64 {
        self.dirty = true;
        self.generation.saturating_add(1)
    }

    /// Whether a record is to be made now.
    pub(super) fn take_turn(&mut self, now: BootMs) -> bool {
        let again = self.retry_at.is_some_and(|at| at <= now);
        self.stalled |= self.waiting_since.is_some_and(|since| now.saturating_sub(since) >= millis(LEDGER_PATIENCE));
        if !self.dirty && !again {
            return false;
        }
        self.dirty = false;
        self.retry_at = None;
        self.generation = self.generation.saturating_add(1);
        self.waiting_since.get_or_insert(now);
        true
    }

    /// Whether `generation` is durable.
    pub(super) fn holds(&self, generation: u64) -> bool {
        self.written >= generation
    }

    pub(super) fn is_unwritable(&self) -> bool {
        self.error.is_some() || self.stalled
    }

    /// Why the state is not durable, if it is not.
    pub(super) fn trouble(&self) -> Option<String> {
        let stalled = self.stalled.then(|| "the ledger has not answered for 10s".to_owned());
        self.error.clone().or(stalled)
    }

    pub(super) fn wake(&self) -> Option<BootMs> {
        let patience = self.waiting_since.filter(|_| !self.stalled).map(|since| since.saturating_add(millis(LEDGER_PATIENCE)));
        self.retry_at.into_iter().chain(patience).min()
    }
}

impl Core {
    pub(super) fn recorded(&mut self, generation: u64) {
        self.durability.written = self.durability.written.max(generation);
        if generation < self.durability.generation {
            self.durability.waiting_since = Some(self.now());
        } else {
            self.durability.waiting_since = None;
            self.durability.retry_at = None;
        }
        self.durability.schedule.reset();
        let healed = self.durability.is_unwritable();
        self.durability.error = None;
        self.durability.stalled = false;
        if healed {
            self.note(NoteLevel::Info, "the state is durable again");
        }
    }

    pub(super) fn not_recorded(&mut self, error: String) {
        let random = self.random();
        let delay = self.durability.schedule.next(random, None);
        self.durability.retry_at = Some(self.now().saturating_add(millis(delay)));
        self.durability.waiting_since = None;
        if self.durability.error.as_ref() != Some(&error) {
            self.note(NoteLevel::Error, format!("state not durable: {error}"));
        }
        self.durability.error = Some(error);
    }
}
