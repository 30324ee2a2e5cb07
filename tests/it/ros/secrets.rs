//! No secret is ever shown.

use super::log::Log;
use super::*;
use ros_sandbox::{Effect, Fault, When};

#[tokio::test]
async fn scenario_18_no_secret_is_in_any_answer_log_or_debug_output() {
    let log = Log::default();
    let guard = log.listen();
    let mut shown = String::new();
    for scheme in [SignatureScheme::Acs3HmacSha256, SignatureScheme::HmacSha1] {
        for token in [None, Some(TOKEN)] {
            // The sandbox knows another secret, so that it answers with the string that it signed.
            let mut config = Config::new(KEY_ID, Secret::from("another"));
            config.security_token = token.map(Secret::from);
            let sandbox = Sandbox::start(config).await.unwrap();
            let client = Client::new(&Ros { signature: scheme, ..settings(&sandbox.ros_url()) }, credentials(token)).unwrap();
            shown += &format!("{client:?}{:?}", client.signal(&success()).await);
            sandbox.add_fault(Fault::new(Effect::reset(When::Before)).times(1)).unwrap();
            shown += &format!("{:?}", client.signal(&success()).await);
            sandbox.add_fault(Fault::new(Effect::Refuse)).unwrap();
            shown += &format!("{:?}{:?}", client.signal(&success()).await, client.look(&target(), None).await);
        }
    }
    drop(guard);
    shown += &log.text();
    assert!(shown.contains("the signature was refused"), "the log was watched");
    for secret in [KEY_SECRET, TOKEN, "madeUp", "Signature="] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}
