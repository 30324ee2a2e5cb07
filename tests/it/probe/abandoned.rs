//! What an agent that was killed leaves behind: the next one kills it, and nothing else.

use super::*;
use std::process::{Child, Command};

const AGENT: &str = "PROBE_TEST_PLAYS_AGENT";
const NAME: &str = "probe::abandoned::scenario_19_what_a_killed_agent_left_is_killed_by_the_next_and_nothing_else";

/// A process that does not outlive its test, should that fail.
struct Ended(Child);

impl Ended {
    fn pid(&self) -> String {
        self.0.id().to_string()
    }

    fn kill(&mut self) {
        self.0.kill().unwrap();
    }

    fn reap(&mut self) {
        self.0.wait().unwrap();
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// This test as another process that plays an agent, with a run that has one process in its group and one that left it.
struct Played {
    process: Ended,
    children: Vec<String>,
}

async fn play(home: &Path, name: &str) -> Played {
    let notes = [home.join(format!("{name}-leader")), home.join(format!("{name}-escaped"))];
    let command =
        format!("setsid sh -c 'echo $$ > {}; exec sleep 1000' & echo $$ > {}; sleep 1000", notes[1].display(), notes[0].display());
    let mut agent = Command::new(std::env::current_exe().unwrap());
    let process = agent.args(["--exact", NAME, "--nocapture"]).env(AGENT, command).stdout(std::process::Stdio::null()).spawn().unwrap();
    until("the children of the agent run", || notes.iter().all(|note| read(note).ends_with('\n'))).await;
    Played { process: Ended(process), children: notes.iter().map(|note| read(note)).collect() }
}

impl Played {
    fn all_alive(&self) -> bool {
        self.children.iter().all(|pid| alive(pid))
    }

    fn none_alive(&self) -> bool {
        !self.children.iter().any(|pid| alive(pid))
    }
}

#[tokio::test]
async fn scenario_19_what_a_killed_agent_left_is_killed_by_the_next_and_nothing_else() {
    if let Ok(command) = std::env::var(AGENT) {
        Prober::new().run(job(Probe::Exec(sh(&command)), Duration::from_secs(600))).await;
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let (mut reaped, mut zombie, mut living) =
        (play(home.path(), "reaped").await, play(home.path(), "zombie").await, play(home.path(), "living").await);
    let stranger = Ended(Command::new("/bin/sleep").arg("1000").env_remove("ROS_SIGNAL_RUN").spawn().unwrap());
    let foreign = Ended(Command::new("/bin/sleep").arg("1000").env("ROS_SIGNAL_RUN", "1-1-1-1-1").spawn().unwrap());
    let prober = Prober::new();
    let note = home.path().join("own");
    let own = prober.run(job(Probe::Exec(sh(&format!("echo $$ > {}; exec sleep 1000", note.display()))), PATIENCE));
    tokio::pin!(own);
    tokio::select! {
        seen = &mut own => panic!("ended by itself: {seen:?}"),
        () = until("our own run is going on", || read(&note).ends_with('\n')) => {}
    }

    prober.sweep_orphans().await;
    assert!(reaped.all_alive() && zombie.all_alive() && living.all_alive(), "their agents live");

    reaped.process.kill();
    reaped.process.reap();
    zombie.process.kill();
    until("the agent is dead", || !alive(&zombie.process.pid())).await;
    assert!(reaped.all_alive() && zombie.all_alive(), "the death of an agent alone does not end its runs");
    prober.sweep_orphans().await;
    until("what the dead agents left is dead", || reaped.none_alive() && zombie.none_alive()).await;
    assert!(living.all_alive(), "its agent lives");
    let others = [stranger.pid(), foreign.pid(), read(&note)];
    assert!(others.iter().all(|pid| alive(pid)), "no mark, a mark of another namespace, and our own run");

    living.process.kill();
    living.process.reap();
    zombie.process.reap();
    prober.sweep_orphans().await;
    until("nothing is left", || living.none_alive()).await;
}
