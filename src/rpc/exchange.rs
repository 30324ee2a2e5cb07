//! One HTTP exchange with a service, bounded in time and size.

use super::body;
use super::reach::Http;
use super::request::Prepared;
use crate::clock::Moment;
use crate::transport::{self, Trouble};
use reqwest::header::{CONTENT_LENGTH, HeaderMap};
use std::time::Duration;
use tokio::time::Instant;

/// An answer, whoever wrote it.
#[derive(Debug)]
pub(super) struct Reply {
    /// HTTP status.
    pub(super) status: u16,
    /// All headers.
    pub(super) headers: HeaderMap,
    /// Bounded.
    pub(super) body: Vec<u8>,
    /// Before the request went out.
    pub(super) sent: Moment,
    /// When the headers had come.
    pub(super) received: Moment,
}

/// What bounds an attempt.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// When it ends.
    pub(super) deadline: Instant,
    /// The whole time of it, for messages.
    pub(super) within: Duration,
    /// Of the body at most so many bytes are read, [`body::LIMIT`] where there is none.
    pub(super) limit: Option<usize>,
}

/// Sends `prepared` and reads the answer. `server_ms` is the service's time as far as it is known, to explain certificates with.
///
/// # Errors
/// If no complete answer came.
pub(super) async fn exchange(
    http: &Http,
    prepared: &Prepared,
    host: &str,
    Bounds { deadline, within, limit }: Bounds,
    server_ms: Option<i64>,
) -> Result<Reply, Trouble> {
    let sent = Moment::now();
    let request = http.client()?.post(prepared.url.expose()).headers(prepared.headers.clone());
    let request = match &prepared.form {
        Some(form) => request.body(form.expose().to_owned()),
        // An empty POST says so (RFC 9110 section 8.6); some gateways answer 411 otherwise.
        None => request.header(CONTENT_LENGTH, "0"),
    };
    let response = match tokio::time::timeout_at(deadline, request.send()).await {
        Err(_) => {
            return Err(Trouble::after_connecting(format!(
                "timed out after {} waiting for the answer of {host}",
                humantime::format_duration(within)
            )));
        }
        Ok(Err(error)) => return Err(http.explain(&error, host, server_ms, deadline).await),
        Ok(Ok(response)) => response,
    };
    let received = Moment::now();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    match tokio::time::timeout_at(deadline, transport::read_body(response, limit.unwrap_or(body::LIMIT), host)).await {
        Err(_) => Err(Trouble::after_connecting(format!(
            "timed out after {} in the middle of the answer of {host}",
            humantime::format_duration(within)
        ))),
        Ok(Err(trouble)) => Err(trouble),
        Ok(Ok(body)) => Ok(Reply { status, headers, body, sent, received }),
    }
}
