//! How services of Alibaba Cloud are reached: certificates, proxy, time limits, and whose time certificates are judged by. All clients
//! of these services share one [`Reach`], and with it one HTTP client and its certificates.

use super::caller::ClientError;
use crate::clock::{self, Moment};
use crate::instance::Metadata;
use crate::plan::{self, ClockTrust, Plan};
use crate::tls;
use crate::transport::{self, CertificateTime, Trouble};
use reqwest::Url;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Connecting takes at most this (and at most half of an attempt), so that the next host gets its turn; less than a look, which so
/// learns of a host that cannot be reached.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Connections are kept for the send that follows a look, not longer.
const IDLE_TIMEOUT: Duration = Duration::from_secs(5);

/// The time of the metadata service is asked for again when it is older. An offset kept against the boot clock drifts by milliseconds
/// in this time, but a machine that was frozen and copied meanwhile is off by as long as that took.
const TIME_FRESH_FOR: Duration = Duration::from_secs(60);

/// Of an attempt, where nothing else is said.
const BARE_TIMEOUT: Duration = Duration::from_secs(10);

/// The most that `ALIBABA_CLOUD_USER_AGENT` may add.
const AGENT_LIMIT: usize = 256;

/// How services are reached. Clones share the HTTP client.
#[derive(Clone, Debug)]
pub struct Reach {
    ca_file: Option<PathBuf>,
    timeout: Duration,
    proxy: Option<Url>,
    trust: ClockTrust,
    /// What requests say about who asks.
    agent: String,
    /// A witness of the time.
    metadata: Option<Arc<Metadata>>,
    encrypted: Arc<Mutex<Option<reqwest::Client>>>,
    certificates: Certificates,
}

/// When certificates are read, which takes longer than sending a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Certificates {
    /// When a client is made, so that trouble with them shows at once.
    AtOnce,
    /// With the first request.
    WhenNeeded,
}

/// An HTTP client with what is needed to explain its troubles.
#[derive(Clone, Debug)]
pub(crate) struct Http {
    /// None before certificates are needed.
    client: Option<reqwest::Client>,
    reach: Reach,
    plain: bool,
}

impl Reach {
    /// As `settings` say, by this host's clock, and with nobody to ask for the time.
    pub fn of(settings: &plan::Ros) -> Self {
        Self {
            ca_file: settings.ca_file.clone(),
            timeout: settings.timeout,
            proxy: settings.proxy.clone(),
            trust: ClockTrust::System,
            agent: tls::USER_AGENT.to_owned(),
            metadata: None,
            encrypted: Arc::default(),
            certificates: Certificates::AtOnce,
        }
    }

    /// By the system's certificates and clock, and no proxy.
    pub fn bare() -> Self {
        Self {
            ca_file: None,
            timeout: BARE_TIMEOUT,
            proxy: None,
            trust: ClockTrust::System,
            agent: tls::USER_AGENT.to_owned(),
            metadata: None,
            encrypted: Arc::default(),
            certificates: Certificates::AtOnce,
        }
    }

    /// The same past any proxy.
    #[must_use]
    pub fn without_proxy(&self) -> Self {
        match &self.proxy {
            None => self.clone(),
            Some(_) => Self { proxy: None, encrypted: Arc::default(), ..self.clone() },
        }
    }

    /// As the plan says, with the metadata service as a witness of the time.
    pub fn new(plan: &Plan, metadata: &Arc<Metadata>) -> Self {
        Self::of(&plan.ros).with_time(metadata, plan.clock_trust)
    }

    /// With the metadata service as a witness of the time, which certificates are judged by if `trust` says so.
    #[must_use]
    pub fn with_time(self, metadata: &Arc<Metadata>, trust: ClockTrust) -> Self {
        Self { metadata: Some(Arc::clone(metadata)), trust, encrypted: Arc::default(), ..self }
    }

    /// With what `ALIBABA_CLOUD_USER_AGENT` adds to the name of this agent, as for the SDKs. What cannot stand in a header is left out.
    #[must_use]
    pub fn calling_itself(self, environment: &HashMap<String, String>) -> Self {
        let usable = |more: &&String| (1..=AGENT_LIMIT).contains(&more.len()) && more.bytes().all(|byte| (0x20..0x7f).contains(&byte));
        match environment.get("ALIBABA_CLOUD_USER_AGENT").filter(usable) {
            Some(more) => Self { agent: format!("{} {}", tls::USER_AGENT, more.trim()), encrypted: Arc::default(), ..self },
            None => self,
        }
    }

    /// For clients that are perhaps never asked anything: certificates are read with the first request, which blocks then.
    #[must_use]
    pub(crate) fn with_certificates_when_needed(self) -> Self {
        Self { certificates: Certificates::WhenNeeded, ..self }
    }

    /// The time of the metadata service, if certificates are to be judged by it.
    fn trusted(&self) -> Option<&Arc<Metadata>> {
        self.metadata.as_ref().filter(|_| self.trust == ClockTrust::Metadata)
    }

    /// The client for what is encrypted, which all share.
    fn encrypted(&self) -> Result<reqwest::Client, ClientError> {
        let mut shared = self.encrypted.lock().unwrap_or_else(PoisonError::into_inner);
        match &*shared {
            Some(client) => Ok(client.clone()),
            None => Ok(shared.insert(self.build(false)?).clone()),
        }
    }

    /// A client that was not made before: blocks on files of certificates, unless for `plain`.
    fn build(&self, plain: bool) -> Result<reqwest::Client, ClientError> {
        self.builder(plain)?.build().map_err(ClientError::Http)
    }

    fn builder(&self, plain: bool) -> Result<reqwest::ClientBuilder, ClientError> {
        let builder = if plain {
            transport::unencrypted_builder()?
        } else {
            tls::client_builder_at(self.ca_file.as_deref(), self.trusted().map(|metadata| Arc::clone(metadata) as _))?
        };
        let builder = builder
            .no_proxy()
            .user_agent(&self.agent)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .connect_timeout(CONNECT_TIMEOUT.min(self.timeout / 2))
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(1);
        match &self.proxy {
            // What is not encrypted goes to loopback only, and past any proxy.
            Some(proxy) if !plain => Ok(builder.proxy(reqwest::Proxy::https(proxy.clone()).map_err(ClientError::Http)?)),
            _ => Ok(builder),
        }
    }
}

/// The HTTP client for `reach`; one for `plain` HTTP (loopback) needs no certificates.
///
/// # Errors
/// If certificates cannot be read, or the client cannot be made.
pub(crate) fn http_client(plain: bool, reach: &Reach) -> Result<Http, ClientError> {
    let client = match (plain, reach.certificates) {
        (true, _) => Some(reach.build(true)?),
        (false, Certificates::AtOnce) => Some(reach.encrypted()?),
        (false, Certificates::WhenNeeded) => None,
    };
    Ok(Http { client, reach: reach.clone(), plain })
}

impl Http {
    /// To send requests with.
    ///
    /// # Errors
    /// If certificates were not needed before, and cannot be read.
    pub(crate) fn client(&self) -> Result<reqwest::Client, Trouble> {
        match &self.client {
            Some(client) => Ok(client.clone()),
            None => self.reach.encrypted().map_err(|error| {
                let text = error.to_string();
                let (message, hint) =
                    text.split_once("\nhint: ").map_or((text.as_str(), None), |(said, hint)| (said, Some(hint.to_owned())));
                Trouble { connected: false, message: message.to_owned(), hint }
            }),
        }
    }

    /// Before an attempt: where certificates are judged by the time of the metadata service, that is known and not old.
    pub(crate) async fn prepare(&self) {
        if let Some(metadata) = self.reach.trusted().filter(|_| !self.plain) {
            metadata.ask_time(TIME_FRESH_FOR).await;
        }
    }

    /// Why there is no answer of `host`, in words: whether the proxy is to blame, or this host's clock. `server_ms` is the service's
    /// own time, if it was ever told. Asks for the time until `deadline` at most.
    pub(crate) async fn explain(&self, error: &reqwest::Error, host: &str, server_ms: Option<i64>, deadline: Instant) -> Trouble {
        let proxy = self.reach.proxy.as_ref().filter(|_| !self.plain);
        let trouble = match proxy {
            Some(proxy) => transport::describe_through(error, host, &super::caller::host_name(proxy)),
            None => transport::describe(error, host),
        };
        match transport::certificate_time(error) {
            Some(certificate) => self.explain_time(trouble, certificate, server_ms, deadline).await,
            None => trouble,
        }
    }

    /// A certificate that looks expired or not yet valid: the clock's fault, or the certificate's?
    async fn explain_time(&self, trouble: Trouble, certificate: CertificateTime, server_ms: Option<i64>, deadline: Instant) -> Trouble {
        if let Some(metadata) = &self.reach.metadata {
            // What it said before counts if it does not answer in time.
            let _ = tokio::time::timeout_at(deadline, metadata.ask_time(TIME_FRESH_FOR)).await;
        }
        let now = Moment::now();
        let of_metadata = self.reach.metadata.as_ref().and_then(|metadata| metadata.time_ms(now));
        let witness = match (of_metadata, server_ms) {
            (Some(ms), _) => Some((ms, "the metadata service")),
            (None, Some(ms)) => Some((ms, "the service itself")),
            (None, None) => None,
        };
        let by_metadata = of_metadata.is_some() && self.reach.trusted().is_some();
        judge(&trouble, certificate, &Witnessed { system_ms: now.wall_ms, witness, by_metadata })
    }
}

/// What the clocks say.
struct Witnessed {
    system_ms: i64,
    /// Another clock, and whose.
    witness: Option<(i64, &'static str)>,
    /// The certificate was judged by the metadata service's time.
    by_metadata: bool,
}

fn judge(trouble: &Trouble, certificate: CertificateTime, said: &Witnessed) -> Trouble {
    let system = clock::rfc3339(said.system_ms);
    let (more, hint) = match said.witness {
        None => (
            format!("this host's clock says {system}"),
            "with a wrong clock good certificates look expired or not yet valid; compare it with another host's".to_owned(),
        ),
        Some((ms, _)) if said.by_metadata => (
            format!("the metadata service says {}, and [clock] trust = \"metadata\" goes by that", clock::rfc3339(ms)),
            "the certificate itself is out of its time: whoever runs the host must renew it".to_owned(),
        ),
        Some((ms, whose)) if certificate.is_valid_at(ms) => (
            format!("this host's clock says {system}; {whose} says {}", clock::rfc3339(ms)),
            "set the clock (chrony), or allow [clock] trust = \"metadata\"".to_owned(),
        ),
        Some((ms, whose)) => (
            format!("this host's clock says {system}, and {whose} says {}", clock::rfc3339(ms)),
            "so it is not the clock: whoever runs the host must renew its certificate".to_owned(),
        ),
    };
    Trouble { message: format!("{}; {more}", trouble.message), hint: Some(hint), connected: trouble.connected }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpSocket, TcpStream};

    /// A client as all have it, to whom `ros.test` is at `addresses`.
    fn client(addresses: &[SocketAddr]) -> reqwest::Client {
        let reach = Reach::of(&plan::testing::plan(Vec::new(), Vec::new()).ros);
        reach.builder(true).unwrap().resolve_to_addrs("ros.test", addresses).build().unwrap()
    }

    async fn answering(address: SocketAddr) -> TcpListener {
        TcpListener::bind(address).await.unwrap()
    }

    async fn serve(listener: TcpListener) {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut byte = [0];
        stream.read_exact(&mut byte).await.unwrap();
        stream.write_all(b"HTTP/1.1 204 X\r\nConnection: close\r\n\r\n").await.unwrap();
        // What the client still sends must not be answered by a reset.
        let _ = stream.read_to_end(&mut Vec::new()).await;
    }

    async fn asks(addresses: Vec<SocketAddr>, port: u16) -> u16 {
        let answer = client(&addresses).get(format!("http://ros.test:{port}/")).send().await;
        answer.unwrap_or_else(|error| panic!("{}", transport::describe(&error, "ros.test").message)).status().as_u16()
    }

    /// Takes no connections: its queue is full, so further ones get no answer at all, as behind a dead route.
    async fn dead(address: SocketAddr) -> (TcpListener, Vec<TcpStream>) {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.unwrap();
        socket.bind(address).unwrap();
        let listener = socket.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let mut taken = Vec::new();
        while let Ok(Ok(stream)) = tokio::time::timeout(Duration::from_millis(100), TcpStream::connect(address)).await {
            taken.push(stream);
            assert!(taken.len() < 64, "the queue never fills");
        }
        (listener, taken)
    }

    const V4: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
    const V6: SocketAddr = SocketAddr::new(std::net::IpAddr::V6(Ipv6Addr::LOCALHOST), 0);

    #[test]
    fn a_certificate_out_of_its_time_is_the_clocks_fault_only_if_it_is_good_by_another_clock() {
        const YEAR_MS: i64 = 365 * 86_400_000;
        let trouble = Trouble { connected: false, message: "TLS failed".to_owned(), hint: None };
        let good_until = |ms| CertificateTime { not_before_ms: None, not_after_ms: Some(ms) };
        let hint = |witness, by_metadata, certificate| {
            let said = Witnessed { system_ms: 60 * YEAR_MS, witness, by_metadata };
            judge(&trouble, certificate, &said).hint.unwrap()
        };
        let service = Some((50 * YEAR_MS, "the service itself"));
        assert!(hint(service, false, good_until(55 * YEAR_MS)).starts_with("set the clock"));
        assert!(hint(service, false, good_until(45 * YEAR_MS)).starts_with("so it is not the clock"));
        assert!(hint(Some((50 * YEAR_MS, "the metadata service")), true, good_until(45 * YEAR_MS)).starts_with("the certificate itself"));
        assert!(hint(None, false, good_until(45 * YEAR_MS)).starts_with("with a wrong clock"));
    }

    #[tokio::test]
    async fn a_host_with_addresses_of_one_family_only_is_reached() {
        for only in [V4, V6] {
            let listener = answering(only).await;
            let address = listener.local_addr().unwrap();
            let (status, ()) = tokio::join!(asks(vec![address], address.port()), serve(listener));
            assert_eq!(status, 204);
        }
    }

    #[tokio::test]
    async fn a_host_whose_address_of_one_family_is_dead_is_reached_by_the_other_whichever_comes_first() {
        for (good, bad) in [(V4, V6), (V6, V4)] {
            let listener = answering(good).await;
            let good = listener.local_addr().unwrap();
            let mut bad = bad;
            bad.set_port(good.port());
            let _dead = dead(bad).await;
            let (status, ()) = tokio::join!(asks(vec![bad, good], good.port()), serve(listener));
            assert_eq!(status, 204, "{bad} is dead");
        }
    }
}
