//! `[source.NAME]`: where hints come from that the stack has changed.

use super::*;
use std::net::SocketAddr;

/// One source of events. None are on by default.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// NAME.
    pub name: Name,
    /// `type` and the keys that belong to it.
    pub kind: SourceKind,
}

/// `type`.
#[derive(Clone, Debug, PartialEq)]
pub enum SourceKind {
    /// A listener for the HTTP target of EventBridge.
    Http(Box<HttpSource>),
    /// A listener for the unsigned callback of a stack's `NotificationURLs`.
    Callback(CallbackSource),
    /// A queue of SMQ (formerly MNS).
    Queue(Box<QueueSource>),
    /// A directory into which others put files with events.
    Spool(SpoolSource),
}

impl SourceKind {
    /// As `type` writes it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Http(_) => "http",
            Self::Callback(_) => "callback",
            Self::Queue(_) => "queue",
            Self::Spool(_) => "spool",
        }
    }
}

/// Where a listener takes connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// `listen = "127.0.0.1:8480"`.
    Address(SocketAddr),
    /// `listen = "systemd:NAME"`: the socket with this `FileDescriptorName=` (systemd.socket(5)).
    Systemd(String),
}

/// Certificate and key of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerTls {
    /// `tls_certificate`: PEM, with its chain.
    pub certificate: PathBuf,
    /// `tls_key`: PEM.
    pub key: PathBuf,
}

/// Where a secret text lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretPlace {
    /// In this file.
    File(PathBuf),
    /// In the systemd credential of this name.
    SystemdCredential(String),
}

/// `type = "http"`.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpSource {
    /// `listen`.
    pub listen: Listen,
    /// `url`: of the target, exactly as it is configured at EventBridge, which signs it.
    pub url: String,
    /// `tls_certificate`, `tls_key`.
    pub tls: Option<ServerTls>,
    /// `allow_v1`: take signature version 1 where there is none of version 2.
    pub allow_v1: bool,
    /// `certificate_file`: the certificate of EventBridge, pinned; nothing is fetched.
    pub certificate_file: Option<PathBuf>,
    /// `certificate_regions`: whose certificates may be fetched; empty: of the host's own region.
    pub certificate_regions: Vec<String>,
    /// `token_file`, `token_credential`: the token that EventBridge must send.
    pub token: Option<SecretPlace>,
    /// `allowed_origin`: who is told that it may send (the abuse protection of CloudEvents webhooks).
    pub allowed_origin: Option<String>,
}

/// `type = "callback"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallbackSource {
    /// `listen`.
    pub listen: Listen,
    /// `tls_certificate`, `tls_key`.
    pub tls: Option<ServerTls>,
    /// `path_file`, `path_credential`: the secret path of the URL.
    pub path: SecretPlace,
}

/// `type = "queue"`.
#[derive(Clone, Debug, PartialEq)]
pub struct QueueSource {
    /// `queue` or `topic`.
    pub whose: QueueOwner,
    /// `account`: number of the account that the queue belongs to; else of the instance.
    pub account: Option<String>,
    /// `region`; else of the instance.
    pub region: Option<String>,
    /// `endpoint`: `auto` or a URL.
    pub endpoint: Endpoint,
    /// `network`.
    pub network: QueueNetwork,
    /// `signature`.
    pub signature: QueueSignature,
    /// `wait`: of one long poll.
    pub wait: Duration,
    /// `batch`: messages in one answer.
    pub batch: u32,
}

/// Whose queue it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueueOwner {
    /// `queue`: somebody made it, and this agent reads it.
    Given(String),
    /// `topic`: the agent makes its own queue, subscribes it to this topic, and takes both away again.
    Own {
        /// The topic.
        topic: String,
    },
}

/// `network` of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum QueueNetwork {
    /// `https://ACCOUNT.mns.REGION.aliyuncs.com`.
    Public,
    /// `https://ACCOUNT.mns.REGION-internal.aliyuncs.com`.
    Internal,
    /// The same unencrypted.
    InternalPlain,
}

/// `signature` of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum QueueSignature {
    /// `MNS ID:...`, HMAC-SHA1.
    V2,
    /// `MNS4-HMAC-SHA256`.
    V4,
}

/// `type = "spool"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpoolSource {
    /// `directory`.
    pub directory: PathBuf,
}
