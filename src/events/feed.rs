//! What `events` follows: the last lines, and those that come.

use super::Line;
use std::collections::VecDeque;
use tokio::sync::broadcast;

/// Lines that a new follower is shown first, and by which a slow one may lag behind.
const KEPT: usize = 64;

/// The lines. Cheap while nobody follows.
#[derive(Debug)]
pub struct Feed {
    last: VecDeque<Line>,
    sender: broadcast::Sender<Line>,
}

impl Default for Feed {
    fn default() -> Self {
        Self { last: VecDeque::new(), sender: broadcast::Sender::new(KEPT) }
    }
}

impl Feed {
    /// Tells everybody who follows.
    pub fn tell(&mut self, line: Line) {
        if self.last.len() >= KEPT {
            self.last.pop_front();
        }
        if self.sender.receiver_count() > 0 {
            // The last follower may just have gone.
            let _ = self.sender.send(line.clone());
        }
        self.last.push_back(line);
    }

    /// The last lines, and the ones that come.
    pub fn follow(&self) -> (Vec<Line>, broadcast::Receiver<Line>) {
        (self.last.iter().cloned().collect(), self.sender.subscribe())
    }
}
