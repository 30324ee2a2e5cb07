//! A real Podman (`podman system service`) with real containers, in namespaces of its own: what it mounts is seen by nobody else, and
//! when the first process of its PID namespace ends, every container ends with it.

use super::*;
use crate::peer;
use ros_signal_agent::clock::Moment;
use std::process::{Child, Command, Stdio};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::net::UnixStream;

/// What the first process does: private places for what Podman keeps outside of its root, cgroups as crun can take them (a hybrid
/// hierarchy it cannot), an image of nothing but a static busybox, and the service.
const START: &str = r#"
set -e
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /var/lib
umount /sys/fs/cgroup/unified 2>/dev/null || true
podman="$1 --root $2/root --runroot $2/run --storage-driver vfs --cgroup-manager cgroupfs --events-backend file"
tar -C "$2/image" -cf "$2/image.tar" .
$podman import --quiet "$2/image.tar" localhost/peer:1
exec $podman system service --time 0 "unix://$2/podman.sock"
"#;

/// No cgroups, no network and no limits of their own: so containers run where the tests themselves run in a container.
const CONFIGURATION: &str =
    "[containers]\ncgroups = \"disabled\"\nnetns = \"host\"\ndefault_ulimits = [\"nofile=1000:1000\", \"nproc=1000:1000\"]\n";

struct Podman {
    namespaces: Child,
    home: tempfile::TempDir,
}

impl Drop for Podman {
    fn drop(&mut self) {
        let _ = self.namespaces.kill();
        let _ = self.namespaces.wait();
    }
}

impl Podman {
    /// The engine. `None`: it cannot run here, which is said.
    async fn start() -> Option<Self> {
        let [podman, unshare, busybox] = [peer::program("podman")?, peer::program("unshare")?, peer::program("busybox")?];
        if !rustix::process::geteuid().is_root() {
            return skipped("namespaces as they are needed here are made by root only");
        }
        let home = private::directory();
        let bin = home.path().join("image/bin");
        std::fs::create_dir_all(&bin).unwrap();
        std::fs::create_dir(home.path().join("state")).unwrap();
        std::fs::copy(busybox, bin.join("busybox")).unwrap();
        for name in ["sh", "sleep", "test", "echo"] {
            std::os::unix::fs::symlink("busybox", bin.join(name)).unwrap();
        }
        std::fs::write(home.path().join("containers.conf"), CONFIGURATION).unwrap();
        let log = std::fs::File::create(home.path().join("log")).unwrap();
        let mut command = Command::new(unshare);
        command.args(["--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", START, "sh"]);
        command.arg(podman).arg(home.path()).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        // Its own health checks would be timers of systemd; here they run when they are asked for.
        command.env("CONTAINERS_CONF", home.path().join("containers.conf")).env("DISABLE_HC_SYSTEMD", "true");
        let mut engine = Self { namespaces: command.spawn().unwrap(), home };
        let started = tokio::time::Instant::now();
        while UnixStream::connect(engine.socket()).await.is_err() {
            assert!(started.elapsed() < 3 * PATIENCE, "podman does not listen: {}", engine.log());
            if engine.namespaces.try_wait().unwrap().is_some() {
                return skipped(&format!("podman does not run here: {}", engine.log()));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Some(engine)
    }

    fn socket(&self) -> PathBuf {
        self.home.path().join("podman.sock")
    }

    fn log(&self) -> String {
        read(&self.home.path().join("log"))
    }

    /// One request to the engine; status and body.
    async fn call(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let request = async {
            let mut stream = UnixStream::connect(self.socket()).await?;
            let head =
                format!("{method} {path} HTTP/1.0\r\nHost: engine\r\nContent-Type: application/json\r\nContent-Length: {}", body.len());
            stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            std::io::Result::Ok(answer)
        };
        let answer = tokio::time::timeout(PATIENCE, request).await.expect("the engine answers").unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    /// Whether the program of the container says that it is ready.
    fn ready(&self, ready: bool) {
        let file = self.home.path().join("state/ready");
        if ready { std::fs::write(file, "").unwrap() } else { std::fs::remove_file(file).unwrap() }
    }

    /// Lets the engine run the health check of the container, now.
    async fn check_health(&self) {
        let (status, body) = self.call("GET", "/v4.0.0/libpod/containers/web/healthcheck", "").await;
        assert_eq!(status, 200, "{body}");
    }

    /// When the last health check ended, as the engine has it, in milliseconds since 1970.
    async fn checked_at(&self) -> i64 {
        let (_, body) = self.call("GET", "/containers/web/json", "").await;
        let document: serde_json::Value = serde_json::from_str(&body).unwrap();
        let log = document["State"]["Health"]["Log"].as_array().unwrap();
        let end = OffsetDateTime::parse(log.last().unwrap()["End"].as_str().unwrap(), &Rfc3339).unwrap();
        i64::try_from(end.unix_timestamp_nanos() / 1_000_000).unwrap()
    }
}

#[expect(clippy::print_stderr, reason = "whoever runs the tests must see what was not tested")]
fn skipped(why: &str) -> Option<Podman> {
    eprintln!("skipped: {why}");
    None
}

/// Waits for an observation with `message`, made whenever the engine tells of a change.
async fn observed(prober: &Prober, followed: &Arc<Check>, message: &str) -> Observation {
    let looking = async {
        loop {
            let seen = prober.run(Job { check: Arc::clone(followed), attempt: 1, deadline_unix_ms: None }).await;
            if seen.message == message {
                return seen;
            }
            // The engine tells of a change before it has written it down; the agent's polls are the net under that.
            let _ = tokio::time::timeout(Duration::from_secs(1), prober.changed()).await;
        }
    };
    let seen = tokio::time::timeout(PATIENCE, looking).await;
    seen.unwrap_or_else(|_| panic!("never heard of: {message}"))
}

#[tokio::test]
async fn a_container_of_a_real_podman_is_followed_through_its_life() {
    let Some(podman) = Podman::start().await else { return };
    let socket = podman.socket();
    let missing = format!("there is no container web at {}", socket.display());
    let prober = Prober::new();
    let followed = check(Probe::Container(container(&socket)), PATIENCE);
    prober.follow(std::slice::from_ref(&followed));
    assert_eq!(observed(&prober, &followed, &missing).await.health, Health::Critical);
    // The first change is that the events are heard.
    prober.changed().await;

    let state = podman.home.path().join("state");
    let wanted = serde_json::json!({
        "Image": "localhost/peer:1",
        "Cmd": ["/bin/sleep", "1000"],
        "HostConfig": {"Binds": [format!("{}:/state", state.display())]},
        "Healthcheck": {"Test": ["CMD-SHELL", "test -e /state/ready || { echo not ready yet; exit 1; }"], "Interval": 0, "Retries": 1},
    });
    let (status, body) = podman.call("POST", "/containers/create?name=web", &wanted.to_string()).await;
    assert_eq!(status, 201, "{body}");
    let seen = observed(&prober, &followed, "container web was created but does not run").await;
    assert_eq!((seen.health, seen.terminal), (Health::Critical, false));

    let (status, body) = podman.call("POST", "/containers/web/start", "").await;
    if status != 204 {
        skipped(&format!("containers do not run here: {body}"));
        return;
    }
    let starting = "container web is starting: its health check has not passed yet";
    assert_eq!(observed(&prober, &followed, starting).await.health, Health::Critical);

    let (healthy, unhealthy) = ("container web is healthy", "container web is unhealthy, failed once: \"not ready yet\" (exit code 1)");
    let mut delays = Vec::new();
    for turn in 0..20 {
        let ready = turn % 2 == 0;
        podman.ready(ready);
        let (seen, ()) = tokio::join!(
            async {
                let seen = observed(&prober, &followed, if ready { healthy } else { unhealthy }).await;
                (seen, Moment::now().wall_ms)
            },
            podman.check_health()
        );
        assert_eq!(seen.0.health, if ready { Health::Passing } else { Health::Critical });
        delays.push(seen.1 - podman.checked_at().await);
    }
    delays.sort_unstable();
    // Most of it is Podman's: where its events stand in a file, it looks at that four times a second.
    println!("from the end of a health check to the observation: median {} ms, most {} ms", delays[10], delays[19]);
    assert!(delays[10] < 1000, "{delays:?}");

    let (status, body) = podman.call("POST", "/containers/web/kill", "").await;
    assert_eq!(status, 204, "{body}");
    let seen =
        observed(&prober, &followed, "container web has ended with exit code 137; the engine does not restart it (restart policy no)")
            .await;
    assert_eq!((seen.health, seen.terminal), (Health::Critical, false), "somebody may start it again");
    let (status, body) = podman.call("DELETE", "/containers/web", "").await;
    assert_eq!(status, 204, "{body}");
    assert!(!observed(&prober, &followed, &missing).await.terminal);
}
