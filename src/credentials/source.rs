//! The sources of credentials, each asked in its own way.

use super::Found;
use super::document::{self, Parsed};
use crate::instance::{self, Metadata};
use crate::plan::Provider;
use crate::secret::Secret;
use std::collections::HashMap;
use std::fmt;
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Name of the systemd credential that is looked for without being told.
const DEFAULT_CREDENTIAL: &str = "ros-signal-agent";

/// The most of a file that is read.
const FILE_LIMIT: u64 = 64 * 1024;

const ROLES: &str = "meta-data/ram/security-credentials/";

/// Why a source gave nothing.
#[derive(Debug)]
pub(super) struct Refused {
    pub why: String,
    pub hint: Option<String>,
}

impl Refused {
    fn new(why: impl Into<String>) -> Self {
        Self { why: why.into(), hint: None }
    }

    fn hinting(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    pub(super) fn expired() -> Self {
        Self::new("the credentials have expired").hinting("whatever writes them must renew them")
    }
}

/// A place where credentials may be.
#[derive(Debug)]
pub(super) enum Source {
    Environment(EnvironmentKeys),
    File(PathBuf),
    /// Under `$CREDENTIALS_DIRECTORY`, if that is set.
    SystemdCredential {
        name: String,
        directory: Option<PathBuf>,
    },
    EcsRamRole {
        role: Option<String>,
        disabled: bool,
        metadata: Arc<Metadata>,
    },
}

/// The three variables; empty ones count as unset.
#[derive(Debug)]
pub(super) struct EnvironmentKeys {
    id: Option<String>,
    secret: Option<Secret>,
    token: Option<Secret>,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment(_) => f.write_str("environment"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::SystemdCredential { name, .. } => write!(f, "systemd credential {name}"),
            Self::EcsRamRole { role: Some(role), .. } => write!(f, "ECS RAM role {role}"),
            Self::EcsRamRole { role: None, .. } => f.write_str("ECS RAM role"),
        }
    }
}

/// What shows that a file was changed: device, inode, size, time of change in nanoseconds. Empty for what is not there.
pub(super) type Version = Vec<Option<(u64, u64, u64, i64, i64)>>;

/// The sources of `provider`, in order.
pub(super) fn sources(provider: &Provider, environment: &HashMap<String, String>, metadata: &Arc<Metadata>) -> Vec<Source> {
    let variable = |name: &str| environment.get(name).filter(|value| !value.is_empty()).cloned();
    let is_true = |name: &str| variable(name).is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let from_environment = || {
        Source::Environment(EnvironmentKeys {
            id: variable("ALIBABA_CLOUD_ACCESS_KEY_ID"),
            secret: variable("ALIBABA_CLOUD_ACCESS_KEY_SECRET").map(Secret::new),
            token: variable("ALIBABA_CLOUD_SECURITY_TOKEN").map(Secret::new),
        })
    };
    let from_systemd =
        |name: &str| Source::SystemdCredential { name: name.to_owned(), directory: variable("CREDENTIALS_DIRECTORY").map(PathBuf::from) };
    let from_role = |role: Option<&String>| Source::EcsRamRole {
        role: role.cloned().or_else(|| variable("ALIBABA_CLOUD_ECS_METADATA")),
        disabled: is_true("ALIBABA_CLOUD_ECS_METADATA_DISABLED"),
        metadata: Arc::clone(metadata),
    };
    match provider {
        Provider::Auto => vec![from_environment(), from_systemd(DEFAULT_CREDENTIAL), from_role(None)],
        Provider::Environment => vec![from_environment()],
        Provider::File(path) => vec![Source::File(path.clone())],
        Provider::SystemdCredential(name) => vec![from_systemd(name)],
        Provider::EcsRamRole(role) => vec![from_role(role.as_ref())],
    }
}

/// The state of all files among `sources`.
pub(super) fn version(sources: &[Source]) -> Option<Version> {
    Some(
        sources
            .iter()
            .filter_map(Source::path)
            .map(|path| std::fs::metadata(path).ok())
            .map(|found| found.map(|m| (m.dev(), m.ino(), m.size(), m.ctime(), m.ctime_nsec())))
            .collect(),
    )
}

impl Source {
    /// Asks. The metadata service answers within its own time limits.
    pub(super) async fn find(&self) -> Result<Found, Refused> {
        match self {
            Self::Environment(keys) => keys.find(),
            Self::File(path) => {
                let hint = "it must be a JSON document with access_key_id, access_key_secret and, if temporary, security_token";
                self.read(path).map_err(|refused| refused.hinting(hint))
            }
            Self::SystemdCredential { directory: None, .. } => {
                Err(Refused::new("$CREDENTIALS_DIRECTORY is not set").hinting("the unit hands credentials over with LoadCredential="))
            }
            Self::SystemdCredential { .. } => match self.path() {
                Some(path) => self.read(&path),
                None => Err(Refused::new("its name is not a file name")),
            },
            Self::EcsRamRole { disabled: true, .. } => Err(Refused::new("ALIBABA_CLOUD_ECS_METADATA_DISABLED is true")),
            Self::EcsRamRole { role, metadata, .. } => self.find_role(role.as_deref(), metadata).await,
        }
    }

    fn path(&self) -> Option<PathBuf> {
        match self {
            Self::File(path) => Some(path.clone()),
            Self::SystemdCredential { name, directory: Some(directory) } => {
                let is_name = !name.contains('/') && !matches!(name.as_str(), "" | "." | "..");
                is_name.then(|| directory.join(name))
            }
            _ => None,
        }
    }

    fn read(&self, path: &Path) -> Result<Found, Refused> {
        let text = read(path, matches!(self, Self::File(_))).map_err(|why| Refused::new(format!("{}: {why}", path.display())))?;
        let parsed = document::file(&text, &self.to_string()).map_err(|why| Refused::new(format!("{}: {why}", path.display())))?;
        Ok(found(parsed, None))
    }

    async fn find_role(&self, role: Option<&str>, metadata: &Metadata) -> Result<Found, Refused> {
        let role = match role {
            Some(role) => role.to_owned(),
            None => discover(metadata).await?,
        };
        if !instance::is_role_name(&role) {
            return Err(Refused::new("the name of the role is not usable"));
        }
        let answer = metadata.get(&format!("{ROLES}{role}")).await.map_err(|error| of_metadata(&error, Some(&role)))?;
        let parsed = document::role(answer.text.expose(), &format!("ECS RAM role {role}")).map_err(Refused::new)?;
        Ok(found(parsed, answer.date_ms))
    }
}

fn found((keys, expires_ms): Parsed, source_ms: Option<i64>) -> Found {
    Found { keys, expires_ms, source_ms }
}

/// The name of the attached role: the service lists it, one a line.
async fn discover(metadata: &Metadata) -> Result<String, Refused> {
    let answer = metadata.get(ROLES).await.map_err(|error| of_metadata(&error, None))?;
    let role = answer.text.expose().lines().next().unwrap_or_default().trim().to_owned();
    if role.is_empty() { Err(no_role()) } else { Ok(role) }
}

fn no_role() -> Refused {
    Refused::new("no RAM role is attached to this instance yet")
        .hinting("attach a RAM role that may ros:SignalResource to the instance (RamRoleName in the template)")
}

fn of_metadata(error: &instance::Error, role: Option<&str>) -> Refused {
    match (error, role) {
        (instance::Error::Status { status: 404, .. }, None) => no_role(),
        (instance::Error::Status { status: 404, .. }, Some(role)) => {
            Refused::new(format!("no RAM role {role} is attached to this instance yet")).hinting("attach the role, or do not name one")
        }
        _ => Refused { why: error.to_string(), hint: error.hint().map(str::to_owned) },
    }
}

impl EnvironmentKeys {
    fn find(&self) -> Result<Found, Refused> {
        let unset = |name: &str| Refused::new(format!("{name} is not set"));
        let id = self.id.as_deref().ok_or_else(|| unset("ALIBABA_CLOUD_ACCESS_KEY_ID"))?;
        let secret = self.secret.clone().ok_or_else(|| unset("ALIBABA_CLOUD_ACCESS_KEY_SECRET"))?;
        let keys = document::keys(id, secret, self.token.clone(), "the environment").map_err(Refused::new)?;
        Ok(found((keys, None), None))
    }
}

/// Reads a regular file of at most [`FILE_LIMIT`] bytes. Never blocks on a FIFO.
pub(crate) fn read(path: &Path, warn_if_open: bool) -> Result<zeroize::Zeroizing<String>, String> {
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = std::fs::OpenOptions::new().read(true).custom_flags(nonblocking).open(path).map_err(|error| error.to_string())?;
    let about = file.metadata().map_err(|error| error.to_string())?;
    if !about.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    // A systemd credential has the mode and owner that systemd gives it.
    if warn_if_open && about.mode() & 0o007 != 0 {
        tracing::warn!(target: "credentials", path = %path.display(), "others may read these credentials; set mode 0600 or 0640");
    }
    let mut text = zeroize::Zeroizing::new(String::new());
    file.take(FILE_LIMIT + 1).read_to_string(&mut text).map_err(|error| error.to_string())?;
    if text.len() as u64 > FILE_LIMIT {
        return Err(format!("it is larger than {} KiB", FILE_LIMIT / 1024));
    }
    Ok(text)
}
