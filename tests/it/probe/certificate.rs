//! `type = "certificate"`, against servers of rustls and nginx, and in files.

use super::https::{Authority, as_written};
use super::*;
use crate::{peer, private};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use ros_signal_agent::check::{Health, Thresholds};
use ros_signal_agent::plan::{Certificate, CertificateSource};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::process::{Command, Stdio};
use time::OffsetDateTime;
use tokio_rustls::TlsAcceptor;

fn of(source: CertificateSource, authority: Option<&Authority>) -> Certificate {
    let thresholds = Thresholds { warn: Some("14:".parse().unwrap()), crit: Some("3:".parse().unwrap()) };
    Certificate { source, server_name: None, ca_file: authority.map(Authority::ca_file), verify: authority.is_some(), thresholds }
}

fn at(host: &str, port: u16, authority: &Authority) -> Certificate {
    of(CertificateSource::Server(host.to_owned(), port), Some(authority))
}

async fn run_certificate(certificate: Certificate) -> Observation {
    run(Probe::Certificate(Box::new(certificate))).await
}

/// The message without the date at its end.
fn head(seen: &Observation) -> &str {
    seen.message.split(", on ").next().unwrap_or_default()
}

fn days_left(seen: &Observation) -> f64 {
    seen.readings.iter().find(|reading| reading.label == "days_left").unwrap().value
}

#[expect(clippy::disallowed_methods, reason = "certificates are made for the clock that the agent reads too")]
fn in_days(days: i64) -> OffsetDateTime {
    OffsetDateTime::from(std::time::SystemTime::now()) + time::Duration::days(days) + time::Duration::hours(1)
}

/// A server that shows `chain`, and tells how many bytes came after the handshake, and whether it ended well.
async fn showing(chain: &str, key: &str) -> (u16, tokio::sync::mpsc::UnboundedReceiver<Result<usize, String>>) {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let chain: Vec<_> = CertificateDer::pem_slice_iter(chain.as_bytes()).collect::<Result<_, _>>().unwrap();
    let builder = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = builder.with_no_client_auth().with_single_cert(chain, PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap()).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let (tell, told) = tokio::sync::mpsc::unbounded_channel();
    let port = server(move |stream| {
        let (acceptor, tell) = (acceptor.clone(), tell.clone());
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            let _ = tell.send(stream.read(&mut [0; 64]).await.map_err(|error| error.to_string()));
        }
    })
    .await;
    (port, told)
}

#[tokio::test]
async fn a_good_certificate_passes_and_nothing_is_sent_after_the_handshake() {
    let authority = Authority::new();
    let (certificate, key) = authority.issue(&["localhost"], |params| params.not_after = in_days(90));
    let (port, mut told) = showing(&certificate, &key).await;
    let seen = run_certificate(at("localhost", port, &authority)).await;
    assert_eq!((seen.health, head(&seen)), (Health::Passing, &*format!("certificate of localhost:{port} expires in 90 days")));
    assert!((90.0..91.0).contains(&days_left(&seen)), "{:?}", seen.readings);
    assert_eq!(told.recv().await.unwrap(), Ok(0), "an orderly end without a word");
}

#[tokio::test]
async fn what_is_wrong_with_a_certificate_is_said_clearly() {
    let authority = Authority::new();
    let look = async |names: &[&str], change: fn(&mut CertificateParams)| {
        let (port, _) = authority.server(names, false, change).await;
        let seen = run_certificate(at("localhost", port, &authority)).await;
        (seen.health, seen.message.replace(&format!("localhost:{port}"), "SERVER"))
    };
    let local = ["localhost"];
    let (health, message) = look(&local, |params| params.not_after = in_days(10)).await;
    assert!(health == Health::Warning && message.starts_with("certificate of SERVER expires in 10 days, on "), "{message}");
    assert!(message.ends_with(": warning below 14"), "{message}");
    let (health, message) = look(&local, |params| params.not_after = in_days(1)).await;
    assert!(health == Health::Critical && message.ends_with(": critical below 3"), "{message}");
    let expired = |params: &mut CertificateParams| params.not_after = in_days(-5);
    let (health, message) = look(&local, expired).await;
    assert!(health == Health::Critical && message.starts_with("certificate of SERVER expired 4 days ago, on "), "{message}");
    let (health, message) = look(&local, |params| params.not_before = date_time_ymd(3020, 1, 1)).await;
    let early = "certificate of SERVER is not valid before 3020-01-01T00:00:00Z; is the clock of this host right?";
    assert_eq!((health, message.as_str()), (Health::Critical, early));
    let (health, message) = look(&["shop.example"], as_written).await;
    assert_eq!((health, message.as_str()), (Health::Critical, "certificate of SERVER is not for the name localhost"));
}

#[tokio::test]
async fn trust_and_names_are_verified_unless_told_otherwise() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let (port, _) = authority.server(&["shop.example"], false, |params| params.not_after = in_days(90)).await;
    let mut asked = at("127.0.0.1", port, &authority);
    asked.server_name = Some("shop.example".to_owned());
    assert_eq!(run_certificate(asked.clone()).await.health, Health::Passing);
    asked.ca_file = Some(stranger.ca_file());
    let seen = run_certificate(asked.clone()).await;
    assert_eq!((seen.health, seen.message), (Health::Critical, format!("certificate of 127.0.0.1:{port} is not trusted (unknown issuer)")));
    asked.verify = false;
    asked.server_name = None;
    assert_eq!(run_certificate(asked).await.health, Health::Passing);
}

#[tokio::test]
async fn an_intermediate_that_expires_first_counts() {
    let authority = Authority::new();
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, "Sub CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.not_after = in_days(7);
    let intermediate = CertifiedIssuer::signed_by(params, KeyPair::generate().unwrap(), &authority.issuer).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.not_after = in_days(60);
    let leaf = params.signed_by(&key, &intermediate).unwrap();
    let (port, _) = showing(&format!("{}{}", leaf.pem(), intermediate.pem()), &key.serialize_pem()).await;
    let seen = run_certificate(at("localhost", port, &authority)).await;
    assert_eq!(seen.health, Health::Warning, "{}", seen.message);
    assert!(seen.message.contains(&format!("of localhost:{port} expires in 7 days, on ")), "{}", seen.message);
    assert!(seen.message.starts_with("intermediate certificate \"Sub CA\" "), "{}", seen.message);
    // Without it the chain has a gap.
    let (port, _) = showing(&leaf.pem(), &key.serialize_pem()).await;
    let seen = run_certificate(at("localhost", port, &authority)).await;
    assert_eq!(seen.message, format!("certificate of localhost:{port} is not trusted (unknown issuer)"));
}

#[tokio::test]
async fn a_server_that_wants_a_certificate_of_ours_has_shown_its_own() {
    let authority = Authority::new();
    let (port, _) = authority.server(&["localhost"], true, |params| params.not_after = in_days(90)).await;
    let seen = run_certificate(at("localhost", port, &authority)).await;
    assert_eq!(seen.health, Health::Passing, "{}", seen.message);
}

#[tokio::test]
async fn certificates_in_files_are_read_as_pem_and_as_der_and_bundles_as_chains() {
    let authority = Authority::new();
    let path = authority.home.path().join("leaf");
    let in_file = |authority| of(CertificateSource::File(path.clone()), authority);
    let seen = run_certificate(in_file(Some(&authority))).await;
    assert_eq!((seen.health, seen.message), (Health::Critical, format!("{} does not exist", path.display())));

    let (certificate, key) = authority.issue(&["shop.example"], |params| params.not_after = in_days(30));
    std::fs::write(&path, format!("{key}{certificate}{}", authority.issuer.pem())).unwrap();
    let seen = run_certificate(in_file(Some(&authority))).await;
    assert_eq!((seen.health, head(&seen)), (Health::Passing, &*format!("certificate of {} expires in 30 days", path.display())));
    let mut named = in_file(Some(&authority));
    named.server_name = Some("shop.example".to_owned());
    assert_eq!(run_certificate(named.clone()).await.health, Health::Passing);
    named.server_name = Some("other.example".to_owned());
    assert_eq!(run_certificate(named).await.message, format!("certificate of {} is not for the name other.example", path.display()));
    let stranger = Authority::new();
    let seen = run_certificate(in_file(Some(&stranger))).await;
    assert_eq!(seen.message, format!("certificate of {} is not trusted (unknown issuer)", path.display()));

    std::fs::write(&path, CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()).unwrap();
    let seen = run_certificate(in_file(None)).await;
    assert_eq!((seen.health, head(&seen)), (Health::Passing, &*format!("certificate of {} expires in 30 days", path.display())));

    for nonsense in ["", "hello\n", "-----BEGIN CERTIFICATE-----\nAAAA\n", &*key] {
        std::fs::write(&path, nonsense).unwrap();
        let seen = run_certificate(in_file(None)).await;
        let message = format!("{} holds no certificate, neither PEM nor DER", path.display());
        assert_eq!((seen.health, seen.message), (Health::Critical, message), "{nonsense:?}");
    }
    std::fs::write(&path, b"\x30\x03\x02\x01\x01").unwrap();
    let seen = run_certificate(in_file(None)).await;
    assert_eq!(seen.message, format!("certificate 1 of {} is not X.509 that could be read", path.display()));
    std::fs::write(&path, vec![b'x'; 1_100_000]).unwrap();
    assert_eq!(run_certificate(in_file(None)).await.message, format!("{} is larger than 1 MiB", path.display()));
}

#[tokio::test]
async fn what_is_no_tls_server_is_said_to_be_none() {
    let authority = Authority::new();
    let port = closed_port().await;
    let seen = run_certificate(at("127.0.0.1", port, &authority)).await;
    assert_eq!(seen.message, format!("connection refused by 127.0.0.1:{port}; nothing listens there"));
    let port = server(|mut stream| async move {
        let _ = stream.read(&mut [0; 4096]).await;
        let _ = stream.write_all(b"HTTP/1.1 400 Bad\r\n\r\n").await;
    })
    .await;
    let seen = run_certificate(at("127.0.0.1", port, &authority)).await;
    assert_eq!((seen.health, seen.message), (Health::Critical, format!("127.0.0.1:{port} does not speak TLS")));
    let port = server(|mut stream| async move { drop(stream.read(&mut [0; 4096]).await) }).await;
    let seen = run_certificate(at("127.0.0.1", port, &authority)).await;
    assert_eq!(seen.message, format!("127.0.0.1:{port} closed the connection in the TLS handshake"));
}

#[tokio::test]
async fn scenario_20_a_handshake_that_hangs_is_a_timeout_that_says_so() {
    let authority = Authority::new();
    let port = server(|mut stream| async move { while stream.read(&mut [0; 4096]).await.unwrap_or(0) > 0 {} }).await;
    let hanging = Probe::Certificate(Box::new(at("127.0.0.1", port, &authority)));
    let seen = Prober::new().run(job(hanging, Duration::from_millis(150))).await;
    let message = format!("timed out after 150ms in the TLS handshake with 127.0.0.1:{port}");
    assert_eq!((seen.health, seen.message), (Health::Critical, message));
}

#[tokio::test]
async fn a_ca_file_that_cannot_be_read_is_trouble_of_our_own() {
    let authority = Authority::new();
    let mut asked = at("127.0.0.1", closed_port().await, &authority);
    asked.ca_file = Some(authority.home.path().join("none.pem"));
    let seen = run_certificate(asked).await;
    assert!(seen.health == Health::Unknown && seen.message.starts_with("cannot read "), "{}", seen.message);
}

#[tokio::test]
async fn the_certificate_of_a_real_nginx_is_judged() {
    let Some(program) = peer::program("nginx") else { return };
    let authority = Authority::new();
    let (certificate, key) = authority.issue(&["localhost"], |params| params.not_after = in_days(5));
    let home = private::directory();
    let port = closed_port().await;
    std::fs::write(home.path().join("cert.pem"), certificate).unwrap();
    std::fs::write(home.path().join("key.pem"), key).unwrap();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|kind| format!("{kind}_temp_path tmp;\n")).concat();
    let config = format!(
        "daemon off;\nmaster_process off;\npid pid;\nerror_log stderr;\nevents {{}}\nhttp {{\naccess_log off;\n{temporary}\
         server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {home}/cert.pem; ssl_certificate_key {home}/key.pem; }}\n}}\n",
        home = home.path().display()
    );
    std::fs::write(home.path().join("nginx.conf"), config).unwrap();
    let mut command = Command::new(program);
    command.arg("-p").arg(home.path()).arg("-e").arg("stderr").arg("-c").arg(home.path().join("nginx.conf"));
    let mut nginx = Ended(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    let ready = async {
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            assert!(nginx.0.try_wait().unwrap().is_none(), "nginx ended");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, ready).await.unwrap();
    let seen = run_certificate(at("localhost", port, &authority)).await;
    assert_eq!((seen.health, head(&seen)), (Health::Warning, &*format!("certificate of localhost:{port} expires in 5 days")));
}

/// A child that ends with the test.
struct Ended(std::process::Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
