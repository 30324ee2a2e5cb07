//! The failure report: what the core begins, completed beside the loop.

use super::Daemon;
use crate::agent::{About, Draft, Input, Note, NoteLevel};
use crate::control::NoReport;
use crate::report::View;
use std::sync::Arc;
use tokio::sync::oneshot;

impl Daemon {
    /// Completes, prints and keeps the report of a FAILURE that waits for it.
    pub(super) fn make_report(&mut self, report: u64, draft: Draft) {
        if self.interrupts.is_none() {
            // Standard output is the caller's, who gets it in words.
            let text = self.reporter.hide(&draft.text, self.core.plan());
            self.note(Note { level: NoteLevel::Warn, text, about: About::default() });
        }
        let (reporter, plan) = (self.reporter.clone(), Arc::clone(self.core.plan()));
        self.calls.spawn(async move { vec![Input::Reported { report, text: Some(reporter.make(draft, plan).await) }] });
    }

    /// The last report of `signal`, else the one that would be made now.
    pub(super) fn show_report(&mut self, signal: Option<String>, reply: oneshot::Sender<Result<View, NoReport>>) {
        self.step(Input::Tick);
        let (reporter, plan) = (self.reporter.clone(), Arc::clone(self.core.plan()));
        let instance = self.core.instance_id().map(str::to_owned);
        let draft = self.core.report_now(signal.as_deref());
        let asked = async move {
            let kept = reporter.last(instance, signal.clone()).await;
            match (kept, draft) {
                (Some(kept), _) => Ok(kept),
                (None, Some(draft)) => Ok(reporter.now(draft, plan).await),
                (None, None) => Err(NoReport { signal }),
            }
        };
        // Ends with the client, and with the connection's own time.
        self.calls.spawn(async move {
            let mut reply = reply;
            let answer = tokio::select! {
                answer = asked => answer,
                () = reply.closed() => return Vec::new(),
            };
            let _ = reply.send(answer);
            Vec::new()
        });
    }
}
