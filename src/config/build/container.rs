//! The keys of `type = "container"`.

use crate::check::Health;
use crate::config::forms;
use crate::config::fragment::Value;
use crate::config::reader::{Parsed, Problem, Reader};
use crate::plan::Container;

/// Longest name. The engines set no limit; host names of containers end here.
const NAME_LIMIT: usize = 128;

pub(super) fn container(reader: &mut Reader<'_>) -> Option<Container> {
    let name = reader.value("name", name);
    let socket = reader.optional("socket", forms::path);
    let without_healthcheck = reader.word("without_healthcheck", |word| match word {
        "passing" => Some(Health::Passing),
        "warning" => Some(Health::Warning),
        "critical" => Some(Health::Critical),
        _ => None,
    });
    Some(Container { name: name?, socket: socket?, without_healthcheck: without_healthcheck? })
}

/// As the engines name containers. It becomes part of a URL, so it is held to that.
fn name(value: &Value) -> Parsed<String> {
    let text = forms::line(value, NAME_LIMIT)?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(allowed) {
        return Ok(text);
    }
    let hint = "as the column NAMES of `docker ps` or `podman ps` has it: A-Z a-z 0-9 . _ - after a letter or digit";
    Err(Problem::new("is not the name of a container").hint(hint).into())
}
