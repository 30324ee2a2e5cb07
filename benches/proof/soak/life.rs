//! What happens to the host in its day: updates of the stack, faults on the way, sicknesses, reloads good and bad, and events of all sorts.

use super::clients::say;
use super::host::Host;
use crate::stage::wait;
use crate::stage::world::write_private;
use ros_sandbox::{Change, Effect, EventRequest, Fault, Sandbox, TimelineEvent, When};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;

/// From one update of the stack to the next, at least.
const UPDATES: Duration = Duration::from_secs(100);

/// Which updates meet a sick host, and which are rolled back by ROS before the host has said anything.
const SICK_EACH: u64 = 5;
const ROLLED_BACK_EACH: u64 = 7;

/// How long a fault lasts.
const FAULT: f64 = 20.0;

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) updates: u64,
    pub(crate) sicknesses: u64,
    pub(crate) faults: u64,
    pub(crate) reloads: u64,
    pub(crate) refused_reloads: u64,
    /// Answers to a reload that were not what the configuration deserved.
    pub(crate) odd_reloads: u64,
    pub(crate) emitted: u64,
}

/// The rounds of the stack: its creation and its updates, and the signals that came in each.
#[derive(Debug, Default)]
pub(crate) struct Rounds {
    rounds: Vec<Round>,
    pub(crate) received: u64,
    lagged: u64,
}

#[derive(Debug, Default)]
struct Round {
    /// How often a signal had an effect, by its id.
    signals: BTreeMap<String, u32>,
    end: Option<End>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Complete,
    Failed,
    /// By ROS, because something else failed.
    RolledBack,
}

impl End {
    fn words(self) -> &'static str {
        match self {
            Self::Complete => "end well",
            Self::Failed => "fail",
            Self::RolledBack => "be rolled back",
        }
    }
}

impl Rounds {
    /// Follows the stack on a thread of its own.
    pub(crate) fn follow(sandbox: &Sandbox) -> Arc<Mutex<Self>> {
        let (mut timeline, rounds) = (sandbox.subscribe(), Arc::new(Mutex::new(Self::default())));
        let follows = Arc::clone(&rounds);
        std::thread::spawn(move || {
            loop {
                match timeline.blocking_recv() {
                    Ok(event) => follows.lock().unwrap().take(&event),
                    Err(RecvError::Lagged(missed)) => follows.lock().unwrap().lagged += missed,
                    Err(RecvError::Closed) => return,
                }
            }
        });
        rounds
    }

    fn take(&mut self, event: &TimelineEvent) {
        match (&event.resource, &event.signal) {
            (None, _) => match event.status.to_string().as_str() {
                "CREATE_IN_PROGRESS" | "UPDATE_IN_PROGRESS" => self.rounds.push(Round::default()),
                "CREATE_COMPLETE" | "UPDATE_COMPLETE" => self.ends(End::Complete),
                "CREATE_FAILED" | "UPDATE_FAILED" => self.ends(End::Failed),
                "ROLLBACK_COMPLETE" | "ROLLBACK_FAILED" => self.ends(End::RolledBack),
                _ => {}
            },
            (Some(_), Some(signal)) => {
                self.received += 1;
                if let Some(round) = self.rounds.last_mut().filter(|_| signal.waited_for) {
                    // It is told how often so far.
                    round.signals.insert(signal.unique_id.clone(), signal.effective);
                }
            }
            _ => {}
        }
    }

    fn ends(&mut self, end: End) {
        if let Some(round) = self.rounds.last_mut() {
            round.end = Some(end);
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.rounds.len()
    }

    pub(crate) fn ended(&self, end: End) -> usize {
        self.rounds.iter().filter(|round| round.end == Some(end)).count()
    }

    /// How often a signal had an effect, in each round.
    pub(crate) fn effects(&self) -> impl Iterator<Item = u32> {
        self.rounds.iter().map(|round| round.signals.values().sum())
    }

    /// Rounds that had to be signalled and were not, or never ended.
    pub(crate) fn lost(&self) -> usize {
        let lost = |(round, effects): &(&Round, u32)| round.end.is_none() || round.end != Some(End::RolledBack) && *effects == 0;
        self.rounds.iter().zip(self.effects()).filter(lost).count()
    }

    /// Rounds that ended otherwise than they had to, such as a success of a sick host; `owed` has an end for each round, in their order.
    pub(crate) fn odd(&self, owed: &[End]) -> Vec<String> {
        let ended = self.rounds.iter().zip(owed).enumerate().filter_map(|(index, (round, owed))| Some((index, round.end?, *owed)));
        let odd = ended.filter(|(_, end, owed)| end != owed);
        odd.map(|(index, end, owed)| format!("round {index} had to {}, but did {}", owed.words(), end.words())).collect()
    }

    /// Not every round was seen, or not every event.
    pub(crate) fn lost_sight(&self, owed: &[End]) -> bool {
        self.lagged > 0 || self.rounds.len() != owed.len()
    }
}

pub(crate) struct Life<'a> {
    pub(crate) host: &'a Host,
    pub(crate) sandbox: &'a Sandbox,
    pub(crate) stack: &'a str,
    pub(crate) socket: PathBuf,
    pub(crate) config: PathBuf,
    pub(crate) counts: Counts,
    /// How each round has to end, by the state of the host: the creation first.
    pub(crate) owed: Vec<End>,
    next_update: Duration,
    /// What is still to come of the present update, soonest first.
    ahead: Vec<(Duration, Step)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    FallSick,
    Heal,
    /// When the round has ended.
    HealAfter,
    Reload,
    BadReload,
    Garbage,
    Events,
}

impl<'a> Life<'a> {
    pub(crate) fn new(host: &'a Host, sandbox: &'a Sandbox, stack: &'a str, config: PathBuf) -> Self {
        let socket = host.file("control.sock");
        let (owed, next_update) = (vec![End::Complete], Duration::from_secs(20));
        Self { host, sandbox, stack, socket, config, counts: Counts::default(), owed, next_update, ahead: Vec::new() }
    }

    /// What is due at this moment; no more updates where `last`.
    pub(crate) fn goes_on(&mut self, now: Duration, last: bool) {
        if now >= self.next_update && !last && self.at_rest() && !self.host.is_sick() {
            self.next_update = now + UPDATES;
            self.update(now);
        }
        while let Some(index) = self.ahead.iter().position(|(at, _)| *at <= now) {
            let (_, step) = self.ahead.remove(index);
            if step == Step::HealAfter && !self.at_rest() {
                self.ahead.push((now + Duration::from_secs(5), step));
                continue;
            }
            self.step(step);
        }
    }

    pub(crate) fn at_rest(&self) -> bool {
        self.sandbox.stack(self.stack).is_some_and(|stack| !stack.status.in_progress())
    }

    fn update(&mut self, now: Duration) {
        let number = self.counts.updates;
        self.counts.updates += 1;
        self.fault(number);
        let change = Change::update().seconds(3.0).metadata("Again", serde_json::json!({"version": number}));
        let rolled_back = number % ROLLED_BACK_EACH == ROLLED_BACK_EACH - 1;
        let change = if rolled_back { change.fails("a resource of the soak") } else { change }.rollback(rolled_back);
        let second = |seconds: u64| now + Duration::from_secs(seconds);
        let sick = number % SICK_EACH == SICK_EACH - 1;
        self.owed.push(if rolled_back {
            End::RolledBack
        } else if sick {
            End::Failed
        } else {
            End::Complete
        });
        if sick {
            // Beyond the deadline, however late the round is noticed: it fails.
            self.step(Step::FallSick);
            self.ahead.push((second(90), Step::HealAfter));
        } else {
            self.ahead.push((second(45), Step::FallSick));
            self.ahead.push((second(60), Step::Heal));
        }
        let others = [(5, Step::Events), (35, Step::Garbage), (70, Step::Reload), (75, Step::Events), (80, Step::BadReload)];
        self.ahead.extend(others.map(|(seconds, step)| (second(seconds), step)));
        self.sandbox.change(self.stack, change).unwrap();
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::FallSick => {
                self.counts.sicknesses += 1;
                self.host.fall_sick();
            }
            Step::Heal | Step::HealAfter => self.host.heal(),
            Step::Reload => {
                let other = (self.counts.reloads + self.counts.odd_reloads).is_multiple_of(2);
                self.reload(&self.host.configuration(self.sandbox, self.stack, other).0, true);
            }
            Step::BadReload => {
                let before = std::fs::read_to_string(&self.config).unwrap();
                self.reload(&format!("{before}\n[check.bad]\ntype = \"http\"\nurl = 10\ninterval = 10\n[signal"), false);
                write_private(&self.config, &before);
            }
            Step::Garbage => {
                std::fs::write(self.host.file("spool/garbage"), "this is no event").unwrap();
                std::fs::write(self.host.file("spool/half.json"), "{\"id\":").unwrap();
            }
            Step::Events => {
                for kind in ["ros:StackStateChange:UpdateComplete", "ros:CloudMonitor:Stack[StatusChange]", "ros:Stack:StatusChange"] {
                    self.sandbox.emit(EventRequest::new(kind, self.stack));
                    self.counts.emitted += 1;
                }
                self.sandbox.emit(EventRequest::new("ros:StackStateChange:UpdateComplete", "4a6c9851-3b0f-4f5f-b4ca-0000000000ff"));
                self.counts.emitted += 1;
            }
        }
    }

    fn reload(&mut self, text: &str, good: bool) {
        write_private(&self.config, text);
        let answer = say(&self.socket, "POST", "/reload", "").unwrap_or_default();
        let status = answer.split(' ').nth(1).unwrap_or_default();
        match (good, status) {
            (true, "200") => self.counts.reloads += 1,
            (false, "409") => self.counts.refused_reloads += 1,
            _ => {
                self.counts.odd_reloads += 1;
                println!("a reload was answered with: {}", answer.lines().last().unwrap_or("nothing"));
            }
        }
    }

    /// One trouble after the other, at the begin of an update: that is when the agent has something to say.
    fn fault(&mut self, number: u64) {
        self.counts.faults += 1;
        let of_ros = |effect: Effect| Fault::new(effect).seconds(FAULT);
        let signal = |effect: Effect, times: u32| of_ros(effect).action("SignalResource").times(times);
        let metadata = |effect: Effect| of_ros(effect).metadata("/");
        let faults = match number % 12 {
            0 => vec![of_ros(Effect::Refuse)],
            1 => vec![signal(Effect::throttle(Some(3_000)), 3)],
            2 => vec![metadata(Effect::Refuse), of_ros(Effect::ExpireCredentials).times(1)],
            3 => vec![signal(Effect::stall(When::Before, Some(10.0)), 2)],
            4 => vec![of_ros(Effect::error(503, "ServiceUnavailable"))],
            5 => vec![signal(Effect::reset(When::After), 2)],
            6 => vec![of_ros(Effect::http(200, "<html>please log in</html>"))],
            7 => vec![of_ros(Effect::throttle(None))],
            8 => vec![metadata(Effect::http(500, "no")), of_ros(Effect::ExpireCredentials).times(1)],
            9 => vec![signal(Effect::stall(When::After, Some(10.0)), 1), of_ros(Effect::ExpireCredentials).times(1)],
            10 => vec![Fault::new(Effect::Refuse).smq().seconds(FAULT)],
            _ => vec![metadata(Effect::stall(When::Before, Some(5.0))), signal(Effect::error(500, "InternalError"), 3)],
        };
        if number % 3 == 1 {
            self.sandbox.rotate_credentials();
        }
        for fault in faults {
            self.sandbox.add_fault(fault).unwrap();
        }
    }
}

/// A pause of the story, so short that nothing in it is late.
pub(crate) fn pause() {
    wait(Duration::from_millis(500));
}
