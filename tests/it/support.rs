//! Documents about the packages beside what is packaged: `docs/support.md` has a row for each system test, with the suites in whose guests it
//! runs, and `docs/install.md` names each unit and each drop-in.

use std::collections::BTreeMap;
use std::path::Path;

/// Where the head of a check says nothing else.
const SUITE: &str = "bookworm";

/// `# guest: suites=bullseye,trixie ...` as the matrix tells it.
fn suites(script: &str) -> String {
    let head: Vec<&str> = script.lines().filter_map(|line| line.strip_prefix("# guest:")).flat_map(str::split_whitespace).collect();
    let value = |key: &str| head.iter().find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
    let suites = value("suites").unwrap_or(SUITE).replace(',', ", ");
    if value("vm").is_some() { format!("{suites} (QEMU)") } else { suites }
}

#[test]
fn the_matrix_tells_in_which_guests_each_check_runs() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let document = std::fs::read_to_string(root.join("docs/support.md")).unwrap();
    let row = |line: &str| -> Option<(String, String)> {
        let mut cells = line.strip_prefix("| `")?.split(" | ");
        Some((cells.next()?.trim_end_matches('`').to_owned(), cells.next()?.to_owned()))
    };
    let told: BTreeMap<String, String> = document.lines().filter_map(row).collect();
    let mut wrong = Vec::new();
    for entry in std::fs::read_dir(root.join("tests/system/checks")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let wanted = suites(&std::fs::read_to_string(&path).unwrap());
        if told.get(&name) != Some(&wanted) {
            wrong.push(format!("{name}: {wanted}, and the matrix says {:?}", told.get(&name)));
        }
    }
    assert!(wrong.is_empty(), "docs/support.md: {wrong:#?}");
}

#[test]
fn the_head_of_a_check_is_read() {
    assert_eq!(suites("# guest: suites=bullseye,trixie packages=strace\n"), "bullseye, trixie");
    assert_eq!(suites("# guest: packages=cloud-init\n"), "bookworm");
    assert_eq!(suites("# guest: vm=qemu suites=bookworm\n"), "bookworm (QEMU)");
}

#[test]
fn the_document_about_the_installation_names_each_unit_and_each_drop_in() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let document = std::fs::read_to_string(root.join("docs/install.md")).unwrap();
    let files =
        ["systemd", "systemd/drop-ins"].into_iter().flat_map(|directory| std::fs::read_dir(root.join(directory)).into_iter().flatten());
    let names = files.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let units: Vec<String> =
        names.filter(|name| ["service", "socket", "target", "path", "conf"].contains(&name.rsplit('.').next().unwrap())).collect();
    assert!(!units.is_empty(), "units are found at all");
    let missing: Vec<_> = units.iter().filter(|name| !document.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "docs/install.md does not name {missing:?}");
}
