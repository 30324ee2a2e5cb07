//! STS, profiles that lead there, programs that print credentials, and a credentials URI: against the sandbox.

use crate::ros::scripted::{Server, http};
use crate::ros::{KEY_ID, KEY_SECRET, metadata, receipt, sandbox, settings, success};
use ros_sandbox::{Effect, Fault, Sandbox, Secret, Switches, When};
use ros_signal_agent::clock::Moment;
use ros_signal_agent::credentials::{Cache, Keys, RENEW_BEFORE, RENEW_JITTER, Renewal};
use ros_signal_agent::plan::{OidcRole, Profile, Provider, Sts};
use ros_signal_agent::retry::Random;
use ros_signal_agent::ros::Client;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

const ROLE: &str = "acs:ram::1234567890123456:role/Assumed";
const TOKEN: &str = "madeUpHeader.madeUpPayload.madeUpSignature";
const HOUR: Duration = Duration::from_secs(3600);

fn none() -> HashMap<String, String> {
    HashMap::new()
}

fn sts(sandbox: &Sandbox) -> Sts {
    Sts { endpoint: Some(sandbox.ros_url().parse().unwrap()), region: None, vpc: None }
}

fn write(path: &Path, text: &str) -> PathBuf {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path.to_owned()
}

fn cache(provider: &Provider, sandbox: &Sandbox) -> Cache {
    Cache::new(provider, &none(), &metadata(&sandbox.metadata_url(), &none()), Random::new(1))
}

/// A cache over the profile `p` of these.
fn of_profiles(sandbox: &Sandbox, directory: &tempfile::TempDir, profiles: &Value) -> Cache {
    let text = json!({"current": "p", "profiles": profiles}).to_string();
    let file = write(&directory.path().join("config.json"), &text);
    cache(&Provider::CliProfile(Profile { name: None, file: Some(file), sts: sts(sandbox) }), sandbox)
}

fn ram_role() -> Value {
    json!({
        "name": "p", "mode": "RamRoleArn", "access_key_id": KEY_ID, "access_key_secret": KEY_SECRET, "ram_role_arn": ROLE,
        "ram_session_name": "session", "policy": "{\"Version\": \"1\", \"Statement\": [\"a b+c~*\"]}", "external_id": "x y",
    })
}

async fn keys(cache: &Cache) -> Arc<Keys> {
    cache.keys(Moment::now(), None).await.unwrap()
}

async fn why(cache: &Cache) -> String {
    let error = cache.keys(Moment::now(), None).await.unwrap_err();
    format!("{error}; hint: {}", error.hint().unwrap_or_default())
}

#[tokio::test]
async fn a_role_is_assumed_also_with_blanks_in_its_policy_and_its_keys_sign_a_signal() {
    let (sandbox, directory) = (sandbox().await, tempfile::tempdir().unwrap());
    let cache = of_profiles(&sandbox, &directory, &json!([ram_role()]));
    let found = keys(&cache).await;
    assert!(found.access_key_id().starts_with("STS.Assumed."));
    assert_eq!(found.source(), "CLI profile p (RamRoleArn)");
    receipt(Client::new(&settings(&sandbox.ros_url()), Arc::new(cache)).unwrap().signal(&success()).await);
    let asked = sandbox.requests().into_iter().find(|seen| seen.action.as_deref() == Some("AssumeRole")).unwrap();
    assert!(asked.verified);
    let sent = |name: &str| asked.parameters[name].as_str();
    assert_eq!((sent("RoleSessionName"), sent("ExternalId"), sent("DurationSeconds")), ("session", "x y", "3600"));
}

#[tokio::test]
async fn roles_are_assumed_one_from_the_other_and_a_circle_is_found() {
    let (sandbox, directory) = (sandbox().await, tempfile::tempdir().unwrap());
    let link = |name: &str, source: &str, role: &str| json!({"name": name, "mode": "ChainableRamRoleArn", "source_profile": source, "ram_role_arn": format!("acs:ram::1:role/{role}")});
    let chain = json!([link("p", "q", "Last"), link("q", "r", "First"), {"name": "r", "mode": "EcsRamRole"}]);
    let cache = of_profiles(&sandbox, &directory, &chain);
    assert!(keys(&cache).await.access_key_id().starts_with("STS.Last."));
    let roles: Vec<_> = sandbox.requests().iter().filter_map(|seen| seen.parameters.get("RoleArn").cloned()).collect();
    assert_eq!(roles, ["acs:ram::1:role/First", "acs:ram::1:role/Last"]);
    let circle = json!([link("p", "q", "A"), link("q", "p", "B")]);
    let said = why(&of_profiles(&sandbox, &directory, &circle)).await;
    assert!(said.contains("the profiles go round in a circle: p -> q -> p"), "{said}");
    let said = why(&of_profiles(&sandbox, &directory, &json!([link("p", "gone", "A")]))).await;
    assert!(said.contains("there is no profile gone"), "{said}");
}

#[tokio::test]
async fn the_token_of_an_oidc_role_is_read_anew_each_time_and_shown_nowhere() {
    let (sandbox, directory) = (sandbox().await, tempfile::tempdir().unwrap());
    let file = write(&directory.path().join("token"), &format!("{TOKEN}\n"));
    sandbox.set_oidc_token(Secret::from(TOKEN));
    let role = OidcRole {
        role_arn: Some(ROLE.into()),
        provider_arn: Some("acs:ram::1:oidc-provider/P".into()),
        token_file: Some(file.clone()),
        session_name: None,
        sts: sts(&sandbox),
    };
    let cache = cache(&Provider::OidcRole(role), &sandbox);
    let first = keys(&cache).await;
    assert!(first.access_key_id().starts_with("STS.Assumed.") && first.source().starts_with("OIDC role"));
    sandbox.set_oidc_token(Secret::from("madeUpNext.token.x"));
    let error = cache.renew(&first, Moment::now(), None).await.unwrap_err();
    let shown = format!("{error}{error:?}{:?}{cache:?}", error.hint());
    assert!(shown.contains("AuthenticationFail.OIDCToken.Invalid") && shown.contains("trust policy"), "{shown}");
    write(&file, "madeUpNext.token.x");
    assert_eq!(cache.renew(&first, Moment::now(), None).await.unwrap(), Renewal::Fresh);
    let records = format!("{:?}", sandbox.requests());
    assert!(!shown.contains("madeUp") && !records.contains("madeUp"));
    write(&file, "");
    let told = cache.renew(&*keys(&cache).await, Moment::now(), None).await;
    assert_eq!(told.unwrap(), Renewal::TooSoon, "twice a minute is the most");
}

#[tokio::test]
async fn scenario_14_a_clock_that_is_a_day_off_does_not_keep_a_role_from_being_assumed() {
    let (sandbox, directory) = (sandbox().await, tempfile::tempdir().unwrap());
    sandbox.set_skew_seconds(24 * 3600);
    let cache = of_profiles(&sandbox, &directory, &json!([ram_role()]));
    keys(&cache).await;
    let codes: Vec<_> = sandbox.requests().into_iter().map(|seen| seen.code).collect();
    assert_eq!(codes, [Some("InvalidTimeStamp.Expired".to_owned()), None]);
}

#[tokio::test]
async fn scenario_9_a_role_that_may_not_be_assumed_says_what_to_permit() {
    let (sandbox, directory) = (sandbox().await, tempfile::tempdir().unwrap());
    sandbox.set_switches(Switches { permit_assume_role: false, ..Switches::default() });
    let cache = of_profiles(&sandbox, &directory, &json!([ram_role()]));
    let said = why(&cache).await;
    assert!(
        said.contains("AssumeRole failed: NoPermission") && said.contains("sts:AssumeRole on acs:ram::1234567890123456:role/Assumed"),
        "{said}"
    );
    sandbox.set_switches(Switches::default());
    keys(&cache).await;
}

#[tokio::test]
async fn scenario_15_sessions_are_renewed_early_and_used_to_their_end_while_sts_is_down() {
    let (sandbox, directory) = (sandbox().await, tempfile::tempdir().unwrap());
    let cache = of_profiles(&sandbox, &directory, &json!([ram_role()]));
    let now = Moment::now();
    let id = async |after: Duration| cache.keys(now.plus(after), None).await.map(|keys| keys.access_key_id().to_owned());
    let first = id(Duration::ZERO).await.unwrap();
    assert_eq!(id(HOUR - RENEW_BEFORE - RENEW_JITTER - Duration::from_secs(5)).await.unwrap(), first);
    for effect in [
        Effect::http(200, r#"{"RequestId":"R1","Credentials":{"AccessKeyId":"STS.1","AccessKeySec"#),
        Effect::http(200, r#"{"RequestId":"R1","Credentials":{"AccessKeyId":"STS.1"}}"#),
        Effect::http(200, "<html>portal</html>"),
        Effect::http(503, ""),
        Effect::reset(When::After),
    ] {
        sandbox.clear_faults();
        sandbox.add_fault(Fault::new(effect).action("AssumeRole")).unwrap();
        assert_eq!(id(HOUR - RENEW_BEFORE + Duration::from_secs(1)).await.unwrap(), first);
    }
    let error = cache.keys(now.plus(HOUR), None).await.unwrap_err();
    assert!(error.to_string().contains("AssumeRole failed"), "{error}");
    sandbox.clear_faults();
    assert_ne!(id(HOUR).await.unwrap(), first);
}

#[tokio::test]
async fn the_first_source_that_answers_is_remembered_until_it_fails_and_its_credentials_have_ended() {
    let (sandbox, home) = (sandbox().await, tempfile::tempdir().unwrap());
    let environment = HashMap::from([("HOME".to_owned(), home.path().to_str().unwrap().to_owned())]);
    let cache = Cache::new(&Provider::Auto, &environment, &metadata(&sandbox.metadata_url(), &environment), Random::new(1));
    let now = Moment::now();
    let source = async |after: Duration| cache.keys(now.plus(after), None).await.unwrap().source().to_owned();
    assert_eq!(source(Duration::ZERO).await, "ECS RAM role SandboxRole");
    std::fs::create_dir(home.path().join(".aliyun")).unwrap();
    let profiles = json!({"current": "p", "profiles": [{"name": "p", "mode": "AK", "access_key_id": "LTAIp", "access_key_secret": "s"}]});
    write(&home.path().join(".aliyun/config.json"), &profiles.to_string());
    assert_eq!(source(Duration::ZERO).await, "ECS RAM role SandboxRole");
    sandbox.remove_metadata("meta-data/ram/security-credentials");
    assert_eq!(source(6 * HOUR - RENEW_BEFORE).await, "ECS RAM role SandboxRole", "it fails, and the old ones are good");
    assert_eq!(source(6 * HOUR).await, "CLI profile p (AK)");
    let file = home.path().join(".aliyun/config.json");
    write(&file, &profiles.to_string().replace("LTAIp", "LTAIother"));
    assert_eq!(cache.keys(now.plus(6 * HOUR), None).await.unwrap().access_key_id(), "LTAIother", "a file that was changed is read again");
}

#[tokio::test]
async fn what_needs_a_person_or_another_tool_is_named_as_unsupported() {
    let (sandbox, directory) = (sandbox().await, tempfile::tempdir().unwrap());
    for mode in ["CloudSSO", "OAuth", "RsaKeyPair", "Whatever"] {
        let said = why(&of_profiles(&sandbox, &directory, &json!([{"name": "p", "mode": mode, "access_token": "madeUp"}]))).await;
        assert!(said.contains(&format!("profile p: mode {mode} is not supported")) && said.contains("hint: use the RAM role"), "{said}");
    }
    let file = write(&directory.path().join("credentials.ini"), "[default]\ntype = rsa_key_pair\nprivate_key_file = /madeUp\n");
    let said = why(&cache(&Provider::IniProfile(Profile { file: Some(file), ..Profile::default() }), &sandbox)).await;
    assert!(said.contains("type rsa_key_pair is not supported") && !said.contains("madeUp"), "{said}");
}

#[tokio::test]
async fn a_daemon_without_a_home_directory_says_so() {
    let sandbox = sandbox().await;
    for provider in [Provider::CliProfile(Profile::default()), Provider::IniProfile(Profile::default())] {
        let said = why(&cache(&provider, &sandbox)).await;
        assert!(said.contains("there is no home directory: $HOME is not set"), "{said}");
    }
}

#[tokio::test]
async fn a_program_that_takes_long_is_run_once_for_all_who_gave_up_waiting_for_it() {
    let (sandbox, directory) = (sandbox().await, tempfile::tempdir().unwrap());
    let (runs, go) = (directory.path().join("runs"), directory.path().join("go"));
    let script = format!(
        "echo x >> {}; while [ ! -e {} ]; do sleep 0.01; done; echo '{{\"mode\":\"AK\",\"access_key_id\":\"LTAIx\",\"access_key_secret\":\"s\"}}'",
        runs.display(),
        go.display()
    );
    let command = format!("/bin/sh -c \"{}\"", script.replace('"', "\\\""));
    let cache = of_profiles(&sandbox, &directory, &json!([{"name": "p", "mode": "External", "process_command": command}]));
    assert!(tokio::time::timeout(Duration::from_millis(100), cache.keys(Moment::now(), None)).await.is_err());
    assert!(tokio::time::timeout(Duration::from_millis(50), cache.keys(Moment::now(), None)).await.is_err());
    std::fs::write(&go, "").unwrap();
    assert_eq!(keys(&cache).await.access_key_id(), "LTAIx");
    assert_eq!(std::fs::read_to_string(&runs).unwrap(), "x\n");
}

#[tokio::test]
async fn scenario_18_a_program_and_its_file_are_trusted_only_as_far_as_they_deserve() {
    let (sandbox, directory) = (sandbox().await, tempfile::tempdir().unwrap());
    let external = |command: &str| json!([{"name": "p", "mode": "External", "process_command": command}]);
    for (command, expected) in [
        ("/bin/sh -c 'echo madeUpSecret >&2; echo madeUpSecret; exit 7'", "it ended with exit code 7"),
        ("echo madeUpSecret", "it is not a JSON document"),
        ("echo '{\"mode\":\"StsToken\",\"access_key_id\":\"STS.1\",\"access_key_secret\":\"madeUpSecret\"}'", "has no sts_token"),
        ("/bin/sh -c 'unclosed madeUpSecret", "a quote in it is not closed"),
        ("/no/such/program madeUpSecret", "there is no such program"),
    ] {
        let cache = of_profiles(&sandbox, &directory, &external(command));
        let said = format!("{}{cache:?}", why(&cache).await);
        assert!(said.contains(expected) && !said.contains("madeUp"), "{said}");
    }
    let ran = directory.path().join("ran");
    let cache = of_profiles(&sandbox, &directory, &external(&format!("touch {}", ran.display())));
    std::fs::set_permissions(directory.path().join("config.json"), std::fs::Permissions::from_mode(0o666)).unwrap();
    let said = why(&cache).await;
    assert!(said.contains("others may write the file") && !ran.exists(), "{said}");
}

#[tokio::test]
async fn a_credentials_uri_is_asked_renewed_and_heals() {
    let sandbox = sandbox().await;
    let cache = cache(&Provider::CredentialsUri(Some(sandbox.credentials_uri().parse().unwrap())), &sandbox);
    for effect in [
        Effect::http(200, r#"{"Code":"Success","AccessKeyId":"STS.1","AccessKeySec"#),
        Effect::http(200, r#"{"Code":"Failed"}"#),
        Effect::http(200, r#"{"Code":"Success","AccessKeyId":"STS.1","AccessKeySecret":"s","SecurityToken":"t"}"#),
        Effect::http(302, ""),
        Effect::http(404, "<html>"),
        Effect::reset(When::Before),
    ] {
        sandbox.add_fault(Fault::new(effect).metadata("/credentials-uri").times(1)).unwrap();
        assert!(cache.keys(Moment::now(), None).await.is_err());
    }
    let first = keys(&cache).await;
    sandbox.rotate_credentials();
    assert_eq!(cache.renew(&first, Moment::now(), None).await.unwrap(), Renewal::Fresh);
    receipt(Client::new(&settings(&sandbox.ros_url()), Arc::new(cache)).unwrap().signal(&success()).await);
}

#[tokio::test]
async fn scenario_18_the_path_and_query_of_a_credentials_uri_are_never_shown() {
    let server = Server::start(|_, _| http(500, &[], "madeUpBody")).await;
    let environment = HashMap::from([("ALIBABA_CLOUD_CREDENTIALS_URI".to_owned(), format!("{}/madeUpPath?token=madeUpQuery", server.url))]);
    let metadata = metadata("http://127.0.0.1:1", &environment);
    let cache = Cache::new(&Provider::CredentialsUri(None), &environment, &metadata, Random::new(1));
    let error = cache.keys(Moment::now(), None).await.unwrap_err();
    assert!(error.to_string().starts_with("no credentials: credentials URI: HTTP 500 from 127.0.0.1:"), "{error}");
    assert!(!format!("{error:?}{cache:?}").contains("madeUp"));
    assert_eq!(server.requests()[0].line(), "GET /madeUpPath?token=madeUpQuery HTTP/1.1");
}
