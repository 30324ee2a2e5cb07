//! Composites: checks over the committed states of other checks. Nothing runs for them; they are judged when a state changed.

use super::Core;
use super::checks::CheckRun;
use crate::check::composite::{self, Member};
use crate::check::{CheckState, Observation};
use crate::plan::{Name, Probe};
use std::sync::Arc;

impl Core {
    /// Lets a changed state have its consequences, for what depends on it and for composites, until there are no more.
    /// The plan has no cycles, so each pass settles one check at least.
    pub(super) fn settle_checks(&mut self) {
        if self.stopping || !std::mem::take(&mut self.states_changed) {
            return;
        }
        for _ in 0..=self.checks.len() {
            self.hold_dependents();
            if !self.judge_composites() {
                break;
            }
        }
        self.states_changed = false;
    }

    /// True if a composite is in another state now.
    fn judge_composites(&mut self) -> bool {
        let idle = self.checks.values().filter(|run| run.waiting_for.is_none());
        let composites: Vec<_> = idle.filter(|run| matches!(run.check.probe, Probe::Composite(_))).collect();
        let news: Vec<_> =
            composites.into_iter().filter_map(|run| Some((Arc::clone(&run.check.name), self.news(&run.check.name)?))).collect();
        let mut changed = false;
        for (name, said) in news {
            changed |= self.tell(&name, said);
        }
        changed
    }

    /// What a composite says now, if that is another thing than it said last. The inner none: that nothing can be said any more.
    fn news(&self, name: &Name) -> Option<Option<Observation>> {
        let run = self.checks.get(name)?;
        let Probe::Composite(composite) = &run.check.probe else { return None };
        let members: Vec<_> = composite
            .of
            .iter()
            .filter_map(|name| self.checks.get(name))
            .map(|run| Member { name: &run.check.name, health: run.state.committed(), never: run.state.will_never_pass(&run.check) })
            .collect();
        let said = composite::judge(composite, &members);
        let last = run.state.last().map(|seen| &seen.observation);
        let same = match (&said, last) {
            (Some(said), Some(last)) => (said.health, said.terminal, &said.message) == (last.health, last.terminal, &last.message),
            (None, None) => true,
            _ => false,
        };
        (!same).then_some(said)
    }

    /// True if the state, or whether it will ever pass, is another now.
    fn tell(&mut self, name: &Name, said: Option<Observation>) -> bool {
        let stands = |run: &CheckRun| (run.state.committed(), run.state.will_never_pass(&run.check));
        let before = self.checks.get(name).map(stands);
        match said {
            Some(observation) => self.see(name, observation),
            None => {
                let began = self.checks.get(name).map_or(0, |run| self.period_start(&run.check));
                if let Some(run) = self.checks.get_mut(name) {
                    run.state = CheckState::new(began);
                    self.undecided = true;
                    self.revision += 1;
                }
            }
        }
        self.checks.get_mut(name).is_some_and(|run| {
            run.runs += 1;
            Some(stands(run)) != before
        })
    }
}
