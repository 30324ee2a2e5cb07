//! What the kernel knows of a process: processor time, memory, threads, descriptors, switches, children.

use std::collections::BTreeMap;
use std::process::{Child, Command};
use std::time::Duration;

/// A process that is ended when it is dropped.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Once it was waited for, its number may be another's.
        if let Ok(None) = self.0.try_wait() {
            let _ = Command::new("kill").arg(self.0.id().to_string()).status();
            let _ = self.0.wait();
        }
    }
}

impl Running {
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }
}

/// Memory of a process in KiB (proc(5), smaps_rollup): resident, the share of it that is its own where pages are shared, and what nobody else has.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Memory {
    pub(crate) resident: u64,
    pub(crate) proportional: u64,
    pub(crate) private: u64,
}

pub(crate) fn memory(pid: u32) -> Memory {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let field = |name: &str| field(&text, name);
    Memory { resident: field("Rss:"), proportional: field("Pss:"), private: field("Private_Clean:") + field("Private_Dirty:") }
}

/// A field of /proc/PID/status.
pub(crate) fn status(pid: u32, name: &str) -> u64 {
    field(&std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap(), name)
}

pub(crate) fn descriptors(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// Processor time of a process and of its children that have ended; its grain is 10 ms.
pub(crate) fn cpu(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<_> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    Duration::from_millis(10 * fields[11..15].iter().map(|field| field.parse::<u64>().unwrap()).sum::<u64>())
}

/// How often each of its threads has gone to sleep, that is, how often it was woken, by its number.
pub(crate) fn wakeups(pid: u32) -> BTreeMap<u32, u64> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let counted = threads.filter_map(|entry| {
        let entry = entry.ok()?;
        let status = std::fs::read_to_string(entry.path().join("status")).ok()?;
        Some((entry.file_name().to_str()?.parse().ok()?, field(&status, "voluntary_ctxt_switches:")))
    });
    counted.collect()
}

/// Children that have ended and were not waited for.
pub(crate) fn zombies(parent: u32) -> usize {
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(|entry| std::fs::read_to_string(entry.ok()?.path().join("stat")).ok());
    let states = processes.filter_map(|stat| {
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
        Some((fields.next()?.to_owned(), fields.next()?.parse::<u32>().ok()?))
    });
    states.filter(|(state, of)| state == "Z" && *of == parent).count()
}

fn field(text: &str, name: &str) -> u64 {
    text.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// Processor time of a process itself, and of its children that were waited for.
pub(crate) fn cpu_apart(pid: u32) -> (Duration, Duration) {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<_> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let of = |range: std::ops::Range<usize>| {
        Duration::from_millis(10 * fields[range].iter().map(|field| field.parse::<u64>().unwrap()).sum::<u64>())
    };
    (of(11..13), of(13..15))
}

/// The children that have ended and were not waited for.
pub(crate) fn ended_children(parent: u32) -> std::collections::BTreeSet<u32> {
    let pids = std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let is_ended = |pid: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let mut fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
        fields.next() == Some("Z") && fields.next() == Some(&parent.to_string())
    };
    pids.filter(is_ended).collect()
}
