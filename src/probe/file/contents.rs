//! What stands in a regular file, by regular expression or SHA-256.

use super::Asked;
use crate::plan::Pattern;
use crate::probe::progress::{Doing, Progress};
use ring::digest::{Context, SHA256};
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// What `contents` reads.
const TEXT_LIMIT: u64 = 1024 * 1024;
/// What `sha256` reads at most.
const DIGEST_LIMIT: u64 = 1024 * 1024 * 1024;
/// Read at once.
const PIECE: usize = 64 * 1024;

/// Why the beginning of the file at `path` is not as expected; none: it is.
///
/// # Errors
/// If the agent may not read it.
pub(super) fn wrong(path: &Path, expected: &Pattern, progress: &Progress, asked: &Asked) -> Result<Option<String>, String> {
    let mut text = Vec::new();
    let keep = |piece: &[u8]| text.extend_from_slice(piece);
    if let Some(difference) = read(path, TEXT_LIMIT, progress, asked, keep)? {
        return Ok(Some(difference));
    }
    let matched = expected.0.is_match(&String::from_utf8_lossy(&text));
    Ok((!matched).then(|| format!("has contents that do not match /{}/", crate::probe::text::one_line(expected.0.as_str()))))
}

/// Why the file at `path` has not this SHA-256; none: it has.
///
/// # Errors
/// If the agent may not read it, or it is too large.
pub(super) fn wrong_digest(path: &Path, expected: &[u8; 32], progress: &Progress, asked: &Asked) -> Result<Option<String>, String> {
    let mut context = Context::new(&SHA256);
    let mut length = 0;
    let digest = |piece: &[u8]| {
        context.update(piece);
        length += piece.len() as u64;
    };
    if let Some(difference) = read(path, DIGEST_LIMIT + 1, progress, asked, digest)? {
        return Ok(Some(difference));
    }
    if length > DIGEST_LIMIT {
        return Err("has more than 1 GiB, the most that sha256 can look at".to_owned());
    }
    let found = context.finish();
    Ok((found.as_ref() != expected).then(|| format!("has the sha256 {}, expected {}", hex(found.as_ref()), hex(expected))))
}

/// The first digits, enough to tell one from another.
fn hex(digest: &[u8]) -> String {
    let digits: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("{digits}...")
}

/// Gives the first `limit` bytes to `take`, piece by piece. Some: why there is nothing to read.
fn read(path: &Path, limit: u64, progress: &Progress, asked: &Asked, take: impl FnMut(&[u8])) -> Result<Option<String>, String> {
    let file = match open(path) {
        Ok(Some(file)) => file,
        Ok(None) => return Ok(Some("is no regular file, so its contents are not read".to_owned())),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Err("cannot be read by the agent's user".to_owned()),
        Err(error) => return Ok(Some(format!("cannot be opened: {error}"))),
    };
    progress.now(Doing::ReadingFile(super::shown(path)));
    pieces(file, limit, asked, take).map(|()| None).or_else(|error| Ok(Some(format!("cannot be read: {error}"))))
}

/// None: it is not a regular file. Others are not opened at all: that alone can have effects.
fn open(path: &Path) -> io::Result<Option<File>> {
    if !std::fs::metadata(path)?.is_file() {
        return Ok(None);
    }
    // It may have been replaced since, by a fifo for instance.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let regular = file.metadata()?.is_file();
    Ok(regular.then_some(file))
}

fn pieces(file: File, limit: u64, asked: &Asked, mut take: impl FnMut(&[u8])) -> io::Result<()> {
    let mut file = file.take(limit);
    let mut piece = vec![0; PIECE];
    loop {
        if asked.strong_count() == 0 {
            return Err(io::Error::other("nobody waits for it any more"));
        }
        match file.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(length) => take(piece.get(..length).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
