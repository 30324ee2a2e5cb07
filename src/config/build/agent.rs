//! The tables that stand alone: `[agent]`, `[ess]`, `[instance]`, `[state]`, `[stack]`.

use crate::config::Environment;
use crate::config::forms;
use crate::config::fragment::Value;
use crate::config::network;
use crate::config::reader::{Parsed, Problem, Reader, shorten, text};
use crate::plan::{Agent, Endpoint, Ess, Instance, OnUnwritable};
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

/// Where the metadata service of an ECS instance is: a link that never leaves the host's hypervisor, so plain http is right there.
const METADATA: IpAddr = IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200));

/// `[agent]`, and `allow_no_checks`.
pub(super) fn agent(reader: &mut Reader<'_>, environment: &Environment) -> Option<(Agent, bool)> {
    let allow_no_checks = reader.flag("allow_no_checks");
    let max_concurrency = reader.number("max_concurrency");
    let max_exec = reader.number("max_exec");
    let state_dir = path_or(reader, "state_dir", environment.state_dir());
    let socket = path_or(reader, "socket", environment.socket());
    let log = reader.value("log", |value| {
        let text = text(value)?;
        log_filter(text)?;
        Ok(text.to_owned())
    });
    let agent = Agent {
        max_concurrency: max_concurrency? as usize,
        max_exec: max_exec? as usize,
        state_dir: state_dir?,
        socket: socket?,
        log: log?,
    };
    Some((agent, allow_no_checks?))
}

fn path_or(reader: &mut Reader<'_>, name: &str, default: PathBuf) -> Option<PathBuf> {
    let written = reader.optional(name, forms::path)?;
    Some(written.unwrap_or_else(|| {
        reader.record_default(name, default.to_string_lossy());
        default
    }))
}

/// `info`, `info,ros=debug`.
fn log_filter(text: &str) -> Result<(), Problem> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    for part in text.split(',') {
        let (target, level) = part.trim().split_once('=').map_or((None, part.trim()), |(target, level)| (Some(target), level));
        let is_target = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '-'));
        if target.is_some_and(|target| !is_target(target)) {
            return Err(Problem::new("has a bad target").hint("filters look like \"info,ros=debug\""));
        }
        if !LEVELS.contains(&level) {
            let problem = Problem::new(format!("has the unknown level `{}`", shorten(level)));
            let problem = problem.hint_nearest(level, LEVELS);
            return Err(if problem.hint.is_some() { problem } else { problem.hint("levels are off, error, warn, info, debug and trace") });
        }
    }
    Ok(())
}

/// `[ess]`.
pub(super) fn ess(reader: &mut Reader<'_>) -> Option<Ess> {
    let endpoint = reader.value("endpoint", |value| match text(value)? {
        "auto" => Ok(Endpoint::Auto),
        _ => network::url_with_tls(value, None).map(Endpoint::Url),
    });
    Some(Ess { endpoint: endpoint? })
}

/// The name of a systemd credential: a file name (systemd.exec(5), LoadCredential=).
pub(super) fn credential_name(value: &Value) -> Parsed<String> {
    let name = forms::line(value, 255)?;
    if name.contains('/') || name == "." || name == ".." {
        return Err(Problem::new("must be the name of a credential, not a path").into());
    }
    Ok(name)
}

/// `[instance]`.
pub(super) fn instance(reader: &mut Reader<'_>) -> Option<Instance> {
    let id = reader.optional("id", |value| forms::identifier(value, 64, "-_."));
    let metadata_url = reader.value("metadata_url", |value| network::url_with_tls(value, Some(METADATA)));
    let allow_plain_metadata = reader.flag("allow_plain_metadata");
    Some(Instance { id: id?, metadata_url: metadata_url?, allow_plain_metadata: allow_plain_metadata? })
}

/// `[state]`.
pub(super) fn state(reader: &mut Reader<'_>) -> Option<OnUnwritable> {
    reader.word("on_unwritable", |word| match word {
        "send" => Some(OnUnwritable::Send),
        "hold" => Some(OnUnwritable::Hold),
        _ => None,
    })
}

/// Stack and region, of `[stack]` or of one signal.
#[derive(Clone, Debug, Default)]
pub(super) struct Stack {
    pub(super) stack_id: Option<String>,
    pub(super) region: Option<String>,
}

/// `stack_id` and `region` of the table that is read.
pub(super) fn stack(reader: &mut Reader<'_>) -> Stack {
    let stack_id = reader.optional("stack_id", |value| forms::identifier(value, 255, "-_.")).flatten();
    let region = reader.optional("region", forms::region).flatten();
    if stack_id.as_deref().is_some_and(|id| uuid::Uuid::try_parse(id).is_err()) {
        let place = reader.place("stack_id");
        let hint = "a stack ID looks like \"4a6c9851-3b0f-4f5f-b4ca-a14bf6910000\"; ROS does not promise to take a stack's name";
        reader.notes.warn(place, "`stack_id` does not look like a stack ID", Some(hint.to_owned()));
    }
    Stack { stack_id, region }
}
