//! `type = "http"` without TLS.

use super::*;
use ros_signal_agent::check::Health;
use serde_json::json;

#[tokio::test]
async fn a_good_answer_is_passing_and_the_request_is_plain() {
    let (port, requests) = answering(ok("{}")).await;
    let url = format!("http://127.0.0.1:{port}/healthz");
    let seen = run_http(http(&url)).await;
    assert_eq!((seen.health, seen.message), (Health::Passing, format!("HTTP 200 from {url}")));
    let request = requests.last().to_ascii_lowercase();
    assert!(request.starts_with("get /healthz http/1.1\r\n"), "{request}");
    assert!(request.contains(&format!("\r\nuser-agent: ros-signal-agent/{}\r\n", env!("CARGO_PKG_VERSION"))), "{request}");
    assert!(request.contains("\r\nconnection: close\r\n"), "{request}");
    assert!(request.contains(&format!("\r\nhost: 127.0.0.1:{port}\r\n")), "{request}");
}

#[tokio::test]
async fn method_headers_and_body_are_those_of_the_configuration() {
    let (port, requests) = answering(ok("{}")).await;
    let mut asked = http(&format!("http://127.0.0.1:{port}/"));
    asked.method = reqwest::Method::POST;
    asked.body = Some("ping".to_owned());
    asked.headers = [("Host", "shop.example"), ("User-Agent", "probe/9"), ("X-Two", "a"), ("X-Two", "b")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec();
    assert_eq!(run_http(asked).await.health, Health::Passing);
    let request = requests.last().to_ascii_lowercase();
    for part in ["post / http/1.1", "\r\nhost: shop.example\r\n", "\r\nuser-agent: probe/9\r\n", "\r\nx-two: a\r\n", "\r\nx-two: b\r\n"] {
        assert!(request.contains(part), "{part} is not in {request}");
    }
    assert_eq!(request.matches("user-agent").count(), 1);
    assert!(request.ends_with("\r\n\r\nping"), "{request}");
}

#[tokio::test]
async fn a_status_outside_the_ranges_is_critical_and_shows_the_body() {
    let (port, _) = answering("HTTP/1.1 503 Down\r\nContent-Length: 9\r\n\r\nno \x1b db\r\n").await;
    let url = format!("http://127.0.0.1:{port}/healthz");
    let seen = run_http(http(&url)).await;
    assert_eq!((seen.health, seen.message), (Health::Critical, format!("HTTP 503 from {url}, expected 200-399")));
    assert_eq!(seen.output, "no \\x1b db\\r\n");
}

#[tokio::test]
async fn a_status_of_warn_status_is_a_warning() {
    let (port, _) = answering("HTTP/1.1 429 Slow\r\nContent-Length: 0\r\n\r\n").await;
    let mut asked = http(&format!("http://127.0.0.1:{port}/"));
    asked.warn_status = StatusRanges(vec![(429, 429)]);
    assert_eq!(run_http(asked).await.health, Health::Warning);
}

#[tokio::test]
async fn headers_must_be_there_and_match() {
    let (port, _) = answering(ok("{}")).await;
    let url = format!("http://127.0.0.1:{port}/");
    let mut asked = http(&url);
    asked.expect_headers = vec![("content-type".to_owned(), pattern("^application/json"))];
    assert_eq!(run_http(asked.clone()).await.health, Health::Passing);
    asked.expect_headers = vec![("content-type".to_owned(), pattern("^text/"))];
    let seen = run_http(asked.clone()).await;
    assert_eq!(seen.health, Health::Critical);
    assert_eq!(seen.message, format!(r#"header content-type of {url} is "application/json", expected /^text//"#));
    asked.expect_headers = vec![("x-ready".to_owned(), pattern("."))];
    assert_eq!(run_http(asked).await.message, format!("header x-ready of {url} is missing, expected /./"));
}

#[tokio::test]
async fn the_body_must_match() {
    let (port, _) = answering(ok("starting\nup")).await;
    let url = format!("http://127.0.0.1:{port}/");
    let mut asked = http(&url);
    asked.expect_body = Some(pattern("^ready"));
    let seen = run_http(asked.clone()).await;
    assert_eq!((seen.health, seen.message), (Health::Critical, format!(r#"the body of {url} is "starting\nup", expected /^ready/"#)));
    assert_eq!(seen.output, "starting\nup");
    asked.expect_body = Some(pattern("up$"));
    assert_eq!(run_http(asked).await.health, Health::Passing);
}

#[tokio::test]
async fn json_is_looked_at_by_pointer_and_the_message_says_expected_and_got() {
    let (port, _) = answering(ok(r#"{"ApplicationHealthState":"Healthy","db":{"up":true,"lag":3}}"#)).await;
    let url = format!("http://127.0.0.1:{port}/");
    let with = |pointer: &str, value: serde_json::Value| {
        let mut asked = http(&url);
        asked.expect_json = vec![("/ApplicationHealthState".to_owned(), json!("Healthy")), (pointer.to_owned(), value)];
        asked
    };
    assert_eq!(run_http(with("/db/lag", json!(3.0))).await.health, Health::Passing);
    let seen = run_http(with("/db/up", json!("yes"))).await;
    assert_eq!((seen.health, seen.message), (Health::Critical, format!(r#"JSON of {url} has true at /db/up, expected "yes""#)));
    assert_eq!(run_http(with("/cache", json!(1))).await.message, format!("JSON of {url} has nothing at /cache, expected 1"));
}

#[tokio::test]
async fn what_is_no_json_is_said_to_be_none() {
    let (port, _) = answering(ok("<html>")).await;
    let mut asked = http(&format!("http://127.0.0.1:{port}/"));
    asked.expect_json = vec![("/a".to_owned(), json!(1))];
    let seen = run_http(asked).await;
    assert!(seen.message.contains("is not JSON (expected value at line 1 column 1)"), "{}", seen.message);
}

#[tokio::test]
async fn no_more_than_64_kib_of_a_body_are_read() {
    let big = format!("{}READY", "x".repeat(70 * 1024));
    let (port, _) = answering(ok(&big)).await;
    let mut asked = http(&format!("http://127.0.0.1:{port}/"));
    asked.expect_body = Some(pattern("READY"));
    let seen = run_http(asked).await;
    assert_eq!(seen.health, Health::Critical);
    assert!(seen.message.starts_with("the first 64 KiB of the body of "), "{}", seen.message);
    assert!(seen.message.len() <= 512 && seen.output.len() <= 4096);
}

#[tokio::test]
async fn a_body_nobody_asked_for_is_not_waited_for() {
    let port = server(|mut stream| async move {
        read_request(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        // An event stream: it ends when the client goes.
        let _ = stream.read(&mut [0; 16]).await;
    })
    .await;
    assert_eq!(run_http(http(&format!("http://127.0.0.1:{port}/events"))).await.health, Health::Passing);
}

#[tokio::test]
async fn redirects_are_not_followed_unless_asked_and_then_only_on_the_same_host() {
    let (aim, aims) = answering(ok("there")).await;
    let found = |to: &str| format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n");
    let (port, _) = answering(found(&format!("http://127.0.0.1:{aim}/aim"))).await;
    let mut asked = http(&format!("http://127.0.0.1:{port}/"));
    let seen = run_http(asked.clone()).await;
    assert_eq!((seen.health, aims.all().len()), (Health::Passing, 0));
    assert!(seen.message.starts_with("HTTP 302 from "));
    asked.follow_redirects = true;
    asked.expect_body = Some(pattern("^there$"));
    assert_eq!(run_http(asked).await.health, Health::Passing);
    assert_eq!(aims.all().len(), 1);

    let (port, _) = answering(found(&format!("http://localhost:{aim}/aim?token=secret"))).await;
    let mut asked = http(&format!("http://127.0.0.1:{port}/"));
    asked.follow_redirects = true;
    let seen = run_http(asked).await;
    assert_eq!((seen.health, aims.all().len()), (Health::Warning, 1));
    assert!(seen.message.ends_with(&format!("not followed to http://localhost:{aim}/aim?token=***, another host")), "{}", seen.message);
}

#[tokio::test]
async fn a_circle_of_redirects_is_bounded() {
    let (port, requests) = answering("HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n").await;
    let mut asked = http(&format!("http://127.0.0.1:{port}/"));
    asked.follow_redirects = true;
    let seen = run_http(asked).await;
    assert_eq!((seen.health, seen.message), (Health::Critical, format!("127.0.0.1:{port} redirects too often")));
    assert_eq!(requests.all().len(), 6);
}

#[tokio::test]
async fn a_refused_connection_says_that_nothing_listens() {
    let port = closed_port().await;
    let seen = run_http(http(&format!("http://127.0.0.1:{port}/"))).await;
    assert_eq!(seen.health, Health::Critical);
    assert_eq!(seen.message, format!("connection refused by 127.0.0.1:{port}; nothing listens there"));
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_named() {
    let seen = run_http(http("http://db.invalid/")).await;
    assert_eq!(seen.health, Health::Critical);
    assert!(seen.message.starts_with("name db.invalid does not resolve ("), "{}", seen.message);
}

#[tokio::test]
async fn a_server_that_hangs_up_or_speaks_something_else_is_told_apart() {
    let (port, _) = answering("").await;
    let seen = run_http(http(&format!("http://127.0.0.1:{port}/"))).await;
    assert_eq!(seen.message, format!("127.0.0.1:{port} closed the connection before its answer was complete"));
    let (port, _) = answering("SSH-2.0-OpenSSH_9.2\r\n").await;
    let seen = run_http(http(&format!("http://127.0.0.1:{port}/"))).await;
    assert_eq!(seen.health, Health::Critical);
    assert!(seen.message.starts_with(&format!("the answer of 127.0.0.1:{port} is not HTTP")), "{}", seen.message);
}

#[tokio::test]
async fn a_body_that_breaks_off_is_critical() {
    let (port, _) = answering("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf").await;
    let mut asked = http(&format!("http://127.0.0.1:{port}/"));
    asked.expect_body = Some(pattern("half"));
    let seen = run_http(asked).await;
    assert_eq!(seen.health, Health::Critical);
    assert_eq!(seen.message, format!("127.0.0.1:{port} closed the connection before its answer was complete"));
}

#[tokio::test]
async fn scenario_20_a_timeout_is_critical_and_says_what_the_check_was_doing() {
    let port = server(|mut stream| async move {
        read_request(&mut stream).await;
        let _ = stream.read(&mut [0; 16]).await;
    })
    .await;
    let asked = Probe::Http(Box::new(http(&format!("http://127.0.0.1:{port}/"))));
    let seen = Prober::new().run(job(asked, Duration::from_millis(80))).await;
    assert_eq!(seen.health, Health::Critical);
    assert_eq!(seen.message, format!("timed out after 80ms waiting for the answer of 127.0.0.1:{port}"));

    let port = server(|mut stream| async move {
        read_request(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf").await;
        let _ = stream.read(&mut [0; 16]).await;
    })
    .await;
    let mut asked = http(&format!("http://127.0.0.1:{port}/"));
    asked.expect_body = Some(pattern("whole"));
    let seen = Prober::new().run(job(Probe::Http(Box::new(asked)), Duration::from_millis(80))).await;
    assert_eq!(seen.message, format!("timed out after 80ms reading the answer of 127.0.0.1:{port}"));
}

#[tokio::test]
async fn every_run_opens_a_connection_of_its_own() {
    let port = server(|mut stream| async move {
        read_request(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n").await;
        // A second request on this connection would hold up the next one for ever; the client hangs up instead.
        let _ = stream.read(&mut [0; 16]).await;
    })
    .await;
    let (prober, asked) = (Prober::new(), http(&format!("http://127.0.0.1:{port}/")));
    for _ in 0..3 {
        assert_eq!(prober.run(job(Probe::Http(Box::new(asked.clone())), PATIENCE)).await.health, Health::Passing);
    }
}

#[tokio::test]
async fn a_unix_socket_takes_the_place_of_the_network() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("api.sock");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let asked_for = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let request = read_request(&mut stream).await;
        stream.write_all(ok("{}").as_bytes()).await.unwrap();
        request
    });
    let mut asked = http("http://docker.invalid/_ping");
    asked.unix_socket = Some(path);
    assert_eq!(run_http(asked).await.health, Health::Passing);
    let request = asked_for.await.unwrap().to_ascii_lowercase();
    assert!(request.starts_with("get /_ping ") && request.contains("\r\nhost: docker.invalid\r\n"), "{request}");
}

#[tokio::test]
async fn the_password_is_read_at_each_run_and_shown_nowhere() {
    let (port, requests) = answering("HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n").await;
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("password");
    let mut asked = http(&format!("http://127.0.0.1:{port}/"));
    asked.basic = Some(("joe".to_owned(), path.clone()));
    let prober = Prober::new();
    let look = || prober.run(job(Probe::Http(Box::new(asked.clone())), PATIENCE));
    let seen = look().await;
    assert_eq!(seen.health, Health::Unknown);
    assert!(seen.message.starts_with(&format!("cannot read {}: ", path.display())), "{}", seen.message);
    for (password, encoded) in [("hunter2\n", "am9lOmh1bnRlcjI="), ("other", "am9lOm90aGVy")] {
        std::fs::write(&path, password).unwrap();
        let seen = look().await;
        assert!(requests.last().contains(&format!("Basic {encoded}")) || requests.last().contains(&format!("basic {encoded}")));
        assert!(!format!("{seen:?}").contains(password.trim()) && !format!("{seen:?}").contains(encoded));
    }
}

#[tokio::test]
async fn user_and_query_of_the_url_are_masked_in_every_message() {
    let port = closed_port().await;
    let (open, requests) = answering("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n").await;
    for port in [port, open] {
        let seen = run_http(http(&format!("http://joe:hunter2@127.0.0.1:{port}/x?token=s3cret"))).await;
        let said = format!("{seen:?}");
        assert!(!said.contains("hunter2") && !said.contains("s3cret") && !said.contains("joe"), "{said}");
    }
    assert!(requests.last().starts_with("GET /x?token=s3cret "));
}

#[test]
fn proxies_of_the_environment_are_ignored_and_a_configured_one_is_used() {
    let nowhere = ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"].map(|variable| (variable, "http://127.0.0.1:1"));
    let name = "probe::http::proxies_of_the_environment_are_ignored_and_a_configured_one_is_used";
    if !in_process_with(name, &nowhere) {
        return;
    }
    runtime().block_on(async {
        let (port, _) = answering(ok("{}")).await;
        assert_eq!(run_http(http(&format!("http://127.0.0.1:{port}/"))).await.health, Health::Passing);
        let (proxy, requests) = answering(ok("{}")).await;
        let mut asked = http("http://shop.invalid/");
        asked.proxy = Some(format!("http://127.0.0.1:{proxy}").parse().unwrap());
        assert_eq!(run_http(asked).await.health, Health::Passing);
        assert!(requests.last().starts_with("GET http://shop.invalid/ "), "{}", requests.last());
    });
}

#[tokio::test]
async fn an_answer_that_has_failed_is_not_spoiled_by_a_body_that_hangs() {
    let port = server(|mut stream| async move {
        read_request(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 500 No\r\nContent-Length: 9\r\n\r\nhalf").await;
        let _ = stream.read(&mut [0; 16]).await;
    })
    .await;
    let asked = Probe::Http(Box::new(http(&format!("http://127.0.0.1:{port}/"))));
    let seen = Prober::new().run(job(asked, Duration::from_millis(80))).await;
    assert_eq!(seen.message, format!("HTTP 500 from http://127.0.0.1:{port}/, expected 200-399"));
}
