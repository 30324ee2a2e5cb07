//! `type = "http"` over TLS, and the client for ROS.

use super::*;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use ros_signal_agent::check::Health;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::PathBuf;
use tokio_rustls::TlsAcceptor;

/// A certificate authority with its files.
pub(super) struct Authority {
    pub(super) home: tempfile::TempDir,
    pub(super) issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub(super) fn new() -> Self {
        // Authorities of one name are told apart by their signatures, which is another error.
        Self::named(&uuid::Uuid::new_v4().to_string())
    }

    fn named(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let authority = Self { home: tempfile::tempdir().unwrap(), issuer };
        std::fs::write(authority.ca_file(), authority.issuer.pem()).unwrap();
        authority
    }

    pub(super) fn ca_file(&self) -> PathBuf {
        self.home.path().join("ca.pem")
    }

    pub(super) fn issue(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> (String, String) {
        let mut params = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    /// A server whose certificate is for `names`; asks for a client certificate of this authority if `client` says so.
    pub(super) async fn server(&self, names: &[&str], client: bool, change: impl FnOnce(&mut CertificateParams)) -> (u16, Requests) {
        let (certificate, key) = self.issue(names, change);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions().unwrap();
        let builder = if client {
            let mut roots = rustls::RootCertStore::empty();
            roots.add(self.issuer.der().clone()).unwrap();
            let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        } else {
            builder.with_no_client_auth()
        };
        let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
        let config = builder.with_single_cert(chain, PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap()).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let requests = Requests::default();
        let seen = requests.clone();
        let port = server(move |stream| {
            let (acceptor, seen) = (acceptor.clone(), seen.clone());
            async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let name = stream.get_ref().1.server_name().unwrap_or("no name").to_owned();
                let handshake = stream.get_ref().1.handshake_kind();
                let request = read_request(&mut stream).await;
                seen.0.lock().unwrap().push(format!("SNI {name}\nhandshake {handshake:?}\n{request}"));
                let _ = stream.write_all(ok("{}").as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        })
        .await;
        (port, requests)
    }
}

pub(super) fn as_written(_: &mut CertificateParams) {}

#[tokio::test]
async fn certificates_are_verified_by_default_and_a_ca_file_is_added() {
    let authority = Authority::new();
    let (port, _) = authority.server(&["localhost"], false, as_written).await;
    let mut asked = http(&format!("https://localhost:{port}/"));
    asked.tls.ca_file = Some(authority.ca_file());
    assert_eq!(run_http(asked.clone()).await.message, format!("HTTP 200 from https://localhost:{port}/"));

    let stranger = Authority::new();
    asked.tls.ca_file = Some(stranger.ca_file());
    let seen = run_http(asked.clone()).await;
    assert_eq!((seen.health, seen.message), (Health::Critical, format!("certificate of localhost:{port} is not trusted (unknown issuer)")));

    asked.tls.verify = false;
    assert_eq!(run_http(asked).await.health, Health::Passing);
}

#[tokio::test]
async fn each_run_looks_at_the_certificate_anew() {
    let authority = Authority::new();
    let (port, requests) = authority.server(&["localhost"], false, as_written).await;
    let mut asked = http(&format!("https://localhost:{port}/"));
    asked.tls.ca_file = Some(authority.ca_file());
    let prober = Prober::new();
    for _ in 0..2 {
        let seen = prober.run(job(Probe::Http(Box::new(asked.clone())), Duration::from_secs(5))).await;
        assert_eq!(seen.health, Health::Passing, "{}", seen.message);
    }
    let handshakes: Vec<_> = requests.0.lock().unwrap().iter().map(|request| request.lines().nth(1).unwrap().to_owned()).collect();
    assert_eq!(handshakes, ["handshake Some(Full)", "handshake Some(Full)"]);
}

#[tokio::test]
async fn an_authority_that_was_made_anew_under_its_old_name_is_explained() {
    let (old, new) = (Authority::named("our CA"), Authority::named("our CA"));
    let (port, _) = new.server(&["localhost"], false, as_written).await;
    let mut asked = http(&format!("https://localhost:{port}/"));
    asked.tls.ca_file = Some(old.ca_file());
    let message = format!("certificate of localhost:{port} is not trusted (its issuer has the name of a trusted one, but another key)");
    assert_eq!(run_http(asked).await.message, message);
}

#[tokio::test]
async fn names_and_times_of_certificates_are_explained() {
    let authority = Authority::new();
    let look = async |port: u16| {
        let mut asked = http(&format!("https://localhost:{port}/"));
        asked.tls.ca_file = Some(authority.ca_file());
        run_http(asked).await.message
    };
    let (port, _) = authority.server(&["shop.example"], false, as_written).await;
    assert_eq!(look(port).await, format!("certificate of localhost:{port} is not for the name localhost"));
    let (port, _) = authority.server(&["localhost"], false, |params| params.not_after = rcgen::date_time_ymd(2020, 1, 1)).await;
    assert_eq!(look(port).await, format!("certificate of localhost:{port} has expired"));
    let (port, _) = authority.server(&["localhost"], false, |params| params.not_before = rcgen::date_time_ymd(3020, 1, 1)).await;
    assert_eq!(look(port).await, format!("certificate of localhost:{port} is not valid yet; is the clock of this host right?"));
}

#[tokio::test]
async fn server_name_is_asked_for_and_verified_while_the_request_stays_meant_for_the_host() {
    let authority = Authority::new();
    let (port, requests) = authority.server(&["shop.example"], false, as_written).await;
    for host in ["localhost", "127.0.0.1"] {
        let mut asked = http(&format!("https://{host}:{port}/healthz"));
        asked.tls.ca_file = Some(authority.ca_file());
        asked.tls.server_name = Some("shop.example".to_owned());
        assert_eq!(run_http(asked).await.message, format!("HTTP 200 from https://{host}:{port}/healthz"));
        let seen = requests.last().to_ascii_lowercase();
        assert!(
            seen.starts_with("sni shop.example\n")
                && seen.contains("\nget /healthz ")
                && seen.contains(&format!("\r\nhost: {host}:{port}\r\n")),
            "{seen}"
        );
    }
    let mut asked = http(&format!("https://localhost:{port}/"));
    asked.tls.server_name = Some("10.0.0.1".to_owned());
    let seen = run_http(asked).await;
    assert_eq!((seen.health, seen.message.as_str()), (Health::Unknown, "server_name 10.0.0.1 is not a DNS name"));
}

#[tokio::test]
async fn a_client_certificate_is_shown_where_one_is_wanted() {
    let authority = Authority::new();
    let (port, _) = authority.server(&["localhost"], true, as_written).await;
    let mut asked = http(&format!("https://localhost:{port}/"));
    asked.tls.ca_file = Some(authority.ca_file());
    let seen = run_http(asked.clone()).await;
    assert_eq!(seen.health, Health::Critical);
    assert_eq!(seen.message, format!("localhost:{port} wants a client certificate: give cert_file and key_file"));

    let (certificate, key) = authority.issue(&["agent"], as_written);
    let (cert_file, key_file) = (authority.home.path().join("cert.pem"), authority.home.path().join("key.pem"));
    std::fs::write(&cert_file, certificate).unwrap();
    std::fs::write(&key_file, key).unwrap();
    asked.tls.client = Some((cert_file, key_file));
    assert_eq!(run_http(asked).await.health, Health::Passing);
}

#[tokio::test]
async fn a_renewed_ca_file_is_read_without_a_reload() {
    let (old, new) = (Authority::new(), Authority::new());
    let (port, _) = new.server(&["localhost"], false, as_written).await;
    let mut asked = http(&format!("https://localhost:{port}/"));
    asked.tls.ca_file = Some(old.ca_file());
    let prober = Prober::new();
    let look = || prober.run(job(Probe::Http(Box::new(asked.clone())), PATIENCE));
    assert_eq!(look().await.health, Health::Critical);
    // Replaced as certificate tools do it: another file under the same name.
    std::fs::rename(new.ca_file(), old.ca_file()).unwrap();
    assert_eq!(look().await.health, Health::Passing);
    prober.reload();
    assert_eq!(look().await.health, Health::Passing);
}

#[tokio::test]
async fn broken_certificate_files_are_trouble_of_our_own() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("ca.pem");
    let mut asked = http("https://localhost:1/");
    asked.tls.ca_file = Some(path.clone());
    let seen = run_http(asked.clone()).await;
    assert_eq!(seen.health, Health::Unknown);
    assert!(seen.message.starts_with(&format!("cannot read {}: ", path.display())), "{}", seen.message);
    std::fs::write(&path, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    let seen = run_http(asked).await;
    assert_eq!(seen.health, Health::Unknown);
    assert!(seen.message.starts_with(&format!("{} has no usable PEM certificate", path.display())), "{}", seen.message);
}

#[tokio::test]
async fn a_server_without_tls_is_said_to_have_none() {
    let port = server(|mut stream| async move {
        let _ = stream.read(&mut [0; 4096]).await;
        let _ = stream.write_all(b"HTTP/1.1 400 Bad\r\n\r\n").await;
    })
    .await;
    let mut asked = http(&format!("https://localhost:{port}/"));
    asked.tls.verify = false;
    let seen = run_http(asked).await;
    assert_eq!((seen.health, seen.message), (Health::Critical, format!("localhost:{port} does not speak TLS")));
}

#[tokio::test]
async fn scenario_20_a_handshake_that_hangs_times_out_while_connecting() {
    let port = server(|mut stream| async move { while stream.read(&mut [0; 4096]).await.unwrap_or(0) > 0 {} }).await;
    let mut asked = http(&format!("https://localhost:{port}/"));
    asked.tls.verify = false;
    let seen = Prober::new().run(job(Probe::Http(Box::new(asked)), Duration::from_millis(80))).await;
    assert_eq!(seen.health, Health::Critical);
    assert_eq!(seen.message, format!("timed out after 80ms connecting to localhost:{port}"));
}

#[tokio::test]
async fn the_client_for_ros_trusts_the_extra_ca_and_follows_no_redirect() {
    let authority = Authority::new();
    let (port, _) = authority.server(&["localhost"], false, as_written).await;
    let url = format!("https://localhost:{port}/");
    let client = ros_signal_agent::tls::client_builder(Some(&authority.ca_file())).unwrap().build().unwrap();
    assert_eq!(client.get(&url).send().await.unwrap().status(), 200);
    let stranger = Authority::new();
    let client = ros_signal_agent::tls::client_builder(Some(&stranger.ca_file())).unwrap().build().unwrap();
    assert!(client.get(&url).send().await.unwrap_err().is_connect());
    let (port, _) = answering("HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(client.get(format!("http://127.0.0.1:{port}/")).send().await.unwrap().status(), 302);
}

#[test]
fn a_system_without_certificates_matters_only_to_checks_that_need_them() {
    let none = [("SSL_CERT_FILE", "/no/such/file"), ("SSL_CERT_DIR", "/no/such/directory")];
    if !in_process_with("probe::https::a_system_without_certificates_matters_only_to_checks_that_need_them", &none) {
        return;
    }
    runtime().block_on(async {
        let authority = Authority::new();
        let (port, _) = authority.server(&["localhost"], false, as_written).await;
        let mut asked = http(&format!("https://localhost:{port}/"));
        let seen = run_http(asked.clone()).await;
        assert_eq!(seen.health, Health::Unknown);
        assert!(seen.message.starts_with("no CA certificates of the system could be loaded; "), "{}", seen.message);
        asked.tls.ca_file = Some(authority.ca_file());
        assert_eq!(run_http(asked).await.health, Health::Passing);
        let (port, _) = answering(ok("{}")).await;
        assert_eq!(run_http(http(&format!("http://127.0.0.1:{port}/"))).await.health, Health::Passing);
        assert!(ros_signal_agent::tls::client_builder(None).is_err());
        assert!(ros_signal_agent::tls::client_builder(Some(&authority.ca_file())).is_ok());
    });
}
