//! `[credentials]`: which provider of access keys is asked, and what it is told.

use reqwest::Url;
use std::path::PathBuf;

/// `[credentials]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Credentials {
    /// `provider`.
    pub provider: Provider,
}

/// Where keys come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Provider {
    /// The chain of the official SDKs: environment, OIDC role, CLI profile, ini profile, ECS RAM role, credentials URI. Right after the
    /// environment comes a systemd credential named `ros-signal-agent`, where one was handed over.
    Auto,
    /// `ALIBABA_CLOUD_ACCESS_KEY_ID` and its companions.
    Environment,
    /// A role that a token of an identity provider stands for.
    OidcRole(OidcRole),
    /// A profile of the command line tool `aliyun`.
    CliProfile(Profile),
    /// A profile of the SDKs' ini file.
    IniProfile(Profile),
    /// The metadata service; the role is asked for unless named.
    EcsRamRole(Option<String>),
    /// A service that hands out credentials over HTTP; `ALIBABA_CLOUD_CREDENTIALS_URI` unless given.
    CredentialsUri(Option<Url>),
    /// A JSON file: `access_key_id`, `access_key_secret`, optional `security_token`.
    File(PathBuf),
    /// The same document as a systemd credential of this name, under `$CREDENTIALS_DIRECTORY`.
    SystemdCredential(String),
}

/// What of an OIDC role does not come from the environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OidcRole {
    /// `role_arn`, else `ALIBABA_CLOUD_ROLE_ARN`.
    pub role_arn: Option<String>,
    /// `oidc_provider_arn`, else `ALIBABA_CLOUD_OIDC_PROVIDER_ARN`.
    pub provider_arn: Option<String>,
    /// `oidc_token_file`, else `ALIBABA_CLOUD_OIDC_TOKEN_FILE`.
    pub token_file: Option<PathBuf>,
    /// `role_session_name`, else `ALIBABA_CLOUD_ROLE_SESSION_NAME`.
    pub session_name: Option<String>,
    /// Where STS is.
    pub sts: Sts,
}

/// Which profile of which file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// `profile`, else `ALIBABA_CLOUD_PROFILE`, else the one the file calls current, or `default`.
    pub name: Option<String>,
    /// `profile_file`, else what the environment says, else the official place below the home directory.
    pub file: Option<PathBuf>,
    /// Where STS is.
    pub sts: Sts,
}

/// Where the Security Token Service is, as far as it is configured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sts {
    /// `sts_endpoint`, else `STS_ENDPOINT`: overrides the others.
    pub endpoint: Option<Url>,
    /// `sts_region`, else the profile's, else `ALIBABA_CLOUD_STS_REGION`.
    pub region: Option<String>,
    /// `sts_vpc`, else the profile's, else `ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED`.
    pub vpc: Option<bool>,
}
