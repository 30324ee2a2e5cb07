//! How each kind of check looks at the world: the room that does the I/O of checks.
//!
//! [`Prober::run`] makes one [`Observation`] and never fails: trouble of our own is [`Health::Unknown`], with a message that says so.
//! The timeout of a check is kept in here and is always critical. Dropping the future of a run ends it: sockets are closed, the
//! process group of a child is killed, and what has to be waited for is waited for in the background.
//!
//! What is bounded: bodies (64 KiB read), answers of `tcp` (4 KiB), descriptions of containers (1 MiB), tables of the kernel (16 MiB of
//! mounts, 64 MiB of sockets, line by line; 64 KiB of the arguments of a process), output of children (12 KiB kept), threads for name
//! look-ups and for files ([`LOOKUP_THREADS`], [`FILE_THREADS`]; a run that cannot have one within its timeout is `unknown`; other work
//! on files, starting programs and tables of the kernel have a thread for each check), time for killing ([`exec`]). The number
//! of runs in flight is bounded by the core.

mod certificate;
mod clock;
mod cloud_init;
mod container;
mod disk;
mod dns;
pub mod exec;
mod failure;
mod file;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod grpc;
mod http;
mod inotify;
mod load;
mod lookup;
pub(crate) mod measured;
mod memory;
mod mount;
mod mounts;
mod port;
mod proc;
mod process;
mod progress;
mod roots;
mod systemd;
mod tcp;
mod text;
mod threads;
mod watch;

use crate::check::{Health, Observation};
use crate::plan::{Check, Name, Probe};
use std::sync::Arc;
use std::time::Duration;

pub(crate) use clock::kept_in_sync;
pub use exec::adopt_orphans;
pub(crate) use exec::errand;

/// Name look-ups of checks in flight at once. Each name occupies one thread at most, however often it is asked for.
pub const LOOKUP_THREADS: usize = 16;
/// Blocking work on the files of `http` checks, and on the system's certificates, in flight at once.
pub const FILE_THREADS: usize = 8;

/// One run that is due.
#[derive(Clone, Debug)]
pub struct Job {
    /// The check to run.
    pub check: Arc<Check>,
    /// Number of this run in its round, from 1; `ROS_SIGNAL_ATTEMPT` of exec checks.
    pub attempt: u64,
    /// The earliest deadline of the signals that need this check, in milliseconds since 1970; `ROS_SIGNAL_DEADLINE` of exec checks.
    pub deadline_unix_ms: Option<i64>,
}

/// Runs probes, and owns what they share: threads for blocking work, HTTP clients with their certificates, and the children.
pub struct Prober {
    files: threads::Pool,
    apart: threads::Apart,
    lookups: lookup::Lookups,
    clients: http::Clients,
    units: systemd::Units,
    roots: roots::SystemRoots,
    children: exec::Children,
    inotify: inotify::Inotify,
    watches: watch::Watches,
    changes: watch::Changes,
}

impl Default for Prober {
    fn default() -> Self {
        Self::new()
    }
}

impl Prober {
    /// A prober that has looked at nothing yet: threads, clients and certificates come when they are needed.
    pub fn new() -> Self {
        let files = threads::Pool::new("file", FILE_THREADS);
        let roots = roots::SystemRoots::new(files.clone());
        let lookups = lookup::Lookups::new(threads::Pool::new("lookup", LOOKUP_THREADS), lookup::system);
        let apart = threads::Apart::default();
        Self {
            clients: http::Clients::new(files.clone(), lookups.clone(), roots.clone()),
            roots,
            units: systemd::Units::new(std::env::var("DBUS_SYSTEM_BUS_ADDRESS").ok()),
            children: exec::Children::new(apart.clone()),
            files,
            apart,
            lookups,
            inotify: inotify::Inotify::default(),
            watches: watch::Watches::default(),
            changes: watch::Changes::default(),
        }
    }

    /// The same with another system bus than that of `DBUS_SYSTEM_BUS_ADDRESS`, or of the host.
    pub fn on_bus(self, address: impl Into<String>) -> Self {
        Self { units: systemd::Units::new(Some(address.into())), ..self }
    }

    /// Makes one observation. Cancel-safe: a dropped run leaves no socket and no process behind.
    ///
    /// Must be called inside a tokio runtime with I/O and time.
    pub async fn run(&self, job: Job) -> Observation {
        let started = tokio::time::Instant::now();
        let check = &job.check;
        let progress = progress::Progress::default();
        let mut observation = match (&check.probe, self.look(check, &progress)) {
            // Its timeout is followed by the time for killing.
            (Probe::Exec(exec), _) => self.children.look(&job, exec).await,
            (_, Some(look)) => within(check.timeout, &progress, look).await,
            (passive, None) => Observation::new(Health::Unknown, format!("a {} check has nothing to run: it is told", passive.kind())),
        };
        observation.took = started.elapsed();
        observation
    }

    /// Runs a command that belongs to no check. Dropping the future ends it, TERM first.
    pub(crate) async fn command(&self, task: exec::Task) -> exec::Ran {
        self.children.command(task).await
    }

    /// How each kind looks that is no child and not passive. Boxed, so that a run is no larger than its own kind needs.
    fn look<'a>(&'a self, check: &'a Check, progress: &'a progress::Progress) -> Option<Look<'a>> {
        let name = &check.name;
        let look: Look<'a> = match &check.probe {
            Probe::Http(http) => Box::pin(self.clients.look(name, http, progress, &self.files)),
            Probe::Tcp(tcp) => Box::pin(tcp::look(tcp, &self.lookups, progress)),
            Probe::File(file) => Box::pin(file::look(name, file, &self.apart, progress)),
            Probe::CloudInit(cloud_init) => Box::pin(cloud_init::look(name, cloud_init, &self.apart, progress)),
            Probe::Container(container) => Box::pin(container::look(container, progress)),
            Probe::Load(load) => self.apart(name, &"/proc/loadavg", progress, load, load::look),
            Probe::Memory(memory) => self.apart(name, &"/proc/meminfo", progress, memory, memory::look),
            Probe::Disk(disk) => self.apart(name, &disk.path.display(), progress, disk, disk::look),
            Probe::Mount(mount) => self.apart(name, &mount::OF_THE_HOST, progress, mount, mount::look),
            Probe::Process(process) => self.apart(name, &process::place(process), progress, process, process::look),
            Probe::Clock(clock) => Box::pin(clock::look(name, clock, &self.clients, progress, &self.files)),
            Probe::Dns(dns) => Box::pin(dns::look(check, dns, &self.lookups, &self.apart, progress)),
            Probe::Certificate(certificate) => Box::pin(certificate::look(name, certificate, self.means(progress))),
            Probe::Grpc(grpc) => Box::pin(grpc::look(check, grpc, self.means(progress))),
            Probe::Systemd(systemd) => Box::pin(self.units.look(name, systemd, progress)),
            Probe::Port(port) => self.apart(name, &"/proc/net", progress, port, port::look),
            Probe::Exec(_) | Probe::Ttl(_) | Probe::Composite(_) => return None,
        };
        Some(look)
    }

    /// A look that blocks, at something that may hang and is called `place`.
    fn apart<'a, P: Clone + Send + 'static>(
        &'a self,
        name: &'a Name,
        place: &dyn std::fmt::Display,
        progress: &'a progress::Progress,
        probe: &P,
        look: fn(&P) -> Observation,
    ) -> Look<'a> {
        let (place, probe) = (place.to_string(), probe.clone());
        Box::pin(async move { self.apart.look(name, &place, progress, move || look(&probe)).await.unwrap_or_else(|trouble| trouble) })
    }

    fn means<'a>(&'a self, progress: &'a progress::Progress) -> Means<'a> {
        Means { lookups: &self.lookups, apart: &self.apart, roots: &self.roots, progress }
    }

    /// Follows what these checks look at, and no longer what others do. Without it nothing is followed, and runs come by the clock
    /// alone. Must be called inside a tokio runtime.
    pub fn follow(&self, checks: &[Arc<Check>]) {
        self.watches.fit(checks, |check| self.following(check));
        if !checks.iter().any(|check| matches!(check.probe, Probe::Systemd(_))) {
            self.units.hang_up();
        }
    }

    /// The next followed check whose answer may be another now. Cancel-safe.
    pub async fn changed(&self) -> Name {
        self.changes.next().await
    }

    /// How to follow what `check` looks at; none: it can only be polled.
    fn following(&self, check: &Arc<Check>) -> Option<watch::Following> {
        let (name, changes) = (&check.name, &self.changes);
        match &check.probe {
            Probe::File(file) => Some(self.inotify.following(name, vec![file.path.clone()], changes)),
            Probe::CloudInit(cloud_init) => Some(self.inotify.following(name, cloud_init::paths(cloud_init), changes)),
            Probe::Systemd(systemd) => Some(self.units.following(check, systemd, changes)),
            Probe::Mount(_) => Some(Box::pin(mount::follow(Arc::clone(name), changes.clone()))),
            Probe::Container(container) => Some(container::follow(Arc::clone(name), container.clone(), changes.clone())),
            _ => None,
        }
    }

    /// Kills the processes that checks of an earlier agent of the same user left behind because it was killed itself (`kill -9`), and
    /// logs how many. To be called once, at the start, before the first run; takes two seconds at most. Agents that live, in this
    /// process or beside it, keep their processes.
    pub async fn sweep_orphans(&self) {
        self.children.sweep_abandoned().await;
    }

    /// Forgets clients and certificates, so that the next runs load them anew; for a reload.
    pub fn reload(&self) {
        self.clients.forget();
        self.roots.forget();
    }

    /// Kills the process groups of all runs and waits until they are reaped, some seconds at most. Later runs of `exec` are refused.
    pub async fn shutdown(&self) {
        self.children.shutdown().await;
    }
}

/// What a look takes that speaks TLS, shared with others.
#[derive(Clone, Copy)]
struct Means<'a> {
    lookups: &'a lookup::Lookups,
    apart: &'a threads::Apart,
    roots: &'a roots::SystemRoots,
    progress: &'a progress::Progress,
}

/// One look of one kind.
type Look<'a> = std::pin::Pin<Box<dyn Future<Output = Observation> + Send + 'a>>;

/// Lets `look` take `timeout`, then says what it was doing.
async fn within(timeout: Duration, progress: &progress::Progress, look: impl Future<Output = Observation>) -> Observation {
    match tokio::time::timeout(timeout, look).await {
        Ok(observation) => observation,
        Err(_) => progress.timed_out(timeout),
    }
}
