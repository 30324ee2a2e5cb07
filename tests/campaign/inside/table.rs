//! Counts cases, and what was broken in them, for each fault and each kind of moment.

use super::case::Case;
use super::judge::{Broken, Findings, Limit};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Where several faults strike together.
const SEVERAL: &str = "several faults at once";

#[derive(Clone, Copy, Debug, Default)]
struct Row {
    cases: u64,
    /// Of these, those in which the moment came.
    struck: u64,
    lost: u64,
    doubled: u64,
    false_successes: u64,
    hangs: u64,
    rules: u64,
    limits: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: BTreeMap<(&'static str, String), Row>,
    seeds: Vec<u64>,
    limits: BTreeMap<Limit, Vec<u64>>,
}

impl Row {
    fn add(&mut self, other: &Self) {
        self.cases += other.cases;
        self.struck += other.struck;
        self.lost += other.lost;
        self.doubled += other.doubled;
        self.false_successes += other.false_successes;
        self.hangs += other.hangs;
        self.rules += other.rules;
        self.limits += other.limits;
    }

    fn cells(&self) -> String {
        let Self { cases, struck, lost, doubled, false_successes, hangs, rules, limits } = self;
        format!("{cases} | {struck} | {lost} | {doubled} | {false_successes} | {hangs} | {rules} | {limits} |")
    }
}

fn told(seeds: &[u64]) -> String {
    seeds.iter().take(40).map(|seed| format!("SEED={seed}")).collect::<Vec<_>>().join(" ")
}

impl Table {
    pub(crate) fn count(&mut self, case: &Case, findings: &Findings) {
        let key = match case.strikes.as_slice() {
            [strike] => (strike.when.family(), strike.what.name()),
            strikes => (SEVERAL, format!("{} at random moments", strikes.len())),
        };
        let has = |broken| u64::from(findings.broken.iter().any(|(what, _)| *what == broken));
        self.rows.entry(key).or_default().add(&Row {
            cases: 1,
            struck: u64::from(findings.struck > 0),
            lost: has(Broken::Lost),
            doubled: has(Broken::Doubled),
            false_successes: has(Broken::FalseSuccess),
            hangs: has(Broken::Hang),
            rules: has(Broken::Rule),
            limits: u64::from(findings.at_limit.is_some()),
        });
        if let Some(limit) = findings.at_limit {
            self.limits.entry(limit).or_default().push(case.number);
        }
        if !findings.broken.is_empty() {
            self.seeds.push(case.number);
        }
    }

    pub(crate) fn failures(&self) -> usize {
        self.seeds.len()
    }

    pub(crate) fn seeds(&self) -> String {
        told(&self.seeds)
    }

    pub(crate) fn markdown(&self, singles: u64) -> String {
        let head = "cases | struck | lost | doubled | false successes | hangs | rules broken | at a stated limit |";
        let line = "---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |";
        let mut text = format!("\n{singles} single faults are listed; those beyond are random.\n\n");
        let mut families: BTreeMap<&str, Row> = BTreeMap::new();
        let mut all = Row::default();
        for ((family, _), row) in &self.rows {
            families.entry(family).or_default().add(row);
            all.add(row);
        }
        let _ = writeln!(text, "| moments | {head}\n| --- | {line}");
        for (family, row) in &families {
            let _ = writeln!(text, "| {family} | {}", row.cells());
        }
        let _ = writeln!(text, "| **all** | {}\n", all.cells());
        for (limit, seeds) in &self.limits {
            let _ = writeln!(text, "{limit:?}: {} at this stated limit, such as {}\n", seeds.len(), told(seeds));
        }
        let _ = writeln!(text, "| moment | fault | {head}\n| --- | --- | {line}");
        for ((family, fault), row) in &self.rows {
            let _ = writeln!(text, "| {family} | {fault} | {}", row.cells());
        }
        text
    }
}
