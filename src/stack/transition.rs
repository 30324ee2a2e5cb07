//! What each status of a stack means: for its signals, and for hooks. Pure; all 31 statuses of GetStack, as section 7 of the reference of
//! events has them (the table test reads its data).

use crate::plan::Transition;

/// What a stack is doing, for somebody who wants to signal it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// It is being created: conditions wait for the first time, or again where a failed creation is continued.
    Creates,
    /// It is being updated: conditions may wait anew.
    Updates,
    /// It is or was rolled back, or deleted: nobody waits, and what was owed is no more.
    Undone,
    /// Nobody waits now.
    Rests,
    /// A status that nobody has told us of.
    Unknown,
}

/// What `status` means for signals.
pub fn doing(status: &str) -> Doing {
    match status {
        "CREATE_IN_PROGRESS" | "IMPORT_CREATE_IN_PROGRESS" => Doing::Creates,
        "UPDATE_IN_PROGRESS" | "IMPORT_UPDATE_IN_PROGRESS" => Doing::Updates,
        "CHECK_IN_PROGRESS" | "REVIEW_IN_PROGRESS" => Doing::Rests,
        other if other.contains("ROLLBACK") || other.starts_with("DELETE_") => Doing::Undone,
        other if other.ends_with("_COMPLETE") || other.ends_with("_FAILED") => Doing::Rests,
        _ => Doing::Unknown,
    }
}

/// Whether something will become of it soon, so that it is worth a look. A stack in review waits for a person.
pub fn is_moving(status: &str) -> bool {
    status.ends_with("_IN_PROGRESS") && status != "REVIEW_IN_PROGRESS"
}

/// What a stack that has got this status tells hooks; none: nothing. A check of a stack (for drift) changes nothing of it.
pub fn transition(status: &str) -> Option<Transition> {
    match status {
        "CREATE_COMPLETE" | "IMPORT_CREATE_COMPLETE" => Some(Transition::Created),
        "UPDATE_IN_PROGRESS" | "IMPORT_UPDATE_IN_PROGRESS" => Some(Transition::Updating),
        "UPDATE_COMPLETE" | "IMPORT_UPDATE_COMPLETE" => Some(Transition::Updated),
        "ROLLBACK_IN_PROGRESS" | "IMPORT_UPDATE_ROLLBACK_IN_PROGRESS" => Some(Transition::RollingBack),
        "ROLLBACK_COMPLETE" | "IMPORT_UPDATE_ROLLBACK_COMPLETE" => Some(Transition::UpdateRolledBack),
        "DELETE_IN_PROGRESS" => Some(Transition::Deleting),
        "DELETE_COMPLETE" => Some(Transition::Deleted),
        "DELETE_FAILED" => Some(Transition::DeleteFailed),
        other if other.starts_with("CREATE_ROLLBACK_") || other.starts_with("IMPORT_CREATE_ROLLBACK_") => {
            Some(Transition::CreateRolledBack)
        }
        other if other.starts_with("CHECK_") => None,
        other if other.ends_with("_FAILED") => Some(Transition::Failed),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::{Look, read};
    use serde::Deserialize;

    #[derive(Deserialize)]
    struct Table {
        statuses: Vec<Row>,
    }

    #[derive(Deserialize)]
    struct Row {
        status: String,
        phase: String,
        kind: String,
        rollback: bool,
        signals_useful: bool,
    }

    fn table() -> Vec<Row> {
        let table: Table = serde_json::from_str(include_str!("../../tests/fixtures/events/stack-statuses.json")).unwrap();
        assert_eq!(table.statuses.len(), 31);
        table.statuses
    }

    #[test]
    fn each_of_the_31_statuses_tells_hooks_what_the_reference_says() {
        for row in table() {
            let creating = row.phase == "create" || row.phase == "import-create";
            let updating = row.phase == "update" || row.phase == "import-update";
            let expected = match (row.kind.as_str(), row.rollback) {
                _ if row.phase == "check" || row.phase == "review" => None,
                ("in_progress", false) if creating => None,
                (_, true) if creating => Some(Transition::CreateRolledBack),
                ("success", _) if creating => Some(Transition::Created),
                ("in_progress", false) if updating => Some(Transition::Updating),
                ("in_progress", true) if updating => Some(Transition::RollingBack),
                ("success", _) if updating => Some(Transition::Updated),
                ("failure", true) if row.status.ends_with("_COMPLETE") => Some(Transition::UpdateRolledBack),
                ("in_progress", _) => Some(Transition::Deleting),
                ("gone", _) => Some(Transition::Deleted),
                ("failure", _) if row.phase == "delete" => Some(Transition::DeleteFailed),
                _ => Some(Transition::Failed),
            };
            assert_eq!(transition(&row.status), expected, "{}", row.status);
        }
        assert_eq!(transition("SOMETHING_NEW"), None);
    }

    #[test]
    fn each_of_the_31_statuses_means_for_signals_what_the_reference_says() {
        for row in table() {
            let expected = match row.phase.as_str() {
                "delete" => Doing::Undone,
                _ if row.rollback => Doing::Undone,
                "create" | "import-create" if row.kind == "in_progress" => Doing::Creates,
                "update" | "import-update" if row.kind == "in_progress" => Doing::Updates,
                _ => Doing::Rests,
            };
            assert_eq!(doing(&row.status), expected, "{}", row.status);
            assert_eq!(is_moving(&row.status), row.kind == "in_progress" && row.phase != "review", "{}", row.status);
            // A rollback is useful for signals only as far as the table is careful: nobody waits in one.
            let waits = read(&row.status, Some("UPDATE_IN_PROGRESS")) == Look::Waiting;
            let imports_a_stack = row.status == "IMPORT_CREATE_IN_PROGRESS";
            assert_eq!(waits, (row.signals_useful && !row.rollback) || imports_a_stack, "{}", row.status);
        }
        assert_eq!(doing("SOMETHING_IN_PROGRESS"), Doing::Unknown);
    }
}
