//! The keys of `type = "process"`.

use super::check::{problem, refuse_pair};
use super::limits;
use crate::config::forms;
use crate::config::fragment::Value;
use crate::config::matching;
use crate::config::reader::{Parsed, Problem, Reader};
use crate::plan::{Process, User};

/// Longest name of a process, in characters.
const NAME_LIMIT: usize = 255;

pub(super) fn process(reader: &mut Reader<'_>) -> Option<Process> {
    let name = reader.optional("name", name);
    let cmdline = reader.optional("cmdline", matching::pattern);
    let pid_file = reader.optional("pid_file", forms::path);
    let user = reader.optional("user", user);
    for limit in ["warn", "crit"] {
        refuse_pair(reader, "pid_file", limit, "a pid file is about one process, which runs or does not");
    }
    let thresholds = if reader.has("pid_file") { reader.thresholds() } else { limits::or_else(reader, None, "1:") };
    if !["name", "cmdline", "pid_file", "user"].iter().any(|key| reader.has(key)) {
        let message = format!("`{}` needs one of the keys `name`, `cmdline`, `pid_file` and `user`", reader.title());
        let place = reader.header();
        reader.notes.misfit(place, message, Some("write name = \"nginx\"".to_owned()));
        return None;
    }
    Some(Process { name: name?, cmdline: cmdline?, pid_file: pid_file?, user: user?, thresholds: thresholds? })
}

fn name(value: &Value) -> Parsed<String> {
    let name = forms::line(value, NAME_LIMIT)?;
    if name.contains('/') {
        return Err(Problem::new("must be a name without directories").hint("match the whole path by `cmdline`").into());
    }
    Ok(name)
}

fn user(value: &Value) -> Parsed<User> {
    let text = forms::line(value, NAME_LIMIT)?;
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        let id = text.parse().map_err(|_| problem("is not the number of a user"))?;
        return Ok(User::Id(id));
    }
    if text.contains([':', '/']) || text.contains(char::is_whitespace) {
        return Err(problem("is not the name of a user"));
    }
    Ok(User::Name(text))
}
