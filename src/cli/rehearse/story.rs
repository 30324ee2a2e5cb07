//! What happens, as lines for people or as one JSON object a line for programs.

use super::example::{BECOMES_HEALTHY_AFTER, Example};
use super::redirect::Redirected;
use super::stage::Ending;
use crate::agent::status::Status;
use crate::agent::{Note, NoteLevel};
use crate::cli::output::{Output, count};
use crate::cli::paint::Style;
use crate::cli::table::clean;
use crate::clock::Moment;
use ros_sandbox::{RequestRecord, ResourceSpec, StackSpec, StackView, TimelineEvent};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::time::Duration;

/// How it ended: the last line.
#[derive(Debug, Serialize)]
pub(super) struct Outcome {
    /// In one word.
    pub(super) outcome: Ending,
    /// The stacks as ROS sees them.
    pub(super) stacks: Vec<StackView>,
    /// What the agent says about itself, as `status --json` does.
    pub(super) agent: Option<Status>,
}

/// One line for programs. Fields are only ever added.
#[derive(Serialize)]
struct Line<'a> {
    /// Since the start.
    elapsed_ms: u64,
    #[serde(flatten)]
    event: Event<'a>,
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Event<'a> {
    Start {
        files: &'a [PathBuf],
        example: bool,
        redirected: &'a Redirected,
        stacks: &'a BTreeMap<String, StackSpec>,
        left_out: &'a [String],
    },
    Agent {
        level: &'static str,
        text: &'a str,
    },
    Request(&'a RequestRecord),
    Stack(&'a TimelineEvent),
    Outcome(&'a Outcome),
}

/// Who listens.
enum Audience {
    /// People. What was last said about each check, so that it is not said at every run.
    People { said: HashMap<String, String>, several_stacks: bool },
    /// Programs get everything.
    Programs,
}

/// Tells it.
pub(super) struct Story<'a> {
    out: &'a mut Output,
    audience: Audience,
    began: Moment,
    unread: bool,
}

impl<'a> Story<'a> {
    pub(super) fn new(out: &'a mut Output, json: bool, stacks: usize, began: Moment) -> Self {
        let people = Audience::People { said: HashMap::new(), several_stacks: stacks > 1 };
        Self { out, audience: if json { Audience::Programs } else { people }, began, unread: false }
    }

    /// Whether the reader has gone.
    pub(super) fn is_unread(&self) -> bool {
        self.unread
    }

    /// What is rehearsed, and where to what would reach outside goes.
    pub(super) fn begin(
        &mut self,
        files: &[PathBuf],
        example: Option<&Example>,
        redirected: &Redirected,
        stacks: &BTreeMap<String, StackSpec>,
        left_out: &[String],
    ) -> anyhow::Result<()> {
        if matches!(self.audience, Audience::Programs) {
            return self.json(Event::Start { files, example: example.is_some(), redirected, stacks, left_out });
        }
        match example {
            Some(example) => {
                let seconds = BECOMES_HEALTHY_AFTER.as_secs();
                self.text(&format!("rehearsing the built-in example: a service at {} that answers 503 for {seconds} s", example.address))?;
                let indented: Vec<String> = example.configuration.lines().map(|line| format!("    {line}").trim_end().to_owned()).collect();
                self.styled(&indented.join("\n"), Style::Dim)?;
                self.text("to start from it: ros-signal-agent rehearse --print-example > config.toml")?;
            }
            None => {
                let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
                self.text(&format!("rehearsing {}", names.join(", ")))?;
            }
        }
        let Redirected { ros, metadata, credentials, state_dir, socket, .. } = redirected;
        self.text(&format!(
            "redirected: ROS to {ros}, the metadata service to {metadata}, credentials to {credentials}, ledger to {}, control socket to {}",
            state_dir.display(),
            socket.display()
        ))?;
        for what in left_out {
            self.text(&clean(what))?;
        }
        for (id, spec) in stacks {
            for (name, resource) in spec.resources.iter().flatten() {
                if let ResourceSpec::Condition { handle, count: needed, timeout } = resource {
                    let signals = count(usize::try_from(*needed).unwrap_or(usize::MAX), "signal");
                    self.text(&format!("stack {id}: {name} waits {timeout} s for {signals} at {handle}"))?;
                }
            }
        }
        Ok(())
    }

    /// How checks that the agent does not run itself can be fed.
    pub(super) fn feed(&mut self, redirected: &Redirected) -> anyhow::Result<()> {
        if matches!(self.audience, Audience::Programs) {
            return Ok(());
        }
        self.text(&format!("to feed ttl checks: ros-signal-agent push NAME passing --socket {}", redirected.socket.display()))
    }

    /// The agent says something.
    pub(super) fn note(&mut self, note: &Note) -> anyhow::Result<()> {
        let level = match note.level {
            NoteLevel::Error => "error",
            NoteLevel::Warn => "warn",
            NoteLevel::Info => "info",
            NoteLevel::Debug => "debug",
        };
        let Audience::People { said, .. } = &mut self.audience else {
            return self.json(Event::Agent { level, text: &note.text });
        };
        let (subject, statement) = statement(&note.text);
        let is_news = said.insert(subject, statement.clone()) != Some(statement);
        if note.level == NoteLevel::Debug && !is_news {
            return Ok(());
        }
        let style = match note.level {
            NoteLevel::Error => Style::Bad,
            NoteLevel::Warn => Style::Doubtful,
            NoteLevel::Info | NoteLevel::Debug => Style::Plain,
        };
        self.line(&note.text, style)
    }

    /// ROS has answered a request, or has not.
    pub(super) fn request(&mut self, request: &RequestRecord) -> anyhow::Result<()> {
        if matches!(self.audience, Audience::Programs) {
            return self.json(Event::Request(request));
        }
        let action = request.action.as_deref().unwrap_or("a request without an operation");
        let parameter = |name: &str| request.parameters.get(name).map_or("", String::as_str);
        let what = match action {
            "SignalResource" => {
                let (resource, status, id) = (parameter("LogicalResourceId"), parameter("Status"), parameter("UniqueId"));
                format!("{action} {resource} {status} unique id {id}")
            }
            _ => format!("{action} {}", parameter("LogicalResourceId")).trim_end().to_owned(),
        };
        let answer = match (request.status, &request.code) {
            (None, _) => "no answer".to_owned(),
            (Some(status), Some(code)) => format!("HTTP {status} {code}"),
            (Some(status), None) => format!("HTTP {status}"),
        };
        let id = request.request_id.as_ref().map(|id| format!(", request id {id}")).unwrap_or_default();
        let fault = request.fault.as_ref().map(|fault| format!(" (fault: {fault})")).unwrap_or_default();
        let style = match (request.status, action) {
            (Some(200), "SignalResource") => Style::Bold,
            (Some(200), _) => Style::Dim,
            _ => Style::Doubtful,
        };
        self.line(&format!("ros: {what}: {answer}{id}{fault}"), style)
    }

    /// Something happened to a stack.
    pub(super) fn stack(&mut self, event: &TimelineEvent) -> anyhow::Result<()> {
        let Audience::People { several_stacks, .. } = &self.audience else {
            return self.json(Event::Stack(event));
        };
        let stack = if *several_stacks { format!("stack {}", event.stack_id) } else { "stack".to_owned() };
        let what = match (&event.resource, &event.signal) {
            (Some(resource), Some(signal)) => {
                let counted = match (signal.waited_for, signal.received) {
                    (false, _) => "nobody waits for it",
                    (true, 1) => "counted",
                    (true, _) => "known already",
                };
                format!("{stack}: {resource} has received {} of {}: {counted}", signal.status.as_str(), signal.unique_id)
            }
            (Some(resource), None) => format!("{stack}: {resource} {}{}", event.status, because(&event.reason)),
            (None, _) => format!("{stack} {}{}", event.status, because(&event.reason)),
        };
        let style = match (event.status.complete(), event.status.failed()) {
            (true, _) if event.signal.is_none() => Style::Good,
            (_, true) => Style::Bad,
            _ => Style::Plain,
        };
        self.line(&what, style)
    }

    /// How it ended. Nothing comes after it.
    pub(super) fn outcome(&mut self, outcome: &Outcome) -> anyhow::Result<()> {
        if matches!(self.audience, Audience::Programs) {
            return self.json(Event::Outcome(outcome));
        }
        let after = format!("{:.1} s after the start", self.elapsed().as_secs_f64());
        let subject = if outcome.stacks.len() > 1 { format!("{} stacks", outcome.stacks.len()) } else { "the stack".to_owned() };
        let (text, style) = match outcome.outcome {
            Ending::Completed => (format!("outcome: {subject} completed {after}"), Style::Good),
            Ending::Failed => (format!("outcome: the stack failed {after}: {}", failures(&outcome.stacks)), Style::Bad),
            Ending::TimedOut => (format!("outcome: {subject} did not complete within the time given"), Style::Bad),
            Ending::Interrupted => (format!("outcome: interrupted {after}"), Style::Bad),
        };
        self.styled(&text, style)?;
        let agent = outcome.agent.iter().flat_map(|status| &status.signals);
        let lines: Vec<String> = agent.map(|signal| format!("  signal {}: {}", signal.name, signal.detail)).collect();
        lines.iter().try_for_each(|line| self.text(line))
    }

    fn elapsed(&self) -> Duration {
        let ms = Moment::now().boot_ms.saturating_sub(self.began.boot_ms);
        Duration::from_millis(u64::try_from(ms).unwrap_or(0))
    }

    /// A line with its time.
    fn line(&mut self, text: &str, style: Style) -> anyhow::Result<()> {
        let time = format!("+{:.1}s", self.elapsed().as_secs_f64());
        let mut lines = text.lines();
        let first = self.out.paint.style(&clean(lines.next().unwrap_or_default()), style);
        let mut told = format!("{time:>7}  {first}");
        for more in lines {
            told.push_str("\n         ");
            told.push_str(&clean(more));
        }
        self.write(&told)
    }

    fn text(&mut self, text: &str) -> anyhow::Result<()> {
        self.write(&clean(text))
    }

    fn styled(&mut self, text: &str, style: Style) -> anyhow::Result<()> {
        let text = self.out.paint.style(text, style);
        self.write(&text)
    }

    fn write(&mut self, text: &str) -> anyhow::Result<()> {
        let read = self.out.line(text)?;
        self.unread |= !read;
        Ok(())
    }

    fn json(&mut self, event: Event<'_>) -> anyhow::Result<()> {
        let elapsed_ms = u64::try_from(self.elapsed().as_millis()).unwrap_or(u64::MAX);
        let read = self.out.json_line(&Line { elapsed_ms, event })?;
        self.unread |= !read;
        Ok(())
    }
}

fn because(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(": {reason}") }
}

fn failures(stacks: &[StackView]) -> String {
    let failed: Vec<&str> = stacks.iter().filter(|stack| stack.status.failed()).map(|stack| stack.status_reason.as_str()).collect();
    clean(&failed.join("; "))
}

/// Whom a note is about and what it says: `check web: initial -> passing: HTTP 200` and the later `check web: passing: HTTP 200` say the
/// same about `check web`. Names have no colon.
fn statement(note: &str) -> (String, String) {
    let Some((subject, rest)) = note.split_once(": ") else { return (String::new(), note.to_owned()) };
    let now = match rest.split_once(" -> ") {
        Some((from, to)) if !from.contains(' ') => to,
        _ => rest,
    };
    (subject.to_owned(), now.to_owned())
}

#[cfg(test)]
mod tests {
    use super::statement;

    #[test]
    fn a_commit_and_the_runs_after_it_say_the_same() {
        let commit = statement("check web: initial -> passing: HTTP 200");
        assert_eq!(commit, ("check web".to_owned(), "passing: HTTP 200".to_owned()));
        assert_eq!(statement("check web: passing: HTTP 200"), commit);
        assert_ne!(statement("check web: critical: a -> b"), commit);
        assert_eq!(statement("stopping").1, "stopping");
    }
}
