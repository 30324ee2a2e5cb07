//! Exit codes, all of them. `docs/exit-codes.md` says the same in a table, and a test compares the two.

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It is done, or it is so. For `check`: passing.
    Ok,
    /// It failed, for a reason that has no code of its own.
    Failure,
    /// `check`: the worst check is warning.
    CheckWarning,
    /// `check`: the worst check is critical.
    CheckCritical,
    /// `check`: a check could not be asked, or `check` itself failed.
    CheckUnknown,
    /// `doctor`: a step failed.
    Unwell,
    /// The command line is wrong (EX_USAGE of sysexits.h).
    Usage,
    /// `signal`: not acknowledged in time (EX_TEMPFAIL of sysexits.h).
    Unacknowledged,
    /// The configuration is invalid (EX_CONFIG of sysexits.h).
    Configuration,
    /// `wait`, `rehearse`, `events send`: the time is up (as timeout(1) has it).
    TimedOut,
}

impl Exit {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Ok,
        Self::Failure,
        Self::CheckWarning,
        Self::CheckCritical,
        Self::CheckUnknown,
        Self::Unwell,
        Self::Usage,
        Self::Unacknowledged,
        Self::Configuration,
        Self::TimedOut,
    ];

    /// What the process exits with.
    pub const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Failure | Self::CheckWarning | Self::Unwell => 1,
            Self::CheckCritical => 2,
            Self::CheckUnknown => 3,
            Self::Usage => 64,
            Self::Unacknowledged => 75,
            Self::Configuration => 78,
            Self::TimedOut => 124,
        }
    }

    /// The commands that may exit so.
    pub const fn commands(self) -> &'static str {
        match self {
            Self::Ok | Self::Usage => "all",
            Self::Failure => "all but `check`",
            Self::CheckWarning | Self::CheckCritical | Self::CheckUnknown => "`check`",
            Self::Unwell => "`doctor`",
            Self::Unacknowledged => "`signal`",
            Self::Configuration => "`run`, `check`, `plan`, `config check`, `config show`, `signal` sent alone, `rehearse`",
            Self::TimedOut => "`wait`, `rehearse`, `events send`",
        }
    }

    /// What it means.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Ok => "done, or it is so; for `check`: all passing",
            Self::Failure => "failed; standard error says why",
            Self::CheckWarning => "the worst check is warning, or a wanted check does not pass",
            Self::CheckCritical => "a required check is critical",
            Self::CheckUnknown => "a required check could not be asked, or `check` itself failed",
            Self::Unwell => "a step failed: a signal would not arrive like this; the output says why and what to do",
            Self::Usage => "the command line is wrong",
            Self::Unacknowledged => "ROS did not acknowledge the signal within `--timeout`; trying again is safe",
            Self::Configuration => "the configuration is invalid; standard error says all that is wrong",
            Self::TimedOut => "it was not so within `--timeout` (`events send`: within 5 s)",
        }
    }
}
