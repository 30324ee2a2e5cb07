//! Answers, and bodies that are bounded in size, time and number.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use hyper::body::{Body as _, Incoming};
use std::pin::Pin;
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};

/// An event of EventBridge has 256 KiB at most, and base64 makes it a third longer.
const BODY_LIMIT: usize = 512 * 1024;
/// A larger body needs one of a few places, so that many connections cannot fill the memory.
const SMALL: usize = 64 * 1024;
/// How many such places there are.
pub(super) const LARGE_PLACES: usize = 4;
/// For the whole body.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);
/// When to come again, in seconds. EventBridge keeps its own time: 10 to 20 s.
const AGAIN: &str = "10";

/// Something that is not taken.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) status: StatusCode,
    /// To be counted by.
    pub(super) reason: &'static str,
    /// For whoever sent it.
    pub(super) text: String,
}

impl Refused {
    pub(super) fn new(status: StatusCode, reason: &'static str, text: impl Into<String>) -> Self {
        Self { status, reason, text: text.into() }
    }

    /// Come again.
    pub(super) fn later(reason: &'static str, text: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, reason, text)
    }

    pub(super) fn into_response(self) -> Response {
        let again = matches!(self.status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS);
        let mut response = Response::new(Body::from(self.text + "\n"));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        // The connection is for those who are believed.
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        if again {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static(AGAIN));
        }
        response
    }
}

/// Taken.
pub(super) fn taken() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// The wrong method.
pub(super) fn only(methods: &'static str) -> Response {
    let mut response = Refused::new(StatusCode::METHOD_NOT_ALLOWED, "method", format!("only {methods} here")).into_response();
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(methods));
    response
}

/// The body, whole.
///
/// # Errors
/// If it is too large or too slow, breaks off, or too many large ones are under way.
pub(super) async fn whole(body: Incoming, large: &Semaphore) -> Result<Vec<u8>, Refused> {
    let slow = |_| Refused::new(StatusCode::REQUEST_TIMEOUT, "slow", "the body did not come within 5s");
    tokio::time::timeout(BODY_TIMEOUT, collect(body, large)).await.map_err(slow)?
}

async fn collect(mut body: Incoming, large: &Semaphore) -> Result<Vec<u8>, Refused> {
    let too_large = || Refused::new(StatusCode::PAYLOAD_TOO_LARGE, "too large", "the body is larger than 512 KiB");
    let hint = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if hint > BODY_LIMIT {
        return Err(too_large());
    }
    let mut place = Place { large, taken: None };
    let mut bytes = Vec::new();
    while let Some(frame) = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let broken = |_| Refused::new(StatusCode::BAD_REQUEST, "broken off", "the body broke off");
        let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
        if bytes.len() + data.len() > BODY_LIMIT {
            return Err(too_large());
        }
        place.make(bytes.len() + data.len())?;
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}

/// The place of a body in memory while it comes.
struct Place<'a> {
    large: &'a Semaphore,
    taken: Option<SemaphorePermit<'a>>,
}

impl Place<'_> {
    fn make(&mut self, length: usize) -> Result<(), Refused> {
        if length > SMALL && self.taken.is_none() {
            let permit = self.large.try_acquire().map_err(|_| Refused::later("busy", "too many large bodies at once"))?;
            self.taken = Some(permit);
        }
        Ok(())
    }
}
