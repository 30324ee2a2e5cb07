//! What `events` follows: the last lines, and those that come.

use super::Line;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast};

/// Lines that a new follower is shown first, and by which a slow one may lag behind.
const KEPT: usize = 64;
/// Followers at once; one more is refused.
pub const FOLLOWERS: usize = 8;
/// Of these, places for root alone, so that no one else can shut it out.
const FOLLOWERS_OF_ROOT: usize = 2;
/// How long those who follow are given to read the end.
const END_PATIENCE: Duration = Duration::from_millis(200);

/// The lines. Cheap while nobody follows.
#[derive(Debug)]
pub struct Feed {
    last: VecDeque<Line>,
    sender: broadcast::Sender<Line>,
    places: Arc<Semaphore>,
}

/// The lines for one follower. Its place is free again when this is dropped.
#[derive(Debug)]
pub struct Following {
    /// The last lines, oldest first.
    pub kept: VecDeque<Line>,
    /// The ones that come.
    pub lines: broadcast::Receiver<Line>,
    /// Its place.
    pub(crate) place: OwnedSemaphorePermit,
}

impl Default for Feed {
    fn default() -> Self {
        Self { last: VecDeque::new(), sender: broadcast::Sender::new(KEPT), places: Arc::new(Semaphore::new(FOLLOWERS)) }
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

    /// The last lines, oldest first.
    pub fn kept(&self) -> VecDeque<Line> {
        self.last.clone()
    }

    /// The last lines, and the ones that come; none: there are as many followers as there may be.
    pub fn follow(&self, is_root: bool) -> Option<Following> {
        let kept_free = if is_root { 0 } else { FOLLOWERS_OF_ROOT };
        if self.places.available_permits() <= kept_free {
            return None;
        }
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        Some(Following { kept: self.kept(), lines: self.sender.subscribe(), place })
    }

    /// No more lines: those who follow read the end, for which they have a moment.
    pub async fn end(self) {
        drop(self.sender);
        let all = u32::try_from(FOLLOWERS).unwrap_or(u32::MAX);
        // One that does not read is cut off with its connection.
        let _ = tokio::time::timeout(END_PATIENCE, self.places.acquire_many(all)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Line {
        Line {
            at: "2026-01-02T03:04:05Z".to_owned(),
            what: "stack".to_owned(),
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
    fn only_the_last_lines_are_kept_and_a_follower_gets_them_first() {
        let mut feed = Feed::default();
        (0..KEPT + 3).for_each(|n| feed.tell(line(&n.to_string())));
        let mut following = feed.follow(false).unwrap();
        assert_eq!((following.kept.len(), following.kept.front().unwrap().text.as_str()), (KEPT, "3"));
        feed.tell(line("new"));
        assert_eq!(following.lines.try_recv().unwrap().text, "new");
    }

    #[test]
    fn followers_are_bounded_with_places_for_root_and_one_that_goes_frees_its_place() {
        let feed = Feed::default();
        let mut others: Vec<_> = std::iter::from_fn(|| feed.follow(false)).take(100).collect();
        assert_eq!(others.len(), FOLLOWERS - FOLLOWERS_OF_ROOT);
        let roots: Vec<_> = std::iter::from_fn(|| feed.follow(true)).take(100).collect();
        assert_eq!(roots.len(), FOLLOWERS_OF_ROOT);
        drop(roots);
        others.pop();
        assert!(feed.follow(false).is_some());
    }
}
