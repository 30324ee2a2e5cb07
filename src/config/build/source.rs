//! `[source.NAME]`.

use super::agent::credential_name;
use super::check::{demand_pair, refuse_pair};
use crate::config::fragment::{Entry, Table, Value};
use crate::config::keys::{self, Section};
use crate::config::reader::{Notes, Parsed, Problem, Reader, shorten, text};
use crate::config::{forms, network};
use crate::plan::{
    CallbackSource, Endpoint, HttpSource, Listen, QueueNetwork, QueueOwner, QueueSignature, QueueSource, SecretPlace, ServerTls, Source,
    SourceKind, SpoolSource,
};
use std::sync::Arc;
use std::time::Duration;

/// Most sources.
const SOURCES_LIMIT: usize = 16;

/// The longest poll that SMQ allows.
const LONGEST_POLL: Duration = Duration::from_secs(30);

/// All enabled sources, in order of name.
pub(super) fn sources(sources: Option<&Entry>, notes: &mut Notes) -> Vec<Arc<Source>> {
    let Some((entry, table)) =
        sources.and_then(|entry| super::table("source.NAME", &entry.value, entry.key, notes).map(|table| (entry, table)))
    else {
        return Vec::new();
    };
    if table.0.len() > SOURCES_LIMIT {
        notes.misfit(entry.key, format!("{} sources, at most {SOURCES_LIMIT} are possible", table.0.len()), None);
        return Vec::new();
    }
    let sources: Vec<_> = table.0.iter().filter_map(|(name, entry)| Some((entry, Arc::new(source(name, entry, notes)?)))).collect();
    refuse_second_own(&sources, notes);
    refuse_shared_places(&sources, notes);
    sources.into_iter().map(|(_, source)| source).collect()
}

/// The queue of an agent is called after its instance, so there is one.
fn refuse_second_own(sources: &[(&Entry, Arc<Source>)], notes: &mut Notes) {
    let owns = |source: &Source| matches!(&source.kind, SourceKind::Queue(queue) if matches!(queue.whose, QueueOwner::Own { .. }));
    let mut owners = sources.iter().filter(|(_, source)| owns(source));
    let Some((_, first)) = owners.next() else { return };
    for (entry, source) in owners {
        let hint = "have one topic take all events, or name a queue of yours as `queue`";
        let message =
            format!("`[source.{}]` and `[source.{}]` both have `topic`, and an agent makes one queue only", first.name, source.name);
        notes.misfit(entry.key, message, Some(hint.to_owned()));
    }
}

/// An address has one listener, and a file of a spool one reader.
fn refuse_shared_places(sources: &[(&Entry, Arc<Source>)], notes: &mut Notes) {
    for (index, (entry, source)) in sources.iter().enumerate() {
        let Some((key, place)) = place_of(source) else { continue };
        let other = sources.iter().take(index).find(|(_, other)| place_of(other) == Some((key, place.clone())));
        if let Some((_, other)) = other {
            let message = format!("`[source.{}]` and `[source.{}]` have the same `{key}`", other.name, source.name);
            notes.misfit(entry.key, message, Some(format!("each needs a `{key}` of its own")));
        }
    }
}

/// What a source has for itself: the key that names it, and its value. Port 0 is another one each time.
fn place_of(source: &Source) -> Option<(&'static str, String)> {
    let listen = match &source.kind {
        SourceKind::Http(http) => &http.listen,
        SourceKind::Callback(callback) => &callback.listen,
        SourceKind::Spool(spool) => return Some(("directory", spool.directory.display().to_string())),
        SourceKind::Queue(_) => return None,
    };
    match listen {
        Listen::Address(address) if address.port() == 0 => None,
        Listen::Address(address) => Some(("listen", address.to_string())),
        Listen::Systemd(name) => Some(("listen", format!("systemd:{name}"))),
    }
}

fn source(name: &str, entry: &Entry, notes: &mut Notes) -> Option<Source> {
    let valid = forms::name(name).map_err(|problem| notes.error(entry.key, problem.message, problem.hint)).ok();
    let table = super::table(&format!("source.{}", shorten(name)), &entry.value, entry.key, notes)?;
    let kind = kind_of(table);
    let sections: Vec<&'static Section> = [Some(&keys::SOURCE), kind.map(|(_, section)| section)].into_iter().flatten().collect();
    let mut reader = Reader::new(&sections, table, &["source", name], entry.key, notes);
    let others: Vec<&'static Section> =
        if kind.is_none() { keys::SOURCES.iter().map(|(_, section)| *section).collect() } else { Vec::new() };
    reader.refuse_unknown(&others);
    let reader = &mut reader;
    if reader.flag("enabled") == Some(false) {
        return None;
    }
    reader.word("type", |word| Some(word.to_owned()))?;
    let kind = match kind?.0 {
        "http" => SourceKind::Http(Box::new(http(reader)?)),
        "callback" => SourceKind::Callback(callback(reader)?),
        "queue" => SourceKind::Queue(Box::new(queue(reader)?)),
        _ => SourceKind::Spool(SpoolSource { directory: reader.value("directory", forms::path)? }),
    };
    Some(Source { name: valid?, kind })
}

/// The type of a source, if it is written and known.
fn kind_of(table: &Table) -> Option<(&'static str, &'static Section)> {
    let kind = text(&table.0.get("type")?.value).ok()?;
    keys::SOURCES.iter().copied().find(|(name, _)| *name == kind)
}

fn http(reader: &mut Reader<'_>) -> Option<HttpSource> {
    let listen = reader.value("listen", listen);
    let url = reader.value("url", |value| {
        network::url(value)?;
        forms::line(value, 2048)
    });
    let tls = tls(reader);
    let allow_v1 = reader.flag("allow_v1");
    let certificate_file = reader.optional("certificate_file", forms::path);
    let regions = reader.optional("certificate_regions", |value| {
        forms::each(value, |text| match text {
            _ if text.is_empty() || text.len() > 64 => Err(Problem::new("must be a region, such as \"cn-hangzhou\"")),
            _ if text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-') => Ok(text.to_owned()),
            _ => Err(Problem::new("must be a region, such as \"cn-hangzhou\"")),
        })
    });
    let token = secret(reader, "token_file", "token_credential");
    let allowed_origin = reader.optional("allowed_origin", |value| forms::line(value, 255));
    refuse_pair(reader, "certificate_file", "certificate_regions", "a certificate that is pinned is not fetched");
    if allow_v1 == Some(true) && token == Some(None) {
        let place = reader.place("allow_v1");
        let message = "with `allow_v1` and without a token, whoever has ever got an event signed with version 1 can sign others";
        let hint =
            "set a token on the target and give token_file; until then such events are only a reason to look, and no hook runs for them";
        reader.notes.warn(place, message, Some(hint.to_owned()));
    }
    Some(HttpSource {
        listen: listen?,
        url: url?,
        tls: tls?,
        allow_v1: allow_v1?,
        certificate_file: certificate_file?,
        certificate_regions: regions?.unwrap_or_default().into_iter().map(|region| region.what).collect(),
        token: token?,
        allowed_origin: allowed_origin?,
    })
}

fn callback(reader: &mut Reader<'_>) -> Option<CallbackSource> {
    let listen = reader.value("listen", listen);
    let tls = tls(reader);
    let path = secret(reader, "path_file", "path_credential")?;
    if path.is_none() {
        let place = reader.header();
        let hint = "the path is all that keeps others from calling: put at least 16 random characters into a file";
        reader.notes.misfit(place, format!("`{}` needs `path_file` or `path_credential`", reader.title()), Some(hint.to_owned()));
    }
    Some(CallbackSource { listen: listen?, tls: tls?, path: path? })
}

fn queue(reader: &mut Reader<'_>) -> Option<QueueSource> {
    let queue = reader.optional("queue", |value| smq_name(value, 120));
    let topic = reader.optional("topic", |value| smq_name(value, 255));
    let account = reader.optional("account", account);
    let region = reader.optional("region", forms::region);
    let endpoint = reader.value("endpoint", |value| match text(value)? {
        "auto" => Ok(Endpoint::Auto),
        _ => network::url_with_tls(value, None).map(Endpoint::Url),
    });
    let network = reader.word("network", |word| match word {
        "public" => Some(QueueNetwork::Public),
        "internal" => Some(QueueNetwork::Internal),
        "internal-plain" => Some(QueueNetwork::InternalPlain),
        _ => None,
    });
    if endpoint == Some(Endpoint::Auto) && network == Some(QueueNetwork::InternalPlain) {
        let place = reader.place("network");
        let hint = "whoever can listen in the VPC can read the queue with that token until it ends: write \"internal\" if it answers there";
        let message = "with `internal-plain` the events and the security token of the RAM role cross the VPC unencrypted";
        reader.notes.warn(place, message, Some(hint.to_owned()));
    }
    let signature = reader.word("signature", |word| match word {
        "v2" => Some(QueueSignature::V2),
        "v4" => Some(QueueSignature::V4),
        _ => None,
    });
    let wait = reader.duration("wait");
    if wait.is_some_and(|wait| wait > LONGEST_POLL || wait.subsec_millis() != 0) {
        let place = reader.place("wait");
        reader.notes.error(place, "`wait` must be 1s to 30s, in whole seconds", None);
    }
    let batch = reader.number("batch");
    refuse_pair(reader, "queue", "topic", "with `topic` the agent makes its own queue");
    let whose = match (queue?, topic?) {
        (Some(queue), _) => QueueOwner::Given(queue),
        (None, Some(topic)) => QueueOwner::Own { topic },
        (None, None) => {
            let place = reader.header();
            let hint = "`queue` names a queue that is there, `topic` lets the agent make its own";
            reader.notes.misfit(place, format!("`{}` needs `queue` or `topic`", reader.title()), Some(hint.to_owned()));
            return None;
        }
    };
    Some(QueueSource {
        whose,
        account: account?,
        region: region?,
        endpoint: endpoint?,
        network: network?,
        signature: signature?,
        wait: wait?,
        batch: batch?,
    })
}

/// The name of a queue or topic (limits page of SMQ).
fn smq_name(value: &Value, most: usize) -> Parsed<String> {
    let text = forms::line(value, most)?;
    let good = !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    if good { Ok(text) } else { Err(Problem::new("may have letters of ASCII, digits and - only").into()) }
}

/// The number of an account. It becomes part of a host name, so it is held to its form.
fn account(value: &Value) -> Parsed<String> {
    let text = forms::line(value, 32)?;
    let good = !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
    if good { Ok(text) } else { Err(Problem::new("is not the number of an account").hint("it looks like \"1234567890123456\"").into()) }
}

/// `127.0.0.1:8480`, or `systemd:NAME`.
fn listen(value: &Value) -> Parsed<Listen> {
    let text = text(value)?;
    if let Some(name) = text.strip_prefix("systemd:") {
        // FileDescriptorName= of systemd.socket(5): up to 255 printable characters, no colon.
        let named = !name.is_empty() && name.len() <= 255 && name.chars().all(|c| c.is_ascii_graphic() && c != ':');
        return if named {
            Ok(Listen::Systemd(name.to_owned()))
        } else {
            Err(Problem::new("must name the socket after `systemd:`").hint("systemd:events, with FileDescriptorName=events").into())
        };
    }
    let hint = "an IP address and a port, such as \"127.0.0.1:8480\" or \"[::]:8480\"; or \"systemd:NAME\"";
    text.parse().map(Listen::Address).map_err(|_| Problem::new("is not an address to listen on").hint(hint).into())
}

/// `tls_certificate` and `tls_key`: both or neither.
fn tls(reader: &mut Reader<'_>) -> Option<Option<ServerTls>> {
    let certificate = reader.optional("tls_certificate", forms::path);
    let key = reader.optional("tls_key", forms::path);
    demand_pair(reader, "tls_certificate", "tls_key");
    Some(certificate?.zip(key?).map(|(certificate, key)| ServerTls { certificate, key }))
}

/// A secret in a file or in a systemd credential.
fn secret(reader: &mut Reader<'_>, file: &str, credential: &str) -> Option<Option<SecretPlace>> {
    let path = reader.optional(file, forms::path);
    let name = reader.optional(credential, credential_name);
    refuse_pair(reader, file, credential, "leave one of them out");
    Some(path?.map(SecretPlace::File).or(name?.map(SecretPlace::SystemdCredential)))
}
