//! What the checks look at, served by this program so that it costs neither of those that are measured: a port that speaks HTTP, a name server, a file,
//! a process, and a bus with a stand-in for systemd.

use crate::stage::process::Running;
use futures_core::Stream;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use zbus::message::{Message, Type};
use zbus::{Connection, MessageStream, ObjectPath, OwnedObjectPath, OwnedVariant, Variant, connection};

/// A port that speaks HTTP and counts who comes.
pub(super) struct Port {
    pub(super) address: SocketAddr,
    accepted: Arc<AtomicU64>,
}

impl Port {
    pub(super) fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }
}

pub(super) struct Targets {
    /// One for agents and one for monit, so that it is known who came how often.
    pub(super) agents: Port,
    pub(super) monit: Port,
    pub(super) names: SocketAddr,
    pub(super) grpc: SocketAddr,
    pub(super) cloud_init: PathBuf,
    pub(super) file: PathBuf,
    /// The bus with the stand-in; none: there is no dbus-daemon.
    pub(super) bus: Option<String>,
    _bus: Option<Running>,
    _process: Running,
    _dir: tempfile::TempDir,
}

impl Targets {
    pub(super) fn new() -> Self {
        let dir = tempfile::Builder::new().permissions(PermissionsExt::from_mode(0o755)).tempdir().unwrap();
        let file = dir.path().join("certificate.pem");
        std::fs::write(&file, rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap().cert.pem()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (agents, monit, grpc, names) = runtime.block_on(async { (open().await, open().await, health().await, resolver().await) });
        let cloud_init = dir.path().join("cloud-init");
        std::fs::create_dir(&cloud_init).unwrap();
        std::fs::write(cloud_init.join("status.json"), CLOUD_INIT_STATUS).unwrap();
        std::fs::write(cloud_init.join("result.json"), "{\"v1\": {\"datasource\": \"DataSourceAliYun\", \"errors\": []}}").unwrap();
        let daemon = start_bus(dir.path());
        let bus = daemon.is_some().then(|| bus_address(dir.path()));
        if let Some(bus) = &bus {
            runtime.block_on(stand_in(bus));
        }
        // Targets live on a thread of their own while this one measures.
        std::thread::spawn(move || runtime.block_on(std::future::pending::<()>()));
        let process = Running(Command::new("sleep").arg("86400").spawn().unwrap());
        Self { agents, monit, names, grpc, cloud_init, file, bus, _bus: daemon, _process: process, _dir: dir }
    }
}

/// What cloud-init leaves behind when all went well.
const CLOUD_INIT_STATUS: &str = r#"{"v1": {"datasource": "DataSourceAliYun", "stage": null,
"init-local": {"errors": [], "start": 1.0, "finished": 2.0}, "init": {"errors": [], "start": 2.0, "finished": 3.0},
"modules-config": {"errors": [], "start": 3.0, "finished": 4.0}, "modules-final": {"errors": [], "start": 4.0, "finished": 5.0}}}"#;

/// As in `Date: Sun, 06 Nov 1994 08:49:37 GMT`.
const DATE: &[BorrowedFormatItem<'_>] =
    format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");

async fn open() -> Port {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = Port { address: listener.local_addr().unwrap(), accepted: Arc::default() };
    tokio::spawn(serve(listener, Arc::clone(&port.accepted)));
    port
}

/// Answers every request with 200, each connection on its own.
async fn serve(listener: TcpListener, accepted: Arc<AtomicU64>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        accepted.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(async move {
            let mut request = [0; 2048];
            let read = tokio::time::timeout(Duration::from_secs(5), stream.read(&mut request)).await;
            if matches!(read, Ok(Ok(1..))) {
                let date = time::OffsetDateTime::now_utc().format(DATE).unwrap();
                let answer = format!("HTTP/1.1 200 OK\r\nDate: {date}\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
                // Who asked may be gone: there is nobody to tell.
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
    }
}

/// A gRPC server that is healthy.
async fn health() -> SocketAddr {
    let (_, health) = tonic_health::server::health_reporter();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tonic::transport::Server::builder().add_service(health);
    tokio::spawn(server.serve_with_incoming(tonic::transport::server::TcpIncoming::from(listener)));
    address
}

async fn resolver() -> SocketAddr {
    let names = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = names.local_addr().unwrap();
    tokio::spawn(resolve(names));
    address
}

/// Answers every question (RFC 1035, section 4) with 127.0.0.1.
async fn resolve(socket: UdpSocket) {
    let mut question = [0; 512];
    while let Ok((length, from)) = socket.recv_from(&mut question).await {
        let Some(name) = question[..length].get(12..).and_then(|rest| rest.iter().position(|byte| *byte == 0)) else { continue };
        let mut answer = question[..(12 + name + 5).min(length)].to_vec();
        // An answer, recursion available; one question, one answer, nothing else.
        answer[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
        // The name of the question, type A, class IN, a minute, four bytes.
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
        let _ = socket.send_to(&answer, from).await;
    }
}

fn bus_address(dir: &Path) -> String {
    format!("unix:path={}", dir.join("bus").display())
}

/// A dbus-daemon of our own on which everybody may do everything.
fn start_bus(dir: &Path) -> Option<Running> {
    let config = dir.join("bus.conf");
    let text = format!(
        "<!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN\"\n \
         \"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd\">\n<busconfig><listen>{}</listen><auth>EXTERNAL</auth>\
         <policy context=\"default\"><allow send_destination=\"*\" eavesdrop=\"true\"/><allow eavesdrop=\"true\"/><allow own=\"*\"/></policy>\
         </busconfig>\n",
        bus_address(dir)
    );
    std::fs::write(&config, text).unwrap();
    let mut command = Command::new("dbus-daemon");
    command.arg(format!("--config-file={}", config.display())).args(["--nofork", "--nopidfile", "--nosyslog"]);
    let daemon = Running(command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().ok()?);
    let up = || std::os::unix::net::UnixStream::connect(dir.join("bus")).is_ok();
    (0..500)
        .any(|_| {
            up() || {
                crate::stage::wait(Duration::from_millis(10));
                false
            }
        })
        .then_some(daemon)
}

/// A stand-in for systemd, whose every unit is active.
async fn stand_in(bus: &str) {
    let connection = connection::Builder::address(bus).build().await.unwrap();
    let mut calls = MessageStream::from(&connection);
    connection.request_name("org.freedesktop.systemd1").await.unwrap();
    tokio::spawn(async move {
        while let Some(Ok(call)) = poll_fn(|context| Pin::new(&mut calls).poll_next(context)).await {
            if call.message_type() == Type::MethodCall {
                answer(&connection, &call).await;
            }
        }
    });
}

async fn answer(line: &Connection, call: &Message) {
    let header = call.header();
    let member = header.member().unwrap().to_string();
    let answered = match member.as_str() {
        "Subscribe" => line.reply(&header, &()).await,
        "LoadUnit" => {
            line.reply(&header, &OwnedObjectPath::from(ObjectPath::try_from("/org/freedesktop/systemd1/unit/proof").unwrap())).await
        }
        "GetAll" => line.reply(&header, &properties()).await,
        _ => line.reply_error(&header, "org.freedesktop.DBus.Error.UnknownMethod", &member).await,
    };
    // The bus may have been ended meanwhile.
    let _ = answered;
}

fn properties() -> BTreeMap<&'static str, OwnedVariant> {
    fn value<'a>(value: impl Into<Variant<'a>>) -> OwnedVariant {
        value.into().try_into_owned().unwrap()
    }
    [
        ("LoadState", value("loaded")),
        ("ActiveState", value("active")),
        ("SubState", value("running")),
        ("Job", value((0_u32, ObjectPath::try_from("/").unwrap()))),
        ("Type", value("simple")),
        ("Result", value("success")),
        ("NRestarts", value(0_u32)),
    ]
    .into()
}
