//! What is made from the description of the keys: the JSON Schema, the default file, the tables of the documentation.
//!
//! `UPDATE_GOLDENS=1 cargo test` writes the generated files anew.

use ros_signal_agent::config::keys::{self, Fallback, Section};
use ros_signal_agent::config::{Environment, Layout, Owners, default_file, load, reference, schema};
use std::path::{Path, PathBuf};

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Compares a generated file with what it should be, or writes it.
fn generated(path: &str, expected: &str) {
    if std::env::var_os("UPDATE_GOLDENS").is_some() {
        std::fs::write(repository(path), expected).unwrap();
    }
    let present = std::fs::read_to_string(repository(path)).unwrap_or_default();
    assert!(present == expected, "{path} has drifted: run the tests once with UPDATE_GOLDENS=1");
}

fn sections() -> Vec<(&'static str, &'static Section)> {
    let named = [("signal", &keys::SIGNAL), ("hook", &keys::HOOK), ("source", &keys::SOURCE), ("check", &keys::CHECK)];
    // There is a type of check of that name too.
    let single = keys::SINGLE.into_iter().map(|(name, section)| (if name == "clock" { section.header } else { name }, section));
    // There is a type of check of that name too.
    let sources = keys::SOURCES.into_iter().map(|(name, section)| (if name == "http" { "source http" } else { name }, section));
    single.chain(named).chain(sources).chain(keys::KINDS).collect()
}

/// The default file with its settings in force: lines that begin with `#` and no blank.
fn uncommented() -> String {
    let setting = |line: &str| line.strip_prefix('#').filter(|rest| !rest.is_empty() && !rest.starts_with([' ', ':'])).map(str::to_owned);
    default_file().lines().map(|line| setting(line).unwrap_or_else(|| line.to_owned()) + "\n").collect()
}

fn load_text(text: &str) -> Result<ros_signal_agent::config::Loaded, String> {
    let root = tempfile::TempDir::new().unwrap();
    let path = root.path().join("config.toml");
    std::fs::write(&path, text).unwrap();
    load(&Layout::file(path), &Owners::Given { agent: 990, paths: [].into() }, &Environment::default())
        .map_err(|diagnostics| diagnostics.iter().map(|diagnostic| format!("{diagnostic}\n")).collect())
}

fn as_json(text: &str) -> serde_json::Value {
    serde_json::to_value(toml::from_str::<toml::Table>(text).unwrap()).unwrap()
}

#[test]
fn the_schema_in_the_repository_is_the_programs_own() {
    generated("packaging/config.schema.json", &(serde_json::to_string_pretty(&schema()).unwrap() + "\n"));
}

#[test]
fn the_documentation_has_every_key_as_the_program_knows_it() {
    let path = "docs/configuration.md";
    let mut text = std::fs::read_to_string(repository(path)).unwrap();
    for (name, section) in sections() {
        let begin = format!("<!-- keys: {name} -->\n");
        let end = "<!-- end -->";
        let start = text.find(&begin).unwrap_or_else(|| panic!("{path} has no {begin}")) + begin.len();
        let length = text[start..].find(end).expect("an end mark");
        text.replace_range(start..start + length, &format!("\n{}\n", reference(section)));
    }
    generated(path, &text);
}

#[test]
fn the_default_file_leaves_the_agent_idle() {
    let loaded = load_text(default_file()).unwrap();
    assert!(loaded.plan.signals.is_empty() && loaded.plan.checks.is_empty());
    assert!(default_file().starts_with("#:schema "));
}

#[test]
fn the_default_file_is_right_with_all_its_settings_in_force() {
    let text = uncommented();
    let loaded = load_text(&text).unwrap_or_else(|told| panic!("{told}"));
    assert_eq!(loaded.plan.signals.len(), 4);
    let validator = jsonschema::validator_for(&schema()).unwrap();
    let document = as_json(&text);
    let errors: Vec<_> = validator.iter_errors(&document).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:#?}");
}

#[test]
fn the_default_file_names_every_key() {
    for (name, section) in sections() {
        for key in section.keys {
            let named = [format!("\n#{} = ", key.name), format!("`{}`", key.name)];
            assert!(named.iter().any(|named| default_file().contains(named)), "{} of {name}", key.name);
        }
    }
}

#[test]
fn defaults_written_in_the_default_file_are_the_real_ones() {
    let document: toml::Table = toml::from_str(&uncommented()).unwrap();
    for (name, section) in keys::SINGLE {
        for key in section.keys {
            let (Fallback::Toml(default), Some(written)) = (key.default, document.get(name).and_then(|table| table.get(key.name))) else {
                continue;
            };
            let default: toml::Table = toml::from_str(&format!("x = {default}")).unwrap();
            assert_eq!(&default["x"], written, "{name}.{}", key.name);
        }
    }
    for key in keys::SIGNAL.keys {
        if let Fallback::Toml(default) = key.default {
            let default: toml::Table = toml::from_str(&format!("x = {default}")).unwrap();
            assert_eq!(default["x"], document["signal"]["web"][key.name], "{}", key.name);
        }
    }
}

#[test]
fn the_schema_refuses_what_the_program_refuses_for_form() {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    let valid = |text: &str| validator.is_valid(&as_json(text));
    assert!(valid("[check.a]\ntype = \"tcp\"\naddress = \"localhost:1\"\n"));
    assert!(valid("[check.a]\nenabled = false\n"), "a part of a check, in a drop-in");
    assert!(!valid("[check.a]\ntype = \"tcp\"\nurl = \"http://localhost\"\n"), "a key of another type");
    assert!(!valid("[check.a]\ntype = \"telnet\"\n"));
    assert!(!valid("[check.a]\ninterval = 10\n") && !valid("[check.a]\ninterval = \"soon\"\n"));
    assert!(!valid("[check.\"a b\"]\ninterval = \"10s\"\n"));
    assert!(!valid("[signals.web]\nresource = \"R\"\n") && !valid("[signal.web]\ndeadlin = \"5m\"\n"));
    assert!(!valid("[check.a]\nexpect_status = 999\n") && valid("[check.a]\nexpect_status = [200, \"300-399\"]\n"));
}

#[test]
fn every_default_is_accepted_by_the_program() {
    for (name, section) in sections() {
        for key in section.keys {
            let Fallback::Toml(default) = key.default else { continue };
            let text = match name {
                "signal" => format!("[agent]\nallow_no_checks = true\n[signal.a]\nresource = \"R\"\n{} = {default}\n", key.name),
                "check" => format!("[check.a]\ntype = \"ttl\"\nttl = \"1m\"\n{} = {default}\n", key.name),
                "http" => format!("[check.a]\ntype = \"http\"\nurl = \"http://localhost/\"\n{} = {default}\n", key.name),
                "exec" => format!("[check.a]\ntype = \"exec\"\ncommand = [\"/bin/true\"]\n{} = {default}\n", key.name),
                "tcp" => format!("[check.a]\ntype = \"tcp\"\naddress = \"localhost:1\"\n{} = {default}\n", key.name),
                "file" => format!("[check.a]\ntype = \"file\"\npath = \"/etc/hosts\"\n{} = {default}\n", key.name),
                "cloud-init" => format!("[check.a]\ntype = \"cloud-init\"\n{} = {default}\n", key.name),
                "container" => format!("[check.a]\ntype = \"container\"\nname = \"a\"\n{} = {default}\n", key.name),
                "load" => format!("[check.a]\ntype = \"load\"\ncrit = \"10\"\n{} = {default}\n", key.name),
                "memory" => format!("[check.a]\ntype = \"memory\"\n{} = {default}\n", key.name),
                "disk" => format!("[check.a]\ntype = \"disk\"\npath = \"/\"\n{} = {default}\n", key.name),
                "mount" => format!("[check.a]\ntype = \"mount\"\npath = \"/\"\n{} = {default}\n", key.name),
                "port" => format!("[check.a]\ntype = \"port\"\nport = 80\n{} = {default}\n", key.name),
                "clock" if key.name == "chronyd" => format!("[check.a]\ntype = \"clock\"\nsource = \"ntp\"\nchronyd = {default}\n"),
                "clock" => format!("[check.a]\ntype = \"clock\"\n{} = {default}\n", key.name),
                "certificate" => format!("[check.a]\ntype = \"certificate\"\nfile = \"/a\"\n{} = {default}\n", key.name),
                "grpc" => format!(
                    "[check.a]\ntype = \"grpc\"\naddress = \"a:1\"\n{}{} = {default}\n",
                    if key.name == "tls_verify" { "tls = true\n" } else { "" },
                    key.name
                ),
                "dns" => format!("[check.a]\ntype = \"dns\"\nname = \"a.b\"\n{} = {default}\n", key.name),
                "systemd" if ["accept", "ignore_units"].contains(&key.name) => {
                    format!("[check.a]\ntype = \"systemd\"\nsystem = true\n{} = {default}\n", key.name)
                }
                "systemd" => format!("[check.a]\ntype = \"systemd\"\nunit = \"a.service\"\n{} = {default}\n", key.name),
                "hook" => format!("[hook.a]\non = [\"stack.updated\"]\ncommand = [\"/bin/true\"]\n{} = {default}\n", key.name),
                "source" => format!("[source.a]\ntype = \"spool\"\ndirectory = \"/a\"\n{} = {default}\n", key.name),
                "source http" => {
                    format!("[source.a]\ntype = \"http\"\nlisten = \"127.0.0.1:1\"\nurl = \"https://a/\"\n{} = {default}\n", key.name)
                }
                "queue" => format!("[source.a]\ntype = \"queue\"\nqueue = \"a\"\n{} = {default}\n", key.name),
                single => format!("[{}]\n{} = {default}\n", single.trim_matches(['[', ']']), key.name),
            };
            load_text(&text).unwrap_or_else(|told| panic!("{name}.{}: {told}", key.name));
        }
    }
}
