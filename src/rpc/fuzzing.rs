//! Answers of services with this style of interface, and what becomes of refusals.

use super::body::Body;
use super::exchange::Reply;
use super::refusal::{Context, read};
use super::request::{Operation, Service};
use super::{date_ms, retry_after};
use crate::clock::Moment;
use crate::credentials::Keys;
use crate::fuzzing::{answer, hides};
use crate::retry::LONGEST_HINT;
use crate::secret::Secret;

const SECRET: &str = "kX9a/PqLm3Zt+canary";
const TOKEN: &str = "CAIS+token/with=signs+canary";

/// Reads an answer. What is acknowledged is a 200 with a RequestId and without a code; no refusal tells a secret.
pub fn refusal(data: &[u8]) {
    let (status, headers, body) = answer(data);
    let now = Moment { boot_ms: 1_000_000, wall_ms: 1_790_000_000_000 };
    assert!(retry_after(&headers, now.wall_ms).is_none_or(|wait| wait <= LONGEST_HINT));
    let mut clock = super::ServerClock::default();
    clock.measure(date_ms(&headers), now, now);
    let _ = (clock.skew_ms(now), clock.signing_ms(now));
    clock.tell("ROS", now);
    let reply = Reply { status, headers, body: body.to_vec(), sent: now, received: now };
    let keys = Keys::for_fuzzing("LTAIcanary", SECRET, Some(TOKEN));
    let parameters = vec![("RegionId", "cn-hangzhou".to_owned()), ("LogicalResourceId", "WebReady".to_owned())];
    for (service, action) in [(Service::Ros, "SignalResource"), (Service::Ess, "CompleteLifecycleAction"), (Service::Sts, "AssumeRole")] {
        let operation = Operation { service, action, parameters: parameters.clone(), resource: "stack/s".to_owned() };
        let signed = Secret::new("ACS3-HMAC-SHA256\n0123456789012345678901234567890123456789012345678901234567890123");
        let context =
            Context { host: "host", operation: &operation, account: Some("1"), keys: &keys, signed: &signed, now_ms: now.wall_ms };
        match read(&reply, &context) {
            Ok(body) => {
                assert!(status == 200 && !body.request_id.is_empty() && body.code().is_none());
                assert!(Body::parse(&reply.body) == Some(body), "an answer says the same each time");
            }
            Err(judged) => {
                let shown = format!("{:?}", judged.refusal);
                hides(&shown, SECRET);
                hides(&shown, TOKEN);
            }
        }
    }
}
