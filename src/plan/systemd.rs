//! The keys of `type = "systemd"`, validated.

use std::time::Duration;

/// A unit of systemd, or its system as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Systemd {
    /// `unit`.
    Unit(Unit),
    /// `system = true`.
    System(System),
}

/// One unit, and what its state must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// `unit`: its name with its suffix, such as `nginx.service`.
    pub name: String,
    /// `stable_for`: how long it must have been active without a break, 0 s.
    pub stable_for: Duration,
    /// `max_restarts`: automatic restarts beyond which it is in a crash loop, 3.
    pub max_restarts: u32,
    /// `condition_unmet`.
    pub condition_unmet: ConditionUnmet,
}

/// What it means that systemd skipped the start because a `Condition...=` of the unit does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConditionUnmet {
    /// The unit is not for this host.
    Passing,
    /// The unit does not run.
    Critical,
}

/// The state of the whole system, as `systemctl is-system-running` says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct System {
    /// `accept`: states that pass; `[running]`.
    pub accept: Vec<SystemState>,
    /// `ignore_units`: failed units because of which alone `degraded` passes.
    pub ignore_units: Vec<String>,
}

/// A state of the whole system; systemctl(1), `is-system-running`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SystemState {
    /// Early boot.
    Initializing,
    /// Late boot: jobs are queued.
    Starting,
    /// Fully up.
    Running,
    /// Up, but units have failed.
    Degraded,
    /// The rescue or emergency target.
    Maintenance,
    /// Shutting down.
    Stopping,
}

impl SystemState {
    /// All of them, in the order of a boot.
    pub const ALL: [Self; 6] = [Self::Initializing, Self::Starting, Self::Running, Self::Degraded, Self::Maintenance, Self::Stopping];

    /// The word of systemd.
    pub fn word(self) -> &'static str {
        match self {
            Self::Initializing => "initializing",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Degraded => "degraded",
            Self::Maintenance => "maintenance",
            Self::Stopping => "stopping",
        }
    }

    /// The state that systemd calls `word`.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.word() == word)
    }
}
