//! Each scripted fault, as the client at the other end meets it.

use std::io::ErrorKind;
use std::time::Duration;

use ros_sandbox::{Effect, Fault, Match, Sandbox, Service, When, WireScheme};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::{Caller, STACK, authority, metadata, sandbox};

fn effective(sandbox: &Sandbox) -> u32 {
    sandbox.stack(STACK).unwrap().effective_signals
}

async fn send(sandbox: &Sandbox) -> std::io::Result<crate::client::Reply> {
    Caller::default().signal(sandbox, "i-1", "SUCCESS").await
}

/// Waits until the sandbox has seen a request for which this holds.
async fn until(sandbox: &Sandbox, holds: impl Fn(&ros_sandbox::RequestRecord) -> bool) {
    let wait = async {
        while !sandbox.requests().iter().any(&holds) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), wait).await.unwrap();
}

#[tokio::test]
async fn a_reset_before_processing_has_no_effect_and_one_after_has() {
    let sandbox = sandbox().await;
    sandbox.add_fault(Fault::new(Effect::reset(When::Before)).times(1)).unwrap();
    sandbox.add_fault(Fault::new(Effect::reset(When::After)).times(1)).unwrap();
    assert_eq!(send(&sandbox).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(effective(&sandbox), 0);
    assert_eq!(send(&sandbox).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(effective(&sandbox), 1);
    send(&sandbox).await.unwrap().accepted();
    assert_eq!(effective(&sandbox), 1);
    let faults: Vec<Option<String>> = sandbox.requests().into_iter().map(|request| request.fault).collect();
    assert_eq!(faults, [Some("reset".to_owned()), Some("reset".to_owned()), None]);
    assert_eq!(sandbox.requests()[0].status, None);
}

#[tokio::test]
async fn a_reset_over_tls_is_a_reset_too() {
    let sandbox = sandbox().await;
    sandbox.add_fault(Fault::new(Effect::reset(When::After)).times(1)).unwrap();
    let parameters = [("RegionId", "cn-hangzhou"), ("StackId", STACK)];
    let call = Caller::default().call(&sandbox.ros_tls_url(), Some(sandbox.ca_file()), "GetStack", &parameters).await;
    assert_eq!(call.unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_reset_at_accept_is_counted_in_connections() {
    let sandbox = sandbox().await;
    sandbox.add_fault(Fault::new(Effect::reset(When::Accept)).times(2)).unwrap();
    for _ in 0..2 {
        let error = send(&sandbox).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{error}");
    }
    send(&sandbox).await.unwrap().accepted();
    assert_eq!(sandbox.requests().len(), 1);
}

/// Waits until a connection attempt ends as told; the port closes and opens a moment after the fault changes.
async fn until_connecting(sandbox: &Sandbox, refused: bool) {
    let address = authority(&sandbox.ros_url()).to_owned();
    let wait = async {
        loop {
            let refusal = matches!(TcpStream::connect(&address).await, Err(error) if error.kind() == ErrorKind::ConnectionRefused);
            if refusal == refused {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), wait).await.unwrap();
}

#[tokio::test]
async fn a_refusal_closes_the_port_and_opens_the_same_one_again() {
    let sandbox = sandbox().await;
    sandbox.add_fault(Fault::new(Effect::Refuse)).unwrap();
    until_connecting(&sandbox, true).await;
    assert_eq!(send(&sandbox).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    let parameters = [("RegionId", "cn-hangzhou"), ("StackId", STACK)];
    let tls = Caller::default().call(&sandbox.ros_tls_url(), Some(sandbox.ca_file()), "GetStack", &parameters).await;
    assert_eq!(tls.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    sandbox.clear_faults();
    until_connecting(&sandbox, false).await;
    send(&sandbox).await.unwrap().accepted();
}

#[tokio::test]
async fn a_refusal_ends_with_its_time() {
    let sandbox = sandbox().await;
    sandbox.add_fault(Fault::new(Effect::Refuse).seconds(60.0)).unwrap();
    until_connecting(&sandbox, true).await;
    sandbox.advance_clock(Duration::from_secs(60));
    until_connecting(&sandbox, false).await;
    send(&sandbox).await.unwrap().accepted();
}

#[tokio::test]
async fn a_refusal_may_begin_after_some_requests_and_for_one_scheme_only() {
    let sandbox = sandbox().await;
    let matching = Match { scheme: Some(WireScheme::Http), ..Match::default() };
    sandbox.add_fault(Fault { matching, ..Fault::new(Effect::Refuse).after(1) }).unwrap();
    send(&sandbox).await.unwrap().accepted();
    until_connecting(&sandbox, true).await;
    let parameters = [("RegionId", "cn-hangzhou"), ("StackId", STACK)];
    let tls = Caller::default().call(&sandbox.ros_tls_url(), Some(sandbox.ca_file()), "GetStack", &parameters).await;
    assert_eq!(tls.unwrap().status, 200);
}

#[tokio::test]
async fn a_refusal_closes_idle_connections_as_well() {
    let sandbox = sandbox().await;
    let mut idle = TcpStream::connect(authority(&sandbox.ros_url())).await.unwrap();
    idle.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut first = [0; 1];
    idle.read_exact(&mut first).await.unwrap();
    sandbox.add_fault(Fault::new(Effect::Refuse)).unwrap();
    let mut rest = Vec::new();
    tokio::time::timeout(Duration::from_secs(10), idle.read_to_end(&mut rest)).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_stalled_request_goes_on_when_the_faults_are_cleared() {
    let sandbox = sandbox().await;
    sandbox.add_fault(Fault::new(Effect::stall(When::Before, None)).times(1)).unwrap();
    let stalled = tokio::spawn({
        let sandbox = sandbox.clone();
        async move { send(&sandbox).await }
    });
    until(&sandbox, |request| request.fault.as_deref() == Some("stall")).await;
    assert_eq!(effective(&sandbox), 0);
    assert!(!stalled.is_finished());
    sandbox.clear_faults();
    stalled.await.unwrap().unwrap().accepted();
    assert_eq!(effective(&sandbox), 1);
}

#[tokio::test]
async fn a_stall_after_processing_holds_back_only_the_answer() {
    let sandbox = sandbox().await;
    sandbox.add_fault(Fault::new(Effect::stall(When::After, None)).times(1)).unwrap();
    let mut timeline = sandbox.subscribe();
    let stalled = tokio::spawn({
        let sandbox = sandbox.clone();
        async move { send(&sandbox).await }
    });
    assert!(timeline.recv().await.unwrap().signal.is_some());
    assert!(!stalled.is_finished());
    sandbox.clear_faults();
    stalled.await.unwrap().unwrap().accepted();
}

#[tokio::test]
async fn a_request_whose_client_went_away_is_processed_all_the_same() {
    let sandbox = sandbox().await;
    sandbox.add_fault(Fault::new(Effect::stall(When::Before, None)).times(1)).unwrap();
    let stalled = tokio::spawn({
        let sandbox = sandbox.clone();
        async move { send(&sandbox).await }
    });
    until(&sandbox, |request| request.fault.is_some()).await;
    stalled.abort();
    let _ = stalled.await;
    sandbox.clear_faults();
    until(&sandbox, |request| request.answered_at.is_some()).await;
    assert_eq!(effective(&sandbox), 1);
}

#[tokio::test]
async fn a_stall_ends_after_its_seconds() {
    let sandbox = sandbox().await;
    sandbox.add_fault(Fault::new(Effect::stall(When::Before, Some(0.05)))).unwrap();
    send(&sandbox).await.unwrap().accepted();
}

#[tokio::test]
async fn any_status_with_any_body_takes_the_place_of_operation_or_answer() {
    let sandbox = sandbox().await;
    sandbox.add_fault(Fault::new(Effect::http(502, "<html>bad gateway</html>")).times(1)).unwrap();
    let reply = send(&sandbox).await.unwrap();
    assert_eq!((reply.status, reply.body.as_str()), (502, "<html>bad gateway</html>"));
    assert_eq!(reply.header("content-type"), Some("text/html"));
    assert_eq!(effective(&sandbox), 0);

    let effect = Effect::Http {
        when: When::After,
        status: 503,
        headers: vec![("retry-after".to_owned(), "7".to_owned())],
        body: String::new(),
        piece: None,
        pause_ms: 0,
        cut_after: None,
        endless: false,
    };
    sandbox.add_fault(Fault::new(effect).times(1)).unwrap();
    let reply = send(&sandbox).await.unwrap();
    assert_eq!((reply.status, reply.header("retry-after")), (503, Some("7")));
    assert_eq!(effective(&sandbox), 1);
}

fn body(text: &str, piece: Option<u32>, cut_after: Option<u32>, endless: bool) -> Fault {
    let headers = Vec::new();
    let body = text.to_owned();
    Fault::new(Effect::Http { when: When::Before, status: 200, headers, body, piece, pause_ms: 1, cut_after, endless })
}

#[tokio::test]
async fn a_body_may_come_in_slow_pieces_or_break_off_halfway() {
    let sandbox = sandbox().await;
    sandbox.add_fault(body("abc", Some(1), None, false).times(1)).unwrap();
    let reply = send(&sandbox).await.unwrap();
    assert_eq!(reply.body.matches("1\r\n").count(), 3, "{}", reply.body);

    sandbox.add_fault(body("{\"RequestId\": \"abc\"}", None, Some(10), false).times(1)).unwrap();
    let reply = send(&sandbox).await.unwrap();
    assert_eq!((reply.header("content-length"), reply.body.as_str()), (Some("20"), "{\"RequestI"));
}

#[tokio::test]
async fn an_endless_body_goes_on_until_the_client_has_had_enough() {
    let sandbox = sandbox().await;
    sandbox.add_fault(body(&"x".repeat(100_000), Some(100_000), None, true).times(1)).unwrap();
    let mut stream = TcpStream::connect(authority(&sandbox.ros_url())).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut enough = vec![0; 1_000_000];
    tokio::time::timeout(Duration::from_secs(20), stream.read_exact(&mut enough)).await.unwrap().unwrap();
}

#[tokio::test]
async fn throttling_is_http_400_with_a_header_where_asked_for() {
    let sandbox = sandbox().await;
    sandbox.add_fault(Fault::new(Effect::throttle(Some(1500))).action("SignalResource").times(2)).unwrap();
    let reply = send(&sandbox).await.unwrap();
    assert_eq!(reply.is(400, "Throttling.User").header("x-acs-retry-after"), Some("1500"));
    let reply = Caller::default().stack_call(&sandbox, "GetStack", &[]).await.unwrap();
    assert_eq!(reply.status, 200, "only SignalResource is throttled");
    send(&sandbox).await.unwrap().is(400, "Throttling.User");
    send(&sandbox).await.unwrap().accepted();
}

#[tokio::test]
async fn an_error_is_answered_only_to_a_request_that_was_verified() {
    let sandbox = sandbox().await;
    sandbox.add_fault(Fault::new(Effect::error(503, "ServiceUnavailable"))).unwrap();
    send(&sandbox).await.unwrap().is(503, "ServiceUnavailable");
    let wrong = Caller { secret: "wrong".to_owned(), ..Caller::default() };
    wrong.signal(&sandbox, "i-1", "SUCCESS").await.unwrap().is(400, "SignatureDoesNotMatch");
}

#[tokio::test]
async fn a_fault_lets_the_first_requests_pass() {
    let sandbox = sandbox().await;
    sandbox.add_fault(Fault::new(Effect::error(500, "InternalError")).after(2).times(1)).unwrap();
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(send(&sandbox).await.unwrap().status);
    }
    assert_eq!(statuses, [200, 200, 500, 200]);
}

#[tokio::test]
async fn too_early_and_stack_not_found_last_as_long_as_told() {
    let sandbox = sandbox().await;
    for (effect, code) in [(Effect::TooEarly, "ResourceNotAvailable"), (Effect::StackNotFound, "StackNotFound")] {
        sandbox.add_fault(Fault::new(effect).seconds(60.0)).unwrap();
        send(&sandbox).await.unwrap().is(404, code);
        sandbox.advance_clock(Duration::from_secs(59));
        let caller = Caller { off: 59, ..Caller::default() };
        caller.signal(&sandbox, "i-1", "SUCCESS").await.unwrap().is(404, code);
        sandbox.advance_clock(Duration::from_secs(1));
        let caller = Caller { off: 60, ..Caller::default() };
        caller.signal(&sandbox, "i-1", "SUCCESS").await.unwrap().accepted();
    }
}

#[tokio::test]
async fn permission_may_be_denied_for_a_while() {
    let sandbox = sandbox().await;
    sandbox.add_fault(Fault::new(Effect::Forbidden).times(1)).unwrap();
    send(&sandbox).await.unwrap().is(403, "Forbidden.RAM");
    send(&sandbox).await.unwrap().accepted();
}

#[tokio::test]
async fn a_wrong_date_is_only_in_the_header() {
    let sandbox = sandbox().await;
    sandbox.add_fault(Fault::new(Effect::Date { skew_seconds: 86_400 * 400 }).times(1)).unwrap();
    let wrong = send(&sandbox).await.unwrap();
    wrong.accepted();
    let right = send(&sandbox).await.unwrap();
    assert_ne!(wrong.header("date").unwrap()[..16], right.header("date").unwrap()[..16]);
}

#[tokio::test]
async fn credentials_expire_with_the_request_and_the_metadata_service_has_new_ones() {
    let sandbox = sandbox().await;
    let path = "/latest/meta-data/ram/security-credentials/SandboxRole";
    let caller = || async {
        let issued = metadata(&sandbox, "GET", path, &[]).await.unwrap().json();
        let text = |name: &str| issued[name].as_str().unwrap().to_owned();
        let (key_id, secret) = (text("AccessKeyId"), text("AccessKeySecret"));
        Caller { key_id, secret, token: Some(text("SecurityToken")), ..Caller::default() }
    };
    let first = caller().await;
    first.signal(&sandbox, "i-1", "SUCCESS").await.unwrap().accepted();
    sandbox.add_fault(Fault::new(Effect::ExpireCredentials).times(1)).unwrap();
    for _ in 0..2 {
        first.signal(&sandbox, "i-1", "SUCCESS").await.unwrap().is(400, "InvalidSecurityToken.Expired");
    }
    let second = caller().await;
    assert_ne!(first.key_id, second.key_id);
    second.signal(&sandbox, "i-1", "SUCCESS").await.unwrap().accepted();
}

#[tokio::test]
async fn the_metadata_service_has_faults_of_its_own() {
    let sandbox = sandbox().await;
    let token = Fault::new(Effect::http(404, "not here")).metadata("/latest/api/token");
    sandbox.add_fault(token).unwrap();
    sandbox.add_fault(body("{\"Code\": \"Success\", \"Acc", None, None, false).metadata("/latest/meta-data/ram/")).unwrap();
    let id = Fault::new(Effect::reset(When::Before)).metadata("/latest/meta-data/instance-id");
    sandbox.add_fault(id).unwrap();
    assert_eq!(metadata(&sandbox, "PUT", "/latest/api/token", &[]).await.unwrap().status, 404);
    let half = metadata(&sandbox, "GET", "/latest/meta-data/ram/security-credentials/SandboxRole", &[]).await.unwrap();
    assert!(half.body.contains("\"Acc"), "{}", half.body);
    let error = metadata(&sandbox, "GET", "/latest/meta-data/instance-id", &[]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    send(&sandbox).await.unwrap().accepted();

    sandbox.clear_faults();
    let matching = Match { service: Service::Metadata, ..Match::default() };
    sandbox.add_fault(Fault { matching, ..Fault::new(Effect::Refuse) }).unwrap();
    let refused = async {
        loop {
            match metadata(&sandbox, "GET", "/latest/meta-data/region-id", &[]).await {
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => return,
                _ => tokio::task::yield_now().await,
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), refused).await.unwrap();
    send(&sandbox).await.unwrap().accepted();
}

#[tokio::test]
async fn stopping_ends_stalled_requests() {
    let sandbox = sandbox().await;
    sandbox.add_fault(Fault::new(Effect::stall(When::Before, None))).unwrap();
    let stalled = tokio::spawn({
        let sandbox = sandbox.clone();
        async move { send(&sandbox).await }
    });
    until(&sandbox, |request| request.fault.is_some()).await;
    sandbox.clone().stop().await;
    let ended = stalled.await.unwrap();
    assert!(!matches!(&ended, Ok(reply) if reply.status != 0), "{ended:?}");
    assert_eq!(effective(&sandbox), 0);
    let error = send(&sandbox).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}
