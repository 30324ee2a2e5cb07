//! What goes into the core and comes out of it: a turn with its input, and effects.

use super::{Command, Denied, Done, Draft, Places};
use crate::check::Observation;
use crate::clock::{BootMs, Moment};
use crate::events::{Arrival, Line, Taken};
use crate::hooks::{HookEnd, Occasion};
use crate::plan::{Check, Hook, LifecycleHook, Name, NameSource, Plan};
use crate::signal::{Answer, Beat, LedgerDocument, SignalRequest, SignalStatus, Target, UniqueId};
use crate::stack::confirm::Sighting;
use crate::stack::sight::{Mark, Sight};
use crate::stack::{Lesson, Look};
use std::sync::Arc;

/// One turn of the loop: the time, and fresh randomness from the operating system (never kept, so that a copy of a running machine
/// does not repeat it).
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    /// The time.
    pub now: Moment,
    /// 128 random bits.
    pub dice: u128,
}

/// Who this host is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// `i-...`.
    pub instance_id: String,
    /// Region of the instance, if the metadata service says so.
    pub region: Option<String>,
    /// Stack of the instance, where its tags are shown.
    pub stack_id: Option<String>,
    /// Names that were asked for, because an id is made of them.
    pub names: Vec<(NameSource, String)>,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Input {
    /// Nothing but time passed. Also the first input.
    Tick,
    /// A run ended.
    Observed {
        /// The run of the `Probe` effect.
        run: u64,
        /// Its result.
        observation: Observation,
    },
    /// What this check looks at may have changed: a hint to look.
    Changed {
        /// Its name.
        check: Name,
    },
    /// The files and credentials with the URLs of handles were read.
    Handles(Places),
    /// The metadata service answered, or did not.
    Identified(Result<Identity, String>),
    /// The ledger holds this generation durably.
    Recorded {
        /// Of the document.
        generation: u64,
    },
    /// The ledger could not be written.
    NotRecorded {
        /// Why, with path and hint.
        error: String,
    },
    /// A look at the stack came back.
    Looked {
        /// The look of the `Look` effect.
        look: u64,
        /// What it showed.
        result: Look,
        /// How the stack was, where one was looked at.
        shown: Option<Mark>,
    },
    /// The report of a `Report` effect is there, or has failed.
    Reported {
        /// Of the effect.
        report: u64,
        /// What transports may carry of it.
        text: Option<Arc<str>>,
    },
    /// The host was suspended, for more than a moment.
    Resumed,
    /// An attempt to signal came back.
    Answered {
        /// The attempt of the `Send` effect.
        send: u64,
        /// What came of it.
        answer: Answer,
    },
    /// What the template says, or why that is not known.
    Learned {
        /// The question of the `Learn` effect.
        learn: u64,
        /// What came of it.
        lesson: Lesson,
    },
    /// A look after the acknowledgement came back.
    Sighted {
        /// The look of the `Confirm` effect.
        confirm: u64,
        /// What it showed.
        sighting: Sighting,
    },
    /// A heartbeat came back.
    Beaten {
        /// The heartbeat of the `Beat` effect.
        beat: u64,
        /// What came of it.
        result: Beat,
    },
    /// A look that follows the stack came back.
    Watched {
        /// The look of the `Watch` effect.
        watch: u64,
        /// What it showed.
        sight: Sight,
    },
    /// An event has come; answered by the `Taken` effect of the same id.
    Arrived {
        /// Chosen by the caller.
        arrival: u64,
        /// The event.
        what: Box<Arrival>,
    },
    /// A hook has ended.
    HookEnded {
        /// The run of the `RunHook` effect.
        run: u64,
        /// How.
        end: HookEnd,
    },
    /// A new valid plan.
    Replan(Arc<Plan>),
    /// A new configuration that cannot be used: the plan stays.
    Misconfigured(String),
    /// An operator's command; answered by the `Reply` effect of the same id.
    Command {
        /// Chosen by the caller.
        id: u64,
        /// What is wanted.
        command: Command,
    },
    /// The agent is to stop: no more verdicts and checks, one last attempt for what is owed.
    Stop,
}

/// What is to be done.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Ask who this host is, and read the URLs of handles before that.
    Identify,
    /// Run a check.
    Probe {
        /// Comes back in `Observed`.
        run: u64,
        /// What to run.
        check: Arc<Check>,
        /// When it was due.
        due: BootMs,
        /// Number of this run, from 1.
        attempt: u64,
        /// Wall time (ms since 1970) of the nearest deadline that this check serves.
        deadline_ms: Option<i64>,
    },
    /// Stop that run; its result is not wanted.
    Cancel {
        /// The run.
        run: u64,
    },
    /// Write the ledger.
    Record(Box<LedgerDocument>),
    /// The ledger on disk belongs to another instance: set it aside.
    SetAside {
        /// Whose it is.
        owner: String,
    },
    /// Look at the stack.
    Look {
        /// Comes back in `Looked`.
        look: u64,
        /// Which.
        target: Target,
        /// And at this condition.
        condition: Option<String>,
        /// Since when the condition waits is asked for, because that names the operation for which a verdict was made.
        since: bool,
    },
    /// Ask what the template of the stack says.
    Learn {
        /// Comes back in `Learned`.
        learn: u64,
        /// Which stack, and which handle in it.
        target: Target,
        /// The condition that the configuration names.
        condition: Option<String>,
    },
    /// Look what became of an acknowledged signal.
    Confirm {
        /// Comes back in `Sighted`.
        confirm: u64,
        /// Which stack.
        target: Target,
        /// The condition that waits for it, where it is known.
        condition: Option<String>,
        /// The signal.
        unique_id: UniqueId,
        /// And what it said.
        said: SignalStatus,
    },
    /// Look whether a lifecycle hook holds this instance.
    LookAtHook {
        /// Comes back in `Looked`.
        look: u64,
        /// Its region counts.
        target: Target,
        /// Which.
        hook: LifecycleHook,
    },
    /// Ask ESS to hold this instance for some more time.
    Beat {
        /// Comes back in `Beaten`.
        beat: u64,
        /// Its region counts.
        target: Target,
        /// Which.
        hook: LifecycleHook,
        /// How long from now.
        covers: std::time::Duration,
    },
    /// Look how the stack is, to follow it.
    Watch {
        /// Comes back in `Watched`.
        watch: u64,
        /// Which stack; the resource in it does not count.
        target: Target,
        /// While it shows this still, its resources are not read.
        unless: Option<Mark>,
        /// Logical IDs of resources to be read.
        resources: Vec<String>,
    },
    /// Tell the source what was made of its event.
    Taken {
        /// Of `Arrived`.
        arrival: u64,
        /// What.
        taken: Taken,
    },
    /// Run a hook.
    RunHook {
        /// Comes back in `HookEnded`.
        run: u64,
        /// Which.
        hook: Arc<Hook>,
        /// The id of this occasion for this hook: the same over retries, restarts and crashes.
        id: String,
        /// What it is told.
        occasion: Box<Occasion>,
        /// Number of this attempt, from 1.
        attempt: u32,
    },
    /// Tell those who follow events.
    Line(Box<Line>),
    /// Make one attempt.
    Send {
        /// Comes back in `Answered`.
        send: u64,
        /// The request.
        request: SignalRequest,
    },
    /// Complete this and say it to journal and console, before a FAILURE.
    Report {
        /// Comes back in `Reported`.
        report: u64,
        /// What the core knows.
        draft: Box<Draft>,
    },
    /// Say this in the log.
    Note(Note),
    /// Answer an operator.
    Reply {
        /// The command's id.
        id: u64,
        /// The answer.
        reply: Result<Done, Denied>,
    },
}

/// A line for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// How loud.
    pub level: NoteLevel,
    /// The text.
    pub text: String,
    /// What it is about.
    pub about: About,
}

/// What a note is about, as far as it is known: fields of the journal, so that `journalctl ROS_SIGNAL=web` finds it. The text says what
/// matters of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// Name of the signal.
    pub signal: Option<Name>,
    /// Name of the check.
    pub check: Option<Name>,
    /// Name of the hook.
    pub hook: Option<Name>,
    /// The stack.
    pub stack_id: Option<String>,
    /// The id under which the verdict is told.
    pub unique_id: Option<String>,
    /// The receipt: the request with which ROS has acknowledged it.
    pub request_id: Option<String>,
}

/// How loud a note is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoteLevel {
    /// Somebody must act.
    Error,
    /// Somebody should look.
    Warn,
    /// What happened.
    Info,
    /// Detail.
    Debug,
}
