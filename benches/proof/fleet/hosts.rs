//! Agents in virtual time: the very core that the daemon runs, one for each host, with a made-up clock, against the model of ROS.
//!
//! Of a host only what matters to ROS is modelled: it starts, its one check passes from then on, its ledger takes 5 ms, its metadata 2 ms. Calls take
//! 20 to 60 ms. What the client makes of one question of the core (GetTemplate and GetStackResource for what the template says, GetStack and
//! GetStackResource for what became of a signal) is made here too, call by call.

use super::account::{Account, Reply, Trouble, least};
use crate::stage::process::memory;
use ros_signal_agent::agent::{Core, Effect, Identity, Input, Turn};
use ros_signal_agent::check::{Health, Observation};
use ros_signal_agent::clock::Moment;
use ros_signal_agent::hooks::StackFacts;
use ros_signal_agent::plan::{HandleMode, Plan};
use ros_signal_agent::retry::Random;
use ros_signal_agent::signal::{Answer, Class, LedgerDocument, Refusal, SignalStatus};
use ros_signal_agent::stack::confirm::Sighting;
use ros_signal_agent::stack::sight::{Mark, Seen, Sight};
use ros_signal_agent::stack::template::{Facts, Named};
use ros_signal_agent::stack::{Lesson, Look};
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Duration;

/// Wall time of the start, in milliseconds.
const WALL: i64 = 1_790_000_000_000;
/// No longer than a condition can wait.
const END: i64 = 43_200_000;
/// How long the client waits for an answer to a look before a send, and to any other call, in milliseconds.
const LOOK_PATIENCE: i64 = 4_000;
const CALL_PATIENCE: i64 = 10_000;

/// One fleet.
#[derive(Clone, Copy)]
pub(crate) struct Setting {
    pub(crate) agents: usize,
    /// Calls of any kind that the account has in a second.
    pub(crate) rate: u32,
    /// Hosts start within this time, in milliseconds.
    pub(crate) start: i64,
    pub(crate) trouble: Trouble,
    /// What ROS asks a throttled caller to wait.
    pub(crate) hint: Option<Duration>,
    /// The `Timeout` of the condition, in milliseconds.
    pub(crate) timeout: i64,
    pub(crate) seed: u64,
}

/// What came of it. Times in milliseconds since the first host could start.
pub(crate) struct Outcome {
    /// When the last one could have been acknowledged with the looks that the configuration asks for, and with nothing but a signal for each agent.
    pub(crate) least: i64,
    pub(crate) signals_alone: i64,
    /// When each agent was acknowledged; none: never.
    pub(crate) acknowledged: Vec<Option<i64>>,
    /// Calls that the limit has refused.
    pub(crate) throttled: u64,
    /// Calls that were answered.
    pub(crate) served: u64,
    /// The longest from an agent's decision to its acknowledgement.
    pub(crate) worst_wait: i64,
    /// The most calls that one agent had refused by the limit.
    pub(crate) worst_throttled: u32,
    /// Agents that said FAILURE.
    pub(crate) failures: usize,
    /// What this process had of memory at the end, in KiB.
    pub(crate) memory: u64,
}

impl Outcome {
    pub(crate) fn all(&self) -> Option<i64> {
        self.acknowledged.iter().copied().try_fold(0, |last, at| Some(last.max(at?)))
    }

    /// Agents that were acknowledged later than this, or never.
    pub(crate) fn later_than(&self, until: i64) -> usize {
        self.acknowledged.iter().filter(|at| at.is_none_or(|at| at > until)).count()
    }
}

/// A question of the core, on its way through the calls that it takes.
#[derive(Clone, Copy)]
enum Question {
    Look { look: u64, conditioned: bool },
    Learn(u64),
    Confirm { confirm: u64, conditioned: bool },
    Watch(u64),
    Send { send: u64, status: SignalStatus },
}

impl Question {
    fn calls(self) -> u8 {
        match self {
            Self::Look { conditioned, .. } | Self::Confirm { conditioned, .. } => 1 + u8::from(conditioned),
            Self::Learn(_) => 2,
            Self::Watch(_) | Self::Send { .. } => 1,
        }
    }

    fn patience(self) -> i64 {
        if matches!(self, Self::Look { .. }) { LOOK_PATIENCE } else { CALL_PATIENCE }
    }
}

#[derive(Clone, Copy)]
enum Event {
    Start,
    Tick,
    Observed(u64),
    Identified,
    Recorded(u64),
    Reported(u64),
    /// A call reaches ROS; so many of its question were served before.
    Call(Question, u8),
    Answered(Question, Reply),
}

struct Scheduled {
    at: i64,
    order: u64,
    host: u32,
    event: Event,
}

impl Ord for Scheduled {
    /// The soonest is the greatest.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Eq for Scheduled {}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

struct Host {
    core: Option<Core>,
    /// The one tick that counts.
    tick: i64,
    decided: Option<i64>,
    acknowledged: Option<i64>,
    throttled: u32,
}

/// A fleet under way.
struct Fleet<'a> {
    setting: &'a Setting,
    plan: &'a Arc<Plan>,
    boot: Arc<str>,
    hosts: Vec<Host>,
    queue: BinaryHeap<Scheduled>,
    order: u64,
    account: Account,
    luck: Random,
    now: i64,
    waiting: usize,
    failures: usize,
}

/// Runs a fleet until all of it is acknowledged.
pub(crate) fn run(setting: &Setting, plan: &Arc<Plan>) -> Outcome {
    let host = || Host { core: None, tick: i64::MAX, decided: None, acknowledged: None, throttled: 0 };
    let mut fleet = Fleet {
        setting,
        plan,
        boot: Arc::from("00000000-0000-4000-8000-000000000000"),
        hosts: (0..setting.agents).map(|_| host()).collect(),
        queue: BinaryHeap::new(),
        order: 0,
        account: Account::new(setting.rate, setting.trouble),
        luck: Random::new(setting.seed),
        now: 0,
        waiting: setting.agents,
        failures: 0,
    };
    for host in 0..setting.agents {
        let at = fleet.up_to(setting.start);
        fleet.after(host as u32, at, Event::Start);
    }
    while let Some(next) = fleet.queue.pop().filter(|next| fleet.waiting > 0 && next.at <= END) {
        fleet.now = next.at;
        fleet.happen(next.host, next.event);
    }
    fleet.outcome()
}

impl Fleet<'_> {
    fn outcome(self) -> Outcome {
        let looked = 1 + u32::from(self.plan.ros.poll) * (1 + u32::from(self.plan.signals[0].condition.is_some()));
        let decided: Vec<i64> = self.hosts.iter().map(|host| host.decided.unwrap_or(END)).collect();
        let waits = self.hosts.iter().filter_map(|host| Some(host.acknowledged? - host.decided?));
        let least = |calls: u32| least(&decided, calls, self.setting.rate, self.setting.trouble);
        Outcome {
            least: least(looked),
            signals_alone: least(1),
            worst_wait: waits.max().unwrap_or(0),
            worst_throttled: self.hosts.iter().map(|host| host.throttled).max().unwrap_or(0),
            acknowledged: self.hosts.iter().map(|host| host.acknowledged).collect(),
            throttled: self.account.throttled,
            served: self.account.served,
            failures: self.failures,
            memory: memory(std::process::id()).private,
        }
    }

    fn up_to(&mut self, most: i64) -> i64 {
        (self.luck.draw() % (most as u64 + 1)) as i64
    }

    fn after(&mut self, host: u32, delay: i64, event: Event) {
        self.order += 1;
        self.queue.push(Scheduled { at: self.now + delay, order: self.order, host, event });
    }

    fn turn(&mut self) -> Turn {
        let dice = u128::from(self.luck.draw()) << 64 | u128::from(self.luck.draw());
        Turn { now: Moment { boot_ms: 20_000 + self.now, wall_ms: WALL + self.now }, dice }
    }

    fn happen(&mut self, host: u32, event: Event) {
        match event {
            Event::Start => {
                let turn = self.turn();
                let core = Core::new(Arc::clone(self.plan), Arc::clone(&self.boot), LedgerDocument::empty(), turn);
                self.hosts[host as usize].core = Some(core);
                self.step(host, Input::Tick);
            }
            Event::Tick if self.hosts[host as usize].tick == self.now => {
                self.hosts[host as usize].tick = i64::MAX;
                self.step(host, Input::Tick);
            }
            Event::Tick => {}
            Event::Observed(run) => self.step(host, Input::Observed { run, observation: Observation::new(Health::Passing, "connected") }),
            Event::Identified => {
                let region = Some("cn-hangzhou".to_owned());
                let identity = Identity { instance_id: format!("i-bp1{host:017}"), region, stack_id: None, names: Vec::new() };
                self.step(host, Input::Identified(Ok(identity)));
            }
            Event::Recorded(generation) => self.step(host, Input::Recorded { generation }),
            Event::Reported(report) => self.step(host, Input::Reported { report, text: None }),
            Event::Call(question, served) => self.call(host, question, served),
            Event::Answered(question, reply) => self.answered(host, question, reply),
        }
    }

    fn step(&mut self, host: u32, input: Input) {
        let turn = self.turn();
        let Some(core) = self.hosts[host as usize].core.as_mut() else { return };
        let effects = core.step(turn, input);
        let wake = core.wake();
        for effect in effects {
            self.perform(host, effect);
        }
        let Some(at) = wake.map(|wake| (wake - 20_000).max(self.now)) else { return };
        if at < self.hosts[host as usize].tick {
            self.hosts[host as usize].tick = at;
            self.after(host, at - self.now, Event::Tick);
        }
    }

    fn perform(&mut self, host: u32, effect: Effect) {
        let question = match effect {
            Effect::Identify => return self.after(host, 2, Event::Identified),
            Effect::Probe { run, .. } => return self.after(host, 1, Event::Observed(run)),
            Effect::Record(document) => return self.after(host, 5, Event::Recorded(document.generation)),
            Effect::Report { report, .. } => return self.after(host, 5, Event::Reported(report)),
            Effect::Look { look, condition, .. } => Question::Look { look, conditioned: condition.is_some() },
            Effect::Learn { learn, .. } => Question::Learn(learn),
            Effect::Confirm { confirm, condition, .. } => Question::Confirm { confirm, conditioned: condition.is_some() },
            Effect::Watch { watch, .. } => Question::Watch(watch),
            Effect::Send { send, request } => Question::Send { send, status: request.status },
            _ => return,
        };
        if matches!(question, Question::Look { .. } | Question::Send { .. }) {
            self.hosts[host as usize].decided.get_or_insert(self.now);
        }
        let way = 10 + self.up_to(20);
        self.after(host, way, Event::Call(question, 0));
    }

    /// A call reaches ROS.
    fn call(&mut self, host: u32, question: Question, served: u8) {
        let reply = self.account.call(self.now);
        let back = 10 + self.up_to(20);
        match reply {
            Reply::Served if served + 1 < question.calls() => {
                let way = back + 10 + self.up_to(20);
                self.after(host, way, Event::Call(question, served + 1));
            }
            Reply::Served => self.after(host, back, Event::Answered(question, reply)),
            Reply::Silence => self.after(host, question.patience(), Event::Answered(question, reply)),
            Reply::Throttled => {
                self.hosts[host as usize].throttled += 1;
                self.after(host, back, Event::Answered(question, reply));
            }
            Reply::Error => self.after(host, back, Event::Answered(question, reply)),
        }
    }

    fn answered(&mut self, host: u32, question: Question, reply: Reply) {
        let input = if reply == Reply::Served { self.served(host, question) } else { self.refused(question, reply) };
        self.step(host, input);
    }

    fn served(&mut self, host: u32, question: Question) -> Input {
        let status = "CREATE_IN_PROGRESS".to_owned();
        match question {
            Question::Look { look, .. } => Input::Looked { look, result: Look::Waiting, shown: Some(Mark { status, updated: None }) },
            Question::Learn(learn) => {
                let left_ms = Some((self.setting.timeout - self.now).max(1));
                let facts = Facts {
                    resource: Named::Handle,
                    mode: Some(HandleMode::Increment),
                    count: None,
                    condition: Some("WebCondition".to_owned()),
                    conditions: 1,
                    needed: Some(self.setting.agents as i64),
                    timeout_s: Some(self.setting.timeout / 1000),
                };
                Input::Learned { learn, lesson: Lesson::Learned { facts, left_ms } }
            }
            // Whether `Data` shows a signal while others are awaited is not documented; that it does not makes more calls.
            Question::Confirm { confirm, .. } => Input::Sighted { confirm, sighting: Sighting::Waiting("it still waits".to_owned()) },
            Question::Watch(watch) => {
                let facts = StackFacts { status, ..StackFacts::default() };
                Input::Watched { watch, sight: Sight::Seen(Box::new(Seen { facts, ..Seen::default() })) }
            }
            Question::Send { send, status } => {
                let known = &mut self.hosts[host as usize];
                if known.acknowledged.replace(self.now).is_none() {
                    self.waiting -= 1;
                    self.failures += usize::from(status == SignalStatus::Failure);
                }
                Input::Answered { send, answer: Answer::Accepted { request_id: "R".to_owned() } }
            }
        }
    }

    fn refused(&self, question: Question, reply: Reply) -> Input {
        let throttled = reply == Reply::Throttled;
        let retry_after = self.setting.hint.filter(|_| throttled);
        let class = if throttled { Class::Throttled } else { Class::Transient };
        let why = if throttled { "Throttling.User (HTTP 400)" } else { "no answer" }.to_owned();
        match question {
            Question::Look { look, .. } => Input::Looked { look, result: Look::Failed { why, class, retry_after }, shown: None },
            Question::Learn(learn) => Input::Learned { learn, lesson: Lesson::Failed { why, class, retry_after } },
            Question::Confirm { confirm, .. } => Input::Sighted { confirm, sighting: Sighting::Missed { why, class, retry_after } },
            Question::Watch(watch) => Input::Watched { watch, sight: Sight::Failed { why, class, retry_after } },
            Question::Send { send, .. } => {
                let refusal = Refusal { class, definite: throttled, code: None, message: why, request_id: None, retry_after, hint: None };
                Input::Answered { send, answer: Answer::Refused(refusal) }
            }
        }
    }
}
