//! The core: one value, owned by one task, that decides everything. `step(turn, input) -> effects`; no I/O, no clock, no lock, no await.
//!
//! ```text
//! due -> Probe            Observed -> check state -> verdict        verdict + round + deadline -> intent (ids fixed) -> Record
//! Recorded -> Look, Send  Answered -> receipt | again at t | settled -> Record
//! ```
//!
//! Invariants, tested in `tests.rs` against a model of ROS under random faults, crashes and reboots:
//! - no `Send` without an earlier `Recorded` of the same intent, unless the ledger cannot be written and the id can be derived again;
//! - an intent is never changed, a settled round is never sent for;
//! - SUCCESS only for checks seen good for `min_healthy_time` within the round;
//! - with a valid plan every round is decided by its deadline, unless held, stopped, or the identity of the host is unknown.
//!
//! Rooms: `identity` finds out who this host is, `checks` schedules runs, `composites` judges what is made of other checks, `handles` knows whom a handle's URL tells, `rounds` opens rounds and makes intents, `report` says what a person needs before a FAILURE, `delivery` gets
//! intents acknowledged, `lifecycle` knows the hooks of scaling groups, `watch` follows the stack, `updates` knows which operation of it a round belongs to, `hooks` orders operators' commands, `command` serves the operator, `status` explains it all. Beside the main way `template` asks what the stack's template says, and `confirmation` looks what became of an acknowledged signal; `yielding` holds such questions back while ROS throttles.

mod checks;
mod command;
mod composites;
mod confirmation;
mod delivery;
mod durability;
mod handles;
mod hooks;
mod identity;
mod lifecycle;
mod report;
mod rounds;
pub mod status;
mod template;
#[cfg(test)]
mod tests;
mod turn;
mod updates;
mod watch;
mod yielding;

pub use command::{Command, Denied, Done};
pub use handles::Places;
pub use report::Draft;
pub(crate) use rounds::MANUAL;
pub use turn::{About, Effect, Identity, Input, Note, NoteLevel, Turn};

use crate::clock::{BootMs, Stamp, millis};
use crate::hooks::HookRecord;
use crate::plan::{Name, Plan};
use crate::retry::Random;
use crate::signal::{Boot, HistoryEntry, LedgerDocument, Settlement, StackRecord};
use checks::CheckRun;
use durability::Durability;
use hooks::Hooking;
use identity::Identification;
use rounds::Active;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use template::Asking;
use watch::Watching;
use yielding::Yielding;

/// What to do about a signal without a target.
const UNRESOLVED: &str = "stack id or region unknown: the metadata service does not show them; hint: set stack_id and region under [stack]";

/// What comes so much too late was slept through: the agent was stopped, or the host suspended.
const OVERSLEPT_MS: BootMs = 5_000;

/// How the entry of the history begins that tells of a reboot.
const BOOTED_AGAIN: &str = "the host was booted again";

/// The core. See the module's comment.
pub struct Core {
    plan: Arc<Plan>,
    boot_id: Arc<str>,
    /// Which boot that is, as the ledger counts.
    boots: u32,
    turn: Turn,
    luck: Random,
    /// Since when there is a plan for this host: rounds that had to wait for its identity began then.
    planned_since: Stamp,
    identity: Identification,
    /// What the URLs of handles tell.
    handles: Places,
    ledger_owner: Option<String>,
    checks: BTreeMap<Name, CheckRun>,
    /// Checks of each kind by when they are due, as [`CheckRun::due`] says.
    agenda: BTreeMap<&'static str, BTreeSet<(BootMs, Name)>>,
    /// Checks and their kinds by their run in flight, as [`CheckRun::running`] says.
    in_flight: BTreeMap<u64, (Name, &'static str)>,
    /// How many of each kind are in flight.
    taken: BTreeMap<&'static str, usize>,
    /// For each check of the plan the signals for which it runs.
    serving: BTreeMap<Name, Vec<Name>>,
    rounds: Vec<Active>,
    /// A check is in another state than when the consequences were last drawn.
    states_changed: bool,
    /// Something that a verdict depends on is another than when it was last asked for; time has its wakes.
    undecided: bool,
    /// A verdict waits for runs that complete a healthy window: every observation counts.
    confirming: bool,
    /// Changes of what the status says, except for time that passes.
    revision: u64,
    /// Checks of rounds that were opened: they go back to `initial`.
    start_over: BTreeSet<Name>,
    history: Vec<HistoryEntry>,
    /// The stacks that are followed, as the ledger holds them.
    stacks: Vec<StackRecord>,
    /// Hooks that are to be run, oldest first.
    hooks: Vec<HookRecord>,
    /// Ids of those that have ended last.
    hooks_done: Vec<String>,
    hooking: Hooking,
    held: bool,
    stopping: bool,
    misconfigured: Option<String>,
    durability: Durability,
    looks_denied_until: Option<BootMs>,
    /// Somebody was told that looks are not permitted.
    look_denied_told: bool,
    watching: Watching,
    asking: Asking,
    yielding: Yielding,
    next_id: u64,
    effects: Vec<Effect>,
}

fn luck(turn: Turn) -> Random {
    let (high, low) = uuid::Uuid::from_u128(turn.dice).as_u64_pair();
    Random::new(high ^ low.rotate_left(32))
}

impl Core {
    /// A core for `plan` that goes on from `document`, in the boot `boot_id`.
    pub fn new(plan: Arc<Plan>, boot_id: Arc<str>, document: LedgerDocument, turn: Turn) -> Self {
        let mut core = Self {
            planned_since: turn.now.stamp(&boot_id),
            plan,
            boot_id,
            boots: 1,
            turn,
            luck: luck(turn),
            identity: Identification::new(turn.now.boot_ms),
            handles: Places::new(),
            ledger_owner: document.instance_id.clone(),
            checks: BTreeMap::new(),
            agenda: BTreeMap::new(),
            in_flight: BTreeMap::new(),
            taken: BTreeMap::new(),
            serving: BTreeMap::new(),
            rounds: Vec::new(),
            states_changed: true,
            undecided: true,
            confirming: false,
            revision: 0,
            start_over: BTreeSet::new(),
            history: document.history,
            stacks: document.stacks,
            hooks: document.hooks,
            hooks_done: document.hooks_done,
            hooking: Hooking::default(),
            held: document.held,
            stopping: false,
            misconfigured: None,
            durability: Durability::loaded(document.generation),
            looks_denied_until: None,
            look_denied_told: false,
            watching: Watching::default(),
            asking: Asking::default(),
            yielding: Yielding::default(),
            next_id: 0,
            effects: Vec::new(),
        };
        core.count_boot(document.boot);
        // An intent without a target cannot have been written by this program.
        let sound = document.rounds.into_iter().filter(|round| round.intent.is_none() || round.target.is_some());
        core.rounds = sound.map(|round| core.resume(round)).collect();
        core.open_rounds();
        core.extend_overdue(|margin| margin / 2);
        core.fit_checks();
        core.resume_hooks();
        core
    }

    /// Takes one input at one moment and says what is to be done about it, in order.
    pub fn step(&mut self, turn: Turn, input: Input) -> Vec<Effect> {
        let overslept = self.has_overslept(turn.now.boot_ms);
        let before = std::mem::replace(&mut self.turn, turn).now;
        self.luck = luck(turn);
        self.notice_jump(before);
        if overslept {
            self.overslept();
        }
        // Of observations `see` knows whether they matter; an event, of which there may be thousands in a second, is no more than a hint to look.
        let is_news = !matches!(input, Input::Tick | Input::Observed { .. } | Input::Changed { .. } | Input::Arrived { .. });
        if is_news {
            self.undecided = true;
            self.revision += 1;
        }
        match input {
            Input::Tick => {}
            Input::Observed { run, observation } => self.observed(run, observation),
            Input::Changed { check } => self.changed(&check),
            Input::Handles(places) => self.handles_read(places),
            Input::Identified(answer) => self.identified(answer),
            Input::Recorded { generation } => self.recorded(generation),
            Input::NotRecorded { error } => self.not_recorded(error),
            Input::Looked { look, result, shown } => self.looked(look, result, shown),
            Input::Reported { report, text } => self.reported(report, text),
            Input::Resumed => self.doubt("the host was suspended"),
            Input::Answered { send, answer } => self.answered(send, answer),
            Input::Learned { learn, lesson } => self.lesson(learn, lesson),
            Input::Sighted { confirm, sighting } => self.sighted(confirm, sighting),
            Input::Beaten { beat, result } => self.beaten(beat, result),
            Input::Watched { watch, sight } => self.watched(watch, sight),
            Input::Arrived { arrival, what } => self.arrived(arrival, &what),
            Input::HookEnded { run, end } => self.hook_ended(run, end),
            Input::Replan(plan) => self.replan(plan),
            Input::Misconfigured(error) => self.misconfigured = Some(error),
            Input::Command { id, command } => {
                let reply = self.command(command);
                self.effects.push(Effect::Reply { id, reply });
            }
            Input::Stop => self.stop(),
        }
        self.identify();
        self.expire_ttls();
        self.settle_checks();
        self.decide();
        self.deliver();
        self.beat();
        self.run_hooks();
        self.run_checks();
        if is_news {
            self.fit_watch();
        }
        self.ask_aside();
        self.record();
        std::mem::take(&mut self.effects)
    }

    /// Whether `now` is much later than something had to be done, or a run in flight had to end.
    fn has_overslept(&self, now: BootMs) -> bool {
        if now.saturating_sub(self.now()) <= OVERSLEPT_MS {
            return false;
        }
        let in_flight = self.in_flight.values().filter_map(|(name, _)| self.checks.get(name));
        let ends = in_flight.map(|run| self.now().saturating_add(millis(run.check.longest_run())));
        self.wake().into_iter().chain(ends).min().is_some_and(|due| now.saturating_sub(due) > OVERSLEPT_MS)
    }

    /// Nobody has looked for a while, nor decided when it was time: what was seen before proves nothing about now.
    fn overslept(&mut self) {
        self.look_anew();
        self.undecided = true;
        self.extend_overdue(|margin| margin / 2);
    }

    /// When time alone will make the next step do something; none: never.
    pub fn wake(&self) -> Option<BootMs> {
        let identity = self.wants_identity().then_some(self.identity.due);
        let checks = self.check_wake();
        let rounds = self.rounds.iter().filter_map(|active| self.round_wake(active));
        identity
            .into_iter()
            .chain(checks)
            .chain(rounds)
            .chain(self.beat_wake())
            .chain(self.watch_wake())
            .chain(self.durability.wake())
            .chain(self.hook_wake())
            .min()
    }

    /// Another number means that [`Core::summary`] may say something else, but for time that passed.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The running plan.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    fn now(&self) -> BootMs {
        self.turn.now.boot_ms
    }

    fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// The next random number of this turn.
    fn random(&mut self) -> u64 {
        self.luck.draw()
    }

    /// A random length in `0..=up_to` milliseconds.
    fn random_ms(&mut self, up_to: BootMs) -> BootMs {
        let span = u64::try_from(up_to).unwrap_or(0).saturating_add(1);
        i64::try_from(self.random() % span).unwrap_or(0)
    }

    fn note(&mut self, level: NoteLevel, text: impl Into<String>) {
        self.note_about(About::default(), level, text.into());
    }

    /// A note about a signal, with what is known of its newest round.
    fn note_signal(&mut self, name: &Name, level: NoteLevel, text: impl fmt::Display) {
        let round = self.rounds.iter().rev().map(|active| &active.round).find(|round| round.signal == *name);
        let about = About {
            signal: Some(Arc::clone(name)),
            stack_id: round.and_then(|round| round.target.as_ref()).map(|target| target.stack_id.clone()),
            unique_id: round.and_then(|round| round.intent.as_ref()).map(|intent| intent.unique_id.as_str().to_owned()),
            request_id: round.and_then(|round| match &round.settled {
                Some(Settlement::Acknowledged { request_id, .. }) => Some(request_id.clone()),
                _ => None,
            }),
            ..About::default()
        };
        self.note_about(about, level, format!("signal {name}: {text}"));
    }

    fn note_check(&mut self, name: &Name, level: NoteLevel, text: impl fmt::Display) {
        self.note_about(About { check: Some(Arc::clone(name)), ..About::default() }, level, format!("check {name}: {text}"));
    }

    fn note_hook(&mut self, name: &Name, level: NoteLevel, text: impl fmt::Display) {
        self.note_about(About { hook: Some(Arc::clone(name)), ..About::default() }, level, format!("hook {name}: {text}"));
    }

    fn note_stack(&mut self, stack_id: &str, level: NoteLevel, text: impl Into<String>) {
        self.note_about(About { stack_id: Some(stack_id.to_owned()), ..About::default() }, level, text.into());
    }

    fn note_about(&mut self, about: About, level: NoteLevel, text: String) {
        self.effects.push(Effect::Note(Note { level, text, about }));
    }

    fn remember(&mut self, signal: Option<&Name>, what: impl Into<String>) {
        let what = crate::check::clip(what.into(), 1024);
        let entry = HistoryEntry { at_ms: self.turn.now.wall_ms, signal: signal.cloned(), what };
        crate::signal::remember(&mut self.history, entry);
        self.durability.dirty = true;
    }

    /// Remembers that the host was booted again since the ledger was written. Boots with nothing between them are one entry: a host that
    /// is booted often does not forget for that what it has signalled.
    fn count_boot(&mut self, written_in: Option<Boot>) {
        let Some(last) = written_in else { return };
        self.boots = last.number;
        if last.id == self.boot_id {
            return;
        }
        self.boots = last.number.saturating_add(1);
        self.history.pop_if(|entry| entry.what.starts_with(BOOTED_AGAIN));
        self.remember(None, format!("{BOOTED_AGAIN}, boot {}", self.boots));
    }

    /// Makes rounds and checks fit the plan, as far as this host is known.
    fn fit_plan(&mut self) {
        self.open_rounds();
        self.resolve_targets();
        self.fit_checks();
    }

    /// Signals whose stack or region is not known although this host is.
    fn unresolved(&self) -> Vec<Name> {
        let open = self.rounds.iter().filter(|active| active.is_open() && active.round.target.is_none());
        open.map(|active| Arc::clone(&active.round.signal)).collect()
    }

    fn replan(&mut self, plan: Arc<Plan>) {
        let instance_changed = plan.instance != self.plan.instance;
        if instance_changed {
            self.identity.known = None;
        }
        if instance_changed || self.plan.signals.is_empty() {
            self.planned_since = self.turn.now.stamp(&self.boot_id);
        }
        self.plan = plan;
        self.misconfigured = None;
        self.identity.due = self.now();
        self.fit_plan();
        self.fit_hooks();
        self.learn_again();
        self.confirm_again();
        self.note(NoteLevel::Info, format!("running {} checks for {} signals", self.plan.checks.len(), self.plan.signals.len()));
    }

    fn stop(&mut self) {
        self.stopping = true;
        self.cancel_runs();
        self.hasten();
    }

    fn record(&mut self) {
        if !self.durability.take_turn(self.now()) {
            return;
        }
        let document = LedgerDocument {
            format: LedgerDocument::FORMAT,
            generation: self.durability.generation,
            instance_id: self.ledger_owner.clone(),
            boot: Some(Boot { id: Arc::clone(&self.boot_id), number: self.boots }),
            held: self.held,
            rounds: self.rounds.iter().map(|active| active.round.clone()).collect(),
            history: self.history.clone(),
            stacks: self.stacks.clone(),
            hooks: self.hooks.clone(),
            hooks_done: self.hooks_done.clone(),
        };
        self.effects.push(Effect::Record(Box::new(document)));
    }
}
