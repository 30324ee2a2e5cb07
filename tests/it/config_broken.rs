//! Broken configurations: each file in `tests/fixtures/config/broken` has, beside it, exactly what a person is told.
//!
//! `UPDATE_GOLDENS=1 cargo test` writes the expected texts anew, for review in the diff.

use ros_signal_agent::config::{Environment, Layout, Owners, Severity, load};
use std::path::{Path, PathBuf};

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/config/broken")
}

fn cases() -> Vec<PathBuf> {
    let mut cases: Vec<_> = std::fs::read_dir(directory())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    cases.sort();
    cases
}

/// Owners are made up, so that a checkout with a strange umask makes no difference.
fn told(path: &Path) -> String {
    let owners = Owners::Given { agent: 990, paths: [].into() };
    let diagnostics = load(&Layout::file(path), &owners, &Environment::default()).expect_err(&format!("{} is broken", path.display()));
    assert!(diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error));
    let text: Vec<_> = diagnostics.iter().map(|diagnostic| format!("{diagnostic}\n")).collect();
    text.join("\n").replace(&path.display().to_string(), "config.toml")
}

#[test]
fn every_broken_configuration_is_explained_exactly_so() {
    let cases = cases();
    assert!(cases.len() >= 60, "only {} cases", cases.len());
    let mut differing = Vec::new();
    for path in cases {
        let golden = path.with_extension("txt");
        let told = told(&path);
        if std::env::var_os("UPDATE_GOLDENS").is_some() {
            std::fs::write(&golden, &told).unwrap();
        }
        let expected = std::fs::read_to_string(&golden).unwrap_or_default();
        if told != expected {
            differing.push(format!("{}\n--- expected\n{expected}\n--- told\n{told}", path.display()));
        }
    }
    assert!(differing.is_empty(), "{}", differing.join("\n\n"));
}

#[test]
fn no_explanation_shows_a_secret() {
    for path in cases() {
        assert!(!told(&path).contains("hunter2"), "{}", path.display());
    }
}

#[test]
fn every_error_has_its_place_and_its_line() {
    let owners = Owners::Given { agent: 990, paths: [].into() };
    for path in cases() {
        for diagnostic in load(&Layout::file(&path), &owners, &Environment::default()).unwrap_err() {
            let position = diagnostic.position.expect("a position");
            assert!(position.line >= 1 && position.column >= 1);
            assert!(!diagnostic.message.ends_with('.'), "{}", diagnostic.message);
        }
    }
}
