//! What is right: one effective signal, the right one, in time; an agent that lives, answers, ends when it is told to, and leaves nothing.
//! A pure function of what was seen, so that it can be shown to see what is wrong.

use super::target::{Sight, Sights};
use std::time::Duration;
use tokio::time::Instant;

/// How the target fares, and so what is right to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It becomes healthy, and there is time: SUCCESS.
    Comes,
    /// The same after it was healthy for too short a time: SUCCESS, not too early.
    Flaps,
    /// It never becomes healthy before the deadline: FAILURE.
    Never,
}

/// The timer of the agent may come before an answer that lies in its socket already.
const GRACE: Duration = Duration::from_millis(300);

/// All that was seen of a case.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) fate: Fate,
    pub(super) min_healthy: Duration,
    /// Status of each signal that the stack holds.
    pub(super) signals: Vec<String>,
    pub(super) effective: u32,
    pub(super) stack: String,
    pub(super) sights: Sights,
    /// When SUCCESS was first on its way.
    pub(super) success: Option<Instant>,
    /// How the agent says that the round ended, if it did in time.
    pub(super) said: Option<String>,
    /// How the ledger says so; none: it could not be written to the end.
    pub(super) recorded: Option<String>,
    pub(super) must_be_recorded: bool,
    /// The agent may not look, and ROS refuses what comes too late: it cannot know that its signal is there, and goes on at a slow pace.
    pub(super) cannot_know: bool,
    /// The agent was asked how it is, and was not heard in time.
    pub(super) mute: bool,
    /// It ended by itself.
    pub(super) gone: Option<String>,
    /// Its exit code after SIGTERM; none outside: it did not end.
    pub(super) exit: Option<Option<i32>>,
    pub(super) left: Vec<String>,
}

/// What is wrong with a case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) lost: bool,
    pub(super) doubled: bool,
    pub(super) false_success: bool,
    pub(super) hung: bool,
    /// Each in words.
    pub(super) why: Vec<String>,
}

impl Wrong {
    pub(super) fn nothing(&self) -> bool {
        self.why.is_empty()
    }
}

pub(super) fn judge(seen: &Seen) -> Wrong {
    let mut wrong = Wrong::default();
    let right = if seen.fate == Fate::Never { "FAILURE" } else { "SUCCESS" };
    if seen.effective == 0 {
        wrong.lost = true;
        wrong.why.push("the stack has no effective signal".to_owned());
    }
    if seen.effective > 1 || seen.signals.len() > 1 {
        wrong.doubled = true;
        wrong.why.push(format!("{} effective signals, {} in all", seen.effective, seen.signals.len()));
    }
    if let Some(other) = seen.signals.iter().find(|status| *status != right) {
        wrong.why.push(format!("{other} was said, and {right} is right"));
    }
    let too_early = seen.success.is_some_and(|said| !was_healthy(&seen.sights, seen.min_healthy, said));
    if too_early || (right == "FAILURE" && seen.signals.iter().any(|status| status == "SUCCESS")) {
        wrong.false_success = true;
        wrong.why.push(format!("SUCCESS was said, and the target was not well for {:?}", seen.min_healthy));
    }
    let stack = if right == "SUCCESS" { "CREATE_COMPLETE" } else { "CREATE_FAILED" };
    if seen.stack != stack {
        wrong.why.push(format!("the stack is {}, not {stack}", seen.stack));
    }
    if let Some(how) = &seen.gone {
        wrong.why.push(format!("the agent ended by itself: {how}"));
    }
    hangs(seen, &mut wrong);
    if seen.must_be_recorded && !seen.cannot_know && !seen.recorded.as_deref().is_some_and(is_settled) {
        wrong.why.push(format!("the ledger says {:?}", seen.recorded));
    }
    if !seen.left.is_empty() {
        wrong.why.push(format!("left behind: {:?}", seen.left));
    }
    wrong
}

fn hangs(seen: &Seen, wrong: &mut Wrong) {
    let mut hung = |why: String| {
        wrong.hung = true;
        wrong.why.push(why);
    };
    if seen.mute {
        hung("the agent does not answer status".to_owned());
    }
    if !seen.cannot_know && !seen.said.as_deref().is_some_and(is_settled) {
        hung(format!("it is not settled in time: {:?}", seen.said));
    }
    match seen.exit {
        None => hung("the agent does not end on SIGTERM".to_owned()),
        Some(Some(0)) => {}
        Some(code) => wrong.why.push(format!("exit code {code:?} after SIGTERM")),
    }
}

/// Acknowledged; or somebody looked, and the signal was there already.
fn is_settled(how: &str) -> bool {
    matches!(how.replace('-', " ").as_str(), "acknowledged" | "not needed")
}

/// Whether the target was seen well for `span`, without a break and by one and the same agent, before `said`.
pub(super) fn was_healthy(sights: &Sights, span: Duration, said: Instant) -> bool {
    let mut since: Option<Instant> = None;
    for (at, sight) in sights {
        match (sight, since) {
            (Sight::Well, None) => since = Some(*at),
            (Sight::Well, Some(_)) => {}
            (Sight::Unwell, Some(begun)) if begun + span <= said.min(*at + GRACE) => return true,
            (Sight::Death, Some(begun)) if begun + span <= said.min(*at) => return true,
            (Sight::Unwell | Sight::Death, _) => since = None,
        }
    }
    since.is_some_and(|begun| begun + span <= said)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// An ordinary case.
    fn well() -> Seen {
        let start = Instant::now();
        Seen {
            fate: Fate::Comes,
            min_healthy: 400 * MS,
            signals: vec!["SUCCESS".to_owned()],
            effective: 1,
            stack: "CREATE_COMPLETE".to_owned(),
            sights: (0..8).map(|n| (start + n * 100 * MS, if n < 2 { Sight::Unwell } else { Sight::Well })).collect(),
            success: Some(start + 610 * MS),
            said: Some("acknowledged".to_owned()),
            recorded: Some("acknowledged".to_owned()),
            must_be_recorded: true,
            cannot_know: false,
            mute: false,
            gone: None,
            exit: Some(Some(0)),
            left: Vec::new(),
        }
    }

    #[test]
    fn a_case_without_fault_is_right() {
        assert_eq!(judge(&well()), Wrong::default());
    }

    #[test]
    fn each_thing_that_is_wrong_is_seen() {
        let lost = judge(&Seen { effective: 0, signals: Vec::new(), stack: "CREATE_IN_PROGRESS".to_owned(), success: None, ..well() });
        assert!(lost.lost && !lost.doubled && !lost.false_success, "{lost:?}");
        let doubled = judge(&Seen { effective: 2, signals: vec!["SUCCESS".to_owned(); 2], ..well() });
        assert!(doubled.doubled && !doubled.lost, "{doubled:?}");
        let late = judge(&Seen { signals: vec!["SUCCESS".to_owned(); 2], ..well() });
        assert!(late.doubled, "a second one that came too late to count is one too many");
        let lie = judge(&Seen { fate: Fate::Never, ..well() });
        assert!(lie.false_success, "{lie:?}");
        for hung in [Seen { mute: true, ..well() }, Seen { exit: None, ..well() }, Seen { said: Some("sending".to_owned()), ..well() }] {
            assert!(judge(&hung).hung, "{hung:?}");
        }
        let wrong = [
            Seen { recorded: None, ..well() },
            Seen { recorded: Some("gave-up".to_owned()), ..well() },
            Seen { exit: Some(None), ..well() },
            Seen { exit: Some(Some(1)), ..well() },
            Seen { gone: Some("exit code 101".to_owned()), ..well() },
            Seen { left: vec!["sleep".to_owned()], ..well() },
            Seen { stack: "CREATE_FAILED".to_owned(), ..well() },
            Seen { signals: vec!["FAILURE".to_owned()], ..well() },
        ];
        for seen in wrong {
            assert!(!judge(&seen).nothing(), "{seen:?}");
        }
    }

    #[test]
    fn success_is_false_before_the_target_was_well_for_long_enough() {
        let start = Instant::now();
        let at = |ms: u32, sight| (start + ms * MS, sight);
        let second = 1000 * MS;
        assert!(!was_healthy(&Vec::new(), second, start + 5 * second));
        assert!(!was_healthy(&vec![at(0, Sight::Well)], second, start + 999 * MS));
        assert!(was_healthy(&vec![at(0, Sight::Well)], second, start + second));
        let broken = vec![at(0, Sight::Well), at(500, Sight::Unwell), at(900, Sight::Well)];
        assert!(!was_healthy(&broken, second, start + 1500 * MS), "what came before the break does not count");
        assert!(was_healthy(&broken, second, start + 1900 * MS));
        let restarted = vec![at(0, Sight::Well), at(500, Sight::Death), at(600, Sight::Well)];
        assert!(!was_healthy(&restarted, second, start + 1500 * MS), "what another agent saw does not count");
    }
}
