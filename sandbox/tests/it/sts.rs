//! STS, and a credentials URI: who gets keys, what is refused, and that ROS takes what they issue.

use std::time::Duration;

use ros_sandbox::{Effect, Fault, Sandbox, Secret, Switches};

use crate::client::{Caller, Reply, metadata, sandbox};

const ROLE: (&str, &str) = ("RoleArn", "acs:ram::1234567890123456:role/Deployer");
const SESSION: (&str, &str) = ("RoleSessionName", "test");
const VERSION: (&str, &str) = ("Version", "2015-04-01");

async fn assume(sandbox: &Sandbox, more: &[(&str, &str)]) -> Reply {
    let parameters = [&[ROLE, SESSION, VERSION], more].concat();
    Caller::sha1().call(&sandbox.ros_url(), None, "AssumeRole", &parameters).await.unwrap()
}

fn caller(issued: &serde_json::Value) -> Caller {
    let text = |name: &str| issued[name].as_str().unwrap().to_owned();
    Caller { key_id: text("AccessKeyId"), secret: text("AccessKeySecret"), token: Some(text("SecurityToken")), ..Caller::default() }
}

#[tokio::test]
async fn the_keys_of_an_assumed_role_sign_until_they_expire() {
    let sandbox = sandbox().await;
    let answer = assume(&sandbox, &[("DurationSeconds", "900"), ("Policy", r#"{"Version": "1"}"#)]).await.json();
    assert_eq!(answer["AssumedRoleUser"]["Arn"], "acs:ram::1234567890123456:role/Deployer/test");
    let caller = caller(&answer["Credentials"]);
    assert!(caller.key_id.starts_with("STS.Deployer."));
    caller.signal(&sandbox, "one", "SUCCESS").await.unwrap().accepted();
    sandbox.advance_clock(Duration::from_secs(900));
    let late = Caller { off: 900, ..caller };
    late.signal(&sandbox, "two", "SUCCESS").await.unwrap().is(400, "InvalidSecurityToken.Expired");
}

#[tokio::test]
async fn what_the_page_of_assume_role_forbids_is_refused() {
    let sandbox = sandbox().await;
    assume(&sandbox, &[("DurationSeconds", "899")]).await.is(400, "InvalidParameter.DurationSeconds");
    assume(&sandbox, &[("Policy", "{")]).await.is(400, "InvalidParameter.PolicyGrammar");
    let with = async |parameters: &[(&str, &str)]| Caller::sha1().call(&sandbox.ros_url(), None, "AssumeRole", parameters).await.unwrap();
    with(&[SESSION, VERSION]).await.is(400, "MissingParameter");
    with(&[("RoleArn", "role/x"), SESSION, VERSION]).await.is(400, "InvalidParameter.RoleArn");
    with(&[ROLE, ("RoleSessionName", "x"), VERSION]).await.is(400, "InvalidParameter.RoleSessionName");
    let wrong = Caller { secret: "wrong".to_owned(), ..Caller::sha1() };
    wrong.call(&sandbox.ros_url(), None, "AssumeRole", &[ROLE, SESSION, VERSION]).await.unwrap().is(400, "SignatureDoesNotMatch");
    sandbox.set_switches(Switches { permit_assume_role: false, ..Switches::default() });
    assume(&sandbox, &[]).await.is(403, "NoPermission");
    sandbox.add_fault(Fault::new(Effect::http(503, "")).action("AssumeRole")).unwrap();
    assert_eq!(assume(&sandbox, &[]).await.status, 503);
}

#[tokio::test]
async fn a_token_of_the_identity_provider_stands_for_a_role_and_is_in_no_record() {
    let sandbox = sandbox().await;
    let with = async |token: &str| {
        let provider = ("OIDCProviderArn", "acs:ram::1:oidc-provider/P");
        let parameters = [ROLE, SESSION, VERSION, provider, ("OIDCToken", token)];
        Caller::sha1().call(&sandbox.ros_url(), None, "AssumeRoleWithOIDC", &parameters).await.unwrap()
    };
    with("madeUpToken").await.is(400, "AuthenticationFail.OIDCToken.Invalid");
    sandbox.set_oidc_token(Secret::from("madeUpToken"));
    let answer = with("madeUpToken").await.json();
    caller(&answer["Credentials"]).signal(&sandbox, "one", "SUCCESS").await.unwrap().accepted();
    assert!(!format!("{:?}", sandbox.requests()).contains("madeUp"));
}

#[tokio::test]
async fn a_credentials_uri_hands_out_credentials_of_its_own() {
    let sandbox = sandbox().await;
    let path = sandbox.credentials_uri().trim_start_matches(&sandbox.metadata_url()).to_owned();
    let get = async || metadata(&sandbox, "GET", &path, &[]).await.unwrap().json();
    let first = get().await;
    assert_eq!((first["Code"].as_str(), &get().await["AccessKeyId"]), (Some("Success"), &first["AccessKeyId"]));
    caller(&first).signal(&sandbox, "one", "SUCCESS").await.unwrap().accepted();
    sandbox.rotate_credentials();
    assert_ne!(get().await["AccessKeyId"], first["AccessKeyId"]);
}
