//! `events [follow]`: the lines that the agent keeps, then those that come, until the agent ends or the reader does. An interrupt ends it
//! at once: there is nothing to put away.

use crate::cli::agent::{ANSWER, decoded, harmless_text};
use crate::cli::arguments::{FollowArguments, Global};
use crate::cli::output::{Output, notice};
use crate::cli::paint::{Paint, Style};
use crate::cli::table::clean;
use crate::cli::{Exit, block_on};
use crate::events::{Line, Taken};

pub(super) const FOLLOW: &str = "/events";
const KEPT: &str = "/events?follow=false";

pub(super) fn run(global: &Global, arguments: &FollowArguments, out: &mut Output) -> anyhow::Result<Exit> {
    let agent = global.agent()?;
    block_on(async {
        let path = if arguments.no_follow { KEPT } else { FOLLOW };
        let mut lines = agent.lines(path, ANSWER).await?;
        let mut any = false;
        while let Some(line) = lines.next().await {
            any = true;
            let read = match (arguments.json, decoded::<Line>(&line)) {
                (true, _) => out.line(harmless_text(&String::from_utf8_lossy(&line)))?,
                (false, Ok(line)) => out.line(told(&line, out.paint))?,
                // Of a later version, perhaps.
                (false, Err(_)) => out.line(clean(&String::from_utf8_lossy(&line)))?,
            };
            if !read {
                return Ok(Exit::Ok);
            }
        }
        match arguments.no_follow {
            true if !any && !arguments.json => notice("no events, looks or hooks yet since the agent started"),
            true => {}
            false => notice("the agent has stopped"),
        }
        Ok(Exit::Ok)
    })
}

/// `2026-01-02T03:04:05Z  event   through relay, ros:StackStateChange:UpdateComplete, stack web, UPDATE_COMPLETE, the stack is looked at soon`
pub(super) fn told(line: &Line, paint: Paint) -> String {
    // Of an event all is known apart from the text, and told in one order.
    let said = if line.taken.is_some() { "" } else { line.text.as_str() };
    let about = about(line, said);
    let text = match (about.is_empty(), said.is_empty()) {
        (false, false) => format!("{about}: {said}"),
        (false, true) => about,
        (true, _) => said.to_owned(),
    };
    let what = format!("{:<7}", clean(&line.what));
    format!("{}  {} {}", paint.style(&clean(&line.at), Style::Dim), paint.style(&what, style(line)), clean(&text))
}

/// What the line is about, of what `said` does not say itself.
fn about(line: &Line, said: &str) -> String {
    let says = |part: &str| said.contains(part);
    let event = line.event.as_ref();
    let stack = event.and_then(|event| event.stack_name.as_ref().or(event.stack_id.as_ref())).or(line.stack_id.as_ref());
    let kind = event.map(|event| if event.kind.is_empty() { "an event without a type" } else { &event.kind });
    let mut parts: Vec<String> = Vec::new();
    parts.extend(line.through.iter().filter(|part| !says(part)).map(|part| format!("through {part}")));
    parts.extend(kind.filter(|part| !says(part)).map(str::to_owned));
    parts.extend(event.filter(|event| event.test).map(|_| "a test".to_owned()));
    parts.extend(line.hook.iter().filter(|part| !says(part)).cloned());
    parts.extend(stack.filter(|part| !says(part)).map(|part| format!("stack {part}")));
    let status = line.status.as_ref().or_else(|| event.and_then(|event| event.status.as_ref()));
    parts.extend(status.filter(|part| !says(part)).cloned());
    parts.extend(line.taken.map(words).filter(|part| !says(part)).map(str::to_owned));
    parts.join(", ")
}

/// What was made of an event.
pub(super) fn words(taken: Taken) -> &'static str {
    match taken {
        Taken::Look => "the stack is looked at soon",
        Taken::Repeated => "it came before, nothing is done",
        Taken::OtherStack => "it is about another stack, nothing is done",
        Taken::CannotLook => "the stack cannot be looked at, nothing is done",
    }
}

fn style(line: &Line) -> Style {
    let says = |word: &str| line.status.as_ref().is_some_and(|status| status.contains(word));
    match (line.what.as_str(), line.taken) {
        ("refused" | "lagged", _) => Style::Doubtful,
        (_, Some(Taken::CannotLook)) => Style::Doubtful,
        ("stack", _) if says("FAILED") || says("ROLLBACK") => Style::Bad,
        ("stack", _) if says("COMPLETE") => Style::Good,
        _ => Style::Bold,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Event;

    fn line(what: &str, text: &str) -> Line {
        Line {
            at: "2026-01-02T03:04:05Z".to_owned(),
            what: what.to_owned(),
            text: text.to_owned(),
            through: None,
            event: None,
            taken: None,
            stack_id: None,
            status: None,
            hook: None,
        }
    }

    #[test]
    fn an_event_is_told_with_source_type_stack_and_what_was_made_of_it() {
        let event = Event {
            kind: "ros:StackStateChange:UpdateComplete".to_owned(),
            stack_id: Some("4a6c9851".to_owned()),
            stack_name: Some("web".to_owned()),
            status: Some("UPDATE_COMPLETE".to_owned()),
            ..Event::default()
        };
        let line = Line {
            through: Some("relay".to_owned()),
            event: Some(event),
            taken: Some(Taken::Look),
            ..line("event", "ros:StackStateChange:UpdateComplete: the stack is looked at soon")
        };
        assert_eq!(
            told(&line, Paint::Plain),
            "2026-01-02T03:04:05Z  event   through relay, ros:StackStateChange:UpdateComplete, stack web, UPDATE_COMPLETE, the stack is \
             looked at soon"
        );
        let test = Line { event: Some(Event { test: true, ..Event::default() }), ..line };
        assert!(told(&test, Paint::Plain).contains(", a test, "), "{}", told(&test, Paint::Plain));
    }

    #[test]
    fn what_the_text_says_is_not_said_twice_and_nothing_speaks_to_the_terminal() {
        let line = Line {
            stack_id: Some("4a6c9851".to_owned()),
            status: Some("UPDATE_COMPLETE".to_owned()),
            ..line("stack", "4a6c9851 is UPDATE_COMPLETE\x1b[2J")
        };
        assert_eq!(told(&line, Paint::Plain), "2026-01-02T03:04:05Z  stack   4a6c9851 is UPDATE_COMPLETE [2J");
    }
}
