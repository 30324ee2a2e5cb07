//! The metadata service: hardened mode, faults, and what answers in its place.

use crate::ros::scripted::{Server, http};
use crate::ros::{self, metadata, sandbox};
use reqwest::Url;
use ros_sandbox::{Effect, Fault, Switches, When};
use ros_signal_agent::clock::Moment;
use ros_signal_agent::credentials::Cache;
use ros_signal_agent::instance::{Error, Identity, LOOKUP_TIMEOUT, Metadata};
use ros_signal_agent::plan::{Instance, Provider};
use ros_signal_agent::retry::Random;
use std::collections::HashMap;
use std::sync::Arc;

const ID: &str = "i-bp1a2b3c4d5e6f7g8h9i";
const NOW: Moment = Moment { boot_ms: 0, wall_ms: 1_790_000_000_000 };

fn none() -> HashMap<String, String> {
    HashMap::new()
}

fn configured(url: &str, id: Option<&str>, allow_plain: bool, environment: &HashMap<String, String>) -> Metadata {
    let settings = Instance { id: id.map(str::to_owned), metadata_url: Url::parse(url).unwrap(), allow_plain_metadata: allow_plain };
    Metadata::new(&settings, environment).unwrap()
}

#[tokio::test]
async fn identity_comes_from_the_service_with_a_token() {
    let sandbox = sandbox().await;
    sandbox.set_switches(Switches { require_metadata_token: true, ..Switches::default() });
    let metadata = metadata(&sandbox.metadata_url(), &none());
    let identity = metadata.identity().await.unwrap();
    let expected = Identity {
        instance_id: "i-sandbox0000000000001".into(),
        region: Some("cn-hangzhou".into()),
        stack_id: None,
        account_id: Some("1234567890123456".into()),
    };
    assert_eq!(identity, expected);
    let tokens = sandbox.requests().iter().filter(|seen| seen.method == "PUT").count();
    assert_eq!(tokens, 1, "one token serves all look-ups");
    sandbox.set_metadata("meta-data/tags/instance/acs:ros:stackId", ros::STACK).unwrap();
    assert_eq!(metadata.identity().await.unwrap().stack_id.as_deref(), Some(ros::STACK));
}

#[tokio::test]
async fn a_configured_id_is_used_and_then_nothing_need_answer() {
    let silent = configured("http://127.0.0.1:1", Some("my-host"), false, &none());
    let identity = silent.identity().await.unwrap();
    assert_eq!((identity.instance_id.as_str(), identity.region), ("my-host", None));
    assert_eq!(silent.instance_id().await.unwrap(), "my-host");
}

#[tokio::test]
async fn scenario_16_plain_access_is_used_only_where_it_is_allowed() {
    for status in [403, 404, 405, 500] {
        let server =
            Server::start(move |request, _| if request.line().starts_with("PUT") { http(status, &[], "") } else { http(200, &[], ID) })
                .await;
        let error = configured(&server.url, None, false, &none()).instance_id().await.unwrap_err();
        assert!(matches!(&error, Error::NoToken { cause, .. } if *cause == format!("HTTP {status}")), "{error}");
        assert!(error.hint().unwrap().contains("allow_plain_metadata"));
        assert_eq!(server.requests().len(), 1);
        assert_eq!(configured(&server.url, None, true, &none()).instance_id().await.unwrap(), ID);
        let forbidden = HashMap::from([("ALIBABA_CLOUD_IMDSV1_DISABLED".to_owned(), "true".to_owned())]);
        assert!(configured(&server.url, None, true, &forbidden).instance_id().await.is_err());
    }
}

#[tokio::test]
async fn scenario_16_a_token_whose_answer_is_lost_on_the_way_does_not_hold_up_plain_access() {
    let server = Server::start(|request, _| if request.line().starts_with("PUT") { Vec::new() } else { http(200, &[], ID) }).await;
    assert_eq!(configured(&server.url, None, true, &none()).instance_id().await.unwrap(), ID);
    assert!(configured(&server.url, None, false, &none()).instance_id().await.is_err());
}

#[tokio::test]
async fn a_token_that_was_dropped_on_the_other_side_is_replaced_once() {
    for status in [401, 403] {
        let server = Server::start(move |request, number| match request.line() {
            line if line.starts_with("PUT") => http(200, &[], &format!("token-{number}")),
            _ if request.header("x-aliyun-ecs-metadata-token") == Some("token-1") => http(status, &[], "no"),
            _ => http(200, &[], ID),
        })
        .await;
        assert_eq!(metadata(&server.url, &none()).instance_id().await.unwrap(), ID);
        let lines: Vec<_> = server.requests().iter().map(|seen| seen.line().split('/').next().unwrap().trim().to_owned()).collect();
        assert_eq!(lines, ["PUT", "GET", "PUT", "GET"]);
    }
    let stubborn =
        Server::start(|request, _| if request.line().starts_with("PUT") { http(200, &[], "t") } else { http(401, &[], "") }).await;
    assert!(matches!(metadata(&stubborn.url, &none()).instance_id().await, Err(Error::Status { status: 401, .. })));
    assert_eq!(stubborn.requests().len(), 4);
}

#[tokio::test]
async fn what_answers_in_place_of_the_service_is_not_believed() {
    let html = "<html><body>Log in</body></html>";
    let large = "x".repeat(20_000);
    for (token, answer) in [("t", html), ("t", ""), ("t", "two words"), ("t", "i-1\r\nSet-Cookie: x"), ("t", &large), (html, ID), ("", ID)]
    {
        let (token, answer) = (token.to_owned(), answer.to_owned());
        let server =
            Server::start(move |request, _| http(200, &[], if request.line().starts_with("PUT") { &token } else { &answer })).await;
        let error = metadata(&server.url, &none()).instance_id().await.unwrap_err();
        assert!(!error.to_string().contains("Log in"), "{error}");
    }
    let location = "Location: http://127.0.0.1:1/";
    let redirecting = Server::start(move |_, _| http(302, &[location], "")).await;
    assert!(metadata(&redirecting.url, &none()).instance_id().await.is_err());
}

#[tokio::test]
async fn scenario_17_a_service_that_never_answers_costs_two_seconds_at_most() {
    let silent = Server::start(|_, _| Vec::new()).await;
    let tokens_only = Server::start(|request, _| if request.line().starts_with("PUT") { http(200, &[], "t") } else { Vec::new() }).await;
    for server in [silent, tokens_only] {
        let before = Moment::now();
        let error = metadata(&server.url, &none()).identity().await.unwrap_err();
        assert!(error.is_unreachable() && error.to_string().contains("does not answer"), "{error}");
        let took = Moment::now().boot_ms - before.boot_ms;
        assert!(took < i64::try_from(LOOKUP_TIMEOUT.as_millis()).unwrap() + 500, "{took} ms");
    }
}

#[tokio::test]
async fn scenario_17_nothing_is_asked_before_it_is_needed() {
    let server = Server::start(|_, _| http(500, &[], "")).await;
    let metadata = metadata(&server.url, &none());
    let _cache = Cache::new(&Provider::Auto, &none(), &metadata, Random::new(1));
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn scenario_15_a_role_that_is_attached_late_is_waited_for() {
    let sandbox = sandbox().await;
    sandbox.remove_metadata("meta-data/ram/security-credentials");
    let cache = Cache::new(&Provider::EcsRamRole(None), &none(), &metadata(&sandbox.metadata_url(), &none()), Random::new(1));
    let error = cache.keys(NOW, None).await.unwrap_err();
    assert_eq!(error.to_string(), "no credentials: ECS RAM role: no RAM role is attached to this instance yet");
    assert!(error.hint().unwrap().contains("attach a RAM role"));
    sandbox.set_metadata("meta-data/ram/security-credentials", "LateRole").unwrap();
    assert_eq!(cache.keys(Moment::now(), None).await.unwrap().source(), "ECS RAM role LateRole");
}

#[tokio::test]
async fn a_named_role_is_not_discovered() {
    let sandbox = sandbox().await;
    let named = HashMap::from([("ALIBABA_CLOUD_ECS_METADATA".to_owned(), "SandboxRole".to_owned())]);
    let cache = Cache::new(&Provider::EcsRamRole(None), &named, &metadata(&sandbox.metadata_url(), &named), Random::new(1));
    cache.keys(Moment::now(), None).await.unwrap();
    assert!(sandbox.requests().iter().all(|seen| !seen.path.ends_with("/security-credentials/")));
    let absent = Provider::EcsRamRole(Some("Absent".into()));
    let cache = Cache::new(&absent, &none(), &metadata(&sandbox.metadata_url(), &none()), Random::new(1));
    let error = cache.keys(Moment::now(), None).await.unwrap_err();
    assert!(error.to_string().contains("no RAM role Absent is attached"), "{error}");
}

#[tokio::test]
async fn scenario_15_a_half_written_or_failed_document_is_an_error_that_heals() {
    let sandbox = sandbox().await;
    let cache = Cache::new(&Provider::EcsRamRole(None), &none(), &metadata(&sandbox.metadata_url(), &none()), Random::new(1));
    let path = "/latest/meta-data/ram/security-credentials/SandboxRole";
    for effect in [
        Effect::http(200, r#"{"Code":"Success","AccessKeyId":"STS.1","AccessKeySec"#),
        Effect::http(200, r#"{"Code":"Failed"}"#),
        Effect::http(200, "<html>portal</html>"),
        Effect::http(500, ""),
        Effect::reset(When::Before),
    ] {
        sandbox.add_fault(Fault::new(effect).metadata(path).times(1)).unwrap();
        assert!(cache.keys(Moment::now(), None).await.is_err());
    }
    assert!(cache.keys(Moment::now(), None).await.unwrap().access_key_id().starts_with("STS."));
}

#[tokio::test]
async fn tokens_and_credentials_are_never_shown() {
    let document = r#"{"Code":"Success","AccessKeyId":"STS.1","AccessKeySecret":"madeUpSecret","SecurityToken":"madeUpToken","Expiration":"2099-01-02T03:04:05Z"}"#;
    let server =
        Server::start(move |request, _| http(200, &[], if request.line().starts_with("PUT") { "madeUpMetadataToken" } else { document }))
            .await;
    let metadata = metadata(&server.url, &none());
    let named = Provider::EcsRamRole(Some("Role".into()));
    let cache = Cache::new(&named, &none(), &Arc::clone(&metadata), Random::new(1));
    cache.keys(NOW, None).await.unwrap();
    let shown = format!("{metadata:?}{cache:?}{:?}", metadata.get("meta-data/x").await);
    assert!(!shown.contains("madeUp"), "{shown}");
}
