//! The stacks in the one line of the summary.

use super::StackView;

/// Of the stacks, what explains what is waited for: that they are no more, or, while a signal is owed, how they are.
pub(super) fn clause(stacks: &[StackView], is_owed: bool) -> Option<String> {
    if !stacks.is_empty() && stacks.iter().all(|stack| stack.state == "deleted") {
        return Some("the stack was deleted, nobody waits".to_owned());
    }
    let mut statuses: Vec<&str> = stacks.iter().filter(|_| is_owed).filter_map(|stack| stack.status.as_deref()).collect();
    statuses.dedup();
    match &statuses[..] {
        [] => None,
        [status] => Some(format!("stack {status}")),
        [status, others @ ..] => Some(format!("stack {status}, and {} more", others.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack(state: &str, status: Option<&str>) -> StackView {
        StackView { state: state.to_owned(), status: status.map(str::to_owned), ..StackView::default() }
    }

    #[test]
    fn the_stack_is_told_where_it_explains_what_is_waited_for() {
        let updating = stack("watched", Some("UPDATE_IN_PROGRESS"));
        assert_eq!(clause(std::slice::from_ref(&updating), true).as_deref(), Some("stack UPDATE_IN_PROGRESS"));
        assert_eq!(clause(std::slice::from_ref(&updating), false), None, "nothing is owed");
        assert_eq!(clause(&[stack("not permitted", None)], true), None);
        assert_eq!(clause(&[], true), None);
        let other = stack("watched", Some("CREATE_COMPLETE"));
        assert_eq!(clause(&[updating, other], true).as_deref(), Some("stack UPDATE_IN_PROGRESS, and 1 more"));
    }

    #[test]
    fn a_stack_that_was_deleted_is_told_for_ever() {
        let gone = stack("deleted", Some("DELETE_COMPLETE"));
        assert_eq!(clause(std::slice::from_ref(&gone), false).as_deref(), Some("the stack was deleted, nobody waits"));
        assert_eq!(clause(&[gone, stack("watched", None)], false), None, "another one is there");
    }
}
