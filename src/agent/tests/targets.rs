//! Stories about targets that change: a corrected stack id, a copied machine, a reload and back.

use super::super::*;
use crate::check::{Health, Observation};
use crate::clock::Moment;
use crate::plan::testing;
use crate::signal::{Answer, Refusal, Settlement, SignalStatus};

const NOW: Moment = Moment { boot_ms: 20_000, wall_ms: 1_790_000_000_000 };

/// The core and the ids of what it asked for last.
struct Desk {
    core: Core,
    document: LedgerDocument,
    probe: Option<u64>,
    send: Option<u64>,
}

fn at(ms: u64) -> Turn {
    Turn { now: NOW.plus(std::time::Duration::from_millis(ms)), dice: u128::from(ms) + 1 }
}

/// A plan whose stack and region are configured, or not.
fn plan(stack: Option<&str>, region: Option<&str>) -> Arc<Plan> {
    let mut signal = testing::signal("web", "WebReady", &["a"]);
    signal.stack_id = stack.map(str::to_owned);
    signal.region = region.map(str::to_owned);
    let mut check = testing::check("a");
    check.failure_threshold = 1;
    let mut plan = testing::plan(vec![signal], vec![check]);
    plan.ros.poll = false;
    Arc::new(plan)
}

impl Desk {
    fn new(plan: Arc<Plan>, document: LedgerDocument, ms: u64) -> Self {
        let core = Core::new(plan, Arc::from("b"), document.clone(), at(ms));
        let mut desk = Self { core, document, probe: None, send: None };
        desk.step(ms, Input::Tick);
        desk
    }

    /// Steps; what is recorded is on disk at once.
    fn step(&mut self, ms: u64, input: Input) {
        for effect in self.core.step(at(ms), input) {
            match effect {
                Effect::Record(document) => self.document = *document,
                Effect::Probe { run, .. } => self.probe = Some(run),
                Effect::Send { send, .. } => self.send = Some(send),
                _ => {}
            }
        }
        if self.core.durability.generation == self.document.generation && self.core.durability.wake().is_some() {
            self.step(ms, Input::Recorded { generation: self.document.generation });
        }
    }

    fn identify(&mut self, ms: u64, instance: &str, region: Option<&str>, stack: Option<&str>) {
        let identity = Identity {
            instance_id: instance.to_owned(),
            region: region.map(str::to_owned),
            stack_id: stack.map(str::to_owned),
            names: Vec::new(),
        };
        self.step(ms, Input::Identified(Ok(identity)));
    }

    fn say(&mut self, ms: u64, status: SignalStatus) {
        self.step(ms, Input::Command { id: 1, command: Command::Signal { resource: "WebReady".into(), status, reason: "by hand".into() } });
    }

    fn refuse(&mut self, ms: u64, definite: bool) {
        let refusal = Refusal {
            class: crate::signal::Class::TooEarly,
            definite,
            code: None,
            message: "not yet".into(),
            request_id: None,
            retry_after: None,
            hint: None,
        };
        let send = self.send.take().unwrap();
        self.step(ms, Input::Answered { send, answer: Answer::Refused(refusal) });
    }

    fn observe(&mut self, ms: u64, health: Health, terminal: bool) {
        let run = self.probe.take().unwrap();
        self.step(ms, Input::Observed { run, observation: Observation { terminal, ..Observation::new(health, "seen") } });
    }

    /// Stack and state of the signal of the plan.
    fn stands(&self) -> (String, String) {
        let view = self.core.status().signals.first().cloned().expect("every planned signal has a round");
        (view.stack_id.unwrap_or_default(), view.state)
    }
}

fn pair(stack: &str, state: &str) -> (String, String) {
    (stack.to_owned(), state.to_owned())
}

#[test]
fn a_stack_id_that_was_corrected_before_a_restart_is_the_one_that_is_told() {
    let mut first = Desk::new(plan(Some("S1"), None), LedgerDocument::empty(), 0);
    first.identify(50, "i-1", Some("cn-hangzhou"), None);
    assert_eq!(first.stands(), pair("S1", "pending"));
    let mut second = Desk::new(plan(Some("S2"), None), first.document, 1_000);
    second.identify(1_050, "i-1", Some("cn-hangzhou"), None);
    assert_eq!(second.stands(), pair("S2", "pending"));
    for _ in 0..10 {
        let Some(due) = second.core.wake().filter(|_| second.stands() == pair("S2", "pending")) else { break };
        second.step((due - NOW.boot_ms).unsigned_abs(), Input::Tick);
    }
    assert_eq!(second.stands(), pair("S2", "sending"), "it is decided by its deadline");
    assert!(second.core.wake().is_none_or(|at| at > second.core.now()), "and nothing is overdue for ever");
}

#[test]
fn scenario_13_a_machine_copied_into_another_stack_tells_that_stack() {
    let mut desk = Desk::new(plan(None, None), LedgerDocument::empty(), 0);
    desk.identify(50, "i-1", Some("cn-hangzhou"), Some("S1"));
    assert_eq!(desk.stands(), pair("S1", "pending"));
    desk.identify(5_000, "i-2", Some("cn-hangzhou"), Some("S2"));
    assert_eq!(desk.stands(), pair("S2", "pending"));
    assert!(desk.document.rounds.iter().all(|round| round.target.as_ref().is_some_and(|target| target.stack_id == "S2")));
}

#[test]
fn a_new_round_is_not_decided_by_what_was_seen_before_it_began() {
    let mut desk = Desk::new(plan(Some("S1"), Some("r")), LedgerDocument::empty(), 0);
    desk.identify(50, "i-1", None, None);
    desk.step(2_000, Input::Tick);
    desk.observe(2_010, Health::Critical, true);
    assert_eq!(desk.stands(), pair("S1", "sending"));
    desk.step(3_000, Input::Replan(plan(Some("S2"), Some("r"))));
    assert_eq!(desk.stands(), pair("S2", "pending"));
    assert!(desk.core.status().checks[0].last.is_none(), "its checks are initial");
}

#[test]
fn an_intent_that_was_superseded_goes_on_when_its_target_comes_back() {
    let mut desk = Desk::new(plan(Some("S1"), Some("r")), LedgerDocument::empty(), 0);
    desk.identify(50, "i-1", None, None);
    desk.say(60, SignalStatus::Success);
    desk.refuse(70, true);
    desk.step(80, Input::Replan(plan(Some("S2"), Some("r"))));
    assert!(matches!(desk.core.rounds[0].round.settled, Some(Settlement::Superseded { .. })));
    let before = desk.core.rounds[0].round.intent.clone();
    desk.step(90, Input::Replan(plan(Some("S1"), Some("r"))));
    assert_eq!(desk.stands(), pair("S1", "sending"));
    assert_eq!(desk.core.rounds[0].round.intent, before);
    assert!(desk.send.is_some(), "it is sent again");
}

#[test]
fn a_restart_does_not_supersede_what_a_later_attempt_may_have_delivered() {
    let mut desk = Desk::new(plan(Some("S1"), Some("r")), LedgerDocument::empty(), 0);
    desk.identify(50, "i-1", None, None);
    desk.say(60, SignalStatus::Success);
    desk.refuse(70, true);
    desk.step(20_000, Input::Tick);
    desk.refuse(20_010, false);
    let mut again = Desk::new(plan(Some("S2"), Some("r")), desk.document, 30_000);
    again.identify(30_050, "i-1", None, None);
    assert!(again.core.rounds[0].is_owed(), "S1 may have it: it is sent until that is certain");
    assert!(again.send.is_some());
    again.refuse(30_060, true);
    assert!(matches!(again.core.rounds[0].round.settled, Some(Settlement::Superseded { .. })));
}

#[test]
fn healthy_means_now_whatever_was_said_before() {
    let mut desk = Desk::new(plan(Some("S1"), Some("r")), LedgerDocument::empty(), 0);
    desk.identify(50, "i-1", None, None);
    desk.step(2_000, Input::Tick);
    desk.observe(2_010, Health::Passing, false);
    desk.step(8_000, Input::Tick);
    desk.observe(8_010, Health::Passing, false);
    assert!(desk.core.is_reached(status::Goal::Healthy, None));
    assert_eq!(desk.core.status().signals[0].verdict, Some(SignalStatus::Success));
    desk.step(30_000, Input::Tick);
    desk.observe(30_010, Health::Critical, false);
    assert!(!desk.core.is_reached(status::Goal::Healthy, Some("web")));
}

#[test]
fn a_resource_signalled_by_hand_is_another_one_in_another_stack() {
    let mut desk = Desk::new(plan(Some("S1"), Some("r")), LedgerDocument::empty(), 0);
    desk.identify(50, "i-1", None, None);
    let by_hand = || Command::Signal { resource: "DbReady".into(), status: SignalStatus::Success, reason: "by hand".into() };
    desk.core.command(by_hand()).unwrap();
    desk.step(60, Input::Replan(plan(Some("S2"), Some("r"))));
    let done = desk.core.command(by_hand()).unwrap();
    assert!(done.text.contains("is being sent"), "{}", done.text);
}

#[test]
fn after_the_time_to_decide_but_before_the_deadline_failure_still_comes_before_it() {
    let first = Desk::new(plan(Some("S1"), Some("r")), LedgerDocument::empty(), 0);
    let mut again = Desk::new(plan(Some("S1"), Some("r")), first.document, 880_000);
    again.identify(880_050, "i-1", None, None);
    assert_eq!(again.stands(), pair("S1", "pending"));
    assert_eq!(again.core.status().signals[0].decides_within_ms, Some(9_950), "half of what is left");
    again.step(890_000, Input::Tick);
    assert_eq!(again.stands(), pair("S1", "sending"));
}

#[test]
fn stopping_waits_for_the_record_that_the_last_attempt_needs() {
    let mut desk = Desk::new(plan(Some("S1"), Some("r")), LedgerDocument::empty(), 0);
    desk.identify(50, "i-1", None, None);
    let command = Command::Signal { resource: "WebReady".into(), status: SignalStatus::Success, reason: "by hand".into() };
    desk.core.step(at(60), Input::Command { id: 1, command });
    desk.core.step(at(61), Input::Stop);
    assert!(desk.core.is_busy(), "the record is in flight");
    let generation = desk.core.durability.generation;
    let effects = desk.core.step(at(70), Input::Recorded { generation });
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Send { .. })), "{effects:?}");
}

#[test]
fn a_push_to_a_check_that_waits_for_another_one_expires_like_any_other() {
    let mut signal = testing::signal("web", "WebReady", &["app", "base"]);
    signal.min_healthy_time = std::time::Duration::from_secs(60);
    let mut app = testing::check("app");
    app.probe = crate::plan::Probe::Ttl(crate::plan::Ttl { ttl: std::time::Duration::from_secs(30) });
    app.depends_on = vec![Arc::from("base")];
    app.failure_threshold = 1;
    let mut desk = Desk::new(Arc::new(testing::plan(vec![signal], vec![app, testing::check("base")])), LedgerDocument::empty(), 0);
    desk.identify(50, "i-1", None, None);
    desk.step(2_000, Input::Tick);
    let push = Command::Push { check: "app".into(), health: Health::Passing, text: "up".into() };
    desk.step(2_010, Input::Command { id: 1, command: push });
    desk.observe(2_020, Health::Passing, false);
    desk.step(40_000, Input::Tick);
    assert_eq!(desk.core.status().checks[0].state, Some(Health::Critical), "{:?}", desk.core.status().checks[0]);
}

#[test]
fn another_instance_id_by_reload_begins_a_round_now_and_not_when_the_agent_started() {
    let mut desk = Desk::new(plan(Some("S1"), Some("r")), LedgerDocument::empty(), 0);
    desk.identify(50, "i-1", None, None);
    let mut changed = (*plan(Some("S1"), Some("r"))).clone();
    changed.instance.id = Some("i-2".into());
    desk.step(7_200_000, Input::Replan(Arc::new(changed)));
    desk.identify(7_200_050, "i-2", None, None);
    assert_eq!(desk.stands(), pair("S1", "pending"));
    assert_eq!(desk.core.status().signals[0].decides_within_ms, Some(869_950));
}

#[test]
fn a_restart_just_before_the_time_to_decide_leaves_the_checks_time_to_be_seen() {
    let first = Desk::new(plan(Some("S1"), Some("r")), LedgerDocument::empty(), 0);
    let mut again = Desk::new(plan(Some("S1"), Some("r")), first.document, 869_500);
    again.identify(869_550, "i-1", None, None);
    again.step(870_500, Input::Tick);
    assert_eq!(again.stands(), pair("S1", "pending"));
    again.step(884_751, Input::Tick);
    assert_eq!(again.stands(), pair("S1", "sending"), "before the deadline of 900 s");
}

#[test]
fn a_signal_added_by_reload_does_not_take_the_checks_of_an_open_one_back_to_initial() {
    let mut desk = Desk::new(plan(Some("S1"), Some("r")), LedgerDocument::empty(), 0);
    desk.identify(50, "i-1", None, None);
    desk.step(2_000, Input::Tick);
    desk.observe(2_010, Health::Passing, false);
    let web = (*desk.core.plan().signals[0]).clone();
    let mut more = testing::signal("more", "MoreReady", &["a"]);
    (more.stack_id, more.region) = (web.stack_id.clone(), web.region.clone());
    let both = testing::plan(vec![more, web], desk.core.plan().checks.iter().map(|check| (**check).clone()).collect());
    desk.step(3_000, Input::Replan(Arc::new(both)));
    assert_eq!(desk.core.status().checks[0].state, Some(Health::Passing));
}

#[test]
fn what_was_superseded_for_another_stack_stays_so_over_a_restart() {
    let mut desk = Desk::new(plan(None, None), LedgerDocument::empty(), 0);
    desk.identify(50, "i-1", Some("r"), Some("S1"));
    desk.say(60, SignalStatus::Success);
    let send = desk.send.take().unwrap();
    desk.step(70, Input::Answered { send, answer: Answer::Accepted { request_id: "q".into() } });
    desk.step(80, Input::Replan(plan(Some("S2"), None)));
    desk.say(90, SignalStatus::Success);
    desk.refuse(100, true);
    desk.step(110, Input::Replan(plan(None, None)));
    assert_eq!(desk.stands(), pair("S1", "acknowledged"));
    let mut again = Desk::new(plan(None, None), desk.document, 1_000);
    again.identify(1_050, "i-1", Some("r"), Some("S1"));
    assert_eq!(again.stands(), pair("S1", "acknowledged"));
    assert!(again.send.is_none() && again.core.rounds.iter().all(|active| !active.is_owed()));
}
