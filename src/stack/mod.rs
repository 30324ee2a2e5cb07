//! What the statuses of a stack mean for somebody who wants to signal it. Pure; the table is that of the ROS reference
//! (GetStack, 31 stack statuses).

pub mod advice;
pub mod confirm;
pub mod sight;
pub mod template;
pub mod transition;
mod yaml;

use crate::signal::Class;
use std::time::Duration;

/// What a look at the stack tells before a send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// A wait condition can be pending: send.
    Waiting,
    /// The condition itself waits, and since when was asked for: send, if that is the operation for which the verdict was made.
    WaitingSince {
        /// Time of the condition: it names the operation.
        since: String,
        /// The stack is being created, for the first time or again.
        creating: bool,
    },
    /// Nothing will consume a signal: settle as not needed.
    NobodyWaits(String),
    /// The stack is busy with something else: look again later, do not send yet.
    NotNow(String),
    /// What would wait is not there yet: look again, until the deadline.
    NotYet(String),
    /// RAM does not permit looking: send without.
    Denied(String),
    /// Nobody can be asked without credentials: a transport that needs none sends without, others wait as for a failed look.
    NoCredentials(String),
    /// The look itself failed, or the stack is not found (too early, other home): send without.
    Failed {
        /// Why, for a person.
        why: String,
        /// What kind of failure, for the pace of what comes next.
        class: Class,
        /// How long ROS asks us to wait before anything is asked again, if it asks.
        retry_after: Option<Duration>,
    },
}

/// What came of the question what the template says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lesson {
    /// This.
    Learned {
        /// Of handle and condition.
        facts: template::Facts,
        /// Milliseconds until the condition stops waiting, at the time of the answer; none: it is not known since when it waits.
        left_ms: Option<i64>,
    },
    /// There is a template, but it cannot be read.
    Unreadable(String),
    /// RAM does not permit reading it.
    Denied(String),
    /// The question itself failed.
    Failed {
        /// Why, for a person.
        why: String,
        /// What kind of failure.
        class: Class,
        /// How long ROS asks us to wait before anything is asked again, if it asks.
        retry_after: Option<Duration>,
    },
}

/// What somebody who wants to signal concludes from `GetStack`'s `Status` and, where the signal names its condition, from that
/// resource's `Status`.
///
/// A status that is not in the table counts as waiting: a stray signal does less harm than silence.
pub fn read(stack: &str, condition: Option<&str>) -> Look {
    let of_stack = match stack {
        "CREATE_IN_PROGRESS" | "UPDATE_IN_PROGRESS" => Look::Waiting,
        // An import brings resources in as they are; its conditions wait only if they themselves say so.
        "IMPORT_CREATE_IN_PROGRESS" | "IMPORT_UPDATE_IN_PROGRESS" if condition.is_some_and(waits) => return Look::Waiting,
        "CHECK_IN_PROGRESS" | "REVIEW_IN_PROGRESS" | "IMPORT_CREATE_IN_PROGRESS" | "IMPORT_UPDATE_IN_PROGRESS" => {
            Look::NotNow(format!("the stack is {stack}"))
        }
        other if other.contains("ROLLBACK") || other.starts_with("DELETE_") => nobody(other),
        other if other.ends_with("_COMPLETE") || other.ends_with("_FAILED") => nobody(other),
        _ => Look::Waiting,
    };
    let (Look::Waiting, Some(condition)) = (&of_stack, condition) else {
        return of_stack;
    };
    // A creation passes its condition once. In an update, or a creation that is continued, the condition still shows how it ended
    // last time until its turn comes: neither send for the last time nor settle for ever.
    match (stack, condition) {
        ("CREATE_IN_PROGRESS", "CREATE_COMPLETE") => Look::NobodyWaits("the condition is CREATE_COMPLETE".to_owned()),
        (_, "INIT_COMPLETE") => Look::Waiting,
        (_, ended) if ended.ends_with("_COMPLETE") || ended.ends_with("_FAILED") => {
            Look::NotNow(format!("the condition is {ended}, from before this operation"))
        }
        _ => Look::Waiting,
    }
}

/// Whether a condition with this status waits for signals.
pub fn waits(condition: &str) -> bool {
    matches!(condition, "CREATE_IN_PROGRESS" | "UPDATE_IN_PROGRESS" | "IMPORT_CREATE_IN_PROGRESS" | "IMPORT_UPDATE_IN_PROGRESS")
}

/// Whether what `read` says of this status of the stack depends on the condition.
pub fn depends_on_condition(stack: &str) -> bool {
    stack.starts_with("IMPORT_") && stack.ends_with("_IN_PROGRESS") && !stack.contains("ROLLBACK") || read(stack, None) == Look::Waiting
}

fn nobody(status: &str) -> Look {
    Look::NobodyWaits(format!("the stack is {status}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_wanted_while_a_creation_or_update_is_in_progress() {
        assert_eq!(read("CREATE_IN_PROGRESS", None), Look::Waiting);
        assert_eq!(read("UPDATE_IN_PROGRESS", Some("UPDATE_IN_PROGRESS")), Look::Waiting);
        assert_eq!(read("CREATE_IN_PROGRESS", Some("INIT_COMPLETE")), Look::Waiting);
        assert_eq!(read("SOMETHING_NEW", None), Look::Waiting);
    }

    #[test]
    fn nobody_waits_at_an_ended_or_rolling_back_stack() {
        for status in
            ["CREATE_COMPLETE", "CREATE_FAILED", "ROLLBACK_IN_PROGRESS", "CREATE_ROLLBACK_COMPLETE", "DELETE_IN_PROGRESS", "CHECK_COMPLETE"]
        {
            assert!(matches!(read(status, None), Look::NobodyWaits(_)), "{status}");
        }
        assert!(matches!(read("CREATE_IN_PROGRESS", Some("CREATE_COMPLETE")), Look::NobodyWaits(_)));
    }

    #[test]
    fn a_condition_that_ended_before_this_operation_is_waited_for() {
        assert!(matches!(read("UPDATE_IN_PROGRESS", Some("CREATE_COMPLETE")), Look::NotNow(_)));
        assert!(matches!(read("CREATE_IN_PROGRESS", Some("CREATE_FAILED")), Look::NotNow(_)));
        assert!(matches!(read("IMPORT_UPDATE_IN_PROGRESS", None), Look::NotNow(_)));
        assert!(matches!(read("IMPORT_UPDATE_IN_PROGRESS", Some("CREATE_COMPLETE")), Look::NotNow(_)));
        assert_eq!(read("IMPORT_UPDATE_IN_PROGRESS", Some("UPDATE_IN_PROGRESS")), Look::Waiting);
        assert!(depends_on_condition("IMPORT_CREATE_IN_PROGRESS") && !depends_on_condition("IMPORT_UPDATE_ROLLBACK_IN_PROGRESS"));
    }
}
