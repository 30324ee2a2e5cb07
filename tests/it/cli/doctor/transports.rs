//! `doctor` about the other ways to signal, and about the template.

use super::*;
use ros_sandbox::{HookSpec, Mode, ScalingGroupSpec, Transition};

const GROUP: &str = "asg-bp1a2b3c4d5e6f7g8h9i";
const CHECK: &str = "[check.port]\ntype = \"tcp\"\naddress = \"127.0.0.1:1\"\n";

fn attribute(host: &Host, name: &str) -> String {
    host.sandbox.handle_attribute(STACK, "WebReady", name).unwrap().reveal().to_owned()
}

/// A host that has the document of a handle and no stack id, with `keys` in its signal.
async fn host_of_handle(keys: &str) -> Host {
    let host = Host::new("").await;
    let path = host.path("web.handle");
    private::write(&path, &attribute(&host, "CurlCli"));
    let usual = host.usual().replace(&format!("stack_id = \"{STACK}\"\n"), "");
    let keys = if keys.contains("resource") { keys.to_owned() } else { format!("resource = \"WebReady\"\n{keys}") };
    let text = format!("{usual}[signal.web]\ntransport = \"handle\"\nhandle_file = \"{}\"\n{keys}{CHECK}", path.display());
    private::write(&host.config(), &text);
    host
}

/// The report without any keys, in which no part of the URL is shown.
async fn poor(host: &Host) -> (i32, Value) {
    let ended = doctor(host, &["--json"], &[]).await;
    let url = attribute(host, "URL");
    let signature = url.split_once("signature=").unwrap().1;
    assert!(!ended.out.contains(signature) && !ended.out.contains("waitcondition?"), "{}", ended.out);
    (ended.code, serde_json::from_str(&ended.out).unwrap())
}

#[tokio::test]
async fn a_host_with_nothing_but_the_url_of_a_handle_can_signal_and_is_told_what_the_url_tells() {
    let host = host_of_handle("").await;
    host.sandbox.remove_metadata("meta-data/ram/security-credentials");
    let (code, report) = poor(&host).await;
    assert_eq!((code, failed(&report)), (0, vec![]), "{report:#}");
    let told = format!("handle WebReady, stack {STACK}, region cn-hangzhou, until 20");
    assert_step(&report, "handle.document", "ok", &[("subject", "web"), ("seen", "web.handle"), ("seen", &told)]);
    let listens = host.sandbox.handle_url();
    let subject = listens.split_once("//").unwrap().1.trim_end_matches('/');
    assert_step(&report, "handle.service", "ok", &[("subject", subject), ("seen", "/health-check says HTTP 200")]);
    assert_step(&report, "identity.stack", "skipped", &[]);
    let cause = "signals go out without it";
    assert_step(&report, "credentials.choice", "warning", &[("cause", cause)]);
    assert_step(&report, "permission.signal", "skipped", &[("seen", "needs no permission")]);
    assert_eq!(report["policy"]["Statement"][0]["Action"][0], "ros:GetStack", "only looks need a role");
}

#[tokio::test]
async fn a_document_that_is_missing_or_broken_is_told_with_the_attribute_to_write() {
    let host = host_of_handle("").await;
    private::write(&host.path("web.handle"), "curl -X POST 'http://127.0.0.1");
    let (code, report) = poor(&host).await;
    assert_eq!(code, 1);
    let remedy = ("remedy", "Fn::GetAtt: [WebReady, CurlCli] of the template into ");
    assert_step(&report, "handle.document", "failed", &[("seen", "a quote is not closed"), remedy]);
    assert_step(&report, "handle.service", "skipped", &[("seen", "it depends on handle.document")]);
    std::fs::remove_file(host.path("web.handle")).unwrap();
    assert_step(&poor(&host).await.1, "handle.document", "failed", &[("seen", "web.handle"), remedy]);
}

#[tokio::test]
async fn a_url_of_another_handle_or_stack_is_told_beside_what_is_configured() {
    let host = host_of_handle("resource = \"Other\"\n").await;
    let (code, report) = poor(&host).await;
    assert_eq!(code, 1);
    assert_step(&report, "handle.document", "failed", &[("cause", "that of WebReady, and resource in [signal.web] says Other")]);
    let host = host_of_handle("stack_id = \"00000000-0000-0000-0000-000000000000\"\n").await;
    assert_step(&poor(&host).await.1, "handle.document", "failed", &[("cause", "of another stack"), ("remedy", "leave stack_id out")]);
}

#[tokio::test]
async fn scenario_18_a_url_that_has_expired_is_a_failure_where_no_other_one_can_be_had() {
    let host = host_of_handle("").await;
    host.sandbox.set_switches(Switches { handle_url_seconds: 0, ..Switches::default() });
    let url = attribute(&host, "URL");
    let past =
        url.split('&').map(|part| if part.starts_with("expire=") { "expire=1000000000" } else { part }).collect::<Vec<_>>().join("&");
    private::write(&host.path("web.handle"), &past);
    let (code, expired) = poor(&host).await;
    assert_eq!(code, 1);
    assert_step(&expired, "handle.document", "failed", &[("seen", "until 2001-09-09"), ("cause", "no credentials"), ("remedy", "CurlCli")]);
    let (code, expired) = report(&host).await;
    assert_eq!(code, 0, "{expired:#}");
    assert_step(&expired, "handle.document", "warning", &[("cause", "asks the stack for another one, which needs ros:GetStackResource")]);
}

#[tokio::test]
async fn a_url_that_is_asked_of_the_stack_is_asked_and_not_shown() {
    let host = Host::new(&SIGNAL.replace("[signal.web]\n", "[signal.web]\ntransport = \"handle\"\n")).await;
    let ended = doctor(&host, &["--json"], &KEYS).await;
    assert!(!ended.out.contains("signature="), "{}", ended.out);
    let report: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(ended.code, 0, "{report:#}");
    assert_step(&report, "handle.document", "ok", &[("seen", "the attributes of the handle: handle WebReady")]);
    assert_step(&report, "handle.service", "ok", &[]);
}

#[tokio::test]
async fn a_service_of_the_url_that_cannot_be_connected_to_is_told() {
    let host = host_of_handle("").await;
    let url = attribute(&host, "URL").replace(host.sandbox.handle_url().trim_end_matches('/'), &format!("http://{}", closed().await));
    private::write(&host.path("web.handle"), &url);
    let (code, report) = poor(&host).await;
    assert_eq!(code, 1);
    assert_step(&report, "handle.service", "failed", &[("cause", "connection refused"), ("remedy", "beside the metadata service")]);
}

/// A host whose only signal completes lifecycle actions.
async fn host_of_hook(keys: &str) -> Host {
    let host = Host::new("").await;
    host.sandbox.put_scaling_group(GROUP, ScalingGroupSpec::with_hooks([HookSpec::scale_out("ash-bp1")])).unwrap();
    let endpoint = host.sandbox.ros_url();
    host.configure(&format!("[ess]\nendpoint = \"{endpoint}\"\n[signal.scaling]\ntransport = \"lifecycle-hook\"\n{keys}{CHECK}"));
    host
}

#[tokio::test]
async fn a_pending_lifecycle_action_is_found_and_not_completed() {
    let host = host_of_hook("").await;
    let (code, before) = report(&host).await;
    assert_eq!(code, 0, "{before:#}");
    assert_step(&before, "hook.action", "ok", &[("seen", "no action is pending now")]);
    host.sandbox.scale(GROUP, Transition::ScaleOut, &[INSTANCE]).unwrap();
    let actions = format!("{:?}", host.sandbox.scaling_group(GROUP).unwrap().actions);
    let (code, held) = report(&host).await;
    assert_eq!(code, 0, "{held:#}");
    assert_step(&held, "hook.action", "ok", &[("subject", "scaling"), ("seen", "pending, and waits for this instance")]);
    assert_step(&held, "ess.settings", "ok", &[("seen", "by endpoint under [ess]")]);
    assert_step(&held, "ess.choice", "ok", &[]);
    assert_step(&held, "endpoint.settings", "skipped", &[("seen", "no signal is for ROS")]);
    let policy = "acs:ess:cn-hangzhou:1234567890123456:scalinggroup/*";
    assert_step(&held, "permission.hook", "skipped", &[("remedy", "ess:CompleteLifecycleAction"), ("remedy", policy)]);
    assert_eq!(format!("{:?}", host.sandbox.scaling_group(GROUP).unwrap().actions), actions, "nothing was completed or prolonged");
}

#[tokio::test]
async fn a_role_that_may_not_look_for_lifecycle_actions_cannot_answer_any() {
    let host = host_of_hook("").await;
    host.sandbox.set_switches(Switches { permit_ess_describe: false, ..Switches::default() });
    let (code, report) = report(&host).await;
    assert_eq!((code, failed(&report)), (1, vec!["hook.action"]));
    let remedy = r#""ess:DescribeScalingInstances","ess:DescribeScalingActivities","ess:DescribeLifecycleActions"]"#;
    assert_step(&report, "hook.action", "failed", &[("seen", "Forbidden"), ("remedy", remedy)]);
}

#[tokio::test]
async fn a_host_of_auto_scaling_that_cannot_be_reached_is_named_apart_from_those_of_ros() {
    let host = host_of_hook("").await;
    let address = closed().await;
    change(&host, &format!("[ess]\nendpoint = \"{}\"", host.sandbox.ros_url()), &format!("[ess]\nendpoint = \"http://{address}\""));
    let (code, report) = report(&host).await;
    assert_eq!((code, failed(&report)), (1, vec!["ess.tcp", "ess.choice"]));
    assert_step(&report, "ess.choice", "failed", &[("seen", "no host of ESS answers"), ("remedy", "endpoint under [ess]")]);
    assert_step(&report, "hook.action", "skipped", &[("seen", "it depends on ess.choice")]);
}

#[tokio::test]
async fn scenario_11_what_the_template_says_is_told_and_a_deadline_that_it_does_not_wait_for_is_a_warning() {
    let host = Host::new(SIGNAL).await;
    assert_step(
        &report(&host).await.1,
        "stack.template",
        "ok",
        &[("seen", "WebReady: Mode Full, Count none; Wait: Count 1, Timeout 900s")],
    );
    change(&host, "[signal.web]", "[signal.web]\ndeadline = \"2h\"");
    let (code, report) = report(&host).await;
    assert_eq!(code, 0);
    let property = "Count and Timeout under Resources.Wait.Properties";
    assert_step(
        &report,
        "stack.template",
        "warning",
        &[("cause", "Wait waits for 900s only"), ("remedy", "leave deadline out"), ("remedy", property)],
    );
}

#[tokio::test]
async fn a_count_that_wants_integer_ids_is_a_warning_with_the_properties_to_change() {
    let host = Host::new(SIGNAL).await;
    let handle = ResourceSpec::Handle { mode: Mode::Full, count: 3, too_early_for: 0.0, too_early: false };
    host.sandbox.put_stack(STACK, StackSpec::waiting_for("WebReady", 3, 900.0).resource("WebReady", handle)).unwrap();
    let (code, report) = report(&host).await;
    assert_eq!(code, 0);
    let remedy = "Mode and Count under Resources.WebReady.Properties";
    assert_step(&report, "stack.template", "warning", &[("cause", "NEXT UPDATE of the stack FAILS"), ("remedy", remedy)]);
}

#[tokio::test]
async fn a_template_that_cannot_be_read_or_is_denied_is_a_warning() {
    let host = Host::new(SIGNAL).await;
    host.sandbox.put_stack(STACK, StackSpec::waiting_for("WebReady", 1, 900.0).template("Resources: [a, {")).unwrap();
    let remedy = ("remedy", "write mode, count and deadline in [signal.web]");
    assert_step(&report(&host).await.1, "stack.template", "warning", &[("seen", "the template cannot be read"), ("seen", "YAML"), remedy]);
    host.sandbox.set_switches(Switches { permit_get_template: false, ..Switches::default() });
    let (code, denied) = report(&host).await;
    assert_eq!(code, 0);
    assert_step(
        &denied,
        "stack.template",
        "warning",
        &[("cause", "RAM does not permit ros:GetTemplate"), ("remedy", "\"ros:GetTemplate\"")],
    );
}
