//! The keys of `type = "load"`.

use super::Fallback::{Absent, Toml};
use super::{Section, Shape, key};

/// `type = "load"`.
pub(super) static LOAD: Section = Section {
    header: "`type = \"load\"`",
    about: "The load of this host, from `/proc/loadavg`. At least one of `warn` and `crit` is required.",
    keys: &[
        key(
            "measure",
            Shape::Word(&["load1", "load5", "load15"]),
            Toml("\"load5\""),
            "Average over 1, 5 or 15 minutes of the processes that run, wait for a CPU, or hang in the kernel.",
        ),
        key("per_cpu", Shape::Flag, Toml("false"), "Divide by the number of CPUs that are online."),
        key("warn", Shape::Range, Absent("none"), "Where the load is a warning: `\"8\"` alerts above 8."),
        key("crit", Shape::Range, Absent("none"), "Where it is critical."),
    ],
};
