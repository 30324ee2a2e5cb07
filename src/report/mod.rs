//! The failure report: what a person needs when the instance and its logs are gone.
//!
//! The core writes the part that it knows ([`Draft`]); here units and their journal are added, secrets taken out (`redact`), and the whole
//! is printed, kept (`shelf`) and handed back. Nothing here decides anything, and nothing here can hold up a FAILURE: the core waits for the
//! report no longer than it says itself.
//!
//! Bounds: [`GATHERING`] for everything that is asked, [`KEEPING`] for disk and console, [`plan::Report::UNITS`] units of which four are asked
//! at once, [`PRINTED`] and [`KEPT`] bytes, one thread for the disk and one for the console: reports of signals that fail together take turns
//! at all of this, and one whose turn does not come in time is not printed, or not kept, or tells no units, and the log or the report says so.

#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod gather;
mod redact;
mod shelf;

pub use gather::Gathered;
pub use redact::{HIDDEN, Redactor};
pub use shelf::{Filed, REPORTS, Shelf};

use crate::agent::Draft;
use crate::check::clip;
use crate::plan::{self, Plan, Probe};
use crate::probe::Prober;
use crate::secret::{self, Secret};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// For asking systemd and the journal.
pub const GATHERING: Duration = Duration::from_secs(3);
/// For the disk, and again for the console.
pub const KEEPING: Duration = Duration::from_millis(700);
/// What goes to standard output, in bytes.
pub const PRINTED: usize = 16 * 1024;
/// What is kept, in bytes.
pub const KEPT: usize = 64 * 1024;
/// What is handed to transports, in bytes.
const CARRIED: usize = 16 * 1024;
/// Units asked at once, for all reports before a FAILURE together, and for each of the others.
const UNITS_AT_ONCE: usize = 4;
/// Reports as it would be now that are made at once.
const ASKED_AT_ONCE: usize = 2;
/// Values of the configuration shorter than this are no secrets.
const SHORTEST: usize = 8;
/// Files with passwords that are read for hiding what is in them.
const PASSWORD_FILES: usize = 64;

/// A report as others see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// The signal.
    pub signal: String,
    /// Whose it is, once known.
    pub instance_id: Option<String>,
    /// When it was made, RFC 3339.
    pub at: String,
    /// It was made before a FAILURE; false: as it would be now.
    pub failure: bool,
    /// The whole.
    pub text: String,
}

/// Makes reports. Clones are one.
#[derive(Clone)]
pub struct Reporter {
    prober: Arc<Prober>,
    journalctl: PathBuf,
    environment: Arc<Vec<Secret>>,
    shelf: Shelf,
    gathering: Arc<Semaphore>,
    passwords: Passwords,
    disk: Lane,
    console: Lane,
    shown: Lane,
    asked: Arc<Semaphore>,
    printing: Printing,
}

/// Turns at what may hang, each on a thread of its own.
type Lane = Arc<Semaphore>;

/// Those of files, and what was read of them last: a disk that hangs must not bring one to light.
#[derive(Clone)]
struct Passwords {
    lane: Lane,
    last: Arc<Mutex<Vec<Secret>>>,
}

/// Whether standard output is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Printing {
    /// To the journal and console.
    StandardOutput,
    /// It is the caller's.
    No,
}

impl Reporter {
    /// One that asks with `prober` and keeps its reports in `state_dir`.
    pub fn new(prober: Arc<Prober>, environment: &HashMap<String, String>, state_dir: &Path, printing: Printing) -> Self {
        let secrets = environment.iter().filter(|(name, value)| value.len() >= SHORTEST && crate::config::is_secret_name(name));
        Self {
            prober,
            journalctl: gather::journalctl(environment.get("PATH")),
            environment: Arc::new(secrets.map(|(_, value)| Secret::new(value)).collect()),
            shelf: Shelf::new(state_dir),
            gathering: Arc::new(Semaphore::new(UNITS_AT_ONCE)),
            passwords: Passwords { lane: Arc::new(Semaphore::new(1)), last: Arc::default() },
            disk: Arc::new(Semaphore::new(1)),
            console: Arc::new(Semaphore::new(1)),
            shown: Arc::new(Semaphore::new(ASKED_AT_ONCE)),
            asked: Arc::new(Semaphore::new(ASKED_AT_ONCE)),
            printing,
        }
    }

    /// Completes the report before a FAILURE, prints and keeps it, and gives what transports may carry.
    pub async fn make(&self, draft: Draft, plan: Arc<Plan>) -> Arc<str> {
        let gathered = self.gather(&draft, &plan.report, &self.gathering).await;
        let known = self.known(&plan).await;
        let short = known.clean(&gathered.text(&draft, PRINTED));
        let whole = known.clean(&gathered.text(&draft, KEPT));
        let carried = if plan.report.journal_to_handle { gathered } else { Gathered { journal: None, ..gathered } };
        let carried = known.clean(&carried.text(&draft, CARRIED));
        let filed = Filed {
            signal: draft.signal.to_string(),
            instance_id: draft.instance_id.clone().unwrap_or_default(),
            at: draft.at.clone(),
            text: clip(whole, KEPT),
        };
        let shelf = self.shelf.clone();
        let kept = apart(&self.disk, KEEPING, move || shelf.keep(&filed));
        let printed = async {
            if self.printing == Printing::StandardOutput {
                return apart(&self.console, KEEPING, move || print(&clip(short, PRINTED))).await;
            }
            Ok(Ok(()))
        };
        let (kept, printed) = tokio::join!(kept, printed);
        for (what, result) in [("kept", flat(kept)), ("printed", flat(printed))] {
            if let Err(error) = result {
                tracing::warn!(target: "agent", "the failure report could not be {what}: {error}");
            }
        }
        Arc::from(clip(carried, CARRIED))
    }

    /// The report as it would be now.
    pub async fn now(&self, draft: Draft, plan: Arc<Plan>) -> View {
        let _turn = self.asked.acquire().await;
        // Whoever asks has turns of his own: no FAILURE waits for them.
        let gathered = self.gather(&draft, &plan.report, &Arc::new(Semaphore::new(UNITS_AT_ONCE))).await;
        let text = self.known(&plan).await.clean(&gathered.text(&draft, KEPT));
        View {
            signal: draft.signal.to_string(),
            instance_id: draft.instance_id.clone(),
            at: draft.at.clone(),
            failure: false,
            text: clip(text, KEPT),
        }
    }

    /// The last report before a FAILURE of `signal`, or of any, that this instance has kept.
    pub async fn last(&self, instance_id: Option<String>, signal: Option<String>) -> Option<View> {
        let shelf = self.shelf.clone();
        let found = apart(&self.shown, GATHERING, move || shelf.last(instance_id.as_deref(), signal.as_deref())).await;
        Some(found.ok()??.view())
    }

    /// `text` without what is known here and now to be secret, or looks so; files with passwords are not read for it.
    pub fn hide(&self, text: &str, plan: &Plan) -> String {
        Redactor::new(self.held(plan)).clean(text)
    }

    async fn gather(&self, draft: &Draft, report: &plan::Report, turns: &Arc<Semaphore>) -> Gathered {
        gather::gather(&self.prober, &self.journalctl, &draft.units, report.journal_lines, turns).await
    }

    /// What is known to be secret now.
    async fn known(&self, plan: &Arc<Plan>) -> Redactor {
        let of_files = apart(&self.passwords.lane, KEEPING, {
            let plan = Arc::clone(plan);
            move || passwords(&plan)
        });
        let of_files = of_files.await;
        let mut last = self.passwords.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Ok(read) = of_files {
            *last = read;
        }
        Redactor::new(self.held(plan).chain(last.iter().cloned()))
    }

    /// Secrets in memory.
    fn held(&self, plan: &Plan) -> impl Iterator<Item = Secret> {
        secret::alive().into_iter().chain(self.environment.iter().cloned()).chain(of_plan(plan))
    }
}

/// Work that may hang, on a thread of its own, when its turn in `lane` comes; for `limit` somebody waits for it.
async fn apart<T: Send + 'static>(lane: &Lane, limit: Duration, work: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
    let end = Instant::now() + limit;
    let Ok(Ok(permit)) = tokio::time::timeout_at(end, Arc::clone(lane).acquire_owned()).await else {
        return Err(format!("those before it take longer than {}", humantime::format_duration(limit)));
    };
    let run = move || {
        let done = work();
        drop(permit);
        done
    };
    let done = crate::apart::begin("report", run).map_err(|error| error.to_string())?;
    match tokio::time::timeout_at(end, done).await {
        Ok(Ok(result)) => Ok(result),
        Ok(Err(_)) => Err("the thread is gone".to_owned()),
        Err(_) => Err(format!("it takes longer than {}; it goes on by itself", humantime::format_duration(limit))),
    }
}

fn flat(result: Result<std::io::Result<()>, String>) -> Result<(), String> {
    result.and_then(|done| done.map_err(|error| error.to_string()))
}

/// To standard output, which the unit sends to journal and console.
fn print(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Values of the configuration that are never shown elsewhere either.
fn of_plan(plan: &Plan) -> Vec<Secret> {
    let mut texts: Vec<&str> = Vec::new();
    for check in &plan.checks {
        match &check.probe {
            Probe::Exec(exec) => texts.extend(exec.environment.values().map(String::as_str)),
            Probe::Http(http) => {
                texts.extend(http.headers.iter().map(|(_, value)| value.as_str()));
                texts.extend(http.body.as_deref());
            }
            Probe::Tcp(tcp) => texts.extend(tcp.send.as_deref()),
            _ => {}
        }
    }
    // Paths and media types are no secrets, and stand everywhere.
    let is_one = |text: &&str| {
        text.len() >= SHORTEST && !text.starts_with('/') && !matches!(text.split_once('/'), Some((a, _)) if MEDIA.contains(&a))
    };
    texts.into_iter().filter(is_one).map(Secret::new).collect()
}

/// Top-level media types (RFC 6838), as in `Accept`.
const MEDIA: [&str; 4] = ["application", "text", "image", "*"];

/// The passwords of `http` checks. Blocks.
fn passwords(plan: &Plan) -> Vec<Secret> {
    let files = plan.checks.iter().filter_map(|check| match &check.probe {
        Probe::Http(http) => http.basic.as_ref().map(|(_, file)| file),
        _ => None,
    });
    let first_line = |file: &PathBuf| {
        let mut text = zeroize::Zeroizing::new(String::new());
        std::fs::File::open(file).ok()?.take(4096).read_to_string(&mut text).ok()?;
        Some(Secret::new(text.lines().next()?))
    };
    files.take(PASSWORD_FILES).filter_map(first_line).collect()
}
