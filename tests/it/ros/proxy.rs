//! Through a proxy: what it may see, and whose trouble is whose.

use super::*;
use ros_signal_agent::clock::Moment;
use ros_signal_agent::plan;
use ros_signal_agent::rpc::Reach;
use ros_signal_agent::signal::Class;
use std::sync::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What a proxy does with a request.
#[derive(Clone, Copy)]
pub(crate) enum Behaviour {
    /// Opens the tunnel (RFC 9110, section 9.3.6).
    Tunnel,
    /// Answers with this status.
    Refuse(u16),
    /// Reads and says nothing.
    Hang,
    /// Closes without an answer.
    Close,
}

/// A small proxy that does CONNECT and nothing else, and keeps all bytes that it saw.
pub(crate) struct Proxy {
    pub(crate) url: String,
    heads: Arc<Mutex<Vec<String>>>,
    bytes: Arc<Mutex<Vec<u8>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Proxy {
    pub(crate) async fn start(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (heads, bytes) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
        let (seen, carried) = (Arc::clone(&heads), Arc::clone(&bytes));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, behaviour, Arc::clone(&seen), Arc::clone(&carried)));
            }
        });
        Self { url, heads, bytes, task }
    }

    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }

    fn name(&self) -> &str {
        self.url.trim_start_matches("http://")
    }
}

async fn serve(mut stream: TcpStream, behaviour: Behaviour, heads: Arc<Mutex<Vec<String>>>, bytes: Arc<Mutex<Vec<u8>>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { return };
        head.push(byte);
    }
    let head = String::from_utf8(head).unwrap();
    heads.lock().unwrap().push(head.clone());
    match behaviour {
        Behaviour::Hang => std::future::pending().await,
        Behaviour::Close => return,
        Behaviour::Refuse(status) => {
            let _ = stream.write_all(format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n").as_bytes()).await;
            return;
        }
        Behaviour::Tunnel => {}
    }
    let target = head.split(' ').nth(1).unwrap();
    let server = TcpStream::connect(target).await.unwrap();
    stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
    let (mut from_client, mut to_client) = stream.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let up = async {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = from_client.read(&mut buffer).await {
            bytes.lock().unwrap().extend_from_slice(&buffer[..count]);
            if to_server.write_all(&buffer[..count]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = up => {}
        _ = tokio::io::copy(&mut from_server, &mut to_client) => {}
    }
}

/// A client of the sandbox, over TLS and through `proxy`.
fn through(proxy: &str, sandbox: &Sandbox) -> Client {
    let ca_file = Some(sandbox.ca_file().to_owned());
    let proxy = Some(Url::parse(proxy).unwrap());
    let settings = Ros { ca_file, proxy, timeout: Duration::from_secs(2), ..settings(&sandbox.ros_tls_url()) };
    Client::new(&settings, credentials(Some(TOKEN))).unwrap()
}

#[tokio::test]
async fn a_signal_travels_through_a_tunnel_in_which_the_proxy_can_read_nothing() {
    let (sandbox, proxy) = (start(Some(TOKEN)).await, Proxy::start(Behaviour::Tunnel).await);
    receipt(through(&proxy.url, &sandbox).signal(&success()).await);
    let host = sandbox.ros_tls_url().trim_start_matches("https://").to_owned();
    let heads = proxy.heads();
    assert_eq!(heads.len(), 1);
    assert!(heads[0].starts_with(&format!("CONNECT {host} HTTP/1.1\r\n")), "{}", heads[0]);
    let bytes = proxy.bytes.lock().unwrap().clone();
    let carried = String::from_utf8_lossy(&bytes);
    assert!(!bytes.is_empty());
    for told in [KEY_ID, STACK, "SignalResource", "ACS3-HMAC-SHA256"] {
        assert!(!carried.contains(told) && !heads[0].contains(told), "the proxy can read {told}");
    }
}

#[tokio::test]
async fn a_proxy_that_cannot_be_reached_is_named() {
    let sandbox = sandbox().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = listener.local_addr().unwrap().to_string();
    drop(listener);
    let refused = refusal(through(&format!("http://{closed}"), &sandbox).signal(&success()).await);
    assert_eq!(refused.message, format!("proxy {closed}: connection refused by {closed}"));
    assert_eq!(refused.hint.as_deref(), Some("look at the proxy, and at `proxy` in [ros]"));
    assert_eq!((refused.class, refused.definite), (Class::Transient, false));
    let refused = refusal(through("http://proxy.invalid:3128", &sandbox).signal(&success()).await);
    assert!(refused.message.starts_with("proxy proxy.invalid:3128: proxy.invalid does not resolve"), "{}", refused.message);
    assert!(sandbox.requests().is_empty(), "there is no way around a proxy");
}

#[tokio::test]
async fn a_proxy_that_refuses_hangs_or_closes_is_named_with_the_host() {
    let sandbox = sandbox().await;
    let host = sandbox.ros_tls_url().trim_start_matches("https://").to_owned();
    for (behaviour, what) in [
        (Behaviour::Refuse(403), "refused the way to HOST"),
        (Behaviour::Refuse(407), "wants a user (HTTP 407), and none can be given"),
        (Behaviour::Close, "closed the connection instead of opening the way to HOST"),
        (Behaviour::Hang, ""),
    ] {
        let proxy = Proxy::start(behaviour).await;
        let refused = refusal(through(&proxy.url, &sandbox).signal(&success()).await);
        let expected = match behaviour {
            Behaviour::Hang => format!("timed out waiting for the proxy {} to open the way to {host}", proxy.name()),
            _ => format!("the proxy {} {}", proxy.name(), what.replace("HOST", &host)),
        };
        assert_eq!(refused.message, expected);
        assert_eq!(refused.class, Class::Transient);
    }
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_behind_a_proxy_names_host_and_proxy() {
    let (sandbox, proxy) = (sandbox().await, Proxy::start(Behaviour::Tunnel).await);
    let settings = Ros { proxy: Some(Url::parse(&proxy.url).unwrap()), ..settings(&sandbox.ros_tls_url()) };
    let refused = refusal(Client::new(&settings, credentials(None)).unwrap().signal(&success()).await);
    assert!(refused.message.starts_with("TLS with 127.0.0.1:"), "{}", refused.message);
    assert!(refused.message.ends_with(&format!("(through the proxy {})", proxy.name())), "{}", refused.message);
    assert!(refused.hint.unwrap().contains("ca_file"));
}

#[tokio::test]
async fn what_is_not_encrypted_never_goes_through_a_proxy() {
    let (sandbox, proxy) = (sandbox().await, Proxy::start(Behaviour::Tunnel).await);
    let settings = Ros { proxy: Some(Url::parse(&proxy.url).unwrap()), ..settings(&sandbox.ros_url()) };
    receipt(Client::new(&settings, credentials(None)).unwrap().signal(&success()).await);
    assert!(proxy.heads().is_empty());
}

#[tokio::test]
async fn sts_is_asked_through_the_proxy_as_ros_is() {
    let (sandbox, proxy) = (sandbox().await, Proxy::start(Behaviour::Tunnel).await);
    sandbox.set_oidc_token(Secret::from("madeUpHeader.madeUpPayload.madeUpSignature"));
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(token.path(), "madeUpHeader.madeUpPayload.madeUpSignature").unwrap();
    let role = plan::OidcRole {
        role_arn: Some("acs:ram::1:role/Assumed".into()),
        provider_arn: Some("acs:ram::1:oidc-provider/P".into()),
        token_file: Some(token.path().to_owned()),
        sts: plan::Sts { endpoint: Some(sandbox.ros_tls_url().parse().unwrap()), region: None, vpc: None },
        ..plan::OidcRole::default()
    };
    let settings = Ros {
        ca_file: Some(sandbox.ca_file().to_owned()),
        proxy: Some(Url::parse(&proxy.url).unwrap()),
        ..settings(&sandbox.ros_tls_url())
    };
    let none = HashMap::new();
    let metadata = metadata("http://127.0.0.1:1", &none);
    let cache = Cache::reaching(&Provider::OidcRole(role), &none, &metadata, Random::new(1), &Reach::of(&settings));
    assert!(cache.keys(Moment::now(), None).await.unwrap().access_key_id().starts_with("STS.Assumed."));
    assert_eq!(proxy.heads().len(), 1);
    let carried = String::from_utf8_lossy(&proxy.bytes.lock().unwrap()).into_owned();
    assert!(!carried.contains("madeUpPayload"));
}

#[tokio::test]
async fn a_credentials_uri_is_asked_past_the_proxy() {
    let proxy = Proxy::start(Behaviour::Tunnel).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = Url::parse(&format!("https://{}/keys", listener.local_addr().unwrap())).unwrap();
    let settings = Ros { proxy: Some(Url::parse(&proxy.url).unwrap()), ..settings("https://ros.example") };
    let none = HashMap::new();
    let metadata = metadata("http://127.0.0.1:1", &none);
    let cache = Cache::reaching(&Provider::CredentialsUri(Some(uri)), &none, &metadata, Random::new(1), &Reach::of(&settings));
    let asking = tokio::spawn(async move { cache.keys(Moment::now(), None).await });
    let _ = listener.accept().await.unwrap();
    assert!(asking.await.unwrap().is_err(), "whoever listens speaks no TLS");
    assert!(proxy.heads().is_empty());
}
