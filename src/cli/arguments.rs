//! The arguments as plain data. What they mean is found out by the commands, each once.

use super::exit::Exit;
use crate::check::Health;
use crate::events::queue::OLDEST_SIGN;
use crate::logging::Format;
use crate::signal::SignalStatus;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

/// Checks whether this ECS host works and tells its ROS stack so: once, correctly and in time
#[derive(Debug, Parser)]
#[command(name = "ros-signal-agent", version, after_help = exit_codes(&Exit::ALL), subcommand_required = true, arg_required_else_help = true)]
pub(super) struct Arguments {
    #[command(flatten)]
    pub(super) global: Global,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of every command")]
pub(super) struct Global {
    /// Read this configuration file and no other
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "root")]
    pub(super) config: Option<PathBuf>,
    /// Look for configuration below this directory, as in an image
    #[arg(long, global = true, value_name = "DIR")]
    pub(super) root: Option<PathBuf>,
    /// Control socket of the running agent [default: agent.socket of the configuration]
    #[arg(long, global = true, value_name = "PATH")]
    pub(super) socket: Option<PathBuf>,
    /// How log lines are written
    #[arg(long, global = true, value_name = "FORMAT", value_enum, default_value_t = LogFormat::Auto)]
    pub(super) log_format: LogFormat,
    /// What is logged, such as "info,ros=debug" [default: agent.log of the configuration for run, else warn]
    #[arg(long, global = true, value_name = "FILTER")]
    pub(super) log: Option<String>,
    /// Log more: -v is debug, -vv is trace
    #[arg(short, long, global = true, action = clap::ArgAction::Count, conflicts_with = "log")]
    pub(super) verbose: u8,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run the agent
    Run,
    /// Run checks once, here and now, and print a table
    #[command(after_help = exit_codes(&[Exit::Ok, Exit::CheckWarning, Exit::CheckCritical, Exit::CheckUnknown, Exit::Usage, Exit::Configuration]))]
    Check(CheckArguments),
    /// Send one signal now: through the running agent, or alone
    #[command(
        args_conflicts_with_subcommands = true,
        subcommand_negates_reqs = true,
        after_help = exit_codes(&[Exit::Ok, Exit::Failure, Exit::Usage, Exit::Unacknowledged, Exit::Configuration])
    )]
    Signal(SignalArguments),
    /// Say what the agent is doing and why it is not done yet
    Status(StatusArguments),
    /// Say what the agent did
    History(HistoryArguments),
    /// Wait until the host is healthy, or every signal is settled
    #[command(after_help = exit_codes(&[Exit::Ok, Exit::Failure, Exit::Usage, Exit::TimedOut]))]
    Wait(WaitArguments),
    /// Show the effective configuration, where each value comes from, and the time to a verdict
    Plan(PlanArguments),
    /// Validate or print configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Find out whether this host could signal, and what to do if not; sends no signal
    #[command(after_help = exit_codes(&[Exit::Ok, Exit::Unwell, Exit::Usage]))]
    Doctor(JsonArguments),
    /// Follow the events that arrive and what comes of them, send a test event, or clear away queues of instances that are no more
    #[command(args_conflicts_with_subcommands = true)]
    Events(EventsArguments),
    /// List hooks, or try one with made-up values
    #[command(subcommand)]
    Hook(HookCommand),
    /// Feed a check of type "ttl"
    Push(PushArguments),
    /// Show the last failure report of a signal, or how it would be now
    Report(ReportArguments),
    /// Have the agent load its configuration again, and say whether it took
    Reload(JsonArguments),
    /// Make no verdicts until resume, as for maintenance
    Hold(JsonArguments),
    /// Make verdicts again after hold
    Resume(JsonArguments),
    /// Forget this instance, before an image is made of its disk
    Reset(ResetArguments),
    /// Run the real agent with this configuration, or with a built-in example, against a stand-in for ROS
    #[cfg(feature = "rehearse")]
    #[command(after_help = exit_codes(&[Exit::Ok, Exit::Failure, Exit::Usage, Exit::Configuration, Exit::TimedOut]))]
    Rehearse(RehearseArguments),
}

#[derive(Debug, Args)]
pub(super) struct CheckArguments {
    /// Checks to run, with what they depend on [default: all]
    #[arg(value_name = "NAME")]
    pub(super) names: Vec<String>,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").args(["status", "exit_code", "data"]).required(true))]
pub(super) struct SignalArguments {
    #[command(subcommand)]
    pub(super) action: Option<SignalAction>,
    /// Logical ID of the WaitConditionHandle in the template, or the name of a signal of the configuration
    #[arg(short, long, value_name = "RESOURCE", required_unless_present = "handle_file")]
    pub(super) resource: Option<String>,
    /// What to say
    #[arg(short, long, value_enum)]
    pub(super) status: Option<StatusWord>,
    /// Exit code of what was done, such as $?, 0 to 255: 0 says success, all else failure
    #[arg(short, long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(i32).range(0..=255))]
    pub(super) exit_code: Option<i32>,
    /// Why, for status and history; only a handle's URL can carry it to ROS
    #[arg(long, value_name = "TEXT")]
    pub(super) reason: Option<String>,
    /// Post to the URL of the handle in this file (its CurlCli or URL), "-" for standard input; sends alone, without credentials
    #[arg(long, value_name = "FILE")]
    pub(super) handle_file: Option<PathBuf>,
    /// With --handle-file: what to say as templates write it for ros-notify, such as '{"status": "SUCCESS", "data": "..."}', or @FILE
    #[arg(short, long, visible_alias = "data-binary", value_name = "JSON", requires = "handle_file")]
    pub(super) data: Option<String>,
    /// Stack to tell; sends alone [default: configuration, then instance metadata]
    #[arg(long, value_name = "ID")]
    pub(super) stack_id: Option<String>,
    /// Region of the stack; sends alone [default: configuration, then instance metadata]
    #[arg(long, value_name = "REGION")]
    pub(super) region: Option<String>,
    /// Id under which ROS counts the signal once; sends alone [default: as the agent would]
    #[arg(long, value_name = "ID")]
    pub(super) unique_id: Option<String>,
    /// How long to try
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "5m")]
    pub(super) timeout: Duration,
    /// Do not wait for the agent's delivery; alone: make one attempt
    #[arg(long)]
    pub(super) no_wait: bool,
    /// Send alone, even if an agent runs
    #[arg(long)]
    pub(super) direct: bool,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum SignalAction {
    /// Do not send this signal in this round, or not any more
    Cancel {
        /// Name of the signal
        name: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
pub(super) struct StatusArguments {
    /// Show it anew every second until every signal is settled
    #[arg(short, long)]
    pub(super) watch: bool,
    /// Print JSON; with --watch one line each time
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct HistoryArguments {
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct WaitArguments {
    /// What to wait for
    #[arg(long, value_enum, value_name = "GOAL")]
    pub(super) r#for: GoalWord,
    /// Of this signal only [default: of every signal of the configuration]
    #[arg(long, value_name = "NAME")]
    pub(super) signal: Option<String>,
    /// How long
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "5m")]
    pub(super) timeout: Duration,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct PlanArguments {
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Say everything that is wrong with the configuration
    Check(JsonArguments),
    /// Print the effective configuration as TOML, defaults included
    Show(JsonArguments),
    /// Print a commented file with every key and its default
    Default,
    /// Print the JSON Schema of a configuration file
    Schema,
}

#[derive(Debug, Subcommand)]
pub(super) enum HookCommand {
    /// Show the hooks and what they are run for
    List(JsonArguments),
    /// Run a hook now with made-up values, and show what it prints and how it ends
    #[command(after_help = exit_codes(&[Exit::Ok, Exit::Failure, Exit::Usage, Exit::Configuration]))]
    Test(HookTestArguments),
    /// Run what the agent asks for as root; for ros-signal-agent-hook@.service
    #[command(hide = true)]
    Run {
        /// The hook, with run_as = "root"
        #[arg(value_name = "NAME")]
        name: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct HookTestArguments {
    /// The hook
    #[arg(value_name = "NAME")]
    pub(super) name: String,
    /// As if this had happened; one of its `on` [default: the first]
    #[arg(long, value_name = "WHAT")]
    pub(super) trigger: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct GcArguments {
    /// Remove what showed no life for so long, at least 2 days: a living agent shows it once a day
    #[arg(long, value_name = "TIME", value_parser = idle, default_value = "7d")]
    pub(super) older_than: Duration,
    /// Say what would be removed, and remove nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct EventsArguments {
    #[command(subcommand)]
    pub(super) action: Option<EventsAction>,
    #[command(flatten)]
    pub(super) follow: FollowArguments,
}

#[derive(Debug, Subcommand)]
pub(super) enum EventsAction {
    /// Follow the events that arrive and what comes of them; without a subcommand too
    Follow(FollowArguments),
    /// Send a signed test event to this host's own source, and say what the agent made of it
    #[command(after_help = exit_codes(&[Exit::Ok, Exit::Failure, Exit::Usage, Exit::Configuration, Exit::TimedOut]))]
    Send(SendArguments),
    /// Remove the queues that agents made for themselves on instances that are no more
    #[command(after_help = exit_codes(&[Exit::Ok, Exit::Failure, Exit::Usage, Exit::Configuration]))]
    Gc(GcArguments),
}

#[derive(Debug, Args)]
pub(super) struct FollowArguments {
    /// Print the last lines that the agent keeps, and do not wait for more
    #[arg(long, visible_alias = "last")]
    pub(super) no_follow: bool,
    /// Print JSON, one object a line
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct SendArguments {
    /// Type of the event, such as UpdateComplete or ros:StackStateChange:UpdateComplete
    #[arg(value_name = "TYPE", value_parser = super::events::type_parser(), ignore_case = true, hide_possible_values = true)]
    pub(super) kind: String,
    /// Status that it tells [default: what the type says]
    #[arg(long, value_name = "STATUS")]
    pub(super) status: Option<String>,
    /// Stack that it is about [default: the one that the agent follows, or that of the configuration]
    #[arg(long, value_name = "ID")]
    pub(super) stack: Option<String>,
    /// Source of the configuration that it goes to [default: the only one of type http, else of type spool]
    #[arg(long, value_name = "NAME")]
    pub(super) source: Option<String>,
    /// To which type of source
    #[arg(long, value_name = "TYPE", value_enum)]
    pub(super) to: Option<SendTo>,
    /// Address of a listener whose socket systemd hands over
    #[arg(long, value_name = "HOST:PORT")]
    pub(super) address: Option<std::net::SocketAddr>,
    /// Sign as EventBridge does, with this private key (PKCS#8, RSA) [default: as a test, with the secret of this run of the agent]
    #[arg(long, value_name = "PEM", requires = "certificate_url")]
    pub(super) key: Option<PathBuf>,
    /// With --key: where the certificate of the key is
    #[arg(long, value_name = "URL", requires = "key")]
    pub(super) certificate_url: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum SendTo {
    /// A listener of type http
    Http,
    /// A directory of type spool
    Spool,
}

#[derive(Debug, Args)]
pub(super) struct PushArguments {
    /// The check, of type "ttl"
    #[arg(value_name = "NAME")]
    pub(super) check: String,
    /// What it says
    #[arg(value_enum)]
    pub(super) health: HealthWord,
    /// Why, in words
    #[arg(value_name = "TEXT", default_value = "")]
    pub(super) text: String,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct ReportArguments {
    /// Of this signal [default: the last one of any]
    #[arg(long, value_name = "NAME")]
    pub(super) signal: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct ResetArguments {
    /// Say what would be removed, and remove nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// Of commands with nothing else to say.
#[derive(Debug, Args)]
pub(super) struct JsonArguments {
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[cfg(feature = "rehearse")]
#[derive(Debug, Args)]
pub(super) struct RehearseArguments {
    /// How long to wait for the stack
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "5m")]
    pub(super) timeout: Duration,
    /// Have every signal decided within this time, if its own deadline is later
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(super) deadline: Option<Duration>,
    /// What goes wrong when the agent first talks to ROS
    #[arg(long, value_enum, value_name = "FAULT")]
    pub(super) fault: Option<FaultWord>,
    /// Print JSON: one object a line for each event, the outcome last
    #[arg(long)]
    pub(super) json: bool,
    /// Print the configuration of the built-in example, and do nothing else
    #[arg(long)]
    pub(super) print_example: bool,
}

#[cfg(feature = "rehearse")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum FaultWord {
    /// The first three signals are throttled
    Throttle,
    /// For four seconds after the look at the stack nobody listens
    Refuse,
    /// The connections of the first three signals are reset before they are processed
    Reset,
    /// The answer to the first signal is lost, after it has been processed
    Lost,
    /// The first three signals get HTTP 503
    #[value(name = "5xx")]
    ServerError,
    /// For the first three signals the handle is not there yet
    TooEarly,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    /// journal under systemd, else text
    Auto,
    /// For people
    Text,
    /// For the journal, with priorities
    Journal,
    /// One JSON object for each event
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum StatusWord {
    Success,
    Failure,
    Warning,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum GoalWord {
    /// All required checks have been passing for min_healthy_time
    Healthy,
    /// ROS has acknowledged, or nothing is owed any more
    Signaled,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum HealthWord {
    #[value(alias = "ok")]
    Passing,
    #[value(alias = "warn")]
    Warning,
    #[value(alias = "crit")]
    Critical,
}

impl From<LogFormat> for Format {
    fn from(format: LogFormat) -> Self {
        match format {
            LogFormat::Auto => Self::Auto,
            LogFormat::Text => Self::Text,
            LogFormat::Journal => Self::Journal,
            LogFormat::Json => Self::Json,
        }
    }
}

impl From<StatusWord> for SignalStatus {
    fn from(word: StatusWord) -> Self {
        match word {
            StatusWord::Success => Self::Success,
            StatusWord::Failure => Self::Failure,
            StatusWord::Warning => Self::Warning,
        }
    }
}

impl From<HealthWord> for Health {
    fn from(word: HealthWord) -> Self {
        match word {
            HealthWord::Passing => Self::Passing,
            HealthWord::Warning => Self::Warning,
            HealthWord::Critical => Self::Critical,
        }
    }
}

impl GoalWord {
    /// As the control socket has it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Signaled => "signaled",
        }
    }
}

/// `90s`, `5m`, `1h30m`, as in the configuration.
fn time(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|_| "times look like 90s, 5m or 1h30m".to_owned())
}

fn idle(text: &str) -> Result<Duration, String> {
    let idle = humantime::parse_duration(text).map_err(|_| "times look like 3d or 1week".to_owned())?;
    if idle >= OLDEST_SIGN { Ok(idle) } else { Err("at least 2 days: a living agent shows life only once a day".to_owned()) }
}

/// The exit codes of a command, for its help.
fn exit_codes(exits: &[Exit]) -> String {
    let mut text = "Exit codes:".to_owned();
    for exit in exits {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n  {:3}  {}", exit.code(), exit.meaning().replace('`', ""));
    }
    text
}
