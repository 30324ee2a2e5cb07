//! Sources of events and hooks: may the listeners be had, can certificates of EventBridge be fetched, is the spool as it must be, does ROS tell
//! EventBridge about the stacks, and are the programs of hooks there. Looks only: nothing listens, no message is taken, no hook is run.

use super::apart::apart;
use super::reader::Reader;
use super::stack::Aimed;
use super::step::Step;
use crate::plan::{Listen, Plan, RunAs, Source, SourceKind};
use crate::ros::Client;
use crate::rpc::{Reach, http_client};
use crate::signal::Target;
use crate::stack::sight::Sight;
use crate::transport;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;
use tokio::net::TcpSocket;
use tokio::time::Instant;

const FILES_TIMEOUT: Duration = Duration::from_secs(3);
const CERTIFICATE_TIMEOUT: Duration = Duration::from_secs(5);
const STACK_TIMEOUT: Duration = Duration::from_secs(8);
/// Below it only some users may listen (ip(7)).
const FIRST_FREE_PORT: u16 = 1024;
/// Where systemd looks for units (systemd.unit(5)).
const UNIT_DIRECTORIES: [&str; 4] = ["/etc/systemd/system", "/run/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"];
/// The units that run root's hooks for the agent.
const HOOK_UNITS: &str = "ros-signal-agent-hook";

pub(super) const LISTENER: &str = "source.listener";
pub(super) const CERTIFICATE: &str = "source.certificate";
pub(super) const QUEUE: &str = "source.queue";
pub(super) const SPOOL: &str = "source.spool";
pub(super) const NOTIFICATIONS: &str = "stack.notifications";
pub(super) const PROGRAM: &str = "hook.program";
pub(super) const UNIT: &str = "hook.unit";

/// What is looked at on this host and on the way to EventBridge's certificates. `holder` is the running agent.
pub(super) async fn look(plan: &Plan, reader: &Reader, holder: Option<u32>, region: Option<&str>, reach: &Reach) -> Vec<Step> {
    let mut steps = Vec::new();
    for source in &plan.sources {
        let step = match &source.kind {
            SourceKind::Http(http) => listener(&http.listen, reader, holder),
            SourceKind::Callback(callback) => listener(&callback.listen, reader, holder),
            SourceKind::Queue(_) => {
                Step::skipped(QUEUE, "whether the queue may be read is not tried, for messages would be taken out of the agent's hands")
                    .remedy("ros-signal-agent status says what the agent gets; docs/queue.md has the policy to grant")
            }
            SourceKind::Spool(spool) => {
                let (directory, reader) = (spool.directory.clone(), reader.clone());
                let looked = apart(FILES_TIMEOUT, move || of_spool(&directory, &reader)).await;
                looked.unwrap_or_else(|why| Step::failed(SPOOL, format!("{}: {why}", spool.directory.display())))
            }
        };
        steps.push(step.about(&*source.name));
        steps.extend(certificates(source, region, reach).await);
    }
    steps.extend(hooks(plan, reader).await);
    steps
}

/// Whether the address can be had. The socket never listens, so it keeps nobody from listening there (SO_REUSEADDR, socket(7)).
fn listener(listen: &Listen, reader: &Reader, holder: Option<u32>) -> Step {
    let address = match listen {
        Listen::Systemd(name) => {
            return Step::skipped(LISTENER, format!("the socket {name} comes from systemd")).remedy("systemctl list-sockets shows it");
        }
        Listen::Address(address) => *address,
    };
    let change = "give another address as listen, or end the other program: ss -ltnp";
    match bound(address) {
        Ok(()) if address.port() != 0 && address.port() < FIRST_FREE_PORT && reader.uid != 0 => {
            Step::warning(LISTENER, format!("{address} is free, but user {} ({}) may not have it", reader.uid, reader.known_by))
                .because("ports below 1024 are root's")
                .remedy("another port, or listen = \"systemd:NAME\" with a socket unit")
        }
        Ok(()) if holder.is_some() => Step::warning(LISTENER, format!("nobody listens at {address}, though the agent runs"))
            .because("the source was added since the agent read its configuration, or it fails")
            .remedy("ros-signal-agent reload; ros-signal-agent status shows its sources"),
        Ok(()) => Step::ok(LISTENER, format!("{address} is free")),
        Err(error) if error.kind() == ErrorKind::AddrInUse => match holder {
            Some(pid) => Step::ok(LISTENER, format!("{address} is in use, as it is when the agent runs (pid {pid})")),
            None => Step::failed(LISTENER, format!("{address} is in use, and no agent runs")).remedy(change),
        },
        Err(error) if error.kind() == ErrorKind::AddrNotAvailable => {
            Step::failed(LISTENER, format!("{} is no address of this host", address.ip())).remedy("ip address shows them")
        }
        Err(error) => Step::failed(LISTENER, format!("{address} cannot be had: {error}")).remedy(change),
    }
}

fn bound(address: SocketAddr) -> std::io::Result<()> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)
}

/// Whether the hosts of EventBridge's certificates answer; nothing where the certificate is pinned.
async fn certificates(source: &Source, region: Option<&str>, reach: &Reach) -> Vec<Step> {
    let SourceKind::Http(http) = &source.kind else { return Vec::new() };
    if let Some(pinned) = &http.certificate_file {
        return vec![Step::ok(CERTIFICATE, format!("pinned in {}: nothing is fetched", pinned.display())).about(&*source.name)];
    }
    let regions: Vec<&str> = match http.certificate_regions.is_empty() {
        true => region.into_iter().collect(),
        false => http.certificate_regions.iter().map(String::as_str).collect(),
    };
    if regions.is_empty() {
        return vec![Step::depends(CERTIFICATE, super::metadata::REGION).about(&*source.name)];
    }
    let mut steps = Vec::new();
    let end = Instant::now() + CERTIFICATE_TIMEOUT;
    for region in regions {
        let host = format!("{region}-eventbridge.oss-accelerate.aliyuncs.com");
        let began = Instant::now();
        let step = match tokio::time::timeout_at(end, answers(&host, reach)).await {
            Ok(Ok(())) => Step::ok(CERTIFICATE, format!("{host} answers")).took(began.elapsed()),
            Ok(Err(why)) => unreachable_host(why),
            Err(_) => unreachable_host(format!("no answer from {host} in time")),
        };
        steps.push(step.about(&*source.name));
    }
    steps
}

fn unreachable_host(why: String) -> Step {
    Step::failed(CERTIFICATE, why)
        .because("without the certificate no event of EventBridge can be believed, and all are refused")
        .remedy("a way out to that host (port 443); or pin the certificate: certificate_file (docs/eventbridge.md)")
}

/// Any answer will do: there is nothing at its root.
async fn answers(host: &str, reach: &Reach) -> Result<(), String> {
    let http = http_client(false, reach).map_err(|error| error.to_string())?;
    let asked = http.client().map_err(|trouble| trouble.message)?.head(format!("https://{host}/")).send().await;
    asked.map(|_| ()).map_err(|error| transport::describe(&error, host).message)
}

/// The directory, for the agent to read and empty and for few others to write.
fn of_spool(directory: &Path, reader: &Reader) -> Step {
    let shown = directory.display();
    let about = match std::fs::metadata(directory) {
        Ok(about) if about.is_dir() => about,
        Ok(_) => return Step::failed(SPOOL, format!("{shown} is not a directory")),
        Err(error) => {
            let make = format!("install -d -o {} -m 0770 {shown}; who drops events belongs into its group", reader.uid);
            return Step::failed(SPOOL, format!("{shown}: {error}")).remedy(make);
        }
    };
    let seen = format!("{shown} belongs to user {}, group {}, mode {:04o}", about.uid(), about.gid(), about.mode() & 0o7777);
    if let Some(why) = reader.cannot_write(directory) {
        return Step::failed(SPOOL, seen)
            .because(format!("user {} ({}) may not take files out of it: {why}", reader.uid, reader.known_by))
            .remedy(format!("chown {} {shown}", reader.uid));
    }
    if about.mode() & 0o002 != 0 {
        return Step::warning(SPOOL, seen)
            .because("everybody may write there, and so have the agent look at the stack and run hooks for events")
            .remedy(format!("chmod o-w {shown}"));
    }
    Step::ok(SPOOL, seen)
}

/// Programs of hooks, and the units that run root's.
async fn hooks(plan: &Plan, reader: &Reader) -> Vec<Step> {
    let mut steps = Vec::new();
    for hook in &plan.hooks {
        let Some(program) = hook.command.first().cloned() else { continue };
        let by = if hook.run_as == RunAs::Root { None } else { Some(reader.clone()) };
        let looked = apart(FILES_TIMEOUT, move || of_program(Path::new(&program), by.as_ref())).await;
        steps.push(looked.unwrap_or_else(|why| Step::failed(PROGRAM, why)).about(&*hook.name));
    }
    if plan.hooks.iter().any(|hook| hook.run_as == RunAs::Root) {
        let looked = apart(FILES_TIMEOUT, || of_units(&UNIT_DIRECTORIES.map(Path::new))).await;
        steps.push(looked.unwrap_or_else(|why| Step::failed(UNIT, why)));
    }
    steps
}

/// By owner and mode for the agent's user; `by` is none for root.
fn of_program(program: &Path, by: Option<&Reader>) -> Step {
    let shown = program.display();
    let about = match std::fs::metadata(program) {
        Ok(about) if about.is_file() => about,
        Ok(_) => return Step::failed(PROGRAM, format!("{shown} is not a file")),
        Err(error) => return Step::failed(PROGRAM, format!("{shown}: {error}")).remedy("mend command of the hook, or install the program"),
    };
    if about.mode() & 0o111 == 0 {
        return Step::failed(PROGRAM, format!("{shown} is not executable")).remedy(format!("chmod +x {shown}"));
    }
    if let Some((reader, found)) = by.and_then(|reader| Some((reader, reader.hindrance(program)?))) {
        return Step::failed(PROGRAM, format!("user {} ({}) may not reach {shown}", reader.uid, reader.known_by))
            .because(format!("{}: {}", found.what.display(), found.why))
            .perhaps(found.remedy);
    }
    Step::ok(PROGRAM, format!("{shown} is there and executable"))
}

/// Whether the path unit that answers the agent's requests is installed and enabled.
fn of_units(directories: &[&Path]) -> Step {
    let is_path = |name: &str| name.starts_with(HOOK_UNITS) && name.ends_with(".path");
    let names = |directory: &Path| -> Vec<String> {
        let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    };
    let found = directories.iter().find_map(|directory| names(directory).into_iter().find(|name| is_path(name)));
    let Some(found) = found else {
        return Step::failed(UNIT, format!("there is no {HOOK_UNITS}*.path among systemd's units"))
            .because("a hook with run_as = \"root\" is run by a unit of root's, which the agent asks; without it nobody answers")
            .remedy("install the package of the agent, which has them (docs/hooks.md)");
    };
    let wants = |directory: &&Path| {
        names(directory).into_iter().filter(|name| name.ends_with(".wants")).map(|name| directory.join(name)).collect::<Vec<_>>()
    };
    let enabled = directories.iter().flat_map(wants).any(|directory| names(&directory).iter().any(|name| is_path(name)));
    match enabled {
        true => Step::ok(UNIT, format!("{found} is installed and enabled")),
        false => Step::warning(UNIT, format!("{found} is installed, but not enabled"))
            .remedy(format!("systemctl enable --now {HOOK_UNITS}@NAME.path, for each such hook (docs/hooks.md)")),
    }
}

/// Whether events can come at all, for each stack that a signal names; nothing without sources that EventBridge feeds.
pub(super) async fn notifications(client: Option<&Client>, plan: &Plan, aimed: &[Aimed], obstacle: Option<&str>) -> Vec<Step> {
    if plan.sources.iter().all(|source| matches!(source.kind, SourceKind::Callback(_))) {
        return Vec::new();
    }
    let (Some(client), None) = (client, obstacle) else {
        return vec![Step::depends(NOTIFICATIONS, obstacle.unwrap_or(super::endpoint::SETTINGS))];
    };
    let mut targets: Vec<Target> = Vec::new();
    for (_, place) in aimed {
        if let (Some(region), Some(stack_id)) = (&place.region, &place.stack_id) {
            let target = Target { region: region.clone(), stack_id: stack_id.clone(), resource: String::new() };
            if !targets.contains(&target) {
                targets.push(target);
            }
        }
    }
    let mut steps = Vec::new();
    let end = Instant::now() + STACK_TIMEOUT;
    for target in targets {
        let sight = tokio::time::timeout_at(end, client.watch(&target, None, &[])).await;
        steps.push(judge(sight.ok()).about(target.stack_id));
    }
    steps
}

fn judge(sight: Option<Sight>) -> Step {
    match sight {
        Some(Sight::Seen(seen)) => match seen.notifies_eventbridge {
            Some(true) => Step::ok(NOTIFICATIONS, "ROS tells EventBridge about it"),
            Some(false) => Step::warning(NOTIFICATIONS, "ROS does not tell EventBridge about it: events cannot come")
                .because("eventbridge is not among its NotificationURLs, which are given when a stack is created")
                .remedy("create it with NotificationURLs.1 = eventbridge (docs/events.md); until then polling alone sees changes"),
            None => Step::ok(NOTIFICATIONS, "ROS does not say whether it tells EventBridge about it"),
        },
        Some(Sight::Missing { .. } | Sight::Denied(_) | Sight::Failed { .. }) => Step::depends(NOTIFICATIONS, super::stack::STACK),
        None => Step::skipped(NOTIFICATIONS, "no answer in time"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::step::Verdict;
    use super::*;
    use crate::stack::sight::Seen;
    use std::os::unix::fs::PermissionsExt as _;

    fn other() -> Reader {
        Reader { uid: 4_000_000, gids: vec![4_000_000], known_by: "a test".to_owned() }
    }

    #[tokio::test]
    async fn an_address_is_free_or_the_agents_or_somebody_elses() {
        let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = Listen::Address(taken.local_addr().unwrap());
        assert_eq!(listener(&at, &other(), None).verdict(), Verdict::Failed);
        assert_eq!(listener(&at, &other(), Some(7)).verdict(), Verdict::Ok);
        drop(taken);
        assert_eq!(listener(&at, &other(), None).verdict(), Verdict::Ok);
        assert_eq!(listener(&at, &other(), Some(7)).verdict(), Verdict::Warning, "the agent runs and does not listen");
        let nowhere = listener(&Listen::Address("192.0.2.1:8480".parse().unwrap()), &other(), None);
        assert_eq!((nowhere.verdict(), nowhere.seen()), (Verdict::Failed, "192.0.2.1 is no address of this host"));
        assert_eq!(listener(&Listen::Systemd("events".to_owned()), &other(), None).verdict(), Verdict::Skipped);
    }

    #[test]
    fn a_spool_is_for_the_agent_to_empty_and_not_for_everybody_to_fill() {
        let dir = tempfile::tempdir().unwrap();
        let mode = |mode| std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        mode(0o770);
        assert_eq!(of_spool(dir.path(), &Reader::myself()).verdict(), Verdict::Ok);
        assert_eq!(of_spool(dir.path(), &other()).verdict(), Verdict::Failed);
        mode(0o777);
        assert_eq!(of_spool(dir.path(), &Reader::myself()).verdict(), Verdict::Warning);
        assert_eq!(of_spool(&dir.path().join("none"), &Reader::myself()).verdict(), Verdict::Failed);
    }

    #[test]
    fn the_program_of_a_hook_must_be_there_and_executable_for_who_runs_it() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("apply");
        assert_eq!(of_program(&program, None).verdict(), Verdict::Failed);
        std::fs::write(&program, "").unwrap();
        let mode = |mode| std::fs::set_permissions(&program, std::fs::Permissions::from_mode(mode)).unwrap();
        mode(0o600);
        assert_eq!(of_program(&program, None).what_to_do(), Some(format!("chmod +x {}", program.display()).as_str()));
        mode(0o700);
        assert_eq!(of_program(&program, None).verdict(), Verdict::Ok);
        assert_eq!(of_program(&program, Some(&other())).verdict(), Verdict::Failed, "the directory is not open to it");
    }

    #[test]
    fn roots_hooks_need_their_path_unit_installed_and_enabled() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(of_units(&[dir.path()]).verdict(), Verdict::Failed);
        let unit = dir.path().join("ros-signal-agent-hooks.path");
        std::fs::write(&unit, "").unwrap();
        assert_eq!(of_units(&[dir.path()]).verdict(), Verdict::Warning);
        std::fs::create_dir(dir.path().join("paths.target.wants")).unwrap();
        std::os::unix::fs::symlink(&unit, dir.path().join("paths.target.wants/ros-signal-agent-hooks.path")).unwrap();
        assert_eq!(of_units(&[dir.path()]).verdict(), Verdict::Ok);
    }

    #[test]
    fn a_stack_that_tells_nobody_is_a_warning() {
        let seen = |tells| judge(Some(Sight::Seen(Box::new(Seen { notifies_eventbridge: tells, ..Seen::default() })))).verdict();
        assert_eq!([seen(Some(true)), seen(Some(false)), seen(None)], [Verdict::Ok, Verdict::Warning, Verdict::Ok]);
        assert_eq!(judge(Some(Sight::Denied("no".to_owned()))).verdict(), Verdict::Skipped);
    }
}
