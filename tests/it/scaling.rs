//! Lifecycle hooks of scaling groups: the built binary against the sandbox, which keeps groups, activities and pending actions.

use crate::host::{Host, INSTANCE, STACK};
use ros_sandbox::{ActionView, Effect, Fault, HookSpec, RequestRecord, ScalingGroupSpec, Switches, Transition, When};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};

const GROUP: &str = "asg-bp1a2b3c4d5e6f7g8h9i";
const HOOK: &str = "ash-bp1a2b3c4d5e6f7g8h9i";
const OTHER: &str = "i-bp0000000000000other";
const PATIENCE: Duration = Duration::from_secs(30);

/// A check that passes, and one that never will.
const PASSES: &str = "[check.app]\ntype = \"exec\"\ncommand = [\"/bin/true\"]\nstart_interval = \"100ms\"\n";
const FAILS: &str = "[check.app]\ntype = \"exec\"\ncommand = [\"/bin/sh\", \"-c\", \"exit 78\"]\nfailure_threshold = 1\n";

/// The signal of a hook with more keys, and a check.
fn hooked(keys: &str, check: &str) -> String {
    format!("[signal.scaling]\ntransport = \"lifecycle-hook\"\nmin_healthy_time = \"200ms\"\n{keys}{check}")
}

/// A host with a scaling group of one hook, where nothing is held yet.
async fn host(text: &str) -> Host {
    let host = Host::new("").await;
    host.sandbox.put_scaling_group(GROUP, ScalingGroupSpec::with_hooks([HookSpec::scale_out(HOOK)])).unwrap();
    configure(&host, text);
    host
}

fn configure(host: &Host, text: &str) {
    host.configure(&format!("[ess]\nendpoint = \"{}\"\n{text}", host.sandbox.ros_url()));
}

/// Begins to add this instance; the hook holds it.
fn scale_out(host: &Host) {
    host.sandbox.scale(GROUP, Transition::ScaleOut, &[INSTANCE]).unwrap();
}

fn start(host: &Host) -> Child {
    let log = std::fs::File::options().create(true).append(true).open(host.path("log")).unwrap();
    Command::new(env!("CARGO_BIN_EXE_ros-signal-agent"))
        .args(["--config", host.config().to_str().unwrap(), "--log", "debug", "run"])
        .envs(Host::environment())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

fn log(host: &Host) -> String {
    std::fs::read_to_string(host.path("log")).unwrap_or_default()
}

/// Waits until `ready` says something about the host, looking again after each of its requests and lines.
async fn until<T>(host: &Host, what: &str, ready: impl Fn() -> Option<T>) -> T {
    let wait = async {
        loop {
            match ready() {
                Some(seen) => return seen,
                None => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    match tokio::time::timeout(PATIENCE, wait).await {
        Ok(seen) => seen,
        Err(_) => panic!("never: {what}\n{:#?}\n{}", host.sandbox.scaling_group(GROUP), log(host)),
    }
}

async fn says(host: &Host, text: &str) {
    until(host, text, || log(host).contains(text).then_some(())).await;
}

/// The action that holds this instance.
fn action(host: &Host) -> ActionView {
    let actions = host.sandbox.scaling_group(GROUP).unwrap().actions;
    actions.into_iter().find(|action| action.instances.iter().any(|id| id == INSTANCE)).unwrap()
}

async fn completed(host: &Host) -> ActionView {
    until(host, "the action is completed", || Some(action(host)).filter(|action| action.status == "Completed")).await
}

fn asked(host: &Host, action: &str) -> Vec<RequestRecord> {
    host.sandbox.requests().into_iter().filter(|request| request.action.as_deref() == Some(action)).collect()
}

fn on(action: &str, effect: Effect, times: u32) -> Fault {
    Fault::new(effect).action(action).times(times)
}

#[tokio::test]
async fn a_healthy_instance_is_let_in_with_continue() {
    let host = host(&hooked("", PASSES)).await;
    scale_out(&host);
    let _agent = start(&host);
    let action = completed(&host).await;
    assert_eq!(action.result.as_deref(), Some("CONTINUE"));
    assert_eq!(host.sandbox.scaling_group(GROUP).unwrap().instances[INSTANCE], "InService");
    says(&host, "signal scaling: acknowledged by ESS (request ").await;
    let sent = asked(&host, "CompleteLifecycleAction");
    assert_eq!(sent.len(), 1);
    assert!(sent[0].verified && sent[0].parameters["ClientToken"].len() == 32, "{sent:?}");
    let [covers] = action.heartbeats[..] else { panic!("one heartbeat covers the whole deadline: {action:?}") };
    assert!((900..=960).contains(&covers), "what is left of 15m, and one minute more: {covers}");
    assert!(asked(&host, "GetStack").is_empty() && asked(&host, "SignalResource").is_empty(), "ROS is not asked");
}

#[tokio::test]
async fn a_failure_abandons_the_instance_or_rolls_it_back_as_configured() {
    for (keys, result) in [("", "ABANDON"), ("on_failure = \"rollback\"\n", "ROLLBACK")] {
        let host = host(&hooked(keys, FAILS)).await;
        scale_out(&host);
        let _agent = start(&host);
        assert_eq!(completed(&host).await.result.as_deref(), Some(result));
        says(&host, "signal scaling: acknowledged by ESS").await;
        assert_eq!(host.sandbox.scaling_group(GROUP).unwrap().instances.get(INSTANCE), None);
    }
}

#[tokio::test]
async fn a_warning_lets_the_instance_in() {
    let wanted = "[check.extra]\ntype = \"exec\"\ncommand = [\"/bin/false\"]\nlevel = \"wanted\"\nfailure_threshold = 1\n";
    let host = host(&hooked("on_degraded = \"warning\"\ndegraded_grace = \"0s\"\n", &format!("{PASSES}{wanted}"))).await;
    scale_out(&host);
    let _agent = start(&host);
    assert_eq!(completed(&host).await.result.as_deref(), Some("CONTINUE"));
    says(&host, "signal scaling: verdict WARNING").await;
}

#[tokio::test]
async fn with_hook_and_token_in_the_configuration_nothing_is_looked_for() {
    let host = host("").await;
    host.sandbox.set_switches(Switches { permit_ess_describe: false, ..Switches::default() });
    scale_out(&host);
    let token = action(&host).token;
    configure(&host, &hooked(&format!("scaling_group = \"{GROUP}\"\nhook = \"{HOOK}\"\naction_token = \"{token}\"\n"), PASSES));
    let _agent = start(&host);
    assert_eq!(completed(&host).await.result.as_deref(), Some("CONTINUE"));
    says(&host, "signal scaling: acknowledged by ESS").await;
    for action in ["DescribeScalingInstances", "DescribeScalingActivities", "DescribeLifecycleActions"] {
        assert!(asked(&host, action).is_empty(), "{action}");
    }
}

#[tokio::test]
async fn scenario_40_the_action_is_found_among_many_activities_and_pages_and_those_of_other_instances_are_left_alone() {
    let silent = [
        Switches { instances_tell_activity: false, ..Switches::default() },
        Switches { pending_instances_listed: false, ..Switches::default() },
        Switches::default(),
    ];
    for switches in silent {
        let host = host(&hooked(&format!("scaling_group = \"{GROUP}\"\n"), PASSES)).await;
        host.sandbox.set_switches(switches);
        let crowd: Vec<String> = (0..25).map(|n| format!("i-crowd{n}")).chain([INSTANCE.to_owned()]).collect();
        let crowd: Vec<&str> = crowd.iter().map(String::as_str).collect();
        host.sandbox.scale(GROUP, Transition::ScaleOut, &crowd).unwrap();
        for n in 0..11 {
            host.sandbox.scale(GROUP, Transition::ScaleOut, &[&format!("i-later{n}")]).unwrap();
        }
        let _agent = start(&host);
        completed(&host).await;
        says(&host, "signal scaling: acknowledged by ESS").await;
        let actions = host.sandbox.scaling_group(GROUP).unwrap().actions;
        assert_eq!(actions.iter().filter(|action| action.status == "Pending").count(), 36, "those of the others");
        assert!(asked(&host, "DescribeLifecycleActions").iter().any(|request| request.parameters.contains_key("NextToken")));
    }
}

#[tokio::test]
async fn scenario_2_an_agent_that_is_faster_than_the_group_waits_for_the_hook() {
    let host = host(&hooked("", PASSES)).await;
    let _agent = start(&host);
    says(&host, "signal scaling: not sent yet: instance i-bp1a2b3c4d5e6f7g8h9i is in no scaling group of cn-hangzhou").await;
    scale_out(&host);
    assert_eq!(completed(&host).await.result.as_deref(), Some("CONTINUE"));
}

#[tokio::test]
async fn scenario_8_a_host_that_no_hook_holds_until_the_deadline_has_nothing_to_say() {
    let host = host(&hooked("deadline = \"4s\"\nmargin = \"1s\"\n", PASSES)).await;
    let _agent = start(&host);
    says(&host, "signal scaling: not needed: instance i-bp1a2b3c4d5e6f7g8h9i is in no scaling group").await;
    assert!(asked(&host, "CompleteLifecycleAction").is_empty());
}

#[tokio::test]
async fn scenario_8_a_hook_that_has_waited_in_vain_is_not_needed_any_more() {
    let host = host(&hooked("", PASSES)).await;
    let hook = HookSpec { default_result: "CONTINUE".to_owned(), ..HookSpec::scale_out(HOOK) };
    host.sandbox.put_scaling_group(GROUP, ScalingGroupSpec::with_hooks([hook])).unwrap();
    scale_out(&host);
    host.sandbox.advance_clock(Duration::from_secs(601));
    let _agent = start(&host);
    says(&host, "signal scaling: not needed: the instance is InService in its scaling group already").await;
    assert!(asked(&host, "CompleteLifecycleAction").is_empty());
}

#[tokio::test]
async fn a_token_of_the_configuration_that_is_refused_is_looked_at_and_found_to_be_over() {
    let host = host("").await;
    scale_out(&host);
    let token = action(&host).token;
    host.sandbox.advance_clock(Duration::from_secs(601));
    configure(&host, &hooked(&format!("scaling_group = \"{GROUP}\"\nhook = \"{HOOK}\"\naction_token = \"{token}\"\n"), PASSES));
    let _agent = start(&host);
    says(&host, "signal scaling: not needed: ESS does not take the token of the lifecycle action any more").await;
    assert!(asked(&host, "CompleteLifecycleAction").len() <= 1, "the refused token is not tried again");
}

#[tokio::test]
async fn a_stale_token_of_the_configuration_gives_way_to_the_one_that_is_found() {
    let host = host(&hooked(&format!("hook = \"{HOOK}\"\naction_token = \"OF-ANOTHER-INSTANCE\"\n"), PASSES)).await;
    scale_out(&host);
    let _agent = start(&host);
    assert_eq!(completed(&host).await.result.as_deref(), Some("CONTINUE"));
    says(&host, "signal scaling: acknowledged by ESS").await;
}

#[tokio::test]
async fn an_instance_that_is_being_removed_is_never_told_to_continue() {
    let host = host(&hooked("", PASSES)).await;
    let both = [HookSpec::scale_out(HOOK), HookSpec::scale_in("ash-in")];
    scale_out(&host);
    host.sandbox.advance_clock(Duration::from_secs(601));
    host.sandbox.put_scaling_group(GROUP, ScalingGroupSpec::with_hooks(both)).unwrap();
    host.sandbox.scale(GROUP, Transition::ScaleIn, &[INSTANCE]).unwrap();
    let _agent = start(&host);
    says(&host, "signal scaling: not needed: the instance is being removed from its scaling group (Removing:Wait)").await;
    assert!(asked(&host, "CompleteLifecycleAction").is_empty() && asked(&host, "RecordLifecycleActionHeartbeat").is_empty());
}

#[tokio::test]
async fn with_several_hooks_none_is_answered_until_one_is_named() {
    let host = host(&hooked("", PASSES)).await;
    host.sandbox.put_scaling_group(GROUP, ScalingGroupSpec::with_hooks([HOOK, "ash-2"].map(HookSpec::scale_out))).unwrap();
    scale_out(&host);
    let mut agent = start(&host);
    says(&host, "several lifecycle hooks hold this instance (ash-bp1a2b3c4d5e6f7g8h9i, ash-2); hint: name one with `hook`").await;
    agent.kill().await.unwrap();
    assert!(asked(&host, "CompleteLifecycleAction").is_empty());
    configure(&host, &hooked("hook = \"ash-2\"\n", PASSES));
    let _agent = start(&host);
    says(&host, "signal scaling: acknowledged by ESS").await;
    let actions = host.sandbox.scaling_group(GROUP).unwrap().actions;
    let done: Vec<_> = actions.iter().filter(|action| action.status == "Completed").map(|action| action.hook.as_str()).collect();
    assert_eq!(done, ["ash-2"]);
}

#[tokio::test]
async fn scenario_7_kill_9_between_intent_and_acknowledgement_completes_the_action_once() {
    let host = host(&hooked("", PASSES)).await;
    scale_out(&host);
    host.sandbox.add_fault(on("CompleteLifecycleAction", Effect::stall(When::After, None), 1)).unwrap();
    let mut agent = start(&host);
    completed(&host).await;
    agent.kill().await.unwrap();
    host.sandbox.clear_faults();
    let _agent = start(&host);
    says(&host, "signal scaling: not needed: the instance is InService in its scaling group already").await;
    assert_eq!(asked(&host, "CompleteLifecycleAction").len(), 1);
}

#[tokio::test]
async fn scenario_7_kill_9_before_the_attempt_arrived_goes_on_with_the_same_intent() {
    let host = host(&hooked("", PASSES)).await;
    scale_out(&host);
    host.sandbox.add_fault(on("CompleteLifecycleAction", Effect::stall(When::Before, None), 1)).unwrap();
    let mut agent = start(&host);
    until(&host, "an attempt", || (!asked(&host, "CompleteLifecycleAction").is_empty()).then_some(())).await;
    agent.kill().await.unwrap();
    let _agent = start(&host);
    completed(&host).await;
    says(&host, "going on with the undelivered intent of an earlier run").await;
    let tokens: Vec<_> = asked(&host, "CompleteLifecycleAction").iter().map(|request| request.parameters["ClientToken"].clone()).collect();
    assert!(tokens.len() == 2 && tokens[0] == tokens[1], "an ambiguous attempt keeps its ClientToken: {tokens:?}");
    host.sandbox.clear_faults();
}

#[tokio::test]
async fn scenario_4_throttled_by_the_account_it_tries_again_with_a_new_client_token() {
    let host = host(&hooked("", PASSES)).await;
    scale_out(&host);
    host.sandbox.add_fault(on("CompleteLifecycleAction", Effect::throttle(None), 1)).unwrap();
    let _agent = start(&host);
    assert_eq!(completed(&host).await.result.as_deref(), Some("CONTINUE"));
    says(&host, "attempt 1 not acknowledged, again in ").await;
    let tokens: Vec<_> = asked(&host, "CompleteLifecycleAction").iter().map(|request| request.parameters["ClientToken"].clone()).collect();
    assert!(tokens.len() == 2 && tokens[0] != tokens[1], "a definite rejection: {tokens:?}");
}

#[tokio::test]
async fn scenario_9_what_is_denied_is_told_with_the_statement_to_grant() {
    let host = host(&hooked(&format!("scaling_group = \"{GROUP}\"\n"), PASSES)).await;
    scale_out(&host);
    host.sandbox.set_switches(Switches { permit_ess_lifecycle: false, ..Switches::default() });
    let _agent = start(&host);
    for action in ["CompleteLifecycleAction", "RecordLifecycleActionHeartbeat"] {
        says(&host, &format!("grant ess:{action} on acs:ess:cn-hangzhou:1234567890123456:scalinggroup/{GROUP}")).await;
    }
    let (_, status) = host.ask("GET", "/status", "").await;
    assert!(status.contains("ess:CompleteLifecycleAction"), "{status}");
}

#[tokio::test]
async fn scenario_9_a_search_that_is_denied_is_told_with_the_statement_to_grant() {
    let host = host(&hooked("", PASSES)).await;
    scale_out(&host);
    host.sandbox.set_switches(Switches { permit_ess_describe: false, ..Switches::default() });
    let _agent = start(&host);
    says(&host, "grant ess:DescribeScalingInstances on acs:ess:cn-hangzhou:1234567890123456:scalinggroup/*").await;
    assert!(asked(&host, "CompleteLifecycleAction").is_empty());
}

#[tokio::test]
async fn a_slow_instance_is_held_by_a_heartbeat_until_its_own_deadline() {
    let check = "[check.app]\ntype = \"exec\"\ncommand = [\"/bin/false\"]\n";
    let host = host(&hooked("deadline = \"1h\"\n", check)).await;
    scale_out(&host);
    let _agent = start(&host);
    says(&host, "more (heartbeat 1 of 20)").await;
    host.sandbox.advance_clock(Duration::from_secs(3500));
    let action = action(&host);
    assert_eq!((action.status.as_str(), action.heartbeats.len()), ("Pending", 1), "by itself the hook would have ended at 600s");
}

#[tokio::test]
async fn scenario_10_an_instance_that_was_started_by_an_alarm_answers_its_hook_and_stays_silent_towards_ros() {
    let ros = "[signal.web]\nresource = \"WebReady\"\nmin_healthy_time = \"200ms\"\n";
    let host = host(&format!("{}{ros}", hooked("", PASSES))).await;
    // The stack was created long ago, by another instance of the group.
    let mut first = start(&host);
    host.stack_becomes("CREATE_COMPLETE").await;
    first.kill().await.unwrap();
    std::fs::remove_dir_all(host.path("state")).unwrap();
    let before = host.sandbox.stack(STACK).unwrap().resources["WebReady"].signals.len();
    scale_out(&host);
    let _agent = start(&host);
    assert_eq!(completed(&host).await.result.as_deref(), Some("CONTINUE"));
    says(&host, "signal web: not needed: the stack is CREATE_COMPLETE").await;
    assert_eq!(host.sandbox.stack(STACK).unwrap().resources["WebReady"].signals.len(), before);
    assert_eq!(asked(&host, "SignalResource").len(), 1, "that of the first instance");
}

#[tokio::test]
async fn an_action_that_holds_several_instances_is_answered_with_a_loud_word() {
    let host = host(&hooked("", PASSES)).await;
    host.sandbox.set_switches(Switches { one_action_for_all: true, ..Switches::default() });
    host.sandbox.scale(GROUP, Transition::ScaleOut, &[OTHER, INSTANCE]).unwrap();
    let _agent = start(&host);
    completed(&host).await;
    says(&host, "holds 1 more instances: CONTINUE holds for them too").await;
}

#[tokio::test]
async fn by_hand_it_goes_through_the_agent_and_not_without() {
    let check = "[check.app]\ntype = \"exec\"\ncommand = [\"/bin/false\"]\n";
    let host = host(&hooked("", check)).await;
    scale_out(&host);
    let by_hand = async |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ros-signal-agent"));
        command.arg("--config").arg(host.config()).arg("--socket").arg(host.socket());
        command.args(["signal", "--resource", "scaling", "--status", "failure"]).args(more).envs(Host::environment());
        let output = command.output().await.unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap())
    };
    let (code, text) = by_hand(&["--direct"]).await;
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("signal scaling answers a lifecycle hook, which only the running agent can do"), "{text}");
    let _agent = start(&host);
    until(&host, "the agent listens", || host.socket().exists().then_some(())).await;
    let (code, text) = by_hand(&[]).await;
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(completed(&host).await.result.as_deref(), Some("ABANDON"));
}

#[tokio::test]
async fn both_signatures_are_taken_by_the_service() {
    for scheme in ["acs3-hmac-sha256", "hmac-sha1"] {
        let host = host("").await;
        let text = std::fs::read_to_string(host.config()).unwrap().replace("[ros]\n", &format!("[ros]\nsignature = \"{scheme}\"\n"));
        crate::private::write(&host.config(), &format!("{text}{}", hooked("", PASSES)));
        scale_out(&host);
        let _agent = start(&host);
        completed(&host).await;
        let requests = host.sandbox.requests().into_iter().filter(|request| request.action.is_some());
        assert!(requests.into_iter().all(|request| request.verified), "{scheme}");
    }
}

#[tokio::test]
async fn the_endpoint_of_the_environment_is_used_where_the_configuration_names_none() {
    let host = Host::new(&hooked("", PASSES)).await;
    host.sandbox.put_scaling_group(GROUP, ScalingGroupSpec::with_hooks([HookSpec::scale_out(HOOK)])).unwrap();
    scale_out(&host);
    let _agent = Command::new(env!("CARGO_BIN_EXE_ros-signal-agent"))
        .args(["--config", host.config().to_str().unwrap(), "run"])
        .envs(Host::environment())
        .env("ESS_ENDPOINT", host.sandbox.ros_url())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    assert_eq!(completed(&host).await.result.as_deref(), Some("CONTINUE"));
}
