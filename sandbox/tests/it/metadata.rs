//! The metadata service: values, tokens of the hardened mode, credentials that rotate.

use std::time::Duration;

use ros_sandbox::{Sandbox, Switches};

use crate::client::{Caller, metadata, sandbox, sandbox_with};

const TTL: (&str, &str) = ("X-aliyun-ecs-metadata-token-ttl-seconds", "60");

async fn get(sandbox: &Sandbox, path: &str) -> (u16, String) {
    let reply = metadata(sandbox, "GET", &format!("/latest/{path}"), &[]).await.unwrap();
    (reply.status, reply.body)
}

#[tokio::test]
async fn values_are_served_below_both_bases_and_what_is_not_there_is_404() {
    let sandbox = sandbox().await;
    assert_eq!(get(&sandbox, "meta-data/region-id").await, (200, "cn-hangzhou".to_owned()));
    let dated = metadata(&sandbox, "GET", "/2016-01-01/meta-data/instance-id", &[]).await.unwrap();
    assert_eq!(dated.body, "i-sandbox0000000000001");
    for path in ["meta-data/tags/instance/acs:ros:stackId", "user-data", "meta-data/nothing/"] {
        assert_eq!(get(&sandbox, path).await.0, 404, "{path}");
    }
    sandbox.set_metadata("meta-data/tags/instance/acs:ros:stackId", "4a6c").unwrap();
    assert_eq!(get(&sandbox, "meta-data/tags/instance/acs:ros:stackId").await, (200, "4a6c".to_owned()));
    assert_eq!(get(&sandbox, "meta-data/tags/").await, (200, "instance/".to_owned()));
}

#[tokio::test]
async fn a_token_needs_a_lifetime_and_no_proxy() {
    let sandbox = sandbox().await;
    let put = async |headers: &[(&str, &str)]| metadata(&sandbox, "PUT", "/latest/api/token", headers).await.unwrap().status;
    assert_eq!(put(&[TTL]).await, 200);
    assert_eq!(put(&[]).await, 400);
    assert_eq!(put(&[(TTL.0, "0")]).await, 400);
    assert_eq!(put(&[(TTL.0, "21601")]).await, 400);
    assert_eq!(put(&[TTL, ("X-Forwarded-For", "10.0.0.1")]).await, 403);
}

#[tokio::test]
async fn hardened_mode_wants_a_token_that_has_not_expired() {
    let sandbox = sandbox_with(Switches { require_metadata_token: true, ..Switches::default() }, None).await;
    let path = "/latest/meta-data/instance-id";
    assert_eq!(metadata(&sandbox, "GET", path, &[]).await.unwrap().status, 401);
    let token = metadata(&sandbox, "PUT", "/latest/api/token", &[TTL]).await.unwrap().body;
    let with_token = [("X-aliyun-ecs-metadata-token", token.as_str())];
    assert_eq!(metadata(&sandbox, "GET", path, &with_token).await.unwrap().status, 200);
    let carried: Vec<bool> = sandbox.requests().iter().map(|request| request.metadata_token).collect();
    assert_eq!(carried, [false, false, true]);
    sandbox.advance_clock(Duration::from_secs(60));
    assert_eq!(metadata(&sandbox, "GET", path, &with_token).await.unwrap().status, 401);
}

#[tokio::test]
async fn the_role_names_itself_and_its_credentials_sign() {
    let sandbox = sandbox().await;
    let (_, role) = get(&sandbox, "meta-data/ram/security-credentials/").await;
    let issued = metadata(&sandbox, "GET", &format!("/latest/meta-data/ram/security-credentials/{role}"), &[]).await;
    let issued = issued.unwrap().json();
    assert_eq!(issued["Code"], "Success");
    let text = |name: &str| issued[name].as_str().unwrap().to_owned();
    for sha1 in [false, true] {
        let (key_id, secret) = (text("AccessKeyId"), text("AccessKeySecret"));
        let caller = Caller { key_id, secret, token: Some(text("SecurityToken")), sha1, ..Caller::default() };
        caller.signal(&sandbox, "i-1", "SUCCESS").await.unwrap().accepted();
    }
}

#[tokio::test]
async fn credentials_stay_until_half_an_hour_before_their_end_and_then_both_work() {
    let sandbox = sandbox().await;
    let path = "/latest/meta-data/ram/security-credentials/SandboxRole";
    let key = async || {
        let issued = metadata(&sandbox, "GET", path, &[]).await.unwrap().json();
        let text = |name: &str| issued[name].as_str().unwrap().to_owned();
        Caller { key_id: text("AccessKeyId"), secret: text("AccessKeySecret"), token: Some(text("SecurityToken")), ..Caller::default() }
    };
    let first = key().await;
    sandbox.advance_clock(Duration::from_secs(5 * 3600));
    assert_eq!(key().await.key_id, first.key_id);
    sandbox.advance_clock(Duration::from_secs(1800));
    let second = key().await;
    assert_ne!(second.key_id, first.key_id);
    for caller in [&first, &second] {
        let caller = Caller { off: 5 * 3600 + 1800, ..caller.clone() };
        caller.signal(&sandbox, "i-1", "SUCCESS").await.unwrap();
        assert!(sandbox.requests().last().unwrap().verified);
    }
    sandbox.advance_clock(Duration::from_secs(1800));
    let old = Caller { off: 6 * 3600, ..first };
    old.signal(&sandbox, "i-1", "SUCCESS").await.unwrap().is(400, "InvalidSecurityToken.Expired");
}

#[tokio::test]
async fn without_a_role_there_is_none() {
    let sandbox = sandbox().await;
    assert!(sandbox.remove_metadata("meta-data/ram/security-credentials"));
    assert_eq!(get(&sandbox, "meta-data/ram/security-credentials/").await.0, 404);
    assert_eq!(get(&sandbox, "meta-data/ram/security-credentials/SandboxRole").await.0, 404);
}

#[tokio::test]
async fn credentials_end_by_the_clock_that_the_outside_is_told() {
    let sandbox = sandbox().await;
    sandbox.set_credential_lifetime(Duration::from_secs(3600));
    sandbox.set_skew_seconds(-2 * 366 * 86_400);
    let path = "/latest/meta-data/ram/security-credentials/SandboxRole";
    let reply = metadata(&sandbox, "GET", path, &[]).await.unwrap();
    let document: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
    let date = time::macros::format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");
    let told = time::PrimitiveDateTime::parse(reply.header("date").unwrap(), date).unwrap();
    let zulu = time::macros::format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
    let ends = time::PrimitiveDateTime::parse(document["Expiration"].as_str().unwrap(), zulu).unwrap();
    assert!((3590..=3600).contains(&(ends - told).whole_seconds()), "told {told}, ends {ends}");
}
