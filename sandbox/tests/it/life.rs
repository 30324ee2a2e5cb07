//! The life of a stack, operation by operation, against the list of statuses and transitions of the reference.

use std::collections::BTreeSet;
use std::time::Duration;

use ros_sandbox::{Change, ChangeKind, CreateOption, Mode, ResourceSpec, Sandbox, StackSpec, Switches, TimelineEvent, UpdateTimeMoves};
use serde_json::{Value, json};
use tokio::sync::broadcast::Receiver;

use crate::client::{Caller, STACK, control, sandbox, sandbox_with};

const STATUSES: &str = include_str!("../fixtures/stack-statuses.json");

fn seconds(sandbox: &Sandbox, seconds: u64) {
    sandbox.advance_clock(Duration::from_secs(seconds));
}

fn empty() -> Change {
    Change { resources: Some(std::collections::BTreeMap::new()), ..Change::new(ChangeKind::Create) }
}

fn change(kind: ChangeKind) -> Change {
    Change::new(kind)
}

/// The statuses that a stack had, in their order.
fn statuses(timeline: &mut Receiver<TimelineEvent>, stack: &str) -> Vec<String> {
    let mut statuses = Vec::new();
    while let Ok(event) = timeline.try_recv() {
        if event.stack_id == stack && event.resource.is_none() {
            statuses.push(event.status.to_string());
        }
    }
    statuses
}

/// Whether the reference lists a step; its keys may be alternatives with `*`.
fn listed(transitions: &Value, from: &str, to: &str) -> bool {
    let fits = |pattern: &str| match pattern.split_once('*') {
        Some((start, end)) => from.starts_with(start) && from.ends_with(end),
        None => from == pattern,
    };
    let rows = transitions.as_object().unwrap().iter().filter(|(key, _)| key.split('|').any(fits));
    rows.flat_map(|(_, to)| to.as_array().unwrap()).any(|listed| listed.as_str().unwrap() == to)
}

#[tokio::test]
async fn all_31_statuses_are_reached_by_operations_and_every_step_is_one_that_the_reference_lists() {
    use ChangeKind::{Check, ContinueCreate, Create, Delete, ImportCreate, ImportUpdate, Review, Rollback, Update};
    let sandbox = sandbox().await;
    let made = |rest: Vec<Change>| rest.into_iter().fold(empty(), Change::then);
    let as_import = |change: Change| Change { operation: ImportCreate, ..change };
    let lives = [
        made(vec![change(Update), change(Update).fails("x"), change(Update).fails("x").rollback(true), change(Delete)]),
        made(vec![change(Update).rollback_fails().fails("x"), change(Delete).fails("x"), change(Delete)]),
        made(vec![change(Check), change(Update), change(Check).fails("x"), change(Delete)]),
        empty().fails("x").then(change(ContinueCreate)).then(change(Delete)),
        empty().fails("x").then(change(Rollback)).then(change(Delete)),
        empty().fails("x").rollback(true).then(change(Delete)),
        empty().fails("x").rollback_fails().then(change(Delete)),
        as_import(made(vec![change(ImportUpdate), change(ImportUpdate).fails("x").rollback(true), change(Delete)])),
        as_import(made(vec![change(ImportUpdate).fails("x"), change(Delete)])),
        as_import(made(vec![change(ImportUpdate).fails("x").rollback_fails(), change(Delete)])),
        as_import(empty().fails("x").then(change(Delete))),
        as_import(empty().fails("x").rollback(true).then(change(Delete))),
        as_import(empty().fails("x").rollback_fails().then(change(Delete))),
        change(Review).then(change(Create)).then(change(Delete)),
        change(Review).then(change(Delete)),
    ];
    let reference: Value = serde_json::from_str(STATUSES).unwrap();
    let mut reached = BTreeSet::new();
    for (number, life) in lives.into_iter().enumerate() {
        let id = format!("life-{number}");
        let mut timeline = sandbox.subscribe();
        sandbox.change(&id, life).unwrap();
        seconds(&sandbox, 100);
        let steps = statuses(&mut timeline, &id);
        assert_eq!(steps.last().unwrap(), "DELETE_COMPLETE", "{steps:?}");
        assert!(listed(&reference["transitions_inferred"], "(none)", &steps[0]), "{steps:?}");
        // What the reference has no row for: how checks and imports go on, and what is deleted after a failure.
        let open = |from: &str, to: &str| {
            let ends = from.strip_suffix("_IN_PROGRESS").is_some_and(|operation| to.starts_with(operation));
            let unlisted = from.starts_with("IMPORT_") || from.starts_with("CHECK_");
            let rolls_back = from.strip_suffix("_FAILED").is_some_and(|operation| to == format!("{operation}_ROLLBACK_IN_PROGRESS"));
            unlisted && (ends || rolls_back || to == "DELETE_IN_PROGRESS")
        };
        for step in steps.windows(2) {
            assert!(listed(&reference["transitions_inferred"], &step[0], &step[1]) || open(&step[0], &step[1]), "{step:?} in {steps:?}");
        }
        reached.extend(steps);
    }
    let known: BTreeSet<String> =
        reference["statuses"].as_array().unwrap().iter().map(|status| status["status"].as_str().unwrap().to_owned()).collect();
    assert_eq!(reached, known);
    assert_eq!(known.len(), 31);
}

#[tokio::test]
async fn an_operation_that_the_status_does_not_allow_is_refused_and_changes_nothing() {
    let sandbox = sandbox().await;
    let error = sandbox.change(STACK, Change::update()).unwrap_err().to_string();
    assert!(error.contains("CREATE_IN_PROGRESS, in which 'Update' cannot begin"), "{error}");
    let error = sandbox.change("no", Change::update()).unwrap_err().to_string();
    assert!(error.contains("no stack 'no'"), "{error}");
    let error = sandbox.change("new", Change::create(StackSpec::default()).metadata("No", json!({}))).unwrap_err().to_string();
    assert!(error.contains("names the resource 'No'"), "{error}");
    let refused = control(&sandbox, "POST", &format!("/stacks/{STACK}/operations"), r#"{"operation": "check"}"#).await;
    assert_eq!(refused.status, 400, "{}", refused.body);
    assert_eq!(control(&sandbox, "POST", "/stacks/no/operations", r#"{"operation": "delete"}"#).await.status, 404);
    assert_eq!(sandbox.stack(STACK).unwrap().status.to_string(), "CREATE_IN_PROGRESS");
    assert!(sandbox.stack("new").is_none());
}

#[tokio::test]
async fn a_creation_takes_its_time_and_waits_for_its_conditions_too() {
    let sandbox = sandbox().await;
    sandbox.change("s", Change::create(StackSpec::waiting_for("WebReady", 1, 300.0)).seconds(20.0)).unwrap();
    seconds(&sandbox, 21);
    assert_eq!(sandbox.stack("s").unwrap().status.to_string(), "CREATE_IN_PROGRESS", "nobody has signalled");
    let parameters =
        [("RegionId", "cn-hangzhou"), ("StackId", "s"), ("LogicalResourceId", "WebReady"), ("Status", "SUCCESS"), ("UniqueId", "i-1")];
    let signal = async || Caller::default().call(&sandbox.ros_url(), None, "SignalResource", &parameters).await.unwrap().accepted();
    signal().await;
    assert_eq!(sandbox.stack("s").unwrap().status.to_string(), "CREATE_COMPLETE");
    sandbox.change("s", Change::update().seconds(20.0)).unwrap();
    assert_eq!(sandbox.stack("s").unwrap().status.to_string(), "UPDATE_IN_PROGRESS", "the signal is there, the time is not over");
    seconds(&sandbox, 21);
    assert_eq!(sandbox.stack("s").unwrap().status.to_string(), "UPDATE_COMPLETE");
}

#[tokio::test]
async fn a_failed_creation_that_continues_counts_what_was_signalled_and_forgets_failures() {
    let sandbox = sandbox().await;
    sandbox.change("s", Change::create(StackSpec::waiting_for("WebReady", 2, 60.0))).unwrap();
    let signal = async |id: &str, status: &str| {
        let mut parameters = vec![("RegionId", "cn-hangzhou"), ("StackId", "s"), ("LogicalResourceId", "WebReady")];
        parameters.extend([("Status", status), ("UniqueId", id)]);
        Caller::default().call(&sandbox.ros_url(), None, "SignalResource", &parameters).await.unwrap().accepted();
        sandbox.stack("s").unwrap().status.to_string()
    };
    assert_eq!(signal("i-1", "SUCCESS").await, "CREATE_IN_PROGRESS");
    assert_eq!(signal("i-2", "FAILURE").await, "CREATE_FAILED");
    sandbox.change("s", change(ChangeKind::ContinueCreate)).unwrap();
    seconds(&sandbox, 5);
    assert_eq!(sandbox.stack("s").unwrap().status.to_string(), "CREATE_IN_PROGRESS");
    assert_eq!(sandbox.stack("s").unwrap().operation, 1);
    assert_eq!(signal("i-2", "SUCCESS").await, "CREATE_COMPLETE");
}

#[tokio::test]
async fn a_condition_that_begins_late_shows_its_old_status_until_then() {
    let sandbox = sandbox().await;
    let increment = ResourceSpec::Handle { mode: Mode::Increment, count: -1, too_early_for: 0.0, too_early: false };
    let spec = StackSpec::waiting_for("WebReady", 1, 300.0).resource("WebReady", increment);
    sandbox.put_stack(STACK, spec).unwrap();
    Caller::default().signal(&sandbox, "i-1", "SUCCESS").await.unwrap().accepted();
    sandbox.change(STACK, Change::update().conditions_begin_after(30.0)).unwrap();
    let condition = async || {
        let read = Caller::default().stack_call(&sandbox, "GetStackResource", &[("LogicalResourceId", "Wait")]).await.unwrap().json();
        (read["Status"].as_str().unwrap().to_owned(), read["UpdateTime"].as_str().unwrap().to_owned())
    };
    let (status, before) = condition().await;
    assert_eq!(status, "CREATE_COMPLETE");
    seconds(&sandbox, 29);
    assert_eq!(condition().await, (status, before.clone()));
    assert!(sandbox.stack(STACK).unwrap().resources["WebReady"].signals.is_empty(), "the update deleted them");
    seconds(&sandbox, 2);
    let (status, after) = condition().await;
    assert_eq!(status, "UPDATE_IN_PROGRESS");
    assert!(after > before, "{after} {before}");
    assert_eq!(sandbox.stack(STACK).unwrap().status.to_string(), "UPDATE_IN_PROGRESS");
    Caller::default().signal(&sandbox, "i-1", "SUCCESS").await.unwrap().accepted();
    assert_eq!(sandbox.stack(STACK).unwrap().status.to_string(), "UPDATE_COMPLETE");
}

#[tokio::test]
async fn what_is_signalled_before_a_condition_begins_counts_when_it_does() {
    let sandbox = sandbox().await;
    sandbox.change("s", Change::create(StackSpec::waiting_for("WebReady", 1, 300.0)).conditions_begin_after(30.0)).unwrap();
    let parameters =
        [("RegionId", "cn-hangzhou"), ("StackId", "s"), ("LogicalResourceId", "WebReady"), ("Status", "SUCCESS"), ("UniqueId", "i-1")];
    Caller::default().call(&sandbox.ros_url(), None, "SignalResource", &parameters).await.unwrap().accepted();
    assert_eq!(sandbox.stack("s").unwrap().resources["Wait"].status.to_string(), "INIT_COMPLETE");
    seconds(&sandbox, 31);
    assert_eq!(sandbox.stack("s").unwrap().status.to_string(), "CREATE_COMPLETE");
}

#[tokio::test]
async fn conditions_wait_in_an_update_by_import_too() {
    let sandbox = sandbox().await;
    Caller::default().signal(&sandbox, "i-1", "SUCCESS").await.unwrap().accepted();
    let increment = ResourceSpec::Handle { mode: Mode::Increment, count: -1, too_early_for: 0.0, too_early: false };
    let update = change(ChangeKind::ImportUpdate).seconds(0.0).resource("WebReady", increment);
    sandbox.change(STACK, update.resource("Wait", ResourceSpec::condition("WebReady", 1, 60.0))).unwrap();
    seconds(&sandbox, 5);
    let view = sandbox.stack(STACK).unwrap();
    assert_eq!(
        (view.status.to_string(), view.resources["Wait"].status.to_string()),
        ("IMPORT_UPDATE_IN_PROGRESS".into(), "UPDATE_IN_PROGRESS".into())
    );
    Caller::default().signal(&sandbox, "i-1", "SUCCESS").await.unwrap().accepted();
    assert_eq!(sandbox.stack(STACK).unwrap().status.to_string(), "IMPORT_UPDATE_COMPLETE");
}

#[tokio::test]
async fn an_update_under_way_is_rolled_back_by_hand_and_its_conditions_are_given_up() {
    let sandbox = sandbox().await;
    let mut timeline = sandbox.subscribe();
    Caller::default().signal(&sandbox, "i-1", "SUCCESS").await.unwrap().accepted();
    sandbox.change(STACK, Change::update().conditions_begin_after(10.0)).unwrap();
    seconds(&sandbox, 5);
    sandbox.change(STACK, change(ChangeKind::Rollback)).unwrap();
    seconds(&sandbox, 30);
    let steps = ["CREATE_COMPLETE", "UPDATE_IN_PROGRESS", "ROLLBACK_IN_PROGRESS", "ROLLBACK_COMPLETE"];
    assert_eq!(statuses(&mut timeline, STACK), steps);
    assert_eq!(sandbox.stack(STACK).unwrap().resources["Wait"].status.to_string(), "CREATE_COMPLETE", "it never began");
}

#[tokio::test]
async fn a_programme_that_cannot_go_on_ends_and_the_stacks_events_say_why() {
    let sandbox = sandbox().await;
    sandbox.change("s", empty().fails("no stock").then(change(ChangeKind::Update)).then(Change::delete())).unwrap();
    seconds(&sandbox, 60);
    assert_eq!(sandbox.stack("s").unwrap().status.to_string(), "CREATE_FAILED");
    let parameters = [("RegionId", "cn-hangzhou"), ("StackId", "s")];
    let events = Caller::default().call(&sandbox.ros_url(), None, "ListStackEvents", &parameters).await.unwrap().json();
    let reason = events["Events"][0]["StatusReason"].as_str().unwrap();
    assert!(reason.contains("CREATE_FAILED, in which 'Update' cannot begin"), "{reason}");
}

#[tokio::test]
async fn metadata_is_read_back_moves_the_resources_time_and_comes_back_with_a_rollback() {
    let sandbox = sandbox().await;
    let spec = StackSpec::default()
        .resource("Server", ResourceSpec::Other { resource_type: "ALIYUN::ECS::Instance".to_owned() })
        .metadata("Server", json!({"version": "1"}));
    sandbox.put_stack(STACK, spec.status("CREATE_COMPLETE".parse().unwrap())).unwrap();
    let read = async || {
        let read = Caller::default().stack_call(&sandbox, "GetStackResource", &[("LogicalResourceId", "Server")]).await.unwrap().json();
        (read["Metadata"]["version"].as_str().unwrap().to_owned(), read["UpdateTime"].as_str().unwrap().to_owned())
    };
    let (version, first) = read().await;
    assert_eq!(version, "1");
    seconds(&sandbox, 10);
    sandbox
        .change(STACK, Change::update().seconds(5.0).metadata("Server", json!({"version": "2"})).fails("no stock").rollback(true))
        .unwrap();
    let (version, second) = read().await;
    assert_eq!(version, "2");
    assert!(second > first);
    seconds(&sandbox, 7);
    assert_eq!(sandbox.stack(STACK).unwrap().status.to_string(), "ROLLBACK_COMPLETE");
    let (version, third) = read().await;
    assert_eq!(version, "1");
    assert!(third > second);
}

#[tokio::test]
async fn the_stacks_update_time_moves_as_the_switch_says() {
    let moved = async |moves: UpdateTimeMoves| {
        let sandbox = sandbox_with(Switches { update_time_moves: moves, ..Switches::default() }, None).await;
        let time = async || {
            let read = Caller::default().stack_call(&sandbox, "GetStack", &[]).await.unwrap().json();
            read["UpdateTime"].as_str().map(str::to_owned)
        };
        sandbox.put_stack(STACK, StackSpec::waiting_for("WebReady", 2, 300.0)).unwrap();
        Caller::default().signal(&sandbox, "i-1", "SUCCESS").await.unwrap().accepted();
        Caller::default().signal(&sandbox, "i-2", "SUCCESS").await.unwrap().accepted();
        seconds(&sandbox, 10);
        sandbox.change(STACK, Change::update().seconds(30.0).conditions_begin_after(10.0)).unwrap();
        let begun = time().await;
        seconds(&sandbox, 15);
        let within = time().await;
        seconds(&sandbox, 20);
        assert_eq!(sandbox.stack(STACK).unwrap().status.to_string(), "UPDATE_COMPLETE");
        (begun.is_some(), within != begun, time().await != within)
    };
    assert_eq!(moved(UpdateTimeMoves::Start).await, (true, false, false));
    assert_eq!(moved(UpdateTimeMoves::End).await, (false, false, true));
    assert_eq!(moved(UpdateTimeMoves::Both).await, (true, false, true));
    assert_eq!(moved(UpdateTimeMoves::Throughout).await, (true, true, true));
}

#[tokio::test]
async fn an_abandoned_stack_is_not_found_after_its_creation_has_succeeded() {
    let sandbox = sandbox().await;
    let spec = StackSpec { create_option: CreateOption::AbandonStackOnCreationComplete, ..StackSpec::waiting_for("WebReady", 1, 300.0) };
    sandbox.put_stack(STACK, spec).unwrap();
    Caller::default().stack_call(&sandbox, "GetStack", &[]).await.unwrap();
    Caller::default().signal(&sandbox, "i-1", "SUCCESS").await.unwrap().accepted();
    Caller::default().stack_call(&sandbox, "GetStack", &[]).await.unwrap().is(404, "StackNotFound");
}

#[tokio::test]
async fn a_deleted_stack_is_gone_or_visible_by_the_switch_and_a_failed_deletion_leaves_it() {
    let sandbox = sandbox().await;
    sandbox.change(STACK, Change::delete().fails("a resource is in use")).unwrap();
    seconds(&sandbox, 2);
    let read = Caller::default().stack_call(&sandbox, "GetStack", &[]).await.unwrap().json();
    assert_eq!((&read["Status"], &read["StatusReason"]), (&json!("DELETE_FAILED"), &json!("a resource is in use")));
    sandbox.change(STACK, Change::delete()).unwrap();
    seconds(&sandbox, 2);
    Caller::default().stack_call(&sandbox, "GetStack", &[]).await.unwrap().is(404, "StackNotFound");
    sandbox.set_switches(Switches { deleted_stack_visible: true, ..sandbox.switches() });
    let read = Caller::default().stack_call(&sandbox, "GetStack", &[]).await.unwrap().json();
    assert_eq!(read["Status"], "DELETE_COMPLETE");
}

#[tokio::test]
async fn notification_urls_and_outputs_are_shown_by_get_stack_unless_outputs_are_off() {
    let sandbox = sandbox().await;
    sandbox.put_stack(STACK, StackSpec::waiting_for("WebReady", 1, 300.0).notify("eventbridge").output("VpcId", "vpc-1")).unwrap();
    let read = Caller::default().stack_call(&sandbox, "GetStack", &[]).await.unwrap().json();
    assert_eq!(read["NotificationURLs"], json!(["eventbridge"]));
    assert_eq!(read["Outputs"][0]["OutputValue"], "vpc-1");
    let read = Caller::default().stack_call(&sandbox, "GetStack", &[("OutputOption", "Disabled")]).await.unwrap().json();
    assert_eq!(read["Outputs"], json!([]));
}

#[tokio::test]
async fn get_stack_is_throttled_for_the_whole_account_and_nothing_else_is() {
    let sandbox = sandbox().await;
    sandbox.set_switches(Switches { get_stack_per_second: 2, throttle_retry_after_ms: 700, ..Switches::default() });
    let get = async || Caller::default().stack_call(&sandbox, "GetStack", &[]).await.unwrap();
    let mut refused = None;
    for _ in 0..40 {
        let reply = get().await;
        if reply.status == 400 {
            refused = Some(reply);
            break;
        }
    }
    let refused = refused.unwrap();
    assert_eq!(refused.is(400, "Throttling.User").header("x-acs-retry-after"), Some("700"));
    Caller::default().signal(&sandbox, "i-1", "SUCCESS").await.unwrap().accepted();
    seconds(&sandbox, 1);
    assert_eq!(get().await.status, 200);
}
