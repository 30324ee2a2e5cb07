//! What stands in cloud-init's `status.json` and `result.json`.
//!
//! ```text
//! status.json  { "v1": { "datasource": "DataSourceAliYun", "stage": null or "modules-final",
//!                        "init": { "start": 1790000000.1, "finished": 1790000001.2 or null, "errors": ["..."],
//!                                  "recoverable_errors": { "WARNING": ["..."] } },
//!                        "init-local": {...}, "modules-config": {...}, "modules-final": {...} } }
//! result.json  { "v1": { "datasource": "DataSourceAliYun", "errors": ["..."], "recoverable_errors": {...} } }
//! ```
//!
//! Times are `time.time()` in 22.4 and `/proc/uptime` in 25.1 (`status_wrapper` in its `cmd/main.py`).
//!
//! What has another form than expected is passed over, as long as it is JSON with a table `v1`: the form grew with the years. Parts stay
//! text until they are asked for, so that a hostile file takes little more memory than its size.

use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The stages, in their order; `modules-init` is that of old versions.
const STAGES: [&str; 5] = ["init-local", "init", "modules-init", "modules-config", "modules-final"];

/// Either file.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Report {
    /// Where the instance data came from.
    pub(super) datasource: Option<String>,
    /// The stage that runs.
    pub(super) stage: Option<String>,
    /// Of all stages.
    pub(super) errors: Texts,
    /// Of all stages and levels.
    pub(super) recoverable: Texts,
    stages: Vec<(&'static str, Stage)>,
}

/// When a stage began and ended, in seconds since 1970, or since boot where cloud-init is newer.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Stage {
    pub(super) start: Option<f64>,
    pub(super) finished: Option<f64>,
}

/// Messages: the first, and how many there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Texts {
    pub(super) first: Option<String>,
    pub(super) count: usize,
}

/// A part that is not looked into yet.
type Part<'a> = Option<&'a RawValue>;

#[derive(Deserialize)]
struct File<'a> {
    #[serde(borrow)]
    v1: V1<'a>,
}

#[derive(Deserialize)]
struct V1<'a> {
    #[serde(borrow, default)]
    datasource: Part<'a>,
    #[serde(borrow, default)]
    stage: Part<'a>,
    #[serde(borrow, default)]
    errors: Part<'a>,
    #[serde(borrow, default)]
    recoverable_errors: Part<'a>,
    #[serde(borrow, default, rename = "init-local")]
    init_local: Part<'a>,
    #[serde(borrow, default)]
    init: Part<'a>,
    #[serde(borrow, default, rename = "modules-init")]
    modules_init: Part<'a>,
    #[serde(borrow, default, rename = "modules-config")]
    modules_config: Part<'a>,
    #[serde(borrow, default, rename = "modules-final")]
    modules_final: Part<'a>,
}

#[derive(Deserialize)]
struct StagePart<'a> {
    #[serde(borrow, default)]
    start: Part<'a>,
    #[serde(borrow, default)]
    finished: Part<'a>,
    #[serde(borrow, default)]
    errors: Part<'a>,
    #[serde(borrow, default)]
    recoverable_errors: Part<'a>,
}

impl Report {
    /// # Errors
    /// If it is not JSON, or has no table `v1`.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let File { v1 } = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        let mut report = Self { datasource: text(v1.datasource), stage: text(v1.stage), ..Self::default() };
        report.errors.add_list(v1.errors);
        report.recoverable.add_levels(v1.recoverable_errors);
        let parts = [v1.init_local, v1.init, v1.modules_init, v1.modules_config, v1.modules_final];
        for (name, part) in STAGES.into_iter().zip(parts) {
            if let Some(part) = loosely::<StagePart<'_>>(part) {
                report.errors.add_list(part.errors);
                report.recoverable.add_levels(part.recoverable_errors);
                report.stages.push((name, Stage { start: loosely(part.start), finished: loosely(part.finished) }));
            }
        }
        Ok(report)
    }

    /// The stage called `name`.
    pub(super) fn stage(&self, name: &str) -> Option<&Stage> {
        self.stages.iter().find_map(|(known, stage)| (*known == name).then_some(stage))
    }

    /// The last stage that has ended, and when.
    pub(super) fn last_finished(&self) -> Option<(&'static str, f64)> {
        self.stages.iter().rev().find_map(|(name, stage)| Some((*name, stage.finished?)))
    }
}

impl Texts {
    fn add_list(&mut self, list: Part<'_>) {
        let Some(texts) = loosely::<Vec<&RawValue>>(list) else {
            return;
        };
        self.count += texts.len();
        if self.first.is_none() {
            self.first = texts.first().map(|first| text(Some(first)).unwrap_or_else(|| first.get().to_owned()));
        }
    }

    /// A table of lists by level, such as `WARNING`.
    fn add_levels(&mut self, levels: Part<'_>) {
        let levels: Option<BTreeMap<Cow<'_, str>, &RawValue>> = loosely(levels);
        levels.into_iter().flatten().for_each(|(_, list)| self.add_list(Some(list)));
    }
}

/// A part as a `T`; none: it is missing, null, or something else.
fn loosely<'a, T: Deserialize<'a>>(part: Part<'a>) -> Option<T> {
    serde_json::from_str(part?.get()).ok()
}

/// A text that is not empty.
fn text(part: Part<'_>) -> Option<String> {
    loosely(part).filter(|text: &String| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_several_versions_are_understood() {
        let status = r#"{"v1": {"datasource": "DataSourceAliYun", "stage": "modules-config",
            "init": {"errors": [], "finished": 1669231096.96, "recoverable_errors": {}, "start": 1669231096.1},
            "init-local": {"errors": ["first", "second"], "finished": 1669231095.6, "start": 1669231095.5},
            "modules-config": {"errors": [], "finished": null, "recoverable_errors": {"WARNING": ["w1", "w2"], "ERROR": ["e"]}, "start": 1669231097.0},
            "modules-final": {"errors": [], "finished": null, "start": null}}}"#;
        let status = Report::parse(status.as_bytes()).unwrap();
        assert_eq!((status.datasource.as_deref(), status.stage.as_deref()), (Some("DataSourceAliYun"), Some("modules-config")));
        assert_eq!((status.errors.first.as_deref(), status.errors.count), (Some("first"), 2));
        assert_eq!((status.recoverable.first.as_deref(), status.recoverable.count), (Some("e"), 3));
        assert_eq!(status.stage("modules-config").unwrap().start, Some(1_669_231_097.0));
        assert_eq!(status.last_finished(), Some(("init", 1_669_231_096.96)));
        let old = Report::parse(br#"{"v1": {"datasource": false, "errors": [["tuple", 1]]}}"#).unwrap();
        assert_eq!((old.datasource, old.errors.first.as_deref()), (None, Some("[\"tuple\", 1]")));
    }

    #[test]
    fn hostile_files_are_refused_or_passed_over_and_never_more_than_that() {
        let deep = format!("{{\"v1\": {{\"errors\": {}}}}}", "[".repeat(500_000));
        let twice = "{\"v1\": {\"stage\": \"a\", \"stage\": \"b\"}}";
        for refused in ["", "{", "null", "[]", "{}", "{\"v1\": 1}", "{\"v1\": {\"stage\": \"in", "\u{feff}{}", twice, &deep] {
            assert!(Report::parse(refused.as_bytes()).is_err(), "{}", refused.chars().take(60).collect::<String>());
        }
        assert!(Report::parse(b"{\"v1\": {\"stage\": \"\xff\xfe\"}}").is_err());
        let strange = r#"{"v2": [], "v1": {"stage": {"a": 1}, "datasource": 5, "init": [], "init-local": "x", "errors": {"a": 1},
            "recoverable_errors": [1], "modules-final": {"start": "yesterday", "finished": {}, "errors": 7, "recoverable_errors": {"W": 8}}}}"#;
        let report = Report::parse(strange.as_bytes()).unwrap();
        assert_eq!((report.errors.count, report.recoverable.count, report.stage), (0, 0, None));
        let many = format!("{{\"v1\": {{\"errors\": [{}\"\"]}}}}", "\"\",".repeat(300_000));
        assert_eq!(Report::parse(many.as_bytes()).unwrap().errors.count, 300_001);
        let nested = format!("{{\"v1\": {{\"errors\": [{}1{}]}}}}", "[".repeat(400_000), "]".repeat(400_000));
        // Refused or passed over: what counts is that the stack holds.
        let _ = Report::parse(nested.as_bytes());
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[\\x00-\\x7f]{0,200}", bytes: Vec<u8>) {
            let _ = Report::parse(&bytes);
            let _ = Report::parse(format!("{{\"v1\": {text}}}").as_bytes());
            let _ = Report::parse(format!("{{\"v1\": {{\"init\": {{\"errors\": {text}}}}}}}").as_bytes());
        }
    }
}
