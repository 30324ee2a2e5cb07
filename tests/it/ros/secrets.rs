//! No secret is ever shown.

use super::*;
use ros_sandbox::{Effect, Fault, When};
use std::io::Write;
use std::sync::Mutex;
use tracing_subscriber::util::SubscriberInitExt as _;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn scenario_18_no_secret_is_in_any_answer_log_or_debug_output() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || writer.clone()).finish();
    let guard = subscriber.set_default();
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
    shown += &String::from_utf8_lossy(&log.0.lock().unwrap());
    assert!(shown.contains("the signature was refused"), "the log was watched");
    for secret in [KEY_SECRET, TOKEN, "madeUp", "Signature="] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}
