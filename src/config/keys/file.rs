//! The keys of `type = "file"`.

use super::Fallback::{Absent, Required, Toml};
use super::{ANY, Section, Shape, key};

/// `type = "file"`.
pub(super) static FILE: Section = Section {
    header: "`type = \"file\"`",
    about: "A path and what is to be there. Changes are noticed at once where the kernel tells of them.",
    keys: &[
        key("path", Shape::Path, Required, "The file, directory or whatever it is."),
        key("exists", Shape::Flag, Toml("true"), "`false`: nothing may be there, not even a link to nowhere; no other key fits beside it."),
        key(
            "file_type",
            Shape::Word(&["file", "directory", "symlink", "socket", "fifo", "block", "char"]),
            Absent("any"),
            "What it must be. Symbolic links are followed unless this says `symlink`.",
        ),
        key("mode", Shape::Text, Absent("not looked at"), "Permissions in octal, exactly, such as `\"0644\"`."),
        key("owner", Shape::Text, Absent("not looked at"), "Name in /etc/passwd, or number, of the user it must belong to."),
        key("group", Shape::Text, Absent("not looked at"), "Name in /etc/group, or number, of the group it must belong to."),
        key("min_size", Shape::Size, Absent("not looked at"), "Smaller is critical."),
        key("max_size", Shape::Size, Absent("not looked at"), "Larger is critical."),
        key("min_age", ANY, Absent("not looked at"), "Modified more recently than this is critical."),
        key("max_age", ANY, Absent("not looked at"), "Not modified for longer than this is critical."),
        key("contents", Shape::Pattern, Absent("not looked at"), "What the first 1 MiB of a regular file must match."),
        key("sha256", Shape::Text, Absent("not looked at"), "SHA-256 of a regular file of at most 1 GiB, 64 hexadecimal digits."),
        key(
            "measure",
            Shape::Word(&["size", "age"]),
            Absent("none"),
            "What `warn` and `crit` judge: bytes, or seconds since the last modification.",
        ),
        key("warn", Shape::Range, Absent("none"), "Where `measure` is a warning."),
        key("crit", Shape::Range, Absent("none"), "Where `measure` is critical."),
    ],
};
