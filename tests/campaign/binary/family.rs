//! The families of faults, which of them can be had on this machine, and which go together.

use super::case::furnish;
use super::room::Purpose;
use ros_signal_agent::retry::Random;
use std::path::PathBuf;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Family {
    KillAtWrite,
    KillInCall,
    KillAtByte,
    KillAnytime,
    Stopped,
    PowerLoss,
    Reboot,
    DiskFull,
    ReadOnly,
    IoError,
    Clock,
    Metadata,
    Credentials,
    Names,
    HalfOpen,
    Refused,
    Bodies,
    Portal,
    Service,
}

use Family::{
    Bodies, Clock, Credentials, DiskFull, HalfOpen, IoError, KillAnytime, KillAtByte, KillAtWrite, KillInCall, Metadata, Names, Portal,
    PowerLoss, ReadOnly, Reboot, Refused, Service, Stopped,
};

pub(super) const ALL: [Family; 19] = [
    KillAtWrite,
    KillInCall,
    KillAtByte,
    KillAnytime,
    Stopped,
    PowerLoss,
    Reboot,
    DiskFull,
    ReadOnly,
    IoError,
    Clock,
    Metadata,
    Credentials,
    Names,
    HalfOpen,
    Refused,
    Bodies,
    Portal,
    Service,
];

/// What an effect leaves.
pub(super) enum Trace {
    /// The moment of the blow came.
    OfTheBlow,
    /// The agent's log has one of these words.
    InTheLog(&'static [&'static str]),
    /// Nothing: it always has its effect.
    None,
}

/// What this machine has to offer.
#[derive(Clone, Debug)]
pub(super) struct Means {
    pub(super) strace: Option<PathBuf>,
    /// Rooms that cannot be had, and why.
    no_rooms: Vec<(Purpose, String)>,
}

impl Means {
    pub(super) fn found() -> Self {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let strace = std::env::split_paths(&path).map(|directory| directory.join("strace")).find(|path| path.is_file());
        let required = std::env::var("ROS_SIGNAL_AGENT_PEERS").is_ok_and(|word| word == "required");
        assert!(!required || strace.is_some(), "strace is not installed");
        let no_rooms = Purpose::ALL.into_iter().filter_map(|purpose| Some((purpose, room(purpose).err()?))).collect();
        Self { strace: strace.filter(can_trace), no_rooms }
    }

    /// For cases that need nothing.
    pub(super) fn none() -> Self {
        Self { strace: None, no_rooms: Purpose::ALL.map(|purpose| (purpose, "not needed".to_owned())).into() }
    }

    /// Why `family` cannot be had here.
    pub(super) fn lacks(&self, family: Family) -> Option<String> {
        match family {
            KillInCall | IoError if self.strace.is_none() => Some("strace is not installed, or may not trace".to_owned()),
            _ => {
                let purpose = family.purpose()?;
                self.no_rooms.iter().find(|(lacking, _)| *lacking == purpose).map(|(_, why)| why.clone())
            }
        }
    }
}

/// Such a room is made once, to see that it can be.
fn room(purpose: Purpose) -> Result<(), String> {
    let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
    std::fs::create_dir(dir.path().join("state")).map_err(|error| error.to_string())?;
    furnish(dir.path(), purpose, &mut Random::new(0)).map(drop)
}

fn can_trace(strace: &PathBuf) -> bool {
    let mut command = std::process::Command::new(strace);
    command.args(["-D", "-o", "/dev/null", "true"]).stderr(std::process::Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

impl Family {
    pub(super) fn words(self) -> &'static str {
        match self {
            KillAtWrite => "kill -9 at a moment of a durable write",
            KillInCall => "kill -9 at a system call of a durable write",
            KillAtByte => "kill -9 at a byte of the request or its answer",
            KillAnytime => "kill -9 at any time",
            Stopped => "SIGSTOP, and SIGCONT later",
            PowerLoss => "power loss",
            Reboot => "reboot with a clock wrong by hours or years",
            DiskFull => "disk full",
            ReadOnly => "disk read-only",
            IoError => "EIO, ENOSPC or EROFS of fsync and rename",
            Clock => "clock of ROS jumps by hours or years",
            Metadata => "metadata service comes and goes",
            Credentials => "credentials expire or vanish in mid retry",
            Names => "DNS dead",
            HalfOpen => "half-open connections",
            Refused => "connections reset or refused",
            Bodies => "slow, endless and broken bodies",
            Portal => "captive portal answers 200 with HTML",
            Service => "ROS fails, throttles or loses its answer",
        }
    }

    /// By what it can be told that it has had its effect.
    pub(super) fn trace(self) -> Trace {
        match self {
            KillAtWrite | KillInCall | KillAtByte | KillAnytime | Stopped | PowerLoss | Reboot => Trace::OfTheBlow,
            DiskFull | ReadOnly | IoError => Trace::InTheLog(&["state not durable"]),
            Names => Trace::InTheLog(&["does not resolve"]),
            Metadata => Trace::InTheLog(&["metadata"]),
            HalfOpen | Refused | Bodies | Portal | Service => Trace::InTheLog(&["not acknowledged", "was not read"]),
            Clock | Credentials => Trace::None,
        }
    }

    pub(super) fn purpose(self) -> Option<Purpose> {
        match self {
            DiskFull | ReadOnly => Some(Purpose::Disk),
            Names => Some(Purpose::Names),
            Reboot => Some(Purpose::Boots),
            _ => None,
        }
    }

    /// Whether the agent's calls are tampered with.
    fn traces(self) -> bool {
        matches!(self, KillInCall | IoError)
    }

    /// Whether both can be in one case. A case has one room, and one tracer; a power loss needs an honest disk; a tracer keeps its process
    /// from stopping as others stop.
    fn goes_with(self, other: Self) -> bool {
        let both = |test: fn(Self) -> bool| test(self) && test(other);
        let either = |one: Self, test: fn(Self) -> bool| (self == one && test(other)) || (other == one && test(self));
        let weathers = |family: Self| matches!(family, HalfOpen | Refused | Portal | Bodies);
        self != other
            && !both(|family| family.purpose().is_some())
            && !both(Self::traces)
            && !both(weathers)
            && !either(PowerLoss, |family| family.purpose() == Some(Purpose::Disk) || family == IoError)
            && !either(IoError, |family| family.purpose() == Some(Purpose::Disk))
            && !either(Stopped, Self::traces)
    }
}

/// One to three families for a case: the first in turn, so that each has its share, the others by lot.
pub(super) fn draw(seed: u64, random: &mut Random, means: &Means) -> Vec<Family> {
    let there: Vec<Family> = ALL.into_iter().filter(|family| means.lacks(*family).is_none()).collect();
    let pick = |number: u64| there[usize::try_from(number % there.len() as u64).unwrap()];
    let mut drawn = vec![pick(seed)];
    for _ in 0..random.draw() % 3 {
        let other = pick(random.draw());
        if drawn.iter().all(|family| family.goes_with(other)) {
            drawn.push(other);
        }
    }
    drawn
}
