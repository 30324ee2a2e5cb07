//! The keys of `type = "mount"`.

use super::Fallback::{Absent, Required, Toml};
use super::{Section, Shape, key};

/// `type = "mount"`.
pub(super) static MOUNT: Section = Section {
    header: "`type = \"mount\"`",
    about: "What is mounted on a path, from the kernel's table of mounts.",
    keys: &[
        key("path", Shape::Path, Required, "Where something must be mounted, as the table has it: links are not followed."),
        key("fstype", Shape::Text, Absent("any"), "The type of the file system, such as `ext4` or `nfs4`."),
        key("source", Shape::Text, Absent("any"), "What is mounted, such as `/dev/vdb1` or `10.0.0.5:/export`."),
        key("options", Shape::Texts, Toml("[]"), "Options that must all hold, such as `rw` or `noexec`."),
    ],
};
