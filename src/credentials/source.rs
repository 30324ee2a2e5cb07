//! The sources of credentials, each asked in its own way, and the order in which `auto` asks them.

use super::around::Around;
use super::document;
use super::file::{self, Readers};
use super::oidc::Token;
use super::recipe::{Base, Recipe};
use super::sts::RoleSettings;
use super::{Keys, cli_profile, ini_profile};
use crate::plan::{self, Provider};
use crate::secret::Secret;
use crate::signal::Class;
use std::collections::HashMap;
use std::fmt;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Name of the systemd credential that is looked for without being told.
const DEFAULT_CREDENTIAL: &str = "ros-signal-agent";

/// Why a source gave nothing.
#[derive(Debug)]
pub(super) struct Refused {
    pub why: String,
    pub hint: Option<String>,
    /// What the error table says, where a service refused.
    pub class: Option<Class>,
}

impl Refused {
    pub(super) fn new(why: impl Into<String>) -> Self {
        Self { why: why.into(), hint: None, class: None }
    }

    pub(super) fn hinting(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    pub(super) fn expired() -> Self {
        Self::new("the credentials have expired").hinting("whatever writes them must renew them")
    }
}

/// A daemon without a home directory, or a unit that does not say which.
pub(super) fn no_home() -> Refused {
    Refused::new("there is no home directory: $HOME is not set")
}

/// A place where credentials may be.
#[derive(Debug)]
pub(super) enum Source {
    Environment(EnvironmentKeys),
    /// Under `$CREDENTIALS_DIRECTORY`, if that is set.
    SystemdCredential {
        name: String,
        directory: Option<PathBuf>,
    },
    File(PathBuf),
    OidcRole(plan::OidcRole),
    CliProfile(plan::Profile),
    IniProfile(plan::Profile),
    EcsRamRole(Option<String>),
    /// Its path or query may hold a secret.
    CredentialsUri(Option<Secret>),
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
        let profile = |f: &mut fmt::Formatter<'_>, kind: &str, profile: &plan::Profile| match &profile.name {
            Some(name) => write!(f, "{kind} {name}"),
            None => f.write_str(kind),
        };
        match self {
            Self::Environment(_) => f.write_str("environment"),
            Self::SystemdCredential { name, .. } => write!(f, "systemd credential {name}"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::OidcRole(_) => f.write_str("OIDC role"),
            Self::CliProfile(settings) => profile(f, "CLI profile", settings),
            Self::IniProfile(settings) => profile(f, "ini profile", settings),
            Self::EcsRamRole(Some(role)) => write!(f, "ECS RAM role {role}"),
            Self::EcsRamRole(None) => f.write_str("ECS RAM role"),
            Self::CredentialsUri(_) => f.write_str("credentials URI"),
        }
    }
}

/// What shows that a file was changed: device, inode, size, time of change in nanoseconds. Empty for what is not there.
pub(super) type Version = Vec<Option<(u64, u64, u64, i64, i64)>>;

/// The sources of `provider`, in order.
pub(super) fn sources(provider: &Provider, environment: &HashMap<String, String>, around: &Around) -> Vec<Source> {
    let variable = |name: &str| environment.get(name).filter(|value| !value.is_empty()).cloned();
    let from_environment = || {
        Source::Environment(EnvironmentKeys {
            id: variable("ALIBABA_CLOUD_ACCESS_KEY_ID"),
            secret: variable("ALIBABA_CLOUD_ACCESS_KEY_SECRET").map(Secret::new),
            token: variable("ALIBABA_CLOUD_SECURITY_TOKEN").map(Secret::new),
        })
    };
    let from_systemd =
        |name: &str| Source::SystemdCredential { name: name.to_owned(), directory: variable("CREDENTIALS_DIRECTORY").map(PathBuf::from) };
    match provider {
        Provider::Auto => {
            let mut chain = vec![from_environment(), from_systemd(DEFAULT_CREDENTIAL)];
            // One of them shows that it is meant; without any there is nothing to say about it.
            if around.oidc_token_file.is_some() || around.oidc_provider_arn.is_some() {
                chain.push(Source::OidcRole(plan::OidcRole::default()));
            }
            chain.push(Source::CliProfile(plan::Profile::default()));
            chain.push(Source::IniProfile(plan::Profile::default()));
            chain.push(Source::EcsRamRole(around.ecs_role.clone()));
            if around.uri.is_some() {
                chain.push(Source::CredentialsUri(None));
            }
            chain
        }
        Provider::Environment => vec![from_environment()],
        Provider::OidcRole(settings) => vec![Source::OidcRole(settings.clone())],
        Provider::CliProfile(settings) => vec![Source::CliProfile(settings.clone())],
        Provider::IniProfile(settings) => vec![Source::IniProfile(settings.clone())],
        Provider::EcsRamRole(role) => vec![Source::EcsRamRole(role.clone().or_else(|| around.ecs_role.clone()))],
        Provider::CredentialsUri(url) => vec![Source::CredentialsUri(url.as_ref().map(|url| Secret::new(url.as_str())))],
        Provider::File(path) => vec![Source::File(path.clone())],
        Provider::SystemdCredential(name) => vec![from_systemd(name)],
    }
}

impl Source {
    /// What it comes to, and what the keys will say of where they are from. Blocks on its files.
    pub(super) fn recipe(&self, around: &Around) -> Result<(Recipe, String), Refused> {
        let named = |base: Base| (Recipe::from(base), String::new());
        match self {
            Self::Environment(keys) => keys.find().map(Base::lasting).map(named),
            Self::File(path) => {
                let hint = "it must be a JSON document with access_key_id, access_key_secret and, if temporary, security_token";
                self.read(path).map(named).map_err(|refused| refused.hinting(hint))
            }
            Self::SystemdCredential { directory: None, .. } => {
                Err(Refused::new("$CREDENTIALS_DIRECTORY is not set").hinting("the unit hands credentials over with LoadCredential="))
            }
            Self::SystemdCredential { .. } => match self.paths(around).first() {
                Some(path) => self.read(path).map(named),
                None => Err(Refused::new("its name is not a file name")),
            },
            Self::OidcRole(settings) => oidc_role(settings, around),
            Self::CliProfile(settings) => cli_profile::recipe(settings, around),
            Self::IniProfile(settings) => ini_profile::recipe(settings, around),
            Self::EcsRamRole(role) => Ok(named(Base::EcsRamRole(role.clone()))),
            Self::CredentialsUri(uri) => Ok(named(Base::Uri(uri.clone()))),
        }
    }

    /// Whether it looks at files, and so may hang.
    pub(super) fn has_files(&self) -> bool {
        match self {
            Self::File(_) | Self::SystemdCredential { .. } | Self::OidcRole(_) | Self::CliProfile(_) | Self::IniProfile(_) => true,
            Self::Environment(_) | Self::EcsRamRole(_) | Self::CredentialsUri(_) => false,
        }
    }

    /// The state of the files that it reads. Tokens do not count: that they are replaced makes nothing old. Blocks.
    pub(super) fn version(&self, around: &Around) -> Version {
        let about = |path: &PathBuf| std::fs::metadata(path).ok().map(|m| (m.dev(), m.ino(), m.size(), m.ctime(), m.ctime_nsec()));
        self.paths(around).iter().map(about).collect()
    }

    fn paths(&self, around: &Around) -> Vec<PathBuf> {
        match self {
            Self::File(path) => vec![path.clone()],
            Self::SystemdCredential { name, directory: Some(directory) } => {
                let is_name = !name.contains('/') && !matches!(name.as_str(), "" | "." | "..");
                if is_name { vec![directory.join(name)] } else { Vec::new() }
            }
            Self::CliProfile(settings) => cli_profile::path(settings, around).into_iter().collect(),
            Self::IniProfile(settings) => ini_profile::paths(settings, around),
            _ => Vec::new(),
        }
    }

    fn read(&self, path: &Path) -> Result<Base, Refused> {
        // A systemd credential has the mode and owner that systemd gives it.
        let readers = if matches!(self, Self::File(_)) { Readers::Few } else { Readers::Any };
        let wrong = |why: String| match self {
            // Its name has the path already.
            Self::File(_) => Refused::new(why),
            _ => Refused::new(format!("{}: {why}", path.display())),
        };
        let text = file::read(path, file::DOCUMENT_LIMIT, readers).map_err(wrong)?;
        document::file(&text, &self.to_string()).map(Base::Keys).map_err(wrong)
    }
}

fn oidc_role(settings: &plan::OidcRole, around: &Around) -> Result<(Recipe, String), Refused> {
    let role = RoleSettings { arn: settings.role_arn.clone(), session_name: settings.session_name.clone(), ..RoleSettings::default() };
    let role = role.complete(&settings.sts, around)?;
    let token = Token::complete(settings.provider_arn.clone(), settings.token_file.clone(), around)?;
    let source = format!("OIDC role {}", role.arn);
    Ok((Base::Oidc(token, role).into(), source))
}

impl EnvironmentKeys {
    fn find(&self) -> Result<Keys, Refused> {
        let unset = |name: &str| Refused::new(format!("{name} is not set"));
        let id = self.id.as_deref().ok_or_else(|| unset("ALIBABA_CLOUD_ACCESS_KEY_ID"))?;
        let secret = self.secret.clone().ok_or_else(|| unset("ALIBABA_CLOUD_ACCESS_KEY_SECRET"))?;
        document::keys(id, secret, self.token.clone(), "the environment").map_err(Refused::new)
    }
}
