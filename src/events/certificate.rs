//! The certificate that EventBridge signs with: fetched from where a request says, if that is one of EventBridge's own addresses.
//!
//! The address comes from whoever sends, so it is checked to the letter: names of buckets are global, and a test of its end would let anybody
//! in who makes one. What is fetched is bounded (no redirects, 64 KiB, 3 s), one at a time and one in a second, and remembered: a key for an hour (and
//! used for a day, while a new one cannot be had), a failure for a minute.

use super::signature::Key;
use crate::apart;
use crate::clock::{BootMs, Moment};
use crate::events::Around;
use crate::rpc::{Reach, http_client};
use crate::transport::read_body;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Bytes of an address: a host of 63 + 44, and a path of 24 + 64 + 4.
const ADDRESS_LIMIT: usize = 255;
const PATH: &str = "x509_public_certificate_";
/// Of the file's name, between `x509_public_certificate_` and `.pem`.
const NAME_LIMIT: usize = 64;
const CERTIFICATE_LIMIT: usize = 64 * 1024;
const FETCH_TIMEOUT: Duration = Duration::from_secs(3);
/// A key is asked for again when it is older,
const FRESH: BootMs = 3_600_000;
/// and not used any more when it is older than this.
const USABLE: BootMs = 24 * 3_600_000;
/// A fetch that failed is not tried again sooner.
const FAILED_FOR: BootMs = 60_000;
/// Between the starts of two fetches.
const PACE: BootMs = 1_000;
/// Keys that are kept; the oldest goes first.
const KEYS: usize = 8;
/// Failures that are kept, likewise.
const FAILURES: usize = 32;

/// Whether `address` is one of EventBridge's certificates in one of `regions`: `https://REGION-eventbridge.oss-accelerate.aliyuncs.com/
/// x509_public_certificate_NAME.pem`, without port, user, query, fragment or escapes.
pub(crate) fn is_allowed(address: &str, regions: &[String]) -> bool {
    let Some((host, path)) = address.strip_prefix("https://").and_then(|rest| rest.split_once('/')) else { return false };
    let region = host.strip_suffix("-eventbridge.oss-accelerate.aliyuncs.com");
    let name = path.strip_prefix(PATH).and_then(|path| path.strip_suffix(".pem"));
    let plain = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    address.len() <= ADDRESS_LIMIT
        && region.is_some_and(|region| regions.iter().any(|allowed| allowed == region))
        && name.is_some_and(|name| (1..=NAME_LIMIT).contains(&name.len()) && plain(name))
}

/// There is no key now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unavailable {
    /// Another one is being fetched, or one was a moment ago.
    Busy,
    /// It could not be had, not long ago.
    Failed(String),
}

/// The keys of EventBridge, by address.
#[derive(Debug)]
pub(crate) struct Certificates {
    around: Around,
    known: Mutex<Known>,
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Known {
    keys: VecDeque<Entry>,
    failures: VecDeque<(String, BootMs, String)>,
    fetching: Option<String>,
    last_start: Option<BootMs>,
}

#[derive(Debug)]
struct Entry {
    address: String,
    key: Arc<Key>,
    at: BootMs,
}

impl Certificates {
    pub(crate) fn new(around: Around) -> Arc<Self> {
        Arc::new(Self { around, known: Mutex::default(), changed: watch::Sender::new(()) })
    }

    /// The key of the certificate at `address`, which [`is_allowed`]. Waits while that one is being fetched: bound it in time. The fetch
    /// goes on meanwhile.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub(crate) async fn key(self: &Arc<Self>, address: &str) -> Result<Arc<Key>, Unavailable> {
        let mut changed = self.changed.subscribe();
        loop {
            if let Some(answer) = self.look(address, Moment::now().boot_ms) {
                return answer;
            }
            if changed.changed().await.is_err() {
                return Err(Unavailable::Busy);
            }
        }
    }

    /// Whether any key is at hand.
    pub(crate) fn has_key(&self) -> bool {
        let now = Moment::now().boot_ms;
        self.known().keys.iter().any(|entry| now < entry.at.saturating_add(USABLE))
    }

    /// What is known, or none while it is being fetched; begins to.
    fn look(self: &Arc<Self>, address: &str, now: BootMs) -> Option<Result<Arc<Key>, Unavailable>> {
        let mut known = self.known();
        let found = known.keys.iter().find(|entry| entry.address == address && now < entry.at.saturating_add(USABLE));
        let found = found.map(|entry| (Arc::clone(&entry.key), entry.at));
        if let Some((key, _)) = found.as_ref().filter(|(_, at)| now < at.saturating_add(FRESH)) {
            return Some(Ok(Arc::clone(key)));
        }
        let usable = found.map(|(key, _)| Ok(key));
        let failed = known.failures.iter().find(|(of, at, _)| of == address && now < at.saturating_add(FAILED_FOR));
        if let Some((.., why)) = failed {
            return usable.or_else(|| Some(Err(Unavailable::Failed(why.clone()))));
        }
        if known.fetching.as_deref() == Some(address) {
            return usable;
        }
        if known.fetching.is_some() || known.last_start.is_some_and(|last| now < last.saturating_add(PACE)) {
            return usable.or(Some(Err(Unavailable::Busy)));
        }
        (known.fetching, known.last_start) = (Some(address.to_owned()), Some(now));
        let (this, address) = (Arc::clone(self), address.to_owned());
        tokio::spawn(async move {
            let reach = this.around.borrow().reach.clone();
            let fetched = fetch(&reach, &address).await;
            this.fetched(address, fetched, Moment::now().boot_ms);
        });
        usable
    }

    fn fetched(&self, address: String, fetched: Result<Key, String>, now: BootMs) {
        let mut known = self.known();
        known.fetching = None;
        known.failures.retain(|(of, ..)| *of != address);
        match fetched {
            Ok(key) => {
                known.keys.retain(|entry| entry.address != address);
                if known.keys.len() >= KEYS {
                    known.keys.pop_front();
                }
                known.keys.push_back(Entry { address, key: Arc::new(key), at: now });
            }
            Err(why) => {
                if known.failures.len() >= FAILURES {
                    known.failures.pop_front();
                }
                known.failures.push_back((address, now, why));
            }
        }
        drop(known);
        self.changed.send_replace(());
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One attempt.
async fn fetch(reach: &Reach, address: &str) -> Result<Key, String> {
    let deadline = Instant::now() + FETCH_TIMEOUT;
    let host = address.strip_prefix("https://").and_then(|rest| rest.split('/').next()).unwrap_or_default();
    let fetching = fetch_until(reach, address, host, deadline);
    let bytes = tokio::time::timeout_at(deadline, fetching).await.map_err(|_| format!("timed out waiting for {host}"))??;
    Key::of_certificate(&bytes).map_err(|why| format!("the certificate that {host} serves cannot be used: {why}"))
}

async fn fetch_until(reach: &Reach, address: &str, host: &str, deadline: Instant) -> Result<Vec<u8>, String> {
    let made = {
        let reach = reach.clone();
        // The system's certificates are files.
        apart::begin("certificate", move || http_client(false, &reach)).map_err(|error| format!("no thread can be started: {error}"))?
    };
    let http = made.await.map_err(|_| "the HTTP client was not made".to_owned())?.map_err(|error| error.to_string())?;
    http.prepare().await;
    let response = match http.client().map_err(|trouble| trouble.message)?.get(address).timeout(FETCH_TIMEOUT).send().await {
        Ok(response) => response,
        Err(error) => return Err(http.explain(&error, host, None, deadline).await.message),
    };
    let status = response.status().as_u16();
    if status != 200 {
        return Err(format!("HTTP {status} from {host} instead of a certificate"));
    }
    read_body(response, CERTIFICATE_LIMIT, host).await.map_err(|trouble| trouble.message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "https://cn-hangzhou-eventbridge.oss-accelerate.aliyuncs.com/x509_public_certificate_2021012501.pem";

    #[test]
    fn only_the_very_address_of_a_certificate_in_an_allowed_region_will_do() {
        let regions = ["cn-hangzhou".to_owned(), "ap-southeast-1".to_owned()];
        assert!(is_allowed(GOOD, &regions));
        assert!(is_allowed(&GOOD.replace("cn-hangzhou", "ap-southeast-1"), &regions));
        assert!(!is_allowed(GOOD, &[]));
        let changes = [
            ("https://", "http://"),
            ("https://", "HTTPS://"),
            ("https://", "https://user@"),
            ("https://", "https://evil.example/"),
            ("https://", "https:///"),
            ("cn-hangzhou-", "cn-shanghai-"),
            ("cn-hangzhou-", "-"),
            ("cn-hangzhou-", "evil-cn-hangzhou-"),
            ("cn-hangzhou-", "CN-HANGZHOU-"),
            ("cn-hangzhou-eventbridge", "cn-hangzhou.eventbridge"),
            (".com/", ".com.evil.example/"),
            (".com/", ".com:443/"),
            (".com/", ".com./"),
            (".com/", ".com//"),
            (".com/", ".com\\@evil.example/"),
            ("oss-accelerate", "oss-cn-hangzhou"),
            ("x509_", "../x509_"),
            ("x509_", "bucket/x509_"),
            ("2021012501", ""),
            ("2021012501", "a/../b"),
            ("2021012501", "%2e%2e"),
            ("2021012501", "a?b="),
            ("2021012501", "a b"),
            (".pem", ".pem?versionId=1"),
            (".pem", ".pem#"),
            (".pem", ".pem\n"),
            (".pem", ".der"),
        ];
        for (from, to) in changes {
            let changed = GOOD.replace(from, to);
            assert_ne!(changed, GOOD);
            assert!(!is_allowed(&changed, &regions), "{changed}");
        }
        assert!(!is_allowed(&GOOD.replace("2021012501", &"1".repeat(65)), &regions));
    }

    fn around() -> Around {
        let plan = crate::plan::testing::plan(Vec::new(), Vec::new());
        let surroundings = crate::events::Surroundings::new(&plan, &std::collections::HashMap::new()).unwrap();
        tokio::sync::watch::Sender::new(surroundings).subscribe()
    }

    fn key() -> Key {
        let text = include_str!("../../tests/fixtures/events/eventbridge-signature-vectors.json");
        let document: serde_json::Value = serde_json::from_str(text).unwrap();
        Key::of_certificate(document["vectors"][0]["certificate_pem"].as_str().unwrap().as_bytes()).unwrap()
    }

    #[tokio::test]
    async fn a_key_is_used_for_a_day_while_no_new_one_can_be_had_and_a_failure_is_remembered_for_a_minute() {
        let certificates = Certificates::new(around());
        certificates.fetched(GOOD.to_owned(), Ok(key()), 0);
        let is_key = |now| matches!(certificates.look(GOOD, now), Some(Ok(_)));
        assert!(is_key(FRESH - 1));
        certificates.fetched(GOOD.to_owned(), Err("HTTP 404".to_owned()), FRESH);
        assert!(is_key(FRESH), "the old one is used");
        certificates.fetched(GOOD.to_owned(), Err("HTTP 404".to_owned()), USABLE);
        assert_eq!(certificates.look(GOOD, USABLE), Some(Err(Unavailable::Failed("HTTP 404".to_owned()))));
    }

    #[tokio::test]
    async fn one_is_fetched_at_a_time_and_what_is_remembered_is_bounded() {
        let certificates = Certificates::new(around());
        certificates.known().fetching = Some("https://other".to_owned());
        assert_eq!(certificates.look(GOOD, 0), Some(Err(Unavailable::Busy)));
        certificates.known().fetching = None;
        certificates.known().last_start = Some(5_000);
        assert_eq!(certificates.look(GOOD, 5_999), Some(Err(Unavailable::Busy)), "not so soon after another one");
        for number in 0..1_000 {
            certificates.fetched(format!("https://bad/{number}"), Err("HTTP 404".to_owned()), 0);
            certificates.fetched(format!("https://good/{number}"), Ok(key()), 0);
        }
        let known = certificates.known();
        assert_eq!((known.keys.len(), known.failures.len()), (KEYS, FAILURES));
    }
}
