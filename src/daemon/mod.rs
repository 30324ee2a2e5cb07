//! The driver: performs the effects of the core and feeds it inputs; owns tasks, reload and shutdown.
//!
//! ```text
//! loop { let input = select!{..}; for effect in core.step(now, input) { perform(effect) } }
//! ```
//!
//! One task owns the core. Everything that may take time runs in tasks whose number the core bounds (runs of checks, one look or one
//! attempt for each signal) and whose results come back as inputs. Writing the ledger is another thread's work.

mod hooks;
mod outside;
mod reload;
mod report;
mod sources;

use crate::agent::status::Goal;
use crate::agent::{Core, Effect, Input, Note, NoteLevel, Turn};
use crate::alarm::Alarm;
use crate::check::Observation;
use crate::clock::{BootMs, Moment};
use crate::config::{self, Diagnostic, Environment, Layout, Owners};
use crate::control::{self, Request};
use crate::events::Feed;
use crate::hooks::Call;
use crate::interrupt::{Interrupt, Interrupts};
use crate::ledger::LedgerHandle;
use crate::metrics::Lateness;
use crate::plan::{Plan, Transport};
use crate::probe::{Job, Prober};
use crate::report::{Printing, Reporter};
use crate::signal::LedgerDocument;
use crate::systemd::Notifier;
use outside::{Fingerprint, Outside};
use sources::{Heard, Sources};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, JoinSet};

/// While nothing is configured, how often it is looked whether something has been.
const IDLE_LOOK: Duration = Duration::from_secs(2);
/// Runs of checks that have ended and are taken in one turn, so that much else is looked at once for all of them.
const TOGETHER: usize = 64;
/// Longest wait for what is in flight when stopping.
const STOP_PATIENCE_MS: BootMs = 15_000;
/// How often the time that is left is shown anew, where something happens at all.
const SHOW_AGAIN_MS: BootMs = 1_000;
/// A suspension of the host shorter than this is none.
const SUSPENDED_MS: i64 = 1_000;
/// Longest wait for the last write of the ledger.
const LEDGER_PATIENCE: Duration = Duration::from_secs(5);

/// Where the plan comes from.
#[derive(Debug)]
pub enum Source {
    /// Configuration files, read again on reload.
    Files(Layout),
    /// A plan made by the caller; reload is refused.
    Plan(Box<Plan>),
}

/// What [`run`] needs. Without `Debug`, because the environment holds keys.
pub struct Options {
    /// Where the plan comes from.
    pub source: Source,
    /// The process's environment, for credentials.
    pub environment: HashMap<String, String>,
    /// Whether to take over SIGTERM, SIGINT and SIGHUP and to talk to systemd.
    pub own_process: bool,
    /// What the core notes, as it happens; notes that do not fit are dropped.
    pub notes: Option<mpsc::Sender<Note>>,
    /// Stops the agent as SIGTERM does.
    pub stop: Option<oneshot::Receiver<()>>,
    /// To change the log filter when a reload changes `agent.log`.
    pub log: Option<crate::logging::LogHandle>,
}

/// Why the agent could not run.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The configuration is invalid; exit code 78.
    #[error("the configuration is invalid")]
    Configuration(Vec<Diagnostic>),
    /// The ledger cannot be had, such as when another agent holds it.
    #[error(transparent)]
    Ledger(#[from] crate::ledger::Error),
    /// The control socket cannot be had.
    #[error(transparent)]
    Control(#[from] control::BindError),
    /// A part cannot be set up.
    #[error("{0}")]
    Setup(String),
}

/// Runs the agent until it is told to stop. Returns when everything is put away.
///
/// # Errors
/// See [`Failure`]; once the agent runs, nothing makes it fail.
pub async fn run(options: Options) -> Result<(), Failure> {
    let (mut daemon, unwritable) = Daemon::start(options)?;
    if daemon.interrupts.is_some() {
        daemon.prober.sweep_orphans().await;
    }
    daemon.step(Input::Tick);
    if let Some(error) = unwritable {
        daemon.step(Input::NotRecorded { error });
    }
    daemon.notifier.ready();
    while !daemon.is_done() {
        daemon.settle_turn();
        let event = daemon.next().await;
        daemon.take(event);
    }
    daemon.put_away().await;
    Ok(())
}

/// What the loop waits for.
enum Event {
    Inputs(Vec<Input>),
    Request(Request),
    Interrupt(Interrupt),
    Alarm,
    Watchdog,
    LookForConfiguration,
}

struct Daemon {
    source: Source,
    core: Core,
    outside: Outside,
    prober: Arc<Prober>,
    reporter: Reporter,
    sources: Sources,
    feed: Feed,
    /// How long the host had been suspended in all, at the last turn.
    asleep_ms: i64,
    ledger: LedgerHandle,
    notifier: Notifier,
    interrupts: Option<Interrupts>,
    stop: Option<oneshot::Receiver<()>>,
    notes: Option<mpsc::Sender<Note>>,
    log: Option<crate::logging::LogHandle>,
    requests: mpsc::Receiver<Request>,
    control: tokio::task::JoinHandle<()>,
    alarm: Alarm,
    watchdog: Option<tokio::time::Interval>,
    idle: tokio::time::Interval,
    seen: Option<Fingerprint>,
    lateness: Lateness,
    probes: JoinSet<(u64, Observation)>,
    runs: HashMap<u64, AbortHandle>,
    calls: JoinSet<Vec<Input>>,
    replies: HashMap<u64, oneshot::Sender<Result<crate::agent::Done, crate::agent::Denied>>>,
    next_reply: u64,
    waiters: Vec<(Goal, Option<String>, oneshot::Sender<()>)>,
    /// Revision of the core that systemd shows, and when it was looked at.
    shown: (Option<u64>, BootMs),
    stopping_since: Option<BootMs>,
    at_once: bool,
}

impl Daemon {
    /// The daemon, and why its ledger cannot be written, if it cannot.
    fn start(options: Options) -> Result<(Self, Option<String>), Failure> {
        let setup = |what: &str, error: &dyn std::fmt::Display| Failure::Setup(format!("{what}: {error}"));
        let mut seen = None;
        let plan = match &options.source {
            Source::Plan(plan) => (**plan).clone(),
            Source::Files(layout) => {
                seen = Some(Fingerprint::of(layout));
                let loaded = config::load(layout, &Owners::system(), &Environment::of_process()).map_err(Failure::Configuration)?;
                for warning in &loaded.warnings {
                    tracing::warn!(target: "config", "{warning}");
                }
                loaded.plan
            }
        };
        let plan = Arc::new(plan);
        let outside = Outside::new(&plan, &options.environment).map_err(Failure::Setup)?;
        let boot_id = crate::clock::boot_id().map_err(|error| setup("/proc/sys/kernel/random/boot_id", &error))?;
        let (ledger, opened) = LedgerHandle::open(&plan.agent.state_dir)?;
        if let Some(aside) = &opened.set_aside {
            tracing::error!(target: "ledger", "the ledger could not be used and is set aside as {}: {}", aside.path.display(), aside.why);
        }
        let socket = control::bind(&plan.agent.socket)?;
        let (sender, requests) = mpsc::channel(control::QUEUE);
        if options.own_process {
            crate::events::http::take_over();
        }
        let notifier = if options.own_process { Notifier::from_env() } else { Notifier::silent() };
        let watchdog = notifier.watchdog_interval().map(ticking);
        let interrupts = if options.own_process { Some(Interrupts::new().map_err(|error| setup("signals", &error))?) } else { None };
        let prober = Arc::new(Prober::new());
        let printing = if options.own_process { Printing::StandardOutput } else { Printing::No };
        let reporter = Reporter::new(Arc::clone(&prober), &options.environment, &plan.agent.state_dir, printing);
        let mut sources = Sources::new(outside.surroundings());
        sources.fit(&plan);
        let document = opened.document.unwrap_or_else(LedgerDocument::empty);
        tracing::info!(version = env!("CARGO_PKG_VERSION"), checks = plan.checks.len(), signals = plan.signals.len(), "starting");
        let daemon = Self {
            core: Core::new(plan, boot_id, document, turn()),
            source: options.source,
            outside,
            prober,
            reporter,
            sources,
            feed: Feed::default(),
            asleep_ms: crate::clock::asleep_ms(),
            ledger,
            notifier,
            interrupts,
            stop: options.stop,
            notes: options.notes,
            log: options.log,
            requests,
            control: tokio::spawn(control::serve(socket, sender)),
            alarm: Alarm::new().map_err(|error| setup("timer", &error))?,
            watchdog,
            idle: ticking(IDLE_LOOK),
            seen,
            lateness: Lateness::default(),
            probes: JoinSet::new(),
            runs: HashMap::new(),
            calls: JoinSet::new(),
            replies: HashMap::new(),
            next_reply: 0,
            waiters: Vec::new(),
            shown: (None, 0),
            stopping_since: None,
            at_once: false,
        };
        daemon.follow();
        Ok((daemon, opened.unwritable))
    }

    /// Stopped, and nothing is in flight that is worth waiting for.
    fn is_done(&self) -> bool {
        let Some(since) = self.stopping_since else { return false };
        self.at_once || !self.core.is_busy() || Moment::now().boot_ms >= since.saturating_add(STOP_PATIENCE_MS)
    }

    fn is_idle(&self) -> bool {
        self.core.plan().signals.is_empty() && matches!(self.source, Source::Files(_)) && self.stopping_since.is_none()
    }

    async fn next(&mut self) -> Event {
        let idle = self.is_idle();
        tokio::select! {
            interrupt = interrupted(&mut self.interrupts) => Event::Interrupt(interrupt),
            () = stopped(&mut self.stop) => Event::Interrupt(Interrupt::Terminate),
            Some(first) = self.probes.join_next() => {
                let others = std::iter::from_fn(|| self.probes.try_join_next());
                // Others were cancelled by us; a panic aborts the process.
                let ended: Vec<_> = std::iter::once(first).chain(others).take(TOGETHER).flatten().collect();
                for (run, _) in &ended {
                    self.runs.remove(run);
                }
                Event::Inputs(ended.into_iter().map(|(run, observation)| Input::Observed { run, observation }).collect())
            }
            check = self.prober.changed() => Event::Inputs(vec![Input::Changed { check }]),
            Some(ended) = self.calls.join_next() => Event::Inputs(ended.unwrap_or_default()),
            Some(written) = self.ledger.written() => Event::Inputs(vec![match written.result {
                Ok(()) => Input::Recorded { generation: written.generation },
                Err(error) => Input::NotRecorded { error: error.to_string() },
            }]),
            Some(heard) = self.sources.next() => match heard {
                Heard::Event(delivered) => Event::Inputs(vec![self.sources.accept(delivered)]),
                Heard::Refusal(line) => {
                    self.feed.tell(line);
                    Event::Inputs(Vec::new())
                }
            },
            Some(request) = self.requests.recv() => Event::Request(request),
            () = self.alarm.rings() => Event::Alarm,
            () = fed(&mut self.watchdog) => Event::Watchdog,
            _ = self.idle.tick(), if idle => Event::LookForConfiguration,
        }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Inputs(inputs) => {
                for input in inputs {
                    self.step(input);
                }
            }
            Event::Alarm => self.step(Input::Tick),
            Event::Watchdog => self.notifier.watchdog(),
            Event::Request(request) => self.serve(request),
            Event::Interrupt(Interrupt::Terminate) => self.terminate(),
            Event::Interrupt(Interrupt::Reload) => {
                if let Err(errors) = self.reload() {
                    tracing::error!(target: "config", "reload refused, the old configuration goes on running:\n{errors}");
                }
            }
            Event::LookForConfiguration => self.look_for_configuration(),
        }
    }

    fn step(&mut self, input: Input) {
        let asleep_ms = crate::clock::asleep_ms();
        if asleep_ms.saturating_sub(std::mem::replace(&mut self.asleep_ms, asleep_ms)) > SUSPENDED_MS {
            self.step(Input::Resumed);
        }
        for effect in self.core.step(turn(), input) {
            self.perform(effect);
        }
    }

    /// After every turn: who waited for this, what systemd shows, when to wake up.
    fn settle_turn(&mut self) {
        if self.sources.own_something() {
            self.sources.learn(&self.core.stack_views());
        }
        let core = &self.core;
        let mut waiters = std::mem::take(&mut self.waiters);
        waiters.retain(|(_, _, reply)| !reply.is_closed());
        for (goal, signal, reply) in waiters {
            if core.is_reached(goal, signal.as_deref()) {
                let _ = reply.send(());
            } else {
                self.waiters.push((goal, signal, reply));
            }
        }
        let stop_due = self.stopping_since.map(|since| since.saturating_add(STOP_PATIENCE_MS));
        let healthy_due = if self.waiters.is_empty() { None } else { core.healthy_wake() };
        let wake = core.wake();
        let status_due = self.show();
        let wake = wake.into_iter().chain(status_due).chain(stop_due).chain(healthy_due).min();
        if let Err(error) = self.alarm.set(wake) {
            tracing::error!(%error, "the timer could not be set");
        }
    }

    /// Tells systemd what there is to say. Made anew when it is another, or when a second has passed, not at every turn.
    fn show(&mut self) -> Option<BootMs> {
        if !self.notifier.is_active() {
            return None;
        }
        let (now, revision) = (Moment::now(), self.core.revision());
        let (shown, at) = self.shown;
        if shown == Some(revision) && now.boot_ms < at.saturating_add(SHOW_AGAIN_MS) {
            return self.notifier.flush(now);
        }
        self.shown = (Some(revision), now.boot_ms);
        self.notifier.status(&self.core.summary(), now)
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Identify => {
                let (places, identify) = (self.outside.read_handles(), self.outside.identify());
                self.calls.spawn(async move {
                    let (places, identity) = tokio::join!(places, identify);
                    vec![Input::Handles(places), Input::Identified(identity)]
                });
            }
            Effect::Probe { run, check, due, attempt, deadline_ms } => {
                let (prober, lateness) = (Arc::clone(&self.prober), self.lateness.clone());
                let job = Job { check, attempt, deadline_unix_ms: deadline_ms };
                let handle = self.probes.spawn(async move {
                    lateness.observe(job.check.probe.kind(), Moment::now().boot_ms.saturating_sub(due));
                    (run, prober.run(job).await)
                });
                self.runs.insert(run, handle);
            }
            Effect::Cancel { run } => {
                if let Some(handle) = self.runs.remove(&run) {
                    handle.abort();
                }
            }
            Effect::Record(document) => self.ledger.record(*document),
            Effect::SetAside { owner } => {
                self.ledger.archive(&owner);
                // Credentials and what was learned of ROS belonged to the other machine.
                if let Err(error) = self.outside.renew(self.core.plan()) {
                    tracing::error!(target: "agent", "the clients of the instance before go on being used: {error}");
                }
                self.sources.renew(self.outside.surroundings());
            }
            Effect::Look { look, target, condition, since } => {
                let client = self.outside.client();
                self.calls.spawn(async move {
                    let (result, shown) = client.look_asking(&target, condition.as_deref(), since).await;
                    vec![Input::Looked { look, result, shown }]
                });
            }
            Effect::Learn { learn, target, condition } => {
                let client = self.outside.client();
                self.calls.spawn(async move { vec![Input::Learned { learn, lesson: client.learn(&target, condition.as_deref()).await }] });
            }
            Effect::Confirm { confirm, target, condition, unique_id, said } => {
                let client = self.outside.client();
                let looking = async move {
                    let sighting = client.confirm(&target, condition.as_deref(), &unique_id, said).await;
                    vec![Input::Sighted { confirm, sighting }]
                };
                self.calls.spawn(looking);
            }
            Effect::LookAtHook { look, target, hook } => {
                let looking = self.outside.look_at_hook(self.known(), target, hook);
                self.calls.spawn(async move { vec![Input::Looked { look, result: looking.await, shown: None }] });
            }
            Effect::Beat { beat, target, hook, covers } => {
                let beating = self.outside.beat(self.known(), target, hook, covers);
                self.calls.spawn(async move { vec![Input::Beaten { beat, result: beating.await }] });
            }
            Effect::Send { send, mut request } => {
                if request.transport != Transport::Api {
                    // Words of checks may be in it, and it leaves the host.
                    request.reason = self.reporter.hide(&request.reason, self.core.plan());
                }
                let sending = self.outside.send(self.known(), send, request);
                self.calls.spawn(sending);
            }
            Effect::Report { report, draft } => self.make_report(report, *draft),
            Effect::Watch { watch, target, unless, resources } => {
                let client = self.outside.client();
                self.calls.spawn(async move {
                    let sight = client.watch(&target, unless.as_ref(), &resources).await;
                    vec![Input::Watched { watch, sight }]
                });
            }
            Effect::Taken { arrival, taken } => self.sources.taken(arrival, taken),
            Effect::RunHook { run, hook, id, occasion, attempt } => {
                let call = Call { hook: Arc::clone(&hook.name), id, attempt, test: false, occasion: *occasion };
                let running = hooks::perform(Arc::clone(&self.prober), hook, call, self.core.plan().agent.state_dir.clone());
                self.calls.spawn(async move { vec![Input::HookEnded { run, end: running.await }] });
            }
            Effect::Line(line) => self.feed.tell(*line),
            Effect::Note(note) => self.note(note),
            Effect::Reply { id, reply } => {
                if let Some(waiting) = self.replies.remove(&id) {
                    // A client that has gone does not take its command back.
                    let _ = waiting.send(reply);
                }
            }
        }
    }

    /// This instance, as the core knows it.
    fn known(&self) -> Option<String> {
        self.core.instance_id().map(str::to_owned)
    }

    fn note(&self, note: Note) {
        log(&note);
        if let Some(notes) = &self.notes {
            let _ = notes.try_send(note);
        }
    }

    /// What the core knows, and of the clock what the clients know.
    fn status(&self) -> crate::agent::status::Status {
        crate::agent::status::Status { clock: Some(self.outside.clock()), sources: self.sources.views(), ..self.core.status() }
    }

    fn serve(&mut self, request: Request) {
        // A reply that cannot be sent belongs to a client that has gone.
        match request {
            Request::Status(reply) => {
                self.step(Input::Tick);
                let _ = reply.send(Box::new(self.status()));
            }
            Request::History(reply) => {
                let _ = reply.send(self.core.history().to_vec());
            }
            Request::Report { signal, reply } => self.show_report(signal, reply),
            Request::Events(reply) => {
                let _ = reply.send(self.feed.kept());
            }
            Request::Follow { is_root, reply } => {
                let _ = reply.send(self.feed.follow(is_root));
            }
            Request::Metrics(reply) => {
                self.step(Input::Tick);
                let _ = reply.send(crate::metrics::render(&self.status(), &self.lateness));
            }
            Request::Wait { goal, signal, reply } => {
                if self.waiters.len() < control::WAITS {
                    self.waiters.push((goal, signal, reply));
                }
            }
            Request::Command(command, reply) => {
                self.next_reply += 1;
                let id = self.next_reply;
                self.replies.insert(id, reply);
                self.step(Input::Command { id, command });
            }
            Request::TestSecret(reply) => {
                let _ = reply.send(self.sources.test_secret());
            }
            Request::Reload(reply) => {
                let reloaded = self.reload();
                let _ = reply.send(reloaded);
            }
        }
    }

    fn terminate(&mut self) {
        if self.stopping_since.is_some() {
            self.at_once = true;
            return;
        }
        tracing::info!("stopping");
        self.stopping_since = Some(Moment::now().boot_ms);
        self.notifier.stopping();
        self.notifier.extend_timeout(Duration::from_millis(STOP_PATIENCE_MS.unsigned_abs()) + LEDGER_PATIENCE * 2);
        self.step(Input::Stop);
    }

    async fn put_away(self) {
        self.feed.end().await;
        self.control.abort();
        // Written while it ran; a new agent replaces one that could not be removed.
        let _ = std::fs::remove_file(&self.core.plan().agent.socket);
        drop(self.calls);
        drop(self.probes);
        if self.at_once {
            return;
        }
        self.prober.shutdown().await;
        if let Some(written) = self.ledger.close(LEDGER_PATIENCE).await
            && let Err(error) = written.result
        {
            tracing::error!(target: "ledger", "the last state is not durable: {error}");
        }
        tracing::info!("stopped");
    }
}

async fn interrupted(interrupts: &mut Option<Interrupts>) -> Interrupt {
    match interrupts {
        Some(interrupts) => interrupts.next().await,
        None => std::future::pending().await,
    }
}

/// When the watchdog is due.
async fn fed(watchdog: &mut Option<tokio::time::Interval>) {
    match watchdog {
        Some(watchdog) => {
            watchdog.tick().await;
        }
        None => std::future::pending().await,
    }
}

async fn stopped(stop: &mut Option<oneshot::Receiver<()>>) {
    match stop {
        Some(receiver) => {
            // A caller that has gone wants it stopped too.
            let _ = receiver.await;
            *stop = None;
        }
        None => std::future::pending().await,
    }
}

/// Ticks that were missed are not made up for.
fn ticking(period: Duration) -> tokio::time::Interval {
    let mut interval = tokio::time::interval(period);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    interval
}

fn turn() -> Turn {
    Turn { now: Moment::now(), dice: uuid::Uuid::new_v4().as_u128() }
}

/// Notes are events whose fields say what they are about; the text says it as well.
fn log(note: &Note) {
    let about = &note.about;
    macro_rules! event {
        ($level:expr) => {
            tracing::event!(
                target: "agent",
                $level,
                ros.signal = about.signal.as_deref(),
                ros.check = about.check.as_deref(),
                ros.hook = about.hook.as_deref(),
                ros.stack_id = about.stack_id.as_deref(),
                ros.unique_id = about.unique_id.as_deref(),
                ros.request_id = about.request_id.as_deref(),
                "{}",
                note.text
            )
        };
    }
    match note.level {
        NoteLevel::Error => event!(tracing::Level::ERROR),
        NoteLevel::Warn => event!(tracing::Level::WARN),
        NoteLevel::Info => event!(tracing::Level::INFO),
        NoteLevel::Debug => event!(tracing::Level::DEBUG),
    }
}
