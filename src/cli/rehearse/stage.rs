//! Runs the agent against the sandbox until the stack has ended, and has the story told meanwhile.
//!
//! Three sources say what happens: notes of the agent (a bounded queue; what does not fit is lost, as the daemon has it), the timeline of
//! the stacks (bounded by the sandbox), and the list of requests, which is looked at whenever one of the others speaks.

use super::redirect::STACK_ID;
use super::story::{Outcome, Story};
use crate::agent::Note;
use crate::agent::status::Status;
use crate::cli::agent::{ANSWER, Agent, Found};
use crate::cli::wait;
use crate::daemon::{self, Failure, Options, Source};
use crate::interrupt::Interrupts;
use crate::plan::Plan;
use ros_sandbox::{ActionView, Sandbox, ScalingGroupSpec, Service, StackSpec, StackView, TimelineEvent, Transition};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use std::pin::pin;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::task::JoinHandle;

/// The instance of the sandbox's metadata service.
const INSTANCE_ID: &str = "i-sandbox0000000000001";

/// Between two looks at scaling groups.
const GROUPS_AGAIN: Duration = Duration::from_millis(100);

/// Notes that may wait to be told.
const NOTES: usize = 1024;

/// How long the agent may take to get its acknowledgement once the stack has ended.
const SETTLE: Duration = Duration::from_secs(15);

/// How a rehearsal ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Ending {
    /// All stacks are complete.
    Completed,
    /// A stack failed.
    Failed,
    /// Neither, in the time given.
    TimedOut,
    /// By a signal, or because nobody reads any more.
    Interrupted,
}

/// Everything that is needed to begin.
pub(super) struct Stage {
    pub(super) sandbox: Sandbox,
    pub(super) plan: Plan,
    pub(super) stacks: BTreeMap<String, StackSpec>,
    pub(super) groups: BTreeMap<String, ScalingGroupSpec>,
    pub(super) timeout: Duration,
}

/// The daemon, in a task.
struct Running {
    task: JoinHandle<Result<(), Failure>>,
    stop: oneshot::Sender<()>,
}

impl Stage {
    /// Plays it to its end and puts everything away. The story has its outcome then.
    pub(super) async fn play(self, interrupts: &mut Interrupts, story: &mut Story<'_>) -> anyhow::Result<Ending> {
        let Self { sandbox, plan, stacks, groups, timeout } = self;
        let agent = Agent::at(plan.agent.socket.clone(), Found::Named)?;
        let (sender, notes) = mpsc::channel(NOTES);
        let mut events = Events { sandbox: sandbox.clone(), notes, timeline: sandbox.subscribe(), seen: 0, open: Vec::new() };
        sandbox.set_metadata("meta-data/tags/instance/acs:ros:stackId", STACK_ID)?;
        for (id, spec) in &stacks {
            sandbox.put_stack(id, spec.clone())?;
        }
        let instance = plan.instance.id.clone().unwrap_or_else(|| INSTANCE_ID.to_owned());
        for (id, spec) in &groups {
            sandbox.put_scaling_group(id, spec.clone())?;
            sandbox.scale(id, Transition::ScaleOut, &[&instance])?;
        }
        let groups: Vec<&String> = groups.keys().collect();
        let mut running = start(plan, sender);
        let ids: Vec<&String> = stacks.keys().collect();
        let ended = tokio::select! {
            ended = &mut running.task => Err(why_ended(ended)),
            ending = events.follow(story, end_of(&sandbox, &ids, &groups)) => ending.map(|ending| ending.unwrap_or(Ending::Interrupted)),
            () = tokio::time::sleep(timeout) => Ok(Ending::TimedOut),
            _ = interrupts.next() => Ok(Ending::Interrupted),
        };
        let settled = match ended {
            Ok(Ending::Completed | Ending::Failed) => events.settle(story, &agent, interrupts).await,
            Ok(Ending::TimedOut | Ending::Interrupted) | Err(_) => Ok(()),
        };
        let status: Option<Status> = if ended.is_ok() { agent.get("/status", ANSWER).await.ok() } else { None };
        stop(running, interrupts).await;
        let ending = ended?;
        settled?;
        events.tell(story)?;
        let stacks: Vec<StackView> = ids.iter().filter_map(|id| sandbox.stack(id)).collect();
        story.outcome(&Outcome { outcome: ending, stacks, agent: status })?;
        Ok(ending)
    }
}

fn start(plan: Plan, notes: mpsc::Sender<Note>) -> Running {
    let (stop, stopped) = oneshot::channel();
    let options = Options {
        source: Source::Plan(Box::new(plan)),
        // No keys and no switches of the real world.
        environment: HashMap::new(),
        own_process: false,
        notes: Some(notes),
        stop: Some(stopped),
        log: None,
    };
    Running { task: tokio::spawn(daemon::run(options)), stop }
}

/// Stops the agent as SIGTERM does; a signal makes it end at once.
async fn stop(running: Running, interrupts: &mut Interrupts) {
    let Running { mut task, stop } = running;
    if task.is_finished() {
        return;
    }
    let _ = stop.send(());
    tokio::select! {
        _ = &mut task => {}
        _ = interrupts.next() => {
            task.abort();
            let _ = task.await;
        }
    }
}

fn why_ended(ended: Result<Result<(), Failure>, tokio::task::JoinError>) -> anyhow::Error {
    match ended {
        Ok(Err(failure)) => anyhow::Error::from(failure).context("the agent cannot run"),
        Ok(Ok(())) | Err(_) => anyhow::anyhow!("the agent has ended by itself"),
    }
}

/// Waits until one stack has failed or all are complete, and no scaling group holds the instance any more.
async fn end_of(sandbox: &Sandbox, ids: &[&String], groups: &[&String]) -> Ending {
    let mut timeline = sandbox.subscribe();
    loop {
        let mut statuses = ids.iter().filter_map(|id| sandbox.stack(id)).map(|stack| stack.status);
        let mut actions = groups.iter().filter_map(|id| sandbox.scaling_group(id)).flat_map(|group| group.actions);
        let refused = |action: &ActionView| action.result.as_deref().is_some_and(|result| result != "CONTINUE");
        if statuses.clone().any(|status| status.failed()) || actions.clone().any(|action| refused(&action)) {
            return Ending::Failed;
        }
        if statuses.all(|status| status.complete()) && actions.all(|action| action.result.is_some()) {
            return Ending::Completed;
        }
        // Scaling groups have no timeline: they are looked at again and again.
        let again = async { if groups.is_empty() { std::future::pending().await } else { tokio::time::sleep(GROUPS_AGAIN).await } };
        tokio::select! {
            event = timeline.recv() => if matches!(event, Err(RecvError::Closed)) { return Ending::Interrupted },
            () = again => {}
        }
    }
}

/// What happens, from all sources.
struct Events {
    sandbox: Sandbox,
    notes: mpsc::Receiver<Note>,
    timeline: broadcast::Receiver<TimelineEvent>,
    /// Number of the last request that was looked at.
    seen: u64,
    /// Requests that had no answer then.
    open: Vec<u64>,
}

/// What spoke first.
enum Woken {
    Note(Note),
    Stack(TimelineEvent),
    Nothing,
}

impl Events {
    /// The agent has its answer a moment after the stack has its signal, or is trying again: waits for it for a while.
    async fn settle(&mut self, story: &mut Story<'_>, agent: &Agent, interrupts: &mut Interrupts) -> anyhow::Result<()> {
        tokio::select! {
            // Whether it was settled in time is told by the outcome.
            told = self.follow(story, wait::until(agent, "signaled", None, tokio::time::Instant::now() + SETTLE)) => told.map(|_| ()),
            _ = interrupts.next() => Ok(()),
        }
    }

    /// Tells what happens until `until` is done. None: nobody reads any more.
    async fn follow<T>(&mut self, story: &mut Story<'_>, until: impl Future<Output = T>) -> anyhow::Result<Option<T>> {
        let mut until = pin!(until);
        loop {
            let woken = tokio::select! {
                done = &mut until => {
                    self.tell(story)?;
                    return Ok(Some(done));
                }
                woken = self.next() => woken,
            };
            // The answer to a request follows what it did to the stack within the same turn.
            tokio::task::yield_now().await;
            self.requests(story)?;
            match woken {
                Woken::Note(note) => story.note(&note)?,
                Woken::Stack(event) => story.stack(&event)?,
                Woken::Nothing => {}
            }
            if story.is_unread() {
                return Ok(None);
            }
        }
    }

    async fn next(&mut self) -> Woken {
        tokio::select! {
            biased;
            event = self.timeline.recv() => match event {
                Ok(event) => Woken::Stack(event),
                Err(RecvError::Lagged(_)) => Woken::Nothing,
                Err(RecvError::Closed) => std::future::pending().await,
            },
            Some(note) = self.notes.recv() => Woken::Note(note),
        }
    }

    /// Tells what is there already.
    fn tell(&mut self, story: &mut Story<'_>) -> anyhow::Result<()> {
        self.requests(story)?;
        while let Ok(event) = self.timeline.try_recv() {
            story.stack(&event)?;
        }
        while let Ok(note) = self.notes.try_recv() {
            story.note(&note)?;
        }
        Ok(())
    }

    /// Tells the requests to ROS that have been answered, or broken off, since the last look.
    fn requests(&mut self, story: &mut Story<'_>) -> anyhow::Result<()> {
        let (seen, was_open) = (self.seen, std::mem::take(&mut self.open));
        for request in self.sandbox.requests() {
            if request.service != Service::Ros || (request.number <= seen && !was_open.contains(&request.number)) {
                continue;
            }
            self.seen = self.seen.max(request.number);
            if request.answered_at.is_some() {
                story.request(&request)?;
            } else {
                self.open.push(request.number);
            }
        }
        Ok(())
    }
}
