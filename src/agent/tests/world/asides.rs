//! What stands beside the main way: the template, and the looks after the acknowledgement. Neither may send, or change what was said.

use super::*;
use crate::plan::{HandleMode, NameSource};
use crate::signal::{Target, UniqueId};
use crate::stack::Lesson;
use crate::stack::confirm::Sighting;
use crate::stack::template::{Facts, Named};

/// What GetTemplate tells.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::agent::tests) enum Teaching {
    Denied,
    Failing,
    Unreadable,
    Taught { timeout_s: i64, left_ms: Option<i64> },
}

/// Names of this host.
pub(super) fn names() -> Vec<(NameSource, String)> {
    vec![(NameSource::InstanceName, "web-007".to_owned())]
}

impl World {
    /// Another host has told the handle.
    pub(in crate::agent::tests) fn another_host_signals(&mut self) {
        let target = self.core.rounds[0].round.target.clone().unwrap();
        self.received.entry(key(&target)).or_default().push(("another".to_owned(), SignalStatus::Success));
    }

    pub(super) fn lesson(&self) -> Lesson {
        match self.teaching {
            Teaching::Denied => Lesson::Denied("Forbidden.RAM".to_owned()),
            Teaching::Failing => Lesson::Failed { why: "timed out".to_owned(), class: Class::Transient, retry_after: None },
            Teaching::Unreadable => Lesson::Unreadable("it has no Resources".to_owned()),
            Teaching::Taught { timeout_s, left_ms } => Lesson::Learned {
                facts: Facts {
                    resource: Named::Handle,
                    mode: Some(HandleMode::Full),
                    count: Some(-1),
                    condition: Some("Wait".to_owned()),
                    conditions: 1,
                    needed: Some(1),
                    timeout_s: Some(timeout_s),
                },
                left_ms,
            },
        }
    }

    pub(super) fn sighting(&self, target: &Target, unique_id: &UniqueId) -> Sighting {
        let has_it = self.received.get(&key(target)).is_some_and(|all| all.iter().any(|(id, _)| id == unique_id.as_str()));
        match self.looks {
            Looks::Denied => Sighting::Denied("Forbidden.RAM".to_owned()),
            Looks::Failing => Sighting::Missed { why: "timed out".to_owned(), class: Class::Transient, retry_after: None },
            Looks::Busy => Sighting::Waiting("Wait is CREATE_IN_PROGRESS".to_owned()),
            Looks::Answered if has_it => Sighting::Counted("Wait has this signal".to_owned()),
            Looks::Answered => Sighting::NotCounted("Wait does not show this signal".to_owned()),
        }
    }

    /// A look after the acknowledgement never sends, and alters no intent and no settlement.
    pub(super) fn judge_aside(&mut self, input: Input) {
        let said =
            |core: &Core| core.rounds.iter().map(|active| (active.round.intent.clone(), active.round.settled.clone())).collect::<Vec<_>>();
        let attempts = |core: &Core| core.rounds.iter().map(|active| active.delivery.attempts).collect::<Vec<_>>();
        let settled = |core: &Core| core.rounds.iter().all(|active| active.round.settled.is_some());
        let before = (said(&self.core), attempts(&self.core), settled(&self.core));
        self.step(input);
        if before.2 {
            assert_eq!((said(&self.core), attempts(&self.core)), (before.0, before.1), "a look after the acknowledgement did something");
        }
    }

    /// A deadline that follows the template is never later than the stack waits, but for the one extension.
    pub(super) fn judge_deadlines(&self) {
        for active in self.core.rounds.iter().filter(|active| active.is_open() && active.extended.is_none()) {
            let (Some(timers), Some(learned)) = (self.core.timers(active), &active.round.learned) else { continue };
            let Some(left) = learned.left_ms.filter(|_| timers.from_template) else { continue };
            assert!(timers.last <= active.learned_at + left, "{timers:?}");
            assert!(timers.decide_by >= active.learned_at, "{timers:?}");
        }
    }
}
