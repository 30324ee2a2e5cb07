//! What a source comes to, once its files are read: credentials to begin with, and the roles that are assumed from there, one from the
//! other.

use super::around::Around;
use super::document::Parsed;
use super::oidc::Token;
use super::source::Refused;
use super::sts::Role;
use super::{Found, Keys, external, ram_role, uri};
use crate::secret::Secret;

/// See the module.
#[derive(Debug)]
pub(super) struct Recipe {
    pub(super) base: Base,
    /// In the order in which they are assumed.
    pub(super) roles: Vec<Role>,
}

/// What it begins with.
#[derive(Debug)]
pub(super) enum Base {
    /// Keys as they stand there, and when they end.
    Keys(Parsed),
    /// The RAM role of the instance; asked for unless named.
    EcsRamRole(Option<String>),
    /// A role for a token.
    Oidc(Token, Role),
    /// What a program prints. The command may hold a secret.
    External(Secret),
    /// What a service on the network hands out; that of the environment unless given.
    Uri(Option<Secret>),
}

impl Base {
    /// Keys that do not end.
    pub(super) fn lasting(keys: Keys) -> Self {
        Self::Keys((keys, None))
    }
}

impl From<Base> for Recipe {
    fn from(base: Base) -> Self {
        Self { base, roles: Vec::new() }
    }
}

impl Recipe {
    /// Follows it. `source` is what the keys say of where they are from; `""` where the service that gives them tells.
    pub(super) async fn follow(self, source: &str, around: &Around) -> Result<Found, Refused> {
        let mut found = match self.base {
            Base::Keys((keys, expires_ms)) => Found { keys, expires_ms, source_ms: None, ask_again: None },
            Base::EcsRamRole(role) => ram_role::find(role.as_deref(), source, around).await?,
            Base::Oidc(token, role) => token.exchange(&role, source, around).await?,
            Base::External(command) => external::find(&command, source).await?,
            Base::Uri(uri) => uri::find(uri.as_ref(), around).await?,
        };
        for role in &self.roles {
            found = around.sts.assume(role, found.keys, source, &around.reach).await?;
        }
        Ok(found)
    }
}
