//! What the agent runs: the validated configuration, immutable and shared.
//!
//! Nothing here can hold a wrong value that [`crate::config`] has let through; nothing here does I/O.
//! Keys and defaults are those of `docs/configuration.md`.

mod certificate;
mod clock;
mod cloud_init;
mod composite;
mod container;
mod credentials;
mod disk;
mod dns;
mod file;
mod grpc;
mod hook;
mod load;
mod measured;
mod memory;
mod mount;
mod port;
mod probe;
mod process;
mod reach;
mod source;
mod systemd;
mod transport;

pub use certificate::*;
pub use clock::*;
pub use cloud_init::*;
pub use composite::*;
pub use container::Container;
pub use credentials::*;
pub use disk::*;
pub use dns::*;
pub use file::*;
pub use grpc::*;
pub use hook::*;
pub use load::*;
pub use measured::*;
pub use memory::*;
pub use mount::*;
pub use port::*;
pub use probe::*;
pub use process::*;
pub use reach::*;
pub use source::*;
pub use systemd::*;
pub use transport::*;

use serde::Serialize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The name of a check or a signal: 1 to 64 characters of `A-Za-z0-9._-`, starting with a letter or digit.
pub type Name = Arc<str>;

/// Everything the agent needs to run.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The obligations, in order of name. Empty: the agent idles.
    pub signals: Vec<Arc<Signal>>,
    /// The enabled checks, in order of name.
    pub checks: Vec<Arc<Check>>,
    /// `[agent]`.
    pub agent: Agent,
    /// `[ros]`.
    pub ros: Ros,
    /// `[ess]`.
    pub ess: Ess,
    /// `[credentials]`.
    pub credentials: Credentials,
    /// `[instance]`.
    pub instance: Instance,
    /// `[clock] trust`.
    pub clock_trust: ClockTrust,
    /// `[state]` `on_unwritable`.
    pub on_unwritable: OnUnwritable,
    /// `[report]`.
    pub report: Report,
    /// `[stack]`: what signals without their own have, and what hooks are about.
    pub stack: Stack,
    /// The enabled sources of events, in order of name.
    pub sources: Vec<Arc<Source>>,
    /// The enabled hooks, in order of name.
    pub hooks: Vec<Arc<Hook>>,
}

/// `[stack]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stack {
    /// `stack_id`; else the instance tag.
    pub stack_id: Option<String>,
    /// `region`; else instance metadata.
    pub region: Option<String>,
}

impl Plan {
    /// The check called `name`.
    pub fn check(&self, name: &str) -> Option<&Arc<Check>> {
        self.checks.iter().find(|check| &*check.name == name)
    }

    /// The signal called `name`.
    pub fn signal(&self, name: &str) -> Option<&Arc<Signal>> {
        self.signals.iter().find(|signal| &*signal.name == name)
    }
}

/// `[agent]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Agent {
    /// Runs of checks of one kind in flight at once (`max_concurrency`, 32).
    pub max_concurrency: usize,
    /// Children in flight at once (`max_exec`, 4).
    pub max_exec: usize,
    /// Where the ledger lives (`state_dir`).
    pub state_dir: PathBuf,
    /// The control socket (`socket`).
    pub socket: PathBuf,
    /// Log level and filters, such as `info,ros=debug` (`log`).
    pub log: String,
}

impl Agent {
    /// Runs in flight at once of checks of `kind`, [`Probe::kind`]: each kind has slots of its own, so that slow ones hold up nobody else.
    pub fn slots(&self, kind: &str) -> usize {
        match kind {
            Probe::EXEC => self.max_exec,
            _ if Probe::OF_FILES.contains(&kind) => usize::MAX,
            _ => self.max_concurrency,
        }
    }
}

/// `[state] on_unwritable`: what to do when the ledger cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OnUnwritable {
    /// Send from memory, if the UniqueId can be derived again after a crash: silence is the worse failure.
    Send,
    /// Do not send until the ledger can be written.
    Hold,
}

/// `[report]`: what the report before a FAILURE tells besides the checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// `units`: their states and journal, besides those of systemd checks.
    pub units: Vec<String>,
    /// `journal_lines`: the last ones of each unit, 20; 0: none.
    pub journal_lines: u32,
    /// `journal_to_handle`: journal lines go to ROS too, with transports that can carry a report.
    pub journal_to_handle: bool,
}

impl Report {
    /// Units in one report.
    pub const UNITS: usize = 16;
}

/// `[ros]`: how ROS is reached.
#[derive(Clone, Debug, PartialEq)]
pub struct Ros {
    /// `endpoint`: `auto` or a URL, of the configuration or of `ROS_ENDPOINT`.
    pub endpoint: Endpoint,
    /// `home`: whose hosts are asked, with `endpoint = "auto"`.
    pub home: Home,
    /// `network`: which of these hosts.
    pub network: Network,
    /// `proxy`: an HTTP proxy that opens tunnels to what is asked over TLS.
    pub proxy: Option<reqwest::Url>,
    /// `signature`.
    pub signature: SignatureScheme,
    /// `ca_file`: PEM certificates trusted besides the system's.
    pub ca_file: Option<PathBuf>,
    /// `timeout`: of one attempt, connecting included.
    pub timeout: Duration,
    /// `poll`: look at the stack before a send, where that is permitted.
    pub poll: bool,
}

/// `[ess]`: how Auto Scaling is reached, for lifecycle hooks. All else is as `[ros]` says.
#[derive(Clone, Debug, PartialEq)]
pub struct Ess {
    /// `endpoint`: `auto` or a URL.
    pub endpoint: Endpoint,
}

/// How requests are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum SignatureScheme {
    /// ACS3-HMAC-SHA256, "V3".
    #[serde(rename = "acs3-hmac-sha256")]
    Acs3HmacSha256,
    /// HMAC-SHA1, the older RPC signature.
    #[serde(rename = "hmac-sha1")]
    HmacSha1,
}

/// `[instance]`: who this host is.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    /// `id`: overrides the metadata service.
    pub id: Option<String>,
    /// `metadata_url`, normally `http://100.100.100.200`.
    pub metadata_url: reqwest::Url,
    /// `allow_plain_metadata`: fall back to access without a token when none can be had.
    pub allow_plain_metadata: bool,
}

/// `[signal.NAME]`: the obligation to tell one ROS resource about this host.
#[derive(Clone, Debug, PartialEq)]
pub struct Signal {
    /// NAME.
    pub name: Name,
    /// Logical ID of the WaitConditionHandle; for a lifecycle hook what stands for it in messages and ids.
    pub resource: String,
    /// How it travels.
    pub transport: Transport,
    /// Logical ID of the WaitCondition, for looking at it.
    pub condition: Option<String>,
    /// Stack, when configured; else the instance tag.
    pub stack_id: Option<String>,
    /// Region, when configured; else instance metadata.
    pub region: Option<String>,
    /// Names of the checks this signal depends on, in order, their dependencies included.
    pub checks: Vec<Name>,
    /// Names of the checks that run for this signal because composites among `checks` are made of them, dependencies included; they are
    /// judged through those.
    pub members: Vec<Name>,
    /// From the start of the round to the last moment of deciding.
    pub deadline: Duration,
    /// `deadline` is written in the configuration: nothing that the template says moves it.
    pub deadline_given: bool,
    /// Before `deadline`, the time kept for sending.
    pub margin: Duration,
    /// How long all required checks must have been passing.
    pub min_healthy_time: Duration,
    /// What is said at the deadline.
    pub on_deadline: OnDeadline,
    /// What is said when only degraded.
    pub on_degraded: OnDegraded,
    /// How long a degraded host may still become a good one.
    pub degraded_grace: Duration,
    /// Terminal observations decide failure at once.
    pub fail_fast: bool,
    /// From the verdict to the last send.
    pub give_up: Duration,
    /// How the UniqueId is made.
    pub unique_id: UniqueIdStrategy,
    /// `confirm`: what is asked of the stack after a signal was accepted.
    pub confirm: Confirm,
    /// `mode` of the handle, when configured; else the template says it.
    pub mode: Option<HandleMode>,
    /// `count` of the handle, when configured; else the template says it.
    pub count: Option<i64>,
    /// `resignal`: whether updates of the stack are signalled again.
    pub resignal: Resignal,
}

impl Signal {
    /// Every check that runs for this signal.
    pub fn runs(&self) -> impl Iterator<Item = &Name> {
        self.checks.iter().chain(&self.members)
    }
}

/// `on_deadline`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OnDeadline {
    /// Say FAILURE.
    Failure,
    /// Say WARNING.
    Warning,
    /// Say nothing.
    None,
}

/// `on_degraded`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OnDegraded {
    /// Say SUCCESS after `degraded_grace`.
    Success,
    /// Say WARNING after `degraded_grace`.
    Warning,
    /// Wait for a good host; at the deadline say SUCCESS.
    Wait,
}

/// `unique_id`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UniqueIdStrategy {
    /// UUIDv5 over who and what is signalled: the same after every loss of state.
    Derived,
    /// The instance id.
    Instance,
    /// UUIDv4, durable before the first send, or no send.
    Random,
    /// `integer:N`, for handles with `Mode: Full` and `Count >= 0`.
    Integer(u64),
    /// `integer:instance-name`, `integer:hostname`: the number at the end of a name that the metadata service tells.
    IntegerOf(NameSource),
    /// A template of `{instance_id}`, `{signal}`, `{resource}`, `{stack_id}`, `{region}`; checked for length when expanded.
    Template(String),
}

/// Which name of a host ends with its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameSource {
    /// `meta-data/instance/instance-name`.
    InstanceName,
    /// `meta-data/hostname`.
    Hostname,
}

impl NameSource {
    /// As `unique_id` writes it.
    pub fn word(self) -> &'static str {
        match self {
            Self::InstanceName => "instance-name",
            Self::Hostname => "hostname",
        }
    }
}

/// `[check.NAME]`: a named question about this host.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// NAME.
    pub name: Name,
    /// `level`.
    pub level: Level,
    /// End of one run to the start of the next, at least 1 s.
    pub interval: Duration,
    /// The pace until the signals that need this check have their verdict, at least 100 ms.
    pub start_interval: Duration,
    /// Of one run.
    pub timeout: Duration,
    /// Before the first run.
    pub initial_delay: Duration,
    /// While failures do not count.
    pub start_period: Duration,
    /// Consecutive good observations that commit.
    pub success_threshold: u32,
    /// Consecutive bad observations that commit.
    pub failure_threshold: u32,
    /// Checks that must be satisfied before this one runs.
    pub depends_on: Vec<Name>,
    /// For `checks = ["tag:x"]`.
    pub tags: Vec<String>,
    /// How it looks at the world.
    pub probe: Probe,
}

impl Check {
    /// Checks that must be known before this one can be judged: its dependencies, and the members of a composite.
    pub fn needs(&self) -> impl Iterator<Item = &Name> {
        self.depends_on.iter().chain(self.members())
    }

    /// The members of a composite.
    pub fn members(&self) -> &[Name] {
        match &self.probe {
            Probe::Composite(composite) => &composite.of,
            _ => &[],
        }
    }

    /// The longest that a run takes: beyond the timeout a program has its time to end, and to die.
    pub fn longest_run(&self) -> Duration {
        match &self.probe {
            Probe::Exec(exec) => self.timeout.saturating_add(exec.kill_grace).saturating_add(Duration::from_secs(3)),
            _ => self.timeout,
        }
    }
}

/// `level`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// No SUCCESS without it.
    Required,
    /// The host is degraded without it.
    Wanted,
}

/// Plans for the tests of the pure rooms.
#[cfg(test)]
#[expect(missing_docs, reason = "test data")]
pub mod testing {
    use super::*;

    pub fn hook(name: &str, on: Vec<Trigger>) -> Hook {
        Hook {
            name: Arc::from(name),
            on,
            command: vec!["/bin/true".to_owned()],
            timeout: Duration::from_secs(300),
            retries: 0,
            at_most_once: false,
            run_as: RunAs::Agent,
            wait: false,
            checks: Vec::new(),
            signals: Vec::new(),
            resource: None,
        }
    }

    pub fn check(name: &str) -> Check {
        Check {
            name: Arc::from(name),
            level: Level::Required,
            interval: Duration::from_secs(10),
            start_interval: Duration::from_secs(1),
            timeout: Duration::from_secs(5),
            initial_delay: Duration::ZERO,
            start_period: Duration::ZERO,
            success_threshold: 1,
            failure_threshold: 3,
            depends_on: Vec::new(),
            tags: Vec::new(),
            probe: Probe::Tcp(Tcp { address: SocketTarget::HostPort("127.0.0.1".to_owned(), 1), send: None, expect: None }),
        }
    }

    pub fn signal(name: &str, resource: &str, checks: &[&str]) -> Signal {
        Signal {
            name: Arc::from(name),
            resource: resource.to_owned(),
            transport: Transport::Api,
            condition: None,
            stack_id: Some("4a6c9851-3b0f-4f5f-b4ca-a14bf6911234".to_owned()),
            region: Some("cn-hangzhou".to_owned()),
            checks: checks.iter().map(|name| Arc::from(*name)).collect(),
            members: Vec::new(),
            deadline: Duration::from_secs(900),
            deadline_given: true,
            margin: Duration::from_secs(30),
            min_healthy_time: Duration::from_secs(5),
            on_deadline: OnDeadline::Failure,
            on_degraded: OnDegraded::Success,
            degraded_grace: Duration::from_secs(30),
            fail_fast: true,
            give_up: Duration::from_secs(12 * 3600),
            unique_id: UniqueIdStrategy::Derived,
            confirm: Confirm::Auto,
            mode: None,
            count: None,
            resignal: Resignal::Never,
        }
    }

    pub fn plan(signals: Vec<Signal>, checks: Vec<Check>) -> Plan {
        Plan {
            signals: signals.into_iter().map(Arc::new).collect(),
            checks: checks.into_iter().map(Arc::new).collect(),
            agent: Agent {
                max_concurrency: 32,
                max_exec: 4,
                state_dir: PathBuf::from("/var/lib/ros-signal-agent"),
                socket: PathBuf::from("/run/ros-signal-agent/control.sock"),
                log: "info".to_owned(),
            },
            ess: Ess { endpoint: Endpoint::Auto },
            ros: Ros {
                endpoint: Endpoint::Auto,
                home: Home::Auto,
                network: Network::Auto,
                proxy: None,
                signature: SignatureScheme::Acs3HmacSha256,
                ca_file: None,
                timeout: Duration::from_secs(10),
                poll: true,
            },
            credentials: Credentials { provider: Provider::Auto },
            instance: Instance {
                id: None,
                metadata_url: reqwest::Url::parse("http://100.100.100.200").unwrap(),
                allow_plain_metadata: true,
            },
            clock_trust: ClockTrust::System,
            on_unwritable: OnUnwritable::Send,
            report: Report { units: Vec::new(), journal_lines: 20, journal_to_handle: false },
            stack: Stack::default(),
            sources: Vec::new(),
            hooks: Vec::new(),
        }
    }
}
