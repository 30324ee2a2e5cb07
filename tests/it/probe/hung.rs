//! A file system that really hangs: FUSE whose server is stopped, as when a file server dies.

use super::file::file;
use super::*;
use ros_signal_agent::check::{Health, Thresholds};
use ros_signal_agent::plan::{Certificate, CertificateSource, Present};
use rustix::process::{Pid, Signal, kill_process};
use std::process::{Child, Command, Stdio};
use tokio::time::Instant;

/// How many checks look at what hangs.
const HUNG: usize = 20;

/// The same for the whole agent: more than any kind has slots.
const MANY: usize = 100;

/// A directory seen through bindfs, until it is dropped.
struct Served {
    source: tempfile::TempDir,
    mount: tempfile::TempDir,
    server: Child,
}

impl Served {
    /// None: this needs root, /dev/fuse and bindfs, which was said.
    async fn mounted() -> Option<Self> {
        if !rustix::process::geteuid().is_root() || !Path::new("/dev/fuse").exists() {
            eprintln!("skipped: root and /dev/fuse are needed");
            return None;
        }
        let bindfs = crate::peer::program("bindfs")?;
        let (source, mount) = (crate::private::directory(), crate::private::directory());
        // Should this process be killed, the server is too.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(bindfs).args(["-f", "-o", "attr_timeout=0,entry_timeout=0,negative_timeout=0"]);
        let server = command.arg(source.path()).arg(mount.path()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut served = Self { source, mount, server };
        let mounted = tokio::time::timeout(PATIENCE, async {
            while !served.is_mounted() {
                if served.server.try_wait().unwrap().is_some() {
                    return false;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            true
        });
        if mounted.await.unwrap_or(false) {
            return Some(served);
        }
        assert!(!std::env::var("ROS_SIGNAL_AGENT_PEERS").is_ok_and(|word| word == "required"), "bindfs cannot mount");
        eprintln!("skipped: bindfs cannot mount here");
        None
    }

    fn is_mounted(&self) -> bool {
        read(Path::new("/proc/self/mountinfo")).contains(&format!(" {} ", self.mount.path().display()))
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.server), signal).unwrap();
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // Its end gives an error to everyone who hangs.
        let _ = self.server.kill();
        let _ = self.server.wait();
        let _ = Command::new("umount").arg("-l").arg(self.mount.path()).stderr(Stdio::null()).status();
    }
}

#[test]
fn the_running_agent_sees_every_change_on_a_healthy_disk_while_a_hundred_checks_of_a_dead_file_server_hang() {
    const NAME: &str =
        "probe::hung::the_running_agent_sees_every_change_on_a_healthy_disk_while_a_hundred_checks_of_a_dead_file_server_hang";
    if in_own_process(NAME) {
        runtime().block_on(dead_file_server_of_an_agent());
    }
}

async fn dead_file_server_of_an_agent() {
    let Some(served) = Served::mounted().await else { return };
    let host = crate::host::Host::new("").await;
    let flag = host.path("flag");
    std::fs::write(&flag, "1").unwrap();
    let check = |name: &str, path: &Path, more: &str| {
        format!("[check.{name}]\ntype = \"file\"\npath = \"{}\"\ncontents = \"1\"\n{more}\n", path.display())
    };
    let mut text = "[signal.web]\nresource = \"WebReady\"\nchecks = [\"healthy\"]\nfail_fast = false\n".to_owned();
    text.push_str(&check("healthy", &flag, "failure_threshold = 1\ninterval = \"1h\"\nstart_interval = \"1h\""));
    for number in 0..MANY {
        let name = format!("hung-{number}");
        std::fs::write(served.source.path().join(&name), "1").unwrap();
        let more = "interval = \"1s\"\ntimeout = \"30s\"\nfailure_threshold = 1";
        text.push_str(&check(&name, &served.mount.path().join(&name), more));
    }
    host.configure(&text);
    let mut agent = host.start();
    let mut passing = 0;
    while passing <= MANY {
        let note = tokio::time::timeout(PATIENCE, agent.notes.recv()).await.unwrap().unwrap();
        passing += usize::from(note.text.contains("initial -> passing"));
    }
    served.signal(Signal::STOP);
    until("all that can hang do", || looks() >= MANY).await;
    let mut longest = Duration::ZERO;
    for text in ["0", "1"].into_iter().cycle().take(20) {
        tokio::time::sleep(Duration::from_millis(30)).await;
        let changed = Instant::now();
        std::fs::write(&flag, text).unwrap();
        let expected = if text == "0" { "check healthy: passing -> critical" } else { "check healthy: critical -> passing" };
        loop {
            let note = tokio::time::timeout(PATIENCE, agent.notes.recv()).await.expect("noticed").unwrap();
            assert!(!note.text.contains("hung"), "their timeout is long over: {}", note.text);
            if note.text.contains(expected) {
                break;
            }
        }
        longest = longest.max(changed.elapsed());
    }
    println!("20 changes on a healthy disk beside {MANY} checks that hang: the slowest was noticed after {longest:?}");
    drop(served);
    agent.stop().await.unwrap();
}

fn named(name: &str, probe: Probe, timeout: Duration) -> Arc<Check> {
    Arc::new(Check { name: Arc::from(name), ..Check::clone(&check(probe, timeout)) })
}

async fn once(prober: &Prober, check: &Arc<Check>) -> Observation {
    prober.run(Job { check: Arc::clone(check), attempt: 1, deadline_unix_ms: None }).await
}

/// Threads of this process that look at files.
fn looks() -> usize {
    let names = std::fs::read_dir("/proc/self/task").unwrap().map(|task| read(&task.unwrap().path().join("comm")));
    names.filter(|name| name.trim() == "probe-apart").count()
}

#[test]
fn a_dead_file_server_stalls_no_check_of_a_healthy_disk_and_each_of_its_checks_takes_one_thread() {
    if in_own_process("probe::hung::a_dead_file_server_stalls_no_check_of_a_healthy_disk_and_each_of_its_checks_takes_one_thread") {
        runtime().block_on(dead_file_server());
    }
}

async fn dead_file_server() {
    let Some(served) = Served::mounted().await else { return };
    let prober = Prober::new();
    let timeout = Duration::from_secs(3);
    let hung: Vec<_> = (0..HUNG)
        .map(|number| {
            std::fs::write(served.source.path().join(format!("flag-{number}")), "1").unwrap();
            let path = served.mount.path().join(format!("flag-{number}"));
            named(&format!("hung-{number}"), file(&path, Present { contents: Some(pattern("1")), ..Present::default() }), timeout)
        })
        .collect();
    let healthy_place = crate::private::directory();
    let flag = healthy_place.path().join("flag");
    std::fs::write(&flag, "1").unwrap();
    let healthy = named("healthy", file(&flag, Present { contents: Some(pattern("1")), ..Present::default() }), PATIENCE);
    for check in &hung {
        let seen = once(&prober, check).await;
        assert_eq!(seen.health, Health::Passing, "{}", seen.message);
    }

    served.signal(Signal::STOP);
    let began = Instant::now();
    let dead = async {
        let mut runs = tokio::task::JoinSet::new();
        let prober = Arc::new(prober);
        for check in &hung {
            let (prober, check) = (Arc::clone(&prober), Arc::clone(check));
            runs.spawn(async move { once(&prober, &check).await });
        }
        let mut slowest = Duration::ZERO;
        for _ in 0..100 {
            let seen = once(&prober, &healthy).await;
            assert_eq!(seen.health, Health::Passing, "{}", seen.message);
            slowest = slowest.max(seen.took);
            assert!(runs.try_join_next().is_none(), "the hung ones are still waited for");
        }
        until("only those that hang have a thread", || looks() == HUNG).await;
        println!("100 runs on a healthy disk beside {HUNG} that hang: the slowest took {slowest:?}");
        for seen in runs.join_all().await {
            let place = served.mount.path().display();
            assert!(seen.message.starts_with(&format!("timed out after 3s looking at {place}/flag-")), "{}", seen.message);
            assert!(seen.message.ends_with("; usually a dead file server"), "{}", seen.message);
            assert_eq!(seen.health, Health::Critical);
        }
        Arc::into_inner(prober).unwrap()
    };
    let prober = dead.await;
    assert!(began.elapsed() >= timeout);

    for check in &hung {
        let seen = once(&prober, check).await;
        assert!(
            seen.message.starts_with("a look of an earlier run at ") && seen.message.contains(" still hangs after 3s"),
            "{}",
            seen.message
        );
        assert_eq!(seen.health, Health::Critical);
        assert!(seen.took < timeout, "at once");
    }
    assert_eq!(looks(), HUNG, "no second thread");

    // Following them hangs as well, and that of others goes on.
    let mut all = hung.clone();
    all.push(Arc::clone(&healthy));
    prober.follow(&all);
    until("each waits for its watch", || looks() >= 2 * HUNG).await;
    std::fs::write(&flag, "0").unwrap();
    let told = tokio::time::timeout(PATIENCE, prober.changed()).await.unwrap();
    assert_eq!(&*told, "healthy");
    until("one for the run and one for the watch are left", || looks() == 2 * HUNG).await;

    served.signal(Signal::CONT);
    for check in &hung {
        let again = async {
            while once(&prober, check).await.health != Health::Passing {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(PATIENCE, again).await.expect("it came back");
    }
    until("the threads are gone", || looks() == 0).await;
}

#[test]
fn programs_and_certificates_of_a_dead_file_server_hold_up_no_program_and_no_certificate_of_a_healthy_disk() {
    const NAME: &str =
        "probe::hung::programs_and_certificates_of_a_dead_file_server_hold_up_no_program_and_no_certificate_of_a_healthy_disk";
    if in_own_process(NAME) {
        runtime().block_on(dead_programs());
    }
}

async fn dead_programs() {
    let Some(mut hung) = crate::mounted::Hung::mount() else { return };
    let prober = Arc::new(Prober::new());
    let certificate = |path: &Path| {
        let source = CertificateSource::File(path.to_owned());
        Probe::Certificate(Box::new(Certificate {
            source,
            server_name: None,
            ca_file: None,
            verify: false,
            thresholds: Thresholds::default(),
        }))
    };
    let mut runs = tokio::task::JoinSet::new();
    for number in 0..HUNG {
        let path = hung.path().join(format!("{number}"));
        let probe = if number % 2 == 0 { certificate(&path) } else { Probe::Exec(exec(&[path.to_str().unwrap()])) };
        let (prober, check) = (Arc::clone(&prober), named(&format!("hung-{number}"), probe, PATIENCE));
        runs.spawn(async move { once(&prober, &check).await });
    }
    until("each that hangs has a thread", || looks() == HUNG).await;
    let program = named("program", Probe::Exec(exec(&["true"])), PATIENCE);
    assert_eq!(once(&prober, &program).await.health, Health::Passing);
    let missing = crate::private::directory();
    let seen = once(&prober, &named("certificate", certificate(&missing.path().join("leaf")), PATIENCE)).await;
    assert!(seen.message.ends_with("/leaf does not exist"), "{}", seen.message);
    assert!(runs.try_join_next().is_none(), "the hung ones are still waited for");
    hung.die();
    for seen in runs.join_all().await {
        assert_ne!(seen.health, Health::Passing, "{}", seen.message);
    }
}
