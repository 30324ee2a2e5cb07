//! The failure report: what a person needs when the instance and its logs are gone.
//!
//! The core writes the part that it knows ([`Draft`]); here units and their journal are added, secrets taken out (`redact`), and the whole
//! is printed, kept (`shelf`) and handed back. Nothing here decides anything, and nothing here can hold up a FAILURE: the core waits for the
//! report no longer than it says itself.
//!
//! Bounds: [`GATHERING`] for everything that is asked, [`KEEPING`] for disk and console, [`plan::Report::UNITS`] units of which four are asked at once,
//! [`PRINTED`] and [`KEPT`] bytes, four threads for consoles and disks that hang (one more report is then not printed, or not kept, and
//! the log says so).

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
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, oneshot};

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
/// Threads for what may hang.
const THREADS: usize = 4;
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
    threads: Arc<Semaphore>,
    asked: Arc<Semaphore>,
    printing: Printing,
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
            threads: Arc::new(Semaphore::new(THREADS)),
            asked: Arc::new(Semaphore::new(ASKED_AT_ONCE)),
            printing,
        }
    }

    /// Completes the report before a FAILURE, prints and keeps it, and gives what transports may carry.
    pub async fn make(&self, draft: Draft, plan: Arc<Plan>) -> Arc<str> {
        let gathered = self.gather(&draft, &plan.report).await;
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
        let kept = self.apart(KEEPING, move || shelf.keep(&filed));
        let printed = async {
            if self.printing == Printing::StandardOutput {
                return self.apart(KEEPING, move || print(&clip(short, PRINTED))).await;
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
        let gathered = self.gather(&draft, &plan.report).await;
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
        let found = self.apart(GATHERING, move || shelf.last(instance_id.as_deref(), signal.as_deref())).await;
        Some(found.ok()??.view())
    }

    /// `text` without what is known here and now to be secret, or looks so; files with passwords are not read for it.
    pub fn hide(&self, text: &str, plan: &Plan) -> String {
        Redactor::new(self.held(plan)).clean(text)
    }

    async fn gather(&self, draft: &Draft, report: &plan::Report) -> Gathered {
        gather::gather(&self.prober, &self.journalctl, &draft.units, report.journal_lines).await
    }

    /// What is known to be secret now.
    async fn known(&self, plan: &Arc<Plan>) -> Redactor {
        let plan = Arc::clone(plan);
        let of_files = self.apart(KEEPING, {
            let plan = Arc::clone(&plan);
            move || passwords(&plan)
        });
        let of_files = of_files.await.unwrap_or_default();
        Redactor::new(self.held(&plan).chain(of_files))
    }

    /// Secrets in memory.
    fn held(&self, plan: &Plan) -> impl Iterator<Item = Secret> {
        secret::alive().into_iter().chain(self.environment.iter().cloned()).chain(of_plan(plan))
    }

    /// Work that may hang, on a thread of its own; for `limit` somebody waits for it.
    async fn apart<T: Send + 'static>(&self, limit: Duration, work: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
        let Ok(permit) = Arc::clone(&self.threads).try_acquire_owned() else {
            return Err(format!("{THREADS} threads hang already"));
        };
        let (sender, done) = oneshot::channel();
        let run = move || {
            // Nobody may be waiting any more.
            let _ = sender.send(work());
            drop(permit);
        };
        std::thread::Builder::new().name("report".to_owned()).spawn(run).map_err(|error| error.to_string())?;
        match tokio::time::timeout(limit, done).await {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(_)) => Err("the thread is gone".to_owned()),
            Err(_) => Err(format!("it takes longer than {}; it goes on by itself", humantime::format_duration(limit))),
        }
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
