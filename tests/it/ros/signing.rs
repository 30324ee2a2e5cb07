//! The sandbox verifies signatures with code of its own.

use super::*;

async fn is_taken(scheme: SignatureScheme, token: Option<&str>, tls: bool) {
    let sandbox = start(token).await;
    let url = if tls { sandbox.ros_tls_url() } else { sandbox.ros_url() };
    let ca_file = tls.then(|| sandbox.ca_file().to_owned());
    let settings = Ros { signature: scheme, ca_file, ..settings(&url) };
    let client = Client::new(&settings, credentials(token)).unwrap();
    receipt(client.signal(&success()).await);
    let seen = sandbox.requests();
    assert!(seen.len() == 1 && seen[0].verified, "{seen:?}");
    assert_eq!(sandbox.stack(STACK).unwrap().effective_signals, 1);
}

#[tokio::test]
async fn acs3_is_verified_with_a_permanent_key() {
    is_taken(SignatureScheme::Acs3HmacSha256, None, false).await;
}

#[tokio::test]
async fn acs3_is_verified_with_a_temporary_key() {
    is_taken(SignatureScheme::Acs3HmacSha256, Some(TOKEN), false).await;
}

#[tokio::test]
async fn hmac_sha1_is_verified_with_a_permanent_key() {
    is_taken(SignatureScheme::HmacSha1, None, false).await;
}

#[tokio::test]
async fn hmac_sha1_is_verified_with_a_temporary_key() {
    is_taken(SignatureScheme::HmacSha1, Some(TOKEN), false).await;
}

#[tokio::test]
async fn both_work_over_tls_with_a_ca_of_our_own() {
    is_taken(SignatureScheme::Acs3HmacSha256, Some(TOKEN), true).await;
    is_taken(SignatureScheme::HmacSha1, Some(TOKEN), true).await;
}

#[tokio::test]
async fn every_attempt_has_a_nonce_of_its_own_and_the_same_ids() {
    let sandbox = sandbox().await;
    let client = client(&sandbox.ros_url());
    let first = receipt(client.signal(&success()).await);
    let second = receipt(client.signal(&success()).await);
    let seen = sandbox.requests();
    assert_eq!(seen.len(), 2);
    assert_ne!(seen[0].nonce, seen[1].nonce);
    assert_eq!(seen[0].parameters["ClientToken"], seen[1].parameters["ClientToken"]);
    assert!(seen[1].replayed, "the same ClientToken is answered once: {first} {second}");
    assert_eq!(sandbox.stack(STACK).unwrap().effective_signals, 1);
}

#[tokio::test]
async fn a_client_token_of_another_request_is_a_definite_refusal_and_the_next_series_gets_through() {
    let sandbox = sandbox().await;
    let client = client(&sandbox.ros_url());
    receipt(client.signal(&success()).await);
    let clash = SignalRequest { status: SignalStatus::Warning, ..success() };
    let refused = refusal(client.signal(&clash).await);
    assert_eq!((refused.code.as_deref(), refused.class, refused.definite), (Some("InvalidIdempotenceParameter"), Class::Immediate, true));
    receipt(client.signal(&request(SignalStatus::Success, 1)).await);
}

#[tokio::test]
async fn a_wrong_secret_is_told_as_such() {
    let sandbox = sandbox().await;
    for scheme in [SignatureScheme::Acs3HmacSha256, SignatureScheme::HmacSha1] {
        let mut variables = environment(None);
        variables.insert("ALIBABA_CLOUD_ACCESS_KEY_SECRET".to_owned(), "anotherMadeUpSecret".to_owned());
        let cache = Cache::new(&Provider::Environment, &variables, &metadata("http://127.0.0.1:1", &variables), Random::new(1));
        let client = Client::new(&Ros { signature: scheme, ..settings(&sandbox.ros_url()) }, Arc::new(cache)).unwrap();
        let refused = refusal(client.signal(&success()).await);
        assert_eq!((refused.code.as_deref(), refused.class), (Some("SignatureDoesNotMatch"), Class::Credentials));
        let hint = refused.hint.unwrap();
        assert!(hint.contains("the access key secret is wrong") && hint.contains("the same credentials"), "{hint}");
    }
}

use ros_signal_agent::signal::Class;
