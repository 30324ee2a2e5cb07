//! `type = "file"`: what is at a path, and whether it is as it should be.
//!
//! All of a look is done on a thread apart, since any of it may hang. Only regular files are opened, without blocking: 1 MiB is read for
//! `contents`, at most 1 GiB for `sha256`, in pieces; a run that was given up stops at the next piece. What stands in a file is never
//! shown.

mod accounts;
mod contents;

use super::progress::Progress;
use super::text::{one_line, span};
use super::threads::Apart;
use crate::check::{Health, Observation};
use crate::clock::Moment;
use crate::plan::{File, FileMeasure, FileType, Name, Present};
use accounts::Kind;
use std::fs::Metadata;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// Whether somebody still waits for the look: gone when the run was given up.
type Asked = Weak<()>;

/// Makes one observation. The caller keeps the time.
pub(super) async fn look(check: &Name, file: &File, apart: &Apart, progress: &Progress) -> Observation {
    let (wanted, inner) = (file.clone(), progress.clone());
    let asking = Arc::new(());
    let asked = Arc::downgrade(&asking);
    let work = move || examine(&wanted, &inner, &asked, Moment::now().wall_ms);
    let looked = apart.look(check, &shown(&file.path), progress, work).await;
    drop(asking);
    looked.unwrap_or_else(|observation| observation)
}

/// `path` as a message shows it.
fn shown(path: &Path) -> String {
    one_line(&path.display().to_string())
}

fn examine(file: &File, progress: &Progress, asked: &Asked, now_ms: i64) -> Observation {
    let path = &file.path;
    let Some(present) = &file.present else {
        return absent(path, std::fs::symlink_metadata(path));
    };
    let follows = present.file_type != Some(FileType::Symlink);
    let found = if follows { std::fs::metadata(path) } else { std::fs::symlink_metadata(path) };
    match found {
        Ok(metadata) => judge(path, present, &metadata, progress, asked, now_ms),
        Err(error) => missing(path, &error),
    }
}

/// What it means for `exists = false` that this was found.
fn absent(path: &Path, found: io::Result<Metadata>) -> Observation {
    let path_shown = shown(path);
    match found {
        Ok(metadata) => {
            let what = type_of(&metadata).map_or("something", FileType::words);
            Observation::new(Health::Critical, format!("{path_shown} exists ({what}), but must not"))
        }
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Observation::new(Health::Passing, format!("{path_shown} does not exist, as it should be"))
        }
        Err(error) => missing(path, &error),
    }
}

/// The observation for something that cannot be looked at.
fn missing(path: &Path, error: &io::Error) -> Observation {
    let path_shown = shown(path);
    let (health, message) = match error.kind() {
        ErrorKind::NotFound => (Health::Critical, not_found(path)),
        ErrorKind::NotADirectory => (Health::Critical, format!("{path_shown} does not exist: a part of the path is no directory")),
        ErrorKind::PermissionDenied => {
            (Health::Unknown, format!("no permission to look at {path_shown}: the agent's user may not search a directory on the way"))
        }
        _ if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            (Health::Critical, format!("{path_shown} cannot be reached: its symbolic links lead in a circle"))
        }
        _ => (Health::Critical, format!("cannot look at {path_shown}: {error}")),
    };
    Observation::new(health, message)
}

fn not_found(path: &Path) -> String {
    let path_shown = shown(path);
    match std::fs::read_link(path) {
        Ok(target) => format!("{path_shown} is a symbolic link to {}, which does not exist", shown(&target)),
        Err(_) => format!("{path_shown} does not exist"),
    }
}

fn judge(path: &Path, present: &Present, metadata: &Metadata, progress: &Progress, asked: &Asked, now_ms: i64) -> Observation {
    let (size, age_ms) = (metadata.len(), now_ms.saturating_sub(modified_ms(metadata)));
    #[expect(clippy::cast_precision_loss, reason = "a size or an age for people and metrics")]
    let (bytes, seconds) = (size as f64, age_ms as f64 / 1000.0);
    let mut wrong = Wrong::default();
    wrong.is(wrong_type(present, metadata));
    wrong.is(wrong_mode(present, metadata));
    for (kind, account, id) in [(Kind::User, &present.owner, metadata.uid()), (Kind::Group, &present.group, metadata.gid())] {
        wrong.may_be(account.as_ref().map(|account| accounts::wrong(kind, account, id)));
    }
    wrong.is(wrong_size(present, size));
    wrong.is(wrong_age(present, age_ms));
    wrong.may_be(present.contents.as_ref().map(|pattern| contents::wrong(path, pattern, progress, asked)));
    wrong.may_be(present.sha256.as_ref().map(|expected| contents::wrong_digest(path, expected, progress, asked)));
    if let Some((measure, thresholds)) = &present.measure {
        let (value, unit, fact) = match measure {
            FileMeasure::Size => (bytes, " bytes", format!("has {size} bytes")),
            FileMeasure::Age => (seconds, "s", format!("was modified {}", age_words(age_ms))),
        };
        if let Some(rule) = thresholds.broken_in(value, |end| format!("{end}{unit}")) {
            wrong.note(thresholds.judge(value), format!("{fact}, {rule}"));
        }
    }
    let message = match wrong.0.is_empty() {
        true => format!("{} is {}, {}", shown(path), type_of(metadata).map_or("there", FileType::words), facts(size, age_ms)),
        false => format!("{} {}", shown(path), wrong.message()),
    };
    Observation::new(wrong.health(), message).reading("size", bytes, "B").reading("age", seconds, "s")
}

/// What is not as it should be, and how bad that is.
#[derive(Default)]
struct Wrong(Vec<(Health, String)>);

impl Wrong {
    fn note(&mut self, health: Health, what: String) {
        self.0.push((health, what));
    }

    /// A difference, if there is one.
    fn is(&mut self, difference: Option<String>) {
        self.0.extend(difference.map(|difference| (Health::Critical, difference)));
    }

    /// A difference, or trouble of our own in finding out.
    fn may_be(&mut self, found: Option<Result<Option<String>, String>>) {
        match found {
            Some(Ok(difference)) => self.is(difference),
            Some(Err(trouble)) => self.note(Health::Unknown, trouble),
            None => {}
        }
    }

    /// The worst: critical, then our own trouble, then warning.
    fn health(&self) -> Health {
        let has = |health| self.0.iter().any(|(has, _)| *has == health);
        [Health::Critical, Health::Unknown, Health::Warning].into_iter().find(|health| has(*health)).unwrap_or(Health::Passing)
    }

    fn message(&self) -> String {
        let parts: Vec<&str> = self.0.iter().map(|(_, what)| what.as_str()).collect();
        parts.join("; ")
    }
}

fn facts(size: u64, age_ms: i64) -> String {
    format!("{size} bytes, modified {}", age_words(age_ms))
}

/// `5m ago`, in whole seconds.
fn age_words(age_ms: i64) -> String {
    let seconds = Duration::from_secs(age_ms.unsigned_abs() / 1000);
    if age_ms < 0 { format!("{} in the future; is the clock of this host right?", span(seconds)) } else { format!("{} ago", span(seconds)) }
}

fn modified_ms(metadata: &Metadata) -> i64 {
    metadata.mtime().saturating_mul(1000).saturating_add(metadata.mtime_nsec() / 1_000_000)
}

fn type_of(metadata: &Metadata) -> Option<FileType> {
    let kind = metadata.file_type();
    let types = [
        (kind.is_file(), FileType::File),
        (kind.is_dir(), FileType::Directory),
        (kind.is_symlink(), FileType::Symlink),
        (kind.is_socket(), FileType::Socket),
        (kind.is_fifo(), FileType::Fifo),
        (kind.is_block_device(), FileType::Block),
        (kind.is_char_device(), FileType::Char),
    ];
    types.into_iter().find_map(|(is, file_type)| is.then_some(file_type))
}

fn wrong_type(present: &Present, metadata: &Metadata) -> Option<String> {
    let (expected, found) = (present.file_type?, type_of(metadata));
    let words = found.map_or("something unknown", FileType::words);
    (found != Some(expected)).then(|| format!("is {words}, expected {}", expected.words()))
}

fn wrong_mode(present: &Present, metadata: &Metadata) -> Option<String> {
    let (expected, found) = (present.mode?, metadata.mode() & 0o7777);
    (found != expected).then(|| format!("has mode {found:04o}, expected {expected:04o}"))
}

fn wrong_size(present: &Present, size: u64) -> Option<String> {
    let small = present.min_size.filter(|least| size < *least).map(|least| format!("has {size} bytes, expected at least {least}"));
    small.or_else(|| present.max_size.filter(|most| size > *most).map(|most| format!("has {size} bytes, expected at most {most}")))
}

fn wrong_age(present: &Present, age_ms: i64) -> Option<String> {
    let found = || format!("was modified {}", age_words(age_ms));
    let young = present.min_age.filter(|least| age_ms < crate::clock::millis(*least));
    let old = present.max_age.filter(|most| age_ms > crate::clock::millis(*most));
    match (young, old) {
        (Some(least), _) => Some(format!("{}, expected at least {} ago", found(), span(least))),
        (None, Some(most)) => Some(format!("{}, expected at most {} ago", found(), span(most))),
        (None, None) => None,
    }
}
