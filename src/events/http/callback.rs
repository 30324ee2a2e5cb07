//! The source `callback`: ROS calls a URL among the stack's `NotificationURLs`, without a signature. All that keeps others away is the secret path, and all that a call can do
//! is make the agent look.

use super::Troubles;
use super::answer::{LARGE_PLACES, Refused, only, taken, whole};
use super::kept::Kept;
use super::listen::{self, Door};
use crate::clock::{BootMs, Moment};
use crate::events::envelope::{self, Carrier};
use crate::events::signature::Sealed;
use crate::events::{Around, Event, Inlet, Trust};
use crate::plan::CallbackSource;
use axum::response::Response;
use http::{Method, StatusCode};
use hyper::Request;
use hyper::body::Incoming;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Characters of a secret path.
const SHORTEST: usize = 16;
/// Calls that may come at once, and how long it takes until there may be one more.
const BURST: i64 = 20;
const PACE_MS: BootMs = 500;
const ANSWER_TIMEOUT: Duration = Duration::from_millis(900);

/// Judges calls.
#[derive(Debug)]
pub(super) struct Callback {
    path: Arc<Kept<Sealed>>,
    rate: Mutex<Rate>,
    large: Semaphore,
    inlet: Inlet,
}

/// Runs the source until it is dropped.
pub(crate) async fn callback(source: CallbackSource, inlet: Inlet, around: &Around) {
    let troubles = Troubles::new(inlet.health());
    let mut tasks = JoinSet::new();
    let path = Kept::new();
    let credentials = super::credentials(around);
    let read = move || {
        let path = super::secret(&source.path, credentials.as_ref())?;
        let path = path.expose().trim_start_matches('/');
        let plain = path.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#'));
        match Sealed::new(path) {
            Some(sealed) if path.len() >= SHORTEST && plain => Ok(sealed),
            Some(_) => Err(format!("it must be at least {SHORTEST} characters that can stand in a URL, without ? and #")),
            None => Err("the kernel gives no random bytes".to_owned()),
        }
    };
    let hint = "make one with: head -c 24 /dev/urandom | base64 | tr '+/' '-_'";
    tasks.spawn(Arc::clone(&path).follow("the secret path", Some(hint), Arc::clone(&troubles), read));
    let callback = Callback { path, rate: Mutex::default(), large: Semaphore::new(LARGE_PLACES), inlet };
    let ready = Arc::clone(&callback.path);
    let serving = listen::serve(source.listen, source.tls, Door::Callback(Arc::new(callback)), troubles);
    tasks.spawn(async move {
        listen::opened_late(ready.tried()).await;
        serving.await;
    });
    while tasks.join_next().await.is_some() {}
}

impl Callback {
    /// One that is not ready for any call.
    #[cfg(test)]
    pub(super) fn without_a_path() -> Self {
        let (sender, _) = tokio::sync::mpsc::channel(1);
        let inlet = Inlet::new("ros".into(), sender, crate::events::Health::new("ros", "callback"));
        Self { path: Kept::new(), rate: Mutex::default(), large: Semaphore::new(LARGE_PLACES), inlet }
    }

    #[cfg(fuzzing)]
    pub(super) fn for_fuzzing(path: &str, inlet: Inlet) -> Self {
        let path = Kept::of(Sealed::new(path.trim_start_matches('/')).expect("random bytes"));
        Self { path, rate: Mutex::default(), large: Semaphore::new(LARGE_PLACES), inlet }
    }

    pub(super) async fn answer(&self, request: Request<Incoming>) -> Response {
        let Some(path) = self.path.get() else {
            self.inlet.health().refused("not ready");
            return Refused::later("not ready", "not ready").into_response();
        };
        if !path.is(request.uri().path().trim_start_matches('/')) {
            self.inlet.health().refused("path");
            return Refused::new(StatusCode::NOT_FOUND, "path", "there is nothing here").into_response();
        }
        if request.method() != Method::POST {
            self.inlet.health().refused("method");
            return only("POST");
        }
        match self.take(request).await {
            Ok(()) => taken(),
            Err(refused) => {
                self.inlet.health().refused(refused.reason);
                refused.into_response()
            }
        }
    }

    async fn take(&self, request: Request<Incoming>) -> Result<(), Refused> {
        if !self.rate.lock().unwrap_or_else(PoisonError::into_inner).allows(Moment::now().boot_ms) {
            return Err(Refused::new(StatusCode::TOO_MANY_REQUESTS, "too many", "too many calls"));
        }
        let body = whole(request.into_body(), &self.large).await?;
        let giving = self.inlet.give(Trust::Unsigned, hint(&body));
        let busy = || Refused::later("busy", "too many events at once");
        tokio::time::timeout(ANSWER_TIMEOUT, giving).await.map_err(|_| busy())?.map(drop).map_err(|_| busy())
    }
}

/// What a call says, as far as that is understood. Each call is an event of its own: two updates that end alike are told in the same words.
fn hint(body: &[u8]) -> Event {
    let said = envelope::read(body, Carrier::Message, "").ok().and_then(|events| events.into_iter().next());
    Event { id: uuid::Uuid::new_v4().to_string(), ..said.unwrap_or_default() }
}

/// Calls that came lately.
#[derive(Debug, Default)]
struct Rate {
    /// How many there may not be for now, and since when that is so.
    used: i64,
    at: BootMs,
}

impl Rate {
    fn allows(&mut self, now: BootMs) -> bool {
        let regained = now.saturating_sub(self.at).max(0) / PACE_MS;
        self.used = self.used.saturating_sub(regained).max(0);
        self.at = if self.used == 0 { now } else { self.at.saturating_add(regained.saturating_mul(PACE_MS)) };
        if self.used >= BURST {
            return false;
        }
        self.used += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_calls_at_once_and_then_two_in_a_second() {
        let mut rate = Rate::default();
        let allowed = |rate: &mut Rate, now| (0..100).filter(|_| rate.allows(now)).count();
        assert_eq!(allowed(&mut rate, 1_000), 20);
        assert_eq!(allowed(&mut rate, 1_499), 0);
        assert_eq!(allowed(&mut rate, 2_000), 2);
        assert_eq!(allowed(&mut rate, 100_000), 20);
    }

    #[test]
    fn what_is_not_understood_is_a_reason_to_look_all_the_same() {
        let told = hint(br#"{"Status":"CREATE_COMPLETE","StackName":"web","StackId":"b0bb","Outputs":[]}"#);
        assert_eq!((told.stack_id.as_deref(), told.status.as_deref()), (Some("b0bb"), Some("CREATE_COMPLETE")));
        for body in [b"".as_slice(), b"hello", b"[1]", b"{\"StackId\":7}", b"\xff\xfe"] {
            assert_eq!(hint(body).stack_id, None);
        }
        assert_ne!(hint(b"").id, hint(b"").id);
    }
}
