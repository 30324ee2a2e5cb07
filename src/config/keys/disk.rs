//! The keys of `type = "disk"`.

use super::Fallback::{Absent, Required, Toml};
use super::{Section, Shape, key};

/// `type = "disk"`.
pub(super) static DISK: Section = Section {
    header: "`type = \"disk\"`",
    about: "The room on a file system.",
    keys: &[
        key("path", Shape::Path, Required, "Any path on the file system. It must exist."),
        key(
            "measure",
            Shape::Word(&["free_percent", "free", "used_percent", "inodes_free_percent"]),
            Toml("\"free_percent\""),
            "What is judged. `free` is in bytes, the others are in percent; what is kept for root is not free.",
        ),
        key(
            "warn",
            Shape::RangeOfSizes,
            Absent("`\"20:\"` for `free_percent` where `crit` is not written either"),
            "Where it is a warning. With another `measure`, `warn` or `crit` is required.",
        ),
        key(
            "crit",
            Shape::RangeOfSizes,
            Absent("`\"10:\"` for `free_percent` where `warn` is not written either"),
            "Where it is critical.",
        ),
    ],
};
