//! `config check|show|default|schema`.

use super::Exit;
use super::arguments::{ConfigCommand, Global};
use super::output::{Output, count};
use super::settings;
use crate::config::{self, Origins};
use std::fmt::Write as _;

pub(super) fn run(global: &Global, command: &ConfigCommand, out: &mut Output) -> anyhow::Result<Exit> {
    match command {
        ConfigCommand::Check => check(global, out)?,
        ConfigCommand::Show => out.line(show(&global.load()?.origins))?,
        ConfigCommand::Default => out.line(config::default_file())?,
        ConfigCommand::Schema => out.json(&config::schema())?,
    };
    Ok(Exit::Ok)
}

fn check(global: &Global, out: &mut Output) -> anyhow::Result<bool> {
    let loaded = global.load()?;
    settings::warn(&loaded.warnings);
    let plan = &loaded.plan;
    let idle = if plan.signals.is_empty() { ", so the agent would idle" } else { "" };
    out.line(format!(
        "ok: {}{idle}, {}, {}, {}",
        count(plan.signals.len(), "signal"),
        count(plan.checks.len(), "check"),
        count(loaded.files.len(), "file"),
        count(loaded.warnings.len(), "warning"),
    ))
}

/// The effective settings as a configuration file, defaults marked as such.
fn show(origins: &Origins) -> String {
    let mut text = String::new();
    let mut current = None;
    for setting in origins.iter() {
        let (table, key) = split(&setting.key);
        if current != Some(table) {
            let gap = if current.is_some() { "\n" } else { "" };
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{gap}[{table}]");
            current = Some(table);
        }
        let _ = writeln!(text, "{key} = {} # {}", setting.value, setting.origin);
    }
    text
}

/// Table and key of a dotted path: cut at the last dot outside quotes.
fn split(path: &str) -> (&str, &str) {
    let (mut quoted, mut escaped, mut cut) = (None, false, None);
    for (at, c) in path.char_indices() {
        match (quoted, c) {
            _ if escaped => escaped = false,
            (Some('"'), '\\') => escaped = true,
            (Some(open), close) if open == close => quoted = None,
            (None, '"' | '\'') => quoted = Some(c),
            (None, '.') => cut = Some(at),
            _ => {}
        }
    }
    cut.and_then(|at| path.split_at_checked(at)).map_or(("", path), |(table, key)| (table, key.trim_start_matches('.')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_cut_at_its_last_dot_outside_quotes() {
        assert_eq!(split("signal.web.deadline"), ("signal.web", "deadline"));
        assert_eq!(split(r#"check.api.headers."a.b""#), ("check.api.headers", r#""a.b""#));
        assert_eq!(split(r#"check.api.headers."a\"c.b""#), ("check.api.headers", r#""a\"c.b""#));
        assert_eq!(split("check.'a.b'.url"), ("check.'a.b'", "url"));
        assert_eq!(split("alone"), ("", "alone"));
    }
}
