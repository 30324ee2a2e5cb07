//! The ledger's thread and its disk: what is recorded, when, and what strikes it on the way.

use super::super::case::{Edge, Fault, Id, Moment as When, Planted, Strike};
use super::super::disk::Fault as Call;
use super::{Flight, Host};
use ros_signal_agent::agent::Input;
use ros_signal_agent::signal::{LedgerDocument, SignalRequest};

impl Host<'_> {
    /// No verdict that would outlive a power loss.
    pub(super) fn is_undecided(&self) -> bool {
        self.durable().is_none_or(|document| document.rounds.iter().all(|round| round.intent.is_none()))
    }

    /// How the disk is now, and where it fails next.
    pub(super) fn prepare_disk(&mut self) {
        self.disk = self.disk.filter(|(_, until)| self.elapsed < *until);
        self.observer.set_condition(self.disk.map(|(condition, _)| condition));
        let (calls, _) = self.observer.glance();
        let first = self.calls_before + calls;
        let dealt = self.strikes.iter().filter_map(|strike| {
            let When::Call(call, edge) = strike.when else { return None };
            let fault = match (strike.what, edge) {
                (Fault::Call(call), _) => call,
                (Fault::Disk(condition, _), _) => Call::Becomes(condition),
                (Fault::Kill | Fault::PowerLoss(_), Edge::Before) => Call::CrashBefore,
                (Fault::Kill | Fault::PowerLoss(_), Edge::After) => Call::CrashAfter,
                (Fault::Kill | Fault::PowerLoss(_), Edge::At(byte)) => Call::CrashAt(byte),
                _ => return None,
            };
            (call >= first).then_some((call, fault, *strike))
        });
        let Some((call, fault, strike)) = dealt.min_by_key(|(call, ..)| *call) else { return };
        self.observer.fail_at(call - self.calls_before, fault);
        self.armed = Some(strike);
    }

    /// What has struck while the disk was used.
    pub(super) fn after_disk(&mut self) {
        let (calls, ended) = self.observer.glance();
        let upto = self.calls_before + calls;
        self.uses.push(upto.saturating_sub(1));
        let is_passed = |strike: &Strike| matches!(strike.when, When::Call(call, _) if call < upto);
        let passed: Vec<_> = self.strikes.extract_if(.., |strike| is_passed(strike)).collect();
        let armed = self.armed.take();
        // Last what ends the agent: nothing strikes after it.
        let (ends, others): (Vec<_>, Vec<_>) = passed.into_iter().partition(|strike| strike.what.ends());
        for strike in others {
            match strike.what {
                // The disk deals one fault in each use; another in the same use has not happened.
                Fault::Call(call) if armed == Some(strike) => {
                    self.struck += 1;
                    self.tell(&format!("** {call:?} at {:?}", strike.when));
                }
                Fault::Call(_) => {}
                _ => self.strike(&strike.what),
            }
        }
        if let Some(end) = ends.into_iter().find(|strike| ended && armed == Some(*strike)) {
            self.strike(&end.what);
        }
    }

    pub(super) fn begin_write(&mut self) {
        if !self.writing && self.mailbox.is_some() {
            self.writing = true;
            let took = 1 + self.chance(40);
            self.fly(took, Flight::Write);
        }
    }

    pub(super) async fn write(&mut self) {
        if self.elapsed < self.hangs_until {
            self.fly(self.hangs_until - self.elapsed, Flight::Write);
            return;
        }
        self.writing = false;
        let Some(document) = self.mailbox.take() else { return };
        self.prepare_disk();
        let written = self.ledger.as_mut().unwrap().write(&document);
        self.after_disk();
        if self.dead {
            return;
        }
        if self.has_set_aside() {
            self.judge.ledger_lost = true;
        }
        self.begin_write();
        match written {
            Ok(()) => {
                self.settled_durably = document.rounds.iter().any(|round| round.settled.is_some());
                self.feed(Input::Recorded { generation: document.generation }).await;
            }
            Err(error) => {
                self.tell(&format!("not written: {error}"));
                self.feed(Input::NotRecorded { error: error.to_string() }).await;
            }
        }
    }

    pub(super) fn has_set_aside(&self) -> bool {
        self.observer.has(|name| name.starts_with("ledger.unread-") || name.starts_with("ledger.corrupt-"))
    }

    pub(super) fn record(&mut self, document: Box<LedgerDocument>) {
        self.settled = document.rounds.iter().any(|round| round.settled.is_some());
        if self.judge.decisions(&document, &self.plan) {
            self.strike_all(|when| when == When::Decided);
        }
        if self.dead {
            return;
        }
        if self.case.planted == Planted::RecordsUnwritten {
            self.settled_durably = self.settled;
            let generation = document.generation;
            self.fly(1, Flight::Input(Box::new(Input::Recorded { generation })));
            return;
        }
        self.mailbox = Some(document);
        self.begin_write();
    }

    /// What the worst power loss leaves.
    pub(super) fn durable(&self) -> Option<LedgerDocument> {
        serde_json::from_slice(&self.observer.durable("ledger.json")?).ok()
    }

    /// Nothing is sent that the disk does not hold, unless it cannot, and the id can be made again.
    pub(super) fn judge_record(&mut self, request: &SignalRequest) {
        let held = self.durable().is_some_and(|document| {
            let intents = document.rounds.iter().filter_map(|round| round.intent.as_ref());
            intents.into_iter().any(|intent| intent.unique_id == request.unique_id && intent.status == request.status)
        });
        let may = self.core.status().not_durable.is_some() && self.case.id != Id::Random && !self.case.hold;
        if !held && !may {
            self.judge.other(format!("{} under {} was sent before it was durable", request.status, request.unique_id));
        }
    }
}
