//! `type = "systemd"`: a unit, or the system as a whole, asked over D-Bus. No process is ever started for it.
//!
//! A look is `LoadUnit` (which, other than `GetUnit`, also knows what is not loaded) and `GetAll`, and is the truth by itself; signals
//! only make it come at once. See [`follow`].

mod bus;
mod follow;
mod system;
mod unit;

use super::progress::{Doing, Progress};
use super::watch::{Changes, Following};
use crate::check::{Health, Observation};
use crate::clock::monotonic;
use crate::plan::{Check, Name, Systemd};
use bus::{Bus, MANAGER, MANAGER_PATH, PROPERTIES, Trouble, UNIT};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use zbus::{Connection, OwnedVariant};

/// What all systemd checks share: one connection, which is made when the first of them needs it.
#[derive(Debug)]
pub(super) struct Units {
    bus: Bus,
    /// For each followed check, when its answer will be another though nothing changes. Those of checks that are followed no more are
    /// removed when the next one is followed.
    due: Mutex<BTreeMap<Name, watch::Sender<Option<Instant>>>>,
}

impl Units {
    /// On the bus at `address`; none: the system's.
    pub(super) fn new(address: Option<String>) -> Self {
        Self { bus: Bus::new(address), due: Mutex::default() }
    }

    /// Makes one observation. The caller keeps the time.
    pub(super) async fn look(&self, check: &Name, systemd: &Systemd, progress: &Progress) -> Observation {
        let mut seen = self.ask(systemd, progress).await;
        if let Err(Trouble::Unreachable { .. }) = seen {
            // The connection may have been one to a bus that has restarted meanwhile.
            seen = self.ask(systemd, progress).await;
        }
        match seen {
            Ok(seen) => {
                self.look_again(check, seen.again);
                seen.observation
            }
            Err(trouble) => Observation::new(Health::Unknown, trouble.to_string()),
        }
    }

    async fn ask(&self, systemd: &Systemd, progress: &Progress) -> Result<unit::Seen, Trouble> {
        match systemd {
            Systemd::Unit(unit) => self.unit(&unit.name, progress).await.map(|facts| unit::judge(unit, &facts, monotonic())),
            Systemd::System(system) => {
                let facts = self.system(progress).await?;
                Ok(unit::Seen { observation: system::judge(system, &facts), again: None })
            }
        }
    }

    /// How to follow what `systemd` asks for.
    pub(super) fn following(&self, check: &Arc<Check>, systemd: &Systemd, changes: &Changes) -> Following {
        let (sender, due) = watch::channel(None);
        let mut all = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, sender| !sender.is_closed());
        all.insert(Arc::clone(&check.name), sender);
        let (bus, systemd, changes) = (self.bus.clone(), systemd.clone(), changes.clone());
        Box::pin(follow::Follower { bus, systemd, check: Arc::clone(&check.name), changes, due }.follow())
    }

    /// Ends the connection: there are no such checks any more.
    pub(super) fn hang_up(&self) {
        self.bus.hang_up();
    }

    fn look_again(&self, check: &Name, after: Option<Duration>) {
        let all = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = all.get(check) {
            sender.send_replace(after.and_then(|after| Instant::now().checked_add(after)));
        }
    }

    async fn unit(&self, name: &str, progress: &Progress) -> Result<unit::Facts, Trouble> {
        let connection = self.bus.connection(progress).await?;
        progress.now(Doing::WaitingForAnswer("systemd".to_owned()));
        let path = follow::load(&self.bus, &connection, name).await?;
        let interface = interface(name);
        let general = self.properties(&connection, &path, UNIT);
        // Both at once, so that they are of one moment as nearly as can be.
        let (general, special) = tokio::try_join!(general, self.properties(&connection, &path, &interface))?;
        let mut facts = unit::Facts { general, special, job: None };
        if let Some((_, job)) = facts.general.job.as_ref().filter(|_| facts.has_job()) {
            // It may be done by now.
            facts.job = self.properties(&connection, job, "org.freedesktop.systemd1.Job").await.ok();
        }
        Ok(facts)
    }

    async fn system(&self, progress: &Progress) -> Result<system::Facts, Trouble> {
        let connection = self.bus.connection(progress).await?;
        progress.now(Doing::WaitingForAnswer("systemd".to_owned()));
        let (state, jobs) = tokio::try_join!(self.property(&connection, "SystemState"), self.property(&connection, "NJobs"))?;
        let mut facts = system::Facts { state, jobs, failed: Vec::new() };
        if facts.state == crate::plan::SystemState::Degraded.word() {
            facts.failed = self.failed(&connection).await?;
        }
        Ok(facts)
    }

    async fn failed(&self, connection: &Connection) -> Result<Vec<String>, Trouble> {
        /// Name, description, load, active and sub state, followed unit, object, job with its type and object.
        type Listed = (String, String, String, String, String, String, zbus::OwnedObjectPath, u32, String, zbus::OwnedObjectPath);
        let method = "ListUnitsFiltered";
        let answer = self.bus.call(connection, MANAGER_PATH, MANAGER, method, &["failed"].as_slice()).await?;
        let units: Vec<Listed> = answer.body().deserialize().map_err(|error| self.bus.trouble(method, &error))?;
        Ok(units.into_iter().map(|unit| unit.0).collect())
    }

    /// All properties of one interface, as far as `T` knows them.
    async fn properties<T>(&self, connection: &Connection, path: &str, interface: &str) -> Result<T, Trouble>
    where
        T: for<'a> serde::Deserialize<'a> + zbus::Type,
    {
        let answer = self.bus.call(connection, path, PROPERTIES, "GetAll", &interface).await?;
        answer.body().deserialize().map_err(|error| self.bus.trouble("GetAll", &error))
    }

    /// One property of the manager.
    async fn property<T: TryFrom<OwnedVariant, Error = zbus::Error>>(&self, connection: &Connection, name: &str) -> Result<T, Trouble> {
        let answer = self.bus.call(connection, MANAGER_PATH, PROPERTIES, "Get", &(MANAGER, name)).await?;
        let value = answer.body().deserialize::<OwnedVariant>().and_then(T::try_from);
        value.map_err(|error| self.bus.trouble("Get", &error))
    }
}

/// The interface of the kind of unit that `name` is, such as `org.freedesktop.systemd1.Service`.
fn interface(name: &str) -> String {
    let suffix = name.rsplit_once('.').map_or("service", |(_, suffix)| suffix);
    let mut letters = suffix.chars();
    let capital = letters.next().map(|letter| letter.to_ascii_uppercase());
    format!("org.freedesktop.systemd1.{}{}", capital.unwrap_or_default(), letters.as_str())
}
