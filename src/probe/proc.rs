//! Reading files of /proc and /sys: what the kernel says of the host, as text and bounded.

use crate::check::{Health, Observation};
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

/// The text of `path`, at most `limit` bytes of it; more is an error, because half of a table would be a wrong answer.
///
/// # Errors
/// As for reading any file, and [`ErrorKind::FileTooLarge`].
pub(super) fn text(path: &Path, limit: u64) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::new(ErrorKind::FileTooLarge, format!("it is larger than {limit} bytes")));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
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
        std::fs::write(&path, b"a\xff").unwrap();
        assert_eq!(text(&path, 5).unwrap(), "a\u{fffd}");
    }
}
