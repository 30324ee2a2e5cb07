//! What the core does while ROS throttles: its signal comes first, with as few calls as can be.

use super::super::*;
use crate::check::{Health, Observation};
use crate::clock::Moment;
use crate::plan::{Resignal, testing};
use crate::signal::{Answer, Class, Refusal, Settlement};
use crate::stack::confirm::Sighting;
use crate::stack::sight::{Seen, Sight};
use crate::stack::{Lesson, Look};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Call {
    Look,
    Send,
    Aside,
}

/// A healthy host, and ROS, that throttles one kind of calls until some time.
struct Desk {
    core: Core,
    now: BootMs,
    pending: Vec<(BootMs, Input)>,
    calls: Vec<(BootMs, Call)>,
    throttles: fn(Call) -> bool,
    from: BootMs,
    until: BootMs,
    /// Before this time looks that are answered say that it is not the turn of the condition yet.
    turn_comes: BootMs,
}

const SENDS: fn(Call) -> bool = |call| call == Call::Send;
const ALL: fn(Call) -> bool = |_| true;

impl Desk {
    fn new(resignal: Resignal, throttles: fn(Call) -> bool, until: BootMs) -> Self {
        let mut signal = testing::signal("web", "WebReady", &["a"]);
        signal.resignal = resignal;
        let plan = Arc::new(testing::plan(vec![signal], vec![testing::check("a")]));
        let turn = Turn { now: Moment { boot_ms: 0, wall_ms: 1_790_000_000_000 }, dice: 1 };
        let core = Core::new(plan, Arc::from("boot"), LedgerDocument::empty(), turn);
        let pending = vec![(0, Input::Tick)];
        Self { core, now: 0, pending, calls: Vec::new(), throttles, from: 0, until, turn_comes: 0 }
    }

    fn pass(&mut self, until: BootMs) {
        loop {
            let soonest = self.pending.iter().map(|(at, _)| *at).min();
            let wake = self.core.wake().map(|at| at.max(self.now));
            let Some(at) = soonest.into_iter().chain(wake).min().filter(|at| *at <= until) else { return };
            self.now = at;
            let input = match self.pending.iter().position(|(due, _)| *due <= at) {
                Some(index) => self.pending.swap_remove(index).1,
                None => Input::Tick,
            };
            let turn =
                Turn { now: Moment { boot_ms: at, wall_ms: 1_790_000_000_000 + at }, dice: u128::from(at.unsigned_abs()) << 70 | 77 };
            for effect in self.core.step(turn, input) {
                self.perform(effect);
            }
        }
    }

    fn perform(&mut self, effect: Effect) {
        let answer = match effect {
            Effect::Identify => {
                let region = Some("cn-hangzhou".to_owned());
                Input::Identified(Ok(Identity { instance_id: "i-1".to_owned(), region, stack_id: None, names: Vec::new() }))
            }
            Effect::Probe { run, .. } => Input::Observed { run, observation: Observation::new(Health::Passing, "seen") },
            Effect::Record(document) => Input::Recorded { generation: document.generation },
            Effect::Look { look, .. } => {
                let failed = Look::Failed { why: "Throttling".to_owned(), class: Class::Throttled, retry_after: None };
                let not_now = self.now < self.turn_comes;
                let result = match self.throttled(Call::Look) {
                    true => failed,
                    false if not_now => Look::NotNow("the condition is from before".to_owned()),
                    false => Look::Waiting,
                };
                Input::Looked { look, result, shown: None }
            }
            Effect::Send { send, .. } => {
                let answer = if self.throttled(Call::Send) { refusal() } else { Answer::Accepted { request_id: "R".to_owned() } };
                Input::Answered { send, answer }
            }
            Effect::Learn { learn, .. } => {
                let failed = Lesson::Failed { why: "Throttling".to_owned(), class: Class::Throttled, retry_after: None };
                let lesson = if self.throttled(Call::Aside) { failed } else { Lesson::Unreadable("empty".to_owned()) };
                Input::Learned { learn, lesson }
            }
            Effect::Watch { watch, .. } => {
                let failed = Sight::Failed { why: "Throttling".to_owned(), class: Class::Throttled, retry_after: None };
                let mut seen = Seen::default();
                "CREATE_IN_PROGRESS".clone_into(&mut seen.facts.status);
                let sight = if self.throttled(Call::Aside) { failed } else { Sight::Seen(Box::new(seen)) };
                Input::Watched { watch, sight }
            }
            Effect::Confirm { confirm, .. } => {
                let failed = Sighting::Missed { why: "Throttling".to_owned(), class: Class::Throttled, retry_after: None };
                let sighting = if self.throttled(Call::Aside) { failed } else { Sighting::Waiting("it waits".to_owned()) };
                Input::Sighted { confirm, sighting }
            }
            _ => return,
        };
        self.pending.push((self.now + 20, answer));
    }

    /// Notes the call, and says what ROS does.
    fn throttled(&mut self, call: Call) -> bool {
        self.calls.push((self.now, call));
        (self.throttles)(call) && (self.from..self.until).contains(&self.now)
    }

    fn count(&self, call: Call) -> usize {
        self.calls.iter().filter(|(_, made)| *made == call).count()
    }

    fn is_acknowledged(&self) -> bool {
        matches!(self.core.rounds[0].round.settled, Some(Settlement::Acknowledged { .. }))
    }
}

fn refusal() -> Answer {
    let (message, code) = ("Throttling".to_owned(), Some("Throttling".to_owned()));
    Answer::Refused(Refusal { class: Class::Throttled, definite: true, code, message, request_id: None, retry_after: None, hint: None })
}

const MINUTE: BootMs = 60_000;

#[test]
fn an_attempt_that_was_throttled_is_repeated_without_another_look() {
    let mut desk = Desk::new(Resignal::Never, SENDS, 2 * MINUTE);
    desk.pass(4 * MINUTE);
    assert!(desk.is_acknowledged());
    assert!(desk.count(Call::Send) > 5, "{:?}", desk.calls);
    assert_eq!(desk.count(Call::Look), 1);
}

#[test]
fn where_operations_are_told_apart_each_attempt_is_looked_at_first() {
    let mut desk = Desk::new(Resignal::OnUpdate, SENDS, 2 * MINUTE);
    desk.pass(4 * MINUTE);
    assert!(desk.is_acknowledged());
    assert_eq!(desk.count(Call::Look), desk.count(Call::Send));
}

#[test]
fn a_look_holds_for_ten_minutes() {
    let mut desk = Desk::new(Resignal::Never, SENDS, 25 * MINUTE);
    desk.pass(35 * MINUTE);
    assert!(desk.is_acknowledged());
    assert!((2..=4).contains(&desk.count(Call::Look)), "{:?}", desk.calls);
}

#[test]
fn after_four_throttled_looks_the_signal_goes_out_without_one_and_not_at_the_same_moment() {
    let mut desk = Desk::new(Resignal::Never, |call| call != Call::Send, 60 * MINUTE);
    desk.pass(4 * MINUTE);
    assert!(desk.is_acknowledged());
    let looks: Vec<_> = desk.calls.iter().filter(|(_, call)| *call == Call::Look).collect();
    let (sent, _) = desk.calls.iter().find(|(_, call)| *call == Call::Send).unwrap();
    assert_eq!(looks.len(), 4);
    assert!(sent - looks[3].0 > 1_000, "{:?}", desk.calls);
}

#[test]
fn what_is_not_necessary_waits_while_ros_throttles_and_comes_back() {
    let mut desk = Desk::new(Resignal::Never, ALL, 10 * MINUTE);
    desk.pass(10 * MINUTE);
    let (asides, sends) = (desk.count(Call::Aside), desk.count(Call::Send) + desk.count(Call::Look));
    assert!(asides <= 6 && sends >= 12, "{asides} beside {sends}: {:?}", desk.calls);
    desk.pass(150 * MINUTE);
    let end = desk.now;
    desk.pass(end + 10 * MINUTE);
    let late = desk.calls.iter().filter(|(at, call)| *call == Call::Aside && *at > end).count();
    assert!(desk.is_acknowledged() && late > 15, "{late} looks in ten minutes at a stack that moves");
}

#[test]
fn one_refusal_makes_looks_wait_for_half_a_minute_at_most() {
    let mut desk = Desk::new(Resignal::Never, |call| call == Call::Aside, 100);
    desk.pass(2 * MINUTE);
    let gaps = desk.calls.windows(2).map(|pair| pair[1].0 - pair[0].0);
    assert!(gaps.max().unwrap() <= 33_000, "{:?}", desk.calls);
    assert!(desk.is_acknowledged());
}

#[test]
fn a_look_that_said_not_now_is_not_skipped_over_whether_ros_throttles_before_it_or_after_it() {
    for (from, until) in [(0, 8_000), (12_000, 40_000)] {
        let mut desk = Desk::new(Resignal::Never, |call| call == Call::Look, until);
        (desk.from, desk.turn_comes) = (from, 2 * MINUTE);
        desk.pass(4 * MINUTE);
        let (sent, _) = desk.calls.iter().find(|(_, call)| *call == Call::Send).unwrap();
        assert!(*sent >= desk.turn_comes && desk.is_acknowledged(), "throttled from {from} until {until}: {:?}", desk.calls);
    }
}

#[test]
fn what_came_too_soon_is_looked_at_again_though_looks_are_denied_elsewhere() {
    let mut desk = Desk::new(Resignal::Never, |_| false, 0);
    desk.turn_comes = 2 * MINUTE;
    desk.pass(MINUTE);
    desk.core.looks_denied_until = Some(60 * MINUTE);
    desk.pass(4 * MINUTE);
    let (sent, _) = desk.calls.iter().find(|(_, call)| *call == Call::Send).unwrap();
    assert!(*sent >= desk.turn_comes && desk.is_acknowledged(), "{:?}", desk.calls);
}

#[test]
fn when_stopping_a_look_that_fails_does_not_send_what_came_too_soon() {
    let mut desk = Desk::new(Resignal::Never, |call| call == Call::Look, 60 * MINUTE);
    (desk.from, desk.turn_comes) = (20_000, 60 * MINUTE);
    desk.pass(MINUTE);
    assert!(desk.calls.iter().any(|(at, call)| *call == Call::Look && *at > desk.from), "{:?}", desk.calls);
    desk.pending.push((desk.now, Input::Stop));
    desk.pass(2 * MINUTE);
    assert_eq!(desk.count(Call::Send), 0, "{:?}", desk.calls);
    assert!(!desk.core.is_busy());
}

#[test]
fn however_long_signals_are_throttled_the_stack_is_looked_at_each_half_hour() {
    let mut desk = Desk::new(Resignal::Never, |call| call == Call::Send, 600 * MINUTE);
    desk.pass(300 * MINUTE);
    let asides: Vec<_> = desk.calls.iter().filter(|(_, call)| *call == Call::Aside).map(|(at, _)| *at).collect();
    let gaps = asides.windows(2).map(|pair| pair[1] - pair[0]);
    assert!(gaps.max().unwrap() <= 32 * MINUTE && asides.last().unwrap() > &(260 * MINUTE), "{asides:?}");
}

#[test]
fn where_an_update_is_heard_of_by_looking_throttling_makes_looks_no_rarer_than_at_a_stack_at_rest() {
    let mut desk = Desk::new(Resignal::OnUpdate, |call| call == Call::Aside, 300 * MINUTE);
    desk.core.plan = {
        let mut plan = Plan::clone(&desk.core.plan);
        let mut signal = testing::signal("web", "WebReady", &["a"]);
        (signal.resignal, signal.condition) = (Resignal::OnUpdate, Some("WebCondition".to_owned()));
        plan.signals = vec![Arc::new(signal)];
        Arc::new(plan)
    };
    desk.pass(200 * MINUTE);
    let asides: Vec<_> = desk.calls.iter().filter(|(_, call)| *call == Call::Aside).map(|(at, _)| *at).collect();
    let longest = |until: BootMs| asides.windows(2).filter(|pair| pair[1] < until).map(|pair| pair[1] - pair[0]).max().unwrap();
    assert!(longest(60 * MINUTE) <= 6 * MINUTE && longest(200 * MINUTE) <= 20 * MINUTE, "{asides:?}");
}
