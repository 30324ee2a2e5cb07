//! A stand-in for Alibaba Cloud ROS and for the ECS metadata service, on loopback, for rehearsals and tests.
//!
//! It verifies signatures with its own code, keeps stacks with wait conditions and their handles as the ROS pages
//! describe them, takes scripted faults, and remembers what it saw. It shares no code with the agent that it checks.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use ros_sandbox::{Config, Sandbox, Secret, StackSpec};
//!
//! let sandbox = Sandbox::start(Config::new("testAccessKeyId", Secret::from("testAccessKeySecret"))).await?;
//! sandbox.put_stack("4a6c9851-3b0f-4f5f-b4ca-a14bf6910000", StackSpec::waiting_for("WebReady", 1, 300.0))?;
//! println!("{}", sandbox.ros_url());
//! sandbox.stop().await;
//! # Ok(()) }
//! ```
//!
//! Rooms: `server` (sockets, HTTP) -> `pipeline` (one request's way, faults) -> `api` and `operations` (ROS), `ess`, `sts`, `smq`, `metadata`;
//! behind them `gate` and `signature` (who asks), `stack` (the pure model), `records` (what was seen); `events` -> `bridge` -> `deliver` (EventBridge, with
//! `seal` for its signatures and `post` for HTTP); `control` scripts it all.

#![forbid(unsafe_code)]

mod answer;
mod api;
mod bridge;
mod clock;
mod control;
mod deliver;
mod ess;
mod events;
mod faults;
mod gate;
mod handle;
mod metadata;
mod operations;
mod pipeline;
mod post;
mod records;
mod refusal;
mod request;
mod seal;
mod secret;
mod server;
mod signature;
mod smq;
mod stack;
mod sts;
mod switches;
mod target;
mod throttle;
mod tls;
mod world;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

pub use crate::bridge::{Delivery, DeliveryOutcome, EmittedEvent, TargetView};
pub use crate::ess::{ActionView, HookSpec, ScalingError, ScalingGroupSpec, ScalingGroupView, Transition};
pub use crate::events::{EventRequest, event_types};
pub use crate::faults::{Effect, Fault, FaultError, Match, When};
pub use crate::metadata::MetadataError;
pub use crate::records::RequestRecord;
pub use crate::request::{Service, WireScheme};
pub use crate::seal::Signature;
pub use crate::secret::Secret;
pub use crate::signature::Scheme;
pub use crate::smq::{MessageView, QueueView, SmqError, TopicView};
pub use crate::stack::SignalStatus;
pub use crate::stack::change::{Change, ChangeError, ChangeKind};
pub use crate::stack::spec::{CreateOption, Mode, ResourceSpec, SpecError, StackSpec};
pub use crate::stack::status::{Status, UnknownStatus};
pub use crate::stack::view::{ResourceView, SignalSeen, SignalView, StackView, TimelineEvent};
pub use crate::switches::{
    AfterCompletion, EventTime, Format, HandleAnswer, HandleHeaders, PublishTime, SmqSignature, StatusChangeEvents, Switches,
    UpdateTimeMoves,
};
pub use crate::target::{ContentMode, EventTarget, RetryStrategy, TargetError, Transform};
pub use crate::tls::TlsError;

use crate::clock::Clock;
use crate::gate::{AccessKey, Gate, Holder};
use crate::server::Door;
use crate::world::World;

/// Longest time between two looks at the stacks when nothing is due.
const IDLE: Duration = Duration::from_secs(3600);

/// How long [`Sandbox::stop`] waits for the listeners to end.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// What a sandbox is started with.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where ROS listens over HTTP; must be loopback. The other ports are ephemeral on the same address.
    pub listen: SocketAddr,
    /// Where SMQ listens, if not at an ephemeral port of the same address; must be loopback.
    pub smq_listen: Option<SocketAddr>,
    /// The access key id that requests are signed with.
    pub access_key_id: String,
    /// Its secret.
    pub access_key_secret: Secret,
    /// Its STS token, if it is a temporary key.
    pub security_token: Option<Secret>,
    /// The years in which the certificate of ROS is good. None: for centuries, whatever clocks say.
    pub certificate_years: Option<RangeInclusive<i32>>,
    /// What the service does where the documents are silent.
    pub switches: Switches,
}

impl Config {
    /// An ephemeral port on 127.0.0.1, a long-term key, and the default switches.
    pub fn new(access_key_id: &str, access_key_secret: Secret) -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            smq_listen: None,
            access_key_id: access_key_id.to_owned(),
            access_key_secret,
            security_token: None,
            certificate_years: None,
            switches: Switches::default(),
        }
    }
}

/// A sandbox could not be started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The sandbox has no business outside this host.
    #[error("cannot listen on {0}: the sandbox listens on loopback only, such as 127.0.0.1:0")]
    NotLoopback(SocketAddr),
    /// A port cannot be had.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The file with the certificate authority cannot be written.
    #[error("cannot write the certificate authority to a temporary directory")]
    CaFile(#[source] io::Error),
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// A running sandbox. Clones are handles to the same one; it ends with [`Sandbox::stop`] or with its last handle.
#[derive(Debug, Clone)]
pub struct Sandbox {
    running: Arc<Running>,
}

#[derive(Debug)]
struct Running {
    world: Arc<World>,
    ros: SocketAddr,
    ros_tls: SocketAddr,
    metadata: SocketAddr,
    handle: SocketAddr,
    smq: SocketAddr,
    control: SocketAddr,
    ca_file: PathBuf,
    /// Removed with the sandbox.
    _directory: TempDir,
    stop: watch::Sender<bool>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

impl Sandbox {
    /// Starts a sandbox on the current tokio runtime, which needs I/O and time enabled (a current-thread one will do).
    ///
    /// # Errors
    /// The address is not loopback or taken, or the certificate cannot be made or written.
    pub async fn start(config: Config) -> Result<Sandbox, Error> {
        let ip = config.listen.ip();
        if !ip.is_loopback() {
            return Err(Error::NotLoopback(config.listen));
        }
        if let Some(outside) = config.smq_listen.filter(|address| !address.ip().is_loopback()) {
            return Err(Error::NotLoopback(outside));
        }
        let identity = tls::identity(ip, config.certificate_years.as_ref())?;
        let private = std::fs::Permissions::from_mode(0o700);
        let directory = tempfile::Builder::new().prefix("ros-sandbox-").permissions(private).tempdir();
        let directory = directory.map_err(Error::CaFile)?;
        let ca_file = directory.path().join("ca.pem");
        std::fs::write(&ca_file, &identity.ca_pem).map_err(Error::CaFile)?;

        let clock = Clock::start();
        let key = AccessKey {
            id: config.access_key_id,
            secret: config.access_key_secret,
            token: config.security_token,
            issued: clock.now(),
            expires: None,
            holder: Holder::Configured,
        };
        let world = Arc::new(World::new(clock, Gate::new(key), config.switches));
        let (stop, stopped) = watch::channel(false);
        let mut tasks = Vec::new();
        let mut open = async |address: SocketAddr, service: Service, tls: Option<TlsAcceptor>| {
            let (listener, address) = listen(address).await?;
            let door = Door { world: world.clone(), service, tls, stop: stopped.clone() };
            tasks.push(tokio::spawn(server::serve(door, listener, address)));
            Ok::<SocketAddr, Error>(address)
        };
        let ros = open(config.listen, Service::Ros, None).await?;
        let ros_tls = open(ephemeral(ip), Service::Ros, Some(identity.acceptor)).await?;
        let metadata = open(ephemeral(ip), Service::Metadata, None).await?;
        let handle = open(ephemeral(ip), Service::Handle, None).await?;
        world.lock().handles.base = format!("http://{handle}");
        let smq = open(config.smq_listen.unwrap_or_else(|| ephemeral(ip)), Service::Smq, None).await?;
        let control = open(ephemeral(ip), Service::Control, None).await?;
        let certificate = format!("https://{ros_tls}{}", seal::CERTIFICATE_PATH);
        let _ = world.certificate.set((certificate, ca_file.clone()));
        tasks.push(tokio::spawn(deliver::run(world.clone(), stopped.clone())));
        tasks.push(tokio::spawn(keep_time(world.clone(), stopped)));
        let tasks = Mutex::new(tasks);
        let running = Running { world, ros, ros_tls, metadata, handle, smq, control, ca_file, _directory: directory, stop, tasks };
        Ok(Sandbox { running: Arc::new(running) })
    }

    /// Where ROS listens: `http://127.0.0.1:PORT`.
    pub fn ros_url(&self) -> String {
        format!("http://{}", self.running.ros)
    }

    /// Where ROS listens over TLS: `https://127.0.0.1:PORT`; trust [`Sandbox::ca_file`].
    pub fn ros_tls_url(&self) -> String {
        format!("https://{}", self.running.ros_tls)
    }

    /// Where the metadata service listens: `http://127.0.0.1:PORT`, paths begin with `/latest/`.
    pub fn metadata_url(&self) -> String {
        format!("http://{}", self.running.metadata)
    }

    /// Where the service behind the URLs of handles listens: `http://127.0.0.1:PORT`.
    pub fn handle_url(&self) -> String {
        format!("http://{}", self.running.handle)
    }

    /// An attribute of a handle as GetStackResource shows it now: `URL`, `Headers`, `CurlCli` or `WindowsCurlCli`; what is no text as
    /// JSON text. None if there is no such stack, handle or attribute.
    pub fn handle_attribute(&self, stack: &str, handle: &str, attribute: &str) -> Option<Secret> {
        let world = &self.running.world;
        let inner = world.lock();
        let stack = inner.stacks.get(stack).filter(|stack| stack.has_handle(handle))?;
        let found = inner.handles.attributes(stack, handle, world.clock.now(), &inner.switches);
        let (_, value) = found.into_iter().find(|(key, _)| *key == attribute)?;
        Some(Secret::new(value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
    }

    /// Where SMQ listens: `http://127.0.0.1:PORT`.
    pub fn smq_url(&self) -> String {
        format!("http://{}", self.running.smq)
    }

    /// Makes a queue with default attributes, if it is not there yet.
    ///
    /// # Errors
    /// The name is not one of a queue, or there are too many.
    pub fn make_queue(&self, name: &str) -> Result<(), SmqError> {
        let world = &self.running.world;
        world.lock().smq.make_queue(name, world.clock.now())
    }

    /// Removes a queue with all its messages, as somebody else would. False if there was none.
    pub fn remove_queue(&self, name: &str) -> bool {
        let removed = self.running.world.lock().smq.remove_queue(name);
        self.running.world.ring();
        removed
    }

    /// Makes a topic, if it is not there yet.
    ///
    /// # Errors
    /// The name is not one of a topic, or there are too many.
    pub fn make_topic(&self, name: &str) -> Result<(), SmqError> {
        let world = &self.running.world;
        world.lock().smq.make_topic(name, world.clock.now())
    }

    /// Has a subscription get its messages as `XML`, `JSON` or `SIMPLIFIED`, as if it had been made so. False if there is none.
    pub fn set_subscription_format(&self, topic: &str, subscription: &str, format: &str) -> bool {
        self.running.world.lock().smq.set_format(topic, subscription, format)
    }

    /// Puts a message into a queue, as an EventBridge target of type `acs.mns.queue` does; gives its id.
    ///
    /// # Errors
    /// There is no such queue, or it does not take the message.
    pub fn put_message(&self, queue: &str, body: &str) -> Result<String, SmqError> {
        self.running.world.put_message(queue, body)
    }

    /// Publishes a message to a topic, as an EventBridge target of type `acs.mns.topic` does; gives its id.
    ///
    /// # Errors
    /// There is no such topic, or it does not take the message.
    pub fn publish_message(&self, topic: &str, body: &str) -> Result<String, SmqError> {
        self.running.world.publish_message(topic, body)
    }

    /// A queue as it stands.
    pub fn queue(&self, name: &str) -> Option<QueueView> {
        let world = &self.running.world;
        world.lock().smq.queue_view(name, world.clock.now())
    }

    /// All queues, by name.
    pub fn queues(&self) -> Vec<QueueView> {
        let world = &self.running.world;
        world.lock().smq.queue_views(world.clock.now())
    }

    /// All topics, by name.
    pub fn topics(&self) -> Vec<TopicView> {
        self.running.world.lock().smq.topic_views()
    }

    /// Where the control interface listens.
    pub fn control_url(&self) -> String {
        format!("http://{}", self.running.control)
    }

    /// The certificate authority to trust, in PEM, in a private directory that is removed with the sandbox.
    pub fn ca_file(&self) -> &Path {
        &self.running.ca_file
    }

    /// Creates or updates a stack, or forces its status, as `PUT /stacks/ID` does.
    ///
    /// # Errors
    /// The description makes no sense; nothing has been changed.
    #[expect(clippy::needless_pass_by_value, reason = "callers build the description in place")]
    pub fn put_stack(&self, id: &str, spec: StackSpec) -> Result<(), SpecError> {
        self.running.world.put_stack(id, &spec)
    }

    /// Begins an operation of a stack's life, such as an update, as `POST /stacks/ID/operations` does.
    ///
    /// # Errors
    /// The description makes no sense, there is no such stack, or it is not in a status for this; nothing has been changed.
    #[expect(clippy::needless_pass_by_value, reason = "callers build the description in place")]
    pub fn change(&self, id: &str, change: Change) -> Result<(), ChangeError> {
        self.running.world.change_stack(id, &change)
    }

    /// A stack as it stands.
    pub fn stack(&self, id: &str) -> Option<StackView> {
        self.running.world.advance();
        self.running.world.lock().stacks.get(id).map(stack::Stack::view)
    }

    /// Makes a handle available that was created with `too_early`. False if there is no such stack or handle.
    pub fn make_available(&self, stack: &str, handle: &str) -> bool {
        self.running.world.make_available(stack, handle)
    }

    /// Creates a scaling group, or gives it other hooks, as `PUT /scaling-groups/ID` does.
    ///
    /// # Errors
    /// The description makes no sense; nothing has been changed.
    #[expect(clippy::needless_pass_by_value, reason = "callers build the description in place")]
    pub fn put_scaling_group(&self, id: &str, spec: ScalingGroupSpec) -> Result<(), ScalingError> {
        self.running.world.lock().ess.put(id, &spec)
    }

    /// Begins a scaling activity that adds or removes these instances, held by the group's hooks; gives its id.
    ///
    /// # Errors
    /// There is no such group, or too much of something.
    pub fn scale(&self, group: &str, transition: Transition, instances: &[&str]) -> Result<String, ScalingError> {
        let instances: Vec<String> = instances.iter().map(|id| (*id).to_owned()).collect();
        self.running.world.scale(group, transition, &instances)
    }

    /// A scaling group as it stands.
    pub fn scaling_group(&self, id: &str) -> Option<ScalingGroupView> {
        self.running.world.advance();
        self.running.world.lock().ess.view(id)
    }

    /// The requests that ROS and the metadata service saw, oldest first; the last 4096.
    pub fn requests(&self) -> Vec<RequestRecord> {
        self.running.world.lock().records.all()
    }

    /// How many requests came in all, and how many of them are no longer kept.
    pub fn requests_seen_and_dropped(&self) -> (u64, u64) {
        let inner = self.running.world.lock();
        (inner.records.seen(), inner.records.dropped())
    }

    /// Adds a fault; gives its id.
    ///
    /// # Errors
    /// The fault makes no sense, or there are too many.
    pub fn add_fault(&self, fault: Fault) -> Result<u64, FaultError> {
        let world = &self.running.world;
        let now = world.clock.now();
        let id = world.lock().faults.add(fault, now)?;
        world.ring();
        Ok(id)
    }

    /// Removes all faults; stalled requests go on, closed ports open.
    pub fn clear_faults(&self) {
        self.running.world.lock().faults.clear();
        self.running.world.ring();
    }

    /// Sets a metadata value; the path is without `/latest/`, such as `meta-data/instance-id`.
    ///
    /// # Errors
    /// Path or value is too long, or there are too many values.
    pub fn set_metadata(&self, path: &str, value: impl Into<String>) -> Result<(), MetadataError> {
        self.running.world.lock().metadata.set(path, value.into())
    }

    /// Removes a metadata value and all below it. False if there was none.
    pub fn remove_metadata(&self, path: &str) -> bool {
        self.running.world.lock().metadata.remove(path)
    }

    /// The switches in force.
    pub fn switches(&self) -> Switches {
        self.running.world.lock().switches
    }

    /// Sets all switches.
    pub fn set_switches(&self, switches: Switches) {
        self.running.world.lock().switches = switches;
    }

    /// Sets what is added to the clock that the outside is told: `Date` headers and the window of signatures.
    pub fn set_skew_seconds(&self, seconds: i64) {
        self.running.world.clock.set_skew(seconds);
        self.running.world.ring();
    }

    /// Moves the sandbox's clock forward: timeouts of conditions, lifetimes of faults, tokens and credentials.
    pub fn advance_clock(&self, by: Duration) {
        self.running.world.clock.advance(by);
        self.running.world.advance();
        self.running.world.ring();
    }

    /// How long temporary credentials live that the metadata service and the credentials URI issue from here on, and at most those of STS.
    /// Default six hours.
    pub fn set_credential_lifetime(&self, lifetime: Duration) {
        let seconds = i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX).min(clock::FURTHEST_SECONDS);
        self.running.world.lock().gate.lifetime = time::Duration::seconds(seconds);
    }

    /// The metadata service and the credentials URI hand out new credentials from here on; the old ones work until they expire.
    pub fn rotate_credentials(&self) {
        let now = self.running.world.clock.now();
        self.running.world.lock().gate.rotate(now);
    }

    /// Secret and token of every temporary key that was issued, by whichever service: what a test may look for where it must not be.
    pub fn issued_secrets(&self) -> Vec<Secret> {
        self.running.world.lock().gate.secrets()
    }

    /// The token of an identity provider that AssumeRoleWithOIDC takes from here on; the one before is no longer taken.
    pub fn set_oidc_token(&self, token: Secret) {
        self.running.world.lock().sts.oidc_token = Some(token);
    }

    /// Where credentials are handed out over plain HTTP, as by a credentials URI.
    pub fn credentials_uri(&self) -> String {
        format!("{}{}", self.metadata_url(), metadata::CREDENTIALS_URI)
    }

    /// All temporary credentials issued so far are expired from here on.
    pub fn expire_credentials(&self) {
        let now = self.running.world.clock.now();
        self.running.world.lock().gate.expire_all(now);
    }

    /// The timeline of all stacks from here on, as it happens. A reader that lags more than 1024 events behind loses
    /// the oldest and is told how many.
    pub fn subscribe(&self) -> broadcast::Receiver<TimelineEvent> {
        self.running.world.timeline.subscribe()
    }

    /// Ends the sandbox: listeners close, connections break off. Other handles stay, without a service behind them.
    pub async fn stop(self) {
        self.running.stop.send_replace(true);
        let tasks = std::mem::take(&mut *self.running.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        for task in tasks {
            let _ = tokio::time::timeout(STOP_TIMEOUT, task).await;
        }
    }
}

fn ephemeral(ip: IpAddr) -> SocketAddr {
    SocketAddr::new(ip, 0)
}

async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), Error> {
    let failed = |source| Error::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

/// Brings the stacks forward when something is due, so that timeouts happen without a request.
async fn keep_time(world: Arc<World>, mut stop: watch::Receiver<bool>) {
    while !*stop.borrow() {
        let pause = world.until_due().map_or(IDLE, |pause| pause.min(IDLE));
        tokio::select! {
            () = tokio::time::sleep(pause) => world.advance(),
            () = world.due_changed.notified() => {}
            _ = stop.wait_for(|stopped| *stopped) => return,
        }
    }
}
