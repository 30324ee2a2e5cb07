//! A small client on raw sockets, so that resets, refusals and broken answers can be told apart; and a signer.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use ring::{digest, hmac};
use ros_sandbox::{Config, Sandbox, Secret, StackSpec, Switches};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::Value;
use time::OffsetDateTime;
use time::macros::format_description;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// No exchange in these tests may take longer.
const PATIENCE: Duration = Duration::from_secs(20);

const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

pub(crate) const STACK: &str = "4a6c9851-3b0f-4f5f-b4ca-a14bf6910000";

/// A sandbox with the stack [`STACK`] that waits for one signal at `WebReady`.
pub(crate) async fn sandbox() -> Sandbox {
    sandbox_with(Switches::default(), None).await
}

pub(crate) async fn sandbox_with(switches: Switches, token: Option<&str>) -> Sandbox {
    let config =
        Config { security_token: token.map(Secret::from), switches, ..Config::new("testAccessKeyId", Secret::from("testAccessKeySecret")) };
    let sandbox = Sandbox::start(config).await.unwrap();
    sandbox.put_stack(STACK, StackSpec::waiting_for("WebReady", 1, 300.0)).unwrap();
    sandbox
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn code(&self) -> String {
        self.json()["Code"].as_str().unwrap_or_default().to_owned()
    }

    #[track_caller]
    pub(crate) fn is(&self, status: u16, code: &str) -> &Self {
        assert_eq!((self.status, self.code().as_str()), (status, code), "{}", self.body);
        self
    }

    #[track_caller]
    pub(crate) fn accepted(&self) -> String {
        assert_eq!(self.status, 200, "{}", self.body);
        let json = self.json();
        assert_eq!(json.as_object().unwrap().len(), 1, "{}", self.body);
        json["RequestId"].as_str().unwrap().to_owned()
    }
}

/// Who calls, and how.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) key_id: String,
    pub(crate) secret: String,
    pub(crate) token: Option<String>,
    pub(crate) sha1: bool,
    pub(crate) method: &'static str,
    /// Parameters travel in a form body instead of the query.
    pub(crate) form: bool,
    pub(crate) nonce: Option<String>,
    /// Seconds added to the time of signing.
    pub(crate) off: i64,
    pub(crate) accept: Option<&'static str>,
    /// `Version` of the API.
    pub(crate) version: &'static str,
}

impl Default for Caller {
    fn default() -> Self {
        Self {
            key_id: "testAccessKeyId".to_owned(),
            secret: "testAccessKeySecret".to_owned(),
            token: None,
            sha1: false,
            method: "POST",
            form: false,
            nonce: None,
            off: 0,
            accept: None,
            version: "2019-09-10",
        }
    }
}

impl Caller {
    pub(crate) fn sha1() -> Self {
        Self { sha1: true, ..Self::default() }
    }

    /// SignalResource for [`STACK`] and `WebReady`, over HTTP.
    pub(crate) async fn signal(&self, sandbox: &Sandbox, id: &str, status: &str) -> io::Result<Reply> {
        self.signal_with(sandbox, id, status, &[]).await
    }

    pub(crate) async fn signal_with(&self, sandbox: &Sandbox, id: &str, status: &str, more: &[(&str, &str)]) -> io::Result<Reply> {
        let mut parameters = vec![("LogicalResourceId", "WebReady"), ("Status", status), ("UniqueId", id)];
        parameters.extend_from_slice(more);
        self.stack_call(sandbox, "SignalResource", &parameters).await
    }

    /// Any operation on [`STACK`].
    pub(crate) async fn stack_call(&self, sandbox: &Sandbox, action: &str, more: &[(&str, &str)]) -> io::Result<Reply> {
        let mut parameters = vec![("RegionId", "cn-hangzhou"), ("StackId", STACK)];
        parameters.extend_from_slice(more);
        self.call(&sandbox.ros_url(), None, action, &parameters).await
    }

    pub(crate) async fn call(&self, url: &str, ca: Option<&Path>, action: &str, parameters: &[(&str, &str)]) -> io::Result<Reply> {
        let (target, headers, body) = self.signed(url, action, parameters);
        let headers: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        exchange(url, ca, self.method, &target, &headers, &body).await
    }

    /// Target, headers and body of a signed request.
    pub(crate) fn signed(&self, url: &str, action: &str, parameters: &[(&str, &str)]) -> (String, Vec<(String, String)>, String) {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let mut parameters: Vec<(String, String)> = parameters.iter().map(own).collect();
        if self.sha1 { self.signed_sha1(action, &mut parameters) } else { self.signed_acs3(url, action, &parameters) }
    }

    fn nonce(&self) -> String {
        self.nonce.clone().unwrap_or_else(|| uuid::Uuid::new_v4().simple().to_string())
    }

    fn date(&self) -> String {
        let at = OffsetDateTime::now_utc() + time::Duration::seconds(self.off);
        at.format(format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z")).unwrap()
    }

    fn signed_sha1(&self, action: &str, parameters: &mut Vec<(String, String)>) -> (String, Vec<(String, String)>, String) {
        let (nonce, date) = (self.nonce(), self.date());
        let has_version = parameters.iter().any(|(name, _)| name == "Version");
        let mut add = |name: &str, value: &str| parameters.push((name.to_owned(), value.to_owned()));
        add("Action", action);
        if !has_version {
            add("Version", self.version);
        }
        add("AccessKeyId", &self.key_id);
        add("SignatureMethod", "HMAC-SHA1");
        add("SignatureVersion", "1.0");
        add("SignatureNonce", &nonce);
        add("Timestamp", &date);
        if let Some(token) = &self.token {
            add("SecurityToken", token);
        }
        let text = format!("{}&%2F&{}", self.method, encode(&query(parameters)));
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, format!("{}&", self.secret).as_bytes());
        let signature = base64::engine::general_purpose::STANDARD.encode(hmac::sign(&key, text.as_bytes()));
        parameters.push(("Signature".to_owned(), signature));
        let mut headers = Vec::new();
        if let Some(accept) = self.accept {
            headers.push(("accept".to_owned(), accept.to_owned()));
        }
        if self.form {
            headers.push(("content-type".to_owned(), "application/x-www-form-urlencoded".to_owned()));
            return ("/".to_owned(), headers, query(parameters));
        }
        (format!("/?{}", query(parameters)), headers, String::new())
    }

    fn signed_acs3(&self, url: &str, action: &str, parameters: &[(String, String)]) -> (String, Vec<(String, String)>, String) {
        let encoded = query(parameters);
        let (query, body) = if self.form { (String::new(), encoded) } else { (encoded, String::new()) };
        let hash = hex(digest::digest(&digest::SHA256, body.as_bytes()).as_ref());
        let mut headers = vec![
            ("host".to_owned(), authority(url).to_owned()),
            ("x-acs-action".to_owned(), action.to_owned()),
            ("x-acs-content-sha256".to_owned(), hash.clone()),
            ("x-acs-date".to_owned(), self.date()),
            ("x-acs-signature-nonce".to_owned(), self.nonce()),
            ("x-acs-version".to_owned(), self.version.to_owned()),
        ];
        if let Some(token) = &self.token {
            headers.push(("x-acs-accesskey-id".to_owned(), self.key_id.clone()));
            headers.push(("x-acs-security-token".to_owned(), token.clone()));
        }
        if self.form {
            headers.push(("content-type".to_owned(), "application/x-www-form-urlencoded".to_owned()));
        }
        headers.sort();
        let canonical: String = headers.iter().map(|(name, value)| format!("{name}:{}\n", value.trim())).collect();
        let names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
        let names = names.join(";");
        let request = format!("{}\n/\n{query}\n{canonical}\n{names}\n{hash}", self.method);
        let hashed = hex(digest::digest(&digest::SHA256, request.as_bytes()).as_ref());
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.secret.as_bytes());
        let signature = hex(hmac::sign(&key, format!("ACS3-HMAC-SHA256\n{hashed}").as_bytes()).as_ref());
        let authorization = format!("ACS3-HMAC-SHA256 Credential={},SignedHeaders={names},Signature={signature}", self.key_id);
        headers.push(("authorization".to_owned(), authorization));
        if let Some(accept) = self.accept {
            headers.push(("accept".to_owned(), accept.to_owned()));
        }
        (format!("/?{query}"), headers, body)
    }
}

fn query(parameters: &[(String, String)]) -> String {
    let mut parameters = parameters.to_vec();
    parameters.sort();
    let pairs: Vec<String> = parameters.iter().map(|(n, v)| format!("{}={}", encode(n), encode(v))).collect();
    pairs.join("&")
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn authority(url: &str) -> &str {
    url.split_once("://").unwrap().1
}

/// JSON over HTTP to the control interface.
pub(crate) async fn control(sandbox: &Sandbox, method: &str, target: &str, body: &str) -> Reply {
    exchange(&sandbox.control_url(), None, method, target, &[], body).await.unwrap()
}

/// A request to the metadata service.
pub(crate) async fn metadata(sandbox: &Sandbox, method: &str, path: &str, headers: &[(&str, &str)]) -> io::Result<Reply> {
    exchange(&sandbox.metadata_url(), None, method, path, headers, "").await
}

/// One request on a connection of its own. Errors are those of the socket.
pub(crate) async fn exchange(
    url: &str,
    ca: Option<&Path>,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> io::Result<Reply> {
    let host = authority(url);
    let mut head = format!("{method} {target} HTTP/1.1\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
    if !headers.iter().any(|(name, _)| *name == "host") {
        head += &format!("host: {host}\r\n");
    }
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    let request = format!("{head}\r\n{body}");
    let talk = async {
        let stream = TcpStream::connect(host).await?;
        match ca {
            None => converse(stream, &request).await,
            Some(ca) => converse(encrypt(stream, ca).await?, &request).await,
        }
    };
    let bytes = tokio::time::timeout(PATIENCE, talk).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    Ok(parse(&bytes))
}

async fn converse(mut stream: impl AsyncReadExt + AsyncWriteExt + Unpin, request: &str) -> io::Result<Vec<u8>> {
    stream.write_all(request.as_bytes()).await?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await?;
    Ok(bytes)
}

async fn encrypt(stream: TcpStream, ca: &Path) -> io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

fn parse(bytes: &[u8]) -> Reply {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|status| status.parse().ok());
    let headers = lines.filter_map(|line| line.split_once(": ")).map(|(n, v)| (n.to_lowercase(), v.to_owned()));
    Reply { status: status.unwrap_or(0), headers: headers.collect(), body: body.to_owned() }
}
