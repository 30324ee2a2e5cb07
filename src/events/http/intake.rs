//! The source `http`: requests as the HTTP target of EventBridge sends them.

use super::answer::{LARGE_PLACES, Refused, only, taken, whole};
use super::budget::Budget;
use super::kept::Kept;
use super::listen::{self, Door};
use super::read::events;
use super::replay::{Replay, Seen};
use super::{Needs, Troubles};
use crate::clock::{Moment, monotonic};
use crate::events::certificate::{Certificates, Unavailable, is_allowed};
use crate::events::signature::{Claims, Form, Key, Refusal, Sealed};
use crate::events::{Around, Event, Full, Inlet, Trust};
use crate::plan::HttpSource;
use crate::secret::Secret;
use axum::response::Response;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use hyper::Request;
use hyper::body::Incoming;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// Of the answer, from the last byte of the request; a little less than the second that is promised.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(900);
/// While the region is not known.
const REGION_RETRY: Duration = Duration::from_secs(10);

/// Whose signature is believed.
#[derive(Debug)]
enum Keys {
    /// `certificate_file`.
    Pinned(Arc<Kept<Key>>),
    /// Fetched, in these regions once they are known.
    Fetched { certificates: Arc<Certificates>, regions: watch::Sender<Option<Vec<String>>> },
}

/// Judges requests.
#[derive(Debug)]
pub(super) struct Intake {
    url: String,
    allow_v1: bool,
    keys: Keys,
    /// If one is expected.
    token: Option<Arc<Kept<Sealed>>>,
    allowed_origin: Option<String>,
    test_secret: Secret,
    replay: Mutex<Replay>,
    budget: Mutex<Budget>,
    large: Semaphore,
    inlet: Inlet,
    troubles: Arc<Troubles>,
}

/// Runs the source until it is dropped.
pub(crate) async fn http(source: HttpSource, inlet: Inlet, needs: Needs) {
    let Needs { around, test_secret } = needs;
    let troubles = Troubles::new(inlet.health());
    let mut tasks = JoinSet::new();
    let keys = match source.certificate_file {
        Some(path) => {
            let kept = Kept::new();
            let read = move || {
                let text = crate::credentials::read_secret(&path, false).map_err(|why| format!("{}: {why}", path.display()))?;
                Key::of_certificate(text.as_bytes()).map_err(|why| format!("{}: {why}", path.display()))
            };
            let hint = "certificate_file holds EventBridge's certificate as PEM: download it where the internet can be reached";
            tasks.spawn(Arc::clone(&kept).follow("the certificate of EventBridge", Some(hint), Arc::clone(&troubles), read));
            Keys::Pinned(kept)
        }
        None => {
            let given = Some(source.certificate_regions).filter(|regions| !regions.is_empty());
            let regions = watch::Sender::new(given);
            Keys::Fetched { certificates: Certificates::new(around.clone()), regions }
        }
    };
    let token = source.token.map(|place| {
        let (kept, credentials) = (Kept::new(), super::credentials(&around));
        let read = move || {
            let token = super::secret(&place, credentials.as_ref())?;
            Sealed::new(token.expose()).ok_or_else(|| "the kernel gives no random bytes".to_owned())
        };
        let hint = "the file holds the token of the target, and nothing else; until it can be read, every event is told to come again";
        tasks.spawn(Arc::clone(&kept).follow("the token", Some(hint), Arc::clone(&troubles), read));
        kept
    });
    let intake = Arc::new(Intake {
        url: source.url,
        allow_v1: source.allow_v1,
        keys,
        token,
        allowed_origin: source.allowed_origin,
        test_secret,
        replay: Mutex::default(),
        budget: Mutex::default(),
        large: Semaphore::new(LARGE_PLACES),
        inlet,
        troubles: Arc::clone(&troubles),
    });
    tasks.spawn(Arc::clone(&intake).learn_region(around));
    let ready = Arc::clone(&intake);
    let serving = listen::serve(source.listen, source.tls, Door::Signed(intake), troubles);
    tasks.spawn(async move {
        listen::opened_late(ready.is_ready()).await;
        serving.await;
    });
    while tasks.join_next().await.is_some() {}
}

impl Intake {
    /// Fetches nothing, and expects no token.
    #[cfg(fuzzing)]
    pub(super) fn for_fuzzing(url: &str, test_secret: &str, inlet: Inlet) -> Self {
        let key = Key::of_certificate(include_bytes!("../../../tests/fixtures/events/signing-certificate.pem")).expect("the fixture");
        let troubles = Troubles::new(inlet.health());
        Self {
            url: url.to_owned(),
            allow_v1: true,
            keys: Keys::Pinned(Kept::of(key)),
            token: None,
            allowed_origin: Some("eventbridge".to_owned()),
            test_secret: Secret::new(test_secret),
            replay: Mutex::default(),
            budget: Mutex::default(),
            large: Semaphore::new(LARGE_PLACES),
            inlet,
            troubles,
        }
    }

    /// Until what is needed to judge events was read and asked for once.
    async fn is_ready(&self) {
        if let Some(token) = &self.token {
            token.tried().await;
        }
        match &self.keys {
            Keys::Pinned(key) => key.tried().await,
            Keys::Fetched { regions, .. } => {
                // The sender is ours, so that it is there.
                let _ = regions.subscribe().wait_for(Option::is_some).await;
            }
        }
    }

    /// The instance's own region, where none are configured.
    async fn learn_region(self: Arc<Self>, around: Around) {
        let Keys::Fetched { regions, .. } = &self.keys else { return };
        while regions.borrow().is_none() {
            let metadata = Arc::clone(&around.borrow().metadata);
            if let Ok(identity) = metadata.identity().await
                && let Some(region) = identity.region
            {
                regions.send_replace(Some(vec![region]));
                self.troubles.over("region");
                return;
            }
            let hint = "give certificate_regions, or certificate_file";
            self.troubles.tell("region", "the instance's region is not known, so no certificate can be fetched".to_owned(), Some(hint));
            tokio::time::sleep(REGION_RETRY).await;
        }
    }

    pub(super) async fn answer(&self, request: Request<Incoming>) -> Response {
        match (request.method(), &self.allowed_origin) {
            (&Method::POST, _) => {}
            (&Method::OPTIONS, Some(allowed)) => return self.consent(request.headers(), allowed),
            (_, Some(_)) => return self.refuse_method("POST, OPTIONS"),
            (_, None) => return self.refuse_method("POST"),
        }
        match self.take(request).await {
            Ok(()) => taken(),
            Err(refused) => {
                self.inlet.health().refused(refused.reason);
                refused.into_response()
            }
        }
    }

    fn refuse_method(&self, methods: &'static str) -> Response {
        self.inlet.health().refused("method");
        only(methods)
    }

    /// The handshake of the webhook specification of CloudEvents: who asks whether it may send is told so. The status alone is no consent.
    fn consent(&self, headers: &HeaderMap, allowed: &str) -> Response {
        let Some(origin) = headers.get("webhook-request-origin") else { return self.refuse_method("POST, OPTIONS") };
        if allowed != "*" && !origin.as_bytes().eq_ignore_ascii_case(allowed.as_bytes()) {
            self.inlet.health().refused("origin");
            return Refused::new(StatusCode::FORBIDDEN, "origin", "this origin may not send here").into_response();
        }
        let mut response = taken();
        let sent = response.headers_mut();
        sent.insert("webhook-allowed-origin", origin.clone());
        sent.insert(header::ALLOW, HeaderValue::from_static("POST, OPTIONS"));
        sent.insert(header::CONNECTION, HeaderValue::from_static("close"));
        if headers.contains_key("webhook-request-rate") {
            // What is too much is told to come again anyway.
            sent.insert("webhook-allowed-rate", HeaderValue::from_static("*"));
        }
        response
    }

    async fn take(&self, request: Request<Incoming>) -> Result<(), Refused> {
        let (head, body) = request.into_parts();
        let claims = self.before_the_body(&head.headers, Moment::now().wall_ms)?;
        let body = whole(body, &self.large).await?;
        let judging = self.judge(&claims, &head.headers, &body);
        let late = |_| Refused::later("busy", "this took too long");
        tokio::time::timeout(ANSWER_TIMEOUT, judging).await.map_err(late)?
    }

    /// What can be told from the headers, at next to no cost.
    fn before_the_body(&self, headers: &HeaderMap, now_ms: i64) -> Result<Claims, Refused> {
        if headers.get(header::CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
            let text = "a body that is compressed is not read";
            return Err(Refused::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content encoding", text));
        }
        let claims = Claims::read(headers, self.allow_v1).map_err(unbelieved)?;
        claims.check_time(now_ms).map_err(unbelieved)?;
        if let Some(token) = &self.token {
            let token = token.get().ok_or_else(|| Refused::later("not ready", "the token cannot be read"))?;
            claims.check_token(Some(&token)).map_err(unbelieved)?;
        }
        if let (Some(address), Keys::Fetched { regions, .. }) = (claims.certificate_url(), &self.keys) {
            let regions = regions.borrow().clone().ok_or_else(|| Refused::later("not ready", "the region is not known yet"))?;
            if !is_allowed(address, &regions) {
                return Err(unbelieved(Refusal::CertificateAddress));
            }
        }
        Ok(claims)
    }

    async fn judge(&self, claims: &Claims, headers: &HeaderMap, body: &[u8]) -> Result<(), Refused> {
        let key = self.key(claims).await?;
        let (form, trust, events) = self.work(|| {
            let (form, trust) = match key {
                Some(key) => {
                    let form = claims.verify(&self.url, body, &key).map_err(unbelieved)?;
                    (form.word(), trust(form, self.token.is_some()))
                }
                None => {
                    claims.verify_test(&self.url, body, self.test_secret.expose()).map_err(unbelieved)?;
                    ("test", Trust::Test)
                }
            };
            let events = events(body, headers, &claims.timestamp_ms().to_string())
                .map_err(|reason| Refused::new(StatusCode::BAD_REQUEST, reason, reason));
            Ok((form, trust, events))
        })?;
        let now_ms = Moment::now().wall_ms;
        let seen = self.replay().see(claims.signature(), claims.timestamp_ms(), now_ms);
        let mark = match seen {
            Seen::New(hash) => Mark { intake: self, hash, at_ms: claims.timestamp_ms(), taken: false },
            Seen::Full => return Err(Refused::later("busy", "too many events in a minute")),
            Seen::Before => {
                // Whoever repeats it may have missed our answer, and is given it again. It goes no further.
                self.inlet.health().refused("replayed");
                return Ok(());
            }
        };
        self.hand_in(trust, events?).await.map_err(|Full| Refused::later("busy", "too many events at once"))?;
        mark.keep();
        self.inlet.health().signed(form);
        Ok(())
    }

    async fn hand_in(&self, trust: Trust, events: Vec<Event>) -> Result<(), Full> {
        for event in events {
            self.inlet.give(trust, event).await?;
        }
        Ok(())
    }

    /// Whose key it must be; none for a test.
    async fn key(&self, claims: &Claims) -> Result<Option<Arc<Key>>, Refused> {
        let Some(address) = claims.certificate_url() else { return Ok(None) };
        match &self.keys {
            Keys::Pinned(kept) => kept.get().map(Some).ok_or_else(|| Refused::later("not ready", "the certificate cannot be read")),
            Keys::Fetched { certificates, .. } => {
                let key = certificates.key(address).await.map_err(|unavailable| match unavailable {
                    Unavailable::Busy => Refused::later("certificate", "the certificate is not there yet"),
                    Unavailable::Failed(why) => {
                        // Anybody can name a certificate that is not there. That is no trouble of ours once one was.
                        if !certificates.has_key() {
                            let hint = "the host must reach it over the internet or a [ros] proxy; else give certificate_file";
                            self.troubles.tell(
                                "certificate",
                                format!("the certificate of EventBridge cannot be fetched: {why}"),
                                Some(hint),
                            );
                        }
                        Refused::later("certificate", "the certificate cannot be fetched")
                    }
                })?;
                self.troubles.over("certificate");
                Ok(Some(key))
            }
        }
    }

    /// Work that takes time of the loop, as far as there is any for it.
    fn work<T>(&self, work: impl FnOnce() -> Result<T, Refused>) -> Result<T, Refused> {
        let budget = || self.budget.lock().unwrap_or_else(PoisonError::into_inner);
        if !budget().allows(monotonic()) {
            return Err(Refused::later("busy", "too many requests at once"));
        }
        let before = crate::clock::worked();
        let result = work();
        budget().spend(crate::clock::worked().saturating_sub(before));
        result
    }

    fn replay(&self) -> std::sync::MutexGuard<'_, Replay> {
        self.replay.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who has sent what is signed in this form. The secret of version 1 comes with each request and is unwrapped with a public key: whoever has
/// ever got one such request can sign others with it, to any URL and at any time. Only a token keeps them out.
fn trust(form: Form, has_token: bool) -> Trust {
    if form.version == 1 && !has_token { Trust::Unsigned } else { Trust::Signed }
}

#[expect(clippy::needless_pass_by_value, reason = "it is given to map_err")]
fn unbelieved(refusal: Refusal) -> Refused {
    Refused::new(StatusCode::UNAUTHORIZED, refusal.reason(), refusal.to_string())
}

/// A signature that is remembered; forgotten again if what it stands for was not taken, or nobody waits for that any more.
struct Mark<'a> {
    intake: &'a Intake,
    hash: u64,
    at_ms: i64,
    taken: bool,
}

impl Mark<'_> {
    fn keep(mut self) {
        self.taken = true;
    }
}

impl Drop for Mark<'_> {
    fn drop(&mut self) {
        if !self.taken {
            self.intake.replay().forget(self.hash, self.at_ms);
        }
    }
}
