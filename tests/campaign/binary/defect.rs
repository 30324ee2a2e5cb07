//! That the judge sees what is wrong: agents with a defect each, made of the real program, and what is said of them.

use super::agent::Agent;
use super::case::{Outcome, Patience, Plan, Stage};
use super::family::Means;
use super::judge::Fate;
use super::played;
use std::time::Duration;

/// Until the moment of a defect has come.
const LONGEST: Duration = Duration::from_secs(150);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Defect {
    /// It makes a random id, sends, and forgets that when it is killed: its ledger is deleted.
    Forgets,
    /// It dies before it has said anything, and nobody starts it again.
    StaysDead,
    /// It stops in the middle.
    Freezes,
    /// It does not look at what it is to answer for.
    LooksAway,
}

impl Defect {
    pub(super) async fn strike(self, stage: &mut Stage, agent: &mut Agent) {
        match self {
            Self::Forgets => {
                until(|| stage.view().effective_signals > 0).await;
                stage.kill(agent).await;
                std::fs::remove_file(stage.path("state/ledger.json")).unwrap();
                *agent = stage.start(&[]);
            }
            Self::StaysDead => stage.kill(agent).await,
            Self::Freezes => {
                until(|| stage.path("control.sock").exists()).await;
                agent.signal(rustix::process::Signal::STOP);
            }
            Self::LooksAway => {}
        }
    }
}

/// Looks again and again, for a limited time; what then has not come the test itself misses.
async fn until(has_come: impl Fn() -> bool) {
    let coming = async {
        while !has_come() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let _ = tokio::time::timeout(LONGEST, coming).await;
}

fn with(defect: Defect, fate: Fate) -> Outcome {
    let plan = Plan::of(0, &Means::none());
    let patience = if defect == Defect::Freezes { Patience::SHORT } else { Patience::LONG };
    played(Plan { families: Vec::new(), blows: Vec::new(), fate, patience, defect: Some(defect), ..plan })
}

#[test]
fn an_agent_that_forgets_its_ledger_and_its_random_id_is_seen_to_double() {
    let wrong = with(Defect::Forgets, Fate::Comes).wrong;
    assert!(wrong.doubled && !wrong.lost, "{wrong:?}");
}

#[test]
fn an_agent_that_stays_dead_is_seen_to_lose_its_signal() {
    let wrong = with(Defect::StaysDead, Fate::Comes).wrong;
    assert!(wrong.lost && !wrong.doubled, "{wrong:?}");
}

#[test]
fn an_agent_that_freezes_is_seen_to_hang() {
    let wrong = with(Defect::Freezes, Fate::Comes).wrong;
    assert!(wrong.hung, "{wrong:?}");
}

#[test]
fn an_agent_that_does_not_look_is_seen_to_say_success_falsely() {
    for fate in [Fate::Never, Fate::Flaps] {
        let wrong = with(Defect::LooksAway, fate).wrong;
        assert!(wrong.false_success, "{fate:?}: {wrong:?}");
    }
}
