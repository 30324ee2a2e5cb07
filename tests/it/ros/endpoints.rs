//! Which host is asked, and how troubles on the way are called.

use super::scripted::{Server, http};
use super::*;
use ros_sandbox::{Effect, Fault};
use ros_signal_agent::clock::Moment;
use ros_signal_agent::handle::{self, Document, Message};
use ros_signal_agent::plan::ClockTrust;
use ros_signal_agent::ros::Remembered;
use ros_signal_agent::rpc::Reach;
use ros_signal_agent::signal::Class;
use std::path::Path;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// A loopback port that nobody listens on.
async fn closed() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

fn with_hosts(homes: &[&[&str]]) -> Client {
    let parse = |hosts: &&[&str]| hosts.iter().map(|host| Url::parse(host).unwrap()).collect();
    let homes: Vec<Vec<Url>> = homes.iter().map(parse).collect();
    Client::with_hosts(&settings("http://127.0.0.1:1"), &homes, None, credentials(None)).unwrap()
}

#[tokio::test]
async fn a_refused_connection_is_named_and_cannot_have_arrived() {
    let url = closed().await;
    let refused = refusal(client(&url).signal(&success()).await);
    assert_eq!((refused.class, refused.definite), (Class::Transient, false));
    assert_eq!(refused.message, format!("connection refused by {}", url.trim_start_matches("http://")));
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_named() {
    let refused = refusal(client("https://ros.invalid").signal(&success()).await);
    assert!(refused.message.starts_with("ros.invalid does not resolve ("), "{}", refused.message);
    assert_eq!(refused.class, Class::Transient);
}

#[tokio::test]
async fn a_certificate_of_an_unknown_ca_is_named() {
    let sandbox = sandbox().await;
    let refused = refusal(client(&sandbox.ros_tls_url()).signal(&success()).await);
    assert!(refused.message.starts_with("TLS with 127.0.0.1:"), "{}", refused.message);
    assert!(refused.hint.unwrap().contains("ca_file"));
    assert!(sandbox.requests().is_empty());
}

#[tokio::test]
async fn scenario_02_the_second_host_is_tried_at_once_when_the_first_cannot_be_reached_and_is_remembered() {
    let sandbox = sandbox().await;
    let client = with_hosts(&[&[&closed().await, &sandbox.ros_url()]]);
    assert_eq!(refusal(client.signal(&success()).await).class, Class::Immediate);
    receipt(client.signal(&success()).await);
    receipt(client.signal(&success()).await);
    assert_eq!(sandbox.requests().len(), 2);
}

#[tokio::test]
async fn when_no_host_can_be_reached_there_is_no_hurry() {
    let client = with_hosts(&[&[&closed().await, &closed().await]]);
    assert_eq!(refusal(client.signal(&success()).await).class, Class::Immediate);
    assert_eq!(refusal(client.signal(&success()).await).class, Class::Transient);
}

#[tokio::test]
async fn an_unknown_stack_is_looked_for_at_the_other_home_and_found_there() {
    let (china, international) = (sandbox().await, sandbox().await);
    china.add_fault(Fault::new(Effect::StackNotFound)).unwrap();
    let client = with_hosts(&[&[&china.ros_url()], &[&international.ros_url()]]);
    assert_eq!(refusal(client.signal(&success()).await).class, Class::Immediate);
    receipt(client.signal(&request(SignalStatus::Success, 1)).await);
    receipt(client.signal(&request(SignalStatus::Success, 1)).await);
    assert_eq!((china.requests().len(), international.requests().len()), (1, 2));
}

#[tokio::test]
async fn an_account_of_the_other_home_is_found_by_its_unknown_key() {
    let (china, international) = (sandbox().await, sandbox().await);
    china.add_fault(Fault::new(Effect::error(404, "InvalidAccessKeyId.NotFound"))).unwrap();
    let client = with_hosts(&[&[&china.ros_url()], &[&international.ros_url()]]);
    assert_eq!(refusal(client.signal(&success()).await).class, Class::Immediate);
    receipt(client.signal(&request(SignalStatus::Success, 1)).await);
}

#[tokio::test]
async fn a_stack_that_no_home_knows_is_waited_for_at_the_first_one() {
    let (china, international) = (sandbox().await, sandbox().await);
    china.add_fault(Fault::new(Effect::StackNotFound)).unwrap();
    international.add_fault(Fault::new(Effect::error(404, "InvalidAccessKeyId.NotFound"))).unwrap();
    let client = with_hosts(&[&[&china.ros_url()], &[&international.ros_url()]]);
    let mut classes = Vec::new();
    for _ in 0..4 {
        classes.push(refusal(client.signal(&success()).await).class);
    }
    assert_eq!(classes, [Class::Immediate, Class::TooEarly, Class::TooEarly, Class::TooEarly]);
    assert_eq!((china.requests().len(), international.requests().len()), (3, 1));
}

#[tokio::test]
async fn plain_http_to_another_host_is_refused_before_anything_is_sent() {
    let error = Client::new(&settings("http://ros.aliyuncs.com"), credentials(None)).unwrap_err();
    assert!(error.to_string().contains("is not encrypted\nhint:"), "{error}");
}

/// A TLS server on loopback with a certificate of its own CA, valid in the given years. It closes without an answer.
pub(crate) async fn tls_server(from: i32, until: i32) -> (String, tempfile::NamedTempFile) {
    tls_server_answering(from, until, Vec::new()).await
}

async fn tls_server_answering(from: i32, until: i32, answer: Vec<u8>) -> (String, tempfile::NamedTempFile) {
    let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let authority = rcgen::CertifiedIssuer::self_signed(authority, authority_key).unwrap();
    let mut leaf = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    leaf.not_before = rcgen::date_time_ymd(from, 1, 1);
    leaf.not_after = rcgen::date_time_ymd(until, 1, 1);
    let leaf_key = rcgen::KeyPair::generate().unwrap();
    let leaf = leaf.signed_by(&leaf_key, &authority).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = rustls::pki_types::PrivateKeyDer::try_from(leaf_key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![leaf.der().clone()], key).unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut head = [0; 8192];
            if !answer.is_empty() && stream.read(&mut head).await.is_ok() {
                let _ = stream.write_all(&answer).await;
                let _ = stream.shutdown().await;
            }
        }
    });
    let ca_file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(ca_file.path(), authority.pem()).unwrap();
    (url, ca_file)
}

#[tokio::test]
async fn a_redirect_from_tls_to_plain_http_is_not_followed() {
    let elsewhere = Server::start(|_, _| http(200, &[], "{\"RequestId\":\"R\"}")).await;
    let location = format!("Location: {}/", elsewhere.url);
    let (url, ca_file) = tls_server_answering(2001, 2400, http(307, &[&location], "")).await;
    let settings = Ros { ca_file: Some(ca_file.path().to_owned()), ..settings(&url) };
    let refused = refusal(Client::new(&settings, credentials(None)).unwrap().signal(&success()).await);
    assert!(refused.hint.as_deref().is_some_and(|hint| hint.contains("redirects are not followed")), "{refused:?}");
    assert!(elsewhere.requests().is_empty());
}

#[tokio::test]
async fn scenario_14_a_certificate_outside_its_time_points_at_the_clock() {
    for (from, until) in [(2001, 2002), (2400, 2401)] {
        let (url, ca_file) = tls_server(from, until).await;
        let settings = Ros { ca_file: Some(ca_file.path().to_owned()), ..settings(&url) };
        let refused = refusal(Client::new(&settings, credentials(None)).unwrap().signal(&success()).await);
        assert!(refused.message.starts_with("TLS with 127.0.0.1:"), "{}", refused.message);
        assert!(refused.message.contains("; this host's clock says "), "{}", refused.message);
        assert!(refused.hint.unwrap().starts_with("with a wrong clock good certificates look expired"));
        assert_eq!(refused.class, Class::Transient);
    }
}

/// A client of `url` with the sandbox's metadata service as a witness of the time.
fn witnessed(url: &str, ca_file: &Path, sandbox: &Sandbox, trust: ClockTrust) -> Client {
    let settings = Ros { ca_file: Some(ca_file.to_owned()), ..settings(url) };
    let reach = Reach::of(&settings).with_time(&metadata(&sandbox.metadata_url(), &HashMap::new()), trust);
    Client::reaching(&settings, &reach, None, credentials(None)).unwrap()
}

#[tokio::test]
async fn scenario_14_the_time_of_the_metadata_service_tells_a_wrong_clock_from_a_bad_certificate() {
    let sandbox = sandbox().await;
    let years = |years: i64| years * 365 * 86_400;
    let this = year();
    for (offset, from, until) in [(years(4), this + 3, this + 6), (years(-4), this - 6, this - 2)] {
        sandbox.set_skew_seconds(offset);
        let (url, ca_file) = tls_server(from, until).await;
        let system = witnessed(&url, ca_file.path(), &sandbox, ClockTrust::System);
        let refused = refusal(system.signal(&success()).await);
        let said = format!("; this host's clock says {this}-");
        assert!(refused.message.contains(&said) && refused.message.contains("; the metadata service says "), "{}", refused.message);
        assert_eq!(refused.hint.as_deref(), Some("set the clock (chrony), or allow [clock] trust = \"metadata\""));
    }
    sandbox.set_skew_seconds(0);
    let (url, ca_file) = tls_server(this - 6, this - 2).await;
    for trust in [ClockTrust::System, ClockTrust::Metadata] {
        let refused = refusal(witnessed(&url, ca_file.path(), &sandbox, trust).signal(&success()).await);
        assert!(refused.hint.as_deref().is_some_and(|hint| hint.contains("must renew")), "{refused:?}");
        assert!(refused.message.contains("the metadata service says "), "{}", refused.message);
    }
}

#[tokio::test]
async fn scenario_14_where_the_metadata_service_does_not_answer_certificates_are_judged_by_this_hosts_clock() {
    let sandbox = sandbox().await;
    sandbox.add_fault(Fault::new(Effect::http(503, "gone")).metadata("")).unwrap();
    receipt(witnessed(&sandbox.ros_tls_url(), sandbox.ca_file(), &sandbox, ClockTrust::Metadata).signal(&success()).await);
    let nowhere = metadata("http://127.0.0.1:1", &HashMap::new());
    let settings = Ros { ca_file: Some(sandbox.ca_file().to_owned()), ..settings(&sandbox.ros_tls_url()) };
    let reach = Reach::of(&settings).with_time(&nowhere, ClockTrust::Metadata);
    receipt(Client::reaching(&settings, &reach, None, credentials(None)).unwrap().signal(&success()).await);
}

#[tokio::test]
async fn scenario_14_an_implausible_date_of_the_metadata_service_is_not_believed() {
    let sandbox = sandbox().await;
    let wrong = Server::start(|_, _| http(200, &["Date: Thu, 01 Jan 1970 00:00:01 GMT"], "cn-hangzhou")).await;
    let settings = Ros { ca_file: Some(sandbox.ca_file().to_owned()), ..settings(&sandbox.ros_tls_url()) };
    let metadata = metadata(&wrong.url, &HashMap::new());
    let reach = Reach::of(&settings).with_time(&metadata, ClockTrust::Metadata);
    receipt(Client::reaching(&settings, &reach, None, credentials(None)).unwrap().signal(&success()).await);
    assert!(!wrong.requests().is_empty());
    assert_eq!(metadata.time_ms(Moment::now()), None);
}

/// The year by this host's clock.
fn year() -> i32 {
    ros_signal_agent::clock::rfc3339(Moment::now().wall_ms)[..4].parse().unwrap()
}

#[test]
fn home_network_and_region_decide_which_host_is_asked_first() {
    let first = |home, network, region: &str| {
        let settings = Ros { endpoint: Endpoint::Auto, home, network, ..settings("https://ros.example") };
        let client = Client::new(&settings, credentials(None)).unwrap();
        client.endpoint(region).unwrap().to_string()
    };
    for (home, network, region, host) in [
        (Home::Auto, Network::Auto, "cn-hangzhou", "https://ros.vpc-proxy.aliyuncs.com/"),
        (Home::Auto, Network::Auto, "eu-west-2", "https://ros.aliyuncs.com/"),
        (Home::International, Network::Auto, "ap-southeast-1", "https://ros-intl.vpc-proxy.aliyuncs.com/"),
        (Home::International, Network::Auto, "us-southeast-1", "https://ros-intl.aliyuncs.com/"),
        (Home::China, Network::Public, "cn-hangzhou", "https://ros.aliyuncs.com/"),
        (Home::China, Network::Vpc, "eu-west-2", "https://ros.vpc-proxy.aliyuncs.com/"),
    ] {
        assert_eq!(first(home, network, region), host, "{home:?} {network:?} {region}");
    }
}

#[tokio::test]
async fn the_host_that_served_is_asked_first_after_a_restart() {
    let (sandbox, directory) = (sandbox().await, tempfile::tempdir().unwrap());
    let dead = closed().await;
    let start = || remembering(&[&[&dead, &sandbox.ros_url()]], directory.path());
    let client = start();
    assert_eq!(refusal(client.signal(&success()).await).class, Class::Immediate);
    receipt(client.signal(&success()).await);
    written(directory.path()).await;
    receipt(start().signal(&success()).await);
}

#[tokio::test]
async fn a_remembered_host_that_is_gone_or_not_ours_costs_one_attempt_at_most() {
    let (sandbox, directory) = (sandbox().await, tempfile::tempdir().unwrap());
    let dead = closed().await;
    let homes: &[&[&str]] = &[&[&sandbox.ros_url(), &dead]];
    std::fs::write(directory.path().join("endpoint"), format!("{dead}/\n")).unwrap();
    let client = remembering(homes, directory.path());
    assert_eq!(refusal(client.signal(&success()).await).class, Class::Immediate);
    receipt(client.signal(&success()).await);

    let stranger = Server::start(|_, _| http(200, &[], "{}")).await;
    for foreign in [&stranger.url, "http://ros.example", "\0\0", ""] {
        std::fs::write(directory.path().join("endpoint"), foreign).unwrap();
        receipt(remembering(homes, directory.path()).signal(&success()).await);
    }
    assert!(stranger.requests().is_empty(), "what the file says is asked only if the configuration allows it");
}

#[tokio::test]
async fn the_home_of_another_account_that_came_with_an_image_costs_one_attempt() {
    let (china, international, directory) = (sandbox().await, sandbox().await, tempfile::tempdir().unwrap());
    international.add_fault(Fault::new(Effect::error(404, "InvalidAccessKeyId.NotFound"))).unwrap();
    std::fs::write(directory.path().join("endpoint"), international.ros_url()).unwrap();
    let client = remembering(&[&[&china.ros_url()], &[&international.ros_url()]], directory.path());
    assert_eq!(refusal(client.signal(&success()).await).class, Class::Immediate);
    receipt(client.signal(&request(SignalStatus::Success, 1)).await);
    assert_eq!((china.requests().len(), international.requests().len()), (1, 1));
}

fn remembering(homes: &[&[&str]], directory: &Path) -> Client {
    let parse = |hosts: &&[&str]| hosts.iter().map(|host| Url::parse(host).unwrap()).collect();
    let homes: Vec<Vec<Url>> = homes.iter().map(parse).collect();
    let remembered = Some(Remembered::in_directory(directory));
    Client::with_hosts(&settings("http://127.0.0.1:1"), &homes, remembered, credentials(None)).unwrap()
}

/// Waits until the host that served stands in the directory.
async fn written(directory: &Path) {
    let wait = async {
        while !directory.join("endpoint").exists() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), wait).await.expect("no host is remembered");
}

#[tokio::test]
async fn a_sandbox_on_ipv6_only_is_reached() {
    let mut config = Config::new(KEY_ID, Secret::from(KEY_SECRET));
    config.listen = "[::1]:0".parse().unwrap();
    let sandbox = Sandbox::start(config).await.unwrap();
    sandbox.put_stack(STACK, StackSpec::waiting_for("WebReady", 2, 300.0)).unwrap();
    receipt(client(&sandbox.ros_url()).signal(&success()).await);
    let settings = Ros { ca_file: Some(sandbox.ca_file().to_owned()), ..settings(&sandbox.ros_tls_url()) };
    receipt(Client::new(&settings, credentials(None)).unwrap().signal(&success()).await);
}

#[tokio::test]
async fn scenario_14_handles_and_a_credentials_uri_over_tls_are_judged_by_the_trusted_clock_too() {
    let (sandbox, none) = (sandbox().await, HashMap::new());
    sandbox.set_skew_seconds(4 * 365 * 86_400);
    let document =
        r#"{"Code":"Success","AccessKeyId":"STS.1","AccessKeySecret":"s","SecurityToken":"t","Expiration":"2400-01-01T00:00:00Z"}"#;
    let (url, ca_file) = tls_server_answering(year() + 3, year() + 6, http(200, &[], document)).await;
    let settings = Ros { ca_file: Some(ca_file.path().to_owned()), ..settings(&sandbox.ros_url()) };
    let handle = Document::parse(&format!("{url}/waitcondition?signature=made-up")).unwrap();
    let message = Message::of(&success());
    let stack = client(&sandbox.ros_url());
    let uri = Provider::CredentialsUri(Some(Url::parse(&url).unwrap()));
    let ask = async |trust| {
        let metadata = metadata(&sandbox.metadata_url(), &none);
        let reach = Reach::of(&settings).with_time(&metadata, trust);
        let keys = Cache::reaching(&uri, &none, &metadata, Random::new(1), &reach).keys(Moment::now(), None).await;
        let handles = handle::Client::reaching(&settings, &reach, &none).unwrap();
        (keys, handles.send(&target(), &message, Some(handle.clone()), &stack).await)
    };
    let (keys, answer) = ask(ClockTrust::System).await;
    let hint = "set the clock (chrony), or allow [clock] trust = \"metadata\"";
    assert_eq!((keys.unwrap_err().hint().as_deref(), refusal(answer).hint.as_deref()), (Some(hint), Some(hint)));
    let (keys, answer) = ask(ClockTrust::Metadata).await;
    assert_eq!(keys.unwrap().access_key_id(), "STS.1");
    assert!(!format!("{answer:?}").contains("TLS"), "whatever the service says, it is heard: {answer:?}");
}

#[tokio::test]
async fn what_the_environment_adds_to_the_name_of_the_agent_is_sent_unless_it_cannot_stand_in_a_header() {
    let server = Server::start(|_, _| http(200, &[], "{\"RequestId\":\"R\"}")).await;
    for (more, expected) in [("Shop/7 (blue)", " Shop/7 (blue)"), ("", ""), ("a\r\nx-evil: 1", ""), (&"x".repeat(1000), "")] {
        let environment = HashMap::from([("ALIBABA_CLOUD_USER_AGENT".to_owned(), more.to_owned())]);
        let settings = settings(&server.url);
        let reach = Reach::of(&settings).calling_itself(&environment);
        receipt(Client::reaching(&settings, &reach, None, credentials(None)).unwrap().signal(&success()).await);
        let sent = server.requests().last().unwrap().header("user-agent").unwrap().to_owned();
        assert_eq!(sent, format!("ros-signal-agent/{}{expected}", env!("CARGO_PKG_VERSION")));
    }
}

#[tokio::test]
async fn an_account_of_the_international_site_that_lacks_a_permission_is_told_that_and_not_that_its_key_is_unknown() {
    let unknown = r#"{"RequestId":"R","Code":"InvalidAccessKeyId.NotFound","Message":"m"}"#;
    let china = Server::start(move |_, _| http(404, &[], unknown)).await;
    let denied = r#"{"RequestId":"R","Code":"Forbidden.RAM","Message":"m"}"#;
    let international = Server::start(move |_, _| http(403, &[], denied)).await;
    let client = with_hosts(&[&[&china.url], &[&international.url]]);
    assert_eq!(refusal(client.signal(&success()).await).class, Class::Immediate);
    for _ in 0..8 {
        let refused = refusal(client.signal(&success()).await);
        assert_eq!((refused.code.as_deref(), refused.class), (Some("Forbidden.RAM"), Class::Permission));
        assert!(refused.hint.is_some_and(|hint| hint.contains("grant ros:SignalResource")));
    }
    assert_eq!(china.requests().len(), 1, "it does not know the key, and is not asked again");
}

#[tokio::test]
async fn a_refusal_at_the_other_site_leaves_a_site_that_knows_the_key_in_its_right() {
    let unknown = r#"{"RequestId":"R","Code":"StackNotFound","Message":"m"}"#;
    let china = Server::start(move |_, _| http(404, &[], unknown)).await;
    let denied = r#"{"RequestId":"R","Code":"Forbidden.RAM","Message":"m"}"#;
    let international = Server::start(move |_, _| http(403, &[], denied)).await;
    let client = with_hosts(&[&[&china.url], &[&international.url]]);
    assert_eq!(refusal(client.signal(&success()).await).class, Class::Immediate);
    assert_eq!(refusal(client.signal(&success()).await).class, Class::TooEarly);
    assert_eq!(refusal(client.signal(&success()).await).code.as_deref(), Some("StackNotFound"));
}
