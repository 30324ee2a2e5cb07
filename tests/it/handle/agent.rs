//! The agent, with signals that travel through the URL of a handle.

use super::{attribute, derived, ids, of_this_host, posts};
use crate::host::{Host, Running, STACK};
use crate::mounted::Hung;
use crate::private;
use ros_sandbox::{Effect, Fault, HandleAnswer, HandleHeaders, Switches, When};
use std::collections::HashMap;
use std::time::Duration;

/// A host that has nothing but the document of a handle: no keys, no role, no stack id.
pub(super) async fn poor_host(source: &str) -> (Host, tokio::net::TcpListener) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = Host::new("").await;
    host.sandbox.remove_metadata("meta-data/ram/security-credentials");
    let usual = host.usual().replace(&format!("stack_id = \"{STACK}\"\n"), "").replace("provider = \"environment\"", "provider = \"auto\"");
    let text = format!(
        "{usual}[signal.web]\nresource = \"WebReady\"\ntransport = \"handle\"\n{source}min_healthy_time = \"200ms\"\n\
         [check.port]\ntype = \"tcp\"\naddress = \"{}\"\nstart_interval = \"100ms\"\n",
        listener.local_addr().unwrap()
    );
    private::write(&host.config(), &text);
    (host, listener)
}

/// A host with `handle_file`, and that file.
pub(super) async fn host_with(document: impl Fn(&Host) -> String) -> (Host, tokio::net::TcpListener) {
    let (host, listener) = poor_host("handle_file = \"HANDLE\"\n").await;
    let path = host.path("handle");
    let text = std::fs::read_to_string(host.config()).unwrap().replace("HANDLE", path.to_str().unwrap());
    private::write(&host.config(), &text);
    private::write(&path, &document(&host));
    (host, listener)
}

fn poor(host: &Host) -> Running {
    host.start_in(HashMap::new())
}

#[tokio::test(flavor = "current_thread")]
async fn a_host_with_nothing_but_the_file_signals_once_without_credentials() {
    for form in ["CurlCli", "WindowsCurlCli", "URL"] {
        let (host, _listener) = host_with(|host| attribute(host, form)).await;
        let mut agent = poor(&host);
        agent.notes("acknowledged by ROS").await;
        host.stack_becomes("CREATE_COMPLETE").await;
        assert_eq!((ids(&host), posts(&host)), (vec![of_this_host("web")], 1), "{form}: the id is that of the stack that the URL names");
        let signed = host.sandbox.requests().into_iter().filter(|request| request.action.is_some()).count();
        assert_eq!(signed, 0, "{form}: nobody was asked with credentials");
        agent.stop().await.unwrap();
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_url_on_a_dead_file_server_holds_up_neither_the_loop_nor_other_signals() {
    let Some(hung) = Hung::mount() else { return };
    let (host, _listener) = host_with(|host| attribute(host, "CurlCli")).await;
    let far = format!(
        "[signal.far]\nresource = \"FarReady\"\ntransport = \"handle\"\nhandle_file = \"{}\"\nchecks = [\"port\"]\n",
        hung.path().join("handle").display()
    );
    let text = std::fs::read_to_string(host.config()).unwrap();
    private::write(&host.config(), &format!("{text}{far}"));
    let mut agent = poor(&host);
    agent.notes("its files did not answer within 2s").await;
    agent.notes("acknowledged by ROS").await;
    assert_eq!((ids(&host), posts(&host)), (vec![of_this_host("web")], 1));
    agent.stop().await.unwrap();
}

#[tokio::test(flavor = "current_thread")]
async fn the_verdicts_reason_reaches_the_events_of_the_stack() {
    let (host, listener) = host_with(|host| attribute(host, "CurlCli")).await;
    drop(listener);
    let text = std::fs::read_to_string(host.config()).unwrap();
    private::write(&host.config(), &text.replace("[signal.web]\n", "[signal.web]\ndeadline = \"7s\"\nmargin = \"6s\"\n"));
    let mut agent = poor(&host);
    agent.notes("acknowledged by ROS").await;
    host.stack_becomes("CREATE_FAILED").await;
    let signal = host.sandbox.stack(STACK).unwrap().resources["WebReady"].signals[0].clone();
    assert!(signal.status.as_str() == "FAILURE" && signal.reason.contains("deadline 7s"), "{signal:?}");
    agent.stop().await.unwrap();
}

#[tokio::test(flavor = "current_thread")]
async fn a_systemd_credential_holds_the_document() {
    let (host, _listener) = poor_host("handle_credential = \"web-handle\"\n").await;
    std::fs::create_dir(host.path("credentials")).unwrap();
    let document = format!("{{\"URL\": \"{}\", \"Headers\": {}}}", attribute(&host, "URL"), attribute(&host, "Headers"));
    private::write(&host.path("credentials/web-handle"), &document);
    let directory = host.path("credentials").to_str().unwrap().to_owned();
    let mut agent = host.start_in(HashMap::from([("CREDENTIALS_DIRECTORY".to_owned(), directory)]));
    agent.notes("acknowledged by ROS").await;
    assert_eq!(ids(&host), [of_this_host("web")]);
    agent.stop().await.unwrap();
}

#[tokio::test(flavor = "current_thread")]
async fn without_a_file_the_stack_is_asked_for_the_url() {
    for headers in [HandleHeaders::Object, HandleHeaders::Text] {
        let (host, _listener) = poor_host("").await;
        host.sandbox.set_switches(Switches { handle_headers: headers, ..Switches::default() });
        let text = std::fs::read_to_string(host.config()).unwrap();
        private::write(&host.config(), &format!("[stack]\nstack_id = \"{STACK}\"\n{}", text.replace("[stack]\n", "")));
        let mut agent = host.start_in(Host::environment());
        agent.notes("acknowledged by ROS").await;
        assert_eq!((ids(&host), posts(&host)), (vec![of_this_host("web")], 1));
        let actions: Vec<_> = host.sandbox.requests().into_iter().filter_map(|request| request.action).collect();
        // Beside these the template is asked for.
        assert!(["GetStack", "GetStackResource"].iter().all(|action| actions.iter().any(|seen| seen == action)), "{actions:?}");
        assert!(!actions.iter().any(|action| action == "SignalResource"), "{actions:?}");
        agent.stop().await.unwrap();
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_url_whose_time_has_passed_is_fetched_anew_before_it_is_used_where_that_is_permitted() {
    let (host, _listener) = host_with(|host| attribute(host, "CurlCli")).await;
    // The look at the stack tells the time of ROS.
    host.sandbox.advance_clock(Duration::from_secs(50_000));
    host.sandbox.put_stack(STACK, ros_sandbox::StackSpec::waiting_for("WebReady", 1, 40_000.0)).unwrap();
    let mut agent = host.start_in(Host::environment());
    agent.notes("acknowledged by ROS").await;
    assert_eq!((ids(&host), posts(&host)), (vec![of_this_host("web")], 1));
    agent.stop().await.unwrap();
}

#[tokio::test(flavor = "current_thread")]
async fn a_url_that_the_service_refuses_is_fetched_anew_where_that_is_permitted() {
    let (host, _listener) = host_with(|host| attribute(host, "CurlCli")).await;
    host.sandbox.advance_clock(Duration::from_secs(5));
    host.sandbox.add_fault(Fault::new(Effect::http(403, "")).handle().times(1)).unwrap();
    let mut agent = host.start_in(Host::environment());
    let note = agent.notes("not acknowledged").await;
    assert!(note.contains("again in 0s: the URL of the handle has expired (HTTP 403"), "{note}");
    assert!(note.contains("the stack gave a fresh one"), "{note}");
    agent.notes("acknowledged by ROS").await;
    let expires: Vec<_> = host.sandbox.requests().into_iter().filter_map(|request| request.parameters.get("expire").cloned()).collect();
    assert!(expires.len() == 2 && expires[0] != expires[1], "{expires:?}");
    assert_eq!(ids(&host), [of_this_host("web")]);
    agent.stop().await.unwrap();
}

#[tokio::test(flavor = "current_thread")]
async fn an_expired_url_that_cannot_be_replaced_is_a_clear_refusal_and_a_new_file_mends_it() {
    for status in [401, 403, 410] {
        let (host, _listener) = host_with(|host| attribute(host, "CurlCli")).await;
        host.sandbox.set_switches(Switches { handle_expired_status: status, ..Switches::default() });
        host.sandbox.advance_clock(Duration::from_secs(50_000));
        host.sandbox.put_stack(STACK, ros_sandbox::StackSpec::waiting_for("WebReady", 1, 40_000.0)).unwrap();
        let mut agent = poor(&host);
        let note = agent.notes("not acknowledged").await;
        assert!(note.contains("has expired") && note.contains("no credentials"), "{note}");
        assert!(note.contains("hint: write a fresh CurlCli or URL of the handle into its file, or permit ros:GetStackResource"), "{note}");
        agent.stop().await.unwrap();
        private::write(&host.path("handle"), &attribute(&host, "CurlCli"));
        let mut again = poor(&host);
        again.notes("acknowledged by ROS").await;
        assert_eq!(ids(&host), [of_this_host("web")]);
        again.stop().await.unwrap();
    }
}

#[tokio::test(flavor = "current_thread")]
async fn scenario_12_a_url_of_another_stack_is_not_told_what_this_stack_waits_for() {
    let other = "00000000-0000-4000-8000-000000000001";
    // As in an image that was made of a host of another stack.
    let (host, _listener) = host_with(|host| {
        host.sandbox.put_stack(other, ros_sandbox::StackSpec::waiting_for("WebReady", 1, 3_000.0)).unwrap();
        host.sandbox.handle_attribute(other, "WebReady", "CurlCli").unwrap().reveal().to_owned()
    })
    .await;
    let text = std::fs::read_to_string(host.config()).unwrap().replace("[stack]\n", "");
    private::write(&host.config(), &format!("[stack]\nstack_id = \"{STACK}\"\n{text}"));
    let mut agent = poor(&host);
    let note = agent.notes("not acknowledged").await;
    assert!(note.contains(&format!("the URL of the handle is that of stack {other}, not of {STACK}: nothing is sent")), "{note}");
    assert_eq!(posts(&host), 0);
    agent.stop().await.unwrap();
    // With credentials the right one is had.
    let mut again = host.start_in(Host::environment());
    again.notes("acknowledged by ROS").await;
    assert_eq!((ids(&host), posts(&host)), (vec![of_this_host("web")], 1));
    again.stop().await.unwrap();
}

#[tokio::test(flavor = "current_thread")]
async fn scenario_3_what_is_no_acknowledgement_is_tried_again_under_the_same_id() {
    let faults = [
        Effect::http(500, "oops"),
        Effect::http(200, "<html>please log in</html>"),
        Effect::http(302, ""),
        Effect::reset(When::Before),
        Effect::reset(When::After),
        Effect::Http {
            when: When::After,
            status: 200,
            headers: Vec::new(),
            body: "{\"RequestId\": \"cut\"}".to_owned(),
            piece: None,
            pause_ms: 0,
            cut_after: Some(9),
            endless: false,
        },
        Effect::http(400, "<html>bad request</html>"),
    ];
    for fault in faults {
        let (host, _listener) = host_with(|host| attribute(host, "CurlCli")).await;
        let kind = format!("{fault:?}");
        host.sandbox.add_fault(Fault::new(fault).handle().times(1)).unwrap();
        let mut agent = poor(&host);
        agent.notes("not acknowledged").await;
        agent.notes("acknowledged by ROS").await;
        assert_eq!((ids(&host), posts(&host)), (vec![of_this_host("web")], 2), "{kind}");
        assert_eq!(host.sandbox.stack(STACK).unwrap().effective_signals, 1, "{kind}");
        agent.stop().await.unwrap();
    }
}

#[tokio::test(flavor = "current_thread")]
async fn every_way_in_which_the_service_may_say_yes_is_an_acknowledgement() {
    for answer in [HandleAnswer::Json, HandleAnswer::Object, HandleAnswer::Text, HandleAnswer::Empty] {
        for status in [200, 202] {
            let (host, _listener) = host_with(|host| attribute(host, "URL")).await;
            host.sandbox.set_switches(Switches { handle_answer: answer, handle_accepted_status: status, ..Switches::default() });
            let mut agent = poor(&host);
            agent.notes("acknowledged by ROS").await;
            assert_eq!(posts(&host), 1);
            agent.stop().await.unwrap();
        }
    }
}

#[tokio::test(flavor = "current_thread")]
async fn scenario_2_a_file_that_comes_later_is_waited_for_and_said() {
    let (host, _listener) = host_with(|_| String::new()).await;
    std::fs::remove_file(host.path("handle")).unwrap();
    let mut agent = poor(&host);
    let note = agent.notes("signal web: handle file ").await;
    assert!(note.contains("No such file"), "{note}");
    private::write(&host.path("handle"), &attribute(&host, "CurlCli"));
    agent.notes("acknowledged by ROS").await;
    assert_eq!(ids(&host), [of_this_host("web")]);
    agent.stop().await.unwrap();
}

#[tokio::test(flavor = "current_thread")]
async fn a_restart_does_not_signal_again_even_if_tag_or_file_changed_meanwhile() {
    let (host, _listener) = host_with(|host| attribute(host, "CurlCli")).await;
    let mut agent = poor(&host);
    agent.notes("acknowledged by ROS").await;
    agent.stop().await.unwrap();
    host.sandbox.set_metadata("meta-data/tags/instance/acs:ros:stackId", "00000000-0000-4000-8000-000000000000").unwrap();
    private::write(&host.path("handle"), &attribute(&host, "URL"));
    let mut again = poor(&host);
    again.notes("check port: initial -> passing").await;
    let (_, body) = host.ask("GET", "/wait?for=signaled&timeout=20s", "").await;
    assert_eq!((body.as_str(), posts(&host)), ("{\"reached\":true}", 1));
    again.stop().await.unwrap();
}

#[tokio::test(flavor = "current_thread")]
async fn a_url_that_names_no_stack_still_gives_this_host_an_id_that_stays() {
    // A server of another shape: it takes whatever is posted.
    let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v2/notify/opaque-token-opaque-token", server.local_addr().unwrap());
    let (bodies, mut seen) = tokio::sync::mpsc::channel(8);
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        while let Ok((mut stream, _)) = server.accept().await {
            let mut text = String::new();
            let mut piece = [0; 4096];
            while !text.contains('}') {
                let length = stream.read(&mut piece).await.unwrap();
                text.push_str(&String::from_utf8_lossy(&piece[..length]));
            }
            stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").await.unwrap();
            bodies.send(text).await.unwrap();
        }
    });
    let mut ids = Vec::new();
    for _ in 0..2 {
        let (host, _listener) = host_with(|_| url.clone()).await;
        let mut agent = poor(&host);
        agent.notes("acknowledged by ROS").await;
        let text = seen.recv().await.unwrap();
        assert!(text.starts_with("POST /v2/notify/opaque-token-opaque-token HTTP/1.1\r\n"), "{text}");
        assert!(text.contains("content-type: application/json") && text.contains("x-acs-region-id: cn-hangzhou"), "{text}");
        let body: serde_json::Value = serde_json::from_str(text.split_once("\r\n\r\n").unwrap().1).unwrap();
        ids.push(body["id"].as_str().unwrap().to_owned());
        agent.stop().await.unwrap();
    }
    assert_eq!(ids[0], ids[1], "a host that lost its disk says it under the same id");
    assert_ne!(ids[0], derived("i-other", "web"));
}
