//! The keys of `type = "composite"`.

use super::Fallback::Absent;
use super::{Section, Shape, key};

pub(super) static COMPOSITE: Section = Section {
    header: "`type = \"composite\"`",
    about: "Judged by other checks; one of the three keys is needed. A signal that has it judges its members through it, unless it names them itself.",
    keys: &[
        key("all_of", Shape::Texts, Absent("none"), "Names of checks that must all be satisfied."),
        key("any_of", Shape::Texts, Absent("none"), "Names of checks of which one must be satisfied."),
        key(
            "at_least",
            Shape::AtLeast,
            Absent("none"),
            "How many checks must be satisfied, and of which: `{ count = 2, of = [\"a\", \"b\", \"c\"] }`.",
        ),
    ],
};
