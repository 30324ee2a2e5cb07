//! Follows a unit, or the system, by the signals of systemd.
//!
//! One match rule for the object itself, so that other units wake nobody; two more, shared by all checks, for a reload of the
//! configuration and for systemd leaving and coming back; after these everything begins anew. `UnitNew` is not listened to: a look at a
//! unit that is not loaded loads it, which makes this signal, so that looking would feed itself. A unit that somebody starts tells of it
//! by `PropertiesChanged` right afterwards.
//!
//! A bus allows a number of rules for each connection (dbus-daemon: 512): checks beyond it are polled only.

use super::bus::{Bus, MANAGER, MANAGER_PATH, PROPERTIES, SYSTEMD, Trouble, UNIT};
use crate::plan::{Name, Systemd};
use crate::probe::progress::Progress;
use crate::probe::watch::Changes;
use futures_core::Stream;
use std::future::{pending, poll_fn};
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use zbus::message::{Message, Type};
use zbus::{Connection, MatchRule, MessageStream, OwnedObjectPath, match_rule};

/// The bus itself, and its interface.
const BUS: &str = "org.freedesktop.DBus";
/// What systemd says to whom has subscribed before.
const ALREADY: &str = "org.freedesktop.systemd1.AlreadySubscribed";
/// Between two attempts to reach the bus: doubled from the first, which suits a bus that restarts, to the last.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// The same when we were refused: too many rules, or no permission.
const PAUSE_REFUSED: Duration = Duration::from_secs(30);
/// Signals of one rule that wait to be taken. They are taken at once; when there are more, the connection waits with all that comes.
const QUEUE: NonZeroUsize = NonZeroUsize::new(8).unwrap();
/// For connecting and subscribing.
const SETUP: Duration = Duration::from_secs(10);

/// One check that is followed.
pub(super) struct Follower {
    pub(super) bus: Bus,
    pub(super) systemd: Systemd,
    pub(super) check: Name,
    pub(super) changes: Changes,
    /// When the answer will be another though nothing changes, as the last look saw it.
    pub(super) due: watch::Receiver<Option<Instant>>,
}

impl Follower {
    pub(super) async fn follow(self) {
        let due = tell_when_due(self.due.clone(), || self.changes.tell(&self.check));
        tokio::join!(self.listen(), due);
    }

    async fn listen(&self) {
        let mut pause = PAUSES.0;
        loop {
            let trouble = match timeout(SETUP, Box::pin(self.signals())).await {
                Ok(Ok(mut signals)) => {
                    pause = PAUSES.0;
                    if self.listen_to(&mut signals).await {
                        continue;
                    }
                    "the bus has closed the connection".to_owned()
                }
                Ok(Err(trouble @ Trouble::Refused { .. })) => {
                    tracing::debug!("check {} is polled only: {trouble}", self.check);
                    sleep(PAUSE_REFUSED).await;
                    continue;
                }
                Ok(Err(trouble)) => trouble.to_string(),
                Err(_) => "no answer".to_owned(),
            };
            tracing::debug!("check {} is not followed at the moment: {trouble}", self.check);
            sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    /// Tells of every signal, until one says that everything must begin anew (true) or the connection is gone. Nothing else is waited
    /// for in here: signals that nobody takes would hold up the connection, which all checks share.
    async fn listen_to(&self, signals: &mut [MessageStream]) -> bool {
        while let Some(signal) = next(signals).await {
            let header = signal.header();
            match header.member().map(|member| member.as_str()) {
                // The name, and its owner before and after. When systemd has left, only its coming back is waited for.
                Some("NameOwnerChanged") => {
                    let owners = signal.body().deserialize::<(String, String, String)>();
                    if owners.is_ok_and(|(_, _, after)| !after.is_empty()) {
                        return true;
                    }
                }
                // Before (true) and after (false) the reload.
                Some("Reloading") if signal.body().deserialize() == Ok(false) => return true,
                Some("Reloading") => {}
                _ => self.changes.tell(&self.check),
            }
        }
        false
    }

    /// Listens to everything that may change the answer; while systemd is not on the bus, to its coming.
    async fn signals(&self) -> Result<Vec<MessageStream>, Trouble> {
        let connection = self.bus.connection(&Progress::default()).await?;
        let coming = signal(BUS, BUS, "NameOwnerChanged").arg(0, SYSTEMD);
        let mut signals = vec![self.stream(&connection, coming).await?];
        let rules = match self.subscribe(&connection).await {
            Ok(rules) => rules,
            Err(Trouble::NoSystemd(_)) => return Ok(signals),
            Err(trouble) => return Err(trouble),
        };
        for rule in rules {
            signals.push(self.stream(&connection, rule).await?);
        }
        // What happened before the rules were in place.
        self.changes.tell(&self.check);
        Ok(signals)
    }

    async fn stream(&self, connection: &Connection, rule: match_rule::Builder<'_>) -> Result<MessageStream, Trouble> {
        let listening = async { MessageStream::for_match_rule(rule.build()?, connection, Some(QUEUE)).await };
        listening.await.map_err(|error| self.bus.trouble("AddMatch", &error))
    }

    /// Subscribes, and gives the rules for what is to be heard. Without a subscriber systemd sends no signals; once for the connection
    /// is enough, which systemd says by an error.
    async fn subscribe(&self, connection: &Connection) -> Result<Vec<match_rule::Builder<'static>>, Trouble> {
        match connection.call_method(Some(SYSTEMD), MANAGER_PATH, Some(MANAGER), "Subscribe", &()).await {
            Err(zbus::Error::MethodError(name, _, _)) if name.as_str() == ALREADY => {}
            answer => drop(answer.map_err(|error| self.bus.trouble("Subscribe", &error))?),
        }
        let changed = |interface| signal(SYSTEMD, PROPERTIES, "PropertiesChanged").arg(0, interface);
        let rules = match &self.systemd {
            Systemd::System(_) => vec![changed(MANAGER).path(MANAGER_PATH), signal(SYSTEMD, MANAGER, "StartupFinished")],
            Systemd::Unit(unit) => {
                let path = load(&self.bus, connection, &unit.name).await?;
                // The shared one first, or checks that found no room for it would take the room of others.
                vec![signal(SYSTEMD, MANAGER, "Reloading"), changed(UNIT).path(path.into_inner())]
            }
        };
        Ok(rules)
    }
}

/// A match rule for signals that `sender` sends to all.
fn signal(sender: &'static str, interface: &'static str, member: &'static str) -> match_rule::Builder<'static> {
    MatchRule::builder().msg_type(Type::Signal).sender(sender).interface(interface).member(member)
}

/// The object of a unit, which is loaded if it was not.
pub(super) async fn load(bus: &Bus, connection: &Connection, unit: &str) -> Result<OwnedObjectPath, Trouble> {
    let answer = bus.call(connection, MANAGER_PATH, MANAGER, "LoadUnit", &unit).await?;
    answer.body().deserialize().map_err(|error| bus.trouble("LoadUnit", &error))
}

/// The next signal of any of the streams; none: the connection is gone.
async fn next(streams: &mut [MessageStream]) -> Option<Message> {
    poll_fn(|context| {
        for stream in streams.iter_mut() {
            match Pin::new(stream).poll_next(context) {
                Poll::Ready(signal) => return Poll::Ready(signal.and_then(Result::ok)),
                Poll::Pending => {}
            }
        }
        Poll::Pending
    })
    .await
}

/// Tells when the time that the last look named has come. A later look names another, or none.
async fn tell_when_due(mut due: watch::Receiver<Option<Instant>>, tell: impl Fn()) {
    loop {
        let when = *due.borrow_and_update();
        let reached = async {
            match when {
                Some(when) => sleep_until(when).await,
                None => pending().await,
            }
        };
        let look = tokio::select! {
            look = due.changed() => look,
            () = reached => {
                tell();
                due.changed().await
            }
        };
        if look.is_err() {
            return;
        }
    }
}
