//! What became of a signal that ROS accepted: read from its stack and, where one is known, from the condition that waits. Pure.
//!
//! HTTP 200 means accepted, not counted. `Data` and `ErrorData` of a WaitCondition are JSON objects by signal id (page 48502 of the ROS documentation). Whether `Data` is shown while the condition still waits is not documented: then only its end tells.

use crate::signal::{Class, SignalStatus};
use serde::de::IgnoredAny;
use std::collections::BTreeMap;
use std::time::Duration;

/// What a look after the acknowledgement has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sighting {
    /// The signal was counted, or the condition has what it waited for.
    Counted(String),
    /// The condition has what it waited for, without this signal.
    NotNeeded(String),
    /// The condition, or the stack, failed.
    Failed(String),
    /// The stack is rolled back or deleted.
    RolledBack(String),
    /// The condition still waits, and does not have this signal although its signals can be seen.
    NotCounted(String),
    /// Nothing can be told yet.
    Waiting(String),
    /// RAM does not permit looking.
    Denied(String),
    /// The look itself failed.
    Missed {
        /// Why, for a person.
        why: String,
        /// What kind of failure.
        class: Class,
        /// How long ROS asks us to wait before anything is asked again, if it asks.
        retry_after: Option<Duration>,
    },
}

/// A resource or stack as it was seen.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// `Status`.
    pub status: &'a str,
    /// `StatusReason`.
    pub reason: Option<&'a str>,
}

/// A condition as it was seen.
#[derive(Clone, Copy, Debug)]
pub struct Condition<'a> {
    /// Logical ID.
    pub name: &'a str,
    /// Its status.
    pub shown: Shown<'a>,
    /// Whether it has the signal; none: its signals cannot be seen.
    pub has_it: Option<bool>,
}

/// Whether `Data` or `ErrorData` of a condition holds the id; none if neither can be read.
pub fn holds(texts: &[Option<&str>], unique_id: &str) -> Option<bool> {
    let objects = texts.iter().filter_map(|text| serde_json::from_str::<BTreeMap<String, IgnoredAny>>((*text)?).ok());
    objects.map(|object| object.contains_key(unique_id)).reduce(|one, other| one || other)
}

/// Concludes for a signal that said `said`. Without a condition the stack alone has to tell.
pub fn judge(said: SignalStatus, stack: Shown<'_>, condition: Option<Condition<'_>>) -> Sighting {
    let of_stack = || format!("the stack is {}", explained(stack));
    if stack.status.contains("ROLLBACK") || stack.status.starts_with("DELETE_") {
        return Sighting::RolledBack(of_stack());
    }
    let Some(condition) = condition else {
        return match stack.status {
            ended if ended.ends_with("_COMPLETE") => completed(said, of_stack()),
            ended if ended.ends_with("_FAILED") => failed(said, of_stack()),
            _ => Sighting::Waiting(of_stack()),
        };
    };
    let of_condition = || format!("{} is {}", condition.name, explained(condition.shown));
    let status = condition.shown.status;
    if status.contains("ROLLBACK") || status.starts_with("DELETE_") {
        return Sighting::RolledBack(of_condition());
    }
    // In an update, or a creation that is continued, a condition shows how it ended last time until its turn comes.
    let perhaps_old = match stack.status {
        "UPDATE_IN_PROGRESS" => true,
        "CREATE_IN_PROGRESS" => status.ends_with("_FAILED"),
        _ => false,
    };
    let ended = status != "INIT_COMPLETE" && (status.ends_with("_COMPLETE") || status.ends_with("_FAILED"));
    match (ended, condition.has_it) {
        (true, has_it) if perhaps_old && has_it != Some(true) => {
            Sighting::Waiting(format!("{}, perhaps from before this operation", of_condition()))
        }
        (true, _) if status.ends_with("_FAILED") => failed(said, of_condition()),
        (true, Some(false)) => Sighting::NotNeeded(format!("{} without this signal", of_condition())),
        (true, None) => completed(said, of_condition()),
        (_, Some(true)) => Sighting::Counted(format!("{} has this signal", condition.name)),
        (false, Some(false)) if status.ends_with("_IN_PROGRESS") => {
            Sighting::NotCounted(format!("{}, and does not show this signal among those that it has", of_condition()))
        }
        (false, _) => Sighting::Waiting(of_condition()),
    }
}

/// It has what it waited for. Had a FAILURE been counted, it would not.
fn completed(said: SignalStatus, what: String) -> Sighting {
    if said == SignalStatus::Failure { Sighting::NotNeeded(format!("{what} in spite of it")) } else { Sighting::Counted(what) }
}

/// That the condition failed is what a FAILURE asks for.
fn failed(said: SignalStatus, what: String) -> Sighting {
    if said == SignalStatus::Failure { Sighting::Counted(what) } else { Sighting::Failed(what) }
}

fn explained(shown: Shown<'_>) -> String {
    match shown.reason.filter(|reason| !reason.is_empty()) {
        Some(reason) => format!("{}: {reason}", shown.status),
        None => shown.status.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use SignalStatus::{Failure, Success};

    fn seen(stack: &str, condition: &str, has_it: Option<bool>) -> Sighting {
        let shown = |status| Shown { status, reason: None };
        judge(Success, shown(stack), Some(Condition { name: "Wait", shown: shown(condition), has_it }))
    }

    #[test]
    fn a_signal_is_counted_when_the_condition_shows_it_or_is_complete() {
        for (stack, condition, has_it) in [
            ("CREATE_IN_PROGRESS", "CREATE_IN_PROGRESS", Some(true)),
            ("CREATE_IN_PROGRESS", "CREATE_COMPLETE", Some(true)),
            ("CREATE_IN_PROGRESS", "CREATE_COMPLETE", None),
            ("CREATE_COMPLETE", "CREATE_COMPLETE", None),
            ("UPDATE_IN_PROGRESS", "CREATE_COMPLETE", Some(true)),
        ] {
            assert!(matches!(seen(stack, condition, has_it), Sighting::Counted(_)), "{stack} {condition} {has_it:?}");
        }
    }

    #[test]
    fn one_that_is_missing_is_not_needed_at_the_end_and_not_counted_before() {
        assert!(matches!(seen("CREATE_IN_PROGRESS", "CREATE_COMPLETE", Some(false)), Sighting::NotNeeded(_)));
        assert!(matches!(seen("CREATE_IN_PROGRESS", "CREATE_IN_PROGRESS", Some(false)), Sighting::NotCounted(_)));
        assert!(matches!(seen("CREATE_IN_PROGRESS", "CREATE_IN_PROGRESS", None), Sighting::Waiting(_)));
        assert!(matches!(seen("CREATE_IN_PROGRESS", "INIT_COMPLETE", Some(false)), Sighting::Waiting(_)), "it does not wait yet");
    }

    #[test]
    fn how_a_condition_ended_before_this_operation_says_nothing() {
        assert!(matches!(seen("UPDATE_IN_PROGRESS", "CREATE_COMPLETE", Some(false)), Sighting::Waiting(_)));
        assert!(matches!(seen("UPDATE_IN_PROGRESS", "UPDATE_FAILED", None), Sighting::Waiting(_)));
        assert!(matches!(seen("CREATE_IN_PROGRESS", "CREATE_FAILED", None), Sighting::Waiting(_)));
    }

    #[test]
    fn failures_and_rollbacks_are_told_with_their_reason() {
        let shown = Shown { status: "CREATE_FAILED", reason: Some("1 of 2 received") };
        let wait = Condition { name: "Wait", shown, has_it: Some(true) };
        let failing = Shown { status: "CREATE_FAILED", reason: None };
        assert_eq!(judge(Success, failing, Some(wait)), Sighting::Failed("Wait is CREATE_FAILED: 1 of 2 received".to_owned()));
        assert!(matches!(judge(Failure, failing, Some(wait)), Sighting::Counted(_)), "it was told so");
        assert!(matches!(seen("ROLLBACK_IN_PROGRESS", "CREATE_COMPLETE", Some(true)), Sighting::RolledBack(_)));
        assert!(matches!(seen("CREATE_IN_PROGRESS", "DELETE_COMPLETE", None), Sighting::RolledBack(_)));
    }

    #[test]
    fn without_a_condition_the_end_of_the_stack_tells() {
        let alone = |status| judge(Success, Shown { status, reason: None }, None);
        assert!(matches!(alone("CREATE_COMPLETE"), Sighting::Counted(_)));
        assert!(matches!(alone("UPDATE_FAILED"), Sighting::Failed(_)));
        assert!(matches!(alone("CREATE_IN_PROGRESS"), Sighting::Waiting(_)));
    }

    #[test]
    fn a_failure_is_not_counted_by_what_completes_in_spite_of_it() {
        let complete = Shown { status: "CREATE_COMPLETE", reason: None };
        let wait = |has_it| Condition { name: "Wait", shown: complete, has_it };
        assert!(matches!(judge(Failure, complete, None), Sighting::NotNeeded(_)));
        assert_eq!(judge(Failure, complete, Some(wait(None))), Sighting::NotNeeded("Wait is CREATE_COMPLETE in spite of it".to_owned()));
        assert!(matches!(judge(Failure, complete, Some(wait(Some(true)))), Sighting::Counted(_)), "it shows it");
    }

    #[test]
    fn data_that_cannot_be_read_tells_nothing() {
        assert_eq!(holds(&[None, Some(""), Some("null"), Some("[\"a\"]")], "a"), None);
        assert_eq!(holds(&[Some("{}"), None], "a"), Some(false));
        assert_eq!(holds(&[Some("{\"b\": \"\"}"), Some("{\"a\": {\"x\": [1]}}")], "a"), Some(true));
    }
}
