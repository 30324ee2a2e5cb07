//! Man pages, completions and documents that follow from the code, and must not drift from it.

use super::man;
use ros_signal_agent::cli::{Exit, command};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const PROGRAM: &str = "ros-signal-agent";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Compares `directory` with what it should hold, or writes it if `UPDATE_GENERATED` is set.
fn compare(directory: &Path, wanted: &BTreeMap<String, Vec<u8>>) {
    let there = || {
        let mut found: Vec<PathBuf> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
        found.sort();
        found
    };
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        std::fs::create_dir_all(directory).unwrap();
        there().iter().for_each(|path| std::fs::remove_file(path).unwrap());
        for (name, text) in wanted {
            std::fs::write(directory.join(name), text).unwrap();
        }
    }
    let found = there();
    let names: Vec<_> = found.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    let expected: Vec<_> = wanted.keys().map(String::as_str).collect();
    assert_eq!(names, expected, "set UPDATE_GENERATED=1 to write {} anew", directory.display());
    for (path, (name, text)) in found.iter().zip(wanted) {
        assert!(std::fs::read(path).unwrap() == *text, "{name} differs: set UPDATE_GENERATED=1 to write it anew");
    }
}

#[test]
fn man_pages_are_those_of_the_command_line_and_of_the_keys() {
    let document = std::fs::read_to_string(root().join("docs/commands.md")).unwrap();
    let mut wanted = BTreeMap::new();
    man::pages(&man::prepared(command()), &man::Commands(&document), &mut wanted);
    wanted.insert("ros-signal-agent.toml.5".to_owned(), super::manual::page().into_bytes());
    compare(&root().join("packaging/man"), &wanted);
}

#[test]
fn every_man_page_has_the_sections_that_are_looked_for() {
    for entry in std::fs::read_dir(root().join("packaging/man")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "1") {
            continue;
        }
        let page = std::fs::read_to_string(&path).unwrap();
        for section in ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "\"EXIT STATUS\"", "FILES", "EXAMPLES", "\"SEE ALSO\""] {
            assert!(page.contains(&format!("\n.SH {section}\n")), "{} has no {section}", path.display());
        }
    }
}

#[test]
fn man_pages_are_well_formed() {
    let Some(mandoc) = crate::peer::program("mandoc") else { return };
    let pages = std::fs::read_dir(root().join("packaging/man")).unwrap().map(|entry| entry.unwrap().path());
    let output = std::process::Command::new(mandoc).args(["-T", "lint", "-W", "warning"]).args(pages).output().unwrap();
    let complaints = String::from_utf8(output.stdout).unwrap();
    // The page that it points to is looked for among those installed.
    let complaints: Vec<_> = complaints.lines().filter(|line| !line.contains("referenced manual not found")).collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
}

#[test]
fn completions_are_those_of_the_command_line() {
    use clap_complete::Shell;
    let generate = |shell| {
        let mut text = Vec::new();
        clap_complete::generate(shell, &mut command(), PROGRAM, &mut text);
        text
    };
    // clap_complete 4.6 writes a program with hyphens in two ways: what it looks for after a subcommand is not what it sets.
    let bash = String::from_utf8(generate(Shell::Bash)).unwrap().replace("ros__subcmd__signal__subcmd__agent", "ros__signal__agent");
    let wanted = [
        ("_ros-signal-agent".to_owned(), generate(Shell::Zsh)),
        ("ros-signal-agent.bash".to_owned(), bash.into_bytes()),
        ("ros-signal-agent.fish".to_owned(), generate(Shell::Fish)),
    ];
    compare(&root().join("packaging/completions"), &wanted.into());
}

#[test]
fn bash_completes_commands_and_what_follows_them() {
    let Some(bash) = crate::peer::program("bash") else { return };
    let ask = r#"source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _ros__signal__agent "$1" "${!#}" "${COMP_WORDS[COMP_CWORD - 1]}"
        printf '%s\n' "${COMPREPLY[@]}""#;
    for (words, wanted) in [
        (["ros-signal-agent", "sig"].as_slice(), "signal"),
        (&["ros-signal-agent", "config", ""], "show"),
        (&["ros-signal-agent", "wait", "--for", "h"], "healthy"),
        (&["ros-signal-agent", "events", "gc", "--"], "--dry-run"),
    ] {
        let script = root().join("packaging/completions/ros-signal-agent.bash");
        let output = std::process::Command::new(&bash).arg("-c").arg(ask).arg(script).args(words).output().unwrap();
        let words_found = String::from_utf8(output.stdout).unwrap();
        assert!(words_found.lines().any(|word| word == wanted), "{words:?}: {words_found:?}");
    }
}

#[test]
fn the_document_of_exit_codes_lists_exactly_those_there_are() {
    let document = std::fs::read_to_string(root().join("docs/exit-codes.md")).unwrap();
    let rows: Vec<&str> = document.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| code")).collect();
    let row = |exit: Exit| format!("| {} | {} | {} |", exit.code(), exit.commands(), exit.meaning());
    let wanted: Vec<String> = Exit::ALL.into_iter().map(row).collect();
    assert_eq!(rows.into_iter().filter(|line| !line.starts_with("| ---")).collect::<Vec<_>>(), wanted);
}

#[test]
fn every_command_has_its_chapter_with_an_example() {
    let document = std::fs::read_to_string(root().join("docs/commands.md")).unwrap();
    for command in command().get_subcommands() {
        let name = command.get_name();
        let chapter = document.split("\n## ").find(|chapter| chapter.starts_with(&format!("{name}\n")));
        let chapter = chapter.unwrap_or_else(|| panic!("docs/commands.md has no chapter {name}"));
        assert!(chapter.contains("```"), "{name} has no example");
    }
}
