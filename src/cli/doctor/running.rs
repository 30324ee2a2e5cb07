//! The agent that runs already, if one does: does it answer, does it run this configuration, and does it see what this shell sees.
//!
//! What `/proc` shows of another process, only root and its own user may read, and of one that is not dumpable only root.

use super::apart::apart;
use super::configuration;
use super::reader::Reader;
use super::step::Step;
use super::unit;
use crate::agent::status::Status;
use crate::cli::agent::Trouble;
use crate::cli::arguments::Global;
use crate::config::Loaded;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;
use zeroize::Zeroizing;

const TIMEOUT: Duration = Duration::from_secs(3);
/// Variables that decide what the agent does beside its configuration.
const FAMILIES: [&str; 2] = ["ALIBABA_CLOUD_", "SSL_CERT_"];
const NAMES: [&str; 4] = ["CREDENTIALS_DIRECTORY", "ROS_ENDPOINT", "ESS_ENDPOINT", "STS_ENDPOINT"];
/// Descriptors that an agent with a few dozen checks needs at most.
const FEW_FILES: u64 = 256;
/// Descriptors and threads or children that are enough.
const FEW_PROCESSES: u64 = 64;

pub(super) const SOCKET: &str = "agent.socket";
pub(super) const CONFIGURATION: &str = "agent.configuration";
pub(super) const STATUS: &str = "agent.status";
pub(super) const ENVIRONMENT: &str = "agent.environment";
pub(super) const VIEW: &str = "agent.view";
pub(super) const LIMITS: &str = "agent.limits";

/// Asks the agent; `holder` is the process that has the lock of the state directory.
pub(super) async fn look(global: &Global, loaded: Result<&Loaded, &anyhow::Error>, holder: Option<u32>) -> Vec<Step> {
    let mut steps = of_status(asked(global, loaded).await, loaded.ok(), holder);
    match holder {
        Some(pid) => steps.extend(process(pid, loaded.ok()).await),
        None => steps.extend([ENVIRONMENT, VIEW, LIMITS].map(|name| Step::skipped(name, "no agent runs on this state directory"))),
    }
    let lines = loaded.map_or(0, |loaded| loaded.plan.report.journal_lines);
    let of_unit = apart(TIMEOUT, move || unit::look(holder.and_then(Reader::of_process).as_ref(), lines)).await;
    steps.extend(of_unit.unwrap_or_else(|why| vec![Step::skipped(unit::UNIT, why)]));
    steps
}

async fn asked(global: &Global, loaded: Result<&Loaded, &anyhow::Error>) -> Result<Status, Trouble> {
    match global.agent_of(loaded) {
        Ok(agent) => agent.get("/status", TIMEOUT).await,
        Err(error) => Err(Trouble::Broken { socket: PathBuf::new(), cause: error.to_string() }),
    }
}

fn of_status(asked: Result<Status, Trouble>, loaded: Option<&Loaded>, holder: Option<u32>) -> Vec<Step> {
    let status = match asked {
        Ok(status) => status,
        Err(trouble) => {
            let step = match (holder, &trouble) {
                (Some(pid), Trouble::Absent { .. }) => Step::failed(SOCKET, trouble.to_string())
                    .because(format!("process {pid} holds the state directory, but nobody answers at this socket"))
                    .remedy("has it another socket? see socket under [agent], or --socket; else restart it"),
                (None, Trouble::Absent { cause, socket, .. }) => Step::warning(
                    SOCKET,
                    format!("no agent answers at {}: {cause}", socket.display()),
                )
                .because("no agent runs with this configuration")
                .remedy("systemctl enable --now ros-signal-agent, when it is to run; systemctl status ros-signal-agent says why it ended"),
                (_, Trouble::Closed { .. }) => Step::skipped(SOCKET, trouble.to_string().replace("\nhint: ", "; ")),
                _ => Step::failed(SOCKET, trouble.to_string()).because("it runs, but is stopped, hangs, or is another version"),
            };
            return [step].into_iter().chain([CONFIGURATION, STATUS].map(|name| Step::depends(name, SOCKET))).collect();
        }
    };
    let pid = holder.map(|pid| format!(", pid {pid}")).unwrap_or_default();
    let version = env!("CARGO_PKG_VERSION");
    let answers = format!("version {} answers{pid}", status.version);
    let socket = match status.version == version {
        true => Step::ok(SOCKET, answers),
        false => Step::warning(SOCKET, answers)
            .because(format!("this command is version {version}: the agent was not restarted after an upgrade"))
            .remedy("systemctl restart ros-signal-agent; what it knows survives"),
    };
    vec![socket, same_configuration(&status, loaded), how_it_is(&status)]
}

/// What it runs, beside what is written now.
fn same_configuration(status: &Status, loaded: Option<&Loaded>) -> Step {
    let reload = "ros-signal-agent reload";
    if let Some(why) = &status.misconfigured {
        return Step::failed(CONFIGURATION, "the agent has refused the configuration and runs an old one, or none")
            .because(why.replace('\n', "; "))
            .remedy(format!("mend it, then {reload}"));
    }
    let Some(loaded) = loaded else {
        return Step::depends(CONFIGURATION, configuration::LOAD);
    };
    let plan = &loaded.plan;
    let checks: BTreeSet<&str> = plan.checks.iter().map(|check| &*check.name).collect();
    let signals: BTreeSet<(&str, &str)> = plan.signals.iter().map(|signal| (&*signal.name, signal.resource.as_str())).collect();
    let running: BTreeSet<&str> = status.checks.iter().map(|check| check.name.as_str()).collect();
    let by_hand = |name: &str| name.starts_with(crate::agent::MANUAL);
    let sends: BTreeSet<(&str, &str)> =
        status.signals.iter().map(|signal| (signal.name.as_str(), signal.resource.as_str())).filter(|(name, _)| !by_hand(name)).collect();
    let mut changed: Vec<String> = checks.symmetric_difference(&running).map(|name| format!("check {name}")).collect();
    changed.extend(signals.symmetric_difference(&sends).map(|(name, resource)| format!("signal {name} for {resource}")));
    if changed.is_empty() {
        return Step::ok(CONFIGURATION, "the agent has the checks and signals that are configured");
    }
    Step::warning(CONFIGURATION, format!("the agent and the files do not both have: {}", changed.join(", ")))
        .because("the files were changed after the agent had read them")
        .remedy(reload)
}

/// What the agent says is wrong with itself.
fn how_it_is(status: &Status) -> Step {
    let mut troubles = Vec::new();
    let mut remedies: Vec<&str> = Vec::new();
    if status.held {
        troubles.push("verdicts are held".to_owned());
        remedies.push("ros-signal-agent resume");
    }
    if let Some(why) = &status.not_durable {
        troubles.push(format!("its state is not durable: {why}"));
        remedies.push("see the steps of state");
    }
    if let Some(why) = &status.identity_error {
        troubles.push(format!("it does not know which instance this is: {why}"));
        remedies.push("see the steps of metadata and identity");
    }
    let sending = status.signals.iter().filter_map(|signal| Some((signal, signal.last_error.as_ref()?)));
    for (signal, error) in sending.filter(|(signal, _)| signal.settled_at.is_none()) {
        troubles.push(format!("signal {} is not sent: {error}", signal.name));
        remedies.extend(signal.hint.as_deref());
    }
    if troubles.is_empty() {
        return Step::ok(STATUS, status.summary.clone());
    }
    let step = Step::warning(STATUS, status.summary.clone()).because(troubles.join("; "));
    if remedies.is_empty() { step } else { step.remedy(remedies.join("; ")) }
}

/// What `/proc` shows of the agent.
async fn process(pid: u32, loaded: Option<&Loaded>) -> Vec<Step> {
    let paths = loaded.map(|Loaded { plan, files, .. }| {
        [files.clone(), configuration::named(plan), configuration::programs(plan), configuration::looked_at(plan)].concat()
    });
    let here = variables(std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))));
    let looked = apart(TIMEOUT, move || vec![environment(pid, &here), view(pid, &paths.unwrap_or_default()), limits(pid)]).await;
    looked.unwrap_or_else(|why| [ENVIRONMENT, VIEW, LIMITS].map(|name| Step::skipped(name, format!("/proc/{pid}: {why}"))).into())
}

/// Those that matter, with values that are compared and never shown.
fn variables(all: impl Iterator<Item = (String, String)>) -> BTreeMap<String, Zeroizing<String>> {
    let matters = |name: &str| FAMILIES.iter().any(|family| name.starts_with(family)) || NAMES.contains(&name);
    all.filter(|(name, value)| matters(name) && !value.is_empty()).map(|(name, value)| (name, Zeroizing::new(value))).collect()
}

fn environment(pid: u32, here: &BTreeMap<String, Zeroizing<String>>) -> Step {
    let text = match std::fs::read(format!("/proc/{pid}/environ")) {
        Ok(text) => Zeroizing::new(text),
        Err(_) => {
            return Step::skipped(ENVIRONMENT, "only root may compare the agent's environment with this shell's")
                .because("credentials from the environment of its unit are not seen here, and the other way round");
        }
    };
    let pairs = text.split(|byte| *byte == 0).filter_map(|pair| {
        let (name, value) = std::str::from_utf8(pair).ok()?.split_once('=')?;
        Some((name.to_owned(), value.to_owned()))
    });
    compare(&variables(pairs), here)
}

fn compare(agent: &BTreeMap<String, Zeroizing<String>>, here: &BTreeMap<String, Zeroizing<String>>) -> Step {
    let names = |found: Vec<&String>| found.into_iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    let only =
        |one: &BTreeMap<String, _>, other: &BTreeMap<String, _>| names(one.keys().filter(|name| !other.contains_key(*name)).collect());
    let different =
        names(agent.iter().filter(|(name, value)| here.get(*name).is_some_and(|other| other != *value)).map(|(name, _)| name).collect());
    let parts = [("only the agent has", only(agent, here)), ("only this shell has", only(here, agent)), ("they differ in", different)];
    let told: Vec<String> = parts.iter().filter(|(_, names)| !names.is_empty()).map(|(what, names)| format!("{what} {names}")).collect();
    if told.is_empty() {
        return Step::ok(ENVIRONMENT, "what matters in the agent's environment is as in this shell");
    }
    Step::warning(ENVIRONMENT, told.join("; "))
        .because("the agent has the environment of its unit: the steps of credentials below are about this shell's")
        .remedy("run the doctor with the agent's environment: systemd-run --pipe with the Environment= of the unit, or set them alike")
}

/// What is there for this command but not for the agent, whose unit may hide it.
fn view(pid: u32, paths: &[PathBuf]) -> Step {
    let root = PathBuf::from(format!("/proc/{pid}/root"));
    if std::fs::metadata(root.join("proc")).is_err() {
        return Step::skipped(VIEW, "only root may look at the file system as the agent sees it");
    }
    let inside = |path: &Path| std::fs::symlink_metadata(root.join(path.strip_prefix("/").unwrap_or(path)));
    let hidden: Vec<String> =
        paths.iter().filter(|path| path.exists() && inside(path).is_err()).map(|path| path.display().to_string()).collect();
    if hidden.is_empty() {
        return Step::ok(VIEW, "the agent sees the files that the configuration names");
    }
    Step::failed(VIEW, format!("hidden from the agent: {}", hidden.join(", ")))
        .because("its unit hides them: ProtectHome=, PrivateTmp=, ProtectKernelModules=, InaccessiblePaths=, TemporaryFileSystem= or RootDirectory=")
        .remedy("move the files, or take what hides them back in a drop-in of the unit, or except them there: BindReadOnlyPaths=PATH")
}

fn limits(pid: u32) -> Step {
    match std::fs::read_to_string(format!("/proc/{pid}/limits")) {
        Ok(text) => judge_limits(&text),
        Err(_) => Step::skipped(LIMITS, "only root and the agent's own user may read its limits"),
    }
}

/// `Max open files            1024                 524288               files     ` (proc_pid_limits(5)).
fn judge_limits(text: &str) -> Step {
    let soft = |what: &str| {
        let word = text.lines().find_map(|line| line.strip_prefix(what))?.split_whitespace().next()?;
        Some(if word == "unlimited" { u64::MAX } else { word.parse().ok()? })
    };
    let (files, processes) = (soft("Max open files"), soft("Max processes"));
    let told = |limit: Option<u64>| match limit {
        None => "unknown".to_owned(),
        Some(u64::MAX) => "unlimited".to_owned(),
        Some(limit) => limit.to_string(),
    };
    let seen = format!("open files {}, processes {}", told(files), told(processes));
    let few = files.is_some_and(|files| files < FEW_FILES) || processes.is_some_and(|processes| processes < FEW_PROCESSES);
    match few {
        true => Step::warning(LIMITS, seen)
            .because("checks of many kinds open files and start threads and programs: they would be unknown")
            .remedy(format!("LimitNOFILE={FEW_FILES} and LimitNPROC={FEW_PROCESSES} at least, in a drop-in of the unit")),
        false => Step::ok(LIMITS, seen),
    }
}

#[cfg(test)]
mod tests {
    use super::super::step::Verdict;
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> BTreeMap<String, Zeroizing<String>> {
        variables(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    #[test]
    fn another_environment_is_told_by_names_alone() {
        let agent = environment(&[("ALIBABA_CLOUD_ACCESS_KEY_ID", "made-up"), ("ALIBABA_CLOUD_PROFILE", "a"), ("HOME", "/x")]);
        let here = environment(&[("ALIBABA_CLOUD_PROFILE", "b"), ("SSL_CERT_FILE", "/y"), ("HOME", "/z"), ("ALIBABA_CLOUD_EMPTY", "")]);
        let step = compare(&agent, &here);
        assert_eq!(step.verdict(), Verdict::Warning);
        assert_eq!(
            step.seen(),
            "only the agent has ALIBABA_CLOUD_ACCESS_KEY_ID; only this shell has SSL_CERT_FILE; they differ in ALIBABA_CLOUD_PROFILE"
        );
        assert!(!format!("{step:?}").contains("made-up"));
        assert_eq!(compare(&agent, &agent.clone()).verdict(), Verdict::Ok);
    }

    #[test]
    fn limits_are_read_as_the_kernel_writes_them() {
        let text = "Limit                     Soft Limit           Hard Limit           Units     \n\
                    Max processes             unlimited            unlimited            processes \n\
                    Max open files            1024                 524288               files     \n";
        assert_eq!((judge_limits(text).verdict(), judge_limits(text).seen()), (Verdict::Ok, "open files 1024, processes unlimited"));
        assert_eq!(judge_limits(&text.replace("1024 ", "64   ")).verdict(), Verdict::Warning);
    }

    #[test]
    fn what_this_process_sees_it_sees() {
        let home = tempfile::tempdir().unwrap();
        let verdict = view(std::process::id(), &[home.path().to_owned()]).verdict();
        assert!(matches!(verdict, Verdict::Ok | Verdict::Skipped), "{verdict:?}");
    }
}
