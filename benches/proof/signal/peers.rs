//! The programs that are measured, each with its command for one signal.

use super::{Way, keys, our_program};
use crate::stage::process::Running;
use crate::stage::world::{KEY, SECRET, STACK, World, ask, write_private};
use crate::stage::{agent, program, wait};
use base64::Engine;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use ring::hmac;
use ros_sandbox::{ResourceSpec, StackSpec};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

pub(super) const NOTHING: &str = "`true`";
pub(super) const DIRECT: &str = "`signal --direct`";
pub(super) const CURL: &str = "curl";

/// So many resources the agent lets be signalled by hand.
const BY_HAND: u64 = 60;

/// Where most systems have the authorities that they trust, in one file.
const BUNDLES: [&str; 3] = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "/etc/ssl/cert.pem"];

/// What percent-encoding leaves alone.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A file that `benches/peers` installs.
pub(super) fn installed(name: &str) -> Result<PathBuf, String> {
    let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache"));
    let cache = || std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(home);
    let peers = std::env::var_os("PEERS").map(PathBuf::from).or_else(|| Some(cache()?.join("ros-signal-agent-peers")));
    let path = peers.map(|peers| peers.join(name)).filter(|path| path.exists());
    path.ok_or_else(|| "not installed (`benches/peers`)".to_owned())
}

fn driver(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers.d").join(name)
}

/// How many signals the sandbox has counted, at all handles.
fn arrived(world: &World) -> usize {
    let stack = world.sandbox.stack(STACK).unwrap();
    stack.resources.values().map(|resource| resource.signals.len()).sum()
}

fn way<'a>(world: &'a World, name: &'static str, runs: u64, command: impl Fn(&str) -> Result<Command, String> + 'a) -> Way<'a> {
    Way { name, ours: false, runs, command: Box::new(command), arrived: Box::new(|| arrived(world)) }
}

fn our_way<'a>(world: &'a World, name: &'static str, runs: u64, command: impl Fn(&str) -> Result<Command, String> + 'a) -> Way<'a> {
    Way { ours: true, ..way(world, name, runs, command) }
}

pub(super) fn nothing(world: &World, runs: u64) -> Way<'_> {
    way(world, NOTHING, runs, |_| Ok(Command::new("true")))
}

fn send_directly(mut command: Command, id: &str) -> Result<Command, String> {
    command.args(["--direct", "--resource", "WebReady", "--exit-code", "0", "--unique-id", id]);
    Ok(command)
}

/// Alone, signed, with keys from the environment.
pub(super) fn direct(world: &World, runs: u64) -> Way<'_> {
    let ros = format!("endpoint = \"{}\"", world.sandbox.ros_url());
    our_way(world, DIRECT, runs, move |id| send_directly(our_program(world, "direct.toml", &ros), id))
}

pub(super) fn direct_tls(world: &World, runs: u64) -> Way<'_> {
    let ros = format!("endpoint = \"{}\"\nca_file = \"{}\"", world.sandbox.ros_tls_url(), world.sandbox.ca_file().display());
    our_way(world, DIRECT, runs, move |id| send_directly(our_program(world, "tls.toml", &ros), id))
}

/// Alone, through the URL of the handle.
pub(super) fn handle(world: &World, runs: u64) -> Way<'_> {
    let url = world.sandbox.handle_attribute(STACK, "WebReady", "CurlCli").unwrap();
    let file = write_private(&world.dir.path().join("web.handle"), url.reveal());
    our_way(world, "`signal --handle-file`", runs, move |id| {
        let mut command = our_program(world, "handle.toml", "");
        command.arg("--handle-file").arg(&file).arg("-d").arg(body(id));
        Ok(command)
    })
}

fn body(id: &str) -> String {
    format!(r#"{{"status": "SUCCESS", "id": "{id}"}}"#)
}

/// An agent that runs, and knows who it is.
pub(super) fn daemon(world: &World) -> Option<(Running, PathBuf)> {
    let state = world.dir.path().join("daemon");
    std::fs::create_dir(&state).unwrap();
    // What was signalled by hand once has its verdict, so each signal has a resource of its own.
    let waiting = StackSpec::waiting_for("WebReady", 1_000_000, 43_200.0).resource("Idle", ResourceSpec::handle());
    let spec = (0..=BY_HAND).fold(waiting, |spec, at| spec.resource(&format!("ByHand{at}"), ResourceSpec::handle()));
    world.sandbox.put_stack(STACK, spec).unwrap();
    // A signal that it owes, and whose check nobody reports to: so that it asks who it is, and has nothing else to do.
    let owed = "[signal.idle]\nresource = \"Idle\"\ndeadline = \"12h\"\n[check.idle]\ntype = \"ttl\"\nttl = \"12h\"\n";
    let running = world.daemon(&state, &(world.head(&state) + owed));
    let socket = state.join("control.sock");
    let known = || ask(&socket, "/status").is_ok_and(|answer| answer.contains("i-bp1a2b3c4d5e6f7g8h9i"));
    let mut looks = 0..200;
    while !known() {
        looks.next()?;
        wait(Duration::from_millis(50));
    }
    Some((running, socket))
}

pub(super) fn through_daemon<'a>(world: &'a World, daemon: Option<&'a (Running, PathBuf)>, runs: u64) -> Way<'a> {
    let next = AtomicUsize::new(0);
    our_way(world, "`signal`, agent runs", runs.min(BY_HAND), move |_| {
        let (_, socket) = daemon.ok_or("the agent did not start")?;
        let resource = format!("ByHand{}", next.fetch_add(1, Ordering::Relaxed));
        let mut command = Command::new(agent());
        command.arg("--socket").arg(socket).args(["signal", "--exit-code", "0", "--resource", &resource]);
        Ok(command)
    })
}

/// As ROS's CurlCli has it.
pub(super) fn curl(world: &World, runs: u64) -> Way<'_> {
    way(world, CURL, runs, |id| {
        let line = world.sandbox.handle_attribute(STACK, "WebReady", "CurlCli").ok_or("no CurlCli")?;
        let words = shlex::split(line.reveal()).ok_or("CurlCli cannot be split")?;
        let mut command = Command::new(program(&words[0])?);
        command.args(&words[1..]).arg("-d").arg(body(id));
        Ok(command)
    })
}

/// The same over TLS: a SignalResource that was signed for it.
pub(super) fn curl_tls(world: &World, runs: u64) -> Way<'_> {
    let file = world.dir.path().join("authorities.pem");
    std::fs::write(&file, authorities(world)).unwrap();
    way(world, CURL, runs, move |id| {
        let mut command = Command::new(program("curl")?);
        command.args(["-i", "-f", "-X", "POST", "--cacert"]).arg(&file).arg(signed(&world.sandbox.ros_tls_url(), id));
        Ok(command)
    })
}

/// The system's authorities and the sandbox's.
fn authorities(world: &World) -> String {
    let system = BUNDLES.iter().find_map(|bundle| std::fs::read_to_string(bundle).ok()).unwrap_or_default();
    system + &std::fs::read_to_string(world.sandbox.ca_file()).unwrap()
}

/// The URL of a SignalResource, signed with HMAC-SHA1.
fn signed(url: &str, id: &str) -> String {
    let encoded = |text: &str| utf8_percent_encode(text, ENCODED).to_string();
    let now = time::OffsetDateTime::now_utc().replace_nanosecond(0).unwrap();
    let now = now.format(&time::format_description::well_known::Rfc3339).unwrap();
    let nonce = uuid::Uuid::new_v4().to_string();
    // In order of their names.
    let parameters = [
        ("AccessKeyId", KEY),
        ("Action", "SignalResource"),
        ("Format", "JSON"),
        ("LogicalResourceId", "WebReady"),
        ("RegionId", "cn-hangzhou"),
        ("SignatureMethod", "HMAC-SHA1"),
        ("SignatureNonce", &nonce),
        ("SignatureVersion", "1.0"),
        ("StackId", STACK),
        ("Status", "SUCCESS"),
        ("Timestamp", &now),
        ("UniqueId", id),
        ("Version", "2019-09-10"),
    ];
    let query = parameters.map(|(name, value)| format!("{name}={}", encoded(value))).join("&");
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, format!("{SECRET}&").as_bytes());
    let tag = hmac::sign(&key, format!("POST&%2F&{}", encoded(&query)).as_bytes());
    let signature = base64::engine::general_purpose::STANDARD.encode(tag);
    format!("{url}/?{query}&Signature={}", encoded(&signature))
}

fn python<'a>(world: &'a World, name: &'static str, script: &'static str, url: &str, tls: bool, runs: u64) -> Way<'a> {
    let url = url.to_owned();
    way(world, name, runs, move |id| {
        let mut command = Command::new(installed("python/bin/python")?);
        command.arg(driver(script)).args([&url, STACK, id]);
        if tls {
            command.arg(world.dir.path().join("authorities.pem"));
        }
        keys(&mut command);
        Ok(command)
    })
}

pub(super) fn python_v1<'a>(world: &'a World, url: &str, tls: bool, runs: u64) -> Way<'a> {
    python(world, "Python SDK V1", "signal_v1.py", url, tls, runs)
}

pub(super) fn python_v2<'a>(world: &'a World, url: &str, tls: bool, runs: u64) -> Way<'a> {
    python(world, "Python SDK V2", "signal_v2.py", url, tls, runs)
}

pub(super) fn node<'a>(world: &'a World, url: &str, tls: bool, runs: u64) -> Way<'a> {
    let url = url.to_owned();
    way(world, "Node SDK", runs, move |id| {
        let mut command = Command::new(program("node")?);
        command.arg(driver("signal.js")).args([&url, STACK, id]).env("NODE_PATH", installed("node/node_modules")?);
        if tls {
            command.env("NODE_EXTRA_CA_CERTS", world.sandbox.ca_file());
        }
        keys(&mut command);
        Ok(command)
    })
}
