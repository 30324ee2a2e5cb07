//! The cache over the ECS RAM role: early renewal, expiry, refusals. Time is handed in.

use crate::ros::metadata;
use crate::ros::scripted::{Server, http};
use ros_signal_agent::clock::Moment;
use ros_signal_agent::credentials::{Cache, RENEW_BEFORE, RENEW_JITTER, Renewal};
use ros_signal_agent::plan::Provider;
use ros_signal_agent::retry::Random;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// 2026-01-02T03:04:05Z.
const NOW: Moment = Moment { boot_ms: 100_000, wall_ms: 1_767_323_045_000 };
const DATE: &str = "Date: Fri, 02 Jan 2026 03:04:05 GMT";
const HOUR: Duration = Duration::from_secs(3600);

/// A metadata service whose credentials `LTAI1`, `LTAI2` ... expire at `expiration`; from the document `broken_from` on it hands out
/// half of it.
struct Service {
    server: Server,
    documents: Arc<AtomicUsize>,
}

impl Service {
    async fn start(expiration: &'static str, broken_from: usize, headers: &'static [&'static str]) -> Self {
        let documents = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&documents);
        let server = Server::start(move |request, _| {
            let line = request.line();
            if line.starts_with("PUT /latest/api/token") {
                return http(200, headers, "the-metadata-token");
            }
            if line.contains("/security-credentials/ ") {
                return http(200, headers, "EcsRole\n");
            }
            let number = count.fetch_add(1, Ordering::SeqCst) + 1;
            let document = format!(
                r#"{{"Code":"Success","AccessKeyId":"LTAI{number}","AccessKeySecret":"s","SecurityToken":"t","Expiration":"{expiration}","LastUpdated":"x"}}"#
            );
            let cut = if number >= broken_from { document.len() / 2 } else { document.len() };
            http(200, headers, &document[..cut])
        });
        Self { server: server.await, documents }
    }

    fn cache(&self) -> Cache {
        let none = HashMap::new();
        Cache::new(&Provider::EcsRamRole(None), &none, &metadata(&self.server.url, &none), Random::new(1))
    }

    fn documents(&self) -> usize {
        self.documents.load(Ordering::SeqCst)
    }
}

async fn id(cache: &Cache, now: Moment) -> String {
    cache.keys(now, None).await.unwrap().access_key_id().to_owned()
}

#[tokio::test]
async fn credentials_are_kept_and_renewed_a_quarter_of_an_hour_before_their_end() {
    let service = Service::start("2026-01-02T09:04:05Z", 99, &[DATE]).await;
    let cache = service.cache();
    assert_eq!(id(&cache, NOW).await, "LTAI1");
    assert_eq!(id(&cache, NOW.plus(6 * HOUR - RENEW_BEFORE - RENEW_JITTER - Duration::from_secs(1))).await, "LTAI1");
    assert_eq!(service.documents(), 1);
    assert_eq!(id(&cache, NOW.plus(6 * HOUR - RENEW_BEFORE)).await, "LTAI2");
}

#[tokio::test]
async fn while_renewing_fails_the_old_ones_are_used_until_they_really_expire() {
    let service = Service::start("2026-01-02T09:04:05Z", 2, &[DATE]).await;
    let cache = service.cache();
    assert_eq!(id(&cache, NOW).await, "LTAI1");
    let due = NOW.plus(6 * HOUR - RENEW_BEFORE);
    assert_eq!(id(&cache, due).await, "LTAI1");
    assert_eq!(id(&cache, due.plus(Duration::from_secs(1))).await, "LTAI1");
    assert_eq!(service.documents(), 2, "a failed renewal is not repeated at once");
    assert_eq!(id(&cache, due.plus(Duration::from_secs(11))).await, "LTAI1");
    assert_eq!(service.documents(), 3);
    let error = cache.keys(NOW.plus(6 * HOUR), None).await.unwrap_err();
    assert!(error.to_string().contains("the JSON document ends early"), "{error}");
}

#[tokio::test]
async fn a_step_of_the_system_clock_does_not_make_good_credentials_expire() {
    let service = Service::start("2026-01-02T09:04:05Z", 99, &[DATE]).await;
    let cache = service.cache();
    assert_eq!(id(&cache, NOW).await, "LTAI1");
    let stepped = Moment { boot_ms: NOW.boot_ms + 1_000, wall_ms: NOW.wall_ms + 1_000_000_000 };
    assert_eq!(id(&cache, stepped).await, "LTAI1");
    assert_eq!(service.documents(), 1);
}

#[tokio::test]
async fn what_the_service_hands_out_already_expired_is_not_used() {
    let service = Service::start("2026-01-02T03:04:05Z", 99, &[DATE]).await;
    let error = service.cache().keys(NOW, None).await.unwrap_err();
    assert!(error.to_string().contains("have expired"), "{error}");
}

#[tokio::test]
async fn scenario_14_a_wrong_clock_does_not_make_good_credentials_look_expired() {
    let service = Service::start("2026-01-02T09:04:05Z", 99, &[DATE]).await;
    let years_ahead = Moment { wall_ms: NOW.wall_ms + 100_000_000_000, ..NOW };
    assert_eq!(id(&service.cache(), years_ahead).await, "LTAI1");
    let silent = Service::start("2026-01-02T09:04:05Z", 99, &[]).await;
    let cache = silent.cache();
    assert_eq!(id(&cache, years_ahead).await, "LTAI1", "nobody told the time: ROS will judge");
    assert_eq!(id(&cache, years_ahead.plus(Duration::from_secs(61))).await, "LTAI2");
}

#[tokio::test]
async fn a_rejection_forces_two_renewals_a_minute_and_no_more() {
    let service = Service::start("2026-01-02T09:04:05Z", 99, &[DATE]).await;
    let cache = service.cache();
    let second = Duration::from_secs(1);
    let mut rejected = cache.keys(NOW, None).await.unwrap();
    for expected in [Renewal::Fresh, Renewal::Fresh, Renewal::TooSoon, Renewal::TooSoon] {
        assert_eq!(cache.renew(&rejected, NOW.plus(second), None).await.unwrap(), expected);
        rejected = cache.keys(NOW.plus(second), None).await.unwrap();
    }
    assert_eq!(cache.renew(&rejected, NOW.plus(62 * second), None).await.unwrap(), Renewal::Fresh);
}

#[tokio::test]
async fn a_rejection_of_credentials_that_were_replaced_meanwhile_asks_nobody() {
    let service = Service::start("2026-01-02T09:04:05Z", 99, &[DATE]).await;
    let cache = service.cache();
    let old = cache.keys(NOW, None).await.unwrap();
    assert_eq!(cache.renew(&old, NOW, None).await.unwrap(), Renewal::Fresh);
    assert_eq!(cache.renew(&old, NOW, None).await.unwrap(), Renewal::Fresh);
    assert_eq!(service.documents(), 2);
}

#[tokio::test]
async fn many_at_once_ask_once() {
    let service = Service::start("2026-01-02T09:04:05Z", 99, &[DATE]).await;
    let cache = Arc::new(service.cache());
    let tasks: Vec<_> = (0..32)
        .map(|_| {
            let cache = Arc::clone(&cache);
            tokio::spawn(async move { id(&cache, NOW).await })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap(), "LTAI1");
    }
    assert_eq!(service.documents(), 1);
}
