//! Rounds of signals with `resignal = "on_update"`: which operation of the stack a round belongs to, and when a new one is opened.
//!
//! An operation is named by the *condition's* own time, read while the condition is in progress: the time of the stack may move at the start of
//! an update, at its end, at both, or in between, and nothing depends on it. The operation that the first look finds is that of the first
//! round, also where its condition begins only later, so that a host that an update has made does not signal twice. A verdict is sent only
//! in its own operation.

use super::rounds::Active;
use super::watch::is_same_stack;
use super::{Core, NoteLevel};
use crate::plan::{Resignal, Signal};
use crate::signal::{Round, Settlement, StackOperation, Target};
use crate::stack;
use crate::stack::sight::SeenResource;
use crate::stack::transition::{Doing, doing};
use std::sync::Arc;

/// Longest part of a round's name that comes from ROS, in characters.
const TIME_LIMIT: usize = 40;

/// Where the condition is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Turn {
    /// It was not read.
    Unread,
    /// It has ended, or has not begun.
    NotNow,
    /// It waits, since this time of ROS.
    Since(String),
}

/// What a look means for the newest round.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Next {
    /// It goes on, in this operation.
    Goes(StackOperation),
    /// An update has begun that is not that of the round.
    Another(String),
}

/// Pure; `is_open`: the round has no verdict and is not settled.
fn next(before: Option<&StackOperation>, is_open: bool, doing: Doing, turn: Turn) -> Next {
    let goes = |began: Option<&String>, ended| Next::Goes(StackOperation { began: began.cloned(), ended });
    let began = before.and_then(|before| before.began.as_ref());
    let ended = before.is_some_and(|before| before.ended);
    match (doing, turn) {
        (Doing::Unknown, _) => before.map_or_else(|| goes(None, false), |_| goes(began, ended)),
        (Doing::Rests | Doing::Undone, _) => goes(began, true),
        (_, Turn::Unread) => goes(began, ended),
        // It was seen to wait, and does no more.
        (_, Turn::NotNow) => goes(began, ended || began.is_some()),
        // A creation that goes on is the one that it was.
        (Doing::Creates, Turn::Since(since)) => goes(Some(&since), false),
        (Doing::Updates, Turn::Since(since)) => match (began, ended) {
            (None, false) => goes(Some(&since), false),
            (Some(known), false) if *known == since => goes(Some(&since), false),
            (None, true) if is_open => goes(Some(&since), false),
            _ => Next::Another(since),
        },
    }
}

impl Core {
    /// Whether this signal of the plan is sent again on updates.
    pub(super) fn resignals(&self, signal: &str) -> bool {
        self.plan.signal(signal).is_some_and(|signal| signal.resignal == Resignal::OnUpdate)
    }

    /// What a look at the stack of `target` means for the operations of rounds.
    pub(super) fn follow_operations(&mut self, target: &Target, status: &str, resources: &[SeenResource]) {
        let plan = Arc::clone(&self.plan);
        let mut opened = false;
        for signal in plan.signals.iter().filter(|signal| signal.resignal == Resignal::OnUpdate) {
            if !self.target(signal).is_some_and(|known| is_same_stack(&known, target)) {
                continue;
            }
            let Some(index) = self.current(signal) else { continue };
            let read = signal.condition.as_ref().and_then(|name| resources.iter().find(|resource| resource.logical_id == *name));
            let turn = match read {
                None => Turn::Unread,
                Some(condition) if condition.status.as_deref().is_some_and(stack::waits) => {
                    Turn::Since(condition.updated.clone().unwrap_or_default())
                }
                Some(_) => Turn::NotNow,
            };
            match self.next_of(index, doing(status), turn) {
                Next::Goes(operation) => self.belongs(index, operation),
                Next::Another(since) => {
                    opened = true;
                    self.open_update(signal, index, since);
                }
            }
        }
        if opened {
            self.fit_checks();
        }
    }

    /// A round that is to be sent again on updates from now on, at a stack that was seen at rest before: the update that comes next is not that of
    /// the round, also where it begins before the next look.
    pub(super) fn rest_operations(&mut self) {
        let plan = Arc::clone(&self.plan);
        for signal in plan.signals.iter().filter(|signal| signal.resignal == Resignal::OnUpdate) {
            let Some(index) = self.current(signal) else { continue };
            let Some(round) = self.rounds.get(index).map(|active| &active.round).filter(|round| round.operation.is_none()) else {
                continue;
            };
            let rested = round.target.as_ref().and_then(|target| self.handled_status(target)).map(doing);
            if matches!(rested, Some(Doing::Rests | Doing::Undone)) {
                self.belongs(index, StackOperation { began: None, ended: true });
            }
        }
    }

    fn next_of(&self, index: usize, doing: Doing, turn: Turn) -> Next {
        let active = self.rounds.get(index);
        let before = active.and_then(|active| active.round.operation.as_ref());
        next(before, active.is_some_and(Active::is_open), doing, turn)
    }

    fn belongs(&mut self, index: usize, operation: StackOperation) {
        let Some(active) = self.rounds.get_mut(index) else { return };
        if active.round.operation.as_ref() != Some(&operation) {
            active.round.operation = Some(operation);
            self.durability.dirty = true;
        }
    }

    /// Before a send the condition was seen to wait: whether that is the operation of this verdict. If not, it is settled.
    pub(super) fn is_own_operation(&mut self, index: usize, since: String, creating: bool) -> bool {
        let Some(name) = self.rounds.get(index).map(|active| Arc::clone(&active.round.signal)) else { return false };
        if !self.resignals(&name) {
            return true;
        }
        let doing = if creating { Doing::Creates } else { Doing::Updates };
        match self.next_of(index, doing, Turn::Since(since)) {
            Next::Goes(operation) => {
                self.belongs(index, operation);
                true
            }
            Next::Another(since) => {
                let at_ms = self.turn.now.wall_ms;
                let why = format!("its operation of the stack is over: the condition waits for another one since {}", shown(&since));
                self.settle(index, Settlement::NotNeeded { why, at_ms });
                if let Some(target) = self.rounds.get(index).and_then(|active| active.round.target.clone()) {
                    self.look_again(&target);
                }
                false
            }
        }
    }

    /// The round that was settled because nobody waits is not that of an update which begins later.
    pub(super) fn operation_is_over(&mut self, index: usize) {
        let Some(name) = self.rounds.get(index).map(|active| Arc::clone(&active.round.signal)) else { return };
        let resignals = self.resignals(&name);
        let Some(active) = self.rounds.get_mut(index) else { return };
        if resignals {
            active.round.operation.get_or_insert_default();
        }
        if let Some(operation) = &mut active.round.operation {
            operation.ended = true;
        }
    }

    /// Opens the round of an update. What the signal owed before is no longer needed.
    fn open_update(&mut self, signal: &Signal, index: usize, since: String) {
        let Some(older) = self.rounds.get(index).map(|active| active.round.clone()) else { return };
        if older.settled.is_none() {
            let at_ms = self.turn.now.wall_ms;
            let why = format!("another update of the stack has begun, since {}", shown(&since));
            self.settle(index, Settlement::NotNeeded { why, at_ms });
        }
        let name = name_after(&older.name, &since);
        let own = self.own_checks(signal);
        self.start_over.extend(own);
        let stamp = self.turn.now.stamp(&self.boot_id);
        let round = Round {
            name: name.clone(),
            // Ids need not differ between rounds, requests must.
            series: older.series.saturating_add(1),
            operation: Some(StackOperation { began: Some(since), ended: false }),
            ..Round::first(Arc::clone(&signal.name), &signal.resource, older.target.clone(), stamp)
        };
        let now = self.now();
        self.rounds.push(Active::begun(round, now));
        // Those before are told by the history.
        let newest = self.rounds.len() - 1;
        let mut at = 0;
        self.rounds.retain(|active| {
            at += 1;
            let round = &active.round;
            at > newest || round.signal != signal.name || round.target != older.target || round.settled.is_none()
        });
        self.undecided = true;
        let text = format!("round {name} begun: the stack is updated, {} to decide", humantime::format_duration(signal.deadline));
        self.note_signal(&signal.name, NoteLevel::Info, &text);
        self.remember(Some(&signal.name), format!("round {name} begun"));
        if let Some(target) = older.target {
            self.tell_of_round(&target, format!("signal {}: {text}", signal.name));
        }
    }

    /// A creation that had failed goes on: what was settled because nobody waited, and was never acknowledged, is wanted again.
    pub(super) fn take_back_creation(&mut self, target: &Target) {
        let plan = Arc::clone(&self.plan);
        let mut begun = false;
        for signal in &plan.signals {
            if !self.target(signal).is_some_and(|known| is_same_stack(&known, target)) {
                continue;
            }
            let Some(index) = self.current(signal) else { continue };
            let Some(active) = self.rounds.get(index) else { continue };
            if !matches!(active.round.settled, Some(Settlement::NotNeeded { .. })) {
                continue;
            }
            if active.round.intent.is_some() {
                self.resume_sending(index);
            } else {
                self.begin_anew(signal, index);
                begun = true;
            }
            if let Some(operation) = self.rounds.get_mut(index).and_then(|active| active.round.operation.as_mut()) {
                *operation = StackOperation::default();
            }
            let text = "the creation of the stack goes on: it is wanted again";
            self.remember(Some(&signal.name), text);
            self.note_signal(&signal.name, NoteLevel::Info, text);
            self.tell_of_round(target, format!("signal {}: {text}", signal.name));
        }
        if begun {
            self.fit_checks();
        }
    }

    /// A round without a verdict has its time from now on.
    fn begin_anew(&mut self, signal: &Signal, index: usize) {
        let own = self.own_checks(signal);
        self.start_over.extend(own);
        let (now, stamp) = (self.now(), self.turn.now.stamp(&self.boot_id));
        if let Some(active) = self.rounds.get_mut(index) {
            let round = Round { started: stamp, extended: None, settled: None, learned: None, ..active.round.clone() };
            *active = Active::begun(round, now);
        }
        self.undecided = true;
        self.durability.dirty = true;
    }
}

/// Name of the round of the update since `since`, after the one called `older`: the time may stand still although the condition was seen to
/// have ended between.
fn name_after(older: &str, since: &str) -> String {
    let plain = format!("update-{}", shown(since));
    match older.strip_prefix(&plain) {
        None => plain,
        Some("") => format!("{plain}-2"),
        Some(number) => match number.strip_prefix('-').and_then(|number| number.parse::<u32>().ok()) {
            Some(number) => format!("{plain}-{}", number.saturating_add(1)),
            None => plain,
        },
    }
}

/// A time of ROS as part of a name: no more than a few harmless characters.
fn shown(since: &str) -> String {
    let shown: String = since.chars().filter(|c| c.is_ascii_alphanumeric() || "-:.+".contains(*c)).take(TIME_LIMIT).collect();
    if shown.is_empty() { "unknown".to_owned() } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn op(began: &str, ended: bool) -> StackOperation {
        StackOperation { began: (!began.is_empty()).then(|| began.to_owned()), ended }
    }

    fn since(time: &str) -> Turn {
        Turn::Since(time.to_owned())
    }

    fn goes(began: &str, ended: bool) -> Next {
        Next::Goes(op(began, ended))
    }

    #[test]
    fn the_operation_of_the_first_look_is_that_of_the_first_round_also_where_its_condition_begins_later() {
        assert_eq!(next(None, true, Doing::Updates, since("t1")), goes("t1", false));
        assert_eq!(next(None, true, Doing::Updates, Turn::NotNow), goes("", false));
        assert_eq!(next(Some(&op("", false)), false, Doing::Updates, since("t1")), goes("t1", false));
        assert_eq!(next(None, false, Doing::Creates, since("t0")), goes("t0", false));
    }

    #[test]
    fn an_update_is_another_operation_by_the_time_of_its_condition_or_after_the_end_of_the_one_before() {
        let another = Next::Another("t2".to_owned());
        assert_eq!(next(Some(&op("t1", false)), false, Doing::Updates, since("t2")), another, "its end was not seen");
        assert_eq!(next(Some(&op("t2", true)), false, Doing::Updates, since("t2")), another, "the time stands still");
        assert_eq!(next(Some(&op("", true)), false, Doing::Updates, since("t2")), another);
        assert_eq!(next(Some(&op("t2", false)), false, Doing::Updates, since("t2")), goes("t2", false));
        assert_eq!(next(Some(&op("", true)), true, Doing::Updates, since("t2")), goes("t2", false), "open, and of no operation yet");
    }

    #[test]
    fn an_operation_has_ended_when_the_stack_rests_or_the_condition_does() {
        for doing in [Doing::Rests, Doing::Undone] {
            assert_eq!(next(Some(&op("t1", false)), true, doing, Turn::Unread), goes("t1", true));
            assert_eq!(next(None, true, doing, since("t1")), goes("", true));
        }
        assert_eq!(next(Some(&op("t1", false)), true, Doing::Updates, Turn::NotNow), goes("t1", true));
        assert_eq!(next(Some(&op("", false)), true, Doing::Updates, Turn::NotNow), goes("", false), "its turn has not come");
        assert_eq!(next(Some(&op("t1", false)), true, Doing::Updates, Turn::Unread), goes("t1", false));
        assert_eq!(next(Some(&op("t1", false)), true, Doing::Unknown, since("t2")), goes("t1", false));
    }

    #[test]
    fn a_creation_that_is_continued_stays_the_one_that_it_was() {
        assert_eq!(next(Some(&op("t0", true)), false, Doing::Creates, since("t1")), goes("t1", false));
    }

    #[test]
    fn each_update_has_a_name_of_its_own_even_where_the_time_of_its_condition_stands_still() {
        let mut names = vec!["first".to_owned()];
        for _ in 0..4 {
            names.push(name_after(names.last().unwrap(), "2026-01-02T03:04:05"));
        }
        let plain = "update-2026-01-02T03:04:05";
        assert_eq!(names[1..], [plain.to_owned(), format!("{plain}-2"), format!("{plain}-3"), format!("{plain}-4")]);
        assert_eq!(name_after(&names[4], "2026-01-02T03:04:06"), "update-2026-01-02T03:04:06");
        assert_eq!(name_after("update-2026-01-02T03:04:05Z", "2026-01-02T03:04:05"), plain);
    }

    #[test]
    fn names_of_rounds_have_harmless_characters() {
        assert_eq!(shown("2026-01-02T03:04:05"), "2026-01-02T03:04:05");
        assert_eq!((shown(""), shown("\n\u{7}")), ("unknown".to_owned(), "unknown".to_owned()));
        assert_eq!(shown(&"9".repeat(99)).len(), 40);
    }
}
