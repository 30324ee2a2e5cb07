//! What a run that is over says: about a check, or in words for who asked for a command. Pure.

use super::output::Output;
use super::{Ran, Work, exit};
use crate::check::{Health, Observation};
use crate::probe::text::span;
use std::time::Duration;

/// A run that is over.
pub(super) struct Outcome {
    pub(super) end: End,
    /// None: it does not die, or nobody knows how it did.
    pub(super) status: Option<std::process::ExitStatus>,
    /// It went on TERM.
    pub(super) obeyed: bool,
    pub(super) out_of_memory: bool,
    pub(super) program: String,
    pub(super) output: Output,
}

/// How the wait for a leader ended.
pub(super) enum End {
    Exited,
    TimedOut,
    Cancelled,
}

impl Outcome {
    /// What it says about a check.
    pub(super) fn observe(&self, work: &Work) -> Observation {
        match (&self.end, self.status) {
            (End::Exited, Some(status)) => exit::observe(&work.exec, status, &self.output, self.out_of_memory),
            (End::Exited, None) => Observation::new(Health::Unknown, self.unknown()),
            (End::Cancelled, _) => Observation::new(Health::Unknown, "the run was stopped"),
            (End::TimedOut, _) => {
                let mut observation = Observation::new(Health::Critical, self.timed_out(work.limit));
                observation.output = self.output.shown();
                observation
            }
        }
    }

    /// What it says about a command that no check runs.
    pub(super) fn tell(&self, work: &Work) -> Ran {
        let text = match (&self.end, self.status) {
            (End::Exited, Some(status)) => exit::text(status, self.out_of_memory),
            (End::Exited, None) => self.unknown(),
            (End::Cancelled, _) => "the run was stopped".to_owned(),
            (End::TimedOut, _) => self.timed_out(work.limit),
        };
        let succeeded = matches!(self.end, End::Exited) && self.status.is_some_and(|status| status.success());
        Ran { succeeded, text, output: self.output.shown() }
    }

    fn unknown(&self) -> String {
        format!("{} ended, but the kernel does not say how", self.program)
    }

    fn timed_out(&self, limit: Duration) -> String {
        let how = match (self.status.is_some(), self.obeyed) {
            (false, _) => "; it hangs in the kernel and does not die of SIGKILL",
            (true, false) => "; it did not end on SIGTERM and was killed",
            (true, true) => "",
        };
        format!("timed out after {} while running {}{how}", span(limit), self.program)
    }
}
