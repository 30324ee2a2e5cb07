//! Operators' commands: what they are told, and under which id. Pure; how they are run is in `run`.

pub mod root;
mod run;
mod told;

use crate::check::Health;
use crate::plan::{Hook, Name, Transition, Trigger};
use crate::signal::{NAMESPACE, SignalStatus};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use run::run;
pub use told::Call;

/// What happened, for the hooks whose `on` has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum Occasion {
    /// The stack has got another status.
    Stack {
        /// What that means.
        transition: Transition,
        /// The stack, as it was looked at.
        stack: StackFacts,
        /// Its status before.
        previous: Option<String>,
    },
    /// The `Metadata` of a resource is another.
    Metadata {
        /// The stack, as it was looked at.
        stack: StackFacts,
        /// Logical ID of the resource.
        resource: String,
        /// As it was, JSON; none: it was not known, or is too long to be kept.
        old: Option<String>,
        /// As it is, JSON; none: it has none any more.
        new: Option<String>,
    },
    /// A verdict was made.
    Verdict {
        /// For this signal.
        signal: Name,
        /// In this round.
        round: String,
        /// The verdict.
        verdict: SignalStatus,
        /// Why.
        reason: String,
    },
    /// A check has got another state.
    Check {
        /// The check.
        check: Name,
        /// Its state.
        state: Health,
        /// The state before; none: `initial`.
        previous: Option<Health>,
        /// What it says.
        message: String,
    },
    /// An event has come, and the stack was looked at since.
    Event {
        /// The event.
        event: crate::events::Event,
        /// The stack, as it was looked at.
        stack: StackFacts,
    },
}

/// A stack as it was looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StackFacts {
    /// `RegionId`.
    pub region: String,
    /// `StackId`.
    pub stack_id: String,
    /// `StackName`.
    pub name: Option<String>,
    /// `Status`; `DELETE_COMPLETE` also where it is found no more.
    pub status: String,
    /// `StatusReason`.
    pub reason: Option<String>,
    /// `UpdateTime`, else `CreateTime`, as ROS writes it.
    pub updated: Option<String>,
}

/// How a run of a hook ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookEnd {
    /// It has done its work: exit status 0.
    pub succeeded: bool,
    /// In words, such as `exit status 3`.
    pub text: String,
    /// The end of what it printed, cut and cleaned.
    pub output: String,
}

/// A hook that is to be run, or was: in the ledger until it has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookRecord {
    /// The id of this occasion for this hook.
    pub id: String,
    /// The hook.
    pub hook: Name,
    /// What it is told.
    pub occasion: Occasion,
    /// Attempts that were begun.
    #[serde(default)]
    pub attempts: u32,
}

impl Occasion {
    /// What of `on` it is, such as `stack.updated`, or the type of the event.
    pub fn word(&self) -> String {
        match self {
            Self::Stack { transition, .. } => transition.word().to_owned(),
            Self::Metadata { .. } => "metadata.changed".to_owned(),
            Self::Verdict { verdict, .. } => format!("verdict.{}", verdict.word().to_ascii_lowercase()),
            Self::Check { state, .. } => format!("check.{state}"),
            Self::Event { event, .. } => event.kind.clone(),
        }
    }

    /// The stack that it is about, if it is about one.
    pub fn stack(&self) -> Option<&StackFacts> {
        match self {
            Self::Stack { stack, .. } | Self::Metadata { stack, .. } | Self::Event { stack, .. } => Some(stack),
            Self::Verdict { .. } | Self::Check { .. } => None,
        }
    }

    /// Whether `hook` is to be run for it.
    pub fn is_for(&self, hook: &Hook) -> bool {
        hook.on.iter().any(|trigger| match (trigger, self) {
            (Trigger::Stack(wanted), Self::Stack { transition, .. }) => wanted == transition,
            (Trigger::Metadata, Self::Metadata { resource, .. }) => hook.resource.as_ref().is_none_or(|wanted| wanted == resource),
            (Trigger::Verdict(wanted), Self::Verdict { verdict, signal, .. }) => wanted == verdict && names(&hook.signals, signal),
            (Trigger::Check(wanted), Self::Check { state, check, .. }) => wanted == state && names(&hook.checks, check),
            (Trigger::Event(wanted), Self::Event { event, .. }) => match wanted.strip_suffix('*') {
                Some(beginning) => event.kind.starts_with(beginning),
                None => *wanted == event.kind,
            },
            _ => false,
        })
    }

    /// The id of this occasion for the hook called `hook`: the same however often it is noticed. UUIDv5 (RFC 9562) in the namespace of
    /// all derived ids, of the text
    ///
    /// ```text
    /// hook v1 LF name of the hook LF
    ///   stack LF stack id LF status LF update time
    ///   | metadata LF stack id LF resource LF update time LF the new text
    ///   | verdict LF signal LF round LF status LF stamp
    ///   | check LF check LF state LF stamp
    ///   | event LF source LF id
    /// ```
    ///
    /// `stamp` tells apart what names alone do not: for a verdict the stack, for a check the moment.
    pub fn id(&self, hook: &str, stamp: &str) -> String {
        let key = match self {
            Self::Stack { stack, .. } => {
                format!("stack\n{}\n{}\n{}", stack.stack_id, stack.status, stack.updated.as_deref().unwrap_or_default())
            }
            Self::Metadata { stack, resource, new, .. } => {
                let (updated, new) = (stack.updated.as_deref().unwrap_or_default(), new.as_deref().unwrap_or_default());
                format!("metadata\n{}\n{resource}\n{updated}\n{new}", stack.stack_id)
            }
            Self::Verdict { signal, round, verdict, .. } => format!("verdict\n{signal}\n{round}\n{verdict}\n{stamp}"),
            Self::Check { check, state, .. } => format!("check\n{check}\n{state}\n{stamp}"),
            Self::Event { event, .. } => format!("event\n{}\n{}", event.source, event.id),
        };
        Uuid::new_v5(&NAMESPACE, format!("hook v1\n{hook}\n{key}").as_bytes()).to_string()
    }
}

/// Whether `list` has `name`; an empty one has all.
fn names(list: &[Name], name: &Name) -> bool {
    list.is_empty() || list.contains(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::testing;

    fn stack(updated: &str) -> StackFacts {
        StackFacts { stack_id: "4a6c9851".into(), status: "UPDATE_COMPLETE".into(), updated: Some(updated.into()), ..StackFacts::default() }
    }

    fn updated(at: &str) -> Occasion {
        Occasion::Stack { transition: Transition::Updated, stack: stack(at), previous: None }
    }

    #[test]
    fn an_occasion_has_one_id_for_each_hook_that_never_changes() {
        assert_eq!(updated("2026-01-02T03:04:05").id("apply", ""), updated("2026-01-02T03:04:05").id("apply", "later"));
        let ids: std::collections::BTreeSet<_> =
            [("apply", "2026-01-02T03:04:05"), ("tell", "2026-01-02T03:04:05"), ("apply", "2026-01-02T03:04:06")]
                .map(|(hook, at)| updated(at).id(hook, ""))
                .into();
        assert_eq!(ids.len(), 3);
        assert_eq!(updated("2026-01-02T03:04:05").id("apply", ""), "bb06f354-e235-5b65-8468-12f4c86197ad");
    }

    #[test]
    fn a_hook_is_for_what_its_on_names_and_no_more() {
        let event = |kind: &str| Occasion::Event {
            event: crate::events::Event { kind: kind.into(), ..Default::default() },
            stack: StackFacts::default(),
        };
        let on = |trigger: Trigger| testing::hook("h", vec![trigger]);
        assert!(updated("").is_for(&on(Trigger::Stack(Transition::Updated))));
        assert!(!updated("").is_for(&on(Trigger::Stack(Transition::Updating))));
        let all = on(Trigger::Event("ros:StackStateChange:*".into()));
        assert!(event("ros:StackStateChange:UpdateComplete").is_for(&all));
        assert!(!event("ros:ResourceStateChange:UpdateComplete").is_for(&all));
        assert!(!event("ros:StackStateChange:UpdateComplete").is_for(&on(Trigger::Event("ros:StackStateChange:Update".into()))));
        let change = |check: &str| Occasion::Check { check: check.into(), state: Health::Critical, previous: None, message: String::new() };
        let mut hook = on(Trigger::Check(Health::Critical));
        assert!(change("a").is_for(&hook) && change("b").is_for(&hook));
        hook.checks = vec!["a".into()];
        assert!(change("a").is_for(&hook) && !change("b").is_for(&hook));
        let metadata = |resource: &str| Occasion::Metadata { stack: stack(""), resource: resource.into(), old: None, new: None };
        let mut hook = on(Trigger::Metadata);
        hook.resource = Some("Web".into());
        assert!(metadata("Web").is_for(&hook) && !metadata("Db").is_for(&hook));
    }
}
