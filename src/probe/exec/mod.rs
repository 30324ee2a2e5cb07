//! `type = "exec"`: a child process, its exit code and what it says.
//!
//! Each run is a task of its own that lives from the start of the child until the last of its processes is reaped, whatever becomes of
//! the future that asked for it. It goes: start; wait for the leader's end or the timeout; on timeout TERM to the group, `kill_grace`,
//! KILL; on cancellation KILL at once; then the rest of the group and its orphans are killed and reaped, the pipes are read empty and
//! closed. So a grandchild that holds a pipe cannot stall us, and nothing outlives the observation.
//!
//! Bounds: 200 ms for what is left in the pipes, 2 s for a process to die of SIGKILL. One that does not (it hangs in the kernel) is said
//! to be so; its check starts no other before it is gone.

mod abandoned;
mod environment;
pub(crate) mod errand;
pub(super) mod exit;
#[cfg(fuzzing)]
pub(super) mod fuzzing;
mod leader;
mod memory;
mod orphans;
mod outcome;
mod output;
mod pipes;
mod plugin;

use super::Job;
use super::progress::{Doing, Progress};
use super::text::one_line;
use super::threads::{Apart, Pool};
use crate::check::{Health, Observation};
use crate::clock::Moment;
use crate::plan::{Exec, Name};
use abandoned::Agent;
use leader::{Leader, StartError, Watch};
use orphans::Over;
use outcome::{End, Outcome};
use pipes::Pipes;
use rustix::process::{Pid, Signal};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

pub use orphans::adopt_orphans;

/// How long the pipes are read after all writers should be dead.
const DRAIN: Duration = Duration::from_millis(200);
/// How long processes may take to die of SIGKILL.
const DEATH: Duration = Duration::from_secs(2);
/// A program that is just being written is tried again so often, and after so long.
const BUSY_TRIES: usize = 10;
const BUSY_PAUSE: Duration = Duration::from_millis(20);
/// From TERM to KILL, for a hook when the agent stops: less than shutdown waits.
const LEAVE: Duration = Duration::from_secs(2);

/// All runs of exec checks.
pub(super) struct Children {
    shared: Arc<Shared>,
}

struct Shared {
    /// Where programs are started.
    apart: Apart,
    /// The one thread for sweeps.
    sweeps: Pool,
    registry: Mutex<Registry>,
    /// Number of runs going on; changes are waited for by shutdown.
    going_on: watch::Sender<usize>,
    closing: watch::Sender<bool>,
    /// This process; `None` where /proc cannot be read.
    agent: Option<Agent>,
    /// Tells marks of this prober from others, and names the agent.
    mark_prefix: String,
}

#[derive(Default)]
struct Registry {
    last: u64,
    /// Something may be left that belongs to no run: one has begun since it was last seen that this process has no children.
    unswept: bool,
    /// By number. Bounded by `max_exec` of the core.
    runs: BTreeMap<u64, Run>,
    /// Leaders that do not die, by check. Their checks start no other before they are gone.
    stuck: BTreeMap<Name, Leader>,
    /// Orphans that do not die: no sweep waits for them again.
    given_up: BTreeSet<i32>,
}

#[derive(Clone)]
struct Run {
    begun_boot_ms: i64,
    leader: Option<Pid>,
}

/// A run in the registry, until it is dropped.
struct Registered {
    shared: Arc<Shared>,
    number: u64,
    check: Name,
}

/// A command that is run by no check: a hook.
pub(crate) struct Task {
    /// Names it in the registry; no check may be called so.
    pub(crate) name: Name,
    /// The command, and how long it has from TERM to KILL. Its environment does not count.
    pub(crate) exec: Exec,
    /// Variables beside those that every child has.
    pub(crate) environment: BTreeMap<String, String>,
    /// What it reads on standard input.
    pub(crate) input: Option<Arc<[u8]>>,
    /// Its time limit.
    pub(crate) limit: Duration,
}

/// What became of a [`Task`].
pub(crate) struct Ran {
    /// It has ended by itself with exit status 0.
    pub(crate) succeeded: bool,
    /// In words, such as `exit status 3`.
    pub(crate) text: String,
    /// The end of what it printed, cut and cleaned.
    pub(crate) output: String,
}

/// What one run needs.
struct Work {
    exec: Exec,
    environment: BTreeMap<String, String>,
    input: Option<Arc<[u8]>>,
    limit: Duration,
    /// What a run has from TERM to KILL when nobody wants it any more; none: it is killed at once.
    leave: Option<Duration>,
}

impl Children {
    pub(super) fn new(apart: Apart) -> Self {
        let (going_on, _) = watch::channel(0);
        let (closing, _) = watch::channel(false);
        static PROBERS: AtomicU64 = AtomicU64::new(0);
        let prober = PROBERS.fetch_add(1, Ordering::Relaxed);
        let agent = Agent::current();
        let mark_prefix = match &agent {
            Some(agent) => format!("{agent}-{prober}-"),
            // Nobody can tell from it that this agent is gone, so nobody does: it has too few fields.
            None => format!("{}-{}-{prober}-", rustix::process::getpid().as_raw_pid(), Moment::now().boot_ms),
        };
        let (sweeps, registry) = (Pool::new("sweep", 1), Mutex::default());
        Self { shared: Arc::new(Shared { apart, sweeps, registry, going_on, closing, agent, mark_prefix }) }
    }

    /// Kills the processes of agents that are no more.
    pub(super) async fn sweep_abandoned(&self) {
        let Some(own) = self.shared.agent else { return };
        let (owner, progress) = (Arc::from(""), Progress::default());
        let sweep = self.shared.sweeps.run(&owner, &progress, Doing::Preparing, move || abandoned::sweep(own));
        match tokio::time::timeout(DEATH, sweep).await {
            Ok(Ok(0)) => {}
            Ok(Ok(killed)) => tracing::info!(target: "probe", killed, "killed what checks of an agent that was killed had left behind"),
            Ok(Err(error)) => tracing::warn!(target: "probe", %error, "cannot look for what an agent that was killed has left behind"),
            // The thread goes on; only nobody counts any more.
            Err(_) => tracing::warn!(target: "probe", "looking for what an agent that was killed has left behind takes long"),
        }
    }

    /// Makes one observation; keeps the timeout itself.
    pub(super) async fn look(&self, job: &Job, exec: &Exec) -> Observation {
        if *self.shared.closing.borrow() {
            return Observation::new(Health::Unknown, "the agent is stopping");
        }
        if let Some(pid) = self.shared.stuck(&job.check.name) {
            let message = format!("process {pid} of an earlier run hangs in the kernel and does not die of SIGKILL; no other is started");
            return Observation::new(Health::Critical, message);
        }
        // The sender is dropped with this future, which is what tells the task that nobody waits any more.
        let (_alive, cancelled) = oneshot::channel::<()>();
        let registered = Registered::new(&self.shared, &job.check.name);
        let environment = environment::of_run(job, exec, &registered.mark());
        let (shared, exec, limit) = (Arc::clone(&self.shared), exec.clone(), job.check.timeout);
        let run = async move {
            let work = Work { exec, environment, input: None, limit, leave: None };
            let observation =
                supervise(registered, &work, cancelled).await.map_or_else(|trouble| trouble, |outcome| outcome.observe(&work));
            shared.last_out().await;
            observation
        };
        match tokio::spawn(run).await {
            Ok(observation) => observation,
            Err(_) => Observation::new(Health::Unknown, "the run was cut off"),
        }
    }

    /// Runs a command that belongs to no check. Dropping the future ends it, TERM first.
    pub(super) async fn command(&self, task: Task) -> Ran {
        let failed = |text: String| Ran { succeeded: false, text, output: String::new() };
        if *self.shared.closing.borrow() {
            return failed("the agent is stopping".to_owned());
        }
        if let Some(pid) = self.shared.stuck(&task.name) {
            return failed(format!("process {pid} of an earlier run hangs in the kernel and does not die of SIGKILL; no other is started"));
        }
        let (_alive, cancelled) = oneshot::channel::<()>();
        let registered = Registered::new(&self.shared, &task.name);
        let mut environment = environment::least(&registered.mark());
        environment.extend(task.environment);
        let shared = Arc::clone(&self.shared);
        let run = async move {
            let work = Work { exec: task.exec, environment, input: task.input, limit: task.limit, leave: Some(LEAVE) };
            let ran = match supervise(registered, &work, cancelled).await {
                Ok(outcome) => outcome.tell(&work),
                Err(observation) => Ran { succeeded: false, text: observation.message, output: String::new() },
            };
            shared.last_out().await;
            ran
        };
        tokio::spawn(run).await.unwrap_or_else(|_| failed("the run was cut off".to_owned()))
    }

    /// Kills all groups, waits until they are reaped, and sweeps once more.
    pub(super) async fn shutdown(&self) {
        self.shared.closing.send_replace(true);
        let mut going_on = self.shared.going_on.subscribe();
        // Only a process that does not die of SIGKILL makes this end by time.
        let _ = tokio::time::timeout(2 * DEATH, going_on.wait_for(|count| *count == 0)).await;
        self.shared.sweep(None).await;
    }
}

impl Shared {
    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The pid of a leader of `check` that does not die.
    fn stuck(&self, check: &Name) -> Option<i32> {
        let mut registry = self.registry();
        let leader = registry.stuck.get_mut(check)?;
        if leader.is_there() {
            return Some(leader.pid().as_raw_pid());
        }
        registry.stuck.remove(check);
        None
    }

    /// Sweeps once more when the last run is over. Runs that end side by side spare each what may be the other's, so something of
    /// theirs can be left that belongs to nobody now.
    async fn last_out(&self) {
        let is_wanted = |registry: &Registry| registry.unswept && registry.runs.is_empty();
        if is_wanted(&self.registry()) {
            self.sweep(None).await;
        }
    }

    /// Notes that this process had no children when `last` was the last run, unless a run besides `over` may have started one since.
    fn is_swept(&self, over: Option<&Registered>, last: u64) {
        let mut registry = self.registry();
        let number = over.map(|over| over.number);
        registry.unswept = registry.last != last || registry.runs.keys().any(|other| Some(*other) != number);
    }

    /// Kills and reaps what belongs to no run but `over`, for some time.
    async fn sweep(&self, over: Option<&Registered>) {
        if !orphans::adopting() {
            return;
        }
        let until = Instant::now() + DEATH;
        let owner: Arc<str> = Arc::from("");
        let progress = Progress::default();
        let mut pause = Duration::from_millis(1);
        loop {
            let last = self.registry().last;
            if !orphans::any() {
                self.is_swept(over, last);
                return;
            }
            let others = self.others(over);
            if !orphans::any_besides(&others.leaders) {
                return;
            }
            let pass = self.sweeps.run(&owner, &progress, Doing::Preparing, move || orphans::sweep(&others));
            // No thread, or one that hangs: the sweep after a later run does it.
            let Ok(Ok(left)) = tokio::time::timeout_at(until, pass).await else { return };
            if !self.is_news(left, Instant::now() >= until) {
                return;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(50));
        }
    }

    /// Whether any of `left` is worth another pass. At the `end` they are given up: they hang in the kernel, or run as somebody else.
    fn is_news(&self, left: BTreeSet<i32>, end: bool) -> bool {
        let mut registry = self.registry();
        let news = !left.is_subset(&registry.given_up);
        if news && end {
            tracing::warn!(pids = ?left, "processes of a check do not die of SIGKILL");
            registry.given_up = left;
            return false;
        }
        registry.given_up.retain(|pid| left.contains(pid));
        news
    }

    fn others(&self, over: Option<&Registered>) -> Over {
        let registry = self.registry();
        let number = over.map(|over| over.number);
        let others = || registry.runs.iter().filter(|(other, _)| Some(**other) != number).map(|(_, run)| run);
        Over {
            group: number.and_then(|number| registry.runs.get(&number)).and_then(|run| run.leader),
            leaders: others().filter_map(|run| run.leader).map(Pid::as_raw_pid).collect(),
            mark_prefix: self.mark_prefix.clone(),
            numbers: registry.runs.keys().copied().filter(|other| Some(*other) != number).collect(),
            last: registry.last,
            oldest_boot_ms: others().map(|run| run.begun_boot_ms).min().unwrap_or_else(|| Moment::now().boot_ms),
        }
    }
}

impl Registered {
    fn new(shared: &Arc<Shared>, check: &Name) -> Self {
        let mut registry = shared.registry();
        registry.last += 1;
        registry.unswept = true;
        let number = registry.last;
        registry.runs.insert(number, Run { begun_boot_ms: Moment::now().boot_ms, leader: None });
        drop(registry);
        shared.going_on.send_modify(|count| *count += 1);
        Self { shared: Arc::clone(shared), number, check: Arc::clone(check) }
    }

    /// What the processes of this run carry in their environment.
    fn mark(&self) -> String {
        format!("{}{}", self.shared.mark_prefix, self.number)
    }

    fn led_by(&self, leader: &Leader) {
        if let Some(run) = self.shared.registry().runs.get_mut(&self.number) {
            run.leader = Some(leader.pid());
        }
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.shared.registry().runs.remove(&self.number);
        self.shared.going_on.send_modify(|count| *count = count.saturating_sub(1));
    }
}

/// One run from start to the last reaped process.
async fn supervise(run: Registered, work: &Work, cancelled: oneshot::Receiver<()>) -> Result<Outcome, Observation> {
    let deadline = Instant::now() + work.limit;
    let killed_before = memory::oom_kills();
    let mut closing = run.shared.closing.subscribe();
    let stop = async move {
        tokio::select! {
            _ = cancelled => {}
            _ = closing.wait_for(|closing| *closing) => {}
        }
    };
    tokio::pin!(stop);
    let mut leader = start(&run, work, deadline).await?;
    run.led_by(&leader);
    let (mut pipes, watch) = match leader.pipes() {
        Ok((out, err)) => (Pipes::new(out, err), leader.watch()),
        Err(error) => {
            leader.signal(Signal::KILL);
            return Err(Observation::new(Health::Unknown, format!("the output of the command cannot be read: {error}")));
        }
    };
    let end = if Instant::now() >= deadline {
        End::TimedOut
    } else {
        tokio::select! {
            biased;
            () = &mut stop => End::Cancelled,
            () = pipes.read_while(watch.ended()) => End::Exited,
            () = tokio::time::sleep_until(deadline) => End::TimedOut,
        }
    };
    let mut obeyed = true;
    match (&end, work.leave) {
        (End::TimedOut, _) => {
            obeyed = tokio::select! {
                obeyed = terminate(&leader, &watch, &mut pipes, work.exec.kill_grace) => obeyed,
                () = &mut stop => false,
            };
        }
        (End::Cancelled, Some(leave)) => obeyed = terminate(&leader, &watch, &mut pipes, leave).await,
        (End::Cancelled | End::Exited, _) => {}
    }
    let status = finish(&run, leader, &watch, &mut pipes).await;
    let killed = status.is_some_and(exit::was_killed);
    let out_of_memory = killed && matches!((killed_before, memory::oom_kills()), (Some(before), Some(after)) if after > before);
    let program = one_line(work.exec.command.first().map_or("", String::as_str));
    Ok(Outcome { end, status, obeyed, out_of_memory, program, output: pipes.output })
}

/// Starts the leader on a thread, because a dead file server can hold up execve(2) for ever. A start that is merely slow is waited for
/// somewhat beyond the timeout, so that what it starts late is gone before the observation is made.
async fn start(run: &Registered, work: &Work, deadline: Instant) -> Result<Leader, Observation> {
    let unknown = |message| Observation::new(Health::Unknown, message);
    let progress = Progress::default();
    let environment = Arc::new(work.environment.clone());
    for attempt in 1.. {
        let (exec, environment, input) = (work.exec.clone(), Arc::clone(&environment), work.input.clone());
        let program = one_line(work.exec.command.first().map_or("", String::as_str));
        // A leader that comes too late is dropped by its thread, which kills it.
        let starting = run.shared.apart.look(&run.check, &program, &progress, move || leader::start(&exec, &environment, input.as_deref()));
        match tokio::time::timeout_at(deadline + DEATH, starting).await {
            Err(_) => return Err(progress.timed_out(work.limit)),
            Ok(Err(trouble)) => return Err(trouble),
            Ok(Ok(Ok(leader))) => return Ok(leader),
            Ok(Ok(Err(StartError::Other(message)))) => return Err(unknown(message)),
            Ok(Ok(Err(StartError::Busy(message)))) if attempt >= BUSY_TRIES => {
                return Err(unknown(format!("cannot start {message}")));
            }
            Ok(Ok(Err(StartError::Busy(_)))) => tokio::time::sleep(BUSY_PAUSE).await,
        }
    }
    Err(unknown("the command could not be started".to_owned()))
}

/// TERM, and the grace. True if the whole group has gone by itself.
async fn terminate(leader: &Leader, watch: &Watch, pipes: &mut Pipes, grace: Duration) -> bool {
    leader.signal(Signal::TERM);
    let gone = async {
        watch.ended().await;
        let mut pause = Duration::from_millis(5);
        while orphans::group_lives(leader.pid()) {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(100));
        }
    };
    tokio::time::timeout(grace, pipes.read_while(gone)).await.is_ok()
}

/// Kills what is left, reaps it, and empties the pipes. `None` if the leader does not die or nobody knows how it did.
async fn finish(run: &Registered, mut leader: Leader, watch: &Watch, pipes: &mut Pipes) -> Option<std::process::ExitStatus> {
    leader.signal(Signal::KILL);
    let died = tokio::time::timeout(DEATH, pipes.read_while(watch.ended())).await;
    let status = match died {
        Ok(()) => leader.reap().ok(),
        Err(_) => {
            run.shared.registry().stuck.insert(Arc::clone(&run.check), leader);
            None
        }
    };
    // What is in the pipes is read while orphans that hold them are being killed.
    pipes.read_while(run.shared.sweep(Some(run))).await;
    let _ = tokio::time::timeout(DRAIN, pipes.read_to_end()).await;
    status
}
