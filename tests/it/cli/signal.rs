//! `signal` sent alone, against the sandbox.

use super::{Ended, program_with};
use crate::host::{Host, INSTANCE, KEY, SECRET, STACK};
use ros_sandbox::{Effect, Fault, Match, Service, When};
use ros_signal_agent::plan::UniqueIdStrategy;
use ros_signal_agent::signal::{FIRST_ROUND, Target, unique_id};

async fn signal(host: &Host, arguments: &[&str]) -> Ended {
    let config = host.config();
    let arguments = [&["--config", config.to_str().unwrap(), "signal"][..], arguments].concat();
    let keys = [("ALIBABA_CLOUD_ACCESS_KEY_ID", KEY), ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", SECRET)];
    program_with(&arguments, &keys).await
}

/// Under which id the agent would say it.
fn derived(signal: &str) -> String {
    let target = Target { region: "cn-hangzhou".to_owned(), stack_id: STACK.to_owned(), resource: "WebReady".to_owned() };
    unique_id(&UniqueIdStrategy::Derived, INSTANCE, signal, FIRST_ROUND, &target, uuid::Uuid::nil()).unwrap().to_string()
}

fn ids(host: &Host) -> Vec<String> {
    let stack = host.sandbox.stack(STACK).unwrap();
    stack.resources["WebReady"].signals.iter().map(|signal| signal.unique_id.clone()).collect()
}

fn sent(host: &Host, parameter: &str) -> Vec<String> {
    let requests = host.sandbox.requests().into_iter().filter(|request| request.action.as_deref() == Some("SignalResource"));
    requests.map(|request| request.parameters[parameter].clone()).collect()
}

fn asked_metadata(host: &Host) -> Vec<String> {
    let requests = host.sandbox.requests().into_iter().filter(|request| request.service == Service::Metadata);
    requests.map(|request| request.path).collect()
}

fn on_signal(effect: Effect) -> Fault {
    Fault { times: Some(1), matching: Match { action: Some("SignalResource".to_owned()), ..Match::default() }, ..Fault::new(effect) }
}

#[tokio::test]
async fn without_an_agent_and_without_a_signal_it_is_sent_from_here_under_the_id_the_agent_would_use() {
    let host = Host::new("").await;
    let ended = signal(&host, &["--resource", "WebReady", "--exit-code", "0"]).await;
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert!(ended.out.starts_with("SUCCESS for WebReady acknowledged\nRequestId: "), "{}", ended.out);
    assert_eq!(ids(&host), [derived("manual:WebReady")]);
    assert_eq!(host.sandbox.stack(STACK).unwrap().status.to_string(), "CREATE_COMPLETE");
    assert!(!host.path("state").exists(), "no file is written");
    assert_eq!(asked_metadata(&host).len(), 3, "a token, the region and the instance id, nothing else: {:?}", asked_metadata(&host));
}

#[tokio::test]
async fn a_resource_of_a_configured_signal_is_signalled_under_that_signals_id() {
    let text = "[signal.web]\nresource = \"WebReady\"\n[check.port]\ntype = \"tcp\"\naddress = \"127.0.0.1:1\"\n";
    for name in ["WebReady", "web"] {
        let host = Host::new(text).await;
        assert_eq!(signal(&host, &["--resource", name, "--status", "warning"]).await.code, 0);
        assert_eq!(ids(&host), [derived("web")]);
        assert_eq!(sent(&host, "Status"), ["WARNING"]);
    }
}

#[tokio::test]
async fn any_exit_code_but_zero_says_failure() {
    for code in ["1", "137", "255"] {
        let host = Host::new("").await;
        assert_eq!(signal(&host, &["-r", "WebReady", "-e", code, "--direct"]).await.code, 0);
        assert_eq!(sent(&host, "Status"), ["FAILURE"], "{code}");
    }
}

#[tokio::test]
async fn a_command_that_says_it_all_asks_nobody_but_ros() {
    let host = Host::new("").await;
    let ended = signal(
        &host,
        &["--resource", "WebReady", "--status", "success", "--stack-id", STACK, "--region", "cn-hangzhou", "--unique-id", "1", "--json"],
    )
    .await;
    let report: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(
        (report["via"].as_str(), report["state"].as_str(), report["unique_id"].as_str()),
        (Some("direct"), Some("acknowledged"), Some("1"))
    );
    assert_eq!(host.sandbox.requests().len(), 1, "{:?}", host.sandbox.requests());
}

#[tokio::test]
async fn ambiguous_attempts_share_their_ids_and_are_one_signal() {
    let host = Host::new("").await;
    host.sandbox.add_fault(on_signal(Effect::reset(When::After))).unwrap();
    let ended = signal(&host, &["--resource", "WebReady", "--status", "success"]).await;
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert!(ended.err.starts_with("attempt 1 not acknowledged, again in "), "{}", ended.err);
    let tokens = sent(&host, "ClientToken");
    assert_eq!((tokens.len(), &tokens[0]), (2, &tokens[1]));
    assert_eq!(host.sandbox.stack(STACK).unwrap().effective_signals, 1);
}

#[tokio::test]
async fn a_definite_rejection_is_followed_by_a_new_token_under_the_same_id() {
    let host = Host::new("").await;
    host.sandbox.add_fault(on_signal(Effect::throttle(None))).unwrap();
    let ended = signal(&host, &["--resource", "WebReady", "--status", "success"]).await;
    assert_eq!(ended.code, 0, "{}", ended.err);
    let (tokens, ids) = (sent(&host, "ClientToken"), sent(&host, "UniqueId"));
    assert_eq!(ids[0], ids[1]);
    assert_ne!(tokens[0], tokens[1]);
}

#[tokio::test]
async fn what_is_not_acknowledged_in_time_exits_with_75_and_says_why() {
    let host = Host::new("").await;
    host.sandbox.add_fault(Fault { times: None, ..on_signal(Effect::error(500, "InternalError")) }).unwrap();
    let ended = signal(&host, &["--resource", "WebReady", "--status", "success", "--timeout", "300ms"]).await;
    assert_eq!(ended.code, 75, "{}", ended.err);
    assert!(ended.err.contains("error: SUCCESS for WebReady was not acknowledged within 300ms: "), "{}", ended.err);
    assert!(ended.err.contains("InternalError"), "{}", ended.err);
}

#[tokio::test]
async fn without_waiting_one_attempt_is_made() {
    let host = Host::new("").await;
    host.sandbox.add_fault(on_signal(Effect::error(500, "InternalError"))).unwrap();
    let ended = signal(&host, &["--resource", "WebReady", "--status", "success", "--no-wait"]).await;
    assert_eq!((ended.code, sent(&host, "Status").len()), (75, 1), "{}", ended.err);
    assert!(ended.err.starts_with("error: SUCCESS for WebReady was not acknowledged: "), "{}", ended.err);
}

#[tokio::test]
async fn a_server_that_does_not_answer_cannot_hold_it_beyond_its_time() {
    let host = Host::new("").await;
    host.sandbox.add_fault(on_signal(Effect::stall(When::Before, None))).unwrap();
    let ended = signal(&host, &["--resource", "WebReady", "--status", "success", "--timeout", "200ms"]).await;
    assert_eq!(ended.code, 75);
    assert!(ended.err.ends_with("was not acknowledged within 200ms: no answer before the time was up\n"), "{}", ended.err);
}

#[tokio::test]
async fn a_parameter_that_ros_would_not_take_is_an_error_at_once() {
    let host = Host::new("").await;
    let ended = signal(&host, &["--resource", "Web Ready!", "--status", "success"]).await;
    assert_eq!((ended.code, sent(&host, "Status").len()), (1, 0), "{}", ended.err);
}

#[tokio::test]
async fn a_random_id_is_left_to_the_agent_which_can_remember_it() {
    let text = "[signal.web]\nresource = \"WebReady\"\nunique_id = \"random\"\n[check.port]\ntype = \"tcp\"\naddress = \"127.0.0.1:1\"\n";
    let host = Host::new(text).await;
    let ended = signal(&host, &["--resource", "WebReady", "--status", "success", "--direct"]).await;
    assert_eq!(ended.code, 1);
    assert!(ended.err.contains("hint: send it through the running agent, or give --unique-id"), "{}", ended.err);
}

#[tokio::test]
async fn a_stack_that_nobody_tells_is_asked_for_by_its_option() {
    let host = Host::new("").await;
    std::fs::write(host.config(), host.usual().replace(&format!("stack_id = \"{STACK}\""), "")).unwrap();
    let ended = signal(&host, &["--resource", "WebReady", "--status", "success"]).await;
    assert_eq!(ended.code, 1);
    assert!(ended.err.contains("error: the stack is not known: ") && ended.err.contains("hint: give --stack-id"), "{}", ended.err);
    host.sandbox.set_metadata("meta-data/tags/instance/acs:ros:stackId", STACK).unwrap();
    assert_eq!(signal(&host, &["--resource", "WebReady", "--status", "success"]).await.code, 0);
}

#[tokio::test]
async fn no_secret_is_ever_shown() {
    let host = Host::new("").await;
    host.sandbox.add_fault(on_signal(Effect::error(400, "SignatureDoesNotMatch"))).unwrap();
    let ended = signal(&host, &["-vv", "--resource", "WebReady", "--status", "success", "--timeout", "100ms"]).await;
    assert!(!ended.err.contains(SECRET) && !ended.out.contains(SECRET), "{ended:?}");
}

#[tokio::test]
async fn scenario_2_a_metadata_service_that_is_not_there_yet_is_waited_for() {
    let host = Host::new("").await;
    host.sandbox.add_fault(Fault::new(Effect::reset(When::Before)).metadata("/latest/").times(3)).unwrap();
    let ended = signal(&host, &["--resource", "WebReady", "--status", "success"]).await;
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert!(ended.err.contains(" is not known yet, again in "), "{} {:#?}", ended.err, host.sandbox.requests());
}

#[tokio::test]
async fn a_metadata_service_that_never_answers_holds_nobody_beyond_the_timeout() {
    let host = Host::new("").await;
    host.sandbox.add_fault(Fault::new(Effect::reset(When::Before)).metadata("/latest/")).unwrap();
    let ended = signal(&host, &["--resource", "WebReady", "--status", "success", "--timeout", "200ms"]).await;
    assert_eq!(ended.code, 75, "{}", ended.err);
    assert!(ended.err.contains("error: the region is not known: ") && ended.err.contains("hint: give --region"), "{}", ended.err);
}
