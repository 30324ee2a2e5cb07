//! Which check runs when: paces, splay, dependencies, slots.

use super::report::Past;
use super::rounds::Active;
use super::{Core, Effect, NoteLevel};
use crate::check::{CheckState, Health, Observation};
use crate::clock::{BootMs, millis};
use crate::hooks::Occasion;
use crate::plan::{Check, Name, Probe};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// Longest splay of a first run.
const SPLAY_LIMIT: Duration = Duration::from_secs(1);

/// From the end of a run to the next one that a change asks for, so that a storm of changes is a bounded number of runs.
const CHANGE_PAUSE_MS: BootMs = 20;

/// Where nothing is urgent, runs begin at multiples of this part of their interval, and of no more than this: those that share a moment share a wake-up.
const GRAINS: BootMs = 20;
const GRAIN_LIMIT_MS: BootMs = 1_000;

/// A check of the plan, its state and its schedule.
pub(super) struct CheckRun {
    pub(super) check: Arc<Check>,
    pub(super) state: CheckState,
    /// Start of the next run; for `ttl`, when silence becomes critical. None: nothing is planned, because it runs, or waits for another.
    pub(super) due: Option<BootMs>,
    pub(super) running: Option<u64>,
    pub(super) runs: u64,
    /// No run before this.
    not_before: BootMs,
    /// What it looks at changed while it was looking.
    outdated: bool,
    /// What it was before a sleep in which nobody looked, until it is known again.
    before_sleep: Option<Health>,
    /// The first dependency that is not satisfied.
    pub(super) waiting_for: Option<Name>,
    /// What it said lately.
    pub(super) past: Past,
}

impl Core {
    /// Makes the runs fit the plan: unchanged checks keep their state; changed ones, and those of a new round, start over; removed ones
    /// are cancelled. Without a signal nobody wants to know, and nothing runs.
    pub(super) fn fit_checks(&mut self) {
        let plan = Arc::clone(&self.plan);
        self.states_changed = true;
        self.note_serving();
        let mut old = std::mem::take(&mut self.checks);
        let start_over = std::mem::take(&mut self.start_over);
        let wanted: &[Arc<Check>] = if plan.signals.is_empty() { &[] } else { &plan.checks };
        for check in wanted {
            let kept = old.remove(&check.name).and_then(|run| {
                if run.check == *check && !start_over.contains(&check.name) {
                    return Some(run);
                }
                self.cancel(run.running);
                None
            });
            let run = kept.unwrap_or_else(|| self.fresh(check));
            self.checks.insert(Arc::clone(&check.name), run);
        }
        for run in old.into_values() {
            self.cancel(run.running);
        }
        self.agenda.clear();
        for (run, due) in self.checks.values().filter_map(|run| Some((run, run.due?))) {
            self.agenda.entry(run.check.probe.kind()).or_default().insert((due, Arc::clone(&run.check.name)));
        }
    }

    fn note_serving(&mut self) {
        self.serving.clear();
        for signal in &self.plan.signals {
            for check in signal.runs() {
                self.serving.entry(Arc::clone(check)).or_default().push(Arc::clone(&signal.name));
            }
        }
    }

    /// Plans the next run of a check, or none: the one place where that changes.
    pub(super) fn plan_run(&mut self, name: &Name, due: Option<BootMs>) {
        let Some(run) = self.checks.get_mut(name).filter(|run| run.due != due) else { return };
        let agenda = self.agenda.entry(run.check.probe.kind()).or_default();
        if let Some(before) = std::mem::replace(&mut run.due, due) {
            agenda.remove(&(before, Arc::clone(name)));
        }
        agenda.extend(due.map(|due| (due, Arc::clone(name))));
    }

    fn due_of(&self, name: &Name) -> Option<BootMs> {
        self.checks.get(name)?.due
    }

    fn fresh(&mut self, check: &Arc<Check>) -> CheckRun {
        let began = self.period_start(check);
        let splay = millis(check.start_interval.min(SPLAY_LIMIT));
        let first = began.saturating_add(millis(check.initial_delay)).max(self.now());
        let due = if check.probe.is_passive() { None } else { Some(first.saturating_add(self.random_ms(splay))) };
        CheckRun {
            check: Arc::clone(check),
            state: CheckState::new(began),
            due,
            running: None,
            runs: 0,
            not_before: first,
            outdated: false,
            before_sleep: None,
            waiting_for: None,
            past: Past::default(),
        }
    }

    /// Start periods are measured from the start of the latest open round that needs the check, or from boot if that is later, and
    /// so survive a restart of the agent; a check that serves no open round starts now.
    pub(super) fn period_start(&self, check: &Check) -> BootMs {
        let open = self.rounds.iter().filter(|active| active.is_open() && self.serves(&active.round.signal, &check.name));
        open.map(|active| active.started).max().map_or(self.now(), |started| started.max(0).min(self.now()))
    }

    fn serves(&self, signal: &Name, check: &Name) -> bool {
        self.serving.get(check).is_some_and(|signals| signals.contains(signal))
    }

    fn cancel(&mut self, running: Option<u64>) {
        if let Some(run) = running {
            self.over(run);
            self.effects.push(Effect::Cancel { run });
        }
    }

    /// The check of a run that is in flight no more.
    fn over(&mut self, run: u64) -> Option<Name> {
        let (name, kind) = self.in_flight.remove(&run)?;
        if let Some(taken) = self.taken.get_mut(kind) {
            *taken = taken.saturating_sub(1);
        }
        Some(name)
    }

    pub(super) fn cancel_runs(&mut self) {
        let running: Vec<_> = self.checks.values_mut().filter_map(|run| run.running.take()).collect();
        for run in running {
            self.cancel(Some(run));
        }
    }

    /// Nothing that was seen before counts any more: runs that began before are made again now, healthy times begin anew, and a composite says
    /// nothing before its members were seen, which is now. Hooks hear of what is another state than before.
    pub(super) fn look_anew(&mut self) {
        let now = self.now();
        let interrupted: Vec<_> = self.checks.iter().filter(|(_, run)| run.running.is_some()).map(|(name, _)| Arc::clone(name)).collect();
        self.cancel_runs();
        for name in &interrupted {
            self.plan_run(name, Some(now));
        }
        let members: BTreeSet<_> = self.checks.values().flat_map(|run| run.check.members()).cloned().collect();
        for run in self.checks.values_mut() {
            run.state.unwatched(&run.check, now);
            run.before_sleep = run.state.committed().or(run.before_sleep);
        }
        for name in members {
            let Some(check) = self.checks.get(&name).map(|run| Arc::clone(&run.check)).filter(|check| !check.probe.is_passive()) else {
                continue;
            };
            let began = self.period_start(&check);
            if let Some(run) = self.checks.get_mut(&name) {
                run.state = CheckState::new(began);
            }
            self.states_changed = true;
            self.changed(&name);
        }
    }

    /// When a check runs again that has ended now: soon until the signals that need it have their verdict.
    fn next_run(&self, check: &Check) -> BootMs {
        let urgent = self.rounds.iter().any(|active| active.is_open() && self.serves(&active.round.signal, &check.name));
        if urgent {
            return self.now().saturating_add(millis(check.start_interval.min(check.interval)));
        }
        let interval = millis(check.interval);
        let next = self.now().saturating_add(interval);
        next.saturating_sub(next.rem_euclid((interval / GRAINS).clamp(1, GRAIN_LIMIT_MS)))
    }

    pub(super) fn observed(&mut self, run_id: u64, observation: Observation) {
        let Some(name) = self.over(run_id) else { return };
        let now = self.now();
        let later = self.checks.get(&name).map_or(now, |run| self.next_run(&run.check));
        if let Some(run) = self.checks.get_mut(&name) {
            run.running = None;
            run.not_before = now.saturating_add(CHANGE_PAUSE_MS);
            let next = if std::mem::take(&mut run.outdated) { run.not_before } else { later };
            self.plan_run(&name, Some(next));
        }
        self.see(&name, observation);
    }

    /// What the check looks at may have changed: its next run is due now, or once more after the one in flight.
    pub(super) fn changed(&mut self, name: &Name) {
        let now = self.now();
        let Some(run) = self.checks.get_mut(name) else { return };
        run.outdated = run.running.is_some();
        let due = run.due.map(|due| due.min(now.max(run.not_before)));
        self.plan_run(name, due);
    }

    /// Feeds one observation into the state of a check and says what changed.
    pub(super) fn see(&mut self, name: &Name, observation: Observation) {
        let now = self.now();
        let Some(run) = self.checks.get_mut(name) else { return };
        let message = observation.message.clone();
        let health = observation.health;
        let before = run.state.last().map(|seen| &seen.observation);
        let is_news = before.is_none_or(|before| before.health != health || before.message != message);
        let turned = before.is_none_or(|before| before.health.is_good() != health.is_good());
        self.undecided |= turned || observation.terminal || self.confirming;
        self.revision += u64::from(is_news);
        run.past.note(now, &observation);
        let could_pass = !run.state.will_never_pass(&run.check);
        let change = run.state.observe(&run.check, now, observation);
        let before_sleep = change.and_then(|_| run.before_sleep.take());
        // A check that is as critical as before may say now that it will never pass, or no longer: that counts for composites.
        self.states_changed |= could_pass == run.state.will_never_pass(&run.check);
        let Some(change) = change else {
            self.note_check(name, NoteLevel::Debug, format!("{health}: {message}"));
            return;
        };
        self.states_changed = true;
        self.undecided = true;
        self.revision += 1;
        let previous = change.from.or(before_sleep);
        if previous == Some(change.to) {
            self.note_check(name, NoteLevel::Debug, format!("{} as before the sleep: {message}", change.to));
            return;
        }
        let from = previous.map_or("initial", Health::word);
        let level = if change.to == Health::Passing { NoteLevel::Info } else { NoteLevel::Warn };
        self.note_check(name, level, format!("{from} -> {}: {message}", change.to));
        self.happened(Occasion::Check { check: Arc::clone(name), state: change.to, previous, message });
    }

    /// Silence longer than its ttl is critical for a check that was pushed before.
    pub(super) fn expire_ttls(&mut self) {
        let now = self.now();
        let silent: Vec<_> = self
            .overdue(Probe::TTL)
            .filter_map(|name| {
                let run = self.checks.get(name)?;
                let Probe::Ttl(ttl) = run.check.probe else { return None };
                let said = run.state.last().map_or("", |seen| seen.observation.message.as_str());
                let said = said.rsplit_once("; last: ").map_or(said, |(_, last)| last);
                let text = format!("nothing pushed for {}; last: {said}", humantime::format_duration(ttl.ttl));
                Some((Arc::clone(&run.check.name), now.saturating_add(millis(ttl.ttl)), text))
            })
            .collect();
        for (name, due, text) in silent {
            self.plan_run(&name, Some(due));
            self.see(&name, Observation::new(Health::Critical, text));
        }
    }

    /// Asks for a run now of each of these checks that is not running.
    pub(super) fn confirm(&mut self, names: &[Name]) {
        let now = self.now();
        for name in names {
            if self.checks.get(name).is_some_and(|run| !run.check.probe.is_passive()) {
                self.plan_run(name, self.due_of(name).map(|due| due.min(now)));
            }
        }
    }

    /// Starts what is due and fits into the slots of its kind, longest overdue first: kinds that are slow never hold up others. What finds
    /// no slot is not looked at: with a thousand checks that are due together that would be a thousand looks at each of them.
    pub(super) fn run_checks(&mut self) {
        if self.stopping {
            return;
        }
        let held_up = self.held_up_checks();
        let kinds: Vec<_> = self.agenda.keys().copied().collect();
        for kind in kinds {
            let free = self.plan.agent.slots(kind).saturating_sub(self.taken.get(kind).copied().unwrap_or(0));
            let due = self.overdue(kind).filter(|name| !held_up.contains(*name)).take(free);
            let due: Vec<_> = due.cloned().collect();
            for name in due {
                self.start(&name);
            }
        }
    }

    /// Checks of open rounds that wait for a hook.
    fn held_up_checks(&self) -> BTreeSet<Name> {
        let stacks = self.held_up();
        let waits = |active: &&Active| active.is_open() && active.round.target.as_ref().is_some_and(|t| stacks.contains(&*t.stack_id));
        let signals = self.rounds.iter().filter(waits).filter_map(|active| self.plan.signal(&active.round.signal));
        signals.flat_map(|signal| signal.runs()).cloned().collect()
    }

    /// Checks of this kind that are due, longest overdue first.
    fn overdue(&self, kind: &str) -> impl Iterator<Item = &Name> {
        let now = self.now();
        self.agenda.get(kind).into_iter().flatten().take_while(move |(due, _)| *due <= now).map(|(_, name)| name)
    }

    fn start(&mut self, name: &Name) {
        let id = self.id();
        let deadline_ms = self.nearest_deadline(name);
        let now = self.now();
        let Some(run) = self.checks.get_mut(name) else { return };
        run.running = Some(id);
        run.runs += 1;
        self.effects.push(Effect::Probe {
            run: id,
            check: Arc::clone(&run.check),
            due: run.due.unwrap_or(now),
            attempt: run.runs,
            deadline_ms,
        });
        let kind = run.check.probe.kind();
        self.in_flight.insert(id, (Arc::clone(name), kind));
        *self.taken.entry(kind).or_default() += 1;
        self.plan_run(name, None);
    }

    fn nearest_deadline(&self, name: &Name) -> Option<i64> {
        let open = self.rounds.iter().filter(|active| active.is_open() && self.serves(&active.round.signal, name));
        let nearest = open.filter_map(|active| Some(self.timers(active)?.last)).min()?;
        Some(self.turn.now.wall_ms.saturating_add(nearest.saturating_sub(self.now())))
    }

    /// A check whose dependency is not satisfied goes back to `initial` and is not run: its last result proves nothing.
    /// That may unsettle its own dependents, hence the passes; each pass settles at least one check, as the plan has no cycles.
    pub(super) fn hold_dependents(&mut self) {
        for _ in 0..=self.checks.len() {
            let changed = self.changed_dependencies();
            if changed.is_empty() {
                return;
            }
            for (name, missing) in changed {
                self.depend(&name, missing);
            }
        }
    }

    /// Checks for which another dependency, or none, is missing now.
    fn changed_dependencies(&self) -> Vec<(Name, Option<Name>)> {
        let dependents = self.checks.values().filter(|run| !run.check.depends_on.is_empty());
        dependents
            .filter_map(|run| {
                let unsatisfied = |name: &&Name| !self.checks.get(*name).is_some_and(|run| run.state.is_satisfied());
                let missing = run.check.depends_on.iter().find(unsatisfied).cloned();
                (run.waiting_for != missing).then(|| (Arc::clone(&run.check.name), missing))
            })
            .collect()
    }

    fn depend(&mut self, name: &Name, missing: Option<Name>) {
        let now = self.now();
        let began = self.checks.get(name).map_or(now, |run| self.period_start(&run.check));
        let Some(run) = self.checks.get_mut(name) else { return };
        let newly_blocked = run.waiting_for.is_none();
        let first = began.saturating_add(millis(run.check.initial_delay)).max(now);
        run.not_before = first;
        let passive = run.check.probe.is_passive();
        let may_run = missing.is_none() && !passive;
        run.waiting_for = missing;
        if newly_blocked {
            run.state = CheckState::new(began);
            let running = run.running.take();
            self.cancel(running);
            self.states_changed = true;
            self.undecided = true;
            self.revision += 1;
        }
        // What was pushed meanwhile runs out as ever.
        if newly_blocked || !passive {
            self.plan_run(name, may_run.then_some(first));
        }
    }

    /// When time alone makes a check do something. What is overdue waits for a slot, which an observation frees, not time.
    pub(super) fn check_wake(&self) -> Option<BootMs> {
        let later = (self.now().saturating_add(1), Name::default());
        if self.stopping {
            return None;
        }
        self.agenda.values().filter_map(|agenda| agenda.range(&later..).next().map(|(due, _)| *due)).min()
    }
}
