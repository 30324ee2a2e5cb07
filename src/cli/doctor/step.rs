//! One line of the doctor: what was looked at, what was seen, and where it is not well, why and what to do.

use crate::clock::millis;
use serde::Serialize;
use std::time::Duration;

/// How a step ended, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    /// As it should be.
    Ok,
    /// Not looked at, or not needed; what was seen says why.
    Skipped,
    /// It works, or may work, but somebody should look.
    Warning,
    /// A signal would not arrive like this.
    Failed,
}

impl Verdict {
    /// As it is shown.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Skipped => "skipped",
            Self::Warning => "warning",
            Self::Failed => "failed",
        }
    }
}

/// One step. Names are stable, so that programs may look for them; `docs/doctor.md` lists them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Step {
    /// Such as `credentials.ecs-ram-role`.
    name: String,
    /// Which of several: a host, a signal, a stack.
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    verdict: Verdict,
    /// What was found.
    seen: String,
    /// Why it is not well.
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<String>,
    /// What a person can do.
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
    /// How long the answer took, where somebody was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    took_ms: Option<i64>,
}

impl Step {
    fn new(name: impl Into<String>, verdict: Verdict, seen: impl Into<String>) -> Self {
        let seen: String = seen.into();
        let mut parts = seen.split("\nhint: ");
        let what = parts.next().unwrap_or_default().replace('\n', "; ");
        let hints: Vec<&str> = parts.collect();
        let step = Self { name: name.into(), subject: None, verdict, seen: what, cause: None, remedy: None, took_ms: None };
        if hints.is_empty() { step } else { step.remedy(hints.join("; ")) }
    }

    pub(super) fn ok(name: impl Into<String>, seen: impl Into<String>) -> Self {
        Self::new(name, Verdict::Ok, seen)
    }

    /// `seen` may carry hints in the manner of our errors (`\nhint: ...`), which become the remedy.
    pub(super) fn warning(name: impl Into<String>, seen: impl Into<String>) -> Self {
        Self::new(name, Verdict::Warning, seen)
    }

    /// As [`Step::warning`].
    pub(super) fn failed(name: impl Into<String>, seen: impl Into<String>) -> Self {
        Self::new(name, Verdict::Failed, seen)
    }

    /// Not done, for a reason of its own.
    pub(super) fn skipped(name: impl Into<String>, why: impl Into<String>) -> Self {
        Self::new(name, Verdict::Skipped, why)
    }

    /// Not done, because it depends on another step.
    pub(super) fn depends(name: impl Into<String>, on: &str) -> Self {
        Self::skipped(name, format!("not looked at: it depends on {on}"))
    }

    pub(super) fn about(self, subject: impl Into<String>) -> Self {
        Self { subject: Some(subject.into()), ..self }
    }

    /// Under another name, where the same look is a step of something else.
    pub(super) fn named(self, name: impl Into<String>) -> Self {
        Self { name: name.into(), ..self }
    }

    pub(super) fn because(self, cause: impl Into<String>) -> Self {
        Self { cause: Some(cause.into()), ..self }
    }

    pub(super) fn remedy(self, remedy: impl Into<String>) -> Self {
        Self { remedy: Some(remedy.into()), ..self }
    }

    /// The remedy, if there is one.
    pub(super) fn perhaps(self, remedy: Option<impl Into<String>>) -> Self {
        match remedy {
            Some(remedy) => self.remedy(remedy),
            None => self,
        }
    }

    pub(super) fn took(self, took: Duration) -> Self {
        Self { took_ms: Some(millis(took)), ..self }
    }

    /// The same finding, where it does not matter: it is told, but not as trouble.
    pub(super) fn unneeded(self, why: &str) -> Self {
        match self.verdict {
            Verdict::Failed | Verdict::Warning => Self { verdict: Verdict::Skipped, cause: Some(why.to_owned()), remedy: None, ..self },
            Verdict::Ok | Verdict::Skipped => self,
        }
    }

    /// The same finding, where signals arrive nevertheless.
    pub(super) fn milder(self, why: &str) -> Self {
        match self.verdict {
            Verdict::Failed => {
                let cause = self.cause.as_ref().map_or_else(|| why.to_owned(), |cause| format!("{cause}; {why}"));
                Self { verdict: Verdict::Warning, cause: Some(cause), ..self }
            }
            _ => self,
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }

    pub(super) fn verdict(&self) -> Verdict {
        self.verdict
    }

    pub(super) fn seen(&self) -> &str {
        &self.seen
    }

    pub(super) fn cause(&self) -> Option<&str> {
        self.cause.as_deref()
    }

    pub(super) fn what_to_do(&self) -> Option<&str> {
        self.remedy.as_deref()
    }

    pub(super) fn took_ms(&self) -> Option<i64> {
        self.took_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_of_errors_become_the_remedy() {
        let step = Step::failed("ros.settings", "a is wrong\nsecond line\nhint: do this\nhint: and that");
        assert_eq!((step.seen(), step.what_to_do()), ("a is wrong; second line", Some("do this; and that")));
    }

    #[test]
    fn what_is_not_needed_is_no_trouble() {
        let step = Step::failed("endpoint.dns", "does not resolve").remedy("mend it").unneeded("another host answers");
        assert_eq!((step.verdict(), step.cause(), step.what_to_do()), (Verdict::Skipped, Some("another host answers"), None));
        assert_eq!(Step::ok("endpoint.dns", "1 address").unneeded("x").verdict(), Verdict::Ok);
    }
}
