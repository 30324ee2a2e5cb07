//! From a change of a file to the state of its check in the running agent, polls an hour away.

use crate::host::{Host, Running};
use ros_signal_agent::check::Health;
use ros_signal_agent::plan::{Check, Present};
use ros_signal_agent::probe::{Job, Prober};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

/// A change of what the check at a path looks at, and the state that it comes to.
type Change = (&'static str, fn(&Path), &'static str);

/// One after the other, each changes the answer.
const OF_A_FILE: [Change; 6] = [
    ("written", |flag| std::fs::write(flag, "1").unwrap(), "critical -> passing"),
    ("overwritten", |flag| std::fs::write(flag, "0").unwrap(), "passing -> critical"),
    ("replaced", |flag| replace(flag, "1"), "critical -> passing"),
    ("deleted", |flag| std::fs::remove_file(flag).unwrap(), "passing -> critical"),
    ("made", |flag| replace(flag, "1"), "critical -> passing"),
    (
        "its directory deleted and made",
        |flag| {
            std::fs::remove_dir_all(flag.parent().unwrap()).unwrap();
            std::fs::create_dir(flag.parent().unwrap()).unwrap();
        },
        "passing -> critical",
    ),
];

/// The path is that of `result.json`, which cloud-init makes when it is done, and removes when it is made to begin anew.
const OF_CLOUD_INIT: [Change; 2] = [
    ("done", |result| replace(result, r#"{"v1": {"datasource": "DataSourceAliYun", "errors": []}}"#), "critical -> passing"),
    ("begun anew", |result| std::fs::remove_file(result).unwrap(), "passing -> critical"),
];

/// As editors and packages do: written beside it, and renamed over it.
fn replace(flag: &Path, text: &str) {
    let beside = flag.with_extension("new");
    std::fs::write(&beside, text).unwrap();
    std::fs::rename(beside, flag).unwrap();
}

async fn noted(agent: &mut Running, expected: &str) {
    let noted = tokio::time::timeout(Duration::from_secs(20), agent.notes(&format!("check flag: {expected}"))).await;
    assert!(noted.is_ok(), "no note of {expected}");
}

/// Makes the changes, some times over, to a host whose check is asked once an hour, and prints how long it took until each was noted.
async fn noticed(host: &Host, check: &str, path: &Path, changes: &[Change]) {
    let pace = "failure_threshold = 1\ninterval = \"1h\"\nstart_interval = \"1h\"";
    host.configure(&format!(
        "[signal.web]\nresource = \"WebReady\"\ndeadline = \"6h\"\nfail_fast = false\n[check.flag]\n{check}\n{pace}\n"
    ));
    let mut agent = host.start();
    noted(&mut agent, "initial -> critical").await;
    let mut delays = Vec::new();
    for (what, change, expected) in changes.iter().cycle().take(36) {
        // The pause in which a storm of changes becomes one run is no part of the delay of a single change.
        tokio::time::sleep(Duration::from_millis(60)).await;
        let changed = Instant::now();
        change(path);
        noted(&mut agent, expected).await;
        delays.push((changed.elapsed(), what));
    }
    agent.stop().await.unwrap();
    delays.sort();
    let (median, (longest, what)) = (delays[delays.len() / 2].0, delays[delays.len() - 1]);
    println!("from {} changes to the state of the check: median {median:?}, longest {longest:?} ({what})", delays.len());
}

#[tokio::test(flavor = "current_thread")]
async fn every_change_of_a_file_is_noticed_by_the_running_agent_between_its_polls() {
    let host = Host::new("").await;
    let flag = host.path("run/flag");
    std::fs::create_dir(flag.parent().unwrap()).unwrap();
    let check = format!("type = \"file\"\npath = \"{}\"\ncontents = \"^1\"", flag.display());
    noticed(&host, &check, &flag, &OF_A_FILE).await;
}

#[tokio::test(flavor = "current_thread")]
async fn the_end_of_cloud_init_is_noticed_by_the_running_agent_between_its_polls() {
    let host = Host::new("").await;
    let run = host.path("run");
    std::fs::create_dir(&run).unwrap();
    std::fs::write(run.join("status.json"), r#"{"v1": {"stage": "modules-final"}}"#).unwrap();
    let check = format!("type = \"cloud-init\"\nrun_dir = \"{}\"", run.display());
    noticed(&host, &check, &run.join("result.json"), &OF_CLOUD_INIT).await;
}

/// What is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn warnings(&self) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().filter(|line| line.contains("WARN") && line.contains("by polls only")).map(str::to_owned).collect()
    }
}

#[test]
fn where_the_system_lets_nothing_be_followed_that_is_said_once_and_polls_go_on_until_it_does() {
    if super::in_own_process("probe::follow::where_the_system_lets_nothing_be_followed_that_is_said_once_and_polls_go_on_until_it_does") {
        super::runtime().block_on(out_of_descriptors());
    }
}

async fn out_of_descriptors() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let place = crate::private::directory();
    let prober = Prober::new();
    let checks: Vec<_> = ["a", "b", "c"]
        .map(|name| {
            let check = super::check(super::file::file(&place.path().join(name), Present::default()), super::PATIENCE);
            Arc::new(Check { name: Arc::from(name), ..Check::clone(&check) })
        })
        .into();
    let look = |at: usize| prober.run(Job { check: Arc::clone(&checks[at]), attempt: 1, deadline_unix_ms: None });
    let limits = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let few = rustix::process::Rlimit { current: Some(64), ..limits };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, few).unwrap();
    let mut taken = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        taken.push(file);
    }
    prober.follow(&checks);
    super::until("it is said", || !log.warnings().is_empty()).await;
    assert!(look(0).await.message.contains("a does not exist"), "it is looked at as before");
    tokio::time::pause();
    taken.clear();
    // Tried again after a minute; the clock leaps whenever there is nothing to do.
    let told = tokio::time::timeout(Duration::from_secs(600), prober.changed()).await.unwrap();
    tokio::time::resume();
    assert!(["a", "b", "c"].contains(&&*told));
    let mut waiting: std::collections::BTreeSet<_> = ["a", "b", "c"].into();
    waiting.remove(&*told);
    while !waiting.is_empty() {
        let told = tokio::time::timeout(super::PATIENCE, prober.changed()).await.unwrap();
        waiting.remove(&*told);
    }
    std::fs::write(place.path().join("b"), "").unwrap();
    let followed = async { while &*prober.changed().await != "b" {} };
    tokio::time::timeout(super::PATIENCE, followed).await.expect("followed at last");
    assert_eq!(look(1).await.health, Health::Passing);
    assert_eq!(log.warnings().len(), 1, "said once: {:?}", log.warnings());
    assert!(log.warnings()[0].contains("raise fs.inotify.max_user_instances, or the agent's own limit of open files"));
}
