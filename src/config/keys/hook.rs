//! `[hook.NAME]`.

use super::Fallback::{Absent, Required, Toml};
use super::{SECOND, Section, Shape, key};

/// `[hook.NAME]`.
pub static HOOK: Section = Section {
    header: "[hook.NAME]",
    about: "A command of yours that is run when something happens.",
    keys: &[
        key(
            "on",
            Shape::Texts,
            Required,
            "What it is run for: `stack.created`, `stack.updating`, `stack.updated`, `stack.rolling_back`, `stack.update_rolled_back`, `stack.create_rolled_back`, `stack.deleting`, `stack.deleted`, `stack.delete_failed`, `stack.failed`; `metadata.changed`; `verdict.success`, `verdict.warning`, `verdict.failure`; `check.passing`, `check.warning`, `check.critical`, `check.unknown`; or types of events, such as `ros:StackStateChange:UpdateComplete` or `ros:StackStateChange:*`.",
        ),
        key("command", Shape::Texts, Required, "Program, by its absolute path, and its arguments. There is no shell."),
        key("enabled", Shape::Flag, Toml("true"), "`false` removes the hook."),
        key("timeout", SECOND, Toml("\"5m\""), "Of one run; what takes longer is ended and has failed."),
        key("retries", Shape::Integer(0, 100), Toml("0"), "How often a run that failed is repeated, at growing waits."),
        key(
            "at_most_once",
            Shape::Flag,
            Toml("false"),
            "`true`: a run that was begun is never begun again, even if a crash leaves unknown what became of it. `false`: it is run until it has ended, so a crash may make it run twice under the same id.",
        ),
        key(
            "run_as",
            Shape::Word(&["agent", "root"]),
            Toml("\"agent\""),
            "`root`: a unit of systemd runs it as root, with the command of the root-owned configuration.",
        ),
        key(
            "wait",
            Shape::Flag,
            Toml("false"),
            "`true`: the checks of a new round begin when it has ended, so that it can apply the update. If it fails for good, so does the round.",
        ),
        key("checks", Shape::Texts, Toml("[]"), "For `check.*`: only of these checks; else of all."),
        key("signals", Shape::Texts, Toml("[]"), "For `verdict.*`: only of these signals; else of all."),
        key(
            "resource",
            Shape::Text,
            Absent("those that the signals name"),
            "For `metadata.changed`: logical ID of the resource whose `Metadata` is followed.",
        ),
    ],
};
