//! The chain beside that of the vendor's Python package: the same credentials for the same inputs.

use crate::peer;
use crate::ros::{KEY_ID, KEY_SECRET, metadata, sandbox};
use ros_sandbox::Secret;
use ros_signal_agent::clock::Moment;
use ros_signal_agent::credentials::Cache;
use ros_signal_agent::plan::Provider;
use ros_signal_agent::retry::Random;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

const TOKEN: &str = "header.payload.signature";
const ROLE: &str = "acs:ram::1234567890123456:role/Assumed";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Metadata {
    /// A role is attached.
    Role,
    NoRole,
    /// Nothing listens.
    Absent,
}

/// What is expected of both, or of each.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Pick {
    /// The beginning of the access key id, and the package's word for the type.
    Both(&'static str, &'static str),
    Neither,
    /// Ours and theirs, where they differ on purpose, and why.
    Differ(Option<&'static str>, Option<&'static str>, &'static str),
}

use Pick::{Both, Differ, Neither};

struct Row {
    name: &'static str,
    environment: Vec<(&'static str, &'static str)>,
    /// Below the home directory.
    files: Vec<(&'static str, String)>,
    metadata: Metadata,
    pick: Pick,
}

const CLI: &str = ".aliyun/config.json";
const INI: &str = ".alibabacloud/credentials.ini";
const INI_OF_GO: &str = ".alibabacloud/credentials";
const ID: (&str, &str) = ("ALIBABA_CLOUD_ACCESS_KEY_ID", "LTAIenvironment");
const SECRET: (&str, &str) = ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "s");
const OIDC: [(&str, &str); 3] = [
    ("ALIBABA_CLOUD_OIDC_TOKEN_FILE", "{home}/token"),
    ("ALIBABA_CLOUD_ROLE_ARN", ROLE),
    ("ALIBABA_CLOUD_OIDC_PROVIDER_ARN", "acs:ram::1234567890123456:oidc-provider/P"),
];
const URI: (&str, &str) = ("ALIBABA_CLOUD_CREDENTIALS_URI", "{uri}");

fn cli(current: &str, profiles: &Value) -> (&'static str, String) {
    (CLI, json!({"current": current, "profiles": profiles}).to_string())
}

fn ak(name: &str, id: &str) -> Value {
    json!({"name": name, "mode": "AK", "access_key_id": id, "access_key_secret": "s", "sts_token": "", "ram_role_arn": ""})
}

fn ram_role(more: &Value) -> Value {
    let mut profile = json!({
        "name": "p", "mode": "RamRoleArn", "access_key_id": KEY_ID, "access_key_secret": KEY_SECRET,
        "ram_role_arn": ROLE, "ram_session_name": "session", "expired_seconds": 900,
    });
    profile.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    profile
}

fn ini(text: &str) -> (&'static str, String) {
    (INI, text.to_owned())
}

fn row(
    name: &'static str,
    environment: &[(&'static str, &'static str)],
    files: Vec<(&'static str, String)>,
    metadata: Metadata,
    pick: Pick,
) -> Row {
    Row { name, environment: environment.to_vec(), files, metadata, pick }
}

/// Those in which a single source has something, and those in which several do.
fn order() -> Vec<Row> {
    use Metadata::{Absent, NoRole, Role};
    let both_keys = [ID, SECRET];
    let token = || ("token", TOKEN.to_owned());
    let cli_ak = || cli("a", &json!([ak("a", "LTAIcli")]));
    let ini_ak = || ini("[default]\ntype = access_key\naccess_key_id = LTAIini\naccess_key_secret = s\n");
    let oidc_and = |more: &[(&'static str, &'static str)]| [OIDC.as_slice(), more].concat();
    vec![
        row("nothing anywhere", &[], vec![], Absent, Neither),
        row("a metadata service without a role", &[], vec![], NoRole, Neither),
        row("the environment", &both_keys, vec![], Absent, Both("LTAIenvironment", "env")),
        row(
            "the environment with a token",
            &[ID, SECRET, ("ALIBABA_CLOUD_SECURITY_TOKEN", "t")],
            vec![],
            Role,
            Both("LTAIenvironment", "env"),
        ),
        row(
            "the environment before all others",
            &oidc_and(&[ID, SECRET, URI]),
            vec![token(), cli_ak(), ini_ak()],
            Role,
            Both("LTAIenvironment", "env"),
        ),
        row("an id alone is nothing", &[ID], vec![], Role, Both("STS.", "ecs_ram_role")),
        row("an empty secret is none", &[ID, ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "")], vec![], Role, Both("STS.", "ecs_ram_role")),
        row("an OIDC role", &OIDC, vec![token()], Absent, Both("STS.Assumed", "oidc_role_arn")),
        row("an OIDC role before profiles", &OIDC, vec![token(), cli_ak(), ini_ak()], Role, Both("STS.Assumed", "oidc_role_arn")),
        row("an OIDC role without a provider is none", &OIDC[..2], vec![token(), cli_ak()], Role, Both("LTAIcli", "cli_profile/static_ak")),
        row("a token file that is not there", &OIDC, vec![cli_ak()], Role, Both("LTAIcli", "cli_profile/static_ak")),
        row(
            "a token that is refused",
            &OIDC,
            vec![("token", "other.token.x".to_owned()), ini_ak()],
            Role,
            Both("LTAIini", "profile/static_ak"),
        ),
        row("a CLI profile before an ini profile", &[], vec![cli_ak(), ini_ak()], Role, Both("LTAIcli", "cli_profile/static_ak")),
        row(
            "a CLI profile that is switched off",
            &[("ALIBABA_CLOUD_CLI_PROFILE_DISABLED", "True")],
            vec![cli_ak(), ini_ak()],
            Role,
            Both("LTAIini", "profile/static_ak"),
        ),
        row("an ini profile before the role", &[], vec![ini_ak()], Role, Both("LTAIini", "profile/static_ak")),
        row("the role of the instance", &[], vec![], Role, Both("STS.", "ecs_ram_role")),
        row("the role by its name", &[("ALIBABA_CLOUD_ECS_METADATA", "SandboxRole")], vec![], Role, Both("STS.", "ecs_ram_role")),
        row("another name than the role's", &[("ALIBABA_CLOUD_ECS_METADATA", "Other")], vec![], Role, Neither),
        row("the role is switched off", &[("ALIBABA_CLOUD_ECS_METADATA_DISABLED", "TRUE")], vec![], Role, Neither),
        row("the role before a URI", &[URI], vec![], Role, Both("STS.", "ecs_ram_role")),
        row("a URI after a role that is not there", &[URI], vec![], NoRole, Both("STS.", "credential_uri")),
        row("a URI where nothing else is", &[URI], vec![], Absent, Both("STS.", "credential_uri")),
        row("a URI that nobody serves", &[("ALIBABA_CLOUD_CREDENTIALS_URI", "http://127.0.0.1:1/x")], vec![], Absent, Neither),
    ]
}

/// What profiles may say.
fn profiles() -> Vec<Row> {
    use Metadata::{Absent, Role};
    const NAMED: (&str, &str) = ("ALIBABA_CLOUD_PROFILE", "b");
    let two = || cli("a", &json!([ak("a", "LTAIa"), ak("b", "LTAIb")]));
    let printed =
        r#"{"mode":"StsToken","access_key_id":"STS.printed","access_key_secret":"s","sts_token":"t","expiration":"2099-01-02T03:04:05Z"}"#;
    let external = |command: &str| cli("p", &json!([{"name": "p", "mode": "External", "process_command": command}]));
    let chain = json!([
        {"name": "p", "mode": "ChainableRamRoleArn", "source_profile": "q", "ram_role_arn": ROLE, "ram_session_name": "session"},
        {"name": "q", "mode": "ChainableRamRoleArn", "source_profile": "r", "ram_role_arn": "acs:ram::1:role/Between", "ram_session_name": "session"},
        {"name": "r", "mode": "EcsRamRole"},
    ]);
    let ini_of = |kind: &str| {
        format!(
            "[default]\ntype = {kind}\naccess_key_id = {KEY_ID}\naccess_key_secret = {KEY_SECRET}\nrole_arn = {ROLE}\nrole_session_name = session\noidc_provider_arn = acs:ram::1:oidc-provider/P\noidc_token_file_path = {{home}}/token\n"
        )
    };
    let token = || ("token", TOKEN.to_owned());
    let go = || (INI_OF_GO, "[default]\ntype = access_key\naccess_key_id = LTAIgo\naccess_key_secret = s\n".to_owned());
    let blanks = json!({"policy": "{\"Version\": \"1\", \"Statement\": []}"});
    vec![
        row("the profile that the environment names", &[NAMED], vec![two()], Absent, Both("LTAIb", "cli_profile/static_ak")),
        row("a profile that is not there", &[("ALIBABA_CLOUD_PROFILE", "c")], vec![two()], Role, Both("STS.", "ecs_ram_role")),
        row("a current profile that is not there", &[], vec![cli("c", &json!([ak("a", "LTAIa")]))], Role, Both("STS.", "ecs_ram_role")),
        row("half a file", &[], vec![(CLI, "{\"current\": \"a\", \"prof".to_owned())], Role, Both("STS.", "ecs_ram_role")),
        row(
            "StsToken",
            &[],
            vec![cli(
                "p",
                &json!([{"name": "p", "mode": "StsToken", "access_key_id": "STS.cli", "access_key_secret": "s", "sts_token": "t"}]),
            )],
            Absent,
            Both("STS.cli", "cli_profile/static_sts"),
        ),
        row(
            "StsToken without a token",
            &[],
            vec![cli("p", &json!([{"name": "p", "mode": "StsToken", "access_key_id": "STS.cli", "access_key_secret": "s"}]))],
            Role,
            Both("STS.", "ecs_ram_role"),
        ),
        row("RamRoleArn", &[], vec![cli("p", &json!([ram_role(&json!({}))]))], Absent, Both("STS.Assumed", "cli_profile/ram_role_arn")),
        row(
            "RamRoleArn of a region and a VPC",
            &[],
            vec![cli("p", &json!([ram_role(&json!({"sts_region": "cn-beijing", "enable_vpc": true}))]))],
            Absent,
            Both("STS.Assumed", "cli_profile/ram_role_arn"),
        ),
        row(
            "RamRoleArn with a wrong secret",
            &[],
            vec![cli("p", &json!([ram_role(&json!({"access_key_secret": "wrong"}))]))],
            Role,
            Both("STS.", "ecs_ram_role"),
        ),
        row(
            "a session that is too short",
            &[],
            vec![cli("p", &json!([ram_role(&json!({"expired_seconds": 60}))]))],
            Role,
            Both("STS.", "ecs_ram_role"),
        ),
        row(
            "EcsRamRole of a profile",
            &[],
            vec![cli("p", &json!([{"name": "p", "mode": "EcsRamRole", "ram_role_name": "SandboxRole"}]))],
            Role,
            Both("STS.", "cli_profile/ecs_ram_role"),
        ),
        row(
            "OIDC of a profile",
            &[],
            vec![
                token(),
                cli(
                    "p",
                    &json!([{"name": "p", "mode": "OIDC", "ram_role_arn": ROLE, "oidc_provider_arn": "acs:ram::1:oidc-provider/P", "oidc_token_file": "{home}/token", "role_session_name": "session"}]),
                ),
            ],
            Absent,
            Both("STS.Assumed", "cli_profile/oidc_role_arn"),
        ),
        row("ChainableRamRoleArn over two roles", &[], vec![cli("p", &chain)], Role, Both("STS.Assumed", "cli_profile/ram_role_arn")),
        row(
            "profiles that go round in a circle",
            &[],
            vec![cli("p", &json!([{"name": "p", "mode": "ChainableRamRoleArn", "source_profile": "p", "ram_role_arn": ROLE}]))],
            Role,
            Both("STS.", "ecs_ram_role"),
        ),
        row(
            "External",
            &[],
            vec![("printed", printed.to_owned()), external("cat '{home}/printed'")],
            Absent,
            Both("STS.printed", "cli_profile/external"),
        ),
        row("External that fails", &[], vec![external("sh -c 'exit 3'")], Role, Both("STS.", "ecs_ram_role")),
        row(
            "a mode that nobody knows",
            &[],
            vec![cli("p", &json!([{"name": "p", "mode": "Telepathy"}]))],
            Role,
            Both("STS.", "ecs_ram_role"),
        ),
        row(
            "an ini file elsewhere",
            &[("ALIBABA_CLOUD_CREDENTIALS_FILE", "{home}/other.ini")],
            vec![("other.ini", "[default]\ntype = access_key\naccess_key_id = LTAIother\naccess_key_secret = s # mine\n".to_owned())],
            Absent,
            Both("LTAIother", "profile/static_ak"),
        ),
        row(
            "an ini profile by name",
            &[NAMED],
            vec![ini(
                "[default]\ntype = access_key\naccess_key_id = LTAIini\naccess_key_secret = s\n[b]\ntype: access_key\nACCESS_KEY_ID: LTAIb\naccess_key_secret: s\n",
            )],
            Absent,
            Both("LTAIb", "profile/static_ak"),
        ),
        row("ini ram_role_arn", &[], vec![ini(&ini_of("ram_role_arn"))], Absent, Both("STS.Assumed", "profile/ram_role_arn")),
        row("ini oidc_role_arn", &[], vec![token(), ini(&ini_of("oidc_role_arn"))], Absent, Both("STS.Assumed", "profile/oidc_role_arn")),
        row(
            "ini ecs_ram_role",
            &[],
            vec![ini("[default]\ntype = ecs_ram_role\nrole_name = SandboxRole\n")],
            Role,
            Both("STS.", "profile/ecs_ram_role"),
        ),
        row("an unknown type in the ini file", &[], vec![ini("[default]\ntype = bearer\n")], Role, Both("STS.", "ecs_ram_role")),
        row(
            "a key that comes twice in the ini file",
            &[],
            vec![ini("[default]\ntype = access_key\ntype = access_key\naccess_key_id = LTAIini\naccess_key_secret = s\n")],
            Role,
            Both("STS.", "ecs_ram_role"),
        ),
        row(
            "the ini file of the Go SDK",
            &[],
            vec![go()],
            Absent,
            Differ(
                Some("LTAIgo"),
                None,
                "the Python package looks at credentials.ini only, the Go SDK at credentials; both places are official",
            ),
        ),
        row(
            "a CLI file elsewhere",
            &[("ALIBABA_CLOUD_CONFIG_FILE", "{home}/cli.json")],
            vec![("cli.json", cli("a", &json!([ak("a", "LTAIelse")])).1)],
            Absent,
            Differ(Some("LTAIelse"), None, "only the Go SDK knows this variable"),
        ),
        row(
            "a policy with blanks",
            &[],
            vec![cli("p", &json!([ram_role(&blanks)]))],
            Role,
            Differ(
                Some("STS.Assumed"),
                Some("STS."),
                "the package signs a blank as +, which STS refuses, and goes on to the role of the instance",
            ),
        ),
        row(
            "half of a key in a profile, the other half in the environment",
            &[ID],
            vec![cli("p", &json!([{"name": "p", "mode": "AK", "access_key_secret": "s"}]))],
            Role,
            Differ(
                Some("STS."),
                Some("LTAIenvironment"),
                "the package mixes the id of one place with the secret of another, which no service takes",
            ),
        ),
        row(
            "a session of no length",
            &[],
            vec![cli("p", &json!([ram_role(&json!({"expired_seconds": 0}))]))],
            Role,
            Differ(Some("STS.Assumed"), Some("STS."), "the CLI writes 0 for what was not set, and the Go SDK takes the default then"),
        ),
    ]
}

#[derive(Debug, PartialEq, Eq)]
struct Picked {
    id: String,
    kind: String,
}

/// The package's word for one of ours.
fn kind_of(source: &str) -> String {
    let inside = source.rsplit_once('(').map_or("", |(_, inside)| inside.trim_end_matches(')'));
    let kind = match inside {
        "AK" | "access_key" => "static_ak",
        "StsToken" => "static_sts",
        "RamRoleArn" | "ChainableRamRoleArn" | "ram_role_arn" => "ram_role_arn",
        "EcsRamRole" | "ecs_ram_role" => "ecs_ram_role",
        "OIDC" | "oidc_role_arn" => "oidc_role_arn",
        "External" => "external",
        _ => "",
    };
    match source {
        "the environment" => "env".to_owned(),
        _ if source.starts_with("OIDC role") => "oidc_role_arn".to_owned(),
        _ if source.starts_with("CLI profile") => format!("cli_profile/{kind}"),
        _ if source.starts_with("ini profile") => format!("profile/{kind}"),
        _ if source.starts_with("ECS RAM role") => "ecs_ram_role".to_owned(),
        _ if source.starts_with("credentials URI") => "credential_uri".to_owned(),
        other => other.to_owned(),
    }
}

/// What each session of STS has of its own is cut off.
fn comparable(id: &str) -> String {
    let parts: Vec<&str> = id.split('.').collect();
    if parts.len() == 3 { parts[..2].join(".") } else { id.to_owned() }
}

fn lay_out(home: &Path, files: &[(&str, String)]) {
    for (path, text) in files {
        let path = home.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text.replace("{home}", home.to_str().unwrap())).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
}

async fn theirs(python: &Path, told: &Value) -> Vec<Value> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/credentials_chain.py");
    let mut child = Command::new(python).arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(told.to_string().as_bytes()).await.unwrap();
    let output = child.wait_with_output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn the_chain_picks_what_the_official_package_picks() {
    let Some(python) = peer::python_with_credentials() else { return };
    let (with_role, without) = (sandbox().await, sandbox().await);
    without.remove_metadata("meta-data/ram/security-credentials");
    with_role.set_oidc_token(Secret::from(TOKEN));
    let rows: Vec<Row> = order().into_iter().chain(profiles()).collect();
    assert!(rows.len() >= 30, "{}", rows.len());
    let homes: Vec<_> = rows.iter().map(|_| tempfile::tempdir().unwrap()).collect();
    let (mut ours, mut told) = (Vec::new(), Vec::new());
    for (row, home) in rows.iter().zip(&homes) {
        lay_out(home.path(), &row.files);
        let home = home.path().to_str().unwrap();
        let fill = |value: &str| value.replace("{home}", home).replace("{uri}", &with_role.credentials_uri());
        let mut environment: HashMap<String, String> =
            row.environment.iter().map(|(name, value)| ((*name).to_owned(), fill(value))).collect();
        environment.insert("HOME".to_owned(), home.to_owned());
        environment.insert("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned());
        let metadata_url = match row.metadata {
            Metadata::Role => with_role.metadata_url(),
            Metadata::NoRole => without.metadata_url(),
            Metadata::Absent => "http://127.0.0.1:1".to_owned(),
        };
        told.push(json!({"metadata": metadata_url.trim_start_matches("http://"), "environment": environment}));
        environment.insert("STS_ENDPOINT".to_owned(), with_role.ros_url());
        let cache = Cache::new(&Provider::Auto, &environment, &metadata(&metadata_url, &environment), Random::new(1));
        let found = cache.keys(Moment::now(), None).await;
        ours.push(found.map(|keys| Picked { id: comparable(keys.access_key_id()), kind: kind_of(keys.source()) }));
    }
    let told = json!({"sts": with_role.ros_url().trim_start_matches("http://"), "rows": told});
    let theirs = theirs(&python, &told).await;
    assert_eq!(theirs.len(), rows.len());
    for ((row, ours), theirs) in rows.iter().zip(ours).zip(&theirs) {
        let shown = format!("{}\nours: {ours:?}\ntheirs: {theirs}", row.name);
        let ours = ours.ok();
        let theirs = theirs.get("id").map(|id| {
            let kind = theirs["type"].as_str().unwrap().trim_start_matches("default/");
            let kind: Vec<&str> = kind.split('/').take(2).collect();
            let kind = if matches!(kind[0], "cli_profile" | "profile") { kind.join("/") } else { kind[0].to_owned() };
            Picked { id: comparable(id.as_str().unwrap()), kind }
        });
        let begins = |picked: &Option<Picked>, id: Option<&str>| match (picked, id) {
            (Some(picked), Some(id)) => picked.id.starts_with(id),
            (None, None) => true,
            _ => false,
        };
        match &row.pick {
            Neither => assert!(ours.is_none() && theirs.is_none(), "{shown}"),
            Both(id, kind) => {
                assert_eq!(ours, theirs, "{shown}");
                assert!(begins(&ours, Some(id)) && ours.is_some_and(|ours| ours.kind == *kind), "{shown}");
            }
            Differ(own, other, why) => {
                assert!(begins(&ours, *own) && begins(&theirs, *other), "{why}: {shown}");
            }
        }
    }
}
