//! Who the agent is on this host, and what that user may read. Judged by owners and modes (path_resolution(7)), because root may read
//! everything and would find nothing wrong.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// A user, as the kernel judges one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reader {
    pub(super) uid: u32,
    pub(super) gids: Vec<u32>,
    /// How it is known that the agent is this user, for people.
    pub(super) known_by: String,
}

impl Reader {
    /// This process.
    pub(super) fn myself() -> Self {
        let mut gids: Vec<u32> = rustix::process::getgroups().unwrap_or_default().into_iter().map(rustix::process::Gid::as_raw).collect();
        gids.push(rustix::process::getegid().as_raw());
        Self { uid: rustix::process::geteuid().as_raw(), gids, known_by: "the user of this command".to_owned() }
    }

    /// The owner of the agent's state directory. Blocks.
    pub(super) fn owner_of(directory: &Path) -> Option<Self> {
        let found = std::fs::metadata(directory).ok().filter(std::fs::Metadata::is_dir)?;
        let known_by = format!("the owner of {}", directory.display());
        Some(Self { uid: found.uid(), gids: vec![found.gid()], known_by })
    }

    /// A running process, by `/proc/PID/status` (proc_pid_status(5)).
    pub(super) fn of_process(pid: u32) -> Option<Self> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        Self::of_status(&text, pid)
    }

    fn of_status(text: &str, pid: u32) -> Option<Self> {
        let line = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
        let numbers = |text: &str| text.split_whitespace().filter_map(|word| word.parse().ok()).collect::<Vec<u32>>();
        // Real, effective, saved, file system.
        let uid = *numbers(line("Uid:")?).get(1)?;
        let mut gids = numbers(line("Groups:").unwrap_or_default());
        gids.extend(numbers(line("Gid:")?).get(1));
        Some(Self { uid, gids, known_by: format!("the user of the running agent (pid {pid})") })
    }

    /// Why this user may not read the file at `path`; none if it may. Blocks.
    pub(super) fn hindrance(&self, path: &Path) -> Option<Hindrance> {
        if self.uid == 0 {
            return None;
        }
        let target = match std::fs::canonicalize(path) {
            Ok(target) => target,
            Err(error) => return Some(Hindrance { what: path.to_owned(), why: error.to_string(), remedy: None }),
        };
        for directory in target.ancestors().skip(1).collect::<Vec<_>>().into_iter().rev() {
            if let Some(why) = self.lacks(directory, 0o1) {
                let remedy = format!("chmod o+x {}", directory.display());
                return Some(Hindrance { what: directory.to_owned(), why, remedy: Some(remedy) });
            }
        }
        let why = self.lacks(&target, 0o4)?;
        let gid = self.gids.last().copied().unwrap_or_default();
        let remedy = format!("chgrp {gid} {0} && chmod g+r {0}", target.display());
        Some(Hindrance { what: target, why, remedy: Some(remedy) })
    }

    /// Why this user may not write into the directory at `path`. Blocks.
    pub(super) fn cannot_write(&self, path: &Path) -> Option<String> {
        if self.uid == 0 { None } else { self.lacks(path, 0o3) }
    }

    fn lacks(&self, path: &Path, wanted: u32) -> Option<String> {
        match std::fs::metadata(path) {
            Ok(found) => (!self.has(found.uid(), found.gid(), found.mode(), wanted))
                .then(|| format!("it belongs to user {}, group {}, and has mode {:04o}", found.uid(), found.gid(), found.mode() & 0o7777)),
            Err(error) => Some(error.to_string()),
        }
    }

    /// The class that fits first decides alone.
    fn has(&self, uid: u32, gid: u32, mode: u32, wanted: u32) -> bool {
        let shift = match () {
            () if self.uid == uid => 6,
            () if self.gids.contains(&gid) => 3,
            () => 0,
        };
        (mode >> shift) & wanted == wanted
    }
}

/// What keeps a user from a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hindrance {
    /// The file, or the directory on the way to it.
    pub(super) what: PathBuf,
    pub(super) why: String,
    pub(super) remedy: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent() -> Reader {
        Reader { uid: 998, gids: vec![997], known_by: String::new() }
    }

    #[test]
    fn the_first_class_that_fits_decides() {
        assert!(agent().has(998, 0, 0o400, 0o4) && agent().has(0, 997, 0o640, 0o4) && agent().has(0, 0, 0o644, 0o4));
        assert!(!agent().has(0, 0, 0o600, 0o4));
        assert!(!agent().has(998, 997, 0o077, 0o4), "an owner without rights has none, whatever others may");
    }

    #[test]
    fn the_user_of_a_process_is_the_effective_one() {
        let text = "Name:\tx\nUid:\t0\t998\t0\t998\nGid:\t0\t997\t0\t997\nGroups:\t5 6 \n";
        let reader = Reader::of_status(text, 7).unwrap();
        assert_eq!((reader.uid, reader.gids), (998, vec![5, 6, 997]));
        assert_eq!(Reader::of_status("Name:\tx\n", 7), None);
    }

    #[test]
    fn a_file_of_somebody_else_names_the_path_that_is_in_the_way() {
        let only_its_owner = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        let home = tempfile::Builder::new().permissions(only_its_owner).tempdir().unwrap();
        let file = home.path().join("config.toml");
        std::fs::write(&file, "").unwrap();
        let found = agent().hindrance(&file).unwrap();
        assert_eq!(found.what, std::fs::canonicalize(home.path()).unwrap());
        assert!(found.why.contains("mode 0700"), "{}", found.why);
        assert_eq!(Reader::myself().hindrance(&file), None);
    }
}
