//! The table of mounts, proc_pid_mountinfo(5). Reading it touches no file system, so a dead file server cannot hang it.

use super::proc;
use std::io;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// What is read of a table: some hundred thousand mounts.
pub(super) const TABLE_LIMIT: u64 = 16 * 1024 * 1024;

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mount {
    /// Where it is mounted.
    pub(super) point: PathBuf,
    /// The type of the file system.
    pub(super) kind: String,
    /// What is mounted: a device, a server's path, or any word.
    pub(super) source: String,
    /// Options of the mount.
    options: String,
    /// Options of the file system, which all its mounts share.
    shared: String,
}

impl Mount {
    /// ```text
    /// 36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
    ///            root  point options    optional - type source    shared options
    /// ```
    pub(super) fn parse(line: &[u8]) -> Option<Self> {
        let mut words = line.split(|byte| *byte == b' ');
        let point = PathBuf::from(std::ffi::OsString::from_vec(unescaped(words.nth(4)?)));
        let options = text(words.next()?);
        // Optional fields, as many as there are.
        words.by_ref().find(|word| *word == b"-")?;
        let (kind, source) = (text(words.next()?), text(words.next()?));
        let shared = words.next().map(text).unwrap_or_default();
        Some(Self { point, kind, source, options, shared })
    }

    /// Whether `option` holds. Read-only is whatever is so by the mount or by the file system; `exec`, `suid` and `dev` hold where
    /// their opposite is not written.
    pub(super) fn has(&self, option: &str) -> bool {
        let written = |option: &str| self.options.split(',').chain(self.shared.split(',')).any(|word| word == option);
        match option {
            "rw" => !written("ro"),
            "exec" | "suid" | "dev" => !written(&format!("no{option}")),
            other => written(other),
        }
    }

    /// All options, those of the mount first.
    pub(super) fn all_options(&self) -> String {
        let more = self.shared.split(',').filter(|shared| self.options.split(',').all(|own| own != *shared));
        std::iter::once(self.options.as_str()).chain(more).collect::<Vec<_>>().join(",")
    }
}

/// Blanks and backslashes are written as three octal digits: `\040`.
fn unescaped(word: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(word.len());
    let mut rest = word;
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..3).filter(|_| *first == b'\\').and_then(octal);
        plain.push(code.unwrap_or(*first));
        rest = match code {
            Some(_) => after.get(3..).unwrap_or_default(),
            None => after,
        };
    }
    plain
}

fn octal(digits: &[u8]) -> Option<u8> {
    u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok()
}

fn text(word: &[u8]) -> String {
    String::from_utf8_lossy(&unescaped(word)).into_owned()
}

/// The mounts of `table` that `wanted` wants, in the order of the table.
pub(super) fn read(table: &Path, mut wanted: impl FnMut(&Mount) -> bool) -> io::Result<Vec<Mount>> {
    let mut found = Vec::new();
    proc::lines(table, TABLE_LIMIT, |line| {
        found.extend(Mount::parse(line).filter(|mount| wanted(mount)));
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

/// The same as this process sees the mounts, which is where its own paths lead.
pub(super) fn of_this_process(wanted: impl FnMut(&Mount) -> bool) -> io::Result<Vec<Mount>> {
    read(Path::new("/proc/self/mountinfo"), wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_gives_point_type_source_and_options() {
        let line = br"36 35 98:0 / /mnt/a\040b\134c ro,noatime master:1 shared:7 - fuse.sshfs user@host:/x\040y rw,errors=continue";
        let mount = Mount::parse(line).unwrap();
        assert_eq!(
            (mount.point.to_str(), mount.kind.as_str(), mount.source.as_str()),
            (Some(r"/mnt/a b\c"), "fuse.sshfs", "user@host:/x y")
        );
        assert!(mount.has("ro") && mount.has("noatime") && mount.has("errors=continue") && mount.has("exec"));
        assert!(!mount.has("rw"), "the mount is read-only, whatever the file system is");
        let mount = Mount::parse(b"1 1 0:1 / / rw,noexec - tmpfs tmpfs ro").unwrap();
        assert!(!mount.has("rw") && !mount.has("exec"), "the file system is read-only, whatever the mount says");
    }

    #[test]
    fn lines_that_are_cut_or_odd_are_passed_over() {
        let odd: [&[u8]; 6] =
            [b"", b"36 35", b"36 35 98:0 / /mnt rw", b"36 35 98:0 / /mnt rw shared:1", b"1 1 0:1 / /m rw - ext4", b"- - - - -"];
        assert!(odd.iter().all(|line| Mount::parse(line).is_none()));
        assert_eq!(Mount::parse(b"1 1 0:1 / /m rw - ext4 none").unwrap().shared, "");
        for (written, meant) in [(r"a\04", r"a\04"), (r"a\999", r"a\999"), (r"\", r"\"), (r"\0400", " 0"), (r"\777", r"\777")] {
            assert_eq!(String::from_utf8(unescaped(written.as_bytes())).unwrap(), meant, "{written}");
        }
    }

    #[test]
    fn this_process_has_a_root() {
        let mounts = of_this_process(|mount| mount.point == Path::new("/")).unwrap();
        assert!(!mounts.is_empty());
    }
}
