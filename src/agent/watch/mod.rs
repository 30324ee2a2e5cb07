//! Following the stack: looks by time (`pace`) and by hint (`hints`), and what follows from what they show (`sights`). What they mean for
//! rounds is told next door, in `updates`.
//!
//! Whatever comes through a source, at most one look in 2 s is made at a stack, and nothing but a look decides. Of what was seen only
//! the last transition that was handled, the host that served, deletion, and metadata that hooks follow are durable; the rest is seen
//! again by the first look of the next start, which is soon.

mod hints;
mod pace;
mod sights;

use super::status::StackView;
use super::{Core, Effect};
use crate::clock::{BootMs, rfc3339};
use crate::events::{Arrival, Line};
use crate::plan::{Resignal, SourceKind, Trigger};
use crate::retry::Schedules;
use crate::signal::{StackRecord, Target};
use crate::stack::sight::Seen;
use hints::Repeats;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Stacks that are followed.
const STACKS_LIMIT: usize = 16;

/// Resources that are read in one look.
const RESOURCES_LIMIT: usize = 16;

/// What is followed, and what was seen in this run of the agent.
#[derive(Default)]
pub(super) struct Watching {
    stacks: Vec<Watched>,
    repeats: Repeats,
    /// An event has come before it was known which stacks are followed: the first look is soon.
    early: bool,
    /// There are more stacks than are followed, and somebody was told.
    told_surplus: bool,
}

/// One stack.
struct Watched {
    /// The resource in it does not count.
    target: Target,
    phase: Phase,
    /// When the last look was asked for.
    asked_at: Option<BootMs>,
    /// No look before: it was refused, or ROS has asked to wait.
    not_before: BootMs,
    /// An event has come since the last look was asked for, and the next one is due for it.
    hinted: bool,
    /// The look in flight is made for an event.
    for_hint: bool,
    /// What the last look that worked has shown, without resources.
    seen: Option<Seen>,
    /// The resources that were read then.
    read: Vec<String>,
    /// Wall time of the last answer.
    looked_at_ms: Option<i64>,
    /// Why it may not be looked at.
    denied: Option<String>,
    /// Somebody was told that its resources may not be read.
    told_resources: bool,
    /// Why the last look failed.
    trouble: Option<String>,
    /// Looks in a row that have failed.
    failures: u32,
    /// Looks of this run that have come back, and how many of them showed nothing.
    looks: (u64, u64),
    schedules: Schedules,
    /// When it was last seen to have moved.
    moved_at: BootMs,
    /// The last look has missed it.
    missing: bool,
    /// Events for hooks that came since the last look was asked for.
    waiting: Vec<Arrival>,
    /// Events for hooks that the look in flight is made for.
    asked_for: Vec<Arrival>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Due(BootMs),
    Looking(u64),
    /// It is no more.
    Deleted,
}

impl Watched {
    fn new(target: Target, phase: Phase, now: BootMs) -> Self {
        Self {
            target,
            phase,
            asked_at: None,
            not_before: now,
            hinted: false,
            for_hint: false,
            seen: None,
            read: Vec::new(),
            looked_at_ms: None,
            denied: None,
            told_resources: false,
            trouble: None,
            failures: 0,
            looks: (0, 0),
            schedules: Schedules::default(),
            moved_at: now,
            missing: false,
            waiting: Vec::new(),
            asked_for: Vec::new(),
        }
    }

    fn is(&self, target: &Target) -> bool {
        is_same_stack(&self.target, target)
    }

    fn name(&self) -> &str {
        let name = self.seen.as_ref().and_then(|seen| seen.facts.name.as_deref());
        name.unwrap_or(&self.target.stack_id)
    }
}

/// Whatever the resource is.
pub(super) fn is_same_stack(one: &Target, other: &Target) -> bool {
    one.stack_id == other.stack_id && one.region == other.region
}

impl Core {
    /// The stacks that somebody here asks about: those of the plan's signals, and, for hooks, that of `[stack]` or of the instance.
    fn followed(&self) -> Vec<Target> {
        let of_signals = self.plan.signals.iter().filter_map(|signal| self.target(signal));
        let mut found: Vec<Target> = Vec::new();
        for target in of_signals.chain(self.stack_of_hooks()).filter(Target::is_known) {
            if !found.iter().any(|known| is_same_stack(known, &target)) {
                found.push(Target { resource: String::new(), ..target });
            }
        }
        found
    }

    fn stack_of_hooks(&self) -> Option<Target> {
        if self.plan.hooks.is_empty() {
            return None;
        }
        let identity = self.identity.known.as_ref();
        let region = self.plan.stack.region.clone().or_else(|| identity?.region.clone())?;
        let stack_id = self.plan.stack.stack_id.clone().or_else(|| identity?.stack_id.clone())?;
        Some(Target { region, stack_id, resource: String::new() })
    }

    /// Whether hooks ask about the stack of this host, and nobody has said yet which that is: its tag may appear later.
    pub(super) fn hooks_lack_stack(&self) -> bool {
        let asks = |trigger: &Trigger| matches!(trigger, Trigger::Stack(_) | Trigger::Metadata | Trigger::Event(_));
        self.plan.ros.poll && self.plan.hooks.iter().any(|hook| hook.on.iter().any(asks)) && self.stack_of_hooks().is_none()
    }

    /// Makes what is followed fit the plan and this host.
    pub(super) fn fit_watch(&mut self) {
        if self.identity.known.is_none() {
            return;
        }
        let mut wanted = if self.plan.ros.poll { self.followed() } else { Vec::new() };
        if wanted.len() > STACKS_LIMIT {
            if !std::mem::replace(&mut self.watching.told_surplus, true) {
                let text = format!("the plan names {} stacks, of which the first {STACKS_LIMIT} are followed", wanted.len());
                self.note(super::NoteLevel::Warn, text);
            }
            wanted.truncate(STACKS_LIMIT);
        }
        self.watching.stacks.retain(|watched| wanted.iter().any(|target| watched.is(target)));
        for target in wanted {
            if !self.watching.stacks.iter().any(|watched| watched.is(&target)) {
                let phase = self.first_phase(&target);
                let watched = Watched::new(target, phase, self.now());
                self.watching.stacks.push(watched);
            }
        }
        self.watching.early &= self.watching.stacks.is_empty();
        self.rest_operations();
        self.hasten_looks();
    }

    /// Another host begins anew.
    pub(super) fn forget_stacks(&mut self) {
        self.watching.stacks.clear();
        self.stacks.clear();
    }

    fn record_of(&self, target: &Target) -> Option<&StackRecord> {
        self.stacks.iter().find(|record| record.stack_id == target.stack_id && record.region == target.region)
    }

    /// What a stack was when it was looked at last, in this run of the agent or an earlier one.
    pub(super) fn handled_status(&self, target: &Target) -> Option<&str> {
        Some(self.record_of(target)?.handled.as_ref()?.status.as_str())
    }

    /// What the ledger has of a stack, made if need be. As many are kept as are followed; the oldest that nobody follows goes first.
    fn record_mut(&mut self, target: &Target) -> &mut StackRecord {
        let is_it = |record: &StackRecord| record.stack_id == target.stack_id && record.region == target.region;
        let index = match self.stacks.iter().position(is_it) {
            Some(index) => index,
            None => {
                let followed = |record: &StackRecord| {
                    let mut stacks = self.watching.stacks.iter();
                    stacks.any(|watched| watched.target.stack_id == record.stack_id && watched.target.region == record.region)
                };
                if self.stacks.len() >= STACKS_LIMIT {
                    let oldest = self.stacks.iter().position(|record| !followed(record)).unwrap_or(0);
                    self.stacks.remove(oldest);
                }
                let (region, stack_id) = (target.region.clone(), target.stack_id.clone());
                self.stacks.push(StackRecord {
                    region,
                    stack_id,
                    host: None,
                    handled: None,
                    missing: None,
                    deleted: false,
                    metadata: Vec::new(),
                });
                self.stacks.len() - 1
            }
        };
        #[expect(clippy::indexing_slicing, reason = "found or pushed just now")]
        &mut self.stacks[index]
    }

    /// Conditions of signals that are sent again on updates: they are read in each look while the stack moves.
    fn conditions(&self, stack: &Target) -> BTreeSet<String> {
        let on_update = self.plan.signals.iter().filter(|signal| signal.resignal == Resignal::OnUpdate);
        let here = on_update.filter(|signal| self.target(signal).is_some_and(|target| is_same_stack(&target, stack)));
        here.filter_map(|signal| signal.condition.clone()).collect()
    }

    /// Resources whose `Metadata` hooks follow.
    fn metadata_resources(&self, stack: &Target) -> BTreeSet<String> {
        let follows = |hook: &&Arc<crate::plan::Hook>| hook.on.contains(&Trigger::Metadata);
        let mut wanted = BTreeSet::new();
        for hook in self.plan.hooks.iter().filter(follows) {
            match &hook.resource {
                Some(resource) => {
                    let own = self.stack_of_hooks().is_none_or(|own| is_same_stack(&own, stack));
                    wanted.extend(own.then(|| resource.clone()));
                }
                None => {
                    let targets = self.plan.signals.iter().filter_map(|signal| self.target(signal));
                    wanted.extend(targets.filter(|target| is_same_stack(target, stack)).map(|target| target.resource));
                }
            }
        }
        wanted
    }

    /// Asks for the looks that are due.
    pub(super) fn watch(&mut self) {
        if self.watching_blocked() {
            return;
        }
        let now = self.now();
        for index in self.due_looks() {
            let Some(watched) = self.watching.stacks.get(index).filter(|watched| self.next_look(watched).is_some_and(|at| at <= now))
            else {
                continue;
            };
            let target = watched.target.clone();
            let mut resources = self.conditions(&target);
            let needs_condition = !resources.is_empty();
            resources.extend(self.metadata_resources(&target));
            let resources: Vec<_> = resources.into_iter().take(RESOURCES_LIMIT).collect();
            let unless = self.mark_that_says_enough(index, needs_condition, &resources);
            let watch = self.id();
            let Some(watched) = self.watching.stacks.get_mut(index) else { continue };
            watched.phase = Phase::Looking(watch);
            watched.asked_at = Some(now);
            watched.for_hint = std::mem::take(&mut watched.hinted);
            watched.read.clone_from(&resources);
            watched.asked_for.append(&mut watched.waiting);
            // What is let through while others wait is nobody's turn.
            if !self.is_yielding() {
                self.asks_aside();
            }
            self.effects.push(Effect::Watch { watch, target, unless, resources });
        }
    }

    /// The mark that makes it needless to read these resources: they were read under it, and the stack rested.
    fn mark_that_says_enough(&self, index: usize, needs_condition: bool, resources: &[String]) -> Option<crate::stack::sight::Mark> {
        let watched = self.watching.stacks.get(index)?;
        let seen = watched.seen.as_ref().filter(|_| watched.read == resources)?;
        // While it moves, conditions and metadata change without it.
        let moving = crate::stack::transition::is_moving(&seen.facts.status) && (needs_condition || !resources.is_empty());
        if moving { None } else { self.record_of(&watched.target)?.handled.clone() }
    }

    /// Not under an identity that may be somebody else's.
    fn watching_blocked(&self) -> bool {
        self.stopping || self.identity.known.is_none() || self.identity.is_in_doubt()
    }

    pub(super) fn watch_wake(&self) -> Option<BootMs> {
        if self.watching_blocked() {
            return None;
        }
        self.watching.stacks.iter().filter_map(|watched| self.next_look(watched)).min()
    }

    /// The stacks to look at, longest overdue first.
    fn due_looks(&self) -> Vec<usize> {
        let now = self.now();
        let due = |watched: &Watched| if let Phase::Due(at) = watched.phase { Some(at).filter(|at| *at <= now) } else { None };
        let mut due: Vec<_> = self.watching.stacks.iter().enumerate().filter_map(|(index, watched)| Some((due(watched)?, index))).collect();
        due.sort_unstable();
        due.into_iter().map(|(_, index)| index).collect()
    }

    /// When a stack is looked at next; none: a look is under way, or there is none any more. While ROS throttles that is later, but where looks open
    /// rounds not later than at a stack at rest.
    fn next_look(&self, watched: &Watched) -> Option<BootMs> {
        let Phase::Due(at) = watched.phase else { return None };
        let yielded = self.after_yielding(at);
        if yielded == at || self.conditions(&watched.target).is_empty() {
            return Some(yielded);
        }
        let at_rest = self.interval(watched).1.max(pace::USUAL_MS);
        Some(yielded.min(watched.asked_at.map_or(at, |asked| at.max(asked.saturating_add(at_rest)))))
    }

    /// Tells those who follow events.
    fn line(&mut self, what: &str, target: &Target, status: Option<&str>, text: String) {
        self.effects.push(Effect::Line(Box::new(Line {
            at: rfc3339(self.turn.now.wall_ms),
            what: what.to_owned(),
            text,
            through: None,
            event: None,
            taken: None,
            stack_id: Some(target.stack_id.clone()),
            status: status.map(str::to_owned),
            hook: None,
        })));
    }

    /// A round was opened or taken back.
    pub(super) fn tell_of_round(&mut self, target: &Target, text: String) {
        self.line("round", target, None, text);
    }

    /// Whether the last look showed that nobody waits at the stack of this round, or that its operation is over.
    pub(super) fn was_seen_over(&self, index: usize) -> Option<String> {
        let round = &self.rounds.get(index)?.round;
        let target = round.target.as_ref()?;
        if round.operation.as_ref().is_some_and(|operation| operation.ended) && self.resignals(&round.signal) {
            return Some("its operation of the stack was seen to have ended".to_owned());
        }
        let seen = self.watching.stacks.iter().find(|watched| watched.is(target))?.seen.as_ref()?;
        match crate::stack::read(&seen.facts.status, None) {
            crate::stack::Look::NobodyWaits(why) => Some(why),
            _ => None,
        }
    }

    /// The stacks that are followed, for people.
    pub(crate) fn stack_views(&self) -> Vec<StackView> {
        if self.plan.ros.poll {
            return self.watching.stacks.iter().map(|watched| self.stack_view(watched)).collect();
        }
        let off = |target: Target| StackView {
            stack_id: target.stack_id,
            region: target.region,
            state: "off".to_owned(),
            warnings: vec![
                "the stack is not looked at, so updates and its end are not noticed; hint: leave `poll` under [ros] out".to_owned(),
            ],
            ..StackView::default()
        };
        self.followed().into_iter().map(off).collect()
    }

    fn stack_view(&self, watched: &Watched) -> StackView {
        let record = self.record_of(&watched.target);
        let facts = watched.seen.as_ref().map(|seen| &seen.facts);
        let deleted = record.is_some_and(|record| record.deleted);
        let state = match (deleted, &watched.denied) {
            (true, _) => "deleted",
            (false, Some(_)) => "not permitted",
            (false, None) => "watched",
        };
        let handled = record.and_then(|record| record.handled.as_ref());
        StackView {
            stack_id: watched.target.stack_id.clone(),
            region: watched.target.region.clone(),
            name: facts.and_then(|facts| facts.name.clone()),
            status: facts.map(|facts| facts.status.clone()).or_else(|| handled.map(|mark| mark.status.clone())),
            reason: facts.and_then(|facts| facts.reason.clone()),
            updated: facts.map_or_else(|| handled.and_then(|mark| mark.updated.clone()), |facts| facts.updated.clone()),
            state: state.to_owned(),
            looked_at: watched.looked_at_ms.map(rfc3339),
            next_look_ms: self.next_look(watched).map(|at| at.saturating_sub(self.now()).max(0)),
            error: watched.trouble.clone(),
            notifies_eventbridge: watched.seen.as_ref().and_then(|seen| seen.notifies_eventbridge),
            warnings: self.stack_warnings(watched, deleted),
            looks: watched.looks.0,
            failed_looks: watched.looks.1,
        }
    }

    fn stack_warnings(&self, watched: &Watched, deleted: bool) -> Vec<String> {
        let mut warnings = Vec::new();
        if let Some(why) = watched.denied.as_ref().filter(|_| !deleted) {
            let hint = if why.contains("hint:") { "" } else { "; hint: grant ros:GetStack (and ros:GetStackResource) on the stack" };
            warnings.push(format!("the stack may not be looked at, so each signal has one round: {why}{hint}"));
        }
        let seen = watched.seen.as_ref();
        if let Some(why) = seen.and_then(|seen| seen.resources_denied.as_ref()) {
            warnings.push(format!("resources of the stack may not be read, so updates are not signalled again: {why}"));
        }
        let by_eventbridge = self.plan.sources.iter().any(|source| !matches!(source.kind, SourceKind::Callback(_)));
        if by_eventbridge && !deleted && seen.is_some_and(|seen| seen.notifies_eventbridge == Some(false)) {
            warnings.push(
                "no events of this stack can come: `eventbridge` is not among its NotificationURLs; hint: it is set when a stack is created \
                 (CreateStack, NotificationURLs); the agent polls as before"
                    .to_owned(),
            );
        }
        warnings
    }
}
