//! `type = "memory"`.

use crate::check::Thresholds;

/// The memory of the host and how much of it must be left.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Memory {
    /// `measure`, available_percent.
    pub measure: MemoryMeasure,
    /// `warn` and `crit`.
    pub thresholds: Thresholds,
}

/// Which number is judged, from proc_meminfo(5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryMeasure {
    /// MemAvailable in percent of MemTotal.
    AvailablePercent,
    /// MemAvailable in bytes.
    Available,
    /// What is not available, in percent of MemTotal.
    UsedPercent,
    /// Swap in use, in percent of SwapTotal; 0 without swap.
    SwapUsedPercent,
}
