//! One case: a stack that waits, a host whose target has a fate, an agent, and what is done to it. All by the seed.

use super::agent::{Agent, Answered, KEY, Launch, SECRET};
use super::blow::{self, Blow};
use super::defect::Defect;
use super::family::{self, Family, Means, Trace};
use super::judge::{Fate, Seen, Wrong, judge};
use super::ledger::{self, Watcher};
use super::road::Road;
use super::room::{Purpose, Room};
use super::target::{Health, Target};
use super::weather;
use ros_sandbox::{AfterCompletion, Config, Sandbox, StackSpec, Switches};
use ros_signal_agent::retry::Random;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinSet;

const MS: Duration = Duration::from_millis(1);

/// Between two questions.
const PACE: Duration = Duration::from_millis(100);
/// Starts that may fail because the lock of the one before lives a moment longer in a child.
const STARTS: u32 = 50;

/// What came of a case.
pub(super) struct Outcome {
    /// The families of its faults, and whether each has had its effect.
    pub(super) struck: Vec<(Family, bool)>,
    pub(super) fate: Fate,
    pub(super) wrong: Wrong,
    pub(super) took: Duration,
    /// What was seen, and where it can be looked at, if something is wrong.
    pub(super) kept: Option<String>,
}

/// Where a case plays.
pub(super) struct Stage {
    pub(super) sandbox: Sandbox,
    pub(super) stack: String,
    pub(super) road: Road,
    pub(super) target: Target,
    pub(super) watcher: Watcher,
    pub(super) dir: tempfile::TempDir,
    pub(super) room: Option<Arc<Mutex<Room>>>,
    pub(super) random: Random,
    pub(super) means: Means,
    pub(super) marker: String,
    /// The id is random: where the ledger cannot be written, nothing may be sent.
    pub(super) random_id: bool,
    /// The agent cannot look at the stack, which refuses what comes too late.
    pub(super) blind: bool,
    /// Families of blows whose moment came.
    pub(super) struck: Vec<Family>,
    /// How the agent ended by itself.
    pub(super) gone: Option<String>,
}

impl Stage {
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The state directory, as it is seen from here.
    pub(super) fn state(&self) -> PathBuf {
        self.room.as_ref().map_or_else(|| self.path("state"), |room| room.lock().unwrap().state())
    }

    /// An agent with `trace` between it and the system.
    pub(super) fn start(&self, trace: &[String]) -> Agent {
        let door = self.room.as_ref().map(|room| room.lock().unwrap().door()).unwrap_or_default();
        let before = door.into_iter().chain(trace.iter().cloned()).collect();
        Agent::start(&Launch { before, directory: self.dir.path().to_owned() })
    }

    /// Ends it, as nothing else does: at once.
    pub(super) async fn kill(&mut self, agent: &mut Agent) {
        agent.kill().await;
        self.target.died();
    }

    /// For whatever happens while the case goes on.
    pub(super) fn hands(&self) -> weather::Hands {
        weather::Hands { sandbox: self.sandbox.clone(), road: self.road.hand(), room: self.room.clone(), hosts: self.path("hosts") }
    }

    pub(super) fn view(&self) -> ros_sandbox::StackView {
        self.sandbox.stack(&self.stack).unwrap()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.path("agent.log")).unwrap_or_default()
    }

    /// Whether a fault has had its effect, as far as that can be told: the moment came, or the agent's log speaks of it.
    fn was_struck_by(&self, family: Family) -> bool {
        match family.trace() {
            Trace::OfTheBlow => self.struck.contains(&family),
            Trace::InTheLog(words) => {
                let log = self.log();
                words.iter().any(|word| log.contains(word))
            }
            Trace::None => true,
        }
    }

    pub(super) fn ledger_says(&self) -> Option<String> {
        let document = ledger::read(&self.state().join("ledger.json"))?;
        ledger::round(&document)["settled"]["how"].as_str().map(str::to_owned)
    }
}

/// What is to happen in a case.
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) random: Random,
    pub(super) means: Means,
    pub(super) families: Vec<Family>,
    pub(super) blows: Vec<(Family, Blow)>,
    pub(super) fate: Fate,
    pub(super) patience: Patience,
    pub(super) defect: Option<Defect>,
}

/// How long is waited before it is called a hang.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// Until all is settled.
    settled: Duration,
    /// For an answer to `status`, whatever else goes on.
    answer: Duration,
    /// From SIGTERM to the end.
    end: Duration,
}

impl Patience {
    /// The machine may be busy with other things.
    pub(super) const LONG: Self = Self { settled: Duration::from_secs(150), answer: Duration::from_secs(15), end: Duration::from_secs(20) };
    /// For an agent that will not answer.
    pub(super) const SHORT: Self = Self { answer: Duration::from_secs(1), end: Duration::from_secs(1), ..Self::LONG };
}

impl Plan {
    pub(super) fn of(seed: u64, means: &Means) -> Self {
        let mut random = Random::new(seed);
        let families = family::draw(seed, &mut random, means);
        let blows = blow::of(&families, &mut random);
        let fate = fate(&mut random);
        Self { seed, random, means: means.clone(), families, blows, fate, patience: Patience::LONG, defect: None }
    }
}

pub(super) async fn run(plan: Plan) -> Outcome {
    let start = tokio::time::Instant::now();
    let (fate, patience) = (plan.fate, plan.patience);
    let mut stage = Box::pin(stage(&plan)).await;
    let (scripts, disk_heals) = weather::of(&plan.families, &mut stage);
    let (trace, calls_heal) = blow::trace_of(&plan.families, &mut stage);
    let heals = disk_heals && calls_heal;
    let mut weathers = JoinSet::new();
    let course = course(fate, &mut stage.random);
    weathers.spawn(stage.target.hand().go_through(course));
    for script in scripts {
        weathers.spawn(script.pass(stage.hands()));
    }
    let mut agent = stage.start(&trace);
    for (family, blow) in &plan.blows {
        Box::pin(blow::strike(*family, *blow, &mut stage, &mut agent)).await;
    }
    if let Some(defect) = plan.defect {
        Box::pin(defect.strike(&mut stage, &mut agent)).await;
    }
    let Settled { said, mute, cannot_know } = settle(&mut stage, &mut agent, weathers, patience).await;
    if heals && said.is_some() && !cannot_know {
        ledger_settles(&stage, &mut agent, patience).await;
    }
    let exit = agent.terminate(patience.end).await;
    let view = stage.view();
    let seen = Seen {
        fate,
        min_healthy: min_healthy(fate),
        signals: view.resources["WebReady"].signals.iter().map(|signal| format!("{:?}", signal.status).to_uppercase()).collect(),
        effective: view.effective_signals,
        stack: view.status.to_string(),
        sights: stage.target.sights(),
        success: stage.road.first_success(),
        said,
        recorded: stage.ledger_says(),
        must_be_recorded: heals,
        cannot_know,
        mute,
        gone: stage.gone.take(),
        exit,
        left: super::agent::left_behind(&stage.marker),
    };
    if exit.is_none() {
        agent.kill().await;
    }
    let wrong = judge(&seen);
    let kept = ((!wrong.nothing() || std::env::var("KEEP").is_ok()) && plan.defect.is_none()).then(|| keep(&plan, &mut stage, &seen));
    stage.sandbox.clone().stop().await;
    let struck = plan.families.iter().map(|family| (*family, stage.was_struck_by(*family))).collect();
    Outcome { struck, fate, wrong, took: start.elapsed(), kept }
}

fn fate(random: &mut Random) -> Fate {
    match random.draw() % 10 {
        0..=5 => Fate::Comes,
        6 | 7 => Fate::Flaps,
        _ => Fate::Never,
    }
}

fn min_healthy(fate: Fate) -> Duration {
    match fate {
        Fate::Comes | Fate::Never => 300 * MS,
        Fate::Flaps => 1000 * MS,
    }
}

/// How the target fares, from the start of the case.
fn course(fate: Fate, random: &mut Random) -> Vec<(Duration, Health)> {
    match fate {
        Fate::Comes => vec![(random.up_to(1000 * MS), Health::Well)],
        Fate::Flaps => {
            let (first, second) = (random.up_to(500 * MS), random.up_to(min_healthy(fate) / 2));
            vec![(first, Health::Well), (100 * MS + second, unwell(random)), (1500 * MS, Health::Well)]
        }
        Fate::Never => Vec::new(),
    }
}

fn unwell(random: &mut Random) -> Health {
    match random.draw() % 3 {
        0 => Health::Sorry,
        1 => Health::Rude,
        _ => Health::Hung,
    }
}

async fn stage(plan: &Plan) -> Stage {
    let (seed, mut random) = (plan.seed, plan.random.clone());
    let mut config = Config::new(KEY, ros_sandbox::Secret::new(SECRET));
    let mut coin = || random.draw().is_multiple_of(2);
    config.switches = Switches {
        warning_counts: coin(),
        tokens_replay_errors: coin(),
        data_readable_in_progress: coin(),
        after_completion: if coin() { AfterCompletion::Store } else { AfterCompletion::Refuse },
        condition_accepts_signals: coin(),
        deleted_stack_visible: coin(),
        evaluation_interval_ms: if coin() { 0 } else { 300 },
        permit_get_stack: coin(),
        permit_get_template: coin(),
        require_metadata_token: coin(),
        ..Switches::default()
    };
    if plan.defect == Some(Defect::Forgets) {
        // Whoever may look, or is refused, is saved by it.
        config.switches = Switches { permit_get_stack: false, ..Switches::default() };
    }
    let sandbox = Sandbox::start(config).await.unwrap();
    let stack = format!("4a6c9851-3b0f-4f5f-b4ca-{seed:012}");
    sandbox.put_stack(&stack, StackSpec::waiting_for("WebReady", 1, 900.0)).unwrap();
    sandbox.set_metadata("meta-data/instance-id", "i-bp1a2b3c4d5e6f7g8h9i").unwrap();
    let road = Road::to(&sandbox.ros_url()).await;
    let target = Target::start(unwell(&mut random)).await;
    let dir = tempfile::Builder::new().prefix("campaign-").permissions(Permissions::from_mode(0o755)).tempdir().unwrap();
    let state = dir.path().join("state");
    std::fs::create_dir(&state).unwrap();
    std::fs::set_permissions(&state, Permissions::from_mode(0o700)).unwrap();
    let purpose = plan.families.iter().find_map(|family| family.purpose());
    let room = purpose.map(|purpose| furnish(dir.path(), purpose, &mut random).unwrap());
    let watcher = Watcher::of(&room.as_ref().map_or(state, Room::state));
    let stage = Stage {
        marker: format!("{}.{seed:06}", 987_000 + std::process::id() % 1000),
        random_id: random.draw().is_multiple_of(2) || plan.defect == Some(Defect::Forgets),
        sandbox,
        stack,
        road,
        target,
        watcher,
        dir,
        room: room.map(|room| Arc::new(Mutex::new(room))),
        random,
        means: plan.means.clone(),
        blind: false,
        struck: Vec::new(),
        gone: None,
    };
    configure(stage, plan)
}

/// The room for a case in `dir`, or why it cannot be had here.
pub(super) fn furnish(dir: &Path, purpose: Purpose, random: &mut Random) -> Result<Room, String> {
    match purpose {
        Purpose::Disk => {}
        Purpose::Names => {
            std::fs::write(dir.join("hosts"), "").unwrap();
            // Nobody answers there.
            std::fs::write(dir.join("resolv.conf"), "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n").unwrap();
        }
        Purpose::Boots => boot(dir, random),
    }
    Room::enter(dir, purpose, 40)
}

/// A boot id that the room shows in place of the kernel's.
pub(super) fn boot(dir: &Path, random: &mut Random) {
    let id = uuid::Uuid::from_u64_pair(random.draw(), random.draw());
    std::fs::write(dir.join("boot_id"), format!("{id}\n")).unwrap();
}

fn configure(mut stage: Stage, plan: &Plan) -> Stage {
    let (families, fate) = (&plan.families, plan.fate);
    let id = if stage.random_id { "random" } else { "derived" };
    let role = families.contains(&Family::Credentials) || stage.random.draw().is_multiple_of(4);
    let host = if families.contains(&Family::Names) { "localhost" } else { "127.0.0.1" };
    let signature = if stage.random.draw().is_multiple_of(4) { "hmac-sha1" } else { "acs3-hmac-sha256" };
    let poll = !stage.random.draw().is_multiple_of(4);
    let switches = stage.sandbox.switches();
    stage.blind = switches.after_completion == AfterCompletion::Refuse && !(poll && switches.permit_get_stack);
    let deadline = if fate == Fate::Never { "deadline = \"3s\"\nmargin = \"1s\"\n" } else { "" };
    // A child is in flight nearly always; in a user namespace, files have owners that exec checks do not trust.
    let child = stage.room.is_none() || rustix::process::getuid().is_root();
    let exec = format!("[check.child]\ntype = \"exec\"\ncommand = [\"/bin/sleep\", \"{}\"]\nlevel = \"wanted\"\n", stage.marker);
    let exec = format!("{exec}timeout = \"2s\"\nkill_grace = \"200ms\"\n");
    let page = format!(
        "[check.page]\ntype = \"http\"\nurl = \"http://127.0.0.1:{}/healthz\"\nstart_interval = \"100ms\"\ntimeout = \"1s\"\n",
        stage.target.port
    );
    // An agent that does not look at the page believes in it as long as the port is open.
    let page = if plan.defect == Some(Defect::LooksAway) { String::new() } else { page };
    let text = format!(
        "[stack]\nstack_id = \"{}\"\n[ros]\nendpoint = \"http://{host}:{}\"\ntimeout = \"1s\"\nsignature = \"{signature}\"\npoll = {poll}\n\
         [instance]\nmetadata_url = \"{}\"\n[credentials]\nprovider = \"{}\"\n\
         [agent]\nlog = \"debug\"\nstate_dir = \"{}\"\nsocket = \"{}\"\n\
         [signal.web]\nresource = \"WebReady\"\nmin_healthy_time = \"{}ms\"\nunique_id = \"{id}\"\ndegraded_grace = \"0s\"\n{deadline}\
         {page}[check.port]\ntype = \"tcp\"\naddress = \"127.0.0.1:{}\"\nstart_interval = \"300ms\"\n{}",
        stage.stack,
        stage.road.port,
        stage.sandbox.metadata_url(),
        if role { "ecs-ram-role" } else { "environment" },
        stage.path("state").display(),
        stage.path("control.sock").display(),
        min_healthy(fate).as_millis(),
        stage.target.port,
        if child { &exec } else { "" },
    );
    std::fs::write(stage.path("config.toml"), text).unwrap();
    std::fs::set_permissions(stage.path("config.toml"), Permissions::from_mode(0o600)).unwrap();
    stage
}

/// What the agent says in the end.
#[derive(Default)]
struct Settled {
    said: Option<String>,
    /// It was asked and did not answer in time.
    mute: bool,
    /// It signals still, is refused, and may not look why.
    cannot_know: bool,
}

/// Until the agent says that its signal has ended, and all weathers are over. An agent that could not have the lock yet is started again.
async fn settle(stage: &mut Stage, agent: &mut Agent, mut weathers: JoinSet<()>, patience: Patience) -> Settled {
    let mut settled = Settled::default();
    let mut starts = 0;
    let watch = async {
        loop {
            while weathers.try_join_next().is_some() {}
            if let Some(code) = agent.ended() {
                starts += 1;
                stage.target.died();
                if code != Some(1) || starts > STARTS {
                    stage.gone = Some(format!("exit code {code:?}"));
                    return;
                }
                *agent = stage.start(&[]);
            }
            match agent.status(patience.answer).await {
                Answered::Status(status) => {
                    let signal = &status["signals"][0];
                    let state = signal["state"].as_str();
                    settled.said = state.map(str::to_owned);
                    let refused = signal["last_error"].as_str().is_some_and(|error| error.contains("NotSupported"));
                    settled.cannot_know = stage.blind && state == Some("sending") && refused;
                    let over = settled.cannot_know || state.is_some_and(|state| !matches!(state, "pending" | "sending"));
                    if over && weathers.is_empty() && stage.view().status.to_string() != "CREATE_IN_PROGRESS" {
                        return;
                    }
                }
                Answered::NotThere => {}
                Answered::TooLate => {
                    settled.mute = true;
                    return;
                }
            }
            tokio::time::sleep(PACE).await;
        }
    };
    let _ = tokio::time::timeout(patience.settled, watch).await;
    settled
}

/// Until the ledger says it too: what was decided while it could not be written is written down later.
async fn ledger_settles(stage: &Stage, agent: &mut Agent, patience: Patience) {
    let watch = async {
        while stage.ledger_says().is_none() && agent.ended().is_none() {
            tokio::time::sleep(PACE).await;
        }
    };
    let _ = tokio::time::timeout(patience.settled, watch).await;
}

/// What helps whoever repeats it.
fn keep(plan: &Plan, stage: &mut Stage, seen: &Seen) -> String {
    let requests: Vec<String> = stage
        .sandbox
        .requests()
        .iter()
        .map(|seen| format!("{} {} {:?} {:?} {:?} {:?}", seen.at, seen.path, seen.action, seen.status, seen.code, seen.fault))
        .collect();
    let story = format!("{:?} {:?}\n{:#?}\n{seen:#?}\n{requests:#?}\n", plan.families, plan.blows, stage.view());
    std::fs::write(stage.path("story.txt"), story).unwrap();
    stage.dir.disable_cleanup(true);
    let log = stage.log();
    let lines: Vec<&str> = log.lines().collect();
    let tail = lines[lines.len().saturating_sub(25)..].join("\n");
    let place = stage.dir.path().display();
    format!("{:?} {:?}\nstory.txt and agent.log are kept in {place}; the end of the log:\n{tail}", plan.families, plan.blows)
}
