//! No input makes the configuration panic, and every refusal has a reason.

use proptest::prelude::*;
use proptest::sample::Index;
use ros_signal_agent::config::{self, Environment, Layout, Owners, Severity, default_file, load};

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

/// All errors of a wrong file of 1 MiB took 340 MiB, more than the unit of the agent may have, so that a reload killed it.
#[test]
fn of_a_long_file_that_is_wrong_the_first_error_and_what_is_close_to_it_are_told() {
    let lines_told = |text: &str| -> Vec<usize> {
        let root = tempfile::TempDir::new().unwrap();
        let path = root.path().join("config.toml");
        std::fs::write(&path, text).unwrap();
        let loaded = load(&Layout::file(path), &Owners::Given { agent: 990, paths: [].into() }, &Environment::default());
        let told = loaded.err().unwrap_or_default();
        told.iter().filter_map(|diagnostic| Some(diagnostic.position.as_ref()?.line)).collect()
    };
    let comments = |lines: usize| "# a comment\n".repeat(lines);
    let (twice, broken) = ("[agent]\nlog = \"info\"\nlog = \"info\"\n", "no_value\n");
    assert!(lines_told(&comments(80_000)).is_empty());
    assert_eq!(lines_told(&format!("{}{broken}", comments(80_000))), [80_001]);
    assert_eq!(lines_told(&format!("{}{broken}{broken}{}", comments(40_000), comments(40_000))), [40_001, 40_002]);
    assert_eq!(lines_told(&format!("{twice}{}{broken}", comments(80_000))), [3], "though the syntax at the end is looked at first");
    assert_eq!(lines_told(&format!("{broken}{}{broken}", comments(80_000))), [1], "the rest once this is right");
    assert_eq!(lines_told(&"=".repeat(1024 * 1024)), [1]);
    assert_eq!(lines_told(&format!("x = \"{}", "é".repeat(500 * 1024))), [1]);
    assert!((50..=200).contains(&lines_told(&"=\n".repeat(500 * 1024)).len()));
}

/// A file that is wrong in its second line and goes on for more than the program reads closely behind that, with `opening` and what follows it
/// where that ends.
fn cut_within(opening: &str, line: &str, closing: &str) -> String {
    let before = "[check.web]\nwrong = nope\n".to_owned() + &"# a comment\n".repeat(5000);
    format!("{before}{opening}\n{}{closing}\n", format!("{line}\n").repeat(1000))
}

#[test]
fn where_a_long_wrong_file_is_cut_no_secret_is_shown_and_no_error_is_made() {
    for (opening, line, closing) in [
        ("body = \"\"\"", "key = hunter2", "\"\"\""),
        ("body = \"\"\"", "[hunter2", "\"\"\""),
        ("send = '''", "[hunter2]", "'''"),
        ("password = [", "\"hunter2\",", "]"),
        ("headers = {", "a = \"hunter2\",", "}"),
        ("body = \"\"\"", "key = hunter2 \\q", "\"\"\""),
    ] {
        let root = tempfile::TempDir::new().unwrap();
        let path = root.path().join("config.toml");
        std::fs::write(&path, cut_within(opening, line, closing)).unwrap();
        let told = load(&Layout::file(path), &Owners::Given { agent: 990, paths: [].into() }, &Environment::default()).unwrap_err();
        let shown: String = told.iter().map(ToString::to_string).collect();
        assert!(!shown.contains("hunter2") && !shown.contains("unclosed"), "{opening} {line}: {shown}");
        assert!(shown.contains(":2:9: error: "), "{shown}");
    }
}

#[test]
fn where_the_agent_is_can_be_read_far_behind_the_error_of_a_long_file() {
    let root = tempfile::TempDir::new().unwrap();
    let path = root.path().join("config.toml");
    let comments = "# a comment\n".repeat(8000);
    let agent = "[agent] # the second of this host\nsocket = \"/run/two/control.sock\"\nstate_dir = \"/var/lib/two\"\n[check.a]\nsocket = \"/no\"\n";
    for text in
        [format!("no_value\n{comments}{agent}"), format!("{agent}{comments}no_value\n{comments}"), format!("{comments}{agent}no_value\n")]
    {
        std::fs::write(&path, text).unwrap();
        assert_eq!(config::socket(&Layout::file(path.clone())).unwrap().to_str(), Some("/run/two/control.sock"));
        assert_eq!(config::state_dir(&Layout::file(path.clone()), &Environment::default()).to_str(), Some("/var/lib/two"));
    }
    std::fs::write(&path, format!("[agent]\nlog = \"info\"\n[check.a]\nbody = '''\n{agent}'''\n{comments}")).unwrap();
    assert_eq!(config::socket(&Layout::file(path)), None, "what only looks like it, in a file that can be read");
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
