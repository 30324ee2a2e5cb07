//! A role that a token of an identity provider stands for (RRSA in clusters): the token's file is read anew each time, because whoever
//! writes it replaces it long before it ends.

use super::Found;
use super::around::Around;
use super::file;
use super::source::Refused;
use super::sts::Role;
use crate::secret::Secret;
use std::path::{Path, PathBuf};

/// What is exchanged for a role.
#[derive(Debug)]
pub(super) struct Token {
    provider_arn: String,
    text: Secret,
}

impl Token {
    /// The token, if it is known which; what is missing comes from the environment. Blocks on its file.
    pub(super) fn complete(provider_arn: Option<String>, file: Option<PathBuf>, around: &Around) -> Result<Self, Refused> {
        let provider_arn = provider_arn.or_else(|| around.oidc_provider_arn.clone());
        let file = file.or_else(|| around.oidc_token_file.clone());
        match (provider_arn, file) {
            (Some(provider_arn), Some(file)) => Ok(Self { provider_arn, text: read(&file)? }),
            (None, _) => Err(Refused::new("it is not known which identity provider: ALIBABA_CLOUD_OIDC_PROVIDER_ARN is not set")),
            (_, None) => Err(Refused::new("it is not known where the token is: ALIBABA_CLOUD_OIDC_TOKEN_FILE is not set")),
        }
    }

    /// Exchanges it.
    pub(super) async fn exchange(&self, role: &Role, source: &str, around: &Around) -> Result<Found, Refused> {
        around.sts.assume_with_token(role, &self.provider_arn, &self.text, source, &around.reach).await
    }
}

fn read(path: &Path) -> Result<Secret, Refused> {
    let wrong = |why: &str| Refused::new(format!("{}: {why}", path.display()));
    let text = file::read(path, file::TOKEN_LIMIT, file::Readers::Any).map_err(|why| wrong(&why))?;
    let token = text.trim();
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(wrong("it is empty, or no token"));
    }
    Ok(Secret::new(token))
}
