//! The secret scan: the built program with secrets of all kinds at hand, at the loudest log level, and a FAILURE with its report. Then every
//! secret is searched for in all that it wrote, showed, kept, and handed to its children.

use crate::host::{Host, KEY, STACK, request};
use crate::private;
use ros_sandbox::{Config, Sandbox, StackSpec};
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

/// The body of an answer, asked by hand.
async fn get(url: &str, path: &str) -> String {
    let host = url.strip_prefix("http://").unwrap().trim_end_matches('/');
    let mut stream = tokio::net::TcpStream::connect(host).await.unwrap();
    let head = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

enum Source {
    Environment,
    Role,
}

/// Everything that such an agent shows and keeps, and the secrets that it had.
async fn story(source: Source) -> (Places, BTreeMap<String, String>) {
    let listed = secrets();
    let mut config = Config::new(KEY, ros_sandbox::Secret::new(listed["access_key_secret"]));
    config.security_token = Some(ros_sandbox::Secret::new(listed["security_token"]));
    let sandbox = Sandbox::start(config).await.unwrap();
    sandbox.put_stack(STACK, StackSpec::waiting_for("WebReady", 1, 900.0)).unwrap();
    for (path, value) in [
        ("meta-data/instance-id", crate::host::INSTANCE),
        ("meta-data/region-id", "cn-hangzhou"),
        ("meta-data/ram/security-credentials", "Role"),
    ] {
        sandbox.set_metadata(path, value).unwrap();
    }
    let host = Host { sandbox, dir: private::directory() };
    let bin = host.path("bin");
    std::fs::create_dir(&bin).unwrap();
    let journalctl = format!("#!/bin/sh\necho \"2026 app[1]: api_token={} and $2\"\n", listed["journal_token"]);
    std::fs::write(bin.join("journalctl"), journalctl).unwrap();
    std::fs::set_permissions(bin.join("journalctl"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    private::write(&host.path("password"), listed["http_password"]);
    private::write(&host.path("handle"), &format!("http://127.0.0.1:1/waitcondition?expire=1&signature={}", listed["handle_signature"]));
    let provider = if matches!(source, Source::Role) { "ecs-ram-role" } else { "environment" };
    let usual = host.usual().replace("provider = \"environment\"", &format!("provider = \"{provider}\""));
    let text = format!(
        "{usual}[report]\nunits = [\"app.service\"]\n[signal.web]\nresource = \"WebReady\"\n\
         [check.page]\ntype = \"http\"\nurl = \"http://{}/?signature={}\"\nusername = \"me\"\npassword_file = \"{}\"\n\
         headers = {{ X-Anything = \"{}\" }}\nstart_interval = \"100ms\"\n\
         [check.app]\ntype = \"exec\"\nfailure_threshold = 1\ninitial_delay = \"1s\"\nenvironment = {{ ANYTHING = \"{}\" }}\n\
         command = [\"/bin/sh\", \"-c\", \"cat /proc/self/environ /proc/$$/cmdline > {}; exit 78\"]\n",
        failing_server().await,
        listed["handle_signature"],
        host.path("password").display(),
        listed["http_header"],
        listed["child_environment"],
        host.path("child").display(),
    );
    private::write(&host.config(), &text);
    let [out, err] = ["stdout", "stderr"].map(|name| std::fs::File::create(host.path(name)).unwrap());
    let mut command = Command::new(env!("CARGO_BIN_EXE_ros-signal-agent"));
    command
        .args(["--config", host.config().to_str().unwrap(), "--log", "trace", "run"])
        .env_clear()
        .env("PATH", format!("{}:/usr/bin:/bin", bin.display()));
    if matches!(source, Source::Environment) {
        command
            .env("ALIBABA_CLOUD_ACCESS_KEY_ID", KEY)
            .env("ALIBABA_CLOUD_ACCESS_KEY_SECRET", listed["access_key_secret"])
            .env("ALIBABA_CLOUD_SECURITY_TOKEN", listed["security_token"]);
    }
    let mut agent = command.stdin(Stdio::null()).stdout(out).stderr(err).kill_on_drop(true).spawn().unwrap();
    tokio::time::timeout(Duration::from_secs(60), host.stack_becomes("CREATE_FAILED")).await.unwrap();
    let (code, waited) = host.ask("GET", "/wait?for=signaled&timeout=20s", "").await;
    assert_eq!((code, waited.as_str()), (200, r#"{"reached":true}"#));
    let mut places = Places::new();
    for route in ["/status", "/history", "/metrics", "/report", "/report?signal=web", "/nothing"] {
        places.insert(route.to_owned(), request(&host.socket(), "GET", route, "").await.1.into_bytes());
    }
    let pid = agent.id().unwrap();
    places.insert("arguments of the agent".to_owned(), std::fs::read(format!("/proc/{pid}/cmdline")).unwrap());
    rustix::process::kill_process(rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), rustix::process::Signal::TERM)
        .unwrap();
    tokio::time::timeout(Duration::from_secs(30), agent.wait()).await.unwrap().unwrap();
    for name in ["stdout", "stderr", "child"] {
        places.insert(name.to_owned(), std::fs::read(host.path(name)).unwrap());
    }
    read_all("state", &host.path("state"), &mut places);
    let mut secrets: BTreeMap<String, String> = listed.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    if matches!(source, Source::Role) {
        let document = get(&host.sandbox.metadata_url(), "/latest/meta-data/ram/security-credentials/Role").await;
        let document: serde_json::Value = serde_json::from_str(&document).unwrap();
        for member in ["AccessKeySecret", "SecurityToken"] {
            secrets.insert(format!("{member} of the role"), document[member].as_str().unwrap().to_owned());
        }
    }
    (places, secrets)
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
    let (places, secrets) = story(Source::Environment).await;
    judge(places, secrets);
}

#[tokio::test(flavor = "current_thread")]
async fn scenario_18_no_secret_of_a_role_is_in_anything_that_the_agent_shows_keeps_or_hands_to_children() {
    let (places, secrets) = story(Source::Role).await;
    assert!(secrets.contains_key("SecurityToken of the role"));
    judge(places, secrets);
}
