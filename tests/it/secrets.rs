//! The secret scan: the built program with secrets of all kinds at hand, at the loudest log level, and a FAILURE with its report. Then every
//! secret is searched for in all that it wrote, showed, kept, and handed to its children.

use crate::host::{Host, KEY, STACK, request};
use crate::private;
use ros_sandbox::{Config, HookSpec, Sandbox, ScalingGroupSpec, StackSpec, Transition};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;

/// Secret strings by name.
pub(crate) fn secrets() -> BTreeMap<&'static str, &'static str> {
    let lines = include_str!("../fixtures/secrets.txt").lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.split_once(" = ").unwrap()).collect()
}

/// Where something was found.
type Places = BTreeMap<String, Vec<u8>>;

/// Which of `secrets` stand in which of `places`.
fn scan(places: &Places, secrets: &BTreeMap<String, String>) -> Vec<String> {
    let mut found = Vec::new();
    for (place, bytes) in places {
        for (name, secret) in secrets {
            let encoded = secret.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
            let is_there = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
            if is_there(secret) || is_there(&encoded) {
                found.push(format!("{name} is in {place}"));
            }
        }
    }
    found
}

#[test]
fn the_scan_finds_a_secret_as_it_is_and_encoded() {
    let secrets = BTreeMap::from([("token".to_owned(), "a+b/c==".to_owned())]);
    let places = |text: &str| Places::from([("log".to_owned(), text.as_bytes().to_vec())]);
    assert_eq!(scan(&places("x a+b/c== y"), &secrets), ["token is in log"]);
    assert_eq!(scan(&places("x?t=a%2Bb%2Fc%3D%3D&y"), &secrets), ["token is in log"]);
    assert!(scan(&places("nothing"), &secrets).is_empty());
}

/// Answers every request with 500.
async fn failing_server() -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(b"HTTP/1.1 500 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
        }
    });
    address
}

fn read_all(place: &str, directory: &Path, places: &mut Places) {
    for entry in std::fs::read_dir(directory).unwrap().flatten() {
        let bytes = std::fs::read(entry.path()).unwrap();
        places.insert(format!("{place}/{}", entry.file_name().to_string_lossy()), bytes);
    }
}

/// Where the agent's keys come from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keys {
    Environment,
    Role,
    File,
    Oidc,
    External,
    Uri,
}

/// How the FAILURE travels: the attribute of the handle that lies in its file.
#[derive(Clone, Copy)]
enum Way {
    Api,
    Handle(&'static str),
}

const GROUP: &str = "asg-bp1a2b3c4d5e6f7g8h9i";
const HOOK: &str = "ash-bp1a2b3c4d5e6f7g8h9i";

/// A program of this text.
fn script(path: &Path, text: &str) {
    std::fs::write(path, format!("#!/bin/sh\n{text}")).unwrap();
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
}

/// `[credentials]` for these keys, and the files that it needs.
fn credentials(host: &Host, keys: Keys) -> String {
    let listed = secrets();
    let (secret, token) = (listed["access_key_secret"], listed["security_token"]);
    match keys {
        Keys::Environment => "provider = \"environment\"\n".to_owned(),
        Keys::Role => "provider = \"ecs-ram-role\"\n".to_owned(),
        Keys::File => {
            let document = serde_json::json!({"access_key_id": KEY, "access_key_secret": secret, "security_token": token});
            private::write(&host.path("keys.json"), &document.to_string());
            format!("provider = \"file\"\nfile = \"{}\"\n", host.path("keys.json").display())
        }
        Keys::Oidc => {
            host.sandbox.set_oidc_token(ros_sandbox::Secret::new(listed["oidc_token"]));
            private::write(&host.path("oidc-token"), listed["oidc_token"]);
            format!(
                "provider = \"oidc-role\"\nrole_arn = \"acs:ram::1234567890123456:role/Signal\"\n\
                 oidc_provider_arn = \"acs:ram::1234567890123456:oidc-provider/P\"\noidc_token_file = \"{}\"\nsts_endpoint = \"{}\"\n",
                host.path("oidc-token").display(),
                host.sandbox.ros_url()
            )
        }
        Keys::External => {
            let printed = serde_json::json!({"mode": "StsToken", "access_key_id": KEY, "access_key_secret": secret, "sts_token": token});
            private::write(&host.path("printed"), &printed.to_string());
            let text = format!(
                "cat /proc/self/environ /proc/$$/cmdline > {}\necho {secret} >&2\ncat {}\n",
                host.path("external").display(),
                host.path("printed").display()
            );
            script(&host.path("keys"), &text);
            let command = host.path("keys").display().to_string();
            let profiles = serde_json::json!({"current": "p", "profiles": [{"name": "p", "mode": "External", "process_command": command}]});
            private::write(&host.path("profiles.json"), &profiles.to_string());
            format!("provider = \"cli-profile\"\nprofile_file = \"{}\"\n", host.path("profiles.json").display())
        }
        Keys::Uri => {
            format!("provider = \"credentials-uri\"\nuri = \"{}?key={}\"\n", host.sandbox.credentials_uri(), listed["credentials_uri_key"])
        }
    }
}

/// Everything that such an agent shows and keeps, and the secrets that it had.
async fn story(keys: Keys, way: Way) -> (Places, BTreeMap<String, String>) {
    let listed = secrets();
    let mut all: BTreeMap<String, String> = listed.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    let mut config = Config::new(KEY, ros_sandbox::Secret::new(listed["access_key_secret"]));
    config.security_token = Some(ros_sandbox::Secret::new(listed["security_token"]));
    let sandbox = Sandbox::start(config).await.unwrap();
    sandbox.put_stack(STACK, StackSpec::waiting_for("WebReady", 1, 900.0)).unwrap();
    sandbox.put_scaling_group(GROUP, ScalingGroupSpec::with_hooks([HookSpec::scale_out(HOOK)])).unwrap();
    sandbox.scale(GROUP, Transition::ScaleOut, &[crate::host::INSTANCE]).unwrap();
    for (path, value) in [
        ("meta-data/instance-id", crate::host::INSTANCE),
        ("meta-data/region-id", "cn-hangzhou"),
        ("meta-data/ram/security-credentials", "Role"),
    ] {
        sandbox.set_metadata(path, value).unwrap();
    }
    let host = Host { sandbox, dir: private::directory() };
    let action_token = host.sandbox.scaling_group(GROUP).unwrap().actions.remove(0).token;
    all.insert("action_token".to_owned(), action_token.clone());
    let bin = host.path("bin");
    std::fs::create_dir(&bin).unwrap();
    script(&bin.join("journalctl"), &format!("echo \"2026 app[1]: api_token={} and $2\"\n", listed["journal_token"]));
    private::write(&host.path("password"), listed["http_password"]);
    let transport = match way {
        Way::Api => String::new(),
        Way::Handle(attribute) => {
            let text = host.sandbox.handle_attribute(STACK, "WebReady", attribute).unwrap().reveal().to_owned();
            let signature = text.split_once("signature=").unwrap().1;
            let signature = signature.split(|c: char| !c.is_ascii_alphanumeric() && !"%-_.+/".contains(c)).next().unwrap();
            assert!(signature.len() >= 16, "{text}");
            all.insert("signature of the handle".to_owned(), signature.to_owned());
            private::write(&host.path("web.handle"), &text);
            format!("transport = \"handle\"\nhandle_file = \"{}\"\n", host.path("web.handle").display())
        }
    };
    let usual = host.usual().replace("provider = \"environment\"\n", &credentials(&host, keys));
    let text = format!(
        "{usual}[report]\nunits = [\"app.service\"]\njournal_to_handle = true\n[signal.web]\nresource = \"WebReady\"\n{transport}\
         [ess]\nendpoint = \"{}\"\n[signal.scaling]\ntransport = \"lifecycle-hook\"\nscaling_group = \"{GROUP}\"\nhook = \"{HOOK}\"\n\
         action_token = \"{action_token}\"\n\
         [check.page]\ntype = \"http\"\nurl = \"http://{}/?signature={}\"\nusername = \"me\"\npassword_file = \"{}\"\n\
         headers = {{ X-Anything = \"{}\" }}\nstart_interval = \"100ms\"\n\
         [check.app]\ntype = \"exec\"\nfailure_threshold = 1\ninitial_delay = \"1s\"\nenvironment = {{ ANYTHING = \"{}\" }}\n\
         command = [\"/bin/sh\", \"-c\", \"cat /proc/self/environ /proc/$$/cmdline > {}; exit 78\"]\n",
        host.sandbox.ros_url(),
        failing_server().await,
        listed["handle_signature"],
        host.path("password").display(),
        listed["http_header"],
        listed["child_environment"],
        host.path("child").display(),
    );
    private::write(&host.config(), &text);
    let [out, err] = ["stdout", "stderr"].map(|name| std::fs::File::create(host.path(name)).unwrap());
    let program = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ros-signal-agent"));
        command.args(["--config", host.config().to_str().unwrap()]).args(arguments).stdin(Stdio::null()).kill_on_drop(true);
        command.env_clear().env("PATH", format!("{}:/usr/bin:/bin", bin.display()));
        command
    };
    let mut command = program(&["--log", "trace", "run"]);
    // A program that prints keys is not told those of the agent.
    if matches!(keys, Keys::Environment | Keys::External) {
        command
            .env("ALIBABA_CLOUD_ACCESS_KEY_ID", KEY)
            .env("ALIBABA_CLOUD_ACCESS_KEY_SECRET", listed["access_key_secret"])
            .env("ALIBABA_CLOUD_SECURITY_TOKEN", listed["security_token"]);
    }
    let mut agent = command.stdout(out).stderr(err).spawn().unwrap();
    tokio::time::timeout(Duration::from_secs(60), host.stack_becomes("CREATE_FAILED")).await.unwrap();
    let (code, waited) = host.ask("GET", "/wait?for=signaled&timeout=20s", "").await;
    assert_eq!((code, waited.as_str()), (200, r#"{"reached":true}"#));
    let mut places = Places::new();
    for route in ["/status", "/history", "/metrics", "/report", "/report?signal=web", "/nothing"] {
        places.insert(route.to_owned(), request(&host.socket(), "GET", route, "").await.1.into_bytes());
    }
    for arguments in [&["status"][..], &["history"], &["report"], &["plan"], &["config", "show"], &["config", "check"]] {
        let ended = tokio::time::timeout(Duration::from_secs(30), program(arguments).output()).await.unwrap().unwrap();
        places.insert(arguments.join(" "), [ended.stdout, ended.stderr].concat());
    }
    let pid = agent.id().unwrap();
    places.insert("arguments of the agent".to_owned(), std::fs::read(format!("/proc/{pid}/cmdline")).unwrap());
    rustix::process::kill_process(rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), rustix::process::Signal::TERM)
        .unwrap();
    tokio::time::timeout(Duration::from_secs(30), agent.wait()).await.unwrap().unwrap();
    for name in ["stdout", "stderr", "child"] {
        places.insert(name.to_owned(), std::fs::read(host.path(name)).unwrap());
    }
    if keys == Keys::External {
        places.insert("environment of the program that prints keys".to_owned(), std::fs::read(host.path("external")).unwrap());
    }
    read_all("state", &host.path("state"), &mut places);
    let issued = host.sandbox.issued_secrets();
    assert_eq!(issued.is_empty(), !matches!(keys, Keys::Role | Keys::Oidc | Keys::Uri), "keys were fetched where they had to be");
    for (number, secret) in issued.iter().enumerate() {
        all.insert(format!("issued secret {number}"), secret.reveal().to_owned());
    }
    (places, all)
}

fn judge(mut places: Places, mut secrets: BTreeMap<String, String>) {
    let child = places.remove("child").unwrap();
    for (place, shown) in [
        ("stdout", "FAILURE report of signal web"),
        ("stderr", "TRACE"),
        ("state/report-1.txt", "journal\n"),
        ("/report", "api_token=[hidden]"),
    ] {
        assert!(String::from_utf8_lossy(&places[place]).contains(shown), "{place} is there: {:#?}", places.keys());
    }
    let nothing: Vec<String> = Vec::new();
    assert_eq!(scan(&places, &secrets), nothing);
    assert!(String::from_utf8_lossy(&child).contains("ROS_SIGNAL_CHECK=app"), "the child has told its environment");
    // Its own variable is meant for it.
    assert!(secrets.remove("child_environment").is_some());
    assert_eq!(scan(&Places::from([("environment and arguments of a child".to_owned(), child)]), &secrets), nothing);
}

#[tokio::test(flavor = "current_thread")]
async fn scenario_18_no_secret_is_in_anything_that_the_agent_shows_keeps_or_hands_to_children() {
    for keys in [Keys::Environment, Keys::Role, Keys::File] {
        let (places, secrets) = story(keys, Way::Api).await;
        judge(places, secrets);
    }
}

#[tokio::test(flavor = "current_thread")]
async fn scenario_18_no_secret_of_an_identity_provider_a_program_or_a_uri_is_in_anything_that_the_agent_shows_or_keeps() {
    for keys in [Keys::Oidc, Keys::External, Keys::Uri] {
        let (places, secrets) = story(keys, Way::Api).await;
        judge(places, secrets);
    }
}

#[tokio::test(flavor = "current_thread")]
async fn scenario_18_no_url_of_a_handle_is_in_anything_that_the_agent_shows_or_keeps() {
    for attribute in ["URL", "CurlCli"] {
        let (places, secrets) = story(Keys::Role, Way::Handle(attribute)).await;
        judge(places, secrets);
    }
}

#[tokio::test(flavor = "current_thread")]
async fn scenario_18_a_configuration_that_is_refused_is_told_without_its_secrets() {
    let listed = secrets();
    let host = Host::new("").await;
    let text = format!(
        "[ros]\nproxy = \"http://me:{}@proxy.internal:3128\"\n[credentials]\nprovider = \"credentials-uri\"\n\
         uri = \"http://example.com/{}\"\n[signal.scaling]\ntransport = \"lifecycle-hook\"\naction_token = \"{} \"\n",
        listed["proxy_password"], listed["credentials_uri_key"], listed["handle_signature"]
    );
    private::write(&host.config(), &text);
    let all = listed.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    for arguments in [&["config", "check"][..], &["config", "show"], &["plan"], &["run"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ros-signal-agent"));
        command.args(["--config", host.config().to_str().unwrap()]).args(arguments).stdin(Stdio::null()).kill_on_drop(true);
        let ended = tokio::time::timeout(Duration::from_secs(30), command.output()).await.unwrap().unwrap();
        let said = [ended.stdout, ended.stderr].concat();
        assert!(String::from_utf8_lossy(&said).contains("`proxy` must not hold a user or password"), "{arguments:?}");
        assert_eq!(scan(&Places::from([(arguments.join(" "), said)]), &all), Vec::<String>::new());
    }
}
