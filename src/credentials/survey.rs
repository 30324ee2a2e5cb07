//! What each source says, asked in order, for a person who wants to know why there are no credentials, or which ones. Nothing is kept,
//! and no secret is told.

use super::source::{Refused, Source};
use super::{Cache, Found};
use crate::clock::Moment;
use std::time::Duration;
use tokio::time::Instant;

/// What came of one source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Stable name of its kind, such as `ecs-ram-role`.
    pub kind: &'static str,
    /// Its name for people.
    pub source: String,
    /// What it said.
    pub said: Said,
    /// How long that took.
    pub took: Duration,
}

/// What a source said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// Credentials; these are used.
    Gave(Given),
    /// Nothing.
    Refused {
        /// Why.
        why: String,
        /// What a person can do.
        hint: Option<String>,
    },
    /// It was not asked, because an earlier one gave some.
    NotAsked,
}

/// What may be told of credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// `AccessKeyId`.
    pub access_key_id: String,
    /// They come with a security token.
    pub temporary: bool,
    /// Where they came from, for people.
    pub source: String,
    /// When they end, milliseconds since 1970; none for permanent ones.
    pub expires_ms: Option<i64>,
    /// How long they have left by the source's own clock, else by this host's; below zero: they have expired.
    pub left_ms: Option<i64>,
}

impl Cache {
    /// Asks the sources in order until one gives credentials. Takes as long as they do.
    pub async fn survey(&self) -> Vec<Asked> {
        let mut asked = Vec::new();
        let mut won = false;
        for (position, (source, _)) in self.sources.chain.iter().enumerate() {
            let began = Instant::now();
            let said = match won {
                true => Said::NotAsked,
                false => said(self.sources.find(position).await),
            };
            won = won || matches!(&said, Said::Gave(_));
            asked.push(Asked { kind: source.kind(), source: source.to_string(), said, took: began.elapsed() });
        }
        asked
    }
}

fn said(found: Result<Found, Refused>) -> Said {
    match found {
        Ok(Found { keys, expires_ms, source_ms, ask_again: _ }) => {
            let now = source_ms.unwrap_or(Moment::now().wall_ms);
            Said::Gave(Given {
                access_key_id: keys.access_key_id().to_owned(),
                temporary: keys.security_token().is_some(),
                source: keys.source().to_owned(),
                expires_ms,
                left_ms: expires_ms.map(|at| at.saturating_sub(now)),
            })
        }
        Err(refused) => Said::Refused { why: refused.why, hint: refused.hint },
    }
}

impl Source {
    /// A name for programs, which never changes.
    fn kind(&self) -> &'static str {
        match self {
            Self::Environment(_) => "environment",
            Self::File(_) => "file",
            Self::SystemdCredential { .. } => "systemd-credential",
            Self::OidcRole(_) => "oidc-role",
            Self::CliProfile(_) => "cli-profile",
            Self::IniProfile(_) => "ini-profile",
            Self::EcsRamRole(_) => "ecs-ram-role",
            Self::CredentialsUri(_) => "credentials-uri",
        }
    }
}
