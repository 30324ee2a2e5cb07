//! The keys of `type = "memory"`.

use super::Fallback::{Absent, Toml};
use super::{Section, Shape, key};

/// `type = "memory"`.
pub(super) static MEMORY: Section = Section {
    header: "`type = \"memory\"`",
    about: "The memory of this host, from `/proc/meminfo`.",
    keys: &[
        key(
            "measure",
            Shape::Word(&["available_percent", "available", "used_percent", "swap_used_percent"]),
            Toml("\"available_percent\""),
            "What is judged. `available` is in bytes, what can be had without swapping; the others are in percent.",
        ),
        key(
            "warn",
            Shape::RangeOfSizes,
            Absent("`\"10:\"` for `available_percent` where `crit` is not written either"),
            "Where it is a warning. With another `measure`, `warn` or `crit` is required.",
        ),
        key(
            "crit",
            Shape::RangeOfSizes,
            Absent("`\"5:\"` for `available_percent` where `warn` is not written either"),
            "Where it is critical.",
        ),
    ],
};
