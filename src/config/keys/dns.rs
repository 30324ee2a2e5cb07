//! The keys of `type = "dns"`.

use super::Fallback::{Absent, Required, Toml};
use super::{Section, Shape, key};

/// `type = "dns"`.
pub(super) static DNS: Section = Section {
    header: "`type = \"dns\"`",
    about: "A name, and what it must resolve to. Without `record` and `server` the system's resolver is asked, as every program of this host does.",
    keys: &[
        key("name", Shape::Text, Required, "The name; with `record = \"PTR\"` it may be an address."),
        key(
            "record",
            Shape::Word(&["A", "AAAA", "CNAME", "MX", "TXT", "SRV", "NS", "PTR"]),
            Absent("A and AAAA, at least one of them"),
            "Type of the records that are asked for. There must be at least one.",
        ),
        key(
            "server",
            Shape::Text,
            Absent("the system's"),
            "Address of the name server that is asked, such as `\"10.0.0.2\"` or `\"10.0.0.2:5353\"`. Names are then whole: no search list.",
        ),
        key("addresses", Shape::Texts, Toml("[]"), "Addresses that must all be among the answers, at most 64."),
        key("exact", Shape::Flag, Toml("false"), "No address may be among the answers that is not in `addresses`."),
        key("expect", Shape::Pattern, Absent("not looked at"), "What the text of one record must match; not for addresses."),
        key("warn", Shape::Range, Absent("never"), "Milliseconds until the answer that are a warning, such as `\"200\"`."),
        key("crit", Shape::Range, Absent("never"), "Milliseconds until the answer that are critical."),
    ],
};
