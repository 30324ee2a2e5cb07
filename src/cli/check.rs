//! `check`: runs the configured checks once, here, without the agent, each after what it depends on.
//!
//! Delays, thresholds and start periods are not kept: they are about time, and this is one look. Runs are bounded as in the agent, by
//! the slots of each kind. Exit codes are those of Nagios plugins.

mod report;

use super::agent::ANSWER;
use super::arguments::{CheckArguments, Global};
use super::failure::{self, Failure};
use super::output::{Output, span_ms};
use super::{Exit, block_on, settings};
use crate::agent::status::Status;
use crate::check::composite::{self, Member};
use crate::check::{Health, Observation};
use crate::config::Loaded;
use crate::config::keys::nearest;
use crate::interrupt::Interrupts;
use crate::plan::{self, Check, Composite, Name, Plan, Probe};
use crate::probe::{self, Job, Prober};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::task::JoinSet;

/// What came of one check.
pub(super) struct Outcome {
    check: Arc<Check>,
    observation: Observation,
}

pub(super) fn run(global: &Global, arguments: &CheckArguments, out: &mut Output) -> anyhow::Result<Exit> {
    let checked = look(global, arguments).and_then(|outcomes| report::show(&outcomes, arguments.json, out));
    checked.or_else(|error| match failure::exit_of(&error) {
        // In the words of Nagios plugins 1 is a warning, so our own trouble is unknown.
        Exit::Failure => {
            failure::tell(&error);
            Ok(Exit::CheckUnknown)
        }
        _ => Err(error),
    })
}

fn look(global: &Global, arguments: &CheckArguments) -> anyhow::Result<Vec<Outcome>> {
    let loaded = global.load_to_run()?;
    global.log_to_stderr("warn")?;
    settings::warn(&loaded.warnings);
    let plan = &loaded.plan;
    let checks = chosen(plan, &arguments.names)?;
    probe::adopt_orphans()?;
    block_on(async {
        let fed = if checks.iter().any(|check| is_fed(check)) { Some(ask_agent(global, &loaded).await) } else { None };
        let prober = Arc::new(Prober::new());
        let mut interrupts = Interrupts::new()?;
        let runs = Runs::new(plan, checks, fed.as_ref(), Arc::clone(&prober));
        let outcomes = tokio::select! {
            outcomes = runs.finish() => Ok(outcomes),
            _ = interrupts.next() => Err(anyhow::Error::from(Failure::new(Exit::CheckUnknown, "interrupted"))),
        };
        prober.shutdown().await;
        outcomes
    })
}

fn is_fed(check: &Check) -> bool {
    matches!(check.probe, Probe::Ttl(_))
}

/// The checks that are named, or all, and what they depend on; in order of name.
fn chosen(plan: &Plan, names: &[String]) -> anyhow::Result<Vec<Arc<Check>>> {
    if plan.checks.is_empty() {
        let failure = Failure::new(Exit::Failure, "there are no checks").hint("write a [check.NAME] into the configuration");
        return Err(failure.into());
    }
    let mut open: Vec<&str> = names.iter().map(String::as_str).collect();
    if names.is_empty() {
        open.extend(plan.checks.iter().map(|check| &*check.name));
    }
    let mut found = BTreeMap::new();
    while let Some(name) = open.pop() {
        let check = plan.check(name).ok_or_else(|| unknown(plan, name))?;
        if found.insert(Arc::clone(&check.name), Arc::clone(check)).is_none() {
            open.extend(check.needs().map(|name| &**name));
        }
    }
    Ok(found.into_values().collect())
}

fn unknown(plan: &Plan, name: &str) -> Failure {
    let failure = Failure::new(Exit::Failure, format!("no check is called {name:?}"));
    let names = || plan.checks.iter().map(|check| &*check.name);
    match nearest(name, names()) {
        Some(near) => failure.hint(format!("did you mean {near:?}?")),
        None => failure.hint(format!("there is {}", names().collect::<Vec<_>>().join(", "))),
    }
}

async fn ask_agent(global: &Global, loaded: &Loaded) -> Result<Status, String> {
    let agent = global.agent_of(Ok(loaded)).map_err(|error| error.to_string())?;
    agent.get("/status", ANSWER).await.map_err(|trouble| trouble.to_string().replace("\nhint: ", "; "))
}

/// What was pushed to a `ttl` check last.
fn fed(name: &str, status: &Result<Status, String>) -> Observation {
    let status = match status {
        Ok(status) => status,
        Err(why) => return Observation::new(Health::Unknown, format!("fed by push, which only a running agent keeps: {why}")),
    };
    let Some(view) = status.checks.iter().find(|view| view.name == name) else {
        return Observation::new(Health::Unknown, "the running agent does not know this check; reload it");
    };
    match &view.last {
        Some(last) => {
            let text = format!("{} ({} ago, as the agent has it)", last.message, span_ms(last.ago_ms));
            Observation { terminal: last.terminal, ..Observation::new(last.health, text) }
        }
        None => Observation::new(Health::Unknown, "nothing was pushed to the agent yet"),
    }
}

/// All runs, from the first to the last.
struct Runs {
    prober: Arc<Prober>,
    waiting: Vec<Arc<Check>>,
    ended: BTreeMap<Name, Outcome>,
    in_flight: JoinSet<Outcome>,
    /// Runs in flight, by kind.
    taken: BTreeMap<&'static str, usize>,
    agent: plan::Agent,
}

impl Runs {
    fn new(plan: &Plan, checks: Vec<Arc<Check>>, status: Option<&Result<Status, String>>, prober: Arc<Prober>) -> Self {
        let (mut waiting, mut ended) = (Vec::new(), BTreeMap::new());
        for check in checks {
            match status {
                Some(status) if is_fed(&check) => {
                    let observation = fed(&check.name, status);
                    ended.insert(Arc::clone(&check.name), Outcome { check, observation });
                }
                _ => waiting.push(check),
            }
        }
        Self { prober, waiting, ended, in_flight: JoinSet::new(), taken: BTreeMap::new(), agent: plan.agent.clone() }
    }

    async fn finish(mut self) -> Vec<Outcome> {
        loop {
            while self.begin() {}
            let Some(joined) = self.in_flight.join_next().await else { break };
            // A run that cannot be joined has panicked, which aborts the program that is shipped.
            let Ok(outcome) = joined else { continue };
            if let Some(taken) = self.taken.get_mut(outcome.check.probe.kind()) {
                *taken -= 1;
            }
            self.ended.insert(Arc::clone(&outcome.check.name), outcome);
        }
        self.ended.into_values().collect()
    }

    /// Starts what can be started, judges composites, and gives up what cannot be run. True if anything was settled so, which may
    /// concern others.
    fn begin(&mut self) -> bool {
        let mut settled = false;
        for check in std::mem::take(&mut self.waiting) {
            if let Some(why) = self.hindrance(&check) {
                settled = true;
                let observation = Observation::new(Health::Unknown, why);
                self.ended.insert(Arc::clone(&check.name), Outcome { check, observation });
            } else if self.has_room(&check) && check.needs().all(|name| self.ended.contains_key(name)) {
                if let Probe::Composite(composite) = &check.probe {
                    // It may be what others waited for, as what was given up may be.
                    settled = true;
                    let observation = self.judge(composite);
                    self.ended.insert(Arc::clone(&check.name), Outcome { check, observation });
                } else {
                    self.start(check);
                }
            } else {
                self.waiting.push(check);
            }
        }
        settled
    }

    fn hindrance(&self, check: &Check) -> Option<String> {
        let ended = check.depends_on.iter().filter_map(|name| self.ended.get(name));
        let bad = ended.into_iter().find(|outcome| !outcome.observation.health.is_good())?;
        Some(format!("not run: it depends on {}, which is {}", bad.check.name, bad.observation.health))
    }

    /// A composite, from what its members just said.
    fn judge(&self, composite: &Composite) -> Observation {
        let members = composite.of.iter().filter_map(|name| self.ended.get(name));
        let members: Vec<_> = members
            .map(|outcome| {
                let Observation { health, terminal, .. } = outcome.observation;
                Member { name: &outcome.check.name, health: Some(health), never: terminal }
            })
            .collect();
        let missing = || Observation::new(Health::Unknown, "its members could not be run");
        composite::judge(composite, &members).unwrap_or_else(missing)
    }

    fn has_room(&self, check: &Check) -> bool {
        let kind = check.probe.kind();
        self.taken.get(kind).copied().unwrap_or_default() < self.agent.slots(kind)
    }

    fn start(&mut self, check: Arc<Check>) {
        *self.taken.entry(check.probe.kind()).or_default() += 1;
        let prober = Arc::clone(&self.prober);
        self.in_flight.spawn(async move {
            let observation = prober.run(Job { check: Arc::clone(&check), attempt: 1, deadline_unix_ms: None }).await;
            Outcome { check, observation }
        });
    }
}
