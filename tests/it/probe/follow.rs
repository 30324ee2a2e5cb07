//! From a change of a file to the state of its check in the running agent, polls an hour away.

use crate::host::{Host, Running};
use std::path::Path;
use std::time::Duration;
use tokio::time::Instant;

/// A change of the file, and the state that the check comes to.
type Change = (&'static str, fn(&Path), &'static str);

/// One after the other, each changes the answer.
const CHANGES: [Change; 6] = [
    ("written", |flag| std::fs::write(flag, "1").unwrap(), "critical -> passing"),
    ("overwritten", |flag| std::fs::write(flag, "0").unwrap(), "passing -> critical"),
    ("replaced", |flag| replace(flag, "1"), "critical -> passing"),
    ("deleted", |flag| std::fs::remove_file(flag).unwrap(), "passing -> critical"),
    ("made", |flag| replace(flag, "1"), "critical -> passing"),
    ("its directory deleted", |flag| std::fs::remove_dir_all(flag.parent().unwrap()).unwrap(), "passing -> critical"),
];

/// As editors and packages do: written beside it, and renamed over it.
fn replace(flag: &Path, text: &str) {
    let beside = flag.with_extension("new");
    std::fs::write(&beside, text).unwrap();
    std::fs::rename(beside, flag).unwrap();
}

async fn noted(agent: &mut Running, expected: &str) {
    let noted = tokio::time::timeout(Duration::from_secs(20), agent.notes(&format!("check flag: {expected}"))).await;
    assert!(noted.is_ok(), "no note of {expected}");
}

#[tokio::test(flavor = "current_thread")]
async fn every_change_of_a_file_is_noticed_by_the_running_agent_between_its_polls() {
    let host = Host::new("").await;
    let flag = host.path("run/flag");
    std::fs::create_dir(flag.parent().unwrap()).unwrap();
    host.configure(&format!(
        "[signal.web]\nresource = \"WebReady\"\ndeadline = \"6h\"\nfail_fast = false\n[check.flag]\ntype = \"file\"\npath = \"{}\"\n\
         contents = \"^1\"\nfailure_threshold = 1\ninterval = \"1h\"\nstart_interval = \"1h\"\n",
        flag.display()
    ));
    let mut agent = host.start();
    noted(&mut agent, "initial -> critical").await;
    let mut delays = Vec::new();
    for _ in 0..6 {
        for (what, change, expected) in CHANGES {
            // The pause in which a storm of changes becomes one run is no part of the delay of a single change.
            tokio::time::sleep(Duration::from_millis(60)).await;
            if what == "written" {
                std::fs::create_dir_all(flag.parent().unwrap()).unwrap();
            }
            let changed = Instant::now();
            change(&flag);
            noted(&mut agent, expected).await;
            delays.push((changed.elapsed(), what));
        }
    }
    agent.stop().await.unwrap();
    delays.sort();
    let (median, (longest, what)) = (delays[delays.len() / 2].0, delays[delays.len() - 1]);
    println!("from {} changes of a file to the state of its check: median {median:?}, longest {longest:?} ({what})", delays.len());
}
