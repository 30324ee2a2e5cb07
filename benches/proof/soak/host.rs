//! The host of the soak: what its checks look at, and the configuration that looks at it.

use crate::stage::world::write_private;
use ros_sandbox::Sandbox;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The path of the callback: a made-up secret.
pub(crate) const CALLBACK: &str = "of-callbacks-nobody-knows";

/// How much of a request a target reads.
const REQUEST: usize = 2048;

/// What the checks look at. While it is sick, services refuse to serve and files are gone.
pub(crate) struct Host {
    pub(crate) dir: PathBuf,
    sick: Arc<AtomicBool>,
    http: SocketAddr,
    word: SocketAddr,
    silent: SocketAddr,
    names: SocketAddr,
    grpc: SocketAddr,
    /// Where the agent listens for events: the URL is part of what is signed, so the port is chosen before.
    pub(crate) events: SocketAddr,
    pub(crate) callback: SocketAddr,
}

impl Host {
    pub(crate) fn begin(dir: &Path, grpc: SocketAddr) -> Self {
        let sick = Arc::new(AtomicBool::new(false));
        let (http, word) = (serve(&sick, answer_http), serve(&sick, answer_word));
        for name in ["spool", "cloud-init"] {
            std::fs::create_dir(dir.join(name)).unwrap();
        }
        std::fs::set_permissions(dir.join("spool"), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        std::fs::write(dir.join("cloud-init/status.json"), CLOUD_INIT_STATUS).unwrap();
        std::fs::write(dir.join("cloud-init/result.json"), "{\"v1\": {\"datasource\": \"DataSourceAliYun\", \"errors\": []}}").unwrap();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        write_private(&dir.join("tls.key"), &made.signing_key.serialize_pem());
        std::fs::write(dir.join("tls.pem"), made.cert.pem()).unwrap();
        write_private(&dir.join("callback"), CALLBACK);
        let host = Self { dir: dir.to_owned(), sick, http, word, silent: silent(), names: names(), grpc, events: free(), callback: free() };
        host.heal();
        host
    }

    pub(crate) fn fall_sick(&self) {
        self.sick.store(true, Ordering::Relaxed);
        // It may be gone already.
        let _ = std::fs::remove_file(self.file("app.conf"));
    }

    pub(crate) fn heal(&self) {
        self.sick.store(false, Ordering::Relaxed);
        std::fs::write(self.file("app.conf"), "listen 80\nworkers 4\n").unwrap();
    }

    pub(crate) fn is_sick(&self) -> bool {
        self.sick.load(Ordering::Relaxed)
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub(crate) fn events_url(&self) -> String {
        format!("https://localhost:{}/events", self.events.port())
    }

    /// The configuration; `other` is the one that a reload changes to and back: another interval, another check, another hook.
    pub(crate) fn configuration(&self, sandbox: &Sandbox, stack: &str, other: bool) -> (String, usize) {
        let dir = self.dir.display();
        let mut text = format!(
            "[stack]\nstack_id = \"{stack}\"\n[ros]\nendpoint = \"{ros}\"\nca_file = \"{ca}\"\ntimeout = \"2s\"\n\
             [instance]\nmetadata_url = \"{metadata}\"\n[credentials]\nprovider = \"ecs-ram-role\"\n\
             [agent]\nstate_dir = \"{dir}/state\"\nsocket = \"{dir}/control.sock\"\nlog = \"info\"\n\
             [signal.web]\nresource = \"Again\"\ncondition = \"Wait\"\nresignal = \"on_update\"\nchecks = [\"tag:gate\"]\n\
             deadline = \"40s\"\nmargin = \"2s\"\nmin_healthy_time = \"200ms\"\ndegraded_grace = \"1s\"\ngive_up = \"30m\"\n\
             [source.eb]\ntype = \"http\"\nlisten = \"{events}\"\nurl = \"{url}\"\ncertificate_file = \"{dir}/eventbridge.pem\"\n\
             tls_certificate = \"{dir}/tls.pem\"\ntls_key = \"{dir}/tls.key\"\n\
             [source.back]\ntype = \"callback\"\nlisten = \"{callback}\"\npath_file = \"{dir}/callback\"\n\
             [source.drop]\ntype = \"spool\"\ndirectory = \"{dir}/spool\"\n\
             [source.q]\ntype = \"queue\"\nqueue = \"q\"\nendpoint = \"{smq}\"\nwait = \"2s\"\n",
            ros = sandbox.ros_tls_url(),
            ca = sandbox.ca_file().display(),
            metadata = sandbox.metadata_url(),
            smq = sandbox.smq_url(),
            events = self.events,
            url = self.events_url(),
            callback = self.callback,
        );
        std::fs::write(self.file("eventbridge.pem"), sandbox.event_certificate()).unwrap();
        let hook = |name: &str, on: &str| {
            format!(
                "[hook.{name}]\non = [{on}]\ntimeout = \"10s\"\n\
                 command = [\"/bin/sh\", \"-c\", \"echo $ROS_SIGNAL_AGENT_HOOK $ROS_SIGNAL_AGENT_TRIGGER >> {dir}/hooks.log; cat > /dev/null\"]\n"
            )
        };
        text.push_str(&hook(
            "stack",
            "\"stack.updating\", \"stack.updated\", \"stack.update_rolled_back\", \"stack.failed\", \"metadata.changed\"",
        ));
        text.push_str(&hook("checks", "\"check.critical\", \"check.passing\""));
        text.push_str(&hook(if other { "verdicts" } else { "verdict" }, "\"verdict.success\", \"verdict.failure\""));
        let checks = self.checks(sandbox, other);
        for (name, keys) in &checks {
            // A composite is judged whenever one of its members changes.
            let pace = if keys.contains("\"composite\"") { "" } else { "start_interval = \"500ms\"\ninterval = \"1s\"\n" };
            let _ = write!(text, "[check.{name}]\n{pace}{keys}\n");
        }
        (text, checks.len())
    }

    /// Names and keys. Those with the tag `gate` are what a verdict needs; the others are there to be trouble.
    fn checks(&self, sandbox: &Sandbox, other: bool) -> Vec<(String, String)> {
        let dir = self.dir.display().to_string();
        let (http, word, silent, names, grpc) = (self.http, self.word, self.silent, self.names, self.grpc);
        let (ros, ca) = (sandbox.ros_tls_url(), sandbox.ca_file().display().to_string());
        let authority = ros.trim_start_matches("https://").to_owned();
        let sh = |script: &str, more: &str| format!("type = \"exec\"\ncommand = [\"/bin/sh\", \"-c\", {script:?}]\n{more}");
        let kinds: Vec<(&str, usize, bool, String)> = vec![
            ("http", 8, true, format!("type = \"http\"\nurl = \"http://{http}/\"")),
            ("http-body", 4, true, format!("type = \"http\"\nurl = \"http://{http}/\"\nexpect_body = 'status'")),
            ("http-json", 4, true, format!("type = \"http\"\nurl = \"http://{http}/\"\nexpect_json = {{ \"/status\" = \"ok\" }}")),
            ("https", 2, false, format!("type = \"http\"\nurl = \"{ros}/\"\nca_file = \"{ca}\"\nexpect_status = \"200-499\"")),
            ("http-silent", 1, false, format!("type = \"http\"\nurl = \"http://{silent}/\"\ntimeout = \"500ms\"")),
            ("http-refused", 1, false, "type = \"http\"\nurl = \"http://127.0.0.1:1/\"".to_owned()),
            ("tcp", 6, true, format!("type = \"tcp\"\naddress = \"{word}\"")),
            ("tcp-word", 4, true, format!("type = \"tcp\"\naddress = \"{word}\"\nsend = \"PING\\r\\n\"\nexpect = '^\\+PONG'")),
            ("tcp-silent", 1, false, format!("type = \"tcp\"\naddress = \"{silent}\"\nexpect = 'x'\ntimeout = \"500ms\"")),
            ("tcp-refused", 1, false, "type = \"tcp\"\naddress = \"127.0.0.1:1\"".to_owned()),
            ("grpc", 4, true, format!("type = \"grpc\"\naddress = \"{grpc}\"")),
            ("exec", 4, true, "type = \"exec\"\ncommand = [\"/bin/true\"]".to_owned()),
            ("plugin", 2, true, sh("echo \"OK - fine | load=0.5;1;2 users=$$\"", "exit_codes = \"nagios\"")),
            ("loud", 1, true, sh("head -c 100000 /dev/zero | tr '\\\\0' x", "")),
            ("forker", 2, true, sh("setsid sleep 300 & sleep 300 & exit 0", "")),
            ("late", 1, false, sh("sleep 300", "timeout = \"300ms\"")),
            ("stubborn", 1, false, sh("trap '' TERM; sleep 300; sleep 300", "timeout = \"300ms\"\nkill_grace = \"200ms\"")),
            ("failing", 1, false, sh("echo no >&2; exit 1", "")),
            ("file", 4, true, format!("type = \"file\"\npath = \"{dir}/app.conf\"")),
            ("file-text", 4, true, format!("type = \"file\"\npath = \"{dir}/app.conf\"\ncontents = '(?m)^listen '\nmode = \"0644\"")),
            ("file-size", 2, false, format!("type = \"file\"\npath = \"{dir}/hooks.log\"\nmeasure = \"size\"\ncrit = \"1:\"")),
            ("process", 4, true, "type = \"process\"\nname = \"ros-signal-agent\"\ncrit = \"0:\"".to_owned()),
            ("port", 4, true, format!("type = \"port\"\nport = {}", word.port())),
            ("port-free", 1, false, "type = \"port\"\nport = 1".to_owned()),
            ("mount", 3, false, "type = \"mount\"\npath = \"/proc\"\nfstype = \"proc\"".to_owned()),
            ("disk", 4, true, "type = \"disk\"\npath = \"/\"\ncrit = \"0:\"".to_owned()),
            ("memory", 3, true, "type = \"memory\"\ncrit = \"0:\"".to_owned()),
            ("load", 3, true, "type = \"load\"\ncrit = \"1000\"".to_owned()),
            ("clock", 1, false, format!("type = \"clock\"\nurl = \"{}/\"", sandbox.ros_url())),
            (
                "dns",
                4,
                true,
                format!("type = \"dns\"\nname = \"db.internal\"\nrecord = \"A\"\nserver = \"{names}\"\naddresses = [\"10.0.0.5\"]"),
            ),
            ("cert-file", 3, true, format!("type = \"certificate\"\nfile = \"{dir}/tls.pem\"\nca_file = \"{dir}/tls.pem\"")),
            ("cert-server", 2, false, format!("type = \"certificate\"\naddress = \"{authority}\"\nca_file = \"{ca}\"")),
            ("cloud-init", 1, true, format!("type = \"cloud-init\"\nrun_dir = \"{dir}/cloud-init\"\nnot_installed = \"passing\"")),
            ("ttl", 2, false, "type = \"ttl\"\nttl = \"10s\"".to_owned()),
            ("both", 2, true, "type = \"composite\"\nall_of = [\"http-0\", \"tcp-0\"]".to_owned()),
            ("most", 1, false, "type = \"composite\"\nat_least = { count = 2, of = [\"exec-0\", \"late-0\", \"file-0\"] }".to_owned()),
            (if other { "other" } else { "one" }, 1, true, "type = \"exec\"\ncommand = [\"/bin/true\"]".to_owned()),
        ];
        let named = kinds.into_iter().flat_map(|(name, count, gate, keys)| {
            let tags = if gate { "tags = [\"gate\"]\n" } else { "" };
            (0..count).map(move |index| (format!("{name}-{index}"), format!("{tags}{keys}")))
        });
        // A reload changes the first one too.
        named
            .map(|(name, keys)| if other && name == "http-0" { (name, format!("{keys}\nsuccess_threshold = 2")) } else { (name, keys) })
            .collect()
    }
}

const CLOUD_INIT_STATUS: &str = r#"{"v1": {"datasource": "DataSourceAliYun", "stage": null,
"init-local": {"errors": [], "start": 1.0, "finished": 2.0}, "init": {"errors": [], "start": 2.0, "finished": 3.0},
"modules-config": {"errors": [], "start": 3.0, "finished": 4.0}, "modules-final": {"errors": [], "start": 4.0, "finished": 5.0}}}"#;

/// A service that answers one connection after the other.
fn serve(sick: &Arc<AtomicBool>, answer: fn(&mut TcpStream, bool)) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, sick) = (listener.local_addr().unwrap(), Arc::clone(sick));
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.set_read_timeout(Some(Duration::from_secs(1)));
            answer(&mut stream, sick.load(Ordering::Relaxed));
        }
    });
    address
}

/// A client that has gone away is none of a target's business, here and below.
fn answer_http(stream: &mut TcpStream, sick: bool) {
    let _ = stream.read(&mut [0; REQUEST]);
    let (status, body) = if sick { ("503 Service Unavailable", "{\"status\":\"sick\"}") } else { ("200 OK", "{\"status\":\"ok\"}") };
    let length = body.len();
    let _ = write!(
        stream,
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    );
}

fn answer_word(stream: &mut TcpStream, sick: bool) {
    // One that sends nothing has closed already, or is about to.
    if matches!(stream.read(&mut [0; REQUEST]), Ok(1..)) {
        let _ = stream.write_all(if sick { b"-SICK\r\n" } else { b"+PONG\r\n" });
    }
}

/// A service that takes connections and says nothing; it keeps the last few.
fn silent() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut kept = std::collections::VecDeque::new();
        for stream in listener.incoming().flatten() {
            kept.push_back(stream);
            if kept.len() > 16 {
                kept.pop_front();
            }
        }
    });
    address
}

/// A name server for which every name is 10.0.0.5.
fn names() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut query = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut query) {
            let Some(end) = query[..length].iter().skip(12).position(|&byte| byte == 0) else { continue };
            let question = &query[12..(12 + end + 5).min(length)];
            let mut answer = query[..2].to_vec();
            answer.extend([0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
            answer.extend(question);
            answer.extend([0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 0, 0, 5]);
            let _ = socket.send_to(&answer, from);
        }
    });
    address
}

/// A port that nobody has now.
fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
