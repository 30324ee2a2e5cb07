//! Error answers of ROS and what the client makes of them.

use super::scripted::{Server, http};
use super::*;
use ros_sandbox::{Effect, Fault, Switches};
use ros_signal_agent::signal::Class;

async fn after(effect: Effect) -> Refusal {
    let sandbox = sandbox().await;
    sandbox.add_fault(Fault::new(effect)).unwrap();
    refusal(client(&sandbox.ros_url()).signal(&success()).await)
}

#[tokio::test]
async fn throttling_is_http_400_at_ros_and_its_wait_is_honoured() {
    let refused = after(Effect::throttle(Some(2500))).await;
    assert_eq!((refused.class, refused.definite, refused.retry_after), (Class::Throttled, true, Some(Duration::from_millis(2500))));
    assert_eq!(refused.code.as_deref(), Some("Throttling.User"));
    assert!(refused.request_id.is_some());
}

#[tokio::test]
async fn retry_after_of_a_gateway_is_honoured_and_clamped() {
    for (header, seconds) in [("Retry-After: 7", 7), ("Retry-After: 86400", 600), ("x-acs-retry-after: 3600000", 600)] {
        let server = Server::start(move |_, _| http(503, &[header], "busy")).await;
        let refused = refusal(client(&server.url).signal(&success()).await);
        assert_eq!((refused.class, refused.retry_after), (Class::Transient, Some(Duration::from_secs(seconds))), "{header}");
    }
}

#[tokio::test]
async fn the_three_404s_may_mean_too_early() {
    assert_eq!(after(Effect::TooEarly).await.class, Class::TooEarly);
    let missing = sandbox().await;
    let mut wrong = success();
    wrong.target.resource = "NoSuchHandle".into();
    let refused = refusal(client(&missing.ros_url()).signal(&wrong).await);
    assert_eq!((refused.class, refused.code.as_deref()), (Class::TooEarly, Some("ResourceNotFound")));
    assert!(refused.hint.unwrap().contains("NoSuchHandle"));
    let refused = after(Effect::StackNotFound).await;
    assert_eq!((refused.class, refused.definite), (Class::TooEarly, true));
    assert!(refused.hint.unwrap().contains("ros-intl"));
}

#[tokio::test]
async fn scenario_09_a_missing_permission_names_action_and_arn() {
    let sandbox = sandbox().await;
    sandbox.set_switches(Switches { permit_signal_resource: false, ..Switches::default() });
    let client = client(&sandbox.ros_url());
    let refused = refusal(client.signal(&success()).await);
    assert_eq!((refused.class, refused.definite), (Class::Permission, true));
    let arn = |account: &str| format!("grant ros:SignalResource on acs:ros:cn-hangzhou:{account}:stack/{STACK}");
    assert!(refused.hint.as_deref().unwrap().contains(&arn("*")), "{refused:?}");
    assert!(refused.message.contains("AccessDeniedDetail"), "{refused:?}");
    client.know_account("1234567890123456");
    let refused = refusal(client.signal(&success()).await);
    assert!(refused.hint.unwrap().contains(&arn("1234567890123456")));
}

#[tokio::test]
async fn scenario_08_a_signal_to_a_stack_that_has_ended_is_not_judged_by_prose() {
    let refused = after(Effect::Error {
        code: "NotSupported".into(),
        status: 400,
        message: Some("Stack is in CREATE_COMPLETE state and can not be signaled".into()),
        retry_after_ms: None,
    })
    .await;
    assert_eq!((refused.class, refused.code.as_deref()), (Class::Permanent, Some("NotSupported")));
}

#[tokio::test]
async fn a_nonce_that_was_used_is_tried_again_at_once_with_the_same_token() {
    let refused = after(Effect::error(400, "SignatureNonceUsed")).await;
    assert_eq!((refused.class, refused.definite), (Class::Immediate, false));
    let refused = after(Effect::error(400, "LastTokenProcessing")).await;
    assert_eq!((refused.class, refused.definite, refused.retry_after), (Class::Transient, false, Some(Duration::from_secs(1))));
}

#[tokio::test]
async fn scenario_15_a_temporary_key_that_expired_is_renewed_and_the_next_attempt_is_immediate() {
    let sandbox = sandbox().await;
    let client = client_of_role(&sandbox);
    receipt(client.signal(&success()).await);
    sandbox.expire_credentials();
    sandbox.rotate_credentials();
    let refused = refusal(client.signal(&request(SignalStatus::Success, 1)).await);
    assert_eq!((refused.code.as_deref(), refused.class), (Some("InvalidSecurityToken.Expired"), Class::Immediate));
    receipt(client.signal(&request(SignalStatus::Success, 2)).await);
}

#[tokio::test]
async fn a_key_that_stays_wrong_is_asked_for_again_twice_a_minute_at_most() {
    let sandbox = sandbox().await;
    sandbox.add_fault(Fault::new(Effect::error(400, "InvalidAccessKeyId.Inactive"))).unwrap();
    let client = client_of_role(&sandbox);
    for _ in 0..10 {
        assert_eq!(refusal(client.signal(&success()).await).class, Class::Credentials);
    }
    let documents = sandbox.requests().iter().filter(|seen| seen.path.ends_with("/security-credentials/SandboxRole")).count();
    assert_eq!(documents, 3, "the first one and two that were forced");
}

#[tokio::test]
async fn without_credentials_nothing_is_sent() {
    let sandbox = sandbox().await;
    let none = HashMap::new();
    let cache = Cache::new(&Provider::Environment, &none, &metadata("http://127.0.0.1:1", &none), Random::new(1));
    let client = Client::new(&settings(&sandbox.ros_url()), Arc::new(cache)).unwrap();
    let refused = refusal(client.signal(&success()).await);
    assert_eq!((refused.class, refused.definite), (Class::Credentials, false));
    assert_eq!(refused.message, "no credentials: environment: ALIBABA_CLOUD_ACCESS_KEY_ID is not set");
    assert!(sandbox.requests().is_empty());
}

#[tokio::test]
async fn a_request_that_ros_cannot_take_is_not_sent() {
    let sandbox = sandbox().await;
    let mut wrong = success();
    wrong.target.region = "cn hangzhou".into();
    let refused = refusal(client(&sandbox.ros_url()).signal(&wrong).await);
    assert_eq!((refused.class, refused.definite), (Class::Permanent, false));
    assert!(refused.message.starts_with("RegionId"), "{}", refused.message);
    assert!(sandbox.requests().is_empty());
}
