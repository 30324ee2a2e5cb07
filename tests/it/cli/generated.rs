//! Man pages, completions and documents that follow from the code, and must not drift from it.

use ros_signal_agent::cli::{Exit, command};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const PROGRAM: &str = "ros-signal-agent";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Compares `directory` with what it should hold, or writes it if `UPDATE_GENERATED` is set.
fn compare(directory: &Path, wanted: &BTreeMap<String, Vec<u8>>) {
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        let _ = std::fs::remove_dir_all(directory);
        std::fs::create_dir_all(directory).unwrap();
        for (name, text) in wanted {
            std::fs::write(directory.join(name), text).unwrap();
        }
    }
    let mut found: Vec<PathBuf> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    let names: Vec<_> = found.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    let expected: Vec<_> = wanted.keys().map(String::as_str).collect();
    assert_eq!(names, expected, "set UPDATE_GENERATED=1 to write {} anew", directory.display());
    for (path, (name, text)) in found.iter().zip(wanted) {
        assert!(std::fs::read(path).unwrap() == *text, "{name} differs: set UPDATE_GENERATED=1 to write it anew");
    }
}

/// One page for the program and one for each command below it.
fn pages(command: &clap::Command, pages: &mut BTreeMap<String, Vec<u8>>) {
    let mut page = Vec::new();
    let source = concat!("ros-signal-agent ", env!("CARGO_PKG_VERSION"));
    clap_mangen::Man::new(command.clone()).source(source).render(&mut page).unwrap();
    // Trailing blanks mean nothing to a formatter of man pages, but much to reviewers.
    let page: String = String::from_utf8(page).unwrap().lines().map(|line| format!("{}\n", line.trim_end())).collect();
    pages.insert(format!("{}.1", command.get_display_name().unwrap_or(PROGRAM)), page.into_bytes());
    for child in command.get_subcommands().filter(|child| child.get_name() != "help") {
        self::pages(child, pages);
    }
}

#[test]
fn man_pages_are_those_of_the_command_line_and_of_the_keys() {
    let mut command = command();
    command.build();
    let mut wanted = BTreeMap::new();
    pages(&command, &mut wanted);
    wanted.insert("ros-signal-agent.toml.5".to_owned(), super::manual::page().into_bytes());
    compare(&root().join("packaging/man"), &wanted);
}

#[test]
fn completions_are_those_of_the_command_line() {
    use clap_complete::Shell;
    let generate = |shell| {
        let mut text = Vec::new();
        clap_complete::generate(shell, &mut command(), PROGRAM, &mut text);
        text
    };
    let wanted = [
        ("_ros-signal-agent".to_owned(), generate(Shell::Zsh)),
        ("ros-signal-agent.bash".to_owned(), generate(Shell::Bash)),
        ("ros-signal-agent.fish".to_owned(), generate(Shell::Fish)),
    ];
    compare(&root().join("packaging/completions"), &wanted.into());
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
