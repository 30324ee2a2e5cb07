//! How a signal travels: `transport` and the keys that belong to one of them.

use super::agent::credential_name;
use crate::config::forms;
use crate::config::reader::Reader;
use crate::plan::{HandleSource, LifecycleHook, OnFailure, Transport};

/// Which keys belong to which transport.
const KEYS: [(&str, &str); 6] = [
    ("handle_file", "handle"),
    ("handle_credential", "handle"),
    ("scaling_group", "lifecycle-hook"),
    ("hook", "lifecycle-hook"),
    ("action_token", "lifecycle-hook"),
    ("on_failure", "lifecycle-hook"),
];

/// What stands for the resource of a lifecycle hook.
pub(super) const HOOK_RESOURCE: &str = "lifecycle-hook";

/// `transport` of the signal that is read.
pub(super) fn transport(reader: &mut Reader<'_>) -> Option<Transport> {
    let word = reader.word("transport", |word| Some(word.to_owned()));
    let file = reader.optional("handle_file", forms::path);
    let credential = reader.optional("handle_credential", credential_name);
    let scaling_group = reader.optional("scaling_group", |value| forms::identifier(value, 128, "-_."));
    let hook = reader.optional("hook", |value| forms::identifier(value, 128, "-_."));
    let action_token = reader.optional("action_token", |value| forms::identifier(value, 256, "-_."));
    let on_failure = reader.optional_word("on_failure", |word| match word {
        "abandon" => Some(OnFailure::Abandon),
        "rollback" => Some(OnFailure::Rollback),
        _ => None,
    });
    let word = word?;
    refuse_others(reader, &word);
    Some(match word.as_str() {
        "handle" => Transport::Handle(handle(reader, file?, credential?)),
        "lifecycle-hook" => {
            let hook = LifecycleHook {
                scaling_group: scaling_group?,
                hook: hook?,
                action_token: action_token?,
                on_failure: on_failure?.unwrap_or(OnFailure::Abandon),
            };
            if hook.action_token.is_some() && hook.hook.is_none() {
                let place = reader.place("action_token");
                let hint = "write hook = \"ash-...\", the hook that the token was made for";
                reader.notes.misfit(place, "`action_token` needs the key `hook`", Some(hint.to_owned()));
            }
            Transport::LifecycleHook(hook)
        }
        _ => Transport::Api,
    })
}

fn refuse_others(reader: &mut Reader<'_>, word: &str) {
    for (key, needed) in KEYS {
        if reader.has(key) && word != needed {
            let place = reader.place(key);
            let message = format!("`{key}` is for `transport = \"{needed}\"` only, and the transport is \"{word}\"");
            reader.notes.misfit(place, message, Some(format!("write transport = \"{needed}\", or leave `{key}` out")));
        }
    }
}

fn handle(reader: &mut Reader<'_>, file: Option<std::path::PathBuf>, credential: Option<String>) -> HandleSource {
    match (file, credential) {
        (Some(file), None) => HandleSource::File(file),
        (None, Some(name)) => HandleSource::SystemdCredential(name),
        (None, None) => HandleSource::Stack,
        (Some(file), Some(_)) => {
            let place = reader.place("handle_credential");
            reader.notes.misfit(
                place,
                "`handle_file` and `handle_credential` exclude each other",
                Some("leave one of them out".to_owned()),
            );
            HandleSource::File(file)
        }
    }
}
