//! What counts as an acknowledgement, and what every other answer is called.

use super::scripted::{Server, http};
use super::*;
use ros_sandbox::{Effect, Fault, When};
use ros_signal_agent::signal::Class;

const RECEIPT: &str = r#"{"RequestId":"B288A0BE-D927-4888-B0F7-B35EF84B6E6F"}"#;

fn quick(url: &str) -> Client {
    Client::new(&Ros { timeout: Duration::from_millis(400), ..settings(url) }, credentials(None)).unwrap()
}

async fn one_answer(bytes: Vec<u8>) -> Answer {
    let server = Server::start(move |_, _| bytes.clone()).await;
    client(&server.url).signal(&success()).await
}

#[tokio::test]
async fn json_and_xml_receipts_are_acknowledgements() {
    let xml = "<?xml version='1.0' encoding='UTF-8'?><SignalResourceResponse><RequestId>R-1</RequestId></SignalResourceResponse>";
    for (body, id) in [(RECEIPT, "B288A0BE-D927-4888-B0F7-B35EF84B6E6F"), (r#"{"requestId":"R-2"}"#, "R-2"), (xml, "R-1")] {
        assert_eq!(receipt(one_answer(http(200, &[], body)).await), id);
    }
}

#[tokio::test]
async fn the_request_is_a_post_without_a_body() {
    let server = Server::start(|_, _| http(200, &[], RECEIPT)).await;
    receipt(client(&server.url).signal(&success()).await);
    let request = &server.requests()[0];
    assert!(request.line().starts_with("POST /?ClientToken="), "{}", request.line());
    assert_eq!(request.header("content-length"), Some("0"));
    assert_eq!(request.header("content-type"), None);
    assert_eq!(request.header("x-acs-action"), Some("SignalResource"));
    assert_eq!(request.header("accept"), Some("application/json"));
    assert!(request.header("user-agent").unwrap().starts_with("ros-signal-agent/"));
}

#[tokio::test]
async fn scenario_03_no_other_answer_is_an_acknowledgement() {
    let portal = "<html><body>Please log in <RequestId>R-1</RequestId></body></html>";
    let xml_error = "<Error><RequestId>R</RequestId><Code>InternalError</Code><Message>m</Message></Error>";
    let expected = "a body that is not ROS's (text/html)";
    for (status, headers, body, message) in [
        (200, &["Content-Type: text/html; charset=utf-8"][..], portal, expected),
        (200, &["Content-Type: text/html"], "", "an empty body"),
        (200, &[], "{}", "not ROS's"),
        (200, &[], &RECEIPT[..20], "not ROS's"),
        (204, &[], "", "HTTP 204"),
        (302, &["Location: http://127.0.0.1:1/"], "", "HTTP 302"),
        (400, &[], "{}", "HTTP 400"),
        (500, &["Content-Type: text/xml;charset=utf-8"], xml_error, "InternalError (HTTP 500"),
        (503, &["Content-Type: text/html"], "<h1>503</h1>", expected),
        (503, &[], RECEIPT, "HTTP 503"),
    ] {
        let refused = refusal(one_answer(http(status, headers, body)).await);
        assert!(refused.message.contains(message), "{}", refused.message);
        assert!(!refused.definite, "{refused:?}");
    }
}

#[tokio::test]
async fn scenario_02_an_answer_that_never_comes_or_never_ends_is_cut_by_the_time_of_the_attempt() {
    let server = Server::start(|_, _| Vec::new()).await;
    let silent = refusal(quick(&server.url).signal(&success()).await);
    assert!(silent.message.starts_with("timed out after 400ms waiting for the answer of 127.0.0.1:"), "{}", silent.message);

    let sandbox = sandbox().await;
    let body = "x".repeat(64);
    let trickle = Effect::Http {
        when: When::Before,
        status: 200,
        headers: Vec::new(),
        body,
        piece: Some(1),
        pause_ms: 50,
        cut_after: None,
        endless: true,
    };
    sandbox.add_fault(Fault::new(trickle)).unwrap();
    let refused = refusal(quick(&sandbox.ros_url()).signal(&success()).await);
    assert!(refused.message.contains("in the middle of the answer"), "{}", refused.message);
    assert_eq!((refused.class, refused.definite), (Class::Transient, false));
}

#[tokio::test]
async fn a_body_without_end_is_not_read_to_its_end() {
    let sandbox = sandbox().await;
    let endless = Effect::Http {
        when: When::Before,
        status: 200,
        headers: Vec::new(),
        body: "x".repeat(8192),
        piece: None,
        pause_ms: 0,
        cut_after: None,
        endless: true,
    };
    sandbox.add_fault(Fault::new(endless)).unwrap();
    let refused = refusal(client(&sandbox.ros_url()).signal(&success()).await);
    assert!(refused.message.ends_with("with a body of more than 64 KiB"), "{}", refused.message);
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_ambiguous() {
    for bytes in [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"RequestId\":\"R-1\"}".to_vec(),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"Req".to_vec(),
        b"HTTP/1.1 20".to_vec(),
        b"garbage\r\n\r\n".to_vec(),
    ] {
        let refused = refusal(one_answer(bytes).await);
        assert_eq!((refused.class, refused.definite, refused.code.clone()), (Class::Transient, false, None));
        assert!(refused.message.contains("127.0.0.1:"), "{}", refused.message);
    }
}

#[tokio::test]
async fn scenario_07_a_reset_after_processing_is_ambiguous_and_the_next_attempt_counts_once() {
    let sandbox = sandbox().await;
    sandbox.add_fault(Fault::new(Effect::reset(When::After)).times(1)).unwrap();
    let client = client(&sandbox.ros_url());
    let refused = refusal(client.signal(&success()).await);
    assert_eq!((refused.class, refused.definite), (Class::Transient, false));
    assert!(refused.message.contains("reset"), "{}", refused.message);
    receipt(client.signal(&success()).await);
    assert_eq!(sandbox.stack(STACK).unwrap().effective_signals, 1);
}

#[tokio::test]
async fn scenario_04_one_call_is_one_attempt_whatever_comes() {
    let sandbox = sandbox().await;
    for effect in [Effect::error(503, "ServiceUnavailable"), Effect::reset(When::Before), Effect::throttle(Some(1))] {
        let before = sandbox.requests().len();
        sandbox.add_fault(Fault::new(effect).times(1)).unwrap();
        refusal(client(&sandbox.ros_url()).signal(&success()).await);
        assert_eq!(sandbox.requests().len(), before + 1);
    }
}

#[tokio::test]
async fn no_redirect_is_followed() {
    let elsewhere = Server::start(|_, _| http(200, &[], RECEIPT)).await;
    let location = format!("Location: {}/", elsewhere.url);
    for status in [301, 302, 303, 307, 308] {
        let refused = refusal(one_answer(http(status, &[&location], "")).await);
        assert!(refused.hint.unwrap().contains("redirects are not followed"));
    }
    assert!(elsewhere.requests().is_empty());
}
