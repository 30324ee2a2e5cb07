//! The listeners, over real connections: what they take, what they refuse and how, and who cannot hold them up.

use crate::host::{Host, Running, request};
use crate::secrets::secrets;
use ros_signal_agent::clock::Moment;
use ros_signal_agent::events::signature::{SigningKey, test_headers, v2_headers};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

pub(super) const URL: &str = "https://agent.example.com:8443/ros/events?stack=b0bb2844&x=1%202";
const CERTIFICATE_URL: &str = "https://cn-hangzhou-eventbridge.oss-accelerate.aliyuncs.com/x509_public_certificate_2021012501.pem";
pub(super) const CERTIFICATE: &str = include_str!("../../fixtures/events/signing-certificate.pem");
const KEY: &str = include_str!("../../fixtures/events/signing-key.pem");

pub(super) type Headers = Vec<(String, String)>;

/// An agent with a source `eb` on a port of its own.
pub(super) struct Listening {
    pub(super) host: Host,
    pub(super) running: Running,
    pub(super) address: SocketAddr,
}

impl Listening {
    /// A source with `keys`, and EventBridge's certificate pinned.
    pub(super) async fn pinned(keys: &str) -> Self {
        let host = Host::new("").await;
        let file = host.path("eventbridge.pem");
        std::fs::write(&file, CERTIFICATE).unwrap();
        host.configure(&format!(
            "[source.eb]\ntype = \"http\"\nlisten = \"127.0.0.1:0\"\nurl = \"{URL}\"\ncertificate_file = \"{}\"\n{keys}",
            file.display()
        ));
        Self::begin(host).await
    }

    pub(super) async fn begin(host: Host) -> Self {
        let running = host.start();
        let view = becomes(&host, |view| view["healthy"] == true).await;
        Self { address: address(&view), host, running }
    }

    pub(super) async fn view(&self) -> Value {
        view(&self.host).await
    }

    pub(super) async fn refused(&self, reason: &str) -> u64 {
        self.view().await["refused"][reason].as_u64().unwrap_or(0)
    }

    pub(super) async fn send(&self, headers: &Headers, body: &[u8]) -> (u16, String) {
        post(TcpStream::connect(self.address).await.unwrap(), "POST", "/anything", headers, body).await
    }
}

pub(super) async fn view(host: &Host) -> Value {
    let status: Value = serde_json::from_str(&host.ask("GET", "/status", "").await.1).unwrap();
    status["sources"][0].clone()
}

/// The source, as soon as it `is` so.
pub(super) async fn becomes(host: &Host, is: impl Fn(&Value) -> bool) -> Value {
    let wait = async {
        loop {
            if host.ask_if_there("GET", "/status").await.is_some() {
                let view = view(host).await;
                if is(&view) {
                    return view;
                }
            }
            tokio::task::yield_now().await;
        }
    };
    match tokio::time::timeout(Duration::from_secs(20), wait).await {
        Ok(view) => view,
        Err(_) => panic!("it does not become so: {:#}", view(host).await),
    }
}

pub(super) fn address(view: &Value) -> SocketAddr {
    let detail = view["detail"].as_str().unwrap();
    detail.trim_start_matches("listens on ").split([',', ' ']).next().unwrap().parse().unwrap_or_else(|_| panic!("{detail}"))
}

/// One request by hand: the status, and the whole answer.
pub(super) async fn post(
    mut stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    method: &str,
    path: &str,
    headers: &Headers,
    body: &[u8],
) -> (u16, String) {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: somebody.else\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    let mut answer = Vec::new();
    // Who refuses early may close before all is written.
    let _ = stream.write_all(&[head.as_bytes(), body].concat()).await;
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    (answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0), answer)
}

/// An event with an id that no other has.
pub(super) fn event() -> Vec<u8> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let id = NUMBER.fetch_add(1, Ordering::Relaxed);
    json!({"id": format!("id-{id}"), "source": "acs.ros", "specversion": "1.0", "type": "ros:StackStateChange:UpdateComplete",
           "data": {"StackId": crate::host::STACK, "Status": "UPDATE_COMPLETE"}})
    .to_string()
    .into_bytes()
}

pub(super) fn signed_at(ms: i64, body: &[u8], token: Option<&str>) -> Headers {
    let key = SigningKey::of_pem(KEY.as_bytes()).unwrap();
    let headers = v2_headers(&key, URL, body, ms, CERTIFICATE_URL, token).unwrap();
    headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

pub(super) fn signed(body: &[u8]) -> Headers {
    signed_at(now_ms(), body, None)
}

pub(super) fn now_ms() -> i64 {
    Moment::now().wall_ms
}

pub(super) fn with(mut headers: Headers, name: &str, value: &str) -> Headers {
    headers.retain(|(other, _)| other != name);
    headers.push((name.to_owned(), value.to_owned()));
    headers
}

#[tokio::test]
async fn a_signed_event_is_taken_once_however_often_it_is_sent_and_the_form_of_its_signature_is_counted() {
    let agent = Listening::pinned("").await;
    let body = event();
    let headers = signed(&body);
    assert_eq!(agent.send(&headers, &body).await.0, 204);
    assert_eq!(agent.send(&headers, &body).await.0, 204, "whoever missed the answer is given it again");
    let view = agent.view().await;
    assert_eq!((view["received"].as_u64(), view["refused"]["replayed"].as_u64()), (Some(1), Some(1)), "{view:#}");
    assert_eq!(view["signed"], json!({"v2, last line feed": 1}));
    agent.running.stop().await.unwrap();
}

#[tokio::test]
async fn everything_else_is_refused_with_its_reason_and_nothing_of_it_is_taken() {
    let token = secrets()["eventbridge_token"];
    let host = Host::new("").await;
    std::fs::write(host.path("eventbridge.pem"), CERTIFICATE).unwrap();
    std::fs::write(host.path("token"), format!("{token}\n")).unwrap();
    let dir = host.dir.path().display().to_string();
    host.configure(&format!(
        "[source.eb]\ntype = \"http\"\nlisten = \"127.0.0.1:0\"\nurl = \"{URL}\"\ncertificate_file = \"{dir}/eventbridge.pem\"\n\
         token_file = \"{dir}/token\"\n"
    ));
    let agent = Listening::begin(host).await;
    let (now, body) = (now_ms(), event());
    let good = signed_at(now, &body, Some(token));
    let cases: Vec<(&str, u16, Headers, Vec<u8>)> = vec![
        ("not signed", 401, Vec::new(), body.clone()),
        ("token", 401, signed_at(now, &body, None), body.clone()),
        ("token", 401, signed_at(now, &body, Some("another")), body.clone()),
        ("time", 401, signed_at(now - 70_000, &body, Some(token)), body.clone()),
        ("time", 401, signed_at(now + 70_000, &body, Some(token)), body.clone()),
        ("signature", 401, good.clone(), event()),
        ("signature", 401, with(good.clone(), "x-eventbridge-signature-timestamp", &(now + 1).to_string()), body.clone()),
        ("malformed signature", 401, with(good.clone(), "x-eventbridge-signature-v2", "!"), body.clone()),
        ("content encoding", 415, with(good.clone(), "content-encoding", "gzip"), body.clone()),
        ("too large", 413, good.clone(), vec![b' '; 600 * 1024]),
        ("neither JSON nor base64 of JSON", 400, signed_at(now, b"<html/>", Some(token)), b"<html/>".to_vec()),
        ("not an event", 400, signed_at(now, b"{}", Some(token)), b"{}".to_vec()),
    ];
    for (reason, status, headers, body) in cases {
        let before = agent.refused(reason).await;
        let (answered, answer) = agent.send(&headers, &body).await;
        // A body that is far too long may be cut off before the answer is read.
        assert!(answered == status || (status == 413 && answered == 0), "{reason}: {answer}");
        assert_eq!(agent.refused(reason).await, before + 1, "{reason}: {answer}");
        assert!(!answer.contains(token), "{answer}");
    }
    for method in ["GET", "PUT", "OPTIONS", "DELETE"] {
        let (status, answer) = post(TcpStream::connect(agent.address).await.unwrap(), method, "/", &good, b"").await;
        assert!(status == 405 && answer.to_lowercase().contains("allow: post\r\n"), "{method}: {answer}");
    }
    let late = agent.send(&signed_at(now - 70_000, &body, Some(token)), &body).await.1;
    assert!(late.contains("s behind this host's clock"), "{late}");
    assert_eq!(agent.view().await["received"], 0);
    assert_eq!(agent.send(&good, &body).await.0, 204);
    agent.running.stop().await.unwrap();
}

#[tokio::test]
async fn tls_begins_when_its_files_are_there_and_until_then_the_status_says_what_is_missing() {
    let host = Host::new("").await;
    let dir = host.dir.path().display().to_string();
    std::fs::write(host.path("eventbridge.pem"), CERTIFICATE).unwrap();
    host.configure(&format!(
        "[source.eb]\ntype = \"http\"\nlisten = \"127.0.0.1:0\"\nurl = \"{URL}\"\ncertificate_file = \"{dir}/eventbridge.pem\"\n\
         tls_certificate = \"{dir}/tls.pem\"\ntls_key = \"{dir}/tls.key\"\n"
    ));
    let running = host.start();
    let failing = becomes(&host, |view| view["error"].as_str().is_some_and(|error| error.contains("tls.pem"))).await;
    assert!(failing["healthy"] == false && failing["hint"].as_str().unwrap().contains("tls_key"), "{failing:#}");
    let made = rcgen::generate_simple_self_signed(["agent.example.com".to_owned()]).unwrap();
    std::fs::write(host.path("tls.key"), made.signing_key.serialize_pem()).unwrap();
    std::fs::write(host.path("tls.pem"), made.cert.pem()).unwrap();
    let view = becomes(&host, |view| view["healthy"] == true).await;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config.with_root_certificates(roots).with_no_client_auth()));
    let connect = async || {
        let stream = TcpStream::connect(address(&view)).await.unwrap();
        connector.connect("agent.example.com".try_into().unwrap(), stream).await.unwrap()
    };
    let body = event();
    assert_eq!(post(connect().await, "POST", "/", &signed(&body), &body).await.0, 204);
    let plain = post(TcpStream::connect(address(&view)).await.unwrap(), "POST", "/", &signed(&body), &body).await;
    assert_eq!(plain.0, 0, "nothing is taken in the clear: {}", plain.1);
    running.stop().await.unwrap();
}

/// A proxy through which every name leads to an https server on loopback, which answers with `answer` and counts.
async fn store(answer: String) -> (String, String, std::sync::Arc<AtomicU64>) {
    let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = rcgen::CertifiedIssuer::self_signed(authority, rcgen::KeyPair::generate().unwrap()).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let names = vec!["cn-hangzhou-eventbridge.oss-accelerate.aliyuncs.com".to_owned()];
    let leaf = rcgen::CertificateParams::new(names).unwrap().signed_by(&key, &authority).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let key = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(config.with_single_cert(vec![leaf.der().clone()], key).unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = format!("http://{}", listener.local_addr().unwrap());
    let asked = std::sync::Arc::new(AtomicU64::new(0));
    let counter = std::sync::Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (acceptor, answer, counter) = (acceptor.clone(), answer.clone(), std::sync::Arc::clone(&counter));
            tokio::spawn(async move {
                let head = read_head(&mut stream).await;
                assert!(head.starts_with("CONNECT cn-hangzhou-eventbridge.oss-accelerate.aliyuncs.com:443 "), "{head}");
                stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
                let mut stream = acceptor.accept(stream).await.unwrap();
                let head = read_head(&mut stream).await;
                assert!(head.starts_with("GET /x509_public_certificate_2021012501.pem "), "{head}");
                counter.fetch_add(1, Ordering::Relaxed);
                stream.write_all(answer.as_bytes()).await.unwrap();
                let _ = stream.shutdown().await;
            });
        }
    });
    (proxy, authority.pem(), asked)
}

async fn read_head(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// An agent that fetches through `proxy`.
async fn fetching(proxy: &str, ca: &str) -> Listening {
    let host = Host::new("").await;
    std::fs::write(host.path("ca.pem"), ca).unwrap();
    let ros = format!("[ros]\nca_file = \"{}\"\nproxy = \"{proxy}\"\n", host.path("ca.pem").display());
    let text = host.usual().replace("[ros]\n", &ros);
    let text = format!("{text}[source.eb]\ntype = \"http\"\nlisten = \"127.0.0.1:0\"\nurl = \"{URL}\"\n");
    crate::private::write(&host.config(), &text);
    Listening::begin(host).await
}

#[tokio::test]
async fn the_certificate_is_fetched_once_through_the_proxy_and_only_for_what_could_be_an_event() {
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{CERTIFICATE}", CERTIFICATE.len());
    let (proxy, ca, asked) = store(answer).await;
    let agent = fetching(&proxy, &ca).await;
    let body = event();
    let elsewhere = CERTIFICATE_URL.replace("cn-hangzhou", "evil");
    for headers in [Vec::new(), signed_at(now_ms() - 70_000, &body, None), with(signed(&body), "x-eventbridge-signature-url", &elsewhere)] {
        // The region is asked for at the start.
        let mut status = agent.send(&headers, &body).await.0;
        while status == 503 {
            status = agent.send(&headers, &body).await.0;
        }
        assert_eq!(status, 401);
    }
    assert_eq!(asked.load(Ordering::Relaxed), 0, "nothing was fetched for those");
    for _ in 0..3 {
        let body = event();
        let (status, answer) = agent.send(&signed(&body), &body).await;
        assert_eq!(status, 204, "{answer}");
    }
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    agent.running.stop().await.unwrap();
}

#[tokio::test]
async fn a_certificate_that_cannot_be_had_is_asked_for_once_in_a_minute_and_senders_are_told_to_come_again() {
    for answer in [
        "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_owned(),
        "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello".to_owned(),
        format!("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{}", CERTIFICATE.repeat(100)),
    ] {
        let (proxy, ca, asked) = store(answer).await;
        let agent = fetching(&proxy, &ca).await;
        let body = event();
        for _ in 0..5 {
            let (status, answer) = agent.send(&signed(&body), &body).await;
            assert!(status == 503 && answer.to_lowercase().contains("retry-after: 10\r\n"), "{answer}");
        }
        let view = becomes(&agent.host, |view| view["healthy"] == false).await;
        assert!(view["error"].as_str().unwrap().contains("certificate of EventBridge cannot be fetched"), "{view:#}");
        assert!(asked.load(Ordering::Relaxed) <= 1);
        assert_eq!(view["received"], 0);
        agent.running.stop().await.unwrap();
    }
}

#[tokio::test]
async fn root_may_ask_for_the_secret_that_tests_are_signed_with_and_such_a_test_is_told_from_an_event() {
    let agent = Listening::pinned("").await;
    let answer = request(&agent.host.socket(), "GET", "/events/test-secret", "").await;
    if !rustix::process::geteuid().is_root() {
        assert_eq!(answer.0, 403);
        return;
    }
    let answered: Value = serde_json::from_str(&answer.1).unwrap();
    let secret = answered["secret"].as_str().unwrap();
    assert!(secret.len() >= 64);
    let body = event();
    let sign = |secret: &str, url: &str| -> Headers {
        test_headers(secret, url, &body, now_ms()).into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    };
    assert_eq!(agent.send(&sign("guessed", URL), &body).await.0, 401);
    assert_eq!(agent.send(&sign(secret, "https://other"), &body).await.0, 401);
    assert_eq!(agent.send(&sign(secret, URL), &body).await.0, 204);
    assert_eq!(agent.view().await["signed"], json!({"test": 1}));
    agent.running.stop().await.unwrap();
}

#[tokio::test]
async fn whoever_asks_whether_it_may_send_is_told_so_only_by_setting() {
    let agent = Listening::pinned("allowed_origin = \"eventbridge.example.com\"\n").await;
    let ask = async |origin: &str| {
        let headers = vec![("WebHook-Request-Origin".to_owned(), origin.to_owned()), ("WebHook-Request-Rate".to_owned(), "120".to_owned())];
        post(TcpStream::connect(agent.address).await.unwrap(), "OPTIONS", "/", &headers, b"").await
    };
    let (status, answer) = ask("eventbridge.example.com").await;
    let lower = answer.to_lowercase();
    assert!(status == 204 && lower.contains("webhook-allowed-origin: eventbridge.example.com\r\n"), "{answer}");
    assert!(lower.contains("webhook-allowed-rate: *\r\n"), "{answer}");
    let (status, answer) = ask("other.example.com").await;
    assert!(status == 403 && !answer.to_lowercase().contains("webhook-allowed"), "{answer}");
    agent.running.stop().await.unwrap();
}

#[tokio::test]
async fn a_flood_of_forged_events_is_refused_and_the_agent_answers_meanwhile() {
    let agent = Listening::pinned("").await;
    let (address, body) = (agent.address, vec![b' '; 60_000]);
    let headers = with(signed(b"{}"), "x-eventbridge-signature-token", "forged");
    let flood: Vec<_> = (0..32)
        .map(|_| {
            let (headers, body) = (headers.clone(), body.clone());
            tokio::spawn(async move {
                let mut answers = Vec::new();
                for _ in 0..10 {
                    answers.push(post(TcpStream::connect(address).await.unwrap(), "POST", "/", &headers, &body).await.0);
                }
                answers
            })
        })
        .collect();
    for _ in 0..20 {
        let asked = tokio::time::timeout(Duration::from_secs(5), agent.view()).await.expect("the agent answers");
        assert_eq!(asked["received"], 0);
    }
    for flooder in flood {
        for answer in flooder.await.unwrap() {
            assert!(matches!(answer, 401 | 503), "{answer}");
        }
    }
    assert_eq!(agent.view().await["received"], 0);
    agent.running.stop().await.unwrap();
}

#[tokio::test]
async fn the_callback_hears_calls_behind_the_secret_path_and_knows_of_nothing_elsewhere() {
    let path = secrets()["callback_path"];
    let host = Host::new("").await;
    std::fs::write(host.path("path"), format!("/{path}\n")).unwrap();
    let file = host.path("path").display().to_string();
    host.configure(&format!("[source.ros]\ntype = \"callback\"\nlisten = \"127.0.0.1:0\"\npath_file = \"{file}\"\n"));
    let agent = Listening::begin(host).await;
    let call = async |method: &str, path: &str, body: &[u8]| {
        post(TcpStream::connect(agent.address).await.unwrap(), method, path, &Vec::new(), body).await.0
    };
    for wrong in ["/", "/cbk", &format!("/{path}x"), &format!("/x/{path}"), &path[..path.len() - 1]] {
        let wrong = format!("/{}", wrong.trim_start_matches('/'));
        assert_eq!(call("POST", &wrong, b"{}").await, 404, "{wrong}");
    }
    let right = format!("/{path}");
    assert_eq!(call("GET", &right, b"").await, 405);
    let body = json!({"StackId": crate::host::STACK, "StackName": "web", "Status": "UPDATE_COMPLETE", "Outputs": []}).to_string();
    assert_eq!(call("POST", &right, body.as_bytes()).await, 204);
    assert_eq!(call("POST", &right, b"what is this").await, 204, "it need not be understood");
    let view = agent.view().await;
    assert_eq!((view["received"].as_u64(), view["refused"]["path"].as_u64()), (Some(2), Some(5)), "{view:#}");
    assert!(!view.to_string().contains(path));
    let mut answers = Vec::new();
    for _ in 0..40 {
        answers.push(call("POST", &right, b"{}").await);
    }
    assert!(answers.contains(&204) && answers.contains(&429), "{answers:?}");
    agent.running.stop().await.unwrap();
}

#[tokio::test]
async fn a_secret_path_that_is_too_short_opens_nothing_and_says_so() {
    let host = Host::new("").await;
    std::fs::write(host.path("path"), "short").unwrap();
    let file = host.path("path").display().to_string();
    host.configure(&format!("[source.ros]\ntype = \"callback\"\nlisten = \"127.0.0.1:0\"\npath_file = \"{file}\"\n"));
    let running = host.start();
    let view = becomes(&host, |view| view["error"].is_string()).await;
    assert!(view["error"].as_str().unwrap().contains("at least 16 characters"), "{view:#}");
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_socket_that_systemd_has_opened_is_taken_over_by_its_name() {
    let Some(bash) = crate::peer::program("bash") else { return };
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let host = Host::new("").await;
    std::fs::write(host.path("eventbridge.pem"), CERTIFICATE).unwrap();
    let file = host.path("eventbridge.pem").display().to_string();
    host.configure(&format!("[source.eb]\ntype = \"http\"\nlisten = \"systemd:events\"\nurl = \"{URL}\"\ncertificate_file = \"{file}\"\n"));
    // What systemd does: the socket as descriptor 3, and its name in the environment of the process that has this id.
    let script = "exec 3<&0 0</dev/null; export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=events; exec \"$0\" --config \"$1\" run";
    let mut agent = tokio::process::Command::new(bash)
        .args(["-c", script, env!("CARGO_BIN_EXE_ros-signal-agent"), host.config().to_str().unwrap()])
        .env_clear()
        .envs(Host::environment())
        .stdin(std::os::fd::OwnedFd::from(socket))
        .stderr(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let view = becomes(&host, |view| view["healthy"] == true).await;
    assert!(view["detail"].as_str().unwrap().contains("(by systemd)"), "{view:#}");
    let body = event();
    assert_eq!(post(TcpStream::connect(address).await.unwrap(), "POST", "/", &signed(&body), &body).await.0, 204);
    agent.kill().await.unwrap();
}

#[tokio::test]
async fn a_socket_that_nobody_handed_over_is_named_with_what_to_do() {
    let host = Host::new("").await;
    std::fs::write(host.path("eventbridge.pem"), CERTIFICATE).unwrap();
    let file = host.path("eventbridge.pem").display().to_string();
    host.configure(&format!("[source.eb]\ntype = \"http\"\nlisten = \"systemd:events\"\nurl = \"{URL}\"\ncertificate_file = \"{file}\"\n"));
    let running = host.start();
    let view = becomes(&host, |view| view["error"].is_string()).await;
    assert!(view["error"].as_str().unwrap().contains("no TCP socket called events"), "{view:#}");
    assert!(view["hint"].as_str().unwrap().contains("FileDescriptorName="), "{view:#}");
    running.stop().await.unwrap();
}
