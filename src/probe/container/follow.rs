//! Hearing of changes: the engine's stream of events, one JSON object a line.
//!
//! The stream ends when the engine does; it is opened again after a pause that grows to ten seconds. Each time it begins or ends the
//! container is looked at, for what happened meanwhile was not heard. A line of more than 64 KiB is not kept: that something happened
//! is all that matters.

use super::engine;
use crate::plan::{Container, Name};
use crate::probe::watch::{Changes, Following};
use serde::Deserialize;
use std::time::Duration;

/// After the stream has ended, or could not be had.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// What is kept of a line.
const LINE_LIMIT: usize = 64 * 1024;
/// What changes no state. Docker's health checks are such commands, so these come all the time.
const IDLE: [&str; 6] = ["exec", "attach", "detach", "resize", "top", "archive-path"];

/// Tells of changes of the container, for ever.
pub(in crate::probe) fn follow(name: Name, container: Container, changes: Changes) -> Following {
    Box::pin(async move {
        let mut pause = FIRST_PAUSE;
        loop {
            if let Ok(mut events) = engine::events(&container).await {
                pause = FIRST_PAUSE;
                changes.tell(&name);
                let mut lines = Lines::default();
                // An error is an end like any other.
                while let Ok(Some(chunk)) = events.chunk().await {
                    if lines.push(&chunk) {
                        changes.tell(&name);
                    }
                }
                changes.tell(&name);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    })
}

/// The line that is still arriving.
#[derive(Default)]
pub(super) struct Lines {
    begun: Vec<u8>,
    too_long: bool,
}

impl Lines {
    /// Takes what arrived. True if a line that is now complete tells of a change.
    pub(super) fn push(&mut self, bytes: &[u8]) -> bool {
        let mut news = false;
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.too_long |= self.begun.len() + piece.len() > LINE_LIMIT;
            if !self.too_long {
                self.begun.extend_from_slice(piece);
            }
            if piece.ends_with(b"\n") {
                news |= self.too_long || is_news(&self.begun);
                *self = Self::default();
            }
        }
        news
    }
}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "Action")]
    action: String,
}

/// What is not understood may be a change.
fn is_news(line: &[u8]) -> bool {
    if line.trim_ascii().is_empty() {
        return false;
    }
    serde_json::from_slice(line).map_or(true, |event: Event| !IDLE.iter().any(|idle| event.action.starts_with(idle)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_events_that_can_change_the_answer_are_news() {
        let news = |action: &str| is_news(format!("{{\"Type\":\"container\",\"Action\":\"{action}\"}}\n").as_bytes());
        for action in ["start", "die", "oom", "pause", "restart", "destroy", "rename", "health_status", "health_status: healthy"] {
            assert!(news(action), "{action}");
        }
        for action in ["exec_create: curl -f http://localhost", "exec_start: curl", "exec_die", "exec_died", "top", "attach", "resize"] {
            assert!(!news(action), "{action}");
        }
        assert!(is_news(b"what is this\n") && !is_news(b"\r\n"));
    }

    #[test]
    fn lines_come_in_any_pieces_and_one_that_is_too_long_is_not_kept() {
        let mut lines = Lines::default();
        assert!(!lines.push(b"{\"Action\":\"st"));
        assert!(lines.push(b"art\"}\n{\"Action\":\"exec_die\"}\n{\"Act"));
        assert!(!lines.push(b"ion\":\"exec_die\"}\n"));
        for _ in 0..100 {
            assert!(!lines.push(&[b'x'; 4096]));
            assert!(lines.begun.len() <= LINE_LIMIT);
        }
        assert!(lines.push(b"\n") && lines.begun.is_empty() && !lines.too_long);
    }
}
