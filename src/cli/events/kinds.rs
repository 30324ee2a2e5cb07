//! The types of events that ROS has, as the command line knows them. The short form of a type is what follows `ros:StackStateChange:`,
//! else what follows `ros:`.

use crate::events::envelope::kinds::{KINDS, implied_status};
use clap::builder::{PossibleValue, PossibleValuesParser};

const STATE_CHANGE: &str = "ros:StackStateChange:";

fn short(kind: &'static str) -> &'static str {
    kind.strip_prefix(STATE_CHANGE).or_else(|| kind.strip_prefix("ros:")).unwrap_or(kind)
}

/// What is taken on the command line, and completed there: the short forms, since shells break words at colons; full ones are taken too.
pub(in crate::cli) fn parser() -> PossibleValuesParser {
    PossibleValuesParser::new(KINDS.map(|(kind, _)| PossibleValue::new(short(kind)).alias(kind)))
}

/// The type in full of what [`parser`] has let through.
pub(super) fn full(typed: &str) -> &'static str {
    let is_meant = |kind: &&'static str| kind.eq_ignore_ascii_case(typed) || short(kind).eq_ignore_ascii_case(typed);
    KINDS.into_iter().map(|(kind, _)| kind).find(is_meant).unwrap_or("ros:Stack:StatusChange")
}

/// The status that a type says; none for types that tell something else.
pub(super) fn status(kind: &str) -> Option<String> {
    implied_status(kind).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_has_a_short_form_of_its_own_by_which_it_is_found() {
        for (kind, _) in KINDS {
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
