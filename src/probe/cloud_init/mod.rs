//! `type = "cloud-init"`: what cloud-init came to, from the files it leaves in /run/cloud-init.
//!
//! The rules are those of cloud-init's own `cmd/status.py`: it is running while `status.json` is there and `result.json` is not; done when
//! `result.json` is. Nothing is ever run, least of all `cloud-init status --wait`, which never ends when cloud-init waits for us. Both files
//! are links to /var/lib/cloud/data, read up to 1 MiB, on a thread apart. What happened in this boot counts before what is forbidden for
//! the next: the marks that disable cloud-init are asked only where neither file is.

#[cfg(fuzzing)]
pub(super) mod fuzzing;
mod report;

use super::progress::Progress;
use super::text::{one_line, quoted, span};
use super::threads::Apart;
use crate::check::{Health, Observation};
use crate::clock;
use crate::plan::{CloudInit, Name};
use report::Report;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What is read of each file.
const LIMIT: u64 = 1024 * 1024;
/// One of these is there where cloud-init is installed. Not its configuration and its data: where it was removed, but not purged, they stay.
const INSTALLED: [&str; 4] = ["usr/bin/cloud-init", "usr/local/bin/cloud-init", "usr/lib/cloud-init", "usr/libexec/cloud-init"];

/// Makes one observation. The caller keeps the time.
pub(super) async fn look(check: &Name, cloud_init: &CloudInit, apart: &Apart, progress: &Progress) -> Observation {
    let (asked, run_dir) = (cloud_init.clone(), cloud_init.run_dir.display().to_string());
    let looked = apart.look(check, &one_line(&run_dir), progress, move || examine(&asked)).await;
    looked.unwrap_or_else(|observation| observation)
}

/// What to follow.
pub(super) fn paths(cloud_init: &CloudInit) -> Vec<PathBuf> {
    let mut paths: Vec<_> = ["result.json", "status.json", "disabled"].map(|name| cloud_init.run_dir.join(name)).into();
    paths.push(cloud_init.root.join("etc/cloud/cloud-init.disabled"));
    paths
}

fn examine(cloud_init: &CloudInit) -> Observation {
    let read = |name: &str| read(&cloud_init.run_dir.join(name));
    match (read("result.json"), read("status.json")) {
        (Err(trouble), _) => trouble,
        (Ok(Some(result)), status) => ended(cloud_init, &result, status.ok().flatten().as_ref()),
        (Ok(None), Err(trouble)) => trouble,
        (Ok(None), Ok(Some(status))) => running(&status),
        (Ok(None), Ok(None)) => not_begun(cloud_init),
    }
}

/// None: the file is not there.
fn read(path: &Path) -> Result<Option<Report>, Observation> {
    let mut bytes = Vec::new();
    let opened = open(path);
    match opened.and_then(|file| file.take(LIMIT + 1).read_to_end(&mut bytes)) {
        Ok(_) => {}
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
        Err(error) => return Err(unknown(path, &format!("cannot be read: {error}"))),
    }
    if bytes.len() as u64 > LIMIT {
        return Err(unknown(path, "has more than 1 MiB"));
    }
    let report = Report::parse(&bytes).map_err(|error| unknown(path, &format!("is not understood: {}", one_line(&error))))?;
    Ok(Some(report))
}

fn open(path: &Path) -> io::Result<std::fs::File> {
    use rustix::fs::{Mode, OFlags};
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    Ok(rustix::fs::open(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())?.into())
}

fn unknown(path: &Path, what: &str) -> Observation {
    Observation::new(Health::Unknown, format!("{} {what}", one_line(&path.display().to_string())))
}

/// `result.json` is there: cloud-init does nothing more in this boot.
fn ended(cloud_init: &CloudInit, result: &Report, status: Option<&Report>) -> Observation {
    let reports = || std::iter::once(result).chain(status);
    let source =
        reports().find_map(|report| report.datasource.as_deref()).map_or_else(String::new, |source| format!(" ({})", one_line(source)));
    let count = |most: Option<usize>| most.unwrap_or(0);
    // Both files tell the same errors.
    let errors = count(reports().map(|report| report.errors.count).max());
    if let Some(first) = reports().find_map(|report| report.errors.first.as_deref()) {
        let message = format!("cloud-init failed{source}: {}{}; see cloud-init status --long", quoted(first), more(errors));
        return with_counts(Observation::new(Health::Critical, message).terminal(), errors, 0);
    }
    let recoverable = count(reports().map(|report| report.recoverable.count).max());
    if let Some(first) = reports().find_map(|report| report.recoverable.first.as_deref()) {
        let message = format!("cloud-init is done{source}, but degraded: {}{}", quoted(first), more(recoverable));
        let seen = Observation::new(cloud_init.degraded, message);
        let seen = if cloud_init.degraded == Health::Critical { seen.terminal() } else { seen };
        return with_counts(seen, errors, recoverable);
    }
    with_counts(Observation::new(Health::Passing, format!("cloud-init is done{source}")), 0, 0)
}

fn with_counts(seen: Observation, errors: usize, recoverable: usize) -> Observation {
    #[expect(clippy::cast_precision_loss, reason = "no more of them than bytes in a file")]
    seen.reading("errors", errors as f64, "").reading("recoverable errors", recoverable as f64, "")
}

fn more(count: usize) -> String {
    if count > 1 { format!(" and {} more", count - 1) } else { String::new() }
}

/// `status.json` is there, `result.json` is not.
fn running(status: &Report) -> Observation {
    let since = |at: Option<f64>| at.and_then(moment).map_or_else(String::new, |at| format!(" since {at}"));
    let now = match (&status.stage, status.last_finished()) {
        (Some(stage), _) => {
            let started = status.stage(stage).and_then(|stage| stage.start);
            format!("cloud-init is running: in stage {}{}", one_line(stage), since(started))
        }
        (None, Some((name, finished))) => format!("cloud-init is running: between stages{}, {name} is done", since(Some(finished))),
        (None, None) => "cloud-init has begun, but no stage has".to_owned(),
    };
    let errors = status.errors.count;
    let message = match &status.errors.first {
        Some(first) => format!("{now}; it has failed already: {}{}", quoted(first), more(errors)),
        None => now,
    };
    with_counts(Observation::new(Health::Critical, message), errors, status.recoverable.count)
}

/// When a stage began or ended; none: at no time that a host has seen. Cloud-init wrote seconds since 1970 first; versions of our days
/// write seconds since boot. Nobody is up for thirty years.
fn moment(seconds: f64) -> Option<String> {
    const UP_AT_MOST: f64 = 1_000_000_000.0;
    const YEAR_3000: f64 = 32_503_680_000.0;
    if (0.0..UP_AT_MOST).contains(&seconds) {
        return Some(format!("{} after boot", span(Duration::from_secs_f64(seconds.round()))));
    }
    #[expect(clippy::cast_possible_truncation, reason = "in bounds, and a part of a millisecond is nothing here")]
    (UP_AT_MOST..YEAR_3000).contains(&seconds).then(|| clock::rfc3339((seconds * 1000.0) as i64))
}

fn not_begun(cloud_init: &CloudInit) -> Observation {
    if let Some(mark) = disabling(cloud_init) {
        return Observation::new(cloud_init.disabled, format!("cloud-init is disabled by {mark}"));
    }
    let installed = cloud_init.run_dir.exists() || INSTALLED.iter().any(|path| cloud_init.root.join(path).exists());
    if !installed {
        return Observation::new(cloud_init.not_installed, "cloud-init is not installed");
    }
    let run_dir = one_line(&cloud_init.run_dir.display().to_string());
    Observation::new(Health::Critical, format!("cloud-init has not begun: there is no status.json in {run_dir}"))
}

/// What keeps cloud-init from running, in its own order: `cloud-init=enabled` on the kernel's command line goes before all.
fn disabling(cloud_init: &CloudInit) -> Option<String> {
    let mut line = String::new();
    let path = cloud_init.root.join("proc/cmdline");
    // Without a command line there is none of its words.
    let _ = std::fs::File::open(path).and_then(|file| file.take(64 * 1024).read_to_string(&mut line));
    let says = |word: &str| line.split_whitespace().any(|part| part == word);
    if says("cloud-init=enabled") {
        return None;
    }
    let marks = [cloud_init.root.join("etc/cloud/cloud-init.disabled"), cloud_init.run_dir.join("disabled")];
    if let Some(mark) = marks.iter().find(|mark| mark.exists()) {
        return Some(one_line(&mark.display().to_string()));
    }
    says("cloud-init=disabled").then(|| "cloud-init=disabled on the kernel's command line".to_owned())
}
