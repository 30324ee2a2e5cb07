//! What `warn` and `crit` of a check judge: what the number is, how its ends are written, and in which direction it becomes worse.

use super::{DiskMeasure, FileMeasure, LoadMeasure, MemoryMeasure, Probe};
use crate::check::Thresholds;

/// A number that a check judges.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured<'a> {
    /// Its name, for people.
    pub what: &'static str,
    /// What it counts.
    pub unit: Counted,
    /// Which numbers are worse; none: it depends on what is asked.
    pub worse: Option<Worse>,
    /// `warn` and `crit`.
    pub thresholds: &'a Thresholds,
}

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// Things, or a number without a unit.
    Plain,
    /// Bytes.
    Bytes,
    /// Percent.
    Percent,
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Milliseconds,
    /// Days.
    Days,
}

/// In which direction a number becomes worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worse {
    /// Less is worse: room that is left.
    Less,
    /// More is worse: load.
    More,
}

impl Probe {
    /// What `warn` and `crit` judge, of a kind that measures something.
    pub fn measured(&self) -> Option<Measured<'_>> {
        let number = |what, unit, worse, thresholds| Some(Measured { what, unit, worse, thresholds });
        let (less, more) = (Some(Worse::Less), Some(Worse::More));
        match self {
            Self::Load(load) => number(load_words(load.measure, load.per_cpu), Counted::Plain, more, &load.thresholds),
            Self::Memory(memory) => match memory.measure {
                MemoryMeasure::AvailablePercent => number("memory available", Counted::Percent, less, &memory.thresholds),
                MemoryMeasure::Available => number("memory available", Counted::Bytes, less, &memory.thresholds),
                MemoryMeasure::UsedPercent => number("memory in use", Counted::Percent, more, &memory.thresholds),
                MemoryMeasure::SwapUsedPercent => number("swap in use", Counted::Percent, more, &memory.thresholds),
            },
            Self::Disk(disk) => match disk.measure {
                DiskMeasure::FreePercent => number("room that is free", Counted::Percent, less, &disk.thresholds),
                DiskMeasure::Free => number("room that is free", Counted::Bytes, less, &disk.thresholds),
                DiskMeasure::UsedPercent => number("room in use", Counted::Percent, more, &disk.thresholds),
                DiskMeasure::InodesFreePercent => number("inodes that are free", Counted::Percent, less, &disk.thresholds),
            },
            Self::Process(process) if process.thresholds.is_empty() => None,
            Self::Process(process) => number("number of processes", Counted::Plain, None, &process.thresholds),
            Self::Clock(clock) => number("clock off, ahead or behind", Counted::Seconds, more, &clock.thresholds),
            Self::File(file) => match file.present.as_ref()?.measure.as_ref()? {
                (FileMeasure::Size, thresholds) => number("size", Counted::Bytes, None, thresholds),
                (FileMeasure::Age, thresholds) => number("age", Counted::Seconds, None, thresholds),
            },
            Self::Dns(dns) => number("time of the answer", Counted::Milliseconds, more, &dns.thresholds),
            Self::Certificate(certificate) => number("time left", Counted::Days, less, &certificate.thresholds),
            _ => None,
        }
    }
}

fn load_words(measure: LoadMeasure, per_cpu: bool) -> &'static str {
    match (measure, per_cpu) {
        (LoadMeasure::Load1, false) => "load1",
        (LoadMeasure::Load5, false) => "load5",
        (LoadMeasure::Load15, false) => "load15",
        (LoadMeasure::Load1, true) => "load1 per CPU",
        (LoadMeasure::Load5, true) => "load5 per CPU",
        (LoadMeasure::Load15, true) => "load15 per CPU",
    }
}
