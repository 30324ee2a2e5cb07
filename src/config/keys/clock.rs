//! The keys of `type = "clock"`.

use super::Fallback::{Absent, Toml};
use super::{Section, Shape, key};

/// `type = "clock"`.
pub(super) static CLOCK: Section = Section {
    header: "`type = \"clock\"`",
    about: "Whether the clock of this host is right. ROS refuses requests that are signed with a time 15 minutes off.",
    keys: &[
        key(
            "source",
            Shape::Word(&["ros", "ntp"]),
            Toml("\"ros\""),
            "`ros`: the clock is compared with the `Date` of an answer of `url`. `ntp`: chronyd or systemd-timesyncd of this host says whether it is in sync.",
        ),
        key(
            "url",
            Shape::Url,
            Toml("\"https://ros.aliyuncs.com/\""),
            "For `source = \"ros\"`: what is asked, by an unsigned GET. Any answer with a `Date` will do.",
        ),
        key(
            "chronyd",
            Shape::Text,
            Toml("\"127.0.0.1:323\""),
            "For `source = \"ntp\"`: where chronyd takes commands, its `cmdport`. On loopback.",
        ),
        key(
            "warn",
            Shape::Range,
            Absent("`\"30\"` where `crit` is not written either"),
            "Where the seconds that the clock is off, ahead or behind, are a warning.",
        ),
        key("crit", Shape::Range, Absent("`\"300\"` where `warn` is not written either"), "Where they are critical."),
    ],
};
