//! `[credentials]`: one provider, and the keys that belong to it.

use super::agent::credential_name;
use crate::config::forms;
use crate::config::fragment::Value;
use crate::config::network;
use crate::config::reader::{Parsed, Problem, Reader};
use crate::plan::{Credentials, OidcRole, Profile, Provider, Sts};
use std::path::PathBuf;

const WITH_STS: &[&str] = &["oidc-role", "cli-profile", "ini-profile"];
const PROFILES: &[&str] = &["cli-profile", "ini-profile"];

/// Which keys belong to which providers.
const PROVIDER_KEYS: [(&str, &[&str]); 13] = [
    ("file", &["file"]),
    ("credential", &["systemd"]),
    ("role_name", &["ecs-ram-role"]),
    ("profile", PROFILES),
    ("profile_file", PROFILES),
    ("uri", &["credentials-uri"]),
    ("role_arn", &["oidc-role"]),
    ("oidc_provider_arn", &["oidc-role"]),
    ("oidc_token_file", &["oidc-role"]),
    ("role_session_name", &["oidc-role"]),
    ("sts_endpoint", WITH_STS),
    ("sts_region", WITH_STS),
    ("sts_vpc", WITH_STS),
];

/// `[credentials]`.
pub(super) fn credentials(reader: &mut Reader<'_>) -> Option<Credentials> {
    let provider = reader.word("provider", |word| Some(word.to_owned()));
    let file = reader.optional("file", forms::path);
    let credential = reader.optional("credential", credential_name);
    let role_name = reader.optional("role_name", |value| forms::identifier(value, 64, "-_."));
    let uri = reader.optional("uri", network::url_of_credentials);
    let sts = sts(reader);
    let profile = profile(reader, sts.clone());
    let oidc = oidc_role(reader, sts);
    let provider = provider?;
    for (key, needed) in PROVIDER_KEYS {
        if reader.has(key) && !needed.contains(&provider.as_str()) {
            let place = reader.place(key);
            let needed: Vec<_> = needed.iter().map(|provider| format!("`provider = \"{provider}\"`")).collect();
            let message = format!("`{key}` is for {} only, and the provider is \"{provider}\"", needed.join(" or "));
            let right = needed.first().map_or("another provider", String::as_str).trim_matches('`').to_owned();
            reader.notes.misfit(place, message, Some(format!("write {right}, or leave `{key}` out")));
        }
    }
    let provider = match provider.as_str() {
        "environment" => Provider::Environment,
        "oidc-role" => Provider::OidcRole(oidc?),
        "cli-profile" => Provider::CliProfile(profile?),
        "ini-profile" => Provider::IniProfile(profile?),
        "ecs-ram-role" => Provider::EcsRamRole(role_name?),
        "credentials-uri" => Provider::CredentialsUri(uri?),
        "file" => Provider::File(needed_file(reader, file?)?),
        "systemd" => Provider::SystemdCredential(credential?.unwrap_or_else(|| {
            reader.record_default("credential", "ros-signal-agent");
            "ros-signal-agent".to_owned()
        })),
        _ => Provider::Auto,
    };
    Some(Credentials { provider })
}

fn sts(reader: &mut Reader<'_>) -> Option<Sts> {
    let endpoint = reader.optional("sts_endpoint", |value| network::url_with_tls(value, None));
    let region = reader.optional("sts_region", forms::region);
    let vpc = if reader.has("sts_vpc") { reader.flag("sts_vpc").map(Some) } else { Some(None) };
    Some(Sts { endpoint: endpoint?, region: region?, vpc: vpc? })
}

fn profile(reader: &mut Reader<'_>, sts: Option<Sts>) -> Option<Profile> {
    let name = reader.optional("profile", |value| forms::line(value, 256));
    let file = reader.optional("profile_file", forms::path);
    Some(Profile { name: name?, file: file?, sts: sts? })
}

fn oidc_role(reader: &mut Reader<'_>, sts: Option<Sts>) -> Option<OidcRole> {
    let role_arn = reader.optional("role_arn", |value| arn(value, ":role/", "acs:ram::1234567890123456:role/NAME"));
    let provider_arn =
        reader.optional("oidc_provider_arn", |value| arn(value, ":oidc-provider/", "acs:ram::1234567890123456:oidc-provider/NAME"));
    let token_file = reader.optional("oidc_token_file", forms::path);
    let session_name = reader.optional("role_session_name", session_name);
    Some(OidcRole { role_arn: role_arn?, provider_arn: provider_arn?, token_file: token_file?, session_name: session_name?, sts: sts? })
}

/// An ARN of RAM.
fn arn(value: &Value, part: &str, example: &str) -> Parsed<String> {
    let arn = forms::line(value, 512)?;
    if arn.starts_with("acs:ram::") && arn.contains(part) && !arn.contains(char::is_whitespace) {
        return Ok(arn);
    }
    Err(Problem::new("is not such an ARN").hint(format!("it looks like \"{example}\"")).into())
}

/// 2 to 64 characters (the STS page of AssumeRole).
fn session_name(value: &Value) -> Parsed<String> {
    let name = forms::identifier(value, 64, "-_.@")?;
    if name.chars().count() < 2 || !name.is_ascii() {
        return Err(Problem::new("must have 2 to 64 letters, digits and . @ - _").into());
    }
    Ok(name)
}

fn needed_file(reader: &mut Reader<'_>, file: Option<PathBuf>) -> Option<PathBuf> {
    if file.is_none() {
        let place = reader.place("provider");
        let hint = "write file = \"/path\", a JSON file with access_key_id and access_key_secret";
        reader.notes.misfit(place, "provider \"file\" needs the key `file`", Some(hint.to_owned()));
    }
    file
}
