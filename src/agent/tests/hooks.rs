//! Stories about lifecycle hooks: whom they tell, heartbeats, and what is looked for how long.

use super::super::*;
use crate::check::{Health, Observation};
use crate::clock::Moment;
use crate::plan::{LifecycleHook, OnFailure, Transport, testing};
use crate::signal::{Answer, Beat, Class, Refusal, Settlement, SignalRequest, SignalStatus, Target};
use crate::stack::Look;
use std::time::Duration;

const NOW: Moment = Moment { boot_ms: 20_000, wall_ms: 1_790_000_000_000 };
const HOUR: u64 = 3_600_000;

/// A core with one signal for a hook, and what it asked for.
struct Desk {
    core: Core,
    document: LedgerDocument,
    probe: Option<u64>,
    look: Option<u64>,
    send: Option<SignalRequest>,
    sending: Option<u64>,
    /// Every heartbeat: its id, when it was asked for in milliseconds, and what it covers in seconds.
    beats: Vec<(u64, u64, u64)>,
    notes: Vec<String>,
}

fn hook(group: Option<&str>) -> LifecycleHook {
    LifecycleHook { scaling_group: group.map(str::to_owned), hook: None, action_token: None, on_failure: OnFailure::Abandon }
}

fn plan(deadline: Duration) -> Arc<Plan> {
    let mut signal = testing::signal("scaling", "lifecycle-hook", &["a"]);
    signal.transport = Transport::LifecycleHook(hook(None));
    signal.stack_id = None;
    signal.region = None;
    signal.deadline = deadline;
    Arc::new(testing::plan(vec![signal], vec![testing::check("a")]))
}

fn at(ms: u64) -> Turn {
    Turn { now: NOW.plus(Duration::from_millis(ms)), dice: u128::from(ms) + 1 }
}

fn refusal(class: Class) -> Refusal {
    Refusal { class, definite: true, code: None, message: "no".into(), request_id: None, retry_after: None, hint: None }
}

impl Desk {
    fn of(plan: Arc<Plan>, document: LedgerDocument, ms: u64) -> Self {
        let core = Core::new(plan, Arc::from("b"), document.clone(), at(ms));
        let mut desk = Self { core, document, probe: None, look: None, send: None, sending: None, beats: Vec::new(), notes: Vec::new() };
        desk.step(ms, Input::Tick);
        let identity = Identity { instance_id: "i-1".into(), region: Some("cn-hangzhou".into()), stack_id: None, names: Vec::new() };
        desk.step(ms, Input::Identified(Ok(identity)));
        desk
    }

    fn new(deadline: Duration) -> Self {
        Self::of(plan(deadline), LedgerDocument::empty(), 0)
    }

    /// Steps; what is recorded is on disk at once.
    fn step(&mut self, ms: u64, input: Input) {
        for effect in self.core.step(at(ms), input) {
            match effect {
                Effect::Record(document) => self.document = *document,
                Effect::Probe { run, .. } => self.probe = Some(run),
                Effect::LookAtHook { look, .. } => self.look = Some(look),
                Effect::Look { .. } => panic!("ROS is not asked"),
                Effect::Send { send, request } => (self.sending, self.send) = (Some(send), Some(request)),
                Effect::Beat { beat, covers, .. } => self.beats.push((beat, ms, covers.as_secs())),
                Effect::Note(note) => self.notes.push(note.text),
                _ => {}
            }
        }
        if self.core.durability.generation == self.document.generation && self.core.durability.wake().is_some() {
            self.step(ms, Input::Recorded { generation: self.document.generation });
        }
    }

    fn beaten(&mut self, ms: u64, result: Beat) {
        let beat = self.beats.last().unwrap().0;
        self.step(ms, Input::Beaten { beat, result });
    }

    /// Lets time pass to `until`, waking when the core wants to, with every heartbeat recorded. Checks never answer.
    fn pass(&mut self, from: u64, until: u64) {
        let mut ms = from;
        // Bounded: every turn is at least a millisecond later.
        while ms < until {
            let wake = self.core.wake().map_or(until, |wake| u64::try_from(wake - NOW.boot_ms).unwrap_or(0));
            ms = wake.clamp(ms + 1, until);
            let before = self.beats.len();
            self.step(ms, Input::Tick);
            if self.beats.len() > before {
                self.beaten(ms, Beat::Recorded);
            }
        }
    }

    /// The check passes for long enough, so that the verdict is SUCCESS.
    fn healthy(&mut self, mut ms: u64) -> u64 {
        for _ in 0..8 {
            if let Some(run) = self.probe.take() {
                self.step(ms, Input::Observed { run, observation: Observation::new(Health::Passing, "ok".to_owned()) });
            }
            ms += 1_000;
            self.step(ms, Input::Tick);
        }
        ms
    }

    fn looked(&mut self, ms: u64, result: Look) {
        let look = self.look.take().expect("no look");
        self.step(ms, Input::Looked { look, result, shown: None });
    }

    fn settled(&self) -> Option<&Settlement> {
        self.core.rounds[0].round.settled.as_ref()
    }

    fn noted(&self, text: &str) -> bool {
        self.notes.iter().any(|note| note.contains(text))
    }
}

#[test]
fn one_heartbeat_covers_the_deadline_and_a_minute_more() {
    let mut desk = Desk::new(Duration::from_secs(900));
    assert_eq!(desk.beats.iter().map(|beat| (beat.1, beat.2)).collect::<Vec<_>>(), [(0, 960)]);
    desk.beaten(100, Beat::Recorded);
    desk.core.held = true;
    desk.pass(100, 900_000 - 1);
    assert_eq!(desk.beats.len(), 1, "{:?}", desk.beats);
}

#[test]
fn a_verdict_that_is_on_its_way_after_the_deadline_keeps_the_hook_waiting() {
    let mut desk = Desk::new(Duration::from_secs(900));
    desk.beaten(100, Beat::Recorded);
    desk.pass(100, 2_000_000);
    let late: Vec<_> = desk.beats.iter().skip(1).map(|beat| beat.2).collect();
    assert_eq!(late, [600; 4], "{:?}", desk.beats);
    assert!(desk.settled().is_none());
}

#[test]
fn a_deadline_beyond_six_hours_is_covered_in_halves_until_ess_takes_no_more() {
    let mut desk = Desk::new(Duration::from_secs(8 * 3600));
    assert_eq!(desk.beats[0].2, 21_600);
    desk.beaten(100, Beat::Recorded);
    desk.pass(100, 3 * HOUR + 1);
    assert_eq!((desk.beats.len(), desk.beats[1].1, desk.beats[1].2), (2, 3 * HOUR, 5 * 3600 + 60));
    desk.step(3 * HOUR + 2, Input::Tick);
    let mut desk = Desk::new(Duration::from_secs(8 * 3600));
    desk.beaten(100, Beat::Exhausted("LifecycleAction.TimeExceeded".into()));
    assert!(desk.noted("ESS takes no more heartbeats, the hook may end its wait before the verdict: LifecycleAction.TimeExceeded"));
    desk.pass(100, 9 * HOUR);
    assert_eq!(desk.beats.len(), 1);
}

#[test]
fn no_more_than_twenty_heartbeats_are_sent() {
    let mut desk = Desk::new(Duration::from_secs(900));
    desk.beaten(100, Beat::Recorded);
    desk.pass(100, 11 * HOUR);
    assert_eq!(desk.beats.len(), 20);
    assert!(desk.noted("that was the last heartbeat that ESS takes"));
}

#[test]
fn heartbeats_end_with_the_acknowledgement() {
    let mut desk = Desk::new(Duration::from_secs(900));
    desk.beaten(100, Beat::Recorded);
    let ms = desk.healthy(200);
    desk.looked(ms, Look::Waiting);
    let request = desk.send.clone().unwrap();
    assert_eq!((request.status, request.target.stack_id.as_str()), (SignalStatus::Success, "scaling-group:any"));
    assert!(matches!(request.transport, Transport::LifecycleHook(_)));
    let answer = Answer::Accepted { request_id: "R-1".into() };
    desk.step(ms + 10, Input::Answered { send: desk.sending.unwrap(), answer });
    assert!(matches!(desk.settled(), Some(Settlement::Acknowledged { .. })));
    desk.pass(ms + 10, 2 * HOUR);
    assert_eq!(desk.beats.len(), 1);
    assert!(desk.noted("acknowledged by ESS (request R-1)"));
}

#[test]
fn scenario_2_a_hook_that_does_not_wait_yet_is_asked_for_again_until_the_deadline() {
    let mut desk = Desk::new(Duration::from_secs(60));
    let mut ms = 0;
    while ms < 70_000 {
        if desk.core.rounds[0].round.settled.is_none() && desk.beats.len() > usize::try_from(ms / 15_000).unwrap() {
            desk.beaten(ms, Beat::NotYet("i-1 is in no scaling group".into()));
        }
        ms += 1_000;
        desk.step(ms, Input::Tick);
    }
    assert!((3..=14).contains(&desk.beats.len()), "{:?}", desk.beats);
    assert_eq!(desk.notes.iter().filter(|note| note.contains("no heartbeat yet")).count(), 1, "told once: {:?}", desk.notes);
}

#[test]
fn an_action_that_is_over_ends_the_heartbeats() {
    let mut desk = Desk::new(Duration::from_secs(900));
    desk.beaten(100, Beat::Over("the action is Timeout".into()));
    desk.pass(100, HOUR);
    assert_eq!(desk.beats.len(), 1);
}

#[test]
fn a_heartbeat_that_is_denied_is_tried_again_slowly_and_told_once() {
    let mut desk = Desk::new(Duration::from_secs(900));
    for round in 0..3_u64 {
        let ms = desk.beats.last().unwrap().1;
        desk.beaten(ms, Beat::Failed(refusal(Class::Permission)));
        let wake = ms + 60_001;
        desk.step(wake, Input::Tick);
        assert_eq!(desk.beats.len() as u64, round + 2);
    }
    assert_eq!(desk.notes.iter().filter(|note| note.contains("no heartbeat yet: no")).count(), 1);
}

#[test]
fn after_a_restart_one_more_heartbeat_covers_what_is_left() {
    let mut desk = Desk::new(Duration::from_secs(900));
    desk.beaten(100, Beat::Recorded);
    let desk = Desk::of(plan(Duration::from_secs(900)), desk.document, 400_000);
    assert_eq!(desk.beats.iter().map(|beat| beat.2).collect::<Vec<_>>(), [560]);
}

#[test]
fn scenario_8_a_host_that_nothing_holds_by_the_deadline_has_nothing_to_say() {
    let mut desk = Desk::new(Duration::from_secs(60));
    let mut ms = desk.healthy(0);
    desk.looked(ms, Look::NotYet("i-1 is in no scaling group".into()));
    assert!(desk.settled().is_none(), "it may come");
    while ms < 75_000 && desk.settled().is_none() {
        ms += 1_000;
        desk.step(ms, Input::Tick);
        if desk.look.is_some() {
            desk.looked(ms, Look::NotYet("i-1 is in no scaling group".into()));
        }
    }
    assert!((60_000..75_000).contains(&ms), "{ms}");
    assert!(matches!(desk.settled(), Some(Settlement::NotNeeded { why, .. }) if why == "i-1 is in no scaling group"));
}

#[test]
fn a_denied_look_at_a_hook_does_not_keep_others_from_looking() {
    let mut desk = Desk::new(Duration::from_secs(900));
    let ms = desk.healthy(0);
    desk.looked(ms, Look::Denied("Forbidden.RAM".into()));
    assert!(desk.send.is_some(), "the attempt tells what to grant");
    assert_eq!(desk.core.looks_denied_until, None);
}

#[test]
fn an_intent_for_a_hook_goes_to_no_stack_although_its_signal_has_another_transport_now() {
    let mut desk = Desk::new(Duration::from_secs(900));
    let ms = desk.healthy(0);
    desk.looked(ms, Look::Failed { why: "timed out".into(), class: Class::Transient, retry_after: None });
    let mut other = testing::signal("scaling", "WebReady", &["a"]);
    other.deadline = Duration::from_secs(900);
    desk.step(ms + 10, Input::Replan(Arc::new(testing::plan(vec![other], vec![testing::check("a")]))));
    desk.step(ms + 60_000, Input::Tick);
    desk.looked(ms + 60_000, Look::Waiting);
    let request = desk.send.unwrap();
    assert!(matches!(&request.transport, Transport::LifecycleHook(found) if *found == hook(None)), "{request:?}");
}

#[test]
fn scenario_40_the_group_of_the_configuration_stands_where_a_stack_has_its_id() {
    let target = Target::of_scaling_group("cn-hangzhou".into(), Some("asg-1"), "lifecycle-hook");
    assert_eq!((target.stack_id.as_str(), target.scaling_group()), ("scaling-group:asg-1", Some(Some("asg-1"))));
    let target = Target::of_scaling_group("cn-hangzhou".into(), None, "lifecycle-hook");
    assert_eq!(target.scaling_group(), Some(None));
    assert_eq!(Target { stack_id: "4a6c9851".into(), ..target }.scaling_group(), None);
}
