//! Each host that may be asked for ROS: its name, a connection, its certificate, an answer. Nothing is signed here and nothing sent that
//! means anything: one GET of `/` without parameters, which ROS refuses with a RequestId.

use super::apart::apart;
use super::clock::Heard;
use super::proxy::{self, TUNNEL, Way};
use super::step::{Step, Verdict};
use crate::clock::{Moment, rfc3339};
use crate::config::{Loaded, Origin};
use crate::plan::{ClockTrust, Endpoint, Ros};
use crate::rpc::{self, Reach};
use crate::tls::{self, Chain, Roots, Trust};
use crate::transport;
use reqwest::Url;
use rustls::CertificateError;
use rustls::pki_types::ServerName;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

const DNS_TIMEOUT: Duration = Duration::from_secs(3);
const TCP_TIMEOUT: Duration = Duration::from_secs(2);
const TLS_TIMEOUT: Duration = Duration::from_secs(2);
const HTTP_TIMEOUT: Duration = Duration::from_secs(3);
/// Addresses of a name that are tried.
const ADDRESSES: usize = 16;
/// The most of an answer that is read.
const BODY_LIMIT: usize = 64 * 1024;
/// A certificate that ends sooner is worth a word.
const SOON_DAYS: i64 = 7;

/// Which hosts are asked, and whether they can be at all.
pub(super) const SETTINGS: &str = "endpoint.settings";
pub(super) const DNS: &str = "endpoint.dns";
pub(super) const TCP: &str = "endpoint.tcp";
pub(super) const TLS: &str = "endpoint.tls";
pub(super) const HTTP: &str = "endpoint.http";
/// Whether any host answers.
pub(super) const CHOICE: &str = "endpoint.choice";

/// What all hosts are looked at with.
#[derive(Clone)]
pub(super) struct Means {
    /// Whose hosts they are, as people call it: `ROS`; its table has the same name in lower case.
    pub(super) service: &'static str,
    pub(super) reach: Reach,
    pub(super) ca_file: Option<PathBuf>,
    /// What requests over TLS travel through, and where that is written.
    pub(super) proxy: Option<(Url, String)>,
    /// Whose time certificates are judged by.
    pub(super) trust: ClockTrust,
    /// What the metadata service says of the time.
    pub(super) heard: Option<Heard>,
    /// Where it is written which hosts are asked; none if nowhere.
    pub(super) chosen: Option<String>,
}

impl Means {
    /// As the configuration has it.
    pub(super) fn of(loaded: &Loaded, reach: &Reach, heard: Option<Heard>) -> Self {
        let plan = &loaded.plan;
        let Ros { ca_file, proxy, endpoint, .. } = &plan.ros;
        let proxy = proxy.clone().map(|proxy| (proxy, written(loaded, "proxy")));
        let chosen = match endpoint {
            Endpoint::Url(_) => Some(written(loaded, "endpoint")),
            Endpoint::Auto => {
                let given = |key: &&str| loaded.origins.get(&format!("ros.{key}")).is_some_and(|setting| setting.origin != Origin::Default);
                let keys: Vec<String> = ["home", "network"].iter().filter(|key| given(key)).map(|key| written(loaded, key)).collect();
                (!keys.is_empty()).then(|| keys.join(" and "))
            }
        };
        Self { service: "ROS", reach: reach.clone(), ca_file: ca_file.clone(), proxy, trust: plan.clock_trust, heard, chosen }
    }
}

/// A key of `[ros]` with the place it is written at: `home = "china" at FILE:LINE`, or `$ROS_ENDPOINT`.
fn written(loaded: &Loaded, key: &str) -> String {
    match loaded.origins.get(&format!("ros.{key}")) {
        Some(setting) if setting.origin == Origin::Default => format!("{key} = {}", setting.value),
        Some(setting) => match setting.origin {
            Origin::Environment { variable } => format!("${variable}"),
            _ => format!("{key} = {} at {}", setting.value, setting.origin),
        },
        None => key.to_owned(),
    }
}

/// Which hosts are asked about stacks in `region`, in which order, and who says so.
pub(super) fn settings(hosts: &[Url], region: &str, means: &Means, remembered: Option<&Url>) -> Step {
    let names: Vec<String> = hosts.iter().map(rpc::host_name).collect();
    let alone = if names.len() == 1 { " alone" } else { ", in this order" };
    let mut seen = format!("{}{alone}", names.join(", "));
    if let Some(chosen) = &means.chosen {
        seen.push_str(&format!(", by {chosen}"));
    }
    if let Some(first) = hosts.first().filter(|first| hosts.len() > 1 && remembered == Some(first)) {
        seen.push_str(&format!("; {} served before", rpc::host_name(first)));
    }
    if let Some((proxy, written)) = means.proxy.as_ref().filter(|_| hosts.iter().any(|url| url.scheme() == "https")) {
        seen.push_str(&format!("; through the proxy {}, by {written}", rpc::host_name(proxy)));
    }
    let step = Step::ok(SETTINGS, seen);
    if region.is_empty() { step } else { step.about(region) }
}

/// What came of one host.
struct Host {
    name: String,
    steps: Vec<Step>,
    answered: bool,
    heard: Option<Heard>,
}

/// What came of all.
pub(super) struct Found {
    pub(super) steps: Vec<Step>,
    /// A host answers as ROS does.
    pub(super) answered: bool,
    /// What the first that answered says of the time.
    pub(super) heard: Option<Heard>,
}

/// Looks at all hosts at once.
pub(super) async fn look(hosts: &[Url], means: &Means) -> Found {
    let (about_proxy, way) = proxy::look(hosts, means).await;
    let mut running = JoinSet::new();
    for (position, url) in hosts.iter().cloned().enumerate() {
        let (means, way) = (means.clone(), way.clone());
        running.spawn(async move { (position, one(&url, &means, &way).await) });
    }
    let mut looked: Vec<(usize, Host)> = Vec::new();
    while let Some(ended) = running.join_next().await {
        looked.extend(ended.ok());
    }
    looked.sort_by_key(|(position, _)| *position);
    let looked: Vec<Host> = looked.into_iter().map(|(_, host)| host).collect();
    let found = summary(looked, means.service, means.chosen.as_deref());
    Found { steps: about_proxy.into_iter().chain(found.steps).collect(), ..found }
}

/// One host that answers is enough: what is wrong with the others is told, but is no trouble then.
fn summary(looked: Vec<Host>, service: &str, chosen: Option<&str>) -> Found {
    let answering: Vec<&str> = looked.iter().filter(|host| host.answered).map(|host| host.name.as_str()).collect();
    let choice = match answering.as_slice() {
        [] => Step::failed(CHOICE, format!("no host of {service} answers")).because("see the first step of each host that failed").remedy(
            match chosen {
                Some(chosen) => format!("mend the way to one of them, or let others be asked: these were chosen by {chosen}"),
                None => format!(
                    "mend the way to one of them; where there is another way, endpoint under [{}] or proxy under [ros]",
                    service.to_lowercase()
                ),
            },
        ),
        [host, ..] if looked.len() == 1 => Step::ok(CHOICE, format!("{host} answers")),
        [host, ..] => Step::ok(CHOICE, format!("{} of {} hosts answer, {host} first", answering.len(), looked.len())),
    };
    let (answered, why) = (!answering.is_empty(), answering.first().map(|host| format!("not needed: {host} answers")));
    let heard = looked.iter().find_map(|host| host.heard.filter(|_| host.answered));
    let mut steps = Vec::new();
    for host in looked {
        match &why {
            Some(why) if !host.answered => steps.extend(host.steps.into_iter().map(|step| step.unneeded(why))),
            _ => steps.extend(host.steps),
        }
    }
    steps.push(choice);
    Found { steps, answered, heard }
}

async fn one(url: &Url, means: &Means, way: &Way) -> Host {
    let name = rpc::host_name(url);
    let mut host = Host { name, steps: Vec::new(), answered: false, heard: None };
    let ended = chain(url, means, way, &mut host).await;
    let order = match (url.scheme(), way) {
        ("http", _) => &[DNS, TCP, HTTP][..],
        (_, Way::Direct) => &[DNS, TCP, TLS, HTTP][..],
        _ => &[proxy::PROXY, TUNNEL, TLS, HTTP][..],
    };
    if let Err(failed) = ended {
        let after = order.iter().skip_while(|step| **step != failed).skip(1);
        host.steps.extend(after.map(|step| Step::depends(*step, failed)));
    }
    let name = host.name.clone();
    host.steps = host.steps.into_iter().map(|step| step.about(&name)).collect();
    host
}

/// One step after the other; the name of the one that failed.
async fn chain(url: &Url, means: &Means, way: &Way, host: &mut Host) -> Result<(), &'static str> {
    let keep = |host: &mut Host, step: Step, name: &'static str| {
        let failed = step.verdict() == Verdict::Failed;
        host.steps.push(step);
        if failed { Err(name) } else { Ok(()) }
    };
    let plain = url.scheme() == "http";
    let stream = match way {
        Way::Proxy { name, addresses, port } if !plain => {
            let (step, stream) = proxy::tunnel(name, addresses, *port, url).await;
            keep(host, step, TUNNEL)?;
            stream
        }
        Way::Blocked if !plain => return Err(proxy::PROXY),
        _ => {
            let (step, addresses) = names(url).await;
            keep(host, step, DNS)?;
            let (step, stream) = connections(&addresses, url).await;
            keep(host, step, TCP)?;
            stream
        }
    };
    if !plain {
        let Some(stream) = stream else { return Err(TCP) };
        let step = handshake(url, stream, means).await;
        keep(host, step, TLS)?;
    }
    let (step, heard) = answer(url, means).await;
    host.heard = heard;
    keep(host, step, HTTP)?;
    host.answered = true;
    Ok(())
}

/// The addresses of the host, by getaddrinfo(3).
pub(super) async fn names(url: &Url) -> (Step, Vec<IpAddr>) {
    let Some(host) = url.host_str().map(|host| host.trim_matches(['[', ']']).to_owned()) else {
        return (Step::failed(DNS, "the endpoint has no host"), Vec::new());
    };
    if let Ok(address) = host.parse::<IpAddr>() {
        return (Step::ok(DNS, "an address, no name to look up"), vec![address]);
    }
    let began = Instant::now();
    let asked = host.clone();
    let found = apart(DNS_TIMEOUT, move || {
        let found = (asked.as_str(), 0).to_socket_addrs();
        found.map(|found| found.map(|address| address.ip()).take(ADDRESSES).collect::<Vec<_>>())
    });
    let remedy = "look at /etc/resolv.conf and the DNS of the VPC; a security group or firewall must let UDP and TCP 53 through";
    let refused = |why: String| Step::failed(DNS, format!("{host} does not resolve")).because(why).remedy(remedy);
    match found.await {
        Ok(Ok(mut addresses)) if !addresses.is_empty() => {
            addresses.dedup();
            let (four, six): (Vec<_>, Vec<_>) = addresses.iter().partition(|address| address.is_ipv4());
            let list = |addresses: &[IpAddr]| addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let families = match (four.as_slice(), six.as_slice()) {
                (four, []) => format!("IPv4 {}", list(four)),
                ([], six) => format!("IPv6 {}", list(six)),
                (four, six) => format!("IPv4 {}, IPv6 {}", list(four), list(six)),
            };
            (Step::ok(DNS, families).took(began.elapsed()), addresses)
        }
        Ok(Ok(_)) => (refused("the name has no address".to_owned()), Vec::new()),
        Ok(Err(error)) => {
            let text = error.to_string();
            let why = text.strip_prefix("failed to lookup address information: ").unwrap_or(&text);
            (refused(transport::clean(why)).took(began.elapsed()), Vec::new())
        }
        Err(why) => (refused(format!("the name servers do not answer: {why}")), Vec::new()),
    }
}

/// A connection to any of the addresses; all are tried at once.
pub(super) async fn connections(addresses: &[IpAddr], url: &Url) -> (Step, Option<TcpStream>) {
    let port = url.port_or_known_default().unwrap_or(443);
    let began = Instant::now();
    let mut attempts = JoinSet::new();
    for address in addresses.iter().map(|ip| SocketAddr::new(*ip, port)) {
        attempts.spawn(async move { (address, tokio::time::timeout(TCP_TIMEOUT, TcpStream::connect(address)).await) });
    }
    let (mut connected, mut failed): (Option<(SocketAddr, TcpStream, Duration)>, Vec<String>) = (None, Vec::new());
    while let Some(ended) = attempts.join_next().await {
        match ended {
            Ok((address, Ok(Ok(stream)))) if connected.is_none() => connected = Some((address, stream, began.elapsed())),
            Ok((_, Ok(Ok(_)))) | Err(_) => {}
            Ok((address, Ok(Err(error)))) => failed.push(format!("{address}: {}", reason(&error))),
            Ok((address, Err(_))) => failed.push(format!("{address}: no answer within {}s", TCP_TIMEOUT.as_secs())),
        }
    }
    failed.sort();
    match connected {
        Some((address, stream, took)) if failed.is_empty() => (Step::ok(TCP, format!("connected to {address}")).took(took), Some(stream)),
        Some((address, stream, took)) => {
            let seen = format!("connected to {address}; not to {}", failed.join(", "));
            (Step::ok(TCP, seen).took(took), Some(stream))
        }
        None => {
            let remedy = format!(
                "let TCP {port} out: routes, security group and firewall of the instance; without internet access only the VPC host can be reached"
            );
            (Step::failed(TCP, "no connection").because(failed.join(", ")).remedy(remedy), None)
        }
    }
}

pub(super) fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        std::io::ErrorKind::NetworkUnreachable | std::io::ErrorKind::HostUnreachable => "no route".to_owned(),
        _ => transport::clean(&error.to_string()),
    }
}

/// The certificate, judged as a client of ours judges it, but after the handshake, so that a bad one can be described.
async fn handshake(url: &Url, stream: TcpStream, means: &Means) -> Step {
    let began = Instant::now();
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let Ok(name) = ServerName::try_from(host) else {
        return Step::failed(TLS, "the host is no name that TLS could ask for");
    };
    let ca_file = means.ca_file.clone();
    let trust = apart(TLS_TIMEOUT, move || trusted(ca_file.as_deref())).await;
    let trust = match trust {
        Ok(Ok(trust)) => trust,
        Ok(Err(error)) => return Step::failed(TLS, error.to_string()),
        Err(why) => return Step::failed(TLS, format!("the system's certificates cannot be read: {why}")),
    };
    let (config, shown) = match tls::collecting_config() {
        Ok(made) => made,
        Err(error) => return Step::failed(TLS, error.to_string()),
    };
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let shaken = tokio::time::timeout(TLS_TIMEOUT, connector.connect(name.clone(), stream)).await;
    let took = began.elapsed();
    match (shown.proved(), shaken) {
        (Some(chain), _) => judge(&trust, &chain, &name, means).took(took),
        (None, Err(_)) => Step::failed(TLS, format!("no handshake within {}s", TLS_TIMEOUT.as_secs()))
            .because("something accepts the connection and says nothing, such as a firewall or a proxy that is not transparent"),
        (None, Ok(Err(error))) => Step::failed(TLS, format!("no handshake: {}", transport::clean(&error.to_string())))
            .because("what answers there does not speak TLS, or no version that is still safe")
            .remedy("is there a proxy or a captive portal in between? is endpoint right?"),
        (None, Ok(Ok(_))) => Step::failed(TLS, "the host showed no certificate"),
    }
}

/// Blocks on files.
fn trusted(ca_file: Option<&Path>) -> Result<Trust, tls::Error> {
    let roots = match Roots::load() {
        Ok(roots) => Some(roots),
        Err(_) if ca_file.is_some() => None,
        Err(error) => return Err(error),
    };
    Trust::load(ca_file, roots.as_ref())
}

fn judge(trust: &Trust, chain: &Chain, name: &ServerName<'_>, means: &Means) -> Step {
    let now = Moment::now();
    let leaf = chain.0.first().and_then(|der| x509_parser::parse_x509_certificate(der).ok());
    let dates = leaf.as_ref().map(|(_, leaf)| {
        let validity = leaf.validity();
        (validity.not_before.timestamp(), validity.not_after.timestamp())
    });
    let issuer = leaf.as_ref().map(|(_, leaf)| transport::clean(&leaf.issuer().to_string())).unwrap_or_default();
    let between = |(from, until): (i64, i64)| format!("valid from {} to {}", day(from), day(until));
    let lent = means.heard.filter(|_| means.trust == ClockTrust::Metadata).map(|there| there.wall_ms(now));
    let seconds = lent.unwrap_or(now.wall_ms).div_euclid(1000);
    let by = if lent.is_some() { ", by the metadata service's time ([clock] trust)" } else { "" };
    match trust.verify(chain, Some(name), seconds) {
        Ok(()) => {
            let days = dates.map(|(_, until)| (until - seconds).div_euclid(86_400));
            let seen = dates.map_or_else(|| format!("trusted{by}"), |dates| format!("trusted, {}{by}", between(dates)));
            match days {
                Some(days) if days < SOON_DAYS => Step::warning(TLS, seen)
                    .because(format!("the certificate ends in {days} days"))
                    .remedy("whoever runs the host must renew it"),
                _ => Step::ok(TLS, seen),
            }
        }
        Err(error) => refused(&error, dates.map(between), &issuer, &|| {
            let there = means.heard.filter(|_| lent.is_none())?;
            let right = trust.verify(chain, Some(name), there.wall_ms(now).div_euclid(1000)).is_ok();
            right
                .then(|| format!("this host's clock says {}, the metadata service's {}", rfc3339(now.wall_ms), rfc3339(there.wall_ms(now))))
        }),
    }
}

/// Why a certificate is not trusted. `by_clock` says whether another clock would have trusted it.
fn refused(error: &rustls::Error, dates: Option<String>, issuer: &str, by_clock: &dyn Fn() -> Option<String>) -> Step {
    use CertificateError::{
        Expired, ExpiredContext, NotValidForName, NotValidForNameContext, NotValidYet, NotValidYetContext, UnknownIssuer,
    };
    let seen = format!("the certificate is refused: {}", transport::clean(&error.to_string()));
    let dates = dates.unwrap_or_else(|| "its dates cannot be read".to_owned());
    let rustls::Error::InvalidCertificate(reason) = error else {
        return Step::failed(TLS, seen);
    };
    match reason {
        Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. } => match by_clock() {
            Some(clocks) => Step::failed(TLS, seen)
                .because(format!("the clock of this host is wrong, not the certificate: {clocks}; it is {dates}"))
                .remedy("set the clock: chronyc makestep, or timedatectl set-ntp true; where it cannot be kept right, trust = \"metadata\" under [clock] judges certificates by the metadata service's time"),
            None => Step::failed(TLS, seen)
                .because(format!("it is {dates}, and this host's clock says {}", rfc3339(Moment::now().wall_ms)))
                .remedy("if the clock is wrong, set it (chronyc makestep); else whoever runs the host must renew the certificate"),
        },
        UnknownIssuer => Step::failed(TLS, seen)
            .because(format!("its issuer is {issuer}, which this system does not know; a proxy that opens TLS has a CA of its own"))
            .remedy("install ca-certificates, or give the CA's file as ca_file under [ros] if it is to be trusted"),
        NotValidForName | NotValidForNameContext { .. } => Step::failed(TLS, seen)
            .because("what answers there is another host, such as a proxy, or endpoint is not the name in the certificate")
            .remedy("look at DNS and /etc/hosts, and at endpoint under [ros]"),
        _ => Step::failed(TLS, seen),
    }
}

fn day(seconds: i64) -> String {
    rfc3339(seconds.saturating_mul(1000))
}

/// Whether ROS answers there, and not something in its place.
async fn answer(url: &Url, means: &Means) -> (Step, Option<Heard>) {
    let (host, service) = (rpc::host_name(url), means.service);
    let began = Instant::now();
    let (plain, reach) = (url.scheme() == "http", means.reach.clone());
    let http = match apart(HTTP_TIMEOUT, move || rpc::http_client(plain, &reach)).await {
        Ok(Ok(http)) => http,
        Ok(Err(error)) => return (Step::failed(HTTP, error.to_string()), None),
        Err(why) => return (Step::failed(HTTP, format!("the system's certificates cannot be read: {why}")), None),
    };
    let deadline = began + HTTP_TIMEOUT;
    let asked = tokio::time::timeout_at(deadline, async {
        http.prepare().await;
        let sent = Moment::now();
        let response = match http.client()?.get(url.clone()).send().await {
            Ok(response) => response,
            Err(error) => return Err(http.explain(&error, &host, None, deadline).await),
        };
        let heard = rpc::date_ms(response.headers()).map(|date_ms| Heard::new(date_ms, sent, Moment::now()));
        let status = response.status().as_u16();
        let body = transport::read_body(response, BODY_LIMIT, &host).await?;
        Ok::<_, transport::Trouble>((status, rpc::Body::parse(&body), heard))
    });
    match asked.await {
        Err(_) => (Step::failed(HTTP, format!("no answer within {}s", HTTP_TIMEOUT.as_secs())), None),
        Ok(Err(trouble)) => (Step::failed(HTTP, trouble.message).perhaps(trouble.hint), None),
        Ok(Ok((status, Some(_), heard))) => {
            let seen = format!("answers as {service} does (HTTP {status} to a request that asks for nothing)");
            (Step::ok(HTTP, seen).took(began.elapsed()), heard)
        }
        Ok(Ok((status, None, _))) => {
            let step = Step::failed(HTTP, format!("HTTP {status} with a body that is not {service}'s"))
                .because("something answers in its place, such as a captive portal or a proxy; or endpoint names another host")
                .remedy(format!("look at what lies between, and at endpoint under [{}]", service.to_lowercase()));
            (step, None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str, answered: bool) -> Host {
        let step = if answered { Step::ok(HTTP, "answers") } else { Step::failed(DNS, "does not resolve") };
        Host { name: name.to_owned(), steps: vec![step.about(name)], answered, heard: None }
    }

    #[test]
    fn one_host_that_answers_is_enough() {
        let found = summary(vec![host("vpc", false), host("public", true)], "ROS", None);
        let verdicts: Vec<_> = found.steps.iter().map(Step::verdict).collect();
        assert_eq!(verdicts, [Verdict::Skipped, Verdict::Ok, Verdict::Ok]);
        assert_eq!(found.steps[0].cause(), Some("not needed: public answers"));
        assert_eq!(found.steps[2].seen(), "1 of 2 hosts answer, public first");
    }

    #[test]
    fn no_host_that_answers_is_a_failure_of_each() {
        let found = summary(vec![host("vpc", false), host("public", false)], "ROS", None);
        assert!(!found.answered && found.steps.iter().all(|step| step.verdict() == Verdict::Failed));
    }

    #[test]
    fn scenario_14_an_expired_certificate_points_at_the_clock_where_another_clock_trusts_it() {
        let expired = rustls::Error::InvalidCertificate(CertificateError::Expired);
        let step = refused(&expired, Some("valid from A to B".to_owned()), "CN=x", &|| Some("here 1970, there 2026".to_owned()));
        assert_eq!(
            step.cause(),
            Some("the clock of this host is wrong, not the certificate: here 1970, there 2026; it is valid from A to B")
        );
        let step = refused(&expired, Some("valid from A to B".to_owned()), "CN=x", &|| None);
        assert!(step.cause().unwrap().starts_with("it is valid from A to B, and this host's clock says "));
    }
}
