//! Files that hold credentials, read without ever blocking on a FIFO and without reading more than a bound.

use std::fs::Metadata;
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The most of a document with one key.
pub(super) const DOCUMENT_LIMIT: u64 = 64 * 1024;

/// The most of a file with profiles: other tools keep tokens of theirs in there.
pub(super) const PROFILES_LIMIT: u64 = 1024 * 1024;

/// The most of a token.
pub(super) const TOKEN_LIMIT: u64 = 64 * 1024;

/// Who may read a file without a warning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Readers {
    /// Its owner and group.
    Few,
    /// Whoever its writer chose.
    Any,
}

/// The file of the systemd credential `name`, below `$CREDENTIALS_DIRECTORY` (systemd.exec(5)).
///
/// # Errors
/// If that is not set.
pub(crate) fn systemd_credential(name: &str, directory: Option<&Path>) -> Result<PathBuf, String> {
    let missing =
        || format!("systemd credential {name}: $CREDENTIALS_DIRECTORY is not set; hint: the unit hands it over with LoadCredential=");
    directory.map(|directory| directory.join(name)).ok_or_else(missing)
}

/// Reads a file with one secret in it; `warn_if_open`: with a word when others may read it too.
///
/// # Errors
/// What is wrong with the file, without its name.
pub(crate) fn read_secret(path: &Path, warn_if_open: bool) -> Result<Zeroizing<String>, String> {
    read(path, DOCUMENT_LIMIT, if warn_if_open { Readers::Few } else { Readers::Any })
}

/// Reads a regular file of at most `limit` bytes.
pub(super) fn read(path: &Path, limit: u64, readers: Readers) -> Result<Zeroizing<String>, String> {
    read_with_about(path, limit, readers).map(|(text, _)| text)
}

/// The same, with what the file system says about the very file that was read.
pub(super) fn read_with_about(path: &Path, limit: u64, readers: Readers) -> Result<(Zeroizing<String>, Metadata), String> {
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = std::fs::OpenOptions::new().read(true).custom_flags(nonblocking).open(path).map_err(|error| error.to_string())?;
    let about = file.metadata().map_err(|error| error.to_string())?;
    if !about.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    if readers == Readers::Few && about.mode() & 0o007 != 0 {
        tracing::warn!(target: "credentials", path = %path.display(), "others may read this secret; set mode 0600 or 0640");
    }
    if about.len() > limit {
        return Err(too_large(limit));
    }
    // As large as it will get, so that growing leaves no copy behind.
    let room = usize::try_from(about.len()).unwrap_or_default().saturating_add(1);
    let mut text = Zeroizing::new(String::with_capacity(room));
    file.take(limit + 1).read_to_string(&mut text).map_err(|error| error.to_string())?;
    if text.len() as u64 > limit {
        return Err(too_large(limit));
    }
    Ok((text, about))
}

fn too_large(limit: u64) -> String {
    format!("it is larger than {} KiB", limit / 1024)
}
