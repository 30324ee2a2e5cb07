//! Name look-ups of checks, on their own threads, so that a silent name server holds up neither other checks nor the look-up of ROS.
//!
//! Who asks for a name that is being looked up joins that look-up: a check that times out and asks again takes no second thread.

use super::progress::{Doing, Progress};
use super::threads::Pool;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// Addresses of one name that are looked at.
const ADDRESSES: usize = 64;

/// How a name becomes addresses.
pub(super) type Resolve = fn(&str) -> io::Result<Vec<IpAddr>>;

/// `None` while the look-up runs.
type Answer = Option<Result<Vec<IpAddr>, Arc<str>>>;

/// Why a name has no address.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// The system said no.
    #[error("name {name} does not resolve ({reason})")]
    NoAddress {
        /// The name.
        name: String,
        /// In the words of getaddrinfo(3).
        reason: Arc<str>,
    },
    /// No thread could be started: our own trouble.
    #[error("no thread for the look-up of {name}: {reason}")]
    NoThread {
        /// The name.
        name: String,
        /// What the system said.
        reason: Arc<str>,
    },
}

/// The look-ups in flight; clones share them.
#[derive(Clone, Debug)]
pub(super) struct Lookups {
    pool: Pool,
    resolve: Resolve,
    /// One entry for each occupied thread, so no larger than the pool.
    running: Arc<Mutex<HashMap<String, watch::Receiver<Answer>>>>,
}

/// getaddrinfo(3), as every other program of this host resolves names (nsswitch, resolved, hosts file).
pub(super) fn system(name: &str) -> io::Result<Vec<IpAddr>> {
    Ok((name, 0).to_socket_addrs()?.map(|address| address.ip()).take(ADDRESSES).collect())
}

impl Lookups {
    pub(super) fn new(pool: Pool, resolve: Resolve) -> Self {
        Self { pool, resolve, running: Arc::default() }
    }

    /// All addresses of `host`, in the order in which the system wants them tried. Never empty. Literal addresses take no thread.
    pub(super) async fn addresses(&self, host: &str, progress: &Progress) -> Result<Vec<IpAddr>, Trouble> {
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        if let Ok(literal) = bare.parse() {
            return Ok(vec![literal]);
        }
        let mut answer = match self.find(bare) {
            Some(running) => running,
            None => self.begin(bare, progress).await?,
        };
        progress.now(Doing::LookingUp(bare.to_owned()));
        let no_address = |reason| Trouble::NoAddress { name: bare.to_owned(), reason };
        let result = match answer.wait_for(Option::is_some).await {
            Ok(found) => found.clone(),
            Err(_) => None,
        };
        match result {
            Some(Ok(found)) if found.is_empty() => Err(no_address(Arc::from("no address"))),
            Some(Ok(found)) => Ok(found),
            Some(Err(reason)) => Err(no_address(reason)),
            None => Err(Trouble::NoThread { name: bare.to_owned(), reason: Arc::from("it ended without an answer") }),
        }
    }

    fn find(&self, name: &str) -> Option<watch::Receiver<Answer>> {
        self.running().get(name).cloned()
    }

    fn running(&self) -> MutexGuard<'_, HashMap<String, watch::Receiver<Answer>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn begin(&self, name: &str, progress: &Progress) -> Result<watch::Receiver<Answer>, Trouble> {
        let no_thread = |error: io::Error| Trouble::NoThread { name: name.to_owned(), reason: Arc::from(error.to_string()) };
        let seat = self.pool.seat(progress).await.map_err(no_thread)?;
        let (done, answer) = watch::channel(None);
        {
            let mut running = self.running();
            // Somebody else may have begun while this one waited for a seat.
            if let Some(other) = running.get(name) {
                return Ok(other.clone());
            }
            running.insert(name.to_owned(), answer.clone());
        }
        let (resolve, all, owned) = (self.resolve, Arc::clone(&self.running), name.to_owned());
        let started = seat.start(move || {
            let found = resolve(&owned).map_err(|error| reason(&error));
            all.lock().unwrap_or_else(PoisonError::into_inner).remove(&owned);
            done.send_replace(Some(found));
        });
        if let Err(error) = started {
            self.running().remove(name);
            return Err(no_thread(error));
        }
        Ok(answer)
    }
}

/// std wraps what getaddrinfo said into a sentence of its own; only its end helps a person.
fn reason(error: &io::Error) -> Arc<str> {
    let text = error.to_string();
    let said = text.strip_prefix("failed to lookup address information: ").unwrap_or(&text);
    Arc::from(said.to_lowercase())
}

/// Look-ups for an HTTP client. `alias` maps the name of a `server_name` to the host that is really meant.
pub(super) struct Resolver {
    /// Who looks up.
    pub(super) lookups: Lookups,
    /// Name in the URL, host to look up.
    pub(super) alias: Option<(String, String)>,
}

impl reqwest::dns::Resolve for Resolver {
    fn resolve(&self, name: reqwest::dns::Name) -> reqwest::dns::Resolving {
        let host = match &self.alias {
            Some((from, to)) if from.eq_ignore_ascii_case(name.as_str()) => to.clone(),
            _ => name.as_str().to_owned(),
        };
        let (lookups, (progress, place)) = (self.lookups.clone(), Progress::of_run());
        Box::pin(async move {
            let found = lookups.addresses(&host, &progress).await?;
            progress.now(Doing::Connecting(place));
            let addresses: reqwest::dns::Addrs = Box::new(found.into_iter().map(|ip| SocketAddr::new(ip, 0)));
            Ok(addresses)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Health;
    use crate::probe::within;
    use std::sync::mpsc;
    use std::time::Duration;

    /// Hangs for names that begin with `hang`, until the test process ends.
    fn hanging(name: &str) -> io::Result<Vec<IpAddr>> {
        if name.starts_with("hang") {
            let (_never, forever) = mpsc::channel::<()>();
            let _keep = std::mem::ManuallyDrop::new(_never);
            let _ = forever.recv();
        }
        if name.starts_with("gone") {
            return Err(io::Error::other("failed to lookup address information: Name or service not known"));
        }
        Ok(vec![IpAddr::from([127, 0, 0, 1])])
    }

    fn lookups(threads: usize) -> Lookups {
        Lookups::new(Pool::new("lookup", threads), hanging)
    }

    #[tokio::test]
    async fn a_name_that_does_not_resolve_is_named() {
        let error = lookups(1).addresses("gone.internal", &Progress::default()).await.unwrap_err();
        assert_eq!(error.to_string(), "name gone.internal does not resolve (name or service not known)");
    }

    #[tokio::test]
    async fn scenario_20_a_hanging_look_up_blocks_no_other_and_takes_one_thread_however_often_it_is_asked() {
        let lookups = lookups(2);
        let progress = Progress::default();
        for _ in 0..20 {
            let asked = tokio::time::timeout(Duration::from_millis(2), lookups.addresses("hang.internal", &progress)).await;
            assert!(asked.is_err());
        }
        assert_eq!(lookups.pool_free(), 1);
        assert_eq!(lookups.addresses("good.internal", &progress).await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn when_all_look_up_threads_hang_the_observation_is_unknown_and_says_so() {
        let lookups = lookups(2);
        let progress = Progress::default();
        for name in ["hang1", "hang2"] {
            let _ = tokio::time::timeout(Duration::from_millis(2), lookups.addresses(name, &progress)).await;
        }
        let run = async {
            let found = lookups.addresses("good.internal", &progress).await;
            panic!("there was no free thread, yet {found:?}")
        };
        let observation = within(Duration::from_millis(20), &progress, run).await;
        assert_eq!(observation.health, Health::Unknown);
        assert_eq!(observation.message, "no free lookup thread for 20ms: all 2 hang in the work of other checks");
        // Literal addresses need none.
        assert!(lookups.addresses("[::1]", &progress).await.is_ok());
    }

    impl Lookups {
        fn pool_free(&self) -> usize {
            self.pool.free()
        }
    }
}
