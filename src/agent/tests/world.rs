//! A world for the core: virtual time, a disk that forgets what was not synced, checks with a truth of their own, and a model of ROS
//! that counts effective signals. Everything the core asks for is done here, with faults, and everything it does is judged.

mod asides;
mod judge;
mod life;

use super::super::*;
use crate::check::{Health, Observation};
use crate::clock::Moment;
use crate::plan::{OnUnwritable, UniqueIdStrategy};
use crate::signal::{Answer, Class, Refusal, SignalRequest, SignalStatus, Target, UniqueId};
use crate::stack::Look;
pub(super) use asides::Teaching;
use asides::names;
pub(super) use life::{Act, Life, Moves};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What may happen to the world, in order, each after some time.
#[derive(Clone, Debug)]
pub(super) enum Happening {
    /// Nothing but time.
    Wait,
    /// The agent dies and is started again.
    Crash,
    /// The host reboots; the wall clock of the new boot is off by this many seconds.
    Reboot(i64),
    /// The ledger is gone, then the agent starts again.
    LoseLedger,
    /// The disk refuses, hangs, or works.
    Disk(Disk),
    /// ROS behaves so from now on.
    Ros(Weather),
    /// What GetStack tells from now on.
    Looks(Looks),
    /// The check with this number is healthy or not from now on.
    Truth(usize, bool),
    /// The failures of the check with this number are terminal or not from now on.
    Terminal(usize, bool),
    /// The system clock is set by this many seconds.
    WallJump(i64),
    /// The metadata service works or not.
    Metadata(bool),
    /// The operator pauses or goes on.
    Hold(bool),
    /// The same plan is loaded again.
    Reload,
    /// The plan is loaded for the other stack (1), or for the first one again (0).
    Retarget(usize),
    /// The operator says it himself.
    ByHand(SignalStatus),
    /// What GetTemplate tells from now on.
    Template(Teaching),
    /// The operator cancels it.
    Cancel,
    /// The agent is stopped in good order and started again.
    Stop,
    /// Reports are completed from now on, or never come.
    Reports(bool),
    /// The machine goes on as a copy of itself, with another instance id, and its clock is set by this many seconds.
    Copied(i64),
    /// Something is done with the stack, where it has a life.
    Stack(Act),
    /// Events come, so many, that say this of the stack.
    Events(u8),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Disk {
    Works,
    Refuses,
    Hangs,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Weather {
    Fine,
    Refused,
    ResetBefore,
    ResetAfter,
    Throttled,
    ServerError,
    TooEarly,
    Permission,
    BadClock,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Looks {
    Answered,
    Denied,
    Failing,
    Busy,
}

/// Undocumented behaviour of ROS.
#[derive(Clone, Copy, Debug)]
pub(super) struct Switches {
    pub(super) tokens_replay_errors: bool,
    pub(super) after_completion: AfterCompletion,
}

/// What becomes of a signal when the condition has what it waited for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum AfterCompletion {
    Stored,
    Ignored,
    Refused,
}

#[derive(Clone, Debug)]
enum Flight {
    Observe {
        run: u64,
        check: usize,
    },
    Identify,
    Recorded {
        generation: u64,
        document: Box<LedgerDocument>,
    },
    NotRecorded,
    Looked {
        look: u64,
        target: Target,
        since: bool,
    },
    Answered {
        send: u64,
        answer: Answer,
    },
    Learned {
        learn: u64,
    },
    Sighted {
        confirm: u64,
        target: Target,
        unique_id: UniqueId,
    },
    Reported {
        report: u64,
    },
    Watched {
        watch: u64,
        target: Target,
        unless: Option<crate::stack::sight::Mark>,
        resources: Vec<String>,
    },
    /// The stack goes on.
    Lives,
    HookEnded {
        run: u64,
        index: usize,
    },
}

/// A run of an operator's hook.
#[derive(Clone, Debug)]
pub(super) struct HookRun {
    pub(super) hook: String,
    pub(super) id: String,
    pub(super) word: String,
    pub(super) attempt: u32,
    /// It began while the agent was stopping.
    pub(super) stopping: bool,
    pub(super) at: BootMs,
    pub(super) until: BootMs,
    /// Which run of the agent began it.
    pub(super) life: u32,
    pub(super) ended: bool,
    /// That it has ended is durable.
    pub(super) recorded: bool,
}

pub(super) struct World {
    pub(super) core: Core,
    plan: Arc<Plan>,
    /// The same for another stack.
    other: Arc<Plan>,
    retargeted: usize,
    pub(super) now: Moment,
    boot: u32,
    dice: u128,
    flights: Vec<(BootMs, u64, Flight)>,
    order: u64,
    synced: LedgerDocument,
    disk: Disk,
    mailbox: Option<Box<LedgerDocument>>,
    writing: bool,
    weather: Weather,
    looks: Looks,
    pub(super) teaching: Teaching,
    metadata: bool,
    truth: Vec<bool>,
    terminal: Vec<bool>,
    // The model of ROS.
    switches: Switches,
    tokens: HashMap<String, Answer>,
    received: BTreeMap<String, Vec<(String, SignalStatus)>>,
    // The judge's notes.
    seen: HashMap<String, Vec<(BootMs, bool)>>,
    pub(super) intents: BTreeMap<String, BTreeSet<(String, &'static str)>>,
    pub(super) ledger_lost: bool,
    pub(super) ever_held: bool,
    pub(super) ever_off: bool,
    ever_cancelled: bool,
    first_refused: bool,
    same_ms: (BootMs, u32),
    pub(super) notes: Vec<String>,
    /// When the template was asked for, and when it was looked after the acknowledgement.
    pub(super) asked: (Vec<BootMs>, Vec<BootMs>),
    pub(super) reports: Vec<String>,
    reporting: bool,
    pub(super) sent: Vec<SignalRequest>,
    /// Whom the metadata service names.
    pub(super) instance: String,
    /// And which stack, once its tag is shown.
    pub(super) stack_id: Option<String>,
    copies: u32,
    pub(super) hook_runs: Vec<HookRun>,
    pub(super) hooks_take: BootMs,
    pub(super) hooks_fail: bool,
    /// Ids that the disk has held.
    pub(super) hooks_durable: BTreeSet<String>,
    /// Which run of the agent this is.
    pub(super) lives: u32,
    /// Intents must be made under the id that the metadata service tells.
    pub(super) judging_identity: bool,
    /// The stack, where more becomes of it than that it waits for one signal.
    pub(super) life: Option<Life>,
    /// When the stack was looked at to follow it.
    pub(super) watched: Vec<(String, BootMs)>,
    /// What those who follow events were told.
    pub(super) lines: Vec<crate::events::Line>,
    /// What was made of events.
    pub(super) taken: Vec<crate::events::Taken>,
    arrivals: u64,
}

fn key(target: &Target) -> String {
    format!("{}/{}", target.stack_id, target.resource)
}

fn refusal(class: Class, definite: bool, code: &str) -> Answer {
    Answer::Refused(Refusal {
        class,
        definite,
        code: (!code.is_empty()).then(|| code.to_owned()),
        message: format!("{class:?} {code}"),
        request_id: None,
        retry_after: None,
        hint: None,
    })
}

const BY_HAND: &str = "by hand";
const WALL: i64 = 1_790_000_000_000;
pub(super) const INSTANCE: &str = "i-bp1a2b3c4d5e6f7g8h9i";

impl World {
    pub(super) fn new(plan: Plan, switches: Switches, seed: u64) -> Self {
        let mut other = plan.clone();
        for signal in &mut other.signals {
            let mut changed = (**signal).clone();
            changed.stack_id = Some("ffffffff-3b0f-4f5f-b4ca-a14bf6911234".to_owned());
            *signal = Arc::new(changed);
        }
        let (plan, other) = (Arc::new(plan), Arc::new(other));
        let now = Moment { boot_ms: 20_000, wall_ms: WALL };
        let turn = Turn { now, dice: u128::from(seed) };
        let checks = plan.checks.len();
        let mut world = Self {
            core: Core::new(Arc::clone(&plan), Arc::from("boot-0"), LedgerDocument::empty(), turn),
            plan,
            other,
            retargeted: 0,
            now,
            boot: 0,
            dice: u128::from(seed),
            flights: Vec::new(),
            order: 0,
            synced: LedgerDocument::empty(),
            disk: Disk::Works,
            mailbox: None,
            writing: false,
            weather: Weather::Fine,
            looks: Looks::Answered,
            teaching: Teaching::Denied,
            metadata: true,
            truth: vec![false; checks],
            terminal: vec![false; checks],
            switches,
            tokens: HashMap::new(),
            received: BTreeMap::new(),
            seen: HashMap::new(),
            intents: BTreeMap::new(),
            ledger_lost: false,
            ever_held: false,
            ever_off: false,
            ever_cancelled: false,
            first_refused: false,
            same_ms: (0, 0),
            notes: Vec::new(),
            asked: Default::default(),
            reports: Vec::new(),
            reporting: true,
            sent: Vec::new(),
            instance: INSTANCE.to_owned(),
            stack_id: None,
            copies: 0,
            hook_runs: Vec::new(),
            hooks_take: 2_000,
            hooks_fail: false,
            hooks_durable: BTreeSet::new(),
            lives: 0,
            judging_identity: false,
            life: None,
            watched: Vec::new(),
            lines: Vec::new(),
            taken: Vec::new(),
            arrivals: 0,
        };
        world.step(Input::Tick);
        world
    }

    fn turn(&mut self) -> Turn {
        self.dice = self.dice.wrapping_mul(0xda94_2042_e4dd_58b5_0000_0000_0000_0001).wrapping_add(0x9e37_79b9_7f4a_7c15);
        Turn { now: self.now, dice: self.dice ^ (self.dice >> 64) }
    }

    fn chance(&mut self, below: u64) -> u64 {
        let turn = self.turn();
        u64::try_from((turn.dice >> 16) & u128::from(u32::MAX)).unwrap() % below
    }

    pub(super) fn happen(&mut self, happening: &Happening) {
        match happening {
            Happening::Wait => {}
            Happening::Crash => self.restart(),
            Happening::Reboot(off) => {
                self.boot += 1;
                let before = self.now.boot_ms;
                for (at, _, _) in &mut self.flights {
                    *at += 5_000 - before;
                }
                self.now = Moment { boot_ms: 5_000, wall_ms: self.now.wall_ms + 30_000 + off * 1000 };
                self.seen.clear();
                self.restart();
            }
            Happening::LoseLedger => {
                self.ledger_lost = true;
                self.synced = LedgerDocument::empty();
                self.restart();
            }
            Happening::Disk(disk) => self.set_disk(*disk),
            Happening::Ros(weather) => self.weather = *weather,
            Happening::Looks(permitted) => self.looks = *permitted,
            Happening::Truth(check, healthy) => {
                if let Some(truth) = self.truth.get_mut(*check) {
                    *truth = *healthy;
                }
                // Some are told of it, with others it is found out by polling.
                if let Some(check) = self.plan.checks.get(*check).map(|check| Arc::clone(&check.name))
                    && self.chance(2) == 0
                {
                    self.step(Input::Changed { check });
                }
            }
            Happening::Terminal(check, will_never_pass) => {
                if let Some(terminal) = self.terminal.get_mut(*check) {
                    *terminal = *will_never_pass;
                }
            }
            Happening::WallJump(seconds) => self.now.wall_ms += seconds * 1000,
            Happening::Metadata(works) => self.metadata = *works,
            Happening::Reports(come) => self.reporting = *come,
            Happening::Copied(seconds) => {
                self.copies += 1;
                self.instance = format!("i-copy{}", self.copies);
                self.now.wall_ms += seconds * 1000;
            }
            Happening::Hold(held) => {
                self.ever_held |= held;
                self.step(Input::Command { id: 1, command: if *held { Command::Hold } else { Command::Resume } });
            }
            Happening::Reload => self.step(Input::Replan(Arc::clone(&self.plan))),
            Happening::Retarget(to) => {
                if self.retargeted != *to {
                    std::mem::swap(&mut self.plan, &mut self.other);
                    self.retargeted = *to;
                    // A new round proves nothing by what was seen before it; while this host is unknown there is none.
                    if self.core.identity.known.is_some() {
                        self.seen.clear();
                    }
                }
                self.step(Input::Replan(Arc::clone(&self.plan)));
            }
            Happening::ByHand(status) => {
                let command = Command::Signal { resource: "WebReady".into(), status: *status, reason: BY_HAND.into() };
                self.step(Input::Command { id: 3, command });
            }
            Happening::Stack(act) => self.act(*act),
            Happening::Events(count) => self.events(*count),
            Happening::Template(teaching) => self.teaching = *teaching,
            Happening::Cancel => {
                self.ever_cancelled = true;
                self.step(Input::Command { id: 4, command: Command::Cancel { signal: "web".into() } });
            }
            Happening::Stop => {
                self.step(Input::Stop);
                self.pass(200);
                self.restart();
            }
        }
    }

    /// A write that hung goes on when the disk does.
    fn set_disk(&mut self, disk: Disk) {
        self.disk = disk;
        self.write();
    }

    fn write(&mut self) {
        if self.writing || self.disk == Disk::Hangs {
            return;
        }
        let Some(document) = self.mailbox.take() else { return };
        assert!(document.generation > self.synced.generation, "the generation grows");
        self.writing = true;
        let took = 1 + self.chance(40) as BootMs;
        match self.disk {
            Disk::Works => self.fly(took, Flight::Recorded { generation: document.generation, document }),
            Disk::Refuses | Disk::Hangs => self.fly(took, Flight::NotRecorded),
        }
    }

    fn restart(&mut self) {
        // What was sent from memory is forgotten with it: as good as a lost ledger.
        self.ledger_lost |= self.core.durability.is_unwritable();
        self.mailbox = None;
        self.writing = false;
        self.ever_off = true;
        self.flights.retain(|(_, _, flight)| matches!(flight, Flight::Lives));
        self.watched.clear();
        self.forget_what_was_shown();
        self.lives += 1;
        // Observations of an earlier run of the agent prove nothing to this one.
        self.seen.clear();
        let turn = self.turn();
        let boot: Arc<str> = Arc::from(format!("boot-{}", self.boot));
        self.core = Core::new(Arc::clone(&self.plan), boot, self.synced.clone(), turn);
        self.step(Input::Tick);
    }

    /// Lets `ms` pass, with everything that comes due.
    pub(super) fn pass(&mut self, ms: BootMs) {
        let end = self.now.boot_ms + ms;
        loop {
            let flight = self.flights.iter().map(|(at, order, _)| (*at, *order)).min();
            let wake = self.core.wake().map(|at| at.max(self.now.boot_ms));
            let next = flight.map(|(at, _)| at).into_iter().chain(wake).min();
            let Some(next) = next.filter(|next| *next <= end) else { break };
            self.advance_to(next);
            match flight.filter(|(at, _)| *at <= next) {
                Some(key) => {
                    let index = self.flights.iter().position(|(at, order, _)| (*at, *order) == key).unwrap();
                    let (_, _, flight) = self.flights.swap_remove(index);
                    self.land(flight);
                }
                None => self.step(Input::Tick),
            }
        }
        self.advance_to(end);
    }

    fn advance_to(&mut self, boot_ms: BootMs) {
        let passed = (boot_ms - self.now.boot_ms).max(0);
        self.now = Moment { boot_ms: self.now.boot_ms + passed, wall_ms: self.now.wall_ms + passed };
    }

    fn land(&mut self, flight: Flight) {
        match flight {
            Flight::Observe { run, check } => {
                let healthy = self.truth[check];
                let terminal = self.terminal[check];
                let mut observation = Observation::new(if healthy { Health::Passing } else { Health::Critical }, "seen");
                observation.terminal = terminal && !healthy;
                let name = self.plan.checks[check].name.to_string();
                self.seen.entry(name).or_default().push((self.now.boot_ms, healthy));
                self.step(Input::Observed { run, observation });
            }
            Flight::Identify => {
                let region = Some("cn-hangzhou".to_owned());
                let known = Identity { instance_id: self.instance.clone(), region, stack_id: self.stack_id.clone(), names: names() };
                let answer = if self.metadata { Ok(known) } else { Err("the metadata service does not answer".to_owned()) };
                self.step(Input::Identified(answer));
            }
            Flight::Recorded { generation, document } => {
                self.synced = *document;
                self.hooks_durable.extend(self.synced.hooks.iter().map(|record| record.id.clone()));
                for run in &mut self.hook_runs {
                    run.recorded |= run.life == self.lives && run.ended && self.synced.hooks_done.contains(&run.id);
                }
                self.writing = false;
                self.write();
                self.step(Input::Recorded { generation });
            }
            Flight::NotRecorded => {
                self.writing = false;
                self.write();
                self.step(Input::NotRecorded { error: "no space left on device".to_owned() });
            }
            Flight::Looked { look, target, since } if self.life.is_some() => {
                let (result, shown) = (self.looked_at_life(&target, since), self.shown_life(&target));
                self.step(Input::Looked { look, result, shown });
            }
            Flight::Looked { look, target, .. } => {
                let completed = self.received.get(&key(&target)).is_some_and(|signals| !signals.is_empty());
                let result = match self.looks {
                    Looks::Denied => Look::Denied("Forbidden.RAM".to_owned()),
                    Looks::Failing => Look::Failed { why: "timed out".to_owned(), class: Class::Transient, retry_after: None },
                    Looks::Busy => Look::NotNow("the stack is CHECK_IN_PROGRESS".to_owned()),
                    Looks::Answered if completed => Look::NobodyWaits("the stack is CREATE_COMPLETE".to_owned()),
                    Looks::Answered => Look::Waiting,
                };
                self.step(Input::Looked { look, result, shown: None });
            }
            Flight::Watched { watch, target, unless, resources } => {
                let sight = self.sight(&target, unless.as_ref(), &resources);
                self.step(Input::Watched { watch, sight });
            }
            Flight::Lives => self.live(),
            Flight::HookEnded { run, index } => {
                self.hook_runs[index].ended = true;
                let succeeded = !self.hooks_fail;
                let text = if succeeded { "exit status 0" } else { "exit status 1" };
                let end = crate::hooks::HookEnd { succeeded, text: text.to_owned(), output: String::new() };
                self.step(Input::HookEnded { run, end });
            }
            Flight::Reported { report } => self.step(Input::Reported { report, text: Some(Arc::from("report")) }),
            Flight::Answered { send, answer } => self.step(Input::Answered { send, answer }),
            Flight::Learned { learn } => {
                let lesson = self.lesson();
                self.step(Input::Learned { learn, lesson });
            }
            Flight::Sighted { confirm, target, unique_id } => {
                let sighting = self.sighting(&target, &unique_id);
                self.judge_aside(Input::Sighted { confirm, sighting });
            }
        }
    }

    fn fly(&mut self, after: BootMs, flight: Flight) {
        self.order += 1;
        self.flights.push((self.now.boot_ms + after, self.order, flight));
    }

    pub(super) fn step(&mut self, input: Input) {
        if self.same_ms.0 == self.now.boot_ms {
            self.same_ms.1 += 1;
            assert!(self.same_ms.1 < 400, "the core spins at {} ms: {:?}", self.now.boot_ms, self.core.summary());
        } else {
            self.same_ms = (self.now.boot_ms, 0);
        }
        let turn = self.turn();
        let effects = self.core.step(turn, input);
        for effect in effects {
            self.perform(effect);
        }
        if self.core.identity.known.is_some() {
            let rounds = self.plan.signals.iter().all(|signal| self.core.current(signal).is_some());
            assert!(rounds, "a signal of the plan has no round");
        }
        self.judge_intents();
        self.judge_deadlines();
        self.judge_agenda();
        if !self.core.stopping {
            self.judge_composites();
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Identify => self.fly(20, Flight::Identify),
            Effect::Probe { run, check, .. } => {
                let index = self.plan.checks.iter().position(|known| known.name == check.name).unwrap();
                let took = 5 + self.chance(300) as BootMs;
                self.fly(took, Flight::Observe { run, check: index });
            }
            Effect::Cancel { run } => self.flights.retain(|(_, _, flight)| !matches!(flight, Flight::Observe { run: r, .. } if *r == run)),
            Effect::Record(document) => {
                // One writer, a mailbox of one: the newest document wins.
                self.mailbox = Some(document);
                self.write();
            }
            // A ledger of nobody from an earlier boot could come from an image; it holds no intent.
            Effect::SetAside { owner } => assert!(owner == "unknown" || self.copies > 0, "set aside, but this is the same instance"),
            Effect::Look { look, target, since, .. } => self.fly(30, Flight::Looked { look, target, since }),
            Effect::Watch { watch, target, unless, resources } => {
                self.judge_watch(&target);
                let took = 20 + self.chance(2_000) as BootMs;
                self.fly(took, Flight::Watched { watch, target, unless, resources });
            }
            Effect::Taken { taken, .. } => self.taken.push(taken),
            Effect::Line(line) => self.lines.push(*line),
            Effect::RunHook { run, hook, id, occasion, attempt } => {
                let durable = self.synced.hooks.iter().any(|record| record.id == id);
                assert!(durable || self.core.durability.is_unwritable() && !hook.at_most_once, "begun before it was durable");
                let until = self.now.boot_ms + self.hooks_take;
                self.hook_runs.push(HookRun {
                    hook: hook.name.to_string(),
                    id,
                    word: occasion.word(),
                    attempt,
                    stopping: self.core.stopping,
                    at: self.now.boot_ms,
                    until,
                    life: self.lives,
                    ended: false,
                    recorded: false,
                });
                let index = self.hook_runs.len() - 1;
                self.fly(self.hooks_take, Flight::HookEnded { run, index });
            }
            Effect::Learn { learn, .. } => {
                self.asked.0.push(self.now.boot_ms);
                let took = 40 + self.chance(3_000) as BootMs;
                self.fly(took, Flight::Learned { learn });
            }
            Effect::Confirm { confirm, target, unique_id, .. } => {
                assert!(!self.core.stopping, "it looks while it stops");
                self.asked.1.push(self.now.boot_ms);
                self.fly(60, Flight::Sighted { confirm, target, unique_id });
            }
            Effect::Send { send, request } => {
                self.judge_send(&request);
                self.judge_send_to_life();
                self.sent.push(request.clone());
                let (delay, answer) = self.ros(&request);
                self.fly(delay, Flight::Answered { send, answer });
            }
            Effect::Note(note) => self.notes.push(note.text),
            Effect::LookAtHook { .. } | Effect::Beat { .. } => panic!("no signal here is for a lifecycle hook"),
            Effect::Report { report, draft } => {
                self.reports.push(draft.text);
                if self.reporting {
                    self.fly(50, Flight::Reported { report });
                }
            }
            Effect::Reply { .. } => {}
        }
    }

    /// The model of ROS: what it does with one request.
    fn ros(&mut self, request: &SignalRequest) -> (BootMs, Answer) {
        let token = request.client_token.as_str().to_owned();
        let answer = match self.weather {
            Weather::Refused | Weather::ResetBefore => return (10, refusal(Class::Transient, false, "")),
            Weather::ServerError => return (10, refusal(Class::Transient, false, "InternalError")),
            Weather::ResetAfter => {
                self.accept(request);
                self.tokens.insert(token, Answer::Accepted { request_id: "lost".to_owned() });
                return (50, refusal(Class::Transient, false, ""));
            }
            _ if self.tokens.contains_key(&token) => self.tokens[&token].clone(),
            Weather::Throttled => refusal(Class::Throttled, true, "Throttling"),
            Weather::TooEarly => refusal(Class::TooEarly, true, "ResourceNotAvailable"),
            Weather::Permission => refusal(Class::Permission, true, "Forbidden.RAM"),
            Weather::BadClock => {
                self.first_refused = !self.first_refused;
                if self.first_refused { refusal(Class::Immediate, true, "InvalidTimeStamp.Expired") } else { self.accept(request) }
            }
            Weather::Fine => self.accept(request),
        };
        let replayed = matches!(answer, Answer::Accepted { .. }) || self.switches.tokens_replay_errors;
        if replayed {
            self.tokens.insert(token, answer.clone());
        }
        (25, answer)
    }

    fn accept(&mut self, request: &SignalRequest) -> Answer {
        if self.life.is_some() {
            return self.accept_in_life(request);
        }
        let signals = self.received.entry(key(&request.target)).or_default();
        let complete = !signals.is_empty();
        if complete && self.switches.after_completion == AfterCompletion::Refused {
            return refusal(Class::Permanent, true, "NotSupported");
        }
        if !complete || self.switches.after_completion == AfterCompletion::Stored {
            signals.push((request.unique_id.to_string(), request.status));
        }
        Answer::Accepted { request_id: format!("req-{}", request.unique_id) }
    }

    /// The end of the world: all faults are gone, and long enough for everything to be settled.
    pub(super) fn heal(&mut self) {
        self.set_disk(Disk::Works);
        self.weather = Weather::Fine;
        self.metadata = true;
        if self.looks == Looks::Busy {
            self.looks = Looks::Answered;
        }
        self.step(Input::Command { id: 2, command: Command::Resume });
        self.pass(30 * 60 * 1000);
    }
}
