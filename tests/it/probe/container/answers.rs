//! What is made of the answers of Docker and Podman, which stand in `tests/fixtures/container`, and of those that are none.

use super::*;
use std::sync::Mutex;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// Answers as an engine does: every inspection with `answer`, `/events` with a stream.
struct Engine {
    answer: Arc<Mutex<String>>,
    /// All lines that were ever sent to streams; a new stream begins with the next.
    events: watch::Sender<Vec<String>>,
    streams: Arc<std::sync::atomic::AtomicUsize>,
    asked: Requests,
    task: JoinHandle<()>,
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Engine {
    fn start(socket: &Path, answer: String) -> Self {
        let _ = std::fs::remove_file(socket);
        let listener = UnixListener::bind(socket).unwrap();
        let (answer, events) = (Arc::new(Mutex::new(answer)), watch::Sender::new(Vec::new()));
        let (asked, streams) = (Requests::default(), Arc::default());
        let (answers, sender, requests, open) = (Arc::clone(&answer), events.clone(), asked.clone(), Arc::clone(&streams));
        let task = tokio::spawn(async move {
            // Dropped with this task, and all its connections with it.
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, Arc::clone(&answers), sender.subscribe(), requests.clone(), Arc::clone(&open)));
            }
        });
        Self { answer, events, streams, asked, task }
    }

    fn says(&self, answer: String) {
        *self.answer.lock().unwrap() = answer;
    }

    fn event(&self, line: &str) {
        self.events.send_modify(|lines| lines.push(format!("{line}\n")));
    }

    fn streams(&self) -> usize {
        self.streams.load(std::sync::atomic::Ordering::SeqCst)
    }
}

async fn serve(
    mut stream: UnixStream,
    answer: Arc<Mutex<String>>,
    mut events: watch::Receiver<Vec<String>>,
    asked: Requests,
    open: Arc<std::sync::atomic::AtomicUsize>,
) {
    let request = read_request(&mut stream).await;
    asked.0.lock().unwrap().push(request.lines().next().unwrap_or_default().to_owned());
    if !request.starts_with("GET /events") {
        let answer = answer.lock().unwrap().clone();
        let _ = stream.write_all(answer.as_bytes()).await;
        return;
    }
    let mut sent = events.borrow_and_update().len();
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    let _ = stream.write_all(head.as_bytes()).await;
    open.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    while events.changed().await.is_ok() {
        let lines = events.borrow_and_update().clone();
        for line in &lines[sent..] {
            let _ = stream.write_all(format!("{:x}\r\n{line}\r\n", line.len()).as_bytes()).await;
        }
        sent = lines.len();
    }
}

fn http(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn inspected(golden_name: &str) -> String {
    http("200 OK", &golden(golden_name))
}

#[tokio::test]
async fn the_answers_of_docker_and_podman_are_judged() {
    let home = private::directory();
    let socket = home.path().join("engine.sock");
    let engine = Engine::start(&socket, String::new());
    use Health::{Critical, Passing};
    let cases = [
        ("docker-healthy", Passing, false, "container web is healthy", 0.0),
        ("docker-starting", Critical, false, "container web is starting: its health check has not passed yet", 0.0),
        (
            "docker-unhealthy",
            Critical,
            false,
            "container web is unhealthy, failed 4 times: \"curl: (7) Failed to connect to localhost port 80\" (exit code 7)",
            0.0,
        ),
        ("docker-plain", Passing, false, "container web is running, without a health check", 0.0),
        (
            "docker-exited",
            Critical,
            false,
            "container web has ended with exit code 137 (killed for want of memory); the engine does not restart it (restart policy no)",
            0.0,
        ),
        ("docker-restarting", Critical, false, "container web is restarting after exit code 1, restarted 5 times", 5.0),
        (
            "docker-created",
            Critical,
            false,
            "container web was created but does not run: \"failed to create task for container: exec: \"ngnix\": executable file not \
             found in $PATH: unknown\"",
            0.0,
        ),
        ("podman-healthy", Passing, false, "container web is healthy", 0.0),
        ("podman-unhealthy", Critical, false, "container web is unhealthy, failed 2 times: \"not ready yet\" (exit code 1)", 0.0),
        (
            "podman-exited",
            Critical,
            false,
            "container web has ended with exit code 3; the engine does not restart it (restart policy no)",
            0.0,
        ),
    ];
    for (name, health, terminal, message, restarts) in cases {
        engine.says(inspected(&format!("{name}.json")));
        let seen = look(&socket).await;
        assert_eq!((seen.health, seen.terminal, seen.message.as_str()), (health, terminal, message), "{name}");
        let readings: Vec<_> = seen.readings.iter().map(|reading| (reading.label.as_str(), reading.value, reading.unit.as_str())).collect();
        assert_eq!(readings, [("restarts", restarts, "c")], "{name}");
    }
    engine.says(inspected("docker-unhealthy.json"));
    assert_eq!(look(&socket).await.output, "curl: (7) Failed to connect to localhost port 80\n");
    for name in ["docker-missing.json", "podman-missing.json"] {
        engine.says(http("404 Not Found", &golden(name)));
        let seen = look(&socket).await;
        assert_eq!((seen.health, seen.terminal), (Critical, false), "it may still be created");
        assert_eq!(seen.message, format!("there is no container web at {}", socket.display()));
    }
    assert_eq!(engine.asked.last(), "GET /containers/web/json HTTP/1.1");
}

#[tokio::test]
async fn an_engine_that_cannot_answer_is_told_apart_from_a_container_that_is_wrong() {
    let home = private::directory();
    let socket = home.path().join("engine.sock");
    let place = socket.display();
    let seen = look(&socket).await;
    assert_eq!((seen.health, seen.message), (Health::Critical, format!("socket {place} does not exist; is the engine running?")));
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let seen = look(&socket).await;
    assert_eq!((seen.health, seen.message), (Health::Critical, format!("connection refused by {place}: the engine does not run")));

    let engine = Engine::start(&socket, String::new());
    let strange = [
        (http("404 Not Found", "404 page not found"), format!("{place} answered HTTP 404, not as Docker or Podman do")),
        (http("500 Internal Server Error", r#"{"message":"layer is\nlost"}"#), format!("{place} answered HTTP 500: \"layer is\\nlost\"")),
        (http("200 OK", &format!("{{\"Id\":\"{}\"}}", "x".repeat(2 << 20))), format!("{place} says more than 1 MiB about container web")),
    ];
    for (answer, message) in strange {
        engine.says(answer);
        let seen = look(&socket).await;
        assert_eq!((seen.health, seen.message), (Health::Unknown, message));
    }
    engine.says(http("200 OK", "[]"));
    let seen = look(&socket).await;
    assert_eq!(seen.health, Health::Unknown);
    assert!(seen.message.starts_with("what the engine says about container web is not understood: "), "{}", seen.message);
}

#[tokio::test]
async fn an_engine_that_hangs_is_a_timeout_that_says_so() {
    let home = private::directory();
    let socket = home.path().join("engine.sock");
    let _silent = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let seen = Prober::new().run(job(Probe::Container(container(&socket)), Duration::from_millis(20))).await;
    let message = format!("timed out after 20ms waiting for the answer of {}", socket.display());
    assert_eq!((seen.health, seen.message), (Health::Critical, message));
}

/// Runs the test `name` once more as somebody whom modes of files bind, and says whether this is that run. `None`: it cannot be had.
fn bound_by_modes(name: &str) -> Option<bool> {
    const MARK: &str = "CONTAINER_TEST_BOUND_BY_MODES";
    if !rustix::process::geteuid().is_root() || std::env::var_os(MARK).is_some() {
        return Some(true);
    }
    let mut root_without_capabilities = std::process::Command::new(crate::peer::program("setpriv")?);
    root_without_capabilities.args(["--bounding-set", "-all", "--inh-caps", "-all"]).arg(std::env::current_exe().unwrap());
    let done = root_without_capabilities.args(["--exact", name, "--nocapture"]).env(MARK, "1").output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success() && said.contains("1 passed"), "{said}");
    Some(false)
}

#[test]
fn without_permission_it_is_said_what_to_do_and_what_that_means() {
    let name = "probe::container::answers::without_permission_it_is_said_what_to_do_and_what_that_means";
    if bound_by_modes(name) != Some(true) {
        return;
    }
    runtime().block_on(async {
        let home = private::directory();
        let socket = home.path().join("engine.sock");
        let _engine = Engine::start(&socket, inspected("docker-healthy.json"));
        std::fs::set_permissions(&socket, std::os::unix::fs::PermissionsExt::from_mode(0o000)).unwrap();
        let seen = look(&socket).await;
        assert_eq!(seen.health, Health::Unknown, "{seen:?}");
        let place = socket.display();
        assert!(seen.message.starts_with(&format!("no permission to connect to {place}: ")), "{}", seen.message);
        assert!(seen.message.contains("SupplementaryGroups=docker") && seen.message.ends_with("can become root"), "{}", seen.message);
    });
}

#[tokio::test]
async fn events_make_it_look_at_once_and_a_restarted_engine_is_followed_again() {
    let home = private::directory();
    let socket = home.path().join("engine.sock");
    let engine = Engine::start(&socket, inspected("docker-starting.json"));
    let prober = Prober::new();
    let followed = check(Probe::Container(container(&socket)), PATIENCE);
    prober.follow(std::slice::from_ref(&followed));
    let changed = async || tokio::time::timeout(PATIENCE, prober.changed()).await.expect("it is told of a change");
    changed().await;
    until("the events are heard", || engine.streams() == 1).await;
    let stream = "GET /events?filters=%7B%22container%22%3A%5B%22web%22%5D%2C%22type%22%3A%5B%22container%22%5D%7D HTTP/1.1";
    assert_eq!(engine.asked.last(), stream);

    let mut delays = Vec::new();
    for turn in 0..50 {
        let (answer, health) = match turn % 2 {
            0 => ("docker-healthy.json", Health::Passing),
            _ => ("docker-unhealthy.json", Health::Critical),
        };
        engine.says(inspected(answer));
        let begun = tokio::time::Instant::now();
        engine.event(r#"{"Type":"container","Action":"exec_die","Actor":{"Attributes":{"name":"web"}}}"#);
        engine.event(r#"{"Type":"container","Action":"health_status: changed","Actor":{"Attributes":{"name":"web"}}}"#);
        assert_eq!(&*changed().await, "web");
        let job = Job { check: Arc::clone(&followed), attempt: 1, deadline_unix_ms: None };
        assert_eq!(prober.run(job).await.health, health);
        delays.push(begun.elapsed());
    }
    delays.sort_unstable();
    println!("from the event to the observation: median {:?}, most {:?}", delays[25], delays[49]);
    assert!(delays[25] < Duration::from_millis(500), "{delays:?}");

    // The engine goes, which is told; it comes again, which is told too.
    drop(engine);
    changed().await;
    let again = Engine::start(&socket, inspected("docker-healthy.json"));
    changed().await;
    until("the events are heard again", || again.streams() == 1).await;
    again.event(r#"{"Action":"die"}"#);
    changed().await;
    // Followed no more.
    prober.follow(&[]);
}
