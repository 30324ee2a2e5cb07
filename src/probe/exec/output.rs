//! What a child said: the first line of each stream, the first 8 KiB of the standard output, and the last 4 KiB of both as they arrived.

use crate::check::OUTPUT_LIMIT;
use crate::probe::text::{one_line, printable};
use std::collections::VecDeque;

/// What is kept of a first line.
const LINE_LIMIT: usize = 512;
/// What is kept of the beginning of the standard output: the numbers of a plug-in stand at the end of its first line.
const HEAD_LIMIT: usize = 8 * 1024;
/// Room for `[N bytes cut]` and the end of its line, whatever N.
const HEAD_ROOM: usize = 40;

/// Which stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    Out,
    Err,
}

/// Bounded, however much a child says.
#[derive(Debug, Default)]
pub(super) struct Output {
    out: Line,
    err: Line,
    head: Vec<u8>,
    tail: VecDeque<u8>,
    cut: u64,
}

/// The first line that is not blank.
#[derive(Debug, Default)]
struct Line {
    bytes: Vec<u8>,
    complete: bool,
}

impl Line {
    fn push(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if self.complete {
                return;
            }
            match byte {
                b'\n' if self.bytes.iter().all(u8::is_ascii_whitespace) => self.bytes.clear(),
                b'\n' => self.complete = true,
                other => self.bytes.push(*other),
            }
            self.complete |= self.bytes.len() >= LINE_LIMIT;
        }
    }

    fn text(&self) -> Option<String> {
        let text = String::from_utf8_lossy(&self.bytes);
        let trimmed = text.trim();
        (!trimmed.is_empty()).then(|| one_line(trimmed))
    }
}

impl Output {
    /// Takes what arrived on `stream`.
    pub(super) fn push(&mut self, stream: Stream, bytes: &[u8]) {
        match stream {
            Stream::Out => {
                self.out.push(bytes);
                // One byte more than is kept tells that there was more.
                self.head.extend(bytes.iter().take((HEAD_LIMIT + 1).saturating_sub(self.head.len())));
            }
            Stream::Err => self.err.push(bytes),
        }
        let kept = bytes.get(bytes.len().saturating_sub(OUTPUT_LIMIT)..).unwrap_or_default();
        let too_many = (self.tail.len() + kept.len()).saturating_sub(OUTPUT_LIMIT);
        self.tail.drain(..too_many);
        self.tail.extend(kept);
        self.cut += (bytes.len() - kept.len() + too_many) as u64;
    }

    /// First line of the standard output, else of the standard error.
    pub(super) fn first_line(&self) -> Option<String> {
        self.out.text().or_else(|| self.error_line())
    }

    /// First line of the standard error.
    pub(super) fn error_line(&self) -> Option<String> {
        self.err.text()
    }

    /// The beginning of the standard output; a word that was cut through at its end is left out.
    pub(super) fn head(&self) -> String {
        match self.head.get(..HEAD_LIMIT).filter(|_| self.head.len() > HEAD_LIMIT) {
            None => String::from_utf8_lossy(&self.head).into_owned(),
            Some(head) => {
                let words = head.iter().rposition(u8::is_ascii_whitespace).unwrap_or(head.len());
                String::from_utf8_lossy(head.get(..words).unwrap_or_default()).into_owned()
            }
        }
    }

    /// The tail, fit to be shown, with the count of what was cut before it; at most [`OUTPUT_LIMIT`] bytes.
    pub(super) fn shown(&self) -> String {
        let bytes: Vec<u8> = self.tail.iter().copied().collect();
        // A character that was cut through at the front is not worth a replacement character.
        let from = if self.cut == 0 { 0 } else { bytes.iter().take(3).take_while(|byte| *byte & 0xc0 == 0x80).count() };
        let raw = String::from_utf8_lossy(bytes.get(from..).unwrap_or_default()).into_owned();
        let text = printable(&raw);
        if self.cut == 0 && text.len() <= OUTPUT_LIMIT {
            return text;
        }
        let start = start_of_tail(&raw, OUTPUT_LIMIT - HEAD_ROOM);
        format!("[{} bytes cut]\n{}", self.cut + start as u64, printable(raw.get(start..).unwrap_or_default()))
    }
}

/// Where the longest end of `raw` begins whose printable form has at most `room` bytes: escapes make text longer.
fn start_of_tail(raw: &str, mut room: usize) -> usize {
    let mut start = raw.len();
    for (at, character) in raw.char_indices().rev() {
        let width = printable(character.encode_utf8(&mut [0; 4])).len();
        if width > room {
            break;
        }
        room -= width;
        start = at;
    }
    start
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_is_the_first_line_that_says_something_and_stderr_only_if_stdout_is_silent() {
        let mut output = Output::default();
        output.push(Stream::Err, b"warning: x\nmore");
        assert_eq!(output.first_line().unwrap(), "warning: x");
        output.push(Stream::Out, b"\n  \n  dis");
        output.push(Stream::Out, b"k ok\x07\nrest");
        assert_eq!(output.first_line().unwrap(), "disk ok\\x07");
    }

    #[test]
    fn megabytes_leave_the_last_4_kib_and_the_count_of_the_rest() {
        let mut output = Output::default();
        for _ in 0..300 {
            output.push(Stream::Out, &[b'x'; 8192]);
        }
        output.push(Stream::Err, b"the end");
        let shown = output.shown();
        assert!(shown.starts_with("[24535"), "{}", &shown[..40]);
        assert!(shown.ends_with("xthe end"));
        assert!(shown.len() <= OUTPUT_LIMIT);
        let cut: usize = shown[1..shown.find(' ').unwrap()].parse().unwrap();
        let kept = shown.len() - shown.find('\n').unwrap() - 1;
        assert_eq!(cut + kept, 300 * 8192 + 7);
    }

    #[test]
    fn the_beginning_is_kept_for_its_numbers_and_none_of_them_is_cut_through() {
        let mut output = Output::default();
        output.push(Stream::Out, b"OK | a=1 b=");
        output.push(Stream::Err, b"aside");
        assert_eq!(output.head(), "OK | a=1 b=");
        output.push(Stream::Out, &[b'7'; 9000]);
        assert_eq!(output.head(), "OK | a=1");
        assert_eq!(output.head.len(), HEAD_LIMIT + 1);
    }

    #[test]
    fn bytes_that_are_no_utf_8_and_escapes_stay_within_the_limit() {
        let mut output = Output::default();
        output.push(Stream::Out, &[0x1b; 4096]);
        output.push(Stream::Out, &[0xff, b'a']);
        let shown = output.shown();
        assert!(shown.len() <= OUTPUT_LIMIT);
        assert!(shown.ends_with("\\x1b\u{fffd}a"), "{shown}");
    }

    proptest::proptest! {
        #[test]
        fn whatever_a_child_says_is_bounded_and_harmless(chunks in proptest::collection::vec(
            (proptest::bool::ANY, proptest::collection::vec(proptest::num::u8::ANY, 0..3000)), 0..6,
        )) {
            let mut output = Output::default();
            let mut said = 0;
            for (out, bytes) in &chunks {
                said += bytes.len() as u64;
                output.push(if *out { Stream::Out } else { Stream::Err }, bytes);
            }
            let shown = output.shown();
            assert!(shown.len() <= OUTPUT_LIMIT);
            assert!(shown.chars().all(|character| !character.is_control() || "\n\t".contains(character)));
            assert_eq!(output.cut, said.saturating_sub(OUTPUT_LIMIT as u64));
            if let Some(line) = output.first_line() {
                assert!(!line.chars().any(char::is_control) && !line.is_empty());
            }
        }
    }
}
