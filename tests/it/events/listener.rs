//! The listener as HTTP has it: connections, heads and bodies of all kinds, addresses, reloads.

use super::http::{CERTIFICATE, Headers, Listening, URL, address, becomes, event, post, signed, signed_at};
use crate::host::Host;
use crate::secrets::secrets;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// All that the agent answers to `text`, until it closes.
async fn talk(agent: &Listening, text: &[u8]) -> String {
    let mut stream = TcpStream::connect(agent.address).await.unwrap();
    stream.write_all(text).await.unwrap();
    rest(&mut stream).await
}

async fn rest(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer));
    let _ = read.await.expect("the agent closes the connection");
    String::from_utf8_lossy(&answer).into_owned()
}

/// Reads up to the end of a head.
async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// A signed request with these lines in place of `Content-Length`, and this in place of the body.
fn request(lines: &str, headers: &Headers, body: &[u8]) -> Vec<u8> {
    let signed: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    [format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}{signed}\r\n").as_bytes(), body].concat()
}

fn plain(body: &[u8]) -> Vec<u8> {
    request(&format!("Content-Length: {}\r\n", body.len()), &signed(body), body)
}

fn chunked(body: &[u8]) -> Vec<u8> {
    let (first, second) = body.split_at(body.len() / 2);
    [format!("{:x}\r\n", first.len()).as_bytes(), first, format!("\r\n{:X};x=y\r\n", second.len()).as_bytes(), second, b"\r\n0\r\n\r\n"]
        .concat()
}

#[tokio::test]
async fn one_connection_carries_many_events_also_one_behind_the_other_and_is_closed_when_it_says_no_more() {
    let agent = Listening::pinned("").await;
    let all = [plain(&event()), plain(&event()), plain(&event())].concat();
    let answered = talk(&agent, &all).await;
    assert_eq!(answered.matches("HTTP/1.1 204 ").count(), 3, "{answered}");
    assert_eq!(agent.view().await["received"], 3);
    agent.running.stop().await.unwrap();
}

#[tokio::test]
async fn a_connection_on_which_something_was_refused_is_closed_at_once() {
    let agent = Listening::pinned("").await;
    for refused in [
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}",
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        let began = tokio::time::Instant::now();
        // What comes after it is not answered.
        let answer = talk(&agent, [refused.as_bytes(), &plain(&event())].concat().as_slice()).await;
        assert!(answer.to_lowercase().contains("connection: close\r\n"), "{answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
        assert!(began.elapsed() < Duration::from_secs(4), "before it would be closed for saying nothing");
    }
    assert_eq!(agent.view().await["received"], 0);
    agent.running.stop().await.unwrap();
}

#[tokio::test]
async fn bodies_in_pieces_are_taken_and_a_length_that_is_said_twice_is_not() {
    let agent = Listening::pinned("").await;
    let body = event();
    let answer = talk(&agent, &request("Transfer-Encoding: chunked\r\nConnection: close\r\n", &signed(&body), &chunked(&body))).await;
    assert!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
    assert_eq!(agent.view().await["received"], 1);
    // As they smuggle requests past a proxy: whoever is judged by one length does not come in by the other.
    let body = event();
    let length = body.len();
    for lines in [
        format!("Content-Length: {length}\r\nContent-Length: 3\r\n"),
        format!("Content-Length: {length}, 3\r\n"),
        "Content-Length: +5\r\n".to_owned(),
        "Transfer-Encoding: gzip\r\n".to_owned(),
        "Transfer-Encoding: chunked, identity\r\n".to_owned(),
        "Transfer-Encoding : chunked\r\n".to_owned(),
    ] {
        let answer = talk(&agent, &request(&lines, &signed(&body), &chunked(&body))).await;
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.matches("HTTP/1.1 ").count() == 1, "{lines}: {answer}");
    }
    let both = request("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", &signed(&body), &[chunked(&body), plain(&event())].concat());
    let answer = talk(&agent, &both).await;
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "nothing that comes behind it is read: {answer}");
    agent.running.stop().await.unwrap();
}

#[tokio::test]
async fn who_asks_before_it_sends_a_body_is_told_to_go_on_only_if_it_may_be_believed() {
    let agent = Listening::pinned("").await;
    let body = event();
    let lines = format!("Content-Length: {}\r\nExpect: 100-continue\r\n", body.len());
    let mut stream = TcpStream::connect(agent.address).await.unwrap();
    stream.write_all(&request(&lines, &signed(&body), b"")).await.unwrap();
    assert!(head(&mut stream).await.starts_with("HTTP/1.1 100 "));
    stream.write_all(&body).await.unwrap();
    assert!(head(&mut stream).await.starts_with("HTTP/1.1 204 "));
    let answer = talk(&agent, &request(&lines, &Vec::new(), b"")).await;
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    agent.running.stop().await.unwrap();
}

#[tokio::test]
async fn connections_that_say_nothing_and_heads_without_end_hold_up_nobody_for_long() {
    let agent = Listening::pinned("").await;
    let mut silent = Vec::new();
    for _ in 0..80 {
        let mut stream = TcpStream::connect(agent.address).await.unwrap();
        stream.write_all(b"POST / HTTP/1.1\r\nHost: slow\r\n").await.unwrap();
        silent.push(stream);
    }
    let body = event();
    let sent = tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            // While it waits its time may pass, so that it is signed anew.
            if agent.send(&signed(&body), &body).await.0 == 204 {
                return;
            }
        }
    });
    sent.await.expect("a good sender gets its turn");
    let huge = vec![("x-fill".to_owned(), "x".repeat(20_000))];
    let (status, answer) = agent.send(&huge, b"").await;
    assert!(status == 431 || status == 0, "{answer}");
    drop(silent);
    agent.running.stop().await.unwrap();
}

#[tokio::test]
async fn it_listens_on_ipv6_too() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        // A host without IPv6.
        return;
    }
    let host = Host::new("").await;
    pin(&host, "[::1]:0", "");
    let agent = Listening::begin(host).await;
    assert!(agent.address.is_ipv6());
    let body = event();
    assert_eq!(agent.send(&signed(&body), &body).await.0, 204);
    agent.running.stop().await.unwrap();
}

/// Configures a source at this address.
fn pin(host: &Host, listen: &str, keys: &str) {
    std::fs::write(host.path("eventbridge.pem"), CERTIFICATE).unwrap();
    let file = host.path("eventbridge.pem").display().to_string();
    host.configure(&format!("[source.eb]\ntype = \"http\"\nlisten = \"{listen}\"\nurl = \"{URL}\"\ncertificate_file = \"{file}\"\n{keys}"));
}

#[tokio::test]
async fn an_address_that_somebody_else_has_is_told_with_what_to_do_and_taken_when_it_is_free() {
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = other.local_addr().unwrap();
    let host = Host::new("").await;
    pin(&host, &taken.to_string(), "");
    let running = host.start();
    let view = becomes(&host, |view| view["error"].is_string()).await;
    assert!(view["error"].as_str().unwrap().contains(&format!("cannot listen on {taken}")), "{view:#}");
    assert!(view["hint"].as_str().unwrap().contains("ss -ltnp"), "{view:#}");
    drop(other);
    let view = becomes(&host, |view| view["healthy"] == true).await;
    assert_eq!((address(&view), &view["error"]), (taken, &serde_json::Value::Null));
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_reload_hands_the_address_over_without_a_word_and_leaves_one_that_is_not_wanted_any_more() {
    let token = secrets()["eventbridge_token"];
    let agent = Listening::pinned("").await;
    let host = &agent.host;
    let old = agent.address;
    let mut idle = TcpStream::connect(old).await.unwrap();
    crate::private::write(&host.path("token"), token);
    pin(host, &old.to_string(), &format!("token_file = \"{}\"\n", host.path("token").display()));
    assert_eq!(host.ask("POST", "/reload", "").await.0, 200);
    let seen = std::cell::RefCell::new(Vec::new());
    // Until the new one answers: it never says that the address is not free.
    let view = becomes(host, |view| {
        seen.borrow_mut().extend(view["error"].as_str().map(str::to_owned));
        view["healthy"] == true
    })
    .await;
    assert_eq!((address(&view), seen.into_inner()), (old, Vec::<String>::new()));
    assert_eq!(rest(&mut idle).await, "", "who was connected to the old one is not left hanging");
    let body = event();
    assert_eq!(judged(old, None, &body).await, 401, "the new one wants a token");
    assert_eq!(judged(old, Some(token), &body).await, 204);
    pin(host, "127.0.0.1:0", "");
    assert_eq!(host.ask("POST", "/reload", "").await.0, 200);
    let view = becomes(host, |view| view["healthy"] == true && address(view) != old).await;
    assert!(TcpStream::connect(old).await.is_err(), "nobody listens there any more");
    assert_eq!(judged(address(&view), None, &body).await, 204);
    agent.running.stop().await.unwrap();
}

/// What is answered once the files are read that it is judged by.
async fn judged(to: SocketAddr, token: Option<&str>, body: &[u8]) -> u16 {
    loop {
        let headers = signed_at(super::http::now_ms(), body, token);
        let status = post(TcpStream::connect(to).await.unwrap(), "POST", "/", &headers, body).await.0;
        if status != 503 {
            return status;
        }
    }
}
