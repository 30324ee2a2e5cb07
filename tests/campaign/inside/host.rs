//! A host in virtual time: the real core, the real writer of the ledger on a disk that forgets, and the real client over real sockets, driven
//! as the daemon drives them. Probes and the metadata service's answers are the model's; each look and each signal is a real attempt, after
//! which the virtual clock goes on.

mod sending;
mod writing;

use super::case::{Case, Course, Fault, MINUTE, Moment as When, Planted, SECOND, Strike, Truth};
use super::disk::{Condition, Observer, Sim, World};
use super::judge::{Findings, Judge, Seen};
use super::network::Weather;
use super::slot::{INSTANCE, Slot};
use ros_signal_agent::agent::{Core, Effect, Identity, Input, Places, Turn};
use ros_signal_agent::check::{Health, Observation};
use ros_signal_agent::clock::{BootMs, Moment};
use ros_signal_agent::ledger::Ledger;
use ros_signal_agent::plan::Plan;
use ros_signal_agent::retry::Random;
use ros_signal_agent::ros::Client;
use ros_signal_agent::signal::LedgerDocument;
use ros_signal_agent::stack::Lesson;
use std::sync::Arc;

/// Inputs after which a case hangs.
const STEPS: usize = 20_000;
/// Virtual time after which a case hangs: longer than all faults together, and than `give_up`.
const LONGEST: i64 = 40 * 60 * MINUTE;
/// Since the round began: later than this the time to decide is near enough that being off uses up the one chance that there is after it.
/// `deadline` less `margin` for sending, and `margin` once more.
const NEARLY_DUE: i64 = 2 * MINUTE;
/// After the receipt the host is booted once more, and watched for so long.
const AFTERMATH: i64 = 2 * MINUTE;

/// What is under way.
enum Flight {
    Observe { run: u64, check: usize },
    Identify,
    Write,
    Input(Box<Input>),
}

pub(crate) struct Host<'a> {
    slot: &'a mut Slot,
    case: &'a Case,
    pub(crate) plan: Arc<Plan>,
    core: Core,
    ledger: Option<Ledger<Sim>>,
    observer: Observer,
    /// The disk while nobody runs.
    resting: Option<World>,
    client: Arc<Client>,
    now: Moment,
    /// Virtual time since the beginning, over all boots.
    elapsed: i64,
    boot: u32,
    random: Random,
    flights: Vec<(BootMs, u64, Flight)>,
    order: u64,
    mailbox: Option<Box<LedgerDocument>>,
    writing: bool,
    dead: bool,
    pub(crate) steps: usize,
    /// Calls of the disk before this run of the agent.
    calls_before: usize,
    strikes: Vec<Strike>,
    /// The strike that the disk itself deals, in this use of it.
    armed: Option<Strike>,
    pub(crate) struck: usize,
    signals: u32,
    weather: Option<(Weather, u32)>,
    disk: Option<(Condition, i64)>,
    hangs_until: i64,
    metadata_until: i64,
    denied_until: i64,
    skew_ms: i64,
    timer_lost: bool,
    settled: bool,
    settled_durably: bool,
    pub(crate) judge: Judge,
    pub(crate) calls: Vec<(&'static str, usize)>,
    /// The last call of each use of the disk.
    uses: Vec<usize>,
    /// So many times the agent was started.
    runs: u32,
}

impl<'a> Host<'a> {
    /// A host that was just installed.
    pub(crate) async fn new(slot: &'a mut Slot, case: &'a Case) -> Self {
        let plan = slot.prepare(case).await;
        let mut random = Random::new(case.number ^ 0x5EED);
        let now = Moment { boot_ms: 20_000, wall_ms: 1_790_000_000_000 };
        let turn = Turn { now, dice: u128::from(random.draw()) };
        let disk = World::default();
        let disk = if case.planted == Planted::LyingDisk { disk.lying() } else { disk };
        let (_, observer) = Sim::new(World::default());
        Self {
            core: Core::new(Arc::clone(&plan), Arc::from("boot-0"), LedgerDocument::empty(), turn),
            client: slot.client(&plan, case),
            slot,
            case,
            plan,
            ledger: None,
            observer,
            resting: Some(disk),
            now,
            elapsed: 0,
            boot: 0,
            random,
            flights: Vec::new(),
            order: 0,
            mailbox: None,
            writing: false,
            dead: true,
            steps: 0,
            calls_before: 0,
            strikes: case.strikes.clone(),
            armed: None,
            struck: 0,
            signals: 0,
            weather: None,
            disk: None,
            hangs_until: 0,
            metadata_until: 0,
            denied_until: 0,
            skew_ms: 0,
            timer_lost: false,
            settled: false,
            settled_durably: false,
            judge: Judge::default(),
            calls: Vec::new(),
            uses: Vec::new(),
            runs: 0,
        }
    }

    /// Lives until the signal is settled for good, or nothing moves any more.
    pub(crate) async fn live(mut self) -> Findings {
        let ended = self.pass(LONGEST, true).await;
        self.calls.extend(self.observer.world().calls);
        let course = Course {
            turns: self.steps,
            calls: std::mem::take(&mut self.calls),
            uses: std::mem::take(&mut self.uses),
            request: self.slot.network.lengths().0,
            answer: self.slot.network.lengths().1,
        };
        if ended {
            // Nothing is to come any more, whatever was durable at last.
            self.tell("the host is booted once more");
            // Without faults: with a ledger that cannot be read it would rightly say the same again.
            self.strikes.clear();
            self.disk = None;
            self.hangs_until = 0;
            self.die(&Fault::PowerLoss(None));
            self.judge.settled_for_good();
            self.pass(self.elapsed + AFTERMATH, false).await;
        }
        let view = self.slot.stack(self.case);
        let mut findings = self.judge.findings(self.case, &view, ended);
        findings.course = course;
        findings.struck = self.struck;
        findings
    }

    /// Lets time pass until `end`, or until the receipt is durable. False: it hangs.
    async fn pass(&mut self, end: i64, until_settled: bool) -> bool {
        loop {
            if self.dead {
                self.rise().await;
                continue;
            }
            if until_settled && self.settled && self.settled_durably {
                return true;
            }
            if self.steps >= STEPS || self.judge.is_stuck() {
                self.tell(&format!("it is given up after {} inputs: {}", self.steps, self.core.summary()));
                return false;
            }
            let flight = self.flights.iter().map(|(at, order, _)| (*at, *order)).min();
            let wake = self.core.wake().filter(|_| !self.timer_lost).map(|at| at.max(self.now.boot_ms));
            let next = flight.map(|(at, _)| at).into_iter().chain(wake).min();
            let Some(next) = next.filter(|next| self.elapsed + (next - self.now.boot_ms).max(0) <= end) else {
                if until_settled {
                    self.tell(&format!("nothing moves any more: {}", self.core.summary()));
                }
                return !until_settled;
            };
            self.advance((next - self.now.boot_ms).max(0));
            match flight.filter(|(at, _)| *at <= next) {
                Some(key) => {
                    let index = self.flights.iter().position(|(at, order, _)| (*at, *order) == key).unwrap();
                    let (_, _, flight) = self.flights.swap_remove(index);
                    self.land(flight).await;
                }
                None => self.feed(Input::Tick).await,
            }
        }
    }

    fn advance(&mut self, ms: i64) {
        self.elapsed += ms;
        self.now = Moment { boot_ms: self.now.boot_ms + ms, wall_ms: self.now.wall_ms + ms };
    }

    pub(crate) fn tell(&mut self, text: &str) {
        let line = format!("{:>9.1}s  {text}", self.elapsed as f64 / 1000.0);
        self.judge.history.push(line);
    }

    fn turn(&mut self) -> Turn {
        let dice = u128::from(self.random.draw()) << 64 | u128::from(self.random.draw());
        Turn { now: self.now, dice }
    }

    fn chance(&mut self, below: u64) -> i64 {
        i64::try_from(self.random.draw() % below).unwrap()
    }

    fn fly(&mut self, after: i64, flight: Flight) {
        self.order += 1;
        self.flights.push((self.now.boot_ms + after, self.order, flight));
    }

    /// The agent is started, from what the disk holds.
    async fn rise(&mut self) {
        let (sim, observer) = Sim::new(self.resting.take().unwrap());
        self.observer = observer;
        self.dead = false;
        self.runs += 1;
        self.writing = false;
        self.settled = false;
        self.settled_durably = false;
        self.prepare_disk();
        let opened = Ledger::open_on(sim);
        self.after_disk();
        if self.dead {
            return;
        }
        let (ledger, opened) = opened.unwrap();
        self.ledger = Some(ledger);
        if let Some(aside) = &opened.set_aside {
            self.tell(&format!("the ledger is set aside: {}", aside.why));
            self.judge.ledger_lost = true;
        }
        if let Some(error) = &opened.unwritable {
            self.tell(&format!("the ledger cannot be written: {error}"));
            // What cannot be read is as good as lost.
            self.judge.ledger_lost |= opened.document.is_none() && self.judge.sent > 0;
        }
        self.client = self.slot.client(&self.plan, self.case);
        let turn = self.turn();
        let boot: Arc<str> = Arc::from(format!("boot-{}", self.boot));
        let document = opened.document.unwrap_or_else(LedgerDocument::empty);
        self.settled = document.rounds.iter().any(|round| round.settled.is_some());
        self.settled_durably = self.settled;
        self.judge.began();
        self.core = Core::new(Arc::clone(&self.plan), boot, document, turn);
        self.feed(Input::Tick).await;
        if let Some(error) = opened.unwritable
            && !self.dead
        {
            self.feed(Input::NotRecorded { error }).await;
        }
    }

    /// The agent is gone, and everything that it has not written.
    fn die(&mut self, fault: &Fault) {
        let undecided = self.is_undecided();
        let (calls, _) = self.observer.glance();
        let world = self.observer.world();
        self.calls.extend(world.calls.iter().copied());
        self.calls_before += calls;
        self.ledger = None;
        self.flights.clear();
        self.mailbox = None;
        self.dead = true;
        let off = match fault {
            Fault::PowerLoss(choice) => {
                self.resting = Some(choice.map_or_else(|| world.worst_power_loss(), |choice| world.power_loss(choice)));
                self.boot += 1;
                self.now.boot_ms = 0;
                30 * SECOND
            }
            _ => {
                self.resting = Some(world.killed());
                1_500
            }
        };
        self.advance(off);
        self.misses(undecided);
    }

    /// The agent could do nothing until now.
    fn misses(&mut self, undecided: bool) {
        self.judge.missed += usize::from(undecided && self.elapsed >= NEARLY_DUE);
    }

    /// One input for the core, and what it wants done.
    async fn feed(&mut self, input: Input) {
        self.steps += 1;
        let steps = self.steps;
        self.strike_all(|when| matches!(when, When::Turn(turn) if turn < steps));
        if self.dead {
            return;
        }
        let turn = self.turn();
        let effects = self.core.step(turn, input);
        for effect in effects {
            Box::pin(self.perform(effect)).await;
            if self.dead {
                return;
            }
        }
    }

    /// Those whose moment this is strike, until one ends the agent.
    fn strike_all(&mut self, is_now: impl Fn(When) -> bool) {
        while !self.dead
            && let Some(index) = self.strikes.iter().position(|strike| is_now(strike.when))
        {
            let strike = self.strikes.swap_remove(index);
            self.strike(&strike.what);
        }
    }

    /// The fault strikes now.
    fn strike(&mut self, fault: &Fault) {
        self.struck += 1;
        self.tell(&format!("** {fault:?}"));
        match *fault {
            Fault::Kill | Fault::PowerLoss(_) => self.die(fault),
            Fault::Stop(ms) => {
                self.advance(ms);
                self.judge.woke(self.now.boot_ms);
                self.misses(self.is_undecided());
            }
            Fault::Suspend(ms) => {
                self.advance(ms);
                self.judge.woke(self.now.boot_ms);
                self.misses(self.is_undecided());
                self.fly(0, Flight::Input(Box::new(Input::Resumed)));
            }
            Fault::Disk(condition, ms) => self.disk = Some((condition, self.elapsed + ms)),
            Fault::Call(call) => self.observer.fail_at(self.observer.glance().0, call),
            Fault::Hang(ms) => self.hangs_until = self.elapsed + ms,
            Fault::Clock(by) => {
                self.now.wall_ms += by;
                self.skew_ms -= by;
                self.slot.skew(self.skew_ms);
            }
            Fault::Metadata(ms) => self.metadata_until = self.elapsed + ms,
            Fault::Expire => self.slot.expire(),
            Fault::Denied(ms) => self.denied_until = self.elapsed + ms,
            Fault::Weather(weather, times) => self.weather = Some((weather, times)),
            Fault::Cut(_) => {}
        }
    }

    async fn land(&mut self, flight: Flight) {
        match flight {
            Flight::Observe { run, check } => {
                let healthy = self.case.truth.holds(self.elapsed);
                self.judge.seen.push(Seen { check, at: self.now.boot_ms, good: healthy });
                let healthy = match self.case.planted {
                    Planted::RosyChecks => true,
                    Planted::RosyAfterRestart if self.runs > 1 => true,
                    Planted::GloomyChecks => false,
                    _ => healthy,
                };
                let observation = Observation::new(if healthy { Health::Passing } else { Health::Critical }, "seen");
                let observation = if self.case.truth == Truth::Terminal && !healthy { observation.terminal() } else { observation };
                self.feed(Input::Observed { run, observation }).await;
            }
            Flight::Identify => {
                let known = Identity {
                    instance_id: INSTANCE.to_owned(),
                    region: Some("cn-hangzhou".to_owned()),
                    stack_id: None,
                    names: Vec::new(),
                };
                let gone = self.elapsed < self.metadata_until;
                let answer = if gone { Err("the metadata service does not answer".to_owned()) } else { Ok(known) };
                self.feed(Input::Handles(Places::new())).await;
                if !self.dead {
                    self.feed(Input::Identified(answer)).await;
                }
            }
            Flight::Write => self.write().await,
            Flight::Input(input) => self.feed(*input).await,
        }
    }

    async fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Identify => self.fly(20, Flight::Identify),
            Effect::Probe { run, check, .. } => {
                let index = self.plan.checks.iter().position(|known| known.name == check.name).unwrap();
                let took = 5 + self.chance(300);
                self.fly(took, Flight::Observe { run, check: index });
            }
            Effect::Cancel { run } => self.flights.retain(|(_, _, flight)| !matches!(flight, Flight::Observe { run: r, .. } if *r == run)),
            Effect::Record(document) => self.record(document),
            Effect::SetAside { owner } => {
                self.prepare_disk();
                let _ = self.ledger.as_mut().unwrap().archive(&owner);
                self.after_disk();
                // One of nobody, from an earlier boot, could come from an image; it holds no intent.
                if owner != "unknown" {
                    self.judge.other(format!("the ledger was set aside as that of {owner}"));
                }
            }
            Effect::Look { look, target, condition, since } => {
                if let Some((result, shown)) = self.look(target, condition, since).await {
                    self.fly(30, Flight::Input(Box::new(Input::Looked { look, result, shown })));
                }
            }
            Effect::Send { send, request } => self.send(send, request).await,
            Effect::Learn { learn, .. } => {
                let lesson = Lesson::Denied("Forbidden.RAM".to_owned());
                self.fly(40, Flight::Input(Box::new(Input::Learned { learn, lesson })));
            }
            Effect::Report { report, .. } => {
                self.fly(50, Flight::Input(Box::new(Input::Reported { report, text: Some(Arc::from("report")) })));
            }
            Effect::Note(note) => self.tell(&format!("{:?}: {}", note.level, note.text)),
            // Nothing here is confirmed, followed, hooked or commanded.
            _ => {}
        }
    }
}
