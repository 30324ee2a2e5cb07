//! A role that a token of an identity provider stands for (RRSA in clusters): the token's file is read anew each time, because whoever
//! writes it replaces it long before it ends.

use super::Found;
use super::around::Around;
use super::file;
use super::source::Refused;
use super::sts::Role;
use crate::secret::Secret;
use std::path::PathBuf;

/// What is exchanged for a role.
#[derive(Debug)]
pub(super) struct Token {
    pub(super) provider_arn: String,
    pub(super) file: PathBuf,
}

impl Token {
    /// The token, if it is known which; what is missing comes from the environment.
    pub(super) fn complete(provider_arn: Option<String>, file: Option<PathBuf>, around: &Around) -> Result<Self, Refused> {
        let provider_arn = provider_arn.or_else(|| around.oidc_provider_arn.clone());
        let file = file.or_else(|| around.oidc_token_file.clone());
        match (provider_arn, file) {
            (Some(provider_arn), Some(file)) => Ok(Self { provider_arn, file }),
            (None, _) => Err(Refused::new("it is not known which identity provider: ALIBABA_CLOUD_OIDC_PROVIDER_ARN is not set")),
            (_, None) => Err(Refused::new("it is not known where the token is: ALIBABA_CLOUD_OIDC_TOKEN_FILE is not set")),
        }
    }

    /// Exchanges it.
    pub(super) async fn exchange(&self, role: &Role, source: &str, around: &Around) -> Result<Found, Refused> {
        let read = file::read(&self.file, file::TOKEN_LIMIT, file::Readers::Any);
        let text = read.map_err(|why| Refused::new(format!("{}: {why}", self.file.display())))?;
        let token = text.trim();
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Refused::new(format!("{}: it is empty, or no token", self.file.display())));
        }
        let token = Secret::new(token);
        around.sts.assume_with_token(role, &self.provider_arn, &token, source, &around.reach).await
    }
}
