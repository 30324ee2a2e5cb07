//! What an engine says of a container.

use super::follow::Lines;
use super::inspect;
use crate::plan::Container;

/// Judges a description, and follows events that arrive in pieces.
pub fn container(container: &Container, bytes: &[u8]) {
    crate::probe::fuzzing::judge(&inspect::judge(container, bytes));
    let news = |size: usize| {
        let mut lines = Lines::default();
        bytes.chunks(size).fold(false, |news, piece| lines.push(piece) || news)
    };
    assert_eq!(news(7), news(bytes.len().max(1)), "however it arrives, it tells the same");
}
