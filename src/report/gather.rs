//! Unit states and journal lines, asked by the same means as checks: a `systemd` check without demands, and a child that is bounded, alone
//! in its process group, and without an environment of ours.

use crate::agent::Draft;
use crate::check::clip;
use crate::plan::{Check, ConditionUnmet, Exec, ExitCodes, Level, Probe, Report, Systemd, Unit};
use crate::probe::{Job, Prober};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Units asked at once.
const AT_ONCE: usize = 4;
/// Kept for killing a journalctl that hangs.
const GRACE: Duration = Duration::from_millis(500);
/// Where it is looked for without a `PATH`.
const USUAL: &str = "/usr/bin:/bin";

/// What systemd and the journal say; none: there was nothing to ask.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gathered {
    /// A line for each unit.
    pub units: Option<String>,
    /// The last lines of each.
    pub journal: Option<String>,
}

impl Gathered {
    /// The whole report in at most about `limit` bytes: the core's part first, and room for the others.
    pub(super) fn text(&self, draft: &Draft, limit: usize) -> String {
        let room = |part: &Option<String>, most: usize| part.as_ref().map_or(0, |text| text.len().min(most));
        let others = room(&self.units, limit / 8) + room(&self.journal, limit / 3);
        let mut text = cut(&draft.text, limit.saturating_sub(others + 256));
        if let Some(units) = &self.units {
            let _ = write!(text, "\nunits\n{}", cut(units, limit / 8));
        }
        if let Some(journal) = &self.journal {
            let _ = write!(text, "\njournal\n{}", cut(journal, limit / 3));
        }
        text
    }
}

/// `text` in at most `limit` bytes, whole lines, with a word about what is missing.
fn cut(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    let kept = clip(text.to_owned(), limit.saturating_sub(40));
    let end = kept.rfind('\n').map_or(kept.len(), |at| at + 1);
    let kept = kept.get(..end).unwrap_or_default();
    format!("{kept}  [{} bytes cut]\n", text.len() - kept.len())
}

/// Where `journalctl` is; where it usually is if it is nowhere.
pub(super) fn journalctl(path: Option<&String>) -> PathBuf {
    let places = path.map_or(USUAL, String::as_str).split(':').filter(|place| place.starts_with('/'));
    let found = places.map(|place| Path::new(place).join("journalctl")).find(|program| program.is_file());
    found.unwrap_or_else(|| PathBuf::from("/usr/bin/journalctl"))
}

/// Asks about `units`, within [`super::GATHERING`].
pub(super) async fn gather(prober: &Arc<Prober>, journalctl: &Path, units: &[String], lines: u32) -> Gathered {
    let units = units.get(..units.len().min(Report::UNITS)).unwrap_or_default();
    if units.is_empty() {
        return Gathered::default();
    }
    let end = Instant::now() + super::GATHERING;
    let mut jobs = JoinSet::new();
    let mut states = vec![None; units.len()];
    let mut journals = vec![None; units.len()];
    let mut waiting = units.iter().enumerate();
    loop {
        while jobs.len() < AT_ONCE
            && let Some((index, unit)) = waiting.next()
        {
            jobs.spawn(ask(Arc::clone(prober), journalctl.to_owned(), unit.clone(), lines, end, index));
        }
        match tokio::time::timeout_at(end + GRACE, jobs.join_next()).await {
            Ok(Some(Ok((index, state, journal)))) => {
                if let (Some(into), Some(said)) = (states.get_mut(index), journals.get_mut(index)) {
                    (*into, *said) = (Some(state), journal);
                }
            }
            Ok(Some(Err(_))) => {}
            Ok(None) | Err(_) => break,
        }
    }
    let mut gathered = Gathered { units: Some(String::new()), journal: (lines > 0).then(String::new) };
    for ((unit, state), journal) in units.iter().zip(states).zip(journals) {
        if let Some(text) = &mut gathered.units {
            let _ = writeln!(text, "  {}", state.unwrap_or_else(|| format!("{unit}: not known in time")));
        }
        if let Some(text) = &mut gathered.journal {
            let _ = writeln!(text, "  {unit}");
            let said = journal.unwrap_or_else(|| "not read in time".to_owned());
            for line in said.lines() {
                let _ = writeln!(text, "    | {line}");
            }
        }
    }
    gathered
}

/// State and journal of one unit.
async fn ask(
    prober: Arc<Prober>,
    journalctl: PathBuf,
    unit: String,
    lines: u32,
    end: Instant,
    index: usize,
) -> (usize, String, Option<String>) {
    let state = async {
        let probe = Probe::Systemd(Systemd::Unit(Unit {
            name: unit.clone(),
            stable_for: Duration::ZERO,
            max_restarts: 3,
            condition_unmet: ConditionUnmet::Critical,
        }));
        let seen = prober.run(job(&unit, probe, end)).await;
        let restarts = seen.readings.iter().find(|reading| reading.label == "restarts" && reading.value > 0.0);
        let restarts = restarts.map_or(String::new(), |restarts| format!(", {} restarts", restarts.value));
        if seen.message.contains(&unit) { format!("{}{restarts}", seen.message) } else { format!("{unit}: {}{restarts}", seen.message) }
    };
    let journal = async {
        if lines == 0 {
            return None;
        }
        // Without -q: it says so where this user may not see the journal.
        let arguments = ["-u", &unit, "-n", &lines.to_string(), "-o", "short-iso", "--no-pager"].map(str::to_owned);
        let command = [journalctl.to_string_lossy().into_owned()].into_iter().chain(arguments).collect();
        let probe = Probe::Exec(Exec {
            command,
            exit_codes: ExitCodes::Zero,
            fatal: Vec::new(),
            kill_grace: GRACE / 5,
            environment: BTreeMap::new(),
            working_directory: PathBuf::from("/"),
        });
        let seen = prober.run(job(&unit, probe, end)).await;
        Some(if seen.output.trim().is_empty() { seen.message } else { seen.output })
    };
    let (state, journal) = tokio::join!(state, journal);
    (index, state, journal)
}

/// One look that may take until `end`.
fn job(unit: &str, probe: Probe, end: Instant) -> Job {
    let moment = Duration::from_secs(1);
    let check = Check {
        // No name of the configuration has a colon in it.
        name: Arc::from(format!("report:{unit}")),
        level: Level::Wanted,
        interval: moment,
        start_interval: moment,
        timeout: end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1)),
        initial_delay: Duration::ZERO,
        start_period: Duration::ZERO,
        success_threshold: 1,
        failure_threshold: 1,
        depends_on: Vec::new(),
        tags: Vec::new(),
        probe,
    };
    Job { check: Arc::new(check), attempt: 1, deadline_unix_ms: None }
}
