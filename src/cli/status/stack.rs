//! Of the status: the stacks that are followed, the sources of events, and hooks. What there is none of is not shown.

use crate::agent::status::{HookView, StackView, Status};
use crate::cli::output::span_ms;
use crate::cli::paint::{Paint, Style};
use crate::cli::table::{Cell, cell, clean, render, styled};
use crate::events::SourceView;
use std::fmt::Write as _;

/// All three.
pub(super) fn text(status: &Status, paint: Paint) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    if !status.stacks.is_empty() {
        let rows = status.stacks.iter().map(stack_row).collect();
        let _ = write!(text, "\n{}", render(["STACK", "STATUS", "SINCE", "LOOKED AT", "NEXT LOOK"], rows, paint));
        status.stacks.iter().for_each(|stack| text.push_str(&stack_trouble(stack)));
    }
    if !status.sources.is_empty() {
        let rows = status.sources.iter().map(source_row).collect();
        let _ = write!(text, "\n{}", render(["SOURCE", "TYPE", "STATE", "EVENTS", "LAST", "REFUSED", "WHERE"], rows, paint));
        status.sources.iter().for_each(|source| text.push_str(&source_trouble(source)));
    }
    if !status.hooks.is_empty() {
        let rows = status.hooks.iter().map(hook_row).collect();
        let _ = write!(text, "\n{}", render(["HOOK", "STATE", "QUEUED", "LAST", "ENDED"], rows, paint));
    }
    text
}

/// How a status of a stack looks.
fn style(status: &str) -> Style {
    if status.contains("FAILED") || status.contains("ROLLBACK") || status.starts_with("DELETE") {
        return Style::Bad;
    }
    if status.ends_with("_COMPLETE") { Style::Good } else { Style::Plain }
}

fn stack_row(stack: &StackView) -> [Cell; 5] {
    let name = stack.name.as_deref().unwrap_or(&stack.stack_id);
    let status = match (stack.state.as_str(), &stack.status) {
        ("watched", Some(status)) => styled(status, style(status)),
        ("watched", None) => styled("not seen yet", Style::Dim),
        ("deleted", _) => styled("deleted", Style::Bad),
        (state, _) => styled(state, Style::Doubtful),
    };
    let next = stack.next_look_ms.map(|ms| format!("in {}", span_ms(ms))).unwrap_or_default();
    [
        cell(name),
        status,
        cell(stack.updated.as_deref().unwrap_or_default()),
        cell(stack.looked_at.as_deref().unwrap_or("never")),
        cell(next),
    ]
}

/// What is wrong with it, or with following it.
fn stack_trouble(stack: &StackView) -> String {
    let name = clean(stack.name.as_deref().unwrap_or(&stack.stack_id));
    let mut text = String::new();
    let is_bad = |status: &String| style(status) == Style::Bad;
    if let Some(reason) = stack.reason.as_ref().filter(|_| stack.status.as_ref().is_some_and(is_bad)) {
        let _ = writeln!(text, "{name}: {}", clean(reason));
    }
    if let Some(error) = &stack.error {
        text.push_str(&told(&name, "the last look failed: ", error));
    }
    for warning in &stack.warnings {
        text.push_str(&told(&name, "warning: ", warning));
    }
    text
}

/// A trouble with its hint on a line of its own.
fn told(name: &str, what: &str, trouble: &str) -> String {
    let (trouble, hint) = trouble.split_once("; hint: ").unwrap_or((trouble, ""));
    let hint = if hint.is_empty() { String::new() } else { format!("  hint: {}\n", clean(hint)) };
    format!("{name}: {what}{}\n{hint}", clean(trouble))
}

fn source_row(source: &SourceView) -> [Cell; 7] {
    let state = match (source.healthy, &source.error) {
        (true, _) => styled("works", Style::Good),
        (false, Some(_)) => styled("fails", Style::Bad),
        (false, None) => styled("starting", Style::Dim),
    };
    let refused: Vec<String> = source.refused.iter().map(|(reason, number)| format!("{number} {reason}")).collect();
    let last = source.last_at.as_deref().unwrap_or("never");
    let received = source.received.to_string();
    let refused = if refused.is_empty() { "none".to_owned() } else { refused.join(", ") };
    [cell(&source.name), cell(&source.kind), state, cell(received), cell(last), cell(refused), cell(&source.detail)]
}

fn source_trouble(source: &SourceView) -> String {
    let mut text = String::new();
    if let Some(error) = &source.error {
        let _ = writeln!(text, "{}: {}", source.name, clean(error));
    }
    if let Some(hint) = &source.hint {
        let _ = writeln!(text, "  hint: {}", clean(hint));
    }
    text
}

fn hook_row(hook: &HookView) -> [Cell; 5] {
    let ended = match (&hook.ended, &hook.ended_at) {
        (Some(ended), Some(at)) => format!("{ended} at {at}"),
        (Some(ended), None) => ended.clone(),
        (None, _) => String::new(),
    };
    let style = match hook.succeeded {
        Some(true) => Style::Good,
        Some(false) => Style::Bad,
        None => Style::Plain,
    };
    let last = hook.last.as_deref().unwrap_or("never run");
    [cell(&hook.name), cell(&hook.state), cell(hook.queued.to_string()), cell(last), styled(ended, style)]
}
