//! Reading files of /proc and /sys: what the kernel says of the host, as text and bounded.

use crate::check::{Health, Observation};
use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::ops::ControlFlow;
use std::path::Path;

/// The text of `path`, at most `limit` bytes of it; more is an error, because half of a table would be a wrong answer.
///
/// # Errors
/// As for reading any file, and [`ErrorKind::FileTooLarge`].
pub(super) fn text(path: &Path, limit: u64) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(too_large(limit));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Gives each line of `path` to `each`, until it breaks or `limit` bytes are read, which is an error: half of a table would be a wrong
/// answer. Memory is that of one line.
///
/// # Errors
/// As for [`text`].
pub(super) fn lines(path: &Path, limit: u64, mut each: impl FnMut(&[u8]) -> ControlFlow<()>) -> io::Result<()> {
    let mut reader = BufReader::with_capacity(32 * 1024, File::open(path)?.take(limit));
    let mut line = Vec::new();
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        if each(line.strip_suffix(b"\n").unwrap_or(&line)).is_break() {
            return Ok(());
        }
    }
    if reader.get_ref().limit() == 0 { Err(too_large(limit)) } else { Ok(()) }
}

fn too_large(limit: u64) -> io::Error {
    io::Error::new(ErrorKind::FileTooLarge, format!("it is larger than {limit} bytes"))
}

/// The observation when `path` cannot be read, which is trouble of our own.
pub(super) fn unreadable(path: &Path, error: &io::Error) -> Observation {
    let hint = match error.kind() {
        ErrorKind::NotFound if path.starts_with("/proc") => "; ProcSubset=pid in the agent's unit would hide it",
        _ => "",
    };
    Observation::new(Health::Unknown, format!("cannot read {}: {error}{hint}", path.display()))
}

/// The observation when `path` does not say what it should.
pub(super) fn strange(path: &Path) -> Observation {
    Observation::new(Health::Unknown, format!("{} is not in the form that this version knows", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_too_large_is_an_error_and_not_half_an_answer() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("table");
        std::fs::write(&path, "12345").unwrap();
        assert_eq!(text(&path, 5).unwrap(), "12345");
        let error = text(&path, 4).unwrap_err();
        assert_eq!(unreadable(&path, &error).message, format!("cannot read {}: it is larger than 4 bytes", path.display()));
        let mut read = Vec::new();
        let error = lines(&path, 4, |line| {
            read.push(line.to_vec());
            ControlFlow::Continue(())
        });
        assert_eq!(error.unwrap_err().kind(), ErrorKind::FileTooLarge);
        std::fs::write(&path, b"a\xff").unwrap();
        assert_eq!(text(&path, 5).unwrap(), "a\u{fffd}");
        std::fs::write(&path, "one\ntwo\nthree").unwrap();
        let mut read = Vec::new();
        lines(&path, 100, |line| {
            read.push(String::from_utf8_lossy(line).into_owned());
            if line == b"two" { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .unwrap();
        assert_eq!(read, ["one", "two"]);
    }
}
