//! The cases of a campaign counted, and the table of it.

use super::case::Outcome;
use super::family::{ALL, Family, Means};
use super::judge::Fate;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

#[derive(Debug, Default)]
struct Row {
    cases: u64,
    struck: u64,
    lost: u64,
    doubled: u64,
    false_successes: u64,
    hangs: u64,
    otherwise: u64,
}

#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) cases: u64,
    pub(super) failures: Vec<String>,
    never: u64,
    longest: (Duration, u64),
    rows: BTreeMap<Family, Row>,
    all: Row,
}

impl Row {
    fn add(&mut self, outcome: &Outcome, struck: bool) {
        let wrong = &outcome.wrong;
        let named = [wrong.lost, wrong.doubled, wrong.false_success, wrong.hung];
        self.cases += 1;
        self.struck += u64::from(struck);
        self.lost += u64::from(wrong.lost);
        self.doubled += u64::from(wrong.doubled);
        self.false_successes += u64::from(wrong.false_success);
        self.hangs += u64::from(wrong.hung);
        self.otherwise += u64::from(!wrong.nothing() && !named.contains(&true));
    }

    fn cells(&self) -> String {
        let Self { cases, struck, lost, doubled, false_successes, hangs, otherwise } = self;
        format!("{cases} | {struck} | {lost} | {doubled} | {false_successes} | {hangs} | {otherwise} |")
    }
}

impl Tally {
    pub(super) fn add(&mut self, seed: u64, outcome: std::thread::Result<Outcome>) {
        self.cases += 1;
        let outcome = match outcome {
            Ok(outcome) => outcome,
            Err(panic) => {
                let text = panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
                self.failures.push(format!("SEED={seed}: the case itself failed: {}", text.unwrap_or_default()));
                return;
            }
        };
        self.never += u64::from(outcome.fate == Fate::Never);
        self.longest = self.longest.max((outcome.took, seed));
        self.all.add(&outcome, outcome.struck.iter().any(|(_, struck)| *struck));
        for (family, struck) in &outcome.struck {
            self.rows.entry(*family).or_default().add(&outcome, *struck);
        }
        if !outcome.wrong.nothing() {
            let kept = outcome.kept.unwrap_or_default();
            self.failures.push(format!("SEED={seed}: {}\n{kept}", outcome.wrong.why.join("; ")));
        }
    }

    /// A case with several faults counts in each of their rows, once in the last.
    pub(super) fn table(&self, means: &Means) -> String {
        let mut text = "| fault | cases | had its effect | lost | doubled | false successes | hangs | otherwise wrong |\n".to_owned();
        text.push_str("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n");
        for family in ALL {
            let _ = match (self.rows.get(&family), means.lacks(family)) {
                (Some(row), _) => writeln!(text, "| {} | {}", family.words(), row.cells()),
                (None, Some(why)) => writeln!(text, "| {} | skipped: {why} | | | | | | |", family.words()),
                (None, None) => writeln!(text, "| {} | {}", family.words(), Row::default().cells()),
            };
        }
        let _ = writeln!(text, "| all, of which {} had to say FAILURE | {}", self.never, self.all.cells());
        let (took, seed) = self.longest;
        let _ = writeln!(text, "\nThe longest case took {:.1} s (SEED={seed}).", took.as_secs_f64());
        text
    }
}
