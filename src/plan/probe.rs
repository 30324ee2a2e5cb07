//! What each kind of check looks at: the keys of its table, validated.

use super::{Certificate, Clock, CloudInit, Composite, Container, Disk, Dns, File, Grpc, Load, Memory, Mount, Port, Process, Systemd};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// How a check looks at the world.
#[derive(Clone, Debug, PartialEq)]
pub enum Probe {
    /// `type = "http"`.
    Http(Box<Http>),
    /// `type = "tcp"`.
    Tcp(Tcp),
    /// `type = "exec"`.
    Exec(Exec),
    /// `type = "container"`.
    Container(Container),
    /// `type = "systemd"`.
    Systemd(Systemd),
    /// `type = "ttl"`.
    Ttl(Ttl),
    /// `type = "composite"`.
    Composite(Composite),
    /// `type = "file"`.
    File(File),
    /// `type = "cloud-init"`.
    CloudInit(CloudInit),
    /// `type = "load"`.
    Load(Load),
    /// `type = "memory"`.
    Memory(Memory),
    /// `type = "disk"`.
    Disk(Disk),
    /// `type = "mount"`.
    Mount(Mount),
    /// `type = "process"`.
    Process(Process),
    /// `type = "port"`.
    Port(Port),
    /// `type = "clock"`.
    Clock(Clock),
    /// `type = "dns"`.
    Dns(Box<Dns>),
    /// `type = "certificate"`.
    Certificate(Box<Certificate>),
    /// `type = "grpc"`.
    Grpc(Box<Grpc>),
}

impl Probe {
    /// The kind whose runs are children.
    pub const EXEC: &'static str = "exec";
    /// The kind that is pushed.
    pub const TTL: &'static str = "ttl";
    /// The kinds whose runs look at files, file systems or /proc, which may hang. They limit themselves, so that those that hang count no more.
    pub const OF_FILES: [&'static str; 8] = ["cloud-init", "disk", "file", "load", "memory", "mount", "port", "process"];

    /// The value of `type`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Http(_) => "http",
            Self::Tcp(_) => "tcp",
            Self::Exec(_) => Self::EXEC,
            Self::Container(_) => "container",
            Self::Systemd(_) => "systemd",
            Self::Ttl(_) => Self::TTL,
            Self::Composite(_) => "composite",
            Self::File(_) => "file",
            Self::CloudInit(_) => "cloud-init",
            Self::Load(_) => "load",
            Self::Memory(_) => "memory",
            Self::Disk(_) => "disk",
            Self::Mount(_) => "mount",
            Self::Process(_) => "process",
            Self::Port(_) => "port",
            Self::Clock(_) => "clock",
            Self::Dns(_) => "dns",
            Self::Certificate(_) => "certificate",
            Self::Grpc(_) => "grpc",
        }
    }

    /// Nothing runs for it: it is told, by `push` or by other checks, and what it was told last holds until something else is.
    pub fn is_passive(&self) -> bool {
        matches!(self, Self::Ttl(_) | Self::Composite(_))
    }
}

/// An HTTP request and what its answer must be. Its headers and body may hold secrets, which `Debug` does not show.
#[derive(Clone, PartialEq)]
pub struct Http {
    /// `url`, http or https.
    pub url: reqwest::Url,
    /// `method`, GET.
    pub method: reqwest::Method,
    /// `headers` of the request; `Host` and `User-Agent` may be overridden.
    pub headers: Vec<(String, String)>,
    /// `body` of the request.
    pub body: Option<String>,
    /// `expect_status`, 200-399.
    pub expect_status: StatusRanges,
    /// `warn_status`, none.
    pub warn_status: StatusRanges,
    /// `expect_headers`: header present and its value matched.
    pub expect_headers: Vec<(String, Pattern)>,
    /// `expect_body`, matched on the first 64 KiB.
    pub expect_body: Option<Pattern>,
    /// `expect_json`: JSON Pointer (RFC 6901) and the value it must have.
    pub expect_json: Vec<(String, serde_json::Value)>,
    /// `follow_redirects`: to the same host only; false.
    pub follow_redirects: bool,
    /// `unix_socket`: connect here instead; the URL gives Host and path.
    pub unix_socket: Option<PathBuf>,
    /// `proxy`: the only way a proxy is ever used.
    pub proxy: Option<reqwest::Url>,
    /// `username` and `password_file` for Basic authentication (RFC 7617).
    pub basic: Option<(String, PathBuf)>,
    /// TLS of an https URL.
    pub tls: TlsOptions,
}

/// TLS of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsOptions {
    /// `tls_verify`, true.
    pub verify: bool,
    /// `ca_file`: PEM certificates trusted besides the system's.
    pub ca_file: Option<PathBuf>,
    /// `cert_file` and `key_file`: a client certificate.
    pub client: Option<(PathBuf, PathBuf)>,
    /// `server_name`: name asked for (SNI) and verified, instead of the URL's host.
    pub server_name: Option<String>,
}

/// HTTP statuses, as inclusive ranges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusRanges(pub Vec<(u16, u16)>);

impl StatusRanges {
    /// Whether `status` is in one of the ranges.
    pub fn contains(&self, status: u16) -> bool {
        self.0.iter().any(|(low, high)| (*low..=*high).contains(&status))
    }
}

/// A regular expression (regex-lite: linear time, no Unicode classes), equal by its text.
#[derive(Clone, Debug)]
pub struct Pattern(pub regex_lite::Regex);

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

/// A connection, and perhaps a word and its answer. The word may be a secret, which `Debug` does not show.
#[derive(Clone, PartialEq)]
pub struct Tcp {
    /// `address` or `unix_socket`.
    pub address: SocketTarget,
    /// `send`: written after connecting.
    pub send: Option<String>,
    /// `expect`: matched on at most the first 4096 bytes of the answer.
    pub expect: Option<Pattern>,
}

/// Where to connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SocketTarget {
    /// Host and port; a name is tried in all its address families.
    HostPort(String, u16),
    /// A stream socket in the file system.
    Unix(PathBuf),
}

/// A child process. Its environment may hold secrets, which `Debug` does not show.
#[derive(Clone, PartialEq, Eq)]
pub struct Exec {
    /// `command`: argv; the program is an absolute path. No shell unless named.
    pub command: Vec<String>,
    /// `exit_codes`.
    pub exit_codes: ExitCodes,
    /// `fatal`: exit codes that are terminal; `[78]` (EX_CONFIG, sysexits.h).
    pub fatal: Vec<i32>,
    /// `kill_grace`: from TERM to KILL, 5 s.
    pub kill_grace: Duration,
    /// `environment`: added to the scrubbed environment.
    pub environment: BTreeMap<String, String>,
    /// `working_directory`, `/`.
    pub working_directory: PathBuf,
}

/// Whether a variable of this name never reaches a child, not even by `environment`: what belongs to systemd's talk with the agent
/// (a child that had it could speak in its name), the agent's credentials, and what the agent sets itself.
pub fn is_reserved_variable(name: &str) -> bool {
    const NAMES: [&str; 6] =
        ["NOTIFY_SOCKET", "CREDENTIALS_DIRECTORY", "ROS_SIGNAL_CHECK", "ROS_SIGNAL_ATTEMPT", "ROS_SIGNAL_DEADLINE", "ROS_SIGNAL_RUN"];
    const FAMILIES: [&str; 3] = ["WATCHDOG_", "LISTEN_", "ALIBABA_CLOUD_"];
    NAMES.contains(&name) || FAMILIES.iter().any(|family| name.starts_with(family))
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http").field("method", &self.method).field("host", &self.url.host_str()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Tcp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tcp").field("address", &self.address).finish_non_exhaustive()
    }
}

impl fmt::Debug for Exec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exec").field("program", &self.command.first()).finish_non_exhaustive()
    }
}

/// What exit codes mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ExitCodes {
    /// 0 passing, others critical.
    Zero,
    /// 0 passing, 1 warning, 2 critical, 3 unknown, others critical.
    Nagios,
}

/// Fed by `push`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ttl {
    /// Silence longer than this is critical.
    pub ttl: Duration,
}
