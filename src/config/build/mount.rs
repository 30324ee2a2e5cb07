//! The keys of `type = "mount"`.

use super::check::problem;
use crate::config::forms;
use crate::config::fragment::Value;
use crate::config::reader::{Parsed, Problem, Reader, shorten};
use crate::plan::Mount;

/// Most options of a check.
const OPTIONS_LIMIT: usize = 64;
/// Longest type or source, in characters.
const WORD_LIMIT: usize = 4096;
/// Options that exclude each other.
const OPPOSITES: [(&str, &str); 4] = [("rw", "ro"), ("exec", "noexec"), ("suid", "nosuid"), ("dev", "nodev")];

pub(super) fn mount(reader: &mut Reader<'_>) -> Option<Mount> {
    let path = reader.value("path", forms::path);
    let fstype = reader.optional("fstype", |value| forms::line(value, WORD_LIMIT));
    let source = reader.optional("source", |value| forms::line(value, WORD_LIMIT));
    let options = reader.value("options", options);
    Some(Mount { path: path?, fstype: fstype?, source: source?, options: options? })
}

fn options(value: &Value) -> Parsed<Vec<String>> {
    let options = forms::each(value, |option| {
        if option.is_empty() || option.contains(|c: char| c == ',' || c.is_whitespace() || c.is_control()) {
            let problem = Problem::new(format!("has `{}`, which is not one option", shorten(option)));
            return Err(problem.hint("write [\"rw\", \"noexec\"]"));
        }
        Ok(option.to_owned())
    })?;
    if options.len() > OPTIONS_LIMIT {
        return Err(problem(format!("must have at most {OPTIONS_LIMIT} options")));
    }
    let has = |wanted: &str| options.iter().find(|option| option.what == wanted);
    for (one, other) in OPPOSITES {
        if let (Some(_), Some(second)) = (has(one), has(other)) {
            return Err(Problem::new(format!("has both `{one}` and `{other}`, which can never hold together")).at(second.place).into());
        }
    }
    Ok(options.into_iter().map(|option| option.what).collect())
}
