//! What all sources share: what the environment says, the metadata service, and STS.
//!
//! The variables are those of the official SDKs (credentials-go and alibabacloud-credentials for Python). Empty ones count as unset,
//! truth is the text `true` in any case.

use super::sts;
use crate::instance::Metadata;
use crate::rpc::Reach;
use crate::secret::Secret;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

/// See the module.
#[derive(Debug)]
pub(super) struct Around {
    /// `HOME`; a daemon may have none.
    pub(super) home: Option<PathBuf>,
    /// `ALIBABA_CLOUD_PROFILE`
    pub(super) profile: Option<String>,
    /// `ALIBABA_CLOUD_CONFIG_FILE`
    pub(super) cli_file: Option<PathBuf>,
    /// `ALIBABA_CLOUD_CLI_PROFILE_DISABLED`
    pub(super) cli_disabled: bool,
    /// `ALIBABA_CLOUD_CREDENTIALS_FILE`
    pub(super) ini_file: Option<PathBuf>,
    /// `ALIBABA_CLOUD_ECS_METADATA`
    pub(super) ecs_role: Option<String>,
    /// `ALIBABA_CLOUD_ECS_METADATA_DISABLED`
    pub(super) ecs_disabled: bool,
    /// `ALIBABA_CLOUD_ROLE_ARN`
    pub(super) role_arn: Option<String>,
    /// `ALIBABA_CLOUD_ROLE_SESSION_NAME`
    pub(super) session_name: Option<String>,
    /// `ALIBABA_CLOUD_OIDC_PROVIDER_ARN`
    pub(super) oidc_provider_arn: Option<String>,
    /// `ALIBABA_CLOUD_OIDC_TOKEN_FILE`
    pub(super) oidc_token_file: Option<PathBuf>,
    /// `ALIBABA_CLOUD_STS_REGION`
    pub(super) sts_region: Option<String>,
    /// `ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED`
    pub(super) sts_vpc: bool,
    /// `STS_ENDPOINT`, as the Terraform provider knows it: a host, or a URL.
    pub(super) sts_endpoint: Option<String>,
    /// `ALIBABA_CLOUD_CREDENTIALS_URI`; its path or query may hold a secret.
    pub(super) uri: Option<Secret>,
    pub(super) metadata: Arc<Metadata>,
    pub(super) sts: sts::Client,
    /// How STS is reached.
    pub(super) reach: Reach,
}

impl Around {
    pub(super) fn new(environment: &HashMap<String, String>, metadata: &Arc<Metadata>) -> Self {
        let text = |name: &str| environment.get(name).filter(|value| !value.is_empty()).cloned();
        let path = |name: &str| text(name).map(PathBuf::from);
        let is_true = |name: &str| text(name).is_some_and(|value| value.eq_ignore_ascii_case("true"));
        Self {
            home: path("HOME"),
            profile: text("ALIBABA_CLOUD_PROFILE"),
            cli_file: path("ALIBABA_CLOUD_CONFIG_FILE"),
            cli_disabled: is_true("ALIBABA_CLOUD_CLI_PROFILE_DISABLED"),
            ini_file: path("ALIBABA_CLOUD_CREDENTIALS_FILE"),
            ecs_role: text("ALIBABA_CLOUD_ECS_METADATA"),
            ecs_disabled: is_true("ALIBABA_CLOUD_ECS_METADATA_DISABLED"),
            role_arn: text("ALIBABA_CLOUD_ROLE_ARN"),
            session_name: text("ALIBABA_CLOUD_ROLE_SESSION_NAME"),
            oidc_provider_arn: text("ALIBABA_CLOUD_OIDC_PROVIDER_ARN"),
            oidc_token_file: path("ALIBABA_CLOUD_OIDC_TOKEN_FILE"),
            sts_region: text("ALIBABA_CLOUD_STS_REGION"),
            sts_vpc: is_true("ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED"),
            sts_endpoint: text("STS_ENDPOINT"),
            uri: text("ALIBABA_CLOUD_CREDENTIALS_URI").map(Secret::new),
            metadata: Arc::clone(metadata),
            sts: sts::Client::default(),
            reach: Reach::bare(),
        }
    }
}
