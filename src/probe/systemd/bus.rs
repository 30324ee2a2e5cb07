//! The one connection to the system bus that all systemd checks share.
//!
//! It is made when the first of them asks, and made anew by whoever asks next after the bus has closed it. Nothing here waits by a
//! clock of its own: every caller has its timeout, and whoever goes away leaves nothing behind.

use crate::probe::progress::{Doing, Progress};
use crate::probe::text::one_line;
use std::sync::Arc;
use tokio::sync::Mutex;
use zbus::message::Message;
use zbus::{Connection, connection, fdo};

/// The well-known name of systemd, org.freedesktop.systemd1(5).
pub(super) const SYSTEMD: &str = "org.freedesktop.systemd1";
/// Its object.
pub(super) const MANAGER_PATH: &str = "/org/freedesktop/systemd1";
/// The interface of that.
pub(super) const MANAGER: &str = "org.freedesktop.systemd1.Manager";
/// The interface of all units.
pub(super) const UNIT: &str = "org.freedesktop.systemd1.Unit";
/// D-Bus Specification, "Standard Interfaces".
pub(super) const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// Where the bus listens unless `DBUS_SYSTEM_BUS_ADDRESS` says otherwise.
const DEFAULT_ADDRESS: &str = "unix:path=/run/dbus/system_bus_socket";

/// Why systemd could not be asked; always our own trouble.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// No connection, or it broke.
    #[error("cannot reach the system bus at {place}: {why}; is dbus up, and not hidden from the unit of the agent?")]
    Unreachable { place: String, why: String },
    /// The bus is there, systemd is not.
    #[error("systemd is not on the system bus: {0}")]
    NoSystemd(String),
    /// It answered with an error, or in a way that nobody understands.
    #[error("systemd cannot be asked ({what}): {why}")]
    Refused { what: &'static str, why: String },
}

/// The shared connection; clones share it.
#[derive(Clone, Debug)]
pub(super) struct Bus(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    addresses: String,
    connection: Mutex<Option<Connection>>,
}

impl Bus {
    /// The bus at `addresses` (D-Bus Specification, "Server Addresses"; several stand with `;` between them), or the default one.
    pub(super) fn new(addresses: Option<String>) -> Self {
        let addresses = addresses.filter(|text| !text.is_empty()).unwrap_or_else(|| DEFAULT_ADDRESS.to_owned());
        Self(Arc::new(Shared { addresses, connection: Mutex::new(None) }))
    }

    /// Where it is, in words.
    fn place(&self) -> String {
        let addresses = one_line(&self.0.addresses);
        addresses.strip_prefix("unix:path=").map(str::to_owned).unwrap_or(addresses)
    }

    /// The connection that stands, or a new one.
    pub(super) async fn connection(&self, progress: &Progress) -> Result<Connection, Trouble> {
        progress.now(Doing::Connecting(format!("the system bus at {}", self.place())));
        let mut connection = self.0.connection.lock().await;
        if let Some(standing) = connection.as_ref().filter(|standing| !standing.is_closed()) {
            return Ok(standing.clone());
        }
        *connection = None;
        let mut why = String::new();
        for address in self.0.addresses.split(';').filter(|address| !address.is_empty()) {
            match Box::pin(connection::Builder::address(address).build()).await {
                Ok(made) => {
                    *connection = Some(made.clone());
                    return Ok(made);
                }
                Err(error) => why = said(&error),
            }
        }
        Err(Trouble::Unreachable { place: self.place(), why })
    }

    /// Ends the connection as soon as nobody uses it any longer.
    pub(super) fn hang_up(&self) {
        // Somebody who is just connecting needs it.
        if let Ok(mut connection) = self.0.connection.try_lock() {
            *connection = None;
        }
    }

    /// Calls `method` of systemd and waits for its answer.
    pub(super) async fn call<B>(
        &self,
        connection: &Connection,
        path: &str,
        interface: &str,
        method: &'static str,
        body: &B,
    ) -> Result<Message, Trouble>
    where
        B: serde::Serialize + zbus::DynamicType,
    {
        let answer = connection.call_method(Some(SYSTEMD), path, Some(interface), method, body).await;
        if let Err(zbus::Error::InputOutput(_)) = &answer {
            self.forget(connection).await;
        }
        answer.map_err(|error| self.trouble(method, &error))
    }

    /// Whoever asks next gets another connection than `broken`, which may not know yet that it is closed.
    async fn forget(&self, broken: &Connection) {
        let of = |connection: &Connection| (connection.unique_name().cloned(), connection.server_guid().clone());
        let mut connection = self.0.connection.lock().await;
        if connection.as_ref().is_some_and(|standing| of(standing) == of(broken)) {
            *connection = None;
        }
    }

    /// What an error of `what` means.
    pub(super) fn trouble(&self, what: &'static str, error: &zbus::Error) -> Trouble {
        let why = said(error);
        match error {
            zbus::Error::InputOutput(_) => Trouble::Unreachable { place: self.place(), why },
            zbus::Error::FDO(error) if is_absence(error) => Trouble::NoSystemd(why),
            _ => Trouble::Refused { what, why },
        }
    }
}

/// Whether the bus says that nobody has the name: it may also have tried to start systemd, by a service file that says `/bin/false`.
fn is_absence(error: &fdo::Error) -> bool {
    use fdo::Error::{Disconnected, NameHasNoOwner, NoReply, ServiceUnknown, SpawnChildExited, SpawnFailed, SpawnServiceNotFound};
    matches!(
        error,
        ServiceUnknown(_)
            | NameHasNoOwner(_)
            | NoReply(_)
            | Disconnected(_)
            | SpawnChildExited(_)
            | SpawnFailed(_)
            | SpawnServiceNotFound(_)
    )
}

/// The words of an error, without those of the library around them.
fn said(error: &zbus::Error) -> String {
    match error {
        zbus::Error::InputOutput(error) | zbus::Error::Connection(error, _) => one_line(&error.to_string()),
        zbus::Error::MethodError(name, None, _) => one_line(name),
        zbus::Error::MethodError(_, Some(words), _) => one_line(words),
        other => one_line(&other.to_string()),
    }
}
