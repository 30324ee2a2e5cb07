//! The keys of `type = "process"`.

use super::Fallback::Absent;
use super::{Section, Shape, key};

/// `type = "process"`.
pub(super) static PROCESS: Section = Section {
    header: "`type = \"process\"`",
    about: "Processes of this host, from `/proc`. At least one of `name`, `cmdline`, `pid_file` and `user` is required; all that are given must match.",
    keys: &[
        key("name", Shape::Text, Absent("any"), "Name of the process, as `ps -o comm` shows it, or of its program, without directories."),
        key("cmdline", Shape::Pattern, Absent("any"), "What its arguments, joined by blanks, must match."),
        key("pid_file", Shape::Path, Absent("none"), "File whose first line is the number of the one process that counts."),
        key("user", Shape::Text, Absent("any"), "Name or number of the user it runs as. Names are those of `/etc/passwd`."),
        key(
            "warn",
            Shape::Range,
            Absent("none"),
            "Where the number of processes is a warning: `\"1:4\"` alerts below 1 and above 4. Not beside `pid_file`.",
        ),
        key(
            "crit",
            Shape::Range,
            Absent("`\"1:\"` where `warn` is not written either"),
            "Where it is critical: `\"1:\"` alerts if there is none, `\"0\"` if there is one. Not beside `pid_file`.",
        ),
    ],
};
