//! `type = "systemd"`.

use super::Fallback::{Absent, Toml};
use super::{ANY, Section, Shape, key};

pub(super) static SYSTEMD: Section = Section {
    header: "`type = \"systemd\"`",
    about: "A unit of systemd, or its system as a whole, asked over D-Bus. One of `unit` and `system = true` is required.",
    keys: &[
        key("unit", Shape::Text, Absent("none"), "A unit with its suffix, such as `nginx.service`."),
        key("stable_for", ANY, Toml("\"0s\""), "How long the unit must have been active without a break."),
        key("max_restarts", Shape::Integer(0, 1_000_000), Toml("3"), "Automatic restarts of the unit beyond which it is in a crash loop."),
        key(
            "condition_unmet",
            Shape::Word(&["passing", "critical"]),
            Toml("\"critical\""),
            "What it means that the unit was not started because one of its conditions does not hold.",
        ),
        key("system", Shape::Flag, Toml("false"), "Ask for the state of the whole system instead of a unit."),
        key(
            "accept",
            Shape::Texts,
            Toml("[\"running\"]"),
            "With `system`: states that pass, of `initializing`, `starting`, `running`, `degraded`, `maintenance`, `stopping`.",
        ),
        key("ignore_units", Shape::Texts, Toml("[]"), "With `system`: `degraded` passes when no other units than these have failed."),
    ],
};
