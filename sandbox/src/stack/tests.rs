use time::macros::datetime;

use super::spec::{Mode, ResourceSpec, StackSpec};
use super::status::Status;
use super::{SignalStatus, Stack};
use crate::clock::Moment;
use crate::switches::{AfterCompletion, Switches};

use SignalStatus::{Failure, Success, Warning};

/// A stack, its clock and its switches.
struct Rehearsal {
    stack: Stack,
    now: Moment,
    switches: Switches,
}

fn handle(mode: Mode, count: i64) -> ResourceSpec {
    ResourceSpec::Handle { mode, count, too_early_for: 0.0, too_early: false }
}

/// A stack that waits for `count` signals for 300 s.
fn waiting(handle: ResourceSpec, count: u32) -> Rehearsal {
    let spec = StackSpec::default().resource("Web", handle).resource("Wait", ResourceSpec::condition("Web", count, 300.0));
    let now = datetime!(2026-01-02 03:04:05 UTC);
    Rehearsal { stack: Stack::create("s", &spec, now), now, switches: Switches::default() }
}

impl Rehearsal {
    fn send(&mut self, id: &str, status: SignalStatus) -> &mut Self {
        self.stack.advance(self.now, &self.switches);
        self.stack.signal("Web", id, status, self.now, &self.switches).unwrap();
        self
    }

    fn refused(&mut self, id: &str) -> String {
        self.stack.signal("Web", id, Success, self.now, &self.switches).unwrap_err().code
    }

    fn pass(&mut self, seconds: i64) -> &mut Self {
        self.now += time::Duration::seconds(seconds);
        self.stack.advance(self.now, &self.switches);
        self
    }

    fn update(&mut self, handle: ResourceSpec, count: u32) -> &mut Self {
        self.pass(1);
        let spec = StackSpec::default()
            .status(Status::UPDATE_IN_PROGRESS)
            .resource("Web", handle)
            .resource("Wait", ResourceSpec::condition("Web", count, 300.0));
        self.stack.put(&spec, self.now, &self.switches);
        self
    }

    #[track_caller]
    fn is(&mut self, status: &str) -> &mut Self {
        assert_eq!(self.stack.status.to_string(), status, "{}", self.stack.reason);
        self
    }

    fn ids(&self) -> Vec<String> {
        let view = self.stack.view();
        view.resources["Web"].signals.iter().map(|signal| signal.unique_id.clone()).collect()
    }

    fn effective(&self) -> u32 {
        self.stack.view().effective_signals
    }
}

#[test]
fn enough_successes_complete_the_condition_and_the_stack() {
    let mut r = waiting(ResourceSpec::handle(), 2);
    r.send("a", Success).is("CREATE_IN_PROGRESS").send("b", Success).is("CREATE_COMPLETE");
    assert_eq!(r.stack.resources["Wait"].status, Status::CREATE_COMPLETE);
    assert_eq!(r.effective(), 2);
}

#[test]
fn one_failure_is_final() {
    let mut r = waiting(ResourceSpec::handle(), 2);
    r.send("a", Failure).is("CREATE_FAILED").send("a", Success).send("b", Success).is("CREATE_FAILED");
    assert!(r.stack.reason.contains("signal a reported FAILURE"), "{}", r.stack.reason);
}

#[test]
fn a_failure_is_final_although_the_other_signals_suffice_later() {
    let mut r = waiting(ResourceSpec::handle(), 3);
    r.send("a", Success).send("b", Success).send("c", Failure).is("CREATE_FAILED");
}

#[test]
fn too_few_signals_in_time_fail_and_the_reason_counts_them() {
    let mut r = waiting(ResourceSpec::handle(), 2);
    r.send("a", Success).pass(299).is("CREATE_IN_PROGRESS").pass(1).is("CREATE_FAILED");
    assert!(r.stack.reason.contains("1 of 2 received"), "{}", r.stack.reason);
}

#[test]
fn a_signal_at_the_very_timeout_is_too_late() {
    let mut r = waiting(ResourceSpec::handle(), 1);
    r.now += time::Duration::seconds(300);
    r.send("a", Success).is("CREATE_FAILED");
    assert_eq!(r.effective(), 0);
}

#[test]
fn a_failed_creation_is_rolled_back_where_asked_for() {
    let mut r = waiting(ResourceSpec::handle(), 1);
    r.stack.rollback = true;
    r.send("a", Failure).is("CREATE_ROLLBACK_IN_PROGRESS").pass(1).is("CREATE_ROLLBACK_COMPLETE");
    let statuses: Vec<String> = r.stack.events.iter().map(|event| event.status.to_string()).collect();
    assert!(statuses.contains(&"CREATE_FAILED".to_owned()), "{statuses:?}");
}

#[test]
fn a_failed_update_is_rolled_back_where_asked_for() {
    let mut r = waiting(ResourceSpec::handle(), 1);
    r.send("a", Success).is("CREATE_COMPLETE").update(handle(Mode::Increment, -1), 1);
    r.stack.rollback = true;
    r.send("b", Failure).is("ROLLBACK_IN_PROGRESS").pass(1).is("ROLLBACK_COMPLETE");
}

#[test]
fn a_repeated_id_is_one_signal() {
    let mut r = waiting(ResourceSpec::handle(), 2);
    r.send("a", Success).send("a", Success).send("a", Success).is("CREATE_IN_PROGRESS");
    let signal = &r.stack.view().resources["Web"].signals[0];
    assert_eq!((signal.received, signal.effective), (3, 1));
}

#[test]
fn a_repeated_id_with_another_status_overwrites_and_is_seen_as_a_second_effect() {
    let mut r = waiting(ResourceSpec::handle(), 2);
    r.send("a", Success).send("a", Warning).is("CREATE_IN_PROGRESS");
    assert_eq!(r.effective(), 2);
    r.send("b", Success).is("CREATE_COMPLETE");
}

#[test]
fn a_failure_can_be_overwritten_only_until_the_condition_looks() {
    let mut r = waiting(ResourceSpec::handle(), 1);
    r.switches.evaluation_interval_ms = 5000;
    r.send("a", Failure).is("CREATE_IN_PROGRESS").pass(4).send("a", Success).pass(1).is("CREATE_COMPLETE");

    let mut r = waiting(ResourceSpec::handle(), 1);
    r.switches.evaluation_interval_ms = 5000;
    r.send("a", Failure).pass(5).is("CREATE_FAILED").send("a", Success).pass(5).is("CREATE_FAILED");
}

#[test]
fn only_warnings_fail_under_either_switch() {
    for warning_counts in [true, false] {
        let mut r = waiting(ResourceSpec::handle(), 2);
        r.switches.warning_counts = warning_counts;
        r.send("a", Warning).is("CREATE_IN_PROGRESS").send("b", Warning).is("CREATE_FAILED");
        assert!(r.stack.reason.contains("all 2 signals are warnings"), "{}", r.stack.reason);
    }
}

#[test]
fn a_warning_beside_a_success_counts_as_the_switch_says() {
    let mut r = waiting(ResourceSpec::handle(), 2);
    r.send("a", Success).send("b", Warning).is("CREATE_COMPLETE");

    let mut r = waiting(ResourceSpec::handle(), 2);
    r.switches.warning_counts = false;
    r.send("a", Success).send("b", Warning).is("CREATE_IN_PROGRESS").send("c", Success).is("CREATE_COMPLETE");
}

#[test]
fn a_full_handle_keeps_old_signals_and_an_update_waits_for_the_rest() {
    let mut r = waiting(ResourceSpec::handle(), 1);
    r.send("a", Success).is("CREATE_COMPLETE").update(ResourceSpec::handle(), 2).is("UPDATE_IN_PROGRESS");
    r.send("a", Success).is("UPDATE_IN_PROGRESS").send("b", Success).is("UPDATE_COMPLETE");
    assert_eq!(r.ids(), ["a", "b"]);
}

#[test]
fn a_stray_signal_at_a_full_handle_is_counted_in_place_of_a_new_host() {
    let mut r = waiting(ResourceSpec::handle(), 1);
    r.send("a", Success).send("stray", Success).update(ResourceSpec::handle(), 2).is("UPDATE_COMPLETE");
}

#[test]
fn an_increment_handle_forgets_and_an_update_waits_for_count_new_ones() {
    let mut r = waiting(handle(Mode::Increment, -1), 2);
    r.send("a", Success).send("b", Success).is("CREATE_COMPLETE").update(handle(Mode::Increment, -1), 1);
    assert!(r.ids().is_empty());
    r.is("UPDATE_IN_PROGRESS").send("a", Success).is("UPDATE_COMPLETE");
    assert_eq!(r.stack.view().resources["Web"].signals[0].operation, 2);
}

#[test]
fn an_effective_handle_count_deletes_larger_integer_ids_before_the_update() {
    let mut r = waiting(handle(Mode::Full, 3), 3);
    r.send("1", Success).send("2", Success).send("3", Success).is("CREATE_COMPLETE");
    r.update(handle(Mode::Full, 1), 2).is("UPDATE_IN_PROGRESS");
    assert_eq!(r.ids(), ["1"]);
    r.send("2", Success).is("UPDATE_COMPLETE");
}

#[test]
fn an_effective_handle_count_and_an_id_that_is_no_integer_fail_the_update() {
    let mut r = waiting(handle(Mode::Full, 3), 1);
    r.send("i-abc", Success).is("CREATE_COMPLETE").update(handle(Mode::Full, 3), 2).is("UPDATE_FAILED");
    assert!(r.stack.reason.contains("'i-abc' is not an integer"), "{}", r.stack.reason);
}

#[test]
fn handle_count_has_no_effect_with_increment() {
    let mut r = waiting(handle(Mode::Increment, 3), 1);
    r.send("i-abc", Success).update(handle(Mode::Increment, 3), 1).is("UPDATE_IN_PROGRESS");
}

#[test]
fn after_completion_a_signal_is_stored_or_refused_as_the_switch_says() {
    let mut r = waiting(ResourceSpec::handle(), 1);
    r.send("a", Success).send("late", Failure).is("CREATE_COMPLETE");
    let late = r.stack.view().resources["Web"].signals.iter().find(|signal| signal.unique_id == "late").cloned().unwrap();
    assert!(late.late);
    assert_eq!((late.received, late.effective), (1, 0));

    let mut r = waiting(ResourceSpec::handle(), 1);
    r.switches.after_completion = AfterCompletion::Refuse;
    r.send("a", Success);
    assert_eq!(r.refused("late"), "NotSupported");
    assert_eq!(r.ids(), ["a"]);
}

#[test]
fn a_handle_is_not_available_before_it_exists_and_the_timeout_runs_from_then() {
    let early = ResourceSpec::Handle { mode: Mode::Full, count: -1, too_early_for: 10.0, too_early: false };
    let mut r = waiting(early, 1);
    assert_eq!(r.refused("a"), "ResourceNotAvailable");
    r.pass(9);
    assert_eq!(r.refused("a"), "ResourceNotAvailable");
    r.pass(1).pass(299).is("CREATE_IN_PROGRESS").send("a", Success).is("CREATE_COMPLETE");
}

#[test]
fn a_handle_that_waits_to_be_told_is_not_available_until_told() {
    let early = ResourceSpec::Handle { mode: Mode::Full, count: -1, too_early_for: 0.0, too_early: true };
    let mut r = waiting(early, 1);
    r.pass(100_000).is("CREATE_IN_PROGRESS");
    assert_eq!(r.refused("a"), "ResourceNotAvailable");
    assert!(r.stack.make_available("Web", r.now));
    r.send("a", Success).is("CREATE_COMPLETE");
}

#[test]
fn a_condition_cannot_be_signalled_unless_the_switch_allows_it() {
    let mut r = waiting(ResourceSpec::handle(), 1);
    let refusal = r.stack.signal("Wait", "a", Success, r.now, &r.switches).unwrap_err();
    assert_eq!(refusal.code, "ResourceActionNotSupported");
    r.switches.condition_accepts_signals = true;
    r.stack.signal("Wait", "a", Success, r.now, &r.switches).unwrap();
    r.is("CREATE_COMPLETE");
}

#[test]
fn an_unknown_resource_is_not_found() {
    let mut r = waiting(ResourceSpec::handle(), 1);
    let refusal = r.stack.signal("Nothing", "a", Success, r.now, &r.switches).unwrap_err();
    assert_eq!((refusal.status, refusal.code.as_str()), (404, "ResourceNotFound"));
}

#[test]
fn two_conditions_of_one_stack_must_both_complete() {
    let spec = StackSpec::default()
        .resource("Web", ResourceSpec::handle())
        .resource("Db", ResourceSpec::handle())
        .resource("WaitWeb", ResourceSpec::condition("Web", 1, 300.0))
        .resource("WaitDb", ResourceSpec::condition("Db", 1, 300.0));
    let now = datetime!(2026-01-02 03:04:05 UTC);
    let mut r = Rehearsal { stack: Stack::create("s", &spec, now), now, switches: Switches::default() };
    r.send("a", Success).is("CREATE_IN_PROGRESS");
    r.stack.signal("Db", "a", Success, r.now, &r.switches).unwrap();
    r.is("CREATE_COMPLETE");
}

#[test]
fn a_deleted_stack_takes_no_signals_and_a_new_creation_forgets_all() {
    let mut r = waiting(ResourceSpec::handle(), 1);
    r.send("a", Success);
    r.stack.put(&StackSpec::default().status(Status::DELETE_IN_PROGRESS), r.now, &r.switches);
    assert_eq!(r.refused("b"), "NotSupported");
    r.stack.put(&StackSpec::waiting_for("Web", 1, 300.0), r.now, &r.switches);
    r.is("CREATE_IN_PROGRESS");
    assert!(r.ids().is_empty());
}

#[test]
fn a_forced_rollback_ends_the_waiting() {
    let mut r = waiting(ResourceSpec::handle(), 1);
    r.stack.put(&StackSpec::default().status("ROLLBACK_IN_PROGRESS".parse().unwrap()), r.now, &r.switches);
    assert_eq!(r.stack.resources["Wait"].status, Status::CREATE_FAILED);
    r.send("a", Success).is("ROLLBACK_IN_PROGRESS");
    assert_eq!(r.effective(), 0);
}

#[test]
fn the_next_due_moment_is_the_timeout_and_then_nothing() {
    let mut r = waiting(ResourceSpec::handle(), 1);
    assert_eq!(r.stack.next_due(), Some(r.now + time::Duration::seconds(300)));
    r.send("a", Success);
    assert_eq!(r.stack.next_due(), None);
}

#[test]
fn the_timeline_tells_each_step_once_in_order() {
    let mut r = waiting(ResourceSpec::handle(), 1);
    r.stack.take_timeline();
    r.send("a", Success);
    let told: Vec<(Option<String>, String)> =
        r.stack.take_timeline().into_iter().map(|event| (event.resource, event.status.to_string())).collect();
    let complete = || "CREATE_COMPLETE".to_owned();
    let expected = [(Some("Web".to_owned()), complete()), (Some("Wait".to_owned()), complete()), (None, complete())];
    assert_eq!(told, expected);
    assert!(r.stack.take_timeline().is_empty());
}

#[test]
fn nothing_times_out_while_a_stack_is_deleted_or_checked() {
    for status in ["DELETE_IN_PROGRESS", "CHECK_IN_PROGRESS", "REVIEW_IN_PROGRESS"] {
        let early = ResourceSpec::Handle { mode: Mode::Full, count: -1, too_early_for: 10.0, too_early: false };
        let mut r = waiting(early, 1);
        r.stack.put(&StackSpec::default().status(status.parse().unwrap()), r.now, &r.switches);
        r.pass(1000).is(status);
        assert_eq!(r.stack.next_due(), None);
    }
}

#[test]
fn after_an_advance_nothing_is_due_any_more() {
    for seconds in [0, 1, 10, 299, 300, 301, 310, 311, 100_000] {
        let early = ResourceSpec::Handle { mode: Mode::Full, count: -1, too_early_for: 10.0, too_early: false };
        let mut r = waiting(early, 2);
        r.switches.evaluation_interval_ms = 1000;
        r.stack.rollback = true;
        r.pass(10).send("a", Success).pass(seconds);
        assert!(r.stack.next_due().is_none_or(|due| due > r.now), "{seconds}");
    }
}
