//! Who owns the configuration files, and whom that lets decide what.
//!
//! An exec check runs a command as the agent's user, so only files that nobody but root (or that user) can change may define one.
//! Owners are an argument: tests hand in made-up ones.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Owner and mode of a file or directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// User id.
    pub uid: u32,
    /// Permission bits, such as `0o644`.
    pub mode: u32,
}

/// Where owners and modes are looked up.
#[derive(Clone, Debug)]
pub enum Owners {
    /// The file system, for an agent that runs under this user id.
    System {
        /// The agent's user id.
        agent: u32,
    },
    /// Made up: paths not named belong to root with mode 0755.
    Given {
        /// The agent's user id.
        agent: u32,
        /// Owners and modes of files and directories.
        paths: BTreeMap<PathBuf, Owner>,
    },
}

/// Owner and mode of one path that decides who can change a file: the file itself, or a directory that holds it.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) path: PathBuf,
    pub(super) owner: Owner,
    pub(super) directory: bool,
}

const OTHERS_READ: u32 = 0o004;
const OTHERS_WRITE: u32 = 0o022;
const STICKY: u32 = 0o1000;

impl Owners {
    /// The file system, for an agent that runs as this process does.
    pub fn system() -> Self {
        Self::System { agent: rustix::process::geteuid().as_raw() }
    }

    /// The file system, for an agent that runs as the owner of `directory`.
    pub(super) fn of_owner(directory: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(directory).ok().filter(Metadata::is_dir)?;
        Some(Self::System { agent: metadata.uid() })
    }

    fn agent(&self) -> u32 {
        match self {
            Self::System { agent } | Self::Given { agent, .. } => *agent,
        }
    }

    /// The facts about the opened file at `path`, and about the directories that hold it and, behind a link, its target.
    pub(super) fn facts(&self, path: &Path, opened: &Metadata) -> Vec<Facts> {
        let mut facts = vec![Facts { path: path.to_owned(), owner: self.owner(path, opened), directory: false }];
        let target = std::fs::canonicalize(path).ok();
        for file in [Some(path.to_owned()), target].into_iter().flatten() {
            let Some(directory) = file.parent().map(|parent| if parent.as_os_str().is_empty() { Path::new(".") } else { parent }) else {
                continue;
            };
            if facts.iter().any(|fact| fact.path == directory) {
                continue;
            }
            if let Ok(metadata) = std::fs::metadata(directory) {
                facts.push(Facts { path: directory.to_owned(), owner: self.owner(directory, &metadata), directory: true });
            }
        }
        facts
    }

    /// Why a command of root's does not read the drop-ins of `directory`, whomever it judges exec checks for: somebody else can change a directory on the way there, and
    /// so could put a link in its place, to files that root alone may read, or that were never meant as configuration, or have root ask a
    /// server of his with its own credentials. The runtime directory of the agent is such a one. Never for others than root.
    pub(super) fn distrust_way(&self, directory: &Path) -> Option<(String, String)> {
        let root = match self {
            Self::System { .. } if rustix::process::geteuid().is_root() => Self::System { agent: 0 },
            Self::Given { agent: 0, .. } => self.clone(),
            Self::System { .. } | Self::Given { .. } => return None,
        };
        let known = |path: &Path| {
            let metadata = std::fs::metadata(path).ok()?;
            Some(Facts { path: path.to_owned(), owner: root.owner(path, &metadata), directory: true })
        };
        root.distrust(&directory.ancestors().filter_map(known).collect::<Vec<_>>())
    }

    fn owner(&self, path: &Path, metadata: &Metadata) -> Owner {
        match self {
            Self::System { .. } => Owner { uid: metadata.uid(), mode: metadata.mode() & 0o7777 },
            Self::Given { paths, .. } => paths.get(path).copied().unwrap_or(Owner { uid: 0, mode: 0o755 }),
        }
    }

    /// Why a file with these facts may not define an exec check, and what to do about it.
    pub(super) fn distrust(&self, facts: &[Facts]) -> Option<(String, String)> {
        facts.iter().find_map(|fact| {
            let path = fact.path.display();
            let what = if fact.directory { "directory" } else { "file" };
            let Owner { uid, mode } = fact.owner;
            if uid != 0 && uid != self.agent() {
                let why = format!("the {what} {path} belongs to user {uid}, neither root nor the agent's own user");
                return Some((why, format!("chown root {path}")));
            }
            let sticky = fact.directory && mode & STICKY != 0;
            (mode & OTHERS_WRITE != 0 && !sticky).then(|| {
                let why = format!("the {what} {path} can be changed by group or others (mode {mode:04o})");
                (why, format!("chmod go-w {path}"))
            })
        })
    }
}

/// Whether others may read the file with these facts.
pub(super) fn others_may_read(facts: &[Facts]) -> bool {
    facts.iter().any(|fact| !fact.directory && fact.owner.mode & OTHERS_READ != 0)
}
