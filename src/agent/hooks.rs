//! Hooks: what is to be run for what happened, in order, each once.
//!
//! ```text
//! happened -> record with an id in the ledger -> durable -> RunHook -> HookEnded -> out of the queue, its id among those that ended
//! ```
//!
//! What happened twice under one id is queued once. One hook runs one record at a time, in order, so a record that is tried again holds
//! up those behind it; hooks do not hold up each other. A crash leaves a record in the queue, so it is run again under the same id;
//! with `at_most_once` the beginning is durable before the run, and a record that was found begun is not begun again.

use super::status::HookView;
use super::{Core, Effect, NoteLevel};
use crate::check::clip;
use crate::clock::{BootMs, millis, rfc3339};
use crate::events::Line;
use crate::hooks::{HookEnd, HookRecord, Occasion};
use crate::plan::{Hook, Name};
use crate::retry::{Pace, Schedule};
use crate::signal::{Class, MetadataRecord, SignalStatus};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Runs at the same time. Others wait.
const IN_FLIGHT: usize = 4;
/// Records that wait or run. Beyond it the newest is refused, loudly.
const QUEUE: usize = 64;
/// Texts of metadata in the queue, in bytes of the ledger together: it may not be larger than [`crate::ledger::SIZE_LIMIT`]. With more, hooks
/// are run without.
const TEXTS_LIMIT: usize = 128 * 1024;
/// Ids of records that have ended.
const DONE_KEPT: usize = 256;
/// Longest text of how a run ended, in bytes.
const TEXT_LIMIT: usize = 512;

/// What is known of the queue beyond the ledger.
#[derive(Default)]
pub(super) struct Hooking {
    /// Of each record in the queue, by its id.
    ways: BTreeMap<String, Way>,
    /// How each hook ended last.
    ended: BTreeMap<Name, Ended>,
    /// Runs of each hook that have ended well, and the others.
    runs: BTreeMap<Name, (u64, u64)>,
}

impl Hooking {
    /// Forgets the queue; a run in flight is nobody's any more.
    pub(super) fn clear(&mut self) {
        self.ways.clear();
    }
}

/// Where one record is on its way.
struct Way {
    phase: Phase,
    /// Generation that must be durable before it is run.
    needs: u64,
    schedule: Schedule,
}

impl Way {
    fn new(phase: Phase, needs: u64) -> Self {
        Self { phase, needs, schedule: Schedule::new(Pace::of(Class::Transient)) }
    }
}

enum Phase {
    /// Run it at this time.
    Due(BootMs),
    /// It runs.
    Running(u64),
    /// It has failed for good, and why; what waits for it is told as soon as it may be.
    Failed(String),
}

struct Ended {
    word: String,
    text: String,
    succeeded: bool,
    at_ms: i64,
}

impl Core {
    /// Takes up the queue of the ledger.
    pub(super) fn resume_hooks(&mut self) {
        let now = self.now();
        for index in 0..self.hooks.len() {
            let Some(record) = self.hooks.get(index) else { continue };
            let begun = record.attempts > 0 && self.planned_hook(&record.hook).is_some_and(|hook| hook.at_most_once);
            let phase = if begun {
                let why = "an agent that ended began it, and what became of it is not known; at_most_once: it is not begun again";
                Phase::Failed(why.to_owned())
            } else {
                Phase::Due(now)
            };
            self.hooking.ways.insert(record.id.clone(), Way::new(phase, 0));
        }
        self.fit_hooks();
    }

    /// Drops what is queued for hooks that left the plan.
    pub(super) fn fit_hooks(&mut self) {
        let gone: Vec<_> =
            self.hooks.iter().filter(|record| self.planned_hook(&record.hook).is_none()).map(|record| record.id.clone()).collect();
        for id in gone {
            let Some(record) = self.take_record(&id) else { continue };
            let text = format!("not run for {}: it left the plan", record.occasion.word());
            self.note_hook(&record.hook, NoteLevel::Warn, text);
        }
        let names: BTreeSet<_> = self.plan.hooks.iter().map(|hook| Arc::clone(&hook.name)).collect();
        self.hooking.ended.retain(|name, _| names.contains(name));
    }

    fn planned_hook(&self, name: &str) -> Option<&Arc<Hook>> {
        self.plan.hooks.iter().find(|hook| *hook.name == *name)
    }

    /// Something happened that hooks may be run for.
    #[expect(clippy::needless_pass_by_value, reason = "it has happened once, and is told once")]
    pub(super) fn happened(&mut self, occasion: Occasion) {
        let plan = Arc::clone(&self.plan);
        for hook in plan.hooks.iter().filter(|hook| occasion.is_for(hook)) {
            self.queue_hook(hook, &occasion);
        }
    }

    fn queue_hook(&mut self, hook: &Hook, occasion: &Occasion) {
        let id = occasion.id(&hook.name, &self.stamp_of(occasion));
        if self.hooks_done.contains(&id) || self.hooks.iter().any(|record| record.id == id) {
            return;
        }
        if self.hooks.len() >= QUEUE {
            let text = format!(
                "not run for {}: {QUEUE} runs are waiting already; hint: shorten its timeout, or what it is run for",
                occasion.word()
            );
            return self.note_hook(&hook.name, NoteLevel::Error, text);
        }
        let occasion = self.fitted(hook, occasion);
        let needs = self.durability.next();
        self.hooking.ways.insert(id.clone(), Way::new(Phase::Due(self.now()), needs));
        self.hooks.push(HookRecord { id, hook: Arc::clone(&hook.name), occasion, attempts: 0 });
        self.revision += 1;
    }

    /// What the ledger can hold of it: without a ledger nothing is safe, and what the Metadata says can be asked for.
    fn fitted(&mut self, hook: &Hook, occasion: &Occasion) -> Occasion {
        let mut fitted = occasion.clone();
        let kept: usize = self.hooks.iter().map(|record| room_for_texts(&record.occasion)).sum();
        if kept.saturating_add(room_for_texts(occasion)) > TEXTS_LIMIT
            && let Occasion::Metadata { resource, old, new, .. } = &mut fitted
        {
            (*old, *new) = (None, None);
            let text = format!(
                "too much waits for hooks to keep the Metadata of {resource} for it: it is run without; hint: ask GetStackResource"
            );
            self.note_hook(&hook.name, NoteLevel::Warn, text);
        }
        fitted
    }

    /// What tells occasions apart that have the same names.
    fn stamp_of(&self, occasion: &Occasion) -> String {
        match occasion {
            Occasion::Verdict { signal, round, .. } => {
                let active = self.rounds.iter().rfind(|active| active.round.signal == *signal && active.round.name == *round);
                active.and_then(|active| active.round.target.as_ref()).map(|target| target.stack_id.clone()).unwrap_or_default()
            }
            Occasion::Check { .. } => format!("{} {} {}", self.boot_id, self.turn.now.boot_ms, self.turn.now.wall_ms),
            Occasion::Stack { .. } | Occasion::Metadata { .. } | Occasion::Event { .. } => String::new(),
        }
    }

    /// Whether hooks may be begun now: never for a host that this may not be.
    fn may_run_hooks(&self) -> bool {
        !self.stopping && self.identity.known.is_some() && !self.identity.is_in_doubt()
    }

    /// Begins what is due.
    pub(super) fn run_hooks(&mut self) {
        if self.hooks.is_empty() || !self.may_run_hooks() {
            return;
        }
        self.conclude_failures();
        let now = self.now();
        let due: Vec<_> = self.next_hooks().filter(|(_, at)| *at <= now).map(|(record, _)| record.id.clone()).collect();
        let running = self.hooking.ways.values().filter(|way| matches!(way.phase, Phase::Running(_))).count();
        for id in due.into_iter().take(IN_FLIGHT.saturating_sub(running)) {
            self.begin_hook(&id);
        }
    }

    /// The first record of each hook, if it waits only for its time.
    fn next_hooks(&self) -> impl Iterator<Item = (&HookRecord, BootMs)> {
        let mut names = BTreeSet::new();
        self.hooks.iter().filter(move |record| names.insert(&record.hook)).filter_map(|record| {
            let way = self.hooking.ways.get(&record.id)?;
            let Phase::Due(at) = way.phase else { return None };
            let from_memory = self.durability.is_unwritable() && !self.planned_hook(&record.hook)?.at_most_once;
            (self.durability.holds(way.needs) || from_memory).then_some((record, at))
        })
    }

    fn begin_hook(&mut self, id: &str) {
        let Some(index) = self.hooks.iter().position(|record| record.id == id) else { return };
        let Some(hook) = self.hooks.get(index).and_then(|record| self.planned_hook(&record.hook)).cloned() else { return };
        let run = self.id();
        let generation = self.durability.next();
        let Some(record) = self.hooks.get_mut(index) else { return };
        let Some(way) = self.hooking.ways.get_mut(id) else { return };
        if hook.at_most_once && record.attempts == 0 {
            record.attempts = 1;
            way.needs = generation;
            return;
        }
        if !hook.at_most_once {
            record.attempts = record.attempts.saturating_add(1);
        }
        way.phase = Phase::Running(run);
        let (id, occasion, attempt) = (record.id.clone(), Box::new(record.occasion.clone()), record.attempts);
        if self.durability.is_unwritable() {
            self.note_hook(&hook.name, NoteLevel::Warn, "run although the state is not durable: after a crash it may be run again");
        }
        self.note_hook(&hook.name, NoteLevel::Info, format!("begun for {}, attempt {attempt}", occasion.word()));
        self.tell_of_hook(&hook.name, &occasion, format!("begun for {}, attempt {attempt}", occasion.word()));
        self.effects.push(Effect::RunHook { run, hook, id, occasion, attempt });
    }

    /// A hook has ended.
    pub(super) fn hook_ended(&mut self, run: u64, end: HookEnd) {
        let running = |way: &Way| matches!(way.phase, Phase::Running(of) if of == run);
        let Some(id) = self.hooking.ways.iter().find(|(_, way)| running(way)).map(|(id, _)| id.clone()) else { return };
        let Some(record) = self.hooks.iter().find(|record| record.id == id).cloned() else { return };
        let runs = self.hooking.runs.entry(Arc::clone(&record.hook)).or_default();
        *(if end.succeeded { &mut runs.0 } else { &mut runs.1 }) += 1;
        let text = clip(end.text, TEXT_LIMIT);
        let Some(hook) = self.planned_hook(&record.hook).cloned().filter(|_| !end.succeeded) else {
            return self.conclude(&id, &text, end.succeeded);
        };
        let again = !hook.at_most_once && (record.attempts <= hook.retries || self.stopping);
        let (now, random) = (self.now(), self.random());
        let Some(way) = self.hooking.ways.get_mut(&id) else { return };
        if !again {
            way.phase = Phase::Failed(text);
            return self.conclude_failures();
        }
        let delay = millis(way.schedule.next(random, None));
        way.phase = Phase::Due(now.saturating_add(delay));
        let said = format!("attempt {} failed, again in {}s: {text}", record.attempts, delay / 1000);
        self.note_hook(&hook.name, NoteLevel::Warn, &said);
        self.tell_of_hook(&hook.name, &record.occasion, said);
    }

    /// Ends records that have failed for good. Rounds that waited for one fail with it, but only when verdicts may be made.
    fn conclude_failures(&mut self) {
        let failed = |record: &HookRecord| match &self.hooking.ways.get(&record.id)?.phase {
            Phase::Failed(text) => Some((record.id.clone(), text.clone())),
            _ => None,
        };
        let failed: Vec<_> = self.hooks.iter().filter_map(failed).collect();
        for (id, text) in failed {
            let Some(record) = self.hooks.iter().find(|record| record.id == id) else { continue };
            let name = Arc::clone(&record.hook);
            let waited = self.planned_hook(&name).is_some_and(|hook| hook.wait);
            let stack = record.occasion.stack().filter(|_| waited).map(|stack| stack.stack_id.clone());
            let rounds = stack.map(|stack| self.open_on(&stack)).unwrap_or_default();
            if !rounds.is_empty() && (self.held || !self.may_run_hooks()) {
                continue;
            }
            for index in rounds {
                self.say(index, SignalStatus::Failure, format!("hook {name} failed: {text}"));
            }
            self.conclude(&id, &text, false);
        }
    }

    /// The open rounds for signals to this stack.
    fn open_on(&self, stack_id: &str) -> Vec<usize> {
        let of_stack = |active: &super::Active| active.round.target.as_ref().is_some_and(|target| target.stack_id == stack_id);
        let open = self.rounds.iter().enumerate().filter(|(_, active)| active.is_open() && of_stack(active));
        open.map(|(index, _)| index).collect()
    }

    /// A record is done with.
    fn conclude(&mut self, id: &str, text: &str, succeeded: bool) {
        let Some(record) = self.take_record(id) else { return };
        let word = record.occasion.word();
        let said = if succeeded { format!("done for {word}: {text}") } else { format!("failed for {word}: {text}") };
        self.note_hook(&record.hook, if succeeded { NoteLevel::Info } else { NoteLevel::Error }, &said);
        self.tell_of_hook(&record.hook, &record.occasion, said.clone());
        self.remember(None, format!("hook {}: {said}", record.hook));
        let ended = Ended { word, text: text.to_owned(), succeeded, at_ms: self.turn.now.wall_ms };
        self.hooking.ended.insert(record.hook, ended);
        // Checks that were held up may run, and verdicts be made.
        self.undecided = true;
    }

    fn take_record(&mut self, id: &str) -> Option<HookRecord> {
        let index = self.hooks.iter().position(|record| record.id == id)?;
        self.hooking.ways.remove(id);
        if self.hooks_done.len() >= DONE_KEPT {
            self.hooks_done.drain(..=self.hooks_done.len() - DONE_KEPT);
        }
        self.hooks_done.push(id.to_owned());
        self.durability.dirty = true;
        self.revision += 1;
        Some(self.hooks.remove(index))
    }

    fn tell_of_hook(&mut self, hook: &Name, occasion: &Occasion, text: String) {
        let stack = occasion.stack();
        let line = Line {
            at: rfc3339(self.turn.now.wall_ms),
            what: "hook".to_owned(),
            text,
            through: None,
            event: None,
            taken: None,
            stack_id: stack.map(|stack| stack.stack_id.clone()),
            status: stack.map(|stack| stack.status.clone()),
            hook: Some(hook.to_string()),
        };
        self.effects.push(Effect::Line(Box::new(line)));
    }

    /// The hook with `wait` that the checks of a new round for this stack wait for.
    pub(super) fn is_held_up(&self, stack_id: &str) -> Option<&HookRecord> {
        let waited = |record: &&HookRecord| self.planned_hook(&record.hook).is_some_and(|hook| hook.wait);
        let of_stack = |record: &&HookRecord| record.occasion.stack().is_some_and(|stack| stack.stack_id == stack_id);
        self.hooks.iter().filter(of_stack).find(waited)
    }

    /// The stacks whose open rounds wait for a hook.
    pub(super) fn held_up(&self) -> BTreeSet<&str> {
        let stacks = self.hooks.iter().filter_map(|record| Some(record.occasion.stack()?.stack_id.as_str()));
        stacks.filter(|stack| self.is_held_up(stack).is_some()).collect()
    }

    /// When time alone makes a hook begin.
    pub(super) fn hook_wake(&self) -> Option<BootMs> {
        // What is due already waits for another to end, not for time.
        let now = self.now();
        self.next_hooks().map(|(_, at)| at).filter(|at| self.may_run_hooks() && *at > now).min()
    }

    /// The hooks of the plan, for people.
    pub(super) fn hook_views(&self) -> Vec<HookView> {
        self.plan.hooks.iter().map(|hook| self.hook_view(hook)).collect()
    }

    fn hook_view(&self, hook: &Hook) -> HookView {
        let queued = || self.hooks.iter().filter(|record| record.hook == hook.name);
        let runs = |record: &HookRecord| self.hooking.ways.get(&record.id).is_some_and(|way| matches!(way.phase, Phase::Running(_)));
        let state = match queued().next() {
            None => "idle",
            Some(_) if queued().any(runs) => "running",
            Some(_) => "waiting",
        };
        let ended = self.hooking.ended.get(&hook.name);
        let (succeeded_runs, failed_runs) = self.hooking.runs.get(&hook.name).copied().unwrap_or_default();
        HookView {
            name: hook.name.to_string(),
            state: state.to_owned(),
            queued: queued().count(),
            last: ended.map(|ended| ended.word.clone()),
            ended: ended.map(|ended| ended.text.clone()),
            succeeded: ended.map(|ended| ended.succeeded),
            ended_at: ended.map(|ended| rfc3339(ended.at_ms)),
            succeeded_runs,
            failed_runs,
        }
    }
}

/// Bytes of the ledger that the texts of metadata in it take.
fn room_for_texts(occasion: &Occasion) -> usize {
    let Occasion::Metadata { old, new, .. } = occasion else { return 0 };
    [old, new].into_iter().flatten().map(|text| MetadataRecord::room_for(text)).sum()
}
