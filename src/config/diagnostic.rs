//! What is wrong with a configuration, where, and what a person can do about it.
//!
//! The same text appears in `config check`, in the journal and on the control socket:
//!
//! ```text
//! /etc/ros-signal-agent/config.toml:9:1: error: unknown key `intervall` in `[check.homepage]`
//! intervall = "10s"
//! ^^^^^^^^^
//! hint: did you mean `interval`?
//! ```

use serde::Serialize;
use std::fmt;
use std::path::PathBuf;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// It can be used, but somebody should look.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// A place in a file, with the line as it may be shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Position {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The line; what may be secret is replaced, and a long line is cut.
    pub source: String,
    /// Characters of `source` before the marked ones.
    #[serde(skip)]
    pub(super) indent: usize,
    /// Number of marked characters, at least 1.
    #[serde(skip)]
    pub(super) width: usize,
}

/// One error or warning. It never quotes a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// The file, or the directory, that it is about.
    pub path: PathBuf,
    /// Where in the file; none when it is about the file as a whole.
    #[serde(flatten)]
    pub position: Option<Position>,
    /// What is wrong, in lower case, without a full stop.
    pub message: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Diagnostic {
    /// An error about the file or directory `path` as a whole.
    pub(super) fn of_file(path: impl Into<PathBuf>, message: impl Into<String>, hint: Option<&str>) -> Self {
        let hint = hint.map(str::to_owned);
        Self { severity: Severity::Error, path: path.into(), position: None, message: message.into(), hint }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some(position) = &self.position {
            write!(f, ":{}:{}", position.line, position.column)?;
        }
        write!(f, ": {}: {}", self.severity, self.message)?;
        if let Some(position) = &self.position {
            write!(f, "\n{}", position.source)?;
            write!(f, "\n{:indent$}{:^<width$}", "", "", indent = position.indent, width = position.width)?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\nhint: {hint}")?;
        }
        Ok(())
    }
}
