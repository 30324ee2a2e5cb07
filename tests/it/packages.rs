//! What the packages hold, as Cargo.toml has it: nothing that is written for users can be forgotten, and .deb and .rpm do not drift apart.
//!
//! Nothing is built here: `packaging/build` does that, `tests/system` installs what came of it.

use std::collections::BTreeSet;
use std::path::Path;

/// Made by `packaging/build`, which compresses.
const STAGED_MAN: &str = "target/packages/stage/man/";

/// Files that one kind of package has and the other has not, or has elsewhere.
const OF_DEBIAN: [&str; 3] = [
    "/usr/share/doc/ros-signal-agent/changelog.Debian.gz",
    "/usr/share/lintian/overrides/ros-signal-agent",
    "/usr/share/zsh/vendor-completions/_ros-signal-agent",
];
const OF_RPM: [&str; 2] = [
    // cargo-deb puts it there by itself.
    "/usr/share/doc/ros-signal-agent/copyright",
    "/usr/share/zsh/site-functions/_ros-signal-agent",
];

/// A line of a list of assets.
struct Asset {
    source: String,
    to: String,
    mode: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

fn metadata() -> toml::Table {
    let manifest: toml::Table = toml::from_str(&text("Cargo.toml")).unwrap();
    manifest["package"]["metadata"].as_table().unwrap().clone()
}

fn deb() -> Vec<Asset> {
    let word = |value: &toml::Value| value.as_str().unwrap().to_owned();
    let asset = |asset: &toml::Value| Asset { source: word(&asset[0]), to: format!("/{}", word(&asset[1])), mode: word(&asset[2]) };
    metadata()["deb"]["assets"].as_array().unwrap().iter().map(asset).collect()
}

fn rpm() -> Vec<Asset> {
    let assets = metadata();
    let assets = assets["generate-rpm"]["assets"].as_array().unwrap();
    let word = |asset: &toml::Value, key: &str| asset[key].as_str().unwrap().to_owned();
    let files = assets.iter().filter(|asset| asset.get("dir").is_none());
    files.map(|asset| Asset { source: word(asset, "source"), to: word(asset, "dest"), mode: word(asset, "mode") }).collect()
}

/// Whether a pattern, in which `*` stands for any text without a slash and `**/*` for any text, names a path.
fn names(pattern: &str, path: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == path,
        Some((before, rest)) => path.strip_prefix(before).is_some_and(|path| match rest.strip_prefix("*/*") {
            Some("") => true,
            _ => path.strip_suffix(rest).is_some_and(|middle| !middle.contains('/')),
        }),
    }
}

/// All files below a directory of the repository, by their paths in it.
fn files(directory: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root().join(directory)).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{directory}/{}", entry.file_name().to_str().unwrap());
        match entry.file_type().unwrap().is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path),
        }
    }
    found.sort();
    found
}

/// What is written for users and must come with the packages: paths as in the lists of assets.
fn for_users() -> Vec<String> {
    let mut wanted: Vec<String> =
        ["systemd", "packaging/completions", "packaging/examples", "packaging/conf.d", "docs"].into_iter().flat_map(files).collect();
    wanted.extend(files("packaging/man").iter().map(|page| format!("{STAGED_MAN}{}.gz", page.rsplit('/').next().unwrap())));
    wanted.extend(
        ["packaging/config.toml", "packaging/config.schema.json", "packaging/ram-policy.json", "README.md", "SECURITY.md"]
            .map(str::to_owned),
    );
    wanted
}

/// Where files of the repository, and what is staged, come to lie.
fn installed(assets: &[Asset]) -> BTreeSet<String> {
    let mut known = for_users();
    known.extend(assets.iter().map(|asset| asset.source.clone()).filter(|source| !source.contains('*')));
    let place = |asset: &Asset, path: &str| match asset.to.ends_with('/') {
        false => asset.to.clone(),
        true => {
            // What the pattern does not say is kept, folders included.
            let base = asset.source.split('*').next().unwrap();
            let base = &base[..=base.rfind('/').map_or(0, |slash| slash)];
            format!("{}{}", asset.to, path.strip_prefix(base).unwrap_or(path))
        }
    };
    let places = |asset: &Asset| known.iter().filter(|path| names(&asset.source, path)).map(|path| place(asset, path)).collect::<Vec<_>>();
    assets.iter().flat_map(places).collect()
}

#[test]
fn every_unit_page_completion_and_example_is_in_both_packages() {
    for (kind, assets) in [("deb", deb()), ("generate-rpm", rpm())] {
        for path in for_users() {
            let found = assets.iter().filter(|asset| names(&asset.source, &path)).count();
            assert_eq!(found, 1, "[package.metadata.{kind}] of Cargo.toml has {path} {found} times");
        }
    }
}

#[test]
fn the_two_packages_have_the_same_files_in_the_same_places() {
    let (deb, rpm) = (installed(&deb()), installed(&rpm()));
    assert_eq!(deb.difference(&rpm).collect::<Vec<_>>(), OF_DEBIAN.iter().collect::<Vec<_>>());
    assert_eq!(rpm.difference(&deb).collect::<Vec<_>>(), OF_RPM.iter().collect::<Vec<_>>());
    for place in ["/usr/bin/ros-signal-agent", "/etc/ros-signal-agent/config.toml", "/usr/share/man/man5/ros-signal-agent.toml.5.gz"] {
        assert!(deb.contains(place), "{place} is missing in {deb:?}");
    }
}

#[test]
fn only_the_program_may_be_executed_and_nobody_but_root_writes_anything() {
    for asset in deb().iter().chain(&rpm()) {
        let wanted = if asset.to == "/usr/bin/" { "755" } else { "644" };
        assert_eq!(asset.mode, wanted, "{}", asset.source);
    }
}

#[test]
fn directories_of_our_own_go_with_the_rpm() {
    let script = text("packaging/rpm/postun");
    // The outermost one: what is below goes first.
    let of_ours = |place: &String| {
        let parents = Path::new(place).ancestors().skip(1).filter(|parent| parent.ends_with("ros-signal-agent"));
        parents.last().map(|parent| parent.to_str().unwrap().to_owned())
    };
    let needed: BTreeSet<String> = installed(&rpm()).iter().filter_map(of_ours).collect();
    assert_eq!(needed.len(), 3, "{needed:?}");
    let line = script.lines().find(|line| line.trim_start().starts_with("find ")).unwrap();
    for directory in needed {
        assert!(line.contains(&format!(" {directory} ")), "packaging/rpm/postun does not remove {directory}");
    }
}

#[test]
fn a_configuration_that_was_changed_is_never_overwritten() {
    let assets = metadata();
    let assets = assets["generate-rpm"]["assets"].as_array().unwrap();
    let config = assets.iter().find(|asset| asset.get("source").is_some_and(|source| source.as_str() == Some("packaging/config.toml")));
    // What is below /etc is a conffile of the .deb without saying so.
    assert_eq!(config.unwrap()["config"].as_str(), Some("noreplace"));
}

#[test]
fn a_removal_stops_every_unit() {
    let units = files("systemd").into_iter().filter(|path| !path.contains("drop-ins"));
    let units: Vec<String> = units.map(|path| path.rsplit('/').next().unwrap().to_owned()).collect();
    let runs = |unit: &&String| [".service", ".socket", ".target", ".path"].iter().any(|kind| unit.ends_with(kind));
    for script in ["packaging/deb/prerm", "packaging/rpm/preun"] {
        let text = text(script);
        // Instances of a template are named by a pattern; its service ends with the path unit that starts it.
        for unit in units.iter().filter(runs).filter(|unit| !unit.ends_with("@.service")) {
            let name = unit.replace("@.", "@*.");
            assert!(text.contains(&name), "{script} does not stop {name}");
        }
    }
}

#[test]
fn both_packages_promise_the_glibc_that_is_built_for() {
    let script = text("packaging/build");
    let glibc = script.lines().find_map(|line| line.strip_prefix("readonly GLIBC=")).unwrap();
    let metadata = metadata();
    assert!(metadata["deb"]["depends"].as_str().unwrap().contains(&format!("libc6 (>= {glibc})")));
    assert!(metadata["generate-rpm"]["requires"].as_table().unwrap().contains_key(&format!("libc.so.6(GLIBC_{glibc})(64bit)")));
}
