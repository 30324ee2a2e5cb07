//! The keys of `type = "cloud-init"`.

use super::Fallback::Toml;
use super::{Section, Shape, key};

/// `type = "cloud-init"`.
pub(super) static CLOUD_INIT: Section = Section {
    header: "`type = \"cloud-init\"`",
    about: "What cloud-init came to, as its files say. It must be done; an error is terminal. Changes are noticed at once.",
    keys: &[
        key("run_dir", Shape::Path, Toml("\"/run/cloud-init\""), "Where its `status.json` and `result.json` are."),
        key(
            "degraded",
            Shape::Word(&["warning", "passing", "critical"]),
            Toml("\"warning\""),
            "What it means that it is done with recoverable errors.",
        ),
        key(
            "disabled",
            Shape::Word(&["passing", "warning", "critical"]),
            Toml("\"passing\""),
            "What it means that it was told not to run.",
        ),
        key(
            "not_installed",
            Shape::Word(&["critical", "warning", "passing"]),
            Toml("\"critical\""),
            "What it means that it is not on this host.",
        ),
    ],
};
