//! What checks leave behind: nothing. Each of these tests is a process of its own, because it counts that process's children.

use super::*;
use ros_signal_agent::check::Health;
use ros_signal_agent::probe::adopt_orphans;

/// Pids of all children, zombies included.
pub(super) fn children() -> Vec<String> {
    let me = std::process::id().to_string();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let pid = entry.file_name().into_string().unwrap();
        let stat = read(&entry.path().join("stat"));
        let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_ascii_whitespace().nth(1).map(str::to_owned));
        if pid.parse::<u32>().is_ok() && parent.as_deref() == Some(&me) {
            found.push(format!("{pid} {stat}"));
        }
    }
    found
}

pub(super) fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

pub(super) fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

async fn look(prober: &Prober, exec: Exec, timeout: u64) -> Observation {
    prober.run(job(Probe::Exec(exec), Duration::from_millis(timeout))).await
}

#[test]
fn scenario_19_timed_out_check_processes_never_pile_up() {
    if !in_own_process("probe::leftovers::scenario_19_timed_out_check_processes_never_pile_up") {
        return;
    }
    runtime().block_on(async {
        adopt_orphans().unwrap();
        let prober = Prober::new();
        let mut stubborn = sh("trap '' TERM; (trap '' TERM; sleep 1000) & setsid sleep 1000 & sleep 1000");
        stubborn.kill_grace = Duration::from_millis(5);
        for _ in 0..30 {
            let seen = look(&prober, stubborn.clone(), 40).await;
            assert_eq!(seen.health, Health::Critical);
            assert!(seen.message.starts_with("timed out after 40ms"), "{}", seen.message);
            assert_eq!(children(), Vec::<String>::new());
        }
    });
}

#[test]
fn scenario_19_what_escapes_its_group_is_killed_and_reaped() {
    if !in_own_process("probe::leftovers::scenario_19_what_escapes_its_group_is_killed_and_reaped") {
        return;
    }
    runtime().block_on(async {
        adopt_orphans().unwrap();
        let prober = Prober::new();
        let home = tempfile::tempdir().unwrap();
        let escapes = [
            ("a new session", "setsid sh -c 'echo $$ > NOTE; exec sleep 1000' &"),
            ("a double fork", "(setsid sh -c 'echo $$ > NOTE; exec sleep 1000' &) &"),
            ("no mark in its environment", "setsid env -i /bin/sh -c 'echo $$ > NOTE; exec sleep 1000' &"),
            ("no output held", "setsid sh -c 'echo $$ > NOTE; exec sleep 1000' > /dev/null 2>&1 < /dev/null &"),
            ("children of its own", "setsid env -i /bin/sh -c 'sleep 1000 & setsid sleep 1000 & echo $$ > NOTE; wait' &"),
            ("deaf ears", "setsid sh -c 'trap \"\" TERM HUP INT; echo $$ > NOTE; while :; do sleep 1; done' &"),
        ];
        for (what, escape) in escapes {
            let note = home.path().join("pid");
            let _ = std::fs::remove_file(&note);
            let script = format!(
                "{} while ! test -s {n}; do sleep 0.01; done; echo fine",
                escape.replace("NOTE", &note.display().to_string()),
                n = note.display()
            );
            let seen = look(&prober, sh(&script), 20_000).await;
            assert_eq!((seen.health, seen.message.as_str()), (Health::Passing, "fine"), "{what}");
            assert_eq!(children(), Vec::<String>::new(), "{what}");
            assert!(!alive(&read(&note)), "{what}");
        }
    });
}

#[test]
fn runs_side_by_side_do_not_take_each_others_processes() {
    if !in_own_process("probe::leftovers::runs_side_by_side_do_not_take_each_others_processes") {
        return;
    }
    runtime().block_on(async {
        adopt_orphans().unwrap();
        let prober = Prober::new();
        let home = tempfile::tempdir().unwrap();
        let (note, end) = (home.path().join("pid"), home.path().join("end"));
        // Its helper has left the group and has no mark, as a daemon of the checked service would.
        let long = sh(&format!(
            "setsid env -i /bin/sh -c 'echo $$ > {n}; exec sleep 1000' & while ! test -e {e}; do sleep 0.01; done; kill -0 $(cat {n}) && echo helper lives",
            n = note.display(),
            e = end.display()
        ));
        let others = async {
            until("the helper runs", || read(&note).ends_with('\n')).await;
            for _ in 0..20 {
                assert_eq!(look(&prober, sh("setsid sleep 1000 & echo fine"), 20_000).await.message, "fine");
            }
            std::fs::write(&end, "").unwrap();
        };
        let (seen, ()) = tokio::join!(look(&prober, long, 20_000), others);
        assert_eq!(seen.message, "helper lives");
        assert_eq!(children(), Vec::<String>::new());
    });
}

#[test]
fn hundreds_of_runs_leak_no_descriptor_no_zombie_and_no_thread() {
    if !in_own_process("probe::leftovers::hundreds_of_runs_leak_no_descriptor_no_zombie_and_no_thread") {
        return;
    }
    runtime().block_on(async {
        adopt_orphans().unwrap();
        let prober = Prober::new();
        let (port, _) = answering(ok("{}")).await;
        let closed = closed_port().await;
        let round = async |prober: &Prober| {
            for script in ["echo hello", "setsid sleep 1000 & exit 1", "kill -9 $$", "head -c 100000 /dev/zero"] {
                look(prober, sh(script), 20_000).await;
            }
            look(prober, exec(&["/no/such/program"]), 20_000).await;
            look(prober, sh("sleep 1000"), 10).await;
            let dropped = tokio::time::timeout(Duration::from_millis(3), look(prober, sh("sleep 1000"), 20_000)).await;
            assert!(dropped.is_err());
            for port in [port, closed] {
                prober.run(job(Probe::Http(Box::new(http(&format!("http://localhost:{port}/")))), PATIENCE)).await;
                let address = ros_signal_agent::plan::SocketTarget::HostPort("localhost".to_owned(), port);
                prober.run(job(Probe::Tcp(ros_signal_agent::plan::Tcp { address, send: None, expect: None }), PATIENCE)).await;
            }
        };
        round(&prober).await;
        until("the first dropped run is over", || children().is_empty()).await;
        let (before, lean) = (descriptors(), threads());
        for _ in 0..30 {
            round(&prober).await;
        }
        until("all dropped runs are over", || children().is_empty()).await;
        until("the server has closed its ends", || descriptors() <= before).await;
        until("the threads are gone", || threads() <= lean).await;
    });
}

#[test]
fn children_the_agent_was_given_are_none_of_the_checks_business() {
    if !in_own_process("probe::leftovers::children_the_agent_was_given_are_none_of_the_checks_business") {
        return;
    }
    runtime().block_on(async {
        // As after `sh -c 'service & exec ros-signal-agent run'`.
        let mut service = std::process::Command::new("/bin/sleep").arg("1000").spawn().unwrap();
        adopt_orphans().unwrap();
        let prober = Prober::new();
        let seen = look(&prober, sh("setsid sleep 1000 & sleep 0.1; echo fine"), 20_000).await;
        assert_eq!(seen.message, "fine");
        prober.shutdown().await;
        let left = children();
        assert!(left.len() == 1 && left[0].starts_with(&format!("{} ", service.id())), "{left:?}");
        assert!(alive(&service.id().to_string()));
        service.kill().unwrap();
        service.wait().unwrap();
    });
}
