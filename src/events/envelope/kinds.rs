//! The types of the page "ROS events", and the status of the stack that each implies. A type that is not here is a reason to look as any
//! other; it only implies nothing.

/// The 29 types, each with the status it implies, if it does.
pub static KINDS: [(&str, Option<&str>); 29] = [
    ("ros:StackStateChange:CheckComplete", Some("CHECK_COMPLETE")),
    ("ros:StackStateChange:CheckFailed", Some("CHECK_FAILED")),
    ("ros:StackStateChange:CreateComplete", Some("CREATE_COMPLETE")),
    ("ros:StackStateChange:CreateFailed", Some("CREATE_FAILED")),
    ("ros:StackStateChange:CreateRollbackComplete", Some("CREATE_ROLLBACK_COMPLETE")),
    ("ros:StackStateChange:CreateRollbackFailed", Some("CREATE_ROLLBACK_FAILED")),
    ("ros:StackStateChange:DeleteComplete", Some("DELETE_COMPLETE")),
    ("ros:StackStateChange:DeleteFailed", Some("DELETE_FAILED")),
    ("ros:StackStateChange:ImportCreateComplete", Some("IMPORT_CREATE_COMPLETE")),
    ("ros:StackStateChange:ImportCreateFailed", Some("IMPORT_CREATE_FAILED")),
    ("ros:StackStateChange:ImportCreateRollbackComplete", Some("IMPORT_CREATE_ROLLBACK_COMPLETE")),
    ("ros:StackStateChange:ImportCreateRollbackFailed", Some("IMPORT_CREATE_ROLLBACK_FAILED")),
    ("ros:StackStateChange:ImportUpdateComplete", Some("IMPORT_UPDATE_COMPLETE")),
    ("ros:StackStateChange:ImportUpdateFailed", Some("IMPORT_UPDATE_FAILED")),
    ("ros:StackStateChange:ImportUpdateRollbackComplete", Some("IMPORT_UPDATE_ROLLBACK_COMPLETE")),
    ("ros:StackStateChange:ImportUpdateRollbackFailed", Some("IMPORT_UPDATE_ROLLBACK_FAILED")),
    ("ros:StackStateChange:RollbackComplete", Some("ROLLBACK_COMPLETE")),
    ("ros:StackStateChange:RollbackFailed", Some("ROLLBACK_FAILED")),
    ("ros:StackStateChange:UpdateComplete", Some("UPDATE_COMPLETE")),
    ("ros:StackStateChange:UpdateFailed", Some("UPDATE_FAILED")),
    ("ros:Stack:StatusChange", None),
    ("ros:ActionTrail:AliyunServiceEvent", None),
    ("ros:ActionTrail:ApiCall", None),
    ("ros:ActionTrail:ConsoleOperation", None),
    ("ros:CloudMonitor:StackGroup[OperationStatusChange]", None),
    ("ros:CloudMonitor:StackResource[StatusChange]", None),
    ("ros:CloudMonitor:Stack[StatusChange]", None),
    ("ros:Config:ConfigurationItemChangeNotification", None),
    ("ros:Config:NonCompliantNotification", None),
];

/// The status of the stack that the type `kind` implies.
pub fn implied_status(kind: &str) -> Option<&'static str> {
    KINDS.iter().find(|(name, _)| *name == kind)?.1
}

/// Whether `kind` is one of the page.
pub fn is_known(kind: &str) -> bool {
    KINDS.iter().any(|(name, _)| *name == kind)
}

/// Whether the status that an event of type `kind` carries is that of the stack, and not of one of its resources or of a group.
pub(super) fn is_of_stack(kind: &str) -> bool {
    !kind.starts_with("ros:CloudMonitor:StackResource") && !kind.starts_with("ros:CloudMonitor:StackGroup")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn every_type_of_the_page_is_known_with_the_status_it_implies() {
        let page: Value = serde_json::from_str(include_str!("../../../tests/fixtures/events/event-types.json")).unwrap();
        let types = page["types"].as_array().unwrap();
        assert_eq!(types.len(), KINDS.len());
        for described in types {
            let name = described["type"].as_str().unwrap();
            assert!(is_known(name), "{name}");
            // `ros:Stack:StatusChange` is for any status, which the page says in words.
            let status = described["data_status"].as_str().filter(|text| text.chars().all(|c| c.is_ascii_uppercase() || c == '_'));
            assert_eq!(implied_status(name), status, "{name}");
        }
    }

    #[test]
    fn an_unknown_type_implies_nothing() {
        assert_eq!(implied_status("ros:StackStateChange:SomethingNew"), None);
        assert!(!is_known("ros:StackStateChange:updatecomplete"), "types are compared exactly");
    }
}
