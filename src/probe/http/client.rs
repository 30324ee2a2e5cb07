//! HTTP clients that are kept between runs: parsing certificates for every run would cost more than the run. Checks of plain HTTP that want nothing
//! special share one; each other check has its own.
//!
//! A client of its own is made anew when the configuration of its check or one of its files has changed, and after an hour, so that a renewed
//! certificate store of the system is read. There are no more clients than checks: a reload forgets them all.

use crate::plan::{Http, Name};
use crate::probe::lookup::{Lookups, Resolver};
use crate::probe::progress::{Doing, Progress};
use crate::probe::roots::{MAX_AGE, SystemRoots, one_sentence};
use crate::probe::threads::Pool;
use crate::tls;
use reqwest::Url;
use rustls::ClientConfig;
use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll};
use tokio::time::Instant;

/// Redirects that are followed.
const REDIRECTS: usize = 5;

/// The clients of all checks.
pub(crate) struct Clients {
    files: Pool,
    lookups: Lookups,
    own: Mutex<HashMap<Name, Kept>>,
    shared: OnceLock<reqwest::Client>,
    roots: SystemRoots,
    /// TLS of the clients that never speak it, and have no files for it.
    unused: OnceLock<ClientConfig>,
}

struct Kept {
    http: Http,
    stamps: Vec<Stamp>,
    built: Instant,
    client: reqwest::Client,
}

/// Device, inode, size and time of change of a file; `None` for a file that cannot be read.
type Stamp = Option<(u64, u64, u64, i64, i64)>;

impl Clients {
    /// No client yet.
    pub(crate) fn new(files: Pool, lookups: Lookups, roots: SystemRoots) -> Self {
        Self { files, lookups, roots, own: Mutex::default(), shared: OnceLock::new(), unused: OnceLock::new() }
    }

    /// Forgets all clients that depend on what a check says.
    pub(crate) fn forget(&self) {
        self.own().clear();
    }

    fn own(&self) -> MutexGuard<'_, HashMap<Name, Kept>> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The client for `http`, made anew if need be. Errors are sentences for a person.
    pub(super) async fn client(&self, name: &Name, http: &Http, progress: &Progress) -> Result<reqwest::Client, String> {
        if is_plain(http) {
            return match self.shared.get() {
                Some(shared) => Ok(shared.clone()),
                None => self.build(name, http, progress).await.map(|client| self.shared.get_or_init(|| client).clone()),
            };
        }
        let paths = paths(http);
        let stamps = match paths.first() {
            None => Vec::new(),
            Some(first) => self.on_files(name, progress, first.clone(), move || paths.iter().map(|path| stamp(path)).collect()).await?,
        };
        if let Some(client) = self.kept(name, http, &stamps) {
            return Ok(client);
        }
        let client = self.build(name, http, progress).await?;
        let kept = Kept { http: http.clone(), stamps, built: Instant::now(), client: client.clone() };
        self.own().insert(Arc::clone(name), kept);
        Ok(client)
    }

    fn kept(&self, name: &Name, http: &Http, stamps: &[Stamp]) -> Option<reqwest::Client> {
        let own = self.own();
        let kept = own.get(name)?;
        let fresh = kept.built.elapsed() < MAX_AGE && kept.stamps == stamps && kept.http == *http;
        fresh.then(|| kept.client.clone())
    }

    async fn on_files<T: Send + 'static>(
        &self,
        name: &Name,
        progress: &Progress,
        path: PathBuf,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, String> {
        let doing = Doing::ReadingFile(path.display().to_string());
        self.files.run(name, progress, doing, work).await.map_err(|error| format!("no thread to read {}: {error}", path.display()))
    }

    async fn build(&self, name: &Name, http: &Http, progress: &Progress) -> Result<reqwest::Client, String> {
        if http.proxy.is_some() && http.tls.server_name.is_some() {
            return Err("server_name and proxy do not go together".to_owned());
        }
        let roots = if needs_roots(http) { self.roots.get(name, progress, http.tls.ca_file.is_some()).await? } else { None };
        let options = http.tls.clone();
        let config = match paths(http).into_iter().next() {
            Some(first) => self.on_files(name, progress, first, move || tls::client_config(&options, roots.as_ref())).await?,
            // Without files nothing blocks, and nothing is in it that a reload must forget. Each client of the usual plain check would have some KiB of
            // its own.
            None if !speaks_tls(http) => match self.unused.get() {
                Some(unused) => Ok(unused.clone()),
                None => tls::client_config(&options, roots.as_ref()).map(|config| self.unused.get_or_init(|| config).clone()),
            },
            None => tls::client_config(&options, roots.as_ref()),
        };
        let config = config.map_err(|error| one_sentence(&error))?;
        let resolver = Resolver { lookups: self.lookups.clone(), alias: alias(http) };
        let mut builder = tls::plain_builder(config).pool_max_idle_per_host(0).dns_resolver(resolver).connector_layer(Watched);
        if http.follow_redirects {
            builder = builder.redirect(same_host(http));
        }
        if let Some(path) = &http.unix_socket {
            builder = builder.unix_socket(path.clone());
        }
        if let Some(proxy) = &http.proxy {
            let proxy = reqwest::Proxy::all(proxy.clone()).map_err(|_| "the proxy is not a usable URL".to_owned())?;
            builder = builder.proxy(proxy);
        }
        builder.build().map_err(|error| format!("no HTTP client can be made: {}", error.without_url()))
    }
}

/// Whether its client is like that of every other check of which this is so.
fn is_plain(http: &Http) -> bool {
    !speaks_tls(http) && http.unix_socket.is_none() && http.proxy.is_none() && http.tls.server_name.is_none() && paths(http).is_empty()
}

/// Plain HTTP to one place needs no certificate store, and so does `tls_verify = false`.
fn needs_roots(http: &Http) -> bool {
    http.tls.verify && speaks_tls(http)
}

/// Whether it may come to a handshake.
fn speaks_tls(http: &Http) -> bool {
    let https = |url: &Url| url.scheme() == "https";
    https(&http.url) || http.follow_redirects || http.proxy.as_ref().is_some_and(https)
}

/// Files whose change makes a client stale.
fn paths(http: &Http) -> Vec<PathBuf> {
    let client = http.tls.client.iter().flat_map(|(cert, key)| [cert.clone(), key.clone()]);
    http.tls.ca_file.iter().cloned().chain(client).collect()
}

fn stamp(path: &Path) -> Stamp {
    let meta = std::fs::metadata(path).ok()?;
    Some((meta.dev(), meta.ino(), meta.size(), meta.mtime(), meta.mtime_nsec()))
}

/// The URL that is asked for: with `server_name`, TLS takes its name from the URL and the resolver leads to the real host.
pub(super) fn target(http: &Http) -> Result<Url, String> {
    let mut url = http.url.clone();
    if let Some(name) = &http.tls.server_name {
        let wrong = || format!("server_name {name} is not a DNS name");
        url.set_host(Some(name)).map_err(|_| wrong())?;
        if !matches!(url.host(), Some(host) if name.eq_ignore_ascii_case(&host.to_string())) || name.parse::<std::net::IpAddr>().is_ok() {
            return Err(wrong());
        }
    }
    Ok(url)
}

fn alias(http: &Http) -> Option<(String, String)> {
    let name = http.tls.server_name.clone()?;
    Some((name, http.url.host_str()?.to_owned()))
}

/// Follows to the same host only, and never from https to http; else the redirect itself is the answer.
fn same_host(http: &Http) -> reqwest::redirect::Policy {
    let hosts: Vec<String> = http.url.host_str().map(str::to_owned).into_iter().chain(http.tls.server_name.clone()).collect();
    let secure = http.url.scheme() == "https";
    reqwest::redirect::Policy::custom(move |attempt| {
        let same = attempt.url().host_str().is_some_and(|to| hosts.iter().any(|host| host.eq_ignore_ascii_case(to)));
        if !same || (secure && attempt.url().scheme() != "https") {
            return attempt.stop();
        }
        if attempt.previous().len() > REDIRECTS { attempt.error("too many redirects") } else { attempt.follow() }
    })
}

/// Notes in [`Progress`] when the connection stands.
#[derive(Clone)]
struct Watched;

/// A connector that is watched.
#[derive(Clone)]
struct WatchedConnector<S> {
    inner: S,
}

impl<S> tower_layer::Layer<S> for Watched {
    type Service = WatchedConnector<S>;

    fn layer(&self, inner: S) -> Self::Service {
        WatchedConnector { inner }
    }
}

impl<S, R> tower_service::Service<R> for WatchedConnector<S>
where
    S: tower_service::Service<R>,
    S::Future: Send + 'static,
    S::Response: 'static,
    S::Error: 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let (progress, place) = Progress::of_run();
        progress.now(Doing::Connecting(place.clone()));
        let connecting = self.inner.call(request);
        Box::pin(async move {
            let connected = connecting.await;
            progress.now(Doing::WaitingForAnswer(place));
            connected
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_key_of_a_plain_check_is_kept_by_its_own_client_alone() {
        let directory = tempfile::TempDir::new().unwrap();
        let (certificate, key) = (directory.path().join("client.pem"), directory.path().join("client.key"));
        let made = rcgen::generate_simple_self_signed(["client".to_owned()]).unwrap();
        std::fs::write(&certificate, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();

        let pool = Pool::new("files", 1);
        let lookups = Lookups::new(pool.clone(), crate::probe::lookup::system);
        let clients = Clients::new(pool.clone(), lookups, SystemRoots::new(pool));
        let mut http = super::super::plain_get("http://127.0.0.1/".parse().unwrap());
        http.tls.client = Some((certificate, key));
        clients.client(&"first".into(), &http, &Progress::default()).await.unwrap();
        assert!(clients.unused.get().is_none());

        http.tls.client = None;
        clients.client(&"second".into(), &http, &Progress::default()).await.unwrap();
        assert!(!clients.unused.get().unwrap().client_auth_cert_resolver.has_certs());
    }
}
