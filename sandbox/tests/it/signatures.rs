//! Who is let in: both schemes, every place for parameters, tokens, time and nonces.

use ros_sandbox::{Switches, WireScheme};

use crate::client::{Caller, STACK, control, exchange, metadata, sandbox, sandbox_with};

const TOKEN: &str = "CAIS+abc/DEF==~tok*en%20 with-space";

#[tokio::test]
async fn both_schemes_are_accepted_with_get_and_post_query_and_form() {
    let sandbox = sandbox().await;
    for sha1 in [false, true] {
        for (method, form) in [("GET", false), ("POST", false), ("POST", true)] {
            let caller = Caller { sha1, method, form, ..Caller::default() };
            caller.signal(&sandbox, "i 1*~+/中😀", "SUCCESS").await.unwrap().accepted();
        }
    }
    let requests = sandbox.requests();
    assert!(requests.iter().all(|request| request.verified && request.code.is_none()), "{requests:#?}");
    let signals = &sandbox.stack(STACK).unwrap().resources["WebReady"].signals;
    assert_eq!((signals.len(), signals[0].received, signals[0].effective), (1, 6, 1));
}

#[tokio::test]
async fn tls_works_with_the_authority_in_the_ca_file() {
    let sandbox = sandbox().await;
    let parameters = [("RegionId", "cn-hangzhou"), ("StackId", STACK)];
    let reply = Caller::default().call(&sandbox.ros_tls_url(), Some(sandbox.ca_file()), "GetStack", &parameters).await;
    assert_eq!(reply.unwrap().json()["Status"], "CREATE_IN_PROGRESS");
    assert_eq!(sandbox.requests()[0].scheme, WireScheme::Https);
}

#[tokio::test]
async fn the_directory_of_the_ca_file_is_private_and_goes_with_the_sandbox() {
    use std::os::unix::fs::PermissionsExt;
    let sandbox = sandbox().await;
    let directory = sandbox.ca_file().parent().unwrap().to_owned();
    assert_eq!(directory.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    sandbox.stop().await;
    assert!(!directory.exists());
}

#[tokio::test]
async fn an_unknown_key_is_not_found() {
    let sandbox = sandbox().await;
    let caller = Caller { key_id: "other".to_owned(), ..Caller::default() };
    caller.signal(&sandbox, "i-1", "SUCCESS").await.unwrap().is(404, "InvalidAccessKeyId.NotFound");
}

#[tokio::test]
async fn a_wrong_secret_gets_the_string_that_the_server_signed_after_the_first_colon() {
    let sandbox = sandbox().await;
    let caller = Caller { secret: "wrong".to_owned(), ..Caller::sha1() };
    let reply = caller.signal(&sandbox, "i-1", "SUCCESS").await.unwrap();
    let json = reply.is(400, "SignatureDoesNotMatch").json();
    let signed = json["Message"].as_str().unwrap().split_once(':').unwrap().1;
    assert!(signed.starts_with("POST&%2F&AccessKeyId%3DtestAccessKeyId%26Action%3DSignalResource"), "{signed}");

    let caller = Caller { secret: "wrong".to_owned(), ..Caller::default() };
    let reply = caller.signal(&sandbox, "i-1", "SUCCESS").await.unwrap();
    let json = reply.is(400, "SignatureDoesNotMatch").json();
    let signed = json["Message"].as_str().unwrap().split_once(':').unwrap().1;
    assert!(signed.starts_with("ACS3-HMAC-SHA256\n"), "{signed}");
    assert_eq!(sandbox.stack(STACK).unwrap().effective_signals, 0);
}

#[tokio::test]
async fn a_token_is_needed_and_must_be_the_right_one() {
    let sandbox = sandbox_with(Switches::default(), Some(TOKEN)).await;
    for sha1 in [false, true] {
        let with = |token: Option<&str>| Caller { sha1, token: token.map(str::to_owned), ..Caller::default() };
        with(Some(TOKEN)).signal(&sandbox, "i-1", "SUCCESS").await.unwrap().accepted();
        with(None).signal(&sandbox, "i-1", "SUCCESS").await.unwrap().is(400, "MissingSecurityToken");
        with(Some("junk")).signal(&sandbox, "i-1", "SUCCESS").await.unwrap().is(400, "InvalidSecurityToken.Malformed");
    }
    let everything = control(&sandbox, "GET", "/requests", "").await.body;
    assert!(!everything.contains("CAIS") && !everything.contains("junk"), "{everything}");
    assert!(!everything.contains("\"Signature\""), "{everything}");
}

#[tokio::test]
async fn a_token_of_another_key_does_not_match_and_an_expired_one_is_expired() {
    let sandbox = sandbox_with(Switches::default(), Some(TOKEN)).await;
    let issued = metadata(&sandbox, "GET", "/latest/meta-data/ram/security-credentials/SandboxRole", &[]).await.unwrap();
    let other = issued.json()["SecurityToken"].as_str().unwrap().to_owned();
    let caller = Caller { token: Some(other), ..Caller::default() };
    caller.signal(&sandbox, "i-1", "SUCCESS").await.unwrap().is(400, "InvalidSecurityToken.MismatchWithAccessKey");
    sandbox.expire_credentials();
    let caller = Caller { token: Some(TOKEN.to_owned()), ..Caller::default() };
    caller.signal(&sandbox, "i-1", "SUCCESS").await.unwrap().is(400, "InvalidSecurityToken.Expired");
}

#[tokio::test]
async fn a_nonce_works_once() {
    let sandbox = sandbox().await;
    let caller = Caller { nonce: Some("n1".to_owned()), ..Caller::default() };
    caller.signal(&sandbox, "i-1", "SUCCESS").await.unwrap().accepted();
    caller.signal(&sandbox, "i-1", "SUCCESS").await.unwrap().is(400, "SignatureNonceUsed");
    let sha1 = Caller { sha1: true, ..caller };
    sha1.signal(&sandbox, "i-1", "SUCCESS").await.unwrap().is(400, "SignatureNonceUsed");
}

#[tokio::test]
async fn a_request_that_was_not_verified_does_not_use_up_its_nonce() {
    let sandbox = sandbox().await;
    let good = Caller { nonce: Some("n1".to_owned()), ..Caller::default() };
    let bad = Caller { secret: "wrong".to_owned(), ..good.clone() };
    bad.signal(&sandbox, "i-1", "SUCCESS").await.unwrap().is(400, "SignatureDoesNotMatch");
    good.signal(&sandbox, "i-1", "SUCCESS").await.unwrap().accepted();
}

#[tokio::test]
async fn times_within_fifteen_minutes_pass_and_others_do_not() {
    let sandbox = sandbox().await;
    for sha1 in [false, true] {
        for (off, passes) in [(-890, true), (890, true), (-910, false), (910, false)] {
            let caller = Caller { sha1, off, ..Caller::default() };
            let reply = caller.signal(&sandbox, "i-1", "SUCCESS").await.unwrap();
            if passes {
                reply.accepted();
            } else {
                reply.is(400, "InvalidTimeStamp.Expired");
            }
        }
    }
}

#[tokio::test]
async fn a_skewed_server_clock_shows_in_date_and_moves_the_window() {
    let sandbox = sandbox().await;
    sandbox.set_skew_seconds(7200);
    let reply = Caller::default().signal(&sandbox, "i-1", "SUCCESS").await.unwrap();
    reply.is(400, "InvalidTimeStamp.Expired");
    let told = httpdate(reply.header("date").unwrap());
    let off = (told - time::OffsetDateTime::now_utc()).whole_seconds();
    assert!((7190..=7210).contains(&off), "{off}");
    let corrected = Caller { off: 7200, ..Caller::default() };
    corrected.signal(&sandbox, "i-1", "SUCCESS").await.unwrap().accepted();
}

fn httpdate(text: &str) -> time::OffsetDateTime {
    let format = time::macros::format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");
    time::PrimitiveDateTime::parse(text, format).unwrap().assume_utc()
}

#[tokio::test]
async fn what_is_not_signed_or_half_signed_is_refused() {
    let sandbox = sandbox().await;
    let url = sandbox.ros_url();
    let unsigned = exchange(&url, None, "GET", "/?Action=GetStack&Format=JSON", &[], "").await.unwrap();
    unsigned.is(400, "MissingParameter");

    let (target, headers, body) = Caller::default().signed(&url, "GetStack", &[("StackId", STACK)]);
    let changed = |name: &str, value: Option<&str>| -> Vec<(String, String)> {
        let kept = headers.iter().filter(|(other, _)| other != name).cloned();
        kept.chain(value.map(|value| (name.to_owned(), value.to_owned()))).collect()
    };
    let cases = [
        (changed("x-acs-date", None), "IncompleteSignature"),
        (changed("x-acs-content-sha256", Some("00")), "IncompleteSignature"),
        (changed("x-acs-security-token", Some("unsigned")), "IncompleteSignature"),
        (changed("x-acs-date", Some("2026-01-02 03:04:05")), "InvalidTimeStamp.Format"),
        (changed("x-acs-version", Some("2015-09-01")), "SignatureDoesNotMatch"),
        (changed("authorization", Some("Basic abc")), "InvalidSignatureMethod"),
        (changed("authorization", Some("ACS3-HMAC-SHA256 Credential=x")), "IncompleteSignature"),
    ];
    for (headers, code) in cases {
        let headers: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let reply = exchange(&url, None, "POST", &target, &headers, &body).await.unwrap();
        reply.is(400, code);
    }
}
