//! What is held against a case: the promises, by the sandbox's own count of effective signals and by the truth about the application.

use super::case::{Case, Course, Id, Truth};
use ros_sandbox::{SignalStatus as Told, StackView};
use ros_signal_agent::clock::{BootMs, millis};
use ros_signal_agent::plan::{Check, Plan, Probe};
use ros_signal_agent::signal::{LedgerDocument, Settlement, SignalRequest, SignalStatus};
use std::collections::BTreeSet;

/// A promise that was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Broken {
    Lost,
    Doubled,
    FalseSuccess,
    Hang,
    /// A rule of the house: sent before it was durable, FAILURE of a healthy host, sent again after the receipt.
    Rule,
}

/// What the documents say that can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Limit {
    /// Counted twice, with a random id and the ledger lost.
    SecondId,
    /// A FAILURE of a healthy host, whose deadline was missed twice.
    Deadline,
    /// Given up, because ROS refuses what it has already, and the agent may not look.
    GaveUp,
}

/// What an observation showed, whatever the core was told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) check: usize,
    pub(crate) at: BootMs,
    pub(crate) good: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Judge {
    /// Observations of this run of the agent.
    pub(crate) seen: Vec<Seen>,
    /// Since then it has not slept.
    woke: BootMs,
    pub(crate) history: Vec<String>,
    /// Signals sent.
    pub(crate) sent: usize,
    /// The ledger was lost with an intent in it: a random id is made anew. A stated limit.
    pub(crate) ledger_lost: bool,
    /// How often the agent was stopped, suspended or off until after the time to decide, before its verdict was durable: the deadline waits
    /// only once. A stated limit.
    pub(crate) missed: usize,
    settlement: Option<Settlement>,
    /// Each decision, by its id, what it says, and in which boot and when it was made.
    decided: BTreeSet<(String, &'static str, String, BootMs)>,
    broken: Vec<(Broken, String)>,
    stuck: bool,
    /// The receipt is durable.
    for_good: bool,
}

/// What came of a case.
#[derive(Debug)]
pub(crate) struct Findings {
    pub(crate) broken: Vec<(Broken, String)>,
    pub(crate) at_limit: Option<Limit>,
    pub(crate) history: Vec<String>,
    pub(crate) course: Course,
    pub(crate) struck: usize,
}

impl Judge {
    /// The agent was started: what was observed before proves nothing to it.
    pub(crate) fn began(&mut self) {
        self.seen.clear();
        self.woke = BootMs::MIN;
    }

    /// The agent was stopped, or the host suspended, until now: no more does what was seen before prove anything.
    pub(crate) fn woke(&mut self, now: BootMs) {
        self.woke = now;
    }

    pub(crate) fn settled_for_good(&mut self) {
        self.for_good = true;
    }

    pub(crate) fn other(&mut self, why: String) {
        self.broken.push((Broken::Rule, why));
    }

    pub(crate) fn stuck(&mut self, why: String) {
        self.stuck = true;
        self.broken.push((Broken::Hang, why));
    }

    pub(crate) fn is_stuck(&self) -> bool {
        self.stuck
    }

    pub(crate) fn sends(&mut self, request: &SignalRequest) {
        self.sent += 1;
        if self.for_good {
            self.other(format!("{} under {} was sent again after its receipt was durable", request.status, request.unique_id));
        }
    }

    /// Whether the core may say what it has decided, each time that it decides. True: it has decided something anew.
    pub(crate) fn decisions(&mut self, document: &LedgerDocument, plan: &Plan) -> bool {
        let mut anew = false;
        for round in &document.rounds {
            if let Some(settled) = &round.settled {
                self.settlement = Some(settled.clone());
            }
            let Some(intent) = &round.intent else { continue };
            let at = &intent.decided;
            if !self.decided.insert((intent.unique_id.to_string(), intent.status.word(), at.boot_id.to_string(), at.boot_ms)) {
                continue;
            }
            anew = true;
            if intent.status == SignalStatus::Success {
                let this_boot = round.started.boot_id == at.boot_id;
                self.success(plan, at.boot_ms, if this_boot { round.started.boot_ms } else { 0 });
            }
        }
        anew
    }

    /// Every required check has been seen good for `min_healthy_time`, in this round, without a break.
    fn success(&mut self, plan: &Plan, now: BootMs, started: BootMs) {
        let window = now - millis(plan.signals[0].min_healthy_time);
        // A composite has no looks of its own; its members must all have been good, and seen since the agent was last awake, but not lately.
        let is_composite = |check: &Check| matches!(check.probe, Probe::Composite(_));
        let members = plan.checks.iter().any(|check| is_composite(check));
        for (index, check) in plan.checks.iter().enumerate().filter(|(_, check)| !is_composite(check)) {
            let mut seen = self.seen.iter().filter(|seen| seen.check == index && (!members || seen.at >= self.woke));
            let bad = seen.clone().any(|seen| !seen.good && seen.at >= window);
            // Whoever slept has seen nothing: what was good before proves nothing about now.
            let stale = !members && !seen.clone().any(|seen| seen.at > window);
            let good = seen.rfind(|seen| seen.at <= window).is_some_and(|seen| seen.good && seen.at >= started.min(window));
            if bad || stale || !good {
                let (name, how) = (&check.name, if stale { "seen" } else { "passing" });
                let why = format!("SUCCESS although {name} was not {how} for min_healthy_time");
                self.broken.push((Broken::FalseSuccess, why));
            }
        }
    }

    /// The end: what the stack has, and what it should have.
    pub(crate) fn findings(self, case: &Case, view: &StackView, ended: bool) -> Findings {
        let mut broken = self.broken;
        let signals = &view.resources["WebReady"].signals;
        let effective = view.effective_signals;
        // What ROS has already it refuses for ever under another token; who may not look cannot know, and goes on until give_up, no longer.
        let cannot_know = case.refuses_late && !case.looks && effective == 1;
        let given_up = matches!(self.settlement, Some(Settlement::GaveUp { .. }));
        let mut at_limit = (given_up && cannot_know).then_some(Limit::GaveUp);
        if !ended && !self.stuck {
            broken.push((Broken::Hang, "it is never settled".to_owned()));
        }
        if effective == 0 || given_up && !cannot_know {
            broken.push((Broken::Lost, format!("the stack has {signals:?}; settled as {:?}", self.settlement)));
        }
        // One fault alone reaches neither of these limits.
        let several = case.strikes.len() > 1;
        if effective > 1 || signals.len() > 1 {
            if case.id == Id::Random && self.ledger_lost && several {
                at_limit = Some(Limit::SecondId);
            } else {
                broken.push((Broken::Doubled, format!("{signals:?}")));
            }
        }
        for signal in signals {
            match (signal.status, case.truth) {
                (Told::Success, Truth::Never | Truth::Terminal) => {
                    broken.push((Broken::FalseSuccess, "SUCCESS of a host that never was healthy".to_owned()));
                }
                (Told::Failure, Truth::From(_) | Truth::Flapping(_)) if self.missed > 1 && several => at_limit = Some(Limit::Deadline),
                (Told::Failure, Truth::From(_) | Truth::Flapping(_)) => broken.push((Broken::Rule, "FAILURE of a healthy host".to_owned())),
                (Told::Warning, _) => broken.push((Broken::Rule, "WARNING, which nothing warrants".to_owned())),
                _ => {}
            }
        }
        Findings { broken, at_limit, history: self.history, course: Course::default(), struck: 0 }
    }
}
