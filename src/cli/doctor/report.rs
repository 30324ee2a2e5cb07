//! All steps, for people and for programs.

use super::grant::Policy;
use super::step::{Step, Verdict};
use crate::cli::Exit;
use crate::cli::output::{Output, span_ms};
use crate::cli::paint::{Paint, Style};
use crate::cli::table::clean;
use serde::Serialize;
use std::fmt::Write as _;

/// The JSON of `doctor`. Fields are only ever added.
#[derive(Serialize)]
pub(super) struct Report {
    summary: Summary,
    steps: Vec<Step>,
    /// What the RAM role or user needs for this configuration; none where nothing is needed, or it is not known.
    policy: Option<Policy>,
    /// Whose credentials were found, and so to whom the policy is to be attached.
    holder: Option<String>,
}

#[derive(Serialize)]
struct Summary {
    /// The worst of all, `skipped` apart.
    verdict: Verdict,
    ok: usize,
    warning: usize,
    failed: usize,
    skipped: usize,
}

impl Report {
    pub(super) fn new(steps: Vec<Step>, policy: Option<Policy>, holder: Option<String>) -> Self {
        let count = |verdict: Verdict| steps.iter().filter(|step| step.verdict() == verdict).count();
        let (warning, failed) = (count(Verdict::Warning), count(Verdict::Failed));
        let verdict = match (failed, warning) {
            (0, 0) => Verdict::Ok,
            (0, _) => Verdict::Warning,
            _ => Verdict::Failed,
        };
        let summary = Summary { verdict, ok: count(Verdict::Ok), warning, failed, skipped: count(Verdict::Skipped) };
        Self { summary, steps, policy, holder }
    }

    /// Shows it, and says how the command ends.
    pub(super) fn show(&self, json: bool, out: &mut Output) -> anyhow::Result<Exit> {
        if json {
            out.json(self)?
        } else {
            out.line(self.text(out.paint))?
        };
        Ok(if self.summary.verdict == Verdict::Failed { Exit::Unwell } else { Exit::Ok })
    }

    fn text(&self, paint: Paint) -> String {
        let width = self.steps.iter().map(|step| step.name().len()).max().unwrap_or_default();
        let mut text: String = self.steps.iter().map(|step| lines(step, width, paint)).collect();
        let Summary { verdict, ok, warning, failed, skipped } = &self.summary;
        // Writing to a string cannot fail.
        if let Some(policy) = &self.policy {
            let whose = self.holder.as_ref().map(|holder| format!(" ({})", clean(holder))).unwrap_or_default();
            let heading = paint.style(&format!("the RAM policy that the role or user of the credentials needs{whose}"), Style::Bold);
            let _ = write!(text, "\n{heading}\n{}\n", policy.text());
        }
        let _ = write!(text, "\n{ok} ok, {warning} warning, {failed} failed, {skipped} skipped; no signal was sent\nresult: ");
        text.push_str(&paint.style(verdict.word(), style(*verdict)));
        text
    }
}

/// A line, and below it what is not well.
fn lines(step: &Step, width: usize, paint: Paint) -> String {
    let verdict = step.verdict();
    let padded = format!("{:<7}", verdict.word());
    let subject = step.subject().map(|subject| format!("{}: ", clean(subject))).unwrap_or_default();
    let took = step.took_ms().map(|ms| format!(" ({})", span_ms(ms))).unwrap_or_default();
    let name = step.name();
    let mut text = format!("{}  {name:<width$}  {subject}{}{took}\n", paint.style(&padded, style(verdict)), clean(step.seen()));
    let indent = " ".repeat(9);
    for (what, said) in [("cause", step.cause()), ("remedy", step.what_to_do())] {
        if let Some(said) = said {
            let _ = writeln!(text, "{indent}{}: {}", paint.style(what, Style::Bold), clean(said));
        }
    }
    text
}

fn style(verdict: Verdict) -> Style {
    match verdict {
        Verdict::Ok => Style::Good,
        Verdict::Skipped => Style::Dim,
        Verdict::Warning => Style::Doubtful,
        Verdict::Failed => Style::Bad,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_step_is_the_result_and_skipped_ones_do_not_count() {
        let verdict = |steps: Vec<Step>| Report::new(steps, None, None).summary.verdict;
        assert_eq!(verdict(vec![Step::ok("a", ""), Step::skipped("b", "")]), Verdict::Ok);
        assert_eq!(verdict(vec![Step::warning("a", ""), Step::ok("b", "")]), Verdict::Warning);
        assert_eq!(verdict(vec![Step::warning("a", ""), Step::failed("b", "")]), Verdict::Failed);
    }

    #[test]
    fn foreign_text_cannot_speak_to_the_terminal() {
        let step = Step::failed("a", "x\u{1b}[2J").because("y\r").remedy("z\u{7}").about("\u{1b}");
        let text = Report::new(vec![step], None, None).text(Paint::Plain);
        assert!(!text.contains(['\u{1b}', '\r', '\u{7}']), "{text:?}");
    }
}
