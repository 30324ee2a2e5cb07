//! How the built program reaches ROS: which environment counts, what goes through a proxy, and what it does when its clock is years off.
//!
//! The clock of a process cannot be set, so it is the world that is years off: the sandbox's dates, its window for signatures and the
//! years in which its certificate is good. To the program that is the same.

use crate::host::{Host, KEY, SECRET, STACK};
use crate::private;
use crate::ros::proxy::{Behaviour, Proxy};
use crate::ros::scripted::{Server, http};
use ros_sandbox::Config;
use ros_signal_agent::clock::{Moment, rfc3339};
use ros_signal_agent::config::{Environment, Layout, Loaded, Origin, Owners, load};
use ros_signal_agent::plan::Endpoint;
use serde_json::Value;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};

const PATIENCE: Duration = Duration::from_secs(60);
const SIGNAL: &str = "[signal.web]\nresource = \"WebReady\"\nmin_healthy_time = \"100ms\"\n";
/// Read by an agent as root and by the tests' own user.
const CHECK: &str = "[check.hosts]\ntype = \"file\"\npath = \"/etc/hosts\"\nstart_interval = \"100ms\"\n";

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ros-signal-agent"));
    command.args(arguments).env_clear().envs(Host::environment()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.kill_on_drop(true);
    command
}

async fn ended(mut command: Command) -> (i32, String) {
    let ended = tokio::time::timeout(PATIENCE, command.output()).await.expect("it ends").unwrap();
    let text = String::from_utf8_lossy(&[ended.stdout, ended.stderr].concat()).into_owned();
    (ended.status.code().unwrap(), text)
}

/// The configuration of a host without its `[ros]`, `[clock]` and `[credentials]`, which `text` gives.
fn configure(host: &Host, text: &str) {
    let text = format!(
        "[stack]\nstack_id = \"{STACK}\"\n[instance]\nmetadata_url = \"{}\"\n[agent]\nstate_dir = \"{}\"\nsocket = \"{}\"\n{SIGNAL}{CHECK}{text}",
        host.sandbox.metadata_url(),
        host.path("state").display(),
        host.socket().display(),
    );
    private::write(&host.config(), &text);
}

fn encrypted(host: &Host) -> String {
    format!("[ros]\nendpoint = \"{}\"\nca_file = \"{}\"\n", host.sandbox.ros_tls_url(), host.sandbox.ca_file().display())
}

fn agent(host: &Host) -> Child {
    program(&["--config", host.config().to_str().unwrap(), "run"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Asks the agent for its status until `seen`.
async fn status(host: &Host, seen: impl Fn(&Value) -> bool) -> Value {
    let mut last = Value::Null;
    let wait = async {
        loop {
            if tokio::net::UnixStream::connect(host.socket()).await.is_ok() {
                last = serde_json::from_str(&host.ask("GET", "/status", "").await.1).unwrap();
                if seen(&last) {
                    return;
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    if tokio::time::timeout(PATIENCE, wait).await.is_err() {
        panic!("the status does not become so: {last:#}");
    }
    last
}

fn acknowledged(status: &Value) -> bool {
    status["signals"][0]["state"] == "acknowledged"
}

const YEAR: i64 = 365 * 86_400;

/// A host whose clock is `years` behind the rest of the world (ahead of it, if that is negative).
async fn host_behind(years: i64) -> Host {
    let this: i32 = rfc3339(Moment::now().wall_ms)[..4].parse().unwrap();
    let there = this + i32::try_from(years).unwrap();
    let mut config = Config::new(KEY, ros_sandbox::Secret::new(SECRET));
    config.certificate_years = Some(there - 1..=there + 1);
    let host = Host::with(config, "").await;
    host.sandbox.set_skew_seconds(years * YEAR);
    host
}

#[tokio::test]
async fn scenario_14_an_instance_whose_clock_is_years_off_signals_where_the_metadata_services_time_is_trusted() {
    for (years, provider) in [(9, "environment"), (-6, "ecs-ram-role")] {
        let host = host_behind(years).await;
        let text = format!("{}[clock]\ntrust = \"metadata\"\n[credentials]\nprovider = \"{provider}\"\n", encrypted(&host));
        configure(&host, &text);
        let _agent = agent(&host);
        let status = status(&host, acknowledged).await;
        assert_eq!(host.sandbox.stack(STACK).unwrap().effective_signals, 1);
        let clock = &status["clock"];
        assert_eq!((clock["trust"].as_str(), clock["verified_by"].as_str()), (Some("metadata"), Some("metadata")), "{clock}");
        for source in ["ros_ahead_ms", "metadata_ahead_ms"] {
            let ahead = clock[source].as_i64().unwrap();
            assert!((ahead - years * YEAR * 1000).abs() < 5_000, "{source} {ahead}");
        }
        let (code, text) = ended(program(&["--config", host.config().to_str().unwrap(), "status"])).await;
        assert_eq!(code, 0, "{text}");
        let off = if years > 0 { "slow" } else { "fast" };
        assert!(text.contains(&format!("{off} by the metadata service")) && text.contains(&format!("{off} by ROS")), "{text}");
        assert!(text.contains("certificates of ROS are judged by the time of the metadata service"), "{text}");
        let (_, metrics) = host.ask("GET", "/metrics", "").await;
        assert!(metrics.contains("\nros_signal_agent_clock_from_metadata 1\n"), "{metrics}");
        assert!(metrics.contains("\nros_signal_agent_metadata_clock_skew_seconds "), "{metrics}");
    }
}

#[tokio::test]
async fn scenario_14_a_clock_that_is_years_off_is_named_with_the_time_of_the_metadata_service_and_what_to_do() {
    let host = host_behind(9).await;
    configure(&host, &encrypted(&host));
    let mut agent = agent(&host);
    let explained = |status: &Value| {
        let error = status["signals"][0]["last_error"].as_str().unwrap_or_default();
        error.contains("; this host's clock says ") && error.contains("; the metadata service says ")
    };
    let told = status(&host, explained).await;
    assert_eq!(told["clock"]["verified_by"], "system", "{told:#}");
    assert_eq!(host.sandbox.stack(STACK).unwrap().effective_signals, 0);
    let (_, text) = ended(program(&["--config", host.config().to_str().unwrap(), "status"])).await;
    assert!(text.contains("set the clock (chrony), or allow [clock] trust = \"metadata\""), "{text}");
    assert!(text.contains("slow by the metadata service; certificates of ROS are judged by this host's clock"), "{text}");
    let trusting = format!("{}[clock]\ntrust = \"metadata\"\n", encrypted(&host));
    configure(&host, &trusting);
    agent.start_kill().unwrap();
    agent.wait().await.unwrap();
    let _agent = self::agent(&host);
    status(&host, acknowledged).await;
}

#[tokio::test]
async fn scenario_16_proxies_of_the_environment_are_not_used_and_the_metadata_service_is_asked_past_the_configured_one() {
    let host = Host::new("").await;
    let trap = Server::start(|_, _| http(502, &[], "")).await;
    let proxy = Proxy::start(Behaviour::Tunnel).await;
    for configured in [true, false] {
        let proxied = if configured { format!("proxy = \"{}\"\n", proxy.url) } else { String::new() };
        configure(&host, &format!("{}{proxied}[credentials]\nprovider = \"ecs-ram-role\"\n", encrypted(&host)));
        let config = host.config();
        let mut command = program(&["--config", config.to_str().unwrap(), "signal", "--resource", "WebReady"]);
        command.args(["--exit-code", "0"]);
        for variable in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"] {
            command.env(variable, &trap.url);
        }
        let (code, text) = ended(command).await;
        assert_eq!(code, 0, "{text}");
    }
    assert!(trap.requests().is_empty());
    let host_of_ros = host.sandbox.ros_tls_url().trim_start_matches("https://").to_owned();
    let heads = proxy.heads();
    assert_eq!(heads.len(), 1, "{heads:?}");
    assert!(heads[0].starts_with(&format!("CONNECT {host_of_ros} ")), "only ROS is asked through it: {heads:?}");
}

/// The configuration `text` with `ROS_ENDPOINT` set to `given`.
fn loaded(text: &str, given: &str) -> Result<Loaded, String> {
    let directory = private::directory();
    let path = directory.path().join("config.toml");
    private::write(&path, text);
    let environment = Environment { ros_endpoint: Some(given.to_owned()), ..Environment::default() };
    load(&Layout::file(path), &Owners::Given { agent: 990, paths: [].into() }, &environment)
        .map_err(|diagnostics| diagnostics.iter().map(|diagnostic| format!("{diagnostic}\n")).collect())
}

fn endpoint(text: &str, given: &str) -> String {
    match loaded(text, given).unwrap().plan.ros.endpoint {
        Endpoint::Auto => "auto".to_owned(),
        Endpoint::Url(url) => url.to_string(),
    }
}

#[test]
fn the_environment_names_the_host_where_the_configuration_leaves_it_open() {
    for open in ["", "[ros]\nendpoint = \"auto\"\n", "[ros]\nhome = \"auto\"\nnetwork = \"auto\"\n"] {
        assert_eq!(endpoint(open, "https://ros-intl.aliyuncs.com"), "https://ros-intl.aliyuncs.com/");
        assert_eq!(endpoint(open, "ros-intl.aliyuncs.com"), "https://ros-intl.aliyuncs.com/", "as Terraform's provider takes it");
    }
    assert_eq!(endpoint("[ros]\nendpoint = \"https://ros.example\"\n", "ros-intl.aliyuncs.com"), "https://ros.example/");
    assert_eq!(endpoint("[ros]\nhome = \"china\"\n", "ros-intl.aliyuncs.com"), "auto");
    assert_eq!(endpoint("[ros]\nnetwork = \"vpc\"\n", "ros-intl.aliyuncs.com"), "auto");
    let origins = loaded("", "ros-intl.aliyuncs.com").unwrap().origins;
    let setting = origins.get("ros.endpoint").unwrap();
    assert_eq!(
        (setting.value.as_str(), &setting.origin),
        ("\"https://ros-intl.aliyuncs.com\"", &Origin::Environment { variable: "ROS_ENDPOINT" })
    );
}

#[test]
fn an_endpoint_of_the_environment_that_is_not_encrypted_or_no_host_is_refused() {
    for (given, why) in [
        ("http://ros.aliyuncs.com", "may use plain http only on loopback"),
        ("http://localhost.example", "may use plain http only on loopback"),
        ("https://me:secret@ros.aliyuncs.com", "must not hold a user or password"),
        ("https://ros.aliyuncs.com/path", "must be a host without a path"),
        ("ftp://ros.aliyuncs.com", "must begin with http:// or https://"),
        ("ros aliyuncs", "must not have blanks"),
    ] {
        let told = loaded("", given).unwrap_err();
        assert!(told.contains("the environment variable ROS_ENDPOINT ") && told.contains(why), "{given}: {told}");
        assert!(!told.contains("secret"), "{told}");
    }
}

#[tokio::test]
async fn the_program_asks_the_host_of_the_environment_and_says_where_it_comes_from() {
    let host = Host::new("").await;
    configure(&host, "");
    let run = |arguments: &[&str], given: &str| {
        let mut command = program(&[&["--config", host.config().to_str().unwrap()], arguments].concat());
        command.env("ROS_ENDPOINT", given);
        ended(command)
    };
    let (code, text) = run(&["signal", "--resource", "WebReady", "--exit-code", "0"], &host.sandbox.ros_url()).await;
    assert_eq!(code, 0, "{text}");
    assert_eq!(host.sandbox.stack(STACK).unwrap().effective_signals, 1);
    for command in ["plan", "config"] {
        let arguments: &[&str] = if command == "config" { &["config", "show"] } else { &["plan"] };
        let (code, text) = run(arguments, "https://ros-intl.aliyuncs.com").await;
        assert_eq!(code, 0, "{text}");
        let line = text.lines().find(|line| line.contains("ros-intl.aliyuncs.com")).unwrap_or_else(|| panic!("{text}"));
        assert!(line.contains("endpoint") && line.trim_end().ends_with("$ROS_ENDPOINT"), "{line}");
    }
    let (code, text) = run(&["signal", "--resource", "WebReady", "--exit-code", "0"], "http://ros.aliyuncs.com").await;
    assert_eq!(code, 78, "{text}");
}

#[tokio::test]
async fn an_agent_that_may_ask_one_host_only_remembers_none() {
    let host = Host::new("").await;
    configure(&host, &encrypted(&host));
    let _agent = agent(&host);
    status(&host, acknowledged).await;
    let left: Vec<_> = std::fs::read_dir(host.path("state")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| Path::new(name).starts_with("endpoint")), "{left:?}");
}
