//! `type = "load"`.

use crate::check::Thresholds;

/// The load of the host and what it may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    /// `measure`, load5.
    pub measure: LoadMeasure,
    /// `per_cpu`: divided by the CPUs that are online; false.
    pub per_cpu: bool,
    /// `warn` and `crit`.
    pub thresholds: Thresholds,
}

/// Which average of proc_loadavg(5) is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadMeasure {
    /// Over 1 minute.
    Load1,
    /// Over 5 minutes.
    Load5,
    /// Over 15 minutes.
    Load15,
}
