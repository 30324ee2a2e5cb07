//! The tables of keys in `docs/configuration.md`, written from [`super::keys`].

use super::keys::{Fallback, Section};
use std::fmt::Write;

/// A Markdown table of the keys of `section`: key, form, default, meaning.
pub fn reference(section: &Section) -> String {
    let mut out = String::from("| key | value | default | meaning |\n| --- | --- | --- | --- |\n");
    for key in section.keys {
        let default = match key.default {
            Fallback::Required => "**required**".to_owned(),
            Fallback::Absent(text) | Fallback::Computed(text) => text.to_owned(),
            Fallback::Toml(text) => format!("`{text}`"),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(out, "| `{}` | {} | {default} | {} |", key.name, key.shape.words(), key.meaning);
    }
    out
}
