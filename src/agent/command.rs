//! What an operator may ask of the running agent.

use super::rounds::{Active, MANUAL};
use super::{Core, NoteLevel};
use crate::check::{Health, Observation};
use crate::clock::millis;
use crate::plan::{Name, Probe};
use crate::signal::{Round, Settlement, SignalStatus, Target};
use std::sync::Arc;

/// A command over the control socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Feed a `ttl` check.
    Push {
        /// The check.
        check: String,
        /// What it says.
        health: Health,
        /// In words.
        text: String,
    },
    /// Say this now.
    Signal {
        /// Logical ID of the handle, or the name of a signal of the plan.
        resource: String,
        /// What to say.
        status: SignalStatus,
        /// Why.
        reason: String,
    },
    /// Do not send (any more) for this signal in this round.
    Cancel {
        /// Name of the signal.
        signal: String,
    },
    /// No verdicts until `Resume`.
    Hold,
    /// Verdicts again.
    Resume,
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// In words.
    pub text: String,
    /// The signal concerned, for waiting for it.
    pub signal: Option<Name>,
}

/// Why not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Denied {
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: String,
}

fn denied(message: impl Into<String>, hint: impl Into<String>) -> Denied {
    Denied { message: message.into(), hint: hint.into() }
}

fn done(text: impl Into<String>, signal: Option<&Name>) -> Done {
    Done { text: text.into(), signal: signal.cloned() }
}

impl Core {
    pub(super) fn command(&mut self, command: Command) -> Result<Done, Denied> {
        match command {
            Command::Push { check, health, text } => self.push(&check, health, &text),
            Command::Signal { resource, status, reason } => self.signal_now(&resource, status, reason),
            Command::Cancel { signal } => self.cancel_signal(&signal),
            Command::Hold => Ok(self.hold(true)),
            Command::Resume => Ok(self.hold(false)),
        }
    }

    fn push(&mut self, check: &str, health: Health, text: &str) -> Result<Done, Denied> {
        let now = self.now();
        let Some((name, run)) = self.checks.get_key_value(check).map(|(name, run)| (Arc::clone(name), run)) else {
            return Err(denied(format!("no check is called {check:?}"), "ros-signal-agent status lists the checks"));
        };
        let Probe::Ttl(ttl) = run.check.probe else {
            let kind = run.check.probe.kind();
            return Err(denied(format!("check {check} is of type {kind}"), "only checks of type \"ttl\" are fed by push"));
        };
        if let Some(run) = self.checks.get_mut(&name) {
            run.runs += 1;
        }
        self.plan_run(&name, Some(now.saturating_add(millis(ttl.ttl))));
        let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        self.see(&name, Observation::new(health, clean));
        Ok(done(format!("check {name}: {health}"), None))
    }

    fn signal_now(&mut self, resource: &str, status: SignalStatus, reason: String) -> Result<Done, Denied> {
        let plan = Arc::clone(&self.plan);
        let planned = plan.signals.iter().find(|signal| signal.resource == resource || *signal.name == *resource);
        let index = match planned {
            Some(signal) => self.current(signal),
            None => Some(self.manual(resource)?),
        };
        let Some((index, active)) = index.and_then(|index| Some((index, self.rounds.get(index)?))) else {
            return Err(denied(format!("signal for {resource} has no round"), "reload the configuration"));
        };
        let name = Arc::clone(&active.round.signal);
        if let Some(intent) = &active.round.intent {
            if intent.status == status {
                return Ok(done(format!("signal {name} has said {status} already, under unique id {}", intent.unique_id), Some(&name)));
            }
            let message = format!("signal {name} has said {} in this round", intent.status);
            return Err(denied(message, "a round has one verdict; ROS could have counted it"));
        }
        if let Some(settled) = &active.round.settled {
            return Err(denied(format!("signal {name} is {} in this round", settled.word()), "a round has one verdict"));
        }
        if self.identity.known.is_none() || self.identity.is_in_doubt() || active.round.target.is_none() {
            return Err(denied(
                format!("signal {name}: the instance id, stack or region is not known yet"),
                "try again, or configure [instance] id, [stack] stack_id and region",
            ));
        }
        self.say(index, status, reason);
        Ok(done(format!("signal {name}: {status} is being sent"), Some(&name)))
    }

    /// The round for a resource that no signal of the plan names, under the defaults of `[stack]`.
    fn manual(&mut self, resource: &str) -> Result<usize, Denied> {
        let name: Name = Arc::from(format!("{MANUAL}{resource}"));
        let identity = self.identity.known.as_ref();
        let default = self.plan.signals.first();
        let region = default.and_then(|signal| signal.region.clone()).or_else(|| identity?.region.clone());
        let stack_id = default.and_then(|signal| signal.stack_id.clone()).or_else(|| identity?.stack_id.clone());
        let (Some(_), Some(region), Some(stack_id)) = (identity, region, stack_id) else {
            return Err(denied(
                format!("{resource}: the instance id, the stack or its region is not known"),
                "name them: ros-signal-agent signal --stack-id ID --region REGION --direct ...",
            ));
        };
        let target = Target { region, stack_id, resource: resource.to_owned() };
        let same = |active: &Active| active.round.signal == name && active.round.target.as_ref() == Some(&target);
        if let Some(index) = self.rounds.iter().rposition(same) {
            return Ok(index);
        }
        if self.rounds.iter().filter(|active| active.is_manual()).count() >= MANUAL_LIMIT {
            return Err(denied(format!("{MANUAL_LIMIT} resources have been signalled by hand"), "send with --direct"));
        }
        let round = Round::first(name, resource, Some(target), self.turn.now.stamp(&self.boot_id));
        self.rounds.push(Active::begun(round, self.now()));
        Ok(self.rounds.len() - 1)
    }

    fn cancel_signal(&mut self, signal: &str) -> Result<Done, Denied> {
        let of_it = |active: &Active| *active.round.signal == *signal;
        let unsettled = self.rounds.iter().rposition(|active| of_it(active) && active.round.settled.is_none());
        let found = unsettled.or_else(|| self.rounds.iter().rposition(of_it));
        let Some((index, active)) = found.and_then(|index| Some((index, self.rounds.get(index)?))) else {
            return Err(denied(format!("no signal is called {signal:?}"), "ros-signal-agent status lists the signals"));
        };
        let name = Arc::clone(&active.round.signal);
        if let Some(settled) = &active.round.settled {
            return Err(denied(format!("signal {name} is {} already", settled.word()), "nothing is left to cancel"));
        }
        let in_flight = active.delivery.attempts > 0;
        let at_ms = self.turn.now.wall_ms;
        self.settle(index, Settlement::Cancelled { at_ms });
        let caveat = if in_flight { "; an attempt was made before, ROS may have taken it" } else { "" };
        Ok(done(format!("signal {name} is cancelled{caveat}"), Some(&name)))
    }

    fn hold(&mut self, held: bool) -> Done {
        let text = match (self.held, held) {
            (false, true) => "held: no verdicts until resume",
            (true, false) => "resumed: verdicts are made again",
            (true, true) => "held already",
            (false, false) => "was not held",
        };
        if self.held != held {
            self.held = held;
            if !held {
                self.extend_overdue(|_| 0);
            }
            self.note(NoteLevel::Warn, text);
            self.remember(None, text);
        }
        match self.durability.trouble() {
            Some(trouble) if held => {
                done(format!("{text}; but it would be forgotten at a restart, the state is not durable: {trouble}"), None)
            }
            _ => done(text, None),
        }
    }
}

/// Resources that can be signalled by hand.
const MANUAL_LIMIT: usize = 64;
