//! `doctor`, against the sandbox and against servers that are wrong in one way each. After every run it is asserted that nothing was
//! signalled.

mod transports;

use super::{Ended, is_root, program_with};
use crate::host::{Host, INSTANCE, KEY, SECRET, STACK};
use crate::private;
use crate::ros::proxy::{Behaviour, Proxy};
use ros_sandbox::{Effect, Fault, ResourceSpec, Service, StackSpec, Status, Switches, When};
use serde_json::Value;
use std::path::Path;

const KEYS: [(&str, &str); 2] = [("ALIBABA_CLOUD_ACCESS_KEY_ID", KEY), ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", SECRET)];
const SIGNAL: &str =
    "[signal.web]\nresource = \"WebReady\"\ncondition = \"Wait\"\n[check.port]\ntype = \"tcp\"\naddress = \"127.0.0.1:1\"\n";

/// Runs the doctor, and sees to it that nothing was signalled and no file written.
async fn doctor(host: &Host, arguments: &[&str], environment: &[(&str, &str)]) -> Ended {
    let config = host.config();
    let before = files(host.dir.path());
    let arguments = [&["--config", config.to_str().unwrap(), "doctor"][..], arguments].concat();
    let ended = program_with(&arguments, environment).await;
    assert_harmless(host);
    assert_eq!(files(host.dir.path()), before, "no file is written");
    for text in [&ended.out, &ended.err] {
        assert!(!text.contains(SECRET) && !text.contains("CAIS+"), "a secret is shown: {text}");
    }
    ended
}

fn files(directory: &Path) -> Vec<std::path::PathBuf> {
    let mut found: Vec<_> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

/// Only looks were asked for, and the stack is as it was.
fn assert_harmless(host: &Host) {
    for request in host.sandbox.requests() {
        let looks = match request.service {
            Service::Ros => request
                .action
                .as_deref()
                .map_or(request.method == "GET", |action| ["Get", "Describe"].iter().any(|verb| action.starts_with(verb))),
            _ => request.method == "GET" || request.path == "/latest/api/token",
        };
        assert!(looks, "{request:?}");
        assert_ne!(request.action.as_deref(), Some("SignalResource"));
    }
    if let Some(stack) = host.sandbox.stack(STACK) {
        assert!(stack.resources.values().all(|resource| resource.signals.is_empty()), "{stack:?}");
    }
}

/// The report as JSON, with the exit code.
async fn report(host: &Host) -> (i32, Value) {
    let ended = doctor(host, &["--json"], &KEYS).await;
    assert_eq!(ended.err, "");
    (ended.code, serde_json::from_str(&ended.out).unwrap())
}

/// The step of this name, and about this subject if one is given.
#[track_caller]
fn step<'a>(report: &'a Value, name: &str, subject: Option<&str>) -> &'a Value {
    let is_it = |step: &&Value| step["name"] == name && subject.is_none_or(|subject| step["subject"] == subject);
    report["steps"].as_array().unwrap().iter().find(is_it).unwrap_or_else(|| panic!("no step {name} in {report:#}"))
}

#[track_caller]
fn assert_step(report: &Value, name: &str, verdict: &str, parts: &[(&str, &str)]) {
    let step = step(report, name, None);
    assert_eq!(step["verdict"], verdict, "{step:#}");
    for (member, part) in parts {
        let text = step[member].as_str().unwrap_or_else(|| panic!("{name} has no {member}: {step:#}"));
        assert!(text.contains(part), "{name}: {member} {text:?} has no {part:?}");
    }
}

fn failed(report: &Value) -> Vec<&str> {
    let steps = report["steps"].as_array().unwrap();
    steps.iter().filter(|step| step["verdict"] == "failed").map(|step| step["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn sources_and_hooks_are_looked_at_and_nothing_of_them_is_used() {
    let host = Host::new("").await;
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    std::fs::write(host.path("pinned.pem"), "").unwrap();
    let text = format!(
        "{SIGNAL}[source.relay]\ntype = \"http\"\nlisten = \"{}\"\nurl = \"https://agent.example.com/\"\ncertificate_file = \"{}\"\n\
         [source.inbox]\ntype = \"queue\"\nqueue = \"web\"\n[source.drop]\ntype = \"spool\"\ndirectory = \"{}\"\n\
         [hook.apply]\non = [\"stack.updated\"]\ncommand = [\"{}\"]\n",
        taken.local_addr().unwrap(),
        host.path("pinned.pem").display(),
        host.path("spool").display(),
        host.path("apply").display(),
    );
    host.configure(&text);
    let (code, report) = report(&host).await;
    assert_eq!(code, 1);
    assert_eq!(failed(&report), ["source.spool", "source.listener", "hook.program"], "{report:#}");
    assert_step(&report, "source.listener", "failed", &[("seen", "is in use, and no agent runs"), ("subject", "relay")]);
    assert_step(&report, "source.certificate", "ok", &[("seen", "nothing is fetched")]);
    assert_step(&report, "source.queue", "skipped", &[("seen", "not tried")]);
    assert_step(&report, "source.spool", "failed", &[("remedy", "install -d")]);
    assert_step(&report, "hook.program", "failed", &[("subject", "apply")]);
    assert_step(&report, "stack.notifications", "warning", &[("subject", STACK), ("seen", "events cannot come")]);
}

/// What is another at every run or host, by a name.
fn redacted(text: &str, host: &Host) -> String {
    let mut text = text.replace(&host.dir.path().display().to_string(), "DIR");
    for (url, name) in [(host.sandbox.ros_url(), "ROS"), (host.sandbox.ros_tls_url(), "ROS_TLS"), (host.sandbox.metadata_url(), "METADATA")]
    {
        let address = url.split_once("//").unwrap().1;
        text = text.replace(address, name);
    }
    let filters = [
        (r" \(\d+m?s\)", " (TOOK)"),
        (r#""took_ms": \d+"#, "\"took_ms\": TOOK"),
        (r"user \d+", "user UID"),
        (r"within \d+s", "within 1s"),
        (r"trusted, valid from \S+ to \S+", "trusted, valid from FROM to UNTIL"),
        // Whether the clock of the machine that runs the tests is kept is not ours to say.
        (r"(?m)^\w+ +clock\.ntp .*\n(?: {9}.*\n)*", ""),
        (r#"(?s)    \{\s+"name": "clock\.ntp".*?\n    \},\n"#, ""),
        (r"(?m)^\d+ ok, \d+ warning, ", "N ok, N warning, "),
        (r"result: (ok|warning)", "result: ok or warning"),
        (r#"(?s)"verdict": "\w+",\s+"ok": \d+,\s+"warning": \d+"#, "COUNTS"),
    ];
    filters.iter().fold(text, |text, (pattern, name)| regex_lite::Regex::new(pattern).unwrap().replace_all(&text, *name).into_owned())
}

#[tokio::test]
async fn scenario_1_a_host_that_could_signal_is_told_so_step_by_step() {
    let host = Host::new(SIGNAL).await;
    let ended = doctor(&host, &[], &KEYS).await;
    assert_eq!(ended.code, 0, "{}", ended.out);
    insta::assert_snapshot!(redacted(&ended.golden(host.dir.path()), &host));
}

#[tokio::test]
async fn the_json_has_a_summary_the_steps_and_the_policy() {
    let host = Host::new(SIGNAL).await;
    let ended = doctor(&host, &["--json"], &KEYS).await;
    insta::assert_snapshot!(redacted(&ended.golden(host.dir.path()), &host));
}

/// A host whose configuration file has `from` replaced.
async fn host_with(from: &str, to: &str) -> Host {
    let host = Host::new(SIGNAL).await;
    change(&host, from, to);
    host
}

#[track_caller]
fn change(host: &Host, from: &str, to: &str) {
    let text = std::fs::read_to_string(host.config()).unwrap();
    assert!(text.contains(from), "{text}");
    private::write(&host.config(), &text.replace(from, to));
}

/// A host that has the RAM role of the sandbox and no other credentials.
async fn host_of_role() -> Host {
    host_with("provider = \"environment\"", "provider = \"ecs-ram-role\"").await
}

async fn closed() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().to_string()
}

#[tokio::test]
async fn scenario_17_without_a_metadata_service_each_thing_that_is_missing_is_named_and_the_rest_goes_on() {
    let host = Host::new(SIGNAL).await;
    change(&host, &host.sandbox.metadata_url(), &format!("http://{}", closed().await));
    let (code, report) = report(&host).await;
    assert_eq!((code, failed(&report)), (1, vec!["metadata.service", "identity.instance", "identity.region"]));
    assert_step(&report, "metadata.service", "failed", &[("seen", "does not answer: connection refused"), ("remedy", "set [instance] id")]);
    assert_step(&report, "identity.region", "failed", &[("remedy", "set region under [stack]")]);
    assert_step(&report, "credentials.choice", "ok", &[]);
    assert_step(&report, "endpoint.choice", "ok", &[]);
    assert_step(&report, "stack.status", "skipped", &[("seen", "it depends on identity.region")]);
    assert_step(&report, "permission.signal", "skipped", &[("remedy", "acs:ros:*:*:stack/4a6c9851")]);
}

#[tokio::test]
async fn scenario_16_plain_and_hardened_metadata_are_told_apart() {
    let host = Host::new(SIGNAL).await;
    host.sandbox.set_switches(Switches { require_metadata_token: true, ..Switches::default() });
    assert_step(&report(&host).await.1, "metadata.service", "ok", &[("seen", "hardened mode")]);
    host.sandbox.set_switches(Switches::default());
    host.sandbox.add_fault(Fault::new(Effect::http(404, "")).metadata("/latest/api/token")).unwrap();
    assert_step(&report(&host).await.1, "metadata.service", "ok", &[("seen", "plain mode")]);
    change(&host, "[credentials]", "allow_plain_metadata = false\n[credentials]");
    let (code, report) = report(&host).await;
    assert_eq!(code, 1);
    assert_step(&report, "metadata.service", "failed", &[("seen", "gave no token"), ("remedy", "allow_plain_metadata = true")]);
}

#[tokio::test]
async fn scenario_38_a_stack_that_neither_configuration_nor_tag_tells_is_missed_with_the_pseudo_parameter_to_use() {
    let host = host_with("[stack]\nstack_id = \"4a6c9851-3b0f-4f5f-b4ca-a14bf6910000\"\n", "").await;
    let (code, missing) = report(&host).await;
    assert_eq!(code, 1);
    assert_step(&missing, "identity.stack", "failed", &[("cause", "acs:ros:stackId"), ("remedy", "ALIYUN::StackId")]);
    host.sandbox.set_metadata("meta-data/tags/instance/acs:ros:stackId", STACK).unwrap();
    let (code, found) = report(&host).await;
    assert_eq!(code, 0);
    assert_step(&found, "identity.stack", "ok", &[("seen", "by the tag acs:ros:stackId")]);
    assert_step(&found, "stack.status", "ok", &[("seen", "signals are waited for")]);
}

#[tokio::test]
async fn scenario_15_a_host_without_a_role_is_told_to_attach_one() {
    let host = host_of_role().await;
    host.sandbox.remove_metadata("meta-data/ram/security-credentials");
    let (code, report) = report(&host).await;
    assert_eq!((code, failed(&report)), (1, vec!["credentials.choice"]));
    assert_step(&report, "credentials.ecs-ram-role", "warning", &[("seen", "no RAM role is attached"), ("remedy", "RamRoleName")]);
    assert_step(&report, "stack.status", "skipped", &[("seen", "it depends on credentials.choice")]);
}

#[tokio::test]
async fn each_provider_of_the_chain_is_told_in_order_and_a_profile_of_this_shell_may_not_be_the_agents() {
    let host = host_with("provider = \"environment\"", "provider = \"auto\"").await;
    let home = private::directory();
    std::fs::create_dir(home.path().join(".aliyun")).unwrap();
    let profile = format!(
        r#"{{"current":"default","profiles":[{{"name":"default","mode":"AK","access_key_id":"{KEY}","access_key_secret":"{SECRET}"}}]}}"#
    );
    private::write(&home.path().join(".aliyun/config.json"), &profile);
    let ended = doctor(&host, &["--json"], &[("HOME", home.path().to_str().unwrap())]).await;
    let report: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(ended.code, 0, "{report:#}");
    let steps = report["steps"].as_array().unwrap();
    let told: Vec<_> = steps.iter().filter_map(|step| step["name"].as_str()?.strip_prefix("credentials.")).collect();
    assert_eq!(told, ["environment", "systemd-credential", "cli-profile", "ini-profile", "ecs-ram-role", "choice"]);
    assert_step(&report, "credentials.cli-profile", "ok", &[("seen", KEY)]);
    assert_step(&report, "credentials.ecs-ram-role", "skipped", &[("seen", "not asked")]);
    assert_step(&report, "credentials.choice", "warning", &[("cause", "another home directory"), ("remedy", "profile_file")]);
}

#[tokio::test]
async fn the_role_that_gives_credentials_is_told_with_their_end_and_without_their_secrets() {
    let host = host_of_role().await;
    let (code, report) = report(&host).await;
    assert_eq!(code, 0);
    assert_step(&report, "credentials.ecs-ram-role", "ok", &[("seen", "gives the access key STS."), ("seen", "temporary")]);
    assert_step(&report, "credentials.choice", "ok", &[("seen", "ECS RAM role SandboxRole"), ("seen", ", until 20")]);
    let holder = report["holder"].as_str().unwrap();
    assert!(holder.starts_with("ECS RAM role SandboxRole, access key STS."), "the policy is for {holder}");
}

#[tokio::test]
async fn scenario_9_a_role_that_may_not_look_is_told_the_policy_to_paste_and_can_still_signal() {
    let host = host_of_role().await;
    host.sandbox.set_switches(Switches { permit_get_stack: false, permit_signal_resource: false, ..Switches::default() });
    let (code, report) = report(&host).await;
    assert_eq!((code, failed(&report)), (0, vec![]));
    let policy = r#"{"Version":"1","Statement":[{"Effect":"Allow","Action":["ros:GetStack"],"Resource":["acs:ros:cn-hangzhou:1234567890123456:stack/4a6c9851-3b0f-4f5f-b4ca-a14bf6910000"]}]}"#;
    assert_step(&report, "stack.status", "warning", &[("seen", "Forbidden.RAM"), ("remedy", policy)]);
    assert_step(&report, "stack.resource", "warning", &[("remedy", "ros:GetStackResource")]);
    assert_step(
        &report,
        "permission.signal",
        "skipped",
        &[("seen", "cannot be tried without signalling"), ("remedy", "ros:SignalResource")],
    );
    let actions = &report["policy"]["Statement"][0]["Action"];
    assert_eq!(*actions, serde_json::json!(["ros:SignalResource", "ros:GetStack", "ros:GetStackResource", "ros:GetTemplate"]));
}

#[tokio::test]
async fn credentials_that_ros_does_not_take_are_a_failure_of_the_look() {
    let host = Host::new(SIGNAL).await;
    let ended = doctor(&host, &["--json"], &[KEYS[0], ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "another")]).await;
    let report: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!((ended.code, failed(&report)), (1, vec!["stack.status"]));
    assert_step(&report, "stack.status", "failed", &[("seen", "SignatureDoesNotMatch"), ("remedy", "the access key secret is wrong")]);
}

#[tokio::test]
async fn a_stack_that_ros_does_not_know_is_a_failure_and_its_resources_are_not_asked_for() {
    let host = host_with(STACK, "00000000-0000-0000-0000-000000000000").await;
    let (code, report) = report(&host).await;
    assert_eq!((code, failed(&report)), (1, vec!["stack.status"]));
    assert_step(&report, "stack.status", "failed", &[("seen", "StackNotFound"), ("remedy", "are stack_id and region right")]);
    assert_step(&report, "stack.resource", "skipped", &[("seen", "it depends on stack.status")]);
    assert_step(&report, "stack.condition", "skipped", &[("seen", "it depends on stack.status")]);
}

#[tokio::test]
async fn a_condition_named_as_the_resource_is_told_which_property_names_its_handle() {
    let host = host_with("resource = \"WebReady\"\ncondition = \"Wait\"", "resource = \"Wait\"\ncondition = \"WebReady\"").await;
    let (code, report) = report(&host).await;
    assert_eq!((code, failed(&report)), (1, vec!["stack.resource", "stack.condition"]));
    let remedy = "set resource in [signal.web] to the logical ID that the property Handle of Wait names in the template";
    assert_step(&report, "stack.resource", "failed", &[("seen", "Wait is ALIYUN::ROS::WaitCondition"), ("remedy", remedy)]);
    assert_step(&report, "stack.condition", "failed", &[("remedy", "whose property Handle is {Ref: WebReady}")]);
}

#[tokio::test]
async fn a_resource_of_another_type_or_of_no_template_is_a_failure() {
    let host = host_with("resource = \"WebReady\"", "resource = \"Server\"").await;
    assert_step(&report(&host).await.1, "stack.resource", "failed", &[("cause", "the template of the stack has no resource Server")]);
    let spec = StackSpec::waiting_for("WebReady", 1, 900.0)
        .resource("Server", ResourceSpec::Other { resource_type: "ALIYUN::ECS::Instance".to_owned() });
    host.sandbox.put_stack(STACK, spec).unwrap();
    assert_step(&report(&host).await.1, "stack.resource", "failed", &[("seen", "ALIYUN::ECS::Instance"), ("cause", "takes no signals")]);
}

#[tokio::test]
async fn a_handle_that_is_not_made_yet_is_waited_for() {
    let host = Host::new(SIGNAL).await;
    host.sandbox.add_fault(Fault::new(Effect::TooEarly).action("GetStackResource")).unwrap();
    let (code, report) = report(&host).await;
    assert_eq!(code, 0);
    assert_step(&report, "stack.resource", "warning", &[("seen", "ResourceNotAvailable"), ("remedy", "the agent waits for it")]);
}

#[tokio::test]
async fn scenario_8_a_stack_for_which_nobody_waits_is_no_trouble_unless_it_failed() {
    let host = Host::new(SIGNAL).await;
    host.sandbox.put_stack(STACK, StackSpec::waiting_for("WebReady", 1, 900.0).status(Status::CREATE_COMPLETE)).unwrap();
    assert_step(&report(&host).await.1, "stack.status", "ok", &[("seen", "nobody waits for a signal now")]);
    host.sandbox.put_stack(STACK, StackSpec::waiting_for("WebReady", 1, 900.0).status(Status::CREATE_FAILED)).unwrap();
    assert_step(&report(&host).await.1, "stack.status", "warning", &[("remedy", "events")]);
}

#[tokio::test]
async fn scenario_2_an_endpoint_that_refuses_connections_is_named_with_the_port_to_open() {
    let host = Host::new(SIGNAL).await;
    let address = closed().await;
    change(&host, &host.sandbox.ros_url(), &format!("http://{address}"));
    let (code, report) = report(&host).await;
    assert_eq!((code, failed(&report)), (1, vec!["endpoint.tcp", "endpoint.choice"]));
    assert_step(&report, "endpoint.tcp", "failed", &[("cause", "connection refused"), ("remedy", "let TCP")]);
    assert_step(&report, "endpoint.http", "skipped", &[("seen", "it depends on endpoint.tcp")]);
    assert_step(&report, "stack.status", "skipped", &[("seen", "it depends on endpoint.choice")]);
    assert_step(&report, "credentials.choice", "ok", &[]);
}

#[tokio::test]
async fn scenario_2_a_name_that_does_not_resolve_is_named() {
    let host = Host::new(SIGNAL).await;
    change(&host, &host.sandbox.ros_url(), "https://ros.invalid");
    let (code, report) = report(&host).await;
    assert_eq!((code, failed(&report)), (1, vec!["endpoint.dns", "endpoint.choice"]));
    assert_step(&report, "endpoint.dns", "failed", &[("subject", "ros.invalid"), ("remedy", "/etc/resolv.conf")]);
    assert_step(&report, "endpoint.tls", "skipped", &[("seen", "it depends on endpoint.dns")]);
}

#[tokio::test]
async fn a_certificate_of_an_unknown_ca_is_told_with_its_issuer_and_one_of_a_given_ca_is_trusted() {
    let host = Host::new(SIGNAL).await;
    change(&host, &host.sandbox.ros_url(), &host.sandbox.ros_tls_url());
    let (code, unknown) = report(&host).await;
    assert_eq!((code, failed(&unknown)), (1, vec!["endpoint.tls", "endpoint.choice"]));
    assert_step(&unknown, "endpoint.tls", "failed", &[("cause", "CN=ros-sandbox authority"), ("remedy", "ca_file under [ros]")]);
    let ca_file = host.sandbox.ca_file().display().to_string();
    change(&host, "[instance]", &format!("ca_file = \"{ca_file}\"\n[instance]"));
    let (code, trusted) = report(&host).await;
    assert_eq!(code, 0, "{trusted:#}");
    assert_step(&trusted, "endpoint.tls", "ok", &[("seen", "trusted, valid from")]);
}

#[tokio::test]
async fn scenario_14_a_certificate_that_has_expired_is_told_with_its_dates_and_the_clock() {
    let host = Host::new(SIGNAL).await;
    let (url, ca_file) = crate::ros::endpoints::tls_server(2001, 2002).await;
    change(&host, &host.sandbox.ros_url(), &url);
    change(&host, "[instance]", &format!("ca_file = \"{}\"\n[instance]", ca_file.path().display()));
    let (code, report) = report(&host).await;
    assert_eq!((code, failed(&report)), (1, vec!["endpoint.tls", "endpoint.choice"]));
    let cause = "it is valid from 2001-01-01T00:00:00Z to 2002-01-01T00:00:00Z, and this host's clock says ";
    assert_step(&report, "endpoint.tls", "failed", &[("cause", cause), ("remedy", "set it (chronyc makestep)")]);
}

#[tokio::test]
async fn scenario_14_a_certificate_that_only_the_clock_makes_bad_is_not_blamed() {
    let host = Host::new(SIGNAL).await;
    // Valid in the year of the metadata service's clock, which is years ahead.
    let (url, ca_file) = crate::ros::endpoints::tls_server(2030, 2040).await;
    change(&host, &host.sandbox.ros_url(), &url);
    change(&host, "[instance]", &format!("ca_file = \"{}\"\n[instance]", ca_file.path().display()));
    host.sandbox.set_skew_seconds(6 * 366 * 86_400);
    let (_, report) = report(&host).await;
    assert_step(
        &report,
        "endpoint.tls",
        "failed",
        &[("cause", "the clock of this host is wrong, not the certificate"), ("remedy", "trust = \"metadata\" under [clock]")],
    );
    assert_step(&report, "clock.metadata", "warning", &[("seen", "days behind that of the metadata service")]);
}

#[tokio::test]
async fn scenario_14_a_clock_that_is_off_is_told_and_does_not_keep_the_look_from_passing() {
    let host = Host::new(SIGNAL).await;
    host.sandbox.set_skew_seconds(2 * 3600);
    let (code, report) = report(&host).await;
    assert_eq!(code, 0, "{report:#}");
    assert_step(&report, "clock.ros", "warning", &[("seen", "this host's clock is 2h behind that of ROS"), ("remedy", "chronyc makestep")]);
    assert_step(&report, "clock.metadata", "warning", &[("cause", "more than 15 minutes")]);
    assert_step(&report, "stack.status", "ok", &[]);
}

/// A host whose ROS is behind TLS, with more lines of `[ros]`.
async fn tls_host(more: &str) -> Host {
    let host = Host::new(SIGNAL).await;
    change(&host, &host.sandbox.ros_url(), &host.sandbox.ros_tls_url());
    let ca_file = host.sandbox.ca_file().display().to_string();
    change(&host, "[instance]", &format!("ca_file = \"{ca_file}\"\n{more}\n[instance]"));
    host
}

#[tokio::test]
async fn a_proxy_is_looked_at_first_then_the_way_that_it_opens_to_each_host() {
    let proxy = Proxy::start(Behaviour::Tunnel).await;
    let host = tls_host(&format!("proxy = \"{}\"", proxy.url)).await;
    let (code, report) = report(&host).await;
    assert_eq!(code, 0, "{report:#}");
    assert_step(&report, "endpoint.settings", "ok", &[("seen", "through the proxy 127.0.0.1"), ("seen", "config.toml:")]);
    assert_step(&report, "endpoint.proxy", "ok", &[("seen", "connected to 127.0.0.1")]);
    assert_step(&report, "endpoint.tunnel", "ok", &[("seen", "opens the way to 127.0.0.1")]);
    assert_step(&report, "endpoint.tls", "ok", &[]);
    assert_step(&report, "stack.status", "ok", &[]);
    assert!(proxy.heads().iter().all(|head| head.starts_with("CONNECT ")), "{:?}", proxy.heads());
    assert!(!report["steps"].as_array().unwrap().iter().any(|step| step["name"] == "endpoint.dns"), "the proxy looks names up");
}

#[tokio::test]
async fn a_proxy_that_does_not_open_the_way_is_to_blame_and_named() {
    for (behaviour, seen, remedy) in [
        (Behaviour::Refuse(403), "refused the way to 127.0.0.1", "it must permit CONNECT to 127.0.0.1"),
        (Behaviour::Refuse(407), "wants a user (HTTP 407)", "by its address"),
        (Behaviour::Close, "closed the connection", "it must permit CONNECT"),
        (Behaviour::Hang, "has not opened the way", "look from the proxy"),
    ] {
        let proxy = Proxy::start(behaviour).await;
        let host = tls_host(&format!("proxy = \"{}\"", proxy.url)).await;
        let (code, report) = report(&host).await;
        assert_eq!((code, failed(&report)), (1, vec!["endpoint.tunnel", "endpoint.choice"]));
        let name = proxy.url.trim_start_matches("http://");
        assert_step(&report, "endpoint.tunnel", "failed", &[("seen", name), ("seen", seen), ("remedy", remedy)]);
        assert_step(&report, "endpoint.tls", "skipped", &[("seen", "it depends on endpoint.tunnel")]);
    }
}

#[tokio::test]
async fn a_proxy_that_cannot_be_reached_is_named_with_where_it_is_written() {
    let address = closed().await;
    let host = tls_host(&format!("proxy = \"http://{address}\"")).await;
    let (code, report) = report(&host).await;
    assert_eq!((code, failed(&report)), (1, vec!["endpoint.proxy", "endpoint.choice"]));
    let written = format!("proxy = \"http://{address}\" at {}:", host.config().display());
    assert_step(&report, "endpoint.proxy", "failed", &[("subject", &address), ("cause", "connection refused"), ("remedy", &written)]);
    assert_step(&report, "endpoint.tunnel", "skipped", &[("seen", "it depends on endpoint.proxy")]);
}

#[tokio::test]
async fn the_hosts_are_those_that_the_agent_would_ask_with_the_setting_or_variable_that_names_them() {
    let host = Host::new(SIGNAL).await;
    let text = std::fs::read_to_string(host.config()).unwrap();
    let endpoint = format!("endpoint = \"{}\"\n", host.sandbox.ros_url());
    // Through a proxy that refuses all, so that nothing of this leaves the host.
    let proxy = Proxy::start(Behaviour::Refuse(403)).await;
    let look = async |settings: &str, environment: &[(&str, &str)]| {
        private::write(&host.config(), &text.replace(&endpoint, &format!("proxy = \"{}\"\n{settings}", proxy.url)));
        let ended = doctor(&host, &["--json"], &[&KEYS[..], environment].concat()).await;
        let report: Value = serde_json::from_str(&ended.out).unwrap();
        step(&report, "endpoint.settings", Some("cn-hangzhou"))["seen"].as_str().unwrap().to_owned()
    };
    let order =
        "ros.vpc-proxy.aliyuncs.com, ros.aliyuncs.com, ros-intl.vpc-proxy.aliyuncs.com, ros-intl.aliyuncs.com, in this order; through";
    assert!(look("", &[]).await.starts_with(order));
    let seen = look("home = \"international\"\nnetwork = \"public\"\n", &[]).await;
    assert!(seen.starts_with("ros-intl.aliyuncs.com alone, by home = \"international\" at ") && seen.contains("network = "), "{seen}");
    let seen = look("", &[("ROS_ENDPOINT", "ros.test")]).await;
    assert!(seen.starts_with("ros.test alone, by $ROS_ENDPOINT; through"), "{seen}");
    std::fs::create_dir(host.path("state")).unwrap();
    std::fs::write(host.path("state/endpoint"), "https://ros-intl.aliyuncs.com\n").unwrap();
    let seen = look("", &[]).await;
    assert!(seen.starts_with("ros-intl.aliyuncs.com, ros-intl.vpc") && seen.contains("; ros-intl.aliyuncs.com served before"), "{seen}");
}

#[tokio::test]
async fn scenario_14_where_the_metadata_service_is_trusted_for_the_time_its_clock_judges_certificates() {
    let host = Host::new(SIGNAL).await;
    let (url, ca_file) = crate::ros::endpoints::tls_server(2030, 2040).await;
    change(&host, &host.sandbox.ros_url(), &url);
    change(&host, "[instance]", &format!("ca_file = \"{}\"\n[clock]\ntrust = \"metadata\"\n[instance]", ca_file.path().display()));
    host.sandbox.set_skew_seconds(6 * 366 * 86_400);
    let (_, report) = report(&host).await;
    assert_step(&report, "endpoint.tls", "ok", &[("seen", "by the metadata service's time ([clock] trust)")]);
    assert_step(&report, "clock.metadata", "warning", &[("cause", "judges certificates by that of the metadata service")]);
}

#[tokio::test]
async fn what_answers_in_place_of_ros_is_not_taken_for_it() {
    let host = Host::new(SIGNAL).await;
    host.sandbox.add_fault(Fault::new(Effect::http(200, "<html>please log in</html>"))).unwrap();
    let (code, report) = report(&host).await;
    assert_eq!(code, 1);
    assert_step(&report, "endpoint.http", "failed", &[("seen", "HTTP 200 with a body that is not ROS's"), ("cause", "captive portal")]);
}

#[tokio::test]
async fn a_broken_configuration_is_one_failure_and_the_running_agent_is_asked_nevertheless() {
    let host = Host::new("").await;
    change(&host, "[stack]", "[stakc]");
    let (code, report) = report(&host).await;
    assert_eq!((code, failed(&report)), (1, vec!["configuration.load"]));
    assert_step(&report, "configuration.load", "failed", &[("cause", "config.toml:1:"), ("remedy", "config check")]);
    assert_step(&report, "agent.socket", "warning", &[]);
    assert_step(&report, "stack.status", "skipped", &[("seen", "it depends on configuration.load")]);
    assert!(host.sandbox.requests().is_empty(), "nobody is asked under settings that are a guess");
}

#[tokio::test]
async fn a_host_without_a_signal_idles_which_is_a_warning() {
    let host = Host::new("").await;
    let (code, report) = report(&host).await;
    assert_eq!(code, 0);
    assert_step(&report, "configuration.load", "warning", &[("cause", "the agent idles")]);
    assert!(report["policy"].is_null());
}

#[tokio::test]
async fn scenario_2_where_everybody_hangs_it_ends_by_its_own_timeouts_and_says_who_hangs() {
    let host = host_of_role().await;
    host.sandbox.add_fault(Fault::new(Effect::stall(When::Before, None))).unwrap();
    host.sandbox.add_fault(Fault::new(Effect::stall(When::Before, None)).metadata("/")).unwrap();
    let (code, report) = report(&host).await;
    assert_eq!(code, 1);
    assert_step(&report, "metadata.service", "failed", &[("seen", "does not answer: timed out")]);
    assert_step(&report, "endpoint.http", "failed", &[("seen", "no answer within 3s")]);
    assert_step(&report, "credentials.choice", "failed", &[("cause", "does not answer")]);
    host.sandbox.clear_faults();
}

#[tokio::test]
async fn a_running_agent_is_asked_how_it_is_and_whether_it_has_this_configuration() {
    let host = Host::new(SIGNAL).await;
    let agent = host.start();
    while host.ask_if_there("GET", "/status").await.is_none() {
        tokio::task::yield_now().await;
    }
    let config = host.config();
    let run = async || {
        let ended = program_with(&["--config", config.to_str().unwrap(), "doctor", "--json"], &KEYS).await;
        serde_json::from_str::<Value>(&ended.out).unwrap()
    };
    let well = run().await;
    assert_step(&well, "agent.socket", "ok", &[("seen", "answers, pid")]);
    assert_step(&well, "agent.configuration", "ok", &[]);
    assert_step(&well, "state.directory", "ok", &[("seen", "mode 0700")]);
    assert_step(&well, "state.ledger", "ok", &[("seen", INSTANCE)]);
    assert_step(&well, "agent.limits", "ok", &[]);
    change(&host, "[check.port]", "[check.other]");
    let changed = run().await;
    let parts = [("seen", "check other, check port"), ("remedy", "ros-signal-agent reload")];
    assert_step(&changed, "agent.configuration", "warning", &parts);
    agent.stop().await.unwrap();
    assert_harmless(&host);
}

#[tokio::test]
async fn scenario_12_a_ledger_of_another_instance_is_told_before_the_agent_sets_it_aside() {
    let host = Host::new(SIGNAL).await;
    std::fs::create_dir(host.path("state")).unwrap();
    std::fs::write(host.path("state/ledger.json"), r#"{"format":1,"generation":3,"instance_id":"i-original"}"#).unwrap();
    let (code, report) = report(&host).await;
    assert_eq!(code, 0);
    assert_step(&report, "state.owner", "warning", &[("seen", "the ledger is of i-original, and this is i-bp1")]);
}

#[tokio::test]
async fn a_file_for_root_only_is_no_file_for_the_agent_although_root_can_read_it() {
    if !is_root() {
        eprintln!("skipped: only root can give a file away");
        return;
    }
    let host = Host::new(SIGNAL).await;
    std::fs::create_dir(host.path("state")).unwrap();
    std::os::unix::fs::chown(host.path("state"), Some(12_345), Some(12_345)).unwrap();
    let (code, report) = report(&host).await;
    assert_eq!((code, failed(&report)), (1, vec!["configuration.files"]));
    assert_step(
        &report,
        "configuration.files",
        "failed",
        &[("seen", "not readable for user 12345"), ("cause", "mode 0600"), ("remedy", "chgrp 12345")],
    );
}
