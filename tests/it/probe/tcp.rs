//! `type = "tcp"`.

use super::*;
use ros_signal_agent::check::Health;
use ros_signal_agent::plan::{SocketTarget, Tcp};

fn tcp(host: &str, port: u16) -> Tcp {
    Tcp { address: SocketTarget::HostPort(host.to_owned(), port), send: None, expect: None }
}

async fn run_tcp(tcp: Tcp) -> Observation {
    run(Probe::Tcp(tcp)).await
}

#[tokio::test]
async fn a_connection_is_passing_and_ends_with_a_fin() {
    let (ended, end) = tokio::sync::oneshot::channel();
    let ended = std::sync::Mutex::new(Some(ended));
    let port = server(move |mut stream| {
        let ended = ended.lock().unwrap().take();
        async move {
            // A FIN reads as an end, a reset as an error.
            let read = stream.read(&mut [0; 16]).await.map_err(|error| error.to_string());
            let _ = ended.unwrap().send(read);
        }
    })
    .await;
    let seen = run_tcp(tcp("127.0.0.1", port)).await;
    assert_eq!((seen.health, seen.message), (Health::Passing, format!("connected to 127.0.0.1:{port}")));
    assert_eq!(end.await.unwrap(), Ok(0));
}

#[tokio::test]
async fn a_refused_connection_names_who_refused_it() {
    let port = closed_port().await;
    let seen = run_tcp(tcp("127.0.0.1", port)).await;
    assert_eq!(seen.health, Health::Critical);
    assert_eq!(seen.message, format!("connection refused by 127.0.0.1:{port}; nothing listens there"));
    assert!(!seen.terminal);
}

#[tokio::test]
async fn localhost_is_tried_in_all_its_families() {
    // Bound to one family only, whichever localhost resolves to first.
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let Ok(listener) = TcpListener::bind(address).await else { continue };
        let v6_has_a_name = std::net::ToSocketAddrs::to_socket_addrs(&("localhost", 0)).unwrap().any(|found| found.is_ipv6());
        if address.starts_with('[') && !v6_has_a_name {
            continue;
        }
        let bound = listener.local_addr().unwrap();
        let seen = run_tcp(tcp("localhost", bound.port())).await;
        assert_eq!((seen.health, seen.message), (Health::Passing, format!("connected to {bound}")));
    }
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_critical_and_named() {
    let seen = run_tcp(tcp("db.invalid", 5432)).await;
    assert_eq!(seen.health, Health::Critical);
    assert!(seen.message.starts_with("name db.invalid does not resolve ("), "{}", seen.message);
}

#[tokio::test]
async fn send_and_expect_are_a_word_and_its_answer() {
    let echo = || {
        server(|mut stream| async move {
            let mut word = [0; 6];
            let _ = stream.read_exact(&mut word).await;
            // In two pieces, so that the first does not match.
            let _ = stream.write_all(b"+PO").await;
            let _ = stream.write_all(b"NG\r\n").await;
            let _ = stream.read(&mut word).await;
        })
    };
    let mut good = tcp("127.0.0.1", echo().await);
    good.send = Some("PING\r\n".to_owned());
    good.expect = Some(pattern(r"^\+PONG\r\n"));
    let seen = run_tcp(good.clone()).await;
    assert_eq!(seen.health, Health::Passing);
    assert!(seen.message.ends_with(r#" answered "+PONG\r\n""#), "{}", seen.message);
}

#[tokio::test]
async fn an_answer_that_does_not_match_is_shown_with_what_was_expected() {
    let port = server(|mut stream| async move {
        let _ = stream.write_all(b"220 busy\x1b[2J").await;
    })
    .await;
    let mut bad = tcp("127.0.0.1", port);
    bad.expect = Some(pattern("^250 "));
    let seen = run_tcp(bad).await;
    assert_eq!(seen.health, Health::Critical);
    assert_eq!(seen.message, format!(r#"127.0.0.1:{port} answered "220 busy\x1b[2J", expected /^250 /"#));
}

#[tokio::test]
async fn only_4_kib_of_an_answer_are_looked_at() {
    let port = server(|mut stream| async move {
        let _ = stream.write_all(&[b'x'; 4096]).await;
        let _ = stream.write_all(b"READY").await;
        let _ = stream.read(&mut [0; 16]).await;
    })
    .await;
    let mut bad = tcp("127.0.0.1", port);
    bad.expect = Some(pattern("READY"));
    let seen = run_tcp(bad).await;
    assert_eq!(seen.health, Health::Critical);
    assert!(seen.output.len() <= 4096);
}

#[tokio::test]
async fn scenario_20_a_silent_server_is_a_timeout_and_a_timeout_is_critical() {
    let port = server(|mut stream| async move {
        let _ = stream.read(&mut [0; 16]).await;
    })
    .await;
    let mut silent = tcp("127.0.0.1", port);
    silent.expect = Some(pattern("hello"));
    let seen = Prober::new().run(job(Probe::Tcp(silent), Duration::from_millis(60))).await;
    assert_eq!(seen.health, Health::Critical);
    assert_eq!(seen.message, format!("timed out after 60ms waiting for the answer of 127.0.0.1:{port}"));
    assert!(seen.took >= Duration::from_millis(60));
}

#[tokio::test]
async fn a_socket_in_the_file_system_is_connected_to() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("s");
    let unix = Tcp { address: SocketTarget::Unix(path.clone()), send: None, expect: None };
    let seen = run_tcp(unix.clone()).await;
    assert_eq!((seen.health, seen.message), (Health::Critical, format!("socket {} does not exist", path.display())));
    let _listener = tokio::net::UnixListener::bind(&path).unwrap();
    assert_eq!(run_tcp(unix).await.health, Health::Passing);
}
