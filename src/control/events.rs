//! `GET /events`: what arrives of events and what came of it, one [`Line`] as JSON on each line (NDJSON), first those that are kept, then
//! those that come. `?follow=false` ends after the kept ones.
//!
//! Bounds: [`FOLLOWERS`] at once, one more is refused; a client that does not read misses lines and is told how many, by a line whose
//! `what` is `lagged`. The answer ends when the agent stops; a client that goes frees its place at once.

use super::{Loop, Peer, Request, ask, problem};
use crate::clock::{Moment, rfc3339};
use crate::events::{FOLLOWERS, Following, Line};
use axum::body::{Body, Bytes};
use axum::extract::{Extension, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_core::Stream;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

/// One JSON document on each line (<https://github.com/ndjson/ndjson-spec>).
const CONTENT_TYPE: &str = "application/x-ndjson";

#[derive(Debug, Deserialize)]
pub(super) struct EventsQuery {
    /// Whether to go on after the kept lines.
    #[serde(default = "yes")]
    follow: bool,
}

fn yes() -> bool {
    true
}

pub(super) async fn events(
    State(requests): State<Loop>,
    Extension(peer): Extension<Peer>,
    query: Result<Query<EventsQuery>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let Ok(Query(query)) = query else {
        return problem(StatusCode::BAD_REQUEST, "the query is not understood", Some("GET /events or GET /events?follow=false"));
    };
    let body = if query.follow {
        match ask(&requests, |reply| Request::Follow { is_root: peer.root, reply }).await {
            Ok(Some(following)) => Body::from_stream(Lines::new(following)),
            Ok(None) => {
                let error = format!("too many follow the events already ({FOLLOWERS} may)");
                return problem(StatusCode::SERVICE_UNAVAILABLE, error, Some("end one of them: they are connected to the control socket"));
            }
            Err(problem) => return problem,
        }
    } else {
        match ask(&requests, Request::Events).await {
            Ok(kept) => Body::from(kept.iter().map(written).collect::<Vec<_>>().concat()),
            Err(problem) => return problem,
        }
    };
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], body).into_response()
}

/// The lines of one follower as they are sent.
struct Lines {
    kept: VecDeque<Line>,
    next: Pin<Box<dyn Future<Output = Next> + Send>>,
    _place: tokio::sync::OwnedSemaphorePermit,
}

/// The receiver comes back with what it has received.
type Next = (Result<Line, RecvError>, Receiver<Line>);

impl Lines {
    fn new(following: Following) -> Self {
        let Following { kept, lines, place } = following;
        Self { kept, next: Box::pin(next(lines)), _place: place }
    }
}

async fn next(mut lines: Receiver<Line>) -> Next {
    (lines.recv().await, lines)
}

impl Stream for Lines {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(line) = self.kept.pop_front() {
            return Poll::Ready(Some(Ok(written(&line).into())));
        }
        let (received, lines) = ready!(self.next.as_mut().poll(context));
        self.next = Box::pin(next(lines));
        Poll::Ready(match received {
            Ok(line) => Some(Ok(written(&line).into())),
            Err(RecvError::Lagged(missed)) => Some(Ok(written(&Lagged::by(missed)).into())),
            Err(RecvError::Closed) => None,
        })
    }
}

/// Lines were missed.
#[derive(Serialize)]
struct Lagged {
    at: String,
    what: &'static str,
    text: String,
    missed: u64,
}

impl Lagged {
    fn by(missed: u64) -> Self {
        let text = format!("{missed} lines were missed: they came faster than they were read");
        Self { at: rfc3339(Moment::now().wall_ms), what: "lagged", text, missed }
    }
}

fn written(line: &impl Serialize) -> Vec<u8> {
    // Texts and numbers can always be written.
    let mut bytes = serde_json::to_vec(line).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}
