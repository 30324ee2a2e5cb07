//! `config check|show|default|schema`.

use super::Exit;
use super::arguments::{ConfigCommand, Global};
use super::failure::Invalid;
use super::output::{Output, count};
use super::settings;
use crate::config::{self, Diagnostic, Origins};
use serde::Serialize;
use std::fmt::Write as _;
use std::path::PathBuf;

pub(super) fn run(global: &Global, command: &ConfigCommand, out: &mut Output) -> anyhow::Result<Exit> {
    match command {
        ConfigCommand::Check(arguments) if arguments.json => check_as_json(global, out)?,
        ConfigCommand::Check(_) => check(global, out)?,
        ConfigCommand::Show(arguments) => {
            let loaded = global.load()?;
            if arguments.json {
                out.json(&Shown { files: &loaded.files, settings: &loaded.origins })?
            } else {
                out.line(show(&loaded.origins))?
            }
        }
        ConfigCommand::Default => out.line(config::default_file())?,
        ConfigCommand::Schema => out.json(&config::schema())?,
    };
    Ok(Exit::Ok)
}

/// The JSON of `config check`. Fields are only ever added.
#[derive(Serialize)]
struct Checked<'a> {
    /// Whether the configuration can be used.
    ok: bool,
    files: &'a [PathBuf],
    diagnostics: &'a [Diagnostic],
}

/// The JSON of `config show`. Fields are only ever added.
#[derive(Serialize)]
struct Shown<'a> {
    files: &'a [PathBuf],
    settings: &'a Origins,
}

/// People are told as ever, on standard error.
fn check_as_json(global: &Global, out: &mut Output) -> anyhow::Result<bool> {
    match global.load() {
        Ok(loaded) => {
            settings::warn(&loaded.warnings);
            out.json(&Checked { ok: true, files: &loaded.files, diagnostics: &loaded.warnings })
        }
        Err(error) => {
            if let Some(Invalid(diagnostics)) = error.downcast_ref() {
                out.json(&Checked { ok: false, files: &[], diagnostics })?;
            }
            Err(error)
        }
    }
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

/// Table and key of a dotted path: cut after the table that has a header in a configuration file, `[agent]` or `[check.NAME]`. What is
/// deeper stays a dotted key, since TOML does not let a table be opened twice.
fn split(path: &str) -> (&str, &str) {
    let dots = if path.starts_with("check.") || path.starts_with("signal.") { 2 } else { 1 };
    let cut = bare_dots(path).nth(dots - 1);
    cut.and_then(|at| Some((path.get(..at)?, path.get(at + 1..)?))).unwrap_or(("", path))
}

/// Where the dots outside quotes are.
fn bare_dots(path: &str) -> impl Iterator<Item = usize> {
    let (mut quoted, mut escaped) = (None, false);
    path.char_indices().filter_map(move |(at, c)| {
        match (quoted, c) {
            _ if escaped => escaped = false,
            (Some('"'), '\\') => escaped = true,
            (Some(open), close) if open == close => quoted = None,
            (None, '"' | '\'') => quoted = Some(c),
            (None, '.') => return Some(at),
            _ => {}
        }
        None
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_cut_after_its_table_at_a_dot_outside_quotes() {
        assert_eq!(split("agent.log"), ("agent", "log"));
        assert_eq!(split("signal.web.deadline"), ("signal.web", "deadline"));
        assert_eq!(split(r#"check.api.headers."a.b""#), ("check.api", r#"headers."a.b""#));
        assert_eq!(split(r#"check."a\".b".url"#), (r#"check."a\".b""#, "url"));
        assert_eq!(split("check.'a.b'.url"), ("check.'a.b'", "url"));
        assert_eq!(split("alone"), ("", "alone"));
    }
}
