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
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Kept for killing a journalctl that hangs.
const GRACE: Duration = Duration::from_millis(500);
/// Where it is looked for without a `PATH`.
const USUAL: &str = "/usr/bin:/bin";

/// What systemd and the journal say; none: there was nothing to ask.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gathered {
    /// A line for each unit.
    pub units: Option<String>,
    /// The last lines of each, below its name.
    pub journal: Option<Vec<String>>,
}

impl Gathered {
    /// The whole report in at most about `limit` bytes: the core's part first, and room for the others.
    pub(super) fn text(&self, draft: &Draft, limit: usize) -> String {
        let units = self.units.as_ref().map(|units| cut(units, limit / 8));
        let journal = self.journal.as_ref().map(|journal| shared(journal, limit / 3));
        let others = units.as_ref().map_or(0, String::len) + journal.as_ref().map_or(0, String::len);
        let mut text = cut(&draft.text, limit.saturating_sub(others + 256));
        if let Some(units) = units {
            let _ = write!(text, "\nunits\n{units}");
        }
        if let Some(journal) = journal {
            let _ = write!(text, "\njournal\n{journal}");
        }
        text
    }
}

/// `journals` in about `limit` bytes together: what one leaves others may take, and of each the last lines are kept.
fn shared(journals: &[String], limit: usize) -> String {
    let mut lengths: Vec<usize> = journals.iter().map(String::len).collect();
    lengths.sort_unstable();
    let (mut left, mut most) = (limit, usize::MAX);
    for (place, length) in lengths.iter().enumerate() {
        let share = left / (lengths.len() - place);
        if *length > share {
            most = share;
            break;
        }
        left -= length;
    }
    journals.iter().map(|journal| last_lines(journal, most)).collect()
}

/// The first line of `journal` and the last ones, in about `limit` bytes, with a word about what is missing.
fn last_lines(journal: &str, limit: usize) -> String {
    let (name, lines) = journal.split_once('\n').unwrap_or((journal, ""));
    if journal.len() <= limit {
        return journal.to_owned();
    }
    let room = limit.saturating_sub(name.len() + 40);
    let from = (lines.len().saturating_sub(room)..=lines.len()).find(|at| lines.get(..*at).is_some_and(|before| before.ends_with('\n')));
    let from = from.unwrap_or(lines.len());
    format!("{name}\n    [{from} bytes cut]\n{}", lines.get(from..).unwrap_or_default())
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

/// Asks about `units`, within [`super::GATHERING`], each when its turn comes.
pub(super) async fn gather(prober: &Arc<Prober>, journalctl: &Path, units: &[String], lines: u32, turns: &Arc<Semaphore>) -> Gathered {
    let units = units.get(..units.len().min(Report::UNITS)).unwrap_or_default();
    if units.is_empty() {
        return Gathered::default();
    }
    let end = Instant::now() + super::GATHERING;
    let mut jobs = JoinSet::new();
    let mut states = vec![None; units.len()];
    let mut journals = vec![None; units.len()];
    for (index, unit) in units.iter().enumerate() {
        let (prober, journalctl, unit, turns) = (Arc::clone(prober), journalctl.to_owned(), unit.clone(), Arc::clone(turns));
        jobs.spawn(async move {
            let turn = tokio::time::timeout_at(end, turns.acquire_owned()).await;
            let _turn = turn.ok()?.ok()?;
            Some(ask(prober, journalctl, unit, lines, end, index).await)
        });
    }
    loop {
        match tokio::time::timeout_at(end + GRACE, jobs.join_next()).await {
            Ok(Some(Ok(Some((index, state, journal))))) => {
                if let (Some(into), Some(said)) = (states.get_mut(index), journals.get_mut(index)) {
                    (*into, *said) = (Some(state), journal);
                }
            }
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => break,
        }
    }
    let mut told = String::new();
    let mut blocks = Vec::new();
    for ((unit, state), journal) in units.iter().zip(states).zip(journals) {
        let _ = writeln!(told, "  {}", state.unwrap_or_else(|| format!("{unit}: not known in time")));
        let said = journal.unwrap_or_else(|| "not read in time".to_owned());
        let lines = said.lines().map(|line| format!("    | {line}\n"));
        blocks.push([format!("  {unit}\n")].into_iter().chain(lines).collect());
    }
    Gathered { units: Some(told), journal: (lines > 0).then_some(blocks) }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn journal(unit: &str, lines: usize) -> String {
        (0..lines).fold(format!("  {unit}\n"), |text, line| format!("{text}    | line {line}\n"))
    }

    #[test]
    fn scenario_30_a_unit_that_says_much_takes_no_room_from_the_others_and_the_last_lines_are_kept() {
        let journals = [journal("chatty.service", 400), journal("failed.service", 20), journal("chatty-too.service", 400)];
        let shown = shared(&journals, 2_000);
        assert!(shown.len() <= 2_100, "{}", shown.len());
        assert!(shown.contains(&journals[1]), "{shown}");
        assert!(shown.starts_with("  chatty.service\n    ["), "{shown}");
        assert_eq!(shown.matches("    | line 399\n").count(), 2, "{shown}");
        assert_eq!(shared(&journals, 1 << 20), journals.concat());
        assert_eq!(shared(&[], 10), "");
    }
}
