//! Whether the configuration loads, and whether the agent's user can read it and what it names.

use super::apart::apart;
use super::reader::Reader;
use super::step::Step;
use crate::cli::failure::Invalid;
use crate::cli::output::count;
use crate::config::{Diagnostic, Loaded, Severity};
use crate::plan::{HandleSource, Plan, Probe, Provider, RunAs, SecretPlace, SourceKind, Transport};
use std::path::PathBuf;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(3);
/// Diagnostics that are told here; `config check` tells all.
const TOLD: usize = 5;

pub(super) const LOAD: &str = "configuration.load";
pub(super) const FILES: &str = "configuration.files";

/// Whether it loads.
pub(super) fn load(loaded: &anyhow::Result<Loaded>) -> Step {
    let check = "ros-signal-agent config check tells all, each with its place and what to do";
    match loaded {
        Ok(loaded) => {
            let plan = &loaded.plan;
            let seen = format!(
                "{}, {}, from {}",
                count(plan.signals.len(), "signal"),
                count(plan.checks.len(), "check"),
                count(loaded.files.len(), "file")
            );
            match (plan.signals.is_empty(), loaded.warnings.as_slice()) {
                (true, _) => Step::warning(LOAD, seen)
                    .because("there is no [signal.NAME], so the agent idles and says nothing to anybody")
                    .remedy("write /etc/ros-signal-agent/config.toml; ros-signal-agent config default prints one to begin with"),
                (false, []) => Step::ok(LOAD, seen),
                (false, warnings) => {
                    let seen = format!("{seen}; {}", count(warnings.len(), "warning"));
                    Step::warning(LOAD, seen).because(told(warnings)).remedy(check)
                }
            }
        }
        Err(error) => match error.downcast_ref::<Invalid>() {
            Some(Invalid(diagnostics)) => {
                let errors: Vec<Diagnostic> = diagnostics.iter().filter(|one| one.severity == Severity::Error).cloned().collect();
                Step::failed(LOAD, error.to_string()).because(told(&errors)).remedy(check)
            }
            None => Step::failed(LOAD, format!("{error:#}")),
        },
    }
}

/// The first few, without the lines they quote.
fn told(diagnostics: &[Diagnostic]) -> String {
    let mut lines: Vec<String> = diagnostics.iter().take(TOLD).map(line).collect();
    if let Some(more) = diagnostics.len().checked_sub(TOLD).filter(|more| *more > 0) {
        lines.push(format!("and {more} more"));
    }
    lines.join("; ")
}

fn line(diagnostic: &Diagnostic) -> String {
    let place = diagnostic.position.as_ref().map(|at| format!(":{}:{}", at.line, at.column)).unwrap_or_default();
    format!("{}{place}: {}", diagnostic.path.display(), diagnostic.message)
}

/// Whether the agent's user can read what it must.
pub(super) async fn files(loaded: &Loaded, reader: Reader) -> Step {
    let paths = [loaded.files.clone(), named(&loaded.plan)].concat();
    let looked = apart(TIMEOUT, move || {
        let many = paths.len();
        let hindrances: Vec<_> = paths.into_iter().filter_map(|path| Some((reader.hindrance(&path)?, path))).collect();
        (many, hindrances, reader)
    });
    let (many, hindrances, reader) = match looked.await {
        Ok(looked) => looked,
        Err(why) => return Step::failed(FILES, format!("the files that the configuration names cannot be looked at: {why}")),
    };
    let user = format!("user {}, {}", reader.uid, reader.known_by);
    if hindrances.is_empty() {
        return Step::ok(FILES, format!("{} readable for {user}", count(many, "file")));
    }
    let paths: Vec<String> = hindrances.iter().map(|(_, path)| path.display().to_string()).collect();
    let whys: Vec<String> = hindrances.iter().map(|(found, _)| format!("{}: {}", found.what.display(), found.why)).collect();
    let remedies: Vec<String> = hindrances.iter().filter_map(|(found, _)| found.remedy.clone()).collect();
    let mut step = Step::failed(FILES, format!("not readable for {user}: {}", paths.join(", "))).because(unique(whys).join("; "));
    if !remedies.is_empty() {
        step = step.remedy(unique(remedies).join("; "));
    }
    step
}

fn unique(texts: Vec<String>) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    for text in texts {
        if !kept.contains(&text) {
            kept.push(text);
        }
    }
    kept
}

/// The files that the agent itself reads because the configuration names them. What checks look at is theirs to judge.
pub(super) fn named(plan: &Plan) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = plan.ros.ca_file.iter().cloned().collect();
    let of_provider = match &plan.credentials.provider {
        Provider::File(path) => Some(path),
        Provider::OidcRole(role) => role.token_file.as_ref(),
        Provider::CliProfile(profile) | Provider::IniProfile(profile) => profile.file.as_ref(),
        _ => None,
    };
    paths.extend(of_provider.cloned());
    paths.extend(plan.signals.iter().filter_map(|signal| match &signal.transport {
        Transport::Handle(HandleSource::File(path)) => Some(path.clone()),
        _ => None,
    }));
    for source in &plan.sources {
        let (tls, secret, pinned) = match &source.kind {
            SourceKind::Http(http) => (http.tls.as_ref(), http.token.as_ref(), http.certificate_file.clone()),
            SourceKind::Callback(callback) => (callback.tls.as_ref(), Some(&callback.path), None),
            SourceKind::Queue(_) | SourceKind::Spool(_) => (None, None, None),
        };
        paths.extend(tls.into_iter().flat_map(|tls| [tls.certificate.clone(), tls.key.clone()]));
        paths.extend(secret.and_then(|place| match place {
            SecretPlace::File(path) => Some(path.clone()),
            SecretPlace::SystemdCredential(_) => None,
        }));
        paths.extend(pinned);
    }
    paths
}

/// The programs of exec checks, and of hooks that the agent runs itself.
pub(super) fn programs(plan: &Plan) -> Vec<PathBuf> {
    let program = |probe: &Probe| match probe {
        Probe::Exec(exec) => exec.command.first().map(PathBuf::from),
        _ => None,
    };
    let of_hooks = plan.hooks.iter().filter(|hook| hook.run_as == RunAs::Agent);
    let of_hooks = of_hooks.filter_map(|hook| hook.command.first().map(PathBuf::from));
    plan.checks.iter().filter_map(|check| program(&check.probe)).chain(of_hooks).collect()
}

/// What checks look at by its path, or connect to.
pub(super) fn looked_at(plan: &Plan) -> Vec<PathBuf> {
    let path = |probe: &Probe| match probe {
        // What must not be there cannot be hidden from anybody.
        Probe::File(file) => file.present.as_ref().map(|_| file.path.clone()),
        Probe::Disk(disk) => Some(disk.path.clone()),
        Probe::Mount(mount) => Some(mount.path.clone()),
        Probe::Process(process) => process.pid_file.clone(),
        Probe::Container(container) => container.socket.clone(),
        Probe::Http(http) => http.unix_socket.clone(),
        _ => None,
    };
    plan.checks.iter().filter_map(|check| path(&check.probe)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Environment, Layout, Owners};

    #[test]
    fn paths_of_checks_are_among_those_that_the_agent_must_see() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = "[check.a]\ntype = \"file\"\npath = \"/usr/lib/modules/a.ko\"\n[check.b]\ntype = \"disk\"\npath = \"/data\"\ncrit = \"10:\"\n\
                    [check.c]\ntype = \"file\"\npath = \"/run/nologin\"\nexists = false\n\
                    [check.d]\ntype = \"http\"\nurl = \"http://x/\"\nunix_socket = \"/run/app.sock\"\n";
        std::fs::write(file.path(), text).unwrap();
        let plan = config::load(&Layout::file(file.path()), &Owners::system(), &Environment::default()).unwrap().plan;
        assert_eq!(looked_at(&plan), ["/usr/lib/modules/a.ko", "/data", "/run/app.sock"].map(PathBuf::from));
    }
}
