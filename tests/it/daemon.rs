//! The daemon in process, against the sandbox: the main job from end to end.

use crate::host::{Host, STACK};
use serde_json::Value;

/// A service that can be switched on.
async fn service() -> (tokio::net::TcpListener, u16) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

fn tcp_check(port: u16) -> String {
    format!(
        "[signal.web]\nresource = \"WebReady\"\nmin_healthy_time = \"300ms\"\n\
         [check.port]\ntype = \"tcp\"\naddress = \"127.0.0.1:{port}\"\nstart_interval = \"100ms\"\n"
    )
}

#[tokio::test(flavor = "current_thread")]
async fn a_healthy_host_becomes_one_acknowledged_success_and_a_complete_stack() {
    let (_listener, port) = service().await;
    let host = Host::new(&tcp_check(port)).await;
    let mut agent = host.start();
    agent.notes("acknowledged by ROS").await;
    host.stack_becomes("CREATE_COMPLETE").await;
    let stack = host.sandbox.stack(STACK).unwrap();
    assert_eq!(stack.effective_signals, 1);
    let (code, body) = host.ask("GET", "/status", "").await;
    let status: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((code, status["signals"][0]["state"].as_str()), (200, Some("acknowledged")));
    assert_eq!(status["instance_id"], crate::host::INSTANCE);
    agent.stop().await.unwrap();
    assert!(!host.socket().exists(), "the socket is taken away");
}

#[tokio::test(flavor = "current_thread")]
async fn scenario_31_an_agent_that_is_restarted_as_by_an_upgrade_does_not_signal_again() {
    let (_listener, port) = service().await;
    let host = Host::new(&tcp_check(port)).await;
    let mut agent = host.start();
    agent.notes("acknowledged by ROS").await;
    agent.stop().await.unwrap();
    let sent = |host: &Host| host.sandbox.requests().iter().filter(|request| request.action.as_deref() == Some("SignalResource")).count();
    let before = sent(&host);
    let mut again = host.start();
    again.notes("check port: initial -> passing").await;
    let (code, body) = host.ask("GET", "/wait?for=signaled&timeout=10s", "").await;
    assert_eq!((code, body.as_str()), (200, "{\"reached\":true}"));
    again.stop().await.unwrap();
    assert_eq!(sent(&host), before);
}

#[tokio::test(flavor = "current_thread")]
async fn scenario_6_an_unhealthy_host_says_failure_before_its_deadline() {
    let (listener, port) = service().await;
    drop(listener);
    let text = tcp_check(port).replace("resource =", "deadline = \"7s\"\nmargin = \"5s\"\nresource =");
    let host = Host::new(&text).await;
    let mut agent = host.start();
    let verdict = agent.notes("verdict FAILURE").await;
    assert!(verdict.contains("deadline 7s (less margin 5s) reached"), "{verdict}");
    host.stack_becomes("CREATE_FAILED").await;
    agent.stop().await.unwrap();
}

#[tokio::test(flavor = "current_thread")]
async fn it_idles_when_nothing_is_configured_and_takes_up_work_when_something_is() {
    let (_listener, port) = service().await;
    let host = Host::new("").await;
    let mut agent = host.start();
    while !host.socket().exists() {
        tokio::task::yield_now().await;
    }
    let (_, body) = host.ask("GET", "/status", "").await;
    let status: Value = serde_json::from_str(&body).unwrap();
    assert!(status["summary"].as_str().unwrap().starts_with("not configured"), "{body}");
    host.configure(&tcp_check(port));
    agent.notes("acknowledged by ROS").await;
    agent.stop().await.unwrap();
}

#[tokio::test(flavor = "current_thread")]
async fn scenario_29_a_bad_reload_keeps_the_old_plan_and_says_so() {
    let (_listener, port) = service().await;
    let host = Host::new(&tcp_check(port)).await;
    let mut agent = host.start();
    agent.notes("acknowledged by ROS").await;
    host.configure("[signal.web]\nresorce = \"WebReady\"\n");
    let (code, body) = host.ask("POST", "/reload", "").await;
    assert_eq!(code, 409);
    assert!(body.contains("resorce") && body.contains("did you mean") && body.contains("resource"), "{body}");
    host.configure(&tcp_check(port).replace("check.port", "check.gate"));
    let (code, body) = host.ask("POST", "/reload", "").await;
    assert_eq!(code, 200, "{body}");
    let (_, body) = host.ask("GET", "/status", "").await;
    assert!(body.contains("\"gate\""), "{body}");
    agent.stop().await.unwrap();
}

#[tokio::test(flavor = "current_thread")]
async fn two_agents_cannot_share_a_state_directory() {
    let (_listener, port) = service().await;
    let host = Host::new(&tcp_check(port)).await;
    let mut first = host.start();
    first.notes("acknowledged by ROS").await;
    let second = host.start().stop().await.unwrap_err().to_string();
    assert!(second.contains(&std::process::id().to_string()), "{second}");
    first.stop().await.unwrap();
}

#[tokio::test(flavor = "current_thread")]
async fn scenario_37_metrics_are_prometheus_text() {
    let (_listener, port) = service().await;
    let host = Host::new(&tcp_check(port)).await;
    let mut agent = host.start();
    agent.notes("acknowledged by ROS").await;
    let (code, body) = host.ask("GET", "/metrics", "").await;
    assert_eq!(code, 200);
    assert!(body.contains("ros_signal_agent_check_state{check=\"port\",state=\"passing\"} 1"), "{body}");
    assert!(body.contains("ros_signal_agent_signal_state{signal=\"web\",state=\"acknowledged\"} 1"), "{body}");
    assert!(body.contains("# EOF"), "{body}");
    agent.stop().await.unwrap();
}

#[tokio::test(flavor = "current_thread")]
async fn hold_signal_cancel_and_push_work_over_the_socket() {
    let (_listener, port) = service().await;
    let text = format!("{}[check.app]\ntype = \"ttl\"\nttl = \"1m\"\n", tcp_check(port));
    let host = Host::new(&text).await;
    let mut agent = host.start();
    agent.notes("round begun").await;
    while !host.socket().exists() {
        tokio::task::yield_now().await;
    }
    assert_eq!(host.ask("POST", "/hold", "").await.0, 200);
    let pushed = host.ask("POST", "/push", "{\"check\":\"app\",\"health\":\"passing\",\"text\":\"warm\"}").await;
    assert_eq!(pushed.0, 200, "{pushed:?}");
    let wrong = host.ask("POST", "/push", "{\"check\":\"port\",\"health\":\"passing\"}").await;
    assert_eq!(wrong.0, 409, "{wrong:?}");
    assert_eq!(host.ask("POST", "/resume", "").await.0, 200);
    agent.notes("acknowledged by ROS").await;
    let late = host.ask("POST", "/cancel", "{\"signal\":\"web\"}").await;
    assert_eq!(late.0, 409, "{late:?}");
    let contradiction = host.ask("POST", "/signal", "{\"resource\":\"WebReady\",\"status\":\"FAILURE\"}").await;
    assert_eq!(contradiction.0, 409, "{contradiction:?}");
    assert_eq!(host.ask("GET", "/nowhere", "").await.0, 404);
    assert_eq!(host.ask("DELETE", "/status", "").await.0, 405);
    assert_eq!(host.ask("POST", "/push", "{").await.0, 400);
    let (_, history) = host.ask("GET", "/history", "").await;
    assert!(history.contains("held: no verdicts until resume") && history.contains("acknowledged by ROS"), "{history}");
    agent.stop().await.unwrap();
}

#[tokio::test(flavor = "current_thread")]
async fn scenario_13_a_copied_machine_is_noticed_before_it_sends() {
    let (_listener, port) = service().await;
    let host = Host::new(&tcp_check(port)).await;
    let throttle = ros_sandbox::Effect::error(503, "ServiceUnavailable");
    host.sandbox.add_fault(ros_sandbox::Fault::new(throttle).action("SignalResource")).unwrap();
    let mut agent = host.start();
    agent.notes("not acknowledged").await;
    host.sandbox.set_metadata("meta-data/instance-id", "i-copy").unwrap();
    agent.notes("the ledger belongs to instance").await;
    host.sandbox.clear_faults();
    agent.notes("acknowledged by ROS").await;
    let ids: Vec<_> =
        host.sandbox.stack(STACK).unwrap().resources["WebReady"].signals.iter().map(|signal| signal.unique_id.clone()).collect();
    assert_eq!(ids.len(), 1, "only the copy has signalled, under its own id: {ids:?}");
    let aside = std::fs::read_dir(host.path("state"))
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("ledger.instance-"));
    assert_eq!(aside.count(), 1);
    agent.stop().await.unwrap();
}

#[tokio::test(flavor = "current_thread")]
async fn scenario_13_a_copied_machine_does_not_sign_with_the_credentials_of_its_original() {
    let (_listener, port) = service().await;
    let host = Host::new("").await;
    host.sandbox.set_metadata("meta-data/ram/security-credentials", "Role").unwrap();
    let usual = host.usual().replace("provider = \"environment\"", "provider = \"ecs-ram-role\"");
    std::fs::write(host.config(), format!("{usual}{}", tcp_check(port))).unwrap();
    let busy = ros_sandbox::Effect::error(503, "ServiceUnavailable");
    host.sandbox.add_fault(ros_sandbox::Fault::new(busy).action("SignalResource")).unwrap();
    let asked = || host.sandbox.requests().iter().filter(|request| request.path.contains("security-credentials/Role")).count();
    let mut agent = host.start();
    agent.notes("not acknowledged").await;
    assert_eq!(asked(), 1);
    host.sandbox.set_metadata("meta-data/instance-id", "i-copy").unwrap();
    agent.notes("the ledger belongs to instance").await;
    host.sandbox.clear_faults();
    agent.notes("acknowledged by ROS").await;
    assert_eq!(asked(), 2, "the role of this instance is asked for its own");
    agent.stop().await.unwrap();
}

#[tokio::test(flavor = "current_thread")]
async fn scenario_38_the_stack_id_is_found_in_the_instance_tags() {
    let (_listener, port) = service().await;
    let host = Host::new("").await;
    host.sandbox.set_metadata("meta-data/tags/instance/acs:ros:stackId", STACK).unwrap();
    let text = format!("{}{}", host.usual().replace(&format!("stack_id = \"{STACK}\"\n"), ""), tcp_check(port));
    std::fs::write(host.config(), text).unwrap();
    let mut agent = host.start();
    agent.notes("acknowledged by ROS").await;
    host.stack_becomes("CREATE_COMPLETE").await;
    agent.stop().await.unwrap();
}

#[tokio::test(flavor = "current_thread")]
async fn scenario_1_a_stack_id_that_nobody_knows_is_said_with_what_to_do() {
    let (_listener, port) = service().await;
    let host = Host::new("").await;
    let text = format!("{}{}", host.usual().replace(&format!("stack_id = \"{STACK}\"\n"), ""), tcp_check(port));
    std::fs::write(host.config(), text).unwrap();
    let mut agent = host.start();
    let note = agent.notes("stack id or region unknown").await;
    assert!(note.contains("hint: set stack_id and region under [stack]"), "{note}");
    agent.stop().await.unwrap();
}

#[tokio::test(flavor = "current_thread")]
async fn scenario_35_wait_blocks_until_it_is_so_and_not_longer() {
    // Nobody listens there yet, and nobody else is given the port.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let host = Host::new(&tcp_check(socket.local_addr().unwrap().port())).await;
    let mut agent = host.start();
    agent.notes("check port: initial -> critical").await;
    let (code, body) = host.ask("GET", "/wait?for=healthy&timeout=100ms", "").await;
    assert_eq!((code, body.as_str()), (200, "{\"reached\":false}"));
    let _listener = socket.listen(1024).unwrap();
    let (code, body) = host.ask("GET", "/wait?for=healthy&signal=web&timeout=30s", "").await;
    assert_eq!((code, body.as_str()), (200, "{\"reached\":true}"));
    agent.stop().await.unwrap();
}

#[tokio::test(flavor = "current_thread")]
async fn a_configuration_that_comes_late_and_broken_is_said_in_the_status() {
    let host = Host::new("").await;
    let agent = host.start();
    while !host.socket().exists() {
        tokio::task::yield_now().await;
    }
    host.configure("[signal.web]\nresorce = \"WebReady\"\n");
    let said = async {
        loop {
            let (_, body) = host.ask("GET", "/status", "").await;
            if body.contains("config.toml:") {
                return body;
            }
        }
    };
    let body = tokio::time::timeout(std::time::Duration::from_secs(30), said).await.expect("the status says nothing");
    let status: Value = serde_json::from_str(&body).unwrap();
    let error = status["misconfigured"].as_str().unwrap();
    assert!(error.contains("config.toml:") && error.contains("error: "), "{body}");
    assert_eq!(status["summary"].as_str().unwrap(), format!("not configured: {error}"));
    agent.stop().await.unwrap();
}
