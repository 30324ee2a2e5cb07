//! No input makes the configuration panic, and every refusal has a reason.

use proptest::prelude::*;
use proptest::sample::Index;
use ros_signal_agent::config::{Environment, Layout, Owners, Severity, default_file, load};

/// Loads `bytes` and checks what holds for every outcome.
fn survives(bytes: &[u8]) -> Result<(), TestCaseError> {
    let root = tempfile::TempDir::new().unwrap();
    let path = root.path().join("config.toml");
    std::fs::write(&path, bytes).unwrap();
    match load(&Layout::file(path), &Owners::Given { agent: 990, paths: [].into() }, &Environment::default()) {
        Ok(loaded) => prop_assert!(loaded.warnings.iter().all(|warning| warning.severity == Severity::Warning)),
        Err(diagnostics) => {
            prop_assert_eq!(diagnostics[0].severity, Severity::Error);
            for diagnostic in diagnostics {
                prop_assert!(diagnostic.message != "the configuration could not be understood");
                let shown = diagnostic.to_string();
                prop_assert!(!shown.contains("hunter2"), "{}", shown);
                prop_assert!(shown.len() < 4096 && shown.lines().count() <= 4, "{}", shown);
            }
        }
    }
    Ok(())
}

/// The default file with all settings in force, and secrets in the places where they may stand.
fn rich() -> String {
    let setting = |line: &str| line.strip_prefix('#').filter(|rest| !rest.starts_with([' ', ':'])).map(str::to_owned);
    let text: String = default_file().lines().map(|line| setting(line).unwrap_or_else(|| line.to_owned()) + "\n").collect();
    text.replace("body = \"{}\"", "body = \"\"\"\nhunter2\n\"\"\"")
        .replace("Accept = \"application/json\"", "Authorization = \"Bearer hunter2\"")
}

#[test]
fn the_configuration_that_is_mutilated_below_is_a_good_one() {
    survives(rich().as_bytes()).unwrap();
    let root = tempfile::TempDir::new().unwrap();
    let path = root.path().join("config.toml");
    std::fs::write(&path, rich()).unwrap();
    let owners = Owners::Given { agent: 990, paths: [].into() };
    let loaded = load(&Layout::file(path), &owners, &Environment::default()).expect("a good configuration");
    assert!(loaded.plan.checks.len() >= 5);
}

fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("\"".to_owned()),
        Just("'''".to_owned()),
        Just("= ".to_owned()),
        Just("[".to_owned()),
        Just("]]".to_owned()),
        Just("{".to_owned()),
        Just("\n".to_owned()),
        Just("\r\n".to_owned()),
        Just("[check.homepage.type]\n".to_owned()),
        Just("[[signal.web]]\n".to_owned()),
        Just("99999999999999999999999999999999999999999".to_owned()),
        Just("-1e999".to_owned()),
        Just("1979-05-27T07:32:00Z".to_owned()),
        Just("界\u{7f}".to_owned()),
        "[ -~]{0,8}",
        ".{0,4}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_are_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        survives(&bytes)?;
    }

    #[test]
    fn a_mutilated_configuration_is_refused_without_a_panic_or_a_secret(
        cuts in proptest::collection::vec((any::<Index>(), 0usize..30, word()), 1..4),
    ) {
        let mut text = rich();
        for (place, length, word) in cuts {
            let at = |wanted: usize| (0..=wanted.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap();
            let start = at(place.index(text.len() + 1));
            let end = at(start + length).max(start);
            text.replace_range(start..end, &word);
        }
        // A cut through the name of a secret, or through the marks around it, makes another text of it.
        let whole = text.contains(" Authorization = \"Bearer hunter2\"") && text.contains("\nbody = \"\"\"\nhunter2\n\"\"\"");
        let text = if whole { text } else { text.replace("hunter2", "gone") };
        survives(text.as_bytes())?;
    }

    #[test]
    fn strange_urls_and_addresses_are_refused_without_a_panic(
        scheme in prop_oneof![Just("http://"), Just("https://"), Just("http:"), Just(""), Just("http:\\\\")],
        host in prop_oneof!["[ -~&&[^\"\\\\]]{0,20}", "[Xx][Nn]--[ -~&&[^\"\\\\]]{0,20}", "[A-Za-z0-9%.\\[\\]:@-]{0,20}", "[^\"\\\\\\p{C}]{0,12}"],
        path in "(/[a-z%@?#]{0,9})?",
    ) {
        survives(format!("[ros]\nendpoint = \"{scheme}{host}{path}\"\n[check.a]\ntype = \"http\"\nurl = \"{scheme}{host}{path}\"\n").as_bytes())?;
        survives(format!("[check.a]\ntype = \"tcp\"\naddress = \"{host}\"\n[check.b]\ntype = \"tcp\"\naddress = \"{host}:80\"\n").as_bytes())?;
    }

    #[test]
    fn a_value_swapped_for_another_is_refused_without_a_panic(line in any::<Index>(), value in word()) {
        let text = rich();
        let lines: Vec<_> = text.lines().collect();
        let chosen = line.index(lines.len());
        let swapped: String = lines
            .iter()
            .enumerate()
            .map(|(number, line)| match line.split_once(" = ") {
                Some((key, _)) if number == chosen => format!("{key} = {value}\n"),
                _ => format!("{line}\n"),
            })
            .collect();
        let swapped = if swapped.contains("\nbody = \"\"\"\nhunter2\n\"\"\"") { swapped } else { swapped.replace("hunter2", "gone") };
        survives(swapped.as_bytes())?;
    }
}
