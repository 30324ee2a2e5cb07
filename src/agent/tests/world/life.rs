//! A stack with a life: created, updated, rolled back, continued, deleted. Its condition waits for this host's signal; in `Increment` mode an
//! update deletes the signals before that, in `Full` mode they stay. What reaches it is held against the promises.

use super::*;
use crate::events::{Arrival, Event, Trust};
use crate::hooks::StackFacts;
use crate::stack::sight::{Mark, Seen, SeenResource, Sight};
use crate::stack::{self, read};

/// When the `UpdateTime` of the stack moves in an update.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::agent::tests) enum Moves {
    AtStart,
    AtEnd,
    Both,
    Between,
}

/// What is done with the stack, if it can be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::agent::tests) enum Act {
    Update,
    /// An import is an update by another name.
    Import,
    /// What it does fails, as when another host says FAILURE.
    Fail,
    /// Others have told the condition what it waited for.
    Finish,
    Delete,
    /// A creation that has failed goes on.
    Continue,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Stage {
    ConditionBegins,
    ConditionEnds(bool),
    StackEnds(bool),
    RolledBack,
    Deleted,
}

/// One creation or update, and what it heard of this host.
#[derive(Clone, Debug, Default)]
pub(in crate::agent::tests) struct Told {
    /// Signals that were counted.
    pub(in crate::agent::tests) counted: Vec<(String, SignalStatus)>,
    /// Signals that came when nobody waited.
    pub(in crate::agent::tests) stray: usize,
}

#[derive(Clone, Debug)]
pub(in crate::agent::tests) struct Life {
    pub(in crate::agent::tests) increment: bool,
    pub(in crate::agent::tests) moves: Moves,
    pub(in crate::agent::tests) status: &'static str,
    updated: u32,
    condition: (&'static str, u32),
    clock: u32,
    pending: Option<Stage>,
    stored: BTreeSet<String>,
    pub(in crate::agent::tests) told: Vec<Told>,
    pub(in crate::agent::tests) ids: BTreeSet<String>,
    /// It is not found any more.
    pub(in crate::agent::tests) gone: bool,
    /// Its resources may be read.
    pub(in crate::agent::tests) resources: bool,
    /// What the last look has shown to this run of the agent: somebody may wait.
    shown: Option<bool>,
    pub(in crate::agent::tests) notifies: Option<bool>,
    pub(in crate::agent::tests) metadata: Option<String>,
}

impl Life {
    pub(in crate::agent::tests) fn new(increment: bool, moves: Moves) -> Self {
        Self {
            increment,
            moves,
            status: "CREATE_IN_PROGRESS",
            updated: 1,
            condition: ("INIT_COMPLETE", 1),
            clock: 1,
            pending: None,
            stored: BTreeSet::new(),
            told: vec![Told::default()],
            ids: BTreeSet::new(),
            gone: false,
            resources: true,
            shown: None,
            notifies: Some(true),
            metadata: None,
        }
    }

    fn waits(&self) -> bool {
        matches!(self.status, "CREATE_IN_PROGRESS" | "UPDATE_IN_PROGRESS" | "IMPORT_UPDATE_IN_PROGRESS") && stack::waits(self.condition.0)
    }

    fn rests(&self) -> bool {
        !self.gone && matches!(self.status, "CREATE_COMPLETE" | "UPDATE_COMPLETE" | "ROLLBACK_COMPLETE" | "IMPORT_UPDATE_COMPLETE")
    }

    fn tick(&mut self) -> u32 {
        self.clock += 1;
        self.clock
    }
}

fn time(clock: u32) -> String {
    format!("2026-01-02T03:{:02}:{:02}", clock / 60, clock % 60)
}

impl World {
    /// The stack begins to live: its creation.
    pub(in crate::agent::tests) fn alive(mut self, life: Life) -> Self {
        self.life = Some(life);
        self.goes_on(Stage::ConditionBegins, 3_000);
        self
    }

    pub(in crate::agent::tests) fn life(&mut self) -> &mut Life {
        self.life.as_mut().unwrap()
    }

    fn goes_on(&mut self, stage: Stage, after: BootMs) {
        self.flights.retain(|(_, _, flight)| !matches!(flight, Flight::Lives));
        self.life().pending = Some(stage);
        self.fly(after, Flight::Lives);
    }

    pub(super) fn act(&mut self, act: Act) {
        let Some(life) = &mut self.life else { return };
        match act {
            Act::Update | Act::Import if life.rests() => {
                let moves = life.moves;
                let now = life.tick();
                life.status = if act == Act::Update { "UPDATE_IN_PROGRESS" } else { "IMPORT_UPDATE_IN_PROGRESS" };
                if matches!(moves, Moves::AtStart | Moves::Both) {
                    life.updated = now;
                }
                life.told.push(Told::default());
                self.goes_on(Stage::ConditionBegins, 40_000);
            }
            Act::Fail | Act::Finish if life.waits() => self.goes_on(Stage::ConditionEnds(act == Act::Finish), 10),
            Act::Continue if life.status == "CREATE_FAILED" => {
                life.tick();
                life.status = "CREATE_IN_PROGRESS";
                self.goes_on(Stage::ConditionBegins, 3_000);
            }
            Act::Delete if life.rests() || life.status == "CREATE_FAILED" => {
                life.updated = life.tick();
                life.status = "DELETE_IN_PROGRESS";
                self.goes_on(Stage::Deleted, 50_000);
            }
            _ => {}
        }
    }

    pub(super) fn live(&mut self) {
        let life = self.life();
        let Some(stage) = life.pending.take() else { return };
        let now = life.tick();
        let creating = life.status == "CREATE_IN_PROGRESS";
        match stage {
            Stage::ConditionBegins => {
                if life.increment && !creating {
                    life.stored.clear();
                }
                life.condition = (if creating { "CREATE_IN_PROGRESS" } else { "UPDATE_IN_PROGRESS" }, now);
                if life.moves == Moves::Between && !creating {
                    life.updated = now;
                }
                // With the hosts that are there already a condition in Full mode waits for new ones only.
                let (ends, after) = if life.increment || creating { (false, 1_500_000) } else { (true, 200_000) };
                self.goes_on(Stage::ConditionEnds(ends), after);
            }
            Stage::ConditionEnds(well) => {
                life.condition = match (creating, well) {
                    (true, true) => ("CREATE_COMPLETE", now),
                    (true, false) => ("CREATE_FAILED", now),
                    (false, true) => ("UPDATE_COMPLETE", now),
                    (false, false) => ("UPDATE_FAILED", now),
                };
                self.goes_on(Stage::StackEnds(well), 4_000);
            }
            Stage::StackEnds(well) => {
                let imports = life.status == "IMPORT_UPDATE_IN_PROGRESS";
                life.status = match (creating, well) {
                    (true, true) => "CREATE_COMPLETE",
                    (true, false) => "CREATE_FAILED",
                    (false, true) if imports => "IMPORT_UPDATE_COMPLETE",
                    (false, true) => "UPDATE_COMPLETE",
                    (false, false) => "ROLLBACK_IN_PROGRESS",
                };
                if matches!(life.moves, Moves::AtEnd | Moves::Both) {
                    life.updated = now;
                }
                if life.status == "ROLLBACK_IN_PROGRESS" {
                    // The condition is updated back, and nobody waits.
                    life.condition = ("UPDATE_IN_PROGRESS", now);
                    self.goes_on(Stage::RolledBack, 45_000);
                }
            }
            Stage::RolledBack => {
                life.status = "ROLLBACK_COMPLETE";
                life.condition = ("UPDATE_COMPLETE", now);
                life.updated = now;
            }
            Stage::Deleted => {
                life.status = "DELETE_COMPLETE";
                // Some see its last status, to others it is just not there any more.
                life.gone = now.is_multiple_of(2);
            }
        }
    }

    pub(super) fn looked_at_life(&mut self, target: &Target, since: bool) -> Look {
        let _ = target;
        let looks = self.looks;
        let life = self.life();
        let result = match looks {
            Looks::Denied => return Look::Denied("Forbidden.RAM".to_owned()),
            Looks::Failing => return Look::Failed { why: "timed out".to_owned(), class: Class::Transient, retry_after: None },
            _ if life.gone => Look::NobodyWaits("the stack was deleted".to_owned()),
            _ if since && life.resources && life.waits() => {
                Look::WaitingSince { since: time(life.condition.1), creating: life.status == "CREATE_IN_PROGRESS" }
            }
            _ => read(life.status, Some(life.condition.0).filter(|_| life.resources && stack::depends_on_condition(life.status))),
        };
        life.shown = Some(!matches!(result, Look::NobodyWaits(_)));
        result
    }

    /// How the stack is, where a look is answered.
    pub(super) fn shown_life(&mut self, target: &Target) -> Option<Mark> {
        if matches!(self.looks, Looks::Denied | Looks::Failing) || self.life().gone {
            return None;
        }
        let facts = facts(target, self.life().status, self.life().updated);
        Some(Mark { status: facts.status, updated: facts.updated })
    }

    /// What a look that follows the stack shows.
    pub(super) fn sight(&mut self, target: &Target, unless: Option<&Mark>, resources: &[String]) -> Sight {
        match self.looks {
            Looks::Denied => return Sight::Denied("Forbidden.RAM".to_owned()),
            Looks::Failing => return Sight::Failed { why: "timed out".to_owned(), class: Class::Transient, retry_after: None },
            _ => {}
        }
        let completed =
            self.received.get(&key(&Target { resource: "WebReady".to_owned(), ..target.clone() })).is_some_and(|all| !all.is_empty());
        let busy = self.looks == Looks::Busy;
        let Some(life) = &mut self.life else {
            let status = if busy {
                "CHECK_IN_PROGRESS"
            } else if completed {
                "CREATE_COMPLETE"
            } else {
                "CREATE_IN_PROGRESS"
            };
            return Sight::Seen(Box::new(Seen { facts: facts(target, status, 1), host: "ros.test".to_owned(), ..Seen::default() }));
        };
        if life.gone {
            return Sight::Missing { host: "ros.test".to_owned() };
        }
        life.shown = Some(!matches!(read(life.status, None), Look::NobodyWaits(_)));
        let facts = facts(target, life.status, life.updated);
        let mark = Mark { status: facts.status.clone(), updated: facts.updated.clone() };
        let mut seen = Seen { facts, host: "ros.test".to_owned(), notifies_eventbridge: life.notifies, ..Seen::default() };
        if unless != Some(&mark) && !resources.is_empty() {
            if !life.resources {
                seen.resources_denied = Some("Forbidden.RAM".to_owned());
            }
            let read = |name: &String| SeenResource {
                logical_id: name.clone(),
                status: Some(if name == "Wait" { life.condition.0 } else { "CREATE_COMPLETE" }.to_owned()),
                updated: Some(time(life.condition.1)),
                metadata: life.metadata.clone().filter(|_| name != "Wait"),
                metadata_digest: life.metadata.clone().filter(|_| name != "Wait"),
            };
            seen.resources.extend(resources.iter().filter(|_| life.resources).map(read));
        }
        Sight::Seen(Box::new(seen))
    }

    pub(super) fn accept_in_life(&mut self, request: &SignalRequest) -> Answer {
        let id = request.unique_id.to_string();
        let life = self.life();
        life.ids.insert(id.clone());
        let waits = life.waits();
        let told = life.told.last_mut().unwrap();
        if !waits {
            told.stray += 1;
            life.stored.insert(id);
        } else if life.stored.insert(id.clone()) {
            told.counted.push((id, request.status));
            self.goes_on(Stage::ConditionEnds(request.status == SignalStatus::Success), 2_000);
        }
        Answer::Accepted { request_id: format!("req-{}", request.unique_id) }
    }

    /// At most one look in 2 s, to one stack.
    pub(super) fn judge_watch(&mut self, target: &Target) {
        assert!(self.plan.ros.poll && !self.core.stopping && self.core.identity.known.is_some());
        let now = self.now.boot_ms;
        let last = self.watched.iter().rev().find(|(stack, _)| *stack == target.stack_id);
        assert!(last.is_none_or(|(_, at)| now - at >= 2_000), "two looks within 2 s: {:?}", self.watched);
        self.watched.push((target.stack_id.clone(), now));
    }

    /// Nothing is sent where the last look that worked has shown that nobody waits.
    pub(super) fn judge_send_to_life(&self) {
        if let Some(life) = &self.life {
            assert_ne!(life.shown, Some(false), "sent although the last look showed {}", life.status);
        }
    }

    pub(super) fn forget_what_was_shown(&mut self) {
        if let Some(life) = &mut self.life {
            life.shown = None;
        }
    }

    /// Hints of every kind: repeated, of other stacks, older ones, and such that nobody has signed.
    pub(super) fn events(&mut self, count: u8) {
        for _ in 0..count {
            self.arrivals += 1;
            let roll = self.chance(64);
            let other = roll % 8 == 7;
            let stack = if other { "00000000-3b0f-4f5f-b4ca-a14bf6911234" } else { "4a6c9851-3b0f-4f5f-b4ca-a14bf6911234" };
            let status = ["CREATE_COMPLETE", "UPDATE_COMPLETE", "ROLLBACK_COMPLETE", "DELETE_COMPLETE"][usize::try_from(roll % 4).unwrap()];
            let event = Event {
                id: format!("event-{}", roll / 2),
                source: "acs.ros".to_owned(),
                kind: "ros:StackStateChange:UpdateComplete".to_owned(),
                stack_id: (roll % 16 != 3).then(|| stack.to_owned()),
                status: Some(status.to_owned()),
                ..Event::default()
            };
            let trust = if roll < 32 { Trust::Signed } else { Trust::Unsigned };
            let what = Box::new(Arrival { through: Name::from("queue"), trust, event });
            let before = self.taken.len();
            self.step(Input::Arrived { arrival: self.arrivals, what });
            assert_eq!(self.taken.len(), before + 1, "each event is answered at once");
        }
    }

    /// One event that has not come before: the stack is looked at within 13 s.
    pub(in crate::agent::tests) fn hint(&mut self) {
        self.arrivals += 1;
        let stack_id = Some("4a6c9851-3b0f-4f5f-b4ca-a14bf6911234".to_owned());
        let event = Event { id: format!("hint-{}", self.arrivals), source: "acs.ros".to_owned(), stack_id, ..Event::default() };
        let what = Box::new(Arrival { through: Name::from("queue"), trust: Trust::Guarded, event });
        self.step(Input::Arrived { arrival: self.arrivals, what });
    }

    /// No operation has heard this host twice, nor a signal that is sent once more than once.
    pub(in crate::agent::tests) fn judge_life(&self) {
        let life = self.life.as_ref().unwrap();
        for (number, told) in life.told.iter().enumerate() {
            assert!(told.counted.len() <= 1, "operation {number} has counted this host twice: {told:?}");
        }
        let signal = &self.plan.signals[0];
        if signal.resignal == crate::plan::Resignal::Never && !self.ledger_lost {
            assert!(life.ids.len() <= 1, "a second signal: {:?}", life.ids);
        }
    }
}

fn facts(target: &Target, status: &str, updated: u32) -> StackFacts {
    StackFacts {
        region: target.region.clone(),
        stack_id: target.stack_id.clone(),
        name: Some("web".to_owned()),
        status: status.to_owned(),
        reason: None,
        updated: Some(time(updated)),
    }
}
