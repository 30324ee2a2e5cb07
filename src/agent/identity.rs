//! Who this host is: asked at the start, until stack and region are known, and again when it may have become another one.
//!
//! A machine that was copied while it ran resumes without a boot, and nobody tells it. What shows is that time has jumped: the system clock
//! is another than it was against the boot clock, or the boot clock went on while nothing ran. The same happens when the clock is set for
//! the first time, which does no harm: the metadata service is asked once more. Until it has answered, or has failed to, nothing is decided
//! under what may be the identity of somebody else. (Before each send the driver asks anyway.)

use super::{Core, Effect, Identity, NoteLevel};
use crate::clock::{BootMs, Moment, millis};
use crate::plan::{Signal, UniqueIdStrategy};
use crate::retry::{Pace, Schedule};
use crate::signal::Class;

/// How often the metadata service is asked again for a stack id that its tags do not show yet.
pub(super) const TARGET_RECHECK_MS: BootMs = 60_000;
/// A step of the system clock larger than this is noticed.
const JUMP_MS: i64 = 2_000;

/// Where the question "who is this host" stands.
pub(super) struct Identification {
    pub(super) known: Option<Identity>,
    asking: bool,
    /// The question in flight was put after the last doubt.
    fresh: bool,
    pub(super) due: BootMs,
    pub(super) error: Option<String>,
    schedule: Schedule,
    doubt: Doubt,
}

/// Whether what is known may be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doubt {
    None,
    /// Nothing is decided before the answer.
    Raised,
    /// There was no answer: decisions go on, and so do questions.
    Unanswered,
}

impl Identification {
    pub(super) fn new(now: BootMs) -> Self {
        Self {
            known: None,
            asking: false,
            fresh: false,
            due: now,
            error: None,
            schedule: Schedule::new(Pace::of(Class::Transient)),
            doubt: Doubt::None,
        }
    }

    /// Whether this may be another host than it was.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.doubt == Doubt::Raised
    }
}

impl Core {
    /// Whether the metadata service is to be asked (again): this host, the target of an open round or the stack of
    /// hooks is not known, or in doubt.
    pub(super) fn wants_identity(&self) -> bool {
        if self.identity.asking || self.stopping {
            return false;
        }
        let unknown_host = self.identity.known.is_none() && self.has_work();
        let unknown_target = || self.rounds.iter().any(|active| active.is_open() && active.round.target.is_none());
        unknown_host || self.identity.doubt != Doubt::None || self.wants_name() || unknown_target() || self.hooks_lack_stack()
    }

    /// Whether anything is done in the name of this host.
    fn has_work(&self) -> bool {
        !(self.rounds.is_empty() && self.plan.hooks.is_empty())
    }

    /// Whether the id of an open round is made of a name that is not known.
    fn wants_name(&self) -> bool {
        let Some(known) = &self.identity.known else { return false };
        let lacks = |signal: &Signal| match signal.unique_id {
            UniqueIdStrategy::IntegerOf(source) => !known.names.iter().any(|(name, _)| *name == source),
            _ => false,
        };
        let is_open = |signal: &Signal| self.rounds.iter().any(|active| active.round.signal == signal.name && active.is_open());
        self.plan.signals.iter().any(|signal| lacks(signal) && is_open(signal))
    }

    pub(super) fn identify(&mut self) {
        if self.wants_identity() && self.now() >= self.identity.due {
            self.identity.asking = true;
            self.identity.fresh = true;
            self.effects.push(Effect::Identify);
        }
    }

    /// Compares both clocks with what they were in the last turn.
    pub(super) fn notice_jump(&mut self, before: Moment) {
        let offset = |moment: Moment| moment.wall_ms.saturating_sub(moment.boot_ms);
        if offset(self.turn.now).saturating_sub(offset(before)).saturating_abs() > JUMP_MS {
            self.doubt("the system clock was set");
        }
    }

    /// This may be a copy of the host that it was.
    pub(super) fn doubt(&mut self, why: &str) {
        if self.identity.known.is_none() || !self.has_work() || self.stopping {
            return;
        }
        self.identity.doubt = Doubt::Raised;
        self.identity.fresh = false;
        self.identity.due = self.now();
        self.undecided = true;
        self.note(NoteLevel::Info, format!("{why}: the instance id is asked for again"));
    }

    pub(super) fn identified(&mut self, answer: Result<Identity, String>) {
        self.identity.asking = false;
        let settles = self.identity.fresh;
        let identity = match answer {
            Ok(identity) => identity,
            Err(error) => return self.not_identified(error, settles),
        };
        if settles {
            self.identity.doubt = Doubt::None;
        }
        self.identity.schedule.reset();
        self.identity.error = None;
        // What is still in doubt is asked again at once.
        self.identity.due = if self.identity.is_in_doubt() { self.now() } else { self.now().saturating_add(self.target_recheck()) };
        if self.identity.known.as_ref() == Some(&identity) {
            return;
        }
        let instance_id = identity.instance_id.clone();
        let is_first_answer = self.identity.known.replace(identity).is_none();
        self.claim_ledger(&instance_id, is_first_answer);
        self.fit_plan();
        for name in self.unresolved() {
            let why = self.why_unresolved(&name);
            self.note_signal(&name, NoteLevel::Error, &why);
        }
    }

    fn not_identified(&mut self, error: String, settles: bool) {
        let random = self.random();
        let delay = self.identity.schedule.next(random, None);
        self.identity.due = self.now().saturating_add(millis(delay));
        if self.identity.doubt == Doubt::Raised && settles {
            self.identity.doubt = Doubt::Unanswered;
        }
        if self.identity.error.as_ref() != Some(&error) {
            let what = if self.identity.known.is_some() { "cannot be asked for again" } else { "is not known yet" };
            self.note(NoteLevel::Warn, format!("the identity of this host {what}: {error}"));
        }
        self.identity.error = Some(error);
    }
}
