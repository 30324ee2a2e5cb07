//! Where the names stand on which it depends what a path leads to.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io;
use std::path::{Component, Path, PathBuf};

/// Most parts of a path that are looked at, those of links included; the kernel follows 40 links.
const PARTS: usize = 256;

/// A name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) directory: PathBuf,
    /// None: whatever is in it.
    pub(super) name: Option<OsString>,
}

/// The names that decide what `path` leads to: every symbolic link on the way, and the last name, or the first that is missing. Blocks
/// where a file system hangs.
pub(super) fn of(path: &Path) -> Vec<Place> {
    let mut places = Vec::new();
    let mut here = PathBuf::from("/");
    let mut ahead = parts(path);
    for _ in 0..PARTS {
        let Some(part) = ahead.pop_front() else {
            break;
        };
        if part == ".." {
            here.pop();
            continue;
        }
        let there = here.join(&part);
        let place = || Place { directory: here.clone(), name: Some(part.clone()) };
        match target(&there) {
            Ok(Some(target)) => {
                places.push(place());
                if target.is_absolute() {
                    here = PathBuf::from("/");
                }
                let mut rest = parts(&target);
                rest.append(&mut ahead);
                ahead = rest;
            }
            Ok(None) if !ahead.is_empty() => here = there,
            // The last name, a missing one, or one that may not be looked at: no further.
            Ok(None) | Err(_) => {
                places.push(place());
                return places;
            }
        }
    }
    if places.is_empty() {
        places.push(Place { directory: here, name: None });
    }
    places
}

/// The parts of a path that are names; `..` is one of them.
fn parts(path: &Path) -> VecDeque<OsString> {
    let parts = path.components().filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir));
    parts.map(|part| part.as_os_str().to_owned()).collect()
}

/// Where the symbolic link at `path` points; none: it is there and no link.
fn target(path: &Path) -> io::Result<Option<PathBuf>> {
    let metadata = std::fs::symlink_metadata(path)?;
    if metadata.is_symlink() { std::fs::read_link(path).map(Some) } else { Ok(None) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn shown(root: &Path, path: &str) -> Vec<String> {
        let shown = |place: Place| place.directory.join(place.name.unwrap_or_default()).strip_prefix(root).unwrap().display().to_string();
        of(&root.join(path)).into_iter().map(shown).collect()
    }

    #[test]
    fn links_on_the_way_count_and_the_first_missing_part_is_the_last() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("v1/conf")).unwrap();
        std::fs::write(root.join("v1/conf/app"), "").unwrap();
        symlink("v1", root.join("current")).unwrap();
        symlink("../current/conf/app", root.join("v1/relative")).unwrap();
        symlink(root.join("current"), root.join("absolute")).unwrap();
        symlink("circle", root.join("circle")).unwrap();
        assert_eq!(shown(&root, "v1/conf/app"), ["v1/conf/app"]);
        assert_eq!(shown(&root, "current/conf/app"), ["current", "v1/conf/app"]);
        assert_eq!(shown(&root, "absolute/conf/app"), ["absolute", "current", "v1/conf/app"]);
        assert_eq!(shown(&root, "v1/relative"), ["v1/relative", "current", "v1/conf/app"]);
        assert_eq!(shown(&root, "v2/conf/app"), ["v2"]);
        assert_eq!(shown(&root, "v1/conf/../other/app"), ["v1/other"]);
        assert_eq!(shown(&root, "v1/conf/app/deeper"), ["v1/conf/app/deeper"], "through a file there is nothing");
        assert!(shown(&root, "circle").len() <= PARTS, "a circle ends");
        assert_eq!(of(Path::new("/")), [Place { directory: "/".into(), name: None }]);
    }
}
