//! The control API: HTTP over a unix socket.
//!
//! | route | who | what |
//! | --- | --- | --- |
//! | `GET /status` | who may connect | [`Status`] as JSON |
//! | `GET /history` | who may connect | what was done, JSON |
//! | `GET /report?signal=NAME` | who may connect | the last failure report, or how it would be now |
//! | `GET /metrics` | who may connect | Prometheus text |
//! | `GET /events` | who may connect | what arrives of events and what came of it, followed as NDJSON |
//! | `GET /wait?for=healthy\|signaled&signal=NAME&timeout=60s` | who may connect | answers when it is so, or the time is up |
//! | `POST /push` `{check, health, text}` | who may connect | feeds a `ttl` check |
//! | `POST /signal` `{resource, status, reason}` | root | says it now |
//! | `POST /cancel` `{signal}` | root | does not send it |
//! | `GET /events/test-secret` | root | with what `events send` signs, JSON; of this run |
//! | `POST /reload`, `/hold`, `/resume` | root | |
//!
//! Who may connect is decided by the file system: the socket has mode 0660 and belongs to the agent's user and group. Who is root
//! is decided by the kernel (SO_PEERCRED, unix(7)). Exec checks run as the agent's user, so that user may read and push, no more.
//!
//! Bounds: [`CONNECTIONS`] connections of which some are kept for root, so that no one else can shut it out (one too many is closed at
//! once); heads and bodies of 64 KiB; 5 s for a head, 30 s for a request other than a wait. A handler whose
//! client has gone is dropped, and what it asked for is forgotten, unless the loop has taken it already.

mod events;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;

use crate::agent::status::{Goal, Status};
use crate::agent::{Command, Denied, Done};
use crate::check::Health;
use crate::events::{Following, Line};
use crate::report::View;
use crate::secret::Secret;
use crate::signal::{HistoryEntry, SignalStatus};
use axum::Json;
use axum::extract::{DefaultBodyLimit, Extension, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use hyper::service::Service as _;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{UnixListener, UnixSocket, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};

/// Connections served at once.
pub const CONNECTIONS: usize = CONNECTIONS_OF_ROOT + CONNECTIONS_OF_OTHERS;
const CONNECTIONS_OF_ROOT: usize = 16;
const CONNECTIONS_OF_OTHERS: usize = 24;
/// Clients that wait at once: each has its connection, so root's have their place.
pub const WAITS: usize = CONNECTIONS;
/// Requests that wait for the loop; when it is full the client is told to come again.
pub const QUEUE: usize = 64;
/// Connections that wait to be accepted; one more is refused.
const BACKLOG: u32 = 128;
const BODY_LIMIT: usize = 64 * 1024;
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// For a request that is not a wait, its body included.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// After the system could not give a connection.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);
/// Longest `timeout` of a wait.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);

/// What a client wants of the loop. The loop answers through the channel; a closed one means that the client has gone.
#[derive(Debug)]
pub enum Request {
    /// The snapshot.
    Status(oneshot::Sender<Box<Status>>),
    /// What was done.
    History(oneshot::Sender<Vec<HistoryEntry>>),
    /// The last failure report, or how it would be now.
    Report {
        /// Of this signal, or of any.
        signal: Option<String>,
        /// The report.
        reply: oneshot::Sender<Result<View, NoReport>>,
    },
    /// The last lines about events.
    Events(oneshot::Sender<VecDeque<Line>>),
    /// The last lines about events, and the ones that come.
    Follow {
        /// Who asks: root has places of its own.
        is_root: bool,
        /// None: too many follow already.
        reply: oneshot::Sender<Option<Following>>,
    },
    /// Metrics in Prometheus text.
    Metrics(oneshot::Sender<String>),
    /// Tell when this is reached.
    Wait {
        /// What.
        goal: Goal,
        /// Of this signal, or of all.
        signal: Option<String>,
        /// When it is.
        reply: oneshot::Sender<()>,
    },
    /// An operator's command.
    Command(Command, oneshot::Sender<Result<Done, Denied>>),
    /// With what tests are signed.
    TestSecret(oneshot::Sender<Secret>),
    /// Load the configuration again.
    Reload(oneshot::Sender<Result<Reloaded, String>>),
}

/// There is nothing to report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoReport {
    /// The signal that was asked for, if one was.
    pub signal: Option<String>,
}

/// A reload that took.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// Number of signals that run now.
    pub signals: usize,
    /// Number of checks that run now.
    pub checks: usize,
    /// Warnings, each as told to people.
    pub warnings: Vec<String>,
}

/// Why a request was not served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What is wrong.
    pub error: String,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// Body of `POST /push`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PushBody {
    /// The check.
    pub check: String,
    /// What it says.
    pub health: Health,
    /// In words.
    #[serde(default)]
    pub text: String,
}

/// Body of `POST /signal`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignalBody {
    /// Logical ID of the handle, or name of a signal.
    pub resource: String,
    /// What to say.
    pub status: SignalStatus,
    /// Why.
    #[serde(default)]
    pub reason: String,
}

/// Body of `POST /cancel`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CancelBody {
    /// Name of the signal.
    pub signal: String,
}

/// What an operator's command did.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DoneBody {
    /// In words.
    pub done: String,
    /// The signal concerned.
    pub signal: Option<String>,
}

/// Answer of `GET /wait`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct WaitAnswer {
    /// Whether it is so; false: the time is up.
    pub reached: bool,
}

#[derive(Debug, Deserialize)]
struct WaitQuery {
    r#for: String,
    signal: Option<String>,
    timeout: Option<String>,
}

/// The socket could not be made.
#[derive(Debug, thiserror::Error)]
#[error("control socket {}: {source}\nhint: set agent.socket to a path in a directory that the agent may write", path.display())]
pub struct BindError {
    /// Where.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

/// Binds the socket at `path`, in place of one that an agent left which is no more (the ledger's lock tells that there is no other).
///
/// # Errors
/// If the path cannot be bound.
pub fn bind(path: &Path) -> Result<UnixListener, BindError> {
    let fail = |source| BindError { path: path.to_owned(), source };
    if let Some(parent) = path.parent().filter(|parent| !parent.exists()) {
        std::fs::create_dir_all(parent).map_err(fail)?;
    }
    match std::fs::symlink_metadata(path) {
        Ok(found) if std::os::unix::fs::FileTypeExt::is_socket(&found.file_type()) => std::fs::remove_file(path).map_err(fail)?,
        Ok(_) => return Err(fail(io::Error::new(io::ErrorKind::AlreadyExists, "there is a file that is not a socket"))),
        Err(_) => {}
    }
    // Nobody can connect before it listens, so there is no moment in which others may. (A umask would be the process's: two threads that
    // set and restore it can leave the wrong one behind.)
    let socket = UnixSocket::new_stream().map_err(fail)?;
    socket.bind(path).map_err(fail)?;
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o660)).map_err(fail)?;
    socket.listen(BACKLOG).map_err(fail)
}

/// Whether the peer is root.
#[derive(Clone, Copy, Debug)]
struct Peer {
    root: bool,
}

/// Serves the API until the task is dropped.
pub async fn serve(listener: UnixListener, requests: mpsc::Sender<Request>) {
    let router = router(requests);
    let roots = Arc::new(Semaphore::new(CONNECTIONS_OF_ROOT));
    let others = Arc::new(Semaphore::new(CONNECTIONS_OF_OTHERS));
    let mut connections = tokio::task::JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "the control socket could not accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let root = stream.peer_cred().is_ok_and(|peer| peer.uid() == 0);
        let Ok(slot) = Arc::clone(if root { &roots } else { &others }).try_acquire_owned() else {
            continue;
        };
        let connection = connection(stream, router.clone().layer(Extension(Peer { root })));
        connections.spawn(async move {
            connection.await;
            drop(slot);
        });
    }
}

fn router(requests: mpsc::Sender<Request>) -> axum::Router {
    axum::Router::new()
        .route("/status", get(status))
        .route("/history", get(history))
        .route("/report", get(report))
        .route("/metrics", get(metrics))
        .route("/events", get(events::events))
        .route("/wait", get(wait))
        .route("/events/test-secret", get(test_secret))
        .route("/push", post(push))
        .route("/signal", post(signal))
        .route("/cancel", post(cancel))
        .route("/reload", post(reload))
        .route("/hold", post(async |State(loop_), Extension(peer)| admin(loop_, peer, Command::Hold).await))
        .route("/resume", post(async |State(loop_), Extension(peer)| admin(loop_, peer, Command::Resume).await))
        .fallback(async || problem(StatusCode::NOT_FOUND, "there is no such route", Some("see docs/control-api.md")))
        .method_not_allowed_fallback(async || problem(StatusCode::METHOD_NOT_ALLOWED, "this route wants another method", None))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(requests)
}

async fn connection(stream: UnixStream, router: axum::Router) {
    let service = hyper::service::service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let limit = if request.uri().path() == "/wait" { LONGEST_WAIT + REQUEST_TIMEOUT } else { REQUEST_TIMEOUT };
        let answer = TowerToHyperService::new(router.clone()).call(request);
        async move {
            match tokio::time::timeout(limit, answer).await {
                Ok(answer) => answer,
                Err(_) => Ok(problem(StatusCode::REQUEST_TIMEOUT, "the request took too long", None)),
            }
        }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(BODY_LIMIT)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a client of the control socket went away");
    }
}

fn problem(status: StatusCode, error: impl Into<String>, hint: Option<&str>) -> Response {
    (status, Json(Problem { error: error.into(), hint: hint.map(str::to_owned) })).into_response()
}

/// Hands a request to the loop and waits for its answer.
async fn ask<T>(requests: &mpsc::Sender<Request>, make: impl FnOnce(oneshot::Sender<T>) -> Request) -> Result<T, Response> {
    let (reply, answer) = oneshot::channel();
    if requests.try_send(make(reply)).is_err() {
        return Err(problem(StatusCode::SERVICE_UNAVAILABLE, "the agent is busy or stopping", Some("try again")));
    }
    answer.await.map_err(|_| problem(StatusCode::SERVICE_UNAVAILABLE, "the agent is stopping", None))
}

type Loop = mpsc::Sender<Request>;

async fn status(State(requests): State<Loop>) -> Response {
    match ask(&requests, Request::Status).await {
        Ok(status) => Json(status).into_response(),
        Err(problem) => problem,
    }
}

async fn history(State(requests): State<Loop>) -> Response {
    match ask(&requests, Request::History).await {
        Ok(history) => Json(history).into_response(),
        Err(problem) => problem,
    }
}

#[derive(Debug, Deserialize)]
struct ReportQuery {
    signal: Option<String>,
}

async fn report(State(requests): State<Loop>, query: Result<Query<ReportQuery>, axum::extract::rejection::QueryRejection>) -> Response {
    let Ok(Query(query)) = query else {
        return problem(StatusCode::BAD_REQUEST, "the query is not understood", Some("GET /report?signal=web"));
    };
    match ask(&requests, |reply| Request::Report { signal: query.signal, reply }).await {
        Ok(Ok(view)) => Json(view).into_response(),
        Ok(Err(NoReport { signal: Some(signal) })) => {
            let hint = "ros-signal-agent status lists the signals";
            problem(StatusCode::CONFLICT, format!("no signal is called {signal:?}"), Some(hint))
        }
        Ok(Err(NoReport { signal: None })) => {
            problem(StatusCode::CONFLICT, "there are no signals, so there is nothing to report", Some("see ros-signal-agent status"))
        }
        Err(problem) => problem,
    }
}

async fn metrics(State(requests): State<Loop>) -> Response {
    match ask(&requests, Request::Metrics).await {
        Ok(text) => ([(header::CONTENT_TYPE, crate::metrics::CONTENT_TYPE)], text).into_response(),
        Err(problem) => problem,
    }
}

async fn wait(State(requests): State<Loop>, query: Result<Query<WaitQuery>, axum::extract::rejection::QueryRejection>) -> Response {
    let Ok(Query(query)) = query else {
        return problem(StatusCode::BAD_REQUEST, "the query is not understood", Some("GET /wait?for=healthy&timeout=60s"));
    };
    let goal = match query.r#for.as_str() {
        "healthy" => Goal::Healthy,
        "signaled" => Goal::Signaled,
        other => return problem(StatusCode::BAD_REQUEST, format!("cannot wait for {other:?}"), Some("for=healthy or for=signaled")),
    };
    let timeout = match query.timeout.as_deref().map(humantime::parse_duration) {
        None => LONGEST_WAIT,
        Some(Ok(timeout)) => timeout.min(LONGEST_WAIT),
        Some(Err(error)) => return problem(StatusCode::BAD_REQUEST, format!("timeout: {error}"), Some("such as timeout=60s")),
    };
    let reached = ask(&requests, |reply| Request::Wait { goal, signal: query.signal, reply });
    match tokio::time::timeout(timeout, reached).await {
        Ok(Ok(())) => Json(WaitAnswer { reached: true }).into_response(),
        Ok(Err(problem)) => problem,
        Err(_) => Json(WaitAnswer { reached: false }).into_response(),
    }
}

async fn command(requests: &Loop, command: Command) -> Response {
    match ask(requests, |reply| Request::Command(command, reply)).await {
        Ok(Ok(done)) => Json(DoneBody { done: done.text, signal: done.signal.map(|name| name.to_string()) }).into_response(),
        Ok(Err(denied)) => problem(StatusCode::CONFLICT, denied.message, Some(&denied.hint)),
        Err(problem) => problem,
    }
}

async fn admin(requests: Loop, peer: Peer, wanted: Command) -> Response {
    if !peer.root {
        return forbidden();
    }
    command(&requests, wanted).await
}

fn forbidden() -> Response {
    problem(StatusCode::FORBIDDEN, "only root may do this", Some("the agent's own user, and so any exec check, may read and push, no more"))
}

type Body<T> = Result<Json<T>, axum::extract::rejection::JsonRejection>;

fn bad_body(error: &axum::extract::rejection::JsonRejection) -> Response {
    problem(StatusCode::BAD_REQUEST, error.body_text(), Some("send JSON with content type application/json"))
}

async fn push(State(requests): State<Loop>, body: Body<PushBody>) -> Response {
    match body {
        Ok(Json(body)) => command(&requests, Command::Push { check: body.check, health: body.health, text: body.text }).await,
        Err(error) => bad_body(&error),
    }
}

async fn signal(State(requests): State<Loop>, Extension(peer): Extension<Peer>, body: Body<SignalBody>) -> Response {
    match body {
        Ok(Json(body)) => {
            let reason = if body.reason.is_empty() { "sent by hand".to_owned() } else { crate::check::clip(body.reason, 1024) };
            admin(requests, peer, Command::Signal { resource: body.resource, status: body.status, reason }).await
        }
        Err(error) => bad_body(&error),
    }
}

async fn cancel(State(requests): State<Loop>, Extension(peer): Extension<Peer>, body: Body<CancelBody>) -> Response {
    match body {
        Ok(Json(body)) => admin(requests, peer, Command::Cancel { signal: body.signal }).await,
        Err(error) => bad_body(&error),
    }
}

/// The one place where it leaves, to root alone.
async fn test_secret(State(requests): State<Loop>, Extension(peer): Extension<Peer>) -> Response {
    if !peer.root {
        return forbidden();
    }
    match ask(&requests, Request::TestSecret).await {
        Ok(secret) => Json(serde_json::json!({ "secret": secret.expose() })).into_response(),
        Err(problem) => problem,
    }
}

async fn reload(State(requests): State<Loop>, Extension(peer): Extension<Peer>) -> Response {
    if !peer.root {
        return forbidden();
    }
    match ask(&requests, Request::Reload).await {
        Ok(Ok(reloaded)) => Json(reloaded).into_response(),
        Ok(Err(errors)) => problem(StatusCode::CONFLICT, errors, Some("the old configuration goes on running")),
        Err(problem) => problem,
    }
}
