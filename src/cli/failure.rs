//! What went wrong, told as `error:` and `hint:` lines on standard error, with the exit code that belongs to it.

use super::exit::Exit;
use super::output;
use crate::config::{Diagnostic, Severity};
use std::fmt::{self, Write as _};

/// A failure with an exit code of its own. Anything else that fails exits with [`Exit::Failure`].
#[derive(Debug)]
pub(super) struct Failure {
    exit: Exit,
    message: String,
    hint: Option<String>,
}

impl Failure {
    pub(super) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), hint: None }
    }

    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, "\nhint: {hint}"))
    }
}

impl std::error::Error for Failure {}

/// A configuration that cannot be used: everything that is wrong with it.
#[derive(Debug)]
pub(super) struct Invalid(pub(super) Vec<Diagnostic>);

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let errors = self.0.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).count();
        write!(f, "the configuration is invalid: {}", output::count(errors, "error"))
    }
}

impl std::error::Error for Invalid {}

/// The exit code that `error` asks for.
pub(super) fn exit_of(error: &anyhow::Error) -> Exit {
    if error.is::<Invalid>() {
        return Exit::Configuration;
    }
    error.downcast_ref::<Failure>().map_or(Exit::Failure, |failure| failure.exit)
}

/// Says on standard error what went wrong. Nobody reading it is no failure of its own.
pub(super) fn tell(error: &anyhow::Error) {
    if let Some(Invalid(diagnostics)) = error.downcast_ref() {
        for diagnostic in diagnostics {
            output::error(&format!("{diagnostic}\n"));
        }
    }
    output::error(&words(error));
}

/// `error: what: cause`, then each hint on a line of its own.
fn words(error: &anyhow::Error) -> String {
    let (mut messages, mut hints) = (Vec::new(), Vec::new());
    for cause in error.chain() {
        let text = cause.to_string();
        let mut parts = text.split("\nhint: ");
        let message = parts.next().unwrap_or_default().to_owned();
        // Some errors tell their cause themselves.
        if !messages.last().is_some_and(|outer: &String| outer.contains(&message)) {
            messages.push(message);
        }
        for hint in parts.map(str::to_owned) {
            if !hints.contains(&hint) {
                hints.push(hint);
            }
        }
    }
    let mut text = format!("error: {}", messages.join(": "));
    for hint in hints {
        // Writing to a string cannot fail.
        let _ = write!(text, "\nhint: {hint}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;

    #[test]
    fn causes_follow_their_effect_and_hints_come_last() {
        let inner = Failure::new(Exit::Failure, "no room").hint("make some");
        let error = anyhow::Error::from(inner).context("cannot write a.txt");
        assert_eq!(words(&error), "error: cannot write a.txt: no room\nhint: make some");
    }

    #[test]
    fn a_cause_that_was_told_is_not_told_again() {
        let error = Err::<(), _>(std::io::Error::other("no room")).context("cannot write: no room").unwrap_err();
        assert_eq!(words(&error), "error: cannot write: no room");
    }

    #[test]
    fn a_failure_keeps_its_exit_code_under_a_context() {
        let error = anyhow::Error::from(Failure::new(Exit::TimedOut, "late")).context("waiting");
        assert_eq!(exit_of(&error), Exit::TimedOut);
    }
}
