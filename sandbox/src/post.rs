//! One HTTP POST to loopback, on a connection of its own, with or without TLS: as much of a client as deliveries need.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// Bytes of an answer's head; a longer one is no answer.
const HEAD_BYTES: usize = 16 * 1024;

/// A URL on loopback, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Url {
    tls: bool,
    host: String,
    port: u16,
    /// Path and query.
    target: String,
}

impl Url {
    /// Reads a URL. The sandbox has no business outside this host.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err("it must not hold blanks or control characters");
        }
        let (scheme, rest) = text.split_once("://").ok_or("it must begin with http:// or https://")?;
        let tls = match scheme {
            "http" => false,
            "https" => true,
            _ => return Err("it must begin with http:// or https://"),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at_checked(end).unwrap_or((rest, ""));
        let target = target.split('#').next().unwrap_or_default();
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(|_| "its port is no port")?),
            _ => (authority, if tls { 443 } else { 80 }),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let loopback = host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
        if !loopback {
            return Err("it must lead to loopback, such as 127.0.0.1: the sandbox posts nowhere else");
        }
        let slash = if target.starts_with('/') { "" } else { "/" };
        Ok(Self { tls, host: host.to_owned(), port, target: format!("{slash}{target}") })
    }
}

/// Posts, and gives the HTTP status. The error says what went wrong, without the URL.
pub(crate) async fn post(
    url: &Url,
    headers: &[(String, String)],
    body: &[u8],
    ca: Option<&Path>,
    patience: Duration,
) -> Result<u16, String> {
    let bracketed = if url.host.contains(':') { format!("[{}]", url.host) } else { url.host.clone() };
    let mut request = format!(
        "POST {} HTTP/1.1\r\nhost: {bracketed}:{}\r\nconnection: close\r\ncontent-length: {}\r\n",
        url.target,
        url.port,
        body.len()
    );
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    let mut request = request.into_bytes();
    request.extend_from_slice(body);
    let talk = async {
        let stream = TcpStream::connect((url.host.as_str(), url.port)).await.map_err(|error| format!("cannot connect: {error}"))?;
        if url.tls { converse(encrypt(stream, &url.host, ca).await?, &request).await } else { converse(stream, &request).await }
    };
    tokio::time::timeout(patience, talk).await.map_err(|_| format!("no answer within {} ms", patience.as_millis()))?
}

async fn encrypt(stream: TcpStream, host: &str, ca: Option<&Path>) -> Result<tokio_rustls::client::TlsStream<TcpStream>, String> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca.ok_or("no ca_file")?).map_err(|error| format!("ca_file: {error}"))? {
        roots.add(certificate.map_err(|error| format!("ca_file: {error}"))?).map_err(|error| format!("ca_file: {error}"))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
    tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(|error| format!("TLS: {error}"))
}

async fn converse(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &[u8]) -> Result<u16, String> {
    // A target may answer, and close, before it has read all of the body.
    let written = stream.write_all(request).await;
    let mut head = Vec::new();
    let mut piece = [0; 1024];
    while head.len() < HEAD_BYTES && !head.windows(4).any(|window| window == b"\r\n\r\n") {
        match stream.read(&mut piece).await {
            Ok(0) => break,
            Ok(read) => head.extend_from_slice(piece.get(..read).unwrap_or_default()),
            Err(error) => return Err(format!("the connection broke: {error}")),
        }
    }
    let text = String::from_utf8_lossy(&head);
    let status = text.lines().next().filter(|line| line.starts_with("HTTP/1.")).and_then(|line| line.split(' ').nth(1));
    match (status.and_then(|status| status.parse().ok()), written) {
        (Some(status), _) => Ok(status),
        (None, Err(error)) => Err(format!("the connection broke: {error}")),
        (None, Ok(())) => Err("the answer is no HTTP".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_a_target() {
        let url = Url::parse("http://127.0.0.1:8080/events?x=1#y").unwrap();
        assert_eq!(url, Url { tls: false, host: "127.0.0.1".to_owned(), port: 8080, target: "/events?x=1".to_owned() });
        assert_eq!(Url::parse("https://localhost?a").unwrap().target, "/?a");
        assert_eq!(Url::parse("https://[::1]/").unwrap().port, 443);
        for bad in [
            "",
            "ftp://127.0.0.1/",
            "http://example.com/",
            "http://127.0.0.1.example.com/",
            "http://a@127.0.0.1/",
            "http://127.0.0.1:x/",
            "http://127.0.0.1/ x",
        ] {
            Url::parse(bad).unwrap_err();
        }
    }
}
