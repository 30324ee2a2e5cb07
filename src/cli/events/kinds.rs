//! The types of events that ROS has, as the command line knows them. The short form of a type is what follows `ros:StackStateChange:`,
//! else what follows `ros:`.

use clap::builder::{PossibleValue, PossibleValuesParser};

/// The 29 types of the page "ROS events".
const TYPES: [&str; 29] = [
    "ros:StackStateChange:CheckComplete",
    "ros:StackStateChange:CheckFailed",
    "ros:StackStateChange:CreateComplete",
    "ros:StackStateChange:CreateFailed",
    "ros:StackStateChange:CreateRollbackComplete",
    "ros:StackStateChange:CreateRollbackFailed",
    "ros:StackStateChange:DeleteComplete",
    "ros:StackStateChange:DeleteFailed",
    "ros:StackStateChange:ImportCreateComplete",
    "ros:StackStateChange:ImportCreateFailed",
    "ros:StackStateChange:ImportCreateRollbackComplete",
    "ros:StackStateChange:ImportCreateRollbackFailed",
    "ros:StackStateChange:ImportUpdateComplete",
    "ros:StackStateChange:ImportUpdateFailed",
    "ros:StackStateChange:ImportUpdateRollbackComplete",
    "ros:StackStateChange:ImportUpdateRollbackFailed",
    "ros:StackStateChange:RollbackComplete",
    "ros:StackStateChange:RollbackFailed",
    "ros:StackStateChange:UpdateComplete",
    "ros:StackStateChange:UpdateFailed",
    "ros:Stack:StatusChange",
    "ros:ActionTrail:AliyunServiceEvent",
    "ros:ActionTrail:ApiCall",
    "ros:ActionTrail:ConsoleOperation",
    "ros:CloudMonitor:StackGroup[OperationStatusChange]",
    "ros:CloudMonitor:StackResource[StatusChange]",
    "ros:CloudMonitor:Stack[StatusChange]",
    "ros:Config:ConfigurationItemChangeNotification",
    "ros:Config:NonCompliantNotification",
];

const STATE_CHANGE: &str = "ros:StackStateChange:";

fn short(kind: &'static str) -> &'static str {
    kind.strip_prefix(STATE_CHANGE).or_else(|| kind.strip_prefix("ros:")).unwrap_or(kind)
}

/// What is taken on the command line, and completed there: the short forms, since shells break words at colons; full ones are taken too.
pub(in crate::cli) fn parser() -> PossibleValuesParser {
    PossibleValuesParser::new(TYPES.map(|kind| PossibleValue::new(short(kind)).alias(kind)))
}

/// The type in full of what [`parser`] has let through.
pub(super) fn full(typed: &str) -> &'static str {
    let is_meant = |kind: &&'static str| kind.eq_ignore_ascii_case(typed) || short(kind).eq_ignore_ascii_case(typed);
    TYPES.into_iter().find(is_meant).unwrap_or("ros:Stack:StatusChange")
}

/// The status that a type says: its last part in capitals; none for types that tell something else.
pub(super) fn status(kind: &str) -> Option<String> {
    let words = kind.strip_prefix(STATE_CHANGE)?;
    let mut status = String::new();
    for letter in words.chars() {
        if letter.is_ascii_uppercase() && !status.is_empty() {
            status.push('_');
        }
        status.push(letter.to_ascii_uppercase());
    }
    Some(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_has_a_short_form_of_its_own_by_which_it_is_found() {
        for kind in TYPES {
            assert_eq!((full(kind), full(short(kind)), full(&short(kind).to_lowercase())), (kind, kind, kind));
        }
        assert_eq!(short("ros:StackStateChange:UpdateComplete"), "UpdateComplete");
        assert_eq!(short("ros:Stack:StatusChange"), "Stack:StatusChange");
    }

    #[test]
    fn the_status_is_what_the_type_says() {
        assert_eq!(status("ros:StackStateChange:ImportUpdateRollbackFailed").as_deref(), Some("IMPORT_UPDATE_ROLLBACK_FAILED"));
        assert_eq!(status("ros:Stack:StatusChange"), None);
    }
}
