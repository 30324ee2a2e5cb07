//! Connections: several requests on one, what is no HTTP, and what is too large.

use std::time::Duration;

use ros_sandbox::Sandbox;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::{Caller, authority, control, sandbox};

/// Sends bytes as they are and reads until the other end closes.
async fn raw(url: &str, bytes: &[u8]) -> String {
    talk(url, bytes, false).await
}

/// The same, but says at once that nothing more will come; the sandbox may then close without an answer.
async fn raw_and_hang_up(url: &str, bytes: &[u8]) {
    talk(url, bytes, true).await;
}

async fn talk(url: &str, bytes: &[u8], hang_up: bool) -> String {
    let talk = async {
        let mut stream = TcpStream::connect(authority(url)).await.unwrap();
        let mut answer = Vec::new();
        // A server that has had enough may close before all is written or read.
        let _ = stream.write_all(bytes).await;
        if hang_up {
            let _ = stream.shutdown().await;
        }
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    };
    tokio::time::timeout(Duration::from_secs(20), talk).await.unwrap()
}

fn urls(sandbox: &Sandbox) -> [String; 4] {
    [sandbox.ros_url(), sandbox.ros_tls_url(), sandbox.metadata_url(), sandbox.control_url()]
}

#[tokio::test]
async fn what_is_no_http_is_turned_away_and_the_sandbox_goes_on() {
    let sandbox = sandbox().await;
    let long = [b"GET /?".as_slice(), &[b'x'; 200_000], b" HTTP/1.1\r\nhost: x\r\n\r\n"].concat();
    let garbage: [&[u8]; 8] = [
        b"",
        b"\r\n\r\n",
        b"GARBAGE\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nabc",
        &long,
    ];
    for url in urls(&sandbox) {
        for bytes in garbage {
            raw_and_hang_up(&url, bytes).await;
        }
    }
    Caller::default().signal(&sandbox, "i-1", "SUCCESS").await.unwrap().accepted();
    assert_eq!(control(&sandbox, "GET", "/clock", "").await.status, 200);
}

#[tokio::test]
async fn strange_targets_and_headers_are_refused_not_stumbled_over() {
    let sandbox = sandbox().await;
    let requests = [
        "GET /?%=%zz&&=&a==b&%ff=%fe HTTP/1.1\r\nhost: x\r\n",
        "GET /?Signature HTTP/1.1\r\nhost: x\r\n",
        "GET http://elsewhere/?Action=GetStack HTTP/1.1\r\nhost: x\r\n",
        "OPTIONS * HTTP/1.1\r\nhost: x\r\n",
        "GET / HTTP/1.1\r\nhost: x\r\nauthorization: ACS3-HMAC-SHA256 Credential=,SignedHeaders=;;,Signature=\r\n",
        "GET / HTTP/1.1\r\nhost: x\r\nauthorization: ACS3-HMAC-SHA256 ,,,=\r\n",
        "GET /latest/../../etc/passwd HTTP/1.1\r\nhost: x\r\n",
        "PUT /latest/api/token HTTP/1.1\r\nhost: x\r\nx-aliyun-ecs-metadata-token-ttl-seconds: 99999999999999\r\n",
    ];
    for request in requests {
        for url in [sandbox.ros_url(), sandbox.metadata_url()] {
            let answer = raw(&url, format!("{request}connection: close\r\n\r\n").as_bytes()).await;
            assert!(answer.starts_with("HTTP/1.1 4"), "{request}: {answer}");
        }
    }
}

#[tokio::test]
async fn one_connection_takes_several_requests() {
    let sandbox = sandbox().await;
    let one = "GET /latest/meta-data/region-id HTTP/1.1\r\nhost: x\r\n";
    let answer = raw(&sandbox.metadata_url(), format!("{one}\r\n{one}connection: close\r\n\r\n").as_bytes()).await;
    assert_eq!(answer.matches("cn-hangzhou").count(), 2, "{answer}");
    assert_eq!(answer.matches("date: ").count(), 2, "{answer}");
}

#[tokio::test]
async fn a_body_above_one_mebibyte_is_413() {
    let sandbox = sandbox().await;
    let body = "x".repeat(1024 * 1024 + 1);
    let request = format!("POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let answer = raw(&sandbox.ros_url(), request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(sandbox.requests().is_empty());
}
