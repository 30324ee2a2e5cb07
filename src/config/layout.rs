//! Which files make the configuration, in the manner of systemd (systemd-system.conf(5), "configuration directories and precedence").
//!
//! The main file comes first, then the drop-ins of all directories, sorted by file name. Of files with the same name the one in
//! the directory of highest precedence counts alone, and a link to /dev/null there masks them all.

use super::diagnostic::{Diagnostic, Severity};
use super::owners::Owners;
use super::source::{Source, Sources};
use rustix::fs::{Mode, OFlags};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

/// Greatest size of one file, in bytes.
pub const FILE_LIMIT: u64 = 1024 * 1024;
/// Greatest number of drop-ins.
pub const FILES_LIMIT: usize = 256;
/// Greatest number of directory entries looked at, so that a wrong directory does not hold up the start.
const ENTRIES_LIMIT: usize = 4096;

/// Where configuration is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The main file, read first.
    pub main: PathBuf,
    /// Whether the main file must be there. Without it the agent idles; one named by a person must exist.
    pub main_required: bool,
    /// Directories of drop-ins, lowest precedence first.
    pub drop_ins: Vec<PathBuf>,
}

impl Layout {
    /// The host's own: `/etc/ros-signal-agent/config.toml` and `conf.d` below /usr/lib, /run and /etc.
    pub fn system() -> Self {
        Self::under(Path::new("/"))
    }

    /// The same below `root`, for images and tests.
    pub fn under(root: &Path) -> Self {
        let drop_ins = ["usr/lib", "run", "etc"].iter().map(|top| root.join(top).join("ros-signal-agent/conf.d")).collect();
        Self { main: root.join("etc/ros-signal-agent/config.toml"), main_required: false, drop_ins }
    }

    /// That file only, which must exist. /dev/null is an empty one.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self { main: path.into(), main_required: true, drop_ins: Vec::new() }
    }

    /// Reads all files, lowest precedence first.
    pub(super) fn read(&self, owners: &Owners, errors: &mut Vec<Diagnostic>) -> Sources {
        let mut sources = Vec::new();
        match read_file(&self.main, owners) {
            Ok(Some(source)) => sources.push(source),
            Ok(None) if self.main_required && !is_masked(&self.main) => {
                errors.push(Diagnostic::of_file(&self.main, "there is no such file", Some("give the path of a configuration file")));
            }
            Ok(None) => {}
            Err(error) => errors.push(*error),
        }
        for path in self.effective_drop_ins(owners, errors) {
            match read_file(&path, owners) {
                Ok(source) => sources.extend(source),
                Err(error) => errors.push(*error),
            }
        }
        Sources(sources)
    }

    /// A warning for each directory of drop-ins that root leaves out because somebody else decides what is in it.
    pub(super) fn left_out(&self, owners: &Owners) -> Vec<Diagnostic> {
        let warning = |directory: &PathBuf| {
            let (why, _) = owners.distrust_way(directory).filter(|_| directory.symlink_metadata().is_ok())?;
            let message = format!("its files are left out: root runs nothing that others can change, and {why}");
            let hint = Some("for root write them to /etc/ros-signal-agent/conf.d");
            Some(Diagnostic { severity: Severity::Warning, ..Diagnostic::of_file(directory, message, hint) })
        };
        self.drop_ins.iter().filter_map(warning).collect()
    }

    /// The drop-ins that count, sorted by file name.
    fn effective_drop_ins(&self, owners: &Owners, errors: &mut Vec<Diagnostic>) -> Vec<PathBuf> {
        let mut by_name: BTreeMap<OsString, PathBuf> = BTreeMap::new();
        for directory in self.drop_ins.iter().filter(|directory| owners.distrust_way(directory).is_none()) {
            match names(directory) {
                Ok(names) => by_name.extend(names.into_iter().map(|name| (name.clone(), directory.join(name)))),
                Err(error) => errors.push(*error),
            }
        }
        if by_name.len() > FILES_LIMIT {
            let message = format!("{} drop-ins, at most {FILES_LIMIT} are read", by_name.len());
            let directory = self.drop_ins.last().unwrap_or(&self.main);
            errors.push(Diagnostic::of_file(directory, message, Some("join them into fewer files")));
        }
        by_name.into_values().filter(|path| !is_masked(path)).take(FILES_LIMIT).collect()
    }
}

/// Names of the drop-ins in `directory`, which need not exist: `*.toml`, hidden files left out.
fn names(directory: &Path) -> Result<Vec<OsString>, Box<Diagnostic>> {
    let cannot =
        |error: std::io::Error| Box::new(Diagnostic::of_file(directory, format!("cannot list the directory: {}", reason(&error)), None));
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(cannot(error)),
    };
    let mut names = Vec::new();
    for (count, entry) in entries.enumerate() {
        if count >= ENTRIES_LIMIT {
            return Err(Box::new(Diagnostic::of_file(directory, format!("more than {ENTRIES_LIMIT} files in the directory"), None)));
        }
        let name = entry.map_err(cannot)?.file_name();
        let hidden = name.as_encoded_bytes().starts_with(b".");
        if !hidden && Path::new(&name).extension().is_some_and(|extension| extension == "toml") {
            names.push(name);
        }
    }
    Ok(names)
}

/// A link to /dev/null masks.
fn is_masked(path: &Path) -> bool {
    std::fs::canonicalize(path).is_ok_and(|target| target == Path::new("/dev/null"))
}

/// The file at `path`; none when there is none, or a masking link.
fn read_file(path: &Path, owners: &Owners) -> Result<Option<Source>, Box<Diagnostic>> {
    let cannot = |error: std::io::Error| {
        let hint = (error.kind() == ErrorKind::PermissionDenied).then_some("the agent's user must be able to read it");
        Box::new(Diagnostic::of_file(path, format!("cannot read the file: {}", reason(&error)), hint))
    };
    // Not blocking, because opening a pipe would wait for its writer.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let mut file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(rustix::io::Errno::NOENT) if path.symlink_metadata().is_err() => return Ok(None),
        Err(error) => return Err(cannot(error.into())),
    };
    if is_masked(path) {
        return Ok(None);
    }
    let metadata = file.metadata().map_err(cannot)?;
    if !metadata.is_file() {
        return Err(Box::new(Diagnostic::of_file(path, "not a regular file", None)));
    }
    let mut bytes = Vec::new();
    Read::by_ref(&mut file).take(FILE_LIMIT + 1).read_to_end(&mut bytes).map_err(cannot)?;
    if bytes.len() as u64 > FILE_LIMIT {
        return Err(Box::new(Diagnostic::of_file(
            path,
            "larger than 1 MiB",
            Some("a configuration is at most a few KiB; is this the right file?"),
        )));
    }
    let text = String::from_utf8(bytes).map_err(|error| Box::new(not_utf8(path, &error)))?;
    Ok(Some(Source::new(path.to_owned(), text, owners.facts(path, &metadata))))
}

fn not_utf8(path: &Path, error: &std::string::FromUtf8Error) -> Diagnostic {
    let valid = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
    let line = valid.iter().filter(|byte| **byte == b'\n').count() + 1;
    let column = valid.rsplit(|byte| *byte == b'\n').next().map_or(0, |line| String::from_utf8_lossy(line).chars().count()) + 1;
    let message = format!("not UTF-8 at line {line}, column {column}");
    Diagnostic::of_file(path, message, Some("save the file as UTF-8; TOML knows no other encoding"))
}

/// The error without its number.
fn reason(error: &std::io::Error) -> String {
    let text = error.to_string().to_lowercase();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}
