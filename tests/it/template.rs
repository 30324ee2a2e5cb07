//! The built agent and the template of its stack: the deadline, the warnings, ids made of names, and what became of the signal.

use crate::host::{Host, INSTANCE, STACK};
use ros_sandbox::{Mode, ResourceSpec, StackSpec, Switches};
use serde_json::Value;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};

const TEMPLATE: &str = "
ROSTemplateFormatVersion: '2015-09-01'
Parameters:
  Patience: {Type: Number, Default: 43200}
Resources:
  WebReady:
    Type: ALIYUN::ROS::WaitConditionHandle
  Wait:
    Type: ALIYUN::ROS::WaitCondition
    Properties: {Handle: !Ref WebReady, Timeout: !Ref Patience, Count: 1}
";

fn agent(host: &Host) -> Child {
    Command::new(env!("CARGO_BIN_EXE_ros-signal-agent"))
        .args(["--config", host.config().to_str().unwrap(), "run"])
        .env_clear()
        .envs(Host::environment())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// The view of the signal, once it is as `wanted`.
async fn signal(host: &Host, wanted: impl Fn(&Value) -> bool) -> Value {
    let look = async {
        loop {
            if tokio::net::UnixStream::connect(host.socket()).await.is_ok() {
                let (_, body) = host.ask("GET", "/status", "").await;
                let status: Value = serde_json::from_str(&body).unwrap();
                if wanted(&status["signals"][0]) {
                    return status["signals"][0].clone();
                }
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), look).await.expect("the status never says so")
}

/// A signal whose check passes as soon as `listener` listens.
fn checked(listener: &tokio::net::TcpListener, keys: &str) -> String {
    let address = listener.local_addr().unwrap();
    format!(
        "[signal.web]\nmin_healthy_time = \"300ms\"\n{keys}\n\
         [check.port]\ntype = \"tcp\"\naddress = \"{address}\"\nstart_interval = \"100ms\"\n"
    )
}

async fn listener() -> tokio::net::TcpListener {
    tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap()
}

fn asked(host: &Host, action: &str) -> usize {
    host.sandbox.requests().iter().filter(|request| request.action.as_deref() == Some(action)).count()
}

#[tokio::test]
async fn scenario_11_the_deadline_follows_the_timeout_that_the_stack_was_made_with() {
    let host = Host::new("[signal.web]\nresource = \"WebReady\"\n[check.port]\ntype = \"tcp\"\naddress = \"127.0.0.1:1\"\n").await;
    let stack = StackSpec::waiting_for("WebReady", 1, 3_600.0).template(TEMPLATE).parameter("Patience", "3600");
    host.sandbox.put_stack(STACK, stack).unwrap();
    host.sandbox.advance_clock(Duration::from_secs(600));
    let _agent = agent(&host);
    let view = signal(&host, |signal| signal["deadline_from"] == "template").await;
    let within = view["decides_within_ms"].as_i64().unwrap();
    assert!((2_880_000..=2_940_000).contains(&within), "an hour less ten minutes, less a minute: {within}");
    assert_eq!(view["warnings"], serde_json::json!([]));
    assert_eq!(asked(&host, "GetTemplate"), 1);
}

#[tokio::test]
async fn scenario_10_an_id_that_breaks_the_next_update_is_told_and_the_signal_goes_out() {
    let listener = listener().await;
    let host = Host::new(&checked(&listener, "resource = \"WebReady\"")).await;
    let counting = ResourceSpec::Handle { mode: Mode::Full, count: 3, too_early_for: 0.0, too_early: false };
    host.sandbox.put_stack(STACK, StackSpec::waiting_for("WebReady", 1, 900.0).resource("WebReady", counting)).unwrap();
    let _agent = agent(&host);
    let view = signal(&host, |signal| signal["state"] == "acknowledged" && signal["warnings"][0].is_string()).await;
    assert!(view["warnings"][0].as_str().unwrap().contains("the NEXT UPDATE of the stack FAILS"), "{view}");
    assert_eq!(host.sandbox.stack(STACK).unwrap().status.to_string(), "CREATE_COMPLETE", "ROS takes it now");
    let (_, metrics) = host.ask("GET", "/metrics", "").await;
    assert!(metrics.contains("ros_signal_agent_signal_warnings{signal=\"web\",resource=\"WebReady\"} 1"), "{metrics}");
}

#[tokio::test]
async fn scenario_1_a_condition_in_place_of_its_handle_is_told_with_the_handle_that_is_meant() {
    let listener = listener().await;
    let host = Host::new(&checked(&listener, "resource = \"Wait\"")).await;
    let _agent = agent(&host);
    let view = signal(&host, |signal| signal["warnings"][0].is_string()).await;
    assert!(view["warnings"][0].as_str().unwrap().contains("hint: write resource = \"WebReady\""), "{view}");
}

#[tokio::test]
async fn scenario_40_members_of_a_group_signal_a_counting_handle_under_the_numbers_of_their_names() {
    let listener = listener().await;
    let keys = "resource = \"WebReady\"\nunique_id = \"integer:instance-name\"\nmode = \"Full\"\ncount = 3";
    for (name, id) in [("web-001", "1"), ("web-003", "3")] {
        let host = Host::new(&checked(&listener, keys)).await;
        host.sandbox.set_metadata("meta-data/instance/instance-name", name).unwrap();
        let _agent = agent(&host);
        let view = signal(&host, |signal| signal["state"] == "acknowledged").await;
        assert_eq!(view["unique_id"], id);
    }
    let host = Host::new(&checked(&listener, keys)).await;
    host.sandbox.set_metadata("meta-data/instance/instance-name", "web").unwrap();
    let _agent = agent(&host);
    let view = signal(&host, |signal| signal["state"] == "acknowledged").await;
    assert_eq!(view["unique_id"].as_str().unwrap().len(), 36, "a derived one: silence would be worse");
}

#[tokio::test]
async fn scenario_40_a_signal_without_an_agent_takes_the_number_of_the_hostname() {
    let listener = listener().await;
    let host = Host::new(&checked(&listener, "resource = \"WebReady\"\nunique_id = \"integer:hostname\"")).await;
    let direct = || {
        Command::new(env!("CARGO_BIN_EXE_ros-signal-agent"))
            .args(["--config", host.config().to_str().unwrap(), "signal", "--direct", "--resource", "WebReady", "--exit-code", "0"])
            .env_clear()
            .envs(Host::environment())
            .stdin(Stdio::null())
            .output()
    };
    host.sandbox.set_metadata("meta-data/hostname", "iZbp1a2b3c4d5eZ").unwrap();
    let refused = direct().await.unwrap();
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && told.contains("needs a number at the end of that name, and it is \"iZbp1a2b3c4d5eZ\""), "{told}");
    host.sandbox.set_metadata("meta-data/hostname", "web-012").unwrap();
    assert!(direct().await.unwrap().status.success());
    let stack = host.sandbox.stack(STACK).unwrap();
    assert_eq!(stack.resources["WebReady"].signals[0].unique_id, "12");
}

#[tokio::test]
async fn scenario_9_without_permission_for_the_template_everything_else_goes_on() {
    let listener = listener().await;
    let host = Host::new(&checked(&listener, "resource = \"WebReady\"")).await;
    host.sandbox.set_switches(Switches { permit_get_template: false, ..Switches::default() });
    let mut agent = host.start();
    let told = agent.notes("may not be read").await;
    assert!(told.contains("grant ros:GetTemplate on acs:ros:cn-hangzhou:"), "{told}");
    agent.notes("acknowledged by ROS").await;
    assert_eq!(asked(&host, "GetTemplate"), 1);
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn an_accepted_signal_is_confirmed_by_the_learned_condition() {
    let listener = listener().await;
    let host = Host::new(&checked(&listener, "resource = \"WebReady\"")).await;
    host.sandbox.put_stack(STACK, StackSpec::waiting_for("WebReady", 2, 900.0)).unwrap();
    let _agent = agent(&host);
    let accepted = signal(&host, |signal| signal["state"] == "acknowledged").await;
    assert_eq!(accepted["confirmed"], "pending");
    let counted = signal(&host, |signal| signal["confirmed"] == "counted").await;
    assert_eq!(counted["confirmation"], "Wait has this signal", "the other host has not signalled yet");
    assert_eq!((asked(&host, "SignalResource"), counted["attempts"].as_i64()), (1, Some(1)));
    let (_, metrics) = host.ask("GET", "/metrics", "").await;
    assert!(metrics.contains("ros_signal_agent_signal_confirmed{signal=\"web\",state=\"counted\"} 1"), "{metrics}");
    let (_, history) = host.ask("GET", "/history", "").await;
    assert!(history.contains("confirmed: counted: Wait has this signal") && !history.contains(INSTANCE), "{history}");
}
