//! A real dbus-daemon on a socket of its own, and on it a stand-in for systemd that can do what the real one seldom does.

use crate::probe::until;
use futures_core::Stream;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::path::PathBuf;
use std::pin::Pin;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use zbus::message::{Message, Type};
use zbus::{Connection, MessageStream, ObjectPath, OwnedObjectPath, OwnedVariant, Variant, connection};

const MANAGER: &str = "org.freedesktop.systemd1.Manager";

/// A bus that is ended with the test.
pub(super) struct Bus {
    home: tempfile::TempDir,
    program: PathBuf,
    daemon: Option<Child>,
    rules: u32,
}

impl Drop for Bus {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Bus {
    /// None: there is no dbus-daemon here.
    pub(super) fn new() -> Option<Self> {
        Self::with_rules(512)
    }

    /// The same with so many match rules for each connection; usual are 512.
    pub(super) fn with_rules(rules: u32) -> Option<Self> {
        let program = crate::peer::program("dbus-daemon")?;
        Some(Self { home: crate::private::directory(), program, daemon: None, rules })
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.home.path().join("bus")
    }

    pub(super) fn address(&self) -> String {
        format!("unix:path={}", self.socket().display())
    }

    pub(super) async fn start(&mut self) {
        let (config, rules) = (self.home.path().join("bus.conf"), self.rules);
        let text = format!(
            r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <listen>{}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
  <limit name="max_match_rules_per_connection">{rules}</limit>
</busconfig>
"#,
            self.address()
        );
        std::fs::write(&config, text).unwrap();
        let daemon = Command::new(&self.program)
            .arg(format!("--config-file={}", config.display()))
            .args(["--nofork", "--nopidfile", "--nosyslog"])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        self.daemon = Some(daemon);
        let socket = self.socket();
        until("dbus-daemon is up", || std::os::unix::net::UnixStream::connect(&socket).is_ok()).await;
    }

    pub(super) fn stop(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.kill().unwrap();
            daemon.wait().unwrap();
            let _ = std::fs::remove_file(self.socket());
        }
    }
}

pub(super) type Properties = BTreeMap<&'static str, OwnedVariant>;

/// A value of a property.
pub(super) fn value<'a>(value: impl Into<Variant<'a>>) -> OwnedVariant {
    value.into().try_into_owned().unwrap()
}

/// The stand-in. Its units answer for all their interfaces with the same properties.
pub(super) struct Systemd {
    pub(super) connection: Connection,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    units: Mutex<BTreeMap<String, Properties>>,
    system: Mutex<(String, Vec<String>)>,
    hung: AtomicBool,
    loads: AtomicUsize,
}

/// systemd.unit(5) and sd_bus_path_encode(3): everything but letters and digits is escaped.
fn path(unit: &str) -> OwnedObjectPath {
    let escape = |byte: u8| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("_{byte:02x}") };
    let escaped: String = unit.bytes().map(escape).collect();
    ObjectPath::try_from(format!("/org/freedesktop/systemd1/unit/{escaped}")).unwrap().into()
}

impl Systemd {
    pub(super) async fn on(bus: &Bus) -> Self {
        let connection = connection::Builder::address(&*bus.address()).build().await.unwrap();
        let state = Arc::new(State::default());
        *state.system.lock().unwrap() = ("running".to_owned(), Vec::new());
        let mut calls = MessageStream::from(&connection);
        connection.request_name("org.freedesktop.systemd1").await.unwrap();
        let (line, answers) = (connection.clone(), Arc::clone(&state));
        tokio::spawn(async move {
            while let Some(Ok(call)) = poll_fn(|context| Pin::new(&mut calls).poll_next(context)).await {
                if call.message_type() == Type::MethodCall && !answers.hung.load(Ordering::SeqCst) {
                    answers.answer(&line, &call).await;
                }
            }
        });
        Self { connection, state }
    }

    /// The unit with nothing but what every unit has, then with `properties`.
    pub(super) fn set(&self, unit: &str, active: &str, sub: &str, properties: impl IntoIterator<Item = (&'static str, OwnedVariant)>) {
        let mut all: Properties = [
            ("LoadState", value("loaded")),
            ("ActiveState", value(active)),
            ("SubState", value(sub)),
            ("Job", value((0_u32, ObjectPath::try_from("/").unwrap()))),
            ("Type", value("simple")),
            ("Result", value("success")),
            ("NRestarts", value(0_u32)),
            ("Description", value("not looked at")),
        ]
        .into();
        all.extend(properties);
        self.state.units.lock().unwrap().insert(unit.to_owned(), all);
    }

    /// Says that the properties of the unit have changed.
    pub(super) async fn tell(&self, unit: &str) {
        self.emit(&path(unit), "org.freedesktop.DBus.Properties", "PropertiesChanged", &changed("org.freedesktop.systemd1.Unit")).await;
    }

    pub(super) fn set_system(&self, state: &str, failed: &[&str]) {
        *self.state.system.lock().unwrap() = (state.to_owned(), failed.iter().map(|unit| (*unit).to_owned()).collect());
    }

    pub(super) async fn tell_system(&self) {
        self.emit("/org/freedesktop/systemd1", "org.freedesktop.DBus.Properties", "PropertiesChanged", &changed(MANAGER)).await;
    }

    pub(super) async fn reloaded(&self) {
        for active in [true, false] {
            self.emit("/org/freedesktop/systemd1", MANAGER, "Reloading", &active).await;
        }
    }

    async fn emit<B: serde::Serialize + zbus::DynamicType>(&self, path: &str, interface: &str, member: &str, body: &B) {
        self.connection.emit_signal(None::<&str>, path, interface, member, body).await.unwrap();
    }

    /// From now on nothing is answered, or again.
    pub(super) fn hang(&self, hung: bool) {
        self.state.hung.store(hung, Ordering::SeqCst);
    }

    /// How often units were loaded.
    pub(super) fn loads(&self) -> usize {
        self.state.loads.load(Ordering::SeqCst)
    }

    /// Connections to the bus, our own included.
    pub(super) async fn connections(&self) -> usize {
        let bus = "org.freedesktop.DBus";
        let answer = self.connection.call_method(Some(bus), "/org/freedesktop/DBus", Some(bus), "ListNames", &()).await.unwrap();
        let names: Vec<String> = answer.body().deserialize().unwrap();
        names.iter().filter(|name| name.starts_with(':')).count()
    }

    /// Leaves the bus, as systemd does when it executes itself anew.
    pub(super) async fn leave(self) {
        self.connection.close().await.unwrap();
    }
}

fn changed(interface: &str) -> (&str, BTreeMap<&str, OwnedVariant>, Vec<&str>) {
    (interface, BTreeMap::new(), Vec::new())
}

impl State {
    async fn answer(&self, line: &Connection, call: &Message) {
        let header = call.header();
        let member = header.member().unwrap().to_string();
        let object = header.path().unwrap().to_string();
        let answered = match member.as_str() {
            "Subscribe" => line.reply(&header, &()).await,
            "LoadUnit" => {
                self.loads.fetch_add(1, Ordering::SeqCst);
                let unit: String = call.body().deserialize().unwrap();
                line.reply(&header, &path(&unit)).await
            }
            "GetAll" => {
                let units = self.units.lock().unwrap().clone();
                let found = units.into_iter().find(|(unit, _)| path(unit).as_str() == object);
                let missing =
                    || [("LoadState", value("not-found")), ("ActiveState", value("inactive")), ("SubState", value("dead"))].into();
                line.reply(&header, &found.map_or_else(missing, |(_, properties)| properties)).await
            }
            "Get" => {
                let (_, name): (String, String) = call.body().deserialize().unwrap();
                let state = self.system.lock().unwrap().0.clone();
                line.reply(&header, &if name == "SystemState" { value(state) } else { value(0_u32) }).await
            }
            "ListUnitsFiltered" => {
                let failed = self.system.lock().unwrap().1.clone();
                let none = path("x");
                let listed: Vec<_> =
                    failed.iter().map(|unit| (unit.as_str(), "", "loaded", "failed", "failed", "", &none, 0_u32, "", &none)).collect();
                line.reply(&header, &listed).await
            }
            _ => line.reply_error(&header, "org.freedesktop.DBus.Error.UnknownMethod", &member).await,
        };
        // The bus may have been ended meanwhile.
        let _ = answered;
    }
}
