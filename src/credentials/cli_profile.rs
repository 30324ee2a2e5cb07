//! Profiles of the command line tool `aliyun`: `~/.aliyun/config.json`.
//!
//! ```text
//! {"current": NAME, "profiles": [{"name": NAME, "mode": MODE, ...}]}
//! ```
//!
//! The modes AK, StsToken, RamRoleArn, EcsRamRole, OIDC, ChainableRamRoleArn and External are followed. CloudSSO, OAuth and others need a
//! person who logs in, or a tool that keeps the file up to date, and are named as unsupported. Only the profiles that are needed are read
//! in full, so that a strange one beside them does no harm. The file is never written.

use super::around::Around;
use super::document;
use super::file::{self, Readers};
use super::oidc::Token;
use super::recipe::{Base, Recipe};
use super::source::Refused;
use super::sts::{Role, RoleSettings};
use crate::plan;
use crate::secret::Secret;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

/// A chain of profiles that is longer leads nowhere.
const CHAIN_LIMIT: usize = 16;

#[derive(Deserialize)]
struct Config<'a> {
    current: Option<String>,
    #[serde(borrow, default)]
    profiles: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
struct Named {
    name: Option<String>,
}

/// Empty texts count as absent: the tool writes all members.
#[derive(Deserialize)]
struct Profile {
    #[serde(default, deserialize_with = "filled")]
    mode: Option<String>,
    #[serde(default, deserialize_with = "filled")]
    access_key_id: Option<String>,
    #[serde(default, deserialize_with = "secret")]
    access_key_secret: Option<Secret>,
    #[serde(default, deserialize_with = "secret")]
    sts_token: Option<Secret>,
    #[serde(default, deserialize_with = "filled")]
    ram_role_name: Option<String>,
    #[serde(default, deserialize_with = "filled")]
    ram_role_arn: Option<String>,
    #[serde(default, deserialize_with = "filled")]
    ram_session_name: Option<String>,
    #[serde(default, deserialize_with = "filled")]
    role_session_name: Option<String>,
    #[serde(default)]
    expired_seconds: Option<u32>,
    #[serde(default, deserialize_with = "filled")]
    policy: Option<String>,
    #[serde(default, deserialize_with = "filled")]
    external_id: Option<String>,
    #[serde(default, deserialize_with = "filled")]
    sts_region: Option<String>,
    #[serde(default)]
    enable_vpc: Option<bool>,
    #[serde(default, deserialize_with = "filled")]
    source_profile: Option<String>,
    #[serde(default, deserialize_with = "filled")]
    oidc_provider_arn: Option<String>,
    #[serde(default, deserialize_with = "filled")]
    oidc_token_file: Option<String>,
    #[serde(default, deserialize_with = "secret")]
    process_command: Option<Secret>,
}

fn filled<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<String>::deserialize(from)?.filter(|text| !text.is_empty()))
}

fn secret<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Secret>, D::Error> {
    filled(from).map(|text| text.map(Secret::new))
}

/// Where the file is.
pub(super) fn path(settings: &plan::Profile, around: &Around) -> Option<PathBuf> {
    let official = || around.home.as_ref().map(|home| home.join(".aliyun/config.json"));
    settings.file.clone().or_else(|| around.cli_file.clone()).or_else(official)
}

/// What the profile comes to, and its name with its mode.
pub(super) fn recipe(settings: &plan::Profile, around: &Around) -> Result<(Recipe, String), Refused> {
    if around.cli_disabled {
        return Err(Refused::new("ALIBABA_CLOUD_CLI_PROFILE_DISABLED is true"));
    }
    let path = path(settings, around).ok_or_else(super::source::no_home)?;
    let in_file = |why: String| Refused::new(format!("{}: {why}", path.display()));
    let (text, about) = file::read_with_about(&path, file::PROFILES_LIMIT, Readers::Few).map_err(in_file)?;
    let config: Config<'_> = document::json(&text).map_err(in_file)?;
    let named = settings.name.clone().or_else(|| around.profile.clone());
    let name = named.or_else(|| config.current.clone()).filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| in_file("no profile is current, and none is named".to_owned()))?;
    let mine = about.uid() == 0 || about.uid() == rustix::process::geteuid().as_raw();
    let mine_alone = mine && about.mode() & 0o022 == 0;
    let reading = Reading { config: &config, settings, around, mine_alone };
    reading.recipe(&name).map_err(|refused| Refused { why: format!("{}: {}", path.display(), refused.why), ..refused })
}

struct Reading<'a> {
    config: &'a Config<'a>,
    settings: &'a plan::Profile,
    around: &'a Around,
    /// Nobody but root and this user can have written the file.
    mine_alone: bool,
}

impl Reading<'_> {
    /// Goes from profile to source profile until there is one that needs no other.
    fn recipe(&self, name: &str) -> Result<(Recipe, String), Refused> {
        let mut roles = Vec::new();
        let mut way = vec![name.to_owned()];
        let mut label = None;
        loop {
            let name = way.last().cloned().unwrap_or_default();
            let mut profile = self.profile(&name)?;
            let in_profile = |refused: Refused| Refused { why: format!("profile {name}: {}", refused.why), ..refused };
            let mode = profile.mode.take().ok_or_else(|| in_profile(Refused::new("it has no mode")))?;
            label.get_or_insert_with(|| format!("CLI profile {name} ({mode})"));
            if mode != "ChainableRamRoleArn" {
                let base = self.base(&mode, profile, &mut roles, label.as_deref().unwrap_or_default()).map_err(in_profile)?;
                roles.reverse();
                return Ok((Recipe { base, roles }, label.unwrap_or_default()));
            }
            let next = profile.source_profile.take().ok_or_else(|| in_profile(Refused::new("it names no source_profile")))?;
            roles.push(self.role(profile).map_err(in_profile)?);
            let is_loop = way.contains(&next);
            way.push(next);
            if is_loop {
                return Err(Refused::new(format!("the profiles go round in a circle: {}", way.join(" -> "))));
            }
            if way.len() > CHAIN_LIMIT {
                return Err(Refused::new(format!("more than {CHAIN_LIMIT} profiles stand one on the other, from {}", way.concat())));
            }
        }
    }

    fn base(&self, mode: &str, profile: Profile, roles: &mut Vec<Role>, source: &str) -> Result<Base, Refused> {
        let lacks = |what: &str| Refused::new(format!("it has no {what}"));
        match mode {
            "AK" => keys(profile, false, source).map(Base::lasting),
            "StsToken" => keys(profile, true, source).map(Base::lasting),
            "RamRoleArn" => {
                let (id, secret) = (profile.access_key_id.clone(), profile.access_key_secret.clone());
                roles.push(self.role(profile)?);
                let keys = document::keys(
                    &id.ok_or_else(|| lacks("access_key_id"))?,
                    secret.ok_or_else(|| lacks("access_key_secret"))?,
                    None,
                    source,
                );
                keys.map(Base::lasting).map_err(Refused::new)
            }
            "EcsRamRole" => Ok(Base::EcsRamRole(profile.ram_role_name)),
            "OIDC" => {
                let file = profile.oidc_token_file.clone().map(PathBuf::from);
                let token = Token::complete(profile.oidc_provider_arn.clone(), file, self.around)?;
                Ok(Base::Oidc(token, self.role(profile)?))
            }
            "External" if !self.mine_alone => Err(Refused::new("its command is not run, because others may write the file")
                .hinting("it must be root's or this user's own, with mode 0600")),
            "External" => profile.process_command.map(Base::External).ok_or_else(|| lacks("process_command")),
            other => {
                let hint = "use the RAM role of the instance, or a profile with mode AK, StsToken, RamRoleArn, EcsRamRole, OIDC, ChainableRamRoleArn or External";
                Err(Refused::new(format!("mode {} is not supported", crate::transport::clean(other))).hinting(hint))
            }
        }
    }

    fn role(&self, profile: Profile) -> Result<Role, Refused> {
        let settings = RoleSettings {
            arn: profile.ram_role_arn,
            session_name: profile.ram_session_name.or(profile.role_session_name),
            seconds: profile.expired_seconds,
            policy: profile.policy,
            external_id: profile.external_id,
            region: profile.sts_region,
            vpc: profile.enable_vpc,
        };
        settings.complete(&self.settings.sts, self.around)
    }

    fn profile(&self, name: &str) -> Result<Profile, Refused> {
        let is_it = |raw: &&&RawValue| serde_json::from_str::<Named>(raw.get()).is_ok_and(|profile| profile.name.as_deref() == Some(name));
        let raw = self.config.profiles.iter().flatten().find(is_it);
        let raw = raw.ok_or_else(|| Refused::new(format!("there is no profile {}", crate::transport::clean(name))))?;
        document::json(raw.get()).map_err(|why| Refused::new(format!("profile {name}: {why}")))
    }
}

fn keys(profile: Profile, with_token: bool, source: &str) -> Result<super::Keys, Refused> {
    let lacks = |what: &str| Refused::new(format!("it has no {what}"));
    let id = profile.access_key_id.ok_or_else(|| lacks("access_key_id"))?;
    let secret = profile.access_key_secret.ok_or_else(|| lacks("access_key_secret"))?;
    let token = if with_token { Some(profile.sts_token.ok_or_else(|| lacks("sts_token"))?) } else { None };
    document::keys(&id, secret, token, source).map_err(Refused::new)
}
