//! What the world holds against the core: the rules of the house and the promises of the product.

use super::*;
use crate::signal::SignalRequest;

impl World {
    /// Rule 1: nothing is sent that the disk does not hold, unless the disk cannot hold it and the id can be derived again.
    pub(super) fn judge_send(&self, request: &SignalRequest) {
        let held = self.synced.rounds.iter().any(|round| {
            // One that was superseded may have been taken back; its intent is the same.
            matches!(round.settled, None | Some(crate::signal::Settlement::Superseded { .. }))
                && round.intent.as_ref().is_some_and(|intent| intent.unique_id == request.unique_id && intent.status == request.status)
        });
        if held {
            return;
        }
        let signal = self.plan.signals.iter().find(|signal| signal.resource == request.target.resource).unwrap();
        assert!(self.core.durability.is_unwritable(), "sent before it was durable: {request:?}");
        assert_ne!(signal.unique_id, UniqueIdStrategy::Random, "a random id was sent before it was durable");
        assert_eq!(self.plan.on_unwritable, OnUnwritable::Send, "sent although the ledger cannot be written");
    }

    /// Promise 2 and "an intent is never changed".
    pub(super) fn judge_intents(&mut self) {
        let mut fresh = Vec::new();
        for active in &self.core.rounds {
            if let Some(intent) = &active.round.intent {
                let entry = (intent.unique_id.to_string(), intent.status.word());
                let elsewhere = active.round.target.as_ref().is_some_and(|target| target.stack_id.starts_with("ffffffff"));
                let of = format!("{}{}", active.round.signal, if elsewhere { " elsewhere" } else { "" });
                if self.intents.entry(of).or_default().insert(entry) && (intent.reason != BY_HAND || self.judging_identity) {
                    fresh.push((active.round.signal.to_string(), intent.status, intent.decided.clone(), active.started));
                }
            }
        }
        for (signal, status, decided, started) in fresh {
            let known = self.core.instance_id();
            assert!(
                !self.judging_identity || known == Some(&self.instance),
                "{signal} decided as {known:?}, but this is {}",
                self.instance
            );
            if status == SignalStatus::Success && decided.boot_ms == self.now.boot_ms && !self.judging_identity {
                self.judge_success(&signal, started);
            }
        }
    }

    pub(super) fn judge_success(&self, signal: &str, started: BootMs) {
        let signal = self.plan.signal(signal).unwrap();
        let window = self.now.boot_ms - crate::clock::millis(signal.min_healthy_time);
        for name in &signal.checks {
            let check = self.plan.check(name).unwrap();
            if check.level == crate::plan::Level::Wanted {
                continue;
            }
            if check.probe.is_passive() {
                self.judge_composites();
                let state = &self.core.checks[name].state;
                assert!(state.healthy_since().is_some_and(|since| since <= window), "false success: {name} was not good all the time");
                continue;
            }
            let seen = self.seen.get(&**name).map_or(&[][..], Vec::as_slice);
            assert!(seen.iter().all(|(at, good)| *good || *at < window), "false success: {name} was seen bad within min_healthy_time");
            let before = seen.iter().rev().find(|(at, _)| *at <= window);
            assert!(
                before.is_some_and(|(at, good)| *good && *at >= started.min(window)),
                "false success: {name} was not seen good before the window"
            );
        }
    }

    /// A composite says what the committed states of its members say, and whether it will never pass, at every moment.
    pub(super) fn judge_composites(&self) {
        for run in self.core.checks.values() {
            let crate::plan::Probe::Composite(composite) = &run.check.probe else { continue };
            let members = composite.of.iter().map(|name| &self.core.checks[name]);
            let members: Vec<_> = members
                .map(|run| crate::check::composite::Member {
                    name: &run.check.name,
                    health: run.state.committed(),
                    never: run.state.will_never_pass(&run.check),
                })
                .collect();
            let said = crate::check::composite::judge(composite, &members);
            let (health, terminal) = (said.as_ref().map(|said| said.health), said.is_some_and(|said| said.terminal));
            assert_eq!(
                (run.state.committed(), run.state.will_never_pass(&run.check)),
                (health, terminal),
                "{}: {members:?}",
                run.check.name
            );
        }
    }

    /// What is looked up by time and by run says what the checks themselves say.
    pub(super) fn judge_agenda(&self) {
        let runs = || self.core.checks.values();
        let dues: BTreeSet<_> = runs().filter_map(|run| Some((run.check.probe.kind(), run.due?, Arc::clone(&run.check.name)))).collect();
        let agenda = self.core.agenda.iter().flat_map(|(kind, dues)| dues.iter().map(|(due, name)| (*kind, *due, Arc::clone(name))));
        assert_eq!(agenda.collect::<BTreeSet<_>>(), dues);
        let in_flight = runs().filter_map(|run| Some((run.running?, (Arc::clone(&run.check.name), run.check.probe.kind()))));
        assert_eq!(self.core.in_flight, in_flight.collect::<BTreeMap<_, _>>());
        let mut taken: BTreeMap<&str, usize> = BTreeMap::new();
        for (_, kind) in self.core.in_flight.values() {
            *taken.entry(kind).or_default() += 1;
        }
        assert!(self.core.taken.iter().all(|(kind, count)| taken.get(kind).copied().unwrap_or(0) == *count), "slots are counted");
        assert!(runs().all(|run| run.due.is_none() || run.running.is_none() && run.waiting_for.is_none()), "due, but it cannot run");
    }

    /// The promises at the end.
    pub(in crate::agent::tests) fn judge(&self) {
        for signal in &self.plan.signals {
            let active = &self.core.rounds[self.core.current(signal).unwrap()];
            let settled = active.round.settled.as_ref();
            // ROS refuses for ever what it has already, and nobody may look: the agent goes on, slowly, until give_up.
            let told = active.round.target.as_ref().map(key).unwrap_or_default();
            let blind = matches!(self.looks, Looks::Denied | Looks::Failing);
            let has_it = self.received.get(&told).is_some_and(|all| !all.is_empty());
            let cannot_know = blind && self.switches.after_completion == AfterCompletion::Refused && has_it;
            assert!(settled.is_some() || cannot_know, "signal {} is not settled: {}", signal.name, self.core.summary());
            let received = self.received.get(&told).map_or(&[][..], Vec::as_slice);
            let ids: BTreeSet<_> = received.iter().map(|(id, _)| id).collect();
            let may_change_id = signal.unique_id == UniqueIdStrategy::Random && self.ledger_lost;
            assert!(ids.len() <= 1 || may_change_id, "more than one effective signal: {received:?}");
            let statuses: BTreeSet<_> = received.iter().map(|(_, status)| status.word()).collect();
            assert!(statuses.len() <= 1 || self.ledger_lost, "ROS was told two things: {received:?}");
            if let Some(crate::signal::Settlement::Acknowledged { .. }) = settled {
                let intent = active.round.intent.as_ref().unwrap();
                let told = received.iter().any(|(id, status)| *id == intent.unique_id.as_str() && *status == intent.status);
                assert!(told || self.ledger_lost, "acknowledged, but ROS has {received:?}");
            }
            let intents = self.intents.get(&*signal.name).map_or(0, BTreeSet::len);
            assert!(
                !received.is_empty()
                    || cannot_know
                    || self.ever_cancelled
                    || matches!(settled, Some(crate::signal::Settlement::Silent { .. })),
                "silence: {settled:?}, {intents} intents"
            );
        }
        assert_eq!(self.core.wake().filter(|at| *at <= self.now.boot_ms), None, "something is overdue for ever");
    }
}
