//! The life of a stack as the built binary follows it: created, updated twice, an update that is rolled back, and the deletion, while
//! the agent is killed at random and events are dropped, doubled and shuffled.
//!
//! The host tells two handles. `Again` has `Mode: Increment` and a condition for all hosts: each update deletes the signals and waits
//! anew. `Once` has `Mode: Full`: the last update waits there for a *new* host, which never comes; if this host stood in for it, the
//! update would succeed.
//!
//! It mostly waits, for some four minutes: its name puts it first in the order of tests, so that the others run beside it.
//!
//! `STORIES` sets the number of stories (default 1; the long run takes more), `SEED` the first seed; a failure prints its own.

use crate::host::{INSTANCE, KEY, SECRET};
use crate::private;
use ros_sandbox::{
    Change, Config, EventTarget, Mode, ResourceSpec, Sandbox, StackSpec, StatusChangeEvents, Switches, TimelineEvent, UpdateTimeMoves,
};
use ros_signal_agent::retry::Random;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};

/// For one chapter: what is looked at every 15 to 30 s may be missed by a few kills.
const PATIENCE: Duration = Duration::from_secs(300);

/// How long the agent lives at most between two kills.
const LIFE: Duration = Duration::from_secs(25);

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[tokio::test(flavor = "current_thread")]
async fn it_is_followed_whatever_is_killed_lost_doubled_and_shuffled() {
    let first = number("SEED", 1);
    let mut stories = tokio::task::JoinSet::new();
    for seed in first..first + number("STORIES", 1) {
        stories.spawn(story(seed));
    }
    while let Some(ended) = stories.join_next().await {
        ended.unwrap();
    }
}

/// A line that the hook wrote.
#[derive(Clone, Debug)]
struct Run {
    id: String,
    trigger: String,
    update_time: String,
    /// The agent that ran it.
    agent: String,
}

struct Story {
    seed: u64,
    stack: String,
    sandbox: Sandbox,
    dir: tempfile::TempDir,
    random: Random,
    agent: Child,
    kills: u32,
}

async fn story(seed: u64) {
    let mut random = Random::new(seed);
    let mut config = Config::new(KEY, ros_sandbox::Secret::new(SECRET));
    let moves = [UpdateTimeMoves::Start, UpdateTimeMoves::End, UpdateTimeMoves::Both, UpdateTimeMoves::Throughout];
    let mut draw = |below: u64| usize::try_from(random.draw() % below).unwrap();
    config.switches = Switches {
        update_time_moves: moves[draw(4)],
        deleted_stack_visible: draw(2) == 0,
        status_change_events: [StatusChangeEvents::Off, StatusChangeEvents::Notified][draw(2)],
        ..Switches::default()
    };
    let sandbox = Sandbox::start(config).await.unwrap();
    sandbox.set_metadata("meta-data/instance-id", INSTANCE).unwrap();
    sandbox.set_metadata("meta-data/region-id", "cn-hangzhou").unwrap();
    let dir = private::directory();
    let stack = format!("4a6c9851-3b0f-4f5f-b4ca-{seed:012}");
    let service = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    write_files(dir.path(), &sandbox, &stack, service.local_addr().unwrap());
    let target = EventTarget { drop: 0.4, duplicates: 2, shuffle: 6.0, seed, ..EventTarget::spool(dir.path().join("spool")) };
    sandbox.target("spool", target).unwrap();
    let mut timeline = sandbox.subscribe();
    let recorder = tokio::spawn(async move {
        let mut seen = Vec::new();
        while let Ok(event) = timeline.recv().await {
            seen.push(event);
        }
        seen
    });
    let spec = StackSpec { notification_urls: Some(vec!["eventbridge".to_owned()]), ..StackSpec::default() };
    sandbox.change(&stack, Change::create(with_resources(spec, 1))).unwrap();
    let agent = start(&dir.path().join("config.toml"));
    let mut story = Story { seed, stack, sandbox, dir, random, agent, kills: 0 };
    story.run().await;
    let Story { sandbox, mut agent, dir, kills, .. } = story;
    agent.kill().await.unwrap();
    let runs = runs(dir.path());
    sandbox.stop().await;
    let timeline = recorder.await.unwrap();
    assert!(kills >= 3, "seed {seed}: only {kills} kills");
    judge_hooks(seed, &runs);
    judge_signals(seed, &timeline);
}

/// The resources, with `Once` waiting for `hosts` hosts in all.
fn with_resources(spec: StackSpec, hosts: u32) -> StackSpec {
    resources(hosts).into_iter().fold(spec, |spec, (name, resource)| spec.resource(name, resource))
}

fn resources(hosts: u32) -> [(&'static str, ResourceSpec); 4] {
    [
        ("Again", ResourceSpec::Handle { mode: Mode::Increment, count: -1, too_early_for: 0.0, too_early: false }),
        ("AgainWait", ResourceSpec::condition("Again", 1, 900.0)),
        ("Once", ResourceSpec::handle()),
        ("OnceWait", ResourceSpec::condition("Once", hosts, if hosts == 1 { 900.0 } else { 45.0 })),
    ]
}

impl Story {
    async fn run(&mut self) {
        self.until("the creation is told", |story| story.is("CREATE_COMPLETE") && story.has_run("stack.created")).await;
        for version in ["2", "3"] {
            let change = Change::update().seconds(3.0).metadata("Again", serde_json::json!({"version": version}));
            self.sandbox.change(&self.stack, change).unwrap();
            let done = version.parse::<usize>().unwrap() - 1;
            self.until("the update is told", |story| {
                story.is("UPDATE_COMPLETE") && story.runs_of("stack.updated") == done && story.runs_of("metadata.changed") == done
            })
            .await;
        }
        let mut change = Change::update().rollback(true);
        for (name, resource) in resources(2) {
            change = change.resource(name, resource);
        }
        self.sandbox.change(&self.stack, change).unwrap();
        self.until("the rollback is told", |story| story.is("ROLLBACK_COMPLETE") && story.has_run("stack.update_rolled_back")).await;
        self.sandbox.change(&self.stack, Change::delete().seconds(2.0)).unwrap();
        self.until("the deletion is told", |story| story.has_run("stack.deleted")).await;
    }

    fn is(&self, status: &str) -> bool {
        self.sandbox.stack(&self.stack).is_some_and(|stack| stack.status.to_string() == status)
    }

    fn has_run(&self, trigger: &str) -> bool {
        self.runs_of(trigger) > 0
    }

    /// Occasions of this kind that the hook was run for.
    fn runs_of(&self, trigger: &str) -> usize {
        runs(self.dir.path()).into_iter().filter(|run| run.trigger == trigger).map(|run| run.id).collect::<BTreeSet<_>>().len()
    }

    /// Until it is so, with the agent killed at random meanwhile.
    async fn until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let end = tokio::time::Instant::now() + PATIENCE;
        let mut look = tokio::time::interval(Duration::from_millis(200));
        let mut dies = tokio::time::Instant::now() + self.random.up_to(LIFE);
        while !is_so(self) {
            look.tick().await;
            let now = tokio::time::Instant::now();
            assert!(now < end, "seed {}: {what}: never; {:#?}; {:#?}", self.seed, self.sandbox.stack(&self.stack), runs(self.dir.path()));
            if let Some(ended) = self.agent.try_wait().unwrap() {
                // The lock of the one before may live a moment longer in a child that was just being started.
                assert_eq!(ended.code(), Some(1), "seed {}: it ended by itself", self.seed);
                self.agent = start(&self.dir.path().join("config.toml"));
            }
            if now >= dies {
                self.agent.kill().await.unwrap();
                self.kills += 1;
                self.agent = start(&self.dir.path().join("config.toml"));
                dies = now + self.random.up_to(LIFE);
            }
        }
    }
}

/// Every occasion was told, under an id of its own, and twice only by two agents: the first was killed before it could record the end.
fn judge_hooks(seed: u64, runs: &[Run]) {
    let mut by_id: BTreeMap<&str, Vec<&Run>> = BTreeMap::new();
    for run in runs {
        by_id.entry(&run.id).or_default().push(run);
    }
    for (id, runs) in &by_id {
        let agents: BTreeSet<_> = runs.iter().map(|run| &run.agent).collect();
        assert_eq!(agents.len(), runs.len(), "seed {seed}: {id} was run twice by one agent: {runs:#?}");
        assert!(runs.iter().all(|run| run.trigger == runs[0].trigger && run.update_time == runs[0].update_time), "seed {seed}: {runs:#?}");
    }
    let occasions = |trigger: &str| by_id.values().filter(|runs| runs[0].trigger == trigger).count();
    let told = [("stack.created", 1), ("stack.updated", 2), ("stack.update_rolled_back", 1), ("stack.deleted", 1), ("metadata.changed", 2)];
    for (trigger, times) in told {
        assert_eq!(occasions(trigger), times, "seed {seed}: {trigger}: {runs:#?}");
    }
    assert_eq!(occasions("stack.create_rolled_back") + occasions("stack.failed") + occasions("stack.delete_failed"), 0, "seed {seed}");
}

/// Each round has one signal, within its operation; `Once` has one in all.
fn judge_signals(seed: u64, timeline: &[TimelineEvent]) {
    let mut operation = 0;
    let mut waits = false;
    let mut given: BTreeMap<(&str, u32), BTreeSet<&str>> = BTreeMap::new();
    for event in timeline {
        match (&event.resource, &event.signal) {
            (None, _) => {
                let status = event.status.to_string();
                operation += u32::from(matches!(status.as_str(), "CREATE_IN_PROGRESS" | "UPDATE_IN_PROGRESS") && !waits);
                waits = matches!(status.as_str(), "CREATE_IN_PROGRESS" | "UPDATE_IN_PROGRESS");
            }
            (Some(resource), Some(signal)) => {
                let ids = given.entry((resource, operation)).or_default();
                assert!(waits || ids.contains(&*signal.unique_id), "seed {seed}: sent after its round: {event:#?}");
                assert!(waits || signal.effective <= 1, "seed {seed}: {event:#?}");
                ids.insert(&signal.unique_id);
            }
            _ => {}
        }
    }
    let of = |resource: &str, operation: u32| given.get(&(resource, operation)).map_or(0, BTreeSet::len);
    for operation in 1..=3 {
        assert_eq!(of("Again", operation), 1, "seed {seed}: round {operation}: {given:#?}");
    }
    assert!(of("Again", 4) <= 1, "seed {seed}: {given:#?}");
    let once: BTreeSet<_> = given.iter().filter(|((resource, _), _)| *resource == "Once").flat_map(|(_, ids)| ids).collect();
    assert_eq!(once.len(), 1, "seed {seed}: {given:#?}");
    assert_eq!(of("Once", 1), 1, "seed {seed}: an old host stood in for a new one: {given:#?}");
}

fn runs(dir: &Path) -> Vec<Run> {
    let text = std::fs::read_to_string(dir.join("hooks.log")).unwrap_or_default();
    let line = |line: &str| {
        let mut words = line.split('|').map(str::to_owned);
        let mut next = || words.next().unwrap_or_default();
        Run { id: next(), trigger: next(), update_time: next(), agent: next() }
    };
    text.lines().map(line).collect()
}

fn write_files(dir: &Path, sandbox: &Sandbox, stack: &str, service: std::net::SocketAddr) {
    let path = |name: &str| -> PathBuf { dir.join(name) };
    std::fs::create_dir(path("spool")).unwrap();
    std::fs::set_permissions(path("spool"), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    // One write of one short line: lines of two runs do not mix.
    let script = "printf '%s|%s|%s|%s\\n' \"$ROS_SIGNAL_AGENT_HOOK_ID\" \"$ROS_SIGNAL_AGENT_TRIGGER\" \"$ROS_SIGNAL_AGENT_UPDATE_TIME\" \
                  \"$PPID\" >> \"$0\"";
    let mut text = format!(
        "[stack]\nstack_id = \"{stack}\"\n[ros]\nendpoint = \"{}\"\ntimeout = \"2s\"\n[instance]\nmetadata_url = \"{}\"\n\
         [credentials]\nprovider = \"environment\"\n[agent]\nstate_dir = \"{}\"\nsocket = \"{}\"\n",
        sandbox.ros_url(),
        sandbox.metadata_url(),
        path("state").display(),
        path("control.sock").display(),
    );
    let _ = write!(
        text,
        "[signal.again]\nresource = \"Again\"\ncondition = \"AgainWait\"\nresignal = \"on_update\"\nmin_healthy_time = \"200ms\"\n\
         [signal.once]\nresource = \"Once\"\ncondition = \"OnceWait\"\nmin_healthy_time = \"200ms\"\n\
         [check.port]\ntype = \"tcp\"\naddress = \"{service}\"\nstart_interval = \"100ms\"\n\
         [source.relay]\ntype = \"spool\"\ndirectory = \"{}\"\n\
         [hook.log]\non = [\"stack.created\", \"stack.updating\", \"stack.updated\", \"stack.rolling_back\", \"stack.update_rolled_back\", \
         \"stack.create_rolled_back\", \"stack.deleting\", \"stack.deleted\", \"stack.delete_failed\", \"stack.failed\", \"metadata.changed\"]\n\
         command = [\"/bin/sh\", \"-c\", {script:?}, {:?}]\n",
        path("spool").display(),
        path("hooks.log"),
    );
    private::write(&path("config.toml"), &text);
}

fn start(config: &Path) -> Child {
    Command::new(env!("CARGO_BIN_EXE_ros-signal-agent"))
        .args(["--config", config.to_str().unwrap(), "run"])
        .env("ALIBABA_CLOUD_ACCESS_KEY_ID", KEY)
        .env("ALIBABA_CLOUD_ACCESS_KEY_SECRET", SECRET)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}
