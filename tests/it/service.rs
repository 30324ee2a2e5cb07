//! The built binary as a service: what it tells systemd, its threads, its signals, and who may do what over the control socket.

use crate::host::Host;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::process::Stdio;
use std::time::Duration;
use tokio::net::UnixDatagram;
use tokio::process::{Child, Command};

const PATIENCE: Duration = Duration::from_secs(30);

/// The agent with a service manager that listens.
struct Service {
    agent: Child,
    manager: UnixDatagram,
}

impl Service {
    fn start(host: &Host, prepare: impl FnOnce(&mut Command)) -> Self {
        let path = host.path("notify.sock");
        let _ = std::fs::remove_file(&path);
        let manager = UnixDatagram::bind(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_ros-signal-agent"));
        command
            .args(["--config", host.config().to_str().unwrap(), "run"])
            .envs(Host::environment())
            .env("NOTIFY_SOCKET", &path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        prepare(&mut command);
        Self { agent: command.spawn().unwrap(), manager }
    }

    /// Waits for a notification that contains `text`.
    async fn told(&self, text: &str) -> String {
        let wait = async {
            loop {
                let mut buffer = vec![0; 4096];
                let length = self.manager.recv(&mut buffer).await.unwrap();
                let datagram = String::from_utf8_lossy(&buffer[..length]).into_owned();
                if datagram.contains(text) {
                    return datagram;
                }
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("systemd is not told {text:?}"))
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.agent.id().unwrap()).unwrap();
        rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), signal).unwrap();
    }

    async fn ends(&mut self) -> Option<i32> {
        tokio::time::timeout(PATIENCE, self.agent.wait()).await.expect("it does not end").unwrap().code()
    }
}

fn checked(port: u16) -> String {
    format!(
        "[signal.web]\nresource = \"WebReady\"\nmin_healthy_time = \"300ms\"\n\
         [check.port]\ntype = \"tcp\"\naddress = \"127.0.0.1:{port}\"\nstart_interval = \"100ms\"\n"
    )
}

async fn listener() -> (tokio::net::TcpListener, u16) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

#[tokio::test(flavor = "current_thread")]
async fn scenario_28_systemd_is_told_ready_progress_reload_and_stopping() {
    let (_listener, port) = listener().await;
    let host = Host::new(&checked(port)).await;
    let mut service = Service::start(&host, |_| {});
    service.told("READY=1").await;
    let progress = service.told("STATUS=web: ").await;
    assert!(progress.contains("checks passing"), "{progress}");
    service.told("STATUS=web: SUCCESS acknowledged").await;
    service.signal(rustix::process::Signal::HUP);
    let reloading = service.told("RELOADING=1").await;
    assert!(reloading.contains("MONOTONIC_USEC="), "{reloading}");
    service.told("READY=1").await;
    service.signal(rustix::process::Signal::TERM);
    service.told("STOPPING=1").await;
    service.told("EXTEND_TIMEOUT_USEC=").await;
    assert_eq!(service.ends().await, Some(0));
}

#[tokio::test(flavor = "current_thread")]
async fn scenario_27_the_watchdog_is_fed_at_half_its_time() {
    let (_listener, port) = listener().await;
    let host = Host::new(&checked(port)).await;
    let mut service = Service::start(&host, |command| {
        command.env("WATCHDOG_USEC", "400000").env_remove("WATCHDOG_PID");
    });
    for _ in 0..3 {
        service.told("WATCHDOG=1").await;
    }
    service.signal(rustix::process::Signal::TERM);
    assert_eq!(service.ends().await, Some(0));
}

#[tokio::test(flavor = "current_thread")]
async fn a_second_sigterm_ends_it_at_once_even_with_a_send_in_flight() {
    let (_listener, port) = listener().await;
    let host = Host::new(&checked(port)).await;
    let stall = ros_sandbox::Effect::stall(ros_sandbox::When::Before, None);
    host.sandbox.add_fault(ros_sandbox::Fault::new(stall).action("SignalResource")).unwrap();
    let mut service = Service::start(&host, |_| {});
    service.told("sending, attempt 1").await;
    service.signal(rustix::process::Signal::TERM);
    service.told("STOPPING=1").await;
    service.signal(rustix::process::Signal::TERM);
    assert_eq!(service.ends().await, Some(0));
    // ROS takes the stalled request after all: the next agent looks before it sends, and need not.
    host.sandbox.clear_faults();
    host.stack_becomes("CREATE_COMPLETE").await;
    let mut again = Service::start(&host, |_| {});
    again.told("STATUS=web: not needed, the stack is CREATE_COMPLETE").await;
    again.signal(rustix::process::Signal::TERM);
    assert_eq!(again.ends().await, Some(0));
    assert_eq!(host.sandbox.stack(crate::host::STACK).unwrap().effective_signals, 1);
}

#[tokio::test(flavor = "current_thread")]
async fn in_steady_state_it_has_two_threads() {
    let (_listener, port) = listener().await;
    let host = Host::new(&checked(port)).await;
    let mut service = Service::start(&host, |_| {});
    service.told("STATUS=web: SUCCESS acknowledged").await;
    let tasks = format!("/proc/{}/task", service.agent.id().unwrap());
    let threads = || std::fs::read_dir(&tasks).unwrap().count();
    // A thread that looked a name up goes away after a moment.
    let fewer = async {
        while threads() > 2 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, fewer).await.expect("more than the loop and the ledger");
    assert_eq!(threads(), 2);
    service.signal(rustix::process::Signal::TERM);
    assert_eq!(service.ends().await, Some(0));
}

#[tokio::test(flavor = "current_thread")]
async fn scenario_18_secrets_are_in_no_file_and_no_argument_of_the_agent() {
    let (_listener, port) = listener().await;
    let host = Host::new(&checked(port)).await;
    let log = std::fs::File::create(host.path("log")).unwrap();
    let mut service = Service::start(&host, |command| {
        command.stderr(log).arg("--log").arg("debug");
    });
    service.told("STATUS=web: SUCCESS acknowledged").await;
    let pid = service.agent.id().unwrap();
    let arguments = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap();
    let (_, status) = host.ask("GET", "/status", "").await;
    service.signal(rustix::process::Signal::TERM);
    assert_eq!(service.ends().await, Some(0));
    let files = ["log", "state/ledger.json"].map(|name| std::fs::read_to_string(host.path(name)).unwrap());
    assert!(files[0].contains("acknowledged"), "the log is there");
    for text in [String::from_utf8_lossy(&arguments).into_owned(), status, files[0].clone(), files[1].clone()] {
        assert!(!text.contains(crate::host::SECRET), "{text}");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn an_invalid_configuration_ends_it_with_78_and_every_error() {
    let host = Host::new("[signal.web]\nresorce = \"WebReady\"\n[check.a]\ntype = \"htp\"\n").await;
    let output = Command::new(env!("CARGO_BIN_EXE_ros-signal-agent"))
        .args(["--config", host.config().to_str().unwrap(), "run"])
        .output()
        .await
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(78), "{text}");
    assert!(text.contains("resorce") && text.contains("htp") && text.contains("hint: "), "{text}");
}

#[tokio::test(flavor = "current_thread")]
async fn the_agents_own_user_may_read_and_push_but_neither_signal_nor_reload() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can start the agent as another user");
        return;
    }
    let (_listener, port) = listener().await;
    let host = Host::new(&format!("{}[check.app]\ntype = \"ttl\"\nttl = \"1m\"\nlevel = \"wanted\"\n", checked(port))).await;
    for path in [host.dir.path().to_owned(), host.config()] {
        std::os::unix::fs::chown(&path, Some(65534), Some(65534)).unwrap();
    }
    // Where the binary lies may be closed to other users.
    let binary = host.path("agent");
    std::fs::copy(env!("CARGO_BIN_EXE_ros-signal-agent"), &binary).unwrap();
    let path = host.path("notify.sock");
    let manager = UnixDatagram::bind(&path).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
    let mut command = Command::new(&binary);
    command.args(["--config", host.config().to_str().unwrap(), "run"]).envs(Host::environment()).env("NOTIFY_SOCKET", &path);
    command.uid(65534).gid(65534).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let mut service = Service { agent: command.spawn().unwrap(), manager };
    service.told("READY=1").await;
    let socket = std::fs::symlink_metadata(host.socket()).unwrap();
    assert!(socket.file_type().is_socket());
    assert_eq!((socket.mode() & 0o777, socket.uid()), (0o660, 65534));
    let as_nobody = async |arguments: &[&str]| {
        let mut command = Command::new(&binary);
        command.arg("--socket").arg(host.socket()).arg("--config").arg(host.config()).args(arguments).uid(65534).gid(65534);
        let output = command.output().await.unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr))
    };
    let (read, text) = as_nobody(&["status"]).await;
    assert!(read, "{text}");
    let (pushed, text) = as_nobody(&["push", "app", "passing", "warm"]).await;
    assert!(pushed, "{text}");
    for forbidden in
        [&["reload"][..], &["hold"], &["signal", "cancel", "web"], &["signal", "--resource", "WebReady", "--status", "failure"]]
    {
        let (allowed, text) = as_nobody(forbidden).await;
        assert!(!allowed && text.contains("only root may do this"), "{forbidden:?}: {text}");
    }
    let (code, _) = host.ask("POST", "/hold", "").await;
    assert_eq!(code, 200, "root may");
    service.signal(rustix::process::Signal::TERM);
    assert_eq!(service.ends().await, Some(0));
}

#[tokio::test(flavor = "current_thread")]
async fn scenario_30_the_failure_report_is_on_standard_output_before_the_instance_is_gone() {
    let text = "[signal.web]\nresource = \"WebReady\"\n[check.app]\ntype = \"exec\"\nfailure_threshold = 1\n\
                command = [\"/bin/sh\", \"-c\", \"echo database schema is missing; exit 78\"]\n";
    let host = Host::new(text).await;
    let output = std::fs::File::create(host.path("stdout")).unwrap();
    let mut service = Service::start(&host, |command| {
        command.stdout(output);
    });
    service.told("STATUS=web: FAILURE acknowledged").await;
    service.signal(rustix::process::Signal::TERM);
    assert_eq!(service.ends().await, Some(0));
    let report = std::fs::read_to_string(host.path("stdout")).unwrap();
    assert!(report.starts_with("FAILURE report of signal web (WebReady): check app will never pass: "), "{report}");
    assert!(report.contains("| database schema is missing"), "{report}");
}

#[tokio::test(flavor = "current_thread")]
async fn scenario_19_what_a_killed_agent_left_running_is_killed_by_the_next() {
    let host = Host::new("").await;
    let pids = host.path("pids");
    let text = format!(
        "[signal.web]\nresource = \"WebReady\"\n[check.slow]\ntype = \"exec\"\ntimeout = \"10m\"\n\
         command = [\"/bin/sh\", \"-c\", \"echo $$ >> {}; exec sleep 600\"]\n",
        pids.display()
    );
    host.configure(&text);
    let started = async |count: usize| {
        let wait = async {
            loop {
                let text = std::fs::read_to_string(&pids).unwrap_or_default();
                if text.lines().count() >= count {
                    return text.lines().map(str::to_owned).collect::<Vec<_>>();
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.expect("the check is not run")
    };
    let mut first = Service::start(&host, |_| {});
    let orphan = started(1).await[0].clone();
    first.agent.kill().await.unwrap();
    assert!(is_running(&orphan), "it outlives the agent that was killed");
    let mut second = Service::start(&host, |_| {});
    let own = started(2).await[1].clone();
    assert!(!is_running(&orphan) && is_running(&own), "the orphan is gone before the next run, which goes on");
    second.signal(rustix::process::Signal::TERM);
    assert_eq!(second.ends().await, Some(0));
    assert!(!is_running(&own));
}

/// Whether the process lives; one that waits to be reaped by somebody else does not.
fn is_running(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().and_then(|rest| rest.trim_start().chars().next()).is_some_and(|state| state != 'Z')
}
