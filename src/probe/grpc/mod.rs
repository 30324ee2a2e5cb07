//! `type = "grpc"`: `grpc.health.v1.Health/Check`, over HTTP/2 in clear text with prior knowledge or over TLS.
//!
//! The client is `h2`, which hyper and tonic are made of too, and two messages of our own; docs/architecture.md says what tonic would
//! have cost. Every run opens a connection of its own, and the run itself drives it: when the run is dropped, so is the connection.
//! What is bounded: headers and trailers (16 KiB), the body (4 KiB), the window of the server (64 KiB).

#[cfg(fuzzing)]
pub(super) mod fuzzing;
mod message;
mod opening;

use super::progress::{Doing, Progress};
use super::roots::one_sentence;
use super::text::one_line;
use super::{Means, failure, tcp};
use crate::check::{Health, Observation};
use crate::plan::{Check, Grpc, Name, SocketTarget, TlsOptions};
use crate::tls;
use h2::client::SendRequest;
use http::{Request, Uri};
use message::Answer;
use opening::{Noted, Opening};
use rustls::pki_types::ServerName;
use std::io::Cursor;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio_rustls::TlsConnector;

/// Most of headers and trailers.
const HEADERS_LIMIT: u32 = 16 * 1024;
/// How long an orderly end may take when the answer is there.
const CLOSING: Duration = Duration::from_millis(200);

/// A request is sent from memory.
type Body = Cursor<Vec<u8>>;

/// Makes one observation. The caller keeps the time.
pub(super) async fn look(check: &Check, grpc: &Grpc, means: Means<'_>) -> Observation {
    let means = &means;
    match &grpc.address {
        SocketTarget::Unix(path) => {
            let place = path.display().to_string();
            means.progress.now(Doing::Connecting(place.clone()));
            match UnixStream::connect(path).await {
                Ok(stream) => ask(check, grpc, stream, &Asked { place, authority: "localhost".to_owned() }, means.progress).await,
                Err(error) => failure::of_connect(&error, &place),
            }
        }
        SocketTarget::HostPort(host, port) => look_at_host(check, grpc, host, *port, means).await,
    }
}

async fn look_at_host(check: &Check, grpc: &Grpc, host: &str, port: u16, means: &Means<'_>) -> Observation {
    let place = tcp::place(host, port);
    let Some(options) = &grpc.tls else {
        return match tcp::reach(host, port, means.lookups, means.progress).await {
            Ok((stream, _)) => ask(check, grpc, stream, &Asked { authority: place.clone(), place }, means.progress).await,
            Err(unreached) => unreached,
        };
    };
    // First what can be wrong with ourselves.
    let config = match tls_config(&check.name, options, means).await {
        Ok(config) => config,
        Err(trouble) => return trouble,
    };
    let name = options.server_name.as_deref().unwrap_or(host);
    let Ok(server_name) = ServerName::try_from(name.to_owned()) else {
        return Observation::new(Health::Unknown, format!("{name} is no name that TLS could ask for"));
    };
    let stream = match tcp::reach(host, port, means.lookups, means.progress).await {
        Ok((stream, _)) => stream,
        Err(unreached) => return unreached,
    };
    means.progress.now(Doing::ShakingHands(place.clone()));
    match TlsConnector::from(Arc::new(config)).connect(server_name, stream).await {
        Ok(stream) => ask(check, grpc, stream, &Asked { authority: tcp::place(name, port), place }, means.progress).await,
        Err(error) => failure::of_handshake(&error, &place),
    }
}

/// Errors are observations.
async fn tls_config(name: &Name, options: &TlsOptions, means: &Means<'_>) -> Result<rustls::ClientConfig, Observation> {
    let unknown = |trouble: String| Observation::new(Health::Unknown, trouble);
    let roots = match options.verify {
        true => means.roots.get(name, means.progress, options.ca_file.is_some()).await.map_err(unknown)?,
        false => None,
    };
    let first: Option<&PathBuf> = options.ca_file.as_ref().or(options.client.as_ref().map(|(cert, _)| cert));
    let config = match first.map(|path| path.display().to_string()) {
        // Without files nothing blocks.
        None => tls::client_config(options, roots.as_ref()),
        Some(path) => {
            let options = options.clone();
            let load = move || tls::client_config(&options, roots.as_ref());
            means.apart.look(name, &path, means.progress, load).await?
        }
    };
    let mut config = config.map_err(|error| unknown(one_sentence(&error)))?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

/// Who is asked.
struct Asked {
    /// For messages.
    place: String,
    /// For the request.
    authority: String,
}

async fn ask(check: &Check, grpc: &Grpc, stream: impl AsyncRead + AsyncWrite + Unpin, asked: &Asked, progress: &Progress) -> Observation {
    progress.now(Doing::WaitingForAnswer(asked.place.clone()));
    let request = match request(check.timeout, grpc.tls.is_some(), &asked.authority) {
        Ok(request) => request,
        Err(error) => return Observation::new(Health::Unknown, format!("the request cannot be made: {error}")),
    };
    let opening = Opening::default();
    let mut builder = h2::client::Builder::new();
    builder.enable_push(false).max_header_list_size(HEADERS_LIMIT);
    let stream = Noted { stream, opening: opening.clone() };
    let (sender, connection) = match builder.handshake::<_, Body>(stream).await {
        Ok(made) => made,
        Err(error) => return of_error(&error, &opening, &asked.place),
    };
    let mut connection = pin!(connection);
    let exchange = async {
        tokio::select! {
            // What has arrived before an end is an answer still.
            biased;
            answer = exchange(sender, request, message::request(&grpc.service)) => answer,
            error = async { match connection.as_mut().await { Ok(()) => std::future::pending().await, Err(error) => error } } => Err(error),
        }
    };
    let seen = match exchange.await {
        Ok(answer) => message::observation(&answer, &grpc.service, &asked.place),
        Err(error) => of_error(&error, &opening, &asked.place),
    };
    progress.now(Doing::Decided(seen.clone()));
    // With its last stream gone it says goodbye and ends; whether it can is nothing that the answer depends on.
    let _ = tokio::time::timeout(CLOSING, connection).await;
    seen
}

fn request(timeout: Duration, tls: bool, authority: &str) -> Result<Request<()>, http::Error> {
    let scheme = if tls { "https" } else { "http" };
    let uri = Uri::builder().scheme(scheme).authority(authority).path_and_query("/grpc.health.v1.Health/Check").build()?;
    // At most 8 digits; the unit m is milliseconds.
    let milliseconds = timeout.as_millis().clamp(1, 99_999_999);
    Request::post(uri)
        .header("te", "trailers")
        .header("content-type", "application/grpc")
        .header("user-agent", tls::USER_AGENT)
        .header("grpc-timeout", format!("{milliseconds}m"))
        .body(())
}

async fn exchange(sender: SendRequest<Body>, request: Request<()>, body: Vec<u8>) -> Result<Answer, h2::Error> {
    let mut sender = sender.ready().await?;
    let (answer, mut sending) = sender.send_request(request, false)?;
    sending.send_data(Cursor::new(body), true)?;
    let (head, mut receiving) = answer.await?.into_parts();
    let mut answer = Answer { http_status: head.status.as_u16(), headers: head.headers, ..Answer::default() };
    while let Some(chunk) = receiving.data().await {
        let chunk = chunk?;
        let room = message::ANSWER_LIMIT.saturating_sub(answer.body.len());
        answer.body.extend(chunk.iter().take(room));
        if chunk.len() > room {
            // No health service says so much: what there is is judged, and found to be no such answer.
            return Ok(answer);
        }
    }
    answer.trailers = receiving.trailers().await?;
    Ok(answer)
}

/// The observation for an exchange that failed.
fn of_error(error: &h2::Error, opening: &Opening, place: &str) -> Observation {
    let critical = |message| Observation::new(Health::Critical, message);
    if let Some(tls) = opening.tls_error() {
        return critical(failure::of_tls(&tls, place));
    }
    if let Some(other) = opening.other_protocol() {
        return critical(format!("{place} does not speak HTTP/2: {other}"));
    }
    if let Some(io) = error.get_io() {
        return match (opening.is_empty(), io.kind()) {
            (true, std::io::ErrorKind::ConnectionReset) => critical(format!("connection reset by {place}; does it speak gRPC?")),
            (true, _) => critical(format!("{place} closed the connection without an answer; does it speak gRPC?")),
            (false, _) => failure::of_traffic(io, place),
        };
    }
    let reason = error.reason().map_or_else(|| one_line(&error.to_string()), |reason| format!("{reason:?}"));
    match () {
        () if error.is_go_away() && error.is_remote() => critical(format!("{place} ended the connection (GOAWAY, {reason})")),
        () if error.is_reset() && error.is_remote() => critical(format!("{place} refused the request (RST_STREAM, {reason})")),
        () => critical(format!("{place} broke HTTP/2: {reason}; does it speak gRPC?")),
    }
}
