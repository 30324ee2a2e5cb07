//! The keys of `type = "cloud-init"`.

use crate::check::Health;
use crate::config::forms;
use crate::config::reader::Reader;
use crate::plan::CloudInit;
use std::path::PathBuf;

pub(super) fn cloud_init(reader: &mut Reader<'_>) -> Option<CloudInit> {
    let run_dir = reader.value("run_dir", forms::path);
    let degraded = reader.word("degraded", health);
    let disabled = reader.word("disabled", health);
    let not_installed = reader.word("not_installed", health);
    Some(CloudInit { run_dir: run_dir?, degraded: degraded?, disabled: disabled?, not_installed: not_installed?, root: PathBuf::from("/") })
}

fn health(word: &str) -> Option<Health> {
    match word {
        "passing" => Some(Health::Passing),
        "warning" => Some(Health::Warning),
        "critical" => Some(Health::Critical),
        _ => None,
    }
}
