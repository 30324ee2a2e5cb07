//! `[check.NAME]`: the keys of all types; those of each type are read next door.

use super::{
    certificate, clock, cloud_init, composite, container, disk, dns, file, grpc, http, limits, load, memory, mount, port, probe, process,
    systemd,
};
use crate::config::forms::{self, Written};
use crate::config::fragment::{Data, Entry, Table, Value};
use crate::config::keys::{self, Section};
use crate::config::owners::{self, Owners};
use crate::config::reader::{Notes, Problem, Reader, shorten, text};
use crate::config::secrecy;
use crate::config::source::Place;
use crate::plan::{Check, Level, Name, Probe};

/// Most checks.
const CHECKS_LIMIT: usize = 1000;

/// A check on its way into the plan.
pub(super) struct Draft {
    pub(super) name: String,
    /// Its header.
    pub(super) header: Place,
    pub(super) enabled: bool,
    pub(super) level: Option<Level>,
    pub(super) depends_on: Vec<Written<String>>,
    /// What a composite is made of.
    pub(super) members: Vec<Written<String>>,
    pub(super) tags: Vec<String>,
    /// None: it has errors, or is not enabled.
    pub(super) check: Option<Check>,
}

impl Draft {
    fn without_check(name: &str, header: Place, enabled: bool) -> Self {
        Self {
            name: name.to_owned(),
            header,
            enabled,
            level: None,
            depends_on: Vec::new(),
            members: Vec::new(),
            tags: Vec::new(),
            check: None,
        }
    }
}

/// All checks, in order of name. None: there is no saying which there are.
pub(super) fn drafts(checks: Option<&Entry>, owners: &Owners, notes: &mut Notes) -> Option<Vec<Draft>> {
    let Some(entry) = checks else {
        return Some(Vec::new());
    };
    let table = super::table("check.NAME", &entry.value, entry.key, notes)?;
    if table.0.len() > CHECKS_LIMIT {
        notes.misfit(entry.key, format!("{} checks, at most {CHECKS_LIMIT} are possible", table.0.len()), None);
        return None;
    }
    Some(table.0.iter().map(|(name, entry)| draft(name, entry, owners, notes)).collect())
}

fn draft(name: &str, entry: &Entry, owners: &Owners, notes: &mut Notes) -> Draft {
    let valid = match forms::name(name) {
        Ok(name) => Some(name),
        Err(problem) => {
            notes.error(entry.key, problem.message, problem.hint);
            None
        }
    };
    let Some(table) = super::table(&format!("check.{}", shorten(name)), &entry.value, entry.key, notes) else {
        return Draft::without_check(name, entry.key, true);
    };
    let kind = kind_of(table);
    let sections: Vec<&'static Section> = [Some(&keys::CHECK), kind.map(|(_, section)| section)].into_iter().flatten().collect();
    let mut reader = Reader::new(&sections, table, &["check", name], entry.key, notes);
    let others: Vec<&'static Section> = if kind.is_none() { keys::KINDS.iter().map(|(_, section)| *section).collect() } else { Vec::new() };
    reader.refuse_unknown(&others);
    let enabled = reader.flag("enabled");
    if enabled == Some(false) {
        return Draft::without_check(name, entry.key, false);
    }
    let draft = read(name, valid, kind.map(|(name, _)| name), &mut reader);
    if kind.is_some_and(|(name, _)| name == "exec") {
        judge_owners(&format!("exec check `{}`", shorten(name)), &entry.value, entry.key, owners, notes);
    }
    warn_of_secrets(table, notes);
    draft
}

/// The type of a check, if it is written and known.
fn kind_of(table: &Table) -> Option<(&'static str, &'static Section)> {
    let kind = text(&table.0.get("type")?.value).ok()?;
    keys::KINDS.iter().copied().find(|(name, _)| *name == kind)
}

fn read(name: &str, valid: Option<Name>, kind: Option<&str>, reader: &mut Reader<'_>) -> Draft {
    // Notes a missing or unknown type.
    let typed = reader.word("type", |word| Some(word.to_owned()));
    let level = reader.word("level", |word| match word {
        "required" => Some(Level::Required),
        "wanted" => Some(Level::Wanted),
        _ => None,
    });
    let interval = reader.duration("interval");
    let start_interval = reader.duration("start_interval");
    let timeout = reader.duration("timeout");
    let initial_delay = reader.duration("initial_delay");
    let start_period = reader.duration("start_period");
    let success_threshold = reader.number("success_threshold");
    let failure_threshold = reader.number("failure_threshold");
    let depends_on = reader.value("depends_on", |value| forms::names(value, None));
    let tags = reader.value("tags", |value| forms::names(value, None));
    let mut members = Vec::new();
    let probe = match kind {
        Some("http") => http::http(reader).map(|http| Probe::Http(Box::new(http))),
        Some("tcp") => probe::tcp(reader).map(Probe::Tcp),
        Some("exec") => probe::exec(reader).map(Probe::Exec),
        Some("container") => container::container(reader).map(Probe::Container),
        Some("systemd") => systemd::systemd(reader).map(Probe::Systemd),
        Some("ttl") => probe::ttl(reader).map(Probe::Ttl),
        Some("composite") => composite::composite(reader).map(|(composite, written)| {
            members = written;
            Probe::Composite(composite)
        }),
        Some("file") => file::file(reader).map(Probe::File),
        Some("cloud-init") => cloud_init::cloud_init(reader).map(Probe::CloudInit),
        Some("load") => load::load(reader).map(Probe::Load),
        Some("memory") => memory::memory(reader).map(Probe::Memory),
        Some("disk") => disk::disk(reader).map(Probe::Disk),
        Some("mount") => mount::mount(reader).map(Probe::Mount),
        Some("process") => process::process(reader).map(Probe::Process),
        Some("port") => port::port(reader).map(Probe::Port),
        Some("clock") => clock::clock(reader).map(Probe::Clock),
        Some("certificate") => certificate::certificate(reader).map(|certificate| Probe::Certificate(Box::new(certificate))),
        Some("grpc") => grpc::grpc(reader).map(|grpc| Probe::Grpc(Box::new(grpc))),
        Some("dns") => dns::dns(reader).map(|dns| Probe::Dns(Box::new(dns))),
        _ => None,
    };
    if let Some(measured) = probe.as_ref().and_then(Probe::measured) {
        limits::doubt(reader, &measured);
    }
    if reader.has("start_interval") && start_interval > interval && interval.is_some() {
        let place = reader.place("start_interval");
        let hint = "start_interval is the faster pace until the verdict".to_owned();
        reader.notes.warn(place, "`start_interval` is longer than `interval`", Some(hint));
    }
    let names = |written: &[Written<String>]| written.iter().map(|name| Name::from(name.what.as_str())).collect();
    // Members have thresholds of their own.
    let passed_on = matches!(probe, Some(Probe::Composite(_)));
    let check = || {
        typed?;
        Some(Check {
            name: valid?,
            level: level?,
            interval: interval?,
            start_interval: start_interval?,
            timeout: timeout?,
            initial_delay: initial_delay?,
            start_period: start_period?,
            success_threshold: success_threshold?,
            failure_threshold: if passed_on { 1 } else { failure_threshold? },
            depends_on: names(depends_on.as_deref()?),
            tags: tags.as_deref()?.iter().map(|tag| tag.what.clone()).collect(),
            probe: probe?,
        })
    };
    let check = check();
    Draft {
        name: name.to_owned(),
        header: reader.header(),
        enabled: true,
        level,
        depends_on: depends_on.unwrap_or_default(),
        members,
        tags: tags.unwrap_or_default().into_iter().map(|tag| tag.what).collect(),
        check,
    }
}

/// Refuses what runs a program if any file that wrote a part of it can be changed by somebody else.
pub(super) fn judge_owners(what: &str, value: &Value, header: Place, owners: &Owners, notes: &mut Notes) {
    let mut files = Vec::new();
    value.files(&mut files);
    files.sort_unstable();
    files.dedup();
    for file in files {
        let distrust = notes.sources.get(file).and_then(|source| owners.distrust(&source.facts));
        let Some((why, hint)) = distrust else {
            continue;
        };
        let place = if header.file() == Some(file) { header } else { first_in(value, file).unwrap_or(header) };
        notes.misfit(place, format!("{what} is refused: {why}"), Some(hint));
    }
}

/// The first part of `value` that `file` wrote.
fn first_in(value: &Value, file: usize) -> Option<Place> {
    match &value.data {
        Data::Table(table) => table.0.values().find_map(|entry| first_in(&entry.value, file)),
        _ => (value.place.file() == Some(file)).then_some(value.place),
    }
}

/// Warns of a file that holds what may be secret and that others can read.
fn warn_of_secrets(table: &Table, notes: &mut Notes) {
    let inner = |name: &str| match table.0.get(name).map(|entry| &entry.value.data) {
        Some(Data::Table(table)) => table.0.iter().collect::<Vec<_>>(),
        _ => Vec::new(),
    };
    let named = inner("headers").into_iter().chain(inner("environment")).filter(|(name, _)| secrecy::is_secret_name(name));
    let body = table.0.get_key_value("body");
    let sent = table.0.get_key_value("send").filter(|(_, entry)| text(&entry.value).is_ok_and(secrecy::mentions_secret));
    let secrets: Vec<_> = named.chain(body).chain(sent).map(|(name, entry)| (shorten(name), entry.key)).collect();
    for (name, place) in secrets {
        let Some(source) = place.file().and_then(|file| notes.sources.get(file)) else {
            continue;
        };
        if owners::others_may_read(&source.facts) {
            let hint = format!("chgrp ros-signal-agent {0} && chmod 0640 {0}", source.path.display());
            notes.warn(place, format!("`{name}` may hold a secret, and everybody can read this file"), Some(hint));
        }
    }
}

/// Complains about two keys that cannot stand together.
pub(super) fn refuse_pair(reader: &mut Reader<'_>, one: &str, other: &str, why: &str) {
    if reader.has(one) && reader.has(other) {
        let place = reader.place(other);
        reader.notes.misfit(place, format!("`{other}` cannot stand beside `{one}`"), Some(why.to_owned()));
    }
}

/// Complains about one of two keys that belong together.
pub(super) fn demand_pair(reader: &mut Reader<'_>, one: &str, other: &str) {
    for (present, absent) in [(one, other), (other, one)] {
        if reader.has(present) && !reader.has(absent) {
            let place = reader.place(present);
            reader.notes.misfit(place, format!("`{present}` needs `{absent}` beside it"), None);
        }
    }
}

/// One problem of the value that is read.
pub(super) fn problem(message: impl Into<String>) -> Vec<Problem> {
    Problem::new(message).into()
}
