//! Every effective key with its value and where it was written, for `plan` and `config show`.

use super::secrecy;
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Origin {
    /// In no file.
    Default,
    /// In this one.
    File {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// In no file, but in the environment.
    Environment {
        /// The name of the variable.
        variable: &'static str,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Environment { variable } => write!(f, "${variable}"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
        }
    }
}

/// One effective key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// Dotted, as TOML writes it: `signal.web.deadline`.
    pub key: String,
    /// The value as TOML text; what may be secret is replaced by `"[hidden]"`.
    pub value: String,
    /// Where it was written.
    pub origin: Origin,
}

/// All effective keys, table by table. Keys that are absent and have no default are not listed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Origins(Vec<Setting>);

impl Origins {
    /// The setting of a dotted key.
    pub fn get(&self, key: &str) -> Option<&Setting> {
        self.0.iter().find(|setting| setting.key == key)
    }

    /// All settings: `agent`, `ros`, `credentials`, `instance`, `state`, `stack`, then the checks and the signals by name.
    pub fn iter(&self) -> impl Iterator<Item = &Setting> {
        self.0.iter()
    }

    pub(super) fn push(&mut self, path: &[String], value: &toml::Value, origin: Origin) {
        let secret = secrecy::is_sealed_path(path) || path.last().is_some_and(|name| secrecy::is_secret_name(name));
        let shown = if secret { toml::Value::String(secrecy::HIDDEN.to_owned()) } else { hidden(value) };
        self.0.push(Setting { key: dotted(path), value: shown.to_string(), origin });
    }
}

/// `value` without secrets; in an array what follows a secret option is hidden too.
fn hidden(value: &toml::Value) -> toml::Value {
    match value {
        toml::Value::String(text) => toml::Value::String(secrecy::hide(text)),
        toml::Value::Array(values) => {
            let mut after_secret = false;
            let values = values.iter().map(|value| {
                let shown = if after_secret { toml::Value::String(secrecy::HIDDEN.to_owned()) } else { hidden(value) };
                after_secret = value.as_str().is_some_and(|text| text.starts_with('-') && secrecy::is_secret_name(text));
                shown
            });
            toml::Value::Array(values.collect())
        }
        other => other.clone(),
    }
}

/// The path as TOML writes it: parts that are not bare keys are quoted.
pub(super) fn dotted(path: &[String]) -> String {
    let part = |part: &String| {
        let bare = !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
        if bare { part.clone() } else { toml::Value::String(super::reader::shorten(part)).to_string() }
    };
    path.iter().map(part).collect::<Vec<_>>().join(".")
}
