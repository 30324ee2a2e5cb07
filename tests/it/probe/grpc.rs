//! `type = "grpc"`, against the health service of tonic and against servers that speak something else, or break.

use super::https::{Authority, as_written};
use super::*;
use ::http::{Request, Response};
use ros_signal_agent::check::Health;
use ros_signal_agent::plan::{Grpc, SocketTarget};
use std::future::poll_fn;
use tonic::service::Routes;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
use tonic_health::ServingStatus;

fn grpc(port: u16) -> Grpc {
    Grpc { address: SocketTarget::HostPort("127.0.0.1".to_owned(), port), service: String::new(), tls: None }
}

async fn run_grpc(grpc: Grpc) -> Observation {
    run(Probe::Grpc(Box::new(grpc))).await
}

async fn say(grpc: Grpc) -> (Health, String) {
    let seen = run_grpc(grpc).await;
    (seen.health, seen.message)
}

/// The health service, with a service `shop` that does not serve and a service `bank` that does.
async fn health() -> Routes {
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_service_status("shop", ServingStatus::NotServing).await;
    reporter.set_service_status("bank", ServingStatus::Serving).await;
    reporter.set_service_status("odd", ServingStatus::Unknown).await;
    Routes::new(health)
}

/// A gRPC server with `routes`.
async fn serving(routes: Routes, tls: Option<ServerTlsConfig>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut server = Server::builder();
    if let Some(tls) = tls {
        server = server.tls_config(tls).unwrap();
    }
    tokio::spawn(server.add_routes(routes).serve_with_incoming(TcpIncoming::from(listener)));
    port
}

/// A server that speaks HTTP/2 and gives each request to `answer`.
async fn http2<F>(answer: F) -> u16
where
    F: Fn(Request<h2::RecvStream>, h2::server::SendResponse<std::io::Cursor<Vec<u8>>>) + Clone + Send + 'static,
{
    server(move |stream| {
        let answer = answer.clone();
        async move {
            let mut connection = h2::server::Builder::new().handshake(stream).await.unwrap();
            while let Some(Ok((request, respond))) = connection.accept().await {
                answer(request, respond);
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_real_health_service_is_asked_for_the_server_and_for_services() {
    let port = serving(health().await, None).await;
    let of = |service: &str| Grpc { service: service.to_owned(), ..grpc(port) };
    let place = format!("127.0.0.1:{port}");
    assert_eq!(say(of("")).await, (Health::Passing, format!("{place} is SERVING")));
    assert_eq!(say(of("bank")).await, (Health::Passing, format!("service \"bank\" of {place} is SERVING")));
    assert_eq!(say(of("shop")).await, (Health::Critical, format!("service \"shop\" of {place} is NOT_SERVING")));
    assert_eq!(say(of("odd")).await, (Health::Critical, format!("service \"odd\" of {place} is UNKNOWN")));
    let (health, message) = say(of("nobody")).await;
    let expected = format!("service \"nobody\" is not registered with the health service of {place} (NOT_FOUND");
    assert!(health == Health::Critical && message.starts_with(&expected), "{message}");
}

#[tokio::test]
async fn a_server_without_a_health_service_is_unknown_and_says_what_to_do() {
    let port = serving(Routes::default(), None).await;
    let (health, message) = say(grpc(port)).await;
    assert_eq!(health, Health::Unknown, "{message}");
    assert!(message.starts_with(&format!("127.0.0.1:{port} has no health service (UNIMPLEMENTED")), "{message}");
}

#[tokio::test]
async fn tls_is_spoken_and_verified() {
    let authority = Authority::new();
    let (certificate, key) = authority.issue(&["shop.example"], as_written);
    let tls = ServerTlsConfig::new().identity(Identity::from_pem(certificate, key));
    let port = serving(health().await, Some(tls)).await;
    let place = format!("127.0.0.1:{port}");
    let server_name = Some("shop.example".to_owned());
    let options = TlsOptions { verify: true, ca_file: Some(authority.ca_file()), client: None, server_name };
    let with = |tls: TlsOptions| Grpc { tls: Some(tls), ..grpc(port) };
    assert_eq!(say(with(options.clone())).await, (Health::Passing, format!("{place} is SERVING")));
    let stranger = Authority::new();
    let distrusted = say(with(TlsOptions { ca_file: Some(stranger.ca_file()), ..options.clone() })).await;
    assert_eq!(distrusted, (Health::Critical, format!("certificate of {place} is not trusted (unknown issuer)")));
    let unnamed = say(with(TlsOptions { server_name: None, ..options.clone() })).await;
    assert_eq!(unnamed, (Health::Critical, format!("certificate of {place} is not for the name 127.0.0.1")));
    let lax = TlsOptions { verify: false, ca_file: None, client: None, server_name: None };
    assert_eq!(say(with(lax)).await.0, Health::Passing);
    let (health, message) = say(grpc(port)).await;
    assert_eq!(health, Health::Critical);
    assert_eq!(message, format!("{place} does not speak HTTP/2: it speaks TLS, so write tls = true"));
}

#[tokio::test]
async fn a_client_certificate_is_shown_where_one_is_wanted() {
    let authority = Authority::new();
    let (certificate, key) = authority.issue(&["localhost"], as_written);
    let ca = Certificate::from_pem(authority.issuer.pem());
    let tls = ServerTlsConfig::new().identity(Identity::from_pem(certificate, key)).client_ca_root(ca);
    let port = serving(health().await, Some(tls)).await;
    let (certificate, key) = authority.issue(&["agent"], as_written);
    let (cert_file, key_file) = (authority.home.path().join("cert.pem"), authority.home.path().join("key.pem"));
    std::fs::write(&cert_file, certificate).unwrap();
    std::fs::write(&key_file, key).unwrap();
    let server_name = Some("localhost".to_owned());
    let options = TlsOptions { verify: true, ca_file: Some(authority.ca_file()), client: None, server_name };
    let without = say(Grpc { tls: Some(options.clone()), ..grpc(port) }).await;
    assert_eq!(without, (Health::Critical, format!("127.0.0.1:{port} wants a client certificate: give cert_file and key_file")));
    let client = Some((cert_file, key_file));
    assert_eq!(say(Grpc { tls: Some(TlsOptions { client, ..options }), ..grpc(port) }).await.0, Health::Passing);
}

#[tokio::test]
async fn a_socket_in_the_file_system_is_asked() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("grpc.sock");
    let unix = Grpc { address: SocketTarget::Unix(path.clone()), ..grpc(0) };
    assert_eq!(say(unix.clone()).await, (Health::Critical, format!("socket {} does not exist", path.display())));
    let incoming = tokio_stream::wrappers::UnixListenerStream::new(tokio::net::UnixListener::bind(&path).unwrap());
    tokio::spawn(Server::builder().add_routes(health().await).serve_with_incoming(incoming));
    assert_eq!(say(unix).await, (Health::Passing, format!("{} is SERVING", path.display())));
}

#[tokio::test]
async fn the_server_is_told_the_deadline() {
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let port = http2(move |request, mut respond| {
        let value = |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        let _ = tell.send((request.uri().to_string(), value("grpc-timeout"), value("te"), value("content-type")));
        let ended = Response::builder().header("content-type", "application/grpc").header("grpc-status", "14").body(()).unwrap();
        respond.send_response(ended, true).unwrap();
    })
    .await;
    let seen = Prober::new().run(job(Probe::Grpc(Box::new(grpc(port))), Duration::from_secs(20))).await;
    assert_eq!((seen.health, seen.message), (Health::Critical, format!("127.0.0.1:{port} answered UNAVAILABLE (14)")));
    let some = |text: &str| Some(text.to_owned());
    let uri = format!("http://127.0.0.1:{port}/grpc.health.v1.Health/Check");
    assert_eq!(told.recv().await.unwrap(), (uri, some("20000m"), some("trailers"), some("application/grpc")));
}

#[tokio::test]
async fn scenario_20_a_hung_server_is_a_timeout_that_says_so() {
    let hold = |port| async move {
        let seen = Prober::new().run(job(Probe::Grpc(Box::new(grpc(port))), Duration::from_millis(200))).await;
        (seen.health, seen.message)
    };
    let message = |port| format!("timed out after 200ms waiting for the answer of 127.0.0.1:{port}");
    // It takes the connection and says nothing.
    let port = server(|mut stream| async move { while stream.read(&mut [0; 4096]).await.unwrap_or(0) > 0 {} }).await;
    assert_eq!(hold(port).await, (Health::Critical, message(port)));
    // It takes the request and says nothing.
    let (keep, _kept) = tokio::sync::mpsc::unbounded_channel();
    let port = http2(move |request, respond| drop(keep.send((request, respond)))).await;
    assert_eq!(hold(port).await, (Health::Critical, message(port)));
}

#[tokio::test]
async fn what_does_not_speak_grpc_is_said_to_be_something_else() {
    let port = closed_port().await;
    assert_eq!(say(grpc(port)).await.1, format!("connection refused by 127.0.0.1:{port}; nothing listens there"));
    let (port, _) = answering("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
    let expected = format!("127.0.0.1:{port} does not speak HTTP/2: it answers in HTTP/1");
    assert_eq!(say(grpc(port)).await, (Health::Critical, expected));
    let port = server(|mut stream| async move {
        let _ = stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n").await;
        let _ = stream.read(&mut [0; 4096]).await;
    })
    .await;
    assert_eq!(say(grpc(port)).await.1, format!("127.0.0.1:{port} does not speak HTTP/2: it speaks SSH"));
    let port = server(|mut stream| async move {
        let _ = stream.read(&mut [0; 4096]).await;
        let _ = stream.shutdown().await;
        while stream.read(&mut [0; 4096]).await.unwrap_or(0) > 0 {}
    })
    .await;
    let expected = format!("127.0.0.1:{port} closed the connection without an answer; does it speak gRPC?");
    assert_eq!(say(grpc(port)).await, (Health::Critical, expected));
    let port = http2(|_, mut respond| {
        let html = Response::builder().header("content-type", "text/html").body(()).unwrap();
        let mut body = respond.send_response(html, false).unwrap();
        body.send_data(std::io::Cursor::new(b"<html>".to_vec()), true).unwrap();
    })
    .await;
    assert_eq!(say(grpc(port)).await.1, format!("127.0.0.1:{port} speaks HTTP/2 but not gRPC (content-type \"text/html\")"));
}

#[tokio::test]
async fn a_reset_and_a_goaway_are_named() {
    let port = http2(|_, mut respond| respond.send_reset(h2::Reason::REFUSED_STREAM)).await;
    let expected = format!("127.0.0.1:{port} refused the request (RST_STREAM, REFUSED_STREAM)");
    assert_eq!(say(grpc(port)).await, (Health::Critical, expected));
    let port = server(|stream| async move {
        let mut connection = h2::server::handshake(stream).await.unwrap();
        let request = connection.accept().await;
        connection.abrupt_shutdown(h2::Reason::ENHANCE_YOUR_CALM);
        let _ = poll_fn(|context| connection.poll_closed(context)).await;
        drop(request);
    })
    .await;
    let expected = format!("127.0.0.1:{port} ended the connection (GOAWAY, ENHANCE_YOUR_CALM)");
    assert_eq!(say(grpc(port)).await, (Health::Critical, expected));
}

#[tokio::test]
async fn an_endless_answer_is_cut() {
    let port = http2(|_, mut respond| {
        let head = Response::builder().header("content-type", "application/grpc").header("grpc-status", "0").body(()).unwrap();
        let mut body = respond.send_response(head, false).unwrap();
        tokio::spawn(async move {
            while body.send_data(std::io::Cursor::new(vec![0; 16 * 1024]), false).is_ok() {
                body.reserve_capacity(16 * 1024);
                if poll_fn(|context| body.poll_capacity(context)).await.is_none() {
                    return;
                }
            }
        });
    })
    .await;
    let expected = format!("the answer of 127.0.0.1:{port} is no HealthCheckResponse");
    assert_eq!(say(grpc(port)).await, (Health::Critical, expected));
}

#[tokio::test]
async fn a_run_leaves_no_connection_behind() {
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let port = server(move |stream| {
        let tell = tell.clone();
        async move {
            let mut connection = h2::server::handshake(stream).await.unwrap();
            while let Some(Ok((_, mut respond))) = connection.accept().await {
                let ended = Response::builder().header("content-type", "application/grpc").header("grpc-status", "14");
                respond.send_response(ended.body(()).unwrap(), true).unwrap();
            }
            let _ = tell.send(());
        }
    })
    .await;
    let prober = Prober::new();
    for _ in 0..3 {
        prober.run(job(Probe::Grpc(Box::new(grpc(port))), PATIENCE)).await;
        tokio::time::timeout(PATIENCE, told.recv()).await.unwrap().unwrap();
    }
}
