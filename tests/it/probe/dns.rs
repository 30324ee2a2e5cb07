//! `type = "dns"`, against dnsmasq and against servers that are silent, forge or break.

use super::*;
use crate::{peer, private};
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{Name, RData, Record as Resource, rdata};
use ros_signal_agent::check::{Health, Thresholds};
use ros_signal_agent::plan::{Dns, Record};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use tokio::net::UdpSocket;

fn dns(name: &str, record: Option<Record>, server: SocketAddr) -> Dns {
    let (name, server) = (name.to_owned(), Some(server));
    Dns { name, record, server, addresses: Vec::new(), exact: false, expect: None, thresholds: Thresholds::default() }
}

async fn run_dns(dns: Dns) -> Observation {
    run(Probe::Dns(Box::new(dns))).await
}

/// A dnsmasq of our own, ended with the test.
struct NameServer {
    child: Child,
    address: SocketAddr,
    _home: tempfile::TempDir,
}

impl Drop for NameServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl NameServer {
    /// None: it is not installed.
    async fn start(zone: &[&str]) -> Option<Self> {
        let program = peer::program("dnsmasq")?;
        let home = private::directory();
        let port = closed_port().await;
        let config = home.path().join("dnsmasq.conf");
        let basics = format!(
            "port={port}\nlisten-address=127.0.0.1\nbind-interfaces\nno-resolv\nno-hosts\nno-poll\nlocal=/test/\nuser=\ngroup=\npid-file={}\n",
            home.path().join("pid").display()
        );
        std::fs::write(&config, format!("{basics}{}\n", zone.join("\n"))).unwrap();
        let mut command = Command::new(program);
        command.arg("--keep-in-foreground").arg("--log-facility=-").arg(format!("--conf-file={}", config.display()));
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut server = Self { child, address: SocketAddr::from(([127, 0, 0, 1], port)), _home: home };
        let ready = async {
            while TcpStream::connect(server.address).await.is_err() {
                assert!(server.child.try_wait().unwrap().is_none(), "dnsmasq ended");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, ready).await.unwrap();
        Some(server)
    }
}

/// A server that gives each question that arrives over UDP to `answer`, and sends what comes of it from the socket that it gets.
async fn scripted<F, S>(answer: F) -> SocketAddr
where
    F: Fn(Arc<UdpSocket>, Message, SocketAddr) -> S + Send + 'static,
    S: Future<Output = ()> + Send,
{
    let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut bytes = vec![0; 4096];
        while let Ok((length, from)) = socket.recv_from(&mut bytes).await {
            answer(Arc::clone(&socket), Message::from_vec(&bytes[..length]).unwrap(), from).await;
        }
    });
    address
}

/// `question` answered with an address.
fn answered(question: &Message, address: [u8; 4]) -> Message {
    let mut message = question.clone().into_response();
    let name: Name = question.queries[0].name.clone();
    message.add_answer(Resource::from_rdata(name, 60, RData::A(rdata::A(Ipv4Addr::from(address)))));
    message
}

#[tokio::test]
async fn every_type_of_record_is_asked_of_a_real_name_server() {
    let zone = [
        "host-record=app.test,10.0.0.1,fd00::1",
        "host-record=four.test,10.0.0.4",
        "cname=www.test,four.test",
        "txt-record=txt.test,v=spf1 -all,second",
        "mx-host=mail.test,four.test,10",
        "srv-host=_sip._tcp.test,four.test,5060,1,2",
        "ptr-record=4.0.0.10.in-addr.arpa,four.test",
    ];
    let Some(server) = NameServer::start(&zone).await else { return };
    let ask = async |name: &str, record| {
        let seen = run_dns(dns(name, record, server.address)).await;
        let until_time = seen.message.split(" (").next().unwrap_or_default().replace(&server.address.to_string(), "SERVER");
        (seen.health, until_time)
    };
    let cases = [
        ("app.test", None, "app.test is 10.0.0.1, fd00::1, says name server SERVER"),
        ("app.test.", Some(Record::A), "app.test. is A 10.0.0.1, says name server SERVER"),
        ("app.test", Some(Record::Aaaa), "app.test is AAAA fd00::1, says name server SERVER"),
        ("four.test", None, "four.test is 10.0.0.4, says name server SERVER"),
        ("www.test", None, "www.test is 10.0.0.4, says name server SERVER"),
        ("www.test", Some(Record::Cname), "www.test is CNAME four.test., says name server SERVER"),
        ("txt.test", Some(Record::Txt), "txt.test is TXT v=spf1 -allsecond, says name server SERVER"),
        ("mail.test", Some(Record::Mx), "mail.test is MX 10 four.test., says name server SERVER"),
        ("_sip._tcp.test", Some(Record::Srv), "_sip._tcp.test is SRV 1 2 5060 four.test., says name server SERVER"),
        ("10.0.0.4", Some(Record::Ptr), "10.0.0.4 is PTR four.test., says name server SERVER"),
    ];
    for (name, record, expected) in cases {
        assert_eq!(ask(name, record).await, (Health::Passing, expected.to_owned()));
    }
    let wrong = [
        ("no.test", None, "no such name no.test, says name server SERVER"),
        ("four.test", Some(Record::Aaaa), "four.test has no AAAA record, says name server SERVER"),
        ("elsewhere.invalid", None, "no answer for elsewhere.invalid: name server SERVER refused to answer this host"),
    ];
    for (name, record, expected) in wrong {
        assert_eq!(ask(name, record).await, (Health::Critical, expected.to_owned()));
    }
    let mut expected = dns("txt.test", Some(Record::Txt), server.address);
    expected.expect = Some(pattern("^v=spf1 .*-all"));
    assert_eq!(run_dns(expected.clone()).await.health, Health::Passing);
    expected.expect = Some(pattern("^v=spf2"));
    assert_eq!(run_dns(expected).await.health, Health::Critical);
    let mut exact = dns("app.test", None, server.address);
    exact.addresses = vec!["10.0.0.1".parse().unwrap()];
    assert_eq!(run_dns(exact.clone()).await.health, Health::Passing);
    exact.exact = true;
    assert_eq!(run_dns(exact).await.health, Health::Critical);
}

#[tokio::test]
async fn what_does_not_fit_into_a_datagram_is_asked_for_over_tcp() {
    let zone: Vec<String> = (0..200).map(|number| format!("host-record=many.test,10.0.1.{number}")).collect();
    let Some(server) = NameServer::start(&zone.iter().map(String::as_str).collect::<Vec<_>>()).await else { return };
    let mut many = dns("many.test", Some(Record::A), server.address);
    many.addresses = vec!["10.0.1.0".parse().unwrap(), "10.0.1.199".parse().unwrap()];
    let seen = run_dns(many).await;
    assert_eq!(seen.health, Health::Passing, "{}", seen.message);
    let records = seen.readings.iter().find(|reading| reading.label == "records").unwrap();
    assert!((records.value - 200.0).abs() < 0.5, "{records:?}");
}

#[tokio::test]
async fn scenario_20_a_silent_name_server_is_asked_again_and_ends_with_the_timeout() {
    let asked = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let server = scripted(move |_, _, _| {
        count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        async {}
    })
    .await;
    let stuck = dns("app.test", Some(Record::A), server);
    let seen = Prober::new().run(job(Probe::Dns(Box::new(stuck)), Duration::from_millis(400))).await;
    assert_eq!((seen.health, seen.message), (Health::Critical, format!("timed out after 400ms asking name server {server}")));
    assert!(asked.load(std::sync::atomic::Ordering::SeqCst) > 1, "a lost datagram is sent again");
}

#[tokio::test]
async fn a_stuck_name_server_holds_up_nothing_else() {
    let stuck = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let well = scripted(|socket, question, from| async move {
        let _ = socket.send_to(&answered(&question, [10, 0, 0, 1]).to_vec().unwrap(), from).await;
    })
    .await;
    let prober = Arc::new(Prober::new());
    let mut hanging = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let (prober, check) = (Arc::clone(&prober), dns("app.test", None, stuck.local_addr().unwrap()));
        hanging.spawn(async move { prober.run(job(Probe::Dns(Box::new(check)), PATIENCE)).await });
    }
    tokio::task::yield_now().await;
    let seen = prober.run(job(Probe::Dns(Box::new(dns("app.test", Some(Record::A), well))), PATIENCE)).await;
    assert_eq!(seen.health, Health::Passing, "{}", seen.message);
    assert!(seen.took < Duration::from_secs(2), "{:?}", seen.took);
    assert!(hanging.try_join_next().is_none(), "the others hang still");
}

#[tokio::test]
async fn forged_answers_are_passed_over() {
    let elsewhere = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
    let server = scripted(move |socket, question, from| {
        let elsewhere = Arc::clone(&elsewhere);
        async move {
            let forged = answered(&question, [6, 6, 6, 6]);
            let send = async |socket: &UdpSocket, message: &Message| drop(socket.send_to(&message.to_vec().unwrap(), from).await);
            send(&elsewhere, &forged).await;
            let mut other = forged.clone();
            other.metadata.id ^= 1;
            send(&socket, &other).await;
            let mut other = forged.clone();
            other.queries[0].name = Name::from_ascii("other.test.").unwrap();
            send(&socket, &other).await;
            let mut other = forged;
            other.metadata.message_type = hickory_proto::op::MessageType::Query;
            send(&socket, &other).await;
            let _ = socket.send_to(b"\xff\xff nonsense", from).await;
            send(&socket, &answered(&question, [10, 0, 0, 1])).await;
        }
    })
    .await;
    let mut exact = dns("app.test", Some(Record::A), server);
    (exact.addresses, exact.exact) = (vec!["10.0.0.1".parse().unwrap()], true);
    let seen = run_dns(exact).await;
    assert_eq!(seen.health, Health::Passing, "{}", seen.message);
}

#[tokio::test]
async fn questions_differ_in_id_and_port() {
    let seen = Arc::new(std::sync::Mutex::new(std::collections::BTreeSet::new()));
    let asked = Arc::clone(&seen);
    let server = scripted(move |socket, question, from| {
        asked.lock().unwrap().insert((question.metadata.id, from.port()));
        async move {
            let _ = socket.send_to(&answered(&question, [10, 0, 0, 1]).to_vec().unwrap(), from).await;
        }
    })
    .await;
    for _ in 0..20 {
        assert_eq!(run_dns(dns("app.test", Some(Record::A), server)).await.health, Health::Passing);
    }
    let asked = seen.lock().unwrap();
    let (ids, ports): (std::collections::BTreeSet<_>, std::collections::BTreeSet<_>) = asked.iter().copied().unzip();
    assert!(ids.len() > 15 && ports.len() > 15, "{asked:?}");
}

#[tokio::test]
async fn a_name_server_that_is_not_there_or_fails_is_named() {
    let nobody = SocketAddr::from(([127, 0, 0, 1], closed_port().await));
    let seen = run_dns(dns("app.test", None, nobody)).await;
    assert_eq!(seen.health, Health::Critical);
    assert_eq!(seen.message, format!("no answer for app.test: connection refused by {nobody}; nothing listens there"));
    let failing = scripted(|socket, question, from| async move {
        let mut message = question.clone().into_response();
        message.metadata.response_code = ResponseCode::ServFail;
        let _ = socket.send_to(&message.to_vec().unwrap(), from).await;
    })
    .await;
    let seen = run_dns(dns("app.test", None, failing)).await;
    assert_eq!(seen.health, Health::Critical);
    assert_eq!(seen.message, format!("no answer for app.test: name server {failing} failed to find out (SERVFAIL)"));
}

#[tokio::test]
async fn a_truncated_answer_of_a_server_without_tcp_is_explained() {
    let server = scripted(|socket, question, from| async move {
        let mut message = question.clone().into_response();
        message.metadata.truncation = true;
        let _ = socket.send_to(&message.to_vec().unwrap(), from).await;
    })
    .await;
    let seen = run_dns(dns("app.test", Some(Record::Txt), server)).await;
    let expected = format!("no answer for app.test: name server {server} does not answer over TCP, as its truncated answer demands (");
    assert!(seen.health == Health::Critical && seen.message.starts_with(&expected), "{}", seen.message);
}

#[tokio::test]
async fn without_a_server_the_system_is_asked_as_every_program_does() {
    let mut local = dns("localhost", None, SocketAddr::from(([127, 0, 0, 1], 1)));
    local.server = None;
    local.addresses = vec!["127.0.0.1".parse().unwrap()];
    let seen = run_dns(local.clone()).await;
    assert_eq!(seen.health, Health::Passing, "{}", seen.message);
    assert!(seen.readings.iter().any(|reading| reading.label == "time" && reading.unit == "ms"), "{:?}", seen.readings);
    local.addresses = vec!["10.0.0.1".parse().unwrap()];
    let seen = run_dns(local).await;
    assert!(seen.health == Health::Critical && seen.message.ends_with(", without 10.0.0.1"), "{}", seen.message);
}
