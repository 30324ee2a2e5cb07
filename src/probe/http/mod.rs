//! `type = "http"`: one request and what its answer must be.
//!
//! Every run opens a connection of its own (no keep-alive), so that a service that accepts no more connections shows.
//! No proxy of the environment is ever used. The body is read only where it matters, and at most 64 KiB of it.

mod client;
mod expect;
#[cfg(fuzzing)]
pub(super) mod fuzzing;

use super::clock::Dated;
use super::failure;
use super::progress::{Doing, Progress};
use super::text::{masked, place};
use super::threads::Pool;
use crate::check::{Health, Observation};
use crate::clock::Moment;
use crate::plan::{Http, Name, StatusRanges, TlsOptions};
use crate::secret::Secret;
use expect::Answer;
use reqwest::Url;
use reqwest::header::{CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue, LOCATION};
use std::io::Read;
use std::path::Path;
use std::time::Duration;

pub(super) use client::Clients;

/// What is read of a body.
const BODY_LIMIT: usize = 64 * 1024;
/// What is read of the body of an answer that has failed already, to be shown.
const SHOWN_LIMIT: usize = 4096;
/// How long such a body is waited for.
const SHOWN_PATIENCE: Duration = Duration::from_millis(500);
/// Largest password file.
const PASSWORD_LIMIT: u64 = 4096;

impl Clients {
    /// Makes one observation. The caller keeps the time.
    pub(super) async fn look(&self, name: &Name, http: &Http, progress: &Progress, files: &Pool) -> Observation {
        match self.request(name, http, progress, files).await {
            Err(trouble) => Observation::new(Health::Unknown, trouble),
            Ok(request) => answer(http, request, progress).await,
        }
    }

    /// Everything up to the first byte sent. An error here is trouble of our own or of the configuration.
    async fn request(&self, name: &Name, http: &Http, progress: &Progress, files: &Pool) -> Result<reqwest::RequestBuilder, String> {
        let client = self.client(name, http, progress).await?;
        let mut request = client.request(http.method.clone(), client::target(http)?).headers(headers(http)?);
        if let Some((user, password_file)) = &http.basic {
            let path = password_file.clone();
            let doing = Doing::ReadingFile(path.display().to_string());
            let read = files.run(name, progress, doing, move || password(&path)).await;
            let password = read.map_err(|error| format!("no thread to read {}: {error}", password_file.display()))??;
            request = request.basic_auth(user, Some(password.expose()));
        }
        if let Some(body) = &http.body {
            request = request.body(body.clone());
        }
        Ok(request)
    }
}

impl Clients {
    /// Asks `url` what time it is: any answer has a `Date`. The observation of a failure otherwise.
    pub(in crate::probe) async fn date(&self, name: &Name, url: &Url, progress: &Progress, files: &Pool) -> Result<Dated, Observation> {
        let http = plain_get(url.clone());
        let request = self.request(name, &http, progress, files).await.map_err(|trouble| Observation::new(Health::Unknown, trouble))?;
        let place = where_to(&http);
        progress.now(Doing::Connecting(place.clone()));
        let sent = Moment::now();
        let response =
            progress.follow(super::text::place(&http.url), request.send()).await.map_err(|error| failure::of_request(&error, &place))?;
        Ok(Dated { date_ms: crate::rpc::date_ms(response.headers()), sent, received: Moment::now() })
    }
}

fn plain_get(url: Url) -> Http {
    Http {
        url,
        method: reqwest::Method::GET,
        headers: Vec::new(),
        body: None,
        expect_status: StatusRanges(Vec::new()),
        warn_status: StatusRanges(Vec::new()),
        expect_headers: Vec::new(),
        expect_body: None,
        expect_json: Vec::new(),
        follow_redirects: false,
        unix_socket: None,
        proxy: None,
        basic: None,
        tls: TlsOptions { verify: true, ca_file: None, client: None, server_name: None },
    }
}

fn headers(http: &Http) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    if http.tls.server_name.is_some() {
        // The URL then carries the name for TLS; the request is still meant for the host that was written.
        let host = http.url.host_str().unwrap_or_default();
        let value = http.url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        headers.insert(HOST, value.parse().map_err(|_| format!("host {host} cannot be a header"))?);
    }
    let mut own = HeaderMap::new();
    for (name, value) in &http.headers {
        let name: HeaderName = name.parse().map_err(|_| format!("header {name} is not a valid name"))?;
        let value: HeaderValue = value.parse().map_err(|_| format!("the value of header {name} is not valid"))?;
        own.append(name, value);
    }
    for name in own.keys() {
        headers.remove(name);
    }
    for (name, value) in &own {
        headers.append(name, value.clone());
    }
    Ok(headers)
}

/// The first line of `path`. Blocks.
fn password(path: &Path) -> Result<Secret, String> {
    let shown = path.display();
    let file = std::fs::File::open(path).map_err(|error| format!("cannot read {shown}: {error}"))?;
    let mut bytes = zeroize::Zeroizing::new(Vec::with_capacity(256));
    file.take(PASSWORD_LIMIT + 1).read_to_end(&mut bytes).map_err(|error| format!("cannot read {shown}: {error}"))?;
    if bytes.len() as u64 > PASSWORD_LIMIT {
        return Err(format!("{shown} is larger than 4 KiB, that is no password"));
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| format!("{shown} is not UTF-8"))?;
    Ok(Secret::new(text.lines().next().unwrap_or_default()))
}

async fn answer(http: &Http, request: reqwest::RequestBuilder, progress: &Progress) -> Observation {
    let place = where_to(http);
    progress.now(Doing::Connecting(place.clone()));
    let mut response = match progress.follow(super::text::place(&http.url), request.send()).await {
        Ok(response) => response,
        Err(error) => return failure::of_request(&error, &place),
    };
    progress.now(Doing::ReadingAnswer(place.clone()));
    let mut judged = Answer { status: response.status().as_u16(), headers: response.headers().clone(), body: Vec::new(), cut: false };
    let url = masked(&http.url);
    let at_head = expect::head(http, &judged, &url);
    if at_head.health == Health::Critical {
        progress.now(Doing::Decided(at_head.clone()));
        // Whatever arrives in time is shown; a body that fails now tells nothing new.
        let _ = tokio::time::timeout(SHOWN_PATIENCE, read_body(&mut response, &mut judged, SHOWN_LIMIT)).await;
        return with_output(at_head, &judged);
    }
    if http.expect_body.is_none() && http.expect_json.is_empty() {
        return off_host(http, &judged, at_head);
    }
    if let Err(error) = read_body(&mut response, &mut judged, BODY_LIMIT).await {
        return with_output(failure::of_request(&error, &place), &judged);
    }
    match expect::body(http, &judged, &url) {
        Some(unmet) => with_output(unmet, &judged),
        None => with_output(off_host(http, &judged, at_head), &judged),
    }
}

/// Who is connected to, for messages.
fn where_to(http: &Http) -> String {
    match (&http.unix_socket, &http.proxy) {
        (Some(path), _) => path.display().to_string(),
        (None, Some(proxy)) => format!("{} (through the proxy {})", place(&http.url), place(proxy)),
        (None, None) => place(&http.url),
    }
}

async fn read_body(response: &mut reqwest::Response, answer: &mut Answer, limit: usize) -> Result<(), reqwest::Error> {
    while let Some(chunk) = response.chunk().await? {
        let room = limit.saturating_sub(answer.body.len());
        answer.body.extend(chunk.iter().take(room));
        if chunk.len() > room {
            answer.cut = true;
            return Ok(());
        }
    }
    Ok(())
}

/// A redirect that was to be followed but left the host is a reason to look, as for the kubelet.
fn off_host(http: &Http, answer: &Answer, good: Observation) -> Observation {
    let location = answer.headers.get(LOCATION).filter(|_| http.follow_redirects && (300..400).contains(&answer.status));
    let Some(location) = location else { return good };
    let to = location.to_str().ok().and_then(|text| http.url.join(text).ok()).map_or_else(|| "elsewhere".to_owned(), |url| masked(&url));
    Observation::new(Health::Warning, format!("HTTP {} from {}: not followed to {to}, another host", answer.status, masked(&http.url)))
}

fn with_output(mut observation: Observation, answer: &Answer) -> Observation {
    let shown = answer.body.get(..answer.body.len().min(SHOWN_LIMIT)).unwrap_or_default();
    observation.output = crate::check::clip(super::text::printable(&String::from_utf8_lossy(shown)), crate::check::OUTPUT_LIMIT);
    observation
}
