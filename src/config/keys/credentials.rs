//! The keys of `[credentials]`.

use super::Fallback::{Absent, Toml};
use super::{Section, Shape, key};

/// `[credentials]`.
pub static CREDENTIALS: Section = Section {
    header: "[credentials]",
    about: "Where access keys come from. Keys themselves never stand in the configuration.",
    keys: &[
        key(
            "provider",
            Shape::Word(&[
                "auto",
                "environment",
                "oidc-role",
                "cli-profile",
                "ini-profile",
                "ecs-ram-role",
                "credentials-uri",
                "file",
                "systemd",
            ]),
            Toml("\"auto\""),
            "`auto`: environment, a systemd credential named `ros-signal-agent`, OIDC role, CLI profile, ini profile, ECS RAM role, credentials URI, the first that has any.",
        ),
        key(
            "file",
            Shape::Path,
            Absent("none"),
            "For `provider = \"file\"`: a JSON file with `access_key_id`, `access_key_secret` and perhaps `security_token`.",
        ),
        key(
            "credential",
            Shape::Text,
            Absent("`\"ros-signal-agent\"`"),
            "For `provider = \"systemd\"`: name of the systemd credential with the same document.",
        ),
        key("role_name", Shape::Text, Absent("asked for"), "For `provider = \"ecs-ram-role\"`: name of the RAM role of the instance."),
        key(
            "profile",
            Shape::Text,
            Absent("`$ALIBABA_CLOUD_PROFILE`, else the current or `default` one"),
            "For `cli-profile` and `ini-profile`: name of the profile.",
        ),
        key(
            "profile_file",
            Shape::Path,
            Absent("the official place below `$HOME`"),
            "For `cli-profile` and `ini-profile`: the file with the profiles.",
        ),
        key(
            "uri",
            Shape::Url,
            Absent("`$ALIBABA_CLOUD_CREDENTIALS_URI`"),
            "For `credentials-uri`: who hands credentials out. Plain http is for localhost and for loopback, link-local and private addresses only.",
        ),
        key("role_arn", Shape::Text, Absent("`$ALIBABA_CLOUD_ROLE_ARN`"), "For `oidc-role`: the RAM role that is assumed."),
        key(
            "oidc_provider_arn",
            Shape::Text,
            Absent("`$ALIBABA_CLOUD_OIDC_PROVIDER_ARN`"),
            "For `oidc-role`: the identity provider as RAM knows it.",
        ),
        key(
            "oidc_token_file",
            Shape::Path,
            Absent("`$ALIBABA_CLOUD_OIDC_TOKEN_FILE`"),
            "For `oidc-role`: the file with the token, read anew each time.",
        ),
        key(
            "role_session_name",
            Shape::Text,
            Absent("`$ALIBABA_CLOUD_ROLE_SESSION_NAME`, else `ros-signal-agent`"),
            "For `oidc-role`: the name of the session, as it shows in ActionTrail.",
        ),
        key(
            "sts_endpoint",
            Shape::Url,
            Absent("`$STS_ENDPOINT`, else by `sts_region`"),
            "For `oidc-role`, `cli-profile` and `ini-profile`: the host of STS. `http://` is for loopback only.",
        ),
        key(
            "sts_region",
            Shape::Text,
            Absent("the profile's, else `$ALIBABA_CLOUD_STS_REGION`, else the central host"),
            "For the same: STS of this region, `sts.REGION.aliyuncs.com`.",
        ),
        key(
            "sts_vpc",
            Shape::Flag,
            Absent("the profile's, else `$ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED`"),
            "For the same: the host that VPCs reach without the internet, `sts-vpc.REGION.aliyuncs.com`.",
        ),
    ],
};
