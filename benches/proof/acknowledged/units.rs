//! A dbus-daemon on a socket of its own, and on it a stand-in for systemd with units that become active when they are told to.

use crate::stage::process::Running;
use crate::stage::wait;
use futures_core::Stream;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::path::Path;
use std::pin::Pin;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};
use tokio::runtime::Handle;
use zbus::message::{Message, Type};
use zbus::{Connection, MessageStream, ObjectPath, OwnedObjectPath, OwnedVariant, Variant, connection};

/// The bus and the stand-in on it.
pub(super) struct Units {
    pub(super) address: String,
    connection: Connection,
    /// The state of each unit that is not inactive.
    active: Arc<Mutex<Vec<String>>>,
    runtime: Handle,
    _daemon: Running,
}

impl Units {
    /// None: there is no dbus-daemon here.
    pub(super) fn new(home: &Path) -> Option<Self> {
        let address = format!("unix:path={}", home.join("bus").display());
        let config = home.join("bus.conf");
        std::fs::write(&config, configuration(&address)).unwrap();
        let mut daemon = Command::new("dbus-daemon");
        daemon.arg(format!("--config-file={}", config.display())).args(["--nofork", "--nopidfile", "--nosyslog"]);
        let daemon = Running(daemon.stdin(Stdio::null()).stderr(Stdio::null()).spawn().ok()?);
        let up = (0..500).any(|_| {
            wait(Duration::from_millis(10));
            home.join("bus").exists()
        });
        assert!(up, "dbus-daemon does not come up");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let active: Arc<Mutex<Vec<String>>> = Arc::default();
        let connection = runtime.block_on(serve(&address, Arc::clone(&active)));
        let handle = runtime.handle().clone();
        std::thread::spawn(move || runtime.block_on(std::future::pending::<()>()));
        Some(Self { address, connection, active, runtime: handle, _daemon: daemon })
    }

    /// Makes the unit active and says that it has changed; when that was about to be said.
    pub(super) fn activate(&self, unit: &str) -> SystemTime {
        self.active.lock().unwrap().push(unit.to_owned());
        let changed = ("org.freedesktop.systemd1.Unit", BTreeMap::<&str, OwnedVariant>::new(), Vec::<&str>::new());
        let before = super::now();
        let interface = "org.freedesktop.DBus.Properties";
        let told = self.connection.emit_signal(None::<&str>, path(unit), interface, "PropertiesChanged", &changed);
        self.runtime.block_on(told).unwrap();
        before
    }
}

fn configuration(address: &str) -> String {
    format!(
        r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <listen>{address}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"#
    )
}

async fn serve(address: &str, active: Arc<Mutex<Vec<String>>>) -> Connection {
    let connection = connection::Builder::address(address).build().await.unwrap();
    let mut calls = MessageStream::from(&connection);
    connection.request_name("org.freedesktop.systemd1").await.unwrap();
    let line = connection.clone();
    tokio::spawn(async move {
        while let Some(Ok(call)) = poll_fn(|context| Pin::new(&mut calls).poll_next(context)).await {
            if call.message_type() == Type::MethodCall {
                answer(&line, &call, &active).await;
            }
        }
    });
    connection
}

/// What the agent asks a manager: to be told of changes, where a unit is, and how it is.
async fn answer(line: &Connection, call: &Message, active: &Mutex<Vec<String>>) {
    let header = call.header();
    let object = header.path().unwrap().to_string();
    let answered = match header.member().unwrap().as_str() {
        "Subscribe" => line.reply(&header, &()).await,
        "LoadUnit" => {
            let unit: String = call.body().deserialize().unwrap();
            line.reply(&header, &path(&unit)).await
        }
        "GetAll" => {
            let is_active = active.lock().unwrap().iter().any(|unit| path(unit).as_str() == object);
            line.reply(&header, &properties(is_active)).await
        }
        other => line.reply_error(&header, "org.freedesktop.DBus.Error.UnknownMethod", &other).await,
    };
    // An agent may have gone.
    let _ = answered;
}

fn properties(is_active: bool) -> BTreeMap<&'static str, OwnedVariant> {
    let (active, sub) = if is_active { ("active", "running") } else { ("inactive", "dead") };
    [
        ("LoadState", value("loaded")),
        ("ActiveState", value(active)),
        ("SubState", value(sub)),
        ("Job", value((0_u32, ObjectPath::try_from("/").unwrap()))),
        ("Type", value("simple")),
        ("Result", value("success")),
        ("NRestarts", value(0_u32)),
    ]
    .into()
}

fn value<'a>(value: impl Into<Variant<'a>>) -> OwnedVariant {
    value.into().try_into_owned().unwrap()
}

/// sd_bus_path_encode(3): everything but letters and digits is escaped.
fn path(unit: &str) -> OwnedObjectPath {
    let escape = |byte: u8| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("_{byte:02x}") };
    let escaped: String = unit.bytes().map(escape).collect();
    ObjectPath::try_from(format!("/org/freedesktop/systemd1/unit/{escaped}")).unwrap().into()
}
