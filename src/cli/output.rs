//! What the commands write. A reader that has gone (`| head`) is not an error; any other trouble with standard output is.

use super::paint::Paint;
use crate::control::DoneBody;
use serde::Serialize;
use std::fmt::Display;
use std::io::{self, ErrorKind, IsTerminal as _, Write};
use std::time::Duration;

/// Standard output.
pub(super) struct Output {
    writer: Box<dyn Write>,
    terminal: bool,
    /// How to colour.
    pub(super) paint: Paint,
}

impl Output {
    /// That of this process; coloured if it is a terminal that wants to be.
    pub(super) fn standard() -> Self {
        let terminal = io::stdout().is_terminal();
        Self { writer: Box::new(io::stdout()), terminal, paint: Paint::for_terminal(terminal) }
    }

    /// Whether a person looks at it.
    pub(super) fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Writes `text` and a line break if it has none. False: the reader has gone.
    pub(super) fn line(&mut self, text: impl Display) -> anyhow::Result<bool> {
        let mut text = text.to_string();
        if !text.ends_with('\n') {
            text.push('\n');
        }
        let written = self.writer.write_all(text.as_bytes()).and_then(|()| self.writer.flush());
        match written {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
            Err(error) => Err(anyhow::Error::from(error).context("cannot write to standard output")),
        }
    }

    /// Writes `value` as JSON with line breaks.
    pub(super) fn json(&mut self, value: &impl Serialize) -> anyhow::Result<bool> {
        self.line(serde_json::to_string_pretty(value)?)
    }

    /// Writes what an operator's command did, in words or as the agent answered.
    pub(super) fn done(&mut self, done: &DoneBody, json: bool) -> anyhow::Result<bool> {
        if json { self.json(done) } else { self.line(&done.done) }
    }

    /// Writes `value` as JSON on one line, for streams.
    pub(super) fn json_line(&mut self, value: &impl Serialize) -> anyhow::Result<bool> {
        self.line(serde_json::to_string(value)?)
    }
}

/// Tells something on standard error, if there is anybody to read it.
pub(super) fn notice(text: &str) {
    tell("<4>", text);
}

/// Tells an error on standard error.
pub(super) fn error(text: &str) {
    tell("<3>", text);
}

/// Where standard error is the journal every line gets its priority (sd-daemon(3)).
fn tell(priority: &str, text: &str) {
    let text = if crate::systemd::journal_stream() { prefixed(priority, text) } else { text.to_owned() };
    let _ = writeln!(io::stderr(), "{text}");
}

fn prefixed(priority: &str, text: &str) -> String {
    let lines: Vec<String> = text.lines().filter(|line| !line.is_empty()).map(|line| format!("{priority}{line}")).collect();
    lines.join("\n")
}

/// `1 check`, `2 checks`.
pub(super) fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// `2m10s`; below a second `250ms`, above it whole seconds.
pub(super) fn span(duration: Duration) -> String {
    let rounded = if duration < Duration::from_secs(1) {
        Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(0))
    } else {
        Duration::from_secs(duration.as_secs())
    };
    humantime::format_duration(rounded).to_string().replace(' ', "")
}

/// The same of milliseconds; negative ones count as none.
pub(super) fn span_ms(ms: i64) -> String {
    span(Duration::from_millis(u64::try_from(ms).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_as_briefly_as_they_are_useful() {
        assert_eq!(span_ms(250), "250ms");
        assert_eq!(span_ms(0), "0s");
        assert_eq!(span_ms(-5), "0s");
        assert_eq!(span_ms(130_999), "2m10s");
    }

    #[test]
    fn every_line_for_the_journal_has_its_priority() {
        assert_eq!(prefixed("<3>", "error: a\nhint: b\n"), "<3>error: a\n<3>hint: b");
    }

    #[test]
    fn one_is_not_many() {
        assert_eq!((count(1, "check"), count(0, "check")), ("1 check".to_owned(), "0 checks".to_owned()));
    }
}
